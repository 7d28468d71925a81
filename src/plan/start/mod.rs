//! How the application will start: a prediction of what `scripts/run` decides in the container,
//! from the same files and variables and in the same order.
//!
//! `run` decides again at start, because variables can change there. The two are held together by
//! the tests in `script_tests`, which ask both.

mod code;
mod error;
mod found;
mod looks;
mod modules;

use serde::Serialize;

use super::dependencies::Dependencies;
use super::running::Running;
use super::{Advice, Decided, PlanError, Variables};
use crate::project::{Facts, FirstLine};
pub(crate) use error::StartError;
use looks::{Look, Presence, View};

/// A way to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Strategy {
    /// The project's own script.
    OwnRun {
        /// Its path.
        path: String,
    },
    /// gunicorn, which finds its application in `gunicorn.conf.py`.
    GunicornConf,
    /// A script.
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
    /// Django's development server.
    DjangoServer,
    /// The `web` line of a Procfile.
    Process {
        /// For a shell.
        command: String,
    },
    /// A server for the application that the code makes.
    Server {
        /// For a shell.
        command: String,
    },
}

impl Strategy {
    /// What `run` is told to start where it finds nothing by itself.
    fn noted(&self) -> Option<&str> {
        match self {
            Self::Process { command } | Self::Server { command } => Some(command),
            _ => None,
        }
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OwnRun { path } => write!(f, "own script {path}"),
            Self::GunicornConf => f.write_str("gunicorn as gunicorn.conf.py says"),
            Self::AppScript { path } => write!(f, "script {path}"),
            Self::AppFile { path } => write!(f, "python {path}"),
            Self::Gunicorn { module } => write!(f, "gunicorn {module}"),
            Self::DjangoServer => f.write_str("manage.py runserver"),
            Self::Process { command } | Self::Server { command } => f.write_str(command),
        }
    }
}

/// One way to start, taken or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Candidate {
    /// The way, for instance `script app.sh`.
    pub way: String,
    /// Whether it would work if nothing came before it.
    pub possible: bool,
    /// Whether it is taken.
    pub taken: bool,
    /// Why, or why not.
    pub reason: String,
}

/// How the application starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Start {
    /// The way that is taken.
    pub strategy: Decided<Strategy>,
    /// All ways in the order in which `run` looks.
    pub candidates: Vec<Candidate>,
    /// Whether the database is migrated first.
    pub migrates: bool,
    /// The command that is noted for `run`: a Procfile's, or one that serves what the code makes.
    pub web: Option<String>,
    /// What the way that is taken, and those that could stand in for it, hope to find installed
    /// though no file names it. Empty where the way is certain.
    #[serde(skip)]
    hopes: Vec<&'static str>,
    /// What could serve if a line were added, and that line; looked for only where no way is certain.
    #[serde(skip)]
    found: Vec<(String, String)>,
}

impl Start {
    /// Holds the prediction against what is installed, as soon as that is known: whether some way
    /// to start is left.
    ///
    /// # Errors
    /// [`PlanError::NoStart`].
    pub(crate) fn check<'a>(
        &self,
        mut installed: impl Iterator<Item = &'a str>,
    ) -> Result<(), PlanError> {
        if self.hopes.is_empty() || installed.any(|name| self.hopes.contains(&name)) {
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

/// Predicts what `run` does: the first way that is certain, else the first that may work.
pub(super) fn predict(
    facts: &Facts,
    variables: &Variables,
    dependencies: &Dependencies,
    running: &Running,
    advice: &mut Vec<Advice>,
) -> Result<Start, PlanError> {
    let view = View::new(facts, variables, dependencies, running);
    let mut certain: Option<Decided<Strategy>> = None;
    let mut hoped: Option<(usize, Decided<Strategy>)> = None;
    let mut hopes = Vec::new();
    let mut candidates = Vec::new();
    for look in view.looks()? {
        match look {
            Look::Possible(found) => {
                candidates.push(candidate(&found, certain.as_ref()));
                certain.get_or_insert(found);
            }
            Look::Hoped(found, package) => {
                let lack = format!(
                    "{}, but {package} is not among the dependencies, unless another of them needs it",
                    found.reason
                );
                candidates.push(impossible(&found.value.to_string(), lack));
                hopes.push(package);
                hoped.get_or_insert((candidates.len() - 1, found));
            }
            Look::Impossible { way, lack } => candidates.push(impossible(way, lack)),
            // A wrong variable stops `run` only if nothing before it has started.
            Look::Fatal(error) if certain.is_none() => return Err(error),
            Look::Fatal(_) => {}
        }
    }
    let found = if certain.is_none() {
        view.could_serve()?
    } else {
        Vec::new()
    };
    let strategy = match (certain, hoped) {
        (Some(certain), _) => {
            hopes.clear();
            certain
        }
        (None, Some((index, hoped))) => {
            candidates[index].taken = true;
            hoped
        }
        (None, None) => {
            return Err(PlanError::NoStart {
                is_python: !facts.found.is_empty() || !found.is_empty(),
                found,
                lacking: candidates
                    .into_iter()
                    .map(|one| (one.way, one.reason))
                    .collect(),
            });
        }
    };
    view.advise(&strategy.value, &candidates, &hopes, advice)?;
    let reaches_migration = matches!(
        strategy.value,
        Strategy::Gunicorn { .. }
            | Strategy::DjangoServer
            | Strategy::Process { .. }
            | Strategy::Server { .. }
    );
    Ok(Start {
        migrates: reaches_migration
            && matches!(view.django, Presence::Named(_))
            && view.is_file("manage.py")
            && !variables.is_on("DISABLE_MIGRATE"),
        web: strategy.value.noted().map(str::to_owned),
        strategy,
        candidates,
        hopes,
        found,
    })
}

fn impossible(way: &str, lack: String) -> Candidate {
    Candidate {
        way: way.to_owned(),
        possible: false,
        taken: false,
        reason: lack,
    }
}

fn candidate(found: &Decided<Strategy>, taken: Option<&Decided<Strategy>>) -> Candidate {
    let why = if found.reason.is_empty() {
        found.origin.to_string()
    } else {
        found.reason.clone()
    };
    Candidate {
        way: found.value.to_string(),
        possible: true,
        taken: taken.is_none(),
        reason: match taken {
            None => why,
            Some(first) => format!("{why}; {} comes first", first.value),
        },
    }
}

impl View<'_> {
    fn advise(
        &self,
        strategy: &Strategy,
        candidates: &[Candidate],
        hopes: &[&str],
        advice: &mut Vec<Advice>,
    ) -> Result<(), PlanError> {
        if let Some(package) = hopes.first() {
            advice.push(Advice::new(
                format!("{strategy} needs {package}, which nothing names; the build stops if nothing brings it along"),
                format!("add {package} to the dependencies"),
            ));
        }
        let others: Vec<&str> = candidates
            .iter()
            .filter(|one| one.possible && !one.taken)
            .map(|one| one.way.as_str())
            .collect();
        // With gunicorn and Django, the development server is nobody's first choice.
        let is_plain = others.iter().all(|&way| way == "manage.py runserver");
        if !others.is_empty() && !is_plain {
            advice.push(Advice::new(
                format!(
                    "started with {strategy}; also possible: {}",
                    others.join(", ")
                ),
                "APP_SCRIPT, APP_FILE or APP_MODULE says which; `s2r plan` shows why",
            ));
        }
        self.advise_on_code(strategy, advice)?;
        match strategy {
            Strategy::AppScript { path } => self.check_script(self.path(path), advice),
            Strategy::OwnRun { path } => self.check_script(Some(path.clone()), advice),
            Strategy::DjangoServer => {
                advice.push(Advice::new(
                    "manage.py runserver is a server for development",
                    self.gunicorn_for_django()?,
                ));
                Ok(())
            }
            Strategy::Process { .. } => {
                advice.extend(self.other_processes());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_script(
        &self,
        path: Option<String>,
        advice: &mut Vec<Advice>,
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
            FirstLine::Other => advice.push(Advice::new(
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
mod tests;
