//! One walk over a folder. Folders that are left out are not entered, so that a large `.git`
//! or an ignored `node_modules` costs nothing.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use regex::bytes::Regex;

use super::error::{SourceBound, SourceError};
use super::ignore::{IgnorePatterns, IgnoreVerdict};
use super::known_hashes::FileStamp;
use super::left_out::{self, LeftOutPaths, named};
use super::open::{self, SmallFile};
use super::settings_file::SettingsFile;
use super::{SourceEntry, SourceKind, SourceSettings};
use crate::report::{Event, Report};

/// Files, folders and links in all.
const MAX_ENTRIES: usize = 2_000_000;
const MAX_DEPTH: usize = 200;
/// Bytes of a path below the root: Linux's own limit less the prefix that it gets in the image.
const MAX_PATH_BYTES: usize = 4000;
/// The file of patterns for what is left out.
const IGNORE_FILE: &str = ".s2iignore";
/// Threads that walk through a large tree.
const THREADS: usize = 2;
/// A tree of no more folders is walked through by one.
const FEW_FOLDERS: usize = 32;

/// The folder that the source is taken from, its links resolved.
pub(super) fn root(settings: &SourceSettings) -> Result<PathBuf, SourceError> {
    let folder = directory(&settings.folder)?;
    let Some(context_dir) = &settings.context_dir else {
        return Ok(folder);
    };
    let outside = || SourceError::ContextOutside {
        folder: settings.folder.clone(),
        context_dir: context_dir.clone(),
    };
    let mut below = PathBuf::new();
    for component in context_dir.components() {
        match component {
            // s2i joins it to the source, so a leading slash means nothing.
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => below.push(name),
            Component::ParentDir if below.pop() => {}
            Component::ParentDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    // A link is fine (repositories of examples use them), as long as it stays within the source.
    let root = directory(&folder.join(below))?;
    if root.starts_with(&folder) {
        Ok(root)
    } else {
        Err(outside())
    }
}

fn directory(folder: &Path) -> Result<PathBuf, SourceError> {
    let resolved = fs::canonicalize(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing {
            folder: folder.to_owned(),
        },
        io::ErrorKind::NotADirectory => SourceError::NotAFolder {
            folder: folder.to_owned(),
        },
        _ => read_error(folder, source),
    })?;
    if resolved.is_dir() {
        Ok(resolved)
    } else {
        Err(SourceError::NotAFolder {
            folder: folder.to_owned(),
        })
    }
}

/// All entries below a root that are neither ignored nor excluded, sorted by path.
pub(super) fn entries(
    root: &Path,
    open_root: &OwnedFd,
    settings: &SourceSettings,
    report: &dyn Report,
) -> Result<Vec<SourceEntry>, SourceError> {
    let exclude = &settings.exclude;
    let walk = SourceWalk {
        root,
        exclude: exclude_expressions(exclude)?,
        ignore: read_ignore(root, open_root, report)?.with(&settings.ignore),
        takes_all: exclude.iter().any(String::is_empty),
        count: AtomicUsize::new(0),
    };
    let mut found = walk.all()?;
    let environments = std::mem::take(&mut found.environments);
    if !environments.is_empty() {
        found
            .entries
            .retain(|entry| !environments.contains(&entry.path));
    }
    found.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found.warn(report);
    Ok(found.entries)
}

/// What a walk goes by.
struct SourceWalk<'a> {
    root: &'a Path,
    exclude: Vec<Regex>,
    ignore: IgnorePatterns,
    /// Whether what stays out unasked is to go in.
    takes_all: bool,
    count: AtomicUsize,
}

/// What one thread of a walk has found.
#[derive(Default)]
struct FoundEntries {
    left_out: LeftOutPaths,
    entries: Vec<SourceEntry>,
    /// Folders among them that turned out to be virtual environments.
    environments: Vec<Vec<u8>>,
    special: Vec<Vec<u8>>,
    leading_out: Vec<Vec<u8>>,
}

/// A folder to enter, and how deep it lies.
type PendingFolder = (Vec<u8>, usize);

/// Folders that nobody has entered yet.
struct WalkQueue {
    pending: Vec<PendingFolder>,
    /// Threads that are in a folder, and may find more.
    at_work: usize,
    failed: bool,
}

impl SourceWalk<'_> {
    /// Walks through all folders; on more than one thread only where there are many, because starting
    /// one takes longer than a small project.
    fn all(&self) -> Result<FoundEntries, SourceError> {
        let mut found = FoundEntries::default();
        let mut pending = vec![(Vec::new(), 0)];
        for _ in 0..FEW_FOLDERS {
            let Some(next) = pending.pop() else {
                return Ok(found);
            };
            pending.extend(self.enter(next, &mut found)?);
        }
        let queue = Mutex::new(WalkQueue {
            pending,
            at_work: 0,
            failed: false,
        });
        let changed = Condvar::new();
        let parts: Vec<Result<FoundEntries, SourceError>> = std::thread::scope(|scope| {
            let walk = || self.share(&queue, &changed);
            let threads: Vec<_> = (1..THREADS).map(|_| scope.spawn(walk)).collect();
            let mut parts = vec![walk()];
            for thread in threads {
                match thread.join() {
                    Ok(part) => parts.push(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            parts
        });
        for part in parts {
            found.add(part?);
        }
        Ok(found)
    }

    /// One thread's share: takes the next folder until none is left or one failed.
    fn share(
        &self,
        queue: &Mutex<WalkQueue>,
        changed: &Condvar,
    ) -> Result<FoundEntries, SourceError> {
        let mut found = FoundEntries::default();
        let mut guard = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if guard.failed || (guard.pending.is_empty() && guard.at_work == 0) {
                return Ok(found);
            }
            let Some(next) = guard.pending.pop() else {
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            guard.at_work += 1;
            drop(guard);
            let below = self.enter(next, &mut found);
            guard = queue.lock().unwrap_or_else(PoisonError::into_inner);
            guard.at_work -= 1;
            changed.notify_all();
            match below {
                Ok(below) => guard.pending.extend(below),
                Err(error) => {
                    guard.failed = true;
                    return Err(error);
                }
            }
        }
    }

    /// Takes what lies in one folder; returns the folders among it, with their depth.
    fn enter(
        &self,
        (folder, depth): PendingFolder,
        found: &mut FoundEntries,
    ) -> Result<Vec<PendingFolder>, SourceError> {
        let below = self.folder(&folder, found)?;
        if let Some(first) = below.first().filter(|_| depth >= MAX_DEPTH) {
            return Err(bound(self.root, first, SourceBound::Depth, MAX_DEPTH));
        }
        Ok(below.into_iter().map(|path| (path, depth + 1)).collect())
    }

    /// Takes what lies in one folder; returns the folders among it.
    fn folder(&self, folder: &[u8], taken: &mut FoundEntries) -> Result<Vec<Vec<u8>>, SourceError> {
        let on_disk = join(self.root, folder);
        let listing = fs::read_dir(&on_disk).map_err(|source| read_error(&on_disk, source))?;
        let mut folders = Vec::new();
        let first = taken.entries.len();
        let others = self.count.load(Ordering::Relaxed);
        for found in listing {
            let found = found.map_err(|source| read_error(&on_disk, source))?;
            let name = found.file_name();
            let path = joined(folder, name.as_bytes());
            if self.is_left_out(&path, &mut taken.left_out) {
                continue;
            }
            if name.as_bytes().starts_with(b".wh.") {
                return Err(SourceError::Whiteout { path: found.path() });
            }
            if path.len() > MAX_PATH_BYTES {
                return Err(bound(
                    self.root,
                    &path,
                    SourceBound::PathBytes,
                    MAX_PATH_BYTES,
                ));
            }
            let Some(kind) = taken.kind(&found, &path)? else {
                continue;
            };
            if kind == SourceKind::Directory {
                folders.push(path.clone());
            }
            if others + taken.entries.len() - first >= MAX_ENTRIES {
                return Err(bound(self.root, &path, SourceBound::Entries, MAX_ENTRIES));
            }
            taken.entries.push(SourceEntry { path, kind });
        }
        let names = taken.entries[first..].iter().map(|entry| {
            entry
                .path
                .rsplit(|byte| *byte == b'/')
                .next()
                .unwrap_or_default()
        });
        if !self.takes_all
            && self.ignore.verdict(folder) != Some(IgnoreVerdict::TakenBack)
            && taken.left_out.takes_folder(folder, names)
        {
            taken.entries.truncate(first);
            taken.environments.push(folder.to_vec());
            return Ok(Vec::new());
        }
        let own = taken.entries.len() - first;
        self.count.fetch_add(own, Ordering::Relaxed);
        Ok(folders)
    }

    /// What the user says comes first; then what stays out unasked.
    fn is_left_out(&self, path: &[u8], left_out: &mut LeftOutPaths) -> bool {
        let verdict = self.ignore.verdict(path);
        verdict == Some(IgnoreVerdict::Ignored)
            || self
                .exclude
                .iter()
                .any(|expression| excludes(expression, path))
            || verdict.is_none() && !self.takes_all && left_out.takes(path)
    }
}

impl FoundEntries {
    /// Takes over what another thread has found.
    fn add(&mut self, other: Self) {
        self.left_out.add(other.left_out);
        self.entries.extend(other.entries);
        self.environments.extend(other.environments);
        self.special.extend(other.special);
        self.leading_out.extend(other.leading_out);
    }

    /// What an entry is; `None` for what an image cannot hold.
    fn kind(
        &mut self,
        found: &fs::DirEntry,
        path: &[u8],
    ) -> Result<Option<SourceKind>, SourceError> {
        let failed = |source| read_error(&found.path(), source);
        let file_type = found.file_type().map_err(failed)?;
        if file_type.is_dir() {
            return Ok(Some(SourceKind::Directory));
        }
        if file_type.is_symlink() {
            let target = fs::read_link(found.path()).map_err(failed)?;
            let target = target.into_os_string().into_vec();
            if leads_out(path, &target) {
                self.leading_out.push(path.to_vec());
            }
            return Ok(Some(SourceKind::Symlink { target }));
        }
        if file_type.is_socket()
            || file_type.is_fifo()
            || file_type.is_block_device()
            || file_type.is_char_device()
        {
            self.special.push(path.to_vec());
            return Ok(None);
        }
        let metadata = found.metadata().map_err(failed)?;
        Ok(Some(SourceKind::File {
            size_bytes: metadata.size(),
            // s2i sets the bit of the scripts that take the place of its own.
            executable: metadata.mode() & 0o100 != 0 || left_out::is_own_script(path),
            mode: metadata.mode() & 0o7777,
            stamp: FileStamp::of(&metadata),
        }))
    }

    fn warn(&mut self, report: &dyn Report) {
        self.left_out.tell(report);
        self.special.sort_unstable();
        self.leading_out.sort_unstable();
        if !self.special.is_empty() {
            report.event(Event::Warning {
                text: format!(
                    "sockets, pipes and devices are left out: {}",
                    named(&self.special)
                ),
                hint: "list them in .s2iignore".to_owned(),
            });
        }
        if !self.leading_out.is_empty() {
            report.event(Event::Warning {
                text: format!(
                    "links that lead out of the source stay as they are and may lead nowhere in the image: {}",
                    named(&self.leading_out)
                ),
                hint: "put the file itself in place of the link".to_owned(),
            });
        }
    }
}

/// Whether a link's target is absolute or climbs above the root.
fn leads_out(path: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return true;
    }
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

fn exclude_expressions(patterns: &[String]) -> Result<Vec<Regex>, SourceError> {
    patterns
        .iter()
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| {
            Regex::new(pattern).map_err(|error| SourceError::Exclude {
                pattern: pattern.clone(),
                cause: error.to_string(),
            })
        })
        .collect()
}

/// s2i matches the path on its own disk, so that users write `/docs/` as well as `^docs/`: both
/// mean the folder `docs` here.
fn excludes(expression: &Regex, path: &[u8]) -> bool {
    if expression.is_match(path) {
        return true;
    }
    let mut rooted = Vec::with_capacity(path.len() + 1);
    rooted.push(b'/');
    rooted.extend_from_slice(path);
    expression.is_match(&rooted)
}

/// Reads the patterns. The file may be a link to another one of the source, and to nothing else.
fn read_ignore(
    root: &Path,
    open_root: &OwnedFd,
    report: &dyn Report,
) -> Result<IgnorePatterns, SourceError> {
    let text = match open::small(open_root, (root, IGNORE_FILE), SettingsFile::IgnoreRules)? {
        SmallFile::Nothing => return Ok(IgnorePatterns::default()),
        SmallFile::NoFile => {
            report.event(Event::Warning {
                text: format!("{IGNORE_FILE} is no file of the source, so it leaves nothing out"),
                hint: "put the file itself there".to_owned(),
            });
            return Ok(IgnorePatterns::default());
        }
        SmallFile::Bytes(text) => text,
    };
    let ignore = IgnorePatterns::parse(&text);
    if let Some(first) = ignore.bad_lines.first() {
        let more = match ignore.bad_lines.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        report.event(Event::Warning {
            text: format!(
                "{IGNORE_FILE}:{first}{more}: the pattern cannot be read, so it leaves nothing out"
            ),
            hint: "close its `[`, and end it without `\\`; see `Match` of Go's path/filepath"
                .to_owned(),
        });
    }
    Ok(ignore)
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    if !folder.is_empty() {
        path.extend_from_slice(folder);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn join(root: &Path, below: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(below))
}

fn bound(root: &Path, path: &[u8], what: SourceBound, limit: usize) -> SourceError {
    SourceError::Bound {
        path: join(root, path),
        what,
        limit,
    }
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;

    use super::super::testing::{folder, settings, tree};
    use super::super::{SourceSettings, SourceTree};
    use super::*;
    use crate::report::SilentReport;

    struct Heard(Mutex<Vec<String>>);

    impl Report for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    fn paths(tree: &SourceTree) -> Vec<String> {
        tree.entries().iter().map(SourceEntry::shown).collect()
    }

    fn error_of(settings: &SourceSettings) -> SourceError {
        SourceTree::read(settings, &SilentReport).unwrap_err()
    }

    #[test]
    fn entries_are_sorted_by_bytes_and_know_what_they_are() {
        let folder = folder(&[
            ("a/c", "12345"),
            ("a-b", ""),
            ("run.sh*", "#!/bin/sh\n"),
            ("a/link", "-> c"),
            ("empty/", ""),
            ("über.txt", "x"),
            (".git/config", ""),
            ("x/.git/config", ""),
            (".gitignore", ""),
        ]);
        let tree = tree(&folder);
        assert_eq!(
            paths(&tree),
            [
                ".gitignore",
                "a",
                "a-b",
                "a/c",
                "a/link",
                "empty",
                "run.sh",
                "x",
                "über.txt"
            ]
        );
        assert!(matches!(
            tree.find(b"a/c").unwrap().kind,
            SourceKind::File {
                size_bytes: 5,
                executable: false,
                mode: 0o644,
                ..
            }
        ));
        assert!(matches!(
            tree.find(b"run.sh").unwrap().kind,
            SourceKind::File {
                executable: true,
                ..
            }
        ));
        assert_eq!(
            tree.find(b"a/link").unwrap().kind,
            SourceKind::Symlink {
                target: b"c".to_vec()
            }
        );
    }

    #[test]
    fn names_need_not_be_utf_8() {
        let folder = folder(&[("app.py", "")]);
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
        let tree = tree(&folder);
        assert!(tree.find(b"\xff\xfe").is_some());
    }

    #[test]
    fn sockets_and_pipes_are_left_out_and_said() {
        let folder = folder(&[
            ("app.py", ""),
            ("l", "-> /abs"),
            ("m", "-> ../../x"),
            ("n", "-> app.py"),
        ]);
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("a.sock")).unwrap();
        let heard = Heard(Mutex::new(Vec::new()));
        let tree = SourceTree::read(&settings(&folder), &heard).unwrap();
        assert_eq!(paths(&tree), ["app.py", "l", "m", "n"]);
        assert_eq!(
            heard.0.into_inner().unwrap(),
            [
                "sockets, pipes and devices are left out: a.sock",
                "links that lead out of the source stay as they are and may lead nowhere in the image: l, m",
            ]
        );
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let full = folder(&[("app.py", ""), ("sub/x", ""), ("leave", "-> /tmp")]);
        let with_context = |context: &str| SourceSettings {
            context_dir: Some(context.into()),
            ..settings(&full)
        };
        let at = |path: PathBuf| SourceSettings {
            folder: path,
            ..settings(&full)
        };
        assert!(matches!(
            error_of(&at(full.path().join("no"))),
            SourceError::Missing { .. }
        ));
        assert!(matches!(
            error_of(&at(full.path().join("app.py"))),
            SourceError::NotAFolder { .. }
        ));
        assert!(matches!(
            error_of(&at(full.path().join("app.py/x"))),
            SourceError::NotAFolder { .. }
        ));
        assert!(matches!(
            error_of(&with_context("no")),
            SourceError::Missing { .. }
        ));
        assert!(matches!(
            error_of(&with_context("../x")),
            SourceError::ContextOutside { .. }
        ));
        assert!(matches!(
            error_of(&with_context("leave")),
            SourceError::ContextOutside { .. }
        ));
        assert!(matches!(
            error_of(&settings(&folder(&[("only/folders/", "")]))),
            SourceError::Empty { .. }
        ));
        assert!(matches!(
            error_of(&settings(&folder(&[("a/.wh.x", "")]))),
            SourceError::Whiteout { .. }
        ));
        let bad = SourceSettings {
            exclude: vec!["(".to_owned()],
            ..settings(&full)
        };
        assert!(matches!(error_of(&bad), SourceError::Exclude { .. }));
        let tree = SourceTree::read(&with_context("/sub/."), &SilentReport).unwrap();
        assert_eq!(paths(&tree), ["x"]);
    }

    #[test]
    fn many_folders_are_walked_through_in_order() {
        let folders = 3 * FEW_FOLDERS;
        let mut names: Vec<String> = (0..folders)
            .flat_map(|n| [format!("{}/d{n}/e/f", n % 7), format!("{}/d{n}-x", n % 7)])
            .collect();
        names.extend((0..5).map(|n| format!("3/d{n}/.venv/x")));
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let tree = tree(&folder(&files));
        assert!(tree.entries().is_sorted_by(|a, b| a.path < b.path));
        let found = paths(&tree)
            .into_iter()
            .filter(|path| path.ends_with("e/f"));
        assert_eq!(found.count(), folders);
        assert!(paths(&tree).iter().all(|path| !path.contains(".venv")));
    }

    #[test]
    fn exclude_matches_with_and_without_a_leading_slash() {
        let folder = folder(&[("docs/a", ""), ("b.log", ""), ("c", ""), (".git/x", "")]);
        let with = |exclude: &str| {
            let settings = SourceSettings {
                exclude: vec![exclude.to_owned()],
                ..settings(&folder)
            };
            paths(&SourceTree::read(&settings, &SilentReport).unwrap())
        };
        assert_eq!(with(r"^docs|\.log$"), ["c"]);
        assert_eq!(with("/docs(/|$)|/b.log"), ["c"]);
        assert_eq!(with("").len(), 6);
    }

    #[test]
    fn an_unreadable_folder_is_named() {
        let folder = folder(&[("app.py", ""), ("shut/x", "")]);
        let shut = folder.path().join("shut");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).unwrap();
        let result = SourceTree::read(&settings(&folder), &SilentReport);
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
        // The superuser reads everything.
        if let Err(error) = result {
            assert!(matches!(error, SourceError::Read { path, .. } if path.ends_with("shut")));
        }
    }
}
