//! From what a project wishes for to exact wheels, those included that have to be built from source:
//! the project itself, folders and checkouts that requirements name, packages without a wheel.

use super::Rules;
use super::build_wheel::{Builder, Built, Material};
use super::error::BuildError;
use super::ground::Ground;
use super::platform::Site;
use super::wheels::{BuiltWheel, Wheels};
use crate::packages::python::Target;
use crate::plan::Dependencies;
use crate::resolve::wheels::{Location, Lock, LockedWheel, RequirementsFile};

/// What exact wheels are found with.
pub(super) struct Exact<'a> {
    pub site: &'a Site<'a>,
    pub ground: &'a Ground<'a>,
    pub target: &'a Target,
}

impl Exact<'_> {
    /// The wheels of the image.
    ///
    /// # Errors
    /// Whatever keeps the wishes from exact wheels, a failing build included.
    pub(super) fn wheels(&self) -> Result<Lock, BuildError> {
        let plan = self.site.plan();
        let mut built = Vec::new();
        if plan.running.install.value {
            built.push(self.own()?);
        }
        let dependencies = &plan.dependencies.value;
        let rules = self.site.settings().rules;
        if matches!(
            dependencies,
            Dependencies::None | Dependencies::Requirements { .. }
        ) {
            return self.with(dependencies, &built, rules, |wheels| {
                wheels.resolve(self.target)
            });
        }
        // A lock is complete without the project itself, which is installed beside it.
        let mut lock = self.with(dependencies, &[], rules, |wheels| {
            wheels.resolve(self.target)
        })?;
        for wheel in &built {
            let locked = locked(wheel);
            lock.packages.retain(|other| other.name != locked.name);
            lock.packages.push(locked);
        }
        lock.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lock)
    }

    fn with<T>(
        &self,
        dependencies: &Dependencies,
        built: &[BuiltWheel],
        rules: Rules,
        use_wheels: impl FnOnce(&Wheels<'_>) -> T,
    ) -> T {
        use_wheels(&Wheels {
            tree: self.site.tree(),
            dependencies,
            built,
            environment: self.site.environment(),
            rules,
            fetcher: &self.site.fetcher(),
            report: self.site.report(),
        })
    }

    /// The project itself, built.
    fn own(&self) -> Result<BuiltWheel, BuildError> {
        let title = self.site.plan().setup_name.clone();
        let title = title.as_deref().unwrap_or("the project");
        let material = Material::Own {
            path: "",
            is_editable: false,
        };
        let built = self.builder(0).wheel(title, None, &material)?;
        Ok(wanted(&built, true))
    }

    fn builder(&self, depth: usize) -> Builder<'_> {
        Builder { exact: self, depth }
    }

    /// Exact wheels of what a build needs. No lock pins them, and they reach no image: they are
    /// resolved even where the image's own packages must not be.
    pub(super) fn build_requirements(&self, text: &str) -> Result<Lock, BuildError> {
        let file = RequirementsFile {
            path: "build-system.requires",
            text: text.as_bytes(),
        };
        let rules = Rules {
            locked: false,
            ..self.site.settings().rules
        };
        self.with(&Dependencies::None, &[], rules, |wheels| {
            wheels.requirements(&[file], self.target)
        })
    }
}

/// A built wheel as a wish.
fn wanted(built: &Built, is_own: bool) -> BuiltWheel {
    BuiltWheel {
        wish: built.file_name.name.to_string(),
        file_name: built.file_name.clone(),
        sha256: built.sha256,
        size_bytes: built.size_bytes,
        is_own,
    }
}

/// A built wheel as an entry of a lock.
fn locked(wheel: &BuiltWheel) -> LockedWheel {
    LockedWheel {
        name: wheel.file_name.name.clone(),
        version: wheel.file_name.version.clone(),
        file_name: wheel.file_name.clone(),
        location: Location::Built {
            is_own: wheel.is_own,
        },
        sha256: wheel.sha256,
        size_bytes: Some(wheel.size_bytes),
    }
}
