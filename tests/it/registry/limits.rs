//! Limits, retries and transport: lines L1 to L11 of what registries do in practice.

use std::time::Duration;

use crate::harness::faulty::{Act, Answer, Auth, Faulty, Kind, Quirks, Rule};
use crate::harness::stored;
use crate::registry::login::{USER, logged_in};
use crate::registry::{PASSWORD, each, fails, push, pushes, pushes_of};

#[test]
fn l1_a_storm_of_429_passes() {
    each([429, 503], |status| {
        for (name, value) in [
            ("retry-after", "0"),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-nothing", "0"),
        ] {
            let registry = Faulty::start();
            let answer = Answer::error(status, "TOOMANYREQUESTS")
                .with(name, value)
                .with("date", "Sun, 06 Nov 1994 08:49:37 GMT");
            // Every kind of request is refused once.
            registry.script(
                [
                    Kind::GetManifest,
                    Kind::HeadBlob,
                    Kind::Start,
                    Kind::Put,
                    Kind::PutManifest,
                ]
                .map(|kind| Rule::first(kind, 1, Act::Answer(answer.clone()))),
            );
            pushes(&stored::home(), &registry);
        }
    });
}

#[test]
fn l1_a_wait_that_is_asked_for_is_kept_and_told() {
    let registry = Faulty::start();
    let answer = Answer::error(429, "TOOMANYREQUESTS").with("retry-after", "1");
    registry.script([Rule::first(Kind::PutManifest, 1, Act::Answer(answer))]);
    let start = std::time::Instant::now();
    pushes(&stored::home(), &registry).says(&["429"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn l4_what_will_not_pass_is_not_tried_again() {
    each(
        [
            (Kind::Start, [400, 403, 413]),
            (Kind::PutManifest, [401, 403, 422]),
        ],
        |(kind, statuses)| {
            for status in statuses {
                let registry = Faulty::start();
                let refused = Act::Answer(Answer::error(status, "DENIED"));
                registry.script([Rule::always(kind, refused)]);
                fails(push(&stored::home(), &registry), &[&status.to_string()]);
                // One for each blob that was under way.
                assert!(registry.count(kind) <= 4, "{}", registry.log_text());
            }
        },
    );
}

#[test]
fn l6_a_redirect_keeps_method_and_body_and_loses_credentials() {
    each([307, 308], |status| {
        for kind in [Kind::Put, Kind::Patch] {
            let quirks = Quirks {
                body_limit: (kind == Kind::Patch).then_some(2 << 20),
                ..Quirks::default()
            };
            let registry = Faulty::asking(Auth::Basic(USER, PASSWORD), quirks);
            registry.script([Rule::first(kind, 2, Act::Elsewhere(status))]);
            pushes_of(stored::LARGE, &logged_in(&registry), &registry);
        }
    });
}

#[test]
fn l6_a_redirect_that_changes_the_method_is_not_followed() {
    each([301, 302, 303], |status| {
        let registry = Faulty::start();
        registry.script([Rule::always(Kind::PutManifest, Act::Elsewhere(status))]);
        fails(push(&stored::home(), &registry), &[&status.to_string()]);
    });
}

#[test]
fn l6_redirects_in_a_circle_end() {
    let registry = Faulty::start();
    let circle = format!("http://{}/v2/app/manifests/1", registry.host());
    let answer = Answer::of(307).with("location", &circle);
    registry.script([Rule::always(Kind::PutManifest, Act::Answer(answer))]);
    fails(push(&stored::home(), &registry), &["redirect"]);
}

#[test]
fn l10_nothing_new_is_hardly_a_question() {
    let registry = Faulty::start();
    let home = stored::home();
    pushes(&home, &registry);
    registry.take_log();
    pushes(&home, &registry);
    assert!(registry.log().len() <= 3, "{}", registry.log_text());
}

#[test]
fn l10_what_the_last_manifest_names_is_not_asked_for() {
    let registry = Faulty::start();
    let home = stored::home();
    pushes(&home, &registry);
    registry.take_log();
    pushes_of(stored::CHANGED, &home, &registry);
    let changed = stored::layers(stored::CHANGED);
    for entry in registry.log() {
        let about = &entry.target;
        assert!(
            !about.contains(&changed[0]) && !about.contains(&changed[1]),
            "{}",
            registry.log_text()
        );
    }
    // The old manifest; layer and config, each by three requests at most; the manifest.
    assert!(registry.log().len() <= 8, "{}", registry.log_text());
}

#[test]
fn l11_a_project_that_is_missing_is_explained() {
    let registry = Faulty::start();
    let answer = Answer::error(404, "NAME_UNKNOWN");
    registry.script([Rule::always(None, Act::Answer(answer))]);
    fails(
        push(&stored::home(), &registry),
        &["NAME_UNKNOWN", "app", "project"],
    );
}

#[test]
fn slow_answers_are_waited_for() {
    let registry = Faulty::start();
    registry.script([Rule::always(None, Act::Slow(Duration::from_millis(80)))]);
    pushes(&stored::home(), &registry);
}

#[test]
fn endless_bodies_end() {
    each(
        [Kind::GetManifest, Kind::Start, Kind::Put, Kind::PutManifest],
        |kind| {
            let registry = Faulty::start();
            let home = stored::home();
            registry.script([Rule::nth(kind, 1, Act::Endless)]);
            pushes(&home, &registry);
        },
    );
    // And where the body is what was asked for.
    let registry = Faulty::start();
    let home = stored::home();
    pushes(&home, &registry);
    registry.script([Rule::always(Kind::GetManifest, Act::Endless)]);
    let finished = crate::registry::push_of(stored::CHANGED, &home, &registry);
    assert!(matches!(finished.code, Some(0 | 69)), "{}", finished.stderr);
}

#[test]
fn huge_headers_do_no_harm() {
    let registry = Faulty::start();
    registry.script([Rule::always(None, Act::HugeHeaders(50_000))]);
    pushes(&stored::home(), &registry);
    each(
        [Kind::GetManifest, Kind::Start, Kind::PutManifest],
        |kind| {
            let registry = Faulty::start();
            registry.script([Rule::nth(kind, 1, Act::HugeHeaders(4 << 20))]);
            pushes(&stored::home(), &registry);
        },
    );
}

#[test]
fn words_of_a_registry_are_shown_without_their_tricks() {
    let registry = Faulty::start();
    let body =
        br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J\nerror: all is well\u202e"}]}"#;
    let answer = Answer::of(403).body(body);
    registry.script([Rule::always(Kind::PutManifest, Act::Answer(answer))]);
    let finished = fails(push(&stored::home(), &registry), &["DENIED"]);
    assert!(
        !finished.stderr.contains(['\u{1b}', '\u{202e}']),
        "{:?}",
        finished.stderr
    );
    assert!(
        !finished.stderr.contains("\nerror: all is well"),
        "{}",
        finished.stderr
    );
}
