//! What uv is asked.

use std::collections::BTreeMap;
use std::path::Path;

use crate::packages::python::{Requirement, WheelTarget};
use crate::resolve::wheels::settings::IndexSettings;

/// What is to be resolved.
pub(in crate::resolve::wheels) struct CompileRequest<'a> {
    /// The wishes that hold for the target.
    pub(in crate::resolve::wheels) wishes: &'a [&'a Requirement],
    /// The bounds that hold for the target.
    pub(in crate::resolve::wheels) constraints: &'a [&'a Requirement],
    /// Stubs of the wheels that the wishes name by path or address, by file name.
    pub(in crate::resolve::wheels) local: &'a BTreeMap<String, Vec<u8>>,
    /// Stubs of the wheels in the source's `--find-links` folders, by file name.
    pub(in crate::resolve::wheels) linked: &'a BTreeMap<String, Vec<u8>>,
    pub(in crate::resolve::wheels) indexes: &'a IndexSettings,
    pub(in crate::resolve::wheels) target: &'a WheelTarget,
    pub(in crate::resolve::wheels) environment: &'a BTreeMap<String, String>,
    /// Whether the network is forbidden.
    pub(in crate::resolve::wheels) offline: bool,
    /// The folder of tools.
    pub(in crate::resolve::wheels) tools: &'a Path,
    /// The folder for uv's own cache.
    pub(in crate::resolve::wheels) cache: &'a Path,
    /// The address of the one index that is asked in place of others.
    pub(in crate::resolve::wheels) front: Option<&'a str>,
    /// Requirements that stand in for what others say of the same package.
    pub(in crate::resolve::wheels) overrides: &'a [String],
}
