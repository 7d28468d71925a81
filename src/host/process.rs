//! Other programs, run to their end: none may run for ever, or say more than is read. No thread is
//! needed, so that this works where there are hardly any to be had.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
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
pub(crate) struct Bounds {
    /// Then it is killed.
    pub time: Duration,
    /// Bytes kept of its standard output; the rest is read, and thrown away.
    pub output_bytes: usize,
    /// The same of its standard error.
    pub error_bytes: usize,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// The beginning of its standard output.
    pub output: Vec<u8>,
    /// The beginning of its standard error.
    pub error: Vec<u8>,
}

/// Runs a program to its end. Nothing comes in; what it writes is kept within bounds.
///
/// # Errors
/// It cannot be started; it ran for too long ([`io::ErrorKind::TimedOut`]), and is gone.
pub(crate) fn run(command: &mut Command, bounds: Bounds) -> io::Result<Finished> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(command)?;
    let finished = attend(&mut child, bounds);
    if finished.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    finished
}

/// Starts a program, also one that was just written: as long as somebody is between fork and exec,
/// it may hold the descriptor by which it was written.
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

fn attend(child: &mut Child, bounds: Bounds) -> io::Result<Finished> {
    let end = Instant::now() + bounds.time;
    let mut output = Pipe::new(child.stdout.take(), bounds.output_bytes);
    let mut error = Pipe::new(child.stderr.take(), bounds.error_bytes);
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        if let Some((status, at)) = ended {
            let is_over = output.from.is_none() && error.from.is_none();
            // A child of its own may hold the pipes; what it says is of no interest.
            if is_over || at.elapsed() > GRACE {
                return Ok(Finished {
                    status,
                    output: output.kept,
                    error: error.kept,
                });
            }
        } else if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        pass(&mut output, &mut error)?;
    }
}

/// Reads what there is, after waiting for it a moment.
fn pass(output: &mut Pipe<ChildStdout>, error: &mut Pipe<ChildStderr>) -> io::Result<()> {
    let poll_in = |from| PollFd::from_borrowed_fd(from, PollFlags::IN);
    let mut polled: Vec<PollFd<'_>> = output.descriptor().map(poll_in).into_iter().collect();
    polled.extend(error.descriptor().map(poll_in));
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
    let is_output = output.from.is_some() && ready.next().unwrap_or(false);
    let is_error = error.from.is_some() && ready.next().unwrap_or(false);
    if is_output {
        output.read();
    }
    if is_error {
        error.read();
    }
    Ok(())
}

/// One stream of a program.
struct Pipe<R> {
    from: Option<R>,
    kept: Vec<u8>,
    limit: usize,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(from: Option<R>, limit: usize) -> Self {
        Self {
            from,
            kept: Vec::new(),
            limit,
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
                let room = self.limit.saturating_sub(self.kept.len());
                self.kept.extend(piece.iter().take(length.min(room)));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => self.from = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        time: Duration::from_secs(20),
        output_bytes: 1 << 20,
        error_bytes: 10,
    };

    fn shell(script: &str, bounds: Bounds) -> io::Result<Finished> {
        run(Command::new("/bin/sh").args(["-c", script]), bounds)
    }

    #[test]
    fn both_streams_are_kept_within_bounds() {
        // Far more than a pipe holds, on both.
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3";
        let finished = shell(script, BOUNDS).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!((finished.output.len(), finished.error.len()), (300_000, 10));
    }

    #[test]
    fn nothing_runs_for_ever() {
        let bounds = Bounds {
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
