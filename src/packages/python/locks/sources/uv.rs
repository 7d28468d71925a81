//! `[tool.uv.sources]`, `[[tool.uv.index]]` and the settings beside them.

use toml::{Table, Value};

use super::uv_settings::Settings;
use super::{PATH, PackageSources, check_keys, named, sections};
use crate::packages::python::PUBLIC_INDEX;
use crate::packages::python::conditions::{IndexPin, NamedIndex, ResolutionRules};
use crate::packages::python::locks::lines::{git_address, path_address};
use crate::packages::python::locks::{
    ConversionInput, LockFileError, normalised, parse_marker, shown, table_in, text_in, texts_in,
    unsupported,
};

/// What uv's tables say.
pub(super) fn of_uv(
    settings: &Settings,
    given: &ConversionInput<'_>,
) -> Result<PackageSources, LockFileError> {
    settings.check(given)?;
    let uv = &settings.table;
    let mut sources = PackageSources {
        no_index: uv.get("no-index").and_then(Value::as_bool) == Some(true),
        links: texts_in(uv, "find-links").map(str::to_owned).collect(),
        ..PackageSources::default()
    };
    sources.conditions.indexes = uv_indexes(uv)?;
    for (key, to) in [
        (
            "constraint-dependencies",
            &mut sources.conditions.constraints,
        ),
        ("override-dependencies", &mut sources.conditions.overrides),
    ] {
        *to = texts_in(uv, key).map(str::to_owned).collect();
    }
    for (name, value) in table_in(uv, &["sources"]).into_iter().flatten() {
        let what = format!("[tool.uv.sources] {name}");
        let name = normalised(name);
        if let Some(source) = chosen(value, &what, given)? {
            take_uv(&mut sources, &name, source, &what)?;
        }
    }
    sources.conditions.choosing = settings.choosing()?;
    sources.conditions.told = settings.told();
    if sources.conditions != ResolutionRules::default() {
        sources.conditions.file = PATH;
    }
    Ok(sources)
}

/// The source that holds for the target and the choice: of a list, the first whose conditions are met.
fn chosen<'a>(
    value: &'a Value,
    what: &str,
    given: &ConversionInput<'_>,
) -> Result<Option<&'a Table>, LockFileError> {
    let wrong = || unsupported(PATH, what, "it is no table");
    let list: Vec<&Table> = match value {
        Value::Table(table) => vec![table],
        Value::Array(list) => list
            .iter()
            .map(|one| one.as_table().ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    for table in list {
        let marker = text_in(table, "marker")
            .map(|text| parse_marker(PATH, what, text))
            .transpose()?;
        let holds = marker.is_none_or(|marker| marker.evaluate(given.markers, &[]));
        let is_chosen = |key: &str, chosen: &[String]| {
            text_in(table, key).is_none_or(|name| chosen.contains(&normalised(name)))
        };
        if holds
            && is_chosen("extra", &given.choice.extras)
            && is_chosen("group", &given.choice.groups)
        {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

fn take_uv(
    sources: &mut PackageSources,
    name: &str,
    table: &Table,
    what: &str,
) -> Result<(), LockFileError> {
    const CONDITIONS: [&str; 3] = ["marker", "extra", "group"];
    let keys = |more: &[&'static str]| [&CONDITIONS[..], more].concat();
    let text = |key: &str| text_in(table, key);
    let subdirectory = text("subdirectory");
    let (address, said) = if let Some(index) = text("index") {
        check_keys(table, what, &keys(&["index"]))?;
        let mut known = sources.conditions.indexes.iter();
        if !known.any(|known| known.name == index) {
            return Err(unsupported(
                PATH,
                what,
                format!("there is no [[tool.uv.index]] {index}"),
            ));
        }
        let tie = IndexPin::Index(index.to_owned());
        sources.conditions.ties.insert(name.to_owned(), tie);
        return Ok(());
    } else if let Some(url) = text("git") {
        check_keys(
            table,
            what,
            &keys(&["git", "rev", "tag", "branch", "subdirectory"]),
        )?;
        let revision = ["rev", "tag", "branch"].iter().find_map(|key| text(key));
        (
            git_address(url, revision, subdirectory),
            format!("git {url}"),
        )
    } else if let Some(url) = text("url") {
        check_keys(table, what, &keys(&["url", "subdirectory"]))?;
        let fragment = subdirectory.map(|sub| format!("#subdirectory={sub}"));
        (
            format!("{url}{}", fragment.unwrap_or_default()),
            format!("url {url}"),
        )
    } else if let Some(path) = text("path") {
        // What goes into an image is installed once: whether a change is seen at once means nothing.
        check_keys(table, what, &keys(&["path", "editable"]))?;
        (path_address(path), format!("path {path}"))
    } else if table.contains_key("workspace") {
        let why = "members of a workspace are named by its lock; run `uv lock` in the workspace's root and build that, with `-e S2R_PACKAGE=NAME` for one member";
        return Err(unsupported(PATH, what, why));
    } else {
        return Err(unsupported(PATH, what, "it names no source that s2r knows"));
    };
    let said = shown(&said);
    sources
        .conditions
        .ties
        .insert(name.to_owned(), IndexPin::Elsewhere(said));
    sources.addresses.insert(name.to_owned(), address);
    Ok(())
}

/// The indexes of uv: in their order, the default one last; the first that has a package has all of it.
pub(super) fn uv_indexes(uv: &Table) -> Result<Vec<NamedIndex>, LockFileError> {
    let mut found = Vec::new();
    let mut default = None;
    let known = [
        "name",
        "url",
        "explicit",
        "default",
        "format",
        "authenticate",
        "publish-url",
        "cache-control",
    ];
    for section in sections(uv, "index", "[[tool.uv.index]]", &known)? {
        if section
            .text("format")
            .is_some_and(|format| format != "simple")
            || section.text("authenticate") == Some("never")
        {
            return Err(section.refused(
                "s2r asks indexes of the simple API alone, with the login that they want",
            ));
        }
        let index = NamedIndex {
            is_explicit: section.is("explicit"),
            ..named(section.name, section.url()?, "UV_INDEX")
        };
        if section.is("default") && !index.is_explicit {
            default = Some(index);
        } else {
            found.push(index);
        }
    }
    found.extend(texts_in(uv, "extra-index-url").map(|url| named("", url, "UV_INDEX")));
    if let Some(url) = text_in(uv, "extra-index-url") {
        found.push(named("", url, "UV_INDEX"));
    }
    let is_new = !found.is_empty() || default.is_some() || uv.contains_key("index-url");
    if !is_new {
        return Ok(Vec::new());
    }
    let written = text_in(uv, "index-url").map(|url| named("", url, "UV_INDEX"));
    found.push(
        default
            .or(written)
            .unwrap_or_else(|| named("", PUBLIC_INDEX, "UV_INDEX")),
    );
    match text_in(uv, "index-strategy") {
        None | Some("first-index") => {
            for (rank, index) in found.iter_mut().enumerate() {
                index.rank = rank;
            }
        }
        Some("unsafe-best-match") => {}
        Some(other) => {
            return Err(unsupported(
                PATH,
                "[tool.uv] index-strategy",
                format!("s2r does not know `{other}`"),
            ));
        }
    }
    Ok(found)
}
