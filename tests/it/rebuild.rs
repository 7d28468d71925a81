//! A second build knows what the first one knew.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::registry::Registry;
use crate::harness::tools::{finish, without_network};

/// Builds with `--json` and gives what was said.
#[track_caller]
fn summary(home: &Home, source: &Path, more: &[&str]) -> Value {
    finish(home.command(&["build", "--json"]).arg(source).args(more))
        .ok()
        .json()
}

/// The fate of each layer, bottom up.
fn fates(summary: &Value) -> Vec<&str> {
    let layers = summary["platforms"][0]["layers"]
        .as_array()
        .expect("layers in the summary");
    assert!(!layers.is_empty());
    layers
        .iter()
        .map(|layer| layer["fate"].as_str().expect("a layer's fate"))
        .collect()
}

#[test]
fn nothing_changed_nothing_is_done() {
    let home = Home::seeded();
    let project = Project::copy_of("flask-gunicorn");
    let source = project.path();
    finish(home.command(&["lock"]).arg(&source)).ok();
    let first = summary(&home, &source, &["x"]);
    let source = source.to_str().unwrap();
    let again = finish(&mut home.command_under(
        without_network(),
        &["build", source, "x", "--offline", "--locked", "--json"],
    ))
    .ok()
    .json();
    assert!(
        fates(&again).iter().all(|fate| *fate == "reused"),
        "{again}"
    );
    assert_eq!(first["digest"], again["digest"]);
}

#[test]
fn an_edit_makes_the_source_layer_alone() {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = registry.repository("edited");
    let project = Project::copy_of("flask-gunicorn");
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let before = home.build(&project.path(), &[&image, "--push"]);
    let text = fs::read_to_string(project.path().join("wsgi.py")).unwrap();
    project.write("wsgi.py", &text.replace("Hello", "Good evening"));

    let after = summary(&home, &project.path(), &[&image, "--push"]);
    let fates = fates(&after);
    assert_eq!(
        fates.iter().filter(|fate| **fate == "made").count(),
        1,
        "{after}"
    );
    assert_eq!(fates.last(), Some(&"made"));

    let layout = home.layout();
    let old = layout.layers(digest_of(&before));
    let new = layout.layers(after["digest"].as_str().unwrap());
    assert_eq!(old[..old.len() - 1], new[..new.len() - 1]);
    assert_ne!(old.last(), new.last());
    assert_eq!(
        registry.manifest("edited", "latest").unwrap(),
        layout.blob(after["digest"].as_str().unwrap())
    );
}

#[test]
fn a_new_dependency_changes_at_most_its_own_group() {
    let home = Home::seeded();
    let project = Project::copy_of("numpy");
    let layout = |reference: &str| home.layout().layers(digest_of(reference));
    let before = layout(&home.build(&project.path(), &["x"]));
    project.write(
        "requirements.txt",
        "gunicorn==27.0.1\nnumpy==2.5.5\nitsdangerous==2.2.0\n",
    );
    let after = layout(&home.build(&project.path(), &["x"]));
    let lost: Vec<_> = before
        .iter()
        .filter(|layer| !after.contains(layer))
        .collect();
    // The group of small wheels, and the source, which holds requirements.txt.
    assert!(lost.len() <= 2, "{before:#?}\n{after:#?}");
}

#[test]
fn what_was_pushed_is_not_pushed_again() {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = registry.repository("twice");
    let project = Project::copy_of("script");
    summary(&home, &project.path(), &[&image, "--push"]);
    let again = summary(&home, &project.path(), &[&image, "--push"]);
    let blobs = again["pushed"][0]["blobs"]
        .as_array()
        .expect("blobs in the summary");
    assert!(!blobs.is_empty());
    for blob in blobs {
        assert_eq!(blob["fate"], "already there", "{again}");
    }
}
