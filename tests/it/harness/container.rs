//! Containers run by podman, in a storage of the tests' own below `target/`.
//!
//! The flags are those with which podman works inside a container too: host network, no cgroup manager of the
//! host's, limits that need no privilege to set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::registry::get;
use crate::harness::tools::{Finished, as_root, finish, free_port};

/// How long an application may take to answer its first request, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(40);
/// How long a container may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);

const RUN: &[&str] = &[
    "run",
    "--network",
    "host",
    "--ulimit",
    "nofile=20000:20000",
    "--ulimit",
    "nproc=10000:10000",
];

/// A running container; removed with the value.
pub(crate) struct Container {
    name: String,
    port: u16,
}

impl Container {
    /// Starts an image (anything podman takes, such as `oci:DIR:NAME`) as this user and group 0.
    #[track_caller]
    pub(crate) fn start(image: &str, uid: u32) -> Self {
        Self::start_with(image, uid, &[])
    }

    /// The same with more of podman's flags.
    #[track_caller]
    pub(crate) fn start_with(image: &str, uid: u32, flags: &[&str]) -> Self {
        Self::start_as(image, uid, flags, &[])
    }

    /// The same with arguments for the image.
    #[track_caller]
    pub(crate) fn start_as(image: &str, uid: u32, flags: &[&str], arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "s2r-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let port = free_port();
        finish(
            podman()
                .args(RUN)
                .args(["--detach", "--name", &name])
                .args(["--user", &format!("{uid}:0")])
                .args(["--env", &format!("PORT={port}")])
                .args(flags)
                .arg(image)
                .args(arguments),
        )
        .ok();
        Self { name, port }
    }

    /// Waits for a page and gives its text.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(answer) = get(self.port, path) {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, 200, "{text}\n{}", self.logs());
                return text;
            }
            assert!(
                started.elapsed() < START_LIMIT && self.is_running(),
                "{} does not answer\n{}",
                self.name,
                self.logs()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a page has a text.
    #[track_caller]
    pub(crate) fn page_says(&self, path: &str, text: &str) {
        let started = Instant::now();
        while !self.page(path).contains(text) {
            assert!(started.elapsed() < START_LIMIT, "{}", self.page(path));
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the container has written a text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let started = Instant::now();
        while !self.logs().contains(text) {
            let is_there = started.elapsed() < START_LIMIT && self.is_running();
            assert!(is_there, "{}", self.logs());
            sleep(Duration::from_millis(50));
        }
    }

    /// Where the application listens, as `PORT` tells it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command in the container.
    #[track_caller]
    pub(crate) fn exec(&self, command: &[&str]) -> Finished {
        finish(podman().args(["exec", &self.name]).args(command))
    }

    pub(crate) fn logs(&self) -> String {
        let finished = finish(podman().args(["logs", &self.name]));
        finished.stdout + &finished.stderr
    }

    fn is_running(&self) -> bool {
        finish(podman().args(["inspect", "--format", "{{.State.Running}}", &self.name])).line()
            == "true"
    }

    /// Sends a signal, and gives the exit status of a container that ends in time.
    #[track_caller]
    pub(crate) fn ends_on(&self, signal: &str) -> i32 {
        finish(podman().args(["kill", "--signal", signal, &self.name])).ok();
        self.ends()
    }

    /// Starts a container again that has ended.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        finish(podman().args(["start", &self.name])).ok();
    }

    /// The exit status of a container that ends in time by itself.
    #[track_caller]
    pub(crate) fn ends(&self) -> i32 {
        let started = Instant::now();
        while self.is_running() {
            assert!(
                started.elapsed() < STOP_LIMIT,
                "{} runs on\n{}",
                self.name,
                self.logs()
            );
            sleep(Duration::from_millis(50));
        }
        let format = "{{.State.ExitCode}}";
        let status = finish(podman().args(["inspect", "--format", format, &self.name])).ok();
        status.line().parse().unwrap()
    }

    /// Sends SIGTERM and fails the test unless the container ends in time by itself.
    #[track_caller]
    pub(crate) fn stop(self) {
        let started = Instant::now();
        finish(podman().args(["kill", "--signal", "TERM", &self.name])).ok();
        while self.is_running() {
            assert!(
                started.elapsed() < STOP_LIMIT,
                "{} runs on after SIGTERM\n{}",
                self.name,
                self.logs()
            );
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        finish(podman().args(["rm", "--force", "--time", "0", &self.name]));
    }
}

/// Runs one command in a fresh container of an image and removes it.
#[track_caller]
pub(crate) fn run_once(image: &str, uid: u32, command: &[&str]) -> Finished {
    run_with(image, uid, &[], command)
}

/// The same with more of podman's flags.
#[track_caller]
pub(crate) fn run_with(image: &str, uid: u32, flags: &[&str], command: &[&str]) -> Finished {
    finish(
        podman()
            .args(RUN)
            .args(["--rm", "--user", &format!("{uid}:0")])
            .args(flags)
            .arg(image)
            .args(command),
    )
}

/// Lets podman read an image and gives the name that it has there.
#[track_caller]
pub(crate) fn load(archive: &Path) -> String {
    let loaded = finish(podman().args(["load", "--input"]).arg(archive)).ok();
    loaded
        .line()
        .rsplit_once(": ")
        .expect("podman names what it loaded")
        .1
        .to_owned()
}

/// podman with its global flags.
pub(crate) fn podman() -> Command {
    static STORAGE: OnceLock<(PathBuf, &str)> = OnceLock::new();
    let (dir, driver) = STORAGE.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("podman");
        fs::create_dir_all(&dir).unwrap();
        let works = |driver| finish(with_storage(&dir, driver).arg("info")).code == Some(0);
        let driver = if works("overlay") { "overlay" } else { "vfs" };
        // What an earlier run left when it was cut off.
        finish(with_storage(&dir, driver).args(["rm", "--all", "--force", "--time", "0"]));
        finish(with_storage(&dir, driver).args(["rmi", "--all", "--force"]));
        (dir, driver)
    });
    with_storage(dir, driver)
}

fn with_storage(dir: &Path, driver: &str) -> Command {
    let mut command = as_root("podman");
    command
        .arg("--root")
        .arg(dir.join(driver))
        .arg("--runroot")
        .arg(dir.join(format!("{driver}-run")))
        .args(["--storage-driver", driver])
        .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
    command
}
