//! Requirement files, as pip reads them: requirements, constraints, and the options that may stand
//! between them, each with the file and line it came from.
//!
//! Specified in <https://pip.pypa.io/en/stable/reference/requirements-file-format/>. Nothing is
//! read here: the text of an included file comes from a callback, which decides what lies inside
//! the source. Refused: includes from servers, includes in a circle, more than a bounded number of
//! files and lines, options that pip does not have.

mod formats;
mod lines;
mod options;
mod requirement;

use std::collections::BTreeSet;
use std::fmt;

pub(crate) use formats::{FormatRule, FormatRules};
pub(crate) use lines::{decode as decode_requirements, expand_variables, requirement_lines};
#[cfg(test)]
pub(super) use options::option_names;
pub(crate) use options::{FolderLink, IndexOptions};
pub(super) use requirement::{Pep508Requirement, parse_requirement};
pub(crate) use requirement::{Requirement, RequirementKind};

use super::PackageName;
use super::hash::FileHash;
use crate::report::split_login;
use options::ParsedLine;

/// Longest chain of files that include each other.
const MAX_DEPTH: usize = 16;
/// Most files that one set of requirements may include.
const MAX_FILES: usize = 256;
/// Most lines of all files together.
const MAX_LINES: usize = 100_000;
/// Where the source lies in the image.
const SOURCE_IN_IMAGE: &str = "/opt/app-root/src";
/// Largest requirement file in bytes.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// A place in a file of the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The path in the source, with `/`.
    pub path: String,
    /// The line, counted from 1; of continued lines, the first. 0 where no line is known.
    pub line: usize,
}

impl Position {
    /// A place without a line.
    pub(crate) fn whole(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 0,
        }
    }

    /// What a package requires by its own metadata.
    pub(crate) fn of_metadata(name: &PackageName) -> Self {
        Self::whole(format!("what {name} requires"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.path),
            line => write!(f, "{}:{line}", self.path),
        }
    }
}

/// Everything that a set of requirement files says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequirementSet {
    /// What is wanted, in the order of the files.
    pub wishes: Vec<Requirement>,
    /// What bounds it, in the order of the files; never wanted by itself.
    pub constraints: Vec<Requirement>,
    /// Where packages come from and which are acceptable.
    pub options: IndexOptions,
    /// The files that were read, in order, each once.
    pub files: Vec<String>,
    /// Where a login is written down, in an address.
    pub logins: Vec<Position>,
    /// Options that this program reads over, as written, for a warning.
    pub ignored: Vec<(Position, String)>,
}

/// What is wrong with a line, without repeating its text where a secret may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// Neither a requirement nor a path nor a url.
    #[error("`{text}` is no requirement: {reason}")]
    Requirement {
        /// The line without credentials.
        text: String,
        /// What the grammar expected.
        reason: String,
    },
    /// pip has no such option in a requirement file.
    #[error("`{0}` is no option of a requirement file")]
    UnknownOption(String),
    /// An option that protects or changes what goes in, and is not followed.
    #[error("`{0}` is not followed, and other packages would go in")]
    NotFollowed(&'static str),
    /// An option without its value.
    #[error("`{0}` needs a value")]
    NoValue(String),
    /// A quote is opened and not closed.
    #[error("a quote is not closed")]
    Quote,
    /// The value of an option that takes an address.
    #[error("the address behind `{option}` cannot be used: {reason}")]
    Address {
        option: String,
        /// What is wrong with it.
        reason: super::UrlError,
    },
    /// A hash that is none.
    #[error("{0}")]
    Hash(super::HashError),
    /// The included file does not exist.
    #[error("`{0}` is not a file of the source")]
    NoSuchFile(String),
    /// The included file lies above the folder that is built.
    #[error(
        "`{0}` lies outside of the folder that is built; build a folder that has both (--context-dir)"
    )]
    Outside(String),
    /// Files of a server are not included.
    #[error("`{0}` is on a server; only files of the source are included")]
    RemoteFile(String),
    /// A file includes itself, directly or through others.
    #[error("`{0}` includes itself")]
    Circle(String),
    /// One of the bounds of this reader.
    #[error("there are more than {limit} {what}")]
    TooMany {
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// A variable that was not given to the build, or is empty.
    #[error("`${{{0}}}` is not among the variables that were given to the build")]
    Variable(String),
    /// A constraint with extras, or one that is a path: pip refuses both.
    #[error("`{0}` cannot be a constraint")]
    Constraint(String),
}

/// The first line of a text that a part of it stands in, from 1; 0 where it does not.
pub(crate) fn line_of(text: &str, part: &str) -> usize {
    let before = text.find(part).map(|at| &text[..at]);
    before.map_or(0, |before| before.matches('\n').count() + 1)
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {error}")]
pub(crate) struct ReadError {
    pub position: Position,
    /// What is wrong there.
    pub error: LineError,
}

/// What the reader asks of its surroundings.
pub(crate) struct ReadAccess<'a> {
    /// The bytes of a file of the source, by its path with `/` and without `..`; none if there is
    /// no such file.
    pub read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// The value of a variable for `${NAME}`; without one, the line is wrong.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Reads one requirement file and what it includes.
///
/// # Errors
/// The first line that cannot be understood, with its place.
pub(crate) fn parse(
    path: &str,
    text: &[u8],
    source: &ReadAccess<'_>,
) -> Result<RequirementSet, ReadError> {
    let mut reader = RequirementReader {
        source,
        found: RequirementSet::default(),
        seen: BTreeSet::new(),
        lines: 0,
    };
    reader.file(&mut vec![path.to_owned()], text, FileRole::Wanted)?;
    Ok(reader.found)
}

impl RequirementSet {
    /// Adds what another set of files says, as pip does with several `-r`.
    pub(crate) fn merge(&mut self, other: Self) {
        self.wishes.extend(other.wishes);
        self.constraints.extend(other.constraints);
        self.options.merge(other.options);
        self.files.extend(other.files);
        self.ignored.extend(other.ignored);
        self.logins.extend(other.logins);
    }

    /// Reads another file only as constraints and adds them.
    ///
    /// # Errors
    /// As [`parse`].
    pub(crate) fn constrain(
        &mut self,
        path: &str,
        text: &[u8],
        source: &ReadAccess<'_>,
    ) -> Result<(), ReadError> {
        let mut reader = RequirementReader {
            source,
            found: Self::default(),
            seen: BTreeSet::new(),
            lines: 0,
        };
        reader.file(&mut vec![path.to_owned()], text, FileRole::Constraint)?;
        self.merge(reader.found);
        Ok(())
    }
}

/// Whether a file was named by `-r` or by `-c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FileRole {
    Wanted,
    Constraint,
}

struct RequirementReader<'a> {
    source: &'a ReadAccess<'a>,
    found: RequirementSet,
    seen: BTreeSet<(String, FileRole)>,
    lines: usize,
}

impl RequirementReader<'_> {
    /// Reads one file; `chain` holds the files from the first to this one.
    fn file(
        &mut self,
        chain: &mut Vec<String>,
        text: &[u8],
        role: FileRole,
    ) -> Result<(), ReadError> {
        let path = chain.last().cloned().unwrap_or_default();
        if text.len() > MAX_FILE_BYTES {
            return Err(at(&path, 1, too_many("bytes in a file", MAX_FILE_BYTES)));
        }
        if !self.found.files.contains(&path) {
            self.found.files.push(path.clone());
        }
        for line in lines::logical_lines(&lines::decode(text)) {
            self.lines += 1;
            if self.lines > MAX_LINES {
                return Err(at(&path, line.number, too_many("lines", MAX_LINES)));
            }
            let position = Position {
                path: path.clone(),
                line: line.number,
            };
            if has_login(&line.text) {
                self.found.logins.push(position.clone());
            }
            expand_variables(&line.text, self.source.variable)
                .and_then(|text| options::parse_line(&text))
                .and_then(|parsed| self.take(parsed, &position, role))
                .map_err(|error| ReadError {
                    position: position.clone(),
                    error,
                })
                .and_then(|includes| {
                    includes
                        .into_iter()
                        .try_for_each(|include| self.include(chain, &position, include, role))
                })?;
        }
        Ok(())
    }

    /// Takes what a line says; the files it includes are given back.
    fn take(
        &mut self,
        parsed: ParsedLine,
        position: &Position,
        role: FileRole,
    ) -> Result<Vec<(String, FileRole)>, LineError> {
        let hashes: Vec<FileHash> = parsed
            .hashes
            .iter()
            .map(|text| text.parse().map_err(LineError::Hash))
            .collect::<Result<_, _>>()?;
        if let Some(text) = &parsed.requirement {
            let wish = Requirement::parse(text, parsed.editable, hashes, position.clone())?;
            match role {
                FileRole::Wanted => self.found.wishes.push(wish),
                FileRole::Constraint if wish.can_constrain() => self.found.constraints.push(wish),
                FileRole::Constraint => return Err(LineError::Constraint(wish.to_string())),
            }
        }
        let mut options = parsed.options;
        for link in &mut options.find_links_folders {
            link.file.clone_from(&position.path);
        }
        self.found.options.merge(options);
        for text in parsed.ignored {
            self.found.ignored.push((position.clone(), text));
        }
        let wanted = parsed.requirements.into_iter().map(|path| (path, role));
        let bounds = parsed
            .constraints
            .into_iter()
            .map(|path| (path, FileRole::Constraint));
        Ok(wanted.chain(bounds).collect())
    }

    fn include(
        &mut self,
        chain: &mut Vec<String>,
        position: &Position,
        (named, role): (String, FileRole),
        parent: FileRole,
    ) -> Result<(), ReadError> {
        let wrong = |error| ReadError {
            position: position.clone(),
            error,
        };
        if named.contains("://") {
            return Err(wrong(LineError::RemoteFile(super::location::shown(&named))));
        }
        let path = resolve_path(&position.path, &named)
            .ok_or_else(|| wrong(LineError::Outside(named.clone())))?;
        if chain.contains(&path) {
            return Err(wrong(LineError::Circle(path)));
        }
        if chain.len() >= MAX_DEPTH {
            return Err(wrong(too_many("files including each other", MAX_DEPTH)));
        }
        let role = role.max(parent);
        if !self.seen.insert((path.clone(), role)) {
            return Ok(());
        }
        if self.seen.len() > MAX_FILES {
            return Err(wrong(too_many("files", MAX_FILES)));
        }
        let text =
            (self.source.read)(&path).ok_or_else(|| wrong(LineError::NoSuchFile(path.clone())))?;
        chain.push(path);
        let done = self.file(chain, &text, role);
        chain.pop();
        done
    }
}

/// Whether a line as written holds a password or a token: a login of http that is no variable.
pub(crate) fn has_login(line: &str) -> bool {
    line.match_indices("://").any(|(at, mark)| {
        let scheme = line[..at]
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '+'))
            .next();
        let address = line[at + mark.len()..].split_whitespace().next();
        let login = address.and_then(|address| split_login(address).login);
        scheme.is_some_and(|scheme| scheme.contains("http"))
            && login.is_some_and(|login| !login.contains("${"))
    })
}

fn at(path: &str, line: usize, error: LineError) -> ReadError {
    ReadError {
        position: Position {
            path: path.to_owned(),
            line,
        },
        error,
    }
}

fn too_many(what: &'static str, limit: usize) -> LineError {
    LineError::TooMany { what, limit }
}

/// The path in the source that `named` means when it stands in `file`; none if it leaves the source
/// or is the source itself. The source's folder in the image is the source: what was written for
/// builds there names it.
pub(crate) fn resolve_path(file: &str, named: &str) -> Option<String> {
    resolve_folder(file, named).filter(|path| !path.is_empty())
}

/// The paths in the source that a requirement in `file` may mean, the likelier first: pip counts from
/// the folder that it runs in, which is the source's root, other tools from the file's own folder.
/// Empty for the source itself.
pub(crate) fn requirement_paths(file: &str, named: &str) -> impl Iterator<Item = String> {
    let by_pip = resolve_folder("", named);
    let by_file = resolve_folder(file, named).filter(|path| Some(path) != by_pip.as_ref());
    by_pip.into_iter().chain(by_file)
}

/// As [`resolve_path`]; empty for the source itself.
pub(crate) fn resolve_folder(file: &str, named: &str) -> Option<String> {
    let in_image = named
        .strip_prefix(SOURCE_IN_IMAGE)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if named.starts_with('/') && in_image.is_none() {
        return None;
    }
    let folder = file
        .rsplit_once('/')
        .filter(|_| in_image.is_none())
        .map_or("", |(folder, _)| folder);
    let named = in_image.unwrap_or(named);
    let path = climbed(folder, named);
    (!leaves(&path)).then_some(path)
}

/// The folder above.
const UP: &str = "..";

/// Whether a path leads out of the folder that it counts from.
fn leaves(path: &str) -> bool {
    path.split('/').next() == Some(UP)
}

/// The paths outside the source that a requirement in `file` may mean, in the order of [`requirement_paths`]; each
/// begins with `../`, and counts from the source's root.
pub(crate) fn paths_outside(file: &str, named: &str) -> impl Iterator<Item = String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let relative = (!named.starts_with('/')).then_some(named);
    let by_pip = relative.map(|named| climbed("", named));
    let by_file = relative.map(|named| climbed(folder, named));
    let by_file = by_file.filter(|path| Some(path) != by_pip.as_ref());
    let paths = by_pip.into_iter().chain(by_file);
    paths.filter(|path| leaves(path))
}

/// A path below a folder without `.` and, but for its beginning, without `..`.
pub(crate) fn climbed(folder: &str, named: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(named.split('/')) {
        match part {
            "" | "." => {}
            UP if parts.last().is_some_and(|last| *last != UP) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
