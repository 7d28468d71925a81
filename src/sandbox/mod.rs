//! Runs one command over a root file system of folders, rootless, and tells what it changed.
//!
//! Owns namespaces, mounts, limits and the filter of system calls, and is the only place with
//! `unsafe`. Knows nothing of Python, plans or layers, and runs in no thread of ours: a process with
//! threads cannot enter a user namespace, so the program starts itself anew as a helper.
//!
//! How: `prepare` lays folders ready, `run` starts the helper, hands it a `spec` and watches the limits
//! (`meter`, `tree`); `inside` is the helper's side; `changes` tells what came of it. Where the kernel
//! lays no folders over each other there is a `copy`, and without namespaces the copy is made fit for a
//! change of root (`folder`).
//!
//! `visit` looks at a server while it runs.
//!
//! `confined` is something else: a program of ours that is kept to a few folders, without a helper.
//!
//! `libcontainer` (youki's) would do the namespaces too. It was left out: it brings about a hundred
//! crates (D-Bus and cgroup managers among them) where the calls below need two that we have; it wants
//! a bundle on disk, an OCI runtime spec and a state folder for each command, and control groups that
//! are not ours to make in a pod; and what we need beside the namespaces, the overlay in one user's
//! namespace, its fallbacks and limits without control groups, it has not.
//!
//! What the borders are: the step's user is one user to itself and its caller to the machine, without
//! any right; it sees no file but the root and the mounts, no process but its own, no network but its
//! own unless it is given the machine's. With the machine's network it also reaches the machine's
//! abstract sockets and whatever listens on the loopback address.

mod bare;
mod changes;
mod confined;
mod copy;
mod error;
mod filter;
mod folder;
mod inside;
mod metering;
mod orphans;
mod prepare;
mod probe;
mod run;
mod spec;
mod system;
mod tail;
mod visit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use changes::changes;
pub(crate) use confined::AccessRules;
pub(crate) use error::SandboxError;
pub(crate) use inside::enter;
pub(crate) use prepare::remove;
pub(crate) use spec::CommandStatus;
pub(crate) use visit::{ServiceMemory, ServiceView, SoughtPeer};

use metering::meter::StepMeter;
pub(crate) use run::HeldSignals;

use run::StreamMode;
use spec::{AttachedDescriptor, BindMount, HelperAction, KernelLimits, RootKind, StepSpec};

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
pub(crate) struct StepFilesystem {
    /// Folders that lie over each other, the lowest first; they are never written to.
    pub lower: Vec<PathBuf>,
    /// An empty folder, or one that an earlier step left: receives what is written.
    pub upper: PathBuf,
    /// Permission bits of `/`, where folders can be laid over each other.
    pub top_mode: u32,
    /// An empty folder on the same file system as `upper`, for mounts and copies.
    pub scratch: PathBuf,
}

/// A file or folder of the machine that a step sees.
#[derive(Debug, Clone)]
pub(crate) struct StepMount {
    pub from: PathBuf,
    /// Where the step sees it, absolute; it is made if it is not there.
    pub to: String,
    /// Whether the step may write to it.
    pub is_writable: bool,
}

/// What a step may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepLimits {
    /// Memory of all its processes.
    pub memory_bytes: u64,
    pub time: Duration,
    pub processes: u64,
    /// What it may write to disk.
    pub disk_bytes: u64,
    /// What of its output is passed on; the rest is read and dropped.
    pub output_bytes: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct SandboxStep {
    /// Program and arguments; the program is looked for on the step's PATH.
    pub command: Vec<String>,
    /// Where it starts, absolute.
    pub directory: String,
    pub environment: BTreeMap<String, String>,
    /// User and group that it believes to be.
    pub user: (u32, u32),
    /// What it sees of the machine.
    pub mounts: Vec<StepMount>,
    /// Whether it reaches the network; otherwise it has a loopback of its own.
    pub has_network: bool,
    /// Whether it may write nowhere but in what is memory (`/tmp`, `/dev/shm`) and its writable mounts. That takes
    /// [`Sandbox::has_own_mounts`].
    pub is_read_only: bool,
    /// What it may use up.
    pub limits: StepLimits,
}

impl StepLimits {
    pub(crate) const NONE: Self = Self {
        memory_bytes: u64::MAX,
        time: Duration::MAX,
        processes: u64::MAX,
        disk_bytes: u64::MAX,
        output_bytes: u64::MAX,
    };

    /// What the kernel can watch by itself. Processes have some room above the limit, so that whoever
    /// uses it up is seen doing so and told, and not only refused.
    fn bounds(&self) -> KernelLimits {
        const ROOM: u64 = 16;
        let below_all = |limit: u64| Some(limit).filter(|limit| *limit != u64::MAX);
        KernelLimits {
            file_bytes: below_all(self.disk_bytes),
            processes: below_all(self.processes).map(|limit| limit.saturating_add(ROOM)),
            memory_file_bytes: below_all(self.memory_bytes).map(|limit| limit / 2),
        }
    }
}

/// Why a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// By itself, or by a signal that was not ours.
    Exited,
    /// It was ended after its time.
    OutOfTime,
    /// It was ended for the memory of its processes.
    OutOfMemory,
    /// It was ended for the number of its processes.
    TooManyProcesses,
    /// It wrote more than it may.
    DiskFull,
    /// It failed, and `/tmp` or `/dev/shm` was full, which are memory.
    MemoryFilesFull,
    /// It failed, and the machine's disk was full.
    NoSpace,
    /// It was ended because whoever looked at it had seen enough.
    LookedAt,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepEnd {
    /// Its status, or the signal that ended it.
    pub status: CommandStatus,
    pub reason: EndReason,
    /// It was in the machine's network, asked for or not.
    pub reached_network: bool,
    /// Some of its output was dropped, because it was more than the limit.
    pub is_output_cut: bool,
    /// The last lines of both streams, without control characters; bounded.
    pub last_lines: Vec<String>,
    /// How long it ran.
    pub took: Duration,
}

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Output,
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
    Link {
        target: Vec<u8>,
    },
    Removed,
}

/// One difference between a root before and after its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootChange {
    /// Its path without a leading `/`.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: ChangeKind,
    pub mode: u32,
    /// Where its bytes lie on the machine.
    pub file: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Sandbox {
    program: PathBuf,
    isolation: Isolation,
    copies: bool,
}

impl Sandbox {
    /// Finds out what works here, which costs a process. `program` is s2r itself, for the helper;
    /// `/proc/self/exe` will do.
    pub(crate) fn new(isolation: Isolation, program: &Path) -> Result<Self, SandboxError> {
        Ok(Self {
            isolation: probe::choose(isolation, program)?,
            program: program.to_owned(),
            copies: false,
        })
    }

    /// Without isolation: whoever calls this knows that s2r stands in the image that steps expect, and
    /// gives as lower folders only what is not in it. See `bare` for what a step can count on.
    pub(crate) fn bare(program: &Path) -> Self {
        Self {
            isolation: Isolation::None,
            program: program.to_owned(),
            copies: false,
        }
    }

    /// Copies the lower folders, even where they could be laid over each other.
    #[cfg(test)]
    fn with_copies(self) -> Self {
        Self {
            copies: true,
            ..self
        }
    }

    /// Whether steps have mounts of their own.
    pub(crate) fn has_own_mounts(&self) -> bool {
        matches!(self.isolation, Isolation::Auto | Isolation::Userns)
    }

    /// Runs a step to its end, and passes what it prints to `output`. A command that fails is no error.
    pub(crate) fn run(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        output: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> Result<StepEnd, SandboxError> {
        self.start(root, step, &mut StreamMode::Watched(output))
    }

    /// Runs a step with the standard streams of this process, to which signals are passed on: for a
    /// process that has nothing else to do.
    pub(crate) fn attach(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        signals: HeldSignals,
    ) -> Result<StepEnd, SandboxError> {
        self.start(root, step, &mut StreamMode::Ours(signals))
    }

    /// Runs a server for as long as `look` looks at it, and ends it then. What was seen is `None` if the server could not be
    /// started. Takes a step with a network of its own, and [`Sandbox::has_own_mounts`].
    pub(crate) fn serve<T: Send>(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        look: impl FnOnce(&mut ServiceView) -> T + Send,
    ) -> Result<(StepEnd, Option<T>), SandboxError> {
        let failed = |source| SandboxError::Helper { source };
        let (visit, start) = visit::pair().map_err(failed)?;
        std::thread::scope(|scope| {
            // The helper lives as long as the thread that starts it, so the other one looks.
            let looking = std::thread::Builder::new()
                .spawn_scoped(scope, || start.look(look))
                .map_err(failed)?;
            let ended = self.start(root, step, &mut StreamMode::Visited(&visit));
            visit.close();
            let seen = looking.join().ok().flatten();
            Ok((ended?, seen))
        })
    }

    fn start(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        streams: &mut StreamMode<'_>,
    ) -> Result<StepEnd, SandboxError> {
        match self.isolation {
            Isolation::None => self.start_bare(root, step, streams),
            Isolation::Chroot => self.start_chroot(root, step, streams),
            Isolation::Auto | Isolation::Userns => self.start_userns(root, step, streams),
        }
    }

    fn start_userns(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        streams: &mut StreamMode<'_>,
    ) -> Result<StepEnd, SandboxError> {
        let binds = prepare::binds(root, step)?;
        prepare::make_points(root, &binds)?;
        if !self.copies && !copy::is_there(root) {
            let ground = prepare::overlay(root)?;
            let ended = self.go(
                spec(ground, step, binds.clone()),
                step,
                &root.upper,
                streams,
            );
            prepare::clear(root);
            match ended {
                // An older kernel, or a disk that the kernel lays nothing over.
                Err(SandboxError::Setup {
                    act: HelperAction::Overlay,
                    ..
                }) => {}
                ended => return ended,
            }
        }
        let at = copy::make(root, None)?;
        copy::note_mounts(root, &binds)?;
        let ground = RootKind::Copy {
            at: prepare::absolute(&at)?,
        };
        self.go(spec(ground, step, binds), step, &at, streams)
    }

    fn start_chroot(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        streams: &mut StreamMode<'_>,
    ) -> Result<StepEnd, SandboxError> {
        let mut step = step.clone();
        step.user = probe::possible(step.user);
        let step = &step;
        let binds = prepare::binds(root, step)?;
        prepare::make_points(root, &binds)?;
        let at = copy::make(root, Some(step.user))?;
        copy::note_mounts(root, &binds)?;
        folder::equip(&at, &binds, step.user)?;
        let ground = RootKind::Chroot {
            at: prepare::absolute(&at)?,
        };
        let ended = self.go(spec(ground, step, binds.clone()), step, &at, streams);
        folder::bring_back(&at, &binds)?;
        ended
    }

    fn start_bare(
        &self,
        root: &StepFilesystem,
        step: &SandboxStep,
        streams: &mut StreamMode<'_>,
    ) -> Result<StepEnd, SandboxError> {
        let tree = bare::lay(root, &step.mounts)?;
        let step = &bare::told(step, &tree)?;
        let spec = spec(RootKind::Bare, step, Vec::new());
        self.go(spec, step, &tree, streams)
    }

    fn go(
        &self,
        mut spec: StepSpec,
        step: &SandboxStep,
        written: &Path,
        streams: &mut StreamMode<'_>,
    ) -> Result<StepEnd, SandboxError> {
        spec.attached = match streams {
            StreamMode::Watched(_) => AttachedDescriptor::Nothing,
            StreamMode::Ours(_) => AttachedDescriptor::Input,
            StreamMode::Visited(_) => AttachedDescriptor::Visitor,
        };
        let has_own_memory_files = spec.ground.is_in_namespaces();
        let mounted = spec.mounts.iter().filter(|bind| bind.is_writable);
        let written = std::iter::once(written.to_owned())
            .chain(mounted.map(|bind| bind.from.clone()))
            .collect();
        let meter = StepMeter::new(written, has_own_memory_files, &step.limits);
        run::run(&self.program, spec, &step.limits, meter, streams)
    }
}

/// A step as the helper gets it.
fn spec(ground: RootKind, step: &SandboxStep, mounts: Vec<BindMount>) -> StepSpec {
    StepSpec {
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
        is_read_only: step.is_read_only,
        bounds: step.limits.bounds(),
        attached: AttachedDescriptor::Nothing,
    }
}

#[cfg(test)]
mod exceeding;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod tests;
