//! What uv's messages mean: whose fault it is, and which line of which file it is about.

use std::collections::BTreeSet;
use std::path::Path;

use super::run::Compile;
use crate::packages::python::{DirectUrl, PackageName, Position, Wish};
use crate::resolve::wheels::error::{NoWheel, ResolveError};

/// Most of a message that is shown, in bytes: long ones list hundreds of versions.
const MAX_SHOWN_BYTES: usize = 4000;

/// The line that uv gets for a wish: names, extras, versions and markers as they are, wheels of the
/// source by their copy in the private folder, addresses with their credentials.
pub(super) fn line_for_uv(wish: &Wish, folder: &Path) -> String {
    let Some(named) = wish.named() else {
        return String::new();
    };
    let address = match wish.address() {
        None => return named.to_string(),
        Some(DirectUrl::Archive(url) | DirectUrl::Repository(url)) => {
            url.reveal().reveal().to_owned()
        }
        Some(DirectUrl::Path(path)) => {
            format!(
                "file://{}/{}",
                folder.display(),
                path.rsplit('/').next().unwrap_or_default()
            )
        }
    };
    let mut bare = named.clone();
    bare.clear_url();
    let bare = bare.to_string();
    let (head, marker) = bare
        .split_once(" ; ")
        .map_or((bare.as_str(), None), |(head, marker)| (head, Some(marker)));
    marker.map_or_else(
        || format!("{head} @ {address}"),
        |marker| format!("{head} @ {address} ; {marker}"),
    )
}

/// Turns uv's message into an error.
pub(super) fn judge(message: &str, task: &Compile<'_>) -> ResolveError {
    let text = shorten(message);
    let has = |part: &str| message.contains(part);
    if has("network was disabled") || has("network connectivity is disabled") {
        return ResolveError::Offline {
            what: "what the requirements need".to_owned(),
        };
    }
    let refused = has("401 Unauthorized") || has("403 Forbidden") || has("authentication");
    let unreachable = [
        "Failed to fetch",
        "error sending request",
        "Request failed",
        "Could not connect",
        "invalid peer certificate",
    ];
    let no_solution = has("No solution found");
    if refused || (!no_solution && unreachable.iter().any(|part| has(part))) {
        return ResolveError::Unreachable {
            indexes: task.indexes.all().map(ToString::to_string).collect(),
            reason: text,
        };
    }
    if !no_solution && !has("requirements are unsatisfiable") {
        return ResolveError::Uv { text };
    }
    let places = positions(message, task.wishes, task.constraints);
    match without_wheels(message) {
        Some((name, version)) => ResolveError::NoWheel(Box::new(NoWheel {
            name,
            version,
            target: *task.target,
            places,
            reason: text,
            has_sdist: false,
            must_be_wheel: false,
            offered: Vec::new(),
        })),
        None => ResolveError::Unsatisfiable {
            places,
            reason: text,
        },
    }
}

/// Lines that tell a user of s2r nothing: headings, and options that s2r has set itself.
const NOISE: [&str; 3] = [
    "No solution found when",
    "hint: Wheels are required for",
    "warning:",
];

/// uv's cause and hints without its headings.
fn shorten(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches("error: ")
                .trim_start_matches("cause: ")
        })
        .filter(|line| !NOISE.iter().any(|start| line.starts_with(start)) && !line.is_empty())
        .collect();
    let mut text = lines.join("\n");
    if text.len() > MAX_SHOWN_BYTES {
        let end = (0..=MAX_SHOWN_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push_str(" …");
    }
    text
}

/// The words of a message that may be names, without versions and punctuation.
fn words(message: &str) -> impl Iterator<Item = (&str, &str)> {
    message.split_whitespace().map(|word| {
        let word =
            word.trim_matches(|c: char| matches!(c, '`' | ',' | '.' | ':' | ';' | '(' | ')' | '"'));
        let end = word
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(word.len());
        word.split_at(end)
    })
}

/// The requirements that a message talks about, in the order of the files.
fn positions(message: &str, wishes: &[&Wish], constraints: &[&Wish]) -> Vec<Position> {
    let named: BTreeSet<PackageName> = words(message)
        .filter_map(|(word, _)| word.parse().ok())
        .collect();
    let mut places: Vec<Position> = Vec::new();
    for wish in wishes.iter().chain(constraints) {
        let is_meant = wish.name().is_some_and(|name| named.contains(name));
        if is_meant && !places.contains(&wish.position) {
            places.push(wish.position.clone());
        }
    }
    places
}

/// The project, and version if one is named, of which uv found no wheel: `all versions of x have
/// no usable wheels`, `x==1.0 has no wheels with a matching …`. A conflict that merely mentions
/// wheels of some versions is not meant, so the phrase must be the message's first.
fn without_wheels(message: &str) -> Option<(PackageName, Option<String>)> {
    let all: Vec<(&str, &str)> = words(message).collect();
    let is = |at: usize, text: &str| {
        all.get(at)
            .is_some_and(|(word, rest)| *word == text && rest.is_empty())
    };
    let start = (0..all.len()).find(|at| is(*at, "Because"))?;
    let verb = (start..all.len()).find(|at| {
        (is(*at, "have") || is(*at, "has"))
            && is(at + 1, "no")
            && (is(at + 2, "usable") || is(at + 2, "wheels"))
    })?;
    if (start..verb).any(|at| is(at, "depends") || is(at, "depend")) {
        return None;
    }
    let (name, rest) = all.get(verb.checked_sub(1)?)?;
    let version = rest.strip_prefix("==").map(ToOwned::to_owned);
    name.parse().ok().map(|name| (name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(message: &str) -> Option<(String, Option<String>)> {
        without_wheels(message).map(|(name, version)| (name.to_string(), version))
    }

    #[test]
    fn knows_messages_about_wheels() {
        assert_eq!(
            found(
                "error: No solution found when resolving dependencies\n  cause: Because all versions of uwsgi have no usable wheels and you require uwsgi, we can"
            ),
            Some(("uwsgi".into(), None))
        );
        assert_eq!(
            found(
                "cause: Because tensorflow==2.10.0 has no wheels with a matching Python ABI tag (e.g., `cp313`) and you require tensorflow==2.10, we can"
            ),
            Some(("tensorflow".into(), Some("2.10.0".into())))
        );
        assert_eq!(
            found(
                "Because flask==3.0.0 depends on werkzeug>=3.0.0 and you require werkzeug<2, we can"
            ),
            None
        );
        assert_eq!(found(""), None);
    }

    #[test]
    fn long_messages_are_cut() {
        assert!(shorten(&"ä".repeat(9000)).len() < MAX_SHOWN_BYTES + 10);
        assert_eq!(
            shorten("error: No solution found when resolving\n  cause: Because x\n\nhint: y"),
            "Because x\nhint: y"
        );
    }
}
