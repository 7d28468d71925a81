//! What git says of a commit's version, for projects that take theirs from there.
//!
//! Their backends ask git, which is not in a build. They read the same from `.git_archival.txt`, or are answered from
//! it by `scripts/build_wheel.py`; `git archive` fills that file in: <https://setuptools-scm.readthedocs.io/en/latest/usage/#git-archives>.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::CheckoutFacts;
use super::checkout::GitCheckout;
use super::program::FetchWatch;
use crate::source::SettingsFile;
use crate::source::open::{self, SmallFile};

/// The file that backends read.
const ARCHIVAL_FILE: &str = ".git_archival.txt";
/// A longer one is no such file.
const MAX_ARCHIVAL_BYTES: u64 = 64 << 10;
/// What an archive's file has where git did not fill it in.
const UNFILLED: &str = "$Format:";
/// The question, as setuptools-scm asks it; the commit follows.
pub(super) const DESCRIBE: [&str; 5] = ["describe", "--tags", "--long", "--match", "*[0-9]*"];
/// What a project says that asks git for its version.
const SIGNS: [&str; 7] = [
    "setuptools_scm",
    "setuptools-scm",
    "use_scm_version",
    "hatch-vcs",
    "hatch_vcs",
    "versioningit",
    "versioneer",
];
/// The files that say it.
const FILES: [&str; 3] = ["pyproject.toml", "setup.cfg", "setup.py"];
/// Folders that are looked into for a project, and how deep they may lie.
const MAX_FOLDERS: usize = 500;
const MAX_DEPTH: usize = 2;

/// Whether a project in a folder takes its version from git.
pub(super) fn is_asked_for(folder: &Path) -> bool {
    let mut pending: Vec<(PathBuf, usize)> = vec![(folder.to_owned(), 0)];
    let mut next = 0;
    while let Some((folder, depth)) = pending.get(next).cloned() {
        if says_so(&folder) {
            return true;
        }
        next += 1;
        if depth == MAX_DEPTH {
            continue;
        }
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = below.filter(|entry| {
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir())
        });
        let room = MAX_FOLDERS.saturating_sub(pending.len());
        pending.extend(folders.take(room).map(|entry| (entry.path(), depth + 1)));
    }
    false
}

fn says_so(folder: &Path) -> bool {
    let Ok(root) = open::folder(folder) else {
        return false;
    };
    FILES.iter().any(|name| {
        let read = open::small(&root, (folder, name), SettingsFile::Pyproject);
        let Ok(SmallFile::Bytes(bytes)) = read else {
            return false;
        };
        let text = String::from_utf8_lossy(&bytes);
        SIGNS.iter().any(|sign| text.contains(sign))
    })
}

impl CheckoutFacts {
    /// Writes [`ARCHIVAL_FILE`] into a copy of the commit's files, unless the file there is filled in or git knows
    /// no version.
    pub(crate) fn write_archival_file(&self, folder: &Path) -> io::Result<()> {
        let Some(description) = &self.description else {
            return Ok(());
        };
        let path = folder.join(ARCHIVAL_FILE);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(found) => {
                let is_small = found.is_file() && found.len() <= MAX_ARCHIVAL_BYTES;
                let is_unfilled = found.len() == 0
                    || is_small && String::from_utf8_lossy(&fs::read(&path)?).contains(UNFILLED);
                if !is_unfilled {
                    return Ok(());
                }
                fs::remove_file(&path)?;
            }
        }
        let text = format!(
            "node: {}\nnode-date: {}\ndescribe-name: {description}\n",
            self.commit, self.committed
        );
        fs::File::create_new(&path)?.write_all(text.as_bytes())
    }
}

impl GitCheckout<'_> {
    /// Describes a commit by the tags and the history of a repository elsewhere, of which commits alone are fetched
    /// where its server can leave out the rest. Nothing where that does not succeed.
    pub(super) fn describe_by_history(&self, address: &str, commit: &str) -> Option<String> {
        let folder = tempfile::tempdir_in(self.repository.parent()?).ok()?;
        let history = folder.path().join("history");
        let mut clone = self.program.command(folder.path());
        clone
            .args([
                "clone",
                "--quiet",
                "--bare",
                "--filter=tree:0",
                "--",
                address,
            ])
            .arg(&history);
        let watch = FetchWatch {
            folders: &[folder.path()],
            progress: self.progress,
        };
        self.program.run(clone, &watch).ok()?;
        let mut describe = self.program.command(&history);
        describe
            .env("GIT_DIR", &history)
            .env("GIT_NO_LAZY_FETCH", "1")
            .args(DESCRIBE)
            .arg(commit);
        let answer = self.program.run(describe, &FetchWatch::nothing()).ok()?;
        let text = String::from_utf8_lossy(&answer).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}
