//! The environment in which things are resolved and built: the caller's, and above it what the project
//! may set, which is not everything.

use std::collections::BTreeMap;

use super::settings::Settings;
use crate::packages::python::expand_variables;
use crate::packages::python::switches::{ADDRESSES, is_listed};
use crate::plan::{Plan, ValueOrigin};
use crate::resolve::wheels::WheelError;

/// The caller's environment, and above it what the project, `-e` and `-E` set: variables of pip and uv, with
/// values for `${NAME}` in them. What builder and s2r set is for the image alone.
///
/// # Errors
/// An address that names a variable which whoever set it may not read.
pub(crate) fn environment(
    plan: &Plan,
    settings: &Settings,
) -> Result<BTreeMap<String, String>, WheelError> {
    let mut environment = settings.variables.clone();
    expand(&mut environment, &settings.variables)?;
    let mut own: BTreeMap<String, String> = set_by_users(plan)
        .filter(|(name, _)| !is_callers_alone(name))
        .collect();
    expand(&mut own, &given(plan, settings))?;
    environment.append(&mut own);
    Ok(environment)
}

/// What `${NAME}` in files of the project means: what the project, `-e` and `-E` set, and what of the
/// caller's environment `--pass-env` names. A project that could name any variable could send any
/// secret of the caller's to any host.
pub(crate) fn given(plan: &Plan, settings: &Settings) -> BTreeMap<String, String> {
    let mut given: BTreeMap<String, String> = settings.passed.variables().collect();
    given.extend(set_by_users(plan));
    given
}

fn set_by_users(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    plan.environment
        .settings()
        .filter(|(_, setting)| {
            !matches!(
                setting.origin,
                ValueOrigin::Builder { .. } | ValueOrigin::Default
            )
        })
        .map(|(name, setting)| (name.to_owned(), setting.value.clone()))
}

/// Puts values in for `${NAME}` in the addresses of pip and uv.
fn expand(
    variables: &mut BTreeMap<String, String>,
    known: &BTreeMap<String, String>,
) -> Result<(), WheelError> {
    for address in ADDRESSES {
        if let Some(value) = variables.get_mut(address) {
            *value =
                expand_variables(value, &|name| known.get(name).cloned()).map_err(|error| {
                    WheelError::Address {
                        variable: address,
                        error,
                    }
                })?;
        }
    }
    Ok(())
}

/// Variables that say where packages come from and which are taken, logins left out.
pub(crate) fn is_of_indexes(name: &str) -> bool {
    let is_login = ["USERNAME", "PASSWORD", "TOKEN", "KEYRING_PROVIDER"];
    name == "S2R_PREFER"
        || ((name.starts_with("PIP_") || is_listed(name))
            && !is_login.iter().any(|end| name.ends_with(end))
            && !is_callers_alone(name))
}

/// Variables that decide which programs run and whom they trust: a project must not set them for
/// the machine that builds it.
pub(super) fn is_callers_alone(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // The login of an index that the project names.
    let is_login = upper.ends_with("_USERNAME") || upper.ends_with("_PASSWORD");
    if upper.starts_with("UV_") {
        return !(is_listed(name) || (upper.starts_with("UV_INDEX_") && is_login));
    }
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
        || ["SSL_", "LD_", "XDG_"]
            .iter()
            .any(|start| upper.starts_with(start))
}

#[cfg(test)]
mod tests {
    use crate::context::variables::*;

    #[test]
    fn a_project_names_no_programs_and_no_authorities() {
        for name in [
            "PATH",
            "HOME",
            "NETRC",
            "SSL_CERT_FILE",
            "https_proxy",
            "UV_CACHE_DIR",
            "UV_HTTP_TIMEOUT",
            "UV_INSECURE_HOST",
            "PIP_CERT",
        ] {
            assert!(is_callers_alone(name), "{name}");
        }
        for name in [
            "PIP_INDEX_URL",
            "PIP_CONSTRAINT",
            "TOKEN",
            "MY_PATH",
            "UV_INDEX_CORP_PASSWORD",
            "UV_REQUIRE_HASHES",
            "UV_OVERRIDE",
        ] {
            assert!(!is_callers_alone(name), "{name}");
        }
    }

    #[test]
    fn what_decides_on_packages_is_a_part_of_what_a_lock_was_made_from() {
        for (name, expected) in [
            ("PIP_INDEX_URL", true),
            ("UV_EXCLUDE_NEWER", true),
            ("UV_REQUIRE_HASHES", true),
            ("UV_NO_BUILD_PACKAGE", true),
            ("UV_INDEX_CORP_PASSWORD", false),
            ("UV_CACHE_DIR", false),
            ("PIP_CERT", false),
        ] {
            assert_eq!(is_of_indexes(name), expected, "{name}");
        }
    }
}
