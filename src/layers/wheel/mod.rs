//! Wheels as a layer: installed as pip would, without unpacking them.
//!
//! Format: "Binary distribution format" and "Recording installed projects" of the Python packaging
//! specifications; where they leave it open, what pip does. Each member's deflate stream is copied
//! into the layer as it is ([`LayerWriter::deflated_file`]); only scripts whose first line changes and
//! the files that an installer adds are made here.
//!
//! A wheel comes with its own sha256 checked against the lock, so the hashes in its `RECORD` are
//! taken over unchecked; CRC and length of every member are checked while it is copied. A file
//! that `RECORD` does not list is hashed here and listed.
//!
//! Byte code comes from the pipeline's interpreter; it is listed in `RECORD` without a hash, as pip
//! does it, and takes the place of what the wheel may ship itself.
//!
//! Deliberately unlike pip: `INSTALLER` says `s2r`, lines of `RECORD` end with `\n`, byte code is
//! of the kind that does not look at its source's time, scripts of a `.data` folder are always
//! executable, and pip itself comes without what misleads scanners of images.

mod error;
mod install;
mod linkage;
mod script;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use crate::archive::UnpackedBound;
use crate::archive::tar::{EntryOwner, LayerWriter};
use crate::archive::zip::{CompressionMethod, MemberFault, ZipArchive, ZipMember};
use crate::layers::bytecode::{self, ByteCode};
use crate::oci::{Key, KeyBuilder};
pub(crate) use error::WheelLayerError;
use install::{FileSource, Installation};
pub(crate) use linkage::linkage;

/// Names how these layers are made; a change of any byte of them needs another. Byte code adds its
/// compiler's key.
const LAYOUT: &str = "wheels/3";

/// Length of what [`contents`] gives, roughly, in bytes.
const MAX_CONTENTS_TEXT_BYTES: usize = 200;

/// Where wheels are installed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstallTarget {
    /// The virtual environment, without a leading slash: `opt/app-root`.
    pub prefix: String,
    /// Python's version as its folders have it: `3.13`.
    pub python: String,
    /// Owner of the prefix and all below it.
    pub uid: u32,
    /// Group of the prefix and all below it.
    pub gid: u32,
    /// Time of all entries, seconds since 1970; part of the key, applied by the writer.
    pub mtime: u64,
    /// Key of the compiler whose byte code lies beside the sources; `None` for none.
    pub bytecode: Option<Key>,
}

/// A wheel to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelFile {
    /// The file; need not exist to know the layer's key.
    pub path: PathBuf,
    /// Its project, normalised (`ruamel-yaml`).
    pub name: String,
    pub version: String,
    /// Its digest, which the caller has checked.
    pub sha256: [u8; 32],
    /// Whether the user asked for it, rather than another package (`REQUESTED`).
    pub requested: bool,
    /// How much it may unpack to.
    pub unpacked: UnpackedBound,
}

/// A file that two wheels bring, not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOverlap {
    /// Its path in the image, without a leading slash.
    pub path: String,
    /// The project whose file is lost.
    pub lost: String,
    /// The project whose file is in the layer.
    pub kept: String,
}

/// Whether a path is the interpreter's or the environment's own. What installs wheels elsewhere lets them replace it;
/// such an image starts something else than it says.
fn is_reserved(path: &[u8], target: &InstallTarget) -> bool {
    let below = path.strip_prefix(target.prefix.as_bytes());
    let Some(name) = below.and_then(|rest| rest.strip_prefix(b"/")) else {
        return false;
    };
    let versioned = format!("bin/python{}", target.python);
    name == b"pyvenv.cfg"
        || name == b"bin/python"
        || name == b"bin/python3"
        || name == versioned.as_bytes()
}

/// The key of the layer that [`write()`] makes of these wheels; reads nothing.
pub(crate) fn key(wheels: &[WheelFile], target: &InstallTarget) -> Key {
    let mut key = KeyBuilder::new(LAYOUT)
        .field(target.prefix.as_bytes())
        .field(target.python.as_bytes())
        .field(&target.uid.to_le_bytes())
        .field(&target.gid.to_le_bytes())
        .field(&target.mtime.to_le_bytes());
    if let Some(compiler) = &target.bytecode {
        key.add(b"bytecode");
        key.add(compiler.as_bytes());
    }
    for wheel in wheels {
        key.add(wheel.name.as_bytes());
        key.add(wheel.version.as_bytes());
        key.add(&wheel.sha256);
        key.add(&[u8::from(wheel.requested)]);
    }
    key.finish()
}

/// What is in the layer, for people: `click==8.1.7 flask==3.0.3 +4 more`.
pub(crate) fn contents(wheels: &[WheelFile]) -> String {
    let mut text = String::new();
    for (done, wheel) in wheels.iter().enumerate() {
        let next = format!("{}=={}", wheel.name, wheel.version);
        if done > 0 && text.len() + next.len() > MAX_CONTENTS_TEXT_BYTES {
            return format!("{text} +{} more", wheels.len() - done);
        }
        if done > 0 {
            text.push(' ');
        }
        text.push_str(&next);
    }
    text
}

/// What of a wheel can be compiled.
pub(crate) struct WheelSources {
    archive: ZipArchive,
    files: Vec<(Vec<u8>, ZipMember)>,
}

impl WheelSources {
    /// Reads the wheel's directory and metadata.
    pub(crate) fn open(wheel: &WheelFile, target: &InstallTarget) -> Result<Self, WheelLayerError> {
        let read = Installation::read(wheel, target, None);
        let Installation { archive, files } = read.map_err(|error| error.of(wheel))?;
        let files = files
            .into_iter()
            .filter_map(|(path, file)| match file.content {
                FileSource::Member(member) if is_source(&path, &member, target) => {
                    Some((path, member))
                }
                _ => None,
            })
            .collect();
        Ok(Self { archive, files })
    }

    /// Paths in the image and lengths in bytes, sorted.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.files
            .iter()
            .map(|(path, member)| (path.as_slice(), member.deflated.size))
    }

    /// The bytes of one.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>, WheelLayerError> {
        match self.files.get(index) {
            Some((_, member)) => Ok(self.archive.read(member, bytecode::MAX_SOURCE_BYTES)?),
            None => Ok(Vec::new()),
        }
    }
}

/// Whether a file of the image is a module that is worth compiling.
fn is_source(path: &[u8], member: &ZipMember, target: &InstallTarget) -> bool {
    let site_packages = install::site_packages(target);
    path.strip_prefix(site_packages.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"))
        .is_some_and(bytecode::is_module)
        && member.deflated.size <= bytecode::MAX_SOURCE_BYTES
}

/// Writes the wheels, in the order of their names, as entries of one layer, each with its byte code
/// if there is some. Of a path that two wheels have, the later wheel's is kept; those that differ
/// are given back.
pub(crate) fn write<W: Write>(
    wheels: &[WheelFile],
    target: &InstallTarget,
    bytecode: &[ByteCode],
    out: &mut LayerWriter<W>,
) -> Result<Vec<FileOverlap>, WheelLayerError> {
    let mut tree = LayerTree::default();
    let mut archives = Vec::with_capacity(wheels.len());
    for (index, wheel) in wheels.iter().enumerate() {
        let read = Installation::read(wheel, target, bytecode.get(index));
        let Installation { archive, files } = read.map_err(|error| error.of(wheel))?;
        if let Some((path, _)) = files.iter().find(|(path, _)| is_reserved(path, target)) {
            return Err(WheelLayerError::Reserved {
                path: String::from_utf8_lossy(path).into_owned(),
                wheel: wheel.path.clone(),
            }
            .of(wheel));
        }
        archives.push(archive);
        tree.forget_compiled(&files, target);
        for (path, file) in files {
            tree.add(path, PlacedFile { wheel: index, file }, wheels)?;
        }
    }
    let system = EntryOwner {
        uid: 0,
        gid: 0,
        mode: 0o755,
    };
    let owner = |mode| EntryOwner {
        uid: target.uid,
        gid: target.gid,
        mode,
    };
    for (path, node) in &tree.nodes {
        match node {
            TreeNode::Directory if is_below(path, &target.prefix) => {
                out.directory(path, &owner(0o775))?;
            }
            TreeNode::Directory => out.directory(path, &system)?,
            TreeNode::File(placed) => {
                let mode = if placed.file.executable { 0o775 } else { 0o664 };
                let archive = &archives[placed.wheel];
                let owner = owner(mode);
                let written = match &placed.file.content {
                    FileSource::Bytes(bytes) => write_bytes(out, path, &owner, bytes),
                    FileSource::Script(member) => script::rewritten(archive, member, target)
                        .and_then(|bytes| write_bytes(out, path, &owner, &bytes)),
                    FileSource::Member(member) => write_member(out, path, &owner, archive, member),
                    FileSource::Compiled(span) => match bytecode.get(placed.wheel) {
                        Some(code) => out
                            .file(path, &owner, span.size_bytes, &mut code.read(*span))
                            .map_err(WheelLayerError::from),
                        None => Ok(()),
                    },
                };
                written.map_err(|error| error.of(&wheels[placed.wheel]))?;
            }
        }
    }
    Ok(tree.overlaps)
}

fn write_bytes<W: Write>(
    out: &mut LayerWriter<W>,
    path: &[u8],
    owner: &EntryOwner,
    mut bytes: &[u8],
) -> Result<(), WheelLayerError> {
    out.file(path, owner, bytes.len() as u64, &mut bytes)?;
    Ok(())
}

fn write_member<W: Write>(
    out: &mut LayerWriter<W>,
    path: &[u8],
    owner: &EntryOwner,
    archive: &ZipArchive,
    member: &ZipMember,
) -> Result<(), WheelLayerError> {
    match member.method {
        CompressionMethod::Deflated => {
            out.deflated_file(path, owner, member.deflated, &mut archive.raw(member))?;
        }
        CompressionMethod::Stored => {
            let mut raw = flate2::CrcReader::new(archive.raw(member));
            out.file(path, owner, member.deflated.size, &mut raw)?;
            if raw.crc().sum() != member.deflated.crc32 {
                return Err(archive.member_error(member, MemberFault::Contents).into());
            }
        }
    }
    Ok(())
}

/// A file and the wheel it comes from.
struct PlacedFile {
    wheel: usize,
    file: install::InstalledFile,
}

enum TreeNode {
    Directory,
    File(PlacedFile),
}

/// Everything that goes into the layer, by path.
#[derive(Default)]
struct LayerTree {
    nodes: BTreeMap<Vec<u8>, TreeNode>,
    overlaps: Vec<FileOverlap>,
}

impl LayerTree {
    /// Drops byte code of sources that another wheel is about to replace: nobody would notice that
    /// it is another source's.
    fn forget_compiled(
        &mut self,
        files: &BTreeMap<Vec<u8>, install::InstalledFile>,
        target: &InstallTarget,
    ) {
        for path in files.keys().filter(|path| path.ends_with(b".py")) {
            if self.nodes.contains_key(path) {
                self.nodes.remove(&bytecode::place(path, &target.python));
            }
        }
    }

    /// Adds one file with its folders.
    fn add(
        &mut self,
        path: Vec<u8>,
        placed: PlacedFile,
        wheels: &[WheelFile],
    ) -> Result<(), WheelLayerError> {
        let conflict = |path: &[u8]| WheelLayerError::Conflict {
            path: String::from_utf8_lossy(path).into_owned(),
            wheel: wheels[placed.wheel].path.clone(),
        };
        for (at, _) in path
            .iter()
            .enumerate()
            .rev()
            .filter(|&(_, &byte)| byte == b'/')
        {
            match self.nodes.get(&path[..at]) {
                // Its own folders were added with it.
                Some(TreeNode::Directory) => break,
                Some(TreeNode::File(_)) => return Err(conflict(&path[..at])),
                None => {
                    self.nodes.insert(path[..at].to_vec(), TreeNode::Directory);
                }
            }
        }
        match self.nodes.get(&path) {
            Some(TreeNode::Directory) => return Err(conflict(&path)),
            Some(TreeNode::File(before))
                if !matches!(placed.file.content, FileSource::Compiled(_))
                    && !before.file.is_same_as(&placed.file) =>
            {
                self.overlaps.push(FileOverlap {
                    path: String::from_utf8_lossy(&path).into_owned(),
                    lost: wheels[before.wheel].name.clone(),
                    kept: wheels[placed.wheel].name.clone(),
                });
            }
            Some(TreeNode::File(_)) | None => {}
        }
        self.nodes.insert(path, TreeNode::File(placed));
        Ok(())
    }
}

/// Whether `path` is `prefix` or below it.
fn is_below(path: &[u8], prefix: &str) -> bool {
    path.strip_prefix(prefix.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests;
