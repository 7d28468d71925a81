//! Tables of pyproject.toml that say where packages come from: those of uv, PDM and Poetry. What is not
//! understood is an error that names it: the package would else be taken from a stranger.
//!
//! Documented in <https://docs.astral.sh/uv/concepts/indexes/>,
//! <https://docs.astral.sh/uv/concepts/projects/dependencies/#dependency-sources>,
//! <https://pdm-project.org/en/latest/usage/config/#configure-the-package-indexes> and
//! <https://python-poetry.org/docs/repositories/>.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::lines::{git_address, path_address};
use super::{
    Given, LockFileError, list_in, normalised, parse_marker, table_in, text_in, texts_in,
    unsupported,
};
use crate::packages::python::PUBLIC_INDEX;
use crate::packages::python::conditions::{Conditions, NamedIndex, Tie, login_variable};

const PATH: &str = "pyproject.toml";

/// Where packages come from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Indexes, ties and bounds.
    pub conditions: Conditions,
    /// Addresses of packages that are wished for, in the form of requirements, by normalised name.
    pub addresses: BTreeMap<String, String>,
    /// Pages and folders of links.
    pub links: Vec<String>,
    /// Whether no index is asked.
    pub no_index: bool,
}

/// Refuses keys of a table that are not known.
fn check_keys(table: &Table, what: &str, known: &[&str]) -> Result<(), LockFileError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(unsupported(
            PATH,
            what,
            format!("s2r does not know what `{key}` means there"),
        )),
    }
}

/// A table of a list, or an error.
fn tables<'a>(table: &'a Table, key: &str, what: &str) -> Result<Vec<&'a Table>, LockFileError> {
    let wrong = || unsupported(PATH, what, "it is no list of tables");
    match table.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|one| one.as_table().ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// Where the tables of uv and PDM say that packages come from. Poetry's are read where its wishes are.
pub(super) fn of(project: &Table, given: &Given<'_>) -> Result<Sources, LockFileError> {
    let tool = |name: &str| table_in(project, &["tool", name]);
    let of_uv = tool("uv").map(|uv| of_uv(uv, given)).transpose()?;
    let of_pdm = tool("pdm").map(of_pdm).transpose()?;
    match (of_uv, of_pdm) {
        (Some(uv), Some(pdm)) if pdm.conditions == Conditions::default() => Ok(uv),
        (Some(uv), Some(pdm)) if uv.says_nothing() => Ok(pdm),
        (Some(_), Some(_)) => Err(unsupported(
            PATH,
            "[tool.uv], [tool.pdm]",
            "both say where packages come from; keep one of them",
        )),
        (one, other) => Ok(one.or(other).unwrap_or_default()),
    }
}

impl Sources {
    /// Adds the indexes of Poetry.
    pub(super) fn poetry(&mut self, poetry: &Table) -> Result<(), LockFileError> {
        let indexes = of_poetry(poetry)?;
        if !indexes.is_empty() && !self.conditions.indexes.is_empty() {
            let why = "two tools say where packages come from; keep one of them";
            return Err(unsupported(PATH, "[[tool.poetry.source]]", why));
        }
        if !indexes.is_empty() {
            self.conditions.indexes = indexes;
        }
        self.conditions.file = PATH;
        Ok(())
    }

    /// Ties a dependency to the index that Poetry names for it.
    pub(super) fn tie_of_poetry(&mut self, name: &str, source: &str) -> Result<(), LockFileError> {
        let indexes = &mut self.conditions.indexes;
        let known = indexes
            .iter()
            .find(|index| index.name.eq_ignore_ascii_case(source));
        let index = match known {
            Some(index) => index.name.clone(),
            None if source.eq_ignore_ascii_case("pypi") => {
                indexes.push(NamedIndex {
                    is_explicit: !indexes.is_empty(),
                    ..named("PyPI", PUBLIC_INDEX, "")
                });
                "PyPI".to_owned()
            }
            None => {
                return Err(unsupported(
                    PATH,
                    name,
                    format!("there is no [[tool.poetry.source]] {source}"),
                ));
            }
        };
        self.conditions
            .ties
            .insert(name.to_owned(), Tie::Index(index));
        Ok(())
    }

    fn says_nothing(&self) -> bool {
        self.conditions == Conditions::default()
            && self.addresses.is_empty()
            && self.links.is_empty()
            && !self.no_index
    }
}

/// The indexes alone: what a lock's files are asked for with.
pub(crate) fn indexes_of(text: &str) -> Vec<NamedIndex> {
    let Ok(project) = super::parse_toml(PATH, text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some(uv) = table_in(&project, &["tool", "uv"]) {
        found.extend(uv_indexes(uv).unwrap_or_default());
    }
    if let Some(pdm) = table_in(&project, &["tool", "pdm"]) {
        found.extend(of_pdm(pdm).unwrap_or_default().conditions.indexes);
    }
    if let Some(poetry) = table_in(&project, &["tool", "poetry"]) {
        found.extend(of_poetry(poetry).unwrap_or_default());
    }
    found
}

fn of_uv(uv: &Table, given: &Given<'_>) -> Result<Sources, LockFileError> {
    let mut sources = Sources {
        no_index: uv.get("no-index").and_then(Value::as_bool) == Some(true),
        links: texts_in(uv, "find-links").map(str::to_owned).collect(),
        ..Sources::default()
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
    sources.conditions.file = PATH;
    if !sources.conditions.has_sources()
        && sources.conditions.constraints.is_empty()
        && sources.conditions.overrides.is_empty()
    {
        sources.conditions = Conditions::default();
    }
    Ok(sources)
}

/// The source that holds for the target and the choice: of a list, the first whose conditions are met.
fn chosen<'a>(
    value: &'a Value,
    what: &str,
    given: &Given<'_>,
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
    sources: &mut Sources,
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
        let tie = Tie::Index(index.to_owned());
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
        let why = "members of a workspace are found by uv; run `uv lock`, whose lock names them";
        return Err(unsupported(PATH, what, why));
    } else {
        return Err(unsupported(PATH, what, "it names no source that s2r knows"));
    };
    let said = super::shown(&said);
    sources
        .conditions
        .ties
        .insert(name.to_owned(), Tie::Elsewhere(said));
    sources.addresses.insert(name.to_owned(), address);
    Ok(())
}

/// The indexes of uv: in their order, the default one last; the first that has a package has all of it.
fn uv_indexes(uv: &Table) -> Result<Vec<NamedIndex>, LockFileError> {
    let mut found = Vec::new();
    let mut default = None;
    for table in tables(uv, "index", "[[tool.uv.index]]")? {
        let name = text_in(table, "name").unwrap_or_default();
        let what = format!("[[tool.uv.index]] {name}");
        let what = what.trim_end();
        check_keys(
            table,
            what,
            &[
                "name",
                "url",
                "explicit",
                "default",
                "format",
                "authenticate",
                "publish-url",
                "cache-control",
            ],
        )?;
        let is = |key: &str| table.get(key).and_then(Value::as_bool) == Some(true);
        if text_in(table, "format").is_some_and(|format| format != "simple")
            || text_in(table, "authenticate") == Some("never")
        {
            return Err(unsupported(
                PATH,
                what,
                "s2r asks indexes of the simple API alone, with the login that they want",
            ));
        }
        let url =
            text_in(table, "url").ok_or_else(|| unsupported(PATH, what, "it has no `url`"))?;
        let index = NamedIndex {
            is_explicit: is("explicit"),
            ..named(name, url, "UV_INDEX")
        };
        if is("default") && !index.is_explicit {
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

fn named(name: &str, url: &str, tool: &str) -> NamedIndex {
    NamedIndex {
        name: name.to_owned(),
        url: url.to_owned(),
        login: login_variable(tool, name),
        ..NamedIndex::default()
    }
}

pub(super) fn of_pdm(pdm: &Table) -> Result<Sources, LockFileError> {
    let mut sources = Sources::default();
    let conditions = &mut sources.conditions;
    let mut has_public = false;
    for table in tables(pdm, "source", "[[tool.pdm.source]]")? {
        let name = text_in(table, "name").unwrap_or_default();
        let what = format!("[[tool.pdm.source]] {name}");
        let what = what.trim_end();
        check_keys(
            table,
            what,
            &[
                "name",
                "url",
                "type",
                "verify_ssl",
                "username",
                "password",
                "include_packages",
                "exclude_packages",
            ],
        )?;
        let url =
            text_in(table, "url").ok_or_else(|| unsupported(PATH, what, "it has no `url`"))?;
        let patterns = |key: &str| {
            texts_in(table, key)
                .map(normalised_pattern)
                .collect::<Vec<_>>()
        };
        let (include, exclude) = (patterns("include_packages"), patterns("exclude_packages"));
        if text_in(table, "type") == Some("find_links") {
            if !include.is_empty() || !exclude.is_empty() {
                return Err(unsupported(
                    PATH,
                    what,
                    "lists of links hold for all packages",
                ));
            }
            sources.links.push(url.to_owned());
            continue;
        }
        has_public |= name == "pypi";
        conditions.indexes.push(NamedIndex {
            include,
            exclude,
            ..named(name, &with_login(url, table), "PDM_INDEX")
        });
    }
    if !conditions.indexes.is_empty() && !has_public {
        // PDM asks its own index first.
        conditions
            .indexes
            .insert(0, named("pypi", PUBLIC_INDEX, ""));
    }
    for index in &mut conditions.indexes {
        index.login = None;
    }
    if let Some(resolution) = table_in(pdm, &["resolution"]) {
        take_resolution(conditions, resolution)?;
    }
    if *conditions != Conditions::default() {
        conditions.file = PATH;
    }
    Ok(sources)
}

/// `[tool.pdm.resolution]`
fn take_resolution(conditions: &mut Conditions, resolution: &Table) -> Result<(), LockFileError> {
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
fn with_login(url: &str, table: &Table) -> String {
    match (
        text_in(table, "username"),
        text_in(table, "password"),
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

/// The indexes of Poetry. Where one of them is primary, the public one is asked no more, unless it is
/// named among them.
pub(super) fn of_poetry(poetry: &Table) -> Result<Vec<NamedIndex>, LockFileError> {
    let mut found = Vec::new();
    let mut has_primary = false;
    for table in tables(poetry, "source", "[[tool.poetry.source]]")? {
        let name = text_in(table, "name").unwrap_or_default();
        let what = format!("[[tool.poetry.source]] {name}");
        let what = what.trim_end();
        check_keys(
            table,
            what,
            &[
                "name",
                "url",
                "priority",
                "default",
                "secondary",
                "links",
                "indexed",
            ],
        )?;
        let is = |key: &str| table.get(key).and_then(Value::as_bool) == Some(true);
        let is_public = name.eq_ignore_ascii_case("pypi");
        let url = match text_in(table, "url") {
            Some(url) => url,
            None if is_public => PUBLIC_INDEX,
            None => return Err(unsupported(PATH, what, "it has no `url`")),
        };
        let of_flags = if is("secondary") {
            "supplemental"
        } else {
            "primary"
        };
        let (rank, is_explicit) = match text_in(table, "priority").unwrap_or(of_flags) {
            "default" | "primary" => (0, false),
            "secondary" | "supplemental" => (1, false),
            "explicit" => (2, true),
            other => {
                return Err(unsupported(
                    PATH,
                    what,
                    format!("s2r does not know the priority `{other}`"),
                ));
            }
        };
        has_primary |= rank == 0;
        found.push(NamedIndex {
            rank,
            is_explicit,
            ..named(name, url, "POETRY_HTTP_BASIC")
        });
    }
    if !found.is_empty() && !has_primary {
        found.insert(0, named("PyPI", PUBLIC_INDEX, "POETRY_HTTP_BASIC"));
    }
    Ok(found)
}
