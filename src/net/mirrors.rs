//! Where images are really read, when the user's `registries.conf` says that it is not where their names
//! say: mirrors in their order, another location, nowhere at all (containers-registries.conf(5)).
//!
//! Only reading follows these rules; what is pushed goes where its name says. A blocked registry is
//! asked for nothing, and pushed to neither. The files are read when the first registry is about to be
//! asked, and a build that asks none does not need them to be right.

mod file;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use crate::net::tokens::locked;
use crate::oci::{DOCKER_HUB, DOCKER_HUB_HOST, Reference};
use crate::report::{ErrorClass, Explain, Explanation};
use file::{MirrorRule, MirrorSettings};

pub(crate) use file::{BASE_MIRROR, MirrorFiles, PullFilter};

/// The files of rules are of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorsError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It is not what it should be.
    #[error("{} cannot be read: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    /// The variable with the place of base images holds none.
    #[error("{BASE_MIRROR}={value} is not the address of a registry")]
    BaseMirror { value: String },
}

impl Explain for MirrorsError {
    fn explain(&self) -> Explanation {
        let (path, why) = match self {
            Self::BaseMirror { value } => {
                return Explanation {
                    class: ErrorClass::CommandLine,
                    what: self.to_string(),
                    place: format!("{BASE_MIRROR}={value}"),
                    why: "it replaces docker.io, and has to be HOST[:PORT] or HOST[:PORT]/PATH, without https://"
                        .to_owned(),
                    next: format!("correct it, for instance {BASE_MIRROR}=registry.example.com/hub, or unset it"),
                };
            }
            Self::Unreadable { path, source } => (path, source.to_string()),
            Self::Malformed { path, reason } => (path, reason.clone()),
        };
        Explanation {
            class: ErrorClass::World,
            what: "the rules for registries cannot be read".to_owned(),
            place: path.display().to_string(),
            why,
            next: "correct the file (containers-registries.conf(5) has its format), or name another by CONTAINERS_REGISTRIES_CONF".to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct MirrorRules {
    files: MirrorFiles,
    contents: OnceLock<Result<MirrorSettings, Arc<MirrorsError>>>,
    /// What is to be told of mirrors, and what was.
    warnings: Mutex<(Vec<String>, BTreeSet<String>)>,
}

/// Where one repository is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirrorRoute {
    /// Mirrors, to be asked one after the other.
    pub mirrors: Vec<(Reference, PullFilter)>,
    /// The place itself, to be asked last; or who forbids it.
    pub itself: Result<Reference, BlockedRegistry>,
}

/// A registry that is not to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockedRegistry {
    /// What is blocked: names that begin so.
    pub prefix: String,
    /// The file that says so.
    pub file: PathBuf,
}

impl MirrorRules {
    /// Rules of these files, which are not read yet.
    pub(crate) fn new(files: MirrorFiles) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// Where the repository of `reference` is read; tag and digest are kept.
    ///
    /// # Errors
    /// The files are of no use.
    pub(crate) fn route(&self, reference: &Reference) -> Result<MirrorRoute, Arc<MirrorsError>> {
        let Some((rule, matched)) = self.rule(reference)? else {
            return Ok(MirrorRoute {
                mirrors: Vec::new(),
                itself: Ok(reference.clone()),
            });
        };
        let moved = |location: &str| moved(reference, matched, location);
        let itself = match &rule.location {
            _ if rule.blocked => Err(BlockedRegistry {
                prefix: rule.prefix.clone(),
                file: rule.file.clone(),
            }),
            Some(location) => Ok(moved(location).unwrap_or_else(|| reference.clone())),
            None => Ok(reference.clone()),
        };
        let mirrors = rule.mirrors.iter();
        let mut mirrors: Vec<_> = mirrors
            .filter_map(|mirror| Some((moved(&mirror.location)?, mirror.pulls)))
            .collect();
        let mut allowed = Vec::new();
        for (mirror, pulls) in mirrors.drain(..) {
            if self.blocked(&mirror)?.is_none() {
                allowed.push((mirror, pulls));
            }
        }
        Ok(MirrorRoute {
            mirrors: allowed,
            itself,
        })
    }

    /// Who forbids that a repository is asked for anything, if somebody does.
    ///
    /// # Errors
    /// The files are of no use.
    pub(crate) fn blocked(
        &self,
        reference: &Reference,
    ) -> Result<Option<BlockedRegistry>, Arc<MirrorsError>> {
        let rule = self.rule(reference)?.filter(|(rule, _)| rule.blocked);
        Ok(rule.map(|(rule, _)| BlockedRegistry {
            prefix: rule.prefix.clone(),
            file: rule.file.clone(),
        }))
    }

    /// Whether a rule has this registry, `HOST[:PORT]`, go without a look at certificates. It then goes
    /// so for all its repositories: connections are kept by host.
    pub(crate) fn is_insecure(&self, registry: &str) -> bool {
        let Ok(contents) = self.contents() else {
            return false;
        };
        contents.rules.iter().any(|rule| {
            let here = match &rule.location {
                Some(location) => host_of(location) == registry,
                None => matched(registry, &rule.prefix).is_some(),
            };
            let mut mirrors = rule.mirrors.iter();
            rule.insecure && here
                || mirrors.any(|mirror| mirror.insecure && host_of(&mirror.location) == registry)
        })
    }

    /// Has something told of a mirror, once a run.
    pub(crate) fn warn(&self, about: &str, text: String) {
        let mut warnings = locked(&self.warnings);
        if warnings.1.insert(about.to_owned()) {
            warnings.0.push(text);
        }
    }

    /// What is to be told since this was asked last, each fit to be shown.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.warnings).0)
    }

    /// The rule with the longest prefix, and the length of what it matched.
    fn rule(
        &self,
        reference: &Reference,
    ) -> Result<Option<(&MirrorRule, usize)>, Arc<MirrorsError>> {
        let name = full_name(reference);
        let rules = self.contents()?.rules.iter();
        Ok(rules
            .filter_map(|rule| Some((rule, matched(&name, &rule.prefix)?)))
            .max_by_key(|(rule, length)| (*length, !rule.prefix.starts_with("*."))))
    }

    fn contents(&self) -> Result<&MirrorSettings, Arc<MirrorsError>> {
        let contents = self.contents.get_or_init(|| {
            let contents = self.files.read().map_err(Arc::new)?;
            for text in &contents.warnings {
                self.warn(text, text.clone());
            }
            Ok(contents)
        });
        contents.as_ref().map_err(Arc::clone)
    }
}

fn full_name(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

fn host_of(location: &str) -> &str {
    match location.split('/').next() {
        // As it is connected to.
        Some(DOCKER_HUB) => DOCKER_HUB_HOST,
        Some(host) => host,
        None => location,
    }
}

/// How much of a name a prefix stands for, if it begins with it: whole path components only.
fn matched(name: &str, prefix: &str) -> Option<usize> {
    let Some(domain) = prefix.strip_prefix('*') else {
        let rest = name.strip_prefix(prefix)?;
        return (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len());
    };
    let host = name.split('/').next().unwrap_or_default();
    let bare = host.split(':').next().unwrap_or_default();
    let below = |host: &str| host.len() > domain.len() && host.ends_with(domain);
    (below(host) || below(bare)).then_some(host.len())
}

/// The same image below another place; `None` if that is no name.
fn moved(reference: &Reference, matched: usize, location: &str) -> Option<Reference> {
    let name = full_name(reference);
    let mut text = format!("{location}{}", name.get(matched..)?);
    match reference.digest() {
        Some(digest) => text.push_str(&format!("@{digest}")),
        None => text.push_str(&format!(":{}", reference.tag_or_latest())),
    }
    text.parse().ok()
}

#[cfg(test)]
crate::report::samples! {
    enum MirrorsError {
        Unreadable { path: "/etc/containers/registries.conf".into(), source: crate::report::samples::denied() },
        Malformed { path: "/etc/containers/registries.conf".into(), reason: "line 3: expected `=`".into() },
        BaseMirror { value: "https://registry.example.com".into() },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mirrors(text: &str) -> MirrorRules {
        let mut contents = MirrorSettings::default();
        contents.add(Path::new("registries.conf"), text).unwrap();
        let mirrors = MirrorRules::default();
        mirrors.contents.set(Ok(contents)).unwrap();
        mirrors
    }

    fn names(mirrors: &MirrorRules, image: &str) -> Vec<String> {
        let route = mirrors.route(&image.parse().unwrap()).unwrap();
        let itself = match route.itself {
            Ok(itself) => itself.canonical(),
            Err(blocked) => format!("blocked by {}", blocked.prefix),
        };
        let mirrors = route.mirrors.into_iter();
        let mut all: Vec<String> = mirrors.map(|(mirror, _)| mirror.canonical()).collect();
        all.push(itself);
        all
    }

    #[test]
    fn the_longest_prefix_decides() {
        let mirrors = mirrors(
            r#"
            [[registry]]
            prefix = "example.com/foo"
            location = "inner.example/bar"
            [[registry.mirror]]
            location = "mirror-0.example/for/foo"
            [[registry.mirror]]
            location = "mirror-1.example:5000"
            insecure = true

            [[registry]]
            location = "example.com"
            [[registry.mirror]]
            location = "mirror-2.example"

            [[registry]]
            location = "example.com/foo/private"
            blocked = true

            [[registry]]
            prefix = "docker.io/library"
            location = "hub.example/library"

            [[registry]]
            prefix = "*.example.net"
            insecure = true
            [[registry.mirror]]
            location = "mirror-3.example/net"

            [[registry]]
            prefix = "a.example.net"
            location = "docker.io/a"
            "#,
        );
        for (image, expected) in [
            (
                "example.com/foo/image:1",
                &[
                    "mirror-0.example/for/foo/image:1",
                    "mirror-1.example:5000/image:1",
                    "inner.example/bar/image:1",
                ][..],
            ),
            (
                "example.com/foot:1",
                &["mirror-2.example/foot:1", "example.com/foot:1"],
            ),
            ("example.com:5000/foo:1", &["example.com:5000/foo:1"]),
            (
                "example.com/foo/private/x:1",
                &["blocked by example.com/foo/private"],
            ),
            ("python:3", &["hub.example/library/python:3"]),
            ("team/python:3", &["docker.io/team/python:3"]),
            (
                "b.c.example.net:5000/x:1",
                &["mirror-3.example/net/x:1", "b.c.example.net:5000/x:1"],
            ),
            ("a.example.net/x:1", &["docker.io/a/x:1"]),
            ("example.net/x:1", &["example.net/x:1"]),
        ] {
            assert_eq!(names(&mirrors, image), expected, "{image}");
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = format!("example.com/x@{digest}");
        let expected = format!("mirror-2.example/x@{digest}");
        assert_eq!(names(&mirrors, &image)[0], expected);
        for (host, insecure) in [
            ("mirror-1.example:5000", true),
            ("mirror-0.example", false),
            ("x.example.net", true),
            ("example.net", false),
            ("inner.example", false),
        ] {
            assert_eq!(mirrors.is_insecure(host), insecure, "{host}");
        }
    }

    #[test]
    fn a_blocked_registry_may_have_mirrors_and_is_none() {
        let mirrors = mirrors(
            r#"
            [[registry]]
            location = "example.com"
            blocked = true
            [[registry.mirror]]
            location = "mirror.example"
            [[registry.mirror]]
            location = "evil.example"

            [[registry]]
            location = "evil.example"
            blocked = true
            "#,
        );
        assert_eq!(
            names(&mirrors, "example.com/x:1"),
            ["mirror.example/x:1", "blocked by example.com"]
        );
        let blocked = |image: &str| mirrors.blocked(&image.parse().unwrap()).unwrap();
        assert_eq!(blocked("evil.example/x").unwrap().prefix, "evil.example");
        assert!(blocked("mirror.example/x").is_none());
    }

    #[test]
    fn files_are_read_when_they_are_wanted() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("registries.conf");
        let mirrors = MirrorRules::new(MirrorFiles {
            named: Some(path.clone()),
            ..MirrorFiles::default()
        });
        std::fs::write(&path, "[[registry\n").unwrap();
        assert!(!mirrors.is_insecure("example.com"));
        let error = mirrors.route(&"example.com/x".parse().unwrap());
        let told = error.unwrap_err().explain();
        assert_eq!(told.place, path.display().to_string());
        assert!(told.next.contains("CONTAINERS_REGISTRIES_CONF"));
    }

    #[test]
    fn a_thing_is_told_once() {
        let mirrors = MirrorRules::default();
        mirrors.warn("a", "one".to_owned());
        mirrors.warn("a", "two".to_owned());
        assert_eq!(mirrors.take_warnings(), ["one"]);
        mirrors.warn("a", "three".to_owned());
        assert!(mirrors.take_warnings().is_empty());
    }
}
