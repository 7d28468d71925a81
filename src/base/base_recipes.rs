//! How the layers of Debian packages are made.

use std::path::PathBuf;

use super::resolved_packages;
use crate::layer_cache::LayerRecipe;
use crate::layers::deb::{self, BaseOptions, BasePart, PackageFiles};
use crate::oci::Digest;
use crate::packages::debian::DebArtefact;
use crate::store::Store;

/// How the title of the layer of Debian packages above the base begins; their names follow.
pub(crate) const ADDED_TITLE: &str = "packages: ";
/// The same in images that were built before packages came by themselves.
pub(crate) const APTFILE_TITLE: &str = "Aptfile: ";

/// The layers of a Debian base, so that threads can write them side by side.
pub(crate) fn base<'a>(
    packages: &[DebArtefact],
    options: &'a BaseOptions,
    suite: &str,
    store: &'a Store,
) -> Vec<LayerRecipe<'a>> {
    BasePart::OF_BASE
        .into_iter()
        .filter_map(|part| base_part(part, packages, options, suite, store))
        .collect()
}

/// One of the layers of a Debian base, if it has packages for it.
pub(crate) fn base_part<'a>(
    part: BasePart,
    packages: &[DebArtefact],
    options: &'a BaseOptions,
    suite: &str,
    store: &'a Store,
) -> Option<LayerRecipe<'a>> {
    let debs = part.of_all(packages);
    if debs.is_empty() {
        return None;
    }
    let contents = format!("Debian {suite}: {}, {} packages", part.name(), debs.len());
    let beside = part.beside(packages);
    Some(of_debs(part, contents, (debs, beside), options, store))
}

/// A layer of packages, which other packages of the image lie beside.
fn of_debs<'a>(
    part: BasePart,
    contents: String,
    (debs, beside): (Vec<DebArtefact>, Vec<DebArtefact>),
    options: &'a BaseOptions,
    store: &'a Store,
) -> LayerRecipe<'a> {
    LayerRecipe {
        key: deb::key(part, &debs, &beside, options),
        contents,
        effort: part.effort(),
        needs: [
            resolved_packages::needed(&debs),
            resolved_packages::needed(&beside),
        ]
        .concat(),
        is_of_source: false,
        write: Box::new(move |tar| {
            let files = |debs: &[DebArtefact]| -> Vec<(DebArtefact, PathBuf)> {
                let path =
                    |deb: &DebArtefact| store.download_path(&Digest::from_bytes(deb.sha256.0));
                debs.iter().map(|deb| (deb.clone(), path(deb))).collect()
            };
            let (debs, beside) = (files(&debs), files(&beside));
            let packages = PackageFiles {
                own: &debs,
                beside: &beside,
            };
            Ok(deb::write(part, packages, options, &store.scratch(), tar)?)
        }),
    }
}

/// The layer of packages above others.
pub(crate) fn added<'a>(
    title: &str,
    (packages, below): (&[DebArtefact], &[DebArtefact]),
    options: &'a BaseOptions,
    store: &'a Store,
) -> LayerRecipe<'a> {
    let debs = (packages.to_vec(), below.to_vec());
    of_debs(BasePart::Added, title.to_owned(), debs, options, store)
}
