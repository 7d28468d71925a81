//! A look at a server while it runs in the sandbox, from outside: connections to it, the sockets that it listens on, whom
//! it sought in vain, its memory. All of it is the kernel's word, and none of it the server's.
//!
//! The server's network is its own, so two of them never meet. Sockets of that network come from the first process of its
//! namespaces (`inside::network`), over one socket that also ends the server when this end of it is closed.

mod packets;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::metering::tree;
use super::spec;
use packets::Packet;

/// Places and names that are remembered; a server that seeks more is told of these.
const SOUGHT_LIMIT: usize = 64;

/// Packets that are looked at in one turn.
const PACKETS_A_TURN: usize = 256;

/// How long the first process of the namespaces may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Something that a server sought and did not find.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SoughtPeer {
    /// A connection to this address was refused.
    Address(SocketAddr),
    /// A name server was asked for this name; there is none.
    Name(String),
}

/// Memory of all processes of a server, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ServiceMemory {
    /// What each has in memory, added up: what they share counts several times.
    pub resident_bytes: u64,
    /// The same with what is shared divided by those who share it; `None` where the kernel does not tell.
    pub proportional_bytes: Option<u64>,
    pub processes: usize,
}

/// The side of the thread that runs the step.
#[derive(Debug)]
pub(super) struct Visit {
    /// The end that the helper gets.
    pub theirs: UnixStream,
    announce: Sender<i32>,
    is_over: Arc<AtomicBool>,
}

/// The side of the thread that looks.
#[derive(Debug)]
pub(super) struct VisitStart {
    ours: UnixStream,
    announced: Receiver<i32>,
    is_over: Arc<AtomicBool>,
}

/// Both sides of a look at a server that is about to start.
pub(super) fn pair() -> io::Result<(Visit, VisitStart)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (announce, announced) = channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let visit = Visit {
        theirs,
        announce,
        is_over: Arc::clone(&is_over),
    };
    let start = VisitStart {
        ours,
        announced,
        is_over,
    };
    Ok((visit, start))
}

impl Visit {
    /// The process that everything of the server descends from.
    pub(super) fn announce(&self, head: i32) {
        let _ = self.announce.send(head);
    }

    /// Whether the server was ended because it has been looked at.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Tells whoever looks that the server is gone.
    pub(super) fn close(self) {
        let _ = self.theirs.shutdown(Shutdown::Both);
    }
}

impl VisitStart {
    /// Looks at the server once it is about to start, and ends it. `None` if it never was.
    pub(super) fn look<T>(self, look: impl FnOnce(&mut ServiceView) -> T) -> Option<T> {
        // Comes when the root is built, which may take its time, or never.
        let tap = File::from(spec::receive_descriptor(&self.ours).ok()?);
        self.ours.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
        let head = self.announced.recv_timeout(ANSWER_WITHIN).ok()?;
        let mut view = ServiceView {
            visitor: self.ours,
            announced: self.announced,
            tap,
            head,
            spare: None,
            tried: BTreeSet::new(),
            sought: BTreeMap::new(),
        };
        let seen = look(&mut view);
        self.is_over.store(true, Ordering::Release);
        Some(seen)
    }
}

/// A server that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ServiceView {
    visitor: UnixStream,
    announced: Receiver<i32>,
    tap: File,
    head: i32,
    /// A socket of the server's network that is connected to nobody.
    spare: Option<OwnedFd>,
    /// Addresses that somebody tried to connect to.
    tried: BTreeSet<SocketAddr>,
    /// What was sought in vain, and as the how manieth.
    sought: BTreeMap<SoughtPeer, usize>,
}

impl ServiceView {
    /// Waits for something to happen, at most so long; whether the server still runs.
    pub(crate) fn wait(&mut self, patience: Duration) -> bool {
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: patience.subsec_nanos().into(),
        };
        // It never says anything unasked, so whatever there is, is its end.
        let mut polled = [PollFd::new(&self.visitor, PollFlags::IN)];
        let is_gone =
            !matches!(poll(&mut polled, Some(&patience)), Ok(0)) && !polled[0].revents().is_empty();
        self.overhear();
        // Where folders cannot be laid over each other, a second process follows the first.
        self.head = self.announced.try_iter().last().unwrap_or(self.head);
        !is_gone
    }

    /// Connects to a port of the server's loopback; reading and writing then take no longer than `patience` either.
    pub(crate) fn connect(&mut self, port: u16, patience: Duration) -> io::Result<TcpStream> {
        let spare = self.spare.take();
        let socket = spare.map_or_else(|| self.new_socket(), Ok)?;
        for which in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&socket, which, Some(patience))?;
        }
        match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
            Ok(()) => Ok(TcpStream::from(socket)),
            Err(errno) => {
                // One that was refused may try again.
                self.spare = (errno == Errno::CONNREFUSED).then_some(socket);
                Err(errno.into())
            }
        }
    }

    fn new_socket(&mut self) -> io::Result<OwnedFd> {
        self.visitor.write_all(&[1])?;
        spec::receive_descriptor(&self.visitor)
    }

    /// Where the server listens for TCP connections. Dear: the kernel walks the sockets of the whole machine, which takes
    /// milliseconds; a connection that is refused costs next to nothing.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        let read = |name| std::fs::read_to_string(format!("/proc/{}/net/{name}", self.head));
        ["tcp", "tcp6"]
            .into_iter()
            .filter_map(|name| read(name).ok())
            .flat_map(|text| tables::listeners(&text))
            .collect()
    }

    /// What it sought in vain, in the order in which it did.
    pub(crate) fn sought(&mut self) -> Vec<SoughtPeer> {
        self.overhear();
        let mut sought: Vec<_> = self.sought.iter().collect();
        sought.sort_unstable_by_key(|(_, place)| **place);
        sought.into_iter().map(|(peer, _)| peer.clone()).collect()
    }

    pub(crate) fn memory(&self) -> ServiceMemory {
        let usage = tree::usage_below(self.head);
        ServiceMemory {
            resident_bytes: usage.resident_bytes,
            proportional_bytes: usage.proportional_bytes,
            processes: usage.processes,
        }
    }

    /// Takes in the packets that went by.
    fn overhear(&mut self) {
        /// Headers, and the question of a name server's packet.
        const LENGTH: usize = 512;
        let mut bytes = [0; LENGTH];
        for _ in 0..PACKETS_A_TURN {
            let Ok(length @ 1..) = self.tap.read(&mut bytes) else {
                return;
            };
            match packets::read(bytes.get(..length).unwrap_or_default()) {
                Some(Packet::Connect(to)) if self.tried.len() < SOUGHT_LIMIT => {
                    self.tried.insert(to);
                }
                Some(Packet::Refused(from)) if self.tried.contains(&from) => {
                    self.note(SoughtPeer::Address(from));
                }
                Some(Packet::Question(name)) => self.note(SoughtPeer::Name(name)),
                _ => {}
            }
        }
    }

    fn note(&mut self, peer: SoughtPeer) {
        let place = self.sought.len();
        if place < SOUGHT_LIMIT {
            self.sought.entry(peer).or_insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::sandbox::tests::{Place, alive, sandbox, shell};
    use crate::sandbox::{CommandStatus, EndReason, SandboxStep};

    /// Seeks a database and a name, then says `hello` to whoever connects to port 8080.
    const SERVER: &str = "
import socket
for peer in [('10.9.8.7', 5432), ('db.example', 80)]:
    try:
        socket.create_connection(peer, 5)
    except OSError as error:
        print(error)
server = socket.socket()
server.bind(('0.0.0.0', 8080))
server.listen()
while True:
    caller, _ = server.accept()
    caller.sendall(b'hello')
    caller.close()
";

    fn server(code: &str) -> SandboxStep {
        SandboxStep {
            command: ["python3", "-c", code].map(str::to_owned).to_vec(),
            is_read_only: true,
            ..shell("")
        }
    }

    fn listens(view: &mut ServiceView) -> bool {
        let start = Instant::now();
        while view.listeners().is_empty() {
            if start.elapsed() > Duration::from_secs(20) || !view.wait(Duration::from_millis(2)) {
                return false;
            }
        }
        true
    }

    #[test]
    fn a_server_is_looked_at_and_ended() {
        let place = Place::new();
        let (ended, seen) = sandbox()
            .serve(&place.root, &server(SERVER), |view| {
                assert!(listens(view));
                let mut said = String::new();
                let mut connection = view.connect(8080, Duration::from_secs(5)).unwrap();
                connection.read_to_string(&mut said).unwrap();
                let refused = view.connect(8081, Duration::from_secs(5));
                assert!(refused.is_err());
                (said, view.listeners(), view.sought(), view.memory())
            })
            .unwrap();
        let (said, listeners, sought, memory) = seen.unwrap();
        assert_eq!(said, "hello");
        assert_eq!(listeners, ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(
            sought[..2],
            [
                SoughtPeer::Address("10.9.8.7:5432".parse().unwrap()),
                SoughtPeer::Name("db.example".to_owned()),
            ]
        );
        assert_eq!(memory.processes, 1);
        assert!(memory.proportional_bytes.unwrap() <= memory.resident_bytes);
        assert_eq!(ended.reason, EndReason::LookedAt);
        assert_eq!(alive("db.example"), 0);
    }

    #[test]
    fn a_server_that_ends_is_gone_for_whoever_looks() {
        let place = Place::new();
        let (ended, seen) = sandbox()
            .serve(&place.root, &server("import sys; sys.exit('no')"), |view| {
                !listens(view) && view.connect(8080, Duration::from_secs(5)).is_err()
            })
            .unwrap();
        assert_eq!(seen, Some(true));
        assert_eq!(ended.status, CommandStatus::Code(1));
        assert_eq!(ended.reason, EndReason::Exited);
        assert_eq!(ended.last_lines, ["no"]);
    }

    #[test]
    fn what_cannot_be_started_is_not_looked_at() {
        let place = Place::new();
        let mut step = server("");
        step.command = vec!["/no/such/program".to_owned()];
        let outcome = sandbox().serve(&place.root, &step, |view| {
            while view.wait(Duration::from_millis(10)) {}
        });
        assert!(outcome.is_err());
    }
}
