//! What each error between requirements and exact wheels says.

use super::{NoWheel, WheelError};
use crate::archive::zip;
use crate::packages::python::{LineError, Position, ReadError};
use crate::report::{DISK, ErrorClass, Explain, Explanation, REPORT_FAULT};
use crate::resolve::wheels::fetch::IndexFetchError;
use crate::resolve::wheels::uv::StubError;

/// Most wheels listed in a message.
const MAX_LISTED: usize = 8;
/// What to do about a lock that cannot be used.
const LOCK_AGAIN: &str =
    "write the lock again with `s2r lock SOURCE`, or with the tool that made it";
/// What to do where the network is forbidden.
const ONCE_ONLINE: &str =
    "build once without --offline, or lock the dependencies: `s2r lock SOURCE`";
/// What to do where an index cannot be reached.
const REACH: &str = "check PIP_INDEX_URL, the proxy variables, and SSL_CERT_FILE for a CA of your own; credentials belong in the URL or in ~/.netrc";

impl Explain for WheelError {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm an error, so that the compiler sees that none is forgotten"
    )]
    fn explain(&self) -> Explanation {
        match self {
            Self::Requirements(ReadError {
                position,
                error: LineError::Variable(name),
            }) => unknown_variable(name, position.to_string()),
            Self::Requirements(error) => project(
                "a requirement file cannot be understood",
                error.position.to_string(),
                error.error.to_string(),
                "correct that line; `pip install --dry-run -r` reads the same grammar",
            ),
            Self::Pylock { path, error } => lock(path, error.to_string()),
            Self::Twice { path, name } => lock(path, format!("`{name}` applies twice")),
            Self::NoHashInLock { path, name, file } => {
                lock(path, format!("{name}: `{file}` has no sha256"))
            }
            Self::Python {
                path,
                requires,
                target,
            } => lock(
                path,
                format!("it needs Python {requires}, the target has {target}"),
            ),
            Self::Environment { path, target } => {
                lock(path, format!("none of its environments is {target}"))
            }
            Self::NotLocked { place } => project(
                "the dependencies are not locked",
                place.clone(),
                "--locked forbids resolving, and not every requirement is `==` a version with a sha256",
                "run `s2r lock SOURCE` and commit what it writes, or leave --locked out",
            ),
            Self::NeedsBuild { wish, position } => project(
                format!("`{wish}` has to be built before it can be installed"),
                position.to_string(),
                "folders, repositories and source archives run their own build code; dependencies are put into the image without running any",
                "name a released version that has a wheel, or the address of a wheel",
            ),
            Self::TwoAddresses { name, wanted } => project(
                format!("{name} is wanted from two addresses"),
                format!("{}, {}", wanted[0].0, wanted[1].0),
                wanted
                    .each_ref()
                    .map(|(who, address)| format!("{who}: {address}"))
                    .join("\n"),
                "have both name the same address, or one of them none: an image has one version of a package",
            ),
            Self::TooManyAddresses { limit, position } => project(
                "wheels name too many others by their addresses",
                position.to_string(),
                format!("they name more than {limit}"),
                "put those wheels into an index, and name versions",
            ),
            Self::NoSuchWheel { path, position } => project(
                "a wheel is missing",
                position.to_string(),
                format!("`{path}` is no file of the source"),
                "correct the path, or name a version in its place if the wheel is in an index: `pip freeze` writes paths of the machine that it ran on",
            ),
            Self::Wheel { place, error } => wheel(place, error),
            Self::WheelUnwanted { name, version } => project(
                "there is nothing to build a package from",
                name.to_string(),
                format!(
                    "{name} {version} has no source distribution, and --no-binary (or PIP_NO_BINARY) forbids its wheel"
                ),
                "ask for a version that has one, or leave the package out of --no-binary",
            ),
            Self::NoWheel(no_wheel) => no_wheel.explain(),
            Self::Unsatisfiable {
                places: found,
                reason,
                asks_for_debians_own,
            } => project(
                "the requirements cannot be met",
                places(found),
                reason.clone(),
                if *asks_for_debians_own {
                    "delete the line `pkg-resources==0.0.0`: old versions of Debian's and Ubuntu's `pip freeze` wrote it, and no index has it"
                } else {
                    "change the requirements named above; a package of your own needs its index in PIP_EXTRA_INDEX_URL"
                },
            ),
            Self::Hashes {
                name,
                target,
                position,
            } => project(
                "no file has a hash that the requirement lists",
                position.to_string(),
                format!("no wheel of {name} for {target} has a listed hash"),
                "the hashes may be those of another platform or of the source distribution; lock again with the hashes of all files",
            ),
            Self::HashMissing { wish: _, position } => project(
                "a requirement has no hash",
                position.to_string(),
                "--require-hashes, or a hash on another requirement, asks for one on each",
                "add hashes to all requirements (`pip-compile --generate-hashes`, `uv pip compile --generate-hashes`)",
            ),
            Self::NotListed { place, .. } => project(
                "the requirements with hashes are not complete",
                place.clone(),
                format!(
                    "{self}; where one requirement has a hash, every package must be listed with its own"
                ),
                "list them too, with hashes (`pip-compile --generate-hashes`, `uv pip compile --generate-hashes` list all)",
            ),
            Self::Address {
                variable,
                error: LineError::Variable(name),
            } => unknown_variable(name, (*variable).to_owned()),
            Self::Address { variable, error } => project(
                "a variable cannot be understood",
                (*variable).to_owned(),
                error.to_string(),
                format!("correct the value of {variable}"),
            ),
            Self::Switch { name, why } => project(
                format!("{name} is set, and is not followed"),
                (*name).to_owned(),
                *why,
                "correct or unset it; what it protects from would come in without a word otherwise",
            ),
            Self::NoUploadTime { url, limit } => project(
                "the package index does not say when its files were uploaded",
                url.clone(),
                format!(
                    "only files that were there by {limit} are asked for (exclude-newer, PIP_UPLOADED_PRIOR_TO)"
                ),
                "take an index that says it (`upload-time`, PEP 700), lock the dependencies, or lift the limit",
            ),
            Self::Variable { name, path } => project(
                "a file named by a variable is missing",
                (*name).to_owned(),
                format!("{name} names `{path}`, which is no file of the source"),
                "correct the variable or unset it",
            ),
            Self::Offline { what } => world(
                format!("{what} is not in the store"),
                what.clone(),
                "--offline forbids the network",
                ONCE_ONLINE,
            ),
            Self::Index {
                url,
                error: IndexFetchError::Local(reason),
            } => world(
                "a download cannot be written",
                url.clone(),
                reason.clone(),
                DISK,
            ),
            Self::Index { url, error } => world(
                "the package index does not answer",
                url.clone(),
                error.to_string(),
                REACH,
            ),
            Self::Login { url, variables } => world(
                "the package index wants a login",
                url.clone(),
                format!(
                    "{} and {} are not set, or are not those of this index",
                    variables[0], variables[1]
                ),
                "set both in your environment or with -e; ~/.netrc is read too",
            ),
            Self::Elsewhere { name, place } => project(
                ANOTHER_PLACE,
                name.to_string(),
                format!(
                    "the project takes it from {place}; another package needs it, and would get whatever an index has under this name"
                ),
                "name it among the project's own dependencies too: it then comes from there",
            ),
            Self::Stranger { name, url } => project(
                ANOTHER_PLACE,
                url.clone(),
                format!("it is not of the index that {name} is tied to"),
                "take it off the list of links, or lift the tie",
            ),
            Self::NoIndexPage { url } => world(
                "the package index answers with something else",
                url.clone(),
                "the answer is no page of the simple repository API",
                "correct the address, which usually ends in `/simple`; a login page in between also does this",
            ),
            Self::NotHere { reason } => world(
                "the store does not have what the requirements need",
                "--offline".to_owned(),
                format!("--offline forbids the network; with what was fetched before: {reason}"),
                ONCE_ONLINE,
            ),
            Self::NoUv { version } => world(
                self.to_string(),
                "the package indexes".to_owned(),
                format!(
                    "uv resolves the requirements; s2r takes {version}, or another from 0.8 on that it knows, and the indexes have none that runs here"
                ),
                "mirror a wheel of uv for musllinux, install uv on PATH, or lock the dependencies elsewhere with hashes",
            ),
            Self::WrongUv { url } => world(
                "the download of uv is not the expected file",
                url.clone(),
                "its sha256 is another one",
                "a proxy or mirror may have changed it; install uv on PATH instead",
            ),
            Self::Uv { text } => world(
                "uv failed",
                "uv".to_owned(),
                text.clone(),
                "check that the addresses above can be reached from here (proxy variables, SSL_CERT_FILE, logins), and the disk; else report it with this text",
            ),
            Self::File { path, error } => world(
                "a file cannot be used",
                path.display().to_string(),
                error.to_string(),
                "check the space and the rights there",
            ),
            Self::Answer(error) => ours("uv's answer cannot be read", "uv", error.to_string()),
            Self::Target(text) => ours("the target has no markers", text, self.to_string()),
        }
    }
}

const ANOTHER_PLACE: &str = "a package does not come from where the project takes it from";

fn explanation(
    class: ErrorClass,
    what: impl Into<String>,
    place: String,
    why: impl Into<String>,
    next: impl Into<String>,
) -> Explanation {
    Explanation {
        class,
        what: what.into(),
        place,
        why: why.into(),
        next: next.into(),
    }
}

fn project(
    what: impl Into<String>,
    place: String,
    why: impl Into<String>,
    next: impl Into<String>,
) -> Explanation {
    explanation(ErrorClass::Project, what, place, why, next)
}

fn world(
    what: impl Into<String>,
    place: String,
    why: impl Into<String>,
    next: impl Into<String>,
) -> Explanation {
    explanation(ErrorClass::World, what, place, why, next)
}

fn ours(what: &str, place: &str, why: String) -> Explanation {
    explanation(ErrorClass::Ours, what, place.to_owned(), why, REPORT_FAULT)
}

fn lock(path: &str, why: String) -> Explanation {
    project("the lock cannot be used", path.to_owned(), why, LOCK_AGAIN)
}

/// A variable that was not given to the build. Whether the caller has it is not said: the project
/// might be asking.
fn unknown_variable(name: &str, place: String) -> Explanation {
    Explanation {
        class: ErrorClass::Project,
        what: format!("the variable {name} was not given to the build"),
        place,
        why: format!(
            "`${{{name}}}` stands there; a project reads no variable of yours without your leave, as it could send it anywhere"
        ),
        next: format!(
            "if {name} is meant for this address: --pass-env {name} lets the project read yours (set it first); -e {name}=VALUE sets one for the build and for the image"
        ),
    }
}

fn wheel(place: &str, error: &StubError) -> Explanation {
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
            "a wheel has no metadata",
            place.to_owned(),
            error.to_string(),
            "build the wheel anew (`pip wheel`)",
        ),
    }
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
            why: match why.trim_end() {
                "" => "the indexes have no file of it that fits".to_owned(),
                why => why.to_owned(),
            },
            next: format!(
                "ask for a version of {} that has wheels, for a package that replaces it, or build a wheel once (`pip wheel {}`) and put it into an index or the source",
                self.name, self.name
            ),
        }
    }
}
