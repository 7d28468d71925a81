//! Git repositories, and the two servers of them that git itself brings: `git daemon`, and `git http-backend`
//! behind a small HTTP server that may ask for a password.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::harness::listener::Listener;
use crate::harness::tools::{finish, free_port, temporary};

/// A folder of checkouts; each can be served as it is.
pub(crate) struct Shelf {
    dir: TempDir,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { dir: temporary() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A new repository with one commit of these files.
    pub(crate) fn repository(&self, name: &str, files: &[(&str, &str)]) -> Checkout {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let checkout = Checkout { path };
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        checkout.commit("The first", files);
        checkout
    }
}

/// A repository with a working tree.
pub(crate) struct Checkout {
    path: PathBuf,
}

impl Checkout {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes files and commits them; gives the commit's id.
    pub(crate) fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            self.write(name, text);
        }
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(["-c", "protocol.file.allow=always"])
            .arg("-C")
            .arg(&self.path)
            .args(arguments);
        finish(&mut command).ok().line().to_owned()
    }
}

/// `git daemon` over a shelf; ends with the value.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    pub(crate) fn serving(shelf: &Shelf) -> Self {
        let port = free_port();
        let child = Command::new("git")
            .args([
                "daemon",
                "--reuseaddr",
                "--listen=127.0.0.1",
                "--export-all",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", shelf.path().display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "no daemon");
            thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The daemon runs as a child of `git`, which passes a polite signal on.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A web server of a shelf by git's smart protocol; ends with the value.
pub(crate) struct Web {
    shared: Arc<Shared>,
    listener: Listener,
}

struct Shared {
    root: PathBuf,
    login: Option<String>,
    log: Mutex<Vec<String>>,
}

impl Web {
    pub(crate) fn serving(shelf: &Shelf, login: Option<(&str, &str)>) -> Self {
        let shared = Arc::new(Shared {
            root: shelf.path().to_owned(),
            login: login.map(|(user, password)| STANDARD.encode(format!("{user}:{password}"))),
            log: Mutex::new(Vec::new()),
        });
        let for_connections = Arc::clone(&shared);
        let listener = Listener::start(move |client| answer(&for_connections, client));
        Self { shared, listener }
    }

    /// The address of a repository; `login` is what stands before the `@`.
    pub(crate) fn url(&self, login: &str, name: &str) -> String {
        let at = if login.is_empty() { "" } else { "@" };
        format!(
            "http://{login}{at}127.0.0.1:{}/{name}",
            self.listener.port()
        )
    }

    /// One line a request that was answered: method and path with query.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.log.lock().unwrap())
    }
}

fn answer(shared: &Shared, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut stream = stream;
    if let Some(login) = &shared.login
        && header("authorization") != format!("Basic {login}")
    {
        let _ = stream.write_all(
            b"HTTP/1.1 401 Who?\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
              Content-Length: 0\r\nConnection: close\r\n\r\n",
        );
        return;
    }
    shared
        .log
        .lock()
        .unwrap()
        .push(format!("{method} {target}"));
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        output.len() - end - 4
    );
    let _ = stream.write_all(&output[end + 4..]);
}
