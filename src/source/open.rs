//! Opens files below the source's root and nowhere else: by openat2(2), which refuses links that lead
//! out, whatever happens to the folders meanwhile. A kernel without it (before 5.6, or a filter in front
//! of it) gets the older way, which refuses every link in the last component.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{SettingsFile, SourceError};

pub(super) fn folder(root: &Path) -> Result<OwnedFd, SourceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(|error| SourceError::Read {
        path: root.to_owned(),
        source: error.into(),
    })
}

/// Opens what was a file when the tree was read. If it, or a folder above it, has become a link or a
/// pipe since, that is an error: a link could lead anywhere, and opening a pipe could wait for ever.
pub(super) fn entry(root: &OwnedFd, path: &[u8], shown: &Path) -> Result<File, SourceError> {
    let changed = || SourceError::Changed {
        path: shown.to_owned(),
    };
    match open(root.as_fd(), path, ResolveFlags::NO_SYMLINKS) {
        Ok(Some(file)) => Ok(file),
        Ok(None) | Err(Errno::LOOP | Errno::XDEV) => Err(changed()),
        Err(error) => Err(SourceError::Read {
            path: shown.to_owned(),
            source: error.into(),
        }),
    }
}

/// What lies at a path that no tree knows yet.
pub(super) enum SmallFile {
    Bytes(Vec<u8>),
    Nothing,
    /// A pipe, a device, a folder, or a link that leads out: nothing to read.
    NoFile,
}

/// Reads a file below the root, links followed while they stay within it.
///
/// # Errors
/// [`SourceError::Long`], [`SourceError::Read`]
pub(super) fn small(
    root: &OwnedFd,
    (folder, name): (&Path, &str),
    file: SettingsFile,
) -> Result<SmallFile, SourceError> {
    let path = folder.join(name);
    let unreadable = |source: io::Error| SourceError::Read {
        path: path.clone(),
        source,
    };
    let opened = match open(root.as_fd(), name.as_bytes(), ResolveFlags::NO_MAGICLINKS) {
        Ok(Some(opened)) => opened,
        Ok(None) | Err(Errno::LOOP | Errno::XDEV) => return Ok(SmallFile::NoFile),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(SmallFile::Nothing),
        Err(error) => return Err(unreadable(error.into())),
    };
    let limit_bytes = file.limit_bytes();
    let size_bytes = opened.metadata().map_err(unreadable)?.len();
    let mut text = Vec::new();
    if size_bytes <= limit_bytes {
        let read = opened.take(limit_bytes + 1).read_to_end(&mut text);
        read.map_err(unreadable)?;
    }
    if size_bytes > limit_bytes || text.len() as u64 > limit_bytes {
        return Err(SourceError::Long {
            path,
            size_bytes: size_bytes.max(text.len() as u64),
            limit_bytes,
        });
    }
    Ok(SmallFile::Bytes(text))
}

/// `None` for what is no regular file: that is looked at first, because to open a device can have
/// effects of its own.
fn open(root: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<Option<File>, Errno> {
    let look = open_as(root, path, OFlags::PATH, resolve)?;
    if !is_file(&look)? {
        return Ok(None);
    }
    let file = open_as(root, path, OFlags::RDONLY | OFlags::NONBLOCK, resolve)?;
    Ok(is_file(&file)?.then(|| File::from(file)))
}

fn open_as(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = OsStr::from_bytes(path);
    let flags = flags | OFlags::CLOEXEC;
    let resolve = resolve | ResolveFlags::BENEATH;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => {
            rustix::fs::openat(root, path, flags | OFlags::NOFOLLOW, Mode::empty())
        }
        other => other,
    }
}

fn is_file(file: &OwnedFd) -> Result<bool, Errno> {
    let mode = rustix::fs::fstat(file)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::super::testing::folder as made;
    use super::*;

    #[test]
    fn folders_that_become_links_lead_nowhere() {
        let source = made(&[("a/b", "x"), ("link", "-> a/b"), ("out", "-> /etc/passwd")]);
        let elsewhere = made(&[("b", "secret")]);
        let root = folder(source.path()).unwrap();
        assert!(entry(&root, b"a/b", Path::new("a/b")).is_ok());
        std::fs::rename(source.path().join("a"), source.path().join("c")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), source.path().join("a")).unwrap();
        let error = entry(&root, b"a/b", Path::new("a/b")).unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error:?}");
        for (path, is_nothing) in [("out", false), ("a/b", false), ("no", true)] {
            match small(&root, (source.path(), path), SettingsFile::IgnoreRules).unwrap() {
                SmallFile::Nothing => assert!(is_nothing, "{path}"),
                SmallFile::NoFile => assert!(!is_nothing, "{path}"),
                SmallFile::Bytes(_) => panic!("{path}"),
            }
        }
    }
}
