//! What the store costs, and taking away what no image needs.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::records::{SOURCE_HASHES, read_layer};
use super::{Store, StoreError};
use crate::host::{measure_tree, remove_tree};
use crate::oci::Digest;

/// How much of the disk the store takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsageReport {
    /// Layers, manifests and configs of images.
    pub image_bytes: u64,
    /// Blobs that no image names, such as layers of earlier builds.
    pub unused_bytes: u64,
    /// Wheels, debs and index files.
    pub download_bytes: u64,
    /// Layers unpacked to folders.
    pub root_bytes: u64,
    /// Fetched programs and their caches, records, byte code, files being written.
    pub other_bytes: u64,
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PruneReport {
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Images that are no longer listed, because their manifests are damaged: what they need is not known.
    pub lost: BTreeSet<String>,
}

impl Store {
    /// How much of the disk the store takes.
    pub(crate) fn usage(&self) -> Result<DiskUsageReport, StoreError> {
        let used = self.used_blobs()?;
        let mut usage = DiskUsageReport::default();
        visit(&self.root().join("blobs/sha256"), &mut |path, bytes| {
            if is_in(&used, path) {
                usage.image_bytes += bytes;
            } else {
                usage.unused_bytes += bytes;
            }
        })?;
        visit(&self.folder("downloads"), &mut |_, bytes| {
            usage.download_bytes += bytes;
        })?;
        usage.root_bytes = self.measure("roots")?;
        for folder in [
            "tools",
            "compiled",
            "records",
            "layers",
            "tmp",
            "git",
            "elsewhere",
        ] {
            usage.other_bytes += self.measure(folder)?;
        }
        Ok(usage)
    }

    fn measure(&self, name: &str) -> Result<u64, StoreError> {
        let folder = self.folder(name);
        let size = measure_tree(&folder).map_err(StoreError::io(&folder))?;
        Ok(size.bytes)
    }

    /// Removes blobs that no image names, notes of layers without a blob, unpacked layers without an
    /// image, abandoned files, and with `all` the downloads, all unpacked layers, byte code, programs
    /// and records too. Images whose manifests are damaged are listed no longer. Waits for builds that are under way: they
    /// count on layers that no image names yet.
    pub(crate) fn prune(&self, all: bool) -> Result<PruneReport, StoreError> {
        let _alone = self.lock("use")?;
        let lost = self.check_lists()?.lost;
        let _lock = self.lock("images")?;
        let used = self.used_blobs()?;
        let mut unneeded: Vec<(PathBuf, u64)> = Vec::new();
        let mut take = |path: &Path, bytes: u64| unneeded.push((path.to_owned(), bytes));
        visit(&self.root().join("blobs/sha256"), &mut |path, bytes| {
            if !is_in(&used, path) {
                take(path, bytes);
            }
        })?;
        visit(&self.folder("elsewhere"), &mut |path, bytes| {
            if !is_in(&used, path) {
                take(path, bytes);
            }
        })?;
        let mut notes = Vec::new();
        visit(&self.folder("layers"), &mut |path, bytes| {
            notes.push((path.to_owned(), bytes));
        })?;
        for (path, bytes) in notes {
            let layer = read_layer(&path)?;
            if !layer.is_some_and(|layer| used.contains(&layer.digest.hex())) {
                unneeded.push((path, bytes));
            }
        }
        let mut pruned = self.prune_folders(all, &used)?;
        pruned.lost = lost;
        for (path, bytes) in unneeded {
            match fs::remove_file(&path) {
                Ok(()) => {
                    pruned.files += 1;
                    pruned.bytes += bytes;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io(&path)(error)),
            }
        }
        Ok(pruned)
    }

    /// Removes unpacked layers, what was being written (no build is under way, so it has lost its
    /// writer), what files of sources hash to, and with `all` what can be fetched or made again.
    fn prune_folders(&self, all: bool, used: &BTreeSet<String>) -> Result<PruneReport, StoreError> {
        let refetched: &[&str] = if all {
            &["downloads", "compiled", "tools", "records", "git"]
        } else {
            &[]
        };
        let mut pruned = PruneReport::default();
        let hashes = format!("records/{SOURCE_HASHES}");
        for name in ["roots", "tmp", &hashes].iter().chain(refetched) {
            for path in children(&self.folder(name))? {
                if *name == "roots" && !all && is_in(used, &path) {
                    continue;
                }
                let size = remove_tree(&path).map_err(StoreError::io(&path))?;
                pruned.files += size.files;
                pruned.bytes += size.bytes;
            }
        }
        Ok(pruned)
    }

    /// The hex digests of all blobs that the listed images need.
    fn used_blobs(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut used = BTreeSet::new();
        for entry in self.read_index()?.manifests {
            let needed = self.needed_blobs(&entry.digest)?;
            used.extend(needed.iter().map(Digest::hex));
        }
        Ok(used)
    }
}

fn is_in(used: &BTreeSet<String>, path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        // The folder of a layer for one user has that user behind the digest.
        .is_some_and(|name| used.contains(name.split('-').next().unwrap_or(name)))
}

/// What lies in a folder; one that is not there is empty.
pub(super) fn children(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(StoreError::io(folder)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io(folder)(error)),
    }
}

/// Calls `each` with every file of a folder and its length; a folder that is not there is empty.
pub(super) fn visit(folder: &Path, each: &mut dyn FnMut(&Path, u64)) -> Result<(), StoreError> {
    for path in children(folder)? {
        // A build may finish or remove a file while we look: what is gone needs no mention.
        if let Ok(metadata) = path.symlink_metadata()
            && !metadata.is_dir()
        {
            each(&path, metadata.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Descriptor, ImageManifest, MediaType};

    #[test]
    fn what_an_image_needs_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.put_blob(b"layer").unwrap();
        store.put_blob(b"unused!").unwrap();
        store.put_blob(b"{}").unwrap();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::Manifest),
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![Descriptor::of(MediaType::LayerGzip, b"layer")],
            annotations: std::collections::BTreeMap::new(),
        };
        let bytes = manifest.to_bytes().unwrap();
        store.put_blob(&bytes).unwrap();
        store
            .tag("a:1", &Descriptor::of(MediaType::Manifest, &bytes))
            .unwrap();

        let usage = store.usage().unwrap();
        assert_eq!(usage.unused_bytes, 7);
        let pruned = store.prune(false).unwrap();
        assert_eq!((pruned.files, pruned.bytes), (1, 7));
        assert!(store.has_blob(&Digest::of(b"layer"), 5));
        assert_eq!(store.prune(false).unwrap(), PruneReport::default());
    }

    #[test]
    fn what_sources_hash_to_goes_and_other_records_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = crate::oci::KeyBuilder::new("r").finish();
        for kind in [SOURCE_HASHES, "lock"] {
            store.put_record(kind, &key, b"text").unwrap();
        }
        assert_eq!(store.prune(false).unwrap().files, 1);
        assert_eq!(store.record(SOURCE_HASHES, &key).unwrap(), None);
        assert!(store.record("lock", &key).unwrap().is_some());
    }

    #[test]
    fn folders_of_layers_without_an_image_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let draft = store.draft_root().unwrap();
        fs::write(draft.path().join("a"), b"12345").unwrap();
        let root = store.keep_root(draft, &Digest::of(b"layer").hex()).unwrap();
        let abandoned = store.draft_root().unwrap().keep();
        fs::write(abandoned.join("b"), b"67").unwrap();
        assert_eq!(store.usage().unwrap().root_bytes, 5);
        let pruned = store.prune(false).unwrap();
        assert_eq!((pruned.files, pruned.bytes), (2, 7));
        assert!(!root.exists() && !abandoned.exists());
    }
}
