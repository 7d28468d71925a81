//! `poetry.lock` as lines of requirements. Since form 2.1 each package says which groups and
//! environments want it; before that, it is found by walking from the project's wishes.
//!
//! The form is Poetry's own (`poetry.packages.locker`), as is the hash that tells whether a lock
//! belongs to its pyproject.toml. Read are locks of Poetry 1.1 to 2.x.

use std::collections::BTreeSet;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree, VersionOrUrl};
use toml::{Table, Value};

use super::content::{JsonContent, hash};
use super::graph::{LockEdge, LockNode, reach};
use super::lines::{PackageSource, RequirementLines, git_address, path_address};
use super::pyproject::{
    DependencyGroups, PoetryDependency, chosen_optional, declared_in, is_poetrys, leading_name,
    poetry_groups, requirement,
};
use super::sources;
use super::{
    ConversionInput, ConvertedLock, LockFileError, LockKind, check_chosen, extra_names, list_in,
    made_from, normalised, packages, parse_marker, parse_toml, stale, table_in, text_in, texts_in,
    unreadable, unsupported,
};
use crate::packages::python::conditions::{IndexPin, NamedIndex, ResolutionRules};

const PATH: &str = "poetry.lock";
/// The index of packages that name none.
const PUBLIC: &str = crate::packages::python::PUBLIC_INDEX;

pub(super) fn convert(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let lock = parse_toml(PATH, given.text)?;
    let project = parse_toml("pyproject.toml", made_from(LockKind::Poetry, given)?)?;
    let metadata = table_in(&lock, &["metadata"]);
    let locked = metadata.and_then(|table| text_in(table, "content-hash"));
    if !hashes(&project)
        .iter()
        .any(|hash| Some(hash.as_str()) == locked)
    {
        return Err(stale(LockKind::Poetry));
    }
    let packages = packages(PATH, &lock)?;
    check_choice(&lock, &project, given)?;
    let is_marked = packages
        .iter()
        .all(|package| package.contains_key("groups"));
    let wanted = if is_marked {
        marked(&packages, given)?
    } else {
        walked(&lock, &project, &packages, given)?
    };
    let mut lines = RequirementLines::new(PATH);
    let sources: Vec<Option<&str>> = wanted.iter().map(|at| index_of(packages[*at])).collect();
    if sources.contains(&None) {
        lines.index(PUBLIC)?;
    }
    for url in sources.iter().copied().flatten() {
        lines.index(url)?;
    }
    lines.conditions(conditions(&sources, &project)?)?;
    for at in wanted {
        write(&mut lines, packages[at], metadata)?;
        if let (Some(url), Some(name)) = (index_of(packages[at]), text_in(packages[at], "name")) {
            lines.tie(name, IndexPin::Index(url.to_owned()));
        }
    }
    Ok(lines.finish())
}

/// The indexes of a lock, each by its address, and asked for what comes from it alone; their logins are
/// those of the project's sources.
fn conditions(used: &[Option<&str>], project: &Table) -> Result<ResolutionRules, LockFileError> {
    let mut conditions = ResolutionRules::default();
    let declared = table_in(project, &["tool", "poetry"])
        .map(sources::of_poetry)
        .transpose()?
        .unwrap_or_default();
    for url in used.iter().copied().flatten() {
        if conditions.indexes.iter().any(|known| known.url == url) {
            continue;
        }
        let same = |one: &&NamedIndex| one.url.trim_end_matches('/') == url.trim_end_matches('/');
        conditions.indexes.push(NamedIndex {
            name: url.to_owned(),
            url: url.to_owned(),
            is_explicit: true,
            login: declared.iter().find(same).and_then(|one| one.login.clone()),
            ..NamedIndex::default()
        });
    }
    if !conditions.indexes.is_empty() {
        conditions.file = PATH;
        conditions.indexes.push(NamedIndex {
            url: PUBLIC.to_owned(),
            ..NamedIndex::default()
        });
    }
    Ok(conditions)
}

fn check_choice(
    lock: &Table,
    project: &Table,
    given: &ConversionInput<'_>,
) -> Result<(), LockFileError> {
    let extras = table_in(lock, &["extras"])
        .into_iter()
        .flat_map(Table::keys);
    let choice = given.choice;
    check_chosen(PATH, "extra", &choice.extras, extras.map(String::as_str))?;
    let mut groups = DependencyGroups::of("pyproject.toml", project).group_names();
    groups.extend(poetry_groups(project).into_iter().map(|(name, _)| name));
    let groups = groups.iter().map(String::as_str);
    check_chosen(PATH, "group", &choice.groups, groups)
}

/// The index that a package comes from, where it is not the public one.
fn index_of(package: &Table) -> Option<&str> {
    let source = table_in(package, &["source"])?;
    (text_in(source, "type") == Some("legacy"))
        .then(|| text_in(source, "url"))
        .flatten()
}

/// The packages of the main and the chosen groups, as they say themselves.
fn marked(
    packages: &[&Table],
    given: &ConversionInput<'_>,
) -> Result<BTreeSet<usize>, LockFileError> {
    let extras = extra_names(given.choice.extras.iter().map(String::as_str));
    let mut wanted = BTreeSet::new();
    for (at, package) in packages.iter().enumerate() {
        let name = text_in(package, "name").unwrap_or_default();
        for group in texts_in(package, "groups") {
            if group != "main" && !given.choice.groups.contains(&normalised(group)) {
                continue;
            }
            let marker = match package.get("markers") {
                Some(Value::String(text)) => Some(text.as_str()),
                Some(Value::Table(table)) => text_in(table, group),
                _ => None,
            };
            let marker =
                marker.map_or(Ok(MarkerTree::TRUE), |text| parse_marker(PATH, name, text))?;
            if marker.evaluate(given.markers, &extras) {
                wanted.insert(at);
            }
        }
    }
    Ok(wanted)
}

/// The packages that the project's wishes lead to.
fn walked(
    lock: &Table,
    project: &Table,
    packages: &[&Table],
    given: &ConversionInput<'_>,
) -> Result<BTreeSet<usize>, LockFileError> {
    let nodes = packages
        .iter()
        .map(|package| node(package))
        .collect::<Result<Vec<_>, _>>()?;
    let extras = extra_names(given.choice.extras.iter().map(String::as_str));
    let optional = chosen_optional(table_in(lock, &["extras"]), &given.choice.extras);
    let mut wishes = Vec::new();
    let mut declared = Vec::new();
    let groups = DependencyGroups::of("pyproject.toml", project);
    let mut texts = groups.project_requirements()?;
    if is_poetrys(project) {
        texts.clear();
        if let Some(table) = table_in(project, &["tool", "poetry", "dependencies"]) {
            declared.extend(declared_in(table)?);
        }
    }
    declared.retain(|one: &PoetryDependency<'_>| !one.is_optional || optional.contains(&one.name));
    for name in &given.choice.groups {
        texts.extend(groups.group(name)?);
        for (_, table) in poetry_groups(project)
            .into_iter()
            .filter(|(other, _)| other == name)
        {
            declared.extend(declared_in(table)?);
        }
    }
    wishes.extend(declared.iter().map(edge_of));
    for (text, with) in texts {
        let wish = requirement("pyproject.toml", &text)?;
        let mut marker = wish.marker;
        marker.and(with);
        wishes.push(LockEdge {
            versions: match wish.version_or_url {
                Some(VersionOrUrl::VersionSpecifier(versions)) => Some(versions),
                _ => None,
            },
            extras: wish.extras,
            marker,
            ..LockEdge::to(wish.name.as_ref())
        });
    }
    reach(PATH, &nodes, &wishes, given.markers, &extras)
}

fn edge_of(declared: &PoetryDependency<'_>) -> LockEdge {
    LockEdge {
        // A range that requirements cannot say hides no version.
        versions: declared.versions().ok(),
        extras: extra_names(declared.extras.iter().map(String::as_str)),
        marker: declared.marker.clone(),
        ..LockEdge::to(&declared.name)
    }
}

fn node(package: &Table) -> Result<LockNode, LockFileError> {
    let name = text_in(package, "name").unwrap_or_default();
    let extras = table_in(package, &["extras"]);
    let mut edges = Vec::new();
    for (needed, value) in table_in(package, &["dependencies"]).into_iter().flatten() {
        let values = match value {
            Value::Array(list) => list.iter().collect(),
            value => vec![value],
        };
        for value in values {
            let declared = PoetryDependency::read(PATH, needed, value)?;
            let only_with = if declared.is_optional {
                extras_with(extras, &declared.name)
            } else {
                Vec::new()
            };
            if declared.is_optional && only_with.is_empty() {
                continue;
            }
            edges.push(LockEdge {
                only_with,
                ..edge_of(&declared)
            });
        }
    }
    Ok(LockNode {
        name: normalised(name),
        version: version(package)?,
        marker: MarkerTree::TRUE,
        edges,
    })
}

/// The extras of a package that bring another.
fn extras_with(extras: Option<&Table>, name: &str) -> Vec<ExtraName> {
    let with = extras.into_iter().flatten().filter(|(_, list)| {
        let mut texts = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        texts.any(|text| leading_name(text) == name)
    });
    extra_names(with.map(|(extra, _)| extra.as_str()))
}

fn version(package: &Table) -> Result<Option<Version>, LockFileError> {
    let name = text_in(package, "name").unwrap_or_default();
    text_in(package, "version")
        .map(|text| {
            text.parse()
                .map_err(|_| unreadable(PATH, format!("{name}: `{text}` is no version")))
        })
        .transpose()
}

fn write(
    lines: &mut RequirementLines,
    package: &Table,
    metadata: Option<&Table>,
) -> Result<(), LockFileError> {
    let name = text_in(package, "name").unwrap_or_default();
    // Locks of Poetry 1.1 list the files of all packages at the end.
    let elsewhere = metadata
        .and_then(|table| table_in(table, &["files"]))
        .map_or(&[][..], |table| list_in(table, name));
    let hashes: Vec<&str> = list_in(package, "files")
        .iter()
        .chain(elsewhere)
        .filter_map(|file| file.get("hash")?.as_str())
        .collect();
    let source = table_in(package, &["source"]);
    let text = |key: &str| source.and_then(|source| text_in(source, key));
    let place = text("url").unwrap_or_default();
    let wanted = match text("type") {
        None | Some("legacy" | "pypi") => {
            let version = version(package)?
                .ok_or_else(|| unreadable(PATH, format!("{name} has no version")))?;
            let exact: VersionSpecifiers = format!("=={version}")
                .parse()
                .map_err(|_| unreadable(PATH, format!("{name}: `{version}` is no version")))?;
            PackageSource::Versions(exact)
        }
        Some("git") => PackageSource::Address(git_address(
            place,
            text("resolved_reference").or_else(|| text("reference")),
            text("subdirectory"),
        )),
        Some("url") => {
            let fragment = text("subdirectory").map(|sub| format!("#subdirectory={sub}"));
            PackageSource::Address(format!("{place}{}", fragment.unwrap_or_default()))
        }
        Some("file" | "directory") => PackageSource::Address(path_address(place)),
        Some(other) => {
            let what = format!("its source is of the kind {other}, which is not known here");
            return Err(unsupported(PATH, name, what));
        }
    };
    lines.add(name, &[], &wanted, &hashes)
}

/// What a lock of this pyproject.toml says of it, by the versions of Poetry: those before 2.3 did not
/// look at `[dependency-groups]`, those before 2.0 not at `[project]`.
fn hashes(project: &Table) -> Vec<String> {
    let empty = Table::new();
    let poetry = table_in(project, &["tool", "poetry"]).unwrap_or(&empty);
    let standard = table_in(project, &["project"]).unwrap_or(&empty);
    let groups = table_in(project, &["dependency-groups"]).filter(|table| !table.is_empty());
    let of = |with_project: bool, with_groups: bool| {
        let listed: Vec<(String, JsonContent<'_>)> =
            ["requires-python", "dependencies", "optional-dependencies"]
                .into_iter()
                .filter(|_| with_project)
                .filter_map(|key| Some((key.to_owned(), JsonContent::Toml(standard.get(key)?))))
                .collect();
        let groups = groups.filter(|_| with_groups);
        let is_standard = !listed.is_empty() || groups.is_some();
        let mut own = Vec::new();
        for key in [
            "dependencies",
            "source",
            "extras",
            "dev-dependencies",
            "group",
        ] {
            match poetry.get(key) {
                Some(value) => own.push((key.to_owned(), JsonContent::Toml(value))),
                None if key == "group" || is_standard => {}
                None => own.push((key.to_owned(), JsonContent::Null)),
            }
        }
        if !is_standard {
            return hash(&JsonContent::Map(own), false);
        }
        let tool = JsonContent::Map(vec![("poetry".to_owned(), JsonContent::Map(own))]);
        let mut all = vec![("tool".to_owned(), tool)];
        if !listed.is_empty() {
            all.push(("project".to_owned(), JsonContent::Map(listed)));
        }
        if let Some(groups) = groups {
            all.push(("dependency-groups".to_owned(), JsonContent::Table(groups)));
        }
        hash(&JsonContent::Map(all), false)
    };
    vec![of(true, true), of(true, false), of(false, false)]
}
