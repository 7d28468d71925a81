//! Blobs that are no local files: mounted, copied, or nowhere.

use super::*;
use crate::destination::PushImage;
use crate::net::http::RetryPolicy;
use crate::oci::Reference;
use crate::report::Explain as _;

const LAYER: &[u8] = b"a layer of somebody else";

/// A folder of which one blob is said to be in other repositories.
struct Elsewhere {
    folder: BlobFolder,
    digest: Digest,
    origins: Vec<Reference>,
}

impl BlobSource for Elsewhere {
    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.path(digest)
    }

    fn origins(&self, digest: &Digest) -> Vec<Reference> {
        if *digest == self.digest {
            self.origins.clone()
        } else {
            Vec::new()
        }
    }
}

fn elsewhere(layer: &[u8], origins: &[String]) -> (Elsewhere, PushImage) {
    let folder = BlobFolder::new();
    let image = image(&folder, "c1", &[layer, b"own"]);
    let digest = Digest::of(layer);
    std::fs::remove_file(folder.path(&digest)).unwrap();
    let origins = origins.iter().map(|text| text.parse().unwrap()).collect();
    let source = Elsewhere {
        folder,
        digest,
        origins,
    };
    (source, image)
}

fn push_all(
    server: &Server,
    source: &Elsewhere,
    image: &PushImage,
) -> Result<PushSummary, PushError> {
    let client = Client::new(ClientSettings {
        retry: RetryPolicy {
            tries: 3,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientSettings::default()
    });
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let registry = RegistryRepository::new(&client, &reference).unwrap();
    let target = PushTarget {
        registry: &registry,
        tags: &["1".to_owned()],
        parallelism: 2,
        previous: PreviousTag::Known(None),
    };
    push(image, source, target, &SilentReport)
}

/// Wraps a registry: POSTs that ask for a mount get this answer.
fn mounting(status: u16) -> Server {
    let inner = keeper();
    Server::start(move |seen| {
        if seen.target.contains("mount=") {
            return Answer::new(status, "").with("location", "/up");
        }
        inner(seen)
    })
}

#[test]
fn a_blob_of_a_neighbour_is_mounted() {
    let server = mounting(201);
    let (source, image) = elsewhere(LAYER, &[format!("{}/base/python:3", server.host())]);
    // The registry's fake checks blobs with the manifest, and a mount leaves it none.
    let error = push_all(&server, &source, &image).unwrap_err();
    assert!(matches!(error, PushError::Registry(error) if error.says("MANIFEST_BLOB_UNKNOWN")));
    let digest = Digest::of(LAYER);
    let lines = server.lines();
    let mount = format!("POST /v2/app/blobs/uploads/?mount={digest}&from=base/python");
    assert!(lines.contains(&mount), "{lines:?}");
    // Nothing else is asked about it.
    assert!(!lines.contains(&format!("HEAD /v2/app/blobs/{digest}")));
}

#[test]
fn a_declined_mount_leaves_its_upload_to_be_used() {
    for status in [202, 403, 500] {
        let server = mounting(status);
        let origin = keeper_with(&[("base/python", LAYER)]);
        let origins = [
            format!("{}/base/python:3", server.host()),
            format!("{}/base/python:3", origin.host()),
        ];
        let (source, image) = elsewhere(LAYER, &origins);
        let summary = push_all(&server, &source, &image).unwrap();
        assert_eq!(summary.blobs[0].status, BlobStatus::Copied);
        let lines = server.lines();
        let posts = lines
            .iter()
            .filter(|line| line.starts_with("POST") && !line.contains("mount="));
        // One for each blob, less the one whose upload the mount began.
        assert_eq!(
            posts.count(),
            if status == 202 { 2 } else { 3 },
            "{lines:?}"
        );
    }
}

#[test]
fn a_registry_that_mounts_nothing_is_asked_for_the_blob_first() {
    let server = mounting(202);
    let (folder, client) = (BlobFolder::new(), Client::new(ClientSettings::default()));
    let layers: [&[u8]; 3] = [b"one", b"two", b"three"];
    let first = super::image(&folder, "c0", &layers);
    push_to(&server, &folder, &first).unwrap();
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let registry = RegistryRepository::new(&client, &reference).unwrap();
    let origin = format!("{}/base:3", server.host());
    for (at, layer) in layers.into_iter().enumerate() {
        let before = server.lines().len();
        let (source, image) = elsewhere(layer, std::slice::from_ref(&origin));
        let target = PushTarget {
            registry: &registry,
            tags: &["1".to_owned()],
            parallelism: 1,
            previous: PreviousTag::Known(None),
        };
        push(&image, &source, target, &SilentReport).unwrap();
        let lines = &server.lines()[before..];
        let mounts = lines.iter().filter(|line| line.contains("mount="));
        assert_eq!(mounts.count(), usize::from(at < 2), "{lines:?}");
    }
}

#[test]
fn a_blob_that_is_there_after_all_ends_the_upload() {
    let server = mounting(202);
    let folder = BlobFolder::new();
    let first = super::image(&folder, "c0", &[LAYER]);
    push_to(&server, &folder, &first).unwrap();
    let (source, image) = elsewhere(LAYER, &[format!("{}/base:3", server.host())]);
    let summary = push_all(&server, &source, &image).unwrap();
    assert_eq!(summary.blobs[0].status, BlobStatus::AlreadyThere);
    assert!(server.lines().contains(&"DELETE /up".to_owned()));
}

#[test]
fn a_blob_of_another_registry_is_copied() {
    for size in [10, 3 << 20] {
        let layer: Vec<u8> = (0..size)
            .map(|at: usize| u8::try_from(at % 251).unwrap())
            .collect();
        let server = Server::start(keeper());
        let origin = keeper_with(&[("base/python", &layer)]);
        let (source, image) = elsewhere(&layer, &[format!("{}/base/python:3", origin.host())]);
        let summary = push_all(&server, &source, &image).unwrap();
        assert_eq!(summary.blobs[0].status, BlobStatus::Copied);
        assert_eq!(summary.sent_bytes, size as u64 + 3 + 2);
        assert_eq!(
            origin.lines(),
            [format!("GET /v2/base/python/blobs/{}", Digest::of(&layer))]
        );
    }
}

#[test]
fn a_copy_is_given_again_from_its_beginning() {
    let layer = vec![5; 1 << 20];
    let inner = keeper();
    let first = AtomicBool::new(true);
    let server = Server::start(move |seen| {
        let whole = seen.method == "PUT" && seen.body.len() == 1 << 20;
        if whole && first.swap(false, Ordering::Relaxed) {
            return Answer::hang_up();
        }
        inner(seen)
    });
    let origin = keeper_with(&[("base", &layer)]);
    let (source, image) = elsewhere(&layer, &[format!("{}/base:3", origin.host())]);
    let summary = push_all(&server, &source, &image).unwrap();
    assert_eq!(summary.blobs[0].status, BlobStatus::Copied);
    assert!(origin.lines().len() > 1);
}

#[test]
fn a_blob_that_is_nowhere_is_named_with_all_that_was_tried() {
    let server = Server::start(keeper());
    let empty = Server::start(keeper());
    let lying = Server::start(|_| Answer::new(200, vec![1; LAYER.len()]));
    let origins = [
        format!("{}/base:3", empty.host()),
        format!("{}/lie:3", lying.host()),
    ];
    let (source, image) = elsewhere(LAYER, &origins);
    let error = push_all(&server, &source, &image).unwrap_err();
    let PushError::Nowhere { digest, origins } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*digest, origins.len()), (Digest::of(LAYER), 2));
    assert!(matches!(origins[1].1, RegistryError::WrongDigest { .. }));
    let explanation = error.explain();
    assert!(explanation.why.contains(empty.host()), "{explanation:?}");
    assert!(explanation.why.contains(lying.host()), "{explanation:?}");
    assert!(explanation.place.contains(&digest.hex()));
}

#[test]
fn a_lie_never_arrives_whole() {
    let size = 1 << 20;
    let layer = vec![1; size];
    let server = Server::start(keeper());
    let lying = Server::start(move |_| Answer::new(200, vec![2; size]));
    let (source, image) = elsewhere(&layer, &[format!("{}/lie:3", lying.host())]);
    let error = push_all(&server, &source, &image).unwrap_err();
    assert!(matches!(error, PushError::Nowhere { .. }), "{error:?}");
    assert!(server.seen().iter().all(|seen| seen.body.len() < size));
}
