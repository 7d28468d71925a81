//! Uploads of blobs (distribution-spec, "Pushing Blobs").
//!
//! A blob goes up by one POST and one PUT with its length; a small one in the POST itself, where the
//! registry takes that. Pieces are sent only where something on the way refuses a large body, or cuts
//! it, because each costs a round trip (the measured cost is up to the time of the transfer itself).
//! What breaks off goes on where the registry says it stands; a session that it has lost is begun anew.

use crate::net::registry::place::UploadSession;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;

use crate::net::http::{HttpError, HttpRequest, OpenBody, RequestBody, Retryable as _};
use crate::net::registry::pieces::PieceSource;
use crate::net::registry::place::upload_place;
use crate::net::registry::{RegistryError, RegistryRepository, quirks};
use crate::oci::Digest;

/// An upload gets this long whatever its size; servers may verify for a while before they answer.
const UPLOAD_BASE: Duration = Duration::from_mins(5);
/// And a second more for this many bytes; a line slower than that is no use for images.
const UPLOAD_BYTES_A_SECOND: u64 = 64 << 10;
/// Blobs up to this size are sent in the POST that asks for an upload.
const SINGLE_POST_BYTES: u64 = 64 << 10;
/// Blobs of this size are taken up again where they broke off; smaller ones begin again.
const RESUME_BYTES: u64 = 16 << 20;
/// Pieces where a host takes no more at once; proxies of content networks end at 100 MB.
const PIECE_BYTES: u64 = 32 << 20;
/// The smallest piece tried: what nginx takes where nobody has told it otherwise.
const SMALLEST_PIECE_BYTES: u64 = 1 << 20;
/// Blobs beyond this size are refused by some front ends with a bare 400.
const HUGE_BYTES: u64 = if cfg!(test) { 4 << 20 } else { 1 << 30 };
/// Times that an upload asks where it stands because the registry says that it stands elsewhere.
const MAX_RESYNCS: u32 = 3;

/// Sessions of one blob that the registry may lose; behind a name that stands for several replicas it would
/// lose all of them.
const MAX_LOST: u32 = 6;

/// Noted for a host that declines blobs in a POST.
const NO_SINGLE_POST: &str = "no blob in a POST";
/// Noted for a host that takes no larger bodies than this, in bytes.
const LARGEST_BODY: &str = "largest body";
/// Noted for a host that wants a PATCH before the PUT, whatever the size.
const WANTS_PATCH: &str = "wants a PATCH";

/// A blob to be uploaded.
#[derive(Clone, Copy)]
pub(crate) struct OutgoingBlob<'u> {
    pub digest: &'u Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Opens it from its beginning, once a try or more.
    pub open: OpenBody<'u>,
    /// Kept at the number of bytes handed to the connection.
    pub sent: &'u Arc<AtomicU64>,
}

impl RegistryRepository<'_> {
    /// Uploads a blob. `begun` is an upload that a declined mount left open.
    pub(crate) fn upload_blob(
        &self,
        blob: &OutgoingBlob<'_>,
        begun: Option<UploadSession>,
    ) -> Result<(), RegistryError> {
        let OutgoingBlob {
            digest,
            size,
            open,
            sent,
        } = *blob;
        let way = match (
            self.host.note(LARGEST_BODY),
            self.host.note(WANTS_PATCH).is_some(),
        ) {
            (Some(largest), _) if size > largest => UploadMethod::Pieces(largest),
            (_, true) => UploadMethod::Pieces(size),
            _ => UploadMethod::Whole,
        };
        let upload = BlobUpload {
            registry: self,
            digest,
            size,
            source: PieceSource::new(open),
            sent,
            session: begun,
            offset: 0,
            way,
            furthest: 0,
            breaks: 0,
            lost: 0,
            resyncs: 0,
            ending: false,
            patched: false,
            doubtful: false,
        };
        upload.run()
    }

    /// Gives an upload up (distribution-spec, "Canceling a blob upload"). Registries clean up by
    /// themselves in time, so one that does not listen is left alone.
    pub(crate) fn cancel(&self, session: UploadSession) {
        if let Ok(reply) = self.send(&HttpRequest::new(Method::DELETE, session.place)) {
            reply.drain();
        }
    }
}

/// How the bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadMethod {
    /// In the PUT that ends the upload.
    Whole,
    /// By one PATCH after the other, each of at most so many bytes, and a PUT without any.
    Pieces(u64),
}

/// A blob on its way up.
pub(super) struct BlobUpload<'u, 'a> {
    pub(super) registry: &'u RegistryRepository<'a>,
    pub(super) digest: &'u Digest,
    pub(super) size: u64,
    pub(super) source: PieceSource<'u>,
    pub(super) sent: &'u Arc<AtomicU64>,
    pub(super) session: Option<UploadSession>,
    /// Bytes that the session has.
    pub(super) offset: u64,
    way: UploadMethod,
    /// The most bytes that any session has had: what is sent again is no progress.
    furthest: u64,
    /// Connections that broke off since something last moved.
    breaks: u32,
    /// Sessions that the registry has lost.
    lost: u32,
    resyncs: u32,
    /// The request that ends the upload was sent last.
    pub(super) ending: bool,
    /// The bare PUT was refused, and a PATCH is tried.
    patched: bool,
    /// A wrong digest may be due to how the bytes were sent, and not to the bytes.
    pub(super) doubtful: bool,
}

impl BlobUpload<'_, '_> {
    fn run(mut self) -> Result<(), RegistryError> {
        let mut patience = self.registry.patience();
        loop {
            let error = match self.go_on() {
                Ok(()) => {
                    if self.patched {
                        self.registry.host.set_note(WANTS_PATCH, 1);
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            if self.offset > self.furthest {
                self.furthest = self.offset;
                patience.progressed();
                self.breaks = 0;
            }
            if self.arrived(&error) {
                return Ok(());
            }
            if self.finds_another_way(&error) {
                continue;
            }
            let lost = error.status() == Some(404) || error.says("BLOB_UPLOAD_UNKNOWN");
            self.lost += u32::from(lost);
            if self.lost > MAX_LOST {
                return Err(error.after(self.lost));
            }
            self.registry.wait_or_give_up(&mut patience, error)?;
            if lost {
                self.session = None;
            }
            self.find_place();
        }
    }

    /// Does what is left to do.
    fn go_on(&mut self) -> Result<(), RegistryError> {
        let session = match self.session.clone() {
            Some(session) => session,
            None => match self.begin()? {
                Some(session) => session,
                None => return Ok(()),
            },
        };
        self.session = Some(session.clone());
        match self.way {
            UploadMethod::Whole if self.offset == 0 => self.put(&session, true),
            // What is left of a whole that broke off.
            UploadMethod::Whole => self.pieces(self.size),
            UploadMethod::Pieces(length) => self.pieces(length),
        }
    }

    /// Asks for a session; none if the blob was taken with the question.
    fn begin(&mut self) -> Result<Option<UploadSession>, RegistryError> {
        self.offset = 0;
        if self.size <= SINGLE_POST_BYTES
            && self.way == UploadMethod::Whole
            && self.registry.host.note(NO_SINGLE_POST).is_none()
        {
            match self.single_post()? {
                PostOutcome::Taken => return Ok(None),
                PostOutcome::Session(session) => return Ok(Some(session)),
                PostOutcome::Declined => {}
            }
        }
        let url = self.registry.url("blobs/uploads/")?;
        let start = HttpRequest::new(Method::POST, url).with_body(RequestBody::Bytes(&[]));
        let reply = self.registry.send(&start)?;
        if reply.status() != 202 {
            return Err(self.registry.refused(reply));
        }
        let session = upload_place(&reply)?;
        reply.drain();
        Ok(Some(session))
    }

    /// The blob in the POST itself (distribution-spec, "Single POST"), which registries may decline.
    fn single_post(&mut self) -> Result<PostOutcome, RegistryError> {
        let mut url = self.registry.url("blobs/uploads/")?;
        url.set_query(Some(&format!("digest={}", self.digest)));
        let open = || self.source.part(0, self.size, self.sent);
        let mut post = HttpRequest::new(Method::POST, url).with_body(RequestBody::Stream {
            size: self.size,
            open: &open,
            sent: Arc::default(),
        });
        post.header("content-type", "application/octet-stream");
        let reply = match self.registry.send(&post) {
            Ok(reply) => reply,
            Err(error) => {
                if error.status().is_some_and(|status| status != 429) {
                    self.registry.host.set_note(NO_SINGLE_POST, 1);
                }
                return Err(error);
            }
        };
        let outcome = match reply.status() {
            201 => PostOutcome::Taken,
            202 => {
                self.doubtful = true;
                PostOutcome::Session(upload_place(&reply)?)
            }
            401 | 403 => return Err(self.registry.refused(reply)),
            _ => PostOutcome::Declined,
        };
        if !matches!(outcome, PostOutcome::Taken) {
            self.registry.host.set_note(NO_SINGLE_POST, 1);
        }
        reply.drain();
        Ok(outcome)
    }

    /// Ends the upload, with all its bytes or after all its pieces.
    pub(super) fn put(
        &mut self,
        session: &UploadSession,
        whole: bool,
    ) -> Result<(), RegistryError> {
        let mut target = session.place.clone();
        // Appended as text: what stands in the query is the registry's, and stays as it is.
        let query = match target.query() {
            Some(query) if !query.is_empty() => format!("{query}&digest={}", self.digest),
            _ => format!("digest={}", self.digest),
        };
        target.set_query(Some(&query));
        let open = || self.source.part(0, self.size, self.sent);
        let body = if whole {
            RequestBody::Stream {
                size: self.size,
                open: &open,
                sent: Arc::default(),
            }
        } else {
            RequestBody::Bytes(&[])
        };
        let mut put = HttpRequest::new(Method::PUT, target).with_body(body);
        put.header("content-type", "application/octet-stream");
        put.time_limit = Some(time_limit(self.size));
        self.ending = true;
        let done = self.registry.send(&put)?;
        if !matches!(done.status(), 201 | 204) {
            return Err(self.registry.refused(done));
        }
        done.drain();
        Ok(())
    }

    /// Whether the blob is there in spite of the failure: all of it went out, and only the answer was
    /// lost. Small blobs are sent again without the question.
    fn arrived(&self, error: &RegistryError) -> bool {
        if !self.ending
            || self.size <= SINGLE_POST_BYTES
            || self.sent.load(Ordering::Relaxed) < self.size
            || error.passing().is_none()
            || error.status() == Some(429)
            || error.says("BLOB_UPLOAD_UNKNOWN")
        {
            return false;
        }
        let Ok(url) = self.registry.url(&format!("blobs/{}", self.digest)) else {
            return false;
        };
        let asked = self.registry.send(&HttpRequest::new(Method::HEAD, url));
        asked.is_ok_and(|reply| reply.status() == 200)
    }

    /// Whether the bytes may be sent in another way, to be tried at once.
    fn finds_another_way(&mut self, error: &RegistryError) -> bool {
        let in_pieces = !quirks::takes_one_piece_only(self.registry.name());
        match error.status() {
            Some(413 | 499) => in_pieces && self.smaller(),
            Some(416) => self.resync(),
            Some(400 | 404 | 405 | 411 | 415 | 501)
                if self.way == UploadMethod::Whole
                    && self.offset == 0
                    && self.session.is_some()
                    && self.size > 0
                    && !error.has_a_code() =>
            {
                if in_pieces && self.size > HUGE_BYTES {
                    return self.smaller();
                }
                self.way = UploadMethod::Pieces(self.size);
                self.patched = true;
                self.start_over();
                true
            }
            // One more time, in the plainest way.
            Some(400) if self.doubtful && error.says("DIGEST_INVALID") => {
                self.doubtful = false;
                self.registry.host.set_note(NO_SINGLE_POST, 1);
                self.start_over();
                true
            }
            None if matches!(error, RegistryError::Http(HttpError::Broken { .. })) => {
                self.breaks += 1;
                // A proxy that refuses a large body often cuts it before its answer is read.
                self.breaks.is_multiple_of(2) && in_pieces && self.smaller()
            }
            _ => false,
        }
    }

    /// Goes on in smaller pieces, and so does every later blob for this host; false if there are none.
    fn smaller(&mut self) -> bool {
        let now = match self.way {
            UploadMethod::Whole => self.size,
            UploadMethod::Pieces(length) => length.min(self.size),
        };
        if now <= SMALLEST_PIECE_BYTES {
            return false;
        }
        let next = (now / 2).clamp(SMALLEST_PIECE_BYTES, PIECE_BYTES);
        self.registry.host.set_note(LARGEST_BODY, next);
        if self.way == UploadMethod::Whole {
            self.start_over();
        } else {
            self.find_place();
        }
        self.way = UploadMethod::Pieces(next);
        true
    }

    /// The registry stands elsewhere than we do.
    fn resync(&mut self) -> bool {
        self.resyncs += 1;
        if self.resyncs > MAX_RESYNCS || self.session.is_none() {
            return false;
        }
        let before = self.offset;
        self.find_place();
        if self.offset == before {
            self.start_over();
        }
        true
    }

    /// Leaves the session for a new one.
    fn start_over(&mut self) {
        if let Some(session) = self.session.take() {
            self.registry.cancel(session);
        }
        self.offset = 0;
        self.sent.store(0, Ordering::Relaxed);
    }

    /// Finds out where the session stands; one that cannot be gone on with is forgotten.
    fn find_place(&mut self) {
        let name = self.registry.name();
        let worth_it = self.way != UploadMethod::Whole || self.size >= RESUME_BYTES;
        let told = match &self.session {
            Some(session)
                if worth_it
                    && !quirks::takes_one_piece_only(name)
                    && !quirks::range_is_stuck(name) =>
            {
                self.ask_place(session)
            }
            _ => None,
        };
        // What was answered as stored is stored, whatever a stuck `Range` says; more than there is
        // of the blob is another blob's.
        match told {
            Some((session, offset)) if offset <= self.size => {
                self.offset = self.offset.max(offset);
                self.doubtful |= self.offset > 0;
                self.session = Some(session);
            }
            _ => {
                self.offset = 0;
                self.session = None;
            }
        }
        self.sent.store(self.offset, Ordering::Relaxed);
    }
}

/// What became of a blob sent in a POST.
enum PostOutcome {
    Taken,
    Session(UploadSession),
    Declined,
}

/// For sending so many bytes, and an answer.
pub(super) fn time_limit(size: u64) -> Duration {
    UPLOAD_BASE + Duration::from_secs(size / UPLOAD_BYTES_A_SECOND)
}
