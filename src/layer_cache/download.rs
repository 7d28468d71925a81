//! Downloads into the store: checked while they arrive, kept only when they are whole and right.

use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::net::http::{Client, DownloadSummary, ExpectedDownload, HttpError};
use crate::oci::Digest;
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, Report};
use crate::source::{SourceKind, SourceTree};
use crate::store::{FileState, Store, StoreError};

/// The largest file that is fetched: the largest wheels of the field are some 2 GB.
pub(crate) const MAX_DOWNLOAD_BYTES: u64 = 16 << 30;

/// Downloads under way at once. Mirrors and indexes serve one connection slower than a line carries.
pub(crate) const DOWNLOADS: usize = 6;

/// A file that a layer is made of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Download {
    /// Its name, for people.
    pub name: String,
    pub digest: Digest,
    /// Its length in bytes, where known.
    pub size_bytes: Option<u64>,
    /// Where it is to be had; the first is asked first.
    pub origins: Vec<DownloadOrigin>,
}

/// Where a file is to be had.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum DownloadOrigin {
    /// By HTTP; the url may hold credentials.
    Url(String),
    /// A file of the project, by its path there.
    Source(String),
}

/// Numbers the transfers of a run.
#[derive(Debug, Default)]
pub(crate) struct TransferIds(AtomicU64);

impl TransferIds {
    pub(crate) fn next(&self) -> crate::report::TransferId {
        crate::report::TransferId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A file that is pinned cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// It has no address.
    #[error("the lock does not say where {name} comes from")]
    Nowhere { name: String },
    /// The indexes do not have the pip that goes into the image.
    #[error("{name} is in none of the package indexes")]
    NoPip {
        name: String,
        /// The indexes, without logins.
        indexes: String,
    },
    /// It was built here before, and its file was damaged since.
    #[error("{name} was damaged in the store")]
    Lost { name: String, digest: Digest },
    /// The source does not hold it.
    #[error("{path} is no file of the source")]
    NoFile {
        /// Its path in the source.
        path: String,
    },
    /// The file of the source is not the one in the lock.
    #[error("{path}: expected {expected}, found {found}")]
    OtherFile {
        /// Its path in the source.
        path: String,
        expected: Digest,
        found: Digest,
    },
}

impl Explain for DownloadError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Nowhere { name } => Explanation {
                class: ErrorClass::Project,
                what: format!("the lock does not say where {name} comes from"),
                place: name.clone(),
                why: "it has neither a URL nor a path".to_owned(),
                next: "write the lock again with `s2r lock SOURCE`".to_owned(),
            },
            Self::NoPip { name, indexes } => Explanation {
                class: ErrorClass::World,
                what: self.to_string(),
                place: indexes.clone(),
                why: "the builder puts this pip into the image, and takes it from the index of the packages".to_owned(),
                next: format!(
                    "put {name} into that index, or name one that has it in PIP_EXTRA_INDEX_URL"
                ),
            },
            Self::Lost { name, digest } => Explanation {
                class: ErrorClass::World,
                what: "a wheel that was built here was damaged in the store".to_owned(),
                place: name.clone(),
                why: format!("its bytes were not those of {digest}; they were dropped"),
                next: "run the command again: the wheel is built anew".to_owned(),
            },
            Self::NoFile { path } => Explanation {
                class: ErrorClass::Project,
                what: "the source does not have a wheel that the lock names".to_owned(),
                place: path.clone(),
                why: "it is no file of the source, or a link that leads out of it".to_owned(),
                next: "put it there, or write the lock again with `s2r lock SOURCE`".to_owned(),
            },
            Self::OtherFile {
                path,
                expected,
                found,
            } => Explanation {
                class: ErrorClass::Project,
                what: "a wheel of the source is not the one in the lock".to_owned(),
                place: path.clone(),
                why: format!("the lock says {expected}, the file is {found}"),
                next: "restore the file, or write the lock again with `s2r lock SOURCE`".to_owned(),
            },
        }
    }
}

/// Fetches files into the store.
pub(crate) struct StoreFetcher<'a> {
    pub client: &'a Client,
    pub store: &'a Store,
    /// The project's files, for wheels among them.
    pub tree: &'a SourceTree,
    pub report: &'a dyn Report,
    pub ids: &'a TransferIds,
}

impl StoreFetcher<'_> {
    /// Has the file in the store's downloads, with the right bytes: one that is there is read. Zips are read
    /// here and there, and not all that they say is under their checksums, so that this takes a pass of its
    /// own. Tells whether the file was fetched.
    ///
    /// # Errors
    /// The last place's failure, when none of its places has it with the right hash.
    pub(crate) fn fetch(&self, needed: &Download) -> Result<bool, BuildError> {
        let state = self.store.drop_damaged_download(&needed.digest)?;
        if state == FileState::Sound {
            return Ok(false);
        }
        let was_damaged = state == FileState::Dropped;
        let name = needed.name.clone();
        let digest = needed.digest;
        let mut outcome = if was_damaged && needed.origins.is_empty() {
            Err(DownloadError::Lost { name, digest }.into())
        } else {
            Err(DownloadError::Nowhere { name }.into())
        };
        if was_damaged && !needed.origins.is_empty() {
            self.report.event(again(&digest, state));
        }
        for origin in &needed.origins {
            outcome = match origin {
                DownloadOrigin::Url(url) => self.fetch_from(url, needed),
                DownloadOrigin::Source(path) => self.copy_from(path, needed),
            };
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| true)
    }

    fn fetch_from(&self, url: &str, needed: &Download) -> Result<(), BuildError> {
        // The client hashes what arrives, so the store need not do it again.
        let mut writer = self.store.writer()?.unhashed();
        let expect = ExpectedDownload {
            sha256: Some(*needed.digest.as_bytes()),
            size: needed.size_bytes,
            max_bytes: MAX_DOWNLOAD_BYTES,
        };
        let fetched = self.fetch_shown(url, &needed.name, &mut writer, &expect)?;
        let found = Digest::from_bytes(fetched.sha256);
        self.store
            .keep_download(writer.hashed(found), &needed.digest)?;
        Ok(())
    }

    /// Has several files in the store's downloads, some at once.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn fetch_all(&self, needs: &[Download]) -> Result<(), BuildError> {
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..DOWNLOADS.min(needs.len()) {
                scope.spawn(|| {
                    while let Some(needed) = needs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.fetch(needed) {
                            let mut failure =
                                failure.lock().unwrap_or_else(PoisonError::into_inner);
                            failure.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// Fetches a file whose hash nobody told, keeps it, and tells its hash.
    ///
    /// # Errors
    /// The client's.
    pub(crate) fn fetch_any(&self, url: &str, name: &str) -> Result<Digest, BuildError> {
        let mut writer = self.store.writer()?.unhashed();
        let expect = ExpectedDownload {
            sha256: None,
            size: None,
            max_bytes: MAX_DOWNLOAD_BYTES,
        };
        let fetched = self.fetch_shown(url, name, &mut writer, &expect)?;
        let found = Digest::from_bytes(fetched.sha256);
        self.store.keep_download(writer.hashed(found), &found)?;
        Ok(found)
    }

    /// Takes a wheel out of the project's own files, within their bounds.
    fn copy_from(&self, path: &str, needed: &Download) -> Result<(), BuildError> {
        let missing = || DownloadError::NoFile {
            path: path.to_owned(),
        };
        let entry = self.tree.follow(path.as_bytes()).ok_or_else(missing)?;
        if !matches!(entry.kind, SourceKind::File { .. }) {
            return Err(missing().into());
        }
        let mut file = self.tree.open(entry)?;
        let mut writer = self.store.writer()?;
        std::io::copy(&mut file, &mut writer).map_err(|error| file.explain(error))?;
        match self.store.keep_download(writer, &needed.digest) {
            Err(StoreError::Mismatch {
                expected, found, ..
            }) => Err(DownloadError::OtherFile {
                path: path.to_owned(),
                expected,
                found,
            }
            .into()),
            kept => Ok(kept?),
        }
    }

    /// Downloads into a writer, and tells of it.
    ///
    /// # Errors
    /// The client's.
    pub(crate) fn fetch_shown(
        &self,
        url: &str,
        name: &str,
        sink: &mut dyn Write,
        expect: &ExpectedDownload,
    ) -> Result<DownloadSummary, HttpError> {
        let id = self.ids.next();
        self.report.event(Event::TransferStarted {
            id,
            name: name.to_owned(),
            total_bytes: expect.size,
        });
        let fetched = self.client.fetch_to(url, sink, expect, &|done_bytes| {
            self.report
                .event(Event::TransferAdvanced { id, done_bytes });
        });
        self.report.event(Event::TransferFinished { id });
        fetched
    }
}

#[cfg(test)]
crate::report::samples! {
    enum DownloadError {
        Nowhere { name: "flask-3.1.0-py3-none-any.whl".into() },
        NoPip { name: "pip-25.3-py3-none-any.whl".into(), indexes: "https://pypi.example.com/simple".into() },
        Lost { name: "uwsgi-2.0.30-cp313-cp313-linux_x86_64.whl".into(), digest: Digest::of(b"a") },
        NoFile { path: "wheels/flask-3.1.0-py3-none-any.whl".into() },
        OtherFile {
            path: "wheels/flask-3.1.0-py3-none-any.whl".into(),
            expected: Digest::of(b"a"),
            found: Digest::of(b"b"),
        },
    }
}

/// What is said of something that was not as it should be.
pub(crate) fn again(digest: &Digest, state: FileState) -> Event {
    let what = match state {
        FileState::Missing => "missing",
        FileState::Sound | FileState::Dropped => "damaged",
    };
    Event::Warning {
        text: format!("{digest} was {what} in the store; it is made or fetched again"),
        hint: String::new(),
    }
}
