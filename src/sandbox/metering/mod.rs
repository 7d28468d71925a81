//! What a step uses up, as s2r counts it where no control group counts for it: memory, disk, processes.
//!
//! `meter` watches over one step and says when it is over a limit; `memory` adds up what its processes have and
//! what `held_memory` finds that is in no process; `disk` walks what the step may write to; `tree` finds the
//! processes.

pub(super) mod disk;
pub(super) mod held_memory;
pub(super) mod memory;
pub(super) mod meter;
pub(super) mod tree;
