//! What registries send, and files that say how to ask them.

use super::{file, section};
use crate::net::credentials::Credentials;
use crate::net::credentials::docker::DockerFile;
use crate::net::mirrors::{MirrorFiles, MirrorRules};
use crate::net::registry::challenge;
use crate::oci::{Digest, ImageConfig, ImageIndex, ImageManifest, MediaFamily, Reference};

/// Indexes, manifests and configs: what is written of one is read as the same.
pub fn oci(bytes: &[u8]) {
    if let Ok(index) = ImageIndex::from_bytes(bytes) {
        let again = ImageIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
        assert_eq!(again, index);
        for descriptor in &index.manifests {
            let _ = descriptor.known_platform();
        }
    }
    if let Ok(manifest) = ImageManifest::from_bytes(bytes) {
        let again = ImageManifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(again, manifest);
        for family in [MediaFamily::Oci, MediaFamily::Docker] {
            if let Some(one) = manifest.in_family(family) {
                assert_eq!(one.in_family(family).as_ref(), Some(&one));
                assert_eq!(one.layers.len(), manifest.layers.len());
            }
        }
    }
    if let Ok(config) = ImageConfig::from_bytes(bytes) {
        let again = ImageConfig::from_bytes(&config.to_bytes().unwrap()).unwrap();
        assert_eq!(again, config);
    }
}

/// Names of images: the full name means the same image, and so does the one that is shown.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    for other in [reference.canonical(), reference.to_string()] {
        let again: Reference = other.parse().unwrap();
        assert!(again.is_beside(&reference), "{text}: {other}");
        assert_eq!(again.tag_or_latest(), reference.tag_or_latest());
    }
    let pinned = reference.at(Digest::of(b""));
    assert_eq!(
        pinned.to_string().parse::<Reference>().unwrap().digest(),
        pinned.digest()
    );
}

/// `registries.conf`: where it leads to is a name that can be asked for.
pub fn registries_conf(bytes: &[u8]) {
    let file = file(bytes);
    let mirrors = MirrorRules::new(MirrorFiles {
        named: Some(file.path().to_owned()),
        ..MirrorFiles::default()
    });
    for name in [
        "python:3.13-slim",
        "registry.example.com:5000/team/app:1",
        "quay.io/a/b/c",
    ] {
        let reference: Reference = name.parse().unwrap();
        let Ok(route) = mirrors.route(&reference) else {
            return;
        };
        let places = route.mirrors.into_iter().map(|(place, _)| place);
        for place in places.chain(route.itself.ok()) {
            assert!(place.canonical().parse::<Reference>().is_ok());
            assert_eq!(place.tag_or_latest(), reference.tag_or_latest());
        }
        let _ = mirrors.is_insecure(reference.registry());
    }
    let _ = mirrors.take_warnings();
}

/// netrc, and in the section `auth` a file of docker's logins.
pub fn logins(bytes: &[u8]) {
    let mut credentials = Credentials::default();
    let text = section(bytes, "").unwrap_or_default();
    if let Err(error) = credentials.add_netrc(&text) {
        assert!(error.to_string().len() < 500);
    }
    let _ = credentials.for_host("h.example.com");
    let text = section(bytes, "auth").unwrap_or_default();
    if let Ok(file) = DockerFile::parse(&text) {
        for registry in ["docker.io", "h.example.com", "h.example.com:5000"] {
            let _ = file.lookup(registry, "team/app");
        }
    }
}

/// `WWW-Authenticate`.
pub fn challenge(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for challenge in challenge::parse(&text) {
        assert!(!challenge.scheme.is_empty());
        let _ = challenge.is_insufficient();
    }
}
