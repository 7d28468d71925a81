//! What of the project's own code a build runs, and which variable leaves it out: the project's own
//! assemble script, the install of the project itself, the commands of `build`, Django's `collectstatic`; and what
//! tests the image.

mod test_run;

use serde::Serialize;

pub(super) use test_run::decide as decide_test;
pub(crate) use test_run::{TestPackages, TestRun};

use super::dependencies::source::{self, DependencySource};
use super::{Decided, PlanError, PlanWarning, ValueOrigin, Variables};
pub(crate) use crate::project::ASSEMBLE;
use crate::project::settings::BuildCommand;
use crate::project::{ProjectFacts, SourcePlace};

/// Leaves the install by setup.py or setup.cfg out.
const NO_SETUP: &str = "DISABLE_SETUP_PY_PROCESSING";
/// Leaves the install by pyproject.toml out.
const NO_PYPROJECT: &str = "DISABLE_PYPROJECT_TOML_PROCESSING";
const NO_COLLECTSTATIC: &str = "DISABLE_COLLECTSTATIC";

/// What runs at build time, in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BuildSteps {
    /// The project's own assemble script is run instead of everything else here.
    pub assemble: Decided<bool>,
    /// The project itself is built into a wheel and installed, as `pip install .` does.
    pub install: Decided<bool>,
    /// The commands of `build`, in order.
    pub commands: Vec<Decided<BuildCommand>>,
    /// `manage.py collectstatic`, if Django turns out to be installed.
    pub collectstatic: Decided<bool>,
    /// The newest pip, setuptools and wheel go in.
    pub newest_pip: Decided<bool>,
}

impl<T> Decided<T> {
    /// What the project's own assemble script says.
    pub(crate) fn of_script(value: T) -> Self {
        let script = SourcePlace::file(ASSEMBLE);
        Self::new(value, ValueOrigin::File(script), "")
    }
}

pub(super) fn decide(
    facts: &ProjectFacts,
    variables: &Variables,
    dependencies: &DependencySource,
    advice: &mut Vec<PlanWarning>,
) -> Result<BuildSteps, PlanError> {
    let commands = &facts.settings.build;
    let assemble = if facts.has(ASSEMBLE) {
        if let Some(command) = commands.first() {
            let place = command.place.clone();
            return Err(PlanError::BuildBesideAssemble { place });
        }
        Decided::new(true, of_file(ASSEMBLE), "the project's own script")
    } else {
        Decided::new(false, ValueOrigin::Default, "")
    };
    let upgrade = "UPGRADE_PIP_TO_LATEST";
    let newest_pip = if variables.is_on(upgrade) {
        Decided::new(true, of_variable(upgrade), "")
    } else {
        Decided::new(false, ValueOrigin::Default, "")
    };
    let commands = commands.iter().map(|command| {
        let origin = ValueOrigin::File(command.place.clone());
        let network = if command.value.has_network {
            "with the network"
        } else {
            ""
        };
        Decided::new(command.value.clone(), origin, network)
    });
    Ok(BuildSteps {
        install: install(facts, variables, advice),
        commands: commands.collect(),
        collectstatic: collectstatic(facts, variables, dependencies, advice),
        assemble,
        newest_pip,
    })
}

impl BuildSteps {
    /// Whether a command of `build` has Node do something.
    pub(crate) fn runs_node(&self) -> bool {
        let is_node = |word: &str| {
            let name = word.rsplit('/').next().unwrap_or(word);
            ["npm", "npx", "node", "yarn", "pnpm", "corepack", "bun"].contains(&name)
        };
        (self.commands.iter()).any(|one| {
            let words = one
                .value
                .command
                .split(|c: char| c.is_whitespace() || "&|;()".contains(c));
            words.into_iter().any(is_node)
        })
    }
}

/// Whether the project itself is installed.
pub(super) fn is_installed(facts: &ProjectFacts, variables: &Variables) -> bool {
    install(facts, variables, &mut Vec::new()).value
}

fn of_file(path: &str) -> ValueOrigin {
    ValueOrigin::File(SourcePlace::file(path))
}

fn of_variable(name: &str) -> ValueOrigin {
    ValueOrigin::Environment {
        variable: name.to_owned(),
    }
}

/// Whether the project is installed. The image of s2i asks setup.py, setup.cfg and pyproject.toml
/// one after the other and installs twice where it finds two; once is the same.
fn install(
    facts: &ProjectFacts,
    variables: &Variables,
    advice: &mut Vec<PlanWarning>,
) -> Decided<bool> {
    if variables.is_on(super::variables::MEMBER) {
        return Decided::new(
            false,
            of_variable(super::variables::MEMBER),
            "the member is built from its folder",
        );
    }
    let mut off = None;
    for (file, switch, is_package) in [
        ("setup.py", NO_SETUP, facts.has("setup.py")),
        ("setup.cfg", NO_SETUP, facts.setup_cfg_packages),
        ("pyproject.toml", NO_PYPROJECT, is_package(facts)),
    ] {
        if !is_package {
            continue;
        }
        if !variables.is_on(switch) {
            return Decided::new(true, of_file(file), "the project itself is installed");
        }
        off.get_or_insert(switch);
    }
    if let Some(switch) = off {
        return Decided::new(false, of_variable(switch), "");
    }
    if facts.has("setup.cfg") {
        advice.push(PlanWarning::new(
            "setup.cfg holds settings of tools only, so nothing is installed from it",
            "",
        ));
    }
    if let Some(pyproject) = &facts.pyproject
        && !variables.is_on(NO_PYPROJECT)
    {
        let text = if pyproject.is_project {
            "pyproject.toml has no [build-system], so the project runs from its folder and is not installed"
        } else {
            "pyproject.toml holds settings of tools only, so nothing is installed from it"
        };
        advice.push(PlanWarning::new(
            text,
            format!("set {NO_PYPROJECT} to silence this"),
        ));
    }
    Decided::new(
        false,
        ValueOrigin::Default,
        "nothing says how to install it",
    )
}

/// Whether pyproject.toml makes a package: it names a backend; or it names a project whose code lies
/// below `src`, where Python finds it only once it is installed.
fn is_package(facts: &ProjectFacts) -> bool {
    facts.pyproject.as_ref().is_some_and(|pyproject| {
        pyproject.build_backend.is_some() || (pyproject.is_project && facts.is_directory("src"))
    })
}

fn collectstatic(
    facts: &ProjectFacts,
    variables: &Variables,
    dependencies: &DependencySource,
    advice: &mut Vec<PlanWarning>,
) -> Decided<bool> {
    if variables.is_on(NO_COLLECTSTATIC) {
        return Decided::new(false, of_variable(NO_COLLECTSTATIC), "");
    }
    let path = manage_py(variables);
    if facts.has(&path) {
        return Decided::new(true, of_file(&path), "if Django is installed");
    }
    if source::django(facts, dependencies).is_some() {
        advice.push(PlanWarning::new(
            format!("Django without {path}: static files are not collected"),
            format!("set APP_HOME to its folder, or {NO_COLLECTSTATIC} to silence this"),
        ));
    }
    Decided::new(false, ValueOrigin::Default, "there is no manage.py")
}

/// Where Django's script lies in the source.
pub(crate) fn manage_py(variables: &Variables) -> String {
    let home = variables.get("APP_HOME").unwrap_or_default();
    let home = home.trim_end_matches('/').trim_start_matches("./");
    match home {
        "" | "." => "manage.py".to_owned(),
        home => format!("{home}/manage.py"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::planned;

    fn running(files: &[(&str, &str)], env: &[&str]) -> BuildSteps {
        let mut all = vec![("app.py", "")];
        all.extend_from_slice(files);
        planned(&all, env).unwrap().running
    }

    #[test]
    fn the_project_is_installed_unless_switched_off() {
        let setup = ("setup.py", "");
        let cfg = ("setup.cfg", "[metadata]\nname=x\n");
        let pyproject = ("pyproject.toml", "[build-system]\nrequires=[]\n");
        let lying_below_src = ("pyproject.toml", "[project]\nname='x'\n");
        let no_setup = "DISABLE_SETUP_PY_PROCESSING=1";
        let no_pyproject = "DISABLE_PYPROJECT_TOML_PROCESSING=1";
        for (files, env, installed) in [
            (vec![setup], vec![], true),
            (vec![setup], vec![no_setup], false),
            (vec![cfg], vec![], true),
            (vec![cfg], vec![no_setup], false),
            (vec![pyproject], vec![], true),
            (vec![pyproject], vec![no_pyproject], false),
            (vec![setup, pyproject], vec![no_setup], true),
            (vec![setup, pyproject], vec![no_setup, no_pyproject], false),
            (
                vec![lying_below_src, ("src/x/__init__.py", "")],
                vec![],
                true,
            ),
            (vec![lying_below_src], vec![], false),
        ] {
            let decided = running(&files, &env);
            assert_eq!(decided.install.value, installed, "{files:?} {env:?}");
        }
    }

    #[test]
    fn settings_of_tools_are_ignored_with_a_note() {
        for (path, text) in [
            ("setup.cfg", "[flake8]\n"),
            ("pyproject.toml", "[tool.black]\n"),
            ("pyproject.toml", "[project]\nname='x'\n"),
        ] {
            let plan = planned(&[("app.py", ""), (path, text)], &[]).unwrap();
            assert_eq!(plan.advice.len(), 1, "{path}");
            assert!(!plan.running.install.value);
        }
    }

    #[test]
    fn static_files_are_collected_where_manage_py_is() {
        let django = ("requirements.txt", "Django\n");
        let collects =
            |files: &[(&str, &str)], env: &[&str]| running(files, env).collectstatic.value;
        let manage = ("manage.py", "");
        assert!(collects(&[manage, django], &[]));
        assert!(!collects(&[manage, django], &["DISABLE_COLLECTSTATIC=0"]));
        let below = [("shop/manage.py", ""), ("shop/app.py", ""), django];
        assert!(collects(&below, &["APP_HOME=shop"]));
        assert!(!collects(&below, &[]));
        let advice = planned(&[("app.py", ""), django], &[]).unwrap().advice;
        assert!(
            advice.iter().any(|one| one.text.contains("manage.py")),
            "{advice:?}"
        );
    }

    #[test]
    fn commands_of_build_run_in_order_and_beside_no_assemble_script() {
        let settings = (
            "s2r.yaml",
            "build:\n- flask translate compile\n- {run: cd ui && npm ci, network: true}\n",
        );
        let steps = running(&[settings], &[]);
        let told: Vec<String> = (steps.commands.iter())
            .map(|one| format!("{}: {} ({})", one.origin, one.value.command, one.reason))
            .collect();
        let expected = [
            "s2r.yaml:2: flask translate compile ()",
            "s2r.yaml:3: cd ui && npm ci (with the network)",
        ];
        assert_eq!(told, expected);
        let all = [("app.py", ""), settings, (ASSEMBLE, "#!/bin/sh\n")];
        let Err(PlanError::BuildBesideAssemble { place }) = planned(&all, &[]) else {
            panic!("commands that would not run");
        };
        assert_eq!(place.to_string(), "s2r.yaml:2");
    }

    #[test]
    fn a_build_script_of_node_is_told_unless_a_command_runs_node() {
        let package = ("package.json", r#"{"scripts": {"build": "vite build"}}"#);
        let is_told = |commands| {
            let files = [("app.py", ""), package, ("s2r.yaml", commands)];
            let advice = planned(&files, &[]).unwrap().advice;
            advice
                .iter()
                .any(|one| one.hint.contains("{run: npm ci, network: true}"))
        };
        assert!(is_told(""));
        assert!(is_told("build: [python compile-nodes.py]"));
        assert!(!is_told("build: [npm run build]"));
        assert!(!is_told("build: ['cd ui;npm run build']"));
        assert!(!is_told("build: [/usr/bin/npm run build]"));
    }

    #[test]
    fn an_assemble_script_of_its_own_is_seen() {
        assert!(running(&[(ASSEMBLE, "#!/bin/sh\n")], &[]).assemble.value);
        assert!(!running(&[], &[]).assemble.value);
        assert!(running(&[], &["UPGRADE_PIP_TO_LATEST=1"]).newest_pip.value);
    }
}
