//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::oci::Digest;
use crate::report::{BUILD_AGAIN, ErrorClass, Explain, Explanation};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Bytes are not what their name promised.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// Where the bytes were to go.
        path: PathBuf,
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A blob is not there, or has other bytes than its name says.
    #[error("{} {}", path.display(), if *is_there { "is damaged" } else { "is missing" })]
    Blob {
        /// Where it lies, or would lie.
        path: PathBuf,
        digest: Digest,
        /// Whether something lies there.
        is_there: bool,
    },
    /// A document of the store cannot be read.
    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// A document of the store is whole, and neither an image's manifest nor an index of manifests.
    #[error("{}: {reason}", path.display())]
    UnknownForm { path: PathBuf, reason: String },
    /// Neither the list of images nor its copy can be read.
    #[error("{}: {reason}, and its copy cannot be read either", path.display())]
    ListLost {
        path: PathBuf,
        /// Where the copy lies, or would lie.
        copy: PathBuf,
        root: PathBuf,
        /// What is wrong with the list.
        reason: String,
    },
    /// A folder of the store is a link to another place.
    #[error("{} is a link", path.display())]
    Link { path: PathBuf },
    /// A folder that s2r empties is somebody else's.
    #[error("{} belongs to user {owner}, and this is user {user}", path.display())]
    Foreign {
        path: PathBuf,
        owner: u32,
        /// The number of who runs s2r.
        user: u32,
    },
    /// There is no such image.
    #[error("no image {name} in {}", root.display())]
    NoImage { name: String, root: PathBuf },
    /// Several images have this beginning of a digest.
    #[error("several images begin with {id}")]
    SeveralImages {
        id: String,
        /// Their digests, and names where they have them.
        found: Vec<String>,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl Explain for StoreError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Io { path, source } => Explanation {
                class: ErrorClass::World,
                what: "the store cannot be read or written".into(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "free some space (`s2r cache prune` removes what no image needs), or set S2R_STORE to a larger disk".into()
                    }
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        "set S2R_STORE to a folder that you may write to".into()
                    }
                    _ => "check the disk; the store can be deleted at any time and is made anew".into(),
                },
            },
            Self::Mismatch { path, expected, found } => Explanation {
                class: ErrorClass::World,
                what: "a file was written with other bytes than expected".into(),
                place: path.display().to_string(),
                why: format!("expected {expected}, found {found}; nothing was kept"),
                next: "run the command again; if it happens twice, check the disk and the memory of this machine".into(),
            },
            Self::Blob {
                path,
                digest,
                is_there,
            } => damaged_blob(path, digest, *is_there),
            Self::Damaged { path, reason } => Explanation {
                class: ErrorClass::World,
                what: "a file of the store is damaged".into(),
                place: path.display().to_string(),
                why: reason.clone(),
                next: "run `s2r cache verify`, which mends the store and lists the images to build again".into(),
            },
            Self::UnknownForm { path, reason } => unknown_form(path, reason),
            Self::ListLost {
                path,
                copy,
                root,
                reason,
            } => list_lost(path, copy, root, reason),
            Self::Link { path } => Explanation {
                class: ErrorClass::World,
                what: "a folder of the store is a link".into(),
                place: path.display().to_string(),
                why: "s2r empties it, and what it leads to may be somebody's".into(),
                next: format!("remove the link (`rm {}`); to have the store elsewhere, set S2R_STORE", path.display()),
            },
            Self::Foreign { path, owner, user } => Explanation {
                class: ErrorClass::World,
                what: "the store belongs to somebody else".into(),
                place: path.display().to_string(),
                why: format!("its owner is user {owner}, and this is user {user}"),
                next: "set S2R_STORE to a folder of your own".into(),
            },
            Self::NoImage { name, root } => Explanation {
                class: ErrorClass::CommandLine,
                what: format!("there is no image {name} in the store"),
                place: root.display().to_string(),
                why: "it is neither a name that `s2r build SOURCE IMAGE` gave, nor the first six or more digits of a digest".into(),
                next: "`s2r images` lists what is there".into(),
            },
            Self::SeveralImages { id, found } => Explanation {
                class: ErrorClass::CommandLine,
                what: format!("the digests of several images begin with {id}"),
                place: id.clone(),
                why: found.join("\n"),
                next: "type more of the digest, or a name".into(),
            },
        }
    }
}

/// A part of an image that is not in the store as it was, for the commands that cannot make it again.
fn damaged_blob(path: &Path, digest: &Digest, is_there: bool) -> Explanation {
    let (what, why) = if is_there {
        ("damaged", format!("its bytes are not those of {digest}"))
    } else {
        ("missing", format!("there is no {digest}"))
    };
    Explanation {
        class: ErrorClass::World,
        what: format!("a part of the image is {what} in the store"),
        place: path.display().to_string(),
        why,
        next: BUILD_AGAIN.into(),
    }
}

fn unknown_form(path: &Path, reason: &str) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what: "an image of the store has a form that s2r does not know".into(),
        place: path.display().to_string(),
        why: format!("it is neither a manifest nor an index of manifests: {reason}"),
        next: "use the program that has put it there; `s2r rm IMAGE` takes it out of the list"
            .into(),
    }
}

fn list_lost(path: &Path, copy: &Path, root: &Path, reason: &str) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what: "the list of the store's images is lost".into(),
        place: path.display().to_string(),
        why: format!(
            "{reason}; its copy {} is missing or damaged too. Without it nothing tells which files images need, so nothing was removed",
            copy.display()
        ),
        next: format!(
            "put the file back from a backup; if there is none, remove the store (`rm -r {}`) and build the images again",
            root.display()
        ),
    }
}

#[cfg(test)]
crate::report::samples! {
    enum StoreError {
        Io { path: "/store/index.json".into(), source: crate::report::samples::denied() },
        Io { path: "/store/index.json".into(), source: io::ErrorKind::StorageFull.into() },
        Io { path: "/store/index.json".into(), source: io::ErrorKind::UnexpectedEof.into() },
        Mismatch { path: "/store/downloads/aa11".into(), expected: Digest::of(b"a"), found: Digest::of(b"b") },
        Blob { path: "/store/blobs/sha256/aa11".into(), digest: Digest::of(b"a"), is_there: true },
        Blob { path: "/store/blobs/sha256/aa11".into(), digest: Digest::of(b"a"), is_there: false },
        Damaged { path: "/store/blobs/sha256/aa11".into(), reason: "expected value at line 1".into() },
        UnknownForm { path: "/store/blobs/sha256/aa11".into(), reason: "it has no config".into() },
        ListLost {
            path: "/store/index.json".into(),
            copy: "/store/index.json.old".into(),
            root: "/store".into(),
            reason: "expected value at line 1".into(),
        },
        Link { path: "/store/tmp".into() },
        Foreign { path: "/store/tmp".into(), owner: 0, user: 1001 },
        NoImage { name: "myimg".into(), root: "/store".into() },
        SeveralImages { id: "aa11bb".into(), found: vec!["sha256:aa11bb22 myimg".into(), "sha256:aa11bb33".into()] },
    }
}
