//! The resolver: uv, found or fetched, run without a Python and without the user's surroundings.

mod front;
mod interpreter;
mod pinned;
mod request;
mod run;
pub(super) mod stub;
mod tool;
mod verdict;

pub(super) use front::{Behind, NO_HASH, serve};
pub(super) use request::CompileRequest;
pub(super) use run::compile;
pub(crate) use stub::StubError;
pub(super) use tool::{UvTool, obtain};
pub(super) use verdict::{NamedProject, UvFailure, stub_name};

/// The version that is fetched where an index has it, and by which resolutions are known.
pub(super) const VERSION: &str = "0.13.8";
