//! A proxy in front of a server on this machine: bytes pass as they are, and when so many have gone up,
//! something happens.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::listener::Listener;

/// What happens, once.
type Event = Box<dyn FnOnce() + Send>;

struct Shared {
    to: u16,
    /// Bytes that have gone up.
    passed: AtomicUsize,
    after: usize,
    event: Mutex<Option<Event>>,
}

/// A running proxy; ends with the value.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Proxy {
    /// Passes connections on to a port of this machine; after so many bytes, the event.
    pub(crate) fn start(to: u16, after: usize, event: impl FnOnce() + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            to,
            passed: AtomicUsize::new(0),
            after,
            event: Mutex::new(Some(Box::new(event))),
        });
        let for_connections = Arc::clone(&shared);
        let listener = Listener::start(move |client| for_connections.pass(client));
        Self { shared, listener }
    }

    pub(crate) fn repository(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.listener.port())
    }

    /// Bytes that have gone up.
    pub(crate) fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Whether the event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.event.lock().unwrap().is_none()
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
