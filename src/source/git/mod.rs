//! What git knows about a checkout: asked of the `git` program, because its formats are its own.
//!
//! A source is data: nothing that a checkout configures may run here. So the network, hooks, the
//! file system monitor and prompts are off; and in a folder that belongs to someone else, or whose own
//! settings name programs (filters above all), the state of the working tree is not asked for at
//! all. Where git is missing, slow or refuses, there are simply no facts.

mod checkout;
mod error;
mod program;
pub(crate) mod remote;
pub(crate) mod revision;
#[cfg(test)]
mod tests;
mod version_description;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use version_description::DESCRIBE;

use crate::host::{self, ProcessLimits};
use crate::report::split_login;

/// The longest that one question to git may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// As much of an answer is read.
const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Longest subject line in a label; s2i cuts there too.
const MAX_SUBJECT_CHARS: usize = 80;
/// Variables of the caller that git needs to be found and to find its own settings.
const PASSED: [&str; 6] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
];

/// Settings by which a checkout has programs run, or has more settings read, when the state of its
/// working tree is asked for; as git writes their names, in lower case.
const RISKY_SETTINGS: [&str; 2] = ["core.fsmonitor", "diff.external"];
/// All settings that begin so are of that kind too: filters, and files to include.
const RISKY_SECTIONS: [&str; 3] = ["filter.", "include.", "includeif."];

/// A checkout's commit and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CheckoutFacts {
    /// Full commit id, lower-case hex.
    pub commit: String,
    /// `Name <mail>`.
    pub author: String,
    /// The author's date in git's default form, for instance `Tue Jul 7 12:00:00 2026 +0200`.
    pub date: String,
    /// Name of the branch, or `HEAD` where none is checked out.
    pub reference: String,
    /// First line of the message, cut to 80 characters.
    pub message: String,
    /// Url of the remote `origin`, without user and password.
    pub remote: Option<String>,
    /// Files that differ from the commit or are not in it (ignored ones do not count); `None`
    /// where that was not asked, because the folder belongs to someone else or its own settings
    /// could run programs.
    pub changed_files: Option<usize>,
    /// When it was committed, as ISO 8601 has it.
    #[serde(skip)]
    pub committed: String,
    /// `git describe` of the commit, for instance `v1.2-3-gabc1234`: the last tag with a number in it, and how many
    /// commits have come since. Asked for where a project takes its version from there.
    pub description: Option<String>,
}

/// How to ask for what [`CheckoutFacts::of_log`] reads; the commit comes after it.
const LOG: [&str; 6] = [
    "log",
    "-1",
    "--no-show-signature",
    "--encoding=UTF-8",
    "--date=default",
    "--format=%H%x00%an <%ae>%x00%ad%x00%s%x00%cI",
];

impl CheckoutFacts {
    /// From the answer to [`LOG`]; `None` if it is no such answer.
    fn of_log(answer: &[u8], reference: &str, remote: Option<String>) -> Option<Self> {
        let commit = String::from_utf8_lossy(answer);
        let mut fields = commit.trim_end_matches('\n').split('\0');
        let mut field = || fields.next().map(str::to_owned);
        let (commit, author, date, subject) = (field()?, field()?, field()?, field()?);
        let committed = field()?;
        Some(Self {
            commit,
            author,
            date,
            reference: reference.to_owned(),
            message: subject.chars().take(MAX_SUBJECT_CHARS).collect(),
            remote,
            changed_files: Some(0),
            committed,
            description: None,
        })
    }
}

/// Asks git about the checkout whose top is `folder` (it has an entry `.git`). `environment` is the
/// caller's; only what git needs is passed on.
pub(crate) fn facts(
    folder: &Path,
    environment: &BTreeMap<OsString, OsString>,
) -> Option<CheckoutFacts> {
    let git = GitFolder::at(folder, environment)?;
    let answer = git.ask(&[&LOG[..], &["HEAD"]].concat())?;
    let reference = git
        .text(&["rev-parse", "--abbrev-ref", "HEAD"])
        .unwrap_or_else(|| "HEAD".to_owned());
    let remote = git.remote().map(|url| without_credentials(&url));
    let mut facts = CheckoutFacts::of_log(&answer, &reference, remote)?;
    facts.changed_files = changed_files(&git);
    if version_description::is_asked_for(folder) {
        facts.description = git.text(&[&DESCRIBE[..], &[&facts.commit]].concat());
    }
    Some(facts)
}

/// Whether the checkout's own settings (those of its worktree and of files they include among
/// them) could run something; also where git does not say. The user's own settings are theirs.
fn could_run_programs(git: &GitFolder<'_>) -> bool {
    let Some(answer) = git.ask(&["config", "--list", "--show-scope", "--name-only", "-z"]) else {
        return true;
    };
    // Scope and name take turns.
    let mut words = answer.split(|byte| *byte == 0);
    while let (Some(scope), Some(name)) = (words.next(), words.next()) {
        if (scope == b"local" || scope == b"worktree") && is_risky(name) {
            return true;
        }
    }
    false
}

fn is_risky(name: &[u8]) -> bool {
    RISKY_SETTINGS.iter().any(|one| name == one.as_bytes())
        || RISKY_SECTIONS
            .iter()
            .any(|section| name.starts_with(section.as_bytes()))
}

fn changed_files(git: &GitFolder<'_>) -> Option<usize> {
    if git.foreign || could_run_programs(git) {
        return None;
    }
    let answer = git.ask(&[
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=normal",
        "--no-renames",
        "--ignore-submodules=dirty",
        "--",
        ".",
    ])?;
    let changed = answer
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty());
    Some(changed.count())
}

struct GitFolder<'a> {
    folder: &'a Path,
    environment: &'a BTreeMap<OsString, OsString>,
    foreign: bool,
}

impl<'a> GitFolder<'a> {
    /// git in a checkout; `None` where there is none.
    fn at(folder: &'a Path, environment: &'a BTreeMap<OsString, OsString>) -> Option<Self> {
        let found = std::fs::symlink_metadata(folder.join(".git")).ok()?;
        Some(Self {
            folder,
            environment,
            foreign: found.uid() != rustix::process::geteuid().as_raw(),
        })
    }

    /// The same as text, if there is any.
    fn text(&self, arguments: &[&str]) -> Option<String> {
        let answer = self.ask(arguments)?;
        let text = String::from_utf8_lossy(&answer).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Url of the remote `origin`, as it is written there.
    fn remote(&self) -> Option<String> {
        self.text(&["config", "--get", "remote.origin.url"])
    }

    /// What git answers, if it does so in time and with success.
    fn ask(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        command
            .current_dir(self.folder)
            .env_clear()
            .envs(self.passed())
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_PAGER", "cat")
            .args(["-c", "core.fsmonitor=false"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.attributesFile=/dev/null"])
            .args(["-c", "core.quotePath=false"]);
        if self.foreign {
            // CI checks out as one user and builds as another (often root). Nothing of the
            // checkout is run for what is asked, so git's caution is not needed.
            let mut setting = OsString::from("safe.directory=");
            setting.push(self.folder);
            command.arg("-c").arg(setting);
        }
        command.args(arguments);
        run_bounded(command)
    }

    fn passed(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.environment.iter().filter(|(name, _)| {
            PASSED.iter().any(|passed| *name == passed)
                || name.as_bytes().starts_with(b"GIT_CONFIG")
        })
    }
}

/// Runs a program that may hang or say too much; `None` for any kind of failure.
fn run_bounded(mut command: Command) -> Option<Vec<u8>> {
    let bounds = ProcessLimits {
        time: TIMEOUT,
        output_bytes: MAX_OUTPUT_BYTES,
        error_bytes: 0,
    };
    let finished = host::run(&mut command, bounds).ok()?;
    finished.status.success().then_some(finished.output)
}

/// A remote's url without user and password, query and fragment, all of which may be secrets;
/// `user@host:path` keeps its user, which is no secret there but a part of the address.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return without_password(url);
    };
    let split = split_login(rest);
    let place = split.rest.split(['?', '#']).next().unwrap_or_default();
    match split.login {
        Some(user) if scheme == "ssh" || scheme == "git+ssh" => {
            let name = user.split([':', '/', '?', '#']).next().unwrap_or_default();
            format!("{scheme}://{name}@{place}")
        }
        Some(_) | None => format!("{scheme}://{place}"),
    }
}

/// The same for `user:password@host:path`. No git takes that for an address, but people write it.
fn without_password(address: &str) -> String {
    let (head, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    match (head.split_once(':'), head.rsplit_once('@')) {
        (Some((user, _)), Some((_, host))) if !user.contains('@') => {
            format!("{user}@{host}{path}")
        }
        _ => address.to_owned(),
    }
}

/// Whether a folder is the top of a checkout, which is what s2i asks too.
pub(crate) fn is_checkout(folder: &Path) -> bool {
    folder.join(OsStr::new(".git")).symlink_metadata().is_ok()
}
