//! What serves where S2I's images would find nothing to start: the `web` line of a `Procfile`, else
//! the one application that the code makes, under the server that the requirements name.

use super::code::{ENVIRONMENT, module_of};
use super::looks::{Look, View};
use super::{Advice, PlanError, StartError, Strategy};
use crate::packages::python::syntax::{Framework, Interface, Value};
use crate::plan::{Decided, Origin};
use crate::project::Place;

/// Where people keep the application.
const MODULES: [&str; 8] = [
    "main",
    "app",
    "api",
    "asgi",
    "wsgi",
    "server",
    "application",
    "__init__",
];
/// Folders that hold no application, though they are packages.
const OTHER_FOLDERS: [&str; 5] = ["tests", "test", "docs", "migrations", "alembic"];
/// Servers for ASGI in the order in which they are taken.
const ASGI_SERVERS: [&str; 5] = ["uvicorn", "hypercorn", "granian", "daphne", "gunicorn"];

/// Where people keep a page for Streamlit.
const PAGES: [&str; 5] = [
    "streamlit_app.py",
    "main.py",
    "Home.py",
    "home.py",
    "Main.py",
];

/// An application that was found.
struct Found {
    place: Place,
    /// `module:callable`
    target: String,
    is_factory: bool,
    framework: Framework,
}

impl View<'_> {
    /// The `web` process of a `Procfile`.
    pub(super) fn procfile(&self) -> Look {
        let Some(web) = self.facts.processes.iter().find(|one| one.name == "web") else {
            return Look::Impossible {
                way: "a Procfile",
                lack: "there is no Procfile with a web line".to_owned(),
            };
        };
        Look::Possible(Decided::new(
            Strategy::Process {
                command: web.command.clone(),
            },
            Origin::File(web.place.clone()),
            "the web line of the Procfile",
        ))
    }

    /// What of a `Procfile` the image does not start.
    pub(super) fn other_processes(&self) -> Option<Advice> {
        let others = self.facts.processes.iter().filter(|one| one.name != "web");
        let others: Vec<&str> = others.map(|one| one.name.as_str()).collect();
        (!others.is_empty()).then(|| {
            Advice::new(
                format!("the image starts the web line of the Procfile; nobody runs its other lines: {}", others.join(", ")),
                "start a container of this image for each, with the line's command as its own",
            )
        })
    }

    /// The application that the code makes.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn application(&self) -> Result<Look, PlanError> {
        let mut found = self.applications()?;
        // Django's pair is one application; factories are what instances elsewhere are made by.
        if found
            .iter()
            .any(|one| one.framework == Framework::DjangoWsgi)
        {
            found.retain(|one| one.framework != Framework::DjangoAsgi);
        }
        if found.iter().any(|one| !one.is_factory) {
            found.retain(|one| !one.is_factory);
        }
        Ok(match found.as_slice() {
            [] => Look::Impossible {
                way: "an application in the code",
                lack: "no module-level application or factory in main, app, api, asgi, wsgi, server or application.py".to_owned(),
            },
            [one] => self.served_by(one),
            [first, second, ..] => Look::Fatal(
                StartError::Several {
                    first: (first.place.to_string(), first.target.clone()),
                    second: (second.place.to_string(), second.target.clone()),
                }
                .into(),
            ),
        })
    }

    /// What could serve if a line were added, and that line: an application whose server is not there, a
    /// Django project one folder down, a page for Streamlit.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn could_serve(&self) -> Result<Vec<(String, String)>, PlanError> {
        let mut found = Vec::new();
        if let [one] = self.applications()?.as_slice() {
            let (usual, has_server) = self.server_of(one);
            if has_server.is_none() {
                found.push((
                    format!("{}, an application of {}", one.place, one.framework.name()),
                    format!("add {usual} to the dependencies"),
                ));
            }
        }
        if !self.variables.is_on("APP_HOME") {
            for folder in self.facts.folders() {
                let path = format!("{folder}/manage.py");
                if self.is_file(&path) {
                    found.push((
                        path,
                        format!("add the line `APP_HOME={folder}` to {ENVIRONMENT}"),
                    ));
                }
            }
        }
        for path in PAGES {
            if let Some(module) = self.read(path)?
                && let Some((_, hint)) = Self::page(path, &module)
            {
                found.push((path.to_owned(), hint));
            }
        }
        Ok(found)
    }

    /// How gunicorn serves a Django project that is started with its development server.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn gunicorn_for_django(&self) -> Result<String, PlanError> {
        let found = self.applications()?;
        let wsgi = found
            .iter()
            .find(|one| one.framework == Framework::DjangoWsgi);
        Ok(self.gunicorn_for(wsgi.map_or("PROJECT.wsgi", |one| &one.target)))
    }

    fn applications(&self) -> Result<Vec<Found>, PlanError> {
        let packages = self.facts.folders().into_iter().filter(|folder| {
            !OTHER_FOLDERS.contains(&folder.as_str())
                && (folder == "app" || self.is_file(&format!("{folder}/__init__.py")))
        });
        let folders =
            std::iter::once(String::new()).chain(packages.map(|folder| format!("{folder}/")));
        let mut found = Vec::new();
        for folder in folders {
            for name in MODULES {
                let path = format!("{folder}{name}.py");
                found.extend(self.application_of(&path)?);
            }
        }
        Ok(found)
    }

    /// What one file has to be served. Of several, the one that is called as they usually are.
    fn application_of(&self, path: &str) -> Result<Option<Found>, PlanError> {
        let Some(module) = self.read(path)? else {
            return Ok(None);
        };
        let name_of_module = module_of(path);
        let found = |name: &str, line, is_factory, framework| Found {
            place: Place::line(&self.path(path).unwrap_or_default().replace("./", ""), line),
            target: match framework {
                Framework::Dash => format!("{name_of_module}:{name}.server"),
                _ => format!("{name_of_module}:{name}"),
            },
            is_factory,
            framework,
        };
        let mut names: Vec<(&str, u32)> = Vec::new();
        for (name, bound) in &module.names {
            if matches!(bound.value, Value::Application(_) | Value::CallOf(_)) {
                names.push((name, bound.line));
            }
        }
        let usual = ["app", "application", "server", "api"];
        names.sort_by_key(|(name, _)| {
            usual
                .iter()
                .position(|one| one == name)
                .unwrap_or(usual.len())
        });
        for (name, line) in names {
            if let Some((framework, _)) = self.framework_of(path, &module, name)?
                && framework.interface() != Interface::Own
            {
                return Ok(Some(found(name, line, false, framework)));
            }
        }
        let factory = module.factories().find_map(|(name, bound, factory)| {
            let framework = factory.framework?;
            (factory.required.is_empty() && framework.interface() != Interface::Own)
                .then(|| found(name, bound.line, true, framework))
        });
        Ok(factory)
    }

    /// The usual server of an application, and the one that the requirements name.
    fn server_of(&self, found: &Found) -> (&'static str, Option<&'static str>) {
        let servers: &[&'static str] = match found.framework.interface() {
            Interface::Asgi => &ASGI_SERVERS,
            Interface::Wsgi | Interface::Own => &["gunicorn", "waitress"],
        };
        let named = servers.iter().find(|server| self.is_named(server));
        (servers[0], named.copied())
    }

    fn served_by(&self, found: &Found) -> Look {
        let (usual, named) = self.server_of(found);
        let what = format!("{} at {}", found.framework.name(), found.place);
        let decided = |server: &str| {
            Decided::new(
                Strategy::Server {
                    command: command(server, found),
                },
                Origin::File(found.place.clone()),
                format!("an application of {what}"),
            )
        };
        if let Some(server) = named {
            return Look::Possible(decided(server));
        }
        if self.may_come {
            return Look::Hoped(decided(usual), usual);
        }
        Look::Impossible {
            way: "an application in the code",
            lack: format!(
                "{what} is there, but no server is among the dependencies: add {usual}, and it is started by `{}`",
                command(usual, found)
            ),
        }
    }
}

/// How a server is started, as a shell has it. `run` exports PORT and `WEB_CONCURRENCY`, which
/// gunicorn and uvicorn read.
fn command(server: &str, found: &Found) -> String {
    let target = &found.target;
    let (called, flag) = if found.is_factory {
        (format!("'{target}()'"), " --factory")
    } else {
        (format!("'{target}'"), "")
    };
    match server {
        "uvicorn" => format!("uvicorn '{target}'{flag} --host 0.0.0.0 --port \"$PORT\""),
        "hypercorn" => format!("hypercorn {called} --bind \"0.0.0.0:$PORT\" --access-logfile -"),
        "granian" => {
            format!("granian --interface asgi --host 0.0.0.0 --port \"$PORT\"{flag} '{target}'")
        }
        "daphne" => format!("daphne -b 0.0.0.0 -p \"$PORT\" '{target}'"),
        "waitress" => format!(
            "waitress-serve --host=0.0.0.0 --port=\"$PORT\"{} '{target}'",
            if found.is_factory { " --call" } else { "" }
        ),
        _ if found.framework.interface() == Interface::Asgi => {
            format!("gunicorn {called} --worker-class asgi --access-logfile -")
        }
        _ => format!("gunicorn {called} --access-logfile -"),
    }
}
