//! The builders compiled in, and files that are wrong.

use super::document::MAX_BUILDER_BYTES;
use super::*;
use crate::report::{ErrorClass, Explain as _};

#[test]
fn builders_compiled_in_are_good() {
    for builder in embedded() {
        let EmbeddedBuilder { name, python, .. } = *builder;
        assert_eq!(name.strip_prefix("python-"), Some(python));
        let short = python.replace('.', "");
        let tags = format!("builder,python,python{short},python-{short},rh-python{short}");
        match builder.read().unwrap() {
            BuilderFile::Whole(definition) => {
                assert_eq!(definition.labels["io.openshift.tags"], tags);
                assert_eq!(
                    (definition.name.as_str(), definition.python.as_str()),
                    (name, python)
                );
                assert_eq!(definition.ports, [8080]);
                assert_eq!(definition.platforms.len(), 2);
                assert!(definition.pip.is_some());
                let BaseDefinition::Debian(debian) = &definition.base else {
                    panic!("{name} stands on packages");
                };
                assert!(debian.updates && debian.security_mirror.is_some());
                assert!(debian.packages.contains(&format!("python{python}")));
                let libraries = definition.build_packages;
                assert!(libraries.contains(&format!("python{python}-dev")));
            }
            BuilderFile::Image(image) => {
                assert_eq!(image.labels["io.openshift.tags"], tags);
                assert_eq!(
                    (image.name.as_str(), image.python.as_deref()),
                    (name, Some(python))
                );
                let expected = format!("docker.io/library/python:{python}-slim");
                assert_eq!(image.reference.canonical(), expected);
                assert!(image.remark.contains(&format!("python:{python}-slim")));
            }
        }
    }
}

#[test]
fn the_default_is_asked_first_and_then_the_newest() {
    let minors: Vec<u16> = embedded()
        .iter()
        .map(|builder| builder.python[2..].parse().unwrap())
        .collect();
    assert_eq!(embedded()[0].name, crate::plan::DEFAULT_BUILDER);
    assert!(
        minors[1..].is_sorted_by(|first, second| first > second),
        "{minors:?}"
    );
}

#[test]
fn each_python_gets_a_pip_that_runs_there() {
    let version = |python| pip_for(python).map(|pip| pip.version);
    let newest = embedded()[0].definition().unwrap().pip.unwrap().version;
    assert_eq!(version("3.15"), Some(newest.clone()));
    assert_eq!(version("3.10"), Some(newest));
    assert_eq!(version("3.9"), Some("26.0.1".to_owned()));
    assert_eq!(version("3.8"), None);
}

/// Reads the file of a builder that stands on packages.
fn whole(text: &str) -> Result<BuilderDefinition, BuilderError> {
    match BuilderFile::from_yaml(text, "mine.yaml")? {
        BuilderFile::Whole(definition) => Ok(*definition),
        BuilderFile::Image(_) => Err(BuilderError::OtherBase {
            name: "mine.yaml".to_owned(),
        }),
    }
}

fn changed(from: &str, to: &str) -> BuilderError {
    let text = EMBEDDED[0].text.replacen(from, to, 1);
    assert_ne!(text, EMBEDDED[0].text, "{from}");
    whole(&text).unwrap_err()
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
        ("  suite:", "  valid_until: never\n  suite:", "valid_until"),
        ("  suite:", "  snapshot: yesterday\n  suite:", "snapshot"),
        // An archive that has no place for the date has no past.
        (
            "  suite:",
            "  snapshot: 2026-11-01\n  mirror: http://m/debian\n  suite:",
            "http://m/debian",
        ),
        ("ports: [8080]", "ports: [80800]", "80800"),
        ("sha256: f3", "sha256: zz", "64 hexadecimal digits"),
        ("  version: \"26.3\"\n", "", "version"),
    ] {
        let error = changed(from, to);
        let told = error.to_string();
        assert!(told.contains(named) && told.contains("mine.yaml"), "{told}");
        assert_eq!(error.explain().class, ErrorClass::Project);
    }
}

#[test]
fn pip_is_a_wheel_or_none() {
    let (head, _) = EMBEDDED[0].text.split_once("pip:\n").unwrap();
    let rest = "user: \"1001\"\nplatforms: [linux/amd64]\n";
    let read = |said: &str| whole(&format!("{head}{said}{rest}"));
    assert_eq!(read("pip: none\n").unwrap().pip, None);
    for said in ["pip: latest\n", "pip: 26\n", "pip: []\n"] {
        let told = read(said).unwrap_err().to_string();
        assert!(told.contains("`none`, or"), "{told}");
    }
}

#[test]
fn a_snapshots_date_stands_in_the_mirrors() {
    let mirrors = |more: &str| {
        let text = EMBEDDED[0]
            .text
            .replacen("  suite:", &format!("{more}  suite:"), 1);
        let BaseDefinition::Debian(debian) = whole(&text).unwrap().base else {
            panic!("it stands on packages");
        };
        (debian.mirror, debian.security_mirror.unwrap())
    };
    assert_eq!(
        mirrors("  snapshot: 2026-11-01\n"),
        (
            "http://snapshot.debian.org/archive/debian/20261101T000000Z".to_owned(),
            "http://snapshot.debian.org/archive/debian-security/20261101T000000Z".to_owned()
        )
    );
    let own = "  snapshot: 20261101T080000Z\n  mirror: https://m/d/{date}\n  security_mirror: https://m/s/{date}\n";
    assert_eq!(
        mirrors(own),
        (
            "https://m/d/20261101T080000Z".to_owned(),
            "https://m/s/20261101T080000Z".to_owned()
        )
    );
    // An address is where old files are looked for, and no date.
    let usual = mirrors("");
    assert_eq!(mirrors("  snapshot: http://old/{archive}\n"), usual);
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
    assert!(whole(&without).is_err());
}

#[test]
fn refuses_what_is_no_yaml() {
    for text in ["", "[]", "name: [", "\u{0}"] {
        assert!(whole(text).is_err(), "{text:?}");
    }
    let long = "#".repeat(MAX_BUILDER_BYTES + 1);
    assert!(matches!(whole(&long), Err(BuilderError::TooLong { .. })));
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(
        at in 0..2000_usize, to in "[a-z0-9:&*{}\\[\\]<>!|\\-\n \"'ä]{0,4}",
    ) {
        let whole = EMBEDDED[0].text;
        let at = at % whole.len();
        let (Some(head), Some(tail)) = (whole.get(..at), whole.get(at + 1..)) else {
            return Ok(());
        };
        let _ = BuilderFile::from_yaml(&format!("{head}{to}{tail}"), "x");
    }
}

/// Reads a file among others; a path is that of the file which says it, cut at its last slash.
fn read_among(files: &[(&str, &str)]) -> Result<BuilderFile, BuilderError> {
    let text = |path: &str| -> Option<BuilderText> {
        let (origin, text) = files.iter().find(|(name, _)| *name == path)?;
        Some(BuilderText {
            origin: (*origin).to_owned(),
            text: (*text).to_owned(),
        })
    };
    BuilderFile::with_files(text(files[0].0).unwrap(), |file, named| {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(text(&format!("{folder}/{named}")).or_else(|| text(named)))
    })
}

/// Keys of layers and locks are made of what a builder is, so how it is written must not show.
#[test]
fn one_that_extends_is_as_one_that_says_it_all() {
    let whole = EMBEDDED[0]
        .text
        .replace("3.13", "3.14")
        .replace("313", "314")
        .replace("trixie", "forky")
        .replace("debian13", "debian14")
        .replace("\"2.41\"", "\"2.43\"")
        .replace(
            "python:",
            "remark: Debian forky is testing, not a release\npython:",
        );
    let whole = BuilderFile::from_yaml(&whole, "python-3.14").unwrap();
    assert_eq!(
        EmbeddedBuilder::named("python-3.14").unwrap().read(),
        Ok(whole)
    );
    let python39 = EmbeddedBuilder::named("python-3.9").unwrap().read();
    let Ok(BuilderFile::Image(image)) = python39 else {
        panic!("{python39:?}");
    };
    assert!(image.extends.is_empty());
    assert_eq!(image.labels.len(), 6);
    assert_eq!(image.platforms.unwrap().len(), 2);
}

#[test]
fn a_file_says_what_differs() {
    let company =
        "extends: base.yaml\nname: shop\nenvironment: {SHOP: open, ENV: null}\npip: none\n";
    let base = "extends: python-3.13\nremark: the company's\ndebian:\n  mirror: https://m/debian\n  packages: {add: [curl]}\n  security_mirror: null\n";
    let files = [("b/shop.yaml", company), ("b/base.yaml", base)];
    let BuilderFile::Whole(shop) = read_among(&files).unwrap() else {
        panic!("it stands on packages");
    };
    let python = EMBEDDED[0].definition().unwrap();
    assert_eq!(
        (shop.name.as_str(), shop.remark.as_str()),
        ("shop", "the company's")
    );
    assert_eq!(shop.extends, ["b/base.yaml", "python-3.13"]);
    assert_eq!(shop.labels, python.labels);
    assert_eq!(shop.pip, None);
    let mut environment = python.environment.clone();
    environment.remove("ENV").unwrap();
    environment.insert("SHOP".to_owned(), "open".to_owned());
    assert_eq!(shop.environment, environment);
    let (BaseDefinition::Debian(of_shop), BaseDefinition::Debian(of_python)) =
        (&shop.base, &python.base)
    else {
        panic!("they stand on packages");
    };
    assert_eq!(of_shop.mirror, "https://m/debian");
    assert_eq!(of_shop.security_mirror, None);
    assert_eq!(of_shop.suite, of_python.suite);
    let mut packages = of_python.packages.clone();
    packages.push("curl".to_owned());
    packages.sort();
    assert_eq!(of_shop.packages, packages);
}

#[test]
fn what_extends_leads_to_no_builder_is_told_with_its_line() {
    let deep: Vec<(String, String)> = (0..9)
        .map(|at| {
            (
                format!("{at}.yaml"),
                format!("name: x\nextends: {}.yaml\n", at + 1),
            )
        })
        .collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    for (files, told) in [
        (
            &[("a.yaml", "name: a\nextends: python-3.31\n")][..],
            "a.yaml:2: `extends: python-3.31` names no builder",
        ),
        (
            &[("a.yaml", "extends: a.yaml\n")],
            "a.yaml:1: `extends: a.yaml` leads back to a.yaml",
        ),
        (
            &[
                ("a.yaml", "extends: b.yaml\n"),
                ("b.yaml", "\n\nextends: a.yaml\n"),
            ],
            "b.yaml:3: `extends: a.yaml` leads back to a.yaml, then b.yaml",
        ),
        (
            &deep,
            "7.yaml:2: `extends: 8.yaml` is more than 8 files deep",
        ),
        (
            &[("a.yaml", "extends: python-3.13\n")],
            "a.yaml: `name` is missing",
        ),
        (
            &[("a.yaml", "extends: python-3.13\nname: a\nimage: a/b\n")],
            "a.yaml needs one base",
        ),
        (
            &[(
                "a.yaml",
                "extends: python-3.13\nname: a\nlabels: {x: null}\n",
            )],
            "a.yaml: `labels` says `x: null`",
        ),
        (
            &[(
                "a.yaml",
                "extends: python-3.13\nname: a\ndebian: {packages: {remove: [zsh]}}\n",
            )],
            "a.yaml: `debian.packages` says `remove: zsh`",
        ),
        // What is wrong is told of the file that says it.
        (
            &[
                ("a.yaml", "extends: b.yaml\nname: a\n"),
                ("b.yaml", "extends: python-3.13\nuser: root\n"),
            ],
            "b.yaml: `user` cannot be `root`",
        ),
    ] {
        let error = read_among(files).unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
        assert_eq!(error.explain().class, ErrorClass::Project);
    }
}
