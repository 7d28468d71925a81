//! What the files of a layer need of the image they will be in: libraries that programs link, interpreters that
//! scripts name. Noted when the layer is made, and looked at when an image is put together.
//!
//! A library is known by its name alone, in whatever folder it lies. The loader does not ask where a library lies that
//! a process has loaded already, and packages load their own first (`ctypes`, imports in an `__init__`), so that no
//! file tells whether a folder is looked into. Whether the image has the library at all, the files do tell.
//! Formats: elf(5), ld.so(8), execve(2) on interpreter scripts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::archive::elf;
use crate::oci::Architecture;

/// Longest first line of a script that the kernel reads, in bytes.
const SHEBANG_BYTES: usize = 256;
/// Folders of programs, as paths of a layer: those in which `env` looks.
const PROGRAM_FOLDERS: [&str; 5] = [
    "opt/app-root/bin",
    "usr/local/bin",
    "usr/local/sbin",
    "usr/bin",
    "usr/sbin",
];
/// Folders at the root that are links into `usr`.
const MERGED: [&str; 2] = ["bin", "sbin"];
/// Beginnings of folders of Python's modules. What in them is a script is started by whoever brings it, in its own way.
const MODULE_FOLDERS: [&str; 2] = ["opt/app-root/lib/", "usr/lib/python"];
/// Endings of names of Python's own modules, which nothing links.
const MODULES: [&str; 2] = [".cpython-", ".abi3."];

/// What a layer has for others, and what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linkage {
    /// Names of libraries that are there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub libraries: BTreeSet<String>,
    /// Paths of programs that are there, without a leading slash.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub programs: BTreeSet<String>,
    /// What its files need and the layer itself has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<LinkNeed>,
}

/// Something that files of a package need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkNeed {
    /// The package: `numpy 2.4.6`, `imagemagick-7.q16`.
    pub owner: String,
    pub wanted: WantedFile,
    /// One of the files, from the root or from the folder of Python's packages.
    pub file: String,
    /// How many there are.
    pub files: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum WantedFile {
    /// A library by its name, `libGL.so.1`.
    Library(String),
    /// An interpreter by its absolute path, `/usr/bin/perl`.
    Path(String),
    /// An interpreter that `env` looks for, `perl`.
    Program(String),
}

impl Linkage {
    /// Notes a path at which something can be found: a file's, or a link's.
    pub(crate) fn name(&mut self, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if PROGRAM_FOLDERS.contains(&folder) {
            self.programs.insert(path.to_owned());
        }
        if name.contains(".so") && !MODULES.iter().any(|part| name.contains(part)) {
            self.libraries.insert(name.to_owned());
        }
    }

    /// Whether something that is needed is here.
    pub(crate) fn has(&self, wanted: &WantedFile) -> bool {
        match wanted {
            WantedFile::Library(name) => self.libraries.contains(name),
            WantedFile::Path(path) => self.programs.contains(&merged(path)),
            WantedFile::Program(name) => PROGRAM_FOLDERS
                .iter()
                .any(|folder| self.programs.contains(&format!("{folder}/{name}"))),
        }
    }
}

/// `e_machine` of an architecture.
pub(crate) fn machine(architecture: Architecture) -> u16 {
    match architecture {
        Architecture::Amd64 => elf::X86_64,
        Architecture::Arm64 => elf::AARCH64,
    }
}

/// A file of a layer, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkedFile<'a> {
    pub owner: &'a str,
    /// Its path in the image, without a leading slash.
    pub path: &'a str,
    /// The same for people.
    pub shown: &'a str,
    /// Whether it may be started.
    pub is_executable: bool,
}

impl LinkedFile<'_> {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Whether it can be something that needs others, by its name and its mode.
    pub(crate) fn is_worth_reading(&self) -> bool {
        self.is_executable || self.name().contains(".so")
    }
}

/// Looks through the files of a layer.
#[derive(Debug)]
pub(crate) struct LinkSurvey {
    machine: u16,
    found: Linkage,
    /// An example and a count by package and need.
    needs: BTreeMap<(String, WantedFile), (String, usize)>,
}

impl LinkSurvey {
    /// Of a layer for these machines: files for others need nothing here.
    pub(crate) fn new(machine: u16) -> Self {
        Self {
            machine,
            found: Linkage::default(),
            needs: BTreeMap::new(),
        }
    }

    /// Notes a path at which something can be found.
    pub(crate) fn name(&mut self, path: &str) {
        self.found.name(path);
    }

    /// Looks at a file, whose bytes `at` gives as [`elf::read`] wants them.
    ///
    /// # Errors
    /// Those of `at`.
    pub(crate) fn file<E>(
        &mut self,
        file: &LinkedFile<'_>,
        mut at: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        self.found.name(file.path);
        if !file.is_worth_reading() {
            return Ok(());
        }
        let head = at(0, SHEBANG_BYTES)?;
        if head.starts_with(elf::MAGIC) {
            self.elf(file, &mut at)?;
        } else if file.is_executable
            && !MODULE_FOLDERS
                .iter()
                .any(|folder| file.path.starts_with(folder))
            && let Some(wanted) = interpreter(&head)
        {
            self.need(file, wanted);
        }
        Ok(())
    }

    fn elf<E>(
        &mut self,
        file: &LinkedFile<'_>,
        at: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let Some(elf) = elf::read(at)?.filter(|elf| elf.machine == self.machine) else {
            return Ok(());
        };
        self.found.libraries.extend(elf.soname);
        // The loader is a library like others, and its path the same on every system that has it.
        let loader = elf.interpreter.iter();
        for needed in elf.needed.iter().chain(loader) {
            let name = needed.rsplit('/').next().unwrap_or(needed);
            // Tools that rewrite libraries leave an empty name behind, which the loader takes for the program.
            if !name.is_empty() {
                self.need(file, WantedFile::Library(name.to_owned()));
            }
        }
        Ok(())
    }

    fn need(&mut self, file: &LinkedFile<'_>, wanted: WantedFile) {
        let of = (file.owner.to_owned(), wanted);
        let first = || (file.shown.to_owned(), 0);
        self.needs.entry(of).or_insert_with(first).1 += 1;
    }

    /// What was found; what the layer itself has is needed of nobody.
    pub(crate) fn finish(self) -> Linkage {
        let mut found = self.found;
        let needs = self.needs.into_iter();
        let needs = needs.filter(|((_, wanted), _)| !found.has(wanted));
        found.needs = needs
            .map(|((owner, wanted), (file, files))| LinkNeed {
                owner,
                wanted,
                file,
                files,
            })
            .collect();
        found
    }
}

/// The interpreter that a script's first line names. None where it lies in a folder that is not looked at.
fn interpreter(head: &[u8]) -> Option<WantedFile> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let path = words.next()?;
    if path.rsplit('/').next() == Some("env") {
        let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        return Some(WantedFile::Program(program.to_owned()));
    }
    let folder = merged(path);
    let folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
    PROGRAM_FOLDERS
        .contains(&folder)
        .then(|| WantedFile::Path(path.to_owned()))
}

/// An absolute path as a layer has it.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let top = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&top) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::archive::elf::tests::library;

    fn look(survey: &mut LinkSurvey, path: &str, is_executable: bool, bytes: &[u8]) {
        let file = LinkedFile {
            owner: "pkg 1",
            path,
            shown: path,
            is_executable,
        };
        let at = |offset: u64, length: usize| {
            let rest = &bytes[usize::try_from(offset).unwrap().min(bytes.len())..];
            Ok::<_, Infallible>(rest[..length.min(rest.len())].to_vec())
        };
        survey.file(&file, at).unwrap();
    }

    fn wanted(linkage: &Linkage) -> Vec<&WantedFile> {
        linkage.needs.iter().map(|need| &need.wanted).collect()
    }

    #[test]
    fn what_files_need_and_the_layer_has_not_is_noted_once_a_package() {
        let mut survey = LinkSurvey::new(elf::X86_64);
        let module = library(
            elf::X86_64,
            "",
            &["libown-1a2b.so.1", "libGL.so.1", "", "libc.so.6"],
        );
        let own = library(elf::X86_64, "libown.so.1", &["libc.so.6"]);
        look(
            &mut survey,
            "s/m/a.cpython-313-x86_64-linux-gnu.so",
            true,
            &module,
        );
        look(&mut survey, "s/m/b.abi3.so", false, &module);
        look(&mut survey, "s/pkg.libs/libown-1a2b.so.1", false, &own);
        // For another machine, and no library at all.
        let other = library(elf::AARCH64, "libarm.so.1", &["libarm-only.so.1"]);
        look(&mut survey, "s/m/libarm.so", false, &other);
        look(&mut survey, "s/m/data.json", false, b"\x7fELF");
        let found = survey.finish();
        let library = |name: &str| WantedFile::Library(name.to_owned());
        assert_eq!(
            wanted(&found),
            [&library("libGL.so.1"), &library("libc.so.6")]
        );
        let gl = &found.needs[0];
        assert_eq!((gl.owner.as_str(), gl.files), ("pkg 1", 2));
        assert_eq!(gl.file, "s/m/a.cpython-313-x86_64-linux-gnu.so");
        let names: Vec<&str> = found.libraries.iter().map(String::as_str).collect();
        assert_eq!(names, ["libarm.so", "libown-1a2b.so.1", "libown.so.1"]);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Linkage>(&text).unwrap(), found);
    }

    #[test]
    fn interpreters_of_scripts() {
        let path = |path: &str| Some(WantedFile::Path(path.to_owned()));
        let program = |name: &str| Some(WantedFile::Program(name.to_owned()));
        for (head, expected) in [
            ("#!/bin/sh\n", path("/bin/sh")),
            ("#! /usr/bin/perl -w\nx", path("/usr/bin/perl")),
            ("#!/usr/bin/env perl\n", program("perl")),
            ("#!/usr/bin/env -S LANG=C node --x\n", program("node")),
            ("#!/usr/share/own/tool\n", None),
            ("#!\n", None),
            ("import os\n", None),
        ] {
            assert_eq!(interpreter(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn programs_are_found_where_they_are_looked_for() {
        let mut survey = LinkSurvey::new(elf::X86_64);
        look(&mut survey, "usr/bin/env", true, b"");
        look(&mut survey, "usr/bin/bash", true, b"");
        look(&mut survey, "opt/app-root/bin/python", true, b"");
        look(&mut survey, "usr/share/x/perl", true, b"");
        look(&mut survey, "usr/bin/tool", true, b"#!/bin/bash\n");
        look(&mut survey, "usr/bin/other", true, b"#!/usr/bin/env perl\n");
        look(
            &mut survey,
            "opt/app-root/lib/python3.13/site-packages/x/tool",
            true,
            b"#!/usr/bin/env node\n",
        );
        look(
            &mut survey,
            "usr/share/x/not-started",
            false,
            b"#!/usr/bin/ruby\n",
        );
        let found = survey.finish();
        assert_eq!(wanted(&found), [&WantedFile::Program("perl".to_owned())]);
        assert!(found.has(&WantedFile::Program("python".to_owned())));
        assert!(found.has(&WantedFile::Path("/bin/bash".to_owned())));
        assert!(!found.has(&WantedFile::Path("/usr/local/bin/bash".to_owned())));
    }
}
