//! Any user id with group 0: a name, a home that can be written to, a database file.

use super::files::{APP_PY, WSGI};
use super::hold;
use super::packages::GUNICORN;
use super::row::{ROW, Row};

/// Written to in as many ways as applications do.
const WRITES: &str = "set -e; cd; touch a .b; mkdir -p c/d; echo x >>wsgi.py; mv a c; rm -r c .b; \
    touch ../lib/python3.13/site-packages/x ../bin/x; \
    python -c \"import sqlite3; c = sqlite3.connect('db.sqlite3'); c.execute('create table t (n)'); \
    c.execute('insert into t values (1)'); c.commit(); print(c.execute('select n from t').fetchall())\"";
const EXEC: &[(&[&str], &str)] = &[
    (&["sh", "-c", WRITES], "[(1,)]\n"),
    (
        &["sh", "-c", "id -g; echo ~; umask"],
        "0\n/opt/app-root/src\n0022\n",
    ),
];

const fn of(uid: u32, name: &'static str, page: &'static [&'static str]) -> Row {
    Row {
        name,
        packages: &[GUNICORN],
        files: &[WSGI],
        build: &["WEB_CONCURRENCY=1"],
        uid,
        page,
        exec: EXEC,
        ..ROW
    }
}

#[test]
fn contract_users() {
    hold(&[
        of(
            1001,
            "the image's own user",
            &["user default 1001:0 /opt/app-root/src"],
        ),
        of(
            12345,
            "uid 12345",
            &["user default 12345:0 /opt/app-root/src"],
        ),
        of(
            100_001,
            "uid 100001",
            &["user default 100001:0 /opt/app-root/src"],
        ),
        of(
            1_000_680_000,
            "a uid as OpenShift hands it out",
            &["user default 1000680000:0 /opt/app-root/src"],
        ),
        Row {
            name: "fix-permissions gives to the group what the owner has",
            files: &[APP_PY],
            exec: &[
                (
                    &[
                        "bash",
                        "-c",
                        "umask 077; mkdir x; echo >x/file; echo >x/tool; chmod +x x/tool; ln -s /etc/passwd x/link; \
                         fix-permissions x -P; stat -c '%g %a %n' x x/file x/tool",
                    ],
                    "0 770 x\n0 660 x/file\n0 770 x/tool\n",
                ),
                (&["fix-permissions", "/nowhere"], ""),
            ],
            ..ROW
        },
        Row {
            name: "root is root",
            files: &[APP_PY],
            uid: 0,
            page: &["user root 0:0 /root", "env HOME=/opt/app-root/src"],
            page_lacks: &["env LD_PRELOAD="],
            ..ROW
        },
        Row {
            name: "a read-only root file system",
            packages: &[GUNICORN],
            files: &[WSGI],
            build: &["WEB_CONCURRENCY=1"],
            flags: &["--read-only"],
            uid: 1_000_680_000,
            page: &["app wsgi", "user default 1000680000:0 /opt/app-root/src"],
            ..ROW
        },
        Row {
            name: "a uid without group 0 starts, with a name",
            files: &[APP_PY],
            flags: &["--user=12345:12345"],
            page: &["app app.py", "user default 12345:12345 /opt/app-root/src"],
            ..ROW
        },
        Row {
            name: "a uid that the platform has named keeps that name",
            files: &[APP_PY],
            flags: &["--passwd=true"],
            uid: 12345,
            page: &["user 12345 12345:0 /opt/app-root/src"],
            page_lacks: &["env LD_PRELOAD="],
            ..ROW
        },
        Row {
            name: "a library that was preloaded stays so",
            files: &[APP_PY],
            start: &["LD_PRELOAD=libm.so.6"],
            uid: 12345,
            page: &["user default 12345:0 /opt/app-root/src"],
            exec: &[(
                &[
                    "sh",
                    "-c",
                    "tr '\\0' '\\n' </proc/1/environ | grep -c '^LD_PRELOAD=.*libnss_wrapper.so:libm.so.6$'",
                ],
                "1\n",
            )],
            ..ROW
        },
    ]);
}
