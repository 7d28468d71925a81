//! What s2r itself executes, and what steps stand on: only what was made here.
//!
//! An image in a registry tells which layers it has, and whoever may write to that registry tells what he
//! likes. Such a layer may be part of an image, because the image is as good as its cache. It is never
//! executed and never unpacked beneath a step: before that, the same layer is made here from its packages
//! and wheels, whose hashes are known, and if it comes out as another one, the image is no cache any more.
//!
//! The interpreter that makes byte code runs without a sandbox, so for it even the project's `s2r.lock` is
//! not enough: its packages must have been in the index of a suite whose signature was checked, on this
//! machine. If those of the lock were not, the suite's own are taken; byte code is the same for all
//! releases of a Python version.

use std::path::PathBuf;

use super::base_recipes;
use crate::context::build_context::Context;
use crate::layer_cache::{BuiltLayer, LayerContradiction, LayerRecipe, NoRecipe, RootLayer};
use crate::layers::deb::{BaseOptions, BasePart};
use crate::packages::debian::{DebArtefact, DebianBase};
use crate::report::{BuildError, LayerStatus};

impl Context<'_> {
    /// The same layers, with none among them whose bytes are only believed to be right: those are made
    /// here from their recipes.
    ///
    /// # Errors
    /// A layer that cannot be made, or that is not what the registry's image says.
    pub(crate) fn made_here(
        &self,
        layers: &[BuiltLayer],
        recipes: &[&LayerRecipe<'_>],
    ) -> Result<Vec<BuiltLayer>, BuildError> {
        let form = self.settings.formats.layers;
        let key_of = |recipe: &LayerRecipe<'_>| form.key(&recipe.key);
        let is_believed = |made: &&BuiltLayer| made.status == LayerStatus::Believed;
        let wanted: Vec<&LayerRecipe<'_>> = layers
            .iter()
            .filter(is_believed)
            .filter_map(|made| recipes.iter().find(|one| key_of(one) == made.layer.key))
            .copied()
            .collect();
        let own = self.make_own(&wanted)?;
        let own_of = |made: &BuiltLayer| own.iter().find(|one| one.layer.key == made.layer.key);
        layers
            .iter()
            .map(|told| match own_of(told) {
                None if is_believed(&told) => Err(NoRecipe {
                    contents: told.layer.contents.clone(),
                }
                .into()),
                None => Ok(told.clone()),
                Some(own) if own.layer.diff_id == told.layer.diff_id => Ok(own.clone()),
                Some(own) => Err(LayerContradiction {
                    contents: told.layer.contents.clone(),
                    told: told.layer.digest,
                    made: own.layer.digest,
                }
                .into()),
            })
            .collect()
    }

    /// Folders of layers that a step stands on, the lowest first.
    ///
    /// # Errors
    /// As [`made_here`](Self::made_here); a layer that cannot be unpacked.
    pub(crate) fn lower_folders(
        &self,
        layers: &[BuiltLayer],
        recipes: &[&LayerRecipe<'_>],
    ) -> Result<Vec<PathBuf>, BuildError> {
        self.roots().of_layers(&self.made_here(layers, recipes)?)
    }

    /// Folders of parts of a base, from layers that were made here or from the packages themselves.
    ///
    /// # Errors
    /// Packages that are not to be had, or that cannot be unpacked.
    pub(crate) fn folders_of_parts(
        &self,
        packages: &[DebArtefact],
        (options, debian): (&BaseOptions, &DebianBase),
        parts: &[BasePart],
    ) -> Result<Vec<PathBuf>, BuildError> {
        let roots = self.roots();
        let recipes = parts.iter().filter_map(|part| {
            base_recipes::base_part(*part, packages, options, &debian.suite, self.store)
        });
        let mut folders = Vec::new();
        for recipe in recipes {
            let key = self.settings.formats.layers.key(&recipe.key);
            if let Some(stored) = self.store.layer(&key) {
                folders.extend(roots.of(&[RootLayer {
                    digest: stored.digest,
                    size_bytes: stored.size_bytes,
                    name: recipe.contents.clone(),
                    diff_id: None,
                }])?);
            } else {
                folders.push(roots.of_recipe(&recipe, &self.fetcher())?);
            }
        }
        Ok(folders)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::resolved_packages::{are_listed, note_listed};
    use crate::base::trusted_layers::*;
    use crate::packages::Sha256;
    use crate::store::Store;

    fn deb(package: &str, sha256: u8) -> DebArtefact {
        DebArtefact {
            package: package.to_owned(),
            version: "1".to_owned(),
            architecture: "amd64".to_owned(),
            url: "http://mirror.invalid/a.deb".to_owned(),
            snapshot_url: None,
            sha256: Sha256([sha256; 32]),
            size: 1,
        }
    }

    #[test]
    fn what_a_signed_index_has_listed_is_known_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let listed = [
            deb("bash", 1),
            deb("libc6", 2),
            deb("python3.13-minimal", 3),
        ];
        assert!(!are_listed(&[BasePart::Interpreter], &listed, &store));
        note_listed(&listed, &store).unwrap();
        assert!(are_listed(&BasePart::OF_BASE, &listed, &store));
        // The same interpreter in another system is known; another interpreter of the same name is not.
        let other = [
            deb("bash", 9),
            deb("libc6", 2),
            deb("python3.13-minimal", 3),
        ];
        assert!(are_listed(&[BasePart::Interpreter], &other, &store));
        assert!(!are_listed(&BasePart::OF_BASE, &other, &store));
        let replaced = [deb("libc6", 2), deb("python3.13-minimal", 4)];
        assert!(!are_listed(&[BasePart::Interpreter], &replaced, &store));
    }
}
