//! The HTTP client of a run, with the credentials that the user's files hold.

use std::path::{Path, PathBuf};

use super::Settings;
use crate::net::credentials::Credentials;
use crate::net::http::{Client, ClientSettings};
use crate::report::{Event, Report};

/// A client that has done nothing yet.
pub(super) fn new(settings: &Settings, report: &dyn Report) -> Client {
    Client::new(ClientSettings {
        offline: settings.rules.offline,
        ca_files: ca_files(settings),
        credentials: credentials(settings, report),
        ..ClientSettings::default()
    })
}

/// The authorities that pip's users trust besides the system's.
fn ca_files(settings: &Settings) -> Vec<PathBuf> {
    let named = settings.variables.get("PIP_CERT");
    named
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .into_iter()
        .collect()
}

/// What netrc and docker's config hold. A file that cannot be read costs a warning and no more: it
/// may well be for another host than those that are asked here.
fn credentials(settings: &Settings, report: &dyn Report) -> Credentials {
    let mut credentials = Credentials::default();
    let variable = |name: &str| {
        let value = settings
            .variables
            .get(name)
            .filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let home = |file: &str| variable("HOME").map(|home| home.join(file));
    if let Some(path) = variable("NETRC").or_else(|| home(".netrc"))
        && let Some(text) = read(&path, report)
        && let Err(error) = credentials.add_netrc(&text)
    {
        warn(&path, &error.to_string(), report);
    }
    for name in ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"] {
        let value = settings.variables.get(name).map_or("", String::as_str);
        value
            .split_whitespace()
            .for_each(|url| credentials.add_index(url));
    }
    let docker = variable("REGISTRY_AUTH_FILE")
        .or_else(|| variable("DOCKER_CONFIG").map(|folder| folder.join("config.json")))
        .or_else(|| home(".docker/config.json"));
    if let Some(path) = docker
        && let Some(text) = read(&path, report)
        && let Err(error) = credentials.add_docker_config(&text)
    {
        warn(&path, &error.to_string(), report);
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
