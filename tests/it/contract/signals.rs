//! Process 1: what signals do, which status comes out, who reaps orphans.

use super::files::{APP_PY, APP_SH, WSGI};
use super::hold;
use super::packages::GUNICORN;
use super::row::{End, ROW, Row};

const WRAPPED: &[&str] = &["ENABLE_INIT_WRAPPER=true"];
/// Ends with 9 on TERM and with 10 on INT.
const HANDLER: (&str, &str) = (
    "app.py",
    "import seen, signal, sys\n\
     signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n\
     signal.signal(signal.SIGINT, lambda *_: sys.exit(10))\n\
     seen.serve('app.py')\n",
);

#[test]
fn contract_signals() {
    hold(&[
        Row {
            name: "the init wrapper stands before APP_FILE, and TERM ends what has no handler",
            files: &[APP_PY],
            build: WRAPPED,
            page: &[
                "pid1 /bin/sh /usr/libexec/s2i/init-wrapper python app.py",
                "self python app.py",
                "parent /bin/sh /usr/libexec/s2i/init-wrapper python app.py",
            ],
            end: End::Stops(8080, "TERM", 143),
            ..ROW
        },
        Row {
            name: "the init wrapper stands before APP_SCRIPT, switched on at start, by any value",
            files: &[APP_SH],
            start: &["ENABLE_INIT_WRAPPER=0"],
            page: &["pid1 /bin/sh /usr/libexec/s2i/init-wrapper ./app.sh"],
            end: End::Stops(8080, "TERM", 143),
            ..ROW
        },
        Row {
            name: "sh is bash: a trap by the signal's full name, functions, source",
            files: &[
                (
                    "app.sh*",
                    "#!/bin/sh\n\
                     finish() { kill \"$child\"; wait \"$child\"; exit 7; }\n\
                     function greet { echo \"greeted $1\"; }\n\
                     source ./names\n\
                     greet \"$NAME\"\n\
                     trap finish SIGTERM\n\
                     python -m http.server 8080 &\n\
                     child=$!\n\
                     wait \"$child\"\n",
                ),
                ("names", "NAME=world\n"),
            ],
            log: &["greeted world"],
            end: End::Stops(8080, "TERM", 7),
            ..ROW
        },
        Row {
            name: "an empty ENABLE_INIT_WRAPPER is off",
            files: &[APP_PY],
            build: WRAPPED,
            start: &["ENABLE_INIT_WRAPPER="],
            page: &["pid1 python app.py"],
            ..ROW
        },
        Row {
            name: "the init wrapper makes TERM of INT",
            files: &[HANDLER],
            build: WRAPPED,
            end: End::Stops(8080, "INT", 9),
            ..ROW
        },
        Row {
            name: "the status of the child comes through after TERM",
            files: &[HANDLER],
            build: WRAPPED,
            end: End::Stops(8080, "TERM", 9),
            ..ROW
        },
        Row {
            name: "the status of the child comes through without a signal",
            files: &[("app.py", "raise SystemExit(5)\n")],
            build: WRAPPED,
            end: End::Exits(5),
            ..ROW
        },
        Row {
            name: "without the wrapper the application is process 1 and gets its signals",
            files: &[HANDLER],
            page: &["pid1 python app.py", "self python app.py"],
            end: End::Stops(8080, "INT", 10),
            ..ROW
        },
        Row {
            name: "orphans are reaped",
            files: &[(
                "app.py",
                "import subprocess, seen\n\
                 for _ in range(3): subprocess.run(['sh', '-c', 'sleep 0.1 & sleep 0.1 &'])\n\
                 seen.serve('app.py')\n",
            )],
            build: WRAPPED,
            exec: &[(
                &[
                    "sh",
                    "-c",
                    "sleep 0.5; cat /proc/[0-9]*/stat | awk '$3 == \"Z\"'",
                ],
                "",
            )],
            ..ROW
        },
        Row {
            name: "gunicorn ends in peace on TERM",
            packages: &[GUNICORN],
            files: &[WSGI],
            build: &["WEB_CONCURRENCY=1"],
            end: End::Stops(8080, "TERM", 0),
            log: &["Handling signal: term"],
            ..ROW
        },
        Row {
            name: "gunicorn ends in peace on INT",
            packages: &[GUNICORN],
            files: &[WSGI],
            build: &["WEB_CONCURRENCY=1"],
            end: End::Stops(8080, "INT", 0),
            ..ROW
        },
    ]);
}
