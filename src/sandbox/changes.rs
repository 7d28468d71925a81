//! What steps changed in a root, in words that do not depend on how the root was made.
//!
//! An overlay's upper folder is read in the form that the kernel's documentation gives
//! (`filesystems/overlayfs.rst`, with `userxattr`): a removed name is a character device 0:0, and a
//! folder that hides those below carries `user.overlay.opaque`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::SandboxError;
use super::prepare::at;
use super::{ChangeKind, RootChange, StepFilesystem, copy};

/// Entries of one root.
const ENTRY_LIMIT: usize = 2_000_000;

/// Folders within each other, and bytes of a path. Who reads an image wants to name its files in one go.
const DEPTH_LIMIT: usize = 512;
const PATH_BYTES: usize = 3_500;

/// How long one tree may take to be looked through.
const WALK_TIME: Duration = Duration::from_mins(5);

/// The mark of a folder that hides those below it.
const OPAQUE: &str = "user.overlay.opaque";

/// What the steps of a root changed, sorted by the bytes of the paths. Sockets, pipes and devices are
/// left out: no image holds them. Folders that were only passed through may be among them, unchanged.
/// A root whose steps ran without isolation has none.
pub(crate) fn changes(root: &StepFilesystem) -> Result<Vec<RootChange>, SandboxError> {
    let mut changes = if copy::is_there(root) {
        copy::changes(root)?
    } else {
        of_upper(&root.upper)?
    };
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn of_upper(upper: &Path) -> Result<Vec<RootChange>, SandboxError> {
    let mut changes = Vec::new();
    for FoundEntry {
        path,
        metadata,
        mode,
    } in walk(upper)?
    {
        let Some(kind) = kind_of(&path, &metadata)? else {
            continue;
        };
        let within = path.strip_prefix(upper).unwrap_or(&path);
        changes.push(RootChange {
            path: within.as_os_str().as_bytes().to_vec(),
            mode: if kind == ChangeKind::Removed { 0 } else { mode },
            kind,
            file: path,
        });
    }
    Ok(changes)
}

/// An entry of a tree.
pub(super) struct FoundEntry {
    pub path: PathBuf,
    pub metadata: fs::Metadata,
    pub mode: u32,
}

/// Everything below a folder, parents first; follows no link.
pub(super) fn walk(top: &Path) -> Result<Vec<FoundEntry>, SandboxError> {
    let mut found = Vec::new();
    let started = Instant::now();
    let mut pending = vec![top.to_owned()];
    while let Some(folder) = pending.pop() {
        let within = folder.strip_prefix(top).unwrap_or(&folder);
        let is_deep =
            within.components().count() > DEPTH_LIMIT || within.as_os_str().len() > PATH_BYTES;
        if is_deep || started.elapsed() > WALK_TIME {
            return Err(SandboxError::Tangled {
                path: top.to_owned(),
                levels: DEPTH_LIMIT,
                path_bytes: PATH_BYTES,
                seconds: WALK_TIME.as_secs(),
            });
        }
        for name in names(&folder).map_err(|source| at(&folder, source))? {
            let path = folder.join(name);
            let metadata = fs::symlink_metadata(&path).map_err(|source| at(&path, source))?;
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            if found.len() >= ENTRY_LIMIT {
                return Err(SandboxError::Entries {
                    path: top.to_owned(),
                    limit: ENTRY_LIMIT,
                });
            }
            found.push(FoundEntry {
                path,
                mode: metadata.permissions().mode() & 0o7777,
                metadata,
            });
        }
    }
    Ok(found)
}

/// The names in a folder. If a step took the right to read it from its owner, who is us, we take it
/// back: the mode that counts has been noted before.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let read = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            read()
        }
        names => names,
    }
}

/// What an entry is to an image; `None` for what no image holds.
pub(super) fn kind_of(
    path: &Path,
    metadata: &fs::Metadata,
) -> Result<Option<ChangeKind>, SandboxError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root(lower: usize) -> (tempfile::TempDir, StepFilesystem) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: String| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let root = StepFilesystem {
            lower: (0..lower)
                .map(|index| at(format!("lower{index}")))
                .collect(),
            upper: at("upper".into()),
            top_mode: 0o755,
            scratch: at("scratch".into()),
        };
        fs::create_dir(root.scratch.join("points")).unwrap();
        (folder, root)
    }

    fn whiteout(path: &Path) {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            0,
        )
        .unwrap();
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn shown(root: &StepFilesystem) -> Vec<String> {
        changes(root)
            .unwrap()
            .into_iter()
            .map(|change| {
                let path = String::from_utf8_lossy(&change.path).into_owned();
                match change.kind {
                    ChangeKind::Folder { is_opaque } => {
                        let mark = if is_opaque { "!" } else { "" };
                        format!("{path}/{mark} {:o}", change.mode)
                    }
                    ChangeKind::File { size_bytes } => {
                        format!("{path} {size_bytes} {:o}", change.mode)
                    }
                    ChangeKind::Link { target } => {
                        format!("{path} -> {}", String::from_utf8_lossy(&target))
                    }
                    ChangeKind::Removed => format!("-{path}"),
                }
            })
            .collect()
    }

    #[test]
    fn an_upper_folder_is_read_as_the_kernel_writes_it() {
        let (_folder, root) = root(0);
        let upper = &root.upper;
        fs::create_dir(upper.join("b")).unwrap();
        mode(&upper.join("b"), 0o750);
        fs::create_dir(upper.join("opaque")).unwrap();
        mode(&upper.join("opaque"), 0o755);
        rustix::fs::setxattr(
            upper.join("opaque"),
            OPAQUE,
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        fs::write(upper.join("b/file"), "four").unwrap();
        mode(&upper.join("b/file"), 0o4711);
        symlink("/etc/passwd", upper.join("link")).unwrap();
        whiteout(&upper.join("gone"));
        std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
        assert_eq!(
            shown(&root),
            [
                "b/ 750",
                "b/file 4 4711",
                "-gone",
                "link -> /etc/passwd",
                "opaque/! 755"
            ]
        );
    }

    #[test]
    fn deep_trees_and_long_paths_are_refused() {
        for (name, levels) in [("x".to_owned(), 600), ("y".repeat(200), 30)] {
            let (folder, root) = root(0);
            let mut at = rustix::fs::open(
                &root.upper,
                rustix::fs::OFlags::DIRECTORY,
                rustix::fs::Mode::empty(),
            )
            .unwrap();
            for _ in 0..levels {
                rustix::fs::mkdirat(&at, &name, rustix::fs::Mode::RWXU).unwrap();
                at = rustix::fs::openat(
                    &at,
                    &name,
                    rustix::fs::OFlags::DIRECTORY,
                    rustix::fs::Mode::empty(),
                )
                .unwrap();
            }
            let refused = changes(&root).unwrap_err();
            assert!(matches!(refused, SandboxError::Tangled { .. }), "{refused}");
            let top = folder.path().join("upper");
            let removed = std::process::Command::new("rm").arg("-r").arg(top).status();
            assert!(removed.unwrap().success());
        }
    }

    #[test]
    fn a_copy_joins_folders_as_an_overlay_does_and_tells_the_same() {
        let (_folder, root) = root(2);
        let [low, high] = root.lower.as_slice() else {
            panic!("two folders");
        };
        for (folder, name) in [
            (low, "both"),
            (high, "both"),
            (low, "hidden"),
            (high, "hidden"),
            (low, "gone"),
        ] {
            fs::create_dir(folder.join(name)).unwrap();
            mode(&folder.join(name), 0o755);
        }
        fs::write(low.join("both/low"), "l").unwrap();
        fs::write(high.join("both/high"), "h").unwrap();
        fs::write(low.join("hidden/low"), "l").unwrap();
        fs::write(low.join("gone/low"), "l").unwrap();
        fs::write(low.join("file"), "old").unwrap();
        fs::write(high.join("file"), "new").unwrap();
        symlink("file", low.join("link")).unwrap();
        whiteout(&high.join("gone"));
        rustix::fs::setxattr(
            high.join("hidden"),
            OPAQUE,
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();

        let copy = copy::make(&root, None).unwrap();
        assert_eq!(fs::read_to_string(copy.join("file")).unwrap(), "new");
        assert!(copy.join("both/low").exists() && copy.join("both/high").exists());
        assert!(!copy.join("hidden/low").exists() && !copy.join("gone").exists());
        assert_eq!(shown(&root), [""; 0]);

        // The same bytes once more are no change.
        fs::write(copy.join("file"), "new").unwrap();
        fs::write(copy.join("both/high"), "H").unwrap();
        fs::remove_file(copy.join("link")).unwrap();
        fs::create_dir(copy.join("link")).unwrap();
        mode(&copy.join("link"), 0o700);
        fs::remove_dir_all(copy.join("hidden")).unwrap();
        mode(&copy.join("both/low"), 0o600);
        fs::write(copy.join("fresh"), "").unwrap();
        mode(&copy.join("fresh"), 0o644);
        assert_eq!(
            shown(&root)
                .iter()
                .filter(|line| !line.starts_with("both/ "))
                .collect::<Vec<_>>(),
            [
                "both/high 1 644",
                "both/low 1 600",
                "fresh 0 644",
                "-hidden",
                "link/! 700"
            ]
        );
        // A second step goes on in the same copy.
        assert_eq!(copy::make(&root, None).unwrap(), copy);
        assert!(copy.join("fresh").exists());
    }

    #[test]
    fn a_locked_folder_tells_all_the_same() {
        let (_folder, root) = root(0);
        fs::create_dir(root.upper.join("locked")).unwrap();
        fs::write(root.upper.join("locked/file"), "").unwrap();
        mode(&root.upper.join("locked/file"), 0o644);
        mode(&root.upper.join("locked"), 0);
        assert_eq!(shown(&root), ["locked/ 0", "locked/file 0 644"]);
    }
}
