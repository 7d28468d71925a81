//! `s2r lock`: writes the exact wheels and the exact base beside the project's files.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::error::{BuildError, Obstacle, PinError};
use super::platform::{Means, Resolved, Site};
use super::{Rules, Settings, base, read};
use crate::oci::KeyBuilder;
use crate::packages::Sha256;
use crate::plan::{Dependencies, Request};
use crate::report::{Event, Report};
use crate::resolve::debian::BaseLock;
use crate::resolve::wheels::{Location, write_pylock};
use crate::source::Tree;
use crate::store::Store;

/// The standard lock (PEP 751).
const PYLOCK: &str = "pylock.toml";
/// What it is made from.
const REQUIREMENTS: &str = "requirements.txt";
/// Longest requirement file.
const MAX_REQUIREMENTS_BYTES: u64 = 64 << 20;

/// Resolves anew, and writes `pylock.toml` and `s2r.lock` into the source; returns what was
/// written. A project without dependencies gets the latter alone.
///
/// # Errors
/// What keeps the project from being resolved; a folder that cannot be written to.
pub(crate) fn lock(
    request: &Request,
    settings: &Settings,
    report: &dyn Report,
) -> Result<Vec<PathBuf>, BuildError> {
    super::obtain::check_is_folder(request, settings)?;
    let mut project = read::project(request, settings, report)?;
    let root = project.tree.root().to_owned();
    // Locks that are there say what was; requirements say what is wished for.
    project.forget(&[PYLOCK, base::LOCK_FILE])?;
    read::complete(&mut project, request, settings, report)?;
    let plan = read::decide(&project, request, report)?;
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let client = super::client::new(settings, report);
    let cache = Cache::new((&client, &store), report, &[], (&[], &[]));
    let means = Means {
        settings,
        store: &store,
        report,
        client: &client,
        cache: &cache,
    };
    let site = Site::new(&project, &plan, means)?;
    let mut base_lock = site.empty_lock()?;
    let mut resolved: Vec<Resolved> = Vec::new();
    for platform in &plan.platforms.value {
        let one = site.resolve(platform.architecture)?;
        if base_lock.image.is_none() {
            base_lock.packages.insert(
                platform.architecture.name().to_owned(),
                one.packages.base.clone(),
            );
        }
        if !one.packages.added.is_empty() {
            base_lock.added_packages.insert(
                platform.architecture.name().to_owned(),
                one.packages.added.clone(),
            );
        }
        if !one.build_packages.is_empty() {
            base_lock.build_packages.insert(
                platform.architecture.name().to_owned(),
                one.build_packages.clone(),
            );
        }
        resolved.push(one);
    }
    base_lock.requirements = wishes(&project.tree)?;
    let mut written = Vec::new();
    if !matches!(plan.dependencies.value, Dependencies::None) {
        let locks: Vec<_> = resolved
            .iter()
            .map(|one| (one.target, &one.wheels))
            .collect();
        tell_of_source_files(&resolved, report);
        written.push(write(&root, PYLOCK, &write_pylock(&locks))?);
    }
    written.push(write(&root, base::LOCK_FILE, &base_lock.write())?);
    Ok(written)
}

/// Sees to it that the locks were made from the requirement files as they are now.
///
/// # Errors
/// They were not, and `--locked` forbids to go on.
pub(super) fn check(
    tree: &Tree,
    dependencies: &Dependencies,
    rules: Rules,
    report: &dyn Report,
) -> Result<(), BuildError> {
    let Dependencies::Pylock { path } = dependencies else {
        return Ok(());
    };
    let Some(text) = tree.read_small(base::LOCK_FILE, base::MAX_LOCK_BYTES)? else {
        return Ok(());
    };
    let lock = BaseLock::read(&String::from_utf8_lossy(&text), base::LOCK_FILE)?;
    if lock.requirements.is_none() || lock.requirements == wishes(tree)? {
        return Ok(());
    }
    if rules.locked {
        return Err(PinError::StaleLock { file: path.clone() }.into());
    }
    report.event(Event::Warning {
        text: format!("the requirements have changed since {path} was made; the lock counts"),
        hint: "run `s2r lock SOURCE` to bring it up to date".to_owned(),
    });
    Ok(())
}

/// Names what `requirements.txt` and the files that it includes say; none if there is no such file.
fn wishes(tree: &Tree) -> Result<Option<Sha256>, BuildError> {
    let Some(text) = tree.read_small(REQUIREMENTS, MAX_REQUIREMENTS_BYTES)? else {
        return Ok(None);
    };
    let read = |path: &str| tree.read_small(path, MAX_REQUIREMENTS_BYTES).ok().flatten();
    let source = crate::packages::python::Source {
        read: &read,
        variable: &|_| None,
    };
    let mut key = KeyBuilder::new("requirements/1").field(&text);
    // A file that cannot be read is told of where it is resolved; here its bytes are enough.
    if let Ok(found) = crate::packages::python::parse(REQUIREMENTS, &text, &source) {
        for file in &found.files {
            key.add(file.as_bytes());
            key.add(&read(file).unwrap_or_default());
        }
    }
    Ok(Some(Sha256(*key.finish().as_bytes())))
}

/// A wheel within the source is locked by its path; that is worth knowing before it moves.
fn tell_of_source_files(resolved: &[Resolved], report: &dyn Report) {
    for wheel in resolved.iter().flat_map(|one| &one.wheels.packages) {
        if let Location::Source(path) = &wheel.location {
            report.event(Event::Warning {
                text: format!("{} is locked as the file {path} of the source", wheel.name),
                hint: String::new(),
            });
        }
    }
}

/// Writes a file whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, BuildError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    let unwritable = |source| Obstacle::Unwritable {
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
