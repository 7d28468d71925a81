//! The classes and functions of frameworks and servers that are known by name: what an application
//! is, by which interface it is served, and where a server listens that is told nothing.

/// How an application is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerInterface {
    /// PEP 3333.
    Wsgi,
    Asgi,
    /// By the framework's own server alone.
    Own,
}

/// A framework, by the class or function that makes its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebFramework {
    /// Flask and what derives from it.
    Flask,
    Quart,
    FastApi,
    Starlette,
    Litestar,
    Sanic,
    Falcon,
    FalconAsgi,
    Bottle,
    /// Its WSGI application is the attribute `server`.
    Dash,
    Pyramid,
    DjangoWsgi,
    DjangoAsgi,
    FastHtml,
    BlackSheep,
    Robyn,
    Aiohttp,
    Tornado,
    /// A page of Gradio's, started by `launch`.
    Gradio,
    /// Flask-SocketIO, whose `run` serves a Flask application.
    SocketIo,
    Marimo,
    /// Something else by WSGI, or a wrapper round it.
    OtherWsgi,
    /// Something else by ASGI.
    OtherAsgi,
}

impl WebFramework {
    pub(crate) fn interface(self) -> ServerInterface {
        match self {
            Self::Flask
            | Self::Falcon
            | Self::Bottle
            | Self::Dash
            | Self::Pyramid
            | Self::DjangoWsgi
            | Self::OtherWsgi => ServerInterface::Wsgi,
            Self::Quart
            | Self::FastApi
            | Self::Starlette
            | Self::Litestar
            | Self::Sanic
            | Self::FalconAsgi
            | Self::DjangoAsgi
            | Self::FastHtml
            | Self::BlackSheep
            | Self::OtherAsgi => ServerInterface::Asgi,
            Self::Robyn
            | Self::Aiohttp
            | Self::Tornado
            | Self::Gradio
            | Self::SocketIo
            | Self::Marimo => ServerInterface::Own,
        }
    }

    /// The distribution that brings it, normalised; none for what is no framework of its own.
    pub(crate) fn distribution(self) -> Option<&'static str> {
        Some(match self {
            Self::Flask => "flask",
            Self::Quart => "quart",
            Self::FastApi => "fastapi",
            Self::Starlette => "starlette",
            Self::Litestar => "litestar",
            Self::Sanic => "sanic",
            Self::Falcon | Self::FalconAsgi => "falcon",
            Self::Bottle => "bottle",
            Self::Dash => "dash",
            Self::Pyramid => "pyramid",
            Self::DjangoWsgi | Self::DjangoAsgi => "django",
            Self::FastHtml => "python-fasthtml",
            Self::BlackSheep => "blacksheep",
            Self::Robyn => "robyn",
            Self::Aiohttp => "aiohttp",
            Self::Tornado => "tornado",
            Self::Gradio => "gradio",
            Self::SocketIo => "flask-socketio",
            Self::Marimo => "marimo",
            Self::OtherWsgi | Self::OtherAsgi => return None,
        })
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flask => "Flask",
            Self::Quart => "Quart",
            Self::FastApi => "FastAPI",
            Self::Starlette => "Starlette",
            Self::Litestar => "Litestar",
            Self::Sanic => "Sanic",
            Self::Falcon | Self::FalconAsgi => "Falcon",
            Self::Bottle => "Bottle",
            Self::Dash => "Dash",
            Self::Pyramid => "Pyramid",
            Self::DjangoWsgi | Self::DjangoAsgi => "Django",
            Self::FastHtml => "FastHTML",
            Self::BlackSheep => "BlackSheep",
            Self::Robyn => "Robyn",
            Self::Aiohttp => "aiohttp",
            Self::Tornado => "Tornado",
            Self::Gradio => "Gradio",
            Self::SocketIo => "Flask-SocketIO",
            Self::Marimo => "marimo",
            Self::OtherWsgi => "WSGI",
            Self::OtherAsgi => "ASGI",
        }
    }
}

/// What a call of this function or class gives, where that is an application.
pub(super) fn framework(path: &str) -> Option<WebFramework> {
    Some(match path {
        "flask.Flask"
        | "apiflask.APIFlask"
        | "flask_openapi3.OpenAPI"
        | "flask_appbuilder.Flask" => WebFramework::Flask,
        "quart.Quart" => WebFramework::Quart,
        "fastapi.FastAPI" | "fastapi_offline.FastAPIOffline" => WebFramework::FastApi,
        "starlette.applications.Starlette" => WebFramework::Starlette,
        "litestar.Litestar" | "litestar.app.Litestar" | "starlite.Starlite" => {
            WebFramework::Litestar
        }
        "sanic.Sanic" | "sanic.app.Sanic" => WebFramework::Sanic,
        "falcon.App" | "falcon.API" | "falcon.app.App" => WebFramework::Falcon,
        "falcon.asgi.App" => WebFramework::FalconAsgi,
        "bottle.Bottle" | "bottle.default_app" | "bottle.app" => WebFramework::Bottle,
        "dash.Dash" | "dash_extensions.enrich.DashProxy" | "dash.dash.Dash" => WebFramework::Dash,
        "django.core.wsgi.get_wsgi_application" => WebFramework::DjangoWsgi,
        "django.core.asgi.get_asgi_application" | "channels.routing.ProtocolTypeRouter" => {
            WebFramework::DjangoAsgi
        }
        "fasthtml.common.FastHTML"
        | "fasthtml.FastHTML"
        | "fasthtml.core.FastHTML"
        | "fasthtml.common.fast_app"
        | "fasthtml.fastapp.fast_app" => WebFramework::FastHtml,
        "blacksheep.Application" | "blacksheep.server.Application" => WebFramework::BlackSheep,
        "robyn.Robyn" => WebFramework::Robyn,
        "aiohttp.web.Application" => WebFramework::Aiohttp,
        "tornado.web.Application" => WebFramework::Tornado,
        "gradio.Blocks"
        | "gradio.Interface"
        | "gradio.ChatInterface"
        | "gradio.TabbedInterface" => WebFramework::Gradio,
        "flask_socketio.SocketIO" => WebFramework::SocketIo,
        "marimo.App" => WebFramework::Marimo,
        "whitenoise.WhiteNoise"
        | "socketio.WSGIApp"
        | "a2wsgi.ASGIMiddleware"
        | "werkzeug.middleware.dispatcher.DispatcherMiddleware"
        | "connexion.FlaskApp.wsgi_app"
        | "webapp2.WSGIApplication" => WebFramework::OtherWsgi,
        "socketio.ASGIApp"
        | "a2wsgi.WSGIMiddleware"
        | "asgiref.wsgi.WsgiToAsgi"
        | "connexion.AsyncApp"
        | "ariadne.asgi.GraphQL"
        | "strawberry.asgi.GraphQL" => WebFramework::OtherAsgi,
        _ => return None,
    })
}

/// Where a function that serves is told to listen.
#[derive(Debug, Clone, Copy)]
pub(super) enum ListenArgument {
    /// By arguments: keyword, and position where there is one.
    Arguments {
        host: (&'static str, Option<usize>),
        port: (&'static str, Option<usize>),
    },
    /// By a pair, its first argument.
    Pair,
    /// In a way that is not read.
    Otherwise,
}

/// A default, and the variable that may say otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListenDefault<T>(pub Option<&'static str>, pub T);

/// A function that serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerFunction {
    pub told: ListenArgument,
    pub host: ListenDefault<&'static str>,
    pub port: ListenDefault<u16>,
}

const fn told(
    host: (&'static str, Option<usize>),
    port: (&'static str, Option<usize>),
    standard_host: &'static str,
    standard_port: u16,
) -> ServerFunction {
    ServerFunction {
        told: ListenArgument::Arguments { host, port },
        host: ListenDefault(None, standard_host),
        port: ListenDefault(None, standard_port),
    }
}

const PAIR: ServerFunction = ServerFunction {
    told: ListenArgument::Pair,
    host: ListenDefault(None, ""),
    port: ListenDefault(None, 0),
};
const OTHERWISE: ServerFunction = ServerFunction {
    told: ListenArgument::Otherwise,
    ..PAIR
};
const LOOPBACK: &str = "127.0.0.1";
const ALL: &str = "0.0.0.0";

/// A function of a module that serves until it is stopped.
pub(super) fn server(path: &str) -> Option<ServerFunction> {
    let host = ("host", None);
    let port = ("port", None);
    Some(match path {
        "uvicorn.run" => told(host, port, LOOPBACK, 8000),
        "bottle.run" => told(host, port, LOOPBACK, 8080),
        "waitress.serve" | "aiohttp.web.run_app" | "nicegui.ui.run" => told(host, port, ALL, 8080),
        "werkzeug.serving.run_simple" | "werkzeug.run_simple" => {
            told(("hostname", Some(0)), ("port", Some(1)), ALL, 0)
        }
        "wsgiref.simple_server.make_server" => told(("host", Some(0)), ("port", Some(1)), ALL, 0),
        "fasthtml.common.serve" | "fasthtml.serve" => ServerFunction {
            port: ListenDefault(Some("PORT"), 5001),
            ..told(host, port, ALL, 5001)
        },
        "http.server.HTTPServer"
        | "http.server.ThreadingHTTPServer"
        | "socketserver.TCPServer"
        | "socketserver.ThreadingTCPServer"
        | "gevent.pywsgi.WSGIServer"
        | "eventlet.listen"
        | "cheroot.wsgi.Server" => PAIR,
        "hypercorn.asyncio.serve"
        | "granian.Granian"
        | "panel.serve"
        | "uvicorn.Server"
        | "cherrypy.quickstart"
        | "asyncio.run"
        | "trio.run"
        | "anyio.run"
        | "django.core.management.execute_from_command_line"
        | "gunicorn.app.wsgiapp.run"
        | "rq.Worker"
        | "eventlet.wsgi.server"
        | "tornado.ioloop.IOLoop"
        | "grpc.server" => OTHERWISE,
        _ => return None,
    })
}

/// A method of an application that serves until it is stopped.
pub(super) fn method(framework: WebFramework, name: &str) -> Option<ServerFunction> {
    let host = ("host", Some(0));
    let port = ("port", Some(1));
    Some(match (framework, name) {
        (WebFramework::Flask | WebFramework::Quart, "run") => told(host, port, LOOPBACK, 5000),
        (WebFramework::Sanic, "run") => told(host, port, LOOPBACK, 8000),
        (WebFramework::Bottle, "run") => told(("host", None), ("port", None), LOOPBACK, 8080),
        (WebFramework::Dash, "run" | "run_server") => ServerFunction {
            host: ListenDefault(Some("HOST"), LOOPBACK),
            port: ListenDefault(Some("PORT"), 8050),
            ..told(host, port, LOOPBACK, 8050)
        },
        (WebFramework::SocketIo, "run") => {
            told(("host", Some(1)), ("port", Some(2)), LOOPBACK, 5000)
        }
        (WebFramework::Robyn, "start") => ServerFunction {
            host: ListenDefault(Some("ROBYN_HOST"), LOOPBACK),
            port: ListenDefault(Some("ROBYN_PORT"), 8080),
            ..told(host, port, LOOPBACK, 8080)
        },
        (WebFramework::Tornado, "listen") => told(("address", Some(1)), ("port", Some(0)), ALL, 0),
        (WebFramework::Gradio, "launch") => ServerFunction {
            host: ListenDefault(Some("GRADIO_SERVER_NAME"), LOOPBACK),
            port: ListenDefault(Some("GRADIO_SERVER_PORT"), 7860),
            ..told(("server_name", None), ("server_port", None), LOOPBACK, 7860)
        },
        (_, "run" | "serve" | "serve_forever" | "run_forever" | "start" | "run_server") => {
            OTHERWISE
        }
        _ => return None,
    })
}
