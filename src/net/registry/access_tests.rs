//! Authorization against a scripted registry and a scripted token service.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::net::http::{Client, ClientSettings, HttpError, RetryPolicy, TlsRules};
use crate::net::registry::{OutgoingBlob, ProtocolBreach, RegistryError, RegistryRepository};
use crate::net::testing::{Answer, Seen, Server};
use crate::oci::{Digest, Reference};
use crate::report::Explain;

/// A client that has these entries for the server's registry.
fn client(server: &Server, entry: &str) -> Client {
    client_with(server, entry, TlsRules::default())
}

fn client_with(server: &Server, entry: &str, trust: TlsRules) -> Client {
    let mut settings = ClientSettings {
        retry: RetryPolicy {
            tries: 3,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        trust,
        ..ClientSettings::default()
    };
    let config = format!(r#"{{"auths": {{"{}": {entry}}}}}"#, server.host());
    settings.credentials.add_docker_config(&config).unwrap();
    Client::new(settings)
}

const ME: &str = r#"{"username": "me", "password": "s3cret-pw"}"#;
/// Of `ME`.
const BASIC: &str = "Basic bWU6czNjcmV0LXB3";

fn reference(server: &Server, repository: &str) -> Reference {
    format!("{}/{repository}:1", server.host()).parse().unwrap()
}

/// A registry that takes any of the tokens for which `good` says so, and has nothing.
fn registry(realm: &str, good: impl Fn(&str, &Seen) -> bool + Send + Sync + 'static) -> Server {
    let challenge = format!(r#"Bearer realm="{realm}/token",service="reg""#);
    Server::start(move |seen| {
        let token = seen
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| good(token, seen)) {
            return Answer::new(401, "").with("www-authenticate", challenge.clone());
        }
        match seen.method.as_str() {
            "POST" => Answer::new(202, "").with("location", "/up/1"),
            "PUT" => Answer::new(201, ""),
            _ => Answer::new(404, ""),
        }
    })
}

fn upload(registry: &RegistryRepository<'_>, bytes: &'static [u8]) -> Result<(), RegistryError> {
    let open = || Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>);
    let sent = Arc::new(AtomicU64::new(0));
    let digest = &Digest::of(bytes);
    registry.upload_blob(
        &OutgoingBlob {
            digest,
            size: bytes.len() as u64,
            open: &open,
            sent: &sent,
        },
        None,
    )
}

/// A token service that numbers its tokens, with what it says besides.
fn numbered(rest: &'static str) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        Answer::new(200, format!(r#"{{"token": "t{number}"{rest}}}"#))
    })
}

#[test]
fn a401_is_answered_on_any_request() {
    // A1: reads are open, writes are not.
    let tokens = numbered("");
    let realm = tokens.base.clone();
    let server = Server::start(move |seen| {
        let has_token = seen.header("authorization") == Some("Bearer t0");
        match (seen.method.as_str(), has_token) {
            ("GET" | "HEAD", _) => Answer::new(404, ""),
            (_, false) => {
                Answer::new(401, "").with("www-authenticate", format!("Bearer realm=\"{realm}/t\""))
            }
            ("POST", true) => Answer::new(202, "").with("location", "/up/1"),
            _ => Answer::new(201, ""),
        }
    });
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "team/app")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    assert!(tokens.seen().is_empty());
    upload(&registry, b"layer").unwrap();
    // A2: no service was named.
    assert_eq!(
        tokens.lines(),
        ["GET /t?scope=repository%3Ateam%2Fapp%3Apull%2Cpush"]
    );
}

#[test]
fn many_threads_ask_for_one_token() {
    let tokens =
        Server::start(|_| Answer::new(200, r#"{"token": "t"}"#).after(Duration::from_millis(50)));
    let server = registry(&tokens.base, |token, _| token == "t");
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "team/app")).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| upload(&registry, b"layer").unwrap());
        }
    });
    assert_eq!(tokens.seen().len(), 1);
    // Another repository object of the same run knows it from the start.
    let again = RegistryRepository::new(&client, &reference(&server, "team/app")).unwrap();
    assert_eq!(again.get_manifest("1").unwrap(), None);
    assert_eq!((tokens.seen().len(), again.requests()), (1, 1));
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    // A3: it lives for so short a time that it is old after half of it.
    let tokens = numbered(r#", "expires_in": 0.2"#);
    let server = registry(&tokens.base, |_, _| true);
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    registry.get_manifest("1").unwrap();
    thread::sleep(Duration::from_millis(150));
    registry.get_manifest("1").unwrap();
    assert_eq!(tokens.seen().len(), 2);
    let unauthorised = server
        .seen()
        .iter()
        .filter(|seen| seen.header("authorization").is_none())
        .count();
    assert_eq!(unauthorised, 1);
}

#[test]
fn a_token_that_ends_in_the_middle_is_replaced() {
    // A6: the first token is good for the POST and no longer.
    let tokens = numbered("");
    let server = registry(&tokens.base, |token, seen| {
        seen.method == "POST" || token == "t1"
    });
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    upload(&registry, b"layer").unwrap();
    assert_eq!(tokens.seen().len(), 2);
    let last = server.seen().pop().unwrap();
    assert_eq!(last.body, b"layer");
}

#[test]
fn an_identity_token_goes_by_post() {
    // A4, A7.
    for entry in [
        r#"{"auth": "bWU6cHc=", "identitytoken": "ident&ity"}"#,
        r#"{"username": "<token>", "password": "ident&ity"}"#,
    ] {
        let tokens =
            Server::start(|_| Answer::new(200, r#"{"access_token": "t", "expires_in": 3600}"#));
        let server = registry(&tokens.base, |token, _| token == "t");
        let client = client(&server, entry);
        let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
        registry.authorize_also("base/python");
        assert_eq!(registry.get_manifest("1").unwrap(), None);
        let asked = tokens.seen().remove(0);
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", "/token")
        );
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(
            String::from_utf8(asked.body).unwrap(),
            "grant_type=refresh_token&service=reg&client_id=s2r\
             &scope=repository%3Aa%3Apull%2Cpush+repository%3Abase%2Fpython%3Apull\
             &refresh_token=ident%26ity"
        );
    }
}

#[test]
fn a_service_that_knows_oauth_alone_gets_a_form() {
    let tokens = Server::start(|seen| match seen.method.as_str() {
        "GET" => Answer::new(405, ""),
        _ => Answer::new(200, r#"{"access_token": "t"}"#),
    });
    let server = registry(&tokens.base, |token, _| token == "t");
    let client = client(&server, ME);
    let registry = RegistryRepository::to_read(&client, &reference(&server, "a")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    let form = String::from_utf8(tokens.seen().pop().unwrap().body).unwrap();
    assert_eq!(
        form,
        "grant_type=password&service=reg&client_id=s2r&scope=repository%3Aa%3Apull\
         &username=me&password=s3cret-pw"
    );
}

#[test]
fn a_registry_token_goes_as_it_is() {
    let tokens = numbered("");
    let server = registry(&tokens.base, |token, _| token == "as-is");
    let client = client(&server, r#"{"registrytoken": "as-is"}"#);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    assert!(tokens.seen().is_empty());
}

#[test]
fn sources_of_mounts_are_asked_for_and_given_up() {
    // M1: with the source's scope; M2: without, where it is refused.
    for refused in [false, true] {
        let tokens = Server::start(move |seen| {
            if refused && seen.target.contains("base") {
                Answer::new(403, "")
            } else {
                Answer::new(200, r#"{"token": "t"}"#)
            }
        });
        let server = registry(&tokens.base, |_, _| true);
        let client = client(&server, ME);
        let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
        registry.authorize_also("base/python");
        registry.authorize_also("a");
        registry.get_manifest("1").unwrap();
        upload(&registry, b"x").unwrap();
        let both = "GET /token?service=reg&scope=repository%3Aa%3Apull%2Cpush\
                    &scope=repository%3Abase%2Fpython%3Apull";
        let one = "GET /token?service=reg&scope=repository%3Aa%3Apull%2Cpush";
        let expected: &[&str] = if refused { &[both, one] } else { &[both] };
        assert_eq!(tokens.lines(), expected);
    }
}

#[test]
fn a_registrys_own_names_are_asked_for_too() {
    let tokens = numbered("");
    let realm = tokens.base.clone();
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(_) => Answer::new(404, ""),
        None => Answer::new(401, "").with(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}/token",scope="repository:local/a:pull""#),
        ),
    });
    let client = client(&server, ME);
    let registry = RegistryRepository::to_read(&client, &reference(&server, "a")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    assert_eq!(
        tokens.lines(),
        ["GET /token?scope=repository%3Aa%3Apull&scope=repository%3Alocal%2Fa%3Apull"]
    );
}

#[test]
fn a_no_to_a_good_token_is_no() {
    let tokens = numbered("");
    let realm = tokens.base.clone();
    let server = Server::start(move |_| {
        Answer::new(401, "").with(
            "www-authenticate",
            format!(
                r#"Bearer realm="{realm}/token",scope="repository:a:push",error="insufficient_scope""#
            ),
        )
    });
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    for _ in 0..3 {
        let error = registry.get_manifest("1").unwrap_err();
        assert!(
            matches!(error, RegistryError::Denied { status: 401, .. }),
            "{error}"
        );
    }
    // Asked for once, and not again at each no.
    assert_eq!(tokens.seen().len(), 1);
}

#[test]
fn a_token_services_no_is_a_denial() {
    let tokens = Server::start(|_| {
        Answer::new(
            401,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#,
        )
    });
    let server = registry(&tokens.base, |_, _| false);
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    let error = registry.get_manifest("1").unwrap_err();
    let shown = format!(
        "{error} {error:?} {:?} {registry:?} {client:?}",
        error.explain()
    );
    assert!(shown.contains("wrong password"), "{shown}");
    for secret in ["s3cret-pw", BASIC, "czNjcmV0"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(tokens.seen()[0].header("authorization"), Some(BASIC));
}

#[test]
fn a_token_service_that_fails_is_tried_again() {
    let count = AtomicUsize::new(0);
    let tokens = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(503, ""),
        1 => Answer::hang_up(),
        _ => Answer::new(200, r#"{"token": "t"}"#),
    });
    let server = registry(&tokens.base, |token, _| token == "t");
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    assert_eq!(tokens.seen().len(), 3);
}

#[test]
fn answers_without_a_token_say_so_and_no_more() {
    for body in [
        "{}",
        r#"{"token": ""}"#,
        r#"["s3cret-pw"]"#,
        r#"{"token": 5, "x": "s3cret-pw"}"#,
    ] {
        let tokens = Server::start(move |_| Answer::new(200, body));
        let server = registry(&tokens.base, |_, _| false);
        let client = client(&server, ME);
        let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
        let error = registry.get_manifest("1").unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::Protocol {
                    what: ProtocolBreach::NoToken,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("s3cret-pw"));
    }
}

#[test]
fn credentials_are_not_sent_on_by_a_token_service() {
    // A8.
    let thief = Server::start(|_| Answer::new(200, r#"{"token": "t"}"#));
    let place = thief.url("/token");
    let tokens = Server::start(move |_| Answer::new(307, "").with("location", place.clone()));
    for entry in [ME, r#"{"identitytoken": "ident"}"#] {
        let server = registry(&tokens.base, |_, _| true);
        let client = client(&server, entry);
        let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
        assert!(registry.get_manifest("1").is_err());
    }
    assert!(thief.seen().is_empty());
}

#[test]
fn a_realm_elsewhere_leaves_basic() {
    // A2, A8: of several challenges the one that can be answered.
    let server = Server::start(|seen| match seen.header("authorization") {
        Some(BASIC) => Answer::new(404, ""),
        _ => Answer::new(401, "")
            .with(
                "www-authenticate",
                "Bearer realm=\"https://evil.example/t\"",
            )
            .with("www-authenticate", "Basic realm=\"a, b\""),
    });
    let client = client(&server, ME);
    let registry = RegistryRepository::new(&client, &reference(&server, "a")).unwrap();
    assert_eq!(registry.get_manifest("1").unwrap(), None);
    // A5: and the header goes along from then on.
    registry.get_manifest("1").unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_login_is_tried() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some(BASIC) => Answer::new(200, "{}"),
        _ => Answer::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let of = |entry: &str| {
        let client = client(&server, entry);
        let registry = RegistryRepository::to_log_in(&client, &reference(&server, "x")).unwrap();
        registry.check_login()
    };
    assert!(of(ME).unwrap());
    let wrong = of(r#"{"username": "me", "password": "no"}"#).unwrap_err();
    assert!(matches!(wrong, RegistryError::Denied { status: 401, .. }));
    assert_eq!(server.seen()[0].target, "/v2/");
    let open = Server::start(|_| Answer::new(200, "{}"));
    let client = client_with(&open, ME, TlsRules::default());
    let registry = RegistryRepository::to_log_in(&client, &reference(&open, "x")).unwrap();
    assert!(!registry.check_login().unwrap());
    // By a token, no repository is named.
    let tokens = numbered("");
    let server = self::registry(&tokens.base, |_, _| true);
    let client = client_with(&server, ME, TlsRules::default());
    let registry = RegistryRepository::to_log_in(&client, &reference(&server, "x")).unwrap();
    assert!(registry.check_login().is_err(), "the script answers 404");
    assert_eq!(tokens.lines(), ["GET /token?service=reg"]);
}

#[test]
fn https_is_not_left_unless_allowed() {
    // L8: a name that is this machine, but is not written as one.
    let server = Server::start(|_| Answer::new(404, ""));
    let port = server.host().rsplit_once(':').unwrap().1.to_owned();
    let name: Reference = format!("ip6-localhost.invalid:{port}/a:1").parse().unwrap();
    let client = client(&server, ME);
    let error = RegistryRepository::new(&client, &name)
        .unwrap()
        .get_manifest("1")
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::Http(HttpError::Connect { .. })),
        "{error:?}"
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_listed_registry_is_spoken_to_by_http_if_it_has_no_tls() {
    let server = Server::start(|_| Answer::new(404, ""));
    let strict = client_with(
        &server,
        ME,
        TlsRules {
            verify: Some(true),
            ..TlsRules::default()
        },
    );
    let name = reference(&server, "a");
    let error = RegistryRepository::new(&strict, &name)
        .unwrap()
        .get_manifest("1")
        .unwrap_err();
    assert!(matches!(error, RegistryError::Http(_)), "{error:?}");
    assert!(server.seen().is_empty());
}
