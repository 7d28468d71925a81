//! The folders of a store: made where they are missing, and looked at before anything in them is
//! believed or removed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use super::{Store, StoreError};

/// What every store has; more is made where it is needed. Parents come first.
const FOLDERS: &[&str] = &[
    "blobs",
    "blobs/sha256",
    "s2r",
    "s2r/layers",
    "s2r/downloads",
    "s2r/roots",
    "s2r/compiled",
    "s2r/records",
    "s2r/tools",
    SCRATCH,
    "s2r/locks",
];

/// Whatever lies here is removed without a question.
const SCRATCH: &str = "s2r/tmp";

/// The bits by which files of a folder get its group (`inode(7)`).
const SET_GROUP: u32 = 0o2000;

impl Store {
    /// Makes the folders that are missing. None may be a link: what is removed from it would be gone
    /// from somewhere else, and a file that is renamed into it may have to go to another disk.
    pub(super) fn make_folders(&self) -> Result<(), StoreError> {
        fs::create_dir_all(self.root()).map_err(StoreError::io(self.root()))?;
        let store = self
            .root()
            .metadata()
            .map_err(StoreError::io(self.root()))?;
        for name in FOLDERS {
            let path = self.root().join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::io(&path)(error));
                }
                _ => {}
            }
            let found = path.symlink_metadata().map_err(StoreError::io(&path))?;
            if found.is_symlink() {
                return Err(StoreError::Link { path });
            }
            if !found.is_dir() {
                return Err(StoreError::io(&path)(io::ErrorKind::NotADirectory.into()));
            }
            if *name == SCRATCH {
                claim(&path, &found, store.uid())?;
            }
        }
        Ok(())
    }
}

/// Checks that the scratch folder is this user's, and gives it this user's group: files of a step
/// that inherit another one cannot be made in a sandbox, which knows a single user and a single group.
///
/// One of the store's owner is good too: a volume of a cluster is root's, and written by its group.
fn claim(path: &Path, found: &fs::Metadata, store_owner: u32) -> Result<(), StoreError> {
    let user = rustix::process::geteuid();
    let group = rustix::process::getegid().as_raw();
    if found.uid() != user.as_raw() {
        if user.is_root() || found.uid() == store_owner {
            return Ok(());
        }
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
            user: user.as_raw(),
        });
    }
    let mode = found.permissions().mode();
    if found.gid() != group {
        chown(path, None, Some(group)).map_err(StoreError::io(path))?;
    }
    if mode & SET_GROUP != 0 {
        let mode = fs::Permissions::from_mode(mode & 0o777);
        fs::set_permissions(path, mode).map_err(StoreError::io(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_link_leads_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), b"1").unwrap();
        for name in FOLDERS {
            let root = folder.path().join("store");
            Store::open(&root).unwrap();
            let path = root.join(name);
            fs::remove_dir_all(&path).unwrap();
            symlink(&precious, &path).unwrap();
            let error = Store::open(&root).unwrap_err();
            assert!(
                matches!(&error, StoreError::Link { path: found } if *found == path),
                "{error}"
            );
            fs::remove_dir_all(&root).unwrap();
        }
        assert!(precious.join("file").exists());
    }

    #[test]
    fn the_store_itself_may_be_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        Store::open(&link).unwrap();
        assert!(real.join("oci-layout").exists());
    }

    #[test]
    fn files_being_written_do_not_inherit_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o2775)).unwrap();
        let store = Store::open(&root).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        let others = mode(&root.join("s2r/roots"));
        assert_eq!(
            others & SET_GROUP,
            SET_GROUP,
            "the parent's bit is inherited"
        );
        assert_eq!(mode(&store.scratch()) & SET_GROUP, 0);
    }
}
