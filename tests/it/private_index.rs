//! A package index behind a password: it works, and the password goes nowhere.

use std::collections::BTreeMap;
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
            .args(["--pass-env", "INDEX_USER", "--pass-env", "INDEX_PASSWORD"])
            .env("INDEX_USER", USER)
            .env("INDEX_PASSWORD", PASSWORD),
    )
    .ok();
    is_nowhere(&home, &[&built]);
    is_not_in(&home, built.line());
}

/// Every place of a project where an address may stand, with a variable in it.
fn asking(address: &str) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let lines = |line: &str| {
        vec![(
            "requirements.txt",
            format!("# none\n{line}\n").replace("URL", address),
        )]
    };
    let source = format!("[[source]]\nname = \"own\"\nurl = \"{address}\"\n");
    vec![
        ("requirements.txt:2", lines("--index-url URL\ninner")),
        ("requirements.txt:2", lines("--extra-index-url URL\ninner")),
        ("requirements.txt:2", lines("--find-links URL\ninner")),
        (
            "requirements.txt:2",
            lines("inner @ URL/inner-1.0-py3-none-any.whl"),
        ),
        ("requirements.txt:2", lines("inner @ git+URL/inner")),
        ("requirements.txt:2", lines("URL/inner-1.0.tar.gz")),
        (
            "Pipfile:3",
            vec![("Pipfile", source + "[packages]\ninner = \"*\"\n")],
        ),
        (
            "pyproject.toml:4",
            vec![(
                "pyproject.toml",
                format!(
                    "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"inner @ {address}/inner-1.0-py3-none-any.whl\"]\n"
                ),
            )],
        ),
        (
            "PIP_INDEX_URL",
            vec![
                (".s2i/environment", format!("PIP_INDEX_URL={address}\n")),
                ("requirements.txt", "inner\n".to_owned()),
            ],
        ),
        (
            "build-system.requires:1",
            vec![
                ("requirements.txt", ".\n".to_owned()),
                (
                    "pyproject.toml",
                    format!(
                        "[build-system]\nrequires = [\"inner @ {address}/inner-1.0-py3-none-any.whl\"]\nbuild-backend = \"inner\"\n"
                    ),
                ),
            ],
        ),
    ]
}

#[test]
fn no_project_reads_a_variable_of_the_caller() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), None, Fault::None);
    let address = format!("{}/${{CI_TOKEN}}/simple", index.root());
    for (place, files) in asking(&address) {
        let mut all = vec![("app.py", "pass\n")];
        all.extend(files.iter().map(|(path, text)| (*path, text.as_str())));
        let project = Project::new(&all);
        let built = finish(
            home.command(&["build"])
                .arg(project.path())
                .env("CI_TOKEN", PASSWORD),
        );
        let built = built
            .exits(65)
            .says(&["CI_TOKEN", "--pass-env CI_TOKEN", place]);
        is_nowhere(&home, &[&built]);
    }
    let asked = index.log();
    assert!(
        !asked.iter().any(|line| line.contains(PASSWORD)),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|line| line.contains("CI_TOKEN")),
        "{asked:?}"
    );
}

#[test]
fn a_token_in_the_path_is_passed_on_and_masked() {
    let home = Home::seeded();
    let mut pages = BTreeMap::new();
    for wheel in wheels() {
        let file = wheel.file_name();
        let link = format!("<!DOCTYPE html><a href=\"../../files/{file}\">{file}</a>");
        let name = wheel.name();
        pages.insert(format!("/{PASSWORD}/simple/{name}/"), link.into_bytes());
        pages.insert(format!("/{PASSWORD}/files/{file}"), wheel.bytes());
    }
    let index = Index::of_pages(pages, None, Fault::None);
    let lines = format!("--index-url {}/${{CI_TOKEN}}/simple\ninner\n", index.root());
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &lines)]);
    let run = |arguments: &[&str]| {
        finish(
            home.command(arguments)
                .arg(project.path())
                .args(["--pass-env", "CI_TOKEN"])
                .env("CI_TOKEN", PASSWORD),
        )
        .ok()
    };
    let locked = run(&["lock"]);
    let lock = fs::read_to_string(project.path().join("pylock.toml")).unwrap();
    assert!(lock.contains("/${CI_TOKEN}/files/inner-1.0"), "{lock}");
    assert!(!lock.contains(PASSWORD), "{lock}");
    let built = run(&["build", "--locked"]);
    is_nowhere(&home, &[&locked, &built]);
    is_not_in(&home, built.line());
    // Without the flag the lock says which variable it wants.
    finish(home.command(&["build", "--locked"]).arg(project.path()))
        .exits(65)
        .says(&["pylock.toml:", "--pass-env CI_TOKEN"]);
    finish(
        home.command(&["build", "--pass-env", "CI_TOKEN"])
            .arg(project.path()),
    )
    .exits(2)
    .says(&["--pass-env CI_TOKEN", "not set"]);
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

#[test]
fn malformed_addresses_show_no_password() {
    let home = Home::seeded();
    for login in [
        "reader:s3cr3t/Zq7-never-shown",
        "reader:s3cr3t?Zq7-never-shown",
        "reader:s3cr3t#Zq7-never-shown",
    ] {
        let address = format!("http://{login}@index.example/simple");
        let lines = format!("--index-url {address}\ninner\n");
        let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &lines)]);
        let of_project = finish(home.command(&["build"]).arg(project.path())).exits(65);
        let of_project = of_project.says(&["requirements.txt:1", "%2F"]);
        let of_caller = finish(
            home.command(&["build"])
                .arg(Project::new(&[("requirements.txt", "inner\n"), ("app.py", "pass\n")]).path())
                .env("PIP_EXTRA_INDEX_URL", &address),
        )
        .exits(65);
        let of_caller = of_caller.says(&["PIP_EXTRA_INDEX_URL", "%2F"]);
        let of_git = home.run(&["build", &format!("http://{login}@git.example/x.git")]);
        let of_git = of_git.exits(2).says(&["http://git.example/x.git", "%2F"]);
        for finished in [&of_project, &of_caller, &of_git] {
            let said = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!said.contains("never-shown"), "{said}");
        }
        for file in walk(home.data()) {
            let bytes = fs::read(&file).unwrap();
            let kept = bytes.windows(11).any(|part| part == b"never-shown");
            assert!(!kept, "{}", file.display());
        }
    }
    let asked = home.run(&[
        "build",
        "https://git.example/x.git?private_token=s3cr3t-Zq7-never-shown",
    ]);
    is_nowhere(&home, &[&asked.exits(2).says(&["https://TOKEN@HOST"])]);
}

#[test]
fn a_login_in_a_requirement_file_is_told_of() {
    let home = Home::seeded();
    let index = Index::serving(&wheels(), Some((USER, PASSWORD)), Fault::None);
    let url = index.url(Some(&format!("{USER}:{PASSWORD}")));
    let lines = format!("# no login\n--index-url {url}\ninner\n");
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &lines)]);
    let built = finish(home.command(&["build"]).arg(project.path())).ok();
    let built = built.says(&["requirements.txt:2 holds a login", "--pass-env"]);
    assert!(!built.stderr.contains(PASSWORD), "{}", built.stderr);
}

#[test]
fn an_index_is_no_file() {
    let home = Home::seeded();
    for lines in [
        "--index-url file:///etc/passwd\ninner\n",
        "--extra-index-url file:/etc\ninner\n",
    ] {
        let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", lines)]);
        finish(home.command(&["build"]).arg(project.path()))
            .exits(65)
            .says(&["requirements.txt:1", "--find-links"]);
    }
}

/// A backend in the project itself, which puts what it is told of proxies into its wheel.
const TELLING_BACKEND: &str = r#"
import os, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "told-1-py3-none-any.whl"
    told = {k: v for k, v in os.environ.items() if "proxy" in k.lower()}
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as z:
        z.writestr("told.py", repr(told))
        z.writestr("told-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: told\nVersion: 1\n")
        z.writestr("told-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("told-1.dist-info/RECORD", "told.py,,\ntold-1.dist-info/METADATA,,\ntold-1.dist-info/WHEEL,,\ntold-1.dist-info/RECORD,,\n")
    return name
"#;

#[test]
fn the_login_of_a_proxy_reaches_no_step() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("requirements.txt", "./lib\n"),
        (
            "lib/pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("lib/backend.py", TELLING_BACKEND),
    ]);
    let built = finish(
        home.command(&["build"])
            .arg(project.path())
            .arg("told")
            .env(
                "HTTP_PROXY",
                format!("http://{USER}:{PASSWORD}@127.0.0.1:9"),
            ),
    )
    .ok();
    let built = built.says(&["the proxy of HTTP_PROXY without its login"]);
    is_nowhere(&home, &[&built]);
    let members = home.layout().members(digest_of(built.line()));
    let told = &members["opt/app-root/lib/python3.13/site-packages/told.py"];
    let told = String::from_utf8_lossy(&told.body);
    assert!(told.contains("http://127.0.0.1:9"), "{told}");
}
