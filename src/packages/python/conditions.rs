//! What the files of other tools say about packages beyond what a requirement file can say: indexes by
//! name, which packages come from which of them, bounds on what others need.

use std::collections::BTreeMap;

use super::{FormatRules, UploadLimit};

/// When pre-releases may count, in uv's words.
pub(crate) const PRE_RELEASES: [&str; 5] = [
    "disallow",
    "allow",
    "if-necessary",
    "explicit",
    "if-necessary-or-explicit",
];
/// Which versions may be taken, in uv's words.
pub(crate) const RESOLUTIONS: [&str; 3] = ["highest", "lowest", "lowest-direct"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolutionRules {
    /// The file that sets them.
    pub file: &'static str,
    /// Indexes in place of those of pip's options; none leaves these as they are. The public one stands
    /// for what the caller's variables put in its place.
    pub indexes: Vec<NamedIndex>,
    /// Packages that come from one place alone, by normalised name.
    pub ties: BTreeMap<String, IndexPin>,
    /// Requirements that bound what others need, of PEP 508.
    pub constraints: Vec<String>,
    /// Requirements that stand in for what others say of the same package.
    pub overrides: Vec<String>,
    /// What files are taken of those that there are.
    pub choosing: Choosing,
    /// What has no effect.
    pub told: Vec<Told>,
}

/// What files are taken of those that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choosing {
    /// When pre-releases count, in uv's words.
    pub pre_releases: Option<String>,
    /// Which versions are taken, in uv's words.
    pub resolution: Option<String>,
    /// Until when files may have been uploaded.
    pub uploaded: Option<UploadLimit>,
    /// Which packages must come from source, and which must not.
    pub formats: FormatRules,
    /// Requirements that bound what builds need.
    pub build_constraints: Vec<String>,
    /// Metadata that stand for those of packages, as a text of TOML for uv.
    pub metadata: String,
}

/// A setting that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The setting, with its place.
    pub what: String,
    /// Why, or what to do instead.
    pub why: &'static str,
}

/// An index that a project names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NamedIndex {
    pub name: String,
    /// Its address as written: with `${NAME}`, and with a login maybe.
    pub url: String,
    /// Indexes of one rank are asked together; those of the next rank only for what none of them has.
    pub rank: usize,
    /// Asked for packages that are tied to it and for no others.
    pub is_explicit: bool,
    /// Patterns of the packages that come from it, and from no index without such a pattern.
    pub include: Vec<String>,
    /// Patterns of the packages that it is not asked for.
    pub exclude: Vec<String>,
    /// What the variables begin with that hold its login; `_USERNAME` and `_PASSWORD` follow.
    pub login: Option<String>,
}

/// The one place that a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexPin {
    /// The index of this name.
    Index(String),
    /// A folder, a repository or an address, in words. Whoever wishes for the package itself gets it from
    /// there; where only others need it, nobody does.
    Elsewhere(String),
}

impl ResolutionRules {
    /// What of them holds for what builds need: where packages come from, and until when.
    pub(crate) fn of_builds(&self) -> Self {
        Self {
            constraints: self.choosing.build_constraints.clone(),
            overrides: Vec::new(),
            told: Vec::new(),
            choosing: Choosing {
                uploaded: self.choosing.uploaded.clone(),
                ..Choosing::default()
            },
            ..self.clone()
        }
    }

    /// Whether packages come from elsewhere than pip's options say.
    pub(crate) fn has_sources(&self) -> bool {
        !self.indexes.is_empty() || !self.ties.is_empty()
    }
}

impl NamedIndex {
    /// The variables with its login: user and password.
    pub(crate) fn login_variables(&self) -> Option<[String; 2]> {
        let start = self.login.as_ref()?;
        Some([format!("{start}_USERNAME"), format!("{start}_PASSWORD")])
    }
}

/// What the variables of an index's login begin with: `UV_INDEX_MY_CORP` for the index `my-corp` of uv. There is none
/// without a tool that has such variables, or for an index without a name.
pub(crate) fn login_variable(tool: &str, name: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let name: String = name
        .chars()
        .map(|c| {
            if is_word(c) {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    (!tool.is_empty() && !name.is_empty()).then(|| format!("{tool}_{name}"))
}

/// Whether a name fits a pattern of the shell: `*` and `?` alone, which is what names need.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // Where the last star was, and how much of the name it took.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut done) = (0, 0);
    while done < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, done));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[done] => {
                at += 1;
                done += 1;
            }
            _ => match &mut star {
                Some((start, taken)) => {
                    *taken += 1;
                    at = *start + 1;
                    done = *taken;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("corp-*", "corp-api", true),
            ("corp-*", "corp", false),
            ("*", "anything", true),
            ("a?c", "abc", true),
            ("*-api-*", "x-api-y-api-z", true),
            ("*-api", "x-api-y", false),
            ("", "a", false),
            ("a", "a", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn variables_are_named_as_the_tools_name_them() {
        assert_eq!(
            login_variable("UV_INDEX", "my-corp.x").as_deref(),
            Some("UV_INDEX_MY_CORP_X")
        );
        assert_eq!(login_variable("UV_INDEX", ""), None);
    }
}
