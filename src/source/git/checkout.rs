//! One repository and one empty folder that a commit's files go to: checking out, submodules,
//! describing. Which repository it is, kept for next time or borrowing from a checkout, is the
//! business of [`super::remote`] and [`super::revision`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{GitAction, GitError};
use super::program::{FetchWatch, GitFailure, GitProgram};
use super::{CheckoutFacts, LOG};

/// Where one commit is laid out.
pub(super) struct GitCheckout<'a> {
    pub program: &'a GitProgram<'a>,
    /// A repository without files of its own.
    pub repository: &'a Path,
    /// Where the files go; empty at first.
    pub into: &'a Path,
    /// The source's name in messages.
    pub shown: &'a str,
    /// Is told how much has been fetched, in bytes.
    pub progress: &'a dyn Fn(u64),
}

impl GitCheckout<'_> {
    /// Makes the repository if there is none; `origin` is what addresses of submodules are relative to.
    pub(super) fn prepare(&self, origin: &str) -> Result<(), GitError> {
        if self.repository.join("HEAD").exists() && self.repository.join("config").exists() {
            return Ok(());
        }
        if self.repository.exists() {
            remove_folder(self.repository)?;
        }
        fs::create_dir_all(self.repository).map_err(io_error(self.repository))?;
        let mut init = self.program.command(self.repository);
        init.args(["init", "--quiet", "--bare", "."]);
        self.done(init, GitAction::Fetch)?;
        // Without it git refuses to write files anywhere.
        self.ask(&["config", "core.bare", "false"], GitAction::Fetch)?;
        self.ask(&["config", "remote.origin.url", origin], GitAction::Fetch)?;
        Ok(())
    }

    /// git in the repository.
    pub(super) fn command(&self) -> Command {
        let mut command = self.program.command(self.repository);
        command.env("GIT_DIR", self.repository);
        command
    }

    /// git's answer to a question that costs nothing.
    pub(super) fn ask(&self, arguments: &[&str], action: GitAction) -> Result<String, GitError> {
        let mut command = self.command();
        command.args(arguments);
        let answer = self.done(command, action)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// A command run to its end.
    fn done(&self, command: Command, action: GitAction) -> Result<Vec<u8>, GitError> {
        self.watched(command, action, &FetchWatch::nothing())
    }

    /// The same for one that uses the network or writes files.
    pub(super) fn done_slowly(
        &self,
        command: Command,
        action: GitAction,
    ) -> Result<Vec<u8>, GitError> {
        let watch = FetchWatch {
            folders: &[self.repository, self.into],
            progress: self.progress,
        };
        self.watched(command, action, &watch)
    }

    fn watched(
        &self,
        command: Command,
        action: GitAction,
        watch: &FetchWatch<'_>,
    ) -> Result<Vec<u8>, GitError> {
        self.program.run(command, watch).map_err(|failure| {
            let failure = match failure {
                // The private folder's name helps nobody.
                GitFailure::Failed(said) => {
                    let folder = format!("{}/", self.into.display());
                    GitFailure::Failed(said.replace(&folder, ""))
                }
                other => other,
            };
            told(failure, self.shown, action)
        })
    }

    /// The commit that a name stands for; `None` if there is none.
    pub(super) fn commit(&self, name: &str) -> Option<String> {
        let peeled = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", &peeled];
        self.ask(&arguments, GitAction::Describe).ok()
    }

    /// Writes the commit's files, those of submodules among them.
    pub(super) fn lay_out(&self, commit: &str) -> Result<(), GitError> {
        // What an index says of other files in another folder is of no use here.
        let index = self.repository.join("index");
        match fs::remove_file(&index) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&index)(error));
            }
            _ => {}
        }
        let mut command = self.command_with_files();
        command.args(["checkout", "--quiet", "--force", "--detach", commit, "--"]);
        self.done_slowly(command, GitAction::CheckOut)?;
        let modules = self.into.join(".gitmodules");
        if modules
            .symlink_metadata()
            .is_ok_and(|found| found.is_file())
        {
            self.submodules()?;
        }
        Ok(())
    }

    fn command_with_files(&self) -> Command {
        let mut command = self.command();
        command
            .current_dir(self.into)
            .env("GIT_WORK_TREE", self.into);
        command
    }

    fn submodules(&self) -> Result<(), GitError> {
        self.submodule(&["sync", "--quiet", "--recursive"])?;
        let update = ["update", "--quiet", "--init", "--recursive", "--force"];
        let shallow = [update.as_slice(), &["--depth", "1"]].concat();
        match self.submodule(&shallow) {
            Err(error) if error.gives_no_single_commit() => self.submodules_whole(&update)?,
            outcome => outcome?,
        }
        // Each submodule's folder names this machine's store in a file.
        remove_named(self.into, ".git")
    }

    /// Gets submodules with their histories, for servers that give no single commit. What the first
    /// try left lacks the commit and does not know how to get it, so it goes first.
    fn submodules_whole(&self, update: &[&str]) -> Result<(), GitError> {
        self.submodule(&["deinit", "--quiet", "--force", "--all"])?;
        let kept = self.repository.join("modules");
        if kept.exists() {
            remove_folder(&kept)?;
        }
        self.submodule(update)
    }

    fn submodule(&self, arguments: &[&str]) -> Result<(), GitError> {
        let mut command = self.command_with_files();
        command.arg("submodule").args(arguments);
        self.done_slowly(command, GitAction::Submodules).map(|_| ())
    }

    /// What there is to say about a commit.
    pub(super) fn facts(
        &self,
        commit: &str,
        reference: &str,
        remote: Option<String>,
    ) -> Result<CheckoutFacts, GitError> {
        let mut command = self.command();
        command.args(LOG).args([commit, "--"]);
        let answer = self.done(command, GitAction::Describe)?;
        CheckoutFacts::of_log(&answer, reference, remote).ok_or_else(|| GitError::Failed {
            shown: self.shown.to_owned(),
            action: GitAction::Describe,
            said: String::new(),
        })
    }
}

/// A failure with what it is about.
pub(super) fn told(failure: GitFailure, shown: &str, action: GitAction) -> GitError {
    let shown = shown.to_owned();
    match failure {
        GitFailure::NotStarted(source) => GitError::NoGit { source },
        GitFailure::Failed(said) => GitError::Failed {
            shown,
            action,
            said,
        },
        GitFailure::TooSlow => GitError::TooSlow { shown },
        GitFailure::TooLarge => GitError::TooLarge { shown },
    }
}

/// The error of a path.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> GitError + '_ {
    move |source| GitError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Removes a folder of ours with all that it holds.
pub(super) fn remove_folder(folder: &Path) -> Result<(), GitError> {
    match crate::host::remove_tree(folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(io_error(folder)(source)),
    }
}

/// Removes all files of a name below a folder; links are not followed.
fn remove_named(folder: &Path, name: &str) -> Result<(), GitError> {
    let mut pending: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error(&folder))? {
            let entry = entry.map_err(io_error(&folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(io_error(&path))?;
            if kind.is_dir() {
                pending.push(path);
            } else if entry.file_name() == name {
                fs::remove_file(&path).map_err(io_error(&path))?;
            }
        }
    }
    Ok(())
}
