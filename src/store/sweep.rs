//! Taking away folders that a command has left behind, whatever a step made of them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Lock, Store, StoreError};

/// What an owner needs to empty a folder.
const OWNERS: u32 = 0o700;

impl Store {
    /// Says that a command is at work: nothing is pruned as long as this lives. Waits for a pruning
    /// that is under way.
    ///
    /// Whoever comes first, with nobody else at work, clears the scratch folder: what lies there has
    /// lost its writer to a signal or to a power cut. That this fails is no reason not to work.
    pub(crate) fn in_use(&self) -> Result<Lock, StoreError> {
        let (path, file) = self.lock_file("use")?;
        if file.try_lock().is_ok() {
            let (_, images) = self.lock_file("images")?;
            if images.try_lock().is_ok() {
                self.sweep();
            }
            file.unlock().map_err(StoreError::io(&path))?;
        }
        file.lock_shared().map_err(StoreError::io(&path))?;
        Ok(Lock { _file: file })
    }

    /// Empties the scratch folder as far as that can be done.
    fn sweep(&self) {
        for entry in fs::read_dir(self.scratch()).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // What cannot be removed is told by the command that prunes.
            let _ = if is_folder {
                remove_folder(&path)
            } else {
                fs::remove_file(&path)
            };
        }
    }
}

/// Removes a folder of this user's with all that is in it. Folders that lack their owner's rights, as
/// overlays and steps leave them, get them first.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Gives the owner's rights to a folder and all folders in it.
pub(super) fn unlock(path: &Path) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let mode = folder.symlink_metadata()?.permissions().mode();
        if mode & OWNERS != OWNERS {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | OWNERS))?;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in the scratch that only its owner's rights keep from being removed.
    fn leave_behind(store: &Store) -> PathBuf {
        let left = store.scratch().join("left");
        let locked = left.join("upper/locked");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), b"12345").unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
        fs::write(store.scratch().join("half"), b"1").unwrap();
        left
    }

    #[test]
    fn what_a_killed_command_left_goes_when_nobody_is_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let left = leave_behind(&store);
        let first = store.in_use().unwrap();
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
        // The second is not alone.
        leave_behind(&store);
        let second = store.in_use().unwrap();
        assert!(left.exists());
        drop((first, second));
        // Nor is one who meets somebody that writes the list of images.
        let images = store.lock("images").unwrap();
        drop(store.in_use().unwrap());
        assert!(left.exists());
        drop(images);
        drop(store.in_use().unwrap());
        assert!(!left.exists());
    }

    #[test]
    fn locked_folders_are_unlocked_and_links_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir_all(inside.join("a")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        fs::set_permissions(inside.join("a"), fs::Permissions::from_mode(0o0)).unwrap();
        unlock(&inside).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inside.join("a")), OWNERS);
        assert_eq!(mode(&outside), 0o500);
        remove_folder(&inside).unwrap();
        assert!(!inside.exists() && outside.exists());
    }
}
