//! What an image is put on: an image of the store or of a registry, or a builder file upon one.
//!
//! Of an image that s2r made the base is taken and nothing else; any other image is taken whole, and
//! has to tell its Python by its config, as for a build upon it.

use std::path::Path;

use super::{Desk, RebaseError};
use crate::image::{Bottom, Given, Standing};
use crate::oci::{Digest, Empty, Platform, Reference, RunConfig};
use crate::pipeline::Settings;
use crate::pipeline::base_image::{BaseImage, BaseImageError};
use crate::pipeline::error::BuildError;
use crate::pipeline::read;
use crate::plan::builder::{BuilderFile, embedded};
use crate::plan::image_builder::ImageBuilder;
use crate::plan::{labels, variables};

/// A base for one platform.
#[derive(Debug)]
pub(super) struct NewBase {
    /// As it was named.
    pub name: String,
    /// The image that it was taken from.
    pub digest: Digest,
    pub bottom: Bottom,
}

impl NewBase {
    /// In a few words.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.name, self.digest)
    }
}

impl Desk<'_> {
    /// The base for each of the platforms, in their order.
    pub(super) fn onto(
        &self,
        name: &str,
        platforms: &[Platform],
        settings: &Settings,
    ) -> Result<Vec<NewBase>, BuildError> {
        let builder = match file(name, settings)? {
            Some(BuilderFile::Image(builder)) => Some(builder),
            Some(BuilderFile::Whole(_)) => return Err(packages(name).into()),
            None if embedded().iter().any(|(known, _)| *known == name) => {
                return Err(packages(name).into());
            }
            None => None,
        };
        let reference: Reference = match &builder {
            Some(builder) => builder.reference.clone(),
            None => name.parse().map_err(|reason| RebaseError::BaseName {
                name: name.to_owned(),
                reason,
            })?,
        };
        let images = match self.stored(&reference)? {
            Some(stored) => stored,
            None => self.finder().all(&reference)?,
        };
        let builder = builder.unwrap_or_else(|| Box::new(ImageBuilder::of(&reference)));
        let one = |platform: &Platform| {
            let image = images.iter().find(|image| image.platform == *platform);
            let image = image.ok_or_else(|| RebaseError::Platform {
                base: name.to_owned(),
                platform: *platform,
                found: images.iter().map(|image| image.platform).collect(),
            })?;
            Ok(NewBase {
                name: name.to_owned(),
                digest: image.digest,
                bottom: bottom(image, &builder)?,
            })
        };
        platforms.iter().map(one).collect()
    }
}

/// A builder file, if the name is that of one.
fn file(name: &str, settings: &Settings) -> Result<Option<BuilderFile>, BuildError> {
    let is_file_name = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    if !is_file_name {
        return Ok(None);
    }
    read::builder_file(name, settings).map(Some)
}

fn packages(name: &str) -> RebaseError {
    RebaseError::Builder {
        name: name.to_owned(),
    }
}

/// What of an image lies beneath those that stand on it.
fn bottom(image: &BaseImage, builder: &ImageBuilder) -> Result<Bottom, BuildError> {
    let (manifest, config) = (&image.manifest, &image.config);
    if Standing::is_told(manifest) {
        let standing = Standing::of(manifest, config).map_err(|reason| {
            BuildError::from(RebaseError::of_standing(&image.reference, reason))
        })?;
        return Ok(Bottom::of_image(manifest, config, &standing));
    }
    if manifest.layers.is_empty() {
        let reason = "it has no layers".to_owned();
        return Err(BaseImageError::Unreadable {
            image: image.reference.to_string(),
            document: "manifest",
            reason,
        }
        .into());
    }
    let told = builder.complete(config)?;
    let given = Given {
        env: variables::of_builder(&told),
        labels: labels::of_builder(&told),
        ..Given::default()
    };
    let ports = told.ports.iter();
    let run = RunConfig {
        user: Some(told.user.clone()),
        exposed_ports: ports
            .map(|port| (format!("{port}/tcp"), Empty {}))
            .collect(),
        entrypoint: (!told.entrypoint.is_empty()).then(|| told.entrypoint.clone()),
        ..RunConfig::default()
    };
    let footing = crate::pipeline::foundation::footing_of(&told);
    let annotations = image.annotations().into_iter().collect();
    let whole = (manifest, config);
    Ok(Bottom::of_whole(whole, given, run, footing, annotations))
}
