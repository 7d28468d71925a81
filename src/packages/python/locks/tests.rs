//! Locks of the tools themselves, of one small project: flask, gunicorn, colorama on Windows, an
//! extra `mail` and groups.

use pep508_rs::MarkerEnvironment;
use proptest::prelude::*;

use super::*;
use crate::packages::python::{Pylock, ReadAccess, Requirement, parse, testing};

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("fixtures/", $path))
    };
}

const UV: &str = fixture!("uv/uv.lock");
const STANDARD: &str = fixture!("uv/pyproject.toml");
const PIPFILE_LOCK: &str = fixture!("pipenv/Pipfile.lock");
const PIPFILE: &str = fixture!("pipenv/Pipfile");
/// No names beyond those of flask and gunicorn.
const NOTHING: [&str; 0] = [];
const PDM: &str = fixture!("pdm/pdm.lock");
const POETRY: &str = fixture!("poetry/poetry.lock");
const POETRY_OLD: &str = fixture!("poetryold/poetry.lock");
const POETRY_18: &str = fixture!("poetry18/poetry.lock");
const POETRYS: &str = fixture!("poetryold/pyproject.toml");
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
    testing::target().markers().unwrap()
}

#[expect(clippy::panic_in_result_fn, reason = "a panic is how a test fails")]
fn converted(
    kind: LockKind,
    text: &str,
    made_from: Option<&str>,
    (extras, groups): (&str, &str),
) -> Result<ConvertedLock, LockFileError> {
    let converted = convert(
        kind,
        &ConversionInput {
            text,
            made_from,
            choice: &LockChoice::new(Some(extras), Some(groups)),
            beside: &|_| None,
            markers: &markers(),
            as_requirements: false,
        },
    )?;
    // Whatever comes out can be read.
    match converted.form {
        LockForm::Pylock => {
            let lock = Pylock::parse(&converted.text).unwrap();
            let names: BTreeSet<String> = lock
                .packages
                .iter()
                .map(|one| one.name.to_string())
                .collect();
            assert_eq!(names, converted.names);
        }
        LockForm::Requirements => {
            let source = ReadAccess {
                read: &|_| None,
                variable: &|name| Some(format!("${{{name}}}")),
            };
            let read = parse(kind.path(), converted.text.as_bytes(), &source).unwrap();
            let named = read.wishes.iter().filter_map(Requirement::name);
            let names: BTreeSet<String> = named.map(ToString::to_string).collect();
            assert!(names.is_subset(&converted.names), "{}", converted.text);
            // What lies at a path is known by it, and has its name in the lock file alone.
            let unnamed = read.wishes.iter().filter(|wish| wish.name().is_none());
            assert_eq!(names.len() + unnamed.count(), converted.names.len());
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
    let choice = LockChoice::new(Some("mail, A_b  mail"), None);
    assert_eq!(choice.extras, ["a-b", "mail"]);
    assert!(!choice.is_empty() && LockChoice::new(Some(" ,"), Some("")).is_empty());
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
    assert!(lock.packages.iter().all(|one| one.sdist.is_some()
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
fn uv_of_a(packages: &str) -> Result<ConvertedLock, LockFileError> {
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
    let git = source(
        "git = 'https://h/a.git?subdirectory=s&rev=main#0123456789abcdef0123456789abcdef01234567'",
        "",
    );
    assert!(
        git.contains("vcs = { type = \"git\", url = \"https://h/a.git\", commit-id = \"0123456789abcdef0123456789abcdef01234567\", subdirectory = \"s\", requested-revision = \"main\" }"),
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
fn uv_locks_become_requirements_where_something_is_built() {
    let hash = "0".repeat(64);
    let lock = format!(
        "version = 1\n[[package]]\nname = 'shop'\nsource = {{ virtual = '.' }}\ndependencies = [{{ name = 'a' }}, {{ name = 'b' }}, {{ name = 'c' }}]\n[package.metadata]\nrequires-dist = [{{ name = 'a' }}]\n[[package]]\nname = 'a'\nversion = '1'\nsource = {{ registry = 'https://h/simple' }}\nsdist = {{ url = 'https://h/a-1.tar.gz', hash = 'sha256:{hash}' }}\n[[package]]\nname = 'b'\nversion = '1'\nsource = {{ git = 'https://h/b?rev=main&subdirectory=s#0f' }}\n[[package]]\nname = 'c'\nversion = '1'\nsource = {{ editable = 'lib/c' }}\n"
    );
    let choice = LockChoice::default();
    let markers = markers();
    let given = ConversionInput {
        text: &lock,
        made_from: Some("[project]\nname = 'shop'\ndependencies = ['a']\n"),
        choice: &choice,
        beside: &|_| None,
        markers: &markers,
        as_requirements: true,
    };
    let converted = convert(LockKind::Uv, &given).unwrap();
    assert_eq!(
        converted.text,
        format!(
            "--index-url https://h/simple\na==1 --hash=sha256:{hash}\nb @ git+https://h/b@0f#subdirectory=s\nc @ ./lib/c\n"
        )
    );
}

#[test]
fn a_member_of_a_workspace_of_uv_has_its_own_needs() {
    let lock = "version = 1\n[manifest]\nmembers = ['web', 'jobs', 'core']\n\
        [[package]]\nname = 'web'\nversion = '1'\nsource = { editable = 'packages/web' }\ndependencies = [{ name = 'core' }]\n\
        [package.metadata]\nrequires-dist = [{ name = 'core', editable = 'packages/core' }]\n\
        [[package]]\nname = 'jobs'\nversion = '1'\nsource = { virtual = 'packages/jobs' }\ndependencies = [{ name = 'core' }]\n\
        [package.metadata]\nrequires-dist = [{ name = 'core', editable = 'packages/core' }]\n\
        [[package]]\nname = 'core'\nversion = '1'\nsource = { editable = 'packages/core' }\n";
    let root = "[tool.uv.workspace]\nmembers = ['packages/*']\n[tool.uv.sources]\ncore = { workspace = true }\n";
    let markers = markers();
    let of = |member: Option<&str>, core: &str| {
        let beside = |path: &str| match path {
            "packages/core/pyproject.toml" => Some(core.to_owned()),
            "packages/web/pyproject.toml" => {
                Some("[project]\nname = 'web'\ndependencies = ['core']\n".to_owned())
            }
            _ => None,
        };
        let choice = LockChoice::default().of_member(member);
        let given = ConversionInput {
            text: lock,
            made_from: Some(root),
            choice: &choice,
            beside: &beside,
            markers: &markers,
            as_requirements: false,
        };
        convert(LockKind::Uv, &given)
    };
    let core = "[project]\nname = 'core'\n";
    let names = |member: &str| {
        let converted = of(Some(member), core).unwrap();
        let names: Vec<String> = converted.names.into_iter().collect();
        let folder = member_folder(lock, &normalised(member)).unwrap();
        let folder = folder.unwrap();
        let back = member_in_folder(lock, &folder).unwrap();
        assert_eq!(back.as_deref().map(normalised), Some(normalised(member)));
        (names.join(" "), folder)
    };
    assert_eq!(
        names("Web"),
        ("core web".to_owned(), "packages/web".to_owned())
    );
    // What is no package runs from its folder.
    assert_eq!(
        names("jobs"),
        ("core".to_owned(), "packages/jobs".to_owned())
    );
    for (member, said) in [
        (None, "S2R_PACKAGE says which"),
        (Some("x"), "web, jobs, core"),
    ] {
        let error = of(member, core).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let changed = format!("{core}dependencies = ['six']\n");
    assert!(matches!(
        of(Some("web"), &changed),
        Err(LockFileError::Stale { .. })
    ));
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
        "--index-url https://${U}:${P}@h/simple\n./lib\na\nb==1\nc[x]>=1,<2\nd @ git+https://h/d.git@v1\n"
    );
    assert!(of("develop").names.contains("g"));
    assert!(converted(LockKind::Pipfile, "[packages]\na = 1\n", None, ("", "")).is_err());
}

#[test]
fn poetry_gives_what_the_environment_needs() {
    let of = |extras, groups| beyond(LockKind::Poetry, POETRY, STANDARD, (extras, groups));
    assert_eq!(of("", ""), NOTHING);
    assert_eq!(of("mail", ""), ["pyyaml"]);
    assert_eq!(of("", "dev"), ["iniconfig", "pathspec"]);
    for lock in [POETRY_OLD, POETRY_18] {
        let of = |extras, groups| beyond(LockKind::Poetry, lock, POETRYS, (extras, groups));
        assert_eq!(of("", ""), NOTHING);
        assert_eq!(of("mail", ""), ["pyyaml"]);
        assert_eq!(of("", "dev"), ["iniconfig"]);
        let text = converted(LockKind::Poetry, lock, Some(POETRYS), ("", ""))
            .unwrap()
            .text;
        assert!(
            text.lines()
                .all(|line| line.contains("==") && line.contains("--hash=sha256:"))
        );
    }
}

#[test]
fn poetry_locks_grow_stale() {
    let stale = |from: &str, to: &str| {
        assert!(POETRYS.contains(from), "{from}");
        is_stale(LockKind::Poetry, POETRY_18, &POETRYS.replace(from, to))
    };
    assert!(!stale("description = \"\"", "description = \"x\""));
    assert!(stale("^3.0", "^4.0") && stale("mail =", "post =") && stale("^2.0", "^1.0"));
    assert!(is_stale(
        LockKind::Poetry,
        POETRY,
        &STANDARD.replace("flask>=3", "flask>=4")
    ));
}

#[test]
fn poetry_sources_keep_their_kind() {
    let project = "[tool.poetry.dependencies]\na = '*'\n";
    let empty =
        r#"{"dependencies": {"a": "*"}, "dev-dependencies": null, "extras": null, "source": null}"#;
    let sum = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(empty.as_bytes());
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let of = |source: &str| {
        let lock = format!(
            "[[package]]\nname = 'a'\nversion = '1'\n[package.source]\n{source}\n[metadata]\ncontent-hash = '{sum}'\n"
        );
        converted(LockKind::Poetry, &lock, Some(project), ("", "")).map(|one| one.text)
    };
    assert_eq!(
        of("type = 'git'\nurl = 'https://h/a'\nreference = 'main'\nresolved_reference = '0f'\nsubdirectory = 's'").unwrap(),
        "a @ git+https://h/a@0f#subdirectory=s\n"
    );
    assert_eq!(
        of("type = 'directory'\nurl = 'lib/a'").unwrap(),
        "a @ ./lib/a\n"
    );
    assert_eq!(
        of("type = 'legacy'\nurl = 'https://h/simple'").unwrap(),
        "--index-url https://h/simple\na==1\n"
    );
    assert!(matches!(
        of("type = 'frob'"),
        Err(LockFileError::Unsupported { .. })
    ));
}

#[test]
fn a_project_alone_is_wishes() {
    let of = |text: &str, choice| converted(LockKind::Pyproject, text, None, choice);
    assert_eq!(of(STANDARD, ("", "")).unwrap().text, "flask>=3\ngunicorn\n");
    assert_eq!(
        of(STANDARD, ("mail", "dev")).unwrap().text,
        "blinker\nflask>=3\ngunicorn\niniconfig\npathspec\npyyaml>=6\n"
    );
    assert_eq!(
        of(POETRYS, ("", "")).unwrap().text,
        "flask>=3.0,<4.0\ngunicorn\n"
    );
    assert_eq!(
        of(POETRYS, ("mail", "dev")).unwrap().text,
        "flask>=3.0,<4.0\ngunicorn\niniconfig>=2.0,<3.0\npyyaml>=6.0,<7.0\n"
    );
    let circle =
        "[dependency-groups]\na = [{ include-group = 'b' }]\nb = [{ include-group = 'a' }]\n";
    assert!(of(circle, ("", "a")).is_err());
    let itself = "[project]\nname = 'x'\ndependencies = ['a @ git+https://h/a@v1']\n[project.optional-dependencies]\nall = ['X[b]']\nb = ['c']\n";
    assert_eq!(
        of(itself, ("all", "")).unwrap().text,
        "a @ git+https://h/a@v1\nc\n"
    );
    let bars = "[tool.poetry.dependencies]\na = '^1 || ^2'\n";
    assert!(matches!(
        of(bars, ("", "")),
        Err(LockFileError::Unsupported { .. })
    ));
    let old = "[tool.poetry.dependencies]\na = { version = '1', python = '<3.8 || >=3.14' }\nb = { version = '*', python = '^3.9' }\n";
    assert_eq!(of(old, ("", "")).unwrap().text, "b\n");
}

#[test]
fn pdm_gives_what_the_environment_needs() {
    let of = |extras, groups| beyond(LockKind::Pdm, PDM, STANDARD, (extras, groups));
    assert_eq!(of("", ""), NOTHING);
    assert_eq!(of("mail", ""), ["pyyaml"]);
    assert_eq!(of("", "dev"), ["iniconfig", "pathspec"]);
    assert!(is_stale(
        LockKind::Pdm,
        PDM,
        &STANDARD.replace("flask>=3", "flask>=4")
    ));
    assert!(!is_stale(
        LockKind::Pdm,
        PDM,
        &STANDARD.replace("1.0", "1.1")
    ));
}

/// All kinds with texts that they read.
/// No kind is left out of the list that all others are made from: the match has no wildcard, so a new kind does
/// not compile until it stands in it.
#[test]
fn every_kind_is_in_the_list() {
    let mut found = Vec::new();
    let mut next = Some(LockKind::Uv);
    while let Some(kind) = next {
        found.push(kind);
        next = match kind {
            LockKind::Uv => Some(LockKind::Poetry),
            LockKind::Poetry => Some(LockKind::Pdm),
            LockKind::Pdm => Some(LockKind::PipfileLock),
            LockKind::PipfileLock => Some(LockKind::Pipfile),
            LockKind::Pipfile => Some(LockKind::Pyproject),
            LockKind::Pyproject => None,
        };
    }
    assert_eq!(found, LockKind::ALL);
    assert!(LockKind::ALL.is_sorted_by_key(|kind| !kind.is_lock()));
    // Each is tried by a sample, and a lock's command names its tool.
    for kind in LockKind::ALL {
        assert!(
            samples().iter().any(|(sample, ..)| *sample == kind),
            "{kind:?}"
        );
        let renew = kind.lock_of().map_or("x lock", |lock| lock.renew);
        assert!(renew.ends_with(" lock"), "{renew}");
    }
}

fn samples() -> [(LockKind, &'static str, &'static str); 8] {
    [
        (LockKind::Uv, UV, STANDARD),
        (LockKind::Poetry, POETRY, STANDARD),
        (LockKind::Poetry, POETRY_18, POETRYS),
        (LockKind::Pdm, PDM, STANDARD),
        (LockKind::PipfileLock, PIPFILE_LOCK, PIPFILE),
        (LockKind::Pipfile, PIPFILE, ""),
        (LockKind::Pyproject, STANDARD, ""),
        (LockKind::Pyproject, POETRYS, ""),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damage_never_panics(at in 0.0..1.0_f64, length in 0_usize..40, patch in "(?s)(\\PC|[\\[\\]{}='\",;.*^~|#\\n]|name|==){0,8}") {
        for (kind, text, made_from) in samples() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a text")]
            let start = (at * text.len() as f64) as usize;
            let mut bytes = text.as_bytes().to_vec();
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, patch.bytes());
            let damaged = String::from_utf8_lossy(&bytes);
            let of = |text: &str, made_from: &str, choice: &LockChoice| {
                for as_requirements in [false, true] {
                    let given = ConversionInput {
                        text,
                        made_from: Some(made_from),
                        choice,
                        beside: &|_| None,
                        markers: &markers(),
                        as_requirements,
                    };
                    let _ = convert(kind, &given);
                }
            };
            of(&damaged, made_from, &LockChoice::new(Some("mail"), Some("dev")));
            of(text, &damaged, &LockChoice::default());
        }
    }
}
