//! Each example on its whole way: built, looked at, pushed, pulled back by another tool, run, stopped.

use std::fs;
use std::path::Path;

use crate::harness::container::Container;
use crate::harness::files::example;
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::{Layout, sha256};
use crate::harness::registry::Registry;
use crate::harness::tools::{as_root, finish, temporary, tool};

/// Users that a platform may pick: the image's own, another one, and one as `OpenShift` hands them out.
const UIDS: [u32; 3] = [1001, 12345, 1_000_680_000];

#[test]
fn flask_gunicorn() {
    travels("flask-gunicorn", "Hello from Flask\n");
}

#[test]
fn app_module() {
    travels("app-module", "Hello from APP_MODULE\n");
}

#[test]
fn script() {
    travels("script", "Hello from app.py\n");
}

#[test]
fn shell() {
    travels("shell", "Hello from app.sh\n");
}

#[test]
fn numpy() {
    travels("numpy", "The squares of 1 to 10 add up to 385\n");
}

#[test]
fn prediction_api() {
    let (_home, container) = answers(
        "prediction-api",
        &[("/predict?length=1.4&width=0.2", "setosa\n")],
    );
    container.stop();
}

#[test]
fn gunicorn_conf() {
    let (_home, container) = answers("gunicorn-conf", &[("/", "Hello from gunicorn.conf.py\n")]);
    container.stop();
}

#[test]
fn app_home() {
    let (_home, container) = answers("app-home", &[("/", "Hello from web, with shared things\n")]);
    container.stop();
}

#[test]
fn setup_py() {
    let (_home, container) = answers("setup-py", &[("/", "Hello from setup.py\n")]);
    let greeted = container.exec(&["greet"]).ok();
    assert_eq!(greeted.stdout, "Hello from setup.py\n");
    container.stop();
}

#[test]
fn setup_cfg() {
    let (_home, container) = answers("setup-cfg", &[("/", "Hello from setup.cfg, version 2.1\n")]);
    let where_from = container.exec(&["python", "-c", "import greeter; print(greeter.__file__)"]);
    let site = "/opt/app-root/lib/python3.13/site-packages";
    assert_eq!(
        where_from.ok().stdout,
        format!("{site}/greeter/__init__.py\n")
    );
    container.stop();
}

#[test]
fn django() {
    let (_home, container) = answers(
        "django",
        &[
            ("/", "Visit 1\n"),
            ("/", "Visit 2\n"),
            ("/static/guestbook/style.css", "body { margin: 2rem }\n"),
        ],
    );
    assert!(
        container
            .logs()
            .contains("Applying guestbook.0001_initial... OK")
    );
    // The development server finds static files by itself; what was collected lies there too.
    let collected = container.exec(&["cat", "staticfiles/guestbook/style.css"]);
    assert_eq!(collected.ok().stdout, "body { margin: 2rem }\n");
}

#[test]
fn django_gunicorn() {
    let (_home, container) = answers(
        "django-gunicorn",
        &[
            ("/", "/static/pages/style.0514f3ba83a8.css\n"),
            (
                "/static/pages/style.0514f3ba83a8.css",
                "body { margin: 2rem }\n",
            ),
        ],
    );
    assert!(!container.logs().contains("migrat"));
    container.stop();
}

#[test]
fn sdist() {
    let home = Home::with_compiler();
    let container = asked(&home, "sdist", &[("/", "lo has 127.0.0.1\n")]);
    let compiler = container.exec(&["sh", "-c", "command -v cc gcc make"]);
    assert_eq!(compiler.stdout, "", "the compiler is in the image");
    container.stop();
    // A wheel that was built once is kept, whoever needs it next.
    let again = home.run(&["build", example("sdist").to_str().unwrap(), "again"]);
    assert!(!again.ok().stderr.contains("netifaces |"));
}

#[test]
fn locks_of_other_tools() {
    for (name, page) in [
        ("pipenv", "Hello from Pipenv\n"),
        ("uv-locked", "Hello from uv\n"),
        ("poetry-src-layout", "Hello from Poetry, greeter 1.2.0\n"),
    ] {
        let (_home, container) = answers(name, &[("/", page)]);
        container.stop();
    }
}

/// Builds an example and asks it for pages, as a user that a platform may pick.
#[track_caller]
fn answers(name: &str, pages: &[(&str, &str)]) -> (Home, Container) {
    let home = Home::seeded();
    let container = asked(&home, name, pages);
    (home, container)
}

#[track_caller]
fn asked(home: &Home, name: &str, pages: &[(&str, &str)]) -> Container {
    let reference = home.build(&example(name), &[name]);
    let image = home.layout().reference(digest_of(&reference));
    let container = Container::start(&image, 1_000_680_000);
    for (path, body) in pages {
        assert_eq!(container.page(path), *body, "{path}");
    }
    container
}

/// Builds an example, pushes it, and runs what the registry gives back.
#[track_caller]
fn travels(name: &str, body: &str) {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = format!("{}:v1", registry.repository(name));

    let reference = home.build(&example(name), &[&image, "--push"]);
    let digest = digest_of(&reference);
    home.layout().check(digest);

    let raw = manifest_seen_by_skopeo(&home, digest);
    assert_eq!(sha256(&raw), digest);
    assert_eq!(registry.manifest(name, "v1").unwrap(), raw);
    assert_eq!(registry.manifest(name, digest).unwrap(), raw);

    let pulled = temporary();
    let copy = format!("oci:{}:back", pulled.path().display());
    let source = format!("docker://{image}");
    tool(
        "skopeo",
        &["copy", "--quiet", "--src-tls-verify=false", &source, &copy],
    );
    let layout = Layout::open(pulled.path());
    assert_eq!(layout.blob(digest), raw);

    unpacks(pulled.path());
    layout.is_read_by_others(digest);

    for uid in UIDS {
        let container = Container::start(&copy, uid);
        assert_eq!(container.page("/"), body);
        let who = container.exec(&["sh", "-c", "id -u; id -g; pwd"]).ok();
        assert_eq!(who.stdout, format!("{uid}\n0\n/opt/app-root/src\n"));
        container.stop();
    }
}

/// What `skopeo inspect --raw` finds in the store.
#[track_caller]
fn manifest_seen_by_skopeo(home: &Home, digest: &str) -> Vec<u8> {
    let reference = home.layout().reference(digest);
    tool("skopeo", &["inspect", "--raw", &reference]).into_bytes()
}

/// umoci validates as it unpacks: digests, diff ids, paths, links.
#[track_caller]
fn unpacks(layout: &Path) {
    let image = format!("{}:back", layout.display());
    let statistics = tool("umoci", &["stat", "--image", &image, "--json"]);
    assert!(statistics.contains("\"history\""), "{statistics}");
    let bundle = layout.join("bundle");
    finish(
        as_root("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    )
    .ok();
    let interpreter = bundle.join("rootfs/usr/bin/python3.13");
    assert!(fs::metadata(interpreter).unwrap().len() > 1_000_000);
    finish(as_root("rm").arg("-rf").arg(&bundle)).ok();
}
