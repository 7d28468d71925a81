//! Which Debian packages an image stands on: the `debian:` part of a builder file.

use serde::{Deserialize, Serialize};

use super::Snapshot;

/// A base made of Debian packages.
///
/// Serialised text of this type, mirrors aside, is part of what decides a resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DebianBase {
    /// Url of the archive, without a slash at its end; Debian's own if not said.
    pub mirror: String,
    /// Url of the archive of security updates; Debian's own if not said, not asked if null.
    pub security_mirror: Option<String>,
    /// Where versions are that the mirror no longer has. With a date `{date}` in both mirrors stands for it.
    pub snapshot: Option<Snapshot>,
    /// Whether an index is taken after the day that it names for its end; not if not said.
    pub valid_until: ValidUntil,
    /// Code name of the release, for instance `trixie`.
    pub suite: String,
    /// Parts of the archive, for instance `main`.
    pub components: Vec<String>,
    /// Whether the suite of stable updates (`trixie-updates`) is asked too; yes if not said.
    pub updates: bool,
    /// What goes into the image; what these need comes along, what they only recommend does not.
    pub packages: Vec<String>,
    /// Packages left out although others depend on them: no maintainer script ever runs, so the
    /// tools of such scripts are of no use.
    pub leave_out: Vec<String>,
    /// Packages above those, which `leave_out` does not concern: they get all that they depend on. No part
    /// of a builder file; a project asks for them.
    #[serde(skip)]
    pub added: Vec<String>,
    /// The locale taken out of the package `locales-all`, for instance `en_US.UTF-8`.
    pub locale: Option<String>,
}

/// What an index's `Valid-Until` means. That of testing names a week, and those of releases none, so a mirror
/// that stands still is of no use for the former unless this is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValidUntil {
    /// An index that has expired is refused: a mirror could hold updates back otherwise.
    #[default]
    Check,
    /// It is used, and told of.
    Ignore,
}

/// The archive that keeps all that Debian's own ever had.
const PAST: &str = "http://snapshot.debian.org/archive";
/// What stands for the date of a snapshot in a mirror's address.
const DATE: &str = "{date}";

impl DebianBase {
    /// Has a date of a snapshot stand in the mirrors' addresses. Debian's own are those of its archive of the past.
    ///
    /// # Errors
    /// A mirror that has no place for the date.
    pub(crate) fn dated(mut self) -> Result<Self, UndatedMirror> {
        let Some(date) = self.snapshot.as_ref().and_then(Snapshot::date) else {
            return Ok(self);
        };
        let dated = |mirror: &str, own: &str, archive: &str| {
            let address = if mirror == own {
                format!("{PAST}/{archive}/{DATE}")
            } else {
                mirror.to_owned()
            };
            if !address.contains(DATE) {
                return Err(UndatedMirror { mirror: address });
            }
            Ok(address.replace(DATE, &date.to_string()))
        };
        self.mirror = dated(&self.mirror, &Self::own_mirror(), "debian")?;
        if let Some(security) = &mut self.security_mirror {
            *security = dated(security, &Self::own_security_mirror(), "debian-security")?;
        }
        Ok(self)
    }
}

/// A mirror's address has no place for the date of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UndatedMirror {
    pub mirror: String,
}

/// Debian's own archive, in front of which Debian puts the mirror that is nearest.
const ARCHIVE: &str = "http://deb.debian.org";

impl DebianBase {
    /// The address of Debian's own archive.
    pub(crate) fn own_mirror() -> String {
        format!("{ARCHIVE}/debian")
    }

    /// Debian's own archive of security updates.
    pub(crate) fn own_security_mirror() -> String {
        format!("{ARCHIVE}/debian-security")
    }
}
