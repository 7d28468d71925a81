//! Where versions are that a mirror has no more: a second archive, or all archives as they were at one time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::release::days_since_1970;

/// The key `snapshot` of a builder file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Snapshot {
    /// Url of a snapshot of both archives (`{archive}` is `debian` or `debian-security`), asked for a `.deb` that the
    /// mirror no longer has.
    Url(String),
    /// The archives are read as they were then.
    Date(SnapshotDate),
}

/// A moment in UTC, as archives that keep all of their past name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotDate {
    /// The moment, in seconds since 1970.
    pub seconds: i64,
    year: u16,
    month: u8,
    day: u8,
    clock: [u8; 3],
}

/// It is neither an address nor a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no url, and no date as 2026-11-01 or 20261101T080000Z")]
pub(crate) struct NoSnapshot;

impl FromStr for SnapshotDate {
    type Err = NoSnapshot;

    /// `2026-11-01`, `20261101` or `20261101T080000Z`; a day is meant from its beginning.
    fn from_str(text: &str) -> Result<Self, NoSnapshot> {
        let (date, clock) = match text.split_once('T') {
            Some((date, clock)) => (date.to_owned(), clock.strip_suffix('Z').ok_or(NoSnapshot)?),
            None => (text.to_owned(), "000000"),
        };
        let date = match date.len() {
            10 => date.replacen('-', "", 2),
            _ => date,
        };
        let is_number = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(&date, 8) || !is_number(clock, 6) {
            return Err(NoSnapshot);
        }
        let year: u16 = date[..4].parse().map_err(|_| NoSnapshot)?;
        let two = |text: &str, at: usize| text[at..at + 2].parse::<u8>().map_err(|_| NoSnapshot);
        let (month, day) = (two(&date, 4)?, two(&date, 6)?);
        let clock = [two(clock, 0)?, two(clock, 2)?, two(clock, 4)?];
        let [hour, minute, second] = clock;
        let in_range = year >= 1993 && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !in_range || hour > 23 || minute > 59 || second > 60 {
            return Err(NoSnapshot);
        }
        let days = days_since_1970(year.into(), month.into(), day.into());
        let seconds =
            days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        Ok(Self {
            seconds,
            year,
            month,
            day,
            clock,
        })
    }
}

impl fmt::Display for SnapshotDate {
    /// `20261101T080000Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hour, minute, second] = self.clock;
        let Self {
            year, month, day, ..
        } = self;
        write!(
            f,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        )
    }
}

impl TryFrom<String> for Snapshot {
    type Error = NoSnapshot;

    fn try_from(text: String) -> Result<Self, NoSnapshot> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text));
        }
        text.parse().map(Self::Date)
    }
}

impl From<Snapshot> for String {
    fn from(snapshot: Snapshot) -> Self {
        match snapshot {
            Snapshot::Url(url) => url,
            Snapshot::Date(date) => date.to_string(),
        }
    }
}

impl Snapshot {
    /// The moment, if it is one.
    pub(crate) fn date(&self) -> Option<SnapshotDate> {
        match self {
            Self::Date(date) => Some(*date),
            Self::Url(_) => None,
        }
    }

    /// The url, if it is one.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Url(url) => Some(url),
            Self::Date(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_three_forms() {
        for (text, expected, seconds) in [
            ("2026-11-01", "20261101T000000Z", 1_793_491_200),
            ("20261101", "20261101T000000Z", 1_793_491_200),
            ("20261101T080001Z", "20261101T080001Z", 1_793_520_001),
        ] {
            let date: SnapshotDate = text.parse().unwrap();
            assert_eq!(
                (date.to_string().as_str(), date.seconds),
                (expected, seconds)
            );
        }
        for wrong in [
            "",
            "now",
            "2026-13-01",
            "2026-11-32",
            "2026-1-01",
            "20261101T08",
            "20261101T240000Z",
            "2026/11/01",
            "20261101T080000",
            "2026-11-01-",
            "19700101",
            "ä026-11-1",
            "+0261101",
        ] {
            assert_eq!(wrong.parse::<SnapshotDate>(), Err(NoSnapshot), "{wrong}");
        }
    }

    #[test]
    fn a_url_is_another_thing() {
        let snapshot = |text: &str| Snapshot::try_from(text.to_owned());
        assert_eq!(
            snapshot("http://a/{archive}/x").unwrap().url(),
            Some("http://a/{archive}/x")
        );
        assert!(snapshot("2026-11-01").unwrap().date().is_some());
        assert_eq!(snapshot("ftp://a"), Err(NoSnapshot));
    }
}
