//! Manifests that registries take in one form only, and tags that do not change.

use super::*;
use crate::net::testing::Seen;
use crate::oci::{MediaFamily, MediaType};
use crate::report::Explain as _;

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Report for Told {
    fn event(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

fn push_tags(
    server: &Server,
    folder: &BlobFolder,
    image: &PushImage,
    tags: &[&str],
    report: &dyn Report,
) -> Result<PushSummary, PushError> {
    let client = Client::new(ClientSettings {
        retry: crate::net::http::RetryPolicy {
            tries: 2,
            first_wait: Duration::from_millis(1),
            ..crate::net::http::RetryPolicy::default()
        },
        ..ClientSettings::default()
    });
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let registry = RegistryRepository::new(&client, &reference).unwrap();
    let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    let target = PushTarget {
        registry: &registry,
        tags: &tags,
        parallelism: 2,
        previous: PreviousTag::Ask,
    };
    push(image, folder, target, report)
}

/// A registry that answers manifests by `script`, where that says anything.
fn with_manifests(script: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) -> Server {
    let inner = keeper();
    Server::start(move |seen| {
        let of_manifests = seen.target.contains("/manifests/");
        let answer = if of_manifests { script(seen) } else { None };
        answer.unwrap_or_else(|| inner(seen))
    })
}

#[test]
fn a_registry_of_the_other_family_gets_its_own_words() {
    let refusals: [fn() -> Answer; 5] = [
        || Answer::new(500, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#),
        || Answer::new(415, ""),
        || Answer::new(400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#),
        || Answer::new(500, ""),
        || Answer::new(500, r#"{"errors":[{"code":"UNKNOWN","message":"?"}]}"#),
    ];
    for refusal in refusals {
        let server = with_manifests(move |seen| {
            let is_oci = seen.header("content-type") == Some(MediaType::Manifest.as_str());
            (seen.method == "PUT" && is_oci).then(refusal)
        });
        let folder = BlobFolder::new();
        let image = image(&folder, "c1", &[b"base"]);
        let told = Told::default();
        let summary = push_tags(&server, &folder, &image, &["1"], &told).unwrap();
        let docker = ImageManifest::from_bytes(&image.manifest)
            .unwrap()
            .in_family(MediaFamily::Docker)
            .unwrap();
        let digest = Digest::of(&docker.to_bytes().unwrap());
        assert_eq!(summary.digest, digest);
        assert_eq!(summary.media_type, MediaType::DockerManifest);
        let told = told.0.into_inner().unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(&digest.to_string()), "{told:?}");
        // What is there already is known in either form.
        let again = push_tags(&server, &folder, &image, &["1"], &SilentReport).unwrap();
        assert_eq!((again.digest, again.requests), (digest, 1));
    }
}

#[test]
fn a_mixed_manifest_is_made_one_of_a_kind() {
    let server = with_manifests(|seen| {
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        let mixed = text.contains("vnd.docker") && text.contains("vnd.oci");
        (seen.method == "PUT" && mixed).then(|| Answer::new(415, ""))
    });
    let folder = BlobFolder::new();
    let mut image = image(&folder, "c1", &[b"base"]);
    let mut manifest = ImageManifest::from_bytes(&image.manifest).unwrap();
    manifest.layers[0] = manifest.layers[0].in_family(MediaFamily::Docker).unwrap();
    image.manifest = manifest.to_bytes().unwrap();
    let summary = push_tags(&server, &folder, &image, &["1"], &SilentReport).unwrap();
    assert_eq!(summary.media_type, MediaType::Manifest);
    assert_ne!(summary.digest, Digest::of(&image.manifest));
}

#[test]
fn a_registry_that_takes_neither_says_why() {
    let server = with_manifests(|seen| {
        (seen.method == "PUT").then(|| {
            Answer::new(
                400,
                r#"{"errors":[{"code":"MANIFEST_INVALID","message":"first"}]}"#,
            )
        })
    });
    let folder = BlobFolder::new();
    let image = image(&folder, "c1", &[b"base"]);
    let error = push_tags(&server, &folder, &image, &["1"], &SilentReport).unwrap_err();
    assert!(error.to_string().contains("first"), "{error}");
}

/// What registries say of a tag that must not change.
const IMMUTABLE: [(u16, &str, &str); 4] = [
    (
        400,
        "TAG_INVALID",
        "The image tag '1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.",
    ),
    (
        412,
        "PRECONDITION",
        "Failed to process request due to 'app:1' configured as immutable.",
    ),
    (409, "UNKNOWN", "tag is immutable and cannot be overwritten"),
    (
        403,
        "DENIED",
        "The requested tag already exists and cannot be overwritten.",
    ),
];

#[test]
fn an_immutable_tag_is_explained() {
    for (status, code, words) in IMMUTABLE {
        let other = Digest::of(b"other");
        let server = with_manifests(move |seen| match seen.method.as_str() {
            "PUT" => Some(Answer::new(
                status,
                format!(r#"{{"errors":[{{"code":"{code}","message":"{words}"}}]}}"#),
            )),
            "HEAD" => Some(Answer::new(200, "").with("docker-content-digest", other.to_string())),
            _ => None,
        });
        let folder = BlobFolder::new();
        let image = image(&folder, "c1", &[b"base"]);
        let error = push_tags(&server, &folder, &image, &["1"], &SilentReport).unwrap_err();
        let PushError::Immutable { name, found, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(name.ends_with("/app:1"), "{name}");
        assert_eq!(*found, Some(other));
        let explanation = error.explain();
        assert!(explanation.why.contains(words), "{explanation:?}");
        assert!(explanation.why.contains(&other.to_string()));
    }
}

#[test]
fn an_immutable_tag_of_this_very_image_is_fine() {
    let folder = BlobFolder::new();
    let image = image(&folder, "c1", &[b"base"]);
    let digest = Digest::of(&image.manifest);
    let server = with_manifests(move |seen| match seen.method.as_str() {
        "PUT" => Some(Answer::new(
            409,
            r#"{"errors":[{"code":"UNKNOWN","message":"tag is immutable"}]}"#,
        )),
        "HEAD" => Some(Answer::new(200, "").with("docker-content-digest", digest.to_string())),
        _ => None,
    });
    let summary = push_tags(&server, &folder, &image, &["1"], &SilentReport).unwrap();
    assert_eq!(summary.digest, digest);
}

#[test]
fn an_index_names_what_the_registry_has() {
    let folder = BlobFolder::new();
    let images = [
        image(&folder, "c1", &[b"base"]),
        image(&folder, "c2", &[b"base", b"2"]),
    ];
    let index = crate::oci::ImageIndex {
        manifests: images.iter().map(PushImage::descriptor).collect(),
        ..crate::oci::ImageIndex::default()
    };
    let bytes = index.to_bytes().unwrap();
    for takes_oci in [true, false] {
        let server = with_manifests(move |seen| {
            let kind = seen.header("content-type").unwrap_or_default();
            match seen.method.as_str() {
                "PUT" if !takes_oci && kind.contains("vnd.oci") => Some(Answer::new(415, "")),
                "PUT" if seen.target.ends_with("/1") => Some(Answer::new(201, "")),
                _ => None,
            }
        });
        let pushed = images
            .iter()
            .map(|image| {
                let digest = Digest::of(&image.manifest);
                let name = digest.to_string();
                let summary = push_tags(&server, &folder, image, &[&name], &SilentReport).unwrap();
                (digest, summary)
            })
            .collect();
        let client = Client::new(ClientSettings::default());
        let reference = format!("{}/app:1", server.host()).parse().unwrap();
        let registry = RegistryRepository::new(&client, &reference).unwrap();
        let tags = ["1".to_owned()];
        let digest = push_index(&bytes, &MediaType::Index, &pushed, &registry, &tags).unwrap();
        let put = server.seen().into_iter().next_back().unwrap();
        assert_eq!(digest, Digest::of(&put.body));
        assert_eq!(put.body == bytes, takes_oci);
        let stored = crate::oci::ImageIndex::from_bytes(&put.body).unwrap();
        for entry in &stored.manifests {
            let line = format!("PUT /v2/app/manifests/{}", entry.digest);
            assert!(server.lines().contains(&line));
        }
        let kind = put.header("content-type").unwrap();
        assert_eq!(stored.media_type.unwrap().as_str(), kind);
        assert_eq!(kind.contains("docker"), !takes_oci);
    }
}

#[test]
fn several_tags_go_at_once_where_the_registry_can() {
    let folder = BlobFolder::new();
    let image = image(&folder, "c1", &[b"base"]);
    let digest = Digest::of(&image.manifest);
    let puts = |server: &Server| {
        let lines = server.lines().into_iter();
        lines
            .filter(|line| line.starts_with("PUT /v2/app/manifests"))
            .collect::<Vec<_>>()
    };
    let server = with_manifests(|seen| {
        (seen.method == "PUT").then(|| {
            Answer::new(201, "")
                .with("OCI-Tag", "1")
                .with("OCI-Tag", "latest")
        })
    });
    push_tags(&server, &folder, &image, &["1", "latest"], &SilentReport).unwrap();
    assert_eq!(
        puts(&server),
        [format!("PUT /v2/app/manifests/{digest}?tag=1&tag=latest")]
    );
    // One that knows nothing of it gets one request a tag.
    let server = with_manifests(|seen| (seen.method == "PUT").then(|| Answer::new(201, "")));
    push_tags(&server, &folder, &image, &["1", "latest"], &SilentReport).unwrap();
    assert_eq!(
        puts(&server),
        [
            format!("PUT /v2/app/manifests/{digest}?tag=1&tag=latest"),
            "PUT /v2/app/manifests/1".to_owned(),
            "PUT /v2/app/manifests/latest".to_owned(),
        ]
    );
}

#[test]
fn what_was_asked_before_is_not_asked_again() {
    let (server, folder) = (Server::start(keeper()), BlobFolder::new());
    let image = image(&folder, "c1", &[b"base"]);
    push_to(&server, &folder, &image).unwrap();
    let before = server.lines().len();
    let client = Client::new(ClientSettings::default());
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let registry = RegistryRepository::new(&client, &reference).unwrap();
    let served = registry.get_manifest("1").unwrap().unwrap();
    let target = PushTarget {
        registry: &registry,
        tags: &["1".to_owned()],
        parallelism: 2,
        previous: PreviousTag::Known(Some(&served)),
    };
    let summary = push(&image, &folder, target, &SilentReport).unwrap();
    assert_eq!(summary.requests, 0);
    assert_eq!(server.lines().len(), before + 1);
}
