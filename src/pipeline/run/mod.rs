//! Starts an image of the store here, without a daemon: in the sandbox, on the machine's network.
//!
//! What the image says of itself counts (config.md of the image specification): user, variables,
//! folder, entrypoint and command. What the run changes is thrown away. Whoever is not root there may read, write and
//! start what it may in a container, by way of `layers::viewer`, and no more.

mod container;
mod users;

use std::path::Path;

use super::port_relay;
use super::port_relay::PortMapping;
use crate::context::settings::Settings;
use crate::oci::Reference;
use crate::report::{BuildError, ErrorClass, Explain, Explanation, Report};
use crate::sandbox::{self, HeldSignals, Sandbox, SandboxError, StepEnd};
use crate::source_builds::step_runner::OURSELVES;
use crate::store::Store;

pub(super) use container::{Container, RunMeans, lay};

/// What to start, and how.
#[derive(Debug, Clone)]
pub(crate) struct RunRequest {
    pub image: Reference,
    pub options: RunOptions,
}

/// How to start an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunOptions {
    /// In place of the image's command, if it is not empty.
    pub command: Vec<String>,
    /// `NAME=VALUE`, or `NAME` for the caller's value.
    pub env: Vec<String>,
    /// `UID`, `UID:GID` or a name of the image's, in place of the image's.
    pub user: Option<String>,
    pub ports: Vec<PortMapping>,
    /// As OpenShift's policy restricted-v2 has it at its strictest: a user of the cluster's choice and a root that
    /// may not be written to.
    pub is_restricted: bool,
}

/// Why an image cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It is for other machines.
    #[error("{image} has nothing for this machine")]
    Platform {
        image: String,
        /// What it is for.
        found: Vec<String>,
    },
    /// Neither the image nor the caller says what to run.
    #[error("{image} has no command")]
    NoCommand { image: String },
    /// A user that the image does not know.
    #[error("{user} is no user of {image}")]
    User {
        image: String,
        /// The user as given.
        user: String,
    },
    /// Without mounts nothing can be made read-only.
    #[error("--restricted needs namespaces, and none are to be had here")]
    Restricted,
    /// A port that cannot be listened on.
    #[error("cannot listen on port {port}: {source}")]
    Port { port: u16, source: std::io::Error },
    #[error("{image} cannot be run: {source}")]
    Sandbox { image: String, source: SandboxError },
}

impl Explain for RunError {
    fn explain(&self) -> Explanation {
        let what = self.to_string();
        let (class, why, next) = match self {
            Self::Platform { found, .. } => (
                ErrorClass::CommandLine,
                format!("it is for {}", found.join(", ")),
                "build it for this machine: s2r build SOURCE IMAGE --platform linux/ARCHITECTURE"
                    .to_owned(),
            ),
            Self::NoCommand { .. } => (
                ErrorClass::CommandLine,
                "there is neither an entrypoint nor a command in its config".to_owned(),
                "name one: s2r run IMAGE COMMAND".to_owned(),
            ),
            Self::User { .. } => (
                ErrorClass::CommandLine,
                "its /etc/passwd does not list that name".to_owned(),
                "give numbers: s2r run --user 1001:0 IMAGE".to_owned(),
            ),
            Self::Restricted => (
                ErrorClass::World,
                "without them a sandbox has no mounts of its own, and so nothing that is read-only"
                    .to_owned(),
                "run it where namespaces are allowed, or without --restricted".to_owned(),
            ),
            Self::Port { source, .. } => (
                ErrorClass::World,
                source.to_string(),
                "if another program uses the port, choose another one: s2r run -p OTHER:PORT IMAGE"
                    .to_owned(),
            ),
            Self::Sandbox { source, .. } => {
                let cause = source.explain();
                (cause.class, cause.why, cause.next)
            }
        };
        Explanation {
            class,
            what,
            place: self.place(),
            why,
            next,
        }
    }
}

impl RunError {
    fn place(&self) -> String {
        match self {
            Self::Platform { image, .. }
            | Self::NoCommand { image }
            | Self::Sandbox { image, .. } => image.clone(),
            Self::User { user, .. } => format!("--user {user}"),
            Self::Restricted => "--restricted".to_owned(),
            Self::Port { port, .. } => format!("port {port}"),
        }
    }
}

/// Runs an image to its end with the standard streams of this process.
///
/// # Errors
/// It cannot be started. That it ends badly is none.
pub(crate) fn run(
    launch: &RunRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<StepEnd, BuildError> {
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let stored = store.image(&launch.image)?;
    let image = launch.image.to_string();
    let means = RunMeans {
        settings,
        store: &store,
        client: &crate::context::client::new(settings, report),
        report,
    };
    let Container { place, step, .. } = lay(&image, &stored.descriptor, &launch.options, means)?;
    let refused = |source| RunError::Sandbox {
        image: image.clone(),
        source,
    };
    let sandbox =
        Sandbox::new(settings.running.isolation, Path::new(OURSELVES)).map_err(refused)?;
    if launch.options.is_restricted && !sandbox.has_own_mounts() {
        return Err(RunError::Restricted.into());
    }
    // Before the threads of the relays, which would end s2r if they took a signal.
    let signals = HeldSignals::hold().map_err(refused)?;
    for port in launch
        .options
        .ports
        .iter()
        .filter(|port| port.outer != port.inner)
    {
        port_relay::start(*port).map_err(|source| RunError::Port {
            port: port.outer,
            source,
        })?;
    }
    let ended = sandbox.attach(&place.root, &step, signals).map_err(refused);
    // Whatever rights the run took from its folders.
    let _ = sandbox::remove(&place.root.upper);
    let _ = sandbox::remove(&place.root.scratch);
    Ok(ended?)
}

#[cfg(test)]
crate::report::samples! {
    enum RunError {
        Platform { image: "myimg".into(), found: vec!["linux/arm64".into()] },
        NoCommand { image: "myimg".into() },
        User { image: "myimg".into(), user: "www".into() },
        Restricted,
        Port { port: 80, source: crate::report::samples::denied() },
        Sandbox { image: "myimg".into(), source: SandboxError::Silent },
    }
}
