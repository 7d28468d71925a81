//! The client against a scripted server.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::net::testing::{Answer, Server};

fn quick() -> ClientSettings {
    ClientSettings {
        retry: RetryPolicy {
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientSettings::default()
    }
}

fn client() -> Client {
    Client::new(quick())
}

fn anything() -> ExpectedDownload {
    ExpectedDownload {
        sha256: None,
        size: None,
        max_bytes: 1 << 20,
    }
}

fn content() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn gets_and_keeps_the_connection() {
    let server = Server::start(|_| Answer::new(200, "hello").with("x-it", "1"));
    let client = client();
    for _ in 0..3 {
        let response = client
            .get(&server.url("/a?b"), &[("accept", "text/x")], 10)
            .unwrap();
        assert_eq!(response.body, b"hello");
        assert_eq!(response.header("x-it"), Some("1"));
    }
    let seen = server.seen();
    assert_eq!(seen[0].header("accept"), Some("text/x"));
    assert!(seen[0].header("user-agent").unwrap().starts_with("s2r/"));
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen.len(), 3);
}

#[test]
fn tries_again_what_may_pass() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let server = Server::start(move |seen| {
            if seen.index < 2 {
                Answer::new(status, "busy")
            } else {
                Answer::new(200, "ok")
            }
        });
        assert_eq!(client().get(&server.url("/"), &[], 10).unwrap().body, b"ok");
        assert_eq!(server.seen().len(), 3);
    }
}

#[test]
fn gives_up_with_the_last_answer_and_the_tries() {
    let server = Server::start(|_| Answer::new(503, "down  for\nrepair"));
    let error = client()
        .get(&server.url("/x?token=s3cret"), &[], 10)
        .unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(server.seen().len(), 6);
    let told = format!("{:?}", crate::report::Explain::explain(&error));
    assert!(
        told.contains("down for repair") && told.contains("after 6 tries"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn what_is_for_good_is_asked_once() {
    for status in [400, 401, 403, 404, 413, 501] {
        let server = Server::start(move |_| Answer::new(status, ""));
        assert_eq!(
            client()
                .get(&server.url("/"), &[], 10)
                .unwrap_err()
                .status(),
            Some(status)
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn obeys_retry_after() {
    let server = Server::start(|seen| match seen.index {
        0 => Answer::new(429, "").with("retry-after", "1"),
        1 => Answer::new(503, "")
            .with("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .with("retry-after", "Sun, 06 Nov 1994 08:49:38 GMT"),
        _ => Answer::new(200, "ok"),
    });
    let notices = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    let client = Client::new(ClientSettings {
        notice: Some(Box::new(move |notice| {
            told.lock().unwrap().push(notice.clone());
        })),
        ..quick()
    });
    let start = Instant::now();
    client.get(&server.url("/"), &[], 10).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2));
    let notices = notices.lock().unwrap();
    assert_eq!(notices.len(), 2);
    assert!(notices[0].failure.contains("429"), "{notices:?}");
}

#[test]
fn survives_connections_closed_without_an_answer() {
    let server = Server::start(|seen| {
        if seen.index < 2 {
            Answer::hang_up()
        } else {
            Answer::new(200, "ok")
        }
    });
    assert_eq!(client().get(&server.url("/"), &[], 10).unwrap().body, b"ok");
}

#[test]
fn no_server_is_a_connect_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = client()
        .get(&format!("http://127.0.0.1:{port}/"), &[], 10)
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::Connect { tries: 2, .. }),
        "{error:?}"
    );
}

#[test]
fn a_silent_server_times_out() {
    let server = Server::start(|_| Answer::new(200, "late").after(Duration::from_millis(500)));
    let client = Client::new(ClientSettings {
        idle_timeout: Duration::from_millis(50),
        retry: RetryPolicy {
            tries: 2,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientSettings::default()
    });
    let error = client.get(&server.url("/"), &[], 10).unwrap_err();
    assert!(
        matches!(error, HttpError::TimedOut { tries: 2, .. }),
        "{error:?}"
    );
}

#[test]
fn offline_names_what_it_would_ask() {
    let client = Client::new(ClientSettings {
        offline: true,
        ..quick()
    });
    let error = client
        .get("https://u:pw@index.invalid/simple?sig=1", &[], 10)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "offline, and https://index.invalid/simple?sig=*** is needed"
    );
}

#[test]
fn refuses_large_answers_and_odd_urls() {
    let server = Server::start(|_| Answer::new(200, vec![b'x'; 11]));
    let error = client().get(&server.url("/"), &[], 10).unwrap_err();
    assert!(
        matches!(
            error,
            HttpError::TooLarge {
                limit_bytes: 10,
                ..
            }
        ),
        "{error:?}"
    );
    for url in ["ftp://h/x", "file:///etc/passwd", "nothing", "http:///x:y"] {
        let refused = client().get(url, &[], 10).unwrap_err();
        assert!(
            matches!(
                refused,
                HttpError::BadUrl { .. } | HttpError::Connect { .. }
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn credentials_do_not_follow_to_another_origin() {
    let other = Server::start(|_| Answer::new(200, "data"));
    let target = other.url("/blob?X-Amz-Signature=ab");
    let server = Server::start(move |seen| match seen.target.as_str() {
        "/start" => Answer::new(302, "").with("location", "/next"),
        _ => Answer::new(307, "").with("location", target.clone()),
    });
    let url = server.url("/start").replace("http://", "http://me:pw@");
    let response = client().get(&url, &[], 10).unwrap();
    assert_eq!(response.body, b"data");
    assert_eq!(response.final_url.path(), "/blob");
    let asked = server.seen();
    assert_eq!(asked[0].header("authorization"), Some("Basic bWU6cHc="));
    assert_eq!(asked[1].header("authorization"), Some("Basic bWU6cHc="));
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[test]
fn credentials_come_from_index_and_netrc() {
    let server = Server::start(|_| Answer::new(200, ""));
    let mut settings = quick();
    settings
        .credentials
        .add_index(&server.url("/simple/").replace("http://", "http://i:1@"));
    Client::new(settings)
        .get(&server.url("/files/a.whl"), &[], 10)
        .unwrap();
    let mut settings = quick();
    settings
        .credentials
        .add_netrc("machine 127.0.0.1 login n password 2")
        .unwrap();
    Client::new(settings)
        .get(&server.url("/files/a.whl"), &[], 10)
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), Some("Basic aTox"));
    assert_eq!(seen[1].header("authorization"), Some("Basic bjoy"));
}

#[test]
fn circles_end() {
    let server = Server::start(|_| Answer::new(302, "").with("location", "/again"));
    let error = client().get(&server.url("/"), &[], 10).unwrap_err();
    assert!(
        matches!(
            error,
            HttpError::Redirect {
                refusal: RedirectRefusal::TooMany,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 9);
}

#[test]
fn a_redirect_without_a_target_is_refused() {
    for target in ["", "ftp://h/x", "http://"] {
        let server = Server::start(move |_| Answer::new(302, "").with("location", target));
        let error = client().get(&server.url("/"), &[], 10).unwrap_err();
        assert!(
            matches!(
                error,
                HttpError::Redirect {
                    refusal: RedirectRefusal::Unreadable,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn fetches_and_checks() {
    let server = Server::start(|_| Answer::new(200, content()));
    let sha256: [u8; 32] = Sha256::digest(content()).into();
    let expect = ExpectedDownload {
        sha256: Some(sha256),
        size: Some(400_000),
        max_bytes: 400_000,
    };
    let mut sink = Vec::new();
    let told = std::cell::Cell::new(0);
    let fetched = client()
        .fetch_to(&server.url("/"), &mut sink, &expect, &|bytes| {
            told.set(bytes);
        })
        .unwrap();
    assert_eq!(
        fetched,
        DownloadSummary {
            sha256,
            size: 400_000
        }
    );
    assert_eq!((sink, told.get()), (content(), 400_000));

    let wrong = ExpectedDownload {
        sha256: Some([7; 32]),
        ..expect
    };
    let error = client()
        .fetch_to(&server.url("/"), &mut Vec::new(), &wrong, &|_| {})
        .unwrap_err();
    let HttpError::WrongHash {
        expected, found, ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(expected, "07".repeat(32));
    assert_eq!(found.len(), 64);
    assert_eq!(
        server.seen().len(),
        2,
        "a wrong hash is not asked for again"
    );

    let short = ExpectedDownload {
        size: Some(5),
        ..anything()
    };
    let error = client()
        .fetch_to(&server.url("/"), &mut Vec::new(), &short, &|_| {})
        .unwrap_err();
    assert!(
        matches!(
            error,
            HttpError::WrongSize {
                expected: 5,
                found: 400_000,
                ..
            }
        ),
        "{error:?}"
    );
    let small = ExpectedDownload {
        max_bytes: 399_999,
        ..anything()
    };
    let error = client()
        .fetch_to(&server.url("/"), &mut Vec::new(), &small, &|_| {})
        .unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_cut_download_is_taken_up_again() {
    let server = Server::start(|seen| {
        let all = content();
        let start = seen.header("range").map_or(0, |range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse::<usize>()
                .unwrap()
        });
        if start == 0 {
            return Answer::new(200, all)
                .with("etag", "\"v1\"")
                .cut_after(100_000);
        }
        let answer = Answer::new(206, &all[start..])
            .with("content-range", format!("bytes {start}-399999/400000"));
        if seen.index < 9 {
            answer.cut_after(20_000)
        } else {
            answer
        }
    });
    let mut sink = Vec::new();
    let fetched = client()
        .fetch_to(&server.url("/"), &mut sink, &anything(), &|_| {})
        .unwrap();
    assert_eq!(fetched.size, 400_000);
    assert_eq!(sink, content());
    let seen = server.seen();
    assert_eq!(seen.len(), 10);
    assert_eq!(seen[1].header("range"), Some("bytes=100000-"));
    assert_eq!(seen[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_server_without_ranges_is_read_from_the_start_again() {
    let server = Server::start(|seen| {
        let answer = Answer::new(200, content());
        if seen.index < 2 {
            answer.cut_after(150_000)
        } else {
            answer
        }
    });
    let mut sink = Vec::new();
    client()
        .fetch_to(&server.url("/"), &mut sink, &anything(), &|_| {})
        .unwrap();
    assert_eq!(sink, content());
}

#[test]
fn a_file_that_changes_between_tries_is_noticed() {
    let server = Server::start(|seen| {
        if seen.index == 0 {
            Answer::new(200, content()).cut_after(150_000)
        } else {
            Answer::new(200, vec![0; 400_000])
        }
    });
    let error = client()
        .fetch_to(&server.url("/"), &mut Vec::new(), &anything(), &|_| {})
        .unwrap_err();
    assert!(matches!(error, HttpError::Changed { .. }), "{error:?}");
}

#[test]
fn a_download_that_always_breaks_ends() {
    let server = Server::start(|_| Answer::new(200, content()).cut_after(0));
    let error = client()
        .fetch_to(&server.url("/"), &mut Vec::new(), &anything(), &|_| {})
        .unwrap_err();
    assert!(
        matches!(error, HttpError::Broken { tries: 6, .. }),
        "{error:?}"
    );
}

#[test]
fn a_full_disk_is_ours_and_not_tried_again() {
    let server = Server::start(|_| Answer::new(200, content()));
    let mut small = [0u8; 10];
    let mut sink = Cursor::new(&mut small[..]);
    let error = client()
        .fetch_to(&server.url("/"), &mut sink, &anything(), &|_| {})
        .unwrap_err();
    assert!(matches!(error, HttpError::Local { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn bodies_are_sent_with_their_length_and_again_after_307() {
    let server = Server::start(|seen| match seen.target.as_str() {
        "/a" => Answer::new(307, "").with("location", "/b"),
        _ => Answer::new(201, ""),
    });
    for size in [0usize, 1000, 400_000] {
        let body = content()[..size].to_vec();
        let open = || Ok(Box::new(Cursor::new(body.clone())) as Box<dyn std::io::Read + Send>);
        let sent = Arc::new(AtomicU64::new(0));
        let url = Url::parse(&server.url("/a")).unwrap();
        let request = HttpRequest::new(Method::PUT, url).with_body(RequestBody::Stream {
            size: size as u64,
            open: &open,
            sent: Arc::clone(&sent),
        });
        assert_eq!(client().send_once(&request).unwrap().status(), 201);
        let seen = server.seen().pop().unwrap();
        assert_eq!(
            seen.header("content-length"),
            Some(size.to_string().as_str())
        );
        assert_eq!(seen.body, body);
        assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), size as u64);
    }
}

#[test]
fn where_a_registry_leads_is_not_settled() {
    let other = Server::start(|_| Answer::new(200, "there"));
    let place = other.url("/v2/").replace("127.0.0.1", "localhost");
    let host = other.host().replace("127.0.0.1", "localhost");
    let registry = Server::start(move |_| Answer::new(307, "").with("location", place.clone()));
    let client = client();
    let request = HttpRequest::get(&registry.url("/v2/"), &[]).unwrap();
    let manner = RequestOptions {
        rules_of: Some(registry.host()),
        ..RequestOptions::default()
    };
    let reply = client.send_in(&request, &manner, &AtomicU64::new(0));
    assert_eq!(reply.unwrap().status(), 200);
    let named = Url::parse(&format!("https://{host}/v2/")).unwrap();
    assert_eq!(client.settled(&host, &named), named);
    assert_eq!(client.settled(registry.host(), &named), named);
}

#[test]
fn credentials_of_registries_need_tls() {
    let insecure = |name: &str| {
        let mut settings = quick();
        settings.retry.tries = 1;
        settings.trust.insecure.insert(name.to_owned());
        Client::new(settings)
    };
    let send = |client: &Client, url: &str| {
        let manner = RequestOptions {
            authorization: Some(crate::net::Secret::new("Basic eDp5")),
            rules_of: Some("r.invalid"),
            ..RequestOptions::default()
        };
        let request = HttpRequest::get(url, &[]).unwrap();
        client.send_in(&request, &manner, &AtomicU64::new(0))
    };
    for url in ["http://r.invalid/v2/", "http://o.invalid/token"] {
        let refused = send(&insecure("other.invalid"), url).unwrap_err();
        assert!(
            matches!(refused, HttpError::PlainSecret { .. }),
            "{refused:?}"
        );
    }
    let tried = send(&insecure("r.invalid"), "http://r.invalid/v2/").unwrap_err();
    assert!(matches!(tried, HttpError::Connect { .. }), "{tried:?}");
}
