//! Libraries of the system that files of an image need: told when they are missing, and not told when they are there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use crate::harness::container::run_once;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{Finished, finish};

#[test]
fn a_library_that_a_wheel_needs_is_named_with_its_package() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "import pyodbc\nprint(pyodbc.version)\n"),
        ("requirements.txt", "pyodbc==5.2.0\n"),
        (".s2i/environment", "S2R_SYSTEM_PACKAGES=\n"),
    ]);
    let build = || finish(home.command(&["build"]).arg(project.path()).arg("x")).ok();
    let runs = |built: &Finished| {
        let image = home.layout().reference(digest_of(built.line()));
        let ran = run_once(&image, 1001, &["python", "app.py"]).ok();
        assert_eq!(ran.stdout, "5.2.0\n");
    };
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
    runs(&built);
    // It comes by itself where nothing keeps it out.
    for name in ["Aptfile", ".s2i/environment"] {
        fs::remove_file(project.path().join(name)).unwrap();
    }
    let built = build();
    let added = "libodbc2 is added: pyodbc needs it to run";
    assert!(built.stderr.contains(added), "{}", built.stderr);
    runs(&built);
    assert_eq!(build().line(), built.line());
    // A lock pins it, and the image is the same but for the lock's own files.
    let lock = || finish(home.command(&["lock"]).arg(project.path())).ok();
    lock();
    let locked = build();
    assert!(!locked.stderr.contains("warning"), "{}", locked.stderr);
    runs(&locked);
    let text = fs::read_to_string(project.path().join("s2r.lock")).unwrap();
    let other = text.replace("\"libodbc2\"", "\"libodbc9\"");
    assert_ne!(text, other);
    project.write("s2r.lock", &other);
    finish(home.command(&["build"]).arg(project.path()).arg("x"))
        .exits(65)
        .says(&["s2r.lock does not pin libodbc2", "s2r lock"]);
}

/// Builds each distribution of the table from source, and loads it. Slow: `tests/run --ignored distributions`.
#[test]
#[ignore = "slow: builds some thirty distributions from source"]
fn the_distributions_of_the_table_build_from_source() {
    // What is imported where it is not the name.
    const MODULES: [(&str, &str); 19] = [
        ("dbus-python", "dbus"),
        ("m2crypto", "M2Crypto"),
        ("mod-wsgi", "mod_wsgi"),
        ("mysqlclient", "MySQLdb"),
        ("pillow", "PIL.Image"),
        ("psycopg-c", "psycopg_c"),
        ("pyaudio", "pyaudio"),
        ("pycairo", "cairo"),
        ("pycups", "cups"),
        ("pyicu", "icu"),
        ("pykerberos", "kerberos"),
        ("pylibacl", "posix1e"),
        ("pylibmc", "pylibmc"),
        ("python-ldap", "ldap"),
        ("python-prctl", "prctl"),
        ("python-snappy", "snappy"),
        ("pyxattr", "xattr"),
        ("systemd-python", "systemd.journal"),
        ("xmlsec", "xmlsec"),
    ];
    let home = Home::seeded();
    let table = include_str!("../../builders/distributions.yaml");
    let mut failed = Vec::new();
    let mut tried = 0;
    for row in table.lines().filter(|row| row.contains("{build: ")) {
        let name = row.split(':').next().unwrap();
        let module = MODULES.iter().find(|(one, _)| *one == name);
        let module = module.map_or_else(|| name.replace('-', "_"), |(_, module)| (*module).into());
        let app = format!("import {module}\nprint('loaded')\n");
        // Only what it needs may come as a wheel.
        let requirements = format!("--no-binary {name}\n{name}\n");
        let project = Project::new(&[("app.py", &app), ("requirements.txt", &requirements)]);
        let built = finish(home.command(&["build"]).arg(project.path()).arg("x"));
        tried += 1;
        if built.code != Some(0) {
            failed.push(format!("{name}: {}", last_lines(&built.stderr)));
            continue;
        }
        let image = home.layout().reference(digest_of(built.line()));
        let ran = run_once(&image, 1001, &["python", "app.py"]);
        if ran.stdout != "loaded\n" {
            failed.push(format!("{name}: {}", last_lines(&ran.stderr)));
        }
    }
    assert!(tried >= 30, "{tried}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
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
