//! The layer of the project's files: the tree below `opt/app-root/src`, as it lies in the source.
//!
//! Everything belongs to user 1001 and group 0, and the group has the owner's rights, so that any
//! user of group 0 may write there. Of the modes on disk the owner's exec bit alone counts: the
//! rest depends on a umask. Links keep their targets. Byte code, where there is
//! some, lies beside its sources, as if Python had written it.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::archive::tar::{self, EntryOwner, LayerWriter, TarOptions};
use crate::layers::bytecode::{self, ByteCode, CodeSpan};
use crate::oci::{Key, KeyBuilder};
use crate::report::{Explain, Explanation};
use crate::source::{SourceError, SourceKind, SourceTree, TreeContents};

/// Names how this layer is written; changes whenever its bytes would.
const LAYOUT: &str = "source-layer/1";

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
/// The note that spares `run` a `python setup.py --name`, and the folders above it.
const NOTE_PARENTS: [&[u8]; 2] = [b"opt/app-root/etc", b"opt/app-root/etc/s2r"];
const SETUP_NAME: &[u8] = b"opt/app-root/etc/s2r/setup-name";
/// What `run` starts before the contract's defaults.
const MODULE: &[u8] = b"opt/app-root/etc/s2r/module";
const PROCESSES: &[u8] = b"opt/app-root/etc/s2r/processes";
const RELEASE: &[u8] = b"opt/app-root/etc/s2r/release";
const WEB: &[u8] = b"opt/app-root/etc/s2r/web";

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

/// What the layer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceLayer<'a> {
    pub tree: &'a SourceTree,
    pub contents: &'a TreeContents,
    /// The distribution's name as its files say it, noted for `run`, which may want it as a module.
    pub setup_name: Option<&'a str>,
    /// The module that `run` serves with gunicorn, or the `APP_MODULE` that the command stands for.
    pub module: Option<&'a str>,
    /// Process types of the Procfile, a line each: name, blank, command.
    pub processes: Option<&'a str>,
    /// The command that `run` has succeed before it starts the server.
    pub release: Option<&'a str>,
    /// The command that `run` starts before the contract's defaults.
    pub web: Option<&'a str>,
    /// Python's version and the key of the compiler whose byte code lies beside the sources.
    pub bytecode: Option<(&'a str, Key)>,
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

/// The modules of the project, sorted by path.
pub(crate) fn modules(tree: &SourceTree) -> Vec<SourceModule> {
    let mut modules = Vec::new();
    for (index, entry) in tree.entries().iter().enumerate() {
        if let SourceKind::File { size_bytes, .. } = entry.kind
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
    let mut key = KeyBuilder::new(LAYOUT)
        .field(source.contents.key().as_bytes())
        .field(source.setup_name.unwrap_or_default().as_bytes())
        .field(&options.mtime.to_le_bytes())
        .field(&options.level.to_le_bytes());
    for (name, note) in [
        ("module", source.module),
        ("processes", source.processes),
        ("release", source.release),
        ("web", source.web),
    ] {
        if let Some(note) = note {
            key.add(name.as_bytes());
            key.add(note.as_bytes());
        }
    }
    if let Some((python, compiler)) = &source.bytecode {
        key.add(python.as_bytes());
        key.add(compiler.as_bytes());
    }
    key.finish()
}

/// Writes the layer; the caller finishes `out`. Each file must still hold what was hashed into
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
    let notes = [
        (MODULE, source.module),
        (PROCESSES, source.processes),
        (RELEASE, source.release),
        (SETUP_NAME, source.setup_name),
        (WEB, source.web),
    ];
    if notes.iter().any(|(_, text)| text.is_some()) {
        for path in NOTE_PARENTS {
            out.directory(path, &DIRECTORY)?;
        }
    }
    for (path, text) in notes {
        if let Some(text) = text {
            let line = format!("{text}\n");
            out.file(path, &FILE, line.len() as u64, &mut line.as_bytes())?;
        }
    }
    out.directory(PREFIX, &DIRECTORY)?;
    let mut added = compiled(source, code).into_iter().peekable();
    for (index, entry) in source.tree.entries().iter().enumerate() {
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
mod tests {
    use super::*;
    use crate::source::KnownHashes;
    use crate::source::testing::{folder, tree};

    const OPTIONS: TarOptions = TarOptions {
        mtime: 315_532_800,
        level: 6,
    };

    fn of<'a>(tree: &'a SourceTree, contents: &'a TreeContents) -> SourceLayer<'a> {
        SourceLayer {
            tree,
            contents,
            setup_name: None,
            module: None,
            processes: None,
            release: None,
            web: None,
            bytecode: None,
        }
    }

    #[test]
    fn the_name_for_run_is_noted() {
        let folder = folder(&[("app.py", "x")]);
        let tree = tree(&folder);
        let contents = tree.contents(&KnownHashes::default()).unwrap();
        let named = SourceLayer {
            setup_name: Some("shop"),
            module: None,
            processes: None,
            release: None,
            ..of(&tree, &contents)
        };
        assert_ne!(key(named, OPTIONS), key(of(&tree, &contents), OPTIONS));
        let mut out = LayerWriter::new(Vec::new(), OPTIONS);
        write(named, &ByteCode::default(), &mut out).unwrap();
        let (bytes, _) = out.finish().unwrap();
        let mut tar = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
        let mut note = String::new();
        let is_note = |entry: &::tar::Entry<'_, _>| entry.path_bytes() == SETUP_NAME;
        let mut entry = tar
            .entries()
            .unwrap()
            .map(Result::unwrap)
            .find(is_note)
            .unwrap();
        entry.read_to_string(&mut note).unwrap();
        assert_eq!(note, "shop\n");
    }

    fn layer(tree: &SourceTree) -> Result<Vec<u8>, SourceLayerError> {
        let contents = tree.contents(&KnownHashes::default())?;
        let mut out = LayerWriter::new(Vec::new(), OPTIONS);
        write(of(tree, &contents), &ByteCode::default(), &mut out)?;
        Ok(out.finish()?.0)
    }

    fn listing(gz: &[u8]) -> Vec<String> {
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(gz)
            .read_to_end(&mut bytes)
            .unwrap();
        ::tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let link = entry
                    .link_name_bytes()
                    .map(|to| format!(" -> {}", String::from_utf8_lossy(&to)))
                    .unwrap_or_default();
                format!(
                    "{:o} {}:{} {}{link}",
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    String::from_utf8_lossy(&entry.path_bytes())
                )
            })
            .collect()
    }

    #[test]
    fn the_tree_lies_below_its_prefix() {
        let folder = folder(&[
            ("app.py", "x"),
            ("run*", "#!/bin/sh\n"),
            ("a/b", ""),
            ("a-c", ""),
            ("link", "-> a/b"),
            ("ünï", "y"),
        ]);
        assert_eq!(
            listing(&layer(&tree(&folder)).unwrap()),
            [
                "755 0:0 opt/",
                "775 1001:0 opt/app-root/",
                "775 1001:0 opt/app-root/src/",
                "775 1001:0 opt/app-root/src/a/",
                "664 1001:0 opt/app-root/src/a-c",
                "664 1001:0 opt/app-root/src/a/b",
                "664 1001:0 opt/app-root/src/app.py",
                "777 1001:0 opt/app-root/src/link -> a/b",
                "775 1001:0 opt/app-root/src/run",
                "664 1001:0 opt/app-root/src/ünï",
            ]
        );
    }

    #[test]
    fn another_folder_with_the_same_files_is_the_same_layer() {
        let files = [("app.py", "x"), ("b/c*", "y")];
        let (one, other) = (folder(&files), folder(&files));
        let (one, other) = (tree(&one), tree(&other));
        assert_eq!(layer(&one).unwrap(), layer(&other).unwrap());
        let contents = (
            one.contents(&KnownHashes::default()).unwrap(),
            other.contents(&KnownHashes::default()).unwrap(),
        );
        let (one, other) = (of(&one, &contents.0), of(&other, &contents.1));
        assert_eq!(key(one, OPTIONS), key(other, OPTIONS));
        let later = TarOptions {
            mtime: 1,
            ..OPTIONS
        };
        assert_ne!(key(one, OPTIONS), key(other, later));
    }

    #[test]
    fn a_file_that_changed_after_hashing_is_refused() {
        for text in ["Y", "longer"] {
            let folder = folder(&[("app.py", "x")]);
            let tree = tree(&folder);
            let contents = tree.contents(&KnownHashes::default()).unwrap();
            std::fs::write(folder.path().join("app.py"), text).unwrap();
            let mut out = LayerWriter::new(Vec::new(), OPTIONS);
            let error = write(of(&tree, &contents), &ByteCode::default(), &mut out).unwrap_err();
            assert!(
                matches!(&error, SourceLayerError::Source(SourceError::Changed { path }) if path.ends_with("app.py")),
                "{error:?}"
            );
        }
    }

    #[test]
    fn byte_code_lies_beside_its_sources() {
        use crate::layers::bytecode::{PycValidation, testing::compiled};

        let folder = folder(&[
            ("app.py", "x"),
            ("a/__pycache__/m.cpython-313.pyc", "stale"),
            ("a/__pycache__/z.txt", ""),
            ("a/m.py", "y"),
            ("b/__pycache__", "a file"),
            ("b/n.py", ""),
            ("tests/t.py", ""),
        ]);
        let settings = crate::source::SourceSettings {
            exclude: vec![String::new()],
            ..crate::source::testing::settings(&folder)
        };
        let tree = SourceTree::read(&settings, &crate::report::SilentReport).unwrap();
        let contents = tree.contents(&KnownHashes::default()).unwrap();
        let key_of = |bytecode| {
            key(
                SourceLayer {
                    bytecode,
                    ..of(&tree, &contents)
                },
                OPTIONS,
            )
        };
        let compiler = KeyBuilder::new("c").finish();
        assert_ne!(key_of(None), key_of(Some(("3.13", compiler))));
        let source = SourceLayer {
            bytecode: Some(("3.13", compiler)),
            ..of(&tree, &contents)
        };
        let modules = modules(&tree);
        let paths: Vec<String> = modules
            .iter()
            .map(|module| String::from_utf8_lossy(&module.path).into_owned())
            .collect();
        assert_eq!(
            paths,
            ["a/m.py", "app.py", "b/n.py"].map(|path| format!("opt/app-root/src/{path}"))
        );
        assert_eq!(read(source, &modules[1]).unwrap(), b"x");
        let sources: Vec<(&str, &[u8])> = paths
            .iter()
            .map(|path| (path.as_str(), b"code".as_slice()))
            .collect();
        let code = compiled(&sources, PycValidation::Checked);
        let mut out = LayerWriter::new(Vec::new(), OPTIONS);
        write(source, &code, &mut out).unwrap();
        let listing = listing(&out.finish().unwrap().0);
        assert_eq!(
            listing[3..],
            [
                "775 1001:0 opt/app-root/src/__pycache__/",
                "664 1001:0 opt/app-root/src/__pycache__/app.cpython-313.pyc",
                "775 1001:0 opt/app-root/src/a/",
                "775 1001:0 opt/app-root/src/a/__pycache__/",
                "664 1001:0 opt/app-root/src/a/__pycache__/m.cpython-313.pyc",
                "664 1001:0 opt/app-root/src/a/__pycache__/z.txt",
                "664 1001:0 opt/app-root/src/a/m.py",
                "664 1001:0 opt/app-root/src/app.py",
                "775 1001:0 opt/app-root/src/b/",
                "664 1001:0 opt/app-root/src/b/__pycache__",
                "664 1001:0 opt/app-root/src/b/n.py",
                "775 1001:0 opt/app-root/src/tests/",
                "664 1001:0 opt/app-root/src/tests/t.py",
            ]
        );
    }
}
