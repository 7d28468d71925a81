//! `scripts/run` and [`super::start`] asked the same questions: the script runs under every shell
//! of this machine, with nothing on its PATH but stand-ins that print how they were called.

mod release;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::StartStrategy;
use super::start::situations::situations;
use super::testing::planned;
use crate::source::testing::folder;

/// Prints its name and arguments, and for `setup.py --name` a name.
const PYTHON: &str = "#!/bin/sh\n\
    if [ \"$2\" = --name ]; then echo fromsetup; exit 0; fi\n\
    printf 'RUN python'; for a in \"$@\"; do printf ' %s' \"${a:-EMPTY}\"; done; echo\n\
    if [ \"$2\" = migrate ]; then exit ${FAIL_MIGRATE:-0}; fi\n";
const GUNICORN: &str = "#!/bin/sh\n\
    printf 'RUN gunicorn'; for a in \"$@\"; do printf ' %s' \"${a:-EMPTY}\"; done; echo\n\
    echo \"WORKERS ${WEB_CONCURRENCY-unset}\"; echo \"PYTHONPATH ${PYTHONPATH-unset}\"\n\
    echo \"VIRTUAL_ENV $VIRTUAL_ENV\"; echo \"PATH $PATH\"; echo \"CWD $PWD\"; echo \"PRELOAD $LD_PRELOAD\"\n\
    echo \"PASSWD $NSS_WRAPPER_PASSWD\"\n";
/// bash gives a program that it becomes its full path, other shells the one that is written.
const SCRIPT: &str = "#!/bin/sh\nn=${0#./}; echo \"RUN script ./${n#\"$PWD\"/}\"\n";
const CONF: &str = "wsgi_app = chosen()\n";

/// An image's root in a temporary folder.
struct Image(tempfile::TempDir);

impl Image {
    fn new(packages: &[&str], files: &[(&str, &str)]) -> Self {
        let root = folder(&[
            ("opt/app-root/bin/python*", PYTHON),
            ("opt/app-root/etc/", ""),
            ("opt/app-root/src/", ""),
            ("fake/nproc*", "#!/bin/sh\necho 4\n"),
            (
                "fake/id*",
                "#!/bin/sh\ncase $1 in -u) echo ${FAKE_UID:-1001};; *) echo 0;; esac\n",
            ),
            ("fake/mktemp*", "#!/bin/sh\nexec /usr/bin/mktemp\n"),
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\ndefault:x:1001:0:D:/x:/bin/bash\n",
            ),
        ]);
        let image = Self(root);
        for package in packages {
            let (name, version) = package.split_once('=').unwrap_or((package, "23.0.0"));
            let site = "opt/app-root/lib/python3.13/site-packages";
            image.write(&format!("{site}/{name}/__init__.py"), "");
            image.write(&format!("{site}/{name}-{version}.dist-info/METADATA"), "");
            if name == "gunicorn" {
                image.write("opt/app-root/bin/gunicorn*", GUNICORN);
            }
        }
        for (path, text) in files {
            image.write(&format!("opt/app-root/src/{path}"), text);
        }
        image
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let full = self.path().join(path.trim_end_matches('*'));
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, text).unwrap();
        let mode = if path.ends_with('*') { 0o755 } else { 0o644 };
        fs::set_permissions(&full, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, shell: &str, env: &[&str]) -> Output {
        self.run_as(shell, &[], env)
    }

    fn run_as(&self, shell: &str, arguments: &[&str], env: &[&str]) -> Output {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let home = self.path().join("opt/app-root/src");
        Command::new(shell)
            .arg(scripts.join("run"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path().join("fake"))
            .env("HOME", &home)
            .env("S2R_ROOT", self.path())
            .env("STI_SCRIPTS_PATH", &scripts)
            .envs(env.iter().map(|pair| pair.split_once('=').unwrap()))
            .current_dir(&home)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What was started, each program on a line of its own, joined by `; `; and the exit status.
    fn started(&self, shell: &str, env: &[&str]) -> (String, i32) {
        let output = self.run(shell, env);
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("RUN "))
            .collect();
        (lines.join("; "), output.status.code().unwrap())
    }

    /// What the stand-in for gunicorn saw.
    fn seen(&self, shell: &str, env: &[&str]) -> BTreeMap<String, String> {
        let output = self.run(shell, env);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| {
                let value = value.replace(self.path().to_str().unwrap(), "");
                (name.to_owned(), value)
            })
            .collect()
    }
}

fn shells() -> Vec<&'static str> {
    ["/bin/sh", "/bin/dash", "/bin/bash"]
        .into_iter()
        .filter(|shell| Path::new(shell).exists())
        .collect()
}

struct Row {
    packages: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    env: &'static [&'static str],
    started: &'static str,
    status: i32,
}

const G: &[&str] = &["gunicorn"];
const D: &[&str] = &["django"];
const GD: &[&str] = &["gunicorn", "django"];
const WSGI: (&str, &str) = ("wsgi.py", "");
const MANAGE: (&str, &str) = ("manage.py", "");
const APP_PY: (&str, &str) = ("app.py", "");
const APP_SH: (&str, &str) = ("app.sh*", SCRIPT);
const SETUP: (&str, &str) = ("setup.py", "setup(name='fromsetup')\n");
const NO_SETUP: &str = "DISABLE_SETUP_PY_PROCESSING=1";
const SERVE: &str = "gunicorn wsgi --bind=0.0.0.0:8080 --access-logfile=- --config EMPTY";
const MIGRATE_SERVE: &str = "python ./manage.py migrate --noinput; gunicorn wsgi --bind=0.0.0.0:8080 --access-logfile=- --config EMPTY";
const MIGRATE_RUNSERVER: &str =
    "python ./manage.py migrate --noinput; python ./manage.py runserver 0.0.0.0:8080";

const fn row(
    packages: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    env: &'static [&'static str],
    started: &'static str,
) -> Row {
    Row {
        packages,
        files,
        env,
        started,
        status: 0,
    }
}

const fn fails(
    packages: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    env: &'static [&'static str],
    status: i32,
) -> Row {
    Row {
        packages,
        files,
        env,
        started: "",
        status,
    }
}

const ROWS: &[Row] = &[
    // A: gunicorn.conf.py that knows its application beats everything.
    row(G, &[("gunicorn.conf.py", CONF)], &[], "gunicorn"),
    row(
        G,
        &[("gunicorn.conf.py", "# wsgi_app"), WSGI],
        &[],
        "gunicorn",
    ),
    row(
        G,
        &[("gunicorn.conf.py", CONF), APP_SH, APP_PY],
        &["APP_FILE=app.py"],
        "gunicorn",
    ),
    row(
        G,
        &[("gunicorn.conf.py", CONF), WSGI],
        &["APP_MODULE=wsgi", "PORT=1"],
        "gunicorn",
    ),
    row(
        GD,
        &[("gunicorn.conf.py", CONF), MANAGE],
        &["ENABLE_INIT_WRAPPER=1"],
        "gunicorn",
    ),
    row(
        G,
        &[("gunicorn.conf.py", CONF), ("sub/wsgi.py", "")],
        &["APP_HOME=sub"],
        "gunicorn",
    ),
    row(G, &[("gunicorn.conf.py", "bind = 'x'"), WSGI], &[], SERVE),
    row(
        &[],
        &[("gunicorn.conf.py", CONF), APP_PY],
        &[],
        "python app.py",
    ),
    row(
        G,
        &[("sub/gunicorn.conf.py", CONF), ("sub/wsgi.py", "")],
        &["APP_HOME=sub"],
        SERVE,
    ),
    // C: scripts and files.
    row(&[], &[APP_SH], &[], "script ./app.sh"),
    row(&[], &[APP_PY], &[], "python app.py"),
    row(&[], &[APP_SH, APP_PY], &[], "script ./app.sh"),
    row(G, &[APP_PY, WSGI], &[], "python app.py"),
    row(G, &[APP_SH, WSGI, MANAGE], &[], "script ./app.sh"),
    row(
        &[],
        &[APP_SH, ("main.py", "")],
        &["APP_FILE=main.py"],
        "python main.py",
    ),
    row(
        &[],
        &[("start*", SCRIPT), APP_PY],
        &["APP_SCRIPT=start"],
        "script ./start",
    ),
    row(
        &[],
        &[("bin/start*", SCRIPT)],
        &["APP_SCRIPT=bin/start"],
        "script ./bin/start",
    ),
    row(
        &[],
        &[("s*", SCRIPT), ("f.py", "")],
        &["APP_SCRIPT=s", "APP_FILE=f.py"],
        "script ./s",
    ),
    row(&[], &[APP_PY], &["APP_FILE="], "python app.py"),
    row(
        &[],
        &[("a/app.py", ""), ("wsgi.py", "")],
        &["APP_HOME=a"],
        "python app.py",
    ),
    row(
        &[],
        &[("a/app.sh*", SCRIPT)],
        &["APP_HOME=./a/"],
        "script ./app.sh",
    ),
    row(
        &[],
        &[("my app.py", "")],
        &["APP_FILE=my app.py"],
        "python my app.py",
    ),
    row(
        &[],
        &[APP_SH],
        &["ENABLE_INIT_WRAPPER=1"],
        "script ./app.sh",
    ),
    row(
        &[],
        &[APP_PY],
        &["ENABLE_INIT_WRAPPER=false"],
        "python app.py",
    ),
    fails(&[], &[APP_PY], &["APP_SCRIPT=no.sh"], 1),
    fails(&[], &[APP_SH], &["APP_FILE=no.py"], 1),
    fails(G, &[WSGI], &["APP_HOME=no"], 1),
    fails(&[], &[("app.sh", SCRIPT)], &[], 126),
    // E: gunicorn with a module.
    row(G, &[WSGI], &[], SERVE),
    row(G, &[APP_SH, APP_PY, WSGI], &["APP_MODULE=wsgi"], SERVE),
    row(
        G,
        &[WSGI, ("a/b.py", "")],
        &["APP_MODULE=a.b:c"],
        "gunicorn a.b:c --bind=0.0.0.0:8080 --access-logfile=- --config EMPTY",
    ),
    row(
        G,
        &[WSGI],
        &["PORT=9000"],
        "gunicorn wsgi --bind=0.0.0.0:9000 --access-logfile=- --config EMPTY",
    ),
    row(
        G,
        &[WSGI],
        &["APP_CONFIG=c.py"],
        "gunicorn wsgi --config c.py",
    ),
    row(
        G,
        &[WSGI],
        &["APP_CONFIG=my c.py"],
        "gunicorn wsgi --config my c.py",
    ),
    row(
        G,
        &[WSGI],
        &["GUNICORN_CMD_ARGS=-b :1 --x=*"],
        "gunicorn wsgi -b :1 --x=* --config EMPTY",
    ),
    row(
        G,
        &[WSGI],
        &["APP_CONFIG=c.py", "GUNICORN_CMD_ARGS=-w 3"],
        "gunicorn wsgi -w 3 --config c.py",
    ),
    row(G, &[("a/wsgi.py", "")], &["APP_HOME=a"], SERVE),
    row(G, &[WSGI], &["ENABLE_INIT_WRAPPER=1"], SERVE),
    row(
        G,
        &[SETUP],
        &[NO_SETUP],
        "gunicorn fromsetup --bind=0.0.0.0:8080 --access-logfile=- --config EMPTY",
    ),
    row(G, &[SETUP, WSGI], &[NO_SETUP], SERVE),
    fails(&[], &[WSGI], &["S2R_ADD_SERVER="], 1),
    fails(&[], &[WSGI], &["S2R_ADD_SERVER=", "APP_MODULE=wsgi"], 1),
    fails(G, &[("a/b/setup.py", "")], &[], 1),
    // D and F: Django.
    row(D, &[MANAGE], &[], MIGRATE_RUNSERVER),
    row(GD, &[MANAGE, WSGI], &[], MIGRATE_SERVE),
    row(GD, &[MANAGE], &[], MIGRATE_RUNSERVER),
    row(GD, &[MANAGE, WSGI], &["DISABLE_MIGRATE=1"], SERVE),
    row(GD, &[WSGI], &[], SERVE),
    row(GD, &[MANAGE, APP_PY], &[], "python app.py"),
    row(
        D,
        &[MANAGE],
        &["DISABLE_MIGRATE=x", "PORT=81"],
        "python ./manage.py runserver 0.0.0.0:81",
    ),
    row(D, &[MANAGE], &["ENABLE_INIT_WRAPPER=1"], MIGRATE_RUNSERVER),
    row(
        D,
        &[("p/manage.py", "")],
        &["APP_HOME=p"],
        MIGRATE_RUNSERVER,
    ),
    fails(D, &[("p/manage.py", "")], &[], 1),
    fails(&[], &[MANAGE], &[], 1),
    fails(&[], &[("README", "")], &[], 1),
];

/// What a prediction promises of the last program that is started.
fn agrees(strategy: &StartStrategy, last: &str) -> bool {
    match strategy {
        StartStrategy::OwnRun { .. }
        | StartStrategy::Process { .. }
        | StartStrategy::Server { .. } => false,
        StartStrategy::GunicornConf => last == "gunicorn",
        StartStrategy::AppScript { path } => last == format!("script ./{path}"),
        StartStrategy::AppFile { path } => last == format!("python {path}"),
        StartStrategy::Gunicorn { module } => last.starts_with(&format!("gunicorn {module} ")),
        StartStrategy::DjangoServer => last.starts_with("python ./manage.py runserver "),
    }
}

#[test]
fn the_script_starts_what_the_contract_says() {
    for (index, row) in ROWS.iter().enumerate() {
        for shell in shells() {
            let image = Image::new(row.packages, row.files);
            assert_eq!(
                image.started(shell, row.env),
                (row.started.to_owned(), row.status),
                "row {index} under {shell}: {:?} {:?} {:?}",
                row.packages,
                row.files,
                row.env
            );
        }
    }
}

#[test]
fn the_plan_predicts_what_the_script_does() {
    for (index, row) in ROWS.iter().enumerate() {
        let requirements = row.packages.join("\n");
        let mut files = row.files.to_vec();
        files.push(("requirements.txt", &requirements));
        match planned(&files, row.env) {
            Ok(plan) => {
                let last = row.started.rsplit("; ").next().unwrap();
                let strategy = &plan.start.strategy.value;
                assert!(
                    agrees(strategy, last),
                    "row {index}: {strategy:?} for {last:?}"
                );
                let migrates = row.started.contains("migrate");
                assert_eq!(plan.start.migrates, migrates, "row {index}");
            }
            Err(error) => assert_ne!(row.status, 0, "row {index}: {error:?}"),
        }
        if row.status != 0 {
            assert!(planned(&files, row.env).is_err(), "row {index}");
        }
    }
}

#[test]
fn a_gunicorn_before_20_1_does_not_know_wsgi_app() {
    for (version, expected) in [
        ("20.0.4", SERVE),
        ("19.9", SERVE),
        ("20.1.0", "gunicorn"),
        ("20.2rc1", "gunicorn"),
        ("100", "gunicorn"),
    ] {
        let package = format!("gunicorn={version}");
        let image = Image::new(&[&package], &[("gunicorn.conf.py", CONF), WSGI]);
        assert_eq!(image.started("/bin/sh", &[]).0, expected, "{version}");
    }
}

#[test]
fn a_migration_that_fails_stops_the_container() {
    let image = Image::new(GD, &[MANAGE, WSGI]);
    let (started, status) = image.started("/bin/sh", &["FAIL_MIGRATE=7"]);
    assert_eq!(started, "python ./manage.py migrate --noinput");
    assert_eq!(status, 7);
}

#[test]
fn the_name_of_setup_py_is_read_where_it_was_noted() {
    let image = Image::new(G, &[("sub/setup.py", "")]);
    image.write("opt/app-root/etc/s2r/setup-name", "noted\n");
    let (started, _) = image.started("/bin/sh", &[]);
    assert!(started.starts_with("gunicorn noted "), "{started}");
}

#[test]
fn workers_follow_cores_and_memory() {
    const MIB: u64 = 1024 * 1024;
    let mib = |mib: u64| (mib * MIB).to_string();
    let no_limit = "9223372036854771712".to_owned();
    for (files, expected) in [
        (vec![], "8"),
        (vec![("memory.max", mib(128))], "2"),
        (vec![("memory.max", "max".to_owned())], "8"),
        (vec![("memory.max", mib(42))], "1"),
        (vec![("memory.max", mib(1))], "1"),
        (vec![("memory.max", "junk".to_owned())], "8"),
        (vec![("memory/memory.limit_in_bytes", mib(128))], "2"),
        (vec![("memory/memory.limit_in_bytes", no_limit)], "8"),
        (vec![("cpu.max", "max 100000".to_owned())], "8"),
        (vec![("cpu.max", "200000 100000".to_owned())], "4"),
        (vec![("cpu.max", "190000 100000".to_owned())], "2"),
        (vec![("cpu.max", "50000 100000".to_owned())], "2"),
        (vec![("cpu.max", "6400000 100000".to_owned())], "8"),
        (
            vec![
                ("cpu/cpu.cfs_quota_us", "50000".to_owned()),
                ("cpu/cpu.cfs_period_us", "100000".to_owned()),
            ],
            "2",
        ),
        (
            vec![
                ("cpu/cpu.cfs_quota_us", "-1".to_owned()),
                ("cpu/cpu.cfs_period_us", "100000".to_owned()),
            ],
            "8",
        ),
        (vec![("cpuset.cpus.effective", "0-1,3".to_owned())], "6"),
        (vec![("cpuset/cpuset.cpus", "5".to_owned())], "2"),
        (vec![("cpuset.cpus.effective", String::new())], "8"),
        (
            vec![
                ("cpuset.cpus.effective", "0-2".to_owned()),
                ("cpu.max", "100000 100000".to_owned()),
            ],
            "2",
        ),
    ] {
        for shell in shells() {
            let image = Image::new(G, &[WSGI]);
            for (path, text) in &files {
                image.write(&format!("sys/fs/cgroup/{path}"), &format!("{text}\n"));
            }
            assert_eq!(
                image.seen(shell, &[])["WORKERS"],
                expected,
                "{files:?} {shell}"
            );
        }
    }
    let image = Image::new(G, &[WSGI]);
    assert_eq!(
        image.seen("/bin/sh", &["WEB_CONCURRENCY=77"])["WORKERS"],
        "77"
    );
    image.write("fake/nproc*", "#!/bin/sh\necho 64\n");
    assert_eq!(image.seen("/bin/sh", &[])["WORKERS"], "12");
    image.write("fake/nproc*", "#!/bin/sh\nexit 1\n");
    assert_eq!(image.seen("/bin/sh", &[])["WORKERS"], "1");
    image.write("opt/app-root/src/gunicorn.conf.py", CONF);
    assert_eq!(image.seen("/bin/sh", &[])["WORKERS"], "unset");
}

#[test]
fn the_application_sees_the_virtual_environment() {
    let image = Image::new(G, &[("a/wsgi.py", "")]);
    let seen = image.seen("/bin/sh", &["APP_HOME=a", "PYTHONPATH=/x"]);
    assert_eq!(seen["VIRTUAL_ENV"], "/opt/app-root");
    assert_eq!(seen["PATH"], "/opt/app-root/bin:/fake");
    assert_eq!(seen["CWD"], "/opt/app-root/src/a");
    assert_eq!(seen["PYTHONPATH"], "/opt/app-root/src:/x");
    let seen = image.seen("/bin/sh", &["APP_HOME=a"]);
    assert_eq!(seen["PYTHONPATH"], "unset");
}

#[test]
fn an_unknown_uid_gets_a_name() {
    const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/libnss_wrapper.so";
    for shell in shells() {
        let image = Image::new(G, &[WSGI]);
        image.write(LIBRARY, "");
        for known in ["FAKE_UID=0", "FAKE_UID=1001"] {
            assert_eq!(image.seen(shell, &[known])["PASSWD"], "");
        }
        let seen = image.seen(shell, &["FAKE_UID=1000680000", "LD_PRELOAD=/other.so"]);
        assert_eq!(seen["PASSWD"], "/opt/app-root/etc/passwd");
        assert_eq!(seen["PRELOAD"], format!("/{LIBRARY}:/other.so"));
        let passwd = fs::read_to_string(image.path().join("opt/app-root/etc/passwd")).unwrap();
        let passwd = passwd.replace(image.path().to_str().unwrap(), "");
        assert_eq!(
            passwd,
            "root:x:0:0::/root:/bin/sh\nbuilder:x:1001:0:D:/x:/bin/bash\n\
             default:x:1000680000:0:Default Application User:/opt/app-root/src:/bin/bash\n"
        );
        // Where nothing can be written, the application starts all the same.
        let image = Image::new(G, &[WSGI]);
        image.write(LIBRARY, "");
        fs::remove_dir(image.path().join("opt/app-root/etc")).unwrap();
        let (started, status) = image.started(shell, &["FAKE_UID=7", "TMPDIR=/nonexistent"]);
        assert_eq!((started.as_str(), status), (SERVE, 0));
    }
}

#[test]
fn the_init_wrapper_passes_signals_and_status() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/init-wrapper");
    for shell in shells() {
        let run = |script: &str| {
            // What runs the tests may have INT ignored, which a shell cannot undo; runtimes do not.
            Command::new("/usr/bin/env")
                .args(["--default-signal=INT", shell])
                .arg(&scripts)
                .args(["/bin/sh", "-c", script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        assert_eq!(run("exit 5").wait().unwrap().code(), Some(5), "{shell}");
        assert_eq!(
            run("kill -KILL $$").wait().unwrap().code(),
            Some(137),
            "{shell}"
        );
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            let mut child = run(
                "trap 'exit 9' TERM; echo ready; n=0; while [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done",
            );
            let mut ready = [0; 6];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(9), "{shell}");
        }
    }
}

/// Files, what is noted (module, command), variables, what is started.
type Noted<'a> = (
    &'a [(&'a str, &'a str)],
    [&'a str; 2],
    &'a [&'a str],
    String,
);

#[test]
fn what_was_noted_at_build_is_started() {
    let command = "gunicorn 'shop:make()' --port \"$PORT\"";
    let default = "--bind=0.0.0.0:8080 --access-logfile=- --config EMPTY";
    let served = |module: &str| format!("gunicorn {module} {default}");
    let rows: [Noted<'_>; 11] = [
        (
            &[],
            ["", command],
            &[],
            "gunicorn shop:make() --port 8080".to_owned(),
        ),
        (
            &[],
            ["", "python a && gunicorn b $PORT"],
            &["PORT=9"],
            "python a; gunicorn b 9".to_owned(),
        ),
        (
            &[],
            ["", "X=1 gunicorn --bind=$PORT"],
            &[],
            "gunicorn --bind=8080".to_owned(),
        ),
        (&[], ["shop:app", ""], &[], served("shop:app")),
        // An app.py or wsgi.py beside it is not what serves.
        (&[APP_PY], ["app:app", ""], &[], served("app:app")),
        (
            &[APP_PY, WSGI],
            ["", command],
            &[],
            "gunicorn shop:make() --port 8080".to_owned(),
        ),
        // The variables of the contract outrank it, and a script.
        (
            &[APP_PY],
            ["app:app", ""],
            &["APP_FILE=app.py"],
            "python app.py".to_owned(),
        ),
        (
            &[APP_SH],
            ["app:app", ""],
            &[],
            "script ./app.sh".to_owned(),
        ),
        (
            &[WSGI],
            ["", command],
            &["APP_MODULE=wsgi"],
            SERVE.to_owned(),
        ),
        // A command may stand for a module that a variable names.
        (
            &[],
            ["main:app", "python m"],
            &["APP_MODULE=main:app"],
            "python m".to_owned(),
        ),
        (
            &[],
            ["main:app", "python m"],
            &["APP_MODULE=other:app"],
            served("other:app"),
        ),
    ];
    for shell in shells() {
        for (files, [module, command], env, expected) in &rows {
            let image = Image::new(G, files);
            for (name, text) in [("module", module), ("web", command)] {
                if !text.is_empty() {
                    let path = format!("opt/app-root/etc/s2r/{name}");
                    image.write(&path, &format!("{text}\n"));
                }
            }
            let started = image.started(shell, env);
            assert_eq!(started, (expected.clone(), 0), "{shell}: {files:?} {env:?}");
        }
    }
}

/// Programs other than gunicorn and python that serve.
const PROGRAMS: [&str; 14] = [
    "chainlit",
    "daphne",
    "granian",
    "hypercorn",
    "marimo",
    "panel",
    "sanic",
    "serve",
    "shiny",
    "shop",
    "streamlit",
    "uvicorn",
    "uwsgi",
    "uwsgi_python3",
];

/// The words that a command starts with, once a shell has read it.
fn in_shell(command: &str) -> String {
    let command = command
        .replace("$PORT", "8080")
        .replace("\"$WEB_CONCURRENCY\"", "8")
        .replace("${FORWARDED_ALLOW_IPS:-*}", "*")
        .replace(
            "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=\"8080\" ",
            "",
        );
    match command.strip_prefix("python -c '") {
        Some(code) => format!("python -c {}", code.trim_end_matches('\'')),
        None => command.replace(['\'', '"'], ""),
    }
}

/// How the start that was decided begins; `None` for a script of the project's own.
fn expected_start(strategy: &StartStrategy) -> Option<String> {
    Some(match strategy {
        StartStrategy::OwnRun { .. } => return None,
        StartStrategy::GunicornConf => "gunicorn".to_owned(),
        StartStrategy::AppScript { path } => format!("script ./{path}"),
        StartStrategy::AppFile { path } => format!("python {path}"),
        StartStrategy::Gunicorn { module } => format!("gunicorn {module} "),
        StartStrategy::DjangoServer => "python ./manage.py runserver 0.0.0.0:8080".to_owned(),
        StartStrategy::Process { command } | StartStrategy::Server { command, .. } => {
            in_shell(command)
        }
    })
}

#[test]
fn each_situation_is_started_as_it_was_decided() {
    let mut started = 0;
    for one in situations() {
        let Ok(plan) = one.plan() else { continue };
        let files: Vec<(&str, &str)> = one
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let requirements = files.iter().find(|(path, _)| *path == "requirements.txt");
        let names = requirements.map_or("", |(_, text)| text).split_whitespace();
        let mut packages: Vec<&str> = names
            .map(|name| name.split('[').next().unwrap())
            .map(|name| {
                if name == "uvicorn-worker" {
                    "gunicorn"
                } else {
                    name
                }
            })
            .collect();
        packages.extend(plan.start.added.as_ref().map(|added| added.value.name));
        let Some(expected) = expected_start(&plan.start.strategy.value) else {
            continue;
        };
        // Where it is hoped for, it is there.
        if expected.starts_with("gunicorn") {
            packages.push("gunicorn");
        }
        let image = Image::new(&packages, &files);
        for program in PROGRAMS
            .into_iter()
            .chain(["waitress-serve", "flask", "npm"])
        {
            let stand_in = GUNICORN.replace("RUN gunicorn", &format!("RUN {program}"));
            image.write(&format!("opt/app-root/bin/{program}*"), &stand_in);
        }
        image.write("fake/env*", "#!/bin/sh\nexec /usr/bin/env \"$@\"\n");
        // What is supervised is started by `run` as well, which is told so.
        let is_supervised = plan.notes.contains_key("supervise");
        for (name, note) in &plan.notes {
            image.write(
                &format!("opt/app-root/etc/s2r/{name}"),
                &format!("{note}\n"),
            );
        }
        let mut env = one.env.clone();
        if is_supervised {
            env.push("S2R_SUPERVISED=yes".to_owned());
        }
        if let Some(home) = plan.environment.get("APP_HOME") {
            env.push(format!("APP_HOME={home}"));
        }
        let env: Vec<&str> = env.iter().map(String::as_str).collect();
        for (path, _) in files.iter().filter(|(path, _)| path.ends_with('*')) {
            image.write(&format!("opt/app-root/src/{path}"), SCRIPT);
        }
        let (all, status) = image.started("/bin/sh", &env);
        let last = all.rsplit("; ").next().unwrap_or_default();
        let last = if expected.contains("; ") {
            all.as_str()
        } else {
            last
        };
        assert!(
            last.starts_with(&expected) || format!("{last} ").starts_with(&expected),
            "{}: {last:?}, not {expected:?}",
            one.title
        );
        assert_eq!(status, 0, "{}", one.title);
        started += 1;
    }
    assert!(started >= 80, "{started}");
}

#[test]
fn what_is_supervised_is_started_by_another_script() {
    let stand_in = "#!/bin/sh\necho \"RUN supervise $*\" ${S2R_PROCESS-}\n";
    for shell in shells() {
        let image = Image::new(G, &[WSGI]);
        image.write("opt/app-root/etc/s2r/supervise", "/x/nginx.conf restart\n");
        image.write("opt/app-root/etc/s2r/processes", "worker python w\n");
        image.write("scripts/supervise*", stand_in);
        let scripts = format!("STI_SCRIPTS_PATH={}/scripts", image.path().display());
        let started = |env: &[&str]| image.started(shell, &[&[&*scripts], env].concat()).0;
        assert_eq!(started(&[]), "supervise /x/nginx.conf restart", "{shell}");
        for (name, expected) in [
            ("web", "RUN supervise /x/nginx.conf restart web\n"),
            ("worker", "RUN python w\n"),
        ] {
            let output = image.run_as(shell, &[name], &[&scripts]);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.ends_with(expected), "{shell}: {text}");
        }
        let supervised = ["S2R_SUPERVISED=yes", "S2R_SOCKET=/tmp/x.sock"];
        assert_eq!(
            started(&supervised),
            "gunicorn wsgi --bind=unix:/tmp/x.sock --config EMPTY",
            "{shell}"
        );
        let own = [&supervised[..], &["GUNICORN_CMD_ARGS=-w 2"]].concat();
        assert_eq!(
            started(&own),
            "gunicorn wsgi -w 2 --bind=unix:/tmp/x.sock --config EMPTY",
            "{shell}"
        );
        image.write("opt/app-root/src/gunicorn.conf.py", CONF);
        assert_eq!(
            started(&supervised),
            "gunicorn --bind=unix:/tmp/x.sock",
            "{shell}"
        );
    }
}

#[test]
fn process_types_are_started_by_name() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for shell in shells() {
        let image = Image::new(G, &[("sub/wsgi.py", ""), WSGI]);
        let lines = "web gunicorn web:app\nworker X=1 python -m worker --queue \"$QUEUE\"\nbeat python beat\nown exec python own\ndown cd sub && python down\ncount python ${WEB_CONCURRENCY:+counted}\n";
        image.write("opt/app-root/etc/s2r/processes", lines);
        let run = |script: &str, arguments: &[&str], env: &[&str]| {
            let home = image.path().join("opt/app-root/src");
            let output = Command::new(shell)
                .arg(scripts.join(script))
                .args(arguments)
                .env_clear()
                .env("PATH", image.path().join("fake"))
                .env("HOME", &home)
                .env("S2R_ROOT", image.path())
                .env("STI_SCRIPTS_PATH", &scripts)
                .envs(env.iter().map(|pair| pair.split_once('=').unwrap()))
                .current_dir(&home)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let started = text.lines().find_map(|line| line.strip_prefix("RUN "));
            (
                started.unwrap_or(&said).trim().to_owned(),
                output.status.code(),
            )
        };
        let ok = |text: &str| (text.to_owned(), Some(0));
        for script in ["run", "container-entrypoint"] {
            let worker = run(script, &["worker"], &["QUEUE=low"]);
            assert_eq!(worker, ok("python -m worker --queue low"), "{shell}");
            for (name, started) in [
                ("beat", "python beat"),
                ("own", "python own"),
                ("down", "python down"),
                ("count", "python counted"),
            ] {
                assert_eq!(run(script, &[name], &[]), ok(started), "{shell}");
            }
            let web = run(script, &["web"], &["APP_HOME=sub"]);
            assert_eq!(web, ok("gunicorn web:app"), "{shell}");
        }
        let (said, status) = run("run", &["frob"], &[]);
        assert_eq!(
            said,
            "ERROR: frob is no process type of this image; there are: web worker beat own down count"
        );
        assert_eq!(status, Some(1), "{shell}");
        // Anything else is a command, also one with arguments of its own.
        let (said, _) = run("container-entrypoint", &["/bin/echo", "RUN x"], &[]);
        assert_eq!(said, "x", "{shell}");
        let (said, _) = run("container-entrypoint", &["/bin/echo", "worker"], &[]);
        assert_eq!(said, "", "{shell}");
    }
}

#[test]
fn gunicorn_opens_no_control_socket_in_a_home_that_cannot_be_written() {
    let arguments = |version: &str, files: &[(&str, &str)], env: &[&str]| {
        let mut all = vec![WSGI];
        all.extend_from_slice(files);
        let image = Image::new(&[&format!("gunicorn={version}")], &all);
        let tells = format!("{GUNICORN}echo \"ARGS ${{GUNICORN_CMD_ARGS-unset}}\"\n");
        image.write("opt/app-root/bin/gunicorn*", &tells);
        // Whoever runs the tests may write anywhere that there is.
        let home = ["HOME=/nonexistent"];
        image.seen("/bin/sh", &[&home, env].concat())["ARGS"].clone()
    };
    let none = "--no-control-socket";
    assert_eq!(arguments("27.0.1", &[], &[]), none);
    assert_eq!(arguments("25.1.0", &[], &[]), none);
    assert_eq!(arguments("25.0.3", &[], &[]), "unset");
    assert_eq!(arguments("23.0.0", &[], &[]), "unset");
    assert_eq!(arguments("27.0.1", &[], &["XDG_RUNTIME_DIR=/run"]), "unset");
    assert_eq!(arguments("27.0.1", &[], &["HOME=/tmp"]), "unset");
    let kept = "-w 2 --no-control-socket";
    assert_eq!(
        arguments("27.0.1", &[], &[&format!("GUNICORN_CMD_ARGS={kept}")]),
        kept
    );
    let added = "--no-control-socket -w 2";
    assert_eq!(arguments("27.0.1", &[], &["GUNICORN_CMD_ARGS=-w 2"]), added);
    let conf = ("gunicorn.conf.py", "control_socket = '/tmp/c'\n");
    assert_eq!(arguments("27.0.1", &[conf], &[]), "unset");
    let conf = ("gunicorn.conf.py", CONF);
    assert_eq!(arguments("27.0.1", &[conf], &[]), none);
}
