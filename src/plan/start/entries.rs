//! Settings in which frameworks themselves say what is served: `[tool.fastapi]`, `FLASK_APP`,
//! `LITESTAR_APP`, Django's `WSGI_APPLICATION` and `ASGI_APPLICATION`, and scripts that the project
//! installs.

use super::code::ENVIRONMENT;
use super::servers::ServedBy;
use super::start_checks::{PackagePresence, SourceView, StartCheck};
use super::{PlanError, StartStrategy};
use crate::packages::python::syntax::{NameValue, ServerInterface, WebFramework};
use crate::plan::{Decided, ValueOrigin};
use crate::project::{ENVIRONMENT_FILE, ProjectScript, SourcePlace};

/// Modules of settings that are followed from one to the next.
const MAX_SETTINGS: usize = 8;
/// What scripts are called that serve.
const SERVING: [&str; 2] = ["start", "serve"];

impl SourceView<'_> {
    /// What settings of frameworks name.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn entry_points(&self) -> Result<Vec<StartCheck>, PlanError> {
        if let Some(served) = self.named_entry()? {
            return Ok(vec![self.served_by(served)]);
        }
        let mut looks = Vec::new();
        looks.extend(self.django_setting()?.map(|served| self.served_by(served)));
        if looks.is_empty() {
            looks.extend(self.installed_script()?);
        }
        Ok(looks)
    }

    /// What a setting names that is there for this alone.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn named_entry(&self) -> Result<Option<ServedBy>, PlanError> {
        if let Some((text, place)) = self
            .facts
            .pyproject
            .as_ref()
            .and_then(|one| one.fastapi.clone())
        {
            let origin = ValueOrigin::File(place);
            let reason = "[tool.fastapi] entrypoint names it";
            let served = self.by_setting(&text, origin, reason, WebFramework::FastApi)?;
            return Ok(Some(served));
        }
        for (variable, framework) in [
            ("FLASK_APP", WebFramework::Flask),
            ("LITESTAR_APP", WebFramework::Litestar),
        ] {
            let Some(text) = self.variables.get(variable) else {
                continue;
            };
            // Flask takes a file too.
            let (path, name) = text
                .split_once(':')
                .map_or((text, None), |(path, name)| (path, Some(name)));
            let module = path.strip_suffix(".py").unwrap_or(path);
            let module = module.trim_start_matches("./").replace('/', ".");
            let text = name.map_or_else(|| module.clone(), |name| format!("{module}:{name}"));
            let origin = ValueOrigin::Environment {
                variable: variable.to_owned(),
            };
            let reason = format!("{variable} names it");
            return Ok(Some(self.by_setting(&text, origin, &reason, framework)?));
        }
        Ok(None)
    }

    /// A setting whose framework is known even where the code is not.
    fn by_setting(
        &self,
        text: &str,
        origin: ValueOrigin,
        reason: &str,
        framework: WebFramework,
    ) -> Result<ServedBy, PlanError> {
        let mut served = self.named(text, origin, reason)?;
        served.framework = served.framework.or(Some(framework));
        Ok(served)
    }

    /// What the settings of the Django project say that `manage.py` is for. WSGI's goes first, but
    /// where a server of ASGI alone is among the dependencies.
    fn django_setting(&self) -> Result<Option<ServedBy>, PlanError> {
        let served = self.django_served()?;
        let is_wsgi = |one: &ServedBy| one.interface() == ServerInterface::Wsgi;
        let has_server = |one: &&ServedBy| self.server_for(one).is_some();
        let by_server = served.iter().filter(|one| is_wsgi(one)).find(has_server);
        let by_server = by_server.or_else(|| served.iter().find(has_server));
        Ok(by_server.or_else(|| served.last()).cloned())
    }

    /// What the settings of the Django project make of it: ASGI's, then WSGI's.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn django_served(&self) -> Result<Vec<ServedBy>, PlanError> {
        if matches!(self.django, PackagePresence::Absent) {
            return Ok(Vec::new());
        }
        let Some((settings, place)) = self.django_settings()? else {
            return Ok(Vec::new());
        };
        let found = self.in_settings(&settings)?;
        let of = |name: &str| found.iter().find(|(setting, ..)| *setting == name);
        let wsgi = of("WSGI_APPLICATION");
        let asgi = of("ASGI_APPLICATION");
        let usual = |kind: &str| {
            // Where neither is set: what `startproject` lays beside the settings.
            let package = settings.split('.').next().unwrap_or(&settings);
            let module = format!("{package}.{kind}");
            self.file_of(&module)
                .map(|_| (format!("{module}.application"), place.clone()))
        };
        let wsgi = wsgi.map(|(_, text, place)| (text.clone(), place.clone()));
        let asgi = asgi.map(|(_, text, place)| (text.clone(), place.clone()));
        let candidates = [
            (
                asgi.or_else(|| usual("asgi")),
                "ASGI_APPLICATION",
                WebFramework::DjangoAsgi,
            ),
            (
                wsgi.or_else(|| usual("wsgi")),
                "WSGI_APPLICATION",
                WebFramework::DjangoWsgi,
            ),
        ];
        let mut served = Vec::new();
        for (found, setting, framework) in candidates {
            let Some((text, place)) = found else { continue };
            let Some((module, name)) = text.rsplit_once('.') else {
                continue;
            };
            served.push(ServedBy {
                reason: format!("{setting} of the settings that manage.py names"),
                origin: ValueOrigin::File(place),
                module: module.to_owned(),
                callable: name.to_owned(),
                is_factory: false,
                framework: Some(framework),
                written: None,
            });
        }
        Ok(served)
    }

    /// The settings' module: as a variable names it, else as `manage.py` does.
    fn django_settings(&self) -> Result<Option<(String, SourcePlace)>, PlanError> {
        const VARIABLE: &str = "DJANGO_SETTINGS_MODULE";
        if let Some(module) = self.variables.get(VARIABLE) {
            return Ok(Some((
                module.to_owned(),
                SourcePlace::file(ENVIRONMENT_FILE),
            )));
        }
        let manage = self.read("manage.py")?;
        let Some((module, line)) = manage.and_then(|module| module.defaults.get(VARIABLE).cloned())
        else {
            return Ok(None);
        };
        let path = self.in_source("manage.py");
        Ok(Some((module, SourcePlace::line(&path, line))))
    }

    /// Both settings, looked for in a module and those that it takes all names of: settings are split
    /// by `from .base import *`.
    fn in_settings(
        &self,
        first: &str,
    ) -> Result<Vec<(&'static str, String, SourcePlace)>, PlanError> {
        let mut found: Vec<(&'static str, String, SourcePlace)> = Vec::new();
        let mut pending = vec![first.to_owned()];
        let mut seen = 0;
        while let Some(name) = pending.pop() {
            seen += 1;
            let Some(path) = self.file_of(&name).filter(|_| seen <= MAX_SETTINGS) else {
                continue;
            };
            let Some(module) = self.read(&path)? else {
                continue;
            };
            for setting in ["WSGI_APPLICATION", "ASGI_APPLICATION"] {
                if let Some(bound) = module.names.get(setting)
                    && let NameValue::Text(text) = &bound.value
                    && !found.iter().any(|(known, ..)| *known == setting)
                {
                    let path = self.in_source(&path);
                    found.push((setting, text.clone(), SourcePlace::line(&path, bound.line)));
                }
            }
            let all = module.stars.iter();
            pending.extend(all.filter_map(|from| super::modules::absolute(&path, from)));
        }
        Ok(found)
    }

    /// The script that serves, of those that the project installs: the one that is called so, or the
    /// only one, if its code starts a server.
    fn installed_script(&self) -> Result<Option<StartCheck>, PlanError> {
        let Some(pyproject) = self.facts.pyproject.as_ref().filter(|_| self.installs) else {
            return Ok(None);
        };
        let scripts = &pyproject.scripts;
        let called = SERVING
            .iter()
            .find_map(|name| scripts.iter().find(|script| script.name == **name));
        let (script, reason) = match (called, scripts.as_slice()) {
            (Some(script), _) => (script, "the script of pyproject.toml that is called so"),
            (None, [only]) if self.starts_server(only)? => (
                only,
                "the only script of pyproject.toml, and it starts a server",
            ),
            (None, [only]) => {
                let lack = format!(
                    "{}: the only script, but no server is seen in {}; `APP_SCRIPT=/opt/app-root/bin/{}` in {ENVIRONMENT} starts it",
                    only.place, only.target, only.name
                );
                return Ok(Some(StartCheck::impossible(&only.name, lack)));
            }
            (None, _) => return Ok(None),
        };
        let command = script.name.clone();
        let origin = ValueOrigin::File(script.place.clone());
        let strategy = StartStrategy::server(command);
        Ok(Some(StartCheck::Possible(Decided::new(
            strategy, origin, reason,
        ))))
    }

    fn starts_server(&self, script: &ProjectScript) -> Result<bool, PlanError> {
        let module = script.target.split(':').next().unwrap_or_default().trim();
        let Some(path) = self.file_of(module) else {
            return Ok(false);
        };
        let module = self.read(&path)?;
        Ok(module.is_some_and(|module| !module.servers.is_empty()))
    }
}
