//! Who may look into this process.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Keeps other processes of this user out of our environment, memory and descriptors (`PR_SET_DUMPABLE`, proc(5)): to
/// them the files of `/proc/PID` that show such things are root's. A program that is started is open again.
///
/// # Errors
/// The kernel's; there is none on Linux.
pub(crate) fn keep_private() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
