//! Layers that `s2r.lock` knows: an image in a registry is where their bytes are fetched from, and nothing that it
//! says of them is believed.

use std::fs;

use serde_json::Value;

use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::registry::Registry;
use crate::harness::tampered;
use crate::harness::tools::{Finished, finish};

const INTERPRETER: &str = "Debian trixie: interpreter";

/// A project with locked layers, and its image in a registry.
struct Locked {
    home: Home,
    _registry: Registry,
    project: Project,
    image: String,
}

impl Locked {
    fn new() -> Self {
        let (home, registry) = (Home::seeded(), Registry::start());
        let image = registry.repository("locked");
        let project = Project::copy_of("flask-gunicorn");
        lock(&home, &project, &["--layers"]);
        let locked = Self {
            home,
            _registry: registry,
            project,
            image,
        };
        let built = locked.build(&locked.home, &[]).json();
        // Whoever locks layers has made them, and in the form that a build makes them in.
        assert_eq!(fates(&built, "made"), ["source"], "{built}");
        locked
    }

    #[track_caller]
    fn build(&self, home: &Home, more: &[&str]) -> Finished {
        let mut command = home.command(&["build", "--json", "--push"]);
        finish(command.arg(self.project.path()).arg(&self.image).args(more)).ok()
    }

    fn edit(&self) {
        let text = fs::read_to_string(self.project.path().join("wsgi.py")).unwrap();
        self.project
            .write("wsgi.py", &text.replace("Hello", "Good evening"));
    }

    /// The lock's layers of this machine, as lines.
    fn lines(&self) -> Vec<String> {
        let lock = fs::read(self.project.path().join("s2r.lock")).unwrap();
        let lock: Value = serde_json::from_slice(&lock).unwrap();
        let lines = lock["layers"].as_object().unwrap().values();
        let lines = lines.flat_map(|lines| lines.as_array().unwrap());
        lines
            .map(|line| line.as_str().unwrap().to_owned())
            .collect()
    }
}

#[track_caller]
fn lock(home: &Home, project: &Project, more: &[&str]) {
    let mut command = home.command(&["lock"]);
    finish(command.arg(project.path()).args(more)).ok();
}

/// How the contents of the layers begin that have a fate, up to a colon.
fn fates(summary: &Value, fate: &str) -> Vec<String> {
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    let of_fate = layers.iter().filter(|layer| layer["fate"] == fate);
    let contents = of_fate.map(|layer| layer["contents"].as_str().unwrap());
    contents
        .map(|contents| contents.split(": ").next().unwrap().to_owned())
        .collect()
}

fn digest_of(summary: &Value, contents: &str) -> String {
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    let is_it = |layer: &&Value| layer["contents"].as_str().unwrap().starts_with(contents);
    let layer = layers.iter().find(is_it).unwrap();
    layer["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_empty_machine_believes_nothing_and_downloads_nothing() {
    let locked = Locked::new();
    let lines = locked.lines();
    assert!((5..12).contains(&lines.len()), "{lines:#?}");
    assert!(lines.iter().all(|line| line.len() < 400), "{lines:#?}");
    assert!(lines[1].starts_with(INTERPRETER), "{lines:#?}");
    let full = locked.build(&locked.home, &[]).json();
    locked
        .project
        .write("wsgi.py", "def application(e, s): return []\n");
    let empty = Home::empty();
    let built = locked.build(&empty, &[]).json();
    assert_eq!(fates(&built, "made"), ["source"], "{built}");
    assert_eq!(fates(&built, "remote").len(), lines.len(), "{built}");
    assert_eq!(
        digest_of(&built, INTERPRETER),
        digest_of(&full, INTERPRETER)
    );
    // Only what the changed file is compiled by has come here.
    let blobs = fs::read_dir(empty.store().join("blobs/sha256")).unwrap();
    let bytes: u64 = blobs
        .map(|blob| blob.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 200_000, "{bytes} bytes of blobs");
}

#[test]
fn a_layer_that_the_lock_contradicts_is_made() {
    let locked = Locked::new();
    let right = digest_of(&locked.build(&locked.home, &[]).json(), INTERPRETER);
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("here");
    let hostile = format!("#!/bin/sh\n: > {}\n", marker.display()).into_bytes();
    tampered::replace(
        &locked.image,
        INTERPRETER,
        &[
            ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", &hostile),
            ("usr/bin/python3.13", &hostile),
        ],
    );
    locked.edit();
    let machine = Home::seeded();
    machine.forget_layers();
    let built = locked.build(&machine, &[]).json();
    assert!(!marker.exists(), "the attacker's program has run here");
    assert_eq!(digest_of(&built, INTERPRETER), right);
    assert_eq!(fates(&built, "made"), ["Debian trixie", "source"]);
    assert!(fates(&built, "believed").is_empty(), "{built}");
}

#[test]
fn keys_that_lie_are_not_looked_at() {
    let locked = Locked::new();
    let honest = locked.build(&locked.home, &[]).json();
    tampered::swap_keys(&locked.image, INTERPRETER, "virtual environment");
    let machine = Home::seeded();
    machine.forget_layers();
    let built = locked.build(&machine, &[]).json();
    assert_eq!(built["digest"], honest["digest"]);
    assert!(fates(&built, "remote").len() > 4, "{built}");
}

#[test]
fn a_lock_keeps_its_layers_and_says_when_they_are_others() {
    let locked = Locked::new();
    let before = fs::read_to_string(locked.project.path().join("s2r.lock")).unwrap();
    lock(&locked.home, &locked.project, &[]);
    let after = fs::read_to_string(locked.project.path().join("s2r.lock")).unwrap();
    assert_eq!(before, after);
    let line = locked.lines().remove(1);
    let words: Vec<&str> = line.rsplit(' ').collect();
    // From the end: unpacked size, size, diff id, digest.
    let wrong = before.replace(words[3], &format!("sha256:{}", "0".repeat(64)));
    locked.project.write("s2r.lock", &wrong);
    locked
        .build(&locked.home, &[])
        .says(&["s2r.lock says", INTERPRETER, "s2r lock --layers"]);
    locked
        .project
        .write("s2r.lock", &before.replace(words[3], "x"));
    let mut command = locked.home.command(&["build"]);
    finish(command.arg(locked.project.path()).arg("x"))
        .exits(65)
        .says(&["s2r.lock", "CONTENTS | KEY"]);
}
