//! What a builder file says of pip: one wheel, or `none`.

use std::fmt;

use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use crate::packages::Sha256;

/// One wheel of pip, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipWheel {
    pub version: String,
    /// The wheel's file name; its url comes from the package index.
    pub filename: String,
    pub sha256: Sha256,
}

/// The key `pip` of a builder file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PipChoice {
    /// `none`: the virtual environment has no pip.
    Absent,
    Wheel(PipWheel),
}

impl PipChoice {
    pub(crate) fn into_wheel(self) -> Option<PipWheel> {
        match self {
            Self::Absent => None,
            Self::Wheel(wheel) => Some(wheel),
        }
    }
}

// By hand, because an untagged enum would not tell what is wrong with a wheel.
impl<'de> Deserialize<'de> for PipChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = PipChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, or `version`, `filename` and `sha256` of a wheel")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PipChoice, E> {
                match text {
                    "none" => Ok(PipChoice::Absent),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PipChoice, A::Error> {
                PipWheel::deserialize(MapAccessDeserializer::new(map)).map(PipChoice::Wheel)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}
