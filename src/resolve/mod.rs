//! Turns wishes (requirements, package lists) into exact artefacts: url, sha256, size.
//! Never runs code of a project.

pub(crate) mod debian;
pub(crate) mod wheels;
