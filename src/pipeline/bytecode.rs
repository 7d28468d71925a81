//! Byte code for what goes into an image, made by the image's own interpreter.
//!
//! The interpreter is taken out of the base's layers and run where s2r runs: compiling runs none of
//! the sources, so it needs no namespaces, which a restricted pod does not give. It gets memory and
//! time in bounds, an empty environment, and sources on its standard input; what it writes is checked
//! before it is kept. Everything is kept by what it follows from, so that a wheel is compiled once for
//! all projects, and a change of the application compiles its own portion only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::error::BuildError;
use super::interpreter::{CompileError, Interpreter, SCRIPT, frame, length};
use crate::layers::bytecode::{self, ByteCode, Trust};
use crate::layers::deb::Part;
use crate::layers::source::{self, Source};
use crate::layers::wheel::{self, Sources, Target, WheelFile};
use crate::oci::{Key, KeyBuilder};
use crate::packages::debian::DebArtefact;
use crate::report::{Event, Report};
use crate::store::{Store, StoreError};

/// What is read of an interpreter's complaint.
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;
/// Most files of a standard library; Python's has some 2000.
const MAX_LIBRARY_FILES: usize = 50_000;

/// What compiling came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compiled {
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
struct Input {
    /// In the image, without a leading slash.
    path: Vec<u8>,
    /// Says, with the path, which bytes it has.
    identity: [u8; 32],
    size_bytes: u64,
}

/// Gives the bytes of a source by its place.
type Read<'r> = dyn Fn(usize) -> Result<Vec<u8>, BuildError> + Sync + 'r;

/// Sources that belong together: a wheel's, say.
struct Set<'r> {
    inputs: Vec<Input>,
    read: Box<Read<'r>>,
    trust: Trust,
}

/// A portion of a set.
struct Job {
    set: usize,
    range: Range<usize>,
    key: Key,
}

/// Gives folders of layers when they are wanted.
pub(super) type Folders<'a> = Box<dyn Fn() -> Result<Vec<PathBuf>, BuildError> + Send + Sync + 'a>;

/// What makes byte code for one platform of an image.
pub(super) struct Compiler<'a> {
    pub store: &'a Store,
    pub report: &'a dyn Report,
    /// Interpreters that run at once.
    pub workers: usize,
    /// Python's version, two numbers.
    pub python: &'a str,
    /// Of all that decides its output, beside the sources.
    pub key: Key,
    /// The base of this machine.
    pub machine: Folders<'a>,
    /// The base of the image.
    pub image: Folders<'a>,
    interpreter: OnceLock<Interpreter>,
    finding: Mutex<()>,
    permits: Permits,
    totals: Mutex<Compiled>,
}

/// The key of a compiler: the interpreter's packages, by version, because byte code is the same on
/// all machines, and the script.
pub(super) fn compiler_key(packages: &[DebArtefact]) -> Key {
    let mut key = KeyBuilder::new("compiler/1").field(SCRIPT.as_bytes());
    for deb in Part::Python.of_all(packages) {
        key.add(deb.package.as_bytes());
        key.add(deb.version.as_bytes());
    }
    key.finish()
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        (store, report): (&'a Store, &'a dyn Report),
        workers: usize,
        (python, key): (&'a str, Key),
        machine: Folders<'a>,
        image: Folders<'a>,
    ) -> Self {
        Self {
            store,
            report,
            workers: workers.max(1),
            python,
            key,
            machine,
            image,
            interpreter: OnceLock::new(),
            finding: Mutex::new(()),
            permits: Permits {
                free: Mutex::new(workers.max(1)),
                freed: Condvar::new(),
            },
            totals: Mutex::default(),
        }
    }

    /// What compiling came to so far.
    pub(super) fn totals(&self) -> Compiled {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The byte code of wheels, in their order.
    ///
    /// # Errors
    /// A wheel that cannot be read; an interpreter that does not run.
    pub(super) fn wheels(
        &self,
        wheels: &[WheelFile],
        target: &Target,
    ) -> Result<Vec<ByteCode>, BuildError> {
        let sources = wheels
            .iter()
            .map(|wheel| Sources::open(wheel, target))
            .collect::<Result<Vec<_>, wheel::Error>>()?;
        let sets: Vec<Set<'_>> = sources
            .iter()
            .zip(wheels)
            .map(|(sources, wheel)| Set {
                inputs: sources
                    .files()
                    .map(|(path, size_bytes)| Input {
                        path: path.to_vec(),
                        identity: wheel.sha256,
                        size_bytes,
                    })
                    .collect(),
                read: Box::new(move |index| Ok(sources.read(index)?)),
                trust: Trust::Unchecked,
            })
            .collect();
        self.compile(&sets)
    }

    /// The byte code of the application.
    ///
    /// # Errors
    /// A file that cannot be read or has changed; an interpreter that does not run.
    pub(super) fn application(&self, source: Source<'_>) -> Result<ByteCode, BuildError> {
        let modules = source::modules(source.tree);
        let inputs = modules
            .iter()
            .map(|module| Input {
                path: module.path.clone(),
                identity: source.contents.hash_of(module.index).unwrap_or_default(),
                size_bytes: module.size_bytes,
            })
            .collect();
        let modules = &modules;
        self.one(Set {
            inputs,
            read: Box::new(move |index| match modules.get(index) {
                Some(module) => Ok(source::read(source, module)?),
                None => Ok(Vec::new()),
            }),
            trust: Trust::Checked,
        })
    }

    /// The byte code of the image's standard library. `identity` says which it is.
    ///
    /// # Errors
    /// A base without one; a file that cannot be read; an interpreter that does not run.
    pub(super) fn library(&self, identity: &Key) -> Result<ByteCode, BuildError> {
        let below = format!("usr/lib/python{}", self.python);
        let roots = (self.image)()?;
        let root = roots
            .iter()
            .find(|root| root.join(&below).join("os.py").is_file())
            .ok_or_else(|| self.no_interpreter())?;
        let mut found = BTreeMap::new();
        walk(&root.join(&below), "", &mut found)?;
        let paths: Vec<PathBuf> = found
            .keys()
            .map(|path| root.join(&below).join(path))
            .collect();
        let inputs = found
            .iter()
            .map(|(path, size_bytes)| Input {
                path: format!("{below}/{path}").into_bytes(),
                identity: *identity.as_bytes(),
                size_bytes: *size_bytes,
            })
            .collect();
        let paths = &paths;
        self.one(Set {
            inputs,
            read: Box::new(move |index| match paths.get(index) {
                Some(path) => Ok(std::fs::read(path).map_err(unreadable(path))?),
                None => Ok(Vec::new()),
            }),
            trust: Trust::Unchecked,
        })
    }

    fn one(&self, set: Set<'_>) -> Result<ByteCode, BuildError> {
        Ok(self.compile(&[set])?.pop().unwrap_or_default())
    }

    /// The byte code of each set: what is kept, and the rest made now.
    fn compile(&self, sets: &[Set<'_>]) -> Result<Vec<ByteCode>, BuildError> {
        let mut code: Vec<ByteCode> = sets.iter().map(|_| ByteCode::default()).collect();
        let mut now = Compiled::default();
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
    fn take(&self, job: &Job, sets: &[Set<'_>], code: &mut [ByteCode]) -> bool {
        let (Some(set), Some(code)) = (sets.get(job.set), code.get_mut(job.set)) else {
            return false;
        };
        let Ok(file) = File::open(self.store.compiled_path(&job.key)) else {
            return false;
        };
        let paths = inputs(set, job).iter().map(|input| input.path.as_slice());
        code.add(file, paths, set.trust).is_ok()
    }

    /// Compiles portions, some at once; how long that took, all together.
    fn run_all(&self, missing: &[Job], sets: &[Set<'_>]) -> Result<Duration, BuildError> {
        let interpreter = self.interpreter()?;
        let lanes = lanes(missing, sets, self.workers);
        let done: Vec<Result<Duration, BuildError>> = std::thread::scope(|scope| {
            let running: Vec<_> = lanes
                .iter()
                .map(|lane| {
                    scope.spawn(|| {
                        let _permit = self.permits.take();
                        let start = Instant::now();
                        self.run(interpreter, lane, sets)?;
                        Ok(start.elapsed())
                    })
                })
                .collect();
            running
                .into_iter()
                .map(super::platform::join)
                .collect::<Result<_, _>>()
        })?;
        done.into_iter().sum()
    }

    /// Has one interpreter compile portions of one trust, one after the other.
    fn run(
        &self,
        interpreter: &Interpreter,
        lane: &[&Job],
        sets: &[Set<'_>],
    ) -> Result<(), BuildError> {
        let scratch = self.store.scratch();
        let unwritable = || unreadable(&scratch);
        let folder = tempfile::Builder::new()
            .prefix("compile-")
            .tempdir_in(&scratch)
            .map_err(unwritable())?;
        let mut told = tempfile::tempfile_in(&scratch).map_err(unwritable())?;
        let mut complaint = tempfile::tempfile_in(&scratch).map_err(unwritable())?;
        let trust = lane.first().and_then(|job| sets.get(job.set));
        let is_checked = trust.is_some_and(|set| set.trust == Trust::Checked);
        let mut child = interpreter
            .command(is_checked, folder.path())
            .stdout(told.try_clone().map_err(unwritable())?)
            .stderr(complaint.try_clone().map_err(unwritable())?)
            .spawn()
            .map_err(|error| interpreter.failed(error.to_string()))?;
        if let Err(error) = feed(&mut child, lane, sets) {
            // It may have ended by itself; then there is nothing to stop.
            let _ended_before = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        let status = child.wait().map_err(unwritable())?;
        if !status.success() {
            let text = text(&mut complaint, MAX_COMPLAINT_BYTES);
            return Err(interpreter
                .failed(format!("{status}: {}", text.trim_end()))
                .into());
        }
        let most = lane.len() as u64;
        let marks = text(&mut told, most);
        for ((number, job), mark) in lane.iter().enumerate().zip(marks.bytes()) {
            if mark == b'1' {
                let draft = folder.path().join(number.to_string());
                self.store.keep_compiled(&draft, &job.key)?;
            }
        }
        Ok(())
    }

    /// The interpreter; its base is unpacked when it is wanted first.
    fn interpreter(&self) -> Result<&Interpreter, BuildError> {
        let _alone = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.interpreter.get() {
            return Ok(found);
        }
        let roots = (self.machine)()?;
        let found = Interpreter::find(&roots, self.python).ok_or_else(|| self.no_interpreter())?;
        Ok(self.interpreter.get_or_init(|| found))
    }

    fn no_interpreter(&self) -> CompileError {
        CompileError::NoInterpreter {
            python: self.python.to_owned(),
        }
    }
}

/// All portions of all sets, with their keys.
fn jobs(sets: &[Set<'_>], compiler: &Key) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let files = set.inputs.iter();
        let files = files.map(|input| (input.path.as_slice(), input.size_bytes));
        for range in bytecode::chunks(files) {
            let mut key = KeyBuilder::new("bytecode-chunk/1")
                .field(compiler.as_bytes())
                .field(&[u8::from(set.trust == Trust::Checked)]);
            for input in set.inputs.get(range.clone()).unwrap_or_default() {
                key.add(&input.path);
                key.add(&input.identity);
            }
            jobs.push(Job {
                set: number,
                range,
                key: key.finish(),
            });
        }
    }
    jobs
}

fn inputs<'s>(set: &'s Set<'_>, job: &Job) -> &'s [Input] {
    set.inputs.get(job.range.clone()).unwrap_or_default()
}

/// Portions for interpreters side by side, as equal in bytes as may be.
fn lanes<'j>(jobs: &'j [Job], sets: &[Set<'_>], workers: usize) -> Vec<Vec<&'j Job>> {
    let mut lanes: Vec<(u64, Vec<&Job>)> = Vec::new();
    lanes.resize_with(workers.min(jobs.len()), Default::default);
    for job in jobs {
        let set = sets.get(job.set);
        let bytes = set.map_or(0, |set| {
            inputs(set, job).iter().map(|input| input.size_bytes).sum()
        });
        if let Some((total, lane)) = lanes.iter_mut().min_by_key(|(total, _)| *total) {
            *total += bytes;
            lane.push(job);
        }
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// Hands the sources to an interpreter. One that has ended early is left to its status.
fn feed(child: &mut Child, lane: &[&Job], sets: &[Set<'_>]) -> Result<(), BuildError> {
    let Some(pipe) = child.stdin.take() else {
        return Ok(());
    };
    let mut pipe = BufWriter::with_capacity(64 << 10, pipe);
    for (number, job) in lane.iter().enumerate() {
        let Some(set) = sets.get(job.set) else {
            continue;
        };
        let inputs = inputs(set, job);
        let begun = frame(&mut pipe, number.to_string().as_bytes())
            .and_then(|()| length(&mut pipe, inputs.len()));
        if begun.is_err() {
            return Ok(());
        }
        for (index, input) in job.range.clone().zip(inputs) {
            let bytes = (set.read)(index)?;
            let shown = [b"/".as_slice(), &input.path].concat();
            if frame(&mut pipe, &shown)
                .and_then(|()| frame(&mut pipe, &bytes))
                .is_err()
            {
                return Ok(());
            }
        }
    }
    // What cannot be flushed has no reader any more, and its status tells why.
    let _ = pipe.flush();
    Ok(())
}

/// What was written to a file, as far as it is of interest.
fn text(file: &mut File, most: u64) -> String {
    let mut bytes = Vec::new();
    // A complaint that cannot be read is none.
    let _ = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.take(most).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Modules of a library below a folder, with their lengths; links are not followed.
fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, u64>) -> Result<(), BuildError> {
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let kind = entry.file_type().map_err(unreadable(folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file() && bytecode::is_library_module(path.as_bytes()) {
            let bytes = entry.metadata().map_err(unreadable(folder))?.len();
            if bytes <= bytecode::MAX_SOURCE_BYTES && found.len() < MAX_LIBRARY_FILES {
                found.insert(path, bytes);
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

/// How many interpreters may run.
struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them; given back when it is dropped.
struct Permit<'a>(&'a Permits);

impl Permits {
    fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sizes: &[u64]) -> Set<'static> {
        Set {
            inputs: sizes
                .iter()
                .enumerate()
                .map(|(number, size_bytes)| Input {
                    path: format!("m{number:04}.py").into_bytes(),
                    identity: [0; 32],
                    size_bytes: *size_bytes,
                })
                .collect(),
            read: Box::new(|_| Ok(Vec::new())),
            trust: Trust::Unchecked,
        }
    }

    #[test]
    fn lanes_hold_every_job_once_and_weigh_alike() {
        let sets = [set(&[600 << 10; 7]), set(&[600 << 10; 2])];
        let key = KeyBuilder::new("k").finish();
        let jobs = jobs(&sets, &key);
        assert_eq!(jobs.len(), 9);
        let lanes = lanes(&jobs, &sets, 4);
        let counts: Vec<usize> = lanes.iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 2, 2, 2]);
    }

    #[test]
    fn a_changed_file_has_another_key_and_its_neighbours_portion_has_not() {
        let key = KeyBuilder::new("k").finish();
        let keys = |set: Set<'_>| -> Vec<Key> {
            jobs(&[set], &key).into_iter().map(|job| job.key).collect()
        };
        let before = keys(set(&[600 << 10; 3]));
        let mut changed = set(&[600 << 10; 3]);
        changed.inputs[1].identity = [1; 32];
        let after = keys(changed);
        assert_eq!((before[0], before[2]), (after[0], after[2]));
        assert_ne!(before[1], after[1]);
    }

    #[test]
    fn permits_come_back() {
        let permits = Permits {
            free: Mutex::new(1),
            freed: Condvar::new(),
        };
        drop(permits.take());
        drop(permits.take());
        assert_eq!(*permits.free.lock().unwrap(), 1);
    }
}
