//! The commands over the store as a whole: cache, cache prune, cache verify.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::{CacheAction, CacheArgs};
use super::failure::CommandFailure;
use super::request::ProcessEnv;
use super::text::CommandOutput;
use super::text::{bytes, table};
use crate::report::{Event, Report, TransferId};
use crate::store::{CheckReport, DamageOutcome, DamagedItem, DiskUsageReport, PruneReport, Store};

/// Reading that takes no longer needs no progress.
const QUIET: Duration = Duration::from_secs(1);

/// `s2r cache`, `s2r cache prune`, `s2r cache verify`
pub(super) fn cache(
    arguments: &CacheArgs,
    surroundings: &ProcessEnv,
    report: &dyn Report,
) -> Result<CommandOutput, CommandFailure> {
    let store = Store::open(&surroundings.store_root)?;
    match arguments.action {
        None => Ok(used(&store, &store.usage()?)),
        Some(CacheAction::Prune { all }) => Ok(pruned(&store.prune(all)?, report)),
        Some(CacheAction::Verify) => verify(&store, report),
    }
}

fn used(store: &Store, usage: &DiskUsageReport) -> CommandOutput {
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
    CommandOutput {
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
    }
}

fn pruned(pruned: &PruneReport, report: &dyn Report) -> CommandOutput {
    for image in &pruned.lost {
        report.event(Event::Warning {
            text: format!("{image} was damaged and is no longer listed"),
            hint: "build it again: s2r build SOURCE IMAGE".to_owned(),
        });
    }
    CommandOutput {
        text: format!("removed {} files, {}\n", pruned.files, bytes(pruned.bytes)),
        json: json!({"files": pruned.files, "bytes": pruned.bytes, "lost": pruned.lost}),
    }
}

fn verify(store: &Store, report: &dyn Report) -> Result<CommandOutput, CommandFailure> {
    let start = Instant::now();
    let id = TransferId(0);
    let mut is_shown = false;
    let checked = store.check(&mut |done_bytes, total_bytes| {
        if !is_shown && start.elapsed() < QUIET {
            return;
        }
        if !is_shown {
            is_shown = true;
            report.event(Event::TransferStarted {
                id,
                name: "the store".to_owned(),
                total_bytes: Some(total_bytes),
            });
        }
        report.event(Event::TransferAdvanced { id, done_bytes });
    })?;
    if is_shown {
        report.event(Event::TransferFinished { id });
    }
    let answer = verified(store, &checked);
    if checked.damaged.is_empty() && checked.lost.is_empty() {
        return Ok(answer);
    }
    let of_damage = checked.damaged.iter().flat_map(|damage| &damage.images);
    let images: BTreeSet<String> = of_damage.chain(&checked.lost).cloned().collect();
    Err(CommandFailure::Damaged {
        answer,
        root: store.root().to_owned(),
        files: checked.damaged.len().max(1),
        images: images.into_iter().collect(),
    })
}

fn verified(store: &Store, checked: &CheckReport) -> CommandOutput {
    let mut text = format!("{} files read, {}\n", checked.files, bytes(checked.bytes));
    for damage in &checked.damaged {
        let path = damage.path.strip_prefix(store.root());
        let path = path.unwrap_or(&damage.path).display();
        let images: Vec<&str> = damage.images.iter().map(String::as_str).collect();
        let of = if images.is_empty() { "" } else { " of " };
        text.push_str(&format!(
            "{}: {path}{of}{}\n",
            word(damage.outcome),
            images.join(", ")
        ));
    }
    for image in &checked.lost {
        text.push_str(&format!("no longer listed: {image}\n"));
    }
    let object = |damage: &DamagedItem| json!({"path": damage.path, "fate": word(damage.outcome), "images": damage.images});
    let damaged: Vec<_> = checked.damaged.iter().map(object).collect();
    CommandOutput {
        text,
        json: json!({
            "root": store.root(), "files": checked.files, "bytes": checked.bytes,
            "damaged": damaged, "lost": checked.lost,
        }),
    }
}

fn word(status: DamageOutcome) -> &'static str {
    match status {
        DamageOutcome::Dropped => "dropped",
        DamageOutcome::Missing => "missing",
        DamageOutcome::Restored => "restored",
    }
}
