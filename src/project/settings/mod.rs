//! `s2r.yaml` in the project's root, or `[tool.s2r]` in its `pyproject.toml`: what a project asks of s2r,
//! each value with the line that says it.
//!
//! A file is read into [`document::SettingNode`]s, whichever grammar it has, and these into [`ProjectSettings`].
//! [`SCHEMA`] describes the same keys to editors.

mod document;
mod error;
mod keys;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub(crate) use error::{SETTINGS_FILE, SettingsError};
pub(crate) use values::size_in_bytes;

use super::{AptPackage, ProcessType, ProjectError, SourcePlace};
use crate::source::{SettingsFile, SourceError, SourceSettings, SourceTree};

/// What it may be taken for.
const OTHER_NAME: &str = "s2r.yml";
const PYPROJECT: &str = "pyproject.toml";

/// The JSON Schema of [`SETTINGS_FILE`], draft 2020-12.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

/// A value, and the line that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub value: T,
    pub place: SourcePlace,
}

/// The servers that `server` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerChoice {
    Gunicorn,
    Uvicorn,
    Hypercorn,
    Granian,
    Daphne,
    Waitress,
    Uwsgi,
}

/// The servers that may stand in front of the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrontServer {
    Nginx,
}

/// A folder that the front server sends from disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticFolder {
    /// The path in addresses, with a leading slash and none behind.
    pub url: String,
    /// The folder below the source.
    pub folder: Setting<String>,
}

/// A command of the project that runs at build time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BuildCommand {
    /// A line for a shell.
    pub command: String,
    /// Whether it may use the network.
    pub has_network: bool,
}

/// When the finished image counts as one that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckSettings {
    /// Where it is asked, with a leading slash.
    pub path: Option<String>,
    /// The status that it has to answer with.
    pub status: Option<u16>,
    /// How long it may take to get there.
    pub within: Option<Duration>,
    /// How much memory it gets.
    pub memory_bytes: Option<u64>,
}

/// What the project asks of s2r.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProjectSettings {
    /// A builder, as `--builder` names it.
    pub builder: Option<Setting<String>>,
    /// Debian packages, in the file's order.
    pub packages: Vec<AptPackage>,
    /// Variables of build and image, by name.
    pub environment: BTreeMap<String, Setting<String>>,
    pub server: Option<Setting<ServerChoice>>,
    pub front: Option<Setting<FrontServer>>,
    /// Whether a server that ends by itself is started again, and does not end the container.
    pub restart: Option<Setting<bool>>,
    /// In the order of the file.
    pub static_folders: Vec<StaticFolder>,
    /// What is run at build time, in order.
    pub build: Vec<Setting<BuildCommand>>,
    /// What is run before the server whenever a container starts.
    pub release: Option<Setting<String>>,
    /// What containers of the image can be started as.
    pub processes: Vec<ProcessType>,
    /// What tests the finished image.
    pub test: Option<Setting<String>>,
    pub check: Option<Setting<CheckSettings>>,
    /// Patterns of what to leave out, as `.s2iignore` has them.
    pub exclude: Vec<Setting<String>>,
}

impl ProjectSettings {
    /// Reads the settings of a source before its files are listed, since they say which.
    ///
    /// # Errors
    /// A file that cannot be read, or that says what no key allows.
    pub(crate) fn of_source(source: &SourceSettings) -> Result<Self, ProjectError> {
        Self::read(|path, file| SourceTree::read_root_file(source, path, file))
    }

    /// Reads the settings of a tree.
    ///
    /// # Errors
    /// As [`of_source`](Self::of_source).
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_tree(tree: &SourceTree) -> Result<Self, ProjectError> {
        Self::read(|path, file| tree.read_small(path, file))
    }

    fn read(
        file: impl Fn(&str, SettingsFile) -> Result<Option<Vec<u8>>, SourceError>,
    ) -> Result<Self, ProjectError> {
        let of_pyproject = match file(PYPROJECT, SettingsFile::Pyproject)? {
            // Few have settings for s2r, and reading it takes longer than looking for the word.
            Some(bytes) if bytes.windows(3).any(|window| window == b"s2r") => {
                let text = super::text::text_of(PYPROJECT, &bytes)?;
                document::tool_table(PYPROJECT, &text)?
            }
            _ => None,
        };
        let Some(bytes) = file(SETTINGS_FILE, SettingsFile::ProjectSettings)? else {
            if file(OTHER_NAME, SettingsFile::ProjectSettings)?.is_some() {
                let place = SourcePlace::file(OTHER_NAME);
                return Err(SettingsError::OtherName { place }.into());
            }
            return match of_pyproject {
                Some(node) => keys::settings(PYPROJECT, node),
                None => Ok(Self::default()),
            };
        };
        if let Some(node) = of_pyproject {
            let place = SourcePlace::line(PYPROJECT, node.line);
            return Err(SettingsError::Twice { place }.into());
        }
        let text = super::text::text_of(SETTINGS_FILE, &bytes)?;
        let node = document::yaml(SETTINGS_FILE, &text)?;
        keys::settings(SETTINGS_FILE, node)
    }
}

#[cfg(test)]
mod tests;
