//! What a project's files say: facts, each with the file and line it comes from.
//!
//! Nothing is run, nothing is fetched and nothing is chosen here; a file that contradicts another
//! is two facts. Files that are read are bounded; what cannot be parsed is an error that names the
//! file and the line.

mod documents;
mod error;
mod python;
mod read;
mod requirements;
pub(crate) mod settings;
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

pub(crate) use documents::{ProjectScript, Pyproject};
pub(crate) use error::ProjectError;
pub(crate) use python::PythonRange;
pub(crate) use settings::ProjectSettings;

use crate::packages::python::locks::LockKind;
use crate::packages::python::syntax::ModuleSyntax;
use crate::source::environment::{EnvironmentNote, EnvironmentVariable};
use crate::source::{PortionKind, SettingsFile, SourceEntry, SourceError, SourceKind, SourceTree};

/// The environment file of a project.
pub(crate) const ENVIRONMENT_FILE: &str = ".s2i/environment";

/// Where a fact stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct SourcePlace {
    /// Path below the source's root.
    pub path: String,
    /// Line, from 1, where that is known.
    pub line: Option<u32>,
}

impl SourcePlace {
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

impl std::fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// A package that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NamedPackage {
    /// Its name, normalised as PEP 503 has it; `@ ` and the address where only what lies there
    /// tells a name.
    pub name: String,
    /// Where it is asked for.
    pub place: SourcePlace,
}

/// A Debian package of an `Aptfile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AptPackage {
    pub name: String,
    /// Whether it is for building alone.
    pub for_building: bool,
    /// Where it is named.
    pub place: SourcePlace,
}

/// A process that containers of the image can be started as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessType {
    /// For instance `web`.
    pub name: String,
    pub command: String,
    pub place: SourcePlace,
}

/// How a script begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// `#!` and a program.
    Interpreter,
    /// The same with a carriage return behind it, which the kernel takes for a part of the name.
    WindowsInterpreter,
    Other,
}

/// Everything that is known of a project.
#[derive(Debug, Clone)]
pub(crate) struct ProjectFacts {
    tree: SourceTree,
    /// What `s2r.yaml` or `[tool.s2r]` asks for.
    pub settings: ProjectSettings,
    /// Files that mean something in a Python project, in a fixed order.
    pub found: Vec<&'static str>,
    /// `pylock.NAME.toml` in the root, sorted.
    pub named_pylocks: Vec<String>,
    /// What `requirements.txt` asks for, files it includes among it.
    pub requirements: Option<Vec<NamedPackage>>,
    pub pylock: Option<Vec<NamedPackage>>,
    pub pyproject: Option<Pyproject>,
    /// Whether `setup.cfg` describes a package, and not only settings of tools.
    pub setup_cfg_packages: bool,
    /// Versions of Python that files wish for.
    pub python: Vec<PythonRange>,
    /// Line of `gunicorn.conf.py` that mentions `wsgi_app`, comments included.
    pub wsgi_app: Option<SourcePlace>,
    /// Processes of the settings and of a `Procfile`, each name once.
    pub processes: Vec<ProcessType>,
    /// Lines of the `Procfile` whose processes the settings say otherwise.
    pub overruled_processes: Vec<ProcessType>,
    /// Debian packages of an `Aptfile`, in its order.
    pub packages: Vec<AptPackage>,
    /// The build script of a `package.json`.
    pub node_build: Option<String>,
    /// Distribution name that `setup.cfg`, `pyproject.toml` or a literal in `setup.py` says.
    pub setup_name: Option<String>,
    /// Texts of the files of other tools that name packages, by path.
    pub documents: BTreeMap<&'static str, String>,
    /// Variables of `.s2i/environment`, in order.
    pub environment: Vec<EnvironmentVariable>,
    /// What was odd about that file.
    pub environment_notes: Vec<EnvironmentNote>,
    /// What was read of Python files so far, by path.
    modules: ModuleCache,
}

/// Python files that were read: several ways to start look at the same ones.
type ModuleCache = Arc<Mutex<BTreeMap<String, Option<Arc<ModuleSyntax>>>>>;

/// The project's own assemble script, which takes the place of all that s2r would install.
pub(crate) const ASSEMBLE: &str = ".s2i/bin/assemble";

/// The files whose presence is a fact, in a fixed order.
fn known() -> impl Iterator<Item = &'static str> {
    let of_packages = ["requirements.txt", "pylock.toml"].into_iter();
    let of_tools = LockKind::ALL.map(LockKind::path);
    of_packages.chain(of_tools).chain(KNOWN)
}

/// Those that say more than which packages go in.
const KNOWN: [&str; 18] = [
    "setup.py",
    "setup.cfg",
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
    settings::SETTINGS_FILE,
    ".s2iignore",
    ENVIRONMENT_FILE,
    ASSEMBLE,
    ".s2i/bin/run",
    ".s2i/bin/save-artifacts",
];

impl ProjectFacts {
    /// Whether a known file is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        is_file(&self.tree, path)
    }

    /// The file that a path leads to, links within the source followed.
    pub(crate) fn file(&self, path: &str) -> Option<&SourceEntry> {
        self.tree
            .follow(path.as_bytes())
            .filter(|entry| matches!(entry.kind, SourceKind::File { .. }))
    }

    /// The text of a `pyproject.toml` anywhere in the source; nothing where none can be read.
    pub(crate) fn settings_of(&self, path: &str) -> Option<String> {
        let bytes = self.tree.read_small(path, SettingsFile::Pyproject).ok()??;
        String::from_utf8(bytes).ok()
    }

    /// Whether a path leads to a folder; the root is one.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        let is_root = path.split('/').all(|part| part.is_empty() || part == ".");
        is_root
            || self
                .tree
                .follow(path.as_bytes())
                .is_some_and(|entry| entry.kind == SourceKind::Directory)
    }

    /// How the source is divided into layers, a line for each kind of large one.
    pub(crate) fn large_layers(&self) -> &[(PortionKind, String)] {
        &self.tree.division().described
    }

    /// `setup.py` in the root or in a folder of it, as `run` looks for it: the root first.
    pub(crate) fn setup_scripts(&self) -> Vec<String> {
        setup_scripts(&self.tree)
    }

    /// Whether any file's path begins so.
    pub(crate) fn has_beginning(&self, path: &str) -> bool {
        let path = path.trim_start_matches("./").as_bytes();
        let entries = self.tree.entries();
        entries.iter().any(|entry| entry.path.starts_with(path))
    }

    /// The folders of the root, sorted; hidden ones left out.
    pub(crate) fn folders(&self) -> Vec<String> {
        self.folders_in("")
    }

    /// The names of the folders right in a folder, sorted; hidden ones left out.
    pub(crate) fn folders_in(&self, folder: &str) -> Vec<String> {
        self.names_in(folder, |entry| entry.kind == SourceKind::Directory)
    }

    /// The names of the files right in a folder that end so, sorted; hidden ones left out.
    pub(crate) fn files_in(&self, folder: &str, end: &str) -> Vec<String> {
        self.names_in(folder, |entry| {
            matches!(entry.kind, SourceKind::File { .. }) && entry.path.ends_with(end.as_bytes())
        })
    }

    fn names_in(&self, folder: &str, is_wanted: impl Fn(&SourceEntry) -> bool) -> Vec<String> {
        let folder = folder.trim_start_matches("./").trim_matches('/');
        let start = match folder {
            "" | "." => String::new(),
            folder => format!("{folder}/"),
        };
        let mut names: Vec<String> = self
            .tree
            .entries()
            .iter()
            .filter(|entry| is_wanted(entry))
            .filter_map(|entry| {
                let name = entry.path.strip_prefix(start.as_bytes())?;
                let is_right_in = !name.contains(&b'/') && !name.starts_with(b".");
                is_right_in.then(|| String::from_utf8_lossy(name).into_owned())
            })
            .collect();
        names.sort();
        names
    }

    /// What the text of a Python file says, read when it is asked for first; `None` if there is no such file, or
    /// if it is no Python or too much of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn module(&self, path: &str) -> Result<Option<Arc<ModuleSyntax>>, ProjectError> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = modules.get(path) {
            return Ok(known.clone());
        }
        let bytes = match self.tree.read_small(path, SettingsFile::Module) {
            Err(SourceError::Long { .. }) => None,
            read => read?,
        };
        let module = bytes.and_then(|bytes| ModuleSyntax::read(&bytes).ok());
        let module = module.map(Arc::new);
        modules.insert(path.to_owned(), module.clone());
        Ok(module)
    }

    /// How a script begins.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn first_line(&self, entry: &SourceEntry) -> Result<FirstLine, ProjectError> {
        let start = self.tree.read_small(&entry.shown(), SettingsFile::Script)?;
        let start = start.unwrap_or_default();
        let line = start
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        Ok(match (line.starts_with(b"#!"), line.ends_with(b"\r")) {
            (true, false) => FirstLine::Interpreter,
            (true, true) => FirstLine::WindowsInterpreter,
            (false, _) => FirstLine::Other,
        })
    }
}

fn is_file(tree: &SourceTree, path: &str) -> bool {
    tree.follow(path.as_bytes())
        .is_some_and(|entry| matches!(entry.kind, SourceKind::File { .. }))
}

fn setup_scripts(tree: &SourceTree) -> Vec<String> {
    let mut found: Vec<String> = tree
        .entries()
        .iter()
        .map(SourceEntry::shown)
        .filter(|path| path == "setup.py" || path.ends_with("/setup.py"))
        .filter(|path| path.matches('/').count() <= 1)
        .collect();
    found.sort_by_key(|path| (path.contains('/'), path.starts_with('.'), path.clone()));
    found
}

#[cfg(test)]
mod tests;
