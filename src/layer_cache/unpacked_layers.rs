//! The folders of image layers, for what has to run over them: unpacked once, and kept in the store.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::download::StoreFetcher;
use super::recipe::{BuiltLayer, LayerRecipe};
use super::remote_blobs::{RemoteBlobs, WantedBlob};
use crate::archive::tar::{CompressionEffort, LayerWriter, TarOptions};
use crate::host::TempFolder;
use crate::layers::hashed::{Hashing, tar_sha256};
use crate::layers::unpack::unpack;
use crate::layers::viewer::ImageUser;
use crate::oci::{DiffId, Digest, Key, KeyBuilder};
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, Report};
use crate::store::{Store, StoreError};

/// The record kind of the hashes of layers' tars.
const DIFF_IDS: &str = "diff-ids";

/// Layers that are unpacked at once. More would wait for the disk.
const WORKERS: usize = 2;

/// Unpacking that takes no longer is nobody's concern.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How layers that only become folders are compressed: they are read once.
const PASSING: TarOptions = TarOptions {
    mtime: 315_532_800,
    effort: CompressionEffort::Least,
};

/// A layer of the store that is wanted as a folder.
#[derive(Debug, Clone)]
pub(crate) struct RootLayer {
    pub digest: Digest,
    /// The blob's length in bytes.
    pub size_bytes: u64,
    /// What it holds, for people.
    pub name: String,
    /// What its tar's hash is said to be, where something is known by that hash.
    pub diff_id: Option<DiffId>,
}

/// A layer's tar is another than its image or the lock says.
#[derive(Debug, thiserror::Error)]
#[error("the tar of {layer} ({name}) is {found}, not {told}")]
pub(crate) struct TarMismatch {
    pub layer: Digest,
    /// What it holds, for people.
    pub name: String,
    /// The diff id that was told.
    pub told: DiffId,
    /// That of its bytes.
    pub found: DiffId,
}

impl Explain for TarMismatch {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::Project,
            what: "a layer is not what the base or the lock says".to_owned(),
            place: format!("{}, {}", self.name, self.layer),
            why: format!(
                "its tar is {}, and the base's config or s2r.lock says {}",
                self.found, self.told
            ),
            next: "name another base (--builder IMAGE), or write the lock again with `s2r lock --layers SOURCE`"
                .to_owned(),
        }
    }
}

/// Where folders of layers lie, and who hears of their making.
#[derive(Clone, Copy)]
pub(crate) struct UnpackedLayers<'a> {
    store: &'a Store,
    report: &'a dyn Report,
    elsewhere: RemoteBlobs<'a>,
    turn: &'a UnpackLock,
    viewer: Option<ImageUser>,
}

/// Whose turn it is: several want the same folders at once, and the second finds them made.
#[derive(Debug, Default)]
pub(crate) struct UnpackLock(Mutex<()>);

impl<'a> UnpackedLayers<'a> {
    pub(crate) fn new(elsewhere: RemoteBlobs<'a>, turn: &'a UnpackLock) -> Self {
        Self {
            store: elsewhere.store,
            report: elsewhere.report,
            elsewhere,
            turn,
            viewer: None,
        }
    }

    /// The same with the rights of one user; they lie beside those that steps are run upon.
    pub(crate) fn seen_by(self, viewer: Option<ImageUser>) -> Self {
        Self { viewer, ..self }
    }

    /// What the folder of a layer is called.
    fn folder_name(&self, digest: &Digest) -> String {
        match self.viewer {
            Some(viewer) => format!("{}-{}", digest.hex(), viewer.name()),
            None => digest.hex(),
        }
    }

    /// What fetches layers that are elsewhere.
    pub(crate) fn elsewhere(&self) -> RemoteBlobs<'a> {
        self.elsewhere
    }

    /// The folders of an image's layers, in their order.
    ///
    /// # Errors
    /// The first layer's that cannot be unpacked.
    pub(crate) fn of_layers(&self, layers: &[BuiltLayer]) -> Result<Vec<PathBuf>, BuildError> {
        let layers: Vec<RootLayer> = layers
            .iter()
            .map(|made| RootLayer {
                digest: made.layer.digest,
                size_bytes: made.layer.size_bytes,
                name: made.layer.contents.clone(),
                diff_id: Some(made.layer.diff_id),
            })
            .collect();
        self.of(&layers)
    }

    /// The folder of a layer that goes into no image, known by its key.
    ///
    /// # Errors
    /// Its files cannot be fetched, or it cannot be written or unpacked.
    pub(crate) fn of_recipe(
        &self,
        recipe: &LayerRecipe<'_>,
        fetcher: &StoreFetcher<'_>,
    ) -> Result<PathBuf, BuildError> {
        let name = recipe.key.hex();
        if let Some(path) = self.store.root_of(&name) {
            return Ok(path);
        }
        fetcher.fetch_all(&recipe.needs)?;
        let mut tar = LayerWriter::new(self.store.writer()?.unhashed(), PASSING);
        let _notes = (recipe.write)(&mut tar)?;
        let bytes = tar.finish()?.0.into_reader()?;
        let (draft, _) = self.unpack(bytes, &recipe.contents)?;
        Ok(self.store.keep_root(draft, &name)?)
    }

    /// The folders of layers, in their order; those that are not there are unpacked, and those whose
    /// bytes are in a registry are fetched first.
    ///
    /// # Errors
    /// The first layer's that cannot be had or unpacked.
    pub(crate) fn of(&self, layers: &[RootLayer]) -> Result<Vec<PathBuf>, BuildError> {
        let _turn = self.turn.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<WantedBlob> = layers
            .iter()
            .filter(|layer| {
                let name = self.folder_name(&layer.digest);
                self.store.root_of(&name).is_none()
            })
            .map(RootLayer::wanted)
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
        layers
            .iter()
            .map(|layer| {
                self.check(layer)?;
                self.one(layer)
            })
            .collect()
    }

    /// Holds a layer against what is said of its tar. What was hashed once is remembered.
    fn check(&self, layer: &RootLayer) -> Result<(), BuildError> {
        let Some(told) = layer.diff_id else {
            return Ok(());
        };
        let key = diff_id_key(&layer.digest);
        let known = self.store.record(DIFF_IDS, &key)?;
        let known = known.and_then(|text| String::from_utf8(text).ok()?.parse::<DiffId>().ok());
        let found = if let Some(found) = known {
            found
        } else {
            self.elsewhere.bring(&[layer.wanted()])?;
            let mut blob = self.blob(layer)?;
            let read = tar_sha256(&mut blob);
            self.hold(layer, blob)?;
            let found = DiffId::from_bytes(read?);
            self.note(&layer.digest, &found)?;
            found
        };
        if found == told {
            return Ok(());
        }
        Err(TarMismatch {
            layer: layer.digest,
            name: layer.name.clone(),
            told,
            found,
        }
        .into())
    }

    fn note(&self, digest: &Digest, diff_id: &DiffId) -> Result<(), StoreError> {
        let text = diff_id.to_string();
        self.store
            .put_record(DIFF_IDS, &diff_id_key(digest), text.as_bytes())
    }

    fn blob(&self, layer: &RootLayer) -> Result<Hashing<File>, StoreError> {
        let path = self.store.blob_path(&layer.digest);
        match File::open(&path) {
            Ok(file) => Ok(Hashing::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Blob {
                path,
                digest: layer.digest,
                is_there: false,
            }),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Holds what was read of a layer against its digest. What else there is to say of a layer that is not
    /// what it was, is of no use.
    fn hold(&self, layer: &RootLayer, blob: Hashing<File>) -> Result<(), StoreError> {
        if blob.finish().is_ok_and(|found| found == layer.digest) {
            return Ok(());
        }
        Err(StoreError::Blob {
            path: self.store.blob_path(&layer.digest),
            digest: layer.digest,
            is_there: true,
        })
    }

    /// The folder of one layer.
    fn one(&self, layer: &RootLayer) -> Result<PathBuf, BuildError> {
        let name = self.folder_name(&layer.digest);
        if let Some(path) = self.store.root_of(&name) {
            return Ok(path);
        }
        let mut blob = self.blob(layer)?;
        let unpacked = self.unpack(&mut blob, &layer.name);
        self.hold(layer, blob)?;
        let (draft, sha256) = unpacked?;
        let root = self.store.keep_root(draft, &name)?;
        self.note(&layer.digest, &DiffId::from_bytes(sha256))?;
        Ok(root)
    }

    /// Unpacks a layer; the folder, and the hash of the tar.
    fn unpack(
        &self,
        blob: impl Read,
        contents: &str,
    ) -> Result<(TempFolder, [u8; 32]), BuildError> {
        let start = Instant::now();
        let draft = self.store.draft_root()?;
        let unpacked = unpack(blob, draft.path(), self.viewer)?;
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
        Ok((draft, unpacked.sha256))
    }
}

impl RootLayer {
    fn wanted(&self) -> WantedBlob {
        WantedBlob {
            digest: self.digest,
            size_bytes: self.size_bytes,
            name: self.name.clone(),
        }
    }
}

fn diff_id_key(digest: &Digest) -> Key {
    KeyBuilder::new("diff-id/1")
        .field(digest.as_bytes())
        .finish()
}

#[cfg(test)]
crate::report::samples! {
    struct TarMismatch {
        layer: Digest::of(b"layer"),
        name: "python:3.12-slim, layer 2".into(),
        told: Digest::of(b"told").to_string().parse().unwrap(),
        found: Digest::of(b"found").to_string().parse().unwrap(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::{CompressionEffort, EntryOwner, LayerWriter, TarOptions};
    use crate::layer_cache::TransferIds;
    use crate::net::http::{Client, ClientSettings};
    use crate::report::SilentReport;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn roots<'a>(store: &'a Store, client: &'a Client, ids: &'a TransferIds) -> UnpackedLayers<'a> {
        static TURN: UnpackLock = UnpackLock(Mutex::new(()));
        UnpackedLayers::new(
            RemoteBlobs {
                store,
                client,
                report: &SilentReport,
                ids,
            },
            &TURN,
        )
    }

    fn layer(store: &Store, text: &str) -> RootLayer {
        let options = TarOptions {
            mtime: 0,
            effort: CompressionEffort::Usual,
        };
        let owner = EntryOwner {
            uid: 0,
            gid: 0,
            mode: 0o644,
        };
        let mut tar = LayerWriter::new(Vec::new(), options);
        tar.file(b"a", &owner, text.len() as u64, &mut text.as_bytes())
            .unwrap();
        let bytes = tar.finish().unwrap().0;
        RootLayer {
            size_bytes: bytes.len() as u64,
            digest: store.put_blob(&bytes).unwrap(),
            name: text.to_owned(),
            diff_id: None,
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
    fn a_layer_whose_tar_is_another_is_refused_whenever_it_was_unpacked() {
        let (_folder, store) = store();
        let (client, ids) = (
            Client::new(ClientSettings::default()),
            TransferIds::default(),
        );
        let roots = roots(&store, &client, &ids);
        let unpacked = layer(&store, "one");
        roots.of(std::slice::from_ref(&unpacked)).unwrap();
        let right = tar_sha256(roots.blob(&unpacked).unwrap()).unwrap();
        for (bytes, is_right) in [(right, true), ([7; 32], false), (right, true)] {
            let told = RootLayer {
                diff_id: Some(DiffId::from_bytes(bytes)),
                ..unpacked.clone()
            };
            let done = roots.of(&[told]);
            assert_eq!(done.is_ok(), is_right, "{done:?}");
        }
        // A folder of which nothing is remembered is hashed.
        let key = diff_id_key(&unpacked.digest);
        store.put_record(DIFF_IDS, &key, b"").unwrap();
        let told = RootLayer {
            diff_id: Some(DiffId::from_bytes([7; 32])),
            ..unpacked
        };
        let error = roots.of(&[told]).unwrap_err();
        assert!(error.find::<TarMismatch>().is_some(), "{error}");
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
            diff_id: None,
        };
        let error = roots.of(std::slice::from_ref(&layer)).unwrap_err();
        assert!(error.to_string().contains(&layer.digest.hex()), "{error}");
    }
}
