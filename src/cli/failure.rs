//! The failures of commands: those of the stages, and those of the command line itself.

use std::path::PathBuf;

use super::text::CommandOutput;
use crate::oci::ReferenceError;
use crate::report::{BuildError, ErrorClass, Explain, Explanation, REPORT_FAULT};
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum CommandFailure {
    Build(BuildError),
    /// The command line cannot be meant.
    Usage {
        what: String,
        place: String,
        /// Why it cannot be.
        why: String,
        /// What to type instead.
        next: String,
    },
    /// Files of the store were damaged. That is found out and mended, and still no success.
    Damaged {
        /// What there is to say of each, for stdout.
        answer: CommandOutput,
        root: PathBuf,
        /// How many they were.
        files: usize,
        /// Images that need them.
        images: Vec<String>,
    },
    /// An image was looked at, and does not answer as it should.
    Check {
        /// What was seen of it, for stdout.
        answer: CommandOutput,
        failed: BuildError,
    },
    /// There are not enough threads to be had.
    Threads(std::io::Error),
    /// s2r has a fault: it panicked, with these words.
    Panicked(String),
    /// s2r cannot be started anew.
    Again(std::io::Error),
    /// stdout cannot be written.
    Output(std::io::Error),
}

impl CommandFailure {
    /// What there is to print all the same.
    pub(super) fn answer(&self) -> Option<&CommandOutput> {
        match self {
            Self::Damaged { answer, .. } | Self::Check { answer, .. } => Some(answer),
            Self::Build(_)
            | Self::Usage { .. }
            | Self::Threads(_)
            | Self::Panicked(_)
            | Self::Again(_)
            | Self::Output(_) => None,
        }
    }

    /// An argument that is no image name.
    pub(super) fn image_name(name: &str, reason: &ReferenceError) -> Self {
        Self::Usage {
            what: "this is not an image name".to_owned(),
            place: name.to_owned(),
            why: reason.to_string(),
            next: "names look like `myimg`, `myimg:1.0` or `registry.example.com/team/myimg:1.0`"
                .to_owned(),
        }
    }
}

impl From<BuildError> for CommandFailure {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<StoreError> for CommandFailure {
    fn from(error: StoreError) -> Self {
        Self::from(BuildError::from(error))
    }
}

impl Explain for CommandFailure {
    fn explain(&self) -> Explanation {
        match self {
            Self::Build(error) | Self::Check { failed: error, .. } => error.explain(),
            Self::Usage {
                what,
                place,
                why,
                next,
            } => Explanation {
                class: ErrorClass::CommandLine,
                what: what.clone(),
                place: place.clone(),
                why: why.clone(),
                next: next.clone(),
            },
            Self::Damaged {
                root,
                files,
                images,
                ..
            } => Explanation {
                class: ErrorClass::World,
                what: "the store was damaged".to_owned(),
                place: root.display().to_string(),
                why: match files {
                    1 => "a file had other bytes than its name says".to_owned(),
                    files => format!("{files} files had other bytes than their names say"),
                },
                next: match images.as_slice() {
                    [] => "nothing to do: what was dropped is made or fetched again when it is needed".to_owned(),
                    images => format!(
                        "build these images again (`s2r build SOURCE IMAGE`): {}",
                        images.join(", ")
                    ),
                },
            },
            Self::Threads(error) => Explanation {
                class: ErrorClass::World,
                what: "s2r cannot start enough threads".to_owned(),
                place: format!("{} threads", crate::host::FEW),
                why: error.to_string(),
                next: "raise the limit of processes (`ulimit -u`, the pod's or container's pids limit), or end other programs of this user".to_owned(),
            },
            Self::Panicked(text) => Explanation {
                class: ErrorClass::Ours,
                what: "s2r stopped at a fault of its own".to_owned(),
                place: "s2r".to_owned(),
                why: text.clone(),
                next: REPORT_FAULT.to_owned(),
            },
            Self::Again(error) => Explanation {
                class: ErrorClass::World,
                what: "the image is built, but s2r cannot be started anew to run it".to_owned(),
                place: "/proc/self/exe".to_owned(),
                why: error.to_string(),
                next: "start it yourself: s2r run IMAGE".to_owned(),
            },
            Self::Output(error) => Explanation {
                class: ErrorClass::World,
                what: "the result cannot be written to stdout".to_owned(),
                place: "stdout".to_owned(),
                why: error.to_string(),
                next: "the image is in the store all the same: `s2r images`".to_owned(),
            },
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum CommandFailure {
        Build(crate::report::ThreadError::Stopped.into()),
        Usage {
            what: "this is not an image name".into(),
            place: "A".into(),
            why: "it has upper-case letters".into(),
            next: "write it in lower case".into(),
        },
        Damaged { answer: nothing(), root: "/store".into(), files: 1, images: vec![] },
        Damaged { answer: nothing(), root: "/store".into(), files: 2, images: vec!["myimg".into()] },
        Check { answer: nothing(), failed: crate::report::ThreadError::Stopped.into() },
        Threads(crate::report::samples::denied()),
        Panicked("index out of bounds".into()),
        Again(crate::report::samples::denied()),
        Output(crate::report::samples::denied()),
    }
}

#[cfg(test)]
fn nothing() -> CommandOutput {
    CommandOutput {
        text: String::new(),
        json: serde_json::Value::Null,
    }
}
