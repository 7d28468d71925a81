//! How the application will start: a prediction of what `scripts/run` decides in the container,
//! from the same files and variables and in the same order.
//!
//! `run` decides again at start, because variables can change there. The two are held together by
//! the tests in `script_tests`, which ask both.

use serde::Serialize;

use super::dependencies::{self, Dependencies};
use super::running::Running;
use super::{Advice, Decided, Origin, PlanError, SOURCE_FOLDER, Variables};
use crate::project::{Asked, Facts, Place};

/// The project's own start script, which s2i takes instead of the image's.
const OWN_RUN: &str = ".s2i/bin/run";

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
    /// What the way that is taken, and those that could stand in for it, hope to find installed
    /// though no file names it. Empty where the way is certain.
    #[serde(skip)]
    hopes: Vec<&'static str>,
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
            lacking,
        })
    }
}

/// Whether a package that a way needs gets into the image.
#[derive(Clone, Copy)]
enum Presence<'a> {
    /// A file names it.
    Named(&'a Place),
    /// None does, but what is named, or the project itself, may need it.
    Hoped,
    /// It is not there.
    Absent,
}

/// A way that was looked at.
enum Look {
    Possible(Decided<Strategy>),
    /// Possible if this package comes along with others.
    Hoped(Decided<Strategy>, &'static str),
    Impossible {
        way: &'static str,
        lack: String,
    },
    Fatal(PlanError),
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
                is_python: !facts.found.is_empty(),
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
        Strategy::Gunicorn { .. } | Strategy::DjangoServer
    );
    Ok(Start {
        migrates: reaches_migration
            && matches!(view.django, Presence::Named(_))
            && view.is_file("manage.py")
            && !variables.is_on("DISABLE_MIGRATE"),
        strategy,
        candidates,
        hopes,
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

/// The source as `run` will see it.
struct View<'a> {
    facts: &'a Facts,
    variables: &'a Variables,
    gunicorn: Presence<'a>,
    django: Presence<'a>,
    /// `APP_HOME` relative to the source; `None` if it lies outside.
    home: Option<String>,
}

impl<'a> View<'a> {
    fn new(
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
            gunicorn: presence(named("gunicorn")),
            django: presence(dependencies::django(facts, dependencies).or_else(|| named("django"))),
            home: below_source(variables.get("APP_HOME").unwrap_or(".")),
        }
    }

    /// A path of a variable, relative to the source; `None` for what is not in it.
    fn path(&self, path: &str) -> Option<String> {
        if path.starts_with('/') {
            return below_source(path);
        }
        let home = self.home.as_ref()?;
        Some(format!("{home}/{path}"))
    }

    fn is_file(&self, path: &str) -> bool {
        self.path(path).is_some_and(|path| self.facts.has(&path))
    }

    /// Whether a file is there, or may be: outside the source lies what other layers hold.
    fn may_be_file(&self, path: &str) -> bool {
        self.path(path).is_none_or(|path| self.facts.has(&path))
    }

    fn looks(&self) -> Result<Vec<Look>, PlanError> {
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
        Ok(looks)
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
        match strategy {
            Strategy::AppScript { path } => self.check_script(self.path(path), advice),
            Strategy::OwnRun { path } => self.check_script(Some(path.clone()), advice),
            Strategy::DjangoServer => {
                advice.push(Advice::new(
                    "manage.py runserver is a server for development",
                    "add gunicorn to the dependencies and set APP_MODULE",
                ));
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
        if !self.facts.has_shebang(entry)? {
            advice.push(Advice::new(
                format!("{} does not begin with #!", entry.shown()),
                "begin it with #!/bin/sh or the program that is to run it",
            ));
        }
        Ok(())
    }
}

/// A path of a variable relative to the source, dots resolved; `None` for what lies outside.
fn below_source(path: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;
    use crate::report::Explain as _;

    #[test]
    fn candidates_are_explained() {
        let files = [
            ("requirements.txt", "gunicorn\ndjango\n"),
            ("app.py", ""),
            ("wsgi.py", ""),
            ("manage.py", ""),
        ];
        let plan = planned(&files, &["DISABLE_COLLECTSTATIC=1"]).unwrap();
        let ways: Vec<_> = plan
            .start
            .candidates
            .iter()
            .map(|one| (one.way.as_str(), one.possible, one.taken))
            .collect();
        assert_eq!(
            ways,
            [
                ("gunicorn as gunicorn.conf.py says", false, false),
                ("a script", false, false),
                ("python app.py", true, true),
                ("gunicorn wsgi", true, false),
                ("manage.py runserver", true, false),
            ]
        );
        assert!(!plan.start.migrates);
        assert_eq!(plan.advice.len(), 1, "{:?}", plan.advice);
        assert!(plan.advice[0].text.contains("gunicorn wsgi"));
        let chosen = planned(&files, &["APP_MODULE=wsgi", "DISABLE_COLLECTSTATIC=1"]).unwrap();
        assert!(chosen.start.migrates);
        assert!(chosen.advice.is_empty(), "{:?}", chosen.advice);
    }

    #[test]
    fn what_the_projects_own_wheel_names_is_known() {
        let pyproject = (
            "pyproject.toml",
            "[build-system]\nrequires=[]\n[project]\nname='x'\ndependencies=['gunicorn>=20']\n",
        );
        let plan = planned(&[pyproject, ("wsgi.py", "")], &[]).unwrap();
        assert!(plan.advice.is_empty(), "{:?}", plan.advice);
    }

    #[test]
    fn nothing_to_start_says_what_lacks() {
        let error = planned(&[("wsgi.py", "")], &[]).unwrap_err();
        let explanation = error.explain();
        assert!(
            explanation.why.contains("gunicorn is not among"),
            "{}",
            explanation.why
        );
        assert!(explanation.next.contains("-e APP_MODULE="));
        let error = planned(&[("README.md", "")], &[]).unwrap_err();
        assert!(matches!(
            error,
            PlanError::NoStart {
                is_python: false,
                ..
            }
        ));
    }

    #[test]
    fn what_nothing_names_may_come_along() {
        let flask = ("requirements.txt", "flask\n");
        let plan = planned(&[flask, ("wsgi.py", "")], &[]).unwrap();
        let module = "wsgi".to_owned();
        assert_eq!(plan.start.strategy.value, Strategy::Gunicorn { module });
        assert!(plan.advice[0].text.contains("needs gunicorn"));
        assert!(plan.start.check(["flask", "gunicorn"].into_iter()).is_ok());
        let error = plan.start.check(["flask"].into_iter()).unwrap_err();
        let explanation = error.explain();
        assert!(
            explanation.why.contains("gunicorn is not among"),
            "{}",
            explanation.why
        );
        // The project itself says what it needs only when it is built.
        let setup = ("setup.py", "setup(name='shop')\n");
        assert!(planned(&[setup], &[]).is_ok());
        assert!(planned(&[setup], &["DISABLE_SETUP_PY_PROCESSING=1"]).is_err());
        // What is certain goes before what is hoped for, and needs no check.
        let django = ("requirements.txt", "django\n");
        let files = [django, ("wsgi.py", ""), ("manage.py", "")];
        let plan = planned(&files, &["DISABLE_COLLECTSTATIC=1"]).unwrap();
        assert_eq!(plan.start.strategy.value, Strategy::DjangoServer);
        assert!(plan.start.check(["django"].into_iter()).is_ok());
        let lock = ("pylock.toml", "lock-version = '1.0'\npackages = []\n");
        assert!(planned(&[lock, ("wsgi.py", "")], &[]).is_err());
    }

    #[test]
    fn wrong_variables_are_refused() {
        let app = ("app.py", "");
        for (env, expected) in [
            ("APP_SCRIPT=no.sh", "APP_SCRIPT"),
            ("APP_FILE=no.py", "APP_FILE"),
            ("APP_HOME=no", "APP_HOME"),
        ] {
            let error = planned(&[app], &[env]).unwrap_err();
            assert!(
                matches!(error, PlanError::NamedFile { variable, .. } if variable == expected),
                "{env}"
            );
        }
        let error = planned(&[("app.sh", "#!/bin/sh\n")], &[]).unwrap_err();
        assert!(matches!(error, PlanError::NotExecutable { path } if path == "app.sh"));
        let bare = planned(&[("app.sh*", "echo\n")], &[]).unwrap();
        assert_eq!(bare.advice.len(), 1);
        assert!(planned(&[app], &["APP_SCRIPT=/usr/bin/thing"]).is_ok());
    }

    #[test]
    fn a_script_of_ones_own_replaces_run() {
        let files = [(".s2i/bin/run*", "#!/bin/sh\n"), ("README", "")];
        let plan = planned(&files, &[]).unwrap();
        assert_eq!(plan.command.value, ["/opt/app-root/src/.s2i/bin/run"]);
    }

    #[test]
    fn paths_of_variables_are_seen_from_the_source() {
        for (path, expected) in [
            (".", Some(".")),
            ("a/../b/", Some("b")),
            ("/opt/app-root/src/x", Some("x")),
            ("/opt/app-root/src", Some(".")),
            ("/opt/app-root/srcs", None),
            ("..", None),
        ] {
            assert_eq!(below_source(path).as_deref(), expected, "{path}");
        }
    }
}
