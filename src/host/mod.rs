//! What s2r asks of the machine it runs on, in the forms that hold when the machine is short of
//! something: trees that are deeper than a path may be long.
//!
//! Knows nothing of what the files are.

mod folder;
mod private;
mod process;
mod threads;
mod tree;

pub(crate) use folder::TempFolder;
pub(crate) use private::keep_private;
pub(crate) use process::{
    ProcessAttendant, ProcessLimits, end_within, run, run_attended, start, to_end,
};
pub(crate) use threads::{FEW, is_shortage, reserve};
pub(crate) use tree::{measure_tree, remove_tree};
