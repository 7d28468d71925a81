//! Fetches `.deb` files, several at a time, each checked against its digest before it is kept.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    Fetch,
    error::{DebianError, FetchError},
    suite::copy_checked,
};
use crate::{
    packages::debian::{DebArtefact, Sha256},
    report::{Event, Report, TransferId},
};

/// Downloads at a time: enough to hide round trips, few enough for a public mirror.
const THREADS: usize = 4;
/// Largest `.deb` taken, in bytes.
const MAX_DEB_BYTES: u64 = 1 << 30;

/// Writes one download; the sink is kept only if this succeeds.
pub(crate) type Writer<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), DebianError>;

/// Where downloads are kept. The store is the real one; tests have a folder.
pub(crate) trait Downloads: Sync {
    /// The file of this digest, if it is there.
    fn find(&self, sha256: &Sha256) -> Option<PathBuf>;

    /// Opens a sink, lets `write` fill it and, if that succeeds, keeps it under the digest.
    fn keep(&self, artefact: &DebArtefact, write: Writer<'_>) -> Result<PathBuf, DebianError>;
}

/// Has all artefacts, in their order, as files; downloads what is not there yet.
pub(crate) fn fetch(
    artefacts: &[DebArtefact],
    downloads: &dyn Downloads,
    fetch: &dyn Fetch,
    report: &dyn Report,
) -> Result<Vec<PathBuf>, DebianError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let found: Mutex<Vec<Option<Result<PathBuf, DebianError>>>> =
        Mutex::new(artefacts.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(artefacts.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(artefact) = artefacts.get(at) else {
                        break;
                    };
                    let result = have(artefact, downloads, fetch, report);
                    if result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(place) = found.get_mut(at) {
                        *place = Some(result);
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The failure comes before the gaps that it caused in the work of the other threads.
    if let Some(at) = found.iter().position(|one| matches!(one, Some(Err(_))))
        && let Some(Err(error)) = found.swap_remove(at)
    {
        return Err(error);
    }
    found
        .into_iter()
        .map(|one| one.unwrap_or(Err(DebianError::Interrupted)))
        .collect()
}

/// One artefact as a file: kept before, or from the mirror, or from the snapshot.
fn have(
    artefact: &DebArtefact,
    downloads: &dyn Downloads,
    fetch: &dyn Fetch,
    report: &dyn Report,
) -> Result<PathBuf, DebianError> {
    if let Some(path) = downloads.find(&artefact.sha256) {
        return Ok(path);
    }
    let id = transfer_id(&artefact.sha256);
    report.event(Event::TransferStarted {
        id,
        name: artefact.title(),
        total_bytes: Some(artefact.size),
    });
    let result = download(artefact, &artefact.url, downloads, fetch);
    let result = match (result, &artefact.snapshot_url) {
        (Err(DebianError::Fetch(FetchError::Missing { .. })), Some(url)) => {
            download(artefact, url, downloads, fetch)
        }
        (result, _) => result,
    };
    report.event(Event::TransferFinished { id });
    result
}

fn download(
    artefact: &DebArtefact,
    url: &str,
    downloads: &dyn Downloads,
    fetch: &dyn Fetch,
) -> Result<PathBuf, DebianError> {
    if artefact.size > MAX_DEB_BYTES {
        return Err(DebianError::WrongSize {
            url: url.to_owned(),
            expected: MAX_DEB_BYTES,
            found: artefact.size,
        });
    }
    downloads.keep(artefact, &mut |sink| {
        let body = fetch.get(url, artefact.size)?;
        let copied = copy_checked(body, sink, url, (artefact.sha256, artefact.size))?;
        copied.map_err(|source| DebianError::File {
            path: PathBuf::from(&artefact.package),
            source,
        })
    })
}

/// Transfers are told apart by what they fetch, so that no counter is shared.
fn transfer_id(sha256: &Sha256) -> TransferId {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(sha256.0) {
        *to = from;
    }
    TransferId(u64::from_le_bytes(first))
}
