//! What needs code of a project to run: wheels from source, the project itself, collected files, an assemble
//! script of its own. The backends and the Django here are hand-made, so that nothing comes from outside.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{Finished, finish, is_root};
use crate::harness::wheel::Wheel;

const SITE: &str = "opt/app-root/lib/python3.13/site-packages/";

/// A backend in the project's own tree, as PEP 517 allows: needs nothing but Python.
pub(crate) const BACKEND: &str = r#"
import os, zipfile

def _wheel(folder, body, name="shop"):
    info = name + "-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name + "-1.0-py3-none-any.whl"), "w") as wheel:
        for path, text in body.items():
            wheel.writestr(path, text)
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
    return name + "-1.0-py3-none-any.whl"

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(folder, config_settings=None, metadata_directory=None):
    print("building in", os.getcwd(), "as", os.getuid(), os.getgid())
    seen = sorted(name for name in os.environ if "SECRET" in name)
    return _wheel(folder, {"shop.py": "SEEN = %r\nCOLOUR = %r\n" % (seen, os.environ.get("COLOUR"))})
"#;

pub(crate) const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";

fn build(home: &Home, project: &Project, more: &[&str]) -> Finished {
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["shop", "--progress", "plain"])
            .args(more)
            .env("MY_SECRET", "of the machine"),
    )
}

fn text_of(home: &Home, built: &Finished, path: &str) -> String {
    let members = home.layout().members(digest_of(built.line()));
    let Some(member) = members.get(path) else {
        panic!("{path} is not in the image");
    };
    String::from_utf8_lossy(&member.body).into_owned()
}

#[test]
fn the_project_itself_is_installed_and_built_once() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", BACKEND),
    ]);
    let built = build(&home, &project, &["-e", "COLOUR=red"]).ok();
    let text = text_of(&home, &built, &format!("{SITE}shop.py"));
    assert_eq!(text, "SEEN = []\nCOLOUR = 'red'\n");
    assert!(
        built
            .stderr
            .contains("building in /opt/app-root/src as 1001 0"),
        "{}",
        built.stderr
    );

    let again = build(&home, &project, &["-e", "COLOUR=red"]).ok();
    assert_eq!(again.line(), built.line());
    assert!(!again.stderr.contains("building in"), "{}", again.stderr);

    // Requirements that name it too, as many do: it is one and the same.
    project.write("requirements.txt", "-e .[more]\n.\n");
    let named = build(&home, &project, &["-e", "COLOUR=red"]).ok();
    let text = text_of(&home, &named, &format!("{SITE}shop.py"));
    assert_eq!(text, "SEEN = []\nCOLOUR = 'red'\n");
    project.write("requirements.txt", "");

    let without = build(
        &home,
        &project,
        &["-e", "DISABLE_PYPROJECT_TOML_PROCESSING=1"],
    )
    .ok();
    let members = home.layout().members(digest_of(without.line()));
    assert!(!members.contains_key(&format!("{SITE}shop.py")));
}

#[test]
fn files_that_a_wheel_leaves_out_are_told() {
    let home = Home::seeded();
    let backend = format!(
        "{BACKEND}\ndef build_wheel(folder, settings=None, metadata=None):\n    return _wheel(folder, {{'shop/__init__.py': '', 'shop/style.css': ''}})\n"
    );
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", &backend),
        ("src/shop/__init__.py", ""),
        ("src/shop/style.css", ""),
        ("src/shop/templates/page.html", ""),
    ]);
    // The second knows the wheel, and says it all the same.
    for _ in 0..2 {
        let built = build(&home, &project, &[]).ok();
        let said = "shop-1.0-py3-none-any.whl leaves out files of its packages: shop/templates/page.html\n";
        assert_eq!(built.stderr.matches(said).count(), 1, "{}", built.stderr);
    }
}

#[test]
fn a_backend_that_fails_is_told_with_its_last_lines() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        (
            "backend.py",
            "import sys\ndef build_wheel(*rest):\n    print('the oven is cold')\n    sys.exit(7)\n",
        ),
    ]);
    build(&home, &project, &[])
        .exits(65)
        .says(&["the oven is cold", "7"]);
    // What is known to be missing is named by its packages.
    project.write(
        "backend.py",
        "def build_wheel(*rest):\n    raise SystemExit('Error: pg_config executable not found.')\n",
    );
    build(&home, &project, &[])
        .exits(65)
        .says(&["Aptfile", "libpq-dev", "libpq5"]);
}

#[test]
fn another_root_does_for_building_too() {
    if !is_root() {
        // Others cannot change the root.
        return;
    }
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", BACKEND),
    ]);
    let built = build(&home, &project, &["--isolation", "chroot"]).ok();
    assert!(built.stderr.contains("as 1001 0"), "{}", built.stderr);
    let text = text_of(&home, &built, &format!("{SITE}shop.py"));
    assert_eq!(text, "SEEN = []\nCOLOUR = None\n");
}

#[test]
fn a_wheel_that_is_no_file_is_not_taken() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        (
            "backend.py",
            "import os\ndef build_wheel(folder, *rest):\n    os.symlink('/etc/shadow', folder + '/shop-1.0-py3-none-any.whl')\n    return 'shop-1.0-py3-none-any.whl'\n",
        ),
    ]);
    build(&home, &project, &[]).exits(65).says(&["wheel"]);
}

/// A Django that can do what is asked of it here.
pub(crate) fn django() -> Wheel {
    Wheel::new("django", "5.0").file("django/__init__.py", "VERSION = (5, 0)\n")
}

pub(crate) const MANAGE: &str = r#"
import os, sys, django
if "collectstatic" in sys.argv:
    if os.environ.get("BROKEN") == "dry" or (os.environ.get("BROKEN") and "--dry-run" not in sys.argv):
        print("settings need a DATABASE_URL")
        sys.exit(3)
    if "--dry-run" not in sys.argv:
        os.makedirs("static/css")
        open("static/css/site.css", "w").write("a {}\n")
        os.remove("rubbish.txt")
        open("/usr/lib/outside", "w").write("lost")
"#;

#[test]
fn static_files_are_collected_into_a_layer_of_their_own() {
    let home = Home::seeded();
    let index = Index::serving(&[django()], None, Fault::None);
    let project = Project::new(&[
        ("manage.py", MANAGE),
        ("rubbish.txt", ""),
        ("requirements.txt", "django\n"),
    ]);
    let url = format!("PIP_INDEX_URL={}", index.url(None));
    let built = build(&home, &project, &["-e", &url]).ok();
    let css = text_of(&home, &built, "opt/app-root/src/static/css/site.css");
    assert_eq!(css, "a {}\n");
    let members = home.layout().members(digest_of(built.line()));
    // A file with this name takes the one of the layers below away (OCI image spec, layer.md).
    assert!(members.contains_key("opt/app-root/src/.wh.rubbish.txt"));
    assert!(!members.contains_key("usr/lib/outside"));
    assert!(built.stderr.contains("outside"), "{}", built.stderr);
    let again = build(&home, &project, &["-e", &url]).ok();
    assert_eq!(again.line(), built.line());

    let soft = build(&home, &project, &["-e", &url, "-e", "BROKEN=dry"]).ok();
    assert!(
        soft.stderr.contains("settings need a DATABASE_URL"),
        "{}",
        soft.stderr
    );
    let members = home.layout().members(digest_of(soft.line()));
    assert!(!members.contains_key("opt/app-root/src/static"));

    build(&home, &project, &["-e", &url, "-e", "BROKEN=hard"])
        .exits(65)
        .says(&["collectstatic", "settings need a DATABASE_URL", "3"]);
}

#[test]
fn an_assemble_script_of_its_own_runs_instead() {
    let home = Home::seeded();
    let builder = crate::harness::files::own_builder(
        "build_packages: [gcc, g++, make, perl-base, pkgconf, libc6-dev, python3.13-dev]",
        "build_packages: [make]",
    );
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (
            ".s2i/bin/assemble",
            "#!/bin/bash\nset -e\ncp -R /tmp/src/. ./\nwhich make\necho \"made by $(id -u) in $PWD\" > made.txt\nmkdir -p /opt/app-root/extra\n",
        ),
    ]);
    let script = project.path().join(".s2i/bin/assemble");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let builder = builder.path().display().to_string();
    let built = build(&home, &project, &["--builder", &builder]).ok();
    let made = text_of(&home, &built, "opt/app-root/src/made.txt");
    assert_eq!(made, "made by 1001 in /opt/app-root/src\n");
    assert_eq!(text_of(&home, &built, "opt/app-root/src/app.py"), "pass\n");
    let members = home.layout().members(digest_of(built.line()));
    assert!(members.contains_key("opt/app-root/extra"));
    assert!(!members.contains_key("usr/bin/make"));
}

/// A backend that calls a compiler without a word about it in the project, goes on without one, and notes
/// whether there was one.
const ASKING_BACKEND: &str = r#"
import subprocess, sys, zipfile
def build_wheel(out, config_settings=None, metadata_directory=None):
    try:
        found = subprocess.run(["c" + "c", "--version"], stdout=subprocess.DEVNULL).returncode == 0
    except OSError:
        found = False
    name = "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(out + "/" + name, "w") as wheel:
        wheel.writestr("shop.py", f"COMPILED = {found}\n")
        wheel.writestr("shop-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
        wheel.writestr("shop-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("shop-1.0.dist-info/RECORD", "")
    return name
"#;

#[test]
fn a_compiler_that_is_called_is_there_and_one_that_is_spoken_of_is_not() {
    let home = Home::with_compiler();
    let project = Project::new(&[
        ("app.py", "import shop\nprint('compiled:', shop.COMPILED)\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", ASKING_BACKEND),
    ]);
    home.build(&project.path(), &["shop"]);
    let said = home.run(&["run", "shop"]).ok().stdout;
    assert!(said.contains("compiled: True"), "{said}");
    // The words of a failure decide nothing.
    project.write(
        "backend.py",
        "import sys\ndef build_wheel(*rest):\n    sys.exit('gcc: Python.h: no compiler, and this is not why')\n",
    );
    let mut command = home.command(&["build", "--progress", "plain"]);
    let failed = finish(command.arg(project.path()).arg("shop")).exits(65);
    let failed = failed.says(&["this is not why"]);
    assert!(!failed.stderr.contains("once more"), "{}", failed.stderr);
}
