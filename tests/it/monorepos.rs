//! One project of a monorepo, built alone: what it names in folders beside its own comes as wheels.

use crate::harness::files::{Project, copy, example};
use crate::harness::git::{Daemon, Shelf};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{Finished, finish};

/// A library beside the projects, which needs another one, by an address that only its own backend understands.
const CORE: &str = "\
[build-system]
requires = ['poetry-core==2.2.1']
build-backend = 'poetry.core.masonry.api'
[tool.poetry]
name = 'core'
version = '0.3.0'
description = ''
authors = []
packages = [{ include = 'core', from = 'src' }]
[tool.poetry.dependencies]
python = '>=3.11'
base = { path = '../libs/base', develop = true }
";
const BASE: &str = "\
[build-system]
requires = ['setuptools==80.9.0']
build-backend = 'setuptools.build_meta'
[project]
name = 'base'
version = '0.1'
";
const APP: &str = "import core\nprint('hello', core.NAME)\n";
/// Poetry 1; the lock's hash is Poetry's own of this text.
const POETRY: &str = "\
[tool.poetry]
name = \"web\"
version = \"0.1.0\"
package-mode = false

[tool.poetry.dependencies]
python = \"^3.11\"
core = { path = \"../core\", develop = true }
";
const POETRY_LOCK: &str = "\
[[package]]
name = \"base\"
version = \"0.1\"
python-versions = \"*\"
groups = [\"main\"]
files = []
develop = true
[package.source]
type = \"directory\"
url = \"../libs/base\"
[[package]]
name = \"core\"
version = \"0.3.0\"
python-versions = \">=3.11\"
groups = [\"main\"]
files = []
develop = true
[package.source]
type = \"directory\"
url = \"../core\"
[metadata]
lock-version = \"2.1\"
python-versions = \"^3.11\"
content-hash = \"669c00ca30fe0744f13b0a37d1a8c4f3c4c985c37e1cd3a72aa99d265ed5b9df\"
";
/// The lock's hash is PDM's own of this text.
const PDM: &str = "\
[project]
name = \"web\"
version = \"0.1.0\"
requires-python = \">=3.11\"
dependencies = [\"core @ file:///${PROJECT_ROOT}/../core\"]

[tool.pdm]
distribution = false

[tool.pdm.dev-dependencies]
dev = [\"-e file:///${PROJECT_ROOT}/../extra#egg=extra\"]
";
const PDM_LOCK: &str = "\
[metadata]
groups = [\"default\", \"dev\"]
strategy = [\"inherit_metadata\"]
lock_version = \"4.5.0\"
content_hash = \"sha256:01ba2866974bf40b6917774e870812156c6ee554e9856c21b91748bf523c8326\"
[[package]]
name = \"base\"
version = \"0.1\"
path = \"../libs/base\"
groups = [\"default\"]
[[package]]
name = \"core\"
version = \"0.3.0\"
path = \"../core\"
groups = [\"default\"]
[[package]]
name = \"extra\"
version = \"0.1\"
editable = true
path = \"../extra\"
groups = [\"dev\"]
";

/// A monorepo of two libraries and of one project of these files.
fn repository<'a>(project: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut files = vec![
        ("packages/core/pyproject.toml", CORE),
        (
            "packages/core/src/core/__init__.py",
            "import base\nNAME = 'core on ' + base.NAME\n",
        ),
        ("packages/libs/base/pyproject.toml", BASE),
        ("packages/libs/base/base.py", "NAME = 'base'\n"),
        ("packages/web/app.py", APP),
        // No part of what is built, and not to be read.
        ("packages/jobs/pyproject.toml", "[project\n"),
    ];
    files.extend_from_slice(project);
    files
}

#[track_caller]
fn says(home: &Home, built: &Finished, expected: &str) {
    let said = home.run(&["run", digest_of(built.line())]).ok().stdout;
    assert!(said.contains(expected), "{said}");
}

/// Builds the project by its folder in the monorepo, with variables.
fn build(home: &Home, project: &Project, more: &[&str]) -> Finished {
    let mut command = home.command(&["build", "--context-dir", "packages/web"]);
    finish(command.arg(project.path()).arg("web").args(more))
}

#[test]
fn a_project_of_poetry_is_built_with_the_folders_beside_it() {
    let home = Home::seeded();
    let pyproject = ("packages/web/pyproject.toml", POETRY);
    let unlocked = Project::new(&repository(&[pyproject]));
    let built = build(&home, &unlocked, &[]).ok();
    let built = built.says(&["../core is outside the source: a wheel is built from it"]);
    says(&home, &built, "hello core on base");
    let lock = ("packages/web/poetry.lock", POETRY_LOCK);
    let project = Project::new(&repository(&[pyproject, lock]));
    let built = build(&home, &project, &[]).ok();
    says(&home, &built, "hello core on base");
    // The folders themselves are not in the image; what is in them counts.
    let files = home.run(&[
        "run",
        digest_of(built.line()),
        "--",
        "ls",
        "/opt/app-root/src",
    ]);
    let files = files.ok().stdout;
    assert!(
        files.contains("app.py") && !files.contains("core"),
        "{files}"
    );
    assert_eq!(build(&home, &project, &[]).ok().line(), built.line());
    project.write("packages/libs/base/base.py", "NAME = 'rock'\n");
    let again = build(&home, &project, &[]).ok();
    says(&home, &again, "hello core on rock");
    project.write(
        "packages/web/pyproject.toml",
        &POETRY.replace("core = {", "six = \"*\"\ncore = {"),
    );
    build(&home, &project, &[])
        .exits(65)
        .says(&["poetry.lock is older", "poetry lock"]);
}

#[test]
fn a_project_of_poetry_2_that_is_installed_names_folders_beside_it() {
    let home = Home::seeded();
    let pyproject = "[build-system]\nrequires = ['poetry-core==2.2.1']\nbuild-backend = 'poetry.core.masonry.api'\n\
        [project]\nname = 'web'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['core']\n\
        [tool.poetry]\npackages = [{ include = 'app.py' }]\n\
        [tool.poetry.dependencies]\ncore = { path = '../core', develop = true }\n";
    let project = Project::new(&repository(&[("packages/web/pyproject.toml", pyproject)]));
    let built = build(&home, &project, &[]).ok();
    says(&home, &built, "hello core on base");
    // What is locked is built from the same folders.
    let web = project.path().join("packages/web");
    let mut lock = home.command(&["lock", "--context-dir", "packages/web"]);
    finish(lock.arg(project.path())).ok();
    let text = std::fs::read_to_string(web.join("pylock.toml")).unwrap();
    assert!(text.contains("path = \"../core\""), "{text}");
    let built = build(&home, &project, &["--locked"]).ok();
    says(&home, &built, "hello core on base");
}

#[test]
fn a_project_of_pdm_is_built_with_the_folders_beside_it() {
    let home = Home::seeded();
    let pyproject = ("packages/web/pyproject.toml", PDM);
    let extra = [
        (
            "packages/extra/pyproject.toml",
            "[build-system]\nrequires = ['setuptools==80.9.0']\nbuild-backend = 'setuptools.build_meta'\n[project]\nname = 'extra'\nversion = '0.1'\n",
        ),
        ("packages/extra/extra.py", ""),
    ];
    let lock = ("packages/web/pdm.lock", PDM_LOCK);
    for project in [vec![pyproject], vec![pyproject, lock]] {
        let project = Project::new(&repository(&[&project[..], &extra].concat()));
        let built = build(&home, &project, &[]).ok();
        says(&home, &built, "hello core on base");
        assert!(!built.stderr.contains("../extra"), "{}", built.stderr);
        let more = build(&home, &project, &["-e", "S2R_GROUPS=dev"]).ok();
        more.says(&["../extra is outside the source", "extra==0.1"]);
    }
    let stale = (
        "packages/web/pyproject.toml",
        &*PDM.replace(">=3.11", ">=3.12"),
    );
    let project = Project::new(&repository(&[stale, lock]));
    build(&home, &project, &[])
        .exits(65)
        .says(&["pdm.lock is older", "pdm lock"]);
}

#[test]
fn requirements_name_folders_beside_the_project() {
    let home = Home::seeded();
    for lines in [
        "-e ../core\n-e ../libs/base\n",
        "../core\n",
        "core @ ../core\n",
    ] {
        let requirements = ("packages/web/requirements.txt", lines);
        let project = Project::new(&repository(&[requirements]));
        let built = build(&home, &project, &[]).ok();
        says(&home, &built, "hello core on base");
    }
}

#[test]
fn the_checkout_around_a_folder_holds_what_it_names() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let files = repository(&[("packages/web/requirements.txt", "-e ../core\n")]);
    let checkout = shelf.repository("mono", &files);
    let folder = checkout.path().join("packages/web");
    let build =
        |source: &str, more: &[&str]| finish(home.command(&["build", source, "web"]).args(more));
    let built = build(folder.to_str().unwrap(), &[]).ok();
    says(&home, &built, "hello core on base");
    let daemon = Daemon::serving(&shelf);
    let built = build(&daemon.url("mono"), &["--context-dir", "packages/web"]).ok();
    says(&home, &built, "hello core on base");
    // Without it, nothing around a folder is read.
    std::fs::remove_dir_all(checkout.path().join(".git")).unwrap();
    let packages = folder.parent().unwrap().display();
    build(folder.to_str().unwrap(), &[]).exits(65).says(&[
        "requirements.txt:1",
        "../core is outside the folder that was given",
        &format!("s2r build {packages} IMAGE --context-dir web"),
    ]);
    checkout.write("packages/web/requirements.txt", "-e ../cores\n");
    build(
        checkout.path().to_str().unwrap(),
        &["--context-dir", "packages/web"],
    )
    .exits(65)
    .says(&["../cores is outside the source", "--context-dir"]);
}

#[test]
fn a_member_of_a_workspace_of_uv_is_found_by_its_folder_in_a_checkout() {
    let home = Home::seeded();
    let project = Project::copy_of("uv-workspace");
    std::fs::remove_file(project.path().join(".s2i/environment")).unwrap();
    let member = project.path().join("packages/web");
    let mut alone = home.command(&["plan"]);
    finish(alone.arg(&member)).exits(65);
    std::fs::create_dir(project.path().join(".git")).unwrap();
    let mut command = home.command(&["plan"]);
    let planned = finish(command.arg(&member)).ok();
    planned.says(&[
        "packages/web is the member web of a uv workspace",
        "S2R_PACKAGE=web",
    ]);
    // Nor has the workspace to be the whole of what is given.
    let whole = Project::new(&[]);
    let workspace = whole.path().join("shop");
    copy(&example("uv-workspace"), &workspace);
    std::fs::remove_file(workspace.join(".s2i/environment")).unwrap();
    let mut command = home.command(&["plan", "--context-dir", "shop/packages/web"]);
    finish(command.arg(whole.path()))
        .ok()
        .says(&["packages/web is the member web of a uv workspace"]);
}
