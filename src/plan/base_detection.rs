//! What an image's config tells of the Python in it: version, interpreter, C library.
//!
//! Nothing here looks into a layer. Known are the official Python images and what is made in their
//! way (`PYTHON_VERSION` with three numbers, below /usr/local), the Python images of S2I upon UBI,
//! CentOS Stream and Fedora, and Python installed from Debian's or Ubuntu's packages. Of anything
//! else this module says nothing rather than something wrong: a builder file then has to.

use std::collections::BTreeMap;

use crate::oci::ImageConfig;

/// A C library, as wheels ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DetectedLibc {
    Glibc(u32, u32),
    Musl,
}

/// What was found; what was not is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DetectedBase {
    /// Python's version, two numbers.
    pub python: Option<String>,
    pub patch: Option<u16>,
    /// Absolute path of the interpreter.
    pub interpreter: Option<String>,
    pub libc: Option<DetectedLibc>,
}

/// A system by the names that configs and tags give it.
struct SystemName {
    names: &'static [&'static str],
    glibc: (u32, u32),
    /// Python of its package `python3`, where that has a release of its own.
    python: Option<&'static str>,
    /// Whether its Python packages keep interpreters in /usr/bin.
    is_rpm: bool,
}

const fn deb(
    names: &'static [&'static str],
    glibc: (u32, u32),
    python: &'static str,
) -> SystemName {
    SystemName {
        names,
        glibc,
        python: Some(python),
        is_rpm: false,
    }
}

const fn rpm(names: &'static [&'static str], glibc: (u32, u32)) -> SystemName {
    SystemName {
        names,
        glibc,
        python: None,
        is_rpm: true,
    }
}

/// Releases, with the glibc that each keeps for its life.
const SYSTEMS: [SystemName; 15] = [
    deb(&["buster", "debian10"], (2, 28), "3.7"),
    deb(&["bullseye", "debian11"], (2, 31), "3.9"),
    deb(&["bookworm", "debian12"], (2, 36), "3.11"),
    deb(&["trixie", "debian13"], (2, 41), "3.13"),
    deb(&["focal", "ubuntu20.04"], (2, 31), "3.8"),
    deb(&["jammy", "ubuntu22.04"], (2, 35), "3.10"),
    deb(&["noble", "ubuntu24.04"], (2, 39), "3.12"),
    rpm(&["el8", "ubi8", "rhel8", "c8s"], (2, 28)),
    rpm(&["el9", "ubi9", "rhel9", "c9s"], (2, 34)),
    rpm(&["el10", "ubi10", "rhel10", "c10s"], (2, 39)),
    rpm(&["fedora40", "f40"], (2, 39)),
    rpm(&["fedora41", "f41"], (2, 40)),
    rpm(&["fedora42", "f42"], (2, 41)),
    rpm(&["fedora43", "f43"], (2, 42)),
    rpm(&["al2023", "amazonlinux2023"], (2, 34)),
];

/// Reads a config; the tag of the image's name is asked last.
pub(crate) fn read(config: &ImageConfig, tag: &str) -> DetectedBase {
    let evidence = BaseEvidence::new(config, tag);
    if evidence.is_musl() {
        return DetectedBase {
            libc: Some(DetectedLibc::Musl),
            ..DetectedBase::default()
        };
    }
    let system = evidence.system();
    let (python, patch) = evidence.python(system);
    let interpreter = python
        .as_ref()
        .and_then(|python| evidence.interpreter(python, patch, system));
    DetectedBase {
        python,
        patch,
        interpreter,
        libc: system.map(|system| DetectedLibc::Glibc(system.glibc.0, system.glibc.1)),
    }
}

/// The environment of a config, by name; of two lines the later counts.
pub(crate) fn environment(config: &ImageConfig) -> BTreeMap<String, String> {
    let pairs = config.config.env.iter().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// Where it is looked.
struct BaseEvidence<'a> {
    environment: BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
    history: Vec<&'a str>,
    tag: &'a str,
}

impl<'a> BaseEvidence<'a> {
    fn new(config: &'a ImageConfig, tag: &'a str) -> Self {
        let lines = config.history.iter();
        Self {
            environment: environment(config),
            labels: &config.config.labels,
            history: lines.filter_map(|one| one.created_by.as_deref()).collect(),
            tag,
        }
    }

    fn variable(&self, name: &str) -> &str {
        self.environment.get(name).map_or("", String::as_str)
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    fn is_musl(&self) -> bool {
        let is_alpine =
            |line: &&str| line.contains("alpine-minirootfs") || line.contains("apk add");
        let is_wolfi = |line: &&str| line.contains("wolfi") || line.contains("apko");
        let by_tag = words(self.tag).any(|word| word.starts_with("alpine"));
        by_tag || (self.history.iter().any(is_alpine) && !self.history.iter().any(is_wolfi))
    }

    fn system(&self) -> Option<&'static SystemName> {
        // The line with which Debian's images begin names the suite.
        let of_history = self
            .history
            .iter()
            .filter(|line| line.contains("debian.sh") || line.contains("debuerreotype"))
            .flat_map(|line| words(line));
        let ubuntu = format!(
            "{}{}",
            self.label("org.opencontainers.image.ref.name"),
            self.label("org.opencontainers.image.version")
        );
        let cpe = self.label("cpe").split("enterprise_linux:").nth(1);
        let release = cpe.unwrap_or_default().split(['.', ':']).next();
        let of_cpe = format!("el{}", release.unwrap_or_default());
        let of_labels = ["name", "com.redhat.component", "io.buildpacks.stack.id"]
            .into_iter()
            .flat_map(|name| words(self.label(name)));
        let mut candidates: Vec<&str> = of_history.collect();
        candidates.extend([self.variable("PLATFORM"), &ubuntu, &of_cpe]);
        candidates.extend(of_labels.chain(words(self.tag)));
        let known = |word: &&str| SYSTEMS.iter().find(|system| system.names.contains(word));
        candidates.iter().find_map(known)
    }

    fn python(&self, system: Option<&SystemName>) -> (Option<String>, Option<u16>) {
        if let Some(found) = version(self.variable("PYTHON_VERSION")) {
            return found;
        }
        // `python-312`, `python312`: how Red Hat's images call themselves.
        let called = ["name", "com.redhat.component", "io.openshift.tags"]
            .into_iter()
            .flat_map(|name| words(self.label(name)))
            .find_map(|word| {
                let digits = word.strip_prefix("python").unwrap_or(word);
                let minor: u16 = digits.strip_prefix('3')?.parse().ok()?;
                (6..100).contains(&minor).then(|| format!("3.{minor}"))
            });
        if called.is_some() && system.is_some_and(|system| system.is_rpm) {
            return (called, None);
        }
        let of_packages = self.installed().find_map(|word| {
            let (found, _) = version(word.strip_prefix("python")?)?;
            found
        });
        if of_packages.is_some() {
            return (of_packages, None);
        }
        let has_default = self.installed().any(|word| word == "python3");
        let default = system
            .and_then(|system| system.python)
            .filter(|_| has_default);
        (default.map(str::to_owned), None)
    }

    /// Words of the steps that installed packages.
    fn installed(&self) -> impl Iterator<Item = &str> {
        let is_install = |line: &&&str| {
            [
                "apt-get install",
                "apt install",
                "dnf install",
                "microdnf install",
                "yum install",
            ]
            .iter()
            .any(|command| line.contains(command))
                || (line.contains("apt-get") && line.contains(" install "))
        };
        let lines = self.history.iter().filter(is_install);
        lines.flat_map(|line| line.split_whitespace())
    }

    fn interpreter(
        &self,
        python: &str,
        patch: Option<u16>,
        system: Option<&SystemName>,
    ) -> Option<String> {
        let path = self.variable("PATH");
        let program = format!("python{python}");
        let is_rpm = system.is_some_and(|system| system.is_rpm);
        let has_package = || {
            self.installed()
                .any(|word| word == program || word == "python3" || word == "python3-venv")
        };
        let own_folder = path
            .split(':')
            .find(|folder| folder.contains("/python") && folder.ends_with("/bin"));
        let folder = if let Some(folder) = own_folder.filter(|folder| folder.starts_with('/')) {
            folder
        } else if patch.is_some() && path.split(':').any(|folder| folder == "/usr/local/bin") {
            "/usr/local/bin"
        } else if is_rpm || has_package() {
            "/usr/bin"
        } else {
            return None;
        };
        Some(format!("{folder}/{program}"))
    }
}

/// Letters, digits and dots that stand together.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.')
        .filter(|word| !word.is_empty())
}

/// `3.12.7` as `3.12` and 7; none if it is no version of Python 3.
fn version(text: &str) -> Option<(Option<String>, Option<u16>)> {
    let mut numbers = text.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let minor: u16 = minor.parse().ok().filter(|_| major == "3")?;
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    let patch = numbers
        .next()
        .and_then(|part| part.get(..digits(part))?.parse().ok());
    Some((Some(format!("3.{minor}")), patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(env: &[&str], labels: &[(&str, &str)], history: &[&str]) -> ImageConfig {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let history: Vec<_> = history
            .iter()
            .map(|line| json!({"created_by": line}))
            .collect();
        serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux", "history": history,
            "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Env": env, "Labels": labels},
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(
        told: &DetectedBase,
        python: Option<&str>,
        interpreter: Option<&str>,
        glibc: Option<(u32, u32)>,
    ) {
        assert_eq!(told.python.as_deref(), python);
        assert_eq!(told.interpreter.as_deref(), interpreter);
        let found = told.libc.map(|libc| match libc {
            DetectedLibc::Glibc(major, minor) => (major, minor),
            DetectedLibc::Musl => (0, 0),
        });
        assert_eq!(found, glibc);
    }

    const PATH: &str = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

    #[test]
    fn official_images_tell_all() {
        let suite = "# debian.sh --arch 'amd64' out/ 'bookworm' '@1727654400'";
        let env = [
            PATH,
            "LANG=C.UTF-8",
            "GPG_KEY=A035",
            "PYTHON_VERSION=3.12.7",
        ];
        let told = read(
            &config(&env, &[], &[suite, "ENV PATH=/usr/local/bin"]),
            "3.12-slim",
        );
        check(
            &told,
            Some("3.12"),
            Some("/usr/local/bin/python3.12"),
            Some((2, 36)),
        );
        assert_eq!(told.patch, Some(7));
        // Where the history is lost, the tag may say it.
        let told = read(&config(&env, &[], &[]), "3.12-slim-trixie");
        check(
            &told,
            Some("3.12"),
            Some("/usr/local/bin/python3.12"),
            Some((2, 41)),
        );
        let told = read(&config(&env, &[], &[]), "latest");
        check(&told, Some("3.12"), Some("/usr/local/bin/python3.12"), None);
        let release = read(
            &config(&[PATH, "PYTHON_VERSION=3.14.0rc2"], &[], &[suite]),
            "x",
        );
        assert_eq!(
            (release.python.as_deref(), release.patch),
            (Some("3.14"), Some(0))
        );
    }

    #[test]
    fn alpine_is_told_apart() {
        let added = "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit";
        let env = [PATH, "PYTHON_VERSION=3.12.7"];
        for (history, tag) in [(vec![added], "3.12"), (vec![], "3.12-alpine3.20")] {
            let told = read(&config(&env, &[], &history), tag);
            assert_eq!(told.libc, Some(DetectedLibc::Musl));
        }
    }

    #[test]
    fn images_of_s2i_are_known_by_platform_and_labels() {
        let path =
            "PATH=/opt/app-root/src/.local/bin/:/opt/app-root/src/bin:/opt/app-root/bin:/usr/bin";
        let told = read(
            &config(&[path, "PYTHON_VERSION=3.12", "PLATFORM=el9"], &[], &[]),
            "1",
        );
        check(
            &told,
            Some("3.12"),
            Some("/usr/bin/python3.12"),
            Some((2, 34)),
        );
        for labels in [
            [("name", "ubi9/python-311"), ("x", "")],
            [
                ("com.redhat.component", "python-311-container"),
                ("cpe", "cpe:/a:redhat:enterprise_linux:9::appstream"),
            ],
            [
                ("io.openshift.tags", "builder,python,python311"),
                ("name", "rhel9/x"),
            ],
        ] {
            let told = read(&config(&[path], &labels, &[]), "latest");
            check(
                &told,
                Some("3.11"),
                Some("/usr/bin/python3.11"),
                Some((2, 34)),
            );
        }
        let told = read(
            &config(&["PLATFORM=el10", "PYTHON_VERSION=3.12"], &[], &[]),
            "1",
        );
        check(
            &told,
            Some("3.12"),
            Some("/usr/bin/python3.12"),
            Some((2, 39)),
        );
    }

    #[test]
    fn distributions_pythons_are_known_by_their_release() {
        let ubuntu = [
            ("org.opencontainers.image.ref.name", "ubuntu"),
            ("org.opencontainers.image.version", "24.04"),
        ];
        let step = "RUN /bin/sh -c apt-get update && apt-get install -y python3 && rm -rf /x";
        let told = read(&config(&[PATH], &ubuntu, &[step]), "1");
        check(
            &told,
            Some("3.12"),
            Some("/usr/bin/python3.12"),
            Some((2, 39)),
        );
        let suite = "/bin/sh -c #(nop) debian.sh out/ 'trixie'";
        let other = "RUN apt-get install -y python3.13 ca-certificates";
        let told = read(&config(&[PATH], &[], &[suite, other]), "1");
        check(
            &told,
            Some("3.13"),
            Some("/usr/bin/python3.13"),
            Some((2, 41)),
        );
    }

    #[test]
    fn of_others_nothing_is_said() {
        check(&read(&config(&[], &[], &[]), "latest"), None, None, None);
        let odd = ["PYTHON_VERSION=2.7.18", "=x", "PATH"];
        check(
            &read(&config(&odd, &[("name", "3")], &["apt-get"]), ""),
            None,
            None,
            None,
        );
        let own = [
            "PATH=/opt/bitnami/python/bin:/usr/bin",
            "PYTHON_VERSION=3.11.2",
        ];
        let told = read(&config(&own, &[], &[]), "3.11.2-debian-12");
        check(
            &told,
            Some("3.11"),
            Some("/opt/bitnami/python/bin/python3.11"),
            None,
        );
    }
}
