//! Why a container of this project would not start.

use std::path::Path;

use crate::project::SourcePlace;
use crate::report::{ErrorClass, Explain, Explanation};

/// Why a container would not start, as far as the code tells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A script's first line ends as Windows' do, so that its interpreter is not found.
    #[error("{path} has Windows line endings")]
    WindowsLines { path: String },
    /// What gunicorn is to serve is a module that nothing brings.
    #[error("{origin}: there is no module {module}")]
    NoModule {
        origin: String,
        module: String,
        /// A folder that has it.
        elsewhere: Option<String>,
    },
    /// The module that gunicorn serves has no such name.
    #[error("{path} has no {name}")]
    NoName {
        path: String,
        name: String,
        /// What names it; `None` for the contract's `wsgi.py`.
        origin: Option<String>,
        /// Values of `APP_MODULE` that would work.
        instead: Vec<String>,
    },
    /// The code has two applications, and nothing says which is meant.
    #[error("{} and {} are two applications", first.1, second.1)]
    Several {
        /// File and line, and how it is named.
        first: (String, String),
        /// The same of another.
        second: (String, String),
    },
    /// Several files are pages, and nothing says which is shown first.
    #[error("{} and {} are two pages", first.0, second.0)]
    SeveralPages {
        /// The file, and the command that shows it.
        first: (String, String),
        /// The same of another.
        second: (String, String),
    },
    /// The application's framework is named by no file of the project.
    #[error("{origin} needs {package}, and no file names it")]
    NoFramework {
        origin: String,
        package: &'static str,
        /// A file that names packages, and is not read.
        seen: Option<String>,
    },
    /// `S2R_ADD_SERVER` names a server that is not known.
    #[error("S2R_ADD_SERVER: {name} is no server that s2r knows how to start")]
    UnknownServer { name: String },
    /// The server that the project's settings choose does not serve what is there.
    #[error("{place}: {server} does not serve {what}")]
    WrongServer {
        place: SourcePlace,
        server: &'static str,
        /// The application, and where it is.
        what: String,
        /// The server that does.
        instead: &'static str,
    },
    /// There is nothing for it to serve.
    #[error("{place}: {server} is chosen, and no application is found for it")]
    NothingToServe {
        place: SourcePlace,
        server: &'static str,
    },
    /// A folder that the front server is to send from is not there.
    #[error("{place}: there is no folder {folder} in the source")]
    NoStaticFolder { place: SourcePlace, folder: String },
    /// gunicorn serves ASGI from 25 on.
    #[error("gunicorn {found} has no ASGI workers")]
    OldGunicorn { found: String },
}

impl Explain for StartError {
    #[expect(clippy::too_many_lines, reason = "one place explains every error")]
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::WindowsLines { path } => (
                path.clone(),
                "the kernel takes the carriage return for a part of the interpreter's name, so the container would stop at once"
                    .to_owned(),
                format!("run `sed -i 's/\\r$//' {path}`, and write `{path} text eol=lf` into .gitattributes"),
            ),
            Self::NoFramework { origin, package, seen } => (
                origin.clone(),
                format!("no file that is read says which packages go in (requirements.txt, pyproject.toml, Pipfile, a lock), and without {package} the container would stop at once"),
                match seen {
                    Some(path) if Path::new(path).extension().is_some_and(|ending| ending == "txt") => format!("write the line `-r {path}` into requirements.txt"),
                    Some(path) => format!("write what {path} names into requirements.txt; {path} itself is not read"),
                    None => format!("write {package}, and what else is imported, into requirements.txt"),
                },
            ),
            Self::NoModule { origin, elsewhere, .. } => (
                origin.clone(),
                "it is not in the source, and none of the packages that go in has such a module: gunicorn would stop at once"
                    .to_owned(),
                match elsewhere {
                    Some(folder) => format!("add the line `APP_HOME={folder}` to .s2i/environment, or correct the module"),
                    None => "correct it: MODULE:NAME, the module as it is imported from the source's root, or from APP_HOME".to_owned(),
                },
            ),
            Self::NoName { path, origin, instead, .. } => (
                path.clone(),
                match origin {
                    Some(origin) => format!("{origin} asks gunicorn for it, which would stop at once"),
                    None => "gunicorn is started with wsgi.py where there is one, asks it for `application`, and would stop at once".to_owned(),
                },
                match instead.first() {
                    Some(value) => format!("add the line `APP_MODULE={value}` to .s2i/environment"),
                    None => "name the application with `APP_MODULE=MODULE:NAME` in .s2i/environment".to_owned(),
                },
            ),
            Self::Several { first, second } => (
                format!("{}, {}", first.0, second.0),
                "nothing says which of them is to be served".to_owned(),
                format!(
                    "add the line `APP_MODULE={}` or `APP_MODULE={}` to .s2i/environment",
                    first.1, second.1
                ),
            ),
            Self::SeveralPages { first, second } => (
                format!("{}, {}", first.0, second.0),
                "nothing says which of them is shown first".to_owned(),
                format!("add a Procfile with the line `web: {}` or `web: {}`", first.1, second.1),
            ),
            Self::UnknownServer { .. } => (
                "S2R_ADD_SERVER".to_owned(),
                "it says which server is added where none is among the dependencies: uvicorn, hypercorn, granian, daphne, gunicorn or waitress, with a version or without"
                    .to_owned(),
                "name one of them, or leave the variable empty and start the server from a Procfile".to_owned(),
            ),
            Self::WrongServer { place, server, instead, .. } => (
                place.to_string(),
                format!("{server} would answer each request with an error"),
                format!("write `server: {instead}`, or delete the line to have one chosen"),
            ),
            Self::NothingToServe { place, .. } => (
                place.to_string(),
                "no variable names an application, and none is made by main, app, api, asgi, wsgi, server or application.py of the root, of a package or of app/"
                    .to_owned(),
                "name it in s2r.yaml: `environment: {APP_MODULE: \"MODULE:NAME\"}`".to_owned(),
            ),
            Self::NoStaticFolder { place, .. } => (
                place.to_string(),
                "the front server would answer every request below that path with 404, and no step of the build makes the folder"
                    .to_owned(),
                "correct the path, which is relative to the project's root, or delete the line".to_owned(),
            ),
            Self::OldGunicorn { .. } => (
                "the dependencies".to_owned(),
                "the application speaks ASGI, and gunicorn is the only server among the dependencies: it would answer each request with an error"
                    .to_owned(),
                "ask for gunicorn>=25, or add uvicorn or uvicorn-worker to the dependencies".to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place,
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum StartError {
        WindowsLines { path: "app.sh".into() },
        NoModule { origin: "Procfile:1".into(), module: "main".into(), elsewhere: Some("backend".into()) },
        NoModule { origin: "Procfile:1".into(), module: "main".into(), elsewhere: None },
        NoName { path: "main.py".into(), name: "app".into(), origin: Some("Procfile:1".into()), instead: vec!["main:application".into()] },
        NoName { path: "wsgi.py".into(), name: "application".into(), origin: None, instead: vec![] },
        Several { first: ("main.py:3".into(), "main:app".into()), second: ("api.py:5".into(), "api:app".into()) },
        SeveralPages {
            first: ("one.py".into(), "streamlit run one.py".into()),
            second: ("two.py".into(), "streamlit run two.py".into()),
        },
        NoFramework { origin: "main.py:1".into(), package: "flask", seen: Some("requirements/base.txt".into()) },
        NoFramework { origin: "main.py:1".into(), package: "flask", seen: Some("environment.yml".into()) },
        NoFramework { origin: "main.py:1".into(), package: "flask", seen: None },
        UnknownServer { name: "apache".into() },
        WrongServer {
            place: SourcePlace::line("s2r.yaml", 3),
            server: "gunicorn",
            what: "main:app, an application of ASGI".into(),
            instead: "uvicorn",
        },
        NothingToServe { place: SourcePlace::line("s2r.yaml", 3), server: "uvicorn" },
        NoStaticFolder { place: SourcePlace::line("s2r.yaml", 3), folder: "static".into() },
        OldGunicorn { found: "21.2.0".into() },
    }
}
