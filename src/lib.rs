//! s2r turns a Python web project into a container image, without a daemon, without root, and
//! without running a container where none is needed.
//!
//! The modules, lowest floor first; a module imports only from floors below its own
//! (`tests/floors.rs` holds the table):
//!
//! - floor 0: `oci` names and documents of images; `packages` grammar of Python and Debian
//!   packages; `report` what may be said; `archive` readers and the one tar writer
//! - floor 1: `store` content-addressed files; `net` HTTP and the registry protocol; `sandbox` one
//!   command over a root; `image` manifest and config; `source` the project's files
//! - floor 2: `project` what the files say; `resolve` exact artefacts; `layers` bytes;
//!   `destination` where an image goes
//! - floor 3: `plan` the decision
//! - floor 4: `pipeline` the stages in order
//! - floor 5: `cli` the command line

mod archive;
mod cli;
mod destination;
mod image;
mod layers;
mod net;
mod oci;
mod packages;
mod pipeline;
mod plan;
mod project;
mod report;
mod resolve;
mod sandbox;
mod source;
mod store;

pub use cli::run;

/// The program's other life: started by itself as the helper of a sandbox, it does that work and
/// returns its exit status. To be called first, while the process has one thread.
#[must_use]
pub fn sandboxed() -> Option<std::process::ExitCode> {
    sandbox::enter()
}
