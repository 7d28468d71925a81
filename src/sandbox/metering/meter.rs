//! What a step uses up, as the machine sees it: memory, processes, disk.
//!
//! Looked at from outside, because the control groups that would do it are not ours to make where s2r is needed
//! most. Looks come the more often the nearer a step is to its limit, and take no more than a part of the time, so
//! they are cheap for steps that use little; the disk is only walked when its free space says that it could matter.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::disk::DiskUsage;
use super::held_memory::IpcTables;
use super::memory::{MachineMemory, MemoryMeter};
use super::tree;
use crate::sandbox::spec::CommandStatus;
use crate::sandbox::{EndReason, StepLimits};

/// Limits are looked at so often at least, and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(5)];

/// What a step may take in a second, in bytes: about what two processors can fill.
const BYTES_A_SECOND: u64 = 4 << 30;

/// A look at the processes may take one part in this of our time, far from the limit of memory and near it.
const LOOK_SHARES: [u32; 2] = [10, 2];

/// Watches over one step.
#[derive(Debug)]
pub(in crate::sandbox) struct StepMeter {
    head: Option<i32>,
    memory: MemoryMeter,
    disk: Option<DiskUsage>,
    last: LastReading,
    ooms_before: Option<u64>,
    tasks_before: Option<u64>,
    has_own_memory_files: bool,
}

/// The last look at the processes.
#[derive(Debug)]
struct LastReading {
    at: Instant,
    took: Duration,
    /// What was left of the step's memory.
    room_bytes: u64,
    /// What was left of the machine's.
    available_bytes: u64,
}

impl StepMeter {
    /// For a step that writes below these folders; whether its `/tmp` and `/dev/shm` are memory of its own.
    pub(in crate::sandbox) fn new(
        written: Vec<PathBuf>,
        has_own_memory_files: bool,
        limits: &StepLimits,
    ) -> Self {
        Self {
            head: None,
            memory: MemoryMeter::new(has_own_memory_files),
            disk: (limits.disk_bytes != u64::MAX && !written.is_empty())
                .then(|| DiskUsage::new(written)),
            last: LastReading {
                at: Instant::now(),
                took: Duration::ZERO,
                room_bytes: limits.memory_bytes,
                available_bytes: MachineMemory::now().available_bytes,
            },
            ooms_before: tree::out_of_memory_kills(),
            tasks_before: tree::of_machine(),
            has_own_memory_files,
        }
    }

    /// The step's processes descend from this one.
    pub(in crate::sandbox) fn begin(&mut self, head: i32) {
        self.head = Some(head);
    }

    /// The tables of what they hold by number.
    pub(in crate::sandbox) fn set_tables(&mut self, tables: IpcTables) {
        self.memory.set_tables(tables);
    }

    /// How long nothing need be looked at: nobody fills what is left, and a little more, in less.
    pub(in crate::sandbox) fn patience(&self, limits: &StepLimits) -> Duration {
        /// What a step may be over its limit before it is seen, as a part of it.
        const PART: u64 = 20;
        let [most, least] = LOOKS;
        let memory = self
            .last
            .room_bytes
            .saturating_add(limits.memory_bytes / PART);
        let disk = self.disk.as_ref().map_or(u64::MAX, |disk| {
            let room = disk.room_bytes(limits.disk_bytes);
            room.saturating_add(limits.disk_bytes / PART)
        });
        let bytes = memory.min(disk);
        let time = Duration::from_micros(bytes / (BYTES_A_SECOND / 1_000_000));
        time.clamp(least, most)
    }

    /// Whether the processes are to be looked at again. Where they are many that takes long, and they hold still
    /// meanwhile; so their time comes first, unless the machine says that something has happened.
    pub(in crate::sandbox) fn is_due(&self, limits: &StepLimits) -> bool {
        /// What is near, as a part of the limit.
        const NEAR: u64 = 4;
        let [far, near] = LOOK_SHARES;
        let is_near = self.last.room_bytes < limits.memory_bytes / NEAR;
        let share = if is_near { near } else { far };
        if self.last.at.elapsed() >= self.last.took * share {
            return true;
        }
        let gone = self
            .last
            .available_bytes
            .saturating_sub(MachineMemory::now().available_bytes);
        self.new_tasks() > limits.processes || gone > self.last.room_bytes / 2
    }

    /// Processes and threads that the machine has more than before.
    fn new_tasks(&self) -> u64 {
        self.tasks_before
            .zip(tree::of_machine())
            .map_or(0, |(before, now)| now.saturating_sub(before))
    }

    /// Whether the machine has many more processes and threads than before. Costs next to nothing, unlike
    /// a count of the step's own, which takes half a minute where a thousand want the processor.
    pub(in crate::sandbox) fn is_crowded(&self, limits: &StepLimits) -> bool {
        /// A part of what a step may have.
        const PART: u64 = 16;
        self.new_tasks() > limits.processes / PART
    }

    /// Whether the list of a namespace's processes alone says that there are too many. Needs nobody to hold still.
    pub(in crate::sandbox) fn has_too_many(&self, limits: &StepLimits) -> bool {
        self.has_own_memory_files
            && self
                .head
                .and_then(|head| tree::in_namespace(head, limits.processes))
                .is_some_and(|count| count > limits.processes)
    }

    /// Whether the step has written more than it may.
    pub(in crate::sandbox) fn disk_over(&mut self, limits: &StepLimits) -> Option<EndReason> {
        self.disk
            .as_mut()?
            .is_over(limits.disk_bytes)
            .then_some(EndReason::DiskFull)
    }

    /// The limit that the step's processes are over.
    pub(in crate::sandbox) fn processes_over(&mut self, limits: &StepLimits) -> Option<EndReason> {
        if limits.memory_bytes == u64::MAX && limits.processes == u64::MAX {
            return None;
        }
        let head = self.head?;
        let started = Instant::now();
        let over = self.look(head, limits);
        self.last.took = started.elapsed();
        self.last.at = Instant::now();
        over
    }

    fn look(&mut self, head: i32, limits: &StepLimits) -> Option<EndReason> {
        let tree = tree::below(head, limits.processes);
        if tree.tasks > limits.processes {
            return Some(EndReason::TooManyProcesses);
        }
        if limits.memory_bytes == u64::MAX {
            return None;
        }
        self.last.available_bytes = MachineMemory::now().available_bytes;
        let look = self.memory.look(head, &tree, limits.memory_bytes);
        self.last.room_bytes = limits.memory_bytes.saturating_sub(look.bytes);
        if let Some(disk) = &mut self.disk {
            disk.set_nameless(look.nameless_bytes);
        }
        look.is_over.then_some(EndReason::OutOfMemory)
    }

    /// The limit that may have made a step fail by itself.
    pub(in crate::sandbox) fn blames(
        &mut self,
        status: CommandStatus,
        is_memory_file_full: bool,
        limits: &StepLimits,
    ) -> Option<EndReason> {
        // However it ended: what is too much is not copied into a layer.
        let disk = self
            .disk
            .as_mut()
            .and_then(|disk| disk.was_full(limits.disk_bytes));
        match status {
            _ if disk == Some(EndReason::DiskFull) => disk,
            CommandStatus::Code(0) => None,
            CommandStatus::Signal(libc::SIGXFSZ) => Some(EndReason::DiskFull),
            CommandStatus::Signal(libc::SIGKILL)
                if tree::out_of_memory_kills() > self.ooms_before =>
            {
                Some(EndReason::OutOfMemory)
            }
            _ if is_memory_file_full => Some(EndReason::MemoryFilesFull),
            _ => disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StepLimits = StepLimits {
        disk_bytes: 1 << 20,
        ..StepLimits::NONE
    };

    #[test]
    fn only_what_a_step_adds_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("before"), vec![1; 2 << 20]).unwrap();
        let mut meter = StepMeter::new(vec![folder.path().to_owned()], true, &LIMITS);
        assert_eq!(meter.disk_over(&LIMITS), None);
        assert_eq!(meter.blames(CommandStatus::Code(1), false, &LIMITS), None);
        std::fs::write(folder.path().join("after"), vec![1; 2 << 20]).unwrap();
        assert_eq!(
            meter.blames(CommandStatus::Code(1), false, &LIMITS),
            Some(EndReason::DiskFull)
        );
        assert_eq!(meter.disk_over(&LIMITS), Some(EndReason::DiskFull));
        assert_eq!(
            meter.blames(CommandStatus::Code(0), false, &LIMITS),
            Some(EndReason::DiskFull)
        );
    }

    #[test]
    fn processes_are_counted_from_their_head() {
        let mut meter = StepMeter::new(Vec::new(), true, &LIMITS);
        // Ourselves: more than no process at all, and more than no memory.
        meter.begin(rustix::process::getpid().as_raw_nonzero().get());
        let none = StepLimits {
            processes: 0,
            ..StepLimits::NONE
        };
        assert_eq!(
            meter.processes_over(&none),
            Some(EndReason::TooManyProcesses)
        );
        let little = StepLimits {
            memory_bytes: 1,
            ..StepLimits::NONE
        };
        assert_eq!(meter.processes_over(&little), Some(EndReason::OutOfMemory));
        assert_eq!(meter.processes_over(&StepLimits::NONE), None);
    }

    #[test]
    fn signals_and_full_memory_say_why() {
        let mut meter = StepMeter::new(Vec::new(), true, &StepLimits::NONE);
        let limits = StepLimits::NONE;
        assert_eq!(
            meter.blames(CommandStatus::Signal(libc::SIGXFSZ), false, &limits),
            Some(EndReason::DiskFull)
        );
        assert_eq!(
            meter.blames(CommandStatus::Code(1), true, &limits),
            Some(EndReason::MemoryFilesFull)
        );
        assert_eq!(meter.blames(CommandStatus::Code(1), false, &limits), None);
    }
}
