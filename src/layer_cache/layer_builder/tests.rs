use std::sync::atomic::AtomicUsize;

use super::*;
use crate::archive::tar::{CompressionEffort, EntryOwner};
use crate::layer_cache::testing::Bench;
use crate::layer_cache::{DownloadError, DownloadOrigin};
use crate::layers::notes::LayerNotes;
use crate::net::testing::{Answer, Server};
use crate::oci::KeyBuilder;
use crate::resolve::debian::LockedLayer;
use crate::store::StoreError;

const FILE: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o644,
};

/// A layer of one file, which counts how often it is written.
fn recipe<'a>(name: &'a str, needs: &[&Download], written: &'a AtomicUsize) -> LayerRecipe<'a> {
    LayerRecipe {
        key: key(name),
        contents: name.to_owned(),
        needs: needs.iter().map(|&one| one.clone()).collect(),
        is_of_source: false,
        effort: CompressionEffort::Usual,
        write: Box::new(move |tar| {
            written.fetch_add(1, Ordering::Relaxed);
            let bytes = name.as_bytes();
            tar.file(b"a", &FILE, bytes.len() as u64, &mut &*bytes)?;
            Ok(LayerNotes::default())
        }),
    }
}

fn key(name: &str) -> Key {
    KeyBuilder::new("test/1").field(name.as_bytes()).finish()
}

fn download(server: &Server, bytes: &[u8]) -> Download {
    let digest = Digest::of(bytes);
    Download {
        name: format!("{}.whl", String::from_utf8_lossy(bytes)),
        digest,
        size_bytes: Some(bytes.len() as u64),
        origins: vec![DownloadOrigin::Url(
            server.url(&format!("/{}", String::from_utf8_lossy(bytes))),
        )],
    }
}

/// Serves each path as its own name.
fn names() -> Server {
    Server::start(|seen| Answer::new(200, seen.target.trim_start_matches('/')))
}

fn statuses(batch: &LayerBatch) -> Vec<LayerStatus> {
    batch.layers.iter().map(|made| made.status).collect()
}

#[test]
fn a_layer_is_made_once_and_known_by_its_key_from_then_on() {
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    let first = bench.make(&[&recipe]).unwrap();
    let again = bench.make(&[&recipe]).unwrap();
    assert_eq!(written.load(Ordering::Relaxed), 1);
    assert_eq!(statuses(&first), [LayerStatus::Made]);
    assert_eq!(statuses(&again), [LayerStatus::Reused]);
    assert_eq!(first.layers[0].layer.digest, again.layers[0].layer.digest);
    assert!(again.layers[0].notes.is_some());
}

#[test]
fn each_form_of_layers_has_blobs_of_its_own() {
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    let mut blobs = Vec::new();
    for form in [LayerForm::Gzip, LayerForm::Zstd, LayerForm::Estargz] {
        let fetcher = bench.fetcher();
        let builder = LayerBuilder {
            form,
            ..bench.builder(&fetcher)
        };
        let made = builder.make(&[&recipe]).unwrap().layers.remove(0);
        assert_eq!(made.status, LayerStatus::Made, "{form:?}");
        blobs.push((made.layer.digest, made.layer.key));
    }
    blobs.sort_unstable();
    blobs.dedup_by(|one, other| one.0 == other.0 || one.1 == other.1);
    assert_eq!(blobs.len(), 3);
}

#[test]
fn layers_come_in_the_recipes_order_whichever_is_written_first() {
    let server = Server::start(|seen| {
        let name = seen.target.trim_start_matches('/').to_owned();
        let wait = if name == "slow" { 200 } else { 0 };
        Answer::new(200, name).after(Duration::from_millis(wait))
    });
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let (slow, quick) = (download(&server, b"slow"), download(&server, b"quick"));
    let recipes = [
        recipe("a", &[&slow], &written),
        recipe("b", &[], &written),
        // What two layers are made of is fetched once.
        recipe("c", &[&quick, &slow], &written),
    ];
    let recipes: Vec<&LayerRecipe<'_>> = recipes.iter().collect();
    let batch = bench.make(&recipes).unwrap();
    let names: Vec<&str> = batch
        .layers
        .iter()
        .map(|made| &*made.layer.contents)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!((batch.fetched.files, batch.fetched.bytes), (2, 9));
    assert_eq!(server.lines().len(), 2);
    assert!(bench.store.download_path(&slow.digest).exists());
}

#[test]
fn nothing_is_fetched_for_a_layer_that_is_known() {
    let server = names();
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let wheel = download(&server, b"wheel");
    let recipe = recipe("one", &[&wheel], &written);
    bench.make(&[&recipe]).unwrap();
    std::fs::remove_file(bench.store.download_path(&wheel.digest)).unwrap();
    let again = bench.make(&[&recipe]).unwrap();
    assert_eq!(statuses(&again), [LayerStatus::Reused]);
    assert_eq!(again.fetched.files, 0);
    assert_eq!(server.lines(), ["GET /wheel"]);
}

#[test]
fn the_first_failure_ends_it_and_what_was_finished_stays() {
    let server = Server::start(|_| Answer::new(404, ""));
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let gone = download(&server, b"gone");
    let (one, other) = (
        recipe("one", &[], &written),
        recipe("other", &[&gone], &written),
    );
    bench.make(&[&one]).unwrap();
    let error = bench.make(&[&one, &other]).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(written.load(Ordering::Relaxed), 1);
    assert!(bench.store.layer(&one.key).is_some());
    assert!(bench.store.layer(&other.key).is_none());
}

#[test]
fn a_failing_writer_keeps_nothing() {
    let bench = Bench::new();
    let failing = LayerRecipe {
        key: key("failing"),
        contents: "failing".to_owned(),
        needs: Vec::new(),
        is_of_source: false,
        effort: CompressionEffort::Usual,
        write: Box::new(|_| {
            let name = "wheel".to_owned();
            Err(DownloadError::Nowhere { name }.into())
        }),
    };
    let error = bench.make(&[&failing]).unwrap_err();
    assert!(matches!(error.find(), Some(DownloadError::Nowhere { .. })));
    assert!(bench.store.layer(&failing.key).is_none());
}

#[test]
fn a_build_that_has_failed_elsewhere_begins_nothing_more() {
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    bench.stop.store(true, Ordering::Relaxed);
    let error = bench.make(&[&recipe]).unwrap_err();
    assert!(error.is_stopped(), "{error}");
    assert_eq!(written.load(Ordering::Relaxed), 0);
}

#[test]
fn a_damaged_layer_is_made_again_where_all_is_looked_at() {
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    let first = bench.make(&[&recipe]).unwrap().layers.remove(0);
    let path = bench.store.blob_path(&first.layer.digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // Nothing is read where it need not be.
    let trusting = bench.make(&[&recipe]).unwrap();
    assert_eq!(statuses(&trusting), [LayerStatus::Reused]);
    let fetcher = bench.fetcher();
    let looking = LayerBuilder {
        rechecks: true,
        ..bench.builder(&fetcher)
    };
    let made = looking.make(&[&recipe]).unwrap();
    assert_eq!(statuses(&made), [LayerStatus::Made]);
    assert_ne!(std::fs::read(&path).unwrap(), bytes);
    assert!(bench.warned("was damaged in the store"));
    let sound = looking.make(&[&recipe]).unwrap();
    assert_eq!(statuses(&sound), [LayerStatus::Reused]);
}

#[test]
fn a_lock_that_says_other_bytes_is_told_of() {
    let mut bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    bench.lock(LockedLayer {
        contents: "one".to_owned(),
        key: recipe.key,
        digest: Digest::of(b"other"),
        diff_id: DiffId::from_bytes([1; 32]),
        size_bytes: 5,
        uncompressed_bytes: 5,
    });
    bench.make(&[&recipe]).unwrap();
    assert!(bench.warned("s2r.lock says that it is"));
}

#[test]
fn a_layer_of_which_the_blob_is_gone_is_made_again() {
    let bench = Bench::new();
    let written = AtomicUsize::new(0);
    let recipe = recipe("one", &[], &written);
    let first = bench.make(&[&recipe]).unwrap().layers.remove(0);
    std::fs::remove_file(bench.store.blob_path(&first.layer.digest)).unwrap();
    let again = bench.make(&[&recipe]).unwrap().layers.remove(0);
    assert_eq!(again.status, LayerStatus::Made);
    assert_eq!(again.layer.digest, first.layer.digest);
}

#[test]
fn a_download_is_taken_from_the_first_place_that_has_its_bytes() {
    let server = Server::start(|seen| match &*seen.target {
        "/wrong" => Answer::new(200, "others"),
        "/right" => Answer::new(200, "wheels"),
        _ => Answer::new(404, ""),
    });
    let bench = Bench::new();
    let origin = |path: &str| DownloadOrigin::Url(server.url(path));
    let wanted = |origins| Download {
        name: "x.whl".to_owned(),
        digest: Digest::of(b"wheels"),
        size_bytes: Some(6),
        origins,
    };
    let fetcher = bench.fetcher();
    let bad = fetcher.fetch(&wanted(vec![origin("/gone"), origin("/wrong")]));
    assert!(bad.is_err());
    assert!(!bench.store.download_path(&Digest::of(b"wheels")).exists());
    let good = wanted(vec![origin("/wrong"), origin("/right")]);
    assert!(fetcher.fetch(&good).unwrap());
    assert!(!fetcher.fetch(&good).unwrap(), "fetched twice");
    // One that was damaged since is fetched again, if somebody has it.
    let path = bench.store.download_path(&good.digest);
    std::fs::write(&path, "wheelz").unwrap();
    assert!(fetcher.fetch(&good).unwrap());
    assert!(bench.warned("was damaged in the store"));
    std::fs::write(&path, "wheelz").unwrap();
    let error = fetcher.fetch(&wanted(Vec::new())).unwrap_err();
    assert!(
        matches!(error.find(), Some(DownloadError::Lost { .. })),
        "{error}"
    );
    let error = fetcher.fetch(&wanted(Vec::new())).unwrap_err();
    assert!(
        matches!(error.find(), Some(DownloadError::Nowhere { .. })),
        "{error}"
    );
}

#[test]
fn a_wheel_of_the_source_is_the_one_that_the_lock_means() {
    let bench = Bench::with(&[("wheels/x.whl", "wheel"), ("out.whl", "-> /etc/passwd")]);
    let wanted = |path: &str, bytes: &[u8]| Download {
        name: "x.whl".to_owned(),
        digest: Digest::of(bytes),
        size_bytes: None,
        origins: vec![DownloadOrigin::Source(path.to_owned())],
    };
    let fetcher = bench.fetcher();
    assert!(fetcher.fetch(&wanted("wheels/x.whl", b"wheel")).unwrap());
    let error = fetcher
        .fetch(&wanted("wheels/x.whl", b"other"))
        .unwrap_err();
    assert!(
        matches!(error.find(), Some(DownloadError::OtherFile { found, .. }) if *found == Digest::of(b"wheel")),
        "{error}"
    );
    assert!(error.find::<StoreError>().is_none());
    for path in ["gone.whl", "out.whl", "wheels"] {
        let error = fetcher.fetch(&wanted(path, b"other")).unwrap_err();
        assert!(
            matches!(error.find(), Some(DownloadError::NoFile { .. })),
            "{path}: {error}"
        );
    }
}
