//! Servers that a requirement brings along without naming them: by the extras that are asked for, or
//! because the framework serves itself by one. What their own metadata say, written down, so that a
//! decision needs no index.

/// Requirement, the extras of which one has to be asked for (none: it always does), server.
const BROUGHT: [(&str, &[&str], &str); 9] = [
    (
        "fastapi",
        &["standard", "standard-no-fastapi-cloud-cli", "all"],
        "uvicorn",
    ),
    ("litestar", &["standard", "full"], "uvicorn"),
    ("connexion", &["uvicorn"], "uvicorn"),
    ("channels", &["daphne"], "daphne"),
    ("quart", &[], "hypercorn"),
    ("python-fasthtml", &[], "uvicorn"),
    ("nicegui", &[], "uvicorn"),
    ("mcp", &[], "uvicorn"),
    ("uvicorn-worker", &[], "gunicorn"),
];

/// The servers that come with a package, by its normalised name, and these of its extras.
pub(crate) fn brought_by<'a>(
    name: &'a str,
    extras: impl Iterator<Item = &'a str> + Clone + 'a,
) -> impl Iterator<Item = &'static str> + 'a {
    let has = move |wanted: &[&str]| {
        let mut extras = extras.clone();
        wanted.is_empty() || extras.any(|extra| wanted.contains(&extra.trim()))
    };
    BROUGHT
        .iter()
        .filter(move |(package, wanted, _)| *package == name && has(wanted))
        .map(|(_, _, server)| *server)
}

/// The extras in brackets behind the name of a requirement.
pub(crate) fn extras_of(requirement: &str) -> impl Iterator<Item = &str> + Clone {
    let (before, rest) = requirement.split_once('[').unwrap_or(("", ""));
    let is_behind_name = before
        .trim()
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let inside = rest.split_once(']').map_or("", |(inside, _)| inside);
    let inside = if is_behind_name { inside } else { "" };
    inside
        .split(',')
        .map(str::trim)
        .filter(|extra| !extra.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extras_bring_servers() {
        for (requirement, name, expected) in [
            ("fastapi[standard]>=0.110", "fastapi", Some("uvicorn")),
            ("fastapi [ all , x ]", "fastapi", Some("uvicorn")),
            ("fastapi", "fastapi", None),
            ("fastapi @ https://x/[standard]", "fastapi", None),
            ("quart", "quart", Some("hypercorn")),
            ("channels[daphne]", "channels", Some("daphne")),
            ("channels[redis", "channels", None),
        ] {
            let found = brought_by(name, extras_of(requirement)).next();
            assert_eq!(found, expected, "{requirement}");
        }
    }
}
