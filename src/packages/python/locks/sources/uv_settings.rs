//! Keys of `[tool.uv]`, and of the `uv.toml` that goes before them, which say what files are taken and what
//! is not wanted together.
//!
//! Documented in <https://docs.astral.sh/uv/reference/settings/> and, for the order of both files, in
//! <https://docs.astral.sh/uv/concepts/configuration-files/>.

use toml::{Table, Value};

use super::PATH;
use crate::packages::python::UploadLimit;
use crate::packages::python::conditions::{Choosing, PRE_RELEASES, RESOLUTIONS, Told};
use crate::packages::python::locks::{
    ConversionInput, LockFileError, list_in, normalised, parse_marker, parse_toml, table_in,
    text_in, texts_in, unsupported,
};
use crate::packages::python::switches::{Treatment, of_uv};

const OWN_FILE: &str = "uv.toml";
/// Keys that only `pyproject.toml` may have: they are of the project, not of uv.
const OF_PROJECT: &[&str] = &[
    "conflicts",
    "constraint-dependencies",
    "build-constraint-dependencies",
    "default-groups",
    "dependency-groups",
    "dev-dependencies",
    "environments",
    "managed",
    "override-dependencies",
    "exclude-dependencies",
    "package",
    "required-environments",
    "sources",
    "workspace",
    "build-backend",
];

/// What uv takes as its settings: `[tool.uv]`, or `uv.toml` with what of `[tool.uv]` is the project's.
pub(in crate::packages::python::locks) struct Settings {
    pub(super) table: Table,
    /// Both texts, for lines.
    texts: [(&'static str, String); 2],
}

impl Settings {
    /// Reads both.
    ///
    /// # Errors
    /// A `uv.toml` that does not read; a key that is not followed and must not be passed over.
    pub(super) fn read(
        uv: Option<&Table>,
        given: &ConversionInput<'_>,
    ) -> Result<Self, LockFileError> {
        let own = given.made_from.unwrap_or_default();
        let mut table = uv.cloned().unwrap_or_default();
        if given.made_from.is_some() {
            table.retain(|key, _| OF_PROJECT.contains(&key));
            table.extend(parse_toml(OWN_FILE, own)?);
        }
        let settings = Self {
            table,
            texts: [(OWN_FILE, own.to_owned()), (PATH, given.text.to_owned())],
        };
        for (key, value) in &settings.table {
            if let Some(Treatment::Refused(why)) = of_uv(key).filter(|_| is_set(value)) {
                let (file, what) = settings.place(key);
                return Err(unsupported(file, &what, why));
            }
        }
        Ok(settings)
    }

    /// The file and the place in it of a key: `[tool.uv] exclude-newer (line 12)`.
    fn place(&self, key: &str) -> (&'static str, String) {
        for (file, text) in &self.texts {
            let is_own = *file == OWN_FILE;
            if let Some(line) = line_of_key(text, key, is_own) {
                let table = if is_own { "" } else { "[tool.uv] " };
                return (file, format!("{table}{key} (line {line})"));
            }
        }
        (PATH, format!("[tool.uv] {key}"))
    }

    /// What has no effect.
    pub(super) fn told(&self) -> Vec<Told> {
        let keys = self.table.iter().filter(|(_, value)| is_set(value));
        keys.filter_map(|(key, _)| match of_uv(key) {
            Some(Treatment::Told(why)) => {
                let (file, what) = self.place(key);
                Some(Told {
                    what: format!("{file}: {what} has no effect"),
                    why,
                })
            }
            _ => None,
        })
        .collect()
    }

    /// What files are taken.
    ///
    /// # Errors
    /// A value that is not understood.
    pub(super) fn choosing(&self) -> Result<Choosing, LockFileError> {
        let table = &self.table;
        let refused = |key: &str, why: &str| {
            let (file, what) = self.place(key);
            unsupported(file, &what, why)
        };
        let word = |key: &str, known: &[&str]| match text_in(table, key) {
            Some(text) if !known.contains(&text) => {
                Err(refused(key, "s2r does not know this value"))
            }
            found => Ok(found.map(str::to_owned)),
        };
        let mut choosing = Choosing {
            pre_releases: word("prerelease", &PRE_RELEASES)?,
            resolution: word("resolution", &RESOLUTIONS)?,
            build_constraints: texts_in(table, "build-constraint-dependencies")
                .map(str::to_owned)
                .collect(),
            ..Choosing::default()
        };
        if let Some(value) = table.get("exclude-newer") {
            let limit = value
                .as_str()
                .map(str::to_owned)
                .or_else(|| value.as_datetime().map(ToString::to_string))
                .and_then(|text| UploadLimit::read(&text, true));
            choosing.uploaded = Some(limit.ok_or_else(|| {
                refused(
                    "exclude-newer",
                    "s2r takes a date or a moment in UTC, such as 2006-12-02T02:07:43Z",
                )
            })?);
        }
        for (all, some, is_source) in [
            ("no-build", "no-build-package", false),
            ("no-binary", "no-binary-package", true),
        ] {
            let names: Vec<&str> = texts_in(table, some).collect();
            let all = (table.get(all).and_then(Value::as_bool) == Some(true)).then_some(":all:");
            for value in all.map(str::to_owned).into_iter().chain([names.join(",")]) {
                if value.is_empty() {
                } else if is_source {
                    choosing.formats.no_binary(&value);
                } else {
                    choosing.formats.only_binary(&value);
                }
            }
        }
        if let Some(list) = table.get("dependency-metadata") {
            let mut alone = Table::new();
            alone.insert("dependency-metadata".to_owned(), list.clone());
            choosing.metadata = alone.to_string();
        }
        Ok(choosing)
    }

    /// Refuses a target that the project is not for, and a choice whose parts exclude each other.
    pub(super) fn check(&self, given: &ConversionInput<'_>) -> Result<(), LockFileError> {
        let markers: Vec<&str> = match self.table.get("environments") {
            Some(Value::String(text)) => vec![text],
            _ => texts_in(&self.table, "environments").collect(),
        };
        let (file, what) = self.place("environments");
        let mut holds = markers.is_empty();
        for text in markers {
            holds |= parse_marker(file, &what, text)?.evaluate(given.markers, &[]);
        }
        if !holds {
            let why = "none of these environments is that of the builder; choose another with --builder or --platform";
            return Err(unsupported(file, &what, why));
        }
        check_conflicts(&self.table, given)
    }
}

/// Refuses extras and groups that the project says exclude each other.
pub(in crate::packages::python::locks) fn check_conflicts(
    uv: &Table,
    given: &ConversionInput<'_>,
) -> Result<(), LockFileError> {
    for set in list_in(uv, "conflicts") {
        let items = set.as_array().into_iter().flatten();
        let chosen: Vec<String> = items
            .filter_map(|item| {
                let item = item.as_table()?;
                let of = |kind: &str, chosen: &[String]| {
                    let name = normalised(text_in(item, kind)?);
                    chosen.contains(&name).then(|| format!("{kind} {name}"))
                };
                of("extra", &given.choice.extras).or_else(|| of("group", &given.choice.groups))
            })
            .collect();
        if chosen.len() > 1 {
            return Err(LockFileError::Conflict { path: PATH, chosen });
        }
    }
    Ok(())
}

/// `default-groups` of uv beside a lock of it.
pub(in crate::packages::python::locks) fn default_groups(project: &str) -> Option<Told> {
    let table = parse_toml(PATH, project).ok()?;
    let uv = table_in(&table, &["tool", "uv"])?;
    let settings = Settings {
        table: uv.clone(),
        texts: [(OWN_FILE, String::new()), (PATH, project.to_owned())],
    };
    let mut told = settings.told().into_iter();
    told.find(|told| told.what.contains(" default-groups "))
}

/// Whether a value says anything.
/// What uv would be told by both files, where the packages come from requirements alone.
pub(crate) fn beside_requirements(pyproject: &str, own: &str) -> Vec<Told> {
    let project = parse_toml(PATH, pyproject).unwrap_or_default();
    let of_project = table_in(&project, &["tool", "uv"]).cloned();
    let own = parse_toml(OWN_FILE, own).unwrap_or_default();
    let tables = [
        (PATH, "[tool.uv] ", of_project.unwrap_or_default()),
        (OWN_FILE, "", own),
    ];
    let decides = |key: &str| {
        key != "dev-dependencies"
            && matches!(
                of_uv(key),
                Some(Treatment::Followed | Treatment::Refused(_))
            )
    };
    let told = tables.into_iter().filter_map(|(file, place, table)| {
        let set = table.iter().filter(|(_, value)| is_set(value));
        let keys: Vec<&str> = set
            .map(|(key, _)| key.as_str())
            .filter(|key| decides(key))
            .collect();
        (!keys.is_empty()).then(|| Told {
            what: format!("{file}: {place}{} has no effect", keys.join(", ")),
            why: "the packages come from requirements.txt; say it there (--index-url, versions, addresses), or take that file away",
        })
    });
    told.collect()
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Boolean(is_on) => *is_on,
        Value::Array(list) => !list.is_empty(),
        Value::Table(table) => !table.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// The line of a key, from 1: of a whole file, or of the tables of uv in it.
fn line_of_key(text: &str, key: &str, is_own: bool) -> Option<usize> {
    let mut is_inside = is_own;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[');
            let name = header.split(']').next().unwrap_or_default().trim();
            let below = if is_own {
                Some(name)
            } else {
                let below = name.strip_prefix("tool.uv");
                below.map(|rest| rest.trim_start_matches('.'))
            };
            if below.is_some_and(|below| below.split('.').next() == Some(key)) {
                return Some(at + 1);
            }
            is_inside = !is_own && name == "tool.uv";
        } else if is_inside
            && line
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "[project]\nno-build = true\n[tool.uv]\nno-build = true\n[tool.uv.pip]\n[tool.x]\nupgrade = 1\n";
        assert_eq!(line_of_key(text, "no-build", false), Some(4));
        assert_eq!(line_of_key(text, "pip", false), Some(5));
        assert_eq!(line_of_key(text, "upgrade", false), None);
        assert_eq!(
            line_of_key("a = 1\n[[index]]\nb = 1\n", "index", true),
            Some(2)
        );
    }
}
