//! The helper's side: s2r started anew with one thread, which becomes the sandbox.
//!
//! It has no environment, one socket as its standard input, and the step's output as its own. The
//! processes: this one asks for namespaces and waits; its child is the first process of the new
//! namespaces, builds the root and watches over the step; the step is that one's child. Whatever
//! dies, the kernel ends all that is below it.

mod chroot;
mod domain;
mod mounts;
mod network;
mod privileges;
mod watch;

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use crate::sandbox::metering::held_memory::IpcTables;
use crate::sandbox::spec::{
    self, AttachedDescriptor, HelperAction, HelperMessage, HelperOrder, RootKind, StepSpec,
};
use crate::sandbox::system::{self, ForkSide};

/// How the helper is told apart: its name in place of a program's.
pub(crate) const HELPER: &str = "s2r: sandbox";

/// Something that the helper could not do.
#[derive(Debug)]
struct HelperTrouble {
    act: HelperAction,
    subject: String,
    errno: i32,
}

/// Adds what was tried to what the kernel said.
trait AttemptedResult<T> {
    fn tried(self, act: HelperAction, subject: impl ToString) -> Result<T, HelperTrouble>;
}

impl<T> AttemptedResult<T> for rustix::io::Result<T> {
    fn tried(self, act: HelperAction, subject: impl ToString) -> Result<T, HelperTrouble> {
        self.map_err(|errno| HelperTrouble {
            act,
            subject: subject.to_string(),
            errno: errno.raw_os_error(),
        })
    }
}

impl<T> AttemptedResult<T> for io::Result<T> {
    fn tried(self, act: HelperAction, subject: impl ToString) -> Result<T, HelperTrouble> {
        self.map_err(|error| HelperTrouble {
            act,
            subject: subject.to_string(),
            errno: error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
        })
    }
}

/// The socket to s2r, and what came over it.
struct ControlSocket {
    socket: UnixStream,
    /// Whether the step has segments and queues of its own, and s2r counts what they hold.
    has_own_ipc: bool,
}

impl ControlSocket {
    fn tell(&mut self, news: &HelperMessage) {
        // If s2r is gone, so are we in a moment.
        let _ = spec::send(&mut self.socket, news);
    }

    /// Hands over the tables of what the step's processes will hold by number, if they can be had. To be called before
    /// there is another process that may speak: the descriptors come right behind their announcement.
    fn tell_tables(&mut self) {
        let Some(tables) = own_tables() else {
            return;
        };
        self.has_own_ipc = true;
        self.tell(&HelperMessage::Tables);
        for table in tables {
            let _ = spec::send_descriptor(&self.socket, table.as_fd());
        }
    }

    fn fail(&mut self, trouble: HelperTrouble) -> ExitCode {
        self.tell(&HelperMessage::Failed {
            act: trouble.act,
            subject: trouble.subject,
            errno: trouble.errno,
        });
        ExitCode::FAILURE
    }
}

/// If this process was started as a helper, does the helper's work and returns its status. To be
/// called before anything else: no thread may run yet.
pub(crate) fn enter() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != HELPER || arguments.next().is_some() {
        return None;
    }
    system::close_strangers();
    let socket = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let mut control = ControlSocket {
        socket: UnixStream::from(socket),
        has_own_ipc: false,
    };
    Some(match work(&mut control) {
        Ok(status) => status,
        Err(trouble) => control.fail(trouble),
    })
}

fn work(control: &mut ControlSocket) -> Result<ExitCode, HelperTrouble> {
    let order = spec::receive(&mut control.socket)
        .tried(HelperAction::Spec, "")?
        .ok_or(Errno::PIPE)
        .tried(HelperAction::Spec, "")?;
    system::release_signals().tried(HelperAction::Privileges, "signals")?;
    die_with_parent()?;
    match order {
        HelperOrder::Probe => probe(control),
        HelperOrder::Run(spec) => {
            let input = take_input(control, &spec)?;
            match spec.ground {
                RootKind::Overlay { .. } | RootKind::Copy { .. } => {
                    in_namespaces(control, &spec, input)
                }
                RootKind::Chroot { .. } | RootKind::Bare => {
                    chroot::without_namespaces(control, &spec, input)
                }
            }
        }
    }
}

fn die_with_parent() -> Result<(), HelperTrouble> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .tried(HelperAction::Privileges, "death signal")
}

/// Descriptors that come with the spec.
struct StepInput {
    /// The step's standard input.
    stdin: OwnedFd,
    /// Whoever looks at the step while it runs.
    visitor: Option<network::Visitor>,
}

/// Replaces our standard input, the socket, by the step's: nothing, or what s2r was given.
fn take_input(control: &mut ControlSocket, spec: &StepSpec) -> Result<StepInput, HelperTrouble> {
    let receive =
        |subject| spec::receive_descriptor(&control.socket).tried(HelperAction::Spec, subject);
    let stdin = match spec.attached {
        AttachedDescriptor::Input => receive("standard input")?,
        AttachedDescriptor::Nothing | AttachedDescriptor::Visitor => fs::File::open("/dev/null")
            .map(OwnedFd::from)
            .tried(HelperAction::Source, "/dev/null")?,
    };
    let visitor = match spec.attached {
        AttachedDescriptor::Visitor => Some(network::Visitor::new(receive("visitor")?)),
        AttachedDescriptor::Nothing | AttachedDescriptor::Input => None,
    };
    Ok(StepInput { stdin, visitor })
}

/// Can we have what a step needs? Costs a process and no more.
fn probe(control: &mut ControlSocket) -> Result<ExitCode, HelperTrouble> {
    let caller = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    separate(false)?;
    identify((0, 0), caller)?;
    mounts::try_one()?;
    control.tell(&HelperMessage::Works);
    Ok(ExitCode::SUCCESS)
}

/// Leaves the namespaces of the machine.
fn separate(has_network: bool) -> Result<(), HelperTrouble> {
    let mut flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    if !has_network {
        flags |= UnshareFlags::NEWNET;
    }
    system::unshare(flags).tried(HelperAction::Namespaces, "")
}

/// Says who stands for whom: one user and one group, which needs no right and no setuid helper.
fn identify(inside: (u32, u32), caller: (u32, u32)) -> Result<(), HelperTrouble> {
    let lines = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{} {} 1", inside.0, caller.0)),
        ("/proc/self/gid_map", format!("{} {} 1", inside.1, caller.1)),
    ];
    for (path, line) in lines {
        fs::write(path, line).tried(HelperAction::Identity, path)?;
    }
    Ok(())
}

fn in_namespaces(
    control: &mut ControlSocket,
    spec: &StepSpec,
    input: StepInput,
) -> Result<ExitCode, HelperTrouble> {
    // Groups that the caller is in beside its own would count inside too. Only root may leave them.
    let _ = rustix::thread::set_thread_groups(&[]);
    separate(spec.has_network)?;
    identify(spec.user, spec.caller)?;
    // A change of who we are forgets this.
    die_with_parent()?;
    control.tell_tables();
    match system::fork().tried(HelperAction::Fork, "")? {
        ForkSide::Parent(pid) => {
            control.tell(&HelperMessage::Head {
                pid: pid.as_raw_nonzero().get(),
                reaches_network: spec.has_network,
            });
            // Returns when every process of the namespace is gone.
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            Ok(ExitCode::SUCCESS)
        }
        ForkSide::Child => {
            die_with_parent()?;
            mounts::build(spec)?;
            if !spec.has_network {
                network::start_loopback()?;
            }
            if let Some(visitor) = &input.visitor {
                visitor.welcome()?;
            }
            watch::over_step(control, spec, input)
        }
    }
}

/// The tables of our namespace's segments and queues, taken hold of while the machine's `/proc` is in sight. Without
/// them nobody could count, and the step has neither.
fn own_tables() -> Option<Vec<fs::File>> {
    IpcTables::PATHS
        .iter()
        .map(|path| fs::File::open(path).ok())
        .collect()
}

/// Whether s2r still holds the other end: it says nothing, or the number of a signal.
fn heard(control: &mut ControlSocket) -> io::Result<Option<u8>> {
    let mut byte = [0];
    match control.socket.read(&mut byte)? {
        0 => Ok(None),
        _ => Ok(Some(byte[0])),
    }
}
