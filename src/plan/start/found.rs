//! What serves where S2I's images would find nothing to start: the `web` line of a `Procfile`, what a
//! framework's own setting names, else the one application that the code makes.

use super::code::{APPLICATION_NAMES, ENVIRONMENT, lacks, module_of};
use super::modules::AppModule;
use super::servers::ServedBy;
use super::start_checks::{SourceView, StartCheck};
use super::{PlanError, PlanWarning, StartError, StartStrategy};
use crate::packages::python::syntax::{ModuleSyntax, NameValue, ServerInterface, WebFramework};
use crate::plan::{Decided, ValueOrigin};
use crate::project::SourcePlace;

/// The process type that puts things in order before a rollout.
const RELEASE: &str = "release";

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

impl SourceView<'_> {
    /// What serves beyond the contract, way by way, up to the first that can.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn inferred(&self) -> Result<Vec<StartCheck>, PlanError> {
        type Way<'a> = fn(&SourceView<'a>) -> Result<Vec<StartCheck>, PlanError>;
        let by_variable: [Way<'_>; 1] = [Self::of_variable];
        let by_code: [Way<'_>; 6] = [
            |view| Ok(vec![view.procfile()]),
            |view| Ok(view.conf_without_gunicorn().into_iter().collect()),
            Self::wsgi_file,
            Self::entry_points,
            Self::application,
            Self::pages,
        ];
        // Who names the module means that one and no other.
        let ways = if self.variables.is_on("APP_MODULE") {
            by_variable.as_slice()
        } else {
            by_code.as_slice()
        };
        let mut looks = Vec::new();
        for way in ways {
            looks.extend(way(self)?);
            if looks.iter().any(StartCheck::ends_search) {
                break;
            }
        }
        Ok(looks)
    }

    /// The `web` process of a `Procfile`.
    fn procfile(&self) -> StartCheck {
        let Some(web) = self.facts.processes.iter().find(|one| one.name == "web") else {
            return StartCheck::impossible("a Procfile", "there is no Procfile with a web line");
        };
        StartCheck::Possible(Decided::new(
            StartStrategy::Process {
                command: web.command.clone(),
            },
            ValueOrigin::File(web.place.clone()),
            "the web line of the Procfile",
        ))
    }

    /// The process types of the project, as they are noted for `run`; none if there is but `web`. What runs before
    /// each start can be run by itself too, as a job.
    pub(super) fn process_types(&self) -> Option<String> {
        let release = self.facts.settings.release.as_ref();
        let is_replaced = |name: &str| name == RELEASE && release.is_some();
        let processes = self.facts.processes.iter();
        let processes = processes
            .filter(|one| !one.command.is_empty() && !is_replaced(&one.name))
            .map(|one| (one.name.as_str(), &one.command));
        let all: Vec<(&str, &String)> = processes
            .chain(release.map(|one| (RELEASE, &one.value)))
            .collect();
        if all.iter().all(|(name, _)| *name == "web") {
            return None;
        }
        let lines = all
            .iter()
            .map(|(name, command)| format!("{name} {command}"));
        Some(lines.collect::<Vec<_>>().join("\n"))
    }

    /// How the lines of a `Procfile` are started that the image does not start by itself.
    pub(super) fn advice_on_processes(&self) -> Vec<PlanWarning> {
        let others = || self.facts.processes.iter().filter(|one| one.name != "web");
        let names: Vec<&str> = others().map(|one| one.name.as_str()).collect();
        let Some(first) = names.first() else {
            return Vec::new();
        };
        let mut advice = vec![PlanWarning::new(
            format!(
                "the image starts its application; other process types: {}",
                names.join(", ")
            ),
            format!(
                "start a container for each: `s2r run IMAGE {first}`, or `args: [{first}]` in a pod"
            ),
        )];
        let is_run = self.facts.settings.release.is_some();
        if let Some(release) = others().find(|one| one.name == RELEASE && !is_run) {
            advice.push(PlanWarning::new(
                format!("{}: nobody runs the release line", release.place),
                format!(
                    "write `release: {}` into s2r.yaml, and it runs before the server whenever a container starts; or run it as a job before each rollout: `args: [release]`",
                    release.command
                ),
            ));
        }
        advice
    }

    /// What `APP_MODULE` names, where gunicorn does not serve it.
    fn of_variable(&self) -> Result<Vec<StartCheck>, PlanError> {
        let text = self.variables.get("APP_MODULE").unwrap_or_default();
        let origin = ValueOrigin::Environment {
            variable: "APP_MODULE".to_owned(),
        };
        let mut served = self.named(text, origin, "APP_MODULE names it")?;
        served.written = Some(text.to_owned());
        Ok(vec![self.served_by(served)])
    }

    /// `wsgi.py`, where gunicorn does not serve it.
    fn wsgi_file(&self) -> Result<Vec<StartCheck>, PlanError> {
        const FILE: &str = "wsgi.py";
        if !self.is_file(FILE) {
            return Ok(Vec::new());
        }
        let module = self.read(FILE)?;
        if module.is_some_and(|module| lacks(&module, "application")) {
            return Ok(Vec::new());
        }
        let origin = ValueOrigin::File(SourcePlace::file(FILE));
        let mut served = self.named("wsgi:application", origin, "wsgi.py is there")?;
        // As the contract has it.
        served.written = Some("wsgi".to_owned());
        Ok(vec![self.served_by(served)])
    }

    /// The application that the code makes.
    fn application(&self) -> Result<Vec<StartCheck>, PlanError> {
        let mut found = self.applications()?;
        let mut passed = Vec::new();
        let mut pass =
            |found: &mut Vec<ServedBy>, is_passed: &dyn Fn(&ServedBy) -> bool, why: &str| {
                found.retain(|one| {
                    let is_passed = is_passed(one);
                    if is_passed {
                        let lack = format!("{} at {}; {why}", one.reason, one.origin);
                        passed.push(StartCheck::impossible(&one.called(), lack));
                    }
                    !is_passed
                });
            };
        let is_django = |framework| move |one: &ServedBy| one.framework == Some(framework);
        if found.iter().any(is_django(WebFramework::DjangoWsgi)) {
            pass(
                &mut found,
                &is_django(WebFramework::DjangoAsgi),
                "Django's other one is taken",
            );
        }
        if found.iter().any(|one| !one.is_factory) {
            let why = "an application that is made already comes first";
            pass(&mut found, &|one| one.is_factory, why);
        }
        let look = match found.as_slice() {
            [] => StartCheck::impossible(
                "an application in the code",
                "no module-level application or factory in main, app, api, asgi, wsgi, server or application.py",
            ),
            [one] => self.served_by(one.clone()),
            [first, second, ..] => StartCheck::Fatal(
                StartError::Several {
                    first: (first.origin.to_string(), first.called()),
                    second: (second.origin.to_string(), second.called()),
                }
                .into(),
            ),
        };
        passed.insert(0, look);
        Ok(passed)
    }

    /// What could serve if a line were added, and that line: an application whose server may not be
    /// added, a Django project one folder down.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn could_serve(&self) -> Result<Vec<(String, String)>, PlanError> {
        let mut found = Vec::new();
        if let [one] = self.applications()?.as_slice()
            && self.server_for(one).is_none()
        {
            let usual = one.usual().name();
            found.push((
                format!("{}, {}", one.origin, one.reason),
                format!("add {usual} to the dependencies"),
            ));
        }
        if !self.variables.is_on("APP_HOME") {
            for folder in self.facts.folders() {
                let path = format!("{folder}/manage.py");
                let own = ["requirements.txt", "pyproject.toml"]
                    .map(|file| format!("{folder}/{file}"))
                    .into_iter()
                    .find(|path| self.facts.has(path));
                if let Some(own) = own.filter(|_| self.names.is_empty()) {
                    found.push((own, format!("build that folder, --context-dir {folder}")));
                } else if self.is_file(&path) {
                    found.push((
                        path,
                        format!("add the line `APP_HOME={folder}` to {ENVIRONMENT}"),
                    ));
                }
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
            .find(|one| one.framework == Some(WebFramework::DjangoWsgi));
        let target = wsgi.map_or_else(|| "PROJECT.wsgi".to_owned(), ServedBy::target);
        Ok(self.gunicorn_for(&target))
    }

    /// All that the usual files make; where they make nothing, what they import under a usual name.
    pub(super) fn applications(&self) -> Result<Vec<ServedBy>, PlanError> {
        let folders = self.packages();
        let paths = folders
            .iter()
            .flat_map(|folder| MODULES.map(|name| format!("{folder}{name}.py")));
        let paths: Vec<String> = paths.filter(|path| self.is_file(path)).collect();
        let mut found: Vec<ServedBy> = Vec::new();
        for path in &paths {
            found.extend(self.made_in(path)?);
        }
        if found.is_empty() {
            let mut places = Vec::new();
            for path in &paths {
                if let Some((served, made_at)) = self.imported_in(path)?
                    && !places.contains(&made_at)
                {
                    places.push(made_at);
                    found.push(served);
                }
            }
        }
        Ok(found)
    }

    /// Where applications are looked for: the root, its packages, and those below `src` where the
    /// project is installed. Each ends in a slash, but for the root.
    fn packages(&self) -> Vec<String> {
        let is_package = |folder: &String| {
            let name = folder.rsplit('/').next().unwrap_or(folder);
            !OTHER_FOLDERS.contains(&name)
                && (["app", "src"].contains(&folder.as_str())
                    || self.is_file(&format!("{folder}/__init__.py")))
        };
        let mut folders = self.facts.folders_in(&self.path("").unwrap_or_default());
        if self.installs {
            let below = self.facts.folders_in(&self.path("src").unwrap_or_default());
            folders.extend(below.into_iter().map(|name| format!("src/{name}")));
        }
        folders.retain(is_package);
        let root = std::iter::once(String::new());
        let packages = folders.into_iter().map(|folder| format!("{folder}/"));
        root.chain(packages).collect()
    }

    /// What one file has to be served. Of several, the one that is called as they usually are.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn application_of(&self, path: &str) -> Result<Option<ServedBy>, PlanError> {
        Ok(match self.made_in(path)? {
            Some(made) => Some(made),
            None => self.imported_in(path)?.map(|(served, _)| served),
        })
    }

    /// What one file makes: an application, else a factory that needs no arguments.
    fn made_in(&self, path: &str) -> Result<Option<ServedBy>, PlanError> {
        let Some(module) = self.read(path)? else {
            return Ok(None);
        };
        let is_made =
            |value: &NameValue| matches!(value, NameValue::Application(_) | NameValue::CallOf(_));
        let mut of_dash = None;
        for (name, line) in names(&module, is_made) {
            match self.framework_of(path, &module, name)? {
                // What WSGI sees of it may have a name of its own: `server = app.server`.
                Some((WebFramework::Dash, _)) => {
                    of_dash.get_or_insert((name, line));
                }
                Some((framework, _)) if is_served(framework) => {
                    return Ok(Some(self.served((path, line), name, false, framework)));
                }
                _ => {}
            }
        }
        if let Some((name, line)) = of_dash {
            return Ok(Some(self.served(
                (path, line),
                name,
                false,
                WebFramework::Dash,
            )));
        }
        let mut factories: Vec<_> = module
            .factories()
            .filter(|(_, _, factory)| factory.required.is_empty())
            .filter_map(|(name, bound, factory)| Some((name, bound.line, factory.framework?)))
            .filter(|(_, _, framework)| is_served(*framework))
            .collect();
        factories.sort_by_key(|(name, ..)| rank(&["create_app", "make_app"], name));
        let first = factories.first();
        Ok(first.map(|(name, line, framework)| self.served((path, *line), name, true, *framework)))
    }

    /// The application that one file imports under a usual name, and where it is made.
    fn imported_in(&self, path: &str) -> Result<Option<(ServedBy, SourcePlace)>, PlanError> {
        let Some(module) = self.read(path)? else {
            return Ok(None);
        };
        let is_imported =
            |value: &NameValue| matches!(value, NameValue::Import { name: Some(_), .. });
        for (name, line) in names(&module, is_imported) {
            if let Some((framework, made_at)) = self.framework_of(path, &module, name)?
                && is_served(framework)
                && APPLICATION_NAMES.contains(&name)
            {
                let served = self.served((path, line), name, false, framework);
                return Ok(Some((served, made_at)));
            }
        }
        Ok(None)
    }

    fn served(
        &self,
        (path, line): (&str, u32),
        name: &str,
        is_factory: bool,
        framework: WebFramework,
    ) -> ServedBy {
        let path = self.in_source(path);
        let what = if is_factory {
            "a function that makes an application"
        } else {
            "an application"
        };
        ServedBy {
            module: self.imported_as(&path),
            origin: ValueOrigin::File(SourcePlace::line(&path, line)),
            reason: format!("{what} of {}", framework.name()),
            callable: match framework {
                // The attribute is what WSGI sees.
                WebFramework::Dash if !is_factory => format!("{name}.server"),
                _ => name.to_owned(),
            },
            is_factory,
            framework: Some(framework),
            written: None,
        }
    }

    /// A file of the source as it is imported from `APP_HOME`, or from where the project is installed.
    fn imported_as(&self, path: &str) -> String {
        let home = self.in_source("");
        let path = path.strip_prefix(&home).unwrap_or(path);
        let below_src = path
            .strip_prefix("src/")
            .filter(|rest| self.installs && rest.contains('/'));
        module_of(below_src.unwrap_or(path))
    }

    /// What a setting names as `module:name`, `module:name()` or `module`; by the name alone where the
    /// code is not there to be read.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn named(
        &self,
        text: &str,
        origin: ValueOrigin,
        reason: &str,
    ) -> Result<ServedBy, PlanError> {
        let named = AppModule::parse(text);
        let attributes = text
            .split_once(':')
            .map_or(named.callable, |(_, name)| name);
        let is_plain_call = attributes.ends_with("()");
        let mut served = ServedBy {
            origin,
            reason: reason.to_owned(),
            module: named.module.to_owned(),
            callable: attributes.trim_end_matches("()").to_owned(),
            is_factory: is_plain_call,
            framework: None,
            written: None,
        };
        let Some(path) = self.file_of(named.module) else {
            return Ok(served);
        };
        if let Some(module) = self.read(&path)? {
            if !text.contains(':')
                && !module.names.contains_key(named.callable)
                && let Some(found) = self.application_of(&path)?
            {
                return Ok(ServedBy {
                    origin: served.origin,
                    reason: served.reason,
                    ..found
                });
            }
            let found = self.framework_of(&path, &module, named.callable)?;
            served.framework = found.map(|(framework, _)| framework);
            let value = module.names.get(named.callable).map(|bound| &bound.value);
            served.is_factory |= matches!(value, Some(NameValue::Factory(_)));
        }
        Ok(served)
    }

    /// The way that the first server among the dependencies makes of an application.
    pub(super) fn served_by(&self, served: ServedBy) -> StartCheck {
        let decided = |strategy| Decided::new(strategy, served.origin.clone(), &*served.reason);
        match self.server_for(&served) {
            Some(server) => StartCheck::Possible(decided(self.strategy(server, &served))),
            None => StartCheck::Unserved(Box::new(served)),
        }
    }
}

/// Whether a server serves it that is known.
fn is_served(framework: WebFramework) -> bool {
    framework.interface() != ServerInterface::Own || framework == WebFramework::Aiohttp
}

/// Names with such values and their lines, the usual ones first.
fn names(module: &ModuleSyntax, is_wanted: impl Fn(&NameValue) -> bool) -> Vec<(&str, u32)> {
    let found = module
        .names
        .iter()
        .filter(|(_, bound)| is_wanted(&bound.value));
    let mut found: Vec<(&str, u32)> = found
        .map(|(name, bound)| (name.as_str(), bound.line))
        .collect();
    found.sort_by_key(|(name, _)| rank(&APPLICATION_NAMES, name));
    found
}

/// What is taken first of several: an application before a function that makes one, and of Django's two the
/// one of WSGI.
pub(super) fn rank_of_made(served: &ServedBy) -> (bool, bool) {
    let is_asgi = served.framework == Some(WebFramework::DjangoAsgi);
    (served.is_factory, is_asgi)
}

/// The place of a name among usual ones; the rest comes last.
fn rank(usual: &[&str], name: &str) -> usize {
    let place = usual.iter().position(|one| *one == name);
    place.unwrap_or(usual.len())
}
