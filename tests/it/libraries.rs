//! Libraries of the system that files of an image need: told when they are missing, and not told when they are there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::harness::container::run_once;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

#[test]
fn a_library_that_a_wheel_needs_is_named_with_its_package() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import pyodbc\nprint(pyodbc.version)\n"),
        ("requirements.txt", "pyodbc==5.2.0\n"),
    ]);
    let build = || finish(home.command(&["build"]).arg(project.path()).arg("x")).ok();
    // The second finds the layer made, and says it all the same.
    for _ in 0..2 {
        let said = build().stderr;
        assert!(
            said.contains("pyodbc 5.2.0 needs libodbc.so.2, which the image has not (pyodbc."),
            "{said}"
        );
        assert!(said.contains("write libodbc2 into Aptfile"), "{said}");
    }
    project.write("Aptfile", "libodbc2\n");
    let built = build();
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
    let image = home.layout().reference(digest_of(built.line()));
    assert_eq!(
        run_once(&image, 1001, &["python", "app.py"]).ok().stdout,
        "5.2.0\n"
    );
}

#[test]
fn a_plain_image_lacks_nothing() {
    let home = Home::seeded();
    for builder in ["python-3.13", "python-3.11"] {
        let said = finish(
            home.command(&["build", "--builder", builder])
                .arg(example("flask-gunicorn"))
                .arg("x"),
        )
        .ok()
        .stderr;
        assert!(!said.contains("warning"), "{said}");
    }
}

#[test]
fn the_packages_that_are_named_are_there_in_every_suite() {
    let home = Home::seeded();
    let table = include_str!("../../builders/libraries.yaml");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let packages: BTreeSet<&str> = rows
        .filter_map(|row| Some(row.split_once(": ")?.1))
        .collect();
    assert!(packages.len() > 100);
    for (builder, not_there) in [
        ("python-3.13", "libpython3.11"),
        ("python-3.11", "libpython3.13"),
    ] {
        let mut aptfile = String::new();
        for package in packages.iter().filter(|package| **package != not_there) {
            writeln!(aptfile, "{package}").unwrap();
        }
        let project = Project::new(&[("app.py", "pass\n"), ("Aptfile", &aptfile)]);
        finish(
            home.command(&["lock", "--builder", builder])
                .arg(project.path()),
        )
        .ok();
    }
}
