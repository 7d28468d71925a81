//! The list of the store's images, its copy and the mark of a layout, damaged or lost.

use std::fs;

use serde_json::{Value, json};

use super::{HARMS, Harm, files, harm, remake};
use crate::harness::home::Home;
use crate::harness::layout::sha256;
use crate::harness::stored;

/// Changes a digit of a digest in the list of images: to what is no digit, or to another one.
fn change_digest(home: &Home, digest: &str, bit: u8) {
    let list = home.store().join("index.json");
    let mut text = fs::read(&list).unwrap();
    let place = text
        .windows(digest.len())
        .position(|window| window == digest.as_bytes())
        .unwrap();
    let is_digit = |place: &usize| text[*place].is_ascii_digit();
    let digit = (place + "sha256:".len()..text.len())
        .find(is_digit)
        .unwrap();
    text[digit] ^= bit;
    // As a new one, because the old one may be shared with another test's store.
    fs::remove_file(&list).unwrap();
    fs::write(&list, text).unwrap();
}

#[test]
fn the_list_of_images_comes_back() {
    let home = Home::seeded();
    let expected = remake(&home);
    let before = home.run(&["images"]).ok().stdout;
    let list = home.store().join("index.json");
    let verify = || {
        home.run(&["cache", "verify"])
            .exits(69)
            .says(&["the store was damaged"]);
        home.run(&["cache", "verify"]).ok();
    };
    let is_right = |how: &str| {
        assert_eq!(home.run(&["images"]).ok().stdout, before, "{how}");
        assert_eq!(remake(&home), expected, "{how}");
    };
    for verifies in [true, false] {
        for how in ["cut", "no digest", "missing"] {
            match how {
                "cut" => harm(&list, Harm::Cut),
                "no digest" => change_digest(&home, &expected, 0x10),
                _ => fs::remove_file(&list).unwrap(),
            }
            if verifies {
                verify();
            }
            is_right(how);
        }
    }
    // Nothing but a look at all of it tells that there is no such image.
    change_digest(&home, &expected, 1);
    verify();
    is_right("another digest");
    home.run(&["rm", "shell"]).ok();
    home.layout().check(&expected);
    harm(&home.store().join("oci-layout"), Harm::Flip);
    verify();
}

#[test]
fn without_a_list_of_images_nothing_is_removed() {
    let home = Home::seeded();
    remake(&home);
    home.run(&["cache", "verify"]).ok();
    let (list, copy) = (
        home.store().join("index.json"),
        home.store().join("s2r/images"),
    );
    let right = fs::read(&list).unwrap();
    let before = (files(&home, "blobs"), home.run(&["images"]).ok().stdout);
    for how in HARMS {
        harm(&list, Harm::Cut);
        harm(&copy, how);
        for command in [
            &["cache", "prune"][..],
            &["cache", "prune", "--all"],
            &["cache", "verify"],
            &["images"],
        ] {
            let found = home.run(command).exits(69);
            let found = found.says(&["index.json", "from a backup", "rm -r"]);
            assert!(!found.stdout.contains("restored"), "{}", found.stdout);
        }
        assert_eq!(files(&home, "blobs"), before.0);
        fs::write(&list, &right).unwrap();
        // The list is right, and its copy is not.
        let found = home.run(&["cache", "verify"]).exits(69);
        assert!(
            found.stdout.contains("restored: s2r/images\n"),
            "{}",
            found.stdout
        );
        home.run(&["cache", "verify"]).ok();
        assert_eq!(home.run(&["images"]).ok().stdout, before.1);
    }
}

#[test]
fn an_index_that_another_tool_has_nested_stays() {
    let home = stored::home();
    let (list, blobs) = (
        home.store().join("index.json"),
        home.store().join("blobs/sha256"),
    );
    let mut index: Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    let name = "org.opencontainers.image.ref.name";
    let entries = index["manifests"].as_array_mut().unwrap();
    let mut inner = stored::digest(stored::INDEX);
    entries.retain(|entry| entry["digest"] == *inner);
    for _ in 0..2 {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let entry = json!({"mediaType": media_type, "digest": inner, "size": 7});
        let document = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        inner = sha256(document.as_bytes());
        fs::write(
            blobs.join(inner.strip_prefix("sha256:").unwrap()),
            &document,
        )
        .unwrap();
        entries[0] = json!({"mediaType": media_type, "digest": inner, "size": document.len(), "annotations": {name: "nested:1"}});
    }
    fs::remove_file(&list).unwrap();
    fs::write(&list, index.to_string()).unwrap();
    // What the other images of the store needed goes, and what is nested does not.
    home.run(&["cache", "prune"]).ok();
    let left = files(&home, "blobs");
    let layers = stored::layers(stored::NAME);
    for digest in layers
        .iter()
        .chain([&inner, &stored::digest(stored::INDEX)])
    {
        assert!(
            blobs.join(digest.strip_prefix("sha256:").unwrap()).exists(),
            "{digest}"
        );
    }
    home.run(&["cache", "verify"]).ok();
    home.run(&["cache", "prune"]).ok();
    assert_eq!(files(&home, "blobs"), left);
    let listed = home.run(&["images"]).ok().stdout;
    assert!(
        listed.contains("nested") && listed.contains("does not know"),
        "{listed}"
    );
}
