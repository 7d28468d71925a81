//! What is read of a project before anything is decided.

use super::base_manifest::BaseImage;
use super::fetch_source::FetchedSource;
use crate::plan::ChosenBuilder;
use crate::plan::builder::BuilderError;
use crate::project::ProjectFacts;
use crate::report::BuildError;
use crate::resolve::debian::BaseLock;
use crate::source::environment::{EnvironmentNote, EnvironmentVariable};
use crate::source::{SettingsFile, SourceTree, git};

/// The file that pins a base.
pub(crate) const LOCK_FILE: &str = "s2r.lock";

/// The member of a uv workspace that `--context-dir` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceMember {
    pub name: String,
    /// Its folder, from the workspace's root.
    pub folder: String,
}

/// What was read before anything was decided.
pub(crate) struct ProjectInputs {
    pub tree: SourceTree,
    pub facts: ProjectFacts,
    pub git: Option<git::CheckoutFacts>,
    /// The member that is built; the tree is the whole workspace's.
    pub member: Option<WorkspaceMember>,
    /// The builder, once it is chosen.
    pub builder: Option<ChosenBuilder>,
    /// The image that it stands on, if it is one, for each platform that is wanted.
    pub base_images: Vec<BaseImage>,
    pub environment_file: (Vec<EnvironmentVariable>, Vec<EnvironmentNote>),
    /// What was fetched or unpacked for this command; gone with it.
    pub obtained: FetchedSource,
}

impl ProjectInputs {
    /// Whether the source lies where the user has it, and not in a folder of this command's own.
    pub(crate) fn is_users(&self) -> bool {
        self.obtained.is_users()
    }

    /// Forgets files as if they were not there.
    pub(crate) fn forget(&mut self, files: &[&str]) -> Result<(), BuildError> {
        self.tree = self.tree.without(files);
        self.facts = ProjectFacts::with_settings(&self.tree, self.facts.settings.clone())?;
        Ok(())
    }

    /// What the project's `s2r.lock` pins.
    pub(crate) fn base_lock(&self) -> Result<Option<BaseLock>, BuildError> {
        let bytes = self.tree.read_small(LOCK_FILE, SettingsFile::BaseLock)?;
        Ok(bytes
            .map(|bytes| BaseLock::read(&String::from_utf8_lossy(&bytes), LOCK_FILE))
            .transpose()?)
    }

    /// The builder that was chosen.
    ///
    /// # Errors
    /// It was not yet: a fault of ours.
    pub(crate) fn chosen(&self) -> Result<&ChosenBuilder, BuilderError> {
        self.builder.as_ref().ok_or(BuilderError::NotChosen)
    }
}
