//! Runs one command over a root file system of folders, rootless, and tells what it changed.
//!
//! Owns namespaces, mounts, limits and the filter of system calls, and is the only place with
//! `unsafe`. Knows nothing of Python, plans or layers, and runs in no thread of ours: a process with
//! threads cannot enter a user namespace, so the program starts itself anew as a helper.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How far a step is kept from the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// The strongest that works here.
    #[default]
    Auto,
    /// Namespaces of its own: users, mounts, processes, ipc, host name.
    Userns,
    /// Another root folder, and nothing more. For root in a container without user namespaces.
    Chroot,
    /// None: the step runs where s2r runs, which must be the builder's image.
    None,
}

/// The file system that a step sees.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// Folders that lie over each other, the lowest first; they are never written to.
    pub lower: Vec<PathBuf>,
    /// An empty folder, or one that an earlier step left: receives what is written.
    pub upper: PathBuf,
    /// An empty folder on the same file system as `upper`, for mounts and copies.
    pub scratch: PathBuf,
}

/// A file or folder of the machine that a step sees.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// On the machine.
    pub from: PathBuf,
    /// Where the step sees it, absolute; it is made if it is not there.
    pub to: String,
    /// Whether the step may write to it.
    pub is_writable: bool,
}

/// What a step may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Memory of all its processes.
    pub memory_bytes: u64,
    /// Its time.
    pub time: Duration,
    /// Processes and threads.
    pub processes: u64,
    /// What it may write to disk.
    pub disk_bytes: u64,
    /// What of its output is passed on; the rest is read and dropped.
    pub output_bytes: u64,
}

/// One command.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Program and arguments; the program is looked for on the step's PATH.
    pub command: Vec<String>,
    /// Where it starts, absolute.
    pub directory: String,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// User and group that it believes to be.
    pub user: (u32, u32),
    /// What it sees of the machine.
    pub mounts: Vec<Mount>,
    /// Whether it reaches the network; otherwise it has a loopback of its own.
    pub has_network: bool,
    /// What it may use up.
    pub limits: Limits,
}

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// A folder that is new or has another mode; `is_opaque` hides what lies below.
    Folder {
        /// Nothing of the folders below shows through.
        is_opaque: bool,
    },
    /// A file that is new or other.
    File {
        /// Its length in bytes.
        size_bytes: u64,
    },
    /// A symbolic link.
    Link {
        /// Where to.
        target: Vec<u8>,
    },
    /// It is gone.
    Removed,
}

/// One difference between a root before and after its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its path without a leading `/`.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: ChangeKind,
    /// Permission bits.
    pub mode: u32,
    /// Where its bytes lie on the machine.
    pub file: PathBuf,
}
