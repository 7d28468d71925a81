//! Tables of pyproject.toml that say where packages come from: those of uv, PDM and Poetry. What is not
//! understood is an error that names it: the package would else be taken from a stranger.
//!
//! Documented in <https://docs.astral.sh/uv/concepts/indexes/>,
//! <https://docs.astral.sh/uv/concepts/projects/dependencies/#dependency-sources>,
//! <https://pdm-project.org/en/latest/usage/config/#configure-the-package-indexes> and
//! <https://python-poetry.org/docs/repositories/>.

mod pdm;
mod poetry;
mod uv;
mod uv_settings;

use std::collections::BTreeMap;

use toml::{Table, Value};

pub(super) use self::pdm::of_pdm;
pub(super) use self::poetry::of_poetry;
use self::uv::{of_uv, uv_indexes};
use self::uv_settings::Settings;
pub(super) use self::uv_settings::{check_conflicts, default_groups};
use super::{ConversionInput, LockFileError, table_in, text_in, unsupported};
use crate::packages::python::PUBLIC_INDEX;
use crate::packages::python::conditions::{
    Choosing, IndexPin, NamedIndex, ResolutionRules, login_variable,
};
use crate::packages::python::switches::{self, Treatment};

const PATH: &str = "pyproject.toml";

/// Where packages come from.
#[derive(Debug, Default)]
pub(super) struct PackageSources {
    /// Indexes, ties and bounds.
    pub conditions: ResolutionRules,
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

/// A table of a list that names an index.
struct IndexTable<'a> {
    name: &'a str,
    /// As messages name it: `[[tool.uv.index]] corp`.
    what: String,
    table: &'a Table,
}

impl<'a> IndexTable<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        text_in(self.table, key)
    }

    fn is(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_bool) == Some(true)
    }

    fn url(&self) -> Result<&'a str, LockFileError> {
        self.text("url")
            .ok_or_else(|| self.refused("it has no `url`"))
    }

    fn refused(&self, why: impl AsRef<str>) -> LockFileError {
        unsupported(PATH, &self.what, why)
    }
}

/// The tables of a list, which have no keys but these.
fn sections<'a>(
    table: &'a Table,
    key: &str,
    heading: &str,
    known: &[&str],
) -> Result<Vec<IndexTable<'a>>, LockFileError> {
    let section = |table| {
        let name = text_in(table, "name").unwrap_or_default();
        let what = format!("{heading} {name}").trim_end().to_owned();
        check_keys(table, &what, known)?;
        Ok(IndexTable { name, what, table })
    };
    tables(table, key, heading)?
        .into_iter()
        .map(section)
        .collect()
}

/// Where the tables of uv and PDM say that packages come from. Poetry's are read where its wishes are.
pub(super) fn of(
    project: &Table,
    given: &ConversionInput<'_>,
) -> Result<PackageSources, LockFileError> {
    let tool = |name: &str| table_in(project, &["tool", name]);
    let of_uv = (tool("uv").is_some() || given.made_from.is_some())
        .then(|| of_uv(&Settings::read(tool("uv"), given)?, given))
        .transpose()?;
    let of_pdm = tool("pdm").map(of_pdm).transpose()?;
    match (of_uv, of_pdm) {
        (Some(uv), Some(pdm)) if pdm.conditions == ResolutionRules::default() => Ok(uv),
        (Some(uv), Some(mut pdm)) if uv.says_nothing() => {
            pdm.conditions.told.extend(uv.conditions.told);
            Ok(pdm)
        }
        (Some(_), Some(_)) => Err(unsupported(
            PATH,
            "[tool.uv], [tool.pdm]",
            "both say where packages come from; keep one of them",
        )),
        (one, other) => Ok(one.or(other).unwrap_or_default()),
    }
}

impl PackageSources {
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
            .insert(name.to_owned(), IndexPin::Index(index));
        Ok(())
    }

    fn says_nothing(&self) -> bool {
        let ResolutionRules {
            constraints,
            overrides,
            choosing,
            ..
        } = &self.conditions;
        !self.conditions.has_sources()
            && constraints.is_empty()
            && overrides.is_empty()
            && *choosing == Choosing::default()
            && self.addresses.is_empty()
            && self.links.is_empty()
            && !self.no_index
    }
}

pub(crate) use uv_settings::beside_requirements;

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

/// Whether tables of tools say more of the dependencies than `[project]` does: a wheel built from the project does
/// not have it.
pub(crate) fn says_where(text: &str, has_uv_toml: bool) -> bool {
    let Ok(project) = super::parse_toml(PATH, text) else {
        return false;
    };
    let keys = |path: &[&str]| -> Vec<String> {
        let table = table_in(&project, path);
        table.into_iter().flat_map(Table::keys).cloned().collect()
    };
    let of_uv = keys(&["tool", "uv"]);
    let is_uvs = |key: &String| {
        let treatment = switches::of_uv(key);
        key != "dev-dependencies"
            && matches!(treatment, Some(Treatment::Followed | Treatment::Refused(_)))
    };
    let has = |path: &[&str], key: &str| keys(path).iter().any(|found| found == key);
    has_uv_toml
        || of_uv.iter().any(is_uvs)
        || has(&["tool", "pdm"], "source")
        || has(&["tool", "poetry"], "source")
        || (table_in(&project, &["project"]).is_some() && has(&["tool", "poetry"], "dependencies"))
}

fn named(name: &str, url: &str, tool: &str) -> NamedIndex {
    NamedIndex {
        name: name.to_owned(),
        url: url.to_owned(),
        login: login_variable(tool, name),
        ..NamedIndex::default()
    }
}
