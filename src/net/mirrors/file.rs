//! `registries.conf` and the files beside it (containers-registries.conf(5), version 2;
//! containers-registries.conf.d(5)): which files count, and what they say of registries.
//!
//! Names without a registry are docker.io's here, as docker has it, so `unqualified-search-registries`,
//! `short-name-mode` and `[aliases]` are passed over; so is `credential-helpers`. A file of version 1 is
//! told of and ignored. Prefixes and locations with a tag or digest are told of and ignored too: no
//! other reader of these files matches them either.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{MirrorsError, full_name};
use crate::oci::{DOCKER_HUB, Reference, docker_hub_of};
use crate::report::without_login;

/// No file of rules that a person wrote is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files read of one folder.
const MAX_FILES: usize = 100;
/// The main file's name; its folder of drop-ins has `.d` after it.
const NAME: &str = "registries.conf";

/// The variable that names another place for the official images of Python.
pub(crate) const BASE_MIRROR: &str = "S2R_BASE_MIRROR";
/// Their repository at docker.io.
const PYTHON_IMAGES: &str = "library/python";

/// Where the files are looked for. `Default`: nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct MirrorFiles {
    /// A main file that is named, and has to be there.
    pub named: Option<PathBuf>,
    /// The user's folder, `~/.config/containers`. A main file in it counts instead of the system's, and
    /// then the system's drop-ins do not count either.
    pub user: Option<PathBuf>,
    /// The system's folder, `/etc/containers`.
    pub system: Option<PathBuf>,
    /// `S2R_BASE_MIRROR`: what stands in place of docker.io for the official images of Python, whatever the
    /// files say of these.
    pub base_mirror: Option<String>,
}

/// For which reads a mirror is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PullFilter {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    /// Those of images that are named by a tag.
    TagOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MirrorRule {
    /// What names begin with: `host[:port][/path]`, or `*.host`.
    pub prefix: String,
    /// What stands in its place for reading; the same for the most part. None with a `*.`.
    pub location: Option<String>,
    /// Certificates there are not looked at, and there may be none.
    pub insecure: bool,
    /// The place itself is not to be asked.
    pub blocked: bool,
    pub mirrors: Vec<MirrorEndpoint>,
    /// Which file says so.
    pub file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MirrorEndpoint {
    pub location: String,
    pub insecure: bool,
    pub pulls: PullFilter,
}

/// What all files say together.
#[derive(Debug, Default)]
pub(super) struct MirrorSettings {
    pub rules: Vec<MirrorRule>,
    /// What was passed over, for people.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct MirrorDocument {
    #[serde(default)]
    registry: Vec<RegistryTable>,
    /// Of version 1.
    registries: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryTable {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFilter,
}

impl MirrorFiles {
    /// Reads them all; of rules for one prefix the one read last counts.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it should be.
    pub(super) fn read(&self) -> Result<MirrorSettings, MirrorsError> {
        let mut contents = MirrorSettings::default();
        for path in self.paths()? {
            let text = read(&path)?;
            contents.add(&path, &text)?;
        }
        if let Some(mirror) = &self.base_mirror {
            contents.add_base_mirror(mirror)?;
        }
        Ok(contents)
    }

    /// The files that count, in their order.
    fn paths(&self) -> Result<Vec<PathBuf>, MirrorsError> {
        let file = |folder: &Option<PathBuf>| {
            let path = folder.as_ref()?.join(NAME);
            path.is_file().then_some(path)
        };
        let users = file(&self.user).filter(|_| self.named.is_none());
        let is_users = users.is_some();
        let main = self.named.clone().or(users).or_else(|| file(&self.system));
        let system = self.system.as_ref().filter(|_| !is_users);
        let mut all: Vec<PathBuf> = main.into_iter().collect();
        for folder in system.into_iter().chain(&self.user) {
            all.extend(drop_ins(&folder.join(format!("{NAME}.d")))?);
        }
        Ok(all)
    }
}

/// The files of a folder whose names end in `.conf`, sorted; none if it is not there.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, MirrorsError> {
    let failed = |source| MirrorsError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries.take(MAX_FILES) {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|name| name == "conf") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn read(path: &Path) -> Result<String, MirrorsError> {
    let failed = |source| MirrorsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}

impl MirrorSettings {
    /// Has the official images of Python read below another place.
    fn add_base_mirror(&mut self, mirror: &str) -> Result<(), MirrorsError> {
        let location = format!("{}/{PYTHON_IMAGES}", mirror.trim_end_matches('/'));
        let is_name = location
            .parse::<Reference>()
            .is_ok_and(|name| full_name(&name) == location);
        if !is_name {
            return Err(MirrorsError::BaseMirror {
                value: without_login(mirror).into_owned(),
            });
        }
        let rule = MirrorRule {
            prefix: format!("{DOCKER_HUB}/{PYTHON_IMAGES}"),
            location: Some(location),
            insecure: false,
            blocked: false,
            mirrors: Vec::new(),
            file: PathBuf::from(BASE_MIRROR),
        };
        self.rules.retain(|other| other.prefix != rule.prefix);
        self.rules.push(rule);
        Ok(())
    }

    /// Takes in one file.
    ///
    /// # Errors
    /// It is no TOML, or not of this format.
    pub(super) fn add(&mut self, path: &Path, text: &str) -> Result<(), MirrorsError> {
        let malformed = |reason: String| MirrorsError::Malformed {
            path: path.to_owned(),
            reason,
        };
        let document: MirrorDocument =
            toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?;
        if document.registries.is_some() {
            self.warnings.push(format!(
                "{}: a file of version 1 is ignored; version 2 has [[registry]] tables",
                path.display()
            ));
            return Ok(());
        }
        for table in document.registry {
            match rule(table, path) {
                Ok(rule) => {
                    self.rules.retain(|other| other.prefix != rule.prefix);
                    self.rules.push(rule);
                }
                Err(InvalidTable::Pinned(name)) => self.warnings.push(format!(
                    "{}: the rule for {name} is ignored, because it names a tag or digest",
                    path.display()
                )),
                Err(InvalidTable::Wrong(reason)) => return Err(malformed(reason)),
            }
        }
        Ok(())
    }
}

/// Why a table gives no rule.
enum InvalidTable {
    /// It names one image.
    Pinned(String),
    Wrong(String),
}

fn rule(table: RegistryTable, file: &Path) -> Result<MirrorRule, InvalidTable> {
    let location = (!table.location.is_empty())
        .then(|| place(&table.location))
        .transpose()?;
    let prefix = match (table.prefix.as_str(), &location) {
        ("", Some(location)) => location.clone(),
        ("", None) => {
            return Err(InvalidTable::Wrong(
                "a [[registry]] has neither prefix nor location".to_owned(),
            ));
        }
        (text, _) => prefix(text)?,
    };
    if location.is_none() && !prefix.starts_with("*.") {
        return Err(InvalidTable::Wrong(format!(
            "the [[registry]] with prefix {prefix:?} has no location"
        )));
    }
    let mirror = |mirror: MirrorTable| {
        let pulls = match (table.mirror_by_digest_only, mirror.pull_from_mirror) {
            (true, PullFilter::All | PullFilter::DigestOnly) => PullFilter::DigestOnly,
            (true, PullFilter::TagOnly) => {
                return Err(InvalidTable::Wrong(format!(
                    "pull-from-mirror and mirror-by-digest-only stand together for {prefix:?}"
                )));
            }
            (false, pulls) => pulls,
        };
        Ok(MirrorEndpoint {
            location: place(&mirror.location)?,
            insecure: mirror.insecure,
            pulls,
        })
    };
    let mirrors = table.mirror.into_iter().map(mirror);
    Ok(MirrorRule {
        mirrors: mirrors.collect::<Result<_, _>>()?,
        location,
        insecure: table.insecure,
        blocked: table.blocked,
        file: file.to_owned(),
        prefix,
    })
}

fn prefix(text: &str) -> Result<String, InvalidTable> {
    let Some(host) = text.strip_prefix("*.") else {
        return place(text);
    };
    // The rest is a host's name like any other.
    let rest = place(host)?;
    if rest.contains('/') {
        return Err(InvalidTable::Wrong(format!(
            "{text:?} has a path after its wildcard"
        )));
    }
    Ok(format!("*.{rest}"))
}

/// A registry, or a namespace or repository of it, as names begin with it.
fn place(text: &str) -> Result<String, InvalidTable> {
    let wrong = || {
        InvalidTable::Wrong(format!(
            "{text:?} is no registry and no repository: host[:port][/path]"
        ))
    };
    let text = text.trim_end_matches('/');
    let (host, path) = text.split_once('/').map_or((text, ""), |parts| parts);
    if host.contains('@') {
        // Not shown: there may be a password in it.
        return Err(InvalidTable::Wrong(
            "a location has a user in it".to_owned(),
        ));
    }
    if path.contains([':', '@']) {
        return Err(InvalidTable::Pinned(text.to_owned()));
    }
    let host = docker_hub_of(host);
    let place = match path {
        "" => host.to_owned(),
        path => format!("{host}/{path}"),
    };
    // Whatever follows it: with another repository behind, it must be a name; and not one of docker.io's
    // for want of a registry.
    let whole: Reference = format!("{place}/x").parse().map_err(|_| wrong())?;
    if whole.registry() == host {
        Ok(place)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests;
