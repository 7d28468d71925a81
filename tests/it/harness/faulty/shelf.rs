//! What the registry holds, and how it answers on its best day: a small, right registry in memory.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, "Endpoints". Where a client
//! does what the specification forbids, the answer may be lenient: the complaint is kept apart.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::faulty::rules::{Chunks, Kind, Mounts, Place, Quirks};
use crate::harness::faulty::wire::{Answer, Asked};
use crate::harness::layout::sha256;

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    /// Media type and bytes.
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub(super) tags: BTreeMap<String, String>,
}

pub(super) struct Session {
    pub(super) repository: String,
    pub(super) bytes: Vec<u8>,
    /// Every path and query that was given out for it, the newest last.
    pub(super) issued: Vec<String>,
    /// End of the first chunk.
    first_end: Option<usize>,
    patches: usize,
    /// Bytes that the client was told are stored, whatever became of them.
    pub(super) taken: usize,
    pub(super) last_chunk: Option<usize>,
    /// An answer was lost or a body cut, so the client cannot know where it stands.
    pub(super) shaken: bool,
}

#[derive(Default)]
pub(super) struct Shelf {
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) sessions: BTreeMap<u64, Session>,
    opened: u64,
}

/// A request and what its path says.
pub(super) struct Call<'a> {
    pub(super) asked: &'a Asked,
    pub(super) kind: Kind,
    pub(super) repository: String,
    /// Digest, tag, or number of an upload.
    pub(super) last: String,
}

/// Reads a path; `None` for one that is none of a registry's.
pub(super) fn call(asked: &Asked) -> Option<Call<'_>> {
    let of = |kind, repository: &str, last: &str| {
        Some(Call {
            asked,
            kind,
            repository: repository.to_owned(),
            last: last.to_owned(),
        })
    };
    let path = asked.path();
    let method = asked.method.as_str();
    match path {
        "/v2/" | "/v2" => return of(Kind::Ping, "", ""),
        "/token" => return of(Kind::Token, "", ""),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/storage/") {
        let (repository, digest) = rest.rsplit_once('/')?;
        return of(Kind::Storage, repository, digest);
    }
    let rest = path.strip_prefix("/v2/")?;
    if let Some((repository, last)) = rest.rsplit_once("/blobs/uploads/") {
        let kind = match (method, last) {
            ("POST", "") if asked.parameter("mount").is_some() => Kind::Mount,
            ("POST", "") if asked.parameter("digest").is_some() => Kind::Single,
            ("POST", "") => Kind::Start,
            ("PATCH", _) => Kind::Patch,
            ("PUT", _) => Kind::Put,
            ("GET", _) => Kind::Status,
            ("DELETE", _) => Kind::Cancel,
            _ => return None,
        };
        return of(kind, repository, last);
    }
    for (between, get, head, put) in [
        ("/blobs/", Kind::GetBlob, Kind::HeadBlob, Kind::Unknown),
        (
            "/manifests/",
            Kind::GetManifest,
            Kind::HeadManifest,
            Kind::PutManifest,
        ),
        ("/referrers/", Kind::Referrers, Kind::Unknown, Kind::Unknown),
        ("/tags/", Kind::Tags, Kind::Unknown, Kind::Unknown),
    ] {
        if let Some((repository, last)) = rest.rsplit_once(between) {
            let kind = match method {
                "GET" => get,
                "HEAD" => head,
                "PUT" => put,
                _ => Kind::Unknown,
            };
            return (kind != Kind::Unknown)
                .then(|| of(kind, repository, last))
                .flatten();
        }
    }
    None
}

/// Addresses of the two hosts, with scheme.
pub(super) struct Hosts {
    pub(super) here: String,
    pub(super) elsewhere: String,
}

impl Shelf {
    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    fn has(&self, repository: &str, digest: &str) -> bool {
        let found = self.repositories.get(repository);
        found.is_some_and(|repository| repository.blobs.contains_key(digest))
    }

    /// Does what is asked.
    pub(super) fn answer(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        match call.kind {
            Kind::Ping => Answer::of(200).with("docker-distribution-api-version", "registry/2.0"),
            Kind::HeadBlob | Kind::GetBlob | Kind::Storage => self.blob(call, quirks, hosts),
            Kind::Start => self.open(call, quirks, hosts),
            Kind::Single => self.single(call, quirks, hosts),
            Kind::Mount => self.mount(call, quirks, hosts),
            Kind::Patch => self.patch(call, quirks, hosts),
            Kind::Put => self.put(call, quirks),
            Kind::Status => self.status(call, quirks, hosts),
            Kind::Cancel => match self.sessions.remove(&number(call)) {
                Some(_) => Answer::of(204),
                None => Answer::error(404, "BLOB_UPLOAD_UNKNOWN"),
            },
            Kind::HeadManifest | Kind::GetManifest => self.manifest(call),
            Kind::PutManifest => self.put_manifest(call, quirks),
            Kind::Referrers | Kind::Tags | Kind::Token | Kind::Unknown => {
                Answer::error(404, "UNSUPPORTED")
            }
        }
    }

    fn blob(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        let (repository, digest) = (&call.repository, &call.last);
        let Some(bytes) = self.repository(repository).blobs.get(digest) else {
            return Answer::error(404, "BLOB_UNKNOWN");
        };
        if quirks.redirects && call.kind != Kind::Storage {
            let place = format!(
                "{}/storage/{repository}/{digest}?X-Signature=a%2Fb&X-Expires=900",
                hosts.elsewhere
            );
            return Answer::of(307).with("location", &place);
        }
        let found = Answer::of(200)
            .with("content-type", "application/octet-stream")
            .with("docker-content-digest", digest);
        let range = call.asked.header("range");
        let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        match from.and_then(|from| from.parse::<usize>().ok()) {
            Some(from) if from < bytes.len() => {
                let part = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer {
                    status: 206,
                    ..found
                }
                .with("content-range", &part)
                .body(&bytes[from..])
            }
            _ => found.body(bytes),
        }
    }

    /// A new upload's place, or a further one of the same upload.
    fn place(&mut self, id: u64, quirks: &Quirks, hosts: &Hosts) -> String {
        let session = self.sessions.get_mut(&id).unwrap();
        let version = session.issued.len();
        let query = if quirks.query {
            // What a careless client changes: percent signs, a second `=`, an empty value.
            format!("?_state=a%2Bb%2Fc.{version}==&x=&~n={version}")
        } else {
            String::new()
        };
        let path = format!("/v2/{}/blobs/uploads/{id}", session.repository);
        session.issued.push(format!("{path}{query}"));
        match quirks.place {
            Place::Absolute => format!("{}{path}{query}", hosts.here),
            Place::Relative => format!("{path}{query}"),
            Place::Sibling => format!("{id}{query}"),
            Place::Elsewhere => format!("{}{path}{query}", hosts.elsewhere),
        }
    }

    fn open(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        self.opened += 1;
        let id = self.opened;
        let session = Session {
            repository: call.repository.clone(),
            bytes: Vec::new(),
            issued: Vec::new(),
            first_end: None,
            patches: 0,
            taken: 0,
            last_chunk: None,
            shaken: false,
        };
        self.sessions.insert(id, session);
        let mut answer = Answer::of(202)
            .with("location", &self.place(id, quirks, hosts))
            .with("range", "0-0");
        if let Some(least) = quirks.least_chunk {
            answer = answer.with("oci-chunk-min-length", &least.to_string());
        }
        answer
    }

    fn single(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        let digest = call.asked.parameter("digest").unwrap_or_default();
        if !quirks.single {
            return self.open(call, quirks, hosts);
        }
        self.keep(&call.repository, &digest, call.asked.body.clone())
    }

    /// A finished blob.
    fn keep(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) -> Answer {
        if sha256(&bytes) != digest {
            return Answer::error(400, "DIGEST_INVALID");
        }
        self.repository(repository)
            .blobs
            .insert(digest.to_owned(), bytes);
        Answer::of(201)
            .with("location", &format!("/v2/{repository}/blobs/{digest}"))
            .with("docker-content-digest", digest)
    }

    fn mount(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        let digest = call.asked.parameter("mount").unwrap_or_default();
        let from = call.asked.parameter("from").unwrap_or_default();
        match &quirks.mounts {
            Mounts::Fine if self.has(&from, &digest) => {
                let bytes = self.repositories[&from].blobs[&digest].clone();
                self.keep(&call.repository, &digest, bytes)
            }
            Mounts::Fine | Mounts::Declined => self.open(call, quirks, hosts),
            Mounts::Answered(answer) => answer.clone(),
        }
    }

    fn patch(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        let id = number(call);
        let body = &call.asked.body;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        let from = content_range(call.asked).map(|(from, _)| from);
        let expected = session.bytes.len();
        match quirks.chunks {
            Chunks::Refused => return Answer::error(405, "UNSUPPORTED"),
            Chunks::OnlyOne if session.patches > 0 => {
                return Answer::error(400, "BLOB_UPLOAD_INVALID");
            }
            Chunks::LastOneStays => session.bytes.clear(),
            _ if from.is_some_and(|from| from != expected) => {
                let range = format!("0-{}", expected.saturating_sub(1));
                let place = self.place(id, quirks, hosts);
                return Answer::error(416, "BLOB_UPLOAD_INVALID")
                    .with("location", &place)
                    .with("range", &range);
            }
            _ => {}
        }
        session.bytes.extend(body);
        session.patches += 1;
        session.taken += body.len();
        session.last_chunk = Some(body.len());
        let end = session.bytes.len().saturating_sub(1);
        let first = *session.first_end.get_or_insert(end);
        let end = if quirks.chunks == Chunks::StuckRange {
            first
        } else {
            end
        };
        Answer::of(quirks.patch_status)
            .with("location", &self.place(id, quirks, hosts))
            .with("range", &format!("0-{end}"))
    }

    fn put(&mut self, call: &Call<'_>, quirks: &Quirks) -> Answer {
        let digest = call.asked.parameter("digest").unwrap_or_default();
        let Some(mut session) = self.sessions.remove(&number(call)) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        if !quirks.whole_put && !call.asked.body.is_empty() {
            return Answer::of(404).body(b"Not Found");
        }
        session.bytes.extend(&call.asked.body);
        let kept = self.keep(&call.repository, &digest, session.bytes);
        if kept.status == 201 {
            Answer {
                status: quirks.put_status,
                ..kept
            }
        } else {
            kept
        }
    }

    fn status(&mut self, call: &Call<'_>, quirks: &Quirks, hosts: &Hosts) -> Answer {
        let id = number(call);
        let Some(session) = self.sessions.get(&id) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        // Of nothing at all, as of one byte, the registry that most run says `0-0`.
        let end = match quirks.chunks {
            Chunks::StuckRange => session.first_end.unwrap_or(0),
            _ => session.bytes.len().saturating_sub(1),
        };
        Answer::of(204)
            .with("location", &self.place(id, quirks, hosts))
            .with("range", &format!("0-{end}"))
    }

    /// Keeps what came of a body that was cut.
    pub(super) fn cut(&mut self, call: &Call<'_>, keeps: bool) {
        if let Some(session) = self.sessions.get_mut(&number(call)) {
            session.shaken = true;
            if keeps && matches!(call.kind, Kind::Patch | Kind::Put) {
                session.bytes.extend(&call.asked.body);
                session.taken = session.bytes.len();
            }
        }
    }

    fn manifest(&mut self, call: &Call<'_>) -> Answer {
        let repository = self.repository(&call.repository);
        let digest = repository.tags.get(&call.last).unwrap_or(&call.last);
        match repository.manifests.get(digest) {
            Some((media_type, bytes)) => Answer::of(200)
                .with("content-type", media_type)
                .with("docker-content-digest", digest)
                .body(bytes),
            None => Answer::error(404, "MANIFEST_UNKNOWN"),
        }
    }

    fn put_manifest(&mut self, call: &Call<'_>, quirks: &Quirks) -> Answer {
        let bytes = &call.asked.body;
        let media_type = call.asked.header("content-type").unwrap_or_default();
        let refused = quirks.refuses.iter();
        if let Some((_, status)) = refused.clone().find(|(refused, _)| *refused == media_type) {
            return Answer::error(*status, "MANIFEST_INVALID");
        }
        let digest = sha256(bytes);
        let is_tag = !call.last.starts_with("sha256:");
        let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if !self.missing(&call.repository, &document).is_empty() {
            return Answer::error(400, "MANIFEST_BLOB_UNKNOWN");
        }
        let repository = self.repository(&call.repository);
        let before = repository.tags.get(&call.last);
        if is_tag && quirks.immutable && before.is_some_and(|before| *before != digest) {
            return Answer::error(400, "TAG_IMMUTABLE");
        }
        let kept = (media_type.to_owned(), bytes.clone());
        repository.manifests.insert(digest.clone(), kept);
        if is_tag {
            repository.tags.insert(call.last.clone(), digest.clone());
        }
        let mut answer = Answer::of(quirks.manifest_status);
        if quirks.many_tags {
            for (_, tag) in call.asked.query().iter().filter(|(name, _)| name == "tag") {
                repository.tags.insert(tag.clone(), digest.clone());
                answer = answer.and("oci-tag", tag);
            }
        }
        if quirks.manifest_headers {
            let place = format!("/v2/{}/manifests/{digest}", call.repository);
            answer = answer
                .with("location", &place)
                .with("docker-content-digest", &digest);
        }
        answer
    }

    /// Blobs and manifests that a manifest or index names and the repository lacks.
    pub(super) fn missing(&self, repository: &str, document: &Value) -> Vec<String> {
        let of = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let digest = |named: &Value| named["digest"].as_str().map(str::to_owned);
        let mut blobs = of("layers");
        blobs.push(document["config"].clone());
        let repository = self.repositories.get(repository);
        let has_blob =
            |digest: &String| repository.is_some_and(|found| found.blobs.contains_key(digest));
        let has_child =
            |digest: &String| repository.is_some_and(|found| found.manifests.contains_key(digest));
        let blobs = blobs.iter().filter_map(digest);
        let children = of("manifests");
        let children = children.iter().filter_map(digest);
        blobs
            .filter(|digest| !has_blob(digest))
            .chain(children.filter(|digest| !has_child(digest)))
            .collect()
    }
}

pub(super) fn number(call: &Call<'_>) -> u64 {
    call.last.parse().unwrap_or(0)
}

/// First and last byte of a `Content-Range`, which is the specification's own kind: no unit, no total.
pub(super) fn content_range(asked: &Asked) -> Option<(usize, usize)> {
    let (from, to) = asked.header("content-range")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
