//! What of the project runs over the image's finished layers: the commands of `build`, in their order, and
//! `collectstatic` after them. What they write is one layer, known by their input: the layers below, the source,
//! the commands, the packages to build with, the variables.

use std::collections::BTreeMap;

use super::staged_source::{SOURCE, StagedSource};
use super::step_layers::{self, ChangesLayer, LowerLayers, StepOutcome};
use super::step_runner::{
    self, StepCommand, StepError, StepRoot, StepRunner, USER, bare_key, how, is_success,
};
use super::toolchain::Toolchain;
use crate::context::build_context::Context;
use crate::layer_cache::BuiltLayer;
use crate::oci::{Key, KeyBuilder};
use crate::plan::{BuildCommand, Decided, manage_py};
use crate::report::{BuildError, Event};
use crate::sandbox::StepFilesystem;
use crate::source::SourceTree;

/// The virtual environment's Python.
const PYTHON: &str = "/opt/app-root/bin/python";
/// What users call the commands of `build`.
const COMMANDS: &str = "build";
const NO_COMMANDS: &str = "write `{run: COMMAND, network: true}` for a command that needs the network, or take it out of `build`";
/// Where programs keep what they could fetch again: the image has no use for it.
const CACHES: [(&str, &str); 2] = [
    ("XDG_CACHE_HOME", "/tmp/cache"),
    ("npm_config_cache", "/tmp/cache/npm"),
];

/// What users call the last step, and how to do without it.
const COLLECTSTATIC: &str = "collectstatic";
const COLLECT: [&str; 4] = [PYTHON, "manage.py", COLLECTSTATIC, "--noinput"];
const DRY_RUN: [&str; 5] = [PYTHON, "manage.py", COLLECTSTATIC, "--dry-run", "--noinput"];
const NO_COLLECTSTATIC: &str =
    "set DISABLE_COLLECTSTATIC, and collect static files before the build or at start";

/// What runs over the layers.
#[derive(Clone, Copy)]
pub(crate) struct ProjectSteps<'a> {
    pub context: &'a Context<'a>,
    pub commands: &'a [Decided<BuildCommand>],
    /// The packages that the commands find besides the image's, where the project names some.
    pub toolchain: Option<&'a Toolchain>,
    pub collects: bool,
}

impl ProjectSteps<'_> {
    /// Runs the steps, unless it is known what comes of them.
    ///
    /// # Errors
    /// One fails, `collectstatic` only where its dry run did not; there is no sandbox.
    pub(crate) fn run(
        &self,
        below: LowerLayers<'_>,
        source: &BuiltLayer,
    ) -> Result<StepOutcome, BuildError> {
        let context = self.context;
        let index = below.layers.len() + 1;
        let key_of = |steps: &Self| {
            let key = steps.key(below.layers, source);
            if context.is_bare() {
                bare_key(&key)
            } else {
                key
            }
        };
        let sandboxed = self.key(below.layers, source);
        let own = key_of(self);
        for key in [&sandboxed, &own] {
            if let Some(known) = step_layers::known(context, key, index)? {
                return Ok(known);
            }
        }
        let (first, instead) = match self.commands {
            [] => (COLLECTSTATIC, NO_COLLECTSTATIC),
            [..] => (COMMANDS, NO_COMMANDS),
        };
        step_runner::allowed(context, first, instead)?;
        self.check_network()?;
        let staged = StagedSource::code(context.store, context.tree(), SOURCE)?;
        let mut folders = self.folders(below)?;
        folders.push(staged.root());
        let place = StepRoot::new(context.store, folders.clone())?;
        for command in self.commands {
            self.command(&place.root, command)?;
        }
        let collected = match self.commands {
            _ if !self.collects => true,
            // A dry run may write too, and nothing has to be kept from it.
            [] => {
                let dry = StepRoot::new(context.store, folders)?;
                self.collect(&dry.root, &place.root)?
            }
            [..] => self.collect(&place.root, &place.root)?,
        };
        let without = Self {
            collects: false,
            ..*self
        };
        // What was not collected is tried again, and told again.
        let key = if collected { own } else { key_of(&without) };
        if !collected && self.commands.is_empty() {
            return Ok(StepOutcome::default());
        }
        let tree = context.tree();
        ChangesLayer {
            context,
            key: &key,
            step: first,
            index,
            is_left_out: &|path| !self.commands.is_empty() && is_of_node_modules(tree, path),
        }
        .of(&place.root, BTreeMap::new())
    }

    /// Names the steps' layer.
    fn key(&self, below: &[BuiltLayer], source: &BuiltLayer) -> Key {
        let source = source.layer.key;
        let key = step_layers::key("collectstatic/1", below, source.as_bytes(), self.context);
        if self.commands.is_empty() {
            return key;
        }
        let mut key = KeyBuilder::new("build-commands/1").field(key.as_bytes());
        key.add(&[u8::from(self.collects)]);
        for command in self.commands {
            key.add(command.value.command.as_bytes());
            key.add(&[u8::from(command.value.has_network)]);
        }
        if let Some(toolchain) = self.toolchain {
            key.add(toolchain.key.as_bytes());
        }
        for (name, value) in self.context.build_variables() {
            key.add(name.as_bytes());
            key.add(value.as_bytes());
        }
        key.finish()
    }

    /// What the steps stand on, the lowest first: the image, and the packages to build with below what the image
    /// has above its base.
    fn folders(&self, below: LowerLayers<'_>) -> Result<Vec<std::path::PathBuf>, BuildError> {
        let context = self.context;
        // Without isolation the base is where s2r stands.
        let own = if context.is_bare() {
            below.base_count
        } else {
            0
        };
        let image = context.lower_folders(&below.layers[own..], below.recipes)?;
        let Some(toolchain) = self.toolchain else {
            return Ok(image);
        };
        let mut folders = toolchain.roots(context)?.to_vec();
        for folder in image {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Ok(folders)
    }

    /// Whether all commands can have what they ask for.
    fn check_network(&self) -> Result<(), StepError> {
        let is_offline = self.context.settings.rules.offline;
        let mut commands = self.commands.iter();
        match commands.find(|one| is_offline && one.value.has_network) {
            None => Ok(()),
            Some(command) => Err(StepError::Offline {
                command: format!("{}: {}", command.origin, command.value.command),
            }),
        }
    }

    fn command(
        &self,
        root: &StepFilesystem,
        command: &Decided<BuildCommand>,
    ) -> Result<(), BuildError> {
        let context = self.context;
        let mut environment = step_layers::environment(context);
        environment.extend(CACHES.map(|(name, place)| (name.to_owned(), place.to_owned())));
        environment.extend(context.build_variables());
        let steps = StepRunner {
            context,
            report: context.report,
        };
        steps.run(
            root,
            &StepCommand {
                title: COMMANDS,
                command: &["/bin/sh", "-c", &command.value.command],
                place: Some(&command.origin),
                directory: "/opt/app-root/src",
                user: USER,
                environment,
                mounts: Vec::new(),
                has_network: command.value.has_network,
                instead: NO_COMMANDS,
            },
        )?;
        Ok(())
    }

    /// Runs `collectstatic`; whether its dry run went well.
    fn collect(&self, dry: &StepFilesystem, root: &StepFilesystem) -> Result<bool, BuildError> {
        let context = self.context;
        let manage = manage_py(&context.plan.environment);
        let home = manage.strip_suffix("manage.py").unwrap_or_default();
        let directory = format!("/{SOURCE}/{home}");
        let directory = directory.trim_end_matches('/');
        let order = |command: &'static [&'static str]| StepCommand {
            title: COLLECTSTATIC,
            command,
            place: None,
            directory,
            user: USER,
            environment: step_layers::environment(context),
            mounts: Vec::new(),
            has_network: false,
            instead: NO_COLLECTSTATIC,
        };
        if !can_collect(context, dry, &order(&DRY_RUN))? {
            return Ok(false);
        }
        let steps = StepRunner {
            context,
            report: context.report,
        };
        steps.run(root, &order(&COLLECT))?;
        Ok(true)
    }
}

/// Whether a dry run goes well. One that does not is told, and is no fault of the build: s2i's images
/// go on without static files too.
fn can_collect(
    context: &Context<'_>,
    root: &StepFilesystem,
    dry_run: &StepCommand<'_>,
) -> Result<bool, BuildError> {
    let steps = StepRunner {
        context,
        report: &crate::report::SilentReport,
    };
    let ended = steps.try_run(root, dry_run)?;
    if !is_success(&ended) {
        context.report.event(Event::Warning {
            text: format!(
                "static files are not collected: `manage.py collectstatic --dry-run` in {}: {}\n{}",
                dry_run.directory,
                how(&ended, &context.settings.running.limits),
                ended.last_lines.join("\n")
            ),
            hint: "mend it (settings that exist at run time only are the usual cause), or set DISABLE_COLLECTSTATIC to silence this".to_owned(),
        });
        return Ok(false);
    }
    Ok(true)
}

/// Whether a path of the image is at or below a `node_modules` beside a `package.json` of the source. Node's
/// packages serve the build; what is to be served of them, a command copies or bundles.
fn is_of_node_modules(tree: &SourceTree, path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(SOURCE.as_bytes()) else {
        return false;
    };
    let mut folder = Vec::new();
    for part in path.split(|&byte| byte == b'/').skip(1) {
        if part == b"node_modules" {
            return tree
                .find(&[folder.as_slice(), b"package.json"].concat())
                .is_some();
        }
        folder.extend_from_slice(part);
        folder.push(b'/');
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{folder, tree};

    #[test]
    fn packages_of_node_stay_out_where_the_source_asks_for_them() {
        let folder = folder(&[
            ("package.json", "{}"),
            ("ui/package.json", "{}"),
            ("docs/a.md", ""),
        ]);
        let tree = tree(&folder);
        for (path, expected) in [
            ("opt/app-root/src/node_modules", true),
            ("opt/app-root/src/node_modules/a/b.js", true),
            ("opt/app-root/src/ui/node_modules/a", true),
            ("opt/app-root/src/docs/node_modules/a", false),
            ("opt/app-root/src/static/app.js", false),
            ("opt/app-root/src/my_node_modules/a", false),
            ("opt/app-root/lib/node_modules/a", false),
        ] {
            assert_eq!(
                is_of_node_modules(&tree, path.as_bytes()),
                expected,
                "{path}"
            );
        }
    }
}
