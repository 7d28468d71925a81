//! The project's tests, run over the finished image: its layers, and above them the packages for tests, which no
//! image gets. That they passed is kept by what they ran on, so that they run once for an image.

use std::path::PathBuf;

use super::step_layers::{self, LowerLayers};
use super::step_runner::{self, StepCommand, StepRoot, StepRunner, is_success};
use crate::context::build_context::Context;
use crate::layer_recipes;
use crate::oci::{Key, KeyBuilder};
use crate::plan::TestRun;
use crate::report::BuildError;
use crate::resolve::wheels::WheelLock;
use crate::sandbox::CommandStatus;

/// The record kind of tests that passed.
const RECORD: &str = "tested";
/// What users call the step, and how to do without it.
const TEST: &str = "test";
const NO_TEST: &str = "--no-test builds the image without them";
/// Whom OpenShift has containers be: a user of its own choice, in the group 0.
const USER: (u32, u32) = (1_000_680_000, 0);
/// How pytest ends that has found no tests (docs.pytest.org, "Exit codes").
const NO_TESTS_COLLECTED: i32 = 5;

/// How it ends that cannot import what has the tests, or a `conftest.py`.
const NOT_IMPORTED: [i32; 2] = [2, 4];

/// What the status says of a command that starts pytest. That the root is not on its path shows in a module that the
/// lines miss and the root has.
fn pytest_advice(
    command: &str,
    status: CommandStatus,
    lines: &[String],
    is_of_project: impl Fn(&str) -> bool,
) -> Option<String> {
    let CommandStatus::Code(code) = status else {
        return None;
    };
    if code == NO_TESTS_COLLECTED && command.contains("pytest") {
        return Some("pytest found no tests in the image: take them out of .s2iignore and `exclude`, or name their folder in `test`".to_owned());
    }
    let rest = command.strip_prefix("pytest")?;
    if !NOT_IMPORTED.contains(&code) || !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let missed = lines.iter().find_map(|line| {
        let (_, rest) = line.split_once("No module named '")?;
        let (module, _) = rest.split_once('\'')?;
        let module = module.split('.').next()?;
        is_of_project(module).then_some(module)
    })?;
    Some(format!(
        "{missed} lies in the project's root, which `pytest` does not look in and `python -m pytest` does: write `test: python -m pytest{rest}`, or `pythonpath = [\".\"]` below [tool.pytest.ini_options] in pyproject.toml"
    ))
}

/// Tests of one platform's image.
#[derive(Clone, Copy)]
pub(crate) struct ImageTests<'a> {
    pub context: &'a Context<'a>,
    pub test: &'a TestRun,
    /// All of the image.
    pub image: LowerLayers<'a>,
}

impl ImageTests<'_> {
    /// Whether they passed before, for the same layers, variables and command.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn have_passed(&self) -> Result<bool, BuildError> {
        let store = self.context.store;
        Ok(!self.context.settings.rules.refresh && store.record(RECORD, &self.key())?.is_some())
    }

    /// Runs them; `wheels` are those that only they need.
    ///
    /// # Errors
    /// They fail; there is no sandbox.
    pub(crate) fn run(&self, wheels: &WheelLock) -> Result<(), BuildError> {
        let context = self.context;
        step_runner::allowed(context, TEST, NO_TEST)?;
        let place = StepRoot::new(context.store, self.folders(wheels)?)?;
        let steps = StepRunner {
            context,
            report: context.report,
        };
        let order = StepCommand {
            title: TEST,
            command: &["/bin/sh", "-c", &self.test.command.value],
            place: Some(&self.test.command.origin),
            directory: "/opt/app-root/src",
            user: USER,
            environment: step_layers::environment(context),
            mounts: Vec::new(),
            has_network: false,
            instead: NO_TEST,
        };
        let ended = steps.try_run(&place.root, &order)?;
        if !is_success(&ended) {
            let facts = &context.project.facts;
            let is_of_project =
                |module: &str| facts.has(&format!("{module}.py")) || facts.is_directory(module);
            let advice = pytest_advice(
                &self.test.command.value,
                ended.status,
                &ended.last_lines,
                is_of_project,
            );
            return Err(steps.failed(&order, &ended, advice).into());
        }
        context.store.put_record(RECORD, &self.key(), b"")?;
        Ok(())
    }

    /// What they depend on: where their packages are listed is a part of the source, and so of its layers.
    fn key(&self) -> Key {
        let mut key = KeyBuilder::new("tests/1").field(self.test.command.value.as_bytes());
        key.add(self.test.packages.value.to_string().as_bytes());
        for made in self.image.layers {
            key.add(made.layer.diff_id.to_string().as_bytes());
        }
        for (name, value) in step_layers::environment(self.context) {
            key.add(name.as_bytes());
            key.add(value.as_bytes());
        }
        let key = key.finish();
        if self.context.is_bare() {
            return step_runner::bare_key(&key);
        }
        key
    }

    fn folders(&self, wheels: &WheelLock) -> Result<Vec<PathBuf>, BuildError> {
        let context = self.context;
        // Without isolation the base is where s2r stands.
        let own = if context.is_bare() {
            self.image.base_count
        } else {
            0
        };
        let mut folders = context.lower_folders(&self.image.layers[own..], self.image.recipes)?;
        if !wheels.packages.is_empty() {
            let all: Vec<_> = wheels.packages.iter().collect();
            let (place, shelf) = (context.place(), context.shelf());
            let recipe = layer_recipes::wheel_layer(&all, &place, &shelf);
            folders.push(context.roots().of_recipe(&recipe, &context.fetcher())?);
        }
        Ok(folders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_the_root_that_pytest_misses_is_named() {
        let lines = ["E   ModuleNotFoundError: No module named 'shop.cart'".to_owned()];
        let advice = |command: &str, code: i32, own: &str| {
            let is_of_project = |module: &str| module == own;
            pytest_advice(command, CommandStatus::Code(code), &lines, is_of_project)
        };
        for code in [2, 4] {
            let said = advice("pytest -q", code, "shop").unwrap();
            assert!(said.contains("`test: python -m pytest -q`"), "{said}");
        }
        for (command, code, own) in [
            ("pytest -q", 1, "shop"),
            ("pytest -q", 2, "other"),
            ("python -m pytest -q", 2, "shop"),
            ("pytest-xdist", 2, "shop"),
        ] {
            assert_eq!(advice(command, code, own), None, "{command} {code} {own}");
        }
        assert!(
            advice("tox -e pytest", 5, "")
                .unwrap()
                .contains(".s2iignore")
        );
    }
}
