//! Builds upon an image of a registry, and what is written of it: lines T1, T2, T9, R1 and L3 of what
//! registries do in practice.

use serde_json::json;

use crate::harness::faulty::{Act, Answer, Faulty, Kind, Quirks, Rule};
use crate::harness::home::Home;
use crate::harness::layout::sha256;
use crate::harness::stored;
use crate::registry::{builds, fails, project_on};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry with the small image as `base:1`, in docker's words if it takes no others.
fn with_base(refuses: Vec<(&'static str, u16)>) -> Faulty {
    let registry = Faulty::with(Quirks {
        refuses,
        ..Quirks::default()
    });
    let base = registry.repository("base:1");
    stored::home().run(&["push", stored::NAME, &base]).ok();
    registry.take_log();
    registry
}

/// The media types that a manifest has in it, its own first.
fn kinds(registry: &Faulty) -> Vec<String> {
    let manifest = registry.manifest("app", "1");
    let kind = |named: &serde_json::Value| named["mediaType"].as_str().unwrap().to_owned();
    let mut all = vec![kind(&manifest), kind(&manifest["config"])];
    all.extend(manifest["layers"].as_array().unwrap().iter().map(kind));
    all
}

#[test]
fn t1_a_docker_base_under_new_layers_is_one_manifest_of_one_kind() {
    let source = with_base(vec![(OCI, 415)]);
    assert_eq!(source.manifest("base", "1")["mediaType"], DOCKER);
    let project = project_on(&source.repository("base:1"));
    for (more, word) in [
        (&[][..], "vnd.oci.image"),
        (&["--format", "docker"], "vnd.docker"),
    ] {
        let target = Faulty::start();
        let image = target.repository("app:1");
        builds(
            &Home::empty(),
            &project,
            &[&[image.as_str()], more].concat(),
        )
        .ok();
        target.complete("app", "1");
        let kinds = kinds(&target);
        assert!(kinds.len() > 5);
        assert!(kinds.iter().all(|kind| kind.contains(word)), "{kinds:?}");
        // The blobs are the same, whatever they are called.
        for layer in stored::layers(stored::NAME) {
            assert!(target.blobs("app").contains(&layer));
        }
    }
}

#[test]
fn t2_a_registry_that_knows_oci_alone_gets_that() {
    let target = Faulty::with(Quirks {
        refuses: vec![(DOCKER, 400)],
        ..Quirks::default()
    });
    let base = with_base(Vec::new());
    let project = project_on(&base.repository("base:1"));
    let image = target.repository("app:1");
    let more = ["--format", "docker", &image];
    builds(&Home::empty(), &project, &more).ok().says(&["OCI"]);
    assert!(kinds(&target).iter().all(|kind| kind.contains("oci")));
}

#[test]
fn t2_a_tag_that_may_not_become_an_index_is_told() {
    let registry = Faulty::start();
    let home = stored::home();
    home.run(&["push", stored::NAME, &registry.repository("app:1")])
        .ok();
    let refusal = Answer::error(400, "MANIFEST_INVALID");
    registry.script([Rule::since(Kind::PutManifest, 2, Act::Answer(refusal))]);
    let index = home.run(&["push", stored::INDEX, &registry.repository("app:1")]);
    fails(index, &["MANIFEST_INVALID", "manifests/1"]);
    assert_eq!(
        registry.digest("app", "1"),
        Some(stored::digest(stored::NAME))
    );
}

#[test]
fn t9_several_tags_are_set_at_once_where_that_is_known() {
    for many_tags in [true, false] {
        let base = with_base(Vec::new());
        let target = Faulty::with(Quirks {
            many_tags,
            ..Quirks::default()
        });
        let project = project_on(&base.repository("base:1"));
        let names = ["1", "2", "latest"].map(|tag| target.repository(&format!("app:{tag}")));
        let more: Vec<&str> = names.iter().flat_map(|name| ["-t", name]).collect();
        builds(&Home::empty(), &project, &more).ok();
        let digest = target.complete("app", "1");
        for tag in ["2", "latest"] {
            assert_eq!(target.digest("app", tag).as_ref(), Some(&digest));
        }
        let puts = target.count(Kind::PutManifest);
        assert_eq!(puts, if many_tags { 1 } else { 4 }, "{}", target.log_text());
    }
}

#[test]
fn r1_a_bases_attestations_are_left_where_they_are() {
    let base = with_base(Vec::new());
    let image = stored::digest(stored::NAME);
    let kind = "application/vnd.in-toto+json";
    let statement = base.put_blob("base", b"{}");
    let attestation = json!({
        "schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": statement, "size": 2},
        "layers": [{"mediaType": kind, "digest": statement, "size": 2}],
    });
    base.put_manifest("base", None, &attestation);
    let text = attestation.to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"mediaType": OCI, "digest": sha256(text.as_bytes()), "size": text.len(),
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image}},
            {"mediaType": OCI, "digest": image, "size": 714,
                "platform": {"os": "linux", "architecture": "amd64"}},
        ],
    });
    base.put_manifest("base", Some("signed"), &index);
    let target = Faulty::start();
    let project = project_on(&base.repository("base:signed"));
    builds(&Home::empty(), &project, &[&target.repository("app:1")]).ok();
    target.complete("app", "1");
    for registry in [&base, &target] {
        let log = registry.log();
        let of_it = |name: &str| name.contains(&statement) || name.contains("referrers");
        assert!(!log.iter().any(|entry| of_it(&entry.target)));
        assert_eq!(registry.count(Kind::Referrers), 0);
    }
    let notes = &target.manifest("app", "1")["annotations"];
    let found = &notes["org.opencontainers.image.base.digest"];
    assert_eq!(*found, sha256(index.to_string().as_bytes()));
}

#[test]
fn l3_a_base_is_asked_for_by_head_and_fetched_once() {
    let base = with_base(Vec::new());
    let target = Faulty::start();
    let project = project_on(&base.repository("base:1"));
    let home = Home::empty();
    let image = target.repository("app:1");
    builds(&home, &project, &[&image]).ok();
    assert_eq!(base.count(Kind::GetManifest), 1);
    base.take_log();
    // Within the hour not at all, and then without the bytes.
    builds(&home, &project, &[&image]).ok();
    assert!(base.log().is_empty(), "{}", base.log_text());
    builds(&home, &project, &[&image, "--refresh"]).ok();
    let log = base.log();
    assert_eq!(log.len(), 1, "{}", base.log_text());
    assert_eq!(log[0].kind, Kind::HeadManifest);
}

#[test]
fn a_registry_that_has_lost_a_blob_is_mended_without_the_cache() {
    let base = with_base(Vec::new());
    let project = project_on(&base.repository("base:1"));
    let (home, target) = (Home::empty(), Faulty::start());
    let image = target.repository("app:1");
    builds(&home, &project, &[&image]).ok();
    let layers = target.manifest("app", "1")["layers"].clone();
    for layer in layers.as_array().unwrap() {
        target.lose_blob("app", layer["digest"].as_str().unwrap());
    }
    builds(&home, &project, &[&image, "--no-cache"]).ok();
    target.complete("app", "1");
}
