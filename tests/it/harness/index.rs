//! A package index on the loopback address that serves hand-made wheels, asks for a password, and lies when told to.
//!
//! <https://packaging.python.org/en/latest/specifications/simple-repository-api/>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::home::Home;
use crate::harness::layout::sha256;
use crate::harness::listener::Listener;
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

/// What is wrong with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Links carry hashes that the files do not have.
    WrongHash,
    /// Files end before their announced length.
    CutOff,
    /// Files are answered with 503.
    Unavailable,
}

struct Shelf {
    /// Path of a page or file to its bytes.
    pages: BTreeMap<String, Vec<u8>>,
    login: Option<(String, String)>,
    fault: Fault,
    asked: AtomicUsize,
    log: Mutex<Vec<String>>,
}

/// A running index; ends with the value.
pub(crate) struct Index {
    shelf: Arc<Shelf>,
    listener: Listener,
}

impl Index {
    pub(crate) fn serving(wheels: &[Wheel], login: Option<(&str, &str)>, fault: Fault) -> Self {
        Self::of_pages(pages(wheels, &[], fault), login, fault)
    }

    /// One that has source distributions too.
    pub(crate) fn with_sdists(wheels: &[Wheel], sdists: &[Sdist]) -> Self {
        Self::of_pages(pages(wheels, sdists, Fault::None), None, Fault::None)
    }

    /// A server of these bytes under these paths.
    pub(crate) fn of_pages(
        pages: BTreeMap<String, Vec<u8>>,
        login: Option<(&str, &str)>,
        fault: Fault,
    ) -> Self {
        let shelf = Arc::new(Shelf {
            pages,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            fault,
            asked: AtomicUsize::new(0),
            log: Mutex::new(Vec::new()),
        });
        let for_connections = Arc::clone(&shelf);
        let listener = Listener::start(move |client| answer(&for_connections, client));
        Self { shelf, listener }
    }

    /// The index's address; `login` is what stands before the `@`, such as `user:password`.
    pub(crate) fn url(&self, login: Option<&str>) -> String {
        let login = login.map(|login| format!("{login}@")).unwrap_or_default();
        format!("http://{login}127.0.0.1:{}/simple", self.listener.port())
    }

    /// The address that paths of pages begin behind.
    pub(crate) fn root(&self) -> String {
        format!("http://127.0.0.1:{}", self.listener.port())
    }

    /// Builds a folder as the image `x`, with this index in place of the public one.
    #[track_caller]
    pub(crate) fn build(&self, home: &Home, source: &Path) -> Finished {
        finish(
            home.command(&["build"])
                .arg(source)
                .arg("x")
                .env("PIP_INDEX_URL", self.url(None)),
        )
    }

    pub(crate) fn requests(&self) -> usize {
        self.shelf.asked.load(Ordering::SeqCst)
    }

    /// One line a request: status and path.
    pub(crate) fn log(&self) -> Vec<String> {
        self.shelf.log.lock().unwrap().clone()
    }
}

fn pages(wheels: &[Wheel], sdists: &[Sdist], fault: Fault) -> BTreeMap<String, Vec<u8>> {
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    let mut pages = BTreeMap::new();
    let wheels = (wheels.iter()).map(|wheel| (wheel.name(), wheel.file_name(), wheel.bytes()));
    let sdists = (sdists.iter()).map(|sdist| (sdist.name(), sdist.file_name(), sdist.bytes()));
    for (name, file, bytes) in wheels.chain(sdists) {
        let mut hash = sha256(&bytes).replace(':', "=");
        if fault == Fault::WrongHash {
            hash = sha256(b"something else").replace(':', "=");
        }
        let page = links.entry(name.replace('_', "-")).or_default();
        write!(page, "<a href=\"/files/{file}#{hash}\">{file}</a><br>").unwrap();
        pages.insert(format!("/files/{file}"), bytes);
    }
    for (name, links) in links {
        let page = format!("<!DOCTYPE html><html><body>{links}</body></html>");
        pages.insert(format!("/simple/{name}/"), page.into_bytes());
    }
    pages
}

fn answer(shelf: &Shelf, stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else {
        return;
    };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    shelf.asked.fetch_add(1, Ordering::SeqCst);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = decide(shelf, path, &headers);
    shelf.log.lock().unwrap().push(format!("{status} {path}"));

    let kind = if path.starts_with("/files/") {
        "application/octet-stream"
    } else {
        "text/html"
    };
    let length = body.len();
    let sent = if shelf.fault == Fault::CutOff && path.starts_with("/files/") {
        &body[..length / 2]
    } else {
        body
    };
    let sent = if request.starts_with("HEAD ") {
        &[]
    } else {
        sent
    };
    let mut stream = stream;
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         WWW-Authenticate: Basic realm=\"index\"\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(sent);
}

fn decide<'a>(shelf: &'a Shelf, path: &str, headers: &[String]) -> (u16, &'a [u8]) {
    if let Some((user, password)) = &shelf.login {
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let given = headers.iter().any(|header| {
            header.split_once(':').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("authorization") && value.trim() == wanted
            })
        });
        if !given {
            return (401, b"who are you?");
        }
    }
    if shelf.fault == Fault::Unavailable && path.starts_with("/files/") {
        return (503, b"later");
    }
    match shelf.pages.get(path) {
        Some(body) => (200, body),
        None => (404, b"no such page"),
    }
}
