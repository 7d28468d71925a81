//! Wishes for a version of Python, in the grammars that files use.
//!
//! `.python-version` is pyenv's and uv's file, `runtime.txt` Heroku's; ranges are version
//! specifiers (packaging.python.org, "Version specifiers"), and Poetry's `^` and `~`.

use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Serialize;

use super::{ProjectError, SourcePlace};

/// Patch releases that a minor version can have, far beyond any that had.
const PATCH_RELEASES: u64 = 100;

/// A version or range that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PythonRange {
    /// As it is written.
    pub text: String,
    pub place: SourcePlace,
    /// Whether it names one version, as a file for version managers does; else it is a range.
    pub exact: bool,
    /// Whether it names a patch release too.
    pub names_patch: bool,
    #[serde(skip)]
    specifiers: VersionSpecifiers,
}

impl PythonRange {
    /// A range of versions.
    pub(super) fn range(text: &str, place: SourcePlace) -> Result<Self, ProjectError> {
        let specifiers = specifiers(text).ok_or_else(|| unknown(text, place.clone()))?;
        Ok(Self {
            text: text.to_owned(),
            place,
            exact: false,
            names_patch: false,
            specifiers,
        })
    }

    /// One version: `3.13`, `3.13.1`, `3`, `3.13.x`.
    pub(super) fn exactly(text: &str, place: SourcePlace) -> Result<Self, ProjectError> {
        let plain = text
            .trim_end_matches(".x")
            .trim_end_matches(".*")
            .trim_end_matches("-dev");
        let numbers: Option<Vec<u64>> = plain.split('.').map(|part| part.parse().ok()).collect();
        let numbers = numbers
            .filter(|numbers| (1..=3).contains(&numbers.len()))
            .ok_or_else(|| unknown(text, place.clone()))?;
        // A distribution has one patch release of each minor version, so a wish for another is a
        // wish for the minor version.
        let minor: Vec<String> = numbers.iter().take(2).map(u64::to_string).collect();
        let range = format!("=={}.*", minor.join("."));
        let specifiers = specifiers(&range).ok_or_else(|| unknown(text, place.clone()))?;
        Ok(Self {
            text: text.to_owned(),
            place,
            exact: true,
            names_patch: numbers.len() == 3,
            specifiers,
        })
    }

    /// Whether some patch release of a minor version such as `3.13` is wished for.
    pub(crate) fn admits(&self, minor: &str) -> bool {
        (0..PATCH_RELEASES).any(|patch| {
            Version::from_str(&format!("{minor}.{patch}"))
                .is_ok_and(|version| self.specifiers.contains(&version))
        })
    }
}

fn unknown(text: &str, place: SourcePlace) -> ProjectError {
    ProjectError::Version {
        place,
        text: text.chars().take(80).collect(),
    }
}

/// Reads a range; Poetry's forms are put into the standard ones.
fn specifiers(text: &str) -> Option<VersionSpecifiers> {
    let mut parts = Vec::new();
    // Poetry's `||` has no counterpart; its first alternative is enough to choose a builder.
    let text = text.split("||").next().unwrap_or(text);
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        if part == "*" {
            continue;
        }
        if let Some(base) = part.strip_prefix('^') {
            let major: u64 = base.trim().split('.').next()?.parse().ok()?;
            parts.push(format!(">={},<{}", base.trim(), major + 1));
        } else if let Some(base) = part.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
            let mut numbers = base.trim().split('.');
            let major: u64 = numbers.next()?.parse().ok()?;
            let above = match numbers.next() {
                Some(minor) => format!("{major}.{}", minor.parse::<u64>().ok()? + 1),
                None => (major + 1).to_string(),
            };
            parts.push(format!(">={},<{above}", base.trim()));
        } else if part.starts_with(|c: char| c.is_ascii_digit()) {
            parts.push(format!("=={part}"));
        } else {
            parts.push(part.to_owned());
        }
    }
    VersionSpecifiers::from_str(&parts.join(",")).ok()
}

/// The first version of a `.python-version`.
pub(super) fn version_file(path: &str, text: &str) -> Result<Option<PythonRange>, ProjectError> {
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let version = text
            .strip_prefix("cpython-")
            .or_else(|| text.strip_prefix("cpython@"))
            .or_else(|| text.strip_prefix("python-"))
            .unwrap_or(text);
        let place = SourcePlace::line(path, line);
        // uv writes ranges into this file too.
        if version.starts_with(['>', '<', '=', '~', '!', '^']) {
            return PythonRange::range(version, place).map(Some);
        }
        return PythonRange::exactly(version, place).map(Some);
    }
    Ok(None)
}

/// The version of a `runtime.txt`.
pub(super) fn runtime_file(path: &str, text: &str) -> Result<Option<PythonRange>, ProjectError> {
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let place = SourcePlace::line(path, line);
        return match text.strip_prefix("python-") {
            Some(version) => PythonRange::exactly(version, place).map(Some),
            None if text.starts_with(|c: char| c.is_ascii_digit()) => {
                PythonRange::exactly(text, place).map(Some)
            }
            None => Err(unknown(text, place)),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> SourcePlace {
        SourcePlace::file("f")
    }

    #[test]
    fn ranges_admit_versions() {
        for (range, minor, expected) in [
            (">=3.10,<4", "3.13", true),
            (">=3.10,<4", "3.9", false),
            (">=3.13.2", "3.13", true),
            ("<3.13", "3.13", false),
            ("~=3.11", "3.13", true),
            ("~=3.11.2", "3.13", false),
            ("==3.11.*", "3.11", true),
            ("!=3.11.*", "3.11", false),
            ("^3.11", "3.13", true),
            ("^3.11", "3.10", false),
            ("~3.11", "3.11", true),
            ("~3.11", "3.12", false),
            ("*", "3.13", true),
            ("3.13", "3.13", true),
            (">=3.11 , <3.13", "3.12", true),
            (">=3.8,<3.9 || >=3.12", "3.8", true),
        ] {
            let wish = PythonRange::range(range, place()).unwrap();
            assert_eq!(wish.admits(minor), expected, "{range} on {minor}");
        }
        assert!(PythonRange::range("three", place()).is_err());
    }

    #[test]
    fn version_files_name_a_minor_version() {
        for (text, minor, patch) in [
            ("3.13", "3.13", false),
            ("3.13.1\n", "3.13", true),
            ("# x\n\n3.11.x\n3.12\n", "3.11", false),
            ("3", "3.13", false),
            ("cpython-3.12.4", "3.12", true),
            ("3.14-dev", "3.14", false),
            (">=3.12", "3.13", false),
        ] {
            let wish = version_file("f", text).unwrap().unwrap();
            assert!(wish.admits(minor), "{text:?}");
            assert_eq!(wish.names_patch, patch, "{text:?}");
            assert!(!wish.admits("2.7"));
        }
        assert!(version_file("f", "\n# only\n").unwrap().is_none());
        assert!(version_file("f", "pypy3.10").is_err());
    }

    #[test]
    fn runtime_files_begin_with_python() {
        for text in ["python-3.13.1", "python-3.13.x", "python-3.13", "3.13"] {
            assert!(runtime_file("f", text).unwrap().unwrap().admits("3.13"));
        }
        assert!(runtime_file("f", "nodejs-20").is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(python-|[0-9]{1,25}|\\.|\\*|>=|<|~=|\\^|!=|,|\\||x|-dev|rc1| |\n|#|ä){0,12}") {
            for wish in [
                version_file("f", &text),
                runtime_file("f", &text),
                PythonRange::range(&text, SourcePlace::file("f")).map(Some),
                PythonRange::exactly(&text, SourcePlace::file("f")).map(Some),
            ] {
                let _ = wish.map(|wish| wish.map(|wish| wish.admits("3.13")));
            }
        }
    }
}
