//! Reading files once to hash them, unless they are known, and once more to write them, with a check
//! that they are the same bytes both times.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::known_hashes::{self, FileStamp, KnownHashes};
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
/// Opening a file takes as long as hashing so many bytes.
const OPENING_COST_BYTES: u64 = 4 << 10;
/// Files that take less than hashing so many bytes are hashed each time: some two milliseconds.
const WORTH_KNOWING_BYTES: u64 = 4 << 20;
/// How a file begins that stands for one which git LFS keeps, and how long it is at most:
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const MAX_LFS_POINTER_BYTES: u64 = 1024;

/// What the files of a tree hold.
#[derive(Debug)]
pub(crate) struct TreeContents {
    tree: SourceTree,
    hashes: Vec<Option<[u8; 32]>>,
    /// Files that only point to what git LFS keeps elsewhere, sorted.
    lfs_pointers: Vec<String>,
    /// Places of files whose hash no stamp stands for.
    unstamped: BTreeSet<usize>,
    /// When the first of them was read, or earlier.
    read: SystemTime,
    /// What reading those cost whose stamps stand for them from now on.
    newly_known_cost: u64,
}

impl TreeContents {
    /// Names the tree's content: paths, kinds, exec bits, link targets and bytes; neither times
    /// nor owners nor other permission bits nor where the tree is.
    pub(crate) fn key(&self) -> Key {
        self.key_of(0..self.hashes.len())
    }

    /// The same for some of the entries, by their places in [`SourceTree::entries`].
    pub(crate) fn key_of(&self, places: impl Iterator<Item = usize>) -> Key {
        let mut builder = KeyBuilder::new("source/1");
        for place in places {
            let Some(entry) = self.tree.entries().get(place) else {
                continue;
            };
            builder.add(&entry.path);
            match &entry.kind {
                SourceKind::Directory => builder.add(b"d"),
                SourceKind::Symlink { target } => {
                    builder.add(b"l");
                    builder.add(target);
                }
                SourceKind::File { executable, .. } => {
                    builder.add(if *executable { b"x" } else { b"f" });
                    builder.add(&self.hash_of(place).unwrap_or_default());
                }
            }
        }
        builder.finish()
    }

    /// Tells of what the image will not hold, though the source seems to.
    pub(crate) fn warn(&self, report: &dyn Report) {
        if !self.lfs_pointers.is_empty() {
            report.event(Event::Warning {
                text: format!(
                    "these are pointers of git LFS, not the files themselves: {}",
                    super::left_out::named(&self.lfs_pointers)
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

    /// What is worth being known to the next build; `None` where that is hardly more than was known to this one.
    pub(crate) fn to_keep(&self) -> Option<KnownHashes> {
        if self.newly_known_cost < WORTH_KNOWING_BYTES {
            return None;
        }
        let files = self.tree.entries().iter().zip(&self.hashes).enumerate();
        let stamped = files.filter_map(|(place, (entry, hash))| match &entry.kind {
            SourceKind::File { stamp, .. } if !self.unstamped.contains(&place) => {
                Some((*stamp, (*hash)?))
            }
            _ => None,
        });
        KnownHashes::of(stamped, self.read)
    }
}

/// Whether hashing a tree takes so long that files are worth being known.
pub(super) fn is_costly(tree: &SourceTree) -> bool {
    let mut cost = 0;
    tree.entries().iter().any(|entry| {
        cost += cost_of(entry);
        cost >= WORTH_KNOWING_BYTES
    })
}

/// How many bytes could be hashed in the time that a file takes.
fn cost_of(entry: &SourceEntry) -> u64 {
    match entry.kind {
        SourceKind::File { size_bytes, .. } => size_bytes + OPENING_COST_BYTES,
        SourceKind::Directory | SourceKind::Symlink { .. } => 0,
    }
}

/// Hashes every file of a tree that is not known.
pub(super) fn hash(tree: &SourceTree, known: &KnownHashes) -> Result<TreeContents, SourceError> {
    let hashing = Hashing {
        tree,
        known,
        read: known_hashes::now(),
        next: AtomicUsize::new(0),
    };
    let mut contents = TreeContents {
        tree: tree.clone(),
        hashes: vec![None; tree.entries().len()],
        lfs_pointers: Vec::new(),
        unstamped: BTreeSet::new(),
        read: hashing.read,
        newly_known_cost: 0,
    };
    for part in hashing.on_threads() {
        let part = part?;
        for (place, hash) in part.hashes {
            contents.hashes[place] = Some(hash);
        }
        contents.lfs_pointers.extend(part.lfs_pointers);
        contents.unstamped.extend(part.unstamped);
        contents.newly_known_cost += part.newly_known_cost;
    }
    contents.lfs_pointers.sort_unstable();
    Ok(contents)
}

/// What one thread has hashed.
#[derive(Default)]
struct HashedFiles {
    hashes: Vec<(usize, [u8; 32])>,
    lfs_pointers: Vec<String>,
    unstamped: Vec<usize>,
    newly_known_cost: u64,
}

/// A tree that is being hashed.
struct Hashing<'a> {
    tree: &'a SourceTree,
    known: &'a KnownHashes,
    /// When the reading of it began.
    read: SystemTime,
    /// The first entry that no thread has taken.
    next: AtomicUsize,
}

impl Hashing<'_> {
    fn on_threads(&self) -> Vec<Result<HashedFiles, SourceError>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..THREADS).map(|_| scope.spawn(|| self.some())).collect();
            let mut parts = vec![self.some()];
            for thread in threads {
                match thread.join() {
                    Ok(part) => parts.push(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            parts
        })
    }

    fn some(&self) -> Result<HashedFiles, SourceError> {
        let entries = self.tree.entries();
        let mut hashed = HashedFiles::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let start = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= entries.len() {
                return Ok(hashed);
            }
            let end = (start + CHUNK).min(entries.len());
            for (index, entry) in entries[start..end].iter().enumerate() {
                if let SourceKind::File { stamp, .. } = &entry.kind {
                    let hash = match self.known.find(stamp) {
                        Some(hash) => hash,
                        None => self.one((start + index, entry), &mut hashed, &mut buffer)?,
                    };
                    hashed.hashes.push((start + index, hash));
                }
            }
        }
    }

    /// Hashes one file, and notes what is to be known of it.
    fn one(
        &self,
        (place, entry): (usize, &SourceEntry),
        hashed: &mut HashedFiles,
        buffer: &mut [u8],
    ) -> Result<[u8; 32], SourceError> {
        let mut file = self.tree.open(entry)?;
        let mut sha256 = Sha256::new();
        let mut start_bytes = None;
        loop {
            let count = file.read(buffer).map_err(|error| file.explain(error))?;
            if count == 0 {
                break;
            }
            start_bytes.get_or_insert(count);
            sha256.update(&buffer[..count]);
        }
        let start = buffer.get(..start_bytes.unwrap_or(0)).unwrap_or_default();
        let SourceKind::File {
            size_bytes, stamp, ..
        } = &entry.kind
        else {
            return Ok(sha256.finalize().into());
        };
        // That a file is a pointer is told each time, so it is read each time.
        let is_pointer = *size_bytes <= MAX_LFS_POINTER_BYTES && start.starts_with(LFS_POINTER);
        if is_pointer {
            hashed.lfs_pointers.push(entry.shown());
        }
        if is_pointer || !file.looks_like(stamp) {
            hashed.unstamped.push(place);
        } else if stamp.is_quiet(self.read) {
            hashed.newly_known_cost += cost_of(entry);
        }
        Ok(sha256.finalize().into())
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

    /// Whether the open file looks like this.
    fn looks_like(&self, stamp: &FileStamp) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| FileStamp::of(&metadata) == *stamp)
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
        tree(&folder(files))
            .contents(&KnownHashes::default())
            .unwrap()
            .key()
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
        let contents = tree(&folder).contents(&KnownHashes::default()).unwrap();
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
        let contents = tree.contents(&KnownHashes::default()).unwrap();
        for (index, name) in names.iter().enumerate() {
            let expected = <[u8; 32]>::from(Sha256::digest(name.as_bytes()));
            assert_eq!(contents.hash_of(index), Some(expected));
        }
    }

    /// Files that are large together, and were left alone for as long as it takes to be known.
    fn quiet_folder() -> tempfile::TempDir {
        let large = "x".repeat(3 << 20);
        let folder = folder(&[("a", large.as_str()), ("b", large.as_str()), ("c", "small")]);
        std::thread::sleep(std::time::Duration::from_millis(2200));
        folder
    }

    fn known(folder: &tempfile::TempDir) -> KnownHashes {
        let contents = tree(folder).contents(&KnownHashes::default()).unwrap();
        contents.to_keep().unwrap()
    }

    /// Contents with the same length and times as before.
    fn forge(path: &Path, text: &str, write: impl FnOnce(&Path, &str)) {
        let before = fs::metadata(path).unwrap();
        write(path, text);
        let times = fs::FileTimes::new()
            .set_modified(before.modified().unwrap())
            .set_accessed(before.accessed().unwrap());
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(times).unwrap();
        let after = fs::metadata(path).unwrap();
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        assert_eq!(after.len(), before.len());
    }

    #[test]
    fn a_known_file_is_not_read_and_is_found_wherever_its_folder_goes() {
        let folder = quiet_folder();
        let known = known(&folder);
        let key = tree(&folder).contents(&known).unwrap().key();
        // Only a hash that was not made of them can tell that they were not read.
        let lie = KnownHashes::of(
            tree(&folder)
                .entries()
                .iter()
                .filter_map(|entry| match entry.kind {
                    SourceKind::File { stamp, .. } => Some((stamp, [7; 32])),
                    _ => None,
                }),
            known_hashes::now(),
        );
        let believed = tree(&folder).contents(&lie.unwrap()).unwrap();
        assert_eq!(believed.hash_of(0), Some([7; 32]));
        assert_eq!(believed.to_keep().map(|known| known.to_bytes()), None);
        let moved = tempfile::tempdir().unwrap();
        fs::rename(folder.path(), moved.path().join("there")).unwrap();
        let settings = super::super::SourceSettings {
            folder: moved.path().join("there"),
            ..super::super::testing::settings(&moved)
        };
        let tree = SourceTree::read(&settings, &crate::report::SilentReport).unwrap();
        let contents = tree.contents(&known).unwrap();
        assert_eq!(contents.key(), key);
        assert_eq!(contents.newly_known_cost, 0);
        fs::create_dir(folder.path()).unwrap();
    }

    #[test]
    fn no_length_and_no_time_hides_another_content() {
        let folder = quiet_folder();
        let known = known(&folder);
        let path = folder.path().join("a");
        let writes: [fn(&Path, &str); 2] = [
            |path, text| fs::write(path, text).unwrap(),
            |path, text| {
                let other = path.with_extension("new");
                fs::write(&other, text).unwrap();
                fs::rename(other, path).unwrap();
            },
        ];
        for (write, letter) in writes.into_iter().zip(["y", "z"]) {
            let text = letter.repeat(3 << 20);
            forge(&path, &text, write);
            let contents = tree(&folder).contents(&known).unwrap();
            let expected = <[u8; 32]>::from(Sha256::digest(&text));
            assert_eq!(contents.hash_of(0), Some(expected), "{letter}");
            // The other large one is still known.
            assert_eq!(contents.to_keep().map(|known| known.to_bytes()), None);
        }
    }

    #[test]
    fn a_file_that_was_written_just_now_is_hashed_again() {
        let large = "x".repeat(5 << 20);
        let folder = folder(&[("a", large.as_str())]);
        let contents = tree(&folder).contents(&KnownHashes::default()).unwrap();
        assert!(contents.to_keep().is_none());
        // Not even where others are worth being known.
        let read = known_hashes::now();
        let files = tree(&folder);
        let SourceKind::File { stamp, .. } = files.entries()[0].kind else {
            panic!("no file");
        };
        let known = KnownHashes::of([(stamp, [7; 32])].into_iter(), read).unwrap();
        let contents = files.contents(&known).unwrap();
        assert_eq!(contents.hash_of(0), Some(Sha256::digest(&large).into()));
    }

    #[test]
    fn a_pointer_of_lfs_is_told_each_time() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        let large = "x".repeat(5 << 20);
        let folder = folder(&[("a", large.as_str()), ("p", pointer)]);
        std::thread::sleep(std::time::Duration::from_millis(2200));
        let known = known(&folder);
        for known in [&KnownHashes::default(), &known] {
            let contents = tree(&folder).contents(known).unwrap();
            assert_eq!(contents.lfs_pointers, ["p"]);
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
            let error = tree.contents(&KnownHashes::default()).unwrap_err();
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
            tree.contents(&KnownHashes::default()),
            Err(SourceError::Read { path, .. }) if path.ends_with("a")
        ));
    }
}
