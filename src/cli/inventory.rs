//! The commands over the images of the store: images, rm.

use serde_json::{Value, json};

use super::args::RemoveArgs;
use super::failure::CommandFailure;
use super::request::ProcessEnv;
use super::text::CommandOutput;
use super::text::{bytes, table};
use crate::oci::{Descriptor, ImageManifest, NameOrId, Reference};
use crate::store::{FoundImage, Store, StoreError, StoredImage};

/// `s2r images`
pub(super) fn images(surroundings: &ProcessEnv) -> Result<CommandOutput, CommandFailure> {
    let store = Store::open(&surroundings.store_root)?;
    let mut rows = vec![
        ["IMAGE", "DIGEST", "PLATFORM", "LAYERS", "SIZE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut objects = Vec::new();
    for image in store.images()? {
        let manifests = match store.manifests(&image.descriptor) {
            Ok(manifests) => manifests,
            // One of them is no reason not to show the others.
            Err(StoreError::Blob { .. } | StoreError::Damaged { .. }) => {
                rows.push(bare_row(&image, "damaged: build it again"));
                objects.push(bare_object(&image, true));
                continue;
            }
            Err(StoreError::UnknownForm { .. }) => {
                rows.push(bare_row(&image, "of a form that s2r does not know"));
                objects.push(bare_object(&image, false));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let platforms: Vec<String> = manifests
            .iter()
            .map(|(entry, _)| platform_of(entry))
            .collect();
        let layers = manifests
            .iter()
            .map(|(_, manifest)| manifest.layers.len())
            .max();
        let size: u64 = manifests
            .iter()
            .map(|(_, manifest)| size_of(manifest))
            .sum();
        let digest = image.descriptor.digest;
        objects.push(json!({
            "name": shown_name(&image), "digest": digest, "platforms": platforms,
            "layers": layers, "bytes": size,
        }));
        rows.push(vec![
            shown_name(&image),
            digest.hex().chars().take(12).collect(),
            platforms.join(","),
            layers.unwrap_or(0).to_string(),
            bytes(size),
        ]);
    }
    let text = if objects.is_empty() {
        "no images yet: `s2r build SOURCE IMAGE` makes one\n".to_owned()
    } else {
        table(&rows, &[false, false, false, true, true])
    };
    Ok(CommandOutput {
        text,
        json: Value::Array(objects),
    })
}

/// An image of which no more is known than a note.
fn bare_row(image: &StoredImage, note: &str) -> Vec<String> {
    let digest = image.descriptor.digest.hex();
    let digest = digest.chars().take(12).collect();
    vec![
        shown_name(image),
        digest,
        note.to_owned(),
        String::new(),
        String::new(),
    ]
}

fn bare_object(image: &StoredImage, is_damaged: bool) -> Value {
    json!({
        "name": shown_name(image), "digest": image.descriptor.digest, "platforms": [],
        "layers": null, "bytes": null, "is_damaged": is_damaged,
    })
}

/// `s2r rm`
pub(super) fn remove(
    arguments: &RemoveArgs,
    surroundings: &ProcessEnv,
) -> Result<CommandOutput, CommandFailure> {
    let store = Store::open(&surroundings.store_root)?;
    // All names are looked up before the first is removed: a typo in the last removes nothing.
    let images = arguments
        .images
        .iter()
        .map(|typed| one_to_remove(&store, typed))
        .collect::<Result<Vec<StoredImage>, CommandFailure>>()?;
    let mut text = String::new();
    let mut removed = Vec::new();
    for image in images {
        store.untag(&image)?;
        let name = shown_name(&image);
        text.push_str(&format!("{name}@{}\n", image.descriptor.digest));
        removed.push(json!({"name": name, "digest": image.descriptor.digest}));
    }
    Ok(CommandOutput {
        text,
        json: Value::Array(removed),
    })
}

/// The entry that is meant. An id, or a name by digest, that several names lead to takes none of them away.
fn one_to_remove(store: &Store, typed: &str) -> Result<StoredImage, CommandFailure> {
    let wanted = name_or_id(typed)?;
    let found = store.find(&wanted)?;
    let name = found.name.as_ref();
    let name = wanted.name().filter(|wanted| name == Some(wanted));
    let is_meant = match name {
        Some(name) if name.digest().is_none() => true,
        Some(name) => {
            let beside = found.names.iter().filter(|other| other.is_beside(name));
            found.names.is_empty() || beside.count() == 1
        }
        None => found.names.len() < 2,
    };
    if is_meant {
        return Ok(found.image);
    }
    let names: Vec<String> = found.names.iter().map(ToString::to_string).collect();
    Err(CommandFailure::Usage {
        what: "the image has other names, or several".to_owned(),
        place: typed.to_owned(),
        why: format!("{} is called {}", typed, names.join(", ")),
        next: format!("name those that shall go: s2r rm {}", names.join(" ")),
    })
}

/// Reads an image's name from the command line.
pub(super) fn reference(name: &str) -> Result<Reference, CommandFailure> {
    name.parse()
        .map_err(|reason| CommandFailure::image_name(name, &reason))
}

/// Reads an image's name or id from the command line.
fn name_or_id(text: &str) -> Result<NameOrId, CommandFailure> {
    text.parse()
        .map_err(|reason| CommandFailure::image_name(text, &reason))
}

/// The image of the store that is meant, by name or id.
pub(super) fn stored_image(
    typed: &str,
    surroundings: &ProcessEnv,
) -> Result<FoundImage, CommandFailure> {
    let store = Store::open(&surroundings.store_root)?;
    Ok(store.find(&name_or_id(typed)?)?)
}

/// The image of the store that is meant, by name or id; else that which has the name in a registry.
pub(super) fn image_anywhere(
    typed: &str,
    surroundings: &ProcessEnv,
) -> Result<Reference, CommandFailure> {
    let wanted = name_or_id(typed)?;
    let store = Store::open(&surroundings.store_root)?;
    match (store.find(&wanted), wanted.name()) {
        (Ok(found), _) => Ok(found.reference()),
        (Err(StoreError::NoImage { .. }), Some(name)) => Ok(name.clone()),
        (Err(error), _) => Err(error.into()),
    }
}

/// An image's name as short as its user wrote it.
pub(super) fn shown_name(image: &StoredImage) -> String {
    match image.reference() {
        Some(name) => name.to_string(),
        None if image.name.is_empty() => "<none>".to_owned(),
        None => image.name.clone(),
    }
}

fn platform_of(entry: &Descriptor) -> String {
    entry.platform.as_ref().map_or_else(
        || "-".to_owned(),
        |platform| format!("{}/{}", platform.os, platform.architecture),
    )
}

/// All that a registry holds of an image, in bytes.
pub(super) fn size_of(manifest: &ImageManifest) -> u64 {
    manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>()
}
