//! Hashes of the parts of a TOML file that a lock depends on, as pipenv, Poetry and PDM compute
//! them: sha256 of the text that Python's `json.dumps(value, sort_keys=True)` gives.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

/// A value of JSON, with what TOML lacks.
pub(super) enum JsonContent<'a> {
    Null,
    True,
    /// A value of the file.
    Toml(&'a Value),
    /// A table of the file.
    Table(&'a Table),
    /// A text of ours.
    Text(&'a str),
    /// A list of ours.
    List(Vec<JsonContent<'a>>),
    /// A table of ours.
    Map(Vec<(String, JsonContent<'a>)>),
}

impl JsonContent<'_> {
    pub(super) fn empty_map() -> Self {
        Self::Map(Vec::new())
    }
}

/// The hash in hexadecimal digits. `compact` leaves out the blanks after commas and colons.
pub(super) fn hash(value: &JsonContent<'_>, compact: bool) -> String {
    let (comma, colon) = if compact { (",", ":") } else { (", ", ": ") };
    let mut writer = JsonWriter {
        text: String::new(),
        comma,
        colon,
    };
    writer.json(value);
    let digest = Sha256::digest(writer.text.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct JsonWriter {
    text: String,
    comma: &'static str,
    colon: &'static str,
}

impl JsonWriter {
    fn json(&mut self, value: &JsonContent<'_>) {
        match value {
            JsonContent::Null => self.text.push_str("null"),
            JsonContent::True => self.text.push_str("true"),
            JsonContent::Toml(value) => self.toml(value),
            JsonContent::Table(table) => self.table(table),
            JsonContent::Text(text) => self.string(text),
            JsonContent::List(list) => {
                self.text.push('[');
                for (at, value) in list.iter().enumerate() {
                    self.separate(at);
                    self.json(value);
                }
                self.text.push(']');
            }
            JsonContent::Map(map) => {
                let mut sorted: Vec<&(String, JsonContent<'_>)> = map.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                self.text.push('{');
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    self.separate(at);
                    self.key(key);
                    self.json(value);
                }
                self.text.push('}');
            }
        }
    }

    fn toml(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.string(text),
            Value::Integer(number) => {
                let _ = write!(self.text, "{number}");
            }
            Value::Float(number) => {
                let _ = write!(self.text, "{number:?}");
            }
            Value::Boolean(value) => self.text.push_str(if *value { "true" } else { "false" }),
            // json.dumps has no form for it, so no lock was made from such a file.
            Value::Datetime(time) => self.string(&time.to_string()),
            Value::Array(list) => {
                self.text.push('[');
                for (at, value) in list.iter().enumerate() {
                    self.separate(at);
                    self.toml(value);
                }
                self.text.push(']');
            }
            Value::Table(table) => self.table(table),
        }
    }

    fn table(&mut self, table: &Table) {
        let mut sorted: Vec<(&String, &Value)> = table.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        self.text.push('{');
        for (at, (key, value)) in sorted.into_iter().enumerate() {
            self.separate(at);
            self.key(key);
            self.toml(value);
        }
        self.text.push('}');
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.text.push_str(self.comma);
        }
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.text.push_str(self.colon);
    }

    /// As Python writes texts: everything beyond ASCII as `\uXXXX`, in units of UTF-16.
    fn string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                ' '..='~' => self.text.push(c),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.text, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_python() {
        let table: Table = "b = [1, true, 1.5, 'ä😀\"\\\\\\t\\u007f']\na = { y = 'x', x = [] }\n"
            .parse()
            .unwrap();
        let mut writer = JsonWriter {
            text: String::new(),
            comma: ", ",
            colon: ": ",
        };
        writer.table(&table);
        // TOML's single quotes take backslashes as they are.
        assert_eq!(
            writer.text,
            r#"{"a": {"x": [], "y": "x"}, "b": [1, true, 1.5, "\u00e4\ud83d\ude00\"\\\\\\t\\u007f"]}"#
        );
        let map = JsonContent::Map(vec![
            ("b".to_owned(), JsonContent::Null),
            (
                "a".to_owned(),
                JsonContent::List(vec![JsonContent::Text("x")]),
            ),
        ]);
        // printf '{"a":["x"],"b":null}' | sha256sum
        assert_eq!(hash(&map, true).len(), 64);
        assert_ne!(hash(&map, true), hash(&map, false));
    }
}
