//! The project's files: a folder becomes a sorted, bounded [`SourceTree`] whose contents stay on disk
//! until they are asked for; beside it what git knows about it and the environment files.
//!
//! What is left out follows `.s2iignore` and `--exclude`, as s2i has it ([`ignore`]), and what every
//! machine makes for itself ([`left_out`]). What no layer may hold is refused here: names that begin
//! with `.wh.`. Sockets, pipes and devices are left out with a warning. What a file means is none of
//! this module's business, but which files are read at all is ([`settings_file`]).

mod contents;
pub(crate) mod environment;
mod error;
pub(crate) mod git;
pub(crate) mod ignore;
mod known_hashes;
mod left_out;
pub(crate) mod location;
mod open;
mod portions;
pub(crate) mod settings_file;
pub(crate) mod unpack;
mod walk;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) use contents::{FileReader, TreeContents};
pub(crate) use error::SourceError;
pub(crate) use known_hashes::{FileStamp, KnownHashes};
pub(crate) use portions::{PortionKind, SourceDivision, SourcePortion};
pub(crate) use settings_file::SettingsFile;

use crate::report::Report;

/// Which files to take.
#[derive(Debug, Clone)]
pub(crate) struct SourceSettings {
    /// The folder, absolute or relative to the process.
    pub folder: PathBuf,
    /// What messages call the folder, if it is a private one: the source as the user named it.
    pub shown: Option<PathBuf>,
    /// Folder within it that is the root of the source, `--context-dir`.
    pub context_dir: Option<PathBuf>,
    /// What else to leave out, `--exclude`; an empty text takes in what is left out unasked.
    pub exclude: Vec<String>,
    /// Lines that `.s2iignore` is read as having behind its own.
    pub ignore: Vec<String>,
}

impl SourceSettings {
    /// The source's root, without links.
    ///
    /// # Errors
    /// There is no such folder.
    pub(crate) fn root(&self) -> Result<PathBuf, SourceError> {
        walk::root(self)
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Directory,
    File {
        /// Its length when it was seen.
        size_bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
        /// Its permission bits on disk, `0o7777` at most; they do not reach the image.
        mode: u32,
        /// What it looked like when it was seen.
        stamp: FileStamp,
    },
    Symlink {
        /// What it points to, as it is stored.
        target: Vec<u8>,
    },
}

/// One entry of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceEntry {
    /// Path below the root, components joined by `/`, any bytes but NUL.
    pub path: Vec<u8>,
    pub kind: SourceKind,
}

impl SourceEntry {
    /// The path for people: bytes that are not UTF-8 replaced.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// Whether it is a file that its owner may execute.
    pub(crate) fn is_executable(&self) -> bool {
        matches!(
            self.kind,
            SourceKind::File {
                executable: true,
                ..
            }
        )
    }
}

/// The source: entries sorted by path bytes, folders before what they hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SourceTree {
    root: PathBuf,
    /// The root, open: files are opened below it, wherever its path leads by then.
    folder: Arc<OwnedFd>,
    /// What messages call the root.
    shown: PathBuf,
    entries: Arc<[SourceEntry]>,
    /// How they are divided, once that was asked.
    division: Arc<OnceLock<SourceDivision>>,
}

impl SourceTree {
    /// Reads the folder's entries, not their contents. Says through `report` what was left out.
    pub(crate) fn read(
        settings: &SourceSettings,
        report: &dyn Report,
    ) -> Result<Self, SourceError> {
        let Some(shown) = &settings.shown else {
            return Self::read_as_it_is(settings, report);
        };
        let folder = std::fs::canonicalize(&settings.folder);
        let folder = folder.unwrap_or_else(|_| settings.folder.clone());
        let mut tree = Self::read_as_it_is(settings, report)
            .map_err(|error| error.shown_as(&folder, shown))?;
        tree.shown = error::shown_as(&tree.root, &folder, shown);
        Ok(tree)
    }

    fn read_as_it_is(settings: &SourceSettings, report: &dyn Report) -> Result<Self, SourceError> {
        let root = walk::root(settings)?;
        let folder = open::folder(&root)?;
        let entries = walk::entries(&root, &folder, settings, report)?;
        if !entries
            .iter()
            .any(|entry| entry.kind != SourceKind::Directory)
        {
            return Err(SourceError::Empty { folder: root });
        }
        let tree = Self {
            shown: root.clone(),
            root,
            folder: Arc::new(folder),
            entries: entries.into(),
            division: Arc::default(),
        };
        left_out::warn_of_contents(&tree, report)?;
        Ok(tree)
    }

    /// A small file in the root of a source that is not read yet, links within the source followed; `None` if
    /// there is no such file, or something else than a file.
    ///
    /// # Errors
    /// It is longer than its kind may be, or cannot be read.
    pub(crate) fn read_root_file(
        settings: &SourceSettings,
        name: &str,
        file: SettingsFile,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let root = walk::root(settings)?;
        let read = match open::small(&open::folder(&root)?, (&root, name), file)? {
            open::SmallFile::Bytes(bytes) => Some(bytes),
            open::SmallFile::Nothing | open::SmallFile::NoFile => None,
        };
        Ok(read)
    }

    /// The folder that the paths of entries are relative to.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    /// The same source without these files.
    pub(crate) fn without(&self, paths: &[&str]) -> Self {
        let is_wanted =
            |entry: &&SourceEntry| !paths.iter().any(|path| path.as_bytes() == entry.path);
        Self {
            root: self.root.clone(),
            folder: Arc::clone(&self.folder),
            shown: self.shown.clone(),
            entries: self.entries.iter().filter(is_wanted).cloned().collect(),
            division: Arc::default(),
        }
    }

    /// The entry at a path, links not followed.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&SourceEntry> {
        self.entries
            .binary_search_by(|entry| entry.path.as_slice().cmp(path))
            .ok()
            .map(|at| &self.entries[at])
    }

    /// The entry that a path leads to, links followed while they stay within the tree (at most
    /// [`MAX_LINKS`] of them).
    pub(crate) fn follow(&self, path: &[u8]) -> Option<&SourceEntry> {
        let mut links_left = MAX_LINKS;
        let mut resolved: Vec<u8> = Vec::new();
        let mut pending: Vec<Vec<u8>> = components(path);
        pending.reverse();
        let mut found = None;
        while let Some(component) = pending.pop() {
            if component == b".." {
                cut_last(&mut resolved)?;
                found = self.find(&resolved);
                continue;
            }
            let mut next = resolved.clone();
            if !next.is_empty() {
                next.push(b'/');
            }
            next.extend_from_slice(&component);
            let entry = self.find(&next)?;
            if let SourceKind::Symlink { target } = &entry.kind {
                links_left = links_left.checked_sub(1)?;
                if target.starts_with(b"/") {
                    return None;
                }
                pending.extend(components(target).into_iter().rev());
            } else {
                resolved = next;
                found = Some(entry);
            }
        }
        found
    }

    /// Opens a file of the tree, wherever links lead within it, for one pass over its bytes.
    pub(crate) fn open(&self, entry: &SourceEntry) -> Result<FileReader, SourceError> {
        FileReader::open(&self.folder, self.shown_path_of(entry), entry)
    }

    /// A small file's bytes, links within the tree followed; `None` if there is no such file, or
    /// something else than a file.
    ///
    /// # Errors
    /// It is longer than its kind may be, changes, or cannot be read. Of a script the beginning is
    /// enough, however long it is.
    pub(crate) fn read_small(
        &self,
        path: &str,
        file: SettingsFile,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(entry) = self.follow(path.as_bytes()) else {
            return Ok(None);
        };
        let SourceKind::File { size_bytes, .. } = entry.kind else {
            return Ok(None);
        };
        let limit_bytes = file.limit_bytes();
        if file == SettingsFile::Script {
            return self.open(entry)?.read_start(limit_bytes).map(Some);
        }
        if size_bytes > limit_bytes {
            return Err(SourceError::Long {
                path: self.shown_path_of(entry),
                size_bytes,
                limit_bytes,
            });
        }
        self.open(entry)?.read_all().map(Some)
    }

    /// Which files go together.
    pub(crate) fn division(&self) -> &SourceDivision {
        let divide = || SourceDivision::of(&self.entries);
        self.division.get_or_init(divide)
    }

    /// Whether [`SourceTree::contents`] takes so long that what it finds is worth keeping.
    pub(crate) fn is_costly(&self) -> bool {
        contents::is_costly(self)
    }

    /// Reads every file that is not known, and hashes it, on two threads.
    pub(crate) fn contents(&self, known: &KnownHashes) -> Result<TreeContents, SourceError> {
        contents::hash(self, known)
    }

    /// What messages call an entry.
    fn shown_path_of(&self, entry: &SourceEntry) -> PathBuf {
        self.shown.join(std::ffi::OsStr::from_bytes(&entry.path))
    }
}

/// As many links in a row as Linux follows.
const MAX_LINKS: u32 = 40;

/// The components of a path, `.` and empty ones left out.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// Goes up one folder; `None` above the root.
fn cut_last(path: &mut Vec<u8>) -> Option<()> {
    if path.is_empty() {
        return None;
    }
    let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.truncate(cut);
    Some(())
}

#[cfg(test)]
pub(crate) mod testing {
    //! Folders for tests of this and higher floors.

    use std::os::unix::fs::PermissionsExt as _;

    use super::{SourceSettings, SourceTree};
    use crate::report::SilentReport;

    /// A temporary folder with these files; a name that ends in `*` is made executable (without
    /// the star), one that ends in `/` is a folder, contents `-> x` make a link to `x`.
    pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name.trim_end_matches('*'));
            if name.ends_with('/') {
                std::fs::create_dir_all(&path).unwrap();
                continue;
            }
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(target) = text.strip_prefix("-> ") {
                std::os::unix::fs::symlink(target, &path).unwrap();
                continue;
            }
            std::fs::write(&path, text).unwrap();
            let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    /// The tree of a folder, with what s2r leaves out by default.
    pub(crate) fn tree(folder: &tempfile::TempDir) -> SourceTree {
        SourceTree::read(&settings(folder), &SilentReport).unwrap()
    }

    /// Settings for a folder.
    pub(crate) fn settings(folder: &tempfile::TempDir) -> SourceSettings {
        SourceSettings {
            folder: folder.path().to_owned(),
            shown: None,
            context_dir: None,
            exclude: Vec::new(),
            ignore: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{folder, tree};
    use super::*;

    #[test]
    fn a_private_folder_goes_by_the_name_that_was_typed() {
        let folder = folder(&[("sub/app.py", "x"), ("sub/a/.wh.b", "")]);
        let mut settings = super::testing::settings(&folder);
        settings.shown = Some("https://h/x".into());
        settings.context_dir = Some("sub".into());
        let error = SourceTree::read(&settings, &crate::report::SilentReport).unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://h/x/sub/a/.wh.b begins with .wh."
        );
        settings.exclude = vec!["wh".to_owned()];
        let tree = SourceTree::read(&settings, &crate::report::SilentReport).unwrap();
        std::fs::write(folder.path().join("sub/s"), vec![b'x'; 5 << 20]).unwrap();
        let tree = SourceTree::read(&settings, &crate::report::SilentReport).unwrap_or(tree);
        let long = tree.read_small("s", SettingsFile::Setup).unwrap_err();
        assert!(long.to_string().starts_with("https://h/x/sub/s has"));
        std::fs::remove_file(folder.path().join("sub/app.py")).unwrap();
        let gone = tree.contents(&KnownHashes::default()).unwrap_err();
        assert_eq!(gone.to_string(), "https://h/x/sub/app.py cannot be read");
        settings.context_dir = Some("no".into());
        let missing = SourceTree::read(&settings, &crate::report::SilentReport).unwrap_err();
        assert_eq!(missing.to_string(), "https://h/x/no does not exist");
    }

    #[test]
    fn links_are_followed_within_the_tree_only() {
        let folder = folder(&[
            ("a/real.py", "x"),
            ("link.py", "-> a/real.py"),
            ("folder", "-> a"),
            ("a/up", "-> ../link.py"),
            ("out", "-> /etc/passwd"),
            ("above", "-> ../x"),
            ("loop", "-> loop"),
        ]);
        let tree = tree(&folder);
        for (path, expected) in [
            ("a/real.py", Some("a/real.py")),
            ("link.py", Some("a/real.py")),
            ("folder/real.py", Some("a/real.py")),
            ("./folder//up", Some("a/real.py")),
            ("out", None),
            ("above", None),
            ("loop", None),
            ("missing", None),
            ("../x", None),
        ] {
            let found = tree.follow(path.as_bytes()).map(SourceEntry::shown);
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        assert_eq!(
            tree.read_small("link.py", SettingsFile::Setup)
                .unwrap()
                .unwrap(),
            b"x"
        );
        assert!(tree.read_small("a", SettingsFile::Setup).unwrap().is_none());
    }
}
