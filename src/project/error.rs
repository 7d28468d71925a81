//! What can be wrong with a project's files.

use crate::report::{Explain, Explanation, Fate};
use crate::source::SourceError;
use crate::source::environment::Error as EnvironmentError;

use super::Place;

/// Why a project's files cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// `.s2i/environment` is wrong.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file is no UTF-8.
    #[error("{place} is not UTF-8 text")]
    NotText {
        /// File and line.
        place: Place,
    },
    /// A TOML file is no TOML.
    #[error("{place} is not TOML")]
    Toml {
        /// File and line.
        place: Place,
        /// What the parser says.
        cause: String,
    },
    /// A version of Python that nothing can mean.
    #[error("{place}: {text:?} is no version of Python")]
    Version {
        /// File and line.
        place: Place,
        /// What stands there, shortened.
        text: String,
    },
}

impl Explain for ProjectError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Source(error) => return error.explain(),
            Self::Environment(error) => return error.explain(),
            Self::NotText { place } => (
                place,
                "It is read as text in UTF-8.".to_owned(),
                "Save it as UTF-8.".to_owned(),
            ),
            Self::Toml { place, cause } => (
                place,
                cause.clone(),
                "Correct the line, or list the file in .s2iignore if the image does not need it."
                    .to_owned(),
            ),
            Self::Version { place, .. } => (
                place,
                "The builder is chosen by the version of Python that the project asks for."
                    .to_owned(),
                "Write a version such as 3.13, or a range such as >=3.11,<4 in pyproject.toml."
                    .to_owned(),
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: self.to_string(),
            place: place.to_string(),
            why,
            next,
        }
    }
}
