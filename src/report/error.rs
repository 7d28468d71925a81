//! The error of a command: whichever module's own error stopped it, with its explanation.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::{ErrorClass, Explain, Explanation, REPORT_FAULT};

/// An error of a module that can stop a command.
pub(crate) trait ModuleError: Explain + Error + Send + Sync + 'static {}

impl<E: Explain + Error + Send + Sync + 'static> ModuleError for E {}

/// Why a build, or another command, stopped.
///
/// It holds the error of the module that failed, so that no module has to know those above it. It is no
/// [`Error`] itself, as `?` could not make one from every other then.
pub(crate) struct BuildError(Box<dyn ModuleError>);

impl BuildError {
    /// The failure in the words of its user.
    pub(crate) fn explain(&self) -> Explanation {
        self.0.explain()
    }

    /// The module's error, if it is of this type.
    pub(crate) fn find<E: Error + 'static>(&self) -> Option<&E> {
        let error: &(dyn Error + 'static) = &*self.0;
        error.downcast_ref()
    }

    /// The same, to complete what it says.
    pub(crate) fn find_mut<E: Error + 'static>(&mut self) -> Option<&mut E> {
        let error: &mut (dyn Error + 'static) = &mut *self.0;
        error.downcast_mut()
    }

    /// Whether this is only the echo of another failure.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.find(), Some(ThreadError::Stopped))
    }
}

impl<E: ModuleError> From<E> for BuildError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A thread of a command gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThreadError {
    /// Another part of the command failed; that failure is the one to tell.
    #[error("stopped")]
    Stopped,
    #[error("a thread panicked")]
    Panicked,
}

impl Explain for ThreadError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Stopped => Explanation {
                class: ErrorClass::World,
                what: "the build was stopped".to_owned(),
                place: "the layers".to_owned(),
                why: "another part of it failed".to_owned(),
                next: "see the other message, and run the command again".to_owned(),
            },
            Self::Panicked => Explanation {
                class: ErrorClass::Ours,
                what: "a part of s2r failed".to_owned(),
                place: "a thread of the build".to_owned(),
                why: "it panicked; its message stands above".to_owned(),
                next: REPORT_FAULT.to_owned(),
            },
        }
    }
}

/// A file of the user's, or one for a step, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be written.
    #[error("{}: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A variable or an argument names it, and it cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Explain for FileError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Unwritable { path, source } => Explanation {
                class: ErrorClass::World,
                what: "a file cannot be written".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check the folder's permissions and space".to_owned(),
            },
            Self::Unreadable { path, source } => Explanation {
                class: ErrorClass::CommandLine,
                what: "a file cannot be read".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check its name and permissions".to_owned(),
            },
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ThreadError {
        Stopped,
        Panicked,
    }
    enum FileError {
        Unwritable { path: "pylock.toml".into(), source: crate::report::samples::denied() },
        Unreadable { path: "production.env".into(), source: crate::report::samples::denied() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_s_error_is_found_by_its_type_and_explains_itself() {
        let mut error = BuildError::from(ThreadError::Stopped);
        assert!(error.is_stopped());
        assert!(error.find::<FileError>().is_none());
        *error.find_mut::<ThreadError>().unwrap() = ThreadError::Panicked;
        assert!(!error.is_stopped());
        assert_eq!(error.to_string(), "a thread panicked");
        assert_eq!(error.explain().class, ErrorClass::Ours);
    }
}
