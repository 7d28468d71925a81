//! What the word SOURCE on a command line means: a folder, a git repository, an archive, or standard
//! input.
//!
//! What is there on disk under the very name that was typed is that, whatever it looks like. Else a
//! name with `://` is a URL: of an archive if its path ends as archives do, of a git repository if
//! not; and `[user@]host:path` is git's short form for ssh (git-clone(1), "GIT URLS"). A `#` begins a
//! branch, tag or commit of a repository, or `sha256=…` of an archive. Remote helpers (`ext::…`) are
//! refused, because they run what they are told. A password in a URL is taken out here, and from
//! then on only git and the HTTP client see it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::oci::Digest;
use crate::report::{Explain, Explanation, Fate};

/// How names of archives end.
const ARCHIVE_ENDINGS: [&str; 8] = [
    ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip",
];
/// What git may be asked through.
const GIT_SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];
/// Longest name of a branch or tag, in bytes: a file name's limit.
const MAX_REFERENCE_BYTES: usize = 255;

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A folder as it is on disk.
    Folder(PathBuf),
    /// A commit of the checkout whose top is this folder, whatever lies in its working tree.
    Revision {
        /// The folder.
        checkout: PathBuf,
        /// Branch, tag or commit.
        reference: Reference,
    },
    /// A git repository elsewhere.
    Git(Repository),
    /// An archive on disk.
    Archive {
        /// The file.
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

/// A git repository to be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Its address without password; for http(s) without user too.
    pub address: String,
    /// Who asks, for http(s).
    pub login: Option<Login>,
    /// What is wanted of it; its default branch if nothing is said.
    pub reference: Option<Reference>,
}

impl Repository {
    /// Whether it lies on this machine's disk.
    pub(crate) fn is_local(&self) -> bool {
        self.address.starts_with("file://")
    }
}

/// User and password of a URL, decoded; neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The user; a token, often.
    pub user: String,
    /// The password; `None` where the URL has no `:`.
    pub password: Option<String>,
}

impl Login {
    fn has_control(&self) -> bool {
        let password = self.password.as_deref().unwrap_or_default();
        (self.user.chars().chain(password.chars())).any(char::is_control)
    }
}

impl fmt::Debug for Login {
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
pub(crate) struct Reference(String);

impl Reference {
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

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a word is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocationError {
    /// No branch, tag or commit has such a name.
    #[error("{text:?} names no branch, tag or commit")]
    Reference {
        /// What was typed.
        text: String,
    },
    /// `-r` and the fragment of the URL differ.
    #[error("-r {flag} and #{fragment} differ")]
    TwoReferences {
        /// `-r`.
        flag: String,
        /// Behind `#`.
        fragment: String,
    },
    /// `-r` where there are no revisions.
    #[error("{shown} has no revisions")]
    NoRevisions {
        /// The source, without password.
        shown: String,
        /// What kind of source it is.
        kind: &'static str,
    },
    /// A scheme that is not for sources.
    #[error("{shown} cannot be fetched")]
    Scheme {
        /// The source, without password.
        shown: String,
        /// Its scheme.
        scheme: String,
    },
    /// `file://host/…`, an empty host, a host that looks like an option.
    #[error("{shown} is no address")]
    Address {
        /// The source, without password.
        shown: String,
    },
    /// A fragment of an archive that is no hash.
    #[error("#{fragment} is no hash")]
    Fragment {
        /// Behind `#`.
        fragment: String,
    },
    /// An archive of a kind that is not read.
    #[error("{shown} is no archive that s2r reads")]
    ArchiveKind {
        /// The source.
        shown: String,
    },
    /// A name that is not UTF-8 and not on disk.
    #[error("{shown:?} is neither on disk nor a URL")]
    NotText {
        /// The source.
        shown: String,
    },
}

impl Explain for LocationError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Reference { text } => (
                format!("-r {text}"),
                "Names of branches and tags hold no blanks, `..`, `:`, `?`, `*`, `[` or `\\`, \
                 and begin with no `-` or `/`."
                    .to_owned(),
                "Give a branch, a tag or a commit id; a folder within the source is --context-dir."
                    .to_owned(),
            ),
            Self::TwoReferences { flag, fragment } => (
                format!("-r {flag}, #{fragment}"),
                "One build is of one revision.".to_owned(),
                "Leave one of them out.".to_owned(),
            ),
            Self::NoRevisions { shown, kind } => (
                shown.clone(),
                format!("-r picks a revision of a git repository, and this is {kind}."),
                "Leave -r out, or name the repository.".to_owned(),
            ),
            Self::Scheme { shown, scheme } => (
                shown.clone(),
                format!("{scheme} is no way by which s2r fetches sources."),
                "Use https, http, ssh, git or file, user@host:path, or an archive's http(s) URL."
                    .to_owned(),
            ),
            Self::Address { shown } => (
                shown.clone(),
                "It has no host, or one that begins with `-`, or is file:// with a host."
                    .to_owned(),
                "Write https://HOST/PATH, user@HOST:PATH, or file:///PATH with three slashes."
                    .to_owned(),
            ),
            Self::Fragment { fragment } => (
                format!("#{fragment}"),
                "Behind an archive's # stands what it must be: sha256= and 64 hex digits."
                    .to_owned(),
                "Correct the hash, or leave it out.".to_owned(),
            ),
            Self::ArchiveKind { shown } => (
                shown.clone(),
                "Sources are folders, git repositories and archives: .tar.gz, .tgz, .tar, .tar.xz, \
                 .tar.zst and .zip."
                    .to_owned(),
                "Name the project's folder, or pack it anew.".to_owned(),
            ),
            Self::NotText { shown } => (
                shown.clone(),
                "Nothing of this name is there, and URLs are text in UTF-8.".to_owned(),
                "Check the path; it is taken relative to the present folder.".to_owned(),
            ),
        };
        Explanation {
            fate: Fate::CommandLine,
            what: self.to_string(),
            place,
            why,
            next,
        }
    }
}

impl Location {
    /// Reads what was typed; paths are relative to `directory`, and `reference` is `-r`.
    pub(crate) fn parse(
        typed: &Path,
        reference: Option<&str>,
        directory: &Path,
    ) -> Result<Self, LocationError> {
        let reference = reference.map(Reference::parse).transpose()?;
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
    reference: Option<Reference>,
) -> Result<Location, LocationError> {
    let shown = || path.display().to_string();
    if path.is_dir() {
        let reference = one_reference(reference, fragment)?;
        return Ok(match reference {
            Some(reference) => Location::Revision {
                checkout: path.to_owned(),
                reference,
            },
            None => Location::Folder(path.to_owned()),
        });
    }
    let name = path.to_string_lossy().to_ascii_lowercase();
    if !path.is_file() {
        // Not there any more, a dangling link or a pipe: the walk tells.
        return Ok(Location::Folder(path.to_owned()));
    }
    if !is_archive(&name) {
        return Err(LocationError::ArchiveKind { shown: shown() });
    }
    without_revision(reference.as_ref(), &shown(), "an archive")?;
    Ok(Location::Archive {
        path: path.to_owned(),
        sha256: fragment.map(hash).transpose()?,
    })
}

fn of_url(
    text: &str,
    scheme: &str,
    rest: &str,
    reference: Option<Reference>,
) -> Result<Location, LocationError> {
    let shown = || super::git::without_credentials(text);
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
            return Ok(Location::Archive { path, sha256 });
        }
        let url = SecretUrl(format!("{plain_scheme}://{rest}"));
        return Ok(Location::ArchiveUrl { url, sha256 });
    }
    let login = user.filter(|_| is_http).map(login);
    // What git hands to credential helpers has a line for each of them.
    if login.as_ref().is_some_and(Login::has_control) {
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
    Ok(Location::Git(Repository {
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

fn of_short_ssh(text: &str, reference: Option<Reference>) -> Result<Location, LocationError> {
    let (address, fragment) = match text.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (text, None),
    };
    let address = super::git::without_credentials(address);
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
    Ok(Location::Git(Repository {
        login: None,
        reference: one_reference(reference, fragment)?,
        address,
    }))
}

fn is_archive(name: &str) -> bool {
    ARCHIVE_ENDINGS.iter().any(|ending| name.ends_with(ending))
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
    flag: Option<Reference>,
    fragment: Option<&str>,
) -> Result<Option<Reference>, LocationError> {
    let fragment = fragment
        .filter(|text| !text.is_empty())
        .map(Reference::parse)
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
    reference: Option<&Reference>,
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

fn login(text: &str) -> Login {
    match text.split_once(':') {
        Some((user, password)) => Login {
            user: decoded(user),
            password: Some(decoded(password)),
        },
        None => Login {
            user: decoded(text),
            password: None,
        },
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1); what is none stays.
fn decoded(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::folder;

    fn parse(text: &str) -> Result<Location, LocationError> {
        Location::parse(Path::new(text), None, Path::new("/nowhere"))
    }

    fn git(text: &str) -> Repository {
        match parse(text) {
            Ok(Location::Git(repository)) => repository,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_known_by_their_urls() {
        for (text, address, reference) in [
            ("https://h/x", "https://h/x", None),
            ("HTTPS://h/x.git", "https://h/x.git", None),
            ("http://h:1/x#v1.0", "http://h:1/x", Some("v1.0")),
            (
                "https://h/x.git?a=b#main",
                "https://h/x.git?a=b",
                Some("main"),
            ),
            ("git://h/x#", "git://h/x", None),
            ("git+https://h/x.zip", "https://h/x.zip", None),
            ("git+ssh://git@h/x", "ssh://git@h/x", None),
            ("ssh://git:secret@h:22/x", "ssh://git@h:22/x", None),
            ("file:///srv/x.git#a/b", "file:///srv/x.git", Some("a/b")),
            ("git@h:x/y.git#dev", "git@h:x/y.git", Some("dev")),
            ("h:x", "h:x", None),
            ("git@h:archive.tar.gz", "git@h:archive.tar.gz", None),
            ("user:token@h:x", "user@h:x", None),
        ] {
            let found = git(text);
            assert_eq!(found.address, address, "{text}");
            let found = found.reference.as_ref().map(Reference::as_str);
            assert_eq!(found, reference, "{text}");
        }
    }

    #[test]
    fn passwords_are_taken_out() {
        let found = git("https://us%40er:pa%3Ass@h/x#main");
        assert_eq!(found.address, "https://h/x");
        let login = found.login.clone().unwrap();
        assert_eq!(login.user, "us@er");
        assert_eq!(login.password.as_deref(), Some("pa:ss"));
        let token = git("https://token@h/x").login.unwrap();
        assert_eq!((token.user.as_str(), token.password), ("token", None));
        assert!(git("ssh://u:p@h/x").login.is_none());
        let shown = format!("{found:?} {:?}", parse("https://u:hidden@h/x.zip"));
        assert!(
            !shown.contains("pa:ss") && !shown.contains("hidden"),
            "{shown}"
        );
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%+1%zz%41"), "%+1%zzA");
    }

    #[test]
    fn archives_are_known_by_their_ends() {
        let hex = "ab".repeat(32);
        for (text, url, has_hash) in [
            ("https://h/x.tar.gz".to_owned(), "https://h/x.tar.gz", false),
            (
                "http://u:p@h/X.ZIP?a=1".to_owned(),
                "http://u:p@h/X.ZIP?a=1",
                false,
            ),
            (
                format!("https://h/x.tgz#sha256={hex}"),
                "https://h/x.tgz",
                true,
            ),
        ] {
            match parse(&text) {
                Ok(Location::ArchiveUrl { url: found, sha256 }) => {
                    assert_eq!(found.reveal(), url);
                    assert_eq!(sha256.is_some(), has_hash, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(
            parse("file:///x/y.tar"),
            Ok(Location::Archive { path, .. }) if path == Path::new("/x/y.tar")
        ));
        assert_eq!(parse("-"), Ok(Location::Stdin));
    }

    #[test]
    fn what_is_on_disk_counts_first() {
        let folder = folder(&[
            ("git@h:x/app.py", ""),
            ("a#b/app.py", ""),
            ("plain/app.py", ""),
            ("x.tar.gz", ""),
            ("x.rar", ""),
        ]);
        let at = |text: &str, reference: Option<&str>| {
            Location::parse(Path::new(text), reference, folder.path())
        };
        let path = |text: &str| folder.path().join(text);
        for text in ["git@h:x", "a#b", "plain", "missing"] {
            assert_eq!(at(text, None), Ok(Location::Folder(path(text))), "{text}");
        }
        let revision = |name: &str| {
            Ok(Location::Revision {
                checkout: path("plain"),
                reference: Reference(name.to_owned()),
            })
        };
        assert_eq!(at("plain#v1", None), revision("v1"));
        assert_eq!(at("plain", Some("HEAD~1")), revision("HEAD~1"));
        assert_eq!(at("plain#v1", Some("v1")), revision("v1"));
        let hash = format!("x.tar.gz#sha256={}", "0".repeat(64));
        assert!(matches!(
            at(&hash, None),
            Ok(Location::Archive {
                sha256: Some(_),
                ..
            })
        ));
        assert!(matches!(
            at("x.tar.gz", None),
            Ok(Location::Archive { sha256: None, .. })
        ));
        assert!(matches!(
            at("x.rar", None),
            Err(LocationError::ArchiveKind { .. })
        ));
        assert!(matches!(
            at("x.tar.gz", Some("main")),
            Err(LocationError::NoRevisions { .. })
        ));
        assert!(matches!(
            at("plain#v1", Some("v2")),
            Err(LocationError::TwoReferences { .. })
        ));
        assert!(matches!(
            at("-", Some("v2")),
            Err(LocationError::NoRevisions { .. })
        ));
    }

    #[test]
    fn what_could_run_or_mislead_is_refused() {
        for text in [
            "ext::sh -c x",
            "fd::3",
            "ftp://h/x",
            "s3://b/x.tar.gz",
            "git+ext://h/x",
        ] {
            assert!(
                matches!(parse(text), Err(LocationError::Scheme { .. })),
                "{text}"
            );
        }
        for text in [
            "https:///x",
            "file://rel/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-x@h/y",
            "-oProxyCommand=x:y",
            "u@-h:y",
            "h:",
            "https://h/x\ny",
            "https://u:p%0aurl=x@h/y",
        ] {
            assert!(
                matches!(parse(text), Err(LocationError::Address { .. })),
                "{text}"
            );
        }
        for text in [
            "-x", "", "a..b", "a b", "a:b", "a//b", "/a", "a/", "a\nb", "x@{1}",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
        assert!(Reference::parse(&"x".repeat(256)).is_err());
        for text in ["https://h/x.zip#main", "https://h/x.zip#sha256=12"] {
            assert!(
                matches!(parse(text), Err(LocationError::Fragment { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            parse("https://h/x#a b"),
            Err(LocationError::Reference { .. })
        ));
    }
}
