//! The layer of what a step changed: files that are new or other, and marks of what is gone.
//!
//! Format: "Image Layer Filesystem Changeset" of the OCI image specification, whiteouts included.
//! Below `opt/app-root` everything belongs to user 1001 and group 0, and the group has the owner's
//! rights, whoever made it: so the other layers have it, and so any user of group 0 may write there.
//! Elsewhere files are the system's. Set-user-id and set-group-id bits are dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::archive::tar::{self, EntryOwner, LayerWriter};
use crate::report::{DISK, ErrorClass, Explain, Explanation};

/// All below it is the application's.
const APP_ROOT: &[u8] = b"opt/app-root";

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathChange {
    /// A folder that is new or has another mode; `is_opaque` hides what lies below.
    Folder {
        /// Nothing of the layers below shows through.
        is_opaque: bool,
    },
    /// A file that is new or other.
    File {
        /// Its length in bytes.
        size_bytes: u64,
    },
    Link {
        target: Vec<u8>,
    },
    Removed,
}

/// One difference between an image before and after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerChange {
    /// Its path without a leading `/`.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: PathChange,
    pub mode: u32,
    /// Where its bytes lie on the machine.
    pub file: PathBuf,
}

/// Why the layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangesLayerError {
    /// A changed file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The layer cannot hold an entry, or its sink failed.
    #[error(transparent)]
    Tar(#[from] tar::TarError),
}

impl Explain for ChangesLayerError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Read { path, source } => Explanation {
                class: ErrorClass::World,
                what: "a file that a step wrote cannot be read".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: DISK.to_owned(),
            },
            Self::Tar(error) => error.explain(),
        }
    }
}

/// Writes the layer, in any order of `changes`; the caller finishes `out`.
///
/// # Errors
/// A file that cannot be read or is not as long as announced; a name that a layer cannot hold; the
/// sink's failure.
pub(crate) fn write<W: Write>(
    changes: &[LayerChange],
    out: &mut LayerWriter<W>,
) -> Result<(), ChangesLayerError> {
    for (path, entry) in entries(changes) {
        match entry {
            ChangedEntry::Parent => out.directory(&path, &owner(&path, 0o755, true))?,
            ChangedEntry::Removed(removed) => out.removed(removed)?,
            ChangedEntry::Opaque(folder) => out.opaque(folder)?,
            ChangedEntry::Change(change) => match &change.kind {
                PathChange::Folder { .. } => {
                    out.directory(&path, &owner(&path, change.mode, true))?;
                }
                PathChange::Link { target } => {
                    out.symlink(&path, target, &owner(&path, 0o777, false))?;
                }
                PathChange::File { size_bytes } => {
                    let mut file =
                        File::open(&change.file).map_err(|source| ChangesLayerError::Read {
                            path: change.file.clone(),
                            source,
                        })?;
                    let owner = owner(&path, change.mode, false);
                    out.file(&path, &owner, *size_bytes, &mut file)?;
                }
                PathChange::Removed => {}
            },
        }
    }
    Ok(())
}

/// What stands at a path of the layer.
#[derive(Debug, Clone, Copy)]
enum ChangedEntry<'a> {
    /// A folder above a change, as every layer writes it.
    Parent,
    Change(&'a LayerChange),
    /// The mark of this path's removal.
    Removed(&'a [u8]),
    /// The mark that this folder hides the layers below.
    Opaque(&'a [u8]),
}

/// The layer's entries by path: changes, their marks, and the folders above them.
fn entries(changes: &[LayerChange]) -> BTreeMap<Vec<u8>, ChangedEntry<'_>> {
    let mut entries = BTreeMap::new();
    for change in changes {
        let path = change.path.as_slice();
        for (at, _) in path.iter().enumerate().filter(|&(_, &byte)| byte == b'/') {
            entries
                .entry(path[..at].to_vec())
                .or_insert(ChangedEntry::Parent);
        }
        match change.kind {
            PathChange::Removed => {
                let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
                    Some(slash) => path.split_at(slash + 1),
                    None => (b"".as_slice(), path),
                };
                let mark = [folder, b".wh.".as_slice(), name].concat();
                entries.insert(mark, ChangedEntry::Removed(path));
            }
            PathChange::Folder { is_opaque } => {
                entries.insert(path.to_vec(), ChangedEntry::Change(change));
                if is_opaque {
                    let mark = [path, b"/.wh..wh..opq".as_slice()].concat();
                    entries.insert(mark, ChangedEntry::Opaque(path));
                }
            }
            PathChange::File { .. } | PathChange::Link { .. } => {
                entries.insert(path.to_vec(), ChangedEntry::Change(change));
            }
        }
    }
    entries
}

/// Whose a path is, and what may be done with it.
fn owner(path: &[u8], mode: u32, is_folder: bool) -> EntryOwner {
    let is_app = path
        .strip_prefix(APP_ROOT)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    // A folder that its owner cannot enter is of no use to anybody.
    let mode = mode & 0o777 | if is_folder { 0o700 } else { 0 };
    if is_app {
        let as_owner = (mode & 0o700) >> 3;
        EntryOwner {
            uid: 1001,
            gid: 0,
            mode: mode & 0o707 | as_owner,
        }
    } else {
        EntryOwner {
            uid: 0,
            gid: 0,
            mode,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ChangesLayerError {
        Read { path: "/store/tmp/upper/static/app.css".into(), source: crate::report::samples::denied() },
        Tar(tar::TarError::Write(crate::report::samples::denied())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::archive::tar::{CompressionEffort, TarOptions};
    use crate::layers::testing::listing;

    fn change(path: &str, kind: PathChange, mode: u32) -> LayerChange {
        LayerChange {
            path: path.as_bytes().to_vec(),
            kind,
            mode,
            file: PathBuf::from("/dev/null"),
        }
    }

    fn layer(changes: &[LayerChange]) -> Result<Vec<u8>, ChangesLayerError> {
        let options = TarOptions {
            mtime: 7,
            effort: CompressionEffort::Usual,
        };
        let mut out = LayerWriter::new(Vec::new(), options);
        write(changes, &mut out)?;
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(out.finish()?.0.as_slice())
            .read_to_end(&mut bytes)
            .unwrap();
        Ok(bytes)
    }

    #[test]
    fn changes_are_a_layer_in_whichever_order_they_come() {
        let mut changes = vec![
            change(
                "opt/app-root/src/static",
                PathChange::Folder { is_opaque: true },
                0o700,
            ),
            change(
                "opt/app-root/src/static/a.css",
                PathChange::File { size_bytes: 0 },
                0o4640,
            ),
            change("opt/app-root/src/old", PathChange::Removed, 0),
            change(
                "opt/app-root/src/run",
                PathChange::File { size_bytes: 0 },
                0o755,
            ),
            change(
                "opt/app-root/src/link",
                PathChange::Link {
                    target: b"run".to_vec(),
                },
                0,
            ),
            change("etc/x", PathChange::File { size_bytes: 0 }, 0o640),
            change("gone", PathChange::Removed, 0),
        ];
        let bytes = layer(&changes).unwrap();
        assert_eq!(
            listing(bytes.as_slice()),
            [
                "0 0:0 .wh.gone",
                "755 0:0 etc/",
                "640 0:0 etc/x",
                "755 0:0 opt/",
                "775 1001:0 opt/app-root/",
                "775 1001:0 opt/app-root/src/",
                "0 0:0 opt/app-root/src/.wh.old",
                "777 1001:0 opt/app-root/src/link -> run",
                "775 1001:0 opt/app-root/src/run",
                "770 1001:0 opt/app-root/src/static/",
                "0 0:0 opt/app-root/src/static/.wh..wh..opq",
                "660 1001:0 opt/app-root/src/static/a.css",
            ]
        );
        changes.reverse();
        assert_eq!(layer(&changes).unwrap(), bytes);
    }

    #[test]
    fn a_step_cannot_write_marks_of_its_own() {
        let kind = PathChange::File { size_bytes: 0 };
        let error = layer(&[change("opt/.wh.x", kind, 0o644)]).unwrap_err();
        assert!(matches!(
            error,
            ChangesLayerError::Tar(tar::TarError::Path { .. })
        ));
        let error = layer(&[change("a/..", PathChange::Removed, 0)]).unwrap_err();
        assert!(matches!(
            error,
            ChangesLayerError::Tar(tar::TarError::Path { .. })
        ));
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let mut gone = change("a", PathChange::File { size_bytes: 0 }, 0o644);
        gone.file = PathBuf::from("/nowhere/a");
        let error = layer(&[gone]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/a"), "{error}");
    }
}
