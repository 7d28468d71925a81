//! The last step of a push: the manifest is stored under its names.
//!
//! A registry that does not take the manifest's media types gets the same image in the other family's
//! words ([`crate::oci::MediaFamily`]), once, and the user is told: the digest is another one then. A tag
//! that must not change is no failure where it names this very image already.

use std::collections::{BTreeMap, BTreeSet};

use super::{PushRun, PushSummary, PushedBlob};
use crate::destination::registry::PushError;
use crate::net::registry::{RegistryError, RegistryRepository, ServedManifest};
use crate::oci::{Descriptor, Digest, ImageIndex, ImageManifest, MediaFamily, MediaType};
use crate::report::Event;

/// A manifest in one family's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManifestForm {
    pub media_type: MediaType,
    pub bytes: Vec<u8>,
    pub digest: Digest,
}

impl ManifestForm {
    pub(super) fn new(media_type: MediaType, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self {
            media_type,
            bytes,
            digest,
        }
    }

    /// The same image in other words: first in those of its own family throughout, then in the other's.
    fn others(&self) -> Vec<Self> {
        let Ok(manifest) = ImageManifest::from_bytes(&self.bytes) else {
            return Vec::new();
        };
        let families = if self.media_type == MediaType::DockerManifest {
            [MediaFamily::Docker, MediaFamily::Oci]
        } else {
            [MediaFamily::Oci, MediaFamily::Docker]
        };
        let mut forms = Vec::new();
        for family in families {
            let Some(turned) = manifest.in_family(family) else {
                continue;
            };
            let (Some(media_type), Ok(bytes)) = (turned.media_type.clone(), turned.to_bytes())
            else {
                continue;
            };
            // A manifest that is in the family already may only be written differently.
            if turned != manifest {
                forms.push(Self::new(media_type, bytes));
            }
        }
        forms
    }

    /// The form that a registry serves already, if it is one of this image's.
    pub(super) fn served_as(&self, served: &ServedManifest) -> Option<Self> {
        if served.digest == self.digest {
            return Some(self.clone());
        }
        if served.media_type == self.media_type {
            return None;
        }
        let mut others = self.others().into_iter();
        others.find(|form| form.digest == served.digest)
    }
}

impl PushRun<'_> {
    /// Stores the manifest under `names`; gives the form that was stored.
    pub(super) fn name(
        &self,
        form: ManifestForm,
        names: &[String],
        pushed: &mut BTreeMap<Digest, PushedBlob>,
    ) -> Result<ManifestForm, PushError> {
        let error = match self.store(&form, names, pushed) {
            Ok(()) => return Ok(form),
            Err(PushError::Registry(error)) if error.is_about_media_types() => error,
            Err(error) => return Err(error),
        };
        for other in form.others() {
            match self.store(&other, names, pushed) {
                Ok(()) => {
                    self.warn(&form, &other, &error);
                    return Ok(other);
                }
                Err(PushError::Registry(again)) if again.is_about_media_types() => {}
                Err(again) => return Err(again),
            }
        }
        // The reason for the image as it was meant says more than that for the makeshift.
        Err(error.into())
    }

    fn warn(&self, meant: &ManifestForm, stored: &ManifestForm, error: &RegistryError) {
        let kind = match stored.media_type {
            MediaType::DockerManifest => "Docker's media types (version 2, schema 2)",
            _ => "OCI's media types",
        };
        self.report.event(Event::Warning {
            text: format!(
                "{} does not take the image's media types, so it was pushed with {kind}: its digest there is {}, not {} ({error})",
                self.target.registry.full_name(),
                stored.digest,
                meant.digest,
            ),
            hint: "build with the same media types from the start, so that the digest is the same everywhere".to_owned(),
        });
    }

    fn store(
        &self,
        form: &ManifestForm,
        names: &[String],
        pushed: &mut BTreeMap<Digest, PushedBlob>,
    ) -> Result<(), PushError> {
        // What the old manifest promised was not there; now everything is asked for.
        let send_all = || -> Result<(), PushError> {
            pushed.append(&mut self.blobs(&BTreeSet::new())?);
            Ok(())
        };
        store(self.target.registry, form, names, send_all)
    }
}

/// Stores an index under `tags`, after its images. Where the registry took some of them only in another
/// form, `pushed` tells it, by the digest that the index has for them; the index then names what is
/// there. Gives the digest of what was stored.
pub(crate) fn push_index(
    index: &[u8],
    media_type: &MediaType,
    pushed: &BTreeMap<Digest, PushSummary>,
    registry: &RegistryRepository<'_>,
    tags: &[String],
) -> Result<Digest, PushError> {
    let meant = ManifestForm::new(media_type.clone(), index.to_vec());
    let form = turned(&meant, pushed).unwrap_or(meant);
    store(registry, &form, tags, || Ok(()))?;
    Ok(form.digest)
}

/// The index over images that have other digests now; `None` where none has.
fn turned(meant: &ManifestForm, pushed: &BTreeMap<Digest, PushSummary>) -> Option<ManifestForm> {
    let (_, other) = pushed
        .iter()
        .find(|(digest, pushed)| **digest != pushed.digest)?;
    let family = match other.media_type {
        MediaType::DockerManifest => MediaFamily::Docker,
        _ => MediaFamily::Oci,
    };
    let entry = |entry: &Descriptor| {
        let pushed = pushed.get(&entry.digest)?;
        Some(Descriptor {
            media_type: pushed.media_type.clone(),
            digest: pushed.digest,
            size: pushed.manifest_bytes,
            ..entry.clone()
        })
    };
    let index = ImageIndex::from_bytes(&meant.bytes).ok()?;
    let index = index.in_family(family, entry)?;
    Some(ManifestForm::new(
        index.media_type.clone()?,
        index.to_bytes().ok()?,
    ))
}

/// Stores a manifest under `names`. `send_all` has all blobs there that it names; it is called where the
/// registry misses one.
fn store(
    registry: &RegistryRepository<'_>,
    form: &ManifestForm,
    names: &[String],
    mut send_all: impl FnMut() -> Result<(), PushError>,
) -> Result<(), PushError> {
    let (digests, tags): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| name.starts_with("sha256:"));
    let mut left: Vec<String> = tags.into_iter().cloned().collect();
    // One that was turned is found by the digest that it has now.
    if !digests.is_empty() {
        left.insert(0, form.digest.to_string());
    } else if left.len() > 1 {
        // Whatever goes wrong here goes wrong again below, one tag at a time.
        let set = registry
            .put_tags(&form.digest, &left, &form.media_type, &form.bytes)
            .unwrap_or_default();
        left.retain(|tag| !set.contains(tag));
    }
    for name in &left {
        let put = || registry.put_manifest(name, &form.media_type, &form.bytes);
        let outcome = match put() {
            Err(error) if error.says("MANIFEST_BLOB_UNKNOWN") => {
                send_all()?;
                put()
            }
            outcome => outcome,
        };
        match outcome {
            Err(error) if error.is_about_immutability() => {
                bear_immutable(registry, form, name, error)?;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

/// A tag that cannot be changed need not be, if it names this image already.
fn bear_immutable(
    registry: &RegistryRepository<'_>,
    form: &ManifestForm,
    name: &str,
    error: RegistryError,
) -> Result<(), PushError> {
    let found = registry.head_manifest(name).ok().flatten();
    let found = found.map(|head| head.digest);
    if found == Some(form.digest) {
        return Ok(());
    }
    Err(PushError::Immutable {
        name: format!("{}:{name}", registry.full_name()),
        found,
        expected: form.digest,
        source: Box::new(error),
    })
}
