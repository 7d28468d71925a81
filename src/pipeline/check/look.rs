//! Waits until a server answers, and asks it: HTTP/1.1 (RFC 9112) within the server's own network.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::wishes::CheckRequest;
use crate::report::{Event, Report};
use crate::sandbox::{ServiceMemory, ServiceView, SoughtPeer};

/// How often a connection is tried.
const TICK: Duration = Duration::from_millis(3);

/// What of an answer is read: its head, with room for cookies.
const HEAD_BYTES: usize = 64 << 10;

/// What was seen of a server.
#[derive(Debug)]
pub(super) struct Observation {
    pub outcome: Outcome,
    /// Where it listened at the end.
    pub listeners: Vec<SocketAddr>,
    pub sought: Vec<SoughtPeer>,
    pub memory: ServiceMemory,
}

/// What came of waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered {
        status: u16,
        /// How long after the start of the container it came.
        after: Duration,
        /// How long the request alone took.
        took: Duration,
    },
    /// It ended by itself, or by a limit.
    Gone,
    /// The port is listened on, but from nowhere else can it be reached.
    Loopback { address: SocketAddr },
    /// What it answers is something else than HTTP/1.
    NotHttp,
    /// It did not answer in time; whether the port was listened on.
    TimeOver { has_listened: bool },
}

/// Why there is no answer yet.
#[derive(Debug)]
enum NoAnswer {
    NotHttp,
    /// Refused, cut off, or silent.
    Failed,
}

impl From<io::Error> for NoAnswer {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

/// Looks at a server that has just been started.
pub(super) fn look(
    view: &mut ServiceView,
    port: u16,
    request: &CheckRequest,
    report: &dyn Report,
) -> Observation {
    let outcome = Waiting {
        view,
        port,
        request,
        report,
        start: Instant::now(),
    }
    .outcome();
    let memory = match outcome {
        Outcome::Answered { .. } => at_rest(view),
        _ => ServiceMemory::default(),
    };
    Observation {
        outcome,
        listeners: view.listeners(),
        sought: others(view.sought(), port),
        memory,
    }
}

/// Without the port that we connect to ourselves, which a server that is about to end refuses.
fn others(mut sought: Vec<SoughtPeer>, port: u16) -> Vec<SoughtPeer> {
    let is_own = |address: &SocketAddr| address.ip().is_loopback() && address.port() == port;
    sought.retain(|peer| !matches!(peer, SoughtPeer::Address(address) if is_own(address)));
    sought
}

struct Waiting<'a> {
    view: &'a mut ServiceView,
    port: u16,
    request: &'a CheckRequest,
    report: &'a dyn Report,
    start: Instant,
}

impl Waiting<'_> {
    fn outcome(&mut self) -> Outcome {
        let (mut has_listened, mut for_now, mut is_told) = (false, None, false);
        loop {
            let waited = self.start.elapsed();
            let Some(left) = self.request.within.checked_sub(waited) else {
                // Listened on by IPv6 alone, say, whose connections are not tried.
                let at_loopback = || {
                    let address = self.loopback_alone()?;
                    Some(Outcome::Loopback { address })
                };
                return for_now
                    .or_else(at_loopback)
                    .unwrap_or(Outcome::TimeOver { has_listened });
            };
            if waited > Duration::from_secs(1) && !is_told {
                is_told = true;
                self.tell();
            }
            if let Ok(connection) = self.view.connect(self.port, left) {
                if !has_listened {
                    if let Some(address) = self.loopback_alone() {
                        return Outcome::Loopback { address };
                    }
                    has_listened = true;
                }
                let asked = Instant::now();
                match ask(connection, self.port, &self.request.path) {
                    Ok(status) => {
                        let answered = Outcome::Answered {
                            status,
                            after: self.start.elapsed(),
                            took: asked.elapsed(),
                        };
                        if !self.request.is_for_now(status) {
                            return answered;
                        }
                        for_now = Some(answered);
                    }
                    Err(NoAnswer::NotHttp) => return Outcome::NotHttp,
                    Err(NoAnswer::Failed) => {}
                }
            }
            if !self.view.wait(TICK) {
                return Outcome::Gone;
            }
        }
    }

    /// The address at which the port is listened on, if that is the loopback's alone.
    fn loopback_alone(&self) -> Option<SocketAddr> {
        let mut listeners = self.view.listeners();
        listeners.retain(|address| address.port() == self.port);
        let is_loopback = |address: &SocketAddr| address.ip().is_loopback();
        listeners
            .first()
            .copied()
            .filter(|_| listeners.iter().all(is_loopback))
    }

    fn tell(&self) {
        self.report.event(Event::Output {
            step: "check".to_owned(),
            line: format!(
                "waiting for an answer on port {}, at most {}",
                self.port,
                self.request.shown_within()
            ),
        });
    }
}

/// Asks for a path; the status of the answer.
fn ask(mut connection: TcpStream, port: u16, path: &str) -> Result<u16, NoAnswer> {
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: s2r-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while head.len() < HEAD_BYTES {
        let length = connection.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if let Some(status) = status_of(&head)? {
            return Ok(status);
        }
    }
    if head.is_empty() {
        // Closed without a word, as by a server that is about to end.
        return Err(NoAnswer::Failed);
    }
    Err(NoAnswer::NotHttp)
}

/// The status of an answer whose head is whole; `None` as long as it is not.
fn status_of(head: &[u8]) -> Result<Option<u16>, NoAnswer> {
    const HEADERS: usize = 128;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(head) {
        Ok(status) if status.is_complete() => Ok(answer.code),
        Ok(_) => Ok(None),
        Err(_) => Err(NoAnswer::NotHttp),
    }
}

/// Memory when it no longer changes, or after a tenth of a second: the first worker answers while others start.
fn at_rest(view: &mut ServiceView) -> ServiceMemory {
    const AT_MOST: Duration = Duration::from_millis(100);
    const EVERY: Duration = Duration::from_millis(10);
    /// What may still change, as a part of it.
    const PART: u64 = 100;
    let start = Instant::now();
    let mut memory = view.memory();
    while start.elapsed() < AT_MOST && view.wait(EVERY) {
        let now = view.memory();
        let change = now.resident_bytes.abs_diff(memory.resident_bytes);
        let is_still = now.processes == memory.processes && change <= now.resident_bytes / PART;
        memory = now;
        if is_still {
            break;
        }
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_a_whole_head() {
        let status = |head: &str| status_of(head.as_bytes()).ok();
        assert_eq!(
            status("HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"),
            Some(Some(204))
        );
        assert_eq!(status("HTTP/1.0 200\r\n\r\n"), Some(Some(200)));
        assert_eq!(status("HTTP/1.1 20"), Some(None));
        assert_eq!(status("HTTP/1.1 200 OK\r\nA: b\r\n"), Some(None));
        for other in [
            "\u{0}\u{0}\u{12}\u{4}",
            "SSH-2.0-x\r\n",
            "220 mail ready\r\n",
            "HTTP/2 200\r\n\r\n",
        ] {
            assert_eq!(status(other), None, "{other}");
        }
    }
}
