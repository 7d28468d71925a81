//! How the application will start: a prediction of what `scripts/run` decides in the container,
//! from the same files and variables and in the same order.
//!
//! `run` decides again at start, because variables can change there. The two are held together by
//! the tests in `script_tests`, which ask both.

mod code;
mod decision;
mod entries;
mod error;
mod found;
mod gunicorn;
mod home;
mod missing_parts;
mod modules;
mod notes;
mod pages;
mod release;
mod servers;
mod sessions;
mod start_checks;

use std::collections::BTreeMap;

use serde::Serialize;

use super::builder::BuilderDefinition;
use super::dependencies::source::DependencySource;
use super::running::BuildSteps;
use super::{Decided, PlanError, PlanWarning, ValueOrigin, Variables};
use crate::project::{FirstLine, ProjectFacts};
use decision::Decision;
pub(crate) use error::StartError;
pub(super) use home::infer_home;
pub(crate) use notes::{ServerSettings, StartNotes};
pub(crate) use servers::AddedServer;
use servers::ServerAddition;
use start_checks::{PackagePresence, SourceView};

/// The first gunicorn that has workers for ASGI.
const ASGI_GUNICORN: u32 = 25;

/// A way to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum StartStrategy {
    /// The project's own script.
    OwnRun {
        path: String,
    },
    /// gunicorn, which finds its application in `gunicorn.conf.py`.
    GunicornConf,
    AppScript {
        /// Relative to `APP_HOME`, or absolute.
        path: String,
    },
    /// A file for the interpreter.
    AppFile {
        /// Relative to `APP_HOME`, or absolute.
        path: String,
    },
    /// gunicorn with a module.
    Gunicorn {
        /// `module` or `module:callable`.
        module: String,
    },
    DjangoServer,
    /// The `web` line of a Procfile.
    Process {
        /// A line for a shell.
        command: String,
    },
    /// A server for the application that the code makes.
    Server {
        /// A line for a shell.
        command: String,
        /// What the command reads, where the project has none of its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        settings: Option<ServerSettings>,
    },
}

impl StartStrategy {
    /// A server that needs no settings.
    fn server(command: String) -> Self {
        Self::Server {
            command,
            settings: None,
        }
    }

    /// Whether `run` migrates the database of a Django project before it.
    fn comes_behind_migration(&self) -> bool {
        match self {
            Self::Gunicorn { .. }
            | Self::DjangoServer
            | Self::Process { .. }
            | Self::Server { .. } => true,
            Self::OwnRun { .. }
            | Self::GunicornConf
            | Self::AppScript { .. }
            | Self::AppFile { .. } => false,
        }
    }
}

impl std::fmt::Display for StartStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OwnRun { path } => write!(f, "own script {path}"),
            Self::GunicornConf => f.write_str("gunicorn as gunicorn.conf.py says"),
            Self::AppScript { path } => write!(f, "script {path}"),
            Self::AppFile { path } => write!(f, "python {path}"),
            Self::Gunicorn { module } => write!(f, "gunicorn {module}"),
            Self::DjangoServer => f.write_str("manage.py runserver"),
            Self::Process { command } | Self::Server { command, .. } => f.write_str(command),
        }
    }
}

/// One way to start, taken or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StartCandidate {
    /// The way, for instance `script app.sh`.
    pub way: String,
    /// What shows it, where that is not the way itself.
    pub place: Option<String>,
    /// Whether it would work if nothing came before it.
    pub possible: bool,
    /// Whether it is taken.
    pub taken: bool,
    /// Why, or why not.
    pub reason: String,
}

/// How the application starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StartDecision {
    /// The way that is taken.
    pub strategy: Decided<StartStrategy>,
    /// All ways in the order in which `run` looks.
    pub candidates: Vec<StartCandidate>,
    /// Whether the database is migrated first.
    pub migrates: bool,
    /// What runs before the server whenever a container starts.
    pub release: Option<Decided<String>>,
    /// What is noted for `run`.
    pub notes: StartNotes,
    /// Whether S2I's images would start something else, or nothing.
    pub differs: bool,
    /// The server that is put among the dependencies.
    pub added: Option<Decided<AddedServer>>,
    /// What the way that is taken, and those that could stand in for it, hope to find installed
    /// though no file names it. Empty where the way is certain.
    #[serde(skip)]
    hopes: Vec<&'static str>,
    /// Debian packages of the servers.
    #[serde(skip)]
    pub(super) packages: Vec<Decided<String>>,
    /// What could serve if a line were added, and that line; looked for only where no way is certain.
    #[serde(skip)]
    found: Vec<(String, String)>,
}

impl StartDecision {
    /// Holds the prediction against what is installed, names and versions, as soon as that is known:
    /// whether some way to start is left.
    ///
    /// # Errors
    /// [`PlanError::NoStart`]; [`StartError::OldGunicorn`].
    pub(crate) fn check<'a>(
        &self,
        installed: impl Iterator<Item = (&'a str, String)>,
    ) -> Result<(), PlanError> {
        let installed: BTreeMap<&str, String> = installed.collect();
        if let StartStrategy::Server { command, .. } = &self.strategy.value
            && command.contains("--worker-class asgi")
            && let Some(version) = installed.get("gunicorn")
            && major(version).is_some_and(|major| major < ASGI_GUNICORN)
        {
            let found = version.clone();
            return Err(StartError::OldGunicorn { found }.into());
        }
        let is_there = |name: &&str| installed.contains_key(*name);
        if self.hopes.is_empty() || self.hopes.iter().any(is_there) {
            return Ok(());
        }
        let lacking = self
            .candidates
            .iter()
            .map(|one| (one.way.clone(), one.reason.clone()))
            .collect();
        Err(PlanError::NoStart {
            is_python: true,
            found: self.found.clone(),
            lacking,
        })
    }
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// What a prediction is made from.
#[derive(Clone, Copy)]
pub(super) struct StartInputs<'a> {
    pub facts: &'a ProjectFacts,
    pub variables: &'a Variables,
    pub dependencies: &'a DependencySource,
    pub running: &'a BuildSteps,
    pub builder: &'a BuilderDefinition,
}

/// Predicts what `run` does: what the project's settings choose, else the first way that is certain, else the
/// first that may work.
pub(super) fn predict(
    inputs: StartInputs<'_>,
    advice: &mut Vec<PlanWarning>,
) -> Result<StartDecision, PlanError> {
    let StartInputs {
        facts,
        variables,
        running,
        ..
    } = inputs;
    let view = SourceView::new(inputs);
    let addition = ServerAddition::of(variables, running.assemble.value)?;
    let chosen = view.chosen(advice)?;
    let is_chosen = chosen.is_some();
    let looks = match chosen {
        Some(chosen) => view.behind(chosen)?,
        None => view.looks()?,
    };
    let (contract, passed_over) = (looks.contract, looks.passed_over);
    let decision = Decision::of(&view, looks.ways, contract, &addition)?;
    let found = if decision.certain.is_none() {
        view.could_serve()?
    } else {
        Vec::new()
    };
    let Decision {
        certain,
        hoped,
        mut hopes,
        mut candidates,
        added,
        is_beyond,
    } = decision;
    let mut differs = is_chosen || is_beyond || !passed_over.is_empty() || view.is_home_inferred();
    let strategy = match (certain, hoped) {
        (Some(certain), _) => {
            hopes.clear();
            certain
        }
        (None, Some((index, hoped))) => {
            candidates[index].taken = true;
            differs |= index >= contract;
            hoped
        }
        (None, None) => return Err(nothing_starts(facts, found, candidates)),
    };
    view.advise(&strategy.value, &candidates, &hopes, advice)?;
    view.advise_on_missing(&strategy, advice)?;
    view.advise_on_sessions(&strategy.value, advice)?;
    let taken = format!("started with `{}`", strategy.value);
    advice.extend(
        passed_over
            .into_iter()
            .map(|lack| PlanWarning::new(lack, &*taken)),
    );
    advice.extend(
        added
            .as_ref()
            .map(|added| advice_on_added(added, &strategy.value)),
    );
    let mut notes = if differs {
        StartNotes::of(&strategy.value, variables)
    } else {
        StartNotes::default()
    };
    notes.processes = view.process_types();
    notes.is_chosen = is_chosen;
    let packages = view.add_servers(&strategy, &mut notes, (running, inputs.builder), advice)?;
    advice.extend(view.advice_on_processes());
    let migrates = view.migrates(&strategy.value);
    let release = release::decide(facts, variables, (&strategy.value, migrates), advice);
    notes.release = facts.settings.release.as_ref().map(|one| one.value.clone());
    Ok(StartDecision {
        migrates: migrates && notes.release.is_none(),
        release,
        notes,
        differs,
        added,
        strategy,
        candidates,
        hopes,
        found,
        packages,
    })
}

fn nothing_starts(
    facts: &ProjectFacts,
    found: Vec<(String, String)>,
    candidates: Vec<StartCandidate>,
) -> PlanError {
    let ways = candidates.into_iter();
    PlanError::NoStart {
        is_python: !facts.found.is_empty() || !found.is_empty(),
        found,
        lacking: ways.map(|one| (one.way, one.reason)).collect(),
    }
}

fn advice_on_added(added: &Decided<AddedServer>, strategy: &StartStrategy) -> PlanWarning {
    let requirement = &added.value.requirement;
    let mut hint = format!("name {requirement} among the dependencies to choose its version");
    if !matches!(added.origin, ValueOrigin::File(_)) {
        let file = code::ENVIRONMENT;
        hint.push_str(&format!("; the line `S2R_ADD_SERVER=` in {file} adds none"));
    }
    PlanWarning::new(
        format!("{}: {requirement} is added, for `{strategy}`", added.reason),
        hint,
    )
}

impl SourceView<'_> {
    /// Whether `run` would migrate the database before this.
    fn migrates(&self, strategy: &StartStrategy) -> bool {
        strategy.comes_behind_migration()
            && matches!(self.django, PackagePresence::Named(_))
            && self.is_file("manage.py")
            && !self.variables.is_on("DISABLE_MIGRATE")
    }

    fn advise(
        &self,
        strategy: &StartStrategy,
        candidates: &[StartCandidate],
        hopes: &[&str],
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        if let Some(package) = hopes.first() {
            advice.push(PlanWarning::new(
                format!("{strategy} needs {package}, which nothing names; the build stops if nothing brings it along"),
                format!("add {package} to the dependencies"),
            ));
        }
        // What the project's settings choose, nobody has to choose again.
        let is_chosen = |one: &StartCandidate| one.taken && one.reason.starts_with(servers::CHOSEN);
        let others: Vec<&str> = candidates
            .iter()
            .filter(|_| !candidates.iter().any(is_chosen))
            .filter(|one| one.possible && !one.taken)
            .map(|one| one.way.as_str())
            .collect();
        // With gunicorn and Django, the development server is nobody's first choice.
        let is_plain = others.iter().all(|&way| way == "manage.py runserver");
        if !others.is_empty() && !is_plain {
            advice.push(PlanWarning::new(
                format!(
                    "started with {strategy}; also possible: {}",
                    others.join(", ")
                ),
                "APP_SCRIPT, APP_FILE or APP_MODULE says which; `s2r plan` shows why",
            ));
        }
        self.advise_on_code(strategy, advice)?;
        match strategy {
            StartStrategy::AppScript { path } => self.check_script(self.path(path), advice),
            StartStrategy::OwnRun { path } => self.check_script(Some(path.clone()), advice),
            StartStrategy::DjangoServer => {
                advice.push(PlanWarning::new(
                    "manage.py runserver is a server for development",
                    self.gunicorn_for_django()?,
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_script(
        &self,
        path: Option<String>,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        let Some(entry) = path.and_then(|path| self.facts.file(&path)) else {
            return Ok(());
        };
        if !entry.is_executable() {
            let path = entry.shown();
            return Err(PlanError::NotExecutable { path });
        }
        match self.facts.first_line(entry)? {
            FirstLine::Interpreter => {}
            FirstLine::WindowsInterpreter => {
                let path = entry.shown();
                return Err(StartError::WindowsLines { path }.into());
            }
            FirstLine::Other => advice.push(PlanWarning::new(
                format!("{} does not begin with #!", entry.shown()),
                "begin it with #!/bin/sh or the program that is to run it",
            )),
        }
        Ok(())
    }
}

#[cfg(test)]
mod code_tests;
#[cfg(test)]
pub(super) mod situations;
#[cfg(test)]
mod tests;
