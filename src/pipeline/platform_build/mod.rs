//! One platform of an image: its packages, its wheels, its layers, its documents.
//!
//! - `configure`: generators of Debian packages
//! - `implied_packages`: Debian packages that come by themselves
//! - `needs`: what files of the image need and it has not
//! - `tests`: the project's tests upon the finished layers
//! - `upper_layers`: the planned layers above the base
//! - `assembly`: config and manifest

mod assembly;
mod configure;
mod implied_packages;
mod needs;
mod tests;
mod upper_layers;

use crate::bytecode;
use crate::oci::Descriptor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::debian_packages::DebianPackages;
use crate::base::image_base::Base;
use crate::bytecode::BytecodeCompiler;
use crate::context::build_context::Context;
use crate::context::cross_platform::{ForeignStep, is_foreign, refused};
use crate::context::stage_clock::{StageClock, join};
use crate::layer_cache::{BuiltLayer, LayerBatch, LayerRecipe};
use crate::oci::{Architecture, Platform};
use crate::packages::debian::DebArtefact;
use crate::packages::python::WheelTarget;
use crate::packages::python::conditions::ResolutionRules;
use crate::plan::LayerKind;
use crate::report::{BuildError, BuildStage, LayerStatus};
use crate::resolve::wheels::WheelLock;
use crate::source_builds::build_root::BuildRoot;
use crate::source_builds::project_steps::ProjectSteps;
use crate::source_builds::step_layers;
use crate::source_builds::step_layers::{LowerLayers, StepOutcome};
use crate::source_builds::toolchain::Toolchain;
use crate::wheel_resolution::resolver;
use assembly::FinishedLayers;
use upper_layers::UpperLayers;

/// What one platform's image is made of, exactly.
pub(super) struct ResolvedPlatform {
    pub packages: DebianPackages,
    /// What was added to them to build wheels; none where none was built.
    pub build_packages: Vec<DebArtefact>,
    pub target: WheelTarget,
    pub wheels: WheelLock,
}

impl Context<'_> {
    /// Builds one platform: resolves, unless that was done before, makes layers, writes config and manifest into the store.
    pub(super) fn build(
        &self,
        platform: Platform,
        foreseen: Option<(Base<'_>, WheelLock)>,
        stages: &StageClock<'_>,
    ) -> Result<BuiltPlatform, BuildError> {
        let architecture = platform.architecture;
        let (base, lock) = self.base_and_lock(platform, foreseen, stages)?;
        let build_root = BuildRoot::new(self, architecture, &base);
        // The base is made while the wheels are being resolved: neither waits for the other, unless
        // a wheel has to be built upon the base.
        let (base_layers, lock, contents) = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let made = stages.run(BuildStage::Base, || self.complete_base(&base), describe);
                build_root.stand_on(made.as_ref().ok().map(|batch| batch.layers.as_slice()));
                made
            });
            let contents = scope.spawn(|| self.contents());
            let lock = lock.map_or_else(
                || {
                    let find = || self.wheels(self.target(architecture, &base), &build_root);
                    stages.run(BuildStage::Resolve, find, |lock| {
                        format!("{} wheels", lock.packages.len())
                    })
                },
                Ok,
            );
            if lock.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            (join(making), lock, join(contents))
        });
        let base_layers = base_layers?;
        // Where both failed, one of them was merely stopped.
        let (lock, mut layers) = match (lock, base_layers) {
            (Ok(lock), batch) => (lock, batch?.layers),
            (Err(stopped), Err(error)) if stopped.is_stopped() => return Err(error),
            (Err(error), _) => return Err(error),
        };
        let contents = contents??;
        contents.warn(self.report);
        self.check_start(&lock)?;
        let complete = self.base_for(&base, &lock)?;
        if let Some(complete) = &complete {
            layers = self.extended_base(&layers, complete, stages)?;
        }
        let base = complete.as_ref().unwrap_or(&base);
        let base_count = layers.len();
        let compiler = self.compiler(base)?;
        let upper = UpperLayers::new(self, &lock, base, &contents, compiler.as_ref());
        let upper = upper.recipes()?;
        let made = stages.run(
            BuildStage::Layers,
            || self.make(&upper, base_count),
            describe,
        )?;
        layers.extend(made.layers);
        let compiled = compiler
            .as_ref()
            .map(BytecodeCompiler::totals)
            .unwrap_or_default();
        self.tell_needs(&layers);
        let base_recipes = self.base_recipes(base)?;
        let recipes: Vec<&LayerRecipe<'_>> = base_recipes.iter().chain(&upper).collect();
        self.verify(&layers, &recipes)?;
        let below = LowerLayers {
            layers: &layers,
            recipes: &recipes,
            base_count,
        };
        let left = self.left_by_project((&build_root, &lock), below, stages)?;
        let target = || self.target(architecture, base);
        self.test((&build_root, &lock), (below, &left), &target, stages)?;
        layers.extend(left.layer);
        let library = usize::from(self.plan.has_layer(LayerKind::LibraryBytecode));
        stages.run(
            BuildStage::Image,
            || {
                let finished = FinishedLayers {
                    layers,
                    base_count: base_count + library,
                    labels: left.labels,
                };
                let built = self.assemble(platform, base, finished)?;
                Ok(BuiltPlatform { compiled, ..built })
            },
            |built| built.descriptor.digest.to_string(),
        )
    }

    /// What could not start because of what is installed.
    fn check_start(&self, lock: &WheelLock) -> Result<(), BuildError> {
        if self.plan.running.assemble.value {
            return Ok(());
        }
        let installed = lock.packages.iter();
        let installed = installed.map(|wheel| (wheel.name.as_ref(), wheel.version.to_string()));
        Ok(self.plan.start.check(installed)?)
    }

    /// The base of a platform, and its wheels if they were resolved before.
    fn base_and_lock<'b>(
        &'b self,
        platform: Platform,
        foreseen: Option<(Base<'b>, WheelLock)>,
        stages: &StageClock<'_>,
    ) -> Result<(Base<'b>, Option<WheelLock>), BuildError> {
        if let Some((base, lock)) = foreseen {
            return Ok((base, Some(lock)));
        }
        let find = || self.resolve_base(platform);
        let base = stages.run(BuildStage::Resolve, find, Base::title)?;
        Ok((base, None))
    }

    /// What code of the project leaves that runs over the finished layers: the plan's last layer, if it is such a one.
    fn left_by_project(
        &self,
        (build_root, lock): (&BuildRoot<'_>, &WheelLock),
        below: LowerLayers<'_>,
        stages: &StageClock<'_>,
    ) -> Result<StepOutcome, BuildError> {
        let assemble = || step_layers::assemble(self, &*build_root.full(&[])?, below);
        let change = || self.changes(build_root, below, lock);
        let run: &dyn Fn() -> Result<StepOutcome, BuildError> =
            match self.plan.layers.last().map(|layer| layer.kind) {
                Some(LayerKind::Assembled) => &assemble,
                Some(LayerKind::Changes) if self.changes_something(lock) => &change,
                _ => return Ok(StepOutcome::default()),
            };
        let describe = |left: &StepOutcome| describe_changes(left.layer.as_ref());
        stages.run(BuildStage::Build, run, describe)
    }

    /// Whether a step of the project runs over the finished layers.
    fn changes_something(&self, lock: &WheelLock) -> bool {
        !self.plan.running.commands.is_empty() || self.collects(lock)
    }

    /// What the commands of `build` and `collectstatic` leave.
    fn changes(
        &self,
        build_root: &BuildRoot<'_>,
        below: LowerLayers<'_>,
        lock: &WheelLock,
    ) -> Result<StepOutcome, BuildError> {
        let Some((source, layers)) = below.layers.split_last() else {
            return Ok(StepOutcome::default());
        };
        let toolchain = self.toolchain_of_commands(build_root)?;
        ProjectSteps {
            context: self,
            commands: &self.plan.running.commands,
            toolchain: toolchain.as_deref(),
            collects: self.collects(lock),
        }
        .run(LowerLayers { layers, ..below }, source)
    }

    /// What the commands of `build` find besides the image. Compilers are large, so that they come only where the
    /// project names packages to build with.
    fn toolchain_of_commands(
        &self,
        build_root: &BuildRoot<'_>,
    ) -> Result<Option<Arc<Toolchain>>, BuildError> {
        let has_commands = !self.plan.running.commands.is_empty();
        let asks = has_commands && self.plan.packages.has_build_of_project();
        asks.then(|| build_root.full(&[])).transpose()
    }

    /// Whether static files are collected.
    fn collects(&self, lock: &WheelLock) -> bool {
        self.plan.running.collectstatic.value && has_django(lock)
    }

    /// Has all layers of a platform that do not depend on the source, bottom up.
    ///
    /// # Errors
    /// As a build's.
    pub(super) fn make_lasting(&self, platform: Platform) -> Result<Vec<BuiltLayer>, BuildError> {
        let base = self.resolve_base(platform)?;
        let build_root = BuildRoot::new(self, platform.architecture, &base).alone();
        let target = self.target(platform.architecture, &base);
        let lock = self.wheels(target, &build_root)?;
        let complete = self.base_for(&base, &lock)?;
        let base = complete.as_ref().unwrap_or(&base);
        let mut layers = self.complete_base(base)?.layers;
        let compiler = self.compiler(base)?;
        let contents = self.contents()?;
        let upper = UpperLayers::new(self, &lock, base, &contents, compiler.as_ref());
        let upper = upper.recipes()?;
        let lasting: Vec<&LayerRecipe<'_>> = upper.iter().filter(|one| !one.is_of_source).collect();
        layers.extend(self.make_own(&lasting)?);
        Ok(layers)
    }

    /// The exact packages and wheels of one platform, for a lock.
    pub(super) fn resolve(
        &self,
        architecture: Architecture,
    ) -> Result<ResolvedPlatform, BuildError> {
        let base = self.resolve_base(Platform { architecture })?;
        let target = self.target(architecture, &base);
        let build_root = BuildRoot::new(self, architecture, &base).alone();
        let wheels = self.wheels(target, &build_root)?;
        let complete = self.base_for(&base, &wheels)?;
        if build_root.foreign().is_none() {
            self.toolchain_of_commands(&build_root)?;
        }
        Ok(ResolvedPlatform {
            build_packages: build_root.build_packages(),
            packages: complete.as_ref().unwrap_or(&base).debs(),
            target,
            wheels,
        })
    }

    /// The exact wheels, those that have to be built among them.
    pub(super) fn wheels(
        &self,
        target: WheelTarget,
        build_root: &BuildRoot<'_>,
    ) -> Result<WheelLock, BuildError> {
        if self.plan.running.assemble.value {
            return Ok(WheelLock::default());
        }
        let none = ResolutionRules::default();
        let exact = resolver::WheelResolver {
            context: self,
            build_root,
            target: &target,
            conditions: &none,
            of_build: None,
        };
        let conditions = exact.find_conditions()?;
        resolver::WheelResolver {
            conditions: &conditions,
            ..exact
        }
        .wheels()
    }
}

/// Whether Django is among the wheels.
pub(super) fn has_django(lock: &WheelLock) -> bool {
    lock.packages
        .iter()
        .any(|wheel| wheel.name.as_ref() == "django")
}

/// What came of running code of the project.
fn describe_changes(made: Option<&BuiltLayer>) -> String {
    match made.map(|made| made.status) {
        None => "nothing changed".to_owned(),
        Some(LayerStatus::Made) => "changes made".to_owned(),
        Some(LayerStatus::Reused | LayerStatus::Remote | LayerStatus::Believed) => {
            "changes reused".to_owned()
        }
    }
}

/// What came of a batch of layers.
fn describe(batch: &LayerBatch) -> String {
    let made = batch
        .layers
        .iter()
        .filter(|made| made.status == LayerStatus::Made)
        .count();
    let mut text = format!("{made} made, {} reused", batch.layers.len() - made);
    if batch.fetched.files > 0 {
        text.push_str(&format!("; {} files fetched", batch.fetched.files));
    }
    if batch.fetched.bytes > 0 {
        // Tenths of a million in whole numbers.
        let tenths = batch.fetched.bytes / 100_000;
        text.push_str(&format!(", {}.{} MB", tenths / 10, tenths % 10));
    }
    text
}

/// What a foreign platform's image is made of, found before anything is built.
pub(super) type PreflightBases<'a> = BTreeMap<Platform, (Base<'a>, WheelLock)>;

impl<'a> Context<'a> {
    /// Resolves the foreign platforms, before anything is fetched for any platform.
    ///
    /// # Errors
    /// What keeps them from being resolved; something would have to run there.
    pub(super) fn preflight(
        &self,
        stages: &StageClock<'_>,
    ) -> Result<PreflightBases<'a>, BuildError> {
        let mut foreseen = PreflightBases::new();
        for &platform in &self.plan.platforms.value {
            let architecture = platform.architecture;
            if !is_foreign(architecture) {
                continue;
            }
            let base = stages.run(
                BuildStage::Resolve,
                || self.resolve_base(platform),
                Base::title,
            )?;
            let lock = stages.run(
                BuildStage::Resolve,
                || {
                    let build_root = BuildRoot::new(self, architecture, &base);
                    self.wheels(self.target(architecture, &base), &build_root)
                },
                |lock| format!("{} wheels", lock.packages.len()),
            )?;
            if self.plan.running.collectstatic.value && has_django(&lock) {
                return Err(refused(architecture, vec![ForeignStep::CollectStatic]));
            }
            foreseen.insert(platform, (base, lock));
        }
        Ok(foreseen)
    }
}

/// One platform of a built image.
#[derive(Debug)]
pub(crate) struct BuiltPlatform {
    pub platform: Platform,
    pub descriptor: Descriptor,
    /// Its layers, base first.
    pub layers: Vec<BuiltLayer>,
    /// What compiling came to.
    pub compiled: bytecode::CompileTotals,
}
