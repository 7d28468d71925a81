//! Push: what the tag held before is asked first, so that its blobs need no question each; the rest is
//! asked for and sent in parallel; the manifest comes last, because it promises all it names.

mod naming;
mod transfer;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::destination::{BlobSource, PushImage};
use crate::net::registry::{RegistryError, RegistryRepository, ServedManifest};
use crate::oci::{Descriptor, Digest, ImageManifest, MediaType};
use crate::report::{BlobStatus, Event, Report};

use naming::ManifestForm;
use transfer::BlobTransfer;

pub(crate) use crate::destination::error::PushError;
pub(crate) use naming::push_index;

/// Blobs sent at once, where nothing else is said.
pub(crate) const DEFAULT_PARALLELISM: usize = 4;
/// Threads beyond this only wait for each other.
const MAX_PARALLELISM: usize = 32;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// Pushes with less to send than this are over before progress is worth telling.
const QUIET_BYTES: u64 = 1 << 20;

/// Where an image is pushed to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PushTarget<'a> {
    pub registry: &'a RegistryRepository<'a>,
    /// Tags to set, or digests to store the manifest under; the first is asked for what is there.
    pub tags: &'a [String],
    /// Blobs sent at once.
    pub parallelism: usize,
    /// What the first of the tags names now.
    pub previous: PreviousTag<'a>,
}

/// What a tag names before a push.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PreviousTag<'a> {
    /// The registry is to be asked.
    Ask,
    /// Asked before in this run, and this was the answer.
    Known(Option<&'a ServedManifest>),
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushSummary {
    /// Digest of the manifest that the tags now name: another than the image's own where the
    /// registry took only other media types.
    pub digest: Digest,
    pub media_type: MediaType,
    /// Its length in bytes.
    pub manifest_bytes: u64,
    pub requests: u64,
    /// Bytes of blobs sent.
    pub sent_bytes: u64,
    /// Each blob, in the image's order, config last.
    pub blobs: Vec<PushedBlob>,
    /// How long all of it took.
    pub took: Duration,
}

/// What became of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushedBlob {
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How it got there.
    pub status: BlobStatus,
    /// How long that took.
    pub took: Duration,
}

/// Pushes an image; nothing is sent where the first tag names this very manifest already.
pub(crate) fn push(
    image: &PushImage,
    blobs: &dyn BlobSource,
    target: PushTarget<'_>,
    report: &dyn Report,
) -> Result<PushSummary, PushError> {
    let start = Instant::now();
    let before = target.registry.requests();
    let push = PushRun {
        image,
        source: blobs,
        target,
        report,
    };
    push.ask_for_mounts();
    let previous = push.previous()?;
    let meant = ManifestForm::new(image.media_type.clone(), image.manifest.clone());
    let there = previous
        .as_ref()
        .and_then(|previous| meant.served_as(previous));
    let mut pushed = push.blobs(&known(image, previous.as_deref(), there.is_some()))?;
    let (form, names) = match there {
        Some(there) => (there, target.tags.get(1..).unwrap_or_default()),
        None => (meant, target.tags),
    };
    let form = push.name(form, names, &mut pushed)?;
    let blobs: Vec<PushedBlob> = image
        .blobs()
        .iter()
        .filter_map(|blob| pushed.remove(&blob.digest))
        .collect();
    let sent = blobs
        .iter()
        .filter(|blob| matches!(blob.status, BlobStatus::Pushed | BlobStatus::Copied));
    Ok(PushSummary {
        digest: form.digest,
        media_type: form.media_type,
        manifest_bytes: form.bytes.len() as u64,
        requests: target.registry.requests() - before,
        sent_bytes: sent.map(|blob| blob.size_bytes).sum(),
        blobs,
        took: start.elapsed(),
    })
}

/// Blobs that the repository has, because a manifest that it serves names them.
fn known(image: &PushImage, previous: Option<&ServedManifest>, same: bool) -> BTreeSet<Digest> {
    if same {
        return image.blobs().iter().map(|blob| blob.digest).collect();
    }
    let manifest = previous.and_then(|previous| ImageManifest::from_bytes(&previous.bytes).ok());
    let Some(manifest) = manifest else {
        return BTreeSet::new();
    };
    manifest
        .layers
        .iter()
        .chain([&manifest.config])
        .map(|blob| blob.digest)
        .collect()
}

struct PushRun<'a> {
    image: &'a PushImage,
    source: &'a dyn BlobSource,
    target: PushTarget<'a>,
    report: &'a dyn Report,
}

impl<'a> PushRun<'a> {
    /// Has the very first token be good for mounts too; a second one would be a request more.
    fn ask_for_mounts(&self) {
        for blob in self.image.blobs() {
            for origin in self.source.origins(&blob.digest) {
                for neighbour in self.target.registry.neighbours(&origin) {
                    self.target.registry.authorize_also(neighbour.repository());
                }
            }
        }
    }

    /// What the first tag names now. A registry that gives no answer here may still take a push, and
    /// has a better reason there if it does not.
    fn previous(&self) -> Result<Option<Cow<'a, ServedManifest>>, PushError> {
        if let PreviousTag::Known(known) = self.target.previous {
            return Ok(known.map(Cow::Borrowed));
        }
        let Some(tag) = self.target.tags.first() else {
            return Ok(None);
        };
        match self.target.registry.get_manifest(tag) {
            Ok(previous) => Ok(previous.map(Cow::Owned)),
            // Some accounts may write and not read. A wrong password is another matter: it is not shown
            // again and again, because registries lock accounts for that.
            Err(
                RegistryError::Refused { .. }
                | RegistryError::WrongDigest { .. }
                | RegistryError::Denied {
                    lacks_rights: true, ..
                },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl PushRun<'_> {
    /// Has all blobs in the repository; asks for all but the known ones.
    fn blobs(&self, known: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, PushedBlob>, PushError> {
        let mut pushed = BTreeMap::new();
        let mut due = Vec::new();
        for blob in self.image.blobs() {
            if known.contains(&blob.digest) {
                pushed.insert(
                    blob.digest,
                    self.told(blob, BlobStatus::AlreadyThere, Duration::ZERO),
                );
            } else {
                due.push(blob);
            }
        }
        let moving: Vec<BlobTransfer<'_>> = due.into_iter().map(BlobTransfer::new).collect();
        for blob in self.all(&moving)? {
            pushed.insert(blob.digest, blob);
        }
        Ok(pushed)
    }

    /// Sends what is due, several at a time, in order; the first failure stops the rest.
    fn all(&self, moving: &[BlobTransfer<'_>]) -> Result<Vec<PushedBlob>, PushError> {
        let outcome = Mutex::new(Ok(Vec::new()));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !stop.load(Ordering::Relaxed)
                && let Some(blob) = moving.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let done = self.one(blob);
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                match (done, &mut *outcome) {
                    (Ok(done), Ok(all)) => all.push(done),
                    (Err(error), Ok(_)) => {
                        *outcome = Err(error);
                        stop.store(true, Ordering::Relaxed);
                    }
                    (_, Err(_)) => {}
                }
            }
        };
        let threads = self
            .target
            .parallelism
            .clamp(1, MAX_PARALLELISM)
            .min(moving.len());
        let total: u64 = moving.iter().map(|blob| blob.blob.size).sum();
        if threads <= 1 && total < QUIET_BYTES {
            work();
        } else {
            let over = Mutex::new(false);
            let rung = std::sync::Condvar::new();
            thread::scope(|scope| {
                let ticker =
                    (total >= QUIET_BYTES).then(|| scope.spawn(|| self.tick(moving, &over, &rung)));
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                for worker in workers {
                    // A panic in a worker is raised again by the scope itself.
                    let _ = worker.join();
                }
                *over.lock().unwrap_or_else(PoisonError::into_inner) = true;
                rung.notify_all();
                drop(ticker);
            });
        }
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells progress until all is over.
    fn tick(&self, moving: &[BlobTransfer<'_>], over: &Mutex<bool>, rung: &std::sync::Condvar) {
        let mut is_over = over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over {
            let waited = rung
                .wait_timeout(is_over, TICK)
                .unwrap_or_else(PoisonError::into_inner);
            is_over = waited.0;
            for blob in moving
                .iter()
                .filter(|blob| blob.under_way.load(Ordering::Relaxed))
            {
                let done_bytes = blob.sent.load(Ordering::Relaxed);
                self.report.event(Event::TransferAdvanced {
                    id: blob.id(),
                    done_bytes,
                });
            }
        }
    }

    fn told(&self, blob: &Descriptor, status: BlobStatus, took: Duration) -> PushedBlob {
        let (digest, size_bytes) = (blob.digest, blob.size);
        self.report.event(Event::Blob {
            digest: digest.to_string(),
            size_bytes,
            status,
            took,
        });
        PushedBlob {
            digest,
            size_bytes,
            status,
            took,
        }
    }
}

#[cfg(test)]
mod tests;
