//! Portions of sources, compiled by interpreters side by side: which gets what, how it is fed, and
//! how many run at once in a build.

use std::io::{self, ErrorKind};
use std::process::Stdio;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::interpreter::{HostInterpreter, frame, length};
use super::{BytecodeCompiler, CompileJob, PycValidation, SourceSet, inputs};
use crate::context::stage_clock::join;
use crate::host::{self, ProcessAttendant, ProcessLimits};
use crate::report::BuildError;

/// What is read of an interpreter's complaint.
const MAX_COMPLAINT_BYTES: usize = 4 << 10;
/// What is handed over at once, at least.
const PIECE_BYTES: usize = 64 << 10;
/// The longest that one interpreter may take; its processor time is bounded much more closely.
const LANE_TIME: Duration = Duration::from_mins(30);

/// Portions for interpreters side by side, as equal in bytes as may be.
pub(crate) fn of<'j>(
    jobs: &'j [CompileJob],
    sets: &[SourceSet<'_>],
    workers: usize,
) -> Vec<Vec<&'j CompileJob>> {
    let mut lanes: Vec<(u64, Vec<&CompileJob>)> = Vec::new();
    lanes.resize_with(workers.min(jobs.len()), Default::default);
    for job in jobs {
        let set = sets.get(job.set);
        let bytes = set.map_or(0, |set| {
            inputs(set, job).iter().map(|input| input.size_bytes).sum()
        });
        if let Some((total, lane)) = lanes.iter_mut().min_by_key(|(total, _)| *total) {
            *total += bytes;
            lane.push(job);
        }
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// Has interpreters compile portions, and keep what they make; how long they ran, all together.
///
/// # Errors
/// The first interpreter's that cannot be run or gives up; a source that cannot be read.
pub(crate) fn run(
    compiler: &BytecodeCompiler<'_>,
    interpreter: &HostInterpreter,
    lanes: &[Vec<&CompileJob>],
    sets: &[SourceSet<'_>],
) -> Result<Duration, BuildError> {
    let done: Vec<Result<Duration, BuildError>> = std::thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|lane| {
                scope.spawn(|| {
                    let _permit = compiler.permits.take();
                    let start = Instant::now();
                    one(compiler, interpreter, lane, sets)?;
                    Ok(start.elapsed())
                })
            })
            .collect();
        running.into_iter().map(join).collect::<Result<_, _>>()
    })?;
    done.into_iter().sum()
}

/// Has one interpreter compile portions of one trust, one after the other.
fn one(
    compiler: &BytecodeCompiler<'_>,
    interpreter: &HostInterpreter,
    lane: &[&CompileJob],
    sets: &[SourceSet<'_>],
) -> Result<(), BuildError> {
    let folder = compiler.store.temp_folder("compile-")?;
    let trust = lane.first().and_then(|job| sets.get(job.set));
    let is_checked = trust.is_some_and(|set| set.trust == PycValidation::Checked);
    let mut command = interpreter.command(is_checked, folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = interpreter.start(&mut command, folder.path())?;
    if let Err(error) = interpreter.limit(&child) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = host::end_within(&mut child, Duration::ZERO);
        return Err(error.into());
    }
    let bounds = ProcessLimits {
        time: LANE_TIME,
        output_bytes: lane.len(),
        error_bytes: MAX_COMPLAINT_BYTES,
    };
    let mut feeder = Feeder {
        lane,
        sets,
        job: 0,
        input: 0,
        failure: None,
    };
    let finished = host::to_end(child, bounds, &mut feeder);
    if let Some(failure) = feeder.failure {
        return Err(failure);
    }
    let finished = finished.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => {
            interpreter.failed(format!("it did not end in {} s", LANE_TIME.as_secs()))
        }
        _ => interpreter.failed(error.to_string()),
    })?;
    if !finished.status.success() {
        let text = String::from_utf8_lossy(&finished.error);
        let complaint = format!("{}: {}", finished.status, text.trim_end());
        return Err(interpreter.failed(complaint).into());
    }
    for ((number, job), mark) in lane.iter().enumerate().zip(finished.output) {
        if mark == b'1' {
            let draft = folder.path().join(number.to_string());
            compiler.store.keep_compiled(&draft, &job.key)?;
        }
    }
    Ok(())
}

/// Hands the sources of a portion to an interpreter.
struct Feeder<'a> {
    lane: &'a [&'a CompileJob],
    sets: &'a [SourceSet<'a>],
    /// Which one is next.
    job: usize,
    /// Which source of it.
    input: usize,
    /// A source that cannot be read.
    failure: Option<BuildError>,
}

impl Feeder<'_> {
    /// Adds the next source to a piece; whether there was one.
    fn add(&mut self, piece: &mut Vec<u8>) -> Result<bool, BuildError> {
        let Some(job) = self.lane.get(self.job) else {
            return Ok(false);
        };
        let set = self.sets.get(job.set);
        let inputs = set.map_or(&[][..], |set| inputs(set, job));
        if self.input == 0 {
            frame(piece, self.job.to_string().as_bytes());
            length(piece, inputs.len());
        }
        let source = job.range.clone().zip(inputs).nth(self.input);
        if let (Some(set), Some((index, input))) = (set, source) {
            frame(piece, &[b"/".as_slice(), &input.path].concat());
            frame(piece, &(set.read)(index)?);
            self.input += 1;
        }
        if self.input >= inputs.len() {
            (self.job, self.input) = (self.job + 1, 0);
        }
        Ok(true)
    }
}

impl ProcessAttendant for Feeder<'_> {
    fn next_input(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            match self.add(&mut piece) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    self.failure = Some(failure);
                    return Err(ErrorKind::Other.into());
                }
            }
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

/// How many interpreters may run.
pub(crate) struct InterpreterPermits {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them; given back when it is dropped.
struct InterpreterPermit<'a>(&'a InterpreterPermits);

impl InterpreterPermits {
    /// So many; one at least.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count.max(1)),
            freed: Condvar::new(),
        }
    }

    fn take(&self) -> InterpreterPermit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        InterpreterPermit(self)
    }
}

impl Drop for InterpreterPermit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytecode::jobs;
    use crate::bytecode::testing::set;
    use crate::oci::KeyBuilder;

    #[test]
    fn lanes_hold_every_job_once_and_weigh_alike() {
        let sets = [set(&[600 << 10; 7]), set(&[600 << 10; 2])];
        let key = KeyBuilder::new("k").finish();
        let jobs = jobs(&sets, &key);
        assert_eq!(jobs.len(), 9);
        let lanes = of(&jobs, &sets, 4);
        let counts: Vec<usize> = lanes.iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 2, 2, 2]);
    }

    #[test]
    fn permits_come_back() {
        let permits = InterpreterPermits::new(0);
        drop(permits.take());
        drop(permits.take());
        assert_eq!(*permits.free.lock().unwrap(), 1);
    }
}
