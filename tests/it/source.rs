//! What of a folder gets into the image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{finish, tool};

#[test]
fn the_source_is_taken_as_s2i_takes_it() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        (".gitignore", "ignored-by-git\n"),
        ("ignored-by-git", "still there\n"),
        (
            ".s2iignore",
            "# not for the image\nsecret.txt\n*.log\n!kept.log\ndeep\n",
        ),
        ("secret.txt", "x\n"),
        ("a.log", "x\n"),
        ("kept.log", "x\n"),
        ("sub/a.log", "not matched: patterns are not recursive\n"),
        ("deep/er/file", "x\n"),
        ("caf\u{e9}/n\u{e4}me.txt", "unicode\n"),
        ("tool.sh", "#!/bin/sh\n"),
        ("excluded.tmp", "x\n"),
    ]);
    let path = project.path();
    symlink("app.py", path.join("link")).unwrap();
    symlink("nowhere", path.join("dangling")).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    fs::set_permissions(path.join("app.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let _socket = UnixListener::bind(path.join("socket")).unwrap();
    tool("mkfifo", &[path.join("pipe").to_str().unwrap()]);

    let built = finish(
        home.command(&["build"])
            .arg(&path)
            .args(["x", "--exclude", r"\.tmp$"]),
    )
    .ok()
    .says(&["socket", "pipe"]);
    let members = home.layout().members(digest_of(built.line()));
    let source: Vec<&str> = members
        .keys()
        .filter_map(|path| path.strip_prefix("opt/app-root/src/"))
        .filter(|path| !path.starts_with(".local") && !path.starts_with(".pki"))
        .filter(|path| !path.contains("__pycache__"))
        .collect();
    let expected = [
        ".gitignore",
        ".s2iignore",
        "app.py",
        "caf\u{e9}",
        "caf\u{e9}/n\u{e4}me.txt",
        "dangling",
        "empty",
        "ignored-by-git",
        "kept.log",
        "link",
        "sub",
        "sub/a.log",
        "tool.sh",
    ];
    assert_eq!(source, expected);
    let of = |name: &str| &members[&format!("opt/app-root/src/{name}")];
    assert_eq!(of("link").link.as_deref(), Some("app.py"));
    assert_eq!(of("dangling").link.as_deref(), Some("nowhere"));
    assert_eq!(of("app.py").mode, 0o664);
    assert_eq!(of("tool.sh").mode, 0o775);
    assert_eq!(of("empty").mode, 0o775);
}

#[test]
fn the_environment_has_s2is_order() {
    let home = Home::seeded();
    let project = Project::copy_of("app-module");
    project.write("file.env", "GREETING=from the file\nONLY_FILE=1\n");
    let file = project.path().join("file.env");
    let file = file.to_str().unwrap();
    let build = |more: &[&str]| {
        let reference = home.build(&project.path(), more);
        home.layout().config(digest_of(&reference))["config"]["Env"].clone()
    };
    let has = |environment: &serde_json::Value, text: &str| {
        environment.as_array().unwrap().contains(&text.into())
    };
    assert!(has(&build(&["x"]), "GREETING=Hello from APP_MODULE"));
    let by_file = build(&["x", "-E", file]);
    assert!(has(&by_file, "GREETING=from the file") && has(&by_file, "ONLY_FILE=1"));
    let by_flag = build(&["x", "-e", "GREETING=from the flag"]);
    assert!(has(&by_flag, "GREETING=from the flag"));
    // s2i's order: what the file of -E says comes last.
    let both = build(&[
        "x",
        "-E",
        file,
        "-e",
        "GREETING=from the flag",
        "-e",
        "OTHER=2",
    ]);
    assert!(has(&both, "GREETING=from the file") && has(&both, "OTHER=2"));
}

#[test]
fn a_git_checkout_leaves_its_facts_and_no_password() {
    let home = Home::seeded();
    let project = Project::copy_of("script");
    let path = project.path();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .arg("-C")
            .arg(&path)
            .args(arguments);
        finish(&mut command).ok().stdout
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "The first"]);
    git(&[
        "remote",
        "add",
        "origin",
        "https://ada:hidden-word@example.org/ada/app.git",
    ]);
    let commit = git(&["rev-parse", "HEAD"]);
    let reference = home.build(&path, &["x"]);
    let config = home.layout().config(digest_of(&reference));
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["io.openshift.s2i.build.commit.id"], commit.trim());
    assert_eq!(
        labels["io.openshift.s2i.build.commit.author"],
        "Ada <ada@example.org>"
    );
    assert_eq!(labels["io.openshift.s2i.build.commit.message"], "The first");
    assert_eq!(labels["io.openshift.s2i.build.commit.ref"], "main");
    assert_eq!(labels["org.opencontainers.image.revision"], commit.trim());
    assert!(!config.to_string().contains("hidden-word"), "{config}");
    let members = home.layout().members(digest_of(&reference));
    assert!(
        !members
            .keys()
            .any(|path| path.starts_with("opt/app-root/src/.git/"))
    );
}

#[test]
fn a_context_dir_is_the_source() {
    let home = Home::seeded();
    let examples = example("script");
    let examples = examples.parent().unwrap();
    let by_context = home.build(examples, &["x", "--context-dir", "script"]);
    let members = home.layout().members(digest_of(&by_context));
    assert!(members.contains_key("opt/app-root/src/app.py"));
    assert!(!members.contains_key("opt/app-root/src/numpy/wsgi.py"));
}

#[test]
fn a_hundred_thousand_files() {
    const FOLDERS: usize = 100;
    const FILES: usize = 1000;
    /// For the machine at its busiest; alone it takes some seconds.
    const LIMIT: Duration = Duration::from_mins(1);
    let home = Home::seeded();
    let project = Project::new(&[("app.py", "pass\n")]);
    for folder in 0..FOLDERS {
        let folder = project.path().join(format!("data/{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..FILES {
            fs::write(folder.join(file.to_string()), file.to_string()).unwrap();
        }
    }
    let started = Instant::now();
    let reference = home.build(&project.path(), &["x"]);
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());

    let members = home.layout().members(digest_of(&reference));
    let files = members
        .iter()
        .filter(|(path, member)| {
            path.starts_with("opt/app-root/src/data/")
                && path.rsplit('/').next().unwrap().as_bytes() == member.body
        })
        .count();
    assert_eq!(files, FOLDERS * FILES);
}

/// Every path that s2r reads a source's settings from. The same table stands in `src/source/settings_file.rs`,
/// which does not compile without a path for each kind of file.
const SETTINGS: [&str; 27] = [
    ".s2iignore",
    ".s2i/environment",
    ".gitmodules",
    "requirements.txt",
    "requirements/base.txt",
    "pylock.toml",
    "s2r.lock",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "wheels/a-1-py3-none-any.whl",
    "setup.py",
    "setup.cfg",
    "sub/setup.py",
    ".python-version",
    "runtime.txt",
    "gunicorn.conf.py",
    "Procfile",
    "Aptfile",
    "package.json",
    "server.pem",
    "server.key",
    ".s2i/bin/assemble",
    ".s2i/bin/run",
];

#[test]
fn files_of_settings_lead_nowhere_and_end() {
    let home = Home::empty();
    for name in SETTINGS {
        for how in ["link", "memory", "device", "pipe", "long"] {
            let project = Project::new(&[("app.py", "pass\n")]);
            let path = project.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match how {
                "link" => symlink("/etc/passwd", &path).unwrap(),
                "memory" => symlink("/proc/self/pagemap", &path).unwrap(),
                "device" => symlink("/dev/zero", &path).unwrap(),
                "pipe" => {
                    tool("mkfifo", &[path.to_str().unwrap()]);
                }
                _ => fs::File::create(&path).unwrap().set_len(1 << 30).unwrap(),
            }
            let start = Instant::now();
            // As much memory as any project needs, and far less than what lies there.
            let outer = ["sh", "-ec", "ulimit -v 1000000; exec \"$0\" \"$@\""];
            let folder = project.path();
            let planned = home.command_under(&outer, &["plan", folder.to_str().unwrap()]);
            let planned = finish(&mut { planned });
            let took = start.elapsed();
            assert!(took < Duration::from_secs(5), "{name}: {how}: {took:?}");
            assert!(!planned.stderr.contains("root:x:"), "{}", planned.stderr);
            match planned.code {
                Some(65) => assert!(planned.stderr.contains(name), "{}", planned.stderr),
                Some(0) if how == "long" => {}
                Some(0) => {
                    planned.says(&["warning: ", name]);
                }
                other => panic!("{name}: {how}: {other:?}\n{}", planned.stderr),
            }
        }
    }
}

#[test]
fn own_scripts_need_no_bit() {
    let home = Home::empty();
    let project = Project::new(&[
        (
            ".s2i/bin/run",
            "#!/bin/sh\nexec python -m http.server 8080\n",
        ),
        (".s2i/bin/assemble", "#!/bin/bash\r\ntrue\r\n"),
    ]);
    let path = project.path().join(".s2i/bin/run");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    finish(home.command(&["plan"]).arg(project.path()))
        .ok()
        .says(&["Windows", ".s2i/bin/assemble"]);
}

#[test]
fn what_stands_for_a_file_and_what_matches_nothing_is_told() {
    let home = Home::seeded();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    let project = Project::new(&[
        ("app.py", "print('up')\n"),
        ("model.bin", pointer),
        (".s2iignore", "*.log\n[\n"),
    ]);
    finish(home.command(&["build"]).arg(project.path()).arg("x"))
        .ok()
        .says(&[
            "pointers of git LFS, not the files themselves: model.bin",
            "git lfs pull",
            ".s2iignore",
        ]);
}
