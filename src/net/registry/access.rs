//! The right to do something with one repository: which authorization goes with a request, and which
//! answers a 401.
//!
//! Authorizations are shared by all threads and all repositories of a run (`Client::tokens`), renewed
//! before they end, and asked for by one thread while the others wait. Where blobs are to be mounted
//! from other repositories, the token is asked for those too; a token service that refuses them is asked
//! again without.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use reqwest::Url;

use crate::net::Secret;
use crate::net::credentials::{AccessKind, RegistryLogin};
use crate::net::http::Client;
use crate::net::registry::auth::TokenRequester;
use crate::net::registry::challenge::{self, AuthChallenge};
use crate::net::registry::error::RegistryError;
use crate::net::registry::scope::TokenScopes;
use crate::net::tokens::locked;

/// Sources in one token's scopes; a longer URL is refused by some token services.
const MAX_SOURCES: usize = 10;

/// What a repository may be asked, with which credentials.
#[derive(Debug)]
pub(super) struct RepositoryAccess<'a> {
    client: &'a Client,
    registry: String,
    repository: String,
    direction: AccessKind,
    more: Mutex<ExtraScopes>,
}

/// What a token is asked for besides the repository itself.
#[derive(Debug, Default)]
struct ExtraScopes {
    /// Repositories to mount from.
    sources: Vec<String>,
    /// The token service does not grant them.
    sources_refused: bool,
    /// What the registry's challenges asked for.
    challenged: TokenScopes,
}

impl<'a> RepositoryAccess<'a> {
    /// To a repository, to read it or to write it too.
    pub(super) fn new(
        client: &'a Client,
        registry: &str,
        repository: &str,
        direction: AccessKind,
    ) -> Self {
        Self {
            client,
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            direction,
            more: Mutex::default(),
        }
    }

    /// Asks for the right to read this repository too, from the next request on.
    pub(super) fn also(&self, repository: &str) {
        let mut more = locked(&self.more);
        let known = more.sources.iter().any(|source| source == repository);
        if !known && repository != self.repository && more.sources.len() < MAX_SOURCES {
            more.sources.push(repository.to_owned());
        }
    }

    /// User and password or token for it.
    pub(super) fn login(&self) -> Option<RegistryLogin> {
        self.client
            .credentials()
            .for_registry(self.direction, &self.registry, &self.repository)
    }

    /// What to send without having been asked: what the registry has challenged for before in this run.
    pub(super) fn authorization(
        &self,
        base: &Url,
        counter: &AtomicU64,
    ) -> Result<Option<Secret>, RegistryError> {
        match self.client.tokens().challenge(&place(base)) {
            Some(headers) => self.granted(base, &parsed(&headers), None, counter),
            None => Ok(None),
        }
    }

    /// What answers a 401, whose `WWW-Authenticate` are `headers`, to a request that went with
    /// `refused`; `None` if nothing we have does.
    pub(super) fn answer(
        &self,
        base: &Url,
        headers: &[String],
        refused: Option<&Secret>,
        counter: &AtomicU64,
    ) -> Result<Option<Secret>, RegistryError> {
        let challenges = parsed(headers);
        if challenges.is_empty() {
            return Ok(None);
        }
        self.client.tokens().challenged(&place(base), headers);
        let mut asked = TokenScopes::default();
        for scope in challenges
            .iter()
            .filter_map(|challenge| challenge.parameters.get("scope"))
        {
            asked.add_challenged(scope);
        }
        let known = self.scopes().covers(&asked);
        if known && refused.is_some() && challenges.iter().any(AuthChallenge::is_insufficient) {
            // The token was for all of that: another one would have no more in it.
            return Ok(None);
        }
        if !known {
            let mut more = locked(&self.more);
            more.challenged = std::mem::take(&mut more.challenged).and(&asked);
        }
        let answer = self.granted(base, &challenges, refused, counter)?;
        Ok(answer.filter(|answer| refused != Some(answer)))
    }

    /// The authorization for all that is wanted now, got by whichever thread comes first.
    fn granted(
        &self,
        base: &Url,
        challenges: &[AuthChallenge],
        refused: Option<&Secret>,
        counter: &AtomicU64,
    ) -> Result<Option<Secret>, RegistryError> {
        let scopes = self.scopes();
        let key = format!(
            "{} {:?} {}",
            place(base),
            self.direction,
            scopes.words().join(" ")
        );
        let slot = self.client.tokens().slot(&key);
        let mut held = locked(&slot);
        if self.scopes() != scopes {
            // While this thread waited, another one found out that less is granted.
            drop(held);
            return self.granted(base, challenges, refused, counter);
        }
        if let Some(held) = &*held
            && held.is_good()
            && refused != Some(&held.header)
        {
            return Ok(Some(held.header.clone()));
        }
        let login = self.login();
        let asker = TokenRequester {
            client: self.client,
            base,
            scopes: scopes.words(),
            login: login.as_ref(),
        };
        let answer = asker.answer(challenges, counter);
        if answer.as_ref().is_err_and(is_refusal) {
            locked(&self.more).sources_refused = true;
            if self.scopes() != scopes {
                drop(held);
                return self.granted(base, challenges, refused, counter);
            }
        }
        let fresh = answer.map_err(|error| self.denied(error, login.is_some()))?;
        held.clone_from(&fresh);
        Ok(fresh.map(|held| held.header))
    }

    fn scopes(&self) -> TokenScopes {
        let more = locked(&self.more);
        let mut scopes = TokenScopes::default();
        if self.repository.is_empty() {
            // Only whether one is let in: `s2r login`.
            return scopes;
        }
        scopes.add(
            &self.repository,
            match self.direction {
                AccessKind::Pull => &["pull"],
                AccessKind::Push => &["pull", "push"],
            },
        );
        if !more.sources_refused {
            for source in &more.sources {
                scopes.add(source, &["pull"]);
            }
        }
        scopes.and(&more.challenged)
    }

    /// A token service's no is the registry's.
    fn denied(&self, error: RegistryError, had_credentials: bool) -> RegistryError {
        match error {
            RegistryError::Refused {
                status: status @ (401 | 403),
                refusals,
                ..
            } => RegistryError::Denied {
                registry: self.registry.clone(),
                repository: self.repository.clone(),
                status,
                had_credentials,
                lacks_rights: status == 403,
                refusals,
            },
            other => other,
        }
    }
}

/// Whether a token service says no to what it was asked, so that less may be granted.
fn is_refusal(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Refused {
            status: 400 | 401 | 403 | 404,
            ..
        }
    )
}

/// The registry that authorizations are kept for, with its scheme: what is spoken without TLS on the usual
/// port is not the registry that has it on its own.
pub(super) fn place(base: &Url) -> String {
    base.origin().ascii_serialization()
}

/// Whether a challenge says that the token was good, and not for this.
pub(super) fn is_insufficient(headers: &[String]) -> bool {
    parsed(headers).iter().any(AuthChallenge::is_insufficient)
}

fn parsed(headers: &[String]) -> Vec<AuthChallenge> {
    headers
        .iter()
        .flat_map(|header| challenge::parse(header))
        .collect()
}
