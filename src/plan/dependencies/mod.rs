//! Which file says what is installed.

pub(in crate::plan) mod source;

use super::variables::MEMBER;
use source::DependencySource;
use std::collections::BTreeSet;

use super::{Decided, PlanError, PlanWarning, ValueOrigin, Variables};
use crate::packages::python::locks::{
    self, ConversionInput, LockChoice, LockKind, beside_requirements, convert, says_where,
};
use crate::packages::python::{LibcVersion, PythonVersion, TargetArch, WheelTarget};
use crate::project::{NamedPackage, ProjectFacts, SourcePlace};

const REQUIREMENTS: &str = "requirements.txt";
/// Extras of the project that go in.
const EXTRAS: &str = "S2R_EXTRAS";
/// Dependency groups that go in.
const GROUPS: &str = "S2R_GROUPS";

/// Decides on the file: `pylock.toml`, because it is exact; what a switch of the image of s2i asks
/// for; `requirements.txt`, which is the contract; a lock of another tool; wishes without a lock.
pub(super) fn decide(
    facts: &ProjectFacts,
    python: &str,
    variables: &Variables,
    advice: &mut Vec<PlanWarning>,
) -> Result<Decided<DependencySource>, PlanError> {
    let pipenv = variables.is_on("ENABLE_PIPENV");
    let micropipenv = variables.is_on("ENABLE_MICROPIPENV");
    if pipenv && micropipenv {
        return Err(PlanError::Conflict {
            first: "ENABLE_PIPENV",
            second: "ENABLE_MICROPIPENV",
        });
    }
    if variables.is_on("PIN_PIPENV_VERSION") {
        advice.push(PlanWarning::new(
            "PIN_PIPENV_VERSION: s2r reads Pipfile.lock itself; no pipenv is run, and none is in the image",
            "if the application calls pipenv, name it among its dependencies",
        ));
    }
    if facts.pylock.is_some() {
        return Ok(pylock(facts));
    }
    let member = variables.get(MEMBER);
    let choice = LockChoice::new(variables.get(EXTRAS), variables.get(GROUPS)).of_member(member);
    if member.is_some() {
        let requirements = facts.requirements.is_some().then_some(REQUIREMENTS);
        let others = requirements.into_iter().chain(unread(facts, LockKind::Uv));
        advise_on_losers(others, LockKind::Uv.path(), advice);
        return if facts.has(LockKind::Uv.path()) {
            converted(
                facts,
                python,
                LockKind::Uv,
                choice,
                ("S2R_PACKAGE names a member", advice),
            )
        } else {
            Err(PlanError::NoWorkspace)
        };
    }
    let by_tool = match (pipenv, micropipenv) {
        (true, _) => by_pipenv(facts)?,
        (_, true) => by_micropipenv(facts)?,
        _ => None,
    };
    if let Some((kind, variable)) = by_tool {
        let reason = format!("as {variable} asks for");
        return converted(facts, python, kind, choice, (&reason, advice));
    }
    if facts.requirements.is_some() {
        advise_on_losers(unread(facts, None), REQUIREMENTS, advice);
        let named = facts.requirements.iter().flatten();
        let folders = named.filter_map(|named| named.name.strip_prefix("@ "));
        advise_on_outside(folders.filter(|folder| folder.starts_with("../")), advice);
        let path = REQUIREMENTS.to_owned();
        let dependencies = DependencySource::Requirements { path };
        let text = |path: &str| facts.documents.get(path).map_or("", String::as_str);
        let told = beside_requirements(text("pyproject.toml"), text("uv.toml"));
        advice.extend(
            told.into_iter()
                .map(|told| PlanWarning::new(told.what, told.why)),
        );
        return Ok(of_file(REQUIREMENTS, dependencies, ""));
    }
    if let Some(kind) = LockKind::locks().find(|kind| facts.has(kind.path())) {
        advise_on_losers(unread(facts, kind), kind.path(), advice);
        return converted(facts, python, kind, choice, ("it is a lock", advice));
    }
    wishes(facts, python, variables, (choice, advice))
}

/// Wishes that no lock goes with.
fn wishes(
    facts: &ProjectFacts,
    python: &str,
    variables: &Variables,
    (choice, advice): (LockChoice, &mut Vec<PlanWarning>),
) -> Result<Decided<DependencySource>, PlanError> {
    let listed = facts
        .pyproject
        .as_ref()
        .is_some_and(|project| !project.dependencies.is_empty());
    let has_more = !choice.is_empty() && facts.has("pyproject.toml");
    // The wheel of the project brings its dependencies, but no extras and no groups.
    let is_installed = super::running::is_installed(facts, variables);
    // Nor does it say where they come from.
    let has_sources = listed && {
        let text = |path: &str| facts.documents.get(path).map_or("", String::as_str);
        says_where(
            text("pyproject.toml"),
            facts.documents.contains_key("uv.toml"),
        )
    };
    if has_more || has_sources || (listed && !is_installed) {
        return converted(
            facts,
            python,
            LockKind::Pyproject,
            choice,
            ("there is no lock", advice),
        );
    }
    if facts.has("Pipfile") && !listed {
        return converted(
            facts,
            python,
            LockKind::Pipfile,
            choice,
            ("there is no lock", advice),
        );
    }
    if listed || facts.named_pylocks.is_empty() {
        let reason = if listed {
            "the project's own wheel names them"
        } else {
            "no file names any"
        };
        return Ok(Decided::new(
            DependencySource::None,
            ValueOrigin::Default,
            reason,
        ));
    }
    Err(PlanError::Dependencies {
        files: facts.named_pylocks.clone(),
    })
}

fn of_file(path: &str, dependencies: DependencySource, reason: &str) -> Decided<DependencySource> {
    Decided::new(
        dependencies,
        ValueOrigin::File(SourcePlace::file(path)),
        reason,
    )
}

fn pylock(facts: &ProjectFacts) -> Decided<DependencySource> {
    let others: Vec<&str> = [REQUIREMENTS]
        .into_iter()
        .chain(LockKind::locks().map(LockKind::path))
        .filter(|path| facts.has(path))
        .collect();
    let reason = if others.is_empty() {
        "it is exact".to_owned()
    } else {
        format!("it is exact, so it goes before {}", others.join(", "))
    };
    let path = "pylock.toml".to_owned();
    of_file("pylock.toml", DependencySource::Pylock { path }, &reason)
}

/// As `pipenv install --deploy`, which is run only where there is a Pipfile and needs its lock.
fn by_pipenv(facts: &ProjectFacts) -> Result<Option<(LockKind, &'static str)>, PlanError> {
    const SWITCH: &str = "ENABLE_PIPENV";
    match (facts.has("Pipfile"), facts.has("Pipfile.lock")) {
        (_, true) => Ok(Some((LockKind::PipfileLock, SWITCH))),
        (true, false) => Err(PlanError::NoLock {
            variable: SWITCH,
            files: "Pipfile.lock",
        }),
        (false, false) => Ok(None),
    }
}

/// As `micropipenv install --deploy`, which takes the first of three files.
fn by_micropipenv(facts: &ProjectFacts) -> Result<Option<(LockKind, &'static str)>, PlanError> {
    const SWITCH: &str = "ENABLE_MICROPIPENV";
    let found = [LockKind::PipfileLock, LockKind::Poetry]
        .into_iter()
        .find(|kind| facts.has(kind.path()));
    match found {
        Some(kind) => Ok(Some((kind, SWITCH))),
        None if facts.requirements.is_some() => Ok(None),
        None => Err(PlanError::NoLock {
            variable: SWITCH,
            files: "Pipfile.lock, poetry.lock, requirements.txt",
        }),
    }
}

/// The files of other tools that are there for nothing where packages come from this one, or from none of them.
fn unread(
    facts: &ProjectFacts,
    read: impl Into<Option<LockKind>>,
) -> impl Iterator<Item = &'static str> {
    let read = read.into();
    let beside = read.and_then(LockKind::read_with);
    LockKind::ALL
        .into_iter()
        .filter(move |kind| kind.is_for_packages_alone() && Some(*kind) != read)
        .map(LockKind::path)
        .filter(move |path| Some(*path) != beside && facts.has(path))
}

fn advise_on_losers<'a>(
    losers: impl IntoIterator<Item = &'a str>,
    winner: &str,
    advice: &mut Vec<PlanWarning>,
) {
    let losers: Vec<&str> = losers.into_iter().collect();
    if !losers.is_empty() {
        advice.push(PlanWarning::new(
            format!(
                "{} {} not read; packages come from {winner}",
                losers.join(", "),
                if losers.len() == 1 { "is" } else { "are" }
            ),
            "remove it, or write pylock.toml with `s2r lock`",
        ));
    }
}

fn advise_on_outside<'a>(folders: impl Iterator<Item = &'a str>, advice: &mut Vec<PlanWarning>) {
    advice.extend(folders.map(|folder| {
        PlanWarning::new(
            format!("{folder} is outside the source: a wheel is built from it, and its folder is not in the image"),
            "",
        )
    }));
}

/// A file of another tool. It is read here already, for the names in it and so that a stale lock
/// stops the build before anything is fetched.
fn converted(
    facts: &ProjectFacts,
    python: &str,
    kind: LockKind,
    choice: LockChoice,
    (reason, advice): (&str, &mut Vec<PlanWarning>),
) -> Result<Decided<DependencySource>, PlanError> {
    let text = |path: &str| facts.documents.get(path).map(String::as_str);
    let markers = python.parse::<PythonVersion>().ok().and_then(|python| {
        // Names do not hang on patches and processors; the exact set is found for each platform.
        let target = WheelTarget {
            python,
            libc: LibcVersion::Glibc(2, 41),
            arch: TargetArch::X86_64,
        };
        target.markers().ok()
    });
    let names = match markers {
        Some(markers) => {
            let given = ConversionInput {
                text: text(kind.path()).unwrap_or_default(),
                made_from: kind.read_with().and_then(text),
                choice: &choice,
                beside: &|path| facts.settings_of(path),
                markers: &markers,
                as_requirements: false,
            };
            let converted = convert(kind, &given)?;
            let told = converted.conditions.told.into_iter();
            advice.extend(told.map(|told| PlanWarning::new(told.what, told.why)));
            advise_on_outside(converted.outside.iter().map(String::as_str), advice);
            converted.names
        }
        None => BTreeSet::new(),
    };
    let asked = names
        .into_iter()
        .map(|name| NamedPackage {
            name,
            place: SourcePlace::file(kind.path()),
        })
        .collect();
    let dependencies = DependencySource::Converted {
        path: kind.path().to_owned(),
        file: kind,
        choice,
        asked,
    };
    Ok(of_file(kind.path(), dependencies, reason))
}

/// The folder of the member of a workspace that `S2R_PACKAGE` names, whatever file its packages come from.
///
/// # Errors
/// `uv.lock` is no lock, or has no such member.
pub(super) fn member_folder(
    facts: &ProjectFacts,
    variables: &Variables,
) -> Result<Option<String>, PlanError> {
    let (Some(name), Some(lock)) = (
        variables.get(MEMBER),
        facts.documents.get(LockKind::Uv.path()),
    ) else {
        return Ok(None);
    };
    let choice = LockChoice::default().of_member(Some(name));
    Ok(locks::member_folder(
        lock,
        &choice.member.unwrap_or_default(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    fn decided(
        files: &[(&str, &str)],
        env: &[&str],
    ) -> Result<Decided<DependencySource>, PlanError> {
        let mut all = vec![("app.py", "")];
        all.extend_from_slice(files);
        planned(&all, env).map(|plan| plan.dependencies)
    }

    #[test]
    fn the_exact_file_goes_first() {
        let requirements = ("requirements.txt", "flask\n");
        let lock = ("pylock.toml", "lock-version = '1.0'\npackages = []\n");
        let both = decided(&[requirements, lock], &[]).unwrap();
        assert!(matches!(both.value, DependencySource::Pylock { .. }));
        assert!(both.reason.contains("requirements.txt"));
        let one = decided(&[requirements, ("Pipfile", "")], &[]).unwrap();
        assert!(matches!(one.value, DependencySource::Requirements { .. }));
        assert_eq!(decided(&[], &[]).unwrap().value, DependencySource::None);
    }

    const PYPROJECT: (&str, &str) = (
        "pyproject.toml",
        "[project]\nname='x'\ndependencies=['flask']\n[project.optional-dependencies]\nmail=['pyyaml']\n",
    );

    fn kind(files: &[(&str, &str)], env: &[&str]) -> Option<LockKind> {
        match decided(files, env).unwrap().value {
            DependencySource::Converted { file, .. } => Some(file),
            _ => None,
        }
    }

    #[test]
    fn markers_are_read_for_the_builders_python() {
        let older = (
            "pyproject.toml",
            "[project]\nname='x'\ndependencies=['flask; python_version < \"3.12\"']\n",
        );
        let asked = |version: &str| {
            let wish = (".python-version", version);
            let decided = decided(&[older, wish], &[]).unwrap();
            match decided.value {
                DependencySource::Converted { asked, .. } => asked.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((asked("3.11\n"), asked("3.13\n")), (1, 0));
    }

    #[test]
    fn wishes_without_a_lock_are_read() {
        let pipfile = ("Pipfile", "[packages]\nflask = '*'\n");
        assert_eq!(kind(&[pipfile], &[]), Some(LockKind::Pipfile));
        assert_eq!(kind(&[PYPROJECT], &[]), Some(LockKind::Pyproject));
        assert_eq!(kind(&[PYPROJECT, ("requirements.txt", "")], &[]), None);
        // The wheel of a project that is installed brings them.
        let setup = ("setup.py", "");
        assert_eq!(kind(&[PYPROJECT, setup], &[]), None);
        let more = kind(&[PYPROJECT, setup], &["S2R_EXTRAS=mail"]);
        assert_eq!(more, Some(LockKind::Pyproject));
        let wrong = decided(&[PYPROJECT], &["S2R_EXTRAS=frob"]);
        assert!(matches!(wrong, Err(PlanError::LockFile(_))));
        let stale = (
            "uv.lock",
            "version = 1\n[[package]]\nname='x'\nsource={virtual='.'}\n",
        );
        assert!(matches!(
            decided(&[PYPROJECT, stale], &[]),
            Err(PlanError::LockFile(_))
        ));
    }

    #[test]
    fn each_file_that_is_not_read_is_named() {
        let lock = (
            "uv.lock",
            "version = 1\n[[package]]\nname='x'\nversion='1'\nsource={editable='.'}\n",
        );
        let project = ("pyproject.toml", "[project]\nname='x'\nversion='1'\n");
        let others = [("Pipfile", ""), ("poetry.lock", "")];
        let told = |files: &[(&str, &str)]| {
            let plan = planned(files, &[]).unwrap();
            let told = plan.advice.iter().map(|one| one.text.clone());
            told.filter(|text| text.contains("not read")).collect()
        };
        let files = [("app.py", ""), project, lock, others[0], others[1]];
        let of_uv: Vec<String> = told(&files);
        assert_eq!(
            of_uv,
            ["poetry.lock, Pipfile are not read; packages come from uv.lock"]
        );
        let of_uv: Vec<String> = told(&files[..3]);
        assert!(of_uv.is_empty(), "{of_uv:?}");
    }

    #[test]
    fn switches_choose_the_file() {
        let requirements = ("requirements.txt", "flask\n");
        let pipfile = ("Pipfile", "");
        // printf '{"_meta":{"requires":{},"sources":[{"name":"pypi","url":"https://pypi.org/simple","verify_ssl":true}]},"default":{},"develop":{}}' | sha256sum
        let lock = (
            "Pipfile.lock",
            r#"{"_meta": {"hash": {"sha256": "ebffa69a1fa192d1cef7cb42ad79231ca976565c5ce371a70160b3048d3cbc06"}}, "default": {}}"#,
        );
        let pipenv = ["ENABLE_PIPENV=1"];
        let micropipenv = ["ENABLE_MICROPIPENV=1"];
        assert_eq!(kind(&[requirements], &pipenv), None);
        assert_eq!(kind(&[requirements], &micropipenv), None);
        for env in [pipenv, micropipenv] {
            let found = kind(&[requirements, pipfile, lock], &env);
            assert_eq!(found, Some(LockKind::PipfileLock));
        }
        assert_eq!(kind(&[requirements, pipfile, lock], &[]), None);
        for (files, env) in [(&[requirements, pipfile][..], pipenv), (&[], micropipenv)] {
            assert!(matches!(
                decided(files, &env),
                Err(PlanError::NoLock { .. })
            ));
        }
        let named = decided(&[("pylock.dev.toml", "")], &[]);
        assert!(matches!(named, Err(PlanError::Dependencies { .. })));
        let both = ["ENABLE_PIPENV=1", "ENABLE_MICROPIPENV=1"];
        assert!(matches!(
            decided(&[], &both),
            Err(PlanError::Conflict { .. })
        ));
    }
}
