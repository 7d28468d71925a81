//! Mounts: a blob of another repository of the same registry is named, not sent (distribution-spec,
//! "Mounting a blob from another repository").
//!
//! Never needed for a push to succeed: whatever goes wrong here, an upload settles it.

use reqwest::Method;

use crate::net::http::{
    HttpError, HttpRequest, RequestBody, RetryHint, Retryable as _, StreamedResponse,
};
use crate::net::registry::place::upload_place;
use crate::net::registry::{RegistryError, RegistryRepository, UploadSession};
use crate::oci::{Digest, Reference};

/// Noted for a host: mounts declined one after the other.
const DECLINED: &str = "declined mounts";
/// After so many the next is not expected to be granted.
const MAX_DECLINED: u64 = 2;

/// What came of asking for a mount.
#[derive(Debug)]
pub(crate) enum MountOutcome {
    /// The blob is in the repository.
    Done,
    /// It is not, but an upload has begun.
    Begun(UploadSession),
    No,
}

impl RegistryRepository<'_> {
    /// Asks for a blob of another repository of this registry. Fails only where nothing at all could
    /// be asked (offline, nobody there, and never was in this run).
    pub(crate) fn mount_blob(
        &self,
        digest: &Digest,
        from: &Reference,
    ) -> Result<MountOutcome, RegistryError> {
        self.authorize_also(from.repository());
        let mut url = self.url("blobs/uploads/")?;
        // `from` is always said: some registries refuse a mount without it.
        url.set_query(Some(&format!("mount={digest}&from={}", from.repository())));
        let request = HttpRequest::new(Method::POST, url).with_body(RequestBody::Bytes(&[]));
        let reply = match self.ask_to_mount(&request) {
            Ok(reply) => reply,
            Err(error) if self.is_nobody(&error) => return Err(error),
            Err(_) => {
                self.host.set_note(DECLINED, self.declined() + 1);
                return Ok(MountOutcome::No);
            }
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
            (201, _) => Ok(MountOutcome::Done),
            (202, Ok(place)) => Ok(MountOutcome::Begun(place)),
            _ => Ok(MountOutcome::No),
        }
    }

    /// Asks with little patience, because an upload does as well, and with none where mounts have come to
    /// nothing before. Only a registry that says when to come again is waited for: it means all requests.
    fn ask_to_mount(&self, request: &HttpRequest<'_>) -> Result<StreamedResponse, RegistryError> {
        let (mut little, mut usual) = (self.little_patience(), self.patience());
        loop {
            let error = match self.send(request) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_told = matches!(error.passing(), Some(RetryHint::Told(_)));
            if is_told || error.status() == Some(429) {
                self.wait_or_give_up(&mut usual, error)?;
            } else if self.mounts() {
                self.wait_or_give_up(&mut little, error)?;
            } else {
                return Err(error);
            }
        }
    }

    /// Whether nobody can be asked anything; one that has answered before is being started again.
    fn is_nobody(&self, error: &RegistryError) -> bool {
        match error {
            RegistryError::Http(HttpError::Offline { .. }) => true,
            RegistryError::Http(error @ HttpError::Connect { .. }) => {
                error.passing() == Some(RetryHint::Unlikely) && !self.has_answered()
            }
            _ => false,
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
