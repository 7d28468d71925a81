//! Locks of the tools themselves, of one small project: flask, gunicorn, colorama on Windows, an
//! extra `mail` and groups.

use pep508_rs::MarkerEnvironment;
use proptest::prelude::*;

use super::*;
use crate::packages::python::{Arch, Libc, Pylock, PythonVersion, Source, Target, parse};

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("fixtures/", $path))
    };
}

const UV: &str = fixture!("uv/uv.lock");
const STANDARD: &str = fixture!("uv/pyproject.toml");
const PIPFILE_LOCK: &str = fixture!("pipenv/Pipfile.lock");
const PIPFILE: &str = fixture!("pipenv/Pipfile");
/// What flask needs.
const FLASKS: [&str; 7] = [
    "blinker",
    "click",
    "flask",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "werkzeug",
];

fn markers() -> MarkerEnvironment {
    let target = Target {
        python: PythonVersion {
            major: 3,
            minor: 13,
            patch: 5,
        },
        libc: Libc::Glibc(2, 41),
        arch: Arch::X86_64,
    };
    target.markers().unwrap()
}

fn converted(
    kind: LockKind,
    text: &str,
    made_from: Option<&str>,
    (extras, groups): (&str, &str),
) -> Result<Converted, LockFileError> {
    let converted = convert(
        kind,
        &Given {
            text,
            made_from,
            choice: &Choice::new(Some(extras), Some(groups)),
            markers: &markers(),
        },
    )?;
    // Whatever comes out can be read.
    match converted.form {
        Form::Pylock => {
            let lock = Pylock::parse(&converted.text).unwrap();
            let names: BTreeSet<String> = lock
                .packages
                .iter()
                .map(|one| one.name.to_string())
                .collect();
            assert_eq!(names, converted.names);
        }
        Form::Requirements => {
            let source = Source {
                read: &|_| None,
                variable: &|_| None,
            };
            let read = parse(kind.path(), converted.text.as_bytes(), &source).unwrap();
            let names: BTreeSet<String> = read
                .wishes
                .iter()
                .map(|wish| wish.name().unwrap().to_string())
                .collect();
            assert_eq!(names, converted.names, "{}", converted.text);
        }
    }
    Ok(converted)
}

/// The names beyond those of flask and gunicorn, which are always there.
fn beyond(kind: LockKind, text: &str, made_from: &str, choice: (&str, &str)) -> Vec<String> {
    let names = converted(kind, text, Some(made_from), choice)
        .unwrap()
        .names;
    for name in FLASKS.into_iter().chain(["gunicorn"]) {
        assert!(names.contains(name), "{name} of {names:?}");
    }
    names
        .into_iter()
        .filter(|name| !FLASKS.contains(&name.as_str()) && name != "gunicorn")
        .collect()
}

fn is_stale(kind: LockKind, text: &str, made_from: &str) -> bool {
    match converted(kind, text, Some(made_from), ("", "")) {
        Ok(_) => false,
        Err(LockFileError::Stale { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn names_are_chosen_by_blanks_or_commas() {
    let choice = Choice::new(Some("mail, A_b  mail"), None);
    assert_eq!(choice.extras, ["a-b", "mail"]);
    assert!(!choice.is_empty() && Choice::new(Some(" ,"), Some("")).is_empty());
}

#[test]
fn uv_gives_what_the_environment_needs() {
    let of = |extras, groups| beyond(LockKind::Uv, UV, STANDARD, (extras, groups));
    assert!(of("", "").is_empty());
    assert_eq!(of("mail", ""), ["pyyaml"]);
    assert_eq!(of("", "dev"), ["iniconfig", "pathspec"]);
    assert_eq!(of("mail", "lint"), ["pathspec", "pyyaml"]);
    let lock = converted(LockKind::Uv, UV, Some(STANDARD), ("", "")).unwrap();
    let lock = Pylock::parse(&lock.text).unwrap();
    assert!(lock.packages.iter().all(|one| one.has_sdist
        && one.wheels.iter().all(|wheel| wheel.sha256.is_some())
        && !one.wheels.is_empty()));
}

#[test]
fn uv_locks_grow_stale() {
    let stale = |from: &str, to: &str| {
        assert!(STANDARD.contains(from), "{from}");
        is_stale(LockKind::Uv, UV, &STANDARD.replace(from, to))
    };
    assert!(!stale("flask>=3", "Flask >=3"));
    assert!(!stale(
        "name = \"shop\"",
        "description = \"x\"\nname = \"shop\""
    ));
    for (from, to) in [
        ("flask>=3", "flask>=4"),
        ("\"gunicorn\",", ""),
        ("win32", "darwin"),
        ("pyyaml>=6", "pyyaml"),
        ("mail =", "post ="),
        ("\"iniconfig\"", "\"pytest\""),
        ("lint = [", "more = ['x']\nlint = ["),
        (">=3.11", ">=3.12"),
    ] {
        assert!(stale(from, to), "{from}");
    }
}

#[test]
fn what_is_chosen_must_exist() {
    for (kind, text, made_from) in [
        (LockKind::Uv, UV, STANDARD),
        (LockKind::PipfileLock, PIPFILE_LOCK, PIPFILE),
    ] {
        for (extras, groups, what) in [("frob", "", "extra"), ("", "frob", "group")] {
            let error = converted(kind, text, Some(made_from), (extras, groups)).unwrap_err();
            assert!(
                matches!(&error, LockFileError::NoSuchChoice { kind, name, .. } if *kind == what && name == "frob"),
                "{error}"
            );
        }
        let error = converted(kind, text, None, ("", "")).unwrap_err();
        assert!(matches!(error, LockFileError::Alone { .. }));
    }
}

/// A lock of uv whose project needs `a`, described by `packages`.
fn uv_of_a(packages: &str) -> Result<Converted, LockFileError> {
    let lock = format!(
        "version = 1\nrequires-python = '>=3.11'\n[[package]]\nname = 'shop'\nsource = {{ editable = '.' }}\ndependencies = [{{ name = 'a' }}]\n[package.metadata]\nrequires-dist = [{{ name = 'a' }}]\n{packages}"
    );
    let project = "[project]\nname = 'shop'\ndependencies = ['a']\n";
    converted(LockKind::Uv, &lock, Some(project), ("", ""))
}

#[test]
fn uv_sources_keep_their_kind() {
    let source = |source: &str, rest: &str| {
        uv_of_a(&format!(
            "[[package]]\nname = 'a'\nversion = '1'\nsource = {{ {source} }}\n{rest}"
        ))
        .unwrap()
        .text
    };
    let git = source("git = 'https://h/a.git?subdirectory=s&rev=main#0f'", "");
    assert!(
        git.contains("vcs = { type = \"git\", url = \"https://h/a.git\", commit-id = \"0f\", subdirectory = \"s\", requested-revision = \"main\" }"),
        "{git}"
    );
    assert!(source("directory = 'lib/a'", "").contains("directory = { path = \"lib/a\" }"));
    let hash = "0".repeat(64);
    let wheel =
        format!("wheels = [{{ filename = 'a-1-py3-none-any.whl', hash = 'sha256:{hash}' }}]");
    let path = source("path = 'w/a-1-py3-none-any.whl'", &wheel);
    assert!(
        path.contains("archive = { path = \"w/a-1-py3-none-any.whl\", hashes"),
        "{path}"
    );
    let wheel = wheel.replace("filename", "path");
    let folder = source("registry = 'wheels'", &wheel);
    assert!(
        folder.contains("path = \"wheels/a-1-py3-none-any.whl\""),
        "{folder}"
    );
    assert!(
        uv_of_a("[[package]]\nname = 'a'\nsource = { virtual = 'a' }\n")
            .unwrap()
            .names
            .is_empty()
    );
    assert!(matches!(uv_of_a(""), Err(LockFileError::Unreadable { .. })));
}

#[test]
fn uv_forks_are_decided() {
    let fork = |version: &str, marker: &str| {
        format!(
            "[[package]]\nname = 'a'\nversion = '{version}'\nresolution-markers = [\"{marker}\"]\nsource = {{ directory = 'a' }}\n"
        )
    };
    let both = format!(
        "{}{}",
        fork("1", "python_full_version < '3.12'"),
        fork("2", "python_full_version >= '3.12'")
    );
    let text = uv_of_a(&both).unwrap().text;
    assert!(
        text.contains("version = \"2\"") && !text.contains("version = \"1\""),
        "{text}"
    );
}

#[test]
fn pipenv_gives_what_the_environment_needs() {
    let of = |groups| beyond(LockKind::PipfileLock, PIPFILE_LOCK, PIPFILE, ("", groups));
    assert_eq!(of(""), ["setproctitle"]);
    assert_eq!(of("dev"), ["iniconfig", "setproctitle"]);
    assert_eq!(of("docs"), ["pathspec", "setproctitle"]);
    let text = converted(LockKind::PipfileLock, PIPFILE_LOCK, Some(PIPFILE), ("", ""))
        .unwrap()
        .text;
    assert!(!text.contains("colorama") && !text.contains("--index-url"));
    assert!(text.contains("gunicorn[setproctitle]=="), "{text}");
    assert!(text.lines().all(|line| line.contains("--hash=sha256:")));
}

#[test]
fn pipenv_locks_grow_stale() {
    let stale = |from: &str, to: &str| {
        assert!(PIPFILE.contains(from), "{from}");
        is_stale(
            LockKind::PipfileLock,
            PIPFILE_LOCK,
            &PIPFILE.replace(from, to),
        )
    };
    assert!(!stale("[packages]", "# of the shop\n[packages]"));
    assert!(!stale("flask =", "Flask ="));
    assert!(stale(">=3", ">=4") && stale("\"3.11\"", "\"3.12\"") && stale("pathspec", "sphinx"));
}

#[test]
fn a_pipfile_alone_is_wishes() {
    let pipfile = "[[source]]\nurl = 'https://${U}:${P}@h/simple'\n[packages]\na = '*'\nb = '==1'\nc = { version = '>=1,<2', extras = ['X'], markers = \"os_name == 'posix'\" }\nd = { git = 'https://h/d.git', ref = 'v1' }\ne = { path = 'lib', editable = true }\nf = { version = '*', sys_platform = \"== 'win32'\" }\n[dev-packages]\ng = '*'\n";
    let of = |groups| converted(LockKind::Pipfile, pipfile, None, ("", groups)).unwrap();
    assert_eq!(
        of("").text,
        "--index-url https://${U}:${P}@h/simple\na\nb==1\nc[x]>=1,<2\nd @ git+https://h/d.git@v1\ne @ ./lib\n"
    );
    assert!(of("develop").names.contains("g"));
    assert!(converted(LockKind::Pipfile, "[packages]\na = 1\n", None, ("", "")).is_err());
}
