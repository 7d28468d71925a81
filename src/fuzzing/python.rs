//! Files of Python's packaging.

use std::collections::BTreeSet;
use std::io::Cursor;

use super::{section, sections};
use crate::packages::Sha256;
use crate::packages::python::locks::{ConversionInput, LockChoice, LockForm, LockKind, convert};
use crate::packages::python::{
    IndexOptions, LibcVersion, PackageUrl, Pylock, PythonVersion, ReadAccess, RequirementKind,
    RequirementSet, TargetArch, WheelFileName, WheelTarget, entry_points, parse, record as records,
    wheel_metadata,
};
use crate::resolve::wheels::{
    GetRequest, GetResponse, IndexFetch, IndexFetchError, IndexSettings, KeptFile, files_of,
};

/// Stands for the value of a variable.
const VALUE: &str = "value";

/// What the builder python-3.13 has on a PC.
fn target() -> WheelTarget {
    WheelTarget {
        python: PythonVersion {
            major: 3,
            minor: 13,
            patch: 5,
        },
        libc: LibcVersion::Glibc(2, 41),
        arch: TargetArch::X86_64,
    }
}

/// Requirement files: the first section, and what it includes in the others. What a requirement
/// prints is the same requirement when it is read.
pub fn requirements(bytes: &[u8]) {
    let files = sections(bytes);
    let read = |path: &str| -> Option<Vec<u8>> {
        let found = files.iter().find(|(name, _)| *name == path.as_bytes())?;
        Some(found.1.to_vec())
    };
    let source = ReadAccess {
        read: &read,
        variable: &|name| (name != "UNKNOWN").then(|| VALUE.to_owned()),
    };
    let Ok(found) = parse("requirements.txt", files[0].1, &source) else {
        return;
    };
    let markers = target().markers().unwrap();
    for wish in found.wishes.iter().chain(&found.constraints) {
        let _ = (wish.applies(&markers), wish.pin(), wish.address());
        let RequirementKind::Named(requirement) = &wish.kind else {
            continue;
        };
        if requirement.version_or_url.is_none() && requirement.marker.contents().is_none() {
            let again = read_alone(&wish.to_string());
            assert_eq!(
                again.wishes.first().map(|wish| &wish.kind),
                Some(&wish.kind)
            );
        }
    }
    if let Ok(indexes) = IndexSettings::new(&found.options, &[].into()) {
        let _ = indexes.all().count();
    }
}

/// A file with this line alone.
fn read_alone(line: &str) -> RequirementSet {
    let source = ReadAccess {
        read: &|_| None,
        variable: &|_| None,
    };
    parse("r.txt", line.as_bytes(), &source).unwrap()
}

/// `pylock.toml`: what is written of it is read as the same.
pub fn pylock(bytes: &[u8]) {
    let Ok(lock) = Pylock::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let markers = target().markers().unwrap();
    let _ = lock.is_for(&markers);
    for package in &lock.packages {
        let _ = package.applies(&markers);
    }
    let text = lock.to_toml();
    let again = Pylock::parse(&text).unwrap();
    assert_eq!(again.to_toml(), text);
}

/// `uv.lock`, with `pyproject.toml` in a section of that name.
pub fn uv_lock(bytes: &[u8]) {
    converted(LockKind::Uv, bytes);
}

/// `poetry.lock`, likewise.
pub fn poetry_lock(bytes: &[u8]) {
    converted(LockKind::Poetry, bytes);
}

/// `pdm.lock`, likewise.
pub fn pdm_lock(bytes: &[u8]) {
    converted(LockKind::Pdm, bytes);
}

/// `Pipfile.lock`, with the `Pipfile` in a section of that name.
pub fn pipfile_lock(bytes: &[u8]) {
    converted(LockKind::PipfileLock, bytes);
}

/// A `Pipfile` alone.
pub fn pipfile(bytes: &[u8]) {
    converted(LockKind::Pipfile, bytes);
}

/// The dependencies of a `pyproject.toml`.
pub fn pyproject(bytes: &[u8]) {
    converted(LockKind::Pyproject, bytes);
}

/// Converts the file for several choices: whatever comes out can be read, and names what it says.
fn converted(kind: LockKind, bytes: &[u8]) {
    let text = section(bytes, "").unwrap_or_default();
    let made_from = kind.read_with().and_then(|name| section(bytes, name));
    let markers = target().markers().unwrap();
    for (extras, groups) in [(None, None), (Some("mail"), Some("dev"))] {
        for as_requirements in [false, true] {
            let given = ConversionInput {
                text: &text,
                made_from: made_from.as_deref(),
                choice: &LockChoice::new(extras, groups),
                beside: &|_| None,
                markers: &markers,
                as_requirements,
            };
            let Ok(converted) = convert(kind, &given) else {
                continue;
            };
            let names: BTreeSet<String> = match converted.form {
                LockForm::Pylock => Pylock::parse(&converted.text)
                    .unwrap()
                    .packages
                    .iter()
                    .map(|package| package.name.to_string())
                    .collect(),
                LockForm::Requirements => read_alone(&converted.text)
                    .wishes
                    .iter()
                    .filter_map(|wish| wish.name())
                    .map(ToString::to_string)
                    .collect(),
            };
            assert!(names.is_subset(&converted.names), "{}", converted.text);
        }
    }
}

/// `RECORD`: what is written of it is read as the same.
pub fn record(bytes: &[u8]) {
    if let Ok(rows) = records::parse(bytes) {
        let text = records::write(rows.iter().map(|(path, row)| (path.as_str(), row)));
        assert_eq!(records::parse(text.as_bytes()).as_ref(), Ok(&rows));
    }
}

/// Names of wheels, line by line; then all of it as `entry_points.txt`, as `WHEEL`, and as addresses.
pub fn names(bytes: &[u8]) {
    let tags = target().tags();
    for line in String::from_utf8_lossy(bytes).lines().take(64) {
        if let Ok(name) = line.parse::<WheelFileName>() {
            let again: WheelFileName = name.to_string().parse().unwrap();
            assert_eq!(again, name);
            let _ = (tags.rank(&name), name.tags().count());
        }
    }
    if let Ok(scripts) = entry_points::scripts(bytes) {
        for script in scripts {
            assert!(!script.name.contains('/') && script.name != "..");
        }
    }
    let _ = wheel_metadata::parse(bytes);
}

/// A page of an index, in HTML or JSON: files have names, and addresses without passwords.
pub fn index_page(bytes: &[u8]) {
    struct Page(Vec<u8>);
    impl IndexFetch for Page {
        fn get(&self, _: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError> {
            Ok(GetResponse {
                final_url: "https://i.example.com/simple/demo/".to_owned(),
                body: Box::new(Cursor::new(self.0.clone())),
            })
        }

        fn file(&self, _: &PackageUrl, _: Option<Sha256>) -> Result<KeptFile, IndexFetchError> {
            Err(IndexFetchError::Offline)
        }
    }
    let mut indexes = IndexSettings::new(&IndexOptions::default(), &[].into()).unwrap();
    indexes.default = PackageUrl::parse("https://i.example.com/simple").ok();
    let project = "demo".parse().unwrap();
    let files = files_of(&Page(bytes.to_vec()), &indexes, &project).unwrap_or_default();
    assert!(files.iter().all(|file| file.url.as_str().contains("://")));
}
