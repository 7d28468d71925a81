//! The protocol against a scripted registry.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::net::http::{ClientSettings, HttpError, Policy};
use crate::net::testing::{Answer, Seen, Server};
use crate::report::Explain;

fn settings() -> ClientSettings {
    ClientSettings {
        retry: Policy {
            tries: 3,
            first_wait: Duration::from_millis(1),
            ..Policy::default()
        },
        ..ClientSettings::default()
    }
}

fn reference(server: &Server) -> Reference {
    format!("{}/team/app:1", server.host()).parse().unwrap()
}

fn upload(registry: &Registry<'_>, bytes: &'static [u8]) -> Result<(), RegistryError> {
    let open = || Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>);
    let sent = Arc::new(AtomicU64::new(0));
    registry.upload_blob(&Digest::of(bytes), bytes.len() as u64, &open, &sent)
}

fn refusal(status: u16, code: &str) -> Answer {
    Answer::new(
        status,
        format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#),
    )
}

#[test]
fn hosts_and_schemes() {
    let client = Client::new(settings());
    let base = |text: &str| {
        Registry::new(&client, &text.parse().unwrap())
            .unwrap()
            .base
            .to_string()
    };
    assert_eq!(base("myimg"), "https://registry-1.docker.io/v2/");
    assert_eq!(base("localhost:5000/x"), "http://localhost:5000/v2/");
    assert_eq!(base("127.0.0.1:5000/x"), "http://127.0.0.1:5000/v2/");
    assert_eq!(base("quay.io/x/y"), "https://quay.io/v2/");
}

#[test]
fn uploads_by_one_post_and_one_put() {
    for (location, expected) in [
        (
            "/v2/team/app/blobs/uploads/1?_state=a%2Fb",
            "/v2/team/app/blobs/uploads/1?_state=a%2Fb&digest=",
        ),
        ("2", "/v2/team/app/blobs/uploads/2?digest="),
        ("HOST/up/3", "/up/3?digest="),
    ] {
        let server = Server::start(move |seen| match seen.method.as_str() {
            "POST" => {
                let host = format!("http://{}", seen.header("host").unwrap());
                Answer::new(202, "").with("Location", location.replace("HOST", &host))
            }
            _ => Answer::new(201, ""),
        });
        let client = Client::new(settings());
        let registry = Registry::new(&client, &reference(&server)).unwrap();
        upload(&registry, b"layer").unwrap();
        let seen = server.seen();
        assert_eq!(seen[0].target, "/v2/team/app/blobs/uploads/");
        assert_eq!(seen[0].header("content-length"), Some("0"));
        assert_eq!(
            seen[1].target,
            format!("{expected}{}", Digest::of(b"layer"))
        );
        assert_eq!(seen[1].header("content-length"), Some("5"));
        assert_eq!(seen[1].header("content-range"), None);
        assert_eq!(seen[1].body, b"layer");
        assert_eq!((seen.len(), registry.requests()), (2, 2));
    }
}

#[test]
fn a_failed_upload_begins_again() {
    let server = Server::start(|seen| match (seen.method.as_str(), seen.index) {
        ("POST", at) => Answer::new(202, "").with("location", format!("/up/{at}")),
        (_, 1) => Answer::hang_up(),
        (_, 3) => refusal(404, "BLOB_UPLOAD_UNKNOWN"),
        _ => Answer::new(204, ""),
    });
    let client = Client::new(settings());
    upload(
        &Registry::new(&client, &reference(&server)).unwrap(),
        b"layer",
    )
    .unwrap();
    let methods: Vec<String> = server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "PUT", "POST", "PUT", "POST", "PUT"]);
}

#[test]
fn a_refused_upload_says_why() {
    let server = Server::start(|_| refusal(403, "DENIED"));
    let client = Client::new(settings());
    let error = upload(
        &Registry::new(&client, &reference(&server)).unwrap(),
        b"layer",
    )
    .unwrap_err();
    assert!(
        matches!(
            &error,
            RegistryError::Denied {
                status: 403,
                had_credentials: false,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.explain().why.contains("DENIED: no"),
        "{:?}",
        error.explain()
    );
    assert_eq!(server.seen().len(), 1);
    let server = Server::start(|_| refusal(413, "SIZE_INVALID"));
    let error = upload(
        &Registry::new(&client, &reference(&server)).unwrap(),
        b"layer",
    )
    .unwrap_err();
    assert_eq!(
        error.to_string().rsplit_once(" answers ").unwrap().1,
        "413: SIZE_INVALID: no"
    );
}

fn with_token(seen: &Seen, realm: &str) -> Option<Answer> {
    let challenge =
        format!(r#"Basic realm="x", Bearer realm="{realm}/token",service="the, registry""#);
    (seen.header("authorization") != Some("Bearer t0k"))
        .then(|| refusal(401, "UNAUTHORIZED").with("www-authenticate", challenge))
}

#[test]
fn tokens_are_fetched_once_and_kept() {
    let tokens = Server::start(|_| Answer::new(200, r#"{"access_token":"t0k","expires_in":60}"#));
    let realm = tokens.base.clone();
    let server = Server::start(move |seen| {
        with_token(seen, &realm).unwrap_or_else(|| match seen.method.as_str() {
            "POST" => Answer::new(202, "").with("location", "/up/1"),
            "PUT" => Answer::new(201, ""),
            _ => Answer::new(404, ""),
        })
    });
    let mut with_login = settings();
    let config = format!(
        r#"{{"auths":{{"{}":{{"username":"me","password":"pw"}}}}}}"#,
        server.host()
    );
    with_login.credentials.add_docker_config(&config).unwrap();
    let client = Client::new(with_login);
    let registry = Registry::new(&client, &reference(&server)).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    upload(&registry, b"layer").unwrap();
    assert_eq!(
        tokens.lines(),
        ["GET /token?service=the%2C+registry&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"]
    );
    assert_eq!(
        tokens.seen()[0].header("authorization"),
        Some("Basic bWU6cHc=")
    );
    assert_eq!(server.seen().len(), 4);
    assert_eq!(registry.requests(), 5);
}

#[test]
fn basic_where_the_registry_asks_for_it() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some("Basic bWU6cHc=") => Answer::new(404, ""),
        _ => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let mut with_login = settings();
    let config = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6cHc="}}}}}}"#,
        server.host()
    );
    with_login.credentials.add_docker_config(&config).unwrap();
    let client = Client::new(with_login);
    let registry = Registry::new(&client, &reference(&server)).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    let anonymous = Client::new(settings());
    let registry = Registry::new(&anonymous, &reference(&server)).unwrap();
    let error = registry.get_manifest("1").unwrap_err();
    assert!(
        matches!(error, RegistryError::Denied { status: 401, .. }),
        "{error:?}"
    );
}

#[test]
fn credentials_do_not_go_to_another_upload_host() {
    let storage = Server::start(|_| Answer::new(201, ""));
    let place = storage.url("/put?sig=1");
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(_) => Answer::new(202, "").with("location", place.clone()),
        None => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let mut with_login = settings();
    let config = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6cHc="}}}}}}"#,
        server.host()
    );
    with_login.credentials.add_docker_config(&config).unwrap();
    let client = Client::new(with_login);
    upload(
        &Registry::new(&client, &reference(&server)).unwrap(),
        b"layer",
    )
    .unwrap();
    assert_eq!(storage.seen()[0].header("authorization"), None);
}

#[test]
fn a_realm_elsewhere_gets_nothing() {
    let server = Server::start(|_| {
        Answer::new(401, "").with(
            "www-authenticate",
            "Bearer realm=\"https://evil.example/t\"",
        )
    });
    let client = Client::new(settings());
    let error = Registry::new(&client, &reference(&server))
        .unwrap()
        .get_manifest("1")
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Protocol {
                what: Breach::Realm,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn manifests_are_checked_both_ways() {
    let bytes = br#"{"schemaVersion":2}"#;
    let digest = Digest::of(bytes).to_string();
    let server = Server::start(move |seen| {
        let stated = if seen.target.ends_with("/lie") {
            "sha256:00"
        } else {
            digest.as_str()
        };
        let answer = if seen.method == "PUT" {
            Answer::new(201, "")
        } else {
            Answer::new(200, bytes.to_vec())
        };
        answer
            .with(
                "content-type",
                "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            )
            .with("docker-content-digest", stated)
    });
    let client = Client::new(settings());
    let registry = Registry::new(&client, &reference(&server)).unwrap();
    let served = registry.get_manifest("1").unwrap().unwrap();
    assert_eq!(
        (served.media_type, served.bytes.as_slice()),
        (MediaType::Manifest, bytes.as_slice())
    );
    registry
        .put_manifest("1", &MediaType::Manifest, bytes)
        .unwrap();
    let seen = server.seen();
    assert_eq!(
        seen[1].header("content-type"),
        Some("application/vnd.oci.image.manifest.v1+json")
    );
    assert!(matches!(
        registry.get_manifest("lie"),
        Err(RegistryError::WrongDigest { .. })
    ));
    let lied = registry.put_manifest("lie", &MediaType::Manifest, bytes);
    assert!(matches!(lied, Err(RegistryError::WrongDigest { .. })));
    let other = Digest::of(b"other").to_string();
    assert!(matches!(
        registry.get_manifest(&other),
        Err(RegistryError::WrongDigest { .. })
    ));
}

#[test]
fn a_blob_not_seen_yet_is_waited_for() {
    let server = Server::start(|seen| {
        if seen.index < 2 {
            refusal(400, "MANIFEST_BLOB_UNKNOWN")
        } else {
            Answer::new(201, "")
        }
    });
    let client = Client::new(settings());
    let registry = Registry::new(&client, &reference(&server)).unwrap();
    registry
        .put_manifest("1", &MediaType::Manifest, b"{}")
        .unwrap();
    assert_eq!(server.seen().len(), 3);
    let server = Server::start(|_| refusal(400, "MANIFEST_BLOB_UNKNOWN"));
    let registry = Registry::new(&client, &reference(&server)).unwrap();
    let error = registry
        .put_manifest("1", &MediaType::Manifest, b"{}")
        .unwrap_err();
    assert!(error.says("MANIFEST_BLOB_UNKNOWN"));
}

#[test]
fn heads_count_only_a_plain_yes() {
    for (status, there) in [
        (200, true),
        (404, false),
        (403, false),
        (405, false),
        (503, false),
    ] {
        let server = Server::start(move |_| Answer::new(status, ""));
        let client = Client::new(settings());
        let registry = Registry::new(&client, &reference(&server)).unwrap();
        assert_eq!(
            registry.head_blob(&Digest::of(b"x")).unwrap(),
            there,
            "{status}"
        );
    }
    let client = Client::new(ClientSettings {
        offline: true,
        ..settings()
    });
    let registry = Registry::new(&client, &"localhost:1/x".parse().unwrap()).unwrap();
    let error = registry.head_blob(&Digest::of(b"x")).unwrap_err();
    assert!(
        matches!(error, RegistryError::Http(HttpError::Offline { .. })),
        "{error:?}"
    );
}
