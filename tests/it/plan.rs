//! `s2r plan` says what would be built and why, without network and without writing.

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::tools::{Finished, finish, without_network};

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
