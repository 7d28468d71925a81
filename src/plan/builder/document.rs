//! A builder file as it is written, and the files that it extends, joined to one.
//!
//! `extends` names a builder compiled in, or a file by its path from the folder of the file that says so. What the
//! file itself says goes before what it inherits: value by value in `debian`, `environment` and `labels`, lists as
//! wholes unless they are changed by `add` and `remove`; `null` takes away. Its name is never inherited.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Spanned;

use super::debian_part::DebianPart;
use super::said::{ListSaid, NotInherited, Said, map_over};
use super::{BuilderError, EmbeddedBuilder, ExtendsFault, PipChoice, embedded};

/// Longest builder file taken, in bytes.
pub(super) const MAX_BUILDER_BYTES: usize = 1 << 20;
/// Most files that one builder is joined from.
pub(super) const MAX_FILES: usize = 8;

/// The text of a builder file.
#[derive(Debug, Clone)]
pub(crate) struct BuilderText {
    /// The file, or the name of a builder compiled in; names it in errors.
    pub origin: String,
    pub text: String,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BuilderDocument {
    extends: Option<Spanned<String>>,
    pub name: Option<String>,
    pub description: Said<String>,
    pub remark: Said<String>,
    pub python: Said<String>,
    pub glibc: Said<String>,
    pub interpreter: Said<String>,
    pub debian: Said<DebianPart>,
    pub image: Said<String>,
    pub build_packages: Said<ListSaid>,
    pub pip: Said<PipChoice>,
    pub user: Said<String>,
    pub ports: Said<Vec<u16>>,
    pub environment: BTreeMap<String, Said<String>>,
    pub labels: BTreeMap<String, Said<String>>,
    pub platforms: Said<Vec<String>>,
}

/// A file of a chain, what it extends set apart.
#[derive(Debug)]
pub(super) struct DocumentOf {
    pub origin: String,
    pub document: BuilderDocument,
}

/// The file and those that it extends, each upon the next.
///
/// # Errors
/// A file that is no builder file or too long, extends what is not there, itself, or too many; what `file` says.
pub(super) fn read_chain<E: From<BuilderError>>(
    first: BuilderText,
    file: impl Fn(&str, &str) -> Result<Option<BuilderText>, E>,
) -> Result<Vec<DocumentOf>, E> {
    let mut chain: Vec<DocumentOf> = Vec::new();
    let mut next = Some(first);
    while let Some(text) = next.take() {
        let mut document = parse(&text)?;
        let extends = document.extends.take();
        chain.push(DocumentOf {
            origin: text.origin,
            document,
        });
        if let Some(extends) = extends {
            next = Some(extended(&chain, &extends, &file)?);
        }
    }
    Ok(chain)
}

fn parse(text: &BuilderText) -> Result<BuilderDocument, BuilderError> {
    let BuilderText { origin, text } = text;
    if text.len() > MAX_BUILDER_BYTES {
        return Err(BuilderError::TooLong {
            origin: origin.clone(),
            limit: MAX_BUILDER_BYTES,
        });
    }
    serde_yaml::from_str(text).map_err(|error| BuilderError::Unreadable {
        origin: origin.clone(),
        reason: error.to_string(),
    })
}

/// What the last file of a chain extends.
fn extended<E: From<BuilderError>>(
    chain: &[DocumentOf],
    extends: &Spanned<String>,
    file: impl Fn(&str, &str) -> Result<Option<BuilderText>, E>,
) -> Result<BuilderText, E> {
    let name = extends.value.as_str();
    let origin = chain.last().map_or("", |last| last.origin.as_str());
    let wrong = |fault| BuilderError::Extends {
        place: format!("{origin}:{}", extends.defined.line()),
        name: name.to_owned(),
        fault,
    };
    if chain.len() == MAX_FILES {
        return Err(wrong(ExtendsFault::Deep { limit: MAX_FILES }).into());
    }
    let found = match EmbeddedBuilder::named(name) {
        Some(builder) => Some(BuilderText {
            origin: builder.name.to_owned(),
            text: builder.text.to_owned(),
        }),
        None => file(origin, name)?,
    };
    let Some(found) = found else {
        let known = embedded().iter().map(|builder| builder.name).collect();
        return Err(wrong(ExtendsFault::Unknown { known }).into());
    };
    if let Some(at) = chain.iter().position(|one| one.origin == found.origin) {
        let names = chain[at..].iter().map(|one| one.origin.clone()).collect();
        return Err(wrong(ExtendsFault::Loop { names }).into());
    }
    Ok(found)
}

impl DocumentOf {
    /// This, upon the file that it extends.
    ///
    /// # Errors
    /// It takes away what is not there.
    pub(super) fn over(self, inherited: BuilderDocument) -> Result<Self, BuilderError> {
        let Self { origin, document } = self;
        let document = document
            .over(inherited)
            .map_err(
                |(field, NotInherited { text })| BuilderError::NotInherited {
                    origin: origin.clone(),
                    field,
                    text,
                },
            )?;
        Ok(Self { origin, document })
    }
}

impl BuilderDocument {
    fn over(self, inherited: Self) -> Result<Self, (&'static str, NotInherited)> {
        let debian = match (self.debian, inherited.debian) {
            (Said::Value(part), inherited) => {
                Said::Value(part.over(inherited.value().unwrap_or_default())?)
            }
            (said, inherited) => said.over(inherited),
        };
        let build_packages = self
            .build_packages
            .list_over(inherited.build_packages)
            .map_err(|error| ("build_packages", error))?;
        Ok(Self {
            extends: None,
            name: self.name,
            description: self.description.over(inherited.description),
            remark: self.remark.over(inherited.remark),
            python: self.python.over(inherited.python),
            glibc: self.glibc.over(inherited.glibc),
            interpreter: self.interpreter.over(inherited.interpreter),
            debian,
            image: self.image.over(inherited.image),
            build_packages,
            pip: self.pip.over(inherited.pip),
            user: self.user.over(inherited.user),
            ports: self.ports.over(inherited.ports),
            environment: map_over(self.environment, inherited.environment)
                .map_err(|error| ("environment", error))?,
            labels: map_over(self.labels, inherited.labels).map_err(|error| ("labels", error))?,
            platforms: self.platforms.over(inherited.platforms),
        })
    }
}

/// The values of a joined map.
pub(super) fn values(map: BTreeMap<String, Said<String>>) -> BTreeMap<String, String> {
    map.into_iter()
        .filter_map(|(key, said)| Some((key, said.value()?)))
        .collect()
}
