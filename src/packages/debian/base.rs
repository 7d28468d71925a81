//! Which Debian packages an image stands on: the `debian:` part of a builder file.

use serde::{Deserialize, Serialize};

/// A base made of Debian packages.
///
/// Serialised text of this type, mirrors aside, is part of what decides a resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DebianBase {
    /// Url of the archive, without a slash at its end; Debian's own if not said.
    #[serde(default = "own_mirror")]
    pub mirror: String,
    /// Url of the archive of security updates; Debian's own if not said, not asked if null.
    #[serde(default = "own_security_mirror")]
    pub security_mirror: Option<String>,
    /// Url of a snapshot of both archives, asked for a `.deb` that the mirror no longer has.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Code name of the release, for instance `trixie`.
    pub suite: String,
    /// Parts of the archive, for instance `main`.
    pub components: Vec<String>,
    /// Whether the suite of stable updates (`trixie-updates`) is asked too; yes if not said.
    #[serde(default = "yes")]
    pub updates: bool,
    /// What goes into the image; what these need comes along, what they only recommend does not.
    pub packages: Vec<String>,
    /// Packages left out although others depend on them: no maintainer script ever runs, so the
    /// tools of such scripts are of no use.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Packages above those, which `leave_out` does not concern: they get all that they depend on. No part
    /// of a builder file; a project asks for them.
    #[serde(skip)]
    pub added: Vec<String>,
    /// The locale taken out of the package `locales-all`, for instance `en_US.UTF-8`.
    #[serde(default)]
    pub locale: Option<String>,
}

/// Debian's own archive, in front of which Debian puts the mirror that is nearest.
const ARCHIVE: &str = "http://deb.debian.org";

fn own_mirror() -> String {
    format!("{ARCHIVE}/debian")
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is the default of an optional setting"
)]
fn own_security_mirror() -> Option<String> {
    Some(format!("{ARCHIVE}/debian-security"))
}

/// The default of a setting that is on.
fn yes() -> bool {
    true
}
