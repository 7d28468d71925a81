//! A machine that is short of threads and processes: s2r says so, with an exit code of its own, and waits for
//! nobody for ever.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::tools::{Finished, as_root, finish, is_root};

/// Runs a build as another user who may have so many processes (`ulimit -u`); root has no such limit.
fn build_with(processes: u32, home: &Home, project: &Path) -> Finished {
    let limit = format!("--nproc={processes}");
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let mut command = if is_root() {
        home.command_under(
            &[&["setpriv"], &user[..], &["prlimit", &limit]].concat(),
            &["build"],
        )
    } else {
        // Processes of all one's own programs count, those of other tests too.
        let mut command = as_root("setpriv");
        command.args(user).arg("prlimit").arg(&limit);
        command.arg(env!("CARGO_BIN_EXE_s2r")).arg("build");
        command.env("XDG_DATA_HOME", home.data());
        command
    };
    finish(command.arg(project).arg("x"))
}

#[test]
fn few_processes_are_told_of() {
    let home = Home::empty();
    let open = |path: &Path| {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(home.dir());
    open(home.data());
    let project = Project::new(&[("requirements.txt", "flask\ngunicorn\n"), ("wsgi.py", "")]);
    open(&project.path());
    for processes in [2, 6] {
        build_with(processes, &home, &project.path())
            .exits(69)
            .says(&["enough threads", "ulimit -u"]);
    }
}

#[test]
fn a_resolver_that_hangs_at_its_version_is_passed_over() {
    // A program named uv that never answers: what needs no resolving is built all the same.
    let home = Home::seeded();
    let folder = home.dir().join("bin");
    fs::create_dir(&folder).unwrap();
    let uv = folder.join("uv");
    fs::write(&uv, "#!/bin/sh\nexec sleep 3600\n").unwrap();
    fs::set_permissions(&uv, fs::Permissions::from_mode(0o755)).unwrap();
    let project = Project::new(&[("requirements.txt", "flask\ngunicorn\n"), ("wsgi.py", "")]);
    let path = format!("{}:{}", folder.display(), Home::own_path());
    let mut command: Command = home.command(&["build"]);
    finish(command.arg(project.path()).arg("x").env("PATH", path)).ok();
}
