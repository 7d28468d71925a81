//! Manifests and tags (distribution-spec, "Pulling manifests" and "Pushing Manifests").

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::net::http::{HttpRequest, RequestBody, StreamedResponse};
use crate::net::registry::{RegistryError, RegistryRepository};
use crate::oci::{Digest, MediaType};

/// Registries take manifests of 4 MiB at least, and hardly one takes more.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// Waits before further tries of a manifest whose blobs the registry does not see yet.
const UNKNOWN_BLOB_WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// Noted for a host that sets no tags by a query.
const NO_TAGS_AT_ONCE: &str = "no tags at once";

/// A manifest as a registry serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedManifest {
    /// The bytes as they came, which the digest is of.
    pub bytes: Vec<u8>,
    /// `Content-Type`, without parameters.
    pub media_type: MediaType,
    /// Digest of the bytes.
    pub digest: Digest,
}

/// What a registry tells of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestHead {
    /// Its digest, as the registry states it.
    pub digest: Digest,
    /// `Content-Type`, without parameters.
    pub media_type: MediaType,
}

impl RegistryRepository<'_> {
    /// What a tag or digest names, if the repository has it, without its bytes: registries that count
    /// pulls count no HEAD. One that tells too little is asked for the manifest itself.
    pub(crate) fn head_manifest(&self, name: &str) -> Result<Option<ManifestHead>, RegistryError> {
        let request = self.manifest_request(Method::HEAD, name)?;
        let asked = self.patiently(|| self.send(&request));
        let reply = match asked {
            Ok(reply) => reply,
            // No reason comes with a HEAD; the GET has one.
            Err(RegistryError::Http(error)) if error.status().is_some() => {
                return self.head_by_get(name);
            }
            Err(error) => return Err(error),
        };
        let digest = reply.header("docker-content-digest");
        match (reply.status(), digest.and_then(|text| text.parse().ok())) {
            (200, Some(digest)) => {
                let media_type = media_type(reply.header("content-type"));
                Ok(Some(ManifestHead { digest, media_type }))
            }
            (404, _) => Ok(None),
            _ => self.head_by_get(name),
        }
    }

    fn head_by_get(&self, name: &str) -> Result<Option<ManifestHead>, RegistryError> {
        let served = self.get_manifest(name)?;
        Ok(served.map(|served| ManifestHead {
            digest: served.digest,
            media_type: served.media_type,
        }))
    }

    fn manifest_request(
        &self,
        method: Method,
        name: &str,
    ) -> Result<HttpRequest<'static>, RegistryError> {
        let mut request = HttpRequest::new(method, self.url(&format!("manifests/{name}"))?);
        for accepted in [
            MediaType::Manifest,
            MediaType::Index,
            MediaType::DockerManifest,
            MediaType::DockerList,
        ] {
            request.header("accept", accepted.as_str());
        }
        Ok(request)
    }

    /// The manifest that a tag or digest names, if the repository has it. Bytes are checked against
    /// the digest asked for, or the one that the registry states.
    pub(crate) fn get_manifest(&self, name: &str) -> Result<Option<ServedManifest>, RegistryError> {
        let request = self.manifest_request(Method::GET, name)?;
        let response = self.patiently(|| {
            let reply = self.send(&request)?;
            match reply.status() {
                200 => Ok(Some(reply.into_response(MAX_MANIFEST_BYTES)?)),
                404 => {
                    reply.drain();
                    Ok(None)
                }
                _ => Err(self.refused(reply)),
            }
        })?;
        let Some(response) = response else {
            return Ok(None);
        };
        let digest = Digest::of(&response.body);
        let stated = response
            .header("docker-content-digest")
            .filter(|text| text.starts_with("sha256:"));
        let expected = if name.starts_with("sha256:") {
            Some(name)
        } else {
            stated
        };
        if let Some(expected) = expected.filter(|expected| *expected != digest.to_string()) {
            let (expected, found) = (expected.to_owned(), digest.to_string());
            return Err(RegistryError::WrongDigest {
                url: request.shown(),
                expected,
                found,
            });
        }
        let media_type = media_type(response.header("content-type"));
        Ok(Some(ServedManifest {
            bytes: response.body,
            media_type,
            digest,
        }))
    }

    /// Stores a manifest under a tag or its digest. The bytes are sent as they are.
    pub(crate) fn put_manifest(
        &self,
        name: &str,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{name}"))?;
        self.put_at(url, media_type, bytes)?.drain();
        Ok(())
    }

    /// Stores a manifest under its digest and several tags in one request (distribution-spec, "Pushing
    /// Manifests", `tag` and `OCI-Tag`). Gives the tags that the registry says it has set: none by one
    /// that knows nothing of this, which is then not asked again in this run.
    pub(crate) fn put_tags(
        &self,
        digest: &Digest,
        tags: &[String],
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<BTreeSet<String>, RegistryError> {
        if self.host.note(NO_TAGS_AT_ONCE).is_some() {
            return Ok(BTreeSet::new());
        }
        let mut url = self.url(&format!("manifests/{digest}"))?;
        url.query_pairs_mut()
            .extend_pairs(tags.iter().map(|tag| ("tag", tag)));
        let reply = self.put_at(url, media_type, bytes);
        let set: BTreeSet<String> = match &reply {
            Ok(reply) => reply.headers("oci-tag").into_iter().collect(),
            Err(_) => BTreeSet::new(),
        };
        if set.is_empty() {
            self.host.set_note(NO_TAGS_AT_ONCE, 1);
        }
        reply?.drain();
        Ok(set)
    }

    fn put_at(
        &self,
        url: Url,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<StreamedResponse, RegistryError> {
        let mut request = HttpRequest::new(Method::PUT, url).with_body(RequestBody::Bytes(bytes));
        // No parameters: it must be the manifest's own `mediaType`, letter by letter.
        request.header("content-type", media_type.as_str());
        let once = || {
            let reply = self.send(&request)?;
            if matches!(reply.status(), 200..=202) {
                Ok(reply)
            } else {
                Err(self.refused(reply))
            }
        };
        let mut waits = UNKNOWN_BLOB_WAITS.iter();
        let reply = loop {
            match (self.patiently(once), waits.next()) {
                // A blob just sent may not be seen yet by the replica that checks the manifest.
                (Err(error), Some(wait)) if error.says("MANIFEST_BLOB_UNKNOWN") => {
                    thread::sleep(*wait);
                }
                (outcome, _) => break outcome?,
            }
        };
        let digest = Digest::of(bytes).to_string();
        let stated = reply
            .header("docker-content-digest")
            .filter(|text| text.starts_with("sha256:"));
        if let Some(found) = stated.filter(|stated| *stated != digest) {
            return Err(RegistryError::WrongDigest {
                url: request.shown(),
                expected: digest,
                found: found.to_owned(),
            });
        }
        Ok(reply)
    }
}

/// The content type without parameters; what is missing counts as a manifest.
fn media_type(header: Option<&str>) -> MediaType {
    let header = header.unwrap_or(MediaType::Manifest.as_str());
    MediaType::from(header.split(';').next().unwrap_or_default().trim())
}
