//! What may stand in `requirements.txt`.

use std::collections::BTreeMap;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

fn known(version: &str) -> Wheel {
    Wheel::new("known", version).file("known.py", "ANSWER = 42\n")
}

#[track_caller]
fn build(home: &Home, project: &Project, index: &Index) -> Finished {
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--progress", "plain"])
            .env("PIP_INDEX_URL", index.url(None)),
    )
}

/// The distributions in the image's site-packages, pip left out.
#[track_caller]
fn installed(home: &Home, built: &Finished) -> Vec<String> {
    let site = "opt/app-root/lib/python3.13/site-packages/";
    let members = home.layout().members(digest_of(built.line()));
    members
        .keys()
        .filter_map(|path| path.strip_prefix(site)?.strip_suffix(".dist-info"))
        .filter(|name| !name.starts_with("pip-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn other_files_constraints_markers_and_comments() {
    let home = Home::seeded();
    let wheels = [known("1.0"), known("1.5"), known("2.0")];
    let index = Index::serving(&wheels, None, Fault::None);
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (
            "requirements.txt",
            "# what we need\n-r more/base.txt\n-c limits.txt\n\
             windows-only==1.0 ; sys_platform == 'win32'\n",
        ),
        ("more/base.txt", "known \\\n    >=1.0  # at least\n"),
        ("limits.txt", "known<2\nnot-wanted==9\n"),
    ]);
    let built = build(&home, &project, &index).ok();
    assert_eq!(installed(&home, &built), ["known-1.5"]);
}

#[test]
fn hashes_are_held_against_the_files() {
    let home = Home::seeded();
    let wheel = known("1.0");
    let right = sha256(&wheel.bytes());
    let index = Index::serving(&[wheel], None, Fault::None);
    let project = |hash: &str| {
        let text = format!("known==1.0 \\\n    --hash={hash}\n");
        Project::new(&[("app.py", "pass\n"), ("requirements.txt", &text)])
    };
    let built = build(&home, &project(&right), &index).ok();
    assert_eq!(installed(&home, &built), ["known-1.0"]);

    let wrong = sha256(b"another file");
    build(&home, &project(&wrong), &index)
        .exits(65)
        .says(&["known", "hash", "requirements.txt"]);
}

#[test]
fn hashes_are_held_against_files_of_links_too() {
    let home = Home::seeded();
    let wheel = known("1.0");
    let (name, hash) = (wheel.file_name(), sha256(&wheel.bytes()));
    let none = Index::serving(&[], None, Fault::None);
    let page = |mark: &str| {
        let page = format!("<html><a href=\"/{name}{mark}\">{name}</a></html>");
        let pages = [
            ("/links/".to_owned(), page.into_bytes()),
            (format!("/{name}"), wheel.bytes()),
        ];
        Index::of_pages(pages.into(), None, Fault::None)
    };
    let told = page(&format!("#{}", hash.replace(':', "=")));
    let silent = page("");
    let links = |index: &Index| format!("{}/links/", index.root());
    for place in ["wheels".to_owned(), links(&told), links(&silent)] {
        for version in ["==1.0", ">=1.0"] {
            let project = |hash: &str| {
                let text = format!("--find-links {place}\nknown{version} --hash={hash}\n");
                let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &text)]);
                std::fs::create_dir(project.path().join("wheels")).unwrap();
                std::fs::write(project.path().join("wheels").join(&name), wheel.bytes()).unwrap();
                project
            };
            let built = build(&home, &project(&hash), &none).ok();
            assert_eq!(installed(&home, &built), ["known-1.0"], "{place} {version}");
            build(&home, &project(&sha256(b"another file")), &none)
                .exits(65)
                .says(&["known"]);
        }
    }
}

#[test]
fn a_name_is_no_reason() {
    let home = Home::seeded();
    let wheel = |name: &str| Wheel::new(name, "1.0").file("m.py", "pass\n");
    let index = Index::serving(&[wheel("network-authentication")], None, Fault::None);
    let project = |text: &str| Project::new(&[("app.py", "pass\n"), ("requirements.txt", text)]);
    build(&home, &project("network-authentication>=2\n"), &index)
        .exits(65)
        .says(&["network-authentication", "requirements.txt:1"]);
    let failing = Index::serving(&[wheel("known")], None, Fault::Unavailable);
    build(&home, &project("known\n"), &failing).exits(69);
}

#[test]
fn a_source_distribution_that_is_none_is_named() {
    let home = Home::seeded();
    let archive = b"not read".to_vec();
    let link = format!(
        "<!DOCTYPE html><html><body><a href=\"/files/old-1.0.tar.gz#{}\">old-1.0.tar.gz</a></body></html>",
        sha256(&archive).replace(':', "=")
    );
    let pages = BTreeMap::from([
        ("/simple/old/".to_owned(), link.into_bytes()),
        ("/files/old-1.0.tar.gz".to_owned(), archive),
    ]);
    let index = Index::of_pages(pages, None, Fault::None);
    for text in ["old==1.0\n", "old\n"] {
        let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", text)]);
        build(&home, &project, &index).exits(65).says(&[
            "old-1.0.tar.gz",
            "not a gzip file",
            "has wheels",
        ]);
    }
}

#[test]
fn quiet_is_quiet() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    let built =
        finish(
            home.command(&["build"])
                .arg(project.path())
                .args(["x", "--progress", "none"]),
        )
        .ok();
    assert_eq!(built.stderr, "");
    assert_eq!(built.stdout.lines().count(), 1);
}

#[test]
fn sixty_wheels_are_packed_into_few_layers_that_stay() {
    const WHEELS: usize = 60;
    const MAX_LAYERS: usize = 24;
    let home = Home::seeded();
    let wheels: Vec<Wheel> = (0..=WHEELS)
        .map(|number| {
            let name = format!("part{number}");
            Wheel::new(&name, "1.0").file(&format!("{name}.py"), "PART = 1\n")
        })
        .collect();
    let index = Index::serving(&wheels, None, Fault::None);
    let needs = |count: usize| -> String {
        (0..count)
            .map(|number| format!("part{number}==1.0\n"))
            .collect()
    };
    let project = Project::new(&[("app.py", "pass\n")]);
    let layers_with = |count: usize| {
        project.write("requirements.txt", &needs(count));
        let built = build(&home, &project, &index).ok();
        assert_eq!(installed(&home, &built).len(), count);
        home.layout().layers(digest_of(built.line()))
    };
    let before = layers_with(WHEELS);
    assert!(before.len() <= MAX_LAYERS, "{}", before.len());
    let after = layers_with(WHEELS + 1);
    let lost = before.iter().filter(|layer| !after.contains(layer)).count();
    // The new one's group, and the source, which holds requirements.txt.
    assert!(lost <= 2, "{lost} of {} layers changed", before.len());
}
