//! `s2r rebase`: from arguments to a request, and what is said of the outcome.

use super::text::CommandOutput;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args;
use super::failure::CommandFailure;
use super::inventory::{image_anywhere, reference};
use super::progress::{ProgressReporter, milliseconds};
use super::request::ProcessEnv;
use super::settings::{registries, settings};
use super::summary::{push_line, push_object};
use super::text::seconds;
use crate::oci::Reference;
use crate::pipeline::{
    self, BaseSummary, NetworkRules, RebaseReport, RebaseRequest, RebasedPlatform,
};

/// Changed packages that a summary lists by name; the JSON has them all.
const SHOWN_PACKAGES: usize = 8;

/// Puts an image on another base.
pub(super) fn rebase(
    arguments: &args::RebaseArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let start = Instant::now();
    let image = image_anywhere(&arguments.image, surroundings)?;
    let tags = arguments.tags.iter().map(|name| reference(name));
    let mut names = tags.collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        names.push(own_name(&image)?);
    }
    if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
        return Err(CommandFailure::Usage {
            what: "an image cannot be named by a digest before it is made".to_owned(),
            place: name.to_string(),
            why: "the digest is what the command finds out".to_owned(),
            next: "leave @sha256:… out of --tag".to_owned(),
        });
    }
    let rules = NetworkRules {
        debian_valid_until: arguments.debian.valid_until(),
        ..NetworkRules::default()
    };
    let mut settings = settings(surroundings, rules);
    settings.registries = registries(&arguments.registries);
    let request = RebaseRequest {
        image,
        onto: arguments.onto.clone(),
        names,
        push: arguments.push,
    };
    let rebased = pipeline::rebase(&request, &settings, shown)?;
    let took = start.elapsed();
    shown.summary(&render(&rebased, took));
    Ok(answer(&rebased, took))
}

/// The name that the image has, where it has one besides a digest.
fn own_name(image: &Reference) -> Result<Reference, CommandFailure> {
    let parsed = image.canonical().parse().ok();
    let named: Option<Reference> = parsed.filter(|name: &Reference| name.digest().is_none());
    named.ok_or_else(|| CommandFailure::Usage {
        what: "what comes of it needs a name".to_owned(),
        place: image.to_string(),
        why: "a digest names one image, and not the one that will be made of it".to_owned(),
        next: "give it one by --tag IMAGE".to_owned(),
    })
}

fn render(rebased: &RebaseReport, took: Duration) -> String {
    let mut text = String::new();
    for platform in &rebased.platforms {
        text.push_str(&platform_lines(platform));
    }
    if rebased.before == rebased.descriptor.digest {
        text.push_str("    same  the image stands on this base already\n");
    }
    for pushed in &rebased.pushed {
        text.push_str(&push_line(pushed));
    }
    text.push_str(&format!("    time  {} in all\n", seconds(took)));
    text
}

fn platform_lines(platform: &RebasedPlatform) -> String {
    let (old, new) = (&platform.old, &platform.new);
    let mut text = format!(
        " rebased  {}: {} in place of {}; {} layers above them kept\n",
        platform.platform,
        base_title(new),
        base_title(old),
        platform.kept_layers,
    );
    if old.abi.glibc != new.abi.glibc {
        let ((a, b), (c, d)) = (old.abi.glibc, new.abi.glibc);
        text.push_str(&format!("          glibc {a}.{b} -> {c}.{d}\n"));
    }
    let changed = &platform.packages;
    if !changed.is_empty() {
        let shown = changed.iter().take(SHOWN_PACKAGES);
        let shown: Vec<String> = shown
            .map(|(name, before, after)| match before {
                Some(before) => format!("{name} {before} -> {after}"),
                None => format!("{name} {after} (new)"),
            })
            .collect();
        let more = match changed.len().saturating_sub(SHOWN_PACKAGES) {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        text.push_str(&format!(
            "          {} packages differ: {}{more}\n",
            changed.len(),
            shown.join(", ")
        ));
    }
    text
}

fn base_title(base: &BaseSummary) -> String {
    match &base.name {
        Some(name) => format!("{} layers of {name}", base.layers),
        None => format!("{} layers of packages", base.layers),
    }
}

fn answer(rebased: &RebaseReport, took: Duration) -> CommandOutput {
    let digest = rebased.descriptor.digest;
    let pinned = match rebased.names.first() {
        Some(name) => name.at(digest).to_string(),
        None => digest.to_string(),
    };
    CommandOutput {
        text: format!("{pinned}\n"),
        json: json!({
            "reference": pinned,
            "names": rebased.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "digest": digest,
            "before": rebased.before,
            "media_type": rebased.descriptor.media_type,
            "platforms": rebased.platforms.iter().map(platform_object).collect::<Vec<_>>(),
            "pushed": rebased.pushed.iter().map(push_object).collect::<Vec<_>>(),
            "stages": rebased.stages.iter().map(|(stage, took)| json!({
                "stage": stage.name(), "milliseconds": milliseconds(*took),
            })).collect::<Vec<_>>(),
            "milliseconds": milliseconds(took),
        }),
    }
}

fn platform_object(platform: &RebasedPlatform) -> Value {
    json!({
        "platform": platform.platform,
        "digest": platform.descriptor.digest,
        "media_type": platform.descriptor.media_type,
        "old_base": base_object(&platform.old),
        "base": base_object(&platform.new),
        "kept_layers": platform.kept_layers,
        "packages": platform.packages.iter().map(|(name, before, after)| json!({
            "name": name, "before": before, "after": after,
        })).collect::<Vec<_>>(),
    })
}

fn base_object(base: &BaseSummary) -> Value {
    let (major, minor) = base.abi.glibc;
    json!({
        "name": base.name,
        "digest": base.digest,
        "layers": base.layers,
        "python": base.abi.python,
        "glibc": format!("{major}.{minor}"),
        "interpreter": base.abi.interpreter,
    })
}
