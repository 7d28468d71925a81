//! What can go wrong while a layer is written, and how that is told.

use std::io;

use crate::archive::gzip;
use crate::report::{DISK, ErrorClass, Explain, Explanation, REPORT_FAULT};

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// It, or one of its components, is empty (`a//b`, `/a`, `a/`).
    Empty,
    /// A component is `.` or `..`.
    Dots,
    /// It holds a NUL byte.
    Nul,
    /// A component begins with `.wh.`, the mark of a deletion in image layers.
    Whiteout,
    /// It is longer than 4096 bytes.
    Long,
    /// It lies in more folders than whoever unpacks a layer has to allow: 256 parts.
    Deep,
    /// An eStargz layer has a file of its own there.
    Taken,
    /// It is no UTF-8, and goes into an eStargz layer's table, which is JSON.
    Encoding,
}

impl PathFault {
    /// What is wrong, as a sentence about the path.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Empty => "a part of its path is empty",
            Self::Dots => "a part of its path is `.` or `..`",
            Self::Deep => "it lies in more than 255 folders",
            Self::Nul => "its path holds a NUL byte",
            Self::Whiteout => "a name that begins with `.wh.` deletes files of the layers below",
            Self::Long => "its path is longer than 4096 bytes",
            Self::Taken => "an eStargz layer has a file of its own there",
            Self::Encoding => "it is not UTF-8, and an eStargz layer's table of contents is JSON",
        }
    }
}

/// What can go wrong while a layer is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    /// The path cannot be in a layer.
    #[error("{path}: {fault:?} is refused in a layer")]
    Path {
        /// The path, unprintable bytes replaced.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// The entry does not sort after the one before it.
    #[error("{path} comes after {previous}")]
    Order {
        /// The path that is too late, or there twice.
        path: String,
        /// The one written before it.
        previous: String,
    },
    /// The entry's directory was not written.
    #[error("{path} without its directory")]
    Parent { path: String },
    /// A hard link that does not point to an earlier entry.
    #[error("{path} is a hard link to {target}, which is not before it")]
    Link { path: String, target: String },
    /// Reading an entry's contents failed.
    #[error("cannot read the contents of {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    /// An entry's contents are not what was announced.
    #[error("contents of {path}")]
    Contents {
        path: String,
        #[source]
        source: gzip::GzipError,
    },
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
}

impl Explain for TarError {
    fn explain(&self) -> Explanation {
        let (class, what, place, why, next) = match self {
            Self::Path { path, fault } => (
                ErrorClass::Project,
                format!("{} cannot be in an image layer", path.escape_debug()),
                path.clone(),
                fault.text().to_owned(),
                match fault {
                    PathFault::Taken | PathFault::Encoding => {
                        "rename it, leave it out, or build without --estargz"
                    }
                    _ => "rename it or leave it out",
                }
                .to_owned(),
            ),
            Self::Order { path, previous } => (
                ErrorClass::Ours,
                "a layer's entries are out of order".to_owned(),
                path.clone(),
                format!("it was written after {previous}"),
                REPORT_FAULT.to_owned(),
            ),
            Self::Parent { path } => (
                ErrorClass::Ours,
                "a layer's entry has no directory".to_owned(),
                path.clone(),
                "its directory was not written before it".to_owned(),
                REPORT_FAULT.to_owned(),
            ),
            Self::Link { path, target } => (
                ErrorClass::Ours,
                "a hard link has no target in its layer".to_owned(),
                path.clone(),
                format!("{target} was not written before it"),
                REPORT_FAULT.to_owned(),
            ),
            Self::Read { path, source } => (
                ErrorClass::World,
                "a file's contents cannot be read".to_owned(),
                path.clone(),
                source.to_string(),
                "check the file and the disk, and build again".to_owned(),
            ),
            Self::Contents { path, source } => (
                ErrorClass::World,
                "a file's contents are not as announced".to_owned(),
                path.clone(),
                source.to_string(),
                "the file changed while it was read, or its archive is damaged; build again"
                    .to_owned(),
            ),
            Self::Write(source) => (
                ErrorClass::World,
                "a layer cannot be written".to_owned(),
                "the store".to_owned(),
                source.to_string(),
                DISK.to_owned(),
            ),
        };
        Explanation {
            class,
            what,
            place,
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum TarError {
        Path { path: "a/b".into(), fault: PathFault::Empty },
        Path { path: "a/b".into(), fault: PathFault::Dots },
        Path { path: "a/b".into(), fault: PathFault::Nul },
        Path { path: "a/b".into(), fault: PathFault::Whiteout },
        Path { path: "a/b".into(), fault: PathFault::Long },
        Path { path: "a/b".into(), fault: PathFault::Deep },
        Path { path: "a/b".into(), fault: PathFault::Taken },
        Path { path: "a/b".into(), fault: PathFault::Encoding },
        Order { path: "a".into(), previous: "b".into() },
        Parent { path: "a/b".into() },
        Link { path: "a".into(), target: "b".into() },
        Read { path: "a".into(), source: crate::report::samples::denied() },
        Contents { path: "a".into(), source: gzip::GzipError::Short },
        Write(crate::report::samples::denied()),
    }
}
