//! What `build`, `release`, `processes` and `test` of `s2r.yaml` have run, and where.

use crate::harness::container::{Container, run_once, run_with};
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::registry::Registry;
use crate::harness::servers::{MariaDb, Postgres, Redis};
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

const UID: u32 = 1_000_680_000;
const APP: (&str, &str) = ("app.py", "print(open('built.txt').read())\n");

fn built(home: &Home, project: &Project, more: &[&str]) -> Finished {
    let mut command = home.command(&["build"]);
    finish(command.arg(project.path()).arg("app").args(more))
}

fn image(home: &Home, built: &Finished) -> String {
    home.layout().reference(digest_of(built.line()))
}

#[test]
fn commands_of_build_write_a_layer_and_run_once() {
    let home = Home::seeded();
    let project = Project::new(&[
        APP,
        (
            "s2r.yaml",
            "environment: {GREETING: hello}\n\
             build:\n\
             - echo \"$GREETING from $PWD\" > built.txt; mkdir -p ui/node_modules; touch ui/node_modules/x\n\
             - tr a-z A-Z < built.txt > $HOME/tmp; mv tmp built.txt; touch \"$XDG_CACHE_HOME\" /lost\n\
             - python -c 'import sys; print(sys.prefix)' >> built.txt\n",
        ),
        ("ui/package.json", "{}"),
    ]);
    let first = built(&home, &project, &[]).ok();
    let image = image(&home, &first);
    let seen = run_once(&image, UID, &["cat", "built.txt"]).ok();
    assert_eq!(seen.stdout, "HELLO FROM /OPT/APP-ROOT/SRC\n/opt/app-root\n");
    first.says(&["outside /opt/app-root, such as /lost"]);
    let listed = run_once(&image, UID, &["sh", "-c", "LC_ALL=C ls -A . ui /lost"]);
    assert_eq!(
        listed.stdout,
        ".:\n__pycache__\napp.py\nbuilt.txt\ns2r.yaml\nui\n\nui:\npackage.json\n"
    );

    // Nothing is run that ran before; an edit of the source, or of a variable, is another input.
    for (more, runs) in [
        (&["--offline"][..], false),
        (&["-e", "GREETING=good day"], true),
        (&["-e", "GREETING=good day"], false),
    ] {
        let again = built(&home, &project, more).ok();
        let said = &again.stderr;
        assert_eq!(said.contains("changes made"), runs, "{more:?}\n{said}");
    }
    project.write("app.py", "print('other')\n");
    assert!(
        built(&home, &project, &[])
            .ok()
            .stderr
            .contains("changes made")
    );
}

#[test]
fn a_command_of_build_that_fails_stops_the_build_with_its_line() {
    let home = Home::seeded();
    let project = Project::new(&[
        APP,
        (
            "s2r.yaml",
            "build:\n- echo one\n- echo what went wrong >&2; exit 4\n- echo three\n",
        ),
    ]);
    let failed = built(&home, &project, &[]).exits(65);
    let failed = failed.says(&["status 4", "s2r.yaml:3: echo what", "what went wrong"]);
    assert!(!failed.stderr.contains("three"), "{}", failed.stderr);
    assert!(!home.run(&["images"]).ok().stdout.contains("app:latest"));
    // An assemble script of the project's own would take their place.
    project.write(".s2i/bin/assemble", "#!/bin/sh\n");
    let refused = built(&home, &project, &[]).exits(65);
    refused.says(&["s2r.yaml:2", ".s2i/bin/assemble"]);
}

#[test]
fn a_command_of_build_has_the_network_only_if_it_asks() {
    let home = Home::seeded();
    let index = Index::serving(&[Wheel::new("six", "1.0")], None, Fault::None);
    let address = format!("{}/six/", index.url(None).trim_end_matches('/'));
    let asks = format!(
        "from urllib.request import ProxyHandler, build_opener\n\
         print(build_opener(ProxyHandler({{}})).open('{address}').status)\n"
    );
    let project = Project::new(&[APP, ("ask.py", &asks)]);
    let closed = "build: [python ask.py > built.txt]\n";
    project.write("s2r.yaml", closed);
    built(&home, &project, &[])
        .exits(65)
        .says(&["s2r.yaml:1", "network: true"]);
    project.write(
        "s2r.yaml",
        "build: [{run: python ask.py > built.txt, network: true}]\n",
    );
    built(&home, &project, &["--offline"])
        .exits(69)
        .says(&["s2r.yaml:1", "--offline"]);
    let open = built(&home, &project, &[]).ok();
    let seen = run_once(&image(&home, &open), UID, &["cat", "built.txt"]).ok();
    assert_eq!(seen.stdout, "200\n");
    // What it left is kept, and asks nobody.
    built(&home, &project, &["--offline"]).ok();
}

#[test]
fn node_builds_what_is_served_and_stays_out() {
    let home = Home::with_compiler();
    let project = Project::copy_of("node-assets");
    let first = built(&home, &project, &[]).ok();
    let container = Container::start(&image(&home, &first), UID);
    assert!(container.page("/static/app.js").contains("Hello from "));
    let looked = container.exec(&["sh", "-c", "ls; command -v node npm; ls -A ~/.npm"]);
    assert!(looked.stdout.contains("static\n"), "{}", looked.stdout);
    assert!(!looked.stdout.contains("node"), "{}", looked.stdout);
    drop(container);
    let again = built(&home, &project, &["--offline"]).ok();
    assert_eq!(again.stdout, first.stdout);
    assert!(!again.stderr.contains("esbuild"), "{}", again.stderr);
    // A lock pins what builds, Node among it.
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let lock = std::fs::read_to_string(project.path().join("s2r.lock")).unwrap();
    assert!(lock.contains("\"nodejs\""), "{lock}");
}

#[test]
fn tests_that_fail_stop_name_and_push() {
    let home = Home::seeded();
    let registry = Registry::start();
    let name = format!("{}:v1", registry.repository("tested"));
    let project = Project::new(&[
        ("app.py", "ANSWER = 42\n"),
        ("s2r.yaml", "\ntest: pytest -q\n"),
        ("requirements-test.txt", "pytest==9.1.1\n"),
        (
            "test_app.py",
            "import os, socket\n\
             from app import ANSWER\n\
             def test_answer():\n    assert ANSWER == 42\n\
             def test_user():\n    assert (os.getuid(), os.getgid()) == (1000680000, 0)\n\
             def test_loopback():\n    server = socket.create_server(('127.0.0.1', 0))\n    socket.create_connection(server.getsockname())\n",
        ),
    ]);
    let build = |more: &[&str]| {
        let mut command = home.command(&["build"]);
        finish(
            command
                .arg(project.path())
                .args([&name, "--push"])
                .args(more),
        )
    };
    let names = || home.run(&["images"]).ok().stdout;

    project.write("app.py", "ANSWER = 41\n");
    let failed = build(&[]).exits(65);
    failed.says(&["test failed", "s2r.yaml:2: pytest -q", "assert 41 == 42"]);
    assert!(registry.manifest("tested", "v1").is_none());
    assert!(!names().contains("tested:v1"), "{}", names());
    build(&["--no-test"])
        .ok()
        .says(&["not run (--no-test): pytest -q"]);
    assert!(registry.manifest("tested", "v1").is_some());

    project.write("app.py", "ANSWER = 42\n");
    let passed = build(&[]).ok().says(&["3 passed", "requirements-test.txt"]);
    let inside = run_once(
        &image(&home, &passed),
        UID,
        &["sh", "-c", "command -v pytest; ls *.*"],
    );
    assert_eq!(
        inside.stdout,
        "app.py\nrequirements-test.txt\ns2r.yaml\ntest_app.py\n"
    );
    // What passed once is not run again for the same layers; who asks for it gets it.
    let again = build(&[]).ok().says(&["passed before"]);
    assert!(!again.stderr.contains("3 passed"), "{}", again.stderr);
    build(&["--refresh"]).ok().says(&["3 passed"]);

    // pytest by itself does not look in the root.
    project.write("tests/test_answer.py", "import app\n");
    project.write("s2r.yaml", "\ntest: pytest -q tests\n");
    let missed = build(&[]).exits(65);
    missed.says(&["status 2", "app lies in", "test: python -m pytest -q tests"]);
    project.write("s2r.yaml", "\ntest: pytest -q\n");

    // Tests that are not in the image are not found.
    project.write(".s2iignore", "test_*\ntests/\n");
    build(&[]).exits(65).says(&["status 5", ".s2iignore"]);
}

#[test]
fn a_release_that_never_succeeds_ends_the_container() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "print('served')\n"),
        ("s2r.yaml", "release: exit 7\n"),
    ]);
    let image = image(&home, &built(&home, &project, &[]).ok());
    let ended = run_with(&image, UID, &["--env", "S2R_RELEASE_TIMEOUT=1"], &[]).exits(7);
    let ended = ended.says(&["status 7; next attempt in 1 s", "the server is not started"]);
    assert!(!ended.stdout.contains("served"), "{}", ended.stdout);
    let skipped = run_with(&image, UID, &["--env", "DISABLE_MIGRATE=1"], &[]).ok();
    assert!(skipped.stdout.contains("served"), "{}", skipped.stdout);
    // As a job of its own it is run once.
    run_with(&image, UID, &[], &["release"]).exits(7);
}

#[test]
fn flask_site() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-site"), &["flask-site"]);
    let image = home.layout().reference(digest_of(&reference));
    let postgres = Postgres::prepared();
    let redis = Redis::start();
    let database = format!("DATABASE_URL={}", postgres.url());
    let queue = format!("REDIS_URL={}", redis.url());
    let flags = [
        "--env",
        &database,
        "--env",
        &queue,
        "--read-only",
        "--tmpfs",
        "/tmp",
    ];

    // The container is there before its database.
    let site = Container::start_with(&image, UID, &flags);
    site.says("next attempt in 1 s");
    let _postgres = postgres.start();
    assert_eq!(
        site.page("/"),
        "0 entries, 0 words\nno search here: SEARCH_URL is not set\n"
    );
    let ask = "import sys, urllib.request as r; q = r.Request('http://127.0.0.1:' + sys.argv[1], data=sys.argv[2].encode() or None, headers={'Accept-Language': 'de'}); print(r.urlopen(q).read().decode())";
    let port = site.port().to_string();
    site.exec(&["python", "-c", ask, &port, "three words here"])
        .ok();
    let german = site.exec(&["python", "-c", ask, &port, ""]).ok().stdout;
    assert!(
        german.starts_with("1 Einträge, 0 Wörter\nohne Suche"),
        "{german}"
    );
    let log = site.logs();
    assert!(
        log.contains("Running the release command, attempt 2"),
        "{log}"
    );

    let worker = Container::start_as(&image, UID, &flags, &["worker"]);
    site.page_says("/", "1 entries, 3 words");
    assert!(!worker.logs().contains("release"), "{}", worker.logs());
    worker.stop();
    site.stop();

    // The same image and queue upon MariaDB.
    let mariadb = MariaDb::start();
    let database = format!("DATABASE_URL={}", mariadb.url());
    let mut flags = flags;
    flags[1] = &database;
    let site = Container::start_with(&image, UID, &flags);
    site.page_says("/", "0 entries, 0 words");
    let port = site.port().to_string();
    site.exec(&["python", "-c", ask, &port, "two words"]).ok();
    let worker = Container::start_as(&image, UID, &flags, &["worker"]);
    site.page_says("/", "1 entries, 2 words");
    worker.stop();
    site.stop();
}

#[test]
fn rest_service() {
    let home = Home::with_compiler();
    let mut command = home.command(&["build"]);
    let built = finish(command.arg(example("rest-service")).arg("rest")).ok();
    let built = built.says(&["3 passed", "group test of pyproject.toml"]);
    let image = image(&home, &built);
    let postgres = Postgres::start();
    // What SQLAlchemy has psycopg2 for.
    let postgres_url = postgres.url().replace("+psycopg:", ":");
    let ask = "import os, urllib.request as r; a = 'http://127.0.0.1:' + os.environ['PORT']; n = r.urlopen(a + '/notes', data=b'buy milk').read().decode().strip(); print(n, r.urlopen(a + n).read().decode())";
    for url in ["", &postgres_url] {
        let database = format!("DATABASE_URL={url}");
        // A worker lives for a minute at least, unless told otherwise.
        let renewed =
            "--env=UWSGI_MAX_REQUESTS=2 --env=UWSGI_MIN_WORKER_LIFETIME=1 --env=WEB_CONCURRENCY=1";
        let mut flags = vec!["--env", &database];
        flags.extend(renewed.split(' '));
        let container = Container::start_with(&image, UID, &flags);
        container.says("WSGI app 0");
        // So that it has lived for a second, whose beginnings alone uWSGI counts.
        std::thread::sleep(std::time::Duration::from_secs(2));
        for number in 1..4 {
            let created = container.exec(&["python", "-c", ask]).ok().stdout;
            assert_eq!(created, format!("/notes/{number} buy milk\n"));
        }
        container.says("Respawned uWSGI worker");
        let missing = container.exec(&["python", "-c", "import pytest"]);
        assert_eq!(missing.code, Some(1), "pytest is in the image");
        // A worker that is only starting misses that it is to end, so here none is renewed.
        let steady = Container::start_with(&image, UID, &["--env", &database]);
        steady.says("WSGI app 0");
        steady.exec(&["python", "-c", ask]).ok();
        steady.exec(&["sh", "-c", "echo q > /tmp/uwsgi.fifo"]).ok();
        assert_eq!(steady.ends(), 0, "{}", steady.logs());
    }
}
