//! Byte code for what goes into an image, made by the image's own interpreter.
//!
//! The interpreter is unpacked from packages that a signed index lists and run where s2r runs: compiling
//! runs none of the sources, so it needs no namespaces, which a restricted pod does not give. It gets
//! memory and time in bounds, an empty environment, sources on its standard input, and no file but its
//! base's and its own (`sandbox::AccessRules`); what it writes is checked before it is kept. Everything is kept by what it follows from, so that a wheel is compiled once for
//! all projects, and a change of the application compiles its own portion only.
//!
//! A base has the interpreter in a layer of its own, with the libraries that it links: a machine that
//! has nothing fetches and unpacks that one to compile an edited file, and none of the rest.

mod compiler_of;
mod interpreter;
mod lanes;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::layers::bytecode::{self, ByteCode, PycValidation};
use crate::layers::deb::BasePart;
use crate::layers::source::{self, SourceLayer};
use crate::layers::wheel::{self, InstallTarget, WheelFile, WheelSources};
use crate::oci::{Key, KeyBuilder};
use crate::packages::debian::DebArtefact;
use crate::report::{BuildError, Event, Report};
use crate::store::{Store, StoreError};

pub(crate) use interpreter::CompileError;
use interpreter::{HostInterpreter, SCRIPT};
use lanes::InterpreterPermits;

/// Most files of a standard library; Python's has some 2000.
const MAX_LIBRARY_FILES: usize = 50_000;

/// What compiling came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CompileTotals {
    /// Files that were compiled now.
    pub compiled_files: usize,
    /// Files whose byte code was kept from before.
    pub known_files: usize,
    /// Files that are left as sources, because the compiler broke off.
    pub failed_files: usize,
    /// Time that interpreters ran, all together.
    pub took: Duration,
}

/// A source to compile.
struct SourceInput {
    /// In the image, without a leading slash.
    path: Vec<u8>,
    /// Says, with the path, which bytes it has.
    identity: [u8; 32],
    size_bytes: u64,
}

/// Gives the bytes of a source by its place.
type ReadModule<'r> = dyn Fn(usize) -> Result<Vec<u8>, BuildError> + Sync + 'r;

/// Sources that belong together: a wheel's, say.
struct SourceSet<'r> {
    inputs: Vec<SourceInput>,
    read: Box<ReadModule<'r>>,
    trust: PycValidation,
}

/// A portion of a set.
struct CompileJob {
    set: usize,
    range: Range<usize>,
    key: Key,
}

/// Gives folders of layers when they are wanted.
pub(crate) type FindFolders<'a> =
    Box<dyn Fn() -> Result<Vec<PathBuf>, BuildError> + Send + Sync + 'a>;

/// Where a compiler finds what it runs and reads. Asking has layers fetched and unpacked.
pub(crate) struct LayerFolders<'a> {
    /// This machine's interpreter, and the libraries that it links.
    pub interpreter: FindFolders<'a>,
    /// All of this machine's base, for an interpreter that links more.
    pub machine: FindFolders<'a>,
    /// The image's standard library.
    pub library: FindFolders<'a>,
}

/// In which of the folders the interpreter is looked for.
#[derive(Debug, Clone, Copy)]
enum SearchScope {
    Interpreter,
    Base,
}

/// What makes byte code for one platform of an image.
pub(crate) struct BytecodeCompiler<'a> {
    pub store: &'a Store,
    pub report: &'a dyn Report,
    /// Interpreters that run at once.
    pub workers: usize,
    /// Python's version, two numbers.
    pub python: &'a str,
    /// Of all that decides its output, beside the sources.
    pub key: Key,
    folders: LayerFolders<'a>,
    /// Of the folders of the interpreter alone, and of the whole base.
    interpreters: (OnceLock<HostInterpreter>, OnceLock<HostInterpreter>),
    finding: Mutex<()>,
    permits: InterpreterPermits,
    totals: Mutex<CompileTotals>,
}

/// The key of a compiler: the interpreter's packages, by version, because byte code is the same on
/// all machines, and the script.
pub(crate) fn compiler_key(packages: &[DebArtefact]) -> Key {
    let mut key = KeyBuilder::new("compiler/1").field(SCRIPT.as_bytes());
    for deb in python_packages(packages) {
        key.add(deb.package.as_bytes());
        key.add(deb.version.as_bytes());
    }
    key.finish()
}

/// The packages of a base that are Python's.
pub(crate) fn python_packages(packages: &[DebArtefact]) -> impl Iterator<Item = &DebArtefact> {
    packages
        .iter()
        .filter(|deb| BasePart::is_python(&deb.package))
}

impl<'a> BytecodeCompiler<'a> {
    pub(crate) fn new(
        (store, report): (&'a Store, &'a dyn Report),
        workers: usize,
        (python, key): (&'a str, Key),
        folders: LayerFolders<'a>,
    ) -> Self {
        Self {
            store,
            report,
            workers: workers.max(1),
            python,
            key,
            folders,
            interpreters: (OnceLock::new(), OnceLock::new()),
            finding: Mutex::new(()),
            permits: InterpreterPermits::new(workers),
            totals: Mutex::default(),
        }
    }

    /// What compiling came to so far.
    pub(crate) fn totals(&self) -> CompileTotals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The byte code of wheels, in their order.
    ///
    /// # Errors
    /// A wheel that cannot be read; an interpreter that does not run.
    pub(crate) fn wheels(
        &self,
        wheels: &[WheelFile],
        target: &InstallTarget,
    ) -> Result<Vec<ByteCode>, BuildError> {
        let sources = wheels
            .iter()
            .map(|wheel| WheelSources::open(wheel, target))
            .collect::<Result<Vec<_>, wheel::WheelLayerError>>()?;
        let sets: Vec<SourceSet<'_>> = sources
            .iter()
            .zip(wheels)
            .map(|(sources, wheel)| SourceSet {
                inputs: sources
                    .files()
                    .map(|(path, size_bytes)| SourceInput {
                        path: path.to_vec(),
                        identity: wheel.sha256,
                        size_bytes,
                    })
                    .collect(),
                read: Box::new(move |index| Ok(sources.read(index)?)),
                trust: PycValidation::Unchecked,
            })
            .collect();
        self.compile(&sets)
    }

    /// The byte code of the application.
    ///
    /// # Errors
    /// A file that cannot be read or has changed; an interpreter that does not run.
    pub(crate) fn application(&self, source: SourceLayer<'_>) -> Result<ByteCode, BuildError> {
        let modules = source::modules(source);
        let inputs = modules
            .iter()
            .map(|module| SourceInput {
                path: module.path.clone(),
                identity: source.contents.hash_of(module.index).unwrap_or_default(),
                size_bytes: module.size_bytes,
            })
            .collect();
        let modules = &modules;
        self.one(SourceSet {
            inputs,
            read: Box::new(move |index| match modules.get(index) {
                Some(module) => Ok(source::read(source, module)?),
                None => Ok(Vec::new()),
            }),
            trust: PycValidation::Checked,
        })
    }

    /// The byte code of the image's standard library. `identity` says which it is.
    ///
    /// # Errors
    /// A base without one; a file that cannot be read; an interpreter that does not run.
    pub(crate) fn library(&self, identity: &Key) -> Result<ByteCode, BuildError> {
        let below = format!("usr/lib/python{}", self.python);
        let mut found = BTreeMap::new();
        for root in (self.folders.library)()? {
            walk(&root.join(&below), "", &mut found)?;
        }
        // A library has this module, and it is not frozen.
        if !found.contains_key("functools.py") {
            return Err(self.no_interpreter().into());
        }
        let inputs = found
            .iter()
            .map(|(path, module)| SourceInput {
                path: format!("{below}/{path}").into_bytes(),
                identity: *identity.as_bytes(),
                size_bytes: module.size_bytes,
            })
            .collect();
        let places: Vec<PathBuf> = found.into_values().map(|module| module.place).collect();
        let places = &places;
        self.one(SourceSet {
            inputs,
            read: Box::new(move |index| match places.get(index) {
                Some(path) => Ok(std::fs::read(path).map_err(unreadable(path))?),
                None => Ok(Vec::new()),
            }),
            trust: PycValidation::Unchecked,
        })
    }

    fn one(&self, set: SourceSet<'_>) -> Result<ByteCode, BuildError> {
        Ok(self.compile(&[set])?.pop().unwrap_or_default())
    }

    /// The byte code of each set: what is kept, and the rest made now.
    fn compile(&self, sets: &[SourceSet<'_>]) -> Result<Vec<ByteCode>, BuildError> {
        let mut code: Vec<ByteCode> = sets.iter().map(|_| ByteCode::default()).collect();
        let mut now = CompileTotals::default();
        let mut missing = Vec::new();
        for job in jobs(sets, &self.key) {
            if self.take(&job, sets, &mut code) {
                now.known_files += job.range.len();
            } else {
                missing.push(job);
            }
        }
        if !missing.is_empty() {
            now.took = self.run_all(&missing, sets)?;
            for job in &missing {
                if self.take(job, sets, &mut code) {
                    now.compiled_files += job.range.len();
                } else {
                    now.failed_files += job.range.len();
                }
            }
        }
        if now.failed_files > 0 {
            self.report.event(Event::Warning {
                text: format!(
                    "{} files have no byte code: Python's compiler broke off at one of them",
                    now.failed_files
                ),
                hint: "they work, and are compiled at each start".to_owned(),
            });
        }
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.compiled_files += now.compiled_files;
        totals.known_files += now.known_files;
        totals.failed_files += now.failed_files;
        totals.took += now.took;
        Ok(code)
    }

    /// Takes a portion's byte code from the store, if it is there and sound.
    fn take(&self, job: &CompileJob, sets: &[SourceSet<'_>], code: &mut [ByteCode]) -> bool {
        let (Some(set), Some(code)) = (sets.get(job.set), code.get_mut(job.set)) else {
            return false;
        };
        let Some(kept) = self.store.compiled(&job.key) else {
            return false;
        };
        let paths = inputs(set, job).iter().map(|input| input.path.as_slice());
        code.add(kept, paths, set.trust).is_ok()
    }

    /// Compiles portions, some at once; how long that took, all together.
    fn run_all(
        &self,
        missing: &[CompileJob],
        sets: &[SourceSet<'_>],
    ) -> Result<Duration, BuildError> {
        let lanes = lanes::of(missing, sets, self.workers);
        let run = |reach| lanes::run(self, self.interpreter(reach)?, &lanes, sets);
        match run(SearchScope::Interpreter) {
            // A builder of somebody's own may have one that links more than Debian's does.
            Err(error) if error.find::<CompileError>().is_some() => run(SearchScope::Base),
            done => done,
        }
    }

    /// The interpreter; its folders are unpacked when it is wanted first.
    fn interpreter(&self, reach: SearchScope) -> Result<&HostInterpreter, BuildError> {
        let (folders, found) = match reach {
            SearchScope::Interpreter => (&self.folders.interpreter, &self.interpreters.0),
            SearchScope::Base => (&self.folders.machine, &self.interpreters.1),
        };
        let _alone = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.get() {
            return Ok(found);
        }
        let now =
            HostInterpreter::find(&folders()?, self.python).ok_or_else(|| self.no_interpreter())?;
        Ok(found.get_or_init(|| now))
    }

    fn no_interpreter(&self) -> CompileError {
        CompileError::NoInterpreter {
            python: self.python.to_owned(),
        }
    }
}

/// All portions of all sets, with their keys.
fn jobs(sets: &[SourceSet<'_>], compiler: &Key) -> Vec<CompileJob> {
    let mut jobs = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let files = set.inputs.iter();
        let files = files.map(|input| (input.path.as_slice(), input.size_bytes));
        for range in bytecode::chunks(files) {
            let mut key = KeyBuilder::new("bytecode-chunk/1")
                .field(compiler.as_bytes())
                .field(&[u8::from(set.trust == PycValidation::Checked)]);
            for input in set.inputs.get(range.clone()).unwrap_or_default() {
                key.add(&input.path);
                key.add(&input.identity);
            }
            jobs.push(CompileJob {
                set: number,
                range,
                key: key.finish(),
            });
        }
    }
    jobs
}

fn inputs<'s>(set: &'s SourceSet<'_>, job: &CompileJob) -> &'s [SourceInput] {
    set.inputs.get(job.range.clone()).unwrap_or_default()
}

/// A module of a library on this machine.
struct LibraryModule {
    place: PathBuf,
    size_bytes: u64,
}

/// Modules of a library below a folder, if that is there, by their paths in the library; links are
/// not followed.
fn walk(
    folder: &Path,
    prefix: &str,
    found: &mut BTreeMap<String, LibraryModule>,
) -> Result<(), BuildError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unreadable(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(unreadable(folder))?;
        let kind = entry.file_type().map_err(unreadable(folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file() && bytecode::is_library_module(path.as_bytes()) {
            let size_bytes = entry.metadata().map_err(unreadable(folder))?.len();
            if size_bytes <= bytecode::MAX_SOURCE_BYTES && found.len() < MAX_LIBRARY_FILES {
                let place = entry.path();
                found.insert(path, LibraryModule { place, size_bytes });
            }
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// A set of sources that are so long.
    pub(crate) fn set(sizes: &[u64]) -> SourceSet<'static> {
        SourceSet {
            inputs: sizes
                .iter()
                .enumerate()
                .map(|(number, size_bytes)| SourceInput {
                    path: format!("m{number:04}.py").into_bytes(),
                    identity: [0; 32],
                    size_bytes: *size_bytes,
                })
                .collect(),
            read: Box::new(|_| Ok(Vec::new())),
            trust: PycValidation::Unchecked,
        }
    }
}

#[cfg(test)]
mod tests;
