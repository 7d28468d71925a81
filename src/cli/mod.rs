//! The command line: reads arguments, speaks, and nothing else. The stages are `pipeline`'s.

mod args;
mod cache;
mod check;
mod commands;
mod explain;
mod failure;
mod inspect;
mod inventory;
mod login;
mod progress;
mod rebase;
mod request;
mod settings;
mod summary;
mod text;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::host;
use crate::report::Explain;
use args::{Cli, Command};
use failure::CommandFailure;
use progress::ProgressReporter;
use request::ProcessEnv;
use text::CommandOutput;

/// Runs s2r with the process's arguments and environment; returns its exit status.
#[must_use]
pub fn run() -> ExitCode {
    // Without it a step of the same user could read our logins. A kernel that refuses is none that has such steps.
    let _ = host::keep_private();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    if let Command::Run(arguments) = &cli.command {
        return start(&cli.command, arguments, cli.output.json);
    }
    let shown = ProgressReporter::new(cli.output.progress);
    let outcome = guarded(&cli.command, || {
        let surroundings = ProcessEnv::read()?;
        commands::run(&cli.command, &surroundings, &shown)
    });
    // stdout may be the same terminal.
    shown.finish();
    let outcome = match outcome {
        Ok(answer) => print(&answer, cli.output.json, &shown).map(|()| answer),
        Err(failure) => match failure.answer() {
            Some(answer) => print(answer, cli.output.json, &shown).and(Err(failure)),
            None => Err(failure),
        },
    };
    match outcome {
        Ok(answer) => match &cli.command {
            Command::Build(build) if build.run => {
                let failure = go_on(&answer, build);
                fail(&failure, &shown, cli.output.json)
            }
            _ => ExitCode::SUCCESS,
        },
        Err(failure) => fail(&failure, &shown, cli.output.json),
    }
}

/// Runs a command where there are threads enough for it, and answers for its panics: they have a place
/// among the exit codes as any failure has.
fn guarded<T>(
    command: &Command,
    work: impl FnOnce() -> Result<T, CommandFailure>,
) -> Result<T, CommandFailure> {
    if needs_threads(command) {
        host::reserve(host::FEW).map_err(CommandFailure::Threads)?;
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a thread panicked");
        Err(if host::is_shortage(text) {
            CommandFailure::Threads(std::io::ErrorKind::WouldBlock.into())
        } else {
            CommandFailure::Panicked(text.to_owned())
        })
    })
}

/// Whether a command does more than look at the store.
fn needs_threads(command: &Command) -> bool {
    match command {
        Command::Build(_)
        | Command::Run(_)
        | Command::Check(_)
        | Command::Plan(_)
        | Command::Lock(_)
        | Command::Eject(_)
        | Command::Push(_)
        | Command::Rebase(_)
        | Command::Login(_)
        | Command::Export(_)
        | Command::Inspect(_) => true,
        Command::Logout(_)
        | Command::Images
        | Command::Rm(_)
        | Command::Builders(_)
        | Command::Usage(_)
        | Command::Schema
        | Command::Cache(_)
        | Command::Completion(_)
        | Command::Version => false,
    }
}

/// Starts an image, which has the terminal to itself: no thread of ours draws on it.
fn start(command: &Command, arguments: &args::RunArgs, as_json: bool) -> ExitCode {
    let shown = ProgressReporter::new(args::ProgressChoice::None);
    let outcome = guarded(command, || {
        let surroundings = ProcessEnv::read()?;
        commands::launch(arguments, &surroundings, &shown)
    });
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => fail(&failure, &shown, as_json),
    }
}

/// After a build: becomes `s2r run` of what was built. Anew, because that takes signals for others and
/// threads of the build would get in the way. Returns only if it cannot.
fn go_on(built: &CommandOutput, build: &args::BuildArgs) -> CommandFailure {
    use std::os::unix::process::CommandExt;
    let image = built.text.trim();
    let error = std::process::Command::new("/proc/self/exe")
        .arg0("s2r")
        .args(["run", "--isolation", build.steps.isolation.word(), image])
        .exec();
    CommandFailure::Again(error)
}

/// stdout carries the answer alone.
fn print(
    answer: &CommandOutput,
    as_json: bool,
    shown: &ProgressReporter,
) -> Result<(), CommandFailure> {
    let mut stdout = std::io::stdout().lock();
    let written = if as_json {
        writeln!(stdout, "{}", shown.without_hidden(&answer.json.to_string()))
    } else {
        let text = shown.without_hidden(&answer.text);
        stdout.write_all(text::plain(&text).as_bytes())
    };
    match written.and_then(|()| stdout.flush()) {
        // `s2r images | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CommandFailure::Output),
    }
}

fn fail(failure: &CommandFailure, shown: &ProgressReporter, as_json: bool) -> ExitCode {
    let explanation = failure.explain();
    let exit_code = explanation.class.exit_code();
    if as_json || shown.is_json() {
        shown.line(&explain::json(&explanation).to_string());
    } else {
        let unseen = shown.without_shown_lines(explanation);
        shown.line(explain::render(&unseen).trim_end());
    }
    ExitCode::from(exit_code)
}
