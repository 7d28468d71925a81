//! `s2r lock`: writes the exact wheels and the exact base beside the project's files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::plan;
use super::platform_build::ResolvedPlatform;
use crate::context::build_context::{BuildMeans, Context};
use crate::context::project::{LOCK_FILE, ProjectInputs};
use crate::context::settings::{NetworkRules, Settings};
use crate::context::stage_clock::StageClock;
use crate::layer_cache::{RegistryCache, mending};
use crate::oci::Architecture;
use crate::packages::python::LockOrigin;
use crate::plan::{DependencySource, Plan, PlanRequest};
use crate::report::{BuildError, BuildStage, Event, FileError, Report, SilentReport, WarnOnce};
use crate::resolve::debian::{BaseLock, LockedImplied, LockedLayer};
use crate::resolve::wheels::{WheelError, WheelLocation, write_pylock};
use crate::source::SettingsFile;
use crate::store::Store;
use crate::wheel_resolution::lock_inputs;
use crate::wheel_resolution::lock_inputs::StaleLockError;

/// The standard lock (PEP 751).
const PYLOCK: &str = "pylock.toml";

/// Resolves anew, and writes `pylock.toml` and `s2r.lock` into the source; returns what was
/// written. A project that needs no packages gets the latter alone. The layers are locked too if
/// that is asked for, or if they were before.
///
/// # Errors
/// What keeps the project from being resolved; a folder that cannot be written to.
pub(crate) fn lock(
    request: &PlanRequest,
    with_layers: bool,
    settings: &Settings,
    report: &dyn Report,
) -> Result<Vec<PathBuf>, BuildError> {
    let report: &dyn Report = &WarnOnce::new(report);
    crate::context::fetch_source::check_is_folder(request, settings)?;
    let mut project = plan::project(request, settings, report)?;
    // One that cannot be read is replaced.
    let before = project.base_lock().ok().flatten();
    let with_layers = with_layers || before.is_some_and(|lock| !lock.layers.is_empty());
    // Locks that are there say what was; requirements say what is wished for.
    project.forget(&[PYLOCK, LOCK_FILE])?;
    plan::resolve_builder(&mut project, request, settings, report)?;
    let plan = plan::make_plan(&project, request, report)?;
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let client = crate::context::client::new(settings, report);
    let cache = RegistryCache::new((&client, &store), report, &[], (&[], &[]));
    let means = BuildMeans {
        settings,
        store: &store,
        report,
        client: &client,
        cache: &cache,
    };
    let again = PlannedLock {
        project: &project,
        plan: &plan,
        request,
        with_layers,
        means,
    };
    // Whatever is wrong in the store is made or fetched again.
    mending((&store, report), |_| true, || again.write())
}

/// A lock that is to be written.
struct PlannedLock<'a> {
    project: &'a ProjectInputs,
    plan: &'a Plan,
    request: &'a PlanRequest,
    /// Whether the layers are locked too.
    with_layers: bool,
    means: BuildMeans<'a>,
}

impl PlannedLock<'_> {
    /// Resolves, and writes the files; their paths.
    fn write(&self) -> Result<Vec<PathBuf>, BuildError> {
        let Self { project, plan, .. } = *self;
        let BuildMeans {
            settings, report, ..
        } = self.means;
        let root = project.tree.root();
        let context = Context::new(project, plan, self.means)?;
        let mut base_lock = context.empty_lock()?;
        let mut resolved: Vec<ResolvedPlatform> = Vec::new();
        for platform in &plan.platforms.value {
            let one = context.resolve(platform.architecture)?;
            note_packages(&mut base_lock, platform.architecture, &one);
            resolved.push(one);
        }
        let mut written = Vec::new();
        // What only the project's own wheel names is locked too.
        let has_wheels =
            |one: &ResolvedPlatform| one.wheels.packages.iter().any(|wheel| !wheel.is_own());
        if !matches!(plan.dependencies.value, DependencySource::None)
            || resolved.iter().any(has_wheels)
        {
            let locks: Vec<_> = resolved
                .iter()
                .map(|one| (one.target, &one.wheels))
                .collect();
            tell_of_source_files(&resolved, report);
            let mut inputs = lock_inputs::of(project, plan)?;
            for one in &resolved {
                if let Some(requires) = context.own_requires(&one.wheels)? {
                    inputs.add(lock_inputs::AS_BUILT, requires.as_bytes());
                    break;
                }
            }
            let text = settings.passed.put_names_back(&write_pylock(&locks)) + &inputs.to_toml();
            written.push(write(root, PYLOCK, &text)?);
        }
        let path = write(root, LOCK_FILE, &base_lock.write())?;
        if self.with_layers {
            base_lock.layers = layers(self.request, self.means)?;
            write(root, LOCK_FILE, &base_lock.write())?;
        }
        written.push(path);
        Ok(written)
    }
}

/// Writes what one platform needs of Debian into a lock.
fn note_packages(lock: &mut BaseLock, architecture: Architecture, one: &ResolvedPlatform) {
    let name = || architecture.name().to_owned();
    let packages = &one.packages;
    if lock.image.is_none() {
        lock.packages.insert(name(), packages.base.clone());
    }
    if !packages.added.is_empty() {
        lock.added_packages.insert(name(), packages.added.clone());
    }
    if !packages.implied.names.is_empty() {
        let implied = LockedImplied {
            names: packages.implied.names.clone(),
            packages: packages.implied.debs.clone(),
        };
        lock.implied_packages.insert(name(), implied);
    }
    if !one.build_packages.is_empty() {
        lock.build_packages
            .insert(name(), one.build_packages.clone());
    }
}

/// The layers, by architecture, that the locks say how to make: made as a build makes them.
fn layers(
    request: &PlanRequest,
    means: BuildMeans<'_>,
) -> Result<BTreeMap<String, Vec<LockedLayer>>, BuildError> {
    let BuildMeans {
        settings, report, ..
    } = means;
    // What there is to say of the project has been said.
    let mut project = plan::project(request, settings, &SilentReport)?;
    plan::resolve_builder(&mut project, request, settings, &SilentReport)?;
    let plan = plan::make_plan(&project, request, &SilentReport)?;
    let context = Context::new(&project, &plan, means)?;
    let stages = StageClock::new(report);
    let mut layers = BTreeMap::new();
    for platform in &plan.platforms.value {
        let made = stages.run(
            BuildStage::Layers,
            || context.make_lasting(*platform),
            |made| format!("{} for {platform}", made.len()),
        )?;
        let lines = made
            .iter()
            .filter_map(crate::layer_cache::locked_line)
            .collect();
        layers.insert(platform.architecture.name().to_owned(), lines);
    }
    Ok(layers)
}

/// Sees to it that a lock of s2r was made from what the project says now.
///
/// # Errors
/// It was not; or it does not say what it was made from, and `--locked` asks for certainty.
pub(super) fn check(
    project: &ProjectInputs,
    request: &PlanRequest,
    plan: &Plan,
    rules: NetworkRules,
    report: &dyn Report,
) -> Result<(), BuildError> {
    let DependencySource::Pylock { path } = &plan.dependencies.value else {
        return Ok(());
    };
    let Some(text) = project.tree.read_small(path, SettingsFile::Pylock)? else {
        return Ok(());
    };
    let wrong = |error| WheelError::Pylock {
        path: path.clone(),
        error,
    };
    match LockOrigin::of(&String::from_utf8_lossy(&text)).map_err(wrong)? {
        LockOrigin::Known(then) => {
            let now = lock_inputs::of(project, &plan::without_lock(project, request)?)?;
            let changed = then.changed(&now, lock_inputs::AS_BUILT);
            if changed.is_empty() {
                return Ok(());
            }
            Err(StaleLockError::Changed {
                file: path.clone(),
                changed: changed.into_iter().map(str::to_owned).collect(),
            }
            .into())
        }
        LockOrigin::OldForm if rules.locked => {
            Err(StaleLockError::OldForm { file: path.clone() }.into())
        }
        LockOrigin::OldForm => {
            report.event(Event::Warning {
                text: format!("{path} does not say what it was made from; it is taken as it is"),
                hint:
                    "run `s2r lock SOURCE` to write it anew: it is then held to the project's files"
                        .to_owned(),
            });
            Ok(())
        }
        LockOrigin::OtherTool => Ok(()),
    }
}

/// A wheel within the source is locked by its path; that is worth knowing before it moves.
fn tell_of_source_files(resolved: &[ResolvedPlatform], report: &dyn Report) {
    for wheel in resolved.iter().flat_map(|one| &one.wheels.packages) {
        if let WheelLocation::Source(path) = &wheel.location {
            report.event(Event::Warning {
                text: format!("{} is locked as the file {path} of the source", wheel.name),
                hint: String::new(),
            });
        }
    }
}

/// Writes a file whole or not at all.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, BuildError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    let unwritable = |source| FileError::Unwritable {
        path: path.clone(),
        source,
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(text.as_bytes()).map_err(unwritable)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .map_err(unwritable)?;
    file.persist(&path)
        .map_err(|error| unwritable(error.error))?;
    Ok(path)
}
