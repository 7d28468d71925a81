//! The builders compiled in, and files that are wrong.

use super::file::MAX_BUILDER_BYTES;
use super::*;
use crate::report::{ErrorClass, Explain as _};

#[test]
fn builders_compiled_in_are_good() {
    for (name, text) in embedded() {
        let builder = BuilderDefinition::from_yaml(text, name).unwrap();
        assert_eq!(&builder.name, name);
        assert_eq!(name.strip_prefix("python-"), Some(builder.python.as_str()));
        assert_eq!(builder.ports, [8080]);
        assert_eq!(builder.platforms.len(), 2);
        assert!(builder.pip.is_some());
        let BaseDefinition::Debian(debian) = builder.base else {
            panic!("{name} stands on packages");
        };
        assert!(debian.updates && debian.security_mirror.is_some());
        assert!(
            debian
                .packages
                .contains(&format!("python{}", builder.python))
        );
    }
}

fn changed(from: &str, to: &str) -> BuilderError {
    let text = EMBEDDED[0].1.replacen(from, to, 1);
    assert_ne!(text, EMBEDDED[0].1, "{from}");
    BuilderDefinition::from_yaml(&text, "mine.yaml").unwrap_err()
}

#[test]
fn wrong_fields_are_named() {
    for (from, to, named) in [
        ("user: ", "usr: ", "usr"),
        ("  suite:", "  sweet:", "sweet"),
        (
            "platforms: [linux/amd64",
            "platforms: [linux/s390x",
            "platforms",
        ),
        ("user: \"1001\"", "user: default", "user"),
        ("python: \"3.13\"", "python: three", "python"),
        ("glibc: \"2.41\"", "glibc: \"2\"", "glibc"),
        ("  suite:", "  mirror: ftp://x\n  suite:", "mirror"),
        ("suite: trixie", "suite: ../trixie", "suite"),
        ("ports: [8080]", "ports: [80800]", "80800"),
        ("sha256: f3", "sha256: zz", "64 hexadecimal digits"),
        ("  version: \"26.3\"\n", "", "version"),
    ] {
        let error = changed(from, to);
        let told = error.to_string();
        assert!(told.contains(named) && told.contains("mine.yaml"), "{told}");
        assert_eq!(error.explain().fate, ErrorClass::Project);
    }
}

#[test]
fn pip_is_a_wheel_or_none() {
    let (head, _) = EMBEDDED[0].1.split_once("pip:\n").unwrap();
    let rest = "user: \"1001\"\nplatforms: [linux/amd64]\n";
    let read =
        |said: &str| BuilderDefinition::from_yaml(&format!("{head}{said}{rest}"), "mine.yaml");
    assert_eq!(read("pip: none\n").unwrap().pip, None);
    for said in ["pip: latest\n", "pip: 26\n", "pip: []\n"] {
        let told = read(said).unwrap_err().to_string();
        assert!(told.contains("`none`, or"), "{told}");
    }
}

#[test]
fn exactly_one_base() {
    let error = changed("debian:\n", "image: registry.example/python:3\ndebian:\n");
    assert_eq!(
        error,
        BuilderError::OneBase {
            origin: "mine.yaml".to_owned()
        }
    );
    let text = "name: a\npython: \"3.12\"\nglibc: \"2.34\"\nimage: registry.example/python:3\nuser: \"1001\"\nplatforms: [linux/amd64]\n";
    let BuilderFile::Image(builder) = BuilderFile::from_yaml(text, "a").unwrap() else {
        panic!("it stands on an image");
    };
    assert_eq!(builder.reference.to_string(), "registry.example/python:3");
    assert_eq!(builder.glibc, Some((2, 34)));
    assert!(BuilderDefinition::from_yaml(text, "a").is_err());
    for (field, line) in [
        ("image", "image: UPPER/x\n"),
        ("interpreter", "image: a/b\ninterpreter: python3\n"),
        ("interpreter", "image: a/b\ninterpreter: /usr/../python3\n"),
        ("build_packages", "image: a/b\nbuild_packages: [gcc]\n"),
    ] {
        let text = format!("name: a\n{line}");
        let error = BuilderFile::from_yaml(&text, "a").unwrap_err();
        assert!(matches!(error, BuilderError::Value { field: named, .. } if named == field));
    }
    let without = text.replace("image: registry.example/python:3\n", "");
    assert!(BuilderDefinition::from_yaml(&without, "a").is_err());
}

#[test]
fn refuses_what_is_no_yaml() {
    for text in ["", "[]", "name: [", "\u{0}"] {
        assert!(BuilderDefinition::from_yaml(text, "x").is_err(), "{text:?}");
    }
    let long = "#".repeat(MAX_BUILDER_BYTES + 1);
    assert!(matches!(
        BuilderDefinition::from_yaml(&long, "x"),
        Err(BuilderError::TooLong { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(
        at in 0..2000_usize, to in "[a-z0-9:&*{}\\[\\]<>!|\\-\n \"'ä]{0,4}",
    ) {
        let whole = EMBEDDED[0].1;
        let at = at % whole.len();
        let (Some(head), Some(tail)) = (whole.get(..at), whole.get(at + 1..)) else {
            return Ok(());
        };
        let _ = BuilderDefinition::from_yaml(&format!("{head}{to}{tail}"), "x");
    }
}
