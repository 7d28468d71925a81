//! What an image is put on: an image of the store or of a registry, a builder upon one, or a builder of
//! packages.
//!
//! An image that stands on an image gets another one whole, as for a build upon it. One that stands on
//! packages gets the packages of an image that s2r made, and of that nothing else; any other image it
//! gets whole.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;

use super::{ImageLookup, RebaseError, added, check};
use crate::base::base_image_lookup::BaseImageError;
use crate::base::image_base::abi_of;
use crate::context::base_manifest::BaseImage;
use crate::context::settings::Settings;
use crate::context::stage_clock::StageClock;
use crate::image::{BASE_NAME_ANNOTATION, BaseDefaults, BaseRecord, NewBase};
use crate::oci::{Digest, EmptyObject, Platform, Reference, RunConfig};
use crate::pipeline::build::BuildOutputs;
use crate::pipeline::plan;
use crate::plan::builder::{BuilderDefinition, BuilderFile, EmbeddedBuilder};
use crate::plan::image_builder::ImageBuilder;
use crate::plan::{PlanRequest, labels, variables};
use crate::report::{BuildError, BuildStage, Report};
use crate::store::{StoreError, StoredImage};

/// A base for one platform.
#[derive(Debug)]
pub(super) struct PlatformBase {
    /// As it was named.
    pub name: String,
    /// The image that it was taken from.
    pub digest: Digest,
    pub bottom: NewBase,
}

impl PlatformBase {
    /// In a few words.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.name, self.digest)
    }
}

impl ImageLookup<'_> {
    /// The base for each of the images, in their order.
    pub(super) fn onto(
        &self,
        name: &str,
        images: &[(BaseImage, BaseRecord)],
        (settings, report): (&Settings, &dyn Report),
        stages: &StageClock<'_>,
    ) -> Result<Vec<PlatformBase>, BuildError> {
        let builder = match file(name, settings)? {
            Some(BuilderFile::Image(builder)) => Some(builder),
            Some(BuilderFile::Whole(builder)) => {
                return self.made((name, &builder), images, settings, report);
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
        let builder = builder.unwrap_or_else(|| Box::new(ImageBuilder::of(&reference)));
        stages.run(
            BuildStage::Base,
            || {
                let found = if let Some(stored) = self.stored(&reference)? {
                    stored
                } else {
                    // Others' images are for processors, too, that s2r knows nothing of.
                    let wanted: BTreeSet<Platform> =
                        images.iter().map(|(image, _)| image.platform).collect();
                    let wanted: Vec<Platform> = wanted.into_iter().collect();
                    let found = self.finder().find(&reference, None, &wanted);
                    found.map_err(|error| platforms_here(name, error))?
                };
                chosen(name, images, &found, Some(&builder))
            },
            |bases| bases.first().map_or_else(String::new, PlatformBase::title),
        )
    }

    /// The base of a builder of packages, as its suite has them now: that of an image of next to
    /// nothing, which is forgotten again. What the project added to its base is asked for too.
    fn made(
        &self,
        (name, builder): (&str, &BuilderDefinition),
        images: &[(BaseImage, BaseRecord)],
        settings: &Settings,
        report: &dyn Report,
    ) -> Result<Vec<PlatformBase>, BuildError> {
        // What does not fit need not be made.
        for (image, standing) in images {
            check((image, standing), name, &abi_of(builder))?;
        }
        let folder = self.store.temp_folder("base-")?;
        let unwritable = |source| StoreError::Io {
            path: folder.path().to_owned(),
            source,
        };
        let write = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).map_err(unwritable)
        };
        write("app.py", "")?;
        let added: BTreeSet<String> = images
            .iter()
            .flat_map(|(image, standing)| added(&image.manifest, standing.layers))
            .collect();
        if !added.is_empty() {
            let lines: Vec<String> = added.into_iter().collect();
            write("Aptfile", &format!("{}\n", lines.join("\n")))?;
        }
        let request = PlanRequest {
            source: folder.path().to_owned(),
            builder: Some(name.to_owned()),
            platforms: images.iter().map(|(image, _)| image.platform).collect(),
            ..PlanRequest::default()
        };
        let settings = Settings {
            rules: self.rules,
            ..settings.clone()
        };
        let outputs = BuildOutputs {
            no_cache: true,
            verify_cache: false,
            ..BuildOutputs::default()
        };
        let built = crate::pipeline::build(&request, &[], &outputs, &settings, report)?;
        let reference = Reference::from_str("base")
            .map(|name| name.at(built.descriptor.digest))
            .map_err(|reason| RebaseError::BaseName {
                name: name.to_owned(),
                reason,
            })?;
        let found = self.stored(&reference)?.unwrap_or_default();
        self.store.untag(&StoredImage {
            name: String::new(),
            descriptor: built.descriptor,
        })?;
        chosen(name, images, &found, None)
    }
}

/// For each image the base that is for its platform; without a builder only the base of what was found.
fn chosen(
    name: &str,
    images: &[(BaseImage, BaseRecord)],
    found: &[BaseImage],
    builder: Option<&ImageBuilder>,
) -> Result<Vec<PlatformBase>, BuildError> {
    let one = |(image, _): &(BaseImage, BaseRecord)| {
        let notes = &image.manifest.annotations;
        let stands_on_image = notes.contains_key(BASE_NAME_ANNOTATION);
        let base = found.iter().find(|base| base.platform == image.platform);
        let base = base.ok_or_else(|| RebaseError::Platform {
            base: name.to_owned(),
            platform: image.platform,
            found: found.iter().map(|base| base.platform).collect(),
        })?;
        Ok(PlatformBase {
            name: name.to_owned(),
            digest: base.digest,
            bottom: match builder {
                Some(builder) if stands_on_image || !BaseRecord::is_told(&base.manifest) => {
                    whole(base, builder)?
                }
                _ => base_of(base)?,
            },
        })
    };
    images.iter().map(one).collect()
}

/// A platform that a base has not: there is no `--platform` here to leave it out of.
fn platforms_here(name: &str, error: BuildError) -> BuildError {
    match error.find() {
        Some(BaseImageError::Platform {
            platform, found, ..
        }) => RebaseError::Platform {
            base: name.to_owned(),
            platform: *platform,
            found: found.iter().filter_map(|one| one.parse().ok()).collect(),
        }
        .into(),
        _ => error,
    }
}

/// A builder's file, if the name is that of one, or of a builder that comes with s2r.
fn file(name: &str, settings: &Settings) -> Result<Option<BuilderFile>, BuildError> {
    if let Some(builder) = EmbeddedBuilder::named(name) {
        return Ok(Some(builder.read()?));
    }
    let is_file_name = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    if !is_file_name {
        return Ok(None);
    }
    plan::builder_file(name, settings).map(Some)
}

/// What an image that s2r made stands on itself.
fn base_of(image: &BaseImage) -> Result<NewBase, RebaseError> {
    let (manifest, config) = (&image.manifest, &image.config);
    let standing = BaseRecord::of(manifest, config)
        .map_err(|reason| RebaseError::of_standing(&image.reference, reason))?;
    Ok(NewBase::of_image(manifest, config, &standing))
}

/// All of an image, as it lies beneath those that are built upon it.
fn whole(image: &BaseImage, builder: &ImageBuilder) -> Result<NewBase, BuildError> {
    let (manifest, config) = (&image.manifest, &image.config);
    if manifest.layers.is_empty() {
        let reason = "it has no layers".to_owned();
        return Err(BaseImageError::Unreadable {
            image: image.reference.to_string(),
            document: "manifest",
            reason,
        }
        .into());
    }
    let told = image.known_to(builder).complete(config)?;
    let given = BaseDefaults {
        env: variables::of_builder(&told),
        labels: labels::of_builder(&told),
        ..BaseDefaults::default()
    };
    let ports = told.ports.iter();
    let run = RunConfig {
        user: Some(told.user.clone()),
        exposed_ports: ports
            .map(|port| (format!("{port}/tcp"), EmptyObject {}))
            .collect(),
        entrypoint: (!told.entrypoint.is_empty()).then(|| told.entrypoint.clone()),
        ..RunConfig::default()
    };
    let abi = abi_of(&told);
    let annotations = image.annotations().into_iter().collect();
    let whole = (manifest, config);
    Ok(NewBase::of_whole(whole, given, run, abi, annotations))
}
