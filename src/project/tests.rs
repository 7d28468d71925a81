//! What files say, and what they say wrongly.

use super::*;
use crate::source::testing::{folder, tree};

fn facts(files: &[(&str, &str)]) -> ProjectFacts {
    ProjectFacts::of(&tree(&folder(files))).unwrap()
}

#[test]
fn known_files_are_found() {
    let facts = facts(&[
        ("requirements.txt", "Flask==3.0\n"),
        ("app.py", ""),
        ("pylock.dev.toml", ""),
        ("pylock.a.b.toml", ""),
        ("sub/setup.py", ""),
        ("a/b/setup.py", ""),
        ("wsgi.py", "-> app.py"),
        ("manage.py/", ""),
    ]);
    assert_eq!(facts.found, ["requirements.txt", "wsgi.py", "app.py"]);
    assert_eq!(facts.named_pylocks, ["pylock.dev.toml"]);
    assert_eq!(facts.setup_scripts(), ["sub/setup.py"]);
    assert_eq!(facts.setup_name, None);
    assert!(facts.is_directory("./") && facts.is_directory("sub") && !facts.is_directory("x"));
    assert_eq!(facts.file("wsgi.py").unwrap().shown(), "app.py");
}

#[test]
fn the_first_setup_py_names_the_distribution() {
    let below = ("sub/setup.py", "setup(name='below')\n");
    let pyproject = ("pyproject.toml", "[project]\nname = 'root'\n");
    let cfg = ("sub/setup.cfg", "[metadata]\nname = configured\n");
    for (files, expected) in [
        (vec![below, pyproject], "below"),
        (vec![below, ("setup.py", "setup(name='root')\n")], "root"),
        (vec![pyproject, ("setup.py", "setup()\n")], "root"),
        (vec![cfg, ("sub/setup.py", "setup()\n")], "configured"),
    ] {
        assert_eq!(facts(&files).setup_name.as_deref(), Some(expected));
    }
}

#[test]
fn gunicorns_settings_are_searched_comments_included() {
    let text = "bind = 'x'\n# wsgi_app later\n";
    assert_eq!(
        facts(&[("gunicorn.conf.py", text)]).wsgi_app,
        Some(SourcePlace::line("gunicorn.conf.py", 2))
    );
    assert_eq!(facts(&[("gunicorn.conf.py", "bind = 'x'")]).wsgi_app, None);
}

#[test]
fn a_procfile_names_processes() {
    let facts = facts(&[("Procfile", "web: gunicorn a:b --x\n# no: x\n\nworker:x\n")]);
    let named: Vec<_> = facts
        .processes
        .iter()
        .map(|p| (p.name.as_str(), p.command.as_str(), p.place.to_string()))
        .collect();
    assert_eq!(
        named,
        [
            ("web", "gunicorn a:b --x", "Procfile:1".to_owned()),
            ("worker", "x", "Procfile:4".to_owned())
        ]
    );
}

#[test]
fn bad_files_are_named_with_their_line() {
    for (path, text, expected) in [
        ("pyproject.toml", "[project]\nname = \n", "pyproject.toml:2"),
        ("Pipfile", "[requires\n", "Pipfile:1"),
        ("pylock.toml", "a = 1\nb b\n", "pylock.toml:2"),
        (".python-version", "\nthree\n", ".python-version:2"),
        ("runtime.txt", "ruby-3\n", "runtime.txt:1"),
        (".s2i/environment", "A=\0\n", ".s2i/environment:1"),
    ] {
        let error = ProjectFacts::of(&tree(&folder(&[(path, text)]))).unwrap_err();
        let place = crate::report::Explain::explain(&error).place;
        assert_eq!(place, expected, "{error:?}");
    }
    let folder = folder(&[("a", "")]);
    std::fs::write(folder.path().join("setup.cfg"), b"a\n\xff").unwrap();
    let error = ProjectFacts::of(&tree(&folder)).unwrap_err();
    assert!(
        matches!(&error, ProjectError::NotText { place } if place.to_string() == "setup.cfg:2"),
        "{error:?}"
    );
}

#[test]
fn the_environment_file_is_read() {
    let facts = facts(&[(".s2i/environment", "APP_MODULE='x:y'\n")]);
    assert_eq!(facts.environment[0].value, "x:y");
    assert_eq!(facts.environment_notes.len(), 1);
}

#[test]
fn a_build_script_of_node_is_seen() {
    for (text, expected) in [
        (
            r#"{"scripts": {"build": " vite build "}}"#,
            Some("vite build"),
        ),
        (r#"{"scripts": {"build": ""}}"#, None),
        (r#"{"scripts": {"start": "x"}}"#, None),
        (r#"{"scripts": ["build"]}"#, None),
        ("{", None),
    ] {
        let facts = facts(&[("package.json", text)]);
        assert_eq!(facts.node_build.as_deref(), expected, "{text}");
    }
}
