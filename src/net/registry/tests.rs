//! The protocol against a scripted registry.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

mod upload;

use super::*;
use crate::net::http::{ClientSettings, HttpError, RetryPolicy};
use crate::net::testing::{Answer, Seen, Server};
use crate::oci::{Digest, MediaType};
use crate::report::Explain;

fn settings() -> ClientSettings {
    ClientSettings {
        retry: RetryPolicy {
            tries: 3,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientSettings::default()
    }
}

fn reference(server: &Server) -> Reference {
    format!("{}/team/app:1", server.host()).parse().unwrap()
}

fn upload(registry: &RegistryRepository<'_>, bytes: &'static [u8]) -> Result<(), RegistryError> {
    let open = || Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>);
    let sent = Arc::new(AtomicU64::new(0));
    registry.upload_blob(
        &OutgoingBlob {
            digest: &Digest::of(bytes),
            size: bytes.len() as u64,
            open: &open,
            sent: &sent,
        },
        None,
    )
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
        RegistryRepository::new(&client, &text.parse().unwrap())
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
        let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
        upload(&registry, b"layer").unwrap();
        let seen = server.seen();
        // A registry that takes no blob in a POST says so by its answer.
        assert_eq!(
            seen[0].target,
            format!(
                "/v2/team/app/blobs/uploads/?digest={}",
                Digest::of(b"layer")
            )
        );
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
        &RegistryRepository::new(&client, &reference(&server)).unwrap(),
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
        &RegistryRepository::new(&client, &reference(&server)).unwrap(),
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
        &RegistryRepository::new(&client, &reference(&server)).unwrap(),
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
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
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
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    let anonymous = Client::new(settings());
    let registry = RegistryRepository::new(&anonymous, &reference(&server)).unwrap();
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
        &RegistryRepository::new(&client, &reference(&server)).unwrap(),
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
    let error = RegistryRepository::new(&client, &reference(&server))
        .unwrap()
        .get_manifest("1")
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Protocol {
                what: ProtocolBreach::Realm,
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
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
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
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
    registry
        .put_manifest("1", &MediaType::Manifest, b"{}")
        .unwrap();
    assert_eq!(server.seen().len(), 3);
    let server = Server::start(|_| refusal(400, "MANIFEST_BLOB_UNKNOWN"));
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
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
        (401, false),
        (405, false),
        (503, false),
    ] {
        let server = Server::start(move |_| Answer::new(status, ""));
        let client = Client::new(settings());
        let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
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
    let registry = RegistryRepository::new(&client, &"localhost:1/x".parse().unwrap()).unwrap();
    let error = registry.head_blob(&Digest::of(b"x")).unwrap_err();
    assert!(
        matches!(error, RegistryError::Http(HttpError::Offline { .. })),
        "{error:?}"
    );
}

/// Serves a blob from another host, as registries with a storage service do.
fn stored(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> (Server, Server) {
    let storage = Server::start(script);
    let place = storage.url("/blob?X-Amz-Signature=1");
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(_) => Answer::new(307, "").with("location", place.clone()),
        None => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    (server, storage)
}

fn logged_in(server: &Server) -> Client {
    let mut with_login = settings();
    let config = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6cHc="}}}}}}"#,
        server.host()
    );
    with_login.credentials.add_docker_config(&config).unwrap();
    Client::new(with_login)
}

fn read(server: &Server, blob: &[u8], size: u64) -> Result<Vec<u8>, RegistryError> {
    let client = logged_in(server);
    let registry = RegistryRepository::new(&client, &reference(server)).unwrap();
    registry.fetch_blob_bytes(&Digest::of(blob), size, 1 << 20)
}

const BLOB: &[u8] = b"0123456789";

#[test]
fn a_blob_is_read_from_where_a_redirect_leads_without_credentials() {
    let (server, storage) = stored(|_| Answer::new(200, BLOB));
    assert_eq!(read(&server, BLOB, 10).unwrap(), BLOB);
    assert_eq!(storage.seen()[0].header("authorization"), None);
    assert_eq!(storage.lines().len(), 1);
}

#[test]
fn a_cut_stream_is_taken_up_again_by_range() {
    let (server, storage) = stored(|seen| match (seen.index, seen.header("range")) {
        (0, None) => Answer::new(200, BLOB).cut_after(4),
        (1, Some("bytes=4-")) => Answer::hang_up(),
        (2, Some("bytes=4-")) => Answer::new(206, &BLOB[4..])
            .with("content-range", "bytes 4-9/10")
            .cut_after(3),
        (3, Some("bytes=7-")) => Answer::new(206, &BLOB[7..]).with("content-range", "bytes 7-9/10"),
        _ => Answer::new(404, ""),
    });
    assert_eq!(read(&server, BLOB, 10).unwrap(), BLOB);
    // Each time the registry was asked for a new link.
    assert_eq!(storage.lines().len(), 4);
    assert_eq!(server.lines().len(), 5);
}

#[test]
fn a_server_without_ranges_is_read_from_the_start_again() {
    let (server, storage) = stored(|seen| match seen.index {
        0 => Answer::new(200, BLOB).cut_after(4),
        _ => Answer::new(200, BLOB),
    });
    assert_eq!(read(&server, BLOB, 10).unwrap(), BLOB);
    assert_eq!(storage.lines().len(), 2);
    // Other bytes than before are found out, whichever part they are in.
    let (server, _storage) = stored(|seen| match seen.index {
        0 => Answer::new(200, &b"x123456789"[..]).cut_after(4),
        _ => Answer::new(200, BLOB),
    });
    let error = read(&server, BLOB, 10).unwrap_err();
    assert!(
        matches!(error, RegistryError::WrongDigest { .. }),
        "{error:?}"
    );
}

#[test]
fn a_blob_that_lies_is_an_error_before_its_end() {
    let (server, _storage) = stored(|_| Answer::new(200, &b"012345678x"[..]));
    let client = logged_in(&server);
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
    let mut reader = registry.open_blob(&Digest::of(BLOB), 10).unwrap();
    let mut given = Vec::new();
    let error = reader.read_to_end(&mut given).unwrap_err();
    assert!(given.len() < 10, "{given:?}");
    let error = RegistryError::of_read(error, &registry.shown());
    assert!(
        matches!(error, RegistryError::WrongDigest { .. }),
        "{error:?}"
    );
    for (status, body, size) in [(200, BLOB, 9), (200, BLOB, 11), (404, BLOB, 10)] {
        let (server, _storage) = stored(move |_| Answer::new(status, body));
        let client = logged_in(&server);
        let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
        let error = registry.open_blob(&Digest::of(BLOB), size).err().unwrap();
        match error {
            RegistryError::Http(HttpError::WrongSize { .. }) => assert_eq!(status, 200),
            RegistryError::Refused { status: 404, .. } => assert_eq!(status, 404),
            other => panic!("{other:?}"),
        }
    }
    let error = read(&server, BLOB, 2 << 20).unwrap_err();
    assert!(
        matches!(error, RegistryError::Http(HttpError::TooLarge { .. })),
        "{error:?}"
    );
}

#[test]
fn an_empty_blob_is_read() {
    let (server, _storage) = stored(|_| Answer::new(200, ""));
    assert_eq!(read(&server, b"", 0).unwrap(), b"");
}

#[test]
fn a_manifest_is_asked_for_without_its_bytes() {
    let digest = Digest::of(b"{}");
    let server = Server::start(move |seen| {
        let (name, answer) = (
            seen.target.rsplit('/').next().unwrap(),
            Answer::new(200, "{}"),
        );
        match (seen.method.as_str(), name) {
            ("HEAD", "full") => answer
                .with("docker-content-digest", digest.to_string())
                .with("content-type", MediaType::Index.as_str()),
            ("HEAD", "refused") => Answer::new(503, ""),
            (_, "gone") => Answer::new(404, ""),
            (_, _) => answer.with("content-type", MediaType::Manifest.as_str()),
        }
    });
    let client = Client::new(settings());
    let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
    let full = registry.head_manifest("full").unwrap().unwrap();
    assert_eq!((full.digest, full.media_type), (digest, MediaType::Index));
    assert_eq!(registry.head_manifest("gone").unwrap(), None);
    assert_eq!(server.lines().len(), 2);
    for name in ["bare", "refused"] {
        let head = registry.head_manifest(name).unwrap().unwrap();
        assert_eq!(
            (head.digest, head.media_type),
            (digest, MediaType::Manifest),
            "{name}"
        );
    }
}

#[test]
fn a_mount_that_fails_is_declined_and_soon_given_up() {
    for answer in [
        Answer::hang_up(),
        Answer::new(500, ""),
        Answer::new(307, ""),
        Answer::new(307, "").with("location", "ftp://x"),
    ] {
        let server = Server::start(move |_| answer.clone());
        let client = Client::new(settings());
        let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
        let base = format!("{}/team/base:1", server.host()).parse().unwrap();
        assert_eq!(registry.neighbours(&base), std::slice::from_ref(&base));
        for _ in 0..4 {
            let mounted = registry.mount_blob(&Digest::of(b"x"), &base).unwrap();
            assert!(matches!(mounted, MountOutcome::No), "{mounted:?}");
        }
        assert!(!registry.mounts());
        // Two with one more try each, and two with none.
        assert!(server.lines().len() <= 6, "{:?}", server.lines());
    }
    let client = Client::new(settings());
    let registry = RegistryRepository::new(&client, &"localhost:1/x".parse().unwrap()).unwrap();
    let base = "localhost:1/base".parse().unwrap();
    assert!(registry.mount_blob(&Digest::of(b"x"), &base).is_err());
}

#[test]
fn what_a_registry_repeats_of_our_headers_is_not_told() {
    for (status, as_json) in [(400, false), (400, true), (403, true), (500, false)] {
        let server = Server::start(move |seen| match seen.header("authorization") {
            Some(value) => {
                let said = format!("bad header {value}");
                Answer::new(
                    status,
                    if as_json {
                        format!(r#"{{"errors":[{{"code":"UNKNOWN","message":"{said}"}}]}}"#)
                    } else {
                        said
                    },
                )
            }
            None => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
        });
        let client = logged_in(&server);
        let registry = RegistryRepository::new(&client, &reference(&server)).unwrap();
        let error = registry.get_manifest("1").unwrap_err();
        let told = format!("{error} {error:?} {:?}", error.explain());
        assert!(!told.contains("bWU6cHc"), "{told}");
        assert!(told.contains("bad header ***"), "{told}");
    }
}
