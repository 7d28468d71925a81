//! The decision: from what a project says and what the user asks for to everything that a build
//! needs to know, each value with where it comes from and why.
//!
//! Pure: no disk, no network, no clock. A flag beats the environment, that a file, that the
//! builder, that a default. What cannot be built is refused here, before anything is fetched.

mod advice;
mod base_detection;
pub(crate) mod builder;
mod bytecode;
mod decided;
mod dependencies;
mod error;
pub(crate) mod image_builder;
mod imagestream;
pub(crate) mod labels;
mod layers;
mod packages;
mod pip;
mod python;
mod render;
mod running;
#[cfg(test)]
mod script_tests;
pub(crate) mod service;
mod start;
pub(crate) mod system_packages;
#[cfg(test)]
mod testing;
pub(crate) mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub(crate) use bytecode::BytecodeScope;
pub(crate) use decided::{Decided, PlanWarning, ValueOrigin};
pub(crate) use dependencies::source::DependencySource;
pub(crate) use error::PlanError;
pub(crate) use imagestream::is_image_stream;
pub(crate) use layers::{LayerKind, PlannedLayer};
pub(crate) use packages::ExtraPackages;
pub(crate) use python::{BuilderReason, ChosenBuilder, NamedBuilder, choose as choose_builder};
pub(crate) use render::render;
pub(crate) use running::{BuildSteps, TestPackages, TestRun, manage_py};
pub(crate) use start::{AddedServer, StartDecision, StartError, StartStrategy};
pub(crate) use variables::Variables;

use crate::oci::{Platform, Reference};
pub(crate) use crate::project::settings::{BuildCommand, SCHEMA as SETTINGS_SCHEMA};
use crate::project::{ProjectFacts, SourcePlace};
use crate::source::environment::{EnvironmentNote, EnvironmentVariable};
use crate::source::git;
use builder::{BuilderDefinition, PipWheel};
use layers::LayerInputs;

/// The builder that is taken when nothing speaks for another.
pub(crate) const DEFAULT_BUILDER: &str = "python-3.13";
/// Where the source lies in the image; working directory and HOME too.
pub(crate) const SOURCE_FOLDER: &str = "/opt/app-root/src";
/// The script that starts the application.
pub(crate) const RUN_SCRIPT: &str = "/usr/libexec/s2i/run";

/// What the user asks for, as `cli` read it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanRequest {
    /// The source as typed: a folder, a repository, an archive, or `-`.
    pub source: PathBuf,
    /// `-r`: a branch, tag or commit of the source.
    pub reference: Option<String>,
    /// A folder within it, `--context-dir`.
    pub context_dir: Option<PathBuf>,
    /// What else to leave out, `--exclude`.
    pub exclude: Vec<String>,
    /// A builder's name or file, `--builder`.
    pub builder: Option<String>,
    /// `-e`, in order, as typed.
    pub env: Vec<String>,
    pub environment_file: Option<PathBuf>,
    /// `--platform`; none means the machine's own.
    pub platforms: Vec<Platform>,
    pub bytecode: Option<BytecodeScope>,
    /// The image's first name.
    pub image: Option<Reference>,
    /// `--label`, by name.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`, by name.
    pub annotations: BTreeMap<String, String>,
}

/// Everything that a plan is made from.
#[derive(Clone, Copy)]
pub(crate) struct PlanInputs<'a> {
    /// What the user asks for.
    pub request: &'a PlanRequest,
    /// What the project says.
    pub facts: &'a ProjectFacts,
    /// The builder that was chosen.
    pub builder: &'a ChosenBuilder,
    /// The variables of the file of `-E`, and what was odd about it.
    pub environment_file: &'a (Vec<EnvironmentVariable>, Vec<EnvironmentNote>),
    /// The member of the workspace that `--context-dir` leads to.
    pub member: Option<&'a str>,
    /// What git knows about the source.
    pub git: Option<&'a git::CheckoutFacts>,
    /// What this machine runs on; `None` if s2r does not build for it.
    pub host: Option<Platform>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plan {
    /// The image's name, if it gets one.
    pub image: Option<String>,
    pub builder: Decided<String>,
    /// Python's version, two numbers.
    pub python: Decided<String>,
    /// What the image runs on.
    pub platforms: Decided<Vec<Platform>>,
    /// The project's files that mean something.
    pub found: Vec<&'static str>,
    /// What says which packages go in.
    pub dependencies: Decided<DependencySource>,
    /// What of the project's own code runs at build time.
    pub running: BuildSteps,
    /// Debian packages besides the base's.
    pub packages: ExtraPackages,
    /// The pip of the virtual environment, unless the project brings its own.
    #[serde(serialize_with = "pip::version")]
    pub pip: Decided<Option<PipWheel>>,
    /// Which sources are compiled.
    pub bytecode: Decided<BytecodeScope>,
    /// How the application will be started, as `run` will decide.
    pub start: StartDecision,
    /// What tests the image before it gets its name.
    pub test: Option<TestRun>,
    /// The environment of build and image.
    pub environment: Variables,
    pub labels: BTreeMap<String, Decided<String>>,
    /// Those of the manifest that the user asks for.
    pub annotations: BTreeMap<String, Decided<String>>,
    /// User of the image's processes.
    pub user: Decided<String>,
    pub working_directory: &'static str,
    pub ports: Decided<Vec<u16>>,
    /// What the image runs.
    pub command: Decided<Vec<String>>,
    /// Distribution name for `run`, which may want it as a module; without it `setup.py` is asked.
    pub setup_name: Option<String>,
    /// What `run` and the servers read in the image, by the names of the files.
    #[serde(skip)]
    pub notes: BTreeMap<&'static str, String>,
    /// The layers, lowest first.
    pub layers: Vec<PlannedLayer>,
    /// What the user should know.
    pub advice: Vec<PlanWarning>,
}

impl Plan {
    /// Whether a layer of this kind is planned.
    pub(crate) fn has_layer(&self, kind: LayerKind) -> bool {
        self.layers.iter().any(|layer| layer.kind == kind)
    }

    /// The decision in half a line.
    pub(crate) fn title(&self) -> String {
        format!(
            "{} for {}",
            self.builder.value,
            self.platforms
                .value
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        )
    }
}

/// Decides.
///
/// # Errors
/// See [`PlanError`].
pub(crate) fn plan(inputs: &PlanInputs<'_>) -> Result<Plan, PlanError> {
    let mut advice = Vec::new();
    let facts = inputs.facts;
    let definition = &inputs.builder.definition;
    let (builder, python) = python::decide(inputs.builder, &facts.python, &mut advice);
    let platforms = platforms(inputs, definition)?;
    let mut environment = variables::decide(inputs, definition, &mut advice)?;
    let dependencies = dependencies::decide(facts, &definition.python, &environment, &mut advice)?;
    let home = start::infer_home(facts, &environment, &dependencies.value, &mut advice)?;
    if let Some(home) = home {
        environment.infer("APP_HOME", home);
    }
    let mut advice_on_running = Vec::new();
    let running = running::decide(
        facts,
        &environment,
        &dependencies.value,
        &mut advice_on_running,
    )?;
    let start = start::predict(
        start::StartInputs {
            facts,
            variables: &environment,
            dependencies: &dependencies.value,
            running: &running,
            builder: definition,
        },
        &mut advice,
    )?;
    advice.append(&mut advice_on_running);
    advice::on_platforms(inputs, &platforms.value, &running, &mut advice);
    advice::on_source(inputs, (&start, &running), &mut advice);
    let pip = pip::decide(definition, &environment, &running, &mut advice)?;
    let notes = definition.notes.iter();
    advice.extend(notes.map(|(text, hint)| PlanWarning::new(text, hint)));
    let named = dependencies::source::names(facts, &dependencies.value);
    let implied = system_packages::decide(&environment, &running, named)?;
    let packages = packages::decide(facts, definition, implied, &start.packages);
    let from_builder = || ValueOrigin::Builder {
        builder: definition.name.clone(),
    };
    let test = running::decide_test(facts, &dependencies.value, &running);
    let bytecode = bytecode::decide(inputs.request.bytecode, definition);
    let layers = layers::decide(LayerInputs {
        facts,
        builder: definition,
        packages: &packages,
        pip: pip.value.as_ref(),
        dependencies: &dependencies.value,
        running: &running,
        start: &start,
        bytecode: bytecode.value,
    });
    Ok(Plan {
        test,
        image: inputs.request.image.as_ref().map(ToString::to_string),
        labels: labels::decide(inputs, definition),
        annotations: labels::asked(&inputs.request.annotations, labels::ANNOTATION_FLAG).collect(),
        user: Decided::new(definition.user.clone(), from_builder(), ""),
        working_directory: SOURCE_FOLDER,
        ports: Decided::new(definition.ports.clone(), from_builder(), ""),
        command: command(&start),
        notes: start.notes.files(facts.setup_name.as_deref()),
        setup_name: facts.setup_name.clone(),
        layers,
        found: facts.found.clone(),
        builder,
        python,
        platforms,
        dependencies,
        packages,
        pip,
        running,
        bytecode,
        start,
        environment,
        advice,
    })
}

fn platforms(
    inputs: &PlanInputs<'_>,
    definition: &BuilderDefinition,
) -> Result<Decided<Vec<Platform>>, PlanError> {
    let asked = &inputs.request.platforms;
    let decided = if asked.is_empty() {
        let host = inputs.host.ok_or(PlanError::NoPlatform)?;
        Decided::new(vec![host], ValueOrigin::Default, "this machine's own")
    } else {
        let mut platforms = asked.clone();
        platforms.sort_unstable();
        platforms.dedup();
        Decided::new(platforms, ValueOrigin::Flag { flag: "--platform" }, "")
    };
    for platform in &decided.value {
        if !definition.platforms.contains(&platform.to_string()) {
            return Err(PlanError::Platform {
                builder: definition.name.clone(),
                platform: platform.to_string(),
                known: definition.platforms.clone(),
            });
        }
    }
    Ok(decided)
}

fn command(start: &StartDecision) -> Decided<Vec<String>> {
    match &start.strategy.value {
        StartStrategy::OwnRun { path } => Decided::new(
            vec![format!("{SOURCE_FOLDER}/{path}")],
            ValueOrigin::File(SourcePlace::file(path)),
            "the project's own start script",
        ),
        _ => Decided::new(vec![RUN_SCRIPT.to_owned()], ValueOrigin::Default, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{planned, with};
    use super::*;

    const FLASK: [(&str, &str); 2] = [
        ("requirements.txt", "flask\ngunicorn\n"),
        ("wsgi.py", "application = 1\n"),
    ];

    #[test]
    fn a_flask_project_is_planned_in_full() {
        let plan = planned(&FLASK, &[]).unwrap();
        assert_eq!(plan.builder.value, DEFAULT_BUILDER);
        assert_eq!(plan.python.value, "3.13");
        assert_eq!(plan.command.value, [RUN_SCRIPT]);
        assert_eq!(plan.user.value, "1001");
        assert_eq!(plan.ports.value, [8080]);
        assert!(plan.advice.is_empty(), "{:?}", plan.advice);
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["start"]["strategy"]["value"]["kind"], "gunicorn");
        assert_eq!(json["dependencies"]["value"]["kind"], "requirements");
        let text = render(&plan);
        assert!(
            text.contains("wsgi") && text.contains("requirements.txt"),
            "{text}"
        );
    }

    #[test]
    fn platforms_are_the_builders_or_refused() {
        let arm = "linux/arm64".parse().unwrap();
        let plan = with(&FLASK, &[], |request| request.platforms = vec![arm, arm]).unwrap();
        assert_eq!(plan.platforms.value, [arm]);
        let plan = planned(&FLASK, &[]).unwrap();
        assert_eq!(plan.platforms.value[0].to_string(), "linux/amd64");
    }

    #[test]
    fn what_is_not_read_is_said() {
        let files = [FLASK[0], FLASK[1], ("Procfile", "web: x\n")];
        let advice = planned(&files, &[]).unwrap().advice;
        assert_eq!(advice.len(), 1, "{advice:?}");
    }

    #[test]
    fn processes_of_the_settings_come_before_a_procfiles() {
        let files = [
            FLASK[0],
            FLASK[1],
            ("Procfile", "worker: old\nclock: tick\nsame: same\n"),
            ("s2r.yaml", "processes: {worker: new, same: same}\n"),
        ];
        let plan = planned(&files, &[]).unwrap();
        let processes = plan.start.notes.processes.as_deref();
        assert_eq!(processes, Some("worker new\nsame same\nclock tick"));
        let told: Vec<&str> = plan.advice.iter().map(|one| one.text.as_str()).collect();
        let overruled = "Procfile:1: not used, since s2r.yaml:1 says what worker is";
        assert!(told.contains(&overruled), "{told:?}");
        assert!(
            !told.iter().any(|text| text.contains("Procfile:3")),
            "{told:?}"
        );
    }
}
