//! Existence and upload: lines U1 to U21 of what registries do in practice.

use crate::harness::faulty::{
    Act, Answer, Auth, Chunks, Faulty, Kind, Moment, Place, Quirks, Rule,
};
use crate::harness::stored;
use crate::registry::login::{USER, logged_in};
use crate::registry::{PASSWORD, each, fails, push, push_of, pushes, pushes_of};

/// What a proxy lets through.
const LIMIT: u64 = 2 << 20;

fn behind_a_proxy(chunks: Chunks) -> Quirks {
    Quirks {
        body_limit: Some(LIMIT),
        chunks,
        ..Quirks::default()
    }
}

#[test]
fn u1_whatever_head_says_an_upload_settles_it() {
    each([400, 401, 403, 405, 416, 451], |status| {
        let registry = Faulty::start();
        registry.script([Rule::always(
            Kind::HeadBlob,
            Act::Answer(Answer::of(status)),
        )]);
        pushes(&stored::home(), &registry);
    });
}

#[test]
fn u1_a_blob_that_is_elsewhere_is_there() {
    let quirks = Quirks {
        redirects: true,
        ..Quirks::default()
    };
    let registry = Faulty::asking(Auth::Basic(USER, PASSWORD), quirks);
    let home = logged_in(&registry);
    for layer in stored::layers(stored::NAME) {
        registry.put_blob("app", &stored::blob(&layer));
    }
    pushes(&home, &registry);
    assert_eq!(registry.count(Kind::Storage), 3);
    assert_eq!(registry.uploaded(), 1, "{}", registry.log_text());
}

#[test]
fn u2_u3_u4_location_is_used_as_it_is_given() {
    each(
        [
            Place::Absolute,
            Place::Relative,
            Place::Sibling,
            Place::Elsewhere,
        ],
        |place| {
            for query in [true, false] {
                let quirks = Quirks {
                    place,
                    query,
                    body_limit: Some(LIMIT),
                    ..Quirks::default()
                };
                let registry = Faulty::asking(Auth::Basic(USER, PASSWORD), quirks);
                let home = logged_in(&registry);
                // In one piece and in several: each answer names another place.
                pushes(&home, &registry);
                pushes_of(stored::LARGE, &home, &registry);
            }
        },
    );
}

#[test]
fn u5_a_small_blob_is_one_request_where_the_registry_takes_that() {
    let quirks = Quirks {
        single: true,
        ..Quirks::default()
    };
    let registry = Faulty::with(quirks);
    pushes(&stored::home(), &registry);
    // Config and two layers; the third is larger.
    assert_eq!(registry.count(Kind::Single), 3);
    assert_eq!(registry.count(Kind::Start), 1);
    each([400, 404, 405, 415, 501], |status| {
        let registry = Faulty::start();
        registry.script([Rule::always(Kind::Single, Act::Answer(Answer::of(status)))]);
        pushes(&stored::home(), &registry);
    });
}

#[test]
fn u8_every_status_of_success_is_one() {
    each(
        [(202, 201, 201), (201, 204, 200), (204, 201, 202)],
        |(patch_status, put_status, manifest_status)| {
            let quirks = Quirks {
                patch_status,
                put_status,
                manifest_status,
                manifest_headers: manifest_status == 201,
                body_limit: Some(LIMIT),
                ..Quirks::default()
            };
            let registry = Faulty::with(quirks);
            let home = stored::home();
            pushes(&home, &registry);
            pushes_of(stored::LARGE, &home, &registry);
        },
    );
}

#[test]
fn u9_a_range_that_is_stuck_is_not_believed() {
    let quirks = Quirks {
        patch_status: 201,
        ..behind_a_proxy(Chunks::StuckRange)
    };
    let registry = Faulty::with(quirks);
    pushes_of(stored::LARGE, &stored::home(), &registry);
    assert!(registry.count(Kind::Patch) > 2, "{}", registry.log_text());
}

#[test]
fn u9_u10_u11_one_piece_is_the_rule_so_bad_chunks_do_no_harm() {
    each(
        [
            Chunks::StuckRange,
            Chunks::LastOneStays,
            Chunks::OnlyOne,
            Chunks::Refused,
        ],
        |chunks| {
            let quirks = Quirks {
                chunks,
                ..Quirks::default()
            };
            let registry = Faulty::with(quirks);
            pushes_of(stored::BIG, &stored::home(), &registry);
            assert_eq!(registry.count(Kind::Patch), 0);
        },
    );
}

#[test]
fn u10_u11_chunks_that_a_registry_cannot_put_together_are_explained() {
    each(
        [Chunks::LastOneStays, Chunks::OnlyOne, Chunks::Refused],
        |chunks| {
            let registry = Faulty::with(behind_a_proxy(chunks));
            let home = stored::home();
            fails(
                push_of(stored::LARGE, &home, &registry),
                &[&registry.host()],
            );
            assert_eq!(registry.digest("app", "1"), None);
        },
    );
}

#[test]
fn u13_a_registry_that_wants_a_patch_gets_one() {
    let quirks = Quirks {
        whole_put: false,
        ..Quirks::default()
    };
    let registry = Faulty::with(quirks);
    registry.script([Rule::first(
        Kind::Put,
        1,
        Act::Answer(Answer::of(404).body(b"Not Found")),
    )]);
    pushes_of(stored::LARGE, &stored::home(), &registry);
    assert!(registry.count(Kind::Patch) > 0, "{}", registry.log_text());
}

#[test]
fn u14_a_body_that_is_too_large_goes_in_chunks() {
    let registry = Faulty::with(behind_a_proxy(Chunks::Fine));
    let home = stored::home();
    pushes_of(stored::LARGE, &home, &registry);
    assert!(registry.count(Kind::Patch) > 2, "{}", registry.log_text());
    let refused = registry
        .log()
        .iter()
        .filter(|entry| entry.status == 413)
        .count();
    assert!(refused <= 3, "{}", registry.log_text());
}

#[test]
fn u14_a_proxy_that_cuts_large_bodies_is_understood() {
    let registry = Faulty::start();
    registry.script([Rule::first(Kind::Put, 2, Act::Cut(Moment::InBody))]);
    pushes_of(stored::LARGE, &stored::home(), &registry);
}

#[test]
fn u14_a_limit_below_any_chunk_is_explained() {
    let registry = Faulty::with(Quirks {
        body_limit: Some(100_000),
        ..Quirks::default()
    });
    let home = stored::home();
    fails(push(&home, &registry), &["413", "proxy", &registry.host()]);
}

#[test]
fn u16_chunks_are_as_long_as_the_registry_wants() {
    let quirks = Quirks {
        least_chunk: Some(LIMIT),
        body_limit: Some(3 << 20),
        ..Quirks::default()
    };
    let registry = Faulty::with(quirks);
    pushes_of(stored::LARGE, &stored::home(), &registry);
    assert!(registry.count(Kind::Patch) > 1, "{}", registry.log_text());
}

#[test]
fn u17_an_upload_that_broke_off_goes_on_where_it_stands() {
    let registry = Faulty::start();
    registry.script([
        Rule::nth(Kind::Put, 1, Act::Cut(Moment::InBody)),
        Rule::nth(Kind::Put, 2, Act::Cut(Moment::InBody)),
    ]);
    pushes_of(stored::BIG, &stored::home(), &registry);
    assert!(registry.count(Kind::Status) > 0, "{}", registry.log_text());
    let sent: usize = registry.log().iter().map(|entry| entry.bytes).sum();
    assert!(sent < 20 << 20, "{sent} bytes\n{}", registry.log_text());
}

#[test]
fn u17_an_upload_that_lost_its_beginning_is_begun_anew() {
    // Nothing is kept of what was cut, and 416 is what a chunk out of order gets.
    let quirks = Quirks {
        keeps_parts: false,
        ..behind_a_proxy(Chunks::Fine)
    };
    each(
        [Moment::InBody, Moment::BeforeAnswer, Moment::InAnswer],
        |moment| {
            let registry = Faulty::with(quirks.clone());
            registry.script([Rule::nth(Kind::Patch, 2, Act::Cut(moment))]);
            pushes_of(stored::LARGE, &stored::home(), &registry);
        },
    );
}

#[test]
fn u17_l11_an_upload_that_the_registry_forgot_is_begun_anew() {
    each([Kind::Put, Kind::Patch, Kind::Status], |kind| {
        let registry = Faulty::with(behind_a_proxy(Chunks::Fine));
        let mut script = vec![Rule::nth(
            kind,
            1,
            Act::Answer(Answer::error(404, "BLOB_UPLOAD_UNKNOWN")),
        )];
        if kind == Kind::Status {
            script.push(Rule::nth(Kind::Patch, 2, Act::Cut(Moment::InBody)));
        }
        registry.script(script);
        pushes_of(stored::LARGE, &stored::home(), &registry);
    });
}

#[test]
fn u19_an_upload_that_is_not_used_is_given_up() {
    let registry = Faulty::with(Quirks {
        single: true,
        ..Quirks::default()
    });
    registry.script([Rule::first(Kind::Put, 1, Act::Answer(Answer::of(413)))]);
    pushes_of(stored::LARGE, &stored::home(), &registry);
    assert!(registry.count(Kind::Patch) > 1, "{}", registry.log_text());
    assert_eq!(registry.open_uploads(), 0, "{}", registry.log_text());
}

#[test]
fn an_answer_before_the_body_is_read_is_heard() {
    each([500, 503, 429], |status| {
        let registry = Faulty::start();
        let early = Act::Early(Answer::of(status).body(b"busy"));
        registry.script([Rule::first(Kind::Put, 2, early)]);
        pushes_of(stored::BIG, &stored::home(), &registry);
    });
}

#[test]
fn u21_a_blob_that_arrived_is_not_sent_again() {
    each(
        [
            Act::Cut(Moment::BeforeAnswer),
            Act::DoneBut(Answer::of(504)),
        ],
        |act| {
            let registry = Faulty::start();
            registry.script([Rule::nth(Kind::Put, 1, act)]);
            pushes_of(stored::LARGE, &stored::home(), &registry);
            let sent: usize = registry.log().iter().map(|entry| entry.bytes).sum();
            assert!(sent < 6 << 20, "{sent} bytes\n{}", registry.log_text());
        },
    );
}

#[test]
fn a_digest_that_the_registry_disputes_is_told() {
    let registry = Faulty::start();
    registry.script([Rule::always(
        Kind::Put,
        Act::Answer(Answer::error(400, "DIGEST_INVALID")),
    )]);
    fails(
        push(&stored::home(), &registry),
        &["DIGEST_INVALID", &registry.host()],
    );
}
