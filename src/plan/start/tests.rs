//! Which way is taken, and what is said of the others.

use super::start_checks::below_source;
use super::*;
use crate::plan::testing::planned;
use crate::report::Explain as _;

const NONE: &str = "S2R_ADD_SERVER=";

/// Distributions of some version that are installed.
fn installed<'a>(names: &'a [&'a str]) -> impl Iterator<Item = (&'a str, String)> {
    names.iter().map(|name| match name.split_once('=') {
        Some((name, version)) => (name, version.to_owned()),
        None => (*name, "30.0".to_owned()),
    })
}

#[test]
fn candidates_are_explained() {
    let files = [
        ("requirements.txt", "gunicorn\ndjango\n"),
        ("app.py", ""),
        ("wsgi.py", ""),
        ("manage.py", ""),
    ];
    let plan = planned(&files, &["DISABLE_COLLECTSTATIC=1"]).unwrap();
    let ways: Vec<_> = plan
        .start
        .candidates
        .iter()
        .map(|one| (one.way.as_str(), one.possible, one.taken))
        .collect();
    assert_eq!(
        ways,
        [
            ("gunicorn as gunicorn.conf.py says", false, false),
            ("a script", false, false),
            ("python app.py", true, true),
            ("gunicorn wsgi", true, false),
            ("manage.py runserver", true, false),
        ]
    );
    assert!(!plan.start.migrates);
    assert_eq!(plan.advice.len(), 1, "{:?}", plan.advice);
    assert!(plan.advice[0].text.contains("gunicorn wsgi"));
    let chosen = planned(&files, &["APP_MODULE=wsgi", "DISABLE_COLLECTSTATIC=1"]).unwrap();
    assert!(chosen.start.migrates);
    assert!(chosen.advice.is_empty(), "{:?}", chosen.advice);
}

#[test]
fn what_the_projects_own_wheel_names_is_known() {
    let pyproject = (
        "pyproject.toml",
        "[build-system]\nrequires=[]\n[project]\nname='x'\ndependencies=['gunicorn>=20']\n",
    );
    let plan = planned(&[pyproject, ("wsgi.py", "")], &[]).unwrap();
    assert!(plan.advice.is_empty(), "{:?}", plan.advice);
}

#[test]
fn nothing_to_start_says_what_lacks() {
    let error = planned(&[("wsgi.py", "")], &[NONE]).unwrap_err();
    let explanation = error.explain();
    assert!(
        explanation.why.contains("gunicorn is not among"),
        "{}",
        explanation.why
    );
    assert!(explanation.next.contains("-e APP_MODULE="));
    let error = planned(&[("README.md", "")], &[]).unwrap_err();
    assert!(matches!(
        error,
        PlanError::NoStart {
            is_python: false,
            ..
        }
    ));
}

#[test]
fn what_could_serve_is_named_first_with_its_line() {
    let flask = ("requirements.txt", "flask\n");
    let fastapi = (
        "app/main.py",
        "from fastapi import FastAPI\napp = FastAPI()\n",
    );
    let error = planned(&[("requirements.txt", "fastapi\n"), fastapi], &[NONE])
        .unwrap()
        .start
        .check(installed(&["fastapi"]))
        .unwrap_err();
    assert!(
        error
            .explain()
            .next
            .contains("add uvicorn to the dependencies"),
        "{}",
        error.explain().next
    );
    let explanation = planned(&[flask, ("netbox/manage.py", "pass")], &[])
        .unwrap_err()
        .explain();
    assert!(
        explanation.why.starts_with("found: netbox/manage.py\n"),
        "{}",
        explanation.why
    );
    assert!(explanation.next.contains("`APP_HOME=netbox`"));
}

#[test]
fn an_old_gunicorn_serves_no_asgi() {
    let files = [
        ("requirements.txt", "fastapi\ngunicorn\n"),
        ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n"),
    ];
    let start = planned(&files, &[]).unwrap().start;
    assert!(start.check(installed(&["gunicorn=25.0.0"])).is_ok());
    let error = start.check(installed(&["gunicorn=23.0.0"])).unwrap_err();
    assert!(error.explain().next.contains("gunicorn>=25"));
}

#[test]
fn a_server_is_added_that_nothing_names() {
    let files = |requirements: &'static str| {
        [
            ("requirements.txt", requirements),
            ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n"),
        ]
    };
    let added = |requirements, env: &[&str]| {
        let start = planned(&files(requirements), env).unwrap().start;
        (start.strategy.value.to_string(), start.added)
    };
    let (strategy, server) = added("fastapi\n", &[]);
    assert!(strategy.starts_with("uvicorn 'main:app' "), "{strategy}");
    assert_eq!(server.unwrap().value.requirement, "uvicorn");
    let (strategy, server) = added("fastapi\n", &["S2R_ADD_SERVER=granian==2.5.0"]);
    assert!(strategy.starts_with("granian "), "{strategy}");
    assert_eq!(server.unwrap().value.requirement, "granian==2.5.0");
    // One that cannot serve this is not taken; one that is named is enough.
    assert!(
        added("fastapi\n", &["S2R_ADD_SERVER=waitress"])
            .0
            .starts_with("uvicorn ")
    );
    assert_eq!(added("fastapi\nhypercorn\n", &[]).1, None);
    assert_eq!(added("fastapi[standard]\n", &[]).1, None);
    let refused = planned(&files("fastapi\n"), &["S2R_ADD_SERVER=frob"]).unwrap_err();
    assert!(matches!(
        refused,
        PlanError::Start(StartError::UnknownServer { .. })
    ));
    let plan = planned(&files("fastapi\n"), &[]).unwrap();
    assert!(
        plan.layers
            .iter()
            .any(|one| one.text.contains("requirements.txt and uvicorn"))
    );
    assert!(
        plan.advice
            .iter()
            .any(|one| one.hint.contains("S2R_ADD_SERVER="))
    );
}

#[test]
fn process_types_of_a_procfile_are_noted_and_told() {
    let procfile = (
        "Procfile",
        "web: gunicorn hello:app\nworker: rq worker\nrelease: flask db upgrade\n",
    );
    let plan = planned(
        &[
            ("requirements.txt", "gunicorn\n"),
            procfile,
            ("hello.py", ""),
        ],
        &[],
    )
    .unwrap();
    assert!(
        plan.advice
            .iter()
            .any(|one| one.text.ends_with(": worker, release")),
        "{:?}",
        plan.advice
    );
    assert!(
        plan.advice
            .iter()
            .any(|one| one.text == "Procfile:3: nobody runs the release line"),
        "{:?}",
        plan.advice
    );
    assert_eq!(
        plan.start.notes.processes.as_deref(),
        Some("web gunicorn hello:app\nworker rq worker\nrelease flask db upgrade")
    );
    let web = ("Procfile", "web: gunicorn hello:app\n");
    let plan = planned(&[web, ("hello.py", "")], &[]).unwrap();
    assert_eq!(plan.start.notes.processes, None);
}

#[test]
fn a_project_of_django_is_told_how_gunicorn_serves_it() {
    const WSGI: &str =
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";
    for (requirements, hint) in [
        (
            "django\ngunicorn\n",
            "add the line `APP_MODULE=mysite.wsgi:application`",
        ),
        (
            "django\n",
            "add gunicorn to the dependencies and the line `APP_MODULE=mysite.wsgi:application`",
        ),
    ] {
        let files = [
            ("requirements.txt", requirements),
            ("manage.py", "pass"),
            ("mysite/__init__.py", ""),
            ("mysite/wsgi.py", WSGI),
        ];
        let advice = planned(&files, &[]).unwrap().advice;
        assert!(
            advice.iter().any(|one| one.hint.starts_with(hint)),
            "{advice:?}"
        );
    }
}

#[test]
fn what_nothing_names_may_come_along() {
    let flask = ("requirements.txt", "flask\n");
    let plan = planned(&[flask, ("wsgi.py", "")], &[NONE]).unwrap();
    let module = "wsgi".to_owned();
    assert_eq!(
        plan.start.strategy.value,
        StartStrategy::Gunicorn { module }
    );
    assert!(plan.advice[0].text.contains("needs gunicorn"));
    assert!(plan.start.check(installed(&["flask", "gunicorn"])).is_ok());
    let error = plan.start.check(installed(&["flask"])).unwrap_err();
    let explanation = error.explain();
    assert!(
        explanation.why.contains("gunicorn is not among"),
        "{}",
        explanation.why
    );
    // The project itself says what it needs only when it is built.
    let setup = ("setup.py", "setup(name='shop')\n");
    assert!(planned(&[setup], &[]).is_ok());
    assert!(planned(&[setup], &["DISABLE_SETUP_PY_PROCESSING=1"]).is_err());
    // What is certain goes before what is hoped for, and needs no check.
    let django = ("requirements.txt", "django\n");
    let files = [django, ("wsgi.py", ""), ("manage.py", "")];
    let plan = planned(&files, &["DISABLE_COLLECTSTATIC=1"]).unwrap();
    assert_eq!(plan.start.strategy.value, StartStrategy::DjangoServer);
    assert!(plan.start.check(installed(&["django"])).is_ok());
    let lock = ("pylock.toml", "lock-version = '1.0'\npackages = []\n");
    assert!(planned(&[lock, ("wsgi.py", "")], &[NONE]).is_err());
}

#[test]
fn wrong_variables_are_refused() {
    let app = ("app.py", "");
    for (env, expected) in [
        ("APP_SCRIPT=no.sh", "APP_SCRIPT"),
        ("APP_FILE=no.py", "APP_FILE"),
        ("APP_HOME=no", "APP_HOME"),
    ] {
        let error = planned(&[app], &[env]).unwrap_err();
        assert!(
            matches!(error, PlanError::NamedFile { variable, .. } if variable == expected),
            "{env}"
        );
    }
    let error = planned(&[("app.sh", "#!/bin/sh\n")], &[]).unwrap_err();
    assert!(matches!(error, PlanError::NotExecutable { path } if path == "app.sh"));
    let bare = planned(&[("app.sh*", "echo\n")], &[]).unwrap();
    assert_eq!(bare.advice.len(), 1);
    assert!(planned(&[app], &["APP_SCRIPT=/usr/bin/thing"]).is_ok());
}

#[test]
fn a_script_of_ones_own_replaces_run() {
    let files = [(".s2i/bin/run*", "#!/bin/sh\n"), ("README", "")];
    let plan = planned(&files, &[]).unwrap();
    assert_eq!(plan.command.value, ["/opt/app-root/src/.s2i/bin/run"]);
}

#[test]
fn paths_of_variables_are_seen_from_the_source() {
    for (path, expected) in [
        (".", Some(".")),
        ("a/../b/", Some("b")),
        ("/opt/app-root/src/x", Some("x")),
        ("/opt/app-root/src", Some(".")),
        ("/opt/app-root/srcs", None),
        ("..", None),
    ] {
        assert_eq!(below_source(path).as_deref(), expected, "{path}");
    }
}
