//! Why a step did not do what it should, and what to do about it.

use crate::context::unisolated::NotInImage;
use crate::report::{ErrorClass, Explain, Explanation, LAST_LINES};
use crate::sandbox::SandboxError;

/// The end of what a step that failed has written.
#[derive(Debug)]
pub(crate) struct LastLines {
    pub lines: Vec<String>,
    /// What to do about what they say, where that is known.
    pub advice: Option<String>,
}

/// A step that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("{step}: {ended}")]
    Failed {
        /// What users call it.
        step: String,
        /// The command, as one would type it.
        command: String,
        ended: String,
        words: Box<LastLines>,
        /// How to do without it.
        instead: &'static str,
        /// The store's disk was full, which is no fault of the step's.
        is_disk_full: bool,
    },
    /// There is no sandbox to run it in.
    #[error("{step} cannot be run: {source}")]
    NoSandbox {
        /// What users call it.
        step: String,
        /// How to do without it.
        instead: String,
        source: SandboxError,
    },
    /// It is to run without isolation, and s2r does not stand in the builder's image.
    #[error("{step} cannot be run here: {absence}")]
    Elsewhere {
        /// What users call it.
        step: String,
        /// How to do without it.
        instead: String,
        absence: NotInImage,
    },
    /// It is to reach the network, and nothing is.
    #[error("{command} needs the network")]
    Offline {
        /// The command, and where it stands.
        command: String,
    },
    /// It needs places of its own, which it has in a sandbox alone.
    #[error("{step} cannot be run without isolation: {needs}")]
    Placed {
        /// What users call it.
        step: String,
        /// How to do without it.
        instead: String,
        needs: &'static str,
    },
}

/// How to do without a step, as the end of a sentence; nothing where that is not known.
fn without(instead: &str) -> String {
    if instead.is_empty() {
        return String::new();
    }
    format!("; or do without it: {instead}")
}

/// What to do about a step that failed.
fn next_of_failed(advice: Option<&str>, instead: &str, is_disk_full: bool) -> String {
    if is_disk_full {
        "make room on the disk of the store (`s2r cache prune` helps), or put the store elsewhere (S2R_STORE)".to_owned()
    } else if let Some(advice) = advice {
        format!("{advice}{}", without(instead))
    } else {
        format!(
            "mend what these lines say; in its sandbox a step has the builder's packages (Aptfile adds more) and nothing of this machine{}",
            without(instead)
        )
    }
}

impl Explain for StepError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Failed {
                step,
                command,
                ended,
                words,
                instead,
                is_disk_full,
            } => Explanation {
                class: if *is_disk_full {
                    ErrorClass::World
                } else {
                    ErrorClass::Project
                },
                what: format!("{step} failed: {ended}"),
                place: command.clone(),
                why: if words.lines.is_empty() {
                    "it wrote nothing".to_owned()
                } else {
                    format!("{LAST_LINES}:\n{}", words.lines.join("\n"))
                },
                next: next_of_failed(words.advice.as_deref(), instead, *is_disk_full),
            },
            Self::NoSandbox {
                step,
                instead,
                source,
            } => {
                let cause = source.explain();
                Explanation {
                    class: cause.class,
                    what: format!(
                        "{step} needs code of the project to run, and no sandbox works here"
                    ),
                    place: cause.place,
                    why: format!("{}: {}", cause.what, cause.why),
                    next: format!(
                        "{instead}; {}; in a container of an image that this builder made, --isolation none runs steps without a sandbox",
                        cause.next
                    ),
                }
            }
            Self::Elsewhere {
                step,
                instead,
                absence,
            } => Explanation {
                class: ErrorClass::World,
                what: format!(
                    "{step} needs code of the project to run, and s2r does not stand in the builder's image"
                ),
                place: "--isolation none".to_owned(),
                why: absence.to_string(),
                next: format!(
                    "{instead}; or run s2r in a container of an image that this builder made, or with --isolation auto where namespaces are allowed"
                ),
            },
            Self::Offline { command } => Explanation {
                class: ErrorClass::World,
                what: "a command of build needs the network, and nothing is kept of an earlier run with the same input".to_owned(),
                place: command.clone(),
                why: "--offline touches no network".to_owned(),
                next: "build once without --offline: what the command leaves is kept".to_owned(),
            },
            Self::Placed {
                step,
                instead,
                needs,
            } => Explanation {
                class: ErrorClass::World,
                what: format!("{step} cannot be run without isolation"),
                place: "--isolation none".to_owned(),
                why: (*needs).to_owned(),
                next: format!(
                    "{instead}; or build with --isolation auto where namespaces are allowed"
                ),
            },
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum StepError {
        Failed {
            step: "the build of uwsgi 2.0.30".into(),
            command: "python -m build".into(),
            ended: "status 1".into(),
            words: Box::new(words(Some("Write libpq-dev into Aptfile."))),
            instead: "name a version that has a wheel.",
            is_disk_full: false,
        },
        Failed {
            step: "the build of uwsgi 2.0.30".into(),
            command: "python -m build".into(),
            ended: "status 1".into(),
            words: Box::new(words(None)),
            instead: "name a version that has a wheel.",
            is_disk_full: false,
        },
        Failed {
            step: "the build of uwsgi 2.0.30".into(),
            command: "python -m build".into(),
            ended: "status 1".into(),
            words: Box::new(words(None)),
            instead: "name a version that has a wheel.",
            is_disk_full: true,
        },
        NoSandbox { step: "collectstatic".into(), instead: "Leave it out (DISABLE_COLLECTSTATIC=1).".into(), source: SandboxError::Silent },
        Elsewhere {
            step: "collectstatic".into(),
            instead: "Leave it out (DISABLE_COLLECTSTATIC=1).".into(),
            absence: NotInImage::System { wanted: "trixie".into(), found: "bookworm".into() },
        },
        Offline { command: "s2r.yaml:3: npm ci".into() },
        Placed {
            step: "collectstatic".into(),
            instead: "Leave it out (DISABLE_COLLECTSTATIC=1).".into(),
            needs: "its files lie elsewhere",
        },
    }
}

#[cfg(test)]
fn words(advice: Option<&str>) -> LastLines {
    LastLines {
        lines: vec!["error: no pg_config".into()],
        advice: advice.map(Into::into),
    }
}
