//! Locks: what they pin, and what may be done with them and without them.

use std::fs;

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{finish, without_network};
use crate::harness::wheel::Wheel;

#[test]
fn a_lock_pins_what_the_index_says_today() {
    let home = Home::seeded();
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "known\n")]);
    let source = project.path();
    let source = source.to_str().unwrap();

    let first = {
        let wheels = [Wheel::new("known", "1.0").file("known.py", "ANSWER = 1\n")];
        let index = Index::serving(&wheels, None, Fault::None);
        let url = index.url(None);
        finish(home.command(&["lock", source]).env("PIP_INDEX_URL", &url)).ok();
        let lock = fs::read_to_string(project.path().join("pylock.toml")).unwrap();
        assert!(
            lock.contains("known-1.0-py3-none-any.whl") && lock.contains("sha256"),
            "{lock}"
        );
        finish(
            home.command(&["build", source, "x", "--locked"])
                .env("PIP_INDEX_URL", &url),
        )
        .ok()
    };
    // The index has a newer version now; the lock does not care, and its files are here already.
    let second = {
        let wheels = [
            Wheel::new("known", "1.0").file("known.py", "ANSWER = 1\n"),
            Wheel::new("known", "2.0").file("known.py", "ANSWER = 2\n"),
        ];
        let index = Index::serving(&wheels, None, Fault::None);
        let built = finish(
            home.command(&["build", source, "x"])
                .env("PIP_INDEX_URL", index.url(None)),
        )
        .ok();
        assert_eq!(index.requests(), 0, "{:?}", index.log());
        built
    };
    assert_eq!(first.stdout, second.stdout);
    home.run(&["build", source, "x", "--locked", "--offline"])
        .ok();
}

#[test]
fn locked_without_a_lock_is_refused() {
    let home = Home::seeded();
    let source = example("flask-gunicorn");
    finish(
        home.command(&["build"])
            .arg(&source)
            .args(["x", "--locked"]),
    )
    .exits(65)
    .says(&["lock", "s2r lock"]);
}

#[test]
fn offline_builds_from_what_is_there_or_says_what_is_missing() {
    let home = Home::seeded();
    let source = example("script");
    let source = source.to_str().unwrap();
    finish(&mut home.command_under(without_network(), &["build", source, "x", "--offline"])).ok();

    let stranger = Home::empty();
    let refused = finish(
        &mut stranger.command_under(without_network(), &["build", source, "x", "--offline"]),
    );
    refused.exits(69).says(&["--offline"]);
}

#[test]
fn a_lock_that_is_broken_is_the_projects_fault() {
    let home = Home::seeded();
    for (name, text) in [
        ("pylock.toml", "lock-version = \n"),
        ("pylock.toml", "lock-version = \"9.0\"\n"),
        ("s2r.lock", "not a lock\n"),
    ] {
        let project = Project::new(&[("app.py", "pass\n"), (name, text)]);
        finish(home.command(&["build"]).arg(project.path()).arg("x"))
            .exits(65)
            .says(&[name]);
    }
}
