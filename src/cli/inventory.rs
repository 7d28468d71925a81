//! The commands over what the store holds: images, rm, inspect, cache.

use serde_json::{Value, json};

use super::args::{Cache, CacheAction, Inspect, Remove};
use super::failure::Failure;
use super::request::Surroundings;
use super::text::{bytes, table};
use crate::image::{BASE_PACKAGES_ANNOTATION, CONTENTS_ANNOTATION, KEY_ANNOTATION, written_in};
use crate::oci::{Descriptor, ImageConfig, Manifest, Reference};
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

/// `s2r inspect`
pub(super) fn inspect(arguments: &Inspect, surroundings: &Surroundings) -> Result<Answer, Failure> {
    let store = Store::open(&surroundings.store_root)?;
    let image = store.image(&reference(&arguments.image)?)?;
    let mut text = format!("{}@{}\n", shown_name(&image), image.descriptor.digest);
    let mut platforms = Vec::new();
    for (entry, manifest) in store.manifests(&image.descriptor)? {
        let config = read_config(&store, &manifest)?;
        text.push_str(&describe(&entry, &manifest, &config));
        platforms.push(json!({
            "platform": format!("{}/{}", config.os, config.architecture),
            "digest": entry.digest,
            "media_type": entry.media_type,
            "format": written_in(&manifest),
            "bytes": size_of(&manifest),
            "layers": manifest.layers.iter().map(layer_object).collect::<Vec<_>>(),
            "base_packages": base_packages(&manifest),
            "config": config,
        }));
    }
    Ok(Answer {
        text,
        json: json!({
            "name": shown_name(&image),
            "digest": image.descriptor.digest,
            "platforms": platforms,
        }),
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

fn read_config(store: &Store, manifest: &Manifest) -> Result<ImageConfig, Failure> {
    let bytes = store.read_blob(&manifest.config.digest)?;
    ImageConfig::from_bytes(&bytes).map_err(|reason| {
        Failure::from(crate::store::StoreError::Damaged {
            path: store.blob_path(&manifest.config.digest),
            reason: reason.to_string(),
        })
    })
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
fn size_of(manifest: &Manifest) -> u64 {
    manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>()
}

fn base_packages(manifest: &Manifest) -> Vec<&str> {
    manifest
        .annotations
        .get(BASE_PACKAGES_ANNOTATION)
        .map(|packages| packages.split_whitespace().collect())
        .unwrap_or_default()
}

fn layer_object(layer: &Descriptor) -> Value {
    json!({
        "digest": layer.digest,
        "media_type": layer.media_type,
        "bytes": layer.size,
        "key": layer.annotations.get(KEY_ANNOTATION),
        "contents": layer.annotations.get(CONTENTS_ANNOTATION),
    })
}

/// One platform of an image as a tree.
fn describe(entry: &Descriptor, manifest: &Manifest, config: &ImageConfig) -> String {
    let run = &config.config;
    let mut text = format!(
        "{}/{}  {}  {} layers  manifest {}\n",
        config.os,
        config.architecture,
        bytes(size_of(manifest)),
        manifest.layers.len(),
        entry.digest,
    );
    for (name, value) in [
        ("format", Some(written_in(manifest))),
        ("created", config.created.clone()),
        ("user", run.user.clone()),
        ("directory", run.working_dir.clone()),
        ("command", run.cmd.as_ref().map(|words| words.join(" "))),
        (
            "ports",
            Some(
                run.exposed_ports
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("├─ {name}: {value}\n"));
        }
    }
    text.push_str("├─ layers\n");
    let rows: Vec<Vec<String>> = manifest
        .layers
        .iter()
        .map(|layer| {
            let note = |name: &str| layer.annotations.get(name).cloned().unwrap_or_default();
            let key = note(KEY_ANNOTATION);
            let short = key.strip_prefix("sha256:").unwrap_or(&key);
            vec![
                bytes(layer.size),
                layer.digest.hex().chars().take(12).collect(),
                short.chars().take(12).collect(),
                note(CONTENTS_ANNOTATION),
            ]
        })
        .collect();
    let header = ["SIZE", "DIGEST", "KEY", "CONTENTS"]
        .map(str::to_owned)
        .to_vec();
    let all: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    push_branch(&mut text, &table(&all, &[true, false, false, false]));
    text.push_str("├─ labels\n");
    let labels: Vec<String> = run
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    push_branch(&mut text, &labels.join("\n"));
    text.push_str("├─ environment\n");
    push_branch(&mut text, &run.env.join("\n"));
    let packages = base_packages(manifest);
    text.push_str(&format!("└─ base: {} Debian packages\n", packages.len()));
    for line in packages {
        text.push_str(&format!("      {line}\n"));
    }
    text
}

fn push_branch(text: &mut String, lines: &str) {
    for line in lines.lines() {
        text.push_str(&format!("│     {line}\n"));
    }
}
