//! Project folders: the examples of this repository and small ones written on the spot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::tools::temporary;

/// A folder of `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// A temporary project folder, gone with the value.
pub(crate) struct Project {
    dir: TempDir,
}

impl Project {
    /// A project of these files; a name that ends in `.sh` becomes executable.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { dir: temporary() };
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// A copy of an example.
    pub(crate) fn copy_of(name: &str) -> Self {
        let project = Self::new(&[]);
        copy(&example(name), &project.path());
        project
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if path.extension().is_some_and(|extension| extension == "sh") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// Copies a tree of folders and regular files, modes included.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Every regular file under a folder, sorted.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return files;
    };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(walk(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// The default builder's file, one line changed.
pub(crate) fn own_builder(from: &str, to: &str) -> tempfile::NamedTempFile {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("builders/python-3.13.yaml");
    let text = fs::read_to_string(default).unwrap();
    assert!(text.contains(from), "{from}");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    fs::write(file.path(), text.replace(from, to)).unwrap();
    file
}
