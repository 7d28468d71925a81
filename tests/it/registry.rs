//! Pushes to registries as they are in practice: a scripted faulty one, and real ones.
//!
//! Each test of a fault ends in one of two ways: the push is right in spite of it, or it ends with code 69 and
//! an explanation; and the next push, to the registry in its best mood, is right.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::harness::faulty::Faulty;
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::stored;
use crate::harness::tools::{Finished, finish};

mod bases;
mod helpers;
mod limits;
mod login;
mod manifests;
mod mirrors;
mod mounts;
mod peers;
mod sweep;
mod uploads;

/// Most of a case is waiting for the next try, so many run at once.
const THREADS: usize = 16;

const PASSWORD: &str = "hunter2";
const IDENTITY: &str = "identity-of-mine";

/// One failure says enough.
struct Stops<'a>(&'a AtomicUsize);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(usize::MAX / 2, Ordering::Relaxed);
        }
    }
}

/// Runs each case, several at once.
fn each<T: Clone + Sync>(cases: impl AsRef<[T]>, run: impl Fn(T) + Sync) {
    let cases = cases.as_ref();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let _stops = Stops(&next);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(case.clone());
                }
            });
        }
    });
}

/// Pushes an image to `app:1`.
#[track_caller]
fn push_of(image: &str, home: &Home, registry: &Faulty) -> Finished {
    home.run(&["push", image, &registry.repository("app:1")])
}

#[track_caller]
fn push(home: &Home, registry: &Faulty) -> Finished {
    push_of(stored::NAME, home, registry)
}

/// A push that must be right: everything is there, and the digest printed is the tag's.
#[track_caller]
fn pushes_of(image: &str, home: &Home, registry: &Faulty) -> Finished {
    let pushed = push_of(image, home, registry).ok();
    let digest = registry.complete("app", "1");
    assert_eq!(digest_of(pushed.line()), digest);
    assert_eq!(digest, stored::digest(image));
    is_discreet(&pushed);
    pushed
}

#[track_caller]
fn pushes(home: &Home, registry: &Faulty) -> Finished {
    pushes_of(stored::NAME, home, registry)
}

/// A small project, with a builder file for a base that tells nothing of itself.
fn project_on(image: &str) -> Project {
    let builder = format!(
        "name: mine\nimage: {image}\npython: \"3.13\"\nglibc: \"2.41\"\ninterpreter: /usr/bin/python3.13\n"
    );
    Project::new(&[("app.py", "print('here')\n"), ("mine.yaml", &builder)])
}

/// Builds it, and pushes; nothing of the base is run.
fn builds(home: &Home, project: &Project, more: &[&str]) -> Finished {
    let mut command = home.command(&["build", "--bytecode", "none", "--push", "--builder"]);
    command.arg(project.path().join("mine.yaml"));
    finish(command.arg(project.path()).args(more))
}

/// A push that must end with an explanation, and without words that no user should see.
#[track_caller]
fn fails(finished: Finished, says: &[&str]) -> Finished {
    let finished = finished.exits(69).says(says);
    is_explained(&finished);
    finished
}

/// Every failure says what, where, why and what next; no panic, no secret.
#[track_caller]
fn is_explained(finished: &Finished) {
    let said = &finished.stderr;
    assert!(said.contains("next: "), "no advice:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
    is_discreet(finished);
}

/// What no log may hold: values of queries, tokens, passwords.
#[track_caller]
fn is_discreet(finished: &Finished) {
    for secret in [
        "a%2Bb",
        "a+b",
        "X-Signature=a",
        "opaque/",
        PASSWORD,
        IDENTITY,
    ] {
        for said in [&finished.stderr, &finished.stdout] {
            assert!(!said.contains(secret), "{secret} is told:\n{said}");
        }
    }
}
