//! Which user and password go to which host.
//!
//! Sources, the first that knows the host deciding: user and password in the URL itself (taken out
//! of it by the request), those of a configured index on the same origin, the netrc file; for
//! registries, the files and helpers of docker and containers (`logins`). Nothing is ever sent to another
//! host than the one that it was given for.

pub(crate) mod docker;
mod helper;
mod keep;
mod logins;
mod netrc;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Url;

use crate::net::Secret;
pub(crate) use keep::{KeepError, SavedEntry, forget, keep};
use logins::LoginLookup;
pub(crate) use logins::LoginSources;
use netrc::Netrc;
pub(crate) use netrc::NetrcError;

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BasicLogin {
    /// The user; may be empty.
    pub user: String,
    /// The password or token; may be empty.
    pub password: Secret,
}

/// What a registry or its token service is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RegistryLogin {
    /// A user and a password.
    Basic(BasicLogin),
    /// A token that the token service gives others for (OAuth2's refresh token).
    Identity(Secret),
    /// A token for the registry itself.
    RegistryToken(Secret),
}

impl RegistryLogin {
    /// What a user and a secret are: the user `<token>` is none.
    pub(crate) fn of(user: &str, secret: Secret) -> Self {
        if user == docker::TOKEN_USER {
            Self::Identity(secret)
        } else {
            Self::Basic(BasicLogin {
                user: user.to_owned(),
                password: secret,
            })
        }
    }
}

/// What credentials are wanted for; there may be others for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccessKind {
    Pull,
    /// To write, and to read what is there.
    Push,
}

impl BasicLogin {
    /// What stands before the `@` of a URL, percent-decoded.
    pub(crate) fn of_url(url: &Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        Some(Self {
            user: percent_decoded(url.username()),
            password: Secret::new(percent_decoded(url.password().unwrap_or_default())),
        })
    }

    /// The value of `Authorization` (RFC 7617).
    pub(crate) fn header(&self) -> Secret {
        let pair = format!("{}:{}", self.user, self.password.expose());
        Secret::new(format!("Basic {}", BASE64.encode(pair)))
    }
}

/// Undoes `%41`; what is no such thing stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let byte = (*first == b'%')
            .then(|| {
                tail.get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
            })
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// All credentials of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    indexes: Vec<(Url, BasicLogin)>,
    netrc: Netrc,
    logins: Arc<LoginLookup>,
}

impl Credentials {
    /// Remembers the user and password in an index's URL, for that index and the files beside it.
    /// A URL without them is of no interest.
    pub(crate) fn add_index(&mut self, url: &str) {
        if let Ok(url) = Url::parse(url)
            && let Some(basic) = BasicLogin::of_url(&url)
        {
            self.indexes.push((url, basic));
        }
    }

    /// Takes in the text of a netrc file.
    pub(crate) fn add_netrc(&mut self, text: &str) -> Result<(), NetrcError> {
        self.netrc.add(text)
    }

    /// Where credentials for registries are.
    pub(crate) fn set_logins(&mut self, sources: LoginSources) {
        self.logins = Arc::new(LoginLookup::new(sources));
    }

    /// Takes in the text of a docker `config.json` or a containers `auth.json`. Entries of an
    /// earlier file win.
    #[cfg(test)]
    pub(crate) fn add_docker_config(
        &mut self,
        text: &str,
    ) -> Result<(), docker::DockerConfigError> {
        self.logins.add(docker::DockerFile::parse(text)?);
        Ok(())
    }

    /// What went wrong with files and helpers since this was asked last, fit to be shown.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.logins.take_warnings()
    }

    /// For an index or a file beside it: of several on one origin the one whose path agrees longest.
    pub(crate) fn for_url(&self, url: &Url) -> Option<BasicLogin> {
        let same_origin = self
            .indexes
            .iter()
            .filter(|(index, _)| index.origin() == url.origin());
        let closest = same_origin.max_by_key(|(index, _)| agreement(index.path(), url.path()));
        match closest {
            Some((_, basic)) => Some(basic.clone()),
            None => self.for_host(url.host_str()?),
        }
    }

    /// For a host by name, from netrc.
    pub(crate) fn for_host(&self, host: &str) -> Option<BasicLogin> {
        self.netrc.lookup(host)
    }

    /// For a repository of a registry. May run a helper, which may take a while.
    pub(crate) fn for_registry(
        &self,
        direction: AccessKind,
        registry: &str,
        repository: &str,
    ) -> Option<RegistryLogin> {
        self.logins.lookup(direction, registry, repository)
    }
}

/// Path components in which two paths agree from the start.
fn agreement(left: &str, right: &str) -> usize {
    left.split('/')
        .zip(right.split('/'))
        .take_while(|(left, right)| left == right)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn reads_users_of_urls() {
        let basic = BasicLogin::of_url(&url("https://me%40x:p%3Aw%zz@h/p")).unwrap();
        assert_eq!(
            (basic.user.as_str(), basic.password.expose()),
            ("me@x", "p:w%zz")
        );
        assert_eq!(BasicLogin::of_url(&url("https://h/p")), None);
        let token = BasicLogin::of_url(&url("https://tok@h/p")).unwrap();
        assert_eq!(token.header().expose(), "Basic dG9rOg==");
        assert!(!format!("{basic:?}").contains("p:w"));
    }

    #[test]
    fn an_index_is_found_by_origin_and_path() {
        let mut credentials = Credentials::default();
        credentials.add_index("https://a:1@h/team-a/simple");
        credentials.add_index("https://b:2@h/team-b/simple");
        credentials.add_index("https://none/simple");
        credentials
            .add_netrc("machine h login n password 3\nmachine other login o password 4")
            .unwrap();
        let user = |text: &str| credentials.for_url(&url(text)).map(|basic| basic.user);
        assert_eq!(user("https://h/team-b/files/x.whl").as_deref(), Some("b"));
        assert_eq!(user("https://h/team-a/simple/flask/").as_deref(), Some("a"));
        assert_eq!(user("https://h:8443/team-a/simple").as_deref(), Some("n"));
        assert_eq!(user("https://other/x").as_deref(), Some("o"));
        assert_eq!(user("https://none/simple"), None);
        assert_eq!(user("https://other.example/x"), None);
    }
}
