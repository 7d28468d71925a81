//! Relations between packages: `Depends`, `Pre-Depends`, `Provides`, `Replaces`.
//!
//! Takes what binary package indexes hold; restrictions on architectures and profiles (`[…]`,
//! `<…>`) belong to source packages and are refused. Grammar: Debian Policy 7.1.

use std::{fmt, str::FromStr};

use super::version::DebianVersion;

/// Most alternatives and groups taken from one field.
const MAX_RELATIONS: usize = 4096;

/// How a version is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionOperator {
    Earlier,
    /// `<=` (and the old `<`)
    EarlierOrEqual,
    Equal,
    /// `>=` (and the old `>`)
    LaterOrEqual,
    Later,
}

/// One name with its bound: `python3:any (>= 3.13~)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageRelation {
    /// The package's name, without an architecture qualifier.
    pub name: String,
    /// The qualifier after the colon, for instance `any`.
    pub qualifier: Option<String>,
    /// Which versions are meant; all if none.
    pub bound: Option<(VersionOperator, DebianVersion)>,
}

/// Relations of which one is enough: `a | b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyOf(pub Vec<PackageRelation>);

/// A whole field: groups that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AllOf(pub Vec<AnyOf>);

/// One entry of `Provides`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvidedName {
    pub name: String,
    /// The provided version; without one, no bound is ever met.
    pub version: Option<DebianVersion>,
}

/// A text that is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no relation between Debian packages")]
pub(crate) struct ParseRelationError {
    /// The text, cut off if long.
    pub text: String,
}

impl ParseRelationError {
    fn new(text: &str) -> Self {
        Self {
            text: text.chars().take(120).collect(),
        }
    }
}

impl VersionOperator {
    /// Whether `found` lies within the bound `self wanted`.
    fn admits(self, found: &DebianVersion, wanted: &DebianVersion) -> bool {
        match self {
            Self::Earlier => found < wanted,
            Self::EarlierOrEqual => found <= wanted,
            Self::Equal => found == wanted,
            Self::LaterOrEqual => found >= wanted,
            Self::Later => found > wanted,
        }
    }

    /// The sign as it is written.
    fn sign(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

impl PackageRelation {
    /// Whether a real package of this version meets the relation.
    pub(crate) fn admits(&self, version: &DebianVersion) -> bool {
        match &self.bound {
            None => true,
            Some((operator, wanted)) => operator.admits(version, wanted),
        }
    }

    /// Whether a provided name meets the relation: a bound needs a provided version.
    pub(crate) fn admits_provide(&self, provide: &ProvidedName) -> bool {
        self.name == provide.name
            && match (&self.bound, &provide.version) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some((operator, wanted)), Some(version)) => operator.admits(version, wanted),
            }
    }
}

impl FromStr for PackageRelation {
    type Err = ParseRelationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseRelationError::new(text);
        let (head, bound) = match text.split_once('(') {
            None => (text.trim(), None),
            Some((head, rest)) => {
                let inner = rest.trim_end().strip_suffix(')').ok_or_else(error)?.trim();
                let end = inner
                    .find(|letter| !"<>=".contains(letter))
                    .ok_or_else(error)?;
                let (sign, version) = inner.split_at(end);
                let operator = match sign {
                    "<<" => VersionOperator::Earlier,
                    "<=" | "<" => VersionOperator::EarlierOrEqual,
                    "=" => VersionOperator::Equal,
                    ">=" | ">" => VersionOperator::LaterOrEqual,
                    ">>" => VersionOperator::Later,
                    _ => return Err(error()),
                };
                let version = version.trim().parse().map_err(|_| error())?;
                (head.trim(), Some((operator, version)))
            }
        };
        let (name, qualifier) = match head.split_once(':') {
            None => (head, None),
            Some((name, qualifier)) => (name, Some(qualifier)),
        };
        if !is_name(name) || qualifier.is_some_and(|qualifier| !is_name(qualifier)) {
            return Err(error());
        }
        Ok(Self {
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
            bound,
        })
    }
}

/// Whether a text is a package name; a bit wider than Policy 5.6.1 (one letter is enough, capitals
/// pass), as real indexes are.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 200
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

impl FromStr for AllOf {
    type Err = ParseRelationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut groups = Vec::new();
        let mut count = 0;
        for group in text.split(',') {
            if group.trim().is_empty() {
                continue;
            }
            let mut alternatives = Vec::new();
            for relation in group.split('|') {
                count += 1;
                if count > MAX_RELATIONS {
                    return Err(ParseRelationError::new(text));
                }
                alternatives.push(relation.trim().parse()?);
            }
            groups.push(AnyOf(alternatives));
        }
        Ok(Self(groups))
    }
}

impl ProvidedName {
    /// Reads a `Provides` field.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, ParseRelationError> {
        let relations: AllOf = text.parse()?;
        let mut provides = Vec::new();
        for AnyOf(alternatives) in relations.0 {
            for relation in alternatives {
                let version = match relation.bound {
                    None => None,
                    Some((VersionOperator::Equal, version)) => Some(version),
                    Some(_) => return Err(ParseRelationError::new(text)),
                };
                provides.push(Self {
                    name: relation.name,
                    version,
                });
            }
        }
        Ok(provides)
    }
}

impl fmt::Display for PackageRelation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(formatter, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.bound {
            write!(formatter, " ({} {version})", operator.sign())?;
        }
        Ok(())
    }
}

impl fmt::Display for AnyOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, relation) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str(" | ")?;
            }
            relation.fmt(formatter)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_groups_alternatives_and_bounds() {
        let text = "libc6 (>= 2.38), python3:any(>=3.13~) |  foo,\n bar (<< 1:2-3),";
        let relations: AllOf = text.parse().unwrap();
        let shown: Vec<String> = relations.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "libc6 (>= 2.38)",
                "python3:any (>= 3.13~) | foo",
                "bar (<< 1:2-3)"
            ]
        );
        assert_eq!("".parse::<AllOf>().unwrap(), AllOf::default());
    }

    #[test]
    fn bounds_admit_what_they_say() {
        for (bound, lower, equal, higher) in [
            ("<<", true, false, false),
            ("<=", true, true, false),
            ("=", false, true, false),
            (">=", false, true, true),
            (">>", false, false, true),
        ] {
            let relation: PackageRelation = format!("a ({bound} 2)").parse().unwrap();
            for (version, expected) in [("1", lower), ("2", equal), ("3", higher)] {
                assert_eq!(
                    relation.admits(&version.parse().unwrap()),
                    expected,
                    "{bound} {version}"
                );
            }
        }
    }

    #[test]
    fn a_bound_needs_a_versioned_provide() {
        let provides = ProvidedName::parse_list("mta, awk (= 2.0)").unwrap();
        let relation = |text: &str| text.parse::<PackageRelation>().unwrap();
        let admitted = |text: &str| {
            provides
                .iter()
                .any(|provide| relation(text).admits_provide(provide))
        };
        assert!(admitted("mta") && admitted("awk") && admitted("awk (>= 1)"));
        assert!(!admitted("mta (>= 1)") && !admitted("awk (>= 3)") && !admitted("x"));
        assert!(ProvidedName::parse_list("awk (>= 2)").is_err());
    }

    #[test]
    fn refuses_what_is_no_relation() {
        for bad in [
            "a b",
            "(>= 1)",
            "a (1)",
            "a (>= )",
            "a (>= 1",
            "a [amd64]",
            "a <!x>",
            "|a",
            "a:",
            "-a",
        ] {
            assert!(bad.parse::<AllOf>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z0-9 ,|()<>=:.~ü-]{0,60}") {
            let _ = text.parse::<AllOf>();
            let _ = ProvidedName::parse_list(&text);
        }
    }
}
