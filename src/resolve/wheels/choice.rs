//! Which file stands for each wish: the lock's, the pinned one, or the one that uv chooses; and its
//! hash.

use std::collections::BTreeMap;
use std::io::Seek as _;

use super::error::WheelError;
use super::fetch::{GetRequest, GetResponse, IndexFetch, IndexFetchError, KeptFile};
use super::index::files_of;
use super::index::passed_over::pages;
use super::local::{LocalWheel, LocalWheels};
use super::lock::{LockSelection, LockedWheel, WheelCandidate, WheelLocation};
use super::prepared::{PreparedRequest, applying};
use super::{from_source, pinned, uv};
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, FormatRule, PackageName, PackageUrl, Pylock, Requirement, RequirementKind,
    is_public_index, resolve_path,
};
use crate::report::Report;

impl PreparedRequest<'_> {
    /// Exact files, found by the first way that fits.
    pub(super) fn candidates(
        &self,
        fetch: &dyn IndexFetch,
        report: &dyn Report,
    ) -> Result<Vec<WheelCandidate>, WheelError> {
        let formats = &self.indexes.formats;
        let found = self.found(fetch, report).map_err(|error| match error {
            WheelError::NoWheel(mut no_wheel) => {
                no_wheel.must_be_wheel = formats.of(&no_wheel.name) == FormatRule::Wheel;
                WheelError::NoWheel(no_wheel)
            }
            error => error,
        })?;
        self.refuse_unwanted(&found)?;
        Ok(found)
    }

    /// Refuses the first wheel of an index that `--no-binary` wants built.
    pub(super) fn refuse_unwanted(&self, found: &[WheelCandidate]) -> Result<(), WheelError> {
        if self.pylock.is_some() {
            // A lock means the very files that it names.
            return Ok(());
        }
        let is_unwanted = |one: &&WheelCandidate| {
            matches!(one.location, WheelLocation::Remote(_))
                && self.indexes.formats.of(&one.name) == FormatRule::Source
                && !self.is_named_by_address(&one.name)
        };
        match found.iter().find(is_unwanted) {
            Some(one) => Err(WheelError::WheelUnwanted {
                name: one.name.clone(),
                version: one.file_name.version.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Whether a line of the requirements tells where a package lies.
    fn is_named_by_address(&self, name: &PackageName) -> bool {
        let mut wishes = self.requirements.wishes.iter();
        wishes.any(|wish| wish.name() == Some(name) && wish.address().is_some())
    }

    fn found(
        &self,
        fetch: &dyn IndexFetch,
        report: &dyn Report,
    ) -> Result<Vec<WheelCandidate>, WheelError> {
        if let Some((path, lock)) = &self.pylock {
            let mut candidates = LockSelection {
                path,
                lock,
                target: self.request.target,
                source_path: &|named| resolve_path(path, named),
                built: self.request.built,
            }
            .candidates()?;
            for candidate in &mut candidates {
                if let WheelLocation::Remote(url) = &candidate.location {
                    candidate.location =
                        WheelLocation::Remote(self.indexes.with_credentials(url.clone(), None));
                }
            }
            return Ok(candidates);
        }
        let wishes = self.wishes()?;
        self.check(&wishes)?;
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let is_exact = self.is_exact();
        if self.request.locked && !is_exact {
            return Err(WheelError::NotLocked {
                place: self.requirements.files.join(", "),
            });
        }
        if !is_exact {
            if self.request.offline {
                return self.by_uv(&wishes, fetch);
            }
            // Both ask the index: at once, so that nobody waits for the pages.
            let (candidates, pages) = std::thread::scope(|scope| {
                let (names, indexes) = (self.unpinned(&wishes), &self.indexes);
                let pages = scope.spawn(move || pages(&names, indexes, fetch));
                let candidates = self.by_uv(&wishes, fetch);
                (candidates, pages.join().unwrap_or_default())
            });
            let candidates = candidates?;
            self.look_at_passed_over(&candidates, &pages, report)?;
            return Ok(candidates);
        }
        if self.request.offline {
            return self.exact_files(&wishes, &NoNetwork);
        }
        let found = self.exact_files(&wishes, fetch)?;
        // As pip: hashes for some of the packages that are needed vouch for none of them.
        self.check_listed(&self.ask_uv(&wishes, &[], fetch)?, &wishes)?;
        Ok(found)
    }

    /// The files of exact wishes: in folders of links, else in the index and on pages of links.
    fn exact_files(
        &self,
        wishes: &[&Requirement],
        fetch: &dyn IndexFetch,
    ) -> Result<Vec<WheelCandidate>, WheelError> {
        let mut found = Vec::new();
        let mut others = Vec::new();
        for wish in wishes {
            match self.linked_file(wish)? {
                Some(candidate) => found.push(candidate),
                None => others.push(*wish),
            }
        }
        if !others.is_empty() {
            let target = self.request.target;
            found.extend(pinned::find_all(&others, &self.indexes, target, fetch)?);
        }
        Ok(found)
    }

    /// Whether every package needs a hash: pip's `--require-hashes`, which one hash switches on.
    pub(super) fn is_with_hashes(&self, wishes: &[&Requirement]) -> bool {
        self.requirements.options.require_hashes
            || wishes.iter().any(|wish| !wish.hashes.is_empty())
    }

    /// Refuses packages that are needed and not among those listed with hashes.
    fn check_listed(
        &self,
        needed: &[WheelCandidate],
        listed: &[&Requirement],
    ) -> Result<(), WheelError> {
        let missing: Vec<_> = needed
            .iter()
            .filter(|one| !listed.iter().any(|wish| wish.name() == Some(&one.name)))
            .map(|one| (one.name.clone(), one.file_name.version.clone()))
            .collect();
        if missing.is_empty() || self.indexes.taken.without_dependencies {
            return Ok(());
        }
        Err(WheelError::NotListed {
            place: self.requirements.files.join(", "),
            missing,
        })
    }

    /// What can be refused before anyone is asked.
    fn check(&self, wishes: &[&Requirement]) -> Result<(), WheelError> {
        let with_hashes = self.is_with_hashes(wishes);
        for wish in wishes {
            let wish_text = || wish.to_string();
            if from_source::needs_build(wish)
                || matches!(wish.kind, RequirementKind::Unnamed { .. })
            {
                return Err(WheelError::NeedsBuild {
                    wish: wish_text(),
                    position: wish.position.clone(),
                });
            }
            if with_hashes
                && wish.hashes.is_empty()
                && !matches!(wish.address(), Some(DirectUrl::Path(_)))
            {
                return Err(WheelError::HashMissing {
                    wish: wish_text(),
                    position: wish.position.clone(),
                });
            }
        }
        Ok(())
    }

    fn by_uv(
        &self,
        wishes: &[&Requirement],
        fetch: &dyn IndexFetch,
    ) -> Result<Vec<WheelCandidate>, WheelError> {
        let constraints = applying(&self.requirements.constraints, self.request.target)?;
        let mut candidates = self.ask_uv(wishes, &constraints, fetch)?;
        // As in pip, a constraint may bring the hashes of a package that others need.
        let hashed = constraints.iter().filter(|wish| !wish.hashes.is_empty());
        let listed: Vec<&Requirement> = wishes.iter().chain(hashed).copied().collect();
        if self.is_with_hashes(wishes) {
            self.check_listed(&candidates, &listed)?;
        }
        for candidate in &mut candidates {
            self.obey_hashes(candidate, &listed, fetch)?;
        }
        Ok(candidates)
    }

    /// What uv chooses for the wishes and all that they need.
    fn ask_uv(
        &self,
        wishes: &[&Requirement],
        constraints: &[&Requirement],
        fetch: &dyn IndexFetch,
    ) -> Result<Vec<WheelCandidate>, WheelError> {
        let LocalWheels {
            addressed,
            named,
            linked,
            ..
        } = self.local_wheels(wishes, fetch)?;
        let wishes: Vec<&Requirement> = wishes.iter().copied().chain(&addressed).collect();
        let network = (!self.request.offline).then_some(fetch);
        let tool = uv::obtain(
            self.request.environment,
            self.request.tools,
            &self.indexes,
            network,
        )?;
        let bytes = |wheels: &BTreeMap<String, LocalWheel>| -> BTreeMap<String, Vec<u8>> {
            let stubs = wheels.iter();
            stubs
                .map(|(name, wheel)| (name.clone(), wheel.stub.clone()))
                .collect()
        };
        let task = uv::CompileRequest {
            wishes: &wishes,
            constraints,
            local: &bytes(&named),
            linked: &bytes(&linked),
            indexes: &self.indexes,
            target: self.request.target,
            environment: self.request.environment,
            offline: self.request.offline,
            tools: self.request.tools,
            cache: self.request.cache,
            front: None,
            overrides: &self.request.conditions.overrides,
        };
        let lock = match self.compiled(&tool, &task, fetch)? {
            Ok(lock) => lock,
            Err(failure) => {
                let mentions: Vec<PackageName> =
                    (failure.mentions.iter().map(|mention| mention.name.clone())).collect();
                let error = self.explained(failure, network);
                return Err(self.or_to_build(error, &mentions, (&tool, &task), network));
            }
        };
        let mut candidates = LockSelection {
            path: "uv's lock",
            lock: &lock,
            target: self.request.target,
            source_path: &|named| Some(named.rsplit('/').next().unwrap_or(named).to_owned()),
            built: &[],
        }
        .candidates()
        .map_err(|error| self.enrich(error, network))?;
        for candidate in &mut candidates {
            // uv saw the stub, whose hash means nothing.
            if let WheelLocation::Source(name) = &candidate.location
                && let Some(wheel) = named.get(name).or_else(|| linked.get(name))
            {
                candidate.location = wheel.location.clone();
                candidate.sha256 = wheel.sha256;
                candidate.size_bytes = wheel.size_bytes;
            }
            candidate.sha256 = candidate.sha256.filter(|sha256| *sha256 != uv::NO_HASH);
            if let WheelLocation::Remote(url) = &candidate.location {
                candidate.location =
                    WheelLocation::Remote(self.indexes.with_credentials(url.clone(), None));
            }
            self.check_tie(candidate, fetch)?;
        }
        Ok(candidates)
    }

    /// uv's lock. Only the public index is asked by uv itself: it has a hash for every file, and uv keeps
    /// what it has learned there.
    fn compiled(
        &self,
        tool: &uv::UvTool,
        task: &uv::CompileRequest<'_>,
        fetch: &dyn IndexFetch,
    ) -> Result<Result<Pylock, uv::UvFailure>, WheelError> {
        let is_public = self.indexes.named.is_empty()
            && self.indexes.find_links.is_empty()
            && self
                .indexes
                .usual()
                .all(|index| is_public_index(index.as_str()));
        if is_public || self.request.offline {
            return Ok(uv::compile(tool, task));
        }
        let use_front = |front: &str| {
            let task = uv::CompileRequest {
                front: Some(front),
                ..*task
            };
            uv::compile(tool, &task)
        };
        let behind = uv::Behind {
            indexes: &self.indexes,
            fetch,
            standing: &[],
            target: self.request.target,
        };
        let served = uv::serve(behind, use_front);
        let (compiled, failure) = served.map_err(|error| WheelError::File {
            path: "127.0.0.1".into(),
            error,
        })?;
        match (&compiled, failure) {
            (Err(_), Some(error)) => Err(error),
            _ => Ok(compiled),
        }
    }

    /// Refuses a file of a package that is tied to an index, if that index does not have it: lists of
    /// links know no ties.
    fn check_tie(
        &self,
        candidate: &WheelCandidate,
        fetch: &dyn IndexFetch,
    ) -> Result<(), WheelError> {
        let may_be_linked = !self.indexes.find_links.is_empty() || !self.links.wheels.is_empty();
        let url = match &candidate.location {
            WheelLocation::Remote(url) => url.as_str(),
            WheelLocation::Source(path) => path,
            WheelLocation::Built { .. } => return Ok(()),
        };
        let is_tied = self.indexes.named.is_tied_to_index(&candidate.name);
        if !may_be_linked || !is_tied || self.is_named_by_address(&candidate.name) {
            return Ok(());
        }
        let files = files_of(fetch, &self.indexes, &candidate.name)?;
        if files.iter().any(|file| file.url.as_str() == url) {
            return Ok(());
        }
        Err(WheelError::Stranger {
            name: candidate.name.clone(),
            url: crate::packages::python::shown(url),
        })
    }

    /// uv chooses among all files; a requirement with hashes allows only some of them.
    fn obey_hashes(
        &self,
        candidate: &mut WheelCandidate,
        wishes: &[&Requirement],
        fetch: &dyn IndexFetch,
    ) -> Result<(), WheelError> {
        // What was built here was held against its hashes before it was built.
        if matches!(candidate.location, WheelLocation::Built { .. }) {
            return Ok(());
        }
        let Some(wish) = wishes
            .iter()
            .find(|wish| wish.name() == Some(&candidate.name) && !wish.hashes.is_empty())
        else {
            return Ok(());
        };
        let sha256 = self.hash_of(candidate, fetch)?;
        candidate.sha256 = Some(sha256);
        if wish.hashes.contains(&FileHash::Sha256(sha256)) {
            return Ok(());
        }
        let none = || WheelError::Hashes {
            name: candidate.name.clone(),
            target: *self.request.target,
            position: wish.position.clone(),
        };
        if !pinned::is_exact(wish) {
            return Err(none());
        }
        *candidate = self.exact_files(&[wish], fetch)?.pop().ok_or_else(none)?;
        Ok(())
    }

    /// A file as a lock has it, with its hash. A lock of a project has to tell it: one that takes what comes locks
    /// nothing.
    pub(super) fn finish(
        &self,
        candidate: WheelCandidate,
        fetch: &dyn IndexFetch,
    ) -> Result<LockedWheel, WheelError> {
        if let (Some((path, _)), None) = (&self.pylock, candidate.sha256) {
            return Err(WheelError::NoHashInLock {
                path: (*path).to_owned(),
                name: candidate.name,
                file: candidate.file_name.to_string(),
            });
        }
        let sha256 = self.hash_of(&candidate, fetch)?;
        Ok(candidate.locked(sha256))
    }

    /// The hash of a file: as its index tells it, or of the file as it is.
    fn hash_of(
        &self,
        candidate: &WheelCandidate,
        fetch: &dyn IndexFetch,
    ) -> Result<Sha256, WheelError> {
        if let Some(sha256) = candidate.sha256 {
            return Ok(sha256);
        }
        let sha256 = match &candidate.location {
            WheelLocation::Source(path) => {
                let open = (self.request.open)(path);
                open.and_then(|mut file| {
                    file.rewind()?;
                    Ok(Sha256(*Digest::of_reader(file)?.as_bytes()))
                })
            }
            WheelLocation::Built { .. } => Ok(Sha256([0; 32])),
            WheelLocation::Remote(url) => {
                let failed = |error| WheelError::Index {
                    url: url.to_string(),
                    error,
                };
                if self.request.offline || self.request.locked {
                    return Err(failed(IndexFetchError::Offline));
                }
                Ok(fetch.file(url, None).map_err(failed)?.sha256)
            }
        };
        sha256.map_err(|error| WheelError::File {
            path: candidate.file_name.to_string().into(),
            error,
        })
    }
}

/// Stands in for the network where it is forbidden.
struct NoNetwork;

impl IndexFetch for NoNetwork {
    fn get(&self, _request: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError> {
        Err(IndexFetchError::Offline)
    }

    fn file(
        &self,
        _url: &PackageUrl,
        _sha256: Option<Sha256>,
    ) -> Result<KeptFile, IndexFetchError> {
        Err(IndexFetchError::Offline)
    }
}
