//! YAML and TOML as one kind of tree, each node with its line. Scalars keep the text that was written, so that
//! `1.10` stays what it is.
//!
//! Grammars: YAML 1.2 (yaml.org/spec/1.2.2), TOML 1.0 (toml.io/en/v1.0.0).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingsError;
use crate::project::text::line_at;
use crate::project::{ProjectError, SourcePlace};

/// A value of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettingNode {
    /// Line of the document, from 1.
    pub line: u32,
    pub value: SettingValue,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum SettingValue {
    Nothing,
    Text(String),
    /// As it is written.
    Number(String),
    /// As it is written.
    Switch {
        text: String,
        is_on: bool,
    },
    List(Vec<SettingNode>),
    Map(Vec<SettingEntry>),
}

/// A key with its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettingEntry {
    pub key: String,
    pub line: u32,
    pub node: SettingNode,
}

impl SettingValue {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Switch { .. } => "true or false",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads a YAML document.
///
/// # Errors
/// [`SettingsError::Syntax`]
pub(super) fn yaml(path: &str, text: &str) -> Result<SettingNode, SettingsError> {
    let parsed = serde_yaml::from_str::<Spanned<YamlValue>>(text);
    let parsed = parsed.map_err(|error| {
        let line = error.location().map(|location| location.line());
        SettingsError::Syntax {
            place: SourcePlace {
                path: path.to_owned(),
                line: line.and_then(|line| u32::try_from(line).ok()),
            },
            grammar: "YAML",
            cause: first_line(&error.to_string()),
        }
    })?;
    Ok(of_yaml(parsed, text))
}

/// What a parser says, without the lines of the file that some show.
fn first_line(cause: &str) -> String {
    let line = cause.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

enum YamlValue {
    Nothing,
    Switch(bool),
    Number,
    Text(String),
    List(Vec<Spanned<YamlValue>>),
    Map(Vec<(Spanned<String>, Spanned<YamlValue>)>),
}

impl<'de> Deserialize<'de> for YamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = YamlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Nothing)
    }

    fn visit_none<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Nothing)
    }

    fn visit_bool<E>(self, is_on: bool) -> Result<YamlValue, E> {
        Ok(YamlValue::Switch(is_on))
    }

    fn visit_i64<E>(self, _: i64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<YamlValue, E> {
        Ok(YamlValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<YamlValue, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element()? {
            list.push(value);
        }
        Ok(YamlValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<YamlValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(YamlValue::Map(map))
    }
}

fn of_yaml(parsed: Spanned<YamlValue>, text: &str) -> SettingNode {
    let line = |location: &serde_yaml::Location| u32::try_from(location.line()).unwrap_or(u32::MAX);
    let written = || {
        let span = parsed.defined.span();
        let start = usize::try_from(span.byte_offset().unwrap_or_default()).unwrap_or_default();
        let length = usize::try_from(span.byte_len().unwrap_or_default()).unwrap_or_default();
        let written = text.get(start..start.saturating_add(length));
        written.unwrap_or_default().trim().to_owned()
    };
    let value = match parsed.value {
        YamlValue::Nothing => SettingValue::Nothing,
        YamlValue::Switch(is_on) => SettingValue::Switch {
            text: written(),
            is_on,
        },
        YamlValue::Number => SettingValue::Number(written()),
        YamlValue::Text(text) => SettingValue::Text(text),
        YamlValue::List(list) => {
            SettingValue::List(list.into_iter().map(|one| of_yaml(one, text)).collect())
        }
        YamlValue::Map(map) => SettingValue::Map(
            map.into_iter()
                .map(|(key, value)| SettingEntry {
                    line: line(&key.referenced),
                    key: key.value,
                    node: of_yaml(value, text),
                })
                .collect(),
        ),
    };
    SettingNode {
        line: line(&parsed.referenced),
        value,
    }
}

/// `[tool.s2r]` of a `pyproject.toml`, if it is there.
///
/// # Errors
/// [`ProjectError::Toml`]
pub(super) fn tool_table(path: &str, text: &str) -> Result<Option<SettingNode>, ProjectError> {
    let document = DeTable::parse(text).map_err(|error| ProjectError::Toml {
        place: SourcePlace {
            path: path.to_owned(),
            line: error
                .span()
                .map(|span| line_at(text.as_bytes(), span.start)),
        },
        cause: error.message().to_owned(),
    })?;
    let Some(DeValue::Table(tools)) = document.get_ref().get("tool").map(toml::Spanned::get_ref)
    else {
        return Ok(None);
    };
    Ok(tools.get("s2r").map(|value| of_toml(value, text)))
}

fn of_toml(value: &toml::Spanned<DeValue<'_>>, text: &str) -> SettingNode {
    let span = value.span();
    let written = || text.get(span.clone()).unwrap_or_default().to_owned();
    let line = |start: usize| line_at(text.as_bytes(), start);
    SettingNode {
        line: line(span.start),
        value: match value.get_ref() {
            DeValue::String(text) => SettingValue::Text(text.to_string()),
            DeValue::Integer(_) | DeValue::Float(_) => SettingValue::Number(written()),
            DeValue::Boolean(is_on) => SettingValue::Switch {
                text: written(),
                is_on: *is_on,
            },
            DeValue::Datetime(_) => SettingValue::Text(written()),
            DeValue::Array(list) => {
                SettingValue::List(list.iter().map(|one| of_toml(one, text)).collect())
            }
            DeValue::Table(table) => {
                // The table is sorted by name; the order of the file means something.
                let mut sorted: Vec<_> = table.iter().collect();
                sorted.sort_by_key(|(key, _)| key.span().start);
                let entries = sorted.into_iter().map(|(key, value)| SettingEntry {
                    key: key.get_ref().to_string(),
                    line: line(key.span().start),
                    node: of_toml(value, text),
                });
                SettingValue::Map(entries.collect())
            }
        },
    }
}
