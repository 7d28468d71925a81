//! Reads a `pylock.toml`: what TOML says first, then each value held against its own grammar.

use std::collections::BTreeMap;

use pep440_rs::VersionSpecifiers;
use pep508_rs::MarkerTree;
use serde::Deserialize;

use super::{LockedFile, LockedPackage, LockedTree, Pylock, PylockError};
use crate::packages::NotSha256;
use crate::packages::python::location::{DirectUrl, PackageUrl, shown};
use crate::packages::python::marker;

/// Largest lock in bytes.
const MAX_LOCK_BYTES: usize = 32 * 1024 * 1024;
/// Most packages of a lock.
const MAX_PACKAGES: usize = 20_000;
/// Most environments of a lock.
pub(super) const MAX_ENVIRONMENTS: usize = 1000;

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
    hashes: BTreeMap<String, String>,
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
            url: PackageUrl::parse(&url).map_err(|error| ("vcs", error.to_string()))?,
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
                PackageUrl::parse(&url).map_err(|error| wrong("url", error.to_string()))?,
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
pub(super) fn read_marker(text: &str, groups: &[String]) -> Result<MarkerTree, String> {
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
