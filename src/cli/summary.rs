//! What a build tells at its end: each layer with size, time and where it came from; what went to
//! registries and files; the reference by digest.

use std::time::Duration;

use serde_json::{Value, json};

use super::progress::{blob_status, layer_status, milliseconds};
use super::text::CommandOutput;
use super::text::{bytes, seconds, table};
use crate::destination::registry::PushedBlob;
use crate::pipeline::{BuiltImage, BuiltPlatform, ExportReport, PushReport};
use crate::report::{BlobStatus, LayerStatus};

/// The summary for people; goes to stderr.
pub(super) fn render(built: &BuiltImage, took: Duration) -> String {
    let mut text = String::new();
    for platform in &built.platforms {
        text.push_str(&layers(platform, &built.pushed));
    }
    if let Some(checked) = &built.check {
        text.push_str(&super::check::lines(checked));
    }
    for pushed in &built.pushed {
        text.push_str(&push_line(pushed));
    }
    for exported in &built.exported {
        text.push_str(&export_line(exported));
    }
    for platform in &built.platforms {
        text.push_str(&compiled(platform));
    }
    let times: Vec<String> = built
        .stages
        .iter()
        .filter(|(_, took)| took.as_millis() > 0)
        .map(|(stage, took)| format!("{} {}", stage.name(), seconds(*took)))
        .collect();
    text.push_str(&format!("    time  {} in all", seconds(took)));
    if !times.is_empty() {
        text.push_str(&format!(": {}", times.join(", ")));
    }
    text.push('\n');
    text
}

fn layers(platform: &BuiltPlatform, pushed: &[PushReport]) -> String {
    let rows: Vec<Vec<String>> = platform
        .layers
        .iter()
        .map(|made| {
            let mut row = vec![
                format!("  {}", layer_status(made.status)),
                bytes(made.layer.size_bytes),
                seconds(made.took),
            ];
            // How the layer came to be in each registry it was pushed to.
            let blobs = pushed.iter().flat_map(|pushed| &pushed.blobs);
            let here = blobs.filter(|blob| blob.digest == made.layer.digest);
            row.push(here.map(push_cell).collect::<Vec<_>>().join(", "));
            row.push(made.layer.contents.clone());
            row
        })
        .collect();
    let size: u64 = platform
        .layers
        .iter()
        .map(|made| made.layer.size_bytes)
        .sum();
    // Not known of layers that were never here.
    let unpacked: Option<u64> = platform
        .layers
        .iter()
        .map(|made| made.uncompressed_bytes)
        .sum();
    let unpacked = unpacked.map_or_else(String::new, |size| format!(", {} unpacked", bytes(size)));
    let count = |status| {
        let layers = platform.layers.iter();
        layers.filter(|made| made.status == status).count()
    };
    let made = count(LayerStatus::Made);
    let mut far = match count(LayerStatus::Remote) {
        0 => String::new(),
        remote => format!(", {remote} of them in a registry alone"),
    };
    let believed = count(LayerStatus::Believed);
    if believed > 0 {
        far.push_str(&format!(", {believed} of them believed of a registry"));
    }
    format!(
        "{}   image  {}: {} compressed{unpacked}, {} layers ({made} made, {} reused{far})\n",
        table(&rows, &[false, true, true, false, false]),
        platform.platform,
        bytes(size),
        platform.layers.len(),
        platform.layers.len() - made,
    )
}

/// What byte code was made, if some was.
fn compiled(platform: &BuiltPlatform) -> String {
    let compiled = &platform.compiled;
    if compiled.compiled_files + compiled.failed_files == 0 {
        return String::new();
    }
    let failed = match compiled.failed_files {
        0 => String::new(),
        count => format!(", {count} left as sources"),
    };
    format!(
        "compiled  {} files in {} of interpreters' time, {} known{failed}\n",
        compiled.compiled_files,
        seconds(compiled.took),
        compiled.known_files,
    )
}

fn push_cell(blob: &PushedBlob) -> String {
    match blob.status {
        BlobStatus::Pushed => format!("pushed {}", seconds(blob.took)),
        BlobStatus::Copied => format!("copied {}", seconds(blob.took)),
        BlobStatus::AlreadyThere | BlobStatus::Mounted => blob_status(blob.status).to_owned(),
    }
}

/// One line for one push.
pub(super) fn push_line(pushed: &PushReport) -> String {
    let sent: Vec<_> = pushed
        .blobs
        .iter()
        .filter(|blob| blob.status == BlobStatus::Pushed)
        .collect();
    let sent_bytes: u64 = sent.iter().map(|blob| blob.size_bytes).sum();
    format!(
        "  pushed  {}: {} of {} blobs sent, {}; {} requests, {}\n",
        pushed.reference,
        sent.len(),
        pushed.blobs.len(),
        bytes(sent_bytes),
        pushed.requests,
        seconds(pushed.took),
    )
}

/// One line for one file or folder.
pub(super) fn export_line(exported: &ExportReport) -> String {
    format!(
        "exported  {} ({})\n",
        exported.target,
        seconds(exported.took)
    )
}

/// The result: the reference by digest, or all of it for machines.
pub(super) fn answer(built: &BuiltImage, took: Duration) -> CommandOutput {
    CommandOutput {
        text: format!("{}\n", built.pinned()),
        json: json!({
            "reference": built.pinned(),
            "names": built.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "digest": built.descriptor.digest,
            "media_type": built.descriptor.media_type,
            "platforms": built.platforms.iter().map(platform_object).collect::<Vec<_>>(),
            "pushed": built.pushed.iter().map(push_object).collect::<Vec<_>>(),
            "exported": built.exported.iter().map(|exported| exported.target.to_string())
                .collect::<Vec<_>>(),
            "stages": built.stages.iter().map(|(stage, took)| json!({
                "stage": stage.name(), "milliseconds": milliseconds(*took),
            })).collect::<Vec<_>>(),
            "check": built.check.as_ref().map(super::check::object),
            "milliseconds": milliseconds(took),
        }),
    }
}

fn platform_object(platform: &BuiltPlatform) -> Value {
    json!({
        "platform": platform.platform,
        "digest": platform.descriptor.digest,
        "media_type": platform.descriptor.media_type,
        "bytecode": {
            "compiled_files": platform.compiled.compiled_files,
            "known_files": platform.compiled.known_files,
            "failed_files": platform.compiled.failed_files,
            "milliseconds": milliseconds(platform.compiled.took),
        },
        "layers": platform.layers.iter().map(|made| json!({
            "digest": made.layer.digest,
            "media_type": made.layer.media_type,
            "diff_id": made.layer.diff_id,
            "key": made.layer.key,
            "contents": made.layer.contents,
            "bytes": made.layer.size_bytes,
            "uncompressed_bytes": made.uncompressed_bytes,
            "fate": layer_status(made.status),
            "milliseconds": milliseconds(made.took),
        })).collect::<Vec<_>>(),
    })
}

/// One push for machines.
pub(super) fn push_object(pushed: &PushReport) -> Value {
    json!({
        "reference": pushed.reference.to_string(),
        "digest": pushed.digest,
        "requests": pushed.requests,
        "milliseconds": milliseconds(pushed.took),
        "blobs": pushed.blobs.iter().map(|blob| json!({
            "digest": blob.digest,
            "bytes": blob.size_bytes,
            "fate": blob_status(blob.status),
            "milliseconds": milliseconds(blob.took),
        })).collect::<Vec<_>>(),
    })
}
