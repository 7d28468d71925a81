//! Steps in a real sandbox. The test program is its own helper, and the machine's programs are mounted
//! into the root, so that nothing has to be built first.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// Folders of one root, gone afterwards.
pub(super) struct Place {
    pub(super) root: StepFilesystem,
    folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let lower = at("lower");
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), lower.join(name)).unwrap();
        }
        fs::create_dir_all(lower.join("etc/deep")).unwrap();
        fs::write(lower.join("etc/kept"), "kept").unwrap();
        fs::write(lower.join("etc/gone"), "gone").unwrap();
        fs::write(lower.join("etc/deep/file"), "deep").unwrap();
        Self {
            root: StepFilesystem {
                lower: vec![lower],
                upper: at("upper"),
                top_mode: 0o755,
                scratch: at("scratch"),
            },
            folder,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.root.upper).unwrap();
        remove(&self.root.scratch).unwrap();
    }
}

pub(super) fn sandbox() -> Sandbox {
    Sandbox::new(Isolation::Userns, Path::new("/proc/self/exe")).unwrap()
}

const LIMITS: StepLimits = StepLimits {
    memory_bytes: 300 << 20,
    time: Duration::from_mins(1),
    processes: 100,
    disk_bytes: 30 << 20,
    output_bytes: 1 << 20,
};

pub(super) fn shell(script: &str) -> SandboxStep {
    SandboxStep {
        // One stream, so that lines come in the order in which they were written.
        command: [
            "sh".to_owned(),
            "-c".to_owned(),
            format!("exec 2>&1; {script}"),
        ]
        .to_vec(),
        directory: "/".to_owned(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        user: (1001, 0),
        mounts: vec![StepMount {
            from: "/usr".into(),
            to: "/usr".to_owned(),
            is_writable: false,
        }],
        has_network: false,
        is_read_only: false,
        limits: LIMITS,
    }
}

/// Runs a script; how it ended, and what it printed.
pub(super) fn run_in(sandbox: &Sandbox, place: &Place, step: &SandboxStep) -> (StepEnd, String) {
    let mut printed = Vec::new();
    let ended = sandbox
        .run(&place.root, step, &mut |_, bytes| {
            printed.extend_from_slice(bytes);
        })
        .unwrap();
    (ended, String::from_utf8_lossy(&printed).into_owned())
}

fn run(script: &str) -> (StepEnd, String) {
    run_in(&sandbox(), &Place::new(), &shell(script))
}

/// What a script prints, which must end well.
#[track_caller]
fn prints(script: &str) -> String {
    let (ended, printed) = run(script);
    assert_eq!(ended.status, CommandStatus::Code(0), "{ended:?} {printed}");
    printed
}

/// Processes of the machine whose command line holds a mark.
pub(super) fn alive(mark: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(mark))
        .count()
}

#[test]
fn a_step_is_nobody_on_a_machine_of_its_own() {
    let printed = prints(
        "id -u; id -g; hostname; pwd; env | sort; ls /proc | grep -c '^[0-9]*$'; \
         ls / | tr '\\n' ' '; ls /dev | tr '\\n' ' '; echo; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'",
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..4], ["1001", "0", "s2r", "/"]);
    assert_eq!(lines[4..6], ["PATH=/usr/bin:/bin", "PWD=/"]);
    if Path::new("/proc/self").exists() && lines[6] != "0" {
        assert!(lines[6].parse::<u32>().unwrap() < 8, "{printed}");
        assert_eq!(
            lines[lines.len() - 7..],
            [
                "CapInh:0000000000000000",
                "CapPrm:0000000000000000",
                "CapEff:0000000000000000",
                "CapBnd:0000000000000000",
                "CapAmb:0000000000000000",
                "NoNewPrivs:1",
                "Seccomp:2"
            ]
        );
    }
    assert!(
        lines[7].starts_with("bin dev etc lib lib64 proc sbin tmp usr "),
        "{printed}"
    );
    assert!(
        lines[7].contains("fd full null ptmx pts random shm stderr stdin stdout"),
        "{printed}"
    );
}

#[test]
fn changes_are_told_the_same_way_from_an_overlay_and_from_a_copy() {
    let script = "cd /etc && echo new > new && rm gone && mkdir made && ln -s kept link && \
         rm -r deep && mkdir deep && echo x > deep/other && chmod 600 kept && echo t > /tmp/t && \
         umask 077 && echo s > secret";
    let mut told = Vec::new();
    for sandbox in [sandbox(), sandbox().with_copies()] {
        let place = Place::new();
        let (ended, printed) = run_in(&sandbox, &place, &shell(script));
        assert_eq!(ended.status, CommandStatus::Code(0), "{printed}");
        assert_eq!(copy::is_there(&place.root), sandbox.copies);
        // A second step sees what the first one did.
        let (_, printed) = run_in(&sandbox, &place, &shell("cat /etc/new; ls /etc"));
        assert_eq!(printed.lines().next(), Some("new"), "{printed}");
        told.push(
            changes(&place.root)
                .unwrap()
                .into_iter()
                .map(|change| {
                    let path = String::from_utf8(change.path).unwrap();
                    format!("{path} {:?} {:o}", change.kind, change.mode)
                })
                .filter(|line| !line.starts_with("etc Folder"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(
        told[0],
        [
            "etc/deep Folder { is_opaque: true } 755",
            "etc/deep/other File { size_bytes: 2 } 644",
            "etc/gone Removed 0",
            "etc/kept File { size_bytes: 4 } 600",
            "etc/link Link { target: [107, 101, 112, 116] } 777",
            "etc/made Folder { is_opaque: false } 755",
            "etc/new File { size_bytes: 4 } 644",
            "etc/secret File { size_bytes: 2 } 600",
        ]
    );
    // A comparison sees no difference between an emptied folder and one that was made anew.
    let of_copy: Vec<String> = told[1].clone();
    assert!(
        of_copy.contains(&"etc/deep/file Removed 0".to_owned()),
        "{of_copy:?}"
    );
    let rest = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| !line.starts_with("etc/deep"))
            .cloned()
            .collect()
    };
    assert_eq!(rest(&of_copy), rest(&told[0]));
}

#[test]
fn lower_folders_may_be_added_between_steps() {
    for sandbox in [sandbox(), sandbox().with_copies()] {
        let place = Place::new();
        run_in(
            &sandbox,
            &place,
            &shell("echo mine > /etc/mine; rm /etc/gone"),
        );
        let added = place.folder.path().join("added");
        fs::create_dir_all(added.join("etc")).unwrap();
        fs::write(added.join("etc/kept"), "other").unwrap();
        fs::write(added.join("etc/mine"), "theirs").unwrap();
        fs::write(added.join("etc/added"), "added").unwrap();
        let mut root = place.root.clone();
        root.lower.push(added);
        let mut printed = Vec::new();
        let step = shell("cd /etc; cat kept mine added; ls gone");
        sandbox
            .run(&root, &step, &mut |_, bytes| {
                printed.extend_from_slice(bytes);
            })
            .unwrap();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        assert!(printed.starts_with("othermine\nadded"), "{printed}");
        assert!(printed.contains("No such file"), "{printed}");
    }
}

#[test]
fn mounts_are_seen_and_keep_their_rights() {
    let place = Place::new();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "given").unwrap();
    // A link in the root must not lead a mount out of it.
    symlink("/etc", place.root.lower[0].join("link")).unwrap();
    let mount = |to: &str, is_writable| StepMount {
        from: outside.clone(),
        to: to.to_owned(),
        is_writable,
    };
    let mut step = shell(
        "cat /in/file /etc/deep/in/file; echo no > /in/new; echo yes > /link/out/new; mount | grep -c nosuid",
    );
    step.mounts.extend([
        mount("/in", false),
        mount("/etc/deep/in", false),
        mount("/link/out", true),
    ]);
    let (_, printed) = run_in(&sandbox(), &place, &step);
    assert!(printed.starts_with("givengiven"), "{printed}");
    assert!(printed.contains("Read-only file system"), "{printed}");
    assert_eq!(fs::read_to_string(outside.join("new")).unwrap(), "yes\n");
    let told = changes(&place.root).unwrap();
    assert!(
        told.iter()
            .all(|change| !change.path.ends_with(b"/in") && change.path != b"in"),
        "{told:?}"
    );
    step.mounts.push(mount("/../x", false));
    let refused = sandbox().run(&place.root, &step, &mut |_, _| {});
    assert!(matches!(refused, Err(SandboxError::Target { .. })));
}

#[test]
fn the_machine_is_out_of_reach() {
    let secret = Path::new("/tmp").join(format!("s2r-secret-{}", std::process::id()));
    fs::write(&secret, "secret").unwrap();
    let (_, printed) = run(&format!(
        "cat {0} /etc/shadow /proc/1/environ /proc/1/root{0}; echo x > {0}; echo x > /usr/bin/x; \
         echo 1 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger; cat /dev/vda /dev/mem; \
         mknod /tmp/disk b 254 0; mount -t tmpfs x /tmp; unshare -Ur true; chroot / true; \
         ls /sys/class /home /root /host; kill -9 1; ip route; echo still here",
        secret.display()
    ));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    fs::remove_file(&secret).unwrap();
    assert!(
        !printed.contains("secret") || !printed.contains("\nsecret"),
        "{printed}"
    );
    assert!(printed.ends_with("still here\n"), "{printed}");
    for refused in ["unshare failed", "mknod"] {
        assert!(printed.contains(refused), "{printed}");
    }
}

#[test]
fn statuses_come_through() {
    assert_eq!(run("exit 7").0.status, CommandStatus::Code(7));
    assert_eq!(run("kill -TERM $$").0.status, CommandStatus::Signal(15));
    let place = Place::new();
    let mut step = shell("");
    step.command = vec!["no-such-program".to_owned()];
    let refused = sandbox()
        .run(&place.root, &step, &mut |_, _| {})
        .unwrap_err();
    assert!(
        matches!(&refused, SandboxError::Command { program, .. } if program == "no-such-program"),
        "{refused:?}"
    );
    // The folder is made if it is not there, as other runtimes do.
    step.command = vec!["pwd".to_owned()];
    step.directory = "/srv/app".to_owned();
    assert_eq!(run_in(&sandbox(), &place, &step).1, "/srv/app\n");
}

#[test]
fn a_network_of_its_own_has_a_loopback() {
    let printed = prints(
        "cat /proc/net/dev | grep -c ':'; cat /etc/hosts; grep -q '00000000000000000000000000000001' /proc/net/if_inet6 || cat /sys/x 2>/dev/null; true",
    );
    assert!(printed.starts_with("1\n127.0.0.1 localhost\n"), "{printed}");
}

#[test]
fn daemons_end_with_their_step() {
    let mark = format!("86400.{}", std::process::id());
    let started = std::time::Instant::now();
    let (ended, _) = run(&format!(
        "setsid sleep {mark} & (trap '' TERM HUP; sleep {mark}) & sleep 0.2; echo started"
    ));
    assert_eq!(
        (ended.status, ended.reason),
        (CommandStatus::Code(0), EndReason::Exited)
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(alive(&mark), 0);
}

#[test]
fn a_step_that_sleeps_for_ever_is_ended() {
    let mark = format!("86401.{}", std::process::id());
    let mut step = shell(&format!(
        "trap '' TERM INT; sleep {mark} & wait; sleep {mark}"
    ));
    step.limits.time = Duration::from_millis(500);
    let (ended, _) = run_in(&sandbox(), &Place::new(), &step);
    assert_eq!(ended.reason, EndReason::OutOfTime);
    assert_eq!(alive(&mark), 0);
}

#[test]
fn a_fork_bomb_is_ended() {
    let mark = format!("86403.{}", std::process::id());
    let (ended, printed) = run(&format!("b() {{ b | b & b; }}; b; sleep {mark}"));
    // The kernel itself refuses an ordinary user, and a bomb may burst on that before it is seen.
    let is_refused = !is_root() && printed.contains("fork");
    assert!(
        ended.reason == EndReason::TooManyProcesses || is_refused,
        "{ended:?}"
    );
    assert_ne!(ended.status, CommandStatus::Code(0));
    assert_eq!(alive(&mark), 0);
}

#[test]
fn memory_is_bounded() {
    for script in [
        // Grows in itself, and in files that are memory.
        "exec perl -e '$x = \"x\" x (40 << 20); push @y, $x . $_ for 1..200; sleep 60'",
        "cat /dev/zero > /tmp/a & cat /dev/zero > /dev/shm/b; sleep 1; exit 1",
    ] {
        let mut step = shell(script);
        // Not the limit of one file's length, which holds in memory too.
        step.limits.disk_bytes = 1 << 30;
        let (ended, printed) = run_in(&sandbox(), &Place::new(), &step);
        assert!(
            matches!(
                ended.reason,
                EndReason::OutOfMemory | EndReason::MemoryFilesFull
            ),
            "{ended:?} {printed}"
        );
    }
}

#[test]
fn the_disk_is_bounded() {
    for script in [
        "cat /dev/zero > /file",
        "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > /file$i; done",
    ] {
        let (ended, printed) = run(script);
        assert_eq!(ended.reason, EndReason::DiskFull, "{ended:?} {printed}");
    }
}

#[test]
fn output_is_bounded_and_its_end_is_kept() {
    let (ended, printed) = run("yes | head -c 50000000; echo; echo the end");
    assert_eq!(ended.status, CommandStatus::Code(0));
    assert!(ended.is_output_cut);
    assert_eq!(printed.len() as u64, LIMITS.output_bytes);
    assert_eq!(ended.last_lines.last().map(String::as_str), Some("the end"));
}

#[test]
fn without_isolation_the_step_runs_here() {
    let place = Place::new();
    let bare = Sandbox::bare(Path::new("/proc/self/exe"));
    let mark = format!("86402.{}", std::process::id());
    let given = place.folder.path().join("given");
    fs::write(&given, "given").unwrap();
    let own = place.root.lower[0].join("opt/app-root");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("file"), "x").unwrap();
    let mut step = shell(&format!(
        "setsid sleep {mark} & pwd; echo $HERE; cat $IN; echo y > file; echo z > $TMPDIR/z; \
         grep -E 'NoNewPrivs|CapEff' /proc/self/status; exit 3"
    ));
    step.directory = "/opt/app-root".to_owned();
    step.environment.extend([
        (
            "HERE".to_owned(),
            "/a:/opt/app-root/bin:/opt/app".to_owned(),
        ),
        ("IN".to_owned(), "/build/given".to_owned()),
    ]);
    step.mounts.push(StepMount {
        from: given.clone(),
        to: "/build/given".to_owned(),
        is_writable: false,
    });
    let (ended, printed) = run_in(&bare, &place, &step);
    assert_eq!(ended.status, CommandStatus::Code(3), "{printed}");
    let tree = fs::canonicalize(copy::place(&place.root)).unwrap();
    let tree = tree.display();
    assert_eq!(
        printed,
        format!(
            "{tree}/opt/app-root\n/a:{tree}/opt/app-root/bin:/opt/app\ngiven\
             CapEff:\t0000000000000000\nNoNewPrivs:\t1\n"
        )
    );
    assert_eq!(alive(&mark), 0);
    let told: Vec<Vec<u8>> = changes(&place.root)
        .unwrap()
        .into_iter()
        .filter(|change| !matches!(change.kind, ChangeKind::Folder { .. }))
        .map(|change| change.path)
        .collect();
    assert_eq!(told, [b"opt/app-root/file".to_vec()]);

    step.mounts[0].to = "/elsewhere".to_owned();
    let refused = bare.run(&place.root, &step, &mut |_, _| {});
    assert!(matches!(refused, Err(SandboxError::Moved { .. })));
    step.mounts.remove(0);
    step.mounts.last_mut().unwrap().is_writable = true;
    let refused = bare.run(&place.root, &step, &mut |_, _| {});
    assert!(matches!(refused, Err(SandboxError::Moved { .. })));
}

#[test]
fn who_ends_the_helper_leaves_nobody_behind() {
    let mark = format!("86405.{}", std::process::id());
    let script = format!(
        "setsid sleep {mark} & (setsid sh -c 'sleep {mark} & sleep {mark}' &) & sleep 0.3; echo $PPID; sleep {mark}"
    );
    // A program of ours that has left our session is nobody's business.
    let mut ours = Command::new("setsid")
        .args(["sleep", "600"])
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let started = std::time::Instant::now();
    let place = Place::new();
    let bare = Sandbox::bare(Path::new("/proc/self/exe"));
    let outcome = bare.run(&place.root, &shell(&script), &mut |_, bytes| {
        printed.push_str(std::str::from_utf8(bytes).unwrap());
        if let Ok(helper) = printed.trim().parse() {
            let helper = rustix::process::Pid::from_raw(helper).unwrap();
            rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
        }
    });
    assert!(matches!(outcome, Err(SandboxError::Silent)), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(alive(&mark), 0);
    assert!(ours.try_wait().unwrap().is_none());
    ours.kill().unwrap();
    ours.wait().unwrap();
}

#[test]
fn limits_hold_without_isolation() {
    let bare = Sandbox::bare(Path::new("/proc/self/exe"));
    let mark = format!("86404.{}", std::process::id());
    let mut step = shell(&format!("setsid sleep {mark} & sleep {mark}"));
    step.limits.time = Duration::from_millis(300);
    let (ended, _) = run_in(&bare, &Place::new(), &step);
    assert_eq!(ended.reason, EndReason::OutOfTime);
    let step = shell("cat /dev/zero > $TMPDIR/zero");
    let (ended, _) = run_in(&bare, &Place::new(), &step);
    assert_eq!(ended.reason, EndReason::DiskFull);
    let step =
        shell("exec perl -e '$x = \"x\" x (40 << 20); push @y, $x . $_ for 1..200; sleep 60'");
    let (ended, _) = run_in(&bare, &Place::new(), &step);
    assert_eq!(ended.reason, EndReason::OutOfMemory);
    assert_eq!(alive(&mark), 0);
}

/// The tests of this file once more, as somebody else.
pub(super) fn again(outer: &[&str], filter: &[&str]) {
    if std::env::args().any(|argument| argument == "--skip") {
        return;
    }
    // Where others may read and execute it.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = folder.path().join("tests");
    let own = std::env::current_exe().unwrap();
    fs::hard_link(&own, &program)
        .or_else(|_| fs::copy(&own, &program).map(drop))
        .unwrap();
    let (first, rest) = outer.split_first().unwrap();
    let finished = Command::new(first)
        .args(rest)
        .arg(&program)
        .args(filter)
        .args(["--skip", "again_"])
        .current_dir("/")
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&finished.stdout);
    assert!(
        finished.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&finished.stderr)
    );
    assert!(!printed.contains("test result: ok. 0"), "{printed}");
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

const ALL: &[&str] = &["sandbox::tests"];

#[test]
fn again_as_an_ordinary_user() {
    if is_root() {
        again(
            &[
                "setpriv",
                "--reuid",
                "12345",
                "--regid",
                "12345",
                "--clear-groups",
            ],
            ALL,
        );
    }
}

#[test]
fn again_as_a_pod_of_openshift() {
    if is_root() {
        again(
            &[
                "setpriv",
                "--reuid",
                "1000680000",
                "--regid",
                "0",
                "--clear-groups",
            ],
            ALL,
        );
    }
}

#[test]
fn again_inside_a_user_namespace() {
    again(&["unshare", "-Urm"], ALL);
}
