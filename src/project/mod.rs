//! What a project's files say: facts, each with the file and line it comes from.
//!
//! Nothing is run, nothing is fetched and nothing is chosen here; a file that contradicts another
//! is two facts. Files that are read are bounded; what cannot be parsed is an error that names the
//! file and the line.

mod documents;
mod error;
mod python;
mod requirements;

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) use documents::Pyproject;
pub(crate) use error::ProjectError;
pub(crate) use python::PythonWish;

use crate::packages::debian::aptfile;
use crate::source::environment::{self, Form, Note, Variable};
use crate::source::{Entry, Kind, Tree};

/// Longest file of settings that is read.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Longest lock file that is read.
const MAX_LOCK_BYTES: u64 = 64 << 20;

/// The environment file of a project.
pub(crate) const ENVIRONMENT_FILE: &str = ".s2i/environment";

/// Where a fact stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    /// Path below the source's root.
    pub path: String,
    /// Line, from 1, where that is known.
    pub line: Option<u32>,
}

impl Place {
    pub(crate) fn file(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
        }
    }

    pub(crate) fn line(path: &str, line: u32) -> Self {
        Self {
            path: path.to_owned(),
            line: Some(line),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// A package that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Asked {
    /// Its name, normalised as PEP 503 has it; `@ ` and the address where only what lies there
    /// tells a name.
    pub name: String,
    /// Where it is asked for.
    pub place: Place,
}

/// A Debian package of an `Aptfile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AptPackage {
    /// Its name.
    pub name: String,
    /// Whether it is for building alone.
    pub for_building: bool,
    /// Where it is named.
    pub place: Place,
}

/// A process of a `Procfile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    /// For instance `web`.
    pub name: String,
    /// Its command line.
    pub command: String,
    /// Where it stands.
    pub place: Place,
}

/// Everything that is known of a project.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    tree: Tree,
    /// Files that mean something in a Python project, in a fixed order.
    pub found: Vec<&'static str>,
    /// `pylock.NAME.toml` in the root, sorted.
    pub named_pylocks: Vec<String>,
    /// What `requirements.txt` asks for, files it includes among it.
    pub requirements: Option<Vec<Asked>>,
    /// What `pylock.toml` lists.
    pub pylock: Option<Vec<Asked>>,
    /// What `pyproject.toml` says.
    pub pyproject: Option<Pyproject>,
    /// Whether `setup.cfg` describes a package, and not only settings of tools.
    pub setup_cfg_packages: bool,
    /// Versions of Python that files wish for.
    pub python: Vec<PythonWish>,
    /// Line of `gunicorn.conf.py` that mentions `wsgi_app`, comments included.
    pub wsgi_app: Option<Place>,
    /// Processes of a `Procfile`.
    pub processes: Vec<Process>,
    /// Debian packages of an `Aptfile`, in its order.
    pub packages: Vec<AptPackage>,
    /// Distribution name that `setup.cfg`, `pyproject.toml` or a literal in `setup.py` says.
    pub setup_name: Option<String>,
    /// Texts of the files of other tools that name packages, by path.
    pub documents: BTreeMap<&'static str, String>,
    /// Variables of `.s2i/environment`, in order.
    pub environment: Vec<Variable>,
    /// What was odd about that file.
    pub environment_notes: Vec<Note>,
}

/// Files of other tools that name packages.
const DOCUMENTS: [&str; 6] = [
    "Pipfile",
    "Pipfile.lock",
    "pdm.lock",
    "poetry.lock",
    "pyproject.toml",
    "uv.lock",
];

/// The files whose presence is a fact.
pub(crate) const KNOWN: [&str; 25] = [
    "requirements.txt",
    "pylock.toml",
    "Pipfile",
    "Pipfile.lock",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "s2r.lock",
    "manage.py",
    "wsgi.py",
    "app.py",
    "app.sh",
    "gunicorn.conf.py",
    ".python-version",
    "runtime.txt",
    "Procfile",
    "Aptfile",
    ".s2iignore",
    ENVIRONMENT_FILE,
    ".s2i/bin/assemble",
    ".s2i/bin/run",
    ".s2i/bin/save-artifacts",
];

impl Facts {
    /// Reads what the tree says.
    ///
    /// # Errors
    /// A file that cannot be read, is too long, or is not what its name says.
    pub(crate) fn of(tree: &Tree) -> Result<Self, ProjectError> {
        let facts = Reader { tree };
        let pyproject = facts.parsed("pyproject.toml", MAX_FILE_BYTES, documents::pyproject)?;
        let setup_cfg = facts.text("setup.cfg", MAX_FILE_BYTES)?;
        let (environment, environment_notes) = facts.environment()?;
        Ok(Self {
            found: KNOWN
                .into_iter()
                .filter(|path| is_file(tree, path))
                .collect(),
            named_pylocks: named_pylocks(tree),
            requirements: requirements::asked(tree)?,
            pylock: facts.parsed("pylock.toml", MAX_LOCK_BYTES, documents::locked_packages)?,
            setup_cfg_packages: setup_cfg.as_deref().is_some_and(documents::packages_itself),
            python: facts.python(pyproject.as_ref(), setup_cfg.as_deref())?,
            wsgi_app: facts.line_with("gunicorn.conf.py", "wsgi_app")?,
            processes: facts
                .text("Procfile", MAX_FILE_BYTES)?
                .map(|text| processes(&text))
                .unwrap_or_default(),
            packages: facts
                .parsed("Aptfile", MAX_FILE_BYTES, apt_packages)?
                .unwrap_or_default(),
            setup_name: facts.setup_name(setup_cfg.as_deref(), pyproject.as_ref())?,
            pyproject,
            documents: facts.documents()?,
            environment,
            environment_notes,
            tree: tree.clone(),
        })
    }

    /// Whether a known file is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        is_file(&self.tree, path)
    }

    /// The file that a path leads to, links within the source followed.
    pub(crate) fn file(&self, path: &str) -> Option<&Entry> {
        self.tree
            .follow(path.as_bytes())
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
    }

    /// Whether a path leads to a folder; the root is one.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        let is_root = path.split('/').all(|part| part.is_empty() || part == ".");
        is_root
            || self
                .tree
                .follow(path.as_bytes())
                .is_some_and(|entry| entry.kind == Kind::Directory)
    }

    /// `setup.py` in the root or in a folder of it, as `run` looks for it: the root first.
    pub(crate) fn setup_scripts(&self) -> Vec<String> {
        setup_scripts(&self.tree)
    }

    /// Whether a script begins with `#!`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn has_shebang(&self, entry: &Entry) -> Result<bool, ProjectError> {
        let mut start = [0; 2];
        let mut file = self.tree.open(entry)?;
        let read =
            std::io::Read::read(&mut file, &mut start).map_err(|error| file.explain(error))?;
        Ok(start[..read].starts_with(b"#!"))
    }
}

fn is_file(tree: &Tree, path: &str) -> bool {
    tree.follow(path.as_bytes())
        .is_some_and(|entry| matches!(entry.kind, Kind::File { .. }))
}

/// Names as `pylock.NAME.toml` has them (PEP 751): NAME without dots.
fn named_pylocks(tree: &Tree) -> Vec<String> {
    tree.entries()
        .iter()
        .filter(|entry| !entry.path.contains(&b'/'))
        .map(Entry::shown)
        .filter(|path| {
            path.strip_prefix("pylock.")
                .and_then(|rest| rest.strip_suffix(".toml"))
                .is_some_and(|name| !name.is_empty() && !name.contains('.'))
        })
        .collect()
}

fn apt_packages(path: &str, text: &str) -> Result<Vec<AptPackage>, ProjectError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match aptfile::parse(text) {
        Ok(wanted) => Ok(wanted
            .into_iter()
            .map(|one| AptPackage {
                for_building: one.is_for_building(),
                place: Place::line(path, one.line),
                name: one.name,
            })
            .collect()),
        Err(error) => Err(ProjectError::Aptfile {
            place: Place::line(path, error.line),
            text: error.text,
            fault: error.fault,
        }),
    }
}

fn processes(text: &str) -> Vec<Process> {
    (1..)
        .zip(text.lines())
        .filter_map(|(line, text)| {
            let (name, command) = text.trim().split_once(':')?;
            let is_name = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            is_name.then(|| Process {
                name: name.to_owned(),
                command: command.trim().to_owned(),
                place: Place::line("Procfile", line),
            })
        })
        .collect()
}

/// See [`Facts::setup_scripts`].
fn setup_scripts(tree: &Tree) -> Vec<String> {
    let mut found: Vec<String> = tree
        .entries()
        .iter()
        .map(Entry::shown)
        .filter(|path| path == "setup.py" || path.ends_with("/setup.py"))
        .filter(|path| path.matches('/').count() <= 1)
        .collect();
    found.sort_by_key(|path| (path.contains('/'), path.starts_with('.'), path.clone()));
    found
}

struct Reader<'a> {
    tree: &'a Tree,
}

impl Reader<'_> {
    fn text(&self, path: &str, limit_bytes: u64) -> Result<Option<String>, ProjectError> {
        match self.tree.read_small(path, limit_bytes)? {
            Some(bytes) => text_of(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    fn documents(&self) -> Result<BTreeMap<&'static str, String>, ProjectError> {
        let mut texts = BTreeMap::new();
        for path in DOCUMENTS {
            if let Some(text) = self.text(path, MAX_LOCK_BYTES)? {
                texts.insert(path, text);
            }
        }
        Ok(texts)
    }

    fn parsed<T>(
        &self,
        path: &str,
        limit_bytes: u64,
        parse: impl FnOnce(&str, &str) -> Result<T, ProjectError>,
    ) -> Result<Option<T>, ProjectError> {
        match self.text(path, limit_bytes)? {
            Some(text) => parse(path, &text).map(Some),
            None => Ok(None),
        }
    }

    /// What the first of the `setup.py` calls its distribution. Beside one in a folder only its own
    /// `setup.cfg` counts; the root's describes something else.
    fn setup_name(
        &self,
        setup_cfg: Option<&str>,
        pyproject: Option<&Pyproject>,
    ) -> Result<Option<String>, ProjectError> {
        let scripts = setup_scripts(self.tree);
        let first = scripts.first().map_or("setup.py", String::as_str);
        let setup_py = self.text(first, MAX_FILE_BYTES)?;
        let Some(folder) = first.strip_suffix("/setup.py") else {
            let name = documents::setup_name(setup_py.as_deref(), setup_cfg, pyproject);
            return Ok(name);
        };
        let setup_cfg = self.text(&format!("{folder}/setup.cfg"), MAX_FILE_BYTES)?;
        Ok(documents::setup_name(
            setup_py.as_deref(),
            setup_cfg.as_deref(),
            None,
        ))
    }

    fn line_with(&self, path: &str, wanted: &str) -> Result<Option<Place>, ProjectError> {
        let Some(bytes) = self.tree.read_small(path, MAX_FILE_BYTES)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        let line = (1..)
            .zip(text.lines())
            .find(|(_, text)| text.contains(wanted));
        Ok(line.map(|(line, _)| Place::line(path, line)))
    }

    fn environment(&self) -> Result<(Vec<Variable>, Vec<Note>), ProjectError> {
        match self
            .tree
            .read_small(ENVIRONMENT_FILE, environment::MAX_FILE_BYTES)?
        {
            Some(bytes) => Ok(environment::parse(&bytes, Form::Project, ENVIRONMENT_FILE)?),
            None => Ok((Vec::new(), Vec::new())),
        }
    }

    /// Wishes for a version of Python, the most particular file first.
    fn python(
        &self,
        pyproject: Option<&Pyproject>,
        setup_cfg: Option<&str>,
    ) -> Result<Vec<PythonWish>, ProjectError> {
        let mut wishes = Vec::new();
        if let Some(text) = self.text(".python-version", MAX_FILE_BYTES)? {
            wishes.extend(python::version_file(".python-version", &text)?);
        }
        if let Some(text) = self.text("runtime.txt", MAX_FILE_BYTES)? {
            wishes.extend(python::runtime_file("runtime.txt", &text)?);
        }
        if let Some(text) = self.text("Pipfile", MAX_FILE_BYTES)? {
            wishes.extend(documents::pipfile_python("Pipfile", &text)?);
        }
        if let Some(range) = pyproject.and_then(|pyproject| pyproject.python.clone()) {
            wishes.push(range);
        }
        if let Some(text) = setup_cfg {
            wishes.extend(documents::setup_cfg_python("setup.cfg", text)?);
        }
        for path in ["pylock.toml", "uv.lock"] {
            if let Some(text) = self.text(path, MAX_LOCK_BYTES)? {
                wishes.extend(documents::lock_python(path, &text)?);
            }
        }
        Ok(wishes)
    }
}

/// Text of a file, a byte order mark taken off.
fn text_of(path: &str, bytes: &[u8]) -> Result<String, ProjectError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| ProjectError::NotText {
            place: Place::line(path, line_at(bytes, error.valid_up_to())),
        })
}

/// The line, from 1, that a byte is in.
fn line_at(bytes: &[u8], at: usize) -> u32 {
    let before = &bytes[..at.min(bytes.len())];
    let newlines = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{folder, tree};

    fn facts(files: &[(&str, &str)]) -> Facts {
        Facts::of(&tree(&folder(files))).unwrap()
    }

    #[test]
    fn known_files_are_found() {
        let facts = facts(&[
            ("requirements.txt", "Flask==3.0\n"),
            ("app.py", ""),
            ("pylock.dev.toml", ""),
            ("pylock.a.b.toml", ""),
            ("sub/setup.py", ""),
            ("a/b/setup.py", ""),
            ("wsgi.py", "-> app.py"),
            ("manage.py/", ""),
        ]);
        assert_eq!(facts.found, ["requirements.txt", "wsgi.py", "app.py"]);
        assert_eq!(facts.named_pylocks, ["pylock.dev.toml"]);
        assert_eq!(facts.setup_scripts(), ["sub/setup.py"]);
        assert_eq!(facts.setup_name, None);
        assert!(facts.is_directory("./") && facts.is_directory("sub") && !facts.is_directory("x"));
        assert_eq!(facts.file("wsgi.py").unwrap().shown(), "app.py");
    }

    #[test]
    fn the_first_setup_py_names_the_distribution() {
        let below = ("sub/setup.py", "setup(name='below')\n");
        let pyproject = ("pyproject.toml", "[project]\nname = 'root'\n");
        let cfg = ("sub/setup.cfg", "[metadata]\nname = configured\n");
        for (files, expected) in [
            (vec![below, pyproject], "below"),
            (vec![below, ("setup.py", "setup(name='root')\n")], "root"),
            (vec![pyproject, ("setup.py", "setup()\n")], "root"),
            (vec![cfg, ("sub/setup.py", "setup()\n")], "configured"),
        ] {
            assert_eq!(facts(&files).setup_name.as_deref(), Some(expected));
        }
    }

    #[test]
    fn gunicorns_settings_are_searched_comments_included() {
        let text = "bind = 'x'\n# wsgi_app later\n";
        assert_eq!(
            facts(&[("gunicorn.conf.py", text)]).wsgi_app,
            Some(Place::line("gunicorn.conf.py", 2))
        );
        assert_eq!(facts(&[("gunicorn.conf.py", "bind = 'x'")]).wsgi_app, None);
    }

    #[test]
    fn a_procfile_names_processes() {
        let facts = facts(&[("Procfile", "web: gunicorn a:b --x\n# no: x\n\nworker:x\n")]);
        let named: Vec<_> = facts
            .processes
            .iter()
            .map(|p| (p.name.as_str(), p.command.as_str(), p.place.to_string()))
            .collect();
        assert_eq!(
            named,
            [
                ("web", "gunicorn a:b --x", "Procfile:1".to_owned()),
                ("worker", "x", "Procfile:4".to_owned())
            ]
        );
    }

    #[test]
    fn bad_files_are_named_with_their_line() {
        for (path, text, expected) in [
            ("pyproject.toml", "[project]\nname = \n", "pyproject.toml:2"),
            ("Pipfile", "[requires\n", "Pipfile:1"),
            ("pylock.toml", "a = 1\nb b\n", "pylock.toml:2"),
            (".python-version", "\nthree\n", ".python-version:2"),
            ("runtime.txt", "ruby-3\n", "runtime.txt:1"),
            (".s2i/environment", "A=\0\n", ".s2i/environment:1"),
        ] {
            let error = Facts::of(&tree(&folder(&[(path, text)]))).unwrap_err();
            let place = crate::report::Explain::explain(&error).place;
            assert_eq!(place, expected, "{error:?}");
        }
        let folder = folder(&[("a", "")]);
        std::fs::write(folder.path().join("setup.cfg"), b"a\n\xff").unwrap();
        let error = Facts::of(&tree(&folder)).unwrap_err();
        assert!(
            matches!(&error, ProjectError::NotText { place } if place.to_string() == "setup.cfg:2"),
            "{error:?}"
        );
    }

    #[test]
    fn the_environment_file_is_read() {
        let facts = facts(&[(".s2i/environment", "APP_MODULE='x:y'\n")]);
        assert_eq!(facts.environment[0].value, "x:y");
        assert_eq!(facts.environment_notes.len(), 1);
    }
}
