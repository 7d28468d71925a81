//! The environment in which things are resolved and built: the caller's, and above it what the project
//! may set, which is not everything.

use std::collections::BTreeMap;

use super::Settings;
use super::platform::Site;
use crate::packages::python::Url;
use crate::plan::{Origin, Plan};
use crate::resolve::wheels::Indexes;

impl Site<'_> {
    /// An address with the credentials of the index that it belongs to.
    pub(super) fn with_credentials(&self, url: Url) -> Url {
        let options = crate::packages::python::IndexOptions::default();
        let (indexes, _) = Indexes::new(&options, &self.environment);
        indexes.with_credentials(url)
    }

    /// pip's variables, and what requirement files may name.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// What the project and the command line set for steps that build.
    pub(super) fn build_variables(&self) -> BTreeMap<String, String> {
        self.plan
            .environment
            .settings()
            .filter(|(name, setting)| {
                !matches!(setting.origin, Origin::Builder { .. } | Origin::Default)
                    && !is_callers_alone(name)
            })
            .map(|(name, setting)| (name.to_owned(), setting.value.clone()))
            .collect()
    }
}

/// The caller's environment, and above it what the project, `-e` and `-E` set: pip's variables, and
/// what `${NAME}` in requirement files means. What builder and s2r set is for the image alone.
pub(super) fn environment(plan: &Plan, settings: &Settings) -> BTreeMap<String, String> {
    let mut environment = settings.variables.clone();
    for (name, setting) in plan.environment.settings() {
        let is_users = !matches!(setting.origin, Origin::Builder { .. } | Origin::Default);
        if is_users && !is_callers_alone(name) {
            environment.insert(name.to_owned(), setting.value.clone());
        }
    }
    environment
}

/// Variables that say where packages come from and which are taken, logins left out.
pub(super) fn is_of_indexes(name: &str) -> bool {
    let is_login = ["USERNAME", "PASSWORD", "TOKEN", "KEYRING_PROVIDER"];
    let of_tools = [
        "PIP_",
        "UV_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
    ];
    name == "S2R_PREFER"
        || (of_tools.iter().any(|start| name.starts_with(start))
            && !is_login.iter().any(|end| name.ends_with(end))
            && !is_callers_alone(name))
}

/// Variables that decide which programs run and whom they trust: a project must not set them for
/// the machine that builds it.
fn is_callers_alone(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    [
        "PATH",
        "HOME",
        "NETRC",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "TMPDIR",
    ]
    .contains(&upper.as_str())
        || upper.ends_with("_PROXY")
        || ["SSL_", "UV_", "LD_", "XDG_"]
            .iter()
            .any(|start| upper.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_no_programs_and_no_authorities() {
        for name in [
            "PATH",
            "HOME",
            "NETRC",
            "SSL_CERT_FILE",
            "https_proxy",
            "UV_INDEX",
            "PIP_CERT",
        ] {
            assert!(is_callers_alone(name), "{name}");
        }
        for name in ["PIP_INDEX_URL", "PIP_CONSTRAINT", "TOKEN", "MY_PATH"] {
            assert!(!is_callers_alone(name), "{name}");
        }
    }
}
