//! What people write today, built and started: the code says how, and a server is added where none is named.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::container::{Container, run_once, run_with};
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

/// How long a server may take to see an edit, on a busy machine.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);

const FLASK: &str = "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route(\"/\")\ndef index():\n    return \"hello\"\n";
const FACTORY: &str = "from flask import Flask\n\n\ndef create_app(config=None):\n    app = Flask(__name__)\n    app.add_url_rule(\"/\", view_func=lambda: \"made\")\n    return app\n";

#[track_caller]
fn answers(home: &Home, project: &Project, expected: &str) {
    let reference = home.build(&project.path(), &["x", "-e", "WEB_CONCURRENCY=1"]);
    let image = home.layout().reference(digest_of(&reference));
    let container = Container::start_with(&image, 1_000_680_000, &[]);
    assert_eq!(container.page("/"), expected);
}

#[test]
fn what_the_code_makes_is_served() {
    let home = Home::seeded();
    let gunicorn = ("requirements.txt", "flask\ngunicorn\n");
    let factory = Project::new(&[gunicorn, ("flaskr/__init__.py", FACTORY)]);
    answers(&home, &factory, "made");
    let uvicorn = ("requirements.txt", "fastapi\nuvicorn\n");
    let fastapi = Project::new(&[uvicorn, ("main.py", FASTAPI)]);
    answers(&home, &fastapi, "\"served\"");
}

#[test]
fn the_web_line_of_a_procfile_is_what_starts() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        ("shop/pages.py", &FLASK.replace("app", "site")),
        (
            "Procfile",
            "web: gunicorn shop.pages:site --bind 0.0.0.0:$PORT\nworker: python -m shop.queue\n",
        ),
    ]);
    answers(&home, &project, "hello");
}

/// The files of a Django project, as `startproject` and people's tutorials lay them out, below a folder.
fn django(folder: &str, project: &str) -> Vec<(String, String)> {
    let module = format!("{project}.settings");
    let setting =
        format!("import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', '{module}')\n");
    let settings = format!(
        "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = '{project}.urls'\nINSTALLED_APPS = []\nMIDDLEWARE = []\n\
         WSGI_APPLICATION = '{project}.wsgi.application'\nSTATIC_URL = 'static/'\n\
         DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}}}\n"
    );
    let manage = format!(
        "{setting}import sys\nfrom django.core.management import execute_from_command_line\n\n\
         if __name__ == '__main__':\n    execute_from_command_line(sys.argv)\n"
    );
    let wsgi = format!(
        "{setting}from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    );
    let urls = "from django.http import HttpResponse\nfrom django.urls import path\n\
         urlpatterns = [path('', lambda request: HttpResponse('django'))]\n";
    [
        ("manage.py".to_owned(), manage),
        (format!("{project}/__init__.py"), String::new()),
        (format!("{project}/settings.py"), settings),
        (format!("{project}/urls.py"), urls.to_owned()),
        (format!("{project}/wsgi.py"), wsgi),
    ]
    .into_iter()
    .map(|(path, text)| (format!("{folder}{path}"), text))
    .collect()
}

fn project_of(files: &[(String, String)], requirements: &str) -> Project {
    let files = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let requirements = ("requirements.txt", requirements);
    Project::new(&files.chain([requirements]).collect::<Vec<_>>())
}

/// `mysite/wsgi.py` beside `manage.py`, with gunicorn and without, and all of it one folder down, as `netbox/manage.py`.
#[test]
fn django_projects_of_every_layout_answer_by_following_what_is_said() {
    let home = Home::seeded();
    let variables = ["-e", "DISABLE_COLLECTSTATIC=1", "-e", "DISABLE_MIGRATE=1"];
    for (folder, requirements) in [
        ("", "django\ngunicorn\n"),
        ("", "django\n"),
        ("netbox/", "django\ngunicorn\n"),
    ] {
        let project = project_of(&django(folder, "mysite"), requirements);
        let mut command = home.command(&["build"]);
        command.arg(project.path()).arg("x").args(variables);
        let mut built = finish(&mut command);
        // The advice names the lines that start it: they are followed to the letter.
        let lines: Vec<&str> = built
            .stderr
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|line| line.starts_with("APP_"))
            .collect();
        if !lines.is_empty() {
            let lines: Vec<&str> = lines
                .iter()
                .flat_map(|line| line.split_whitespace())
                .collect();
            project.write(".s2i/environment", &format!("{}\n", lines.join("\n")));
            let mut command = home.command(&["build"]);
            command.arg(project.path()).arg("x").args(variables);
            built = finish(&mut command);
        }
        let built = built.ok();
        let image = home.layout().reference(digest_of(built.line()));
        let container = Container::start_with(&image, 1_000_680_000, &[]);
        assert_eq!(container.page("/"), "django", "{folder}{requirements}");
    }
}

#[test]
fn an_app_py_that_only_defines_an_application_is_served_unless_it_is_insisted_on() {
    let home = Home::seeded();
    let gunicorn = ("requirements.txt", "flask\ngunicorn\n");
    let object = Project::new(&[gunicorn, ("app.py", FLASK)]);
    let said = finish(home.command(&["build"]).arg(object.path()).arg("x"))
        .ok()
        .stderr;
    assert!(
        said.contains("`python app.py` would end at once") && said.contains("`APP_FILE=app.py`"),
        "{said}"
    );
    answers(&home, &object, "hello");
    object.write(".s2i/environment", "APP_FILE=app.py\n");
    let reference = home.build(&object.path(), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    let ran = run_once(&image, 1_000_680_000, &[]);
    assert!(
        ran.stdout.contains("Running the Python file app.py"),
        "{}",
        ran.stdout
    );
}

const FASTAPI: &str = "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get(\"/\")\ndef index():\n    return \"served\"\n";

#[test]
fn a_server_that_nothing_names_is_added_and_locked() {
    let home = Home::seeded();
    let project = Project::new(&[("requirements.txt", "fastapi\n"), ("main.py", FASTAPI)]);
    let path = project.path();
    let locked = ["build", path.to_str().unwrap(), "x", "--locked"];
    // Without a lock, and with one that was made of the requirements alone, nothing may be added.
    home.run(&locked).exits(65);
    let said = home
        .run(&["build", project.path().to_str().unwrap(), "x"])
        .ok();
    assert!(said.stderr.contains("uvicorn is added"), "{}", said.stderr);
    let other = "lock-version = '1.0'\ncreated-by = 'other'\npackages = []\n";
    project.write("pylock.toml", other);
    home.run(&["lock", project.path().to_str().unwrap()]).ok();
    let lock = std::fs::read_to_string(project.path().join("pylock.toml")).unwrap();
    assert!(lock.contains("name = \"uvicorn\""), "{lock}");
    home.run(&locked).ok();
    answers(&home, &project, "\"served\"");
    // What was added is a part of what the lock was made from.
    project.write(".s2i/environment", "S2R_ADD_SERVER=hypercorn\n");
    let stale = home.run(&locked).exits(65);
    assert!(
        stale.stderr.contains("the server that is added"),
        "{}",
        stale.stderr
    );
}

#[test]
fn a_server_is_added_to_a_lock_of_another_tool_within_its_pins() {
    let home = Home::seeded();
    let project = Project::new(&[("requirements.txt", "flask\n"), ("main.py", FLASK)]);
    home.run(&["lock", project.path().to_str().unwrap()]).ok();
    let lock = std::fs::read_to_string(project.path().join("pylock.toml")).unwrap();
    let cut = |text: &str| -> String {
        let mut packages: Vec<&str> = text.split("[[packages]]").collect();
        packages.retain(|one| !one.contains("name = \"gunicorn\""));
        packages.join("[[packages]]")
    };
    // A lock of another tool says nothing of what it was made from.
    let others = cut(&lock);
    let end = others.find("[tool.").unwrap_or(others.len());
    project.write("pylock.toml", &others[..end].replace("s2r", "other"));
    answers(&home, &project, "hello");
    let refused = home
        .run(&["build", project.path().to_str().unwrap(), "x", "--locked"])
        .exits(65);
    assert!(
        refused
            .stderr
            .contains("gunicorn is needed, and is not among the dependencies"),
        "{}",
        refused.stderr
    );
}

/// Builds an example, starts it as a platform would, and asks it for a page.
#[track_caller]
fn example_says(home: &Home, name: &str, path: &str, expected: &str) -> String {
    let reference = home.build(&example(name), &[name]);
    let image = home.layout().reference(digest_of(&reference));
    let container = Container::start_with(&image, 1_000_680_000, &[]);
    let page = container.page(path);
    assert!(page.contains(expected), "{name}: {page}");
    container.stop();
    image
}

#[test]
fn fastapi_uvicorn() {
    let home = Home::seeded();
    example_says(
        &home,
        "fastapi-uvicorn",
        "/",
        "Hello from FastAPI by http\n",
    );
}

#[test]
fn flask_factory() {
    example_says(
        &Home::seeded(),
        "flask-factory",
        "/",
        "Hello from a factory\n",
    );
}

#[test]
fn flask_app_object() {
    example_says(
        &Home::seeded(),
        "flask-app-object",
        "/",
        "Hello from app.py\n",
    );
}

#[test]
fn django_nested() {
    example_says(
        &Home::seeded(),
        "django-nested",
        "/",
        "Hello from a folder\n",
    );
}

#[test]
fn dash() {
    example_says(&Home::seeded(), "dash", "/_dash-layout", "Hello from Dash");
}

#[test]
fn litestar() {
    example_says(&Home::seeded(), "litestar", "/", "Hello from Litestar\n");
}

#[test]
#[ignore = "downloads 150 MB; run it by its name"]
fn streamlit() {
    example_says(
        &Home::seeded(),
        "streamlit",
        "/",
        "<title>Streamlit</title>",
    );
}

/// A project whose server looks for edits: its files, the flags of its build, what it says first, and the edit.
struct Reloading {
    files: Vec<(&'static str, &'static str)>,
    flags: &'static [&'static str],
    file: &'static str,
}

#[test]
fn an_edit_in_a_container_is_served_where_settings_ask_for_reloads() {
    let home = Home::seeded();
    let uvicorn = "fastapi==0.165.0\nuvicorn==0.54.0\n";
    for (name, reloading) in [
        (
            "gunicorn",
            Reloading {
                files: vec![
                    ("requirements.txt", "flask==3.1.3\ngunicorn==27.0.1\n"),
                    (
                        "wsgi.py",
                        "from flask import Flask\napplication = Flask(__name__)\n@application.get('/')\ndef page():\n    return 'first'\n",
                    ),
                    ("conf.py", "reload = True\n"),
                ],
                flags: &["-e", "APP_CONFIG=conf.py", "-e", "WEB_CONCURRENCY=1"],
                file: "wsgi.py",
            },
        ),
        (
            "uvicorn",
            Reloading {
                files: vec![
                    ("requirements.txt", uvicorn),
                    (
                        "main.py",
                        "from fastapi import FastAPI\nfrom fastapi.responses import PlainTextResponse\napp = FastAPI()\n@app.get('/', response_class=PlainTextResponse)\ndef page():\n    return 'first'\n",
                    ),
                    (
                        "Procfile",
                        "web: uvicorn main:app --reload --host 0.0.0.0 --port $PORT\n",
                    ),
                ],
                flags: &[],
                file: "main.py",
            },
        ),
        (
            "django",
            Reloading {
                files: vec![
                    ("requirements.txt", "django==5.2.19\n"),
                    (
                        "manage.py",
                        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'site_settings'\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
                    ),
                    (
                        "site_settings.py",
                        "SECRET_KEY = 'x'\nDEBUG = True\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\n",
                    ),
                    (
                        "urls.py",
                        "from django.http import HttpResponse\nfrom django.urls import path\nurlpatterns = [path('', lambda request: HttpResponse('first'))]\n",
                    ),
                ],
                flags: &["-e", "DISABLE_MIGRATE=1"],
                file: "urls.py",
            },
        ),
    ] {
        let project = Project::new(&reloading.files);
        let built = home.build(&project.path(), &[&[name], reloading.flags].concat());
        let image = home.layout().reference(digest_of(&built));
        let container = Container::start(&image, 1_000_680_000);
        assert_eq!(container.page("/"), "first", "{name}");
        container
            .exec(&["sed", "-i", "s/first/second/", reloading.file])
            .ok();
        let started = Instant::now();
        // A request may come while a worker is being replaced; the page is asked for until it has changed.
        while container.page("/") != "second" {
            assert!(started.elapsed() < RELOAD_LIMIT, "{}", container.logs());
            sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn uwsgi_psycopg2() {
    let home = Home::seeded();
    let page = "Hello from uWSGI, with libpq 17\n";
    let image = example_says(&home, "uwsgi-psycopg2", "/", page);
    let listed = run_once(&image, 1001, &["ls", "/var/lib/dpkg/status.d"]).ok();
    for package in ["libpq5", "libpython3.13"] {
        let mut lines = listed.stdout.lines();
        assert!(lines.any(|line| line == package), "{}", listed.stdout);
    }
}

#[test]
fn uv_workspace() {
    let home = Home::seeded();
    example_says(&home, "uv-workspace", "/", "Hello from a workspace\n");
    let project = Project::copy_of("uv-workspace");
    home.run(&["lock", project.path().to_str().unwrap()]).ok();
    answers(&home, &project, "Hello from a workspace\n");
    for lock in ["pylock.toml", "s2r.lock"] {
        std::fs::remove_file(project.path().join(lock)).unwrap();
    }
    let member = "packages/greetings/pyproject.toml";
    let text = std::fs::read_to_string(project.path().join(member)).unwrap();
    project.write(
        member,
        &text.replace("[build-system]", "dependencies = [\"six\"]\n[build-system]"),
    );
    finish(home.command(&["plan"]).arg(project.path()))
        .exits(65)
        .says(&["uv.lock is older", "uv lock"]);
}

#[test]
fn a_member_of_a_workspace_is_built_by_its_context_folder() {
    let home = Home::seeded();
    let project = Project::copy_of("uv-workspace");
    std::fs::remove_file(project.path().join(".s2i/environment")).unwrap();
    project.write("packages/web/Procfile", "web: false\n");
    let mut command = home.command(&["build"]);
    command
        .arg(project.path())
        .args(["member", "--progress", "plain"]);
    command.args(["--context-dir", "packages/web", "-e", "WEB_CONCURRENCY=1"]);
    let built = finish(&mut command).ok();
    let built = built.says(&[
        "packages/web is the member web of a uv workspace",
        "packages/web/Procfile is not read",
    ]);
    let image = home.layout().reference(digest_of(built.line()));
    let container = Container::start_with(&image, 1_000_680_000, &[]);
    assert_eq!(container.page("/"), "Hello from a workspace\n");
}

#[test]
fn procfile_worker() {
    let home = Home::seeded();
    let image = example_says(&home, "procfile-worker", "/", "Hello from a Procfile\n");
    // As `args: [worker]` has it, as the start script has it, and as a command of its own.
    for command in [&["worker"][..], &["/usr/libexec/s2i/run", "worker"]] {
        let ran = run_with(&image, 1_000_680_000, &["--env", "QUEUE=low"], command).ok();
        assert!(
            ran.stdout.ends_with("working on low with Flask\n"),
            "{}",
            ran.stdout
        );
    }
    let program = run_once(&image, 1_000_680_000, &["echo", "a program"]).ok();
    assert_eq!(program.stdout, "a program\n");
    let ran = home
        .run(&["run", "procfile-worker", "-e", "QUEUE=high", "worker"])
        .ok();
    assert!(
        ran.stdout.ends_with("working on high with Flask\n"),
        "{}",
        ran.stdout
    );
    let unknown = home.run(&["run", "procfile-worker", "/usr/libexec/s2i/run", "beat"]);
    assert!(
        unknown.stderr.contains("there are: web worker release"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn gunicorn_logs_no_error_where_the_home_cannot_be_written() {
    let home = Home::seeded();
    let reference = home.build(&example("flask-factory"), &["x"]);
    let image = home.layout().reference(digest_of(&reference));
    let flags = ["--read-only", "--tmpfs", "/tmp"];
    let container = Container::start_with(&image, 1_000_680_000, &flags);
    assert_eq!(container.page("/"), "Hello from a factory\n");
    let logs = container.logs();
    assert!(!logs.contains("ERROR"), "{logs}");
}
