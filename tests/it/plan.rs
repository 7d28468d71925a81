//! `s2r plan` says what would be built and why, without network and without writing.

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::tools::{Finished, finish, without_network};
use serde_json::Value;

/// Runs `s2r plan` without any network interface.
#[track_caller]
fn plan(home: &Home, source: &std::path::Path, more: &[&str]) -> Finished {
    let mut command = home.command_under(without_network(), &["plan"]);
    finish(command.arg(source).args(more)).ok()
}

#[test]
fn each_example_is_planned() {
    for (name, texts) in [
        (
            "flask-gunicorn",
            &["gunicorn", "wsgi", "requirements.txt", "python-3.13"][..],
        ),
        ("app-module", &["greeter.web:app", ".s2i/environment"]),
        ("script", &["app.py"]),
        ("shell", &["app.sh", "ENABLE_INIT_WRAPPER"]),
        ("numpy", &["wsgi", "requirements.txt"]),
    ] {
        let home = Home::empty();
        let text = plan(&home, &example(name), &[]).stdout;
        for expected in texts {
            assert!(
                text.contains(expected),
                "{name}: no {expected:?} in\n{text}"
            );
        }
        let json = plan(&home, &example(name), &["--json"]).json();
        assert!(json.is_object(), "{json}");
        assert!(!home.data().exists(), "s2r plan wrote into the data folder");
    }
}

#[test]
fn several_candidates_are_explained() {
    let home = Home::empty();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("wsgi.py", "application = None\n"),
        ("manage.py", "pass\n"),
        ("requirements.txt", "gunicorn==27.0.1\n"),
    ]);
    let planned = plan(&home, &project.path(), &[]);
    let said = planned.stdout + &planned.stderr;
    for expected in ["app.py", "wsgi.py", "APP_MODULE"] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
}

#[test]
fn the_command_line_outranks_the_file() {
    let home = Home::empty();
    let json = |more: &[&str]| plan(&home, &example("app-module"), more).stdout;
    assert!(json(&["--json"]).contains("Hello from APP_MODULE"));
    let over = json(&["--json", "-e", "GREETING=Ahoj"]);
    assert!(
        over.contains("Ahoj") && !over.contains("Hello from APP_MODULE"),
        "{over}"
    );
}

/// The kind of layer that a built one is of, by what it says that it holds.
fn kind_of(contents: &str) -> &'static str {
    let kinds = [
        ("Debian ", "base"),
        ("packages: ", "packages"),
        ("byte code of ", "library-bytecode"),
        ("virtual environment", "skeleton"),
        ("pip==", "pip"),
        ("greeter==", "project"),
        ("source: ", "source"),
        ("changes", "changes"),
    ];
    let mut kinds = kinds.into_iter();
    let found = kinds.find(|(start, _)| contents.starts_with(start));
    found.map_or("dependencies", |(_, kind)| kind)
}

#[test]
fn the_layers_of_a_built_image_are_those_of_the_plan() {
    for (name, settings) in [
        ("setup-py", "build: [touch made]\n"),
        ("flask-uwsgi-nginx", ""),
    ] {
        let home = Home::seeded();
        let project = Project::copy_of(name);
        if !settings.is_empty() {
            project.write("s2r.yaml", settings);
        }
        let json = |command| {
            let arguments = [command, "--json"];
            finish(home.command(&arguments).arg(project.path()))
                .ok()
                .json()
        };
        let planned = json("plan");
        let texts = |list: &Value, key: &str| -> Vec<String> {
            let list = list.as_array().unwrap().iter();
            list.map(|one| one[key].as_str().unwrap().to_owned())
                .collect()
        };
        let planned = texts(&planned["layers"], "kind");
        let built = json("build");
        let contents = texts(&built["platforms"][0]["layers"], "contents");
        let mut kinds: Vec<&str> = contents.iter().map(|text| kind_of(text)).collect();
        kinds.dedup();
        assert_eq!(planned, kinds, "{name}: {contents:?}");
    }
}
