//! Django projects: migration, the development server, gunicorn in front.

use super::files::{APP_PY, MAIN_PY, MANAGE, SHOP, WSGI};
use super::hold;
use super::packages::{DJANGO, GUNICORN};
use super::row::{End, ROW, Row};

const D: &[&str] = &[DJANGO];
const GD: &[&str] = &[GUNICORN, DJANGO];
/// The rows are about starting.
const BUILD: &[&str] = &["DISABLE_COLLECTSTATIC=1", "WEB_CONCURRENCY=1"];
const MIGRATED: &str = "MANAGE ./manage.py migrate --noinput";
const RUNSERVER: &[&str] = &[
    "app runserver",
    "pid1 python ./manage.py runserver 0.0.0.0:8080",
    "listen 0.0.0.0:8080",
];
const SERVES_WSGI: &[&str] = &[
    "app wsgi",
    "pid1 /opt/app-root/bin/python /opt/app-root/bin/gunicorn wsgi --bind=0.0.0.0:8080 --access-logfile=- --config ''",
];

#[test]
fn contract_django() {
    hold(&[
        Row {
            name: "manage.py without gunicorn: migrate, then runserver",
            packages: D,
            files: &[MANAGE],
            build: BUILD,
            page: RUNSERVER,
            log: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "runserver listens on PORT, and migration can be disabled",
            packages: D,
            files: &[MANAGE],
            build: BUILD,
            start: &["PORT=9000", "DISABLE_MIGRATE=1"],
            end: End::Serves(9000),
            page: &["pid1 python ./manage.py runserver 0.0.0.0:9000"],
            log_lacks: &["migrat"],
            ..ROW
        },
        Row {
            name: "with gunicorn: migrate, then serve wsgi.py",
            packages: GD,
            files: &[MANAGE, WSGI],
            build: BUILD,
            page: SERVES_WSGI,
            log: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "gunicorn without a module leaves runserver",
            packages: GD,
            files: &[MANAGE],
            build: BUILD,
            page: RUNSERVER,
            log: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "DISABLE_MIGRATE=false is on, as all that is not empty",
            packages: GD,
            files: &[MANAGE, WSGI],
            build: &[
                "DISABLE_MIGRATE=false",
                "DISABLE_COLLECTSTATIC=1",
                "WEB_CONCURRENCY=1",
            ],
            page: SERVES_WSGI,
            log_lacks: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "an empty DISABLE_MIGRATE at start is off",
            packages: D,
            files: &[MANAGE],
            build: &["DISABLE_MIGRATE=1", "DISABLE_COLLECTSTATIC=1"],
            start: &["DISABLE_MIGRATE="],
            page: RUNSERVER,
            log: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "a failing migration ends the container with its status",
            packages: GD,
            files: &[MANAGE, WSGI],
            build: BUILD,
            start: &["FAIL_MIGRATE=7"],
            end: End::Exits(7),
            log: &[MIGRATED],
            log_lacks: &["---> Serving"],
            ..ROW
        },
        Row {
            name: "without manage.py a warning, and gunicorn serves",
            packages: GD,
            files: &[WSGI],
            build: BUILD,
            page: SERVES_WSGI,
            log: &["WARNING: Django is installed, but there is no manage.py here"],
            log_lacks: &["MANAGE"],
            ..ROW
        },
        Row {
            name: "without manage.py and gunicorn there is nothing to start",
            packages: D,
            files: &[MAIN_PY],
            build: &["APP_FILE=main.py", "DISABLE_COLLECTSTATIC=1"],
            start: &["APP_FILE="],
            end: End::Exits(1),
            log: &[
                "WARNING: Django is installed",
                "ERROR: there is nothing here",
            ],
            ..ROW
        },
        Row {
            name: "manage.py is looked for in APP_HOME",
            packages: D,
            files: &[("site/manage.py", MANAGE.1)],
            build: &["APP_HOME=site", "DISABLE_COLLECTSTATIC=1"],
            page: &["app runserver", "cwd /opt/app-root/src/site"],
            log: &[MIGRATED],
            ..ROW
        },
        Row {
            name: "app.py goes before Django, unmigrated",
            packages: D,
            files: &[MANAGE, APP_PY],
            build: BUILD,
            page: &["app app.py"],
            log_lacks: &["migrat", "MANAGE"],
            ..ROW
        },
        Row {
            name: "gunicorn.conf.py with wsgi_app serves unmigrated",
            packages: GD,
            files: &[
                MANAGE,
                SHOP,
                ("gunicorn.conf.py", "wsgi_app = 'shop'\nbind = ':8080'\n"),
            ],
            build: &["DISABLE_COLLECTSTATIC=1"],
            page: &["app shop"],
            log_lacks: &["migrat", "MANAGE"],
            ..ROW
        },
        Row {
            name: "the init wrapper is for runserver too, and passes TERM on",
            packages: D,
            files: &[MANAGE],
            build: &["ENABLE_INIT_WRAPPER=1", "DISABLE_COLLECTSTATIC=1"],
            page: &[
                "pid1 /bin/sh /usr/libexec/s2i/init-wrapper python ./manage.py runserver 0.0.0.0:8080",
                "self python ./manage.py runserver 0.0.0.0:8080",
            ],
            log: &[MIGRATED],
            end: End::Stops(8080, "TERM", 143),
            ..ROW
        },
        Row {
            name: "manage.py without Django is no Django project",
            packages: &[GUNICORN],
            files: &[MANAGE, WSGI],
            build: &["WEB_CONCURRENCY=1"],
            page: SERVES_WSGI,
            log_lacks: &["MANAGE", "WARNING"],
            ..ROW
        },
    ]);
}
