//! Real registries, and other people's programs that pull what was pushed.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::container::podman;
use crate::harness::home::{Home, digest_of};
use crate::harness::layout::sha256;
use crate::harness::proxy::Proxy;
use crate::harness::registry::{Registry, Setup};
use crate::harness::stored;
use crate::harness::tls::Authority;
use crate::harness::token_service::TokenService;
use crate::harness::tools::{Finished, finish, temporary, tool};
use crate::registry::login::{USER, knows};
use crate::registry::{PASSWORD, fails, is_discreet};

/// `USER` and `PASSWORD` as `htpasswd -B` writes them.
const PASSWORD_LINE: &str = "somebody:$2y$04$b4x6oo.2UnzZdcTgEc/xdeB3Hai7VYdf.qigyIE2I/KCHxHNb/G7q";

/// Pushes the small image to `app:1`, which must succeed.
#[track_caller]
fn pushes(home: &Home, registry: &Registry) -> Finished {
    let pushed = home
        .run(&["push", stored::NAME, &registry.repository("app:1")])
        .ok();
    assert_eq!(digest_of(pushed.line()), stored::digest(stored::NAME));
    is_discreet(&pushed);
    pushed
}

#[test]
fn skopeo_podman_and_buildah_pull_what_was_pushed() {
    let registry = Registry::start();
    let home = stored::home();
    for (image, tag) in [(stored::NAME, "1"), (stored::INDEX, "both")] {
        let name = registry.repository(&format!("app:{tag}"));
        home.run(&["push", image, &name]).ok();
        let image = format!("docker://{name}");
        let raw = tool(
            "skopeo",
            &["inspect", "--tls-verify=false", "--raw", &image],
        );
        assert_eq!(
            sha256(raw.as_bytes()),
            stored::digest(if tag == "1" {
                stored::NAME
            } else {
                stored::INDEX
            })
        );
        let out = temporary();
        let dir = format!("dir:{}", out.path().join("all").display());
        tool(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--all",
                "--src-tls-verify=false",
                &image,
                &dir,
            ],
        );
        finish(podman().args(["pull", "--quiet", "--tls-verify=false", &name])).ok();
        let storage = out.path().join("buildah");
        finish(
            Command::new("buildah")
                .args(["--storage-driver", "vfs", "--root"])
                .arg(storage.join("root"))
                .arg("--runroot")
                .arg(storage.join("run"))
                .args(["pull", "--quiet", "--tls-verify=false", &name]),
        )
        .ok();
    }
}

#[test]
fn what_skopeo_pushed_is_there_already() {
    let registry = Registry::start();
    let home = stored::home();
    pushes(&home, &registry);
    let counted: Value = home
        .run(&[
            "push",
            stored::NAME,
            &registry.repository("app:1"),
            "--json",
        ])
        .ok()
        .json();
    assert!(counted["requests"].as_u64().unwrap() <= 3, "{counted}");
    let layout = format!(
        "oci:{}:docker.io/library/stored:changed",
        home.store().display()
    );
    let image = format!("docker://{}", registry.repository("app:skopeo"));
    tool(
        "skopeo",
        &[
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            &layout,
            &image,
        ],
    );
    let pushed = home
        .run(&["push", stored::CHANGED, &registry.repository("app:skopeo")])
        .ok();
    pushed.says(&["0 of 4 blobs sent"]);
}

#[test]
fn a_password_file() {
    let out = temporary();
    let file = out.path().join("htpasswd");
    fs::write(&file, PASSWORD_LINE).unwrap();
    let registry = Registry::with(&Setup {
        auth: format!(
            "auth: {{htpasswd: {{realm: the tests, path: {}}}}}",
            file.display()
        ),
        ..Setup::default()
    });
    let host = registry.repository("");
    let host = host.trim_end_matches('/');
    pushes(&knows(host, PASSWORD), &registry);

    let push = |home: &Home| home.run(&["push", stored::NAME, &registry.repository("app:2")]);
    fails(push(&stored::home()), &["no credentials", host]);
    fails(push(&knows(host, "another")), &["401", host]);
}

#[test]
fn a_token_service() {
    let tokens = TokenService::start(USER, PASSWORD);
    let registry = Registry::with(&Setup {
        auth: tokens.setup(),
        ..Setup::default()
    });
    let host = registry.repository("");
    let host = host.trim_end_matches('/');
    pushes(&knows(host, PASSWORD), &registry);
    assert_eq!(tokens.asked().len(), 1, "{:?}", tokens.asked());

    let push = |home: &Home| home.run(&["push", stored::NAME, &registry.repository("app:2")]);
    fails(push(&knows(host, "another")), &["401"]);
}

#[test]
fn tls_by_an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = authority.issue("server", "serverAuth");
    let registry = Registry::with(&Setup {
        tls: format!(
            ", tls: {{certificate: {}, key: {}}}",
            server.certificate.display(),
            server.key.display()
        ),
        ..Setup::default()
    });
    let home = stored::home();
    let destination = registry.repository("app:1");
    let push = |file: Option<&str>| {
        let mut command = home.command(&["push", stored::NAME, &destination]);
        // The system's own authorities, which have never heard of ours.
        command.env_remove("SSL_CERT_DIR");
        if let Some(file) = file {
            command.env("SSL_CERT_FILE", file);
        }
        finish(&mut command)
    };
    fails(push(None), &["certificate"]);
    push(authority.certificate().to_str()).ok();
}

#[test]
fn a_storage_that_cannot_be_written_is_told() {
    let registry = Registry::with(&Setup {
        storage: ", maintenance: {readonly: {enabled: true}}".to_owned(),
        ..Setup::default()
    });
    let finished = stored::home().run(&["push", stored::NAME, &registry.repository("app:1")]);
    fails(finished, &["405", &registry.repository("")]);
}

#[test]
fn a_registry_that_is_killed_in_mid_push_and_comes_back() {
    // In the middle of the layer, and again in the middle of what is left.
    for after in [300_000, 9 << 20] {
        let registry = Arc::new(Mutex::new(Registry::start()));
        let port = registry.lock().unwrap().port();
        let crash = {
            let registry = Arc::clone(&registry);
            move || registry.lock().unwrap().crash()
        };
        let proxy = Proxy::start(port, after, crash);
        let home = stored::home();
        let pushed = home
            .run(&["push", stored::BIG, &proxy.repository("app:1")])
            .ok();
        assert!(proxy.is_over());
        let digest = stored::digest(stored::BIG);
        assert_eq!(digest_of(pushed.line()), digest);
        let out = temporary();
        let dir = format!("dir:{}", out.path().display());
        let image = registry.lock().unwrap().repository("app:1");
        let image = format!("docker://{image}");
        tool(
            "skopeo",
            &["copy", "--quiet", "--src-tls-verify=false", &image, &dir],
        );
    }
}
