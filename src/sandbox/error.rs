//! What can go wrong with a sandbox; a step that fails is no error but an [`super::StepEnd`].

use std::io;
use std::path::PathBuf;

use super::Isolation;
use super::spec::HelperAction;
use crate::report::{ErrorClass, Explain, Explanation, REPORT_FAULT};

/// What to do about a helper that is gone.
const MEMORY: &str =
    "if the machine ran out of memory, its log (`dmesg`) says so; otherwise run the command again";

/// Why a step could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The machine refuses every isolation that was allowed.
    #[error("the machine refuses every isolation")]
    Refused {
        /// What was tried, and why not.
        tried: Vec<(Isolation, IsolationRefusal)>,
    },
    /// The helper could not do something.
    #[error("the sandbox cannot be set up: {} {subject}", act.name())]
    Setup {
        act: HelperAction,
        /// With what; may be empty.
        subject: String,
        #[source]
        source: io::Error,
    },
    /// The command does not exist or is no program.
    #[error("cannot start {program}")]
    Command {
        /// The program as asked for.
        program: String,
        #[source]
        source: io::Error,
    },
    /// The helper ended without an answer.
    #[error("the sandbox's helper ended without an answer")]
    Silent,
    /// The helper could not be started or spoken to.
    #[error("cannot speak to the sandbox's helper")]
    Helper {
        #[source]
        source: io::Error,
    },
    /// A place of a mount that is not plain.
    #[error("{to:?} is no place for a mount")]
    Target { to: String },
    /// Without isolation nothing can be written to at another place than its own.
    #[error("{} cannot be seen as {to} without isolation", from.display())]
    Moved { from: PathBuf, to: String },
    /// Too many lower folders.
    #[error("a sandbox of {count} folders, more than {limit}")]
    Folders {
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// More changes than can be true, or too deep.
    #[error("{}: more than {limit} entries", path.display())]
    Entries { path: PathBuf, limit: usize },
    /// Folders too deep, paths too long, or too much to look through.
    #[error("{}: folders deeper than {levels}, paths longer than {path_bytes} bytes, or more than {seconds} seconds to look through", path.display())]
    Tangled {
        path: PathBuf,
        /// Levels that may be.
        levels: usize,
        /// Bytes that may be.
        path_bytes: usize,
        /// Time that it may take.
        seconds: u64,
    },
    /// A file of ours.
    #[error("{} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Why an isolation cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IsolationRefusal {
    /// `user.max_user_namespaces` is 0, or as many are there already.
    SwitchedOff {
        most: u64,
    },
    /// A rule of `AppArmor` for programs without a profile (Ubuntu 23.10 and later).
    AppArmor,
    UnprivilegedOff,
    /// Nothing of the machine's settings says why: a filter of system calls, as container runtimes set one.
    Filtered {
        cause: String,
    },
    /// The namespaces are there, but something in them is refused.
    Within {
        act: HelperAction,
        cause: String,
    },
    NotRoot,
    /// s2r does not stand in the builder's image.
    NotInBuilder,
}

impl SandboxError {
    fn parts(&self) -> (ErrorClass, String, String, String) {
        let what = self.to_string();
        match self {
            Self::Refused { tried } => (ErrorClass::World, what, refusals(tried), advice(tried)),
            Self::Setup { source, .. } => (
                ErrorClass::World,
                what,
                source.to_string(),
                "s2r needs Linux 5.12 or later for this; `--isolation chroot` does with less, and so does a build that runs nothing: wheels and a lock".to_owned(),
            ),
            Self::Command { source, .. } => (
                ErrorClass::Project,
                what,
                source.to_string(),
                "the program is looked for on PATH inside the image; see that the image holds it and that it may be executed".to_owned(),
            ),
            Self::Silent => (
                ErrorClass::World,
                what,
                "something ended it: mostly the kernel, for want of memory".to_owned(),
                MEMORY.to_owned(),
            ),
            Self::Helper { source } => (
                ErrorClass::World,
                what,
                source.to_string(),
                MEMORY.to_owned(),
            ),
            Self::Target { .. } | Self::Folders { .. } => (
                ErrorClass::Ours,
                what,
                "s2r asked its sandbox for something that it does not do".to_owned(),
                REPORT_FAULT.to_owned(),
            ),
            Self::Moved { .. } => (
                ErrorClass::World,
                what,
                "without isolation the step sees the machine as it is".to_owned(),
                "use `--isolation auto` where the machine allows namespaces or s2r runs as root".to_owned(),
            ),
            Self::Tangled { .. } => (
                ErrorClass::Project,
                what,
                "a step left a tree that no image should hold".to_owned(),
                "see what the step writes, and have it remove what is not needed".to_owned(),
            ),
            Self::Entries { .. } => (
                ErrorClass::Project,
                what,
                "a step left more files than an image may hold".to_owned(),
                "see what the step writes, and have it remove what is not needed".to_owned(),
            ),
            Self::File { source, .. } => (
                ErrorClass::World,
                what,
                source.to_string(),
                "see that the disk has room and that the folder may be written to".to_owned(),
            ),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Refused { .. } => "--isolation".to_owned(),
            Self::Setup { subject, .. } if !subject.is_empty() => subject.clone(),
            Self::Setup { .. } | Self::Silent | Self::Helper { .. } | Self::Folders { .. } => {
                "the sandbox".to_owned()
            }
            Self::Command { program, .. } => program.clone(),
            Self::Target { to } => to.clone(),
            Self::Moved { from, .. } => from.display().to_string(),
            Self::Entries { path, .. } | Self::Tangled { path, .. } | Self::File { path, .. } => {
                path.display().to_string()
            }
        }
    }
}

impl Explain for SandboxError {
    fn explain(&self) -> Explanation {
        let (class, what, why, next) = self.parts();
        Explanation {
            class,
            what,
            place: self.place(),
            why,
            next,
        }
    }
}

impl Isolation {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Userns => "userns",
            Self::Chroot => "chroot",
            Self::None => "none",
        }
    }
}

fn refusals(tried: &[(Isolation, IsolationRefusal)]) -> String {
    tried
        .iter()
        .map(|(isolation, refusal)| format!("{}: {}", isolation.name(), refusal.why()))
        .collect::<Vec<_>>()
        .join("\n")
}

fn advice(tried: &[(Isolation, IsolationRefusal)]) -> String {
    tried
        .iter()
        .filter_map(|(_, refusal)| refusal.next())
        .collect::<Vec<_>>()
        .join("\n")
}

impl IsolationRefusal {
    fn why(&self) -> String {
        match self {
            Self::SwitchedOff { most: 0 } => {
                "user namespaces are switched off (user.max_user_namespaces is 0)".to_owned()
            }
            Self::SwitchedOff { most } => {
                format!(
                    "there are as many user namespaces as there may be (user.max_user_namespaces is {most})"
                )
            }
            Self::AppArmor => "AppArmor keeps user namespaces from programs without a profile \
                (kernel.apparmor_restrict_unprivileged_userns is 1)"
                .to_owned(),
            Self::UnprivilegedOff => "user namespaces are for root alone \
                (kernel.unprivileged_userns_clone is 0)"
                .to_owned(),
            Self::Filtered { cause } => format!(
                "the kernel refuses user namespaces ({cause}); no setting of the machine says why, \
                so it is the container that s2r runs in: its seccomp profile or a root of its own"
            ),
            Self::Within { act, cause } => {
                format!(
                    "user namespaces can be had, but not {} in them ({cause})",
                    act.name()
                )
            }
            Self::NotRoot => "only root can change the root folder".to_owned(),
            Self::NotInBuilder => "without isolation there is only the root that s2r itself has; \
                an image has its own"
                .to_owned(),
        }
    }

    fn next(&self) -> Option<&'static str> {
        match self {
            Self::SwitchedOff { .. } => {
                Some("allow more of them: sysctl user.max_user_namespaces=10000")
            }
            Self::AppArmor => Some(
                "allow them: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for s2r with `userns,`",
            ),
            Self::UnprivilegedOff => Some("allow them: sysctl kernel.unprivileged_userns_clone=1"),
            Self::Filtered { .. } => Some(
                "give the container a seccomp profile that allows unshare, mount and pivot_root \
                (podman and docker: --security-opt seccomp=unconfined; Kubernetes: hostUsers: false with procMount: Unmasked)",
            ),
            Self::Within { .. } => Some(
                "give the container a seccomp profile that allows mount and pivot_root, or use podman's default one, which does",
            ),
            Self::NotInBuilder => Some(
                "leave --isolation out; or push the image, and start it where containers can be",
            ),
            Self::NotRoot => None,
        }
    }
}

impl HelperAction {
    /// What it is, in a sentence.
    fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Identity => "a map of users",
            Self::Fork => "a process",
            Self::Overlay => "an overlay",
            Self::Source => "a source of a mount",
            Self::Mount => "a mount",
            Self::Target => "a place for a mount",
            Self::Root => "another root",
            Self::Network => "a network",
            Self::Privileges => "giving up rights",
            Self::Limits => "limits",
            Self::Directory => "the working directory",
            Self::Command => "a command",
            Self::Spec => "an order",
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum SandboxError {
        Refused {
            tried: vec![
                (Isolation::Userns, IsolationRefusal::SwitchedOff { most: 0 }),
                (Isolation::Chroot, IsolationRefusal::NotRoot),
            ],
        },
        Refused { tried: vec![(Isolation::Userns, IsolationRefusal::SwitchedOff { most: 100 })] },
        Refused { tried: vec![(Isolation::Userns, IsolationRefusal::AppArmor)] },
        Refused { tried: vec![(Isolation::Userns, IsolationRefusal::UnprivilegedOff)] },
        Refused { tried: vec![(Isolation::Userns, IsolationRefusal::Filtered { cause: crate::report::samples::denied().to_string() })] },
        Refused {
            tried: vec![(
                Isolation::Userns,
                IsolationRefusal::Within { act: HelperAction::Mount, cause: crate::report::samples::denied().to_string() },
            )],
        },
        Refused { tried: vec![(Isolation::None, IsolationRefusal::NotInBuilder)] },
        Setup { act: HelperAction::Overlay, subject: "/store/tmp/root".into(), source: crate::report::samples::denied() },
        Command { program: "gunicorn".into(), source: crate::report::samples::denied() },
        Silent,
        Helper { source: crate::report::samples::denied() },
        Target { to: "../etc".into() },
        Moved { from: "/store/tmp/wheels".into(), to: "/wheels".into() },
        Folders { count: 600, limit: 500 },
        Entries { path: "opt/app-root".into(), limit: 1000 },
        Tangled { path: "opt/app-root".into(), levels: 255, path_bytes: 4096, seconds: 60 },
        File { path: "/store/tmp/root".into(), source: crate::report::samples::denied() },
    }
}
