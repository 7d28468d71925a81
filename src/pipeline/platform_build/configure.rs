//! What maintainer scripts of an Aptfile's packages leave to be done: generators (`dot -c`, the compiler of glib's
//! schemas) are run in the sandbox over the finished layer, and what they write is a layer of its own, kept by the
//! layers below it. Where no sandbox works, and for another processor, that is told; and so is every other program that
//! a script would have run.

use std::collections::BTreeMap;

use serde::Deserialize as _;

use crate::archive::tar::CompressionEffort;
use crate::base::image_base::Base;
use crate::context::build_context::Context;
use crate::image::COMPLETED_ANNOTATION;
use crate::layer_cache::{BuiltLayer, LayerBatch, LayerRecipe};
use crate::layers::changes::{self, LayerChange, PathChange};
use crate::layers::deb::{Run, Scripts, Undone};
use crate::layers::notes::LayerNotes;
use crate::oci::{Architecture, Key, KeyBuilder};
use crate::plan::service::nginx;
use crate::report::{BuildError, Event, SilentReport};
use crate::sandbox;
use crate::source_builds::step_layers::of_layer;
use crate::source_builds::step_runner::{
    StepCommand, StepError, StepRoot, StepRunner, USER, how, is_success,
};

/// Most packages, and most programs of one, that are named.
const MAX_NAMED: usize = 6;
const MAX_PROGRAMS: usize = 3;

impl Context<'_> {
    /// The layers of a base, with that of what generators make of them.
    pub(super) fn complete_base(&self, base: &Base<'_>) -> Result<LayerBatch, BuildError> {
        let batch = self.ensure_base_layers(base)?;
        self.completed(batch, base)
    }

    /// The layers of a base that are there, with that of what generators make of them.
    pub(super) fn completed(
        &self,
        batch: LayerBatch,
        base: &Base<'_>,
    ) -> Result<LayerBatch, BuildError> {
        let Base::Packages { options, .. } = base else {
            return Ok(batch);
        };
        let Some(top) = batch.layers.last() else {
            return Ok(batch);
        };
        // A registry has such a layer, and only who makes it knows what completes it.
        let is_completed = top.layer.annotations.contains_key(COMPLETED_ANNOTATION);
        let scripts = scripts_of(top);
        self.tell_undone(&scripts.undone);
        if scripts.runs.is_empty() && !is_completed {
            return Ok(batch);
        }
        let recipes = self.base_recipes(base)?;
        self.configured(batch, &recipes, options.architecture)
    }

    /// The same where there is something to be run.
    fn configured(
        &self,
        mut batch: LayerBatch,
        recipes: &[LayerRecipe<'_>],
        architecture: Architecture,
    ) -> Result<LayerBatch, BuildError> {
        let (Some(top), Some(recipe)) = (batch.layers.last(), recipes.last()) else {
            return Ok(batch);
        };
        let mut scripts = scripts_of(top);
        if top.notes.is_none() {
            let own = self.make_own(&[recipe])?;
            scripts = own.last().map(scripts_of).unwrap_or_default();
            self.tell_undone(&scripts.undone);
        }
        if scripts.runs.is_empty() {
            return Ok(batch);
        }
        let key = key(&scripts.runs, &batch.layers, self);
        let title = title(&scripts.runs);
        let index = batch.layers.len();
        // Steps may stand on it, so that a registry's word for it is not enough.
        let made = match self.stored_layer(&key, &title, index) {
            Some(made) => Some(made),
            None if self.is_bare() => {
                self.tell_not_run(
                    &scripts.runs,
                    "without isolation nothing may be written there",
                );
                None
            }
            None if Architecture::host() != Some(architecture) => {
                self.tell_not_run(&scripts.runs, "it is for another processor");
                None
            }
            None => self.generate(&scripts.runs, (&key, &title), &batch.layers, recipes)?,
        };
        batch.layers.extend(made);
        Ok(batch)
    }

    /// Runs generators over the layers, and makes the layer of what they wrote.
    fn generate(
        &self,
        runs: &[Run],
        (key, title): (&Key, &str),
        layers: &[BuiltLayer],
        recipes: &[LayerRecipe<'_>],
    ) -> Result<Option<BuiltLayer>, BuildError> {
        let recipes: Vec<&LayerRecipe<'_>> = recipes.iter().collect();
        let place = StepRoot::new(self.store, self.lower_folders(layers, &recipes)?)?;
        let steps = StepRunner {
            context: self,
            report: &SilentReport,
        };
        for run in runs {
            let command: Vec<&str> = run.command.iter().map(String::as_str).collect();
            let order = StepCommand {
                title: &run.package,
                command: &command,
                place: None,
                directory: "/",
                user: USER,
                environment: BTreeMap::new(),
                mounts: Vec::new(),
                has_network: false,
                instead: "",
            };
            match steps.try_run(&place.root, &order) {
                Ok(ended) if is_success(&ended) => {}
                Ok(ended) => {
                    let how = how(&ended, &self.settings.running.limits);
                    self.tell_not_run(std::slice::from_ref(run), &how);
                }
                Err(error) => {
                    let Some(StepError::NoSandbox { source, .. }) = error.find() else {
                        return Err(error);
                    };
                    self.tell_not_run(runs, &source.to_string());
                    return Ok(None);
                }
            }
        }
        let is_written = |path: &[u8]| {
            let mut runs = runs.iter();
            runs.any(|run| path.starts_with(run.writes.as_bytes()))
        };
        let found = sandbox::changes(&place.root)?.into_iter();
        let written: Vec<LayerChange> = found
            .filter(|change| is_written(&change.path))
            .map(of_layer)
            .collect();
        if !written
            .iter()
            .any(|change| !matches!(change.kind, PathChange::Folder { .. }))
        {
            return Ok(None);
        }
        let recipe = LayerRecipe {
            key: *key,
            contents: title.to_owned(),
            effort: CompressionEffort::Usual,
            needs: Vec::new(),
            is_of_source: false,
            write: Box::new(move |tar| {
                changes::write(&written, tar)?;
                Ok(LayerNotes::default())
            }),
        };
        Ok(self.make(&[recipe], layers.len())?.layers.pop())
    }

    fn tell_not_run(&self, runs: &[Run], why: &str) {
        for run in runs {
            self.report.event(Event::Warning {
                text: format!(
                    "{}: `{}` was not run ({why}), and without it {}",
                    run.package,
                    run.command.join(" "),
                    run.without
                ),
                hint: "build where the sandbox works, on a machine of the image's kind".to_owned(),
            });
        }
    }

    fn tell_undone(&self, undone: &[Undone]) {
        let has_front = self.project.facts.settings.front.is_some();
        let is_missed = |one: &&Undone| !(has_front && one.package == nginx::SCRIPTED_PACKAGE);
        let undone: Vec<&Undone> = undone.iter().filter(is_missed).collect();
        if undone.is_empty() {
            return;
        }
        let named = undone.iter().take(MAX_NAMED).map(|one| {
            let programs = one.programs.get(..MAX_PROGRAMS).unwrap_or(&one.programs);
            let more = if programs.len() < one.programs.len() {
                "..."
            } else {
                ""
            };
            format!("{} ({}{more})", one.package, programs.join(", "))
        });
        let mut text = named.collect::<Vec<_>>().join(", ");
        if undone.len() > MAX_NAMED {
            text.push_str(&format!(" and {} more", undone.len() - MAX_NAMED));
        }
        self.report.event(Event::Warning {
            text: format!("scripts of packages were not run: {text}"),
            hint: "users, folders and settings that they would have made are not there; what is missed can lie in the source, or be made by .s2i/bin/run".to_owned(),
        });
    }
}

/// What is noted of the scripts of a layer's packages.
fn scripts_of(made: &BuiltLayer) -> Scripts {
    let notes = made.notes.as_ref();
    let notes = notes.and_then(|notes| LayerNotes::deserialize(notes).ok());
    notes.map(|notes| notes.scripts).unwrap_or_default()
}

/// Names what generators make by what they are run over.
fn key(runs: &[Run], layers: &[BuiltLayer], context: &Context<'_>) -> Key {
    let mut key = KeyBuilder::new("configured/1").field(&context.epoch_seconds().to_le_bytes());
    for made in layers {
        key.add(made.layer.diff_id.to_string().as_bytes());
    }
    for run in runs {
        for word in &run.command {
            key.add(word.as_bytes());
        }
    }
    key.finish()
}

fn title(runs: &[Run]) -> String {
    let programs = runs.iter().filter_map(|run| {
        let path = run.command.first()?;
        path.rsplit('/').next()
    });
    format!("made by {}", programs.collect::<Vec<_>>().join(", "))
}
