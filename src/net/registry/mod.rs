//! The registry protocol (OCI distribution-spec), for one repository.
//!
//! Blobs go up by one POST and one PUT with their length; a failed upload starts again with a new POST,
//! because sessions are what registries lose. A 401 is answered whenever it comes, not only at the
//! first request. Mounts, chunks and credential helpers have their place here and are not written yet.

mod auth;
mod challenge;
mod error;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::net::credentials::Basic;
use crate::net::http::{
    Body, Client, Open, Reply, Request, Response, is_loopback, location, same_place,
};
use crate::net::{Secret, ShownUrl};
use crate::oci::{Digest, MediaType, Reference};
use auth::Asker;

pub(crate) use error::{Breach, RegistryError};

/// Registries take manifests of 4 MiB at least, and hardly one takes more.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// An upload gets this long whatever its size; servers may verify for a while before they answer.
const UPLOAD_BASE: Duration = Duration::from_mins(5);
/// And a second more for this many bytes; a line slower than that is no use for images.
const UPLOAD_BYTES_A_SECOND: u64 = 64 << 10;
/// Waits before further tries of a manifest whose blobs the registry does not see yet.
const UNKNOWN_BLOB_WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// A manifest as a registry serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedManifest {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// `Content-Type`, without parameters.
    pub media_type: MediaType,
    /// Digest of the bytes.
    pub digest: Digest,
}

/// One repository of one registry.
#[derive(Debug)]
pub(crate) struct Registry<'a> {
    client: &'a Client,
    base: Url,
    name: String,
    repository: String,
    authorization: Mutex<Option<Secret>>,
    requests: AtomicU64,
}

impl<'a> Registry<'a> {
    /// The repository that `reference` names. Registries on this machine are spoken to in plain http,
    /// all others in https. Sends nothing yet.
    pub(crate) fn new(client: &'a Client, reference: &Reference) -> Result<Self, RegistryError> {
        let name = reference.registry();
        // The one registry whose name is not its host.
        let host = if name == "docker.io" {
            "registry-1.docker.io"
        } else {
            name
        };
        let bad = || RegistryError::Protocol {
            url: ShownUrl::parse(name),
            what: Breach::Name,
        };
        let secure = Url::parse(&format!("https://{host}/v2/")).map_err(|_| bad())?;
        let base = match secure.host_str() {
            Some(bare) if is_loopback(bare) => {
                Url::parse(&format!("http://{host}/v2/")).map_err(|_| bad())?
            }
            Some(_) => secure,
            None => return Err(bad()),
        };
        Ok(Self {
            client,
            base,
            name: name.to_owned(),
            repository: reference.repository().to_owned(),
            authorization: Mutex::new(None),
            requests: AtomicU64::new(0),
        })
    }

    /// Requests sent to it and on its behalf so far, redirects, tokens and retries counted.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether the repository has the blob. Anything but a plain yes counts as no: an upload then
    /// settles it, and fails with a better reason if it must.
    pub(crate) fn head_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let asked = self
            .client
            .patiently(|| self.send(&Request::new(Method::HEAD, url.clone())));
        match asked {
            Ok(reply) => Ok(reply.status() == 200),
            Err(RegistryError::Http(error)) if error.status().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a blob. `open` opens it from its beginning, once a try; `sent` is kept at the number
    /// of bytes handed to the connection.
    pub(crate) fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        open: Open<'_>,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), RegistryError> {
        self.client
            .patiently(|| self.upload_once(digest, size, open, sent))
    }

    fn upload_once(
        &self,
        digest: &Digest,
        size: u64,
        open: Open<'_>,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), RegistryError> {
        let start =
            Request::new(Method::POST, self.url("blobs/uploads/")?).with_body(Body::Bytes(&[]));
        let session = self.send(&start)?;
        if session.status() != 202 {
            return Err(self.refused(session));
        }
        let mut target = location(&session, "location")?;
        session.drain();
        // Appended as text: what stands in the query is the registry's, and stays as it is.
        let query = match target.query() {
            Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
            _ => format!("digest={digest}"),
        };
        target.set_query(Some(&query));
        let mut put = Request::new(Method::PUT, target).with_body(Body::Stream {
            size,
            open,
            sent: Arc::clone(sent),
        });
        put.header("content-type", "application/octet-stream");
        put.time_limit = Some(UPLOAD_BASE + Duration::from_secs(size / UPLOAD_BYTES_A_SECOND));
        let done = self.send(&put)?;
        if !matches!(done.status(), 201 | 204) {
            return Err(self.refused(done));
        }
        done.drain();
        Ok(())
    }

    /// The manifest that a tag or digest names, if the repository has it. Bytes are checked against
    /// the digest asked for, or the one that the registry states.
    pub(crate) fn get_manifest(&self, name: &str) -> Result<Option<ServedManifest>, RegistryError> {
        let url = self.url(&format!("manifests/{name}"))?;
        let response = self.client.patiently(|| {
            let mut request = Request::new(Method::GET, url.clone());
            for accepted in [
                MediaType::Manifest,
                MediaType::Index,
                MediaType::DockerManifest,
                MediaType::DockerList,
            ] {
                request.header("accept", accepted.as_str());
            }
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
                url: ShownUrl::of(&url),
                expected,
                found,
            });
        }
        let media_type = media_type(&response);
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
        let mut request = Request::new(Method::PUT, url.clone()).with_body(Body::Bytes(bytes));
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
            match (self.client.patiently(once), waits.next()) {
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
            let (found, url) = (found.to_owned(), ShownUrl::of(&url));
            return Err(RegistryError::WrongDigest {
                url,
                expected: digest,
                found,
            });
        }
        reply.drain();
        Ok(())
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let whole = format!("{}/{path}", self.repository);
        self.base.join(&whole).map_err(|_| RegistryError::Protocol {
            url: ShownUrl::of(&self.base),
            what: Breach::Name,
        })
    }

    /// Sends a request with what authorization there is; a 401 is answered once, by a new token or
    /// by user and password, and the request sent again.
    fn send(&self, request: &Request<'_>) -> Result<Reply, RegistryError> {
        let held = self.held();
        let reply = self.send_as(request, held.as_ref())?;
        if reply.status() != 401 || !same_place(&self.base, reply.url()) {
            return Ok(reply);
        }
        let answer = self
            .asker()
            .answer(&reply.headers("www-authenticate"), &self.requests)?;
        let Some(answer) = answer.filter(|answer| held.as_ref() != Some(answer)) else {
            return Err(self.refused(reply));
        };
        reply.drain();
        *self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        self.send_as(request, Some(&answer))
    }

    fn send_as(
        &self,
        request: &Request<'_>,
        authorization: Option<&Secret>,
    ) -> Result<Reply, RegistryError> {
        // An upload's place may be another host, which gets nothing of ours.
        let here = same_place(&self.base, &request.url);
        let authorization = authorization.filter(|_| here).cloned();
        Ok(self
            .client
            .send_as(request, authorization, &self.requests)?)
    }

    fn held(&self) -> Option<Secret> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn credentials(&self) -> Option<Basic> {
        self.client
            .credentials()
            .for_registry(&self.name, &self.repository)
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            client: self.client,
            base: &self.base,
            scope: format!("repository:{}:pull,push", self.repository),
            credentials: self.credentials(),
        }
    }

    fn refused(&self, reply: Reply) -> RegistryError {
        let status = reply.status();
        if !matches!(status, 401 | 403) {
            return RegistryError::of(reply);
        }
        RegistryError::Denied {
            registry: self.name.clone(),
            repository: self.repository.clone(),
            status,
            had_credentials: self.credentials().is_some(),
            refusals: error::refusals(&reply.into_excerpt()),
        }
    }
}

/// The content type without parameters; what is missing counts as a manifest.
fn media_type(response: &Response) -> MediaType {
    let header = response
        .header("content-type")
        .unwrap_or(MediaType::Manifest.as_str());
    MediaType::from(header.split(';').next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests;
