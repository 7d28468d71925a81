//! Reading files once to hash them and once more to write them, with a check that they are the
//! same bytes both times.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::{SourceEntry, SourceError, SourceKind, SourceTree, open};
use crate::oci::{Key, KeyBuilder};
use crate::report::{Event, Report};

/// Files are hashed on as many threads. More do not help: the second one overlaps reading with
/// hashing, and build machines have few cores.
const THREADS: usize = 2;
/// A thread takes as many entries at once.
const CHUNK: usize = 64;
/// Bytes read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How a file begins that stands for one which git LFS keeps, and how long it is at most:
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const MAX_LFS_POINTER_BYTES: u64 = 1024;

/// What the files of a tree hold.
#[derive(Debug, Clone)]
pub(crate) struct TreeContents {
    key: Key,
    hashes: Vec<Option<[u8; 32]>>,
    /// Files that only point to what git LFS keeps elsewhere, sorted.
    lfs_pointers: Vec<String>,
}

impl TreeContents {
    /// Names the tree's content: paths, kinds, exec bits, link targets and bytes; neither times
    /// nor owners nor other permission bits nor where the tree is.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Tells of what the image will not hold, though the source seems to.
    pub(crate) fn warn(&self, report: &dyn Report) {
        if !self.lfs_pointers.is_empty() {
            report.event(Event::Warning {
                text: format!(
                    "these are pointers of git LFS, not the files themselves: {}",
                    super::walk::named(&self.lfs_pointers)
                ),
                hint: "run `git lfs pull` in the source, or check it out with LFS, and build again"
                    .to_owned(),
            });
        }
    }

    /// sha256 of the file at this place in [`SourceTree::entries`]; `None` for what is no file.
    pub(crate) fn hash_of(&self, index: usize) -> Option<[u8; 32]> {
        self.hashes.get(index).copied().flatten()
    }
}

/// Hashes every file of a tree.
pub(super) fn hash(tree: &SourceTree) -> Result<TreeContents, SourceError> {
    let (hashes, mut lfs_pointers) = hash_files(tree)?;
    lfs_pointers.sort_unstable();
    let mut builder = KeyBuilder::new("source/1");
    for (entry, hash) in tree.entries().iter().zip(&hashes) {
        builder.add(&entry.path);
        match &entry.kind {
            SourceKind::Directory => builder.add(b"d"),
            SourceKind::Symlink { target } => {
                builder.add(b"l");
                builder.add(target);
            }
            SourceKind::File { executable, .. } => {
                builder.add(if *executable { b"x" } else { b"f" });
                builder.add(&hash.unwrap_or_default());
            }
        }
    }
    Ok(TreeContents {
        key: builder.finish(),
        hashes,
        lfs_pointers,
    })
}

/// What one thread has hashed.
#[derive(Default)]
struct HashedFiles {
    hashes: Vec<(usize, [u8; 32])>,
    lfs_pointers: Vec<String>,
}

type FileHashes = Vec<Option<[u8; 32]>>;

fn hash_files(tree: &SourceTree) -> Result<(FileHashes, Vec<String>), SourceError> {
    let next = AtomicUsize::new(0);
    let parts: Vec<Result<HashedFiles, SourceError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..THREADS)
            .map(|_| scope.spawn(|| hash_some(tree, &next)))
            .collect();
        let mut parts = vec![hash_some(tree, &next)];
        for thread in threads {
            match thread.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    });
    let mut hashes = vec![None; tree.entries().len()];
    let mut lfs_pointers = Vec::new();
    for part in parts {
        let part = part?;
        for (index, hash) in part.hashes {
            hashes[index] = Some(hash);
        }
        lfs_pointers.extend(part.lfs_pointers);
    }
    Ok((hashes, lfs_pointers))
}

fn hash_some(tree: &SourceTree, next: &AtomicUsize) -> Result<HashedFiles, SourceError> {
    let mut hashed = HashedFiles::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let start = next.fetch_add(CHUNK, Ordering::Relaxed);
        if start >= tree.entries().len() {
            return Ok(hashed);
        }
        let end = (start + CHUNK).min(tree.entries().len());
        for (index, entry) in tree.entries()[start..end].iter().enumerate() {
            if let SourceKind::File { size_bytes, .. } = entry.kind {
                let hash = hash_file(tree, entry, &mut buffer)?;
                hashed.hashes.push((start + index, hash));
                if size_bytes <= MAX_LFS_POINTER_BYTES && buffer.starts_with(LFS_POINTER) {
                    hashed.lfs_pointers.push(entry.shown());
                }
            }
        }
    }
}

/// Leaves the file's beginning in `buffer`, if it is no longer than that.
fn hash_file(
    tree: &SourceTree,
    entry: &SourceEntry,
    buffer: &mut [u8],
) -> Result<[u8; 32], SourceError> {
    let mut file = tree.open(entry)?;
    let mut sha256 = Sha256::new();
    buffer[..LFS_POINTER.len()].fill(0);
    loop {
        let count = file.read(buffer).map_err(|error| file.explain(error))?;
        if count == 0 {
            return Ok(sha256.finalize().into());
        }
        sha256.update(&buffer[..count]);
    }
}

/// One file's bytes; ends in an error if they are not as many as were seen, or not those that
/// were hashed.
pub(crate) struct FileReader {
    /// What messages call it.
    path: PathBuf,
    file: File,
    left_bytes: u64,
    expected: Option<([u8; 32], Sha256)>,
    changed: bool,
    ended: bool,
}

impl FileReader {
    /// Opens an entry below the tree's root; messages call it `shown`.
    pub(super) fn open(
        root: &OwnedFd,
        shown: PathBuf,
        entry: &SourceEntry,
    ) -> Result<Self, SourceError> {
        let file = open::entry(root, &entry.path, &shown)?;
        let left_bytes = match entry.kind {
            SourceKind::File { size_bytes, .. } => size_bytes,
            SourceKind::Directory | SourceKind::Symlink { .. } => 0,
        };
        Ok(Self {
            path: shown,
            file,
            left_bytes,
            expected: None,
            changed: false,
            ended: false,
        })
    }

    /// The file itself, for who reads it here and there; whether it changes is then theirs to see.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Also fails, at the end, if the bytes have another sha256.
    #[must_use]
    pub(crate) fn expecting(mut self, sha256: Option<[u8; 32]>) -> Self {
        self.expected = sha256.map(|sha256| (sha256, Sha256::new()));
        self
    }

    /// The error behind an `io::Error` that reading gave.
    pub(crate) fn explain(&self, error: io::Error) -> SourceError {
        let path = self.path.clone();
        if self.changed {
            SourceError::Changed { path }
        } else {
            SourceError::Read {
                path,
                source: error,
            }
        }
    }

    /// All bytes, for files that are known to be small.
    pub(super) fn read_all(mut self) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// The first bytes, for files of which the beginning tells enough.
    pub(super) fn read_start(mut self, bytes: u64) -> Result<Vec<u8>, SourceError> {
        let mut start = Vec::new();
        match (&mut self).take(bytes).read_to_end(&mut start) {
            Ok(_) => Ok(start),
            Err(error) => Err(self.explain(error)),
        }
    }

    fn fail(&mut self) -> io::Error {
        self.changed = true;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} changed while it was read", self.path.display()),
        )
    }

    fn end(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let mut beyond = [0];
        if self.file.read(&mut beyond)? != 0 {
            return Err(self.fail());
        }
        if let Some((expected, sha256)) = self.expected.take()
            && <[u8; 32]>::from(sha256.finalize()) != expected
        {
            return Err(self.fail());
        }
        Ok(())
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.changed {
            return Err(self.fail());
        }
        if self.left_bytes == 0 {
            self.end()?;
            return Ok(0);
        }
        let want = usize::try_from(self.left_bytes)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(self.fail());
        }
        self.left_bytes -= count as u64;
        if let Some((_, sha256)) = &mut self.expected {
            sha256.update(&buffer[..count]);
        }
        // Whoever copies an announced length never reads past the end; so it is looked at here.
        if self.left_bytes == 0 {
            self.end()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::super::testing::{folder, tree};
    use super::*;

    fn key(files: &[(&str, &str)]) -> Key {
        tree(&folder(files)).contents().unwrap().key()
    }

    #[test]
    fn the_key_is_about_content_alone() {
        let base = key(&[("a", "1"), ("b/c", "2")]);
        assert_eq!(base, key(&[("b/c", "2"), ("a", "1")]));
        for other in [
            key(&[("a", "1"), ("b/c", "3")]),
            key(&[("a*", "1"), ("b/c", "2")]),
            key(&[("a", "1"), ("b/d", "2")]),
            key(&[("a", "1"), ("b/c", "2"), ("d/", "")]),
            key(&[("a", "-> 1"), ("b/c", "2")]),
        ] {
            assert_ne!(base, other);
        }
        let folder = folder(&[("a", "1"), ("b/c", "2")]);
        let loose = fs::Permissions::from_mode(0o666);
        fs::set_permissions(folder.path().join("a"), loose).unwrap();
        let contents = tree(&folder).contents().unwrap();
        assert_eq!(contents.key(), base);
        assert_eq!(contents.hash_of(1), None);
        assert_eq!(
            contents.hash_of(2).unwrap(),
            <[u8; 32]>::from(Sha256::digest(b"2"))
        );
    }

    #[test]
    fn many_files_are_hashed_in_order() {
        let names: Vec<String> = (0..1000).map(|n| format!("f{n:04}")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
        let folder = folder(&files);
        let tree = tree(&folder);
        let contents = tree.contents().unwrap();
        for (index, name) in names.iter().enumerate() {
            let expected = <[u8; 32]>::from(Sha256::digest(name.as_bytes()));
            assert_eq!(contents.hash_of(index), Some(expected));
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        for (now, hash) in [("long", None), ("s", None), ("abd", Some(()))] {
            let folder = folder(&[("a", "abc")]);
            let tree = tree(&folder);
            let before = hash.map(|()| <[u8; 32]>::from(Sha256::digest(b"abc")));
            fs::write(folder.path().join("a"), now).unwrap();
            let mut file = tree.open(&tree.entries()[0]).unwrap().expecting(before);
            let error = io::copy(&mut file, &mut io::sink()).unwrap_err();
            assert!(
                matches!(file.explain(error), SourceError::Changed { path } if path.ends_with("a")),
                "{now}"
            );
        }
    }

    #[test]
    fn a_file_that_becomes_something_else_is_noticed() {
        type Swap = fn(&Path);
        let swaps: [Swap; 3] = [
            |path| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
            },
            |path| std::os::unix::fs::symlink("b", path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
        ];
        for swap in swaps {
            let folder = folder(&[("a", "abc"), ("b", "abc")]);
            let tree = tree(&folder);
            let path = folder.path().join("a");
            fs::remove_file(&path).unwrap();
            swap(&path);
            let error = tree.contents().unwrap_err();
            assert!(
                matches!(&error, SourceError::Changed { path } if path.ends_with("a")),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let folder = folder(&[("a", "abc")]);
        let tree = tree(&folder);
        fs::remove_file(folder.path().join("a")).unwrap();
        assert!(matches!(
            tree.contents(),
            Err(SourceError::Read { path, .. }) if path.ends_with("a")
        ));
    }
}
