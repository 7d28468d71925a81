//! Uploads of blobs (distribution-spec, "Pushing Blobs").

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::net::http::{Body, Open, Request, location};
use crate::net::registry::{Registry, RegistryError};
use crate::oci::Digest;

/// An upload gets this long whatever its size; servers may verify for a while before they answer.
const UPLOAD_BASE: Duration = Duration::from_mins(5);
/// And a second more for this many bytes; a line slower than that is no use for images.
const UPLOAD_BYTES_A_SECOND: u64 = 64 << 10;

/// An upload that a registry has begun.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where it goes on; it changes with each answer.
    place: Url,
}

impl Session {
    /// The upload that goes on at `place`.
    pub(super) fn at(place: Url) -> Self {
        Self { place }
    }
}

impl Registry<'_> {
    /// Uploads a blob. `open` opens it from its beginning, once a try; `sent` is kept at the number
    /// of bytes handed to the connection. `begun` is an upload that a declined mount left open.
    pub(crate) fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        open: Open<'_>,
        sent: &Arc<AtomicU64>,
        mut begun: Option<Session>,
    ) -> Result<(), RegistryError> {
        self.patiently(|| {
            let session = match begun.take() {
                Some(session) => session,
                None => self.begin()?,
            };
            self.upload_once(session, digest, size, open, sent)
        })
    }

    /// Gives an upload up (distribution-spec, "Canceling a blob upload"). Registries clean up by
    /// themselves in time, so one that does not listen is left alone.
    pub(crate) fn cancel(&self, session: Session) {
        if let Ok(reply) = self.send(&Request::new(Method::DELETE, session.place)) {
            reply.drain();
        }
    }

    fn begin(&self) -> Result<Session, RegistryError> {
        let start =
            Request::new(Method::POST, self.url("blobs/uploads/")?).with_body(Body::Bytes(&[]));
        let reply = self.send(&start)?;
        if reply.status() != 202 {
            return Err(self.refused(reply));
        }
        let place = location(&reply, "location")?;
        reply.drain();
        Ok(Session::at(place))
    }

    fn upload_once(
        &self,
        session: Session,
        digest: &Digest,
        size: u64,
        open: Open<'_>,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), RegistryError> {
        let mut target = session.place;
        // Appended as text: what stands in the query is the registry's, and stays as it is.
        let query = match target.query() {
            Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
            _ => format!("digest={digest}"),
        };
        target.set_query(Some(&query));
        let mut put = Request::new(Method::PUT, target).with_body(Body::Stream {
            size,
            open,
            sent: Arc::clone(sent),
        });
        put.header("content-type", "application/octet-stream");
        put.time_limit = Some(UPLOAD_BASE + Duration::from_secs(size / UPLOAD_BYTES_A_SECOND));
        let done = self.send(&put)?;
        if !matches!(done.status(), 201 | 204) {
            return Err(self.refused(done));
        }
        done.drain();
        Ok(())
    }
}
