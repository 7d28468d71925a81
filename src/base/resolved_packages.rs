//! The base's exact packages: from what was resolved within the last hour, or from the suite.

use crate::layers::deb::BasePart;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use crate::context::project::LOCK_FILE;
use crate::layer_cache::{Download, DownloadOrigin, StoreFetcher};
use crate::net::http::{ExpectedDownload, HttpError};
use crate::oci::{Architecture, Digest, Key, KeyBuilder};
use crate::packages::debian::{DebArtefact, DebianBase, Snapshot, ValidUntil};
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation};
use crate::resolve::debian::{
    BaseLock, DebianContext, DebianFetch, DebianFetchError, MAX_AGE_SECONDS, Resolution,
    request_digest,
};
use crate::store::{FileState, Store, StoreError};

/// The record kind of packages that a signed index has listed.
const LISTED: &str = "listed";

/// The record kind of resolved bases.
const RECORD: &str = "base";

/// How a base may be had.
#[derive(Clone, Copy)]
pub(crate) struct BaseRules {
    pub rules: crate::context::settings::NetworkRules,
    /// The time of the build, in seconds since 1970.
    pub now_seconds: u64,
}

/// A base may not be resolved, and nothing pins it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BasePinError {
    /// `--locked`, and no lock pins the base.
    #[error("{file} is needed and is not there")]
    NotLocked {
        /// The lock's file name.
        file: String,
    },
    /// `--offline`, and the base was never resolved here.
    #[error("the packages of {suite} are not known")]
    Offline { suite: String },
}

impl Explain for BasePinError {
    fn explain(&self) -> Explanation {
        match self {
            Self::NotLocked { file } => Explanation {
                class: ErrorClass::Project,
                what: format!("there is no {file}"),
                place: file.clone(),
                why: "--locked builds only what locks pin, and resolves nothing".to_owned(),
                next: "run `s2r lock SOURCE` and commit what it writes, or build without --locked"
                    .to_owned(),
            },
            Self::Offline { suite } => Explanation {
                class: ErrorClass::World,
                what: format!("the packages of Debian {suite} are not known here"),
                place: suite.clone(),
                why: "--offline forbids asking the suite, and no build here has asked it before"
                    .to_owned(),
                next: "build once without --offline, or pin the base with `s2r lock SOURCE`"
                    .to_owned(),
            },
        }
    }
}

/// The packages of a base for one architecture, sorted by name.
///
/// # Errors
/// Nothing known while resolving is forbidden; a suite that cannot be asked or trusted.
pub(crate) fn packages(
    base: &DebianBase,
    architecture: Architecture,
    rules: BaseRules,
    fetcher: &StoreFetcher<'_>,
) -> Result<Vec<DebArtefact>, BuildError> {
    if rules.rules.locked {
        return Err(BasePinError::NotLocked {
            file: LOCK_FILE.to_owned(),
        }
        .into());
    }
    if let Some(known) = recent(base, architecture, rules, fetcher) {
        return Ok(known);
    }
    if rules.rules.offline {
        return Err(BasePinError::Offline {
            suite: base.suite.clone(),
        }
        .into());
    }
    let Resolution { packages, expired } = crate::resolve::debian::resolve(
        base,
        architecture,
        &DebianContext {
            fetch: &DebianArchive { fetcher },
            scratch: &fetcher.store.scratch(),
            now_unix_seconds: i64::try_from(rules.now_seconds).unwrap_or(i64::MAX),
            valid_until: rules.rules.debian_valid_until,
        },
    )?;
    let validity = if expired.is_empty() {
        RecordValidity::Valid
    } else {
        let suites = expired.iter();
        let suites: Vec<String> = suites.map(ToString::to_string).collect();
        warn(&suites.join("; "), fetcher);
        RecordValidity::Expired
    };
    remember((base, validity), architecture, &packages, fetcher.store)?;
    note_listed(&packages, fetcher.store)?;
    Ok(packages)
}

/// Tells of indexes that are used although they have expired.
fn warn(suites: &str, fetcher: &StoreFetcher<'_>) {
    fetcher.report.event(Event::Warning {
        text: format!("Debian's index has expired, and is used all the same: {suites}"),
        hint: "it lacks what Debian has changed since, security updates among it; `--refresh` asks the mirror again"
            .to_owned(),
    });
}

/// Whether the indexes that a record was made from had expired then. Apart from each other, so that nobody gets the
/// one who has not asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordValidity {
    Valid,
    Expired,
}

/// Keeps what the suite has now.
pub(crate) fn remember(
    (base, validity): (&DebianBase, RecordValidity),
    architecture: Architecture,
    packages: &[DebArtefact],
    store: &Store,
) -> Result<(), BuildError> {
    let mut lock = BaseLock::new(base);
    let architecture_name = architecture.name().to_owned();
    lock.packages.insert(architecture_name, packages.to_vec());
    let key = record_key((base, validity), architecture);
    store.put_record(RECORD, &key, lock.write().as_bytes())?;
    Ok(())
}

/// What was resolved before, if it is young enough; offline, at any age.
fn recent(
    base: &DebianBase,
    architecture: Architecture,
    rules: BaseRules,
    fetcher: &StoreFetcher<'_>,
) -> Option<Vec<DebArtefact>> {
    let ignores = [base.valid_until, rules.rules.debian_valid_until].contains(&ValidUntil::Ignore);
    let is_young = |(age, _): &KnownPackages| {
        rules.rules.offline || (!rules.rules.refresh && age.as_secs() <= MAX_AGE_SECONDS)
    };
    let record = |validity| record((base, validity), architecture, fetcher.store).filter(is_young);
    if let Some((_, packages)) = record(RecordValidity::Valid) {
        return Some(packages);
    }
    let (_, packages) = record(RecordValidity::Expired).filter(|_| ignores)?;
    warn(&base.suite, fetcher);
    Some(packages)
}

/// Packages, and how long ago a suite had them.
type KnownPackages = (Duration, Vec<DebArtefact>);

/// What the suite had when a build here last asked it, and how long ago that was.
pub(crate) fn known(
    base: &DebianBase,
    architecture: Architecture,
    store: &Store,
) -> Option<KnownPackages> {
    let record = |validity| record((base, validity), architecture, store);
    record(RecordValidity::Valid).or_else(|| record(RecordValidity::Expired))
}

fn record(
    (base, validity): (&DebianBase, RecordValidity),
    architecture: Architecture,
    store: &Store,
) -> Option<KnownPackages> {
    let key = record_key((base, validity), architecture);
    let age = store.record_age(RECORD, &key)?;
    let text = String::from_utf8(store.record(RECORD, &key).ok()??).ok()?;
    let lock = BaseLock::read(&text, "the store").ok()?;
    let packages = lock.packages_for(base, architecture, "the store").ok()?;
    Some((age, packages.to_vec()))
}

fn record_key((base, validity): (&DebianBase, RecordValidity), architecture: Architecture) -> Key {
    let snapshot = base.snapshot.as_ref().and_then(Snapshot::url);
    let security = base.security_mirror.as_deref();
    let key = KeyBuilder::new("base-record/1")
        .field(request_digest(base).to_string().as_bytes())
        .field(base.mirror.as_bytes())
        .field(security.unwrap_or_default().as_bytes())
        .field(snapshot.unwrap_or_default().as_bytes())
        .field(architecture.name().as_bytes());
    match validity {
        RecordValidity::Valid => key.finish(),
        RecordValidity::Expired => key.field(b"expired").finish(),
    }
}

/// What must be in the store before debs can become layers.
pub(crate) fn needed(packages: &[DebArtefact]) -> Vec<Download> {
    packages
        .iter()
        .map(|deb| Download {
            name: format!("{}_{}_{}.deb", deb.package, deb.version, deb.architecture),
            digest: Digest::from_bytes(deb.sha256.0),
            size_bytes: Some(deb.size),
            origins: std::iter::once(&deb.url)
                .chain(&deb.snapshot_url)
                .map(|url| DownloadOrigin::Url(url.clone()))
                .collect(),
        })
        .collect()
}

/// A Debian archive, asked by way of the HTTP client.
struct DebianArchive<'a> {
    fetcher: &'a StoreFetcher<'a>,
}

impl DebianFetch for DebianArchive<'_> {
    fn get(&self, url: &str, max_bytes: u64) -> Result<Box<dyn Read + '_>, DebianFetchError> {
        // An index under its own hash never changes: what was fetched once is known.
        let known = url
            .rsplit_once("/by-hash/SHA256/")
            .and_then(|(_, hex)| format!("sha256:{hex}").parse::<Digest>().ok());
        if let Some(digest) = known
            && let Ok(FileState::Sound) = self.fetcher.store.drop_damaged_download(&digest)
            && let Ok(file) = File::open(self.fetcher.store.download_path(&digest))
        {
            return Ok(Box::new(file));
        }
        match known {
            Some(digest) => self.keep(url, digest, max_bytes),
            None => self.look_at(url, max_bytes),
        }
    }
}

impl DebianArchive<'_> {
    /// Fetches a file whose hash is known, for good.
    fn keep(
        &self,
        url: &str,
        digest: Digest,
        max_bytes: u64,
    ) -> Result<Box<dyn Read>, DebianFetchError> {
        let store = self.fetcher.store;
        let unwritable = |error: StoreError| DebianFetchError::Failed {
            url: url.to_owned(),
            explanation: Box::new(error.explain()),
        };
        let mut writer = store.writer().map_err(unwritable)?.unhashed();
        self.fetch(url, &mut writer, Some(digest), max_bytes)?;
        store
            .keep_download(writer.hashed(digest), &digest)
            .map_err(unwritable)?;
        let path = store.download_path(&digest);
        match File::open(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(unwritable(StoreError::Io { path, source })),
        }
    }

    /// Fetches a file that has yet to be judged, such as a suite's signed index: it is gone when its
    /// reader is.
    fn look_at(&self, url: &str, max_bytes: u64) -> Result<Box<dyn Read>, DebianFetchError> {
        let path = self.fetcher.store.scratch();
        let unwritable = |source| DebianFetchError::Failed {
            url: url.to_owned(),
            explanation: Box::new(
                StoreError::Io {
                    path: path.clone(),
                    source,
                }
                .explain(),
            ),
        };
        let mut file = tempfile::tempfile_in(&path).map_err(unwritable)?;
        self.fetch(url, &mut file, None, max_bytes)?;
        file.seek(SeekFrom::Start(0)).map_err(unwritable)?;
        Ok(Box::new(file))
    }

    fn fetch(
        &self,
        url: &str,
        sink: &mut dyn Write,
        digest: Option<Digest>,
        max_bytes: u64,
    ) -> Result<(), DebianFetchError> {
        let expect = ExpectedDownload {
            sha256: digest.map(|digest| *digest.as_bytes()),
            size: None,
            max_bytes,
        };
        self.fetcher
            .fetch_shown(url, &last_segments(url), sink, &expect)
            .map(|_| ())
            .map_err(|error| failure(url, &error))
    }
}

fn failure(url: &str, error: &HttpError) -> DebianFetchError {
    match error.status() {
        Some(404 | 410) => DebianFetchError::Missing {
            url: url.to_owned(),
        },
        _ => DebianFetchError::Failed {
            url: url.to_owned(),
            explanation: Box::new(error.explain()),
        },
    }
}

/// What of a url tells a person which index it is.
fn last_segments(url: &str) -> String {
    let path = url.split_once("/dists/").map_or(url, |(_, path)| path);
    path.split_once("/by-hash/")
        .map_or(path, |(path, _)| path)
        .to_owned()
}

#[cfg(test)]
crate::report::samples! {
    enum BasePinError {
        NotLocked { file: "s2r.lock".into() },
        Offline { suite: "trixie".into() },
    }
}

/// Remembers packages that stand in an index whose signature was checked.
pub(crate) fn note_listed(packages: &[DebArtefact], store: &Store) -> Result<(), StoreError> {
    for part in BasePart::OF_BASE {
        store.put_record(LISTED, &listed_key(part, packages), b"")?;
    }
    Ok(())
}

/// Whether the packages of these parts stood in such an index, all together.
pub(crate) fn are_listed(parts: &[BasePart], packages: &[DebArtefact], store: &Store) -> bool {
    parts.iter().all(|part| {
        let record = store.record(LISTED, &listed_key(*part, packages));
        record.is_ok_and(|record| record.is_some())
    })
}

fn listed_key(part: BasePart, packages: &[DebArtefact]) -> Key {
    let mut key = KeyBuilder::new("listed/1").field(part.name().as_bytes());
    for deb in part.of_all(packages) {
        key.add(deb.package.as_bytes());
        key.add(&deb.sha256.0);
    }
    key.finish()
}
