//! A copy of the project's files that a step may see and write to, laid out as in the image.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::host::TempFolder;
use crate::report::{BuildError, FileError};
use crate::source::{SourceEntry, SourceKind, SourceTree};
use crate::store::Store;

/// Where the source lies in a root.
pub(crate) const SOURCE: &str = "opt/app-root/src";

/// A folder with the project's files in it; gone when it is dropped.
pub(crate) struct StagedSource {
    folder: TempFolder,
}

impl StagedSource {
    /// Copies the files below `below` of a new folder in the store's scratch.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn new(store: &Store, tree: &SourceTree, below: &str) -> Result<Self, BuildError> {
        Self::of(store, (tree, tree.entries().iter()), below)
    }

    /// The same with the code alone: what is large lies in folders of its layers.
    ///
    /// # Errors
    /// As [`StagedSource::new`].
    pub(crate) fn code(store: &Store, tree: &SourceTree, below: &str) -> Result<Self, BuildError> {
        let places = tree.division().code.places.iter();
        let entries = places.filter_map(|&place| tree.entries().get(place));
        Self::of(store, (tree, entries), below)
    }

    fn of<'a>(
        store: &Store,
        (tree, entries): (&SourceTree, impl Iterator<Item = &'a SourceEntry>),
        below: &str,
    ) -> Result<Self, BuildError> {
        let folder = store.temp_folder("staged-")?;
        let root = folder.path().join(below);
        make(&root)?;
        for entry in entries {
            let path = root.join(std::ffi::OsStr::from_bytes(&entry.path));
            let unwritable = |source| FileError::Unwritable {
                path: path.clone(),
                source,
            };
            match &entry.kind {
                SourceKind::Directory => make(&path)?,
                SourceKind::Symlink { target } => {
                    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &path)
                        .map_err(unwritable)?;
                }
                SourceKind::File { executable, .. } => {
                    let mut from = tree.open(entry)?;
                    let mut to = fs::File::create_new(&path).map_err(unwritable)?;
                    io::copy(&mut from, &mut to).map_err(unwritable)?;
                    let mode = if *executable { 0o775 } else { 0o664 };
                    to.set_permissions(fs::Permissions::from_mode(mode))
                        .map_err(unwritable)?;
                }
            }
        }
        Ok(Self { folder })
    }

    /// The folder that the copy lies below.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

fn make(path: &Path) -> Result<(), BuildError> {
    let unwritable = |source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(unwritable)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o775)).map_err(unwritable)?;
    Ok(())
}
