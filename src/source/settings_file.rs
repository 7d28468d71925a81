//! The one table of files that s2r itself reads from a source, each with its longest length.
//!
//! [`Tree::read_small`](super::SourceTree::read_small) takes a row of it, so that a file which is not in the
//! table cannot be read whole, and the test below tries every row with what a hostile project puts there.

/// A kind of file whose contents mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingsFile {
    /// `.s2iignore`, read before the tree is.
    IgnoreRules,
    /// `s2r.yaml`, read before the tree is.
    ProjectSettings,
    /// A builder that `s2r.yaml` names.
    BuilderFile,
    Environment,
    GitModules,
    /// `requirements.txt` and the files that it includes.
    Requirements,
    Pylock,
    BaseLock,
    Pyproject,
    /// Locks of other tools: `uv.lock`, `poetry.lock`, `pdm.lock`, `Pipfile.lock`; and `Pipfile`.
    ToolLock,
    /// `setup.py` in the root or a folder of it, and `setup.cfg` beside it.
    Setup,
    PythonVersion,
    GunicornSettings,
    Procfile,
    Aptfile,
    /// `package.json`, for its build script.
    NodePackage,
    /// Certificates and keys, told apart by their first lines.
    Pem,
    /// A Python module of the project, for what its syntax says.
    Module,
    /// A script that is started as it is, of which the first line is looked at.
    Script,
}

impl SettingsFile {
    /// The longest that is read, in bytes; a longer one is refused with its path.
    pub(crate) fn limit_bytes(self) -> u64 {
        match self {
            Self::IgnoreRules
            | Self::ProjectSettings
            | Self::BuilderFile
            | Self::GitModules
            | Self::Pem
            | Self::Module => 1 << 20,
            Self::Environment => crate::source::environment::MAX_FILE_BYTES,
            Self::BaseLock => 8 << 20,
            Self::Pylock | Self::ToolLock => 64 << 20,
            Self::Requirements
            | Self::Pyproject
            | Self::Setup
            | Self::PythonVersion
            | Self::GunicornSettings
            | Self::Procfile
            | Self::NodePackage
            | Self::Aptfile => 4 << 20,
            Self::Script => 256,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::SettingsFile;
    use crate::packages::python::locks::LockKind;

    /// Paths by which each kind is read, for tests that try them all. The match below has no wildcard: a
    /// new kind does not compile until its path stands here.
    pub(crate) fn paths() -> Vec<(&'static str, SettingsFile)> {
        use SettingsFile as File;
        let mut paths = Vec::new();
        let mut next = Some(File::IgnoreRules);
        while let Some(kind) = next {
            if kind == File::ToolLock {
                paths.extend(LockKind::documents().into_iter().map(|name| (name, kind)));
            }
            let (names, after): (&[&'static str], _) = match kind {
                File::IgnoreRules => (&[".s2iignore"], Some(File::ProjectSettings)),
                File::ProjectSettings => (&["s2r.yaml"], Some(File::BuilderFile)),
                File::BuilderFile => (&["company.yaml"], Some(File::Environment)),
                File::Environment => (&[".s2i/environment"], Some(File::GitModules)),
                File::GitModules => (&[".gitmodules"], Some(File::Requirements)),
                File::Requirements => (
                    &["requirements.txt", "requirements/base.txt"],
                    Some(File::Pylock),
                ),
                File::Pylock => (&["pylock.toml"], Some(File::BaseLock)),
                File::BaseLock => (&["s2r.lock"], Some(File::Pyproject)),
                File::Pyproject => (&["pyproject.toml"], Some(File::ToolLock)),
                // A list of their own says them.
                File::ToolLock => (&[], Some(File::Setup)),
                File::Setup => (
                    &["setup.py", "setup.cfg", "sub/setup.py"],
                    Some(File::PythonVersion),
                ),
                File::PythonVersion => (
                    &[".python-version", "runtime.txt"],
                    Some(File::GunicornSettings),
                ),
                File::GunicornSettings => (&["gunicorn.conf.py"], Some(File::Procfile)),
                File::Procfile => (&["Procfile"], Some(File::Aptfile)),
                File::Aptfile => (&["Aptfile"], Some(File::NodePackage)),
                File::NodePackage => (&["package.json"], Some(File::Pem)),
                File::Pem => (&["server.pem", "server.key"], Some(File::Module)),
                File::Module => (&["app.py", "shop/__init__.py"], Some(File::Script)),
                File::Script => (&[".s2i/bin/assemble", ".s2i/bin/run", "app.sh"], None),
            };
            paths.extend(names.iter().map(|name| (*name, kind)));
            next = after;
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::super::testing::{folder, settings};
    use super::super::{SourceError, SourceTree};
    use super::*;
    use crate::report::SilentReport;

    /// What a hostile project puts where a file of settings is expected.
    fn hostile(how: &str, path: &Path) {
        match how {
            "a link out" => symlink("/etc/passwd", path).unwrap(),
            "a link to memory" => symlink("/proc/self/pagemap", path).unwrap(),
            "a link to a device" => symlink("/dev/zero", path).unwrap(),
            "a pipe" => {
                use rustix::fs::{CWD, FileType, Mode, mknodat};
                mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
            }
            "a folder" => fs::create_dir(path).unwrap(),
            "1 GB" => File::create(path).unwrap().set_len(1 << 30).unwrap(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn no_file_of_settings_leads_out_blocks_or_fills_memory() {
        for (path, kind) in testing::paths() {
            for how in [
                "a link out",
                "a link to memory",
                "a link to a device",
                "a pipe",
                "a folder",
                "1 GB",
            ] {
                let folder = folder(&[("main.py", "")]);
                let place = folder.path().join(path);
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                hostile(how, &place);
                let start = Instant::now();
                let read = SourceTree::read(&settings(&folder), &SilentReport)
                    .and_then(|tree| tree.read_small(path, kind));
                assert!(start.elapsed() < Duration::from_secs(2), "{path}: {how}");
                match (how, read) {
                    ("1 GB", Err(SourceError::Long { .. })) => {}
                    ("1 GB", Ok(Some(start))) if kind == SettingsFile::Script => {
                        assert_eq!(start.len(), 256);
                    }
                    ("1 GB", other) => panic!("{path}: {other:?}"),
                    (_, Ok(None)) => {}
                    (_, other) => panic!("{path}: {how}: {other:?}"),
                }
            }
        }
    }
}
