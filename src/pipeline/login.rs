//! `s2r login` and `logout`: credentials tried on their registry, and kept where podman keeps them.
//!
//! The file is written anew beside the old one and renamed, readable by its owner alone; where it says
//! that a helper has the credentials, the helper is given them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::context::client;
use crate::context::settings::Settings;
use crate::net::Secret;
use crate::net::credentials::{BasicLogin, KeepError, RegistryLogin, SavedEntry, forget, keep};
use crate::net::registry::{RegistryError, RegistryRepository};
use crate::oci::{DOCKER_HUB, Reference};
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, Report};

/// No such file is larger.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why somebody is not logged in or out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// Not a registry, or a path on one.
    #[error("{text:?} is not a registry")]
    Name { text: String },
    /// The registry does not take the credentials, or does not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The file cannot be changed.
    #[error("{}: {source}", path.display())]
    Keep { path: PathBuf, source: KeepError },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// There is nothing to be forgotten.
    #[error("{}: no credentials for {registry}", path.display())]
    Nothing { path: PathBuf, registry: String },
}

/// Where credentials have gone to, or come from.
#[derive(Debug)]
pub(crate) struct LoginPlace {
    /// The registry, as the file has it.
    pub registry: String,
    pub path: PathBuf,
    /// The helper that the file names for it.
    pub helper: Option<String>,
}

/// Tries a user and a password on a registry, and keeps them.
///
/// # Errors
/// The registry's, or the file's.
pub(crate) fn login(
    registry: &str,
    user: &str,
    password: String,
    settings: &Settings,
    report: &dyn Report,
) -> Result<LoginPlace, BuildError> {
    let (key, reference) = named(registry)?;
    let basic = BasicLogin {
        user: user.to_owned(),
        password: Secret::new(password),
    };
    let client = client::with_login(
        settings,
        reference.registry(),
        RegistryLogin::Basic(basic.clone()),
        report,
    );
    let asked = RegistryRepository::to_log_in(&client, &reference)
        .and_then(|registry| registry.check_login())
        .map_err(LoginError::Registry)?;
    if !asked {
        report.event(Event::Warning {
            text: format!("{key} asks for no credentials, so these are kept unchecked"),
            hint: String::new(),
        });
    }
    change(settings, key, |text, key, path| {
        keep(text, key, &basic, path)
    })
}

/// Forgets what a login kept.
///
/// # Errors
/// There is nothing, or the file's.
pub(crate) fn logout(registry: &str, settings: &Settings) -> Result<LoginPlace, BuildError> {
    let (key, _) = named(registry)?;
    change(settings, key, forget)
}

/// The key in the file, and a name by which the registry can be asked.
fn named(text: &str) -> Result<(String, Reference), LoginError> {
    let wrong = || LoginError::Name {
        text: text.to_owned(),
    };
    let bare = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text)
        .trim_end_matches('/');
    let reference: Reference = format!("{bare}/x").parse().map_err(|_| wrong())?;
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    // A word without dot and port would be taken for a folder of Docker Hub's.
    let same = host.eq_ignore_ascii_case(reference.registry());
    if !same && reference.registry() != DOCKER_HUB
        || !host.contains(['.', ':']) && host != "localhost"
    {
        return Err(wrong());
    }
    let key = match path {
        "" | "v1" | "v2" => reference.registry().to_owned(),
        path => format!("{}/{path}", reference.registry()),
    };
    Ok((key, reference))
}

fn change(
    settings: &Settings,
    registry: String,
    edit: impl FnOnce(&str, &str, &str) -> Result<SavedEntry, KeepError>,
) -> Result<LoginPlace, BuildError> {
    let path = client::login_file(settings);
    let failed = |source| LoginError::File {
        path: path.clone(),
        source,
    };
    let _held = hold(&path).map_err(failed)?;
    let text = read(&path).map_err(failed)?;
    let helpers = client::variable(settings, "PATH").unwrap_or_default();
    let kept = edit(&text, &registry, helpers).map_err(|source| LoginError::Keep {
        path: path.clone(),
        source,
    })?;
    let helper = match kept {
        SavedEntry::Text(text) => {
            write(&path, &text).map_err(failed)?;
            None
        }
        SavedEntry::Helper(name) => Some(name),
        SavedEntry::Nothing => return Err(LoginError::Nothing { path, registry }.into()),
    };
    Ok(LoginPlace {
        registry,
        path,
        helper,
    })
}

fn read(path: &Path) -> io::Result<String> {
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_FILE_BYTES => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read_to_string(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Keeps other logins out until it is dropped: each would write what it read without the other's entry.
/// The folder is what is locked, for the file is another one after each login.
fn hold(path: &Path) -> io::Result<File> {
    let folder = folder_of(&real(path))?;
    let held = File::open(folder)?;
    // A file system without locks is no reason to let nobody in.
    let _ = rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive);
    Ok(held)
}

/// Where a link leads, into a folder of settings that is shared between machines say.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The folder of a file, made if need be.
fn folder_of(path: &Path) -> io::Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(folder.to_owned())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = real(path);
    let folder = &folder_of(&path)?;
    let mut file = tempfile::Builder::new()
        .prefix(".auth")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

impl Explain for LoginError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Name { text } => Explanation {
                class: ErrorClass::CommandLine,
                what: "this is not a registry".to_owned(),
                place: text.clone(),
                why: "a registry is a host name, with a port or not".to_owned(),
                next: "name one: `s2r login registry.example.com`, `s2r login localhost:5000`"
                    .to_owned(),
            },
            Self::Registry(error) => {
                let mut explanation = error.explain();
                if matches!(error, RegistryError::Denied { .. }) {
                    "check user and password; many registries want a token in place of the password"
                        .clone_into(&mut explanation.next);
                }
                explanation
            }
            Self::Keep { path, source } => Explanation {
                class: ErrorClass::World,
                what: "credentials cannot be kept or forgotten".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next:
                    "mend the file or the helper that it names, or name another file by --authfile"
                        .to_owned(),
            },
            Self::File { path, source } => Explanation {
                class: ErrorClass::World,
                what: "the file of credentials cannot be read or written".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "name another file by --authfile or REGISTRY_AUTH_FILE".to_owned(),
            },
            Self::Nothing { path, registry } => Explanation {
                class: ErrorClass::CommandLine,
                what: format!("nobody is logged in to {registry}"),
                place: path.display().to_string(),
                why: "the file holds no credentials for it".to_owned(),
                next: format!(
                    "name the file that has them: `s2r logout {registry} --authfile FILE`"
                ),
            },
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum LoginError {
        Name { text: "my registry".into() },
        Registry(RegistryError::Denied {
            registry: "registry.example.com".into(),
            repository: String::new(),
            status: 401,
            had_credentials: true,
            lacks_rights: false,
            refusals: vec![],
        }),
        Keep { path: "/home/me/.docker/config.json".into(), source: forget("{", "registry.example.com", "").unwrap_err() },
        File { path: "/home/me/.docker/config.json".into(), source: crate::report::samples::denied() },
        Nothing { path: "/home/me/.docker/config.json".into(), registry: "registry.example.com".into() },
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::login::*;

    #[test]
    fn registries_are_hosts() {
        let key = |text: &str| named(text).map(|(key, _)| key).ok();
        for (text, expected) in [
            ("r.example:5000", Some("r.example:5000")),
            ("https://r.example/", Some("r.example")),
            ("https://r.example/v2/", Some("r.example")),
            ("quay.io/team", Some("quay.io/team")),
            ("localhost", Some("localhost")),
            ("localhost:5000", Some("localhost:5000")),
            ("docker.io", Some("docker.io")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("myname", None),
            ("", None),
            ("a b", None),
            ("user:pw@r.example", None),
        ] {
            assert_eq!(key(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn files_are_for_their_owner_and_links_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/auth.json");
        write(&path, "{}\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, "{\"x\": 1}\n").unwrap();
        assert!(link.is_symlink());
        assert_eq!(read(&path).unwrap(), "{\"x\": 1}\n");
        assert_eq!(read(&folder.path().join("none")).unwrap(), "");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
