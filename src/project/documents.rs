//! What is read of TOML files and of `setup.cfg` and `setup.py`.
//!
//! Formats: pyproject.toml (packaging.python.org, "pyproject.toml specification"), pylock.toml
//! (PEP 751), Pipfile, and the ini files of setuptools, of which a few keys are looked for as text.

use serde::Serialize;
use toml::{Table, Value};

use super::requirements::normalised;
use super::text::line_at;
use super::{NamedPackage, ProjectError, PythonRange, SourcePlace};
use crate::packages::python::{brought_by, extras_of};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pyproject {
    /// `[build-system] build-backend`; setuptools where the table is there without it.
    pub build_backend: Option<String>,
    /// `[project] name`, or Poetry's.
    pub name: Option<String>,
    /// `[project] version` where it is written down.
    pub version: Option<String>,
    /// What `[project] dependencies`, or Poetry's, name.
    pub dependencies: Vec<NamedPackage>,
    /// Whether there is a project at all, and not only settings of tools.
    pub is_project: bool,
    /// `[tool.fastapi] entrypoint`
    pub fastapi: Option<(String, SourcePlace)>,
    /// `[project.scripts]`, or Poetry's.
    pub scripts: Vec<ProjectScript>,
    /// `[project] requires-python`, or Poetry's dependency on Python.
    #[serde(skip)]
    pub python: Option<PythonRange>,
}

/// A program that comes with the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProjectScript {
    /// Its name in `bin`.
    pub name: String,
    /// `module:function`
    pub target: String,
    /// Where it is named.
    pub place: SourcePlace,
}

pub(super) fn pyproject(path: &str, text: &str) -> Result<Pyproject, ProjectError> {
    let table = parse(path, text)?;
    let project = table_in(&table, &["project"]);
    let poetry = table_in(&table, &["tool", "poetry"]);
    let build_system = table_in(&table, &["build-system"]);
    let text_in = |table: Option<&Table>, key: &str| {
        table
            .and_then(|table| table.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let either = |key: &str| text_in(project, key).or_else(|| text_in(poetry, key));
    let range = text_in(project, "requires-python")
        .map(|range| (range, "requires-python"))
        .or_else(|| {
            let dependencies = table_in(&table, &["tool", "poetry", "dependencies"]);
            text_in(dependencies, "python").map(|range| (range, "python"))
        });
    let python = range
        .map(|(range, key)| PythonRange::range(&range, place_of(path, text, key)))
        .transpose()?;
    Ok(Pyproject {
        build_backend: build_system.map(|table| {
            text_in(Some(table), "build-backend")
                .unwrap_or_else(|| "setuptools.build_meta:__legacy__".to_owned())
        }),
        name: either("name"),
        version: either("version"),
        dependencies: dependencies(project, poetry)
            .into_iter()
            .map(|name| NamedPackage {
                name,
                place: place_of(path, text, "dependencies"),
            })
            .collect(),
        fastapi: text_in(table_in(&table, &["tool", "fastapi"]), "entrypoint")
            .map(|entrypoint| (entrypoint, place_of(path, text, "entrypoint"))),
        scripts: table_in(&table, &["project", "scripts"])
            .or_else(|| table_in(&table, &["tool", "poetry", "scripts"]))
            .into_iter()
            .flatten()
            .filter_map(|(name, target)| {
                Some(ProjectScript {
                    name: name.clone(),
                    target: target.as_str()?.to_owned(),
                    place: place_of(path, text, name),
                })
            })
            .collect(),
        is_project: project.is_some() || either("name").is_some() || build_system.is_some(),
        python,
    })
}

fn dependencies(project: Option<&Table>, poetry: Option<&Table>) -> Vec<String> {
    let listed = project
        .and_then(|table| table.get("dependencies"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .flat_map(|text| {
            let end = text
                .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
                .unwrap_or(text.len());
            let name = normalised(&text[..end]);
            let brought: Vec<String> = brought_by(&name, extras_of(text))
                .map(str::to_owned)
                .collect();
            brought.into_iter().chain([name])
        });
    let keyed = poetry
        .and_then(|table| table.get("dependencies"))
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::keys)
        .filter(|name| *name != "python")
        .map(|name| normalised(name));
    listed.chain(keyed).collect()
}

/// The packages that a `pylock.toml` lists.
pub(super) fn locked_packages(path: &str, text: &str) -> Result<Vec<NamedPackage>, ProjectError> {
    let table = parse(path, text)?;
    let packages = table.get("packages").and_then(Value::as_array);
    Ok(packages
        .into_iter()
        .flatten()
        .filter_map(|package| package.get("name").and_then(Value::as_str))
        .map(|name| NamedPackage {
            name: normalised(name),
            place: SourcePlace::file(path),
        })
        .collect())
}

/// The version of Python that a `Pipfile` requires.
pub(super) fn pipfile_python(path: &str, text: &str) -> Result<Option<PythonRange>, ProjectError> {
    let table = parse(path, text)?;
    let requires = table_in(&table, &["requires"]);
    for key in ["python_full_version", "python_version"] {
        let value = requires
            .and_then(|table| table.get(key))
            .and_then(Value::as_str);
        if let Some(version) = value {
            return PythonRange::exactly(version, place_of(path, text, key)).map(Some);
        }
    }
    Ok(None)
}

/// `requires-python` of a lock file.
pub(super) fn lock_python(path: &str, text: &str) -> Result<Option<PythonRange>, ProjectError> {
    let table = parse(path, text)?;
    match table.get("requires-python").and_then(Value::as_str) {
        Some(range) => PythonRange::range(range, place_of(path, text, "requires-python")).map(Some),
        None => Ok(None),
    }
}

/// `python_requires` of a `setup.cfg`.
pub(super) fn setup_cfg_python(
    path: &str,
    text: &str,
) -> Result<Option<PythonRange>, ProjectError> {
    match value_in(text, "options", "python_requires") {
        Some((line, range)) if !range.is_empty() => {
            PythonRange::range(range, SourcePlace::line(path, line)).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a `setup.cfg` describes a package.
pub(super) fn packages_itself(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .any(|line| line == "[metadata]" || line == "[options]")
}

/// The distribution's name, where it can be read without running anything.
pub(super) fn setup_name(
    setup_py: Option<&str>,
    setup_cfg: Option<&str>,
    pyproject: Option<&Pyproject>,
) -> Option<String> {
    setup_py
        .and_then(literal_name)
        .or_else(|| {
            setup_cfg
                .and_then(|text| value_in(text, "metadata", "name"))
                .map(|(_, name)| name.to_owned())
                .filter(|name| !name.is_empty())
        })
        .or_else(|| pyproject.and_then(|pyproject| pyproject.name.clone()))
}

/// `name="x"` in a `setup.py`, if it stands there once.
fn literal_name(text: &str) -> Option<String> {
    let mut found = None;
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        for (at, _) in line.match_indices("name") {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_.\"'".contains(c)) {
                continue;
            }
            let Some(rest) = line[at + 4..].trim_start().strip_prefix('=') else {
                continue;
            };
            let rest = rest.trim_start();
            let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
            let name = rest[1..].split(quote).next()?;
            if found.replace(name.to_owned()).is_some() {
                return None;
            }
        }
    }
    found.filter(|name| !name.is_empty())
}

/// A value of an ini file and its line.
fn value_in<'a>(text: &'a str, section: &str, key: &str) -> Option<(u32, &'a str)> {
    let mut within = false;
    for (line, text) in (1..).zip(text.lines()) {
        if let Some(name) = text.trim().strip_prefix('[') {
            within = name.strip_suffix(']') == Some(section);
        } else if within
            && let Some((name, value)) = text.split_once('=')
            && name.trim() == key
        {
            return Some((line, value.trim()));
        }
    }
    None
}

fn parse(path: &str, text: &str) -> Result<Table, ProjectError> {
    text.parse::<Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ProjectError::Toml {
            place: SourcePlace::line(path, line_at(text.as_bytes(), at)),
            cause: error.message().to_owned(),
        }
    })
}

fn table_in<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Table> {
    let mut table = table;
    for key in keys {
        table = table.get(*key)?.as_table()?;
    }
    Some(table)
}

/// The first line that sets a key; the file where none is found.
fn place_of(path: &str, text: &str, key: &str) -> SourcePlace {
    let line = (1..).zip(text.lines()).find(|(_, text)| {
        text.trim_start()
            .trim_start_matches(['"', '\''])
            .strip_prefix(key)
            .is_some_and(|rest| {
                rest.trim_start_matches(['"', '\'', ' ', '\t'])
                    .starts_with('=')
            })
    });
    match line {
        Some((line, _)) => SourcePlace::line(path, line),
        None => SourcePlace::file(path),
    }
}

/// The script `build` of a `package.json` (docs.npmjs.com, "package.json", scripts); nothing where there is none.
pub(super) fn node_build(text: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(text).ok()?;
    let build = package.get("scripts")?.get("build")?.as_str()?;
    (!build.trim().is_empty()).then(|| build.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(project: &Pyproject) -> Vec<&str> {
        let asked = project.dependencies.iter();
        asked.map(|asked| asked.name.as_str()).collect()
    }

    #[test]
    fn a_project_is_told_from_settings_of_tools() {
        let project = pyproject(
            "pyproject.toml",
            "[project]\nname = 'My.App'\nversion = '1.2'\nrequires-python = '>=3.11'\n\
             dependencies = ['Flask>=3', 'zope.interface[x]; python_version<\"4\"']\n\
             [build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n",
        )
        .unwrap();
        assert!(project.is_project);
        assert_eq!(project.build_backend.as_deref(), Some("hatchling.build"));
        assert_eq!(project.name.as_deref(), Some("My.App"));
        assert_eq!(names(&project), ["flask", "zope-interface"]);
        let python = project.python.unwrap();
        assert_eq!(python.place.to_string(), "pyproject.toml:4");
        let tools = pyproject("pyproject.toml", "[tool.ruff]\nline-length = 100\n").unwrap();
        assert!(!tools.is_project);
        let poetry = pyproject(
            "pyproject.toml",
            "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.11'\nFlask = '*'\n",
        )
        .unwrap();
        assert!(poetry.is_project);
        assert_eq!(poetry.build_backend, None);
        assert_eq!(names(&poetry), ["flask"]);
        assert!(poetry.python.unwrap().admits("3.13"));
        let bare = pyproject("pyproject.toml", "[build-system]\nrequires = []\n").unwrap();
        assert!(bare.build_backend.is_some());
    }

    #[test]
    fn pipfile_and_locks_wish_for_a_python() {
        let wish = pipfile_python(
            "Pipfile",
            "[packages]\n[requires]\npython_version = \"3.11\"\n",
        );
        let wish = wish.unwrap().unwrap();
        assert_eq!((wish.text.as_str(), wish.place.line), ("3.11", Some(3)));
        assert!(pipfile_python("Pipfile", "[packages]\n").unwrap().is_none());
        let lock = "lock-version = '1.0'\nrequires-python = '>=3.12'\n[[packages]]\nname = 'A_b'\n";
        assert!(!lock_python("l", lock).unwrap().unwrap().admits("3.11"));
        assert_eq!(locked_packages("l", lock).unwrap()[0].name, "a-b");
    }

    #[test]
    fn setup_files_are_scanned() {
        let cfg =
            "[flake8]\nname = no\n[metadata]\nname = my-app\n[options]\npython_requires = >=3.8\n";
        assert!(packages_itself(cfg) && !packages_itself("[flake8]\nmax-line-length = 99\n"));
        let wish = setup_cfg_python("setup.cfg", cfg).unwrap().unwrap();
        assert_eq!(wish.place.line, Some(6));
        assert_eq!(setup_name(None, Some(cfg), None).as_deref(), Some("my-app"));
        for (text, expected) in [
            ("setup(name='x', version='1')", Some("x")),
            ("setup(\n    name = \"y\",\n)", Some("y")),
            ("setup(project_name='x')", None),
            ("setup(name=NAME)", None),
            ("setup(name='a')\nsetup(name='b')", None),
        ] {
            assert_eq!(
                setup_name(Some(text), None, None).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(\\[project\\]\n|\\[tool.poetry\\]\n|\\[metadata\\]\n|\\[requires\\]\n|requires-python|python_version|python|dependencies|name|setup\\(|\\)|=|\"|\\[|\\]|\\{|\\}|'|,|>|3\\.1|ä|\n| ){0,25}") {
            let _ = pyproject("f", &text);
            let _ = locked_packages("f", &text);
            let _ = pipfile_python("f", &text);
            let _ = lock_python("f", &text);
            let _ = setup_cfg_python("f", &text);
            let _ = setup_name(Some(&text), Some(&text), None);
        }
    }
}
