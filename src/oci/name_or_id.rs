//! What a user types for an image that is there: its name, or its id, as docker and podman have it. An id is the hex of
//! the image's digest, or its beginning.

use std::fmt;
use std::str::FromStr;

use super::{Reference, ReferenceError};

/// Fewer digits are no id: too many images would have them, and too many names look so.
const MIN_ID_DIGITS: usize = 6;
/// Hex digits of a sha256.
const MAX_ID_DIGITS: usize = 64;

/// A name, an id, or a word that may be either: `cafe12` is both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameOrId {
    text: String,
    name: Option<Reference>,
    id: Option<String>,
}

impl NameOrId {
    /// The name, which goes before the id where an image has it.
    pub(crate) fn name(&self) -> Option<&Reference> {
        self.name.as_ref()
    }

    /// The beginning of the digest, in lower-case hex digits.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl From<Reference> for NameOrId {
    fn from(name: Reference) -> Self {
        Self {
            text: name.to_string(),
            name: Some(name),
            id: None,
        }
    }
}

impl fmt::Display for NameOrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.id) {
            (Some(name), None) => name.fmt(f),
            _ => f.write_str(&self.text),
        }
    }
}

impl FromStr for NameOrId {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let id = |digits: &str| {
            ((MIN_ID_DIGITS..=MAX_ID_DIGITS).contains(&digits.len())
                && digits.chars().all(is_digit))
            .then(|| digits.to_owned())
        };
        let (name, id) = match text.strip_prefix("sha256:").and_then(id) {
            // A digest, and no image of the name `sha256`.
            Some(id) => (None, Some(id)),
            None => (Some(text.parse()?), id(text)),
        };
        Ok(Self {
            text: text.to_owned(),
            name,
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_or_ids_or_both() {
        let hex = "0a".repeat(32);
        let digest = format!("sha256:{hex}");
        for (text, is_name, id) in [
            ("app", true, None),
            ("app:1", true, None),
            ("cafe1", true, None),
            ("cafe12", true, Some("cafe12")),
            ("sha256:cafe12", false, Some("cafe12")),
            ("sha256:cafe1", true, None),
            (&hex, true, Some(&hex)),
            (&digest, false, Some(hex.as_str())),
        ] {
            let word: NameOrId = text.parse().unwrap();
            assert_eq!((word.name().is_some(), word.id()), (is_name, id), "{text}");
        }
        assert!("CAFE12".parse::<NameOrId>().is_err());
        assert_eq!("app".parse::<NameOrId>().unwrap().to_string(), "app:latest");
        assert_eq!("cafe12".parse::<NameOrId>().unwrap().to_string(), "cafe12");
    }
}
