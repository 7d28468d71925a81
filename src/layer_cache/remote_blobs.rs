//! Brings blobs here that images of the store name and that lie in a registry: for what has to run
//! over them, and for files that an image is written to. Nothing else ever asks for their bytes.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::download::TransferIds;
use crate::net::http::Client;
use crate::net::registry::{IntoRegistryError, ReadSource, RegistryError, RegistryRepository};
use crate::oci::{Digest, Reference};
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, Report, TransferId};
use crate::store::{Store, StoreError};

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;
/// Bytes copied at once.
const PIECE_BYTES: usize = 128 << 10;

/// A blob is not where it is said to be.
#[derive(Debug, thiserror::Error)]
#[error("{name} ({digest}) is neither in the store nor where it is said to be")]
pub(crate) struct BlobMissing {
    /// What it holds, for people.
    pub name: String,
    pub digest: Digest,
    /// Who was asked, and the answer.
    pub answers: Vec<(String, RegistryError)>,
}

impl Explain for BlobMissing {
    fn explain(&self) -> Explanation {
        let answers = self.answers.iter();
        let mut why: Vec<String> = answers
            .map(|(place, error)| format!("{place}: {error}"))
            .collect();
        if why.is_empty() {
            why.push("no registry is known that has it".to_owned());
        }
        Explanation {
            class: ErrorClass::World,
            what: "a layer is neither in the store nor where it is said to be".to_owned(),
            place: format!("{}, {}", self.name, self.digest),
            why: why.join("\n"),
            next: "build the image again (`s2r build SOURCE IMAGE`): what is missing is made anew; if the layer is the base's, have its registry repaired, or take the base's newest image with --refresh or a new `s2r lock`".to_owned(),
        }
    }
}

/// A blob that is wanted here.
#[derive(Debug, Clone)]
pub(crate) struct WantedBlob {
    pub digest: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What it holds, for people.
    pub name: String,
}

/// Fetches blobs from the registries that have them.
#[derive(Clone, Copy)]
pub(crate) struct RemoteBlobs<'a> {
    pub store: &'a Store,
    pub client: &'a Client,
    pub report: &'a dyn Report,
    pub ids: &'a TransferIds,
}

impl RemoteBlobs<'_> {
    /// Has all these blobs in the store.
    ///
    /// # Errors
    /// The first that nobody has; the disk's.
    pub(crate) fn bring(&self, wanted: &[WantedBlob]) -> Result<(), BuildError> {
        let is_missing = |blob: &&WantedBlob| !self.store.has_blob(&blob.digest, blob.size_bytes);
        let missing: Vec<&WantedBlob> = wanted.iter().filter(is_missing).collect();
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(missing.len()) {
                scope.spawn(|| {
                    while let Some(blob) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.one(blob) {
                            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                            first.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    fn one(&self, blob: &WantedBlob) -> Result<(), BuildError> {
        let mut answers = Vec::new();
        for place in self.store.elsewhere(&blob.digest) {
            match self.from(&place, blob) {
                Ok(()) => return Ok(()),
                Err(FetchFailure::Registry(error)) => answers.push((place.familiar_name(), error)),
                Err(FetchFailure::Store(error)) => return Err(error.into()),
            }
        }
        Err(BlobMissing {
            name: blob.name.clone(),
            digest: blob.digest,
            answers,
        }
        .into())
    }

    fn from(&self, place: &Reference, blob: &WantedBlob) -> Result<(), FetchFailure> {
        let source = ReadSource::new(self.client, place)?;
        source.try_blob(|registry| self.in_one_place(registry, blob))
    }

    fn in_one_place(
        &self,
        registry: &RegistryRepository<'_>,
        blob: &WantedBlob,
    ) -> Result<(), FetchFailure> {
        let mut reader = registry.open_blob(&blob.digest, blob.size_bytes)?;
        let id = self.ids.next();
        self.report.event(Event::TransferStarted {
            id,
            name: blob.name.clone(),
            total_bytes: Some(blob.size_bytes),
        });
        let copied = self.copy(&mut reader, registry, blob, id);
        self.report.event(Event::TransferFinished { id });
        copied
    }

    fn copy(
        &self,
        reader: &mut dyn Read,
        registry: &RegistryRepository<'_>,
        blob: &WantedBlob,
        id: TransferId,
    ) -> Result<(), FetchFailure> {
        use std::io::Write as _;
        let path = self.store.blob_path(&blob.digest);
        let unwritable = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        // The reader hashes what it gives, so the store need not do it again.
        let mut writer = self.store.writer()?.unhashed();
        let mut piece = vec![0; PIECE_BYTES];
        let mut done_bytes = 0;
        loop {
            let read = match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RegistryError::of_read(error, &registry.shown()).into()),
            };
            writer.write_all(&piece[..read]).map_err(unwritable)?;
            done_bytes += read as u64;
            self.report
                .event(Event::TransferAdvanced { id, done_bytes });
        }
        self.store
            .keep_blob(writer.hashed(blob.digest), &blob.digest)?;
        Ok(())
    }
}

/// Why one place did not do.
enum FetchFailure {
    Registry(RegistryError),
    Store(StoreError),
}

impl IntoRegistryError for FetchFailure {
    fn into_registry_error(self) -> Result<RegistryError, Self> {
        match self {
            Self::Registry(error) => Ok(error),
            Self::Store(_) => Err(self),
        }
    }
}

impl From<RegistryError> for FetchFailure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<StoreError> for FetchFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
crate::report::samples! {
    struct BlobMissing {
        name: "numpy==2.4.6".into(),
        digest: Digest::of(b"a"),
        answers: vec![],
    };
}
