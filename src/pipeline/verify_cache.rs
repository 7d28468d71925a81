//! `--verify-cache`: layers that an image in a registry has are made here all the same, from packages and
//! wheels by their hashes, and held against what the image says.

use std::fs::File;

use crate::context::build_context::Context;
use crate::layer_cache::{BuiltLayer, LayerRecipe, WantedBlob};
use crate::layers::difference::difference;
use crate::oci::Digest;
use crate::report::{BuildError, ErrorClass, Explain, Explanation, LayerStatus};

/// Paths that are named of one layer.
const MAX_NAMED: usize = 12;

/// A layer of a registry's image that is not what is made of the same things here.
#[derive(Debug)]
pub(crate) struct WrongLayer {
    /// What it holds, for people.
    contents: String,
    /// What the registry has.
    told: Digest,
    made: Digest,
    /// Paths that differ, as far as that can be found out.
    paths: Vec<String>,
}

/// Layers of a registry's image are others than their keys say.
#[derive(Debug, thiserror::Error)]
#[error("{} layers of a cache image are not what their keys say", layers.len())]
pub(crate) struct WrongLayers {
    layers: Vec<WrongLayer>,
}

impl Explain for WrongLayers {
    fn explain(&self) -> Explanation {
        let why = self.layers.iter().map(|layer| {
            let named = layer.paths.iter().take(MAX_NAMED).map(String::as_str);
            let named: Vec<&str> = named.collect();
            let more = match layer.paths.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let paths = match named.as_slice() {
                [] => "its files cannot be compared".to_owned(),
                named => format!("they differ in {}{more}", named.join(", ")),
            };
            format!(
                "{}: the registry has {}, and made here it is {}; {paths}",
                layer.contents, layer.told, layer.made
            )
        });
        let contents = self.layers.iter().map(|layer| layer.contents.as_str());
        Explanation {
            class: ErrorClass::World,
            what: "a cache image has other layers than its keys say".to_owned(),
            place: contents.collect::<Vec<_>>().join("; "),
            why: why.collect::<Vec<_>>().join("\n"),
            next: "find out who may write to that repository; build with --no-cache meanwhile, and push the image again"
                .to_owned(),
        }
    }
}

impl Context<'_> {
    /// Makes all layers here that a registry's image is to give, if that is wanted, and compares.
    ///
    /// # Errors
    /// A layer that cannot be made; layers that are others, all of them.
    pub(super) fn verify(
        &self,
        layers: &[BuiltLayer],
        recipes: &[&LayerRecipe<'_>],
    ) -> Result<(), BuildError> {
        if !self.cache.is_verified() {
            return Ok(());
        }
        let form = self.settings.formats.layers;
        let is_elsewhere =
            |made: &&BuiltLayer| matches!(made.status, LayerStatus::Believed | LayerStatus::Remote);
        let mut told: Vec<&BuiltLayer> = Vec::new();
        let mut wanted: Vec<&LayerRecipe<'_>> = Vec::new();
        for made in layers.iter().filter(is_elsewhere) {
            let mut recipes = recipes.iter();
            // A base that is an image is what the project asks for, and no cache.
            if let Some(recipe) = recipes.find(|one| form.key(&one.key) == made.layer.key) {
                told.push(made);
                wanted.push(recipe);
            }
        }
        let own = self.make_own(&wanted)?;
        let pairs = told.into_iter().zip(&own);
        let disproofs: Vec<WrongLayer> = pairs
            .filter(|(told, own)| told.layer.digest != own.layer.digest)
            .map(|(told, own)| WrongLayer {
                contents: told.layer.contents.clone(),
                told: told.layer.digest,
                made: own.layer.digest,
                paths: self.differing(told, own).unwrap_or_default(),
            })
            .collect();
        if disproofs.is_empty() {
            return Ok(());
        }
        Err(WrongLayers { layers: disproofs }.into())
    }

    /// Paths in which a registry's layer differs from ours.
    fn differing(&self, told: &BuiltLayer, own: &BuiltLayer) -> Result<Vec<String>, BuildError> {
        self.roots().elsewhere().bring(&[WantedBlob {
            digest: told.layer.digest,
            size_bytes: told.layer.size_bytes,
            name: told.layer.contents.clone(),
        }])?;
        let open = |made: &BuiltLayer| {
            let path = self.store.blob_path(&made.layer.digest);
            File::open(&path).map_err(|source| crate::store::StoreError::Io { path, source })
        };
        Ok(difference(open(told)?, open(own)?)?)
    }
}

#[cfg(test)]
crate::report::samples! {
    struct WrongLayers {
        layers: vec![WrongLayer {
            contents: "numpy==2.4.6".into(),
            told: Digest::of(b"told"),
            made: Digest::of(b"made"),
            paths: vec!["opt/app-root/lib/python3.13/site-packages/numpy/__init__.py".into()],
        }],
    };
}
