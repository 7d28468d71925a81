//! Why a layer cannot be unpacked.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::report::{DISK, ErrorClass, Explain, Explanation};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerEntryFault {
    /// It climbs by `..`, or is longer than a path may be.
    Path,
    /// A part of its path is a link or a file.
    Parent,
    /// A folder stands where it should go.
    Folder,
    /// A hard link to what is no file of this layer.
    Link,
    /// A name or number that its header does not tell soundly.
    Header,
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerUnpackError {
    /// The layer cannot be read.
    #[error("cannot read the layer: {source}")]
    Read {
        /// The system's or the decompressor's reason.
        source: io::Error,
    },
    /// The layer has more entries or bytes than a layer may have.
    #[error("the layer has more than {entries} entries or {bytes} bytes")]
    TooMuch { entries: u64, bytes: u64 },
    /// An entry that cannot be unpacked safely.
    #[error("{path}: {fault:?}")]
    Entry {
        /// Its path in the layer.
        path: String,
        /// What is wrong with it.
        fault: LayerEntryFault,
    },
    /// The mark of a removed path cannot be made here.
    #[error("{}: {source}", path.display())]
    Whiteout {
        /// The path that the layer removes.
        path: PathBuf,
        source: io::Error,
    },
    #[error("{}: {source}", path.display())]
    Write {
        /// Which file or folder.
        path: PathBuf,
        source: io::Error,
    },
}

impl Explain for LayerUnpackError {
    fn explain(&self) -> Explanation {
        let (class, what, place, why, next) = match self {
            Self::Read { source } => (
                ErrorClass::World,
                "a layer cannot be read",
                "the layer".to_owned(),
                source.to_string(),
                "drop it (`s2r cache prune`) and build again",
            ),
            Self::TooMuch { entries, bytes } => (
                ErrorClass::Project,
                "a layer is too large to be unpacked",
                "the layer".to_owned(),
                format!("at most {entries} entries and {bytes} bytes are unpacked"),
                "name a smaller base (--builder IMAGE)",
            ),
            Self::Entry { path, fault } => (
                ErrorClass::Project,
                "a layer has an entry that cannot be unpacked safely",
                path.clone(),
                match fault {
                    LayerEntryFault::Path => "its path leaves the image, or is too long",
                    LayerEntryFault::Parent => "a part of its path is no folder",
                    LayerEntryFault::Folder => "the layer has a folder of that name already",
                    LayerEntryFault::Link => {
                        "it is a hard link to a file that this layer does not have"
                    }
                    LayerEntryFault::Header => "its header is damaged or of an unknown kind",
                }
                .to_owned(),
                "name another base (--builder IMAGE); no usual tool makes such a layer",
            ),
            Self::Whiteout { path, source } => (
                ErrorClass::World,
                "a path that a layer removes cannot be marked as removed",
                path.display().to_string(),
                format!(
                    "the mark is a character device 0:0 or a `user.overlay` attribute: {source}"
                ),
                "put the store (S2R_STORE) on a file system such as ext4, xfs or tmpfs of a Linux 6.6 or later, or take a base without removed files",
            ),
            Self::Write { path, source } => (
                ErrorClass::World,
                "a layer cannot be unpacked",
                path.display().to_string(),
                source.to_string(),
                DISK,
            ),
        };
        Explanation {
            class,
            what: what.to_owned(),
            place,
            why,
            next: next.to_owned(),
        }
    }
}

pub(super) fn entry_error(path: &[u8], fault: LayerEntryFault) -> LayerUnpackError {
    LayerUnpackError::Entry {
        path: String::from_utf8_lossy(path).into_owned(),
        fault,
    }
}

pub(super) fn write_error(path: PathBuf, error: Errno) -> LayerUnpackError {
    LayerUnpackError::Write {
        path,
        source: error.into(),
    }
}

#[cfg(test)]
crate::report::samples! {
    enum LayerUnpackError {
        Read { source: crate::report::samples::denied() },
        TooMuch { entries: 1_000_000, bytes: 1 << 40 },
        Entry { path: "../etc/passwd".into(), fault: LayerEntryFault::Path },
        Entry { path: "a/b".into(), fault: LayerEntryFault::Parent },
        Entry { path: "a".into(), fault: LayerEntryFault::Folder },
        Entry { path: "a".into(), fault: LayerEntryFault::Link },
        Entry { path: "a".into(), fault: LayerEntryFault::Header },
        Whiteout { path: "/store/tmp/layer/etc/motd".into(), source: crate::report::samples::denied() },
        Write { path: "/store/tmp/layer/etc/motd".into(), source: crate::report::samples::denied() },
    }
}
