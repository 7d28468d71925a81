//! Other programs, run to their end: none may run for ever, or say more than is read. No thread is
//! needed, so that this works where there are hardly any to be had.
//!
//! All of s2r starts and waits for programs here (`clippy.toml` refuses the standard library's own ways elsewhere).

#![expect(
    clippy::disallowed_methods,
    reason = "this is where programs are started and waited for"
)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Read at once, in bytes.
const PIECE_BYTES: usize = 8 << 10;
/// How often one looks whether a program has ended that says nothing more.
const GLANCE: Duration = Duration::from_millis(2);
/// How long to wait for who holds the pipes of a program that has ended.
const GRACE: Duration = Duration::from_secs(2);

/// What a program may use up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessLimits {
    /// Then it is killed.
    pub time: Duration,
    /// Bytes kept of its standard output, the first ones; the rest is read, and thrown away.
    pub output_bytes: usize,
    /// Bytes kept of its standard error, the last ones.
    pub error_bytes: usize,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct ProcessOutput {
    pub status: ExitStatus,
    /// The beginning of its standard output.
    pub output: Vec<u8>,
    /// The end of its standard error.
    pub error: Vec<u8>,
}

/// What becomes of a program while it runs.
pub(crate) trait ProcessAttendant {
    /// The next piece of its standard input; nothing if that was all.
    fn next_input(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Is called at each turn of the wait, at least twenty times a second. An error ends the program.
    fn glance(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing comes in, and nobody looks.
impl ProcessAttendant for () {}

/// Runs a program to its end. Nothing comes in; what it writes is kept within bounds.
///
/// # Errors
/// It cannot be started; it ran for too long ([`io::ErrorKind::TimedOut`]), and is gone.
pub(crate) fn run(command: &mut Command, bounds: ProcessLimits) -> io::Result<ProcessOutput> {
    command.stdin(Stdio::null());
    run_attended(command, bounds, &mut ())
}

/// The same with somebody who attends to it.
///
/// # Errors
/// As those of [`run`]; who attends to it gave up.
pub(crate) fn run_attended(
    command: &mut Command,
    bounds: ProcessLimits,
    attendant: &mut dyn ProcessAttendant,
) -> io::Result<ProcessOutput> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    to_end(start(command)?, bounds, attendant)
}

/// Attends to a program that has been started, to its end. Of its streams only those that are pipes are ours.
///
/// # Errors
/// As those of [`run_attended`].
pub(crate) fn to_end(
    mut child: Child,
    bounds: ProcessLimits,
    attendant: &mut dyn ProcessAttendant,
) -> io::Result<ProcessOutput> {
    let finished = attend(&mut child, bounds, attendant);
    if finished.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    finished
}

/// Waits for a program that is about to end, and ends it if it does not.
///
/// # Errors
/// It is none of ours.
pub(crate) fn end_within(child: &mut Child, time: Duration) -> io::Result<ExitStatus> {
    let end = Instant::now() + time;
    let mut pause = Duration::from_micros(100);
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(GLANCE);
    }
    let _ = child.kill();
    child.wait()
}

/// Starts a program, also one that was just written: as long as somebody is between fork and exec,
/// it may hold the descriptor by which it was written.
///
/// # Errors
/// The system's.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    /// Tries, the first one included.
    const MAX_STARTS: u32 = 100;
    for _ in 1..MAX_STARTS {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
    command.spawn()
}

fn attend(
    child: &mut Child,
    bounds: ProcessLimits,
    attendant: &mut dyn ProcessAttendant,
) -> io::Result<ProcessOutput> {
    let end = Instant::now() + bounds.time;
    let mut pipes = Pipes {
        input: Input::new(child.stdin.take())?,
        output: OutputPipe::new(child.stdout.take(), bounds.output_bytes, false),
        error: OutputPipe::new(child.stderr.take(), bounds.error_bytes, true),
    };
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        if let Some((status, at)) = ended {
            let is_over = pipes.output.from.is_none() && pipes.error.from.is_none();
            // A child of its own may hold the pipes; what it says is of no interest.
            if is_over || at.elapsed() > GRACE {
                return Ok(ProcessOutput {
                    status,
                    output: pipes.output.kept(),
                    error: pipes.error.kept(),
                });
            }
            pipes.input.to = None;
        } else if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        attendant.glance()?;
        pipes.input.fill(attendant)?;
        pipes.pass()?;
    }
}

/// The streams of a program that are ours.
struct Pipes {
    input: Input,
    output: OutputPipe<ChildStdout>,
    error: OutputPipe<ChildStderr>,
}

impl Pipes {
    /// Reads and writes what can be, after waiting for it a moment.
    fn pass(&mut self) -> io::Result<()> {
        let poll_in = |from| PollFd::from_borrowed_fd(from, PollFlags::IN);
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(3);
        polled.extend(self.output.descriptor().map(poll_in));
        polled.extend(self.error.descriptor().map(poll_in));
        let to = self.input.to.as_ref();
        polled.extend(to.map(|to| PollFd::new(to, PollFlags::OUT)));
        if polled.is_empty() {
            std::thread::sleep(GLANCE);
            return Ok(());
        }
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        match poll(&mut polled, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let is_output = self.output.from.is_some() && ready.next().unwrap_or(false);
        let is_error = self.error.from.is_some() && ready.next().unwrap_or(false);
        let is_input = self.input.to.is_some() && ready.next().unwrap_or(false);
        if is_output {
            self.output.read();
        }
        if is_error {
            self.error.read();
        }
        if is_input {
            self.input.write();
        }
        Ok(())
    }
}

/// What goes to a program.
struct Input {
    to: Option<ChildStdin>,
    piece: Vec<u8>,
    written: usize,
}

impl Input {
    fn new(to: Option<ChildStdin>) -> io::Result<Self> {
        if let Some(to) = &to {
            // Who does not read must not keep us.
            rustix::fs::fcntl_setfl(to, rustix::fs::OFlags::NONBLOCK)?;
        }
        Ok(Self {
            to,
            piece: Vec::new(),
            written: 0,
        })
    }

    /// Gets the next piece when the last one is gone; behind the last the stream is closed.
    fn fill(&mut self, attendant: &mut dyn ProcessAttendant) -> io::Result<()> {
        while self.to.is_some() && self.written == self.piece.len() {
            self.written = 0;
            match attendant.next_input()? {
                Some(piece) => self.piece = piece,
                None => self.to = None,
            }
        }
        Ok(())
    }

    /// Writes once. One that reads no more is left to its status.
    fn write(&mut self) {
        let rest = self.piece.get(self.written..).unwrap_or_default();
        match self.to.as_mut().map(|to| to.write(rest)) {
            Some(Ok(length)) => self.written += length,
            Some(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            _ => self.to = None,
        }
    }
}

/// One stream of a program.
struct OutputPipe<R> {
    from: Option<R>,
    kept: Vec<u8>,
    limit: usize,
    /// The last bytes are kept, not the first.
    keeps_end: bool,
}

impl<R: Read + AsFd> OutputPipe<R> {
    fn new(from: Option<R>, limit: usize, keeps_end: bool) -> Self {
        Self {
            from,
            kept: Vec::new(),
            limit,
            keeps_end,
        }
    }

    fn kept(mut self) -> Vec<u8> {
        self.cut();
        self.kept
    }

    fn cut(&mut self) {
        if self.keeps_end {
            let over = self.kept.len().saturating_sub(self.limit);
            self.kept.drain(..over);
        } else {
            self.kept.truncate(self.limit);
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.from.as_ref().map(AsFd::as_fd)
    }

    /// Reads once; at the end the stream is closed.
    fn read(&mut self) {
        let mut piece = [0; PIECE_BYTES];
        let read = self.from.as_mut().map(|from| from.read(&mut piece));
        match read {
            Some(Ok(length @ 1..)) => {
                self.kept.extend(piece.iter().take(length));
                if !self.keeps_end || self.kept.len() > 2 * self.limit {
                    self.cut();
                }
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => self.from = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: ProcessLimits = ProcessLimits {
        time: Duration::from_secs(20),
        output_bytes: 1 << 20,
        error_bytes: 10,
    };

    fn shell(script: &str, bounds: ProcessLimits) -> io::Result<ProcessOutput> {
        run(Command::new("/bin/sh").args(["-c", script]), bounds)
    }

    #[test]
    fn both_streams_are_kept_within_bounds() {
        // Far more than a pipe holds, on both.
        let script =
            "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; echo the end >&2; exit 3";
        let finished = shell(script, BOUNDS).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.output.len(), 300_000);
        assert_eq!(finished.error, b"\0\0the end\n");
    }

    /// Gives so many pieces.
    struct Pieces(u32);

    impl ProcessAttendant for Pieces {
        fn next_input(&mut self) -> io::Result<Option<Vec<u8>>> {
            let Some(left) = self.0.checked_sub(1) else {
                return Ok(None);
            };
            self.0 = left;
            Ok(Some(vec![b'x'; 100_000]))
        }
    }

    #[test]
    fn input_comes_in_pieces_and_who_does_not_read_it_is_not_waited_for() {
        let attended = |script: &str, bounds| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).stdin(Stdio::piped());
            run_attended(&mut command, bounds, &mut Pieces(10))
        };
        let finished = attended("wc -c; cat", BOUNDS).unwrap();
        assert_eq!(finished.output, b"1000000\n");
        let finished = attended("exec 0<&-; echo done; sleep 0.1", BOUNDS).unwrap();
        assert_eq!(finished.output, b"done\n");
        let short = ProcessLimits {
            time: Duration::from_millis(100),
            ..BOUNDS
        };
        let error = attended("sleep 600", short).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// Gives up at once.
    struct Impatient;

    impl ProcessAttendant for Impatient {
        fn glance(&mut self) -> io::Result<()> {
            Err(io::Error::other("enough"))
        }
    }

    #[test]
    fn who_attends_may_end_it() {
        let begun = Instant::now();
        let mut command = Command::new("/bin/sleep");
        let error = run_attended(command.arg("600"), BOUNDS, &mut Impatient).unwrap_err();
        assert_eq!(error.to_string(), "enough");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn who_is_to_end_ends() {
        let mut child = start(Command::new("/bin/sleep").arg("600")).unwrap();
        let status = end_within(&mut child, Duration::from_millis(20)).unwrap();
        assert!(!status.success());
        let mut child = start(&mut Command::new("/bin/true")).unwrap();
        let status = end_within(&mut child, Duration::from_secs(20)).unwrap();
        assert!(status.success());
    }

    #[test]
    fn nothing_runs_for_ever() {
        let bounds = ProcessLimits {
            time: Duration::from_millis(100),
            ..BOUNDS
        };
        for script in ["sleep 600", "exec >&- 2>&-; sleep 600", "yes"] {
            let begun = Instant::now();
            let error = shell(script, bounds).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{script}");
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn who_leaves_a_child_behind_is_not_waited_for() {
        let begun = Instant::now();
        let finished = shell("sleep 30 & echo said", BOUNDS).unwrap();
        assert_eq!(finished.output, b"said\n");
        assert!(begun.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(&mut Command::new("/no/such/program"), BOUNDS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
