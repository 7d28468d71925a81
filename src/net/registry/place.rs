//! Where an upload goes on: `Location`, `Range` and `OCI-Chunk-Min-Length` of a registry's answers.
//!
//! A `Location` may be absolute, relative, with a query that is the registry's own, and on another
//! host; that one gets no credentials, and must not be an address inside a private network unless the
//! registry is there itself: a registry could otherwise have us send bytes to a neighbour of ours.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use crate::net::ShownUrl;
use crate::net::http::{HttpError, Refusal, Reply, is_loopback, location};
use crate::net::registry::upload::Session;

/// The largest `OCI-Chunk-Min-Length` that is obeyed.
const MAX_LEAST_PIECE_BYTES: u64 = 1 << 30;

/// Where a session just begun goes on.
pub(super) fn upload_place(reply: &Reply) -> Result<Session, HttpError> {
    let place = location(reply, "location")?;
    if leads_inside(reply.url(), &place) {
        return Err(HttpError::Redirect {
            url: reply.shown(),
            to: ShownUrl::of(&place),
            refusal: Refusal::Inward,
        });
    }
    let least = reply
        .header("oci-chunk-min-length")
        .and_then(|text| text.trim().parse().ok())
        .filter(|least| *least <= MAX_LEAST_PIECE_BYTES);
    Ok(Session {
        place,
        least_piece: least.unwrap_or(0),
    })
}

/// Where a session goes on after an answer; where it was, if the answer does not say.
pub(super) fn next_place(reply: &Reply, before: &Session) -> Result<Session, HttpError> {
    if reply.header("location").is_none_or(str::is_empty) {
        return Ok(before.clone());
    }
    let next = upload_place(reply)?;
    let least_piece = next.least_piece.max(before.least_piece);
    Ok(Session {
        least_piece,
        ..next
    })
}

/// How many bytes a session has, by its `Range: 0-N`. The field's registry says `0-0` for nothing.
pub(super) fn offset_of(range: &str) -> Option<u64> {
    let range = range.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let (start, last) = range.split_once('-')?;
    match (start.parse().ok()?, last.parse::<u64>().ok()?) {
        (0u64, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

fn leads_inside(from: &Url, to: &Url) -> bool {
    from.host_str() != to.host_str() && is_inside(to, false) && !is_inside(from, true)
}

/// Whether a URL names a place that is not on the public network. A name may be one, if it looks so;
/// only addresses are refused, because a name's owner has chosen where it leads.
fn is_inside(url: &Url, by_name: bool) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_private(v4),
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(v4),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
        Err(_) => is_loopback(host) || (by_name && is_inner_name(bare)),
    }
}

fn is_private(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_unspecified()
        // Shared by a provider's customers (RFC 6598).
        || (first == 100 && second & 0xC0 == 64)
}

/// Names that no public server has (RFC 6762, RFC 8375, and what clusters and offices use).
fn is_inner_name(name: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        "local", "internal", "lan", "home", "corp", "intranet", "svc", "test",
    ];
    let name = name.trim_end_matches('.');
    name.rsplit_once('.')
        .is_none_or(|(_, ending)| ENDINGS.contains(&ending))
        || name.ends_with(".home.arpa")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_far_an_upload_is() {
        for (range, expected) in [
            ("0-0", Some(0)),
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            (" 0-1048575 ", Some(1 << 20)),
            ("5-9", None),
            ("0-18446744073709551615", None),
            ("", None),
            ("0", None),
            ("0--1", None),
        ] {
            assert_eq!(offset_of(range), expected, "{range}");
        }
    }

    #[test]
    fn a_public_registry_does_not_lead_inside() {
        for (from, to, inside) in [
            (
                "https://registry.example.com",
                "https://s3.example.com/x",
                false,
            ),
            ("https://registry.example.com", "https://10.0.0.1/x", true),
            ("https://registry.example.com", "https://[fd00::1]/x", true),
            (
                "https://registry.example.com",
                "https://[::ffff:192.168.0.1]/x",
                true,
            ),
            ("https://registry.example.com", "https://100.64.0.1/x", true),
            (
                "https://registry.example.com",
                "https://203.0.113.5/x",
                false,
            ),
            ("https://10.0.0.1", "https://10.0.0.2/x", false),
            ("https://registry", "https://10.0.0.2/x", false),
            (
                "https://image-registry.openshift-image-registry.svc:5000",
                "https://10.0.0.2/x",
                false,
            ),
            ("http://127.0.0.1:5000", "http://localhost:9000/x", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:9000/x", false),
        ] {
            let url = |text: &str| Url::parse(text).unwrap();
            assert_eq!(leads_inside(&url(from), &url(to)), inside, "{from} {to}");
        }
    }
}
