//! The Debian packages of an image: those of the base, and above them those that the project's
//! `Aptfile` asks for, with what these need.
//!
//! The base is resolved as if there were no Aptfile: so its layers are those of every other project
//! with this builder. What is added gets all that it depends on: what a builder leaves out concerns its base.
//! It lies in a layer of its own, and a newer version of a package
//! of the base in it stands above the older one's files.

use super::resolved_packages::BaseRules;
use super::{base_recipes, resolved_packages};
use crate::context::project::LOCK_FILE;
use crate::layer_cache::{LayerRecipe, StoreFetcher};
use crate::layers::deb::BaseOptions;
use crate::oci::Architecture;
use crate::packages::debian::{DebArtefact, DebianBase};
use crate::plan::ExtraPackages;
use crate::report::BuildError;
use crate::resolve::debian::{BaseLock, DebianError};
use crate::store::Store;

/// Exact packages, each list sorted by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct DebianPackages {
    /// Those of the base.
    pub base: Vec<DebArtefact>,
    pub added: Vec<DebArtefact>,
}

/// Who wants which packages of where.
#[derive(Clone, Copy)]
pub(crate) struct DebianRequest<'a> {
    pub base: &'a DebianBase,
    /// What the plan adds.
    pub packages: &'a ExtraPackages,
    pub architecture: Architecture,
}

impl DebianRequest<'_> {
    /// The base together with all that the project asks for, building included: what a lock is for.
    pub(crate) fn asked(&self) -> DebianBase {
        let mut asked = self.base.clone();
        asked.packages.extend(self.packages.of_project());
        asked
    }

    /// The packages that a lock pins.
    ///
    /// # Errors
    /// It was made for another builder or Aptfile, or for other architectures.
    pub(crate) fn locked(&self, lock: &BaseLock) -> Result<DebianPackages, BuildError> {
        let base = lock.packages_for(&self.asked(), self.architecture, LOCK_FILE)?;
        let added = lock.added_packages.get(self.architecture.name());
        Ok(DebianPackages {
            base: base.to_vec(),
            added: added.cloned().unwrap_or_default(),
        })
    }

    /// The packages that the suite has now, or had an hour ago.
    ///
    /// # Errors
    /// A suite that cannot be asked or trusted; a package that is not to be had.
    pub(crate) fn resolved(
        &self,
        rules: BaseRules,
        fetcher: &StoreFetcher<'_>,
    ) -> Result<DebianPackages, BuildError> {
        let base = resolved_packages::packages(self.base, self.architecture, rules, fetcher)?;
        let names = self.packages.image_names();
        if names.is_empty() {
            return Ok(DebianPackages {
                base,
                added: Vec::new(),
            });
        }
        let mut wanted = self.base.clone();
        wanted.added = names;
        let all = resolved_packages::packages(&wanted, self.architecture, rules, fetcher)
            .map_err(|error| self.with_place(error))?;
        let added = all
            .into_iter()
            .filter(|one| !base.iter().any(|other| other.sha256 == one.sha256))
            .collect();
        Ok(DebianPackages { base, added })
    }

    /// A package that the suite has not is named in the project's file, and that is where to look.
    fn with_place(&self, mut error: BuildError) -> BuildError {
        if let Some(DebianError::NoPackage {
            relation,
            needed_by,
        }) = error.find_mut()
            && let Some(origin) = self.packages.origin_of(relation)
        {
            *needed_by = origin.to_string();
        }
        error
    }
}

impl DebianPackages {
    /// Everything in the image, sorted by name; of two versions the upper one.
    pub(crate) fn all(&self) -> Vec<DebArtefact> {
        let is_covered =
            |one: &&DebArtefact| self.added.iter().any(|other| other.package == one.package);
        let mut all: Vec<DebArtefact> = self
            .base
            .iter()
            .filter(|one| !is_covered(one))
            .chain(&self.added)
            .cloned()
            .collect();
        all.sort();
        all
    }

    /// Names and versions of all of them, `name=version` with blanks between.
    pub(crate) fn versions(&self) -> String {
        let all = self.all();
        let versions = all
            .iter()
            .map(|deb| format!("{}={}", deb.package, deb.version));
        versions.collect::<Vec<_>>().join(" ")
    }

    /// The layers of all of them, the base's first.
    pub(crate) fn recipes<'r>(
        &'r self,
        wish: &DebianRequest<'_>,
        options: &'r BaseOptions,
        store: &'r Store,
    ) -> Vec<LayerRecipe<'r>> {
        let mut recipes = base_recipes::base(&self.base, options, &wish.base.suite, store);
        if !self.added.is_empty() {
            let title = format!(
                "{}{}",
                base_recipes::APTFILE_TITLE,
                wish.packages.image_names().join(", ")
            );
            recipes.push(base_recipes::added(
                &title,
                (&self.added, &self.base),
                options,
                store,
            ));
        }
        recipes
    }
}
