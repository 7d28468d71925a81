//! Reads the files of a tree for what they say; each is bounded, and one that cannot be parsed is
//! an error that names it and the line.

use super::text::text_of;
use std::collections::BTreeMap;

use super::error::ProjectError;
use super::{
    AptPackage, ENVIRONMENT_FILE, ModuleCache, ProcessType, ProjectFacts, ProjectSettings,
    Pyproject, PythonRange, SourcePlace, documents, is_file, known, python, requirements,
    setup_scripts,
};
use crate::packages::debian::aptfile;
use crate::packages::python::locks::LockKind;
use crate::source::environment::{self, EnvironmentGrammar, EnvironmentNote, EnvironmentVariable};
use crate::source::{SettingsFile, SourceEntry, SourceTree};

impl ProjectFacts {
    /// Reads what the tree says, its settings among it.
    ///
    /// # Errors
    /// As [`Self::with_settings`].
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of(tree: &SourceTree) -> Result<Self, ProjectError> {
        Self::with_settings(tree, ProjectSettings::of_tree(tree)?)
    }

    /// Reads what the tree says; its settings are known already.
    ///
    /// # Errors
    /// A file that cannot be read, is too long, or is not what its name says.
    pub(crate) fn with_settings(
        tree: &SourceTree,
        settings: ProjectSettings,
    ) -> Result<Self, ProjectError> {
        let facts = ProjectReader { tree };
        let of_procfile = facts.text("Procfile", SettingsFile::Procfile)?;
        let of_procfile = of_procfile.map(|text| processes(&text)).unwrap_or_default();
        let is_named = |process: &ProcessType| {
            let mut named = settings.processes.iter();
            named.any(|one| one.name == process.name)
        };
        let (overruled_processes, others): (Vec<_>, Vec<_>) =
            of_procfile.into_iter().partition(is_named);
        let pyproject = facts.parsed(
            "pyproject.toml",
            SettingsFile::Pyproject,
            documents::pyproject,
        )?;
        let setup_cfg = facts.text("setup.cfg", SettingsFile::Setup)?;
        let (environment, environment_notes) = facts.environment()?;
        Ok(Self {
            found: known().filter(|path| is_file(tree, path)).collect(),
            named_pylocks: named_pylocks(tree),
            requirements: requirements::asked(tree)?,
            pylock: facts.parsed(
                "pylock.toml",
                SettingsFile::Pylock,
                documents::locked_packages,
            )?,
            setup_cfg_packages: setup_cfg.as_deref().is_some_and(documents::packages_itself),
            python: facts.python(pyproject.as_ref(), setup_cfg.as_deref())?,
            wsgi_app: facts.line_with("gunicorn.conf.py", "wsgi_app")?,
            processes: [settings.processes.clone(), others].concat(),
            overruled_processes,
            packages: facts
                .parsed("Aptfile", SettingsFile::Aptfile, apt_packages)?
                .unwrap_or_default(),
            node_build: facts
                .text("package.json", SettingsFile::NodePackage)?
                .and_then(|text| documents::node_build(&text)),
            setup_name: facts.setup_name(setup_cfg.as_deref(), pyproject.as_ref())?,
            pyproject,
            documents: facts.documents()?,
            environment,
            environment_notes,
            modules: ModuleCache::default(),
            settings,
            tree: tree.clone(),
        })
    }
}

/// Names as `pylock.NAME.toml` has them (PEP 751): NAME without dots.
fn named_pylocks(tree: &SourceTree) -> Vec<String> {
    tree.entries()
        .iter()
        .filter(|entry| !entry.path.contains(&b'/'))
        .map(SourceEntry::shown)
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
                place: SourcePlace::line(path, one.line),
                name: one.name,
            })
            .collect()),
        Err(error) => Err(ProjectError::Aptfile {
            place: SourcePlace::line(path, error.line),
            text: error.text,
            fault: error.fault,
        }),
    }
}

fn processes(text: &str) -> Vec<ProcessType> {
    (1..)
        .zip(text.lines())
        .filter_map(|(line, text)| {
            let (name, command) = text.trim().split_once(':')?;
            let is_name = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            is_name.then(|| ProcessType {
                name: name.to_owned(),
                command: command.trim().to_owned(),
                place: SourcePlace::line("Procfile", line),
            })
        })
        .collect()
}

struct ProjectReader<'a> {
    tree: &'a SourceTree,
}

impl ProjectReader<'_> {
    fn text(&self, path: &str, file: SettingsFile) -> Result<Option<String>, ProjectError> {
        match self.tree.read_small(path, file)? {
            Some(bytes) => text_of(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    fn documents(&self) -> Result<BTreeMap<&'static str, String>, ProjectError> {
        let mut texts = BTreeMap::new();
        for path in LockKind::documents() {
            if let Some(text) = self.text(path, SettingsFile::ToolLock)? {
                texts.insert(path, text);
            }
        }
        Ok(texts)
    }

    fn parsed<T>(
        &self,
        path: &str,
        file: SettingsFile,
        parse: impl FnOnce(&str, &str) -> Result<T, ProjectError>,
    ) -> Result<Option<T>, ProjectError> {
        match self.text(path, file)? {
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
        let setup_py = self.text(first, SettingsFile::Setup)?;
        let Some(folder) = first.strip_suffix("/setup.py") else {
            let name = documents::setup_name(setup_py.as_deref(), setup_cfg, pyproject);
            return Ok(name);
        };
        let setup_cfg = self.text(&format!("{folder}/setup.cfg"), SettingsFile::Setup)?;
        Ok(documents::setup_name(
            setup_py.as_deref(),
            setup_cfg.as_deref(),
            None,
        ))
    }

    fn line_with(&self, path: &str, wanted: &str) -> Result<Option<SourcePlace>, ProjectError> {
        let Some(bytes) = self.tree.read_small(path, SettingsFile::GunicornSettings)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        let line = (1..)
            .zip(text.lines())
            .find(|(_, text)| text.contains(wanted));
        Ok(line.map(|(line, _)| SourcePlace::line(path, line)))
    }

    fn environment(
        &self,
    ) -> Result<(Vec<EnvironmentVariable>, Vec<EnvironmentNote>), ProjectError> {
        match self
            .tree
            .read_small(ENVIRONMENT_FILE, SettingsFile::Environment)?
        {
            Some(bytes) => Ok(environment::parse(
                &bytes,
                EnvironmentGrammar::Project,
                ENVIRONMENT_FILE,
            )?),
            None => Ok((Vec::new(), Vec::new())),
        }
    }

    /// Wishes for a version of Python, the most particular file first.
    fn python(
        &self,
        pyproject: Option<&Pyproject>,
        setup_cfg: Option<&str>,
    ) -> Result<Vec<PythonRange>, ProjectError> {
        let mut wishes = Vec::new();
        if let Some(text) = self.text(".python-version", SettingsFile::PythonVersion)? {
            wishes.extend(python::version_file(".python-version", &text)?);
        }
        if let Some(text) = self.text("runtime.txt", SettingsFile::PythonVersion)? {
            wishes.extend(python::runtime_file("runtime.txt", &text)?);
        }
        if let Some(text) = self.text("Pipfile", SettingsFile::ToolLock)? {
            wishes.extend(documents::pipfile_python("Pipfile", &text)?);
        }
        if let Some(range) = pyproject.and_then(|pyproject| pyproject.python.clone()) {
            wishes.push(range);
        }
        if let Some(text) = setup_cfg {
            wishes.extend(documents::setup_cfg_python("setup.cfg", text)?);
        }
        for path in ["pylock.toml", "uv.lock"] {
            if let Some(text) = self.text(path, SettingsFile::ToolLock)? {
                wishes.extend(documents::lock_python(path, &text)?);
            }
        }
        Ok(wishes)
    }
}
