//! The project's exact wheels, and the files that the builder itself takes from the package index.

use std::collections::BTreeMap;

use super::error::BuildError;
use super::fetch::Fetcher;
use crate::net::http::{Client, HttpError};
use crate::oci::Digest;
use crate::packages::python::{PackageName, Target, Url, WheelFileName};
use crate::plan::Dependencies;
use crate::plan::builder::PipWheel;
use crate::report::Report;
use crate::resolve::wheels::{
    Fetch, FetchError, Get, Got, Indexes, Input, Location, Lock, LockedWheel, Request,
    RequirementsFile, find_file, resolution_key, resolve, write_pylock,
};
use crate::source::Tree;
use crate::store::Store;

/// The record kind of resolutions that cannot come out otherwise on another day.
const RECORD: &str = "wheels";
/// Longest requirement file or lock.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What resolving wheels needs.
#[derive(Clone, Copy)]
pub(super) struct Wheels<'a> {
    pub tree: &'a Tree,
    pub dependencies: &'a Dependencies,
    /// pip's variables and the surroundings of uv.
    pub environment: &'a BTreeMap<String, String>,
    pub rules: super::Rules,
    pub fetcher: &'a Fetcher<'a>,
    pub report: &'a dyn Report,
}

impl Wheels<'_> {
    /// The exact wheels for a target.
    ///
    /// # Errors
    /// Whatever keeps the wishes from exact wheels.
    pub(super) fn resolve(&self, target: &Target) -> Result<Lock, BuildError> {
        let (path, is_lock) = match self.dependencies {
            Dependencies::None => return Ok(Lock::default()),
            Dependencies::Pylock { path } => (path.as_str(), true),
            Dependencies::Requirements { path } => (path.as_str(), false),
        };
        let text = self
            .tree
            .read_small(path, MAX_FILE_BYTES)?
            .unwrap_or_default();
        let file = RequirementsFile { path, text: &text };
        if is_lock {
            return self.ask(Input::Pylock(file), target);
        }
        let files = [file];
        let input = Input::Requirements(&files);
        let (key, is_exact) = self.with(input, target, |request| {
            resolution_key(request, &crate::report::Silent)
        })?;
        let store = self.fetcher.store;
        if is_exact && let Some(known) = self.known(store, &key, target) {
            return Ok(known);
        }
        let lock = self.ask(input, target)?;
        let is_remote = |wheel: &LockedWheel| matches!(wheel.location, Location::Remote(_));
        if is_exact && lock.packages.iter().all(is_remote) {
            let text = write_pylock(&[(*target, &lock)]);
            store.put_record(RECORD, &key, text.as_bytes())?;
        }
        Ok(lock)
    }

    /// A resolution that was kept, read back as the lock it is.
    fn known(&self, store: &Store, key: &crate::oci::Key, target: &Target) -> Option<Lock> {
        let text = store.record(RECORD, key).ok()??;
        let file = RequirementsFile {
            path: "pylock.toml",
            text: &text,
        };
        self.ask(Input::Pylock(file), target).ok()
    }

    fn ask(&self, input: Input<'_>, target: &Target) -> Result<Lock, BuildError> {
        Ok(self.with(input, target, |request| {
            resolve(request, &Index(self.fetcher.client), self.report)
        })?)
    }

    fn with<T>(
        &self,
        input: Input<'_>,
        target: &Target,
        use_request: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        let tools = self.fetcher.store.tools();
        use_request(&Request {
            input,
            target,
            read: &|path| self.tree.read_small(path, MAX_FILE_BYTES).ok().flatten(),
            environment: self.environment,
            locked: self.rules.locked,
            offline: self.rules.offline,
            tools: &tools,
            cache: &tools.join("uv-cache"),
        })
    }
}

/// pip's own wheel, as the builder pins it, with its address on the index.
///
/// # Errors
/// The index cannot be asked, or does not have it.
pub(super) fn pip(
    pip: &PipWheel,
    environment: &BTreeMap<String, String>,
    client: &Client,
    is_needed: bool,
) -> Result<Option<LockedWheel>, BuildError> {
    let nowhere = || BuildError::Nowhere {
        name: pip.filename.clone(),
    };
    let name: PackageName = "pip".parse().map_err(|_| nowhere())?;
    let file_name: WheelFileName = pip.filename.parse().map_err(|_| nowhere())?;
    let sha256 = Digest::from_bytes(pip.sha256.0);
    let (indexes, _) = Indexes::new(
        &crate::packages::python::IndexOptions::default(),
        environment,
    );
    // The index is asked only for what has to be fetched.
    let (url, size_bytes) = if is_needed {
        let found = find_file(&Index(client), &indexes, &name, &|file| {
            file.name == pip.filename
        })?
        .ok_or_else(nowhere)?;
        (found.url, found.size_bytes)
    } else {
        let Some(index) = indexes.all().next() else {
            return Ok(None);
        };
        (index.clone(), None)
    };
    Ok(Some(LockedWheel {
        name,
        version: file_name.version.clone(),
        file_name,
        location: Location::Remote(url),
        sha256,
        size_bytes,
    }))
}

/// A package index, asked by way of the HTTP client.
pub(super) struct Index<'a>(pub &'a Client);

impl Fetch for Index<'_> {
    fn get(&self, request: &Get<'_>) -> Result<Got, FetchError> {
        let headers: Vec<(&str, &str)> = request
            .accept
            .iter()
            .map(|accept| ("accept", *accept))
            .collect();
        let response = self
            .0
            .get(request.url.reveal().reveal(), &headers, request.max_bytes)
            .map_err(|error| failure(&error, request.max_bytes))?;
        Ok(Got {
            final_url: response.final_url.to_string(),
            body: Box::new(std::io::Cursor::new(response.body)),
        })
    }
}

fn failure(error: &HttpError, max_bytes: u64) -> FetchError {
    match error {
        HttpError::Offline { .. } => FetchError::Offline,
        HttpError::TooLarge { .. } => FetchError::TooLarge(max_bytes),
        other => match other.status() {
            Some(status) => FetchError::Status(status),
            None => FetchError::Unreachable(other.to_string()),
        },
    }
}

/// What a url fetches with: credentials included, for the client alone.
pub(super) fn revealed(url: &Url) -> String {
    url.reveal().reveal().to_owned()
}
