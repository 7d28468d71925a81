//! The files of other tools that say which packages go in (`uv.lock`, `poetry.lock`, `pdm.lock`,
//! `Pipfile.lock`, `Pipfile`, `pyproject.toml`), turned into text that the resolver reads already:
//! lines of a requirement file, or a `pylock.toml` (PEP 751).
//!
//! Each file is read for one environment: markers are decided here and do not appear in the result.
//! A lock that does not belong to the file that it was made from is refused, by the test of the
//! tool that made it. Everything from a file is read into a type of its grammar before it is written
//! again, so no value of a lock can add a line or an option to the result.

mod constraint;
mod content;
mod error;
mod graph;
mod inputs;
mod lines;
mod pdm;
mod pipfile;
mod poetry;
mod pyproject;
mod sources;
mod uv;

use std::collections::BTreeSet;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};
use serde::Serialize;
use toml::{Table, Value};

pub(crate) use error::LockFileError;
pub(crate) use inputs::decisive_part;
pub(crate) use sources::{beside_requirements, indexes_of, says_where};
pub(crate) use uv::{member_folder, member_in_folder};

use super::conditions::ResolutionRules;
use super::location::shown;
use super::marker;

/// Largest file in bytes.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most packages of a lock, and most entries of a list of requirements.
const MAX_PACKAGES: usize = 20_000;
/// Most extras and groups that are chosen.
const MAX_CHOSEN: usize = 100;

/// The kinds of files. Every list of them in s2r is made from [`LockKind::ALL`], and every choice among them is a
/// match without a wildcard: a new kind is written here, and the compiler names the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LockKind {
    Uv,
    Poetry,
    Pdm,
    PipfileLock,
    /// `Pipfile`, which is no lock.
    Pipfile,
    /// `pyproject.toml`, which is no lock.
    Pyproject,
}

/// What a lock stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LockOf {
    /// The file that it was made from.
    made_from: &'static str,
    /// The command that brings it up to date.
    renew: &'static str,
}

impl LockKind {
    /// All of them: the locks in the order in which they count, then what is no lock.
    pub(crate) const ALL: [Self; 6] = [
        Self::Uv,
        Self::Poetry,
        Self::Pdm,
        Self::PipfileLock,
        Self::Pipfile,
        Self::Pyproject,
    ];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
            Self::Pdm => "pdm.lock",
            Self::PipfileLock => "Pipfile.lock",
            Self::Pipfile => "Pipfile",
            Self::Pyproject => "pyproject.toml",
        }
    }

    /// What it stands for, if it is a lock.
    const fn lock_of(self) -> Option<LockOf> {
        let (made_from, renew) = match self {
            Self::Uv => (Self::Pyproject, "uv lock"),
            Self::Poetry => (Self::Pyproject, "poetry lock"),
            Self::Pdm => (Self::Pyproject, "pdm lock"),
            Self::PipfileLock => (Self::Pipfile, "pipenv lock"),
            Self::Pipfile | Self::Pyproject => return None,
        };
        Some(LockOf {
            made_from: made_from.path(),
            renew,
        })
    }

    /// The file that a lock was made from.
    pub(crate) const fn made_from(self) -> Option<&'static str> {
        match self.lock_of() {
            Some(lock) => Some(lock.made_from),
            None => None,
        }
    }

    /// The file beside it that is read with it.
    pub(crate) const fn read_with(self) -> Option<&'static str> {
        match self {
            // uv's own settings go before those in pyproject.toml.
            Self::Pyproject => Some("uv.toml"),
            Self::Uv | Self::Poetry | Self::Pdm | Self::PipfileLock | Self::Pipfile => {
                self.made_from()
            }
        }
    }

    /// Whether the file lists everything, what the listed packages need included.
    pub(crate) const fn is_lock(self) -> bool {
        self.lock_of().is_some()
    }

    /// Whether the file is there for its packages alone, so that one which is not read is a mistake.
    pub(crate) const fn is_for_packages_alone(self) -> bool {
        match self {
            Self::Uv | Self::Poetry | Self::Pdm | Self::PipfileLock | Self::Pipfile => true,
            Self::Pyproject => false,
        }
    }

    /// The locks, in the order in which they count.
    pub(crate) fn locks() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_lock())
    }

    /// Every file that is read for one of the kinds.
    pub(crate) fn documents() -> BTreeSet<&'static str> {
        let beside = Self::ALL.into_iter().filter_map(Self::read_with);
        Self::ALL
            .map(Self::path)
            .into_iter()
            .chain(beside)
            .collect()
    }
}

/// What is wanted beyond the dependencies themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LockChoice {
    /// Extras of the project.
    pub extras: Vec<String>,
    pub groups: Vec<String>,
    /// The member of a workspace that is wanted in place of its root; normalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

impl LockChoice {
    /// Reads the values of two variables: names with blanks or commas between them.
    pub(crate) fn new(extras: Option<&str>, groups: Option<&str>) -> Self {
        let list = |text: Option<&str>| -> Vec<String> {
            let names: BTreeSet<String> = text
                .unwrap_or_default()
                .split([',', ' ', '\t', '\n'])
                .filter(|name| !name.is_empty())
                .map(normalised)
                .take(MAX_CHOSEN)
                .collect();
            names.into_iter().collect()
        };
        Self {
            extras: list(extras),
            groups: list(groups),
            member: None,
        }
    }

    /// The same of one member of a workspace.
    pub(crate) fn of_member(self, name: Option<&str>) -> Self {
        Self {
            member: name.map(|name| normalised(name.trim())),
            ..self
        }
    }

    /// The same with more of them.
    pub(crate) fn with(mut self, more: Self) -> Self {
        for (list, more) in [
            (&mut self.extras, more.extras),
            (&mut self.groups, more.groups),
        ] {
            list.extend(more);
            list.sort();
            list.dedup();
        }
        self
    }

    /// Whether nothing is wanted beyond the dependencies.
    pub(crate) fn is_empty(&self) -> bool {
        self.extras.is_empty() && self.groups.is_empty()
    }
}

/// What a project calls the packages that its tests need: a group, or else an extra. `text` is that of the file
/// which declares them: of the one that a lock was made from.
pub(crate) fn for_tests(kind: LockKind, text: &str) -> Option<LockChoice> {
    /// The most telling first.
    const NAMES: [&str; 4] = ["test", "tests", "testing", "dev"];
    let table: Table = text.parse().ok()?;
    match kind {
        LockKind::Pipfile | LockKind::PipfileLock => {
            let has_any = table_in(&table, &["dev-packages"]).is_some_and(|one| !one.is_empty());
            return has_any.then(|| LockChoice::new(None, Some("dev")));
        }
        LockKind::Uv | LockKind::Poetry | LockKind::Pdm | LockKind::Pyproject => {}
    }
    let (groups, extras) = pyproject::chosen_names(&table);
    let group = NAMES.into_iter().find(|name| groups.contains(*name));
    let extra = NAMES.into_iter().find(|name| extras.contains(*name));
    match (group, extra) {
        (Some(group), _) => Some(LockChoice::new(None, Some(group))),
        (None, Some(extra)) => Some(LockChoice::new(Some(extra), None)),
        (None, None) => None,
    }
}

/// What a file is converted from and for.
#[derive(Clone, Copy)]
pub(crate) struct ConversionInput<'a> {
    pub text: &'a str,
    /// The text of the file that it was made from; with a `pyproject.toml`, that of `uv.toml`.
    pub made_from: Option<&'a str>,
    pub choice: &'a LockChoice,
    /// The text of a file below the source's root: of the members of a workspace.
    pub beside: &'a dyn Fn(&str) -> Option<String>,
    /// What markers are decided by.
    pub markers: &'a MarkerEnvironment,
    /// Whether something has to be built first, which only the wishes of requirement files are.
    pub as_requirements: bool,
}

/// What a file became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConvertedLock {
    pub text: String,
    pub form: LockForm,
    /// The packages in it, by name.
    pub names: BTreeSet<String>,
    /// The paths in it that lead out of the source, from its root.
    pub outside: BTreeSet<String>,
    /// What the text cannot say.
    pub conditions: ResolutionRules,
}

/// Forms of a text that the resolver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockForm {
    /// Lines of a requirement file.
    Requirements,
    Pylock,
}

/// Converts a file.
///
/// # Errors
/// A file that cannot be read, is older than what it was made from, or asks for something that has no
/// form here.
pub(crate) fn convert(
    kind: LockKind,
    given: &ConversionInput<'_>,
) -> Result<ConvertedLock, LockFileError> {
    let path = kind.path();
    for (path, text) in [
        (path, Some(given.text)),
        (kind.made_from().unwrap_or(path), given.made_from),
    ] {
        if text.is_some_and(|text| text.len() > MAX_BYTES) {
            let reason = format!("it is larger than {MAX_BYTES} bytes");
            return Err(unreadable(path, reason));
        }
    }
    match kind {
        LockKind::Uv => uv::convert(given),
        LockKind::Poetry => poetry::convert(given),
        LockKind::Pdm => pdm::convert(given),
        LockKind::PipfileLock => pipfile::convert_lock(given),
        LockKind::Pipfile => pipfile::convert(given),
        LockKind::Pyproject => pyproject::convert(given),
    }
}

fn unreadable(path: &'static str, reason: impl AsRef<str>) -> LockFileError {
    LockFileError::Unreadable {
        path,
        reason: shown(reason.as_ref()),
    }
}

fn unsupported(path: &'static str, package: &str, what: impl AsRef<str>) -> LockFileError {
    LockFileError::Unsupported {
        path,
        package: shown(package),
        what: shown(what.as_ref()),
    }
}

fn stale(kind: LockKind) -> LockFileError {
    let lock = kind.lock_of();
    LockFileError::Stale {
        path: kind.path(),
        of: lock.map_or("", |lock| lock.made_from),
        renew: lock.map_or("", |lock| lock.renew),
    }
}

/// The text that a lock was made from.
fn made_from<'a>(kind: LockKind, given: &ConversionInput<'a>) -> Result<&'a str, LockFileError> {
    given.made_from.ok_or(LockFileError::Alone {
        path: kind.path(),
        of: kind.made_from().unwrap_or_default(),
    })
}

/// Refuses names that are chosen and do not exist.
fn check_chosen<'a>(
    path: &'static str,
    kind: &'static str,
    chosen: &[String],
    known: impl IntoIterator<Item = &'a str>,
) -> Result<(), LockFileError> {
    let known: BTreeSet<String> = known.into_iter().map(normalised).collect();
    match chosen.iter().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(LockFileError::NoSuchChoice {
            path,
            kind,
            name: name.clone(),
            known: known.into_iter().collect(),
        }),
    }
}

fn parse_toml(path: &'static str, text: &str) -> Result<Table, LockFileError> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .parse::<Table>()
        .map_err(|error| unreadable(path, error.to_string().trim()))
}

/// The table below a path of keys.
fn table_in<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Table> {
    keys.iter()
        .try_fold(table, |table, key| table.get(*key)?.as_table())
}

fn text_in<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

fn list_in<'a>(table: &'a Table, key: &str) -> &'a [Value] {
    table
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Texts of a list.
fn texts_in<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a str> {
    list_in(table, key).iter().filter_map(Value::as_str)
}

/// `[[package]]`, bounded.
fn packages<'a>(path: &'static str, table: &'a Table) -> Result<Vec<&'a Table>, LockFileError> {
    let list = list_in(table, "package");
    if list.len() > MAX_PACKAGES {
        let reason = format!("it has more than {MAX_PACKAGES} packages");
        return Err(unreadable(path, reason));
    }
    Ok(list.iter().filter_map(Value::as_table).collect())
}

fn parse_marker(
    path: &'static str,
    package: &str,
    text: &str,
) -> Result<MarkerTree, LockFileError> {
    marker::parse(text).map_err(|reason| {
        let reason = format!("{package}: its marker `{text}` cannot be read: {reason}");
        unreadable(path, reason)
    })
}

/// Names as extras, those that are none left out.
fn extra_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<ExtraName> {
    names
        .into_iter()
        .filter(|name| is_name(name))
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// Whether a text is a name of a package, an extra or a group.
fn is_name(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A name as PEP 503 compares it.
fn normalised(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            text.push(c.to_ascii_lowercase());
        } else if !text.ends_with('-') {
            text.push('-');
        }
    }
    text
}

#[cfg(test)]
mod tests;
