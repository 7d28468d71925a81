//! Tests against the real git.

use super::*;
use crate::source::testing::folder;

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
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
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
        ("https://u:pa/ss@h/x", "https://h/x"),
        ("https://u:pa#ss@h/x", "https://h/x"),
        ("https://u:pa?ss@h/x", "https://h/x"),
        ("ssh://git:pa/ss@h/x", "ssh://git@h/x"),
    ] {
        assert_eq!(without_credentials(url), expected);
    }
}
