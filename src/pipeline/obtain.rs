//! Having the source on disk: the user's own folder as it is, everything else in a private folder of
//! the store that is gone when the command ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Settings;
use super::error::{BuildError, Obstacle};
use super::make::TransferIds;
use crate::oci::KeyBuilder;
use crate::plan::Request;
use crate::report::Report;
use crate::source::git::{self, without_credentials};
use crate::source::location::{Location, Reference, Repository};
use crate::store::{Lock, Store, StoreError};

/// The name of the folder with the files, below a private one.
const FILES: &str = "source";

/// A source on disk.
pub(super) struct Obtained {
    /// The folder with the files.
    pub folder: PathBuf,
    /// What messages call it, unless it is the user's own.
    pub shown: Option<PathBuf>,
    /// What is known of the commit, unless it is the user's own folder.
    pub git: Option<git::Facts>,
    _private: Option<Private>,
}

/// A folder of the store's for this command alone.
struct Private {
    folder: TempDir,
    store: Store,
    /// Nothing is pruned meanwhile.
    _in_use: Lock,
}

impl Private {
    fn new(settings: &Settings) -> Result<Self, BuildError> {
        let store = Store::open(&settings.store_root)?;
        let in_use = store.in_use()?;
        let scratch = store.scratch();
        let failed = |source| StoreError::Io {
            path: scratch.clone(),
            source,
        };
        let folder = tempfile::Builder::new()
            .prefix("source-")
            .tempdir_in(&scratch)
            .map_err(failed)?;
        std::fs::create_dir(folder.path().join(FILES)).map_err(failed)?;
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

    fn with(self, shown: PathBuf, git: Option<git::Facts>) -> Obtained {
        Obtained {
            folder: self.files(),
            shown: Some(shown),
            git,
            _private: Some(self),
        }
    }
}

impl Obtained {
    /// Has what the request names on disk.
    pub(super) fn of(
        request: &Request,
        settings: &Settings,
        report: &dyn Report,
    ) -> Result<Self, BuildError> {
        let reference = request.reference.as_deref();
        match Location::parse(&request.source, reference, &settings.directory)? {
            Location::Folder(folder) => Ok(Self {
                folder,
                shown: None,
                git: None,
                _private: None,
            }),
            Location::Revision {
                checkout,
                reference,
            } => revision(&checkout, &reference, settings),
            Location::Git(repository) => fetched(&repository, settings, report),
            Location::Archive { .. } | Location::ArchiveUrl { .. } | Location::Stdin => {
                unimplemented!()
            }
        }
    }

    /// Whether it is the user's own folder, which locks may be written to.
    pub(super) fn is_users(&self) -> bool {
        self.shown.is_none()
    }
}

/// Sees to it that there will be a folder to write locks into.
pub(super) fn check_is_folder(request: &Request, settings: &Settings) -> Result<(), BuildError> {
    let reference = request.reference.as_deref();
    match Location::parse(&request.source, reference, &settings.directory)? {
        Location::Folder(_) => Ok(()),
        _ => Err(Obstacle::NoFolder {
            shown: without_credentials(&request.source.to_string_lossy()),
        }
        .into()),
    }
}

/// A commit of a checkout on this machine.
fn revision(
    checkout: &Path,
    reference: &Reference,
    settings: &Settings,
) -> Result<Obtained, BuildError> {
    let private = Private::new(settings)?;
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
    repository: &Repository,
    settings: &Settings,
    report: &dyn Report,
) -> Result<Obtained, BuildError> {
    let private = Private::new(settings)?;
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
    repository: &Repository,
    settings: &Settings,
    store: &Store,
    into: &Path,
    report: &dyn Report,
) -> Result<git::Facts, BuildError> {
    let key = KeyBuilder::new("git-repository/1")
        .field(repository.address.as_bytes())
        .finish()
        .hex();
    let _alone = store.lock(&format!("git-{key}"))?;
    Ok(git::remote::fetch(
        repository,
        &git::remote::Bench {
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
pub(super) struct Checkout {
    folder: TempDir,
    commit: String,
}

impl Checkout {
    /// Has it on disk; `None` for a repository that lies on this machine's disk already, which a
    /// project must not reach for.
    ///
    /// # Errors
    /// The address is none, or git fails.
    pub(super) fn of(
        address: &str,
        reference: Option<&str>,
        settings: &Settings,
        store: &Store,
        report: &dyn Report,
    ) -> Result<Option<Self>, BuildError> {
        let parsed = Location::parse(Path::new(address), reference, Path::new("/nonexistent"))?;
        let Location::Git(repository) = parsed else {
            return Ok(None);
        };
        if repository.is_local() {
            return Ok(None);
        }
        let scratch = store.scratch();
        let failed = |source| StoreError::Io {
            path: scratch.clone(),
            source,
        };
        let folder = tempfile::tempdir_in(&scratch).map_err(failed)?;
        let into = folder.path().join("build/source");
        std::fs::create_dir_all(&into).map_err(failed)?;
        let facts = fetch(&repository, settings, store, &into, report)?;
        Ok(Some(Self {
            folder,
            commit: facts.commit,
        }))
    }

    /// The folder that the files lie below, at `build/source`.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The commit's name.
    pub(super) fn commit(&self) -> &str {
        &self.commit
    }
}

/// The caller's environment as processes take it.
pub(super) fn for_git(variables: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}
