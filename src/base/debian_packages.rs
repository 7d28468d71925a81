//! The Debian packages of an image: those of the base, and above them those that the project's
//! `Aptfile` asks for, with what these need.
//!
//! Packages that distributions of Python need come into the same layer by themselves, once it is known what is installed.
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
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::resolve::debian::{BaseLock, DebianError};
use crate::store::Store;

/// A package is needed that the lock does not pin.
#[derive(Debug, thiserror::Error)]
#[error("{LOCK_FILE} does not pin {package}, which a distribution needs")]
pub(crate) struct UnlockedPackage {
    pub package: String,
}

impl Explain for UnlockedPackage {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place: LOCK_FILE.to_owned(),
            why: "only what is locked goes in, and without it the application would miss a library or a program"
                .to_owned(),
            next: format!(
                "run `s2r lock SOURCE` to write {LOCK_FILE} anew, or write the line `{}=` into .s2i/environment",
                crate::plan::system_packages::SWITCH
            ),
        }
    }
}

/// Exact packages, each list sorted by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct DebianPackages {
    /// Those of the base.
    pub base: Vec<DebArtefact>,
    /// Those of the Aptfile, with what they need.
    pub added: Vec<DebArtefact>,
    /// Those that came by themselves, in the same layer.
    pub implied: ImpliedDebs,
}

/// Packages that distributions of Python need.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImpliedDebs {
    /// What is needed, sorted.
    pub names: Vec<String>,
    /// That, and what it needs, as far as neither base nor Aptfile brings it.
    pub debs: Vec<DebArtefact>,
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
            implied: ImpliedDebs::default(),
        })
    }

    /// The same packages with those that are needed by these names, as a lock pins them.
    ///
    /// # Errors
    /// The lock was made when other names were needed.
    pub(crate) fn implied_by_lock(
        &self,
        debs: &DebianPackages,
        names: &[String],
        lock: &BaseLock,
    ) -> Result<DebianPackages, BuildError> {
        let locked = lock.implied_packages.get(self.architecture.name());
        let locked = locked.cloned().unwrap_or_default();
        let is_there =
            |name: &String| debs.has(name) || locked.names.iter().any(|other| other == name);
        if let Some(lacking) = names.iter().find(|name| !is_there(name)) {
            return Err(UnlockedPackage {
                package: lacking.clone(),
            }
            .into());
        }
        Ok(DebianPackages {
            implied: ImpliedDebs {
                names: locked.names,
                debs: locked.packages,
            },
            ..debs.clone()
        })
    }

    /// The same packages with those that are needed by these names, as the suite has them.
    ///
    /// # Errors
    /// As [`resolved`](Self::resolved).
    pub(crate) fn implied(
        &self,
        debs: &DebianPackages,
        names: Vec<String>,
        (rules, fetcher): (BaseRules, &StoreFetcher<'_>),
    ) -> Result<DebianPackages, BuildError> {
        let mut wanted = self.base.clone();
        wanted.added = self.packages.image_names();
        wanted.added.extend(names.iter().cloned());
        let all = resolved_packages::packages(&wanted, self.architecture, rules, fetcher)?;
        let is_there = |one: &DebArtefact| {
            let mut there = debs.base.iter().chain(&debs.added);
            there.any(|other| other.sha256 == one.sha256)
        };
        Ok(DebianPackages {
            implied: ImpliedDebs {
                names,
                debs: all.into_iter().filter(|one| !is_there(one)).collect(),
            },
            ..debs.clone()
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
                ..DebianPackages::default()
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
        Ok(DebianPackages {
            base,
            added,
            implied: ImpliedDebs::default(),
        })
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
        let above = self.above();
        let is_covered =
            |one: &&DebArtefact| above.iter().any(|other| other.package == one.package);
        let below = self.base.iter().filter(|one| !is_covered(one)).cloned();
        let mut all: Vec<DebArtefact> = below.chain(above.iter().cloned()).collect();
        all.sort();
        all
    }

    /// Everything above the base, sorted by name.
    fn above(&self) -> Vec<DebArtefact> {
        let is_newer = |one: &&DebArtefact| {
            let mut implied = self.implied.debs.iter();
            implied.any(|other| other.package == one.package)
        };
        let added = self.added.iter().filter(|one| !is_newer(one));
        let mut above: Vec<DebArtefact> = added.chain(&self.implied.debs).cloned().collect();
        above.sort();
        above
    }

    /// Whether a package is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        let lists = [&self.base, &self.added, &self.implied.debs];
        lists
            .into_iter()
            .flatten()
            .any(|one| one.package == name || one.package.strip_suffix("t64") == Some(name))
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
        let above = self.above();
        if !above.is_empty() {
            let names = wish.packages.image_names().into_iter();
            let names: Vec<String> = names.chain(self.implied.names.iter().cloned()).collect();
            let title = format!("{}{}", base_recipes::ADDED_TITLE, names.join(", "));
            let debs = (above.as_slice(), self.base.as_slice());
            recipes.push(base_recipes::added(&title, debs, options, store));
        }
        recipes
    }
}

#[cfg(test)]
crate::report::samples! {
    struct UnlockedPackage {
        package: "libpq5".into(),
    };
}
