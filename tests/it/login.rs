//! Credentials and TLS against a real registry that wants them, with other people's tools as witnesses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::home::{Home, digest_of};
use crate::harness::registry::{Registry, Setup};
use crate::harness::stored;
use crate::harness::tools::{Finished, finish, temporary, tool};

const PASSWORD: &str = "hunter2:and more";
/// `me` and `PASSWORD` as `htpasswd -B` writes them.
const PASSWORD_LINE: &str = "me:$2y$04$mxiL/6.Z8x0vhN7VgQui5uwe7BTjX3XFlk/ESR9uWxRNb47ZjgRd2";

/// A registry that lets in `me` with `PASSWORD`, and the folder of its passwords.
fn guarded() -> (Registry, tempfile::TempDir) {
    let folder = temporary();
    let file = folder.path().join("htpasswd");
    fs::write(&file, PASSWORD_LINE).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: r, path: {}}}}}\n",
        file.display()
    );
    (
        Registry::with(&Setup {
            auth,
            ..Setup::default()
        }),
        folder,
    )
}

fn host(registry: &Registry) -> String {
    registry.repository("").trim_end_matches('/').to_owned()
}

/// `s2r login` with a password on stdin.
fn login(home: &Home, more: &[&str], password: &str) -> Finished {
    let given = home.dir().join("given");
    fs::write(&given, format!("{password}\n")).unwrap();
    let mut command = home.command(&["login", "-u", "me", "--password-stdin"]);
    command
        .args(more)
        .stdin(Stdio::from(fs::File::open(given).unwrap()));
    finish(&mut command)
}

fn push(home: &Home, registry: &Registry, more: &[&str]) -> Finished {
    let name = registry.repository("team/app:1");
    home.run(&[&["push", stored::NAME, name.as_str()], more].concat())
}

fn tells_nothing(finished: &Finished) {
    for secret in [PASSWORD, "hunter2", "bWU6aHVudGVy"] {
        assert!(
            !finished.stderr.contains(secret) && !finished.stdout.contains(secret),
            "{secret} is told:\n{}",
            finished.stderr
        );
    }
}

#[test]
fn what_login_keeps_others_read_and_the_other_way_round() {
    let (registry, _passwords) = guarded();
    let host = host(&registry);
    let home = stored::home();
    let file = home.dir().join("auth.json");
    let authfile = ["--authfile", file.to_str().unwrap()];

    let denied = push(&home, &registry, &authfile).exits(69);
    tells_nothing(&denied.says(&["s2r login"]));
    let wrong = login(
        &home,
        &[&[host.as_str()], &authfile[..]].concat(),
        "hunter2",
    )
    .exits(69);
    tells_nothing(&wrong);
    assert!(!file.exists());

    fs::write(
        &file,
        r#"{"auths": {"other": {"auth": "bzpw"}}, "kept": 1}"#,
    )
    .unwrap();
    let said = login(&home, &[&[host.as_str()], &authfile[..]].concat(), PASSWORD).ok();
    tells_nothing(&said);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&kept["kept"], &kept["auths"]["other"]["auth"]),
        (&serde_json::json!(1), &serde_json::json!("bzpw"))
    );

    let pushed = push(&home, &registry, &authfile).ok();
    tells_nothing(&pushed);
    let user = tool(
        "skopeo",
        &["login", "--get-login", authfile[0], authfile[1], &host],
    );
    assert_eq!(user.trim(), "me");
    let image = format!("docker://{}", registry.repository("team/app:1"));
    let digest = tool(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            authfile[0],
            authfile[1],
            "--format",
            "{{.Digest}}",
            &image,
        ],
    );
    assert_eq!(digest.trim(), digest_of(pushed.line()));

    home.run(&["logout", &host, authfile[0], authfile[1]]).ok();
    home.run(&["logout", &host, authfile[0], authfile[1]])
        .exits(2);
    push(&home, &registry, &authfile).exits(69);
    let theirs = Command::new("skopeo")
        .args(["login", "--tls-verify=false", "-u", "me", "-p", PASSWORD])
        .args(authfile)
        .arg(&host)
        .output()
        .unwrap();
    assert!(theirs.status.success());
    push(&home, &registry, &authfile).ok();
}

#[test]
fn a_helper_and_a_mounted_secret_give_credentials() {
    let (registry, _passwords) = guarded();
    let host = host(&registry);
    let home = stored::home();
    let helper = home.dir().join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\ntest \"$1 $(cat)\" = \"get {host}\" || exit 1\n\
         echo '{{\"Username\": \"me\", \"Secret\": \"{PASSWORD}\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let docker = home.home().join(".docker");
    fs::create_dir(&docker).unwrap();
    let config = format!(r#"{{"credHelpers": {{"{host}": "test"}}}}"#);
    fs::write(docker.join("config.json"), config).unwrap();
    let name = registry.repository("team/app:1");
    let arguments = ["push", stored::NAME, name.as_str()];

    // Not in PATH: a warning, and a denial by the registry.
    tells_nothing(
        &home
            .run(&arguments)
            .exits(69)
            .says(&["docker-credential-test"]),
    );
    let path = format!("{}:/usr/bin:/bin", home.dir().display());
    tells_nothing(&finish(home.command(&arguments).env("PATH", path)).ok());

    let secret = home.dir().join("secret");
    fs::create_dir(&secret).unwrap();
    let entry = format!(r#"{{"{host}": {{"username": "me", "password": "{PASSWORD}"}}}}"#);
    fs::write(secret.join(".dockercfg"), entry).unwrap();
    let with = |name: &str| finish(home.command(&arguments).env(name, &secret));
    tells_nothing(&with("PUSH_DOCKERCFG_PATH").ok());
    with("PULL_DOCKERCFG_PATH").exits(69);
}

/// An authority, and two certificates of its: the server's and a client's.
fn certificates(folder: &Path) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}");
    };
    openssl(
        &[
            &["req", "-x509", "-days", "2", "-subj", "/CN=authority"][..],
            &curve,
            &["-keyout", &at("ca.key"), "-out", &at("ca.crt")],
        ]
        .concat(),
    );
    let extensions = at("extensions");
    fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    for name in ["server", "client"] {
        let (key, request) = (at(&format!("{name}.key")), at(&format!("{name}.csr")));
        openssl(
            &[
                &["req", "-subj", "/CN=me", "-keyout", &key, "-out", &request][..],
                &curve,
            ]
            .concat(),
        );
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &at("ca.crt"),
            "-CAkey",
            &at("ca.key"),
            "-days",
            "2",
            "-out",
            &at(&format!("{name}.cert")),
            "-extfile",
            &extensions,
        ]);
    }
}

#[test]
fn a_registry_with_its_own_authority_and_client_certificates() {
    let folder = temporary();
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let tls = format!(
        ", tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
        at("server.cert"),
        at("server.key"),
        at("ca.crt")
    );
    let registry = Registry::with(&Setup {
        tls,
        ..Setup::default()
    });
    let home = stored::home();

    // Nobody trusts it, and it trusts nobody.
    push(&home, &registry, &[]).exits(69);
    push(&home, &registry, &["--ca", &at("ca.crt")]).exits(69);

    let named = temporary();
    for name in ["ca.crt", "client.cert", "client.key"] {
        fs::copy(at(name), named.path().join(name)).unwrap();
    }
    let named = named.path().to_str().unwrap();
    push(&home, &registry, &["--cert-dir", named]).ok();
    push(&home, &registry, &["--cert-dir", named, "--tls-verify"]).ok();

    let own = home
        .home()
        .join(".config/containers/certs.d")
        .join(host(&registry));
    fs::create_dir_all(&own).unwrap();
    for name in ["client.cert", "client.key"] {
        fs::copy(at(name), own.join(name)).unwrap();
    }
    // Our certificate is shown; its own is not trusted, and then looked over.
    push(&home, &registry, &[]).exits(69);
    push(&home, &registry, &["--insecure-registry", &host(&registry)]).ok();
    fs::copy(at("ca.crt"), own.join("ca.crt")).unwrap();
    push(&home, &registry, &[]).ok();
}

#[test]
fn login_without_a_terminal_says_what_is_missing() {
    let home = Home::empty();
    let bare = |arguments: &[&str]| finish(home.command(arguments).stdin(Stdio::null()));
    bare(&["login", "r.example"])
        .exits(2)
        .says(&["--username is missing", "--password-stdin"]);
    bare(&["login", "-u", "me", "r.example"])
        .exits(2)
        .says(&["--password-stdin"]);
    bare(&["login", "-u", "me", "--password-stdin", "no registry"]).exits(2);
}

#[test]
fn logins_at_the_same_time_lose_nothing() {
    let (registry, _folder) = guarded();
    let home = Home::empty();
    let host = host(&registry);
    let given = home.dir().join("given");
    fs::write(&given, format!("{PASSWORD}\n")).unwrap();
    let places: Vec<String> = (0..8)
        .map(|number| format!("{host}/team-{number}"))
        .collect();
    std::thread::scope(|scope| {
        for place in &places {
            let mut command = home.command(&["login", "-u", "me", "--password-stdin", place]);
            command.stdin(Stdio::from(fs::File::open(&given).unwrap()));
            scope.spawn(move || finish(&mut command).ok());
        }
    });
    for place in &places {
        home.run(&["logout", place]).ok();
    }
}
