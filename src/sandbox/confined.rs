//! A program of ours without namespaces, kept to what it needs: it reads some folders, writes into one, and has
//! no network and no socket. landlock(7), seccomp(2).
//!
//! For the interpreter that compiles: it is to work where a pod allows no namespaces, and to cost nothing on
//! an edit (a step's sandbox takes some ten milliseconds). Both borders belong to a thread and are handed down to
//! what it starts, so a thread is made for it, closed in, and gone when the program runs: no code between
//! `fork` and `exec` is needed. A kernel without Landlock (before 5.13, or where it is switched off) leaves the
//! filter of system calls, and one without that leaves what there was before: so only programs are started here that
//! are trusted to begin with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use super::filter;
use crate::host;

/// The newest of the kernel's Landlock that we know; an older one does what it can.
const NEWEST: ABI = ABI::V6;

/// What a program may touch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRules<'a> {
    /// Folders that it reads and executes from.
    pub readable: &'a [PathBuf],
    /// The folder that it makes files in.
    pub writable: &'a Path,
}

impl AccessRules<'_> {
    /// Starts a command that can touch nothing else.
    ///
    /// # Errors
    /// A folder that is not there; the command's own.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                self.close_in()?;
                host::start(command)
            });
            starting
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))
        })
    }

    /// Closes in the calling thread, for good.
    fn close_in(&self) -> io::Result<()> {
        self.restrict().map_err(io::Error::other)?;
        for program in filter::without_sockets().map_err(io::Error::other)? {
            // A kernel or an emulator without filters is no reason to compile nothing.
            let _installed = seccompiler::apply_filter(&program);
        }
        Ok(())
    }

    fn restrict(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
        let write =
            AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate;
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        for folder in self.readable {
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(folder)?, read))?;
        }
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(self.writable)?, write))?;
        // How much of it this kernel enforces is no condition.
        let _status = ruleset.restrict_self()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// What a shell says and how it ends, when it may read the system's programs and write into a folder.
    fn shell(script: &str, writable: &Path) -> (String, bool) {
        let readable = ["/usr", "/bin", "/lib", "/lib64"]
            .map(PathBuf::from)
            .into_iter()
            .filter(|path| path.exists())
            .collect::<Vec<_>>();
        let confines = AccessRules {
            readable: &readable,
            writable,
        };
        let mut command = Command::new("/bin/bash");
        command
            .args(["-c", script])
            .current_dir(writable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = confines.spawn(&mut command).unwrap();
        let output = output.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (said, output.status.success())
    }

    #[test]
    fn a_confined_program_touches_its_folders_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let (said, is_well) = shell("echo made > file && (exit 0) && echo well", &inside);
        assert!(is_well && said == "well\n", "{said}");
        assert_eq!(
            std::fs::read_to_string(inside.join("file")).unwrap(),
            "made\n"
        );
        for script in [
            "read x < ../secret && echo $x",
            "read x < /etc/passwd && echo $x",
            "read x < /proc/$PPID/environ",
            "echo x > ../out",
            "echo x >> ../secret",
            "mkdir folder",
            "ln -s a link",
            "exec 3<> /dev/tcp/127.0.0.1/1",
            "exec 3<> /dev/udp/127.0.0.1/1",
            "kill -0 $PPID",
        ] {
            let (said, is_well) = shell(script, &inside);
            assert!(!is_well && !said.contains("secret\n"), "{script}: {said}");
        }
        // The borders are the started program's alone.
        assert!(std::fs::read("/etc/passwd").is_ok());
        std::fs::write(folder.path().join("after"), "x").unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let confines = AccessRules {
            readable: &[],
            writable: folder.path(),
        };
        let mut command = Command::new("/no/such/program");
        let error = confines.spawn(&mut command).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::Other, "{error}");
        let gone = AccessRules {
            readable: &[PathBuf::from("/no/such/folder")],
            writable: folder.path(),
        };
        assert!(gone.spawn(&mut Command::new("/bin/true")).is_err());
    }
}
