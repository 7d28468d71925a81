//! Whether what is started will answer: what the code says of it, which is read and not run.
//!
//! What S2I's images would start too is started, with advice; what can never work is an error. Where
//! the code is not understood nothing is said.

use std::sync::Arc;

use super::modules::AppModule;
use super::start_checks::{PackagePresence, SourceView};
use super::{PlanError, PlanWarning, StartError, StartStrategy};
use crate::packages::python::syntax::{
    ArgumentValue, BoundName, ModuleSyntax, NameValue, ServerCall, ServerInterface, TopLevel,
    WebFramework,
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

    /// gunicorn alone with its settings, which lie in the source's root.
    fn advise_on_conf(&self, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
        const CONF: &str = "gunicorn.conf.py";
        self.advise_on_settings(CONF, advice)?;
        if self.variables.is_on("APP_HOME") {
            return Ok(());
        }
        let Some(module) = self.read(CONF)? else {
            return Ok(());
        };
        match module.names.get("wsgi_app") {
            Some(BoundName {
                line,
                value: NameValue::Text(target),
            }) => self.advise_on_target(target, Some(&format!("{CONF}:{line}")), advice),
            None if !module.is_open => {
                advice.push(PlanWarning::new(
                    format!("{CONF} mentions wsgi_app and does not set it; gunicorn is started with nothing to serve, and ends"),
                    format!("write `wsgi_app = \"MODULE:NAME\"` there, or take the word out of {CONF}"),
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What gunicorn is told to serve. `origin` says by what; it is absent for `wsgi.py`.
    fn advise_on_target(
        &self,
        target: &str,
        origin: Option<&str>,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        let named = AppModule::parse(target);
        let Some(found) = self.find(&named, origin, advice)? else {
            return Ok(());
        };
        let Some(module) = self.read(&found)? else {
            return Ok(());
        };
        let Some(bound) = module.names.get(named.callable) else {
            // A package's name may be a module of it, which gunicorn finds as little.
            return if lacks(&module, named.callable) {
                Err(no_name(&named, &found, origin, &module).into())
            } else {
                Ok(())
            };
        };
        if let (NameValue::Factory(factory), false) = (&bound.value, named.is_called) {
            let text = format!(
                "{found}:{}: {} makes an application and is none",
                bound.line, named.callable
            );
            let hint = if factory.required.is_empty() {
                format!(
                    "add the line `APP_MODULE={}:{}()` to {ENVIRONMENT}",
                    named.module, named.callable
                )
            } else {
                format!(
                    "call it with its arguments: `APP_MODULE={}:{}({}=…)`",
                    named.module,
                    named.callable,
                    factory.required.join("=…, ")
                )
            };
            advice.push(PlanWarning::new(text, hint));
        }
        let Some((framework, place)) = self.framework_of(&found, &module, named.callable)? else {
            return Ok(());
        };
        if framework.interface() != ServerInterface::Wsgi && !self.has_own_worker()? {
            let (name, module) = (framework.name(), named.module);
            let text = format!(
                "{place}: {} is an application of {name}; gunicorn's usual workers serve WSGI, and would answer each request with an error",
                named.callable
            );
            let hint = match framework.interface() {
                ServerInterface::Asgi => format!(
                    "add the line `GUNICORN_CMD_ARGS=--worker-class asgi --access-logfile -` to {ENVIRONMENT} (gunicorn 25 or newer), or start `uvicorn {module}:{} --host 0.0.0.0 --port \"$PORT\"` from app.sh",
                    named.callable
                ),
                _ => format!("serve {name} by its own server, from app.sh or app.py"),
            };
            advice.push(PlanWarning::new(text, hint));
        }
        Ok(())
    }

    /// Whether gunicorn's settings choose the kind of its workers.
    fn has_own_worker(&self) -> Result<bool, PlanError> {
        if let Some(arguments) = self.variables.get("GUNICORN_CMD_ARGS") {
            let words = || arguments.split_whitespace();
            if words().any(|word| word.starts_with("-k") || word.starts_with("--worker-class")) {
                return Ok(true);
            }
        }
        let settings = self.gunicorn_settings()?;
        Ok(settings.is_some_and(|module| module.names.contains_key("worker_class")))
    }

    /// The project's own settings of gunicorn.
    pub(super) fn gunicorn_settings(&self) -> Result<Option<Arc<ModuleSyntax>>, PlanError> {
        let settings = self.variables.get("APP_CONFIG");
        let settings = settings.unwrap_or("gunicorn.conf.py");
        self.read(settings.strip_prefix("file:").unwrap_or(settings))
    }

    /// Where gunicorn listens that is told so by the project's own settings.
    fn advise_on_bind(&self, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
        let arguments = self.variables.get("GUNICORN_CMD_ARGS");
        let settings = self.variables.get("APP_CONFIG");
        if let Some(bind) = arguments.and_then(bind_argument) {
            if let Some(seen) = self.bound_out_of_reach(bind) {
                advice.push(PlanWarning::new(
                    format!("GUNICORN_CMD_ARGS: gunicorn {seen}"),
                    format!("leave the bind out, which is 0.0.0.0:{} then", self.port()),
                ));
            }
            return Ok(());
        }
        match (settings, arguments) {
            (Some(settings), _) => self.advise_on_settings(settings, advice),
            (None, Some(_)) => self.advise_on_settings("gunicorn.conf.py", advice),
            (None, None) => Ok(()),
        }
    }

    fn advise_on_settings(
        &self,
        path: &str,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        let path = path.strip_prefix("file:").unwrap_or(path);
        let Some(module) = self.read(path)? else {
            return Ok(());
        };
        let Some(bound) = module.names.get("bind") else {
            return Ok(());
        };
        let NameValue::Text(bind) = &bound.value else {
            return Ok(());
        };
        if let Some(seen) = self.bound_out_of_reach(bind) {
            advice.push(PlanWarning::new(
                format!("{path}:{}: gunicorn {seen}", bound.line),
                format!(
                    "write `bind = \"0.0.0.0:{}\"`, or leave the line out",
                    self.port()
                ),
            ));
        }
        Ok(())
    }

    fn bound_out_of_reach(&self, bind: &str) -> Option<String> {
        if bind.starts_with("unix:") || bind.starts_with("fd://") {
            return Some(format!("listens on {bind}, and on no port"));
        }
        let (host, port) = match bind.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (bind, Some(8000)),
        };
        let host = host.trim_matches(['[', ']']);
        if is_loopback(host) {
            return Some(format!(
                "listens on {bind}, which is reached from within the container only"
            ));
        }
        let port: u16 = port?;
        (port != self.port())
            .then(|| format!("listens on port {port}; the image's is {}", self.port()))
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

fn no_name(
    named: &AppModule<'_>,
    path: &str,
    origin: Option<&str>,
    module: &ModuleSyntax,
) -> StartError {
    let applications = module
        .applications()
        .filter(|(_, _, framework)| framework.interface() != ServerInterface::Own)
        .map(|(name, _, _)| name.to_owned());
    let factories = module
        .factories()
        .filter(|(_, _, factory)| factory.required.is_empty())
        .map(|(name, _, _)| format!("{name}()"));
    // `from shop import app`
    let imported = APPLICATION_NAMES.into_iter().filter(|name| {
        let value = module.names.get(*name).map(|bound| &bound.value);
        matches!(value, Some(NameValue::Import { .. } | NameValue::CallOf(_)))
    });
    let names = applications
        .chain(imported.map(str::to_owned))
        .chain(factories);
    StartError::NoName {
        path: path.to_owned(),
        name: named.callable.to_owned(),
        origin: origin.map(str::to_owned),
        instead: names
            .map(|name| format!("{}:{name}", named.module))
            .collect(),
    }
}

/// `-b X`, `--bind X`, `--bind=X`.
fn bind_argument(arguments: &str) -> Option<&str> {
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        if word == "-b" || word == "--bind" {
            return words.next();
        }
        if let Some(bind) = word.strip_prefix("--bind=") {
            return Some(bind);
        }
        if let Some(bind) = word.strip_prefix("-b")
            && !bind.is_empty()
            && !word.starts_with("--")
        {
            return Some(bind);
        }
    }
    None
}

fn is_loopback(host: &str) -> bool {
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
