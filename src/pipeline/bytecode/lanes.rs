//! Portions of sources, compiled by interpreters side by side: which gets what, how it is fed, and
//! how many run at once in a build.

use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::Child;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::interpreter::{Interpreter, frame, length};
use super::{Compiler, Job, Set, Trust, inputs, unreadable};
use crate::pipeline::platform::join;
use crate::report::BuildError;

/// What is read of an interpreter's complaint.
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;

/// Portions for interpreters side by side, as equal in bytes as may be.
pub(super) fn of<'j>(jobs: &'j [Job], sets: &[Set<'_>], workers: usize) -> Vec<Vec<&'j Job>> {
    let mut lanes: Vec<(u64, Vec<&Job>)> = Vec::new();
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
pub(super) fn run(
    compiler: &Compiler<'_>,
    interpreter: &Interpreter,
    lanes: &[Vec<&Job>],
    sets: &[Set<'_>],
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
    compiler: &Compiler<'_>,
    interpreter: &Interpreter,
    lane: &[&Job],
    sets: &[Set<'_>],
) -> Result<(), BuildError> {
    let scratch = compiler.store.scratch();
    let unwritable = || unreadable(&scratch);
    let folder = compiler.store.temp_folder("compile-")?;
    let mut told = tempfile::tempfile_in(&scratch).map_err(unwritable())?;
    let mut complaint = tempfile::tempfile_in(&scratch).map_err(unwritable())?;
    let trust = lane.first().and_then(|job| sets.get(job.set));
    let is_checked = trust.is_some_and(|set| set.trust == Trust::Checked);
    let mut command = interpreter.command(is_checked, folder.path());
    command
        .stdout(told.try_clone().map_err(unwritable())?)
        .stderr(complaint.try_clone().map_err(unwritable())?);
    let mut child = interpreter.start(&mut command, folder.path())?;
    let fed = interpreter
        .limit(&child)
        .map_err(BuildError::from)
        .and_then(|()| feed(&mut child, lane, sets));
    if let Err(error) = fed {
        // It may have ended by itself; then there is nothing to stop.
        let _ended_before = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let status = child.wait().map_err(unwritable())?;
    if !status.success() {
        let text = text(&mut complaint, MAX_COMPLAINT_BYTES);
        return Err(interpreter
            .failed(format!("{status}: {}", text.trim_end()))
            .into());
    }
    let most = lane.len() as u64;
    let marks = text(&mut told, most);
    for ((number, job), mark) in lane.iter().enumerate().zip(marks.bytes()) {
        if mark == b'1' {
            let draft = folder.path().join(number.to_string());
            compiler.store.keep_compiled(&draft, &job.key)?;
        }
    }
    Ok(())
}

/// Hands the sources to an interpreter. One that has ended early is left to its status.
fn feed(child: &mut Child, lane: &[&Job], sets: &[Set<'_>]) -> Result<(), BuildError> {
    let Some(pipe) = child.stdin.take() else {
        return Ok(());
    };
    let mut pipe = BufWriter::with_capacity(64 << 10, pipe);
    for (number, job) in lane.iter().enumerate() {
        let Some(set) = sets.get(job.set) else {
            continue;
        };
        let inputs = inputs(set, job);
        let begun = frame(&mut pipe, number.to_string().as_bytes())
            .and_then(|()| length(&mut pipe, inputs.len()));
        if begun.is_err() {
            return Ok(());
        }
        for (index, input) in job.range.clone().zip(inputs) {
            let bytes = (set.read)(index)?;
            let shown = [b"/".as_slice(), &input.path].concat();
            if frame(&mut pipe, &shown)
                .and_then(|()| frame(&mut pipe, &bytes))
                .is_err()
            {
                return Ok(());
            }
        }
    }
    // What cannot be flushed has no reader any more, and its status tells why.
    let _ = pipe.flush();
    Ok(())
}

/// What was written to a file, as far as it is of interest.
fn text(file: &mut File, most: u64) -> String {
    let mut bytes = Vec::new();
    // A complaint that cannot be read is none.
    let _ = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.take(most).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many interpreters may run.
pub(super) struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them; given back when it is dropped.
struct Permit<'a>(&'a Permits);

impl Permits {
    /// So many; one at least.
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count.max(1)),
            freed: Condvar::new(),
        }
    }

    fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::KeyBuilder;
    use crate::pipeline::bytecode::{jobs, testing::set};

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
        let permits = Permits::new(0);
        drop(permits.take());
        drop(permits.take());
        assert_eq!(*permits.free.lock().unwrap(), 1);
    }
}
