//! Packages without a wheel: which are built, which version of them, and what is said of it.

use crate::builds::{BACKEND, PYPROJECT};
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::index::Index;
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

/// A source distribution whose module says its version.
fn old(version: &str) -> Sdist {
    let text = format!("VERSION = '{version}'\n");
    Sdist::of(Wheel::new("old", version).file("old.py", &text))
}

#[track_caller]
fn build(home: &Home, project: &Project, index: &Index) -> Finished {
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--progress", "plain"])
            .env("PIP_INDEX_URL", index.url(None)),
    )
}

/// The distributions in the image's site-packages, pip left out.
#[track_caller]
fn installed(home: &Home, built: &Finished) -> Vec<String> {
    installed_below("opt/app-root/lib/python3.13/site-packages/", home, built)
}

#[track_caller]
fn installed_below(site: &str, home: &Home, built: &Finished) -> Vec<String> {
    let members = home.layout().members(digest_of(built.line()));
    let names = members.keys().filter_map(|path| {
        let path = path.strip_prefix(site)?;
        path.strip_suffix(".dist-info")
    });
    let names = names.filter(|name| !name.starts_with("pip-"));
    names.map(str::to_owned).collect()
}

fn project(requirements: &str) -> Project {
    Project::new(&[("app.py", "pass\n"), ("requirements.txt", requirements)])
}

#[test]
fn markers_are_no_part_of_a_name() {
    let home = Home::seeded();
    let index = Index::with_sdists(&[], &[old("0.6.1"), old("0.6.2")]);
    for requirements in [
        "old==0.6.2 ; sys_platform == 'linux'\n",
        "old==0.6.2 ; python_version >= '3.12'\nold==0.6.1 ; python_version < '3.12'\n",
        "old ; sys_platform == 'linux'\nold<0.6.2 ; sys_platform == 'win32'\n",
    ] {
        let built = build(&home, &project(requirements), &index).ok();
        assert_eq!(installed(&home, &built), ["old-0.6.2"], "{requirements}");
    }
}

#[test]
fn what_others_need_under_a_marker_is_built_in_the_version_that_they_need() {
    let home = Home::seeded();
    let needs = |version: &str| {
        Wheel::new("driver", version)
            .requires(&format!(
                "old=={version} ; extra == 'c' and implementation_name != 'pypy'"
            ))
            .provides_extra("c")
    };
    let index = Index::with_sdists(
        &[needs("3.1"), needs("3.2"), needs("3.3")],
        &[old("3.1"), old("3.2"), old("3.3")],
    );
    for (requirements, expected) in [
        ("driver[c]==3.2\n", ["driver-3.2", "old-3.2"]),
        ("driver[c]\n", ["driver-3.3", "old-3.3"]),
    ] {
        let built = build(&home, &project(requirements), &index).ok();
        assert_eq!(installed(&home, &built), expected, "{requirements}");
    }
}

#[test]
fn a_range_of_others_that_source_distributions_alone_meet_is_built() {
    let home = Home::seeded();
    let asker = |version: &str| Wheel::new("asker", version).requires("old>=1,<2");
    let newer = Wheel::new("old", "3.0").file("old.py", "pass\n");
    let other = Wheel::new("other", "1.0").requires("old<1.5");
    let index = Index::with_sdists(
        &[asker("1.0"), asker("1.1"), other, newer],
        &[old("0.9"), old("1.0"), old("1.5")],
    );
    for (requirements, expected) in [
        ("asker==1.0\n", &["asker-1.0", "old-1.5"][..]),
        ("asker\n", &["asker-1.1", "old-1.5"]),
        ("asker\nother\n", &["asker-1.1", "old-1.0", "other-1.0"]),
    ] {
        let built = build(&home, &project(requirements), &index).ok();
        assert_eq!(installed(&home, &built), expected, "{requirements}");
    }
    build(&home, &project("--only-binary old\nasker\n"), &index)
        .exits(65)
        .says(&["old"]);
    build(&home, &project("asker\nold>=2\n"), &index)
        .exits(65)
        .says(&["cannot be met"]);
}

/// What runs on a builder's Python: the driver that builds wheels, of archives and of folders, and the compiler
/// of byte code. Builders upon images need a registry.
#[test]
fn sources_build_on_every_builder() {
    let home = Home::seeded();
    let builders = home.run(&["builders", "--json"]).ok().json();
    let builders = builders.as_array().unwrap().iter();
    let is_debian = |base: &str| base.starts_with("Debian ");
    let builders = builders.filter(|builder| is_debian(builder["base"].as_str().unwrap()));
    let builders: Vec<_> = builders.collect();
    assert!(builders.len() >= 3, "{builders:?}");
    let sources =
        |link| Index::with_sdists(&[], &[old("0.6.1").with_link("aside", link), old("0.6.2")]);
    let (good, hostile) = (sources("old.py"), sources("../../driver.py"));
    let requirements = project("old==0.6.1\n");
    requirements.write("pyproject.toml", PYPROJECT);
    requirements.write("backend.py", BACKEND);
    for builder in builders {
        let (name, python) = (&builder["name"], &builder["python"]);
        let (name, python) = (name.as_str().unwrap(), python.as_str().unwrap());
        let build = |index: &Index| {
            finish(
                home.command(&["build"])
                    .arg(requirements.path())
                    .args(["x", "--builder", name, "--bytecode", "all"])
                    .args(["--debian-valid-until", "ignore"])
                    .env("PIP_INDEX_URL", index.url(None)),
            )
        };
        let built = build(&good).ok();
        let site = format!("opt/app-root/lib/python{python}/site-packages/");
        assert_eq!(
            installed_below(&site, &home, &built),
            ["old-0.6.1", "shop-1.0"],
            "{name}"
        );
        let compiled = format!(
            "{site}__pycache__/old.cpython-{}.pyc",
            python.replace('.', "")
        );
        let members = home.layout().members(digest_of(built.line()));
        assert!(
            members.contains_key(compiled.as_str()),
            "{name}: {compiled}"
        );
        // Links of an archive lead nowhere else, on Pythons without `filter=\"data\"` too.
        build(&hostile).exits(65).says(&["outside"]);
    }
}
