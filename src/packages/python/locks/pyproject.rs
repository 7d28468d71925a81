//! `pyproject.toml` without a lock: what `[project]` or Poetry's own tables wish for, as lines of
//! requirements.
//!
//! Specified in <https://packaging.python.org/en/latest/specifications/pyproject-toml/>, its groups
//! in PEP 735, Poetry's tables in <https://python-poetry.org/docs/pyproject/>.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::VersionSpecifiers;
use pep508_rs::{MarkerTree, VersionOrUrl};
use toml::{Table, Value};

use super::constraint::{alternatives, specifiers};
use super::lines::{PackageSource, RequirementLines, git_address, path_address};
use super::sources::{self, PackageSources};
use super::{
    ConversionInput, ConvertedLock, LockFileError, MAX_PACKAGES, check_chosen, extra_names,
    list_in, normalised, parse_marker, parse_toml, table_in, text_in, texts_in, unreadable,
    unsupported,
};
use crate::packages::python::conditions::IndexPin;
use crate::packages::python::location::DirectUrl;
use crate::packages::python::requirements::{Pep508Requirement, parse_requirement};

const PATH: &str = "pyproject.toml";
/// Longest chain of groups or extras that include each other.
const MAX_DEPTH: usize = 32;

/// Converts what the project wishes for.
pub(super) fn convert(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let project = parse_toml(PATH, given.text)?;
    let mut lines = RequirementLines::new(PATH);
    let mut sources = sources::of(&project, given)?;
    if is_poetrys(&project) {
        add_poetrys(&mut lines, &project, given, &mut sources)?;
    } else {
        enrich(&project, given, &mut sources)?;
        let groups = DependencyGroups::of(PATH, &project);
        let standard = table_in(&project, &["project"]);
        let extras = standard.and_then(|table| table_in(table, &["optional-dependencies"]));
        check_extras(extras, given)?;
        for (text, marker) in groups.project_requirements()? {
            add(&mut lines, &text, &marker, given, (&groups, &sources))?;
        }
    }
    let groups = DependencyGroups::of(PATH, &project);
    let known = groups.group_names();
    let poetrys = poetry_groups(&project);
    let names = known.iter().chain(poetrys.iter().map(|(name, _)| name));
    check_chosen(
        PATH,
        "group",
        &given.choice.groups,
        names.map(String::as_str),
    )?;
    for name in &given.choice.groups {
        for (text, marker) in groups.group(name)? {
            add(&mut lines, &text, &marker, given, (&groups, &sources))?;
        }
        for (_, table) in poetrys.iter().filter(|(other, _)| other == name) {
            for declared in declared_in(table)? {
                declared.tie(&mut sources)?;
                declared.add(&mut lines, given, &[])?;
            }
        }
    }
    for link in &sources.links {
        lines.links(link)?;
    }
    if sources.no_index {
        lines.no_index();
    }
    lines.conditions(sources.conditions)?;
    Ok(lines.finish())
}

/// The names of all groups, and of all extras.
pub(super) fn chosen_names(project: &Table) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut groups = DependencyGroups::of(PATH, project).group_names();
    groups.extend(poetry_groups(project).into_iter().map(|(name, _)| name));
    let extras = [
        table_in(project, &["project", "optional-dependencies"]),
        table_in(project, &["tool", "poetry", "extras"]),
    ];
    let extras = extras.into_iter().flatten().flat_map(Table::keys);
    (groups, extras.map(|name| normalised(name)).collect())
}

/// Reads one requirement of PEP 508.
pub(super) fn requirement(
    path: &'static str,
    text: &str,
) -> Result<Pep508Requirement, LockFileError> {
    parse_requirement(text).map_err(|error| unreadable(path, error.to_string()))
}

fn add(
    lines: &mut RequirementLines,
    text: &str,
    marker: &MarkerTree,
    given: &ConversionInput<'_>,
    (groups, sources): (&DependencyGroups<'_>, &PackageSources),
) -> Result<(), LockFileError> {
    let wish = requirement(PATH, text)?;
    let extras = groups.with_self(&given.choice.extras)?;
    let active = extra_names(extras.iter().map(String::as_str));
    // The project's own extras are followed by `with_self`.
    if groups.own.as_deref() == Some(wish.name.as_ref())
        || !wish.marker.evaluate(given.markers, &active)
        || !marker.evaluate(given.markers, &active)
    {
        return Ok(());
    }
    let extras: Vec<String> = wish.extras.iter().map(ToString::to_string).collect();
    let wanted = match sources.addresses.get(wish.name.as_ref()) {
        Some(address) => PackageSource::Address(address.clone()),
        None => wanted(&wish),
    };
    lines.add(wish.name.as_ref(), &extras, &wanted, &[])
}

/// Poetry's own tables beside `[project]`, which say where its dependencies come from, and no more:
/// <https://python-poetry.org/docs/dependency-specification/#projectdependencies-and-toolpoetrydependencies>.
fn enrich(
    project: &Table,
    given: &ConversionInput<'_>,
    sources: &mut PackageSources,
) -> Result<(), LockFileError> {
    let Some(poetry) = table_in(project, &["tool", "poetry"]) else {
        return Ok(());
    };
    sources.poetry(poetry)?;
    let Some(table) = table_in(poetry, &["dependencies"]) else {
        return Ok(());
    };
    for declared in declared_in(table)? {
        if declared.marker.evaluate(given.markers, &[]) {
            declared.tie(sources)?;
            if let Some(address) = declared.address() {
                sources.addresses.insert(declared.name.clone(), address);
            }
        }
    }
    Ok(())
}

/// What a requirement wants.
pub(super) fn wanted(wish: &Pep508Requirement) -> PackageSource {
    match &wish.version_or_url {
        None => PackageSource::Versions(VersionSpecifiers::empty()),
        Some(VersionOrUrl::VersionSpecifier(versions)) => PackageSource::Versions(versions.clone()),
        Some(VersionOrUrl::Url(DirectUrl::Path(path))) => {
            PackageSource::Address(path_address(path))
        }
        Some(VersionOrUrl::Url(DirectUrl::Archive(url) | DirectUrl::Repository(url))) => {
            PackageSource::Address(url.reveal().reveal().to_owned())
        }
    }
}

/// The requirements of a project by extra and group.
pub(super) struct DependencyGroups<'a> {
    path: &'static str,
    table: &'a Table,
    /// The project's normalised name.
    own: Option<String>,
}

impl<'a> DependencyGroups<'a> {
    pub(super) fn of(path: &'static str, table: &'a Table) -> Self {
        let own = table_in(table, &["project"])
            .and_then(|project| text_in(project, "name"))
            .map(normalised);
        Self { path, table, own }
    }

    /// `[project] dependencies`, and those of extras with a marker that asks for the extra.
    pub(super) fn project_requirements(&self) -> Result<Vec<(String, MarkerTree)>, LockFileError> {
        let Some(project) = table_in(self.table, &["project"]) else {
            return Ok(Vec::new());
        };
        let mut found: Vec<(String, MarkerTree)> = texts_in(project, "dependencies")
            .map(|text| (text.to_owned(), MarkerTree::TRUE))
            .collect();
        let extras = table_in(project, &["optional-dependencies"]);
        for extra in extras.into_iter().flat_map(Table::keys) {
            let text = format!("extra == '{}'", normalised(extra));
            let marker = parse_marker(self.path, "the project", &text)?;
            let texts = extras.into_iter().flat_map(|table| texts_in(table, extra));
            found.extend(texts.map(|text| (text.to_owned(), marker.clone())));
        }
        if found.len() > MAX_PACKAGES {
            let reason = format!("it has more than {MAX_PACKAGES} requirements");
            return Err(unreadable(self.path, reason));
        }
        Ok(found)
    }

    /// Extras with those that they include by naming the project itself: `all = ["shop[mail]"]`.
    fn with_self(&self, chosen: &[String]) -> Result<Vec<String>, LockFileError> {
        let extras = table_in(self.table, &["project", "optional-dependencies"]);
        let mut all: BTreeSet<String> = BTreeSet::new();
        let mut pending: Vec<String> = chosen.to_vec();
        while let Some(name) = pending.pop() {
            if !all.insert(name.clone()) {
                continue;
            }
            for (_, list) in extras
                .into_iter()
                .flatten()
                .filter(|(other, _)| normalised(other) == name)
            {
                for text in list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    let wish = requirement(self.path, text)?;
                    if self.own.as_deref() == Some(wish.name.as_ref()) {
                        pending.extend(wish.extras.iter().map(ToString::to_string));
                    }
                }
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Names of the groups.
    pub(super) fn group_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = table_in(self.table, &["dependency-groups"])
            .into_iter()
            .flat_map(Table::keys)
            .map(|name| normalised(name))
            .collect();
        if !self.uv_dev().is_empty() {
            names.insert("dev".to_owned());
        }
        names.extend(self.of_pdm().keys().cloned());
        names
    }

    /// Before there were groups, uv had a list of its own.
    fn uv_dev(&self) -> &'a [Value] {
        table_in(self.table, &["tool", "uv"])
            .map_or(&[], |table| list_in(table, "dev-dependencies"))
    }

    /// Those that PDM has in a table of its own: what is editable, and not for a wheel's metadata.
    fn of_pdm(&self) -> BTreeMap<String, Vec<&'a str>> {
        let groups = table_in(self.table, &["tool", "pdm", "dev-dependencies"]);
        let entries = |list: &'a Value| -> Vec<&'a str> {
            let list = list.as_array().into_iter().flatten();
            list.filter_map(Value::as_str).collect()
        };
        let groups = groups.into_iter().flatten();
        groups
            .map(|(name, list)| (normalised(name), entries(list)))
            .collect()
    }

    /// What a group wants, the groups that it includes among it; nothing if there is none.
    pub(super) fn group(&self, name: &str) -> Result<Vec<(String, MarkerTree)>, LockFileError> {
        let mut found = Vec::new();
        self.collect(name, 0, &mut found)?;
        if name == "dev" {
            let own = self.uv_dev().iter().filter_map(Value::as_str);
            found.extend(own.map(|text| (text.to_owned(), MarkerTree::TRUE)));
        }
        for text in self.of_pdm().remove(name).unwrap_or_default() {
            found.push((self.plain(text)?, MarkerTree::TRUE));
        }
        Ok(found)
    }

    /// A line of PDM's, which may be editable, as a requirement of PEP 508.
    fn plain(&self, text: &str) -> Result<String, LockFileError> {
        let Some(address) = text.strip_prefix("-e ") else {
            return Ok(text.to_owned());
        };
        let Some((address, name)) = address.trim().split_once("#egg=") else {
            let what = "its name is not told; write `#egg=NAME` behind the address";
            return Err(unsupported(self.path, text, what));
        };
        Ok(format!("{name} @ {address}"))
    }

    fn collect(
        &self,
        name: &str,
        depth: usize,
        found: &mut Vec<(String, MarkerTree)>,
    ) -> Result<(), LockFileError> {
        let wrong = |what: &str| unreadable(self.path, format!("group {name}: {what}"));
        if depth > MAX_DEPTH || found.len() > MAX_PACKAGES {
            return Err(wrong("it includes itself or too much"));
        }
        let lists = table_in(self.table, &["dependency-groups"])
            .into_iter()
            .flatten()
            .filter(|(other, _)| normalised(other) == name);
        let entries = lists.flat_map(|(_, list)| list.as_array().into_iter().flatten());
        for entry in entries {
            match (entry, entry.as_table()) {
                (Value::String(text), _) => found.push((text.clone(), MarkerTree::TRUE)),
                (_, Some(table)) => {
                    let other = text_in(table, "include-group")
                        .ok_or_else(|| wrong("an entry is neither requirement nor group"))?;
                    let known = self.group_names();
                    let other = normalised(other);
                    if !known.contains(&other) {
                        return Err(wrong(&format!("there is no group {other}")));
                    }
                    self.collect(&other, depth + 1, found)?;
                }
                _ => return Err(wrong("an entry is neither requirement nor group")),
            }
        }
        Ok(())
    }
}

/// Whether Poetry's own table says what is wanted; `[project]` goes before it.
pub(super) fn is_poetrys(project: &Table) -> bool {
    let listed = |table: &Table| {
        table.contains_key("dependencies") || table.contains_key("optional-dependencies")
    };
    table_in(project, &["tool", "poetry", "dependencies"]).is_some()
        && !table_in(project, &["project"]).is_some_and(listed)
}

/// Refuses an extra that is chosen and not declared.
fn check_extras(
    declared: Option<&Table>,
    given: &ConversionInput<'_>,
) -> Result<(), LockFileError> {
    let known = declared.into_iter().flat_map(Table::keys);
    let chosen = &given.choice.extras;
    check_chosen(PATH, "extra", chosen, known.map(String::as_str))
}

fn add_poetrys(
    lines: &mut RequirementLines,
    project: &Table,
    given: &ConversionInput<'_>,
    sources: &mut PackageSources,
) -> Result<(), LockFileError> {
    let Some(poetry) = table_in(project, &["tool", "poetry"]) else {
        return Ok(());
    };
    let extras = table_in(poetry, &["extras"]);
    check_extras(extras, given)?;
    let optional = chosen_optional(extras, &given.choice.extras);
    sources.poetry(poetry)?;
    for declared in table_in(poetry, &["dependencies"])
        .map(declared_in)
        .transpose()?
        .unwrap_or_default()
    {
        declared.tie(sources)?;
        declared.add(lines, given, &optional)?;
    }
    Ok(())
}

/// The packages that chosen extras of Poetry name.
pub(super) fn chosen_optional(extras: Option<&Table>, chosen: &[String]) -> Vec<String> {
    extras
        .into_iter()
        .flatten()
        .filter(|(name, _)| chosen.contains(&normalised(name)))
        .flat_map(|(_, list)| list.as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .map(leading_name)
        .collect()
}

/// The name that a requirement begins with, normalised.
pub(super) fn leading_name(text: &str) -> String {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(text.len());
    normalised(&text[..end])
}

/// Poetry's groups: name and table of dependencies.
pub(super) fn poetry_groups(project: &Table) -> Vec<(String, &Table)> {
    let Some(poetry) = table_in(project, &["tool", "poetry"]) else {
        return Vec::new();
    };
    let mut found: Vec<(String, &Table)> = table_in(poetry, &["group"])
        .into_iter()
        .flatten()
        .filter_map(|(name, group)| {
            let table = group.get("dependencies")?.as_table()?;
            Some((normalised(name), table))
        })
        .collect();
    if let Some(table) = table_in(poetry, &["dev-dependencies"]) {
        found.push(("dev".to_owned(), table));
    }
    found
}

/// One wish of Poetry.
pub(super) struct PoetryDependency<'a> {
    pub name: String,
    pub extras: Vec<String>,
    /// Where it is wanted.
    pub marker: MarkerTree,
    /// Wanted only through an extra of the project.
    pub is_optional: bool,
    table: Option<&'a Table>,
    version: &'a str,
}

/// What a table of Poetry's dependencies wishes for; Python itself is none of it.
pub(super) fn declared_in(table: &Table) -> Result<Vec<PoetryDependency<'_>>, LockFileError> {
    let mut found = Vec::new();
    for (name, value) in table.iter().filter(|(name, _)| name.as_str() != "python") {
        match value {
            Value::Array(list) => {
                for value in list {
                    found.push(PoetryDependency::read(PATH, name, value)?);
                }
            }
            value => found.push(PoetryDependency::read(PATH, name, value)?),
        }
    }
    Ok(found)
}

impl<'a> PoetryDependency<'a> {
    /// Reads `"^1"` or `{ version = "^1", ... }`.
    pub(super) fn read(
        path: &'static str,
        name: &str,
        value: &'a Value,
    ) -> Result<Self, LockFileError> {
        let table = match value {
            Value::String(text) => {
                return Ok(Self {
                    name: normalised(name),
                    extras: Vec::new(),
                    marker: MarkerTree::TRUE,
                    is_optional: false,
                    table: None,
                    version: text,
                });
            }
            Value::Table(table) => table,
            _ => {
                let reason = format!("{name} is neither a version nor a table");
                return Err(unreadable(path, reason));
            }
        };
        let mut marker = text_in(table, "markers")
            .filter(|text| !text.trim().is_empty())
            .map_or(Ok(MarkerTree::TRUE), |text| parse_marker(path, name, text))?;
        if let Some(range) = text_in(table, "python") {
            marker.and(python_marker(path, name, range)?);
        }
        if let Some(platform) = text_in(table, "platform").filter(|text| super::is_name(text)) {
            let text = format!("sys_platform == '{platform}'");
            marker.and(parse_marker(path, name, &text)?);
        }
        Ok(Self {
            name: normalised(name),
            extras: texts_in(table, "extras").map(str::to_owned).collect(),
            marker,
            is_optional: table.get("optional").and_then(Value::as_bool) == Some(true),
            table: Some(table),
            version: text_in(table, "version").unwrap_or("*"),
        })
    }

    /// The versions, where they can be told.
    pub(super) fn versions(&self) -> Result<VersionSpecifiers, String> {
        specifiers(self.version)
    }

    /// Where it lies, if that is said.
    fn address(&self) -> Option<String> {
        let table = self.table?;
        let subdirectory = text_in(table, "subdirectory");
        if let Some(url) = text_in(table, "git") {
            let revision = ["rev", "tag", "branch"]
                .iter()
                .find_map(|key| text_in(table, key));
            return Some(git_address(url, revision, subdirectory));
        }
        if let Some(url) = text_in(table, "url") {
            let fragment = subdirectory.map(|sub| format!("#subdirectory={sub}"));
            return Some(format!("{url}{}", fragment.unwrap_or_default()));
        }
        let path = text_in(table, "path").or_else(|| text_in(table, "file"));
        path.map(path_address)
    }

    /// Has it come from where it says, and from nowhere else.
    fn tie(&self, sources: &mut PackageSources) -> Result<(), LockFileError> {
        let Some(table) = self.table else {
            return Ok(());
        };
        if let Some(source) = text_in(table, "source") {
            sources.tie_of_poetry(&self.name, source)?;
        } else if let Some(address) = self.address() {
            let said = super::shown(&address);
            sources
                .conditions
                .ties
                .insert(self.name.clone(), IndexPin::Elsewhere(said));
        }
        Ok(())
    }

    fn add(
        &self,
        lines: &mut RequirementLines,
        given: &ConversionInput<'_>,
        optional: &[String],
    ) -> Result<(), LockFileError> {
        let is_left_out = self.is_optional && !optional.contains(&self.name);
        if is_left_out || !self.marker.evaluate(given.markers, &[]) {
            return Ok(());
        }
        let wanted = match self.address() {
            Some(address) => PackageSource::Address(address),
            None => PackageSource::Versions(
                self.versions()
                    .map_err(|reason| unsupported(PATH, &self.name, reason))?,
            ),
        };
        lines.add(&self.name, &self.extras, &wanted, &[])
    }
}

/// A range of versions of Python as a marker.
fn python_marker(path: &'static str, name: &str, range: &str) -> Result<MarkerTree, LockFileError> {
    let wrong = |reason: String| unreadable(path, format!("{name}: {reason}"));
    let mut any = MarkerTree::FALSE;
    for specifiers in alternatives(range).map_err(wrong)? {
        let mut all = MarkerTree::TRUE;
        for one in specifiers.iter() {
            let text = format!(
                "python_full_version {} '{}{}'",
                one.operator(),
                one.version(),
                if one.operator().is_star() { ".*" } else { "" }
            );
            // The reader of versions shows the star as part of the operator.
            let text = text.replace(".* '", " '");
            all.and(parse_marker(path, name, &text)?);
        }
        any.or(all);
    }
    Ok(any)
}
