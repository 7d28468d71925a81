//! Trees of folders, walked by descriptors: two are open at a time, no path is longer than a name, and
//! nothing recurses, so that no depth is too deep. Links are never followed, and other file systems
//! are not entered.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, fchmod, fstat, openat, seek,
    statat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

/// What an owner needs to empty a folder.
const OWNERS: Mode = Mode::RWXU;

/// Entries are read in pieces of this many bytes.
const PIECE_BYTES: usize = 16 << 10;

/// What a tree takes, or took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TreeSize {
    /// Everything in it that is no folder.
    pub files: u64,
    pub bytes: u64,
}

impl TreeSize {
    fn add(&mut self, status: &Stat) {
        self.files += 1;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(status.st_size).unwrap_or(0));
    }
}

/// A folder, whatever its name is now: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FolderId(u64, u64);

impl FolderId {
    #[allow(
        clippy::useless_conversion,
        clippy::allow_attributes,
        reason = "the fields' width differs from processor to processor"
    )]
    fn of(status: &Stat) -> Self {
        Self(u64::from(status.st_dev), u64::from(status.st_ino))
    }
}

/// Removes what a path names, all that is in it too, and says what that was. What is not there is no
/// error. Folders that lack their owner's rights, as overlays and steps leave them, get them first.
pub(crate) fn remove_tree(path: &Path) -> io::Result<TreeSize> {
    let mut size = TreeSize::default();
    let top = match open(CWD, path) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(size),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            size.add(&statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?);
            unlinkat(CWD, path, AtFlags::empty())?;
            return Ok(size);
        }
        Err(errno) => return Err(errno.into()),
    };
    empty(top, &mut size)?;
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(size),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes all that is in a folder. Whoever comes back to a folder reads it anew: what was done is
/// gone, so that nothing but the way up has to be remembered.
fn empty(top: OwnedFd, size: &mut TreeSize) -> io::Result<()> {
    let mut above = vec![unlock(&top)?];
    let mut here = top;
    loop {
        if let Some(below) = clear(here.as_fd(), size)? {
            above.push(enter(&below, above.last())?);
            here = below;
            continue;
        }
        above.pop();
        let Some(parent) = above.last() else {
            return Ok(());
        };
        here = climb(&here, *parent)?;
    }
}

/// Notes a folder on the way down.
fn enter(below: &OwnedFd, above: Option<&FolderId>) -> io::Result<FolderId> {
    let id = unlock(below)?;
    if above.is_some_and(|above| above.0 != id.0) {
        return Err(Errno::XDEV.into());
    }
    Ok(id)
}

/// Opens the folder above, which must be the one that we came from.
fn climb(here: &OwnedFd, parent: FolderId) -> io::Result<OwnedFd> {
    let up = open(here, c"..")?;
    if FolderId::of(&fstat(&up)?) == parent {
        Ok(up)
    } else {
        Err(io::Error::other("a folder was moved away meanwhile"))
    }
}

/// Removes files and empty folders, until there is nothing left or a folder has something in it.
fn clear(folder: BorrowedFd<'_>, size: &mut TreeSize) -> Result<Option<OwnedFd>, Errno> {
    let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
    loop {
        seek(folder, SeekFrom::Start(0))?;
        let mut entries = RawDir::new(folder, &mut piece);
        let (mut is_empty, mut has_removed) = (true, false);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            is_empty = false;
            match remove(folder, name, entry.file_type(), size) {
                Ok(None) => has_removed = true,
                Ok(below) => return Ok(below),
                // Somebody else was quicker.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        if is_empty {
            return Ok(None);
        }
        if !has_removed {
            return Err(Errno::NOTEMPTY);
        }
    }
}

/// Removes one entry; a folder that has something in it is returned instead.
fn remove(
    folder: BorrowedFd<'_>,
    name: &CStr,
    kind: FileType,
    size: &mut TreeSize,
) -> Result<Option<OwnedFd>, Errno> {
    if kind != FileType::Directory {
        let status = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // Not every file system tells kinds in its lists.
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            unlinkat(folder, name, AtFlags::empty())?;
            size.add(&status);
            return Ok(None);
        }
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST) => open(folder, name).map(Some),
        Err(errno) => Err(errno),
    }
}

/// What a tree takes. Folders that may not be read, and what goes away meanwhile, are left out; a
/// tree that is not there takes nothing.
pub(crate) fn measure_tree(path: &Path) -> io::Result<TreeSize> {
    let mut size = TreeSize::default();
    let mut here = match openat(CWD, path, FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => return Ok(size),
        Err(errno) => return Err(errno.into()),
    };
    // Folders on the way down, each with those in it that are still to be looked at.
    let mut above = vec![(FolderId::of(&fstat(&here)?), list(here.as_fd(), &mut size)?)];
    while let Some((id, pending)) = above.last_mut() {
        let Some(name) = pending.pop() else {
            above.pop();
            if let Some((parent, _)) = above.last() {
                here = climb(&here, *parent)?;
            }
            continue;
        };
        let below = match openat(&here, &name, FOLDER, Mode::empty()) {
            Ok(below) => below,
            Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let below_id = FolderId::of(&fstat(&below)?);
        if below_id.0 == id.0 {
            above.push((below_id, list(below.as_fd(), &mut size)?));
            here = below;
        }
    }
    Ok(size)
}

/// Counts a folder's files, and names the folders in it.
fn list(folder: BorrowedFd<'_>, size: &mut TreeSize) -> Result<Vec<CString>, Errno> {
    let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
    let mut entries = RawDir::new(folder, &mut piece);
    let mut folders = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let Ok(status) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            folders.push(name.to_owned());
        } else {
            size.add(&status);
        }
    }
    Ok(folders)
}

/// A folder itself, opened to be read.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a folder of ours, if need be after giving us the right to.
fn open<P: Arg + Copy>(at: impl AsFd, name: P) -> Result<OwnedFd, Errno> {
    match openat(&at, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let named = openat(&at, name, flags, Mode::empty())?;
            // A descriptor of this kind has no rights to change; its entry in /proc leads to the
            // folder itself, which nobody can exchange for another on the way.
            let path = format!("/proc/self/fd/{}", named.as_raw_fd());
            rustix::fs::chmod(path, OWNERS)?;
            openat(&at, name, FOLDER, Mode::empty())
        }
        outcome => outcome,
    }
}

/// Gives the owner's rights to a folder that lacks them, and says which one it is.
fn unlock(folder: &OwnedFd) -> Result<FolderId, Errno> {
    let status = fstat(folder)?;
    let mode = Mode::from_raw_mode(status.st_mode);
    if !mode.contains(OWNERS) {
        // A folder of somebody else's may let us all the same; if not, that is the error.
        let _ = fchmod(folder, mode | OWNERS);
    }
    Ok(FolderId::of(&status))
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// Folders in each other, with a file in the last; returns what they take.
    fn dig(top: &Path, depth: usize) -> TreeSize {
        fs::create_dir_all(top).unwrap();
        let mut here = openat(CWD, top, FOLDER, Mode::empty()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&here, "a-folder", OWNERS).unwrap();
            here = openat(&here, "a-folder", FOLDER, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = openat(&here, "file", flags, OWNERS).unwrap();
        rustix::io::write(file, b"12345").unwrap();
        TreeSize { files: 1, bytes: 5 }
    }

    #[test]
    fn no_tree_is_too_deep() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("deep");
        // Far beyond the longest path (4,096 bytes), and beyond the descriptors (1,024) of one who goes
        // down by recursion.
        let size = dig(&deep, 2_000);
        assert_eq!(measure_tree(&deep).unwrap(), size);
        assert_eq!(remove_tree(&deep).unwrap(), size);
        assert!(!deep.exists());
    }

    #[test]
    fn folders_beside_each_other_and_links_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("stays"), b"1").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
        let inside = folder.path().join("inside");
        for name in 0..40 {
            let below = inside.join(format!("{name}/{name}/x"));
            fs::create_dir_all(&below).unwrap();
            for file in 0..20 {
                fs::write(below.join(format!("{file}")), b"12").unwrap();
            }
            symlink(&outside, below.join("link")).unwrap();
            symlink("nowhere", below.join("dangling")).unwrap();
        }
        let size = measure_tree(&inside).unwrap();
        assert_eq!(size.files, 40 * 22);
        assert_eq!(remove_tree(&inside).unwrap(), size);
        assert!(!inside.exists() && outside.join("stays").exists());
        let mode = outside.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500);
    }

    #[test]
    fn a_link_goes_and_what_it_leads_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("stays"), b"1").unwrap();
        let link = folder.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(measure_tree(&link).unwrap(), TreeSize::default());
        assert_eq!(remove_tree(&link).unwrap().files, 1);
        assert!(link.symlink_metadata().is_err() && target.join("stays").exists());
        assert_eq!(remove_tree(&link).unwrap(), TreeSize::default());
    }

    #[test]
    fn rights_of_folders_do_not_matter_to_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), b"123").unwrap();
        for path in ["a/b", "a", ""] {
            fs::set_permissions(top.join(path), fs::Permissions::from_mode(0o0)).unwrap();
        }
        assert_eq!(remove_tree(&top).unwrap(), TreeSize { files: 1, bytes: 3 });
        assert!(!top.exists());
    }
}
