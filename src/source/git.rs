//! What git knows about a checkout: asked of the `git` program, because its formats are its own.
//!
//! A source is data: nothing that a checkout configures may run here. So the network, hooks, the
//! file system monitor and prompts are off; and in a folder that belongs to someone else, or whose own
//! settings name programs (filters above all), the state of the working tree is not asked for at
//! all. Where git is missing, slow or refuses, there are simply no facts.

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

/// Settings by which a checkout has programs run, or has more settings read, when the state of its
/// working tree is asked for; as git writes their names, in lower case.
const RISKY_SETTINGS: [&str; 2] = ["core.fsmonitor", "diff.external"];
/// All settings that begin so are of that kind too: filters, and files to include.
const RISKY_SECTIONS: [&str; 3] = ["filter.", "include.", "includeif."];

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
    /// where that was not asked, because the folder belongs to someone else or its own settings
    /// could run programs.
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
        changed_files: changed_files(&git),
    })
}

/// Whether the checkout's own settings (those of its worktree and of files they include among
/// them) could run something; also where git does not say. The user's own settings are theirs.
fn could_run_programs(git: &Git<'_>) -> bool {
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

fn changed_files(git: &Git<'_>) -> Option<usize> {
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
            .args(["-c", "core.attributesFile=/dev/null"])
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

/// A remote's url without user and password, query and fragment, all of which may be secrets;
/// `user@host:path` keeps its user, which is no secret there but a part of the address.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return without_password(url);
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
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
    fn filters_of_the_checkout_are_not_run() {
        let folder = folder(&[
            ("app.py", "1"),
            (".gitattributes", "*.py filter=evil"),
            ("spy*", "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\ncat\n"),
        ]);
        let path = folder.path();
        git(path, &["init", "-q"]);
        git(path, &["add", "app.py", ".gitattributes"]);
        git(path, &["commit", "-q", "-m", "m"]);
        let spy = path.join("spy");
        let spy = spy.to_str().unwrap();
        let more = path.join("more");
        std::fs::write(&more, format!("[filter \"evil\"]\nclean = {spy}\n")).unwrap();
        let set = |arguments: &[&str]| git(path, &[&["config"], arguments].concat());
        let look = || {
            // As long as before, so that git has to read it, through filters, to see the change.
            std::fs::write(path.join("app.py"), "2").unwrap();
            let facts = facts(path, &environment(path)).unwrap();
            assert!(!path.join("ran").exists());
            facts.changed_files
        };
        assert_eq!(look(), Some(3));
        for kind in ["filter.evil.clean", "filter.evil.process"] {
            set(&[kind, spy]);
            assert_eq!(look(), None, "{kind}");
            set(&["--unset", kind]);
        }
        for kind in ["include.path", "includeIf.gitdir:/.path"] {
            set(&[kind, more.to_str().unwrap()]);
            assert_eq!(look(), None, "{kind}");
            set(&["--unset", kind]);
        }
        set(&["extensions.worktreeConfig", "true"]);
        assert_eq!(look(), Some(3));
        set(&["--worktree", "filter.evil.clean", spy]);
        assert_eq!(look(), None);
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
            ("https://token@h:1/x?y@z", "https://h:1/x"),
            ("https://h/x.git?private_token=s#t", "https://h/x.git"),
            ("https://u:p@h?token=s/x", "https://h"),
            ("ssh://git@h/x#s", "ssh://git@h/x"),
            ("user:token@h:x/y.git", "user@h:x/y.git"),
            ("user:to@ken@h:x", "user@h:x"),
            ("git@h:x@y", "git@h:x@y"),
            ("h:x/a@b", "h:x/a@b"),
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
