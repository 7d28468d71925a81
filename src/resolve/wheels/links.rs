//! Folders of the source that `--find-links` names: wheels that lie there are as good as those of an
//! index. Source distributions there are not looked at; a line that names one has it built.

use super::ResolveRequest;
use crate::packages::python::{FolderLink, WheelFileName, WheelTarget, is_wheel, resolve_folder};

/// The folders, and those that are none of the source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WheelFolders {
    /// Paths in the source of the wheels that fit the target, each file name once.
    pub(super) wheels: Vec<String>,
    /// What was named and is no folder of the source.
    pub(super) strangers: Vec<FolderLink>,
    /// Folders that have source distributions.
    pub(super) with_sources: Vec<FolderLink>,
}

impl WheelFolders {
    /// Looks into the folders. As in pip, a path starts at the file that names it, or else at the source.
    pub(super) fn find(folders: &[FolderLink], request: &ResolveRequest<'_>) -> Self {
        let mut links = Self::default();
        for link in folders {
            let place = link.path.strip_prefix("file://").unwrap_or(&link.path);
            let inside = [link.file.as_str(), ""]
                .into_iter()
                .filter_map(|file| resolve_folder(file, place))
                .find_map(|path| Some((request.list)(&path)?).map(|names| (path, names)));
            let Some((folder, names)) = inside else {
                links.strangers.push(link.clone());
                continue;
            };
            links.take(&folder, &names, request.target);
            if names.iter().any(|name| is_source(name)) {
                links.with_sources.push(link.clone());
            }
        }
        links
    }

    fn take(&mut self, folder: &str, names: &[String], target: &WheelTarget) {
        let tags = target.tags();
        for name in names.iter().filter(|name| is_wheel(name)) {
            let fits = name
                .parse::<WheelFileName>()
                .is_ok_and(|wheel| tags.rank(&wheel).is_some());
            let is_new = !self
                .wheels
                .iter()
                .any(|other| other.rsplit('/').next() == Some(name));
            if fits && is_new {
                let path = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                self.wheels.push(path);
            }
        }
    }
}

fn is_source(name: &str) -> bool {
    [".tar.gz", ".zip", ".tgz", ".tar.bz2"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use crate::packages::python::conditions::ResolutionRules;

    use super::*;
    use crate::packages::python::testing;
    use crate::resolve::wheels::ResolveInput;

    fn find(folders: &[(&str, &str)]) -> WheelFolders {
        let target = testing::target();
        let files = |path: &str| -> Option<Vec<String>> {
            let names: &[&str] = match path {
                "" => &["r.txt", "top-1-py3-none-any.whl"],
                "wheels" => &[
                    "a-1-py3-none-any.whl",
                    "b-1-cp27-cp27m-win32.whl",
                    "c.tar.gz",
                ],
                "in/wheels" => &["a-1-py3-none-any.whl", "d-1-py3-none-any.whl"],
                _ => return None,
            };
            Some(names.iter().map(|&name| name.to_owned()).collect())
        };
        let request = ResolveRequest {
            built: &[],
            input: ResolveInput::Requirements(&[]),
            target: &target,
            read: &|_| None,
            open: &|_| Err(std::io::ErrorKind::NotFound.into()),
            unpacked: crate::archive::UnpackedBound::default(),
            list: &files,
            environment: &BTreeMap::new(),
            given: &BTreeMap::new(),
            conditions: &ResolutionRules::default(),
            locked: false,
            offline: false,
            tools: Path::new("/nowhere"),
            cache: Path::new("/nowhere"),
        };
        let folders: Vec<FolderLink> = folders
            .iter()
            .map(|(file, path)| FolderLink {
                file: (*file).to_owned(),
                path: (*path).to_owned(),
            })
            .collect();
        WheelFolders::find(&folders, &request)
    }

    #[test]
    fn wheels_that_fit_are_found_once() {
        let links = find(&[("r.txt", "./wheels/"), ("in/r.txt", "wheels")]);
        assert_eq!(
            links.wheels,
            [
                "wheels/a-1-py3-none-any.whl",
                "in/wheels/d-1-py3-none-any.whl"
            ]
        );
        assert_eq!(links.with_sources[0].path, "./wheels/");
        assert!(links.strangers.is_empty());
    }

    #[test]
    fn folders_are_those_of_the_source() {
        for (file, path) in [
            ("r.txt", "/opt/app-root/src/wheels"),
            ("in/deep/r.txt", "wheels"),
            ("r.txt", "file:///opt/app-root/src/wheels"),
        ] {
            assert_eq!(find(&[(file, path)]).wheels.len(), 1, "{path}");
        }
        assert_eq!(find(&[("", ".")]).wheels, ["top-1-py3-none-any.whl"]);
        for path in ["/opt/wheels", "../wheels", "nowhere"] {
            assert_eq!(find(&[("r.txt", path)]).strangers[0].path, path);
        }
    }
}
