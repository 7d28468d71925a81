//! Taking away folders that a command has left behind, whatever a step made of them.

use std::fs;

use super::{Store, StoreError, StoreLock};
use crate::host::remove_tree;

impl Store {
    /// Says that a command is at work: nothing is pruned as long as this lives. Waits for a pruning
    /// that is under way.
    ///
    /// Whoever comes first, with nobody else at work, clears the scratch folder: what lies there has
    /// lost its writer to a signal or to a power cut. That this fails is no reason not to work.
    pub(crate) fn in_use(&self) -> Result<StoreLock, StoreError> {
        let (path, file) = self.lock_file("use")?;
        if file.try_lock().is_ok() {
            let (_, images) = self.lock_file("images")?;
            if images.try_lock().is_ok() {
                self.sweep();
            }
            file.unlock().map_err(StoreError::io(&path))?;
        }
        file.lock_shared().map_err(StoreError::io(&path))?;
        Ok(StoreLock { _file: file })
    }

    /// Empties the scratch folder as far as that can be done.
    fn sweep(&self) {
        for entry in fs::read_dir(self.scratch()).into_iter().flatten().flatten() {
            // What cannot be removed is told by the command that prunes.
            let _ = remove_tree(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

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
}
