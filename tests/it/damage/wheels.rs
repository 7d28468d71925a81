//! Wheels that were damaged in the store after they had been built or fetched: no build is the worse for it, and
//! none blames the project.

use std::path::{Path, PathBuf};

use super::{HARMS, harm};
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

fn known() -> Wheel {
    Wheel::new("known", "1.0").file("known.py", "ANSWER = 42\n")
}

/// Where the store has a wheel of these bytes.
fn download(home: &Home, wheel: &Wheel) -> PathBuf {
    let digest = sha256(&wheel.bytes());
    let hex = digest.strip_prefix("sha256:").unwrap();
    home.store().join("s2r/downloads").join(hex)
}

#[track_caller]
fn is_sound(path: &Path) {
    let found = sha256(&std::fs::read(path).unwrap());
    assert!(found.ends_with(path.file_name().unwrap().to_str().unwrap()));
}

fn lock(home: &Home, source: &Path, index: &Index) -> Finished {
    let mut command = home.command(&["lock"]);
    let command = command.arg(source).env("PIP_INDEX_URL", index.url(None));
    finish(command)
}

#[test]
fn a_wheel_that_was_built_is_built_again() {
    let home = Home::seeded();
    let index = Index::with_sdists(&[], &[Sdist::of(known())]);
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "known\n")]);
    let source = project.path();
    let first = index.build(&home, &source).ok();
    let expected = digest_of(first.line());
    let wheel = download(&home, &known());
    for how in HARMS {
        harm(&wheel, how);
        let built = index.build(&home, &source).ok();
        assert_eq!(digest_of(built.line()), expected, "{how:?}");
        built.says(&["damaged in the store"]);
        is_sound(&wheel);
        harm(&wheel, how);
        lock(&home, &source, &index).ok();
        is_sound(&wheel);
        std::fs::remove_file(source.join("pylock.toml")).unwrap();
        std::fs::remove_file(source.join("s2r.lock")).unwrap();
    }
    // With a lock nobody reads the wheel but who makes its layer.
    lock(&home, &source, &index).ok();
    let locked = index.build(&home, &source).ok();
    let expected = digest_of(locked.line());
    for how in HARMS {
        home.forget_layers();
        harm(&wheel, how);
        let built = index.build(&home, &source).ok();
        assert_eq!(digest_of(built.line()), expected, "{how:?}");
        is_sound(&wheel);
    }
}

#[test]
fn a_projects_own_wheel_is_built_again_before_a_lock_is_held_to_it() {
    let home = Home::seeded();
    let index = Index::serving(&[known()], None, Fault::None);
    let own = Wheel::new("shop", "1.0")
        .file("shop.py", "x = 1\n")
        .requires("known");
    let project = Project::new(&[("app.py", "pass\n")]);
    let source = project.path();
    for (name, bytes) in Sdist::of(own).files() {
        std::fs::write(source.join(name), bytes).unwrap();
    }
    lock(&home, &source, &index).ok();
    let first = index.build(&home, &source).ok();
    let expected = digest_of(first.line());
    let own = Wheel::new("shop", "1.0")
        .file("shop.py", "x = 1\n")
        .requires("known");
    let wheel = download(&home, &own);
    for how in HARMS {
        harm(&wheel, how);
        let built = index.build(&home, &source).ok();
        assert_eq!(digest_of(built.line()), expected, "{how:?}");
        is_sound(&wheel);
        harm(&wheel, how);
        lock(&home, &source, &index).ok();
        is_sound(&wheel);
    }
}

#[test]
fn a_wheel_at_an_address_is_fetched_again() {
    let home = Home::seeded();
    let index = Index::serving(&[known()], None, Fault::None);
    let address = format!("{}/files/{}", index.root(), known().file_name());
    let hash = sha256(&known().bytes());
    let line = format!("known @ {address} --hash={hash}\n");
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &line)]);
    let first = index.build(&home, &project.path()).ok();
    let expected = digest_of(first.line());
    let wheel = download(&home, &known());
    for how in HARMS {
        harm(&wheel, how);
        // What was found out before is found out again, from the wheel itself.
        std::fs::remove_dir_all(home.store().join("s2r/records/wheels")).unwrap();
        let built = index.build(&home, &project.path()).ok();
        assert_eq!(digest_of(built.line()), expected, "{how:?}");
        built.says(&["damaged in the store"]);
        is_sound(&wheel);
    }
}
