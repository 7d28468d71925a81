//! Tells what goes on while a command runs: a live line on a terminal, a line a step in a log, an
//! object a line for machines. Everything here goes to stderr.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::args::ProgressChoice;
use super::text::{bounded, bytes, plain, seconds};
use crate::pipeline::PassedVariables;
use crate::report::{BlobStatus, Event, Explanation, LAST_LINES, LayerStatus, Report, TransferId};

/// How often the live line moves.
const TICK: Duration = Duration::from_millis(120);

/// Lines above a failure that a reader still sees.
const REMEMBERED_LINES: usize = 80;

/// How often a log hears of a long transfer.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The form that progress takes on this stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProgressForm {
    Live,
    Plain,
    Json,
    Quiet,
}

/// Shows events as they come.
pub(super) struct ProgressReporter {
    form: ProgressForm,
    bar: ProgressBar,
    state: Mutex<ProgressState>,
    hidden: OnceLock<PassedVariables>,
}

#[derive(Default)]
struct ProgressState {
    transfers: BTreeMap<TransferId, TransferProgress>,
    done_bytes: u64,
    last_logged: Option<Instant>,
    /// Texts of warnings, each of which is said once.
    warned: BTreeSet<String>,
    /// What is going on; the base is made while wheels are being resolved.
    stages: Vec<&'static str>,
    /// The last lines that were written, those of steps without the step's name.
    written: VecDeque<String>,
}

impl ProgressState {
    fn remember(&mut self, line: &str) {
        if self.written.len() == REMEMBERED_LINES {
            self.written.pop_front();
        }
        self.written.push_back(line.trim_end().to_owned());
    }

    /// Whether a line, or its beginning, is among the last ones.
    fn has_written(&self, line: &str) -> bool {
        let mut written = self.written.iter();
        written.any(|other| other.starts_with(line.trim_end()))
    }
}

struct TransferProgress {
    name: String,
    total_bytes: Option<u64>,
    done_bytes: u64,
}

impl ProgressReporter {
    pub(super) fn new(progress: ProgressChoice) -> Self {
        let form = match progress {
            ProgressChoice::Auto if std::io::stderr().is_terminal() => ProgressForm::Live,
            ProgressChoice::Auto | ProgressChoice::Plain => ProgressForm::Plain,
            ProgressChoice::Json => ProgressForm::Json,
            ProgressChoice::None => ProgressForm::Quiet,
        };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            form,
            bar,
            state: Mutex::default(),
            hidden: OnceLock::new(),
        }
    }

    /// Says nothing of these variables' values from now on.
    pub(super) fn hide(&self, passed: PassedVariables) {
        let _ = self.hidden.set(passed);
    }

    /// A text without what is hidden.
    pub(super) fn without_hidden<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.hidden.get() {
            None => Cow::Borrowed(text),
            Some(hidden) => Cow::Owned(hidden.hide(text)),
        }
    }

    /// Draws the live line from now on. Commands that have no stages, and so nothing to wait for, have none.
    fn draw(&self) {
        if self.form == ProgressForm::Live && self.bar.is_hidden() {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(12));
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Whether machines read stderr.
    pub(super) fn is_json(&self) -> bool {
        self.form == ProgressForm::Json
    }

    /// Takes the live line away for good; what follows may write to the terminal.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The explanation without the last lines of a step, where they stand right above.
    pub(super) fn without_shown_lines(&self, mut explanation: Explanation) -> Explanation {
        let Ok(state) = self.state.lock() else {
            return explanation;
        };
        if let Some((before, lines)) = explanation.why.split_once(&format!("{LAST_LINES}:\n"))
            && lines.lines().all(|line| state.has_written(line))
        {
            explanation.why = format!("{before}{LAST_LINES} stand above");
        }
        explanation
    }

    /// Shows the summary of a command, where people read.
    pub(super) fn summary(&self, text: &str) {
        if matches!(self.form, ProgressForm::Live | ProgressForm::Plain) {
            self.line(&bounded(text.trim_end()));
        }
    }

    /// Writes a line to stderr, above the live one. A closed stderr is nobody's loss.
    pub(super) fn line(&self, text: &str) {
        self.bar.suspend(|| {
            let text = self.without_hidden(text);
            let _ = writeln!(std::io::stderr().lock(), "{}", plain(&text));
        });
    }

    fn show(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match event {
            Event::StageStarted { stage } => {
                state.stages.push(stage.name());
                self.bar.set_message(state.stages.join(", "));
                self.draw();
            }
            Event::StageFinished {
                stage,
                detail,
                took,
            } => {
                state.stages.retain(|running| *running != stage.name());
                self.bar.set_message(state.stages.join(", "));
                let (name, took) = (stage.name(), seconds(*took));
                let line = format!("{name:>8}  {detail} ({took})");
                state.remember(&line);
                self.line(&line);
            }
            Event::Warning { text, hint } => {
                text.lines().for_each(|line| state.remember(line));
                self.warn(text, hint);
            }
            Event::Output { step, line } => {
                state.remember(line);
                self.line(&format!("{step} | {line}"));
            }
            Event::TransferStarted {
                id,
                name,
                total_bytes,
            } => {
                let transfer = TransferProgress {
                    name: name.clone(),
                    total_bytes: *total_bytes,
                    done_bytes: 0,
                };
                state.transfers.insert(*id, transfer);
                self.draw();
            }
            Event::TransferAdvanced { id, done_bytes } => {
                if let Some(transfer) = state.transfers.get_mut(id) {
                    transfer.done_bytes = *done_bytes;
                }
                self.show_transfers(&mut state);
            }
            Event::TransferFinished { id } => {
                if let Some(transfer) = state.transfers.remove(id) {
                    state.done_bytes += transfer.done_bytes;
                }
            }
            // The summary at the end has them all, in order.
            Event::Layer(_) | Event::Blob { .. } => {}
        }
    }

    fn warn(&self, text: &str, hint: &str) {
        let text = text.replace('\n', "\n         ");
        self.line(&format!("warning: {text}"));
        if !hint.is_empty() {
            self.line(&format!("   hint: {hint}"));
        }
    }

    fn show_transfers(&self, state: &mut ProgressState) {
        let done: u64 =
            state.done_bytes + state.transfers.values().map(|t| t.done_bytes).sum::<u64>();
        let Some(largest) = state
            .transfers
            .values()
            .max_by_key(|t| t.total_bytes.unwrap_or(t.done_bytes))
        else {
            return;
        };
        let of = largest
            .total_bytes
            .map(|total| format!(" of {}", bytes(total)))
            .unwrap_or_default();
        let text = format!(
            "{}: {} in all; {} {}{of}",
            state.stages.join(", "),
            bytes(done),
            largest.name,
            bytes(largest.done_bytes),
        );
        let hidden = self.without_hidden(&text);
        self.bar.set_message(plain(&hidden).into_owned());
        if self.form == ProgressForm::Plain {
            let now = Instant::now();
            let since = state.last_logged.get_or_insert(now);
            if now.duration_since(*since) >= LOG_INTERVAL {
                *since = now;
                self.line(&format!("          {text}"));
            }
        }
    }
}

impl Report for ProgressReporter {
    fn event(&self, event: Event) {
        let event = fitting(event);
        if let (Event::Warning { text, .. }, Ok(mut state)) = (&event, self.state.lock())
            && !state.warned.insert(text.clone())
        {
            // Several steps of a build meet the same.
            return;
        }
        match (self.form, &event) {
            (ProgressForm::Json, event) => {
                if let Some(object) = object(event) {
                    self.line(&object.to_string());
                }
            }
            (ProgressForm::Quiet, Event::Warning { text, hint }) => self.warn(text, hint),
            (ProgressForm::Quiet, _) => {}
            (ProgressForm::Live | ProgressForm::Plain, event) => self.show(event),
        }
    }
}

/// The event with texts that fit into a message: names and lines of others may be of any length.
fn fitting(mut event: Event) -> Event {
    let cut = |text: &mut String| {
        if let Cow::Owned(shorter) = bounded(text) {
            *text = shorter;
        }
    };
    match &mut event {
        Event::StageFinished { detail, .. } => cut(detail),
        Event::Warning { text, hint } => {
            cut(text);
            cut(hint);
        }
        Event::TransferStarted { name, .. } => cut(name),
        Event::Output { step, line } => {
            cut(step);
            cut(line);
        }
        Event::Layer(layer) => cut(&mut layer.contents),
        Event::StageStarted { .. }
        | Event::TransferAdvanced { .. }
        | Event::TransferFinished { .. }
        | Event::Blob { .. } => {}
    }
    event
}

/// One event for machines. Every object has `event`; times are milliseconds, sizes bytes.
fn object(event: &Event) -> Option<serde_json::Value> {
    Some(match event {
        Event::StageStarted { stage } => {
            json!({"event": "stage-started", "stage": stage.name()})
        }
        Event::StageFinished {
            stage,
            detail,
            took,
        } => json!({
            "event": "stage-finished", "stage": stage.name(), "detail": detail,
            "milliseconds": milliseconds(*took),
        }),
        Event::Warning { text, hint } => json!({"event": "warning", "text": text, "hint": hint}),
        Event::TransferStarted {
            id,
            name,
            total_bytes,
        } => json!({
            "event": "transfer-started", "id": id.0, "name": name, "bytes": total_bytes,
        }),
        Event::Output { step, line } => json!({"event": "output", "step": step, "line": line}),
        // Too many to be of use to a reader of lines.
        Event::TransferAdvanced { .. } => return None,
        Event::TransferFinished { id } => json!({"event": "transfer-finished", "id": id.0}),
        Event::Layer(layer) => json!({
            "event": "layer", "index": layer.index, "contents": layer.contents,
            "digest": layer.digest, "bytes": layer.size_bytes,
            "fate": layer_status(layer.status), "milliseconds": milliseconds(layer.took),
        }),
        Event::Blob {
            digest,
            size_bytes,
            status,
            took,
        } => json!({
            "event": "blob", "digest": digest, "bytes": size_bytes,
            "fate": blob_status(*status), "milliseconds": milliseconds(*took),
        }),
    })
}

/// The word for what became of a layer.
pub(super) fn layer_status(status: LayerStatus) -> &'static str {
    match status {
        LayerStatus::Made => "made",
        LayerStatus::Reused => "reused",
        LayerStatus::Remote => "remote",
        LayerStatus::Believed => "believed",
    }
}

/// The word for how a blob came to be in a registry.
pub(super) fn blob_status(status: BlobStatus) -> &'static str {
    match status {
        BlobStatus::Pushed => "pushed",
        BlobStatus::AlreadyThere => "already there",
        BlobStatus::Mounted => "mounted",
        BlobStatus::Copied => "copied",
    }
}

/// The time in whole milliseconds.
pub(super) fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{BuildStage, LayerEvent};

    #[test]
    fn long_texts_are_cut_in_every_event() {
        let long = || "x".repeat(15_000_000);
        let took = Duration::ZERO;
        for event in [
            Event::StageFinished {
                stage: BuildStage::Plan,
                detail: long(),
                took,
            },
            Event::Warning {
                text: long(),
                hint: String::new(),
            },
            Event::Warning {
                text: String::new(),
                hint: long(),
            },
            Event::TransferStarted {
                id: TransferId(1),
                name: long(),
                total_bytes: None,
            },
            Event::Output {
                step: long(),
                line: long(),
            },
            Event::Layer(LayerEvent {
                index: 0,
                contents: long(),
                digest: String::new(),
                size_bytes: 0,
                status: LayerStatus::Made,
                took,
            }),
        ] {
            let told = object(&fitting(event)).unwrap().to_string();
            assert!(told.len() < 6000, "{} bytes: {}", told.len(), &told[..200]);
        }
    }
}
