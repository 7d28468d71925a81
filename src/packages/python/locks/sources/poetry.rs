//! `[[tool.poetry.source]]`

use toml::Table;

use super::{named, sections};
use crate::packages::python::PUBLIC_INDEX;
use crate::packages::python::conditions::NamedIndex;
use crate::packages::python::locks::LockFileError;

/// The indexes of Poetry. Where one of them is primary, the public one is asked no more, unless it is
/// named among them.
pub(in super::super) fn of_poetry(poetry: &Table) -> Result<Vec<NamedIndex>, LockFileError> {
    let mut found = Vec::new();
    let mut has_primary = false;
    let known = [
        "name",
        "url",
        "priority",
        "default",
        "secondary",
        "links",
        "indexed",
    ];
    for section in sections(poetry, "source", "[[tool.poetry.source]]", &known)? {
        let name = section.name;
        let is_public = name.eq_ignore_ascii_case("pypi");
        let url = match section.url() {
            Err(_) if is_public => PUBLIC_INDEX,
            url => url?,
        };
        let of_flags = if section.is("secondary") {
            "supplemental"
        } else {
            "primary"
        };
        let (rank, is_explicit) = match section.text("priority").unwrap_or(of_flags) {
            "default" | "primary" => (0, false),
            "secondary" | "supplemental" => (1, false),
            "explicit" => (2, true),
            other => {
                return Err(section.refused(format!("s2r does not know the priority `{other}`")));
            }
        };
        has_primary |= rank == 0;
        found.push(NamedIndex {
            rank,
            is_explicit,
            ..named(name, url, "POETRY_HTTP_BASIC")
        });
    }
    if !found.is_empty() && !has_primary {
        found.insert(0, named("PyPI", PUBLIC_INDEX, "POETRY_HTTP_BASIC"));
    }
    Ok(found)
}
