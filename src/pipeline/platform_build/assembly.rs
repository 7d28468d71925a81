//! The documents that make an image of layers.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::base::image_base::Base;
use crate::bytecode::CompileTotals;
use crate::context::build_context::Context;
use crate::image::{
    ABI_ANNOTATION, BASE_LAYERS_ANNOTATION, BASE_PACKAGES_ANNOTATION, BUILT_ANNOTATION, BaseParts,
    BaseSettings, ImageLayer, ImageParts, SETTINGS_ANNOTATION,
};
use crate::layer_cache::BuiltLayer;
use crate::oci::{Platform, RunConfig};
use crate::pipeline::BuiltPlatform;
use crate::plan::labels::LABEL_FLAG;
use crate::plan::{Decided, ValueOrigin};
use crate::report::BuildError;

/// All layers of an image, and what making them asks for.
pub(super) struct FinishedLayers {
    /// All layers, those of the base first.
    pub layers: Vec<BuiltLayer>,
    /// How many of them are the base's.
    pub base_count: usize,
    /// Labels that a step of the project asks for.
    pub labels: BTreeMap<String, String>,
}

impl Context<'_> {
    /// Writes config and manifest.
    pub(super) fn assemble(
        &self,
        platform: Platform,
        base: &Base<'_>,
        finished: FinishedLayers,
    ) -> Result<BuiltPlatform, BuildError> {
        let (base_parts, skipped) = match base {
            Base::Packages { .. } => (None, 0),
            Base::Image(image) => (
                Some(BaseParts {
                    layers: &image.manifest.layers,
                    config: &image.config,
                }),
                image.manifest.layers.len(),
            ),
        };
        let FinishedLayers {
            layers,
            base_count,
            labels,
        } = finished;
        let layers: Vec<BuiltLayer> = layers.into_iter().map(|made| self.proven(made)).collect();
        let labels = self.labels(labels);
        let ours = layers.iter().skip(skipped);
        let image_layers: Vec<ImageLayer> = ours.map(|made| made.layer.clone()).collect();
        let assembled = crate::image::assemble(ImageParts {
            platform,
            created_seconds: self.settings.epoch_seconds,
            run: self.run_config(&labels),
            base: base_parts,
            layers: &image_layers,
            annotations: self.annotations(base, base_count, &labels),
            family: self.settings.formats.documents,
        })?;
        self.store.put_blob(&assembled.config)?;
        self.store.put_blob(&assembled.manifest)?;
        Ok(BuiltPlatform {
            platform,
            descriptor: assembled.descriptor,
            layers,
            compiled: CompileTotals::default(),
        })
    }

    /// The image's labels: the plan's, and over them those of a step, which s2i puts over its own; but what a flag
    /// says stays.
    fn labels(&self, of_step: BTreeMap<String, String>) -> BTreeMap<String, Decided<String>> {
        let mut labels = self.plan.labels.clone();
        for (name, value) in of_step {
            let is_asked = labels.get(&name).is_some_and(
                |one| matches!(one.origin, ValueOrigin::Flag { flag } if flag == LABEL_FLAG),
            );
            if !is_asked {
                labels.insert(name, Decided::of_script(value));
            }
        }
        labels
    }

    /// What the manifest tells of the base, and of what was built from source.
    fn annotations(
        &self,
        base: &Base<'_>,
        base_count: usize,
        labels: &BTreeMap<String, Decided<String>>,
    ) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (BASE_LAYERS_ANNOTATION.to_owned(), base_count.to_string()),
            (ABI_ANNOTATION.to_owned(), self.abi().to_string()),
            (
                SETTINGS_ANNOTATION.to_owned(),
                self.base_settings(labels).to_text(),
            ),
        ]);
        match base {
            Base::Packages { debs, .. } => {
                annotations.insert(BASE_PACKAGES_ANNOTATION.to_owned(), debs.versions());
            }
            Base::Image(image) => annotations.extend(image.annotations()),
        }
        let asked = self.plan.annotations.iter();
        annotations.extend(asked.map(|(name, asked)| (name.clone(), asked.value.clone())));
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if !built.is_empty() {
            let lines = built.iter().map(|(key, wheel)| format!("{key} {wheel}"));
            let lines: Vec<String> = lines.collect();
            annotations.insert(BUILT_ANNOTATION.to_owned(), lines.join("\n"));
        }
        annotations
    }

    /// What of the config another base would give otherwise.
    fn base_settings(&self, labels: &BTreeMap<String, Decided<String>>) -> BaseSettings {
        let names = self.plan.environment.of_builder();
        let labels = labels
            .iter()
            .filter(|(_, label)| matches!(label.origin, ValueOrigin::Builder { .. }));
        BaseSettings {
            env: names.map(str::to_owned).collect(),
            labels: labels.map(|(name, _)| name.clone()).collect(),
        }
    }

    fn run_config(&self, labels: &BTreeMap<String, Decided<String>>) -> RunConfig {
        let plan = self.plan;
        RunConfig {
            user: Some(plan.user.value.clone()),
            exposed_ports: plan
                .ports
                .value
                .iter()
                .map(|port| (format!("{port}/tcp"), crate::oci::EmptyObject {}))
                .collect(),
            env: plan
                .environment
                .image()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            entrypoint: crate::image::entrypoint(
                &self.builder.entrypoint,
                plan.start.notes.processes.is_some(),
            ),
            cmd: Some(plan.command.value.clone()),
            working_dir: Some(plan.working_directory.to_owned()),
            labels: labels
                .iter()
                .map(|(name, label)| (name.clone(), label.value.clone()))
                .collect(),
            ..RunConfig::default()
        }
    }
}
