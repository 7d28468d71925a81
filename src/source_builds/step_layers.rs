//! Layers that come of running code of the project over the image: what its commands and `collectstatic`
//! write (see `project_steps`), and what its own assemble script leaves. Known by all that lay beneath, so that
//! nothing is run twice for the same input.

use std::collections::BTreeMap;

use super::image_metadata;
use super::staged_source::StagedSource;
use super::step_runner::{StepCommand, StepError, StepRoot, StepRunner, USER};
use super::toolchain::Toolchain;
use crate::archive::tar::CompressionEffort;
use crate::context::build_context::Context;
use crate::image::labels_noted;
use crate::layer_cache::{BuiltLayer, LayerRecipe};
use crate::layers::changes::{self, LayerChange, PathChange};
use crate::layers::notes::LayerNotes;
use crate::oci::{Key, KeyBuilder};
use crate::report::{BuildError, Event};
use crate::sandbox::{self, ChangeKind, StepFilesystem, StepMount};

/// The record kind of steps that changed nothing: the labels that they ask for.
const RECORD: &str = "unchanged";
/// The only part of a root whose changes reach an image.
const KEPT: &[u8] = b"opt/app-root/";
/// What steps may write to without a word about it being lost.
const SCRATCH: [&str; 7] = ["tmp", "run", "build", "dev", "proc", "var/tmp", "etc"];
/// How to do without the script.
const NO_ASSEMBLE: &str =
    "remove .s2i/bin/assemble, or list it in .s2iignore, to build with s2r's own steps";

/// What a step left for the image.
#[derive(Debug, Default)]
pub(crate) struct StepOutcome {
    /// The layer of what it changed, if it changed anything.
    pub layer: Option<BuiltLayer>,
    /// The labels that it asks for.
    pub labels: BTreeMap<String, String>,
}

impl From<BuiltLayer> for StepOutcome {
    fn from(layer: BuiltLayer) -> Self {
        Self {
            labels: labels_noted(&layer.layer.annotations),
            layer: Some(layer),
        }
    }
}

/// The layers that a step finds.
#[derive(Clone, Copy)]
pub(crate) struct LowerLayers<'a> {
    pub layers: &'a [BuiltLayer],
    /// How each of them is made, in any order.
    pub recipes: &'a [&'a LayerRecipe<'a>],
    /// How many of them are the base's.
    pub base_count: usize,
}

/// Runs the project's own assemble script in the builder's file system.
///
/// # Errors
/// It fails; there is no sandbox.
pub(crate) fn assemble(
    context: &Context<'_>,
    toolchain: &Toolchain,
    below: LowerLayers<'_>,
) -> Result<StepOutcome, BuildError> {
    let contents = context.contents()?.key();
    let beneath = KeyBuilder::new("assemble-input/1")
        .field(contents.as_bytes())
        .field(toolchain.key.as_bytes())
        .finish();
    let key = key("assemble/2", below.layers, beneath.as_bytes(), context);
    if let Some(known) = known(context, &key, below.layers.len())? {
        return Ok(known);
    }
    if context.is_bare() {
        return Err(StepError::Placed {
            step: "the project's .s2i/bin/assemble".to_owned(),
            instead: NO_ASSEMBLE.to_owned(),
            needs: "an assemble script names /tmp/src and /opt/app-root/src itself, and there s2r can put nothing without mounts",
        }
        .into());
    }
    let staged = StagedSource::new(context.store, context.tree(), "src")?;
    let mut lower = toolchain.roots(context)?.to_vec();
    lower.extend(context.lower_folders(&below.layers[below.base_count..], below.recipes)?);
    let place = StepRoot::new(context.store, lower)?;
    let metadata = context.store.temp_folder("metadata-")?;
    let mounts = [
        (staged.root().join("src"), "/tmp/src"),
        (staged.root().join("src/.s2i/bin"), "/tmp/scripts"),
        (metadata.path().to_owned(), image_metadata::FOLDER),
    ];
    let mounts = mounts.map(|(from, to)| StepMount {
        from,
        to: to.to_owned(),
        is_writable: true,
    });
    let mut environment = environment(context);
    environment.extend(context.build_variables());
    StepRunner {
        context,
        report: context.report,
    }
    .run(
        &place.root,
        &StepCommand {
            title: "assemble",
            command: &["/tmp/scripts/assemble"],
            place: None,
            directory: "/opt/app-root/src",
            user: USER,
            environment,
            mounts: mounts.to_vec(),
            has_network: true,
            instead: NO_ASSEMBLE,
        },
    )?;
    let layer = ChangesLayer {
        context,
        key: &key,
        step: "assemble",
        index: below.layers.len(),
        is_left_out: &|_| false,
    };
    layer.of(&place.root, image_metadata::labels(metadata.path())?)
}

/// Names a step's layer by what lay beneath it and what it was told.
pub(super) fn key(
    domain: &'static str,
    below: &[BuiltLayer],
    input: &[u8],
    context: &Context<'_>,
) -> Key {
    let mut key = KeyBuilder::new(domain).field(input);
    for made in below {
        key.add(made.layer.diff_id.to_string().as_bytes());
    }
    for (name, value) in environment(context) {
        key.add(name.as_bytes());
        key.add(value.as_bytes());
    }
    key.add(&context.epoch_seconds().to_le_bytes());
    key.finish()
}

/// The image's environment, as a container has it, and what is set for the build alone.
pub(super) fn environment(context: &Context<'_>) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> =
        context.plan.environment.image().into_iter().collect();
    environment.insert("VIRTUAL_ENV".to_owned(), "/opt/app-root".to_owned());
    if let Some(path) = environment.get_mut("PATH") {
        *path = format!("/opt/app-root/bin:{path}");
    }
    environment
}

/// What is known of a step that ran before.
pub(super) fn known(
    context: &Context<'_>,
    key: &Key,
    index: usize,
) -> Result<Option<StepOutcome>, BuildError> {
    if let Some(labels) = context.store.record(RECORD, key)? {
        return Ok(Some(StepOutcome {
            layer: None,
            labels: serde_json::from_slice(&labels).unwrap_or_default(),
        }));
    }
    // Tests stand on it, for which a registry's word is not enough.
    let layer = if context.has_tests() {
        context.stored_layer(key, "changes", index)
    } else {
        context.known_layer(key, "changes", index)
    };
    Ok(layer.map(StepOutcome::from))
}

/// A change as a layer has it.
pub(crate) fn of_layer(change: sandbox::RootChange) -> LayerChange {
    LayerChange {
        path: change.path,
        mode: change.mode,
        file: change.file,
        kind: match change.kind {
            ChangeKind::Folder { is_opaque } => PathChange::Folder { is_opaque },
            ChangeKind::File { size_bytes } => PathChange::File { size_bytes },
            ChangeKind::Link { target } => PathChange::Link { target },
            ChangeKind::Removed => PathChange::Removed,
        },
    }
}

/// The layer of what a step changes below the virtual environment.
pub(super) struct ChangesLayer<'a> {
    pub context: &'a Context<'a>,
    pub key: &'a Key,
    /// What users call the step.
    pub step: &'static str,
    /// Its place in the image.
    pub index: usize,
    /// Whether a path stays out, though it is below the virtual environment.
    pub is_left_out: &'a dyn Fn(&[u8]) -> bool,
}

impl ChangesLayer<'_> {
    pub(super) fn of(
        &self,
        root: &StepFilesystem,
        labels: BTreeMap<String, String>,
    ) -> Result<StepOutcome, BuildError> {
        let kept = self.kept(root)?;
        if !kept
            .iter()
            .any(|change| !matches!(change.kind, PathChange::Folder { .. }))
        {
            let noted = serde_json::to_vec(&labels).unwrap_or_default();
            self.context.store.put_record(RECORD, self.key, &noted)?;
            return Ok(StepOutcome {
                layer: None,
                labels,
            });
        }
        let recipe = LayerRecipe {
            key: *self.key,
            contents: "changes".to_owned(),
            effort: CompressionEffort::Usual,
            needs: Vec::new(),
            is_of_source: true,
            write: Box::new(move |tar| {
                changes::write(&kept, tar)?;
                Ok(LayerNotes {
                    labels: labels.clone(),
                    ..LayerNotes::default()
                })
            }),
        };
        let made = self.context.make(&[recipe], self.index)?.layers.pop();
        Ok(made.map(StepOutcome::from).unwrap_or_default())
    }

    /// What gets into the image; what else was written is told.
    fn kept(&self, root: &StepFilesystem) -> Result<Vec<LayerChange>, BuildError> {
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        for change in sandbox::changes(root)? {
            if change.path.starts_with(KEPT) {
                if !(self.is_left_out)(&change.path) {
                    kept.push(of_layer(change));
                }
            } else if !matches!(change.kind, ChangeKind::Folder { .. }) {
                let path = String::from_utf8_lossy(&change.path).into_owned();
                if !SCRATCH.iter().any(|scratch| path.starts_with(scratch)) {
                    lost.push(path);
                }
            }
        }
        if let Some(first) = lost.first() {
            self.context.report.event(Event::Warning {
                text: format!(
                    "{} wrote {} files outside /opt/app-root, such as /{first}; they are not in the image",
                    self.step,
                    lost.len()
                ),
                hint: "an image's own user could not have written there".to_owned(),
            });
        }
        Ok(kept)
    }
}
