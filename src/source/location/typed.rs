//! Reads the word that was typed: what is on disk under it first, then URLs, then git's short form.

use std::path::{Path, PathBuf};

use super::{GitReference, GitRepository, LocationError, SecretUrl, SourceLocation, UrlLogin};
use crate::oci::Digest;
use crate::report::{is_secret_query, split_login};
use crate::source::git::without_credentials;

/// How names of archives end.
const ARCHIVE_ENDINGS: [&str; 8] = [
    ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip",
];
/// What git may be asked through.
const GIT_SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

impl SourceLocation {
    /// Reads what was typed; paths are relative to `directory`, and `reference` is `-r`.
    pub(crate) fn parse(
        typed: &Path,
        reference: Option<&str>,
        directory: &Path,
    ) -> Result<Self, LocationError> {
        let reference = reference.map(GitReference::parse).transpose()?;
        if typed == Path::new("-") {
            let shown = "standard input";
            return without_revision(reference.as_ref(), shown, "a stream").map(|()| Self::Stdin);
        }
        let on_disk = directory.join(typed);
        if on_disk.symlink_metadata().is_ok() {
            return at_path(&on_disk, None, reference);
        }
        let Some(text) = typed.to_str() else {
            return Err(LocationError::NotText {
                shown: typed.display().to_string(),
            });
        };
        if let Some((scheme, rest)) = text.split_once("://") {
            return of_url(text, &scheme.to_ascii_lowercase(), rest, reference);
        }
        if let Some((scheme, _)) = text.split_once("::")
            && !scheme.contains('/')
        {
            return Err(LocationError::Scheme {
                shown: text.to_owned(),
                scheme: scheme.to_owned(),
            });
        }
        if is_short_ssh(text) {
            return of_short_ssh(text, reference);
        }
        match text.split_once('#') {
            Some((path, fragment)) if directory.join(path).symlink_metadata().is_ok() => {
                at_path(&directory.join(path), Some(fragment), reference)
            }
            // The walk over the folder says best that it is not there.
            _ => Ok(Self::Folder(on_disk)),
        }
    }
}

/// What lies at a path.
fn at_path(
    path: &Path,
    fragment: Option<&str>,
    reference: Option<GitReference>,
) -> Result<SourceLocation, LocationError> {
    let shown = || path.display().to_string();
    if path.is_dir() {
        let reference = one_reference(reference, fragment)?;
        return Ok(match reference {
            Some(reference) => SourceLocation::Revision {
                checkout: path.to_owned(),
                reference,
            },
            None => SourceLocation::Folder(path.to_owned()),
        });
    }
    let name = path.to_string_lossy().to_ascii_lowercase();
    if !path.is_file() {
        // Not there any more, a dangling link or a pipe: the walk tells.
        return Ok(SourceLocation::Folder(path.to_owned()));
    }
    if !is_archive(&name) {
        return Err(LocationError::ArchiveKind { shown: shown() });
    }
    without_revision(reference.as_ref(), &shown(), "an archive")?;
    Ok(SourceLocation::Archive {
        path: path.to_owned(),
        sha256: fragment.map(hash).transpose()?,
    })
}

fn of_url(
    text: &str,
    scheme: &str,
    rest: &str,
    reference: Option<GitReference>,
) -> Result<SourceLocation, LocationError> {
    let shown = || without_credentials(text);
    let (plain_scheme, is_git) = match scheme.strip_prefix("git+") {
        Some(plain) => (plain, true),
        None => (scheme, false),
    };
    if !GIT_SCHEMES.contains(&plain_scheme) {
        return Err(LocationError::Scheme {
            shown: shown(),
            scheme: scheme.to_owned(),
        });
    }
    if split_login(rest).is_cut {
        return Err(LocationError::Login { shown: shown() });
    }
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (rest, None),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let is_file = plain_scheme == "file";
    if host.is_empty() != is_file || host.starts_with('-') || rest.contains(char::is_control) {
        return Err(LocationError::Address { shown: shown() });
    }
    let is_http = plain_scheme == "http" || plain_scheme == "https";
    let end_of_path = path.split('?').next().unwrap_or_default();
    if !is_git && (is_http || is_file) && is_archive(&end_of_path.to_ascii_lowercase()) {
        without_revision(reference.as_ref(), &shown(), "an archive")?;
        let sha256 = fragment.map(hash).transpose()?;
        if is_file {
            let path = PathBuf::from(path);
            return Ok(SourceLocation::Archive { path, sha256 });
        }
        let url = SecretUrl(format!("{plain_scheme}://{rest}"));
        return Ok(SourceLocation::ArchiveUrl { url, sha256 });
    }
    // An address is kept in the store, where git reads it.
    if path
        .split_once('?')
        .is_some_and(|(_, query)| is_secret_query(query))
    {
        return Err(LocationError::Query { shown: shown() });
    }
    let login = user.filter(|_| is_http).map(login);
    // What git hands to credential helpers has a line for each of them.
    if login.as_ref().is_some_and(UrlLogin::has_control) {
        return Err(LocationError::Address { shown: shown() });
    }
    let user = match user {
        // The user is a part of the address here, and no password is ever asked for.
        Some(user) if plain_scheme == "ssh" => {
            format!("{}@", user.split(':').next().unwrap_or_default())
        }
        _ => String::new(),
    };
    if user.starts_with('-') {
        return Err(LocationError::Address { shown: shown() });
    }
    Ok(SourceLocation::Git(GitRepository {
        address: format!("{plain_scheme}://{user}{host}{path}"),
        login,
        reference: one_reference(reference, fragment)?,
    }))
}

/// Git's rule: a colon that no slash precedes.
fn is_short_ssh(text: &str) -> bool {
    let head = text.split('/').next().unwrap_or_default();
    head.split_once(':')
        .is_some_and(|(host, _)| !host.is_empty() && !text.starts_with('#'))
}

fn of_short_ssh(
    text: &str,
    reference: Option<GitReference>,
) -> Result<SourceLocation, LocationError> {
    let (address, fragment) = match text.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (text, None),
    };
    let address = without_credentials(address);
    let (host, path) = address.split_once(':').unwrap_or((&address, ""));
    let name = host.rsplit('@').next().unwrap_or_default();
    let is_wrong = host.starts_with('-')
        || name.is_empty()
        || name.starts_with('-')
        || path.is_empty()
        || address.contains(|c: char| c.is_control() || c.is_whitespace());
    if is_wrong {
        return Err(LocationError::Address { shown: address });
    }
    Ok(SourceLocation::Git(GitRepository {
        login: None,
        reference: one_reference(reference, fragment)?,
        address,
    }))
}

fn is_archive(name: &str) -> bool {
    ARCHIVE_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A file's name without the ending of an archive.
pub(super) fn without_ending(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let ending = ARCHIVE_ENDINGS
        .iter()
        .find(|ending| lower.ends_with(**ending));
    ending.map_or(name, |ending| &name[..name.len() - ending.len()])
}

fn hash(fragment: &str) -> Result<Digest, LocationError> {
    fragment
        .strip_prefix("sha256=")
        .and_then(|hex| format!("sha256:{hex}").to_ascii_lowercase().parse().ok())
        .ok_or_else(|| LocationError::Fragment {
            fragment: fragment.to_owned(),
        })
}

fn one_reference(
    flag: Option<GitReference>,
    fragment: Option<&str>,
) -> Result<Option<GitReference>, LocationError> {
    let fragment = fragment
        .filter(|text| !text.is_empty())
        .map(GitReference::parse)
        .transpose()?;
    match (flag, fragment) {
        (Some(flag), Some(fragment)) if flag != fragment => Err(LocationError::TwoReferences {
            flag: flag.0,
            fragment: fragment.0,
        }),
        (flag, fragment) => Ok(flag.or(fragment)),
    }
}

fn without_revision(
    reference: Option<&GitReference>,
    shown: &str,
    kind: &'static str,
) -> Result<(), LocationError> {
    match reference {
        None => Ok(()),
        Some(_) => Err(LocationError::NoRevisions {
            shown: shown.to_owned(),
            kind,
        }),
    }
}

fn login(text: &str) -> UrlLogin {
    match text.split_once(':') {
        Some((user, password)) => UrlLogin {
            user: decoded(user),
            password: Some(decoded(password)),
        },
        None => UrlLogin {
            user: decoded(text),
            password: None,
        },
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1); what is none stays.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}
