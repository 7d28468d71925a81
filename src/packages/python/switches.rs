//! Switches of pip and uv that say which packages go in, and what s2r does with each: one table for their
//! variables, one for the keys of `[tool.uv]` and `uv.toml`. COMPATIBILITY.md has the same rows. What protects
//! and is not followed stops the build; nothing that changes what goes in is passed over in silence.
//!
//! Documented in <https://pip.pypa.io/en/stable/cli/pip_install/> and
//! <https://docs.astral.sh/uv/reference/settings/>. What is in neither table concerns how those programs run.

/// What is done with a switch that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It means what it means there.
    Followed,
    /// It asks for what is done anyway.
    Holds,
    /// It has no effect, for this reason; a warning says so.
    Told(&'static str),
    /// The build stops, for this reason.
    Refused(&'static str),
}

use Treatment::{Followed, Holds, Refused, Told};

const OWN_BUILDS: &str = "packages are built with their own settings, in a sandbox";
const OF_TARGET: &str = "which files fit is decided by the builder and --platform";
const OF_LAYOUT: &str = "packages lie in the virtual environment of the image";
const NOT_READ: &str = "s2r reads no settings file of pip; set PIP_INDEX_URL and the like";
const MORE_WISHES: &str = "name the packages in the requirements of the project";
const PER_PACKAGE: &str = "which releases count is said for all packages, by PIP_PRE";

pub(crate) const VARIABLES: &[(&str, Treatment)] = &[
    ("PIP_INDEX_URL", Followed),
    ("PIP_EXTRA_INDEX_URL", Followed),
    ("PIP_NO_INDEX", Followed),
    ("PIP_FIND_LINKS", Followed),
    ("PIP_CONSTRAINT", Followed),
    ("PIP_BUILD_CONSTRAINT", Followed),
    ("PIP_REQUIRE_HASHES", Followed),
    ("PIP_NO_DEPS", Followed),
    ("PIP_NO_BINARY", Followed),
    ("PIP_ONLY_BINARY", Followed),
    ("PIP_PRE", Followed),
    ("PIP_UPLOADED_PRIOR_TO", Followed),
    ("PIP_PREFER_BINARY", Followed),
    ("PIP_CERT", Followed),
    ("PIP_TRUSTED_HOST", Told("certificates are always checked")),
    ("PIP_UPGRADE", Holds),
    ("PIP_FORCE_REINSTALL", Holds),
    ("PIP_IGNORE_INSTALLED", Holds),
    ("PIP_USE_PEP517", Holds),
    ("PIP_CONFIG_FILE", Told(NOT_READ)),
    ("PIP_PROXY", Told("set HTTPS_PROXY")),
    (
        "PIP_CLIENT_CERT",
        Told("certificates of clients are for registries alone; set SSL_CLIENT_CERT for uv"),
    ),
    (
        "PIP_KEYRING_PROVIDER",
        Told("logins come from addresses and ~/.netrc"),
    ),
    (
        "PIP_IGNORE_REQUIRES_PYTHON",
        Told("a file that is not for the builder's Python is never taken"),
    ),
    ("PIP_NO_BUILD_ISOLATION", Told(OWN_BUILDS)),
    ("PIP_CONFIG_SETTINGS", Told(OWN_BUILDS)),
    ("PIP_GLOBAL_OPTION", Told(OWN_BUILDS)),
    ("PIP_BUILD_OPTION", Told(OWN_BUILDS)),
    ("PIP_INSTALL_OPTION", Told(OWN_BUILDS)),
    ("PIP_NO_USE_PEP517", Told(OWN_BUILDS)),
    ("PIP_PLATFORM", Told(OF_TARGET)),
    ("PIP_PYTHON_VERSION", Told(OF_TARGET)),
    ("PIP_IMPLEMENTATION", Told(OF_TARGET)),
    ("PIP_ABI", Told(OF_TARGET)),
    ("PIP_TARGET", Told(OF_LAYOUT)),
    ("PIP_PREFIX", Told(OF_LAYOUT)),
    ("PIP_ROOT", Told(OF_LAYOUT)),
    ("PIP_USER", Told(OF_LAYOUT)),
    ("PIP_SRC", Told(OF_LAYOUT)),
    ("PIP_USE_FEATURE", Told("it is about pip's own ways")),
    ("PIP_USE_DEPRECATED", Told("it is about pip's own ways")),
    ("PIP_ONLY_FINAL", Refused(PER_PACKAGE)),
    ("PIP_ALL_RELEASES", Refused(PER_PACKAGE)),
    ("PIP_REQUIREMENT", Refused(MORE_WISHES)),
    ("PIP_EDITABLE", Refused(MORE_WISHES)),
    ("PIP_GROUP", Refused("set S2R_GROUPS")),
    ("UV_EXCLUDE_NEWER", Followed),
    ("UV_NO_BUILD", Followed),
    ("UV_NO_BUILD_PACKAGE", Followed),
    ("UV_NO_BINARY", Followed),
    ("UV_NO_BINARY_PACKAGE", Followed),
    ("UV_PRERELEASE", Followed),
    ("UV_RESOLUTION", Followed),
    ("UV_REQUIRE_HASHES", Followed),
    ("UV_DEFAULT_INDEX", Followed),
    ("UV_INDEX_URL", Followed),
    ("UV_INDEX", Followed),
    ("UV_EXTRA_INDEX_URL", Followed),
    ("UV_FIND_LINKS", Followed),
    ("UV_NO_INDEX", Followed),
    (
        "UV_INDEX_STRATEGY",
        Refused(
            "the first index of UV_INDEX that has a package has all of it; those of PIP_EXTRA_INDEX_URL are asked together",
        ),
    ),
    (
        "UV_NO_SOURCES",
        Refused("leave the sources out of [tool.uv]"),
    ),
    (
        "UV_TORCH_BACKEND",
        Refused("set PIP_EXTRA_INDEX_URL to the index of that backend"),
    ),
    ("UV_CONSTRAINT", Refused("set PIP_CONSTRAINT")),
    ("UV_BUILD_CONSTRAINT", Refused("set PIP_BUILD_CONSTRAINT")),
    (
        "UV_OVERRIDE",
        Refused("write them into [tool.uv] override-dependencies"),
    ),
    (
        "UV_EXCLUDE",
        Refused("leave the packages out of the requirements"),
    ),
];

const SET_OTHERWISE: &str = "s2r does not follow it, and other packages would go in";

/// Keys of `[tool.uv]` and `uv.toml`, where `pyproject.toml` is resolved without a lock.
pub(crate) const UV_KEYS: &[(&str, Treatment)] = &[
    ("index", Followed),
    ("index-url", Followed),
    ("extra-index-url", Followed),
    ("index-strategy", Followed),
    ("no-index", Followed),
    ("find-links", Followed),
    ("sources", Followed),
    ("constraint-dependencies", Followed),
    ("override-dependencies", Followed),
    ("build-constraint-dependencies", Followed),
    ("dev-dependencies", Followed),
    ("exclude-newer", Followed),
    ("no-build", Followed),
    ("no-build-package", Followed),
    ("no-binary", Followed),
    ("no-binary-package", Followed),
    ("prerelease", Followed),
    ("resolution", Followed),
    ("dependency-metadata", Followed),
    ("environments", Followed),
    ("conflicts", Followed),
    ("package", Holds),
    ("managed", Holds),
    ("workspace", Holds),
    ("fork-strategy", Holds),
    ("required-environments", Holds),
    (
        "default-groups",
        Told("groups are for those who develop; S2R_GROUPS names those that go in"),
    ),
    ("config-settings", Told(OWN_BUILDS)),
    ("config-settings-package", Told(OWN_BUILDS)),
    ("extra-build-dependencies", Told(OWN_BUILDS)),
    ("extra-build-variables", Told(OWN_BUILDS)),
    ("no-build-isolation", Told(OWN_BUILDS)),
    ("no-build-isolation-package", Told(OWN_BUILDS)),
    (
        "keyring-provider",
        Told("logins come from addresses, UV_INDEX_<NAME>_USERNAME and _PASSWORD, and ~/.netrc"),
    ),
    (
        "allow-insecure-host",
        Told("certificates are always checked"),
    ),
    ("pip", Told("it is for `uv pip` alone")),
    ("exclude-newer-package", Refused(SET_OTHERWISE)),
    ("exclude-dependencies", Refused(SET_OTHERWISE)),
    ("no-sources", Refused(SET_OTHERWISE)),
    ("no-sources-package", Refused(SET_OTHERWISE)),
    ("torch-backend", Refused(SET_OTHERWISE)),
];

/// Keys of uv that concern how uv runs, publishes or finds Pythons.
const OF_UV_ALONE: &[&str] = &[
    "add-bounds",
    "audit",
    "build-backend",
    "cache-dir",
    "cache-keys",
    "check-url",
    "compile-bytecode",
    "concurrent-builds",
    "concurrent-downloads",
    "concurrent-installs",
    "dependency-groups",
    "http-proxy",
    "https-proxy",
    "link-mode",
    "native-tls",
    "no-cache",
    "no-proxy",
    "offline",
    "preview",
    "preview-features",
    "publish-url",
    "pypy-install-mirror",
    "python-downloads",
    "python-downloads-json-url",
    "python-install-mirror",
    "python-preference",
    "reinstall",
    "reinstall-package",
    "required-version",
    "system-certs",
    "trusted-publishing",
    "upgrade",
    "upgrade-package",
];

/// Variables that hold addresses, with a login maybe.
pub(crate) const ADDRESSES: [&str; 8] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
];

/// The name and the address in a word of uv's variables: `NAME=ADDRESS`, or the address alone.
pub(crate) fn named_address(word: &str) -> (&str, &str) {
    let is_name = |name: &str| {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && name.chars().all(is_of_name)
    };
    word.split_once('=')
        .filter(|(name, _)| is_name(name))
        .unwrap_or(("", word))
}

/// Whether a variable is one of those that say which packages go in.
pub(crate) fn is_listed(name: &str) -> bool {
    VARIABLES.iter().any(|(listed, _)| *listed == name)
}

/// What is done with a key of uv; one that nobody knows yet may be one that protects.
pub(crate) fn of_uv(key: &str) -> Option<Treatment> {
    let mut rows = UV_KEYS.iter();
    match rows.find(|(name, _)| *name == key) {
        Some((_, treatment)) => Some(*treatment),
        None if OF_UV_ALONE.contains(&key) => None,
        None => Some(Told("s2r does not know it")),
    }
}

/// Whether a switch is on, as pip reads its variables.
pub(crate) fn is_on(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on" | "y" | "t"
    )
}

/// Whether a switch is off by name, or says nothing.
pub(crate) fn is_off(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "" | "0" | "false" | "no" | "off" | "n" | "f"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_users_has_every_row() {
        let page = include_str!("../../../COMPATIBILITY.md");
        let told_of = |name: &str| {
            let mut rows = page.lines().filter_map(|line| {
                let mut columns = line.strip_prefix("| ")?.split(" | ");
                let names = columns.next()?;
                names
                    .contains(&format!("`{name}`"))
                    .then_some(columns.next()?)
            });
            let words = rows.by_ref().map(|told| told.trim_end_matches('|').trim());
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        for option in crate::packages::python::requirements::option_names() {
            assert!(!told_of(option).is_empty(), "{option}");
        }
        for (name, treatment) in VARIABLES.iter().chain(UV_KEYS) {
            let word = match treatment {
                Followed => "followed",
                Holds => "holds",
                Told(_) => "told",
                Refused(_) => "stops",
            };
            let told = told_of(name);
            assert!(
                told.iter().any(|told| told.starts_with(word)),
                "{name}: {word}, and the page has {told:?}"
            );
        }
    }

    #[test]
    fn keys_that_nobody_knows_are_told() {
        assert_eq!(of_uv("sources"), Some(Followed));
        assert_eq!(of_uv("cache-dir"), None);
        assert!(matches!(of_uv("never-heard-of"), Some(Told(_))));
        for (word, expected) in [
            ("corp=https://h/simple", ("corp", "https://h/simple")),
            ("https://h/?a=b", ("", "https://h/?a=b")),
        ] {
            assert_eq!(named_address(word), expected);
        }
        assert!(is_off("0") && is_off("") && !is_off("x") && is_on("Yes") && !is_on("x"));
    }
}
