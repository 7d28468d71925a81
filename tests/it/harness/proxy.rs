//! A proxy in front of a server on this machine: bytes pass as they are, and when so many have gone up,
//! something happens.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What happens, once.
type Event = Box<dyn FnOnce() + Send>;

struct Shared {
    to: u16,
    /// Bytes that have gone up.
    passed: AtomicUsize,
    after: usize,
    event: Mutex<Option<Event>>,
    stopped: AtomicBool,
}

/// A running proxy; ends with the value.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes connections on to a port of this machine; after so many bytes, the event.
    pub(crate) fn start(to: u16, after: usize, event: impl FnOnce() + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            to,
            passed: AtomicUsize::new(0),
            after,
            event: Mutex::new(Some(Box::new(event))),
            stopped: AtomicBool::new(false),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if shared.stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.pass(&stream.unwrap()));
                }
            })
        };
        Self {
            shared,
            port,
            thread: Some(thread),
        }
    }

    pub(crate) fn repository(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Whether the event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.event.lock().unwrap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn pass(&self, client: &TcpStream) {
        // Nobody there: the client's connection ends, too.
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.to)) else {
            return;
        };
        thread::scope(|scope| {
            scope.spawn(|| copy(&server, client, |_| ()));
            copy(client, &server, |bytes| self.count(bytes));
        });
    }

    fn count(&self, bytes: usize) {
        if self.passed.fetch_add(bytes, Ordering::SeqCst) + bytes < self.after {
            return;
        }
        // The lock is held while it happens, so nothing more goes up meanwhile.
        let mut event = self.event.lock().unwrap();
        if let Some(event) = event.take() {
            event();
        }
    }
}

/// Copies until one side ends, and ends the other.
fn copy(mut from: &TcpStream, mut to: &TcpStream, count: impl Fn(usize)) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        count(read);
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
