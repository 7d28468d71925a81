use super::*;
use crate::report::Explain as _;
use crate::source::testing::{folder, tree};

fn read(files: &[(&str, &str)]) -> Result<ProjectSettings, ProjectError> {
    ProjectSettings::of_tree(&tree(&folder(files)))
}

fn yaml(text: &str) -> Result<ProjectSettings, ProjectError> {
    read(&[("app.py", ""), ("s2r.yaml", text)])
}

const WHOLE: &str = r#"
builder: python-3.13
packages: {run: [libpq5], build: [libpq-dev]}
environment: {APP_MODULE: "wsgi:app", VERSION: 1.10, DEBUG: yes, MODE: 0777, EMPTY:}
server: uwsgi
front: nginx
static: {/static/: ./static/}
build:
  - flask translate compile
  - run: npm ci
    network: true
release: flask db upgrade
processes:
  web: gunicorn app:app
  worker: rq worker
test: pytest -q
check: {path: /healthz, status: 200, within: 500ms, memory: 768Mi}
exclude: [notebooks/]
"#;

const TOML: &str = r#"
[project]
name = "s2r-example"
[tool.s2r]
builder = "python-3.13"
packages = {run = ["libpq5"], build = ["libpq-dev"]}
server = "uwsgi"
front = "nginx"
static = {"/static/" = "./static/"}
build = ["flask translate compile", {run = "npm ci", network = true}]
release = "flask db upgrade"
test = "pytest -q"
check = {path = "/healthz", status = 200, within = "500ms", memory = "768Mi"}
exclude = ["notebooks/"]
[tool.s2r.environment]
APP_MODULE = "wsgi:app"
VERSION = 1.10
DEBUG = true
MODE = "0777"
[tool.s2r.processes]
web = "gunicorn app:app"
worker = "rq worker"
"#;

#[test]
fn every_setting_is_read_with_its_line() {
    let settings = yaml(WHOLE).unwrap();
    let builder = settings.builder.unwrap();
    assert_eq!(builder.value, "python-3.13");
    assert_eq!(builder.place.to_string(), "s2r.yaml:2");
    let packages: Vec<_> = settings
        .packages
        .iter()
        .map(|one| (one.name.as_str(), one.for_building))
        .collect();
    assert_eq!(packages, [("libpq5", false), ("libpq-dev", true)]);
    let variables: Vec<_> = settings
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.value.as_str()))
        .collect();
    let expected = [
        ("APP_MODULE", "wsgi:app"),
        ("DEBUG", "yes"),
        ("MODE", "0777"),
        ("VERSION", "1.10"),
    ];
    assert_eq!(variables, expected);
    assert_eq!(settings.server.unwrap().value, ServerChoice::Uwsgi);
    assert_eq!(settings.front.unwrap().value, FrontServer::Nginx);
    let folder = &settings.static_folders[0];
    assert_eq!(
        (folder.url.as_str(), folder.folder.value.as_str()),
        ("/static", "static")
    );
    let build: Vec<_> = settings
        .build
        .iter()
        .map(|one| (one.value.command.as_str(), one.value.has_network))
        .collect();
    assert_eq!(
        build,
        [("flask translate compile", false), ("npm ci", true)]
    );
    assert_eq!(settings.build[1].place.line, Some(10));
    assert_eq!(settings.release.unwrap().value, "flask db upgrade");
    assert_eq!(settings.processes[1].name, "worker");
    assert_eq!(settings.processes[1].place.to_string(), "s2r.yaml:15");
    assert_eq!(settings.test.unwrap().value, "pytest -q");
    let check = settings.check.unwrap().value;
    assert_eq!(check.path.as_deref(), Some("/healthz"));
    assert_eq!(
        (check.status, check.within),
        (Some(200), Some(Duration::from_millis(500)))
    );
    assert_eq!(check.memory_bytes, Some(768 << 20));
    assert_eq!(settings.exclude[0].value, "notebooks/");
}

#[test]
fn a_table_of_pyproject_says_the_same() {
    let mut of_yaml = yaml(WHOLE).unwrap();
    let mut of_toml = read(&[("app.py", ""), ("pyproject.toml", TOML)]).unwrap();
    assert_eq!(
        of_toml.builder.as_ref().unwrap().place.to_string(),
        "pyproject.toml:5"
    );
    let variable = &of_toml.environment["VERSION"];
    assert_eq!(
        (variable.value.as_str(), variable.place.line),
        ("1.10", Some(17))
    );
    for settings in [&mut of_yaml, &mut of_toml] {
        settings.environment.remove("DEBUG");
    }
    // Lines aside.
    let shown = |settings: &ProjectSettings| {
        let text = format!("{settings:?}").replace("pyproject.toml", "s2r.yaml");
        regex::Regex::new(r"line: Some\(\d+\)")
            .unwrap()
            .replace_all(&text, "")
            .into_owned()
    };
    assert_eq!(shown(&of_yaml), shown(&of_toml));
}

#[test]
fn a_project_without_settings_has_none() {
    for files in [
        &[("app.py", "")][..],
        &[("app.py", ""), ("s2r.yaml", "")],
        &[
            ("app.py", ""),
            ("s2r.yaml", "# nothing yet\nenvironment:\nbuild:\nserver:\n"),
        ],
        &[
            ("app.py", ""),
            ("pyproject.toml", "[project]\nname = 's2r'\n"),
        ],
    ] {
        assert_eq!(
            read(files).unwrap(),
            ProjectSettings::default(),
            "{files:?}"
        );
    }
}

/// A document, the line that is named, what is said and what to do.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "sever: uwsgi\n",
        ":1",
        "sever is no setting",
        "write server",
    ),
    ("\nunit: x\n", ":2", "unit is no setting", "s2r schema"),
    (
        "packages: {runs: [jq]}\n",
        ":1",
        "packages.runs is no setting",
        "write run",
    ),
    (
        "check: {\n  code: 200}\n",
        ":2",
        "check.code is no setting",
        "s2r schema",
    ),
    (
        "server: uwsg\n",
        ":1",
        "\"uwsg\" cannot be used",
        "write uwsgi",
    ),
    ("server: [uwsgi]\n", ":1", "server is a list", "s2r schema"),
    ("build: make\n", ":1", "build is a text", "s2r schema"),
    (
        "build: [{network: true}]\n",
        ":1",
        "a mapping without run",
        "s2r schema",
    ),
    (
        "build: [{run: a, network: maybe}]\n",
        ":1",
        "build.network is a text",
        "s2r schema",
    ),
    ("release: 5\n", ":1", "release is a number", "s2r schema"),
    ("release: |\n  a\n  b\n", ":2", "release", "&&"),
    (
        "processes:\n  a b: x\n",
        ":2",
        "\"a b\" cannot be used",
        "correct",
    ),
    (
        "environment:\n  A-B: x\n",
        ":2",
        "\"A-B\" cannot be used",
        "correct",
    ),
    (
        "environment:\n  A: [x]\n",
        ":2",
        "environment.A is a list",
        "s2r schema",
    ),
    (
        "packages: {run: [jq=1]}\n",
        ":1",
        "\"jq=1\" is no name",
        "write the name alone",
    ),
    (
        "packages: {run: [\"jq\\njo\"]}\n",
        ":1",
        "is no name",
        "correct",
    ),
    (
        "static: {static: static}\n",
        ":1",
        "\"static\" cannot be used",
        "/static: static",
    ),
    (
        "static: {/a: ../b}\n",
        ":1",
        "\"../b\" cannot be used",
        "/static: static",
    ),
    ("check: {status: 20}\n", ":1", "check.status: \"20\"", "200"),
    ("check: {within: 1h}\n", ":1", "check.within: \"1h\"", "10s"),
    (
        "check: {memory: much}\n",
        ":1",
        "check.memory: \"much\"",
        "512Mi",
    ),
    (
        "check: {path: healthz}\n",
        ":1",
        "check.path: \"healthz\"",
        "/healthz",
    ),
    ("exclude: ['[a']\n", ":1", "exclude: \"[a\"", "Close its"),
    ("- a\n", ":1", "the document is a list", "s2r schema"),
    ("a: 1\na: 2\n", ":2", "is not YAML", "correct"),
    ("server: [uwsgi\n", "", "is not YAML", "correct"),
    ("server: !!binary x\n", ":1", "is not YAML", "correct"),
];

#[test]
fn what_cannot_be_followed_is_refused_with_its_line() {
    for (text, place, what, next) in WRONG {
        let told = yaml(text).unwrap_err().explain();
        assert!(told.place.starts_with("s2r.yaml"), "{text}: {told:?}");
        assert!(
            told.place.ends_with(place) || place.is_empty(),
            "{text}: {told:?}"
        );
        assert!(told.what.contains(what), "{text}: {told:?}");
        assert!(told.next.contains(next), "{text}: {told:?}");
    }
}

#[test]
fn settings_stand_in_one_file() {
    let both = [
        ("app.py", ""),
        ("s2r.yaml", "server: uwsgi\n"),
        ("pyproject.toml", TOML),
    ];
    let told = read(&both).unwrap_err().explain();
    assert!(told.what.contains("and in s2r.yaml"), "{told:?}");
    let told = read(&[("app.py", ""), ("s2r.yml", "")])
        .unwrap_err()
        .explain();
    assert!(told.next.contains("git mv s2r.yml s2r.yaml"), "{told:?}");
}

#[test]
fn hostile_documents_cost_little() {
    let deep = "[".repeat(100_000);
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='k')
            .zip('a'..)
            .map(|(name, of)| {
                format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n")
            })
            .collect::<String>();
    for text in [format!("build: {deep}"), laughs] {
        assert!(yaml(&text).is_err());
    }
}

/// The keys of an object of the schema.
fn schema_keys(schema: &serde_json::Value, pointer: &str) -> Vec<String> {
    let properties = schema.pointer(pointer).unwrap().as_object().unwrap();
    let mut keys: Vec<String> = properties.keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn the_schema_knows_the_keys_and_no_others() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    for (pointer, keys) in [
        ("/properties", &keys::KEYS[..]),
        ("/properties/check/properties", &keys::CHECK_KEYS),
        ("/properties/packages/properties", &keys::PACKAGES_KEYS),
        (
            "/properties/build/items/oneOf/1/properties",
            &keys::BUILD_KEYS,
        ),
    ] {
        assert_eq!(schema_keys(&schema, pointer), keys, "{pointer}");
    }
    for (pointer, known) in [
        (
            "/properties/server/enum",
            keys::SERVERS.map(|(name, _)| name).to_vec(),
        ),
        (
            "/properties/front/enum",
            keys::FRONT_SERVERS.map(|(name, _)| name).to_vec(),
        ),
    ] {
        let listed = schema.pointer(pointer).unwrap().as_array().unwrap();
        let listed: Vec<&str> = listed.iter().filter_map(|one| one.as_str()).collect();
        assert_eq!(listed, known, "{pointer}");
    }
}
