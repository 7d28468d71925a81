//! What a step uses up, as the machine sees it: memory, processes, disk.
//!
//! Looked at from outside, because the control groups that would do it are not ours to make where
//! s2r is needed most. Cheap: the processes are walked from their head downwards, and the disk is
//! only walked when its free space says that it could matter. What it cannot see: memory of files
//! that have no name (`memfd_create`) and that nobody has mapped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::spec::Status;
use super::tree;
use super::{Limits, Reason};

/// The disk is walked again after this time at the earliest, if nothing else says that it should be.
const WALK_AFTER: Duration = Duration::from_secs(2);

/// And a walk may take one part in this of our time.
const WALK_SHARE: u32 = 20;

/// When less than this is free on the disk, whoever has written more than it may ends.
const RESERVE_BYTES: u64 = 256 << 20;

/// Watches over one step.
#[derive(Debug)]
pub(super) struct Meter {
    head: Option<i32>,
    disk: Option<Disk>,
    ooms_before: Option<u64>,
    tasks_before: Option<u64>,
}

impl Meter {
    /// For a step that writes below `written`.
    pub(super) fn new(written: Option<&Path>, limits: &Limits) -> Self {
        Self {
            head: None,
            disk: written
                .filter(|_| limits.disk_bytes != u64::MAX)
                .map(Disk::new),
            ooms_before: tree::out_of_memory_kills(),
            tasks_before: tree::of_machine(),
        }
    }

    /// The step's processes descend from this one.
    pub(super) fn begin(&mut self, head: i32) {
        self.head = Some(head);
    }

    /// Whether the machine has many more processes and threads than before. Costs next to nothing, unlike
    /// a count of the step's own, which takes half a minute where a thousand want the processor.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        /// A part of what a step may have.
        const PART: u64 = 16;
        let now = tree::of_machine();
        self.tasks_before
            .zip(now)
            .is_some_and(|(before, now)| now.saturating_sub(before) > limits.processes / PART)
    }

    /// The limit that the step is over.
    pub(super) fn over(&mut self, limits: &Limits) -> Option<Reason> {
        self.processes_over(limits).or_else(|| {
            self.disk
                .as_mut()?
                .is_over(limits.disk_bytes)
                .then_some(Reason::DiskFull)
        })
    }

    fn processes_over(&self, limits: &Limits) -> Option<Reason> {
        if limits.memory_bytes == u64::MAX && limits.processes == u64::MAX {
            return None;
        }
        let head = self.head?;
        let tree = tree::below(head, limits.processes);
        if tree.tasks > limits.processes {
            return Some(Reason::TooManyProcesses);
        }
        if limits.memory_bytes == u64::MAX {
            return None;
        }
        let files = tree::memory_files(head);
        // Pages that a process shares with its children since they parted count several times here,
        // so a second, dearer look comes before the verdict.
        let is_over = tree.memory_bytes.saturating_add(files) > limits.memory_bytes
            && tree::shared_out(&tree.processes).saturating_add(files) > limits.memory_bytes;
        is_over.then_some(Reason::OutOfMemory)
    }

    /// The limit that may have made a step fail by itself.
    pub(super) fn blames(
        &mut self,
        status: Status,
        is_memory_file_full: bool,
        limits: &Limits,
    ) -> Option<Reason> {
        match status {
            Status::Code(0) => None,
            Status::Signal(libc::SIGXFSZ) => Some(Reason::DiskFull),
            Status::Signal(libc::SIGKILL) if tree::out_of_memory_kills() > self.ooms_before => {
                Some(Reason::OutOfMemory)
            }
            _ if is_memory_file_full => Some(Reason::MemoryFilesFull),
            _ => self.disk.as_mut()?.was_full(limits.disk_bytes),
        }
    }
}

/// The disk below one folder.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    /// What earlier steps have left there.
    before_bytes: u64,
    free_before_bytes: u64,
    walked: Walked,
}

/// One look at every file.
#[derive(Debug, Clone, Copy)]
struct Walked {
    used_bytes: u64,
    free_bytes: u64,
    at: Instant,
    took: Duration,
}

impl Disk {
    fn new(folder: &Path) -> Self {
        let walked = Walked::now(folder);
        Self {
            folder: folder.to_owned(),
            before_bytes: walked.used_bytes,
            free_before_bytes: walked.free_bytes,
            walked,
        }
    }

    fn is_over(&mut self, limit: u64) -> bool {
        let free = free_bytes(&self.folder);
        let gone = self.walked.free_bytes.saturating_sub(free);
        let is_time = self.walked.at.elapsed() > WALK_AFTER.max(self.walked.took * WALK_SHARE);
        // Others use the disk too; so its free space only says when to look.
        let is_due = is_time || self.used().saturating_add(gone) >= limit;
        if is_due && self.walked.at.elapsed() > self.walked.took * WALK_SHARE / 4 {
            self.walked = Walked::now(&self.folder);
        }
        // A file without a name is in no folder; before the machine suffers, it counts all the same.
        let is_drained =
            free < RESERVE_BYTES && self.free_before_bytes.saturating_sub(free) > limit;
        self.used() >= limit || is_drained
    }

    fn used(&self) -> u64 {
        self.walked.used_bytes.saturating_sub(self.before_bytes)
    }

    fn was_full(&mut self, limit: u64) -> Option<Reason> {
        /// What a file system keeps back even when it is full.
        const LAST_BYTES: u64 = 1 << 20;
        self.walked = Walked::now(&self.folder);
        if self.used() >= limit {
            Some(Reason::DiskFull)
        } else if self.walked.free_bytes < LAST_BYTES {
            Some(Reason::NoSpace)
        } else {
            None
        }
    }
}

impl Walked {
    fn now(folder: &Path) -> Self {
        let at = Instant::now();
        let used_bytes = used_bytes(folder);
        Self {
            used_bytes,
            free_bytes: free_bytes(folder),
            at: Instant::now(),
            took: at.elapsed(),
        }
    }
}

/// Blocks on disk of everything below `folder`. What cannot be read, or goes away meanwhile, is left out;
/// a file with several names counts as often.
fn used_bytes(folder: &Path) -> u64 {
    /// What a name alone costs, so that empty files are no way round a limit.
    const ENTRY_BYTES: u64 = 512;
    /// `stat` counts in these, whatever the file system's own are.
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0_u64;
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            bytes = bytes
                .saturating_add(ENTRY_BYTES)
                .saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES));
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}

fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |space| {
        space.f_bavail.saturating_mul(space.f_frsize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        disk_bytes: 1 << 20,
        ..Limits::NONE
    };

    #[test]
    fn only_what_a_step_adds_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("before"), vec![1; 2 << 20]).unwrap();
        let mut meter = Meter::new(Some(folder.path()), &LIMITS);
        assert_eq!(meter.over(&LIMITS), None);
        assert_eq!(meter.blames(Status::Code(1), false, &LIMITS), None);
        std::fs::write(folder.path().join("after"), vec![1; 2 << 20]).unwrap();
        assert_eq!(
            meter.blames(Status::Code(1), false, &LIMITS),
            Some(Reason::DiskFull)
        );
        assert_eq!(meter.over(&LIMITS), Some(Reason::DiskFull));
        assert_eq!(meter.blames(Status::Code(0), false, &LIMITS), None);
    }

    #[test]
    fn processes_are_counted_from_their_head() {
        let mut meter = Meter::new(None, &LIMITS);
        // Ourselves: more than no process at all, and more than no memory.
        meter.begin(rustix::process::getpid().as_raw_nonzero().get());
        let none = Limits {
            processes: 0,
            ..Limits::NONE
        };
        assert_eq!(meter.over(&none), Some(Reason::TooManyProcesses));
        let little = Limits {
            memory_bytes: 1,
            ..Limits::NONE
        };
        assert_eq!(meter.over(&little), Some(Reason::OutOfMemory));
        assert_eq!(meter.over(&Limits::NONE), None);
    }

    #[test]
    fn signals_and_full_memory_say_why() {
        let mut meter = Meter::new(None, &Limits::NONE);
        let limits = Limits::NONE;
        assert_eq!(
            meter.blames(Status::Signal(libc::SIGXFSZ), false, &limits),
            Some(Reason::DiskFull)
        );
        assert_eq!(
            meter.blames(Status::Code(1), true, &limits),
            Some(Reason::MemoryFilesFull)
        );
        assert_eq!(meter.blames(Status::Code(1), false, &limits), None);
    }
}
