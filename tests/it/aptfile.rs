//! Debian packages that a project asks for.

use std::fs;

use crate::builds::{BACKEND, PYPROJECT};
use crate::harness::container::{Container, run_once};
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

/// Answers with what the packages of the Aptfile below are good for.
const APP: &str = r#"
import ctypes, os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        text = subprocess.run(["jq", "-r", ".a[1]"], input=b'{"a": [1, "two"]}', capture_output=True).stdout
        text += b"%d\n" % (ctypes.CDLL("libpq.so.5").PQlibVersion() >= 100000)
        text += b"%s\n" % str(os.path.exists("/usr/include/jq.h")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
HTTPServer(("", int(os.environ.get("PORT") or 8080)), Answer).serve_forever()
"#;

#[test]
fn packages_of_the_aptfile_lie_above_the_base() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", APP),
        (
            "Aptfile",
            "# what the page needs\njq\nlibpq5  # by ctypes\nlibjq-dev\n",
        ),
    ]);
    let plain = home.build(&Project::copy_of("script").path(), &["plain"]);
    let built = home.build(&project.path(), &["apt"]);

    let layers = |reference: &str| -> Vec<(String, String)> {
        let manifest = home.layout().document(digest_of(reference));
        let layers = manifest["layers"].as_array().unwrap().clone();
        layers
            .iter()
            .map(|layer| {
                let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                (
                    text(&layer["digest"]),
                    text(&layer["annotations"]["io.s2r.layer.contents"]),
                )
            })
            .collect()
    };
    let (of_plain, of_built) = (layers(&plain), layers(&built));
    assert_eq!(of_plain[..3], of_built[..3], "the base is everybody's");
    assert_eq!(of_built[3].1, "packages: jq, libpq5");
    assert_eq!(of_plain[3..5], of_built[4..6]);
    let inspected = home.run(&["inspect", "apt"]).ok().stdout;
    for package in ["jq=", "libjq1=", "libpq5=", "python3.13="] {
        assert!(inspected.contains(package), "{package}: {inspected}");
    }
    assert!(!inspected.contains("libjq-dev="), "{inspected}");

    let image = home.layout().reference(digest_of(&built));
    let container = Container::start(&image, 1_000_680_000);
    assert_eq!(container.page("/"), "two\n1\nFalse\n");
    drop(container);

    // Pinned, they need no suite.
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let lock = fs::read_to_string(project.path().join("s2r.lock")).unwrap();
    assert!(lock.contains("\"added_packages\"") && lock.contains("\"libpq5\""));
    fs::remove_dir_all(home.store().join("s2r/records")).unwrap();
    let locked = home.build(&project.path(), &["apt", "--locked", "--offline"]);
    assert_eq!(layers(&locked)[..4], of_built[..4]);
    project.write("Aptfile", "jq\n");
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["apt", "--locked"]),
    )
    .exits(65)
    .says(&["s2r.lock", "Aptfile"]);
}

#[test]
fn what_cannot_be_installed_is_named_by_its_line() {
    let home = Home::seeded();
    for (text, says) in [
        (
            "jq\nno-such-package-at-all\n",
            ["Aptfile:2", "no-such-package-at-all"],
        ),
        ("\nppa:deadsnakes/ppa\n", ["Aptfile:2", "archive"]),
        ("jq=1.7\n", ["Aptfile:1", "s2r lock"]),
    ] {
        let project = Project::new(&[("app.py", "pass\n"), ("Aptfile", text)]);
        finish(home.command(&["build"]).arg(project.path()).arg("x"))
            .exits(65)
            .says(&says);
    }
}

#[test]
fn programs_of_the_aptfile_run() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (
            "Aptfile",
            "ffmpeg\nimagemagick\npostgresql-client\nlibzbar0\nlibopenblas0\nnetcat-openbsd\ngawk\n",
        ),
    ]);
    let built = home.build(&project.path(), &["apt"]);
    let image = home.layout().reference(digest_of(&built));
    let find = "import ctypes, ctypes.util as u; print(*(u.find_library(n) for n in ('zbar', 'blas', 'c')), ctypes.CDLL('libblas.so.3')._name)";
    for (command, expected) in [
        (&["ffmpeg", "-version"][..], "ffmpeg version"),
        (&["convert", "-version"], "Version: ImageMagick"),
        (&["psql", "--version"], "psql (PostgreSQL)"),
        (&["awk", "--version"], "GNU Awk"),
        (&["sh", "-c", "nc -h 2>&1"], "OpenBSD netcat"),
        (
            &["python", "-c", find],
            "libzbar.so.0 libblas.so.3 libc.so.6 libblas.so.3",
        ),
    ] {
        let ran = run_once(&image, 1_000_680_000, command).ok();
        assert!(
            ran.stdout.starts_with(expected),
            "{command:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
    // What the project did not ask for is as the builder has it.
    let plain = home.build(&Project::copy_of("script").path(), &["plain"]);
    let inspected = home.run(&["inspect", "plain"]).ok().stdout;
    assert!(!inspected.contains("perl-base="), "{inspected}");
    let image = home.layout().reference(digest_of(&plain));
    for (command, expected) in [
        (
            &[
                "python",
                "-c",
                "import ctypes.util as u; print(u.find_library('sqlite3'))",
            ][..],
            "libsqlite3.so.0\n",
        ),
        (&["awk", "BEGIN { print 1 + 1 }"], "2\n"),
        (&["which", "sh"], "/usr/bin/sh\n"),
    ] {
        assert_eq!(run_once(&image, 1001, command).ok().stdout, expected);
    }
}

/// Compiles a library that links jq's.
const LINKING: &str = r##"
import subprocess

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("own.c", "w") as source:
        source.write("#include <jq.h>\nint starts(void) { return jq_init() != 0; }\n")
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-o", "own.so", "own.c", "-ljq"])
    with open("own.so", "rb") as made:
        return _wheel(folder, {"own.so": made.read()})
"##;

#[test]
fn a_wheel_that_links_what_the_image_lacks_brings_its_package() {
    let home = Home::seeded();
    let backend = format!("{BACKEND}{LINKING}");
    let project = Project::new(&[
        ("app.py", "print('up')\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", &backend),
        ("Aptfile", "libjq-dev\n"),
    ]);
    let build = |options: &[&str]| {
        finish(
            home.command(&["build"])
                .args(options)
                .arg(project.path())
                .arg("own"),
        )
    };
    build(&["-e", "S2R_SYSTEM_PACKAGES="]).exits(65).says(&[
        "links libjq.so.1",
        "`libjq1`",
        "Aptfile",
    ]);
    let starts = || {
        let program = "import ctypes, sys; print(ctypes.CDLL(sys.prefix + '/lib/python3.13/site-packages/own.so').starts())";
        let said = home.run(&["run", "own", "--", "python", "-c", program]);
        assert_eq!(said.ok().stdout, "1\n");
    };
    let added = "libjq1 is added: shop was built here and links it";
    let built = build(&[]).ok();
    assert!(built.stderr.contains(added), "{}", built.stderr);
    starts();
    // What was built before is known with its packages.
    let again = build(&[]).ok();
    assert_eq!(again.line(), built.line());
    assert!(again.stderr.contains(added), "{}", again.stderr);
    project.write("Aptfile", "libjq-dev\nlibjq1\n");
    let named = build(&[]).ok();
    assert!(!named.stderr.contains(added), "{}", named.stderr);
    starts();
}

#[test]
fn generators_of_packages_are_run_and_other_scripts_are_told() {
    let home = Home::seeded();
    let aptfile =
        "graphviz\nshared-mime-info\nlibglib2.0-bin\ngsettings-desktop-schemas\nredis-tools\n";
    let project = Project::new(&[("app.py", "print('up')\n"), ("Aptfile", aptfile)]);
    let build = || finish(home.command(&["build"]).arg(project.path()).arg("x")).ok();
    let built = build();
    assert!(
        built
            .stderr
            .contains("scripts of packages were not run: redis-tools (chown, chmod, adduser)"),
        "{}",
        built.stderr
    );
    assert!(
        !built.stderr.contains('`'),
        "nothing else is told: {}",
        built.stderr
    );
    let image = home.layout().reference(digest_of(built.line()));
    for (command, expected) in [
        (
            "echo 'digraph { a -> b }' | dot -Tsvg | grep -c '<ellipse'",
            "2\n",
        ),
        (
            "gio info -a standard::content-type /usr/share/mime/packages/freedesktop.org.xml | grep -c application/xml",
            "1\n",
        ),
        (
            "gsettings list-schemas | grep -c '^org.gnome.desktop.interface$'",
            "1\n",
        ),
    ] {
        let ran = run_once(&image, 1_000_680_000, &["sh", "-c", command]).ok();
        assert_eq!(ran.stdout, expected, "{command}: {}", ran.stderr);
    }
    // Kept by what lies below, and the same when it is made anew.
    let again = build();
    assert_eq!(again.line(), built.line());
    assert!(!again.stderr.contains(" 1 made"), "{}", again.stderr);
    home.forget_layers();
    assert_eq!(build().line(), built.line());
    // Where nothing can be run, that is told, with what it means.
    let other = home
        .command(&["build", "--platform", "linux/arm64"])
        .arg(project.path())
        .arg("y")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stderr);
    let line = "libgvc6: `/usr/sbin/libgvc6-config-update -c` was not run (it is for another processor), and without it `dot` finds no layout engine";
    assert!(said.contains(line), "{said}");
}
