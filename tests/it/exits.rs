//! What cannot work says so, in time and with the exit code that fits.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use flate2::read::MultiGzDecoder;

use crate::harness::files::{Project, example, walk};
use crate::harness::home::{Home, blobs};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{finish, free_port, temporary};
use crate::harness::wheel::Wheel;

/// A project's files, and what must be said of it.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

const SCRIPT: &str = "print('never run')\n";

#[test]
fn a_wrong_command_line_is_2() {
    let home = Home::empty();
    let script = example("script");
    let script = script.to_str().unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["rm"], &["usage"]),
        (&["build", "./nowhere", "x"], &["nowhere"]),
        (&["build", script, "x", "--frobnicate"], &["--frobnicate"]),
        (&["build", script, "UPPER/case"], &["UPPER/case"]),
        (
            &["build", script, "x", "--progress", "loud"],
            &["loud", "plain"],
        ),
        (&["build", script, "x", "-o", "zip:x.zip"], &["zip"]),
        (&["build", script, "x", "-e", "NOVALUE"], &["NOVALUE"]),
        (
            &["build", script, "x", "--builder", "python-1.5"],
            &["python-1.5", "python-3.13"],
        ),
        (&["biuld", script, "x"], &["build"]),
        (&["plan", "./nowhere"], &["nowhere"]),
        (&["inspect", "never-built"], &["never-built"]),
    ];
    for (arguments, texts) in cases {
        let finished = home.run(arguments).exits(2).says(texts);
        assert_eq!(finished.stdout, "");
    }
    assert!(blobs(&home).is_empty(), "a wrong command line wrote blobs");
}

#[test]
fn a_wrong_project_is_65() {
    let home = Home::empty();
    let cases: &[Wrong] = &[
        (&[(".keep/nothing", "")], &["python"]),
        (
            &[
                ("README.md", "# Not Python\n"),
                ("main.go", "package main\n"),
            ],
            &["python"],
        ),
        (
            &[("requirements.txt", "flask===\n"), ("app.py", SCRIPT)],
            &["requirements.txt"],
        ),
        (
            &[(".python-version", "2.7\n"), ("app.py", SCRIPT)],
            &["2.7", "3.13"],
        ),
        (
            &[("requirements.txt", "-r missing.txt\n"), ("app.py", SCRIPT)],
            &["missing.txt"],
        ),
        // It would delete a file of a lower layer.
        (&[("app.py", SCRIPT), ("a/.wh.b", "")], &["a/.wh.b"]),
        (
            &[("pyproject.toml", "[project\n"), ("app.py", SCRIPT)],
            &["pyproject.toml"],
        ),
    ];
    for (files, texts) in cases {
        let project = Project::new(files);
        finish(home.command(&["build"]).arg(project.path()).arg("x"))
            .exits(65)
            .says(texts);
    }
    let empty = temporary();
    finish(home.command(&["build"]).arg(empty.path()).arg("x"))
        .exits(65)
        .says(&["no files"]);
}

#[test]
fn a_requirement_that_does_not_exist_is_65() {
    let home = Home::seeded();
    let index = Index::serving(&[Wheel::new("known", "1.0")], None, Fault::None);
    let project = Project::new(&[
        ("app.py", SCRIPT),
        ("requirements.txt", "known==1.0\nno-such-thing==1.0\n"),
    ]);
    let built = index.build(&home, &project.path());
    built.exits(65).says(&["no-such-thing", "requirements.txt"]);
}

#[test]
fn requirements_that_conflict_are_65() {
    let home = Home::seeded();
    let wheels = [
        Wheel::new("low", "1.0").requires("shared<2"),
        Wheel::new("high", "1.0").requires("shared>=2"),
        Wheel::new("shared", "1.0"),
        Wheel::new("shared", "2.0"),
    ];
    let index = Index::serving(&wheels, None, Fault::None);
    let project = Project::new(&[("app.py", SCRIPT), ("requirements.txt", "low\nhigh\n")]);
    let built = index.build(&home, &project.path());
    built.exits(65).says(&["low", "high", "shared"]);
}

#[test]
fn a_faulty_index_is_an_error_and_nothing_is_kept() {
    for (fault, texts) in [
        (Fault::WrongHash, ["known", "sha256"]),
        (Fault::CutOff, ["known", "known"]),
        (Fault::Unavailable, ["known", "503"]),
    ] {
        let home = Home::seeded();
        let before = walk(&home.store());
        let wheel = Wheel::new("known", "1.0").file("known.py", "ANSWER = 42\n");
        let index = Index::serving(&[wheel], None, fault);
        let project = Project::new(&[("app.py", SCRIPT), ("requirements.txt", "known==1.0\n")]);
        let built = index.build(&home, &project.path());
        let built = built.says(&texts);
        assert!(
            matches!(built.code, Some(65 | 69)),
            "{fault:?}: {:?}\n{}",
            built.code,
            built.stderr
        );
        // Layers that do not need the wheel may be kept, and nothing of the wheel.
        let mut kept = walk(&home.store());
        kept.retain(|path| !before.contains(path) && holds(path, b"known.py"));
        assert!(kept.is_empty(), "{fault:?}: {kept:?}");
    }
}

/// Whether the text is in a file's bytes, or in what they are when unpacked.
fn holds(path: &Path, text: &[u8]) -> bool {
    let bytes = fs::read(path).unwrap();
    let mut unpacked = Vec::new();
    // What is no gzip stream gives nothing here.
    let _ = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked);
    [bytes, unpacked]
        .iter()
        .any(|bytes| bytes.windows(text.len()).any(|part| part == text))
}

#[test]
fn an_unreachable_world_is_69() {
    let port = free_port();
    let dead = format!("http://127.0.0.1:{port}");

    let home = Home::seeded();
    let script = example("script");
    let push = finish(
        home.command(&["build"])
            .arg(&script)
            .args([&format!("127.0.0.1:{port}/x"), "--push"]),
    );
    push.exits(69).says(&[&format!("127.0.0.1:{port}")]);

    let project = Project::new(&[("app.py", SCRIPT), ("requirements.txt", "flask\n")]);
    let index = finish(
        home.command(&["build"])
            .arg(project.path())
            .arg("x")
            .env("PIP_INDEX_URL", format!("{dead}/simple")),
    );
    index.exits(69).says(&[&format!("127.0.0.1:{port}")]);

    // No way out at all: the mirror is down too.
    let empty = Home::empty();
    let mirror = finish(
        empty
            .command(&["build"])
            .arg(&script)
            .arg("x")
            .envs(
                ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
                    .map(|name| (name, &dead)),
            )
            .env_remove("NO_PROXY")
            .env_remove("no_proxy"),
    );
    mirror.exits(69);
    assert!(blobs(&empty).is_empty());
}

#[test]
fn help_and_version_are_data() {
    let home = Home::empty();
    assert!(home.run(&["--help"]).ok().stdout.contains("build"));
    assert!(
        home.run(&["version"])
            .ok()
            .stdout
            .contains(env!("CARGO_PKG_VERSION"))
    );
    let completion = home.run(&["completion", "bash"]).ok();
    let mut bash = Command::new("bash");
    bash.args(["-n", "-c", &completion.stdout]);
    finish(&mut bash).ok();
    let builders = home.run(&["builders"]).ok().stdout;
    assert!(builders.contains("python-3.13") && builders.contains("python-3.11"));
    assert!(
        home.run(&["usage", "python-3.13"])
            .ok()
            .stdout
            .contains("s2r build")
    );
}

#[test]
fn the_machine_of_the_tests_has_no_say() {
    let home = Home::empty();
    let mut shell = home.other("sh".as_ref());
    shell.args(["-c", "env; command -v uv; grep SigIgn /proc/$$/status"]);
    let said = finish(shell.envs([("PATH", Home::own_path())])).ok().stdout;
    for line in said.lines() {
        let name = line.split('=').next().unwrap();
        assert!(
            !name.starts_with("PIP_") && !name.starts_with("UV_"),
            "{line}"
        );
        assert!(!line.ends_with("/uv"), "{line}");
    }
    assert!(
        said.contains(&format!("HOME={}", home.home().display())),
        "{said}"
    );
    // Not even SIGHUP, as under `nohup`.
    let ignored = said.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    assert_eq!(ignored & ((1 << 31) - 1), 0, "{said}");
}

#[test]
fn what_a_project_wrote_is_cut_in_messages() {
    let home = Home::seeded();
    let long = "x".repeat(15_000_000);
    let cases: &[(&str, &str, &[&str])] = &[
        ("requirements.txt", "NAME===\n", &[]),
        ("requirements.txt", "-r NAME.txt\n", &[]),
        ("requirements.txt", "-e NAME\n", &[]),
        (
            "pyproject.toml",
            "[project]\nname = 'NAME/'\nversion = '1'\n",
            &[],
        ),
        (".python-version", "NAME\n", &[]),
        (".s2i/environment", "NAME\n", &[]),
        ("Aptfile", "NAME!\n", &[]),
        ("Pipfile", "[packages]\nNAME = 7\n", &[]),
    ];
    for (file, text, more) in cases {
        let project = Project::new(&[("app.py", "pass\n"), (file, &text.replace("NAME", &long))]);
        for form in ["plain", "json", "none"] {
            let mut command = home.command(&["build", "--offline", "--progress", form]);
            let said = finish(command.arg(project.path()).arg("x").args(*more));
            assert!(
                said.stderr.len() < 64 << 10,
                "{file} {form}: {} bytes",
                said.stderr.len()
            );
            assert!(said.stdout.len() < 64 << 10, "{file} {form}");
            assert_ne!(said.code, Some(101), "{}", said.stderr);
        }
    }
}

#[test]
fn what_lies_too_deep_is_refused_when_it_is_built() {
    let home = Home::seeded();
    let path = format!("{}x.py", "a/".repeat(260));
    let wheel = Wheel::new("deep", "1.0").file(&path, "");
    let index = Index::serving(&[wheel], None, Fault::None);
    let project = Project::new(&[("app.py", SCRIPT), ("requirements.txt", "deep==1.0\n")]);
    index
        .build(&home, &project.path())
        .exits(65)
        .says(&["deep"]);
}
