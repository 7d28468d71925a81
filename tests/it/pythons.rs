//! Which Python a project gets: builders that Debian has no packages for, ranges, names of image streams.

use std::fs;

use serde_json::json;

use crate::harness::container::{Container, load};
use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::tools::{Finished, finish, free_port};
use crate::images::{BASE_LAYERS, Entry, PATH, Scene};

/// An interpreter that takes the one of the layers below for 3.12: what is tried here is whose layers an image has
/// and where things lie in them.
const STAND_IN: &str = "#!/bin/sh\n\
    export PYTHONPATH=/opt/app-root/lib/python3.12/site-packages:/opt/app-root/src\n\
    exec /usr/bin/python3.13 \"$@\"\n";

/// A registry that has `library/python:3.12-slim`.
fn scene() -> Scene {
    let scene = Scene::new();
    let entries = [("usr/local/bin/python3.12", Entry::Program(STAND_IN))];
    let run = json!({"Env": [PATH, "LANG=C.UTF-8", "PYTHON_VERSION=3.12.9"], "Cmd": ["python3"]});
    let history = "# debian.sh --arch 'amd64' out/ 'trixie' '@1727654400'";
    scene.base("library/python:3.12-slim", &entries, &run, history);
    scene
}

/// Has docker.io read at another place.
fn read_docker_hub_at(home: &Home, location: &str) {
    let folder = home.home().join(".config/containers");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[[registry]]\nprefix = \"docker.io\"\nlocation = \"{location}\"\n");
    fs::write(folder.join("registries.conf"), text).unwrap();
}

/// As `uv init` writes it.
fn asks_for(version: &str) -> Project {
    let project = Project::copy_of("flask-gunicorn");
    project.write(".python-version", &format!("{version}\n"));
    project
}

fn said(home: &Home, command: &str, project: &Project, more: &[&str]) -> Finished {
    finish(home.command(&[command]).arg(project.path()).args(more))
}

#[test]
fn a_python_that_debian_lacks_stands_on_the_official_image() {
    let scene = scene();
    let hub = scene.registry.repository("");
    let hub = hub.trim_end_matches('/');
    read_docker_hub_at(&scene.home, hub);
    let project = asks_for("3.12");
    let planned = said(&scene.home, "plan", &project, &[]).ok();
    assert!(
        planned.stdout.contains(
            "python-3.12  (.python-version:1: asks for 3.12; upon python:3.12-slim, since Debian has no 3.12)"
        ),
        "{}",
        planned.stdout
    );

    let image = scene.registry.repository("app");
    let built = said(&scene.home, "build", &project, &[&image, "--push"]).ok();
    let manifest = scene.manifest("app");
    let of_base = scene.registry.manifest("library/python", "3.12-slim");
    let of_base: serde_json::Value = serde_json::from_slice(&of_base.unwrap()).unwrap();
    for layer in 0..BASE_LAYERS {
        let digest = &of_base["layers"][layer]["digest"];
        assert_eq!(&manifest["layers"][layer]["digest"], digest);
        let hex = digest.as_str().unwrap().trim_start_matches("sha256:");
        assert!(!scene.home.store().join("blobs/sha256").join(hex).exists());
    }
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.base.name"],
        "docker.io/library/python:3.12-slim"
    );
    let container: Container = Scene::start(&image);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    let found = ["sh", "-c", "ls -d /opt/app-root/lib/*/site-packages/flask"];
    let found = container.exec(&found).ok();
    assert_eq!(
        found.line(),
        "/opt/app-root/lib/python3.12/site-packages/flask"
    );
    container.stop();

    // A company's copy gives the same image, and the lock holds for both.
    fs::remove_dir_all(scene.home.home().join(".config/containers")).unwrap();
    let mirrored = |command: &str, more: &[&str]| {
        let mut command = scene.home.command(&[command, "--refresh"]);
        command.env("S2R_BASE_MIRROR", hub);
        finish(command.arg(project.path()).args(more)).ok()
    };
    let again = mirrored("build", &[&image]);
    assert_eq!(digest(&again), digest(&built));
    mirrored("lock", &[]);
    let lock = fs::read_to_string(project.path().join("s2r.lock")).unwrap();
    assert!(
        lock.contains("\"docker.io/library/python:3.12-slim\""),
        "{lock}"
    );
    let offline = ["locked", "--locked", "--offline"];
    said(&scene.home, "build", &project, &offline).ok();
}

fn digest(built: &Finished) -> &str {
    built.line().rsplit_once('@').unwrap().1
}

#[test]
fn a_base_that_cannot_be_had_names_the_ways_out() {
    let home = Home::empty();
    read_docker_hub_at(&home, &format!("127.0.0.1:{}", free_port()));
    let project = asks_for("3.12");
    let ways = [
        "docker.io/library/python:3.12-slim",
        "S2R_BASE_MIRROR=HOST/PATH",
        "HOST/PATH/library/python:3.12-slim",
        "--builder HOST/IMAGE",
    ];
    let refused = said(&home, "build", &project, &["x"]).exits(69);
    assert!(
        !refused.stderr.contains("python-3.13"),
        "{}",
        refused.stderr
    );
    refused.says(&ways);
    let offline = said(&home, "build", &project, &["x", "--offline"]).exits(69);
    offline.says(&ways).says(&["without --offline"]);
    // Where another builder would do, that one needs no registry.
    let wide = Project::new(&[
        ("app.py", "pass\n"),
        (
            "pyproject.toml",
            "[project]\nname='a'\nversion='1'\nrequires-python='>=3.9,<3.13'\n",
        ),
    ]);
    said(&home, "plan", &wide, &[])
        .exits(69)
        .says(&["--builder python-3.11"]);
    let mut wrong = home.command(&["plan"]);
    wrong.env("S2R_BASE_MIRROR", "https://registry.example");
    finish(wrong.arg(project.path()))
        .exits(2)
        .says(&["S2R_BASE_MIRROR=https://registry.example"]);
}

#[test]
fn ranges_and_names_of_image_streams_find_a_builder() {
    let home = Home::empty();
    for (version, builder) in [
        (">=3.12", "python-3.13"),
        (">=3.10,<3.14", "python-3.13"),
        ("3.14", "python-3.14"),
    ] {
        let planned = said(&home, "plan", &asks_for(version), &[]).ok();
        let line = format!("builder       {builder}  (.python-version:1: asks for {version}");
        assert!(planned.stdout.starts_with(&line), "{}", planned.stdout);
    }
    let project = Project::copy_of("script");
    for (name, builder) in [
        ("python:3.13-ubi10", "python-3.13"),
        ("openshift/python:3.14-ubi9", "python-3.14"),
        ("latest", "python-3.13"),
    ] {
        let planned = said(&home, "plan", &project, &["--builder", name]).ok();
        for words in [
            format!("{builder}  (--builder: the nearest to {name}"),
            format!("{name} is an image stream of OpenShift"),
            format!("name it: --builder {builder}"),
        ] {
            assert!(
                planned.stdout.contains(&words),
                "{words}\n{}",
                planned.stdout
            );
        }
    }
    let slip = said(&home, "plan", &project, &["--builder", "pyton-3.13"]);
    slip.exits(2).says(&["python-3.14, python-3.12"]);
    let listed = home.run(&["builders"]).ok().stdout;
    for line in [
        ["python-3.13", "Debian trixie", "default"],
        ["python-3.14", "Debian forky", "testing"],
        [
            "python-3.12",
            "docker.io/library/python:3.12-slim",
            "since Debian has no 3.12",
        ],
        ["python-3.11", "Debian bookworm", "old"],
    ] {
        let found = |text: &&str| line.iter().all(|word| text.contains(word));
        assert!(
            listed.lines().any(|text| found(&text)),
            "{line:?}\n{listed}"
        );
    }
}

/// Of testing a mirror that stands still is soon out of date, and a test cannot choose the day: what has to be told is
/// told where it is so.
#[test]
fn the_example_of_python_3_14_is_built_and_started() {
    let home = Home::seeded();
    let project = Project::copy_of("python-3.14");
    let flag = ["--debian-valid-until", "ignore"];
    let first = said(&home, "build", &project, &[&["first"][..], &flag].concat()).ok();
    let again = said(&home, "build", &project, &[&["again"][..], &flag].concat()).ok();
    let has_expired = |built: &Finished| {
        built
            .stderr
            .contains("index has expired, and is used all the same: forky")
    };
    assert_eq!(has_expired(&first), has_expired(&again), "{}", again.stderr);
    let strict = said(&home, "build", &project, &["strict"]);
    if has_expired(&first) {
        // What was found out with the flag is nothing to a build without it.
        strict
            .exits(69)
            .says(&["forky", "--debian-valid-until ignore"]);
    } else {
        strict.ok();
    }
    let archive = home.dir().join("app.tar");
    home.run(&[
        "export",
        "first",
        &format!("docker-archive:{}", archive.display()),
    ])
    .ok();
    let container = Container::start(&load(&archive), 1_000_680_000);
    assert_eq!(container.page("/"), "<p>Hello from Python 3.14</p>\n");
    assert_eq!(
        container.page("/?who=%3Cb%3E"),
        "<p>Hello from &lt;b&gt; 3.14</p>\n"
    );
    let packed = [
        "python",
        "-c",
        "import sys; from compression import zstd; print(zstd.decompress(zstd.compress(sys.prefix.encode())))",
    ];
    assert_eq!(container.exec(&packed).ok().line(), "b'/opt/app-root'");
    container.stop();
}
