//! What can go wrong between requirements and exact wheels, and how it is told.

use std::path::PathBuf;

use super::fetch::IndexFetchError;
use super::uv::StubError;
use crate::archive::zip;
use crate::packages::python::{
    LineError, PackageName, Position, PylockError, ReadError, Requirement, UploadLimit, Version,
    WheelTarget,
};
use crate::report::{DISK, ErrorClass, Explain, Explanation};

/// Most wheels listed in a message.
const MAX_LISTED: usize = 8;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WheelError {
    /// A requirement file cannot be understood.
    #[error("{0}")]
    Requirements(#[from] ReadError),
    /// A `pylock.toml` cannot be understood.
    #[error("{path}: {error}")]
    Pylock {
        /// The lock's path in the source.
        path: String,
        error: PylockError,
    },
    /// The resolver answered with what is no lock.
    #[error("uv's answer cannot be read: {0}")]
    Answer(PylockError),
    /// A lock names a package twice for the same target.
    #[error("{path}: `{name}` applies twice")]
    Twice { path: String, name: PackageName },
    /// A lock does not tell the hash of a file.
    #[error("{path}: {name}: `{file}` has no sha256")]
    NoHashInLock {
        path: String,
        name: PackageName,
        file: String,
    },
    /// A lock was made for other versions of Python.
    #[error("{path}: needs Python {requires}, the target has {target}")]
    Python {
        path: String,
        requires: String,
        target: WheelTarget,
    },
    /// A lock was made for other environments.
    #[error("{path}: none of its environments is {target}")]
    Environment { path: String, target: WheelTarget },
    /// `--locked`, and there is something to resolve.
    #[error("{place} is not locked")]
    NotLocked {
        /// The first file that is not.
        place: String,
    },
    /// Something can be installed only after running code of a project.
    #[error("{position}: `{wish}` has to be built")]
    NeedsBuild { wish: String, position: Position },
    /// A package is wanted from two places.
    #[error("{name} is wanted from two places")]
    TwoAddresses {
        name: PackageName,
        /// Who wants it, and the address.
        wanted: Box<[(String, String); 2]>,
    },
    /// The metadata of wheels name too many others by address.
    #[error("{position}: wheels name more than {limit} others by their addresses")]
    TooManyAddresses { limit: usize, position: Position },
    /// A path that is not in the source.
    #[error("{position}: `{path}` is no file of the source")]
    NoSuchWheel { path: String, position: Position },
    /// A wheel of the source or at an address that is none, or unpacks to too much.
    #[error("{place}: {error}")]
    Wheel {
        /// Its path or address.
        place: String,
        /// What is wrong with it.
        error: StubError,
    },
    /// `--no-binary` names it, so that it is to be built.
    #[error("{name} {version} has no source distribution")]
    WheelUnwanted {
        name: PackageName,
        /// The version that was chosen.
        version: String,
    },
    /// There is no wheel for the target.
    #[error("{0}")]
    NoWheel(Box<NoWheel>),
    /// The requirements contradict each other or the index.
    #[error("the requirements cannot be met: {reason}")]
    Unsatisfiable {
        /// Requirements that have to do with it.
        places: Vec<Position>,
        /// The resolver's own words, for people.
        reason: String,
        /// Whether `pkg-resources==0.0.0` is asked for, which old versions of Debian's pip wrote.
        asks_for_debians_own: bool,
    },
    /// No file has one of the hashes that the requirement lists.
    #[error("{position}: no wheel of {name} for {target} has a listed hash")]
    Hashes {
        name: PackageName,
        /// What wheels are for.
        target: WheelTarget,
        /// Where the requirement stands.
        position: Position,
    },
    /// Hashes are required and one requirement has none.
    #[error("{position}: `{wish}` has no hash")]
    HashMissing { wish: String, position: Position },
    /// Hashes are required and a package that others need is not listed.
    #[error(
        "the requirements need {}, which {place} does not list",
        pinned(missing)
    )]
    NotListed {
        place: String,
        /// The packages, with the versions that would be taken.
        missing: Vec<(PackageName, Version)>,
    },
    /// An address in one of pip's variables names a variable that is not known.
    #[error("{variable}: {error}")]
    Address {
        variable: &'static str,
        /// What is wrong with its value.
        error: LineError,
    },
    /// A switch that protects, or changes what goes in, and is not followed or not understood.
    #[error("{name} is not followed: {why}")]
    Switch {
        name: &'static str,
        /// Why, or what to do instead.
        why: &'static str,
    },
    /// Files are wanted by when they were uploaded, and an index does not tell.
    #[error("{url}: it does not tell when files were uploaded")]
    NoUploadTime {
        url: String,
        /// What is asked for.
        limit: UploadLimit,
    },
    /// A variable names a file that is not there.
    #[error("{name} names `{path}`, which is no file of the source")]
    Variable { name: &'static str, path: String },
    /// Something is wanted from the network, which is switched off.
    #[error("{what} is not here, and the network is switched off")]
    Offline { what: String },
    /// An index did not answer.
    #[error("{url}: {error}")]
    Index { url: String, error: IndexFetchError },
    /// An index wants a login, and its tool has variables for one.
    #[error("{url}: it wants a login")]
    Login { url: String, variables: [String; 2] },
    /// A package comes from elsewhere than an index, and others ask for it.
    #[error("{name} comes from {place}, and from no index")]
    Elsewhere {
        name: PackageName,
        /// Where it comes from.
        place: String,
    },
    /// A file of a package that is tied to an index is not that index's.
    #[error("{url} is not of the index that {name} is tied to")]
    Stranger { name: PackageName, url: String },
    /// An index answered with something else than a page of files.
    #[error("{url}: no page of a package index")]
    NoIndexPage { url: String },
    /// The network is switched off, and what is here does not meet the requirements.
    #[error("what the requirements need is not here: {reason}")]
    NotHere {
        /// The resolver's own words.
        reason: String,
    },
    /// The resolver is neither on PATH nor in any index.
    #[error("uv {version} is in none of the indexes")]
    NoUv { version: &'static str },
    /// The resolver's file is not what was expected.
    #[error("{url}: not the pinned uv")]
    WrongUv {
        /// Where it came from.
        url: String,
    },
    /// The resolver failed in a way that this program does not know.
    #[error("uv failed: {text}")]
    Uv { text: String },
    /// A file of ours.
    #[error("{path}: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The target's version cannot be written as a marker.
    #[error("`{0}` is no target")]
    Target(String),
}

/// A project without a wheel for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoWheel {
    pub name: PackageName,
    /// The version, if one was asked for or chosen.
    pub version: Option<String>,
    /// What wheels are for.
    pub target: WheelTarget,
    /// Requirements that have to do with it.
    pub places: Vec<Position>,
    /// The resolver's own words, if it was asked.
    pub reason: String,
    /// Whether a source distribution exists.
    pub has_sdist: bool,
    /// Whether `--only-binary` forbids to build it.
    pub must_be_wheel: bool,
    /// Tags of the wheels that exist.
    pub offered: Vec<String>,
}

impl std::fmt::Display for NoWheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} has no wheel for {}", self.name, self.target)
    }
}

/// Whether a wish is the line that `pip freeze` of old versions of Debian and Ubuntu wrote. No index has it.
pub(super) fn is_debians_own(wish: &Requirement) -> bool {
    wish.name()
        .is_some_and(|name| name.as_ref() == "pkg-resources")
        && wish
            .pin()
            .is_some_and(|version| version.to_string() == "0.0.0")
}

fn pinned(packages: &[(PackageName, Version)]) -> String {
    let packages = packages.iter();
    let packages: Vec<String> = packages
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    packages.join(", ")
}

fn places(places: &[Position]) -> String {
    places
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl NoWheel {
    fn explain(&self) -> Explanation {
        let version = self
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!("=={version}"));
        let what = if self.has_sdist && self.offered.is_empty() {
            format!(
                "{}{version} exists only as a source distribution",
                self.name
            )
        } else {
            format!("{}{version} has no wheel for {}", self.name, self.target)
        };
        let mut why = String::new();
        if self.must_be_wheel {
            why.push_str("--only-binary (PIP_ONLY_BINARY, no-build of uv) forbids to build it\n");
        } else if self.has_sdist {
            why.push_str("its source distributions do not fit either: other versions, other hashes, withdrawn, or for other versions of Python\n");
        }
        if !self.offered.is_empty() {
            let listed: Vec<&str> = self
                .offered
                .iter()
                .take(MAX_LISTED)
                .map(String::as_str)
                .collect();
            let more = self.offered.len() - listed.len();
            why.push_str(&format!("wheels exist for: {}", listed.join(", ")));
            if more > 0 {
                why.push_str(&format!(" and {more} more"));
            }
            why.push('\n');
        }
        why.push_str(&self.reason);
        Explanation {
            class: ErrorClass::Project,
            what,
            place: places(&self.places),
            why: why.trim_end().to_owned(),
            next: format!(
                "ask for a version of {} that has wheels, for a package that replaces it, or build a wheel once (`pip wheel {}`) and put it into an index or the source",
                self.name, self.name
            ),
        }
    }
}

fn project(what: String, place: String, why: String, next: &str) -> Explanation {
    Explanation {
        class: ErrorClass::Project,
        what,
        place,
        why,
        next: next.to_owned(),
    }
}

fn world(what: String, place: String, why: String, next: &str) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what,
        place,
        why,
        next: next.to_owned(),
    }
}

fn ours(what: &str, why: String) -> Explanation {
    Explanation {
        class: ErrorClass::Ours,
        what: what.to_owned(),
        place: String::new(),
        why,
        next: "report this as a bug, with the output of `s2r version`".to_owned(),
    }
}

/// A variable that was not given to the build. Whether the caller has it is not said: the project
/// might be asking.
fn unknown_variable(name: &str, place: String) -> Explanation {
    Explanation {
        class: ErrorClass::Project,
        what: format!("the variable {name} was not given to the build"),
        place,
        why: format!(
            "`${{{name}}}` stands there; a project reads no variable of yours unless you say so, for it could send it anywhere"
        ),
        next: format!(
            "if {name} is meant for this address: --pass-env {name} lets the project read yours (set it first); -e {name}=VALUE sets one for the build and for the image"
        ),
    }
}

fn explain_wheel(place: &str, error: &StubError) -> Explanation {
    match error {
        StubError::Zip(error) => Explanation {
            class: match error {
                zip::ZipError::Read { .. } => ErrorClass::World,
                zip::ZipError::Archive { .. } | zip::ZipError::Member { .. } => ErrorClass::Project,
            },
            place: place.to_owned(),
            ..error.explain()
        },
        StubError::NoMetadata => project(
            "a wheel has no metadata".to_owned(),
            place.to_owned(),
            error.to_string(),
            "build the wheel anew (`pip wheel`)",
        ),
    }
}

const REACH: &str = "check PIP_INDEX_URL, the proxy variables, and SSL_CERT_FILE for a CA of your own; credentials belong into the url or ~/.netrc";

impl Explain for WheelError {
    fn explain(&self) -> Explanation {
        match self {
            Self::NoWheel(no_wheel) => no_wheel.explain(),
            Self::Requirements(ReadError {
                position,
                error: LineError::Variable(name),
            }) => unknown_variable(name, position.to_string()),
            Self::Address {
                variable,
                error: LineError::Variable(name),
            } => unknown_variable(name, (*variable).to_owned()),
            Self::Address { variable, error } => project(
                "a variable cannot be understood".to_owned(),
                (*variable).to_owned(),
                error.to_string(),
                "correct it",
            ),
            Self::Switch { name, why } => project(
                format!("{name} is set, and is not followed"),
                (*name).to_owned(),
                (*why).to_owned(),
                "correct or unset it; what it protects from would come in without a word otherwise",
            ),
            Self::NoUploadTime { url, limit } => project(
                "the package index does not tell when its files were uploaded".to_owned(),
                url.clone(),
                format!(
                    "only files that were there by {limit} are asked for (exclude-newer, PIP_UPLOADED_PRIOR_TO)"
                ),
                "take an index that tells (`upload-time`, PEP 700), lock the dependencies, or lift the limit",
            ),
            Self::Wheel { place, error } => explain_wheel(place, error),
            Self::Requirements(error) => project(
                "a requirement file cannot be understood".to_owned(),
                error.position.to_string(),
                error.error.to_string(),
                "correct that line; `pip install --dry-run -r` reads the same grammar",
            ),
            Self::Pylock { .. }
            | Self::Twice { .. }
            | Self::NoHashInLock { .. }
            | Self::Environment { .. }
            | Self::Python { .. } => self.explain_lock(),
            Self::Elsewhere { .. } | Self::Stranger { .. } => self.explain_tie(),
            Self::Login { url, variables } => world(
                "the package index wants a login".to_owned(),
                url.clone(),
                format!(
                    "{} and {} are not set, or are not those of this index",
                    variables[0], variables[1]
                ),
                "set both in your environment or with -e; ~/.netrc is honoured too",
            ),
            Self::NotLocked { .. }
            | Self::NeedsBuild { .. }
            | Self::TwoAddresses { .. }
            | Self::TooManyAddresses { .. }
            | Self::NoSuchWheel { .. }
            | Self::WheelUnwanted { .. }
            | Self::Unsatisfiable { .. }
            | Self::Hashes { .. }
            | Self::HashMissing { .. }
            | Self::NotListed { .. }
            | Self::Variable { .. } => self.explain_project(),
            Self::Offline { .. }
            | Self::Index { .. }
            | Self::NoIndexPage { .. }
            | Self::NotHere { .. }
            | Self::NoUv { .. }
            | Self::WrongUv { .. }
            | Self::Uv { .. }
            | Self::File { .. } => self.explain_world(),
            Self::Answer(error) => ours("the resolver's answer cannot be read", error.to_string()),
            Self::Target(text) => ours("the target has no markers", text.clone()),
        }
    }
}

impl WheelError {
    fn explain_lock(&self) -> Explanation {
        let again = "write the lock anew with `s2r lock` or the tool that made it";
        let what = "the lock cannot be used".to_owned();
        match self {
            Self::Pylock { path, error } => project(what, path.clone(), error.to_string(), again),
            Self::Twice { path, .. }
            | Self::NoHashInLock { path, .. }
            | Self::Environment { path, .. }
            | Self::Python { path, .. } => project(what, path.clone(), self.to_string(), again),
            _ => ours("an error was told in the wrong place", self.to_string()),
        }
    }

    fn explain_tie(&self) -> Explanation {
        let what = "a package does not come from where the project has it come from".to_owned();
        match self {
            Self::Elsewhere { name, place } => project(
                what,
                name.to_string(),
                format!(
                    "the project takes it from {place}; another package needs it, and would get whatever an index has under this name"
                ),
                "name it among the project's own dependencies too: it then comes from there",
            ),
            _ => project(
                what,
                String::new(),
                self.to_string(),
                "take it off the list of links, or lift the tie",
            ),
        }
    }

    fn explain_project(&self) -> Explanation {
        let text = self.to_string();
        match self {
            Self::NotLocked { place } => project(
                "the dependencies are not locked".to_owned(),
                place.clone(),
                "--locked forbids resolving, and not every requirement is `==` a version with a sha256".to_owned(),
                "run `s2r lock`, or leave --locked out",
            ),
            Self::NeedsBuild { wish, position } => project(
                format!("`{wish}` has to be built before it can be installed"),
                position.to_string(),
                "folders, repositories and source archives run their own build code; dependencies are put into the image without running any".to_owned(),
                "name a released version that has a wheel, or the address of a wheel",
            ),
            Self::TwoAddresses { name, wanted } => project(
                format!("{name} is wanted from two addresses"),
                format!("{}, {}", wanted[0].0, wanted[1].0),
                wanted.each_ref().map(|(who, address)| format!("{who}: {address}")).join("\n"),
                "have both name the same address, or one of them none: an image has one of a package",
            ),
            Self::TooManyAddresses { position, .. } => project(
                "wheels name too many others by their addresses".to_owned(),
                position.to_string(),
                text,
                "put those wheels into an index, and name versions",
            ),
            Self::NoSuchWheel { position, .. } => project(
                "a wheel is missing".to_owned(),
                position.to_string(),
                text,
                "correct the path, or name version and not path if the wheel is in an index: `pip freeze` writes paths of the machine that it ran on",
            ),
            Self::WheelUnwanted { name, .. } => project(
                "there is nothing to build a package from".to_owned(),
                name.to_string(),
                format!("{text}, and --no-binary (or PIP_NO_BINARY) forbids its wheel"),
                "ask for a version that has one, or leave the package out of --no-binary",
            ),
            Self::Unsatisfiable { places: found, reason, asks_for_debians_own: true } => project(
                "the requirements cannot be met".to_owned(),
                places(found),
                reason.clone(),
                "delete the line `pkg-resources==0.0.0`: old versions of Debian's and Ubuntu's `pip freeze` wrote it, and no index has it",
            ),
            Self::Unsatisfiable { places: found, reason, asks_for_debians_own: false } => project(
                "the requirements cannot be met".to_owned(),
                places(found),
                reason.clone(),
                "change the requirements named above; a package of your own needs its index in PIP_EXTRA_INDEX_URL",
            ),
            Self::Hashes { position, .. } => project(
                "no file has a hash that the requirement lists".to_owned(),
                position.to_string(),
                text,
                "the hashes may be those of another platform or of the source distribution; lock again with the hashes of all files",
            ),
            Self::HashMissing { position, .. } => project(
                "a requirement has no hash".to_owned(),
                position.to_string(),
                "--require-hashes, or a hash on another requirement, asks for one on each".to_owned(),
                "add hashes to all requirements (`pip-compile --generate-hashes`, `uv pip compile --generate-hashes`)",
            ),
            Self::NotListed { place, .. } => project(
                "the requirements with hashes are not complete".to_owned(),
                place.clone(),
                format!("{text}; where one requirement has a hash, every package must be listed with its own"),
                "list them too, with hashes (`pip-compile --generate-hashes`, `uv pip compile --generate-hashes` list all)",
            ),
            Self::Variable { name, .. } => {
                project("a file named by a variable is missing".to_owned(), (*name).to_owned(), text, "correct the variable or unset it")
            }
            _ => ours("an error was told in the wrong place", text),
        }
    }

    fn explain_world(&self) -> Explanation {
        let text = self.to_string();
        match self {
            Self::Offline { what } => world(
                format!("{what} is not here"),
                String::new(),
                "--offline forbids the network".to_owned(),
                "build once without --offline, or lock the dependencies",
            ),
            Self::Index {
                url,
                error: IndexFetchError::Local(reason),
            } => world(
                "a download cannot be written".to_owned(),
                url.clone(),
                reason.clone(),
                DISK,
            ),
            Self::Index { url, error } => world(
                "the package index does not answer".to_owned(),
                url.clone(),
                error.to_string(),
                REACH,
            ),
            Self::NoIndexPage { url } => world(
                "the package index answers with something else".to_owned(),
                url.clone(),
                "the answer is no page of the simple repository API".to_owned(),
                "the address usually ends in `/simple`; a login page in between also does this",
            ),
            Self::NotHere { reason } => world(
                "what the requirements need is not here".to_owned(),
                String::new(),
                format!("--offline forbids the network; with what was fetched before: {reason}"),
                "build once without --offline, or lock the dependencies",
            ),
            Self::NoUv { .. } => world(
                text,
                String::new(),
                "it turns requirements into exact wheels; others are taken too, from 0.8 on, but no wheel of them that s2r knows is there and runs here"
                    .to_owned(),
                "mirror a wheel of uv for musllinux, install uv on PATH, or lock the dependencies elsewhere with hashes",
            ),
            Self::WrongUv { url } => world(
                "the download of uv is not the expected file".to_owned(),
                url.clone(),
                "its sha256 is another one".to_owned(),
                "a proxy or mirror may have changed it; install uv on PATH instead",
            ),
            Self::Uv { text } => world(
                "uv failed".to_owned(),
                String::new(),
                text.clone(),
                "check that the addresses above can be reached from here (proxy variables, SSL_CERT_FILE, logins), and the disk; else report it with this text",
            ),
            Self::File { path, error } => world(
                "a file cannot be used".to_owned(),
                path.display().to_string(),
                error.to_string(),
                "check space and rights there",
            ),
            _ => ours("an error was told in the wrong place", text),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum WheelError {
        Requirements(ReadError { position: position(), error: LineError::Quote }),
        Requirements(ReadError { position: position(), error: LineError::Variable("TOKEN".into()) }),
        Pylock { path: "pylock.toml".into(), error: PylockError::Format("2.0".into()) },
        Answer(PylockError::Format("2.0".into())),
        Twice { path: "pylock.toml".into(), name: name() },
        NoHashInLock { path: "pylock.toml".into(), name: name(), file: "flask-3.1.0-py3-none-any.whl".into() },
        Python { path: "pylock.toml".into(), requires: "<3.12".into(), target: target() },
        Environment { path: "pylock.toml".into(), target: target() },
        NotLocked { place: "requirements.txt".into() },
        NeedsBuild { wish: "git+https://git.example.com/flask".into(), position: position() },
        TwoAddresses {
            name: name(),
            wanted: Box::new([
                ("requirements.txt:3".into(), "https://files.example.com/flask-3.0.0.tar.gz".into()),
                ("flask-login 0.6.3".into(), "https://files.example.com/flask-3.1.0.tar.gz".into()),
            ]),
        },
        TooManyAddresses { limit: 100, position: position() },
        NoSuchWheel { path: "wheels/flask-3.1.0-py3-none-any.whl".into(), position: position() },
        Wheel { place: "wheels/flask-3.1.0-py3-none-any.whl".into(), error: StubError::NoMetadata },
        Wheel {
            place: "wheels/flask-3.1.0-py3-none-any.whl".into(),
            error: StubError::Zip(zip::ZipError::Archive { path: "/store/tmp/1".into(), fault: zip::ArchiveFault::NoEnd }),
        },
        WheelUnwanted { name: name(), version: "3.1.0".into() },
        NoWheel(Box::new(no_wheel())),
        NoWheel(Box::new(NoWheel {
            version: None,
            has_sdist: true,
            must_be_wheel: true,
            offered: vec!["cp312-cp312-manylinux_2_28_x86_64".into(), "cp313-cp313-win_amd64".into()],
            reason: "only 1.0 is there".into(),
            ..no_wheel()
        })),
        NoWheel(Box::new(NoWheel { has_sdist: true, ..no_wheel() })),
        Unsatisfiable { places: vec![position()], reason: "flask==3.0 and flask==3.1 contradict each other".into(), asks_for_debians_own: false },
        Unsatisfiable { places: vec![position()], reason: "there is no version of pkg-resources==0.0.0".into(), asks_for_debians_own: true },
        Hashes { name: name(), target: target(), position: position() },
        HashMissing { wish: "flask==3.1.0".into(), position: position() },
        NotListed { place: "requirements.txt".into(), missing: vec![("click".parse().unwrap(), "8.1.8".parse().unwrap())] },
        Address { variable: "PIP_INDEX_URL", error: LineError::Variable("TOKEN".into()) },
        Address { variable: "PIP_INDEX_URL", error: LineError::NoValue("--index-url".into()) },
        Switch { name: "PIP_PREFIX", why: "packages go into /opt/app-root" },
        NoUploadTime { url: url(), limit: UploadLimit::read("2026-01-01", true).unwrap() },
        Variable { name: "PIP_CONSTRAINT", path: "constraints.txt".into() },
        Offline { what: "flask".into() },
        Index { url: url(), error: IndexFetchError::Status(503) },
        Index { url: url(), error: IndexFetchError::Unreachable("no connection: Connection refused".into()) },
        Index { url: url(), error: IndexFetchError::Local(crate::report::samples::denied().to_string()) },
        Login { url: url(), variables: ["UV_INDEX_OWN_USERNAME".into(), "UV_INDEX_OWN_PASSWORD".into()] },
        Elsewhere { name: name(), place: "git+https://git.example.com/flask".into() },
        Stranger { name: name(), url: "https://files.example.com/flask-3.1.0-py3-none-any.whl".into() },
        NoIndexPage { url: url() },
        NotHere { reason: "there is no version of flask".into() },
        NoUv { version: "0.9.0" },
        WrongUv { url: "https://files.example.com/uv.whl".into() },
        Uv { text: "error: something else".into() },
        File { path: "/store/tmp/1".into(), error: crate::report::samples::denied() },
        Target("3".into()),
    }
}

#[cfg(test)]
fn position() -> Position {
    Position {
        path: "requirements.txt".into(),
        line: 3,
    }
}

#[cfg(test)]
fn name() -> PackageName {
    "flask".parse().unwrap()
}

#[cfg(test)]
fn url() -> String {
    "https://pypi.example.com/simple/flask/".into()
}

#[cfg(test)]
fn target() -> WheelTarget {
    use crate::packages::python::{LibcVersion, PythonVersion, TargetArch};
    WheelTarget {
        python: PythonVersion {
            major: 3,
            minor: 13,
            patch: 5,
        },
        libc: LibcVersion::Glibc(2, 41),
        arch: TargetArch::X86_64,
    }
}

#[cfg(test)]
fn no_wheel() -> NoWheel {
    NoWheel {
        name: name(),
        version: Some("3.1.0".into()),
        target: target(),
        places: vec![position()],
        reason: String::new(),
        has_sdist: false,
        must_be_wheel: false,
        offered: vec![],
    }
}
