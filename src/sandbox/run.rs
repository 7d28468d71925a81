//! The side of s2r: starts the helper, hands it the step, passes output on, and watches the limits.
//!
//! One thread and one `poll`: the helper lives as long as the thread that started it, so that is the
//! one that waits.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error::SandboxError;
use super::inside::HELPER;
use super::metering::held_memory::IpcTables;
use super::metering::meter::StepMeter;
use super::orphans;
use super::spec::{self, CommandStatus, HelperAction, HelperMessage, HelperOrder};
use super::system;
use super::tail::{self, OutputTail};
use super::visit::Visit;
use super::{EndReason, OutputStream, StepEnd, StepLimits};
use crate::host;

/// How long the helper may take to end when it has been told to.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How long it may take to find out what the kernel allows.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is read of a stream at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Signals that a caller passes on to what runs in its place.
const PASSED: &[i32] = &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// What becomes of the step's streams.
pub(super) enum StreamMode<'a> {
    /// Nothing comes in; what comes out is passed to a function.
    Watched(&'a mut dyn FnMut(OutputStream, &[u8])),
    /// Those of this process; signals are passed on as well.
    Ours(HeldSignals),
    /// Nothing comes in, of what comes out the last lines are kept, and somebody looks at the step meanwhile.
    Visited(&'a Visit),
}

/// Signals that end a process, held back so that they can be passed on (TERM, INT, HUP, QUIT).
#[derive(Debug)]
pub(crate) struct HeldSignals(fs::File);

impl HeldSignals {
    /// Holds them back, for this thread and those that it starts from now on. Threads that are there
    /// already would end the process on such a signal.
    pub(crate) fn hold() -> Result<Self, SandboxError> {
        let held =
            system::hold_signals(PASSED).map_err(|source| SandboxError::Helper { source })?;
        Ok(Self(held.into()))
    }
}

/// A helper that has been started.
struct HelperProcess {
    child: Child,
    socket: Option<UnixStream>,
    /// The step sees the helper, and may end it.
    shares_processes: bool,
}

impl HelperProcess {
    /// Waits until it is gone, and all that it was to end.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // Without us at the other end, the helper ends everything.
        self.socket = None;
        let status = host::end_within(&mut self.child, END_WITHIN);
        if self.shares_processes {
            orphans::end();
        }
        status
    }
}

impl Drop for HelperProcess {
    /// An error on our side must not leave the step behind.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Starts s2r anew as a helper, with nothing of our environment.
fn start(program: &Path, is_watched: bool) -> Result<HelperProcess, SandboxError> {
    let failed = |source| SandboxError::Helper { source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let streams = || {
        if is_watched {
            Stdio::piped()
        } else {
            Stdio::inherit()
        }
    };
    let mut command = Command::new(program);
    command
        .arg0(HELPER)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(streams())
        .stderr(streams())
        // Keys of the terminal are for us; what the step is to hear of them we pass on.
        .process_group(0);
    Ok(HelperProcess {
        child: host::start(&mut command).map_err(failed)?,
        socket: Some(ours),
        shares_processes: false,
    })
}

/// Asks a helper whether namespaces can be had here: what it says, or what it failed at.
pub(super) fn probe(program: &Path) -> Result<Result<(), (HelperAction, io::Error)>, SandboxError> {
    let mut helper = start(program, true)?;
    let answer = helper.socket.as_mut().map_or(Ok(None), |socket| {
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        spec::send(socket, &HelperOrder::Probe).and_then(|()| spec::receive(socket))
    });
    drop(helper);
    match answer.map_err(|source| SandboxError::Helper { source })? {
        Some(HelperMessage::Works) => Ok(Ok(())),
        Some(HelperMessage::Failed { act, errno, .. }) => {
            Ok(Err((act, io::Error::from_raw_os_error(errno))))
        }
        Some(_) | None => Err(SandboxError::Silent),
    }
}

/// Runs a step in a helper, and returns how it ended.
pub(super) fn run(
    program: &Path,
    spec: spec::StepSpec,
    limits: &StepLimits,
    meter: StepMeter,
    streams: &mut StreamMode<'_>,
) -> Result<StepEnd, SandboxError> {
    let failed = |source| SandboxError::Helper { source };
    let (is_watched, signals) = match streams {
        StreamMode::Watched(_) | StreamMode::Visited(_) => (true, None),
        StreamMode::Ours(HeldSignals(file)) => (false, Some(file.try_clone().map_err(failed)?)),
    };
    let shares_processes = !spec.ground.is_in_namespaces();
    if shares_processes {
        orphans::take_in().map_err(failed)?;
    }
    let mut helper = start(program, is_watched)?;
    helper.shares_processes = shares_processes;
    if let Some(socket) = &mut helper.socket {
        spec::send(socket, &HelperOrder::Run(Box::new(spec))).map_err(failed)?;
        match streams {
            StreamMode::Watched(_) => Ok(()),
            StreamMode::Ours(_) => spec::send_descriptor(socket, io::stdin().as_fd()),
            StreamMode::Visited(visit) => spec::send_descriptor(socket, visit.theirs.as_fd()),
        }
        .map_err(failed)?;
    }
    let mut watch = StepWatch {
        output: helper.child.stdout.take(),
        error: helper.child.stderr.take(),
        helper,
        signals,
        limits: *limits,
        meter,
        started: Instant::now(),
        looked: Instant::now(),
        tick: Duration::ZERO,
        told_to_end: None,
        waited: None,
        passed_bytes: 0,
        tail: OutputTail::of(match streams {
            StreamMode::Visited(_) => tail::SERVER_LINES,
            StreamMode::Watched(_) | StreamMode::Ours(_) => tail::STEP_LINES,
        }),
        outcome: StepOutcome::default(),
    };
    watch.wait(streams)?;
    watch.end()
}

/// What is known of the end.
#[derive(Debug, Default)]
struct StepOutcome {
    status: Option<CommandStatus>,
    is_memory_file_full: bool,
    failed: Option<(HelperAction, String, i32)>,
    over: Option<EndReason>,
    is_output_cut: bool,
    reached_network: bool,
}

/// A step while it runs.
struct StepWatch {
    helper: HelperProcess,
    output: Option<ChildStdout>,
    error: Option<ChildStderr>,
    signals: Option<fs::File>,
    limits: StepLimits,
    meter: StepMeter,
    started: Instant,
    looked: Instant,
    tick: Duration,
    told_to_end: Option<Instant>,
    waited: Option<io::Result<ExitStatus>>,
    passed_bytes: u64,
    tail: OutputTail,
    outcome: StepOutcome,
}

/// Who may have something for us.
#[derive(Debug, Clone, Copy)]
enum MessageOrigin {
    Helper,
    Stream(OutputStream),
    Signals,
}

impl StepWatch {
    /// Goes on until the helper and everybody who holds the step's output is gone.
    fn wait(&mut self, streams: &mut StreamMode<'_>) -> Result<(), SandboxError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.helper.socket.is_some() || self.output.is_some() || self.error.is_some() {
            let ready = self.ready().map_err(|errno| SandboxError::Helper {
                source: errno.into(),
            })?;
            for from in ready {
                match from {
                    MessageOrigin::Helper => self.listen(streams),
                    MessageOrigin::Stream(stream) => self.pass(stream, &mut chunk, streams),
                    MessageOrigin::Signals => self.hear(),
                }
            }
            if self.looked.elapsed() >= self.tick {
                self.look();
                self.tick = self.meter.patience(&self.limits);
                self.looked = Instant::now();
            }
        }
        Ok(())
    }

    fn ready(&self) -> Result<Vec<MessageOrigin>, Errno> {
        let mut polled = Vec::with_capacity(4);
        let mut whose = Vec::with_capacity(4);
        if let Some(socket) = &self.helper.socket {
            polled.push(PollFd::new(socket, PollFlags::IN));
            whose.push(MessageOrigin::Helper);
        }
        if let Some(output) = &self.output {
            polled.push(PollFd::new(output, PollFlags::IN));
            whose.push(MessageOrigin::Stream(OutputStream::Output));
        }
        if let Some(error) = &self.error {
            polled.push(PollFd::new(error, PollFlags::IN));
            whose.push(MessageOrigin::Stream(OutputStream::Error));
        }
        if let Some(signals) = &self.signals {
            polled.push(PollFd::new(signals, PollFlags::IN));
            whose.push(MessageOrigin::Signals);
        }
        let patience = self.tick.saturating_sub(self.looked.elapsed());
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: patience.subsec_nanos().into(),
        };
        match poll(&mut polled, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(polled
            .iter()
            .zip(whose)
            .filter(|(polled, _)| !polled.revents().is_empty())
            .map(|(_, whose)| whose)
            .collect())
    }

    /// Takes news of the helper.
    fn listen(&mut self, streams: &StreamMode<'_>) {
        let Some(socket) = &mut self.helper.socket else {
            return;
        };
        match spec::receive(socket) {
            Ok(Some(HelperMessage::Tables)) => {
                if let Some(tables) = receive_tables(socket) {
                    self.meter.set_tables(tables);
                }
            }
            Ok(Some(HelperMessage::Head {
                pid,
                reaches_network,
            })) => {
                self.outcome.reached_network = reaches_network;
                self.meter.begin(pid);
                if let StreamMode::Visited(visit) = streams {
                    visit.announce(pid);
                }
            }
            Ok(Some(HelperMessage::Failed {
                act,
                subject,
                errno,
            })) => {
                self.outcome.failed.get_or_insert((act, subject, errno));
            }
            Ok(Some(HelperMessage::Ended {
                status,
                is_memory_file_full,
            })) => {
                self.outcome.status = Some(status);
                self.outcome.is_memory_file_full = is_memory_file_full;
            }
            Ok(Some(HelperMessage::Works)) => {}
            // What is left of the step may hold its output open.
            Ok(None) | Err(_) => {
                self.waited = Some(self.helper.end());
                if let StreamMode::Visited(visit) = streams
                    && self.outcome.status.is_none()
                    && visit.is_over()
                {
                    self.outcome.over.get_or_insert(EndReason::LookedAt);
                }
            }
        }
    }

    /// Reads a stream, and passes on what the limit leaves.
    fn pass(&mut self, stream: OutputStream, chunk: &mut [u8], streams: &mut StreamMode<'_>) {
        let read = match stream {
            OutputStream::Output => self.output.as_mut().map(|from| from.read(chunk)),
            OutputStream::Error => self.error.as_mut().map(|from| from.read(chunk)),
        };
        let length = match read {
            Some(Ok(length)) if length > 0 => length,
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return,
            _ => {
                match stream {
                    OutputStream::Output => self.output = None,
                    OutputStream::Error => self.error = None,
                }
                return;
            }
        };
        let bytes = chunk.get(..length).unwrap_or_default();
        self.tail.take(stream, bytes);
        let room = self.limits.output_bytes.saturating_sub(self.passed_bytes);
        let passed = usize::try_from(room).unwrap_or(usize::MAX).min(length);
        self.outcome.is_output_cut |= passed < length;
        self.passed_bytes += passed as u64;
        if let (StreamMode::Watched(to), Some(bytes @ [_, ..])) = (streams, bytes.get(..passed)) {
            to(stream, bytes);
        }
    }

    /// Passes on a signal that we were sent.
    fn hear(&mut self) {
        let mut held = [0; system::HELD_SIGNAL_BYTES];
        if let Some(signals) = &mut self.signals
            && signals.read(&mut held).is_ok()
            // The number comes first, in the machine's order, and none is above 64.
            && let [number, 0, 0, 0, ..] | [0, 0, 0, number, ..] = held
        {
            self.tell(number);
        }
    }

    fn tell(&mut self, signal: u8) {
        if let Some(socket) = &mut self.helper.socket {
            // It may just have ended.
            let _ = socket.write_all(&[signal]);
        }
    }

    /// The limit that the step is over. Whoever starts processes without end leaves no time to count them; so where
    /// the machine has many new ones, all hold still meanwhile.
    fn count(&mut self) -> Option<EndReason> {
        if let Some(over) = self.meter.disk_over(&self.limits) {
            return Some(over);
        }
        let is_crowded = self.meter.is_crowded(&self.limits);
        if is_crowded && self.meter.has_too_many(&self.limits) {
            return Some(EndReason::TooManyProcesses);
        }
        if !self.meter.is_due(&self.limits) {
            return None;
        }
        if is_crowded {
            self.tell(STOP);
        }
        let over = self.meter.processes_over(&self.limits);
        if is_crowded && over.is_none() {
            self.tell(CONTINUE);
        }
        over
    }

    /// Looks at the limits, and ends the step if it is over one.
    fn look(&mut self) {
        match self.told_to_end {
            None => {
                let over = if self.started.elapsed() > self.limits.time {
                    Some(EndReason::OutOfTime)
                } else if self.outcome.status.is_none() {
                    self.count()
                } else {
                    None
                };
                if over.is_some() {
                    self.outcome.over = over;
                    self.told_to_end = Some(Instant::now());
                    self.tell(KILL);
                }
            }
            Some(told) if told.elapsed() > END_WITHIN => {
                // Whatever it hangs on: without it, the kernel ends the rest.
                let _ = self.helper.child.kill();
                self.waited = Some(self.helper.end());
                self.output = None;
                self.error = None;
            }
            Some(_) => {}
        }
    }

    /// What came of it, when everything is gone.
    fn end(mut self) -> Result<StepEnd, SandboxError> {
        let waited = self.waited.take().unwrap_or_else(|| self.helper.end());
        let took = self.started.elapsed();
        if let Some((act, subject, errno)) = self.outcome.failed {
            let source = io::Error::from_raw_os_error(errno);
            return Err(match act {
                HelperAction::Command => SandboxError::Command {
                    program: subject,
                    source,
                },
                act => SandboxError::Setup {
                    act,
                    subject,
                    source,
                },
            });
        }
        let status = match (self.outcome.status, self.outcome.over) {
            (Some(status), _) => status,
            (None, Some(_)) => CommandStatus::Signal(libc::SIGKILL),
            (None, None) => {
                return Err(match waited {
                    Ok(_) => SandboxError::Silent,
                    Err(source) => SandboxError::Helper { source },
                });
            }
        };
        let reason = self
            .outcome
            .over
            .or_else(|| {
                self.meter
                    .blames(status, self.outcome.is_memory_file_full, &self.limits)
            })
            .unwrap_or(EndReason::Exited);
        Ok(StepEnd {
            status,
            reason,
            reached_network: self.outcome.reached_network,
            is_output_cut: self.outcome.is_output_cut,
            last_lines: self.tail.lines(),
            took,
        })
    }
}

fn receive_tables(from: &UnixStream) -> Option<IpcTables> {
    let table = || spec::receive_descriptor(from).ok().map(fs::File::from);
    Some(IpcTables([table()?, table()?, table()?]))
}

/// `SIGKILL`, as a byte for the helper.
const KILL: u8 = 9;
const CONTINUE: u8 = 18;
const STOP: u8 = 19;
