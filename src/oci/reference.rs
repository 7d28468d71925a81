//! Image references: `registry/repository:tag@digest` (distribution-spec, "Pulling manifests"; the
//! defaults `docker.io`, `library/` and `latest` are the convention of every client in the field).

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The registry of names that say none.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// The host that it is reached at: the one registry whose name is not its host.
pub(crate) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// Longest repository name that registries take (distribution-spec: 255 with the host).
const MAX_NAME_BYTES: usize = 255;

/// Longest name that is made of a title.
const MAX_TITLE_BYTES: usize = 100;

/// A registry by its name, whichever of Docker Hub's was written.
pub(crate) fn docker_hub_of(registry: &str) -> &str {
    match registry {
        "index.docker.io" | DOCKER_HUB_HOST => DOCKER_HUB,
        other => other,
    }
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error("the image name is empty")]
    Empty,
    /// A repository must be lower case: the usual slip, worth its own words.
    #[error("{0:?} has upper-case letters; image names are lower case")]
    UpperCase(String),
    #[error("{0:?} is not an image name: letters, digits, and single . _ - between them")]
    Repository(String),
    #[error("{0:?} is not a tag: letters, digits, _ . - and at most 128 of them")]
    Tag(String),
    #[error("{0:?} is not a digest: sha256: and 64 hex digits")]
    Digest(String),
    #[error("{0:?} is not a registry: a host name, with a port or not")]
    Registry(String),
    /// Registries refuse longer names.
    #[error("the image name is longer than 255 bytes")]
    TooLong,
}

/// A parsed image reference; `myimg` is `docker.io/library/myimg:latest`, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    has_registry: bool,
}

impl Reference {
    /// Host, and port if given; `docker.io` if the text named none.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// The path on the registry, without tag or digest.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest as written.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag, or `latest` where neither tag nor digest was given.
    pub(crate) fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The same repository, by digest alone.
    pub(crate) fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// What stands for an image without a name: it is found by its digest alone, and shown so.
    pub(crate) fn of_nameless(digest: Digest) -> Self {
        Self {
            registry: DOCKER_HUB.to_owned(),
            repository: String::new(),
            tag: None,
            digest: Some(digest),
            has_registry: false,
        }
    }

    /// Whether it is of an image without a name.
    pub(crate) fn is_nameless(&self) -> bool {
        self.repository.is_empty()
    }

    /// The name for an image that is called after something: a folder, say. Letters become lower case, and
    /// what no name may hold a hyphen. `None` where nothing is left.
    pub(crate) fn called_after(title: &str) -> Option<Self> {
        let mut name = String::new();
        for c in title.to_ascii_lowercase().chars() {
            if c.is_ascii_alphanumeric() {
                name.push(c);
            } else if name.ends_with(|last: char| last.is_ascii_alphanumeric()) {
                // One separator between two words, whatever stood there.
                name.push(if matches!(c, '.' | '_') { c } else { '-' });
            }
            if name.len() == MAX_TITLE_BYTES {
                break;
            }
        }
        name.trim_end_matches(['.', '_', '-']).parse().ok()
    }

    /// Whether the other names the same repository.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// The name without tag and digest, as short as the user may write it.
    pub(crate) fn familiar_name(&self) -> String {
        if self.has_registry {
            return format!("{}/{}", self.registry, self.repository);
        }
        let path = &self.repository;
        path.strip_prefix("library/").unwrap_or(path).to_owned()
    }

    /// The full name with tag: `docker.io/library/myimg:latest`.
    pub(crate) fn canonical(&self) -> String {
        let mut text = format!("{}/{}", self.registry, self.repository);
        match (&self.tag, &self.digest) {
            (None, Some(digest)) => text.push_str(&format!("@{digest}")),
            _ => text.push_str(&format!(":{}", self.tag_or_latest())),
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Some(digest)) = (self.is_nameless(), &self.digest) {
            return digest.fmt(f);
        }
        f.write_str(&self.familiar_name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        } else if self.digest.is_none() {
            f.write_str(":latest")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest)?;
        let (registry, path) = split_registry(name)?;
        if path.len() + registry.map_or(0, str::len) >= MAX_NAME_BYTES {
            return Err(ReferenceError::TooLong);
        }
        check_repository(path)?;
        let host = match registry {
            None => DOCKER_HUB,
            Some(host) => docker_hub_of(host),
        };
        let repository = if host == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self {
            registry: host.to_owned(),
            repository,
            tag,
            digest,
            has_registry: registry.is_some(),
        })
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((name, digest)) => {
            let parsed = digest
                .parse()
                .map_err(|_| ReferenceError::Digest(shortened(digest)))?;
            Ok((name, Some(parsed)))
        }
    }
}

/// A colon after the last slash begins a tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> Result<(&str, Option<String>), ReferenceError> {
    let last = text.rfind('/').map_or(0, |at| at + 1);
    let Some(colon) = text[last..].find(':') else {
        return Ok((text, None));
    };
    let (name, tag) = (&text[..last + colon], &text[last + colon + 1..]);
    let first_fits = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest_fits = tag
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !first_fits || !rest_fits || tag.len() > 128 {
        return Err(ReferenceError::Tag(shortened(tag)));
    }
    Ok((name, Some(tag.to_owned())))
}

/// The first part is a registry if it looks like a host: a dot, a port, or `localhost`.
fn split_registry(name: &str) -> Result<(Option<&str>, &str), ReferenceError> {
    let Some((first, rest)) = name.split_once('/') else {
        return Ok((None, name));
    };
    if first != "localhost" && !first.contains(['.', ':']) {
        return Ok((None, name));
    }
    let (host, port) = match first.rfind(':') {
        Some(at) if !first[at..].contains(']') => (&first[..at], Some(&first[at + 1..])),
        _ => (first, None),
    };
    let is_host = if let Some(inner) = host.strip_prefix('[') {
        inner
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    } else {
        !host.is_empty()
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            })
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if is_host && is_port {
        Ok((Some(first), rest))
    } else {
        Err(ReferenceError::Registry(shortened(first)))
    }
}

/// Path components: runs of `[a-z0-9]`, joined by `.`, `_`, `__` or any number of `-`.
fn check_repository(path: &str) -> Result<(), ReferenceError> {
    if path.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase(shortened(path)));
    }
    if path.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if path.split('/').all(is_component) {
        Ok(())
    } else {
        Err(ReferenceError::Repository(shortened(path)))
    }
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component
        .split(alphanumeric)
        .filter(|separator| !separator.is_empty());
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && separators.into_iter().all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_as_users_write_them() {
        let hex = "0".repeat(64);
        for (text, canonical, shown) in [
            ("myimg", "docker.io/library/myimg:latest", "myimg:latest"),
            ("team/app:1.0", "docker.io/team/app:1.0", "team/app:1.0"),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "127.0.0.1:5000/a/b_c:x",
                "127.0.0.1:5000/a/b_c:x",
                "127.0.0.1:5000/a/b_c:x",
            ),
            (
                "[::1]:5000/app",
                "[::1]:5000/app:latest",
                "[::1]:5000/app:latest",
            ),
            (
                "index.docker.io/redis",
                "docker.io/library/redis:latest",
                "docker.io/library/redis:latest",
            ),
            (
                "docker://quay.io/o/r",
                "quay.io/o/r:latest",
                "quay.io/o/r:latest",
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.canonical(), canonical, "{text}");
            assert_eq!(reference.to_string(), shown, "{text}");
        }
        let pinned: Reference = format!("quay.io/o/r:t@sha256:{hex}").parse().unwrap();
        assert_eq!(pinned.tag_or_latest(), "t");
        assert_eq!(pinned.digest().unwrap().hex(), hex);
    }

    #[test]
    fn titles_become_names() {
        for (title, name) in [
            ("shop", Some("shop")),
            ("My Shop (2)", Some("my-shop-2")),
            ("a__b..c", Some("a_b.c")),
            ("-x.", Some("x")),
            ("Müller", Some("m-ller")),
            ("日本", None),
            ("", None),
        ] {
            let made = Reference::called_after(title).map(|name| name.familiar_name());
            assert_eq!(made.as_deref(), name, "{title}");
        }
        let long = Reference::called_after(&"x".repeat(5000)).unwrap();
        assert_eq!(long.familiar_name().len(), MAX_TITLE_BYTES);
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for text in ["a", "a/b", "q.io/a:b", "localhost:1/a", "x.y/z__w/v--u:_t"] {
            let once: Reference = text.parse().unwrap();
            let twice: Reference = once.to_string().parse().unwrap();
            assert_eq!(once.canonical(), twice.canonical());
        }
    }

    #[test]
    fn wrong_references_say_what_is_wrong() {
        use ReferenceError as E;
        for (text, expected) in [
            ("", E::Empty),
            ("MyImg", E::UpperCase("MyImg".into())),
            ("a..b", E::Repository("a..b".into())),
            ("a/", E::Repository("a/".into())),
            ("-a", E::Repository("-a".into())),
            ("a:", E::Tag(String::new())),
            ("a:.x", E::Tag(".x".into())),
            ("a@sha256:12", E::Digest("sha256:12".into())),
            ("exa mple.com/a", E::Registry("exa mple.com".into())),
            ("host:99999/a", E::Registry("host:99999".into())),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap_err(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(docker://|[a-z0-9]{1,4}|\\.|:|/|@|sha256:|[0-9]{5}|A|-|_|ä|\\[|\\]){0,12}") {
            if let Ok(reference) = text.parse::<Reference>() {
                assert!(reference.canonical().parse::<Reference>().is_ok(), "{text}");
            }
        }
    }
}
