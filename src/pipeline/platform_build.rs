//! One platform of an image: its packages, its wheels, its layers, its documents.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::build::BuiltPlatform;
use crate::base::debian_packages::Debs;
use crate::base::image_base::Foundation;
use crate::bytecode::Compiler;
use crate::context::build_context::Site;
use crate::context::cross_platform::{Step, is_foreign, refused};
use crate::context::stage_clock::{Stages, join};
use crate::layer_cache::{Batch, Made, Recipe};
use crate::layers::wheel;
use crate::oci::{Architecture, Platform};
use crate::packages::debian::DebArtefact;
use crate::packages::python::Target;
use crate::packages::python::conditions::Conditions;
use crate::report::{BuildError, LayerFate, Stage};
use crate::resolve::wheels::Lock;
use crate::source_builds::build_root::Ground;
use crate::source_builds::step_layers as changes;
use crate::source_builds::step_layers::Below;
use crate::wheel_resolution::resolver as exact;

/// What one platform's image is made of, exactly.
pub(super) struct Resolved {
    pub packages: Debs,
    /// What was added to them to build wheels; none where none was built.
    pub build_packages: Vec<DebArtefact>,
    pub target: Target,
    pub wheels: Lock,
}

impl Site<'_> {
    /// Builds one platform: resolves, unless that was done before, makes layers, writes config and manifest into the store.
    pub(super) fn build(
        &self,
        platform: Platform,
        foreseen: Option<(Foundation<'_>, Lock)>,
        stages: &Stages<'_>,
    ) -> Result<BuiltPlatform, BuildError> {
        let architecture = platform.architecture;
        let (foundation, lock) = if let Some((foundation, lock)) = foreseen {
            (foundation, Some(lock))
        } else {
            let find = || self.foundation(platform);
            let found = stages.run(Stage::Resolve, find, Foundation::title)?;
            (found, None)
        };
        let ground = Ground::new(self, architecture, &foundation);
        let tree = &self.project.tree;
        // The base is made while the wheels are being resolved: neither waits for the other, unless
        // a wheel has to be built upon the base.
        let (base_layers, lock, contents) = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let made = stages.run(Stage::Base, || self.complete_base(&foundation), describe);
                ground.stand_on(made.as_ref().ok().map(|batch| batch.layers.as_slice()));
                made
            });
            let contents = scope.spawn(|| tree.contents());
            let lock = lock.map_or_else(
                || {
                    let find = || self.wheels(self.target(architecture, &foundation), &ground);
                    stages.run(Stage::Resolve, find, |lock| {
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
            (Ok(lock), base) => (lock, base?.layers),
            (Err(stopped), Err(base)) if stopped.is_stopped() => return Err(base),
            (Err(error), _) => return Err(error),
        };
        let contents = contents??;
        contents.warn(self.report);
        if !self.plan.running.assemble.value {
            let installed = lock.packages.iter();
            let installed = installed.map(|wheel| (wheel.name.as_ref(), wheel.version.to_string()));
            self.plan.start.check(installed)?;
        }
        let base_count = layers.len();
        let compiler = self.compiler(&foundation)?;
        let places = self.places(compiler.as_ref());
        let upper = self.upper((&lock, &foundation), &places, &contents, compiler.as_ref())?;
        let made = stages.run(Stage::Layers, || self.make(&upper, base_count), describe)?;
        layers.extend(made.layers);
        let compiled = compiler.as_ref().map(Compiler::totals).unwrap_or_default();
        self.tell_needs(&layers);
        let base = self.base_recipes(&foundation)?;
        let recipes: Vec<&Recipe<'_>> = base.iter().chain(&upper).collect();
        self.verify(&layers, &recipes)?;
        if self.runs_last(&lock) {
            let below = Below {
                layers: &layers,
                recipes: &recipes,
                base_count,
            };
            let changes = stages.run(
                Stage::Build,
                || self.changes(&ground, below, &lock),
                |made| describe_changes(made.as_ref()),
            )?;
            layers.extend(changes);
        }
        let library = usize::from(compiler.is_some() && self.compiles_library());
        stages.run(
            Stage::Image,
            || {
                let layers = (layers, base_count + library);
                let built = self.assemble(platform, &foundation, layers)?;
                Ok(BuiltPlatform { compiled, ..built })
            },
            |built| built.descriptor.digest.to_string(),
        )
    }

    /// Whether code of the project runs over the finished layers.
    fn runs_last(&self, lock: &Lock) -> bool {
        let running = &self.plan.running;
        running.assemble.value || (running.collectstatic.value && has_django(lock))
    }

    /// The layer of what code of the project changes.
    fn changes(
        &self,
        ground: &Ground<'_>,
        below: Below<'_>,
        lock: &Lock,
    ) -> Result<Option<Made>, BuildError> {
        if self.plan.running.assemble.value {
            return changes::assemble(self, ground.full()?, below);
        }
        match below.layers.split_last() {
            Some((source, layers)) if has_django(lock) => {
                changes::collect_static(self, Below { layers, ..below }, source)
            }
            _ => Ok(None),
        }
    }

    /// Has all layers of a platform that do not depend on the source, bottom up.
    ///
    /// # Errors
    /// As a build's.
    pub(super) fn make_lasting(&self, platform: Platform) -> Result<Vec<Made>, BuildError> {
        let foundation = self.foundation(platform)?;
        let ground = Ground::new(self, platform.architecture, &foundation).alone();
        let target = self.target(platform.architecture, &foundation);
        let lock = self.wheels(target, &ground)?;
        let mut layers = self.complete_base(&foundation)?.layers;
        let compiler = self.compiler(&foundation)?;
        let places = self.places(compiler.as_ref());
        let contents = self.tree().contents()?;
        let upper = self.upper((&lock, &foundation), &places, &contents, compiler.as_ref())?;
        let lasting: Vec<&Recipe<'_>> = upper.iter().filter(|one| !one.is_of_source).collect();
        layers.extend(self.make_own(&lasting)?);
        Ok(layers)
    }

    /// The exact packages and wheels of one platform, for a lock.
    pub(super) fn resolve(&self, architecture: Architecture) -> Result<Resolved, BuildError> {
        let foundation = self.foundation(Platform { architecture })?;
        let target = self.target(architecture, &foundation);
        let ground = Ground::new(self, architecture, &foundation).alone();
        let wheels = self.wheels(target, &ground)?;
        Ok(Resolved {
            build_packages: ground.build_packages(),
            packages: foundation.debs(),
            target,
            wheels,
        })
    }

    /// The exact wheels, those that have to be built among them.
    pub(super) fn wheels(&self, target: Target, ground: &Ground<'_>) -> Result<Lock, BuildError> {
        if self.plan.running.assemble.value {
            return Ok(Lock::default());
        }
        let none = Conditions::default();
        let exact = exact::Exact {
            site: self,
            ground,
            target: &target,
            conditions: &none,
            of_build: None,
        };
        let conditions = exact.find_conditions()?;
        exact::Exact {
            conditions: &conditions,
            ..exact
        }
        .wheels()
    }

    /// Where pip goes, and where all other wheels go with their byte code.
    pub(super) fn places(&self, compiler: Option<&Compiler<'_>>) -> (wheel::Target, wheel::Target) {
        let compiles = self.plan.bytecode.value.compiles_dependencies();
        let place = wheel::Target {
            bytecode: compiler.filter(|_| compiles).map(|compiler| compiler.key),
            ..self.place()
        };
        (self.place(), place)
    }
}

/// Whether Django is among the wheels.
pub(super) fn has_django(lock: &Lock) -> bool {
    lock.packages
        .iter()
        .any(|wheel| wheel.name.as_ref() == "django")
}

/// What came of running code of the project.
fn describe_changes(made: Option<&Made>) -> String {
    match made.map(|made| made.fate) {
        None => "nothing changed".to_owned(),
        Some(LayerFate::Made) => "changes made".to_owned(),
        Some(LayerFate::Reused | LayerFate::Remote | LayerFate::Believed) => {
            "changes reused".to_owned()
        }
    }
}

/// What came of a batch of layers.
fn describe(batch: &Batch) -> String {
    let made = batch
        .layers
        .iter()
        .filter(|made| made.fate == LayerFate::Made)
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
pub(super) type Foreseen<'a> = BTreeMap<Platform, (Foundation<'a>, Lock)>;

impl<'a> Site<'a> {
    /// Resolves the foreign platforms, before anything is fetched for any platform.
    ///
    /// # Errors
    /// What keeps them from being resolved; something would have to run there.
    pub(super) fn foresee(&self, stages: &Stages<'_>) -> Result<Foreseen<'a>, BuildError> {
        let mut foreseen = Foreseen::new();
        for &platform in &self.plan.platforms.value {
            let architecture = platform.architecture;
            if !is_foreign(architecture) {
                continue;
            }
            let foundation = stages.run(
                Stage::Resolve,
                || self.foundation(platform),
                Foundation::title,
            )?;
            let lock = stages.run(
                Stage::Resolve,
                || {
                    let ground = Ground::new(self, architecture, &foundation);
                    self.wheels(self.target(architecture, &foundation), &ground)
                },
                |lock| format!("{} wheels", lock.packages.len()),
            )?;
            if self.plan.running.collectstatic.value && has_django(&lock) {
                return Err(refused(architecture, vec![Step::CollectStatic]));
            }
            foreseen.insert(platform, (foundation, lock));
        }
        Ok(foreseen)
    }
}
