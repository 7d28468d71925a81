//! Where credentials for registries are looked for: files in their order, and an OpenShift pod's own
//! account last. The first that knows the repository decides.
//!
//! Nothing is read before a registry asks for credentials, and each file and helper is asked once. One
//! that fails costs a warning and no more: it may well be for another registry, and many may be read
//! without any credentials.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::net::Secret;
use crate::net::credentials::docker::{ConfiguredLogin, DockerFile};
use crate::net::credentials::helper::CredentialHelper;
use crate::net::credentials::{AccessKind, BasicLogin, RegistryLogin};
use crate::net::tokens::locked;

/// No such file is larger.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Names of the files in the folder of a mounted secret: Kubernetes' two kinds, and docker's own.
const SECRET_FILES: [&str; 3] = [".dockerconfigjson", ".dockercfg", "config.json"];
/// OpenShift's own registry, as pods in the cluster know it; the last two in its version 3.
const CLUSTER_REGISTRIES: [&str; 4] = [
    "image-registry.openshift-image-registry.svc:5000",
    "image-registry.openshift-image-registry.svc.cluster.local:5000",
    "docker-registry.default.svc:5000",
    "docker-registry.default.svc.cluster.local:5000",
];
/// That registry takes any name, and looks at the token alone.
const CLUSTER_USER: &str = "serviceaccount";

#[derive(Debug, Clone, Default)]
pub(crate) struct LoginSources {
    /// Those of one registry, which are known already.
    pub given: Option<(String, RegistryLogin)>,
    /// The one that the user has named; it ought to be there.
    pub named: Option<PathBuf>,
    /// Mounted secrets for reading: folders or files.
    pub pull_secrets: Vec<PathBuf>,
    /// Mounted secrets for writing: folders or files.
    pub push_secrets: Vec<PathBuf>,
    /// Files that may or may not be there.
    pub files: Vec<PathBuf>,
    /// Where helpers are found: folders with colons between.
    pub path: String,
    /// The folder of a pod's service account, with `token` in it.
    pub service_account: Option<PathBuf>,
}

/// The sources, and what has been read of them.
#[derive(Debug, Default)]
pub(super) struct LoginLookup {
    sources: LoginSources,
    files: Mutex<BTreeMap<PathBuf, Option<Arc<DockerFile>>>>,
    found: Mutex<BTreeMap<(AccessKind, String, String), Option<RegistryLogin>>>,
    warnings: Mutex<Vec<String>>,
    #[cfg(test)]
    texts: Mutex<Vec<Arc<DockerFile>>>,
}

impl LoginLookup {
    pub(super) fn new(sources: LoginSources) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// Adds a file's text, as the last source.
    #[cfg(test)]
    pub(super) fn add(&self, file: DockerFile) {
        locked(&self.texts).push(Arc::new(file));
    }

    /// What has gone wrong since this was asked last, each fit to be shown.
    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.warnings))
    }

    /// Credentials for a repository.
    pub(super) fn lookup(
        &self,
        direction: AccessKind,
        registry: &str,
        repository: &str,
    ) -> Option<RegistryLogin> {
        let key = (direction, registry.to_owned(), repository.to_owned());
        // Held while helpers run, so that many threads ask them once.
        let mut found = locked(&self.found);
        if let Some(login) = found.get(&key) {
            return login.clone();
        }
        let login = self.search(direction, registry, repository);
        found.insert(key, login.clone());
        login
    }

    fn search(
        &self,
        direction: AccessKind,
        registry: &str,
        repository: &str,
    ) -> Option<RegistryLogin> {
        if let Some((known, login)) = &self.sources.given
            && known == registry
        {
            return Some(login.clone());
        }
        for path in self.paths(direction) {
            let Some(file) = self.file(&path) else {
                continue;
            };
            if let Some(login) = self.in_file(&file, &path, registry, repository) {
                return Some(login);
            }
        }
        #[cfg(test)]
        for file in locked(&self.texts).clone() {
            if let Some(login) = self.in_file(&file, Path::new("test"), registry, repository) {
                return Some(login);
            }
        }
        self.service_account(registry)
    }

    fn in_file(
        &self,
        file: &DockerFile,
        path: &Path,
        registry: &str,
        repository: &str,
    ) -> Option<RegistryLogin> {
        let said = match file.lookup(registry, repository) {
            Ok(said) => said,
            Err(error) => {
                self.warn(path, &error);
                return None;
            }
        };
        for said in said {
            match said {
                ConfiguredLogin::Login(login) => return Some(login),
                ConfiguredLogin::Helper { name, server } => {
                    let answer = CredentialHelper::find(&name, &self.sources.path)
                        .and_then(|helper| helper.get(&server));
                    match answer {
                        Ok(Some(login)) => return Some(login),
                        Ok(None) => {}
                        Err(error) => self.warn(path, &error),
                    }
                }
            }
        }
        None
    }

    /// All files, in order.
    fn paths(&self, direction: AccessKind) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.sources.named.clone().into_iter().collect();
        let secrets = match direction {
            AccessKind::Pull => &self.sources.pull_secrets,
            AccessKind::Push => &self.sources.push_secrets,
        };
        for secret in secrets {
            if secret.is_dir() {
                let inside = SECRET_FILES.iter().map(|name| secret.join(name));
                paths.extend(inside.filter(|path| path.exists()));
            } else {
                paths.push(secret.clone());
            }
        }
        paths.extend(self.sources.files.iter().cloned());
        paths
    }

    /// A file, read when it is first asked for; `None` if it is not there or of no use.
    fn file(&self, path: &Path) -> Option<Arc<DockerFile>> {
        let mut files = locked(&self.files);
        if let Some(file) = files.get(path) {
            return file.clone();
        }
        let file = match read(path) {
            Ok(text) => DockerFile::parse(&text)
                .map_err(|error| self.warn(path, &error))
                .ok()
                .map(Arc::new),
            Err(error) if is_absence(&error) && self.sources.named.as_deref() != Some(path) => None,
            Err(error) => {
                self.warn(path, &error);
                None
            }
        };
        files.insert(path.to_owned(), file.clone());
        file
    }

    /// The pod's own account, for the cluster's own registry and no other.
    fn service_account(&self, registry: &str) -> Option<RegistryLogin> {
        let folder = self.sources.service_account.as_ref()?;
        if !CLUSTER_REGISTRIES.contains(&registry) {
            return None;
        }
        let path = folder.join("token");
        match read(&path) {
            Ok(token) if token.trim().is_empty() => None,
            Ok(token) => Some(RegistryLogin::Basic(BasicLogin {
                user: CLUSTER_USER.to_owned(),
                password: Secret::new(token.trim()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.warn(&path, &error);
                None
            }
        }
    }

    fn warn(&self, path: &Path, reason: &dyn std::fmt::Display) {
        let text = format!("{}: its credentials are not used: {reason}", path.display());
        let mut warnings = locked(&self.warnings);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::net::credentials::helper::tests::scripted;

    fn user(logins: &LoginLookup, direction: AccessKind, registry: &str) -> Option<String> {
        match logins.lookup(direction, registry, "team/app")? {
            RegistryLogin::Basic(basic) => {
                Some(format!("{} {}", basic.user, basic.password.expose()))
            }
            RegistryLogin::Identity(token) | RegistryLogin::RegistryToken(token) => {
                Some(token.expose().to_owned())
            }
        }
    }

    fn file(folder: &tempfile::TempDir, name: &str, registry: &str, user: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text =
            format!(r#"{{"auths": {{"{registry}": {{"username": "{user}", "password": "p"}}}}}}"#);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_first_that_knows_decides() {
        let folder = tempfile::tempdir().unwrap();
        let logins = LoginLookup::new(LoginSources {
            named: Some(file(&folder, "named", "a", "named")),
            files: vec![
                "/nonexistent/auth.json".into(),
                file(&folder, "one", "b", "one"),
                file(&folder, "two", "b", "two"),
                file(&folder, "three", "c", "three"),
            ],
            ..LoginSources::default()
        });
        let of = |registry| user(&logins, AccessKind::Pull, registry);
        assert_eq!(of("a").as_deref(), Some("named p"));
        assert_eq!(of("b").as_deref(), Some("one p"));
        assert_eq!(of("c").as_deref(), Some("three p"));
        assert_eq!(of("d"), None);
        assert!(logins.take_warnings().is_empty());
    }

    #[test]
    fn secrets_are_for_one_direction() {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "push/.dockerconfigjson", "r", "pusher");
        let pull = folder.path().join("pull");
        fs::create_dir(&pull).unwrap();
        let old = r#"{"r": {"username": "puller", "password": "p"}}"#;
        fs::write(pull.join(".dockercfg"), old).unwrap();
        let logins = LoginLookup::new(LoginSources {
            push_secrets: vec![folder.path().join("push")],
            pull_secrets: vec![pull],
            files: vec![file(&folder, "own", "own", "me")],
            ..LoginSources::default()
        });
        let both = |registry| {
            [AccessKind::Push, AccessKind::Pull].map(|direction| user(&logins, direction, registry))
        };
        assert_eq!(
            both("r"),
            [Some("pusher p".into()), Some("puller p".into())]
        );
        assert_eq!(both("own"), [Some("me p".into()), Some("me p".into())]);
    }

    #[test]
    fn a_failing_helper_costs_a_warning() {
        let (helpers, path) = scripted("broken", "echo s3cret; exit 1");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        let text = r#"{"auths": {"kept": {"username": "u", "password": "p"}},
            "credHelpers": {"r": "broken", "evil": "../../bin/sh"}, "credsStore": "missing"}"#;
        fs::write(&config, text).unwrap();
        let logins = LoginLookup::new(LoginSources {
            files: vec![config.clone(), file(&folder, "next", "r", "next")],
            path,
            ..LoginSources::default()
        });
        let of = |registry| user(&logins, AccessKind::Pull, registry);
        assert_eq!(of("r").as_deref(), Some("next p"));
        let warnings = logins.take_warnings().join("\n");
        assert!(
            warnings.contains("docker-credential-broken get failed")
                && warnings.contains(config.to_str().unwrap())
                && !warnings.contains("s3cret"),
            "{warnings}"
        );
        assert_eq!(of("kept").as_deref(), Some("u p"));
        assert_eq!(of("evil"), None);
        assert!(
            logins
                .take_warnings()
                .join("\n")
                .contains("may hold letters")
        );
        drop(helpers);
    }

    #[test]
    fn a_helper_is_asked_once() {
        let (folder, path) = scripted(
            "count",
            r#"echo >> "$(dirname "$0")/asked"; echo '{"Username":"u","Secret":"p"}'"#,
        );
        let config = folder.path().join("config.json");
        fs::write(&config, r#"{"credHelpers": {"r": "count"}}"#).unwrap();
        let logins = LoginLookup::new(LoginSources {
            files: vec![config],
            path,
            ..LoginSources::default()
        });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(user(&logins, AccessKind::Push, "r").is_some()));
            }
        });
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked.len(), 1);
    }

    #[test]
    fn files_of_no_use_are_named_without_their_words() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong");
        fs::write(&wrong, r#"{"auths": "s3cret"}"#).unwrap();
        let logins = LoginLookup::new(LoginSources {
            named: Some(folder.path().join("missing")),
            files: vec![wrong, folder.path().to_owned()],
            ..LoginSources::default()
        });
        assert_eq!(user(&logins, AccessKind::Pull, "r"), None);
        let warnings = logins.take_warnings();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(!warnings.join("").contains("s3cret"));
        assert_eq!(user(&logins, AccessKind::Push, "r"), None);
        assert!(logins.take_warnings().is_empty());
    }

    #[test]
    fn a_pods_account_is_for_the_clusters_registry_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "jwt\n").unwrap();
        let logins = LoginLookup::new(LoginSources {
            service_account: Some(folder.path().to_owned()),
            ..LoginSources::default()
        });
        let of = |registry| user(&logins, AccessKind::Push, registry);
        for registry in CLUSTER_REGISTRIES {
            assert_eq!(of(registry).as_deref(), Some("serviceaccount jwt"));
        }
        assert_eq!(of("quay.io"), None);
        assert_eq!(
            of("image-registry.openshift-image-registry.svc.evil.example:5000"),
            None
        );
    }
}
