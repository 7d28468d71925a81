//! `tests/explanations.txt`: what each error says, one entry a variant, as people see it. It is read from top to bottom
//! to review our words; each module's test holds its part of the file to its samples.
//!
//! `UPDATE_EXPLANATIONS=1 cargo test --lib explanations` writes the file anew.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Explain;

/// The start of a section's first line; the path of the type follows.
const SECTION: &str = "## ";

/// Holds errors to what the file says of them: `samples! { enum StoreError { Io { … }, … } struct BlobMissing { … }; }`.
/// An enum has at least one sample of each variant; the match that names them does not compile otherwise.
macro_rules! samples {
    (@one) => {};
    (@one
        enum $error:ident {
            $($variant:ident $({ $($field:tt)* })? $(( $($value:tt)* ))?),+ $(,)?
        }
        $($rest:tt)*
    ) => {
        #[expect(clippy::allow_attributes, reason = "most errors have one sample a variant, and no pattern twice")]
        #[allow(unreachable_patterns, reason = "a variant may have several samples")]
        let name = |error: &$error| match error {
            $($error::$variant { .. } => stringify!($variant)),+
        };
        $crate::report::samples::check(
            &[$($error::$variant $({ $($field)* })? $(( $($value)* ))?),+],
            name,
        );
        $crate::report::samples!(@one $($rest)*);
    };
    (@one struct $error:ident $({ $($field:tt)* })+; $($rest:tt)*) => {
        $crate::report::samples::check(&[$($error { $($field)* }),+], |_| stringify!($error));
        $crate::report::samples!(@one $($rest)*);
    };
    ($kind:ident $($all:tt)+) => {
        #[test]
        fn explanations_are_as_written() {
            $crate::report::samples!(@one $kind $($all)+);
        }
    };
}
pub(crate) use samples;

/// Two tests that write the file would lose each other's section.
static WRITING: Mutex<()> = Mutex::new(());

/// A refusal of the operating system, for samples.
pub(crate) fn denied() -> io::Error {
    io::Error::from_raw_os_error(13)
}

/// Compares the section of one type with its samples, or writes it.
pub(crate) fn check<E: Explain>(samples: &[E], name: impl Fn(&E) -> &'static str) {
    let title = std::any::type_name::<E>();
    let title = title.split_once("::").map_or(title, |(_, path)| path);
    let mut text = String::new();
    for sample in samples {
        let explanation = sample.explain();
        let exit = explanation.class.exit_code();
        text.push_str(&format!("\n{}, exit {exit}\n{explanation}", name(sample)));
    }
    let _one_at_a_time = WRITING.lock().unwrap();
    let mut sections = sections();
    if sections.get(title) == Some(&text) {
        return;
    }
    assert!(
        is_writing(),
        "{} does not have what {title} says now; look whether it is meant, then write it anew: \
         UPDATE_EXPLANATIONS=1 cargo test --lib explanations\n{text}",
        file().display()
    );
    sections.insert(title.to_owned(), text);
    write(&sections);
}

fn is_writing() -> bool {
    std::env::var_os("UPDATE_EXPLANATIONS").is_some()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations.txt")
}

/// The file's sections, by the paths of their types.
fn sections() -> BTreeMap<String, String> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let start = format!("\n{SECTION}");
    let sections = text.split(&start).skip(1);
    sections
        .filter_map(|section| {
            let (title, text) = section.split_once('\n')?;
            Some((title.to_owned(), text.trim_end().to_owned() + "\n"))
        })
        .collect()
}

fn write(sections: &BTreeMap<String, String>) {
    let mut text = "What each error of s2r says, as people see it, with its exit status. Made from the samples beside each error:\n\
        UPDATE_EXPLANATIONS=1 cargo test --lib explanations\n"
        .to_owned();
    for (title, section) in sections {
        text.push_str(&format!("\n{SECTION}{title}\n{section}"));
    }
    fs::write(file(), text).unwrap();
}

/// A type's name without its path.
fn last_part(title: &str) -> &str {
    title.rsplit("::").next().unwrap_or(title)
}

/// The names of all types that explain themselves, read from the sources.
fn explained(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            explained(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("impl "));
            let types =
                lines.filter_map(|line| line.split_once("Explain for ")?.1.split(' ').next());
            found.extend(types.map(str::to_owned));
        }
    }
}

#[test]
fn explanations_are_of_all_errors() {
    let mut found = Vec::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    explained(&sources, &mut found);
    found.sort();
    let _one_at_a_time = WRITING.lock().unwrap();
    let mut sections = sections();
    if is_writing() {
        sections.retain(|title, _| found.iter().any(|name| name == last_part(title)));
        write(&sections);
    } else {
        let mut titles: Vec<&str> = sections.keys().map(|title| last_part(title)).collect();
        titles.sort_unstable();
        assert!(
            titles.iter().eq(&found),
            "errors with an explanation and sections of {} differ: give each its `samples!`\n{found:#?}\n{titles:#?}",
            file().display()
        );
    }
}
