//! The registry protocol (OCI distribution-spec), for one repository.
//!
//! `access`, `auth`, `challenge` and `scope` get the right to ask; `blobs` asks for blobs and reads
//! them, `mount`, `upload` and `pieces` have them there, `place` and `quirks` know where uploads go on and
//! who counts wrongly; `manifests` reads, stores and names; `source` reads from mirrors. A 401 is
//! answered whenever it comes, not only at the first request. What a host turns out to do is kept in
//! [`HostState`] for the run.
//!
//! REGISTRIES.md lists what registries do in practice and what is done about it here. Not handled,
//! knowingly: an answer that comes while a large body is still on its way and closes the connection is
//! lost (the HTTP library drops it), so a 413 of that kind is taken for a cut and met by smaller pieces
//! after the second; mounts without `from` and with `origin`; `If-Match` on an index, because an index
//! is written whole and never changed in place; referrers; an option to take an immutable tag for
//! success.

mod access;
mod auth;
mod blobs;
pub(crate) mod challenge;
mod error;
mod manifests;
mod mount;
mod pieces;
mod place;
mod quirks;
mod scope;
mod source;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::net::credentials::AccessKind;
use crate::net::http::{
    Client, HostState, HttpRequest, RequestOptions, RetryBudget, RetryState, Retryable as _,
    StreamedResponse, authority, same_place,
};
use crate::net::{Secret, ShownUrl};
use crate::oci::{DOCKER_HUB, DOCKER_HUB_HOST, Reference};
use crate::report::{Event, Report};
use access::RepositoryAccess;

pub(crate) use blobs::BlobReader;
pub(crate) use error::{ProtocolBreach, RegistryError};
pub(crate) use manifests::ServedManifest;
pub(crate) use mount::MountOutcome;
pub(crate) use place::UploadSession;
pub(crate) use source::{IntoRegistryError, ReadSource};
pub(crate) use upload::OutgoingBlob;

/// Waits shorter than this are not worth a line to the user.
const SILENT_WAIT: Duration = Duration::from_secs(1);
/// Noted for a host that is there.
const ANSWERED: &str = "answered";

/// One repository of one registry.
#[derive(Debug)]
pub(crate) struct RegistryRepository<'a> {
    client: &'a Client,
    base: Url,
    name: String,
    repository: String,
    access: RepositoryAccess<'a>,
    requests: Arc<AtomicU64>,
    /// What this run knows of the registry's host.
    host: Arc<HostState>,
    /// Time for waits, for all that is done by this and by repositories beside it.
    budget: Arc<RetryBudget>,
    teller: WaitReporter<'a>,
    /// One of several places that may have what is asked for.
    is_mirror: bool,
}

/// Who is told of long waits.
#[derive(Clone, Copy)]
struct WaitReporter<'a>(Option<&'a dyn Report>);

impl fmt::Debug for WaitReporter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Teller" } else { "nobody" })
    }
}

impl<'a> RegistryRepository<'a> {
    /// The repository that `reference` names, to read it and to write it. Sends nothing yet.
    ///
    /// # Errors
    /// The user's rules forbid it, or are of no use.
    pub(crate) fn new(client: &'a Client, reference: &Reference) -> Result<Self, RegistryError> {
        if let Some(blocked) = client.mirrors().blocked(reference)? {
            return Err(RegistryError::Blocked {
                name: reference.familiar_name(),
                prefix: blocked.prefix,
                file: blocked.file,
                mirrors: Vec::new(),
            });
        }
        Self::towards(client, reference, AccessKind::Push)
    }

    /// The repository that `reference` names, only to be read: with the credentials for that, and tokens
    /// that are good for no more. By that very name; [`ReadSource`] knows of mirrors.
    fn to_read(client: &'a Client, reference: &Reference) -> Result<Self, RegistryError> {
        Self::towards(client, reference, AccessKind::Pull)
    }

    fn towards(
        client: &'a Client,
        reference: &Reference,
        direction: AccessKind,
    ) -> Result<Self, RegistryError> {
        let name = reference.registry();
        let host = if name == DOCKER_HUB {
            DOCKER_HUB_HOST
        } else {
            name
        };
        let bad = || RegistryError::Protocol {
            url: ShownUrl::parse(name),
            what: ProtocolBreach::Name,
        };
        let base = client.trust().registry_base(host).ok_or_else(bad)?;
        Ok(Self {
            client,
            base,
            name: name.to_owned(),
            repository: reference.repository().to_owned(),
            access: RepositoryAccess::new(client, name, reference.repository(), direction),
            requests: Arc::default(),
            host: client.host(host),
            budget: client.budget(),
            teller: WaitReporter(None),
            is_mirror: false,
        })
    }

    /// The registry itself, to find out whether it lets one in.
    pub(crate) fn to_log_in(
        client: &'a Client,
        reference: &Reference,
    ) -> Result<Self, RegistryError> {
        let access = RepositoryAccess::new(client, reference.registry(), "", AccessKind::Push);
        Ok(Self {
            access,
            ..Self::towards(client, reference, AccessKind::Push)?
        })
    }

    /// Asks whether the credentials are right: false if the registry asks for none.
    pub(crate) fn check_login(&self) -> Result<bool, RegistryError> {
        let reply = self.patiently(|| self.send(&HttpRequest::new(Method::GET, self.base())))?;
        if reply.status() != 200 {
            return Err(self.refused(reply));
        }
        let place = access::place(&self.base());
        Ok(self.client.tokens().challenge(&place).is_some())
    }

    /// The same repository, its long waits told of.
    pub(crate) fn telling(self, report: &'a dyn Report) -> Self {
        Self {
            teller: WaitReporter(Some(report)),
            ..self
        }
    }

    /// Asks from now on for the right to read another repository of this registry too, for mounts. No
    /// failure of its own: what the token service does not grant, a mount will not get.
    pub(crate) fn authorize_also(&self, repository: &str) {
        self.access.also(repository);
    }

    /// Registry and repository, as users write them.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.name, self.repository)
    }

    /// The registry's name: host, and port if there is one.
    fn name(&self) -> &str {
        &self.name
    }

    /// The repository's name, without the registry's.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// Its URL, fit to be shown.
    pub(crate) fn shown(&self) -> ShownUrl {
        ShownUrl::of(&self.base)
    }

    /// Requests sent to it and on its behalf so far, redirects, tokens and retries counted.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Does `once` until it succeeds, fails for good, or patience ends.
    fn patiently<T>(
        &self,
        mut once: impl FnMut() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut patience = self.patience();
        loop {
            match once() {
                Ok(done) => return Ok(done),
                Err(error) => self.wait_or_give_up(&mut patience, error)?,
            }
        }
    }

    fn patience(&self) -> RetryState {
        if self.is_mirror {
            return self.little_patience();
        }
        let patience = self.client.patience().within(&self.budget);
        patience.with_known_host(self.has_answered())
    }

    /// For what can be done in another way, too.
    fn little_patience(&self) -> RetryState {
        let patience = self.client.little_patience().within(&self.budget);
        patience.with_known_host(self.has_answered())
    }

    /// Whether the host has answered anything in this run.
    fn has_answered(&self) -> bool {
        self.host.note(ANSWERED).is_some()
    }

    /// Waits for another try after `error`, or returns it.
    fn wait_or_give_up(
        &self,
        patience: &mut RetryState,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        let Some(wait) = error.passing().and_then(|passing| patience.after(passing)) else {
            return Err(error.after(patience.failures().max(1)));
        };
        if wait >= SILENT_WAIT
            && let Some(report) = self.teller.0
        {
            report.event(Event::Warning {
                text: format!("{error}: trying again in {} s", wait.as_secs_f32().ceil()),
                hint: String::new(),
            });
        }
        thread::sleep(wait);
        Ok(())
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let whole = format!("{}/{path}", self.repository);
        self.base()
            .join(&whole)
            .map_err(|_| RegistryError::Protocol {
                url: ShownUrl::of(&self.base),
                what: ProtocolBreach::Name,
            })
    }

    /// The base URL, in the scheme that turned out to be spoken there.
    fn base(&self) -> Url {
        self.settled(&self.base)
    }

    fn settled(&self, url: &Url) -> Url {
        self.client.settled(&authority(&self.base), url)
    }

    /// Sends a request with what authorization there is; a 401 is answered once, by a new token or
    /// by user and password, and the request sent again.
    fn send(&self, request: &HttpRequest<'_>) -> Result<StreamedResponse, RegistryError> {
        let held = self.access.authorization(&self.base(), &self.requests)?;
        let reply = self.send_as(request, held.as_ref())?;
        if reply.status() != 401 || !same_place(&self.base(), reply.url()) {
            return Ok(reply);
        }
        let challenge = reply.headers("www-authenticate");
        let answer = self
            .access
            .answer(&self.base(), &challenge, held.as_ref(), &self.requests)?;
        let Some(answer) = answer else {
            return Err(self.refused(reply));
        };
        reply.drain();
        self.send_as(request, Some(&answer))
    }

    fn send_as(
        &self,
        request: &HttpRequest<'_>,
        authorization: Option<&Secret>,
    ) -> Result<StreamedResponse, RegistryError> {
        // An upload's place may be another host, which gets nothing of ours.
        let here = same_place(&self.base(), &self.settled(&request.url));
        let manner = RequestOptions {
            authorization: authorization.filter(|_| here).cloned(),
            rules_of: Some(&authority(&self.base)),
            ..RequestOptions::default()
        };
        // Reading is left out: a blob may be read to feed a request that has its turn already.
        let turn = (request.method != Method::GET).then(|| self.host.turn());
        let answer = self.client.send_in(request, &manner, &self.requests);
        if let Some(turn) = turn {
            match &answer {
                Err(error) if error.status() == Some(429) => turn.too_many(),
                Ok(_) => turn.went_well(),
                Err(_) => {}
            }
        }
        if answer.is_ok() {
            self.host.set_note(ANSWERED, 1);
        }
        Ok(answer?)
    }

    fn refused(&self, reply: StreamedResponse) -> RegistryError {
        let status = reply.status();
        if !matches!(status, 401 | 403) {
            return RegistryError::of(reply);
        }
        let challenges = reply.headers("www-authenticate");
        RegistryError::Denied {
            lacks_rights: status == 403 || access::is_insufficient(&challenges),
            registry: self.name.clone(),
            repository: self.repository.clone(),
            status,
            had_credentials: self.access.login().is_some(),
            refusals: error::refusals_of(reply),
        }
    }
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod tests;
