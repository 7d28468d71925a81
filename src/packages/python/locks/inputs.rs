//! What of a `pyproject.toml` decides which packages go in, in one form: the rest of the file may
//! change without a lock becoming another.

use toml::{Table, Value};

use super::table_in;

/// Keys of tables that say what is wanted and where it comes from; no key means all of a table.
const DECISIVE: [(&[&str], &[&str]); 5] = [
    (
        &["project"],
        &[
            "name",
            "dependencies",
            "optional-dependencies",
            "requires-python",
            "dynamic",
        ],
    ),
    (&["dependency-groups"], &[]),
    (&["tool", "uv"], &[]),
    (
        &["tool", "poetry"],
        &[
            "dependencies",
            "dev-dependencies",
            "group",
            "extras",
            "source",
        ],
    ),
    (
        &["tool", "pdm"],
        &["source", "dev-dependencies", "resolution", "options"],
    ),
];

/// The decisive part of a `pyproject.toml`; the whole text where it does not read.
pub(crate) fn decisive_part(text: &str) -> String {
    let Ok(project) = text.trim_start_matches('\u{feff}').parse::<Table>() else {
        return text.to_owned();
    };
    let mut part = Table::new();
    for (path, keys) in DECISIVE {
        let Some(table) = table_in(&project, path) else {
            continue;
        };
        let chosen = table
            .iter()
            .filter(|(key, _)| keys.is_empty() || keys.contains(&key.as_str()));
        let chosen: Table = chosen
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        part.insert(path.join("."), Value::Table(chosen));
    }
    part.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_decides_on_packages_counts() {
        let text =
            "[project]\nname = 'x'\nversion = '1'\ndependencies = ['a']\n[tool.ruff]\nx = 1\n";
        let same = "# more\n[project]\ndependencies = [ 'a', ]\nversion = '2'\nname = \"x\"\n";
        assert_eq!(decisive_part(text), decisive_part(same));
        for other in [
            text.replace("'a'", "'b'"),
            format!("{text}[tool.uv.sources]\na = {{ path = 'a' }}\n"),
            format!("{text}[dependency-groups]\ndev = ['b']\n"),
            format!("{text}[[tool.poetry.source]]\nname = 'b'\n"),
        ] {
            assert_ne!(decisive_part(text), decisive_part(&other), "{other}");
        }
        assert_eq!(decisive_part("["), "[");
    }
}
