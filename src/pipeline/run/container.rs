//! A container of an image, laid ready for the sandbox: its layers as folders, its command, variables and user.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::users::{UserEntry, UserTable};
use super::{RunError, RunOptions};
use crate::context::settings::Settings;
use crate::layer_cache::{
    RemoteBlobs, RootLayer, TransferIds, UnpackLock, UnpackedLayers, mending,
};
use crate::layers::viewer::ImageUser;
use crate::net::http::Client;
use crate::oci::{Architecture, Descriptor, Digest, ImageConfig, ImageManifest, RunConfig};
use crate::pipeline::port_relay::PortMapping;
use crate::report::{BuildError, Report};
use crate::sandbox::{SandboxStep, StepLimits};
use crate::source_builds::step_runner::StepRoot;
use crate::store::Store;

/// Processes of one run: enough for any server, and few enough for the machine to live on.
const PROCESS_LIMIT: u64 = 4096;

/// Where programs are looked for if the image does not say, as other runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Labels of images whose `run` script reads `PORT`: ours and other S2I images'.
const S2I_LABELS: [&str; 2] = ["io.openshift.s2i.scripts-url", "io.k8s.s2i.scripts-url"];

/// Whom a cluster might choose where the user is left to it.
const ARBITRARY_USER: &str = "1000680000:0";

/// A container that can be started.
pub(in crate::pipeline) struct Container {
    pub place: StepRoot,
    pub step: SandboxStep,
    /// What the image says of itself.
    pub config: RunConfig,
}

/// What it takes to start an image.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct RunMeans<'a> {
    pub settings: &'a Settings,
    pub store: &'a Store,
    pub client: &'a Client,
    pub report: &'a dyn Report,
}

/// Lays a container of an image of the store ready.
///
/// # Errors
/// The image is not for this machine, lacks a command, or its layers cannot be had.
pub(in crate::pipeline) fn lay(
    image: &str,
    descriptor: &Descriptor,
    options: &RunOptions,
    means: RunMeans<'_>,
) -> Result<Container, BuildError> {
    let RunMeans {
        settings,
        store,
        client,
        report,
    } = means;
    let (manifest, config) = for_this_machine(image, descriptor, store)?;
    let layers: Vec<RootLayer> = manifest
        .layers
        .iter()
        .map(|layer| RootLayer {
            digest: layer.digest,
            size_bytes: layer.size,
            name: image.to_owned(),
            diff_id: None,
        })
        .collect();
    let ids = TransferIds::default();
    let elsewhere = RemoteBlobs {
        store,
        client,
        report,
        ids: &ids,
    };
    let turn = UnpackLock::default();
    let roots = UnpackedLayers::new(elsewhere, &turn);
    let is_elsewhere = |digest: &Digest| !store.elsewhere(digest).is_empty();
    let (lower, account) = mending((store, report), is_elsewhere, || {
        files(options, image, &config.config, &layers, roots)
    })?;
    let step = step(options, image, &config.config, settings, &account)?;
    let mut place = StepRoot::new(store, lower)?;
    if account.viewer().is_some() {
        place.root.top_mode = 0o555;
    }
    Ok(Container {
        place,
        step,
        config: config.config,
    })
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
    options: &RunOptions,
    image: &str,
    config: &RunConfig,
    layers: &[RootLayer],
    roots: UnpackedLayers<'_>,
) -> Result<(Vec<PathBuf>, UserEntry), BuildError> {
    let arbitrary = options.is_restricted.then_some(ARBITRARY_USER);
    let asked = options.user.as_deref().or(arbitrary);
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
    options: &RunOptions,
    image: &str,
    config: &RunConfig,
    settings: &Settings,
    account: &UserEntry,
) -> Result<SandboxStep, RunError> {
    let of_image = |part: &Option<Vec<String>>| part.clone().unwrap_or_default();
    let mut command = of_image(&config.entrypoint);
    if options.command.is_empty() {
        command.extend(of_image(&config.cmd));
    } else {
        command.extend(options.command.iter().cloned());
    }
    if command.is_empty() {
        return Err(RunError::NoCommand {
            image: image.to_owned(),
        });
    }
    let mut environment = environment(options, config, &settings.variables);
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
        is_read_only: options.is_restricted,
        limits: StepLimits {
            processes: PROCESS_LIMIT,
            ..StepLimits::NONE
        },
    })
}

/// The image's variables, then the caller's.
fn environment(
    options: &RunOptions,
    config: &RunConfig,
    callers: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    if let Some(terminal) = callers.get("TERM") {
        environment.insert("TERM".to_owned(), terminal.clone());
    }
    if let Some(port) = port_to_tell(&options.ports, config) {
        environment.insert("PORT".to_owned(), port.to_string());
    }
    for line in config.env.iter().chain(&options.env) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(ports: &[&str], env: &[&str]) -> RunOptions {
        RunOptions {
            env: env.iter().map(|&line| line.to_owned()).collect(),
            ports: ports.iter().map(|text| text.parse().unwrap()).collect(),
            ..RunOptions::default()
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
        let environment = environment(&options(&[], &["A=x=y", "B", "C"]), &config(), &callers);
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
            assert_eq!(port_to_tell(&options(ports, &[]).ports, &config()), told);
        }
        let mut other = config();
        other.labels.clear();
        assert_eq!(port_to_tell(&options(&["9000"], &[]).ports, &other), None);
    }
}
