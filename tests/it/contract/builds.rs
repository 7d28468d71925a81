//! What a build does besides installing what is required: the project itself, static files, a script of the
//! project's own; and the variables that leave it out. The only rows whose builds run code.

use super::files::{APP_PY, File, MANAGE, WSGI};
use super::hold;
use super::packages::{DJANGO, GUNICORN};
use super::row::{End, Files, ROW, Row};

const SETUP: File = (
    "setup.py",
    "from setuptools import setup\nsetup(name='shop', py_modules=['shop_module'], package_dir={'': 'src'})\n",
);
const MODULE: File = ("src/shop_module.py", "NAME = 'shop'\n");
const PYPROJECT: File = (
    "pyproject.toml",
    "[project]\nname = 'shop'\nversion = '1'\n[tool.setuptools]\npy-modules = ['shop_module']\npackage-dir = { '' = 'src' }\n\
     [build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n",
);
const NO_SETUP: &str = "DISABLE_SETUP_PY_PROCESSING=1";
const NO_PYPROJECT: &str = "DISABLE_PYPROJECT_TOML_PROCESSING=1";

const WHERE: &[&str] = &[
    "python",
    "-c",
    "from importlib.util import find_spec as f; s = f('shop_module'); print(s and s.origin)",
];
const INSTALLED: &[(&[&str], &str)] = &[(
    WHERE,
    "/opt/app-root/lib/python3.13/site-packages/shop_module.py\n",
)];
const NOT_INSTALLED: &[(&[&str], &str)] = &[(WHERE, "None\n")];

const fn install(
    name: &'static str,
    files: Files,
    build: &'static [&'static str],
    exec: &'static [(&'static [&'static str], &'static str)],
) -> Row {
    Row {
        name,
        files,
        build,
        exec,
        page: &["app app.py"],
        ..ROW
    }
}

#[test]
fn contract_installs() {
    hold(&[
        install(
            "setup.py installs the project",
            &[APP_PY, SETUP, MODULE],
            &[],
            INSTALLED,
        ),
        install(
            "setup.py does not with DISABLE_SETUP_PY_PROCESSING",
            &[APP_PY, SETUP, MODULE],
            &[NO_SETUP],
            NOT_INSTALLED,
        ),
        install(
            "DISABLE_SETUP_PY_PROCESSING is for setup.cfg too",
            &[
                APP_PY,
                MODULE,
                (
                    "setup.cfg",
                    "[metadata]\nname = shop\n[options]\npy_modules = shop_module\n",
                ),
            ],
            &[NO_SETUP],
            NOT_INSTALLED,
        ),
        install(
            "pyproject.toml installs the project",
            &[APP_PY, PYPROJECT, MODULE],
            &[NO_SETUP],
            INSTALLED,
        ),
        install(
            "pyproject.toml does not with DISABLE_PYPROJECT_TOML_PROCESSING",
            &[APP_PY, PYPROJECT, MODULE],
            &[NO_PYPROJECT],
            NOT_INSTALLED,
        ),
        install(
            "with both files it takes both variables",
            &[APP_PY, SETUP, PYPROJECT, MODULE],
            &[NO_SETUP, NO_PYPROJECT],
            NOT_INSTALLED,
        ),
        install(
            "a pyproject.toml of tools only installs nothing and fails nothing",
            &[
                APP_PY,
                ("pyproject.toml", "[tool.black]\nline-length = 88\n"),
            ],
            &[],
            NOT_INSTALLED,
        ),
    ]);
}

/// A manage.py that collects one file, and fails as `FAIL` in the variables says: `dry` or `real`.
const COLLECTS: File = (
    "manage.py",
    "import os, pathlib, sys\n\
     if sys.argv[1] == 'collectstatic':\n\
     \x20   run = 'dry' if '--dry-run' in sys.argv else 'real'\n\
     \x20   print('COLLECT', *sys.argv, flush=True)\n\
     \x20   if os.environ.get('FAIL') == run: sys.exit(4)\n\
     \x20   if run == 'real': pathlib.Path('static').mkdir(); pathlib.Path('static/made').write_text('made\\n')\n\
     \x20   sys.exit()\n\
     import seen\nseen.manage()\n",
);
const STATIC: &[&str] = &[
    "sh",
    "-c",
    "cat static/made 2>/dev/null || echo none; stat -c '%u:%g %a' static 2>/dev/null || true",
];
const D: &[&str] = &[DJANGO];

#[test]
fn contract_static_files() {
    hold(&[
        Row {
            name: "collectstatic runs at build, and the group may write what it made",
            packages: D,
            files: &[COLLECTS],
            page: &["app runserver"],
            log_lacks: &["COLLECT"],
            build_log: &["COLLECT manage.py collectstatic --noinput"],
            exec: &[(STATIC, "made\n1001:0 775\n")],
            ..ROW
        },
        Row {
            name: "DISABLE_COLLECTSTATIC leaves it out",
            packages: D,
            files: &[COLLECTS],
            build: &["DISABLE_COLLECTSTATIC=1"],
            exec: &[(STATIC, "none\n")],
            ..ROW
        },
        Row {
            name: "a dry run that fails is a warning",
            packages: D,
            files: &[COLLECTS],
            build: &["FAIL=dry"],
            build_log: &["warning", "collectstatic"],
            exec: &[(STATIC, "none\n")],
            ..ROW
        },
        Row {
            name: "a real run that fails ends the build and tells its status",
            packages: D,
            files: &[COLLECTS],
            build: &["FAIL=real"],
            end: End::Refused(65),
            log: &["collectstatic", "status 4", "DISABLE_COLLECTSTATIC"],
            ..ROW
        },
        Row {
            name: "collectstatic runs in APP_HOME",
            packages: D,
            files: &[("site/manage.py", COLLECTS.1)],
            build: &["APP_HOME=site"],
            exec: &[(&["cat", "site/static/made"], "made\n")],
            ..ROW
        },
        Row {
            name: "without manage.py a warning, and no collecting",
            packages: &[DJANGO, GUNICORN],
            files: &[WSGI],
            build: &["WEB_CONCURRENCY=1"],
            build_log: &["warning", "manage.py"],
            page: &["app wsgi"],
            ..ROW
        },
        Row {
            name: "manage.py without Django collects nothing",
            files: &[APP_PY, MANAGE],
            page: &["app app.py"],
            ..ROW
        },
    ]);
}

#[test]
fn contract_assemble() {
    hold(&[
        Row {
            name: "a project's own assemble script takes the place of installing",
            files: &[
                (
                    ".s2i/bin/assemble*",
                    "#!/bin/sh\nset -e\ncp -R /tmp/src/. ./\necho $GREETING >made\npwd\n",
                ),
                ("seen.py", include_str!("seen.py")),
                APP_PY,
            ],
            build: &["GREETING=hello"],
            build_log: &["/opt/app-root/src"],
            exec: &[(&["cat", "made"], "hello\n")],
            needs_compiler: true,
            page: &["app app.py"],
            ..ROW
        },
        Row {
            name: "an assemble script that fails ends the build and tells its status",
            files: &[
                (
                    ".s2i/bin/assemble*",
                    "#!/bin/sh\necho going wrong\nexit 9\n",
                ),
                APP_PY,
            ],
            end: End::Refused(65),
            log: &["assemble", "status 9", "going wrong"],
            needs_compiler: true,
            ..ROW
        },
    ]);
}
