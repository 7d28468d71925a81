//! Wheels from source: an sdist, a folder of the project or a checkout becomes a wheel in the
//! sandbox, by its own backend (PEP 517, PEP 660), and is kept for good.
//!
//! What the backend needs is resolved and fetched outside, and lies in the sandbox as folders: no
//! installer runs there. A wheel is known by what it was built from, the toolchain and Python, so
//! that it is built once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::changes::bare_key;
use super::error::{BuildError, Obstacle};
use super::exact::Exact;
use super::make::Needed;
use super::platform::Site;
use super::recipes;
use super::staging::{SOURCE, Staged};
use super::steps::{self, Order, Place, StepError, Steps};
use super::toolchain::Toolchain;
use crate::layers::wheel;
use crate::oci::{Digest, Key, KeyBuilder};
use crate::packages::python::{PackageName, WheelFileName};
use crate::report::{Event, Explain, Explanation, Fate};
use crate::sandbox::{self, ChangeKind, Mount};

/// How to do without building a wheel.
const NO_BUILD: &str = "Name a version that has wheels, or put a wheel that you built into the source and name it in the requirements; for the project itself, set DISABLE_SETUP_PY_PROCESSING or DISABLE_PYPROJECT_TOML_PROCESSING if it runs from its folder.";
/// The record kind of wheels that were built.
const RECORD: &str = "built-wheels";
/// The program that speaks to backends.
const DRIVER: &str = include_str!("../../scripts/build_wheel.py");
/// Makes every Python in the sandbox see the build requirements, `.pth` files included.
const SITE: &str = "\
import os, site
build = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
site.addsitedir(build + \"/env/lib/python{python}/site-packages\")
";
/// Where build requirements lie in the sandbox, as a path of a layer.
const ENVIRONMENT: &str = "build/env";
/// Where the driver leaves what it found.
const OUT: &str = "/build/out";
/// Longest answer of the driver.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
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
pub(super) enum Material<'a> {
    /// A source distribution.
    Archive {
        /// The file.
        file: Needed,
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
    /// A folder elsewhere on this machine.
    Checkout {
        /// Where.
        folder: PathBuf,
        /// The folder in it.
        subdirectory: Option<String>,
        /// What names its contents, such as a commit.
        identity: String,
    },
}

/// A wheel that was built, in the store's downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    /// Its file name.
    pub file_name: WheelFileName,
    /// Its hash.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// Why a backend's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WheelBuildError {
    /// It left no answer, or one that does not read.
    #[error("{title}: its backend left no {what} that reads")]
    NoAnswer {
        /// What was built.
        title: String,
        /// What is missing.
        what: &'static str,
    },
    /// A base image without what compiling needs.
    #[error("{title}: {image} has no compiler")]
    NoCompiler {
        /// What was to be built.
        title: String,
        /// The base.
        image: String,
    },
    /// Without isolation, where s2r stands has to have what compiling needs.
    #[error("{title}: there is no compiler here")]
    NoCompilerHere {
        /// What was to be built.
        title: String,
    },
    /// It built something else.
    #[error("{title}: its backend built {found}")]
    Other {
        /// What was to be built.
        title: String,
        /// The file that came of it.
        found: String,
    },
    /// Build requirements need building, and theirs, and so on.
    #[error("{title}: its build requirements need building themselves, too deeply")]
    TooDeep {
        /// What was to be built.
        title: String,
    },
}

impl Explain for WheelBuildError {
    fn explain(&self) -> Explanation {
        let mut next = "Check its [build-system] in pyproject.toml; `pip wheel --no-deps` on it shows the same.".to_owned();
        let (title, why) = match self {
            Self::NoAnswer { title, what } => (
                title,
                format!("It ended well, but there is no {what} that reads."),
            ),
            Self::NoCompiler { title, image } => {
                "Take a base image with compilers (python:3.13 and not its slim variant, a full S2I image), a builder of packages (`s2r builders`), or a version with a wheel."
                    .clone_into(&mut next);
                (
                    title,
                    format!(
                        "It has to be compiled, and {image} lacks the compiler or headers; nothing is added to an image."
                    ),
                )
            }
            Self::NoCompilerHere { title } => {
                "Take a version with a wheel, run s2r in an image that has the builder's build packages too (`s2r builders`), or build with --isolation auto where namespaces are allowed."
                    .clone_into(&mut next);
                (
                    title,
                    "It has to be compiled, and where s2r stands there is no compiler or no header; with --isolation none nothing is added to it."
                        .to_owned(),
                )
            }
            Self::Other { title, found } => (
                title,
                format!("It built {found}, which is no wheel of that project for this Python."),
            ),
            Self::TooDeep { title } => (
                title,
                "Its build requirements have no wheels, nor have theirs.".to_owned(),
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: "a wheel could not be built".to_owned(),
            place: title.clone(),
            why,
            next,
        }
    }
}

/// What the driver leaves first.
#[derive(Deserialize)]
struct Declared {
    requires: Vec<String>,
    is_native: bool,
}

/// What the driver leaves then.
#[derive(Deserialize)]
struct Asked {
    requires: Vec<String>,
}

/// What the driver leaves in the end.
#[derive(Deserialize)]
struct File {
    file: String,
}

/// How much is put into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Python alone: its failure is not the last word.
    PythonOnly,
    /// Compilers and headers too.
    Full,
}

/// Builds wheels for one target.
pub(super) struct Builder<'a> {
    pub exact: &'a Exact<'a>,
    /// How many builds this one is needed for.
    pub depth: usize,
    /// Whether a wheel will do whose bytes are nowhere but in a layer of a registry.
    pub may_be_remote: bool,
}

impl Builder<'_> {
    /// The wheel of a project, built unless it was built before.
    ///
    /// # Errors
    /// The build fails, or there is no sandbox for it.
    pub(super) fn wheel(
        &self,
        title: &str,
        name: Option<&PackageName>,
        material: &Material<'_>,
    ) -> Result<Built, BuildError> {
        // Most projects are nothing but Python; only those that are not need compilers fetched.
        let plain = self.exact.ground.plain()?;
        let mut plain_key = self.key(material, plain)?;
        if let Some(known) = self.known_anywhere(&plain_key)? {
            return Ok(known);
        }
        let site = self.exact.site;
        if site.is_bare() {
            plain_key = bare_key(&plain_key);
            if let Some(known) = self.known_anywhere(&plain_key)? {
                return Ok(known);
            }
            steps::allowed(site, title, NO_BUILD)?;
            if let Material::Own {
                is_editable: true, ..
            } = material
            {
                return Err(StepError::Placed {
                    step: format!("the editable install of {title}"),
                    instead: "Write its folder alone instead of `-e` and its folder in the requirements.".to_owned(),
                    needs: "Its wheel names the folder in which it was built, and without mounts that is not the image's.",
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
        let (key, built) = match self.build(title, material, plain, Effort::PythonOnly) {
            Ok(Some(built)) => (plain_key, built),
            Err(error) if !misses_compiler(&error) => return Err(error),
            // It says that it compiles something, or it failed for want of a compiler.
            tried @ (Ok(None) | Err(_)) => {
                if tried.is_err() {
                    site.report().event(Event::Output {
                        step: title.to_owned(),
                        line: "once more, with the builder's build packages".to_owned(),
                    });
                }
                let full = self.exact.ground.full()?;
                let mut key = self.key(material, full)?;
                if site.is_bare() {
                    key = bare_key(&key);
                }
                if let Some(known) = self.known(&key)? {
                    self.note(&plain_key, &known);
                    return Ok(known);
                }
                let built = self
                    .build(title, material, full, Effort::Full)
                    .map_err(|error| self.with_reason(title, error))?;
                (key, built.ok_or_else(|| self.no_wheel(title))?)
            }
        };
        let fits = self.exact.target.tags().rank(&built.file_name).is_some()
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
        site.store().put_record(RECORD, &key, text.as_bytes())?;
        Ok(built)
    }

    /// A wheel that was built before, here or, if that will do, by somebody whose registry knows of it.
    fn known_anywhere(&self, key: &Key) -> Result<Option<Built>, BuildError> {
        let mut known = self.known(key)?;
        if known.is_none() && self.may_be_remote {
            let text = self.exact.site.cache().built(key);
            known = text.and_then(|text| read(text.as_bytes()));
        }
        if let Some(known) = &known {
            self.note(key, known);
        }
        Ok(known)
    }

    /// Remembers for the image what a wheel of it was built from. Whether compilers were needed is no
    /// part of the key there: who looks it up has not fetched them.
    fn note(&self, key: &Key, built: &Built) {
        if self.depth == 0 {
            self.exact.site.note_built(key, record(built));
        }
    }

    /// A wheel that was built before and is still there.
    fn known(&self, key: &Key) -> Result<Option<Built>, BuildError> {
        let store = self.exact.site.store();
        let known = store.record(RECORD, key)?.and_then(|text| read(&text));
        Ok(known.filter(|known| store.has_download(&known.sha256, Some(known.size_bytes))))
    }

    /// A base that is an image has a compiler or has none.
    fn with_reason(&self, title: &str, error: BuildError) -> BuildError {
        let site = self.exact.site;
        if misses_compiler(&error) && (site.stands_on_image() || site.is_bare()) {
            let title = title.to_owned();
            return if site.is_bare() {
                WheelBuildError::NoCompilerHere { title }
            } else {
                let image = site.builder.base_title();
                WheelBuildError::NoCompiler { title, image }
            }
            .into();
        }
        error
    }

    #[expect(clippy::unused_self, reason = "it reads as what it is")]
    fn no_wheel(&self, title: &str) -> BuildError {
        WheelBuildError::NoAnswer {
            title: title.to_owned(),
            what: "wheel",
        }
        .into()
    }

    /// Names a wheel by all that determines it, as far as the builder has it in hand: what its build
    /// requirements were on the day is not part of it, or no wheel would ever be known.
    fn key(&self, material: &Material<'_>, toolchain: &Toolchain) -> Result<Key, BuildError> {
        let mut key = KeyBuilder::new("built-wheel/1")
            .field(toolchain.key.as_bytes())
            .field(self.exact.target.to_string().as_bytes())
            .field(DRIVER.as_bytes())
            .field(&self.exact.site.epoch_seconds().to_le_bytes());
        match material {
            Material::Archive { file, subdirectory } => {
                key.add(b"archive");
                key.add(file.digest.as_bytes());
                key.add(subdirectory.as_deref().unwrap_or_default().as_bytes());
            }
            Material::Own { path, is_editable } => {
                key.add(b"own");
                key.add(path.as_bytes());
                key.add(&[u8::from(*is_editable)]);
                key.add(self.exact.site.tree().contents()?.key().as_bytes());
            }
            Material::Checkout {
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

    /// What the project and the command line set for the build.
    fn environment(&self) -> BTreeMap<String, String> {
        self.exact
            .site
            .build_variables()
            .into_iter()
            .filter(|(name, _)| !OF_START.iter().any(|start| name.starts_with(start)))
            .collect()
    }

    /// Builds; `None` if compilers are needed for it and were not asked for.
    fn build(
        &self,
        title: &str,
        material: &Material<'_>,
        toolchain: &Toolchain,
        effort: Effort,
    ) -> Result<Option<Built>, BuildError> {
        let session = Session::open(self, title, material, toolchain)?;
        let declared = session.ask::<Declared>("declare", &[])?;
        if declared.is_native && effort == Effort::PythonOnly {
            return Ok(None);
        }
        let mut requires = declared.requires;
        let mut environment = self.environment_of(title, &requires)?;
        let asked = session.ask::<Asked>("ask", &environment)?.requires;
        if !asked.is_empty() {
            requires.extend(asked);
            environment = self.environment_of(title, &requires)?;
        }
        let built = session.ask::<File>("build", &environment)?.file;
        session.take(&built).map(Some)
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
            .exact
            .build_requirements(&requires.join("\n"), self.depth + 1)?;
        let place = wheel::Target {
            prefix: ENVIRONMENT.to_owned(),
            ..self.exact.site.place()
        };
        let shelf = self.exact.site.shelf();
        let wheels: Vec<_> = lock.packages.iter().collect();
        let recipe = recipes::wheel_layer(&wheels, &place, &shelf);
        let folder = self
            .exact
            .site
            .roots()
            .of_recipe(&recipe, &self.exact.site.fetcher())?;
        Ok(vec![folder])
    }
}

/// One build: its root, which three commands share.
struct Session<'a> {
    builder: &'a Builder<'a>,
    title: &'a str,
    place: Place,
    source: String,
    mounts: Vec<Mount>,
    environment: BTreeMap<String, String>,
    kind: &'static str,
    _staged: Option<Staged>,
}

impl<'a> Session<'a> {
    fn open(
        builder: &'a Builder<'a>,
        title: &'a str,
        material: &Material<'_>,
        toolchain: &Toolchain,
    ) -> Result<Self, BuildError> {
        let site = builder.exact.site;
        let mut lower = toolchain.roots(site)?.to_vec();
        let mut mounts = tools(site)?;
        let mut environment = builder.environment();
        let mut staged = None;
        let mut kind = "wheel";
        let (source, subdirectory) = match material {
            Material::Archive { file, subdirectory } => {
                site.fetcher().fetch(file)?;
                let to = format!(
                    "/build/in/{}",
                    file.name.rsplit('/').next().unwrap_or("sdist")
                );
                mounts.push(Mount {
                    from: site.store().download_path(&file.digest),
                    to: to.clone(),
                    is_writable: false,
                });
                (to, subdirectory.clone())
            }
            Material::Own { path, is_editable } => {
                let copy = Staged::new(site.store(), site.tree(), SOURCE)?;
                lower.push(copy.root());
                staged = Some(copy);
                if *is_editable {
                    kind = "editable";
                }
                let path = path.trim_matches('/');
                let path = if path == "." { "" } else { path };
                (
                    format!("/{SOURCE}/{path}").trim_end_matches('/').to_owned(),
                    None,
                )
            }
            Material::Checkout {
                folder,
                subdirectory,
                ..
            } => {
                lower.push(folder.clone());
                let below = subdirectory
                    .as_deref()
                    .unwrap_or_default()
                    .trim_matches('/');
                (
                    format!("/build/source/{below}")
                        .trim_end_matches('/')
                        .to_owned(),
                    None,
                )
            }
        };
        if let Some(subdirectory) = subdirectory {
            environment.insert("S2R_SUBDIRECTORY".to_owned(), subdirectory);
        }
        environment.insert("PYTHONPATH".to_owned(), "/build/site".to_owned());
        environment.insert("HOME".to_owned(), "/tmp".to_owned());
        environment.insert(
            "PATH".to_owned(),
            "/build/env/bin:/usr/local/bin:/usr/bin:/bin".to_owned(),
        );
        Ok(Self {
            builder,
            title,
            place: Place::new(site.store(), lower)?,
            source,
            mounts,
            environment,
            kind,
            _staged: staged,
        })
    }

    /// Runs one command of the driver over the toolchain and these folders; reads its answer.
    fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        command: &'static str,
        environment: &[PathBuf],
    ) -> Result<T, BuildError> {
        let site = self.builder.exact.site;
        let root = self.place.over(environment);
        Steps {
            site,
            report: site.report(),
        }
        .run(
            &root,
            &Order {
                title: self.title,
                command: &[
                    site.interpreter(),
                    "/build/driver.py",
                    command,
                    &self.source,
                    OUT,
                    self.kind,
                ],
                directory: "/",
                environment: self.environment.clone(),
                mounts: self.mounts.clone(),
                has_network: command != "declare",
                instead: NO_BUILD,
            },
        )?;
        let (name, what) = match command {
            "declare" => ("declared.json", "list of build requirements"),
            "ask" => ("asked.json", "list of build requirements"),
            _ => ("built.json", "name of a wheel"),
        };
        let answer = self
            .written(name)?
            .filter(|(_, size_bytes)| *size_bytes <= MAX_ANSWER_BYTES)
            .and_then(|(path, _)| std::fs::read(path).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        answer.ok_or_else(|| self.no_answer(what))
    }

    fn no_answer(&self, what: &'static str) -> BuildError {
        WheelBuildError::NoAnswer {
            title: self.title.to_owned(),
            what,
        }
        .into()
    }

    /// A regular file that the steps wrote; links of theirs are not followed.
    fn written(&self, name: &str) -> Result<Option<(PathBuf, u64)>, BuildError> {
        let wanted = format!("{}/{name}", OUT.trim_start_matches('/'));
        let changes = sandbox::changes(&self.place.root)?;
        Ok(changes.into_iter().find_map(|change| match change.kind {
            ChangeKind::File { size_bytes } if change.path == wanted.as_bytes() => {
                Some((change.file, size_bytes))
            }
            _ => None,
        }))
    }

    /// Takes the wheel into the store.
    fn take(&self, name: &str) -> Result<Built, BuildError> {
        let missing = || self.no_answer("wheel");
        let file_name: WheelFileName = name.parse().map_err(|_| missing())?;
        let (path, size_bytes) = self.written(name)?.ok_or_else(missing)?;
        let sha256 = keep(self.builder.exact.site, &path)?;
        Ok(Built {
            file_name,
            sha256,
            size_bytes,
        })
    }
}

/// Whether a step failed for want of something that only the build packages bring.
fn misses_compiler(error: &BuildError) -> bool {
    const SIGNS: [&str; 6] = ["gcc", "g++", "compiler", "pkg-config", "Python.h", "'make'"];
    match error {
        BuildError::Step(StepError::Failed { last_lines, .. }) => last_lines
            .iter()
            .any(|line| SIGNS.iter().any(|sign| line.contains(sign))),
        _ => false,
    }
}

/// Copies a file into the store's downloads, and gives its hash.
fn keep(site: &Site<'_>, path: &Path) -> Result<Digest, BuildError> {
    let unreadable = |source| Obstacle::Unreadable {
        path: path.to_owned(),
        source,
    };
    let hash = |file: &mut std::fs::File, sink: &mut dyn std::io::Write| {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = std::io::Read::read(file, &mut buffer)?;
            if count == 0 {
                return Ok(Digest::from_bytes(hasher.finalize().into()));
            }
            hasher.update(&buffer[..count]);
            sink.write_all(&buffer[..count])?;
        }
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut writer = site.store().writer()?.unhashed();
    let digest = hash(&mut file, &mut writer).map_err(unreadable)?;
    site.store().keep_download(writer.hashed(digest), &digest)?;
    Ok(digest)
}

/// The driver and what makes Pythons see the build requirements, as files of this machine.
fn tools(site: &Site<'_>) -> Result<Vec<Mount>, BuildError> {
    let key = KeyBuilder::new("driver/1")
        .field(DRIVER.as_bytes())
        .field(site.python().as_bytes())
        .finish();
    let folder = site
        .store()
        .tools()
        .join(format!("driver-{}", &key.hex()[..16]));
    let customize = SITE.replace("{python}", site.python());
    let mut mounts = Vec::new();
    for (name, to, text) in [
        ("driver.py", "/build/driver.py", DRIVER),
        (
            "sitecustomize.py",
            "/build/site/sitecustomize.py",
            customize.as_str(),
        ),
    ] {
        let path = folder.join(name);
        let unwritable = |source| Obstacle::Unwritable {
            path: path.clone(),
            source,
        };
        if !std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
            std::fs::create_dir_all(&folder).map_err(unwritable)?;
            let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(unwritable)?;
            std::io::Write::write_all(&mut file, text.as_bytes()).map_err(unwritable)?;
            file.persist(&path)
                .map_err(|error| unwritable(error.error))?;
        }
        mounts.push(Mount {
            from: path,
            to: to.to_owned(),
            is_writable: false,
        });
    }
    Ok(mounts)
}

/// A wheel as a line.
fn record(built: &Built) -> String {
    format!("{} {} {}", built.file_name, built.sha256, built.size_bytes)
}

/// A record, read back.
fn read(text: &[u8]) -> Option<Built> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    Some(Built {
        file_name: words.next()?.parse().ok()?,
        sha256: words.next()?.parse().ok()?,
        size_bytes: words.next()?.parse().ok()?,
    })
}
