//! The resolver: uv, found or fetched, run without a Python and without the user's surroundings.

mod interpreter;
mod run;
mod tool;
mod verdict;

pub(super) use run::{Compile, compile, for_uv};
pub(super) use tool::{MAX_BYTES, Uv, hash, obtain};
pub(super) use verdict::{Failure, Mention};

/// The version that is fetched, and by which resolutions are known.
pub(super) const VERSION: &str = "0.13.8";
