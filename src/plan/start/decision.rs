//! Goes through the ways to start: which is certain, which may work, what each lacks, and which server
//! is added.

use super::notes::StartNotes;
use super::servers::{self, AddedServer, ServedBy, ServerAddition};
use super::start_checks::{SourceView, StartCheck};
use super::{Decided, PlanError, StartCandidate, StartError, StartStrategy, ValueOrigin};
use crate::packages::python::syntax::WebFramework;
use crate::plan::PlanWarning;
use crate::plan::builder::BuilderDefinition;
use crate::plan::running::BuildSteps;
use crate::plan::service::FrontInputs;
use crate::plan::service::uwsgi::{self, UwsgiSource};

/// What is decided while the ways are gone through.
#[derive(Default)]
pub(super) struct Decision {
    pub certain: Option<Decided<StartStrategy>>,
    /// The first way that may work, with its place among the candidates.
    pub hoped: Option<(usize, Decided<StartStrategy>)>,
    pub hopes: Vec<&'static str>,
    pub candidates: Vec<StartCandidate>,
    pub added: Option<Decided<AddedServer>>,
    /// Whether the way that is taken lies beyond the contract.
    pub is_beyond: bool,
}

impl SourceView<'_> {
    /// Takes one way into the decision.
    fn weigh(
        &self,
        look: StartCheck,
        addition: &ServerAddition,
        decision: &mut Decision,
    ) -> Result<(), PlanError> {
        match look {
            StartCheck::Possible(found) => decision.take(found),
            StartCheck::Chosen(found, added) => {
                decision.take(found);
                decision.added = added;
            }
            StartCheck::Hoped(found, package) => decision.hope(found, package),
            StartCheck::Unserved(served) => match addition.for_served(&served) {
                Some((server, added)) if decision.certain.is_none() => {
                    self.check_framework(&served)?;
                    let strategy = self.strategy(server, &served);
                    decision.take(Decided::new(strategy, served.origin, served.reason));
                    decision.added = Some(added);
                }
                _ => self.unserved(&served, decision),
            },
            StartCheck::UnservedConf(found) => match addition {
                ServerAddition::Refused if self.may_come => decision.hope(found, "gunicorn"),
                ServerAddition::Refused | ServerAddition::Chosen(..) => {
                    let lack = "gunicorn is not among the dependencies".to_owned();
                    decision
                        .candidates
                        .push(impossible(&found.value.to_string(), lack));
                }
                ServerAddition::Usual => {
                    decision.take(found);
                    decision.added = Some(servers::gunicorn());
                }
            },
            StartCheck::Impossible { way, lack } => {
                decision.candidates.push(impossible(&way, lack));
            }
            // A wrong variable stops `run` only if nothing before it has started.
            StartCheck::Fatal(error) if decision.certain.is_none() => return Err(error),
            StartCheck::Fatal(_) => {}
        }
        Ok(())
    }

    /// Where no file names a package, a server alone would be installed, and the application's first import
    /// would end it.
    fn check_framework(&self, served: &ServedBy) -> Result<(), PlanError> {
        /// Files that name packages, and that nobody reads by themselves.
        const PASSED_OVER: [&str; 7] = [
            "requirements/production.txt",
            "requirements/prod.txt",
            "requirements/base.txt",
            "requirements.in",
            "requirements-prod.txt",
            "environment.yml",
            "environment.yaml",
        ];
        let Some(package) = served.framework.and_then(WebFramework::distribution) else {
            return Ok(());
        };
        let module = package.replace('-', "_");
        let is_of_source =
            self.is_file(&format!("{module}/__init__.py")) || self.is_file(&format!("{module}.py"));
        if !self.names.is_empty() || self.may_have(package) || is_of_source {
            return Ok(());
        }
        let seen = PASSED_OVER.iter().find(|path| self.facts.has(path));
        Err(StartError::NoFramework {
            origin: served.origin.to_string(),
            package,
            seen: seen.map(|path| (*path).to_owned()),
        }
        .into())
    }

    /// An application that no server is added for.
    fn unserved(&self, served: &ServedBy, decision: &mut Decision) {
        let usual = served.usual();
        let strategy = self.strategy(usual, served);
        if self.may_come {
            let found = Decided::new(strategy, served.origin.clone(), &*served.reason);
            decision.hope(found, usual.name());
        } else {
            let lack = format!(
                "{} at {}, but no server is among the dependencies: add {}, and it is started by `{strategy}`",
                served.reason,
                served.origin,
                usual.name()
            );
            decision.candidates.push(impossible(&served.called(), lack));
        }
    }
}

impl Decision {
    /// Goes through the ways; those from the number of `contract` on lie beyond it.
    ///
    /// # Errors
    /// What would stop `run`, where nothing before it has started.
    pub(super) fn of(
        view: &SourceView<'_>,
        ways: Vec<StartCheck>,
        contract: usize,
        addition: &ServerAddition,
    ) -> Result<Self, PlanError> {
        let mut decision = Self::default();
        for (index, look) in ways.into_iter().enumerate() {
            let was_certain = decision.certain.is_some();
            view.weigh(look, addition, &mut decision)?;
            decision.is_beyond |= !was_certain && decision.certain.is_some() && index >= contract;
        }
        Ok(decision)
    }

    fn take(&mut self, found: Decided<StartStrategy>) {
        self.candidates
            .push(candidate(&found, self.certain.as_ref()));
        self.certain.get_or_insert(found);
    }

    fn hope(&mut self, found: Decided<StartStrategy>, package: &'static str) {
        let lack = format!(
            "{}, but {package} is not among the dependencies, unless another of them needs it",
            found.reason
        );
        self.candidates
            .push(impossible(&found.value.to_string(), lack));
        self.hopes.push(package);
        self.hoped.get_or_insert((self.candidates.len() - 1, found));
    }
}

fn impossible(way: &str, lack: String) -> StartCandidate {
    StartCandidate {
        way: way.to_owned(),
        place: None,
        possible: false,
        taken: false,
        reason: lack,
    }
}

fn candidate(
    found: &Decided<StartStrategy>,
    taken: Option<&Decided<StartStrategy>>,
) -> StartCandidate {
    let why = if found.reason.is_empty() {
        found.origin.to_string()
    } else {
        found.reason.clone()
    };
    StartCandidate {
        way: found.value.to_string(),
        place: match &found.origin {
            ValueOrigin::File(place) if place.line.is_some() => Some(place.to_string()),
            _ => None,
        },
        possible: true,
        taken: taken.is_none(),
        reason: match taken {
            None => why,
            Some(first) => format!("{why}; {} comes first", first.value),
        },
    }
}

impl SourceView<'_> {
    /// Notes the servers' settings and what is in front of the application; the Debian packages that they need.
    ///
    /// # Errors
    /// A folder of static files is not there.
    pub(super) fn add_servers(
        &self,
        strategy: &Decided<StartStrategy>,
        notes: &mut StartNotes,
        (running, builder): (&BuildSteps, &BuilderDefinition),
        advice: &mut Vec<PlanWarning>,
    ) -> Result<Vec<Decided<String>>, PlanError> {
        let mut packages = Vec::new();
        let is_uwsgi = self.is_uwsgi(&strategy.value);
        if is_uwsgi && self.uwsgi == UwsgiSource::Debian {
            let origin = || strategy.origin.clone();
            let names = uwsgi::DEBIAN_PACKAGES.into_iter();
            packages.extend(
                names.map(|name| Decided::new(name.to_owned(), origin(), "for server: uwsgi")),
            );
        }
        if let StartStrategy::Server {
            settings: Some(settings),
            ..
        } = &strategy.value
        {
            notes.settings.push(settings.clone());
        }
        let front = FrontInputs {
            facts: self.facts,
            builder,
            collects: running.collectstatic.value,
            is_uwsgi,
        };
        front.decide((notes, &mut packages), advice)?;
        Ok(packages)
    }
}
