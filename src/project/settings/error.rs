//! What can be wrong with a project's settings.

use crate::project::SourcePlace;
use crate::report::{ErrorClass, Explain, Explanation};

/// The file of settings.
pub(crate) const SETTINGS_FILE: &str = "s2r.yaml";

/// Why `s2r.yaml` or `[tool.s2r]` cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{place} is not {grammar}")]
    Syntax {
        place: SourcePlace,
        grammar: &'static str,
        /// What the parser says.
        cause: String,
    },
    #[error("{place}: {key} is no setting")]
    UnknownKey {
        place: SourcePlace,
        /// With the keys that it stands below.
        key: String,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
        known: Vec<&'static str>,
    },
    #[error("{place}: {key} is {found}")]
    Kind {
        place: SourcePlace,
        key: String,
        found: &'static str,
        /// What it is to be.
        wanted: &'static str,
    },
    #[error("{place}: {key}: {value:?} cannot be used")]
    Value {
        place: SourcePlace,
        key: String,
        /// As it stands there, shortened.
        value: String,
        advice: Box<WrongValue>,
    },
    /// There is an `s2r.yaml` too.
    #[error("{place}: settings stand here and in {SETTINGS_FILE}")]
    Twice { place: SourcePlace },
    #[error("{place} is not read")]
    OtherName { place: SourcePlace },
}

impl Explain for SettingsError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Syntax { place, cause, .. } => {
                (place, cause.clone(), "correct the line".to_owned())
            }
            Self::UnknownKey {
                place,
                nearest,
                known,
                ..
            } => (
                place,
                format!("the settings here are {}", known.join(", ")),
                match nearest {
                    Some(nearest) => format!("write {nearest}, or delete the line"),
                    None => "delete the line; `s2r schema` describes all settings".to_owned(),
                },
            ),
            Self::Kind { place, wanted, .. } => (
                place,
                format!("it has to be {wanted}"),
                "correct the line; `s2r schema` describes all settings".to_owned(),
            ),
            Self::Value { place, advice, .. } => (place, advice.why.clone(), advice.next.clone()),
            Self::Twice { place } => (
                place,
                "one of them would be left out without a word".to_owned(),
                format!("keep one: [tool.s2r] in pyproject.toml, or {SETTINGS_FILE}"),
            ),
            Self::OtherName { place } => (
                place,
                format!("the file of settings is called {SETTINGS_FILE}"),
                format!("Rename it: git mv {} {SETTINGS_FILE}", place.path),
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
    enum SettingsError {
        Syntax { place: SourcePlace::line("s2r.yaml", 3), grammar: "YAML", cause: "mapping values are not allowed".into() },
        UnknownKey { place: SourcePlace::line("s2r.yaml", 3), key: "sever".into(), nearest: Some("server"), known: vec!["server", "front"] },
        UnknownKey { place: SourcePlace::line("s2r.yaml", 3), key: "x".into(), nearest: None, known: vec!["server", "front"] },
        Kind { place: SourcePlace::line("s2r.yaml", 3), key: "server".into(), found: "a list", wanted: "a text" },
        Value {
            place: SourcePlace::line("s2r.yaml", 3),
            key: "build".into(),
            value: String::new(),
            advice: Box::new(super::values::command("").unwrap_err()),
        },
        Twice { place: SourcePlace::line("pyproject.toml", 30) },
        OtherName { place: SourcePlace::file("s2r.yml") },
    }
}

/// Why a value cannot be used, and what to write.
#[derive(Debug)]
pub(crate) struct WrongValue {
    pub why: String,
    pub next: String,
}

impl WrongValue {
    pub(super) fn new(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            next: next.into(),
        }
    }
}
