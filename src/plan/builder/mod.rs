//! Builder definitions: what an image stands on, as YAML. Those of `builders/` are compiled in.
//!
//! Strict: an unknown field, a missing one or a wrong value is an error that names it. Refuses to
//! guess: a builder has a Debian base or an image, never both. Reads no files. What a builder upon an
//! image leaves out is told by the image's config (`image_builder.rs`).

mod debian_part;
mod document;
mod error;
mod file;
mod pip;
mod said;

pub(crate) use document::BuilderText;
pub(crate) use error::{BuilderError, ExtendsFault};
pub(crate) use file::BuilderFile;
pub(crate) use pip::{PipChoice, PipWheel};

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::packages::debian::DebianBase;

/// A builder compiled in. Its file is read when it is wanted, because a build wants one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EmbeddedBuilder {
    /// As its file has it.
    pub name: &'static str,
    /// Python's version, two numbers, as its file has it.
    pub python: &'static str,
    pub text: &'static str,
}

/// A builder of `builders/`, by its Python.
macro_rules! embedded_builder {
    ($python:literal) => {
        EmbeddedBuilder {
            name: concat!("python-", $python),
            python: $python,
            text: include_str!(concat!("../../../builders/python-", $python, ".yaml")),
        }
    };
}

/// The builders compiled in: the default, then the newest first. In this order they are asked whether they fit.
const EMBEDDED: [EmbeddedBuilder; 6] = [
    embedded_builder!("3.13"),
    embedded_builder!("3.14"),
    embedded_builder!("3.12"),
    embedded_builder!("3.11"),
    embedded_builder!("3.10"),
    embedded_builder!("3.9"),
];

/// What an image stands on, and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuilderDefinition {
    /// Its name, for instance `python-3.13`.
    pub name: String,
    /// The builders and files that its file extends, the nearest first; none of a builder compiled in.
    pub extends: Vec<String>,
    /// One line for people.
    pub description: String,
    /// What sets it apart from the usual builder, in half a sentence; empty where nothing does.
    pub remark: String,
    /// Python's version, two numbers: `3.13`.
    pub python: String,
    /// Version of glibc, which decides the wheels that fit: `2.41`.
    pub glibc: (u32, u32),
    /// Absolute path of the interpreter in the image.
    pub interpreter: String,
    /// Where the lowest layers come from.
    pub base: BaseDefinition,
    /// Debian packages for building from source, never in the image.
    pub build_packages: Vec<String>,
    /// The pip that goes into the virtual environment; none if the builder wants none.
    pub pip: Option<PipWheel>,
    /// What starts the image's command; none where it starts by itself.
    pub entrypoint: Vec<String>,
    /// User of the image's processes, `uid` or `uid:gid`.
    pub user: String,
    /// TCP ports that the application answers on.
    pub ports: Vec<u16>,
    /// Environment of the image.
    pub environment: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Platforms that can be built for, `os/architecture`.
    pub platforms: Vec<String>,
    /// What its user should know: text, and what to do about it.
    pub notes: Vec<(String, String)>,
}

/// Where the lowest layers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BaseDefinition {
    /// Packages of a Debian suite.
    Debian(DebianBase),
    /// An image of a registry, by reference.
    Image(String),
}

/// The builders compiled in: the default, then the newest first.
pub(crate) fn embedded() -> &'static [EmbeddedBuilder] {
    &EMBEDDED
}

impl EmbeddedBuilder {
    /// The builder of this name, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        EMBEDDED.iter().find(|one| one.name == name).copied()
    }

    /// Reads its file.
    ///
    /// # Errors
    /// None in practice: a test reads them all.
    pub(crate) fn read(self) -> Result<BuilderFile, BuilderError> {
        BuilderFile::from_yaml(self.text, self.name)
    }

    /// Its definition, where that stands in its file alone: not that of a builder upon an image.
    pub(crate) fn definition(self) -> Option<BuilderDefinition> {
        match self.read() {
            Ok(BuilderFile::Whole(definition)) => Some(*definition),
            Ok(BuilderFile::Image(_)) | Err(_) => None,
        }
    }
}

impl BuilderDefinition {
    /// What it stands on, in a few words: `Debian trixie`, or the image's reference.
    pub(crate) fn base_title(&self) -> String {
        match &self.base {
            BaseDefinition::Debian(debian) => format!("Debian {}", debian.suite),
            BaseDefinition::Image(reference) => reference.clone(),
        }
    }

    /// Whether it stands on an image, which may have what the builder does not name.
    pub(crate) fn is_upon_image(&self) -> bool {
        matches!(self.base, BaseDefinition::Image(_))
    }

    /// Whether layers made for this builder fit the other.
    pub(crate) fn stands_like(&self, other: &Self) -> bool {
        self.python == other.python
            && self.glibc == other.glibc
            && self.interpreter == other.interpreter
    }
}

/// The pip for builders that bring none of their own: that of the builder with this Python, else the default one's;
/// none for a Python that is older than all of them, since no pip that s2r knows runs there.
pub(crate) fn pip_for(python: &str) -> Option<PipWheel> {
    let minor = |python: &str| -> Option<u16> { python.strip_prefix("3.")?.parse().ok() };
    let wanted = minor(python)?;
    let builders = EMBEDDED
        .iter()
        .filter_map(|one| Some((minor(one.python)?, one)));
    let (oldest, builder) = builders.min_by_key(|(minor, _)| *minor)?;
    match wanted.cmp(&oldest) {
        Ordering::Less => None,
        Ordering::Equal => match builder.read().ok()? {
            BuilderFile::Whole(definition) => definition.pip,
            BuilderFile::Image(image) => image.pip.and_then(PipChoice::into_wheel),
        },
        Ordering::Greater => EMBEDDED[0].definition()?.pip,
    }
}

#[cfg(test)]
mod tests;
