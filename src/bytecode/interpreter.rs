//! The interpreter of a base, run where s2r runs: its loader is called by name and told where its
//! libraries lie, so that it needs neither its own root nor namespaces. It is kept to the folders of its
//! base, which it reads, and to one of its own, which it writes into; sources come on its standard input.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::oci::Architecture;
use crate::report::{ErrorClass, Explain, Explanation};
use crate::sandbox::AccessRules;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// What runs in the interpreter.
pub(crate) const SCRIPT: &str = include_str!("../../scripts/compile.py");
/// Address space of one compiling process; some 60 MiB are usual.
const MEMORY_BYTES: u64 = 1 << 30;
/// Processor time for one portion; a tenth of a second is usual.
const CPU_SECONDS: u64 = 300;
/// What one portion may write.
const OUTPUT_BYTES: u64 = 256 << 20;

/// Why there is no byte code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The base has no interpreter that runs here.
    #[error("no python{python} in the base")]
    NoInterpreter { python: String },
    /// The interpreter cannot be run, or gives up.
    #[error("{}: {complaint}", program.display())]
    Interpreter {
        program: PathBuf,
        /// The system's reason, or its last words.
        complaint: String,
    },
}

impl Explain for CompileError {
    fn explain(&self) -> Explanation {
        match self {
            Self::NoInterpreter { python } => Explanation {
                class: ErrorClass::World,
                what: "byte code cannot be made".to_owned(),
                place: format!("python{python}"),
                why: "the base has no such interpreter, or none for this machine".to_owned(),
                next: "build with --bytecode none; Python then compiles at each start of a container"
                    .to_owned(),
            },
            Self::Interpreter { program, complaint } => Explanation {
                class: ErrorClass::World,
                what: "the base's Python does not run here, so byte code cannot be made".to_owned(),
                place: program.display().to_string(),
                why: complaint.clone(),
                next: "put the store (S2R_STORE) on a file system that allows programs, or build with --bytecode none"
                    .to_owned(),
            },
        }
    }
}

/// An interpreter of a base, and how it is run without being in its root.
#[derive(Debug, Clone)]
pub(crate) struct HostInterpreter {
    loader: PathBuf,
    libraries: OsString,
    program: PathBuf,
    home: PathBuf,
    /// The folders of its base.
    roots: Vec<PathBuf>,
}

impl HostInterpreter {
    /// Looks for it in the folders of a base's layers.
    pub(crate) fn find(roots: &[PathBuf], python: &str) -> Option<Self> {
        let (triplet, loader) = match Architecture::host()? {
            Architecture::Amd64 => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            Architecture::Arm64 => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
        };
        let file = |path: &str| {
            let mut paths = roots.iter().map(|root| root.join(path));
            paths.find(|path| path.is_file())
        };
        let libraries: Vec<PathBuf> = roots
            .iter()
            .map(|root| root.join("usr/lib").join(triplet))
            .filter(|path| path.is_dir())
            .collect();
        let library = format!("usr/lib/python{python}/os.py");
        let home = roots.iter().find(|root| root.join(&library).is_file())?;
        let mut joined = OsString::new();
        for path in &libraries {
            if !joined.is_empty() {
                joined.push(":");
            }
            joined.push(path);
        }
        Some(Self {
            loader: file(&format!("usr/lib/{triplet}/{loader}"))?,
            libraries: joined,
            program: file(&format!("usr/bin/python{python}"))?,
            home: home.join("usr"),
            roots: roots.to_vec(),
        })
    }

    /// The command, with its standard input to be fed. The loader is called by name, because the
    /// program asks for one at a path of its own root.
    pub(crate) fn command(&self, is_checked: bool, folder: &Path) -> Command {
        let mut command = Command::new(&self.loader);
        command
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(&self.program)
            // No site, no user's packages, no folder of its own on the path, nothing written.
            .args(["-S", "-s", "-P", "-B", "-W", "ignore", "-c", SCRIPT])
            .arg(u8::from(is_checked).to_string())
            .env_clear()
            .env("PYTHONHOME", &self.home)
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONUTF8", "1")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(folder)
            .stdin(Stdio::piped());
        command
    }

    /// Starts a command of it that can touch nothing but its base and this folder.
    ///
    /// # Errors
    /// It cannot be closed in, or does not start.
    pub(crate) fn start(
        &self,
        command: &mut Command,
        folder: &Path,
    ) -> Result<Child, CompileError> {
        let confines = AccessRules {
            readable: &self.roots,
            writable: folder,
        };
        let started = confines.spawn(command);
        started.map_err(|error| self.failed(error.to_string()))
    }

    /// Bounds what it may use from here on; before it has a source, that is.
    ///
    /// # Errors
    /// The system refuses. That it has ended already is left to its status.
    pub(crate) fn limit(&self, child: &Child) -> Result<(), CompileError> {
        let limits = [
            (Resource::As, MEMORY_BYTES),
            (Resource::Cpu, CPU_SECONDS),
            (Resource::Fsize, OUTPUT_BYTES),
            (Resource::Core, 0),
        ];
        for (resource, most) in limits {
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            match prlimit(Some(Pid::from_child(child)), resource, limit) {
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => return Err(self.failed(format!("it cannot be limited: {error}"))),
            }
        }
        Ok(())
    }

    pub(crate) fn failed(&self, complaint: String) -> CompileError {
        CompileError::Interpreter {
            program: self.program.clone(),
            complaint,
        }
    }
}

/// Adds bytes after their length, as the script reads them.
pub(crate) fn frame(piece: &mut Vec<u8>, bytes: &[u8]) {
    length(piece, bytes.len());
    piece.extend_from_slice(bytes);
}

/// Adds a number of 32 bits; no source is longer than that.
pub(crate) fn length(piece: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    piece.extend_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
crate::report::samples! {
    enum CompileError {
        NoInterpreter { python: "3.13".into() },
        Interpreter { program: "/store/layers/usr/bin/python3.13".into(), complaint: crate::report::samples::denied().to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_without_python_is_an_error_that_says_what_to_do() {
        assert!(HostInterpreter::find(&[PathBuf::from("/nowhere")], "3.13").is_none());
        let error = CompileError::NoInterpreter {
            python: "3.13".to_owned(),
        };
        assert!(error.explain().next.contains("--bytecode none"));
    }
}
