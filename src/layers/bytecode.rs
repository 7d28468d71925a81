//! Byte code beside its sources: which files get some, in which portions they are compiled, and
//! what a compiler of ours has written.
//!
//! Formats: PEP 3147 for the names in `__pycache__`, PEP 552 for the first 16 bytes. Compiling is
//! not done here: it needs an interpreter, which the pipeline has.
//!
//! What the compiler writes is data that hostile source influences: lengths are checked against the
//! file and against bounds, and no name is taken from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use crate::archive::tar::{self, EntryOwner, LayerWriter};

/// Longest source that is compiled. Tables of that size exist; programs do not.
pub(crate) const MAX_SOURCE_BYTES: u64 = 4 << 20;
/// Longest byte code of one file; some four times the source at worst.
const MAX_CODE_BYTES: u64 = 32 << 20;
/// Bytes of sources after which a portion ends: what is compiled anew when one of them changes.
const MAX_CHUNK_BYTES: u64 = 512 << 10;
/// Files of a portion, on average: a file ends one if the hash of its path is a multiple of this.
const CHUNK_FILES: u8 = 16;
/// What the compiler writes first.
const MAGIC: &[u8] = b"s2r-pyc/1\n";
/// Length of what stands before the code in a `.pyc`: magic number, flags, hash of the source.
const HEADER_BYTES: u64 = 16;

/// Folders whose files nobody imports where an application runs.
///
/// Tests are about half of numpy's and three quarters of pandas's sources: compiling them took 4 of
/// 9.7 s for `Flask`, `Django`, `SQLAlchemy`, numpy and pandas together, and 9.7 of 29 MB compressed.
/// Code that tests of *others* are written with (`numpy.testing`, `django.test`) is compiled.
const LEFT_OUT: [&[u8]; 3] = [b"tests", b"node_modules", b"__pycache__"];
/// Parts of the standard library that no server imports: editors, installers, debuggers and profilers, other systems, and
/// what is there in C as well. Files and folders by their paths in it.
const LEFT_OUT_OF_LIBRARY: [&str; 37] = [
    "_aix_support.py",
    "_android_support.py",
    "_ios_support.py",
    "_osx_support.py",
    "_pydatetime.py",
    "_pydecimal.py",
    "_pyio.py",
    "_pyrepl",
    "antigravity.py",
    "asyncio/proactor_events.py",
    "asyncio/windows_events.py",
    "asyncio/windows_utils.py",
    "cProfile.py",
    "curses",
    "doctest.py",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "mailbox.py",
    "modulefinder.py",
    "multiprocessing/popen_spawn_win32.py",
    "nturl2path.py",
    "pdb.py",
    "pickletools.py",
    "profile.py",
    "pstats.py",
    "pyclbr.py",
    "pydoc.py",
    "pydoc_data",
    "tabnanny.py",
    "test",
    "this.py",
    "tkinter",
    "trace.py",
    "turtle.py",
    "turtledemo",
    "wave.py",
];
/// Modules that the interpreter holds frozen: it imports none of them from a file (`Python/frozen.c`, from 3.11 on).
const FROZEN: [&str; 18] = [
    "__hello__.py",
    "__phello__",
    "_collections_abc.py",
    "_sitebuiltins.py",
    "abc.py",
    "codecs.py",
    "genericpath.py",
    "importlib/_bootstrap.py",
    "importlib/_bootstrap_external.py",
    "importlib/machinery.py",
    "importlib/util.py",
    "io.py",
    "ntpath.py",
    "os.py",
    "posixpath.py",
    "site.py",
    "stat.py",
    "zipimport.py",
];

/// How the import system is to treat byte code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PycValidation {
    /// It does not look at the source. For files that only another layer replaces.
    Unchecked,
    /// It compares a hash of the source first. For the application, which steps of the build
    /// rewrite, and which people change in a running container to see what happens.
    Checked,
}

impl PycValidation {
    /// The flags of PEP 552.
    fn flags(self) -> u32 {
        match self {
            Self::Unchecked => 0b01,
            Self::Checked => 0b11,
        }
    }
}

/// Whether a file, by its path below a folder of `sys.path`, is one that Python would import.
pub(crate) fn is_module(path: &[u8]) -> bool {
    let Some(stem) = path.strip_suffix(b".py") else {
        return false;
    };
    stem.split(|&byte| byte == b'/').all(|part| {
        // Names that no import statement can spell. Digits may come first: Django's migrations do.
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
        !part.is_empty() && part.iter().all(is_name) && !LEFT_OUT.contains(&part)
    })
}

/// Whether a file of the standard library, by its path in it, is worth its byte code.
pub(crate) fn is_library_module(path: &[u8]) -> bool {
    let is_in = |part: &&str| {
        path.strip_prefix(part.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    is_module(path) && !LEFT_OUT_OF_LIBRARY.iter().chain(&FROZEN).any(is_in)
}

/// Where the byte code of a source lies, for Python's version `3.13`.
pub(crate) fn place(source: &[u8], python: &str) -> Vec<u8> {
    let (folder, name) = match source.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => source.split_at(slash + 1),
        None => (b"".as_slice(), source),
    };
    let stem = name.strip_suffix(b".py").unwrap_or(name);
    let tag = format!(".cpython-{}.pyc", python.replace('.', ""));
    [folder, b"__pycache__/", stem, tag.as_bytes()].concat()
}

/// The portions in which files are compiled, each by one fresh interpreter, because what it has met
/// before shows in its output. They follow from paths and lengths alone, and a file that is added or
/// grows moves few bounds. Files come sorted by path.
pub(crate) fn chunks<'a>(files: impl Iterator<Item = (&'a [u8], u64)>) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut end, mut bytes) = (0, 0, 0_u64);
    for (path, size_bytes) in files {
        end += 1;
        bytes = bytes.saturating_add(size_bytes);
        let is_last = Sha256::digest(path)[0].is_multiple_of(CHUNK_FILES);
        if is_last || bytes >= MAX_CHUNK_BYTES {
            chunks.push(start..end);
            (start, bytes) = (end, 0);
        }
    }
    if start < end {
        chunks.push(start..end);
    }
    chunks
}

/// The byte code of one file, in what the compiler wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeSpan {
    chunk: usize,
    offset_bytes: u64,
    pub size_bytes: u64,
}

/// Byte code of many files, on disk.
#[derive(Debug, Default)]
pub(crate) struct ByteCode {
    chunks: Vec<File>,
    /// By the source's path in the image, without a leading slash.
    spans: BTreeMap<Vec<u8>, CodeSpan>,
}

impl ByteCode {
    /// Takes what the compiler wrote for these sources: so many bytes from the beginning of a file.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what the compiler writes (`InvalidData`); nothing of it
    /// is taken then.
    pub(crate) fn add<'a>(
        &mut self,
        (file, length): (File, u64),
        sources: impl Iterator<Item = &'a [u8]>,
        trust: PycValidation,
    ) -> io::Result<()> {
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        check(magic == MAGIC)?;
        let mut at = MAGIC.len() as u64;
        let mut found = Vec::new();
        for source in sources {
            let size_bytes = u64::from(number(&file, at)?);
            at += 4;
            if size_bytes == 0 {
                continue;
            }
            check((HEADER_BYTES..=MAX_CODE_BYTES).contains(&size_bytes))?;
            check(size_bytes <= length.saturating_sub(at))?;
            check(number(&file, at + 4)? == trust.flags())?;
            let span = CodeSpan {
                chunk: self.chunks.len(),
                offset_bytes: at,
                size_bytes,
            };
            found.push((source.to_vec(), span));
            at += size_bytes;
        }
        check(at == length)?;
        self.chunks.push(file);
        self.spans.extend(found);
        Ok(())
    }

    /// The byte code of a source, if it compiled.
    pub(crate) fn of(&self, source: &[u8]) -> Option<CodeSpan> {
        self.spans.get(source).copied()
    }

    /// All sources that have some, by path.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&[u8], CodeSpan)> {
        self.spans
            .iter()
            .map(|(path, span)| (path.as_slice(), *span))
    }

    /// The bytes of a span.
    pub(crate) fn read(&self, span: CodeSpan) -> impl Read + '_ {
        RangeReader {
            file: self.chunks.get(span.chunk),
            at: span.offset_bytes,
            left_bytes: span.size_bytes,
        }
    }
}

fn check(is_sound: bool) -> io::Result<()> {
    if is_sound {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn number(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A part of a file, read without moving its cursor.
struct RangeReader<'a> {
    file: Option<&'a File>,
    at: u64,
    left_bytes: u64,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let (Some(file), Some(buffer)) = (self.file, buffer.get_mut(..most)) else {
            return Ok(0);
        };
        let count = file.read_at(buffer, self.at)?;
        self.at += count as u64;
        self.left_bytes -= count as u64;
        Ok(count)
    }
}

/// Writes a layer of nothing but byte code of the system's files; the caller finishes `out`.
///
/// # Errors
/// Byte code that cannot be read; the sink's failure.
pub(crate) fn write<W: Write>(
    code: &ByteCode,
    python: &str,
    out: &mut LayerWriter<W>,
) -> Result<(), tar::TarError> {
    const fn system(mode: u32) -> EntryOwner {
        EntryOwner {
            uid: 0,
            gid: 0,
            mode,
        }
    }
    let files: BTreeMap<Vec<u8>, CodeSpan> = code
        .sources()
        .map(|(source, span)| (place(source, python), span))
        .collect();
    let mut written: BTreeSet<&[u8]> = BTreeSet::new();
    // Folders and files in one order, as the writer wants them.
    let mut all: BTreeMap<&[u8], Option<CodeSpan>> = BTreeMap::new();
    for (path, span) in &files {
        for (at, _) in path.iter().enumerate().filter(|&(_, &byte)| byte == b'/') {
            if written.insert(&path[..at]) {
                all.insert(&path[..at], None);
            }
        }
        all.insert(path, Some(*span));
    }
    for (path, span) in all {
        match span {
            None => out.directory(path, &system(0o755))?,
            Some(span) => out.file(path, &system(0o644), span.size_bytes, &mut code.read(span))?,
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What the compiler would write, if it compiled each source to its own text.
    pub(crate) fn compiled(sources: &[(&str, &[u8])], trust: PycValidation) -> ByteCode {
        let mut code = ByteCode::default();
        let paths = sources.iter().map(|(path, _)| path.as_bytes());
        code.add(written(sources, trust), paths, trust).unwrap();
        code
    }

    /// A file of the compiler's format.
    pub(crate) fn written(sources: &[(&str, &[u8])], trust: PycValidation) -> (File, u64) {
        let mut bytes = MAGIC.to_vec();
        for (_, text) in sources {
            if text.is_empty() {
                bytes.extend(0_u32.to_le_bytes());
                continue;
            }
            let length = u32::try_from(text.len() + 16).unwrap();
            bytes.extend(length.to_le_bytes());
            bytes.extend(b"magi");
            bytes.extend(trust.flags().to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(*text);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{compiled, written};
    use super::*;

    #[test]
    fn modules_are_told_from_other_files() {
        for path in [
            "a.py",
            "pkg/__init__.py",
            "m/0001_initial.py",
            "pkg/testing/x.py",
            "ünï.py",
        ] {
            assert!(is_module(path.as_bytes()), "{path}");
        }
        for path in [
            "a.pyc",
            "a.txt",
            ".py",
            "x/.py",
            "my-app/a.py",
            "a.b.py",
            ".git/a.py",
            "pkg/tests/a.py",
            "tests/a.py",
            "static/node_modules/a.py",
            "a b.py",
        ] {
            assert!(!is_module(path.as_bytes()), "{path}");
        }
        assert!(is_library_module(b"json/decoder.py"));
        assert!(is_library_module(b"email/test.py"));
        assert!(!is_library_module(b"idlelib/run.py"));
        assert!(!is_library_module(b"turtle.py"));
        // Frozen, and not a namesake of what is.
        assert!(!is_library_module(b"abc.py"));
        assert!(is_library_module(b"collections/abc.py"));
    }

    #[test]
    fn byte_code_lies_beside_its_source() {
        assert_eq!(place(b"a/b.py", "3.13"), b"a/__pycache__/b.cpython-313.pyc");
        assert_eq!(place(b"b.py", "3.9"), b"__pycache__/b.cpython-39.pyc");
    }

    #[test]
    fn an_added_file_moves_few_bounds() {
        let names: Vec<String> = (0..400).map(|n| format!("pkg/m{n:04}.py")).collect();
        let bounds = |names: &[String]| -> BTreeSet<String> {
            let files = names.iter().map(|name| (name.as_bytes(), 100));
            chunks(files)
                .into_iter()
                .map(|chunk| names[chunk].concat())
                .collect()
        };
        let before = bounds(&names);
        assert!((10..60).contains(&before.len()), "{}", before.len());
        let mut more = names.clone();
        more.insert(200, "pkg/m0199x.py".to_owned());
        let after = bounds(&more);
        assert!(before.difference(&after).count() <= 1);
    }

    #[test]
    fn portions_hold_all_files_once_and_are_bounded() {
        let files = vec![(b"a.py".as_slice(), MAX_CHUNK_BYTES); 5];
        assert_eq!(chunks(files.into_iter()), [0..1, 1..2, 2..3, 3..4, 4..5]);
        assert!(chunks(std::iter::empty()).is_empty());
    }

    #[test]
    fn byte_code_comes_back() {
        let code = compiled(
            &[("a.py", b"aaa"), ("broken.py", b""), ("c.py", b"ccccc")],
            PycValidation::Checked,
        );
        assert_eq!(code.of(b"broken.py"), None);
        let span = code.of(b"c.py").unwrap();
        let mut bytes = Vec::new();
        code.read(span).read_to_end(&mut bytes).unwrap();
        assert_eq!(&bytes[16..], b"ccccc");
        assert_eq!(bytes.len() as u64, span.size_bytes);
    }

    #[test]
    fn damaged_or_dishonest_output_is_refused() {
        let sources: [(&str, &[u8]); 2] = [("a.py", b"aaa"), ("b.py", b"bbb")];
        let paths = || sources.iter().map(|(path, _)| path.as_bytes());
        let good = || written(&sources, PycValidation::Unchecked);
        let damaged: [fn(&File); 5] = [
            |file| file.set_len(3).unwrap(),
            |file| file.set_len(20).unwrap(),
            |file| file.set_len(200).unwrap(),
            |file| file.write_all_at(b"x", 0).unwrap(),
            |file| file.write_all_at(&[255; 4], 10).unwrap(),
        ];
        for damage in damaged {
            let (file, _) = good();
            damage(&file);
            let length = file.metadata().unwrap().len();
            let mut code = ByteCode::default();
            assert!(
                code.add((file, length), paths(), PycValidation::Unchecked)
                    .is_err()
            );
            assert_eq!(code.sources().count(), 0);
        }
        let mut code = ByteCode::default();
        assert!(code.add(good(), paths(), PycValidation::Checked).is_err());
        assert!(
            code.add(good(), paths().take(1), PycValidation::Unchecked)
                .is_err()
        );
        assert!(code.add(good(), paths(), PycValidation::Unchecked).is_ok());
    }

    #[test]
    fn the_library_has_a_layer_of_its_own() {
        let code = compiled(
            &[
                ("usr/lib/python3.13/os.py", b"os"),
                ("usr/lib/python3.13/json/x.py", b"x"),
            ],
            PycValidation::Unchecked,
        );
        let options = tar::TarOptions {
            mtime: 0,
            effort: tar::CompressionEffort::Usual,
        };
        let mut out = LayerWriter::new(Vec::new(), options);
        write(&code, "3.13", &mut out).unwrap();
        let bytes = out.finish().unwrap().0;
        let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
        let paths: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            paths[3..],
            [
                "usr/lib/python3.13/__pycache__/",
                "usr/lib/python3.13/__pycache__/os.cpython-313.pyc",
                "usr/lib/python3.13/json/",
                "usr/lib/python3.13/json/__pycache__/",
                "usr/lib/python3.13/json/__pycache__/x.cpython-313.pyc",
            ]
        );
    }
}
