//! `s2r inspect`: what an image is made of, what it stands on, and how far that is behind.
//!
//! Without `--check-base` nothing is asked of anybody, and the text says how to ask.

use super::text::CommandOutput;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::InspectArgs;
use super::failure::CommandFailure;
use super::inventory::{image_anywhere, shown_name, size_of, stored_image};
use super::progress::ProgressReporter;
use super::request::ProcessEnv;
use super::settings::{registries, settings};
use super::text::{bytes, table};
use crate::image::{
    BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, BASE_PACKAGES_ANNOTATION, BaseRecord,
    CONTENTS_ANNOTATION, KEY_ANNOTATION, written_in,
};
use crate::oci::{Descriptor, Digest, ImageConfig, ImageManifest};
use crate::pipeline::{self, BaseStatus, NetworkRules, PlatformStatus};
use crate::store::Store;

/// Newer packages that the text lists by name; the JSON has them all.
const SHOWN_PACKAGES: usize = 12;

/// One platform of an image.
struct PlatformDetails {
    entry: Descriptor,
    manifest: ImageManifest,
    config: ImageConfig,
    /// None where nobody was asked.
    behind: Option<BaseStatus>,
}

impl From<PlatformStatus> for PlatformDetails {
    fn from(looked: PlatformStatus) -> Self {
        Self {
            entry: looked.entry,
            manifest: looked.manifest,
            config: looked.config,
            behind: Some(looked.behind),
        }
    }
}

pub(super) fn inspect(
    arguments: &InspectArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let (name, digest, parts) = if arguments.check_base {
        let mut settings = settings(surroundings, NetworkRules::default());
        settings.registries = registries(&arguments.registries);
        let image = image_anywhere(&arguments.image, surroundings)?;
        let looked = pipeline::look(&image, &settings, shown)?;
        let parts = looked
            .platforms
            .into_iter()
            .map(PlatformDetails::from)
            .collect();
        (image.to_string(), looked.digest, parts)
    } else {
        stored(&arguments.image, surroundings)?
    };
    let mut text = format!("{name}@{digest}\n");
    let mut platforms = Vec::new();
    for part in &parts {
        let PlatformDetails {
            entry,
            manifest,
            config,
            ..
        } = part;
        text.push_str(&describe(part));
        platforms.push(json!({
            "platform": format!("{}/{}", config.os, config.architecture),
            "digest": entry.digest,
            "media_type": entry.media_type,
            "format": written_in(manifest),
            "bytes": size_of(manifest),
            "layers": manifest.layers.iter().map(layer_object).collect::<Vec<_>>(),
            "base": base_object(part),
            "base_packages": base_packages(manifest),
            "config": config,
        }));
    }
    Ok(CommandOutput {
        text,
        json: json!({"name": name, "digest": digest, "platforms": platforms}),
    })
}

/// An image of the store, with nobody asked.
fn stored(
    typed: &str,
    surroundings: &ProcessEnv,
) -> Result<(String, Digest, Vec<PlatformDetails>), CommandFailure> {
    let store = Store::open(&surroundings.store_root)?;
    let image = stored_image(typed, surroundings)?.image;
    let manifests = store.manifests(&image.descriptor)?.into_iter();
    let parts = manifests.map(|(entry, manifest)| {
        Ok(PlatformDetails {
            config: read_config(&store, &manifest)?,
            entry,
            manifest,
            behind: None,
        })
    });
    let parts = parts.collect::<Result<Vec<_>, CommandFailure>>()?;
    Ok((shown_name(&image), image.descriptor.digest, parts))
}

fn read_config(store: &Store, manifest: &ImageManifest) -> Result<ImageConfig, CommandFailure> {
    let bytes = store.read_blob(&manifest.config.digest)?;
    ImageConfig::from_bytes(&bytes).map_err(|reason| {
        CommandFailure::from(crate::store::StoreError::Damaged {
            path: store.blob_path(&manifest.config.digest),
            reason: reason.to_string(),
        })
    })
}

fn base_packages(manifest: &ImageManifest) -> Vec<&str> {
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
fn describe(part: &PlatformDetails) -> String {
    let PlatformDetails {
        entry,
        manifest,
        config,
        ..
    } = part;
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
    text.push_str(&format!("└─ base: {}\n", base_title(manifest)));
    let packages = base_packages(manifest);
    for line in base_lines(part).iter().map(String::as_str).chain(packages) {
        text.push_str(&format!("      {line}\n"));
    }
    text
}

/// The base in a few words.
fn base_title(manifest: &ImageManifest) -> String {
    let note = |name: &str| manifest.annotations.get(name);
    match (note(BASE_NAME_ANNOTATION), note(BASE_DIGEST_ANNOTATION)) {
        (Some(name), Some(digest)) => format!("{name} ({digest})"),
        _ => format!("{} Debian packages", base_packages(manifest).len()),
    }
}

/// How the image stands to its base, for people.
fn base_lines(part: &PlatformDetails) -> Vec<String> {
    let again = "build again, or `s2r rebase IMAGE --onto BASE`";
    match &part.behind {
        None => vec!["--check-base tells whether there is a newer one".to_owned()],
        Some(BaseStatus::UpToDate) => vec!["up to date".to_owned()],
        Some(BaseStatus::Image {
            now,
            layers,
            differing,
            days,
        }) => {
            let later = match days {
                Some(1) => ", created 1 day later".to_owned(),
                Some(days) if *days > 0 => format!(", created {days} days later"),
                _ => String::new(),
            };
            vec![
                format!("behind: that name has now {now}; {differing} of its {layers} layers differ{later}"),
                again.to_owned(),
            ]
        }
        Some(BaseStatus::Gone) => vec!["that name is gone from its registry".to_owned()],
        Some(BaseStatus::Pinned) => vec!["named by its digest: there is no newer one of that name".to_owned()],
        Some(BaseStatus::Packages {
            asked,
            compared,
            newer,
        }) => package_lines(*asked, *compared, newer, again),
        Some(BaseStatus::NotKnown) => vec![
            "whether there are newer packages is not known here: `s2r build --refresh` asks the suite".to_owned(),
        ],
        Some(BaseStatus::NotTold) => vec!["the image does not tell what it stands on".to_owned()],
    }
}

fn package_lines(
    asked: Duration,
    compared: usize,
    newer: &[(String, String, String)],
    again: &str,
) -> Vec<String> {
    let hours = asked.as_secs() / 3600;
    let ago = match hours {
        0 => "within the last hour".to_owned(),
        1..48 => format!("{hours} hours ago"),
        _ => format!("{} days ago", hours / 24),
    };
    if newer.is_empty() {
        return vec![format!("up to date with what the suite had {ago}")];
    }
    let mut lines = vec![format!(
        "behind: {} of {compared} packages have newer versions, by what the suite had {ago}; {again}",
        newer.len()
    )];
    let shown = newer.iter().take(SHOWN_PACKAGES);
    lines.extend(shown.map(|(name, old, new)| format!("  {name} {old} -> {new}")));
    if newer.len() > SHOWN_PACKAGES {
        lines.push(format!("  and {} more", newer.len() - SHOWN_PACKAGES));
    }
    lines
}

/// The base and how the image stands to it, for machines.
fn base_object(part: &PlatformDetails) -> Value {
    let PlatformDetails {
        manifest,
        config,
        behind,
        ..
    } = part;
    let standing = BaseRecord::of(manifest, config).ok();
    let abi = standing.as_ref().map(|standing| &standing.abi);
    let mut object = json!({
        "name": manifest.annotations.get(BASE_NAME_ANNOTATION),
        "digest": manifest.annotations.get(BASE_DIGEST_ANNOTATION),
        "layers": standing.as_ref().map(|standing| standing.layers),
        "python": abi.map(|abi| abi.python.clone()),
        "glibc": abi.map(|abi| format!("{}.{}", abi.glibc.0, abi.glibc.1)),
        "interpreter": abi.map(|abi| abi.interpreter.clone()),
        "state": state(behind.as_ref()),
    });
    match behind {
        Some(BaseStatus::Image {
            now,
            layers,
            differing,
            days,
        }) => {
            object["now"] = json!({
                "digest": now, "layers": layers, "differing_layers": differing, "days_later": days,
            });
        }
        Some(BaseStatus::Packages {
            asked,
            compared,
            newer,
        }) => {
            object["asked_seconds_ago"] = json!(asked.as_secs());
            object["compared_packages"] = json!(compared);
            let newer = newer
                .iter()
                .map(|(name, old, new)| json!({"name": name, "version": old, "newer": new}));
            object["newer_packages"] = newer.collect();
        }
        _ => {}
    }
    object
}

/// One word or two.
fn state(behind: Option<&BaseStatus>) -> &'static str {
    match behind {
        None => "not asked",
        Some(BaseStatus::UpToDate) => "up to date",
        Some(BaseStatus::Packages { newer, .. }) if newer.is_empty() => "up to date",
        Some(BaseStatus::Image { .. } | BaseStatus::Packages { .. }) => "behind",
        Some(BaseStatus::Gone) => "gone",
        Some(BaseStatus::Pinned) => "pinned",
        Some(BaseStatus::NotKnown) => "not known",
        Some(BaseStatus::NotTold) => "not told",
    }
}

fn push_branch(text: &mut String, lines: &str) {
    for line in lines.lines() {
        text.push_str(&format!("│     {line}\n"));
    }
}
