//! A commit of a checkout on this machine, taken from its objects; its working tree is not looked at.
//!
//! The objects are borrowed (gitrepository-layout(5), `objects/info/alternates`) by an empty
//! repository of ours, so that nothing is copied and none of the checkout's settings, which may
//! name programs, holds while files are written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::checkout::{GitCheckout, io_error, told};
use super::error::{GitAction, GitError};
use super::program::GitProgram;
use super::version_description::{self, DESCRIBE};
use super::{CheckoutFacts, GitFolder, is_checkout, without_credentials};
use crate::source::location::GitReference;

/// Writes the files of a commit of the checkout `folder`, and says what it is. `repository` and
/// `into` are places for folders of ours: one that is not there yet, and one that is empty.
///
/// # Errors
/// See [`GitError`].
pub(crate) fn lay_out(
    folder: &Path,
    reference: &GitReference,
    repository: &Path,
    into: &Path,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<CheckoutFacts, GitError> {
    let not_a_checkout = || GitError::NotACheckout {
        folder: folder.to_owned(),
    };
    if !is_checkout(folder) {
        return Err(not_a_checkout());
    }
    let shown = folder.display().to_string();
    let program = GitProgram::new(environment, true)
        .map_err(|failure| told(failure, &shown, GitAction::Describe))?;
    let checkout = GitFolder::at(folder, environment).ok_or_else(not_a_checkout)?;
    let (commit, label) =
        find(&checkout, reference.as_str()).ok_or_else(|| GitError::NoReference {
            shown: shown.clone(),
            reference: reference.as_str().to_owned(),
        })?;
    let objects = checkout
        .ask(&["rev-parse", "--git-path", "objects"])
        .ok_or_else(not_a_checkout)?;
    let remote = checkout.remote();
    let desk = GitCheckout {
        program: &program,
        repository,
        into,
        shown: &shown,
        progress: &|_| {},
    };
    // Addresses of submodules are relative to where the checkout came from, as git has it.
    desk.prepare(remote.as_deref().unwrap_or(&shown))?;
    borrow(repository, &folder.join(path_of(objects)))?;
    desk.lay_out(&commit)?;
    let mut facts = desk.facts(&commit, &label, remote.as_deref().map(without_credentials))?;
    if version_description::is_asked_for(into) {
        facts.description = checkout.text(&[&DESCRIBE[..], &[&commit]].concat());
    }
    Ok(facts)
}

/// The commit that a name stands for, and what the name is called; a branch comes before a tag of
/// the same name, and what only the remote has comes last (checkouts of CI have no other branches).
fn find(checkout: &GitFolder<'_>, typed: &str) -> Option<(String, String)> {
    for (start, label) in [
        ("refs/heads/", typed),
        ("refs/tags/", typed),
        ("refs/remotes/origin/", typed),
        ("", "HEAD"),
    ] {
        let name = format!("{start}{typed}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", &name];
        if let Some(answer) = checkout.ask(&arguments) {
            let commit = String::from_utf8_lossy(&answer).trim().to_owned();
            return Some((commit, label.to_owned()));
        }
    }
    None
}

fn path_of(mut answer: Vec<u8>) -> PathBuf {
    if answer.last() == Some(&b'\n') {
        answer.pop();
    }
    PathBuf::from(OsString::from_vec(answer))
}

/// Lets a repository of ours read another one's objects.
fn borrow(repository: &Path, objects: &Path) -> Result<(), GitError> {
    let file = repository.join("objects/info/alternates");
    let objects = fs::canonicalize(objects).map_err(io_error(objects))?;
    let mut line = objects.as_os_str().as_bytes().to_vec();
    // The file has one path a line, and no way to write a line's end within one.
    if line.contains(&b'\n') {
        return Err(io_error(&objects)(io::ErrorKind::InvalidFilename.into()));
    }
    line.push(b'\n');
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
    }
    fs::write(&file, line).map_err(io_error(&file))
}
