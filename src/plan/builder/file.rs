//! A builder file as it is written, and what its types do not say held against what can be.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{BaseDefinition, BuilderDefinition, BuilderError, PipChoice};
use crate::packages::debian::DebianBase;
use crate::plan::image_builder::ImageBuilder;

/// Longest builder file taken, in bytes.
pub(super) const MAX_BUILDER_BYTES: usize = 1 << 20;

/// A builder file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuilderFile {
    Whole(Box<BuilderDefinition>),
    /// It stands on an image, whose config says the rest.
    Image(Box<ImageBuilder>),
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderDocument {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    remark: String,
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
    pip: Option<PipChoice>,
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

impl BuilderFile {
    /// Reads a builder file; `origin` names it in errors.
    pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Self, BuilderError> {
        if text.len() > MAX_BUILDER_BYTES {
            return Err(BuilderError::TooLong {
                origin: origin.to_owned(),
                limit: MAX_BUILDER_BYTES,
            });
        }
        let mut written: BuilderDocument =
            serde_yaml::from_str(text).map_err(|error| BuilderError::Unreadable {
                origin: origin.to_owned(),
                reason: error.to_string(),
            })?;
        let check = BuilderCheck { origin };
        check.fields(&written)?;
        match (written.debian.take(), written.image.take()) {
            (Some(debian), None) => {
                let debian = check.debian(debian)?;
                Ok(Self::Whole(Box::new(check.whole(written, debian)?)))
            }
            (None, Some(image)) => Ok(Self::Image(Box::new(check.image(written, &image)?))),
            (Some(_), Some(_)) | (None, None) => Err(BuilderError::OneBase {
                origin: origin.to_owned(),
            }),
        }
    }
}

impl BuilderFile {
    /// What it stands on, in a few words: `Debian trixie`, or the image's reference.
    pub(crate) fn base_title(&self) -> String {
        match self {
            Self::Whole(definition) => definition.base_title(),
            Self::Image(image) => image.reference.to_string(),
        }
    }

    /// What sets it apart from the usual builder, in half a sentence; empty where nothing does.
    pub(crate) fn remark(&self) -> &str {
        match self {
            Self::Whole(definition) => &definition.remark,
            Self::Image(image) => &image.remark,
        }
    }
}

/// Checks what the types do not.
struct BuilderCheck<'a> {
    origin: &'a str,
}

impl BuilderCheck<'_> {
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
    fn fields(&self, written: &BuilderDocument) -> Result<(), BuilderError> {
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

    fn glibc(&self, written: &BuilderDocument) -> Result<Option<(u32, u32)>, BuilderError> {
        let text = written.glibc.as_ref();
        text.map(|text| two_numbers(text).ok_or_else(|| self.wrong("glibc", text)))
            .transpose()
    }

    fn debian(&self, debian: DebianBase) -> Result<DebianBase, BuilderError> {
        let debian = debian
            .dated()
            .map_err(|undated| self.wrong("debian.mirror", &undated.mirror))?;
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let urls = [Some(&debian.mirror), debian.security_mirror.as_ref()];
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
        Ok(debian)
    }

    /// A builder upon packages, which has to say all.
    fn whole(
        &self,
        written: BuilderDocument,
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
            remark: written.remark,
            interpreter: format!("/usr/bin/python{python}"),
            python,
            glibc,
            base: BaseDefinition::Debian(debian),
            build_packages: written.build_packages,
            pip: written.pip.and_then(PipChoice::into_wheel),
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
    fn image(&self, written: BuilderDocument, image: &str) -> Result<ImageBuilder, BuilderError> {
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
            remark: written.remark,
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
