//! Locks of other tools: images of what they list, and of nothing else.

use std::fmt::Write as _;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

const SITE: &str = "opt/app-root/lib/python3.13/site-packages/";
const PYPROJECT: &str = "[project]\nname = 'shop'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['first']\n[project.optional-dependencies]\nmail = ['third']\n[dependency-groups]\ndev = ['tester']\n";

/// Four packages; the newest `second` is not the locked one.
fn wheels() -> [Wheel; 5] {
    [
        Wheel::new("first", "1.0")
            .requires("second")
            .file("first.py", ""),
        Wheel::new("second", "1.0").file("second.py", "OLD = True\n"),
        Wheel::new("second", "2.0").file("second.py", "OLD = False\n"),
        Wheel::new("third", "1.0").file("third.py", ""),
        Wheel::new("tester", "1.0").file("tester.py", ""),
    ]
}

/// Builds and tells which of the packages are in the image.
fn packages(home: &Home, project: &Project, index: &Index, more: &[&str]) -> String {
    let built = build(home, project, index, more).ok();
    let members = home.layout().members(digest_of(built.line()));
    let second = members.get(&format!("{SITE}second.py"));
    assert_eq!(
        second.map(|one| one.body.as_slice()),
        Some(&b"OLD = True\n"[..])
    );
    ["first", "second", "third", "tester"]
        .into_iter()
        .filter(|name| members.contains_key(&format!("{SITE}{name}.py")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn build(home: &Home, project: &Project, index: &Index, more: &[&str]) -> Finished {
    finish(
        home.command(&["build"])
            .arg(project.path())
            .arg("shop")
            .args(more)
            .env("PIP_INDEX_URL", index.url(None)),
    )
}

/// A lock as uv writes it, of these wheels.
fn uv_lock(index: &Index) -> String {
    let mut lock = String::from("version = 1\nrevision = 3\nrequires-python = \">=3.11\"\n");
    for wheel in wheels()
        .iter()
        .filter(|wheel| !wheel.file_name().contains("2.0"))
    {
        let name = wheel.name();
        let needs = if name == "first" {
            "dependencies = [{ name = \"second\" }]\n"
        } else {
            ""
        };
        write!(
            lock,
            "\n[[package]]\nname = \"{name}\"\nversion = \"1.0\"\nsource = {{ registry = \"{}\" }}\n{needs}wheels = [\n    {{ url = \"{}/files/{}\", hash = \"{}\" }},\n]\n",
            index.url(None),
            index.root(),
            wheel.file_name(),
            sha256(&wheel.bytes()),
        )
        .unwrap();
    }
    lock.push_str(
        "\n[[package]]\nname = \"shop\"\nversion = \"1\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"first\" }]\n[package.optional-dependencies]\nmail = [{ name = \"third\" }]\n[package.dev-dependencies]\ndev = [{ name = \"tester\" }]\n[package.metadata]\nrequires-dist = [{ name = \"first\" }, { name = \"third\", marker = \"extra == 'mail'\" }]\nprovides-extras = [\"mail\"]\n[package.metadata.requires-dev]\ndev = [{ name = \"tester\" }]\n",
    );
    lock
}

#[test]
fn uv_lock_is_what_goes_in() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), None, Fault::None);
    let lock = uv_lock(&index);
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("pyproject.toml", PYPROJECT),
        ("uv.lock", &lock),
    ]);
    assert_eq!(packages(&home, &project, &index, &[]), "first second");
    let more = ["-e", "S2R_EXTRAS=mail", "-e", "S2R_GROUPS=dev"];
    let all = packages(&home, &project, &index, &more);
    assert_eq!(all, "first second third tester");
    build(&home, &project, &index, &["-e", "S2R_GROUPS=frob"])
        .exits(65)
        .says(&["uv.lock", "no group frob", "dev"]);
    project.write(
        "pyproject.toml",
        &PYPROJECT.replace("'first'", "'first>=1'"),
    );
    build(&home, &project, &index, &[])
        .exits(65)
        .says(&["uv.lock is older than pyproject.toml", "uv lock"]);
}

#[test]
fn pipfile_lock_is_what_goes_in() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), None, Fault::None);
    let url = index.url(None);
    let pipfile = format!(
        "[[source]]\nname = 'own'\nurl = '{url}'\nverify_ssl = true\n[packages]\nfirst = '*'\n[dev-packages]\ntester = '*'\n"
    );
    let of = format!(
        r#"{{"_meta":{{"requires":{{}},"sources":[{{"name":"own","url":"{url}","verify_ssl":true}}]}},"default":{{"first":"*"}},"develop":{{"tester":"*"}}}}"#
    );
    let entry = |name: &str| {
        let wheel = wheels()
            .into_iter()
            .find(|wheel| wheel.name() == name)
            .unwrap();
        let hash = sha256(&wheel.bytes());
        format!(r#""{name}": {{"version": "==1.0", "hashes": ["{hash}"]}}"#)
    };
    let lock = format!(
        r#"{{"_meta": {{"hash": {{"sha256": "{}"}}, "sources": [{{"name": "own", "url": "{url}"}}]}}, "default": {{{}, {}}}, "develop": {{{}}}}}"#,
        sha256(of.as_bytes()).trim_start_matches("sha256:"),
        entry("first"),
        entry("second"),
        entry("tester"),
    );
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("Pipfile", &pipfile),
        ("Pipfile.lock", &lock),
    ]);
    assert_eq!(packages(&home, &project, &index, &[]), "first second");
    let more = ["-e", "S2R_GROUPS=dev"];
    assert_eq!(
        packages(&home, &project, &index, &more),
        "first second tester"
    );
    project.write("Pipfile", &pipfile.replace("first = '*'", "first = '==1'"));
    build(&home, &project, &index, &[])
        .exits(65)
        .says(&["Pipfile.lock is older than Pipfile", "pipenv lock"]);
}
