//! The layer of the project's files: the tree below `opt/app-root/src`, as it lies in the source.
//!
//! Everything belongs to user 1001 and group 0, and the group has the owner's rights, so that any
//! user of group 0 may write there. Of the modes on disk the owner's exec bit alone counts: the
//! rest depends on a umask. Links keep their targets.

use std::io::Write;

use crate::archive::tar::{self, Options, Owner, TarGz};
use crate::oci::{Key, KeyBuilder};
use crate::report::{Explain, Explanation};
use crate::source::{Contents, Kind, SourceError, Tree};

/// Names how this layer is written; changes whenever its bytes would.
const LAYOUT: &str = "source-layer/1";

/// Where the source lies in the image, and the folders above it as every layer writes them.
const PREFIX: &[u8] = b"opt/app-root/src";
const PARENTS: [(&[u8], Owner); 2] = [
    (
        b"opt",
        Owner {
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

const DIRECTORY: Owner = app(0o775);
const FILE: Owner = app(0o664);
const EXECUTABLE: Owner = app(0o775);
const LINK: Owner = app(0o777);

const fn app(mode: u32) -> Owner {
    Owner {
        uid: 1001,
        gid: 0,
        mode,
    }
}

/// Why the layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file of the source cannot be read, or changed since it was hashed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The layer cannot hold an entry, or its sink failed.
    #[error(transparent)]
    Tar(#[from] tar::Error),
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Source(error) => error.explain(),
            Self::Tar(error) => error.explain(),
        }
    }
}

/// What the layer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The project's files.
    pub tree: &'a Tree,
    /// Their hashes.
    pub contents: &'a Contents,
    /// The distribution's name as its files say it, noted for `run`, which may want it as a module.
    pub setup_name: Option<&'a str>,
}

/// The layer's key.
pub(crate) fn key(source: Source<'_>, options: Options) -> Key {
    KeyBuilder::new(LAYOUT)
        .field(source.contents.key().as_bytes())
        .field(source.setup_name.unwrap_or_default().as_bytes())
        .field(&options.mtime.to_le_bytes())
        .field(&options.level.to_le_bytes())
        .finish()
}

/// Writes the layer; the caller finishes `out`. Each file must still hold what was hashed into
/// `contents`.
///
/// # Errors
/// A file that cannot be read or has changed; the sink's failure.
pub(crate) fn write<W: Write>(source: Source<'_>, out: &mut TarGz<W>) -> Result<(), Error> {
    let Source { tree, contents, .. } = source;
    for (path, owner) in PARENTS {
        out.directory(path, &owner)?;
    }
    if let Some(name) = source.setup_name {
        for path in NOTE_PARENTS {
            out.directory(path, &DIRECTORY)?;
        }
        let line = format!("{name}\n");
        out.file(SETUP_NAME, &FILE, line.len() as u64, &mut line.as_bytes())?;
    }
    out.directory(PREFIX, &DIRECTORY)?;
    for (index, entry) in tree.entries().iter().enumerate() {
        let mut path = PREFIX.to_vec();
        path.push(b'/');
        path.extend_from_slice(&entry.path);
        match &entry.kind {
            Kind::Directory => out.directory(&path, &DIRECTORY)?,
            Kind::Symlink { target } => out.symlink(&path, target, &LINK)?,
            Kind::File {
                size_bytes,
                executable,
                ..
            } => {
                let owner = if *executable { EXECUTABLE } else { FILE };
                let mut file = tree.open(entry)?.expecting(contents.hash_of(index));
                match out.file(&path, &owner, *size_bytes, &mut file) {
                    Ok(()) => {}
                    // The writer knows the path in the image; the user knows the one on disk.
                    Err(tar::Error::Read { source, .. }) => {
                        return Err(file.explain(source).into());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::source::testing::{folder, tree};

    const OPTIONS: Options = Options {
        mtime: 315_532_800,
        level: 6,
    };

    fn of<'a>(tree: &'a Tree, contents: &'a Contents) -> Source<'a> {
        Source {
            tree,
            contents,
            setup_name: None,
        }
    }

    #[test]
    fn the_name_for_run_is_noted() {
        let folder = folder(&[("app.py", "x")]);
        let tree = tree(&folder);
        let contents = tree.contents().unwrap();
        let named = Source {
            setup_name: Some("shop"),
            ..of(&tree, &contents)
        };
        assert_ne!(key(named, OPTIONS), key(of(&tree, &contents), OPTIONS));
        let mut out = TarGz::new(Vec::new(), OPTIONS);
        write(named, &mut out).unwrap();
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

    fn layer(tree: &Tree) -> Result<Vec<u8>, Error> {
        let contents = tree.contents()?;
        let mut out = TarGz::new(Vec::new(), OPTIONS);
        write(of(tree, &contents), &mut out)?;
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
        let contents = (one.contents().unwrap(), other.contents().unwrap());
        let (one, other) = (of(&one, &contents.0), of(&other, &contents.1));
        assert_eq!(key(one, OPTIONS), key(other, OPTIONS));
        let later = Options {
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
            let contents = tree.contents().unwrap();
            std::fs::write(folder.path().join("app.py"), text).unwrap();
            let mut out = TarGz::new(Vec::new(), OPTIONS);
            let error = write(of(&tree, &contents), &mut out).unwrap_err();
            assert!(
                matches!(&error, Error::Source(SourceError::Changed { path }) if path.ends_with("app.py")),
                "{error:?}"
            );
        }
    }
}
