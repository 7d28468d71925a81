//! Builder definitions: what an image stands on, as YAML. Those of `builders/` are compiled in.
//!
//! Strict: an unknown field, a missing one or a wrong value is an error that names it. Refuses to
//! guess: a builder has a Debian base or an image, never both. Reads no files. What a builder upon an
//! image leaves out is told by the image's config (`image_builder.rs`).

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use super::image_builder::ImageBuilder;
use crate::{
    packages::{Sha256, debian::DebianBase},
    report::{Explain, Explanation, Fate},
};

/// The builders compiled in, the default first: name and text.
const EMBEDDED: [(&str, &str); 2] = [
    (
        "python-3.13",
        include_str!("../../builders/python-3.13.yaml"),
    ),
    (
        "python-3.11",
        include_str!("../../builders/python-3.11.yaml"),
    ),
];

/// Longest builder file taken, in bytes.
const MAX_BUILDER_BYTES: usize = 1 << 20;

/// What an image stands on, and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuilderDefinition {
    /// Its name, for instance `python-3.13`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Python's version, two numbers: `3.13`.
    pub python: String,
    /// Version of glibc, which decides the wheels that fit: `2.41`.
    pub glibc: (u32, u32),
    /// Absolute path of the interpreter in the image.
    pub interpreter: String,
    /// Where the lowest layers come from.
    pub base: Base,
    /// Debian packages for building from source, never in the image.
    pub build_packages: Vec<String>,
    /// The pip that goes into the virtual environment; none if the builder wants none.
    pub pip: Option<PipWheel>,
    /// What starts the image's command; none where it starts by itself.
    pub entrypoint: Vec<String>,
    /// User of the image's processes, `uid` or `uid:gid`.
    pub user: String,
    /// TCP ports that the application answers on.
    pub ports: Vec<u16>,
    /// Environment of the image.
    pub environment: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Platforms that can be built for, `os/architecture`.
    pub platforms: Vec<String>,
    /// What its user should know: text, and what to do about it.
    pub notes: Vec<(String, String)>,
}

/// A builder file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuilderFile {
    /// It says all.
    Whole(Box<BuilderDefinition>),
    /// It stands on an image, whose config says the rest.
    Image(Box<ImageBuilder>),
}

/// Where the lowest layers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Packages of a Debian suite.
    Debian(DebianBase),
    /// An image of a registry, by reference.
    Image(String),
}

/// One wheel of pip, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipWheel {
    /// pip's version.
    pub version: String,
    /// The wheel's file name; its url comes from the package index.
    pub filename: String,
    /// The wheel's digest.
    pub sha256: Sha256,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    python: Option<String>,
    #[serde(default)]
    glibc: Option<String>,
    #[serde(default)]
    interpreter: Option<String>,
    #[serde(default)]
    debian: Option<DebianBase>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    build_packages: Vec<String>,
    #[serde(default)]
    pip: Option<PipWheel>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    ports: Option<Vec<u16>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    platforms: Option<Vec<String>>,
}

/// What is wrong with a builder file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BuilderError {
    /// It is not the YAML of a builder.
    #[error("{origin} is no builder file: {reason}")]
    Unreadable {
        /// The file, or the name of a builder compiled in.
        origin: String,
        /// What the parser says, with the place.
        reason: String,
    },
    /// A field has a value that none can have.
    #[error("{origin}: `{field}` cannot be `{value}`")]
    Value {
        /// The file.
        origin: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A field that it cannot do without is not there.
    #[error("{origin}: `{field}` is missing")]
    Missing {
        /// The file.
        origin: String,
        /// The field.
        field: &'static str,
    },
    /// It has no base, or two.
    #[error("{origin} needs one base: either `debian` or `image`")]
    OneBase {
        /// The file.
        origin: String,
    },
    /// It is longer than a builder file may be.
    #[error("{origin} is longer than {limit} bytes")]
    TooLong {
        /// The file.
        origin: String,
        /// The limit.
        limit: usize,
    },
}

/// The builders compiled in, the default first: name and YAML text.
pub(crate) fn embedded() -> &'static [(&'static str, &'static str)] {
    &EMBEDDED
}

impl BuilderFile {
    /// Reads a builder file; `origin` names it in errors.
    pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Self, BuilderError> {
        if text.len() > MAX_BUILDER_BYTES {
            return Err(BuilderError::TooLong {
                origin: origin.to_owned(),
                limit: MAX_BUILDER_BYTES,
            });
        }
        let mut written: Written =
            serde_yaml::from_str(text).map_err(|error| BuilderError::Unreadable {
                origin: origin.to_owned(),
                reason: error.to_string(),
            })?;
        let check = Check { origin };
        check.fields(&written)?;
        match (written.debian.take(), written.image.take()) {
            (Some(debian), None) => {
                check.debian(&debian)?;
                Ok(Self::Whole(Box::new(check.whole(written, debian)?)))
            }
            (None, Some(image)) => Ok(Self::Image(Box::new(check.image(written, &image)?))),
            (Some(_), Some(_)) | (None, None) => Err(BuilderError::OneBase {
                origin: origin.to_owned(),
            }),
        }
    }
}

impl BuilderDefinition {
    /// Reads the file of a builder that stands on packages; `origin` names it in errors.
    pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Self, BuilderError> {
        match BuilderFile::from_yaml(text, origin)? {
            BuilderFile::Whole(definition) => Ok(*definition),
            BuilderFile::Image(image) => Err(BuilderError::Value {
                origin: origin.to_owned(),
                field: "image",
                value: image.reference.to_string(),
            }),
        }
    }

    /// What it stands on, in a few words: `Debian trixie`, or the image's reference.
    pub(crate) fn base_title(&self) -> String {
        match &self.base {
            Base::Debian(debian) => format!("Debian {}", debian.suite),
            Base::Image(reference) => reference.clone(),
        }
    }
}

impl BuilderDefinition {
    /// Whether layers made for this builder fit the other.
    pub(crate) fn stands_like(&self, other: &Self) -> bool {
        self.python == other.python
            && self.glibc == other.glibc
            && self.interpreter == other.interpreter
    }
}

/// The pip of the default builder, for builders that bring none of their own.
pub(crate) fn default_pip() -> Option<PipWheel> {
    let (name, text) = EMBEDDED[0];
    BuilderDefinition::from_yaml(text, name).ok()?.pip
}

/// Checks what the types do not.
struct Check<'a> {
    origin: &'a str,
}

impl Check<'_> {
    fn wrong(&self, field: &'static str, value: &dyn fmt::Display) -> BuilderError {
        BuilderError::Value {
            origin: self.origin.to_owned(),
            field,
            value: value.to_string(),
        }
    }

    fn there<T>(&self, field: &'static str, value: Option<T>) -> Result<T, BuilderError> {
        value.ok_or_else(|| BuilderError::Missing {
            origin: self.origin.to_owned(),
            field,
        })
    }

    /// What is written, whatever the base.
    fn fields(&self, written: &Written) -> Result<(), BuilderError> {
        if written.name.is_empty() {
            return Err(self.wrong("name", &written.name));
        }
        if let Some(python) = &written.python
            && two_numbers(python).is_none_or(|(major, _)| major != 3)
        {
            return Err(self.wrong("python", python));
        }
        self.glibc(written)?;
        let numeric =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(user) = &written.user
            && !user.splitn(2, ':').all(numeric)
        {
            return Err(self.wrong("user", user));
        }
        let supported = ["linux/amd64", "linux/arm64"];
        let platforms = written.platforms.as_deref();
        let mut listed = platforms.unwrap_or_default().iter();
        if let Some(other) = listed.find(|one| !supported.contains(&one.as_str())) {
            return Err(self.wrong("platforms", other));
        }
        if platforms.is_some_and(<[String]>::is_empty) {
            return Err(self.wrong("platforms", &"[]"));
        }
        let mut names = written.environment.keys();
        if let Some(name) = names.find(|name| name.is_empty() || name.contains('=')) {
            return Err(self.wrong("environment", name));
        }
        Ok(())
    }

    fn glibc(&self, written: &Written) -> Result<Option<(u32, u32)>, BuilderError> {
        let text = written.glibc.as_ref();
        text.map(|text| two_numbers(text).ok_or_else(|| self.wrong("glibc", text)))
            .transpose()
    }

    fn debian(&self, debian: &DebianBase) -> Result<(), BuilderError> {
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let urls = [
            Some(&debian.mirror),
            debian.security_mirror.as_ref(),
            debian.snapshot.as_ref(),
        ];
        if let Some(url) = urls.into_iter().flatten().find(|url| !web(url)) {
            return Err(self.wrong("debian.mirror", url));
        }
        let plain = |text: &str| !text.is_empty() && !text.contains("..") && !text.starts_with('/');
        if !plain(&debian.suite) {
            return Err(self.wrong("debian.suite", &debian.suite));
        }
        if debian.components.is_empty() || !debian.components.iter().all(|one| plain(one)) {
            return Err(self.wrong("debian.components", &debian.components.join(", ")));
        }
        Ok(())
    }

    /// A builder upon packages, which has to say all.
    fn whole(
        &self,
        written: Written,
        debian: DebianBase,
    ) -> Result<BuilderDefinition, BuilderError> {
        if let Some(interpreter) = &written.interpreter {
            return Err(self.wrong("interpreter", interpreter));
        }
        let glibc = self.there("glibc", self.glibc(&written)?)?;
        let python = self.there("python", written.python)?;
        Ok(BuilderDefinition {
            name: written.name,
            description: written.description,
            interpreter: format!("/usr/bin/python{python}"),
            python,
            glibc,
            base: Base::Debian(debian),
            build_packages: written.build_packages,
            pip: written.pip,
            entrypoint: Vec::new(),
            user: self.there("user", written.user)?,
            ports: written.ports.unwrap_or_default(),
            environment: written.environment,
            labels: written.labels,
            platforms: self.there("platforms", written.platforms)?,
            notes: Vec::new(),
        })
    }

    /// A builder upon an image, which may leave things out.
    fn image(&self, written: Written, image: &str) -> Result<ImageBuilder, BuilderError> {
        let reference = image.parse().map_err(|_| self.wrong("image", &image))?;
        if let Some(package) = written.build_packages.first() {
            return Err(self.wrong("build_packages", package));
        }
        let interpreter = written.interpreter.as_ref();
        if let Some(path) = interpreter.filter(|path| !is_plain_path(path)) {
            return Err(self.wrong("interpreter", path));
        }
        Ok(ImageBuilder {
            reference,
            glibc: self.glibc(&written)?,
            name: written.name,
            description: written.description,
            python: written.python,
            interpreter: written.interpreter,
            pip: written.pip,
            user: written.user,
            ports: written.ports,
            environment: written.environment,
            labels: written.labels,
            platforms: written.platforms,
        })
    }
}

/// An absolute path to a file, without dots or anything that a config file or link could not hold.
fn is_plain_path(path: &str) -> bool {
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
        && !path.chars().any(char::is_control)
}

/// `3.13` as two numbers.
fn two_numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl Explain for BuilderError {
    fn explain(&self) -> Explanation {
        let (origin, why, next) = match self {
            Self::Unreadable { origin, reason } => (
                origin,
                reason.clone(),
                "Compare it with a builder that works: `s2r builders python-3.13`.".to_owned(),
            ),
            Self::Value {
                origin,
                field,
                value,
            } => (
                origin,
                format!("`{field}` cannot be `{value}`."),
                format!(
                    "Correct `{field}`; `s2r builders python-3.13` shows a builder that works."
                ),
            ),
            Self::Missing { origin, field } => (
                origin,
                format!("`{field}` is not there, and nothing else says it."),
                format!("Add `{field}`; `s2r builders python-3.13` shows a builder that works."),
            ),
            Self::OneBase { origin } => (
                origin,
                "It must name what it stands on: Debian packages or an image, one of them."
                    .to_owned(),
                "Give it either `debian:` or `image:`.".to_owned(),
            ),
            Self::TooLong { origin, limit } => (
                origin,
                format!("It is longer than {limit} bytes."),
                "Check that it is a builder file.".to_owned(),
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: "the builder file is wrong".to_owned(),
            place: origin.clone(),
            why,
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_compiled_in_are_good() {
        for (name, text) in embedded() {
            let builder = BuilderDefinition::from_yaml(text, name).unwrap();
            assert_eq!(&builder.name, name);
            assert_eq!(name.strip_prefix("python-"), Some(builder.python.as_str()));
            assert_eq!(builder.ports, [8080]);
            assert_eq!(builder.platforms.len(), 2);
            assert!(builder.pip.is_some());
            let Base::Debian(debian) = builder.base else {
                panic!("{name} stands on packages");
            };
            assert!(debian.updates && debian.security_mirror.is_some());
            assert!(
                debian
                    .packages
                    .contains(&format!("python{}", builder.python))
            );
        }
    }

    fn changed(from: &str, to: &str) -> BuilderError {
        let text = EMBEDDED[0].1.replacen(from, to, 1);
        assert_ne!(text, EMBEDDED[0].1, "{from}");
        BuilderDefinition::from_yaml(&text, "mine.yaml").unwrap_err()
    }

    #[test]
    fn wrong_fields_are_named() {
        for (from, to, named) in [
            ("user: ", "usr: ", "usr"),
            ("  suite:", "  sweet:", "sweet"),
            (
                "platforms: [linux/amd64",
                "platforms: [linux/s390x",
                "platforms",
            ),
            ("user: \"1001\"", "user: default", "user"),
            ("python: \"3.13\"", "python: three", "python"),
            ("glibc: \"2.41\"", "glibc: \"2\"", "glibc"),
            ("  suite:", "  mirror: ftp://x\n  suite:", "mirror"),
            ("suite: trixie", "suite: ../trixie", "suite"),
            ("ports: [8080]", "ports: [80800]", "80800"),
            ("sha256: f3", "sha256: zz", "64 hexadecimal digits"),
        ] {
            let error = changed(from, to);
            let told = error.to_string();
            assert!(told.contains(named) && told.contains("mine.yaml"), "{told}");
            assert_eq!(error.explain().fate, Fate::Project);
        }
    }

    #[test]
    fn exactly_one_base() {
        let error = changed("debian:\n", "image: registry.example/python:3\ndebian:\n");
        assert_eq!(
            error,
            BuilderError::OneBase {
                origin: "mine.yaml".to_owned()
            }
        );
        let text = "name: a\npython: \"3.12\"\nglibc: \"2.34\"\nimage: registry.example/python:3\nuser: \"1001\"\nplatforms: [linux/amd64]\n";
        let BuilderFile::Image(builder) = BuilderFile::from_yaml(text, "a").unwrap() else {
            panic!("it stands on an image");
        };
        assert_eq!(builder.reference.to_string(), "registry.example/python:3");
        assert_eq!(builder.glibc, Some((2, 34)));
        assert!(BuilderDefinition::from_yaml(text, "a").is_err());
        for (field, line) in [
            ("image", "image: UPPER/x\n"),
            ("interpreter", "image: a/b\ninterpreter: python3\n"),
            ("interpreter", "image: a/b\ninterpreter: /usr/../python3\n"),
            ("build_packages", "image: a/b\nbuild_packages: [gcc]\n"),
        ] {
            let text = format!("name: a\n{line}");
            let error = BuilderFile::from_yaml(&text, "a").unwrap_err();
            assert!(matches!(error, BuilderError::Value { field: named, .. } if named == field));
        }
        let without = text.replace("image: registry.example/python:3\n", "");
        assert!(BuilderDefinition::from_yaml(&without, "a").is_err());
    }

    #[test]
    fn refuses_what_is_no_yaml() {
        for text in ["", "[]", "name: [", "\u{0}"] {
            assert!(BuilderDefinition::from_yaml(text, "x").is_err(), "{text:?}");
        }
        let long = "#".repeat(MAX_BUILDER_BYTES + 1);
        assert!(matches!(
            BuilderDefinition::from_yaml(&long, "x"),
            Err(BuilderError::TooLong { .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics(
            at in 0..2000_usize, to in "[a-z0-9:&*{}\\[\\]<>!|\\-\n \"'ä]{0,4}",
        ) {
            let whole = EMBEDDED[0].1;
            let at = at % whole.len();
            let (Some(head), Some(tail)) = (whole.get(..at), whole.get(at + 1..)) else {
                return Ok(());
            };
            let _ = BuilderDefinition::from_yaml(&format!("{head}{to}{tail}"), "x");
        }
    }
}
