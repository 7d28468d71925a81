//! The commands over what the store holds: images, rm, cache.

use serde_json::{Value, json};

use super::args::{Cache, CacheAction, Remove};
use super::failure::Failure;
use super::request::Surroundings;
use super::text::{bytes, table};
use crate::oci::{Descriptor, Manifest, Reference};
use crate::store::{Store, StoredImage};

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
        .map(|name| Ok(store.image(&reference(name)?)?))
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

/// An image's name as short as its user wrote it.
pub(super) fn shown_name(image: &StoredImage) -> String {
    match image.name.parse::<Reference>() {
        Ok(_) if image.name.starts_with("docker.io/") => {
            let short = image.name.trim_start_matches("docker.io/");
            short.strip_prefix("library/").unwrap_or(short).to_owned()
        }
        _ if image.name.is_empty() => "<none>".to_owned(),
        _ => image.name.clone(),
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
