//! `--isolation none`: in a container of an image that s2r built, as a restricted pod has it (no namespaces, no
//! capabilities, a user that nobody knows), and the refusals where steps cannot run so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::builds::{BACKEND, MANAGE, PYPROJECT, django};
use crate::harness::container::podman;
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{Finished, finish, tool};
use crate::harness::wheel::Wheel;

/// What a filter of system calls has to hold to refuse namespaces, and all else that a sandbox is made of
/// (libseccomp's names, in the form of the OCI runtime specification).
const REFUSES: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["unshare", "setns", "mount", "pivot_root"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
]}"#;

/// The builder's image, and a store that anybody may write to.
struct Pod {
    home: Home,
    image: String,
    index: Index,
}

impl Pod {
    fn new(wheels: &[Wheel]) -> Self {
        let home = Home::seeded();
        let reference = home.build(&example("script"), &["pod"]);
        let image = home.layout().reference(digest_of(&reference));
        let dir = home.dir().to_str().unwrap();
        tool("chmod", &["755", dir]);
        // Files that other tests have too stay as they are; whoever is let into their folder may read them.
        for (kind, mode) in [
            (&["-type", "d"][..], "a+rwx"),
            (&["-type", "f", "-links", "1"], "a+rw"),
        ] {
            let arguments = [
                &[dir, "-mindepth", "1"],
                kind,
                &["-exec", "chmod", mode, "{}", "+"],
            ];
            tool("find", &arguments.concat());
        }
        fs::write(home.dir().join("seccomp.json"), REFUSES).unwrap();
        Self {
            home,
            image,
            index: Index::serving(wheels, None, Fault::None),
        }
    }

    /// Builds a project in the container that refuses namespaces; `flags` are podman's.
    #[track_caller]
    fn build(&self, project: &Project, isolation: &str, flags: &[&str]) -> Finished {
        let filter = self.home.dir().join("seccomp.json");
        let filter = format!("seccomp={}", filter.display());
        let refusing = ["--security-opt", &filter];
        self.build_anywhere(project, isolation, &[&refusing, flags].concat())
    }

    /// The same in a container as podman makes it.
    #[track_caller]
    fn build_anywhere(&self, project: &Project, isolation: &str, flags: &[&str]) -> Finished {
        let volume = |path: &Path| format!("{0}:{0}", path.display());
        let home = self.home.dir();
        let (parent, data) = (project.path(), self.home.data().display());
        tool(
            "chmod",
            &["755", parent.parent().unwrap().to_str().unwrap()],
        );
        finish(
            podman()
                .args(["run", "--rm", "--network", "host", "--user", "1000680000:0"])
                .args([
                    "--ulimit",
                    "nofile=20000:20000",
                    "--ulimit",
                    "nproc=10000:10000",
                ])
                .args(["--cap-drop", "all", "--security-opt", "no-new-privileges"])
                .args(["--volume", &volume(home)])
                .args(["--volume", &volume(&project.path())])
                .args(["--volume", concat!(env!("CARGO_BIN_EXE_s2r"), ":/s2r:ro")])
                .args(["--env", &format!("HOME={}/home", home.display())])
                .args(["--env", &format!("XDG_DATA_HOME={data}")])
                .args(["--env", &format!("PIP_INDEX_URL={}", self.index.url(None))])
                .args(["--env", "MY_SECRET=of the machine"])
                .args(flags)
                .arg(&self.image)
                .args([
                    "/s2r",
                    "build",
                    "--progress",
                    "plain",
                    "--isolation",
                    isolation,
                ])
                .arg(project.path())
                .arg("x"),
        )
    }

    /// Builds in the container and in a sandbox, and gives what the first said: both images must hold the same.
    #[track_caller]
    fn builds_as_a_sandbox_does(&self, project: &Project) -> Finished {
        let bare = self.build(project, "none", &[]).ok();
        assert!(bare.stderr.contains("without isolation"), "{}", bare.stderr);
        let other = Home::seeded();
        let sandboxed = finish(
            other
                .command(&["build"])
                .arg(project.path())
                .arg("x")
                .env("PIP_INDEX_URL", self.index.url(None)),
        )
        .ok();
        let parts = |home: &Home, built: &Finished| {
            let manifest = home.layout().document(digest_of(built.line()));
            let digest = |part: &Value| part["digest"].as_str().unwrap().to_owned();
            let layers = manifest["layers"].as_array().unwrap();
            (
                digest(&manifest["config"]),
                layers.iter().map(digest).collect::<Vec<_>>(),
            )
        };
        assert_eq!(parts(&self.home, &bare), parts(&other, &sandboxed));
        bare
    }
}

/// A build requirement with a program of its own.
fn oven() -> Wheel {
    Wheel::new("oven", "1.0")
        .file("oven.py", "def main():\n    print('the oven is hot')\n")
        .data("scripts/heat", "#!python\nimport oven\noven.main()\n")
}

/// The backend of other tests, which calls a program of its requirements first.
fn hot_backend() -> String {
    let call = "    import subprocess, oven\n    subprocess.run(['heat'], check=True)\n";
    let at = "    print(\"building in\"";
    BACKEND.replace(at, &format!("{call}{at}"))
}

#[test]
fn wheels_are_built_where_namespaces_are_refused() {
    let pod = Pod::new(&[oven()]);
    let pyproject = PYPROJECT.replace("requires = []", "requires = ['oven']");
    let sdist = Project::new(&[
        ("thing-1.0/pyproject.toml", &pyproject),
        (
            "thing-1.0/backend.py",
            &hot_backend().replace("name=\"shop\"", "name=\"thing\""),
        ),
    ]);
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("requirements.txt", "./thing-1.0.tar.gz\n"),
        ("pyproject.toml", &pyproject),
        ("backend.py", &hot_backend()),
    ]);
    let archive = project.path().join("thing-1.0.tar.gz");
    tool(
        "tar",
        &[
            "-czf",
            archive.to_str().unwrap(),
            "-C",
            sdist.path().to_str().unwrap(),
            "thing-1.0",
        ],
    );
    // What `auto` makes of such a pod.
    pod.build(&project, "auto", &[]).exits(69).says(&[
        "no sandbox works here",
        "userns:",
        "chroot: only root",
    ]);
    let said = pod.builds_as_a_sandbox_does(&project);
    assert_eq!(said.stderr.matches("the oven is hot").count(), 2);
    let again = pod.build(&project, "none", &[]).ok();
    assert_eq!(again.line(), said.line());
    assert!(!again.stderr.contains("the oven"), "{}", again.stderr);
}

#[test]
fn a_sandbox_is_had_in_a_container_of_the_usual_kind() {
    let pod = Pod::new(&[]);
    let project = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", BACKEND),
    ]);
    let said = pod.build_anywhere(&project, "auto", &[]).ok();
    assert!(said.stderr.contains("as 1001 0"), "{}", said.stderr);
}

#[test]
fn static_files_are_collected_where_namespaces_are_refused() {
    let pod = Pod::new(&[django()]);
    let project = Project::new(&[
        (
            "manage.py",
            MANAGE.split("        open(\"/usr/lib").next().unwrap(),
        ),
        ("rubbish.txt", ""),
        ("requirements.txt", "django\n"),
    ]);
    let built = pod.builds_as_a_sandbox_does(&project);
    let members = pod.home.layout().members(digest_of(built.line()));
    assert!(members.contains_key("opt/app-root/src/static/css/site.css"));
}

#[test]
fn what_cannot_run_without_isolation_says_what_to_do() {
    let pod = Pod::new(&[]);
    let own = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("backend.py", BACKEND),
    ]);
    let release = pod.home.dir().join("os-release");
    fs::write(&release, "ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
    let volume = format!("{}:/etc/os-release:ro", release.display());
    pod.build(&own, "none", &["--volume", &volume])
        .exits(69)
        .says(&[
            "does not stand in the builder's image",
            "debian bookworm",
            "DISABLE_PYPROJECT_TOML_PROCESSING",
            "--isolation auto",
        ]);
    let editable = Project::new(&[
        ("app.py", "import shop\n"),
        ("requirements.txt", "-e ./shop\n"),
        ("shop/pyproject.toml", PYPROJECT),
        ("shop/backend.py", BACKEND),
    ]);
    pod.build(&editable, "none", &[])
        .exits(69)
        .says(&["editable install", "instead of `-e`"]);
    let native = Project::new(&[
        ("app.py", "import shop\n"),
        ("pyproject.toml", PYPROJECT),
        ("fast.c", ""),
        (
            "backend.py",
            "import subprocess\ndef build_wheel(*rest):\n    subprocess.run(['gcc', 'fast.c'], check=True)\n",
        ),
    ]);
    pod.build(&native, "none", &[])
        .exits(65)
        .says(&["there is no compiler", "a version with a wheel"]);
    let script = Project::new(&[("app.py", "pass\n"), (".s2i/bin/assemble", "#!/bin/sh\n")]);
    let path = script.path().join(".s2i/bin/assemble");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    pod.build(&script, "none", &[]).exits(69).says(&[
        ".s2i/bin/assemble",
        "without isolation",
        ".s2iignore",
    ]);
}
