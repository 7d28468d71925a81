//! The same source gives the same image, whoever builds it, wherever and how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::files::{Project, walk};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{as_root, finish, is_root, temporary};

/// What is different, the program that starts s2r, and the environment.
type Elsewhere<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

/// The digest that a build under another program and environment prints, from a store that has the downloads
/// and no layers.
#[track_caller]
fn digest(outer: &[&str], environment: &[(&str, &str)], source: &std::path::Path) -> String {
    let home = Home::seeded();
    home.forget_layers();
    let mut command = home.command_under(outer, &["build"]);
    command.arg(source).arg("x");
    command.envs(environment.iter().copied());
    let built = finish(&mut command).ok();
    digest_of(built.line()).to_owned()
}

#[test]
fn the_digest_depends_on_the_source_alone() {
    let project = Project::copy_of("flask-gunicorn");
    let here = project.path();
    let elsewhere = Project::copy_of("flask-gunicorn");
    let expected = digest(&["env"], &[], &here);

    let cases: &[Elsewhere] = &[
        ("time zone", &["env"], &[("TZ", "Asia/Kathmandu")]),
        (
            "language",
            &["env"],
            &[("LANG", "cs_CZ.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")],
        ),
        ("one processor", &["taskset", "1"], &[]),
        ("umask", &["sh", "-c", "umask 0077; exec \"$@\"", "sh"], &[]),
        (
            "time of day",
            &["env"],
            &[("SOURCE_DATE_EPOCH", "315532800")],
        ),
    ];
    for (what, outer, environment) in cases {
        assert_eq!(digest(outer, environment, &here), expected, "{what}");
    }
    assert_eq!(digest(&["env"], &[], &elsewhere.path()), expected, "folder");
    for file in walk(&here) {
        finish(
            Command::new("touch")
                .args(["-d", "2001-02-03 04:05"])
                .arg(file),
        )
        .ok();
    }
    assert_eq!(digest(&["env"], &[], &here), expected, "times of files");

    let later = digest(&["env"], &[("SOURCE_DATE_EPOCH", "1700000000")], &here);
    assert_ne!(later, expected, "SOURCE_DATE_EPOCH is not in the image");
}

#[test]
fn the_digest_does_not_depend_on_the_user() {
    let project = Project::copy_of("script");
    let expected = digest(&["env"], &[], &project.path());

    let home = Home::seeded();
    home.forget_layers();
    let open = |path: &std::path::Path| {
        finish(as_root("chown").args(["-R", "65534:65534"]).arg(path)).ok();
    };
    open(home.dir());
    let source = temporary();
    fs::set_permissions(source.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = source.path().join("source");
    crate::harness::files::copy(&project.path(), &copy);
    open(source.path());
    let program = source.path().join("s2r");
    fs::copy(env!("CARGO_BIN_EXE_s2r"), &program).unwrap();

    let nobody = [
        "sudo",
        "-n",
        "--preserve-env",
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let nobody = if is_root() { &nobody[3..] } else { &nobody };
    let mut command = home.command_under(nobody, &["build"]);
    command.arg(&copy).arg("x");
    let built = finish(&mut command).ok();
    assert_eq!(digest_of(built.line()), expected);
}
