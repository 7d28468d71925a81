//! A package index behind a password: it works, and the password goes nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::files::{Project, walk};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

const USER: &str = "reader";
const PASSWORD: &str = "s3cr3t-Zq7-never-shown";

fn wheels() -> [Wheel; 2] {
    [
        Wheel::new("inner", "1.0")
            .file("inner.py", "ANSWER = 42\n")
            .requires("deeper"),
        Wheel::new("deeper", "2.0").file("deeper.py", "DEPTH = 2\n"),
    ]
}

/// Fails the test if the password, as it is or in base64, is anywhere the build wrote to.
#[track_caller]
fn is_nowhere(home: &Home, said: &[&Finished]) {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let has = |bytes: &[u8]| {
        [PASSWORD, encoded.as_str()].iter().any(|secret| {
            bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        })
    };
    for finished in said {
        assert!(
            !has(finished.stdout.as_bytes()),
            "{}: stdout",
            finished.command
        );
        assert!(
            !has(finished.stderr.as_bytes()),
            "{}: stderr",
            finished.command
        );
    }
    for file in walk(home.data()) {
        assert!(!has(&fs::read(&file).unwrap()), "{}", file.display());
    }
}

/// Nor in any layer of the image, uncompressed.
#[track_caller]
fn is_not_in(home: &Home, reference: &str) {
    let layout = home.layout();
    let digest = digest_of(reference);
    for (path, member) in layout.members(digest) {
        let found = member
            .body
            .windows(PASSWORD.len())
            .any(|part| part == PASSWORD.as_bytes());
        assert!(!found, "{path}");
    }
    let layers = layout.members(digest);
    let site = "opt/app-root/lib/python3.13/site-packages";
    assert!(layers.contains_key(&format!("{site}/inner.py")));
    assert!(layers.contains_key(&format!("{site}/deeper.py")));
}

#[test]
fn credentials_in_pip_index_url() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), Some((USER, PASSWORD)), Fault::None);
    let url = index.url(Some(&format!("{USER}:{PASSWORD}")));
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "inner\n")]);
    let source = project.path();
    let run = |arguments: &[&str]| {
        finish(
            home.command(arguments)
                .arg(&source)
                .env("PIP_INDEX_URL", &url),
        )
        .ok()
    };
    let planned = run(&["plan", "--json"]);
    let built = run(&["build"]);
    let locked = run(&["lock"]);
    let inspected = home.run(&["images"]).ok();
    is_nowhere(&home, &[&planned, &built, &locked, &inspected]);
    is_not_in(&home, built.line());
    let lock = fs::read_to_string(source.join("pylock.toml")).unwrap();
    assert!(!lock.contains(PASSWORD), "{lock}");
    assert!(index.requests() > 0);
}

#[test]
fn credentials_in_the_requirements_index_url() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), Some((USER, PASSWORD)), Fault::None);
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (
            "requirements.txt",
            // The variable is expanded as pip does it, so that the file itself holds no password.
            &format!(
                "--index-url {}\ninner\n",
                index.url(Some("${INDEX_USER}:${INDEX_PASSWORD}"))
            ),
        ),
    ]);
    let built = finish(
        home.command(&["build"])
            .arg(project.path())
            .arg("x")
            .env("INDEX_USER", USER)
            .env("INDEX_PASSWORD", PASSWORD),
    )
    .ok();
    is_nowhere(&home, &[&built]);
    is_not_in(&home, built.line());
}

#[test]
fn credentials_in_netrc() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), Some((USER, PASSWORD)), Fault::None);
    let netrc = home.home().join(".netrc");
    fs::write(
        &netrc,
        format!("machine 127.0.0.1 login {USER} password {PASSWORD}\n"),
    )
    .unwrap();
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).unwrap();
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "inner\n")]);
    let built = index.build(&home, &project.path()).ok();
    is_nowhere(&home, &[&built]);
    is_not_in(&home, built.line());
}

#[test]
fn an_extra_index_beside_the_first() {
    let home = Home::seeded();
    let [inner, deeper] = wheels();
    let first = Index::serving(&[inner], None, Fault::None);
    let second = Index::serving(&[deeper], Some((USER, PASSWORD)), Fault::None);
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "inner\n")]);
    let built = finish(
        home.command(&["build"])
            .arg(project.path())
            .arg("x")
            .env("PIP_INDEX_URL", first.url(None))
            .env(
                "PIP_EXTRA_INDEX_URL",
                second.url(Some(&format!("{USER}:{PASSWORD}"))),
            ),
    )
    .ok();
    is_nowhere(&home, &[&built]);
    is_not_in(&home, built.line());
}

#[test]
fn a_wrong_password_is_said_without_it() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), Some((USER, "another")), Fault::None);
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "inner\n")]);
    let built = finish(home.command(&["build"]).arg(project.path()).arg("x").env(
        "PIP_INDEX_URL",
        index.url(Some(&format!("{USER}:{PASSWORD}"))),
    ));
    assert!(matches!(built.code, Some(65 | 69)), "{:?}", built.code);
    let built = built.says(&["401"]);
    is_nowhere(&home, &[&built]);
}
