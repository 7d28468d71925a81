//! `pdm.lock` as lines of requirements: each package says which groups and environments want it.
//!
//! Documented in <https://pdm-project.org/en/latest/usage/lockfile/>; the hash that tells whether a
//! lock belongs to its pyproject.toml is that of PDM (`PyProject.content_hash`). Refused: locks
//! without groups, which PDM wrote before 2.11 unless asked (`inherit_metadata`).

use std::collections::BTreeMap;

use pep440_rs::VersionSpecifiers;
use pep508_rs::MarkerTree;
use toml::{Table, Value};

use super::content::{JsonContent, hash};
use super::lines::{PackageSource, RequirementLines, git_address, path_address};
use super::sources;
use super::{
    ConversionInput, ConvertedLock, LockFileError, LockKind, check_chosen, list_in, made_from,
    normalised, packages, parse_marker, parse_toml, stale, table_in, text_in, texts_in, unreadable,
    unsupported,
};
use crate::packages::python::conditions::ResolutionRules;

const PATH: &str = "pdm.lock";

pub(super) fn convert(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let lock = parse_toml(PATH, given.text)?;
    let project = parse_toml("pyproject.toml", made_from(LockKind::Pdm, given)?)?;
    let empty = Table::new();
    let metadata = table_in(&lock, &["metadata"]).unwrap_or(&empty);
    let locked = text_in(metadata, "content_hash")
        .and_then(|hash| hash.strip_prefix("sha256:"))
        .ok_or_else(|| unreadable(PATH, "it has no `content_hash` of sha256"))?;
    if content_hash(&project) != locked {
        return Err(stale(LockKind::Pdm));
    }
    let packages = packages(PATH, &lock)?;
    if packages
        .iter()
        .any(|package| !package.contains_key("groups"))
    {
        let what = "its packages do not say which groups want them; run `pdm lock --strategy inherit_metadata`";
        return Err(unsupported(PATH, "the lock", what));
    }
    // PDM keeps extras and groups in one list of names.
    let known: Vec<&str> = texts_in(metadata, "groups")
        .filter(|name| *name != "default")
        .collect();
    let choice = given.choice;
    check_chosen(PATH, "extra", &choice.extras, known.iter().copied())?;
    check_chosen(PATH, "group", &choice.groups, known)?;
    let is_wanted = |group: &str| {
        let group = normalised(group);
        group == "default" || choice.extras.contains(&group) || choice.groups.contains(&group)
    };
    let mut lines = RequirementLines::new(PATH);
    add_sources(&mut lines, &project)?;
    let pdm = table_in(&project, &["tool", "pdm"]);
    let sources = pdm.map(sources::of_pdm).transpose()?.unwrap_or_default();
    if sources.conditions.indexes.len() > 1 {
        // The lock has the versions already.
        lines.conditions(ResolutionRules {
            overrides: Vec::new(),
            ..sources.conditions
        })?;
    }
    for package in packages {
        let name = text_in(package, "name").unwrap_or_default();
        let marker = text_in(package, "marker")
            .map_or(Ok(MarkerTree::TRUE), |text| parse_marker(PATH, name, text))?;
        if texts_in(package, "groups").any(is_wanted) && marker.evaluate(given.markers, &[]) {
            write(&mut lines, name, package)?;
        }
    }
    Ok(lines.finish())
}

/// The indexes; one that is called `pypi` stands in for the public one.
fn add_sources(lines: &mut RequirementLines, project: &Table) -> Result<(), LockFileError> {
    let sources: Vec<&Table> = table_in(project, &["tool", "pdm"])
        .map_or(&[][..], |table| list_in(table, "source"))
        .iter()
        .filter_map(Value::as_table)
        .collect();
    let is_public = |source: &&&Table| text_in(source, "name") == Some("pypi");
    let public = sources
        .iter()
        .find(is_public)
        .and_then(|source| text_in(source, "url"));
    lines.index(public.unwrap_or(crate::packages::python::PUBLIC_INDEX))?;
    for source in sources {
        let Some(url) = text_in(source, "url") else {
            continue;
        };
        if text_in(source, "type") == Some("find_links") {
            lines.links(url)?;
        } else {
            lines.index(url)?;
        }
    }
    Ok(())
}

/// A package stands once by itself and once more for each set of extras; what the extras bring is
/// locked too, so that one line does.
fn write(lines: &mut RequirementLines, name: &str, package: &Table) -> Result<(), LockFileError> {
    let text = |key: &str| text_in(package, key);
    let hashes: Vec<&str> = list_in(package, "files")
        .iter()
        .filter_map(|file| file.get("hash")?.as_str())
        .collect();
    let wanted = if let Some(url) = text("git") {
        let commit = text("revision").or_else(|| text("ref"));
        PackageSource::Address(git_address(url, commit, text("subdirectory")))
    } else if let Some(url) = text("url") {
        let fragment = text("subdirectory").map(|sub| format!("#subdirectory={sub}"));
        PackageSource::Address(format!("{url}{}", fragment.unwrap_or_default()))
    } else if let Some(path) = text("path") {
        PackageSource::Address(path_address(path))
    } else {
        let version = text("version").unwrap_or_default();
        let exact: VersionSpecifiers = format!("=={version}")
            .parse()
            .map_err(|_| unreadable(PATH, format!("{name}: `{version}` is no version")))?;
        PackageSource::Versions(exact)
    };
    lines.add(name, &[], &wanted, &hashes)
}

/// What a lock of this pyproject.toml says of it.
fn content_hash(project: &Table) -> String {
    let standard = table_in(project, &["project"]);
    let pdm = table_in(project, &["tool", "pdm"]);
    let value =
        |table: Option<&'_ Table>, key: &str| table.and_then(|table| table.get(key)).cloned();
    let or_else = |value: Option<Value>, default: Value| value.unwrap_or(default);
    let list = || Value::Array(Vec::new());
    let map = || Value::Table(Table::new());
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for table in [
        table_in(project, &["dependency-groups"]),
        pdm.and_then(|table| table_in(table, &["dev-dependencies"])),
    ] {
        for (name, entries) in table.into_iter().flatten() {
            let all = groups.entry(normalised(name)).or_default();
            all.extend(entries.as_array().into_iter().flatten().cloned());
        }
    }
    let groups: Table = groups
        .into_iter()
        .map(|(name, entries)| (name, Value::Array(entries)))
        .collect();
    let all: Table = [
        ("sources", or_else(value(pdm, "source"), list())),
        (
            "dependencies",
            or_else(value(standard, "dependencies"), list()),
        ),
        ("dev-dependencies", Value::Table(groups)),
        (
            "optional-dependencies",
            or_else(value(standard, "optional-dependencies"), map()),
        ),
        (
            "requires-python",
            or_else(
                value(standard, "requires-python"),
                Value::String(String::new()),
            ),
        ),
        ("resolution", or_else(value(pdm, "resolution"), map())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    hash(&JsonContent::Table(&all), false)
}
