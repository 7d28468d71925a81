//! `[[tool.pdm.source]]` and `[tool.pdm.resolution]`.

use toml::{Table, Value};

use super::{IndexTable, PATH, PackageSources, named, sections};
use crate::packages::python::PUBLIC_INDEX;
use crate::packages::python::conditions::{NamedIndex, ResolutionRules};
use crate::packages::python::locks::{LockFileError, list_in, table_in, texts_in, unsupported};

/// What PDM's tables say.
pub(in super::super) fn of_pdm(pdm: &Table) -> Result<PackageSources, LockFileError> {
    let mut sources = PackageSources::default();
    let conditions = &mut sources.conditions;
    let mut has_public = false;
    let known = [
        "name",
        "url",
        "type",
        "verify_ssl",
        "username",
        "password",
        "include_packages",
        "exclude_packages",
    ];
    for section in sections(pdm, "source", "[[tool.pdm.source]]", &known)? {
        let url = section.url()?;
        let patterns = |key: &str| {
            texts_in(section.table, key)
                .map(normalised_pattern)
                .collect::<Vec<_>>()
        };
        let (include, exclude) = (patterns("include_packages"), patterns("exclude_packages"));
        if section.text("type") == Some("find_links") {
            if !include.is_empty() || !exclude.is_empty() {
                return Err(section.refused("lists of links hold for all packages"));
            }
            sources.links.push(url.to_owned());
            continue;
        }
        has_public |= section.name == "pypi";
        conditions.indexes.push(NamedIndex {
            include,
            exclude,
            ..named(section.name, &with_login(url, &section), "")
        });
    }
    if !conditions.indexes.is_empty() && !has_public {
        // PDM asks its own index first.
        conditions
            .indexes
            .insert(0, named("pypi", PUBLIC_INDEX, ""));
    }
    if let Some(resolution) = table_in(pdm, &["resolution"]) {
        take_resolution(conditions, resolution)?;
    }
    if *conditions != ResolutionRules::default() {
        conditions.file = PATH;
    }
    Ok(sources)
}

/// `[tool.pdm.resolution]`
fn take_resolution(
    conditions: &mut ResolutionRules,
    resolution: &Table,
) -> Result<(), LockFileError> {
    if resolution
        .get("respect-source-order")
        .and_then(Value::as_bool)
        == Some(true)
    {
        for (rank, index) in conditions.indexes.iter_mut().enumerate() {
            index.rank = rank;
        }
    }
    for (name, value) in table_in(resolution, &["overrides"]).into_iter().flatten() {
        let what = format!("[tool.pdm.resolution.overrides] {name}");
        let version = value
            .as_str()
            .ok_or_else(|| unsupported(PATH, &what, "it is no version"))?;
        conditions.overrides.push(overriding(name, version));
    }
    if !list_in(resolution, "excludes").is_empty() {
        return Err(unsupported(
            PATH,
            "[tool.pdm.resolution] excludes",
            "s2r cannot leave out what others need",
        ));
    }
    Ok(())
}

/// An override of PDM as a requirement: a bare version is exact.
fn overriding(name: &str, version: &str) -> String {
    if version.contains("://") {
        format!("{name} @ {version}")
    } else if version.starts_with(|c: char| c.is_ascii_digit()) {
        format!("{name}=={version}")
    } else {
        format!("{name}{version}")
    }
}

/// A pattern's letters as names are compared.
fn normalised_pattern(pattern: &str) -> String {
    pattern.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// An address with the login that stands beside it.
fn with_login(url: &str, section: &IndexTable<'_>) -> String {
    match (
        section.text("username"),
        section.text("password"),
        url.split_once("://"),
    ) {
        (Some(user), password, Some((scheme, rest))) if !rest.contains('@') => {
            let password = password
                .map(|password| format!(":{password}"))
                .unwrap_or_default();
            format!("{scheme}://{user}{password}@{rest}")
        }
        _ => url.to_owned(),
    }
}
