//! `uv.lock`: every version for every environment, and a graph of what needs what. The packages
//! that the project reaches in one environment become a `pylock.toml`.
//!
//! Documented in <https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile>; the form is
//! uv's own, version 1. Groups are taken only where they are chosen: the ones of
//! `[tool.uv] default-groups` are for those who develop, as `dev` is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Bound;

use pep440_rs::{Version, VersionSpecifiers, release_specifiers_to_ranges};
use pep508_rs::{ExtraName, MarkerTree, VersionOrUrl};
use toml::{Table, Value};

use super::graph::{Edge, Node, reach};
use super::lines::{Lines, Wanted, git_address, path_address};
use super::pyproject::{Groups, requirement};
use super::{
    Converted, Form, Given, LockFileError, LockKind, check_chosen, extra_names, list_in, made_from,
    normalised, packages, parse_marker, parse_toml, stale, table_in, text_in, texts_in, unreadable,
    unsupported,
};
use crate::packages::python::pylock::{line, quoted};

const PATH: &str = "uv.lock";
/// The index that needs no naming.
const PUBLIC: &str = crate::packages::python::PUBLIC_INDEX;

/// A package as the lock has it.
struct Package<'a> {
    table: &'a Table,
    name: &'a str,
    source: &'a Table,
}

impl<'a> Package<'a> {
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

    /// Whether this is the project itself, which is not installed from the lock.
    fn is_root(&self) -> bool {
        ["virtual", "editable", "directory"]
            .iter()
            .any(|key| text_in(self.source, key) == Some("."))
    }

    fn node(&self) -> Result<Node, LockFileError> {
        let marker = resolution_marker(self.name, self.table)?;
        let mut edges = edges(self.name, list_in(self.table, "dependencies"), &[])?;
        for (extra, list) in table_in(self.table, &["optional-dependencies"])
            .into_iter()
            .flatten()
        {
            let with = extra_names([extra.as_str()]);
            edges.extend(edges_with(self.name, list, &with)?);
        }
        Ok(Node {
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

/// Converts the lock.
pub(super) fn convert(given: &Given<'_>) -> Result<Converted, LockFileError> {
    let lock = parse_toml(PATH, given.text)?;
    let project = parse_toml("pyproject.toml", made_from(LockKind::Uv, given)?)?;
    if lock.get("version").and_then(Value::as_integer) != Some(1) {
        return Err(unreadable(PATH, "its `version` is not 1"));
    }
    let packages = packages(PATH, &lock)?
        .into_iter()
        .map(Package::of)
        .collect::<Result<Vec<_>, _>>()?;
    let root = packages.iter().find(|package| package.is_root());
    let root = root.ok_or_else(|| {
        unsupported(
            PATH,
            "the project",
            "the lock is of a workspace whose root is no project; build a member of it, with a lock of its own",
        )
    })?;
    check_fresh(&lock, root, &project)?;
    let nodes = packages
        .iter()
        .map(Package::node)
        .collect::<Result<Vec<_>, _>>()?;
    let (wishes, active) = wishes(root, given)?;
    let reached = reach(PATH, &nodes, &wishes, given.markers, &active)?;
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
    Ok(Converted {
        text,
        form: Form::Pylock,
        names,
    })
}

/// What the project needs, and the extras that hold: its own chosen ones, in the words that markers of
/// conflicting extras use too.
fn wishes(
    root: &Package<'_>,
    given: &Given<'_>,
) -> Result<(Vec<Edge>, Vec<ExtraName>), LockFileError> {
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

fn edges_with(by: &str, list: &Value, only_with: &[ExtraName]) -> Result<Vec<Edge>, LockFileError> {
    edges(by, list.as_array().map_or(&[], Vec::as_slice), only_with)
}

fn edges(by: &str, list: &[Value], only_with: &[ExtraName]) -> Result<Vec<Edge>, LockFileError> {
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
            Ok(Edge {
                versions,
                extras: extra_names(extras),
                marker,
                only_with: only_with.to_vec(),
                ..Edge::to(name)
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

fn write_package(text: &mut String, package: &Package<'_>) -> Result<(), LockFileError> {
    text.push_str("\n[[packages]]\n");
    line(text, "name", &normalised(package.name));
    if let Some(version) = package.version()? {
        line(text, "version", &version.to_string());
    }
    let source = package.source;
    let key = |key: &str| text_in(source, key);
    if let Some(address) = key("git") {
        return write_git(text, package.name, address);
    }
    if let Some(folder) = key("directory").or_else(|| key("editable")) {
        let subdirectory =
            key("subdirectory").map(|sub| format!(", subdirectory = {}", quoted(sub)));
        let _ = writeln!(
            text,
            "directory = {{ path = {}{} }}",
            quoted(folder),
            subdirectory.unwrap_or_default()
        );
        return Ok(());
    }
    let wheels = list_in(package.table, "wheels");
    let sdist = table_in(package.table, &["sdist"]);
    if let Some((place, path)) = [("url", key("url")), ("path", key("path"))]
        .into_iter()
        .find_map(|(place, path)| Some((place, path?)))
    {
        let file = wheels.first().and_then(Value::as_table).or(sdist);
        let file = file.ok_or_else(|| unreadable(PATH, format!("{} has no file", package.name)))?;
        let mut parts = vec![format!("{place} = {}", quoted(path))];
        parts.extend(size_and_hash(file));
        if let Some(sub) = key("subdirectory") {
            parts.push(format!("subdirectory = {}", quoted(sub)));
        }
        let _ = writeln!(text, "archive = {{ {} }}", parts.join(", "));
        return Ok(());
    }
    let Some(registry) = key("registry") else {
        let what = "its source is of a kind that is not known here";
        return Err(unsupported(PATH, package.name, what));
    };
    if let Some(sdist) = sdist {
        let _ = writeln!(text, "sdist = {}", file_of(package.name, registry, sdist)?);
    }
    if !wheels.is_empty() {
        text.push_str("wheels = [\n");
        for wheel in wheels.iter().filter_map(Value::as_table) {
            let _ = writeln!(text, "    {},", file_of(package.name, registry, wheel)?);
        }
        text.push_str("]\n");
    }
    Ok(())
}

/// The same packages as lines, which may name things that have to be built.
fn as_requirements<'a>(
    packages: impl Iterator<Item = &'a Package<'a>> + Clone,
) -> Result<Converted, LockFileError> {
    let mut lines = Lines::new(PATH);
    let registries: BTreeSet<&str> = packages
        .clone()
        .filter_map(|package| text_in(package.source, "registry"))
        .collect();
    let is_public = |url: &&&str| url.trim_end_matches('/') == PUBLIC;
    let public = registries.iter().find(is_public);
    for registry in public.into_iter().chain(&registries) {
        if registry.contains("://") {
            lines.index(registry)?;
        } else {
            lines.links(&path_address(registry))?;
        }
    }
    for package in packages {
        let key = |key: &str| text_in(package.source, key);
        let sdist = table_in(package.table, &["sdist"]);
        let wheels = list_in(package.table, "wheels");
        let hashes: Vec<&str> = wheels
            .iter()
            .filter_map(Value::as_table)
            .chain(sdist)
            .filter_map(|file| text_in(file, "hash"))
            .collect();
        let folder = || key("directory").or_else(|| key("editable"));
        let wanted = if let Some(address) = key("git") {
            let git = Git::of(package.name, address)?;
            Wanted::Address(git_address(git.url, Some(git.commit), git.subdirectory))
        } else if let Some(path) = key("path").or_else(folder) {
            Wanted::Address(path_address(path))
        } else if let Some(url) = key("url") {
            let fragment = key("subdirectory").map(|sub| format!("#subdirectory={sub}"));
            Wanted::Address(format!("{url}{}", fragment.unwrap_or_default()))
        } else {
            let version = package
                .version()?
                .ok_or_else(|| unreadable(PATH, format!("{} has no version", package.name)))?;
            let exact: VersionSpecifiers = format!("=={version}").parse().map_err(|_| {
                unreadable(PATH, format!("{}: `{version}` is no version", package.name))
            })?;
            Wanted::Versions(exact)
        };
        lines.add(package.name, &[], &wanted, &hashes)?;
    }
    Ok(lines.finish())
}

/// A file of a registry, which may be a folder.
fn file_of(package: &str, registry: &str, file: &Table) -> Result<String, LockFileError> {
    let mut parts = Vec::new();
    match (text_in(file, "url"), text_in(file, "path")) {
        (Some(url), _) => parts.push(format!("url = {}", quoted(url))),
        (None, Some(path)) => {
            let path = format!("{}/{path}", registry.trim_end_matches('/'));
            parts.push(format!("path = {}", quoted(&path)));
        }
        (None, None) => {
            let reason = format!("{package} has a file that lies nowhere");
            return Err(unreadable(PATH, reason));
        }
    }
    parts.extend(size_and_hash(file));
    Ok(format!("{{ {} }}", parts.join(", ")))
}

fn size_and_hash(file: &Table) -> Vec<String> {
    let size = file
        .get("size")
        .and_then(Value::as_integer)
        .filter(|size| *size >= 0)
        .map(|size| format!("size = {size}"));
    let hash = text_in(file, "hash")
        .and_then(|hash| hash.split_once(':'))
        .map(|(algorithm, digits)| {
            format!("hashes = {{ {} = {} }}", quoted(algorithm), quoted(digits))
        });
    size.into_iter().chain(hash).collect()
}

/// `https://host/x?subdirectory=a&rev=main#COMMIT`
struct Git<'a> {
    url: &'a str,
    commit: &'a str,
    subdirectory: Option<&'a str>,
    revision: Option<&'a str>,
}

impl<'a> Git<'a> {
    fn of(package: &str, address: &'a str) -> Result<Self, LockFileError> {
        let (address, commit) = address
            .split_once('#')
            .ok_or_else(|| unreadable(PATH, format!("{package}: its repository has no commit")))?;
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        let value = |wanted: &[&str]| {
            let mut pairs = query.split('&').filter_map(|part| part.split_once('='));
            pairs.find_map(|(key, value)| wanted.contains(&key).then_some(value))
        };
        Ok(Self {
            url,
            commit,
            subdirectory: value(&["subdirectory"]),
            revision: value(&["rev", "tag", "branch"]),
        })
    }
}

fn write_git(text: &mut String, package: &str, address: &str) -> Result<(), LockFileError> {
    let git = Git::of(package, address)?;
    let mut parts = vec![
        "type = \"git\"".to_owned(),
        format!("url = {}", quoted(git.url)),
        format!("commit-id = {}", quoted(git.commit)),
    ];
    for (key, value) in [
        ("subdirectory", git.subdirectory),
        ("requested-revision", git.revision),
    ] {
        parts.extend(value.map(|value| format!("{key} = {}", quoted(value))));
    }
    let _ = writeln!(text, "vcs = {{ {} }}", parts.join(", "));
    Ok(())
}

/// A requirement as far as both files tell it: name, extras, marker; versions where it is taken from
/// an index.
type Told = BTreeSet<(String, Vec<String>, String, Option<String>)>;

/// Holds the lock to its project, as `uv lock --check` does.
fn check_fresh(lock: &Table, root: &Package<'_>, project: &Table) -> Result<(), LockFileError> {
    let Some(metadata) = table_in(root.table, &["metadata"]) else {
        // No needs at all: then the project must have none either.
        let has_any = ["dependencies", "optional-dependencies"]
            .iter()
            .filter_map(|key| project.get("project")?.get(key))
            .any(|value| {
                value.as_array().is_some_and(|list| !list.is_empty())
                    || value.as_table().is_some_and(|table| !table.is_empty())
            });
        return if has_any {
            Err(stale(LockKind::Uv))
        } else {
            Ok(())
        };
    };
    let told = Teller::new(lock, root.name, project)?;
    let dynamic = table_in(project, &["project"]).is_some_and(|table| {
        texts_in(table, "dynamic")
            .any(|key| key == "dependencies" || key == "optional-dependencies")
    });
    let groups = Groups::of("pyproject.toml", project);
    let locked = told.locked(list_in(metadata, "requires-dist"))?;
    let mut is_fresh = dynamic || locked == told.declared(&groups.project_requirements()?)?;
    let dev = table_in(metadata, &["requires-dev"]);
    let mut names: BTreeSet<String> = groups.group_names();
    names.extend(
        dev.into_iter()
            .flat_map(Table::keys)
            .map(|name| normalised(name)),
    );
    for name in names {
        let locked = dev
            .into_iter()
            .flatten()
            .find(|(other, _)| normalised(other) == name)
            .and_then(|(_, list)| list.as_array())
            .map_or(&[][..], Vec::as_slice);
        let declared = groups.group(&name)?;
        is_fresh &= told.locked(locked)? == told.declared(&declared)?;
    }
    if is_fresh && told.is_python_the_same(lock, project) {
        Ok(())
    } else {
        Err(stale(LockKind::Uv))
    }
}

/// Puts requirements of both files into one form.
struct Teller {
    own: String,
    /// Packages that `[tool.uv.sources]` takes from elsewhere.
    elsewhere: BTreeSet<String>,
    python: (Bound<Version>, Bound<Version>),
    /// The same as a marker.
    supported: MarkerTree,
}

impl Teller {
    fn new(lock: &Table, own: &str, project: &Table) -> Result<Self, LockFileError> {
        let range: Option<VersionSpecifiers> = text_in(lock, "requires-python")
            .map(|text| {
                text.parse()
                    .map_err(|_| unreadable(PATH, format!("`{text}` is no range of versions")))
            })
            .transpose()?;
        let python = range
            .map(release_specifiers_to_ranges)
            .and_then(|range| {
                let (lower, upper) = range.bounding_range()?;
                Some((lower.cloned(), upper.cloned()))
            })
            .unwrap_or((Bound::Unbounded, Bound::Unbounded));
        let mut supported = MarkerTree::TRUE;
        for (bound, including, excluding) in [(&python.0, ">=", ">"), (&python.1, "<=", "<")] {
            let text = match bound {
                Bound::Included(version) => format!("python_full_version {including} '{version}'"),
                Bound::Excluded(version) => format!("python_full_version {excluding} '{version}'"),
                Bound::Unbounded => continue,
            };
            supported.and(parse_marker(PATH, "the lock", &text)?);
        }
        let sources = table_in(project, &["tool", "uv", "sources"]);
        Ok(Self {
            own: normalised(own),
            elsewhere: sources
                .into_iter()
                .flat_map(Table::keys)
                .map(|name| normalised(name))
                .collect(),
            python,
            supported,
        })
    }

    /// Markers are the same that differ only beyond the versions of Python that the lock is for.
    fn marker(&self, mut marker: MarkerTree) -> String {
        marker.and(self.supported.clone());
        marker.try_to_string().unwrap_or_default()
    }

    /// One requirement; none for the project itself, which extras may name to gather others.
    fn one(
        &self,
        name: &str,
        extras: &[String],
        marker: MarkerTree,
        versions: Option<&VersionSpecifiers>,
    ) -> Option<(String, Vec<String>, String, Option<String>)> {
        let name = normalised(name);
        if name == self.own {
            return None;
        }
        if self.elsewhere.contains(&name) {
            return Some((name, Vec::new(), String::new(), None));
        }
        let mut extras: Vec<String> = extras.iter().map(|extra| normalised(extra)).collect();
        extras.sort();
        let versions = versions.map(|versions| {
            let mut all: Vec<String> = versions.iter().map(ToString::to_string).collect();
            all.sort();
            all.join(",")
        });
        let versions = versions.filter(|text| !text.is_empty());
        Some((name, extras, self.marker(marker), versions))
    }

    fn locked(&self, list: &[Value]) -> Result<Told, LockFileError> {
        let mut told = Told::new();
        for table in list.iter().filter_map(Value::as_table) {
            let name = text_in(table, "name").unwrap_or_default();
            let marker = text_in(table, "marker")
                .map_or(Ok(MarkerTree::TRUE), |text| parse_marker(PATH, name, text))?;
            let versions: Option<VersionSpecifiers> = text_in(table, "specifier")
                .map(|text| {
                    text.parse().map_err(|_| {
                        unreadable(PATH, format!("{name}: `{text}` is no range of versions"))
                    })
                })
                .transpose()?;
            let extras: Vec<String> = texts_in(table, "extras").map(str::to_owned).collect();
            told.extend(self.one(name, &extras, marker, versions.as_ref()));
        }
        Ok(told)
    }

    fn declared(&self, list: &[(String, MarkerTree)]) -> Result<Told, LockFileError> {
        let mut told = Told::new();
        for (text, with) in list {
            let wish = requirement("pyproject.toml", text)?;
            let versions = match &wish.version_or_url {
                Some(VersionOrUrl::VersionSpecifier(versions)) => Some(versions),
                _ => None,
            };
            let mut marker = wish.marker;
            marker.and(with.clone());
            let extras: Vec<String> = wish.extras.iter().map(ToString::to_string).collect();
            told.extend(self.one(wish.name.as_ref(), &extras, marker, versions));
        }
        Ok(told)
    }

    /// A range that the project does not name was uv's own choice.
    fn is_python_the_same(&self, lock: &Table, project: &Table) -> bool {
        let declared = table_in(project, &["project"])
            .and_then(|table| text_in(table, "requires-python"))
            .and_then(|text| text.parse::<VersionSpecifiers>().ok());
        let Some(declared) = declared else {
            return true;
        };
        // The members of a workspace share what all of them run on.
        if table_in(lock, &["manifest"]).is_some_and(|table| list_in(table, "members").len() > 1) {
            return true;
        }
        let range = release_specifiers_to_ranges(declared);
        range
            .bounding_range()
            .is_some_and(|(lower, upper)| (lower.cloned(), upper.cloned()) == self.python)
    }
}
