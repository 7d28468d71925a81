//! One platform of an image: its packages, its wheels, its layers, its documents.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bytecode::{Compiled, Compiler, Folders};
use super::cache::Cache;
use super::debs::{Debs, Wish};
use super::elsewhere::Elsewhere;
use super::error::{BuildError, Obstacle};
use super::fetch::Fetcher;
use super::ground::Ground;
use super::interpreter::CompileError;
use super::make::{Batch, Made, Recipe, TransferIds, Workshop};
use super::read::Project;
use super::recipes::{self, Shelf};
use super::roots::{Roots, Turn};
use super::stages::Stages;
use super::wheels;
use super::{BuiltPlatform, Settings, base, bytecode, changes, exact};
use crate::archive::tar::Options;
use crate::image::{BASE_PACKAGES_ANNOTATION, ImageLayer, Parts};
use crate::layers::deb::BaseOptions;
use crate::layers::source::Source;
use crate::layers::wheel;
use crate::net::http::Client;
use crate::oci::{Architecture, Key, Platform, RunConfig};
use crate::packages::debian::{DebArtefact, DebianBase};
use crate::packages::python::{Arch, Libc, PythonVersion, Target, Url};
use crate::plan::builder::{Base, BuilderDefinition};
use crate::plan::{Bytecode, Origin, Plan};
use crate::report::{LayerFate, Report, Stage};
use crate::resolve::debian::BaseLock;
use crate::resolve::wheels::{Indexes, Lock, LockedWheel};
use crate::source::{Contents, Tree};
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
    project: &'a Project,
    plan: &'a Plan,
    builder: &'a BuilderDefinition,
    settings: &'a Settings,
    store: &'a Store,
    report: &'a dyn Report,
    client: &'a Client,
    cache: &'a Cache<'a>,
    ids: TransferIds,
    turn: Turn,
    /// Set when the build has failed elsewhere, so that what goes on meanwhile need not end.
    stop: AtomicBool,
    /// The caller's environment, with what the project and the command line set above it.
    environment: BTreeMap<String, String>,
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
            ids: TransferIds::default(),
            turn: Turn::default(),
            stop: AtomicBool::new(false),
            environment: environment(plan, settings),
        })
    }

    /// Builds one platform: resolves, makes layers, writes config and manifest into the store.
    pub(super) fn build(
        &self,
        platform: Platform,
        stages: &Stages<'_>,
    ) -> Result<BuiltPlatform, BuildError> {
        let debian = self.debian()?;
        let architecture = platform.architecture;
        let packages = stages.run(
            Stage::Resolve,
            || self.packages(architecture),
            |debs| format!("{} packages of Debian {}", debs.all().len(), debian.suite),
        )?;
        let options = self.base_options(debian, architecture);
        let base = packages.recipes(&self.wish(architecture)?, &options, self.store);
        let ground = Ground::new(self, architecture, &packages);
        let tree = &self.project.tree;
        // The base is made while the wheels are being resolved: neither waits for the other, unless
        // a wheel has to be built upon the base.
        let (base_layers, lock, contents) = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let made = stages.run(Stage::Base, || self.make(&base, 0), describe);
                ground.stand_on(made.as_ref().ok().map(|batch| batch.layers.as_slice()));
                made
            });
            let contents = scope.spawn(|| tree.contents());
            let lock = stages.run(
                Stage::Resolve,
                || self.wheels(self.target(architecture, &packages.base), &ground),
                |lock| format!("{} wheels", lock.packages.len()),
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
        if !self.plan.running.assemble.value {
            let installed = lock.packages.iter().map(|wheel| wheel.name.as_ref());
            self.plan.start.check(installed)?;
        }
        let base_count = layers.len();
        let compiler = self.compiler(architecture, &packages.base, &layers);
        let pip_place = self.place();
        let place = wheel::Target {
            bytecode: compiler
                .as_ref()
                .filter(|_| self.compiles_all())
                .map(|compiler| compiler.key),
            ..self.place()
        };
        let upper = self.upper(
            (&lock, &packages.base),
            (&pip_place, &place),
            &contents,
            compiler.as_ref(),
        )?;
        let upper = stages.run(Stage::Layers, || self.make(&upper, base_count), describe)?;
        layers.extend(upper.layers);
        let compiled = compiler.as_ref().map(Compiler::totals).unwrap_or_default();
        if self.runs_last(&lock) {
            let changes = stages.run(
                Stage::Build,
                || self.changes(&ground, &layers, base_count, &lock),
                |made| describe_changes(made.as_ref()),
            )?;
            layers.extend(changes);
        }
        stages.run(
            Stage::Image,
            || {
                let built = self.assemble(platform, &packages.all(), layers)?;
                Ok(BuiltPlatform { compiled, ..built })
            },
            |built| built.descriptor.digest.to_string(),
        )
    }

    /// Whether dependencies and the standard library are compiled too.
    fn compiles_all(&self) -> bool {
        self.plan.bytecode.value == Bytecode::All
    }

    /// What makes byte code for an image, if some is wanted. It does nothing until it is asked.
    fn compiler<'s>(
        &'s self,
        architecture: Architecture,
        packages: &[DebArtefact],
        base: &[Made],
    ) -> Option<Compiler<'s>> {
        if self.plan.bytecode.value == Bytecode::None {
            return None;
        }
        let roots = self.roots();
        let image = base.to_vec();
        let machine: Folders<'s> = if Architecture::host() == Some(architecture) {
            let base = base.to_vec();
            Box::new(move || roots.of_layers(&base))
        } else {
            Box::new(move || self.machine_base(&roots))
        };
        Some(Compiler::new(
            (self.store, self.report),
            self.settings.workers,
            (&self.builder.python, bytecode::compiler_key(packages)),
            machine,
            Box::new(move || roots.of_layers(&image)),
        ))
    }

    /// Folders of the base as it is for this machine, when the image is for another: byte code is
    /// the same everywhere, and an interpreter is not.
    fn machine_base(&self, roots: &Roots<'_>) -> Result<Vec<PathBuf>, BuildError> {
        let Some(host) = Architecture::host() else {
            return Err(CompileError::NoInterpreter {
                python: self.builder.python.clone(),
            }
            .into());
        };
        let debian = self.debian()?;
        let packages = self.packages(host)?;
        let options = self.base_options(debian, host);
        recipes::base(&packages.base, &options, &debian.suite, self.store)
            .iter()
            .map(|recipe| roots.of_recipe(recipe, &self.fetcher()))
            .collect()
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
        layers: &[Made],
        base_count: usize,
        lock: &Lock,
    ) -> Result<Option<Made>, BuildError> {
        if self.plan.running.assemble.value {
            return changes::assemble(self, ground.full()?, layers, base_count);
        }
        match layers.split_last() {
            Some((source, below)) => changes::collect_static(self, below, source, has_django(lock)),
            None => Ok(None),
        }
    }

    /// The exact packages and wheels of one platform, for a lock.
    pub(super) fn resolve(&self, architecture: Architecture) -> Result<Resolved, BuildError> {
        let packages = self.packages(architecture)?;
        let target = self.target(architecture, &packages.base);
        let ground = Ground::new(self, architecture, &packages).alone();
        let wheels = self.wheels(target, &ground)?;
        Ok(Resolved {
            build_packages: ground.build_packages(),
            packages,
            target,
            wheels,
        })
    }

    /// The Debian base of the builder.
    pub(super) fn debian(&self) -> Result<&'a DebianBase, BuildError> {
        match &self.builder.base {
            Base::Debian(base) => Ok(base),
            Base::Image(image) => Err(Obstacle::ImageBase {
                builder: self.builder.name.clone(),
                image: image.clone(),
            }
            .into()),
        }
    }

    fn packages(&self, architecture: Architecture) -> Result<Debs, BuildError> {
        let wish = self.wish(architecture)?;
        match self.base_lock()? {
            Some(lock) => wish.locked(&lock),
            None => wish.resolved(self.base_rules(), &self.fetcher()),
        }
    }

    /// What a lock of the base is for.
    pub(super) fn asked(&self) -> Result<DebianBase, BuildError> {
        // It is the same for all architectures.
        Ok(self.wish(Architecture::Amd64)?.asked())
    }

    /// Which Debian packages are wanted.
    pub(super) fn wish(&self, architecture: Architecture) -> Result<Wish<'a>, BuildError> {
        Ok(Wish {
            base: self.debian()?,
            packages: &self.plan.packages,
            architecture,
        })
    }

    /// What the project's `s2r.lock` pins.
    pub(super) fn base_lock(&self) -> Result<Option<BaseLock>, BuildError> {
        let bytes = self
            .project
            .tree
            .read_small(base::LOCK_FILE, base::MAX_LOCK_BYTES)?;
        Ok(bytes
            .map(|bytes| BaseLock::read(&String::from_utf8_lossy(&bytes), base::LOCK_FILE))
            .transpose()?)
    }

    pub(super) fn base_rules(&self) -> base::BaseRules {
        base::BaseRules {
            rules: self.settings.rules,
            now_seconds: self.settings.now_seconds,
        }
    }

    /// The exact wheels, those that have to be built among them.
    fn wheels(&self, target: Target, ground: &Ground<'_>) -> Result<Lock, BuildError> {
        if self.plan.running.assemble.value {
            return Ok(Lock::default());
        }
        exact::Exact {
            site: self,
            ground,
            target: &target,
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

    pub(super) fn epoch_seconds(&self) -> u64 {
        self.settings.epoch_seconds
    }

    /// Debian packages for building, which never reach the image.
    pub(super) fn build_packages(&self) -> Vec<String> {
        self.plan.packages.build_names()
    }

    /// An address with the credentials of the index that it belongs to.
    pub(super) fn with_credentials(&self, url: Url) -> Url {
        let options = crate::packages::python::IndexOptions::default();
        let (indexes, _) = Indexes::new(&options, &self.environment);
        indexes.with_credentials(url)
    }

    /// pip's variables, and what requirement files may name.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// What the project and the command line set for steps that build.
    pub(super) fn build_variables(&self) -> BTreeMap<String, String> {
        self.plan
            .environment
            .settings()
            .filter(|(name, setting)| {
                !matches!(setting.origin, Origin::Builder { .. } | Origin::Default)
                    && !is_callers_alone(name)
            })
            .map(|(name, setting)| (name.to_owned(), setting.value.clone()))
            .collect()
    }

    pub(super) fn shelf(&self) -> Shelf<'a> {
        Shelf {
            store: self.store,
            report: self.report,
            compiler: None,
        }
    }

    /// Whether a layer needs not be made.
    fn has_layer(&self, key: &Key) -> bool {
        let key = self.settings.formats.layers.key(key);
        self.store.layer(&key).is_some() || self.cache.layer(&key).is_some()
    }

    /// A layer that the store or a registry knows by its key.
    pub(super) fn known_layer(&self, key: &Key, contents: &str, index: usize) -> Option<Made> {
        if !self.has_layer(key) {
            return None;
        }
        let recipe = Recipe {
            key: *key,
            contents: contents.to_owned(),
            needs: Vec::new(),
            write: Box::new(|_| Ok(())),
        };
        self.make(&[recipe], index).ok()?.layers.pop()
    }

    /// Layers above the base, lowest first: skeleton, pip, wheels, source.
    fn upper<'s>(
        &'s self,
        (lock, packages): (&Lock, &[DebArtefact]),
        (pip_place, place): (&'s wheel::Target, &'s wheel::Target),
        contents: &'s Contents,
        compiler: Option<&'s Compiler<'s>>,
    ) -> Result<Vec<Recipe<'s>>, BuildError> {
        let tar = self.tar();
        let shelf = Shelf {
            store: self.store,
            report: self.report,
            compiler,
        };
        let interpreter = format!("/usr/bin/python{}", self.builder.python);
        let source = Source {
            tree: &self.project.tree,
            contents,
            setup_name: self.plan.setup_name.as_deref(),
            bytecode: compiler.map(|compiler| (compiler.python, compiler.key)),
        };
        let mut recipes = Vec::new();
        if let Some(compiler) = compiler.filter(|_| self.compiles_all()) {
            recipes.push(recipes::library(packages, compiler, tar));
        }
        recipes.push(recipes::skeleton(&self.builder.python, &interpreter, tar));
        // No application imports pip, and its byte code is as large as Flask's and Django's together.
        if let Some(pip) = self.pip(lock, pip_place, &shelf)? {
            recipes.push(recipes::wheel_layer(&[&pip], pip_place, &shelf));
        }
        if self.plan.running.assemble.value {
            return Ok(recipes);
        }
        // The project itself goes above its dependencies, because it changes more often.
        let (own, others): (Vec<LockedWheel>, Vec<LockedWheel>) =
            lock.packages.iter().cloned().partition(LockedWheel::is_own);
        recipes.extend(recipes::wheels(&others, place, &shelf));
        if !own.is_empty() {
            let own: Vec<&LockedWheel> = own.iter().collect();
            recipes.push(recipes::wheel_layer(&own, place, &shelf));
        }
        recipes.push(recipes::source(source, compiler, tar));
        Ok(recipes)
    }

    /// pip's wheel, unless the builder wants none or the project brings its own.
    fn pip(
        &self,
        lock: &Lock,
        place: &wheel::Target,
        shelf: &Shelf<'_>,
    ) -> Result<Option<LockedWheel>, BuildError> {
        let is_own = lock
            .packages
            .iter()
            .any(|wheel| wheel.name.as_ref() == "pip");
        let Some(pinned) = self.builder.pip.as_ref().filter(|_| !is_own) else {
            return Ok(None);
        };
        let known = wheels::pip(pinned, &self.environment, &self.fetcher(), false)?;
        if let Some(pip) = known
            && (self.store.is_sound_download(&pip.sha256)
                || self.has_layer(&recipes::wheel_layer(&[&pip], place, shelf).key))
        {
            return Ok(Some(pip));
        }
        wheels::pip(pinned, &self.environment, &self.fetcher(), true)
    }

    pub(super) fn make(
        &self,
        recipes: &[Recipe<'_>],
        first_index: usize,
    ) -> Result<Batch, BuildError> {
        Workshop {
            store: self.store,
            fetcher: &self.fetcher(),
            cache: self.cache,
            report: self.report,
            tar: self.tar(),
            form: self.settings.formats.layers,
            first_index,
            workers: self.settings.workers,
            stop: &self.stop,
        }
        .make(recipes)
    }

    fn assemble(
        &self,
        platform: Platform,
        packages: &[DebArtefact],
        layers: Vec<Made>,
    ) -> Result<BuiltPlatform, BuildError> {
        let image_layers: Vec<ImageLayer> = layers.iter().map(|made| made.layer.clone()).collect();
        let versions: Vec<String> = packages
            .iter()
            .map(|deb| format!("{}={}", deb.package, deb.version))
            .collect();
        let assembled = crate::image::assemble(Parts {
            platform,
            created_seconds: self.settings.epoch_seconds,
            run: self.run_config(),
            layers: &image_layers,
            annotations: BTreeMap::from([(
                BASE_PACKAGES_ANNOTATION.to_owned(),
                versions.join(" "),
            )]),
            family: self.settings.formats.documents,
        })?;
        self.store.put_blob(&assembled.config)?;
        self.store.put_blob(&assembled.manifest)?;
        Ok(BuiltPlatform {
            platform,
            descriptor: assembled.descriptor,
            layers,
            compiled: Compiled::default(),
        })
    }

    fn run_config(&self) -> RunConfig {
        let plan = self.plan;
        RunConfig {
            user: Some(plan.user.value.clone()),
            exposed_ports: plan
                .ports
                .value
                .iter()
                .map(|port| (format!("{port}/tcp"), crate::oci::Empty {}))
                .collect(),
            env: plan
                .environment
                .image()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            cmd: Some(plan.command.value.clone()),
            working_dir: Some(plan.working_directory.to_owned()),
            labels: plan
                .labels
                .iter()
                .map(|(name, label)| (name.clone(), label.value.clone()))
                .collect(),
            ..RunConfig::default()
        }
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

    pub(super) fn base_options(
        &self,
        base: &DebianBase,
        architecture: Architecture,
    ) -> BaseOptions {
        BaseOptions {
            architecture,
            python: self.builder.python.clone(),
            locale: base.locale.clone(),
            tar: self.tar(),
        }
    }

    /// What wheels are chosen for. The patch of Python's version is the package's; without the
    /// package (a builder may name it otherwise) it counts as 0.
    fn target(&self, architecture: Architecture, packages: &[DebArtefact]) -> Target {
        let (major, minor) = numbers(&self.builder.python);
        let name = format!("python{}", self.builder.python);
        let patch = packages
            .iter()
            .find(|deb| deb.package == name)
            .and_then(|deb| deb.version.split('.').nth(2))
            .map_or(0, leading_number);
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
fn has_django(lock: &Lock) -> bool {
    lock.packages
        .iter()
        .any(|wheel| wheel.name.as_ref() == "django")
}

/// What came of running code of the project.
fn describe_changes(made: Option<&Made>) -> String {
    match made.map(|made| made.fate) {
        None => "nothing changed".to_owned(),
        Some(LayerFate::Made) => "changes made".to_owned(),
        Some(LayerFate::Reused | LayerFate::Remote) => "changes reused".to_owned(),
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
    if batch.fetched_files > 0 {
        text.push_str(&format!("; {} files fetched", batch.fetched_files));
    }
    if batch.fetched_bytes > 0 {
        // Tenths of a million in whole numbers.
        let tenths = batch.fetched_bytes / 100_000;
        text.push_str(&format!(", {}.{} MB", tenths / 10, tenths % 10));
    }
    text
}

/// What a helper thread came back with. Its panic would be a fault of s2r; it is passed on as one.
pub(super) fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> Result<T, BuildError> {
    handle.join().map_err(|_| Obstacle::Panicked.into())
}

/// The caller's environment, and above it what the project, `-e` and `-E` set: pip's variables, and
/// what `${NAME}` in requirement files means. What builder and s2r set is for the image alone.
fn environment(plan: &Plan, settings: &Settings) -> BTreeMap<String, String> {
    let mut environment = settings.variables.clone();
    for (name, setting) in plan.environment.settings() {
        let is_users = !matches!(setting.origin, Origin::Builder { .. } | Origin::Default);
        if is_users && !is_callers_alone(name) {
            environment.insert(name.to_owned(), setting.value.clone());
        }
    }
    environment
}

/// Variables that decide which programs run and whom they trust: a project must not set them for
/// the machine that builds it.
fn is_callers_alone(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    [
        "PATH",
        "HOME",
        "NETRC",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "TMPDIR",
    ]
    .contains(&upper.as_str())
        || upper.ends_with("_PROXY")
        || ["SSL_", "UV_", "LD_", "XDG_"]
            .iter()
            .any(|start| upper.starts_with(start))
}

/// `3.13` as two numbers.
fn numbers(version: &str) -> (u16, u16) {
    let mut parts = version.split('.').map(leading_number);
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The digits that a text begins with: `5-2+deb13u1` is 5.
fn leading_number(text: &str) -> u16 {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_no_programs_and_no_authorities() {
        for name in [
            "PATH",
            "HOME",
            "NETRC",
            "SSL_CERT_FILE",
            "https_proxy",
            "UV_INDEX",
            "PIP_CERT",
        ] {
            assert!(is_callers_alone(name), "{name}");
        }
        for name in ["PIP_INDEX_URL", "PIP_CONSTRAINT", "TOKEN", "MY_PATH"] {
            assert!(!is_callers_alone(name), "{name}");
        }
    }

    #[test]
    fn versions_are_read_from_debian_versions() {
        assert_eq!(leading_number("5-2+deb13u1"), 5);
        assert_eq!(leading_number("x"), 0);
        assert_eq!(numbers("3.13"), (3, 13));
    }
}
