//! The last moment at which a file may have been uploaded: pip's `--uploaded-prior-to`, uv's `exclude-newer`.
//!
//! Moments are compared as text: those of an index are of ISO 8601 in UTC (PEP 700), and so must be what is
//! asked for. Durations are refused: what goes in would change from day to day.

/// Length of `2006-12-02T02:07:43`.
const SECOND_BYTES: usize = 19;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadLimit {
    /// `2006-12-02T02:07:43`.
    text: String,
}

impl UploadLimit {
    /// Reads `2006-12-02T02:07:43Z`, or a date: uv takes in the day, pip does not. `None` for anything else.
    pub(crate) fn read(text: &str, takes_day: bool) -> Option<Self> {
        let text = text.trim();
        let at = |shape: &str, text: &str| {
            text.len() == shape.len()
                && text
                    .bytes()
                    .zip(shape.bytes())
                    .all(|(found, shape)| match shape {
                        b'0' => found.is_ascii_digit(),
                        shape => found.eq_ignore_ascii_case(&shape),
                    })
        };
        let is_date = at("0000-00-00", text);
        let text = if is_date && takes_day {
            format!("{text}T23:59:59")
        } else if is_date {
            format!("{text}T00:00:00")
        } else {
            let (moment, rest) = text.split_at_checked(SECOND_BYTES)?;
            let fraction = rest.strip_suffix(['Z', 'z'])?;
            let is_fraction = fraction.is_empty()
                || fraction.strip_prefix('.').is_some_and(|digits| {
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                });
            if !at("0000-00-00T00:00:00", moment) || !is_fraction {
                return None;
            }
            moment.to_ascii_uppercase()
        };
        Some(Self { text })
    }

    /// Whether a file of this time was there by then.
    pub(crate) fn allows(&self, uploaded: &str) -> bool {
        uploaded
            .get(..SECOND_BYTES)
            .is_some_and(|moment| moment <= self.text.as_str())
    }

    /// The earlier of two.
    pub(crate) fn earlier(self, other: Self) -> Self {
        if other.text < self.text { other } else { self }
    }
}

impl std::fmt::Display for UploadLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}Z", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_compared() {
        let limit = |text: &str, takes_day| UploadLimit::read(text, takes_day);
        let day = limit("2024-03-01", true).unwrap();
        assert!(day.allows("2024-03-01T12:00:00.5Z") && !day.allows("2024-03-02T00:00:00Z"));
        let before = limit("2024-03-01", false).unwrap();
        assert!(!before.allows("2024-03-01T12:00:00Z") && before.allows("2024-02-29T23:00:00Z"));
        let moment = limit("2024-03-01T10:00:00Z", true).unwrap();
        assert!(moment.allows("2024-03-01T10:00:00Z") && !moment.allows("2024-03-01T10:00:01Z"));
        assert_eq!(moment.to_string(), "2024-03-01T10:00:00Z");
        assert_eq!(day.earlier(before.clone()), before);
        for wrong in [
            "",
            "yesterday",
            "P7D",
            "1 week",
            "2024-03-01T10:00:00+02:00",
            "2024-3-1",
        ] {
            assert!(limit(wrong, true).is_none(), "{wrong}");
        }
    }
}
