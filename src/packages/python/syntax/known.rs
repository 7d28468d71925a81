//! The classes and functions of frameworks and servers that are known by name: what an application
//! is, by which interface it is served, and where a server listens that is told nothing.

/// How an application is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// PEP 3333.
    Wsgi,
    /// <https://asgi.readthedocs.io>.
    Asgi,
    /// By the framework's own server alone.
    Own,
}

/// A framework, by the class or function that makes its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framework {
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

impl Framework {
    pub(crate) fn interface(self) -> Interface {
        match self {
            Self::Flask
            | Self::Falcon
            | Self::Bottle
            | Self::Dash
            | Self::Pyramid
            | Self::DjangoWsgi
            | Self::OtherWsgi => Interface::Wsgi,
            Self::Quart
            | Self::FastApi
            | Self::Starlette
            | Self::Litestar
            | Self::Sanic
            | Self::FalconAsgi
            | Self::DjangoAsgi
            | Self::FastHtml
            | Self::BlackSheep
            | Self::OtherAsgi => Interface::Asgi,
            Self::Robyn
            | Self::Aiohttp
            | Self::Tornado
            | Self::Gradio
            | Self::SocketIo
            | Self::Marimo => Interface::Own,
        }
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
pub(super) fn framework(path: &str) -> Option<Framework> {
    Some(match path {
        "flask.Flask"
        | "apiflask.APIFlask"
        | "flask_openapi3.OpenAPI"
        | "flask_appbuilder.Flask" => Framework::Flask,
        "quart.Quart" => Framework::Quart,
        "fastapi.FastAPI" | "fastapi_offline.FastAPIOffline" => Framework::FastApi,
        "starlette.applications.Starlette" => Framework::Starlette,
        "litestar.Litestar" | "litestar.app.Litestar" | "starlite.Starlite" => Framework::Litestar,
        "sanic.Sanic" | "sanic.app.Sanic" => Framework::Sanic,
        "falcon.App" | "falcon.API" | "falcon.app.App" => Framework::Falcon,
        "falcon.asgi.App" => Framework::FalconAsgi,
        "bottle.Bottle" | "bottle.default_app" | "bottle.app" => Framework::Bottle,
        "dash.Dash" | "dash_extensions.enrich.DashProxy" | "dash.dash.Dash" => Framework::Dash,
        "django.core.wsgi.get_wsgi_application" => Framework::DjangoWsgi,
        "django.core.asgi.get_asgi_application" | "channels.routing.ProtocolTypeRouter" => {
            Framework::DjangoAsgi
        }
        "fasthtml.common.FastHTML"
        | "fasthtml.FastHTML"
        | "fasthtml.core.FastHTML"
        | "fasthtml.common.fast_app"
        | "fasthtml.fastapp.fast_app" => Framework::FastHtml,
        "blacksheep.Application" | "blacksheep.server.Application" => Framework::BlackSheep,
        "robyn.Robyn" => Framework::Robyn,
        "aiohttp.web.Application" => Framework::Aiohttp,
        "tornado.web.Application" => Framework::Tornado,
        "gradio.Blocks"
        | "gradio.Interface"
        | "gradio.ChatInterface"
        | "gradio.TabbedInterface" => Framework::Gradio,
        "flask_socketio.SocketIO" => Framework::SocketIo,
        "marimo.App" => Framework::Marimo,
        "whitenoise.WhiteNoise"
        | "socketio.WSGIApp"
        | "a2wsgi.ASGIMiddleware"
        | "werkzeug.middleware.dispatcher.DispatcherMiddleware"
        | "connexion.FlaskApp.wsgi_app"
        | "webapp2.WSGIApplication" => Framework::OtherWsgi,
        "socketio.ASGIApp"
        | "a2wsgi.WSGIMiddleware"
        | "asgiref.wsgi.WsgiToAsgi"
        | "connexion.AsyncApp"
        | "ariadne.asgi.GraphQL"
        | "strawberry.asgi.GraphQL" => Framework::OtherAsgi,
        _ => return None,
    })
}

/// Where a function that serves is told to listen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
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
pub(super) struct Standard<T>(pub Option<&'static str>, pub T);

/// A function that serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub told: Told,
    pub host: Standard<&'static str>,
    pub port: Standard<u16>,
}

const fn told(
    host: (&'static str, Option<usize>),
    port: (&'static str, Option<usize>),
    standard_host: &'static str,
    standard_port: u16,
) -> Server {
    Server {
        told: Told::Arguments { host, port },
        host: Standard(None, standard_host),
        port: Standard(None, standard_port),
    }
}

const PAIR: Server = Server {
    told: Told::Pair,
    host: Standard(None, ""),
    port: Standard(None, 0),
};
const OTHERWISE: Server = Server {
    told: Told::Otherwise,
    ..PAIR
};
const LOOPBACK: &str = "127.0.0.1";
const ALL: &str = "0.0.0.0";

/// A function of a module that serves until it is stopped.
pub(super) fn server(path: &str) -> Option<Server> {
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
        "fasthtml.common.serve" | "fasthtml.serve" => Server {
            port: Standard(Some("PORT"), 5001),
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
pub(super) fn method(framework: Framework, name: &str) -> Option<Server> {
    let host = ("host", Some(0));
    let port = ("port", Some(1));
    Some(match (framework, name) {
        (Framework::Flask | Framework::Quart, "run") => told(host, port, LOOPBACK, 5000),
        (Framework::Sanic, "run") => told(host, port, LOOPBACK, 8000),
        (Framework::Bottle, "run") => told(("host", None), ("port", None), LOOPBACK, 8080),
        (Framework::Dash, "run" | "run_server") => Server {
            host: Standard(Some("HOST"), LOOPBACK),
            port: Standard(Some("PORT"), 8050),
            ..told(host, port, LOOPBACK, 8050)
        },
        (Framework::SocketIo, "run") => told(("host", Some(1)), ("port", Some(2)), LOOPBACK, 5000),
        (Framework::Robyn, "start") => Server {
            host: Standard(Some("ROBYN_HOST"), LOOPBACK),
            port: Standard(Some("ROBYN_PORT"), 8080),
            ..told(host, port, LOOPBACK, 8080)
        },
        (Framework::Tornado, "listen") => told(("address", Some(1)), ("port", Some(0)), ALL, 0),
        (Framework::Gradio, "launch") => Server {
            host: Standard(Some("GRADIO_SERVER_NAME"), LOOPBACK),
            port: Standard(Some("GRADIO_SERVER_PORT"), 7860),
            ..told(("server_name", None), ("server_port", None), LOOPBACK, 7860)
        },
        (_, "run" | "serve" | "serve_forever" | "run_forever" | "start" | "run_server") => {
            OTHERWISE
        }
        _ => return None,
    })
}
