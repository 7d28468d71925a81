//! A builder file that is read, and what its types do not say held against what can be.

use std::fmt;

use super::debian_part::DebianPart;
use super::document::{BuilderDocument, BuilderText, DocumentOf, read_chain, values};
use super::{BaseDefinition, BuilderDefinition, BuilderError, EmbeddedBuilder, PipChoice};
use crate::packages::debian::DebianBase;
use crate::plan::image_builder::ImageBuilder;

/// A builder file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuilderFile {
    Whole(Box<BuilderDefinition>),
    /// It stands on an image, whose config says the rest.
    Image(Box<ImageBuilder>),
}

impl BuilderFile {
    /// Reads a builder file that extends no files; `origin` names it in errors.
    pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Self, BuilderError> {
        let text = BuilderText {
            origin: origin.to_owned(),
            text: text.to_owned(),
        };
        Self::with_files(text, |_, _| Ok(None))
    }

    /// Reads a builder file and those that it extends. `file` finds what a path means in the file of an origin;
    /// nothing where there is no such file.
    ///
    /// # Errors
    /// A wrong file, and what `file` says.
    pub(crate) fn with_files<E: From<BuilderError>>(
        text: BuilderText,
        file: impl Fn(&str, &str) -> Result<Option<BuilderText>, E>,
    ) -> Result<Self, E> {
        let chain = read_chain(text, file)?;
        Ok(Self::joined(chain)?)
    }

    /// One builder of a file and those that it extends.
    fn joined(chain: Vec<DocumentOf>) -> Result<Self, BuilderError> {
        let extends = extended_by_own(&chain);
        let mut joined = DocumentOf {
            origin: String::new(),
            document: BuilderDocument::default(),
        };
        for one in chain.into_iter().rev() {
            // Each file is told of what it says itself.
            BuilderCheck {
                origin: &one.origin,
            }
            .fields(&one.document)?;
            joined = one.over(joined.document)?;
        }
        let DocumentOf { origin, document } = joined;
        let check = BuilderCheck { origin: &origin };
        let mut file = check.file(document)?;
        match &mut file {
            Self::Whole(definition) => definition.extends = extends,
            Self::Image(image) => image.extends = extends,
        }
        Ok(file)
    }
}

/// What a file of a user extends, the nearest first; how builders compiled in are written is nobody's concern.
fn extended_by_own(chain: &[DocumentOf]) -> Vec<String> {
    let is_embedded = |one: &&DocumentOf| EmbeddedBuilder::named(&one.origin).is_some();
    let own = chain.iter().take_while(|one| !is_embedded(one)).count();
    let names = chain.iter().take(own + 1).skip(1);
    names
        .filter(|_| own > 0)
        .map(|one| one.origin.clone())
        .collect()
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
        value.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: &'static str) -> BuilderError {
        BuilderError::Missing {
            origin: self.origin.to_owned(),
            field,
        }
    }

    fn file(&self, mut joined: BuilderDocument) -> Result<BuilderFile, BuilderError> {
        let debian = std::mem::take(&mut joined.debian).value();
        match (debian, joined.image.as_ref().cloned()) {
            (Some(debian), None) => {
                let debian = self.debian(debian)?;
                Ok(BuilderFile::Whole(Box::new(self.whole(joined, debian)?)))
            }
            (None, Some(image)) => Ok(BuilderFile::Image(Box::new(self.image(joined, &image)?))),
            (Some(_), Some(_)) | (None, None) => Err(BuilderError::OneBase {
                origin: self.origin.to_owned(),
            }),
        }
    }

    /// What is written in one file, whatever the base.
    fn fields(&self, written: &BuilderDocument) -> Result<(), BuilderError> {
        if let Some(name) = &written.name
            && name.is_empty()
        {
            return Err(self.wrong("name", name));
        }
        if let Some(python) = written.python.as_ref()
            && two_numbers(python).is_none_or(|(major, _)| major != 3)
        {
            return Err(self.wrong("python", python));
        }
        self.glibc(written)?;
        let numeric =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(user) = written.user.as_ref()
            && !user.splitn(2, ':').all(numeric)
        {
            return Err(self.wrong("user", user));
        }
        let supported = ["linux/amd64", "linux/arm64"];
        let platforms = written.platforms.as_ref().map(Vec::as_slice);
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
        if let Some(debian) = written.debian.as_ref() {
            self.debian_fields(debian)?;
        }
        Ok(())
    }

    fn glibc(&self, written: &BuilderDocument) -> Result<Option<(u32, u32)>, BuilderError> {
        let text = written.glibc.as_ref();
        text.map(|text| two_numbers(text).ok_or_else(|| self.wrong("glibc", text)))
            .transpose()
    }

    fn debian_fields(&self, debian: &DebianPart) -> Result<(), BuilderError> {
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let urls = [debian.mirror.as_ref(), debian.security_mirror.as_ref()];
        if let Some(url) = urls.into_iter().flatten().find(|url| !web(url)) {
            return Err(self.wrong("debian.mirror", url));
        }
        let plain = |text: &str| !text.is_empty() && !text.contains("..") && !text.starts_with('/');
        if let Some(suite) = debian.suite.as_ref().filter(|suite| !plain(suite)) {
            return Err(self.wrong("debian.suite", suite));
        }
        if let Some(components) = debian.components.as_ref()
            && (components.is_empty() || !components.iter().all(|one| plain(one)))
        {
            return Err(self.wrong("debian.components", &components.join(", ")));
        }
        Ok(())
    }

    fn debian(&self, part: DebianPart) -> Result<DebianBase, BuilderError> {
        let base = part.into_base().map_err(|field| self.missing(field))?;
        base.dated()
            .map_err(|undated| self.wrong("debian.mirror", &undated.mirror))
    }

    /// A builder upon packages, which has to say all.
    fn whole(
        &self,
        written: BuilderDocument,
        debian: DebianBase,
    ) -> Result<BuilderDefinition, BuilderError> {
        if let Some(interpreter) = written.interpreter.as_ref() {
            return Err(self.wrong("interpreter", interpreter));
        }
        let glibc = self.there("glibc", self.glibc(&written)?)?;
        let python = self.there("python", written.python.value())?;
        Ok(BuilderDefinition {
            name: self.there("name", written.name)?,
            extends: Vec::new(),
            description: written.description.value().unwrap_or_default(),
            remark: written.remark.value().unwrap_or_default(),
            interpreter: format!("/usr/bin/python{python}"),
            python,
            glibc,
            base: BaseDefinition::Debian(debian),
            build_packages: written.build_packages.list(),
            pip: written.pip.value().and_then(PipChoice::into_wheel),
            entrypoint: Vec::new(),
            user: self.there("user", written.user.value())?,
            ports: written.ports.value().unwrap_or_default(),
            environment: values(written.environment),
            labels: values(written.labels),
            platforms: self.there("platforms", written.platforms.value())?,
            notes: Vec::new(),
        })
    }

    /// A builder upon an image, which may leave things out.
    fn image(&self, written: BuilderDocument, image: &str) -> Result<ImageBuilder, BuilderError> {
        let reference = image.parse().map_err(|_| self.wrong("image", &image))?;
        if let Some(package) = written.build_packages.clone().list().first() {
            return Err(self.wrong("build_packages", package));
        }
        let interpreter = written.interpreter.as_ref();
        if let Some(path) = interpreter.filter(|path| !is_plain_path(path)) {
            return Err(self.wrong("interpreter", path));
        }
        Ok(ImageBuilder {
            reference,
            glibc: self.glibc(&written)?,
            name: self.there("name", written.name)?,
            extends: Vec::new(),
            description: written.description.value().unwrap_or_default(),
            remark: written.remark.value().unwrap_or_default(),
            python: written.python.value(),
            interpreter: written.interpreter.value(),
            pip: written.pip.value(),
            user: written.user.value(),
            ports: written.ports.value(),
            environment: values(written.environment),
            labels: values(written.labels),
            platforms: written.platforms.value(),
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
