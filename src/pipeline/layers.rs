//! Having the layers of a site: known to the store, told of by a registry, or made.

use super::cache::Cache;
use super::ground::Ground;
use super::make::{Batch, Made, Recipe, Workshop};
use super::platform::Site;
use super::trust::NoRecipe;
use crate::oci::{Key, Platform};
use crate::report::{BuildError, LayerFate};

impl Site<'_> {
    /// Whether a layer needs not be made.
    pub(super) fn has_layer(&self, key: &Key) -> bool {
        let key = self.settings.formats.layers.key(key);
        if self.store.layer(&key).is_some() {
            return true;
        }
        match self.locked.stored(&key) {
            Some(stored) => self.cache.blob(&stored).is_some(),
            None => self.cache.layer(&key).is_some(),
        }
    }

    /// A layer that the store or a registry knows by its key.
    pub(super) fn known_layer(&self, key: &Key, contents: &str, index: usize) -> Option<Made> {
        // What steps left cannot be made again without running them, so that it is not taken where all is verified.
        let form = self.settings.formats.layers;
        let is_here = || self.store.layer(&form.key(key)).is_some();
        if !self.has_layer(key) || (self.cache.is_verified() && !is_here()) {
            return None;
        }
        let recipe = Recipe {
            key: *key,
            contents: contents.to_owned(),
            needs: Vec::new(),
            is_of_source: true,
            // A registry's layer may be gone once it is wanted. Then nothing may stand in its place.
            write: Box::new(|_| {
                Err(NoRecipe {
                    contents: contents.to_owned(),
                }
                .into())
            }),
        };
        self.make(&[recipe], index).ok()?.layers.pop()
    }

    /// A layer with its true fate: one that was believed and has been made here since is so no more.
    pub(super) fn proven(&self, made: Made) -> Made {
        let stored = self.store.layer(&made.layer.key);
        match stored.filter(|stored| stored.digest == made.layer.digest) {
            Some(stored) if made.fate == LayerFate::Believed => Made {
                fate: LayerFate::Made,
                uncompressed_bytes: Some(stored.uncompressed_bytes),
                ..made
            },
            _ => made,
        }
    }

    /// Has layers, in the recipes' order: the store's, a registry's, or made.
    pub(super) fn make(
        &self,
        recipes: &[Recipe<'_>],
        first_index: usize,
    ) -> Result<Batch, BuildError> {
        let recipes: Vec<&Recipe<'_>> = recipes.iter().collect();
        self.workshop(Some(self.cache), &recipes, first_index)
    }

    /// Layers, whatever a registry says that it has.
    pub(super) fn make_own(&self, recipes: &[&Recipe<'_>]) -> Result<Vec<Made>, BuildError> {
        Ok(self.workshop(None, recipes, 0)?.layers)
    }

    fn workshop(
        &self,
        cache: Option<&Cache<'_>>,
        recipes: &[&Recipe<'_>],
        first_index: usize,
    ) -> Result<Batch, BuildError> {
        Workshop {
            store: self.store,
            fetcher: &self.fetcher(),
            cache,
            locked: &self.locked,
            report: self.report,
            tar: self.tar(),
            form: self.settings.formats.layers,
            first_index,
            workers: self.settings.workers,
            rechecks: self.settings.rules.refresh,
            stop: &self.stop,
        }
        .make(recipes)
    }

    /// Has all layers of a platform that do not depend on the source, bottom up.
    ///
    /// # Errors
    /// As a build's.
    pub(super) fn make_lasting(&self, platform: Platform) -> Result<Vec<Made>, BuildError> {
        let foundation = self.foundation(platform)?;
        let ground = Ground::new(self, platform.architecture, &foundation).alone();
        let target = self.target(platform.architecture, &foundation);
        let lock = self.wheels(target, &ground)?;
        let mut layers = self.lay(&foundation)?.layers;
        let compiler = self.compiler(&foundation)?;
        let places = self.places(compiler.as_ref());
        let contents = self.tree().contents()?;
        let upper = self.upper((&lock, &foundation), &places, &contents, compiler.as_ref())?;
        let lasting: Vec<&Recipe<'_>> = upper.iter().filter(|one| !one.is_of_source).collect();
        layers.extend(self.make_own(&lasting)?);
        Ok(layers)
    }
}
