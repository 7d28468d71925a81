//! The fuzz targets: one function for each reader of bytes from outside. `fuzz/` feeds them with
//! libFuzzer, the test below with the corpus that is kept there.
//!
//! A target takes any bytes and returns. A panic is a find: the reader's own, or that of a rule that
//! is checked here: nothing is written outside the folder that was named, a layer holds only paths
//! that may be in one, and what is read, written and read again is the same. Time and memory
//! are bounded by `fuzz/run`. Not in the program: compiled for tests and for the feature `fuzzing`.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a target tells of what it found"
)]

mod archives;
mod debian;
mod images;
mod project;
mod python;
mod tars;
mod text;

use std::io::Write as _;

/// A target takes any bytes.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($module:ident: $($name:ident)+;)+) => {
        $(pub use $module::{$($name),+};)+

        /// All targets by name.
        pub const TARGETS: &[(&str, Target)] = &[$($((stringify!($name), $module::$name)),+),+];
    };
}

targets! {
    archives: zip wheel source_tar source_zip layer ar deb;
    debian: control release in_release aptfile base_lock;
    images: oci reference registries_conf logins challenge;
    project: facts ignore environment builder;
    python: requirements pylock uv_lock poetry_lock pdm_lock pipfile_lock pipfile pyproject record names index_page;
    text: url;
}

/// A file with these bytes, gone when its owner is.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Several files in one input: each after a line `== NAME`; what stands before the first such line is
/// the file without a name.
fn sections(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let (mut name, mut start, mut at) = (&b""[..], 0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(next) = line.strip_prefix(b"== ") {
            found.push((name, &bytes[start..at]));
            name = next.strip_suffix(b"\n").unwrap_or(next);
            start = at + line.len();
        }
        at += line.len();
    }
    found.push((name, &bytes[start..]));
    found
}

/// The file of this name among [`sections`], as text.
fn section(bytes: &[u8], wanted: &str) -> Option<String> {
    sections(bytes)
        .into_iter()
        .find(|(name, _)| *name == wanted.as_bytes())
        .map(|(_, contents)| String::from_utf8_lossy(contents).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::packages::python::locks::LockKind;

    /// What one input may take here, on a slow and busy machine; `fuzz/run` allows less.
    const MAX_TIME: Duration = Duration::from_secs(20);
    /// The corpus is read by people too.
    const MAX_CORPUS_BYTES: usize = 300_000;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(name)
    }

    /// The files of a folder, sorted.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn every_lock_format_has_a_target() {
        for kind in LockKind::ALL {
            let path = kind.path().trim_end_matches(".toml");
            let name = path.replace('.', "_").to_lowercase();
            let found = TARGETS.iter().any(|(target, _)| *target == name);
            assert!(found, "{name}");
        }
    }

    #[test]
    fn the_corpus_holds_no_find() {
        let mut total_bytes = 0;
        for (name, target) in TARGETS {
            let inputs = files(&folder("corpus").join(name));
            assert!(inputs.len() >= 2, "{name} has no corpus");
            for path in inputs {
                let bytes = fs::read(&path).unwrap();
                total_bytes += bytes.len();
                let begun = Instant::now();
                // Its name is what a failure is looked up by.
                let outcome = std::panic::catch_unwind(|| target(&bytes));
                assert!(outcome.is_ok(), "{name}: {}", path.display());
                let took = begun.elapsed();
                assert!(took < MAX_TIME, "{name}: {} took {took:?}", path.display());
            }
        }
        assert!(total_bytes < MAX_CORPUS_BYTES, "{total_bytes} bytes");
    }

    #[test]
    fn targets_survive_damage_to_their_corpus() {
        for (name, target) in TARGETS {
            for path in files(&folder("corpus").join(name)).iter().take(6) {
                let whole = fs::read(path).unwrap();
                for (round, step) in [97, 211].into_iter().enumerate() {
                    let mut bytes = whole.clone();
                    for at in (round..bytes.len()).step_by(step) {
                        bytes[at] = bytes[at].wrapping_add(31);
                    }
                    target(&bytes);
                    target(&bytes[..bytes.len() / (round + 2)]);
                }
            }
        }
    }

    #[test]
    fn each_target_has_its_program_and_its_corpus() {
        let targets: BTreeSet<String> =
            TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let stems = |paths: Vec<PathBuf>| -> BTreeSet<String> {
            paths
                .iter()
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(stems(files(&folder("src/bin"))), targets);
        assert_eq!(stems(files(&folder("corpus"))), targets);
        for (name, _) in TARGETS {
            let program = folder("src/bin").join(format!("{name}.rs"));
            let text = fs::read_to_string(&program).unwrap();
            assert!(text.contains(&format!("s2r::fuzzing::{name}(")), "{name}");
        }
    }

    #[test]
    fn an_input_holds_several_files() {
        let bytes = b"first\n== a/b\none\ntwo\n== c";
        assert_eq!(
            sections(bytes),
            [
                (&b""[..], &b"first\n"[..]),
                (b"a/b", b"one\ntwo\n"),
                (b"c", b"")
            ]
        );
        assert_eq!(section(bytes, "c").as_deref(), Some(""));
        assert_eq!(section(bytes, "d"), None);
    }
}
