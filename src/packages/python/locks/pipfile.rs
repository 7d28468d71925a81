//! `Pipfile.lock`, and `Pipfile` where there is no lock, as lines of requirements.
//!
//! Documented in <https://pipenv.pypa.io/en/latest/pipfile.html>; the test of a lock's age is that of
//! pipenv (`calculate_hash`) and of plette, which writes its locks (`get_hash`).

use pep440_rs::VersionSpecifiers;
use pep508_rs::MarkerTree;
use serde_json::{Map, Value as JsonValue};
use toml::{Table, Value};

use super::content::{JsonContent, hash};
use super::lines::{PackageSource, RequirementLines, git_address, path_address};
use super::{
    ConversionInput, ConvertedLock, LockFileError, LockKind, MAX_PACKAGES, check_chosen, made_from,
    normalised, parse_marker, parse_toml, stale, table_in, text_in, unreadable, unsupported,
};
use crate::packages::python::conditions::{IndexPin, NamedIndex, ResolutionRules};

const LOCK: &str = "Pipfile.lock";
const PIPFILE: &str = "Pipfile";
/// Tables that are no categories of packages.
const NO_CATEGORIES: [&str; 9] = [
    "source",
    "packages",
    "dev-packages",
    "requires",
    "scripts",
    "pipfile",
    "pipenv",
    "default",
    "develop",
];

pub(super) fn convert_lock(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let text = given.text.strip_prefix('\u{feff}').unwrap_or(given.text);
    let lock: Map<String, JsonValue> =
        serde_json::from_str(text).map_err(|error| unreadable(LOCK, error.to_string()))?;
    let pipfile = parse_toml(PIPFILE, made_from(LockKind::PipfileLock, given)?)?;
    let meta = lock.get("_meta").and_then(JsonValue::as_object);
    let locked = meta
        .and_then(|meta| meta.get("hash")?.get("sha256")?.as_str())
        .ok_or_else(|| unreadable(LOCK, "it does not say which Pipfile it was made from"))?;
    if !hashes(&pipfile).iter().any(|hash| hash == locked) {
        return Err(stale(LockKind::PipfileLock));
    }
    let mut lines = RequirementLines::new(LOCK);
    let sources = meta.and_then(|meta| meta.get("sources")?.as_array());
    let text = |source: &JsonValue, key: &str| {
        let value = source.get(key).and_then(JsonValue::as_str);
        value.unwrap_or_default().to_owned()
    };
    let sources: Vec<_> = sources
        .into_iter()
        .flatten()
        .map(|source| (text(source, "name"), text(source, "url")))
        .collect();
    // A lock tells the index of each package; one of before pipenv did so is searched for in all.
    set_sources(&mut lines, LOCK, &sources, false)?;
    check_chosen(LOCK, "extra", &given.choice.extras, [])?;
    let known = lock
        .keys()
        .map(String::as_str)
        .filter(|name| !matches!(*name, "_meta" | "default"));
    let groups = groups(given);
    check_chosen(LOCK, "group", &groups, known)?;
    for (category, packages) in &lock {
        if category != "default" && !groups.contains(&normalised(category)) {
            continue;
        }
        let packages = packages.as_object().into_iter().flatten();
        for (name, entry) in packages.take(MAX_PACKAGES) {
            let entry = PipfileEntry::locked(name, entry)?;
            entry.add(&mut lines, given, LOCK, &sources)?;
        }
    }
    Ok(lines.finish())
}

pub(super) fn convert(given: &ConversionInput<'_>) -> Result<ConvertedLock, LockFileError> {
    let pipfile = parse_toml(PIPFILE, given.text)?;
    let mut lines = RequirementLines::new(PIPFILE);
    let sources = sources_of(&pipfile)?;
    set_sources(&mut lines, PIPFILE, &sources, true)?;
    check_chosen(PIPFILE, "extra", &given.choice.extras, [])?;
    let groups = groups(given);
    let name_of = |table: &str| match table {
        "dev-packages" => "develop".to_owned(),
        other => normalised(other),
    };
    let categories: Vec<&String> = pipfile
        .keys()
        .filter(|key| *key == "dev-packages" || !NO_CATEGORIES.contains(&key.as_str()))
        .collect();
    let known: Vec<String> = categories.iter().map(|key| name_of(key)).collect();
    let known = known.iter().map(String::as_str).chain(["develop"]);
    check_chosen(PIPFILE, "group", &groups, known)?;
    let chosen = categories
        .into_iter()
        .filter(|key| groups.contains(&name_of(key)))
        .map(String::as_str);
    for key in ["packages"].into_iter().chain(chosen) {
        let packages = table_in(&pipfile, &[key]);
        for (name, value) in packages.into_iter().flatten().take(MAX_PACKAGES) {
            PipfileEntry::wished(name, value)?.add(&mut lines, given, PIPFILE, &sources)?;
        }
    }
    Ok(lines.finish())
}

/// `[[source]]`: names and addresses.
fn sources_of(pipfile: &Table) -> Result<Vec<(String, String)>, LockFileError> {
    let wrong = |what: &str| unsupported(PIPFILE, "[[source]]", what);
    let list = match pipfile.get("source") {
        None => return Ok(Vec::new()),
        Some(value) => value
            .as_array()
            .ok_or_else(|| wrong("it is no list of tables"))?,
    };
    let read = list.iter().map(|source| {
        let source = source.as_table().ok_or_else(|| wrong("it is no table"))?;
        let known = ["name", "url", "verify_ssl"];
        if let Some(key) = source.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(&format!(
                "s2r does not know what `{key}` means there"
            )));
        }
        let url = text_in(source, "url").ok_or_else(|| wrong("it has no `url`"))?;
        Ok((
            text_in(source, "name").unwrap_or_default().to_owned(),
            url.to_owned(),
        ))
    });
    read.collect()
}

/// Has packages come from the sources: as pipenv does, from the first one where none is named.
fn set_sources(
    lines: &mut RequirementLines,
    path: &'static str,
    sources: &[(String, String)],
    others_are_explicit: bool,
) -> Result<(), LockFileError> {
    for (_, url) in sources {
        lines.index(url)?;
    }
    if sources.len() < 2 {
        return Ok(());
    }
    let indexes = sources
        .iter()
        .enumerate()
        .map(|(at, (name, url))| NamedIndex {
            name: name.clone(),
            url: url.clone(),
            is_explicit: at > 0 && others_are_explicit,
            ..NamedIndex::default()
        });
    lines.conditions(ResolutionRules {
        file: path,
        indexes: indexes.collect(),
        ..ResolutionRules::default()
    })
}

/// The chosen groups in the words of the lock, where `dev-packages` is `develop`.
fn groups(given: &ConversionInput<'_>) -> Vec<String> {
    let name = |group: &String| match group.as_str() {
        "dev" | "dev-packages" => "develop".to_owned(),
        other => other.to_owned(),
    };
    given.choice.groups.iter().map(name).collect()
}

/// A package of either file.
#[derive(Default)]
struct PipfileEntry<'a> {
    name: &'a str,
    version: Option<&'a str>,
    marker: Option<String>,
    extras: Vec<String>,
    hashes: Vec<&'a str>,
    git: Option<&'a str>,
    revision: Option<&'a str>,
    subdirectory: Option<&'a str>,
    place: Option<&'a str>,
    index: Option<&'a str>,
}

impl<'a> PipfileEntry<'a> {
    fn locked(name: &'a str, value: &'a JsonValue) -> Result<Self, LockFileError> {
        let wrong = || unreadable(LOCK, format!("{name} is no table"));
        let table = value.as_object().ok_or_else(wrong)?;
        let text = |key: &str| table.get(key).and_then(JsonValue::as_str);
        let texts = |key: &str| {
            let list = table.get(key).and_then(JsonValue::as_array);
            list.into_iter().flatten().filter_map(JsonValue::as_str)
        };
        Ok(Self {
            name,
            version: text("version"),
            marker: text("markers").map(str::to_owned),
            extras: texts("extras").map(str::to_owned).collect(),
            hashes: texts("hashes").collect(),
            git: text("git"),
            revision: text("ref"),
            subdirectory: text("subdirectory"),
            place: text("file").or_else(|| text("path")),
            index: text("index"),
        })
    }

    fn wished(name: &'a str, value: &'a Value) -> Result<Self, LockFileError> {
        if let Value::String(version) = value {
            return Ok(Self {
                name,
                version: Some(version),
                ..Self::default()
            });
        }
        let wrong = || unreadable(PIPFILE, format!("{name} is neither a version nor a table"));
        let table: &Table = value.as_table().ok_or_else(wrong)?;
        let text = |key: &str| text_in(table, key);
        // Every other key that is the name of a marker is one: `sys_platform = "== 'win32'"`.
        let mut markers: Vec<String> = text("markers")
            .into_iter()
            .map(|m| format!("({m})"))
            .collect();
        for key in [
            "os_name",
            "sys_platform",
            "platform_machine",
            "platform_python_implementation",
            "platform_system",
            "python_version",
            "python_full_version",
            "implementation_name",
        ] {
            markers.extend(text(key).map(|value| format!("{key} {value}")));
        }
        Ok(Self {
            name,
            version: text("version"),
            marker: (!markers.is_empty()).then(|| markers.join(" and ")),
            extras: super::texts_in(table, "extras")
                .map(str::to_owned)
                .collect(),
            hashes: Vec::new(),
            git: text("git"),
            revision: text("ref"),
            subdirectory: text("subdirectory"),
            place: text("file").or_else(|| text("path")),
            index: text("index"),
        })
    }

    fn add(
        &self,
        lines: &mut RequirementLines,
        given: &ConversionInput<'_>,
        path: &'static str,
        sources: &[(String, String)],
    ) -> Result<(), LockFileError> {
        let marker = self
            .marker
            .as_deref()
            .map_or(Ok(MarkerTree::TRUE), |text| {
                parse_marker(path, self.name, text)
            })?;
        if !marker.evaluate(given.markers, &[]) {
            return Ok(());
        }
        let wanted = if let Some(url) = self.git {
            PackageSource::Address(git_address(url, self.revision, self.subdirectory))
        } else if let Some(place) = self.place {
            let address = if place.contains("://") {
                place.to_owned()
            } else {
                path_address(place)
            };
            // pipenv names such a package by a hash of its path where nobody told its name.
            if self.extras.is_empty() && self.hashes.is_empty() {
                PackageSource::Unnamed(address)
            } else {
                PackageSource::Address(address)
            }
        } else {
            PackageSource::Versions(versions(path, self.name, self.version)?)
        };
        match self.index {
            Some(index) if !sources.iter().any(|(name, _)| name == index) => {
                return Err(unsupported(
                    path,
                    self.name,
                    format!("there is no [[source]] {index}"),
                ));
            }
            Some(index) if sources.len() > 1 => {
                lines.tie(self.name, IndexPin::Index(index.to_owned()));
            }
            Some(_) | None => {}
        }
        lines.add(self.name, &self.extras, &wanted, &self.hashes)
    }
}

fn versions(
    path: &'static str,
    name: &str,
    text: Option<&str>,
) -> Result<VersionSpecifiers, LockFileError> {
    match text.map(str::trim) {
        None | Some("" | "*") => Ok(VersionSpecifiers::empty()),
        Some(text) => {
            // A bare number is no range to pip either, but pipenv writes `==` before it.
            let bare = text.starts_with(|c: char| c.is_ascii_digit());
            let text = if bare {
                format!("=={text}")
            } else {
                text.to_owned()
            };
            text.parse()
                .map_err(|_| unreadable(path, format!("{name}: `{text}` is no range of versions")))
        }
    }
}

/// What a lock of this Pipfile says of it: with names as written, and with names as they are compared.
fn hashes(pipfile: &Table) -> [String; 2] {
    [false, true].map(|compared| {
        let sources = match pipfile.get("source") {
            Some(sources) => value_of(sources),
            None => default_sources(),
        };
        let meta = JsonContent::Map(vec![
            ("sources".to_owned(), sources),
            (
                "requires".to_owned(),
                pipfile
                    .get("requires")
                    .map_or_else(JsonContent::empty_map, value_of),
            ),
        ]);
        let mut all = vec![
            ("_meta".to_owned(), meta),
            (
                "default".to_owned(),
                section(pipfile.get("packages"), compared),
            ),
            (
                "develop".to_owned(),
                section(pipfile.get("dev-packages"), compared),
            ),
        ];
        for (name, table) in pipfile {
            if !NO_CATEGORIES.contains(&name.as_str()) {
                all.push((name.clone(), section(Some(table), compared)));
            }
        }
        hash(&JsonContent::Map(all), true)
    })
}

fn section(table: Option<&Value>, compared: bool) -> JsonContent<'_> {
    match table {
        None => JsonContent::empty_map(),
        Some(Value::Table(table)) if compared => JsonContent::Map(
            table
                .iter()
                .map(|(name, value)| (normalised(name), JsonContent::Toml(value)))
                .collect(),
        ),
        Some(value) => value_of(value),
    }
}

fn value_of(value: &Value) -> JsonContent<'_> {
    match value {
        Value::Table(table) => JsonContent::Table(table),
        value => JsonContent::Toml(value),
    }
}

/// What plette puts where a Pipfile names no index.
fn default_sources() -> JsonContent<'static> {
    JsonContent::List(vec![JsonContent::Map(vec![
        ("name".to_owned(), JsonContent::Text("pypi")),
        (
            "url".to_owned(),
            JsonContent::Text(crate::packages::python::PUBLIC_INDEX),
        ),
        ("verify_ssl".to_owned(), JsonContent::True),
    ])])
}
