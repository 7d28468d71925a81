//! What has to lie ready on disk before a step starts, and what has to be cleared away after it.
//!
//! In a root's `scratch`: `points`, the lowest folder of all, with a place for every mount, so that
//! making one is no change of the step's; `links`, short names for the folders; `work`, the kernel's;
//! `root`, where they are joined; `hosts`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::error::SandboxError;
use super::spec::{BindMount, RootKind};
use super::{SandboxStep, StepFilesystem, StepMount};

/// Folders of one root; Linux allows 500.
const LOWER_LIMIT: usize = 400;

/// Places that the sandbox itself mounts on.
pub(super) const OWN_POINTS: &[&str] = &["/proc", "/dev", "/tmp"];

pub(super) fn points(root: &StepFilesystem) -> PathBuf {
    root.scratch.join("points")
}

/// What a step sees of the machine, its sources without links, and the files that a network needs.
pub(super) fn binds(
    root: &StepFilesystem,
    step: &SandboxStep,
) -> Result<Vec<BindMount>, SandboxError> {
    let mut binds = Vec::new();
    if step.has_network {
        binds.extend(optional("/etc/resolv.conf"));
    }
    let hosts = root.scratch.join("hosts");
    fs::write(&hosts, host_names(step.has_network)).map_err(|source| at(&hosts, source))?;
    binds.push(BindMount {
        from: absolute(&hosts)?,
        to: "/etc/hosts".to_owned(),
        is_writable: false,
        is_optional: true,
    });
    binds.retain(|bind| step.mounts.iter().all(|mount| mount.to != bind.to));
    for mount in &step.mounts {
        binds.push(BindMount {
            from: absolute(&mount.from)?,
            to: checked(mount)?,
            is_writable: mount.is_writable,
            is_optional: false,
        });
    }
    // A mount within another comes after it.
    binds.sort_by(|a, b| a.to.cmp(&b.to));
    Ok(binds)
}

fn optional(path: &str) -> Option<BindMount> {
    Some(BindMount {
        from: fs::canonicalize(path).ok()?,
        to: path.to_owned(),
        is_writable: false,
        is_optional: true,
    })
}

/// Names without a name server: the machine's own where the step may reach it, and ours.
fn host_names(has_network: bool) -> Vec<u8> {
    let mut names = if has_network {
        fs::read("/etc/hosts").unwrap_or_default()
    } else {
        b"127.0.0.1 localhost\n::1 localhost\n".to_vec()
    };
    if !names.is_empty() && !names.ends_with(b"\n") {
        names.push(b'\n');
    }
    names.extend(b"127.0.0.1 s2r\n");
    names
}

/// A place inside must be said plainly: absolute, and without climbing.
fn checked(mount: &StepMount) -> Result<String, SandboxError> {
    let path = Path::new(&mount.to);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && is_plain && path.parent().is_some() {
        Ok(mount.to.clone())
    } else {
        Err(SandboxError::Target {
            to: mount.to.clone(),
        })
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, SandboxError> {
    fs::canonicalize(path).map_err(|source| at(path, source))
}

/// Makes the lowest folder, with a place for each mount.
pub(super) fn make_points(root: &StepFilesystem, binds: &[BindMount]) -> Result<(), SandboxError> {
    let points = points(root);
    folder(&points)?;
    for own in OWN_POINTS {
        folder(&points.join(own.trim_start_matches('/')))?;
    }
    for bind in binds {
        let place = points.join(bind.to.trim_start_matches('/'));
        if bind.from.is_dir() {
            folder(&place)?;
        } else {
            if let Some(parent) = place.parent() {
                folder(parent)?;
            }
            if fs::symlink_metadata(&place).is_err() {
                fs::write(&place, "").map_err(|source| at(&place, source))?;
            }
        }
    }
    Ok(())
}

/// Makes a folder and its parents, with rights that do not depend on the caller's umask.
fn folder(path: &Path) -> Result<(), SandboxError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    fs::create_dir(path)
        .and_then(|()| open_to_all(path))
        .map_err(|source| at(path, source))
}

fn open_to_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Lays the links, anew each time: what lies over what may differ from step to step.
pub(super) fn overlay(root: &StepFilesystem) -> Result<RootKind, SandboxError> {
    let mut lower = vec![points(root)];
    lower.extend(root.lower.iter().cloned());
    if lower.len() > LOWER_LIMIT {
        return Err(SandboxError::Folders {
            count: lower.len(),
            limit: LOWER_LIMIT,
        });
    }
    let links = root.scratch.join("links");
    remove(&links)?;
    folder(&links)?;
    let work = root.scratch.join("work");
    let joined = root.scratch.join("root");
    folder(&work)?;
    folder(&joined)?;
    // The step's `/` has the rights of this one.
    fs::set_permissions(&root.upper, fs::Permissions::from_mode(root.top_mode))
        .map_err(|source| at(&root.upper, source))?;
    let named = lower
        .iter()
        .enumerate()
        .map(|(index, path)| (index.to_string(), path))
        .chain([("u".to_owned(), &root.upper), ("w".to_owned(), &work)]);
    for (name, path) in named {
        let link = links.join(name);
        symlink(absolute(path)?, &link).map_err(|source| at(&link, source))?;
    }
    Ok(RootKind::Overlay {
        links: absolute(&links)?,
        lower_count: lower.len(),
        at: absolute(&joined)?,
    })
}

/// Clears away what the kernel left: a folder without any rights, which stops an ordinary `rm -r`.
pub(super) fn clear(root: &StepFilesystem) {
    // Nothing of the outcome depends on it; whoever removes the scratch folder reports what stays.
    let _ = remove(&root.scratch.join("work"));
}

/// Removes a tree whatever rights its folders have, as only their owner can. Follows no link.
pub(crate) fn remove(path: &Path) -> Result<(), SandboxError> {
    match crate::host::remove_tree(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(at(path, source)),
    }
}

pub(super) fn at(path: &Path, source: io::Error) -> SandboxError {
    SandboxError::File {
        path: path.to_owned(),
        source,
    }
}
