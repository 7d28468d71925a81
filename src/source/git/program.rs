//! Running git for what may take long, use the network or write files: bounded in time and bytes, with
//! the user's own way to the network and nothing of a repository's that could run.
//!
//! The user's settings (proxies, credential helpers, `insteadOf`, ssh) count, because they say how
//! this user reaches that host. What would make the files of one commit differ between users does
//! not: filters, line ends, templates, hooks. Transports are those of an allow-list
//! (`GIT_ALLOW_PROTOCOL`, git(1)). A password goes to git by an environment variable that one
//! credential helper prints (gitcredentials(7)), so that neither the list of processes nor a file
//! nor a submodule on another host gets to see it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::{self, ProcessAttendant, ProcessLimits};
use crate::report::redacted;
use crate::source::location::UrlLogin;

/// The longest that one command may take; the largest repositories take some ten minutes.
const TIMEOUT: Duration = Duration::from_mins(30);
/// As much of an answer is taken.
const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// As much of what git says on stderr is kept: the last of it.
const MAX_SAID_BYTES: usize = 16 << 10;
/// Bytes of a repository, or of the files of one commit.
pub(super) const MAX_BYTES: u64 = 16 << 30;
/// Files and folders of the same.
pub(super) const MAX_ENTRIES: u64 = 2_000_000;
/// A command that lasts is looked at for the first time after this.
const FIRST_LOOK: Duration = Duration::from_millis(300);

/// Variables of git that say how to reach a host, by their beginnings. All others of git's would
/// lead it to other folders or have it print secrets.
const PASSED_OF_GIT: [&str; 7] = [
    "GIT_ASKPASS",
    "GIT_CONFIG",
    "GIT_HTTP_",
    "GIT_PROXY_SSL_",
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_USER_AGENT",
];

/// Settings that hold for every command; `-c` beats all files.
const SETTINGS: [&str; 23] = [
    "advice.detachedHead=false",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.eol=lf",
    "core.fileMode=true",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.ignoreCase=false",
    "core.quotePath=false",
    "core.symlinks=true",
    "core.untrackedCache=false",
    "fetch.recurseSubmodules=false",
    // Packs alone: a file an object would fill a store with files.
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "init.defaultBranch=main",
    "init.templateDir=",
    "maintenance.auto=false",
    // Everything that git is run in here is the store's own.
    "safe.directory=*",
    "submodule.recurse=false",
    "transfer.fsckObjects=true",
    // An old fault of other programs, in many an old commit, and harmless.
    "fetch.fsck.zeroPaddedFilemode=warn",
];

/// Why a command of git gave nothing.
#[derive(Debug)]
pub(super) enum GitFailure {
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended with an error, and said this (passwords removed).
    Failed(String),
    /// It was still at it after [`TIMEOUT`].
    TooSlow,
    /// More than [`MAX_BYTES`] or [`MAX_ENTRIES`].
    TooLarge,
}

/// git, ready to be asked.
pub(super) struct GitProgram<'a> {
    environment: &'a BTreeMap<OsString, OsString>,
    /// The transports that are allowed, with `:` between.
    protocols: &'static str,
    settings: Vec<String>,
    /// Settings that nobody else may see.
    secret_settings: Vec<(String, String)>,
    variables: Vec<(&'static str, OsString)>,
    /// A password, to be kept out of messages.
    password: Option<String>,
}

impl<'a> GitProgram<'a> {
    /// git with the user's environment; from `local` sources more local ones may be reached.
    ///
    /// # Errors
    /// git cannot be started.
    pub(super) fn new(
        environment: &'a BTreeMap<OsString, OsString>,
        local: bool,
    ) -> Result<Self, GitFailure> {
        let mut program = Self {
            environment,
            protocols: if local {
                "file:git:http:https:ssh"
            } else {
                "git:http:https:ssh"
            },
            settings: SETTINGS.map(str::to_owned).to_vec(),
            secret_settings: Vec::new(),
            variables: Vec::new(),
            password: None,
        };
        let own = program.own_settings()?;
        program.switch_off_filters(&own);
        program.reach(&own);
        Ok(program)
    }

    /// Has git use this user and password at one host, and nowhere else.
    pub(super) fn log_in(&mut self, address: &str, login: &UrlLogin) {
        let Some((scheme, rest)) = address.split_once("://") else {
            return;
        };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let name = format!("credential.{scheme}://{host}.helper");
        if login.password.is_some() {
            // What the URL says comes before what the user keeps for that host.
            self.secret_settings.push((name.clone(), String::new()));
        }
        let helper = "!f() { test \"$1\" = get && \
             printf 'username=%s\\npassword=%s\\n' \"$S2R_GIT_USER\" \"$S2R_GIT_PASSWORD\"; }; f";
        self.secret_settings.push((name, helper.to_owned()));
        self.secret_settings.push((
            format!("credential.{scheme}://{host}.username"),
            login.user.clone(),
        ));
        let password = login.password.clone().unwrap_or_default();
        self.variables
            .push(("S2R_GIT_USER", login.user.clone().into()));
        self.variables
            .push(("S2R_GIT_PASSWORD", password.clone().into()));
        // A token may stand in either place.
        let secret = if password.is_empty() {
            login.user.clone()
        } else {
            password
        };
        self.password = Some(secret).filter(|secret| !secret.is_empty());
    }

    /// Names of the user's settings that matter here, in lower case.
    fn own_settings(&self) -> Result<Vec<String>, GitFailure> {
        let pattern = r"^(filter\..*|core\.sshcommand|http\.(.*\.)?sslca(info|path))$";
        let mut command = self.command(Path::new("/"));
        command.args(["config", "--name-only", "-z", "--get-regexp", pattern]);
        match self.run(command, &FetchWatch::nothing()) {
            Ok(names) => Ok(String::from_utf8_lossy(&names)
                .split('\0')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()),
            // There are none.
            Err(GitFailure::Failed(_)) => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// A filter changes files on their way out of the repository, and runs a program for it.
    fn switch_off_filters(&mut self, own: &[String]) {
        for name in own.iter().filter(|name| name.starts_with("filter.")) {
            let value = if name.ends_with(".required") {
                "false"
            } else {
                ""
            };
            self.settings.push(format!("{name}={value}"));
        }
    }

    /// What the user says of certificates to other programs holds for git too; and ssh must not wait
    /// for an answer that nobody gives.
    fn reach(&mut self, own: &[String]) {
        let is_set = |name: &str| {
            let value = self.environment.get(OsStr::new(name));
            value.filter(|value| !value.is_empty()).cloned()
        };
        let mut add = Vec::new();
        for (from, to, setting) in [
            ("SSL_CERT_FILE", "GIT_SSL_CAINFO", "sslcainfo"),
            ("SSL_CERT_DIR", "GIT_SSL_CAPATH", "sslcapath"),
        ] {
            let is_told = is_set(to).is_some() || own.iter().any(|name| name.ends_with(setting));
            if let Some(value) = is_set(from).filter(|_| !is_told) {
                add.push((to, value));
            }
        }
        let has_ssh = is_set("GIT_SSH").is_some()
            || is_set("GIT_SSH_COMMAND").is_some()
            || own.iter().any(|name| name == "core.sshcommand");
        if !has_ssh {
            let ssh = "ssh -o BatchMode=yes -o ConnectTimeout=30";
            add.push(("GIT_SSH_COMMAND", ssh.into()));
        }
        self.variables.append(&mut add);
    }

    /// git in a folder, without a repository of its own.
    pub(super) fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(folder)
            .env_clear()
            .envs(self.passed())
            .env("LC_ALL", "C")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GCM_INTERACTIVE", "never")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_PAGER", "cat")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        // The caller may pass settings this way too; ours come after them.
        let count = OsStr::new("GIT_CONFIG_COUNT");
        let first: usize = self
            .environment
            .get(count)
            .and_then(|count| count.to_str()?.parse().ok())
            .unwrap_or(0);
        if !self.secret_settings.is_empty() {
            for (at, (name, value)) in (first..).zip(&self.secret_settings) {
                command.env(format!("GIT_CONFIG_KEY_{at}"), name);
                command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
            }
            command.env(count, (first + self.secret_settings.len()).to_string());
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command
    }

    fn passed(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.environment.iter().filter(|(name, _)| {
            let name = name.as_bytes();
            !name.starts_with(b"GIT_")
                || PASSED_OF_GIT
                    .iter()
                    .any(|start| name.starts_with(start.as_bytes()))
        })
    }

    /// Runs it to its end and gives its stdout.
    pub(super) fn run(
        &self,
        mut command: Command,
        watch: &FetchWatch<'_>,
    ) -> Result<Vec<u8>, GitFailure> {
        let bounds = ProcessLimits {
            time: TIMEOUT,
            output_bytes: MAX_OUTPUT_BYTES + 1,
            error_bytes: MAX_SAID_BYTES,
        };
        let mut attendant = Attendant::new(watch);
        let finished = host::run_attended(command.stdin(Stdio::null()), bounds, &mut attendant);
        if let Some(failure) = attendant.failure {
            return Err(failure);
        }
        let finished = finished.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => GitFailure::TooSlow,
            _ => GitFailure::NotStarted(error),
        })?;
        if !finished.status.success() {
            return Err(GitFailure::Failed(self.without_secrets(&finished.error)));
        }
        if finished.output.len() > MAX_OUTPUT_BYTES {
            return Err(GitFailure::TooLarge);
        }
        Ok(finished.output)
    }

    /// What git said, made fit for a log.
    fn without_secrets(&self, said: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(said).into_owned();
        if let Some(password) = &self.password {
            text = text.replace(password.as_str(), "***");
        }
        text.lines()
            // `insteadOf` may put a login into an address.
            .map(redacted)
            .filter(|line| !line.trim().is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// What grows while a command runs, and who wants to know.
pub(super) struct FetchWatch<'a> {
    /// Folders that it writes to.
    pub folders: &'a [&'a Path],
    /// Is told the bytes in them, as far as they have grown.
    pub progress: &'a dyn Fn(u64),
}

impl FetchWatch<'_> {
    /// For commands that write nothing.
    pub(super) fn nothing() -> Self {
        Self {
            folders: &[],
            progress: &|_| {},
        }
    }

    fn look(&self) -> Result<u64, GitFailure> {
        let mut size = FolderSize::default();
        for folder in self.folders {
            size.add(folder)?;
        }
        Ok(size.bytes)
    }
}

/// Looks after one command.
struct Attendant<'a> {
    watch: &'a FetchWatch<'a>,
    started: Instant,
    before: Option<u64>,
    next_look: Duration,
    failure: Option<GitFailure>,
}

impl<'a> Attendant<'a> {
    fn new(watch: &'a FetchWatch<'a>) -> Self {
        Self {
            watch,
            started: Instant::now(),
            before: None,
            next_look: FIRST_LOOK,
            failure: None,
        }
    }
}

impl ProcessAttendant for Attendant<'_> {
    fn glance(&mut self) -> io::Result<()> {
        if self.watch.folders.is_empty() || self.started.elapsed() <= self.next_look {
            return Ok(());
        }
        let look = Instant::now();
        let size = match self.watch.look() {
            Ok(size) => size,
            Err(failure) => {
                self.failure = Some(failure);
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        };
        let before = *self.before.get_or_insert(size);
        (self.watch.progress)(size.saturating_sub(before));
        // Looking at many files takes a while; git shall have most of the time.
        self.next_look = self.started.elapsed() + FIRST_LOOK.max(look.elapsed() * 5);
        Ok(())
    }
}

#[derive(Default)]
struct FolderSize {
    bytes: u64,
    entries: u64,
}

impl FolderSize {
    /// Adds what lies below a folder; what vanishes meanwhile does not count.
    fn add(&mut self, folder: &Path) -> Result<(), GitFailure> {
        let mut pending = vec![folder.to_owned()];
        while let Some(folder) = pending.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                self.entries += 1;
                self.bytes += metadata.len();
                if self.entries > MAX_ENTRIES || self.bytes > MAX_BYTES {
                    return Err(GitFailure::TooLarge);
                }
                if metadata.is_dir() {
                    pending.push(entry.path());
                }
            }
        }
        Ok(())
    }
}
