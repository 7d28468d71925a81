//! What `s2r.lock` says of layers: which bytes come of which key. With it an image in a registry is a place to
//! fetch bytes from, and nothing that it tells has to be believed.

use std::collections::BTreeMap;

use super::recipe::BuiltLayer;
use crate::oci::Key;
use crate::report::{Event, Report};
use crate::resolve::debian::{BaseLock, LockedLayer};
use crate::store::StoredLayer;

/// Layers by their keys.
#[derive(Debug, Default)]
pub(crate) struct LockedLayers(pub(super) BTreeMap<Key, LockedLayer>);

impl LockedLayers {
    /// Those of a lock, of all architectures: a key tells its own.
    pub(crate) fn of(lock: Option<&BaseLock>) -> Self {
        let lines = lock.into_iter().flat_map(|lock| lock.layers.values());
        Self(
            lines
                .flatten()
                .map(|layer| (layer.key, layer.clone()))
                .collect(),
        )
    }

    /// Whether the lock says nothing of layers.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The layer of this key, as it is once somebody has its bytes.
    pub(crate) fn stored(&self, key: &Key) -> Option<StoredLayer> {
        self.0.get(key).map(|layer| StoredLayer {
            digest: layer.digest,
            diff_id: layer.diff_id,
            size_bytes: layer.size_bytes,
            uncompressed_bytes: layer.uncompressed_bytes,
            annotations: BTreeMap::new(),
            notes: None,
        })
    }

    /// Warns of a layer that is here, and that the lock says other bytes of.
    pub(crate) fn check(
        &self,
        key: &Key,
        stored: &StoredLayer,
        contents: &str,
        report: &dyn Report,
    ) {
        if let Some(locked) = self.0.get(key).filter(|one| one.digest != stored.digest) {
            report.event(Event::Warning {
                text: format!(
                    "{contents} is {} here, and s2r.lock says that it is {}",
                    stored.digest, locked.digest
                ),
                hint: "run `s2r lock --layers SOURCE` to write the lock anew; if nobody has changed it or s2r, ask who did"
                    .to_owned(),
            });
        }
    }
}

/// A layer as the lock has it; its tar's length must be known.
pub(crate) fn line(made: &BuiltLayer) -> Option<LockedLayer> {
    Some(LockedLayer {
        contents: made.layer.contents.clone(),
        key: made.layer.key,
        digest: made.layer.digest,
        diff_id: made.layer.diff_id,
        size_bytes: made.layer.size_bytes,
        uncompressed_bytes: made.uncompressed_bytes?,
    })
}
