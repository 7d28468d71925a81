//! What a resolution of a project reads, by name: files, settings of indexes, extras and groups, the
//! builder's Python. Written into the lock, and held against it before it is used.
//!
//! The caller's own environment is no part of it: a lock names its files by their addresses, and is
//! used where another mirror is set. What the project and the command line set is.

use crate::context::project::ProjectInputs;
use crate::context::variables::is_of_indexes;
use crate::packages::python::locks::{LockKind, decisive_part};
use crate::packages::python::{
    LockFingerprint, PackageUrl, ReadAccess, parse, requirement_lines, resolve_path, shown,
};
use crate::plan::{DependencySource, Plan, ValueOrigin};
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::source::{SettingsFile, SourceTree};

/// A lock is not that of its project.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaleLockError {
    /// What it was made from is not what it was.
    #[error("{file} is older than {}", changed.join(", "))]
    Changed {
        /// The lock's file name.
        file: String,
        /// Names of inputs that are others now.
        changed: Vec<String>,
    },
    /// `--locked`, and a lock of s2r that does not say what it was made from.
    #[error("{file} does not say what it was made from")]
    OldForm {
        /// The lock's file name.
        file: String,
    },
}

impl Explain for StaleLockError {
    fn explain(&self) -> Explanation {
        let (place, why) = match self {
            Self::Changed { file, changed } => (
                changed.join(", "),
                format!(
                    "{file} was made from something else: what was locked is not what is asked for now"
                ),
            ),
            Self::OldForm { file } => (
                file.clone(),
                "it was written by an older s2r; --locked builds only what is known to be what the project asks for"
                    .to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place,
            why,
            next: "run `s2r lock SOURCE` and commit what it writes".to_owned(),
        }
    }
}

/// The inputs of a plan that knows no `pylock.toml`. What a build of the project itself tells is not
/// among them.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn of(project: &ProjectInputs, plan: &Plan) -> Result<LockFingerprint, BuildError> {
    let mut inputs = LockFingerprint::default();
    let tree = &project.tree;
    match &plan.dependencies.value {
        DependencySource::None | DependencySource::Pylock { .. } => {}
        DependencySource::Requirements { path } => add_requirements(&mut inputs, tree, path)?,
        DependencySource::Converted { file, choice, .. } => {
            add_file(&mut inputs, tree, file.path())?;
            if let Some(path) = file.read_with() {
                add_file(&mut inputs, tree, path)?;
            }
            for (name, chosen) in [
                ("S2R_EXTRAS", &choice.extras),
                ("S2R_GROUPS", &choice.groups),
            ] {
                if !chosen.is_empty() {
                    inputs.add(name, chosen.join(" ").as_bytes());
                }
            }
            if let Some(member) = &choice.member {
                inputs.add("S2R_PACKAGE", member.as_bytes());
            }
        }
    }
    if plan.running.install.value {
        add_file(&mut inputs, tree, LockKind::Pyproject.path())?;
    }
    if plan.running.newest_pip.value {
        inputs.add("UPGRADE_PIP_TO_LATEST", b"on");
    }
    if let Some(server) = &plan.start.added {
        inputs.add(
            "the server that is added",
            server.value.requirement.as_bytes(),
        );
    }
    inputs.add("the builder's Python", plan.python.value.as_bytes());
    let settings = plan.environment.settings().filter(|(name, setting)| {
        let is_given = !matches!(
            setting.origin,
            ValueOrigin::Builder { .. } | ValueOrigin::Default
        );
        is_given && is_of_indexes(name)
    });
    for (name, setting) in settings {
        let words = setting.value.split_whitespace().map(without_secret);
        inputs.add(name, words.collect::<Vec<_>>().join(" ").as_bytes());
        if name == "PIP_CONSTRAINT" {
            let paths = setting.value.split_whitespace();
            for path in paths.filter_map(|path| resolve_path("", path)) {
                add_requirements(&mut inputs, tree, &path)?;
            }
        }
    }
    Ok(inputs)
}

/// The name of the input that a build of the project itself tells: what its wheel requires.
pub(crate) const AS_BUILT: &str = "what the project's own wheel requires";

/// The address alone, if the word is one.
fn without_secret(word: &str) -> String {
    PackageUrl::parse(word).map_or_else(|_| shown(word), |url| url.as_str().to_owned())
}

/// A file, as far as it decides on packages; nothing if it is not there.
fn add_file(inputs: &mut LockFingerprint, tree: &SourceTree, path: &str) -> Result<(), BuildError> {
    let Some(bytes) = tree.read_small(path, SettingsFile::ToolLock)? else {
        return Ok(());
    };
    if path == LockKind::Pyproject.path() {
        let text = String::from_utf8_lossy(&bytes);
        inputs.add(path, decisive_part(&text).as_bytes());
    } else {
        inputs.add(path, &bytes);
    }
    Ok(())
}

/// A requirement file and those that it includes: their lines, without comments.
fn add_requirements(
    inputs: &mut LockFingerprint,
    tree: &SourceTree,
    path: &str,
) -> Result<(), BuildError> {
    let Some(bytes) = tree.read_small(path, SettingsFile::Requirements)? else {
        return Ok(());
    };
    let read = |path: &str| {
        let read = tree.read_small(path, SettingsFile::Requirements);
        read.ok().flatten()
    };
    let source = ReadAccess {
        read: &read,
        // What a variable means is no part of what a project asks for.
        variable: &|name| Some(format!("${{{name}}}")),
    };
    inputs.add(path, requirement_lines(&bytes).join("\n").as_bytes());
    // A file that does not read is told of where it is resolved; here its lines are enough.
    let found = parse(path, &bytes, &source).map_or_else(|_| Vec::new(), |found| found.files);
    for file in found.iter().filter(|file| *file != path) {
        let lines = requirement_lines(&read(file).unwrap_or_default());
        inputs.add(file.as_str(), lines.join("\n").as_bytes());
    }
    Ok(())
}

#[cfg(test)]
crate::report::samples! {
    enum StaleLockError {
        Changed { file: "pylock.toml".into(), changed: vec!["requirements.txt".into()] },
        OldForm { file: "pylock.toml".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::TestBuild;

    const APP: (&str, &str) = ("app.py", "print('x')\n");

    fn inputs(files: &[(&str, &str)], env: &[&str]) -> LockFingerprint {
        let files: Vec<_> = files.iter().chain([&APP]).copied().collect();
        let env: Vec<&str> = env.iter().chain(&["APP_FILE=app.py"]).copied().collect();
        let build = TestBuild::of(&files, &env);
        of(&build.project, &build.plan).unwrap()
    }

    /// The names of inputs that differ.
    fn changed(
        (files, env): (&[(&str, &str)], &[&str]),
        (other_files, other_env): (&[(&str, &str)], &[&str]),
    ) -> Vec<String> {
        let (before, after) = (inputs(files, env), inputs(other_files, other_env));
        let names = before.changed(&after, AS_BUILT);
        names.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_lock_is_stale_by_what_is_asked_for_and_not_by_how_it_is_written() {
        let before = [
            ("requirements.txt", "flask\n-r more.txt\n"),
            ("more.txt", "jinja2\n"),
        ];
        let spoken = [
            ("requirements.txt", "# web\nflask  # small\n\n-r more.txt\n"),
            ("more.txt", "jinja2\n"),
        ];
        assert!(changed((&before, &[]), (&spoken, &[])).is_empty());
        let more = [before[0], ("more.txt", "jinja2\nclick\n")];
        assert_eq!(changed((&before, &[]), (&more, &[])), ["more.txt"]);
        let other = [("requirements.txt", "flask<3\n-r more.txt\n"), before[1]];
        assert_eq!(changed((&before, &[]), (&other, &[])), ["requirements.txt"]);
    }

    #[test]
    fn variables_count_by_their_addresses_without_secrets() {
        let files = [("requirements.txt", "flask\n"), ("limits.txt", "click<9\n")];
        let index = |login: &str| format!("PIP_INDEX_URL=https://{login}i.example.com/simple");
        let (plain, secret, rotated) = (index(""), index("u:one@"), index("u:two@"));
        let of = |one: &str, other: &str| changed((&files, &[one]), (&files, &[other]));
        assert!(of(&secret, &rotated).is_empty());
        assert!(of(&plain, &secret).is_empty());
        let elsewhere = "PIP_INDEX_URL=https://j.example.com/simple";
        assert_eq!(of(&plain, elsewhere), ["PIP_INDEX_URL"]);
        assert!(of("COLOUR=red", "COLOUR=blue").is_empty());
        let newest = changed((&files, &[]), (&files, &["UPGRADE_PIP_TO_LATEST=1"]));
        assert_eq!(newest, ["UPGRADE_PIP_TO_LATEST"]);
        let limited = &["PIP_CONSTRAINT=limits.txt"][..];
        let tighter = [files[0], ("limits.txt", "click<8\n")];
        assert_eq!(
            changed((&files, limited), (&tighter, limited)),
            ["limits.txt"]
        );
    }

    #[test]
    fn another_python_makes_another_lock() {
        let files = [("requirements.txt", "flask\n")];
        let pinned = [files[0], (".python-version", "3.11\n")];
        let told = changed((&files, &[]), (&pinned, &[]));
        assert_eq!(told, ["the builder's Python"]);
    }
}
