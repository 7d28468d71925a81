//! Uploads in pieces (distribution-spec, "Pushing a blob in chunks"), and the blob's bytes as pieces.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Method;

use crate::net::http::{HttpRequest, OpenBody, RequestBody};
use crate::net::registry::RegistryError;
use crate::net::registry::place::UploadSession;
use crate::net::registry::place::{next_place, offset_of};
use crate::net::registry::upload::{BlobUpload, time_limit};

impl BlobUpload<'_, '_> {
    /// Sends what is left in pieces of at most `length` bytes, and ends the upload.
    pub(super) fn pieces(&mut self, length: u64) -> Result<(), RegistryError> {
        while self.offset < self.size {
            self.piece(length)?;
        }
        match self.session.clone() {
            Some(session) => self.put(&session, false),
            None => Ok(()),
        }
    }

    fn piece(&mut self, length: u64) -> Result<(), RegistryError> {
        let Some(session) = self.session.clone() else {
            return Ok(());
        };
        let start = self.offset;
        let size = length.max(session.least_piece).min(self.size - start);
        let open = || self.source.part(start, size, self.sent);
        let mut patch =
            HttpRequest::new(Method::PATCH, session.place.clone()).with_body(RequestBody::Stream {
                size,
                open: &open,
                sent: Arc::default(),
            });
        patch.header("content-type", "application/octet-stream");
        patch.header("content-range", &format!("{start}-{}", start + size - 1));
        patch.time_limit = Some(time_limit(size));
        self.ending = false;
        let reply = self.registry.send(&patch)?;
        if !matches!(reply.status(), 201 | 202 | 204) {
            return Err(self.registry.refused(reply));
        }
        let next = next_place(&reply, &session)?;
        reply.drain();
        self.session = Some(next);
        // Our own count: the answer says that the piece is stored, and some `Range` is stuck.
        self.offset = start + size;
        Ok(())
    }

    /// Asks where a session stands (distribution-spec, "Resuming an upload"); `None` if it is gone or
    /// does not tell.
    pub(super) fn ask_place(&self, session: &UploadSession) -> Option<(UploadSession, u64)> {
        let request = HttpRequest::new(Method::GET, session.place.clone());
        let reply = self.registry.send(&request).ok()?;
        let told = match reply.status() {
            200 | 202 | 204 => offset_of(reply.header("range")?),
            _ => None,
        };
        let next = next_place(&reply, session).ok()?;
        reply.drain();
        Some((next, told?))
    }
}

/// A blob's bytes, from any offset. Pieces one after the other are read from one stream; only where
/// one must be given again is the blob opened anew.
pub(super) struct PieceSource<'u> {
    open: OpenBody<'u>,
    held: Arc<Mutex<OpenStream>>,
}

#[derive(Default)]
struct OpenStream {
    stream: Option<Box<dyn Read + Send>>,
    /// How far it is read.
    at: u64,
}

impl<'u> PieceSource<'u> {
    /// Nothing is opened yet.
    pub(super) fn new(open: OpenBody<'u>) -> Self {
        Self {
            open,
            held: Arc::default(),
        }
    }

    /// The bytes from `start` on, `size` of them; `sent` is kept at the offset of what was read last.
    pub(super) fn part(
        &self,
        start: u64,
        size: u64,
        sent: &Arc<AtomicU64>,
    ) -> io::Result<Box<dyn Read + Send>> {
        let mut held = lock(&self.held);
        if held.stream.is_none() || held.at != start {
            // The old stream goes before a new one comes: it may have a connection.
            held.stream = None;
            let mut stream = (self.open)()?;
            let skipped = io::copy(&mut (&mut stream).take(start), &mut io::sink())?;
            if skipped != start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *held = OpenStream {
                stream: Some(stream),
                at: start,
            };
        }
        sent.store(start, Ordering::Relaxed);
        Ok(Box::new(PieceReader {
            held: Arc::clone(&self.held),
            left: size,
            sent: Arc::clone(sent),
        }))
    }
}

struct PieceReader {
    held: Arc<Mutex<OpenStream>>,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut held = lock(&self.held);
        let Some(stream) = &mut held.stream else {
            return Ok(0);
        };
        let read = stream.read(&mut buffer[..wanted])?;
        held.at += read as u64;
        self.left -= read as u64;
        self.sent.store(held.at, Ordering::Relaxed);
        Ok(read)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
