//! What can stop a build: the stages' own errors, and the few that belong to no single stage.

use crate::report::{Explain, Explanation, Fate};

/// Why a build, or another command of the pipeline, stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The project's files.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// What the files say.
    #[error(transparent)]
    Project(#[from] crate::project::ProjectError),
    /// The decision.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// A builder file.
    #[error(transparent)]
    Builder(#[from] crate::plan::builder::BuilderError),
    /// The wheels.
    #[error(transparent)]
    Wheels(#[from] crate::resolve::wheels::ResolveError),
    /// The base's packages.
    #[error(transparent)]
    Debian(#[from] crate::resolve::debian::DebianError),
    /// `s2r.lock`.
    #[error(transparent)]
    Lock(#[from] crate::resolve::debian::LockError),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] crate::net::http::HttpError),
    /// netrc.
    #[error(transparent)]
    Netrc(#[from] crate::net::credentials::NetrcError),
    /// The bytes of a layer of wheels.
    #[error(transparent)]
    WheelLayer(#[from] crate::layers::wheel::Error),
    /// The bytes of the base.
    #[error(transparent)]
    DebLayer(#[from] crate::layers::deb::Error),
    /// The bytes of the skeleton.
    #[error(transparent)]
    Skeleton(#[from] crate::layers::skeleton::Error),
    /// The bytes of the source layer.
    #[error(transparent)]
    SourceLayer(#[from] crate::layers::source::Error),
    /// The tar writer.
    #[error(transparent)]
    Tar(#[from] crate::archive::tar::Error),
    /// Config and manifest.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A push.
    #[error(transparent)]
    Push(#[from] crate::destination::registry::PushError),
    /// A file or folder that an image is written to.
    #[error(transparent)]
    Export(#[from] crate::destination::ExportError),
    /// `--locked`, and something is not.
    #[error("{file} is needed and is not there")]
    NotLocked {
        /// The lock's file name.
        file: String,
    },
    /// `--offline`, and the base was never resolved here.
    #[error("the packages of {suite} are not known")]
    OfflineBase {
        /// The suite.
        suite: String,
    },
    /// An artefact without an address.
    #[error("{name} is to be had nowhere")]
    Nowhere {
        /// Its file name.
        name: String,
    },
    /// The project's folder cannot be written to.
    #[error("{}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that a variable or an argument names.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Explain for BuildError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Source(error) => error.explain(),
            Self::Project(error) => error.explain(),
            Self::Plan(error) => error.explain(),
            Self::Builder(error) => error.explain(),
            Self::Wheels(error) => error.explain(),
            Self::Debian(error) => error.explain(),
            Self::Lock(error) => error.explain(),
            Self::Http(error) => error.explain(),
            Self::Netrc(error) => error.explain(),
            Self::WheelLayer(error) => error.explain(),
            Self::DebLayer(error) => error.explain(),
            Self::Skeleton(error) => error.explain(),
            Self::SourceLayer(error) => error.explain(),
            Self::Tar(error) => error.explain(),
            Self::Image(error) => error.explain(),
            Self::Store(error) => error.explain(),
            Self::Push(error) => error.explain(),
            Self::Export(error) => error.explain(),
            Self::NotLocked { file } => Explanation {
                fate: Fate::Project,
                what: format!("there is no {file}"),
                place: file.clone(),
                why: "--locked builds only what locks pin, and resolves nothing".to_owned(),
                next: "run `s2r lock SOURCE` and commit what it writes, or build without --locked".to_owned(),
            },
            Self::OfflineBase { suite } => Explanation {
                fate: Fate::World,
                what: format!("the packages of Debian {suite} are not known here"),
                place: suite.clone(),
                why: "--offline forbids asking the suite, and no build here has asked it before".to_owned(),
                next: "build once without --offline, or pin the base with `s2r lock SOURCE`".to_owned(),
            },
            Self::Nowhere { name } => Explanation {
                fate: Fate::Project,
                what: format!("the lock says nowhere where {name} is to be had"),
                place: name.clone(),
                why: "it has neither a url nor a file".to_owned(),
                next: "make the lock anew with `s2r lock SOURCE`".to_owned(),
            },
            Self::Unwritable { path, source } => Explanation {
                fate: Fate::World,
                what: "a file cannot be written".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check the folder's permissions and space".to_owned(),
            },
            Self::Unreadable { path, source } => Explanation {
                fate: Fate::CommandLine,
                what: "a file cannot be read".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check its name and permissions".to_owned(),
            },
        }
    }
}
