//! Runs one command over a root file system of folders, rootless, and tells what it changed.
//!
//! Owns namespaces, mounts, limits and the filter of system calls, and is the only place with
//! `unsafe`. Knows nothing of Python, plans or layers, and runs in no thread of ours: a process with
//! threads cannot enter a user namespace, so the program starts itself anew as a helper.

mod changes;
mod error;
mod filter;
mod inside;
mod meter;
mod prepare;
mod run;
mod spec;
mod system;
mod tail;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use changes::changes;
pub(crate) use error::SandboxError;
pub(crate) use inside::enter;
pub(crate) use prepare::remove;
pub(crate) use spec::Status;

use meter::Meter;
use run::Streams;
use spec::{Bounds, Spec};

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

impl Limits {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        memory_bytes: u64::MAX,
        time: Duration::MAX,
        processes: u64::MAX,
        disk_bytes: u64::MAX,
        output_bytes: u64::MAX,
    };

    /// What the kernel can watch by itself. Processes have some room above the limit, so that whoever
    /// uses it up is seen doing so and told, and not only refused.
    fn bounds(&self) -> Bounds {
        const ROOM: u64 = 16;
        let below_all = |limit: u64| Some(limit).filter(|limit| *limit != u64::MAX);
        Bounds {
            file_bytes: below_all(self.disk_bytes),
            processes: below_all(self.processes).map(|limit| limit.saturating_add(ROOM)),
            memory_file_bytes: below_all(self.memory_bytes).map(|limit| limit / 2),
        }
    }
}

/// Why a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// By itself, or by a signal that was not ours.
    Exited,
    /// It was ended after its time.
    OutOfTime,
    /// It was ended for the memory of its processes.
    OutOfMemory,
    /// It was ended for the number of its processes.
    TooManyProcesses,
    /// It wrote more than it may, or `/tmp` was full when it failed.
    DiskFull,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its status, or the signal that ended it.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// Some of its output was dropped, because it was more than the limit.
    pub is_output_cut: bool,
    /// The last lines of both streams, without control characters; bounded.
    pub last_lines: Vec<String>,
    /// How long it ran.
    pub took: Duration,
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

/// Runs steps.
#[derive(Debug)]
pub(crate) struct Sandbox {
    program: PathBuf,
    isolation: Isolation,
}

impl Sandbox {
    /// Finds out what works here. `program` is s2r itself, for the helper; `/proc/self/exe` will do.
    pub(crate) fn new(isolation: Isolation, program: &Path) -> Result<Self, SandboxError> {
        run::probe(program)?.map_err(|(act, source)| SandboxError::Setup {
            act,
            subject: String::new(),
            source,
        })?;
        let _ = isolation;
        Ok(Self {
            program: program.to_owned(),
            isolation: Isolation::Userns,
        })
    }

    /// What was chosen; never [`Isolation::Auto`].
    pub(crate) fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Runs a step to its end, and passes what it prints to `output`. A command that fails is no error.
    pub(crate) fn run(
        &self,
        root: &Root,
        step: &Step,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, SandboxError> {
        self.start(root, step, Streams::Watched(output))
    }

    /// Runs a step with the standard streams of this process, to which signals are passed on (TERM,
    /// INT, HUP, QUIT): for a process that has nothing else to do, and whose only thread this is.
    pub(crate) fn attach(&self, root: &Root, step: &Step) -> Result<Ended, SandboxError> {
        self.start(root, step, Streams::Ours)
    }

    fn start(&self, root: &Root, step: &Step, streams: Streams<'_>) -> Result<Ended, SandboxError> {
        let mounts = prepare::binds(root, step)?;
        prepare::make_points(root, &mounts)?;
        let ground = prepare::overlay(root)?;
        let spec = Spec {
            ground,
            command: step.command.clone(),
            directory: step.directory.clone(),
            environment: step
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            user: step.user,
            caller: (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
            mounts,
            has_network: step.has_network,
            bounds: step.limits.bounds(),
            has_input: matches!(streams, Streams::Ours),
        };
        let meter = Meter::new(Some(root.upper.clone()));
        let ended = run::run(&self.program, spec, &step.limits, meter, streams);
        prepare::clear(root);
        ended
    }
}

#[cfg(test)]
mod tests;
