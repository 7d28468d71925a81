//! `s2r.yaml`: what a project asks of s2r in one file.

use crate::harness::files::Project;
use crate::harness::home::Home;

/// Every key with a value, in the forms that it has.
const WHOLE: &str = r#"# yaml-language-server: $schema=s2r.schema.json
builder: python-3.13
packages: {run: [libpq5], build: [libpq-dev]}
environment: {APP_MODULE: "wsgi:app", WEB_CONCURRENCY: 2, DEBUG: true}
server: uwsgi
front: nginx
static: {/static: static}
build: [flask translate compile, {run: npm ci, network: true}]
release: flask db upgrade
processes: {web: gunicorn wsgi:app, worker: rq worker}
test: pytest -q
check: {path: /healthz, status: 200, within: 10s}
exclude: [notebooks/]
"#;

/// What s2r refuses and the schema has to refuse as well.
const WRONG: [&str; 9] = [
    "sever: uwsgi\n",
    "server: uwsg\n",
    "packages: {runs: [jq]}\n",
    "packages: {run: jq}\n",
    "build: make\n",
    "build: [{network: true}]\n",
    "check: {status: 20}\n",
    "check: {path: healthz}\n",
    "environment: {A-B: x}\n",
];

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let home = Home::seeded();
    let schema = home.run(&["schema"]).ok().stdout;
    let project = Project::new(&[
        ("requirements.txt", "check-jsonschema==0.39.0\n"),
        ("app.py", "print('nothing is served')\n"),
        ("s2r.schema.json", &schema),
        ("taken/whole.yaml", WHOLE),
        ("taken/empty.yaml", "environment:\nserver:\nbuild:\n"),
    ]);
    for (number, text) in WRONG.iter().enumerate() {
        let wrong = Project::new(&[("app.py", ""), ("s2r.yaml", text)]);
        let told = home.run(&["plan".as_ref(), wrong.path().as_os_str()]);
        told.exits(65).says(&["s2r.yaml:1"]);
        project.write(&format!("refused/{number}.yaml"), text);
    }
    home.build(&project.path(), &["checker"]);
    let script = "check-jsonschema --check-metaschema s2r.schema.json && \
        check-jsonschema --schemafile s2r.schema.json taken/*.yaml && \
        for file in refused/*.yaml; do \
          check-jsonschema --schemafile s2r.schema.json \"$file\" >/dev/null; echo \"$file $?\"; \
        done";
    let said = home.run(&["run", "checker", "--", "sh", "-c", script]).ok();
    let refused = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("refused/"));
    let refused: Vec<&str> = refused.collect();
    let expected: Vec<String> = (0..WRONG.len())
        .map(|number| format!("refused/{number}.yaml 1"))
        .collect();
    assert_eq!(refused, expected, "{}", said.stdout);
}

#[test]
fn one_file_says_builder_packages_environment_processes_and_what_stays_out() {
    let home = Home::seeded();
    let project = Project::new(&[
        (
            "serve.py",
            "import os; print(os.environ['GREETING'], os.listdir('.'))\n",
        ),
        ("notebooks/big.ipynb", "{}"),
        (
            "s2r.yaml",
            "builder: python-3.11\n\
             packages: {run: [tree]}\n\
             environment: {GREETING: 1.10, APP_FILE: serve.py}\n\
             processes: {worker: tree --version}\n\
             exclude: [notebooks/]\n",
        ),
    ]);
    let planned = home
        .run(&["plan".as_ref(), project.path().as_os_str()])
        .ok();
    let plan = planned.stdout;
    for line in ["s2r.yaml:1", "s2r.yaml:2", "s2r.yaml:3", "tree --version"] {
        assert!(plan.contains(line), "no {line} in\n{plan}");
    }
    home.build(&project.path(), &["settings"]);
    let said = home.run(&["run", "settings"]).ok().stdout;
    assert!(said.contains("1.10"), "{said}");
    assert!(
        said.contains("s2r.yaml") && !said.contains("notebooks"),
        "{said}"
    );
    let said = home.run(&["run", "settings", "worker"]).ok().stdout;
    assert!(said.contains("tree v"), "{said}");
    let said = home
        .run(&["run", "settings", "--", "python", "-V"])
        .ok()
        .stdout;
    assert!(said.contains("Python 3.11"), "{said}");
}

#[test]
fn a_builder_may_be_a_file_of_the_project() {
    let home = Home::empty();
    let builders = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("builders");
    let text = std::fs::read_to_string(builders.join("python-3.11.yaml")).unwrap();
    let text = text.replace("name: python-3.11", "name: company");
    let project = Project::new(&[
        ("app.py", "print('nothing is served')\n"),
        ("build/company.yaml", &text),
        ("s2r.yaml", "builder: build/company.yaml\n"),
    ]);
    let plan = home
        .run(&["plan".as_ref(), project.path().as_os_str()])
        .ok();
    assert!(plan.stdout.contains("company"), "{}", plan.stdout);
    project.write(
        "build/shop/shop.yaml",
        "extends: ../company.yaml\nname: shop\nenvironment: {SHOP: open}\n",
    );
    project.write("s2r.yaml", "builder: build/shop/shop.yaml\n");
    let plan = home
        .run(&["plan".as_ref(), project.path().as_os_str()])
        .ok();
    assert!(
        plan.stdout
            .contains("shop  (s2r.yaml:1: extends build/company.yaml, which extends python-3.13"),
        "{}",
        plan.stdout
    );
    // From the command line paths count from the caller's folder.
    let shop = project.path().join("build/shop/shop.yaml");
    let folder = project.path();
    let arguments = ["plan".as_ref(), folder.as_os_str(), "--builder".as_ref()];
    let named = home.run(&[&arguments[..], &[shop.as_os_str()]].concat());
    assert!(
        named
            .ok()
            .stdout
            .contains("company.yaml, which extends python-3.13")
    );
    project.write(
        "build/company.yaml",
        "name: company\nextends: shop/shop.yaml\n",
    );
    let told = home.run(&["plan".as_ref(), project.path().as_os_str()]);
    told.exits(65)
        .says(&["build/company.yaml:2", "leads back to build/shop/shop.yaml"]);
    project.write("s2r.yaml", "\nbuilder: company.yaml\n");
    let told = home.run(&["plan".as_ref(), project.path().as_os_str()]);
    told.exits(65).says(&["s2r.yaml:2", "company.yaml"]);
}
