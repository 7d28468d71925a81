//! Other people's programs, and what a finished process said.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// A finished process: its exit code and what it wrote.
pub(crate) struct Finished {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn new(command: &Command, output: &Output) -> Self {
        Self {
            command: format!("{command:?}"),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the process succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Fails the test unless the process ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "{}\nended with {:?}, not {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails the test unless stderr holds each of the texts, whatever their case.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        let said = self.stderr.to_lowercase();
        for text in texts {
            assert!(
                said.contains(&text.to_lowercase()),
                "{}\ndid not say {text:?}\n--- stderr\n{}",
                self.command,
                self.stderr
            );
        }
        self
    }

    /// Stdout without its last line end.
    pub(crate) fn line(&self) -> &str {
        self.stdout.trim_end_matches('\n')
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.command, self.stdout))
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}); tests/run installs what the tests need")
    });
    Finished::new(command, &output)
}

/// Runs a tool that must succeed and gives its stdout.
#[track_caller]
pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    finish(Command::new(program).args(arguments)).ok().stdout
}

/// A command that needs root: as it is for root, else through sudo.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program under which another one sees no network.
pub(crate) fn without_network() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "--net"]
    } else {
        &["unshare", "--map-root-user", "--net"]
    }
}

/// A temporary folder whose path podman takes as part of an image's name, that is, in lower case.
pub(crate) fn temporary() -> TempDir {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("s2r-it-{}-{number}", std::process::id());
        let mut builder = tempfile::Builder::new();
        match builder.prefix(&name).rand_bytes(0).tempdir() {
            Ok(dir) => return dir,
            // A run that was cut off had the same process id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// A port of the loopback address that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Command lines of the machine's processes that hold a mark.
pub(crate) fn alive(mark: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}
