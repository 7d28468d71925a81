//! One suite of an archive: its signed `InRelease`, and the `Packages` files that this names.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
};

use sha2::{Digest as _, Sha256 as Hasher};

use super::{
    DebianContext, ExpiredIndex, IndexValidity,
    error::{DebianError, DebianFetchError},
    signature::{SignatureFault, SuiteKeyring},
};
use crate::{
    archive::decompress::{CompressionFormat, Decoder},
    oci::Architecture,
    packages::{
        Sha256,
        debian::{DebianBase, Snapshot, SuiteRelease, ValidUntil},
    },
};

/// Largest `InRelease` taken, in bytes; that of a large suite has 250 KB.
const MAX_RELEASE_BYTES: u64 = 4 << 20;
/// Largest compressed `Packages` taken, in bytes; that of trixie's `main` has 10 MB.
const MAX_INDEX_BYTES: u64 = 128 << 20;
/// Largest decompressed `Packages` taken, in bytes; that of trixie's `main` has 57 MB.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;
/// Endings of indexes that we read, best first.
const ENDINGS: [(&str, CompressionFormat); 2] = [
    (".xz", CompressionFormat::Xz),
    (".gz", CompressionFormat::Gzip),
];

/// A suite to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SuiteClient {
    /// Url of the archive, without a slash at its end.
    pub archive: String,
    /// Url of the snapshot of that archive.
    pub snapshot: Option<String>,
    /// Folder below `dists/`, which is the code name too.
    pub name: String,
    pub components: Vec<String>,
}

/// A `Packages` file whose digest has been checked.
pub(super) struct PackagesFile {
    /// Where it came from.
    pub url: String,
    /// Its text, decompressed as it is read.
    pub text: Decoder<BufReader<File>>,
}

/// What a suite has for one architecture.
pub(super) struct SuiteIndexes {
    pub files: Vec<PackagesFile>,
    /// Its signed index, if that has expired.
    pub expired: Option<ExpiredIndex>,
}

/// The suites that a base reads: the release, its updates, its security updates.
pub(super) fn suites_of(base: &DebianBase) -> Vec<SuiteClient> {
    let suite = |archive: &str, folder: &str, name: String| SuiteClient {
        archive: archive.trim_end_matches('/').to_owned(),
        snapshot: base
            .snapshot
            .as_ref()
            .and_then(Snapshot::url)
            .map(|url| url.trim_end_matches('/').replace("{archive}", folder)),
        name,
        components: base.components.clone(),
    };
    let mut suites = vec![suite(&base.mirror, "debian", base.suite.clone())];
    if base.updates {
        suites.push(suite(
            &base.mirror,
            "debian",
            format!("{}-updates", base.suite),
        ));
    }
    if let Some(security) = &base.security_mirror {
        suites.push(suite(
            security,
            "debian-security",
            format!("{}-security", base.suite),
        ));
    }
    suites
}

/// Fetches and checks the indexes of a suite.
pub(super) fn fetch_indexes(
    suite: &SuiteClient,
    architecture: Architecture,
    keys: &SuiteKeyring,
    (validity, context): (IndexValidity, &DebianContext<'_>),
) -> Result<SuiteIndexes, DebianError> {
    let (release, expired) = fetch_release(suite, keys, (validity, context))?;
    let files = suite.components.iter().map(|component| {
        let path = format!("{component}/binary-{}/Packages", architecture.name());
        fetch_index(suite, &release, &path, context)
    });
    Ok(SuiteIndexes {
        files: files.collect::<Result<_, _>>()?,
        expired,
    })
}

/// The suite's `InRelease`, signature, age and name checked; and whether it has expired, where that is no matter.
fn fetch_release(
    suite: &SuiteClient,
    keys: &SuiteKeyring,
    (validity, context): (IndexValidity, &DebianContext<'_>),
) -> Result<(SuiteRelease, Option<ExpiredIndex>), DebianError> {
    let url = format!("{}/dists/{}/InRelease", suite.archive, suite.name);
    let mut bytes = Vec::new();
    context
        .fetch
        .get(&url, MAX_RELEASE_BYTES)?
        .take(MAX_RELEASE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| DebianError::Body {
            url: url.clone(),
            source,
        })?;
    let message =
        String::from_utf8(bytes).map_err(|_| DebianError::Unsigned { url: url.clone() })?;
    let now = context.now_unix_seconds;
    let text = keys.verify(&message, now).map_err(|fault| match fault {
        SignatureFault::Unsigned => DebianError::Unsigned { url: url.clone() },
        SignatureFault::NotByKnownKey => DebianError::BadSignature { url: url.clone() },
    })?;
    let release = SuiteRelease::read(text.as_bytes()).map_err(|source| DebianError::Release {
        url: url.clone(),
        source,
    })?;
    let expired = match (release.valid_until, validity.meaning) {
        (Some(valid_until), ValidUntil::Check) if valid_until < validity.at => {
            return Err(DebianError::Expired {
                url,
                valid_until,
                now: validity.at,
            });
        }
        (Some(valid_until), ValidUntil::Ignore) if valid_until < validity.at => {
            let suite = suite.name.clone();
            Some(ExpiredIndex { suite, valid_until })
        }
        _ => None,
    };
    if release.codename != suite.name && release.suite != suite.name {
        return Err(DebianError::WrongSuite {
            url,
            expected: suite.name.clone(),
            found: release.codename,
        });
    }
    Ok((release, expired))
}

/// One `Packages` file, first in a temporary file, so that nothing unchecked is decompressed.
fn fetch_index(
    suite: &SuiteClient,
    release: &SuiteRelease,
    path: &str,
    context: &DebianContext<'_>,
) -> Result<PackagesFile, DebianError> {
    let folder = format!("{}/dists/{}", suite.archive, suite.name);
    let listed = ENDINGS.iter().find_map(|(ending, format)| {
        let file = format!("{path}{ending}");
        let (digest, size) = release.indexes.get(&file)?;
        Some((*format, file, *digest, *size))
    });
    let Some((format, file, digest, size)) = listed else {
        return Err(DebianError::NoIndex {
            url: format!("{folder}/InRelease"),
            path: path.to_owned(),
        });
    };
    let url = format!("{folder}/{file}");
    let limit = size.min(MAX_INDEX_BYTES);
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let by_hash = format!("{folder}/{parent}/by-hash/SHA256/{digest}");
    let body = if release.by_hash {
        match context.fetch.get(&by_hash, limit) {
            Err(DebianFetchError::Missing { .. }) => context.fetch.get(&url, limit)?,
            other => other?,
        }
    } else {
        context.fetch.get(&url, limit)?
    };
    let scratch = |source| DebianError::File {
        path: context.scratch.to_owned(),
        source,
    };
    let mut spool = tempfile::tempfile_in(context.scratch).map_err(scratch)?;
    copy_checked(body, &mut spool, &url, (digest, limit))?.map_err(scratch)?;
    spool.seek(SeekFrom::Start(0)).map_err(scratch)?;
    let packed = BufReader::with_capacity(64 << 10, spool);
    let text =
        Decoder::new(packed, format, MAX_UNPACKED_BYTES).map_err(|source| DebianError::Body {
            url: url.clone(),
            source,
        })?;
    Ok(PackagesFile { url, text })
}

/// Copies a body of known size and digest. The outer error is the body's, the inner the sink's.
fn copy_checked(
    mut body: impl Read,
    sink: &mut (impl Write + ?Sized),
    url: &str,
    (digest, size): (Sha256, u64),
) -> Result<io::Result<()>, DebianError> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    let mut found: u64 = 0;
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let url = url.to_owned();
                return Err(DebianError::Body { url, source });
            }
        };
        let part = buffer.get(..read).unwrap_or_default();
        found += read as u64;
        if found > size {
            break;
        }
        hasher.update(part);
        if let Err(error) = sink.write_all(part) {
            return Ok(Err(error));
        }
    }
    if found != size {
        return Err(DebianError::WrongSize {
            url: url.to_owned(),
            expected: size,
            found,
        });
    }
    let found = Sha256(hasher.finalize().into());
    if found != digest {
        return Err(DebianError::WrongDigest {
            url: url.to_owned(),
            expected: digest,
            found,
        });
    }
    Ok(Ok(()))
}
