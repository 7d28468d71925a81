//! What is read of a project before anything is decided.

use super::base_manifest::BaseImage;
use super::fetch_source::FetchedSource;
use crate::plan::Plan;
use crate::plan::builder::{BuilderDefinition, BuilderError};
use crate::project::ProjectFacts;
use crate::report::BuildError;
use crate::resolve::debian::BaseLock;
use crate::source::environment::{EnvironmentNote, EnvironmentVariable};
use crate::source::{SettingsFile, SourceTree, git};

/// The file that pins a base.
pub(crate) const LOCK_FILE: &str = "s2r.lock";

/// What was read before anything was decided.
pub(crate) struct ProjectInputs {
    pub tree: SourceTree,
    pub facts: ProjectFacts,
    pub git: Option<git::CheckoutFacts>,
    pub builders: Vec<BuilderDefinition>,
    /// The builder that `--builder` names by a file or an image; read once it is known that it counts.
    pub own_builder: Option<BuilderDefinition>,
    /// The image that it stands on, if it is one, for each platform that is wanted.
    pub base_images: Vec<BaseImage>,
    pub environment_file: (Vec<EnvironmentVariable>, Vec<EnvironmentNote>),
    /// What was fetched or unpacked for this command; gone with it.
    pub _obtained: FetchedSource,
}

impl ProjectInputs {
    /// Forgets files as if they were not there.
    pub(crate) fn forget(&mut self, files: &[&str]) -> Result<(), BuildError> {
        self.tree = self.tree.without(files);
        self.facts = ProjectFacts::of(&self.tree)?;
        Ok(())
    }

    /// What the project's `s2r.lock` pins.
    pub(crate) fn base_lock(&self) -> Result<Option<BaseLock>, BuildError> {
        let bytes = self.tree.read_small(LOCK_FILE, SettingsFile::BaseLock)?;
        Ok(bytes
            .map(|bytes| BaseLock::read(&String::from_utf8_lossy(&bytes), LOCK_FILE))
            .transpose()?)
    }

    /// The definition that a plan chose.
    pub(crate) fn builder(&self, plan: &Plan) -> Result<&BuilderDefinition, BuildError> {
        self.own_builder
            .iter()
            .chain(&self.builders)
            .find(|builder| builder.name == plan.builder.value)
            .ok_or_else(|| {
                BuilderError::Unknown {
                    name: plan.builder.value.clone(),
                }
                .into()
            })
    }
}
