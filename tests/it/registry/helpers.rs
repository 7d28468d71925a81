//! Where credentials come from: lines A9 and A12 to A14 of what registries do in practice, and the files that
//! docker's, podman's and OpenShift's users have.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::faulty::{Auth, Bearer, Faulty, Kind, Quirks};
use crate::harness::home::{Home, digest_of};
use crate::harness::stored;
use crate::harness::tools::{Finished, finish};
use crate::registry::login::{USER, write_config};
use crate::registry::{IDENTITY, PASSWORD, fails, is_discreet};

fn asking() -> Faulty {
    Faulty::asking(Auth::Basic(USER, PASSWORD), Quirks::default())
}

fn login(user: &str, password: &str) -> Value {
    json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
}

fn right() -> Value {
    login(USER, PASSWORD)
}

/// Puts a helper of this name and script where PATH leads.
fn helper(home: &Home, name: &str, script: &str) -> PathBuf {
    let folder = home.dir().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("docker-credential-{name}"));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Pushes with some more variables.
fn push_with(home: &Home, registry: &Faulty, variables: &[(&str, &Path)]) -> Finished {
    let mut command = home.command(&["push", stored::NAME, &registry.repository("app:1")]);
    command.envs(variables.iter().map(|(name, value)| (name, *value)));
    if !variables.iter().any(|(name, _)| *name == "PATH") {
        let path = Home::own_path();
        let folder = home.dir().join("bin");
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    finish(&mut command)
}

#[track_caller]
fn is_pushed(finished: Finished, registry: &Faulty) {
    let finished = finished.ok();
    is_discreet(&finished);
    assert_eq!(digest_of(finished.line()), registry.complete("app", "1"));
}

/// Answers as a helper does, and only for this registry.
fn answering(registry: &Faulty, user: &str, secret: &str) -> String {
    let answer = json!({"ServerURL": registry.host(), "Username": user, "Secret": secret});
    format!(
        "read server; [ \"$1\" = get ] && [ \"$server\" = {} ] || {{ echo credentials not found in native keychain; exit 1; }}\necho '{answer}'",
        registry.host()
    )
}

#[test]
fn a_helper_is_asked() {
    for (key, value) in [
        ("credHelpers", None),
        ("credsStore", Some(json!("of-tests"))),
    ] {
        let registry = asking();
        let home = stored::home();
        helper(&home, "of-tests", &answering(&registry, USER, PASSWORD));
        let value = value.unwrap_or_else(|| json!({registry.host(): "of-tests"}));
        write_config(&home, &json!({key: value}));
        is_pushed(push_with(&home, &registry, &[]), &registry);
    }
}

#[test]
fn a4_a_helpers_identity_token_is_exchanged() {
    let registry = Faulty::asking(
        Auth::Bearer(Bearer {
            user: Some((USER, PASSWORD)),
            identity: Some(IDENTITY),
            ..Bearer::default()
        }),
        Quirks::default(),
    );
    let home = stored::home();
    helper(
        &home,
        "of-tests",
        &answering(&registry, "<token>", IDENTITY),
    );
    write_config(
        &home,
        &json!({"credHelpers": {registry.host(): "of-tests"}}),
    );
    is_pushed(push_with(&home, &registry, &[]), &registry);
}

#[test]
fn a12_a_failing_helper_does_not_stop_what_needs_none() {
    for script in [
        "echo broken >&2; exit 1",
        "echo hunter2 is no JSON",
        "kill -9 $$",
        "head -c 10000000 /dev/zero",
    ] {
        for config in [
            json!({"credsStore": "of-tests"}),
            json!({"credHelpers": {"elsewhere.example": "of-tests"}, "credsStore": "missing"}),
        ] {
            let registry = Faulty::start();
            let home = stored::home();
            helper(&home, "of-tests", script);
            write_config(&home, &config);
            is_pushed(push_with(&home, &registry, &[]), &registry);
        }
    }
}

#[test]
fn a12_a_failing_helper_is_named_where_it_is_needed() {
    let registry = asking();
    let home = stored::home();
    helper(&home, "of-tests", "echo hunter2; exit 1");
    write_config(
        &home,
        &json!({"credHelpers": {registry.host(): "of-tests"}}),
    );
    let finished = fails(push_with(&home, &registry, &[]), &["401", &registry.host()]);
    finished.says(&["docker-credential-of-tests"]);
}

#[test]
fn a13_the_longest_path_decides() {
    let registry = asking();
    let host = registry.host();
    let wrong = login(USER, "another");
    for auths in [
        json!({host.clone(): wrong, format!("{host}/app"): right()}),
        json!({format!("{host}/ap"): wrong, format!("{host}/app/other"): wrong, host.clone(): right()}),
        json!({format!("http://{host}/v2/"): right(), format!("{host}/other"): wrong}),
    ] {
        registry.lose_all();
        let home = stored::home();
        write_config(&home, &json!({"auths": auths}));
        is_pushed(push_with(&home, &registry, &[]), &registry);
    }
}

#[test]
fn a14_a_helpers_name_is_a_name() {
    for name in [
        "../of-tests",
        "/bin/of-tests",
        "of tests; touch pwned",
        "",
        "$(touch pwned)",
        "-x",
    ] {
        let registry = asking();
        let home = stored::home();
        helper(&home, "of-tests", &answering(&registry, USER, PASSWORD));
        write_config(&home, &json!({"credHelpers": {registry.host(): name}}));
        fails(push_with(&home, &registry, &[]), &["401"]);
        assert!(!home.home().join("pwned").exists());
    }
}

/// File, its content, and the variable that names it.
type Case<'a> = (&'a str, &'a Value, Option<(&'a str, &'a str)>);

#[test]
fn credentials_are_found_where_other_tools_leave_them() {
    let registry = asking();
    let auths = json!({"auths": {registry.host(): right()}});
    let old = json!({registry.host(): right()});
    let cases: [Case<'_>; 9] = [
        (".docker/config.json", &auths, None),
        (".dockercfg", &old, None),
        (".config/containers/auth.json", &auths, None),
        (
            "run/containers/auth.json",
            &auths,
            Some(("XDG_RUNTIME_DIR", "run")),
        ),
        (
            "elsewhere.json",
            &auths,
            Some(("REGISTRY_AUTH_FILE", "elsewhere.json")),
        ),
        (
            "docker/config.json",
            &auths,
            Some(("DOCKER_CONFIG", "docker")),
        ),
        (
            "secret/.dockercfg",
            &old,
            Some(("PUSH_DOCKERCFG_PATH", "secret")),
        ),
        (
            "secret/.dockerconfigjson",
            &auths,
            Some(("PUSH_DOCKERCFG_PATH", "secret")),
        ),
        (
            "secret/config.json",
            &auths,
            Some(("PUSH_DOCKERCFG_PATH", "secret")),
        ),
    ];
    for (file, document, variable) in cases {
        registry.lose_all();
        let home = stored::home();
        let path = home.home().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, document.to_string()).unwrap();
        let value = variable.map(|(name, value)| (name, home.home().join(value)));
        let variables: Vec<(&str, &Path)> = value
            .iter()
            .map(|(name, value)| (*name, value.as_path()))
            .collect();
        is_pushed(push_with(&home, &registry, &variables), &registry);
    }
}

#[test]
fn a_file_that_is_broken_is_warned_of() {
    for text in [
        "{",
        "[]",
        r#"{"auths": 5}"#,
        "\u{0}\u{1}",
        &"[".repeat(100_000),
    ] {
        let registry = asking();
        let home = stored::home();
        let path = home.home().join(".docker/config.json");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fails(
            push_with(&home, &registry, &[]),
            &["config.json", "no credentials"],
        );
    }
}

#[test]
fn a_password_goes_nowhere_but_to_its_host() {
    // The other host's credentials are there too, and the upload is there.
    let registry = asking();
    let home = stored::home();
    let other = login("other", "hunter2");
    write_config(
        &home,
        &json!({"auths": {"index.docker.io": other, "127.0.0.1": other, "127.0.0.1:1": other}}),
    );
    fails(push_with(&home, &registry, &[]), &["no credentials"]);
    assert!(
        registry
            .log()
            .iter()
            .all(|entry| entry.authorization.is_none())
    );
    assert_eq!(registry.count(Kind::Token), 0);
}
