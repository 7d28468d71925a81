//! Addresses of indexes and files, with what must stay secret kept apart from what may be said.
//!
//! `https://user:password@host/simple` is split when it is read: [`PackageUrl`] prints without the
//! credentials, and [`UrlSecret`] never prints at all. No other type of this program holds a url
//! that came from a user.

use std::fmt;
use std::path::Path;

use crate::report::split_login;

/// The public index of Python packages, where nothing else is said.
pub(crate) const PUBLIC_INDEX: &str = "https://pypi.org/simple";
/// The host that it had before, which old locks still name; it leads to the same pages.
const OLD_PUBLIC_HOST: &str = "pypi.python.org";
/// Longest url that is read, in bytes; longer than any server accepts.
const MAX_URL_BYTES: usize = 8192;

/// Whether an address is the public index, under its name of today or its old one.
pub(crate) fn is_public_index(url: &str) -> bool {
    let place = |url: &str| {
        let (_, rest) = url.trim_end_matches('/').split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        Some((host.to_ascii_lowercase(), path.to_owned()))
    };
    let (Some((host, path)), Some((public, simple))) = (place(url), place(PUBLIC_INDEX)) else {
        return false;
    };
    path == simple && (host == public || host == OLD_PUBLIC_HOST)
}

/// A secret. It has no `Display`, and `Debug` shows stars.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UrlSecret(String);

impl UrlSecret {
    pub(crate) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UrlSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// An address with a scheme (`https://…`, `file:///…`), its credentials kept apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackageUrl {
    clean: String,
    user_info: Option<UrlSecret>,
}

/// Text that is no url. Never carries the text: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// No `scheme://` in front.
    #[error("it has no `scheme://`")]
    NoScheme,
    /// Nothing where the host should be.
    #[error("it has no host")]
    NoHost,
    /// A user or password with a character that ends it.
    #[error("its user or password holds `/`, `?` or `#`: write %2F, %3F or %23")]
    Login,
    /// An index that is not asked by http.
    #[error(
        "an index is asked by https:// or http://; folders of wheels are named by --find-links"
    )]
    NoIndex,
    /// Blanks or control characters.
    #[error("it has blanks or control characters")]
    BadCharacter,
    /// Longer than any server accepts.
    #[error("it is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
}

impl PackageUrl {
    /// Reads an absolute url and takes `user:password@` out of it.
    ///
    /// # Errors
    /// No scheme, no host, blanks inside, too long.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::BadCharacter);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !is_scheme {
            return Err(UrlError::NoScheme);
        }
        let split = split_login(rest);
        if split.is_cut {
            return Err(UrlError::Login);
        }
        let host_end = split.rest.find(['/', '?', '#']);
        let host = &split.rest[..host_end.unwrap_or(split.rest.len())];
        let scheme = scheme.to_ascii_lowercase();
        if host.is_empty() && !scheme.ends_with("file") {
            return Err(UrlError::NoHost);
        }
        Ok(Self {
            clean: format!("{scheme}://{}", split.rest),
            user_info: split.login.map(UrlSecret::new),
        })
    }

    /// Reads the address of a package index, which is asked by http or https.
    ///
    /// # Errors
    /// As [`PackageUrl::parse`]; another scheme.
    pub(crate) fn of_index(text: &str) -> Result<Self, UrlError> {
        // `file:` may have no `//`.
        if text.trim_start().to_ascii_lowercase().starts_with("file:") {
            return Err(UrlError::NoIndex);
        }
        let url = Self::parse(text)?;
        let scheme = url.clean.split("://").next().unwrap_or_default();
        match scheme {
            "http" | "https" => Ok(url),
            _ => Err(UrlError::NoIndex),
        }
    }

    /// The address without credentials, to be asked for, stored and hashed. A query may grant access:
    /// what is printed is made by `Display`.
    pub(crate) fn as_str(&self) -> &str {
        &self.clean
    }

    /// `user:password` as it stood in the url, still percent-encoded.
    pub(crate) fn user_info(&self) -> Option<&UrlSecret> {
        self.user_info.as_ref()
    }

    /// The same address, sent with these credentials.
    pub(crate) fn with_user_info(self, user_info: Option<UrlSecret>) -> Self {
        Self { user_info, ..self }
    }

    /// The url with its credentials put back, for a receiver that takes one string.
    pub(crate) fn reveal(&self) -> UrlSecret {
        match (&self.user_info, self.clean.split_once("://")) {
            (Some(user), Some((scheme, rest))) => {
                UrlSecret::new(format!("{scheme}://{}@{rest}", user.reveal()))
            }
            _ => UrlSecret::new(self.clean.clone()),
        }
    }

    /// Scheme, host and port as written: what decides whether credentials may go along.
    pub(crate) fn origin(&self) -> &str {
        let start = self.clean.find("://").map_or(0, |at| at + 3);
        let end = self.clean[start..]
            .find(['/', '?', '#'])
            .map_or(self.clean.len(), |at| start + at);
        &self.clean[..end]
    }

    /// The address without query and fragment.
    pub(crate) fn without_fragment(&self) -> &str {
        self.clean.split(['?', '#']).next().unwrap_or_default()
    }

    /// The last segment of the path, percent-decoded: a file name, or nothing.
    pub(crate) fn file_name(&self) -> String {
        let path = &self.without_fragment()[self.origin().len()..];
        percent_decode(path.rsplit('/').next().unwrap_or_default())
    }

    /// What follows `#`, if anything.
    pub(crate) fn fragment(&self) -> Option<&str> {
        self.clean.split_once('#').map(|(_, fragment)| fragment)
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.clean))
    }
}

/// A text of a user without the secrets of addresses in it, for messages.
pub(crate) use crate::report::redacted as shown;

/// Undoes `%41`; sequences that are no UTF-8 become U+FFFD, broken ones stay as they are.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], pair) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What stands behind `name @`. Unlike the reader of `pep508_rs` for its own url type, this one
/// never looks into the process's environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DirectUrl {
    /// An archive on a server: `https://…/x-1-py3-none-any.whl`.
    Archive(PackageUrl),
    /// A version control address: `git+https://…@v1`.
    Repository(PackageUrl),
    /// A path, as written; relative ones start at the file that names them.
    Path(String),
}

impl fmt::Display for DirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(url) | Self::Repository(url) => url.fmt(f),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl DirectUrl {
    /// The address or path itself, without credentials: `Display` may leave more out.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Archive(url) | Self::Repository(url) => url.as_str(),
            Self::Path(path) => path,
        }
    }

    /// Reads a url or path as it stands behind `name @` or alone on a line.
    ///
    /// # Errors
    /// As [`PackageUrl::parse`]; a text without a scheme is a path.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Ok(Self::Path(text.to_owned()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = rest.strip_prefix("//localhost").unwrap_or(rest);
                let path = path.strip_prefix("//").unwrap_or(path);
                Ok(Self::Path(percent_decode(
                    path.split('#').next().unwrap_or_default(),
                )))
            }
            "http" | "https" => Ok(Self::Archive(PackageUrl::parse(text)?)),
            kind if ["git", "hg", "svn", "bzr"]
                .iter()
                .any(|vcs| kind == *vcs || kind.starts_with(&format!("{vcs}+"))) =>
            {
                // `git+ssh://git@host` has a user that is no secret, and is dropped all the same.
                Ok(Self::Repository(PackageUrl::parse(text)?))
            }
            _ if text.contains("://") => Ok(Self::Archive(PackageUrl::parse(text)?)),
            _ => Ok(Self::Path(text.to_owned())),
        }
    }
}

impl pep508_rs::Pep508Url for DirectUrl {
    type Err = UrlError;

    fn parse_url(url: &str, _working_dir: Option<&Path>) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_public_index_has_two_names() {
        assert!(is_public_index(PUBLIC_INDEX));
        let old = PUBLIC_INDEX.replace("pypi.org", OLD_PUBLIC_HOST);
        assert!(is_public_index(&format!("{old}/")));
        assert!(is_public_index(&old.replace("https", "http")));
        for other in [
            "https://h/simple",
            "",
            "https://pypi.org.h/simple",
            "https://u@h",
        ] {
            assert!(!is_public_index(other), "{other}");
        }
    }

    #[test]
    fn takes_credentials_out() {
        let url = PackageUrl::parse("HTTPS://me:p%40ss@host:8443/simple/?q=1#sha256=ab").unwrap();
        assert_eq!(url.to_string(), "https://host:8443/simple/?q=1#sha256=ab");
        assert_eq!(url.user_info().unwrap().reveal(), "me:p%40ss");
        assert_eq!(
            url.reveal().reveal(),
            "https://me:p%40ss@host:8443/simple/?q=1#sha256=ab"
        );
        assert_eq!(url.origin(), "https://host:8443");
        assert_eq!(url.without_fragment(), "https://host:8443/simple/");
        assert_eq!(url.fragment(), Some("sha256=ab"));
        assert!(!format!("{url:?}").contains("p%40ss"));
        let url = PackageUrl::parse("https://h/x.whl?token=abc").unwrap();
        assert_eq!(url.as_str(), "https://h/x.whl?token=abc");
        assert_eq!(url.to_string(), "https://h/x.whl?token=***");
    }

    #[test]
    fn an_at_sign_in_a_password_or_path_is_no_trap() {
        let url = PackageUrl::parse("https://u:a@b@host/x@y").unwrap();
        assert_eq!(url.to_string(), "https://host/x@y");
        assert_eq!(url.user_info().unwrap().reveal(), "u:a@b");
        let plain = PackageUrl::parse("https://host/a@b").unwrap();
        assert!(plain.user_info().is_none());
    }

    #[test]
    fn refuses_what_is_no_url() {
        assert_eq!(PackageUrl::parse("host/simple"), Err(UrlError::NoScheme));
        assert_eq!(PackageUrl::parse("https:///simple"), Err(UrlError::NoHost));
        assert_eq!(
            PackageUrl::parse("https://a b/"),
            Err(UrlError::BadCharacter)
        );
        assert_eq!(PackageUrl::parse("1x://a"), Err(UrlError::NoScheme));
        for cut in [
            "https://u:a/b@h/",
            "https://u:a?b@h/",
            "https://u:a#b@h/",
            "https://a/b@h.c/d",
        ] {
            assert_eq!(PackageUrl::parse(cut), Err(UrlError::Login), "{cut}");
        }
        assert_eq!(
            PackageUrl::parse(&format!("https://{}", "a".repeat(9000))),
            Err(UrlError::TooLong)
        );
    }

    #[test]
    fn knows_file_names() {
        let url =
            PackageUrl::parse("https://h/a/torch-2.5.1%2Bcpu-cp313-cp313-linux_x86_64.whl#x=1")
                .unwrap();
        assert_eq!(
            url.file_name(),
            "torch-2.5.1+cpu-cp313-cp313-linux_x86_64.whl"
        );
        assert_eq!(PackageUrl::parse("https://h").unwrap().file_name(), "");
    }

    #[test]
    fn tells_direct_urls_apart() {
        assert!(matches!(
            DirectUrl::parse("git+ssh://git@host/x.git@v1").unwrap(),
            DirectUrl::Repository(_)
        ));
        assert_eq!(
            DirectUrl::parse("file:///a/b%20c").unwrap(),
            DirectUrl::Path("/a/b c".into())
        );
        assert_eq!(
            DirectUrl::parse("file:./x").unwrap(),
            DirectUrl::Path("./x".into())
        );
        assert_eq!(
            DirectUrl::parse("./x.whl").unwrap(),
            DirectUrl::Path("./x.whl".into())
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_never_shows_the_password(text in ".{0,60}", secret in "[a-z]{12}") {
            let _ = PackageUrl::parse(&text);
            let _ = DirectUrl::parse(&text);
            let url = PackageUrl::parse(&format!("https://user:{secret}@host/simple")).unwrap();
            let shown = format!("{url} {url:?}");
            prop_assert!(!shown.contains(&secret));
        }
    }
}
