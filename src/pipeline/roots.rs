//! The folders of image layers, for what has to run over them: unpacked once, and kept in the store.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::elsewhere::{Elsewhere, Wanted};
use super::error::BuildError;
use super::fetch::Fetcher;
use super::make::{Made, Recipe};
use crate::archive::tar::{Options, TarGz};
use crate::layers::unpack::unpack;
use crate::oci::Digest;
use crate::report::{Event, Report};
use crate::store::{Store, StoreError};

/// Layers that are unpacked at once. More would wait for the disk.
const WORKERS: usize = 2;

/// Unpacking that takes no longer is nobody's concern.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How layers that only become folders are compressed: they are read once.
const PASSING: Options = Options {
    mtime: 315_532_800,
    level: 1,
};

/// A layer of the store that is wanted as a folder.
#[derive(Debug, Clone)]
pub(super) struct RootLayer {
    /// Its blob.
    pub digest: Digest,
    /// The blob's length in bytes.
    pub size_bytes: u64,
    /// What it holds, for people.
    pub name: String,
}

/// Where folders of layers lie, and who hears of their making.
#[derive(Clone, Copy)]
pub(super) struct Roots<'a> {
    store: &'a Store,
    report: &'a dyn Report,
    elsewhere: Elsewhere<'a>,
    turn: &'a Turn,
}

/// Whose turn it is: several want the same folders at once, and the second finds them made.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<()>);

impl<'a> Roots<'a> {
    pub(super) fn new(elsewhere: Elsewhere<'a>, turn: &'a Turn) -> Self {
        Self {
            store: elsewhere.store,
            report: elsewhere.report,
            elsewhere,
            turn,
        }
    }

    /// The folders of an image's layers, in their order.
    ///
    /// # Errors
    /// The first layer's that cannot be unpacked.
    pub(super) fn of_layers(&self, layers: &[Made]) -> Result<Vec<PathBuf>, BuildError> {
        let layers: Vec<RootLayer> = layers
            .iter()
            .map(|made| RootLayer {
                digest: made.layer.digest,
                size_bytes: made.layer.size_bytes,
                name: made.layer.contents.clone(),
            })
            .collect();
        self.of(&layers)
    }

    /// The folder of a layer that goes into no image, known by its key.
    ///
    /// # Errors
    /// Its files cannot be fetched, or it cannot be written or unpacked.
    pub(super) fn of_recipe(
        &self,
        recipe: &Recipe<'_>,
        fetcher: &Fetcher<'_>,
    ) -> Result<PathBuf, BuildError> {
        let name = recipe.key.hex();
        if let Some(path) = self.store.root_of(&name) {
            return Ok(path);
        }
        fetcher.fetch_all(&recipe.needs)?;
        let mut tar = TarGz::new(self.store.writer()?.unhashed(), PASSING);
        (recipe.write)(&mut tar)?;
        let bytes = tar.finish()?.0.into_reader()?;
        self.keep(bytes, &recipe.contents, &name)
    }

    /// The folders of layers, in their order; those that are not there are unpacked, and those whose
    /// bytes are in a registry are fetched first.
    ///
    /// # Errors
    /// The first layer's that cannot be had or unpacked.
    pub(super) fn of(&self, layers: &[RootLayer]) -> Result<Vec<PathBuf>, BuildError> {
        let _turn = self.turn.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<Wanted> = layers
            .iter()
            .filter(|layer| self.store.root_of(&layer.digest.hex()).is_none())
            .map(|layer| Wanted {
                digest: layer.digest,
                size_bytes: layer.size_bytes,
                name: layer.name.clone(),
            })
            .collect();
        self.elsewhere.bring(&wanted)?;
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS.min(layers.len()) {
                scope.spawn(|| {
                    while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.one(layer) {
                            let mut failure =
                                failure.lock().unwrap_or_else(PoisonError::into_inner);
                            failure.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(failure);
        }
        layers.iter().map(|layer| self.one(layer)).collect()
    }

    /// The folder of one layer.
    fn one(&self, layer: &RootLayer) -> Result<PathBuf, BuildError> {
        let name = layer.digest.hex();
        if let Some(path) = self.store.root_of(&name) {
            return Ok(path);
        }
        let path = self.store.blob_path(&layer.digest);
        let blob = File::open(&path).map_err(|source| StoreError::Io { path, source })?;
        self.keep(blob, &layer.name, &name)
    }

    /// Unpacks a layer, and keeps the folder under a name.
    fn keep(&self, blob: File, contents: &str, name: &str) -> Result<PathBuf, BuildError> {
        let start = Instant::now();
        let draft = self.store.draft_root()?;
        let unpacked = unpack(blob, draft.path())?;
        let root = self.store.keep_root(draft, name)?;
        let took = start.elapsed();
        if took >= WORTH_TELLING {
            self.report.event(Event::Output {
                step: "unpack".to_owned(),
                line: format!(
                    "{contents}: {} files, {} bytes in {} ms",
                    unpacked.files,
                    unpacked.bytes,
                    took.as_millis()
                ),
            });
        }
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::{Options, Owner, TarGz};
    use crate::net::http::{Client, ClientSettings};
    use crate::pipeline::make::TransferIds;
    use crate::report::Silent;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn roots<'a>(store: &'a Store, client: &'a Client, ids: &'a TransferIds) -> Roots<'a> {
        static TURN: Turn = Turn(Mutex::new(()));
        Roots::new(
            Elsewhere {
                store,
                client,
                report: &Silent,
                ids,
            },
            &TURN,
        )
    }

    fn layer(store: &Store, text: &str) -> RootLayer {
        let options = Options { mtime: 0, level: 6 };
        let owner = Owner {
            uid: 0,
            gid: 0,
            mode: 0o644,
        };
        let mut tar = TarGz::new(Vec::new(), options);
        tar.file(b"a", &owner, text.len() as u64, &mut text.as_bytes())
            .unwrap();
        let bytes = tar.finish().unwrap().0;
        RootLayer {
            size_bytes: bytes.len() as u64,
            digest: store.put_blob(&bytes).unwrap(),
            name: text.to_owned(),
        }
    }

    #[test]
    fn layers_are_folders_in_their_order() {
        let (_folder, store) = store();
        let (client, ids) = (
            Client::new(ClientSettings::default()),
            TransferIds::default(),
        );
        let roots = roots(&store, &client, &ids);
        let layers: Vec<RootLayer> = ["one", "two", "three"]
            .map(|text| layer(&store, text))
            .to_vec();
        let first = roots.of(&layers).unwrap();
        for (folder, layer) in first.iter().zip(&layers) {
            assert_eq!(
                std::fs::read_to_string(folder.join("a")).unwrap(),
                layer.name
            );
        }
        assert_eq!(roots.of(&layers).unwrap(), first);
    }

    #[test]
    fn a_layer_that_is_not_there_is_named() {
        let (_folder, store) = store();
        let (client, ids) = (
            Client::new(ClientSettings::default()),
            TransferIds::default(),
        );
        let roots = roots(&store, &client, &ids);
        let layer = RootLayer {
            digest: Digest::of(b"none"),
            size_bytes: 4,
            name: "none".to_owned(),
        };
        let error = roots.of(std::slice::from_ref(&layer)).unwrap_err();
        assert!(error.to_string().contains(&layer.digest.hex()), "{error}");
    }
}
