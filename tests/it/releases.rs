//! Which release is taken where wheels and source distributions differ, and what is said of it.

use std::collections::BTreeMap;
use std::io::Write;

use crate::harness::files::{Project, own_builder};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

fn known(version: &str) -> Wheel {
    Wheel::new("known", version).file("known.py", "ANSWER = 42\n")
}

#[track_caller]
fn build(home: &Home, lines: &str, index: &Index, more: &[&str]) -> Finished {
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", lines)]);
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--progress", "plain"])
            .args(more)
            .env("PIP_INDEX_URL", index.url(None)),
    )
}

#[track_caller]
fn has(home: &Home, built: &Finished, distribution: &str) -> bool {
    let site = "opt/app-root/lib/python3.13/site-packages";
    let members = home.layout().members(digest_of(built.line()));
    members.contains_key(&format!("{site}/{distribution}.dist-info/METADATA"))
}

#[test]
fn an_older_wheel_is_told_and_the_newest_is_had_for_the_asking() {
    const TOLD: &str = "known 1.0 is taken; 2.0 has a source distribution only";
    let home = Home::seeded();
    let index = Index::with_sdists(&[known("1.0")], &[Sdist::of(known("2.0"))]);
    let built = build(&home, "known\n", &index, &[])
        .ok()
        .says(&[TOLD, "S2R_PREFER=newest"]);
    assert_eq!(built.stderr.matches(TOLD).count(), 1);
    assert!(has(&home, &built, "known-1.0"));
    let newest = ["-e", "S2R_PREFER=newest"];
    let built = build(&home, "known\n", &index, &newest).ok();
    assert!(has(&home, &built, "known-2.0"));
    for lines in ["--prefer-binary\nknown\n", "known<2\n"] {
        let built = build(&home, lines, &index, &newest).ok();
        assert!(has(&home, &built, "known-1.0"), "{lines}");
    }
    let bounded = build(&home, "known<2\n", &index, &[]).ok();
    assert!(!bounded.stderr.contains("source distribution only"));
    build(&home, "known\n", &index, &["-e", "S2R_PREFER=latest"])
        .exits(65)
        .says(&["S2R_PREFER"]);
}

/// A source distribution that does not build.
fn broken() -> Vec<u8> {
    let files = [
        (
            "pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        ),
        (
            "backend.py",
            "def build_wheel(*arguments):\n    raise SystemExit('this code is of another time')\n",
        ),
    ];
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("known-1.0/{name}"), text.as_bytes())
            .unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_pin_older_than_this_python_names_the_ways_out() {
    let home = Home::seeded();
    let mut pages = BTreeMap::new();
    let mut links = String::new();
    for (name, bytes) in [
        ("known-1.0.tar.gz", broken()),
        (
            "known-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            known("1.0").bytes(),
        ),
        ("known-2.0-py3-none-any.whl", known("2.0").bytes()),
    ] {
        let hash = sha256(&bytes).replace(':', "=");
        links.push_str(&format!("<a href=\"/files/{name}#{hash}\">{name}</a>"));
        pages.insert(format!("/files/{name}"), bytes);
    }
    let page = format!("<html>{links}</html>");
    pages.insert("/simple/known/".to_owned(), page.into_bytes());
    let index = Index::of_pages(pages, None, Fault::None);
    build(&home, "# old\nknown==1.0\n", &index, &[])
        .exits(65)
        .says(&[
            "requirements.txt:2",
            "known==2.0, the first release that has a wheel",
            "--builder python-3.11",
            "of another time",
        ]);
}

#[test]
fn an_index_without_pip_is_no_matter_of_locks() {
    let home = Home::seeded();
    let index = Index::serving(&[known("1.0")], None, Fault::None);
    // Another pip than the one that the store has.
    let builder = own_builder("f3b60b20", "03b60b20");
    let path = builder.path().to_str().unwrap();
    let built = build(&home, "known==1.0\n", &index, &["--builder", path]);
    assert!(!built.stderr.contains("s2r lock"), "{}", built.stderr);
    built
        .exits(69)
        .says(&["pip-", "/simple", "PIP_EXTRA_INDEX_URL"]);
}
