//! What says which packages go in.

use serde::Serialize;

use crate::packages::python::locks::{LockChoice, LockKind};
use crate::project::{NamedPackage, ProjectFacts};

/// What says which packages go in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum DependencySource {
    /// Nothing does: there are none.
    None,
    Requirements {
        path: String,
    },
    /// A lock with exact artefacts.
    Pylock {
        path: String,
    },
    /// A file of another tool, which is turned into one of the other two.
    Converted {
        path: String,
        /// Which file it is.
        file: LockKind,
        /// Extras and groups that go in.
        choice: LockChoice,
        /// The packages that it brings.
        #[serde(skip)]
        asked: Vec<NamedPackage>,
    },
}

/// What the decided file names.
pub(in crate::plan) fn names<'a>(
    facts: &'a ProjectFacts,
    dependencies: &'a DependencySource,
) -> &'a [NamedPackage] {
    let names = match dependencies {
        DependencySource::None => None,
        DependencySource::Requirements { .. } => facts.requirements.as_ref(),
        DependencySource::Pylock { .. } => facts.pylock.as_ref(),
        DependencySource::Converted { asked, .. } => Some(asked),
    };
    names.map_or(&[], Vec::as_slice)
}

/// What the wheel of the project itself names, as far as pyproject.toml says it.
pub(in crate::plan) fn of_project(facts: &ProjectFacts) -> &[NamedPackage] {
    let pyproject = facts.pyproject.as_ref();
    pyproject.map_or(&[], |pyproject| pyproject.dependencies.as_slice())
}

/// Whether packages may come along that the decided file does not name.
pub(in crate::plan) fn may_bring_others(
    facts: &ProjectFacts,
    dependencies: &DependencySource,
) -> bool {
    match dependencies {
        DependencySource::None | DependencySource::Pylock { .. } => false,
        DependencySource::Converted { file, .. } if file.is_lock() => false,
        DependencySource::Requirements { .. } | DependencySource::Converted { .. } => {
            !names(facts, dependencies).is_empty()
        }
    }
}

/// The package that brings Django, if one does: Django itself, or one that is named after it.
pub(in crate::plan) fn django<'a>(
    facts: &'a ProjectFacts,
    dependencies: &'a DependencySource,
) -> Option<&'a NamedPackage> {
    /// Packages that stand on Django without its name in theirs.
    const ON_DJANGO: [&str; 4] = ["wagtail", "mezzanine", "drf-spectacular", "drf-yasg"];
    let names = names(facts, dependencies);
    names
        .iter()
        .find(|asked| asked.name == "django")
        .or_else(|| {
            let related = |name: &str| name.starts_with("django") || ON_DJANGO.contains(&name);
            let is_exact = match dependencies {
                DependencySource::Pylock { .. } => true,
                DependencySource::Converted { file, .. } => file.is_lock(),
                DependencySource::None | DependencySource::Requirements { .. } => false,
            };
            names.iter().find(|asked| !is_exact && related(&asked.name))
        })
}
