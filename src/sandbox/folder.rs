//! A copy of the lower folders made fit for a step that has no mounts: devices, and what would be
//! mounted, copied in before and, where it may be written to, back afterwards.
//!
//! Nothing of the step runs while this works, but what earlier steps left must not lead it astray: no
//! link in the copy is followed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::copy;
use super::error::SandboxError;
use super::prepare::{at, remove};
use super::spec::BindMount;

/// Name, and numbers of `devices.txt` in the kernel's documentation.
const DEVICES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Makes a copy ready for a step.
pub(super) fn equip(top: &Path, binds: &[BindMount], user: (u32, u32)) -> Result<(), SandboxError> {
    devices(top)?;
    for (name, mode) in [("tmp", 0o1777), ("dev/shm", 0o1777)] {
        let path = top.join(name);
        remove(&path)?;
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|source| at(&path, source))?;
    }
    bring_in(top, binds)?;
    // All of it: what root alone may read is as good as not there.
    for bind in binds {
        if let Some(place) = place(top, &bind.to) {
            give(&place, user)?;
        }
    }
    Ok(())
}

/// Copies in what would be mounted.
pub(super) fn bring_in(top: &Path, binds: &[BindMount]) -> Result<(), SandboxError> {
    for bind in binds {
        let Some(place) = place(top, &bind.to) else {
            if bind.is_optional {
                continue;
            }
            return Err(SandboxError::Target {
                to: bind.to.clone(),
            });
        };
        remove_any(&place)?;
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(|source| at(parent, source))?;
        }
        copy::tree(&bind.from, &place)?;
    }
    Ok(())
}

/// Brings back what the step wrote where it might.
pub(super) fn bring_back(top: &Path, binds: &[BindMount]) -> Result<(), SandboxError> {
    for bind in binds.iter().filter(|bind| bind.is_writable) {
        let Some(place) = place(top, &bind.to) else {
            continue;
        };
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
        if is_folder(&bind.from) && is_folder(&place) {
            // From nothing: a link that an earlier step left there would be written through.
            for entry in fs::read_dir(&bind.from).map_err(|source| at(&bind.from, source))? {
                let entry = entry.map_err(|source| at(&bind.from, source))?;
                remove_any(&entry.path())?;
            }
            copy::tree(&place, &bind.from)?;
        } else if fs::symlink_metadata(&place).is_ok_and(|it| it.is_file()) {
            remove_any(&bind.from)?;
            copy::tree(&place, &bind.from)?;
        }
    }
    Ok(())
}

/// Where a path inside lies in the copy; `None` if a link is on the way.
fn place(top: &Path, to: &str) -> Option<PathBuf> {
    let mut place = top.to_owned();
    let mut parts = Path::new(to).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let last = parts.next_back()?;
    for part in parts {
        place.push(part);
        if fs::symlink_metadata(&place).is_ok_and(|metadata| !metadata.is_dir()) {
            return None;
        }
    }
    Some(place.join(last))
}

/// Removes whatever is there, a link as such.
fn remove_any(path: &Path) -> Result<(), SandboxError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove(path),
        Ok(_) => fs::remove_file(path).map_err(|source| at(path, source)),
        Err(_) => Ok(()),
    }
}

fn give(path: &Path, (user, group): (u32, u32)) -> Result<(), SandboxError> {
    let mut paths = vec![path.to_owned()];
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        paths.extend(
            super::changes::walk(path)?
                .into_iter()
                .map(|found| found.path),
        );
    }
    for path in paths {
        std::os::unix::fs::lchown(&path, Some(user), Some(group))
            .map_err(|source| at(&path, source))?;
    }
    Ok(())
}

/// Real devices where we may make them. Otherwise `/dev/null` is a file that takes what is written to
/// it, which is what nearly everybody wants of it.
fn devices(top: &Path) -> Result<(), SandboxError> {
    let folder = top.join("dev");
    remove_any(&folder)?;
    fs::create_dir(&folder).map_err(|source| at(&folder, source))?;
    for (name, major, minor) in DEVICES {
        let path = folder.join(name);
        let made = mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(*major, *minor),
        );
        if made.is_err() && *name != "null" {
            continue;
        }
        if made.is_err() {
            fs::write(&path, "").map_err(|source| at(&path, source))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
            .and_then(|()| chown(&path, Some(0), Some(0)))
            .map_err(|source| at(&path, source))?;
    }
    Ok(())
}
