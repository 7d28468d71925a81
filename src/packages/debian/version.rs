//! Package versions and their order. Grammar and order: deb-version(7).
//!
//! The crate debversion (0.5.5) is not used: it orders `1.0~` before `1.0~0`, which dpkg calls equal, takes `1-` and `2:`,
//! and brings fifteen crates.

use std::{cmp::Ordering, fmt, str::FromStr};

/// Longest version taken, in bytes.
const MAX_VERSION_BYTES: usize = 256;

/// `[epoch:]upstream[-revision]`, as it was written, ordered as dpkg orders.
///
/// Equality is that of the order: `1.0` equals `0:1.0-0`.
#[derive(Debug, Clone)]
pub(crate) struct DebianVersion {
    text: String,
    epoch: u32,
    upstream_start: usize,
    upstream_end: usize,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no Debian version")]
pub(crate) struct ParseVersionError {
    /// The text, cut off if long.
    pub text: String,
}

impl FromStr for DebianVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVersionError {
            text: text.chars().take(80).collect(),
        };
        if text.is_empty() || text.len() > MAX_VERSION_BYTES {
            return Err(error());
        }
        let (epoch, upstream_start) = match text.find(':') {
            Some(colon) => {
                let digits = text.get(..colon).unwrap_or_default();
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(error());
                }
                (digits.parse().map_err(|_| error())?, colon + 1)
            }
            None => (0, 0),
        };
        let upstream_end = match text.rfind('-') {
            Some(dash) if dash >= upstream_start => dash,
            Some(_) | None => text.len(),
        };
        let version = Self {
            text: text.to_owned(),
            epoch,
            upstream_start,
            upstream_end,
        };
        let upstream_good = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
        let revision_good = |byte: u8| byte.is_ascii_alphanumeric() || b".+~".contains(&byte);
        let has_revision = upstream_end < text.len();
        if version.upstream().is_empty()
            || !version.upstream().bytes().all(upstream_good)
            || !version.revision().bytes().all(revision_good)
            || (has_revision && version.revision().is_empty())
        {
            return Err(error());
        }
        Ok(version)
    }
}

impl DebianVersion {
    /// The part between epoch and revision.
    fn upstream(&self) -> &str {
        self.text
            .get(self.upstream_start..self.upstream_end)
            .unwrap_or_default()
    }

    /// The part after the last dash; empty if there is none.
    fn revision(&self) -> &str {
        self.text.get(self.upstream_end + 1..).unwrap_or_default()
    }
}

impl fmt::Display for DebianVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Ord for DebianVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream().as_bytes(), other.upstream().as_bytes()))
            .then_with(|| compare_part(self.revision().as_bytes(), other.revision().as_bytes()))
    }
}

impl PartialOrd for DebianVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebianVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebianVersion {}

/// dpkg's comparison: runs without digits by [`weight`], runs of digits by number, in turn.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = split_run(left, |byte| !byte.is_ascii_digit());
        let (right_text, right_rest) = split_run(right, |byte| !byte.is_ascii_digit());
        for at in 0..left_text.len().max(right_text.len()) {
            let order = weight(left_text.get(at)).cmp(&weight(right_text.get(at)));
            if order != Ordering::Equal {
                return order;
            }
        }
        let (left_digits, left_after) = split_run(left_rest, |byte| byte.is_ascii_digit());
        let (right_digits, right_after) = split_run(right_rest, |byte| byte.is_ascii_digit());
        let left_number = without_zeros(left_digits);
        let right_number = without_zeros(right_digits);
        let order = left_number
            .len()
            .cmp(&right_number.len())
            .then_with(|| left_number.cmp(right_number));
        if order != Ordering::Equal {
            return order;
        }
        left = left_after;
        right = right_after;
    }
    Ordering::Equal
}

/// Cuts off the longest prefix whose bytes all fit.
fn split_run(bytes: &[u8], fits: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| !fits(*byte))
        .unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// A number's digits without leading zeros: of two such, the longer is the larger.
fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> DebianVersion {
        text.parse().unwrap()
    }

    #[test]
    fn orders_as_dpkg() {
        let ascending = [
            "0~~",
            "0~",
            "0",
            "0+x",
            "1.0~rc1",
            "1.0~rc1-1",
            "1.0",
            "1.0-0+b1",
            "1.0-1~deb12u1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0a",
            "1.0+dfsg",
            "1.2",
            "1.10",
            "2.41-12",
            "2.41-12+deb13u2",
            "10",
            "1:0.1",
            "2:0",
        ];
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(
                    version(left).cmp(&version(right)),
                    at.cmp(&other),
                    "{left} and {right}"
                );
            }
        }
    }

    #[test]
    fn equal_versions_written_differently() {
        for (left, right) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.01", "1.1"),
            ("1", "1.0"),
        ] {
            let expected = right != "1.0" || left != "1";
            assert_eq!(version(left) == version(right), expected, "{left} {right}");
        }
        assert_eq!(version("1:2.3-4-5").to_string(), "1:2.3-4-5");
    }

    #[test]
    fn refuses_what_is_none() {
        let long = "1".repeat(300);
        for bad in [
            "",
            "a:1",
            ":1",
            "1:",
            "-1",
            "1-",
            "1 2",
            "1_2",
            "1-ü",
            "99999999999:1",
            &long,
        ] {
            assert!(bad.parse::<DebianVersion>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_is_antisymmetric(left in "[0-9a-z.+~:-]{0,12}", right in "[0-9a-z.+~:-]{0,12}") {
            if let (Ok(left), Ok(right)) = (left.parse::<DebianVersion>(), right.parse::<DebianVersion>()) {
                prop_assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
            }
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<DebianVersion>();
        }
    }
}
