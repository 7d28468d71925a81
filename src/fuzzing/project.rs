//! Files of a project that are not about packages of Python alone.

use std::path::PathBuf;

use super::sections;
use crate::plan::builder::BuilderFile;
use crate::project::ProjectFacts;
use crate::report::SilentReport;
use crate::source::environment::{self, EnvironmentGrammar};
use crate::source::ignore::IgnorePatterns;
use crate::source::{SourceSettings, SourceTree};

/// Files that one source may have here.
const MAX_FILES: usize = 16;

/// A source, each of its files a section; what they say together is read.
pub fn facts(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in sections(bytes).into_iter().skip(1).take(MAX_FILES) {
        let Some(path) = plain(name) else { continue };
        let path = folder.path().join(path);
        let made = path.parent().map(std::fs::create_dir_all);
        if made.is_none_or(|made| made.is_err()) {
            continue;
        }
        let _ = std::fs::write(path, contents);
    }
    let settings = SourceSettings {
        folder: folder.path().to_owned(),
        shown: None,
        context_dir: None,
        exclude: Vec::new(),
        ignore: Vec::new(),
    };
    let Ok(tree) = SourceTree::read(&settings, &SilentReport) else {
        return;
    };
    let paths = tree.entries().iter().map(|entry| &entry.path);
    assert!(paths.is_sorted());
    if let Ok(facts) = ProjectFacts::of(&tree) {
        let _ = facts.setup_scripts();
    }
}

/// A path that can be made below a folder.
fn plain(name: &[u8]) -> Option<PathBuf> {
    let name = std::str::from_utf8(name).ok()?;
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() < 100;
    let fits = name.len() < 300 && name.split('/').all(is_plain) && !name.contains('\0');
    fits.then(|| PathBuf::from(name))
}

/// `.s2iignore`, with paths to ask for after an empty line: patterns are matched in bounded time.
pub fn ignore(bytes: &[u8]) {
    let split = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (rules, paths) = bytes.split_at(split.unwrap_or(bytes.len()));
    let ignore = IgnorePatterns::parse(rules);
    for path in paths.split(|byte| *byte == b'\n').take(64) {
        let _ = ignore.verdict(path);
    }
}

/// `.s2i/environment` and the file of `-E`: a name is one, and no value has a line feed.
pub fn environment(bytes: &[u8]) {
    for form in [EnvironmentGrammar::Project, EnvironmentGrammar::CommandLine] {
        let Ok((variables, notes)) = environment::parse(bytes, form, "f") else {
            continue;
        };
        for variable in variables {
            assert!(!variable.name.is_empty() && !variable.name.contains('='));
            assert!(!variable.value.contains(['\n', '\0']));
        }
        for note in notes {
            let _ = note.told("f");
        }
    }
    let _ = environment::parse_argument(&String::from_utf8_lossy(bytes));
}

/// The YAML of a builder file.
pub fn builder(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = BuilderFile::from_yaml(&text, "builder.yaml");
}
