//! One build of one wheel: a root that three commands of the driver share, and what they leave there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{BuildSource, BuiltFile, DRIVER, NO_BUILD, WheelBuildError, WheelBuilder};
use crate::context::build_context::Context;
use crate::layers::hashed::Hashing;
use crate::oci::{Digest, KeyBuilder};
use crate::packages::python::WheelFileName;
use crate::report::{BuildError, FileError};
use crate::sandbox::{self, ChangeKind, StepMount};
use crate::source::SourceTree;
use crate::source_builds::staged_source::{SOURCE, StagedSource};
use crate::source_builds::step_runner::{StepCommand, StepRoot, StepRunner, USER};
use crate::source_builds::toolchain::Toolchain;
use serde::Deserialize;

/// Makes every Python in the sandbox see the build requirements, `.pth` files included.
const SITE: &str = "\
import os, site
build = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
site.addsitedir(build + \"/env/lib/python{python}/site-packages\")
";
/// Where the driver leaves what it found.
const OUT: &str = "/build/out";
/// Longest answer of the driver.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// What the driver leaves first.
#[derive(Deserialize)]
pub(crate) struct DeclaredBackend {
    pub requires: Vec<String>,
    pub is_native: bool,
}

/// What the driver leaves then.
#[derive(Deserialize)]
pub(crate) struct BackendRequires {
    pub requires: Vec<String>,
}

/// What the driver leaves in the end.
#[derive(Deserialize)]
pub(crate) struct BackendWheel {
    pub file: String,
    /// Shared libraries that files of the wheel link and that are not in it.
    pub libraries: Vec<String>,
}

/// One build: its root, which three commands share.
pub(crate) struct BuildSession<'a> {
    builder: &'a WheelBuilder<'a>,
    title: &'a str,
    place: StepRoot,
    source: String,
    mounts: Vec<StepMount>,
    environment: BTreeMap<String, String>,
    kind: &'static str,
    _staged: Option<StagedSource>,
}

impl<'a> BuildSession<'a> {
    pub(crate) fn open(
        builder: &'a WheelBuilder<'a>,
        title: &'a str,
        material: &BuildSource<'_>,
        toolchain: &Toolchain,
    ) -> Result<Self, BuildError> {
        let context = builder.context;
        let mut lower = toolchain.roots(context)?.to_vec();
        let mut mounts = tools(context)?;
        let mut environment = builder.environment();
        let mut staged = None;
        let mut kind = "wheel";
        let (source, subdirectory) = match material {
            BuildSource::Archive { file, subdirectory } => {
                context.fetcher().fetch(file)?;
                let to = format!(
                    "/build/in/{}",
                    file.name.rsplit('/').next().unwrap_or("sdist")
                );
                mounts.push(StepMount {
                    from: context.store.download_path(&file.digest),
                    to: to.clone(),
                    is_writable: false,
                });
                (to, subdirectory.clone())
            }
            BuildSource::Own { path, is_editable } => {
                let copy = staged_commit(context, context.tree(), SOURCE)?;
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
            BuildSource::Beside(folder) => {
                let place = folder.place_in_build();
                let below = place.trim_start_matches('/');
                let copy = staged_commit(context, &folder.tree, below)?;
                lower.push(copy.root());
                staged = Some(copy);
                (place, None)
            }
            BuildSource::Checkout {
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
            place: StepRoot::new(context.store, lower)?,
            source,
            mounts,
            environment,
            kind,
            _staged: staged,
        })
    }

    /// Runs one command of the driver over the toolchain and these folders; reads its answer.
    pub(crate) fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        command: &'static str,
        environment: &[PathBuf],
    ) -> Result<T, BuildError> {
        let context = self.builder.context;
        let root = self.place.over(environment);
        StepRunner {
            context,
            report: context.report,
        }
        .run(
            &root,
            &StepCommand {
                title: self.title,
                place: None,
                command: &[
                    context.interpreter(),
                    "/build/driver.py",
                    command,
                    &self.source,
                    OUT,
                    self.kind,
                ],
                directory: "/",
                user: USER,
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

    /// Whether a compiler was called, or another program of the build packages, that is not there.
    pub(crate) fn missed_compilers(&self) -> Result<bool, BuildError> {
        let below = format!("{}/missing/", OUT.trim_start_matches('/'));
        let changes = sandbox::changes(&self.place.root)?;
        Ok(changes
            .iter()
            .any(|change| change.path.starts_with(below.as_bytes())))
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
    pub(crate) fn take(&self, name: &str) -> Result<BuiltFile, BuildError> {
        let missing = || self.no_answer("wheel");
        let file_name: WheelFileName = name.parse().map_err(|_| missing())?;
        let (path, size_bytes) = self.written(name)?.ok_or_else(missing)?;
        let sha256 = keep(self.builder.context, &path)?;
        Ok(BuiltFile {
            file_name,
            sha256,
            size_bytes,
            system_packages: Vec::new(),
        })
    }
}

/// A copy of files of the source's commit that says which one that is.
fn staged_commit(
    context: &Context<'_>,
    tree: &SourceTree,
    below: &str,
) -> Result<StagedSource, BuildError> {
    let copy = StagedSource::new(context.store, tree, below)?;
    if let Some(git) = &context.project.git {
        let top = copy.root().join(below);
        let unwritable = |source| FileError::Unwritable {
            path: top.clone(),
            source,
        };
        git.write_archival_file(&top).map_err(unwritable)?;
    }
    Ok(copy)
}

/// Copies a file into the store's downloads, and gives its hash.
fn keep(context: &Context<'_>, path: &Path) -> Result<Digest, BuildError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = Hashing::new(std::fs::File::open(path).map_err(unreadable)?);
    let mut writer = context.store.writer()?.unhashed();
    std::io::copy(&mut file, &mut writer).map_err(unreadable)?;
    let digest = file.finish().map_err(unreadable)?;
    context
        .store
        .keep_download(writer.hashed(digest), &digest)?;
    Ok(digest)
}

/// The driver and what makes Pythons see the build requirements, as files of this machine.
fn tools(context: &Context<'_>) -> Result<Vec<StepMount>, BuildError> {
    let key = KeyBuilder::new("driver/1")
        .field(DRIVER.as_bytes())
        .field(context.python().as_bytes())
        .finish();
    let folder = context
        .store
        .tools()
        .join(format!("driver-{}", &key.hex()[..16]));
    let customize = SITE.replace("{python}", context.python());
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
        let unwritable = |source| FileError::Unwritable {
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
        mounts.push(StepMount {
            from: path,
            to: to.to_owned(),
            is_writable: false,
        });
    }
    Ok(mounts)
}
