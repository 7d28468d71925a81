//! Layers unpacked into folders of the store, so that steps in the sandbox can stand on them.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::error::{BuildError, Obstacle};
use super::fetch::Fetcher;
use super::make::{Made, Recipe};
use crate::archive::tar::{Options, TarGz};
use crate::report::Report;
use crate::store::Store;

pub(super) struct Roots<'a> {
    store: &'a Store,
    _report: &'a dyn Report,
}

impl<'a> Roots<'a> {
    pub(super) fn new(store: &'a Store, report: &'a dyn Report) -> Self {
        Self {
            store,
            _report: report,
        }
    }

    pub(super) fn of_layers(&self, layers: &[Made]) -> Result<Vec<PathBuf>, BuildError> {
        layers
            .iter()
            .map(|made| {
                self.one(
                    &made.layer.digest.hex(),
                    &self.store.blob_path(&made.layer.digest),
                )
            })
            .collect()
    }

    pub(super) fn of_digest(&self, digest: &crate::oci::Digest) -> Result<PathBuf, BuildError> {
        self.one(&digest.hex(), &self.store.blob_path(digest))
    }

    pub(super) fn of_recipe(
        &self,
        recipe: &Recipe<'_>,
        fetcher: &Fetcher<'_>,
    ) -> Result<PathBuf, BuildError> {
        let folder = self.store.root().join("s2r/roots").join(recipe.key.hex());
        if folder.is_dir() {
            return Ok(folder);
        }
        for needed in &recipe.needs {
            fetcher.fetch(needed)?;
        }
        let mut tar = TarGz::new(
            self.store.writer()?.unhashed(),
            Options {
                mtime: 315_532_800,
                level: 1,
            },
        );
        (recipe.write)(&mut tar)?;
        let (writer, written) = tar.finish()?;
        let digest = crate::oci::Digest::from_bytes(written.sha256);
        self.store.keep_blob(writer.hashed(digest), &digest)?;
        self.one(&recipe.key.hex(), &self.store.blob_path(&digest))
    }

    fn one(&self, name: &str, blob: &Path) -> Result<PathBuf, BuildError> {
        let roots = self.store.root().join("s2r/roots");
        let folder = roots.join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let bad = |source| Obstacle::Unwritable {
            path: folder.clone(),
            source,
        };
        fs::create_dir_all(&roots).map_err(bad)?;
        let temp = tempfile::tempdir_in(&roots).map_err(bad)?;
        let file = fs::File::open(blob).map_err(bad)?;
        let mut archive =
            tar::Archive::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)));
        archive.set_preserve_permissions(true);
        archive.unpack(temp.path()).map_err(bad)?;
        fs::rename(temp.keep(), &folder).map_err(bad)?;
        Ok(folder)
    }
}
