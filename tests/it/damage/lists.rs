//! The list of the store's images, its copy and the mark of a layout, damaged or lost.

use std::fs;

use super::{HARMS, Harm, files, harm, remake};
use crate::harness::home::Home;

/// Changes a digit of a digest in the list of images: to what is no digit, or to another one.
fn change_digest(home: &Home, digest: &str, bit: u8) {
    let list = home.store().join("index.json");
    let mut text = fs::read(&list).unwrap();
    let place = text
        .windows(digest.len())
        .position(|window| window == digest.as_bytes())
        .unwrap();
    let is_digit = |place: &usize| text[*place].is_ascii_digit();
    let digit = (place + "sha256:".len()..).find(is_digit).unwrap();
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
