//! Whether a `uv.lock` is still that of its `pyproject.toml`: the requirements of both in one form.

use std::collections::BTreeSet;
use std::ops::Bound;

use pep440_rs::{Version, VersionSpecifiers, release_specifiers_to_ranges};
use pep508_rs::{MarkerTree, VersionOrUrl};
use toml::{Table, Value};

use super::{PATH, UvPackage};
use crate::packages::python::locks::pyproject::{DependencyGroups, requirement};
use crate::packages::python::locks::{
    LockFileError, LockKind, list_in, normalised, parse_marker, stale, table_in, text_in, texts_in,
    unreadable,
};

/// A requirement as far as both files tell it: name, extras, marker; versions where it is taken from
/// an index.
type ComparedRequirement = BTreeSet<(String, Vec<String>, String, Option<String>)>;

/// Holds the lock to its project, as `uv lock --check` does.
pub(super) fn check_fresh(
    lock: &Table,
    root: &UvPackage<'_>,
    project: &Table,
) -> Result<(), LockFileError> {
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
    let told = RequirementNormalizer::new(lock, root.name, project)?;
    let dynamic = table_in(project, &["project"]).is_some_and(|table| {
        texts_in(table, "dynamic")
            .any(|key| key == "dependencies" || key == "optional-dependencies")
    });
    let groups = DependencyGroups::of("pyproject.toml", project);
    let locked = told.locked(list_in(metadata, "requires-dist"))?;
    let sources = table_in(project, &["tool", "uv", "sources"]);
    let mut is_fresh = follows_sources(list_in(metadata, "requires-dist"), sources)
        && (dynamic || locked == told.declared(&groups.project_requirements()?)?);
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
        is_fresh &= follows_sources(locked, sources);
        is_fresh &= told.locked(locked)? == told.declared(&declared)?;
    }
    if is_fresh && told.is_python_the_same(lock, project) {
        Ok(())
    } else {
        Err(stale(LockKind::Uv))
    }
}

/// Whether what the lock takes from elsewhere is of the kind that `[tool.uv.sources]` names now. A
/// source with several tables chooses by markers, and is left to the comparison of these.
fn follows_sources(locked: &[Value], sources: Option<&Table>) -> bool {
    /// Keys of a source, and those by which uv writes such a requirement into `requires-dist`.
    const KINDS: &[(&str, &[&str])] = &[
        ("path", &["directory", "editable", "virtual", "path"]),
        ("workspace", &["directory", "editable", "virtual"]),
        ("git", &["git"]),
        ("url", &["url"]),
        ("index", &["index"]),
    ];
    locked.iter().filter_map(Value::as_table).all(|entry| {
        let name = normalised(text_in(entry, "name").unwrap_or_default());
        let source = sources
            .into_iter()
            .flatten()
            .find(|(other, _)| normalised(other) == name)
            .and_then(|(_, source)| source.as_table());
        source.is_none_or(|source| {
            KINDS
                .iter()
                .filter(|(key, _)| source.contains_key(*key))
                .all(|(_, written)| written.iter().any(|key| entry.contains_key(*key)))
        })
    })
}

/// Puts requirements of both files into one form.
struct RequirementNormalizer {
    own: String,
    /// Packages that `[tool.uv.sources]` takes from elsewhere.
    elsewhere: BTreeSet<String>,
    python: (Bound<Version>, Bound<Version>),
    /// The same as a marker.
    supported: MarkerTree,
}

impl RequirementNormalizer {
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

    fn locked(&self, list: &[Value]) -> Result<ComparedRequirement, LockFileError> {
        let mut told = ComparedRequirement::new();
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

    fn declared(
        &self,
        list: &[(String, MarkerTree)],
    ) -> Result<ComparedRequirement, LockFileError> {
        let mut told = ComparedRequirement::new();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_added_makes_a_lock_stale() {
        let sources: Table =
            "a = { path = 'libs/a' }\nB = { index = 'corp' }\nc = { git = 'https://h/c' }"
                .parse()
                .unwrap();
        for (entry, is_fresh) in [
            ("name = 'a'", false),
            ("name = 'a'\nurl = 'https://h/a.whl'", false),
            ("name = 'a'\ndirectory = 'libs/a'", true),
            ("name = 'a'\neditable = 'libs/a'", true),
            ("name = 'b'\nspecifier = '>=1'", false),
            ("name = 'b'\nindex = 'https://corp/simple'", true),
            ("name = 'c'\ngit = 'https://h/c'", true),
            ("name = 'other'", true),
        ] {
            let list = [Value::Table(entry.parse().unwrap())];
            assert_eq!(follows_sources(&list, Some(&sources)), is_fresh, "{entry}");
        }
    }
}
