//! Having the source on disk: the user's own folder as it is, everything else in a private folder of
//! the store that is gone when the command ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::archive::UnpackedBound;
use crate::host::TempFolder;
use crate::layer_cache::TransferIds;
use crate::net::http::ExpectedDownload;
use crate::oci::{Digest, KeyBuilder};
use crate::plan::PlanRequest;
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, Report};
use crate::source::git::{self, without_credentials};
use crate::source::location::{GitReference, GitRepository, SecretUrl, SourceLocation};
use crate::source::unpack::{self, ArchiveSourceError, UnpackRequest};
use crate::store::{FileState, Store, StoreError, StoreLock};

/// Longest archive that is fetched.
const MAX_ARCHIVE_BYTES: u64 = 4 << 30;
/// The name of the folder with the files, below a private one.
const FILES: &str = "source";

/// A source on disk.
pub(crate) struct FetchedSource {
    /// The folder with the files.
    pub folder: PathBuf,
    /// What messages call it, unless it is the user's own.
    pub shown: Option<PathBuf>,
    /// What is known of the commit, unless it is the user's own folder.
    pub git: Option<git::CheckoutFacts>,
    _private: Option<PrivateFolder>,
}

/// A folder of the store's for this command alone.
struct PrivateFolder {
    folder: TempFolder,
    store: Store,
    /// Nothing is pruned meanwhile.
    _in_use: StoreLock,
}

impl PrivateFolder {
    fn new(settings: &Settings) -> Result<Self, BuildError> {
        let store = Store::open(&settings.store_root)?;
        let in_use = store.in_use()?;
        let folder = store.temp_folder("source-")?;
        let files = folder.path().join(FILES);
        std::fs::create_dir(&files).map_err(|source| StoreError::Io {
            path: files,
            source,
        })?;
        Ok(Self {
            folder,
            store,
            _in_use: in_use,
        })
    }

    /// Where the files go.
    fn files(&self) -> PathBuf {
        self.folder.path().join(FILES)
    }

    fn with(self, shown: PathBuf, git: Option<git::CheckoutFacts>) -> FetchedSource {
        FetchedSource {
            folder: self.files(),
            shown: Some(shown),
            git,
            _private: Some(self),
        }
    }
}

impl FetchedSource {
    /// Has what the request names on disk.
    pub(crate) fn of(
        request: &PlanRequest,
        settings: &Settings,
        report: &dyn Report,
    ) -> Result<Self, BuildError> {
        let reference = request.reference.as_deref();
        match SourceLocation::parse(&request.source, reference, &settings.directory)? {
            SourceLocation::Folder(folder) => Ok(Self {
                folder,
                shown: None,
                git: None,
                _private: None,
            }),
            SourceLocation::Revision {
                checkout,
                reference,
            } => revision(&checkout, &reference, settings),
            SourceLocation::Git(repository) => fetched(&repository, settings, report),
            SourceLocation::Archive { path, sha256 } => {
                UnpackedArchive::new(request, settings, report)?
                    .unpacked(|unpacking| Ok(unpacking.file(&path, sha256.as_ref())?))
            }
            SourceLocation::ArchiveUrl { url, sha256 } => {
                downloaded(&url, sha256, request, settings, report)
            }
            SourceLocation::Stdin => {
                let stdin = std::io::stdin().lock();
                if stdin.is_terminal() {
                    return Err(ArchiveSourceError::Terminal.into());
                }
                UnpackedArchive::new(request, settings, report)?
                    .unpacked(|unpacking| Ok(unpacking.stream(stdin)?))
            }
        }
    }

    /// The folder that holds all that the project may name: the git checkout around a user's folder, or else the source
    /// itself.
    pub(crate) fn surroundings(&self) -> PathBuf {
        let given = std::fs::canonicalize(&self.folder);
        let given = given.unwrap_or_else(|_| self.folder.clone());
        let mut parents = given.ancestors();
        let checkout = parents.find(|folder| self.is_users() && git::is_checkout(folder));
        checkout.map_or_else(|| given.clone(), Path::to_owned)
    }

    /// Whether it is the user's own folder, which locks may be written to.
    pub(crate) fn is_users(&self) -> bool {
        self.shown.is_none()
    }
}

/// Locks are written into the source, and this one is no folder.
#[derive(Debug, thiserror::Error)]
#[error("{shown} is no folder")]
pub(crate) struct NoFolder {
    /// The source, without password.
    pub shown: String,
}

impl Explain for NoFolder {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::CommandLine,
            what: "locks are written into the project's folder, and this is none".to_owned(),
            place: self.shown.clone(),
            why: "what is fetched or unpacked for a command is gone after it".to_owned(),
            next: "clone or unpack it, run `s2r lock FOLDER` there, and commit the locks"
                .to_owned(),
        }
    }
}

/// Sees to it that there will be a folder to write locks into.
pub(crate) fn check_is_folder(
    request: &PlanRequest,
    settings: &Settings,
) -> Result<(), BuildError> {
    let reference = request.reference.as_deref();
    match SourceLocation::parse(&request.source, reference, &settings.directory)? {
        SourceLocation::Folder(_) => Ok(()),
        _ => Err(NoFolder {
            shown: without_credentials(&request.source.to_string_lossy()),
        }
        .into()),
    }
}

/// A commit of a checkout on this machine.
fn revision(
    checkout: &Path,
    reference: &GitReference,
    settings: &Settings,
) -> Result<FetchedSource, BuildError> {
    let private = PrivateFolder::new(settings)?;
    let facts = git::revision::lay_out(
        checkout,
        reference,
        &private.folder.path().join("repository"),
        &private.files(),
        &for_git(&settings.variables),
    )?;
    let mut shown = checkout.as_os_str().to_owned();
    shown.push("#");
    shown.push(reference.as_str());
    Ok(private.with(shown.into(), Some(facts)))
}

/// A commit of a repository elsewhere.
fn fetched(
    repository: &GitRepository,
    settings: &Settings,
    report: &dyn Report,
) -> Result<FetchedSource, BuildError> {
    let private = PrivateFolder::new(settings)?;
    let facts = fetch(
        repository,
        settings,
        &private.store,
        &private.files(),
        report,
    )?;
    let shown = PathBuf::from(without_credentials(&repository.address));
    Ok(private.with(shown, Some(facts)))
}

/// Lays a commit of a repository elsewhere out in a folder.
fn fetch(
    repository: &GitRepository,
    settings: &Settings,
    store: &Store,
    into: &Path,
    report: &dyn Report,
) -> Result<git::CheckoutFacts, BuildError> {
    let key = KeyBuilder::new("git-repository/1")
        .field(repository.address.as_bytes())
        .finish()
        .hex();
    let _alone = store.lock(&format!("git-{key}"))?;
    Ok(git::remote::fetch(
        repository,
        &git::remote::FetchTarget {
            kept: &store.repositories().join(&key),
            into,
            environment: &for_git(&settings.variables),
            offline: settings.rules.offline,
            report,
            transfer: TransferIds::default().next(),
        },
    )?)
}

/// A commit that a requirement names, laid out in a folder of its own for the sandbox.
pub(crate) struct RequirementCheckout {
    folder: TempFolder,
    commit: String,
}

impl RequirementCheckout {
    /// Has it on disk; `None` for a repository that lies on this machine's disk already, which a
    /// project must not reach for.
    ///
    /// # Errors
    /// The address is none, or git fails.
    pub(crate) fn of(
        address: &str,
        reference: Option<&str>,
        settings: &Settings,
        store: &Store,
        report: &dyn Report,
    ) -> Result<Option<Self>, BuildError> {
        let parsed =
            SourceLocation::parse(Path::new(address), reference, Path::new("/nonexistent"))?;
        let SourceLocation::Git(repository) = parsed else {
            return Ok(None);
        };
        if repository.is_local() {
            return Ok(None);
        }
        let folder = store.temp_folder("source-")?;
        let into = folder.path().join("build/source");
        std::fs::create_dir_all(&into).map_err(|source| StoreError::Io {
            path: into.clone(),
            source,
        })?;
        let facts = fetch(&repository, settings, store, &into, report)?;
        let unwritable = |source| StoreError::Io {
            path: into.clone(),
            source,
        };
        facts.write_archival_file(&into).map_err(unwritable)?;
        Ok(Some(Self {
            folder,
            commit: facts.commit,
        }))
    }

    /// The folder that the files lie below, at `build/source`.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }
}

/// An archive, and the private folder that it is unpacked into.
struct UnpackedArchive<'a> {
    request: &'a PlanRequest,
    /// What messages call it.
    shown: String,
    private: PrivateFolder,
    unpacked: UnpackedBound,
    ids: TransferIds,
    report: &'a dyn Report,
}

impl<'a> UnpackedArchive<'a> {
    fn new(
        request: &'a PlanRequest,
        settings: &Settings,
        report: &'a dyn Report,
    ) -> Result<Self, BuildError> {
        let typed = request.source.to_string_lossy();
        Ok(Self {
            shown: match typed.as_ref() {
                "-" => "standard input".to_owned(),
                typed => without_credentials(typed),
            },
            request,
            private: PrivateFolder::new(settings)?,
            unpacked: settings.rules.unpacked,
            ids: TransferIds::default(),
            report,
        })
    }

    fn unpacked(
        self,
        unpack: impl FnOnce(&UnpackRequest<'_>) -> Result<(), BuildError>,
    ) -> Result<FetchedSource, BuildError> {
        let files = self.private.files();
        unpack(&UnpackRequest {
            into: &files,
            shown: &self.shown,
            unpacked: self.unpacked,
            report: self.report,
            transfer: self.ids.next(),
        })?;
        let folder = unpack::top(&files, self.request.context_dir.as_deref());
        Ok(FetchedSource {
            folder,
            ..self.private.with(self.shown.into(), None)
        })
    }
}

/// An archive of somewhere else. One whose hash is known stays among the downloads; any other may
/// be a different one tomorrow.
fn downloaded(
    url: &SecretUrl,
    sha256: Option<Digest>,
    request: &PlanRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<FetchedSource, BuildError> {
    let archive = UnpackedArchive::new(request, settings, report)?;
    let client = crate::context::client::new(settings, report);
    let store = archive.private.store.clone();
    let expect = ExpectedDownload {
        sha256: sha256.map(|digest| *digest.as_bytes()),
        size: None,
        max_bytes: MAX_ARCHIVE_BYTES,
    };
    let fetch = |sink: &mut dyn Write| {
        let id = archive.ids.next();
        report.event(Event::TransferStarted {
            id,
            name: archive.shown.clone(),
            total_bytes: None,
        });
        let fetched = client.fetch_to(url.reveal(), sink, &expect, &|done_bytes| {
            report.event(Event::TransferAdvanced { id, done_bytes });
        });
        report.event(Event::TransferFinished { id });
        fetched
    };
    let path = if let Some(digest) = &sha256 {
        if store.drop_damaged_download(digest)? != FileState::Sound {
            let mut writer = store.writer()?.unhashed();
            let fetched = fetch(&mut writer)?;
            let found = Digest::from_bytes(fetched.sha256);
            store.keep_download(writer.hashed(found), digest)?;
        }
        store.download_path(digest)
    } else {
        let path = archive.private.folder.path().join("archive");
        let failed = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        let mut file = BufWriter::new(File::create_new(&path).map_err(failed)?);
        fetch(&mut file)?;
        file.flush().map_err(failed)?;
        path
    };
    archive.unpacked(|unpacking| Ok(unpacking.file(&path, None)?))
}

/// The caller's environment as processes take it.
pub(crate) fn for_git(variables: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[cfg(test)]
crate::report::samples! {
    struct NoFolder {
        shown: "https://git.example.com/app".into(),
    };
}
