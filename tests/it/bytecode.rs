//! Byte code: there, trusted by Python as it should be, made once, and the same wherever it is made.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::container::run_once;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

const SITE: &str = "opt/app-root/lib/python3.13/site-packages";

/// Builds with `--json` and gives what is said of the first platform's byte code, and the digest.
#[track_caller]
fn compiled(home: &Home, source: &Path, more: &[&str]) -> (Value, String) {
    let mut command = home.command(&["build", "--json"]);
    let said = finish(command.arg(source).arg("x").args(more)).ok().json();
    (
        said["platforms"][0]["bytecode"].clone(),
        said["digest"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn what_is_imported_has_byte_code_of_the_right_kind() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-gunicorn"), &["x"]);
    let members = home.layout().members(digest_of(&reference));
    let flags = |path: &str| {
        let member = members.get(path).unwrap_or_else(|| panic!("no {path}"));
        u32::from_le_bytes(member.body[4..8].try_into().unwrap())
    };
    // Unchecked, and owned as what it lies beside.
    let flask = format!("{SITE}/flask/__pycache__/app.cpython-313.pyc");
    assert_eq!(flags(&flask), 0b01);
    let library = "usr/lib/python3.13/json/__pycache__/decoder.cpython-313.pyc";
    assert_eq!(flags(library), 0b01);
    let owner = |path: &str| (members[path].uid, members[path].gid, members[path].mode);
    assert_eq!(owner(&flask), (1001, 0, 0o664));
    assert_eq!(owner(library), (0, 0, 0o644));
    // Checked: whoever changes the application in a container sees the change.
    assert_eq!(
        flags("opt/app-root/src/__pycache__/wsgi.cpython-313.pyc"),
        0b11
    );
    let record = members
        .iter()
        .find(|(path, _)| path.contains("/flask-") && path.ends_with("/RECORD"))
        .map(|(_, member)| String::from_utf8(member.body.clone()).unwrap())
        .unwrap();
    assert!(record.contains("flask/__pycache__/app.cpython-313.pyc,,\n"));
    assert!(
        !members
            .keys()
            .any(|path| path.starts_with(&format!("{SITE}/pip/__pycache__"))),
        "pip, which no application imports, is compiled"
    );
}

#[test]
fn python_takes_it_and_writes_none() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-gunicorn"), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    let said = run_once(&image, 1001, &["python", "-v", "-c", "import flask, wsgi"]).ok();
    for path in [
        "/usr/lib/python3.13/json/__pycache__/decoder.cpython-313.pyc",
        "/opt/app-root/lib/python3.13/site-packages/flask/__pycache__/app.cpython-313.pyc",
        "/opt/app-root/src/__pycache__/wsgi.cpython-313.pyc",
    ] {
        assert!(
            said.stderr.contains(&format!("code object from '{path}'")),
            "{path} is not used"
        );
    }
    assert!(!said.stderr.contains("# wrote "), "byte code was missing");

    let edit = "echo 'print(1 + 1)' > wsgi.py; exec python -c 'import wsgi'";
    let said = run_once(&image, 1001, &["bash", "-c", edit]).ok();
    assert_eq!(said.stdout, "2\n", "a changed application is not seen");
    let name = "import flask.app; print(flask.app.Flask.__init__.__code__.co_filename)";
    let said = run_once(&image, 1001, &["python", "-c", name]).ok();
    assert_eq!(said.stdout, format!("/{SITE}/flask/app.py\n"));
}

#[test]
fn a_wheel_is_compiled_once_and_an_edit_compiles_its_portion() {
    let home = Home::seeded();
    home.forget_layers();
    let one = Project::copy_of("flask-gunicorn");
    let (first, digest) = compiled(&home, &one.path(), &[]);
    assert!(first["compiled_files"].as_u64() > Some(100), "{first}");
    assert_eq!(first["failed_files"], 0);

    // Without its layers, but with what was compiled before: the same image.
    let kept = home.store().join("compiled-before");
    fs::rename(home.store().join("s2r/compiled"), &kept).unwrap();
    home.forget_layers();
    fs::create_dir_all(home.store().join("s2r")).unwrap();
    fs::rename(&kept, home.store().join("s2r/compiled")).unwrap();
    let (again, same) = compiled(&home, &one.path(), &[]);
    assert_eq!(again["compiled_files"], 0, "{again}");
    assert_eq!(same, digest);

    // Another project with the same wheels, and many modules of its own.
    let other = Project::copy_of("flask-gunicorn");
    for number in 0..100 {
        other.write(&format!("m{number}.py"), &format!("x = {number}\n"));
    }
    other.write("tests/test_x.py", "x = 1\n");
    other.write("broken.py", "this is no Python\n");
    let (second, _) = compiled(&home, &other.path(), &[]);
    assert_eq!(second["compiled_files"], 102, "{second}");
    other.write("m50.py", "x = 'other'\n");
    let (edited, _) = compiled(&home, &other.path(), &[]);
    let count = edited["compiled_files"].as_u64().unwrap();
    assert!((1..=60).contains(&count), "{edited}");
    assert_eq!(edited["known_files"].as_u64().unwrap() + count, 102);
}

#[test]
fn less_or_none_is_made_when_less_or_none_is_wanted() {
    let home = Home::seeded();
    let source = example("flask-gunicorn");
    for (which, expected) in [("app", 1), ("none", 0)] {
        let (_, digest) = compiled(&home, &source, &["--bytecode", which]);
        let members = home.layout().members(&digest);
        let found: Vec<&String> = members
            .keys()
            .filter(|path| path.contains("/__pycache__/"))
            .collect();
        assert_eq!(found.len(), expected, "{which}: {found:?}");
    }
    let plan = home
        .run(&["plan", "--bytecode", "app", source.to_str().unwrap()])
        .ok();
    assert!(
        plan.stdout.contains("byte code     app  (--bytecode)\n"),
        "{}",
        plan.stdout
    );
}
