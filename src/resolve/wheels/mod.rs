//! From requirements to exact wheels: name, version, file, address, sha256, for one target.
//!
//! Three ways, the first that fits: a `pylock.toml` is only read; requirements that are all pinned
//! and hashed are looked up in the index, and uv only tells whether the list is complete; everything
//! else is resolved by uv. Nothing of the project is run in any of them, and the machine's own Python, if it has one, is not asked.
//!
//! Secrets: index credentials travel in `Url`, which prints without them; uv gets them through
//! its environment and private files, and its messages are starred out before anyone sees them.

mod error;
mod fetch;
mod from_source;
mod index;
mod links;
mod lock;
mod pinned;
mod settings;
mod uv;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use error::ResolveError;
pub(crate) use fetch::{Fetch, FetchError, Get, Got};
pub(crate) use from_source::{
    BUILT_FOLDER, Sdist, Stand, locked_sources, sdist_for, to_build, wanted_from_source,
};
pub(crate) use index::{IndexFile, find_file};
pub(crate) use lock::{Location, Lock, LockedSource, LockedWheel, SourceOf, write_pylock};
pub(crate) use settings::Indexes;

use crate::oci::{Key, KeyBuilder};
use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, Format, Pylock, Requirements, Source, Target, WheelFileName, Wish,
    WishKind, parse, resolve_path,
};
use crate::report::{Event, Report};
use links::Links;
use lock::{Candidate, Chosen};

/// Bytes of all wheels that may lie in the source: they are held in memory while uv looks at them.
const MAX_SOURCE_WHEEL_BYTES: usize = 64 * 1024 * 1024;

/// One file of requirements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequirementsFile<'a> {
    /// Its path in the source, with `/`.
    pub path: &'a str,
    /// Its bytes.
    pub text: &'a [u8],
}

/// Where the wishes stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// A `pylock.toml`.
    Pylock(RequirementsFile<'a>),
    /// Requirement files, all of which are wanted.
    Requirements(&'a [RequirementsFile<'a>]),
}

/// What is to be resolved, for whom, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The wishes.
    pub input: Input<'a>,
    /// What wheels are for.
    pub target: &'a Target,
    /// Wheels that were built, in place of what they were built from.
    pub built: &'a [Stand],
    /// The bytes of a file of the source, by its path with `/` and without `..`.
    pub read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// The names of the files in a folder of the source, by its path; empty is the source itself. None if
    /// there is no such folder.
    pub list: &'a dyn Fn(&str) -> Option<Vec<String>>,
    /// The user's environment: pip's variables, proxies, certificates, PATH, HOME, and what
    /// `${NAME}` in requirement files means.
    pub environment: &'a BTreeMap<String, String>,
    /// Refuse to resolve what is not locked.
    pub locked: bool,
    /// Touch no network.
    pub offline: bool,
    /// A folder that is kept, for uv.
    pub tools: &'a Path,
    /// A folder that is kept, for uv's own cache.
    pub cache: &'a Path,
}

/// Resolves to one wheel a package.
///
/// # Errors
/// Whatever keeps the wishes from exact wheels; each error explains itself.
pub(crate) fn resolve(
    request: &Request<'_>,
    fetch: &dyn Fetch,
    report: &dyn Report,
) -> Result<Lock, ResolveError> {
    let prepared = Prepared::new(request, report)?;
    let mut packages = Vec::new();
    for candidate in prepared.candidates(fetch)? {
        packages.push(prepared.finish(candidate, fetch)?);
    }
    packages.sort_by(|a: &LockedWheel, b| a.name.cmp(&b.name));
    Ok(Lock { packages })
}

/// Names a resolution by all that determines it: every requirement with its options, the target,
/// the indexes without credentials, and the resolver. Where [`is_exact`](Prepared::is_exact), the
/// result may be kept under this key for good; else only as long as the index is taken to stand still.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn resolution_key(
    request: &Request<'_>,
    report: &dyn Report,
) -> Result<(Key, bool), ResolveError> {
    let prepared = Prepared::new(request, report)?;
    Ok((prepared.key(), prepared.is_exact()))
}

/// Wheels that lie in the source, by file name.
#[derive(Default)]
struct SourceWheels {
    /// Where in the source.
    paths: BTreeMap<String, String>,
    /// Their bytes, for uv to look at.
    bytes: BTreeMap<String, Vec<u8>>,
}

/// A request with its files read.
struct Prepared<'a> {
    request: Request<'a>,
    requirements: Requirements,
    pylock: Option<(&'a str, Pylock)>,
    indexes: Indexes,
    links: Links,
}

impl<'a> Prepared<'a> {
    fn new(request: &Request<'a>, report: &dyn Report) -> Result<Self, ResolveError> {
        let mut requirements = Requirements::default();
        let mut pylock = None;
        match request.input {
            Input::Pylock(file) => {
                let wrong = |error| ResolveError::Pylock {
                    path: file.path.to_owned(),
                    error,
                };
                let text = String::from_utf8_lossy(file.text);
                pylock = Some((file.path, Pylock::parse(&text).map_err(wrong)?));
            }
            Input::Requirements(files) => {
                requirements = read_requirements(request, files)?;
                from_source::put_in(&mut requirements.wishes, request.built)?;
            }
        }
        let (indexes, unusable) = Indexes::new(&requirements.options, request.environment);
        let links = Links::find(&indexes.folders, request);
        warn(report, &requirements, &indexes, &links, &unusable);
        Ok(Self {
            links,
            request: *request,
            requirements,
            pylock,
            indexes,
        })
    }

    /// Whether nothing has to be resolved.
    fn is_exact(&self) -> bool {
        self.pylock.is_some()
            || (self.links.wheels.is_empty()
                && self.requirements.constraints.is_empty()
                && self
                    .wishes()
                    .is_ok_and(|wishes| wishes.iter().all(|wish| pinned::is_exact(wish))))
    }

    /// The wishes that hold for the target.
    fn wishes(&self) -> Result<Vec<&Wish>, ResolveError> {
        applying(&self.requirements.wishes, self.request.target)
    }

    fn key(&self) -> Key {
        let mut key = KeyBuilder::new("resolution/2");
        key.add(self.request.target.to_string().as_bytes());
        key.add(uv::VERSION.as_bytes());
        if let Input::Pylock(file) = self.request.input {
            key.add(file.text);
        }
        for list in [&self.requirements.wishes, &self.requirements.constraints] {
            key.add(&(list.len() as u64).to_le_bytes());
            for wish in list {
                key.add(wish.to_string().as_bytes());
                key.add(format!("{:?}", wish.hashes).as_bytes());
            }
        }
        for index in self.indexes.all().chain(&self.indexes.find_links) {
            key.add(index.as_str().as_bytes());
        }
        key.add(&[
            u8::from(self.indexes.pre_releases),
            u8::from(self.indexes.default.is_none()),
        ]);
        key.finish()
    }

    /// Exact files, found by the first way that fits.
    fn candidates(&self, fetch: &dyn Fetch) -> Result<Vec<Candidate>, ResolveError> {
        self.found(fetch).map_err(|error| match error {
            ResolveError::NoWheel(mut no_wheel) => {
                no_wheel.must_be_wheel = self.indexes.formats.of(&no_wheel.name) == Format::Wheel;
                ResolveError::NoWheel(no_wheel)
            }
            error => error,
        })
    }

    fn found(&self, fetch: &dyn Fetch) -> Result<Vec<Candidate>, ResolveError> {
        if let Some((path, lock)) = &self.pylock {
            let mut candidates = Chosen {
                path,
                lock,
                target: self.request.target,
                source_path: &|named| resolve_path(path, named),
                built: self.request.built,
            }
            .candidates()?;
            for candidate in &mut candidates {
                if let Location::Remote(url) = &candidate.location {
                    candidate.location =
                        Location::Remote(self.indexes.with_credentials(url.clone()));
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
            return Err(ResolveError::NotLocked {
                place: self.requirements.files.join(", "),
            });
        }
        if !is_exact {
            return self.by_uv(&wishes, fetch);
        }
        if self.request.offline {
            return pinned::find_all(&wishes, &self.indexes, self.request.target, &NoNetwork);
        }
        let found = pinned::find_all(&wishes, &self.indexes, self.request.target, fetch)?;
        // As pip: hashes for some of the packages that are needed vouch for none of them.
        self.check_listed(&self.ask_uv(&wishes, &[], fetch)?, &wishes)?;
        Ok(found)
    }

    /// Whether every package needs a hash: pip's `--require-hashes`, which one hash switches on.
    fn is_with_hashes(&self, wishes: &[&Wish]) -> bool {
        self.requirements.options.require_hashes
            || wishes.iter().any(|wish| !wish.hashes.is_empty())
    }

    /// Refuses packages that are needed and not among those listed with hashes.
    fn check_listed(&self, needed: &[Candidate], listed: &[&Wish]) -> Result<(), ResolveError> {
        let missing: Vec<String> = needed
            .iter()
            .filter(|one| !listed.iter().any(|wish| wish.name() == Some(&one.name)))
            .map(|one| format!("{}=={}", one.name, one.file_name.version))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ResolveError::NotListed {
            place: self.requirements.files.join(", "),
            missing: missing.join(", "),
        })
    }

    /// What can be refused before anyone is asked.
    fn check(&self, wishes: &[&Wish]) -> Result<(), ResolveError> {
        let with_hashes = self.is_with_hashes(wishes);
        for wish in wishes {
            let wish_text = || wish.to_string();
            if from_source::needs_build(wish) || matches!(wish.kind, WishKind::Unnamed { .. }) {
                return Err(ResolveError::NeedsBuild {
                    wish: wish_text(),
                    position: wish.position.clone(),
                });
            }
            if with_hashes
                && wish.hashes.is_empty()
                && !matches!(wish.address(), Some(DirectUrl::Path(_)))
            {
                return Err(ResolveError::HashMissing {
                    wish: wish_text(),
                    position: wish.position.clone(),
                });
            }
        }
        Ok(())
    }

    fn by_uv(&self, wishes: &[&Wish], fetch: &dyn Fetch) -> Result<Vec<Candidate>, ResolveError> {
        let constraints = applying(&self.requirements.constraints, self.request.target)?;
        let mut candidates = self.ask_uv(wishes, &constraints, fetch)?;
        // As in pip, a constraint may bring the hashes of a package that others need.
        let hashed = constraints.iter().filter(|wish| !wish.hashes.is_empty());
        let listed: Vec<&Wish> = wishes.iter().chain(hashed).copied().collect();
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
        wishes: &[&Wish],
        constraints: &[&Wish],
        fetch: &dyn Fetch,
    ) -> Result<Vec<Candidate>, ResolveError> {
        let SourceWheels { mut paths, bytes } = self.source_wheels(wishes)?;
        let mut linked = BTreeMap::new();
        for (name, path, bytes) in self.links.read(&self.request)? {
            paths.entry(name.clone()).or_insert(path);
            linked.insert(name, bytes);
        }
        let network = (!self.request.offline).then_some(fetch);
        let tool = uv::obtain(
            self.request.environment,
            self.request.tools,
            &self.indexes,
            network,
        )?;
        let task = uv::Compile {
            wishes,
            constraints,
            local: &bytes,
            linked: &linked,
            indexes: &self.indexes,
            target: self.request.target,
            environment: self.request.environment,
            offline: self.request.offline,
            tools: self.request.tools,
            cache: self.request.cache,
        };
        let lock = uv::compile(&tool, &task).map_err(|error| self.enrich(error, network))?;
        let mut candidates = Chosen {
            path: "uv's lock",
            lock: &lock,
            target: self.request.target,
            source_path: &|named| {
                let name = named.rsplit('/').next().unwrap_or(named);
                paths.get(name).cloned()
            },
            built: &[],
        }
        .candidates()
        .map_err(|error| self.enrich(error, network))?;
        for candidate in &mut candidates {
            if let Location::Remote(url) = &candidate.location {
                candidate.location = Location::Remote(self.indexes.with_credentials(url.clone()));
            }
        }
        Ok(candidates)
    }

    /// uv chooses among all files; a requirement with hashes allows only some of them.
    fn obey_hashes(
        &self,
        candidate: &mut Candidate,
        wishes: &[&Wish],
        fetch: &dyn Fetch,
    ) -> Result<(), ResolveError> {
        // What was built here was held against its hashes before it was built.
        if matches!(&candidate.location, Location::Source(path) if path.starts_with(BUILT_FOLDER)) {
            return Ok(());
        }
        let Some(wish) = wishes
            .iter()
            .find(|wish| wish.name() == Some(&candidate.name) && !wish.hashes.is_empty())
        else {
            return Ok(());
        };
        if candidate
            .sha256
            .is_some_and(|sha256| wish.hashes.contains(&FileHash::Sha256(sha256)))
        {
            return Ok(());
        }
        let none = || ResolveError::Hashes {
            name: candidate.name.clone(),
            target: *self.request.target,
            position: wish.position.clone(),
        };
        if !pinned::is_exact(wish) {
            return Err(none());
        }
        *candidate = pinned::find_all(&[wish], &self.indexes, self.request.target, fetch)?
            .pop()
            .ok_or_else(none)?;
        Ok(())
    }

    /// Wheels that lie in the source, by file name: their path and bytes.
    fn source_wheels(&self, wishes: &[&Wish]) -> Result<SourceWheels, ResolveError> {
        let mut wheels = SourceWheels::default();
        let mut left_bytes = MAX_SOURCE_WHEEL_BYTES;
        for wish in wishes {
            let Some(DirectUrl::Path(path)) = wish.address() else {
                continue;
            };
            let missing = || ResolveError::NoSuchWheel {
                path: path.clone(),
                position: wish.position.clone(),
            };
            let inside = resolve_path(&wish.position.path, path).ok_or_else(missing)?;
            let bytes = (self.request.read)(&inside)
                .filter(|bytes| bytes.len() <= left_bytes)
                .ok_or_else(missing)?;
            left_bytes -= bytes.len();
            let name = inside.rsplit('/').next().unwrap_or_default().to_owned();
            wheels.paths.insert(name.clone(), inside);
            wheels.bytes.insert(name, bytes);
        }
        Ok(wheels)
    }

    /// uv takes an index that refuses for one that lacks the project. So the index is asked once
    /// more, and its refusal, if it is one, is the error.
    fn refusal(&self, reason: &str, fetch: &dyn Fetch) -> Option<ResolveError> {
        let before = reason
            .split(" was not found in the package registry")
            .next()?;
        let name = before
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()
            .filter(|_| before.len() < reason.len())?;
        self.indexes.all().find_map(|index| {
            index::project_files(fetch, &self.indexes, index, &name)
                .err()
                .filter(|error| !matches!(error, ResolveError::NoIndexPage { .. }))
        })
    }

    /// Adds what the index knows to an error about a project without a wheel: what files there are.
    /// The index failing to answer changes nothing about the error.
    fn enrich(&self, error: ResolveError, fetch: Option<&dyn Fetch>) -> ResolveError {
        let mut no_wheel = match (error, fetch) {
            (ResolveError::NoWheel(no_wheel), Some(_)) => no_wheel,
            (ResolveError::Unsatisfiable { places, reason }, Some(fetch)) => {
                return self
                    .refusal(&reason, fetch)
                    .unwrap_or(ResolveError::Unsatisfiable { places, reason });
            }
            (error, _) => return error,
        };
        let files: Vec<IndexFile> = fetch
            .into_iter()
            .flat_map(|fetch| self.indexes.all().map(move |index| (fetch, index)))
            .flat_map(|(fetch, index)| {
                index::project_files(fetch, &self.indexes, index, &no_wheel.name)
                    .unwrap_or_default()
            })
            .collect();
        let version = no_wheel.version.as_ref().and_then(|text| text.parse().ok());
        let wheels: Vec<WheelFileName> = files
            .iter()
            .filter_map(|file| file.name.parse().ok())
            .collect();
        let newest = version
            .clone()
            .or_else(|| wheels.iter().map(|wheel| &wheel.version).max().cloned());
        no_wheel.has_sdist |= files.iter().any(|file| match &version {
            Some(version) => pinned::is_sdist_of(file, version),
            None => pinned::sdist_stem(&file.name).is_some(),
        });
        no_wheel.offered.extend(
            wheels
                .iter()
                .filter(|wheel| Some(&wheel.version) == newest.as_ref())
                .map(WheelFileName::tag_text),
        );
        no_wheel.offered.sort();
        no_wheel.offered.dedup();
        ResolveError::NoWheel(no_wheel)
    }

    /// The hash of a file whose index does not tell it: by reading the file once. A lock has to
    /// tell it, for a lock that takes what comes locks nothing.
    fn finish(&self, candidate: Candidate, fetch: &dyn Fetch) -> Result<LockedWheel, ResolveError> {
        if let Some(sha256) = candidate.sha256 {
            return Ok(candidate.locked(sha256));
        }
        if let Some((path, _)) = &self.pylock {
            return Err(ResolveError::NoHashInLock {
                path: (*path).to_owned(),
                name: candidate.name,
                file: candidate.file_name.to_string(),
            });
        }
        let sha256 = match &candidate.location {
            Location::Source(path) => {
                let bytes = (self.request.read)(path).unwrap_or_default();
                uv::hash(bytes.as_slice())
            }
            Location::Built { .. } => Ok(Sha256([0; 32])),
            Location::Remote(url) => {
                let failed = |error| ResolveError::Index {
                    url: url.to_string(),
                    error,
                };
                if self.request.offline || self.request.locked {
                    return Err(failed(FetchError::Offline));
                }
                let got = fetch
                    .get(&Get {
                        url,
                        accept: None,
                        max_bytes: uv::MAX_BYTES,
                    })
                    .map_err(failed)?;
                uv::hash(got.body)
            }
        };
        let sha256 = sha256.map_err(|error| ResolveError::Index {
            url: candidate.file_name.to_string(),
            error: FetchError::Unreachable(error.to_string()),
        })?;
        Ok(candidate.locked(sha256))
    }
}

/// Stands in for the network where it is forbidden.
struct NoNetwork;

impl Fetch for NoNetwork {
    fn get(&self, _request: &Get<'_>) -> Result<Got, FetchError> {
        Err(FetchError::Offline)
    }
}

fn applying<'a>(wishes: &'a [Wish], target: &Target) -> Result<Vec<&'a Wish>, ResolveError> {
    let markers = target
        .markers()
        .map_err(|error| ResolveError::Target(error.to_string()))?;
    Ok(wishes
        .iter()
        .filter(|wish| wish.applies(&markers))
        .collect())
}

fn read_requirements(
    request: &Request<'_>,
    files: &[RequirementsFile<'_>],
) -> Result<Requirements, ResolveError> {
    let source = Source {
        read: request.read,
        variable: &|name| request.environment.get(name).cloned(),
    };
    let mut all = Requirements::default();
    for file in files {
        all.merge(parse(file.path, file.text, &source)?);
    }
    for named in request
        .environment
        .get("PIP_CONSTRAINT")
        .map_or("", String::as_str)
        .split_whitespace()
    {
        let path = resolve_path("", named);
        let text = path.as_deref().and_then(request.read);
        let (Some(path), Some(text)) = (path, text) else {
            return Err(ResolveError::Variable {
                name: "PIP_CONSTRAINT",
                path: crate::packages::python::shown(named),
            });
        };
        all.constrain(&path, &text, &source)?;
    }
    Ok(all)
}

fn warn(
    report: &dyn Report,
    requirements: &Requirements,
    indexes: &Indexes,
    links: &Links,
    unusable: &[settings::Unusable],
) {
    let say = |text: String, hint: &str| {
        report.event(Event::Warning {
            text,
            hint: hint.to_owned(),
        });
    };
    for (name, reason) in unusable {
        say(
            format!("{name} is not followed: {reason}"),
            "folders of this machine mean nothing to a build elsewhere; give an address",
        );
    }
    for folder in &links.strangers {
        say(
            format!("--find-links {folder} is not followed: it is no folder of the source"),
            "folders of this machine mean nothing to a build elsewhere; put the wheels into the source, or give an address",
        );
    }
    for folder in &links.with_sources {
        say(
            format!("--find-links {folder}: only its wheels are looked at"),
            "name source distributions one by one (`./wheels/x-1.0.tar.gz`)",
        );
    }
    for host in &indexes.trusted_hosts {
        say(
            format!("--trusted-host {host} is not followed: certificates are always checked"),
            "plain http needs no such option; for an authority of your own, name its certificate in SSL_CERT_FILE",
        );
    }
    for (position, option) in &requirements.ignored {
        say(
            format!("{position}: {option} has no effect"),
            "packages are built with their own settings",
        );
    }
}

#[cfg(test)]
mod tests;
