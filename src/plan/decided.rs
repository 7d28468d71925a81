//! What every part of a plan is told in: values with their origin and reason, and warnings.

use serde::Serialize;

use crate::project::SourcePlace;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub(crate) enum ValueOrigin {
    Flag {
        /// The flag, for instance `--builder`.
        flag: &'static str,
    },
    /// A variable of the image's environment.
    Environment {
        variable: String,
    },
    /// A file of the project.
    File(SourcePlace),
    Builder {
        builder: String,
    },
    Default,
}

impl std::fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag { flag } => f.write_str(flag),
            Self::Environment { variable } => f.write_str(variable),
            Self::File(place) => place.fmt(f),
            Self::Builder { builder } => write!(f, "builder {builder}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, where it comes from and why it is that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decided<T> {
    pub value: T,
    /// Where it comes from.
    pub origin: ValueOrigin,
    /// Why, in half a sentence; empty where the origin says it all.
    pub reason: String,
}

impl<T> Decided<T> {
    pub(super) fn new(value: T, origin: ValueOrigin, reason: impl Into<String>) -> Self {
        Self {
            value,
            origin,
            reason: reason.into(),
        }
    }
}

/// Something that the user should know about the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlanWarning {
    pub text: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl PlanWarning {
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: hint.into(),
        }
    }
}
