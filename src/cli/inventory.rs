//! The commands over what the store holds: images, rm, cache.

use serde_json::{Value, json};

use super::args::{Cache, CacheAction, Remove};
use super::failure::Failure;
use super::request::Surroundings;
use super::text::{bytes, table};
use crate::oci::{Descriptor, Manifest, NameOrId, Reference};
use crate::store::{FoundImage, Store, StoreError, StoredImage};

/// What a command has to say on stdout: for people and for machines.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) json: Value,
}

/// `s2r images`
pub(super) fn images(surroundings: &Surroundings) -> Result<Answer, Failure> {
    let store = Store::open(&surroundings.store_root)?;
    let mut rows = vec![
        ["IMAGE", "DIGEST", "PLATFORM", "LAYERS", "SIZE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut objects = Vec::new();
    for image in store.images()? {
        let manifests = store.manifests(&image.descriptor)?;
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
    Ok(Answer {
        text,
        json: Value::Array(objects),
    })
}

/// `s2r rm`
pub(super) fn remove(arguments: &Remove, surroundings: &Surroundings) -> Result<Answer, Failure> {
    let store = Store::open(&surroundings.store_root)?;
    // All names are looked up before the first is removed: a typo in the last removes nothing.
    let images = arguments
        .images
        .iter()
        .map(|typed| one_to_remove(&store, typed))
        .collect::<Result<Vec<StoredImage>, Failure>>()?;
    let mut text = String::new();
    let mut removed = Vec::new();
    for image in images {
        store.untag(&image)?;
        let name = shown_name(&image);
        text.push_str(&format!("{name}@{}\n", image.descriptor.digest));
        removed.push(json!({"name": name, "digest": image.descriptor.digest}));
    }
    Ok(Answer {
        text,
        json: Value::Array(removed),
    })
}

/// The entry that is meant. An id, or a name by digest, that several names lead to takes none of them away.
fn one_to_remove(store: &Store, typed: &str) -> Result<StoredImage, Failure> {
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
    Err(Failure::Usage {
        what: "the image has other names, or several".to_owned(),
        place: typed.to_owned(),
        why: format!("{} is called {}", typed, names.join(", ")),
        next: format!("name those that shall go: s2r rm {}", names.join(" ")),
    })
}

/// `s2r cache`, `s2r cache prune`
pub(super) fn cache(arguments: &Cache, surroundings: &Surroundings) -> Result<Answer, Failure> {
    let store = Store::open(&surroundings.store_root)?;
    if let Some(CacheAction::Prune { all }) = arguments.action {
        let pruned = store.prune(all)?;
        return Ok(Answer {
            text: format!("removed {} files, {}\n", pruned.files, bytes(pruned.bytes)),
            json: json!({"files": pruned.files, "bytes": pruned.bytes}),
        });
    }
    let usage = store.usage()?;
    let rows: Vec<Vec<String>> = [
        ("images", usage.image_bytes, ""),
        ("unused layers", usage.unused_bytes, "s2r cache prune"),
        ("downloads", usage.download_bytes, "s2r cache prune --all"),
        ("unpacked layers", usage.root_bytes, "s2r cache prune --all"),
        (
            "tools and records",
            usage.other_bytes,
            "s2r cache prune --all",
        ),
    ]
    .map(|(what, count, how)| vec![what.to_owned(), bytes(count), how.to_owned()])
    .to_vec();
    Ok(Answer {
        text: format!(
            "{}\n{}",
            store.root().display(),
            table(&rows, &[false, true, false])
        ),
        json: json!({
            "root": store.root(), "image_bytes": usage.image_bytes,
            "unused_bytes": usage.unused_bytes, "download_bytes": usage.download_bytes,
            "root_bytes": usage.root_bytes, "other_bytes": usage.other_bytes,
        }),
    })
}

/// Reads an image's name from the command line.
pub(super) fn reference(name: &str) -> Result<Reference, Failure> {
    name.parse()
        .map_err(|reason| Failure::image_name(name, &reason))
}

/// Reads an image's name or id from the command line.
fn name_or_id(text: &str) -> Result<NameOrId, Failure> {
    text.parse()
        .map_err(|reason| Failure::image_name(text, &reason))
}

/// The image of the store that is meant, by name or id.
pub(super) fn stored_image(
    typed: &str,
    surroundings: &Surroundings,
) -> Result<FoundImage, Failure> {
    let store = Store::open(&surroundings.store_root)?;
    Ok(store.find(&name_or_id(typed)?)?)
}

/// The image of the store that is meant, by name or id; else that which has the name in a registry.
pub(super) fn image_anywhere(
    typed: &str,
    surroundings: &Surroundings,
) -> Result<Reference, Failure> {
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
pub(super) fn size_of(manifest: &Manifest) -> u64 {
    manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>()
}
