//! A layer as a folder: what a build step or an interpreter of ours needs of an image, laid out by
//! whoever runs s2r, root or not.
//!
//! Format: "Image Layer Filesystem Changeset" of the OCI image specification; the folder is one
//! that overlayfs takes as a lower one (kernel documentation, `overlayfs.rst`): a whiteout is a
//! character device 0:0, an opaque folder has the attribute `user.overlay.opaque`.
//!
//! A layer may come from a registry, so it is hostile. Every path is walked from the folder's own
//! descriptor, one component at a time, without following links: nothing outside of the folder is
//! ever opened, whatever an entry's path, its parents or a hard link say. Devices, pipes and
//! sockets are left out: what a step needs of them is given to it. Owners, set-user-id and
//! set-group-id bits and extended attributes are dropped; what a [`ImageUser`] may do stays.

mod error;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use tar::EntryType;

use crate::archive::tar::PATH_MAX_DEPTH;
use crate::layers::hashed::{LayerTar, MAX_UNPACKED_BYTES};
use crate::layers::viewer::ImageUser;
pub(crate) use error::{LayerEntryFault, LayerUnpackError};
use error::{entry_error, write_error};

/// Most entries of one layer.
const MAX_ENTRIES: u64 = 1_000_000;
/// Longest header of extended names and numbers, in bytes.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// Longest path, Linux's own limit.
const MAX_PATH_BYTES: usize = 4096;
/// Deepest path: that of the layers that are written here.
const MAX_DEPTH: usize = PATH_MAX_DEPTH;

/// Marks a removed path of the layers below.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a folder that hides what the layers below have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names with this beginning are notes of other tools and stand for no file.
const RESERVED: &[u8] = b".wh..wh.";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnpackedLayer {
    /// Files, links and folders.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// The sha256 of the whole tar: its diff id.
    pub sha256: [u8; 32],
}

/// Unpacks a layer, a tar that may be compressed by gzip or zstd, into a folder that is there and
/// empty: for whoever may do all with it, or with the rights of one user.
///
/// # Errors
/// The first entry that cannot be unpacked; the folder then holds what came before it.
pub(crate) fn unpack(
    reader: impl Read,
    folder: &Path,
    viewer: Option<ImageUser>,
) -> Result<UnpackedLayer, LayerUnpackError> {
    let unreadable = |source| LayerUnpackError::Read { source };
    // Entries are small and many: without a buffer each header would be a call of the decompressor.
    let mut archive =
        tar::Archive::new(BufReader::with_capacity(128 << 10, LayerTar::open(reader)?));
    let root = rustix::fs::open(folder, FOLDER, Mode::empty())
        .map_err(|error| write_error(folder.to_owned(), error))?;
    let mut place = UnpackTarget {
        folder,
        parent: Vec::new(),
        descriptor: root.try_clone().map_err(|source| LayerUnpackError::Write {
            path: folder.to_owned(),
            source,
        })?,
        root,
        viewer,
        folders: BTreeMap::new(),
    };
    let mut unpacked = UnpackedLayer::default();
    let mut told = ExtendedHeader::default();
    // Raw, because the library would read names of any length into memory.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        if unpacked.files >= MAX_ENTRIES {
            return Err(LayerUnpackError::TooMuch {
                entries: MAX_ENTRIES,
                bytes: MAX_UNPACKED_BYTES,
            });
        }
        if told.take(&mut entry)? {
            continue;
        }
        let header = EntryHeader::of(&entry, std::mem::take(&mut told), viewer)?;
        place.add(&header, &mut entry, &mut unpacked)?;
    }
    place.close_folders()?;
    unpacked.sha256 = archive.into_inner().into_inner().finish()?;
    Ok(unpacked)
}

/// What extension headers tell of the entry after them.
#[derive(Default)]
struct ExtendedHeader {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl ExtendedHeader {
    /// Reads an extension header; `false` if the entry is none.
    fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, LayerUnpackError> {
        let kind = entry.header().entry_type();
        let is_ours = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if !is_ours {
            return Ok(false);
        }
        let fault = || entry_error(b"an extension header", LayerEntryFault::Header);
        if entry.size() > MAX_EXTENSION_BYTES {
            return Err(fault());
        }
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(|source| LayerUnpackError::Read { source })?;
        if kind.is_gnu_longname() {
            self.path = Some(until_nul(bytes));
        } else if kind.is_gnu_longlink() {
            self.link = Some(until_nul(bytes));
        } else if kind.is_pax_local_extensions() {
            for record in tar::PaxExtensions::new(&bytes) {
                let record = record.map_err(|_| fault())?;
                match record.key_bytes() {
                    b"path" => self.path = Some(record.value_bytes().to_vec()),
                    b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                    // A file beyond 8 GiB, which the header cannot tell.
                    b"size" => return Err(fault()),
                    _ => {}
                }
            }
        }
        Ok(true)
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// An entry's header, checked.
struct EntryHeader {
    /// Without `/` at either end; empty for the root.
    path: Vec<u8>,
    kind: EntryType,
    mode: Mode,
    mtime: u64,
    link: Vec<u8>,
}

impl EntryHeader {
    fn of<R: Read>(
        entry: &tar::Entry<'_, R>,
        told: ExtendedHeader,
        viewer: Option<ImageUser>,
    ) -> Result<Self, LayerUnpackError> {
        let raw = told.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = relative(&raw).ok_or_else(|| entry_error(&raw, LayerEntryFault::Path))?;
        let link = match told.link {
            Some(link) => link,
            None => entry
                .link_name_bytes()
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default(),
        };
        let header = entry.header();
        let bad = |_| entry_error(&raw, LayerEntryFault::Header);
        let kind = header.entry_type();
        let mode = header.mode().map_err(bad)? & 0o777;
        let mode = match viewer {
            Some(viewer) => {
                viewer.mode(header.uid().map_err(bad)?, header.gid().map_err(bad)?, mode)
            }
            // Folders must let their owner in, so that they can be removed; files, so that they can be
            // read when the caller is not root, who owned them.
            None if kind.is_dir() => mode | 0o700,
            None => mode | 0o400,
        };
        Ok(Self {
            kind,
            mode: Mode::from_raw_mode(mode),
            mtime: header.mtime().map_err(bad)?,
            path,
            link,
        })
    }
}

/// A path without empty and `.` parts; `None` if it climbs, or is too long or too deep.
fn relative(path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let is_sound = path.len() <= MAX_PATH_BYTES
        && parts.len() <= MAX_DEPTH
        && !path.contains(&0)
        && !parts.contains(&b"..".as_slice());
    is_sound.then(|| parts.join(&b'/'))
}

/// Flags that open a folder and never a link.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct UnpackTarget<'a> {
    folder: &'a Path,
    root: OwnedFd,
    /// The folder of the last entry, because the next one mostly lies there too.
    parent: Vec<u8>,
    descriptor: OwnedFd,
    viewer: Option<ImageUser>,
    /// Modes that folders get in the end: until then something goes into them.
    folders: BTreeMap<Vec<u8>, Mode>,
}

impl UnpackTarget<'_> {
    fn add(
        &mut self,
        header: &EntryHeader,
        contents: &mut impl Read,
        unpacked: &mut UnpackedLayer,
    ) -> Result<(), LayerUnpackError> {
        let (parent, name) = split(&header.path);
        if name.is_empty() {
            return Ok(());
        }
        if self.parent != parent {
            self.descriptor = self.walk(parent, &header.path)?;
            self.parent = parent.to_vec();
        }
        if let Some(removed) = name.strip_prefix(WHITEOUT) {
            return self.remove(name, removed, &header.path);
        }
        let kind = header.kind;
        if kind.is_dir() {
            self.directory(name, header)?;
        } else if kind.is_symlink() {
            self.clear(name, header)?;
            rustix::fs::symlinkat(header.link.as_slice(), &self.descriptor, name)
                .map_err(|error| self.error(&header.path, error))?;
        } else if kind.is_hard_link() {
            self.hard_link(name, header)?;
        } else if kind.is_file() || kind.is_contiguous() {
            unpacked.bytes += self.file(name, header, contents)?;
        } else if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
            return Ok(());
        } else {
            return Err(entry_error(&header.path, LayerEntryFault::Header));
        }
        unpacked.files += 1;
        Ok(())
    }

    /// The folder at a path, made where it is not there.
    fn walk(&mut self, path: &[u8], entry: &[u8]) -> Result<OwnedFd, LayerUnpackError> {
        let mut folder = self.open(self.root.as_fd(), b".", entry)?;
        let mut walked: Vec<u8> = Vec::new();
        for part in path
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
        {
            walked.extend_from_slice(part);
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let viewer = self.viewer;
                    let mode = viewer.map(|viewer| Mode::from_raw_mode(viewer.mode(0, 0, 0o755)));
                    self.folders.extend(mode.map(|mode| (walked.clone(), mode)));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(self.error(entry, error)),
            }
            walked.push(b'/');
            folder = self.open(folder.as_fd(), part, entry)?;
        }
        Ok(folder)
    }

    /// Gives folders their modes, the inner ones first.
    fn close_folders(&mut self) -> Result<(), LayerUnpackError> {
        for (path, mode) in std::mem::take(&mut self.folders).into_iter().rev() {
            let folder = self.walk(&path, &path)?;
            rustix::fs::fchmod(&folder, mode).map_err(|error| self.error(&path, error))?;
        }
        Ok(())
    }

    fn open(
        &self,
        at: BorrowedFd<'_>,
        name: &[u8],
        entry: &[u8],
    ) -> Result<OwnedFd, LayerUnpackError> {
        rustix::fs::openat(at, name, FOLDER, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => entry_error(entry, LayerEntryFault::Parent),
            error => self.error(entry, error),
        })
    }

    fn directory(&mut self, name: &[u8], header: &EntryHeader) -> Result<(), LayerUnpackError> {
        if self.viewer.is_some() {
            self.folders.insert(header.path.clone(), header.mode);
        }
        let error = |error| self.error(&header.path, error);
        match self.kind_of(name) {
            Some(FileType::Directory) => {}
            found => {
                if found.is_some() {
                    self.clear(name, header)?;
                }
                rustix::fs::mkdirat(&self.descriptor, name, Mode::from_raw_mode(0o755))
                    .map_err(error)?;
                if found == Some(FileType::CharacterDevice) {
                    self.hide(name, &header.path)?;
                }
            }
        }
        let folder = self.open(self.descriptor.as_fd(), name, &header.path)?;
        let mode = match self.viewer {
            Some(_) => Mode::from_raw_mode(0o755),
            None => header.mode,
        };
        rustix::fs::fchmod(&folder, mode).map_err(error)
    }

    fn file(
        &self,
        name: &[u8],
        header: &EntryHeader,
        contents: &mut impl Read,
    ) -> Result<u64, LayerUnpackError> {
        let error = |error| self.error(&header.path, error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&self.descriptor, name, flags, header.mode);
        let file = match open() {
            Err(Errno::EXIST) => {
                self.clear(name, header)?;
                open()
            }
            opened => opened,
        };
        let mut file = File::from(file.map_err(error)?);
        let bytes = copy(contents, &mut file, |source| LayerUnpackError::Write {
            path: self.on_disk(&header.path),
            source,
        })?;
        // The umask had its say when the file was made.
        rustix::fs::fchmod(&file, header.mode).map_err(error)?;
        let time = rustix::fs::Timespec {
            tv_sec: i64::try_from(header.mtime).unwrap_or_default(),
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(&file, &times).map_err(error)?;
        Ok(bytes)
    }

    fn hard_link(&mut self, name: &[u8], header: &EntryHeader) -> Result<(), LayerUnpackError> {
        let fault = || entry_error(&header.path, LayerEntryFault::Link);
        let target = relative(&header.link).ok_or_else(fault)?;
        if target == header.path {
            return Err(fault());
        }
        let (parent, target) = split(&target);
        let folder = self.walk(parent, &header.path)?;
        let found = rustix::fs::statat(&folder, target, AtFlags::SYMLINK_NOFOLLOW);
        if !found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file()) {
            return Err(fault());
        }
        self.clear(name, header)?;
        rustix::fs::linkat(&folder, target, &self.descriptor, name, AtFlags::empty())
            .map_err(|error| self.error(&header.path, error))
    }

    /// Makes way for an entry that the layer holds twice.
    fn clear(&self, name: &[u8], header: &EntryHeader) -> Result<(), LayerUnpackError> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                Err(entry_error(&header.path, LayerEntryFault::Folder))
            }
            Err(error) => Err(self.error(&header.path, error)),
        }
    }

    /// Marks a path of the layers below as removed, or this folder as hiding what is below it.
    fn remove(&self, name: &[u8], removed: &[u8], path: &[u8]) -> Result<(), LayerUnpackError> {
        if name == OPAQUE {
            return self.hide(b".", path);
        }
        if name.starts_with(RESERVED) {
            return Ok(());
        }
        if matches!(removed, b"" | b"." | b"..") {
            return Err(entry_error(path, LayerEntryFault::Path));
        }
        // What the layer itself brings stays, in whichever order its entries come.
        if self.kind_of(removed).is_some() {
            return Ok(());
        }
        let device = rustix::fs::makedev(0, 0);
        let mode = Mode::empty();
        rustix::fs::mknodat(
            &self.descriptor,
            removed,
            FileType::CharacterDevice,
            mode,
            device,
        )
        .map_err(|error| LayerUnpackError::Whiteout {
            path: self.on_disk(path),
            source: error.into(),
        })
    }

    /// Makes a folder opaque.
    fn hide(&self, name: &[u8], path: &[u8]) -> Result<(), LayerUnpackError> {
        let folder = self.open(self.descriptor.as_fd(), name, path)?;
        rustix::fs::fsetxattr(&folder, "user.overlay.opaque", b"y", XattrFlags::empty()).map_err(
            |error| LayerUnpackError::Whiteout {
                path: self.on_disk(path),
                source: error.into(),
            },
        )
    }

    fn kind_of(&self, name: &[u8]) -> Option<FileType> {
        rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .map(|found| FileType::from_raw_mode(found.st_mode))
    }

    fn on_disk(&self, path: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.folder.join(std::ffi::OsStr::from_bytes(path))
    }

    fn error(&self, path: &[u8], error: Errno) -> LayerUnpackError {
        write_error(self.on_disk(path), error)
    }
}

/// Copies contents, telling who is to blame when that fails.
fn copy(
    from: &mut impl Read,
    to: &mut File,
    unwritable: impl Fn(io::Error) -> LayerUnpackError,
) -> Result<u64, LayerUnpackError> {
    use std::io::Write as _;
    let mut buffer = vec![0; 16 << 10];
    let mut bytes = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(LayerUnpackError::Read { source }),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())
            .map_err(&unwritable)?;
        bytes += count as u64;
    }
}

/// A path's folder and its last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests;
