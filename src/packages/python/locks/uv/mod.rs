//! `uv.lock`: every version for every environment, and a graph of what needs what. The packages
//! that the project reaches in one environment become a `pylock.toml`.
//!
//! Documented in <https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile>; the form is
//! uv's own, version 1. Groups are taken only where they are chosen: the ones of
//! `[tool.uv] default-groups` are for those who develop, as `dev` is.

mod fresh;
mod written;

use std::collections::BTreeSet;

use crate::packages::python::conditions::ResolutionRules;
use crate::packages::python::locks::indexes_of;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree};
use toml::{Table, Value};

use super::graph::{LockEdge, LockNode, reach};
use super::sources::{check_conflicts, default_groups};
use super::{
    ConversionInput, ConvertedLock, LockFileError, LockForm, LockKind, check_chosen, extra_names,
    list_in, made_from, normalised, packages, parse_marker, parse_toml, table_in, text_in,
    texts_in, unreadable, unsupported,
};
use crate::packages::python::pylock::line;
use fresh::check_fresh;
use written::{as_requirements, write_package};

const PATH: &str = "uv.lock";

/// A package as the lock has it.
struct UvPackage<'a> {
    table: &'a Table,
    name: &'a str,
    source: &'a Table,
}

impl<'a> UvPackage<'a> {
    fn of(table: &'a Table) -> Result<Self, LockFileError> {
        let name =
            text_in(table, "name").ok_or_else(|| unreadable(PATH, "a package has no name"))?;
        let source = table_in(table, &["source"])
            .ok_or_else(|| unreadable(PATH, format!("{name} has no source")))?;
        Ok(Self {
            table,
            name,
            source,
        })
    }

    /// The folder of the project or of a member, from the lock's own.
    fn folder(&self) -> Option<&'a str> {
        let mut keys = ["virtual", "editable", "directory"].into_iter();
        keys.find_map(|key| text_in(self.source, key))
    }

    /// Whether this is the project itself, which is not installed from the lock.
    fn is_root(&self) -> bool {
        self.folder() == Some(".")
    }

    fn node(&self) -> Result<LockNode, LockFileError> {
        let marker = resolution_marker(self.name, self.table)?;
        let mut edges = edges(self.name, list_in(self.table, "dependencies"), &[])?;
        for (extra, list) in table_in(self.table, &["optional-dependencies"])
            .into_iter()
            .flatten()
        {
            let with = extra_names([extra.as_str()]);
            edges.extend(edges_with(self.name, list, &with)?);
        }
        Ok(LockNode {
            name: normalised(self.name),
            version: self.version()?,
            marker,
            edges,
        })
    }

    fn version(&self) -> Result<Option<Version>, LockFileError> {
        text_in(self.table, "version")
            .map(|text| {
                text.parse()
                    .map_err(|_| unreadable(PATH, format!("{}: `{text}` is no version", self.name)))
            })
            .transpose()
    }
}

pub(super) fn convert(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let lock = parse_toml(PATH, given.text)?;
    let project = parse_toml("pyproject.toml", made_from(LockKind::Uv, given)?)?;
    if lock.get("version").and_then(Value::as_integer) != Some(1) {
        return Err(unreadable(PATH, "its `version` is not 1"));
    }
    let packages = packages(PATH, &lock)?
        .into_iter()
        .map(UvPackage::of)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(uv) = table_in(&project, &["tool", "uv"]) {
        check_conflicts(uv, given)?;
    }
    let root = wanted(&packages, given.choice.member.as_deref())?;
    if root.is_root() {
        check_fresh(&lock, root, &project)?;
    }
    let nodes = packages
        .iter()
        .map(UvPackage::node)
        .collect::<Result<Vec<_>, _>>()?;
    let (wishes, active) = wishes(root, given)?;
    let mut reached = reach(PATH, &nodes, &wishes, given.markers, &active)?;
    if !root.is_root() {
        let own = packages.iter().position(|one| std::ptr::eq(one, root));
        reached.extend(own);
    }
    let members = reached.iter().map(|at| &packages[*at]);
    check_members(&lock, &project, members, given.beside)?;
    let reached: Vec<usize> = reached
        .into_iter()
        // A virtual member has needs and no code.
        .filter(|at| !packages[*at].is_root() && !packages[*at].source.contains_key("virtual"))
        .collect();
    if given.as_requirements {
        return as_requirements(reached.iter().map(|at| &packages[*at]));
    }
    let mut text = String::from("lock-version = \"1.0\"\ncreated-by = \"uv\"\n");
    if let Some(range) = text_in(&lock, "requires-python") {
        line(&mut text, "requires-python", range);
    }
    let mut names = BTreeSet::new();
    for at in reached {
        let package = &packages[at];
        write_package(&mut text, package)?;
        names.insert(nodes[at].name.clone());
    }
    if names.is_empty() {
        text.push_str("packages = []\n");
    }
    Ok(ConvertedLock {
        text,
        form: LockForm::Pylock,
        names,
        outside: BTreeSet::new(),
        conditions: ResolutionRules {
            file: "pyproject.toml",
            indexes: indexes_of(given.made_from.unwrap_or_default()),
            told: default_groups(given.made_from.unwrap_or_default())
                .into_iter()
                .collect(),
            ..ResolutionRules::default()
        },
    })
}

/// The folder of a member of the workspace whose `uv.lock` has this text, from the workspace's root; the name normalised.
///
/// # Errors
/// The text is no lock; it has no such member.
pub(crate) fn member_folder(text: &str, name: &str) -> Result<Option<String>, LockFileError> {
    let lock = parse_toml(PATH, text)?;
    let packages = packages(PATH, &lock)?
        .into_iter()
        .map(UvPackage::of)
        .collect::<Result<Vec<_>, _>>()?;
    let member = wanted(&packages, Some(name))?;
    Ok(member.folder().map(str::to_owned))
}

/// The member that lies in a folder of the workspace whose `uv.lock` has this text, if one does; the folder from the
/// workspace's root, without a slash at its end.
///
/// # Errors
/// The text is no lock.
pub(crate) fn member_in_folder(text: &str, folder: &str) -> Result<Option<String>, LockFileError> {
    let lock = parse_toml(PATH, text)?;
    for package in packages(PATH, &lock)? {
        let package = UvPackage::of(package)?;
        if package.folder() == Some(folder) {
            return Ok(Some(package.name.to_owned()));
        }
    }
    Ok(None)
}

/// The package whose needs count: the member that was named, else the project of the lock's own folder.
fn wanted<'p, 'a>(
    packages: &'p [UvPackage<'a>],
    member: Option<&str>,
) -> Result<&'p UvPackage<'a>, LockFileError> {
    let members = || packages.iter().filter(|package| package.folder().is_some());
    let names = || {
        let names: Vec<&str> = members().map(|package| package.name).collect();
        names.join(", ")
    };
    match member {
        Some(name) => members()
            .find(|package| normalised(package.name) == name)
            .ok_or_else(|| {
                let why = format!("no member of the workspace is called so; there are {}", names());
                unsupported(PATH, &format!("S2R_PACKAGE={name}"), why)
            }),
        None => members().find(|package| package.is_root()).ok_or_else(|| {
            let why = format!(
                "the workspace's root is no project, and S2R_PACKAGE says which member is wanted: {}",
                names()
            );
            unsupported(PATH, "the project", why)
        }),
    }
}

/// Holds the lock to what the members among these packages say now, the sources of the root included, as `uv lock --check`
/// does.
fn check_members<'p, 'a: 'p>(
    lock: &Table,
    project: &Table,
    packages: impl Iterator<Item = &'p UvPackage<'a>>,
    beside: &dyn Fn(&str) -> Option<String>,
) -> Result<(), LockFileError> {
    let listed = table_in(lock, &["manifest"]);
    let listed: BTreeSet<&str> = listed
        .into_iter()
        .flat_map(|manifest| texts_in(manifest, "members"))
        .collect();
    for package in packages.filter(|package| listed.contains(package.name)) {
        let Some(folder) = package.folder().filter(|folder| *folder != ".") else {
            continue;
        };
        let path = format!("{folder}/pyproject.toml");
        let Some(text) = beside(&path) else {
            continue;
        };
        let mut member: Table = text
            .parse()
            .map_err(|error| unreadable(PATH, format!("{path}: {error}")))?;
        inherit_sources(&mut member, project);
        check_fresh(lock, package, &member)?;
    }
    Ok(())
}

/// Gives a member the sources of the workspace's root that it does not name itself.
fn inherit_sources(member: &mut Table, root: &Table) {
    let Some(inherited) = table_in(root, &["tool", "uv", "sources"]) else {
        return;
    };
    let mut own = member;
    for key in ["tool", "uv", "sources"] {
        let value = own.entry(key).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(table) = value else {
            return;
        };
        own = table;
    }
    for (name, source) in inherited {
        let is_own = own.keys().any(|key| normalised(key) == normalised(name));
        if !is_own {
            own.insert(name.clone(), source.clone());
        }
    }
}

/// What the project needs, and the extras that hold: its own chosen ones, in the words that markers of
/// conflicting extras use too.
fn wishes(
    root: &UvPackage<'_>,
    given: &ConversionInput<'_>,
) -> Result<(Vec<LockEdge>, Vec<ExtraName>), LockFileError> {
    let choice = given.choice;
    let extras = table_in(root.table, &["optional-dependencies"]);
    let groups = table_in(root.table, &["dev-dependencies"]);
    // Extras and groups without packages stand in the metadata alone.
    let metadata = table_in(root.table, &["metadata"]);

    let empty_groups = metadata.and_then(|table| table_in(table, &["requires-dev"]));
    let keys = |table: Option<&'_ Table>| -> Vec<String> {
        table.into_iter().flat_map(Table::keys).cloned().collect()
    };
    let declared = metadata
        .into_iter()
        .flat_map(|table| texts_in(table, "provides-extras"));
    let known_extras = [keys(extras), declared.map(str::to_owned).collect()].concat();
    let known_groups: Vec<String> = [keys(groups), keys(empty_groups)].concat();
    check_chosen(
        PATH,
        "extra",
        &choice.extras,
        known_extras.iter().map(String::as_str),
    )?;
    check_chosen(
        PATH,
        "group",
        &choice.groups,
        known_groups.iter().map(String::as_str),
    )?;
    let mut wishes = edges(root.name, list_in(root.table, "dependencies"), &[])?;
    for (table, chosen) in [(extras, &choice.extras), (groups, &choice.groups)] {
        for (name, list) in table.into_iter().flatten() {
            if chosen.contains(&normalised(name)) {
                wishes.extend(edges_with(root.name, list, &[])?);
            }
        }
    }
    let name = normalised(root.name);
    let length = name.len();
    let marked = |kind: &'static str| {
        let name = name.clone();
        move |chosen: &String| format!("{kind}-{length}-{name}-{chosen}")
    };
    let words: Vec<String> = choice
        .extras
        .iter()
        .cloned()
        .chain(choice.extras.iter().map(marked("extra")))
        .chain(choice.groups.iter().map(marked("group")))
        .chain([format!("project-{length}-{name}")])
        .collect();
    Ok((wishes, extra_names(words.iter().map(String::as_str))))
}

fn edges_with(
    by: &str,
    list: &Value,
    only_with: &[ExtraName],
) -> Result<Vec<LockEdge>, LockFileError> {
    edges(by, list.as_array().map_or(&[], Vec::as_slice), only_with)
}

fn edges(
    by: &str,
    list: &[Value],
    only_with: &[ExtraName],
) -> Result<Vec<LockEdge>, LockFileError> {
    list.iter()
        .filter_map(Value::as_table)
        .map(|table| {
            let name = text_in(table, "name").unwrap_or_default();
            let versions = text_in(table, "version")
                .map(|version| {
                    format!("=={version}")
                        .parse::<VersionSpecifiers>()
                        .map_err(|_| unreadable(PATH, format!("{by}: `{version}` is no version")))
                })
                .transpose()?;
            let marker = text_in(table, "marker")
                .map_or(Ok(MarkerTree::TRUE), |text| parse_marker(PATH, by, text))?;
            // Two spellings: a list, and in older locks one text.
            let extras = texts_in(table, "extra").chain(text_in(table, "extra"));
            Ok(LockEdge {
                versions,
                extras: extra_names(extras),
                marker,
                only_with: only_with.to_vec(),
                ..LockEdge::to(name)
            })
        })
        .collect()
}

/// The environments that one of several versions is for.
fn resolution_marker(name: &str, table: &Table) -> Result<MarkerTree, LockFileError> {
    let mut texts = texts_in(table, "resolution-markers").peekable();
    if texts.peek().is_none() {
        return Ok(MarkerTree::TRUE);
    }
    texts.try_fold(MarkerTree::FALSE, |mut any, text| {
        any.or(parse_marker(PATH, name, text)?);
        Ok(any)
    })
}
