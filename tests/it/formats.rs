//! What an image is written in: gzip, zstd or eStargz layers, OCI's documents or Docker's; read by others.

use serde_json::Value;

use crate::harness::container::{load, podman, run_once};
use crate::harness::estargz;
use crate::harness::files::example;
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::{Layout, sha256};
use crate::harness::registry::Registry;
use crate::harness::tools::{finish, temporary, tool};

const TABLE: &str = "containerd.io/snapshot/stargz/toc.digest";

/// The media types of a manifest, its config and its layers, each once.
fn media_types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap();
    let mut all: Vec<&str> = [manifest, &manifest["config"]]
        .into_iter()
        .chain(layers)
        .map(|named| named["mediaType"].as_str().unwrap())
        .collect();
    all.dedup();
    all
}

#[test]
fn zstd_layers_hold_what_gzip_layers_hold() {
    let home = Home::seeded();
    let out = temporary();
    let path = |name: &str| out.path().join(name).display().to_string();
    let plain = home.build(&example("script"), &["plain"]);
    let built = finish(
        home.command(&["build", "--compression", "zstd", "-o"])
            .arg(format!("oci:{}", path("layout")))
            .arg("-o")
            .arg(format!("docker-archive:{}", path("docker.tar")))
            .arg(example("script"))
            .arg("small:v1"),
    )
    .ok()
    .says(&["docker before version 23"]);
    let digest = digest_of(built.line());

    let layout = Layout::open(&out.path().join("layout"));
    layout.check(digest);
    assert_eq!(
        media_types(&layout.document(digest)),
        [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ]
    );
    // The same tars, however they are compressed.
    let tars = |digest: &str| home.layout().config(digest)["rootfs"].clone();
    assert_eq!(tars(digest), tars(digest_of(&plain)));
    let text = home.run(&["inspect", "small:v1"]).ok().stdout;
    assert!(text.contains("format: OCI, zstd\n"), "{text}");

    let said = home.run(&["run", "small:v1", "--", "python", "-c", "print('it runs')"]);
    assert_eq!(said.ok().stdout, "it runs\n");
    let copied = format!("oci:{}:copy", path("copied"));
    tool("skopeo", &["copy", &layout.reference(digest), &copied]);
    let name = load(&out.path().join("docker.tar"));
    let said = run_once(&name, 1001, &["python", "-c", "print('it runs')"]).ok();
    assert_eq!(said.stdout, "it runs\n");
    // Somebody else comes to the same bytes.
    let other = Home::seeded();
    let again = other.build(&example("script"), &["small:v1", "--compression", "zstd"]);
    assert_eq!(again, built.line());
}

#[test]
fn estargz_layers_are_read_piece_by_piece_and_whole() {
    let home = Home::seeded();
    let out = temporary();
    let folder = out.path().join("layout");
    let to = format!("oci:{}", folder.display());
    let reference = home.build(&example("numpy"), &["lazy:v1", "--estargz", "-o", &to]);
    let digest = digest_of(&reference);
    let layout = Layout::open(&folder);
    layout.check(digest);
    layout.is_read_by_others(digest);

    let manifest = layout.document(digest);
    let (mut pieces, mut all) = (0, std::collections::BTreeMap::new());
    for layer in manifest["layers"].as_array().unwrap() {
        let blob = layer["digest"].as_str().unwrap();
        let notes = &layer["annotations"];
        let unpacked = layout.tar(blob).len().to_string();
        assert_eq!(
            notes["io.containers.estargz.uncompressed-size"],
            unpacked.as_str()
        );
        let files = estargz::files(&layout.blob(blob), notes[TABLE].as_str().unwrap());
        pieces += files.values().filter(|file| file.chunks > 1).count();
        all.extend(files);
    }
    assert!(pieces > 2, "no file of more than one chunk");
    // The table tells what the tars hold.
    let mut members = layout.members(digest);
    members.remove("stargz.index.json").unwrap();
    assert_eq!(members.len(), all.len());
    for (path, file) in all {
        let member = &members[path.trim_end_matches('/')];
        assert!(member.body == file.body, "{path}");
        assert_eq!(u64::from(member.mode), file.mode, "{path}");
        assert_eq!((member.uid, member.gid), (file.uid, file.gid), "{path}");
        assert_eq!(member.link, file.link, "{path}");
    }

    let bundle = out.path().join("bundle").display().to_string();
    let image = layout.reference(digest);
    let image = image.trim_start_matches("oci:");
    tool("umoci", &["unpack", "--image", image, &bundle]);
    let program = "import numpy; print(int(numpy.arange(4).sum()))";
    let said = run_once(&layout.reference(digest), 1001, &["python", "-c", program]).ok();
    assert_eq!(said.stdout, "6\n");
    let again = home.build(&example("numpy"), &["lazy:v2", "--estargz"]);
    assert_eq!(digest_of(&again), digest);
}

#[test]
fn docker_s_format_is_docker_s_throughout() {
    let home = Home::seeded();
    let registry = Registry::start();
    let name = registry.repository("docker:v1");
    let arguments = [name.as_str(), "--push", "--format", "docker"];
    let reference = home.build(&example("script"), &arguments);
    let bytes = registry.manifest("docker", "v1").unwrap();
    assert_eq!(sha256(&bytes), digest_of(&reference));
    assert_eq!(
        media_types(&serde_json::from_slice(&bytes).unwrap()),
        [
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ]
    );
    let there = format!("docker://{name}");
    let raw = tool(
        "skopeo",
        &["inspect", "--raw", "--tls-verify=false", &there],
    );
    assert_eq!(sha256(raw.as_bytes()), digest_of(&reference));
    finish(podman().args(["pull", "--tls-verify=false", &name])).ok();
    let said = run_once(&name, 1001, &["python", "-c", "print('it runs')"]).ok();
    assert_eq!(said.stdout, "it runs\n");

    // It is the next build's cache all the same.
    home.forget_layers();
    let mut again = home.command(&["build", "--json"]);
    let again = finish(again.arg(example("script")).args(arguments))
        .ok()
        .json();
    assert_eq!(again["digest"], digest_of(&reference));
    let layers = again["platforms"][0]["layers"].as_array().unwrap();
    assert!(
        layers.iter().all(|layer| layer["fate"] == "believed"),
        "{again}"
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    let home = Home::empty();
    for (arguments, texts) in [
        (
            ["--format", "docker", "--compression", "zstd"].as_slice(),
            ["docker", "zstd"],
        ),
        (&["--estargz", "--compression", "zstd"], ["estargz", "zstd"]),
    ] {
        let mut command = home.command(&["build", "."]);
        finish(command.args(arguments)).exits(2).says(&texts);
    }
}
