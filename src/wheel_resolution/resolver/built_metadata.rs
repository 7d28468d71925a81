//! What wheels that were built here require, by their own metadata.

use std::path::Path;

use crate::archive::zip::ZipArchive;
use crate::context::build_context::Context;
use crate::layer_cache::DownloadError;
use crate::oci::Digest;
use crate::packages::python::WheelFileName;
use crate::report::BuildError;
use crate::resolve::wheels::WheelLock;
use crate::store::FileState;

/// Longest metadata of a wheel that are read.
const MAX_METADATA_BYTES: u64 = 1 << 20;

impl Context<'_> {
    /// What the project's own wheel requires, if the image gets one.
    ///
    /// # Errors
    /// It was damaged in the store; the disk's.
    pub(crate) fn own_requires(&self, lock: &WheelLock) -> Result<Option<String>, BuildError> {
        let Some(own) = lock.packages.iter().find(|wheel| wheel.is_own()) else {
            return Ok(None);
        };
        self.requires_of(&own.file_name, &own.sha256)
    }

    /// What a built wheel of the store requires, if it is there.
    pub(super) fn requires_of(
        &self,
        name: &WheelFileName,
        wheel: &Digest,
    ) -> Result<Option<String>, BuildError> {
        match self.store.drop_damaged_download(wheel)? {
            FileState::Sound => Ok(self.required_headers(&self.store.download_path(wheel))),
            FileState::Missing => Ok(None),
            FileState::Dropped => Err(DownloadError::Lost {
                name: name.to_string(),
                digest: *wheel,
            }
            .into()),
        }
    }

    /// The headers of a wheel's metadata that say what it requires, in order.
    fn required_headers(&self, wheel: &Path) -> Option<String> {
        let archive = ZipArchive::open(wheel, self.settings.rules.unpacked).ok()?;
        let member = archive
            .members()
            .iter()
            .find(|member| member.name.ends_with(".dist-info/METADATA"))?;
        let bytes = archive.read(member, MAX_METADATA_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let headers = text.lines().take_while(|line| !line.is_empty());
        let mut requires: Vec<&str> = headers
            .filter(|line| {
                line.split_once(':').is_some_and(|(name, _)| {
                    ["Requires-Dist", "Requires-Python", "Provides-Extra"].contains(&name)
                })
            })
            .collect();
        requires.sort_unstable();
        Some(requires.join("\n"))
    }
}
