//! Images of a registry as bases: what is built on them, what of them is moved, and another beneath.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::container::Container;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::sha256;
use crate::harness::registry::Registry;
use crate::harness::tools::{finish, temporary, tool};

/// A file or, with a target, a link of a layer.
pub(crate) enum Entry<'a> {
    Link(&'a str),
    Program(&'a str),
}

/// Layers of a base that a scene makes: those of s2r's own, and one above.
pub(crate) const BASE_LAYERS: usize = 4;

/// The search path of the official images.
pub(crate) const PATH: &str =
    "PATH=/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A user whose store has the downloads of the examples and no layer, and a registry with bases.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) registry: Registry,
    /// The layers of s2r's own base: blob and diff id, bottom up.
    debian: Vec<(Vec<u8>, String)>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let home = Home::seeded();
        let built = home.build(&example("flask-gunicorn"), &["flask-gunicorn"]);
        let layout = home.layout();
        let manifest = layout.document(digest_of(&built));
        let config = layout.config(digest_of(&built));
        let debian = (0..BASE_LAYERS - 1)
            .map(|index| {
                let digest = manifest["layers"][index]["digest"].as_str().unwrap();
                let diff_id = config["rootfs"]["diff_ids"][index].as_str().unwrap();
                (layout.blob(digest), diff_id.to_owned())
            })
            .collect();
        home.forget_layers();
        Self {
            home,
            registry: Registry::start(),
            debian,
        }
    }

    /// Puts an image into the registry: Debian's layers with one above, and this config. It goes in as
    /// docker writes images.
    pub(crate) fn base(
        &self,
        name: &str,
        entries: &[(&str, Entry<'_>)],
        run: &Value,
        history: &str,
    ) -> String {
        self.base_for(name, &["amd64"], (entries, run, history))
    }

    /// The same for several processors, by way of an index. Only the first is told the truth about its
    /// programs, and only that one is ever run.
    fn base_for(
        &self,
        name: &str,
        architectures: &[&str],
        (entries, run, history): (&[(&str, Entry<'_>)], &Value, &str),
    ) -> String {
        let folder = temporary();
        let (blob, diff_id) = layer(entries);
        let mut layers = self.debian.clone();
        layers.push((blob, diff_id));
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8], kind: &str| {
            let digest = sha256(bytes);
            fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
            json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len()})
        };
        let manifest = |architecture: &&str| {
            let config = json!({
                "architecture": architecture, "os": "linux", "author": "somebody", "config": run,
                "created": format!("2026-03-0{}T00:00:00Z", run["Labels"]["of.base"].as_str().unwrap_or("1")),
                "rootfs": {"type": "layers",
                    "diff_ids": layers.iter().map(|(_, diff_id)| diff_id).collect::<Vec<_>>()},
                "history": [{"created_by": history}, {"created_by": "b"}, {"created_by": "c"},
                    {"created_by": "d"}, {"created_by": "CMD", "empty_layer": true}],
            });
            let manifest = json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": put(config.to_string().as_bytes(), "config.v1+json"),
                "layers": layers.iter().map(|(blob, _)| put(blob, "layer.v1.tar+gzip")).collect::<Vec<_>>(),
            });
            let mut entry = put(manifest.to_string().as_bytes(), "manifest.v1+json");
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        };
        let entries: Vec<Value> = architectures.iter().map(manifest).collect();
        let mut index = json!({"schemaVersion": 2, "manifests": entries});
        if architectures.len() > 1 {
            index["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
            let entry = put(index.to_string().as_bytes(), "index.v1+json");
            index = json!({"schemaVersion": 2, "manifests": [entry]});
        }
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        fs::write(
            folder.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let image = self.registry.repository(name);
        let from = format!("oci:{}", folder.path().display());
        let to = format!("docker://{image}");
        let flags = [
            "copy",
            "--all",
            "--quiet",
            "--dest-tls-verify=false",
            "--format",
            "v2s2",
        ];
        tool("skopeo", &[&flags[..], &[&from, &to]].concat());
        image
    }

    /// A base as the official Python images are.
    pub(crate) fn slim(&self, name: &str, release: &str) -> String {
        self.slim_for(name, release, &["amd64"])
    }

    /// The same for these processors.
    pub(crate) fn slim_for(&self, name: &str, release: &str, architectures: &[&str]) -> String {
        let entries = [
            (
                "usr/local/bin/python3.13",
                Entry::Link("/usr/bin/python3.13"),
            ),
            ("usr/local/bin/release", Entry::Program(release)),
            (
                "usr/local/lib/python3.13",
                Entry::Link("/usr/lib/python3.13"),
            ),
        ];
        let version = format!("PYTHON_VERSION=3.13.{release}");
        let run = json!({
            "Env": [PATH, "LANG=C.UTF-8", "GPG_KEY=7169", version], "Cmd": ["python3"],
            "Labels": {"of.base": release}, "StopSignal": "SIGTERM", "ExposedPorts": null,
        });
        let history = "# debian.sh --arch 'amd64' out/ 'trixie' '@1727654400'";
        self.base_for(name, architectures, (&entries, &run, history))
    }

    pub(crate) fn manifest(&self, name: &str) -> Value {
        serde_json::from_slice(&self.registry.manifest(name, "latest").unwrap()).unwrap()
    }

    /// No layer of this image of the registry is in the store.
    #[track_caller]
    pub(crate) fn has_nothing_of(&self, name: &str) {
        let manifest = self.manifest(name);
        for layer in manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            let blob = digest.trim_start_matches("sha256:");
            assert!(
                !self.home.store().join("blobs/sha256").join(blob).exists(),
                "{digest}"
            );
        }
    }

    pub(crate) fn start(image: &str) -> Container {
        Container::start_with(image, 1_000_680_000, &["--tls-verify=false"])
    }
}

/// A layer, and the digest of its tar.
fn layer(entries: &[(&str, Entry<'_>)]) -> (Vec<u8>, String) {
    let mut tar = tar::Builder::new(Vec::new());
    let entries: BTreeMap<&str, &Entry<'_>> =
        entries.iter().map(|(path, one)| (*path, one)).collect();
    for (path, entry) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(0);
        match entry {
            Entry::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Entry::Program(text) => {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
    }
    let tar = tar.into_inner().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    (gzip.finish().unwrap(), sha256(&tar))
}

pub(crate) fn build(scene: &Scene, source: &Path, more: &[&str]) -> Value {
    let mut command = scene.home.command(&["build", "--json"]);
    finish(command.arg(source).args(more)).ok().json()
}

#[test]
fn a_slim_image_is_built_upon_and_never_downloaded() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let image = scene.registry.repository("app");
    let source = example("flask-gunicorn");
    build(&scene, &source, &["--builder", &base, &image, "--push"]);
    scene.has_nothing_of("python");

    let manifest = scene.manifest("app");
    let of_base = scene.manifest("python");
    assert!(
        of_base["config"]["mediaType"]
            .as_str()
            .unwrap()
            .contains("docker")
    );
    for (index, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
        if index < BASE_LAYERS {
            assert_eq!(layer["digest"], of_base["layers"][index]["digest"]);
        }
    }
    let notes = &manifest["annotations"];
    let name = "org.opencontainers.image.base.name";
    assert_eq!(notes[name], format!("{base}:latest"));
    let digest = sha256(&scene.registry.manifest("python", "latest").unwrap());
    assert_eq!(notes["org.opencontainers.image.base.digest"], digest);
    assert_eq!(notes["io.s2r.base.layers"], BASE_LAYERS.to_string());

    let inspected = finish(&mut scene.home.command(&["inspect", "--json", &image]))
        .ok()
        .json();
    let config = &inspected["platforms"][0]["config"];
    assert_eq!(config["author"], "somebody");
    assert_eq!(config["config"]["Labels"]["of.base"], "5");
    let env: Vec<&str> = config["config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        env.contains(&"PYTHON_VERSION=3.13.5") && env.contains(&"LC_ALL=C.UTF-8"),
        "{env:?}"
    );
    assert_eq!(config["history"][BASE_LAYERS]["empty_layer"], true);

    let container = Scene::start(&image);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    let said = container
        .exec(&[
            "python",
            "-c",
            "import sys; print(sys.prefix, sys.base_prefix)",
        ])
        .ok();
    assert_eq!(said.line(), "/opt/app-root /usr/local");
    container.stop();

    // The tag is not asked again within the hour, and never without a network.
    build(&scene, &source, &["--builder", &base, "again", "--offline"]);
}

#[test]
fn an_s2i_image_keeps_what_its_users_count_on() {
    let scene = Scene::new();
    let entries = [
        (
            "usr/bin/container-entrypoint",
            Entry::Program("#!/bin/bash\nexport ENTERED=yes\nexec \"$@\"\n"),
        ),
        (
            "opt/app-root/bin/python3.13",
            Entry::Link("/usr/bin/python3.13"),
        ),
        ("opt/app-root/etc/of-base", Entry::Program("here")),
    ];
    let run = json!({
        "User": "1001", "Entrypoint": ["container-entrypoint"], "WorkingDir": "/opt/app-root/src",
        "ExposedPorts": {"8080/tcp": {}}, "Cmd": ["/bin/sh", "-c", "$STI_SCRIPTS_PATH/usage"],
        "Env": ["PATH=/opt/app-root/src/.local/bin/:/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/bin:/usr/bin:/bin",
            "PLATFORM=el10", "PYTHON_VERSION=3.13", "APP_ROOT=/opt/app-root", "HOME=/opt/app-root/src",
            "LC_ALL=en_US.UTF-8", "LANG=en_US.UTF-8", "CNB_USER_ID=1001"],
        "Labels": {"io.k8s.display-name": "Python 3.13", "name": "ubi10/python-313"},
    });
    let base = scene.base("ubi10/python-313", &entries, &run, "");
    let image = scene.registry.repository("shop");
    let source = example("flask-gunicorn");
    build(&scene, &source, &["--builder", &base, &image, "--push"]);
    scene.has_nothing_of("ubi10/python-313");
    let container = Scene::start(&image);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    let told = container
        .exec(&[
            "sh",
            "-c",
            "tr '\\0' '\\n' </proc/1/environ; cat /opt/app-root/etc/of-base",
        ])
        .ok();
    for line in [
        "ENTERED=yes",
        "CNB_USER_ID=1001",
        "LC_ALL=en_US.UTF-8",
        "here",
    ] {
        assert!(told.stdout.contains(line), "{line}\n{}", told.stdout);
    }
    container.stop();
}

#[test]
fn what_cannot_be_told_or_fit_is_refused_before_anything_is_built() {
    let scene = Scene::new();
    let source = example("flask-gunicorn");
    let refused = |base: &str, more: &[&str]| {
        let mut command = scene.home.command(&["build"]);
        finish(command.arg(&source).args(["--builder", base]).args(more))
    };
    let odd = scene.base("odd", &[], &json!({"Env": ["PATH=/bin"]}), "made by hand");
    refused(&odd, &[])
        .exits(65)
        .says(&["python:", "glibc:", "interpreter:", "image: "]);
    let file = scene.home.home().join("mine.yaml");
    fs::write(&file, format!("name: mine\nimage: {odd}\npython: \"3.13\"\nglibc: \"2.41\"\ninterpreter: /usr/bin/python3.13\n")).unwrap();
    build(&scene, &source, &["--builder", "mine.yaml", "ours"]);

    let alpine = scene.base(
        "alpine",
        &[],
        &json!({"Env": [PATH, "PYTHON_VERSION=3.13.5"]}),
        "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit",
    );
    refused(&alpine, &[]).exits(65).says(&["musl", "slim"]);
    refused(&scene.registry.repository("none"), &[])
        .exits(2)
        .says(&["no such base image"]);
    refused(&scene.registry.repository("none"), &["--offline"])
        .exits(69)
        .says(&["--offline"]);
    let slim = scene.slim("python", "5");
    refused(&slim, &["--platform", "linux/arm64"])
        .exits(65)
        .says(&["not made for linux/arm64", "linux/amd64"]);
    refused(&slim, &["--locked"]).exits(65).says(&["s2r.lock"]);
}

#[test]
fn a_lock_pins_the_base() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let project = Project::copy_of("flask-gunicorn");
    finish(
        scene
            .home
            .command(&["lock", "--builder", &base])
            .arg(project.path()),
    )
    .ok();
    let first = build(
        &scene,
        &project.path(),
        &["--builder", &base, "shop", "--locked"],
    );
    let lock: Value =
        serde_json::from_slice(&fs::read(project.path().join("s2r.lock")).unwrap()).unwrap();
    let digest = sha256(&scene.registry.manifest("python", "latest").unwrap());
    assert_eq!(lock["image"]["digest"], digest);
    assert_eq!(lock["image"]["manifests"]["amd64"], digest);
    // The tag moves, and the lock does not.
    scene.slim("python", "6");
    let again = build(
        &scene,
        &project.path(),
        &["--builder", &base, "shop", "--locked", "--refresh"],
    );
    assert_eq!(first["digest"], again["digest"]);
    let mut other = scene.home.command(&["build", "--builder", "python-3.13"]);
    finish(other.arg(project.path()))
        .exits(65)
        .says(&["another base"]);
}

#[test]
fn an_index_in_another_registry_is_a_base_for_each_platform() {
    let scene = Scene::new();
    let both = ["amd64", "arm64"];
    let base = scene.slim_for("python", "5", &both);
    let target = Registry::start();
    let image = target.repository("team/app");
    let source = example("flask-gunicorn");
    let platforms = "linux/amd64,linux/arm64";
    let built = build(
        &scene,
        &source,
        &[
            "--builder",
            &base,
            &image,
            "--push",
            "--platform",
            platforms,
        ],
    );
    // The base's layers went from one registry into the other, and never through the store.
    let of_base = scene.manifest("python");
    assert!(
        of_base["mediaType"].as_str().unwrap().contains("docker"),
        "{of_base}"
    );
    let fates: Vec<&Value> = built["pushed"][0]["blobs"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    for (index, architecture) in both.iter().enumerate() {
        let entry = &of_base["manifests"][index];
        assert_eq!(entry["platform"]["architecture"], *architecture);
        let digest = entry["digest"].as_str().unwrap();
        let below: Value =
            serde_json::from_slice(&scene.registry.manifest("python", digest).unwrap()).unwrap();
        let platform = &built["platforms"][index];
        assert_eq!(platform["platform"], format!("linux/{architecture}"));
        for layer in 0..BASE_LAYERS {
            let digest = &below["layers"][layer]["digest"];
            assert_eq!(&platform["layers"][layer]["digest"], digest);
            let fate = fates.iter().find(|blob| blob["digest"] == *digest).unwrap();
            assert_eq!(fate["fate"], "copied", "{fate}");
            let hex = digest.as_str().unwrap().trim_start_matches("sha256:");
            assert!(!scene.home.store().join("blobs/sha256").join(hex).exists());
        }
        let digest = platform["digest"].as_str().unwrap();
        let made: Value =
            serde_json::from_slice(&target.manifest("team/app", digest).unwrap()).unwrap();
        let named = sha256(&scene.registry.manifest("python", "latest").unwrap());
        assert_eq!(
            made["annotations"]["org.opencontainers.image.base.digest"],
            named
        );
    }
    let container = Scene::start(&image);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    container.stop();
}

#[test]
fn a_layer_that_the_base_has_lost_is_told_with_the_answer() {
    let scene = Scene::new();
    let base = scene.slim("python", "5");
    let lost = scene.manifest("python")["layers"][2]["digest"].clone();
    let lost = lost.as_str().unwrap();
    scene.registry.delete_blob("python", lost);
    let image = scene.registry.repository("app");
    // Again and again: no second try makes a layer of somebody else's.
    for _ in 0..2 {
        let mut command = scene.home.command(&["build", "--builder", &base, "--push"]);
        let finished = finish(command.arg(example("flask-gunicorn")).arg(&image))
            .exits(69)
            .says(&[lost, "404"]);
        assert!(!finished.stderr.contains("cache"), "{}", finished.stderr);
    }
}
