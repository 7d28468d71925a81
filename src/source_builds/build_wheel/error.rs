//! Why a wheel could not be built, though its build was started.

use crate::report::{ErrorClass, Explain, Explanation};

/// Why a backend's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WheelBuildError {
    /// It left no answer, or one that does not read.
    #[error("{title}: its backend left no {what} that can be read")]
    NoAnswer { title: String, what: &'static str },
    /// A base image without what compiling needs.
    #[error("{title}: {image} has no compiler")]
    NoCompiler {
        /// What was to be built.
        title: String,
        image: String,
    },
    /// Without isolation, where s2r stands has to have what compiling needs.
    #[error("{title}: there is no compiler here")]
    NoCompilerHere {
        /// What was to be built.
        title: String,
    },
    /// It built something else.
    #[error("{title}: its backend built {found}")]
    Other {
        /// What was to be built.
        title: String,
        /// The file that came of it.
        found: String,
    },
    /// It links a library that only the build packages bring.
    #[error("{title}: it links {library}, which the image lacks")]
    Library {
        title: String,
        library: String,
        /// The package of the library, where its name is plain.
        package: Option<String>,
    },
    /// Build requirements need building, and theirs, and so on.
    #[error("{title}: its build requirements need building themselves, too deeply")]
    TooDeep {
        /// What was to be built.
        title: String,
    },
}

impl Explain for WheelBuildError {
    fn explain(&self) -> Explanation {
        let mut next = "check its [build-system] in pyproject.toml; `pip wheel --no-deps` on it shows the same".to_owned();
        let (title, why) = match self {
            Self::NoAnswer { title, what } => (
                title,
                format!("the build ended well, but left no {what} that can be read"),
            ),
            Self::NoCompiler { title, image } => {
                "take a base image with compilers (python:3.13 and not its slim variant, a full S2I image), a builder of packages (`s2r builders`), or a version with a wheel"
                    .clone_into(&mut next);
                (
                    title,
                    format!(
                        "it has to be compiled, and {image} lacks the compiler or headers; nothing is added to an image"
                    ),
                )
            }
            Self::NoCompilerHere { title } => {
                "take a version with a wheel, run s2r in an image that has the builder's build packages too (`s2r builders`), or build with --isolation auto where namespaces are allowed"
                    .clone_into(&mut next);
                (
                    title,
                    "it has to be compiled, and where s2r stands there is no compiler or no header; with --isolation none nothing is added to it"
                        .to_owned(),
                )
            }
            Self::Other { title, found } => (
                title,
                format!("it built {found}, which is no wheel of that project for this Python"),
            ),
            Self::Library {
                title,
                library,
                package,
            } => {
                next = match package {
                    Some(package) => format!(
                        "write `{package}` into the file Aptfile, on a line of its own: it then comes into the image"
                    ),
                    None => format!(
                        "write the Debian package that has {library} into the file Aptfile (packages.debian.org finds it); it then comes into the image"
                    ),
                };
                (
                    title,
                    format!(
                        "it links {library}, which is there while it is built and not in the image, where it would not start"
                    ),
                )
            }
            Self::TooDeep { title } => (
                title,
                "its build requirements have no wheels, nor have theirs".to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: "a wheel could not be built".to_owned(),
            place: title.clone(),
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum WheelBuildError {
        NoAnswer { title: "uwsgi 2.0.30".into(), what: "wheel" },
        NoCompiler { title: "uwsgi 2.0.30".into(), image: "docker.io/library/python:3.12-slim".into() },
        NoCompilerHere { title: "uwsgi 2.0.30".into() },
        Other { title: "uwsgi 2.0.30".into(), found: "other-1.0-py3-none-any.whl".into() },
        Library { title: "psycopg2 2.9.10".into(), library: "libpq.so.5".into(), package: Some("libpq5".into()) },
        Library { title: "psycopg2 2.9.10".into(), library: "libpq.so.5".into(), package: None },
        TooDeep { title: "uwsgi 2.0.30".into() },
    }
}
