//! Which file says what is installed.

use serde::Serialize;

use super::{Advice, Decided, Origin, PlanError, Variables};
use crate::project::{Asked, Facts, Place};

/// What says which packages go in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Dependencies {
    /// Nothing does: there are none.
    None,
    /// A requirements file.
    Requirements {
        /// Its path.
        path: String,
    },
    /// A lock with exact artefacts.
    Pylock {
        /// Its path.
        path: String,
    },
}

/// Files that hold dependencies in forms that are not read yet.
const OTHERS: [&str; 5] = [
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
];

/// Decides on the file: `pylock.toml`, because it is exact, else `requirements.txt`.
pub(super) fn decide(
    facts: &Facts,
    variables: &Variables,
    advice: &mut Vec<Advice>,
) -> Result<Decided<Dependencies>, PlanError> {
    refuse_tools(facts, variables)?;
    file(facts, advice)
}

fn file(facts: &Facts, advice: &mut Vec<Advice>) -> Result<Decided<Dependencies>, PlanError> {
    let of_file = |path: &str, dependencies, reason: &str| {
        Ok(Decided::new(
            dependencies,
            Origin::File(Place::file(path)),
            reason,
        ))
    };
    let others: Vec<String> = OTHERS
        .into_iter()
        .filter(|path| facts.has(path))
        .map(str::to_owned)
        .collect();
    let has_requirements = facts.requirements.is_some();
    if facts.pylock.is_some() {
        let reason = if has_requirements {
            "it is exact, so it goes before requirements.txt"
        } else {
            "it is exact"
        };
        let path = "pylock.toml".to_owned();
        return of_file("pylock.toml", Dependencies::Pylock { path }, reason);
    }
    if has_requirements {
        if !others.is_empty() {
            advice.push(Advice::new(
                format!(
                    "{} is not read; packages come from requirements.txt",
                    others.join(", ")
                ),
                "remove it, or write pylock.toml with `s2r lock`",
            ));
        }
        let path = "requirements.txt".to_owned();
        return of_file("requirements.txt", Dependencies::Requirements { path }, "");
    }
    let mut files = others;
    files.extend(facts.named_pylocks.iter().cloned());
    let listed = facts
        .pyproject
        .as_ref()
        .is_some_and(|project| !project.dependencies.is_empty());
    if listed && files.is_empty() {
        files.push("pyproject.toml".to_owned());
    }
    if files.is_empty() {
        let reason = "no file names any";
        return Ok(Decided::new(Dependencies::None, Origin::Default, reason));
    }
    Err(PlanError::Dependencies { files })
}

/// pipenv and micropipenv would take the dependencies from files of their own.
fn refuse_tools(facts: &Facts, variables: &Variables) -> Result<(), PlanError> {
    let pipenv = variables.is_on("ENABLE_PIPENV");
    let micropipenv = variables.is_on("ENABLE_MICROPIPENV");
    if pipenv && micropipenv {
        return Err(PlanError::Conflict {
            first: "ENABLE_PIPENV",
            second: "ENABLE_MICROPIPENV",
        });
    }
    let read_by: &[&str] = match (pipenv, micropipenv) {
        (true, _) => &["Pipfile"],
        (_, true) => &["Pipfile.lock", "poetry.lock"],
        _ => &[],
    };
    let files: Vec<String> = read_by
        .iter()
        .filter(|path| facts.has(path))
        .map(|&path| path.to_owned())
        .collect();
    if files.is_empty() {
        Ok(())
    } else {
        Err(PlanError::Dependencies { files })
    }
}

/// What the decided file names.
pub(super) fn names<'a>(facts: &'a Facts, dependencies: &Dependencies) -> &'a [Asked] {
    let names = match dependencies {
        Dependencies::None => None,
        Dependencies::Requirements { .. } => facts.requirements.as_ref(),
        Dependencies::Pylock { .. } => facts.pylock.as_ref(),
    };
    names.map_or(&[], Vec::as_slice)
}

/// Whether packages may come along that the decided file does not name.
pub(super) fn may_bring_others(facts: &Facts, dependencies: &Dependencies) -> bool {
    match dependencies {
        Dependencies::None | Dependencies::Pylock { .. } => false,
        Dependencies::Requirements { .. } => !names(facts, dependencies).is_empty(),
    }
}

/// The package that brings Django, if one does: Django itself, or one that is named after it.
pub(super) fn django<'a>(facts: &'a Facts, dependencies: &Dependencies) -> Option<&'a Asked> {
    /// Packages that stand on Django without its name in theirs.
    const ON_DJANGO: [&str; 4] = ["wagtail", "mezzanine", "drf-spectacular", "drf-yasg"];
    let names = names(facts, dependencies);
    names
        .iter()
        .find(|asked| asked.name == "django")
        .or_else(|| {
            let related = |name: &str| name.starts_with("django") || ON_DJANGO.contains(&name);
            let is_exact = matches!(dependencies, Dependencies::Pylock { .. });
            names.iter().find(|asked| !is_exact && related(&asked.name))
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    fn decided(files: &[(&str, &str)], env: &[&str]) -> Result<Decided<Dependencies>, PlanError> {
        let mut all = vec![("app.py", "")];
        all.extend_from_slice(files);
        planned(&all, env).map(|plan| plan.dependencies)
    }

    #[test]
    fn the_exact_file_goes_first() {
        let requirements = ("requirements.txt", "flask\n");
        let lock = ("pylock.toml", "lock-version = '1.0'\npackages = []\n");
        let both = decided(&[requirements, lock], &[]).unwrap();
        assert!(matches!(both.value, Dependencies::Pylock { .. }));
        assert!(both.reason.contains("requirements.txt"));
        let one = decided(&[requirements, ("Pipfile", "")], &[]).unwrap();
        assert!(matches!(one.value, Dependencies::Requirements { .. }));
        assert_eq!(decided(&[], &[]).unwrap().value, Dependencies::None);
    }

    #[test]
    fn files_that_are_not_read_are_refused() {
        for (path, text, env) in [
            ("Pipfile", "", ""),
            ("Pipfile.lock", "{}", ""),
            ("poetry.lock", "", ""),
            ("uv.lock", "", ""),
            ("pdm.lock", "", ""),
            ("pylock.dev.toml", "", ""),
            (
                "pyproject.toml",
                "[project]\nname='x'\ndependencies=['flask']\n",
                "",
            ),
            ("Pipfile", "", "ENABLE_PIPENV=1"),
        ] {
            let env: Vec<&str> = Some(env)
                .filter(|env| !env.is_empty())
                .into_iter()
                .collect();
            let error = decided(&[(path, text)], &env).unwrap_err();
            assert!(
                matches!(&error, PlanError::Dependencies { files } if files == &[path.to_owned()]),
                "{path}: {error:?}"
            );
        }
        let requirements = ("requirements.txt", "");
        let error = decided(&[requirements, ("Pipfile", "")], &["ENABLE_PIPENV=1"]);
        assert!(matches!(error, Err(PlanError::Dependencies { .. })));
        let both = ["ENABLE_PIPENV=1", "ENABLE_MICROPIPENV=1"];
        assert!(matches!(
            decided(&[], &both),
            Err(PlanError::Conflict { .. })
        ));
    }
}
