//! Code of the project that runs at build time: wheels from source, commands of `build`, `collectstatic`, an own
//! assemble script, tests, each in the sandbox and upon a root of layers.

pub(crate) mod build_root;
pub(crate) mod build_wheel;
pub(crate) mod failure_hints;
pub(crate) mod image_metadata;
pub(crate) mod image_tests;
pub(crate) mod project_steps;
pub(crate) mod staged_source;
mod step_error;
pub(crate) mod step_layers;
pub(crate) mod step_runner;
pub(crate) mod toolchain;
