//! The `Release` file of a suite: what it is called, how long it holds, and the digests of its
//! indexes. Format: the repository format page of the Debian wiki.

use std::{collections::BTreeMap, io::BufRead};

use super::control::{ControlError, ParagraphReader};
use crate::packages::Sha256;

/// What a suite says of itself. Nothing here is trusted before the signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SuiteRelease {
    /// Name of the state, for instance `stable`.
    pub suite: String,
    /// Name of the release, for instance `trixie`.
    pub codename: String,
    /// Until when it may be used, seconds since 1970; suites that change rarely set none.
    pub valid_until: Option<i64>,
    /// Whether indexes lie under `by-hash/` too.
    pub by_hash: bool,
    /// Digest and size in bytes of each index, by its path below the suite.
    pub indexes: BTreeMap<String, (Sha256, u64)>,
}

/// What is wrong with a `Release` file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// It is no control text.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It has no paragraph, or a field is not there.
    #[error("the suite's Release file has no field {field}")]
    Missing { field: &'static str },
    /// A field does not read as it must.
    #[error("the suite's Release file has a wrong {field}: `{value}`")]
    Wrong {
        field: &'static str,
        /// Its value, cut off if long.
        value: String,
    },
}

impl SuiteRelease {
    /// Reads the one paragraph of a `Release` file.
    pub(crate) fn read(input: impl BufRead) -> Result<Self, ReleaseError> {
        let mut reader = ParagraphReader::new(input);
        let paragraph = reader
            .next()?
            .ok_or(ReleaseError::Missing { field: "Codename" })?;
        let text =
            |field: &'static str| paragraph.get(field).ok_or(ReleaseError::Missing { field });
        let date =
            |field: &'static str, value: &str| parse_date(value).ok_or_else(|| wrong(field, value));
        let mut indexes = BTreeMap::new();
        for line in text("SHA256")?
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            let mut words = line.split_ascii_whitespace();
            let (Some(digest), Some(size), Some(path), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(wrong("SHA256", line));
            };
            let digest = digest.parse().map_err(|_| wrong("SHA256", line))?;
            let size = size.parse().map_err(|_| wrong("SHA256", line))?;
            indexes.insert(path.to_owned(), (digest, size));
        }
        Ok(Self {
            suite: paragraph.get("Suite").unwrap_or_default().to_owned(),
            codename: text("Codename")?.to_owned(),
            valid_until: paragraph
                .get("Valid-Until")
                .map(|value| date("Valid-Until", value))
                .transpose()?,
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            indexes,
        })
    }
}

fn wrong(field: &'static str, value: &str) -> ReleaseError {
    ReleaseError::Wrong {
        field,
        value: value.chars().take(120).collect(),
    }
}

/// Seconds since 1970 of `Sat, 12 Sep 2026 07:55:41 UTC`; only UTC (`GMT`, `Z`, `+0000`) is taken.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = rest.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == month_name)?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: i64 = clock.next()?.parse().ok()?;
    let zone = words.next()?;
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range || !["UTC", "GMT", "Z", "+0000"].contains(&zone) {
        return None;
    }
    let days = days_since_1970(year, i64::try_from(month).ok()? + 1, day);
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
pub(super) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days =
        march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year;
    days - 719_468
}

/// `2026-09-12 07:55:41 UTC`, for messages.
pub(crate) fn format_date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_release() {
        let digest = "0f".repeat(32);
        let text = format!(
            "Suite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\nSHA256:\n {digest}   12 main/x\n {digest} 0 main/y\n"
        );
        let release = SuiteRelease::read(text.as_bytes()).unwrap();
        assert_eq!(
            (release.suite.as_str(), release.codename.as_str()),
            ("stable", "trixie")
        );
        assert!(release.by_hash && release.valid_until.is_none());
        assert_eq!(release.indexes.len(), 2);
        assert_eq!(release.indexes["main/x"].1, 12);
    }

    #[test]
    fn dates() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", Some(0)),
            ("Tue, 29 Feb 2000 12:00:00 +0000", Some(951_825_600)),
            ("1 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            ("Sat, 12 Sep 2026 07:55:41 CET", None),
            ("Sat, 12 Sep 2026 27:55:41 UTC", None),
            ("Sat, 12 Foo 2026 07:55:41 UTC", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text), seconds, "{text}");
        }
        assert_eq!(format_date(951_825_600), "2000-02-29 12:00:00 UTC");
        assert_eq!(format_date(1_789_199_741), "2026-09-12 07:55:41 UTC");
        assert_eq!(format_date(-1), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn refuses_missing_and_wrong_fields() {
        let head = "Codename: t\nDate: Thu, 01 Jan 1970 00:00:00 UTC\n";
        for (text, field) in [
            (String::new(), "Codename"),
            ("Codename: t\n".to_owned(), "SHA256"),
            (format!("{head}SHA256:\n abc 1 x\n"), "SHA256"),
            (
                format!("{head}Valid-Until: tomorrow\nSHA256:\n"),
                "Valid-Until",
            ),
        ] {
            let error = SuiteRelease::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(Codename: t\n|Date: [A-Za-z0-9 :]{0,20}\n|SHA256:\n|[a-f0-9 \n:]{0,70}){0,6}") {
            let _ = SuiteRelease::read(text.as_bytes());
        }
    }
}
