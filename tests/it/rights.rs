//! What an image may read, write and start in `s2r run` is what it may in a container: podman is asked the same
//! questions as s2r, for several users, and has to give the same answers.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::harness::container::podman;
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{Finished, finish};

/// Where something is written.
const FOLDERS: &[&str] = &[
    "/",
    "/bin",
    "/dev/shm",
    "/etc",
    "/opt",
    "/opt/app-root",
    "/opt/app-root/bin",
    "/opt/app-root/src",
    "/opt/app-root/src/kept",
    "/root",
    "/run",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/libexec/s2i",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// What is opened for writing, and what is read.
const FILES: &[&str] = &[
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/opt/app-root/pyvenv.cfg",
    "/opt/app-root/src/app.py",
    "/opt/app-root/src/secret",
    "/opt/app-root/src/kept/file",
    "/usr/bin/env",
    "/usr/libexec/s2i/run",
];

/// Asks all of it, a line an answer.
const ASK: &str = r#"
import os, sys
folders, files = (text.split() for text in sys.argv[1:])
def tell(what, path, act):
    try:
        act()
        print(what, path, "yes")
    except FileNotFoundError:
        print(what, path, "not there")
    except OSError:
        print(what, path, "no")
def new(folder):
    path = os.path.join(folder, "s2r-test")
    open(path, "w").close()
    os.unlink(path)
for folder in folders:
    tell("list", folder, lambda: os.listdir(folder))
    tell("write into", folder, lambda: new(folder))
for file in files:
    tell("read", file, lambda: open(file).close())
    tell("write", file, lambda: open(file, "a").close())
    print("start", file, os.access(file, os.X_OK))
print("who", os.getuid(), os.getgid(), os.getgroups() in ([], [os.getgid()]))
print("capabilities", [line for line in open("/proc/self/status") if line.startswith("CapEff")])
"#;

/// An image of a project with files of several modes.
fn image(home: &Home) -> String {
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("secret", "for its owner\n"),
        ("kept/file", "text\n"),
    ]);
    home.build(&project.path(), &["asked"])
}

fn answers(said: &Finished) -> BTreeMap<String, String> {
    let lines = said.stdout.lines();
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(question, answer)| (question.to_owned(), answer.to_owned()))
        .collect()
}

fn in_sandbox(home: &Home, flags: &[&str]) -> BTreeMap<String, String> {
    let mut command = home.command(&["run", "asked"]);
    command.args(flags).args(["--", "python3", "-c", ASK]);
    command.args([FOLDERS.join(" "), FILES.join(" ")]);
    answers(&finish(command.stdin(Stdio::null())).ok())
}

fn in_container(image: &str, flags: &[&str]) -> BTreeMap<String, String> {
    let mut command: Command = podman();
    command.args(["run", "--rm", "--network", "host"]);
    command.args([
        "--ulimit",
        "nofile=20000:20000",
        "--ulimit",
        "nproc=10000:10000",
    ]);
    command.args(flags).arg(image).args(["python3", "-c", ASK]);
    answers(&finish(command.args([FOLDERS.join(" "), FILES.join(" ")])).ok())
}

#[track_caller]
fn are_alike(what: &str, ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    assert!(ours.len() > FOLDERS.len(), "{what}: {ours:?}");
    let other = theirs.iter();
    let other: Vec<String> = other
        .filter(|(question, answer)| ours.get(*question) != Some(answer))
        .map(|(question, answer)| {
            format!("{question}: podman {answer}, s2r {:?}", ours.get(question))
        })
        .collect();
    assert!(other.is_empty(), "{what}:\n{}", other.join("\n"));
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn users_have_the_rights_that_podman_gives_them() {
    let home = Home::seeded();
    let built = image(&home);
    let stored = home.layout().reference(digest_of(&built));
    for user in [
        "1000680000:0",
        "1001",
        "1001:0",
        "1001:1001",
        "2000:2000",
        "default",
    ] {
        let flags = ["--user", user];
        let ours = in_sandbox(&home, &flags);
        are_alike(user, &ours, &in_container(&stored, &flags));
    }
    let of_cluster = in_sandbox(&home, &["-u", "1000680000:0"]);
    for folder in ["/etc", "/run", "/var/log", "/opt", "/", "/usr/bin"] {
        assert_eq!(
            of_cluster[&format!("write into {folder}")],
            "no",
            "{folder}"
        );
    }
    for folder in ["/tmp", "/opt/app-root/src", "/opt/app-root/bin"] {
        assert_eq!(
            of_cluster[&format!("write into {folder}")],
            "yes",
            "{folder}"
        );
    }
}

#[test]
fn restricted_is_what_restricted_pods_are() {
    let home = Home::seeded();
    let built = image(&home);
    let stored = home.layout().reference(digest_of(&built));
    let theirs = in_container(
        &stored,
        &[
            "--user",
            "1000680000:0",
            "--read-only",
            "--read-only-tmpfs=false",
            "--tmpfs",
            "/tmp:rw,mode=1777",
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
        ],
    );
    let ours = in_sandbox(&home, &["--restricted"]);
    are_alike("restricted", &ours, &theirs);
    assert_eq!(ours["write into /opt/app-root/src"], "no");
    assert_eq!(ours["write into /tmp"], "yes");
    let named = in_sandbox(&home, &["--restricted", "--user", "1001"]);
    assert_eq!(named["write into /opt/app-root/src"], "no");
    home.run(&[
        "run",
        "asked",
        "--restricted",
        "--isolation",
        "chroot",
        "--",
        "true",
    ])
    .exits(69);
}

#[test]
fn folders_for_a_user_go_with_their_image() {
    let home = Home::seeded();
    image(&home);
    let run = || {
        home.run(&["run", "asked", "--user", "1000680000:0", "--", "true"])
            .ok()
    };
    run();
    let count = || {
        std::fs::read_dir(home.store().join("s2r/roots"))
            .unwrap()
            .count()
    };
    let before = count();
    assert!(before > 0);
    home.run(&["cache", "prune"]).ok();
    home.run(&["cache"]).ok();
    assert_eq!(count(), before);
    // Another number of a cluster's is the same stranger.
    home.run(&["run", "asked", "--user", "1000690000:0", "--", "true"])
        .ok();
    assert_eq!(count(), before);
    for image in [
        "asked",
        "script",
        "flask-gunicorn",
        "numpy",
        "app-module",
        "shell",
    ] {
        home.run(&["rm", image]).ok();
    }
    home.run(&["cache", "prune"]).ok();
    assert_eq!(count(), 0);
}
