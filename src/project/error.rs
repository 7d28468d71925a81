//! What can be wrong with a project's files.

use crate::packages::debian::aptfile::AptfileFault;
use crate::report::{ErrorClass, Explain, Explanation};
use crate::source::SourceError;
use crate::source::environment::EnvironmentError;

use super::SourcePlace;
use super::settings::SettingsError;

/// Why a project's files cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// `s2r.yaml` or `[tool.s2r]` is wrong.
    #[error(transparent)]
    Settings(Box<SettingsError>),
    /// A file is no UTF-8.
    #[error("{place} is not UTF-8 text")]
    NotText { place: SourcePlace },
    /// A TOML file is no TOML.
    #[error("{place} is not TOML")]
    Toml {
        place: SourcePlace,
        /// What the parser says.
        cause: String,
    },
    /// A line of an Aptfile that is no package's name.
    #[error("{place}: {text:?} is no name of a Debian package")]
    Aptfile {
        place: SourcePlace,
        /// What stands there, shortened.
        text: String,
        fault: AptfileFault,
    },
    /// A version of Python that nothing can mean.
    #[error("{place}: {text:?} is no version of Python")]
    Version {
        place: SourcePlace,
        /// What stands there, shortened.
        text: String,
    },
}

impl From<SettingsError> for ProjectError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(Box::new(error))
    }
}

/// What a line of an Aptfile is, and what to write instead.
fn aptfile_text(fault: AptfileFault) -> (&'static str, &'static str) {
    let builder = "name other archives in a builder file of your own (--builder FILE.yaml)";
    match fault {
        AptfileFault::Option => (
            "it is an option of apt, and apt does not run here",
            "leave it out; packages come without what they only recommend",
        ),
        AptfileFault::Url => (
            "it is a package's file; packages come from the suite's signed index alone",
            builder,
        ),
        AptfileFault::Archive => (
            "it is a further archive; packages come from the builder's suite alone",
            builder,
        ),
        AptfileFault::Version => (
            "it asks for a version or suite; the suite's newest is taken",
            "write the name alone; `s2r lock SOURCE` pins the versions",
        ),
        AptfileFault::Architecture => (
            "it asks for an architecture; that is the image's",
            "write the name alone",
        ),
        AptfileFault::Several => (
            "it holds several words",
            "write one package a line, without quotes",
        ),
        AptfileFault::Name => (
            "names have lower-case letters, digits, `+`, `-` and `.`, and at least two of them",
            "correct the name; packages.debian.org knows them all",
        ),
        AptfileFault::TooMany => (
            "there are more packages than an image of an application has",
            "use a builder of your own on another base",
        ),
    }
}

impl Explain for ProjectError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Source(error) => return error.explain(),
            Self::Environment(error) => return error.explain(),
            Self::Settings(error) => return error.explain(),
            Self::NotText { place } => (
                place,
                "it is read as text in UTF-8".to_owned(),
                "save it as UTF-8".to_owned(),
            ),
            Self::Toml { place, cause } => (
                place,
                cause.clone(),
                "correct the line, or list the file in .s2iignore if the image does not need it"
                    .to_owned(),
            ),
            Self::Aptfile { place, fault, .. } => {
                let (why, next) = aptfile_text(*fault);
                (place, why.to_owned(), next.to_owned())
            }
            Self::Version { place, .. } => (
                place,
                "the builder is chosen by the version of Python that the project asks for"
                    .to_owned(),
                "write a version such as 3.13, or a range such as >=3.11,<4 in pyproject.toml"
                    .to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place: place.to_string(),
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ProjectError {
        Source(SourceError::Read { path: "src/secret.key".into(), source: crate::report::samples::denied() }),
        Environment(EnvironmentError::NotText { file: ".s2i/environment".into(), line: 3, of_project: true }),
        Settings(Box::new(SettingsError::OtherName { place: SourcePlace::file("s2r.yml") })),
        NotText { place: SourcePlace::file("Procfile") },
        Toml { place: SourcePlace::line("pyproject.toml", 3), cause: "expected `=`".into() },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Option },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Url },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Archive },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Version },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Architecture },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Several },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::Name },
        Aptfile { place: SourcePlace::line("Aptfile", 1), text: "x".into(), fault: AptfileFault::TooMany },
        Version { place: SourcePlace::line(".python-version", 1), text: "pypy".into() },
    }
}
