//! What the project's own metadata require at a path or an address: built and installed from there, never looked
//! for in an index.

use std::fs;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::sdist::Sdist;
use crate::harness::tools::Finished;
use crate::harness::wheel::Wheel;

/// A backend that says where the project's `liba` is, as `setup.py` does by `file:` URLs.
const BACKEND: &str = r#"
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "shop-1.0.dist-info/"
    here = os.path.dirname(os.path.abspath(__file__))
    with zipfile.ZipFile(os.path.join(folder, "shop-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("shop.py", "x = 1\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\nRequires-Dist: REQUIRED\n".replace("HERE", here))
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
    return "shop-1.0-py3-none-any.whl"
"#;

const BUILD_SYSTEM: &str =
    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";

fn liba() -> Wheel {
    Wheel::new("liba", "1.0").file("liba.py", "V = 'own'\n")
}

/// A project whose wheel requires this, with `liba` in a folder below it.
fn project(required: &str, pyproject: &str) -> Project {
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("pyproject.toml", &format!("{BUILD_SYSTEM}{pyproject}")),
        ("backend.py", &BACKEND.replace("REQUIRED", required)),
    ]);
    let folder = project.path().join("libs/liba");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in Sdist::of(liba()).files() {
        fs::write(folder.join(name), bytes).unwrap();
    }
    project
}

/// An index with a stranger of the same name.
fn index() -> Index {
    let stranger = Wheel::new("liba", "9.0").file("liba.py", "V = 'stranger'\n");
    Index::serving(&[stranger], None, Fault::None)
}

#[track_caller]
fn is_own(home: &Home, built: &Finished) {
    let members = home.layout().members(digest_of(built.line()));
    let module = &members["opt/app-root/lib/python3.13/site-packages/liba.py"];
    assert_eq!(String::from_utf8_lossy(&module.body), "V = 'own'\n");
}

#[test]
fn a_folder_that_the_metadata_name_is_built() {
    let home = Home::seeded();
    let index = index();
    let project_ = project("liba @ file://HERE/libs/liba", "");
    is_own(&home, &index.build(&home, &project_.path()).ok());
    // Where the file does not hold, it is not looked at.
    let other = project("liba @ file://HERE/no ; sys_platform == 'win32'", "");
    index.build(&home, &other.path()).ok();
}

#[test]
fn a_folder_outside_is_refused() {
    let home = Home::seeded();
    let project = project("liba @ file:///srv/libs/liba", "");
    index()
        .build(&home, &project.path())
        .exits(65)
        .says(&["what shop requires", "/srv/libs/liba"]);
}

#[test]
fn a_wheel_at_an_address_comes_from_there() {
    let home = Home::seeded();
    let elsewhere = Index::serving(&[liba()], None, Fault::None);
    let address = format!("{}/files/{}", elsewhere.root(), liba().file_name());
    let project = project(&format!("liba @ {address}"), "");
    is_own(&home, &index().build(&home, &project.path()).ok());
}

#[test]
fn what_extras_require_at_an_address_comes_from_there() {
    let home = Home::seeded();
    let elsewhere = Index::serving(&[liba()], None, Fault::None);
    let address = format!("{}/files/{}", elsewhere.root(), liba().file_name());
    for required in [
        format!("liba @ {address}"),
        "liba @ file://HERE/libs/liba".to_owned(),
    ] {
        let project = project(&format!("{required} ; extra == 'web'"), "");
        let index = index();
        for (line, has_it) in [(".[web]", true), ("-e .[web]", true), (".", false)] {
            project.write("requirements.txt", &format!("{line}\n"));
            let built = index.build(&home, &project.path()).ok();
            if has_it {
                is_own(&home, &built);
            } else {
                let members = home.layout().members(digest_of(built.line()));
                assert!(
                    !members.keys().any(|path| path.ends_with("/liba.py")),
                    "{line}"
                );
            }
        }
    }
    // A wheel of the source, whose extra another line asks for.
    let wheel = Wheel::new("outer", "1.0")
        .requires(&format!("liba @ {address} ; extra == 'web'"))
        .provides_extra("web");
    let text = format!("./{}\nouter[web]\n", wheel.file_name());
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &text)]);
    fs::write(project.path().join(wheel.file_name()), wheel.bytes()).unwrap();
    is_own(&home, &index().build(&home, &project.path()).ok());
}

#[test]
fn a_package_has_one_address() {
    let home = Home::seeded();
    let elsewhere = Index::serving(&[liba()], None, Fault::None);
    let address = format!("{}/files/{}", elsewhere.root(), liba().file_name());
    let by_line = |required: &str, lines: &str| {
        let project = project(required, "");
        project.write("requirements.txt", &format!(".\n{lines}\n"));
        index().build(&home, &project.path())
    };
    let wheel = format!("liba @ {address}");
    is_own(&home, &by_line(&wheel, &wheel).ok());
    let folder = "liba @ file://HERE/libs/liba";
    is_own(&home, &by_line(folder, "./libs/liba").ok());
    for (required, lines, said) in [
        (
            wheel.as_str(),
            "./libs/liba",
            [address.as_str(), "./libs/liba"],
        ),
        (folder, wheel.as_str(), ["libs/liba", address.as_str()]),
    ] {
        let said: Vec<&str> = said.into_iter().chain(["two addresses"]).collect();
        by_line(required, lines).exits(65).says(&said);
    }
    let wheels = Index::serving(&[liba()], None, Fault::None);
    let mirror = format!("{}/files/{}", wheels.root(), liba().file_name());
    by_line(&wheel, &format!("liba @ {mirror}"))
        .exits(65)
        .says(&[&address, &mirror, "two addresses"]);
}

#[test]
fn sources_of_an_installed_project_hold() {
    let home = Home::seeded();
    let index = index();
    let project = project(
        "liba",
        "[project]\nname = 'shop'\nversion = '1.0'\ndependencies = ['liba']\n\
         [tool.uv.sources]\nliba = { path = 'libs/liba' }\n",
    );
    is_own(&home, &index.build(&home, &project.path()).ok());
    let asked = index.log();
    assert!(!asked.iter().any(|line| line.contains("liba")), "{asked:?}");
}
