//! What the distribution-spec expects of a client, asserted of each request.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, "Pushing". A complaint fails
//! the test when the registry goes, with the log of all requests.

use serde_json::Value;

use crate::harness::faulty::rules::{Kind, Quirks};
use crate::harness::faulty::shelf::{Call, Shelf, content_range, number};
use crate::harness::layout::sha256;

/// What is wrong with a request that came on the host `is_elsewhere` or not; looked at before it is done.
pub(super) fn complaints(
    call: &Call<'_>,
    shelf: &Shelf,
    quirks: &Quirks,
    is_elsewhere: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let asked = call.asked;
    let has_body = matches!(asked.method.as_str(), "POST" | "PUT" | "PATCH");
    must(
        !has_body || asked.length().is_some(),
        "a body's length is not told",
    );
    must(
        asked.header("transfer-encoding").is_none(),
        "a body comes in pieces without a length",
    );
    must(
        has_body || asked.length().unwrap_or(0) == 0,
        "a GET, HEAD or DELETE has a body",
    );
    must(asked.header("user-agent").is_some(), "nobody says who asks");
    must(
        !is_elsewhere || asked.header("authorization").is_none(),
        "another host gets credentials",
    );
    must(
        !asked.target.contains("origin="),
        "`origin` is not in the specification",
    );
    match call.kind {
        Kind::Mount => {
            let from = asked.parameter("from");
            must(
                from.is_some_and(|from| !from.is_empty()),
                "a mount without `from`",
            );
            must(asked.body.is_empty(), "a mount with a body");
        }
        Kind::Start => must(asked.body.is_empty(), "an upload begins with a body"),
        Kind::Single => {
            must(
                asked.parameter("digest").as_deref() == Some(&sha256(&asked.body)),
                "a POST's bytes have another digest",
            );
            must(!asked.body.is_empty(), "a blob of no bytes");
        }
        Kind::Patch | Kind::Put => wrong.extend(upload(call, shelf, quirks)),
        Kind::PutManifest => wrong.extend(manifest(call, shelf, quirks)),
        Kind::GetManifest | Kind::HeadManifest => {
            let accepted: Vec<&str> = asked
                .headers
                .iter()
                .filter(|(name, _)| name == "accept")
                .map(|(_, value)| value.as_str())
                .collect();
            let accepted = accepted.join(",");
            for kind in [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.index.v1+json",
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.distribution.manifest.list.v2+json",
            ] {
                must(
                    accepted.contains(kind),
                    &format!("a manifest is asked for and {kind} not accepted"),
                );
            }
        }
        Kind::Unknown => must(false, "the specification has no such request"),
        _ => {}
    }
    wrong
}

fn upload(call: &Call<'_>, shelf: &Shelf, quirks: &Quirks) -> Vec<String> {
    let mut wrong = Vec::new();
    let asked = call.asked;
    let mut target = asked.target.clone();
    if call.kind == Kind::Put {
        let digest = asked.parameter("digest").unwrap_or_default();
        let ends = [digest.clone(), digest.replace(':', "%3A")];
        let cut = ends.iter().find_map(|end| {
            let end = format!("digest={end}");
            target
                .strip_suffix(&format!("&{end}"))
                .or_else(|| target.strip_suffix(&format!("?{end}")))
        });
        match cut {
            Some(rest) if !digest.is_empty() => target = rest.to_owned(),
            _ => wrong.push("the digest is not at the end of Location's query".to_owned()),
        }
    }
    // Of an upload that is gone there is nothing to compare with.
    let Some(session) = shelf.sessions.get(&number(call)) else {
        return wrong;
    };
    let newest = session.issued.last() == Some(&target);
    let known = session.issued.contains(&target);
    if !known {
        let given = session.issued.last();
        wrong.push(format!(
            "{target} is not the Location that was given: {given:?}"
        ));
    } else if !newest && !session.shaken {
        wrong.push("an old Location".to_owned());
    }
    let offset = session.taken;
    let range = asked.header("content-range");
    let is_whole = call.kind == Kind::Put && offset == 0;
    if is_whole && range.is_some() && !session.shaken {
        wrong.push("a PUT of the whole blob has a Content-Range".to_owned());
    }
    if range.is_some() || (call.kind == Kind::Patch && offset > 0) {
        match content_range(asked) {
            None => wrong.push(format!("Content-Range {range:?} is not `from-to`")),
            Some((from, to)) => {
                if to + 1 - from != asked.body.len() {
                    wrong.push("Content-Range and Content-Length differ".to_owned());
                }
                if from != offset && !session.shaken {
                    wrong.push(format!("a chunk from {from}, where {offset} is next"));
                }
            }
        }
    }
    // Some storages lose them.
    if call.kind == Kind::Put && offset == 0 && asked.body.is_empty() && !session.shaken {
        wrong.push("a blob of no bytes".to_owned());
    }
    if !asked.body.is_empty() && asked.header("content-type") != Some("application/octet-stream") {
        wrong.push("a blob's bytes are not application/octet-stream".to_owned());
    }
    let least = quirks.least_chunk.unwrap_or(0);
    if call.kind == Kind::Patch && session.last_chunk.is_some_and(|last| (last as u64) < least) {
        wrong.push(format!(
            "a chunk of less than {least} bytes before the last"
        ));
    }
    wrong
}

fn manifest(call: &Call<'_>, shelf: &Shelf, quirks: &Quirks) -> Vec<String> {
    let mut wrong = Vec::new();
    let asked = call.asked;
    let document: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let kind = asked.header("content-type");
    if kind.is_none() || kind != document["mediaType"].as_str() {
        wrong.push(format!(
            "Content-Type {kind:?} is not the manifest's mediaType"
        ));
    }
    if call.last.starts_with("sha256:") && call.last != sha256(&asked.body) {
        wrong.push("a manifest is put under another digest".to_owned());
    }
    let missing = shelf.missing(&call.repository, &document);
    if !missing.is_empty() && !quirks.forgets {
        wrong.push(format!("a manifest comes before {missing:?}"));
    }
    wrong
}
