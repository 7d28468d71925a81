//! s2r turns a Python web project into a container image, without a daemon, without root, and
//! without running a container where none is needed.
//!
//! The modules, lowest floor first; a module imports only from floors below its own
//! (`tests/floors.rs` holds the table):
//!
//! - floor 0: `host` what the machine is asked for; `oci` names and documents of images; `packages`
//!   grammar of Python and Debian packages; `report` what may be said; `archive` readers and the one
//!   tar writer
//! - floor 1: `store` content-addressed files; `net` HTTP and the registry protocol; `sandbox` one
//!   command over a root; `image` manifest and config; `source` the project's files
//! - floor 2: `project` what the files say; `resolve` exact artefacts; `layers` bytes;
//!   `destination` where an image goes
//! - floor 3: `plan` the decision
//! - floor 4: `layer_cache` layers that are there or are made
//! - floor 5: `context` what every stage works with
//! - floor 6: `base` what the image stands on
//! - floor 7: `bytecode` compiled sources; then `layer_recipes` how each layer above the base is made
//! - floor 8: `source_builds` code of the project that runs at build time
//! - floor 9: `wheel_resolution` exact wheels, those built from source among them
//! - floor 10: `pipeline` the commands
//! - floor 11: `cli` the command line
//!
//! A build from top to bottom: `cli::commands` reads the words, `pipeline::build` runs the stages, and
//! `pipeline::platform_build` makes one platform of the image. Where to look for what people ask about most:
//!
//! | question | place |
//! |---|---|
//! | which command does what, and what it prints | `cli::args`, `cli::commands`, `cli::summary` |
//! | where environment, clock and directory are read | `cli::request` |
//! | what an error means, and its exit status | the `error` of its module, `report`, `cli::explain` |
//! | what a file of the project says | `project` |
//! | how the start command is decided | `plan::start`; in the image `scripts/run` |
//! | which Python, which builder | `plan::python`, `plan::builder`, `builders/` |
//! | which file of requirements counts | `plan::dependencies` |
//! | which wheel stands for a requirement | `resolve::wheels`; other tools' locks `packages::python::locks` |
//! | which Debian packages make the base | `resolve::debian` |
//! | what is built from source, and how | `wheel_resolution`, `source_builds::build_wheel` |
//! | where wheels are transcoded | `layers::wheel`, on `archive::zip`, `archive::gzip`, `archive::tar` |
//! | what goes into which layer | `layers`, `layers::group`, `layer_recipes` |
//! | how a layer's key is made | `key` in `layers::{deb, skeleton, wheel, source}` and `source_builds::step_layers`; `oci::Key` |
//! | when a layer is not made again | `layer_cache` |
//! | byte code | `layers::bytecode`, `bytecode`, `scripts/compile.py` |
//! | how code of the project is run | `source_builds::step_runner`, `sandbox` |
//! | when a request is tried again | `net::http::retry` |
//! | credentials | `net::credentials`, `context::client` |
//! | how a blob is sent, and what a push leaves out | `net::registry::upload`, `destination::registry` |
//! | another base beneath an image | `image::rebase`, `pipeline::rebase` |
//! | what lies in the store, and when it goes | `store` |
//! | what hostile bytes are tried on | `fuzzing`, `fuzz/` |

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests start programs and threads, and look at their own machine"
    )
)]

mod archive;
mod base;
mod bytecode;
mod cli;
mod context;
mod destination;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod host;
mod image;
mod layer_cache;
mod layer_recipes;
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
mod source_builds;
mod store;
mod wheel_resolution;

pub use cli::run;

/// The program's other life: started by itself as the helper of a sandbox, it does that work and
/// returns its exit status. To be called first, while the process has one thread.
#[must_use]
pub fn sandboxed() -> Option<std::process::ExitCode> {
    sandbox::enter()
}
