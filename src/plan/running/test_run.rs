//! What tests the finished image, and the packages that the tests need and the image does not get.

use std::fmt;

use serde::Serialize;

use super::BuildSteps;
use crate::packages::python::locks::{LockChoice, LockKind, for_tests};
use crate::plan::{Decided, DependencySource, ValueOrigin};
use crate::project::{ProjectFacts, SourcePlace};

/// Where people list such packages.
const FILES: [&str; 12] = [
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "test_requirements.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "tests/requirements.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "requirements/dev.txt",
];

/// `test` of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TestRun {
    /// A line for a shell.
    pub command: Decided<String>,
    pub packages: Decided<TestPackages>,
}

/// Packages for tests alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum TestPackages {
    None,
    /// A group or an extra of the project, with what is chosen for the image.
    Choice {
        file: LockKind,
        /// The group or the extra.
        name: String,
        choice: LockChoice,
    },
    Requirements {
        path: String,
    },
}

impl fmt::Display for TestPackages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("the image's packages alone"),
            Self::Choice { file, name, .. } => write!(f, "{name} of {}", file.path()),
            Self::Requirements { path } => f.write_str(path),
        }
    }
}

/// Decides on the first that is there: a group, an extra, a file of requirements.
pub(in crate::plan) fn decide(
    facts: &ProjectFacts,
    dependencies: &DependencySource,
    running: &BuildSteps,
) -> Option<TestRun> {
    let test = facts.settings.test.as_ref()?;
    let origin = ValueOrigin::File(test.place.clone());
    Some(TestRun {
        command: Decided::new(test.value.clone(), origin, ""),
        packages: packages(facts, dependencies, running),
    })
}

fn packages(
    facts: &ProjectFacts,
    dependencies: &DependencySource,
    running: &BuildSteps,
) -> Decided<TestPackages> {
    if running.assemble.value {
        // Nobody knows which packages the script installs, and others of theirs could hide them.
        return Decided::new(
            TestPackages::None,
            ValueOrigin::Default,
            "the project's own assemble script installs what there is",
        );
    }
    let (file, base) = match dependencies {
        DependencySource::Converted { file, choice, .. } => (*file, choice.clone()),
        DependencySource::None
        | DependencySource::Requirements { .. }
        | DependencySource::Pylock { .. } => (LockKind::Pyproject, LockChoice::default()),
    };
    let declared = file.made_from().unwrap_or(file.path());
    let text = facts.documents.get(declared).map_or("", String::as_str);
    if let Some(chosen) = for_tests(file, text) {
        let name = match (chosen.groups.first(), chosen.extras.first()) {
            (Some(group), _) => format!("group {group}"),
            (None, extra) => format!("extra {}", extra.map_or("", String::as_str)),
        };
        return Decided::new(
            TestPackages::Choice {
                file,
                name,
                choice: base.with(chosen),
            },
            ValueOrigin::File(SourcePlace::file(declared)),
            "for the tests alone",
        );
    }
    match FILES.into_iter().find(|path| facts.file(path).is_some()) {
        Some(path) => Decided::new(
            TestPackages::Requirements {
                path: path.to_owned(),
            },
            ValueOrigin::File(SourcePlace::file(path)),
            "for the tests alone",
        ),
        None => Decided::new(
            TestPackages::None,
            ValueOrigin::Default,
            "there is no group, extra or requirements-test.txt for tests",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::planned;

    #[test]
    fn packages_for_tests_are_found_where_people_list_them() {
        let requirements = ("requirements.txt", "flask\ngunicorn\n");
        let settings = ("s2r.yaml", "test: pytest -q\n");
        let pyproject = |text: &'static str| ("pyproject.toml", text);
        let groups = "[project]\nname='x'\n[dependency-groups]\ndev=['black']\ntest=['pytest']\n";
        let extras = "[project]\nname='x'\n[project.optional-dependencies]\nmail=['y']\ntesting=['pytest']\n";
        let poetry = "[tool.poetry]\nname='x'\n[tool.poetry.group.dev.dependencies]\npytest='*'\n";
        let neither = "[project]\nname='x'\n[dependency-groups]\ndocs=['sphinx']\n";
        for (files, expected) in [
            (vec![], "the image's packages alone"),
            (vec![pyproject(groups)], "group test of pyproject.toml"),
            (vec![pyproject(extras)], "extra testing of pyproject.toml"),
            (vec![pyproject(poetry)], "group dev of pyproject.toml"),
            (
                vec![pyproject(neither), ("requirements-dev.txt", "pytest\n")],
                "requirements-dev.txt",
            ),
            (
                vec![
                    ("requirements-dev.txt", "black\n"),
                    ("requirements/test.txt", "pytest\n"),
                ],
                "requirements/test.txt",
            ),
        ] {
            let mut all = vec![("wsgi.py", ""), requirements, settings];
            all.extend_from_slice(&files);
            let plan = planned(&all, &[]).unwrap();
            let test = plan.test.clone().unwrap();
            assert_eq!(test.packages.value.to_string(), expected);
            assert_eq!(test.command.origin.to_string(), "s2r.yaml:1");
            let text = crate::plan::render(&plan);
            assert!(
                text.contains("test          pytest -q  (s2r.yaml:1)\n"),
                "{text}"
            );
            assert!(text.contains(expected), "{text}");
        }
        assert!(
            planned(&[("wsgi.py", ""), requirements], &[])
                .unwrap()
                .test
                .is_none()
        );
    }

    #[test]
    fn what_is_chosen_for_the_image_is_chosen_for_its_tests_too() {
        let files = [
            ("app.py", ""),
            ("s2r.yaml", "test: pytest\n"),
            (
                "pyproject.toml",
                "[project]\nname='x'\n[project.optional-dependencies]\nmail=['y']\n[dependency-groups]\ntest=['pytest']\n",
            ),
        ];
        let plan = planned(&files, &["S2R_EXTRAS=mail"]).unwrap();
        let TestPackages::Choice { choice, .. } = plan.test.unwrap().packages.value else {
            panic!("no group");
        };
        assert_eq!(
            (choice.extras, choice.groups),
            (vec!["mail".to_owned()], vec!["test".to_owned()])
        );
    }
}
