//! What is wrong with a builder file.

use crate::report::{ErrorClass, Explain, Explanation};

/// What is wrong with a builder file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BuilderError {
    /// It is not the YAML of a builder.
    #[error("{origin} is no builder file: {reason}")]
    Unreadable {
        /// The file, or the name of a builder compiled in.
        origin: String,
        /// What the parser says, with the place.
        reason: String,
    },
    /// A field has a value that none can have.
    #[error("{origin}: `{field}` cannot be `{value}`")]
    Value {
        origin: String,
        field: &'static str,
        value: String,
    },
    /// A field that it cannot do without is not there.
    #[error("{origin}: `{field}` is missing")]
    Missing { origin: String, field: &'static str },
    /// A plan was to be made before there was a builder.
    #[error("no builder is chosen yet")]
    NotChosen,
    /// The base of a builder is not what its caller takes it for.
    #[error("builder {name} stands on something else")]
    OtherBase { name: String },
    /// It has no base, or two.
    #[error("{origin} needs one base: either `debian` or `image`")]
    OneBase { origin: String },
    /// It is longer than a builder file may be.
    #[error("{origin} is longer than {limit} bytes")]
    TooLong { origin: String, limit: usize },
}

impl Explain for BuilderError {
    fn explain(&self) -> Explanation {
        let (origin, why, next) = match self {
            Self::NotChosen => return fault(self, "the plan", "a plan counts on its builder"),
            Self::OtherBase { name } => {
                return fault(self, name, "packages are asked for upon packages alone");
            }
            Self::Unreadable { origin, reason } => (
                origin,
                reason.clone(),
                "Compare it with a builder that works: `s2r builders python-3.13`.".to_owned(),
            ),
            Self::Value {
                origin,
                field,
                value,
            } => (
                origin,
                format!("`{field}` cannot be `{value}`."),
                format!(
                    "Correct `{field}`; `s2r builders python-3.13` shows a builder that works."
                ),
            ),
            Self::Missing { origin, field } => (
                origin,
                format!("`{field}` is not there, and nothing else says it."),
                format!("Add `{field}`; `s2r builders python-3.13` shows a builder that works."),
            ),
            Self::OneBase { origin } => (
                origin,
                "It must name what it stands on: Debian packages or an image, one of them."
                    .to_owned(),
                "Give it either `debian:` or `image:`.".to_owned(),
            ),
            Self::TooLong { origin, limit } => (
                origin,
                format!("It is longer than {limit} bytes."),
                "Check that it is a builder file.".to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: "the builder file is wrong".to_owned(),
            place: origin.clone(),
            why,
            next,
        }
    }
}

/// A fault of ours.
fn fault(error: &BuilderError, place: &str, why: &str) -> Explanation {
    Explanation {
        class: ErrorClass::Ours,
        what: error.to_string(),
        place: place.to_owned(),
        why: why.to_owned(),
        next: "this is a fault of s2r; please report it with the command line".to_owned(),
    }
}
