//! What keeps a file of another tool from being read.

use crate::report::{ErrorClass, Explain, Explanation};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LockFileError {
    /// It is not of its form, or larger than anything that is read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: &'static str, reason: String },
    /// It was made from another state of the file beside it.
    #[error("{path} is older than {of}")]
    Stale {
        path: &'static str,
        /// What it was made from.
        of: &'static str,
        /// The command that makes it anew.
        renew: &'static str,
    },
    /// The file that it was made from is missing.
    #[error("{path} is there without {of}")]
    Alone {
        path: &'static str,
        /// What it was made from.
        of: &'static str,
    },
    /// A package is asked for in a form that cannot be passed on.
    #[error("{path}: {package}: {what}")]
    Unsupported {
        path: &'static str,
        package: String,
        /// What cannot be passed on.
        what: String,
    },
    /// Extras or groups are chosen that exclude each other.
    #[error("{path}: {} exclude each other", chosen.join(" and "))]
    Conflict {
        path: &'static str,
        chosen: Vec<String>,
    },
    /// An extra or group is chosen that the file does not have.
    #[error("{path} has no {kind} {name}")]
    NoSuchChoice {
        path: &'static str,
        /// `extra` or `group`.
        kind: &'static str,
        name: String,
        known: Vec<String>,
    },
}

impl Explain for LockFileError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Unreadable { path, reason } => (
                *path,
                reason.clone(),
                "write the file again with the tool that made it".to_owned(),
            ),
            Self::Stale { path, of, renew } => (
                *path,
                format!("it was made from another {of}; it may lack what the project asks for now"),
                format!("run `{renew}` and commit {path}"),
            ),
            Self::Alone { path, of } => (
                *path,
                format!("{of} says which of the locked packages the project wants"),
                format!("commit {of} beside it; .s2iignore or --exclude may leave it out"),
            ),
            Self::Unsupported { path, what, .. } => (
                *path,
                what.clone(),
                "write the requirement in another form, or commit a pylock.toml or requirements.txt, which s2r reads first"
                    .to_owned(),
            ),
            Self::Conflict { path, .. } => (
                *path,
                "[tool.uv] conflicts says that they cannot be installed together".to_owned(),
                "leave one of them out of S2R_EXTRAS and S2R_GROUPS".to_owned(),
            ),
            Self::NoSuchChoice {
                path, kind, known, ..
            } => (
                *path,
                if known.is_empty() {
                    format!("it has no {kind}s at all")
                } else {
                    format!("it has {}", known.join(", "))
                },
                format!(
                    "correct {0}, or unset it",
                    if *kind == "extra" { "S2R_EXTRAS" } else { "S2R_GROUPS" }
                ),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: match self {
                Self::Unreadable { path, .. } => format!("{path} cannot be read"),
                Self::Unsupported { path, package, .. } => {
                    format!("{path}: {package} cannot be taken over")
                }
                other => other.to_string(),
            },
            place: place.to_owned(),
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum LockFileError {
        Unreadable { path: "poetry.lock", reason: "line 3: expected `=`".into() },
        Stale { path: "poetry.lock", of: "pyproject.toml", renew: "poetry lock" },
        Alone { path: "Pipfile.lock", of: "Pipfile" },
        Unsupported { path: "poetry.lock", package: "flask".into(), what: "its source is a Subversion repository".into() },
        Conflict { path: "uv.lock", chosen: vec!["extra cpu".into(), "extra gpu".into()] },
        NoSuchChoice { path: "uv.lock", kind: "extra", name: "pg".into(), known: vec!["postgres".into(), "redis".into()] },
        NoSuchChoice { path: "uv.lock", kind: "group", name: "prod".into(), known: vec![] },
    }
}
