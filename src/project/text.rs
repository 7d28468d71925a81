//! The text of a file, and where in it something stands.

use super::SourcePlace;
use super::error::ProjectError;

/// Text of a file, a byte order mark taken off.
pub(super) fn text_of(path: &str, bytes: &[u8]) -> Result<String, ProjectError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| ProjectError::NotText {
            place: SourcePlace::line(path, line_at(bytes, error.valid_up_to())),
        })
}

/// The line, from 1, that a byte is in.
pub(super) fn line_at(bytes: &[u8], at: usize) -> u32 {
    let before = &bytes[..at.min(bytes.len())];
    let newlines = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}
