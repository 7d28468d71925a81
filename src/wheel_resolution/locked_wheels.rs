//! The project's exact wheels.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use pep508_rs::ExtraName;

use super::package_index::PackageIndex;
use crate::host::TempFolder;
use crate::layer_cache::StoreFetcher;
use crate::layer_recipes::revealed;
use crate::net::http::HttpError;
use crate::oci::{Digest, KeyBuilder};
use crate::packages::Sha256;
use crate::packages::python::conditions::ResolutionRules;
use crate::packages::python::{
    DirectUrl, PackageName, Position, Requirement, Version, WheelFileName, WheelTarget,
};
use crate::report::{BuildError, FileError, Report, ThreadError};
use crate::resolve::wheels::{
    IndexSdist, LockedSource, LockedWheel, OldPin, RequirementsFile, ResolveInput, ResolveRequest,
    SourceOf, WheelError, WheelLocation, WheelLock, WheelOverride, indexes, locked_sources,
    old_pin, requires_hashes, resolution_key, resolve, sdist_for, to_build, write_pylock,
};
use crate::source::{SettingsFile, SourceKind, SourceTree};
use crate::store::Store;

/// The record kind of resolutions that cannot come out otherwise on another day.
const RECORD: &str = "wheels";
/// The record kind of sizes that a server told.
const SIZE_RECORD: &str = "sizes";
/// Sizes asked for at once.
const REQUESTS: usize = 8;

/// A wheel that was built and is wanted.
#[derive(Debug, Clone)]
pub(crate) struct BuiltWheel {
    /// The line of the requirements that it was built for; none if it is wanted otherwise.
    pub instead_of: Option<Position>,
    pub file_name: WheelFileName,
    /// Its hash, by which the store has it.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Whether it is the project that an image is made of.
    pub is_own: bool,
    /// What it was built from.
    pub from: SourceOf,
    /// The address that it was wished for by, if it was.
    pub address: Option<DirectUrl>,
    /// The extras that were wished for with it.
    pub extras: Vec<ExtraName>,
}

impl BuiltWheel {
    /// Its place, as a lock of wheels has it.
    pub(crate) fn location(&self) -> WheelLocation {
        WheelLocation::Built {
            is_own: self.is_own,
            from: Box::new(self.from.clone()),
        }
    }
}

/// What is wanted, as text.
#[derive(Clone, Copy)]
pub(crate) enum WheelRequest<'a> {
    /// A lock of PEP 751.
    Pylock {
        path: &'a str,
        text: &'a [u8],
    },
    Requirements(&'a [RequirementsFile<'a>]),
}

/// What resolving wheels needs.
#[derive(Clone, Copy)]
pub(crate) struct WheelResolution<'a> {
    pub tree: &'a SourceTree,
    pub wanted: WheelRequest<'a>,
    /// Wheels that were built, which stand in for what they were built from.
    pub built: &'a [BuiltWheel],
    /// pip's variables and the surroundings of uv.
    pub environment: &'a BTreeMap<String, String>,
    /// What `${NAME}` in files of the project means.
    pub given: &'a BTreeMap<String, String>,
    /// What the project's own tool says beyond requirements.
    pub conditions: &'a ResolutionRules,
    /// What of it is the caller's.
    pub passed: &'a crate::context::passed::PassedVariables,
    pub rules: crate::context::settings::NetworkRules,
    pub fetcher: &'a StoreFetcher<'a>,
    pub report: &'a dyn Report,
}

impl WheelResolution<'_> {
    /// The exact wheels for a target.
    ///
    /// # Errors
    /// Whatever keeps the wishes from exact wheels.
    pub(crate) fn resolve(&self, target: &WheelTarget) -> Result<WheelLock, BuildError> {
        match self.wanted {
            WheelRequest::Pylock { path, text } => {
                let mut lock = self.ask(
                    ResolveInput::Pylock(RequirementsFile { path, text }),
                    target,
                )?;
                self.measure(&mut lock)?;
                Ok(lock)
            }
            WheelRequest::Requirements(files) => self.requirements(files, target),
        }
    }

    /// What of the wishes has to be built before the rest can be resolved.
    ///
    /// # Errors
    /// Requirement files that do not read.
    pub(crate) fn to_build(self, target: &WheelTarget) -> Result<Vec<Requirement>, BuildError> {
        match self.wanted {
            WheelRequest::Pylock { .. } => Ok(Vec::new()),
            WheelRequest::Requirements(files) => {
                self.with(ResolveInput::Requirements(files), target, to_build)
            }
        }
    }

    /// The caller's variables, with pip's as the requirements' own options have them.
    ///
    /// # Errors
    /// Requirement files that do not read.
    pub(crate) fn index_variables(
        &self,
        target: &WheelTarget,
    ) -> Result<BTreeMap<String, String>, BuildError> {
        let mut variables = self.environment.clone();
        if let WheelRequest::Requirements(files) = self.wanted {
            let indexes = self.with(ResolveInput::Requirements(files), target, indexes)?;
            indexes.put_into(&mut variables);
        }
        Ok(variables)
    }

    /// Whether every package needs a hash.
    ///
    /// # Errors
    /// Requirement files that do not read.
    pub(crate) fn requires_hashes(&self, target: &WheelTarget) -> Result<bool, BuildError> {
        match self.wanted {
            WheelRequest::Requirements(files) => {
                self.with(ResolveInput::Requirements(files), target, requires_hashes)
            }
            WheelRequest::Pylock { .. } => Ok(true),
        }
    }

    /// What of a lock has to be built.
    ///
    /// # Errors
    /// A lock that does not read.
    pub(crate) fn locked_sources(
        &self,
        target: &WheelTarget,
    ) -> Result<Vec<LockedSource>, BuildError> {
        match self.wanted {
            WheelRequest::Pylock { path, text } => {
                let input = ResolveInput::Pylock(RequirementsFile { path, text });
                self.with(input, target, locked_sources)
            }
            WheelRequest::Requirements(_) => Ok(Vec::new()),
        }
    }

    /// The source distribution that stands for a project without a wheel.
    ///
    /// # Errors
    /// The index cannot be asked.
    pub(crate) fn sdist_for(
        &self,
        name: &PackageName,
        version: Option<&str>,
        target: &WheelTarget,
    ) -> Result<Option<IndexSdist>, BuildError> {
        let input = match self.wanted {
            WheelRequest::Pylock { path, text } => {
                ResolveInput::Pylock(RequirementsFile { path, text })
            }
            WheelRequest::Requirements(files) => ResolveInput::Requirements(files),
        };
        self.with(input, target, |request| {
            sdist_for(request, name, version, &PackageIndex(self.fetcher))
        })
    }

    /// What the index has in place of a pinned release without a wheel.
    ///
    /// # Errors
    /// The index cannot be asked.
    pub(super) fn old_pin(
        &self,
        pinned: (&PackageName, &Version),
        others: &[WheelTarget],
        target: &WheelTarget,
    ) -> Result<Option<OldPin>, BuildError> {
        let WheelRequest::Requirements(files) = self.wanted else {
            return Ok(None);
        };
        self.with(ResolveInput::Requirements(files), target, |request| {
            old_pin(request, pinned, others, &PackageIndex(self.fetcher))
        })
    }

    /// The exact wheels of requirement files, and of wheels that were built for them.
    fn requirements(
        &self,
        files: &[RequirementsFile<'_>],
        target: &WheelTarget,
    ) -> Result<WheelLock, BuildError> {
        if files.is_empty() && self.built.is_empty() {
            return Ok(WheelLock::default());
        }
        let input = ResolveInput::Requirements(files);
        let (key, is_exact) = self.with(input, target, |request| {
            resolution_key(request, &crate::report::SilentReport)
        })?;
        let store = self.fetcher.store;
        if is_exact && let Some(known) = self.known(store, &key, target) {
            return Ok(known);
        }
        let mut lock = self.ask(input, target)?;
        self.measure(&mut lock)?;
        let is_remote = |wheel: &LockedWheel| matches!(wheel.location, WheelLocation::Remote(_));
        // Offline, nobody could be asked whether the list is complete.
        if is_exact && !self.rules.offline && lock.packages.iter().all(is_remote) {
            let text = write_pylock(&[(*target, &lock)]);
            let text = self.passed.put_names_back(&text);
            store.put_record(RECORD, &key, text.as_bytes())?;
        }
        Ok(lock)
    }

    /// A folder of links to the built wheels, which have their file names there; none where there are none.
    fn links(&self) -> Result<Option<TempFolder>, BuildError> {
        if self.built.is_empty() {
            return Ok(None);
        }
        let store = self.fetcher.store;
        let folder = store.temp_folder("built-")?;
        for wheel in self.built {
            let link = folder.path().join(wheel.file_name.as_str());
            match symlink(store.download_path(&wheel.sha256), &link) {
                // A wheel may be wanted by several lines.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|source| FileError::Unwritable { path: link, source })?,
            }
        }
        Ok(Some(folder))
    }

    /// The built wheels as the resolver knows them.
    fn stands(&self, links: Option<&TempFolder>) -> Vec<WheelOverride> {
        let folder = links.map_or(Path::new(""), TempFolder::path);
        self.built
            .iter()
            .map(|wheel| WheelOverride {
                name: wheel.file_name.name.clone(),
                file_name: wheel.file_name.to_string(),
                path: folder.join(wheel.file_name.as_str()),
                sha256: Sha256(*wheel.sha256.as_bytes()),
                size_bytes: wheel.size_bytes,
                location: wheel.location(),
                instead_of: wheel.instead_of.clone(),
                extras: wheel.extras.clone(),
                from: match &wheel.address {
                    Some(address) => address.to_string(),
                    None => format!("{}, which was built", wheel.file_name),
                },
            })
            .collect()
    }

    /// A small file of the source.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let file = SettingsFile::Requirements;
        self.tree.read_small(path, file).ok().flatten()
    }

    /// A wheel of the source.
    fn open(&self, path: &str) -> io::Result<File> {
        let entry = self.tree.follow(path.as_bytes());
        let entry = entry.filter(|entry| matches!(entry.kind, SourceKind::File { .. }));
        let entry = entry.ok_or(io::ErrorKind::NotFound)?;
        let file = self.tree.open(entry).map_err(io::Error::other)?;
        Ok(file.into_file())
    }

    /// The files right in a folder of the source.
    fn list(&self, path: &str) -> Option<Vec<String>> {
        let entry = self.tree.follow(path.as_bytes());
        if !path.is_empty() && entry.is_none_or(|entry| entry.kind != SourceKind::Directory) {
            return None;
        }
        let start = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let names = self.tree.entries().iter().filter_map(|entry| {
            let name = std::str::from_utf8(&entry.path)
                .ok()?
                .strip_prefix(&start)?;
            (!name.contains('/')).then(|| name.to_owned())
        });
        Some(names.collect())
    }

    /// A resolution that was kept, read back as the lock it is.
    fn known(
        &self,
        store: &Store,
        key: &crate::oci::Key,
        target: &WheelTarget,
    ) -> Option<WheelLock> {
        let text = store.record(RECORD, key).ok()??;
        let file = RequirementsFile {
            path: "pylock.toml",
            text: &text,
        };
        self.ask(ResolveInput::Pylock(file), target).ok()
    }

    /// Finds out the sizes that neither lock nor index tell: they decide which wheels share a layer,
    /// so that decision must not depend on what this machine happens to have.
    fn measure(&self, lock: &mut WheelLock) -> Result<(), BuildError> {
        let unknown: Vec<&mut LockedWheel> = lock
            .packages
            .iter_mut()
            .filter(|wheel| wheel.size_bytes.is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let each = unknown.len().div_ceil(REQUESTS);
        let mut unknown = unknown;
        std::thread::scope(|scope| {
            let threads: Vec<_> = unknown
                .chunks_mut(each)
                .map(|wheels| {
                    scope.spawn(|| {
                        wheels.iter_mut().try_for_each(|wheel| {
                            wheel.size_bytes = self.size_of(wheel)?;
                            Ok(())
                        })
                    })
                })
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| ThreadError::Panicked)?)
        })
    }

    /// A wheel's size: of the file that is here, as it was once asked for, or as its server tells.
    fn size_of(&self, wheel: &LockedWheel) -> Result<Option<u64>, BuildError> {
        let store = self.fetcher.store;
        if let WheelLocation::Source(path) = &wheel.location {
            let entry = self.tree.follow(path.as_bytes());
            return Ok(entry.and_then(|entry| match entry.kind {
                SourceKind::File { size_bytes, .. } => Some(size_bytes),
                SourceKind::Directory | SourceKind::Symlink { .. } => None,
            }));
        }
        if let Ok(file) = std::fs::metadata(store.download_path(&wheel.sha256)) {
            return Ok(Some(file.len()));
        }
        let key = KeyBuilder::new("size/1")
            .field(wheel.sha256.as_bytes())
            .finish();
        let known = store.record(SIZE_RECORD, &key)?;
        if let Some(size) = known.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()) {
            return Ok(Some(size));
        }
        let WheelLocation::Remote(url) = &wheel.location else {
            return Ok(None);
        };
        if self.rules.offline {
            return Ok(None);
        }
        let size = match self.fetcher.client.length(&revealed(url)) {
            Ok(Some(size)) => size,
            // A server that does not tell, or knows no HEAD: the file itself tells.
            Ok(None) | Err(HttpError::Status { .. }) => {
                let needed = crate::layer_recipes::needed_wheel(wheel);
                self.fetcher.fetch(&needed)?;
                return Ok(std::fs::metadata(store.download_path(&wheel.sha256))
                    .ok()
                    .map(|file| file.len()));
            }
            Err(error) => return Err(error.into()),
        };
        store.put_record(SIZE_RECORD, &key, size.to_string().as_bytes())?;
        Ok(Some(size))
    }

    fn ask(&self, input: ResolveInput<'_>, target: &WheelTarget) -> Result<WheelLock, BuildError> {
        self.with(input, target, |request| {
            resolve(request, &PackageIndex(self.fetcher), self.report)
        })
    }

    fn with<T>(
        &self,
        input: ResolveInput<'_>,
        target: &WheelTarget,
        use_request: impl FnOnce(&ResolveRequest<'_>) -> Result<T, WheelError>,
    ) -> Result<T, BuildError> {
        let tools = self.fetcher.store.tools();
        let links = self.links()?;
        Ok(use_request(&ResolveRequest {
            input,
            target,
            built: &self.stands(links.as_ref()),
            read: &|path| self.read(path),
            open: &|path| self.open(path),
            unpacked: self.rules.unpacked,
            list: &|path| self.list(path),
            environment: self.environment,
            given: self.given,
            conditions: self.conditions,
            locked: self.rules.locked,
            offline: self.rules.offline,
            tools: &tools,
            cache: &tools.join("uv-cache"),
        })?)
    }
}
