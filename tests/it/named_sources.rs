//! Packages come from where the project's own tool has them come from, or the build stops: never a
//! stranger of the same name from another index.

use std::process::Command;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

const USER: &str = "bob";
const PASSWORD: &str = "s3cr3t-t0k3n";

/// The public index, with strangers of the project's own names.
fn public() -> Index {
    let stranger =
        |name: &str| Wheel::new(name, "9.0").file(&format!("{name}.py"), "V = 'stranger'\n");
    let open = Wheel::new("opened", "1.0").file("opened.py", "V = 'open'\n");
    Index::serving(
        &[stranger("privlib"), stranger("privbase"), open],
        None,
        Fault::None,
    )
}

/// The project's own index, behind a password; its `privlib` needs its `privbase`.
fn own() -> Index {
    let privlib = Wheel::new("privlib", "1.0")
        .file("privlib.py", "V = 'own'\n")
        .requires("privbase");
    let privbase = Wheel::new("privbase", "1.0").file("privbase.py", "V = 'own'\n");
    Index::serving(&[privlib, privbase], Some((USER, PASSWORD)), Fault::None)
}

fn build(home: &Home, project: &Project, public: &Index) -> Command {
    let mut command = home.command(&["build"]);
    command
        .arg(project.path())
        .arg("shop")
        .env("PIP_INDEX_URL", public.url(None));
    command
}

/// What a module of the image says.
fn module(home: &Home, built: &Finished, name: &str) -> String {
    let members = home.layout().members(digest_of(built.line()));
    let member = &members[&format!("opt/app-root/lib/python3.13/site-packages/{name}.py")];
    String::from_utf8_lossy(&member.body).into_owned()
}

#[track_caller]
fn is_own(home: &Home, built: &Finished, public: &Index) {
    for name in ["privlib", "privbase"] {
        let said = module(home, built, name);
        assert!(said.contains("own"), "{name}: {said}");
    }
    assert!(module(home, built, "opened").contains("open"));
    let asked = public.log();
    assert!(!asked.iter().any(|line| line.contains("priv")), "{asked:?}");
    let said = format!("{}{}", built.stdout, built.stderr);
    assert!(!said.contains(PASSWORD), "{said}");
}

fn head(dependencies: &str) -> String {
    format!(
        "[project]\nname = \"shop\"\nversion = \"0.1.0\"\nrequires-python = \">=3.11\"\ndependencies = [{dependencies}]\n"
    )
}

#[test]
fn ties_of_uv_hold_for_what_others_need_too() {
    let home = Home::seeded();
    let (public, own) = (public(), own());
    let text = head("\"privlib\", \"opened\"")
        + &format!(
            "[tool.uv.sources]\nprivlib = {{ index = \"corp\" }}\nprivbase = {{ index = \"corp\" }}\n\
             [[tool.uv.index]]\nname = \"corp\"\nurl = \"{}\"\nexplicit = true\n",
            own.url(None)
        );
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    let built = finish(
        build(&home, &project, &public)
            .env("UV_INDEX_CORP_USERNAME", USER)
            .env("UV_INDEX_CORP_PASSWORD", PASSWORD),
    )
    .ok();
    is_own(&home, &built, &public);
    // Without a login, the variables are named.
    finish(&mut build(&home, &project, &public))
        .exits(69)
        .says(&["UV_INDEX_CORP_USERNAME", "UV_INDEX_CORP_PASSWORD"]);
}

#[test]
fn the_first_index_of_uv_that_has_a_package_has_all_of_it() {
    let home = Home::seeded();
    let (public, own) = (public(), own());
    let url = own.url(Some(&format!("{USER}:{PASSWORD}")));
    let text = head("\"privlib\", \"opened\"") + &format!("[[tool.uv.index]]\nurl = \"{url}\"\n");
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    let built = finish(&mut build(&home, &project, &public)).ok();
    is_own(&home, &built, &public);
}

#[test]
fn sources_of_poetry_enrich_the_project() {
    let home = Home::seeded();
    let (public, own) = (public(), own());
    let url = own.url(Some(&format!("{USER}:{PASSWORD}")));
    let text = head("\"privlib\", \"opened\", \"privbase\"")
        + &format!(
            "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\n\
             privlib = {{ source = \"corp\" }}\nprivbase = {{ source = \"corp\" }}\n\
             [[tool.poetry.source]]\nname = \"corp\"\nurl = \"{url}\"\npriority = \"explicit\"\n"
        );
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    let built = finish(&mut build(&home, &project, &public)).ok();
    is_own(&home, &built, &public);
}

#[test]
fn packages_of_a_source_of_pdm() {
    let home = Home::seeded();
    let (public, own) = (public(), own());
    let url = own.url(Some(&format!("{USER}:{PASSWORD}")));
    let text = head("\"privlib\", \"opened\"")
        + &format!(
            "[[tool.pdm.source]]\nname = \"corp\"\nurl = \"{url}\"\ninclude_packages = [\"priv*\"]\n"
        );
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    let built = finish(&mut build(&home, &project, &public)).ok();
    is_own(&home, &built, &public);
}

#[test]
fn indexes_of_pipenv() {
    let home = Home::seeded();
    let (public, own) = (public(), own());
    let source =
        |name: &str, url: &str| format!("[[source]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    let text = source("pypi", &public.url(None))
        + &source("corp", &own.url(Some("${CORP_USER}:${CORP_KEY}")))
        + "[packages]\nopened = \"*\"\nprivlib = {version = \"*\", index = \"corp\"}\nprivbase = {version = \"*\", index = \"corp\"}\n";
    let project = Project::new(&[("app.py", "pass\n"), ("Pipfile", &text)]);
    let built = finish(
        build(&home, &project, &public)
            .args(["--pass-env", "CORP_USER", "--pass-env", "CORP_KEY"])
            .env("CORP_USER", USER)
            .env("CORP_KEY", PASSWORD),
    )
    .ok();
    is_own(&home, &built, &public);
}

#[test]
fn sources_that_are_not_understood_stop_the_build() {
    let home = Home::seeded();
    let public = public();
    for (table, says) in [
        (
            "[tool.uv.sources]\nprivlib = { workspace = true }\n",
            "uv lock",
        ),
        (
            "[tool.uv.sources]\nprivlib = { index = \"corp\" }\n",
            "[[tool.uv.index]] corp",
        ),
        (
            "[tool.uv.sources]\nprivlib = { from = \"mars\" }\n",
            "[tool.uv.sources] privlib",
        ),
        (
            "[[tool.uv.index]]\nname = \"a\"\nurl = \"http://h/simple\"\nformat = \"flat\"\n",
            "[[tool.uv.index]] a",
        ),
        (
            "[[tool.pdm.source]]\nname = \"a\"\nurl = \"http://h/simple\"\nonly = 1\n",
            "`only`",
        ),
        (
            "[tool.poetry.dependencies]\nprivlib = { source = \"corp\" }\n",
            "[[tool.poetry.source]] corp",
        ),
        (
            "[[tool.poetry.source]]\nname = \"a\"\nurl = \"http://h/simple\"\npriority = \"soon\"\n",
            "`soon`",
        ),
    ] {
        let text = head("\"privlib\"") + table;
        let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
        finish(&mut build(&home, &project, &public))
            .exits(65)
            .says(&[says]);
    }
    assert_eq!(public.requests(), 0);
}

#[test]
fn a_folder_that_others_need_is_looked_for_in_no_index() {
    let home = Home::seeded();
    let stranger = Wheel::new("privbase", "9.0").file("privbase.py", "V = 'stranger'\n");
    let opened = Wheel::new("opened", "1.0").requires("privbase");
    let public = Index::serving(&[stranger, opened], None, Fault::None);
    let text = head("\"opened\"") + "[tool.uv.sources]\nprivbase = { path = \"libs/privbase\" }\n";
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    finish(&mut build(&home, &project, &public))
        .exits(65)
        .says(&["privbase", "path libs/privbase"]);
    let asked = public.log();
    assert!(
        !asked.iter().any(|line| line.contains("privbase")),
        "{asked:?}"
    );
}

/// A backend in the folder itself: no build needs an index.
const BACKEND: &str = r#"
import os, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "privlib-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as z:
        z.writestr("privlib.py", "V = 'own'\n")
        z.writestr("privlib-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: privlib\nVersion: 0.1.0\n")
        z.writestr("privlib-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("privlib-0.1.0.dist-info/RECORD", "privlib.py,,\nprivlib-0.1.0.dist-info/METADATA,,\nprivlib-0.1.0.dist-info/WHEEL,,\nprivlib-0.1.0.dist-info/RECORD,,\n")
    return name
"#;

#[test]
fn a_folder_that_the_project_names_is_built() {
    let home = Home::seeded();
    let public = public();
    let text = head("\"privlib\", \"opened\"")
        + "[tool.uv.sources]\nprivlib = { path = \"libs/privlib\" }\n";
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("pyproject.toml", &text),
        (
            "libs/privlib/pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("libs/privlib/backend.py", BACKEND),
    ]);
    let built = finish(&mut build(&home, &project, &public)).ok();
    assert!(module(&home, &built, "privlib").contains("own"));
    let asked = public.log();
    assert!(!asked.iter().any(|line| line.contains("priv")), "{asked:?}");
}

#[test]
fn constraints_and_overrides_of_uv_hold() {
    let home = Home::seeded();
    let of = |name: &str, version: &str| {
        Wheel::new(name, version).file(&format!("{name}.py"), &format!("V = '{version}'\n"))
    };
    let wheels = [
        of("one", "1.0").requires("two>=2"),
        of("two", "1.0"),
        of("two", "2.0"),
        of("three", "1.0"),
        of("three", "2.0"),
    ];
    let public = Index::serving(&wheels, None, Fault::None);
    let text = head("\"one\", \"three\"")
        + "[tool.uv]\nconstraint-dependencies = [\"three<2\"]\noverride-dependencies = [\"two==1.0\"]\n";
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", &text)]);
    let built = finish(&mut build(&home, &project, &public)).ok();
    assert!(module(&home, &built, "two").contains("1.0"));
    assert!(module(&home, &built, "three").contains("1.0"));
}
