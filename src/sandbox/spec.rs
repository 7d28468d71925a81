//! What passes between s2r and its helper: the spec of a step down, news up, both over one socket.
//!
//! Our own format, never stored: JSON behind a length of four bytes, because both ends are the same
//! program. Signals go down as single bytes after the spec.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest message that is read, in bytes. An environment of two megabytes fits.
const MESSAGE_BYTES: u32 = 16 << 20;

/// What the helper has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum HelperOrder {
    /// Find out whether namespaces can be had here, and end.
    Probe,
    Run(Box<StepSpec>),
}

/// How the root comes to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum RootKind {
    /// Namespaces, and folders that lie over each other.
    Overlay {
        /// Holds short links: `0` the lowest folder and so on, `u` the upper one, `w` the kernel's.
        links: PathBuf,
        /// How many lower folders there are.
        lower_count: usize,
        /// Where it is mounted.
        at: PathBuf,
    },
    /// Namespaces, and a folder that holds a copy.
    Copy { at: PathBuf },
    /// No namespaces; a folder that holds a copy.
    Chroot { at: PathBuf },
    /// No namespaces and no other root.
    Bare,
}

impl RootKind {
    /// Whether processes and mounts are the step's own.
    pub(crate) fn is_in_namespaces(&self) -> bool {
        matches!(self, Self::Overlay { .. } | Self::Copy { .. })
    }
}

/// A step as the helper gets it: nothing left to decide.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepSpec {
    pub ground: RootKind,
    pub command: Vec<String>,
    pub directory: String,
    /// Names and values, sorted by name.
    pub environment: Vec<(String, String)>,
    /// User and group inside.
    pub user: (u32, u32),
    /// User and group outside, which stand for them.
    pub caller: (u32, u32),
    /// Files and folders of the machine.
    pub mounts: Vec<BindMount>,
    /// Whether the network of the machine is seen.
    pub has_network: bool,
    /// Whether the root may not be written to.
    pub is_read_only: bool,
    /// Limits that the kernel watches.
    pub bounds: KernelLimits,
    /// What comes with the spec.
    pub attached: AttachedDescriptor,
}

/// A descriptor that comes with a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AttachedDescriptor {
    /// None; the step's standard input is empty.
    Nothing,
    /// The step's standard input.
    Input,
    /// A socket over which sockets of the step's own network are asked for, and the step is ended.
    Visitor,
}

/// A mount whose source has been resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BindMount {
    /// On the machine, without links.
    pub from: PathBuf,
    /// Absolute path within the sandbox.
    pub to: String,
    /// Whether it may be written to.
    pub is_writable: bool,
    /// Whether the step can do without it.
    pub is_optional: bool,
}

/// Limits that the kernel watches; `None` is no limit of ours.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct KernelLimits {
    /// Length of one file.
    pub file_bytes: Option<u64>,
    /// Processes and threads of the user.
    pub processes: Option<u64>,
    /// Size of `/tmp` and of `/dev/shm`, which are memory.
    pub memory_file_bytes: Option<u64>,
}

/// What the helper has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelperMessage {
    /// Namespaces can be had.
    Works,
    /// The process that everything of the step descends from, numbered as s2r sees it.
    Head {
        pid: i32,
        /// Whether they are in the machine's network.
        reaches_network: bool,
    },
    /// Tables of the step's own segments and queues come after this (see `held`), a descriptor each.
    Tables,
    /// The step could not be started.
    Failed {
        act: HelperAction,
        /// With what: a path, a name; may be empty.
        subject: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// The step has ended.
    Ended {
        /// Exit status, or the signal that ended it.
        status: CommandStatus,
        /// Nothing more went into `/tmp` or `/dev/shm`.
        is_memory_file_full: bool,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CommandStatus {
    /// By itself, with this status.
    Code(i32),
    Signal(i32),
}

impl CommandStatus {
    /// The number that a shell would show: a signal is 128 and more.
    pub(crate) fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(code & 0xff).unwrap_or(1),
            Self::Signal(signal) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(255),
        }
    }
}

/// What the helper was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelperAction {
    Namespaces,
    /// Writing down who stands for whom.
    Identity,
    Fork,
    /// Laying folders over each other.
    Overlay,
    /// Looking at what is to be mounted.
    Source,
    Mount,
    /// Making a folder or file to mount on.
    Target,
    /// Making the new root the root.
    Root,
    /// Setting up the network of its own.
    Network,
    Privileges,
    Limits,
    /// Going to the folder where the command starts.
    Directory,
    Command,
    Spec,
}

pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// The bytes of one message.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= MESSAGE_BYTES)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// Reads one message; `None` if the other end has closed.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// Sends a descriptor, with one byte to carry it.
pub(crate) fn send_descriptor(to: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let descriptors = [descriptor];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let byte = [io::IoSlice::new(&[0])];
    sendmsg(to, &byte, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A descriptor that comes with one byte.
pub(crate) fn receive_descriptor(from: &UnixStream) -> io::Result<OwnedFd> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut byte = [0];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        from,
        &mut [io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        let mut wire = Vec::new();
        let news = [
            HelperMessage::Head {
                pid: 12,
                reaches_network: false,
            },
            HelperMessage::Tables,
            HelperMessage::Failed {
                act: HelperAction::Mount,
                subject: "/x".into(),
                errno: 1,
            },
            HelperMessage::Ended {
                status: CommandStatus::Signal(9),
                is_memory_file_full: true,
            },
        ];
        for one in &news {
            send(&mut wire, one).unwrap();
        }
        let mut rest = wire.as_slice();
        for one in news {
            assert_eq!(receive::<HelperMessage>(&mut rest).unwrap(), Some(one));
        }
        assert_eq!(receive::<HelperMessage>(&mut rest).unwrap(), None);
    }

    #[test]
    fn long_and_broken_messages_are_errors() {
        assert!(receive::<HelperMessage>(&mut [255, 255, 255, 255].as_slice()).is_err());
        assert!(receive::<HelperMessage>(&mut [4, 0, 0, 0, b'{'].as_slice()).is_err());
    }

    #[test]
    fn statuses_are_shown_as_a_shell_shows_them() {
        assert_eq!(CommandStatus::Code(3).shell_code(), 3);
        assert_eq!(CommandStatus::Code(-1).shell_code(), 255);
        assert_eq!(CommandStatus::Signal(15).shell_code(), 143);
    }
}
