//! A builder that stands on an image of a registry: what its file says, and for the rest what the
//! image's config tells (`told.rs`). What neither says is an error that names the missing fields.
//!
//! The base's environment and labels lie below s2r's: it stays what it was where s2r has no opinion.
//! Its locale stays too, because only the base knows which locales it has.

use std::collections::BTreeMap;

use super::base_detection::{self, DetectedBase, DetectedLibc};
use super::builder::{BaseDefinition, BuilderDefinition, PipChoice, pip_for};
use super::variables;
use crate::oci::{ImageConfig, Reference};
use crate::report::{ErrorClass, Explain, Explanation};

/// Where s2r's virtual environment lies; an image that has one there is of S2I's kind.
const APP_ROOT: &str = "/opt/app-root";
/// The port that applications listen on unless they are told otherwise.
const PORT: u16 = 8080;
/// The user of images whose base says none, or root.
const USER: &str = "1001";
/// The search path of a base that says none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Notes on what a base stands on itself; they would be wrong of what stands on the base.
const BASE_OF_BASE: &str = "org.opencontainers.image.base.";

/// A builder upon an image; what is none is told by the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageBuilder {
    pub reference: Reference,
    pub name: String,
    /// The builders and files that its file extends, the nearest first.
    pub extends: Vec<String>,
    /// One line for people.
    pub description: String,
    /// What sets it apart from the usual builder, in half a sentence; empty where nothing does.
    pub remark: String,
    /// Python's version, two numbers.
    pub python: Option<String>,
    pub glibc: Option<(u32, u32)>,
    /// Absolute path of the interpreter.
    pub interpreter: Option<String>,
    /// pip for the virtual environment.
    pub pip: Option<PipChoice>,
    /// `uid` or `uid:gid`.
    pub user: Option<String>,
    pub ports: Option<Vec<u16>>,
    pub environment: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `os/architecture`.
    pub platforms: Option<Vec<String>>,
}

/// Why an image cannot be built upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageBuilderError {
    /// Its C library is musl.
    #[error("{image} stands on musl")]
    Musl { image: String },
    /// Its config does not tell enough.
    #[error("the config of {image} does not say {}", missing.join(", "))]
    Untold {
        image: String,
        /// Fields of a builder file.
        missing: Vec<&'static str>,
    },
}

impl Explain for ImageBuilderError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Musl { image } => Explanation {
                class: ErrorClass::Project,
                what: "the base's C library is musl, as Alpine's is".to_owned(),
                place: image.clone(),
                why: "s2r chooses wheels that were built for glibc, and many packages have no others".to_owned(),
                next: "build on the image's slim or plain variant (`python:3.13-slim`), or leave --builder out".to_owned(),
            },
            Self::Untold { image, missing } => {
                let example = |field: &&str| match *field {
                    "python" => "python: \"3.12\"",
                    "glibc" => "glibc: \"2.36\"   # `ldd --version` in the image",
                    _ => "interpreter: /usr/bin/python3.12",
                };
                let lines: Vec<&str> = missing.iter().map(example).collect();
                Explanation {
                    class: ErrorClass::Project,
                    what: format!("the base's config does not say its {}", missing.join(", ")),
                    place: image.clone(),
                    why: "s2r knows images by their configs, and does not look into their layers".to_owned(),
                    next: format!(
                        "write a builder file, and name it in place of the image:\nname: my-base\nimage: {image}\n{}",
                        lines.join("\n")
                    ),
                }
            }
        }
    }
}

impl ImageBuilder {
    /// A builder of which nothing is known but the image.
    pub(crate) fn of(reference: &Reference) -> Self {
        Self {
            name: reference.to_string(),
            reference: reference.clone(),
            extends: Vec::new(),
            description: String::new(),
            remark: String::new(),
            python: None,
            glibc: None,
            interpreter: None,
            pip: None,
            user: None,
            ports: None,
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            platforms: None,
        }
    }

    /// The same with what the image says of itself in its manifest, where the file says nothing.
    pub(crate) fn knowing(self, python: String, glibc: (u32, u32), interpreter: String) -> Self {
        // A file that says another Python means another interpreter, too.
        let is_meant = self.python.as_ref().is_none_or(|said| *said == python);
        Self {
            glibc: self.glibc.or(Some(glibc)),
            interpreter: self.interpreter.or(is_meant.then_some(interpreter)),
            python: self.python.or(Some(python)),
            ..self
        }
    }

    /// The whole definition, by the image's config.
    ///
    /// # Errors
    /// The config does not tell what the file leaves out, or tells that nothing can be built on it.
    pub(crate) fn complete(
        &self,
        config: &ImageConfig,
    ) -> Result<BuilderDefinition, ImageBuilderError> {
        let image = self.reference.to_string();
        let told = self.told(config);
        let glibc = match (self.glibc, told.libc) {
            (Some(glibc), _) => Some(glibc),
            (None, Some(DetectedLibc::Glibc(major, minor))) => Some((major, minor)),
            (None, Some(DetectedLibc::Musl)) => return Err(ImageBuilderError::Musl { image }),
            (None, None) => None,
        };
        let python = self.python.clone().or(told.python);
        let interpreter = self.interpreter.clone().or(told.interpreter);
        let (Some(python), Some(glibc), Some(interpreter)) = (&python, glibc, &interpreter) else {
            let fields = [
                ("python", python.is_none()),
                ("glibc", glibc.is_none()),
                ("interpreter", interpreter.is_none()),
            ];
            let missing = fields.iter().filter(|(_, is_missing)| *is_missing);
            return Err(ImageBuilderError::Untold {
                image,
                missing: missing.map(|(field, _)| *field).collect(),
            });
        };
        let base = base_detection::environment(config);
        let mut notes = Vec::new();
        let entrypoint = entrypoint(config, &image, &mut notes);
        note_other_environment(&base, &image, &mut notes);
        let has_venv = base.get("APP_ROOT").is_some_and(|root| root == APP_ROOT);
        let mut labels = config.config.labels.clone();
        labels.retain(|name, _| !name.starts_with(BASE_OF_BASE));
        labels.extend(self.labels.clone());
        let mut environment = environment(&base);
        environment.extend(self.environment.clone());
        let both = || ["linux/amd64", "linux/arm64"].map(str::to_owned).to_vec();
        Ok(BuilderDefinition {
            name: self.name.clone(),
            extends: self.extends.clone(),
            description: self.description.clone(),
            remark: self.remark.clone(),
            python: python.clone(),
            glibc,
            interpreter: interpreter.clone(),
            base: BaseDefinition::Image(image),
            build_packages: Vec::new(),
            // An environment that is there already has one.
            pip: match self.pip.clone() {
                Some(said) => said.into_wheel(),
                None => pip_for(python).filter(|_| !has_venv),
            },
            entrypoint,
            user: self.user.clone().unwrap_or_else(|| user(config)),
            ports: self.ports.clone().unwrap_or_else(|| ports(config)),
            environment,
            labels,
            platforms: self.platforms.clone().unwrap_or_else(both),
            notes,
        })
    }

    /// What the config tells; a file that says another Python than the config is the one to trust,
    /// and then the config's interpreter is not the one that is meant.
    fn told(&self, config: &ImageConfig) -> DetectedBase {
        let mut told = base_detection::read(config, self.reference.tag_or_latest());
        if self.python.is_some() && self.python != told.python {
            told.interpreter = None;
        }
        told
    }
}

/// The third number of the base's Python, where its config tells it.
pub(crate) fn python_patch(config: &ImageConfig) -> Option<u16> {
    base_detection::read(config, "").patch
}

/// What of the base's environment is its own: s2r's names are left to s2r, but for the search path,
/// which is joined, and the locale.
fn environment(base: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = base
        .iter()
        .filter(|(name, _)| !variables::is_ours(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let set = |name: &str| base.get(name).filter(|value| !value.is_empty());
    let language = set("LANG").or_else(|| set("LC_ALL"));
    // Every glibc of today has this one, whatever locales were left out.
    let language = language.map_or("C.UTF-8", String::as_str);
    let locale = set("LC_ALL").map_or(language, String::as_str);
    environment.insert("LANG".to_owned(), language.to_owned());
    environment.insert("LC_ALL".to_owned(), locale.to_owned());
    let path = set("PATH").map_or(PATH, String::as_str);
    environment.insert("PATH".to_owned(), joined(path));
    environment
}

/// The application's folders of programs, then the base's.
fn joined(path: &str) -> String {
    let ours = ["src/.local/bin", "src/bin", "bin"].map(|folder| format!("{APP_ROOT}/{folder}"));
    let is_ours = |folder: &&str| ours.iter().any(|one| one == folder.trim_end_matches('/'));
    let others = path.split(':').filter(|folder| !folder.is_empty());
    let others = others.filter(|folder| !is_ours(folder)).map(str::to_owned);
    ours.iter()
        .cloned()
        .chain(others)
        .collect::<Vec<_>>()
        .join(":")
}

/// The base's entrypoint, if it starts the command that it is given, as S2I's `container-entrypoint`
/// and init programs do. An interpreter or a shell would take the command for its arguments.
fn entrypoint(config: &ImageConfig, image: &str, notes: &mut Vec<(String, String)>) -> Vec<String> {
    let words = config.config.entrypoint.clone().unwrap_or_default();
    let program = words.first().map_or("", String::as_str);
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_shell = ["sh", "bash", "dash", "ash"].contains(&name);
    if name.starts_with("python") || is_shell {
        notes.push((
            format!(
                "the entrypoint of {image} ({}) is left out",
                words.join(" ")
            ),
            "it would take the start script for its argument".to_owned(),
        ));
        return Vec::new();
    }
    words
}

/// Packages that the base has in an environment of its own are not those of the application.
fn note_other_environment(
    base: &BTreeMap<String, String>,
    image: &str,
    notes: &mut Vec<(String, String)>,
) {
    let other = base
        .get("VIRTUAL_ENV")
        .filter(|path| !path.is_empty() && *path != APP_ROOT);
    if let Some(other) = other {
        notes.push((
            format!("{image} has a virtual environment at {other}; the application gets its own at {APP_ROOT}"),
            "list what it needs in the project's requirements".to_owned(),
        ));
    }
}

/// A numeric user that is not root stays.
fn user(config: &ImageConfig) -> String {
    let user = config.config.user.as_deref().unwrap_or_default();
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    let is_root = user
        .split(':')
        .next()
        .is_none_or(|uid| uid.parse() == Ok(0_u32));
    if !is_root && user.splitn(2, ':').all(is_number) {
        user.to_owned()
    } else {
        USER.to_owned()
    }
}

/// The application's port first, then what else the base has.
fn ports(config: &ImageConfig) -> Vec<u16> {
    let others = config.config.exposed_ports.keys().filter_map(|port| {
        let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
        number.parse::<u16>().ok().filter(|_| kind == "tcp")
    });
    let mut ports = vec![PORT];
    ports.extend(others.filter(|port| *port != PORT));
    ports
}

#[cfg(test)]
crate::report::samples! {
    enum ImageBuilderError {
        Musl { image: "docker.io/library/python:3.13-alpine".into() },
        Untold { image: "registry.example.com/base:1".into(), missing: vec!["python", "glibc", "interpreter"] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(run: &serde_json::Value) -> ImageConfig {
        serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux", "config": run,
            "history": [{"created_by": "# debian.sh out/ 'bookworm'"}],
            "rootfs": {"type": "layers", "diff_ids": []},
        }))
        .unwrap()
    }

    fn builder(name: &str) -> ImageBuilder {
        ImageBuilder::of(&name.parse().unwrap())
    }

    #[test]
    fn a_slim_image_is_a_builder() {
        let config = config(&json!({
            "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8", "PYTHON_VERSION=3.12.7", "GPG_KEY=A", "HOME=/root"],
            "Labels": {"a": "b", "org.opencontainers.image.base.name": "debian"},
            "ExposedPorts": {"5000/tcp": {}, "53/udp": {}},
            "Cmd": ["python3"],
        }));
        let made = builder("python:3.12-slim").complete(&config).unwrap();
        assert_eq!(
            (made.name.as_str(), made.python.as_str()),
            ("python:3.12-slim", "3.12")
        );
        assert_eq!((made.glibc, made.user.as_str()), ((2, 36), "1001"));
        assert_eq!(made.interpreter, "/usr/local/bin/python3.12");
        assert_eq!(made.ports, [8080, 5000]);
        assert!(made.pip.is_some() && made.notes.is_empty() && made.entrypoint.is_empty());
        assert_eq!(made.environment["LC_ALL"], "C.UTF-8");
        assert_eq!(made.environment["PYTHON_VERSION"], "3.12.7");
        assert!(!made.environment.contains_key("HOME"));
        assert_eq!(
            made.environment["PATH"],
            "/opt/app-root/src/.local/bin:/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/bin:/usr/bin"
        );
        assert_eq!(made.labels.len(), 1);
        let mut without = builder("python:3.12-slim");
        without.pip = Some(PipChoice::Absent);
        assert_eq!(without.complete(&config).unwrap().pip, None);
        assert_eq!(python_patch(&config), Some(7));
    }

    #[test]
    fn an_s2i_image_keeps_its_user_entrypoint_locale_and_pip() {
        let config = config(&json!({
            "User": "1001", "Entrypoint": ["container-entrypoint"], "ExposedPorts": {"8080/tcp": {}},
            "Env": ["PATH=/opt/app-root/src/.local/bin/:/opt/app-root/src/bin:/opt/app-root/bin:/usr/bin",
                "APP_ROOT=/opt/app-root", "PYTHON_VERSION=3.12", "PLATFORM=el9", "LC_ALL=en_US.UTF-8", "LANG=en_US.UTF-8"],
        }));
        let mut plain = config.clone();
        plain.history.clear();
        let made = builder("registry.example/ubi9/python-312")
            .complete(&plain)
            .unwrap();
        assert_eq!(made.entrypoint, ["container-entrypoint"]);
        assert_eq!((made.glibc, made.pip), ((2, 34), None));
        assert_eq!(made.environment["LC_ALL"], "en_US.UTF-8");
        assert!(made.environment["PATH"].ends_with("/opt/app-root/bin:/usr/bin"));
        assert_eq!(made.ports, [8080]);
    }

    #[test]
    fn what_nobody_says_is_asked_for() {
        let config = config(
            &json!({"Entrypoint": ["/usr/bin/python3"], "User": "nonroot",
            "Env": ["VIRTUAL_ENV=/venv"]}),
        );
        let error = builder("r.example/x").complete(&config).unwrap_err();
        let ImageBuilderError::Untold { missing, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*missing, ["python", "interpreter"]);
        assert!(
            error.explain().next.contains("image: r.example/x:latest"),
            "{}",
            error.explain().next
        );
        let noted = |one: ImageBuilder| {
            one.knowing("3.13".to_owned(), (2, 41), "/usr/bin/python3.13".to_owned())
        };
        let made = noted(builder("r.example/x")).complete(&config).unwrap();
        assert_eq!((made.python.as_str(), made.glibc), ("3.13", (2, 41)));
        assert_eq!(made.interpreter, "/usr/bin/python3.13");
        let other = ImageBuilder {
            python: Some("3.11".to_owned()),
            ..builder("r.example/x")
        };
        assert!(noted(other).complete(&config).is_err());
        let said = ImageBuilder {
            python: Some("3.11".to_owned()),
            interpreter: Some("/usr/bin/python3.11".to_owned()),
            ..builder("r.example/x")
        };
        let made = said.complete(&config).unwrap();
        assert_eq!((made.user.as_str(), made.notes.len()), ("1001", 2));
        assert!(made.entrypoint.is_empty());
        let mut alpine = config;
        alpine.history[0].created_by = Some("RUN apk add python3".to_owned());
        let error = said_nothing_of_libc(&alpine);
        assert!(matches!(error, ImageBuilderError::Musl { .. }));
        assert!(error.explain().next.contains("slim"));
    }

    fn said_nothing_of_libc(config: &ImageConfig) -> ImageBuilderError {
        builder("r.example/x").complete(config).unwrap_err()
    }

    #[test]
    fn users_that_are_numbers_and_not_root_stay() {
        for (user, expected) in [
            ("", "1001"),
            ("0", "1001"),
            ("0:0", "1001"),
            ("root", "1001"),
            ("1000:1000", "1000:1000"),
            ("185", "185"),
            ("185:x", "1001"),
        ] {
            assert_eq!(
                super::user(&config(&json!({"User": user}))),
                expected,
                "{user}"
            );
        }
    }
}
