//! The image that a registry has now is the cache: a machine that has nothing makes what changed.

use std::fs;

use serde_json::Value;

use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::registry::Registry;
use crate::harness::tools::finish;

/// A locked project, and its image in a registry.
struct Published {
    home: Home,
    registry: Registry,
    project: Project,
    image: String,
}

impl Published {
    fn new() -> Self {
        let home = Home::seeded();
        let registry = Registry::start();
        let image = registry.repository("cached");
        let project = Project::copy_of("flask-gunicorn");
        finish(home.command(&["lock"]).arg(project.path())).ok();
        build(&home, &project, &[&image, "--push"]);
        Self {
            home,
            registry,
            project,
            image,
        }
    }

    /// Digests of the layers of an image in the registry, bottom up.
    fn layers(&self, name: &str) -> Vec<String> {
        let manifest = self.registry.manifest(name, "latest").unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        let digests = layers.iter().map(|layer| layer["digest"].as_str().unwrap());
        digests.map(str::to_owned).collect()
    }

    fn edit(&self) {
        let text = fs::read_to_string(self.project.path().join("wsgi.py")).unwrap();
        let text = text.replace("Hello", "Good evening");
        self.project.write("wsgi.py", &text);
    }
}

#[track_caller]
fn build(home: &Home, project: &Project, more: &[&str]) -> Value {
    let mut command = home.command(&["build", "--json"]);
    finish(command.arg(project.path()).args(more)).ok().json()
}

/// Bytes of all files in a folder of a user's store.
fn bytes_in(home: &Home, folder: &str) -> u64 {
    let entries = fs::read_dir(home.store().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// How many layers have each fate.
fn fates(summary: &Value) -> (usize, usize, usize) {
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    let count = |fate: &str| layers.iter().filter(|layer| layer["fate"] == fate).count();
    (count("made"), count("reused"), count("believed"))
}

#[test]
fn an_empty_machine_makes_nothing_that_the_registry_has() {
    let published = Published::new();
    let empty = Home::empty();
    let again = build(&empty, &published.project, &[&published.image, "--push"]);
    let (made, reused, believed) = fates(&again);
    assert_eq!((made, reused), (0, 0), "{again}");
    assert!(believed > 4);
    assert_eq!(bytes_in(&empty, "s2r/downloads"), 0);
    // Config and manifest, and no layer.
    assert!(bytes_in(&empty, "blobs/sha256") < 100_000);
}

#[test]
fn an_empty_machine_makes_the_changed_layer_alone() {
    let published = Published::new();
    let whole = build(
        &published.home,
        &published.project,
        &[
            "--bytecode",
            "dependencies",
            "-t",
            &published.image,
            "--push",
        ],
    );
    published.edit();
    let empty = Home::empty();
    let more = ["--bytecode", "dependencies", &published.image, "--push"];
    let changed = build(&empty, &published.project, &more);
    let (made, reused, believed) = fates(&changed);
    assert_eq!((made, reused), (1, 0), "{changed}");
    assert_eq!(bytes_in(&empty, "s2r/downloads"), 0);
    assert_ne!(whole["digest"], changed["digest"]);
    // The same as on a machine that has all of it.
    let here = build(&published.home, &published.project, &more);
    assert_eq!(here["digest"], changed["digest"]);
    // What is in the registry can be had when it is wanted here.
    let file = empty.dir().join("image.tar");
    finish(
        empty
            .command(&["export", &published.image])
            .arg(format!("oci-archive:{}", file.display())),
    )
    .ok();
    assert!(fs::metadata(file).unwrap().len() > 1 << 20, "{believed}");
}

#[test]
fn layers_of_another_repository_are_mounted() {
    let published = Published::new();
    let empty = Home::empty();
    let other = published.registry.repository("other");
    let built = build(
        &empty,
        &published.project,
        &[&other, "--push", "--cache-from", &published.image],
    );
    assert_eq!(fates(&built).0, 0, "{built}");
    let blobs = built["pushed"][0]["blobs"].as_array().unwrap();
    let mounted = blobs
        .iter()
        .filter(|blob| blob["fate"] == "mounted")
        .count();
    assert!(mounted > 4, "{built}");
    assert!(published.registry.manifest("other", "latest").is_some());
}

#[test]
fn a_layer_that_is_not_there_is_made_anew() {
    let published = Published::new();
    let lost = published.layers("cached").pop().unwrap();
    published.registry.delete_blob("cached", &lost);
    // Elsewhere: the layer is neither to be mounted nor to be copied.
    let machine = Home::seeded();
    machine.forget_layers();
    let other = published.registry.repository("copy");
    let more = [&other, "--push", "--cache-from", &published.image];
    let mut command = machine.command(&["build", "--json"]);
    let built = finish(command.arg(published.project.path()).args(more)).ok();
    assert!(
        built.stderr.contains("what is missing is made anew"),
        "{}",
        built.stderr
    );
    // The config differs, for it tells the image's name.
    assert!(published.layers("copy") == published.layers("cached"));
    // In the same repository: the manifest that names it is refused, and the layer sent.
    published.edit();
    published
        .registry
        .delete_blob("copy", &published.layers("copy")[3]);
    let machine = Home::seeded();
    machine.forget_layers();
    build(&machine, &published.project, &[&other, "--push"]);
    let copied = machine.dir().join("copy");
    finish(
        std::process::Command::new("skopeo")
            .args(["copy", "--src-tls-verify=false"])
            .arg(format!("docker://{other}"))
            .arg(format!("oci:{}", copied.display())),
    )
    .ok();
}

#[test]
fn an_empty_machine_builds_no_project_that_the_registry_has_built() {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = registry.repository("own");
    let project = Project::copy_of("poetry-src-layout");
    build(&home, &project, &[&image, "--push"]);
    let empty = Home::empty();
    finish(home.command(&["lock"]).arg(project.path())).ok();
    // The lock of the base alone is of interest here: the wheels are poetry.lock's.
    fs::remove_file(project.path().join("pylock.toml")).unwrap();
    let again = build(&home, &project, &[&image, "--push"]);
    let far = build(&empty, &project, &[&image, "--push"]);
    assert_eq!(fates(&far).0, 0, "{far}");
    assert_eq!(far["digest"], again["digest"]);
    assert_eq!(bytes_in(&empty, "s2r/roots"), 0);
}
