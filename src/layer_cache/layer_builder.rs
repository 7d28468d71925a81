//! Makes the layers that are not known: downloads and writing overlap, and nothing is fetched for
//! a layer that the store has.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::download::again;
use super::download::{DOWNLOADS, Download, StoreFetcher};
use super::locked_layers::LockedLayers;
use super::recipe::{BuiltLayer, LayerRecipe, LayerTitle};
use super::registry_cache::{RegistryCache, RemoteLayer};
use crate::archive::tar::{LayerWriter, TarOptions};
use crate::image::{
    COMPLETED_ANNOTATION, ImageLayer, LayerForm, labels_annotation, rfc3339, table_annotations,
};
use crate::oci::{DiffId, Digest, Key};
use crate::report::{BuildError, Event, LayerEvent, LayerStatus, Report, ThreadError};
use crate::store::{FileState, Store, StoredLayer};

/// What layers are made with.
pub(crate) struct LayerBuilder<'a> {
    pub store: &'a Store,
    pub fetcher: &'a StoreFetcher<'a>,
    /// Layers that registries have; none where everything is to be made here.
    pub cache: Option<&'a RegistryCache<'a>>,
    /// What `s2r.lock` says of layers.
    pub locked: &'a LockedLayers,
    pub report: &'a dyn Report,
    /// Time of every entry, seconds since 1970.
    pub mtime: u64,
    pub form: LayerForm,
    /// Place of the first recipe's layer in the image.
    pub first_index: usize,
    /// Threads that write layers.
    pub workers: usize,
    /// Whether what the store has is read and compared before it is used again.
    pub rechecks: bool,
    /// Once set, nothing more is begun.
    pub stop: &'a AtomicBool,
}

/// Layers that are there, and what they cost.
#[derive(Debug)]
pub(crate) struct LayerBatch {
    /// In the recipes' order.
    pub layers: Vec<BuiltLayer>,
    /// What had to be downloaded.
    pub fetched: BatchFetched,
}

/// Files that had to be downloaded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchFetched {
    pub files: usize,
    /// Their bytes, as far as they were known beforehand.
    pub bytes: u64,
}

/// What downloaders and writers share.
struct SharedState {
    /// Indexes of recipes that nobody has taken.
    waiting: Vec<usize>,
    /// Downloads that are not there yet, or not known to be right.
    missing: BTreeSet<Digest>,
    fetched: BatchFetched,
    done: Vec<Option<BuiltLayer>>,
    failure: Option<BuildError>,
}

impl LayerBuilder<'_> {
    /// Has every layer in the store, in the recipes' order.
    ///
    /// # Errors
    /// The first failure; what was finished before it stays in the store.
    pub(crate) fn make(&self, recipes: &[&LayerRecipe<'_>]) -> Result<LayerBatch, BuildError> {
        let done: Vec<Option<BuiltLayer>> = recipes
            .iter()
            .enumerate()
            .map(|(index, recipe)| self.known(index, recipe.title()))
            .collect();
        let mut waiting: Vec<usize> = (0..recipes.len()).filter(|&i| done[i].is_none()).collect();
        // The costliest first, so that none is left alone at the end.
        waiting.sort_by_key(|&index| std::cmp::Reverse(cost(recipes[index])));
        let downloads = downloads(&waiting, recipes);
        let shared = Mutex::new(SharedState {
            waiting,
            missing: downloads.iter().map(|needed| needed.digest).collect(),
            fetched: BatchFetched::default(),
            done,
            failure: None,
        });
        self.run(recipes, &downloads, &shared);
        let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match shared.failure {
            Some(failure) => Err(failure),
            None if self.is_stopped() => Err(ThreadError::Stopped.into()),
            None => Ok(LayerBatch {
                layers: shared.done.into_iter().flatten().collect(),
                fetched: shared.fetched,
            }),
        }
    }

    fn run(
        &self,
        recipes: &[&LayerRecipe<'_>],
        downloads: &[&Download],
        shared: &Mutex<SharedState>,
    ) {
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
    pub(crate) fn known(&self, index: usize, title: LayerTitle<'_>) -> Option<BuiltLayer> {
        let start = Instant::now();
        let key = self.form.key(title.key);
        let stored = self.store.layer(&key);
        if let Some(stored) = stored.filter(|stored| self.is_still_right(&stored.digest)) {
            let how = (LayerStatus::Reused, start.elapsed());
            return Some(self.made(index, title, &stored, how));
        }
        let (remote, status) = self.remote(title, &key)?;
        if !self.form.is_annotated(&remote.stored.annotations) {
            return None;
        }
        // Without the note nobody would find its bytes; then it is better made.
        self.store
            .note_elsewhere(&remote.stored.digest, &remote.place)
            .ok()?;
        Some(self.made(index, title, &remote.stored, (status, start.elapsed())))
    }

    /// Whether a blob may be used without being made. One that is found to be wrong is gone.
    fn is_still_right(&self, digest: &Digest) -> bool {
        if !self.rechecks {
            return true;
        }
        match self.store.drop_damaged(digest) {
            Ok(FileState::Sound) => true,
            Ok(state) => {
                self.report.event(again(digest, state));
                false
            }
            // It is made again all the same, and takes the place of what cannot be read.
            Err(error) => {
                self.report.event(Event::Warning {
                    text: format!("{error}; it is made or fetched again"),
                    hint: String::new(),
                });
                false
            }
        }
    }

    /// The layer as a registry has it. Where the lock says which bytes it has, nothing else will do, and
    /// where the lock says so of layers like it, it is not believed.
    fn remote(&self, title: LayerTitle<'_>, key: &Key) -> Option<(RemoteLayer, LayerStatus)> {
        let cache = self.cache?;
        match self.locked.stored(key) {
            Some(stored) => Some((cache.blob(&stored)?, LayerStatus::Remote)),
            None if title.is_of_source || self.locked.is_empty() => {
                Some((cache.layer(key)?, LayerStatus::Believed))
            }
            None => None,
        }
    }

    fn made(
        &self,
        index: usize,
        title: LayerTitle<'_>,
        stored: &StoredLayer,
        (status, took): (LayerStatus, Duration),
    ) -> BuiltLayer {
        let key = self.form.key(title.key);
        self.locked.check(&key, stored, title.contents, self.report);
        self.report.event(Event::Layer(LayerEvent {
            index: self.first_index + index,
            contents: title.contents.to_owned(),
            digest: stored.digest.to_string(),
            size_bytes: stored.size_bytes,
            status,
            took,
        }));
        BuiltLayer {
            layer: ImageLayer {
                key,
                contents: title.contents.to_owned(),
                digest: stored.digest,
                diff_id: stored.diff_id,
                size_bytes: stored.size_bytes,
                media_type: self.form.media_type(),
                annotations: stored.annotations.clone(),
            },
            uncompressed_bytes: (status != LayerStatus::Believed)
                .then_some(stored.uncompressed_bytes),
            status,
            took,
            notes: stored.notes.clone(),
        }
    }

    /// One downloader: takes the next file until none is left or something failed.
    fn download(
        &self,
        downloads: &[&Download],
        next: &AtomicUsize,
        shared: &Mutex<SharedState>,
        changed: &Condvar,
    ) {
        let _guard = PanicGuard { shared, changed };
        while let Some(needed) = downloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            if lock(shared).failure.is_some() || self.is_stopped() {
                changed.notify_all();
                return;
            }
            let fetched = self.fetcher.fetch(needed);
            let mut shared = lock(shared);
            match fetched {
                Ok(is_new) => {
                    shared.missing.remove(&needed.digest);
                    shared.fetched.files += usize::from(is_new);
                    shared.fetched.bytes += needed.size_bytes.filter(|_| is_new).unwrap_or(0);
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
    fn write(&self, recipes: &[&LayerRecipe<'_>], shared: &Mutex<SharedState>, changed: &Condvar) {
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
            let written = self.write_layer(recipes[index]);
            guard = lock(shared);
            match written {
                Ok(stored) => {
                    let how = (LayerStatus::Made, start.elapsed());
                    let made = self.made(index, recipes[index].title(), &stored, how);
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

    fn write_layer(&self, recipe: &LayerRecipe<'_>) -> Result<StoredLayer, BuildError> {
        // The tar writer hashes what it writes, so the store need not do it again.
        let sink = self.store.writer()?.unhashed();
        let options = TarOptions {
            mtime: self.mtime,
            effort: recipe.effort,
        };
        let mut tar = match self.form {
            LayerForm::Gzip => LayerWriter::new(sink, options),
            LayerForm::Zstd => LayerWriter::zstd(sink, options)?,
            LayerForm::Estargz => LayerWriter::estargz(sink, options, &rfc3339(self.mtime))?,
        };
        let notes = (recipe.write)(&mut tar)?;
        let (writer, written) = tar.finish()?;
        let mut annotations = table_annotations(
            written.table_sha256.map(Digest::from_bytes),
            written.uncompressed_bytes,
        );
        if !notes.scripts.runs.is_empty() {
            annotations.insert(COMPLETED_ANNOTATION.to_owned(), "true".to_owned());
        }
        annotations.extend(labels_annotation(&notes.labels));
        let stored = StoredLayer {
            digest: Digest::from_bytes(written.sha256),
            diff_id: DiffId::from_bytes(written.diff_sha256),
            size_bytes: written.size_bytes,
            uncompressed_bytes: written.uncompressed_bytes,
            annotations,
            notes: serde_json::to_value(&notes).ok(),
        };
        self.store
            .keep_blob(writer.hashed(stored.digest), &stored.digest)?;
        self.store.put_layer(&self.form.key(&recipe.key), &stored)?;
        Ok(stored)
    }
}

/// Turns the panic of a downloader into a failure, which writers wait for.
struct PanicGuard<'a> {
    shared: &'a Mutex<SharedState>,
    changed: &'a Condvar,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.shared)
                .failure
                .get_or_insert(ThreadError::Panicked.into());
            self.changed.notify_all();
        }
    }
}

fn lock(shared: &Mutex<SharedState>) -> MutexGuard<'_, SharedState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Downloads that layers are made of, in the order in which they are wanted, each once.
fn downloads<'r>(waiting: &[usize], recipes: &[&'r LayerRecipe<'_>]) -> Vec<&'r Download> {
    let mut seen = BTreeSet::new();
    waiting
        .iter()
        .flat_map(|&index| &recipes[index].needs)
        .filter(|needed| seen.insert(needed.digest))
        .collect()
}

fn is_ready(recipe: &LayerRecipe<'_>, missing: &BTreeSet<Digest>) -> bool {
    recipe
        .needs
        .iter()
        .all(|needed| !missing.contains(&needed.digest))
}

fn cost(recipe: &LayerRecipe<'_>) -> u64 {
    recipe
        .needs
        .iter()
        .map(|needed| needed.size_bytes.unwrap_or(1 << 20))
        .sum()
}

#[cfg(test)]
mod tests;
