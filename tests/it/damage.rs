//! A store that a disk or a power cut has damaged: each kind of file in it with one byte changed, or cut off. What
//! commands make of it is right, or an error that says what mends it.

mod lists;
mod power_cut;
mod rebased;
mod wheels;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::files::{example, walk};
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::sha256;
use crate::harness::registry::{Registry, get};
use crate::harness::tools::{Finished, finish, temporary};

/// Folders of the store whose files tell by themselves whether they are whole. Their files need not be synced
/// before they are renamed; everything else does.
const CHECKED_WHEN_READ: [&str; 6] = [
    "blobs/sha256/",
    "s2r/downloads/",
    "s2r/layers/",
    "s2r/elsewhere/",
    "s2r/compiled/",
    "s2r/records/",
];

/// What a bad disk does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Changes one bit.
    Flip,
    /// Loses its second half.
    Cut,
}

const HARMS: [Harm; 2] = [Harm::Flip, Harm::Cut];

/// Harms a file. As a new one, because the old one may be shared with another test's store.
fn harm(path: &Path, how: Harm) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        Harm::Flip => {
            // Of a wheel, that is in its directory, where no checksum is.
            let place = bytes.len() - bytes.len() / 50 - 1;
            bytes[place] ^= 0x10;
        }
        Harm::Cut => bytes.truncate(bytes.len() / 2),
    }
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The blobs of an image, its manifest and config among them.
fn blobs_of(home: &Home, digest: &str) -> Vec<String> {
    let layout = home.layout();
    let config = layout.document(digest)["config"]["digest"].clone();
    let mut blobs = layout.layers(digest);
    blobs.push(config.as_str().unwrap().to_owned());
    blobs.push(digest.to_owned());
    blobs
}

fn build(home: &Home, name: &str, more: &[&str]) -> Finished {
    let mut command = home.command(&["build"]);
    finish(command.arg(example("flask-gunicorn")).args(more).arg(name))
}

/// The files of a folder of the store.
fn files(home: &Home, folder: &str) -> Vec<PathBuf> {
    walk(&home.store().join(folder))
}

#[test]
fn a_damaged_part_is_made_again_when_it_is_pushed() {
    let home = Home::seeded();
    let registry = Registry::start();
    let digest = home.build(&example("flask-gunicorn"), &["app"]);
    let count = blobs_of(&home, digest_of(&digest)).len();
    for number in 0..count {
        for how in HARMS {
            // The layers are alike: the first and the last stand for all.
            if number != 0 && number + 3 < count {
                continue;
            }
            // A repository that has nothing yet is sent all of it. Its name is in the config.
            let repository = format!("app{number}-{}", u8::from(how == Harm::Cut));
            let name = registry.repository(&repository);
            let named = build(&home, &name, &[]).ok();
            let digest = digest_of(named.line());
            let blob = blobs_of(&home, digest).swap_remove(number);
            harm(&home.layout().blob_path(&blob), how);
            let built = build(&home, &name, &["--push"]).ok();
            assert_eq!(digest_of(built.line()), digest, "{blob} {how:?}");
            let is_layer = home.layout().layers(digest).contains(&blob);
            if is_layer && how != Harm::Cut {
                built.says(&[&blob, "damaged in the store"]);
            }
            // What the registry has is what was meant.
            assert_eq!(
                sha256(&registry.manifest(&repository, "latest").unwrap()),
                digest
            );
            if blob != digest {
                let path = format!("/v2/{repository}/blobs/{blob}");
                let there = get(registry.port(), &path).unwrap();
                assert_eq!(sha256(&there.body), blob, "{how:?}");
            }
            home.layout().check(digest);
        }
    }
}

#[test]
fn a_damaged_part_is_made_again_when_it_is_written_to_a_file() {
    let home = Home::seeded();
    let digest = home.build(&example("flask-gunicorn"), &["app"]);
    let digest = digest_of(&digest);
    let out = temporary();
    let target = |kind: &str| format!("{kind}:{}", out.path().join(kind).display());
    build(&home, "app", &["-o", &target("oci-archive")]).ok();
    let right = fs::read(out.path().join("oci-archive")).unwrap();
    for blob in home.layout().layers(digest) {
        harm(&home.layout().blob_path(&blob), Harm::Flip);
        for kind in ["oci-archive", "docker-archive", "oci"] {
            let built = build(&home, "app", &["-o", &target(kind)]).ok();
            if kind == "oci-archive" {
                built.says(&[&blob, "damaged in the store"]);
                assert_eq!(fs::read(out.path().join(kind)).unwrap(), right);
            }
        }
    }
    home.layout().check(digest);
}

#[test]
fn a_damaged_image_without_its_source_is_told_and_the_next_build_mends_it() {
    let home = Home::seeded();
    let registry = Registry::start();
    let digest = home.build(&example("flask-gunicorn"), &["app"]);
    let digest = digest_of(&digest);
    let layer = home.layout().layers(digest).pop().unwrap();
    let path = home.layout().blob_path(&layer);
    let archive = home.dir().join("app.tar");
    let target = format!("oci-archive:{}", archive.display());
    // A folder that the layer was unpacked to before is right all the same.
    let forget_root = || {
        let hex = layer.strip_prefix("sha256:").unwrap();
        for root in fs::read_dir(home.store().join("s2r/roots")).unwrap() {
            let root = root.unwrap().path();
            if root.file_name().unwrap().to_str().unwrap().starts_with(hex) {
                fs::remove_dir_all(root).unwrap();
            }
        }
    };
    // A repository that has nothing yet is sent all of it.
    let commands = |number: usize| {
        let name = registry.repository(&format!("app{number}"));
        let split = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        [
            split(format!("push app {name}")),
            split(format!("export app {target}")),
            split("run app -- true".to_owned()),
        ]
    };
    for (number, how) in HARMS.into_iter().enumerate() {
        for command in &commands(number) {
            forget_root();
            harm(&path, how);
            home.run(command).exits(69).says(&["s2r build"]);
            assert!(!archive.exists(), "{command:?}");
            build(&home, "app", &[]).ok();
            home.layout().check(digest);
            finish(home.command(command).stdin(Stdio::null())).ok();
            let _ = fs::remove_file(&archive);
        }
    }
    for blob in blobs_of(&home, digest).into_iter().rev().take(2) {
        for how in HARMS {
            for command in &commands(2) {
                harm(&home.layout().blob_path(&blob), how);
                home.run(command).exits(69).says(&["s2r build"]);
                home.run(&["images"]).ok();
                build(&home, "app", &[]).ok();
                home.layout().check(digest);
            }
        }
    }
}

/// Has the image, and gives its digest.
fn remake(home: &Home) -> String {
    let built = build(home, "app", &[]).ok();
    digest_of(built.line()).to_owned()
}

/// Has all images again that the store has from the beginning.
fn build_all(home: &Home) {
    for name in ["flask-gunicorn", "numpy", "script", "shell", "app-module"] {
        home.build(&example(name), &[name]);
    }
}

#[test]
fn whatever_is_damaged_the_image_is_right() {
    let home = Home::seeded();
    let expected = remake(&home);
    for folder in CHECKED_WHEN_READ {
        let mut harmed: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for how in HARMS {
            if folder == "s2r/downloads/" {
                // Layers are made of them anew, byte code of what was compiled.
                home.run(&["rm", "app"]).ok();
                home.run(&["cache", "prune"]).ok();
            }
            // Of downloads the smaller ones, which are the wheels: what is damaged is fetched again.
            let is_harmed = |path: &PathBuf| {
                let length = path.metadata().unwrap().len();
                length > 0 && (folder != "s2r/downloads/" || length < 1 << 20)
            };
            for path in files(&home, folder).into_iter().filter(is_harmed).take(8) {
                harm(&path, how);
                harmed.push((path.clone(), fs::read(&path).unwrap()));
            }
            if folder == "blobs/sha256/" {
                // Layers are not read by a build that sends them nowhere.
                home.run(&["cache", "verify"]).exits(69);
            }
            assert_eq!(remake(&home), expected, "{folder} {how:?}");
        }
        // What the builds had no use for.
        let is_left = harmed
            .iter()
            .any(|(path, bytes)| fs::read(path).ok().as_ref() == Some(bytes));
        let is_hit = home.layout().index()["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .any(|image| {
                let blobs = blobs_of(&home, image["digest"].as_str().unwrap());
                blobs
                    .iter()
                    .any(|blob| !home.layout().blob_path(blob).exists())
            });
        let code = if is_left || is_hit { 69 } else { 0 };
        home.run(&["cache", "verify"]).exits(code);
        build_all(&home);
        assert_eq!(remake(&home), expected, "{folder}");
        home.layout().check(&expected);
        home.run(&["cache", "verify"]).ok();
    }
}

#[test]
fn the_store_is_verified_when_that_is_asked_for() {
    let home = Home::seeded();
    let expected = remake(&home);
    home.run(&["cache", "verify"]).ok();
    for folder in CHECKED_WHEN_READ {
        for how in HARMS {
            let Some(path) = files(&home, folder).pop() else {
                continue;
            };
            harm(&path, how);
            let shown = path.strip_prefix(home.store()).unwrap().to_str().unwrap();
            let found = home.run(&["cache", "verify", "--json"]).exits(69);
            let json = found.json();
            let damaged = json["damaged"].as_array().unwrap();
            assert_eq!(damaged.len(), 1, "{json}");
            assert!(
                damaged[0]["path"].as_str().unwrap().ends_with(shown),
                "{json}"
            );
            assert!(!path.exists());
            // A part of an image that is missing is told until it is there again.
            let again = home.run(&["cache", "verify"]);
            let is_part = folder == "blobs/sha256/";
            assert!(again.code == Some(0) || is_part, "{}", again.stderr);
            build_all(&home);
            assert_eq!(remake(&home), expected);
            let said = home.run(&["cache", "verify"]).ok().stdout;
            assert!(said.contains("files read"), "{said}");
        }
    }
}

#[test]
fn the_images_that_are_hit_are_named() {
    let home = Home::seeded();
    let digest = remake(&home);
    let layer = home.layout().layers(&digest).pop().unwrap();
    harm(&home.layout().blob_path(&layer), Harm::Flip);
    let found = home.run(&["cache", "verify"]).exits(69);
    let hex = layer.strip_prefix("sha256:").unwrap();
    let line = found.stdout.lines().find(|line| line.contains(hex));
    let line = line.unwrap_or_default().to_owned();
    assert!(
        line.starts_with("dropped: blobs/") && line.contains("app"),
        "{line}"
    );
    found.says(&["the store was damaged", "s2r build SOURCE IMAGE", "app"]);
    // With a damaged manifest nothing tells what the image needs.
    remake(&home);
    harm(&home.layout().blob_path(&digest), Harm::Flip);
    let listed = home.run(&["images"]).ok().stdout;
    assert!(listed.contains("damaged"), "{listed}");
    home.run(&["cache", "prune"])
        .ok()
        .says(&["app", "damaged", "s2r build"]);
    assert!(!home.run(&["images"]).ok().stdout.contains("damaged"));
    assert_eq!(remake(&home), digest);
}

#[test]
fn a_build_that_asks_anew_reads_what_it_uses_again() {
    let home = Home::seeded();
    let digest = remake(&home);
    let layer = home.layout().layers(&digest).pop().unwrap();
    harm(&home.layout().blob_path(&layer), Harm::Flip);
    build(&home, "app", &["--refresh"])
        .ok()
        .says(&[&layer, "damaged in the store"]);
    home.layout().check(&digest);
}

#[test]
fn the_store_is_verified_while_builds_go_on() {
    let home = Home::seeded();
    let expected = remake(&home);
    for _ in 0..3 {
        let layer = home.layout().layers(&expected).pop().unwrap();
        harm(&home.layout().blob_path(&layer), Harm::Flip);
        let mut command = home.command(&["build"]);
        let archive = format!("oci-archive:{}", home.dir().join("app.tar").display());
        command.arg(example("flask-gunicorn"));
        command.args(["app", "-o", &archive]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let build = command.spawn().unwrap();
        let verified = home.run(&["cache", "verify"]);
        let built = build.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        // Whoever comes first notices it.
        if verified.code == Some(0) {
            assert!(said.contains(&format!("{layer} was damaged")), "{said}");
        } else {
            let hex = layer.strip_prefix("sha256:").unwrap();
            let verified = verified.exits(69);
            assert!(verified.stdout.contains(hex), "{}", verified.stdout);
        }
        home.layout().check(&expected);
    }
}
