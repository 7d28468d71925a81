//! What is wrong with a builder file.

use crate::report::{ErrorClass, Explain, Explanation, REPORT_FAULT};

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
    /// `extends` does not lead to a builder.
    #[error("{place}: `extends: {name}` {fault}")]
    Extends {
        /// File and line.
        place: String,
        name: String,
        fault: ExtendsFault,
    },
    /// It takes away what it does not inherit.
    #[error("{origin}: `{field}` says `{text}`, and nothing of the kind is inherited")]
    NotInherited {
        origin: String,
        field: &'static str,
        text: String,
    },
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

/// Why `extends` does not lead to a builder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtendsFault {
    #[error("names no builder that s2r has, and no file")]
    Unknown {
        /// The builders compiled in.
        known: Vec<&'static str>,
    },
    #[error("leads back to {}", names.join(", then "))]
    Loop {
        /// The files of the loop, the one that it leads back to first.
        names: Vec<String>,
    },
    #[error("is more than {limit} files deep")]
    Deep { limit: usize },
}

impl ExtendsFault {
    /// What to do about it.
    fn next(&self, name: &str) -> String {
        match self {
            Self::Unknown { known } => format!(
                "name one of {}, or a file by its path from the folder of this one; `{name}` is neither",
                known.join(", ")
            ),
            Self::Loop { .. } => "let one of these files extend none of the others".to_owned(),
            Self::Deep { limit } => {
                format!("join some of the files: {limit} at most make a builder")
            }
        }
    }
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
                "compare it with a builder that works: `s2r builders python-3.13`".to_owned(),
            ),
            Self::Value {
                origin,
                field,
                value,
            } => (
                origin,
                format!("`{field}` cannot be `{value}`"),
                format!("correct `{field}`; `s2r builders python-3.13` shows a builder that works"),
            ),
            Self::Missing { origin, field } => (
                origin,
                format!("`{field}` is not there, and nothing else says it"),
                format!("add `{field}`; `s2r builders python-3.13` shows a builder that works"),
            ),
            Self::Extends { place, name, fault } => (
                place,
                format!("`extends: {name}` {fault}"),
                fault.next(name),
            ),
            Self::NotInherited {
                origin,
                field,
                text,
            } => (
                origin,
                format!("`{field}` says `{text}`, and nothing of the kind is inherited"),
                format!(
                    "leave it out of `{field}`, or correct it; `s2r builders NAME` shows what a builder of s2r has"
                ),
            ),
            Self::OneBase { origin } => (
                origin,
                "it must name what it stands on: Debian packages or an image, one of them"
                    .to_owned(),
                "give it either `debian:` or `image:`".to_owned(),
            ),
            Self::TooLong { origin, limit } => (
                origin,
                format!("it is longer than {limit} bytes"),
                "check that it is a builder file".to_owned(),
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
        next: REPORT_FAULT.to_owned(),
    }
}

#[cfg(test)]
crate::report::samples! {
    enum BuilderError {
        Unreadable { origin: "mine.yaml".into(), reason: "line 3: mapping values are not allowed".into() },
        Value { origin: "mine.yaml".into(), field: "python", value: "2.7".into() },
        Missing { origin: "mine.yaml".into(), field: "python" },
        Extends {
            place: "mine.yaml:1".into(),
            name: "python-2.7".into(),
            fault: ExtendsFault::Unknown { known: vec!["python-3.13", "python-3.11"] },
        },
        Extends {
            place: "mine.yaml:1".into(),
            name: "other.yaml".into(),
            fault: ExtendsFault::Loop { names: vec!["mine.yaml".into(), "other.yaml".into()] },
        },
        Extends { place: "mine.yaml:1".into(), name: "other.yaml".into(), fault: ExtendsFault::Deep { limit: 8 } },
        NotInherited { origin: "mine.yaml".into(), field: "packages", text: "-libpq5".into() },
        NotChosen,
        OtherBase { name: "mine".into() },
        OneBase { origin: "mine.yaml".into() },
        TooLong { origin: "mine.yaml".into(), limit: 65_536 },
    }
}
