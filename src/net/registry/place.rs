//! Where an upload goes on: `Location`, `Range` and `OCI-Chunk-Min-Length` of a registry's answers.
//!
//! A `Location` may be absolute, relative, with a query that is the registry's own, and on another
//! host; that one gets no credentials, and is held to the rules of any redirect.

use crate::net::http::{HttpError, StreamedResponse, location};
use reqwest::Url;

/// The largest `OCI-Chunk-Min-Length` that is obeyed.
const MAX_LEAST_PIECE_BYTES: u64 = 1 << 30;

/// Where a session just begun goes on.
pub(super) fn upload_place(reply: &StreamedResponse) -> Result<UploadSession, HttpError> {
    let place = location(reply, "location")?;
    let least = reply
        .header("oci-chunk-min-length")
        .and_then(|text| text.trim().parse().ok())
        .filter(|least| *least <= MAX_LEAST_PIECE_BYTES);
    Ok(UploadSession {
        place,
        least_piece: least.unwrap_or(0),
    })
}

/// Where a session goes on after an answer; where it was, if the answer does not say.
pub(super) fn next_place(
    reply: &StreamedResponse,
    before: &UploadSession,
) -> Result<UploadSession, HttpError> {
    if reply.header("location").is_none_or(str::is_empty) {
        return Ok(before.clone());
    }
    let next = upload_place(reply)?;
    let least_piece = next.least_piece.max(before.least_piece);
    Ok(UploadSession {
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

/// An upload that a registry has begun.
#[derive(Debug, Clone)]
pub(crate) struct UploadSession {
    /// Where it goes on; it changes with each answer.
    pub(super) place: Url,
    /// `OCI-Chunk-Min-Length`: pieces but the last are at least that long.
    pub(super) least_piece: u64,
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
}
