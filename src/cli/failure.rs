//! The failures of commands: those of the stages, and those of the command line itself.

use crate::oci::ReferenceError;
use crate::report::{BuildError, Explain, Explanation, Fate};
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A stage failed.
    Build(BuildError),
    /// The command line cannot be meant.
    Usage {
        /// What is wrong.
        what: String,
        /// The argument.
        place: String,
        /// Why it cannot be.
        why: String,
        /// What to type instead.
        next: String,
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

impl Failure {
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

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(BuildError::from(error))
    }
}

impl Explain for Failure {
    fn explain(&self) -> Explanation {
        match self {
            Self::Build(error) => error.explain(),
            Self::Usage {
                what,
                place,
                why,
                next,
            } => Explanation {
                fate: Fate::CommandLine,
                what: what.clone(),
                place: place.clone(),
                why: why.clone(),
                next: next.clone(),
            },
            Self::Threads(error) => Explanation {
                fate: Fate::World,
                what: "this machine lets s2r have too few threads".to_owned(),
                place: format!("{} threads", crate::host::FEW),
                why: error.to_string(),
                next: "raise the limit of processes (`ulimit -u`, the pod's or container's pids limit), or end other programs of this user".to_owned(),
            },
            Self::Panicked(text) => Explanation {
                fate: Fate::Ours,
                what: "s2r stopped at a fault of its own".to_owned(),
                place: "s2r".to_owned(),
                why: text.clone(),
                next: "please report it, with what is written above".to_owned(),
            },
            Self::Again(error) => Explanation {
                fate: Fate::World,
                what: "the image is built, but s2r cannot be started anew to run it".to_owned(),
                place: "/proc/self/exe".to_owned(),
                why: error.to_string(),
                next: "run it yourself: s2r run IMAGE".to_owned(),
            },
            Self::Output(error) => Explanation {
                fate: Fate::World,
                what: "the result cannot be written to stdout".to_owned(),
                place: "stdout".to_owned(),
                why: error.to_string(),
                next: "the image is in the store all the same: `s2r images`".to_owned(),
            },
        }
    }
}
