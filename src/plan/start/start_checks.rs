//! What `run` will find, way by way: whether each way to start is possible, and why not.

use super::servers::{AddedServer, ServedBy};
use super::{StartInputs, StartStrategy};
use crate::plan::dependencies::source;
use crate::plan::service::uwsgi::{self, UwsgiSource};
use crate::plan::variables;
use crate::plan::{Decided, PlanError, SOURCE_FOLDER, ValueOrigin, Variables};
use crate::project::{NamedPackage, ProjectFacts, SourcePlace};

/// The project's own start script, which s2i takes instead of the image's.
const OWN_RUN: &str = ".s2i/bin/run";

/// Whether a package that a way needs gets into the image.
#[derive(Clone, Copy)]
pub(super) enum PackagePresence<'a> {
    /// A file names it.
    Named(&'a SourcePlace),
    /// None does, but what is named, or the project itself, may need it.
    Hoped,
    /// It is not there.
    Absent,
}

/// A way that was looked at.
pub(super) enum StartCheck {
    Possible(Decided<StartStrategy>),
    /// Possible if this package comes along with others.
    Hoped(Decided<StartStrategy>, &'static str),
    /// What the project's settings choose, with the server that is put among the dependencies for it.
    Chosen(Decided<StartStrategy>, Option<Decided<AddedServer>>),
    /// No server for it is among the dependencies.
    Unserved(Box<ServedBy>),
    /// The same of gunicorn's own settings, which only gunicorn reads.
    UnservedConf(Decided<StartStrategy>),
    Impossible {
        way: String,
        lack: String,
    },
    Fatal(PlanError),
}

impl StartCheck {
    pub(super) fn impossible(way: &str, lack: impl Into<String>) -> Self {
        Self::Impossible {
            way: way.to_owned(),
            lack: lack.into(),
        }
    }

    /// Whether `run` would start it, or stop at it.
    fn starts(&self) -> bool {
        matches!(self, Self::Possible(_) | Self::Chosen(..) | Self::Fatal(_))
    }

    /// Whether what comes behind it is not looked at.
    pub(super) fn ends_search(&self) -> bool {
        self.starts() || matches!(self, Self::Unserved(_) | Self::UnservedConf(_))
    }
}

/// The ways that were looked at, in the order of `run`.
pub(super) struct StartChecks {
    pub(super) ways: Vec<StartCheck>,
    /// How many of them, from the first, are the contract's.
    pub(super) contract: usize,
    /// Why ways are passed over that S2I's images would take.
    pub(super) passed_over: Vec<String>,
}

/// The source as `run` will see it.
pub(super) struct SourceView<'a> {
    pub(super) facts: &'a ProjectFacts,
    pub(super) variables: &'a Variables,
    /// What the decided file names.
    pub(super) names: &'a [NamedPackage],
    /// Whether the project itself is installed, or an assemble script of its own does as it likes.
    pub(super) installs: bool,
    own: &'a [NamedPackage],
    /// Whether packages may come along that nothing names.
    pub(super) may_come: bool,
    pub(super) gunicorn: PackagePresence<'a>,
    pub(super) django: PackagePresence<'a>,
    pub(super) uwsgi: UwsgiSource,
    /// Whether an assemble script of the project's own installs what it likes.
    pub(super) assembles: bool,
    /// `APP_HOME` relative to the source; `None` if it lies outside.
    home: Option<String>,
}

impl<'a> SourceView<'a> {
    pub(super) fn new(inputs: StartInputs<'a>) -> Self {
        let StartInputs {
            facts,
            variables,
            dependencies,
            running,
            builder,
        } = inputs;
        let names = source::names(facts, dependencies);
        let own: &[NamedPackage] = if running.install.value {
            source::of_project(facts)
        } else {
            &[]
        };
        let named = |name: &str| names.iter().chain(own).find(|asked| asked.name == name);
        // The project itself needs what its build says; an assemble script installs what it likes.
        let more_may_come = running.install.value
            || running.assemble.value
            || source::may_bring_others(facts, dependencies);
        let presence = |asked: Option<&'a NamedPackage>| match asked {
            Some(asked) => PackagePresence::Named(&asked.place),
            None if more_may_come => PackagePresence::Hoped,
            None => PackagePresence::Absent,
        };
        Self {
            facts,
            variables,
            names,
            own,
            may_come: more_may_come,
            installs: running.install.value
                || running.assemble.value
                || variables.is_on(variables::MEMBER),
            gunicorn: presence(named("gunicorn")),
            django: presence(source::django(facts, dependencies).or_else(|| named("django"))),
            uwsgi: if uwsgi::DISTRIBUTIONS
                .iter()
                .any(|name| named(name).is_some())
            {
                UwsgiSource::Wheel
            } else {
                UwsgiSource::usual(builder)
            },
            assembles: running.assemble.value,
            home: below_source(variables.get("APP_HOME").unwrap_or(".")),
        }
    }

    /// A path of a variable, relative to the source; `None` for what is not in it.
    pub(super) fn path(&self, path: &str) -> Option<String> {
        if path.starts_with('/') {
            return below_source(path);
        }
        let home = self.home.as_ref()?;
        Some(format!("{home}/{path}"))
    }

    pub(super) fn is_file(&self, path: &str) -> bool {
        self.path(path).is_some_and(|path| self.facts.has(&path))
    }

    /// Whether a file is there, or may be: outside the source lies what other layers hold.
    fn may_be_file(&self, path: &str) -> bool {
        self.path(path).is_none_or(|path| self.facts.has(&path))
    }

    /// All ways in the order of `run`. Where the contract starts something that cannot serve, or
    /// nothing, what else serves is looked for.
    ///
    /// # Errors
    /// A file cannot be read; `APP_HOME` names no folder.
    pub(super) fn looks(&self) -> Result<StartChecks, PlanError> {
        let mut ways = self.contract()?;
        let contract = ways.len();
        let mut passed_over = Vec::new();
        loop {
            let Some(at) = ways.iter().position(StartCheck::starts) else {
                ways.extend(self.inferred()?);
                break;
            };
            let StartCheck::Possible(found) = &ways[at] else {
                break;
            };
            let Some(lack) = self.cannot_serve(found)? else {
                break;
            };
            let way = found.value.to_string();
            let is_owed = !matches!(found.value, StartStrategy::DjangoServer);
            let inferred = if ways[at + 1..].iter().any(StartCheck::starts) {
                Vec::new()
            } else {
                let inferred = self.inferred()?;
                if !inferred.iter().any(StartCheck::ends_search) {
                    break;
                }
                inferred
            };
            if is_owed {
                passed_over.push(lack.clone());
            }
            ways[at] = StartCheck::Impossible { way, lack };
            if !inferred.is_empty() {
                ways.extend(inferred);
                break;
            }
        }
        Ok(StartChecks {
            ways,
            contract,
            passed_over,
        })
    }

    /// What the project's settings choose, with the contract's ways behind it.
    ///
    /// # Errors
    /// As for [`looks`](Self::looks).
    pub(super) fn behind(&self, chosen: StartCheck) -> Result<StartChecks, PlanError> {
        let mut ways = vec![chosen];
        ways.extend(self.contract()?);
        Ok(StartChecks {
            contract: ways.len(),
            ways,
            passed_over: Vec::new(),
        })
    }

    /// The ways of S2I's images.
    fn contract(&self) -> Result<Vec<StartCheck>, PlanError> {
        if let Some(home) = &self.home
            && !self.facts.is_directory(home)
        {
            return Err(PlanError::NamedFile {
                variable: "APP_HOME",
                path: self
                    .variables
                    .get("APP_HOME")
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
        let mut looks = Vec::new();
        if self.facts.has(OWN_RUN) {
            let path = OWN_RUN.to_owned();
            looks.push(StartCheck::Possible(Decided::new(
                StartStrategy::OwnRun { path },
                ValueOrigin::File(SourcePlace::file(OWN_RUN)),
                "the project has a start script of its own",
            )));
        }
        looks.extend([
            self.gunicorn_conf(),
            self.app_script(),
            self.app_file(),
            self.gunicorn_module(),
            self.django_server(),
        ]);
        Ok(looks)
    }

    /// `gunicorn.conf.py` that names its application, without gunicorn.
    pub(super) fn conf_without_gunicorn(&self) -> Option<StartCheck> {
        let place = self.facts.wsgi_app.clone()?;
        Some(StartCheck::UnservedConf(Decided::new(
            StartStrategy::GunicornConf,
            ValueOrigin::File(place),
            "gunicorn.conf.py mentions wsgi_app",
        )))
    }

    /// Whether `APP_HOME` is no variable that somebody set.
    pub(super) fn is_home_inferred(&self) -> bool {
        self.variables.is_inferred("APP_HOME")
    }

    /// Whether a package is there, or may come along with others.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.may_come || self.is_named(name)
    }

    /// A path from `APP_HOME` as it is from the source's root.
    pub(super) fn in_source(&self, path: &str) -> String {
        let path = self.path(path).unwrap_or_default();
        path.strip_prefix("./").unwrap_or(&path).to_owned()
    }

    /// Whether a package is named by a file of the project.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let mut names = self.names.iter().chain(self.own);
        names.any(|asked| asked.name == name)
    }

    fn gunicorn_conf(&self) -> StartCheck {
        let way = "gunicorn as gunicorn.conf.py says";
        let lack = |lack: &str| StartCheck::impossible(way, lack);
        let Some(place) = &self.facts.wsgi_app else {
            return lack(if self.facts.has("gunicorn.conf.py") {
                "gunicorn.conf.py does not set wsgi_app"
            } else {
                "there is no gunicorn.conf.py"
            });
        };
        let found = Decided::new(
            StartStrategy::GunicornConf,
            ValueOrigin::File(place.clone()),
            "gunicorn.conf.py mentions wsgi_app, which goes before all else",
        );
        match self.gunicorn {
            PackagePresence::Named(_) => StartCheck::Possible(found),
            PackagePresence::Hoped | PackagePresence::Absent => {
                lack("gunicorn is not among the dependencies")
            }
        }
    }

    /// The value of `APP_SCRIPT` or `APP_FILE`, or its default if none of the three is set.
    fn named_by(
        &self,
        variable: &'static str,
        default: &'static str,
    ) -> Option<(String, ValueOrigin)> {
        if let Some(value) = self.variables.get(variable) {
            let variable = variable.to_owned();
            return Some((value.to_owned(), ValueOrigin::Environment { variable }));
        }
        let is_set = |name: &&str| self.variables.is_on(name);
        if ["APP_SCRIPT", "APP_FILE", "APP_MODULE"].iter().any(is_set) {
            return None;
        }
        Some((default.to_owned(), ValueOrigin::Default))
    }

    fn script_or_file(
        &self,
        way: &'static str,
        named: Option<(String, ValueOrigin)>,
        variable: &'static str,
        strategy: impl FnOnce(String) -> StartStrategy,
    ) -> StartCheck {
        let Some((path, origin)) = named else {
            let lack = format!("another APP_ variable is set, so {variable} has no default");
            return StartCheck::impossible(way, lack);
        };
        if self.may_be_file(&path) {
            let (origin, reason) = match origin {
                ValueOrigin::Default => {
                    let reason = format!("{path} is there");
                    (ValueOrigin::File(SourcePlace::file(&path)), reason)
                }
                origin => (origin, format!("{variable} names it")),
            };
            return StartCheck::Possible(Decided::new(strategy(path), origin, reason));
        }
        if origin == ValueOrigin::Default {
            return StartCheck::impossible(way, format!("there is no {path}"));
        }
        StartCheck::Fatal(PlanError::NamedFile { variable, path })
    }

    fn app_script(&self) -> StartCheck {
        let named = self.named_by("APP_SCRIPT", "app.sh");
        self.script_or_file("a script", named, "APP_SCRIPT", |path| {
            StartStrategy::AppScript { path }
        })
    }

    fn app_file(&self) -> StartCheck {
        let named = self.named_by("APP_FILE", "app.py");
        self.script_or_file("a Python file", named, "APP_FILE", |path| {
            StartStrategy::AppFile { path }
        })
    }

    fn gunicorn_module(&self) -> StartCheck {
        let way = "gunicorn with a module";
        let lack = |lack: &str| StartCheck::impossible(way, lack);
        let possible = |module: &str, origin, reason: &str, is_setup: bool| {
            let module = module.to_owned();
            let found = Decided::new(StartStrategy::Gunicorn { module }, origin, reason);
            match self.gunicorn {
                PackagePresence::Named(_) => StartCheck::Possible(found),
                // What else serves the other two is looked for beyond the contract.
                PackagePresence::Hoped if is_setup => StartCheck::Hoped(found, "gunicorn"),
                PackagePresence::Hoped | PackagePresence::Absent => lack(&format!(
                    "{reason}, but gunicorn is not among the dependencies"
                )),
            }
        };
        if let Some(module) = self.variables.get("APP_MODULE") {
            let variable = "APP_MODULE".to_owned();
            return possible(
                module,
                ValueOrigin::Environment { variable },
                "APP_MODULE names it",
                false,
            );
        }
        if self.is_file("wsgi.py") {
            let origin = ValueOrigin::File(SourcePlace::file("wsgi.py"));
            return possible("wsgi", origin, "wsgi.py is there", false);
        }
        if let Some(script) = self.facts.setup_scripts().first() {
            let module = self
                .facts
                .setup_name
                .as_deref()
                .unwrap_or("(as setup.py is named)");
            // gunicorn would import it; nothing that Python imports is called so.
            if module.contains('-') && self.facts.setup_name.is_some() {
                return lack(&format!("the name in {script}, {module}, is no module's"));
            }
            let origin = ValueOrigin::File(SourcePlace::file(script));
            return possible(module, origin, "the name in setup.py", true);
        }
        lack("APP_MODULE is not set, and there is neither wsgi.py nor setup.py")
    }

    fn django_server(&self) -> StartCheck {
        let way = "Django's development server";
        let lack = |lack: &str| StartCheck::impossible(way, lack);
        match self.django {
            _ if !self.is_file("manage.py") => lack("there is no manage.py"),
            PackagePresence::Absent => lack("Django is not among the dependencies"),
            PackagePresence::Hoped => StartCheck::Hoped(
                Decided::new(
                    StartStrategy::DjangoServer,
                    ValueOrigin::File(SourcePlace::file("manage.py")),
                    "manage.py is there",
                ),
                "django",
            ),
            PackagePresence::Named(place) => StartCheck::Possible(Decided::new(
                StartStrategy::DjangoServer,
                ValueOrigin::File(place.clone()),
                "Django and manage.py are there",
            )),
        }
    }
}

/// A path of a variable relative to the source, dots resolved; `None` for what lies outside.
pub(super) fn below_source(path: &str) -> Option<String> {
    let path = match path.strip_prefix('/') {
        Some(_) => path
            .strip_prefix(SOURCE_FOLDER)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
        None => path,
    };
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}
