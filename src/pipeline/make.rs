//! Makes the layers that are not known: downloads and writing overlap, and nothing is fetched for
//! a layer that the store has.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache::{Cache, RemoteLayer};
use super::fetch::Fetcher;
use super::locked_layers::LockedLayers;
use crate::archive::tar::{Options, TarGz};
use crate::image::{ImageLayer, LayerForm, rfc3339, table_annotations};
use crate::layers::notes::Notes;
use crate::oci::{DiffId, Digest, Key};
use crate::report::{BuildError, Event, LayerEvent, LayerFate, Report, ThreadError};
use crate::store::{Store, StoredLayer, Writer};

/// Downloads under way at once. Mirrors and indexes serve one connection slower than a line carries.
pub(super) const DOWNLOADS: usize = 6;

/// A file that a layer is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Needed {
    /// Its name, for people.
    pub name: String,
    /// Its sha256.
    pub digest: Digest,
    /// Its length in bytes, where known.
    pub size_bytes: Option<u64>,
    /// Where it is to be had; the first is asked first.
    pub origins: Vec<Origin>,
}

/// Where a file is to be had.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// By HTTP; the url may hold credentials.
    Url(String),
    /// A file of the project, by its path there.
    Source(String),
}

/// Writes a layer's entries, and says what is to be noted of them.
pub(super) type Write<'a> =
    dyn Fn(&mut TarGz<Writer>) -> Result<Notes, BuildError> + Send + Sync + 'a;

/// How one layer is made.
pub(super) struct Recipe<'a> {
    /// What determines its bytes.
    pub key: Key,
    /// What it holds, for people.
    pub contents: String,
    /// What must be in the store before it can be written.
    pub needs: Vec<Needed>,
    /// Writes its entries.
    pub write: Box<Write<'a>>,
    /// Whether it depends on the project's files, so that no lock can know it.
    pub is_of_source: bool,
}

/// A layer that is there, and how that came.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// For the image.
    pub layer: ImageLayer,
    /// Length of its tar in bytes; not known of a layer that was never here.
    pub uncompressed_bytes: Option<u64>,
    /// Made or found.
    pub fate: LayerFate,
    /// How long that took.
    pub took: Duration,
    /// What was noted of it; none of a layer that was not made here.
    pub notes: Option<serde_json::Value>,
}

/// What layers are made with.
pub(super) struct Workshop<'a> {
    pub store: &'a Store,
    pub fetcher: &'a Fetcher<'a>,
    /// Layers that registries have; none where everything is to be made here.
    pub cache: Option<&'a Cache<'a>>,
    /// What `s2r.lock` says of layers.
    pub locked: &'a LockedLayers,
    pub report: &'a dyn Report,
    pub tar: Options,
    pub form: LayerForm,
    /// Place of the first recipe's layer in the image.
    pub first_index: usize,
    /// Threads that write layers.
    pub workers: usize,
    /// Once set, nothing more is begun.
    pub stop: &'a AtomicBool,
}

/// Layers that are there, and what they cost.
#[derive(Debug)]
pub(super) struct Batch {
    /// In the recipes' order.
    pub layers: Vec<Made>,
    /// Files that had to be downloaded.
    pub fetched_files: usize,
    /// Their bytes, as far as they were known beforehand.
    pub fetched_bytes: u64,
}

/// What downloaders and writers share.
struct Shared {
    /// Indexes of recipes that nobody has taken.
    waiting: Vec<usize>,
    /// Downloads that are not there yet.
    missing: BTreeSet<Digest>,
    done: Vec<Option<Made>>,
    failure: Option<BuildError>,
}

impl Workshop<'_> {
    /// Has every layer in the store, in the recipes' order.
    ///
    /// # Errors
    /// The first failure; what was finished before it stays in the store.
    pub(super) fn make(&self, recipes: &[&Recipe<'_>]) -> Result<Batch, BuildError> {
        let done: Vec<Option<Made>> = recipes
            .iter()
            .enumerate()
            .map(|(index, recipe)| self.known(index, recipe))
            .collect();
        let mut waiting: Vec<usize> = (0..recipes.len()).filter(|&i| done[i].is_none()).collect();
        // The costliest first, so that none is left alone at the end.
        waiting.sort_by_key(|&index| std::cmp::Reverse(cost(recipes[index])));
        let downloads = self.missing_downloads(&waiting, recipes);
        let shared = Mutex::new(Shared {
            waiting,
            missing: downloads.iter().map(|needed| needed.digest).collect(),
            done,
            failure: None,
        });
        self.run(recipes, &downloads, &shared);
        let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match shared.failure {
            Some(failure) => Err(failure),
            None if self.is_stopped() => Err(ThreadError::Stopped.into()),
            None => Ok(Batch {
                layers: shared.done.into_iter().flatten().collect(),
                fetched_files: downloads.len(),
                fetched_bytes: downloads
                    .iter()
                    .filter_map(|needed| needed.size_bytes)
                    .sum(),
            }),
        }
    }

    fn run(&self, recipes: &[&Recipe<'_>], downloads: &[&Needed], shared: &Mutex<Shared>) {
        let next = AtomicUsize::new(0);
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            for _ in 0..DOWNLOADS.min(downloads.len()) {
                scope.spawn(|| self.download(downloads, &next, shared, &changed));
            }
            for _ in 0..self.workers.max(1).min(recipes.len()) {
                scope.spawn(|| self.write(recipes, shared, &changed));
            }
        });
    }

    /// The layer as the store knows it, or a registry.
    fn known(&self, index: usize, recipe: &Recipe<'_>) -> Option<Made> {
        let start = Instant::now();
        let key = self.form.key(&recipe.key);
        if let Some(stored) = self.store.layer(&key) {
            let how = (LayerFate::Reused, start.elapsed());
            return Some(self.made(index, recipe, &stored, how));
        }
        let (remote, fate) = self.remote(recipe, &key)?;
        if !self.form.is_annotated(&remote.stored.annotations) {
            return None;
        }
        // Without the note nobody would find its bytes; then it is better made.
        self.store
            .note_elsewhere(&remote.stored.digest, &remote.place)
            .ok()?;
        Some(self.made(index, recipe, &remote.stored, (fate, start.elapsed())))
    }

    /// The layer as a registry has it. Where the lock says which bytes it has, nothing else will do, and
    /// where the lock says so of layers like it, it is not believed.
    fn remote(&self, recipe: &Recipe<'_>, key: &Key) -> Option<(RemoteLayer, LayerFate)> {
        let cache = self.cache?;
        match self.locked.stored(key) {
            Some(stored) => Some((cache.blob(&stored)?, LayerFate::Remote)),
            None if recipe.is_of_source || self.locked.is_empty() => {
                Some((cache.layer(key)?, LayerFate::Believed))
            }
            None => None,
        }
    }

    fn made(
        &self,
        index: usize,
        recipe: &Recipe<'_>,
        stored: &StoredLayer,
        (fate, took): (LayerFate, Duration),
    ) -> Made {
        self.locked
            .check(&self.form.key(&recipe.key), stored, recipe, self.report);
        self.report.event(Event::Layer(LayerEvent {
            index: self.first_index + index,
            contents: recipe.contents.clone(),
            digest: stored.digest.to_string(),
            size_bytes: stored.size_bytes,
            fate,
            took,
        }));
        Made {
            layer: ImageLayer {
                key: self.form.key(&recipe.key),
                contents: recipe.contents.clone(),
                digest: stored.digest,
                diff_id: stored.diff_id,
                size_bytes: stored.size_bytes,
                media_type: self.form.media_type(),
                annotations: stored.annotations.clone(),
            },
            uncompressed_bytes: (fate != LayerFate::Believed).then_some(stored.uncompressed_bytes),
            fate,
            took,
            notes: stored.notes.clone(),
        }
    }

    /// What must be downloaded, in the order in which it is wanted, each once.
    fn missing_downloads<'r>(
        &self,
        waiting: &[usize],
        recipes: &[&'r Recipe<'_>],
    ) -> Vec<&'r Needed> {
        let mut seen = BTreeSet::new();
        waiting
            .iter()
            .flat_map(|&index| &recipes[index].needs)
            .filter(|needed| {
                seen.insert(needed.digest)
                    && !self.store.has_download(&needed.digest, needed.size_bytes)
            })
            .collect()
    }

    /// One downloader: takes the next file until none is left or something failed.
    fn download(
        &self,
        downloads: &[&Needed],
        next: &AtomicUsize,
        shared: &Mutex<Shared>,
        changed: &Condvar,
    ) {
        let _guard = Guard { shared, changed };
        while let Some(needed) = downloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            if lock(shared).failure.is_some() || self.is_stopped() {
                changed.notify_all();
                return;
            }
            let fetched = self.fetcher.fetch(needed);
            let mut shared = lock(shared);
            match fetched {
                Ok(()) => {
                    shared.missing.remove(&needed.digest);
                }
                Err(failure) => {
                    shared.failure.get_or_insert(failure);
                }
            }
            drop(shared);
            changed.notify_all();
        }
    }

    /// One writer: takes any layer whose files are there until none is left or something failed.
    fn write(&self, recipes: &[&Recipe<'_>], shared: &Mutex<Shared>, changed: &Condvar) {
        let mut guard = lock(shared);
        loop {
            if guard.failure.is_some() || guard.waiting.is_empty() || self.is_stopped() {
                return;
            }
            let ready = guard
                .waiting
                .iter()
                .position(|&index| is_ready(recipes[index], &guard.missing));
            let Some(place) = ready else {
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let index = guard.waiting.remove(place);
            drop(guard);
            let start = Instant::now();
            let written = self.write_or_mend(recipes[index]);
            guard = lock(shared);
            match written {
                Ok(stored) => {
                    let how = (LayerFate::Made, start.elapsed());
                    let made = self.made(index, recipes[index], &stored, how);
                    guard.done[index] = Some(made);
                }
                Err(failure) => {
                    guard.failure.get_or_insert(failure);
                    changed.notify_all();
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Writes a layer. If that fails, its files are looked at again: one that was damaged since it
    /// was fetched is fetched once more, and the layer written anew.
    fn write_or_mend(&self, recipe: &Recipe<'_>) -> Result<StoredLayer, BuildError> {
        let failure = match self.write_layer(recipe) {
            Ok(stored) => return Ok(stored),
            Err(failure) => failure,
        };
        let mut mended = false;
        for needed in &recipe.needs {
            if !self.store.is_sound_download(&needed.digest) {
                self.store.forget_download(&needed.digest)?;
                self.fetcher.fetch(needed)?;
                mended = true;
            }
        }
        if mended {
            self.write_layer(recipe)
        } else {
            Err(failure)
        }
    }

    fn write_layer(&self, recipe: &Recipe<'_>) -> Result<StoredLayer, BuildError> {
        // The tar writer hashes what it writes, so the store need not do it again.
        let sink = self.store.writer()?.unhashed();
        let mut tar = match self.form {
            LayerForm::Gzip => TarGz::new(sink, self.tar),
            LayerForm::Zstd => TarGz::zstd(sink, self.tar)?,
            LayerForm::Estargz => TarGz::estargz(sink, self.tar, &rfc3339(self.tar.mtime))?,
        };
        let notes = (recipe.write)(&mut tar)?;
        let (writer, written) = tar.finish()?;
        let stored = StoredLayer {
            digest: Digest::from_bytes(written.sha256),
            diff_id: DiffId::from_bytes(written.diff_sha256),
            size_bytes: written.size_bytes,
            uncompressed_bytes: written.uncompressed_bytes,
            annotations: table_annotations(
                written.table_sha256.map(Digest::from_bytes),
                written.uncompressed_bytes,
            ),
            notes: serde_json::to_value(&notes).ok(),
        };
        self.store
            .keep_blob(writer.hashed(stored.digest), &stored.digest)?;
        self.store.put_layer(&self.form.key(&recipe.key), &stored)?;
        Ok(stored)
    }
}

/// Turns the panic of a downloader into a failure, which writers wait for.
struct Guard<'a> {
    shared: &'a Mutex<Shared>,
    changed: &'a Condvar,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.shared)
                .failure
                .get_or_insert(ThreadError::Panicked.into());
            self.changed.notify_all();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_ready(recipe: &Recipe<'_>, missing: &BTreeSet<Digest>) -> bool {
    recipe
        .needs
        .iter()
        .all(|needed| !missing.contains(&needed.digest))
}

fn cost(recipe: &Recipe<'_>) -> u64 {
    recipe
        .needs
        .iter()
        .map(|needed| needed.size_bytes.unwrap_or(1 << 20))
        .sum()
}

/// Numbers the transfers of a run.
#[derive(Debug, Default)]
pub(super) struct TransferIds(AtomicU64);

impl TransferIds {
    pub(super) fn next(&self) -> crate::report::TransferId {
        crate::report::TransferId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
