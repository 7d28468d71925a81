//! What people write today, built and started: the code says how. And advice, followed to a container
//! that answers.

use crate::harness::container::Container;
use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::finish;

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
}

#[test]
fn advice_on_code_leads_to_a_container_that_answers() {
    let home = Home::seeded();
    let gunicorn = ("requirements.txt", "flask\ngunicorn\n");
    let object = Project::new(&[gunicorn, ("app.py", FLASK)]);
    let said = finish(home.command(&["build"]).arg(object.path()).arg("x"))
        .ok()
        .stderr;
    assert!(
        said.contains("ends at once") && said.contains("`APP_MODULE=app:app`"),
        "{said}"
    );
    object.write(".s2i/environment", "APP_MODULE=app:app\n");
    answers(&home, &object, "hello");
}
