//! What a builder file says of a key, and what comes of it upon the file that it extends.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A value of a file: what it says goes before what it inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Said<T> {
    /// The key is not there.
    #[default]
    Nothing,
    /// `null`: what is inherited goes.
    Null,
    Value(T),
}

/// A list of a file: `[a, b]`, or the inherited one with changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListSaid {
    Whole(Vec<String>),
    Changed(ListChange),
}

/// Changes of an inherited list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListChange {
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
}

/// What is taken away is not inherited.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotInherited {
    /// As the file has it.
    pub text: String,
}

impl<T> Said<T> {
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Nothing | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    pub(super) fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Nothing | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// This, upon what is inherited.
    pub(super) fn over(self, inherited: Self) -> Self {
        match self {
            Self::Nothing => inherited,
            Self::Null | Self::Value(_) => self,
        }
    }
}

impl Said<ListSaid> {
    /// As [`Said::over`]; changes are made to the inherited list, which is a whole one.
    pub(super) fn list_over(self, inherited: Self) -> Result<Self, NotInherited> {
        let change = match self {
            Self::Value(ListSaid::Changed(change)) => change,
            whole => return Ok(whole.over(inherited)),
        };
        let mut list = inherited.list();
        // One that is kept in order stays so: it is a part of what a resolution is known by.
        let is_in_order = list.is_sorted();
        for name in &change.remove {
            let before = list.len();
            list.retain(|one| one != name);
            if list.len() == before {
                let text = format!("remove: {name}");
                return Err(NotInherited { text });
            }
        }
        list.extend(change.add);
        if is_in_order {
            list.sort();
            list.dedup();
        }
        Ok(Self::Value(ListSaid::Whole(list)))
    }

    /// The list, once it is whole.
    pub(super) fn list(self) -> Vec<String> {
        match self.value() {
            Some(ListSaid::Whole(list)) => list,
            Some(ListSaid::Changed(change)) => change.add,
            None => Vec::new(),
        }
    }
}

/// The values of a map upon the inherited ones, key by key.
pub(super) fn map_over(
    map: BTreeMap<String, Said<String>>,
    inherited: BTreeMap<String, Said<String>>,
) -> Result<BTreeMap<String, Said<String>>, NotInherited> {
    let mut merged = inherited;
    for (key, said) in map {
        match said {
            Said::Value(_) => {
                merged.insert(key, said);
            }
            Said::Null | Said::Nothing => {
                if merged.remove(&key).is_none() {
                    let text = format!("{key}: null");
                    return Err(NotInherited { text });
                }
            }
        }
    }
    Ok(merged)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

// By hand, because an untagged enum would not tell what is wrong with a change.
impl<'de> Deserialize<'de> for ListSaid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = ListSaid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or `add` and `remove` with what is added to the inherited list and removed from it")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ListSaid, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ListSaid::Whole)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListSaid, A::Error> {
                ListChange::deserialize(MapAccessDeserializer::new(map)).map(ListSaid::Changed)
            }
        }
        deserializer.deserialize_any(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Said<ListSaid> {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn lists_are_changed_or_replaced() {
        for (said, inherited, expected) in [
            ("{add: [b], remove: [c]}", "[a, c, d]", "a b d"),
            // One in no order gets what is added at its end.
            ("{add: [b], remove: [c]}", "[d, c, a]", "d a b"),
            ("{add: [a]}", "[a, c]", "a c"),
            ("[x]", "[a, c]", "x"),
            ("[]", "[a, c]", ""),
            ("null", "[a, c]", ""),
            ("{add: [b]}", "null", "b"),
        ] {
            let merged = list(said).list_over(list(inherited)).unwrap().list();
            assert_eq!(merged.join(" "), expected, "{said}");
        }
        let kept = Said::Nothing.list_over(list("[a]")).unwrap();
        assert_eq!(kept.list(), ["a"]);
        let error = list("{remove: [z]}").list_over(list("[a]")).unwrap_err();
        assert_eq!(error.text, "remove: z");
        for wrong in ["{ad: [a]}", "text", "[[a]]", "{add: a}"] {
            assert!(serde_yaml::from_str::<ListSaid>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn maps_are_merged_by_key() {
        let map =
            |text: &str| -> BTreeMap<String, Said<String>> { serde_yaml::from_str(text).unwrap() };
        let merged = map_over(
            map("{A: '2', B: null, D: x}"),
            map("{A: '1', B: '1', C: '1'}"),
        );
        assert_eq!(merged.unwrap(), map("{A: '2', C: '1', D: x}"));
        let error = map_over(map("{Z: null}"), map("{A: '1'}")).unwrap_err();
        assert_eq!(error.text, "Z: null");
    }
}
