//! One logical line taken apart into requirement and options, by pip's rules: what comes before
//! the first word that starts with `-` is the requirement, the rest is split as a shell would.

use super::LineError;
use super::formats::FormatRules;
use crate::packages::python::PackageUrl;

/// Where packages come from, and which of them are acceptable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexOptions {
    /// `--index-url`: the one index, if not the default one. The last one wins.
    pub index: Option<PackageUrl>,
    /// `--extra-index-url`, in order.
    pub extra_indexes: Vec<PackageUrl>,
    /// `--find-links`: pages with links to files.
    pub find_links: Vec<PackageUrl>,
    /// `--find-links` with folders.
    pub find_links_folders: Vec<FolderLink>,
    /// `--no-index`: only what find-links offer.
    pub no_index: bool,
    /// `--pre`: pre-releases are as good as releases.
    pub pre_releases: bool,
    /// `--trusted-host`: hosts whose certificate pip would not check.
    pub trusted_hosts: Vec<String>,
    pub require_hashes: bool,
    /// `--no-binary` and `--only-binary`.
    pub formats: FormatRules,
}

/// A folder that `--find-links` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderLink {
    /// The file that names it, in the source; empty for a variable.
    pub file: String,
    /// The folder, as written.
    pub path: String,
}

impl std::fmt::Display for FolderLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.file.is_empty() {
            write!(f, "PIP_FIND_LINKS {}", self.path)
        } else {
            write!(f, "{}: --find-links {}", self.file, self.path)
        }
    }
}

impl IndexOptions {
    /// Adds later options to earlier ones.
    pub(crate) fn merge(&mut self, later: Self) {
        if later.index.is_some() {
            self.index = later.index;
        }
        append(&mut self.extra_indexes, later.extra_indexes);
        append(&mut self.find_links, later.find_links);
        append(&mut self.find_links_folders, later.find_links_folders);
        append(&mut self.trusted_hosts, later.trusted_hosts);
        self.formats.merge(later.formats);
        self.no_index |= later.no_index;
        self.pre_releases |= later.pre_releases;
        self.require_hashes |= later.require_hashes;
    }
}

fn append<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// What one line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedLine {
    pub(super) requirement: Option<String>,
    pub(super) editable: bool,
    pub(super) hashes: Vec<String>,
    pub(super) requirements: Vec<String>,
    pub(super) constraints: Vec<String>,
    pub(super) options: IndexOptions,
    pub(super) ignored: Vec<String>,
}

/// What an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OptionMeaning {
    Requirement,
    Constraint,
    Editable,
    Hash,
    IndexUrl,
    ExtraIndexUrl,
    FindLinks,
    TrustedHost,
    NoBinary,
    OnlyBinary,
    NoIndex,
    Pre,
    RequireHashes,
    /// Changes how a package is built, or nothing at all; with a value.
    IgnoredValue,
    /// The same without a value.
    IgnoredFlag,
    /// Wheels go before source distributions: asks for what is done anyway, unless the newest is preferred.
    PreferBinary,
    /// Is not followed, and says which releases count.
    Refused,
}

/// Every option that pip takes in a requirement file.
const OPTIONS: &[(&str, OptionMeaning)] = &[
    ("--requirement", OptionMeaning::Requirement),
    ("-r", OptionMeaning::Requirement),
    ("--constraint", OptionMeaning::Constraint),
    ("-c", OptionMeaning::Constraint),
    ("--editable", OptionMeaning::Editable),
    ("-e", OptionMeaning::Editable),
    ("--hash", OptionMeaning::Hash),
    ("--index-url", OptionMeaning::IndexUrl),
    ("--pypi-url", OptionMeaning::IndexUrl),
    ("-i", OptionMeaning::IndexUrl),
    ("--extra-index-url", OptionMeaning::ExtraIndexUrl),
    ("--find-links", OptionMeaning::FindLinks),
    ("-f", OptionMeaning::FindLinks),
    ("--trusted-host", OptionMeaning::TrustedHost),
    ("--no-binary", OptionMeaning::NoBinary),
    ("--no-index", OptionMeaning::NoIndex),
    ("--pre", OptionMeaning::Pre),
    ("--require-hashes", OptionMeaning::RequireHashes),
    ("--only-binary", OptionMeaning::OnlyBinary),
    ("--prefer-binary", OptionMeaning::PreferBinary),
    ("--only-final", OptionMeaning::Refused),
    ("--all-releases", OptionMeaning::Refused),
    ("--use-feature", OptionMeaning::IgnoredValue),
    ("--global-option", OptionMeaning::IgnoredValue),
    ("--install-option", OptionMeaning::IgnoredValue),
    ("--config-settings", OptionMeaning::IgnoredValue),
    ("--config-setting", OptionMeaning::IgnoredValue),
    ("-C", OptionMeaning::IgnoredValue),
    ("--no-build-isolation", OptionMeaning::IgnoredFlag),
    ("--process-dependency-links", OptionMeaning::IgnoredFlag),
    ("--always-unzip", OptionMeaning::IgnoredFlag),
    ("-Z", OptionMeaning::IgnoredFlag),
];

/// The options, for the page that says what is done with each.
#[cfg(test)]
pub(in crate::packages::python) fn option_names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

/// Takes one logical line apart.
pub(super) fn parse_line(line: &str) -> Result<ParsedLine, LineError> {
    let (requirement, options) = split_requirement(line);
    let mut parsed = ParsedLine {
        requirement: (!requirement.is_empty()).then(|| requirement.to_owned()),
        ..ParsedLine::default()
    };
    let (options, marker) = split_marker(options);
    let mut words = split_words(options)?.into_iter();
    while let Some(word) = words.next() {
        let (name, kind, attached) = find_option(&word)?;
        let mut value = || {
            attached
                .clone()
                .or_else(|| words.next())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| LineError::NoValue(name.to_owned()))
        };
        match kind {
            OptionMeaning::Requirement => parsed.requirements.push(value()?),
            OptionMeaning::Constraint => parsed.constraints.push(value()?),
            OptionMeaning::Editable => {
                parsed.editable = true;
                parsed.requirement = Some(value()? + marker);
            }
            OptionMeaning::Hash => parsed.hashes.push(value()?),
            OptionMeaning::PreferBinary => parsed.options.formats.prefer_wheels(),
            OptionMeaning::Refused => return Err(LineError::NotFollowed(name)),
            OptionMeaning::IgnoredFlag => parsed.ignored.push(name.to_owned()),
            OptionMeaning::IgnoredValue => {
                value()?;
                parsed.ignored.push(name.to_owned());
            }
            OptionMeaning::NoIndex => parsed.options.no_index = true,
            OptionMeaning::Pre => parsed.options.pre_releases = true,
            OptionMeaning::RequireHashes => parsed.options.require_hashes = true,
            OptionMeaning::IndexUrl
            | OptionMeaning::ExtraIndexUrl
            | OptionMeaning::FindLinks
            | OptionMeaning::TrustedHost
            | OptionMeaning::NoBinary
            | OptionMeaning::OnlyBinary => {
                set_index_option(&mut parsed.options, kind, name, &value()?)?;
            }
        }
    }
    Ok(parsed)
}

fn set_index_option(
    options: &mut IndexOptions,
    kind: OptionMeaning,
    name: &str,
    value: &str,
) -> Result<(), LineError> {
    let wrong = |reason| LineError::Address {
        option: name.to_owned(),
        reason,
    };
    let address = || PackageUrl::parse(value).map_err(wrong);
    let index = || PackageUrl::of_index(value).map_err(wrong);
    match kind {
        OptionMeaning::IndexUrl => options.index = Some(index()?),
        OptionMeaning::ExtraIndexUrl => options.extra_indexes.push(index()?),
        OptionMeaning::FindLinks
            if value.starts_with("http://") || value.starts_with("https://") =>
        {
            options.find_links.push(address()?);
        }
        OptionMeaning::FindLinks => options.find_links_folders.push(FolderLink {
            file: String::new(),
            path: value.to_owned(),
        }),
        OptionMeaning::TrustedHost => options.trusted_hosts.push(value.to_owned()),
        OptionMeaning::OnlyBinary => options.formats.only_binary(value),
        _ => options.formats.no_binary(value),
    }
    Ok(())
}

/// Finds the option that a word is: exact, `--name=value`, or `-xvalue`.
fn find_option(word: &str) -> Result<(&'static str, OptionMeaning, Option<String>), LineError> {
    let (long, value) = match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
        _ => (word, None),
    };
    for (name, kind) in OPTIONS {
        if *name == long {
            return Ok((name, *kind, value));
        }
        let is_short = !name.starts_with("--");
        if let Some(value) = word
            .strip_prefix(name)
            .filter(|_| is_short && !word.starts_with("--"))
        {
            return Ok((name, *kind, Some(value.to_owned())));
        }
    }
    Err(LineError::UnknownOption(
        crate::packages::python::location::shown(long),
    ))
}

/// Splits before the first word that starts with `-`.
fn split_requirement(line: &str) -> (&str, &str) {
    let mut before_is_blank = true;
    for (at, c) in line.char_indices() {
        if c == '-' && before_is_blank {
            return (line[..at].trim(), &line[at..]);
        }
        before_is_blank = c.is_whitespace();
    }
    (line.trim(), "")
}

/// Takes the marker off `-e ./lib ; python_version > "3"`, from its blank on. poetry exports such lines.
/// pip passes over their markers; here they mean what they say.
fn split_marker(options: &str) -> (&str, &str) {
    let at = options
        .find(" ;")
        .filter(|_| options.starts_with("-e") || options.starts_with("--editable"));
    options.split_at(at.unwrap_or(options.len()))
}

/// Splits into words at blanks, with quotes and backslashes as in a shell.
fn split_words(text: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => {
                word.get_or_insert_default().extend(chars.next());
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(LineError::Quote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::super::formats::FormatRule;
    use super::*;

    #[test]
    fn splits_requirement_and_options() {
        let parsed =
            parse_line("a[x]==1 ; python_version<'4' --hash=sha256:1 --hash sha256:2").unwrap();
        assert_eq!(
            parsed.requirement.as_deref(),
            Some("a[x]==1 ; python_version<'4'")
        );
        assert_eq!(parsed.hashes, ["sha256:1", "sha256:2"]);
    }

    #[test]
    fn knows_every_form_of_an_option() {
        for line in [
            "-r a.txt",
            "-ra.txt",
            "--requirement a.txt",
            "--requirement=a.txt",
            "-r 'a.txt'",
        ] {
            assert_eq!(parse_line(line).unwrap().requirements, ["a.txt"], "{line}");
        }
        let parsed = parse_line("-e ./x").unwrap();
        assert!(parsed.editable);
        assert_eq!(parsed.requirement.as_deref(), Some("./x"));
        let parsed = parse_line("-e ./x[y] ; python_version > '3'").unwrap();
        assert_eq!(
            parsed.requirement.as_deref(),
            Some("./x[y] ; python_version > '3'")
        );
        let parsed =
            parse_line("-i https://u:p@h/simple --extra-index-url=https://g/ --pre").unwrap();
        assert_eq!(parsed.options.index.unwrap().as_str(), "https://h/simple");
        assert!(parsed.options.pre_releases);
        let parsed = parse_line("-f ./wheels --find-links https://h/links").unwrap();
        assert_eq!(parsed.options.find_links_folders[0].path, "./wheels");
        assert_eq!(parsed.options.find_links.len(), 1);
        let parsed = parse_line("--no-binary a,b --only-binary :all: --global-option=x").unwrap();
        let a = "a".parse().unwrap();
        assert_eq!(parsed.options.formats.of(&a), FormatRule::Wheel);
        assert_eq!(parsed.ignored, ["--global-option"]);
    }

    #[test]
    fn refuses_what_pip_refuses() {
        assert_eq!(
            parse_line("--frobnicate"),
            Err(LineError::UnknownOption("--frobnicate".into()))
        );
        assert_eq!(parse_line("-r"), Err(LineError::NoValue("-r".into())));
        assert_eq!(parse_line("-r 'a"), Err(LineError::Quote));
        for line in [
            "-i index.example/simple",
            "-i file:///etc/passwd",
            "-i ftp://h/x",
        ] {
            assert!(
                matches!(parse_line(line), Err(LineError::Address { .. })),
                "{line}"
            );
        }
    }
}
