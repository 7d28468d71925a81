//! What a lock was made from: a name and a hash for each thing that its resolution read, in the table
//! `[tool.s2r.inputs]` of a `pylock.toml` that s2r wrote (PEP 751 leaves `[tool]` to tools).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::PylockError;
use super::write::quoted;
use crate::packages::Sha256;
use crate::packages::python::location::shown;

/// Most inputs of a lock.
const MAX_INPUTS: usize = 1000;

/// The inputs of a resolution by name: a file's path, a variable, or words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LockFingerprint(BTreeMap<String, Sha256>);

/// Who made a lock, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockOrigin {
    OtherTool,
    /// s2r, before it wrote down what a lock is made from.
    OldForm,
    /// s2r, from these inputs.
    Known(LockFingerprint),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawOrigin {
    created_by: Option<String>,
    #[serde(default)]
    tool: RawTool,
}

#[derive(Deserialize, Default)]
struct RawTool {
    s2r: Option<RawOwn>,
}

#[derive(Deserialize)]
struct RawOwn {
    #[serde(default)]
    inputs: BTreeMap<String, Sha256>,
}

impl LockOrigin {
    /// Reads a lock's origin.
    ///
    /// # Errors
    /// Text that is no TOML, hashes that are none, more inputs than any project has.
    pub(crate) fn of(text: &str) -> Result<Self, PylockError> {
        let raw: RawOrigin = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
            .map_err(|error| PylockError::Toml(shown(error.to_string().trim())))?;
        match raw.tool.s2r {
            Some(own) if own.inputs.len() > MAX_INPUTS => Err(PylockError::TooLarge {
                what: "inputs",
                limit: MAX_INPUTS,
            }),
            Some(own) => Ok(Self::Known(LockFingerprint(own.inputs))),
            None if raw.created_by.as_deref() == Some("s2r") => Ok(Self::OldForm),
            None => Ok(Self::OtherTool),
        }
    }
}

impl LockFingerprint {
    pub(crate) fn add(&mut self, name: impl Into<String>, content: &[u8]) {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(content);
        self.0.insert(name.into(), Sha256(hash.into()));
    }

    /// The table, to stand at the end of a lock.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::from("\n[tool.s2r.inputs]\n");
        for (name, hash) in &self.0 {
            let _ = writeln!(text, "{} = \"{hash}\"", quoted(name));
        }
        text
    }

    /// The hash of an input.
    pub(crate) fn get(&self, name: &str) -> Option<&Sha256> {
        self.0.get(name)
    }

    /// Names of inputs that are others now, new, or gone; those of `skipped` left out.
    pub(crate) fn changed<'a>(&'a self, now: &'a Self, skipped: &str) -> Vec<&'a str> {
        let mut names: Vec<&str> = (self.0.keys())
            .chain(now.0.keys())
            .map(String::as_str)
            .filter(|name| *name != skipped && self.get(name) != now.get(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_as_they_were_written() {
        let mut inputs = LockFingerprint::default();
        inputs.add("pyproject.toml", b"x");
        inputs.add("odd \"name\"", b"y");
        let head = "lock-version = \"1.0\"\ncreated-by = \"s2r\"\npackages = []\n";
        let text = format!("{head}{}", inputs.to_toml());
        assert_eq!(LockOrigin::of(&text).unwrap(), LockOrigin::Known(inputs));
        assert_eq!(LockOrigin::of(head).unwrap(), LockOrigin::OldForm);
        let other = head.replace("s2r", "uv");
        assert_eq!(LockOrigin::of(&other).unwrap(), LockOrigin::OtherTool);
        for wrong in ["[tool.s2r.inputs]\na = 'x'\n", "tool = 1", "["] {
            assert!(LockOrigin::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_changed_is_named() {
        let of = |pairs: &[(&str, &str)]| {
            let mut inputs = LockFingerprint::default();
            for (name, content) in pairs {
                inputs.add(*name, content.as_bytes());
            }
            inputs
        };
        let then = of(&[("a", "1"), ("b", "1"), ("c", "1"), ("s", "1")]);
        let now = of(&[("a", "1"), ("b", "2"), ("d", "1"), ("s", "2")]);
        assert_eq!(then.changed(&now, "s"), ["b", "c", "d"]);
        assert!(then.changed(&then, "").is_empty());
    }
}
