//! The servers that are known: what each serves, how it is started, and which one is put among the
//! dependencies where none is.

mod chosen;

use serde::Serialize;

use super::start_checks::SourceView;
use super::{ServerSettings, StartError, StartStrategy};
use crate::packages::python::syntax::{ServerInterface, WebFramework};
use crate::plan::service::uwsgi::{self, DISTRIBUTIONS, UwsgiSource};
use crate::plan::service::{Listener, SOCKET};
use crate::plan::{Decided, ValueOrigin, Variables};

/// How the reason of a way begins that the project's settings choose.
pub(super) const CHOSEN: &str = "the project's settings choose it";
/// Says which server is added; empty, it says that none is.
const ADD_SERVER: &str = "S2R_ADD_SERVER";

/// A server of applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownServer {
    Uvicorn,
    Hypercorn,
    Granian,
    Daphne,
    Gunicorn,
    Waitress,
    Uwsgi,
    Sanic,
    Aiohttp,
}

/// In the order in which they are taken: those that were made for one interface before those that
/// know several.
const FOR_ASGI: [KnownServer; 6] = [
    KnownServer::Uvicorn,
    KnownServer::Hypercorn,
    KnownServer::Granian,
    KnownServer::Daphne,
    KnownServer::Gunicorn,
    KnownServer::Sanic,
];
/// aiohttp's applications are neither: its worker for gunicorn serves them, and aiohttp itself.
const FOR_AIOHTTP: [KnownServer; 2] = [KnownServer::Gunicorn, KnownServer::Aiohttp];
const FOR_WSGI: [KnownServer; 4] = [
    KnownServer::Gunicorn,
    KnownServer::Waitress,
    KnownServer::Granian,
    KnownServer::Uwsgi,
];

/// What is served: a name of a module.
#[derive(Debug, Clone)]
pub(super) struct ServedBy {
    pub origin: ValueOrigin,
    /// What it is, for people: `an application of Flask`.
    pub reason: String,
    /// As it is imported.
    pub module: String,
    /// The name in it, with attributes, without a call.
    pub callable: String,
    /// Whether the name is called to get the application.
    pub is_factory: bool,
    /// Absent where the code does not tell; it is WSGI's then.
    pub framework: Option<WebFramework>,
    /// How the contract or a variable names it for gunicorn.
    pub written: Option<String>,
}

impl ServedBy {
    pub(super) fn interface(&self) -> ServerInterface {
        self.framework
            .map_or(ServerInterface::Wsgi, WebFramework::interface)
    }

    /// The servers that know it, the first to take first; that is also the one to add.
    pub(super) fn servers(&self) -> &'static [KnownServer] {
        match (self.framework, self.interface()) {
            (Some(WebFramework::Aiohttp), _) => &FOR_AIOHTTP,
            (_, ServerInterface::Asgi) => &FOR_ASGI,
            (_, ServerInterface::Wsgi | ServerInterface::Own) => &FOR_WSGI,
        }
    }

    /// The server that is added where none is named.
    pub(super) fn usual(&self) -> KnownServer {
        let servers = self.servers();
        let first = servers.iter().find(|server| server.serves(self));
        *first.unwrap_or(&servers[0])
    }

    /// `module:name`
    pub(super) fn target(&self) -> String {
        format!("{}:{}", self.module, self.callable)
    }

    /// `module:name`, or `module:name()` for a factory, as gunicorn has it.
    pub(super) fn called(&self) -> String {
        let call = if self.is_factory { "()" } else { "" };
        format!("{}{call}", self.target())
    }
}

impl KnownServer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uvicorn => "uvicorn",
            Self::Hypercorn => "hypercorn",
            Self::Granian => "granian",
            Self::Daphne => "daphne",
            Self::Gunicorn => "gunicorn",
            Self::Waitress => "waitress",
            Self::Uwsgi => "uwsgi",
            Self::Sanic => "sanic",
            Self::Aiohttp => "aiohttp",
        }
    }

    /// Whether it can serve this.
    pub(super) fn serves(self, served: &ServedBy) -> bool {
        match self {
            // It has no option for factories.
            Self::Daphne if served.is_factory => false,
            // It takes a name or a call, and no attributes: Dash's `app.server`.
            Self::Gunicorn | Self::Uwsgi if served.callable.contains('.') => false,
            Self::Sanic => served.framework == Some(WebFramework::Sanic),
            _ => served.servers().contains(&self),
        }
    }

    /// How it serves this. `run` exports PORT and `WEB_CONCURRENCY`; gunicorn reads both, uvicorn the
    /// latter. What stands before a container passes on who asks, and by https or not.
    pub(super) fn strategy(self, served: &ServedBy, means: &ServerMeans) -> StartStrategy {
        let (target, called) = (served.target(), served.called());
        let factory = if served.is_factory { " --factory" } else { "" };
        let is_asgi = served.interface() == ServerInterface::Asgi;
        let listen = self.listen(means.listener);
        // The front server logs requests.
        let log = |flag: &'static str| match means.listener {
            Listener::Port => flag,
            Listener::Socket => "",
        };
        let command = match self {
            Self::Uvicorn => format!(
                "uvicorn '{target}'{factory} {listen} --proxy-headers --forwarded-allow-ips \"${{FORWARDED_ALLOW_IPS:-*}}\"{}",
                if means.listener == Listener::Socket {
                    " --no-access-log"
                } else {
                    ""
                }
            ),
            Self::Hypercorn => format!(
                "hypercorn '{called}' {listen} --workers \"$WEB_CONCURRENCY\"{}",
                log(" --access-logfile -")
            ),
            Self::Granian => format!(
                "granian --interface {} {listen} --workers \"$WEB_CONCURRENCY\"{}{factory} '{target}'",
                if is_asgi { "asgi" } else { "wsgi" },
                log(" --access-log")
            ),
            Self::Daphne => format!("daphne {listen} --proxy-headers '{target}'"),
            Self::Waitress => format!(
                "waitress-serve {listen}{} '{target}'",
                if served.is_factory { " --call" } else { "" }
            ),
            Self::Sanic => {
                format!("sanic '{target}'{factory} {listen} --workers \"$WEB_CONCURRENCY\"")
            }
            Self::Uwsgi => means.uwsgi.command(means.has_uwsgi_settings),
            Self::Aiohttp => {
                let name = &served.callable;
                let call = if served.is_factory { "()" } else { "" };
                format!(
                    "python -c 'import os; from aiohttp import web; from {} import {name}; web.run_app({name}{call}, {listen})'",
                    served.module
                )
            }
            Self::Gunicorn if served.framework == Some(WebFramework::Aiohttp) => format!(
                "gunicorn '{called}' --worker-class aiohttp.GunicornWebWorker{listen}{}",
                log(" --access-logfile -")
            ),
            Self::Gunicorn if is_asgi => {
                let worker = if means.has_uvicorn_worker {
                    "uvicorn_worker.UvicornWorker"
                } else {
                    "asgi"
                };
                format!(
                    "gunicorn '{called}' --worker-class {worker}{listen}{}",
                    log(" --access-logfile -")
                )
            }
            Self::Gunicorn => {
                return StartStrategy::Gunicorn {
                    module: served.written.clone().unwrap_or(called),
                };
            }
        };
        let has_settings = self == Self::Uwsgi && !means.has_uwsgi_settings;
        StartStrategy::Server {
            command,
            settings: has_settings.then(|| ServerSettings {
                name: uwsgi::SETTINGS,
                path: means.uwsgi_settings.clone(),
                text: uwsgi::settings(&called, means.listener),
            }),
        }
    }

    /// The arguments that say where it listens; gunicorn's with a blank before, because without any it
    /// listens on PORT.
    fn listen(self, listener: Listener) -> String {
        match (self, listener) {
            (Self::Uvicorn | Self::Granian | Self::Sanic, Listener::Port) => {
                "--host 0.0.0.0 --port \"$PORT\"".to_owned()
            }
            (Self::Uvicorn | Self::Granian, Listener::Socket) => format!("--uds {SOCKET}"),
            (Self::Sanic, Listener::Socket) => format!("--unix {SOCKET}"),
            (Self::Hypercorn, Listener::Port) => "--bind \"0.0.0.0:$PORT\"".to_owned(),
            (Self::Hypercorn, Listener::Socket) => format!("--bind unix:{SOCKET}"),
            (Self::Daphne, Listener::Port) => "-b 0.0.0.0 -p \"$PORT\"".to_owned(),
            (Self::Daphne, Listener::Socket) => format!("-u {SOCKET}"),
            (Self::Waitress, Listener::Port) => "--host=0.0.0.0 --port=\"$PORT\"".to_owned(),
            // It drops what a front server says unless it trusts it.
            (Self::Waitress, Listener::Socket) => format!(
                "--unix-socket={SOCKET} --trusted-proxy='*' --trusted-proxy-headers='x-forwarded-for x-forwarded-host x-forwarded-proto'"
            ),
            (Self::Aiohttp, Listener::Port) => "port=int(os.environ[\"PORT\"])".to_owned(),
            (Self::Aiohttp, Listener::Socket) => format!("path=\"{SOCKET}\""),
            (Self::Gunicorn, Listener::Socket) => format!(" --bind unix:{SOCKET}"),
            (Self::Gunicorn | Self::Uwsgi, _) => String::new(),
        }
    }
}

/// What a server's command depends on besides what it serves.
#[derive(Debug, Clone)]
pub(super) struct ServerMeans {
    pub listener: Listener,
    pub has_uvicorn_worker: bool,
    pub uwsgi: UwsgiSource,
    /// Whether the project has settings of uWSGI's own.
    pub has_uwsgi_settings: bool,
    /// Where they lie, or would.
    pub uwsgi_settings: String,
}

/// A server that the plan puts among the dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AddedServer {
    pub name: &'static str,
    /// The requirement, which may hold a version.
    pub requirement: String,
}

/// Whether a server may be added, and which.
pub(super) enum ServerAddition {
    /// A rule keeps any server out.
    Refused,
    /// The usual one of the interface.
    Usual,
    /// The one that `S2R_ADD_SERVER` names.
    Chosen(KnownServer, String),
}

impl ServerAddition {
    /// What the variables say of it. An assemble script of the project's own installs what it likes,
    /// and nothing is added to that.
    ///
    /// # Errors
    /// A server that is not known.
    pub(super) fn of(variables: &Variables, assembles: bool) -> Result<Self, StartError> {
        if assembles {
            return Ok(Self::Refused);
        }
        let Some(value) = variables.written(ADD_SERVER) else {
            return Ok(Self::Usual);
        };
        let requirement = value.trim();
        let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let name = requirement[..end.unwrap_or(requirement.len())].to_ascii_lowercase();
        if name.is_empty() {
            return Ok(Self::Refused);
        }
        // uWSGI is not always a distribution, and `server: uwsgi` finds out.
        let known = FOR_ASGI.into_iter().chain(FOR_WSGI);
        let mut known = known.filter(|server| *server != KnownServer::Uwsgi);
        known
            .find(|server| server.name() == name)
            .map(|server| Self::Chosen(server, requirement.to_owned()))
            .ok_or(StartError::UnknownServer { name })
    }

    /// The server to add for this, and how the requirement is written; none if none may be added.
    pub(super) fn for_served(
        &self,
        served: &ServedBy,
    ) -> Option<(KnownServer, Decided<AddedServer>)> {
        let usual = served.usual();
        let (server, requirement, origin) = match self {
            Self::Refused => return None,
            Self::Chosen(server, requirement) if server.serves(served) => (
                *server,
                requirement.as_str(),
                ValueOrigin::Environment {
                    variable: ADD_SERVER.to_owned(),
                },
            ),
            Self::Chosen(..) | Self::Usual => (usual, usual.name(), ValueOrigin::Default),
        };
        let added = AddedServer {
            name: server.name(),
            requirement: requirement.to_owned(),
        };
        let kind = match served.interface() {
            ServerInterface::Asgi => "ASGI",
            ServerInterface::Wsgi | ServerInterface::Own => "WSGI",
        };
        let reason = if served.callable.contains('.') {
            format!(
                "no server is among the dependencies that takes {}; gunicorn would take a name (`server = {}`)",
                served.target(),
                served.callable
            )
        } else {
            format!("no server of {kind} is among the dependencies")
        };
        Some((server, Decided::new(added, origin, reason)))
    }
}

/// gunicorn, where its own settings name the application.
pub(super) fn gunicorn() -> Decided<AddedServer> {
    let name = KnownServer::Gunicorn.name();
    let added = AddedServer {
        name,
        requirement: name.to_owned(),
    };
    Decided::new(
        added,
        ValueOrigin::Default,
        "gunicorn is not among the dependencies",
    )
}

impl SourceView<'_> {
    /// The server among the dependencies that serves this.
    pub(super) fn server_for(&self, served: &ServedBy) -> Option<KnownServer> {
        let servers = served.servers().iter().copied();
        servers
            .filter(|server| server.serves(served))
            .find(|server| self.has_server(*server))
    }

    /// Whether a server is among the dependencies.
    pub(super) fn has_server(&self, server: KnownServer) -> bool {
        match server {
            KnownServer::Uwsgi => DISTRIBUTIONS.iter().any(|name| self.is_named(name)),
            server => self.is_named(server.name()),
        }
    }

    /// Whether a way to start is uWSGI as s2r starts it.
    pub(super) fn is_uwsgi(&self, strategy: &StartStrategy) -> bool {
        let own = self.uwsgi.command(self.is_file(uwsgi::SETTINGS));
        matches!(strategy, StartStrategy::Server { command, .. } if *command == own)
    }

    /// How a server serves this here.
    pub(super) fn strategy(&self, server: KnownServer, served: &ServedBy) -> StartStrategy {
        let listener = if self.facts.settings.front.is_some() {
            Listener::Socket
        } else {
            Listener::Port
        };
        server.strategy(
            served,
            &ServerMeans {
                listener,
                has_uvicorn_worker: self.is_named("uvicorn-worker"),
                uwsgi: self.uwsgi,
                has_uwsgi_settings: self.is_file(uwsgi::SETTINGS),
                uwsgi_settings: self.in_source(uwsgi::SETTINGS),
            },
        )
    }
}
