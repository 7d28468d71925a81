//! The HTTP client of a run, with the credentials that the user's files hold and the rules that the user
//! has for registries.
//!
//! The order in which credentials are looked for is that of containers-auth.json(5), what was named
//! before what is merely there: `--authfile`; the secrets of `PUSH_DOCKERCFG_PATH` or
//! `PULL_DOCKERCFG_PATH`; `REGISTRY_AUTH_FILE`; `DOCKER_CONFIG`; `auth.json` of the session, then of the
//! user; docker's `config.json` and its older `.dockercfg`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::net::credentials::{Credentials, LoginSources, RegistryLogin};
use crate::net::http::{Client, ClientSettings, TlsRules};
use crate::net::mirrors::{BASE_MIRROR, MirrorFiles, MirrorRules};
use crate::packages::python::switches::{ADDRESSES, named_address};
use crate::report::{Event, Report};

/// The system's settings for everything of containers.
const CONTAINERS: &str = "/etc/containers";
/// Where a pod has its own account (Kubernetes, "Service Accounts").
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Its files of authorities: OpenShift's for services, and the cluster's.
const CLUSTER_AUTHORITIES: [&str; 2] = ["service-ca.crt", "ca.crt"];
/// Folders of folders of certificates: docker's and containers'.
const CERTIFICATE_ROOTS: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// A client that has done nothing yet.
pub(crate) fn new(settings: &Settings, report: &dyn Report) -> Client {
    Client::new(ClientSettings {
        offline: settings.rules.offline,
        ca_files: authorities(settings),
        credentials: credentials(settings, report),
        trust: trust(settings),
        mirrors: mirrors(settings),
        ..ClientSettings::default()
    })
}

/// A client that knows one registry's credentials: those to be tried.
pub(crate) fn with_login(
    settings: &Settings,
    registry: &str,
    login: RegistryLogin,
    report: &dyn Report,
) -> Client {
    let mut credentials = credentials(settings, report);
    credentials.set_logins(LoginSources {
        given: Some((registry.to_owned(), login)),
        ..LoginSources::default()
    });
    Client::new(ClientSettings {
        offline: settings.rules.offline,
        ca_files: authorities(settings),
        credentials,
        trust: trust(settings),
        mirrors: mirrors(settings),
        ..ClientSettings::default()
    })
}

/// Says what went wrong with credentials and mirrors while registries were asked.
pub(crate) fn say_warnings(client: &Client, report: &dyn Report) {
    let mut texts = client.credentials().take_warnings();
    texts.extend(client.mirrors().take_warnings());
    for text in texts {
        report.event(Event::Warning {
            text,
            hint: String::new(),
        });
    }
}

/// A variable that is set and not empty.
pub(crate) fn variable<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    let value = settings.variables.get(name)?;
    (!value.is_empty()).then_some(value.as_str())
}

/// The path in a variable.
fn path(settings: &Settings, name: &str) -> Option<PathBuf> {
    Some(settings.directory.join(variable(settings, name)?))
}

/// The paths in a variable, colons between.
fn paths(settings: &Settings, name: &str) -> Vec<PathBuf> {
    let all = variable(settings, name).unwrap_or_default().split(':');
    all.filter(|path| !path.is_empty())
        .map(|path| settings.directory.join(path))
        .collect()
}

/// The words in a variable, commas or white space between.
fn words(settings: &Settings, name: &str) -> BTreeSet<String> {
    variable(settings, name)
        .unwrap_or_default()
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The authorities that are trusted besides the system's: those named, and pip's.
fn authorities(settings: &Settings) -> Vec<PathBuf> {
    let named = settings.registries.authorities.iter();
    let mut all: Vec<PathBuf> = named.map(|path| settings.directory.join(path)).collect();
    all.extend(paths(settings, "S2R_CA"));
    all.extend(path(settings, "PIP_CERT"));
    all
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
fn configuration(settings: &Settings) -> Option<PathBuf> {
    path(settings, "XDG_CONFIG_HOME").or_else(|| Some(path(settings, "HOME")?.join(".config")))
}

fn service_account(settings: &Settings) -> PathBuf {
    path(settings, "S2R_SERVICE_ACCOUNT").unwrap_or_else(|| PathBuf::from(SERVICE_ACCOUNT))
}

fn trust(settings: &Settings) -> TlsRules {
    let registries = &settings.registries;
    let own = configuration(settings).into_iter();
    let own = own.flat_map(|folder| {
        [
            folder.join("containers/certs.d"),
            folder.join("docker/certs.d"),
        ]
    });
    let account = service_account(settings);
    let mut insecure = words(settings, "S2R_INSECURE_REGISTRIES");
    insecure.extend(registries.insecure.iter().cloned());
    TlsRules {
        certificate_roots: own.chain(CERTIFICATE_ROOTS.map(PathBuf::from)).collect(),
        certificates: registries
            .certificates
            .as_ref()
            .map(|folder| settings.directory.join(folder)),
        cluster_authorities: CLUSTER_AUTHORITIES.map(|name| account.join(name)).to_vec(),
        insecure,
        verify: registries.verify,
        token_hosts: words(settings, "S2R_TOKEN_HOSTS"),
        no_proxy: variable(settings, "NO_PROXY")
            .or_else(|| variable(settings, "no_proxy"))
            .unwrap_or_default()
            .to_owned(),
    }
}

/// `registries.conf` and what is beside it, which nobody has read yet, and the mirror of base images.
fn mirrors(settings: &Settings) -> MirrorRules {
    MirrorRules::new(MirrorFiles {
        named: path(settings, "CONTAINERS_REGISTRIES_CONF"),
        user: configuration(settings).map(|folder| folder.join("containers")),
        system: Some(PathBuf::from(CONTAINERS)),
        base_mirror: variable(settings, BASE_MIRROR).map(str::to_owned),
    })
}

/// `auth.json` of the session, which ends with it.
fn session_file(settings: &Settings) -> PathBuf {
    let folder = path(settings, "XDG_RUNTIME_DIR").unwrap_or_else(|| {
        // Where podman has it without a session.
        let user = rustix::process::getuid().as_raw();
        PathBuf::from(format!("/run/containers/{user}"))
    });
    folder.join(if variable(settings, "XDG_RUNTIME_DIR").is_some() {
        "containers/auth.json"
    } else {
        "auth.json"
    })
}

fn docker_file(settings: &Settings) -> Option<PathBuf> {
    Some(path(settings, "DOCKER_CONFIG")?.join("config.json"))
}

/// The file that a login goes to: podman's choice.
pub(crate) fn login_file(settings: &Settings) -> PathBuf {
    let named = settings.registries.auth_file.as_ref();
    named
        .map(|file| settings.directory.join(file))
        .or_else(|| path(settings, "REGISTRY_AUTH_FILE"))
        .or_else(|| docker_file(settings))
        .unwrap_or_else(|| session_file(settings))
}

fn logins(settings: &Settings) -> LoginSources {
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(path(settings, "REGISTRY_AUTH_FILE"));
    let docker = docker_file(settings);
    files.extend(docker.clone());
    files.push(session_file(settings));
    files.extend(configuration(settings).map(|folder| folder.join("containers/auth.json")));
    if let Some(home) = path(settings, "HOME") {
        if docker.is_none() {
            files.push(home.join(".docker/config.json"));
        }
        files.push(home.join(".dockercfg"));
    }
    LoginSources {
        given: None,
        named: settings
            .registries
            .auth_file
            .as_ref()
            .map(|file| settings.directory.join(file)),
        pull_secrets: paths(settings, "PULL_DOCKERCFG_PATH"),
        push_secrets: paths(settings, "PUSH_DOCKERCFG_PATH"),
        files,
        path: variable(settings, "PATH").unwrap_or_default().to_owned(),
        service_account: Some(service_account(settings)),
    }
}

/// What netrc holds, and where registries' are. A file that cannot be read costs a warning and no more:
/// it may well be for another host than those that are asked here.
fn credentials(settings: &Settings, report: &dyn Report) -> Credentials {
    let mut credentials = Credentials::default();
    credentials.set_logins(logins(settings));
    let netrc = || Some(path(settings, "HOME")?.join(".netrc"));
    if let Some(path) = path(settings, "NETRC").or_else(netrc)
        && let Some(text) = read(&path, report)
        && let Err(error) = credentials.add_netrc(&text)
    {
        warn(&path, &error.to_string(), report);
    }
    for name in ADDRESSES {
        let value = settings.variables.get(name).map_or("", String::as_str);
        value
            .split_whitespace()
            .for_each(|word| credentials.add_index(named_address(word).1));
    }
    credentials
}

fn read(path: &Path, report: &dyn Report) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            warn(path, &error.to_string(), report);
            None
        }
    }
}

fn warn(path: &Path, reason: &str, report: &dyn Report) {
    report.event(Event::Warning {
        text: format!("{}: its credentials are not used: {reason}", path.display()),
        hint: String::new(),
    });
}
