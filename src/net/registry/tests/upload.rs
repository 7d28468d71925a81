//! Uploads against registries and proxies that each have their own way.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::net::http::RedirectRefusal;

const MIB: usize = 1 << 20;

/// What a scripted registry has of one upload.
type Held = Arc<Mutex<Vec<u8>>>;

fn blob(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| u8::try_from(at / 7 % 251).unwrap())
        .collect()
}

struct Outcome {
    lines: Vec<String>,
    error: Option<RegistryError>,
    sent: u64,
}

/// Uploads, once with a client of its own.
fn send(server: &Server, bytes: &[u8]) -> Outcome {
    let client = Client::new(settings());
    send_by(&client, server, bytes)
}

fn send_by(client: &Client, server: &Server, bytes: &[u8]) -> Outcome {
    let before = server.lines().len();
    let registry = RegistryRepository::new(client, &reference(server)).unwrap();
    let owned = bytes.to_vec();
    let open = move || Ok(Box::new(Cursor::new(owned.clone())) as Box<dyn Read + Send>);
    let sent = Arc::new(AtomicU64::new(0));
    let done = registry.upload_blob(
        &OutgoingBlob {
            digest: &Digest::of(bytes),
            size: bytes.len() as u64,
            open: &open,
            sent: &sent,
        },
        None,
    );
    let lines = server.seen()[before..]
        .iter()
        .map(|seen| {
            let range = seen.header("content-range").unwrap_or_default();
            let path = seen.target.split('?').next().unwrap();
            format!("{} {path} {range}", seen.method)
                .trim_end()
                .to_owned()
        })
        .collect();
    Outcome {
        lines,
        error: done.err(),
        sent: sent.load(Ordering::Relaxed),
    }
}

fn begun() -> Answer {
    Answer::new(202, "").with("location", "/up/0")
}

/// Takes a PATCH at the right offset, and ends an upload whose bytes have the digest.
fn take(held: &Held, seen: &Seen) -> Answer {
    let mut held = held.lock().unwrap();
    let at = |held: &Vec<u8>| format!("/up/{}", held.len());
    let range = |held: &Vec<u8>| format!("0-{}", held.len().saturating_sub(1));
    match seen.method.as_str() {
        "POST" => {
            held.clear();
            begun()
        }
        "PATCH" => {
            let start = seen.header("content-range").unwrap().split('-').next();
            if start.unwrap().parse() != Ok(held.len()) {
                return Answer::new(416, "").with("range", range(&held));
            }
            assert_eq!(seen.target, at(&held), "the latest location is used");
            held.extend(&seen.body);
            Answer::new(202, "")
                .with("location", at(&held))
                .with("range", range(&held))
        }
        "GET" => Answer::new(204, "")
            .with("location", at(&held))
            .with("range", range(&held)),
        "PUT" => {
            held.extend(&seen.body);
            let digest = seen.target.split_once("digest=").unwrap().1;
            if digest == Digest::of(&held).to_string() {
                Answer::new(201, "")
            } else {
                refusal(400, "DIGEST_INVALID")
            }
        }
        "DELETE" => Answer::new(204, ""),
        _ => Answer::new(404, ""),
    }
}

#[test]
fn a_small_blob_goes_with_the_post_where_that_is_taken() {
    let server = Server::start(|_| Answer::new(201, ""));
    let client = Client::new(settings());
    for _ in 0..2 {
        let done = send_by(&client, &server, b"config");
        assert!(done.error.is_none());
        assert_eq!(done.lines, ["POST /v2/team/app/blobs/uploads/"]);
        assert_eq!(done.sent, 6);
    }
    assert_eq!(server.seen()[0].body, b"config");
    assert_eq!(server.seen()[0].header("content-length"), Some("6"));
}

#[test]
fn who_declines_a_blob_in_the_post_is_not_asked_twice() {
    for status in [202, 400, 404, 405] {
        let held = Held::default();
        let server = Server::start(move |seen| {
            if seen.target.contains("uploads/?digest") && status != 202 {
                return Answer::new(status, "");
            }
            take(&held, seen)
        });
        let client = Client::new(settings());
        let first = send_by(&client, &server, b"config");
        assert!(first.error.is_none(), "{:?}", first.error);
        assert_eq!(first.lines.len(), if status == 202 { 2 } else { 3 });
        let second = send_by(&client, &server, b"config");
        assert_eq!(
            second.lines,
            ["POST /v2/team/app/blobs/uploads/", "PUT /up/0"]
        );
        let bare = server.seen().into_iter().rev().nth(1).unwrap();
        assert_eq!(bare.header("content-length"), Some("0"));
        assert!(bare.body.is_empty());
    }
}

#[test]
fn a_body_limit_is_met_by_pieces_and_remembered() {
    for refusing in [413, 499] {
        let held = Held::default();
        let server = Server::start(move |seen| {
            if seen.body.len() > MIB + MIB / 2 {
                return Answer::new(refusing, "<html>");
            }
            take(&held, seen)
        });
        let client = Client::new(settings());
        let bytes = blob(5 * MIB);
        let done = send_by(&client, &server, &bytes);
        assert!(done.error.is_none(), "{:?}", done.error);
        assert_eq!(done.sent, bytes.len() as u64);
        let puts = done.lines.iter().filter(|line| line.starts_with("PUT"));
        assert_eq!(puts.count(), 2);
        assert!(
            done.lines
                .iter()
                .any(|line| line.starts_with("DELETE /up/0"))
        );
        // 2.5 MiB was too much as well; what fits is known from now on.
        let again = send_by(&client, &server, &bytes);
        assert!(again.error.is_none(), "{:?}", again.error);
        let patches: Vec<_> = again.lines.iter().map(String::as_str).collect();
        assert_eq!(patches[0], "POST /v2/team/app/blobs/uploads/");
        assert_eq!(patches[1], "PATCH /up/0 0-1310719");
        assert_eq!(patches[2], "PATCH /up/1310720 1310720-2621439");
        assert_eq!(patches[4], "PATCH /up/3932160 3932160-5242879");
        assert_eq!(patches[5], "PUT /up/5242880");
        assert_eq!(patches.len(), 6);
    }
}

#[test]
fn a_limit_below_any_piece_is_told() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.body.len() > 1000 {
            return Answer::new(413, "");
        }
        take(&held, seen)
    });
    let error = send(&server, &blob(3 * MIB)).error.unwrap();
    assert_eq!(error.status(), Some(413));
    assert!(error.explain().next.contains("proxy"));
}

#[test]
fn a_registry_says_how_long_pieces_must_be() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.method == "PUT" && seen.body.len() > 2 * MIB {
            return Answer::new(413, "");
        }
        let answer = take(&held, seen);
        if seen.method == "POST" {
            return answer.with("OCI-Chunk-Min-Length", (2 * MIB).to_string());
        }
        answer
    });
    let done = send(&server, &blob(3 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    assert!(done.lines.contains(&"PATCH /up/0 0-2097151".to_owned()));
    assert!(
        done.lines
            .contains(&"PATCH /up/2097152 2097152-3145727".to_owned())
    );
}

#[test]
fn an_interrupted_piece_goes_on_where_the_registry_stands() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.body.len() > MIB {
            return Answer::new(413, "");
        }
        if seen.index == 5 {
            // Half of the piece is stored when the connection goes.
            let half = &seen.body[..MIB / 2];
            held.lock().unwrap().extend(half);
            return Answer::hang_up();
        }
        take(&held, seen)
    });
    let client = Client::new(settings());
    let done = send_by(&client, &server, &blob(2 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    assert_eq!(
        done.lines[2..],
        [
            "DELETE /up/0",
            "POST /v2/team/app/blobs/uploads/",
            "PATCH /up/0 0-1048575",
            "PATCH /up/1048576 1048576-2097151",
            "GET /up/1048576",
            "PATCH /up/1572864 1572864-2097151",
            "PUT /up/2097152",
        ]
    );
}

#[test]
fn a_registry_that_stands_elsewhere_is_asked() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.body.len() > MIB {
            return Answer::new(413, "");
        }
        if seen.index == 4 {
            // It took the piece, and says that it did not.
            take(&held, seen);
            return Answer::new(416, "");
        }
        take(&held, seen)
    });
    let done = send(&server, &blob(2 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    assert_eq!(
        done.lines[4..],
        [
            "PATCH /up/0 0-1048575",
            "GET /up/0",
            "PATCH /up/1048576 1048576-2097151",
            "PUT /up/2097152",
        ]
    );
}

#[test]
fn a_lost_session_is_begun_anew_in_pieces_too() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.body.len() > MIB {
            return Answer::new(413, "");
        }
        match seen.index {
            5 => refusal(404, "BLOB_UPLOAD_UNKNOWN"),
            _ => take(&held, seen),
        }
    });
    let done = send(&server, &blob(2 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    let posts = done.lines.iter().filter(|line| line.starts_with("POST"));
    assert_eq!(posts.count(), 3);
}

#[test]
fn a_stuck_range_and_other_statuses_are_borne() {
    for status in [201, 204] {
        let held = Held::default();
        let server = Server::start(move |seen| {
            if seen.body.len() > MIB {
                return Answer::new(413, "");
            }
            let answer = take(&held, seen);
            if seen.method == "PATCH" {
                return Answer::new(status, "")
                    .with("range", "0-1048575")
                    .with("location", format!("/up/{}", held.lock().unwrap().len()));
            }
            answer
        });
        let done = send(&server, &blob(3 * MIB));
        assert!(done.error.is_none(), "{:?}", done.error);
        assert_eq!(done.lines.last().unwrap(), "PUT /up/3145728");
    }
}

#[test]
fn a_bare_400_to_a_huge_blob_is_a_limit() {
    let held = Held::default();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "PUT" if !seen.body.is_empty() => Answer::new(400, "<html>Bad Request</html>"),
        _ => take(&held, seen),
    });
    let client = Client::new(settings());
    let done = send_by(&client, &server, &blob(5 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    let pieces = done.lines.iter().filter(|line| line.starts_with("PATCH"));
    assert_eq!(pieces.count(), 2, "{:?}", done.lines);
}

#[test]
fn a_registry_that_wants_a_patch_gets_one() {
    let held = Held::default();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "PUT" if !seen.body.is_empty() => Answer::new(405, ""),
        _ => take(&held, seen),
    });
    let client = Client::new(settings());
    let done = send_by(&client, &server, &blob(MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    assert_eq!(done.lines[done.lines.len() - 2], "PATCH /up/0 0-1048575");
    let again = send_by(&client, &server, &blob(MIB));
    assert_eq!(again.lines.len(), 3);
}

#[test]
fn a_put_whose_answer_was_lost_is_looked_for() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => begun(),
        "PUT" => Answer::new(504, ""),
        _ => Answer::new(200, ""),
    });
    let done = send(&server, &blob(MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    let methods: Vec<_> = done
        .lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(methods, ["POST", "PUT", "HEAD"]);
}

#[test]
fn a_large_blob_that_broke_off_is_taken_up_again() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.index == 1 {
            held.lock().unwrap().extend(&seen.body[..10 * MIB]);
            return Answer::hang_up();
        }
        take(&held, seen)
    });
    let done = send(&server, &blob(16 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    assert_eq!(
        done.lines,
        [
            "POST /v2/team/app/blobs/uploads/",
            "PUT /up/0",
            "HEAD /v2/team/app/blobs/".to_owned().as_str(),
            "GET /up/0",
            "PATCH /up/10485760 10485760-16777215",
            "PUT /up/16777216",
        ]
        .map(|line| if line.starts_with("HEAD") {
            format!("{line}{}", Digest::of(&blob(16 * MIB)))
        } else {
            line.to_owned()
        })
    );
}

#[test]
fn a_body_that_is_always_cut_is_sent_in_pieces() {
    let held = Held::default();
    let server = Server::start(move |seen| {
        if seen.body.len() > 2 * MIB {
            return Answer::hang_up();
        }
        take(&held, seen)
    });
    let done = send(&server, &blob(4 * MIB));
    assert!(done.error.is_none(), "{:?}", done.error);
    let puts = done.lines.iter().filter(|line| line.starts_with("PUT"));
    assert_eq!(puts.count(), 3);
}

#[test]
fn a_digest_that_is_really_wrong_is_told() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => begun(),
        "PUT" => refusal(400, "DIGEST_INVALID"),
        _ => Answer::new(404, ""),
    });
    let error = send(&server, &blob(MIB)).error.unwrap();
    assert!(error.says("DIGEST_INVALID"), "{error:?}");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_redirected_put_is_sent_again_in_full() {
    let storage = Server::start(|_| Answer::new(201, ""));
    let place = storage.url("/there");
    let server = Server::start(move |seen| match seen.method.as_str() {
        "POST" => begun(),
        _ => Answer::new(307, "").with("location", place.clone()),
    });
    let bytes = blob(MIB);
    assert!(send(&server, &bytes).error.is_none());
    assert_eq!(storage.seen()[0].body, bytes);
    assert_eq!(storage.seen()[0].method, "PUT");
}

#[test]
fn an_answer_without_a_place_is_no_upload() {
    for place in [None, Some("ftp://x/y")] {
        let server = Server::start(move |_| {
            let answer = Answer::new(202, "");
            match place {
                Some(place) => answer.with("location", place),
                None => answer,
            }
        });
        let error = send(&server, &blob(MIB)).error.unwrap();
        let RegistryError::Http(HttpError::Redirect { refusal, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal, RedirectRefusal::Unreadable);
    }
}

#[test]
fn many_requests_too_many_are_halved_and_the_push_ends() {
    let storm = AtomicU64::new(6);
    let server = Server::start(move |seen| {
        let left = storm.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        match (left, seen.method.as_str()) {
            (Ok(_), _) => Answer::new(429, "").with("retry-after", "0"),
            (_, "POST") => begun(),
            _ => Answer::new(201, ""),
        }
    });
    let client = Client::new(ClientSettings {
        retry: RetryPolicy {
            tries: 10,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..settings()
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(send_by(&client, &server, b"layer").error.is_none()));
        }
    });
}

#[test]
fn waits_of_a_push_are_bounded_together() {
    let server = Server::start(|_| Answer::new(503, "").with("retry-after", "30"));
    let client = Client::new(ClientSettings {
        retry: RetryPolicy {
            total: Duration::from_secs(20),
            ..RetryPolicy::default()
        },
        ..settings()
    });
    let start = std::time::Instant::now();
    let error = send_by(&client, &server, b"layer").error.unwrap();
    assert_eq!(error.status(), Some(503));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn sessions_that_always_get_lost_are_an_error_that_says_so() {
    for tries in [3, 50] {
        // The first piece is always taken, and the second never.
        let server = Server::start(move |seen| match seen.method.as_str() {
            _ if seen.body.len() > MIB => Answer::new(413, ""),
            "POST" => begun(),
            "PATCH" if seen.header("content-range").unwrap().starts_with("0-") => {
                Answer::new(202, "").with("location", "/up/1")
            }
            _ => refusal(404, "BLOB_UPLOAD_UNKNOWN"),
        });
        let mut patient = settings();
        patient.retry.tries = tries;
        patient.retry.longest_wait = Duration::from_millis(5);
        let done = send_by(&Client::new(patient), &server, &blob(4 * MIB));
        let told = done.error.unwrap().explain();
        assert!(told.next.contains("replicas"), "{told:?}");
        let posts = done.lines.iter().filter(|line| line.starts_with("POST"));
        // Two sessions went for finding a size that is taken.
        assert!(posts.count() <= 2 + 7, "{:?}", done.lines);
    }
}
