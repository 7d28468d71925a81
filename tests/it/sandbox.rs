//! `s2r run`: images of the store started without a daemon, by root and by others, and what is left when they
//! end, well or badly. What one step may do is tested beside the sandbox itself, in `src/sandbox/tests.rs`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::tools::{Finished, alive, finish, free_port, is_root, temporary, tool};

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `s2r run script -- sh -c` with a script.
#[track_caller]
fn shell(home: &Home, script: &str) -> Finished {
    finish(
        home.command(&["run", "script", "--", "sh", "-c", script])
            .stdin(Stdio::null()),
    )
}

/// Waits until something holds.
#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// A time to sleep that no other test sleeps.
fn mark(number: u32) -> String {
    format!("8640{number}.{}", std::process::id())
}

#[test]
fn an_image_runs_as_it_says_of_itself() {
    let home = Home::seeded();
    let said = shell(
        &home,
        "id -u; id -g; pwd; echo $HOME; python -V; echo x > new; ls",
    )
    .ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let own = "/opt/app-root/src";
    assert_eq!(lines[..4], ["1001", "0", own, own]);
    assert!(lines[4].starts_with("Python 3."));
    assert!(lines.contains(&"new"));
    // What it wrote is gone.
    let said = shell(&home, "ls; exit 7").exits(7);
    assert!(!said.stdout.contains("new"), "{}", said.stdout);
    assert_eq!(
        fs::read_dir(home.store().join("s2r/tmp")).unwrap().count(),
        0
    );

    let as_other = home
        .run(&["run", "script", "--user", "1000680000", "--", "id", "-u"])
        .ok();
    assert_eq!(as_other.line(), "1000680000");
    home.run(&["run", "script", "--user", "nobody-knows", "--", "true"])
        .exits(2)
        .says(&["nobody-knows", "--user 1001:0"]);
    home.run(&["run", "script", "--", "no-such-program"])
        .exits(65)
        .says(&["no-such-program", "path"]);
    home.run(&["run", "nothing"]).says(&["nothing"]);
    home.run(&["run", "script", "-p", "http"]).exits(2);
}

#[test]
fn the_callers_environment_stays_outside() {
    let home = Home::seeded();
    let mut command = home.command(&["run", "script", "-e", "GIVEN", "-e", "SET=1", "--", "env"]);
    let said = finish(
        command
            .env("GIVEN", "given")
            .env("SECRET", "secret")
            .stdin(Stdio::null()),
    )
    .ok();
    assert!(said.stdout.contains("GIVEN=given\n") && said.stdout.contains("SET=1\n"));
    assert!(!said.stdout.contains("SECRET"), "{}", said.stdout);
    let secret = home.dir().join("secret");
    fs::write(&secret, "secret").unwrap();
    let said = shell(
        &home,
        &format!("cat {}; echo x > {0}.new; ls /proc", secret.display()),
    );
    assert!(!said.stdout.contains("secret"), "{}", said.stdout);
    assert!(!home.dir().join("secret.new").exists());
}

#[test]
fn standard_streams_are_those_of_the_caller() {
    let home = Home::seeded();
    let mut child = home
        .command(&["run", "script", "--", "sh", "-c", "cat; echo bad >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"good\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"good\n");
    assert_eq!(output.stderr, b"bad\n");
}

fn start(home: &Home, script: &str) -> Child {
    home.command(&["run", "script", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the first byte of output: the step runs.
fn wait_for_byte(child: &mut Child) {
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
}

#[test]
fn signals_pass_and_say_how_it_ended() {
    let home = Home::seeded();
    for (signal, number) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut child = start(&home, "echo; exec sleep 60");
        wait_for_byte(&mut child);
        tool("kill", &["-s", signal, &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(number), "{signal}");
    }
    let mut child = start(
        &home,
        "trap 'exit 9' TERM; echo; while :; do sleep 0.1; done",
    );
    wait_for_byte(&mut child);
    tool("kill", &[&child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn nothing_is_left_however_it_ends() {
    let home = Home::seeded();
    for (number, signal) in [(1, "KILL"), (2, "INT")] {
        let mark = mark(number);
        // Daemons that left their session, and one that wants no signal.
        let script = format!(
            "setsid sleep {mark} & (trap '' INT TERM HUP; sleep {mark}) & sleep 0.1; echo; exec sleep {mark}"
        );
        let mut child = start(&home, &script);
        wait_for_byte(&mut child);
        assert!(!alive(&mark).is_empty());
        tool("kill", &["-s", signal, &child.id().to_string()]);
        child.wait().unwrap();
        wait_for("no process is left", || alive(&mark).is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(home.data().to_str().unwrap()), "{mounts}");
    }
    // Whatever a killed run left is no obstacle to the next.
    shell(&home, "true").ok();
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

#[test]
fn ports_lead_to_the_image() {
    let home = Home::seeded();
    let (outer, inner) = (free_port(), free_port());
    let mut child = home
        .command(&["run", "script", "-p", &format!("{outer}:{inner}")])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    for port in [outer, inner] {
        let mut answer = None;
        wait_for("an answer", || {
            answer = get(port);
            answer.is_some()
        });
        assert!(answer.unwrap().contains("Hello from app.py"));
    }
    let said = home.run(&["run", "script", "-p", &format!("{outer}:1"), "--", "true"]);
    said.exits(69).says(&["cannot listen", &outer.to_string()]);
    tool("kill", &[&child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_build_can_go_on_to_run() {
    let home = Home::seeded();
    let project = Project::new(&[("app.sh", "#!/bin/sh\necho it runs\nexit 5\n")]);
    let built = finish(
        home.command(&["build", "--run"])
            .arg(project.path())
            .arg("app")
            .stdin(Stdio::null()),
    )
    .exits(5);
    let lines: Vec<&str> = built.stdout.lines().collect();
    assert!(lines[0].starts_with("app@sha256:"), "{}", built.stdout);
    assert!(lines.contains(&"it runs"), "{}", built.stdout);
}

/// A store and a program that anybody may use.
struct Shared {
    dir: TempDir,
}

impl Shared {
    fn new(user: u32, group: u32) -> Self {
        let home = Home::seeded();
        let dir = temporary();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let own = Self { dir };
        fs::create_dir(own.store()).unwrap();
        for name in ["blobs", "index.json", "oci-layout"] {
            let from = home.store().join(name);
            tool(
                "cp",
                &["-r", from.to_str().unwrap(), own.store().to_str().unwrap()],
            );
        }
        // Of what is not the images' own, the folders will do.
        fs::create_dir(own.store().join("s2r")).unwrap();
        for entry in fs::read_dir(home.store().join("s2r")).unwrap().flatten() {
            let to = own.store().join("s2r").join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir(to).unwrap();
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
        let program = Path::new(env!("CARGO_BIN_EXE_s2r"));
        fs::hard_link(program, own.program())
            .or_else(|_| fs::copy(program, own.program()).map(drop))
            .unwrap();
        if is_root() {
            let owner = format!("{user}:{group}");
            tool("chown", &["-R", &owner, own.store().to_str().unwrap()]);
            chown(own.dir.path(), Some(user), Some(group)).unwrap();
        }
        own
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("s2r")
    }

    /// `s2r run` under other programs.
    fn run(&self, outer: &[&str], arguments: &[&str]) -> Finished {
        let mut command = Command::new(outer[0]);
        command
            .args(&outer[1..])
            .arg(self.program())
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.dir.path())
            .env("S2R_STORE", self.store())
            .stdin(Stdio::null());
        finish(&mut command)
    }
}

const SAYS_WHO: &[&str] = &[
    "run",
    "script",
    "--",
    "sh",
    "-c",
    "id -u; echo x > new && cat new",
];

#[test]
fn ordinary_users_run_images_too() {
    if !is_root() {
        // Then every other test here shows it.
        return;
    }
    for (user, group) in [(12345, 12345), (1_000_680_000, 0)] {
        let shared = Shared::new(user, group);
        let (user, group) = (user.to_string(), group.to_string());
        let outer = [
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &group,
            "--clear-groups",
        ];
        assert_eq!(shared.run(&outer, SAYS_WHO).ok().line(), "1001\nx");
    }
}

#[test]
fn images_run_within_another_user_namespace() {
    let shared = Shared::new(0, 0);
    let said = shared.run(&["unshare", "-Urm"], SAYS_WHO).ok();
    assert_eq!(said.line(), "1001\nx");
}

/// Runs a script in a user namespace of its own, with the program and its arguments behind it.
fn within(script: &str) -> [&str; 5] {
    ["unshare", "-Urm", "sh", "-ec", script]
}

#[test]
fn a_store_on_an_overlay_is_copied_instead() {
    let shared = Shared::new(0, 0);
    // The kernel lays no overlay over one whose files lie in an overlay themselves.
    let script = "mkdir /tmp/o && mount -t tmpfs o /tmp/o && mkdir /tmp/o/u /tmp/o/w /tmp/o/m && \
        mount -t overlay o -o userxattr,lowerdir=$S2R_STORE,upperdir=/tmp/o/u,workdir=/tmp/o/w /tmp/o/m && \
        export S2R_STORE=/tmp/o/m && exec \"$0\" \"$@\"";
    let script = script.replace("/tmp/o", shared.dir.path().join("o").to_str().unwrap());
    let said = shared.run(&within(&script), SAYS_WHO).ok();
    assert_eq!(said.line(), "1001\nx");
}

const SWITCH_OFF: &str = "echo 0 > /proc/sys/user/max_user_namespaces;";

#[test]
fn refused_namespaces_are_explained() {
    let shared = Shared::new(0, 0);
    let script = format!("{SWITCH_OFF} exec \"$0\" \"$@\"");
    shared
        .run(
            &within(&script),
            &["run", "script", "--isolation", "userns"],
        )
        .exits(69)
        .says(&["user.max_user_namespaces is 0", "sysctl"]);
    // Without any right there is no other root either.
    let script =
        format!("{SWITCH_OFF} exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"");
    shared
        .run(&within(&script), &["run", "script"])
        .exits(69)
        .says(&["userns: ", "chroot: only root"]);
    shared
        .run(&["env"], &["run", "script", "--isolation", "none"])
        .exits(69)
        .says(&["without isolation there is only the root"]);
}

#[test]
fn another_root_does_where_namespaces_are_refused() {
    let shared = Shared::new(0, 0);
    let script = format!("{SWITCH_OFF} exec \"$0\" \"$@\"");
    let said = shared.run(&within(&script), SAYS_WHO).ok();
    assert!(said.line().ends_with("\nx"), "{}", said.stdout);
    if !is_root() {
        return;
    }
    let mark = mark(3);
    let said = shared.run(
        &["env"],
        &[
            "run", "script", "--isolation", "chroot", "--", "sh", "-c",
            &format!("id -u; echo x > new; head -c 3 /dev/zero | wc -c; setsid sleep {mark} & echo y; exit 4"),
        ],
    );
    let said = said.exits(4);
    assert_eq!(said.line(), "1001\n3\ny");
    assert!(alive(&mark).is_empty());
}

#[test]
fn a_project_that_runs_wild_is_contained() {
    let home = Home::seeded();
    home.build(&example("script"), &["script"]);
    let said = shell(
        &home,
        "unshare -Ur true; mount -t tmpfs x /mnt; chroot / true; echo still here",
    );
    assert!(said.stdout.ends_with("still here\n"), "{}", said.stdout);
}
