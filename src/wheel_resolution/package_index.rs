//! The package index, asked by way of the HTTP client, and pip's own wheel from it.

use std::collections::BTreeMap;
use std::io;

use crate::layer_cache::{DownloadError, MAX_DOWNLOAD_BYTES, StoreFetcher, again};
use crate::layer_recipes::revealed;
use crate::net::http::{ExpectedDownload, HttpError};
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::{PackageName, PackageUrl, WheelFileName};
use crate::plan::builder::PipWheel;
use crate::report::BuildError;
use crate::resolve::wheels::{
    GetRequest, GetResponse, IndexFetch, IndexFetchError, IndexSettings, KeptFile, LockedWheel,
    WheelLocation, find_tool,
};
use crate::store::FileState;

/// pip's own wheel, as the builder pins it, with its address on the index.
///
/// # Errors
/// The index cannot be asked, or does not have it.
pub(crate) fn pip(
    pip: &PipWheel,
    environment: &BTreeMap<String, String>,
    fetcher: &StoreFetcher<'_>,
    is_needed: bool,
) -> Result<Option<LockedWheel>, BuildError> {
    let nowhere = || DownloadError::Nowhere {
        name: pip.filename.clone(),
    };
    let name: PackageName = "pip".parse().map_err(|_| nowhere())?;
    let file_name: WheelFileName = pip.filename.parse().map_err(|_| nowhere())?;
    let sha256 = Digest::from_bytes(pip.sha256.0);
    let indexes = IndexSettings::new(
        &crate::packages::python::IndexOptions::default(),
        environment,
    )?;
    // The index is asked only for what has to be fetched.
    let (url, size_bytes) = if is_needed {
        let indexes = indexes.of_tools(environment);
        let found = find_tool(&PackageIndex(fetcher), &indexes, &name, &[&pip.filename])?;
        let found = found.ok_or_else(|| DownloadError::NoPip {
            name: pip.filename.clone(),
            indexes: indexes
                .all()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        (found.url, found.size_bytes)
    } else {
        let Some(index) = indexes.all().next() else {
            return Ok(None);
        };
        (index.clone(), None)
    };
    Ok(Some(LockedWheel {
        name,
        version: file_name.version.clone(),
        file_name,
        location: WheelLocation::Remote(url),
        sha256,
        size_bytes,
    }))
}

/// A package index, asked by way of the HTTP client.
pub(crate) struct PackageIndex<'a>(pub(crate) &'a StoreFetcher<'a>);

impl PackageIndex<'_> {
    /// A download of the store, by its digest.
    fn kept(&self, digest: &Digest) -> Result<KeptFile, IndexFetchError> {
        let path = self.0.store.download_path(digest);
        let found = std::fs::metadata(&path).map_err(local)?;
        Ok(KeptFile {
            path,
            sha256: Sha256(*digest.as_bytes()),
            size_bytes: found.len(),
        })
    }
}

impl IndexFetch for PackageIndex<'_> {
    fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError> {
        let response = self
            .0
            .client
            .get(
                request.url.reveal().reveal(),
                &[("accept", request.accept)],
                request.max_bytes,
            )
            .map_err(|error| failure(&error, request.max_bytes))?;
        Ok(GetResponse {
            final_url: response.final_url.to_string(),
            body: Box::new(io::Cursor::new(response.body)),
        })
    }

    /// The file is one of the store's downloads afterwards: what is looked at now is not fetched again for a layer.
    fn file(&self, url: &PackageUrl, sha256: Option<Sha256>) -> Result<KeptFile, IndexFetchError> {
        let store = self.0.store;
        let listed = sha256.map(|sha256| Digest::from_bytes(sha256.0));
        if let Some(digest) = listed {
            let state = store.drop_damaged_download(&digest).map_err(local)?;
            match state {
                FileState::Sound => return self.kept(&digest),
                FileState::Dropped => self.0.report.event(again(&digest, state)),
                FileState::Missing => {}
            }
        }
        let mut writer = store.writer().map_err(local)?.unhashed();
        let expect = ExpectedDownload {
            sha256: sha256.map(|sha256| sha256.0),
            size: None,
            max_bytes: MAX_DOWNLOAD_BYTES,
        };
        let url = revealed(url);
        let url = url.split('#').next().unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default();
        let fetched = self
            .0
            .fetch_shown(url, name, &mut writer, &expect)
            .map_err(|error| failure(&error, MAX_DOWNLOAD_BYTES))?;
        let found = Digest::from_bytes(fetched.sha256);
        store
            .keep_download(writer.hashed(found), &found)
            .map_err(local)?;
        self.kept(&found)
    }
}

fn local(error: impl std::fmt::Display) -> IndexFetchError {
    IndexFetchError::Local(error.to_string())
}

fn failure(error: &HttpError, max_bytes: u64) -> IndexFetchError {
    match error {
        HttpError::Offline { .. } => IndexFetchError::Offline,
        HttpError::TooLarge { .. } => IndexFetchError::TooLarge(max_bytes),
        HttpError::Local { source, .. } => IndexFetchError::Local(source.to_string()),
        other => match other.status() {
            Some(status) => IndexFetchError::Status(status),
            None => IndexFetchError::Unreachable(other.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::TestBuild;
    use crate::net::testing::{Answer, Server};

    #[test]
    fn a_file_that_was_looked_at_is_a_download_and_is_fetched_once() {
        let server = Server::start(|seen| match &*seen.target {
            "/x.whl" => Answer::new(200, "wheel"),
            _ => Answer::new(404, ""),
        });
        let build = TestBuild::of(&[("app.py", "print('x')\n")], &["APP_FILE=app.py"]);
        build.run(|context| {
            let fetcher = context.fetcher();
            let index = PackageIndex(&fetcher);
            let url = |path: &str| PackageUrl::parse(&server.url(path)).unwrap();
            let digest = Digest::of(b"wheel");
            let listed = Sha256(*digest.as_bytes());
            let kept = index.file(&url("/x.whl"), None).unwrap();
            assert_eq!((kept.sha256, kept.size_bytes), (listed, 5));
            assert_eq!(kept.path, context.store.download_path(&digest));
            index.file(&url("/x.whl"), Some(listed)).unwrap();
            assert_eq!(server.lines(), ["GET /x.whl"]);
            // One that has been damaged since is fetched again.
            std::fs::write(&kept.path, "wheez").unwrap();
            index.file(&url("/x.whl#sha256=0"), Some(listed)).unwrap();
            assert_eq!(server.lines().len(), 2);
            assert_eq!(std::fs::read(&kept.path).unwrap(), b"wheel");
            // Bytes that are not those of the list are not kept.
            let other = Digest::of(b"other");
            let told = index.file(&url("/x.whl"), Some(Sha256(*other.as_bytes())));
            assert!(told.is_err());
            assert!(!context.store.download_path(&other).exists());
            let gone = index.file(&url("/gone.whl"), None);
            assert!(matches!(gone, Err(IndexFetchError::Status(404))));
        });
        assert!(build.warnings()[0].contains("was damaged in the store"));
    }
}
