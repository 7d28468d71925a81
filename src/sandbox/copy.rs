//! Where folders cannot be laid over each other: a copy of them, and what changed in it since.
//!
//! The copy lies in a root's scratch folder, and stays for all its steps. When it was finished, a
//! file was written beside it: what has not been touched since (its change time, which no program
//! can set) is as it was, and only the rest is compared. No clock is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::changes::{FoundEntry, is_opaque, is_whiteout, kind_of, walk};
use super::error::SandboxError;
use super::prepare::{OWN_POINTS, at, points, remove};
use super::spec::BindMount;
use super::{ChangeKind, RootChange, StepFilesystem};

/// Where the copy is.
pub(super) fn place(root: &StepFilesystem) -> PathBuf {
    root.scratch.join("copy")
}

/// Written when the copy is whole.
fn stamp(root: &StepFilesystem) -> PathBuf {
    root.scratch.join("copied")
}

/// Whether the steps of this root run in a copy.
pub(super) fn is_there(root: &StepFilesystem) -> bool {
    stamp(root).exists()
}

/// What one lies over the other: for each path the folder that shows.
type JoinedTree = BTreeMap<PathBuf, PathBuf>;

/// Joins the lower folders in mind, as the kernel would; relative paths, and where their file lies.
fn join(root: &StepFilesystem, lower: &[PathBuf]) -> Result<JoinedTree, SandboxError> {
    let mut joined = JoinedTree::new();
    let lowest = points(root);
    for folder in std::iter::once(&lowest).chain(lower) {
        for FoundEntry { path, metadata, .. } in walk(folder)? {
            let within = path.strip_prefix(folder).unwrap_or(&path).to_owned();
            let hides = is_whiteout(&metadata)
                || !metadata.is_dir()
                || is_opaque(&path)
                || joined
                    .get(&within)
                    .is_some_and(|old| !old.is_dir() || old.is_symlink());
            if hides {
                hide(&mut joined, &within);
            }
            if metadata.is_dir() || metadata.is_file() || metadata.is_symlink() {
                joined.insert(within, path);
            }
        }
    }
    Ok(joined)
}

/// Takes a path and everything below it away.
fn hide(joined: &mut JoinedTree, path: &Path) {
    if joined.remove(path).is_none() {
        return;
    }
    let below: Vec<PathBuf> = joined
        .range(path.to_owned()..)
        .map(|(path, _)| path)
        .take_while(|below| below.starts_with(path))
        .cloned()
        .collect();
    for path in below {
        joined.remove(&path);
    }
}

/// Makes the copy, if it is not there yet. Owners become the caller's, as they seem to be in a user
/// namespace with one user; `owner` gives it to another.
pub(super) fn make(
    root: &StepFilesystem,
    owner: Option<(u32, u32)>,
) -> Result<PathBuf, SandboxError> {
    let copy = place(root);
    if is_there(root) {
        if noted_lower(root) != root.lower {
            renew(root, &copy, owner)?;
        }
        return Ok(copy);
    }
    // What an interrupted try left.
    remove(&copy)?;
    fs::create_dir(&copy).map_err(|source| at(&copy, source))?;
    let joined = join(root, &root.lower)?;
    let mut folders = vec![(copy.clone(), 0o755)];
    // Parents come before their children.
    for (within, from) in &joined {
        let to = copy.join(within);
        let metadata = fs::symlink_metadata(from).map_err(|source| at(from, source))?;
        if metadata.is_dir() {
            fs::create_dir(&to).map_err(|source| at(&to, source))?;
            folders.push((to.clone(), metadata.permissions().mode() & 0o7777));
        } else {
            entry(from, &to, &metadata)?;
        }
        if let Some((user, group)) = owner {
            std::os::unix::fs::lchown(&to, Some(user), Some(group))
                .map_err(|source| at(&to, source))?;
        }
    }
    // Last, or a folder without the right to write could not be filled.
    for (folder, mode) in folders.iter().rev() {
        fs::set_permissions(folder, fs::Permissions::from_mode(*mode))
            .map_err(|source| at(folder, source))?;
    }
    if let Some((user, group)) = owner {
        std::os::unix::fs::chown(&copy, Some(user), Some(group))
            .map_err(|source| at(&copy, source))?;
    }
    note_lower(root)?;
    let stamp = stamp(root);
    fs::write(&stamp, "").map_err(|source| at(&stamp, source))?;
    Ok(copy)
}

/// The folders that the copy was made of.
fn lower_list(root: &StepFilesystem) -> PathBuf {
    root.scratch.join("copied-from")
}

fn noted_lower(root: &StepFilesystem) -> Vec<PathBuf> {
    fs::read(lower_list(root))
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect()
}

fn note_lower(root: &StepFilesystem) -> Result<(), SandboxError> {
    let path = lower_list(root);
    let list: Vec<&[u8]> = root
        .lower
        .iter()
        .map(|path| path.as_os_str().as_bytes())
        .collect();
    fs::write(&path, list.join(&0)).map_err(|source| at(&path, source))
}

/// Follows a change of the lower folders between two steps, as an overlay would: what steps have
/// changed stays on top. The stamp stays as well, so that what is new here is compared later.
fn renew(
    root: &StepFilesystem,
    copy: &Path,
    owner: Option<(u32, u32)>,
) -> Result<(), SandboxError> {
    let before = join(root, &noted_lower(root))?;
    let now = join(root, &root.lower)?;
    // Children before their parents.
    for (within, from) in before.iter().rev() {
        if now.get(within) == Some(from) {
            continue;
        }
        let to = copy.join(within);
        let Ok(metadata) = fs::symlink_metadata(&to) else {
            continue;
        };
        if metadata.is_dir() {
            if !now
                .get(within)
                .is_some_and(|now| now.is_dir() && !now.is_symlink())
            {
                // Stays if a step put something in it.
                let _ = fs::remove_dir(&to);
            }
        } else if is_equal(from, &to, &metadata)? {
            fs::remove_file(&to).map_err(|source| at(&to, source))?;
        }
    }
    for (within, from) in &now {
        let to = copy.join(within);
        let is_old = before.get(within) == Some(from);
        // Whatever is there is a step's; and what a step removed stays so.
        if is_old || fs::symlink_metadata(&to).is_ok() || !to.parent().is_some_and(Path::is_dir) {
            continue;
        }
        let metadata = fs::symlink_metadata(from).map_err(|source| at(from, source))?;
        if metadata.is_dir() {
            fs::create_dir(&to)
                .and_then(|()| fs::set_permissions(&to, metadata.permissions()))
                .map_err(|source| at(&to, source))?;
        } else {
            entry(from, &to, &metadata)?;
        }
        if let Some((user, group)) = owner {
            std::os::unix::fs::lchown(&to, Some(user), Some(group))
                .map_err(|source| at(&to, source))?;
        }
    }
    note_lower(root)
}

/// Copies a file or a link; anything else has no place in an image.
fn entry(from: &Path, to: &Path, metadata: &fs::Metadata) -> Result<(), SandboxError> {
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(|source| at(from, source))?;
        return symlink(target, to).map_err(|source| at(to, source));
    }
    if !metadata.is_file() {
        return Ok(());
    }
    // Shares the blocks where the file system can.
    fs::copy(from, to).map_err(|source| at(from, source))?;
    let time = metadata.modified().map_err(|source| at(from, source))?;
    let file = fs::File::open(to).map_err(|source| at(to, source))?;
    file.set_modified(time).map_err(|source| at(to, source))?;
    fs::set_permissions(
        to,
        fs::Permissions::from_mode(metadata.permissions().mode() & 0o7777),
    )
    .map_err(|source| at(to, source))
}

/// Notes where something of the machine is seen, which is no part of the root.
pub(super) fn note_mounts(root: &StepFilesystem, binds: &[BindMount]) -> Result<(), SandboxError> {
    let path = mounted(root);
    let mut noted = mounts(root);
    noted.extend(
        binds
            .iter()
            .map(|bind| bind.to.trim_start_matches('/').to_owned()),
    );
    let text: Vec<u8> = serde_json::to_vec(&noted).unwrap_or_default();
    fs::write(&path, text).map_err(|source| at(&path, source))
}

fn mounted(root: &StepFilesystem) -> PathBuf {
    root.scratch.join("mounted")
}

fn mounts(root: &StepFilesystem) -> BTreeSet<String> {
    fs::read(mounted(root))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// What steps changed in the copy.
pub(super) fn changes(root: &StepFilesystem) -> Result<Vec<RootChange>, SandboxError> {
    let copy = place(root);
    let stamp = stamp(root);
    let finished = fs::symlink_metadata(&stamp).map_err(|source| at(&stamp, source))?;
    let finished = (finished.ctime(), finished.ctime_nsec());
    let mut gone = join(root, &root.lower)?;
    let mut outside = mounts(root);
    outside.extend(
        OWN_POINTS
            .iter()
            .map(|own| own.trim_start_matches('/').to_owned()),
    );
    let mut changes = Vec::new();
    for FoundEntry { path, metadata, .. } in walk(&copy)? {
        let within = path.strip_prefix(&copy).unwrap_or(&path).to_owned();
        let before = gone.remove(&within);
        if outside.iter().any(|outside| within.starts_with(outside)) {
            continue;
        }
        // Within the same tick of the kernel's clock it may be either.
        let is_touched = (metadata.ctime(), metadata.ctime_nsec()) >= finished;
        let is_same = match &before {
            Some(before) => !is_touched || is_equal(before, &path, &metadata)?,
            None => false,
        };
        let Some(mut kind) = kind_of(&path, &metadata)? else {
            continue;
        };
        if is_same {
            continue;
        }
        if let ChangeKind::Folder { is_opaque } = &mut kind {
            // A folder in the place of something else.
            *is_opaque = before.is_some_and(|before| !before.is_dir() || before.is_symlink());
        }
        changes.push(RootChange {
            path: within.into_os_string().into_vec(),
            kind,
            mode: metadata.permissions().mode() & 0o7777,
            file: path,
        });
    }
    gone.retain(|within, _| !outside.iter().any(|outside| within.starts_with(outside)));
    changes.extend(removed(&gone, &copy));
    Ok(changes)
}

/// What was there before and is not now; of a whole folder only itself.
fn removed(gone: &JoinedTree, copy: &Path) -> Vec<RootChange> {
    let mut removed: Vec<RootChange> = Vec::new();
    let mut last: Option<&Path> = None;
    for within in gone.keys() {
        let has_parent = within.parent().is_none_or(|parent| {
            fs::symlink_metadata(copy.join(parent)).is_ok_and(|it| it.is_dir())
        });
        if last.is_some_and(|last| within.starts_with(last)) || !has_parent {
            continue;
        }
        last = Some(within);
        removed.push(RootChange {
            path: within.as_os_str().as_bytes().to_vec(),
            kind: ChangeKind::Removed,
            mode: 0,
            file: copy.join(within),
        });
    }
    removed
}

/// Whether two entries are the same to an image: kind, rights, bytes.
fn is_equal(before: &Path, now: &Path, metadata: &fs::Metadata) -> Result<bool, SandboxError> {
    let old = fs::symlink_metadata(before).map_err(|source| at(before, source))?;
    if old.file_type() != metadata.file_type() {
        return Ok(false);
    }
    if metadata.is_symlink() {
        let same = fs::read_link(before)
            .and_then(|before| Ok(before == fs::read_link(now)?))
            .map_err(|source| at(now, source))?;
        return Ok(same);
    }
    if (old.permissions().mode() ^ metadata.permissions().mode()) & 0o7777 != 0 {
        return Ok(false);
    }
    if !metadata.is_file() {
        return Ok(true);
    }
    if old.len() != metadata.len() {
        return Ok(false);
    }
    has_same_bytes(before, now).map_err(|source| at(now, source))
}

fn has_same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    /// How many bytes are read at once.
    const CHUNK_BYTES: u64 = 64 << 10;
    let mut one = fs::File::open(one)?;
    let mut other = fs::File::open(other)?;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(CHUNK_BYTES).read_to_end(&mut left)?;
        other.by_ref().take(CHUNK_BYTES).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// For what is mounted: copies a file or folder as it is, rights included, links as links.
pub(super) fn tree(from: &Path, to: &Path) -> Result<(), SandboxError> {
    let metadata = fs::symlink_metadata(from).map_err(|source| at(from, source))?;
    if !metadata.is_dir() {
        return entry(from, to, &metadata);
    }
    fs::create_dir_all(to).map_err(|source| at(to, source))?;
    let mut folders = Vec::new();
    for FoundEntry { path, metadata, .. } in walk(from)? {
        let within = path.strip_prefix(from).unwrap_or(OsStr::new("").as_ref());
        let to = to.join(within);
        if metadata.is_dir() {
            fs::create_dir_all(&to).map_err(|source| at(&to, source))?;
            folders.push((to, metadata.permissions()));
        } else {
            entry(&path, &to, &metadata)?;
        }
    }
    // Last, or a folder without the right to write could not be filled.
    for (folder, rights) in folders.into_iter().rev() {
        fs::set_permissions(&folder, rights).map_err(|source| at(&folder, source))?;
    }
    Ok(())
}
