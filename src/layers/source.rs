//! The layers of the project's files: the tree below `opt/app-root/src`, as it lies in the source. Most projects have
//! one; what is large has layers of its own below that of the code ([`SourcePortion`]).
//!
//! Everything belongs to user 1001 and group 0, and the group has the owner's rights, so that any
//! user of group 0 may write there. Of the modes on disk the owner's exec bit alone counts: the
//! rest depends on a umask. Links keep their targets. Byte code, where there is
//! some, lies beside its sources, as if Python had written it.

mod large;

use std::collections::BTreeMap;
use std::io::{Read, Write};

pub(crate) use large::{KnownMember, KnownMembers, write as write_large};

use crate::archive::tar::{self, EntryOwner, LayerWriter, TarOptions};
use crate::layers::bytecode::{self, ByteCode, CodeSpan};
use crate::oci::{Key, KeyBuilder};
use crate::report::{Explain, Explanation};
use crate::source::{
    PortionKind, SourceError, SourceKind, SourcePortion, SourceTree, TreeContents,
};

/// Names how these layers are written; changes whenever their bytes would.
const LAYOUT: &str = "source-layer/1";
const LARGE_LAYOUT: &str = "source-files/1";

/// Where the source lies in the image, and the folders above it as every layer writes them.
const PREFIX: &[u8] = b"opt/app-root/src";
const PARENTS: [(&[u8], EntryOwner); 2] = [
    (
        b"opt",
        EntryOwner {
            uid: 0,
            gid: 0,
            mode: 0o755,
        },
    ),
    (b"opt/app-root", DIRECTORY),
];
/// The folder of the notes for `run`, and the one above it.
const NOTE_PARENTS: [&[u8]; 2] = [b"opt/app-root/etc", b"opt/app-root/etc/s2r"];
const NOTES: &str = "opt/app-root/etc/s2r";
static NO_NOTES: BTreeMap<&'static str, String> = BTreeMap::new();

const DIRECTORY: EntryOwner = app(0o775);
const FILE: EntryOwner = app(0o664);
const EXECUTABLE: EntryOwner = app(0o775);
const LINK: EntryOwner = app(0o777);

const fn app(mode: u32) -> EntryOwner {
    EntryOwner {
        uid: 1001,
        gid: 0,
        mode,
    }
}

/// Why the layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceLayerError {
    /// A file of the source cannot be read, or changed since it was hashed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The layer cannot hold an entry, or its sink failed.
    #[error(transparent)]
    Tar(#[from] tar::TarError),
}

impl Explain for SourceLayerError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Source(error) => error.explain(),
            Self::Tar(error) => error.explain(),
        }
    }
}

/// What a layer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceLayer<'a> {
    pub tree: &'a SourceTree,
    pub contents: &'a TreeContents,
    /// Which of the tree's files are in it.
    pub portion: &'a SourcePortion,
    /// What was decided for `run` and the servers, by the names of the files that hold it; each gets an end of
    /// line.
    pub notes: &'a BTreeMap<&'static str, String>,
    /// Python's version and the key of the compiler whose byte code lies beside the sources.
    pub bytecode: Option<(&'a str, Key)>,
}

impl SourceLayer<'_> {
    /// The layers of the portions of one kind, the lowest first. This one has the code: notes are its alone, and byte
    /// code is where modules are.
    pub(crate) fn of_kind(self, kind: PortionKind) -> Vec<Self> {
        let portions = self.tree.division().portions();
        let layers = portions.filter(|one| one.kind == kind).map(|portion| {
            if portion.kind == PortionKind::Rest {
                return Self { portion, ..self };
            }
            let apart = SourceLayer {
                tree: self.tree,
                contents: self.contents,
                portion,
                notes: &NO_NOTES,
                bytecode: None,
            };
            let has_modules = self.bytecode.is_some() && !modules(apart).is_empty();
            SourceLayer {
                bytecode: self.bytecode.filter(|_| has_modules),
                ..apart
            }
        });
        layers.collect()
    }

    /// What it holds, for people.
    pub(crate) fn title(&self) -> String {
        format!("source: {}", self.portion.title(self.tree.entries()))
    }
}

/// A file of the project that can be compiled.
#[derive(Debug, Clone)]
pub(crate) struct SourceModule {
    /// Its path in the image, without a leading slash.
    pub path: Vec<u8>,
    /// Its place among the tree's entries.
    pub index: usize,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// The modules of a layer, sorted by path.
pub(crate) fn modules(source: SourceLayer<'_>) -> Vec<SourceModule> {
    let mut modules = Vec::new();
    for &index in &source.portion.places {
        if let Some(entry) = source.tree.entries().get(index)
            && let SourceKind::File { size_bytes, .. } = entry.kind
            && size_bytes <= bytecode::MAX_SOURCE_BYTES
            && bytecode::is_module(&entry.path)
        {
            modules.push(SourceModule {
                path: below(&entry.path),
                index,
                size_bytes,
            });
        }
    }
    modules
}

/// The bytes of a module, which must still be those that were hashed.
///
/// # Errors
/// It cannot be read, or it has changed.
pub(crate) fn read(
    source: SourceLayer<'_>,
    module: &SourceModule,
) -> Result<Vec<u8>, SourceLayerError> {
    let Some(entry) = source.tree.entries().get(module.index) else {
        return Ok(Vec::new());
    };
    let hash = source.contents.hash_of(module.index);
    let mut file = source.tree.open(entry)?.expecting(hash);
    let mut bytes = Vec::new();
    match file.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(file.explain(error).into()),
    }
}

fn below(path: &[u8]) -> Vec<u8> {
    [PREFIX, b"/", path].concat()
}

pub(crate) fn key(source: SourceLayer<'_>, options: TarOptions) -> Key {
    let layout = match source.portion.kind {
        PortionKind::LargeFiles => LARGE_LAYOUT,
        PortionKind::LargeFolders | PortionKind::Rest => LAYOUT,
    };
    let places = source.portion.places.iter().copied();
    let mut key = KeyBuilder::new(layout)
        .field(source.contents.key_of(places).as_bytes())
        .field(&options.mtime.to_le_bytes())
        .field(&options.effort.deflate_level().to_le_bytes());
    for (name, note) in source.notes {
        key.add(name.as_bytes());
        key.add(note.as_bytes());
    }
    if let Some((python, compiler)) = &source.bytecode {
        key.add(python.as_bytes());
        key.add(compiler.as_bytes());
    }
    key.finish()
}

/// Writes a layer but for that of large files ([`write_large`]); the caller finishes `out`. Each file must still hold what was hashed into
/// `contents`.
///
/// # Errors
/// A file that cannot be read or has changed; the sink's failure.
pub(crate) fn write<W: Write>(
    source: SourceLayer<'_>,
    code: &ByteCode,
    out: &mut LayerWriter<W>,
) -> Result<(), SourceLayerError> {
    for (path, owner) in PARENTS {
        out.directory(path, &owner)?;
    }
    // Entries of a layer are sorted by path.
    if !source.notes.is_empty() {
        for path in NOTE_PARENTS {
            out.directory(path, &DIRECTORY)?;
        }
    }
    for (name, text) in source.notes {
        let path = format!("{NOTES}/{name}");
        let text = format!("{text}\n");
        let size_bytes = text.len() as u64;
        out.file(path.as_bytes(), &FILE, size_bytes, &mut text.as_bytes())?;
    }
    out.directory(PREFIX, &DIRECTORY)?;
    let mut added = compiled(source, code).into_iter().peekable();
    for &index in &source.portion.places {
        let Some(entry) = source.tree.entries().get(index) else {
            continue;
        };
        let path = below(&entry.path);
        while let Some((at, item)) = added.next_if(|(at, _)| *at < path) {
            write_added(&at, &item, code, out)?;
        }
        match added.next_if(|(at, _)| *at == path) {
            Some((at, item)) => write_added(&at, &item, code, out)?,
            None => write_entry(source, index, &path, out)?,
        }
    }
    for (at, item) in added {
        write_added(&at, &item, code, out)?;
    }
    Ok(())
}

/// What byte code adds to the tree: its folders, and itself.
enum AddedEntry {
    Directory,
    Code(CodeSpan),
}

/// Byte code by its path in the image, and the folders that it needs; where the project has such a
/// file already, this one takes its place. Where it has something else there, it keeps that.
fn compiled(source: SourceLayer<'_>, code: &ByteCode) -> BTreeMap<Vec<u8>, AddedEntry> {
    let mut added = BTreeMap::new();
    let Some((python, _)) = source.bytecode else {
        return added;
    };
    let kind = |path: &[u8]| -> Option<&SourceKind> {
        let path = path.strip_prefix(PREFIX)?.strip_prefix(b"/")?;
        Some(&source.tree.find(path)?.kind)
    };
    for (module, span) in code.sources() {
        let path = bytecode::place(module, python);
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            continue;
        };
        let is_free = matches!(kind(&path), None | Some(SourceKind::File { .. }));
        match kind(&path[..slash]) {
            Some(SourceKind::Directory) => {}
            None => {
                added.insert(path[..slash].to_vec(), AddedEntry::Directory);
            }
            Some(_) => continue,
        }
        if is_free {
            added.insert(path, AddedEntry::Code(span));
        }
    }
    added
}

fn write_added<W: Write>(
    path: &[u8],
    item: &AddedEntry,
    code: &ByteCode,
    out: &mut LayerWriter<W>,
) -> Result<(), SourceLayerError> {
    match item {
        AddedEntry::Directory => out.directory(path, &DIRECTORY)?,
        AddedEntry::Code(span) => out.file(path, &FILE, span.size_bytes, &mut code.read(*span))?,
    }
    Ok(())
}

fn write_entry<W: Write>(
    source: SourceLayer<'_>,
    index: usize,
    path: &[u8],
    out: &mut LayerWriter<W>,
) -> Result<(), SourceLayerError> {
    let Some(entry) = source.tree.entries().get(index) else {
        return Ok(());
    };
    match &entry.kind {
        SourceKind::Directory => out.directory(path, &DIRECTORY)?,
        SourceKind::Symlink { target } => out.symlink(path, target, &LINK)?,
        SourceKind::File {
            size_bytes,
            executable,
            ..
        } => {
            let owner = if *executable { EXECUTABLE } else { FILE };
            let hash = source.contents.hash_of(index);
            let mut file = source.tree.open(entry)?.expecting(hash);
            match out.file(path, &owner, *size_bytes, &mut file) {
                Ok(()) => {}
                // The writer knows the path in the image; the user knows the one on disk.
                Err(tar::TarError::Read { source, .. }) => return Err(file.explain(source).into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
crate::report::samples! {
    enum SourceLayerError {
        Source(SourceError::Changed { path: "src/data.csv".into() }),
        Tar(tar::TarError::Write(crate::report::samples::denied())),
    }
}

#[cfg(test)]
mod tests;
