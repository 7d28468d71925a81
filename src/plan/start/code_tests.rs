//! What is said of code that will not answer, and that the code which will is left alone.

#![expect(clippy::too_many_lines, reason = "a table is as long as it is")]

use super::super::testing::planned;
use super::*;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const FASTAPI: &str = "from fastapi import FastAPI\napp = FastAPI()\n";
const G: (&str, &str) = ("requirements.txt", "flask\ngunicorn\n");

/// All that is advised, texts and hints.
fn advised(files: &[(&str, &str)], env: &[&str]) -> String {
    let plan = planned(files, env).unwrap();
    let said = plan
        .advice
        .iter()
        .map(|one| format!("{} | {}\n", one.text, one.hint));
    said.collect()
}

#[test]
fn a_file_that_will_not_answer_is_told_with_the_line_that_mends_it() {
    let main = |call: &str| format!("{FLASK}if __name__ == '__main__':\n    {call}\n");
    let flask = ("requirements.txt", "flask\n");
    for (app, requirements, env, expected) in [
        (
            FLASK.to_owned(),
            G,
            &["APP_FILE=app.py"][..],
            &[
                "app.py:2: app, an application of Flask,",
                "ends at once",
                "`APP_MODULE=app:app`",
            ][..],
        ),
        (
            FLASK.to_owned(),
            ("requirements.txt", ""),
            &["APP_FILE=app.py"],
            &["add gunicorn to the dependencies and the line `APP_MODULE=app:app`"],
        ),
        (
            FASTAPI.to_owned(),
            G,
            &["APP_FILE=app.py"],
            &[
                "an application of FastAPI",
                "exec uvicorn app:app --host 0.0.0.0 --port \"$PORT\"",
            ],
        ),
        (
            "from flask import Flask\ndef create_app():\n    return Flask('x')\n".to_owned(),
            G,
            &["APP_FILE=app.py"],
            &["`APP_MODULE=app:create_app()`"],
        ),
        (
            "from dash import Dash\napp = Dash('x')\n".to_owned(),
            G,
            &["APP_FILE=app.py"],
            &["write the line `server = app.server` into app.py, and add the line `APP_MODULE=app:server`"],
        ),
        (
            main("app.run()"),
            G,
            &[],
            &[
                "app.py:4: app.run listens on 127.0.0.1:5000",
                "write `app.run(host=\"0.0.0.0\", port=8080)`, or let gunicorn",
                "`APP_MODULE=app:app`",
            ],
        ),
        (
            main("app.run()"),
            flask,
            &[],
            &["write `app.run(host=\"0.0.0.0\", port=8080)` | "],
        ),
        (
            main("app.run(host='0.0.0.0')"),
            G,
            &[],
            &["listens on port 5000; the image's is 8080"],
        ),
        (
            main("app.run(host='0.0.0.0', port=8080)"),
            G,
            &["PORT=9000"],
            &["listens on port 8080; the image's is 9000"],
        ),
        (
            "import streamlit as st\nst.title('x')\n".to_owned(),
            ("requirements.txt", "streamlit\n"),
            &["APP_FILE=app.py"],
            &[
                "app.py is a page of streamlit",
                "started by `streamlit run",
            ],
        ),
        (
            "import gradio as gr\ngr.Interface(f, 'text', 'text').launch(server_name='127.0.0.1')\n".to_owned(),
            ("requirements.txt", "gradio\n"),
            &[],
            &[
                "listens on 127.0.0.1:7860",
                "server_name=\"0.0.0.0\", server_port=8080",
            ],
        ),
    ] {
        let said = advised(&[requirements, ("app.py", &app)], env);
        let said = said.replace('\n', " | \n");
        for text in expected {
            assert!(said.contains(text), "no {text:?} in {said}\nfor {app}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_file_that_will_answer_is_left_alone() {
    let main = |call: &str| format!("import os\n{FLASK}if __name__ == '__main__':\n    {call}\n");
    for (app, env) in [
        (main("app.run(host='0.0.0.0', port=8080)"), &[][..]),
        (
            main("app.run(host='0.0.0.0', port=int(os.environ.get('PORT', 5000)))"),
            &[],
        ),
        (
            main("app.run(host=os.getenv('HOST', '127.0.0.1'), port=os.environ['PORT'])"),
            &["HOST=0.0.0.0"],
        ),
        (main("app.run(**settings())"), &[]),
        (main("app.run('0.0.0.0', 9000)"), &["PORT=9000"]),
        (
            "import gradio as gr\ngr.Blocks().launch(server_port=8080)\n".to_owned(),
            &["GRADIO_SERVER_NAME=0.0.0.0"],
        ),
        (
            "from http.server import HTTPServer\nHTTPServer(('', 8080), H).serve_forever()\n"
                .to_owned(),
            &[],
        ),
        ("import service\nservice.main()\n".to_owned(), &[]),
        ("this is no Python\n".to_owned(), &[]),
        (String::new(), &[]),
    ] {
        let said = advised(&[("requirements.txt", "flask\n"), ("app.py", &app)], env);
        assert_eq!(said, "", "{app}");
    }
}

fn refused(files: &[(&str, &str)], env: &[&str]) -> PlanError {
    planned(files, env)
        .map(|plan| plan.start.strategy)
        .unwrap_err()
}

#[test]
fn what_gunicorn_would_not_find_is_refused() {
    let next = |error: &PlanError| crate::report::Explain::explain(error).next;
    let lacks = refused(&[G, ("wsgi.py", "from flask import Flask\nx = 1\n")], &[]);
    assert!(
        matches!(&lacks, PlanError::Start(StartError::NoName { path, name, .. }) if path == "wsgi.py" && name == "application")
    );
    let factory = "from shop import create_app\nimport os\napp = create_app(os.environ)\n";
    assert!(next(&refused(&[G, ("wsgi.py", factory)], &[])).contains("APP_MODULE=wsgi:app`"));
    let misspelt = refused(
        &[G, ("shop/__init__.py", FLASK)],
        &["APP_MODULE=shop:application"],
    );
    assert!(next(&misspelt).contains("APP_MODULE=shop:app`"));
    let absent = refused(&[G, ("README", "")], &["APP_MODULE=shop.wsgi"]);
    assert!(matches!(
        absent,
        PlanError::Start(StartError::NoModule { .. })
    ));
    let below = refused(
        &[G, ("backend/shop/wsgi.py", "application = 1\n")],
        &["APP_MODULE=shop.wsgi"],
    );
    assert!(
        next(&below).contains("APP_HOME=backend"),
        "{}",
        next(&below)
    );
    let half = refused(
        &[
            ("requirements.txt", "gunicorn\nshop-core\n"),
            ("shop/__init__.py", ""),
        ],
        &["APP_MODULE=shop.wsgi"],
    );
    assert!(matches!(
        half,
        PlanError::Start(StartError::NoModule { .. })
    ));
    let windows = refused(&[("app.sh*", "#!/bin/sh\r\nexec x\r\n")], &[]);
    assert!(matches!(
        windows,
        PlanError::Start(StartError::WindowsLines { .. })
    ));
}

#[test]
fn what_may_come_otherwise_is_not_refused() {
    for (files, env, said) in [
        (vec![G, ("wsgi.py", "from shop import *\n")], vec![], ""),
        (
            vec![G, ("wsgi.py", "def __getattr__(name):\n    return 1\n")],
            vec![],
            "",
        ),
        (
            vec![G, ("wsgi.py", "globals()['application'] = 1\n")],
            vec![],
            "",
        ),
        (
            vec![
                G,
                (
                    "wsgi.py",
                    "try:\n    from a import application\nexcept ImportError:\n    application = None\n",
                ),
            ],
            vec![],
            "",
        ),
        (
            vec![("requirements.txt", "gunicorn\nshop\n"), ("README", "")],
            vec!["APP_MODULE=shop.wsgi"],
            "there is no module shop.wsgi in the source",
        ),
        (
            vec![
                G,
                ("shop/__init__.py", ""),
                ("shop/wsgi.cpython-313-x86_64-linux-gnu.so", "x"),
            ],
            vec!["APP_MODULE=shop.wsgi"],
            "",
        ),
        (
            vec![G, ("lib/shop/wsgi.py", "application = 1")],
            vec!["APP_MODULE=shop.wsgi", "PYTHONPATH=/opt/app-root/src/lib"],
            "there is no module",
        ),
        (
            vec![
                G,
                (
                    "pyproject.toml",
                    "[project]\nname='shop'\n[build-system]\nrequires=[]\n",
                ),
                ("src/shop/wsgi.py", "application = 1\n"),
            ],
            vec!["APP_MODULE=shop.wsgi"],
            "",
        ),
    ] {
        let text = advised(&files, &env);
        assert_eq!(
            text.contains("no module"),
            !said.is_empty(),
            "{files:?}: {text}"
        );
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn applications_of_asgi_are_told_from_those_of_wsgi() {
    let both = ("requirements.txt", "fastapi\ngunicorn\nuvicorn\n");
    let main = ("main.py", FASTAPI);
    for env in [
        "GUNICORN_CMD_ARGS=-k uvicorn.workers.UvicornWorker",
        "GUNICORN_CMD_ARGS=--worker-class=asgi",
        "APP_CONFIG=conf.py",
    ] {
        let conf = ("conf.py", "worker_class = 'uvicorn_worker.UvicornWorker'\n");
        assert_eq!(
            advised(&[both, main, conf], &["APP_MODULE=main:app", env]),
            "",
            "{env}"
        );
    }
    let wrapped = (
        "main.py",
        "from fastapi import FastAPI\nfrom a2wsgi import ASGIMiddleware\napi = FastAPI()\napp = ASGIMiddleware(api)\n",
    );
    assert_eq!(advised(&[both, wrapped], &["APP_MODULE=main:app"]), "");
    let factory = (
        "main.py",
        "from flask import Flask\ndef create_app(config=None):\n    return Flask('x')\n",
    );
    assert!(
        advised(&[both, factory], &["APP_MODULE=main:create_app"])
            .contains("`APP_MODULE=main:create_app()`")
    );
    assert_eq!(
        advised(&[both, factory], &["APP_MODULE=main:create_app()"]),
        ""
    );
}

#[test]
fn where_gunicorn_is_told_to_listen_is_read() {
    let wsgi = ("wsgi.py", "application = 1\n");
    for (conf, env, expected) in [
        (
            "",
            vec!["GUNICORN_CMD_ARGS=--bind 127.0.0.1:8080"],
            "GUNICORN_CMD_ARGS: gunicorn listens on 127.0.0.1:8080",
        ),
        (
            "",
            vec!["GUNICORN_CMD_ARGS=-b:8000 -w 2"],
            "listens on port 8000; the image's is 8080",
        ),
        (
            "",
            vec!["GUNICORN_CMD_ARGS=--bind=unix:/tmp/x"],
            "on no port",
        ),
        ("", vec!["GUNICORN_CMD_ARGS=-w 2"], ""),
        ("", vec!["APP_CONFIG=conf.py"], ""),
        (
            "bind = 'localhost:8080'\n",
            vec!["APP_CONFIG=gunicorn.conf.py"],
            "gunicorn.conf.py:1: gunicorn listens on localhost:8080",
        ),
        (
            "bind = 'localhost:8080'\n",
            vec!["GUNICORN_CMD_ARGS=-w 2"],
            "write `bind = \"0.0.0.0:8080\"`",
        ),
        // The default --bind goes before the file's.
        ("bind = 'localhost:8080'\n", vec![], ""),
        (
            "wsgi_app = 'wsgi'\nbind = '127.0.0.1:8000'\n",
            vec![],
            "gunicorn.conf.py:2: gunicorn listens on 127.0.0.1:8000",
        ),
        ("wsgi_app = 'wsgi'\nbind = f'0.0.0.0:{1}'\n", vec![], ""),
    ] {
        let said = advised(
            &[
                G,
                wsgi,
                ("conf.py", "# nothing\n"),
                ("gunicorn.conf.py", conf),
            ],
            &env,
        );
        let said: String = said
            .lines()
            .filter(|line| line.contains("gunicorn listens") || line.contains("on no port"))
            .collect();
        assert!(
            said.contains(expected) && said.is_empty() == expected.is_empty(),
            "{conf:?} {env:?}: {said}"
        );
    }
}
