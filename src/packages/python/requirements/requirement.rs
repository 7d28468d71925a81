//! One wish: a project with versions, a direct address, or a path; and what pip takes for which.

use std::fmt;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName, VersionOrUrl};

use super::{LineError, Position};
use crate::packages::python::hash::FileHash;
use crate::packages::python::location::{DirectUrl, UrlError, shown};
use crate::packages::python::marker::{self, MAX_PARENTHESES};
use crate::packages::python::wheel_name::WheelFileName;

/// Longest requirement in bytes.
const MAX_REQUIREMENT_BYTES: usize = 4096;

/// A requirement of PEP 508, direct addresses in our own type.
pub(crate) type Pep508Requirement = pep508_rs::Requirement<DirectUrl>;

/// One wish of a requirement file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub position: Position,
    pub kind: RequirementKind,
    /// The hashes that a file must have one of; empty if any file will do.
    pub hashes: Vec<FileHash>,
}

/// The kinds of wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequirementKind {
    /// A named project: `flask>=3`, `flask @ https://…`.
    Named(Pep508Requirement),
    /// A path or address whose name only its content tells: `.`, `-e ./lib`, `git+https://…`,
    /// `https://…/x.tar.gz`. It has to be built to be installed.
    Unnamed {
        /// What stands on the line.
        address: DirectUrl,
        editable: bool,
        /// `[a,b]` behind it.
        extras: Vec<ExtraName>,
        /// Where it is wanted.
        marker: MarkerTree,
    },
}

impl Requirement {
    /// Reads the requirement part of a line.
    pub(super) fn parse(
        text: &str,
        editable: bool,
        hashes: Vec<FileHash>,
        position: Position,
    ) -> Result<Self, LineError> {
        let kind = parse_kind(text, editable)?;
        Ok(Self {
            position,
            kind,
            hashes,
        })
    }

    /// Reads one requirement of our own making.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(text: &str, position: Position) -> Result<Self, LineError> {
        Self::parse(text, false, Vec::new(), position)
    }

    /// The requirement, if the wish has a name.
    pub(crate) fn named(&self) -> Option<&Pep508Requirement> {
        match &self.kind {
            RequirementKind::Named(requirement) => Some(requirement),
            RequirementKind::Unnamed { .. } => None,
        }
    }

    /// The project's name, if it is known.
    pub(crate) fn name(&self) -> Option<&PackageName> {
        self.named().map(|requirement| &requirement.name)
    }

    /// The address, if the wish names one.
    pub(crate) fn address(&self) -> Option<&DirectUrl> {
        match &self.kind {
            RequirementKind::Named(requirement) => match &requirement.version_or_url {
                Some(VersionOrUrl::Url(address)) => Some(address),
                _ => None,
            },
            RequirementKind::Unnamed { address, .. } => Some(address),
        }
    }

    /// Whether the wish holds in an environment.
    pub(crate) fn applies(&self, markers: &MarkerEnvironment) -> bool {
        self.marker().evaluate(markers, &[])
    }

    /// Where it is wanted.
    pub(crate) fn marker(&self) -> &MarkerTree {
        match &self.kind {
            RequirementKind::Named(requirement) => &requirement.marker,
            RequirementKind::Unnamed { marker, .. } => marker,
        }
    }

    /// The extras that are wanted of it.
    pub(crate) fn extras(&self) -> &[ExtraName] {
        match &self.kind {
            RequirementKind::Named(requirement) => &requirement.extras,
            RequirementKind::Unnamed { extras, .. } => extras,
        }
    }

    /// The one version wanted, if it is `==` a version without a wildcard, or `===`.
    pub(crate) fn pin(&self) -> Option<&pep440_rs::Version> {
        let Some(VersionOrUrl::VersionSpecifier(specifiers)) =
            self.named().and_then(|named| named.version_or_url.as_ref())
        else {
            return None;
        };
        let mut all = specifiers.iter();
        match (all.next(), all.next()) {
            (Some(only), None)
                if matches!(
                    only.operator(),
                    pep440_rs::Operator::Equal | pep440_rs::Operator::ExactEqual
                ) =>
            {
                Some(only.version())
            }
            _ => None,
        }
    }

    /// pip takes constraints with a name and without extras.
    pub(super) fn can_constrain(&self) -> bool {
        self.named()
            .is_some_and(|requirement| requirement.extras.is_empty())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RequirementKind::Named(requirement) => requirement.fmt(f),
            RequirementKind::Unnamed {
                address,
                editable,
                extras,
                marker,
            } => {
                let names: Vec<&str> = extras.iter().map(AsRef::as_ref).collect();
                let start = if *editable { "-e " } else { "" };
                write!(f, "{start}{address}")?;
                if !names.is_empty() {
                    write!(f, "[{}]", names.join(","))?;
                }
                marker
                    .contents()
                    .map_or(Ok(()), |marker| write!(f, " ; {marker}"))
            }
        }
    }
}

/// Reads a requirement that has a name, as it stands in other files than those of requirements.
pub(in crate::packages::python) fn parse_requirement(
    text: &str,
) -> Result<Pep508Requirement, LineError> {
    match parse_kind(text, false)? {
        RequirementKind::Named(requirement) => Ok(requirement),
        RequirementKind::Unnamed { .. } => Err(LineError::Requirement {
            text: shown(text),
            reason: "it has no name".to_owned(),
        }),
    }
}

fn parse_kind(text: &str, editable: bool) -> Result<RequirementKind, LineError> {
    let wrong = |reason: String| LineError::Requirement {
        text: shown(text),
        reason,
    };
    if text.len() > MAX_REQUIREMENT_BYTES {
        return Err(wrong(format!(
            "it is longer than {MAX_REQUIREMENT_BYTES} bytes"
        )));
    }
    if text.matches('(').count() > MAX_PARENTHESES {
        return Err(wrong(format!(
            "it has more than {MAX_PARENTHESES} parentheses"
        )));
    }
    if editable || is_address(text) {
        return parse_address(text, editable).map_err(|error| wrong(error.to_string()));
    }
    // The reader of requirements counts bytes where it should count characters, and panics.
    if !text.is_ascii() {
        return Err(wrong("names, versions and markers are of ASCII".to_owned()));
    }
    if let Some((_, marker)) = text.split_once(';') {
        marker::check_tilde(marker).map_err(wrong)?;
    }
    // It also panics on names and extras that end in punctuation.
    if let Some(name) = bad_name(text) {
        return Err(wrong(format!("`{name}` is no name")));
    }
    Pep508Requirement::parse(&without_last_comma(text), ".")
        .map(RequirementKind::Named)
        .map_err(|error| wrong(first_line(&error.message.to_string())))
}

/// `flask>=3,` is one that pip reads, and so do its peers.
fn without_last_comma(text: &str) -> String {
    let (head, marker) = text.find(';').map_or((text, ""), |at| text.split_at(at));
    match head.trim_end().strip_suffix(',') {
        Some(head) if !head.contains('@') => format!("{head} {marker}"),
        _ => text.to_owned(),
    }
}

/// A word among name and extras that neither can be.
fn bad_name(text: &str) -> Option<&str> {
    let end = text
        .find(['<', '>', '=', '!', '~', ';', '@', '('])
        .unwrap_or(text.len());
    text[..end]
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
        .find(|word| word.ends_with(['.', '-', '_']))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// As pip tells paths and addresses from names: a scheme in front, a separator in the part before
/// extras and markers, a dot in front, or an archive's ending.
fn is_address(text: &str) -> bool {
    let head = text.split([';', ' ', '@']).next().unwrap_or_default();
    let head_ends_in = |ending: &str| head.to_ascii_lowercase().ends_with(ending);
    head.starts_with('.')
        || head.contains('/')
        || [".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2"]
            .iter()
            .any(|ending| head_ends_in(ending))
}

/// Reads an address that stands without `name @` in front. A wheel tells its name by its file name.
fn parse_address(text: &str, editable: bool) -> Result<RequirementKind, UrlError> {
    let (address, marker) = text
        .split_once(" ;")
        .map_or((text, None), |(address, marker)| {
            (address.trim(), Some(marker.trim()))
        });
    let (address, extras) = split_extras(address);
    let parsed = DirectUrl::parse(address)?;
    let file_name = match &parsed {
        DirectUrl::Archive(url) => url.file_name(),
        DirectUrl::Repository(_) => String::new(),
        DirectUrl::Path(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let name = file_name
        .parse::<WheelFileName>()
        .map(|wheel| wheel.name)
        .ok()
        .or_else(|| egg_name(&parsed));
    let marker = marker.map_or(Ok(MarkerTree::TRUE), |text| {
        marker::parse(text).map_err(|_| UrlError::BadCharacter)
    })?;
    match name {
        Some(name) if !editable => Ok(RequirementKind::Named(Pep508Requirement {
            name,
            extras,
            version_or_url: Some(VersionOrUrl::Url(parsed)),
            marker,
            origin: None,
        })),
        _ => Ok(RequirementKind::Unnamed {
            address: parsed,
            editable,
            extras,
            marker,
        }),
    }
}

/// `#egg=name` of old addresses.
fn egg_name(address: &DirectUrl) -> Option<PackageName> {
    let (DirectUrl::Archive(url) | DirectUrl::Repository(url)) = address else {
        return None;
    };
    let egg = url
        .fragment()?
        .split('&')
        .find_map(|part| part.strip_prefix("egg="))?;
    egg.split(['[', '-']).next()?.parse().ok()
}

/// Cuts `[a,b]` off the end of a path or url.
fn split_extras(text: &str) -> (&str, Vec<ExtraName>) {
    let Some((address, extras)) = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['))
    else {
        return (text, Vec::new());
    };
    let names: Result<Vec<ExtraName>, _> = extras
        .split(',')
        .map(|extra| extra.trim().parse())
        .collect();
    names.map_or((text, Vec::new()), |names| (address, names))
}
