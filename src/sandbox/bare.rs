//! No isolation at all: the machine is the root, and what a step would find at s2r's own places lies in a
//! tree beside it.
//!
//! Nothing can be mounted, so the lower folders are copied, and the step is told of the tree wherever
//! it would be told of a place: in its command, its folder and its environment. A path that stands in a
//! file is not seen, and names the machine's own place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::SandboxError;
use super::prepare::{absolute, at};
use super::spec::BindMount;
use super::{SandboxStep, StepFilesystem, StepMount};
use super::{copy, folder, prepare};

/// Where a step finds what is not the machine's.
const PLACES: &[&str] = &["/build", "/opt/app-root", "/run/s2r", "/tmp"];
/// Where programs of build requirements lie in a tree. Their first line names an interpreter by its place.
const PROGRAMS: &str = "build/env/bin";
/// Longest program whose first line is looked at; they are a few lines long.
const PROGRAM_BYTES: u64 = 64 << 10;

/// Lays the tree of a root ready; where it lies.
pub(super) fn lay(root: &StepFilesystem, mounts: &[StepMount]) -> Result<PathBuf, SandboxError> {
    let moved = |mount: &StepMount| SandboxError::Moved {
        from: mount.from.clone(),
        to: mount.to.clone(),
    };
    let mut binds = Vec::new();
    for mount in mounts {
        let is_ours = is_ours(&mount.to);
        if mount.is_writable || (!is_ours && mount.from != Path::new(&mount.to)) {
            return Err(moved(mount));
        }
        if is_ours {
            binds.push(BindMount {
                from: absolute(&mount.from)?,
                to: mount.to.clone(),
                is_writable: false,
                is_optional: false,
            });
        }
    }
    prepare::make_points(root, &[])?;
    let tree = copy::make(root, None)?;
    copy::note_mounts(root, &binds)?;
    let tree = absolute(&tree)?;
    folder::bring_in(&tree, &binds)?;
    mend_programs(&tree)?;
    Ok(tree)
}

/// A step that is told of a tree.
pub(super) fn told(step: &SandboxStep, tree: &Path) -> Result<SandboxStep, SandboxError> {
    let Some(tree) = tree.to_str() else {
        return Err(at(tree, std::io::ErrorKind::InvalidFilename.into()));
    };
    let mut told = step.clone();
    for word in &mut told.command {
        *word = moved(word, tree);
    }
    told.directory = if step.directory == "/" {
        tree.to_owned()
    } else {
        moved(&step.directory, tree)
    };
    for value in told.environment.values_mut() {
        // Some are lists, PATH first of all.
        let parts: Vec<String> = value.split(':').map(|part| moved(part, tree)).collect();
        *value = parts.join(":");
    }
    told.environment
        .insert("TMPDIR".to_owned(), format!("{tree}/tmp"));
    Ok(told)
}

/// Whether a path is at or below one of our places.
fn is_ours(path: &str) -> bool {
    PLACES.iter().any(|place| {
        path.strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn moved(path: &str, tree: &str) -> String {
    if is_ours(path) {
        format!("{tree}{path}")
    } else {
        path.to_owned()
    }
}

/// Has the programs of build requirements name the tree's interpreter.
fn mend_programs(tree: &Path) -> Result<(), SandboxError> {
    let folder = tree.join(PROGRAMS);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).map_err(|source| at(&path, source))?;
        if !metadata.is_file() || metadata.len() > PROGRAM_BYTES {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let here = tree.display().to_string();
        // An earlier step's are mended already, and the tree may lie at one of our places itself.
        let is_strange = |line: &&str| is_ours_first(line) && !line.starts_with(&here);
        let Some(rest) = text.strip_prefix("#!").filter(is_strange) else {
            continue;
        };
        let mended = format!("#!{here}{rest}");
        fs::remove_file(&path)
            .and_then(|()| fs::write(&path, mended))
            .and_then(|()| {
                fs::set_permissions(
                    &path,
                    fs::Permissions::from_mode(metadata.permissions().mode()),
                )
            })
            .map_err(|source| at(&path, source))?;
    }
    Ok(())
}

/// Whether the first word is one of our paths.
fn is_ours_first(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_ours_are_moved_and_no_others() {
        for (path, expected) in [
            ("/build/driver.py", "/t/build/driver.py"),
            ("/opt/app-root", "/t/opt/app-root"),
            ("/opt/app-rooted", "/opt/app-rooted"),
            ("/usr/bin/python3.13", "/usr/bin/python3.13"),
            ("/builder", "/builder"),
            ("opt/app-root", "opt/app-root"),
            ("", ""),
        ] {
            assert_eq!(moved(path, "/t"), expected);
        }
    }

    #[test]
    fn only_whole_first_words_count() {
        assert!(is_ours_first("/build/env/bin/python -I\n"));
        assert!(!is_ours_first("/usr/bin/env /build/env/bin/python\n"));
        assert!(!is_ours_first("\n"));
    }
}
