//! The network that a step has to itself: a loopback, and for a server that is looked at, what lets s2r look.
//!
//! Sockets belong to the network in which they were made, whoever holds them. So the first process of the namespaces makes
//! them and hands them over, and s2r speaks to the server from within, without entering any namespace.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, eth, recv, send, socket,
    socket_with,
};

use super::{AttemptedResult, HelperTrouble};
use crate::sandbox::spec::{self, HelperAction};
use crate::sandbox::system;

/// Brings the new network's own interface up: tests and servers talk to themselves.
pub(super) fn start_loopback() -> Result<(), HelperTrouble> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)
        .tried(HelperAction::Network, "socket")?;
    system::bring_up(socket.as_fd(), c"lo").tried(HelperAction::Network, "lo")
}

/// Makes all addresses this network's own, so that whoever connects to one is refused at once and his packets are seen;
/// otherwise the kernel would refuse him before there is one. Returns what sees them; nothing where the kernel or a
/// filter will not have it, and then nobody is told who was sought.
pub(super) fn open_tap() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let tap = socket_with(
        AddressFamily::PACKET,
        SocketType::DGRAM,
        flags,
        Some(eth::ALL),
    )?;
    add_local_route()?;
    Ok(tap)
}

/// One request of rtnetlink(7): `ip route add local 0.0.0.0/0 dev lo table local`.
fn add_local_route() -> io::Result<()> {
    const LENGTH: u32 = 36;
    const NEW_ROUTE: u16 = 24;
    const REQUEST_CREATE_ACK: u16 = 0x1 | 0x400 | 0x4;
    const FAMILY_INET: u8 = 2;
    const TABLE_LOCAL: u8 = 255;
    const BY_ADMINISTRATOR: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const KIND_LOCAL: u8 = 2;
    const OUTGOING_INTERFACE: u16 = 4;
    /// The loopback comes first in every network.
    const LOOPBACK: u32 = 1;
    let mut request = Vec::new();
    request.extend(LENGTH.to_ne_bytes());
    request.extend(NEW_ROUTE.to_ne_bytes());
    request.extend(REQUEST_CREATE_ACK.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([FAMILY_INET, 0, 0, 0]);
    request.extend([TABLE_LOCAL, BY_ADMINISTRATOR, SCOPE_HOST, KIND_LOCAL]);
    request.extend([0; 4]);
    request.extend(8_u16.to_ne_bytes());
    request.extend(OUTGOING_INTERFACE.to_ne_bytes());
    request.extend(LOOPBACK.to_ne_bytes());
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&kernel, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 64];
    let (length, _) = recv(&kernel, &mut answer, RecvFlags::empty())?;
    // An error message: behind its header, the number of the error below zero, or 0.
    let number = answer
        .get(..length)
        .and_then(|answer| answer.get(16..20))
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The other end of s2r's [`ServiceView`](crate::sandbox::ServiceView).
pub(super) struct Visitor(UnixStream);

impl Visitor {
    /// Takes its end of the connection.
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Sends what sees the packets, before there is a step that could send one.
    pub(super) fn welcome(&self) -> Result<(), HelperTrouble> {
        let tap = open_tap().or_else(|_| std::fs::File::open("/dev/null").map(OwnedFd::from));
        tap.and_then(|tap| spec::send_descriptor(&self.0, tap.as_fd()))
            .tried(HelperAction::Network, "tap")
    }

    /// Sends a socket of the step's network for each byte that comes; whether s2r still looks.
    pub(super) fn serve(&mut self) -> bool {
        let mut asked = [0];
        if !matches!(self.0.read(&mut asked), Ok(1)) {
            return false;
        }
        let made = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        made.map_err(Errno::into)
            .and_then(|socket| spec::send_descriptor(&self.0, socket.as_fd()))
            .is_ok()
    }
}

impl AsFd for Visitor {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
