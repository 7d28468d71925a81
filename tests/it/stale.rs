//! A lock that is not what its project asks for stops the build, with `--locked` and without.

use std::fs;

use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::index::{Fault, Index};
use crate::harness::sdist::Sdist;
use crate::harness::tools::{Finished, finish};
use crate::harness::wheel::Wheel;

const PYPROJECT: &str = "[project]\nname = 'a'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['first']\n[project.optional-dependencies]\nmail = ['second']\n";
const PIPFILE: &str = "[packages]\nfirst = '*'\n";

fn index() -> Index {
    let wheels = [
        Wheel::new("first", "1.0").file("first.py", ""),
        Wheel::new("second", "1.0").file("second.py", ""),
    ];
    Index::serving(&wheels, None, Fault::None)
}

fn run(home: &Home, index: &Index, project: &Project, command: &str, more: &[&str]) -> Finished {
    let mut words = vec![command.to_owned(), project.path().display().to_string()];
    if command == "build" {
        words.push("x".to_owned());
    }
    words.extend(more.iter().map(|word| (*word).to_owned()));
    finish(home.command(&words).env("PIP_INDEX_URL", index.url(None)))
}

/// Both ways of building are refused, and say what changed and what to do.
#[track_caller]
fn is_refused(home: &Home, index: &Index, project: &Project, more: &[&str], changed: &str) {
    for locked in [&["--locked"][..], &[]] {
        let words = [locked, more].concat();
        run(home, index, project, "build", &words).exits(65).says(&[
            "pylock.toml is older than",
            changed,
            "s2r lock",
        ]);
    }
}

#[test]
fn a_lock_is_held_to_the_file_that_it_was_made_from() {
    let (home, index) = (Home::seeded(), index());
    let more = |text: &str, from: &str, to: &str| text.replace(from, to);
    for (name, text, changed) in [
        (
            "pyproject.toml",
            PYPROJECT,
            more(PYPROJECT, "['first']", "['first', 'second']"),
        ),
        (
            "pyproject.toml",
            PYPROJECT,
            format!("{PYPROJECT}[tool.uv]\nconstraint-dependencies = ['first<2']\n"),
        ),
        ("Pipfile", PIPFILE, format!("{PIPFILE}second = '*'\n")),
        ("requirements.txt", "first\n", "first\nsecond\n".to_owned()),
    ] {
        let project = Project::new(&[("app.py", "pass\n"), (name, text)]);
        run(&home, &index, &project, "lock", &[]).ok();
        run(&home, &index, &project, "build", &["--locked"]).ok();
        project.write(name, &changed);
        is_refused(&home, &index, &project, &[], name);
        run(&home, &index, &project, "lock", &[]).ok();
        run(&home, &index, &project, "build", &["--locked"]).ok();
    }
}

#[test]
fn included_files_count_and_comments_do_not() {
    let (home, index) = (Home::seeded(), index());
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("requirements.txt", "-r more/base.txt\n-c bounds.txt\n"),
        ("more/base.txt", "first\n"),
        ("bounds.txt", "first<9\n"),
    ]);
    run(&home, &index, &project, "lock", &[]).ok();
    project.write("more/base.txt", "# the first\nfirst  # again\n");
    run(&home, &index, &project, "build", &["--locked"]).ok();
    project.write("bounds.txt", "first<8\n");
    is_refused(&home, &index, &project, &[], "bounds.txt");
    project.write("bounds.txt", "first<9\n");
    project.write("more/base.txt", "first\nsecond\n");
    is_refused(&home, &index, &project, &[], "more/base.txt");
}

#[test]
fn settings_count_as_files_do() {
    let (home, index) = (Home::seeded(), index());
    let project = Project::new(&[("app.py", "pass\n"), ("pyproject.toml", PYPROJECT)]);
    run(&home, &index, &project, "lock", &[]).ok();
    run(&home, &index, &project, "build", &["--locked"]).ok();
    for (more, changed) in [
        (["-e", "S2R_EXTRAS=mail"], "S2R_EXTRAS"),
        (["-e", "PIP_PRE=1"], "PIP_PRE"),
        (["--builder", "python-3.11"], "the builder's Python"),
    ] {
        is_refused(&home, &index, &project, &more, changed);
    }
    let url = index.url(Some("bob:hidden-word"));
    let set = format!("PIP_EXTRA_INDEX_URL={url}\n");
    project.write(".s2i/environment", &set);
    is_refused(&home, &index, &project, &[], "PIP_EXTRA_INDEX_URL");
    run(&home, &index, &project, "lock", &[]).ok();
    // A login that is another one changes no package.
    project.write(".s2i/environment", &set.replace("hidden-word", "other"));
    run(&home, &index, &project, "build", &["--locked"]).ok();
    // A file that goes before the one that was locked.
    project.write("requirements.txt", "second\n");
    is_refused(&home, &index, &project, &[], "requirements.txt");
}

#[test]
fn what_the_project_itself_requires_counts_as_it_is_built() {
    let (home, index) = (Home::seeded(), index());
    let project = Project::new(&[("app.py", "pass\n")]);
    let write = |wheel: Wheel| {
        for (name, bytes) in Sdist::of(wheel).files() {
            fs::write(project.path().join(name), bytes).unwrap();
        }
    };
    let own = || Wheel::new("own", "1.0").requires("first");
    write(own());
    run(&home, &index, &project, "lock", &[]).ok();
    write(own().file("more.py", ""));
    run(&home, &index, &project, "build", &["--locked"]).ok();
    write(own().requires("second"));
    is_refused(
        &home,
        &index,
        &project,
        &[],
        "what the project's own wheel requires",
    );
}

#[test]
fn a_lock_without_a_fingerprint_is_told() {
    let (home, index) = (Home::seeded(), index());
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", "first\n")]);
    run(&home, &index, &project, "lock", &[]).ok();
    let path = project.path().join("pylock.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (old, _) = text.split_once("\n[tool.s2r.inputs]").unwrap();
    fs::write(&path, old).unwrap();
    let said = ["pylock.toml does not say what it was made from", "s2r lock"];
    run(&home, &index, &project, "build", &[]).ok().says(&said);
    run(&home, &index, &project, "build", &["--locked"])
        .exits(65)
        .says(&said);
}
