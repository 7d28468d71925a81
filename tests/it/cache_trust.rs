//! Who may write to a cache image, or to a project's locks, runs no program on the machine that builds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::registry::Registry;
use crate::harness::tampered;
use crate::harness::tools::{Finished, finish};

/// The programs that s2r calls to make byte code, as they lie in the interpreter's layer.
const LOADER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
const PYTHON: &str = "usr/bin/python3.13";

/// A program that leaves a file behind, and works as little as it can.
fn marking(marker: &Path) -> Vec<u8> {
    format!("#!/bin/sh\n: > {}\nexit 1\n", marker.display()).into_bytes()
}

#[track_caller]
fn build(home: &Home, project: &Project, more: &[&str]) -> Finished {
    let mut command = home.command(&["build", "--json"]);
    finish(command.arg(project.path()).args(more)).ok()
}

/// What became of the layer whose contents begin so.
fn fate<'a>(summary: &'a Value, contents: &str) -> &'a str {
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    let is_it = |layer: &&Value| layer["contents"].as_str().unwrap().starts_with(contents);
    layers.iter().find(is_it).unwrap()["fate"].as_str().unwrap()
}

/// A locked project whose image in a registry has a hostile interpreter.
struct Attacked {
    project: Project,
    registry: Registry,
    image: String,
    marker: tempfile::TempDir,
}

impl Attacked {
    fn new() -> Self {
        let (home, registry) = (Home::seeded(), Registry::start());
        let image = registry.repository("attacked");
        let project = Project::copy_of("flask-gunicorn");
        finish(home.command(&["lock"]).arg(project.path())).ok();
        build(&home, &project, &[&image, "--push"]);
        let marker = tempfile::tempdir().unwrap();
        let hostile = marking(&marker.path().join("here"));
        tampered::replace(
            &image,
            "Debian trixie: interpreter",
            &[(LOADER, &hostile), (PYTHON, &hostile)],
        );
        Self {
            project,
            registry,
            image,
            marker,
        }
    }

    /// Changes the application, so that something is to be compiled.
    fn edit(&self, number: usize) {
        let text = format!("application = lambda environ, start: [b'edit {number}']\n");
        self.project.write("wsgi.py", &text);
    }

    #[track_caller]
    fn has_run_nothing(&self) {
        assert!(
            !self.marker.path().join("here").exists(),
            "the attacker's program has run on this machine"
        );
    }
}

#[test]
fn a_hostile_interpreter_of_a_cache_image_is_not_executed() {
    let attacked = Attacked::new();
    let other = attacked.registry.repository("other");
    for (number, more) in [
        [attacked.image.as_str(), "--push", "--bytecode", "all"].as_slice(),
        &[&other, "--push", "--cache-from", &attacked.image],
        &["x", "--cache-from", &attacked.image],
    ]
    .into_iter()
    .enumerate()
    {
        attacked.edit(number);
        let empty = Home::empty();
        let said = build(&empty, &attacked.project, more);
        attacked.has_run_nothing();
        let summary = said.json();
        assert_eq!(summary["platforms"][0]["bytecode"]["compiled_files"], 1);
        // The layer is in the image, and that is told.
        let interpreter = "Debian trixie: interpreter";
        assert_eq!(fate(&summary, interpreter), "believed");
    }
}

#[test]
fn no_step_runs_upon_a_changed_base_of_a_cache_image() {
    let (home, registry) = (Home::seeded(), Registry::start());
    let image = registry.repository("stepping");
    let project = Project::copy_of("poetry-src-layout");
    build(&home, &project, &[&image, "--push"]);
    project.write("README.md", "another wheel\n");
    let (honest, victim) = (Home::seeded(), Home::seeded());
    let right = build(&honest, &project, &["x", "--no-cache"]).json();
    tampered::replace(
        &image,
        "Debian trixie: interpreter",
        &[(PYTHON, b"#!/bin/sh\necho the attacker was here\nexit 1\n")],
    );
    victim.forget_layers();
    let said = build(&victim, &project, &["x", "--cache-from", &image]);
    let said = said.says(&["no use as a cache", "Debian trixie: interpreter"]);
    assert!(
        !said.stderr.contains("attacker was here"),
        "{}",
        said.stderr
    );
    assert_eq!(said.json()["digest"], right["digest"]);
}

#[test]
fn a_cache_image_is_verified_when_that_is_asked_for() {
    let (home, registry) = (Home::seeded(), Registry::start());
    let image = registry.repository("verified");
    let project = Project::copy_of("flask-gunicorn");
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let built = build(&home, &project, &[&image, "--push"]).json();
    let verify = |home: &Home| {
        let mut command =
            home.command(&["build", "--json", "--verify-cache", "--cache-from", &image]);
        finish(command.arg(project.path()).arg("x"))
    };
    let machine = Home::seeded();
    machine.forget_layers();
    let good = verify(&machine).ok().json();
    let layers = good["platforms"][0]["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["fate"] == "made"), "{good}");

    let layers = built["platforms"][0]["layers"].as_array().unwrap();
    let mut contents = layers
        .iter()
        .map(|layer| layer["contents"].as_str().unwrap());
    let contents = contents
        .find(|contents| contents.contains("flask=="))
        .unwrap();
    let flask = "opt/app-root/lib/python3.13/site-packages/flask/app.py";
    tampered::replace(&image, contents, &[(flask, b"import os\n")]);
    let machine = Home::seeded();
    machine.forget_layers();
    verify(&machine)
        .exits(69)
        .says(&[contents, flask, "--no-cache"]);
}

#[test]
fn an_interpreter_that_only_the_project_vouches_for_is_not_executed() {
    let home = Home::seeded();
    let project = Project::copy_of("flask-gunicorn");
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("here");
    let hostile = marking(&marker);
    let deb = deb(&[(LOADER, &hostile)]);
    let page = BTreeMap::from([("/hostile.deb".to_owned(), deb.clone())]);
    let server = Index::of_pages(page, None, Fault::None);
    let lock = project.path().join("s2r.lock");
    let mut text: Value = serde_json::from_slice(&fs::read(&lock).unwrap()).unwrap();
    let packages = text["packages"]["amd64"].as_array_mut().unwrap();
    let libc = packages.iter_mut().find(|one| one["package"] == "libc6");
    let libc = libc.unwrap();
    libc["url"] = json!(format!("{}/hostile.deb", root_of(&server.url(None))));
    let digest = sha256(&deb);
    libc["sha256"] = json!(digest.strip_prefix("sha256:").unwrap());
    libc["size"] = json!(deb.len());
    fs::write(&lock, serde_json::to_vec(&text).unwrap()).unwrap();
    project.write(
        "wsgi.py",
        "application = lambda environ, start: [b'edited']\n",
    );
    for more in [["x"].as_slice(), &["x", "--locked"]] {
        let reference = home.build(&project.path(), more);
        assert!(!marker.exists(), "the project's program has run here");
        // The image is the project's own, and has what it asks for.
        let members = home.layout().members(digest_of(&reference));
        assert_eq!(members[LOADER].body, hostile);
        assert!(members.contains_key("opt/app-root/src/__pycache__/wsgi.cpython-313.pyc"));
    }
}

/// An address without its path.
fn root_of(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

/// A Debian package with these files (deb(5)).
fn deb(files: &[(&str, &[u8])]) -> Vec<u8> {
    let tar = |files: &[(&str, &[u8])]| {
        let gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, format!("./{path}"), *bytes)
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    };
    let control = b"Package: libc6\nVersion: 9\nArchitecture: amd64\n";
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, body) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", tar(&[("control", control)])),
        ("data.tar.gz", tar(files)),
    ] {
        let size = body.len();
        bytes.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
                0, 0, 0, "100644"
            )
            .bytes(),
        );
        bytes.extend(&body);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}
