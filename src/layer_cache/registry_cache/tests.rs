use super::*;
use crate::archive::tar::CompressionEffort;
use crate::image::LayerForm;
use crate::layer_cache::testing::{Bench, PLATFORM};
use crate::layer_cache::{LayerBuilder, LayerRecipe, LockedLayers, RemoteBlobs, WantedBlob};
use crate::layers::notes::LayerNotes;
use crate::net::testing::{Answer, Server};
use crate::oci::{DiffId, KeyBuilder};
use crate::report::LayerStatus;
use crate::resolve::debian::LockedLayer;

const LAYER: &[u8] = b"the layer's bytes";
const WHEEL: &str = "x-1-py3-none-any.whl 0000";

fn key(name: &str) -> Key {
    KeyBuilder::new("test/1").field(name.as_bytes()).finish()
}

/// A registry with an image of one layer, known by the key of `one`; its config has so many diff ids.
fn registry(diff_ids: usize) -> Server {
    let diff_id = DiffId::from_bytes([1; 32]).to_string();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": vec![diff_id; diff_ids]},
    });
    let config = config.to_string();
    let of_config = Digest::of(config.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": of_config.to_string(), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": Digest::of(LAYER).to_string(), "size": LAYER.len(),
            "annotations": {KEY_ANNOTATION: LayerForm::Gzip.key(&key("one")).to_string()},
        }],
        "annotations": {BUILT_ANNOTATION: format!("{} {WHEEL}", key("built"))},
    })
    .to_string();
    Server::start(move |seen| {
        let of_layer = Digest::of(LAYER);
        match seen.target.rsplit('/').next() {
            Some("1") => Answer::new(200, manifest.clone())
                .with("content-type", "application/vnd.oci.image.manifest.v1+json"),
            Some(name) if name == of_config.to_string() => Answer::new(200, config.clone()),
            Some(name) if name == of_layer.to_string() => Answer::new(200, LAYER),
            Some("") => Answer::new(200, ""),
            _ => Answer::new(404, ""),
        }
    })
}

fn name(server: &Server) -> Reference {
    format!("{}/team/app:1", server.host()).parse().unwrap()
}

fn cache<'a>(bench: &'a Bench, names: &[Reference], extra: &[Reference]) -> RegistryCache<'a> {
    let means = (&bench.client, &bench.store);
    RegistryCache::new(means, &bench.report, &[PLATFORM], (names, extra))
}

#[test]
fn a_layer_is_found_by_its_key_without_its_bytes() {
    let server = registry(1);
    let bench = Bench::new();
    let cache = cache(&bench, &[name(&server)], &[]);
    let form = LayerForm::Gzip;
    let found = cache.layer(&form.key(&key("one"))).unwrap();
    assert_eq!(found.stored.digest, Digest::of(LAYER));
    assert_eq!(found.place, name(&server));
    assert!(cache.layer(&form.key(&key("other"))).is_none());
    let asked = server.lines();
    assert!(
        !asked
            .iter()
            .any(|line| line.contains(&Digest::of(LAYER).to_string()))
    );
    assert_eq!(cache.built(&key("built")).as_deref(), Some(WHEEL));
    assert_eq!(cache.built(&key("one")), None);
    assert_eq!(server.lines(), asked, "asked more than once");
    assert!(cache.requests(&name(&server)) >= 2);
}

#[test]
fn a_config_that_does_not_go_with_its_manifest_makes_it_useless() {
    let server = registry(2);
    let bench = Bench::new();
    let cache = cache(&bench, &[name(&server)], &[]);
    assert!(cache.layer(&LayerForm::Gzip.key(&key("one"))).is_none());
}

#[test]
fn a_cache_that_lied_is_used_no_more_and_says_so_once() {
    let server = registry(1);
    let bench = Bench::new();
    let used = cache(&bench, &[name(&server)], &[]);
    let one = LayerForm::Gzip.key(&key("one"));
    assert!(used.layer(&one).is_some());
    assert!(used.distrust());
    assert!(used.layer(&one).is_none());
    assert!(used.built(&key("built")).is_none());
    assert!(!used.distrust());
    assert!(!cache(&bench, &[], &[]).distrust(), "nothing to distrust");
}

#[test]
fn what_a_push_may_count_on_is_what_was_asked_and_believed() {
    let server = registry(1);
    let bench = Bench::new();
    let name = name(&server);
    let asked = cache(&bench, std::slice::from_ref(&name), &[]);
    assert!(matches!(asked.served(&name, None), PreviousTag::Ask));
    asked.look();
    assert!(matches!(
        asked.served(&name, Some(PLATFORM)),
        PreviousTag::Known(Some(_))
    ));
    let doubting = cache(&bench, std::slice::from_ref(&name), &[]).believing(false);
    doubting.look();
    assert!(matches!(
        doubting.served(&name, None),
        PreviousTag::Known(None)
    ));
    // One that is verified gives no wheels that were built elsewhere.
    let verified = cache(&bench, std::slice::from_ref(&name), &[]).verifying(true);
    assert!(verified.built(&key("built")).is_none());
}

#[test]
fn a_named_cache_that_cannot_be_asked_is_told_of_and_a_target_is_not() {
    let server = Server::start(|_| Answer::new(403, ""));
    let bench = Bench::new();
    let one = key("one");
    assert!(cache(&bench, &[name(&server)], &[]).layer(&one).is_none());
    assert!(!bench.warned("is of no use as a cache"));
    assert!(cache(&bench, &[], &[name(&server)]).layer(&one).is_none());
    assert!(bench.warned("is of no use as a cache"));
}

/// What a build makes of the recipe of `one`, the lock having this layer.
fn built(bench: &Bench, cache: &RegistryCache<'_>, is_of_source: bool) -> LayerStatus {
    let recipe = LayerRecipe {
        key: key("one"),
        contents: "one".to_owned(),
        needs: Vec::new(),
        is_of_source,
        effort: CompressionEffort::Usual,
        write: Box::new(|_| Ok(LayerNotes::default())),
    };
    let fetcher = bench.fetcher();
    let builder = LayerBuilder {
        cache: Some(cache),
        ..bench.builder(&fetcher)
    };
    builder.make(&[&recipe]).unwrap().layers[0].status
}

fn locked(key: Key, digest: Digest) -> LockedLayer {
    LockedLayer {
        contents: "one".to_owned(),
        key,
        digest,
        diff_id: DiffId::from_bytes([1; 32]),
        size_bytes: LAYER.len() as u64,
        uncompressed_bytes: 512,
    }
}

#[test]
fn a_registrys_word_is_believed_where_no_lock_speaks_of_layers() {
    let server = registry(1);
    let one = LayerForm::Gzip.key(&key("one"));
    for (lock, is_of_source, expected) in [
        (None, false, LayerStatus::Believed),
        // The lock names these very bytes: nothing has to be believed.
        (
            Some(locked(one, Digest::of(LAYER))),
            false,
            LayerStatus::Remote,
        ),
        // It names others: what the registry has is another layer.
        (
            Some(locked(one, Digest::of(b"x"))),
            false,
            LayerStatus::Made,
        ),
        // It knows layers like this, and not this one.
        (
            Some(locked(key("y"), Digest::of(b"x"))),
            false,
            LayerStatus::Made,
        ),
        // No lock can know what is made of the source.
        (
            Some(locked(key("y"), Digest::of(b"x"))),
            true,
            LayerStatus::Believed,
        ),
    ] {
        let mut bench = Bench::new();
        let told = format!("{lock:?}");
        if let Some(lock) = lock {
            bench.lock(lock);
        }
        let cache = cache(&bench, &[name(&server)], &[]);
        assert_eq!(built(&bench, &cache, is_of_source), expected, "{told}");
    }
}

#[test]
fn bytes_are_brought_from_where_they_are_noted_and_checked() {
    let server = registry(1);
    let empty = Server::start(|_| Answer::new(404, ""));
    let bench = Bench::new();
    let blobs = RemoteBlobs {
        store: &bench.store,
        client: &bench.client,
        report: &bench.report,
        ids: &bench.ids,
    };
    let wanted = |bytes: &[u8]| WantedBlob {
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
        name: "one".to_owned(),
    };
    let layer = wanted(LAYER);
    let missing = blobs.bring(std::slice::from_ref(&layer)).unwrap_err();
    assert!(missing.find::<crate::layer_cache::BlobMissing>().is_some());
    bench
        .store
        .note_elsewhere(&layer.digest, &name(&empty))
        .unwrap();
    let missing = blobs.bring(std::slice::from_ref(&layer)).unwrap_err();
    let missing = missing.find::<crate::layer_cache::BlobMissing>().unwrap();
    assert_eq!(missing.answers.len(), 1, "{missing:?}");
    bench
        .store
        .note_elsewhere(&layer.digest, &name(&server))
        .unwrap();
    blobs.bring(std::slice::from_ref(&layer)).unwrap();
    assert_eq!(bench.store.read_blob(&layer.digest).unwrap(), LAYER);
    let asked = server.lines().len();
    blobs.bring(&[layer]).unwrap();
    assert_eq!(server.lines().len(), asked, "what is here is not asked for");
}

#[test]
fn a_lock_of_no_layers_says_nothing() {
    let none = LockedLayers::of(None);
    assert!(none.is_empty() && none.stored(&key("one")).is_none());
}
