//! Whether what is started will answer: what the code says of it, which is read and not run.
//!
//! What S2I's images would start too is started, with advice; what can never work is an error. Where
//! the code is not understood nothing is said.

use super::modules::AppModule;
use super::start_checks::{PackagePresence, SourceView};
use super::{PlanError, PlanWarning, StartStrategy};
use crate::packages::python::syntax::{
    ArgumentValue, ModuleSyntax, NameValue, ServerCall, ServerInterface, TopLevel, WebFramework,
};
use crate::plan::{Decided, ValueOrigin};

/// The port of the image, where PORT says no other.
const PORT: u16 = 8080;
/// How applications are called.
pub(super) const APPLICATION_NAMES: [&str; 4] = ["app", "application", "server", "api"];
/// Where variables for every start stand.
pub(super) const ENVIRONMENT: &str = ".s2i/environment";

impl SourceView<'_> {
    /// Advises on what is started.
    pub(super) fn advise_on_code(
        &self,
        strategy: &StartStrategy,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        match strategy {
            StartStrategy::AppFile { path } => self.advise_on_file(path, advice),
            StartStrategy::Gunicorn { module } => {
                self.advise_on_bind(advice)?;
                let origin = self
                    .variables
                    .get("APP_MODULE")
                    .map(|value| format!("APP_MODULE={value}"));
                self.advise_on_target(module, origin.as_deref(), advice)
            }
            StartStrategy::GunicornConf => self.advise_on_conf(advice),
            StartStrategy::OwnRun { .. }
            | StartStrategy::AppScript { .. }
            | StartStrategy::DjangoServer
            | StartStrategy::Process { .. }
            | StartStrategy::Server { .. } => Ok(()),
        }
    }

    fn advise_on_file(&self, path: &str, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
        let Some(module) = self.read(path)? else {
            return Ok(());
        };
        if let Some(page) = self.page(path)? {
            advice.push(PlanWarning::new(
                format!(
                    "{path} is {}; `python {path}` shows it to nobody",
                    page.reason
                ),
                format!("leave APP_FILE out to have it started by `{}`", page.value),
            ));
            return Ok(());
        }
        if module.top_level == TopLevel::Defines
            && let Some((text, hint)) = self
                .ends_at_once(path, &module)
                .or_else(|| makes_unknown(path, &module))
        {
            advice.push(PlanWarning::new(text, hint));
        }
        for call in &module.servers {
            if let Some(seen) = self.out_of_reach(call) {
                let hint = match &call.corrected {
                    Some(line) => format!("write `{line}`{}", self.or_gunicorn(path, &module)),
                    None => format!("listen on 0.0.0.0, port {}", self.port()),
                };
                let text = format!("{path}:{}: {} {seen}", call.line, call.function);
                advice.push(PlanWarning::new(text, hint));
            }
        }
        Ok(())
    }

    /// Why what the contract starts by default would answer nobody; none where it may.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn cannot_serve(
        &self,
        found: &Decided<StartStrategy>,
    ) -> Result<Option<String>, PlanError> {
        let is_default = matches!(found.origin, ValueOrigin::File(_));
        match &found.value {
            StartStrategy::AppFile { path } if is_default => self.file_ends(path),
            StartStrategy::DjangoServer => Ok(self.is_for_development()),
            StartStrategy::Gunicorn { module } => {
                let named = AppModule::parse(module);
                let Some(path) = self.file_of(named.module) else {
                    return Ok(None);
                };
                let Some(module) = self.read(&path)? else {
                    return Ok(None);
                };
                if is_default && lacks(&module, named.callable) {
                    return Ok(Some(format!("{path} has no {}", named.callable)));
                }
                let found = self.framework_of(&path, &module, named.callable)?;
                Ok(match found {
                    Some((framework, place))
                        if framework.interface() == ServerInterface::Asgi
                            && !self.has_own_worker()? =>
                    {
                        Some(format!(
                            "{place}: {} is an application of {}, which gunicorn's usual workers do not serve",
                            named.callable,
                            framework.name()
                        ))
                    }
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    /// Why Django's development server is left out; none where nothing else is asked for.
    fn is_for_development(&self) -> Option<String> {
        if self.is_home_inferred() {
            return Some(
                "it is for development, and S2I's images would not look in this folder".to_owned(),
            );
        }
        let mut processes = self.facts.processes.iter();
        let web = processes.find(|one| one.name == "web")?;
        Some(format!(
            "it is for development, and {} says what serves",
            web.place
        ))
    }

    /// A file that `python` would run to its end, or on no port that is reached.
    fn file_ends(&self, path: &str) -> Result<Option<String>, PlanError> {
        if let Some(page) = self.page(path)? {
            return Ok(Some(format!(
                "{}, which `python {path}` shows to nobody; the line `APP_FILE={path}` in {ENVIRONMENT} insists",
                page.reason
            )));
        }
        let Some(module) = self.read(path)? else {
            return Ok(None);
        };
        if module.top_level != TopLevel::Defines {
            return Ok(None);
        }
        let served = self.application_of(path)?;
        Ok(served.map(|served| {
            format!(
                "{} defines {}, {}, and serves nothing: `python {path}` would end at once; the line `APP_FILE={path}` in {ENVIRONMENT} insists",
                served.origin, served.callable, served.reason
            )
        }))
    }

    /// An application that nothing serves.
    fn ends_at_once(&self, path: &str, module: &ModuleSyntax) -> Option<(String, String)> {
        let (what, line, callable, framework) = served(module)?;
        let text = format!(
            "{path}:{line}: {what} is defined and nothing serves it; `python {path}` ends at once, and the container with it"
        );
        let module_name = module_of(path);
        let hint = match framework.map(WebFramework::interface) {
            // gunicorn takes names, and no attributes of them.
            _ if framework == Some(WebFramework::Dash) => format!(
                "write the line `server = {callable}` into {path}, and {}",
                self.gunicorn_for(&format!("{module_name}:server"))
            ),
            None | Some(ServerInterface::Wsgi) => {
                self.gunicorn_for(&format!("{module_name}:{callable}"))
            }
            Some(ServerInterface::Asgi) => format!(
                "add app.sh, executable, with the lines `#!/bin/sh` and `exec uvicorn {module_name}:{callable} --host 0.0.0.0 --port \"$PORT\"`, and uvicorn to the dependencies"
            ),
            Some(ServerInterface::Own) => {
                format!("serve it in {path}, on 0.0.0.0 and port {}", self.port())
            }
        };
        Some((text, hint))
    }

    /// The lines that let gunicorn serve `module:callable`.
    pub(super) fn gunicorn_for(&self, target: &str) -> String {
        let line = format!("the line `APP_MODULE={target}` to {ENVIRONMENT}");
        match self.gunicorn {
            PackagePresence::Named(_) => format!("add {line}"),
            PackagePresence::Hoped | PackagePresence::Absent => {
                format!("add gunicorn to the dependencies and {line}")
            }
        }
    }

    /// The other way to mend a file that serves by itself.
    fn or_gunicorn(&self, path: &str, module: &ModuleSyntax) -> String {
        let found = module
            .applications()
            .find(|(_, _, framework)| framework.interface() == ServerInterface::Wsgi);
        match (found, self.gunicorn) {
            (Some((name, _, _)), PackagePresence::Named(_)) => format!(
                ", or let gunicorn serve it: add the line `APP_MODULE={}:{name}` to {ENVIRONMENT}",
                module_of(path)
            ),
            _ => String::new(),
        }
    }

    /// How a server listens that nobody outside the container reaches on the image's port.
    fn out_of_reach(&self, call: &ServerCall) -> Option<String> {
        let host = self.known(&call.host, |text| Some(text.to_owned()));
        let port = self.known(&call.port, |text| text.parse().ok());
        let is_loopback = host.as_deref().is_some_and(is_loopback);
        let is_other = port.is_some_and(|port| port != self.port());
        let port_shown = port.map_or_else(String::new, |port| format!(":{port}"));
        match (is_loopback, is_other) {
            (true, _) => Some(format!(
                "listens on {}{port_shown}, which is reached from within the container only",
                host.unwrap_or_default()
            )),
            (false, true) => Some(format!(
                "listens on port {}; the image's is {}",
                port.unwrap_or_default(),
                self.port()
            )),
            (false, false) => None,
        }
    }

    /// A setting under the variables that the image has. `run` exports PORT.
    fn known<T: Clone>(
        &self,
        setting: &ArgumentValue<T>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match setting {
            ArgumentValue::Is(value) => Some(value.clone()),
            ArgumentValue::Variable { name, otherwise } => match self.variables.get(name) {
                Some(value) => parse(value),
                None if name == "PORT" => parse(&PORT.to_string()),
                None => otherwise.clone(),
            },
            ArgumentValue::Unknown => None,
        }
    }

    pub(super) fn port(&self) -> u16 {
        let port = self.variables.get("PORT");
        port.and_then(|port| port.parse().ok()).unwrap_or(PORT)
    }
}

/// What a module makes under an application's usual name, of a kind that nobody knows, and calls not.
fn makes_unknown(path: &str, module: &ModuleSyntax) -> Option<(String, String)> {
    let is_made = |name: &&str| {
        let bound = module.names.get(*name);
        bound.is_some_and(|bound| matches!(bound.value, NameValue::CallOf(_) | NameValue::Other))
    };
    let name = APPLICATION_NAMES.into_iter().find(is_made)?;
    let line = module.names.get(name)?.line;
    Some((
        format!(
            "{path}:{line}: {name} is made and nothing serves it, unless what {path} imports does; else `python {path}` ends at once, and the container with it"
        ),
        format!(
            "call in {path} what serves {name}, or add a Procfile with the line `web: COMMAND`"
        ),
    ))
}

/// Whether a module is known not to have a name.
pub(super) fn lacks(module: &ModuleSyntax, name: &str) -> bool {
    !module.is_open
        && module.top_level != TopLevel::Blank
        && !module.names.contains_key("__getattr__")
        && !module.names.contains_key(name)
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// `shop/wsgi.py` as an import has it.
pub(super) fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("./");
    let path = path.strip_suffix(".py").unwrap_or(path);
    path.strip_suffix("/__init__")
        .unwrap_or(path)
        .replace('/', ".")
}

/// What a module has to be served: what it is, its line, how gunicorn names it, and its framework.
pub(super) fn served(module: &ModuleSyntax) -> Option<(String, u32, String, Option<WebFramework>)> {
    let of_application = module
        .applications()
        .filter(|(_, _, framework)| *framework != WebFramework::SocketIo)
        .min_by_key(|(_, _, framework)| *framework == WebFramework::Dash);
    if let Some((name, bound, framework)) = of_application {
        // What WSGI sees of it; it has a name of its own in most projects.
        let callable = if framework == WebFramework::Dash {
            format!("{name}.server")
        } else {
            name.to_owned()
        };
        let what = format!("{name}, an application of {},", framework.name());
        return Some((what, bound.line, callable, Some(framework)));
    }
    let mut factories = module
        .factories()
        .filter(|(_, _, factory)| factory.required.is_empty());
    let (name, bound, factory) = factories.next()?;
    let what = format!("{name}, which makes an application,");
    Some((what, bound.line, format!("{name}()"), factory.framework))
}
