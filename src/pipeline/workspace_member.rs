//! The member of a uv workspace that a source is, without a lock of its own: what it needs, the workspace's lock and
//! other members say, so the build starts from the workspace's root.

use std::path::{Path, PathBuf};

use crate::context::fetch_source::FetchedSource;
use crate::context::project::WorkspaceMember;
use crate::packages::python::locks::{self, LockKind};
use crate::plan::{PlanError, PlanRequest};
use crate::report::{BuildError, Event, Report};
use crate::source::{SettingsFile, SourceSettings, SourceTree};

/// Files that say what a project needs, whatever lies around it.
const OWN: [&str; 3] = ["uv.lock", "pylock.toml", "requirements.txt"];
/// Files that count in the root of a source alone.
const FILES_OF_ROOT: [&str; 5] = [
    ".s2i/environment",
    ".s2iignore",
    "Aptfile",
    "Procfile",
    "s2r.yaml",
];

/// Finds the member, and has the source be its workspace.
///
/// # Errors
/// A file cannot be read; the workspace's `uv.lock` is no lock.
pub(super) fn find(
    request: &PlanRequest,
    obtained: &FetchedSource,
    source: &mut SourceSettings,
) -> Result<Option<WorkspaceMember>, BuildError> {
    let is_named = request
        .env
        .iter()
        .any(|one| one.starts_with("S2R_PACKAGE="));
    let top = obtained.surroundings();
    // What is wrong with the folder is told where it is read.
    let root = source.root().unwrap_or_else(|_| top.clone());
    let Ok(below) = root.strip_prefix(&top) else {
        return Ok(None);
    };
    if is_named || below.as_os_str().is_empty() {
        return Ok(None);
    }
    for own in OWN {
        if SourceTree::read_root_file(source, own, SettingsFile::ToolLock)?.is_some() {
            return Ok(None);
        }
    }
    for parent in below.ancestors().skip(1) {
        let context_dir = Some(PathBuf::from(parent)).filter(|path| path != Path::new(""));
        let workspace = SourceSettings {
            folder: top.clone(),
            context_dir,
            ..source.clone()
        };
        let lock = LockKind::Uv.path();
        let lock = SourceTree::read_root_file(&workspace, lock, SettingsFile::ToolLock)?;
        let (Some(text), Ok(folder)) = (lock, below.strip_prefix(parent)) else {
            continue;
        };
        let folder = folder.to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&text);
        let name = locks::member_in_folder(&text, &folder).map_err(PlanError::from)?;
        return Ok(name.map(|name| {
            *source = workspace;
            WorkspaceMember { name, folder }
        }));
    }
    Ok(None)
}

/// Says what is built, and what of the member's own files is not looked at.
pub(super) fn tell(
    member: &WorkspaceMember,
    request: &PlanRequest,
    (tree, report): (&SourceTree, &dyn Report),
) {
    let WorkspaceMember { name, folder } = member;
    let (flag, place) = match request.context_dir {
        Some(_) => ("--context-dir ", "flag"),
        None => ("", "folder"),
    };
    report.event(Event::Warning {
        text: format!("{flag}{folder} is the member {name} of a uv workspace: it is built from the workspace's root, all of which is in the image"),
        hint: format!("`-e S2R_PACKAGE={name}` and the workspace's root in place of the {place} say the same"),
    });
    let paths = FILES_OF_ROOT.iter().map(|file| format!("{folder}/{file}"));
    for path in paths.filter(|path| tree.find(path.as_bytes()).is_some()) {
        report.event(Event::Warning {
            text: format!("{path} is not read"),
            hint: "put it into the workspace's root".to_owned(),
        });
    }
}
