//! Wheels from source: an sdist, a folder of the project or a checkout becomes a wheel in the
//! sandbox, by its own backend (PEP 517, PEP 660), and is kept for good.
//!
//! What the backend needs is resolved and fetched outside, and lies in the sandbox as folders: no
//! installer runs there. A wheel is known by what it was built from, the toolchain and Python, so
//! that it is built once.

mod error;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub(crate) use self::error::WheelBuildError;
use self::session::{BackendRequires, BackendWheel, BuildSession, DeclaredBackend};
use crate::context::beside::FolderBeside;
use crate::context::build_context::Context;
use crate::layer_cache::{Download, again};
use crate::layer_recipes;
use crate::layers::wheel;
use crate::oci::{Digest, Key, KeyBuilder};
use crate::packages::python::{PackageName, WheelFileName, WheelTarget};
use crate::plan::system_packages::build_packages_of;
use crate::report::{BuildError, Event};
use crate::resolve::wheels::WheelLock;
use crate::source::KnownHashes;
use crate::source_builds::build_root::BuildRoot;
use crate::source_builds::step_runner;
use crate::source_builds::step_runner::StepError;
use crate::source_builds::step_runner::bare_key;
use crate::source_builds::toolchain::Toolchain;
use crate::store::FileState;

/// How to do without building a wheel.
const NO_BUILD: &str = "name a version that has wheels, or put a wheel that you built into the source and name it in the requirements; for the project itself, set DISABLE_SETUP_PY_PROCESSING or DISABLE_PYPROJECT_TOML_PROCESSING if it runs from its folder";
/// The record kind of wheels that were built.
const RECORD: &str = "built-wheels";
/// The program that speaks to backends.
const DRIVER: &str = include_str!("../../../scripts/build_wheel.py");
/// Where build requirements lie in the sandbox, as a path of a layer.
const ENVIRONMENT: &str = "build/env";
/// Most build requirements that a project may name.
const MAX_REQUIRES: usize = 1000;
/// How deep build requirements may need building themselves.
const MAX_DEPTH: usize = 4;
/// Variables that say how an application is started; no backend looks at them.
const OF_START: [&str; 6] = [
    "APP_",
    "PORT",
    "WEB_CONCURRENCY",
    "GUNICORN_",
    "DISABLE_",
    "ENABLE_",
];

/// What a wheel is built from.
pub(crate) enum BuildSource<'a> {
    Archive {
        file: Download,
        /// The folder in it.
        subdirectory: Option<String>,
    },
    /// A folder of the project.
    Own {
        /// Its path in the source; empty for the root.
        path: &'a str,
        /// Whether the wheel only leads to the folder.
        is_editable: bool,
    },
    /// A folder outside the source.
    Beside(&'a FolderBeside),
    /// A folder elsewhere on this machine.
    Checkout {
        folder: PathBuf,
        /// The folder in it.
        subdirectory: Option<String>,
        /// What names its contents, such as a commit.
        identity: String,
    },
}

/// A wheel that was built, in the store's downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltFile {
    pub file_name: WheelFileName,
    pub sha256: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The Debian packages of libraries that it links, and that a builder has for building only.
    pub system_packages: Vec<String>,
}

/// How much is put into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToolchainLevel {
    /// Python alone: its failure is not the last word.
    PythonOnly,
    /// Compilers and headers too.
    Full,
}

/// What came of a build.
enum BuildEnd {
    Built(Box<BuiltFile>),
    /// Something is compiled, and there is no compiler.
    NeedsCompilers {
        /// Whether the build failed for it.
        has_failed: bool,
    },
}

/// Finds the packages that a build needs.
pub(crate) trait BuildRequirements {
    /// Exact wheels of the requirements in a text; `depth` is how many builds they are needed for.
    ///
    /// # Errors
    /// Whatever keeps them from exact wheels, a failing build included.
    fn build_requirements(&self, text: &str, depth: usize) -> Result<WheelLock, BuildError>;
}

/// Builds wheels for one target.
pub(crate) struct WheelBuilder<'a> {
    pub context: &'a Context<'a>,
    pub build_root: &'a BuildRoot<'a>,
    pub target: &'a WheelTarget,
    pub requirements: &'a dyn BuildRequirements,
    /// How many builds this one is needed for.
    pub depth: usize,
    /// Whether a wheel will do whose bytes are nowhere but in a layer of a registry.
    pub may_be_remote: bool,
}

impl WheelBuilder<'_> {
    /// The wheel of a project, built unless it was built before.
    ///
    /// # Errors
    /// The build fails, or there is no sandbox for it.
    pub(crate) fn wheel(
        &self,
        title: &str,
        name: Option<&PackageName>,
        material: &BuildSource<'_>,
    ) -> Result<BuiltFile, BuildError> {
        // Most projects are nothing but Python; only those that are not need compilers fetched.
        let plain = self.build_root.plain()?;
        let mut plain_key = self.key(material, plain)?;
        if let Some(known) = self.known_anywhere(&plain_key)? {
            return Ok(known);
        }
        let context = self.context;
        if context.is_bare() {
            plain_key = bare_key(&plain_key);
            if let Some(known) = self.known_anywhere(&plain_key)? {
                return Ok(known);
            }
            step_runner::allowed(context, title, NO_BUILD)?;
            if let BuildSource::Own {
                is_editable: true, ..
            } = material
            {
                return Err(StepError::Placed {
                    step: format!("the editable install of {title}"),
                    instead: "write its folder alone instead of `-e` and its folder in the requirements".to_owned(),
                    needs: "its wheel names the folder in which it was built, and without mounts that is not the image's",
                }
                .into());
            }
        }
        if self.depth > MAX_DEPTH {
            return Err(WheelBuildError::TooDeep {
                title: title.to_owned(),
            }
            .into());
        }
        let tried = self.build(title, material, plain, ToolchainLevel::PythonOnly)?;
        let (key, built) = match tried {
            BuildEnd::Built(built) => (plain_key, *built),
            BuildEnd::NeedsCompilers { has_failed: true } if self.has_no_packages() => {
                return Err(self.no_compiler(title));
            }
            BuildEnd::NeedsCompilers { has_failed } => {
                if has_failed {
                    context.report.event(Event::Output {
                        step: title.to_owned(),
                        line: "once more, with the builder's build packages".to_owned(),
                    });
                }
                let more = self.packages_for(name);
                let full = self.build_root.full(more)?;
                let mut key = self.key(material, &full)?;
                if context.is_bare() {
                    key = bare_key(&key);
                }
                if let Some(known) = self.known(&key)? {
                    self.note(&plain_key, &known);
                    return Ok(known);
                }
                match self.build(title, material, &full, ToolchainLevel::Full)? {
                    BuildEnd::Built(built) => (key, *built),
                    BuildEnd::NeedsCompilers { .. } => return Err(self.no_compiler(title)),
                }
            }
        };
        let fits = self.target.tags().rank(&built.file_name).is_some()
            && name.is_none_or(|name| *name == built.file_name.name);
        if !fits {
            return Err(WheelBuildError::Other {
                title: title.to_owned(),
                found: built.file_name.to_string(),
            }
            .into());
        }
        self.note(&plain_key, &built);
        let text = record(&built);
        context.store.put_record(RECORD, &key, text.as_bytes())?;
        Ok(built)
    }

    /// A wheel that was built before, here or, if that will do, by somebody whose registry knows of it.
    fn known_anywhere(&self, key: &Key) -> Result<Option<BuiltFile>, BuildError> {
        let mut known = self.known(key)?;
        if known.is_none() && self.may_be_remote {
            let text = self.context.cache.built(key);
            known = text.and_then(|text| read(text.as_bytes()));
        }
        if let Some(known) = &known {
            self.note(key, known);
        }
        Ok(known)
    }

    /// Remembers for the image what a wheel of it was built from. Whether compilers were needed is no
    /// part of the key there: who looks it up has not fetched them.
    fn note(&self, key: &Key, built: &BuiltFile) {
        if self.depth == 0 {
            self.context.note_built(key, record(built));
        }
    }

    /// A wheel that was built before and is still there, as it was. One that nobody has to read to find out
    /// what it needs is not read here either: whoever makes a layer of it does.
    fn known(&self, key: &Key) -> Result<Option<BuiltFile>, BuildError> {
        let store = self.context.store;
        let known = store.record(RECORD, key)?.and_then(|text| read(&text));
        let Some(known) = known else {
            return Ok(None);
        };
        if self.may_be_remote {
            let is_there = store.has_download(&known.sha256, Some(known.size_bytes));
            return Ok(is_there.then_some(known));
        }
        let state = store.drop_damaged_download(&known.sha256)?;
        if state == FileState::Dropped {
            self.context.report.event(again(&known.sha256, state));
        }
        Ok((state == FileState::Sound).then_some(known))
    }

    /// Whether nothing is added for building: an image has a compiler or has none.
    fn has_no_packages(&self) -> bool {
        self.context.stands_on_image() || self.context.is_bare()
    }

    fn no_compiler(&self, title: &str) -> BuildError {
        let title = title.to_owned();
        if self.context.is_bare() {
            return WheelBuildError::NoCompilerHere { title }.into();
        }
        let image = self.context.builder.base_title();
        WheelBuildError::NoCompiler { title, image }.into()
    }

    /// Names a wheel by all that determines it, as far as the builder has it in hand: what its build
    /// requirements were on the day is not part of it, or no wheel would ever be known.
    fn key(&self, material: &BuildSource<'_>, toolchain: &Toolchain) -> Result<Key, BuildError> {
        let mut key = KeyBuilder::new("built-wheel/1")
            .field(toolchain.key.as_bytes())
            .field(self.target.to_string().as_bytes())
            .field(DRIVER.as_bytes())
            .field(&self.context.epoch_seconds().to_le_bytes());
        if !self.context.plan.packages.implied.may_come {
            key.add(b"alone");
        }
        match material {
            BuildSource::Archive { file, subdirectory } => {
                key.add(b"archive");
                key.add(file.digest.as_bytes());
                key.add(subdirectory.as_deref().unwrap_or_default().as_bytes());
            }
            BuildSource::Own { path, is_editable } => {
                key.add(b"own");
                key.add(path.as_bytes());
                key.add(&[u8::from(*is_editable)]);
                key.add(self.context.contents()?.key().as_bytes());
                self.add_description(&mut key);
            }
            BuildSource::Beside(folder) => {
                key.add(b"beside");
                key.add(folder.place.as_bytes());
                let contents = folder.tree.contents(&KnownHashes::default())?;
                key.add(contents.key().as_bytes());
                self.add_description(&mut key);
            }
            BuildSource::Checkout {
                subdirectory,
                identity,
                ..
            } => {
                key.add(b"checkout");
                key.add(identity.as_bytes());
                key.add(subdirectory.as_deref().unwrap_or_default().as_bytes());
            }
        }
        for (name, value) in self.environment() {
            key.add(name.as_bytes());
            key.add(value.as_bytes());
        }
        Ok(key.finish())
    }

    /// Names the version that git gives the source's commit, where that was asked.
    fn add_description(&self, key: &mut KeyBuilder) {
        let git = self.context.project.git.as_ref();
        if let Some(description) = git.and_then(|git| git.description.as_ref()) {
            key.add(description.as_bytes());
        }
    }

    /// What the project and the command line set for the build.
    fn environment(&self) -> BTreeMap<String, String> {
        self.context
            .build_variables()
            .into_iter()
            .filter(|(name, _)| !OF_START.iter().any(|start| name.starts_with(start)))
            .collect()
    }

    /// Builds, unless the source shows that compilers are needed and there are none. A build that called one in
    /// vain counts as none, whether it failed or not: an extension that is left out where there is no compiler is
    /// built where there is one.
    fn build(
        &self,
        title: &str,
        material: &BuildSource<'_>,
        toolchain: &Toolchain,
        level: ToolchainLevel,
    ) -> Result<BuildEnd, BuildError> {
        let session = BuildSession::open(self, title, material, toolchain)?;
        let declared = session.ask::<DeclaredBackend>("declare", &[])?;
        if declared.is_native && level == ToolchainLevel::PythonOnly {
            return Ok(BuildEnd::NeedsCompilers { has_failed: false });
        }
        let built = self.by_backend(title, &session, declared.requires);
        let has_failed = built.is_err();
        // With the build packages there is nothing left to add; to images and to where s2r stands none are.
        let may_help = level == ToolchainLevel::PythonOnly && !self.has_no_packages();
        if (may_help || has_failed && self.has_no_packages()) && session.missed_compilers()? {
            return Ok(BuildEnd::NeedsCompilers { has_failed });
        }
        let built = built?;
        // What is only built with runs where the build packages are.
        let system_packages = match self.depth {
            0 => self.linked_packages(title, &built.libraries, toolchain)?,
            _ => Vec::new(),
        };
        let built = session.take(&built.file)?;
        Ok(BuildEnd::Built(Box::new(BuiltFile {
            system_packages,
            ..built
        })))
    }

    /// Has the backend build, with what it says that it needs.
    fn by_backend(
        &self,
        title: &str,
        session: &BuildSession<'_>,
        mut requires: Vec<String>,
    ) -> Result<BackendWheel, BuildError> {
        let mut environment = self.environment_of(title, &requires)?;
        let asked = session
            .ask::<BackendRequires>("ask", &environment)?
            .requires;
        if !asked.is_empty() {
            requires.extend(asked);
            environment = self.environment_of(title, &requires)?;
        }
        session.ask::<BackendWheel>("build", &environment)
    }

    /// The packages of what a wheel links and what would stay behind with the build packages, sorted.
    ///
    /// # Errors
    /// No package is known to have a library, or none may come by itself.
    fn linked_packages(
        &self,
        title: &str,
        libraries: &[String],
        toolchain: &Toolchain,
    ) -> Result<Vec<String>, BuildError> {
        let context = self.context;
        let mut packages = BTreeSet::new();
        for library in libraries {
            if !toolchain.is_left_behind(context, library)? {
                continue;
            }
            match toolchain.package_of(context, library)? {
                Some(package) if context.plan.packages.implied.may_come => {
                    packages.insert(package);
                }
                package => {
                    return Err(WheelBuildError::Library {
                        title: title.to_owned(),
                        library: library.clone(),
                        package,
                    }
                    .into());
                }
            }
        }
        Ok(packages.into_iter().collect())
    }

    /// What a distribution is known to be built with.
    fn packages_for(&self, name: Option<&PackageName>) -> &'static [String] {
        match name {
            Some(name) if self.context.plan.packages.implied.may_come => {
                build_packages_of(name.as_ref())
            }
            _ => &[],
        }
    }

    /// The folders of the build requirements.
    fn environment_of(&self, title: &str, requires: &[String]) -> Result<Vec<PathBuf>, BuildError> {
        let is_line = |line: &String| !line.contains(['\n', '\r']) && !line.starts_with('-');
        if requires.len() > MAX_REQUIRES || !requires.iter().all(is_line) {
            return Err(WheelBuildError::NoAnswer {
                title: title.to_owned(),
                what: "list of build requirements",
            }
            .into());
        }
        if requires.is_empty() {
            return Ok(Vec::new());
        }
        let lock = self
            .requirements
            .build_requirements(&requires.join("\n"), self.depth + 1)?;
        let place = wheel::InstallTarget {
            prefix: ENVIRONMENT.to_owned(),
            ..self.context.place()
        };
        let shelf = self.context.shelf();
        let wheels: Vec<_> = lock.packages.iter().collect();
        let recipe = layer_recipes::wheel_layer(&wheels, &place, &shelf);
        let folder = self
            .context
            .roots()
            .of_recipe(&recipe, &self.context.fetcher())?;
        Ok(vec![folder])
    }
}

/// A wheel as a line.
fn record(built: &BuiltFile) -> String {
    let mut line = format!("{} {} {}", built.file_name, built.sha256, built.size_bytes);
    if !built.system_packages.is_empty() {
        line.push(' ');
        line.push_str(&built.system_packages.join(","));
    }
    line
}

/// The wheel of such a line, and its Debian packages.
pub(crate) fn packages_of_record(line: &str) -> Option<(WheelFileName, Vec<String>)> {
    let built = read(line.as_bytes())?;
    Some((built.file_name, built.system_packages))
}

/// A record, read back.
fn read(text: &[u8]) -> Option<BuiltFile> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    Some(BuiltFile {
        file_name: words.next()?.parse().ok()?,
        sha256: words.next()?.parse().ok()?,
        size_bytes: words.next()?.parse().ok()?,
        system_packages: words
            .next()
            .map(|names| names.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}
