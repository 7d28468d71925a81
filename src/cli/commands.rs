//! One function a command: from arguments to a request of the pipeline, and from its result to
//! what is printed.

use std::path::PathBuf;
use std::time::Instant;

use clap::CommandFactory;
use serde_json::json;

use super::args::{
    BuildArgs, BuildersArgs, Cli, Command, CompletionArgs, EjectArgs, ExportArgs, LockArgs,
    PlanArgs, PushArgs, RunArgs, UsageArgs,
};
use super::failure::CommandFailure;
use super::inventory::{self, reference, stored_image};
use super::progress::ProgressReporter;
use super::request::ProcessEnv;
use super::settings::{
    formats, isolation, passed, registries, request, running, settings, target, unpacked,
};
use super::summary;
use super::text::CommandOutput;
use crate::oci::Reference;
use crate::pipeline::{self, BuildOutputs, NetworkRules, RunOptions, RunRequest, StepSettings};
use crate::plan::SETTINGS_SCHEMA;
use crate::plan::builder::{EmbeddedBuilder, embedded};
use crate::report::BuildError;

pub(super) fn run(
    command: &Command,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    match command {
        Command::Build(arguments) => build(arguments, surroundings, shown),
        // Has no answer but its exit status: `launch`.
        Command::Run(_) => Ok(CommandOutput {
            text: String::new(),
            json: json!(null),
        }),
        Command::Check(arguments) => super::check::check(arguments, surroundings, shown),
        Command::Plan(arguments) => plan(arguments, surroundings, shown),
        Command::Lock(arguments) => lock(arguments, surroundings, shown),
        Command::Eject(arguments) => eject(arguments, surroundings, shown),
        Command::Push(arguments) => push(arguments, surroundings, shown),
        Command::Rebase(arguments) => super::rebase::rebase(arguments, surroundings, shown),
        Command::Login(arguments) => super::login::login(arguments, surroundings, shown),
        Command::Logout(arguments) => super::login::logout(arguments, surroundings),
        Command::Export(arguments) => export(arguments, surroundings, shown),
        Command::Images => inventory::images(surroundings),
        Command::Rm(arguments) => inventory::remove(arguments, surroundings),
        Command::Inspect(arguments) => super::inspect::inspect(arguments, surroundings, shown),
        Command::Builders(arguments) => builders(arguments),
        Command::Usage(arguments) => usage(arguments),
        Command::Schema => Ok(schema()),
        Command::Cache(arguments) => super::cache::cache(arguments, surroundings, shown),
        Command::Completion(arguments) => Ok(completion(arguments)),
        Command::Version => Ok(CommandOutput {
            text: format!("s2r {}\n", env!("CARGO_PKG_VERSION")),
            json: json!({"version": env!("CARGO_PKG_VERSION")}),
        }),
    }
}

fn build(
    arguments: &BuildArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let start = Instant::now();
    let mut project = arguments.project.clone();
    let image = match arguments.names.as_slice() {
        [builder, image] => {
            if let Some(other) = &project.builder {
                return Err(two_builders(builder, other));
            }
            project.builder = Some(builder.clone());
            Some(reference(image)?)
        }
        names => names.first().map(|name| reference(name)).transpose()?,
    };
    let tags = arguments
        .tags
        .iter()
        .map(|name| reference(name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<Reference> = image.into_iter().chain(tags).collect();
    if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
        return Err(CommandFailure::Usage {
            what: "an image cannot be named by a digest before it is built".to_owned(),
            place: name.to_string(),
            why: "the digest is what the build finds out".to_owned(),
            next: "leave @sha256:… out; the build prints it".to_owned(),
        });
    }
    if arguments.push && names.is_empty() {
        return Err(CommandFailure::Usage {
            what: "--push needs an image name".to_owned(),
            place: "--push".to_owned(),
            why: "the name says which registry the image goes to".to_owned(),
            next: "s2r build SOURCE registry.example.com/team/app:1.0 --push".to_owned(),
        });
    }
    let outputs = BuildOutputs {
        push: arguments.push,
        targets: arguments
            .outputs
            .iter()
            .map(|text| target(text))
            .collect::<Result<_, _>>()?,
        cache_from: arguments
            .cache
            .cache_from
            .iter()
            .map(|name| reference(name))
            .collect::<Result<_, _>>()?,
        no_cache: arguments.cache.no_cache,
        verify_cache: arguments.cache.verify_cache,
        check: arguments.check.wishes(),
    };
    let network = &arguments.network;
    let mut settings = settings(
        surroundings,
        NetworkRules {
            locked: network.locked,
            offline: network.offline,
            refresh: network.refresh,
            unpacked: unpacked(&project),
            debian_valid_until: arguments.debian.valid_until(),
        },
    );
    settings.running = StepSettings {
        skips_tests: arguments.no_test,
        ..running(&arguments.steps)
    };
    settings.formats = formats(&arguments.formats)?;
    settings.registries = registries(&arguments.registries);
    settings.passed = passed(&project, surroundings, shown)?;
    let mut request = arguments.image.over(request(&arguments.source, &project)?);
    request.image = names.first().cloned();
    if names.is_empty() {
        names.extend(pipeline::default_name(&request, &settings)?);
    }
    let built = pipeline::build(&request, &names, &outputs, &settings, shown)?;
    let took = start.elapsed();
    shown.summary(&summary::render(&built, took));
    Ok(summary::answer(&built, took))
}

/// Starts an image; the exit status that it ends with.
pub(super) fn launch(
    arguments: &RunArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<u8, CommandFailure> {
    let launch = RunRequest {
        image: stored_image(&arguments.image, surroundings)?.reference(),
        options: RunOptions {
            command: arguments.command.clone(),
            env: arguments.env.clone(),
            user: arguments.user.clone(),
            ports: arguments.ports.clone(),
            is_restricted: arguments.restricted,
        },
    };
    let mut settings = settings(surroundings, NetworkRules::default());
    settings.running.isolation = isolation(arguments.isolation);
    Ok(pipeline::run(&launch, &settings, shown)?
        .status
        .shell_code())
}

fn plan(
    arguments: &PlanArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let request = arguments
        .image
        .over(request(&arguments.source, &arguments.project)?);
    let rules = NetworkRules {
        unpacked: unpacked(&arguments.project),
        ..NetworkRules::default()
    };
    let mut settings = settings(surroundings, rules);
    settings.passed = passed(&arguments.project, surroundings, shown)?;
    let plan = pipeline::plan(&request, &settings, shown)?;
    Ok(CommandOutput {
        text: crate::plan::render(&plan),
        json: serde_json::to_value(&plan).unwrap_or_default(),
    })
}

fn lock(
    arguments: &LockArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let request = request(&arguments.source, &arguments.project)?;
    let mut settings = settings(
        surroundings,
        NetworkRules {
            refresh: arguments.refresh,
            unpacked: unpacked(&arguments.project),
            debian_valid_until: arguments.debian.valid_until(),
            ..NetworkRules::default()
        },
    );
    settings.running = running(&arguments.steps);
    settings.passed = passed(&arguments.project, surroundings, shown)?;
    settings.formats = formats(&arguments.formats)?;
    let written = pipeline::lock(&request, arguments.layers, &settings, shown)?;
    Ok(files(&written))
}

/// The paths of files that were written.
fn files(written: &[PathBuf]) -> CommandOutput {
    let lines = written.iter().map(|path| format!("{}\n", path.display()));
    CommandOutput {
        text: lines.collect(),
        json: json!(written),
    }
}

fn eject(
    arguments: &EjectArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let request = request(&arguments.source, &arguments.project)?;
    let settings = settings(surroundings, NetworkRules::default());
    let written = pipeline::eject(&request, arguments.force, &settings, shown)?;
    Ok(files(&written))
}

fn push(
    arguments: &PushArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let found = stored_image(&arguments.image, surroundings)?;
    let destination = arguments
        .destination
        .as_deref()
        .map(reference)
        .transpose()?;
    if destination.is_none() && found.name.is_none() {
        return Err(no_destination(&arguments.image, &found.names));
    }
    let image = found.reference();
    let mut settings = settings(surroundings, NetworkRules::default());
    settings.registries = registries(&arguments.registries);
    let pushed = pipeline::push(&image, destination.as_ref(), &settings, shown)?;
    shown.summary(&summary::push_line(&pushed));
    Ok(CommandOutput {
        text: format!("{}\n", pushed.reference.at(pushed.digest)),
        json: summary::push_object(&pushed),
    })
}

fn export(
    arguments: &ExportArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let image = stored_image(&arguments.image, surroundings)?.reference();
    let target = target(&arguments.target)?;
    let settings = settings(surroundings, NetworkRules::default());
    let exported = pipeline::export(&image, &target, &settings, shown)?;
    shown.summary(&summary::export_line(&exported));
    Ok(CommandOutput {
        text: format!("{}\n", exported.target),
        json: json!({"target": exported.target.to_string()}),
    })
}

fn builders(arguments: &BuildersArgs) -> Result<CommandOutput, CommandFailure> {
    if let Some(name) = &arguments.name {
        let builder = EmbeddedBuilder::named(name).ok_or_else(|| no_builder(name))?;
        return Ok(CommandOutput {
            text: builder.text.to_owned(),
            json: json!({"name": name, "definition": builder.text}),
        });
    }
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for builder in embedded() {
        let file = builder.read().map_err(BuildError::from)?;
        let remark = match file.remark() {
            "" if builder.name == crate::plan::DEFAULT_BUILDER => "default",
            remark => remark,
        };
        rows.push(vec![
            builder.name.to_owned(),
            format!("Python {}", builder.python),
            file.base_title(),
            remark.to_owned(),
        ]);
        objects.push(json!({
            "name": builder.name, "python": builder.python, "base": file.base_title(),
            "remark": file.remark(),
        }));
    }
    Ok(CommandOutput {
        text: super::text::table(&rows, &[false; 4]),
        json: json!(objects),
    })
}

fn usage(arguments: &UsageArgs) -> Result<CommandOutput, CommandFailure> {
    if EmbeddedBuilder::named(&arguments.builder).is_none() {
        return Err(no_builder(&arguments.builder));
    }
    let text = include_str!("usage.txt").replace("BUILDER", &arguments.builder);
    Ok(CommandOutput {
        json: json!({"usage": text}),
        text,
    })
}

fn schema() -> CommandOutput {
    CommandOutput {
        text: SETTINGS_SCHEMA.to_owned(),
        json: serde_json::from_str(SETTINGS_SCHEMA).unwrap_or_default(),
    }
}

fn completion(arguments: &CompletionArgs) -> CommandOutput {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "s2r", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    CommandOutput {
        json: json!({"script": text}),
        text,
    }
}

fn no_destination(typed: &str, names: &[Reference]) -> CommandFailure {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let (why, next) = if names.is_empty() {
        (
            "the image has no name, and so no registry".to_owned(),
            format!("s2r push {typed} registry.example.com/team/app:1.0"),
        )
    } else {
        (
            format!("the image is called {}", names.join(", ")),
            "push it by one of these names, or say where to: s2r push IMAGE DEST".to_owned(),
        )
    };
    CommandFailure::Usage {
        what: "it is not said where to push".to_owned(),
        place: typed.to_owned(),
        why,
        next,
    }
}

fn two_builders(first: &str, second: &str) -> CommandFailure {
    CommandFailure::Usage {
        what: "two builders are named".to_owned(),
        place: format!("{first}, --builder {second}"),
        why: "`s2r build SOURCE BUILDER IMAGE` names one already".to_owned(),
        next: "leave one of them out".to_owned(),
    }
}

fn no_builder(name: &str) -> CommandFailure {
    let known: Vec<&str> = embedded().iter().map(|builder| builder.name).collect();
    CommandFailure::Usage {
        what: format!("there is no builder {name}"),
        place: name.to_owned(),
        why: format!("the builders are {}", known.join(", ")),
        next: "`s2r builders` describes them; --builder FILE.yaml uses one of your own".to_owned(),
    }
}
