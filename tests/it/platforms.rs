//! Other builders than the default, and other processors than this machine's.

use serde_json::Value;

use crate::harness::container::{Container, run_once};
use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::{Layout, Member, sha256};
use crate::harness::registry::Registry;
use crate::harness::tools::{finish, temporary, tool};

/// `e_machine` of ELF files (elf(5)).
const X86_64: u16 = 62;
const AARCH64: u16 = 183;

#[test]
fn python_3_11_on_bookworm() {
    let home = Home::seeded();
    let reference = home.build(
        &example("flask-gunicorn"),
        &["old:v1", "--builder", "python-3.11"],
    );
    let image = home.layout().reference(digest_of(&reference));

    let container = Container::start(&image, 1_000_680_000);
    assert_eq!(container.page("/"), "Hello from Flask\n");
    container.stop();

    let script = "set -e\n\
        python -c 'import sys, ssl, sqlite3, markupsafe._speedups; print(*sys.version_info[:2], sys.prefix)'\n\
        python -c \"import locale; print(locale.setlocale(locale.LC_ALL, ''))\"\n\
        pip check\n\
        . /etc/os-release; echo $VERSION_CODENAME $PYTHON_VERSION\n";
    let ran = run_once(&image, 12345, &["sh", "-c", script]).ok();
    assert_eq!(
        ran.stdout,
        "3 11 /opt/app-root\nen_US.UTF-8\nNo broken requirements found.\nbookworm 3.11\n"
    );
}

#[test]
fn two_processors_under_one_name() {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = registry.repository("both:v1");
    let source = example("flask-gunicorn");
    let reference = home.build(
        &source,
        &[&image, "--platform", "linux/amd64,linux/arm64", "--push"],
    );
    let digest = digest_of(&reference);
    let layout = home.layout();
    let index = layout.document(digest);
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    let manifests = index["manifests"].as_array().unwrap();
    let of = |architecture: &str| -> &str {
        let mut found = manifests
            .iter()
            .filter(|manifest| manifest["platform"]["architecture"] == architecture);
        let manifest = found.next().expect(architecture);
        assert!(found.next().is_none() && manifest["platform"]["os"] == "linux");
        manifest["digest"].as_str().unwrap()
    };
    assert_eq!(manifests.len(), 2);
    for (architecture, machine) in [("amd64", X86_64), ("arm64", AARCH64)] {
        let manifest = of(architecture);
        layout.check(manifest);
        layout.is_read_by_others(manifest);
        let config = layout.config(manifest);
        assert_eq!(config["architecture"], architecture);
        let members = layout.members(manifest);
        is_for(machine, &members["usr/bin/python3.13"]);
        let site = "opt/app-root/lib/python3.13/site-packages/markupsafe/_speedups";
        let (_, speedups) = members
            .iter()
            .find(|(path, _)| {
                path.starts_with(site)
                    && path
                        .rsplit_once('.')
                        .is_some_and(|(_, ending)| ending == "so")
            })
            .unwrap();
        is_for(machine, speedups);
        assert_eq!(seen_by_skopeo(&layout, digest, architecture), architecture);
    }

    // One of the two alone is what it is among the two.
    let alone = home.build(&source, &[&image, "--platform", "linux/arm64"]);
    assert_eq!(digest_of(&alone), of("arm64"));

    is_pushed(&registry, &image, digest);
}

#[test]
fn what_would_run_on_another_processor_is_named_before_any_download() {
    let home = Home::seeded();
    let page = "<a href=\"/files/thing-1.0.tar.gz\">thing-1.0.tar.gz</a>";
    let pages = [("/simple/thing/", page), ("/files/thing-1.0.tar.gz", "")];
    let pages = pages.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    let index = Index::of_pages(pages.into(), None, Fault::None);
    let locked = |name: &str, kind: &str, file: &str| {
        let url = format!("{}/files/{file}", index.root());
        let hash = "0".repeat(64);
        let file = format!(
            "{{name = \"{file}\", url = \"{url}\", size = 9, hashes = {{sha256 = \"{hash}\"}}}}"
        );
        let file = if kind == "wheels" {
            format!("[{file}]")
        } else {
            file
        };
        format!(
            "lock-version = \"1.0\"\ncreated-by = \"x\"\n[[packages]]\nname = \"{name}\"\n\
             version = \"5.2\"\n{kind} = {file}\n"
        )
    };
    let django = locked("django", "wheels", "django-5.2-py3-none-any.whl");
    let sdist = locked("slow", "sdist", "slow-5.2.tar.gz");
    let app = ("app.py", "");
    for (files, says, instead) in [
        (
            vec![(".s2i/bin/assemble", "#!/bin/sh\n"), app],
            "assemble script",
            "build on a linux/arm64 machine",
        ),
        (
            vec![("setup.py", ""), app],
            "(setup.py)",
            "DISABLE_SETUP_PY_PROCESSING",
        ),
        (
            vec![("pylock.toml", &django), ("manage.py", ""), app],
            "collectstatic",
            "DISABLE_COLLECTSTATIC",
        ),
        (
            vec![("pylock.toml", &sdist), app],
            "no wheel for it: slow",
            "wheels for that platform",
        ),
        (
            vec![("requirements.txt", "thing\n"), app],
            "no wheel for it: thing",
            "wheels for that platform",
        ),
    ] {
        let project = Project::new(&files);
        let platforms = ["--platform", "linux/amd64,linux/arm64"];
        let mut command = home.command(&["build", "--env"]);
        command.arg(format!("PIP_INDEX_URL={}", index.url(None)));
        let refused = finish(command.args(platforms).arg(project.path()).arg("app"));
        refused.exits(65).says(&["linux/arm64", says, instead]);
        let log = index.log();
        assert!(
            !log.iter().any(|line| line.contains("/files/")),
            "{says}: {log:?}"
        );
    }
    // A plan says what it can without asking anybody.
    let project = Project::new(&[(".s2i/bin/assemble", "#!/bin/sh\n"), app]);
    let mut plan = home.command(&["plan", "--platform", "linux/arm64"]);
    finish(plan.arg(project.path()))
        .exits(65)
        .says(&["assemble script"]);
    let mut plan = home.command(&["plan", "--platform", "linux/arm64"]);
    let told = finish(plan.arg(example("django"))).ok().stdout;
    assert!(
        told.contains("collectstatic would have to run on linux/arm64"),
        "{told}"
    );
}

/// The file is a program or library for this processor.
#[track_caller]
fn is_for(machine: u16, file: &Member) {
    assert_eq!(file.body[..4], *b"\x7fELF");
    assert_eq!(u16::from_le_bytes([file.body[18], file.body[19]]), machine);
}

/// The architecture of what skopeo takes out of an index for a machine.
#[track_caller]
fn seen_by_skopeo(layout: &Layout, index: &str, architecture: &str) -> String {
    let reference = layout.reference(index);
    let seen = tool(
        "skopeo",
        &["--override-arch", architecture, "inspect", &reference],
    );
    let seen: Value = serde_json::from_str(&seen).unwrap();
    seen["Architecture"].as_str().unwrap().to_owned()
}

/// The registry gives back the index and both images.
#[track_caller]
fn is_pushed(registry: &Registry, image: &str, digest: &str) {
    assert_eq!(sha256(&registry.manifest("both", "v1").unwrap()), digest);
    let pulled = temporary();
    let copy = format!("oci:{}:back", pulled.path().display());
    let source = format!("docker://{image}");
    tool(
        "skopeo",
        &[
            "copy",
            "--quiet",
            "--all",
            "--src-tls-verify=false",
            &source,
            &copy,
        ],
    );
    let layout = Layout::open(pulled.path());
    for manifest in layout.document(digest)["manifests"].as_array().unwrap() {
        layout.check(manifest["digest"].as_str().unwrap());
    }
}
