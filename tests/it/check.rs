//! `s2r check` and `build --check`: images that answer and images that do not are started for real, and each is told by what
//! was seen of it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::files::{Project, example};
use crate::harness::home::Home;
use crate::harness::registry::Registry;
use crate::harness::tools::{Finished, alive, finish};

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of the standard library alone: nothing has to be fetched for it.
fn server(address: &str, port: u16, answer: &str) -> String {
    format!(
        "import http.server, os, sys, time\n\
         class Page(http.server.BaseHTTPRequestHandler):\n    \
         def do_GET(self):\n        \
         {answer}\n        \
         self.end_headers()\n\
         http.server.ThreadingHTTPServer(('{address}', {port}), Page).serve_forever()\n"
    )
}

const WELL: &str = "self.send_response(200)";

/// A project that runs this as its `app.py`, built as `x`.
fn built(app: &str) -> Home {
    let home = Home::seeded();
    home.build(&project(app).path(), &["x"]);
    home
}

fn project(app: &str) -> Project {
    Project::new(&[("app.py", app)])
}

/// Checks the image, and gives what is printed of it for machines.
fn check(home: &Home, more: &[&str]) -> (Finished, Value) {
    let mut arguments = vec!["check", "x", "--json", "--progress", "none"];
    arguments.extend(more);
    let finished = home.run(&arguments);
    let object = finished.json()["check"].clone();
    (finished, object)
}

/// Checks an image that must fail, for this reason and in these words.
#[track_caller]
fn fails(home: &Home, more: &[&str], reason: &str, words: &[&str]) -> Value {
    let (_, object) = check(home, more);
    assert_eq!(object["passed"], false, "{object}");
    assert_eq!(object["reason"], reason, "{object}");
    let mut arguments = vec!["check", "x"];
    arguments.extend(more);
    home.run(&arguments).exits(65).says(words);
    object
}

#[test]
fn an_example_answers_before_it_has_its_name() {
    let home = Home::seeded();
    let path = example("flask-gunicorn");
    let path = path.to_str().unwrap();
    let built = home.run(&["build", path, "x", "--check", "--json"]).ok();
    let built = built.says(&["checked  GET / answered with 200 after "]);
    let (_, object) = check(&home, &[]);
    for object in [&built.json()["check"], &object] {
        assert_eq!(object["passed"], true);
        assert_eq!(object["status"], 200);
        assert_eq!(object["port"], 8080);
        assert_eq!(object["sought"], serde_json::json!([]));
        let memory = &object["memory"];
        let bytes = |name: &str| memory[name].as_u64().unwrap();
        assert!(bytes("processes") >= 2, "{memory}");
        assert!(bytes("proportional_bytes") <= bytes("resident_bytes"));
        assert!(bytes("resident_bytes") > 10 << 20);
    }
    // No build without one has such an object, and the image is the same.
    let other = home.run(&["build", path, "x", "--json"]).ok();
    assert_eq!(other.json()["check"], Value::Null);
    assert_eq!(other.json()["digest"], built.json()["digest"]);
    let said = home.run(&["check", "x"]).ok();
    assert!(said.line().starts_with("GET / answered with 200 after "));
}

#[test]
fn a_server_that_nobody_reaches_is_told_by_its_sockets() {
    let home = built(&server("127.0.0.1", 8080, WELL));
    fails(
        &home,
        &[],
        "loopback-only",
        &[
            "x:latest does not answer",
            "it listens on 127.0.0.1:8080 alone",
            "0.0.0.0",
        ],
    );
    let home = built(&server("0.0.0.0", 5000, WELL));
    fails(
        &home,
        &["--within", "2s"],
        "other-port",
        &["listens on 0.0.0.0:5000, not on 0.0.0.0:8080", "PORT=5000"],
    );
    let home = built("import time\nprint('working')\ntime.sleep(600)\n");
    fails(
        &home,
        &["--within", "1s"],
        "not-listening",
        &[
            "listens nowhere: not on port 8080",
            "working",
            "--check-within",
        ],
    );
}

#[test]
fn a_port_that_the_image_sets_is_asked() {
    let project = Project::new(&[
        ("app.py", &server("0.0.0.0", 5000, WELL)),
        (".s2i/environment", "PORT=5000\n"),
    ]);
    let home = Home::seeded();
    home.build(&project.path(), &["x", "--check"]);
    assert_eq!(check(&home, &[]).1["port"], 5000);
}

#[test]
fn what_is_no_answer_is_told_by_what_it_is() {
    let wild = "import socket\nserver = socket.create_server(('0.0.0.0', 8080))\nheld = []\n\
                while True:\n    caller, _ = server.accept()\n    held.append(caller)\n    ANSWER\n";
    let home = built(&wild.replace("ANSWER", "caller.sendall(b'220 mail ready\\r\\n')"));
    fails(&home, &[], "not-http", &["not HTTP/1", "gRPC"]);
    let home = built(&wild.replace("ANSWER", "pass"));
    let words = ["has not answered within 1 s"];
    fails(&home, &["--within", "1s"], "no-answer", &words);
}

#[test]
fn a_status_is_held_against_what_is_wanted() {
    let home = built(&server(
        "0.0.0.0",
        8080,
        "self.send_response({'/': 404, '/broken': 500, '/well': 204}[self.path])",
    ));
    let (_, object) = check(&home, &[]);
    assert_eq!(
        (&object["passed"], &object["status"]),
        (&true.into(), &404.into())
    );
    let object = fails(
        &home,
        &["--status", "200"],
        "status",
        &[
            "x:latest answers with 404",
            "200 is wanted",
            "--check-status 404",
        ],
    );
    assert_eq!(object["status"], 404);
    let words = ["answers with 500", "below 500 is wanted"];
    fails(&home, &["--path", "/broken"], "status", &words);
    let (_, object) = check(&home, &["--path", "/well", "--status", "204"]);
    assert_eq!(object["passed"], true);
    let named_as_in_a_build = ["--check-path", "/well", "--check-status", "204"];
    assert_eq!(check(&home, &named_as_in_a_build).1["passed"], true);
    home.run(&["check", "x", "--path", "well"]).exits(2);
    home.run(&["check", "x", "--status", "0"]).exits(2);
}

#[test]
fn an_image_remembers_what_is_wanted_of_it() {
    let app = server(
        "0.0.0.0",
        8080,
        "self.send_response(204 if self.path == '/up' else 500)",
    );
    let project = Project::new(&[
        ("app.py", &app),
        ("s2r.yaml", "check: {path: /up, status: 204, within: 20s}\n"),
    ]);
    let home = Home::seeded();
    home.build(&project.path(), &["x", "--check"]);
    let (_, object) = check(&home, &[]);
    assert_eq!(object["path"], "/up");
    assert_eq!(object["status"], 204);
    fails(&home, &["--path", "/down"], "status", &["answers with 500"]);
}

#[test]
fn a_gateway_is_waited_for() {
    let app = server(
        "0.0.0.0",
        8080,
        "self.send_response(200 if time.monotonic() > start + 1 else 503)",
    )
    .replace("class Page", "start = time.monotonic()\nclass Page");
    let home = built(&app);
    let (_, object) = check(&home, &[]);
    assert_eq!(object["status"], 200);
    assert!(object["milliseconds"].as_u64().unwrap() >= 1000, "{object}");
    let told = home.run(&["check", "x"]).ok();
    told.says(&["check | waiting for an answer on port 8080, at most 10 s"]);
}

#[test]
fn an_end_is_told_by_its_status_and_its_log() {
    for (app, status, words) in [
        (
            "import sys\nprint('no licence')\nsys.exit(3)\n",
            3,
            &["it ended with status 3", "no licence"][..],
        ),
        (
            "import no_such_module\n",
            1,
            &[
                "No module named 'no_such_module'",
                "add that to the requirements",
            ],
        ),
        (
            "import ctypes\nctypes.CDLL('libmissing.so.9')\n",
            1,
            &[
                "libmissing.so.9: cannot open",
                "Debian package that has libmissing.so.9 into Aptfile",
            ],
        ),
        (
            "import os\nos.environ['SHOP_SECRET']\n",
            1,
            &["KeyError", "-e SHOP_SECRET="],
        ),
        (
            "open('counter', 'w')\n",
            1,
            &["Read-only file system", "below /tmp"],
        ),
        (
            "import os\nos.kill(os.getpid(), 9)\n",
            137,
            &["signal 9 ended it before it answered"],
        ),
    ] {
        let home = built(app);
        let object = fails(&home, &[], "ended", words);
        assert_eq!(object["exit_status"], status, "{app}");
    }
}

#[test]
fn a_database_file_below_a_read_only_root_is_told() {
    let home = Home::seeded();
    // Migrates at each start, and its database lies beside the code.
    home.build(&example("django"), &["x"]);
    let words = [
        "unable to open database file",
        "root may be read-only",
        "DISABLE_MIGRATE=1",
    ];
    fails(&home, &[], "ended", &words);
}

#[test]
fn the_name_of_the_application_is_told() {
    let home = Home::seeded();
    home.build(&example("flask-gunicorn"), &["x"]);
    // What a build can see is wrong, it refuses itself.
    let nothing = ["-e", "APP_MODULE=wsgi:nothing"];
    let words = [
        "Failed to find attribute 'nothing' in 'wsgi'",
        "APP_MODULE=MODULE:NAME",
    ];
    fails(&home, &nothing, "ended", &words);
    let nowhere = ["-e", "APP_MODULE=nowhere:app"];
    let words = ["No module named 'nowhere'", "APP_MODULE says `nowhere:app`"];
    fails(&home, &nowhere, "ended", &words);
}

#[test]
fn memory_is_what_a_pod_would_have() {
    let eater = "import http.server\nheld = bytearray(NUMBER << 20)\n\
                 http.server.ThreadingHTTPServer(('0.0.0.0', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()\n";
    let home = built(&eater.replace("NUMBER", "700"));
    let words = ["it was ended at 512 MiB of memory", "--check-memory 1G"];
    fails(&home, &[], "out-of-memory", &words);
    let (_, object) = check(&home, &["--memory", "1G"]);
    assert_eq!(object["passed"], true, "{object}");
    // Servers read their limit where a pod has it.
    let limit = "import sys\nsys.exit(open('/sys/fs/cgroup/memory.max').read())\n";
    let home = built(limit);
    fails(&home, &[], "ended", &["536870912"]);
}

#[test]
fn a_database_that_is_sought_is_named() {
    let app = "import os, psycopg2\npsycopg2.connect(os.environ['DATABASE_URL'])\n";
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", app),
        ("requirements.txt", "psycopg2-binary\n"),
        (
            ".s2i/environment",
            "DATABASE_URL=postgresql://me:sesame@db.example/shop\n",
        ),
    ]);
    home.build(&project.path(), &["x"]);
    let named = "db.example (PostgreSQL, named by DATABASE_URL)";
    let object = fails(&home, &[], "ended", &[&format!("it sought {named}")]);
    assert_eq!(object["sought"], serde_json::json!([named]));
    let by_address = ["-e", "DATABASE_URL=postgresql://me:sesame@10.1.2.3/shop"];
    let object = fails(&home, &by_address, "ended", &["nobody was there"]);
    let named = "10.1.2.3:5432 (PostgreSQL, named by DATABASE_URL)";
    assert_eq!(object["sought"], serde_json::json!([named]));
    let finished = home.run(&["check", "x"]);
    assert!(!finished.stderr.contains("sesame"), "{}", finished.stderr);
}

#[test]
fn what_is_sought_in_vain_by_an_image_that_answers_is_told() {
    let app = server("0.0.0.0", 8080, WELL);
    let home = built(&format!(
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 6379))\nexcept OSError:\n    pass\n{app}"
    ));
    let said = home.run(&["check", "x"]).ok();
    assert!(
        said.stdout
            .contains("it sought 127.0.0.1:6379 (Redis) in vain"),
        "{}",
        said.stdout
    );
}

#[test]
fn what_fails_is_neither_named_nor_pushed_nor_written() {
    let home = Home::seeded();
    let registry = Registry::start();
    let name = format!("{}:1", registry.repository("app"));
    let other = format!("{}:2", registry.repository("app"));
    let archive = home.dir().join("app.tar");
    let output = format!("oci-archive:{}", archive.display());
    let build = |app: &str| {
        finish(
            home.command(&["build", "--push", "--check", "-t", &other])
                .arg(project(app).path())
                .args([&name, "-o", &output]),
        )
    };
    let before = images(&home);
    build("import sys\nsys.exit(3)\n")
        .exits(65)
        .says(&[&format!("{name} does not answer"), "without --check"]);
    assert_eq!(registry.manifest("app", "1"), None);
    assert!(!archive.exists());
    assert_eq!(images(&home), before);
    build(&server("0.0.0.0", 8080, WELL)).ok();
    let manifest = registry.manifest("app", "1");
    assert!(manifest.is_some() && archive.exists());
    // What was there before stays.
    build("import sys\nsys.exit(3)\n").exits(65);
    assert_eq!(registry.manifest("app", "1"), manifest);
    home.run(&["check", &other]).ok();
}

fn images(home: &Home) -> String {
    home.run(&["images"]).ok().stdout
}

#[test]
fn two_checks_at_once_do_not_meet() {
    let app = server("0.0.0.0", 8080, WELL)
        .replace("import http", "import time\ntime.sleep(1)\nimport http");
    let home = built(&app);
    let start = || {
        home.command(&["check", "x"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut checks: Vec<Child> = (0..3).map(|_| start()).collect();
    for check in &mut checks {
        assert!(check.wait().unwrap().success());
    }
}

#[test]
fn nothing_is_left_however_a_check_ends() {
    let mark = format!("sleeper-{}", std::process::id());
    let app = "import os, subprocess, sys\n\
         subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'MARK'], start_new_session=True)\n\
         WHAT\n"
        .replace("MARK", &mark);
    let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    let home = built(&app.replace("WHAT", &server("0.0.0.0", 8080, WELL)));
    home.run(&["check", "x"]).ok();
    assert_eq!(alive(&mark), Vec::<String>::new());
    let scratch = home.store().join("tmp");
    let left = || fs::read_dir(&scratch).map_or(0, Iterator::count);
    assert_eq!(left(), 0);
    let home = built(&app.replace("WHAT", "import time; time.sleep(600)"));
    for signal in ["INT", "TERM", "KILL"] {
        let mut child = home
            .command(&["check", "x", "--within", "60s"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the image's processes", || !alive(&mark).is_empty());
        let pid = child.id().to_string();
        finish(Command::new("kill").args(["-s", signal, &pid])).ok();
        child.wait().unwrap();
        wait_for("their end", || alive(&mark).is_empty());
    }
    assert_eq!(mounts(), before);
    // The next command clears away what a killed one left.
    home.run(&["check", "x", "--within", "1s"]).exits(65);
    assert_eq!(
        fs::read_dir(home.store().join("tmp")).map_or(0, Iterator::count),
        0
    );
}

#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn where_nothing_can_be_looked_at_that_is_said_before_the_build() {
    let home = Home::seeded();
    let project = project(&server("0.0.0.0", 8080, WELL));
    let path = project.path();
    let path = path.to_str().unwrap();
    for isolation in ["none", "chroot"] {
        let build = ["build", path, "x", "--check", "--isolation", isolation];
        let refused = home.run(&build).exits(69);
        refused.says(&["an image cannot be checked here", "leave --check out"]);
    }
    let other = if cfg!(target_arch = "x86_64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    home.run(&["build", path, "x", "--check", "--platform", other])
        .exits(2)
        .says(&["none of the image's platforms can be checked here", other]);
    home.run(&["check", "x"]).exits(2);
    home.run(&["build", path, "x", "--check-path", "/"])
        .exits(2);
}

#[test]
fn one_of_several_platforms_is_checked() {
    let home = Home::seeded();
    let project = project(&server("0.0.0.0", 8080, WELL));
    let path = project.path();
    let platforms = "linux/amd64,linux/arm64";
    let built = home
        .run(&[
            "build",
            path.to_str().unwrap(),
            "x",
            "--check",
            "--platform",
            platforms,
            "--json",
        ])
        .ok();
    let built = built.says(&["is checked, not linux/"]);
    assert_eq!(built.json()["check"]["passed"], true);
    home.run(&["check", "x"]).ok();
}
