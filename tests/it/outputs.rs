//! Where an image can go besides the store, and what can be done with the ones in it.

use std::fs;

use crate::harness::container::{load, run_once};
use crate::harness::files::example;
use crate::harness::home::{Home, blobs, digest_of};
use crate::harness::layout::{Layout, sha256};
use crate::harness::registry::Registry;
use crate::harness::tools::{temporary, tool};

#[test]
fn files_and_folders_are_read_by_others() {
    let home = Home::seeded();
    let out = temporary();
    let path = |name: &str| out.path().join(name).display().to_string();
    let targets = [
        format!("oci:{}", path("layout")),
        format!("oci-archive:{}", path("oci.tar")),
        format!("docker-archive:{}", path("docker.tar")),
    ];
    let arguments: Vec<&str> = ["made:v1"]
        .into_iter()
        .chain(targets.iter().flat_map(|target| ["-o", target.as_str()]))
        .collect();
    let reference = home.build(&example("script"), &arguments);
    let digest = digest_of(&reference);

    let layout = Layout::open(&out.path().join("layout"));
    layout.check(digest);
    let config = layout.document(digest)["config"]["digest"].clone();
    for target in &targets {
        let target = if target.starts_with("oci:") {
            layout.reference(digest)
        } else {
            target.clone()
        };
        let seen = tool("skopeo", &["inspect", "--config", "--raw", &target]);
        assert_eq!(
            sha256(seen.as_bytes()),
            config.as_str().unwrap(),
            "{target}"
        );
    }
    for archive in ["oci.tar", "docker.tar"] {
        let name = load(&out.path().join(archive));
        let said = run_once(&name, 1001, &["python", "-c", "print('it runs')"]).ok();
        assert_eq!(said.stdout, "it runs\n");
    }
}

#[test]
fn export_and_push_later() {
    let home = Home::seeded();
    let registry = Registry::start();
    let out = temporary();
    let reference = home.build(&example("script"), &["later:v1"]);
    let digest = digest_of(&reference);

    let target = format!("oci:{}", out.path().join("layout").display());
    home.run(&["export", "later:v1", &target]).ok();
    Layout::open(&out.path().join("layout")).check(digest);

    let destination = registry.repository("later:v2");
    let pushed = home.run(&["push", "later:v1", &destination]).ok();
    assert_eq!(digest_of(pushed.line()), digest);
    assert_eq!(sha256(&registry.manifest("later", "v2").unwrap()), digest);
}

#[test]
fn several_tags_at_once() {
    let home = Home::seeded();
    let registry = Registry::start();
    let [one, two] = ["many:one", "many:two"].map(|name| registry.repository(name));
    let reference = home.build(&example("script"), &[&one, "-t", &two, "--push"]);
    for tag in ["one", "two"] {
        let manifest = registry.manifest("many", tag).unwrap();
        assert_eq!(sha256(&manifest), digest_of(&reference));
    }
}

#[test]
fn a_push_to_another_digest_is_refused() {
    let home = Home::seeded();
    let registry = Registry::start();
    let reference = home.build(&example("script"), &["here"]);
    let other = format!("{}@sha256:{}", registry.repository("other"), "0".repeat(64));
    home.run(&["push", "here", &other])
        .exits(2)
        .says(&[digest_of(&reference)]);
    let own = format!("{}@{}", registry.repository("own"), digest_of(&reference));
    home.run(&["push", "here", &own]).ok();
    assert!(registry.manifest("own", digest_of(&reference)).is_some());
}

#[test]
fn images_are_listed_inspected_and_removed() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-gunicorn"), &["kept:v1"]);
    let digest = digest_of(&reference);
    assert!(home.run(&["images"]).ok().stdout.contains("kept"));

    let text = home.run(&["inspect", "kept:v1"]).ok().stdout;
    for expected in [digest, "flask", "python3.13", "tzdata"] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    let json = home.run(&["inspect", "kept:v1", "--json"]).ok().json();
    let layers = json["platforms"][0]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), home.layout().layers(digest).len());
    for layer in layers {
        assert!(
            layer["key"].is_string() && layer["contents"].is_string(),
            "{layer}"
        );
        assert!(layer["bytes"].as_u64().unwrap() > 0, "{layer}");
    }

    home.run(&["rm", "kept:v1"]).ok();
    assert!(!home.run(&["images"]).ok().stdout.contains("kept"));
    home.run(&["inspect", "kept:v1"]).exits(2);
    home.run(&["rm", "kept:v1"]).exits(2);
}

#[test]
fn prune_gives_the_disk_back_and_harms_no_image() {
    let home = Home::seeded();
    let kept = home.build(&example("script"), &["kept"]);
    for other in ["flask-gunicorn", "numpy", "app-module", "shell", "script"] {
        home.run(&["rm", other]).ok();
    }
    let before = blobs(&home).len();
    home.run(&["cache", "prune"]).ok();
    assert!(blobs(&home).len() < before);
    home.layout().check(digest_of(&kept));
    home.build(&example("numpy"), &["numpy"]);
}

#[test]
fn the_image_is_described_as_the_platform_expects() {
    let home = Home::seeded();
    let reference = home.build(&example("app-module"), &["described", "-e", "EXTRA=a b"]);
    let layout = home.layout();
    let digest = digest_of(&reference);
    let config = layout.config(digest);
    let run = &config["config"];
    assert_eq!(run["User"], "1001");
    assert_eq!(run["WorkingDir"], "/opt/app-root/src");
    assert_eq!(run["Cmd"], serde_json::json!(["/usr/libexec/s2i/run"]));
    assert!(run["ExposedPorts"]["8080/tcp"].is_object());
    let environment = run["Env"].as_array().unwrap();
    for expected in [
        "HOME=/opt/app-root/src",
        "APP_MODULE=greeter.web:app",
        "EXTRA=a b",
        "LC_ALL=en_US.UTF-8",
        "PYTHONUNBUFFERED=1",
    ] {
        assert!(
            environment.contains(&expected.into()),
            "{expected}: {environment:?}"
        );
    }
    let labels = run["Labels"].as_object().unwrap();
    assert_eq!(labels["io.openshift.expose-services"], "8080:http");
    assert_eq!(
        labels["io.openshift.s2i.scripts-url"],
        "image:///usr/libexec/s2i"
    );

    let manifest = layout.document(digest);
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    for layer in manifest["layers"].as_array().unwrap() {
        assert!(
            layer["annotations"]["io.s2r.layer.key"].is_string(),
            "{layer}"
        );
        assert!(
            layer["annotations"]["io.s2r.layer.contents"].is_string(),
            "{layer}"
        );
    }
    let members = layout.members(digest);
    let source = &members["opt/app-root/src/greeter/web.py"];
    assert_eq!((source.mode, source.uid, source.gid), (0o664, 1001, 0));
    assert_eq!(
        source.body,
        fs::read(example("app-module").join("greeter/web.py")).unwrap()
    );
    for (path, member) in &members {
        assert_eq!(member.mtime, 315_532_800, "{path}");
        assert_eq!(
            member.mode & 0o7000 & !0o1000,
            0,
            "{path} is setuid or setgid"
        );
    }
}

#[test]
fn small_images_stay_small() {
    let home = Home::seeded();
    for (option, value, limit) in [
        ("--bytecode", "none", 24_000_000),
        ("--bytecode", "all", 28_000_000),
        ("--compression", "zstd", 25_000_000),
    ] {
        let more = ["small", option, value];
        let reference = home.build(&example("flask-gunicorn"), &more);
        is_small(&home, &reference, limit);
    }
}

#[track_caller]
fn is_small(home: &Home, reference: &str, limit: u64) {
    let manifest = home.layout().document(digest_of(reference));
    let sizes: Vec<u64> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["size"].as_u64().unwrap())
        .collect();
    let total: u64 = sizes.iter().sum();
    assert!(total <= limit, "{total} bytes: {sizes:?}");
    assert!(sizes.len() <= 24);
}
