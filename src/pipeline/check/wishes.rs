//! What is asked of an image that is checked: by the command line, else by the image's label, else as s2r has it.

use std::time::Duration;

use super::DEFAULT_MEMORY_BYTES;
use crate::oci::RunConfig;
use crate::plan::labels::check_label::{self, CHECK_LABEL};

/// How long an image may take to answer, if nobody says otherwise.
const DEFAULT_WITHIN: Duration = Duration::from_secs(10);

/// The longest path that is asked for.
const PATH_LIMIT: usize = 2000;

/// What somebody wants of a check; `None` leaves it to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckWishes {
    pub path: Option<String>,
    /// The status to answer with; otherwise any below 500 will do.
    pub status: Option<u16>,
    pub within: Option<Duration>,
    pub memory_bytes: Option<u64>,
}

/// All that is asked of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckRequest {
    pub path: String,
    pub status: Option<u16>,
    pub within: Duration,
    pub memory_bytes: u64,
}

impl CheckWishes {
    /// What an image's label says. A label that says something else says nothing.
    pub(super) fn of_image(config: &RunConfig) -> Self {
        let label = config.labels.get(CHECK_LABEL);
        let settings = check_label::read(label.map_or("", String::as_str));
        Self {
            path: settings.path.filter(|path| check_path(path).is_ok()),
            status: settings.status.filter(|status| is_status(*status)),
            within: settings.within,
            memory_bytes: settings.memory_bytes.filter(|bytes| *bytes > 0),
        }
    }

    /// These, and what they leave open as another has it.
    pub(super) fn over(&self, other: &Self) -> Self {
        Self {
            path: self.path.clone().or_else(|| other.path.clone()),
            status: self.status.or(other.status),
            within: self.within.or(other.within),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
        }
    }

    pub(super) fn settle(self) -> CheckRequest {
        CheckRequest {
            path: self.path.unwrap_or_else(|| "/".to_owned()),
            status: self.status,
            within: self.within.unwrap_or(DEFAULT_WITHIN),
            memory_bytes: self.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES),
        }
    }
}

impl CheckRequest {
    /// The time that an answer may take, for people.
    pub(super) fn shown_within(&self) -> String {
        match self.within.subsec_millis() {
            0 => format!("{} s", self.within.as_secs()),
            _ => format!("{} ms", self.within.as_millis()),
        }
    }

    /// Whether an answer with this status is what was asked for.
    pub(super) fn is_wanted(&self, status: u16) -> bool {
        match self.status {
            Some(wanted) => status == wanted,
            None => status < 500,
        }
    }

    /// Whether a server that gave this answer may give another soon: a gateway waits for what is behind it.
    pub(super) fn is_for_now(&self, status: u16) -> bool {
        matches!(status, 502..=504) && !self.is_wanted(status)
    }
}

/// Reads a path of a request, as it goes onto the wire (RFC 9112, origin form).
pub(crate) fn check_path(text: &str) -> Result<String, String> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if text.starts_with('/') && is_plain && text.len() <= PATH_LIMIT {
        Ok(text.to_owned())
    } else {
        Err(
            "a path begins with / and has neither blanks nor a fragment, for instance /healthz"
                .to_owned(),
        )
    }
}

/// Reads a status of an answer.
pub(crate) fn check_status(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|status| is_status(*status))
        .ok_or_else(|| "a status is a number from 100 to 599".to_owned())
}

fn is_status(status: u16) -> bool {
    (100..600).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_label(label: &str) -> CheckWishes {
        let mut config = RunConfig::default();
        config
            .labels
            .insert(CHECK_LABEL.to_owned(), label.to_owned());
        CheckWishes::of_image(&config)
    }

    #[test]
    fn what_is_typed_outranks_the_label_and_that_the_rest() {
        let label = of_label(
            r#"{"path": "/healthz", "status": 204, "within_milliseconds": 3000, "memory_bytes": 1073741824}"#,
        );
        let typed = CheckWishes {
            status: Some(200),
            ..CheckWishes::default()
        };
        let request = typed.over(&label).settle();
        assert_eq!(
            (request.path.as_str(), request.status),
            ("/healthz", Some(200))
        );
        assert_eq!(request.within, Duration::from_secs(3));
        assert_eq!(request.memory_bytes, 1 << 30);
        let request = CheckWishes::default().settle();
        assert_eq!((request.path.as_str(), request.status), ("/", None));
        assert_eq!(request.within, Duration::from_secs(10));
    }

    #[test]
    fn labels_of_others_are_held_to_the_same_rules() {
        let wishes = of_label(r#"{"path": "a b", "status": 7, "memory_bytes": 0}"#);
        assert_eq!(wishes, CheckWishes::default());
    }

    #[test]
    fn paths_and_statuses_are_held_to_the_wire() {
        for wrong in ["", "x", "/a b", "/a\r\nX: y", "/ü", "/#a"] {
            assert!(check_path(wrong).is_err(), "{wrong}");
        }
        assert_eq!(check_path("/a?b=%20c").unwrap(), "/a?b=%20c");
        for wrong in ["", "20", "600", "ok", "-1", "99"] {
            assert!(check_status(wrong).is_err(), "{wrong}");
        }
        assert_eq!(check_status("204"), Ok(204));
    }

    #[test]
    fn any_status_below_500_is_an_answer() {
        let request = CheckWishes::default().settle();
        assert!(
            [200, 302, 401, 404]
                .into_iter()
                .all(|status| request.is_wanted(status))
        );
        assert!(!request.is_wanted(500) && !request.is_for_now(500));
        assert!(request.is_for_now(503));
    }
}
