//! What was typed, as the pipeline takes it: settings and requests.

use std::path::PathBuf;

use super::args::{self, ProjectOptions, StepOptions};
use super::failure::CommandFailure;
use super::progress::ProgressReporter;
use super::request::ProcessEnv;
use crate::destination::{ExportTarget, ExportTargetError};
use crate::image::LayerForm;
use crate::oci::{MediaFamily, Platform};
use crate::pipeline::{
    ImageFormats, Isolation, NetworkRules, PassedVariables, RegistrySettings, Settings, StepLimits,
    StepSettings, UnpackedBound,
};
use crate::plan::{BytecodeScope, PlanRequest};

/// The variables of the caller that the project may name; from here on, nobody says their values.
pub(super) fn passed(
    project: &ProjectOptions,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<PassedVariables, CommandFailure> {
    let mut passed = PassedVariables::default();
    for name in &project.pass_env {
        passed
            .add(name, &surroundings.variables)
            .map_err(|reason| CommandFailure::Usage {
                what: "a variable cannot be passed on".to_owned(),
                place: format!("--pass-env {name}"),
                why: reason.to_string(),
                next: format!("export {name} first, or leave the flag out"),
            })?;
    }
    shown.hide(passed.clone());
    Ok(passed)
}

/// How much archives may unpack to, as typed.
pub(super) fn unpacked(project: &ProjectOptions) -> UnpackedBound {
    let allowed = project.max_unpacked;
    allowed.map_or_else(UnpackedBound::default, UnpackedBound::allowing)
}

/// How code of the project is run, as typed.
pub(super) fn running(steps: &StepOptions) -> StepSettings {
    let default = StepSettings::default();
    StepSettings {
        isolation: isolation(steps.isolation),
        limits: StepLimits {
            memory_bytes: steps.step_memory,
            time: steps.step_time,
            ..default.limits
        },
        ..default
    }
}

/// What an image is written in, as typed.
pub(super) fn formats(typed: &args::FormatOptions) -> Result<ImageFormats, CommandFailure> {
    let layers = match (typed.compression, typed.estargz) {
        (args::CompressionChoice::Gzip, false) => LayerForm::Gzip,
        (args::CompressionChoice::Zstd, false) => LayerForm::Zstd,
        (args::CompressionChoice::Gzip, true) => LayerForm::Estargz,
        (args::CompressionChoice::Zstd, true) => {
            return Err(CommandFailure::Usage {
                what: "an eStargz layer is not compressed by zstd".to_owned(),
                place: "--estargz --compression zstd".to_owned(),
                why: "the format is an arrangement of gzip members".to_owned(),
                next: "leave out one of the two".to_owned(),
            });
        }
    };
    let documents = match (typed.format, layers) {
        (args::FormatChoice::Oci, _) => MediaFamily::Oci,
        (args::FormatChoice::Docker, LayerForm::Gzip | LayerForm::Estargz) => MediaFamily::Docker,
        (args::FormatChoice::Docker, LayerForm::Zstd) => {
            return Err(CommandFailure::Usage {
                what: "Docker's format has no layers in zstd".to_owned(),
                place: "--format docker --compression zstd".to_owned(),
                why: "its media types know tar and tar in gzip alone".to_owned(),
                next: "leave out one of the two".to_owned(),
            });
        }
    };
    Ok(ImageFormats { layers, documents })
}

pub(super) fn isolation(typed: args::IsolationChoice) -> Isolation {
    match typed {
        args::IsolationChoice::Auto => Isolation::Auto,
        args::IsolationChoice::Userns => Isolation::Userns,
        args::IsolationChoice::Chroot => Isolation::Chroot,
        args::IsolationChoice::None => Isolation::None,
    }
}

/// How registries are talked to, as typed.
pub(super) fn registries(typed: &args::RegistryOptions) -> RegistrySettings {
    RegistrySettings {
        auth_file: typed.authfile.clone(),
        certificates: typed.cert_dir.clone(),
        verify: typed.tls_verify,
        insecure: typed.insecure_registry.clone(),
        authorities: typed.ca.clone(),
    }
}

pub(super) fn settings(surroundings: &ProcessEnv, rules: NetworkRules) -> Settings {
    Settings {
        running: StepSettings::default(),
        formats: ImageFormats::default(),
        store_root: surroundings.store_root.clone(),
        variables: surroundings.variables.clone(),
        passed: PassedVariables::default(),
        directory: surroundings.directory.clone(),
        now_seconds: surroundings.now_seconds,
        epoch_seconds: surroundings.epoch_seconds,
        workers: surroundings.workers,
        rules,
        registries: RegistrySettings::default(),
    }
}

/// The part of a request that build, plan and lock share.
pub(super) fn request(
    source: &std::path::Path,
    project: &ProjectOptions,
) -> Result<PlanRequest, CommandFailure> {
    let platforms = project
        .platform
        .iter()
        .map(|text| {
            text.parse::<Platform>()
                .map_err(|reason| CommandFailure::Usage {
                    what: "s2r does not build for this platform".to_owned(),
                    place: format!("--platform {text}"),
                    why: reason.to_string(),
                    next: "leave it out to build for this machine's".to_owned(),
                })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(PlanRequest {
        source: PathBuf::from(source),
        reference: project.reference.clone(),
        context_dir: project.context_dir.clone(),
        exclude: project.exclude.clone(),
        builder: project.builder.clone(),
        env: project.env.clone(),
        environment_file: project.environment_file.clone(),
        platforms,
        bytecode: project.bytecode.map(|which| match which {
            args::BytecodeChoice::All => BytecodeScope::All,
            args::BytecodeChoice::App => BytecodeScope::App,
            args::BytecodeChoice::Dependencies => BytecodeScope::Dependencies,
            args::BytecodeChoice::None => BytecodeScope::None,
        }),
        ..PlanRequest::default()
    })
}

pub(super) fn target(text: &str) -> Result<ExportTarget, CommandFailure> {
    let wrong = |why: String| CommandFailure::Usage {
        what: "this is no target for an image".to_owned(),
        place: text.to_owned(),
        why,
        next: "write oci:DIR, oci-archive:FILE or docker-archive:FILE".to_owned(),
    };
    let target: ExportTarget = text
        .parse()
        .map_err(|reason: ExportTargetError| wrong(reason.to_string()))?;
    if target.is_stdout() {
        return Err(wrong(
            "stdout carries the image's reference alone".to_owned(),
        ));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::args::{BuildArgs, Cli, Command};
    use super::*;

    fn build(typed: &[&str]) -> BuildArgs {
        let words = ["s2r", "build", "."].iter().chain(typed);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Build(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    fn place(failure: CommandFailure) -> String {
        match failure {
            CommandFailure::Usage { place, .. } => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn formats_that_do_not_go_together_are_refused() {
        let formats = |typed: &[&str]| formats(&build(typed).formats);
        let default = formats(&[]).unwrap();
        assert_eq!(
            (default.layers, default.documents),
            (LayerForm::Gzip, MediaFamily::Oci)
        );
        let docker = formats(&["--format", "docker", "--estargz"]).unwrap();
        assert_eq!(
            (docker.layers, docker.documents),
            (LayerForm::Estargz, MediaFamily::Docker)
        );
        let both = formats(&["--estargz", "--compression", "zstd"]).unwrap_err();
        assert_eq!(place(both), "--estargz --compression zstd");
        let both = formats(&["--format", "docker", "--compression", "zstd"]).unwrap_err();
        assert_eq!(place(both), "--format docker --compression zstd");
    }

    #[test]
    fn a_request_has_what_was_typed() {
        let typed = build(&["-e", "A=1", "--context-dir", "web", "--bytecode", "app"]);
        let asked = request(&typed.source, &typed.project).unwrap();
        assert_eq!(asked.env, ["A=1"]);
        assert_eq!(asked.context_dir, Some(PathBuf::from("web")));
        assert_eq!(asked.bytecode, Some(BytecodeScope::App));
        assert!(asked.platforms.is_empty() && asked.image.is_none());
        let typed = build(&["--platform", "windows/amd64"]);
        let refused = request(&typed.source, &typed.project).unwrap_err();
        assert_eq!(place(refused), "--platform windows/amd64");
    }

    #[test]
    fn steps_are_bounded_as_typed_and_otherwise_by_default() {
        let typed = build(&["--step-time", "90s", "--isolation", "chroot"]);
        let running = running(&typed.steps);
        assert_eq!(running.limits.time.as_secs(), 90);
        assert_eq!(running.isolation, Isolation::Chroot);
        let default = StepSettings::default();
        assert_eq!(running.limits.processes, default.limits.processes);
        assert!(!running.skips_tests);
    }

    #[test]
    fn a_target_is_a_file_or_a_folder_and_never_standard_output() {
        for text in ["oci:out", "oci-archive:a.tar", "docker-archive:a.tar"] {
            assert_eq!(target(text).unwrap().to_string(), text);
        }
        for text in ["", "out", "oci:", "docker-archive:-"] {
            assert_eq!(place(target(text).unwrap_err()), text);
        }
    }
}
