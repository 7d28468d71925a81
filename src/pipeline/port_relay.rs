//! Carries TCP connections from one port of the machine to another, for `-p HOST:PORT`: an image that
//! runs on the machine's network listens where it wants to.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

/// Connections at once, each with two threads; more wait to be accepted.
const CONNECTION_LIMIT: usize = 512;

/// `[ADDRESS:]HOST:PORT`, or `PORT` for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortMapping {
    /// Where the caller connects to.
    pub address: IpAddr,
    pub outer: u16,
    /// The port on which the image listens.
    pub inner: u16,
}

/// A port that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a port is a number from 1 to 65535: 8080, 9000:8080 or 127.0.0.1:9000:8080")]
pub(crate) struct PortError;

impl FromStr for PortMapping {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let number = |text: &str| match text.parse() {
            Ok(0) | Err(_) => Err(PortError),
            Ok(port) => Ok(port),
        };
        // Docker's suffix for the only protocol that we carry.
        let text = text.strip_suffix("/tcp").unwrap_or(text);
        let (rest, inner) = text.rsplit_once(':').unwrap_or((text, text));
        let (address, outer) = match rest.rsplit_once(':') {
            Some((address, outer)) => {
                let plain = address.trim_start_matches('[').trim_end_matches(']');
                (plain.parse().map_err(|_| PortError)?, outer)
            }
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), rest),
        };
        Ok(Self {
            address,
            outer: number(outer)?,
            inner: number(inner)?,
        })
    }
}

/// Listens, and carries what comes until the process ends.
pub(super) fn start(port: PortMapping) -> io::Result<()> {
    let listener = TcpListener::bind((port.address, port.outer))?;
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new()
        .name(format!("relay {}", port.outer))
        .spawn(move || {
            for caller in listener.incoming() {
                let Ok(caller) = caller else {
                    // Out of descriptors, say: the next one may have more luck.
                    thread::sleep(std::time::Duration::from_millis(50));
                    continue;
                };
                while open.load(Ordering::Acquire) >= CONNECTION_LIMIT {
                    thread::sleep(std::time::Duration::from_millis(10));
                }
                open.fetch_add(1, Ordering::AcqRel);
                let open = Arc::clone(&open);
                let spawned = thread::Builder::new().spawn(move || {
                    // Who is not there refuses, and so do we, by closing.
                    let _ = carry(&caller, port.inner);
                    open.fetch_sub(1, Ordering::AcqRel);
                });
                drop(spawned);
            }
        })?;
    Ok(())
}

/// Both ways, until both ends have said all that they have to say.
fn carry(caller: &TcpStream, inner: u16) -> io::Result<()> {
    let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, inner)))?;
    let (mut from_caller, mut to_server) = (caller.try_clone()?, server.try_clone()?);
    let there = thread::Builder::new().spawn(move || {
        let _ = io::copy(&mut from_caller, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    })?;
    let (mut from_server, mut to_caller) = (&server, caller);
    let _ = io::copy(&mut from_server, &mut to_caller);
    let _ = caller.shutdown(Shutdown::Write);
    let _ = there.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::pipeline::port_relay::*;
    use std::io::{Read, Write};

    #[test]
    fn ports_are_read_as_other_tools_read_them() {
        let port = |address: &str, outer, inner| {
            Ok(PortMapping {
                address: address.parse().unwrap(),
                outer,
                inner,
            })
        };
        for (text, read) in [
            ("8080", port("0.0.0.0", 8080, 8080)),
            ("9000:8080", port("0.0.0.0", 9000, 8080)),
            ("9000:8080/tcp", port("0.0.0.0", 9000, 8080)),
            ("127.0.0.1:9000:8080", port("127.0.0.1", 9000, 8080)),
            ("[::1]:9000:8080", port("::1", 9000, 8080)),
            ("0:8080", Err(PortError)),
            ("70000", Err(PortError)),
            ("x:1", Err(PortError)),
            ("host:1:1", Err(PortError)),
            ("9000:8080/udp", Err(PortError)),
            ("", Err(PortError)),
        ] {
            assert_eq!(text.parse::<PortMapping>(), read, "{text}");
        }
    }

    #[test]
    fn bytes_go_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let inner = server.local_addr().unwrap().port();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let outer = free.local_addr().unwrap().port();
        drop(free);
        start(PortMapping {
            address: Ipv4Addr::LOCALHOST.into(),
            outer,
            inner,
        })
        .unwrap();
        let answering = thread::spawn(move || {
            let (mut caller, _) = server.accept().unwrap();
            let mut said = String::new();
            caller.read_to_string(&mut said).unwrap();
            caller.write_all(said.to_uppercase().as_bytes()).unwrap();
        });
        let mut caller = TcpStream::connect(("127.0.0.1", outer)).unwrap();
        caller.write_all(b"hello").unwrap();
        caller.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).unwrap();
        answering.join().unwrap();
        assert_eq!(answer, "HELLO");
    }
}
