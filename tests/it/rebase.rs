//! Another base beneath an image that is built already: without its sources, and without its layers.

use std::fs;

use serde_json::{Value, json};

use crate::harness::container::{Container, run_once};
use crate::harness::files::{Project, example, own_builder};
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::sha256;
use crate::harness::registry::Registry;
use crate::harness::tools::{Finished, finish};
use crate::images::{BASE_LAYERS, Entry, PATH, Scene, build};

fn rebase(home: &Home, image: &str, onto: &str, more: &[&str]) -> Finished {
    let mut command = home.command(&["rebase", "--json", image, "--onto", onto]);
    finish(command.args(more))
}

/// What `inspect --check-base` says of the base of an image's first platform.
fn behind(home: &Home, image: &str) -> Value {
    let mut command = home.command(&["inspect", "--json", "--check-base", image]);
    finish(&mut command).ok().json()["platforms"][0]["base"].clone()
}

fn manifest(registry: &Registry, name: &str, tag: &str) -> Value {
    serde_json::from_slice(&registry.manifest(name, tag).unwrap()).unwrap()
}

/// No layer of this manifest is in the store.
#[track_caller]
fn has_none(home: &Home, manifest: &Value) {
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let hex = digest.trim_start_matches("sha256:");
        assert!(
            !home.store().join("blobs/sha256").join(hex).exists(),
            "{layer}"
        );
    }
}

/// The config of an image in the store.
fn config(home: &Home, image: &str) -> Value {
    let inspected = finish(&mut home.command(&["inspect", "--json", image])).ok();
    inspected.json()["platforms"][0]["config"].clone()
}

fn env(config: &Value) -> Vec<&str> {
    let lines = config["config"]["Env"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap()).collect()
}

/// An image called `same` as well, whose base has moved on by its uppermost layer.
#[track_caller]
fn is_one_layer_behind(scene: &Scene, home: &Home, image: &str, base: &str) {
    let told = behind(home, image);
    let newer = sha256(&scene.registry.manifest("python", "latest").unwrap());
    let expected =
        json!({"digest": newer, "layers": BASE_LAYERS, "differing_layers": 1, "days_later": 1});
    assert_eq!(
        (&told["state"], &told["now"]),
        (&json!("behind"), &expected)
    );
    assert_eq!(told["python"], "3.13");
    let text = finish(&mut home.command(&["inspect", "--check-base", image]))
        .ok()
        .stdout;
    assert!(
        text.contains(&format!(
            "1 of its {BASE_LAYERS} layers differ, created 1 day later"
        )),
        "{text}"
    );
    // Without the option nobody is asked, and the text says how to.
    let silent = finish(&mut home.command(&["inspect", "same"])).ok().stdout;
    assert!(silent.contains(&format!("base: {base}:latest")), "{silent}");
    assert!(silent.contains("--check-base"), "{silent}");
}

/// What the registry has as `app` now: the new base's layers and settings, and the rest as it was.
#[track_caller]
fn has_the_newer_base(scene: &Scene, home: &Home, image: &str, before: &Value) {
    let after = scene.manifest("app");
    let of_base = scene.manifest("python");
    let count = after["layers"].as_array().unwrap().len();
    assert_eq!(count, before["layers"].as_array().unwrap().len());
    for index in 0..count {
        let expected = if index < BASE_LAYERS {
            &of_base
        } else {
            before
        };
        assert_eq!(
            after["layers"][index]["digest"],
            expected["layers"][index]["digest"]
        );
    }
    let notes = &after["annotations"];
    let digest = sha256(&scene.registry.manifest("python", "latest").unwrap());
    assert_eq!(notes["org.opencontainers.image.base.digest"], digest);
    let config = config(home, image);
    let env = env(&config);
    assert!(
        env.contains(&"PYTHON_VERSION=3.13.6") && env.contains(&"MINE=kept"),
        "{env:?}"
    );
    assert_eq!(config["config"]["Labels"]["of.base"], "6");
    assert_eq!(
        config["config"]["Labels"]["io.k8s.display-name"],
        json!(image)
    );
}

#[test]
fn a_newer_base_comes_beneath_without_a_layer_being_read() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let image = scene.registry.repository("app");
    let source = example("flask-gunicorn");
    let flags = ["--builder", &base, &image, "--push", "-e", "MINE=kept"];
    let built = build(&scene, &source, &flags);
    let before = scene.manifest("app");

    // Somebody who has nothing: neither sources nor layers, nor the base that was.
    let home = Home::empty();
    // On the base that it has, an image is what it was.
    let same = rebase(&home, &image, &base, &["--tag", "same"]).ok().json();
    assert_eq!(same["digest"], built["digest"]);
    assert_eq!(behind(&home, &image)["state"], "up to date");
    scene.slim("python", "6");
    is_one_layer_behind(&scene, &home, &image, &base);
    let done = rebase(&home, &image, &base, &["--push"]).ok();
    assert_eq!(behind(&home, &image)["state"], "up to date");
    let said = done.json();
    has_none(&home, &before);
    has_none(&home, &scene.manifest("app"));
    assert_eq!(said["before"], built["digest"]);
    assert_eq!(
        said["platforms"][0]["kept_layers"],
        json!(built["platforms"][0]["layers"].as_array().unwrap().len() - BASE_LAYERS)
    );
    for blob in said["pushed"][0]["blobs"].as_array().unwrap() {
        assert_ne!(blob["fate"], "copied", "{blob}");
    }

    let digest = sha256(&scene.registry.manifest("app", "latest").unwrap());
    assert_eq!(said["digest"], digest);
    has_the_newer_base(&scene, &home, &image, &before);
    let digest = sha256(&scene.registry.manifest("python", "latest").unwrap());
    let named = format!("{base}@{digest}");
    rebase(&home, &image, &named, &["--tag", "pinned"]).ok();
    assert_eq!(behind(&home, "pinned")["state"], "pinned");

    let container = Scene::start(&image);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    assert_eq!(
        container
            .exec(&["cat", "/usr/local/bin/release"])
            .ok()
            .stdout,
        "6"
    );
    container.stop();

    // The same again, and from elsewhere to elsewhere, is the same.
    let other = Registry::start();
    let there = other.repository("team/app:1");
    let again = rebase(&Home::empty(), &image, &base, &["--tag", &there, "--push"]).ok();
    assert_eq!(again.json()["digest"], said["digest"]);
    let copied = again.json()["pushed"][0]["blobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|blob| blob["fate"] == "copied")
        .count();
    assert_eq!(copied, before["layers"].as_array().unwrap().len());
    // What was built on the newer base from the start has the same layers and settings.
    let anew = build(
        &scene,
        &source,
        &["--builder", &base, &image, "--refresh", "-e", "MINE=kept"],
    );
    assert_eq!(anew["digest"], said["digest"]);
    // A base that is no more: told as such, and no failure.
    scene.registry.delete_manifest("python", &digest);
    assert_eq!(behind(&home, &image)["state"], "gone");
    let text = finish(&mut home.command(&["inspect", "--check-base", &image]))
        .ok()
        .stdout;
    assert!(text.contains("gone from its registry"), "{text}");
}

#[test]
fn what_does_not_fit_is_told_with_both_values() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let image = scene.registry.repository("app");
    build(
        &scene,
        &example("flask-gunicorn"),
        &["--builder", &base, &image, "--push"],
    );
    let home = Home::empty();
    let refused = |onto: &str, code: i32, says: &[&str]| {
        rebase(&home, &image, onto, &["--tag", "other"])
            .exits(code)
            .says(says);
    };
    let trixie = "# debian.sh out/ 'trixie'";
    let run =
        |version: &str, path: &str| json!({"Env": [path, format!("PYTHON_VERSION={version}")]});
    let files = [(
        "usr/local/bin/python3.13",
        Entry::Link("/usr/bin/python3.13"),
    )];
    let other = scene.base("py312", &files, &run("3.12.1", PATH), trixie);
    refused(&other, 65, &["Python 3.13", "Python 3.12", "s2r build"]);
    let older = scene.base(
        "old",
        &files,
        &run("3.13.1", PATH),
        "# debian.sh out/ 'bookworm'",
    );
    refused(&older, 65, &["glibc 2.41", "glibc 2.36", "s2r build"]);
    let moved = scene.base(
        "moved",
        &files,
        &run("3.13.1", "PATH=/opt/python/bin:/bin"),
        trixie,
    );
    refused(
        &moved,
        65,
        &["/usr/local/bin/python3.13", "/opt/python/bin/python3.13"],
    );
    let odd = scene.base("odd", &files, &json!({}), "by hand");
    refused(&odd, 65, &["python:", "image: "]);
    fs::write(home.home().join("base.yaml"), format!(
        "name: x\nimage: {odd}\npython: \"3.13\"\nglibc: \"2.41\"\ninterpreter: /usr/local/bin/python3.13\n"
    )).unwrap();
    rebase(&home, &image, "base.yaml", &["--tag", "other"]).ok();
    refused(
        &scene.registry.repository("none"),
        2,
        &["no such base image"],
    );
    refused("Upper", 2, &["--onto"]);

    // What s2r did not build does not tell what of it is its base.
    rebase(&home, &base, &base, &[])
        .exits(2)
        .says(&["io.s2r.base.layers", "build it"]);
    let none = scene.registry.repository("none");
    rebase(&home, &none, &base, &[])
        .exits(2)
        .says(&["no such image"]);
    let digest = sha256(&scene.registry.manifest("app", "latest").unwrap());
    let pinned = format!("{image}@{digest}");
    rebase(&home, &pinned, &base, &[]).exits(2).says(&["--tag"]);
    rebase(&home, &pinned, &base, &["--tag", "named"]).ok();
    // One here and another there: which one is meant is not guessed.
    build(
        &scene,
        &example("flask-gunicorn"),
        &["--builder", &base, &image, "-e", "A=b"],
    );
    rebase(&scene.home, &image, &base, &["--push"])
        .exits(2)
        .says(&["registry", &digest]);
    assert_eq!(
        sha256(&scene.registry.manifest("app", "latest").unwrap()),
        digest
    );
}

#[test]
fn every_platform_gets_the_base() {
    let scene = Scene::new();
    let both = ["amd64", "arm64"];
    // Others' images are for more than s2r knows.
    let all = ["amd64", "386", "arm64", "s390x"];
    let base = scene.slim_for("python", "5", &all);
    let image = scene.registry.repository("app");
    let platforms = "linux/amd64,linux/arm64";
    let flags = [
        "--builder",
        &base,
        &image,
        "--push",
        "--platform",
        platforms,
    ];
    build(&scene, &example("flask-gunicorn"), &flags);
    let home = Home::empty();
    let one = scene.slim("one", "6");
    rebase(&home, &image, &one, &[])
        .exits(2)
        .says(&["linux/arm64", "linux/amd64"]);
    scene.slim_for("python", "6", &all);
    let said = rebase(&home, &image, &base, &["--push"]).ok().json();
    let index = manifest(&scene.registry, "app", "latest");
    for (at, architecture) in both.iter().enumerate() {
        let entry = &index["manifests"][at];
        assert_eq!(entry["platform"]["architecture"], *architecture);
        assert_eq!(entry["digest"], said["platforms"][at]["digest"]);
        let made = manifest(&scene.registry, "app", entry["digest"].as_str().unwrap());
        has_none(&home, &made);
        let named = sha256(&scene.registry.manifest("python", "latest").unwrap());
        assert_eq!(
            made["annotations"]["org.opencontainers.image.base.digest"],
            named
        );
    }
}

#[test]
fn packages_of_a_newer_build_come_beneath_an_older_one() {
    let home = Home::seeded();
    let lean = own_builder("    - hostname\n", "");
    let lean = lean.path().to_str().unwrap();
    let source = example("flask-gunicorn");
    home.build(&source, &["app", "--builder", lean]);
    assert_eq!(behind(&home, "app")["state"], "up to date");
    let fresh = home.build(&source, &["fresh", "-e", "OTHERS=1"]);
    let done = rebase(&home, "app", "fresh", &["--tag", "moved"]).ok();
    let said = done.json();
    let changed = said["platforms"][0]["packages"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["name"], "hostname");
    let layout = home.layout();
    let digest = said["digest"].as_str().unwrap();
    layout.check(digest);
    let (made, of_fresh) = (layout.document(digest), layout.document(digest_of(&fresh)));
    let note = "io.s2r.base.packages";
    assert_eq!(made["annotations"][note], of_fresh["annotations"][note]);
    assert_eq!(made["layers"][0], of_fresh["layers"][0]);
    let config = layout.config(digest);
    assert!(!env(&config).contains(&"OTHERS=1"));
    assert!(env(&config).contains(&"APP_ROOT=/opt/app-root"));
    let image = layout.reference(digest);
    run_once(&image, 12345, &["hostname"]).ok();
    let container = Container::start(&image, 12345);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    container.stop();
    // And back: what the base has not any more, something above may need.
    home.build(&source, &["lean", "--builder", lean]);
    rebase(&home, "moved", "lean", &[])
        .exits(65)
        .says(&["hostname"]);
    // What an image stands on already changes nothing.
    // A builder's own packages, as they are now; the project's stay in.
    let project = Project::copy_of("flask-gunicorn");
    project.write("Aptfile", "hostname\n");
    home.build(&project.path(), &["more", "--builder", lean]);
    let made = rebase(&home, "more", "python-3.13", &["--tag", "made"])
        .ok()
        .json();
    let changed = &made["platforms"][0]["packages"];
    assert_eq!(changed, &json!([]), "{changed}");
    let listed = finish(&mut home.command(&["images"])).ok().stdout;
    assert!(!listed.contains("<none>"), "{listed}");
    let same = rebase(&home, "fresh", "python-3.13", &["--tag", "same"])
        .ok()
        .json();
    // The suite may have moved on since the store was filled.
    if same["platforms"][0]["packages"] == json!([]) {
        assert_eq!(same["digest"], same["before"]);
    }
    let same = rebase(&home, "fresh", "fresh", &["--tag", "same"])
        .ok()
        .json();
    assert_eq!(same["digest"], same["before"]);
}

#[test]
fn an_image_of_ours_is_a_base_as_a_whole() {
    let (home, registry) = (Home::seeded(), Registry::start());
    let source = example("flask-gunicorn");
    let [first, second, image] =
        ["company:1", "company:2", "app"].map(|name| registry.repository(name));
    home.build(&source, &[&first, "--push"]);
    let project = Project::copy_of("flask-gunicorn");
    project.write("company.py", "motto = 'onwards'\n");
    home.build(&project.path(), &[&second, "--push"]);
    // It tells its Python by its notes.
    home.build(&source, &[&image, "--builder", &first, "--push"]);
    let stands_on = |tag: &str| {
        let (base, made) = (
            manifest(&registry, "company", tag),
            manifest(&registry, "app", "latest"),
        );
        let below = base["layers"].as_array().unwrap();
        let digests = |layers: &[Value]| -> Vec<Value> {
            layers.iter().map(|layer| layer["digest"].clone()).collect()
        };
        let made = made["layers"].as_array().unwrap();
        digests(&made[..below.len()]) == digests(below)
    };
    assert!(stands_on("1") && !stands_on("2"));
    let said = rebase(&home, &image, &second, &["--push"]).ok().json();
    assert!(stands_on("2"));
    let made = format!("{image}@{}", said["digest"].as_str().unwrap());
    let container = Container::start_with(&made, 12345, &["--tls-verify=false"]);
    container
        .exec(&["python", "-c", "import company, flask"])
        .ok();
    container.stop();
}
