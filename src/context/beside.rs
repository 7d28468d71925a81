//! Folders outside the source that its requirements name, as `../core` in a project of a monorepo.
//!
//! They may lie within what the user gave: the folder that `--context-dir` leads into, or the git checkout around a
//! folder. They are no part of the source, and reach the image as wheels alone.

use std::path::{Path, PathBuf};

use super::project::ProjectInputs;
use crate::packages::python::climbed;
use crate::plan::SOURCE_FOLDER;
use crate::report::{BuildError, SilentReport};
use crate::source::{SourceError, SourceSettings, SourceTree};

/// Any of these makes a folder something that can be built, as for pip.
const PROJECT_FILES: [&str; 2] = ["pyproject.toml", "setup.py"];
/// Where they lie in a build, each at its place.
const IN_BUILD: &str = "/build/around";
/// Where folders seem to lie that the source names in its own build, from where it lies in the image.
const NEAR_SOURCE: &str = "/opt/";

/// A folder outside the source.
pub(crate) struct FolderBeside {
    /// Its path from the folder that holds it and the source.
    pub place: String,
    pub tree: SourceTree,
}

impl FolderBeside {
    /// Where it lies while it is built.
    pub(crate) fn place_in_build(&self) -> String {
        format!("{IN_BUILD}/{}", self.place)
            .trim_end_matches('/')
            .to_owned()
    }
}

impl ProjectInputs {
    /// The folder at a path from the source's root that begins with `../`; nothing where no project lies there, or
    /// where it is none of what the user gave.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn beside(&self, path: &str) -> Result<Option<FolderBeside>, BuildError> {
        let (folder, source) = self.surroundings();
        let place = climbed(&source, path);
        let settings = SourceSettings {
            folder,
            shown: self.obtained.shown.clone(),
            context_dir: Some(PathBuf::from(&place)),
            exclude: Vec::new(),
            ignore: Vec::new(),
        };
        let tree = match SourceTree::read(&settings, &SilentReport) {
            Ok(tree) => tree,
            Err(
                SourceError::Missing { .. }
                | SourceError::NotAFolder { .. }
                | SourceError::ContextOutside { .. }
                | SourceError::Empty { .. },
            ) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut files = PROJECT_FILES.iter();
        let is_project = files.any(|file| tree.find(file.as_bytes()).is_some());
        Ok(is_project.then_some(FolderBeside { place, tree }))
    }

    /// The path from the source's root of what an absolute path means in the metadata of a wheel that was built; it
    /// begins with `../` where that is outside the source.
    pub(crate) fn path_of_build(&self, named: &str) -> Option<String> {
        let named = format!("/{}", climbed("", named));
        if let Some(place) = named.strip_prefix(IN_BUILD) {
            let (_, source) = self.surroundings();
            return Some(from_folder(&source, place));
        }
        let is_near = named.starts_with(NEAR_SOURCE);
        is_near.then(|| from_folder(SOURCE_FOLDER, &named))
    }

    /// The folder that holds what requirements may name, and the path of the source from there.
    fn surroundings(&self) -> (PathBuf, String) {
        let folder = self.obtained.surroundings();
        let below = self.tree.root().strip_prefix(&folder);
        let below = below
            .unwrap_or(Path::new(""))
            .to_string_lossy()
            .into_owned();
        (folder, below)
    }

    /// The command that builds the source together with the folder at a path from its root that begins with `../`, where
    /// there is such a folder on this machine.
    pub(crate) fn command_with(&self, path: &str) -> Option<String> {
        if !self.is_users() {
            return None;
        }
        let root = self.tree.root();
        let up = path.split('/').take_while(|part| *part == "..").count();
        let folder = root.ancestors().nth(up)?;
        let wanted = root.join(path);
        let below = root.strip_prefix(folder).ok()?;
        let is_project = PROJECT_FILES.iter().any(|file| wanted.join(file).is_file());
        is_project.then(|| {
            let (folder, below) = (folder.display(), below.display());
            format!("s2r build {folder} IMAGE --context-dir {below}")
        })
    }
}

/// The path of a place from a folder, both counted from one root.
fn from_folder(folder: &str, place: &str) -> String {
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (folder, place) = (parts(folder), parts(place));
    let both = folder.iter().zip(&place);
    let shared = both.take_while(|(one, other)| one == other).count();
    let up = folder[shared..].iter().map(|_| "..");
    let down = place[shared..].iter().map(String::as_str);
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_a_folder() {
        for (folder, place, expected) in [
            ("packages/web", "packages/core", "../core"),
            ("web", "libs/core", "../libs/core"),
            ("", "core", "core"),
            ("a/b", "a/b/c", "c"),
            ("a/b", "a", ".."),
        ] {
            assert_eq!(from_folder(folder, place), expected);
            assert_eq!(climbed(folder, expected), place);
        }
    }
}
