//! What gunicorn is told to serve, and where it listens: by variables and by the project's own settings.

use std::sync::Arc;

use super::code::{APPLICATION_NAMES, ENVIRONMENT, is_loopback, lacks};
use super::modules::AppModule;
use super::start_checks::SourceView;
use super::{PlanError, PlanWarning, StartError};
use crate::packages::python::syntax::{BoundName, ModuleSyntax, NameValue, ServerInterface};

impl SourceView<'_> {
    /// gunicorn alone with its settings, which lie in the source's root.
    pub(super) fn advise_on_conf(&self, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
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
    pub(super) fn advise_on_target(
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
    pub(super) fn has_own_worker(&self) -> Result<bool, PlanError> {
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
    pub(super) fn advise_on_bind(&self, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
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
