//! What can stop a build: the stages' own errors, and the few that belong to no single stage.

use crate::oci::{Digest, Platform};
use crate::report::{Explain, Explanation, Fate};

/// Why a build, or another command of the pipeline, stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The project's files.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// What names the project.
    #[error(transparent)]
    Location(#[from] crate::source::location::LocationError),
    /// A git repository.
    #[error(transparent)]
    Git(#[from] crate::source::git::GitError),
    /// An archive that is the source.
    #[error(transparent)]
    Archive(#[from] crate::source::unpack::UnpackError),
    /// What the files say.
    #[error(transparent)]
    Project(#[from] crate::project::ProjectError),
    /// The decision.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// A builder file.
    #[error(transparent)]
    Builder(#[from] crate::plan::builder::BuilderError),
    /// A builder upon an image that does not tell enough.
    #[error(transparent)]
    ImageBuilder(#[from] crate::plan::image_builder::ImageBuilderError),
    /// An image that is a base.
    #[error(transparent)]
    BaseImage(#[from] super::base_image::BaseImageError),
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
    /// An environment file or argument.
    #[error(transparent)]
    Environment(#[from] crate::source::environment::Error),
    /// The bytes of a layer of wheels.
    #[error(transparent)]
    WheelLayer(#[from] crate::layers::wheel::Error),
    /// The bytes of the base.
    #[error(transparent)]
    DebLayer(#[from] crate::layers::deb::DebLayerError),
    /// The bytes of the source layer.
    #[error(transparent)]
    SourceLayer(#[from] crate::layers::source::Error),
    /// Byte code.
    #[error(transparent)]
    Compile(#[from] super::bytecode::CompileError),
    /// A layer as a folder.
    #[error(transparent)]
    Unpack(#[from] crate::layers::unpack::UnpackError),
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
    /// A step in the sandbox.
    #[error(transparent)]
    Step(#[from] super::steps::StepError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxError),
    /// A wheel that was to be built.
    #[error(transparent)]
    WheelBuild(#[from] super::build_wheel::WheelBuildError),
    /// What a wheel was to be built from.
    #[error(transparent)]
    Material(#[from] super::exact::MaterialError),
    /// The bytes of a layer of changes.
    #[error(transparent)]
    Changes(#[from] crate::layers::changes::Error),
    /// An image that is to be run.
    #[error(transparent)]
    Run(#[from] super::run::RunError),
    /// An image that is put on another base.
    #[error(transparent)]
    Rebase(#[from] super::rebase::RebaseError),
    /// A layer that lies in a registry.
    #[error(transparent)]
    NotThere(#[from] super::elsewhere::NotThere),
    /// Layers of a registry's image, when they were held against ours.
    #[error(transparent)]
    Disproved(#[from] super::verify::Disproved),
    /// A layer that is not what is said of it.
    #[error(transparent)]
    OtherTar(#[from] super::roots::OtherTar),
    /// A layer of a registry's image.
    #[error(transparent)]
    Contradicted(#[from] super::trust::Contradicted),
    /// A layer of a registry's image that nothing here vouches for.
    #[error(transparent)]
    NoRecipe(#[from] super::trust::NoRecipe),
    /// Who is logged in where.
    #[error(transparent)]
    Login(#[from] super::login::LoginError),
    /// What is pinned, and how.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// What belongs to no single stage.
    #[error(transparent)]
    Own(#[from] Obstacle),
}

impl BuildError {
    /// Whether this is only the echo of another failure.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self, Self::Own(Obstacle::Stopped))
    }

    /// Whether an image in a registry is of less use than it seemed: a layer of it is not there, or a
    /// wheel is wanted that is in another layer than it was, or a layer is not what its key says.
    pub(super) fn is_of_cache(&self) -> bool {
        self.missing_layer().is_some()
            || matches!(
                self,
                Self::Pin(PinError::Nowhere { .. }) | Self::Contradicted(_) | Self::NoRecipe(_)
            )
    }

    /// The layer that is not where a registry's image said that it is.
    pub(super) fn missing_layer(&self) -> Option<Digest> {
        match self {
            Self::NotThere(missing) => Some(missing.digest),
            Self::Push(crate::destination::registry::PushError::Nowhere { digest, .. }) => {
                Some(*digest)
            }
            _ => None,
        }
    }
}

impl Explain for BuildError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Source(error) => error.explain(),
            Self::Location(error) => error.explain(),
            Self::Git(error) => error.explain(),
            Self::Archive(error) => error.explain(),
            Self::Project(error) => error.explain(),
            Self::Plan(error) => error.explain(),
            Self::Builder(error) => error.explain(),
            Self::ImageBuilder(error) => error.explain(),
            Self::BaseImage(error) => error.explain(),
            Self::Wheels(error) => error.explain(),
            Self::Debian(error) => error.explain(),
            Self::Lock(error) => error.explain(),
            Self::Http(error) => error.explain(),
            Self::Environment(error) => error.explain(),
            Self::WheelLayer(error) => error.explain(),
            Self::DebLayer(error) => error.explain(),
            Self::SourceLayer(error) => error.explain(),
            Self::Compile(error) => error.explain(),
            Self::Unpack(error) => error.explain(),
            Self::Tar(error) => error.explain(),
            Self::Image(error) => error.explain(),
            Self::Store(error) => error.explain(),
            Self::Push(error) => error.explain(),
            Self::Export(error) => error.explain(),
            Self::Step(error) => error.explain(),
            Self::Sandbox(error) => error.explain(),
            Self::WheelBuild(error) => error.explain(),
            Self::Material(error) => error.explain(),
            Self::Changes(error) => error.explain(),
            Self::Run(error) => error.explain(),
            Self::Rebase(error) => error.explain(),
            Self::NotThere(error) => error.explain(),
            Self::Disproved(error) => error.explain(),
            Self::OtherTar(error) => error.explain(),
            Self::Contradicted(error) => error.explain(),
            Self::NoRecipe(error) => error.explain(),
            Self::Login(error) => error.explain(),
            Self::Pin(error) => error.explain(),
            Self::Own(error) => error.explain(),
        }
    }
}

/// What is wrong with what locks and builders pin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
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
    /// What the lock was made from is not what it was.
    #[error("{file} is older than {}", changed.join(", "))]
    StaleLock {
        /// The lock's file name.
        file: String,
        /// Names of inputs that are others now.
        changed: Vec<String>,
    },
    /// `--locked`, and a lock of s2r that does not say what it was made from.
    #[error("{file} does not say what it was made from")]
    OldLock {
        /// The lock's file name.
        file: String,
    },
    /// A lock that names a wheel which the source does not hold.
    #[error("{path} is no file of the source")]
    NoWheel {
        /// Its path in the source.
        path: String,
    },
    /// A wheel of the source that is not the one which the lock means.
    #[error("{path}: expected {expected}, found {found}")]
    OtherWheel {
        /// Its path in the source.
        path: String,
        /// The lock's hash.
        expected: Digest,
        /// The file's.
        found: Digest,
    },
}

/// What to do about a lock that is not that of its project.
const RELOCK: &str = "run `s2r lock SOURCE` and commit what it writes";

impl Explain for PinError {
    fn explain(&self) -> Explanation {
        match self {
            Self::NotLocked { file } => Explanation {
                fate: Fate::Project,
                what: format!("there is no {file}"),
                place: file.clone(),
                why: "--locked builds only what locks pin, and resolves nothing".to_owned(),
                next: "run `s2r lock SOURCE` and commit what it writes, or build without --locked"
                    .to_owned(),
            },
            Self::OfflineBase { suite } => Explanation {
                fate: Fate::World,
                what: format!("the packages of Debian {suite} are not known here"),
                place: suite.clone(),
                why: "--offline forbids asking the suite, and no build here has asked it before"
                    .to_owned(),
                next: "build once without --offline, or pin the base with `s2r lock SOURCE`"
                    .to_owned(),
            },
            Self::Nowhere { name } => Explanation {
                fate: Fate::Project,
                what: format!("the lock says nowhere where {name} is to be had"),
                place: name.clone(),
                why: "it has neither a url nor a file".to_owned(),
                next: "make the lock anew with `s2r lock SOURCE`".to_owned(),
            },
            Self::StaleLock { file, changed } => Explanation {
                fate: Fate::Project,
                what: self.to_string(),
                place: changed.join(", "),
                why: format!(
                    "{file} was made from something else: what was locked is not what is asked for now"
                ),
                next: RELOCK.to_owned(),
            },
            Self::OldLock { file } => Explanation {
                fate: Fate::Project,
                what: self.to_string(),
                place: file.clone(),
                why: "it was written by an older s2r; --locked builds only what is known to be what the project asks for"
                    .to_owned(),
                next: RELOCK.to_owned(),
            },
            Self::NoWheel { path } => Explanation {
                fate: Fate::Project,
                what: "a wheel is named that is not there".to_owned(),
                place: path.clone(),
                why: "it is no file of the source, or a link that leads out of it".to_owned(),
                next: "put it there, or make the lock anew with `s2r lock SOURCE`".to_owned(),
            },
            Self::OtherWheel {
                path,
                expected,
                found,
            } => Explanation {
                fate: Fate::Project,
                what: "a wheel of the source is not the one that the lock means".to_owned(),
                place: path.clone(),
                why: format!("the lock says {expected}, the file is {found}"),
                next: "restore the file, or make the lock anew with `s2r lock SOURCE`".to_owned(),
            },
        }
    }
}

/// What stops a build between its stages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Obstacle {
    /// A plan that names a builder which nobody defined.
    #[error("no builder {name}")]
    UnknownBuilder {
        /// Its name.
        name: String,
    },
    /// Packages that would have to be added to an image.
    #[error("{} cannot be added to {image}", packages.join(", "))]
    PackagesOnImage {
        /// The base.
        image: String,
        /// The packages.
        packages: Vec<String>,
    },
    /// Code would have to run for another kind of machine.
    #[error("something has to run on {platform}")]
    ForeignBuild {
        /// The image's platform.
        platform: Platform,
        /// What.
        steps: Vec<super::foreign::Step>,
    },
    /// An image for several platforms and a target that holds one.
    #[error("{target} holds an image for one platform")]
    SeveralPlatforms {
        /// The target.
        target: String,
    },
    /// A push to a digest that is not the image's.
    #[error("{destination} names another image than the one that is pushed")]
    OtherDigest {
        /// Where to.
        destination: String,
        /// The digest there.
        named: Digest,
        /// The image's.
        digest: Digest,
    },
    /// Locks are written into the source, and this one is no folder.
    #[error("{shown} is no folder")]
    NoFolder {
        /// The source, without password.
        shown: String,
    },
    /// The build failed elsewhere; that failure is the one to tell.
    #[error("stopped")]
    Stopped,
    /// A thread of ours panicked.
    #[error("a thread panicked")]
    Panicked,
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

fn other_digest(destination: &str, named: Digest, digest: Digest) -> Explanation {
    Explanation {
        fate: Fate::CommandLine,
        what: "the destination's digest is not the image's".to_owned(),
        place: destination.to_owned(),
        why: format!(
            "it says      {named}\nthe image is {digest}; what has another digest is another image"
        ),
        next: "push to a tag, or to the repository alone".to_owned(),
    }
}

impl Explain for Obstacle {
    fn explain(&self) -> Explanation {
        match self {
            Self::UnknownBuilder { name } => Explanation {
                fate: Fate::Ours,
                what: format!("the plan names a builder {name} that is not there"),
                place: name.clone(),
                why: "a plan can only choose among builders that were read".to_owned(),
                next: "this is a fault of s2r; please report it with the command line".to_owned(),
            },
            Self::PackagesOnImage { image, packages } => Explanation {
                fate: Fate::Project,
                what: format!("the Aptfile asks for {}, and the base is an image", packages.join(", ")),
                place: image.clone(),
                why: "s2r adds packages to bases that it makes of packages; to an image it adds none".to_owned(),
                next: "put the packages into the base image and remove the Aptfile, or build on a builder of packages; `s2r builders` lists them".to_owned(),
            },
            Self::ForeignBuild { platform, steps } => Explanation {
                fate: Fate::Project,
                what: format!("code would have to run on {platform}, which this machine is not"),
                place: match steps.as_slice() {
                    [] => "the project's build".to_owned(),
                    steps => steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                },
                why: "s2r emulates no other machine".to_owned(),
                next: {
                    let instead: String = steps.iter().map(super::foreign::Step::instead).collect();
                    match instead.as_str() {
                        "" => "build on such a machine".to_owned(),
                        other => format!("{other}or build on such a machine"),
                    }
                },
            },
            Self::SeveralPlatforms { target } => Explanation {
                fate: Fate::CommandLine,
                what: "the image is for several platforms, and this target holds one".to_owned(),
                place: target.clone(),
                why: "only the store and registries take all platforms under one name, so far".to_owned(),
                next: "build with one --platform for each file, or --push to a registry".to_owned(),
            },
            Self::OtherDigest {
                destination,
                named,
                digest,
            } => other_digest(destination, *named, *digest),
            Self::NoFolder { shown } => Explanation {
                fate: Fate::CommandLine,
                what: "locks are written into the project's folder, and this is none".to_owned(),
                place: shown.clone(),
                why: "what is fetched or unpacked for a command is gone after it".to_owned(),
                next: "clone or unpack it, run `s2r lock FOLDER` there, and commit the locks".to_owned(),
            },
            Self::Stopped => Explanation {
                fate: Fate::World,
                what: "the build was stopped".to_owned(),
                place: "the layers".to_owned(),
                why: "another part of it failed".to_owned(),
                next: "see the other message, and run the command again".to_owned(),
            },
            Self::Panicked => Explanation {
                fate: Fate::Ours,
                what: "a part of s2r failed".to_owned(),
                place: "a thread of the build".to_owned(),
                why: "it panicked; its message stands above".to_owned(),
                next: "this is a fault of s2r; please report it with the command line".to_owned(),
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
