//! Folders for one use.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::remove_tree;

/// A folder that only this user may enter, gone with all that is in it when it is dropped. Unlike
/// `tempfile::TempDir` it removes trees of any depth, whatever rights a step gave to their folders.
#[derive(Debug)]
pub(crate) struct TempFolder {
    path: Option<PathBuf>,
    shown: PathBuf,
}

impl TempFolder {
    /// A new folder below `parent`; its name begins with `prefix`.
    pub(crate) fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?
            .keep();
        Ok(Self {
            shown: path.clone(),
            path: Some(path),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.shown
    }

    pub(crate) fn keep(mut self) -> PathBuf {
        self.path = None;
        self.shown.clone()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays is removed by the next command that is alone in the store, which tells.
            let _ = remove_tree(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_gone_unless_it_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let folder = TempFolder::new_in(parent.path(), "a-").unwrap();
        let path = folder.path().to_owned();
        fs::create_dir_all(path.join("b/c")).unwrap();
        fs::set_permissions(path.join("b"), fs::Permissions::from_mode(0o0)).unwrap();
        drop(folder);
        assert!(!path.exists());
        let folder = TempFolder::new_in(parent.path(), "a-").unwrap();
        let mode = folder.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        assert!(folder.keep().exists());
    }
}
