//! What steps changed in a root, in words that do not depend on how the root was made.
//!
//! An overlay's upper folder is read in the form that the kernel's documentation gives
//! (`filesystems/overlayfs.rst`, with `userxattr`): a removed name is a character device 0:0, and a
//! folder that hides those below carries `user.overlay.opaque`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::error::SandboxError;
use super::prepare::at;
use super::{Change, ChangeKind, Root};

/// Entries of one root.
const ENTRY_LIMIT: usize = 2_000_000;

/// The mark of a folder that hides those below it.
const OPAQUE: &str = "user.overlay.opaque";

/// What the steps of a root changed, sorted by the bytes of the paths. Sockets, pipes and devices are
/// left out: no image holds them. Folders that were only passed through may be among them, unchanged.
pub(crate) fn changes(root: &Root) -> Result<Vec<Change>, SandboxError> {
    let mut changes = of_upper(&root.upper)?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn of_upper(upper: &Path) -> Result<Vec<Change>, SandboxError> {
    let mut changes = Vec::new();
    let mut pending = vec![upper.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in entries(&folder)? {
            let path = folder.join(&entry);
            let metadata = fs::symlink_metadata(&path).map_err(|source| at(&path, source))?;
            let Some(kind) = kind_of(&path, &metadata)? else {
                continue;
            };
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            if changes.len() >= ENTRY_LIMIT {
                return Err(SandboxError::Entries {
                    path: upper.to_owned(),
                    limit: ENTRY_LIMIT,
                });
            }
            let within = path.strip_prefix(upper).unwrap_or(&path);
            changes.push(Change {
                path: within.as_os_str().as_bytes().to_vec(),
                kind,
                mode: metadata.permissions().mode() & 0o7777,
                file: path,
            });
        }
    }
    Ok(changes)
}

/// The names in a folder, even if a step took its rights away.
fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>, SandboxError> {
    let read = |folder: &Path| {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<Vec<_>>>()
    };
    read(folder).map_err(|source| at(folder, source))
}

fn kind_of(path: &Path, metadata: &fs::Metadata) -> Result<Option<ChangeKind>, SandboxError> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        Some(ChangeKind::Folder {
            is_opaque: is_opaque(path),
        })
    } else if kind.is_file() {
        Some(ChangeKind::File {
            size_bytes: metadata.len(),
        })
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(|source| at(path, source))?;
        Some(ChangeKind::Link {
            target: target.as_os_str().as_bytes().to_vec(),
        })
    } else if is_whiteout(metadata) {
        Some(ChangeKind::Removed)
    } else {
        None
    })
}

/// The mark of a name that is gone.
pub(super) fn is_whiteout(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether a folder hides those below it.
pub(super) fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::lgetxattr(path, OPAQUE, &mut value).is_ok_and(|length| length == 1)
        && value == *b"y"
}
