//! Pushes to a registry that keeps what it is given.

mod elsewhere;
mod names;

use std::path::PathBuf;

use super::*;
use crate::destination::testing::{BlobFolder, image};
use crate::net::http::{Client, ClientSettings};
use crate::net::testing::{Answer, Seen, Server};
use crate::report::SilentReport;

/// A registry that keeps what it is given.
fn registry() -> Server {
    Server::start(keeper())
}

/// A registry that has blobs already, in repositories.
fn keeper_with(blobs: &[(&str, &[u8])]) -> Server {
    let kept = blobs.iter().map(|(repository, bytes)| {
        let path = format!("/v2/{repository}/blobs/{}", Digest::of(bytes));
        (path, (String::new(), bytes.to_vec()))
    });
    Server::start(keeper_of(kept.collect()))
}

fn keeper() -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    keeper_of(BTreeMap::new())
}

/// Keeps bytes and their content type by path.
fn keeper_of(
    kept: BTreeMap<String, (String, Vec<u8>)>,
) -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    let kept = Mutex::new(kept);
    move |seen| {
        let mut kept = kept.lock().unwrap();
        let path = seen.target.split('?').next().unwrap().to_owned();
        let media_type = seen.header("content-type").unwrap_or_default().to_owned();
        match seen.method.as_str() {
            "POST" => Answer::new(202, "").with("location", "/up"),
            "PUT" if path == "/up" => {
                let digest = seen.target.split_once("digest=").unwrap().1;
                if digest != Digest::of(&seen.body).to_string() {
                    return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                let path = format!("/v2/app/blobs/{digest}");
                kept.insert(path, (media_type, seen.body.clone()));
                Answer::new(201, "")
            }
            "PUT" => {
                let manifest = ImageManifest::from_bytes(&seen.body).unwrap();
                let missing = manifest
                    .layers
                    .iter()
                    .chain([&manifest.config])
                    .any(|blob| !kept.contains_key(&format!("/v2/app/blobs/{}", blob.digest)));
                if missing {
                    return Answer::new(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#);
                }
                kept.insert(path, (media_type, seen.body.clone()));
                Answer::new(201, "")
            }
            "DELETE" => {
                kept.remove(&path);
                Answer::new(202, "")
            }
            _ => match kept.get(&path) {
                Some((media_type, bytes)) => {
                    Answer::new(200, bytes.clone()).with("content-type", media_type.as_str())
                }
                None => Answer::new(404, ""),
            },
        }
    }
}

fn push_to(
    server: &Server,
    folder: &BlobFolder,
    image: &PushImage,
) -> Result<PushSummary, PushError> {
    let client = Client::new(ClientSettings::default());
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let registry = RegistryRepository::new(&client, &reference).unwrap();
    let tags = ["1".to_owned()];
    push(
        image,
        folder,
        PushTarget {
            registry: &registry,
            tags: &tags,
            parallelism: 4,
            previous: PreviousTag::Ask,
        },
        &SilentReport,
    )
}

#[test]
fn sends_all_once_then_the_difference_then_nothing() {
    let (server, folder) = (registry(), BlobFolder::new());
    let first = image(&folder, "c1", &[b"base", b"source 1", b"base"]);
    let summary = push_to(&server, &folder, &first).unwrap();
    // Manifest, 2 questions, 3 uploads of 2, manifest; a layer that stands there twice counts once.
    assert_eq!((summary.requests, summary.sent_bytes), (10, 14));
    assert_eq!(summary.digest, Digest::of(&first.manifest));
    assert!(
        server
            .lines()
            .last()
            .unwrap()
            .starts_with("PUT /v2/app/manifests/1")
    );

    let second = image(&folder, "c2", &[b"base", b"source 2"]);
    let summary = push_to(&server, &folder, &second).unwrap();
    let statuses: Vec<_> = summary.blobs.iter().map(|blob| blob.status).collect();
    assert_eq!(
        statuses,
        [
            BlobStatus::AlreadyThere,
            BlobStatus::Pushed,
            BlobStatus::Pushed
        ]
    );
    assert_eq!((summary.requests, summary.sent_bytes), (7, 10));

    let summary = push_to(&server, &folder, &second).unwrap();
    assert_eq!((summary.requests, summary.sent_bytes), (1, 0));
    assert_eq!(summary.blobs.len(), 3);
}

#[test]
fn a_manifest_that_promises_too_much_is_not_believed_twice() {
    let (server, folder) = (registry(), BlobFolder::new());
    let first = image(&folder, "c1", &[b"base"]);
    push_to(&server, &folder, &first).unwrap();
    let client = Client::new(ClientSettings::default());
    let gone = format!("{}/v2/app/blobs/{}", server.base, Digest::of(b"base"));
    let request =
        crate::net::http::HttpRequest::new("DELETE".parse().unwrap(), gone.parse().unwrap());
    client.send_once(&request).unwrap();
    let summary = push_to(&server, &folder, &image(&folder, "c2", &[b"base"])).unwrap();
    assert_eq!(summary.blobs.len(), 2);
    assert_eq!(summary.blobs[0].status, BlobStatus::Pushed);
}

#[test]
fn a_missing_or_damaged_blob_is_named_and_nothing_names_it_there() {
    // One that is sent from memory, and one that is a stream.
    for content in [b"base".to_vec(), vec![7; 3 << 20]] {
        let (server, folder) = (registry(), BlobFolder::new());
        let image = image(&folder, "c1", &[&content]);
        let path = folder.path(&Digest::of(&content));
        let mut flipped = content.clone();
        flipped[2] ^= 1;
        for bytes in [Some(&flipped[..]), Some(&content[1..]), None] {
            std::fs::remove_file(&path).unwrap();
            if let Some(bytes) = bytes {
                std::fs::write(&path, bytes).unwrap();
            }
            let error = push_to(&server, &folder, &image).unwrap_err();
            match &error {
                PushError::Blob(crate::destination::BlobError::Damaged { path: told, .. })
                    if bytes.is_some() =>
                {
                    assert_eq!(*told, path);
                }
                PushError::Blob(crate::destination::BlobError::Unreadable {
                    path: told, ..
                }) if bytes.is_none() => assert_eq!(*told, path),
                error => panic!("{error:?}"),
            }
            let lines = server.lines();
            let mut named = lines.iter();
            assert!(!named.any(|line| line.contains("PUT /v2/app/manifests")));
            if bytes.is_none() {
                std::fs::write(&path, &content).unwrap();
            }
        }
        push_to(&server, &folder, &image).unwrap();
    }
}

#[test]
fn who_may_not_read_may_push() {
    let keep = keeper();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "GET" | "HEAD" => Answer::new(403, ""),
        _ => keep(seen),
    });
    let folder = BlobFolder::new();
    let image = image(&folder, "c1", &[b"base"]);
    assert_eq!(push_to(&server, &folder, &image).unwrap().blobs.len(), 2);
}
