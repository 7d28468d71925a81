//! Debian's grammar: control text, version order, dependencies, the index files of a suite, and
//! the names of exact packages. Pure: no disk, no network.
//!
//! Specified by the Debian Policy Manual chapters 5 (control files) and 7 (relations),
//! deb-version(7) and the repository format page of the Debian wiki.

pub(crate) mod aptfile;
mod artefact;
mod base;
mod control;
mod package;
mod relation;
mod release;
mod snapshot;
mod version;

pub(crate) use artefact::DebArtefact;
pub(crate) use base::{DebianBase, ValidUntil};
pub(crate) use control::{ControlError, ControlParagraph, ParagraphReader};
pub(crate) use package::{IndexPackage, PackageError};
pub(crate) use relation::{AnyOf, PackageRelation};
pub(crate) use release::{ReleaseError, SuiteRelease, format_date};
pub(crate) use snapshot::Snapshot;
pub(crate) use version::DebianVersion;
