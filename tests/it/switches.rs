//! Switches of pip and settings of uv: followed, told of, or the end of the build; never passed over.

use std::collections::BTreeMap;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

fn known(version: &str) -> Wheel {
    Wheel::new("known", version).file("known.py", "ANSWER = 42\n")
}

/// An index that tells when its files were uploaded: `known` 1.0 in 2020, 2.0 in 2024.
fn dated() -> Index {
    let mut pages = BTreeMap::new();
    let mut files = Vec::new();
    for (version, year) in [("1.0", 2020), ("2.0", 2024)] {
        let wheel = known(version);
        let (name, bytes) = (wheel.file_name(), wheel.bytes());
        files.push(serde_json::json!({
            "filename": name,
            "url": format!("/files/{name}"),
            "hashes": {"sha256": sha256(&bytes).trim_start_matches("sha256:")},
            "upload-time": format!("{year}-06-01T12:00:00.000000Z"),
        }));
        pages.insert(format!("/files/{name}"), bytes);
    }
    let page = serde_json::json!({"meta": {"api-version": "1.1"}, "name": "known", "files": files});
    pages.insert("/simple/known/".to_owned(), page.to_string().into_bytes());
    Index::of_pages(pages, None, Fault::None)
}

#[track_caller]
fn build(home: &Home, project: &Project, index: &Index, variables: &[(&str, &str)]) -> Finished {
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--progress", "plain"])
            .env("PIP_INDEX_URL", index.url(None))
            .envs(variables.iter().copied()),
    )
}

#[track_caller]
fn build_with(home: &Home, project: &Project, index: &Index, options: &[&str]) -> Finished {
    finish(
        home.command(&["build"])
            .args(options)
            .arg(project.path())
            .args(["x", "--progress", "plain"])
            .env("PIP_INDEX_URL", index.url(None)),
    )
}

#[track_caller]
fn has(home: &Home, built: &Finished, distribution: &str) -> bool {
    let site = "opt/app-root/lib/python3.13/site-packages";
    let members = home.layout().members(digest_of(built.line()));
    members.contains_key(&format!("{site}/{distribution}.dist-info/METADATA"))
}

fn requirements(text: &str) -> Project {
    Project::new(&[("app.py", "pass\n"), ("requirements.txt", text)])
}

fn pyproject(settings: &str) -> Project {
    let text = format!(
        "[project]\nname = \"shop\"\nversion = \"0.1.0\"\nrequires-python = \">=3.11\"\ndependencies = [\"known\"]\n{settings}"
    );
    Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)])
}

#[test]
fn switches_that_protect_are_followed_or_stop() {
    let home = Home::seeded();
    let plain = Index::serving(&[known("1.0")], None, Fault::None);
    let project = requirements("known==1.0\n");
    for (name, value) in [
        ("PIP_ONLY_FINAL", ":all:"),
        ("PIP_REQUIREMENT", "more.txt"),
        ("UV_OVERRIDE", "over.txt"),
        ("PIP_UPLOADED_PRIOR_TO", "P7D"),
    ] {
        build(&home, &project, &plain, &[(name, value)])
            .exits(65)
            .says(&[name]);
    }
    build(&home, &project, &plain, &[("PIP_REQUIRE_HASHES", "1")])
        .exits(65)
        .says(&["requirements.txt:1", "hash"]);
    build(
        &home,
        &project,
        &plain,
        &[("PIP_UPLOADED_PRIOR_TO", "2021-01-01")],
    )
    .exits(65)
    .says(&["upload", "/simple/known/"]);
    let option = requirements("--only-final :all:\nknown\n");
    build(&home, &option, &plain, &[])
        .exits(65)
        .says(&["requirements.txt:1", "--only-final"]);
    project.write("pip.conf", "[global]\nrequire-hashes = true\n");
    let built = build(
        &home,
        &project,
        &plain,
        &[("PIP_USE_FEATURE", "x"), ("PIP_REQUIRE_HASHES", "0")],
    )
    .ok()
    .says(&["PIP_USE_FEATURE", "pip.conf is not read"]);
    assert!(has(&home, &built, "known-1.0"));
    let dated = dated();
    let project = requirements("known\n");
    let variable = [("PIP_UPLOADED_PRIOR_TO", "2021-01-01")];
    let built = build(&home, &project, &dated, &variable).ok();
    assert!(has(&home, &built, "known-1.0"));
}

#[test]
fn switches_that_the_command_line_sets_protect_too() {
    let home = Home::seeded();
    let index = dated();
    let project = requirements("known\n");
    let with = |setting: &str| build_with(&home, &project, &index, &["-e", setting]);
    for (setting, said) in [
        ("UV_REQUIRE_HASHES=1", "hash"),
        ("UV_OVERRIDE=x.txt", "UV_OVERRIDE"),
        ("UV_NO_SOURCES=1", "UV_NO_SOURCES"),
        ("UV_RESOLUTION=newest", "UV_RESOLUTION"),
        (
            "UV_DEFAULT_INDEX=https://nowhere.invalid/simple",
            "name different indexes",
        ),
        ("UV_INDEX_STRATEGY=first-index", "UV_INDEX_STRATEGY"),
        ("UV_INDEX=/etc/simple", "UV_INDEX"),
        ("UV_NO_INDEX=1", "known"),
    ] {
        with(setting).exits(65).says(&[said]);
    }
    for setting in ["UV_EXCLUDE_NEWER=2021-01-01", "UV_RESOLUTION=lowest"] {
        assert!(has(&home, &with(setting).ok(), "known-1.0"), "{setting}");
    }
    let same = format!("UV_DEFAULT_INDEX={}", index.url(None));
    assert!(has(&home, &with(&same).ok(), "known-2.0"));
    with("UV_NO_BINARY_PACKAGE=known")
        .exits(65)
        .says(&["known"]);
}

#[test]
fn indexes_of_uv_are_asked_first_and_with_their_logins() {
    let home = Home::seeded();
    let public = dated();
    let own = Index::serving(&[known("1.5")], Some(("bob", "hunter2")), Fault::None);
    let project = requirements("known\n");
    let with_login = format!("UV_INDEX=corp={}", own.url(Some("bob:hunter2")));
    let without = format!("UV_INDEX=corp={}", own.url(None));
    for options in [
        &["-e", with_login.as_str()][..],
        &[
            "-e",
            without.as_str(),
            "-e",
            "UV_INDEX_CORP_USERNAME=bob",
            "-e",
            "UV_INDEX_CORP_PASSWORD=hunter2",
        ],
    ] {
        let built = build_with(&home, &project, &public, options).ok();
        assert!(has(&home, &built, "known-1.5"));
        assert!(!format!("{}{}", built.stdout, built.stderr).contains("hunter2"));
    }
    // A project names them too; the login is the caller's.
    project.write(".s2i/environment", &format!("{without}\n"));
    let built = finish(
        home.command(&["build"])
            .arg(project.path())
            .env("PIP_INDEX_URL", public.url(None))
            .env("UV_INDEX_CORP_USERNAME", "bob")
            .env("UV_INDEX_CORP_PASSWORD", "hunter2"),
    )
    .ok();
    assert!(has(&home, &built, "known-1.5"));
}

#[test]
fn a_server_is_added_within_the_rules_alone() {
    let home = Home::seeded();
    let flask = Wheel::new("flask", "3.0").file("flask.py", "class Flask:\n    pass\n");
    let server = Wheel::new("gunicorn", "23.0").file("gunicorn.py", "pass\n");
    let hash = sha256(&flask.bytes());
    let index = Index::serving(&[flask, server], None, Fault::None);
    let project = |text: &str| {
        let app = "from flask import Flask\napp = Flask(__name__)\n";
        Project::new(&[("main.py", app), ("requirements.txt", text)])
    };
    let hashed = project(&format!("flask==3.0 --hash={hash}\n"));
    let plain = project("flask\n");
    for variables in [
        &[("PIP_REQUIRE_HASHES", "1")][..],
        &[("UV_REQUIRE_HASHES", "1")],
        &[],
    ] {
        build(&home, &hashed, &index, variables).exits(65).says(&[
            "gunicorn",
            "uv pip compile --generate-hashes",
            "S2R_ADD_SERVER=",
        ]);
    }
    build(&home, &plain, &index, &[("PIP_NO_DEPS", "1")])
        .exits(65)
        .says(&["gunicorn", "PIP_NO_DEPS"]);
    // There is no source distribution of it.
    build(&home, &plain, &index, &[("PIP_NO_BINARY", "gunicorn")])
        .exits(65)
        .says(&["gunicorn", "no source distribution"]);
    let built = build(&home, &plain, &index, &[]).ok();
    assert!(has(&home, &built, "gunicorn-23.0"));
}

#[test]
fn without_dependencies_there_are_none() {
    let home = Home::seeded();
    let outer = Wheel::new("outer", "1.0")
        .file("outer.py", "pass\n")
        .requires("nowhere");
    let index = Index::serving(&[outer], None, Fault::None);
    let project = requirements("outer\n");
    build(&home, &project, &index, &[]).exits(65);
    let built = build(&home, &project, &index, &[("PIP_NO_DEPS", "1")]).ok();
    assert!(has(&home, &built, "outer-1.0"));
}

#[test]
fn settings_of_uv_hold_without_a_lock() {
    let home = Home::seeded();
    let index = dated();
    for settings in [
        "[tool.uv]\nexclude-newer = \"2021-01-01T00:00:00Z\"\n",
        "[tool.uv]\nresolution = \"lowest\"\n",
    ] {
        let built = build(&home, &pyproject(settings), &index, &[]).ok();
        assert!(has(&home, &built, "known-1.0"), "{settings}");
    }
    // uv.toml goes before [tool.uv].
    let project = pyproject("[tool.uv]\nexclude-newer = \"2019-01-01\"\n");
    project.write("uv.toml", "exclude-newer = \"2021-01-01\"\n");
    let built = build(&home, &project, &index, &[]).ok();
    assert!(has(&home, &built, "known-1.0"));
    project.write("uv.toml", "# ours\ntorch-backend = \"cpu\"\n");
    build(&home, &project, &index, &[])
        .exits(65)
        .says(&["uv.toml", "torch-backend (line 2)"]);
    let other = pyproject("[tool.uv]\nenvironments = [\"sys_platform == 'win32'\"]\n");
    build(&home, &other, &index, &[])
        .exits(65)
        .says(&["[tool.uv] environments (line 7)"]);
    let sdist = Index::with_sdists(&[], &[Sdist::of(known("1.0"))]);
    build(
        &home,
        &pyproject("[tool.uv]\nno-build = true\n"),
        &sdist,
        &[],
    )
    .exits(65)
    .says(&["known"]);
}

#[test]
fn settings_of_uv_beside_requirements_are_told() {
    let home = Home::seeded();
    let index = dated();
    let project = pyproject(
        "[tool.uv]\nmanaged = true\nresolution = \"lowest\"\n[tool.uv.sources]\nknown = { path = \"own\" }\n",
    );
    project.write("requirements.txt", "known\n");
    project.write("uv.toml", "no-build = true\n");
    let built = build(&home, &project, &index, &[]).ok().says(&[
        "pyproject.toml: [tool.uv] resolution, sources has no effect",
        "uv.toml: no-build has no effect",
        "requirements.txt",
    ]);
    assert!(has(&home, &built, "known-2.0"));
}

#[test]
fn groups_of_uv_are_told_and_conflicts_stop() {
    let home = Home::seeded();
    let index = dated();
    let project = pyproject(
        "[project.optional-dependencies]\na = []\nb = []\n[dependency-groups]\ntest = [\"known\"]\n\
         [tool.uv]\ndefault-groups = [\"test\"]\nconflicts = [[{ extra = \"a\" }, { extra = \"b\" }]]\n",
    );
    build(&home, &project, &index, &[])
        .ok()
        .says(&["default-groups (line 12) has no effect", "S2R_GROUPS"]);
    finish(
        home.command(&["build", "-e", "S2R_EXTRAS=a b"])
            .arg(project.path()),
    )
    .exits(65)
    .says(&["extra a and extra b", "S2R_EXTRAS"]);
}
