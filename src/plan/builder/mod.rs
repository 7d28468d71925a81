//! Builder definitions: what an image stands on, as YAML. Those of `builders/` are compiled in.
//!
//! Strict: an unknown field, a missing one or a wrong value is an error that names it. Refuses to
//! guess: a builder has a Debian base or an image, never both. Reads no files. What a builder upon an
//! image leaves out is told by the image's config (`image_builder.rs`).

mod error;
mod file;
mod pip;

pub(crate) use error::BuilderError;
pub(crate) use file::BuilderFile;
pub(crate) use pip::{PipChoice, PipWheel};

use std::collections::BTreeMap;

use crate::packages::debian::DebianBase;

/// The builders compiled in, the default first: name and text.
const EMBEDDED: [(&str, &str); 2] = [
    (
        "python-3.13",
        include_str!("../../../builders/python-3.13.yaml"),
    ),
    (
        "python-3.11",
        include_str!("../../../builders/python-3.11.yaml"),
    ),
];

/// What an image stands on, and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuilderDefinition {
    /// Its name, for instance `python-3.13`.
    pub name: String,
    /// One line for people.
    pub description: String,
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

/// The builders compiled in, the default first: name and YAML text.
pub(crate) fn embedded() -> &'static [(&'static str, &'static str)] {
    &EMBEDDED
}

impl BuilderDefinition {
    /// Reads the file of a builder that stands on packages; `origin` names it in errors.
    pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Self, BuilderError> {
        match BuilderFile::from_yaml(text, origin)? {
            BuilderFile::Whole(definition) => Ok(*definition),
            BuilderFile::Image(image) => Err(BuilderError::Value {
                origin: origin.to_owned(),
                field: "image",
                value: image.reference.to_string(),
            }),
        }
    }

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

/// The pip of the default builder, for builders that bring none of their own.
pub(crate) fn default_pip() -> Option<PipWheel> {
    let (name, text) = EMBEDDED[0];
    BuilderDefinition::from_yaml(text, name).ok()?.pip
}

#[cfg(test)]
mod tests;
