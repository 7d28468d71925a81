//! The process that watches over a step: starts it, passes signals on, reaps, and takes everything
//! down when the step ends or s2r is gone.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, setsid, wait,
};

use super::{
    AttemptedResult, ControlSocket, HelperTrouble, StepInput, chroot, die_with_parent, heard,
    network::Visitor, privileges,
};
use crate::sandbox::spec::{CommandStatus, HelperAction, HelperMessage, RootKind, StepSpec};
use crate::sandbox::system::{self, ForkSide};

/// Starts the step and stays until it ends. Returns its status; the caller's end ends what it left.
pub(super) fn over_step(
    control: &mut ControlSocket,
    spec: &StepSpec,
    input: StepInput,
) -> Result<ExitCode, HelperTrouble> {
    let mut children = fs::File::from(
        system::hold_signals(&[libc::SIGCHLD]).tried(HelperAction::Fork, "signals of children")?,
    );
    match system::fork().tried(HelperAction::Fork, "")? {
        ForkSide::Child => {
            drop(input.visitor);
            start(spec, control.has_own_ipc, &input.stdin)
        }
        ForkSide::Parent(step) => {
            drop(input.stdin);
            // Our copies of the step's output would keep it open.
            quiet()?;
            let sources = StaySources {
                children: &mut children,
                visitor: input.visitor,
            };
            match stay(control, step, spec, sources)? {
                Some(status) => {
                    let is_memory_file_full = spec.ground.is_in_namespaces()
                        && ["/tmp", "/dev/shm"].into_iter().any(is_full);
                    control.tell(&HelperMessage::Ended {
                        status,
                        is_memory_file_full,
                    });
                    Ok(ExitCode::SUCCESS)
                }
                None => Ok(ExitCode::FAILURE),
            }
        }
    }
}

/// Turns our own standard streams away from the step's.
fn quiet() -> Result<(), HelperTrouble> {
    let nothing = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .tried(HelperAction::Source, "/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).tried(HelperAction::Source, "/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing).tried(HelperAction::Source, "/dev/null")?;
    rustix::stdio::dup2_stderr(&nothing).tried(HelperAction::Source, "/dev/null")
}

/// Who may have something for us, beside s2r's orders.
struct StaySources<'a> {
    children: &'a mut fs::File,
    visitor: Option<Visitor>,
}

/// Passes signals on until the step has ended (its status) or s2r is gone or wants an end (`None`).
fn stay(
    control: &mut ControlSocket,
    step: Pid,
    spec: &StepSpec,
    sources: StaySources<'_>,
) -> Result<Option<CommandStatus>, HelperTrouble> {
    let StaySources {
        children,
        mut visitor,
    } = sources;
    loop {
        let mut ready = vec![
            PollFd::new(&control.socket, PollFlags::IN),
            PollFd::new(children, PollFlags::IN),
        ];
        ready.extend(visitor.iter().map(|one| PollFd::new(one, PollFlags::IN)));
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno).tried(HelperAction::Fork, "waiting"),
        }
        let mut ready = ready.into_iter().map(|one| !one.revents().is_empty());
        let [from_above, from_below, from_visitor] =
            std::array::from_fn(|_| ready.next().unwrap_or(false));
        if from_below {
            let mut held = [0; system::HELD_SIGNAL_BYTES];
            let _ = children.read(&mut held);
            if let Some(status) = reap(step) {
                return Ok(Some(status));
            }
        }
        if from_visitor && !visitor.as_mut().is_some_and(Visitor::serve) {
            // Whoever looked at it has seen enough.
            return Ok(None);
        }
        if from_above {
            match heard(control) {
                Ok(Some(number)) if i32::from(number) != libc::SIGKILL => {
                    pass(step, number, &spec.ground);
                }
                Ok(_) | Err(_) => return Ok(None),
            }
        }
    }
}

/// Takes in the ended; the step's status if it is among them.
fn reap(step: Pid) -> Option<CommandStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == step {
            ended = Some(status_of(status));
        }
    }
    ended
}

fn status_of(status: WaitStatus) -> CommandStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => CommandStatus::Code(code),
        (None, Some(signal)) => CommandStatus::Signal(signal),
        (None, None) => CommandStatus::Code(1),
    }
}

/// Keys of a terminal reach a whole group; s2r has everybody hold still while it counts them; other
/// signals are for the command alone.
fn pass(step: Pid, number: u8, ground: &RootKind) {
    let Some(signal) = Signal::from_named_raw(i32::from(number)) else {
        return;
    };
    let _ = match signal {
        // All processes that we can see but ourselves; here that is all of the step's.
        Signal::STOP | Signal::CONT if ground.is_in_namespaces() && getpid() == Pid::INIT => {
            kill_process_group(Pid::INIT, signal)
        }
        Signal::STOP | Signal::CONT | Signal::INT | Signal::QUIT => {
            kill_process_group(step, signal)
        }
        signal => kill_process(step, signal),
    };
}

/// Whether a file system in memory took all that it may.
fn is_full(path: &str) -> bool {
    const NEARLY: u64 = 16;
    rustix::fs::statfs(path).is_ok_and(|space| {
        let has_no_room = space.f_blocks > 0 && space.f_bavail <= space.f_blocks.min(NEARLY);
        let has_no_names = space.f_files > 0 && space.f_ffree == 0;
        space.f_type == TMPFS && (has_no_room || has_no_names)
    })
}

/// The number of tmpfs in `linux/magic.h`.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Becomes the step. Returns only if that fails.
fn start(spec: &StepSpec, has_own_ipc: bool, input: &OwnedFd) -> Result<ExitCode, HelperTrouble> {
    setsid().tried(HelperAction::Fork, "session")?;
    system::release_signals().tried(HelperAction::Privileges, "signals")?;
    die_with_parent()?;
    rustix::stdio::dup2_stdin(input.as_fd()).tried(HelperAction::Command, "standard input")?;
    privileges::bound();
    if let RootKind::Chroot { at } = &spec.ground {
        chroot::enter(at, spec)?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    privileges::limit(&spec.bounds)?;
    let directory = Path::new(&spec.directory);
    std::env::set_current_dir(directory)
        .or_else(|_| {
            fs::create_dir_all(directory).and_then(|()| std::env::set_current_dir(directory))
        })
        .tried(HelperAction::Directory, &spec.directory)?;
    let (program, arguments) = spec
        .command
        .split_first()
        .ok_or(Errno::INVAL)
        .tried(HelperAction::Command, "")?;
    privileges::drop_all(&spec.ground, has_own_ipc)?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(
            spec.environment
                .iter()
                .map(|(name, value)| (OsStr::new(name), OsStr::new(value))),
        )
        .exec();
    Err(error).tried(HelperAction::Command, program)
}
