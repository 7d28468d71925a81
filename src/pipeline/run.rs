//! Starts an image of the store here, without a daemon: in the sandbox, on the machine's network.
//!
//! What the image says of itself counts (config.md of the image specification): user, variables,
//! folder, entrypoint and command. What the run changes is thrown away. Whoever is not root there may read, write and
//! start what it may in a container, by way of [`ImageUser`], and no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::port_relay;
use super::port_relay::PortMapping;
use crate::context::settings::Settings;
use crate::layer_cache::{
    RemoteBlobs, RootLayer, TransferIds, UnpackLock, UnpackedLayers, mending,
};
use crate::layers::viewer::ImageUser;
use crate::oci::{
    Architecture, Descriptor, Digest, ImageConfig, ImageManifest, Reference, RunConfig,
};
use crate::report::{BuildError, ErrorClass, Explain, Explanation, Report};
use crate::sandbox::{self, HeldSignals, Sandbox, SandboxError, SandboxStep, StepEnd, StepLimits};
use crate::source_builds::step_runner::{OURSELVES, StepRoot};
use crate::store::Store;

/// Processes of one run: enough for any server, and few enough for the machine to live on.
const PROCESS_LIMIT: u64 = 4096;

/// Where programs are looked for if the image does not say, as other runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Labels of images whose `run` script reads `PORT`: ours and other S2I images'.
const S2I_LABELS: [&str; 2] = ["io.openshift.s2i.scripts-url", "io.k8s.s2i.scripts-url"];

/// Whom a cluster might choose where the user is left to it.
const ARBITRARY_USER: &str = "1000680000:0";

/// What to start, and how.
#[derive(Debug, Clone)]
pub(crate) struct RunRequest {
    pub image: Reference,
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
                "build it with --platform for this machine".to_owned(),
            ),
            Self::NoCommand { .. } => (
                ErrorClass::CommandLine,
                "there is neither an entrypoint nor a command in its config".to_owned(),
                "name one: s2r run IMAGE COMMAND".to_owned(),
            ),
            Self::User { .. } => (
                ErrorClass::CommandLine,
                "its /etc/passwd does not list that name".to_owned(),
                "give numbers: --user 1001:0".to_owned(),
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
                "another program may use the port: choose another, -p OTHER:PORT".to_owned(),
            ),
            Self::Sandbox { source, .. } => {
                let cause = source.explain();
                (cause.class, cause.why, cause.next)
            }
        };
        Explanation {
            class,
            what,
            place: String::new(),
            why,
            next,
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
    let image = launch.image.to_string();
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let stored = store.image(&launch.image)?;
    let (manifest, config) = for_this_machine(&image, &stored.descriptor, &store)?;
    let layers: Vec<RootLayer> = manifest
        .layers
        .iter()
        .map(|layer| RootLayer {
            digest: layer.digest,
            size_bytes: layer.size,
            name: image.clone(),
            diff_id: None,
        })
        .collect();
    let (client, ids) = (
        crate::context::client::new(settings, report),
        TransferIds::default(),
    );
    let elsewhere = RemoteBlobs {
        store: &store,
        client: &client,
        report,
        ids: &ids,
    };
    let turn = UnpackLock::default();
    let roots = UnpackedLayers::new(elsewhere, &turn);
    let is_elsewhere = |digest: &Digest| !store.elsewhere(digest).is_empty();
    let (lower, account) = mending((&store, report), is_elsewhere, || {
        files(launch, &image, &config.config, &layers, roots)
    })?;
    let step = step(launch, &image, &config.config, settings, &account)?;
    let mut place = StepRoot::new(&store, lower)?;
    if account.viewer().is_some() {
        place.root.top_mode = 0o555;
    }
    let refused = |source| RunError::Sandbox {
        image: image.clone(),
        source,
    };
    let sandbox =
        Sandbox::new(settings.running.isolation, Path::new(OURSELVES)).map_err(refused)?;
    if launch.is_restricted && !sandbox.has_own_mounts() {
        return Err(RunError::Restricted.into());
    }
    // Before the threads of the relays, which would end s2r if they took a signal.
    let signals = HeldSignals::hold().map_err(refused)?;
    for port in launch.ports.iter().filter(|port| port.outer != port.inner) {
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

/// The manifest and config of an image that fit this machine.
fn for_this_machine(
    image: &str,
    descriptor: &Descriptor,
    store: &Store,
) -> Result<(ImageManifest, ImageConfig), BuildError> {
    let host = Architecture::host().map_or("", Architecture::name);
    let mut found = Vec::new();
    for (_, manifest) in store.manifests(descriptor)? {
        let bytes = store.read_blob(&manifest.config.digest)?;
        let Ok(config) = ImageConfig::from_bytes(&bytes) else {
            continue;
        };
        if config.os == "linux" && config.architecture == host {
            return Ok((manifest, config));
        }
        found.push(format!("{}/{}", config.os, config.architecture));
    }
    Err(RunError::Platform {
        image: image.to_owned(),
        found,
    }
    .into())
}

/// The layers as folders, with the rights of the user that it runs as, and who that is.
fn files(
    launch: &RunRequest,
    image: &str,
    config: &RunConfig,
    layers: &[RootLayer],
    roots: UnpackedLayers<'_>,
) -> Result<(Vec<PathBuf>, UserEntry), BuildError> {
    let arbitrary = launch.is_restricted.then_some(ARBITRARY_USER);
    let asked = launch.user.as_deref().or(arbitrary);
    let asked = asked.or(config.user.as_deref()).unwrap_or("0");
    // Who that is, the image's own files say; numbers mostly say it too.
    let guessed = UserTable::default().find(asked);
    let guessed = guessed.map_or_else(|| ImageUser::new(u32::MAX, 0), |account| account.viewer());
    let lower = roots.seen_by(guessed).of(layers)?;
    let account = UserTable::read(&lower).find(asked);
    let account = account.ok_or_else(|| RunError::User {
        image: image.to_owned(),
        user: asked.to_owned(),
    })?;
    let viewer = account.viewer();
    if viewer == guessed {
        return Ok((lower, account));
    }
    Ok((roots.seen_by(viewer).of(layers)?, account))
}

fn step(
    launch: &RunRequest,
    image: &str,
    config: &RunConfig,
    settings: &Settings,
    account: &UserEntry,
) -> Result<SandboxStep, RunError> {
    let of_image = |part: &Option<Vec<String>>| part.clone().unwrap_or_default();
    let mut command = of_image(&config.entrypoint);
    if launch.command.is_empty() {
        command.extend(of_image(&config.cmd));
    } else {
        command.extend(launch.command.iter().cloned());
    }
    if command.is_empty() {
        return Err(RunError::NoCommand {
            image: image.to_owned(),
        });
    }
    let mut environment = environment(launch, config, &settings.variables);
    let home = || account.home.clone();
    environment.entry("HOME".to_owned()).or_insert_with(home);
    let directory = config.working_dir.clone().unwrap_or_default();
    Ok(SandboxStep {
        command,
        directory: if directory.starts_with('/') {
            directory
        } else {
            "/".to_owned()
        },
        environment,
        user: (account.user, account.group),
        mounts: Vec::new(),
        has_network: true,
        is_read_only: launch.is_restricted,
        limits: StepLimits {
            processes: PROCESS_LIMIT,
            ..StepLimits::NONE
        },
    })
}

/// The image's variables, then the caller's.
fn environment(
    launch: &RunRequest,
    config: &RunConfig,
    callers: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    if let Some(terminal) = callers.get("TERM") {
        environment.insert("TERM".to_owned(), terminal.clone());
    }
    if let Some(port) = port_to_tell(&launch.ports, config) {
        environment.insert("PORT".to_owned(), port.to_string());
    }
    for line in config.env.iter().chain(&launch.env) {
        match line.split_once('=') {
            Some((name, value)) => {
                environment.insert(name.to_owned(), value.to_owned());
            }
            None => {
                if let Some(value) = callers.get(line) {
                    environment.insert(line.clone(), value.clone());
                }
            }
        }
    }
    environment
}

/// The port that the image is told to listen on: the one that `-p` counts on, if the image is of the
/// kind that can be told, and would listen elsewhere by itself.
fn port_to_tell(ports: &[PortMapping], config: &RunConfig) -> Option<u16> {
    let inner = ports.first()?.inner;
    let is_s2i = S2I_LABELS
        .iter()
        .any(|label| config.labels.contains_key(*label));
    let is_exposed = config
        .exposed_ports
        .keys()
        .any(|port| port.split('/').next() == Some(inner.to_string().as_str()));
    (is_s2i && !is_exposed).then_some(inner)
}

/// Who the image knows.
#[derive(Default)]
struct UserTable {
    passwd: String,
    group: String,
}

#[derive(Debug, PartialEq, Eq)]
struct UserEntry {
    user: u32,
    group: u32,
    home: String,
}

impl UserEntry {
    fn viewer(&self) -> Option<ImageUser> {
        ImageUser::new(self.user, self.group)
    }
}

impl UserTable {
    /// From the topmost folder that has them. No link is followed: it would lead out of the folder.
    fn read(lower: &[PathBuf]) -> Self {
        /// Longer ones are none.
        const LIMIT_BYTES: u64 = 1 << 20;
        let text = |name: &str| {
            lower
                .iter()
                .rev()
                .find_map(|folder| {
                    let is_folder = fs::symlink_metadata(folder.join("etc"))
                        .is_ok_and(|metadata| metadata.is_dir());
                    let path = folder.join("etc").join(name);
                    let metadata = fs::symlink_metadata(&path).ok()?;
                    if !is_folder || !metadata.is_file() || metadata.len() > LIMIT_BYTES {
                        return None;
                    }
                    fs::read_to_string(path).ok()
                })
                .unwrap_or_default()
        };
        Self {
            passwd: text("passwd"),
            group: text("group"),
        }
    }

    /// `UID`, `UID:GID`, or names in place of either.
    fn find(&self, asked: &str) -> Option<UserEntry> {
        let (user, group) = match asked.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (asked, None),
        };
        let number = user.parse::<u32>().ok();
        let line = self.passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_it = match number {
                Some(number) => fields.get(2)?.parse::<u32>().ok()? == number,
                None => *fields.first()? == user,
            };
            is_it.then(|| {
                (
                    fields.get(2).and_then(|field| field.parse().ok()),
                    fields.get(3).and_then(|field| field.parse().ok()),
                    fields.get(5).map(|home| (*home).to_owned()),
                )
            })
        });
        let (listed_user, listed_group, home) = line.unwrap_or((None, None, None));
        let group = match group {
            Some(group) => group.parse().ok().or_else(|| self.group_number(group))?,
            None => listed_group.unwrap_or(0),
        };
        Some(UserEntry {
            user: number.or(listed_user)?,
            group,
            home: home.unwrap_or_else(|| "/".to_owned()),
        })
    }

    fn group_number(&self, name: &str) -> Option<u32> {
        self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::run::*;

    fn launch(ports: &[&str], env: &[&str]) -> RunRequest {
        RunRequest {
            image: "app".parse().unwrap(),
            command: Vec::new(),
            env: env.iter().map(|&line| line.to_owned()).collect(),
            user: None,
            is_restricted: false,
            ports: ports.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn config() -> RunConfig {
        serde_json::from_value(serde_json::json!({
            "Env": ["PATH=/x", "A=image"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {"io.openshift.s2i.scripts-url": "image:///usr/libexec/s2i"},
        }))
        .unwrap()
    }

    #[test]
    fn variables_of_the_image_are_overruled() {
        let callers = BTreeMap::from([("B".to_owned(), "mine".to_owned())]);
        let environment = environment(&launch(&[], &["A=x=y", "B", "C"]), &config(), &callers);
        let shown: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(shown, ["A=x=y", "B=mine", "PATH=/x"]);
    }

    #[test]
    fn an_image_is_told_a_port_that_it_would_not_choose() {
        for (ports, told) in [
            (&[][..], None),
            (&["8080"], None),
            (&["9000:8080"], None),
            (&["9000:9000"], Some(9000)),
            (&["80:5000", "9000"], Some(5000)),
        ] {
            assert_eq!(port_to_tell(&launch(ports, &[]).ports, &config()), told);
        }
        let mut other = config();
        other.labels.clear();
        assert_eq!(port_to_tell(&launch(&["9000"], &[]).ports, &other), None);
    }

    #[test]
    fn users_are_found_by_number_and_name() {
        let accounts = UserTable {
            passwd: "root:x:0:0::/root:/bin/sh\ndefault:x:1001:7::/opt/app-root/src:/bin/sh\n"
                .to_owned(),
            group: "staff:x:50:\n".to_owned(),
        };
        let account = |user, group, home: &str| {
            Some(UserEntry {
                user,
                group,
                home: home.to_owned(),
            })
        };
        for (asked, found) in [
            ("0", account(0, 0, "/root")),
            ("default", account(1001, 7, "/opt/app-root/src")),
            ("1001:0", account(1001, 0, "/opt/app-root/src")),
            ("1001:staff", account(1001, 50, "/opt/app-root/src")),
            ("1000680000", account(1_000_680_000, 0, "/")),
            ("nobody", None),
            ("0:nobody", None),
            ("", None),
        ] {
            assert_eq!(accounts.find(asked), found, "{asked}");
        }
    }
}
