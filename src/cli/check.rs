//! `s2r check`: what is printed of an image that was looked at. A build that checks tells the same.

use super::text::CommandOutput;
use serde_json::{Value, json};

use super::args::CheckArgs;
use super::failure::CommandFailure;
use super::inventory::stored_image;
use super::progress::{ProgressReporter, milliseconds};
use super::request::ProcessEnv;
use super::settings::{isolation, settings};
use crate::pipeline::{self, CheckReport, FailedCheck, NetworkRules};

pub(super) fn check(
    arguments: &CheckArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let image = stored_image(&arguments.image, surroundings)?.reference();
    let mut settings = settings(surroundings, NetworkRules::default());
    settings.running.isolation = isolation(arguments.isolation);
    let wishes = arguments.wishes.wishes();
    let checked = pipeline::check(&image, &wishes, &arguments.env, &settings, shown);
    match checked {
        Ok(report) => Ok(CommandOutput {
            text: format!("{}\n", sentences(&report).join("\n")),
            json: json!({"check": object(&report)}),
        }),
        Err(error) => match error.find() {
            Some(failed) => {
                let answer = CommandOutput {
                    text: String::new(),
                    json: json!({"check": failed_object(failed)}),
                };
                Err(CommandFailure::Check {
                    answer,
                    failed: error,
                })
            }
            None => Err(error.into()),
        },
    }
}

/// What it answered, and what it sought in vain all the same.
fn sentences(report: &CheckReport) -> Vec<String> {
    let sought = report.sought.iter();
    std::iter::once(report.title())
        .chain(sought.map(|sought| format!("it sought {sought} in vain")))
        .collect()
}

/// The same in a build's summary.
pub(super) fn lines(report: &CheckReport) -> String {
    format!(" checked  {}\n", sentences(report).join("\n          "))
}

/// The same for machines.
pub(super) fn object(report: &CheckReport) -> Value {
    json!({
        "passed": true,
        "platform": report.platform,
        "port": report.port,
        "path": report.path,
        "status": report.status,
        "milliseconds": milliseconds(report.answered_after),
        "request_milliseconds": milliseconds(report.request_took),
        "memory": {
            "proportional_bytes": report.memory.proportional_bytes,
            "resident_bytes": report.memory.resident_bytes,
            "processes": report.memory.processes,
        },
        "sought": report.sought,
    })
}

fn failed_object(failed: &FailedCheck) -> Value {
    json!({
        "passed": false,
        "port": failed.port,
        "path": failed.request.path,
        "reason": failed.fault.word(),
        "status": failed.fault.status(),
        "exit_status": failed.fault.exit_status(),
        "sought": failed.evidence.sought,
        "log": failed.evidence.log,
    })
}
