//! One situation and what is expected of it.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use super::packages::{PYLOCK, home, home_with_compiler, lock};
use crate::harness::container::podman;
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{Finished, finish, temporary};

/// A container that should end by itself is killed after this many seconds.
const END_LIMIT_SECONDS: &str = "60";

/// Files by path; one that ends in `*` is executable.
pub(super) type Files = &'static [(&'static str, &'static str)];

/// A situation. What is not named in a row is as [`ROW`] has it.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Requirements, of those in [`super::packages`].
    pub(super) packages: &'static [&'static str],
    pub(super) files: Files,
    /// `-e` of the build.
    pub(super) build: &'static [&'static str],
    /// `--env` of the container.
    pub(super) start: &'static [&'static str],
    /// More flags of podman.
    pub(super) flags: &'static [&'static str],
    /// Files that stand where the container's control group is read.
    pub(super) cgroup: Files,
    pub(super) uid: u32,
    /// Whether the build needs all of the builder, its compiler too.
    pub(super) needs_compiler: bool,
    pub(super) end: End,
    /// Whole lines of the page; `{workers}` is twice the number of processors.
    pub(super) page: &'static [&'static str],
    /// Beginnings of lines that the page must not have.
    pub(super) page_lacks: &'static [&'static str],
    /// Texts in what a build says that succeeds.
    pub(super) build_log: &'static [&'static str],
    /// Texts in the log, or in what the build says if it is refused.
    pub(super) log: &'static [&'static str],
    pub(super) log_lacks: &'static [&'static str],
    /// Shell commands run in the container beside the application, and what each prints.
    pub(super) exec: &'static [(&'static [&'static str], &'static str)],
}

/// How a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The build is refused with this status.
    Refused(i32),
    /// The container ends by itself with this status.
    Exits(i32),
    /// It answers on this port.
    Serves(u16),
    /// It answers on this port, gets this signal, and then ends with this status.
    Stops(u16, &'static str, i32),
}

/// A server on the usual port.
pub(super) const ROW: Row = Row {
    name: "",
    packages: &[],
    files: &[],
    build: &[],
    start: &[],
    flags: &[],
    cgroup: &[],
    uid: 1001,
    needs_compiler: false,
    end: End::Serves(8080),
    page: &[],
    page_lacks: &[],
    build_log: &[],
    log: &[],
    log_lacks: &[],
    exec: &[],
};

impl Row {
    /// Builds, starts, looks; a panic tells what was not as expected.
    #[track_caller]
    pub(super) fn hold(&self) {
        let began = Instant::now();
        match self.build() {
            Err(refused) => self.check_log(&refused.stderr, &[]),
            Ok(image) => match self.end {
                End::Refused(status) => {
                    self.fail(&format!("status {status} of the build"), "an image", "")
                }
                End::Exits(status) => self.run_to_its_end(&image, status),
                End::Serves(port) => self.look(&image, port, None),
                End::Stops(port, signal, status) => {
                    self.look(&image, port, Some((signal, status)));
                }
            },
        }
        println!("{:6} ms  {}", began.elapsed().as_millis(), self.name);
    }

    /// The image's name for podman, or why there is none if that was expected.
    #[track_caller]
    fn build(&self) -> Result<String, Finished> {
        let project = Project::new(&[(PYLOCK, &lock(self.packages))]);
        for (path, text) in self.files {
            let name = path.trim_end_matches('*');
            project.write(name, text);
            let mode = if name == *path { 0o644 } else { 0o755 };
            let mode = Permissions::from_mode(mode);
            fs::set_permissions(project.path().join(name), mode).unwrap();
        }
        let name = format!("contract-{}", unique());
        let home = if self.needs_compiler {
            home_with_compiler()
        } else {
            home()
        };
        let mut command = home.command(&["build", "--progress", "plain"]);
        command.arg(project.path()).arg(&name);
        if let Some(builder) = builder() {
            command.args(["--builder", builder]);
        }
        for variable in self.build {
            command.args(["-e", variable]);
        }
        let built = finish(&mut command);
        match self.end {
            End::Refused(status) if built.code == Some(status) => Err(built),
            _ if built.code == Some(0) => {
                let said = |text: &&&str| built.stderr.contains(**text);
                if let Some(text) = self.build_log.iter().find(|text| !said(text)) {
                    self.fail(
                        &format!("of the build: {text}"),
                        "nothing like it",
                        &built.stderr,
                    );
                }
                Ok(pulled(home, digest_of(built.line())))
            }
            _ => self.fail(
                "a build that succeeds, or is refused as the row says",
                &format!("status {:?}", built.code),
                &built.stderr,
            ),
        }
    }

    /// Flags of `podman run`, and the folder that must outlive the container.
    fn flags(&self) -> (Vec<String>, Option<TempDir>) {
        let mut flags: Vec<String> = [
            "run",
            "--quiet",
            "--network",
            "none",
            "--passwd=false",
            "--ulimit",
            "nofile=20000:20000",
            "--ulimit",
            "nproc=10000:10000",
        ]
        .map(str::to_owned)
        .into();
        flags.push(format!("--user={}:0", self.uid));
        flags.extend(
            self.start
                .iter()
                .map(|variable| format!("--env={variable}")),
        );
        flags.extend(self.flags.iter().map(|&flag| flag.to_owned()));
        let cgroup = (!self.cgroup.is_empty()).then(|| {
            let dir = temporary();
            for (path, text) in self.cgroup {
                let path = dir.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let volume = format!("--volume={}:/sys/fs/cgroup:ro", dir.path().display());
            flags.push(volume);
            dir
        });
        (flags, cgroup)
    }

    #[track_caller]
    fn run_to_its_end(&self, image: &str, status: i32) {
        let (flags, _cgroup) = self.flags();
        let ended =
            finish(
                podman()
                    .args(flags)
                    .args(["--rm", "--timeout", END_LIMIT_SECONDS, image]),
            );
        let log = format!("{}{}", ended.stdout, ended.stderr);
        if ended.code != Some(status) {
            self.fail(
                &format!("exit status {status}"),
                &format!("{:?}", ended.code),
                &log,
            );
        }
        self.check_log(&ended.stdout, &[("stderr", &ended.stderr)]);
    }

    #[track_caller]
    fn look(&self, image: &str, port: u16, signal: Option<(&str, i32)>) {
        let (flags, _cgroup) = self.flags();
        let name = format!("s2r-contract-{}-{}", std::process::id(), unique());
        let started = finish(
            podman()
                .args(flags)
                .args(["--detach", "--name", &name, image]),
        );
        let container = Running { name };
        if started.code != Some(0) {
            self.fail("a container", "none", &started.stderr);
        }
        let asked = container.exec(&["python", "-m", "seen", "ask", &port.to_string()]);
        if asked.code != Some(0) {
            let why = format!("{}{}", asked.stdout, asked.stderr);
            self.fail(&format!("a page on port {port}"), &why, &container.log());
        }
        self.check_page(&asked.stdout, &container.log());
        for (command, expected) in self.exec {
            let command: Vec<String> = command.iter().map(|word| on_builder(word)).collect();
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            let ran = container.exec(&command);
            let expected = on_builder(expected);
            if ran.code != Some(0) || ran.stdout != expected {
                let seen = format!("{:?}: {}{}", ran.code, ran.stdout, ran.stderr);
                self.fail(
                    &format!("of {command:?}: {expected}"),
                    &seen,
                    &container.log(),
                );
            }
        }
        if let Some((signal, status)) = signal {
            container.kill(signal);
            let ended = finish(podman().args(["wait", &container.name]));
            if ended.line() != status.to_string() {
                let expected = format!("status {status} after {signal}");
                self.fail(&expected, ended.line(), &container.log());
            }
        }
        self.check_log(&container.log(), &[]);
    }

    #[track_caller]
    fn check_page(&self, page: &str, log: &str) {
        let cores = thread_count();
        for expected in self.page {
            let expected = on_builder(expected);
            let expected = expected.replace("{workers}", &(2 * cores).min(12).to_string());
            if !page.lines().any(|line| line == expected) {
                let word = expected.split(['=', ' ']).next().unwrap_or_default();
                let near: String = page
                    .lines()
                    .filter(|line| line.split(['=', ' ']).next() == Some(word))
                    .fold(String::new(), |all, line| all + line + "\n");
                self.fail(&expected, &near, log);
            }
        }
        for refused in self.page_lacks {
            if let Some(line) = page.lines().find(|line| line.starts_with(refused)) {
                self.fail(&format!("no line that begins with {refused}"), line, log);
            }
        }
    }

    #[track_caller]
    fn check_log(&self, text: &str, more: &[(&str, &str)]) {
        let log = more.iter().fold(text.to_owned(), |log, (name, text)| {
            format!("{log}--- {name}\n{text}")
        });
        for expected in self.log {
            if !log.contains(expected) {
                self.fail(&format!("in the log: {expected}"), "nothing like it", &log);
            }
        }
        for refused in self.log_lacks {
            if log.contains(refused) {
                self.fail(&format!("not in the log: {refused}"), "it is there", &log);
            }
        }
    }

    #[track_caller]
    fn fail(&self, expected: &str, seen: &str, log: &str) -> ! {
        let mut text = format!("row: {}\nexpected: {expected}\nseen: {seen}\n", self.name);
        let _ = writeln!(
            text,
            "build {:?}, start {:?}, uid {}",
            self.build, self.start, self.uid
        );
        panic!("{text}--- log\n{log}---");
    }
}

/// The builder that rows are built with, if it is not the default one.
fn builder() -> Option<&'static str> {
    static BUILDER: OnceLock<Option<String>> = OnceLock::new();
    let chosen = || std::env::vars().find(|(name, _)| name == "S2R_CONTRACT_BUILDER");
    BUILDER
        .get_or_init(|| chosen().map(|(_, value)| value))
        .as_deref()
}

/// A text of a row, which speaks of the default builder's Python, for the builder that there is.
fn on_builder(text: &str) -> String {
    match builder().and_then(|name| name.strip_prefix("python-")) {
        Some(python) => text.replace("3.13", python),
        None => text.to_owned(),
    }
}

/// Has podman copy an image, and gives its id there. podman gives all images of one layout the same name, so by
/// that name a row would sometimes get another one's.
#[track_caller]
fn pulled(home: &Home, digest: &str) -> String {
    let layout = home.layout();
    finish(podman().args(["pull", "--quiet", &layout.reference(digest)])).ok();
    let config = &layout.document(digest)["config"]["digest"];
    config.as_str().unwrap().replace("sha256:", "")
}

/// A container, removed with the value.
struct Running {
    name: String,
}

impl Running {
    fn exec(&self, command: &[&str]) -> Finished {
        finish(podman().args(["exec", &self.name]).args(command))
    }

    fn kill(&self, signal: &str) {
        finish(podman().args(["kill", "--signal", signal, &self.name])).ok();
    }

    fn log(&self) -> String {
        let finished = finish(podman().args(["logs", &self.name]));
        finished.stdout + &finished.stderr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        finish(podman().args(["rm", "--force", "--time", "0", &self.name]));
    }
}

fn unique() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
