//! Why a container of this project would not start.

use crate::report::{Explain, Explanation, Fate};

/// Why a container would not start, as far as the code tells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A script's first line ends as Windows' do, so that its interpreter is not found.
    #[error("{path} has Windows' ends of lines")]
    WindowsLines {
        /// The script.
        path: String,
    },
    /// What gunicorn is to serve is a module that nothing brings.
    #[error("{origin}: there is no module {module}")]
    NoModule {
        /// What names it.
        origin: String,
        /// The module.
        module: String,
        /// A folder that has it.
        elsewhere: Option<String>,
    },
    /// The module that gunicorn serves has no such name.
    #[error("{path} has no {name}")]
    NoName {
        /// The module's file.
        path: String,
        /// What is served.
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
}

impl Explain for StartError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::WindowsLines { path } => (
                path.clone(),
                "The kernel takes the carriage return for a part of the interpreter's name, so the container would stop at once."
                    .to_owned(),
                format!("sed -i 's/\\r$//' {path} (and `{path} text eol=lf` in .gitattributes)."),
            ),
            Self::NoModule { origin, elsewhere, .. } => (
                origin.clone(),
                "It is not in the source, and none of the packages that go in has such a module: gunicorn would stop at once."
                    .to_owned(),
                match elsewhere {
                    Some(folder) => format!("Add the line `APP_HOME={folder}` to .s2i/environment, or correct the module."),
                    None => "Correct it: MODULE:NAME, the module as it is imported from the source's root, or from APP_HOME.".to_owned(),
                },
            ),
            Self::NoName { path, origin, instead, .. } => (
                path.clone(),
                match origin {
                    Some(origin) => format!("{origin} asks gunicorn for it, which would stop at once."),
                    None => "gunicorn is started with wsgi.py where there is one, asks it for `application`, and would stop at once.".to_owned(),
                },
                match instead.first() {
                    Some(value) => format!("Add the line `APP_MODULE={value}` to .s2i/environment."),
                    None => "Name the application with `APP_MODULE=MODULE:NAME` in .s2i/environment.".to_owned(),
                },
            ),
            Self::Several { first, second } => (
                format!("{}, {}", first.0, second.0),
                "Nothing says which of them is to be served.".to_owned(),
                format!(
                    "Add a Procfile with a line `web: …`, or with gunicorn the line `APP_MODULE={}` or `APP_MODULE={}` to .s2i/environment.",
                    first.1, second.1
                ),
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: self.to_string(),
            place,
            why,
            next,
        }
    }
}
