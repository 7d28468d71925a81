//! Cut off at any moment, starved of disk, started twice: the store stays sound and the next build succeeds.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::files::{example, walk};
use crate::harness::home::{Home, blobs, digest_of};
use crate::harness::layout::sha256;
use crate::harness::tools::{as_root, finish, temporary, tool};

/// Every file that the store shows under a digest has that digest, and skopeo can read every image in it.
#[track_caller]
fn is_sound(home: &Home) {
    for blob in blobs(home) {
        let name = blob.file_name().unwrap().to_str().unwrap();
        if name.len() == 64 {
            let found = sha256(&fs::read(&blob).unwrap());
            assert_eq!(found, format!("sha256:{name}"), "{}", blob.display());
        }
    }
    if home.store().join("index.json").exists() {
        let layout = home.layout();
        for entry in layout.index()["manifests"].as_array().unwrap() {
            layout.check(entry["digest"].as_str().unwrap());
        }
    }
}

/// Starts building an example, and kills that at once and for good.
fn build_killed_after(home: &Home, name: &str, milliseconds: u64) {
    let mut child = home
        .command(&["build"])
        .arg(example(name))
        .arg("x")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(milliseconds));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_at_any_moment() {
    let expected = {
        let home = Home::seeded();
        home.build(&example("numpy"), &["x"])
    };
    let home = Home::seeded();
    for milliseconds in [5, 20, 60, 120, 250, 500, 900, 1500, 2500] {
        home.forget_layers();
        build_killed_after(&home, "numpy", milliseconds);
        is_sound(&home);
    }
    assert_eq!(home.build(&example("numpy"), &["x"]), expected);
    is_sound(&home);
    let image = home.layout().reference(digest_of(&expected));
    tool("skopeo", &["inspect", &image]);
}

#[test]
fn killed_while_it_downloads() {
    let home = Home::empty();
    for milliseconds in [50, 300, 700] {
        build_killed_after(&home, "script", milliseconds);
        is_sound(&home);
    }
    home.build(&example("script"), &["x"]);
    is_sound(&home);
}

#[test]
fn interrupted_from_the_keyboard() {
    let home = Home::seeded();
    home.forget_layers();
    let mut child = home
        .command(&["build"])
        .arg(example("numpy"))
        .arg("x")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(150));
    tool("kill", &["-INT", &child.id().to_string()]);
    assert!(!child.wait().unwrap().success());
    is_sound(&home);
    home.build(&example("numpy"), &["x"]);
}

#[test]
fn two_builds_of_the_same_thing_at_once() {
    let home = Home::seeded();
    home.forget_layers();
    let start = || {
        home.command(&["build"])
            .arg(example("flask-gunicorn"))
            .arg("x")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()];
    let printed: Vec<String> = both
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(printed[0], printed[1]);
    is_sound(&home);
}

/// A small file system of its own; unmounted with the value.
struct Disk(TempDir);

impl Disk {
    fn of_mebibytes(size: u32) -> Self {
        let dir = temporary();
        let user = rustix::process::getuid().as_raw();
        let options = format!("size={size}m,uid={user}");
        finish(
            as_root("mount")
                .args(["-t", "tmpfs", "-o", &options, "s2r-it"])
                .arg(dir.path()),
        )
        .ok();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        finish(as_root("umount").arg(self.path()));
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_no_halves() {
    for mebibytes in [1, 8, 24, 40] {
        let disk = Disk::of_mebibytes(mebibytes);
        let home = Home::empty().with_data(&disk.path().join("data"));
        finish(home.command(&["build"]).arg(example("script")).arg("x"))
            .exits(69)
            .says(&["no space left", disk.path().to_str().unwrap()]);
        is_sound(&home);
        let images = home.run(&["images"]);
        assert_eq!(images.code, Some(0), "{}", images.stderr);
    }
}

#[test]
fn a_damaged_blob_is_not_used() {
    let home = Home::seeded();
    let reference = home.build(&example("script"), &["x"]);
    let layout = home.layout();
    let layer = layout.layers(digest_of(&reference)).pop().unwrap();
    let path = layout.blob_path(&layer);
    let bytes = fs::read(&path).unwrap();
    // A new file, because the old one may be shared with another test's store.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    home.build(&example("script"), &["x"]);
    is_sound(&home);
}

#[test]
fn leftovers_of_a_killed_build_go_with_prune() {
    let home = Home::seeded();
    home.forget_layers();
    build_killed_after(&home, "numpy", 200);
    let scratch = home.store().join("s2r/tmp");
    for file in walk(&scratch) {
        // Files that a running build may still be writing are left alone, so they must look old.
        tool("touch", &["-d", "3 days ago", file.to_str().unwrap()]);
    }
    home.run(&["cache", "prune"]).ok();
    is_sound(&home);
    assert_eq!(walk(&scratch), Vec::<std::path::PathBuf>::new());
    home.build(&example("numpy"), &["x"]);
}
