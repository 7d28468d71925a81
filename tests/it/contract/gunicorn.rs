//! gunicorn: its module, its settings, where it listens, how many workers it has.

use super::files::{APP_PY, APP_SH, CONF, MAIN_PY, SHOP, WSGI};
use super::hold;
use super::packages::{GUNICORN, OLD_GUNICORN};
use super::row::{End, ROW, Row};

const G: &[&str] = &[GUNICORN];
const SERVES_WSGI: &str = "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --bind=0.0.0.0:8080 --access-logfile=- --config ''";
const SERVES_SHOP: &str = "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn shop --bind=0.0.0.0:8080 --access-logfile=- --config ''";
const ALONE: &str = "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn";
/// Without byte code, a process less is much time.
const ONE_WORKER: &[&str] = &["WEB_CONCURRENCY=1"];

#[test]
fn contract_modules() {
    hold(&[
        Row {
            name: "wsgi.py is served on port 8080 with an access log",
            packages: G,
            files: &[WSGI],
            page: &[
                "app wsgi",
                SERVES_WSGI,
                "listen 0.0.0.0:8080",
                "cwd /opt/app-root/src",
                "env WEB_CONCURRENCY={workers}",
                "env PORT=8080",
            ],
            page_lacks: &["env APP_MODULE=", "env PYTHONPATH="],
            log: &["---> Serving wsgi with gunicorn", "\"GET / HTTP/1.1\" 200"],
            ..ROW
        },
        Row {
            name: "PORT is where it listens",
            packages: G,
            files: &[WSGI],
            build: ONE_WORKER,
            start: &["PORT=9000"],
            end: End::Serves(9000),
            page: &["listen 0.0.0.0:9000", "env PORT=9000"],
            ..ROW
        },
        Row {
            name: "PORT of .s2i/environment is where it listens",
            packages: G,
            files: &[WSGI, (".s2i/environment", "PORT=9001\nWEB_CONCURRENCY=1\n")],
            end: End::Serves(9001),
            page: &["listen 0.0.0.0:9001"],
            ..ROW
        },
        Row {
            name: "APP_MODULE takes app.sh, app.py and wsgi.py out of the running",
            packages: G,
            files: &[APP_SH, APP_PY, WSGI, SHOP],
            build: &["APP_MODULE=shop:other", "WEB_CONCURRENCY=1"],
            page: &[
                "app other",
                "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn shop:other --bind=0.0.0.0:8080 --access-logfile=- --config ''",
            ],
            ..ROW
        },
        Row {
            name: "APP_MODULE at start, its callable left out",
            packages: G,
            files: &[APP_PY, SHOP],
            start: &["APP_MODULE=shop", "WEB_CONCURRENCY=1"],
            page: &["app shop", SERVES_SHOP],
            ..ROW
        },
        Row {
            name: "APP_MODULE between quotes in .s2i/environment",
            packages: G,
            files: &[
                SHOP,
                (
                    ".s2i/environment",
                    "APP_MODULE=\"shop:other\"\nWEB_CONCURRENCY=1\n",
                ),
            ],
            page: &["app other", "env APP_MODULE=shop:other"],
            ..ROW
        },
        Row {
            name: "APP_MODULE that does not import ends the container",
            packages: G,
            files: &[SHOP],
            build: &["APP_MODULE=shop", "WEB_CONCURRENCY=1"],
            start: &["APP_MODULE=nothing"],
            end: End::Exits(3),
            log: &["No module named 'nothing'"],
            ..ROW
        },
        Row {
            name: "wsgi.py is looked for in APP_HOME",
            packages: G,
            files: &[("web/wsgi.py", WSGI.1), SHOP],
            build: &["APP_HOME=web", "WEB_CONCURRENCY=1"],
            page: &["app wsgi", SERVES_WSGI, "cwd /opt/app-root/src/web"],
            page_lacks: &["env PYTHONPATH="],
            ..ROW
        },
        Row {
            name: "with a PYTHONPATH, APP_HOME leaves the source importable",
            packages: G,
            files: &[("web/wsgi.py", "from shop import application\n"), SHOP],
            build: &["APP_HOME=web", "PYTHONPATH=/x", "WEB_CONCURRENCY=1"],
            page: &["app shop", "env PYTHONPATH=/opt/app-root/src:/x"],
            ..ROW
        },
        Row {
            name: "the init wrapper is not for gunicorn",
            packages: G,
            files: &[WSGI],
            build: &["ENABLE_INIT_WRAPPER=1", "WEB_CONCURRENCY=1"],
            page: &[SERVES_WSGI],
            ..ROW
        },
        Row {
            name: "the name in setup.py is the module",
            packages: G,
            files: &[
                SHOP,
                (
                    "setup.py",
                    "from setuptools import setup\nsetup(name='shop')\n",
                ),
            ],
            build: &["DISABLE_SETUP_PY_PROCESSING=1", "WEB_CONCURRENCY=1"],
            page: &["app shop", SERVES_SHOP],
            ..ROW
        },
        Row {
            name: "setup.py may lie one folder down",
            packages: G,
            files: &[
                SHOP,
                (
                    "dist/setup.py",
                    "from setuptools import setup\nsetup(name='shop')\n",
                ),
            ],
            build: ONE_WORKER,
            page: &["app shop", SERVES_SHOP],
            ..ROW
        },
        Row {
            name: "wsgi.py goes before setup.py",
            packages: G,
            files: &[
                SHOP,
                WSGI,
                (
                    "setup.py",
                    "from setuptools import setup\nsetup(name='shop')\n",
                ),
            ],
            build: &["DISABLE_SETUP_PY_PROCESSING=1", "WEB_CONCURRENCY=1"],
            page: &["app wsgi", SERVES_WSGI],
            ..ROW
        },
    ]);
}

#[test]
fn contract_gunicorn_settings() {
    hold(&[
        Row {
            name: "APP_CONFIG takes the place of the default settings",
            packages: G,
            files: &[WSGI, ("settings.py", "bind = '0.0.0.0:9002'\n")],
            build: &["APP_CONFIG=settings.py", "WEB_CONCURRENCY=1"],
            start: &["PORT=9000"],
            end: End::Serves(9002),
            page: &[
                "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --config settings.py",
                "listen 0.0.0.0:9002",
            ],
            log: &["custom settings"],
            log_lacks: &["GET / HTTP"],
            ..ROW
        },
        Row {
            name: "APP_CONFIG without bind listens on the image's port",
            packages: G,
            files: &[WSGI, ("settings.py", "workers = 1\n")],
            build: &["APP_CONFIG=settings.py"],
            page: &["listen 0.0.0.0:8080"],
            ..ROW
        },
        Row {
            name: "APP_CONFIG without bind follows a PORT that is set",
            packages: G,
            files: &[WSGI, ("settings.py", "workers = 1\n")],
            build: &["APP_CONFIG=settings.py"],
            start: &["PORT=9000"],
            end: End::Serves(9000),
            page: &["listen 0.0.0.0:9000"],
            ..ROW
        },
        Row {
            name: "APP_CONFIG is seen from APP_HOME, and may have a blank",
            packages: G,
            files: &[
                ("web/wsgi.py", WSGI.1),
                ("web/my settings.py", "bind = '0.0.0.0:9003'\n"),
            ],
            build: &[
                "APP_HOME=web",
                "APP_CONFIG=my settings.py",
                "WEB_CONCURRENCY=1",
            ],
            end: End::Serves(9003),
            page: &[
                "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --config 'my settings.py'",
            ],
            ..ROW
        },
        Row {
            name: "APP_CONFIG that is not there ends the container",
            packages: G,
            files: &[WSGI],
            start: &["APP_CONFIG=no.py"],
            end: End::Exits(1),
            log: &["no.py"],
            ..ROW
        },
        Row {
            name: "GUNICORN_CMD_ARGS is split at blanks and takes the place of the defaults",
            packages: G,
            files: &[WSGI],
            start: &["GUNICORN_CMD_ARGS=--bind=0.0.0.0:9004  --workers 1"],
            end: End::Serves(9004),
            page: &[
                "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --bind=0.0.0.0:9004 --workers 1 --config ''",
                "env GUNICORN_CMD_ARGS=--bind=0.0.0.0:9004  --workers 1",
            ],
            log_lacks: &["GET / HTTP"],
            ..ROW
        },
        Row {
            name: "GUNICORN_CMD_ARGS beats the file of APP_CONFIG",
            packages: G,
            files: &[
                WSGI,
                (
                    "settings.py",
                    "bind = '0.0.0.0:9002'\nraw_env = ['FROM=settings']\n",
                ),
            ],
            build: &["APP_CONFIG=settings.py", "WEB_CONCURRENCY=1"],
            start: &["GUNICORN_CMD_ARGS=--bind=:9005"],
            end: End::Serves(9005),
            page: &[
                "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --bind=:9005 --config settings.py",
                "listen 0.0.0.0:9005",
                "env FROM=settings",
            ],
            ..ROW
        },
        Row {
            name: "GUNICORN_CMD_ARGS does not become file names",
            packages: G,
            files: &[WSGI, ("STAR=1", "not this one\n")],
            start: &["GUNICORN_CMD_ARGS=--bind=:8080 --workers 1 --env STAR=*"],
            page: &["env STAR=*"],
            ..ROW
        },
        Row {
            name: "empty APP_CONFIG and GUNICORN_CMD_ARGS count as none",
            packages: G,
            files: &[WSGI],
            build: &["APP_CONFIG=settings.py", "WEB_CONCURRENCY=1"],
            start: &["APP_CONFIG=", "GUNICORN_CMD_ARGS="],
            page: &[SERVES_WSGI],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py without wsgi_app is read, but its bind yields to the default",
            packages: G,
            files: &[
                WSGI,
                (
                    "gunicorn.conf.py",
                    "bind = '0.0.0.0:9006'\nworkers = 1\nraw_env = ['FROM=conf']\n",
                ),
            ],
            page: &[SERVES_WSGI, "listen 0.0.0.0:8080", "env FROM=conf"],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py of the folder is not read beside APP_CONFIG",
            packages: G,
            files: &[
                WSGI,
                ("gunicorn.conf.py", "raw_env = ['FROM=conf']\n"),
                ("settings.py", "bind = '0.0.0.0:9002'\nworkers = 1\n"),
            ],
            build: &["APP_CONFIG=settings.py"],
            end: End::Serves(9002),
            page: &["listen 0.0.0.0:9002"],
            page_lacks: &["env FROM="],
            ..ROW
        },
    ]);
}

#[test]
fn contract_gunicorn_conf() {
    hold(&[
        Row {
            name: "gunicorn.conf.py with wsgi_app: gunicorn without a word, on the image's port",
            packages: G,
            files: &[SHOP, CONF],
            page: &["app shop", ALONE, "listen 0.0.0.0:8080", "env PORT=8080"],
            page_lacks: &["env WEB_CONCURRENCY="],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py with wsgi_app and PORT",
            packages: G,
            files: &[SHOP, CONF],
            start: &["PORT=9000"],
            end: End::Serves(9000),
            page: &[ALONE, "listen 0.0.0.0:9000"],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py with wsgi_app and bind goes before every other way",
            packages: G,
            files: &[
                SHOP,
                APP_SH,
                APP_PY,
                WSGI,
                (
                    "gunicorn.conf.py",
                    "bind = '0.0.0.0:9007'\nwsgi_app = 'shop:other'\n",
                ),
            ],
            build: &["APP_SCRIPT=app.sh", "APP_FILE=no.py"],
            start: &[
                "APP_MODULE=wsgi",
                "APP_HOME=no",
                "PORT=9000",
                "ENABLE_INIT_WRAPPER=1",
            ],
            end: End::Serves(9007),
            page: &[
                "app other",
                ALONE,
                "cwd /opt/app-root/src",
                "listen 0.0.0.0:9007",
            ],
            ..ROW
        },
        Row {
            name: "wsgi_app in a comment is enough, and then gunicorn has nothing to serve",
            packages: G,
            files: &[WSGI, ("gunicorn.conf.py", "# wsgi_app is for later\n")],
            end: End::Exits(1),
            log: &["No application module specified"],
            ..ROW
        },
        Row {
            name: "an old gunicorn does not know wsgi_app, so wsgi.py is served",
            packages: &[OLD_GUNICORN],
            files: &[
                WSGI,
                SHOP,
                ("gunicorn.conf.py", "# wsgi_app\nraw_env = ['FROM=conf']\n"),
            ],
            build: ONE_WORKER,
            page: &["app wsgi", SERVES_WSGI, "env FROM=conf"],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py in APP_HOME is not the first choice, though it is read",
            packages: G,
            files: &[
                ("web/wsgi.py", WSGI.1),
                (
                    "web/gunicorn.conf.py",
                    "wsgi_app = 'no:no'\nworkers = 1\nraw_env = ['FROM=conf']\n",
                ),
            ],
            build: &["APP_HOME=web"],
            page: &["app wsgi", SERVES_WSGI, "env FROM=conf"],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py without gunicorn is nothing",
            files: &[CONF, SHOP, APP_PY, MAIN_PY],
            page: &["app app.py"],
            ..ROW
        },
    ]);
}

#[test]
fn contract_workers() {
    hold(&[
        Row {
            name: "WEB_CONCURRENCY that is given stays",
            packages: G,
            files: &[WSGI],
            start: &["WEB_CONCURRENCY=3"],
            page: &["env WEB_CONCURRENCY=3"],
            log: &["3 workers"],
            ..ROW
        },
        Row {
            name: "an empty WEB_CONCURRENCY is computed",
            packages: G,
            files: &[WSGI],
            build: &["WEB_CONCURRENCY=3"],
            start: &["WEB_CONCURRENCY="],
            page: &["env WEB_CONCURRENCY={workers}"],
            ..ROW
        },
        Row {
            name: "128 MiB hold two workers",
            packages: G,
            files: &[WSGI],
            cgroup: &[("memory.max", "134217728\n"), ("cpu.max", "max 100000\n")],
            page: &["env WEB_CONCURRENCY=2"],
            ..ROW
        },
        Row {
            name: "42 MiB hold one worker, by the first version of control groups too",
            packages: G,
            files: &[WSGI],
            cgroup: &[("memory/memory.limit_in_bytes", "44040192\n")],
            page: &["env WEB_CONCURRENCY=1"],
            ..ROW
        },
        Row {
            name: "half a processor is one, not all of the machine",
            packages: G,
            files: &[WSGI],
            cgroup: &[("cpu.max", "50000 100000\n"), ("memory.max", "max\n")],
            page: &["env WEB_CONCURRENCY=2"],
            ..ROW
        },
        Row {
            name: "one processor of a set is one",
            packages: G,
            files: &[WSGI],
            cgroup: &[
                ("cpuset/cpuset.cpus", "0\n"),
                ("cpu/cpu.cfs_quota_us", "-1\n"),
            ],
            page: &["env WEB_CONCURRENCY=2"],
            ..ROW
        },
    ]);
}
