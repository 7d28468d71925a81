//! Layers that are not here: mounted from a neighbour (lines M1 to M7 of what registries do in practice), or
//! copied from another registry.

use crate::harness::faulty::{
    Act, Answer, Auth, Bearer, Faulty, Kind, MOMENTS, Moment, Mounts, Quirks, Rule,
};
use crate::harness::stored;
use crate::harness::tools::Finished;
use crate::registry::login::{USER, logged_in, logs_in};
use crate::registry::{PASSWORD, each, fails, push, pushes};

/// Gives a registry the image's first two layers, in `base`.
fn has_base(registry: &Faulty) {
    for layer in &stored::layers(stored::NAME)[..2] {
        registry.put_blob("base", &stored::blob(layer));
    }
}

/// A registry with the base beside the target.
fn neighbour(auth: Auth, mounts: Mounts) -> Faulty {
    let registry = Faulty::asking(
        auth,
        Quirks {
            mounts,
            ..Quirks::default()
        },
    );
    has_base(&registry);
    registry
}

/// Pushes the image that lacks its base, which must succeed.
#[track_caller]
fn pushes_lacking(source: &Faulty, target: &Faulty) -> Finished {
    let home = stored::home_without_base(&[source.repository("base")]);
    let pushed = pushes(&home, target);
    // Nothing came to lie in the store on the way.
    for layer in &stored::layers(stored::NAME)[..2] {
        let hex = layer.strip_prefix("sha256:").unwrap();
        assert!(!home.store().join("blobs/sha256").join(hex).exists());
    }
    pushed
}

#[test]
fn m1_a_mount_moves_no_bytes() {
    let registry = neighbour(Auth::Open, Mounts::Fine);
    pushes_lacking(&registry, &registry);
    assert_eq!(registry.count(Kind::Mount), 2);
    assert_eq!(registry.uploaded(), 2, "{}", registry.log_text());
    assert_eq!(registry.open_uploads(), 0, "{}", registry.log_text());
    assert_eq!(registry.count(Kind::GetBlob), 0);
}

#[test]
fn m1_the_token_for_a_mount_has_both_scopes() {
    let bearer = Bearer {
        user: Some((USER, PASSWORD)),
        ..Bearer::default()
    };
    let registry = neighbour(Auth::Bearer(bearer), Mounts::Fine);
    let home = stored::home_without_base(&[registry.repository("base")]);
    logs_in(&home, &registry.host(), PASSWORD);
    pushes(&home, &registry);
    assert_eq!(registry.uploaded(), 2, "{}", registry.log_text());
    // One to ask for the old manifest, and one that has all a mount needs.
    assert!(registry.count(Kind::Token) <= 2, "{}", registry.log_text());
}

#[test]
fn m2_who_may_not_read_the_source_uploads() {
    // The bytes are here as well, so nothing is lost.
    for refusal in [None, Some(401), Some(403)] {
        let bearer = Bearer {
            user: Some((USER, PASSWORD)),
            private: vec!["base"],
            refusal,
            ..Bearer::default()
        };
        let registry = neighbour(Auth::Bearer(bearer), Mounts::Fine);
        let home = logged_in(&registry);
        stored::says_elsewhere(&home, &[registry.repository("base")]);
        pushes(&home, &registry);
        assert_eq!(registry.uploaded(), 4, "{}", registry.log_text());
    }
}

#[test]
fn m5_m6_m7_a_mount_that_is_not_made_is_no_failure() {
    let answers = [
        Mounts::Declined,
        Mounts::Answered(Answer::of(202)),
        Mounts::Answered(Answer::of(200)),
        Mounts::Answered(Answer::error(400, "UNSUPPORTED")),
        Mounts::Answered(Answer::error(403, "DENIED")),
        Mounts::Answered(Answer::of(404)),
        Mounts::Answered(Answer::of(405)),
    ];
    each(answers, |mounts| {
        let registry = neighbour(Auth::Open, mounts.clone());
        pushes_lacking(&registry, &registry);
        assert_eq!(
            registry.uploaded(),
            4,
            "{mounts:?}\n{}",
            registry.log_text()
        );
        assert_eq!(registry.open_uploads(), 0, "{}", registry.log_text());
    });
}

#[test]
fn m7_a_mount_that_fails_for_a_moment_is_no_failure() {
    each(
        [
            Act::Answer(Answer::of(500)),
            Act::Answer(Answer::of(429)),
            Act::Elsewhere(307),
            Act::Cut(Moment::BeforeAnswer),
        ],
        |act| {
            let registry = neighbour(Auth::Open, Mounts::Fine);
            registry.script([Rule::nth(Kind::Mount, 1, act)]);
            pushes_lacking(&registry, &registry);
        },
    );
}

#[test]
fn u19_the_upload_of_a_declined_mount_is_used() {
    let registry = neighbour(Auth::Open, Mounts::Declined);
    pushes_lacking(&registry, &registry);
    // Config and the third layer; the others came with their mounts.
    let begun = registry.count(Kind::Start) + registry.count(Kind::Single);
    assert!(begun <= 3, "{}", registry.log_text());
    assert_eq!(registry.open_uploads(), 0, "{}", registry.log_text());
}

#[test]
fn a_copy_goes_from_one_registry_to_the_other() {
    for redirects in [true, false] {
        let source = Faulty::asking(
            Auth::Basic(USER, PASSWORD),
            Quirks {
                redirects,
                ..Quirks::default()
            },
        );
        has_base(&source);
        let target = Faulty::start();
        let home = stored::home_without_base(&[source.repository("base")]);
        logs_in(&home, &source.host(), PASSWORD);
        pushes(&home, &target);
        assert_eq!(target.count(Kind::Mount), 0);
        // Each has its own credentials, and the storage behind the source has none.
        assert!(
            target
                .log()
                .iter()
                .all(|entry| entry.authorization.is_none())
        );
        assert_eq!(source.count(Kind::Storage), if redirects { 2 } else { 0 });
    }
}

#[test]
fn a_copy_is_taken_up_where_the_source_broke_off() {
    each(MOMENTS, |moment| {
        for number in [1, 2] {
            let (source, target) = (Faulty::start(), Faulty::start());
            has_base(&source);
            source.script([Rule::nth(Kind::GetBlob, number, Act::Cut(moment))]);
            pushes_lacking(&source, &target);
        }
    });
}

#[test]
fn a_copy_is_made_again_where_the_target_broke_off() {
    each([Kind::Start, Kind::Put], |kind| {
        for number in [1, 2, 3] {
            for moment in [Moment::InBody, Moment::BeforeAnswer] {
                let (source, target) = (Faulty::start(), Faulty::start());
                has_base(&source);
                target.script([Rule::nth(kind, number, Act::Cut(moment))]);
                pushes_lacking(&source, &target);
            }
        }
    });
}

#[test]
fn a_source_that_lies_or_has_lost_it_is_named() {
    each(
        [
            Act::Lie,
            Act::Endless,
            Act::Answer(Answer::error(404, "BLOB_UNKNOWN")),
            Act::Answer(Answer::error(403, "DENIED")),
            Act::Answer(Answer::of(200).body(b"<html>welcome</html>")),
        ],
        |act| {
            let (source, target) = (Faulty::start(), Faulty::start());
            has_base(&source);
            source.script([Rule::always(Kind::GetBlob, act)]);
            let home = stored::home_without_base(&[source.repository("base")]);
            let finished = push(&home, &target);
            fails(finished, &[&source.host(), "base"]);
            assert_eq!(target.digest("app", "1"), None);

            source.script([]);
            pushes(&home, &target);
        },
    );
}

#[test]
fn another_place_is_asked_where_the_first_has_nothing() {
    let (gone, source, target) = (Faulty::start(), Faulty::start(), Faulty::start());
    has_base(&source);
    let places = [gone.repository("base"), source.repository("base")];
    pushes(&stored::home_without_base(&places), &target);
}
