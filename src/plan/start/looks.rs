//! What `run` will find, way by way: whether each way to start is possible, and why not.

use super::Strategy;
use crate::plan::dependencies::{self, Dependencies};
use crate::plan::running::Running;
use crate::plan::{Decided, Origin, PlanError, SOURCE_FOLDER, Variables};
use crate::project::{Asked, Facts, Place};

/// The project's own start script, which s2i takes instead of the image's.
const OWN_RUN: &str = ".s2i/bin/run";

/// Whether a package that a way needs gets into the image.
#[derive(Clone, Copy)]
pub(super) enum Presence<'a> {
    /// A file names it.
    Named(&'a Place),
    /// None does, but what is named, or the project itself, may need it.
    Hoped,
    /// It is not there.
    Absent,
}

/// A way that was looked at.
pub(super) enum Look {
    Possible(Decided<Strategy>),
    /// Possible if this package comes along with others.
    Hoped(Decided<Strategy>, &'static str),
    Impossible {
        way: &'static str,
        lack: String,
    },
    Fatal(PlanError),
}

/// The source as `run` will see it.
pub(super) struct View<'a> {
    pub(super) facts: &'a Facts,
    pub(super) variables: &'a Variables,
    /// What the decided file names.
    pub(super) names: &'a [Asked],
    /// Whether the project itself is installed, or an assemble script of its own does as it likes.
    pub(super) installs: bool,
    own: &'a [Asked],
    /// Whether packages may come along that nothing names.
    pub(super) may_come: bool,
    pub(super) gunicorn: Presence<'a>,
    pub(super) django: Presence<'a>,
    /// `APP_HOME` relative to the source; `None` if it lies outside.
    home: Option<String>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        facts: &'a Facts,
        variables: &'a Variables,
        dependencies: &'a Dependencies,
        running: &Running,
    ) -> Self {
        let names = dependencies::names(facts, dependencies);
        let own: &[Asked] = if running.install.value {
            dependencies::of_project(facts)
        } else {
            &[]
        };
        let named = |name: &str| names.iter().chain(own).find(|asked| asked.name == name);
        // The project itself needs what its build says; an assemble script installs what it likes.
        let more_may_come = running.install.value
            || running.assemble.value
            || dependencies::may_bring_others(facts, dependencies);
        let presence = |asked: Option<&'a Asked>| match asked {
            Some(asked) => Presence::Named(&asked.place),
            None if more_may_come => Presence::Hoped,
            None => Presence::Absent,
        };
        Self {
            facts,
            variables,
            names,
            own,
            may_come: more_may_come,
            installs: running.install.value || running.assemble.value,
            gunicorn: presence(named("gunicorn")),
            django: presence(dependencies::django(facts, dependencies).or_else(|| named("django"))),
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

    pub(super) fn looks(&self) -> Result<Vec<Look>, PlanError> {
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
            looks.push(Look::Possible(Decided::new(
                Strategy::OwnRun { path },
                Origin::File(Place::file(OWN_RUN)),
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
        // What the contract starts is started as it has it; only without it is the code asked.
        let starts = |look: &Look| matches!(look, Look::Possible(_) | Look::Fatal(_));
        if !looks.iter().any(starts) {
            looks.push(self.procfile());
            if !looks.iter().any(starts) && !self.variables.is_on("APP_MODULE") {
                looks.push(self.application()?);
            }
        }
        Ok(looks)
    }

    /// Whether a package is named by a file of the project.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let mut names = self.names.iter().chain(self.own);
        names.any(|asked| asked.name == name)
    }

    fn gunicorn_conf(&self) -> Look {
        let way = "gunicorn as gunicorn.conf.py says";
        let lack = |lack: &str| Look::Impossible {
            way,
            lack: lack.to_owned(),
        };
        let Some(place) = &self.facts.wsgi_app else {
            return lack(if self.facts.has("gunicorn.conf.py") {
                "gunicorn.conf.py does not set wsgi_app"
            } else {
                "there is no gunicorn.conf.py"
            });
        };
        let found = Decided::new(
            Strategy::GunicornConf,
            Origin::File(place.clone()),
            "gunicorn.conf.py mentions wsgi_app, which goes before all else",
        );
        match self.gunicorn {
            Presence::Named(_) => Look::Possible(found),
            Presence::Hoped => Look::Hoped(found, "gunicorn"),
            Presence::Absent => lack("gunicorn is not among the dependencies"),
        }
    }

    /// The value of `APP_SCRIPT` or `APP_FILE`, or its default if none of the three is set.
    fn named(&self, variable: &'static str, default: &'static str) -> Option<(String, Origin)> {
        if let Some(value) = self.variables.get(variable) {
            let variable = variable.to_owned();
            return Some((value.to_owned(), Origin::Environment { variable }));
        }
        let is_set = |name: &&str| self.variables.is_on(name);
        if ["APP_SCRIPT", "APP_FILE", "APP_MODULE"].iter().any(is_set) {
            return None;
        }
        Some((default.to_owned(), Origin::Default))
    }

    fn script_or_file(
        &self,
        way: &'static str,
        named: Option<(String, Origin)>,
        variable: &'static str,
        strategy: impl FnOnce(String) -> Strategy,
    ) -> Look {
        let Some((path, origin)) = named else {
            return Look::Impossible {
                way,
                lack: format!("another APP_ variable is set, so {variable} has no default"),
            };
        };
        if self.may_be_file(&path) {
            let (origin, reason) = match origin {
                Origin::Default => {
                    let reason = format!("{path} is there");
                    (Origin::File(Place::file(&path)), reason)
                }
                origin => (origin, format!("{variable} names it")),
            };
            return Look::Possible(Decided::new(strategy(path), origin, reason));
        }
        if origin == Origin::Default {
            let lack = format!("there is no {path}");
            return Look::Impossible { way, lack };
        }
        Look::Fatal(PlanError::NamedFile { variable, path })
    }

    fn app_script(&self) -> Look {
        let named = self.named("APP_SCRIPT", "app.sh");
        self.script_or_file("a script", named, "APP_SCRIPT", |path| {
            Strategy::AppScript { path }
        })
    }

    fn app_file(&self) -> Look {
        let named = self.named("APP_FILE", "app.py");
        self.script_or_file("a Python file", named, "APP_FILE", |path| {
            Strategy::AppFile { path }
        })
    }

    fn gunicorn_module(&self) -> Look {
        let way = "gunicorn with a module";
        let lack = |lack: &str| Look::Impossible {
            way,
            lack: lack.to_owned(),
        };
        let possible = |module: &str, origin, reason: &str| {
            let module = module.to_owned();
            let found = Decided::new(Strategy::Gunicorn { module }, origin, reason);
            match self.gunicorn {
                Presence::Named(_) => Look::Possible(found),
                Presence::Hoped => Look::Hoped(found, "gunicorn"),
                Presence::Absent => lack(&format!(
                    "{reason}, but gunicorn is not among the dependencies"
                )),
            }
        };
        if let Some(module) = self.variables.get("APP_MODULE") {
            let variable = "APP_MODULE".to_owned();
            return possible(
                module,
                Origin::Environment { variable },
                "APP_MODULE names it",
            );
        }
        if self.is_file("wsgi.py") {
            let origin = Origin::File(Place::file("wsgi.py"));
            return possible("wsgi", origin, "wsgi.py is there");
        }
        if let Some(script) = self.facts.setup_scripts().first() {
            let module = self
                .facts
                .setup_name
                .as_deref()
                .unwrap_or("(as setup.py is named)");
            let origin = Origin::File(Place::file(script));
            return possible(module, origin, "the name in setup.py");
        }
        lack("APP_MODULE is not set, and there is neither wsgi.py nor setup.py")
    }

    fn django_server(&self) -> Look {
        let way = "Django's development server";
        let lack = |lack: &str| Look::Impossible {
            way,
            lack: lack.to_owned(),
        };
        match self.django {
            _ if !self.is_file("manage.py") => lack("there is no manage.py"),
            Presence::Absent => lack("Django is not among the dependencies"),
            Presence::Hoped => Look::Hoped(
                Decided::new(
                    Strategy::DjangoServer,
                    Origin::File(Place::file("manage.py")),
                    "manage.py is there",
                ),
                "django",
            ),
            Presence::Named(place) => Look::Possible(Decided::new(
                Strategy::DjangoServer,
                Origin::File(place.clone()),
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
