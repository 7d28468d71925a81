//! How far an image is behind its base: what the base's name stands for now, or which newer packages a
//! build here has heard of. Manifests and configs are read, layers never.

use std::time::Duration;

use super::rebase::{ImageLookup, RebaseError};
use crate::base::base_image_lookup::BaseImageError;
use crate::base::resolved_packages;
use crate::context::base_manifest::BaseImage;
use crate::context::settings::{NetworkRules, Settings};
use crate::image::{BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, BaseRecord};
use crate::oci::{Descriptor, Digest, ImageConfig, ImageManifest, MediaType, Reference};
use crate::packages::debian::DebianVersion;
use crate::plan::builder::{BaseDefinition, EmbeddedBuilder};
use crate::plan::labels::BUILDER_LABEL;
use crate::report::{BuildError, Report};
use crate::store::Store;

/// An image, and how it stands to its base now.
#[derive(Debug)]
pub(crate) struct BaseStatusReport {
    /// The manifest or index.
    pub digest: Digest,
    pub platforms: Vec<PlatformStatus>,
}

/// One platform of it.
#[derive(Debug)]
pub(crate) struct PlatformStatus {
    pub entry: Descriptor,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
    pub behind: BaseStatus,
}

/// How an image stands to its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BaseStatus {
    /// It has the base that the name stands for now.
    UpToDate,
    /// The name of the base stands for another image now.
    Image {
        now: Digest,
        layers: usize,
        /// Those of them that the image does not stand on.
        differing: usize,
        /// How many days it was created after the base that the image has, where both tell.
        days: Option<i64>,
    },
    /// The name of the base stands for nothing now.
    Gone,
    /// The base was named by its digest, which stands for one image for ever.
    Pinned,
    /// The base is packages, and these the suite had newer ones of when a build here asked it; none may be.
    Packages {
        /// How long ago that was.
        asked: Duration,
        /// Packages that were compared.
        compared: usize,
        /// Name, version in the image, newer version.
        newer: Vec<(String, String, String)>,
    },
    /// The base is packages, and no build here has asked for those of today.
    NotKnown,
    /// The image does not tell what it stands on.
    NotTold,
}

/// Looks an image up, in the store or else in its registry, and asks for its base.
///
/// # Errors
/// No such image; the registry's.
pub(crate) fn look(
    image: &Reference,
    settings: &Settings,
    report: &dyn Report,
) -> Result<BaseStatusReport, BuildError> {
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let client = crate::context::client::new(settings, report);
    let desk = ImageLookup {
        store: &store,
        client: &client,
        rules: NetworkRules {
            refresh: true,
            ..settings.rules
        },
    };
    let images = desk.image(image, false)?;
    let Some(digest) = images.first().map(|image| image.digest) else {
        let image = image.to_string();
        return Err(RebaseError::NoImage { image }.into());
    };
    let platforms = images.into_iter().map(|image| {
        Ok(PlatformStatus {
            behind: behind(&image, &desk)?,
            entry: entry(&image, &store)?,
            manifest: image.manifest,
            config: image.config,
        })
    });
    let platforms = platforms.collect::<Result<Vec<_>, BuildError>>()?;
    crate::context::client::say_warnings(&client, report);
    Ok(BaseStatusReport { digest, platforms })
}

/// The descriptor of a platform's manifest, with its platform.
fn entry(image: &BaseImage, store: &Store) -> Result<Descriptor, BuildError> {
    let bytes = store.read_blob(&image.manifest_digest)?;
    let media_type = MediaType::Manifest.in_family(crate::image::family_of(&image.manifest));
    let mut entry = Descriptor::of(media_type.unwrap_or(MediaType::Manifest), &bytes);
    entry.platform = Some(image.platform.into());
    Ok(entry)
}

fn behind(image: &BaseImage, desk: &ImageLookup<'_>) -> Result<BaseStatus, BuildError> {
    let notes = &image.manifest.annotations;
    let Ok(standing) = BaseRecord::of(&image.manifest, &image.config) else {
        return Ok(BaseStatus::NotTold);
    };
    let name = notes.get(BASE_NAME_ANNOTATION);
    let digest = notes.get(BASE_DIGEST_ANNOTATION);
    let (Some(name), Some(digest)) = (name, digest) else {
        return Ok(packages(image, desk.store));
    };
    let (Ok(base), Ok(digest)) = (name.parse::<Reference>(), digest.parse::<Digest>()) else {
        return Ok(BaseStatus::NotTold);
    };
    if base.digest().is_some() {
        return Ok(BaseStatus::Pinned);
    }
    let finder = desk.finder();
    let now = match finder.ask(&base) {
        Ok(now) => now,
        Err(error) => {
            return match error.find() {
                Some(BaseImageError::NotFound { .. }) => Ok(BaseStatus::Gone),
                _ => Err(error),
            };
        }
    };
    if now == digest {
        return Ok(BaseStatus::UpToDate);
    }
    let newer = finder.find(&base, Some(now), &[image.platform])?;
    let Some(newer) = newer.first() else {
        return Ok(BaseStatus::Gone);
    };
    let old: Vec<Digest> = image
        .manifest
        .layers
        .iter()
        .take(standing.layers)
        .map(|layer| layer.digest)
        .collect();
    let layers = &newer.manifest.layers;
    let differing = layers
        .iter()
        .filter(|layer| !old.contains(&layer.digest))
        .count();
    if differing == 0 && layers.len() == old.len() {
        // Another platform's part is another, or the config's words.
        return Ok(BaseStatus::UpToDate);
    }
    // The old one may be gone from its registry, and then this is not told.
    let old = finder.find(&base, Some(digest), &[image.platform]).ok();
    let created = |image: &BaseImage| day(image.config.created.as_deref()?);
    let before = old.as_ref().and_then(|images| created(images.first()?));
    let days = created(newer).and_then(|after| Some(after - before?));
    Ok(BaseStatus::Image {
        now,
        layers: layers.len(),
        differing,
        days,
    })
}

/// The packages of the base beside those that the store knows of the image's builder.
fn packages(image: &BaseImage, store: &Store) -> BaseStatus {
    let listed = crate::image::packages(&image.manifest.annotations);
    let name = image.config.config.labels.get(BUILDER_LABEL);
    let builder = name.and_then(|name| EmbeddedBuilder::named(name)?.definition());
    let Some(BaseDefinition::Debian(base)) = builder.map(|builder| builder.base) else {
        return BaseStatus::NotKnown;
    };
    let Some((asked, known)) = resolved_packages::known(&base, image.platform.architecture, store)
    else {
        return BaseStatus::NotKnown;
    };
    let version = |text: &str| text.parse::<DebianVersion>().ok();
    let both = known
        .iter()
        .filter_map(|deb| Some((deb, *listed.get(deb.package.as_str())?)));
    let both: Vec<_> = both.collect();
    let newer: Vec<(String, String, String)> = both
        .iter()
        .filter(|(deb, old)| version(old) < version(&deb.version))
        .map(|(deb, old)| (deb.package.clone(), (*old).to_owned(), deb.version.clone()))
        .collect();
    BaseStatus::Packages {
        asked,
        compared: both.len(),
        newer,
    }
}

/// The days since 1970 of a time as configs hold it (RFC 3339), by the days-from-civil method.
fn day(time: &str) -> Option<i64> {
    let mut numbers = time
        .get(..10)?
        .splitn(3, '-')
        .map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    // Years that begin in March, so that a leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::oci::{DiffId, RootFs, RunConfig};
    use crate::packages::Sha256;
    use crate::packages::debian::DebArtefact;
    use crate::pipeline::base_status::*;

    /// An image of the default builder with these packages in its base.
    fn image(packages: &str) -> BaseImage {
        let config = ImageConfig {
            created: None,
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            config: RunConfig {
                labels: [(BUILDER_LABEL.to_owned(), "python-3.13".to_owned())].into(),
                ..RunConfig::default()
            },
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![DiffId::from_bytes([1; 32])],
            },
            history: Vec::new(),
            other: BTreeMap::new(),
        };
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: None,
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![Descriptor::of(MediaType::LayerGzip, b"layer")],
            annotations: [(
                crate::image::BASE_PACKAGES_ANNOTATION.to_owned(),
                packages.to_owned(),
            )]
            .into(),
        };
        BaseImage {
            reference: "app".parse().unwrap(),
            digest: Digest::of(b"app"),
            manifest_digest: Digest::of(b"app"),
            platform: "linux/amd64".parse().unwrap(),
            manifest,
            config,
        }
    }

    #[test]
    fn packages_are_held_against_what_the_suite_had() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let of_image = image("bash=5.2-1 openssl=3.5.1-1 project=1");
        assert_eq!(packages(&of_image, &store), BaseStatus::NotKnown);
        let builder = crate::plan::builder::embedded()[0].definition().unwrap();
        let BaseDefinition::Debian(base) = &builder.base else {
            panic!("the default builder is one of packages");
        };
        let deb = |package: &str, version: &str| DebArtefact {
            package: package.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            url: format!("http://mirror.invalid/{package}.deb"),
            snapshot_url: None,
            sha256: Sha256([0; 32]),
            size: 1,
        };
        let known = [
            deb("bash", "5.2-1"),
            deb("new", "1"),
            deb("openssl", "3.5.10-1"),
        ];
        let architecture = of_image.platform.architecture;
        resolved_packages::remember(
            (base, resolved_packages::RecordValidity::Valid),
            architecture,
            &known,
            &store,
        )
        .unwrap();
        let BaseStatus::Packages {
            compared, newer, ..
        } = packages(&of_image, &store)
        else {
            panic!("the suite is known");
        };
        assert_eq!(compared, 2);
        let expected = ["openssl", "3.5.1-1", "3.5.10-1"].map(str::to_owned);
        assert_eq!(newer, [expected.into()]);
        let mut other = of_image;
        other.config.config.labels.clear();
        assert_eq!(packages(&other, &store), BaseStatus::NotKnown);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59Z", Some(11_016)),
            ("2000-03-01T00:00:00.5+02:00", Some(11_017)),
            ("2100-01-01", Some(47_482)),
            ("0001-01-01T00:00:00Z", Some(-719_162)),
            ("2000-13-01T", None),
            ("yesterday", None),
            ("2000-1é-01", None),
            ("", None),
        ] {
            assert_eq!(day(time), expected, "{time}");
        }
    }
}
