//! What stays out of the image unasked, because every machine makes its own: git's folder, virtual
//! environments, byte code, what file managers leave behind. `!PATH` in `.s2iignore` takes one in, an
//! empty `--exclude` takes in all. And what goes in although it was hardly meant to.

use super::settings_file::SettingsFile;
use super::{SourceEntry, SourceError, SourceKind, SourceTree};
use crate::report::{Event, Report};

/// As many names are told.
pub(super) const MAX_NAMED: usize = 5;

/// Names that are left out without a word: nobody misses them.
const SILENT: [&[u8]; 3] = [b".git", b".DS_Store", b"__MACOSX"];
/// What a virtual environment has in its folder, and nothing else has.
pub(super) const ENVIRONMENT_MARK: &[u8] = b"pyvenv.cfg";

/// Files that keep secrets by their name.
const SECRET_NAMES: [&str; 12] = [
    ".env",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "kubeconfig",
];
/// Kinds of files that keep keys.
const SECRET_ENDINGS: [&str; 4] = [".jks", ".kdbx", ".p12", ".pfx"];
/// Endings of an `.env` that is there to be read.
const SAMPLE_ENDINGS: [&str; 6] = [
    "default", "defaults", "dist", "example", "sample", "template",
];

/// What was left out and is worth a word.
#[derive(Debug, Default)]
pub(super) struct LeftOutPaths {
    environments: Vec<Vec<u8>>,
    byte_code_folders: usize,
}

impl LeftOutPaths {
    /// Whether an entry stays out for its name alone.
    pub(super) fn takes(&mut self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if name == b".venv" {
            self.environments.push(path.to_vec());
        } else if name == b"__pycache__" {
            self.byte_code_folders += 1;
        } else {
            return SILENT.contains(&name);
        }
        true
    }

    /// Whether a folder is a virtual environment, by what lies in it. One called `venv` is one as long as
    /// it is no package.
    pub(super) fn takes_folder<'a>(
        &mut self,
        path: &[u8],
        mut names: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> bool {
        let is_called_so = path == b"venv" || path.ends_with(b"/venv");
        let is_environment = names.clone().any(|name| name == ENVIRONMENT_MARK)
            || is_called_so && !names.any(|name| name.ends_with(b".py"));
        if is_environment && !path.is_empty() {
            self.environments.push(path.to_vec());
            return true;
        }
        false
    }

    /// Takes over what another thread has left out.
    pub(super) fn add(&mut self, other: Self) {
        self.environments.extend(other.environments);
        self.byte_code_folders += other.byte_code_folders;
    }

    /// Says once what stays out.
    pub(super) fn tell(&mut self, report: &dyn Report) {
        self.environments.sort_unstable();
        let mut what = Vec::new();
        if !self.environments.is_empty() {
            what.push(format!(
                "virtual environments ({})",
                named(&self.environments)
            ));
        }
        match self.byte_code_folders {
            0 => {}
            1 => what.push("byte code (1 folder __pycache__)".to_owned()),
            count => what.push(format!("byte code ({count} folders __pycache__)")),
        }
        if what.is_empty() {
            return;
        }
        report.event(Event::Warning {
            text: format!("left out, as s2r makes its own: {}", what.join(", ")),
            hint:
                "list them in .s2iignore to hear no more of it; a line `!PATH` there takes one in"
                    .to_owned(),
        });
    }
}

/// Tells of what a tree holds and most likely should not, and of what it should hold and does not.
pub(super) fn warn_of_contents(tree: &SourceTree, report: &dyn Report) -> Result<(), SourceError> {
    let mut secrets = Vec::new();
    let mut windows_scripts = Vec::new();
    for entry in tree.entries() {
        if !matches!(entry.kind, SourceKind::File { .. }) {
            continue;
        }
        if is_secret(tree, entry)? {
            secrets.push(entry.path.clone());
        }
        if is_own_script(&entry.path) && ends_lines_for_windows(tree, entry)? {
            windows_scripts.push(entry.path.clone());
        }
    }
    let warn = |paths: &[Vec<u8>], text: &str, hint: &str| {
        if !paths.is_empty() {
            report.event(Event::Warning {
                text: format!("{text}: {}", named(paths)),
                hint: hint.to_owned(),
            });
        }
    };
    warn(
        &secrets,
        "files that look like secrets go into the image",
        "list them in .s2iignore, and give the container such values when it starts",
    );
    warn(
        &windows_scripts,
        "scripts with Windows' ends of lines cannot be started",
        "save them with \\n at the ends of lines, for instance by `sed -i 's/\\r$//' FILE`",
    );
    warn(
        &empty_submodules(tree)?,
        "submodules are not checked out, so their folders are empty in the image",
        "run `git submodule update --init` in the source and build again",
    );
    Ok(())
}

/// Whether a path is a script of the project's own that takes the place of one of s2i's.
pub(super) fn is_own_script(path: &[u8]) -> bool {
    path.strip_prefix(b".s2i/bin/")
        .is_some_and(|name| !name.contains(&b'/'))
}

fn ends_lines_for_windows(tree: &SourceTree, entry: &SourceEntry) -> Result<bool, SourceError> {
    let start = tree.read_small(&entry.shown(), SettingsFile::Script)?;
    Ok(start.is_some_and(|start| {
        let first = start
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        first.starts_with(b"#!") && first.ends_with(b"\r")
    }))
}

fn is_secret(tree: &SourceTree, entry: &SourceEntry) -> Result<bool, SourceError> {
    let name = entry.path.rsplit(|byte| *byte == b'/').next();
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    let name = name.as_ref();
    if SECRET_NAMES.contains(&name) || SECRET_ENDINGS.iter().any(|end| name.ends_with(end)) {
        return Ok(true);
    }
    if let Some(which) = name.strip_prefix(".env.") {
        return Ok(!SAMPLE_ENDINGS.iter().any(|end| which.ends_with(end)));
    }
    let may_hold_key = std::path::Path::new(name)
        .extension()
        .is_some_and(|ending| {
            ending.eq_ignore_ascii_case("pem") || ending.eq_ignore_ascii_case("key")
        });
    if !may_hold_key {
        return Ok(false);
    }
    // A certificate is no secret; a file too long for a key is none.
    match tree.read_small(&entry.shown(), SettingsFile::Pem) {
        Ok(bytes) => Ok(bytes.is_some_and(|bytes| {
            let mark = b"PRIVATE KEY-----";
            bytes.windows(mark.len()).any(|window| window == mark)
        })),
        Err(SourceError::Long { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Folders that `.gitmodules` names and that hold nothing.
fn empty_submodules(tree: &SourceTree) -> Result<Vec<Vec<u8>>, SourceError> {
    let Some(text) = tree.read_small(".gitmodules", SettingsFile::GitModules)? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(&text);
    let paths = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let path = value.trim().trim_matches('"').trim_end_matches('/');
        (key.trim() == "path").then(|| path.as_bytes().to_vec())
    });
    Ok(paths
        .filter(|path| {
            let Ok(at) = tree
                .entries()
                .binary_search_by(|entry| entry.path.as_slice().cmp(path))
            else {
                return false;
            };
            let start = [path.as_slice(), b"/"].concat();
            let after = tree.entries().partition_point(|entry| entry.path < start);
            let holds = tree.entries().get(after);
            tree.entries()[at].kind == SourceKind::Directory
                && !holds.is_some_and(|entry| entry.path.starts_with(&start))
        })
        .collect())
}

/// A few names and how many more there are.
pub(super) fn named<P: AsRef<[u8]>>(paths: &[P]) -> String {
    let mut text = paths
        .iter()
        .take(MAX_NAMED)
        .map(|path| String::from_utf8_lossy(path.as_ref()).into_owned())
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", paths.len() - MAX_NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::testing::{folder, settings};
    use super::super::{SourceSettings, SourceTree};
    use super::*;

    struct Heard(Mutex<Vec<String>>);

    impl Report for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    fn read(files: &[(&str, &str)], exclude: &[&str]) -> (Vec<String>, Vec<String>) {
        let folder = folder(files);
        let settings = SourceSettings {
            exclude: exclude.iter().map(|&text| text.to_owned()).collect(),
            ..settings(&folder)
        };
        let heard = Heard(Mutex::new(Vec::new()));
        let tree = SourceTree::read(&settings, &heard).unwrap();
        let paths = tree.entries().iter().map(SourceEntry::shown).collect();
        (paths, heard.0.into_inner().unwrap())
    }

    const MACHINE: [(&str, &str); 9] = [
        ("app.py", ""),
        (".git/config", ""),
        (".DS_Store", ""),
        (".venv/bin/python", ""),
        ("env/pyvenv.cfg", ""),
        ("env/lib/x.py", ""),
        ("venv/bin/activate", ""),
        ("a/__pycache__/x.pyc", ""),
        ("b/venv/__init__.py", ""),
    ];

    #[test]
    fn what_a_machine_makes_stays_out_and_is_told_once() {
        let (paths, told) = read(&MACHINE, &[r"^nothing$"]);
        assert_eq!(paths, ["a", "app.py", "b", "b/venv", "b/venv/__init__.py"]);
        assert_eq!(
            told,
            [
                "left out, as s2r makes its own: virtual environments (.venv, env, venv), byte code (1 folder __pycache__)"
            ]
        );
    }

    #[test]
    fn what_is_asked_for_goes_in() {
        let ignore = (".s2iignore", "env\n!.venv\n!venv\na\n");
        let files = [MACHINE.as_slice(), &[ignore]].concat();
        let (paths, told) = read(&files, &["^b$"]);
        assert_eq!(
            paths,
            [
                ".s2iignore",
                ".venv",
                ".venv/bin",
                ".venv/bin/python",
                "app.py",
                "venv",
                "venv/bin",
                "venv/bin/activate"
            ]
        );
        assert!(told.is_empty(), "{told:?}");
        let (paths, _) = read(&MACHINE, &[""]);
        assert!(paths.contains(&".git/config".to_owned()), "{paths:?}");
    }

    #[test]
    fn secrets_are_named_and_samples_are_not() {
        let (_, told) = read(
            &[
                (".env", "A=1"),
                (".env.example", ""),
                (".env.production", ""),
                ("keys/id_rsa", ""),
                ("keys/id_rsa.pub", ""),
                ("tls/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
                ("tls/server.pem", "x\n-----BEGIN RSA PRIVATE KEY-----\n"),
            ],
            &[],
        );
        assert_eq!(
            told,
            [
                "files that look like secrets go into the image: .env, .env.production, keys/id_rsa, tls/server.pem"
            ]
        );
    }

    #[test]
    fn scripts_of_windows_and_empty_submodules_are_named() {
        let (_, told) = read(
            &[
                (".s2i/bin/assemble", "#!/bin/bash\r\nset -e\r\n"),
                (".s2i/bin/run", "#!/bin/bash\n"),
                (
                    ".gitmodules",
                    "[submodule \"a\"]\n\tpath = libs/a\n[submodule \"b\"]\n\tpath = libs/b\n",
                ),
                ("libs/a/", ""),
                ("libs/b/x.py", ""),
            ],
            &[],
        );
        assert_eq!(
            told,
            [
                "scripts with Windows' ends of lines cannot be started: .s2i/bin/assemble",
                "submodules are not checked out, so their folders are empty in the image: libs/a"
            ]
        );
    }
}
