//! Writes the entries of a hostile archive below one folder, and nothing anywhere else.
//!
//! The folder is ours alone and empty at first. Links are made when all else is there: so no entry
//! is ever written through one, and a path that is there twice, or is a link and a folder, meets
//! what is there already and is refused. Of modes only the owner's execute bit is taken.

use super::error::{MAX_BYTES, MAX_DEPTH, MAX_ENTRIES, MAX_LINK_BYTES, MAX_PATH_BYTES};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{ArchiveBound, ArchiveEntryFault, ArchiveSourceError};
use crate::archive::UnpackedBound;
use crate::report::{Event, Report};

/// As many names stand in a warning.
const MAX_NAMED: usize = 5;
/// Bytes copied at once.
const PIECE_BYTES: usize = 64 << 10;

pub(super) struct UnpackSink<'a> {
    root: &'a Path,
    shown: &'a str,
    /// How much all files may be, by the archive's length.
    pub(super) unpacked: UnpackedBound,
    entries: u64,
    bytes: u64,
    links: Vec<(PathBuf, Vec<u8>)>,
    link_bytes: usize,
    /// Devices and the like, by name, and how many.
    special: Vec<String>,
    special_count: usize,
    /// Entries that a file manager added for itself.
    of_file_managers: usize,
    /// Whether paths came with backslashes, which were read as slashes.
    pub(super) has_backslashes: bool,
    /// The folder that was made or found last.
    last_folder: PathBuf,
    buffer: Vec<u8>,
}

/// A file as an archive announces it.
pub(super) struct NewFile<'a> {
    pub entry: &'a [u8],
    /// Whether its owner may execute it.
    pub is_executable: bool,
    /// How long it is.
    pub size_bytes: u64,
}

/// An entry's path below the root, made of plain names.
struct EntryPath {
    path: PathBuf,
    /// The name of the archive in messages.
    named: String,
}

impl<'a> UnpackSink<'a> {
    /// `root` is an empty folder of ours, `shown` the archive as typed.
    pub(super) fn new(root: &'a Path, shown: &'a str, unpacked: UnpackedBound) -> Self {
        Self {
            root,
            shown,
            unpacked,
            entries: 0,
            bytes: 0,
            links: Vec::new(),
            link_bytes: 0,
            special: Vec::new(),
            special_count: 0,
            of_file_managers: 0,
            has_backslashes: false,
            last_folder: root.to_owned(),
            buffer: vec![0; PIECE_BYTES],
        }
    }

    /// The error of an entry.
    pub(super) fn refuse(&self, entry: &[u8], fault: ArchiveEntryFault) -> ArchiveSourceError {
        ArchiveSourceError::Entry {
            shown: self.shown.to_owned(),
            entry: String::from_utf8_lossy(entry).into_owned(),
            fault,
        }
    }

    fn bound(&self, bound: ArchiveBound) -> ArchiveSourceError {
        ArchiveSourceError::Bound {
            shown: self.shown.to_owned(),
            bound,
        }
    }

    /// A path of the archive as one below the root; `None` for the root itself.
    fn place(&self, entry: &[u8]) -> Result<Option<EntryPath>, ArchiveSourceError> {
        let refuse = |fault| Err(self.refuse(entry, fault));
        if entry.contains(&0) {
            return refuse(ArchiveEntryFault::Nul);
        }
        if entry.len() > MAX_PATH_BYTES {
            return refuse(ArchiveEntryFault::Long);
        }
        if entry.starts_with(b"/") {
            return refuse(ArchiveEntryFault::Absolute);
        }
        let mut path = self.root.to_owned();
        let mut depth = 0;
        for component in entry.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return refuse(ArchiveEntryFault::Climbs),
                name => {
                    path.push(OsStr::from_bytes(name));
                    depth += 1;
                }
            }
        }
        if depth > MAX_DEPTH {
            return refuse(ArchiveEntryFault::Deep);
        }
        Ok((depth > 0).then(|| EntryPath {
            path,
            named: String::from_utf8_lossy(entry).into_owned(),
        }))
    }

    /// Whether an entry is none of the project's, but what Finder adds to archives: it is left out.
    pub(super) fn leaves_out(&mut self, entry: &[u8]) -> bool {
        let mut names = entry
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".");
        let is_of_finder = names.clone().next() == Some(b"__MACOSX")
            || names.any(|name| name == b".DS_Store" || name.starts_with(b"._"));
        self.of_file_managers += usize::from(is_of_finder);
        is_of_finder
    }

    fn count_entry(&mut self) -> Result<(), ArchiveSourceError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.bound(ArchiveBound::Entries));
        }
        Ok(())
    }

    fn count_bytes(&mut self, bytes: u64, read_bytes: u64) -> Result<(), ArchiveSourceError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            return Err(self.bound(ArchiveBound::Bytes));
        }
        let most_bytes = self.unpacked.most_bytes(read_bytes);
        if self.bytes > most_bytes {
            return Err(self.bound(ArchiveBound::Ratio { most_bytes }));
        }
        Ok(())
    }

    /// The error of the file system at a place.
    fn failed(&self, place: &EntryPath, source: io::Error) -> ArchiveSourceError {
        let is_taken = matches!(
            source.kind(),
            io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
        );
        if is_taken {
            return self.refuse(place.named.as_bytes(), ArchiveEntryFault::Twice);
        }
        if source.kind() == io::ErrorKind::InvalidFilename {
            return self.refuse(place.named.as_bytes(), ArchiveEntryFault::Long);
        }
        ArchiveSourceError::Write {
            path: place.path.clone(),
            source,
        }
    }

    /// Makes the folders that a place lies in, as far as they are not there.
    fn parents(&mut self, place: &EntryPath) -> Result<(), ArchiveSourceError> {
        let Some(parent) = place.path.parent() else {
            return Ok(());
        };
        self.folders(parent, place)
    }

    fn folders(&mut self, folder: &Path, place: &EntryPath) -> Result<(), ArchiveSourceError> {
        if folder == self.last_folder {
            return Ok(());
        }
        let below = folder.strip_prefix(self.root).unwrap_or(Path::new(""));
        let mut path = self.root.to_owned();
        for name in below.components() {
            path.push(name);
            match fs::create_dir(&path) {
                Ok(()) => self.count_entry()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // No link is here yet, so what is no folder is a file.
                    if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                        return Err(self.refuse(place.named.as_bytes(), ArchiveEntryFault::Twice));
                    }
                }
                Err(error) => return Err(self.failed(place, error)),
            }
        }
        folder.clone_into(&mut self.last_folder);
        Ok(())
    }

    /// Takes a folder; one that is there already is no fault, because archives repeat them.
    pub(super) fn folder(&mut self, entry: &[u8]) -> Result<(), ArchiveSourceError> {
        match self.place(entry)? {
            Some(place) => self.folders(&place.path.clone(), &place),
            None => Ok(()),
        }
    }

    /// Takes a file with its contents. `read_bytes` tells how much of the archive has been read.
    pub(super) fn file(
        &mut self,
        file: &NewFile<'_>,
        contents: &mut dyn Read,
        read_bytes: &dyn Fn() -> u64,
    ) -> Result<(), ArchiveSourceError> {
        let &NewFile {
            entry,
            is_executable,
            size_bytes,
        } = file;
        let Some(place) = self.place(entry)? else {
            return Err(self.refuse(entry, ArchiveEntryFault::Twice));
        };
        self.count_entry()?;
        if size_bytes > MAX_BYTES - self.bytes {
            return Err(self.bound(ArchiveBound::Bytes));
        }
        self.parents(&place)?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(if is_executable { 0o755 } else { 0o644 })
            .open(&place.path)
            .map_err(|error| self.failed(&place, error))?;
        let mut left = size_bytes;
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let count = contents.read(&mut self.buffer[..most]).map_err(|source| {
                ArchiveSourceError::Read {
                    shown: self.shown.to_owned(),
                    source,
                }
            })?;
            if count == 0 {
                return Err(ArchiveSourceError::Cut {
                    shown: self.shown.to_owned(),
                });
            }
            file.write_all(&self.buffer[..count])
                .map_err(|error| self.failed(&place, error))?;
            left -= count as u64;
            self.count_bytes(count as u64, read_bytes())?;
        }
        Ok(())
    }

    /// Takes a symbolic link; where it leads is the business of whoever reads the folder.
    pub(super) fn link(&mut self, entry: &[u8], target: &[u8]) -> Result<(), ArchiveSourceError> {
        let Some(place) = self.place(entry)? else {
            return Err(self.refuse(entry, ArchiveEntryFault::Twice));
        };
        let fault = match target {
            [] => Some(ArchiveEntryFault::NoTarget),
            target if target.contains(&0) => Some(ArchiveEntryFault::Nul),
            target if target.len() > MAX_PATH_BYTES => Some(ArchiveEntryFault::Long),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(self.refuse(entry, fault));
        }
        self.count_entry()?;
        self.link_bytes += entry.len() + target.len();
        if self.link_bytes > MAX_LINK_BYTES {
            return Err(self.bound(ArchiveBound::Links));
        }
        self.parents(&place)?;
        self.links.push((place.path, target.to_vec()));
        Ok(())
    }

    /// Takes a hard link to an earlier file. Each counts with the file's whole length, because the
    /// image will hold it as often.
    pub(super) fn hard_link(
        &mut self,
        entry: &[u8],
        target: &[u8],
        read_bytes: u64,
    ) -> Result<(), ArchiveSourceError> {
        let (Some(place), Some(target)) = (self.place(entry)?, self.place(target)?) else {
            return Err(self.refuse(entry, ArchiveEntryFault::HardLink));
        };
        let size_bytes = match target.path.symlink_metadata() {
            Ok(found) if found.is_file() => found.len(),
            _ => return Err(self.refuse(entry, ArchiveEntryFault::HardLink)),
        };
        self.count_entry()?;
        self.count_bytes(size_bytes, read_bytes)?;
        self.parents(&place)?;
        fs::hard_link(&target.path, &place.path).map_err(|error| self.failed(&place, error))
    }

    /// Leaves out what no image holds: devices, pipes, sockets.
    pub(super) fn special(&mut self, entry: &[u8]) -> Result<(), ArchiveSourceError> {
        self.count_entry()?;
        self.special_count += 1;
        if self.special.len() < MAX_NAMED {
            self.special
                .push(String::from_utf8_lossy(entry).into_owned());
        }
        Ok(())
    }

    /// Makes the links, and says what was left out.
    pub(super) fn finish(self, report: &dyn Report) -> Result<(), ArchiveSourceError> {
        for (path, target) in &self.links {
            let place = EntryPath {
                named: path
                    .strip_prefix(self.root)
                    .unwrap_or(path)
                    .to_string_lossy()
                    .into_owned(),
                path: path.clone(),
            };
            std::os::unix::fs::symlink(OsStr::from_bytes(target), path)
                .map_err(|error| self.failed(&place, error))?;
        }
        if self.has_backslashes {
            report.event(Event::Warning {
                text: "paths in the archive have backslashes; they are read as slashes".to_owned(),
                hint: "`git archive --format zip HEAD` writes paths as all programs read them"
                    .to_owned(),
            });
        }
        if self.of_file_managers > 0 {
            report.event(Event::Warning {
                text: format!(
                    "left out what macOS adds to archives: __MACOSX, .DS_Store and ._FILE, {} in all",
                    self.of_file_managers
                ),
                hint: "`git archive HEAD` or `COPYFILE_DISABLE=1 tar -c .` packs the project alone"
                    .to_owned(),
            });
        }
        if self.special_count > 0 {
            let mut names = self.special.join(", ");
            if self.special_count > self.special.len() {
                let more = self.special_count - self.special.len();
                names.push_str(&format!(" and {more} more"));
            }
            report.event(Event::Warning {
                text: format!(
                    "sockets, pipes and devices are left out: {}",
                    names.escape_debug()
                ),
                hint: "leave them out of the archive".to_owned(),
            });
        }
        Ok(())
    }
}
