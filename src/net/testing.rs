//! A server for tests: HTTP/1.1 on loopback, one thread a connection, answering as a closure says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// No test sends more.
const MAX_BODY_BYTES: u64 = 64 << 20;
/// No test opens more.
const MAX_CONNECTIONS: usize = 200;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many requests came before it.
    pub index: usize,
}

impl Seen {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut_after: Option<usize>,
    delay: Duration,
}

impl Answer {
    /// Of a status, with a body.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Answers only after a while.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection without an answer.
    pub(crate) fn hang_up() -> Self {
        Self::default()
    }
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

/// The server; runs until the process ends.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().take(MAX_CONNECTIONS).flatten() {
                let (script, all) = (Arc::clone(&script), Arc::clone(&all));
                thread::spawn(move || while serve(&stream, &*script, &all).is_some() {});
            }
        });
        Self { base, seen }
    }

    pub(crate) fn host(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// A URL on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What has been asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `METHOD target`, for each request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.target))
            .collect()
    }
}

/// One request; `None` when the connection is over.
fn serve(stream: &TcpStream, script: &Script, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen {
        method,
        target,
        headers,
        body: Vec::new(),
        index: 0,
    };
    let length = seen
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    reader
        .take(u64::min(length, MAX_BODY_BYTES))
        .read_to_end(&mut seen.body)
        .ok()?;
    {
        let mut all = all.lock().unwrap();
        seen.index = all.len();
        all.push(seen.clone());
    }
    answer(stream, &seen, &script(&seen))
}

fn answer(mut stream: &TcpStream, seen: &Seen, answer: &Answer) -> Option<()> {
    thread::sleep(answer.delay);
    if answer.status == 0 {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    let mut bytes = Vec::new();
    write!(bytes, "HTTP/1.1 {} X\r\n", answer.status).ok()?;
    for (name, value) in &answer.headers {
        write!(bytes, "{name}: {value}\r\n").ok()?;
    }
    if answer.status != 204 && answer.status != 304 {
        write!(bytes, "Content-Length: {}\r\n", answer.body.len()).ok()?;
    }
    bytes.extend_from_slice(b"\r\n");
    let sent = answer.cut_after.unwrap_or(answer.body.len());
    if seen.method != "HEAD" && answer.status != 204 {
        bytes.extend_from_slice(&answer.body[..sent]);
    }
    stream.write_all(&bytes).ok()?;
    if answer.cut_after.is_some() {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(())
}
