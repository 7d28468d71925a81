//! `APP_SCRIPT`, `APP_FILE`, their defaults, and `APP_HOME` with them.

use super::files::{APP_PY, APP_SH, MAIN_PY, MANAGE, SHOP, START, WSGI};
use super::hold;
use super::packages::{DJANGO, GUNICORN};
use super::row::{End, ROW, Row};

const APP_SH_RUNS: &[&str] = &[
    "app app.sh",
    "pid1 python -m seen serve app.sh",
    "cwd /opt/app-root/src",
    "listen 0.0.0.0:8080",
];
const APP_PY_RUNS: &[&str] = &[
    "app app.py",
    "pid1 python app.py",
    "cwd /opt/app-root/src",
    "listen 0.0.0.0:8080",
];
const START_RUNS: &[&str] = &["app start", "pid1 python -m seen serve start"];
const MAIN_RUNS: &[&str] = &["app main.py", "pid1 python main.py"];

#[test]
fn contract_defaults() {
    hold(&[
        Row {
            name: "app.sh is started",
            files: &[APP_SH],
            page: APP_SH_RUNS,
            ..ROW
        },
        Row {
            name: "app.py is started by python, and PORT is the image's",
            files: &[APP_PY],
            page: &["app app.py", "pid1 python app.py", "env PORT=8080"],
            page_lacks: &["env WEB_CONCURRENCY="],
            ..ROW
        },
        Row {
            name: "app.py gets the PORT of the start",
            files: &[APP_PY],
            start: &["PORT=9000"],
            end: End::Serves(9000),
            page: &["pid1 python app.py", "listen 0.0.0.0:9000"],
            ..ROW
        },
        Row {
            name: "app.sh goes before app.py",
            files: &[APP_PY, APP_SH],
            page: APP_SH_RUNS,
            ..ROW
        },
        Row {
            name: "app.py goes before gunicorn with wsgi.py",
            packages: &[GUNICORN],
            files: &[APP_PY, WSGI],
            page: APP_PY_RUNS,
            ..ROW
        },
        Row {
            name: "app.sh goes before everything, and nothing is migrated",
            packages: &[GUNICORN, DJANGO],
            files: &[APP_SH, APP_PY, WSGI, MANAGE],
            build: &["DISABLE_COLLECTSTATIC=1"],
            page: APP_SH_RUNS,
            log_lacks: &["MANAGE"],
            ..ROW
        },
        Row {
            name: "without APP_HOME the folders below are not looked into",
            files: &[("sub/app.py", "raise SystemExit(3)\n")],
            end: End::Refused(65),
            log: &["app.py", "APP_MODULE"],
            ..ROW
        },
        Row {
            name: "app.sh without its x bit is refused at build",
            files: &[("app.sh", "#!/bin/sh\n")],
            end: End::Refused(65),
            log: &["app.sh", "not executable"],
            ..ROW
        },
        Row {
            name: "app.sh that fails ends the container with its status",
            files: &[("app.sh*", "#!/bin/sh\necho going\nexit 7\n")],
            end: End::Exits(7),
            log: &["---> Running the script app.sh", "going"],
            ..ROW
        },
        Row {
            name: "a start script of the project replaces the image's",
            files: &[
                (
                    ".s2i/bin/run*",
                    "#!/bin/sh\nexec python -m seen serve own-run\n",
                ),
                APP_SH,
            ],
            page: &["app own-run", "cwd /opt/app-root/src"],
            log_lacks: &["--->"],
            ..ROW
        },
    ]);
}

#[test]
fn contract_app_script_and_app_file() {
    hold(&[
        Row {
            name: "APP_FILE at build takes app.sh out of the running",
            files: &[APP_SH, MAIN_PY],
            build: &["APP_FILE=main.py"],
            page: MAIN_RUNS,
            ..ROW
        },
        Row {
            name: "APP_FILE in .s2i/environment stays in the image",
            files: &[
                APP_SH,
                MAIN_PY,
                (".s2i/environment", "# ours\n\nAPP_FILE=main.py\n"),
            ],
            page: &["app main.py", "env APP_FILE=main.py"],
            ..ROW
        },
        Row {
            name: "APP_FILE at start beats that of the build",
            files: &[APP_PY, MAIN_PY],
            build: &["APP_FILE=app.py"],
            start: &["APP_FILE=main.py"],
            page: MAIN_RUNS,
            ..ROW
        },
        Row {
            name: "APP_FILE may have a blank in it",
            files: &[("my app.py", APP_PY.1)],
            build: &["APP_FILE=my app.py"],
            page: &["pid1 python 'my app.py'"],
            ..ROW
        },
        Row {
            name: "an empty APP_FILE counts as none",
            files: &[APP_PY],
            start: &["APP_FILE="],
            page: APP_PY_RUNS,
            ..ROW
        },
        Row {
            name: "an empty APP_FILE at start undoes that of the build",
            files: &[APP_SH, MAIN_PY],
            build: &["APP_FILE=main.py"],
            start: &["APP_FILE="],
            page: APP_SH_RUNS,
            ..ROW
        },
        Row {
            name: "APP_SCRIPT needs no ./ and takes app.py out of the running",
            files: &[APP_PY, START],
            build: &["APP_SCRIPT=start"],
            page: START_RUNS,
            log: &["---> Running the script start"],
            ..ROW
        },
        Row {
            name: "APP_SCRIPT may lie in a folder",
            files: &[APP_PY, ("bin/go*", START.1)],
            start: &["APP_SCRIPT=bin/go"],
            page: START_RUNS,
            ..ROW
        },
        Row {
            name: "APP_SCRIPT may be absolute",
            files: &[APP_PY, START],
            build: &["APP_SCRIPT=/opt/app-root/src/start"],
            page: START_RUNS,
            ..ROW
        },
        Row {
            name: "APP_SCRIPT goes before APP_FILE",
            files: &[START, MAIN_PY],
            build: &["APP_FILE=main.py", "APP_SCRIPT=start"],
            page: START_RUNS,
            ..ROW
        },
        Row {
            name: "APP_SCRIPT goes before APP_MODULE",
            packages: &[GUNICORN],
            files: &[START, SHOP],
            start: &["APP_MODULE=shop", "APP_SCRIPT=start"],
            build: &["APP_SCRIPT=start"],
            page: START_RUNS,
            ..ROW
        },
        Row {
            name: "APP_FILE goes before APP_MODULE",
            packages: &[GUNICORN],
            files: &[MAIN_PY, SHOP],
            build: &["APP_MODULE=shop", "APP_FILE=main.py"],
            page: MAIN_RUNS,
            ..ROW
        },
        Row {
            name: "a missing APP_SCRIPT is refused at build",
            files: &[APP_PY],
            build: &["APP_SCRIPT=no.sh"],
            end: End::Refused(65),
            log: &["APP_SCRIPT", "no.sh"],
            ..ROW
        },
        Row {
            name: "a missing APP_SCRIPT ends the start, even with an app.py",
            files: &[APP_PY],
            start: &["APP_SCRIPT=no.sh"],
            end: End::Exits(1),
            log: &["ERROR: the script no.sh, named by APP_SCRIPT, does not exist\n--- stderr"],
            ..ROW
        },
        Row {
            name: "a missing APP_SCRIPT ends the start, even with an APP_FILE",
            files: &[APP_PY],
            start: &["APP_SCRIPT=no.sh", "APP_FILE=app.py"],
            end: End::Exits(1),
            log: &["no.sh"],
            ..ROW
        },
        Row {
            name: "a missing APP_FILE is refused at build",
            files: &[APP_SH],
            build: &["APP_FILE=no.py"],
            end: End::Refused(65),
            log: &["APP_FILE", "no.py"],
            ..ROW
        },
        Row {
            name: "a missing APP_FILE ends the start, even with an app.sh",
            files: &[APP_SH],
            start: &["APP_FILE=no.py"],
            end: End::Exits(1),
            log: &["ERROR: the file no.py, named by APP_FILE, does not exist\n--- stderr"],
            ..ROW
        },
        Row {
            name: "APP_SCRIPT without an x bit ends the start with 126",
            files: &[APP_PY, ("start", START.1)],
            start: &["APP_SCRIPT=start"],
            end: End::Exits(126),
            log: &["ERROR: start is not executable"],
            ..ROW
        },
    ]);
}

#[test]
fn contract_app_home() {
    hold(&[
        Row {
            name: "APP_HOME is where app.py is looked for and started",
            files: &[("shop/app.py", APP_PY.1), APP_SH],
            build: &["APP_HOME=shop"],
            page: &[
                "app app.py",
                "pid1 python app.py",
                "cwd /opt/app-root/src/shop",
            ],
            ..ROW
        },
        Row {
            name: "APP_HOME with dots and app.sh",
            files: &[("shop/app.sh*", APP_SH.1), APP_PY],
            build: &["APP_HOME=./shop/../shop/"],
            page: &["app app.sh", "cwd /opt/app-root/src/shop"],
            ..ROW
        },
        Row {
            name: "APP_HOME may be absolute, and change at start",
            files: &[("shop/app.py", APP_PY.1), APP_SH],
            start: &["APP_HOME=/opt/app-root/src/shop"],
            page: &["app app.py", "cwd /opt/app-root/src/shop"],
            ..ROW
        },
        Row {
            name: "APP_FILE is seen from APP_HOME",
            files: &[("shop/main.py", MAIN_PY.1), APP_SH],
            build: &["APP_HOME=shop", "APP_FILE=main.py"],
            page: &["app main.py", "cwd /opt/app-root/src/shop"],
            ..ROW
        },
        Row {
            name: "APP_HOME that is not there is refused at build",
            files: &[APP_PY],
            build: &["APP_HOME=shop"],
            end: End::Refused(65),
            log: &["APP_HOME", "shop"],
            ..ROW
        },
        Row {
            name: "APP_HOME that is not there ends the start with a message",
            files: &[APP_PY],
            start: &["APP_HOME=shop"],
            end: End::Exits(1),
            log: &["ERROR: the folder of APP_HOME does not exist"],
            ..ROW
        },
    ]);
}

#[test]
fn contract_nothing_to_start() {
    hold(&[
        Row {
            name: "wsgi.py without gunicorn is refused at build, if none may be added",
            files: &[WSGI],
            build: &["S2R_ADD_SERVER="],
            end: End::Refused(65),
            log: &["gunicorn is not among"],
            ..ROW
        },
        Row {
            name: "APP_MODULE without gunicorn starts nothing, not even app.py",
            files: &[APP_PY],
            start: &["APP_MODULE=shop"],
            end: End::Exits(1),
            log: &["--- stderr\nERROR: there is nothing here that this image knows how to start."],
            ..ROW
        },
        Row {
            name: "nothing left to start after the build's APP_FILE is undone",
            packages: &[GUNICORN],
            files: &[MAIN_PY],
            build: &["APP_FILE=main.py"],
            start: &["APP_FILE="],
            end: End::Exits(1),
            log: &["--- stderr\nERROR: there is nothing here", "APP_MODULE"],
            ..ROW
        },
    ]);
}
