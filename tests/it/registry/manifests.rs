//! Manifests and tags: lines T1 to T9 of what registries do in practice.

use crate::harness::faulty::{Act, Answer, Faulty, Kind, Moment, Quirks, Rule};
use crate::harness::home::digest_of;
use crate::harness::stored;
use crate::registry::{fails, push, push_of, pushes, pushes_of};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn t3_a_registry_that_knows_no_oci_gets_dockers_format() {
    for status in [400, 404, 415, 500] {
        let registry = Faulty::with(Quirks {
            refuses: vec![(OCI, status)],
            ..Quirks::default()
        });
        let pushed = push(&stored::home(), &registry).ok();
        let digest = registry.complete("app", "1");
        assert_eq!(digest_of(pushed.line()), digest);
        let manifest = registry.manifest("app", "1");
        assert_eq!(manifest["mediaType"], DOCKER);
        let config = &manifest["config"]["mediaType"];
        assert_eq!(config, "application/vnd.docker.container.image.v1+json");
        for layer in manifest["layers"].as_array().unwrap() {
            let kind = &layer["mediaType"];
            assert_eq!(kind, "application/vnd.docker.image.rootfs.diff.tar.gzip");
        }
        pushed.says(&["warning"]);
        // Once, not for ever.
        let puts = registry.count(Kind::PutManifest);
        assert!(
            puts <= if status == 500 { 8 } else { 2 },
            "{}",
            registry.log_text()
        );
    }
}

#[test]
fn t3_a_registry_that_takes_neither_format_is_quoted() {
    let registry = Faulty::with(Quirks {
        refuses: vec![(OCI, 415), (DOCKER, 415)],
        ..Quirks::default()
    });
    let finished = push(&stored::home(), &registry);
    fails(finished, &["MANIFEST_INVALID", "415", &registry.host()]);
}

#[test]
fn t6_a_digest_of_other_bytes_is_told() {
    let registry = Faulty::start();
    let lie = format!("sha256:{}", "0".repeat(64));
    registry.script([Rule::always(
        Kind::PutManifest,
        Act::Header("docker-content-digest", lie),
    )]);
    fails(
        push(&stored::home(), &registry),
        &[&registry.host(), "sha256:0000"],
    );
}

#[test]
fn t6_answers_without_headers_are_enough() {
    let registry = Faulty::with(Quirks {
        manifest_headers: false,
        ..Quirks::default()
    });
    let home = stored::home();
    pushes(&home, &registry);
    registry.script([Rule::always(
        Kind::GetManifest,
        Act::Header("docker-content-digest", String::new()),
    )]);
    pushes(&home, &registry);
}

#[test]
fn t7_blobs_that_are_seen_late_are_waited_for() {
    for status in [400, 404] {
        let registry = Faulty::start();
        let late = Answer::error(status, "MANIFEST_BLOB_UNKNOWN");
        registry.script([Rule::first(Kind::PutManifest, 2, Act::Answer(late))]);
        pushes(&stored::home(), &registry);
    }
}

#[test]
fn t7_a_manifest_that_promises_too_much_is_found_out() {
    let registry = Faulty::with(Quirks {
        forgets: true,
        ..Quirks::default()
    });
    let home = stored::home();
    pushes(&home, &registry);
    // Both images share the first two layers, and the registry has lost one of them.
    registry.lose_blob("app", &stored::layers(stored::NAME)[1]);
    pushes_of(stored::CHANGED, &home, &registry);
}

#[test]
fn t7_an_index_comes_after_its_manifests_and_its_tag_last() {
    let registry = Faulty::start();
    pushes_of(stored::INDEX, &stored::home(), &registry);
    let log = registry.log();
    let last = log.last().unwrap();
    assert_eq!(last.kind, Kind::PutManifest);
    assert!(
        last.target.ends_with("/manifests/1"),
        "{}",
        registry.log_text()
    );
    assert_eq!(registry.count(Kind::PutManifest), 3);
    // A layer that both have is sent once.
    assert_eq!(registry.blobs("app").len(), 6);
    assert_eq!(registry.uploaded(), 6, "{}", registry.log_text());
}

#[test]
fn t7_an_index_that_is_cut_anywhere_is_right_or_absent() {
    let registry = Faulty::start();
    let home = stored::home();
    registry.script([Rule::since(
        Kind::PutManifest,
        2,
        Act::Answer(Answer::error(403, "DENIED")),
    )]);
    fails(
        push_of(stored::INDEX, &home, &registry),
        &["403", &registry.host()],
    );
    assert_eq!(registry.digest("app", "1"), None);
    registry.script([Rule::nth(
        Kind::PutManifest,
        3,
        Act::Cut(Moment::BeforeAnswer),
    )]);
    pushes_of(stored::INDEX, &home, &registry);
}

#[test]
fn t8_an_immutable_tag_is_explained() {
    for (status, code) in [
        (400, "TAG_IMMUTABLE"),
        (409, "DENIED"),
        (412, "PRECONDITION_FAILED"),
    ] {
        let registry = Faulty::start();
        let home = stored::home();
        pushes(&home, &registry);
        // The same again is no change.
        let answer = Answer::error(status, code);
        registry.script([Rule::always(Kind::PutManifest, Act::Answer(answer))]);
        pushes(&home, &registry);
        let finished = push_of(stored::CHANGED, &home, &registry);
        fails(finished, &["immutable", &registry.host(), "app"]);
        assert_eq!(
            registry.digest("app", "1"),
            Some(stored::digest(stored::NAME))
        );
    }
}

#[test]
fn a_manifest_that_lies_is_not_used() {
    let registry = Faulty::start();
    let home = stored::home();
    pushes(&home, &registry);
    for act in [
        Act::Lie,
        Act::Header("docker-content-digest", stored::digest(stored::CHANGED)),
        Act::Answer(Answer::of(200).body(b"<html>welcome</html>")),
        Act::Answer(
            Answer::of(200)
                .with("content-type", OCI)
                .body(b"{\"schemaVersion\": 2}"),
        ),
        Act::Answer(
            Answer::of(200)
                .with("content-type", OCI)
                .body(&b"[".repeat(100_000)),
        ),
        Act::Answer(Answer::of(200).with("content-type", "text/plain; charset=utf-8")),
    ] {
        registry.script([Rule::always(Kind::GetManifest, act)]);
        pushes_of(stored::CHANGED, &home, &registry);
        registry.script([]);
        pushes(&home, &registry);
    }
}
