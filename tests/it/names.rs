//! Images are reached by name, by name and digest, by digest, and by the first digits of that, whatever is done with
//! them; one that was given no name is called after its folder.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::registry::Registry;
use crate::harness::stored;
use crate::harness::tools::{finish, temporary, tool};

/// `s2r build` of what is on stdin: an image that no folder gives a name.
fn nameless(home: &Home) -> String {
    let project = Project::copy_of("script");
    let tar = home.dir().join("source.tar");
    let mut pack = Command::new("tar");
    pack.arg("-C")
        .arg(project.path())
        .arg("-cf")
        .arg(&tar)
        .arg(".");
    finish(&mut pack).ok();
    let mut build = home.command(&["build", "-"]);
    let built = finish(build.stdin(Stdio::from(File::open(&tar).unwrap()))).ok();
    built.line().to_owned()
}

/// Names of the image of this digest, as `s2r images` lists them.
fn listed(home: &Home, digest: &str) -> Vec<String> {
    let images = home.run(&["images", "--json"]).ok().json();
    let with = images
        .as_array()
        .unwrap()
        .iter()
        .filter(|image| image["digest"] == digest);
    with.map(|image| image["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What a docker archive calls its image.
fn repo_tags(archive: &Path) -> Value {
    let text = tool("tar", &["-xOf", archive.to_str().unwrap(), "manifest.json"]);
    let manifest: Value = serde_json::from_str(&text).unwrap();
    manifest[0]["RepoTags"].clone()
}

#[test]
fn an_image_without_a_name_is_called_after_its_folder() {
    let home = Home::seeded();
    let folder = home.dir().join("My Shop (2)");
    let copy = Project::copy_of("script");
    crate::harness::files::copy(&copy.path(), &folder.join("web"));
    let build = |source: &Path, more: &[&str]| {
        finish(home.command(&["build"]).arg(source).args(more))
            .ok()
            .line()
            .to_owned()
    };
    let of_folder = build(&folder.join("web"), &[]);
    assert!(of_folder.starts_with("web@sha256:"), "{of_folder}");
    let of_context = build(&folder, &["--context-dir", "web"]);
    assert!(of_context.starts_with("web@sha256:"), "{of_context}");
    build(&folder.join("web"), &[]);
    // What it is called is no part of it.
    crate::harness::files::copy(&copy.path(), &folder);
    std::fs::remove_dir_all(folder.join("web")).unwrap();
    let mut here = home.command(&["build"]);
    let here = finish(here.current_dir(&folder)).ok().line().to_owned();
    assert!(here.starts_with("my-shop-2@sha256:"), "{here}");
    assert_eq!(digest_of(&here), digest_of(&of_folder));
    assert_eq!(
        listed(&home, digest_of(&here)),
        ["my-shop-2:latest", "web:latest"]
    );
    home.run(&["build", folder.to_str().unwrap(), "--push"])
        .exits(2)
        .says(&["--push needs an image name"]);
}

#[test]
fn every_command_takes_names_digests_and_short_ids() {
    let home = Home::seeded();
    let registry = Registry::start();
    home.run(&["rm", "script"]).ok();
    let made = home.build(&example("script"), &["app:1"]);
    let digest = digest_of(&made).to_owned();
    let hex = digest.trim_start_matches("sha256:");
    let out = temporary();
    for (number, word) in ["app:1", &made, &digest, hex, &hex[..6]]
        .into_iter()
        .enumerate()
    {
        let seen = home.run(&["inspect", word, "--json"]).ok().json();
        assert_eq!(seen["digest"], digest, "{word}");
        let said = home.run(&["run", word, "--", "echo", "here"]).ok();
        assert_eq!(said.stdout, "here\n", "{word}");
        let archive = out.path().join(format!("{number}.tar"));
        let target = format!("docker-archive:{}", archive.display());
        home.run(&["export", word, &target]).ok();
        let name = if number == 1 { "app:latest" } else { "app:1" };
        assert_eq!(repo_tags(&archive), serde_json::json!([name]), "{word}");
        let to = registry.repository(&format!("app:{number}"));
        let pushed = home.run(&["push", word, &to]).ok();
        assert_eq!(digest_of(pushed.line()), digest, "{word}");
        let tag = format!("rebased:{number}");
        let rebased = home
            .run(&["rebase", word, "--onto", "app:1", "--tag", &tag])
            .ok();
        assert_eq!(digest_of(rebased.line()), digest, "{word}");
        home.run(&["rm", &tag]).ok();
        home.run(&["inspect", word, "--check-base"]).ok();
    }
    for word in [&hex[..5], "abcdef", "sha256:abcdef"] {
        home.run(&["inspect", word]).exits(2).says(&["s2r images"]);
        home.run(&["rm", word]).exits(2);
    }
    home.run(&["rm", &hex[..8]]).ok();
    assert!(listed(&home, &digest).is_empty());
}

#[test]
fn an_image_without_any_name_is_reached_by_its_id() {
    let home = Home::seeded();
    let registry = Registry::start();
    let digest = nameless(&home);
    assert!(digest.starts_with("sha256:"), "{digest}");
    let id = &digest["sha256:".len()..][..12];
    assert_eq!(listed(&home, &digest), ["<none>"]);
    let said = home.run(&["run", &digest, "--", "echo", "here"]).ok();
    assert_eq!(said.stdout, "here\n");
    home.run(&["inspect", id]).ok();
    let archive = home.dir().join("none.tar");
    let target = format!("docker-archive:{}", archive.display());
    home.run(&["export", id, &target]).ok();
    assert_eq!(repo_tags(&archive), serde_json::json!([]));
    home.run(&["push", id]).exits(2).says(&["has no name", id]);
    let to = registry.repository("given:1");
    assert_eq!(digest_of(home.run(&["push", id, &to]).ok().line()), digest);
    home.run(&["rebase", id, "--onto", "python-3.13"])
        .exits(2)
        .says(&["--tag"]);
    let removed = home.run(&["rm", id]).ok();
    assert_eq!(removed.stdout, format!("<none>@{digest}\n"));
    home.run(&["cache", "prune"]).ok();
    let blob = home
        .store()
        .join("blobs/sha256")
        .join(&digest["sha256:".len()..]);
    assert!(!blob.exists());
}

#[test]
fn an_id_of_an_image_with_several_names_removes_none_of_them() {
    let home = stored::home();
    let digest = stored::digest(stored::NAME);
    let index = home.store().join("index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let entries = document["manifests"].as_array_mut().unwrap();
    let mut other = entries
        .iter()
        .find(|entry| entry["digest"] == *digest)
        .unwrap()
        .clone();
    other["annotations"]["org.opencontainers.image.ref.name"] = "docker.io/library/also:2".into();
    entries.push(other);
    std::fs::write(&index, document.to_string()).unwrap();
    let id = &digest["sha256:".len()..][..10];
    home.run(&["rm", id]).exits(2).says(&["also:2", "s2r rm"]);
    home.run(&["rm", &digest])
        .exits(2)
        .says(&["also:2", "s2r rm"]);
    home.run(&["push", id]).exits(2).says(&["also:2"]);
    assert_eq!(listed(&home, &digest).len(), 2);
    // A name with the digest is one of them, and no other.
    home.run(&["rm", &format!("also@{digest}")]).ok();
    assert_eq!(listed(&home, &digest), ["stored:latest"]);
    home.run(&["rm", &format!("other@{digest}")])
        .exits(2)
        .says(&["stored:latest"]);
    home.run(&["rm", id]).ok();
}
