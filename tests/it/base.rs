//! What an image stands on: builder files, archives that lie, the base pinned.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::files::{Project, example};
use crate::harness::home::{Home, blobs, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::finish;

/// The default builder's file with one text replaced, beside a project.
#[track_caller]
fn builder(project: &Project, old: &str, new: &str) -> String {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("builders/python-3.13.yaml");
    let text = fs::read_to_string(text).unwrap();
    assert!(text.contains(old));
    let path = project.path().with_file_name("builder.yaml");
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn ones_own_builder_file() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    let file = builder(
        &project,
        "\nenvironment:\n",
        "\nenvironment:\n  HOUSE_RULE: tea at five\n",
    );
    let reference = home.build(&project.path(), &["x", "--builder", &file]);
    let config = home.layout().config(digest_of(&reference));
    let environment = config["config"]["Env"].as_array().unwrap();
    assert!(environment.contains(&"HOUSE_RULE=tea at five".into()));

    fs::write(&file, "name: broken\nsuite: trixie\n").unwrap();
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--builder", &file]),
    )
    .exits(65)
    .says(&[&file, "suite"]);
}

#[test]
fn the_builder_stands_where_s2i_has_it() {
    let home = Home::seeded();
    let expected = home.build(&example("script"), &["x"]);
    let three = home.build(&example("script"), &["python-3.13", "x"]);
    assert_eq!(three, expected);
}

#[test]
fn the_project_picks_its_python() {
    let home = Home::empty();
    for (name, text) in [
        (".python-version", "3.11\n"),
        ("runtime.txt", "python-3.11.9\n"),
        (
            "pyproject.toml",
            "[project]\nname = \"a\"\nversion = \"1\"\nrequires-python = \"<3.12\"\n",
        ),
    ] {
        let project = Project::new(&[("app.py", "pass\n"), (name, text)]);
        let planned = finish(home.command(&["plan"]).arg(project.path())).ok();
        assert!(planned.stdout.contains("python-3.11"), "{}", planned.stdout);
        assert!(planned.stdout.contains(name), "{}", planned.stdout);
    }
}

#[test]
fn an_archive_that_lies_is_not_believed() {
    let login_page = b"<html>Welcome to the hotel. Please log in.</html>".to_vec();
    let unsigned = b"Origin: Debian\nSuite: stable\nCodename: trixie\n".to_vec();
    for page in [login_page, unsigned] {
        let pages = BTreeMap::from([("/debian/dists/trixie/InRelease".to_owned(), page)]);
        let archive = Index::of_pages(pages, None, Fault::None);
        let home = Home::empty();
        let project = Project::copy_of("script");
        let mirror = format!("suite: trixie\n  mirror: {}/debian", archive.root());
        let file = builder(&project, "suite: trixie", &mirror);
        finish(
            home.command(&["build"])
                .arg(project.path())
                .args(["x", "--builder", &file]),
        )
        .exits(69)
        .says(&["InRelease", &archive.root()]);
        assert!(blobs(&home).is_empty());
    }
}

#[test]
fn the_base_is_pinned() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let path = project.path().join("s2r.lock");
    let text = fs::read_to_string(&path).unwrap();
    let first = home.build(&project.path(), &["x", "--locked"]);
    home.forget_layers();
    assert_eq!(
        home.build(&project.path(), &["x", "--locked", "--offline"]),
        first
    );
    let inspected = home.run(&["inspect", "x"]).ok().stdout;
    let mut lock: Value = serde_json::from_str(&text).unwrap();
    for packages in lock["packages"].as_object().unwrap().values() {
        for package in packages.as_array().unwrap() {
            let version = package["version"].as_str().unwrap();
            assert!(inspected.contains(version), "{package}\n{inspected}");
        }
    }

    // The archive has other bytes than those that were locked.
    let pages = BTreeMap::from([("/evil.deb".to_owned(), b"!<arch>\n".to_vec())]);
    let archive = Index::of_pages(pages, None, Fault::None);
    let packages = lock["packages"].as_object_mut().unwrap();
    let package = &mut packages.values_mut().next().unwrap()[0];
    package["url"] = format!("{}/evil.deb", archive.root()).into();
    package["sha256"] = "00".repeat(32).into();
    package["size"] = 8.into();
    package.as_object_mut().unwrap().remove("snapshot_url");
    fs::write(&path, lock.to_string()).unwrap();
    home.forget_layers();
    let built = finish(home.command(&["build"]).arg(project.path()).arg("x"));
    assert!(matches!(built.code, Some(65 | 69)), "{:?}", built.code);
    built.says(&["evil.deb", "sha256"]);
    assert!(archive.requests() > 0);
}
