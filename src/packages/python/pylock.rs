//! `pylock.toml`: exact files of packages, as pip, uv and others write and read them.
//!
//! Specified in <https://packaging.python.org/en/latest/specifications/pylock-toml/> (PEP 751).
//! Keys that this program has no use for are read over, as the specification asks. Refused: a
//! newer major version of the format, more packages than any project has.

use std::fmt::Write as _;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerTree, PackageName};
use serde::Deserialize;

use super::location::{DirectUrl, Url, shown};
use super::marker;
use crate::packages::{NotSha256, Sha256};

/// Largest lock in bytes.
const MAX_LOCK_BYTES: usize = 32 * 1024 * 1024;
/// Most packages of a lock.
const MAX_PACKAGES: usize = 20_000;
/// Most environments of a lock.
const MAX_ENVIRONMENTS: usize = 1000;

/// A lock, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pylock {
    /// The versions of Python that the lock was made for.
    pub requires_python: Option<VersionSpecifiers>,
    /// The environments that the lock was made for; empty if it does not say.
    pub environments: Vec<MarkerTree>,
    /// The packages, in the order of the file.
    pub packages: Vec<LockedPackage>,
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedPackage {
    /// The project.
    pub name: PackageName,
    /// Its version; absent where only building tells.
    pub version: Option<Version>,
    /// Where the package is wanted at all.
    pub marker: MarkerTree,
    /// The versions of Python it runs on.
    pub requires_python: Option<VersionSpecifiers>,
    /// Its wheels.
    pub wheels: Vec<LockedFile>,
    /// A file named directly instead of found in an index.
    pub archive: Option<LockedFile>,
    /// Its source distribution.
    pub sdist: Option<LockedFile>,
    /// The folder or repository that it is.
    pub tree: Option<LockedTree>,
}

/// A package that is neither a wheel nor an archive (PEP 751, `packages.vcs`, `packages.directory`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockedTree {
    /// A commit of a git repository.
    Repository {
        /// Its address.
        url: Url,
        /// The commit's name.
        commit: String,
        /// The folder in it.
        subdirectory: Option<String>,
    },
    /// A folder beside the lock.
    Folder {
        /// Its path, relative to the lock.
        path: String,
        /// Whether it is installed in place.
        is_editable: bool,
    },
}

impl LockedPackage {
    /// Whether the package belongs into an environment.
    pub(crate) fn applies(&self, markers: &MarkerEnvironment) -> bool {
        self.marker.evaluate(markers, &[])
    }
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedFile {
    /// The file's name.
    pub name: String,
    /// Where it is: an address, or a path relative to the lock.
    pub location: DirectUrl,
    /// Its size in bytes.
    pub size_bytes: Option<u64>,
    /// Its hash.
    pub sha256: Option<Sha256>,
}

/// What is wrong with a lock. Names the package, as locks are not written by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PylockError {
    /// No TOML, or not of this form.
    #[error("it cannot be read: {0}")]
    Toml(String),
    /// `lock-version` is not 1.x.
    #[error("its format is `{0}`; this program reads 1.x")]
    Format(String),
    /// More than this program reads.
    #[error("it is larger than {limit} {what}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A value that has another form.
    #[error("{package}: `{key}` cannot be read: {reason}")]
    Value {
        /// The package, or the file as a whole.
        package: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawLock {
    lock_version: String,
    requires_python: Option<String>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPackage {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    wheels: Vec<RawFile>,
    sdist: Option<RawFile>,
    archive: Option<RawFile>,
    vcs: Option<RawVcs>,
    directory: Option<RawDirectory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawVcs {
    #[serde(rename = "type")]
    kind: String,
    url: Option<String>,
    commit_id: String,
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawDirectory {
    path: String,
    #[serde(default)]
    editable: bool,
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

impl Pylock {
    /// Reads a lock. Its default dependency groups are taken, and no extras.
    ///
    /// # Errors
    /// Text that is no lock of format 1.x.
    pub(crate) fn parse(text: &str) -> Result<Self, PylockError> {
        if text.len() > MAX_LOCK_BYTES {
            return Err(PylockError::TooLarge {
                what: "bytes",
                limit: MAX_LOCK_BYTES,
            });
        }
        let raw: RawLock = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
            .map_err(|error| PylockError::Toml(shown(error.to_string().trim())))?;
        if raw.lock_version.split('.').next() != Some("1") {
            return Err(PylockError::Format(raw.lock_version));
        }
        if raw.packages.len() > MAX_PACKAGES {
            return Err(PylockError::TooLarge {
                what: "packages",
                limit: MAX_PACKAGES,
            });
        }
        if raw.environments.len() > MAX_ENVIRONMENTS {
            return Err(PylockError::TooLarge {
                what: "environments",
                limit: MAX_ENVIRONMENTS,
            });
        }
        let groups = raw.default_groups;
        Ok(Self {
            requires_python: specifiers("the lock", raw.requires_python)?,
            environments: raw
                .environments
                .iter()
                .map(|text| read_marker(text, &groups))
                .collect::<Result<_, _>>()
                .map_err(|reason| PylockError::Value {
                    package: "the lock".to_owned(),
                    key: "environments",
                    reason: shown(&reason),
                })?,
            packages: raw
                .packages
                .into_iter()
                .map(|package| package.check(&groups))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether the lock was made for an environment.
    pub(crate) fn is_for(&self, markers: &MarkerEnvironment) -> bool {
        self.environments.is_empty()
            || self
                .environments
                .iter()
                .any(|environment| environment.evaluate(markers, &[]))
    }

    /// Writes the lock, packages by name and version, files by name: the same lock is the same text.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::from("lock-version = \"1.0\"\ncreated-by = \"s2r\"\n");
        if let Some(specifiers) = &self.requires_python {
            line(&mut text, "requires-python", &specifiers.to_string());
        }
        // A marker without text always holds: beside it the others say nothing.
        let environments: Option<Vec<String>> = self
            .environments
            .iter()
            .map(|environment| environment.try_to_string().map(|text| quoted(&text)))
            .collect();
        if let Some(environments) = environments.filter(|list| !list.is_empty()) {
            let _ = writeln!(text, "environments = [{}]", environments.join(", "));
        }
        let mut packages: Vec<&LockedPackage> = self.packages.iter().collect();
        packages.sort_by(|a, b| {
            (&a.name, &a.version, a.marker.try_to_string()).cmp(&(
                &b.name,
                &b.version,
                b.marker.try_to_string(),
            ))
        });
        if packages.is_empty() {
            text.push_str("packages = []\n");
        }
        for package in packages {
            package.write(&mut text);
        }
        text
    }
}

impl LockedPackage {
    fn write(&self, text: &mut String) {
        text.push_str("\n[[packages]]\n");
        line(text, "name", self.name.as_ref());
        if let Some(version) = &self.version {
            line(text, "version", &version.to_string());
        }
        if let Some(marker) = self.marker.try_to_string() {
            line(text, "marker", &marker);
        }
        if let Some(specifiers) = &self.requires_python {
            line(text, "requires-python", &specifiers.to_string());
        }
        if let Some(archive) = &self.archive {
            text.push_str("archive = ");
            archive.write(text, false);
            text.push('\n');
        }
        match &self.tree {
            Some(LockedTree::Repository {
                url,
                commit,
                subdirectory,
            }) => {
                let below = subdirectory
                    .as_deref()
                    .map(|below| format!(", subdirectory = {}", quoted(below)))
                    .unwrap_or_default();
                let (url, commit) = (quoted(url.as_str()), quoted(commit));
                let _ = writeln!(
                    text,
                    "vcs = {{ type = \"git\", url = {url}, commit-id = {commit}{below} }}"
                );
            }
            Some(LockedTree::Folder { path, is_editable }) => {
                let path = quoted(path);
                let _ = writeln!(
                    text,
                    "directory = {{ path = {path}, editable = {is_editable} }}"
                );
            }
            None => {}
        }
        if let Some(sdist) = &self.sdist {
            text.push_str("sdist = ");
            sdist.write(text, true);
            text.push('\n');
        }
        if !self.wheels.is_empty() {
            text.push_str("wheels = [\n");
            let mut wheels: Vec<&LockedFile> = self.wheels.iter().collect();
            wheels.sort_by(|a, b| a.name.cmp(&b.name));
            for wheel in wheels {
                text.push_str("    ");
                wheel.write(text, true);
                text.push_str(",\n");
            }
            text.push_str("]\n");
        }
    }
}

impl LockedFile {
    /// Writes an inline table; an archive has no `name` key.
    fn write(&self, text: &mut String, with_name: bool) {
        let mut parts = Vec::new();
        if with_name {
            parts.push(format!("name = {}", quoted(&self.name)));
        }
        let key = match self.location {
            DirectUrl::Path(_) => "path",
            DirectUrl::Archive(_) | DirectUrl::Repository(_) => "url",
        };
        parts.push(format!("{key} = {}", quoted(&self.location.to_string())));
        if let Some(size) = self.size_bytes {
            parts.push(format!("size = {size}"));
        }
        if let Some(sha256) = &self.sha256 {
            parts.push(format!("hashes = {{ sha256 = \"{sha256}\" }}"));
        }
        let _ = write!(text, "{{ {} }}", parts.join(", "));
    }
}

impl RawPackage {
    fn check(self, groups: &[String]) -> Result<LockedPackage, PylockError> {
        let package = self.name.clone();
        let wrong = |key, reason: String| PylockError::Value {
            package: shown(&package),
            key,
            reason: shown(&reason),
        };
        let files = |raw: Vec<RawFile>| -> Result<Vec<LockedFile>, PylockError> {
            raw.into_iter().map(|file| file.check(&package)).collect()
        };
        Ok(LockedPackage {
            name: self
                .name
                .parse()
                .map_err(|error: pep508_rs::InvalidNameError| wrong("name", error.to_string()))?,
            version: self
                .version
                .map(|version| version.parse())
                .transpose()
                .map_err(|error: pep440_rs::VersionParseError| {
                    wrong("version", error.to_string())
                })?,
            marker: self
                .marker
                .map_or(Ok(MarkerTree::TRUE), |marker| read_marker(&marker, groups))
                .map_err(|reason| wrong("marker", reason))?,
            requires_python: specifiers(&package, self.requires_python)?,
            wheels: files(self.wheels)?,
            archive: files(self.archive.into_iter().collect())?.pop(),
            sdist: files(self.sdist.into_iter().collect())?.pop(),
            tree: tree(self.vcs, self.directory).map_err(|(key, reason)| wrong(key, reason))?,
        })
    }
}

/// The tree that a package is, if it is one; else the key and what is wrong with it.
fn tree(
    vcs: Option<RawVcs>,
    directory: Option<RawDirectory>,
) -> Result<Option<LockedTree>, (&'static str, String)> {
    if let Some(vcs) = vcs {
        if vcs.kind != "git" {
            return Err(("vcs", format!("`{}` is not read, git is", vcs.kind)));
        }
        let is_commit = (40..=64).contains(&vcs.commit_id.len())
            && vcs.commit_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(("vcs", "its commit-id is no commit".to_owned()));
        }
        let url = vcs.url.unwrap_or_default();
        return Ok(Some(LockedTree::Repository {
            url: Url::parse(&url).map_err(|error| ("vcs", error.to_string()))?,
            commit: vcs.commit_id,
            subdirectory: vcs.subdirectory,
        }));
    }
    Ok(directory.map(|directory| LockedTree::Folder {
        path: match directory.subdirectory {
            Some(below) => format!("{}/{below}", directory.path.trim_end_matches('/')),
            None => directory.path,
        },
        is_editable: directory.editable,
    }))
}

impl RawFile {
    fn check(self, package: &str) -> Result<LockedFile, PylockError> {
        let wrong = |key, reason: String| PylockError::Value {
            package: shown(package),
            key,
            reason,
        };
        let location = match (self.url, self.path) {
            (Some(url), _) if url.starts_with("file:") => {
                DirectUrl::parse(&url).map_err(|error| wrong("url", error.to_string()))?
            }
            (Some(url), _) => DirectUrl::Archive(
                Url::parse(&url).map_err(|error| wrong("url", error.to_string()))?,
            ),
            (None, Some(path)) => DirectUrl::Path(path),
            (None, None) => return Err(wrong("url", "there is neither url nor path".to_owned())),
        };
        let name = self.name.unwrap_or_else(|| match &location {
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => url.file_name(),
            DirectUrl::Path(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        });
        let sha256 = self
            .hashes
            .get("sha256")
            .map(|digits| digits.parse())
            .transpose()
            .map_err(|error: NotSha256| wrong("hashes", error.to_string()))?;
        Ok(LockedFile {
            name,
            location,
            size_bytes: self.size,
            sha256,
        })
    }
}

fn specifiers(
    package: &str,
    text: Option<String>,
) -> Result<Option<VersionSpecifiers>, PylockError> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| text.parse())
        .transpose()
        .map_err(
            |error: pep440_rs::VersionSpecifiersParseError| PylockError::Value {
                package: shown(package),
                key: "requires-python",
                reason: error
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            },
        )
}

/// Reads a marker of a lock. Such markers may ask `"x" in dependency_groups` and `"x" in extras`,
/// which the grammar of requirements lacks: these parts are decided here and put in as a marker
/// that always or never holds.
fn read_marker(text: &str, groups: &[String]) -> Result<MarkerTree, String> {
    marker::check(text)?;
    let mut plain = text.to_owned();
    for (variable, members) in [("dependency_groups", groups), ("extras", &[])] {
        while let Some(end) = find_word(&plain, variable) {
            let start = end - variable.len();
            let before = plain[..start].trim_end();
            let unsupported = || format!("`{variable}` stands where this program cannot read it");
            let before = before
                .strip_suffix("in")
                .ok_or_else(unsupported)?
                .trim_end();
            let (before, negated) = match before.strip_suffix("not") {
                Some(before) => (before.trim_end(), true),
                None => (before, false),
            };
            let quote = before
                .chars()
                .last()
                .filter(|c| matches!(c, '"' | '\''))
                .ok_or_else(unsupported)?;
            let inner = &before[..before.len() - 1];
            let open = inner.rfind(quote).ok_or_else(unsupported)?;
            let holds = members.iter().any(|member| *member == inner[open + 1..]) != negated;
            let decided = if holds {
                "python_version >= '0'"
            } else {
                "python_version < '0'"
            };
            plain = format!("{}{decided}{}", &plain[..open], &plain[end..]);
        }
    }
    marker::parse(&plain)
}

/// The end of the first place where `word` stands as a word of its own, outside quotes.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let mut quote = None;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {
                let starts = !previous.is_alphanumeric() && previous != '_';
                if starts && text[at..].starts_with(word) {
                    let end = at + word.len();
                    let next = text[end..].chars().next().unwrap_or(' ');
                    if !next.is_alphanumeric() && next != '_' {
                        return Some(end);
                    }
                }
            }
        }
        previous = c;
    }
    None
}

pub(super) fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {}", quoted(value));
}

pub(super) fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::{Arch, Libc, PythonVersion, Target};
    use proptest::prelude::*;

    const HASH: &str = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";

    fn sample() -> String {
        format!(
            r#"lock-version = "1.0"
created-by = "another"
requires-python = ">=3.11"
default-groups = ["web"]
[[packages]]
name = "Zope.Interface"
version = "5"
marker = "platform_machine == 'x86_64' and ('web' in dependency_groups or \"x\" in extras)"
sdist = {{ url = "https://h/z-5.tar.gz", upload-time = 2024-01-01T00:00:00Z, hashes = {{ sha256 = "{HASH}" }} }}
wheels = [{{ url = "https://u:p@h/z-5-py3-none-any.whl", size = 7, hashes = {{ sha256 = "{HASH}" }} }}]
[[packages]]
name = "a"
marker = "'dev' in dependency_groups"
archive = {{ path = "w/a-1-py3-none-any.whl", hashes = {{ sha256 = "{HASH}" }} }}
[[packages]]
name = "tree"
directory = {{ path = "." }}
"#
        )
    }

    fn markers() -> MarkerEnvironment {
        let target = Target {
            python: PythonVersion {
                major: 3,
                minor: 13,
                patch: 0,
            },
            libc: Libc::Glibc(2, 41),
            arch: Arch::X86_64,
        };
        target.markers().unwrap()
    }

    #[test]
    fn reads_what_others_write() {
        let lock = Pylock::parse(&sample()).unwrap();
        let [zope, a, tree] = lock.packages.as_slice() else {
            panic!()
        };
        assert_eq!(zope.name.to_string(), "zope-interface");
        assert!(zope.applies(&markers()) && zope.sdist.is_some());
        assert_eq!(zope.wheels[0].name, "z-5-py3-none-any.whl");
        assert_eq!(
            zope.wheels[0].location.to_string(),
            "https://h/z-5-py3-none-any.whl"
        );
        assert_eq!(zope.wheels[0].size_bytes, Some(7));
        assert!(!a.applies(&markers()));
        assert_eq!(a.archive.as_ref().unwrap().name, "a-1-py3-none-any.whl");
        assert!(matches!(
            &tree.tree,
            Some(LockedTree::Repository { .. } | LockedTree::Folder { .. })
        ));
    }

    #[test]
    fn writes_what_it_reads_back() {
        let mut lock = Pylock::parse(&sample()).unwrap();
        lock.packages[0].wheels[0].location =
            DirectUrl::parse("https://h/z-5-py3-none-any.whl").unwrap();
        let text = lock.to_toml();
        assert!(text.starts_with("lock-version = \"1.0\"\ncreated-by = \"s2r\"\n"));
        lock.packages.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(Pylock::parse(&text).unwrap(), lock);
        assert_eq!(Pylock::parse(&text).unwrap().to_toml(), text);
    }

    #[test]
    fn environments_are_read_and_written() {
        let lock = |environments: &str| {
            let text =
                format!("lock-version = '1.0'\nenvironments = {environments}\npackages = []\n");
            Pylock::parse(&text)
        };
        assert!(lock("[]").unwrap().is_for(&markers()));
        let other = lock("[\"sys_platform == 'win32'\", \"python_version < '3'\"]").unwrap();
        assert!(!other.is_for(&markers()));
        assert_eq!(Pylock::parse(&other.to_toml()).unwrap(), other);
        let both = lock("[\"sys_platform == 'win32'\", \"platform_machine == 'x86_64'\"]").unwrap();
        assert!(both.is_for(&markers()));
        assert!(matches!(
            lock("['frob']"),
            Err(PylockError::Value {
                key: "environments",
                ..
            })
        ));
        assert!(lock("'x'").is_err());
        let many = format!("[{}]", "'a', ".repeat(MAX_ENVIRONMENTS + 1));
        assert!(matches!(lock(&many), Err(PylockError::TooLarge { .. })));
    }

    #[test]
    fn refuses_other_text() {
        let wrong = |text: &str| Pylock::parse(text).unwrap_err();
        assert!(matches!(wrong("x"), PylockError::Toml(_)));
        assert!(matches!(
            wrong("lock-version = '2.0'"),
            PylockError::Format(_)
        ));
        let package =
            |rest: &str| format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\n{rest}");
        for (rest, key) in [
            ("version = 'x'", "version"),
            ("marker = 'frob'", "marker"),
            ("marker = 'extras == 1'", "marker"),
            ("requires-python = 'x'", "requires-python"),
            ("wheels = [{}]", "url"),
            (
                "wheels = [{ url = 'https://h/', hashes = { sha256 = '1' } }]",
                "hashes",
            ),
        ] {
            match wrong(&package(rest)) {
                PylockError::Value { key: found, .. } => assert_eq!(found, key),
                other => panic!("{rest}: {other}"),
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,200}") {
            let _ = Pylock::parse(&text);
            let _ = read_marker(&text, &[]);
        }

        #[test]
        fn never_panics_on_likely_markers(text in "(extras|dependency_groups| in | not in |\"x\"|'y'|\\(|\\)| and | or |python_version|==|ä){0,12}") {
            let _ = read_marker(&text, &["x".to_owned()]);
        }

        #[test]
        fn any_string_is_quoted(text in "(?s).{0,40}") {
            let value: toml::Value = toml::from_str::<toml::Table>(&format!("x = {}", quoted(&text))).unwrap()["x"].clone();
            prop_assert_eq!(value.as_str(), Some(text.as_str()));
        }
    }
}
