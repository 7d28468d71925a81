//! The image beneath a builder that comes with s2r is not available: what to do is more than a registry's error knows.

use crate::base::base_image_lookup::BaseImageError;
use crate::net::registry::RegistryError;
use crate::oci::Reference;
use crate::plan::builder::{EmbeddedBuilder, embedded};
use crate::project::PythonRange;
use crate::report::{BuildError, ErrorClass, Explain, Explanation};

/// The image beneath a builder that comes with s2r is not available.
#[derive(Debug, thiserror::Error)]
#[error("{image}, on which builder {} stands, is not available", builder.name)]
pub(super) struct NamedBaseError {
    builder: EmbeddedBuilder,
    image: Reference,
    /// A builder that meets the project's wishes too and needs no image.
    other: Option<EmbeddedBuilder>,
    cause: BuildError,
}

impl NamedBaseError {
    /// The error with the ways out; as it was where the image is there and is not what it should be.
    pub(super) fn of(
        cause: BuildError,
        builder: EmbeddedBuilder,
        image: &Reference,
        wishes: &[PythonRange],
    ) -> BuildError {
        match cause.find() {
            // What the user's own rules lack, these say best.
            Some(BaseImageError::Registry(RegistryError::Rules(_))) => return cause,
            Some(
                BaseImageError::Offline { .. }
                | BaseImageError::NotFound { .. }
                | BaseImageError::Registry(_),
            ) => {}
            _ => return cause,
        }
        let fits = |other: &&EmbeddedBuilder| wishes.iter().all(|wish| wish.admits(other.python));
        let mut others = embedded().iter().filter(fits);
        Self {
            builder,
            image: image.clone(),
            other: others.find(|other| other.definition().is_some()).copied(),
            cause,
        }
        .into()
    }
}

impl Explain for NamedBaseError {
    fn explain(&self) -> Explanation {
        let Self { builder, image, .. } = self;
        let python = builder.python;
        let cause = self.cause.explain();
        let mut ways = Vec::new();
        if let Some(BaseImageError::Offline { .. }) = self.cause.find() {
            ways.push("run it once without --offline".to_owned());
        }
        ways.push(format!(
            "set S2R_BASE_MIRROR=HOST/PATH, where a registry of yours has it as HOST/PATH/{}:{}",
            image.repository(),
            image.tag_or_latest()
        ));
        ways.push(format!(
            "name another image that has Python {python}: --builder HOST/IMAGE"
        ));
        if let Some(other) = self.other {
            ways.push(format!(
                "take Python {} from Debian, which the project admits: --builder {}",
                other.python, other.name
            ));
        }
        Explanation {
            class: ErrorClass::World,
            what: format!(
                "the image on which builder {} stands is not available",
                builder.name
            ),
            place: image.canonical(),
            why: format!(
                "{}: {}. Debian has no Python {python}, so nothing here takes its place",
                cause.what, cause.why
            ),
            next: ways.join("; or "),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    struct NamedBaseError {
        builder: EmbeddedBuilder::named("python-3.12").unwrap(),
        image: "docker.io/library/python:3.12-slim".parse().unwrap(),
        other: EmbeddedBuilder::named("python-3.13"),
        cause: BaseImageError::Offline { image: "docker.io/library/python:3.12-slim".into() }.into(),
    };
}
