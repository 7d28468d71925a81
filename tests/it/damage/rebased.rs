//! A damaged layer of an image that is put on another base.

use super::{Harm, harm};
use crate::harness::files::example;
use crate::harness::layout::sha256;
use crate::harness::tools::finish;
use crate::images::{Scene, build};

#[test]
fn a_damaged_layer_that_a_rebase_meets_is_made_by_the_next_build() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let flags = ["--builder", &base, "app"];
    let source = example("flask-gunicorn");
    let built = build(&scene, &source, &flags);
    let layout = scene.home.layout();
    let layer = layout
        .layers(built["digest"].as_str().unwrap())
        .pop()
        .unwrap();
    let path = layout.blob_path(&layer);
    let name = scene.registry.repository("app");
    let rebase = || {
        let mut command = scene.home.command(&["rebase", "app", "--onto", &base]);
        finish(command.args(["--tag", &name, "--push"]))
    };
    harm(&path, Harm::Flip);
    rebase().exits(69).says(&["s2r build"]);
    build(&scene, &source, &flags);
    assert_eq!(sha256(&std::fs::read(&path).unwrap()), layer);
    rebase().ok();
}
