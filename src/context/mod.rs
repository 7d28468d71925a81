//! What every stage works with: the caller's settings, the HTTP client, the project as it was read, the variables
//! that count, and the processors and steps that a build would need.

pub(crate) mod base_manifest;
pub(crate) mod beside;
pub(crate) mod build_context;
pub(crate) mod client;
pub(crate) mod cross_platform;
pub(crate) mod fetch_source;
pub(crate) mod passed;
pub(crate) mod project;
pub(crate) mod settings;
pub(crate) mod source_contents;
pub(crate) mod stage_clock;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod unisolated;
pub(crate) mod variables;
