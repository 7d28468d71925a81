//! One blob on its way into a repository: there already, mounted from another repository of the same
//! registry, sent from a local file, or copied from another registry.
//!
//! A copy goes from one connection into the other and never touches the disk: a thread reads, and a
//! few pieces wait in between. It can be given again from its beginning, by a new request.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Instant;

use super::{PushRun, PushedBlob};
use crate::destination::BlobError;
use crate::destination::blob::BlobDoubt;
use crate::destination::registry::PushError;
use crate::net::http::OpenBody;
use crate::net::registry::{
    self as net, BlobReader, IntoRegistryError, MountOutcome, OutgoingBlob, RegistryError,
    RegistryRepository, UploadSession,
};
use crate::oci::{Descriptor, Reference};
use crate::report::{BlobStatus, Event, TransferId};

/// Bytes that the reading half of a copy hands over at once.
const PIECE_BYTES: usize = 64 << 10;
/// A copy no larger than this waits in memory: registries often want a small blob given twice.
const SMALL_BYTES: u64 = 64 << 10;
/// Pieces that wait between the halves of a copy: 1 MiB.
const PIECES: usize = 16;

impl PushRun<'_> {
    /// Has one blob in the repository.
    pub(super) fn one(&self, moving: &BlobTransfer<'_>) -> Result<PushedBlob, PushError> {
        let start = Instant::now();
        let status = self.settle(moving)?;
        Ok(self.told(moving.blob, status, start.elapsed()))
    }

    fn settle(&self, moving: &BlobTransfer<'_>) -> Result<BlobStatus, PushError> {
        let blob = moving.blob;
        let registry = self.target.registry;
        let origins = self.source.origins(&blob.digest);
        // A new manifest has a new config, all but always: the question would cost more than it saves.
        let asks = blob.digest != self.image.config.digest;
        let asks_first = asks && !registry.mounts();
        if asks_first && registry.head_blob(&blob.digest)? {
            return Ok(BlobStatus::AlreadyThere);
        }
        let mut begun = None;
        let mut asked = BTreeSet::new();
        for neighbour in origins.iter().flat_map(|one| registry.neighbours(one)) {
            if !asked.insert(neighbour.repository().to_owned()) {
                continue;
            }
            match registry.mount_blob(&blob.digest, &neighbour)? {
                MountOutcome::Done => return Ok(BlobStatus::Mounted),
                // One session is enough: what one repository does not give, its neighbour hardly does.
                MountOutcome::Begun(session) => {
                    begun = Some(session);
                    break;
                }
                MountOutcome::No => {}
            }
        }
        if asks && !asks_first && registry.head_blob(&blob.digest)? {
            if let Some(session) = begun {
                registry.cancel(session);
            }
            return Ok(BlobStatus::AlreadyThere);
        }
        if !origins.is_empty() && self.source.open(&blob.digest).is_err() {
            return self.copy(moving, &origins, begun);
        }
        self.check(blob)?;
        let doubt = BlobDoubt::default();
        let open =
            || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(doubt.open(self.source, blob)?)) };
        match self.watched(moving, || self.upload(moving, &open, begun)) {
            Ok(()) => Ok(BlobStatus::Pushed),
            // What the connection says of it is only the echo.
            Err(_) if doubt.is_founded() => Err(self.damaged(blob)),
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, blob: &Descriptor) -> PushError {
        BlobError::Damaged {
            path: self.source.path(&blob.digest),
            digest: blob.digest,
        }
        .into()
    }

    fn upload(
        &self,
        moving: &BlobTransfer<'_>,
        open: OpenBody<'_>,
        begun: Option<UploadSession>,
    ) -> Result<(), RegistryError> {
        let outgoing = OutgoingBlob {
            digest: &moving.blob.digest,
            size: moving.blob.size,
            open,
            sent: &moving.sent,
        };
        self.target.registry.upload_blob(&outgoing, begun)
    }

    /// Copies the blob from the first of the repositories that has it.
    fn copy(
        &self,
        moving: &BlobTransfer<'_>,
        origins: &[Reference],
        mut begun: Option<UploadSession>,
    ) -> Result<BlobStatus, PushError> {
        let blob = moving.blob;
        let mut failed = Vec::new();
        for origin in origins {
            let places = net::ReadSource::beside(self.target.registry, origin)?;
            match places.try_blob(|from| self.copy_from(moving, from, &mut begun)) {
                Ok(()) => return Ok(BlobStatus::Copied),
                Err(CopyFailure::Source(error)) => failed.push((origin.familiar_name(), error)),
                Err(CopyFailure::Target(error)) => return Err(error.into()),
            }
        }
        Err(PushError::Nowhere {
            digest: blob.digest,
            origins: failed,
        })
    }

    fn copy_from(
        &self,
        moving: &BlobTransfer<'_>,
        from: &RegistryRepository<'_>,
        begun: &mut Option<UploadSession>,
    ) -> Result<(), CopyFailure> {
        let blob = moving.blob;
        if blob.size <= SMALL_BYTES {
            let bytes = from.fetch_blob_bytes(&blob.digest, blob.size, SMALL_BYTES)?;
            let open = || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read + Send>);
            let session = begun.take();
            return self
                .watched(moving, || self.upload(moving, &open, session))
                .map_err(CopyFailure::Target);
        }
        // Nothing is begun at the target before the source has it.
        let first = from.open_blob(&blob.digest, blob.size)?;
        let source = CopySource {
            registry: from,
            blob,
            first: Mutex::new(Some(first)),
            failure: Mutex::new(None),
        };
        let session = begun.take();
        let done = self.watched(moving, || {
            thread::scope(|scope| {
                let open = || source.open(scope);
                self.upload(moving, &open, session)
            })
        });
        match (done, source.into_failure()) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(error)) => Err(CopyFailure::Source(error)),
            (Err(error), None) => Err(CopyFailure::Target(error)),
        }
    }

    /// Does the moving, and tells when it begins and ends.
    fn watched<T>(&self, moving: &BlobTransfer<'_>, work: impl FnOnce() -> T) -> T {
        let (id, name) = (moving.id(), moving.blob.digest.to_string());
        self.report.event(Event::TransferStarted {
            id,
            name,
            total_bytes: Some(moving.blob.size),
        });
        moving.under_way.store(true, Ordering::Relaxed);
        let done = work();
        moving.under_way.store(false, Ordering::Relaxed);
        self.report.event(Event::TransferFinished { id });
        done
    }

    /// A blob of another size would be a request whose length lies.
    fn check(&self, blob: &Descriptor) -> Result<(), PushError> {
        let failed = |source| BlobError::Unreadable {
            path: self.source.path(&blob.digest),
            digest: blob.digest,
            source,
        };
        let found = self
            .source
            .open(&blob.digest)
            .and_then(|file| file.metadata())
            .map_err(failed)?;
        if found.len() == blob.size {
            Ok(())
        } else {
            Err(self.damaged(blob))
        }
    }
}

/// Which end of a copy has failed.
enum CopyFailure {
    Source(RegistryError),
    Target(RegistryError),
}

impl From<RegistryError> for CopyFailure {
    fn from(error: RegistryError) -> Self {
        Self::Source(error)
    }
}

impl IntoRegistryError for CopyFailure {
    fn into_registry_error(self) -> Result<RegistryError, Self> {
        match self {
            Self::Source(error) => Ok(error),
            Self::Target(_) => Err(self),
        }
    }
}

/// The reading half of a copy.
struct CopySource<'s, 'a> {
    registry: &'s RegistryRepository<'a>,
    blob: &'s Descriptor,
    /// The stream that the first try takes.
    first: Mutex<Option<BlobReader<'s, 'a>>>,
    /// Why the source can give no more; waiting was the stream's own business, so this is final.
    failure: Mutex<Option<RegistryError>>,
}

impl<'s, 'a> CopySource<'s, 'a> {
    /// Opens the blob from its beginning; a thread of `scope` reads it.
    fn open<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Box<dyn Read + Send>> {
        if lock(&self.failure).is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let first = lock(&self.first).take();
        let reader = match first {
            Some(first) => first,
            None => self
                .registry
                .open_blob(&self.blob.digest, self.blob.size)
                .map_err(|error| self.fail(error))?,
        };
        let (sender, pieces) = sync_channel(PIECES);
        scope.spawn(move || self.pump(reader, &sender));
        Ok(Box::new(CopyPipe {
            pieces,
            piece: Vec::new(),
            given: 0,
        }))
    }

    /// Reads all of it, until nobody takes it any more.
    fn pump(&self, mut reader: BlobReader<'s, 'a>, sender: &SyncSender<io::Result<Vec<u8>>>) {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = (&mut reader)
                .take(PIECE_BYTES as u64)
                .read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece),
                Err(error) => {
                    let failure = RegistryError::of_read(error, &self.registry.shown());
                    Err(self.fail(failure))
                }
            };
            let over = piece.is_err();
            if sender.send(piece).is_err() || over {
                return;
            }
        }
    }

    fn fail(&self, error: RegistryError) -> io::Error {
        *lock(&self.failure) = Some(error);
        io::ErrorKind::UnexpectedEof.into()
    }

    fn into_failure(self) -> Option<RegistryError> {
        self.failure
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending half's end of a copy.
struct CopyPipe {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    given: usize,
}

impl Read for CopyPipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.piece.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.piece, self.given) = (piece?, 0),
                // The other half is through; what is missing shows by the length.
                Err(_) => return Ok(0),
            }
        }
        let read = (&self.piece[self.given..]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

/// A blob on its way.
pub(super) struct BlobTransfer<'a> {
    pub blob: &'a Descriptor,
    pub sent: Arc<AtomicU64>,
    pub under_way: AtomicBool,
}

impl<'a> BlobTransfer<'a> {
    pub(super) fn new(blob: &'a Descriptor) -> Self {
        Self {
            blob,
            sent: Arc::new(AtomicU64::new(0)),
            under_way: AtomicBool::new(false),
        }
    }

    /// The digest's own bits tell transfers apart, whoever else counts his.
    pub(super) fn id(&self) -> TransferId {
        let (first, _) = self.blob.digest.as_bytes().split_at(8);
        TransferId(first.iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }
}
