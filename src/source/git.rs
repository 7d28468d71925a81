//! What git knows about a checkout: asked of the `git` program, because its formats are its own.
//!
//! A source is data: nothing that a checkout configures may run here. So the network, hooks, the
//! file system monitor and prompts are off; and in a folder that belongs to someone else, whose
//! filters could run, the state of the working tree is not asked for at all. Where git is missing,
//! slow or refuses, there are simply no facts.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;

/// The longest that one question to git may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// As much of an answer is read.
const MAX_OUTPUT_BYTES: u64 = 4 << 20;
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

/// A checkout's commit and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
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
    /// where that was not asked because the folder belongs to someone else.
    pub changed_files: Option<usize>,
}

/// Asks git about the checkout whose top is `folder` (it has an entry `.git`). `environment` is the
/// caller's; only what git needs is passed on.
pub(crate) fn facts(folder: &Path, environment: &BTreeMap<OsString, OsString>) -> Option<Facts> {
    let found = std::fs::symlink_metadata(folder.join(".git")).ok()?;
    let foreign = found.uid() != rustix::process::geteuid().as_raw();
    let git = Git {
        folder,
        environment,
        foreign,
    };
    let commit = git.ask(&[
        "log",
        "-1",
        "--no-show-signature",
        "--encoding=UTF-8",
        "--date=default",
        "--format=%H%x00%an <%ae>%x00%ad%x00%s",
        "HEAD",
    ])?;
    let commit = String::from_utf8_lossy(&commit);
    let mut fields = commit.trim_end_matches('\n').split('\0');
    let mut field = || fields.next().map(str::to_owned);
    let (commit, author, date, subject) = (field()?, field()?, field()?, field()?);
    let text = |answer: Vec<u8>| {
        let text = String::from_utf8_lossy(&answer).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    Some(Facts {
        commit,
        author,
        date,
        reference: git
            .ask(&["rev-parse", "--abbrev-ref", "HEAD"])
            .and_then(text)
            .unwrap_or_else(|| "HEAD".to_owned()),
        message: subject.chars().take(MAX_SUBJECT_CHARS).collect(),
        remote: git
            .ask(&["config", "--get", "remote.origin.url"])
            .and_then(text)
            .map(|url| without_credentials(&url)),
        changed_files: if foreign { None } else { changed_files(&git) },
    })
}

fn changed_files(git: &Git<'_>) -> Option<usize> {
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

struct Git<'a> {
    folder: &'a Path,
    environment: &'a BTreeMap<OsString, OsString>,
    foreign: bool,
}

impl Git<'_> {
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
            .args(["-c", "core.quotePath=false"]);
        if self.foreign {
            // CI checks out as one user and builds as another (often root). Nothing of the
            // checkout is run for what is asked, so git's caution is not needed.
            let mut setting = OsString::from("safe.directory=");
            setting.push(self.folder);
            command.arg("-c").arg(setting);
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
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
    let mut child = command.spawn().ok()?;
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let complete = output
            .take(MAX_OUTPUT_BYTES)
            .read_to_end(&mut answer)
            .is_ok();
        // The receiver is gone once it has waited long enough.
        let _ = sender.send(complete.then_some(answer));
    });
    let answer = receiver.recv_timeout(TIMEOUT).ok().flatten();
    if answer.is_none() {
        let _ = child.kill();
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    answer.filter(|_| succeeded)
}

/// A remote's url without user and password; `user@host:path` keeps its user, which is no secret
/// there but a part of the address.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = match authority.rsplit_once('@') {
        Some((user, host)) if scheme == "ssh" || scheme == "git+ssh" => {
            let name = user.split(':').next().unwrap_or_default();
            return format!("{scheme}://{name}@{host}{path}");
        }
        Some((_, host)) => host,
        None => authority,
    };
    format!("{scheme}://{host}{path}")
}

/// Whether a folder is the top of a checkout, which is what s2i asks too.
pub(crate) fn is_checkout(folder: &Path) -> bool {
    folder.join(OsStr::new(".git")).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::folder;
    use super::*;

    /// The tests' own environment: where git is, and a home without settings.
    fn environment(home: &Path) -> BTreeMap<OsString, OsString> {
        BTreeMap::from([
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("HOME".into(), home.into()),
        ])
    }

    fn git(folder: &Path, arguments: &[&str]) {
        let status = Command::new("git")
            .current_dir(folder)
            .env("HOME", folder)
            .env("GIT_AUTHOR_DATE", "2026-07-07T12:00:00+0200")
            .env("GIT_COMMITTER_DATE", "2026-07-07T12:00:00+0200")
            .args(["-c", "user.name=A B", "-c", "user.email=a@b.c"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    #[test]
    fn a_checkout_is_described() {
        let folder = folder(&[("app.py", "1"), ("b", "1")]);
        let path = folder.path();
        git(path, &["init", "-q", "-b", "trunk"]);
        git(path, &["add", "."]);
        let message = format!("{}\n\nbody", "x".repeat(100));
        git(path, &["commit", "-q", "-m", &message]);
        git(
            path,
            &[
                "remote",
                "add",
                "origin",
                "https://u:secret@example.org/x.git",
            ],
        );
        let clean = facts(path, &environment(path)).unwrap();
        assert_eq!(clean.commit.len(), 40);
        assert_eq!(clean.author, "A B <a@b.c>");
        assert_eq!(clean.date, "Tue Jul 7 12:00:00 2026 +0200");
        assert_eq!(clean.reference, "trunk");
        assert_eq!(clean.message, "x".repeat(80));
        assert_eq!(clean.remote.as_deref(), Some("https://example.org/x.git"));
        assert_eq!(clean.changed_files, Some(0));
        std::fs::write(path.join("b"), "22").unwrap();
        std::fs::write(path.join("new"), "").unwrap();
        let dirty = facts(path, &environment(path)).unwrap();
        assert_eq!(dirty.changed_files, Some(2));
    }

    #[test]
    fn nothing_of_the_checkout_is_run() {
        let folder = folder(&[
            ("app.py", "1"),
            ("spy*", "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\n"),
        ]);
        let path = folder.path();
        git(path, &["init", "-q"]);
        git(path, &["add", "app.py"]);
        git(path, &["commit", "-q", "-m", "m"]);
        let spy = path.join("spy");
        let spy = spy.to_str().unwrap();
        for setting in [
            "core.fsmonitor",
            "core.pager",
            "gpg.program",
            "core.sshCommand",
        ] {
            git(path, &["config", setting, spy]);
        }
        git(path, &["config", "log.showSignature", "true"]);
        assert!(facts(path, &environment(path)).is_some());
        assert!(!path.join("ran").exists());
    }

    #[test]
    fn without_git_or_commits_there_are_no_facts() {
        let empty = folder(&[("app.py", "")]);
        let path = empty.path();
        assert!(!is_checkout(path));
        assert!(facts(path, &environment(path)).is_none());
        git(path, &["init", "-q"]);
        assert!(is_checkout(path));
        assert!(facts(path, &environment(path)).is_none());
        let nowhere = BTreeMap::from([("PATH".into(), "/nonexistent".into())]);
        assert!(facts(path, &nowhere).is_none());
    }

    #[test]
    fn credentials_are_cut_from_urls() {
        for (url, expected) in [
            ("https://u:p@h/x", "https://h/x"),
            ("https://token@h:1/x?y@z", "https://h:1/x?y@z"),
            ("https://u:p@w@h", "https://h"),
            ("https://h/a@b", "https://h/a@b"),
            ("ssh://git@h/x", "ssh://git@h/x"),
            ("ssh://git:p@h/x", "ssh://git@h/x"),
            ("git@h:x/y.git", "git@h:x/y.git"),
            ("/srv/x", "/srv/x"),
        ] {
            assert_eq!(without_credentials(url), expected);
        }
    }
}
