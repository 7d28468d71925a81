//! The `debian:` part of a builder file as it is written.

use serde::Deserialize;

use super::said::{ListSaid, NotInherited, Said};
use crate::packages::debian::{DebianBase, Snapshot, ValidUntil};

/// The part of one file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DebianPart {
    pub mirror: Said<String>,
    pub security_mirror: Said<String>,
    snapshot: Said<Snapshot>,
    valid_until: Said<ValidUntil>,
    pub suite: Said<String>,
    pub components: Said<Vec<String>>,
    updates: Said<bool>,
    packages: Said<ListSaid>,
    leave_out: Said<ListSaid>,
    locale: Said<String>,
}

/// A list whose change does not fit what is inherited.
pub(super) type WrongList = (&'static str, NotInherited);

impl DebianPart {
    /// This, upon the part of the file that is extended.
    pub(super) fn over(self, inherited: Self) -> Result<Self, WrongList> {
        let list = |field, said: Said<ListSaid>, inherited| {
            said.list_over(inherited).map_err(|error| (field, error))
        };
        Ok(Self {
            mirror: self.mirror.over(inherited.mirror),
            security_mirror: self.security_mirror.over(inherited.security_mirror),
            snapshot: self.snapshot.over(inherited.snapshot),
            valid_until: self.valid_until.over(inherited.valid_until),
            suite: self.suite.over(inherited.suite),
            components: self.components.over(inherited.components),
            updates: self.updates.over(inherited.updates),
            packages: list("debian.packages", self.packages, inherited.packages)?,
            leave_out: list("debian.leave_out", self.leave_out, inherited.leave_out)?,
            locale: self.locale.over(inherited.locale),
        })
    }

    /// What the part asks for, or the key that is missing.
    pub(super) fn into_base(self) -> Result<DebianBase, &'static str> {
        if self.packages.as_ref().is_none() {
            return Err("debian.packages");
        }
        Ok(DebianBase {
            mirror: self.mirror.value().unwrap_or_else(DebianBase::own_mirror),
            security_mirror: match self.security_mirror {
                Said::Nothing => Some(DebianBase::own_security_mirror()),
                Said::Null => None,
                Said::Value(url) => Some(url),
            },
            snapshot: self.snapshot.value(),
            valid_until: self.valid_until.value().unwrap_or_default(),
            suite: self.suite.value().ok_or("debian.suite")?,
            components: self.components.value().ok_or("debian.components")?,
            updates: self.updates.value().unwrap_or(true),
            packages: self.packages.list(),
            leave_out: self.leave_out.list(),
            added: Vec::new(),
            locale: self.locale.value(),
        })
    }
}
