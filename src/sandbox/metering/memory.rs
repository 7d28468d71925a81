//! The memory of a step, as the machine sees it.
//!
//! Control groups that would count it are not ours to make where s2r is needed most. So it is added up: pages and
//! page tables of each process, files in memory, and what is [`held_memory`]. What cannot be looked into (connections that
//! nobody has accepted, descriptors on their way from one process to another, a mapping whose descriptor is closed)
//! counts with what the whole machine has lost since the step has such a thing: what others took before is not its.

use std::fs;

use super::held_memory::{self, HeldMemory, IpcTables};
use super::tree::{self, ProcessTree};

/// What a process or thread costs the kernel.
const TASK_BYTES: u64 = 16 << 10;

/// What may have been counted twice is looked at closer if it is more than one part in this of the limit.
const WORTH_A_LOOK: u64 = 16;

/// Memory that was lost to something hidden is believed when it has been seen so often in a row.
const LOOKS: u32 = 2;

#[derive(Debug)]
pub(in crate::sandbox) struct MemoryMeter {
    /// At the last look that found nothing in which memory could be hidden.
    open: UncountedRoom,
    has_own_files: bool,
    tables: Option<IpcTables>,
    hidden_looks: u32,
}

/// A step that hides nothing, in bytes.
#[derive(Debug, Clone, Copy)]
struct UncountedRoom {
    machine: MachineMemory,
    /// All that the step has.
    counted: u64,
    /// What of it is shared memory.
    shared: u64,
}

/// The machine's memory, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sandbox) struct MachineMemory {
    /// What programs could still have, swap included.
    pub available_bytes: u64,
    /// Files in memory, and memory that processes share.
    shared_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct MemoryReading {
    /// What was counted, or may be hidden; shared pages may count several times.
    pub bytes: u64,
    /// It is more than the limit.
    pub is_over: bool,
    /// Files on disk that are open and have no name.
    pub nameless_bytes: u64,
}

impl MemoryMeter {
    /// For a step that begins now; whether `/tmp` and `/dev/shm` are memory of its own.
    pub(in crate::sandbox) fn new(has_own_files: bool) -> Self {
        Self {
            open: UncountedRoom {
                machine: MachineMemory::now(),
                counted: 0,
                shared: 0,
            },
            has_own_files,
            tables: None,
            hidden_looks: 0,
        }
    }

    /// The tables of the step's own segments and queues.
    pub(in crate::sandbox) fn set_tables(&mut self, tables: IpcTables) {
        self.tables = Some(tables);
    }

    /// Adds up what the processes have, and holds it against the limit.
    pub(in crate::sandbox) fn look(
        &mut self,
        head: i32,
        tree: &ProcessTree,
        limit: u64,
    ) -> MemoryReading {
        // The first process is ours, and holds nothing of the step's.
        let of_step: Vec<i32> = tree
            .processes
            .iter()
            .copied()
            .filter(|pid| *pid != head)
            .collect();
        let held = held_memory::by(&of_step);
        let files = if self.has_own_files {
            tree::memory_files(head)
        } else {
            0
        };
        let shared = files
            .saturating_add(held.file_bytes)
            .saturating_add(self.tables.as_ref().map_or(0, IpcTables::bytes));
        let besides = held
            .queue_bytes
            .saturating_add(tree.tables_bytes)
            .saturating_add(tree.tasks.saturating_mul(TASK_BYTES));
        let bytes = tree
            .private_bytes
            .saturating_add(tree.shared_bytes)
            .saturating_add(shared)
            .saturating_add(besides);
        // Pages that a process shares with its children since they parted count several times there, and so do
        // mapped files, so a second, dearer look comes before the verdict.
        let exact = shared.saturating_add(besides);
        let may_count_twice = tree.private_bytes.saturating_add(tree.shared_bytes);
        let is_over = bytes > limit
            && (may_count_twice < limit / WORTH_A_LOOK
                || tree::private(&tree.processes)
                    .saturating_add(held.mapped_besides(&of_step))
                    .saturating_add(exact)
                    > limit);
        let now = UncountedRoom {
            machine: MachineMemory::now(),
            counted: bytes.min(limit),
            shared: shared.saturating_add(tree.shared_bytes),
        };
        let hidden = self.hidden(now, &of_step, &held);
        if hidden == 0 {
            self.open = now;
        }
        self.hidden_looks = if hidden > limit {
            self.hidden_looks + 1
        } else {
            0
        };
        MemoryReading {
            bytes: bytes.max(hidden),
            is_over: is_over || self.hidden_looks >= LOOKS,
            nameless_bytes: held.nameless_bytes,
        }
    }

    /// What the step has if all that the machine has lost since the step hid nothing is its own; 0 if it hides
    /// nothing now.
    fn hidden(&self, now: UncountedRoom, of_step: &[i32], held: &HeldMemory) -> u64 {
        let (before, machine) = (self.open, now.machine);
        let lost = before
            .machine
            .available_bytes
            .saturating_sub(machine.available_bytes);
        let growth = machine
            .shared_bytes
            .saturating_sub(before.machine.shared_bytes);
        let known = now.shared.saturating_sub(before.shared);
        let in_files = now.counted.saturating_add(growth.saturating_sub(known));
        if held.hides_sockets || held.hides_descriptors {
            before.counted.saturating_add(lost).max(in_files)
        } else if in_files > now.counted && held.hides_files(of_step) {
            in_files
        } else {
            0
        }
    }
}

impl MachineMemory {
    /// As `meminfo` has it (proc(5)).
    pub(in crate::sandbox) fn now() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let bytes = |name| tree::field(&text, name).unwrap_or(0).saturating_mul(1024);
        Self {
            available_bytes: bytes("MemAvailable:").saturating_add(bytes("SwapFree:")),
            shared_bytes: bytes("Shmem:"),
        }
    }
}
