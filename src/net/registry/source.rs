//! A repository as it is read: from its mirrors first, where the user names some, then from itself.
//!
//! Each place is a repository of its own, with its own credentials. A mirror that lacks what is asked
//! for, or fails, costs one short try and is passed over; one that is out of order is not asked again
//! in this run. An image keeps its own name wherever it is read, and what comes by digest is checked, so
//! a mirror can lie about tags alone: that is what its owner is trusted with.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::net::http::{Client, status_may_pass};
use crate::net::mirrors::{BlockedRegistry, PullFilter};
use crate::net::registry::manifests::ManifestHead;
use crate::net::registry::{RegistryError, RegistryRepository, ServedManifest};
use crate::oci::{Digest, Reference};

/// Noted for a mirror that is out of order.
const GONE: &str = "gone as a mirror";

/// Where one repository is read.
#[derive(Debug)]
pub(crate) struct ReadSource<'a> {
    client: &'a Client,
    /// As it is named.
    name: String,
    /// Whether its image is named by a tag.
    is_by_tag: bool,
    mirrors: Vec<(RegistryRepository<'a>, PullFilter)>,
    itself: Result<RegistryRepository<'a>, BlockedRegistry>,
}

impl<'a> ReadSource<'a> {
    /// Where the repository of `reference` is read. Sends nothing yet.
    ///
    /// # Errors
    /// The rules for registries are of no use.
    pub(crate) fn new(client: &'a Client, reference: &Reference) -> Result<Self, RegistryError> {
        let route = client.mirrors().route(reference)?;
        let open = |reference: &Reference| RegistryRepository::to_read(client, reference);
        let mirror = |(reference, pulls): &(Reference, PullFilter)| {
            let registry = open(reference)?;
            Ok((
                RegistryRepository {
                    is_mirror: true,
                    ..registry
                },
                *pulls,
            ))
        };
        let mirrors = route.mirrors.iter().map(mirror);
        let mut source = Self {
            client,
            name: reference.familiar_name(),
            is_by_tag: reference.digest().is_none(),
            mirrors: mirrors.collect::<Result<_, RegistryError>>()?,
            itself: match route.itself {
                Ok(itself) => Ok(open(&itself)?),
                Err(blocked) => Err(blocked),
            },
        };
        // One count for all.
        let requests = Arc::default();
        for place in source.places_mut() {
            place.requests = Arc::clone(&requests);
        }
        Ok(source)
    }

    /// The same, for what is done on behalf of `registry`: requests and waits count as its own.
    ///
    /// # Errors
    /// As [`ReadSource::new`].
    pub(crate) fn beside(
        registry: &RegistryRepository<'a>,
        reference: &Reference,
    ) -> Result<Self, RegistryError> {
        let mut source = Self::new(registry.client, reference)?;
        for place in source.places_mut() {
            place.requests = Arc::clone(&registry.requests);
            place.budget = Arc::clone(&registry.budget);
            place.teller = registry.teller;
        }
        Ok(source)
    }

    /// Requests sent so far, to all places.
    pub(crate) fn requests(&self) -> u64 {
        self.places().next().map_or(0, RegistryRepository::requests)
    }

    /// What a tag or digest names, without its bytes; see [`RegistryRepository::head_manifest`].
    pub(crate) fn head_manifest(&self, name: &str) -> Result<Option<ManifestHead>, RegistryError> {
        self.first(is_digest(name), |place| place.head_manifest(name))
    }

    /// The manifest that a tag or digest names; see [`RegistryRepository::get_manifest`].
    pub(crate) fn get_manifest(&self, name: &str) -> Result<Option<ServedManifest>, RegistryError> {
        self.first(is_digest(name), |place| place.get_manifest(name))
    }

    /// A small blob; see [`RegistryRepository::fetch_blob_bytes`].
    pub(crate) fn fetch_blob_bytes(
        &self,
        digest: &Digest,
        size: u64,
        max_bytes: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let fetch =
            |place: &RegistryRepository<'a>| place.fetch_blob_bytes(digest, size, max_bytes);
        self.try_blob(fetch)
    }

    /// Does something with a blob in the first place where it succeeds.
    ///
    /// # Errors
    /// That of the place itself, if it is the last; with those of the mirrors.
    pub(crate) fn try_blob<T, E: From<RegistryError> + IntoRegistryError>(
        &self,
        mut work: impl FnMut(&RegistryRepository<'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut failed = Vec::new();
        for mirror in self.mirrors(true) {
            match work(mirror).map_err(E::into_registry_error) {
                Ok(done) => return Ok(done),
                Err(Ok(error)) => self.passed_over(mirror, &error, &mut failed),
                Err(Err(error)) => return Err(error),
            }
        }
        let itself = self.itself(&failed)?;
        work(itself).map_err(|error| match error.into_registry_error() {
            Ok(error) => error.beside_mirrors(failed).into(),
            Err(error) => error,
        })
    }

    /// What the first place has that has anything.
    fn first<T>(
        &self,
        by_digest: bool,
        ask: impl Fn(&RegistryRepository<'a>) -> Result<Option<T>, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        let mut failed = Vec::new();
        for mirror in self.mirrors(by_digest) {
            match ask(mirror) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => failed.push(format!("{} does not have it", mirror.full_name())),
                Err(error) => self.passed_over(mirror, &error, &mut failed),
            }
        }
        let itself = self.itself(&failed)?;
        ask(itself).map_err(|error| error.beside_mirrors(failed))
    }

    /// The mirrors that are good for a read. What an image named by a tag consists of may come from where
    /// its tag was read.
    fn mirrors(&self, by_digest: bool) -> impl Iterator<Item = &RegistryRepository<'a>> {
        let is_good = move |pulls: PullFilter| match pulls {
            PullFilter::All => true,
            PullFilter::DigestOnly => by_digest,
            PullFilter::TagOnly => self.is_by_tag,
        };
        self.mirrors
            .iter()
            .filter(move |(mirror, pulls)| is_good(*pulls) && mirror.host.note(GONE).is_none())
            .map(|(mirror, _)| mirror)
    }

    fn passed_over(
        &self,
        mirror: &RegistryRepository<'a>,
        error: &RegistryError,
        failed: &mut Vec<String>,
    ) {
        let name = mirror.full_name();
        // A mirror without a blob is as it should be; one that nobody answers for is not.
        if error.status() != Some(404) {
            self.client.mirrors().warn(
                &name,
                format!("{name}, a mirror of {}, is passed over: {error}", self.name),
            );
        }
        let is_out_of_order = match error.status() {
            Some(status) => status_may_pass(status),
            None => !error.is_about_bytes(),
        };
        if is_out_of_order {
            mirror.host.set_note(GONE, 1);
        }
        failed.push(error.to_string());
    }

    fn itself(&self, failed: &[String]) -> Result<&RegistryRepository<'a>, RegistryError> {
        self.itself
            .as_ref()
            .map_err(|blocked| RegistryError::Blocked {
                name: self.name.clone(),
                prefix: blocked.prefix.clone(),
                file: blocked.file.clone(),
                mirrors: failed.to_vec(),
            })
    }

    fn places(&self) -> impl Iterator<Item = &RegistryRepository<'a>> {
        let mirrors = self.mirrors.iter().map(|(mirror, _)| mirror);
        mirrors.chain(&self.itself)
    }

    fn places_mut(&mut self) -> impl Iterator<Item = &mut RegistryRepository<'a>> {
        let mirrors = self.mirrors.iter_mut().map(|(mirror, _)| mirror);
        mirrors.chain(&mut self.itself)
    }
}

impl RegistryRepository<'_> {
    /// The repositories of this very registry in which what `origin` has may be, too: itself, or one that
    /// mirrors it. Each once.
    pub(crate) fn neighbours(&self, origin: &Reference) -> Vec<Reference> {
        let mut all = vec![origin.clone()];
        if let Ok(route) = self.client.mirrors().route(origin) {
            all.extend(route.mirrors.into_iter().map(|(mirror, _)| mirror));
            all.extend(route.itself);
        }
        let mut seen = BTreeSet::new();
        all.retain(|place| {
            self.name() == place.registry()
                && self.repository() != place.repository()
                && seen.insert(place.repository().to_owned())
        });
        all
    }
}

/// An error of which it can be told whether it is a registry's: then another place may do better.
pub(crate) trait IntoRegistryError: Sized {
    /// The registry's error, or the other one.
    fn into_registry_error(self) -> Result<RegistryError, Self>;
}

impl IntoRegistryError for RegistryError {
    fn into_registry_error(self) -> Result<RegistryError, Self> {
        Ok(self)
    }
}

fn is_digest(name: &str) -> bool {
    name.starts_with("sha256:")
}
