//! `s2r check`, and `build --check`: starts a finished image as a restricted pod would, and sees whether it answers.
//!
//! Whether it does is decided by facts alone: the answer's status, how the processes ended, which sockets listen, which
//! connections were refused. What the log says is told beside them, as what the log says.

mod clue;
mod error;
mod look;
mod services;
mod wishes;

use std::path::Path;
use std::time::Duration;

use super::run::{Container, RunMeans, RunOptions, lay};
use crate::context::settings::Settings;
use crate::context::stage_clock::StageClock;
use crate::oci::{Architecture, Descriptor, Platform, Reference, RunConfig};
use crate::report::{BuildError, BuildStage, Event, FileError, Report};
use crate::sandbox::{Isolation, Sandbox, ServiceMemory, StepLimits, StepMount};
use crate::source_builds::step_runner::OURSELVES;
use crate::store::Store;

pub(crate) use error::{CheckError, FailedCheck};
pub(crate) use wishes::{CheckWishes, check_path, check_status};

use error::{CheckFault, Evidence};
use look::{Observation, Outcome};
use wishes::CheckRequest;

/// Memory of the pod that an image is checked in, if nobody says otherwise.
const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;

/// Processes of one check.
const PROCESS_LIMIT: u64 = 4096;

/// The port of an image that names none.
const DEFAULT_PORT: u16 = 8080;

/// An image that answered.
#[derive(Debug)]
pub(crate) struct CheckReport {
    /// Which of the image's platforms it was.
    pub platform: String,
    pub path: String,
    pub port: u16,
    pub status: u16,
    /// From the start of its first process to the answer.
    pub answered_after: Duration,
    /// What of that the request itself took.
    pub request_took: Duration,
    /// When it had answered, and came to rest.
    pub memory: ServiceMemory,
    /// What it sought in vain all the same, for people.
    pub sought: Vec<String>,
}

impl CheckReport {
    /// In half a sentence.
    pub(crate) fn title(&self) -> String {
        let bytes = self.memory.proportional_bytes;
        let processes = match self.memory.processes {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        format!(
            "GET {} answered with {} after {} ms, {} MiB in {processes}",
            self.path,
            self.status,
            self.answered_after.as_millis(),
            bytes.unwrap_or(self.memory.resident_bytes) >> 20,
        )
    }
}

/// Where images can be looked at.
pub(super) struct CheckBench {
    sandbox: Sandbox,
}

impl CheckBench {
    /// Finds out whether that is here, before anything is built.
    ///
    /// # Errors
    /// There are no namespaces to be had.
    pub(super) fn new(isolation: Isolation) -> Result<Self, BuildError> {
        let no_place = |source| CheckError::NoPlace { source };
        if !matches!(isolation, Isolation::Auto | Isolation::Userns) {
            return Err(no_place(None).into());
        }
        let sandbox = Sandbox::new(isolation, Path::new(OURSELVES))
            .map_err(|source| no_place(Some(source)))?;
        if !sandbox.has_own_mounts() {
            return Err(no_place(None).into());
        }
        Ok(Self { sandbox })
    }

    /// Starts an image, and returns what it answered.
    ///
    /// # Errors
    /// It does not answer as it should; its layers cannot be had.
    pub(super) fn check(
        &self,
        image: &CheckedImage<'_>,
        wishes: &CheckWishes,
        env: &[String],
        means: RunMeans<'_>,
    ) -> Result<CheckReport, BuildError> {
        let options = RunOptions {
            env: env.to_vec(),
            is_restricted: true,
            ..RunOptions::default()
        };
        let mut container = lay(image.name, image.descriptor, &options, means)?;
        let request = wishes
            .over(&CheckWishes::of_image(&container.config))
            .settle();
        let port = port_of(&container);
        restrict(&mut container, &request)?;
        let Container { place, step, .. } = &container;
        let look = |view: &mut _| look::look(view, port, &request, means.report);
        let (ended, seen) = self
            .sandbox
            .serve(&place.root, step, look)
            .map_err(|source| CheckError::Sandbox {
                image: image.name.to_owned(),
                source,
            })?;
        let Some(seen) = seen else {
            return Err(CheckError::Unseen {
                image: image.name.to_owned(),
            }
            .into());
        };
        let sought = services::describe(&seen.sought, &step.environment);
        match fault(&seen, &ended, &request) {
            None => Ok(report(&seen, &request, port, sought)),
            Some(fault) => Err(FailedCheck {
                image: image.name.to_owned(),
                port,
                request,
                fault,
                evidence: Evidence::new(&ended, sought, step),
            }
            .into()),
        }
    }
}

/// An image of the store, by the name that people know it by.
pub(super) struct CheckedImage<'a> {
    pub name: &'a str,
    pub descriptor: &'a Descriptor,
}

/// `s2r check`.
///
/// # Errors
/// The image does not answer as it should, or cannot be started here.
pub(crate) fn check(
    image: &Reference,
    wishes: &CheckWishes,
    env: &[String],
    settings: &Settings,
    report: &dyn Report,
) -> Result<CheckReport, BuildError> {
    let bench = CheckBench::new(settings.running.isolation)?;
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let stored = store.image(image)?;
    let means = RunMeans {
        settings,
        store: &store,
        client: &crate::context::client::new(settings, report),
        report,
    };
    let name = image.to_string();
    let checked = CheckedImage {
        name: &name,
        descriptor: &stored.descriptor,
    };
    StageClock::new(report).run(
        BuildStage::Check,
        || bench.check(&checked, wishes, env, means),
        CheckReport::title,
    )
}

/// Which of an image's platforms is checked; tells of those that are not.
///
/// # Errors
/// None is this machine's.
pub(super) fn platform_here(
    platforms: &[Platform],
    report: &dyn Report,
) -> Result<Platform, BuildError> {
    let shown = |platforms: &[Platform]| {
        let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let is_here = |platform: &&Platform| Some(platform.architecture) == Architecture::host();
    let Some(here) = platforms.iter().find(is_here).copied() else {
        return Err(CheckError::Platform {
            found: shown(platforms),
        }
        .into());
    };
    let others: Vec<Platform> = platforms
        .iter()
        .filter(|one| **one != here)
        .copied()
        .collect();
    if !others.is_empty() {
        report.event(Event::Warning {
            text: format!("only {here} is checked, not {}", shown(&others)),
            hint: "a check starts the image, and this machine starts no others".to_owned(),
        });
    }
    Ok(here)
}

/// The port that a platform would send requests to: `PORT` where the image sets it, else one that it exposes.
fn port_of(container: &Container) -> u16 {
    let told = container.step.environment.get("PORT");
    told.and_then(|port| port.trim().parse().ok())
        .or_else(|| exposed_port(&container.config))
        .unwrap_or(DEFAULT_PORT)
}

/// The usual port if it is among those that are exposed, else the lowest of them.
fn exposed_port(config: &RunConfig) -> Option<u16> {
    let tcp = |port: &String| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        number.parse().ok().filter(|_| protocol == "tcp")
    };
    let mut ports: Vec<u16> = config.exposed_ports.keys().filter_map(tcp).collect();
    ports.sort_unstable_by_key(|port| (*port != DEFAULT_PORT, *port));
    ports.first().copied()
}

/// Gives a container the network, the memory and the time of a check.
fn restrict(container: &mut Container, request: &CheckRequest) -> Result<(), BuildError> {
    /// Beyond the time of the look itself, which ends the step.
    const GRACE: Duration = Duration::from_mins(1);
    let step = &mut container.step;
    step.has_network = false;
    step.limits = StepLimits {
        memory_bytes: request.memory_bytes,
        time: request.within.saturating_add(GRACE),
        processes: PROCESS_LIMIT,
        ..StepLimits::NONE
    };
    // Where servers look for the memory that they have: how many workers `run` starts depends on it.
    let limit = container.place.root.scratch.join("memory.max");
    std::fs::write(&limit, format!("{}\n", request.memory_bytes)).map_err(|source| {
        FileError::Unwritable {
            path: limit.clone(),
            source,
        }
    })?;
    step.mounts.push(StepMount {
        from: limit,
        to: "/sys/fs/cgroup/memory.max".to_owned(),
        is_writable: false,
    });
    Ok(())
}

/// What is wrong with what was seen, if something is.
fn fault(
    seen: &Observation,
    ended: &crate::sandbox::StepEnd,
    request: &CheckRequest,
) -> Option<CheckFault> {
    match &seen.outcome {
        Outcome::Answered { status, .. } => {
            (!request.is_wanted(*status)).then_some(CheckFault::Status { found: *status })
        }
        Outcome::Gone => Some(CheckFault::Ended {
            status: ended.status,
            reason: ended.reason,
        }),
        Outcome::Loopback { address } => Some(CheckFault::Loopback { address: *address }),
        Outcome::NotHttp => Some(CheckFault::NotHttp),
        Outcome::TimeOver { has_listened: true } => Some(CheckFault::NoAnswer),
        Outcome::TimeOver { .. } if seen.listeners.is_empty() => Some(CheckFault::Deaf),
        Outcome::TimeOver { .. } => Some(CheckFault::OtherPort {
            listeners: seen.listeners.clone(),
        }),
    }
}

fn report(
    seen: &Observation,
    request: &CheckRequest,
    port: u16,
    sought: Vec<String>,
) -> CheckReport {
    let (status, answered_after, request_took) = match seen.outcome {
        Outcome::Answered {
            status,
            after,
            took,
        } => (status, after, took),
        _ => (0, Duration::ZERO, Duration::ZERO),
    };
    CheckReport {
        platform: format!(
            "linux/{}",
            Architecture::host().map_or("", Architecture::name)
        ),
        path: request.path.clone(),
        port,
        status,
        answered_after,
        request_took,
        memory: seen.memory,
        sought,
    }
}
