//! What a value of the settings has to be like.

use super::error::WrongValue;
use std::time::Duration;

use super::Setting;
use crate::packages::debian::aptfile;
use crate::project::ProjectError;

/// Longest `check.within`.
const MAX_WITHIN: Duration = Duration::from_mins(10);

/// A line for a shell. Several lines are joined by the shell itself, but a note in the image holds one.
pub(super) fn command(text: &str) -> Result<String, WrongValue> {
    let text = text.trim();
    if text.is_empty() {
        return Err(WrongValue::new(
            "there is no command in it",
            "write one, or delete the line",
        ));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(WrongValue::new(
            "a command is one line",
            "join its lines with && or ;, fold them with >-, or put them into a script of the project",
        ));
    }
    Ok(text.to_owned())
}

/// A Debian package's name, with the rules of an `Aptfile`.
pub(super) fn package(name: &Setting<String>) -> Result<String, ProjectError> {
    let wrong = |fault| ProjectError::Aptfile {
        place: name.place.clone(),
        text: name.value.chars().take(80).collect(),
        fault,
    };
    match aptfile::parse(&name.value) {
        Ok(wanted) => match <[_; 1]>::try_from(wanted) {
            Ok([one]) => Ok(one.name),
            Err(_) => Err(wrong(aptfile::AptfileFault::Name)),
        },
        Err(error) => Err(wrong(error.fault)),
    }
}

pub(super) fn variable_name(text: &str) -> Result<String, WrongValue> {
    let is_name = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name {
        return Ok(text.to_owned());
    }
    Err(WrongValue::new(
        "the name of a variable has letters, digits and `_`, and no digit first",
        "correct the name",
    ))
}

pub(super) fn process_name(text: &str) -> Result<String, WrongValue> {
    let is_name = !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_name {
        return Ok(text.to_owned());
    }
    Err(WrongValue::new(
        "the name of a process has letters, digits, `_` and `-`",
        "correct the name",
    ))
}

/// A path in addresses under which static files are found: `/static`, a slash at its end taken off.
pub(super) fn url_path(text: &str) -> Result<String, WrongValue> {
    let path = text.trim_end_matches('/');
    let is_path = path.starts_with('/')
        && !path.split('/').any(|part| part == "." || part == "..")
        && !path.contains("//")
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/-._~".contains(c));
    if is_path {
        return Ok(path.to_owned());
    }
    Err(WrongValue::new(
        "it is the path in addresses: a slash, and letters, digits, `-`, `.`, `_` and `~`",
        "Write for instance /static: static",
    ))
}

/// A folder of the source.
pub(super) fn folder(text: &str) -> Result<String, WrongValue> {
    let path = text.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    let is_folder = !path.is_empty()
        && !path.starts_with('/')
        && !path.split('/').any(|part| part == ".." || part.is_empty())
        && !path.contains(['"', '\\', '$', '\n', '\r', '\0']);
    if is_folder {
        return Ok(path.to_owned());
    }
    Err(WrongValue::new(
        "It is a folder of the project, relative to its root.",
        "Write for instance /static: static",
    ))
}

/// What a request asks for: a path, perhaps with a query.
pub(super) fn request_path(text: &str) -> Result<String, WrongValue> {
    let is_path = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if is_path {
        return Ok(text.to_owned());
    }
    Err(WrongValue::new(
        "It begins with a slash, and holds no blanks.",
        "Write for instance /healthz",
    ))
}

pub(super) fn status(text: &str) -> Result<u16, WrongValue> {
    let number = text.parse::<u16>().ok();
    let status = number.filter(|status| (100..600).contains(status));
    status.ok_or_else(|| {
        WrongValue::new(
            "A status of HTTP is a number from 100 to 599.",
            "Write for instance 200",
        )
    })
}

/// `10s`, `500ms`, `2m`, or a number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, WrongValue> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit_ms = match &text[end..] {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let number = text[..end].parse::<u64>().ok();
    let duration = number
        .zip(unit_ms)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .map(Duration::from_millis)
        .filter(|duration| !duration.is_zero() && *duration <= MAX_WITHIN);
    duration.ok_or_else(|| {
        WrongValue::new(
            "It is a time of up to 10 minutes.",
            "Write for instance 10s, 500ms or 2m",
        )
    })
}

/// `512Mi`, `1G`: bytes, in units of 1024 however they are written.
pub(crate) fn size_in_bytes(text: &str) -> Option<u64> {
    let unit = text.trim_end_matches(['i', 'B', 'b']);
    let (digits, factor) = match unit.chars().last() {
        Some('k' | 'K') => (&unit[..unit.len() - 1], 1 << 10),
        Some('m' | 'M') => (&unit[..unit.len() - 1], 1 << 20),
        Some('g' | 'G') => (&unit[..unit.len() - 1], 1 << 30),
        _ => (unit, 1),
    };
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
}

/// What `--check-memory` takes.
pub(super) fn memory(text: &str) -> Result<u64, WrongValue> {
    size_in_bytes(text).ok_or_else(|| {
        WrongValue::new(
            "It is a number with K, M or G.",
            "Write for instance 512Mi or 1G",
        )
    })
}

/// A pattern of `.s2iignore`.
pub(super) fn pattern(text: &str) -> Result<String, WrongValue> {
    use crate::source::ignore::IgnorePatterns;
    let is_line = !text.trim().is_empty() && !text.contains(['\n', '\r']);
    if is_line && IgnorePatterns::parse(text.as_bytes()).bad_lines.is_empty() {
        return Ok(text.to_owned());
    }
    Err(WrongValue::new(
        "It is one pattern, as a line of .s2iignore has it.",
        "Close its `[`, and end it without `\\`; a folder is left out by its path, for instance notebooks/",
    ))
}
