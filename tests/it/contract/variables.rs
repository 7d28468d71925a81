//! Where variables come from, which of them wins, and which never get into the image.

use super::files::APP_PY;
use super::hold;
use super::row::{End, ROW, Row};

#[test]
fn contract_variables() {
    hold(&[
        Row {
            name: ".s2i/environment: comments, blank lines, quotes, equals signs in values",
            files: &[
                APP_PY,
                (
                    ".s2i/environment",
                    "# a comment\n\nA=1\nB=x=y=z\nC=\"two words\"\nD='single'\nE=$HOME `id`\nF=\nG=a, b\n",
                ),
            ],
            page: &[
                "env A=1",
                "env B=x=y=z",
                "env C=two words",
                "env D=single",
                "env E=$HOME `id`",
                "env F=",
                "env G=a, b",
            ],
            ..ROW
        },
        Row {
            name: ".s2i/environment stays in the source",
            files: &[APP_PY, (".s2i/environment", "A=1\n")],
            exec: &[(&["cat", ".s2i/environment"], "A=1\n")],
            ..ROW
        },
        Row {
            name: "-e beats .s2i/environment, and the start beats both",
            files: &[APP_PY, (".s2i/environment", "A=file\nB=file\nC=file\n")],
            build: &["B=build", "C=build"],
            start: &["C=start"],
            page: &["env A=file", "env B=build", "env C=start"],
            ..ROW
        },
        Row {
            name: "credentials of installers do not get into the image",
            files: &[APP_PY],
            build: &["PIP_INDEX_URL=http://user:secret@127.0.0.1:9/simple", "A=1"],
            page: &["env A=1"],
            page_lacks: &["env PIP_INDEX_URL="],
            exec: &[(
                &[
                    "sh",
                    "-c",
                    "ls pip.ini ../pip.conf 2>/dev/null; grep -rl secret /opt/app-root/src /opt/app-root/etc; true",
                ],
                "",
            )],
            ..ROW
        },
        Row {
            name: "the image's own variables can be changed",
            files: &[APP_PY],
            build: &["PYTHONUNBUFFERED="],
            start: &["LC_ALL=C.UTF-8"],
            page: &["env PYTHONUNBUFFERED=", "locale C.UTF-8"],
            ..ROW
        },
        Row {
            name: ".s2iignore keeps files out, and takes them back",
            files: &[
                APP_PY,
                (".s2iignore", "*.txt\n!keep.txt\n"),
                ("drop.txt", "x"),
                ("keep.txt", "x"),
            ],
            exec: &[(&["sh", "-c", "echo *.txt"], "keep.txt\n")],
            ..ROW
        },
        Row {
            name: "a switch that excludes another is refused",
            files: &[APP_PY],
            build: &["ENABLE_PIPENV=1", "ENABLE_MICROPIPENV=1"],
            end: End::Refused(65),
            log: &["ENABLE_PIPENV", "ENABLE_MICROPIPENV"],
            ..ROW
        },
    ]);
}
