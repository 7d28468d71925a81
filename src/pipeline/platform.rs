//! One platform of an image: its packages, its wheels, its layers, its documents.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::bare::{self, Absence};
use super::bytecode::Compiler;
use super::cache::Cache;
use super::changes::{self, Below};
use super::debs::Debs;
use super::elsewhere::Elsewhere;
use super::fetch::Fetcher;
use super::foundation::Foundation;
use super::ground::Ground;
use super::locked_layers::LockedLayers;
use super::make::{Batch, Made, Recipe, TransferIds};
use super::read::Project;
use super::recipes::Shelf;
use super::roots::{Roots, Turn};
use super::stages::Stages;
use super::{BuiltPlatform, Settings, exact};
use crate::archive::tar::Options;
use crate::layers::wheel;
use crate::net::http::Client;
use crate::oci::{Architecture, Key, Platform};
use crate::packages::debian::DebArtefact;
use crate::packages::python::conditions::Conditions;
use crate::packages::python::{Arch, Libc, PythonVersion, Target};
use crate::plan::Plan;
use crate::plan::builder::BuilderDefinition;
use crate::report::{BuildError, Event, LayerFate, Report, Stage, ThreadError};
use crate::resolve::wheels::Lock;
use crate::sandbox::Isolation;
use crate::source::Tree;
use crate::store::Store;

/// How hard layers are compressed where they are compressed at all; more costs time and saves
/// hardly anything.
const LEVEL: u32 = 6;
/// The virtual environment, as a path of a layer.
const PREFIX: &str = "opt/app-root";
/// Owner of the virtual environment: the image's user, and the group of arbitrary users.
const OWNER: (u32, u32) = (1001, 0);

/// Everything that the platforms of one build share.
pub(super) struct Site<'a> {
    pub(super) project: &'a Project,
    pub(super) plan: &'a Plan,
    pub(super) builder: &'a BuilderDefinition,
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    pub(super) report: &'a dyn Report,
    client: &'a Client,
    pub(super) cache: &'a Cache<'a>,
    /// What `s2r.lock` says of layers.
    pub(super) locked: LockedLayers,
    ids: TransferIds,
    turn: Turn,
    /// Wheels that were built from source, by the key of what they were built from.
    pub(super) built: Mutex<BTreeMap<Key, String>>,
    /// Whether s2r stands in the builder's image, once that was asked.
    in_builder: OnceLock<Result<(), Absence>>,
    /// Set when the build has failed elsewhere, so that what goes on meanwhile need not end.
    pub(super) stop: AtomicBool,
    /// The caller's environment, with what the project and the command line set above it.
    pub(super) environment: BTreeMap<String, String>,
    /// The variables that files of the project may name.
    pub(super) given: BTreeMap<String, String>,
}

/// What a build works with.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub settings: &'a Settings,
    pub store: &'a Store,
    pub report: &'a dyn Report,
    pub client: &'a Client,
    pub cache: &'a Cache<'a>,
}

/// What one platform's image is made of, exactly.
pub(super) struct Resolved {
    pub packages: Debs,
    /// What was added to them to build wheels; none where none was built.
    pub build_packages: Vec<DebArtefact>,
    pub target: Target,
    pub wheels: Lock,
}

impl<'a> Site<'a> {
    pub(super) fn new(
        project: &'a Project,
        plan: &'a Plan,
        means: Means<'a>,
    ) -> Result<Self, BuildError> {
        let Means {
            settings,
            store,
            report,
            client,
            cache,
        } = means;
        Ok(Self {
            project,
            plan,
            builder: project.builder(plan)?,
            settings,
            store,
            report,
            client,
            cache,
            locked: LockedLayers::of(project.base_lock()?.as_ref()),
            ids: TransferIds::default(),
            turn: Turn::default(),
            built: Mutex::default(),
            in_builder: OnceLock::new(),
            stop: AtomicBool::new(false),
            environment: super::variables::environment(plan, settings)?,
            given: super::variables::given(plan, settings),
        })
    }

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
                let made = stages.run(Stage::Base, || self.lay(&foundation), describe);
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

    /// Whether the standard library is compiled too. That of a base image stays as it is.
    pub(super) fn compiles_library(&self) -> bool {
        self.plan.bytecode.value.compiles_dependencies() && !self.stands_on_image()
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

    pub(super) fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            client: self.client,
            store: self.store,
            tree: &self.project.tree,
            report: self.report,
            ids: &self.ids,
        }
    }

    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    pub(super) fn roots(&self) -> Roots<'_> {
        let elsewhere = Elsewhere {
            store: self.store,
            client: self.client,
            report: self.report,
            ids: &self.ids,
        };
        Roots::new(elsewhere, &self.turn)
    }

    pub(super) fn report(&self) -> &'a dyn Report {
        self.report
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.settings
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    pub(super) fn tree(&self) -> &'a Tree {
        &self.project.tree
    }

    /// Python's version, two numbers.
    pub(super) fn python(&self) -> &'a str {
        &self.builder.python
    }

    /// Absolute path of the interpreter in the image.
    pub(super) fn interpreter(&self) -> &'a str {
        &self.builder.interpreter
    }

    pub(super) fn epoch_seconds(&self) -> u64 {
        self.settings.epoch_seconds
    }

    /// Whether steps run without isolation, where they may run at all.
    pub(super) fn is_bare(&self) -> bool {
        self.settings.running.isolation == Isolation::None
    }

    /// Whether s2r stands in the builder's image. Who first hears that it does says so: what steps do
    /// then, they do to this machine.
    pub(super) fn in_builder(&self) -> Result<(), Absence> {
        let find = || {
            bare::find(self.builder).inspect(|()| {
                self.report.event(Event::Warning {
                    text: "code of the project runs without isolation: it reaches this container's files, processes and network, and may write to whatever s2r may write to".to_owned(),
                    hint: "use --isolation auto where namespaces are allowed, and for projects of others".to_owned(),
                });
            })
        };
        self.in_builder.get_or_init(find).clone()
    }

    pub(super) fn shelf(&self) -> Shelf<'a> {
        Shelf {
            store: self.store,
            report: self.report,
            unpacked: self.settings.rules.unpacked,
            compiler: None,
            machine: None,
        }
    }

    pub(super) fn cache(&self) -> &'a Cache<'a> {
        self.cache
    }

    /// Remembers a wheel that was built from source.
    pub(super) fn note_built(&self, key: &Key, wheel: String) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.insert(*key, wheel);
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

    /// Where wheels go.
    pub(super) fn place(&self) -> wheel::Target {
        wheel::Target {
            prefix: PREFIX.to_owned(),
            python: self.builder.python.clone(),
            uid: OWNER.0,
            gid: OWNER.1,
            mtime: self.settings.epoch_seconds,
            bytecode: None,
        }
    }

    pub(super) fn tar(&self) -> Options {
        Options {
            mtime: self.settings.epoch_seconds,
            level: LEVEL,
        }
    }

    /// What wheels are chosen for.
    pub(super) fn target(&self, architecture: Architecture, foundation: &Foundation<'_>) -> Target {
        let (major, minor) = numbers(&self.builder.python);
        let patch = foundation.patch(&self.builder.python);
        let (libc_major, libc_minor) = self.builder.glibc;
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Target {
            python: PythonVersion {
                major,
                minor,
                patch,
            },
            libc: Libc::Glibc(small(libc_major), small(libc_minor)),
            arch: match architecture {
                Architecture::Amd64 => Arch::X86_64,
                Architecture::Arm64 => Arch::Aarch64,
            },
        }
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

/// What a helper thread came back with. Its panic would be a fault of s2r; it is passed on as one.
pub(super) fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> Result<T, BuildError> {
    handle.join().map_err(|_| ThreadError::Panicked.into())
}

/// `3.13` as two numbers.
fn numbers(version: &str) -> (u16, u16) {
    let mut parts = version.split('.').map(leading_number);
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The digits that a text begins with: `5-2+deb13u1` is 5.
pub(super) fn leading_number(text: &str) -> u16 {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_debian_versions() {
        assert_eq!(leading_number("5-2+deb13u1"), 5);
        assert_eq!(leading_number("x"), 0);
        assert_eq!(numbers("3.13"), (3, 13));
    }
}
