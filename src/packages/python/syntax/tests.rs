//! What is read of modules as people write them, and what hostile ones do.

#![expect(clippy::too_many_lines, reason = "a table is as long as it is")]

use super::*;

fn read(text: &str) -> ModuleSyntax {
    ModuleSyntax::read(text.as_bytes()).unwrap()
}

fn value(text: &str, name: &str) -> Option<NameValue> {
    read(text).names.get(name).map(|bound| bound.value.clone())
}

fn application(text: &str, name: &str) -> Option<WebFramework> {
    match value(text, name) {
        Some(NameValue::Application(framework)) => Some(framework),
        _ => None,
    }
}

#[test]
fn applications_are_known_however_they_are_imported() {
    for (text, name, expected) in [
        (
            "from flask import Flask\napp = Flask(__name__)\n",
            "app",
            WebFramework::Flask,
        ),
        (
            "from flask import Flask as F\nserver: F = F(__name__)\n",
            "server",
            WebFramework::Flask,
        ),
        (
            "import flask\nif True:\n    app = flask.Flask('x')\n",
            "app",
            WebFramework::Flask,
        ),
        (
            "from flask import *\napp = Flask(__name__)\n",
            "app",
            WebFramework::Flask,
        ),
        (
            "import fastapi as f\napi = application = f.FastAPI()\n",
            "application",
            WebFramework::FastApi,
        ),
        (
            "from fasthtml.common import *\napp, rt = fast_app()\n",
            "app",
            WebFramework::FastHtml,
        ),
        (
            "import falcon.asgi\napp = falcon.asgi.App()\n",
            "app",
            WebFramework::FalconAsgi,
        ),
        (
            "import falcon\napp = falcon.App()\n",
            "app",
            WebFramework::Falcon,
        ),
        (
            "from dash import Dash\napp = Dash()\nserver = app.server\n",
            "server",
            WebFramework::Flask,
        ),
        (
            "from pyramid.config import Configurator\nc = Configurator()\napp = c.make_wsgi_app()\n",
            "app",
            WebFramework::Pyramid,
        ),
        (
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            "application",
            WebFramework::DjangoWsgi,
        ),
        (
            "import gradio as gr\nwith gr.Blocks() as demo:\n    pass\n",
            "demo",
            WebFramework::Gradio,
        ),
        (
            "from flask import Flask\ndef create_app():\n    return Flask(__name__)\napp = create_app()\n",
            "app",
            WebFramework::Flask,
        ),
        (
            "from flask import Flask\napp = Flask('x')\napp = wrapped(app)\n",
            "app",
            WebFramework::Flask,
        ),
        (
            "from aiohttp import web\napp = web.Application()\n",
            "app",
            WebFramework::Aiohttp,
        ),
    ] {
        assert_eq!(application(text, name), Some(expected), "{text}");
    }
    assert_eq!(application("app = Flask(__name__)\n", "app"), None);
    assert_eq!(
        application(
            "from flask import Flask\ndef f():\n    app = Flask(__name__)\n",
            "app"
        ),
        None
    );
}

#[test]
fn factories_say_what_they_need() {
    let text = "from flask import Flask\n\
        def create_app(config=None, *, mode):\n    app = Flask(__name__)\n    def inner():\n        return 1\n    return app\n\
        def make_app():\n    pass\n\
        def other(x):\n    return x\n\
        async def build():\n    return Flask('x')\n\
        def annotated() -> Flask:\n    return build()\n";
    let module = read(text);
    let factories: Vec<_> = module
        .factories()
        .map(|(name, bound, factory)| {
            (
                name,
                bound.line,
                factory.framework,
                factory.required.join(","),
            )
        })
        .collect();
    assert_eq!(
        factories,
        [
            ("annotated", 13, Some(WebFramework::Flask), String::new()),
            (
                "create_app",
                2,
                Some(WebFramework::Flask),
                "mode".to_owned()
            ),
            ("make_app", 7, None, String::new()),
        ]
    );
}

fn only_server(text: &str) -> ServerCall {
    let mut servers = read(text).servers;
    assert_eq!(servers.len(), 1, "{text}: {servers:?}");
    servers.remove(0)
}

#[test]
fn servers_say_where_they_listen() {
    let is = |host: &str, port: u16| (ArgumentValue::Is(host.to_owned()), ArgumentValue::Is(port));
    let flask = "from flask import Flask\napp = Flask('x')\n";
    for (text, expected, corrected) in [
        (
            format!("{flask}app.run()\n"),
            is("127.0.0.1", 5000),
            "app.run(host=\"0.0.0.0\", port=8080)",
        ),
        (
            format!("{flask}if __name__ == '__main__':\n    app.run(debug=True, host='0.0.0.0')\n"),
            is("0.0.0.0", 5000),
            "app.run(host=\"0.0.0.0\", port=8080, debug=True)",
        ),
        (
            format!("{flask}app.run('::', 80)\n"),
            is("::", 80),
            "app.run(\"0.0.0.0\", 8080)",
        ),
        (
            format!(
                "{flask}HOST = 'localhost'\nP = 8080\ndef main():\n    app.run(host=HOST, port=P)\n"
            ),
            is("localhost", 8080),
            "app.run(host=\"0.0.0.0\", port=8080)",
        ),
        (
            "import uvicorn\nuvicorn.run('main:app', reload=True)\n".to_owned(),
            is("127.0.0.1", 8000),
            "uvicorn.run('main:app', host=\"0.0.0.0\", port=8080, reload=True)",
        ),
        (
            "from http.server import *\nh = HTTPServer(('', 8000), H)\nh.serve_forever()\n"
                .to_owned(),
            is("", 8000),
            "HTTPServer((\"0.0.0.0\", 8080), H)",
        ),
        (
            "from wsgiref.simple_server import make_server\nmake_server('127.0.0.1', 8080, f)\n"
                .to_owned(),
            is("127.0.0.1", 8080),
            "make_server(\"0.0.0.0\", 8080, f)",
        ),
        (
            "from shop import create_app\napp = create_app()\napp.run(debug=True)\n".to_owned(),
            is("127.0.0.1", 5000),
            "app.run(host=\"0.0.0.0\", port=8080, debug=True)",
        ),
        (
            "import shop\nshop.create_app('x').run(port=5001)\n".to_owned(),
            is("127.0.0.1", 5001),
            "shop.create_app('x').run(host=\"0.0.0.0\", port=8080)",
        ),
        (
            "from waitress import serve\nserve(app)\n".to_owned(),
            is("0.0.0.0", 8080),
            "serve(app, host=\"0.0.0.0\", port=8080)",
        ),
    ] {
        let call = only_server(&text);
        assert_eq!((call.host, call.port), expected, "{text}");
        assert_eq!(call.corrected.as_deref(), Some(corrected), "{text}");
    }
    let call = only_server(
        "import os, uvicorn\nPORT = int(os.environ.get('PORT', 5000))\nuvicorn.run(app, host=os.getenv('HOST'), port=PORT)\n",
    );
    let variable = |name: &str| name.to_owned();
    assert_eq!(
        call.host,
        ArgumentValue::Variable {
            name: variable("HOST"),
            otherwise: None
        }
    );
    assert_eq!(
        call.port,
        ArgumentValue::Variable {
            name: variable("PORT"),
            otherwise: Some(5000)
        }
    );
    let open = only_server(&format!("{flask}app.run(**settings)\n"));
    assert_eq!(
        (open.host, open.port, open.corrected),
        (ArgumentValue::Unknown, ArgumentValue::Unknown, None)
    );
    let demo = only_server("import gradio as gr\ndemo.queue().launch()\n");
    assert!(matches!(
        demo.port,
        ArgumentValue::Variable {
            otherwise: Some(7860),
            ..
        }
    ));
    assert!(
        read("import subprocess\nsubprocess.run('x')\njob.run()\n")
            .servers
            .is_empty()
    );
}

#[test]
fn what_only_defines_is_told_from_what_serves() {
    let flask = "\"\"\"Doc.\"\"\"\nimport os\nfrom flask import Flask\nfrom flask_cors import CORS\napp = Flask('x')\n";
    for more in [
        "",
        "CORS(app)\napp.register_blueprint(b)\n@app.get('/')\ndef index():\n    return ''\n",
        "with app.app_context():\n    db.create_all()\n",
        "try:\n    import x\nexcept ImportError:\n    x = None\n",
        "for one in all:\n    app.register_blueprint(one)\nload_dotenv()\n",
    ] {
        let module = read(&format!("{flask}{more}"));
        assert_eq!(module.top_level, TopLevel::Defines, "{more}");
    }
    for more in [
        "app.run()\n",
        "if __name__ == '__main__':\n    app.run()\n",
        "if '__main__' == __name__: main()\n",
        "main()\n",
        "while True:\n    pass\n",
        "from waitress import serve\nserve(app)\n",
        "thread.start()\n",
        "try:\n    app.run()\nfinally:\n    pass\n",
    ] {
        let module = read(&format!("{flask}{more}"));
        assert_ne!(module.top_level, TopLevel::Defines, "{more}");
    }
    assert!(read("# nothing\n").top_level == TopLevel::Blank);
}

#[test]
fn names_that_may_come_otherwise_are_noticed() {
    assert!(read("from x import *\n").is_open);
    assert!(read("globals()['application'] = 1\n").is_open);
    let module = read(
        "import a.b\nfrom .c import d as e\nx, (y, z) = 1, (2, 3)\nfor i in z: pass\nclass K: pass\nwith o() as w: pass\n",
    );
    let names: Vec<&str> = module.names.keys().map(String::as_str).collect();
    assert_eq!(names, ["K", "a", "e", "i", "w", "x", "y", "z"]);
    assert!(!module.is_open);
    assert_eq!(
        module.names["e"].value,
        NameValue::Import {
            module: ".c".to_owned(),
            name: Some("d".to_owned())
        }
    );
    assert!(module.uses("a") && module.uses(".c") && !module.uses("b"));
}

#[test]
fn what_is_no_python_is_unknown() {
    for (text, expected) in [
        (&b"print 'x'\n"[..], ParseRefusal::Syntax),
        (b"(", ParseRefusal::Syntax),
        (b"a)\n", ParseRefusal::Syntax),
        (b"x = [1)\n", ParseRefusal::Syntax),
        (b"\xff\xfe", ParseRefusal::NotText),
    ] {
        assert_eq!(ModuleSyntax::read(text), Err(expected), "{text:?}");
    }
    let long = vec![b'#'; usize::try_from(MAX_BYTES).unwrap() + 1];
    assert_eq!(ModuleSyntax::read(&long), Err(ParseRefusal::Long));
    assert!(ModuleSyntax::read(b"\xef\xbb\xbfx = 1\r\n").is_ok());
}

/// Texts of the longest length whose trees would end the process.
fn deep(n: usize) -> Vec<(&'static str, String)> {
    let nested = |open: &str, close: &str| format!("x = {}1{}\n", open.repeat(n), close.repeat(n));
    vec![
        ("parentheses", nested("(", ")")),
        ("lists", nested("[", "]")),
        ("dicts", nested("{1:", "}")),
        ("calls", nested("f(", ")")),
        ("unclosed", format!("x = {}", "(".repeat(n))),
        ("attributes", format!("x = a{}\n", ".b".repeat(n))),
        ("called again", format!("x = a{}\n", "()".repeat(n))),
        ("items", format!("x = a{}\n", "[0]".repeat(n))),
        ("sum", format!("x = 1{}\n", "+1".repeat(n))),
        ("power", format!("x = 1{}\n", "**1".repeat(n))),
        ("not", format!("x = {}1\n", "not ".repeat(n))),
        ("minus", format!("x = {}1\n", "-".repeat(n))),
        ("conditions", format!("x = {}1\n", "1 if 1 else ".repeat(n))),
        ("lambdas", format!("x = {}1\n", "lambda: ".repeat(n))),
        (
            "lambdas with commas",
            format!("x = {}1\n", "lambda a, b: ".repeat(n)),
        ),
        (
            "f-strings",
            format!("x = {}1{}\n", "f'{".repeat(n), "}'".repeat(n)),
        ),
        (
            "format specs",
            format!("x = f'{}{}'\n", "{a:".repeat(n), "}".repeat(n)),
        ),
        (
            "patterns",
            format!(
                "match x:\n    case {}1{}:\n        pass\n",
                "[".repeat(n),
                "]".repeat(n)
            ),
        ),
        ("comprehensions", nested("[x for x in ", "]")),
        ("unclosed blocks", {
            let mut text = "x = (\n".to_owned();
            for level in 0..n.min(1400) {
                text.push_str(&" ".repeat(level));
                text.push_str("if a, b:\n");
            }
            text
        }),
        ("blocks", {
            let mut text = String::new();
            for level in 0..n.min(1400) {
                text.push_str(&" ".repeat(level));
                text.push_str("if 1:\n");
            }
            text.push_str(&" ".repeat(n.min(1400)));
            text.push_str("pass\n");
            text
        }),
    ]
}

#[test]
fn deep_texts_are_refused_before_there_is_a_tree() {
    for (what, mut text) in deep(100_000) {
        text.truncate(usize::try_from(MAX_BYTES).unwrap());
        let start = std::time::Instant::now();
        let read = ModuleSyntax::read(text.as_bytes());
        assert!(
            matches!(read, Err(ParseRefusal::Deep | ParseRefusal::Syntax)),
            "{what}: {read:?}"
        );
        assert!(start.elapsed().as_secs() < 5, "{what}");
    }
    // As deep as is let through, on a small stack.
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let thread = small.spawn(|| {
        for n in [90, 300, 600, 900, 1900] {
            for (what, text) in deep(n) {
                let read = ModuleSyntax::read(text.as_bytes());
                assert!(
                    n > 90
                        || read.is_ok()
                        || what.starts_with("unclosed")
                        || what.contains("strings"),
                    "{what}: {read:?}"
                );
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn long_tables_are_not_deep() {
    let table = format!(
        "x = [{}]\n",
        "{'a': (1, 2), 'b': lambda x, y: x + y}, ".repeat(5000)
    );
    assert!(ModuleSyntax::read(table.as_bytes()).is_ok());
    let lines = "def f(a, b):\n    return a.b.c[0]\n\n\n".repeat(20_000);
    assert!(ModuleSyntax::read(lines.as_bytes()).is_ok());
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "(from |import |flask|\\*|app|Flask\\(|\\)|=|def create_app\\(|\\):|\n|    |return |if __name__ == '__main__':|app.run\\(|host=|lambda |f'\\{|\\}'|\"|'|,|\\[|\\]|\\{|\\}|with |as |:|class |;|\\\\\n|é|0x|9999999){0,40}") {
        let _ = ModuleSyntax::read(text.as_bytes());
    }
}
