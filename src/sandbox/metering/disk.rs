//! What a step has written to disk: everything below the folders that it may write to, and the files without a name
//! that it holds open.
//!
//! A file counts with the blocks that it takes or with its length, whichever is more: a hole costs nothing until
//! somebody copies it into a layer. Folders are walked by descriptor, so no path is too long.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chmod, fchmod, openat, statat, statvfs,
};

use crate::sandbox::EndReason;

/// Folders are walked again after this time at the earliest, if nothing else says that they should be.
const WALK_AFTER: Duration = Duration::from_millis(250);

/// And a walk may take one part in this of our time.
const WALK_SHARE: u32 = 20;

/// When less than this is free on the disk, whoever has written more than it may ends.
const RESERVE_BYTES: u64 = 256 << 20;

/// Folders held open at once. Who needs more has built a tree to be walked badly, and counts as over its limit.
const MOST_OPEN: usize = 400;

/// The disk below some folders.
#[derive(Debug)]
pub(in crate::sandbox) struct DiskUsage {
    folders: Vec<PathBuf>,
    /// What earlier steps have left there.
    before_bytes: u64,
    free_before_bytes: u64,
    walked: DiskSurvey,
    /// Files that have no name any more, or never had one.
    nameless_bytes: u64,
}

/// One look at every file.
#[derive(Debug, Clone, Copy)]
struct DiskSurvey {
    used_bytes: u64,
    free_bytes: u64,
    at: Instant,
    took: Duration,
}

impl DiskUsage {
    /// Looks at what is there already; the first folder's disk is the one whose free space counts.
    pub(in crate::sandbox) fn new(folders: Vec<PathBuf>) -> Self {
        let walked = DiskSurvey::now(&folders);
        Self {
            before_bytes: walked.used_bytes,
            free_before_bytes: walked.free_bytes,
            walked,
            folders,
            nameless_bytes: 0,
        }
    }

    /// What is held open and has no name.
    pub(in crate::sandbox) fn set_nameless(&mut self, bytes: u64) {
        self.nameless_bytes = bytes;
    }

    /// What is left of the limit, if all that has gone from the disk since the last walk is the step's.
    pub(in crate::sandbox) fn room_bytes(&self, limit: u64) -> u64 {
        limit
            .saturating_sub(self.used())
            .saturating_sub(self.gone_bytes())
    }

    pub(in crate::sandbox) fn is_over(&mut self, limit: u64) -> bool {
        let is_time = self.walked.at.elapsed() > WALK_AFTER.max(self.walked.took * WALK_SHARE);
        // Others use the disk too; so its free space only says when to look.
        let is_due = is_time || self.room_bytes(limit) == 0;
        if is_due && self.walked.at.elapsed() > self.walked.took * WALK_SHARE / 4 {
            self.walked = DiskSurvey::now(&self.folders);
        }
        // What is hidden from us (a file whose descriptor is on its way) counts before the machine suffers.
        let free = free_bytes(&self.folders);
        let is_drained =
            free < RESERVE_BYTES && self.free_before_bytes.saturating_sub(free) > limit;
        self.used() >= limit || is_drained
    }

    fn used(&self) -> u64 {
        self.walked
            .used_bytes
            .saturating_sub(self.before_bytes)
            .saturating_add(self.nameless_bytes)
    }

    fn gone_bytes(&self) -> u64 {
        self.walked
            .free_bytes
            .saturating_sub(free_bytes(&self.folders))
    }

    /// What a last look says, when nothing of the step runs any more.
    pub(in crate::sandbox) fn was_full(&mut self, limit: u64) -> Option<EndReason> {
        /// What a file system keeps back even when it is full.
        const LAST_BYTES: u64 = 1 << 20;
        self.nameless_bytes = 0;
        self.walked = DiskSurvey::now(&self.folders);
        if self.used() >= limit {
            Some(EndReason::DiskFull)
        } else if self.walked.free_bytes < LAST_BYTES {
            Some(EndReason::NoSpace)
        } else {
            None
        }
    }
}

impl DiskSurvey {
    fn now(folders: &[PathBuf]) -> Self {
        let at = Instant::now();
        let mut walk = DiskWalk::default();
        for folder in folders {
            walk.add(folder);
        }
        Self {
            used_bytes: walk.bytes,
            free_bytes: free_bytes(folders),
            at: Instant::now(),
            took: at.elapsed(),
        }
    }
}

/// Bytes of a file: its blocks or its length.
pub(in crate::sandbox) fn size_of(stat: &Stat) -> u64 {
    /// `stat` counts in these, whatever the file system's own are.
    const BLOCK_BYTES: u64 = 512;
    let allocated = u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(BLOCK_BYTES);
    allocated.max(u64::try_from(stat.st_size).unwrap_or(0))
}

/// A sum on its way.
#[derive(Default)]
struct DiskWalk {
    bytes: u64,
    /// Files of several names that were counted.
    linked: BTreeSet<(u64, u64)>,
    /// Folders still to be read: their names and rights, by the folder that holds them. The length is what is held open.
    pending: Vec<(OpenFolder, Vec<(CString, u32)>)>,
}

impl DiskWalk {
    /// Adds everything below a folder. What cannot be read, or goes away meanwhile, is left out.
    fn add(&mut self, top: &Path) {
        if let Ok(folder) = openat(CWD, top, FOLDER, Mode::empty()) {
            self.read(folder.into());
        }
        while let Some((parent, mut names)) = self.pending.pop() {
            let next = names
                .pop()
                .map(|(name, mode)| OpenFolder::open(&parent.0, &name, mode));
            // A parent is closed with its last child, so that a chain of folders holds one open.
            if !names.is_empty() {
                self.pending.push((parent, names));
            }
            if let Some(Ok(folder)) = next {
                self.read(folder);
            }
        }
    }

    fn read(&mut self, folder: OpenFolder) {
        /// What a name alone costs, so that empty files are no way round a limit.
        const ENTRY_BYTES: u64 = 512;
        let mut folders = Vec::new();
        for entry in Dir::read_from(&folder.0).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            let Ok(stat) = statat(&folder.0, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let is_counted =
                !is_folder && stat.st_nlink > 1 && !self.linked.insert((stat.st_dev, stat.st_ino));
            let size = if is_counted { 0 } else { size_of(&stat) };
            self.bytes = self.bytes.saturating_add(ENTRY_BYTES).saturating_add(size);
            if is_folder {
                folders.push((name.to_owned(), stat.st_mode & 0o7777));
            }
        }
        if !folders.is_empty() {
            self.pending.push((folder, folders));
        }
        if self.pending.len() > MOST_OPEN {
            self.bytes = u64::MAX;
            self.pending.clear();
        }
    }
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A folder that is open. If a step took the right to read it or to look into it from its owner, who is us, it has it as
/// long as it is open: the second is what it had before.
struct OpenFolder(OwnedFd, Option<Mode>);

impl From<OwnedFd> for OpenFolder {
    fn from(folder: OwnedFd) -> Self {
        Self(folder, None)
    }
}

impl OpenFolder {
    fn open(parent: &OwnedFd, name: &CStr, mode: u32) -> rustix::io::Result<Self> {
        let needed = (Mode::RUSR | Mode::XUSR).bits();
        if mode & needed == needed || rustix::process::geteuid().is_root() {
            return openat(parent, name, FOLDER, Mode::empty()).map(Self::from);
        }
        // The folder itself, whatever the step puts in its place meanwhile.
        let folder = openat(parent, name, FOLDER | OFlags::PATH, Mode::empty())?;
        let before = Mode::from_raw_mode(mode);
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        chmod(path.as_str(), Mode::from_raw_mode(mode | needed))?;
        match openat(&folder, c".", FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Self(folder, Some(before))),
            Err(errno) => {
                chmod(path.as_str(), before)?;
                Err(errno)
            }
        }
    }
}

impl Drop for OpenFolder {
    fn drop(&mut self) {
        if let Some(before) = self.1 {
            // It may be gone.
            let _ = fchmod(&self.0, before);
        }
    }
}

fn free_bytes(folders: &[PathBuf]) -> u64 {
    folders
        .first()
        .and_then(|folder| statvfs(folder).ok())
        .map_or(u64::MAX, |space| {
            space.f_bavail.saturating_mul(space.f_frsize)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn used(top: &Path) -> u64 {
        DiskSurvey::now(&[top.to_owned()]).used_bytes
    }

    #[test]
    fn holes_count_and_names_of_one_file_do_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = fs::File::create(folder.path().join("hole")).unwrap();
        file.set_len(20 << 30).unwrap();
        fs::hard_link(folder.path().join("hole"), folder.path().join("again")).unwrap();
        let used = used(folder.path());
        assert!((20 << 30..21 << 30).contains(&used), "{used}");
    }

    /// As root nothing is unreadable: `again_as_an_ordinary_user` of `exceeding` runs this too.
    #[test]
    fn what_may_not_be_read_counts_and_stays_so() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let modes = [0o300, 0o400, 0o000, 0o100];
        let mut at = folder.path().to_owned();
        let mut made = Vec::new();
        for mode in modes {
            at.push("x");
            fs::create_dir(&at).unwrap();
            fs::write(at.join("file"), "").unwrap();
            fs::File::options()
                .write(true)
                .open(at.join("file"))
                .unwrap()
                .set_len(1 << 30)
                .unwrap();
            made.push((at.clone(), mode));
        }
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (path, mode) in made.iter().rev() {
            set(path, *mode);
        }
        let used = used(folder.path());
        for (path, mode) in made {
            let now = path.metadata().unwrap().permissions().mode();
            assert_eq!(now & 0o7777, mode, "{}", path.display());
            set(&path, 0o700);
        }
        assert!((4 << 30..5 << 30).contains(&used), "{used}");
    }

    #[test]
    fn no_path_is_too_long_and_no_tree_too_twisted() {
        let folder = tempfile::tempdir().unwrap();
        let make = |levels: usize, has_siblings: bool| {
            let mut at = rustix::fs::open(folder.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
            for _ in 0..levels {
                rustix::fs::mkdirat(&at, "x", Mode::RWXU).unwrap();
                if has_siblings {
                    for name in ["a", "z"] {
                        rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
                    }
                }
                at = openat(&at, "x", OFlags::DIRECTORY, Mode::empty()).unwrap();
            }
            let file = openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
            rustix::fs::ftruncate(&file, 1 << 30).unwrap();
        };
        make(3000, false);
        assert!(used(folder.path()) > 1 << 30);
        let removed = std::process::Command::new("rm")
            .arg("-r")
            .arg(folder.path().join("x"))
            .status();
        assert!(removed.unwrap().success());
        make(1000, true);
        assert!(used(folder.path()) > 1 << 30);
    }
}
