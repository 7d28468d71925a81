//! Indexes that a project names, with the logins that the tools' variables hold for them, and which of
//! them a package is looked for in.

use std::collections::BTreeMap;

use super::error::WheelError;
use super::settings::IndexSettings;
use super::variables::{index_address, with_login};
use crate::packages::python::conditions::{
    IndexPin, NamedIndex, ResolutionRules, fits, login_variable,
};
use crate::packages::python::switches::named_address;
use crate::packages::python::{
    LineError, PackageName, PackageUrl, Position, ReadError, expand_variables,
};

/// The public index among a project's own stands for what the caller's variables say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicIndex {
    /// An index of its own.
    Own(PackageUrl),
    /// What pip's options say: the public index, a mirror of it, and further ones.
    Usual,
}

/// Indexes by name, and the packages that are tied to one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NamedIndexes {
    indexes: Vec<(NamedIndex, PublicIndex)>,
    ties: BTreeMap<String, IndexPin>,
}

impl NamedIndexes {
    /// Reads addresses and logins. Before the indexes of the project come those of uv's variables, each for what
    /// those before it lack; one of the same name stands in for the project's.
    ///
    /// # Errors
    /// An address that is none, or names a variable that was not given to the build.
    pub(super) fn new(
        conditions: &ResolutionRules,
        environment: &BTreeMap<String, String>,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, WheelError> {
        let mut indexes = of_variables(environment)?;
        let mut of_project = Vec::new();
        for index in &conditions.indexes {
            let is_it = |(other, _): &(NamedIndex, PublicIndex)| {
                !other.name.is_empty() && other.name == index.name
            };
            let place = if let Some(at) = indexes.iter().position(is_it) {
                indexes.remove(at).1
            } else if crate::packages::python::is_public_index(&index.url) {
                PublicIndex::Usual
            } else {
                let url = address(index, given).map_err(|error| {
                    WheelError::Requirements(ReadError {
                        // Where in the file is found by who has it.
                        position: Position::whole(conditions.file),
                        error,
                    })
                })?;
                PublicIndex::Own(with_login(url, index.login.as_deref(), environment))
            };
            of_project.push((index.clone(), place));
        }
        if of_project.is_empty() && !indexes.is_empty() {
            of_project.push((NamedIndex::default(), PublicIndex::Usual));
        }
        for (rank, (index, _)) in indexes.iter_mut().enumerate() {
            index.rank = rank;
        }
        for (index, _) in &mut of_project {
            index.rank += indexes.len();
        }
        indexes.append(&mut of_project);
        Ok(Self {
            indexes,
            ties: conditions.ties.clone(),
        })
    }

    /// Whether the project says more than pip's options can.
    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty() && self.ties.is_empty()
    }

    /// The addresses of indexes of its own.
    pub(super) fn urls(&self) -> impl Iterator<Item = &PackageUrl> {
        self.indexes.iter().filter_map(|(_, place)| match place {
            PublicIndex::Own(url) => Some(url),
            PublicIndex::Usual => None,
        })
    }

    /// The variables that would hold the login of the index at an address.
    pub(super) fn login_variables(&self, url: &PackageUrl) -> Option<[String; 2]> {
        let is_it = |place: &PublicIndex| matches!(place, PublicIndex::Own(own) if own.as_str() == url.as_str());
        let mut indexes = self.indexes.iter();
        let (index, _) = indexes.find(|(_, place)| is_it(place))?;
        index.login_variables()
    }

    /// Whether a package comes from one index alone.
    pub(super) fn is_tied_to_index(&self, name: &PackageName) -> bool {
        matches!(self.ties.get(name.as_ref()), Some(IndexPin::Index(_)))
    }

    /// Where a package is looked for: groups of indexes, each asked only for what those before it lack.
    ///
    /// # Errors
    /// It comes from a folder, a repository or an address, and somebody looks for it in an index.
    pub(super) fn groups<'a>(
        &'a self,
        usual: &'a IndexSettings,
        name: &PackageName,
    ) -> Result<Vec<Vec<&'a PackageUrl>>, WheelError> {
        let mut groups: BTreeMap<usize, Vec<&PackageUrl>> = BTreeMap::new();
        for (index, place) in self.indexes_for(name)? {
            let group = groups.entry(index.rank).or_default();
            match place {
                PublicIndex::Own(url) => group.push(url),
                PublicIndex::Usual => group.extend(usual.usual()),
            }
        }
        if self.indexes.is_empty() {
            groups.entry(0).or_default().extend(usual.usual());
        }
        Ok(groups.into_values().collect())
    }

    fn indexes_for(
        &self,
        name: &PackageName,
    ) -> Result<Vec<&(NamedIndex, PublicIndex)>, WheelError> {
        let all = self.indexes.iter();
        match self.ties.get(name.as_ref()) {
            Some(IndexPin::Elsewhere(place)) => Err(WheelError::Elsewhere {
                name: name.clone(),
                place: place.clone(),
            }),
            Some(IndexPin::Index(tied)) => {
                Ok(all.filter(|(index, _)| index.name == *tied).collect())
            }
            None => {
                let has = |patterns: &[String]| patterns.iter().any(|one| fits(one, name.as_ref()));
                let including: Vec<_> = all
                    .clone()
                    .filter(|(index, _)| has(&index.include))
                    .collect();
                if !including.is_empty() {
                    return Ok(including);
                }
                let is_asked = |index: &NamedIndex| {
                    !index.is_explicit && index.include.is_empty() && !has(&index.exclude)
                };
                Ok(all.filter(|(index, _)| is_asked(index)).collect())
            }
        }
    }
}

/// The address with values for its variables.
fn address(index: &NamedIndex, given: &BTreeMap<String, String>) -> Result<PackageUrl, LineError> {
    let text = expand_variables(&index.url, &|name| given.get(name).cloned())?;
    PackageUrl::of_index(&text).map_err(|reason| LineError::Address {
        option: format!("the index {}", index.name),
        reason,
    })
}

/// The indexes that uv's variables add to others.
fn of_variables(
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(NamedIndex, PublicIndex)>, WheelError> {
    let mut found = Vec::new();
    for variable in ["UV_INDEX", "UV_EXTRA_INDEX_URL"] {
        let value = environment.get(variable).map_or("", String::as_str);
        for word in value.split_whitespace() {
            let (name, address) = named_address(word);
            let index = NamedIndex {
                name: name.to_owned(),
                login: login_variable("UV_INDEX", name),
                ..NamedIndex::default()
            };
            let url = index_address(variable, address)?;
            let url = with_login(url, index.login.as_deref(), environment);
            found.push((index, PublicIndex::Own(url)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::IndexOptions;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn index(name: &str, url: &str) -> NamedIndex {
        NamedIndex {
            name: name.to_owned(),
            url: url.to_owned(),
            login: Some(format!("UV_INDEX_{}", name.to_uppercase())),
            ..NamedIndex::default()
        }
    }

    fn conditions() -> ResolutionRules {
        ResolutionRules {
            file: "pyproject.toml",
            indexes: vec![
                NamedIndex {
                    is_explicit: true,
                    ..index("corp", "https://corp/simple")
                },
                NamedIndex {
                    include: vec!["own-*".to_owned()],
                    ..index("own", "https://${U}@own/simple")
                },
                NamedIndex {
                    rank: 1,
                    ..index("public", crate::packages::python::PUBLIC_INDEX)
                },
            ],
            ties: BTreeMap::from([
                ("tied".to_owned(), IndexPin::Index("corp".to_owned())),
                ("lib".to_owned(), IndexPin::Elsewhere("path lib".to_owned())),
            ]),
            ..ResolutionRules::default()
        }
    }

    #[test]
    fn packages_are_looked_for_where_they_come_from() {
        let environment = map(&[("PIP_INDEX_URL", "https://mirror/simple")]);
        let usual = IndexSettings::new(&IndexOptions::default(), &environment).unwrap();
        let named = NamedIndexes::new(&conditions(), &environment, &map(&[("U", "me")])).unwrap();
        for (name, expected) in [
            ("tied", "https://corp/simple"),
            ("own-x", "https://own/simple"),
            ("other", "https://mirror/simple"),
        ] {
            let groups = named.groups(&usual, &name.parse().unwrap()).unwrap();
            let urls: Vec<_> = groups.concat().iter().map(|url| url.as_str()).collect();
            assert_eq!(urls, [expected], "{name}");
        }
        let lib = "lib".parse().unwrap();
        assert!(named.groups(&usual, &lib).is_err());
        assert!(named.is_tied_to_index(&"tied".parse().unwrap()));
        assert!(!named.is_tied_to_index(&lib));
    }

    #[test]
    fn indexes_of_variables_come_first_and_stand_in_for_those_of_their_name() {
        let urls = |rules: &ResolutionRules, pairs: &[(&str, &str)], name: &str| {
            let environment = map(pairs);
            let usual = IndexSettings::new(&IndexOptions::default(), &environment).unwrap();
            let named = NamedIndexes::new(rules, &environment, &map(&[("U", "me")])).unwrap();
            let groups = named.groups(&usual, &name.parse().unwrap()).unwrap();
            let urls = groups.iter().map(|group| {
                let urls = group.iter().map(|url| url.reveal().reveal().to_owned());
                urls.collect::<Vec<_>>().join(" ")
            });
            urls.collect::<Vec<_>>()
        };
        let none = ResolutionRules::default();
        let set = [
            ("UV_INDEX", "a=https://a/s https://b/s"),
            ("UV_EXTRA_INDEX_URL", "https://c/s"),
            ("UV_DEFAULT_INDEX", "d=https://d/s"),
            ("UV_INDEX_A_USERNAME", "ann"),
            ("UV_INDEX_D_PASSWORD", "p"),
            ("PIP_EXTRA_INDEX_URL", "https://e/s"),
        ];
        let expected = [
            "https://ann@a/s",
            "https://b/s",
            "https://c/s",
            "https://:p@d/s https://e/s",
        ];
        assert_eq!(urls(&none, &set, "x"), expected);
        let set = [("UV_INDEX", "corp=https://other/s https://b/s")];
        assert_eq!(urls(&conditions(), &set, "tied"), ["https://other/s"]);
        let all = ["https://b/s", crate::packages::python::PUBLIC_INDEX];
        assert_eq!(urls(&conditions(), &set, "x"), all);
    }

    #[test]
    fn logins_are_those_of_the_index() {
        let environment = map(&[
            ("UV_INDEX_CORP_USERNAME", "bob"),
            ("UV_INDEX_CORP_PASSWORD", "a/b@c"),
        ]);
        let named = NamedIndexes::new(&conditions(), &environment, &map(&[("U", "me")])).unwrap();
        let logins: Vec<_> = named
            .urls()
            .map(|url| url.user_info().map(|login| login.reveal().to_owned()))
            .collect();
        assert_eq!(
            logins,
            [Some("bob:a%2Fb%40c".to_owned()), Some("me".to_owned())]
        );
        assert!(NamedIndexes::new(&conditions(), &environment, &BTreeMap::new()).is_err());
    }
}
