//! Mounts: a blob of another repository of the same registry is named, not sent (distribution-spec,
//! "Mounting a blob from another repository").
//!
//! Never needed for a push to succeed: whatever goes wrong here, an upload settles it.

use reqwest::Method;

use crate::net::http::{Body, Request};
use crate::net::registry::place::upload_place;
use crate::net::registry::{Registry, RegistryError, Session};
use crate::oci::{Digest, Reference};

/// Noted for a host: mounts declined one after the other.
const DECLINED: &str = "declined mounts";
/// After so many the next is not expected to be granted.
const MAX_DECLINED: u64 = 2;

/// What came of asking for a mount.
#[derive(Debug)]
pub(crate) enum Mounted {
    /// The blob is in the repository.
    Done,
    /// It is not, but an upload has begun.
    Begun(Session),
    /// It is not.
    No,
}

impl Registry<'_> {
    /// Asks for a blob of another repository of this registry. Fails only where nothing at all could
    /// be asked (offline, no connection).
    pub(crate) fn mount_blob(
        &self,
        digest: &Digest,
        from: &Reference,
    ) -> Result<Mounted, RegistryError> {
        self.authorize_also(from.repository());
        let mut url = self.url("blobs/uploads/")?;
        // `from` is always said: some registries refuse a mount without it.
        url.set_query(Some(&format!("mount={digest}&from={}", from.repository())));
        let request = Request::new(Method::POST, url).with_body(Body::Bytes(&[]));
        let reply = match self.patiently(|| self.send(&request)) {
            Ok(reply) => reply,
            Err(RegistryError::Http(error)) if error.status().is_none() => return Err(error.into()),
            Err(_) => return Ok(Mounted::No),
        };
        let place = upload_place(&reply);
        let status = reply.status();
        reply.drain();
        let declined = if status == 201 {
            0
        } else {
            self.declined() + 1
        };
        self.host.set_note(DECLINED, declined);
        match (status, place) {
            (201, _) => Ok(Mounted::Done),
            (202, Ok(place)) => Ok(Mounted::Begun(place)),
            _ => Ok(Mounted::No),
        }
    }

    /// Whether a mount is likely enough to ask for it before anything else: registries that mount
    /// nothing, or not for this user, are found out by their answers.
    pub(crate) fn mounts(&self) -> bool {
        self.declined() < MAX_DECLINED
    }

    fn declined(&self) -> u64 {
        self.host.note(DECLINED).unwrap_or(0)
    }
}
