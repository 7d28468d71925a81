//! What the word SOURCE on a command line means: a folder, a git repository, an archive, or standard
//! input.
//!
//! What is there on disk under the very name that was typed is that, whatever it looks like. Else a
//! name with `://` is a URL: of an archive if its path ends as archives do, of a git repository if
//! not; and `[user@]host:path` is git's short form for ssh (git-clone(1), "GIT URLS"). A `#` begins a
//! branch, tag or commit of a repository, or `sha256=…` of an archive. Remote helpers (`ext::…`) are
//! refused, because they run what they are told. A password in a URL is taken out here, and from
//! then on only git and the HTTP client see it.

mod error;
mod typed;

pub(crate) use error::LocationError;

use std::fmt;
use std::path::PathBuf;

use crate::oci::Digest;

/// Longest name of a branch or tag, in bytes: a file name's limit.
const MAX_REFERENCE_BYTES: usize = 255;

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceLocation {
    /// A folder as it is on disk.
    Folder(PathBuf),
    /// A commit of the checkout whose top is this folder, whatever lies in its working tree.
    Revision {
        checkout: PathBuf,
        /// Branch, tag or commit.
        reference: GitReference,
    },
    /// A git repository elsewhere.
    Git(GitRepository),
    /// An archive on disk.
    Archive {
        path: PathBuf,
        /// What its bytes must be, if the user said so.
        sha256: Option<Digest>,
    },
    /// An archive to be fetched.
    ArchiveUrl {
        /// Its URL without fragment; may hold a password.
        url: SecretUrl,
        /// What its bytes must be, if the user said so.
        sha256: Option<Digest>,
    },
    /// A tar on standard input.
    Stdin,
}

impl SourceLocation {
    /// What people call it: the last part of its path, without the ending of an archive. `None` for what has
    /// no name, such as standard input.
    pub(crate) fn title(&self) -> Option<String> {
        let last = |address: &str| {
            let path = address.split(['?', '#']).next().unwrap_or_default();
            let path = path.trim_end_matches('/');
            Some(path.rsplit(['/', ':']).next()?.to_owned())
        };
        match self {
            // `.` and `..` have names too.
            Self::Folder(path) | Self::Revision { checkout: path, .. } => path
                .canonicalize()
                .ok()?
                .file_name()?
                .to_str()
                .map(ToOwned::to_owned),
            Self::Git(repository) => last(&repository.address)
                .map(|name| name.strip_suffix(".git").unwrap_or(&name).to_owned()),
            Self::Archive { path, .. } => {
                Some(typed::without_ending(path.file_name()?.to_str()?).to_owned())
            }
            Self::ArchiveUrl { url, .. } => {
                last(url.reveal()).map(|name| typed::without_ending(&name).to_owned())
            }
            Self::Stdin => None,
        }
    }
}

/// A git repository to be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitRepository {
    /// Its address without password; for http(s) without user too.
    pub address: String,
    /// Who asks, for http(s).
    pub login: Option<UrlLogin>,
    /// What is wanted of it; its default branch if nothing is said.
    pub reference: Option<GitReference>,
}

impl GitRepository {
    /// Whether it lies on this machine's disk.
    pub(crate) fn is_local(&self) -> bool {
        self.address.starts_with("file://")
    }
}

/// User and password of a URL, decoded; neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlLogin {
    /// The user; a token, often.
    pub user: String,
    /// The password; `None` where the URL has no `:`.
    pub password: Option<String>,
}

impl UrlLogin {
    fn has_control(&self) -> bool {
        let password = self.password.as_deref().unwrap_or_default();
        (self.user.chars().chain(password.chars())).any(char::is_control)
    }
}

impl fmt::Debug for UrlLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// A URL that may hold a password, for the HTTP client alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretUrl(String);

impl SecretUrl {
    /// The URL as it is asked for.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::git::without_credentials(&self.0))
    }
}

/// A branch, tag or commit, as typed; safe as an argument of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitReference(String);

impl GitReference {
    /// Reads it: at least what git-check-ref-format(1) asks for, `~` and `^` excepted.
    pub(crate) fn parse(text: &str) -> Result<Self, LocationError> {
        let is_wrong = text.is_empty()
            || text.len() > MAX_REFERENCE_BYTES
            || text.starts_with(['-', '/'])
            || text.ends_with(['/', '.'])
            || text.contains("..")
            || text.contains("//")
            || text.contains("@{")
            || text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || ":?*[\\".contains(c));
        if is_wrong {
            return Err(LocationError::Reference {
                text: text.to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
