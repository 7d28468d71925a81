//! The release command in `scripts/run`: when it runs, when it is tried again, and what ends it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{G, GD, Image, MANAGE, WSGI, shells};
use crate::plan::testing::planned;

/// Fails as often as FAIL says, and counts in a file how often it was called.
const UPGRADE: &str = "#!/bin/sh\n\
    n=0; if [ -f \"$HOME/count\" ]; then read -r n <\"$HOME/count\"; fi\n\
    n=$((n + 1)); echo $n >\"$HOME/count\"; echo \"RUN upgrade $n in ${PWD##*/}\"\n\
    if [ $n -le ${FAIL:-0} ]; then exit ${FAIL_STATUS:-3}; fi\n";

/// An image with a release command, in which waiting takes no time.
fn image(packages: &[&str], files: &[(&str, &str)], release: &str) -> Image {
    let image = Image::new(packages, files);
    image.write("opt/app-root/bin/upgrade*", UPGRADE);
    image.write("opt/app-root/etc/s2r/release", &format!("{release}\n"));
    // Without `date`, the time is what was waited.
    image.write("fake/sleep*", "#!/bin/sh\necho \"RUN sleep $1\"\n");
    image
}

#[test]
fn a_release_command_comes_before_the_server() {
    for shell in shells() {
        let image = image(G, &[WSGI], "upgrade");
        let (started, status) = image.started(shell, &[]);
        assert!(
            started.starts_with("upgrade 1 in src; gunicorn wsgi"),
            "{shell}: {started}"
        );
        assert_eq!(status, 0, "{shell}");
    }
    // It runs where the application does, and before a server that knows itself what to serve.
    let files = [("sub/wsgi.py", "")];
    let (started, _) = image(G, &files, "upgrade").started("/bin/sh", &["APP_HOME=sub"]);
    assert!(
        started.starts_with("upgrade 1 in sub; gunicorn"),
        "{started}"
    );
    let files = [("gunicorn.conf.py", "wsgi_app = chosen()\n")];
    let (started, _) = image(G, &files, "upgrade").started("/bin/sh", &[]);
    assert_eq!(started, "upgrade 1 in src; gunicorn");
    let (started, _) = image(G, &[WSGI], "upgrade").started("/bin/sh", &["DISABLE_MIGRATE=1"]);
    assert!(started.starts_with("gunicorn"), "{started}");
}

#[test]
fn a_release_command_takes_the_place_of_djangos_migrate() {
    let (started, _) = image(GD, &[WSGI, MANAGE], "upgrade").started("/bin/sh", &[]);
    assert!(
        started.starts_with("upgrade 1 in src; gunicorn"),
        "{started}"
    );
}

#[test]
fn a_release_command_is_tried_again_until_it_succeeds() {
    for shell in shells() {
        let image = image(G, &[WSGI], "upgrade && true");
        let (started, status) = image.started(shell, &["FAIL=5"]);
        let expected = "upgrade 1 in src; sleep 1; upgrade 2 in src; sleep 2; upgrade 3 in src; \
            sleep 4; upgrade 4 in src; sleep 8; upgrade 5 in src; sleep 8; upgrade 6 in src; gunicorn";
        assert!(started.starts_with(expected), "{shell}: {started}");
        assert_eq!(status, 0, "{shell}");
    }
}

#[test]
fn a_release_command_that_never_succeeds_ends_the_container_with_its_status() {
    for shell in shells() {
        let image = image(G, &[WSGI], "upgrade");
        let output = image.run(shell, &["FAIL=99", "S2R_RELEASE_TIMEOUT=5"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let started = text.lines().filter(|line| line.starts_with("RUN "));
        let expected = [
            "RUN upgrade 1 in src",
            "RUN sleep 1",
            "RUN upgrade 2 in src",
            "RUN sleep 2",
            "RUN upgrade 3 in src",
            "RUN sleep 2",
            "RUN upgrade 4 in src",
        ];
        assert_eq!(started.collect::<Vec<_>>(), expected, "{shell}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("status 3; next attempt in 2 s, for 4 s more"),
            "{shell}: {said}"
        );
        assert!(
            said.contains("the server is not started"),
            "{shell}: {said}"
        );
        assert_eq!(output.status.code(), Some(3), "{shell}");
    }
}

#[test]
fn a_release_command_that_is_not_there_is_not_tried_again() {
    for (release, env, status) in [
        ("upgrad", "FAIL=0", 127),
        ("upgrade", "FAIL=9", 3),
        // What only a shell knows.
        ("exit 7", "FAIL=0", 7),
    ] {
        let image = image(G, &[WSGI], release);
        let timeout = if status == 127 { "60" } else { "0" };
        let timeout = format!("S2R_RELEASE_TIMEOUT={timeout}");
        let (started, ended) = image.started("/bin/sh", &[env, &timeout]);
        assert!(!started.contains("sleep"), "{started}");
        assert_eq!(ended, status, "{release}");
    }
}

#[test]
fn a_release_command_is_the_servers_alone() {
    for shell in shells() {
        let image = image(G, &[WSGI], "upgrade");
        let processes = "web gunicorn web:app\nworker python -m worker\nrelease upgrade\n";
        image.write("opt/app-root/etc/s2r/processes", processes);
        for (name, expected) in [
            ("worker", "python -m worker"),
            ("web", "upgrade 1 in src; gunicorn web:app"),
            ("release", "upgrade 2 in src"),
        ] {
            let text = String::from_utf8(started_as(&image, shell, name).output().unwrap().stdout);
            let text = text.unwrap();
            let started = text.lines().filter_map(|line| line.strip_prefix("RUN "));
            let started: Vec<&str> = started.collect();
            assert_eq!(started.join("; "), expected, "{shell} {name}");
        }
    }
}

#[test]
fn a_signal_ends_a_release_command_and_what_waits_for_the_next_attempt() {
    for shell in shells() {
        for (release, sleep) in [
            ("exec /bin/sleep 60", "exit 0"),
            ("upgrade", "exec /bin/sleep 60"),
        ] {
            let image = image(G, &[WSGI], release);
            let sleep = format!("#!/bin/sh\n: >\"$HOME/waits\"\n{sleep}\n");
            image.write("fake/sleep*", &sleep);
            let mut command = started_as(&image, shell, "web");
            let mut child = command
                .env("FAIL", "9")
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let waits = image.path().join("opt/app-root/src/waits");
            let begun = Instant::now();
            while release == "upgrade" && !waits.exists() {
                assert!(begun.elapsed() < Duration::from_secs(20), "{shell}");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The trap is there before the first line about an attempt; give it that long.
            std::thread::sleep(Duration::from_millis(200));
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            )
            .unwrap();
            let status = child.wait().unwrap();
            assert_eq!(
                (status.code(), status.signal()),
                (Some(143), None),
                "{shell} {release}"
            );
            assert!(begun.elapsed() < Duration::from_secs(30), "{shell}");
        }
    }
}

/// `run NAME` in an image.
fn started_as(image: &Image, shell: &str, name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let home = image.path().join("opt/app-root/src");
    let mut command = Command::new(shell);
    command
        .arg(scripts.join("run"))
        .arg(name)
        .env_clear()
        .env("PATH", image.path().join("fake"))
        .env("HOME", &home)
        .env("S2R_ROOT", image.path())
        .env("STI_SCRIPTS_PATH", &scripts)
        .current_dir(&home)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_release_command_is_planned_with_what_it_replaces() {
    let settings = ("s2r.yaml", "release: flask db upgrade\n");
    let flask = [("requirements.txt", "flask\ngunicorn\n"), WSGI, settings];
    let plan = planned(&flask, &[]).unwrap();
    let release = plan.start.release.clone().unwrap();
    assert_eq!(release.origin.to_string(), "s2r.yaml:1");
    assert_eq!(
        plan.start.notes.release.as_deref(),
        Some("flask db upgrade")
    );
    let processes = plan.start.notes.processes.as_deref();
    assert_eq!(processes, Some("release flask db upgrade"));
    assert!(plan.advice.is_empty(), "{:?}", plan.advice);
    let text = crate::plan::render(&plan);
    assert!(
        text.contains("release       flask db upgrade  (s2r.yaml:1: before the server at each start, tried again for up to 60 s)"),
        "{text}"
    );
    let django = [
        ("requirements.txt", "django\ngunicorn\n"),
        WSGI,
        MANAGE,
        settings,
    ];
    let plan = planned(&django, &[]).unwrap();
    assert!(!plan.start.migrates);
    let advice = &plan.advice[0];
    assert!(
        advice.hint.contains("migrate --noinput && flask"),
        "{advice:?}"
    );
    // A Procfile's line is told, with the line that would run it; ours stands in for it.
    let procfile = ("Procfile", "release: alembic upgrade head\n");
    let plan = planned(&[flask[0], WSGI, procfile], &[]).unwrap();
    let told = plan.advice.last().unwrap();
    assert!(
        told.hint.contains("`release: alembic upgrade head`"),
        "{told:?}"
    );
    let plan = planned(&[flask[0], WSGI, procfile, settings], &[]).unwrap();
    let told = plan.advice.last().unwrap();
    assert!(
        told.text.contains("Procfile:1") && told.text.contains("s2r.yaml:1"),
        "{told:?}"
    );
    let processes = plan.start.notes.processes.as_deref();
    assert_eq!(processes, Some("release flask db upgrade"));
    // The project's own script starts instead.
    let own = (".s2i/bin/run*", "#!/bin/sh\n");
    let plan = planned(&[flask[0], WSGI, own, settings], &[]).unwrap();
    let mut advice = plan.advice.iter();
    assert!(advice.any(|one| one.hint.contains("exec /usr/libexec/s2i/run")));
}
