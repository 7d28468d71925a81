//! What can go wrong between a package list and its `.deb` files.

use std::{io, path::PathBuf};

use crate::{
    packages::{
        Sha256,
        debian::{ControlError, PackageError, ReleaseError, format_date},
    },
    report::{ErrorClass, Explain, Explanation, REPORT_FAULT},
};

/// A url could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DebianFetchError {
    /// The server answers, and has nothing there (404, 410).
    #[error("there is nothing at {url}")]
    Missing {
        /// The url, without credentials.
        url: String,
    },
    /// Anything else, explained by who knows.
    #[error("cannot fetch {url}: {}", explanation.what)]
    Failed {
        /// The url, without credentials.
        url: String,
        explanation: Box<Explanation>,
    },
}

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DebianError {
    /// A url could not be had.
    #[error(transparent)]
    Fetch(#[from] DebianFetchError),
    /// A body broke off.
    #[error("{url} broke off: {source}")]
    Body { url: String, source: io::Error },
    #[error("{url} is not signed")]
    Unsigned { url: String },
    /// No signature over the text is by a known key.
    #[error("{url} is not signed by a known archive key")]
    BadSignature { url: String },
    /// The suite's state is too old to be used.
    #[error("{url} is valid only until {}", format_date(*valid_until))]
    Expired {
        url: String,
        /// Until when, seconds since 1970.
        valid_until: i64,
        /// The time of the build, seconds since 1970.
        now: i64,
    },
    /// A signed file, of another suite.
    #[error("{url} is of suite {found}, not {expected}")]
    WrongSuite {
        url: String,
        /// The wanted code name.
        expected: String,
        /// The code name in the file.
        found: String,
    },
    /// The signed text is no `Release` file.
    #[error("{url}: {source}")]
    Release { url: String, source: ReleaseError },
    /// The suite has no index of that component and architecture.
    #[error("{url} names no index {path}")]
    NoIndex {
        /// Url of the `InRelease`.
        url: String,
        /// Path of the index without its ending.
        path: String,
    },
    /// Bytes that are not the ones signed for.
    #[error("{url} has sha256 {found}, not {expected}")]
    WrongDigest {
        url: String,
        /// The digest in the signed index.
        expected: Sha256,
        /// The digest of the bytes.
        found: Sha256,
    },
    /// A body of another length.
    #[error("{url} has {found} bytes, not {expected}")]
    WrongSize {
        url: String,
        expected: u64,
        /// The length; counting stops one byte above what was expected.
        found: u64,
    },
    /// An index is no control text, or does not decompress.
    #[error("{url}: {source}")]
    Index { url: String, source: ControlError },
    /// A paragraph of an index is wrong.
    #[error("{url}: {source}")]
    Package { url: String, source: PackageError },
    /// Nothing in the suite is what is needed.
    #[error("no package of the suite is `{relation}`, which {needed_by} needs")]
    NoPackage {
        relation: String,
        /// The package that needs it, or the builder.
        needed_by: String,
    },
    /// Two needs that no one version meets.
    #[error("{chosen} is chosen, and {needed_by} needs `{relation}`")]
    Conflict {
        /// Package and version chosen before.
        chosen: String,
        /// The relation that it does not meet.
        relation: String,
        needed_by: String,
    },
    /// More packages than an image can reasonably want.
    #[error("the package list needs more than {limit} packages")]
    TooMany { limit: usize },
    /// A file of our own could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// A key compiled in cannot be read.
    #[error("the archive key {name} compiled in cannot be read")]
    Key { name: &'static str },
    /// A worker thread ended without a result.
    #[error("a worker thread ended without a result")]
    Interrupted,
}

/// What to do when a mirror gives something that it must not.
const NEXT_MIRROR: &str = "run the command again; if it stays, use another mirror: set `mirror` in a builder file of your own (`--builder FILE.yaml`); nothing was kept";

impl Explain for DebianError {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm an error, so that the compiler sees that none is forgotten"
    )]
    fn explain(&self) -> Explanation {
        let (class, what, place, why, next) = match self {
            Self::Fetch(error) => return error.explain(),
            Self::Body { url, source } => {
                world("a download from the Debian archive broke off", url, source.to_string(), "run the command again")
            }
            Self::Unsigned { url } => world(
                "the Debian archive's index is not signed",
                url,
                "an InRelease file must be a clearsigned message; a proxy or a login page may have answered instead".to_owned(),
                NEXT_MIRROR,
            ),
            Self::BadSignature { url } => world(
                "the Debian archive's index is not signed by a known key",
                url,
                "none of its signatures is a valid one by an archive key that s2r carries, so its contents may be anyone's".to_owned(),
                NEXT_MIRROR,
            ),
            Self::Expired { url, valid_until, now } => world(
                "the Debian archive's index has expired",
                url,
                format!("it is valid until {}, and it is {} now: a mirror that stands still, or a wrong clock", format_date(*valid_until), format_date(*now)),
                "check the clock; else use another mirror (`mirror` in a builder file), or take the index as it is: --debian-valid-until ignore, or `valid_until: ignore` in a builder file",
            ),
            Self::WrongSuite { url, expected, found } => world(
                "the Debian archive gives another suite than asked for",
                url,
                format!("asked for {expected}, got {found}; a signed index of another suite is no answer"),
                "use the suite's code name in the builder file, or another mirror",
            ),
            Self::Release { url, source } => world("the Debian archive's Release file cannot be read", url, source.to_string(), NEXT_MIRROR),
            Self::NoIndex { url, path } => project(
                "the suite has no such component for this architecture",
                url,
                format!("it names no {path}"),
                "check `components` and `platforms` in the builder file",
            ),
            Self::WrongDigest { url, expected, found } => world(
                "a download from the Debian archive has a wrong digest",
                url,
                format!("expected sha256 {expected}, got {found}"),
                NEXT_MIRROR,
            ),
            Self::WrongSize { url, expected, found } => world(
                "a download from the Debian archive has a wrong size",
                url,
                format!("expected {expected} bytes, got {found}"),
                NEXT_MIRROR,
            ),
            Self::Index { url, source } => world("an index of the Debian archive cannot be read", url, source.to_string(), NEXT_MIRROR),
            Self::Package { url, source } => world("an index of the Debian archive cannot be read", url, source.to_string(), NEXT_MIRROR),
            Self::NoPackage { relation, needed_by } => project(
                "a Debian package is not in the suite",
                needed_by,
                format!("no package of the suite is `{relation}`"),
                "check the spelling, the suite and its components; or name it in the builder's `leave_out`",
            ),
            Self::Conflict { chosen, relation, needed_by } => project(
                "two Debian packages exclude each other",
                needed_by,
                format!("it needs `{relation}`, but {chosen} is chosen"),
                "take one of them out of `packages`, or name what is not needed in `leave_out`",
            ),
            Self::TooMany { limit } => project(
                "the builder wants too many Debian packages",
                "packages",
                format!("they need more than {limit} packages together"),
                "shorten `packages`",
            ),
            Self::File { path, source } => world(
                "a file of the build could not be written",
                &path.display().to_string(),
                source.to_string(),
                "check free space and rights of that folder",
            ),
            Self::Key { name } => ours("an archive key compiled in cannot be read", name),
            Self::Interrupted => ours("a worker thread ended without a result", "resolving Debian packages"),
        };
        Explanation {
            class,
            what,
            place,
            why,
            next,
        }
    }
}

impl Explain for DebianFetchError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Missing { url } => {
                let (class, what, place, why, next) = world(
                    "the Debian archive does not have a file",
                    url,
                    "the mirror has dropped it for a newer version, or is not a mirror of this suite".to_owned(),
                    "resolve anew (`--refresh`, or `s2r lock`), or set `snapshot` in the builder file to have old versions",
                );
                Explanation {
                    class,
                    what,
                    place,
                    why,
                    next,
                }
            }
            Self::Failed { explanation, .. } => explanation.as_ref().clone(),
        }
    }
}

type ExplanationParts = (ErrorClass, String, String, String, String);

fn world(what: &str, place: &str, why: String, next: &str) -> ExplanationParts {
    (
        ErrorClass::World,
        what.to_owned(),
        place.to_owned(),
        why,
        next.to_owned(),
    )
}

fn project(what: &str, place: &str, why: String, next: &str) -> ExplanationParts {
    (
        ErrorClass::Project,
        what.to_owned(),
        place.to_owned(),
        why,
        next.to_owned(),
    )
}

fn ours(what: &str, place: &str) -> ExplanationParts {
    (
        ErrorClass::Ours,
        what.to_owned(),
        place.to_owned(),
        "this cannot happen in a good build of s2r".to_owned(),
        REPORT_FAULT.to_owned(),
    )
}

#[cfg(test)]
crate::report::samples! {
    enum DebianError {
        Fetch(DebianFetchError::Missing { url: url() }),
        Body { url: url(), source: crate::report::samples::denied() },
        Unsigned { url: url() },
        BadSignature { url: url() },
        Expired { url: url(), valid_until: 1_700_000_000, now: 1_800_000_000 },
        WrongSuite { url: url(), expected: "trixie".into(), found: "forky".into() },
        Release { url: url(), source: ReleaseError::Missing { field: "SHA256" } },
        NoIndex { url: url(), path: "main/binary-arm64/Packages".into() },
        WrongDigest { url: url(), expected: Sha256([0xaa; 32]), found: Sha256([0xbb; 32]) },
        WrongSize { url: url(), expected: 1000, found: 999 },
        Index { url: url(), source: ControlError::NoField { line: 3 } },
        Package { url: url(), source: PackageError::Missing { package: "bash".into(), field: "Filename" } },
        NoPackage { relation: "libpq6".into(), needed_by: "Aptfile".into() },
        Conflict { chosen: "libssl3 3.5.1".into(), relation: "libssl3 (= 3.0)".into(), needed_by: "openssl".into() },
        TooMany { limit: 5000 },
        File { path: "/store/tmp/index".into(), source: crate::report::samples::denied() },
        Key { name: "trixie" },
        Interrupted,
    }
    enum DebianFetchError {
        Missing { url: url() },
        Failed {
            url: url(),
            explanation: Box::new(Explanation {
                class: ErrorClass::World,
                what: "no connection".into(),
                place: url(),
                why: "Connection refused".into(),
                next: "check the network".into(),
            }),
        },
    }
}

#[cfg(test)]
fn url() -> String {
    "http://deb.example.com/debian/dists/trixie/InRelease".into()
}
