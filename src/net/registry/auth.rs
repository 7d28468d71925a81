//! Tokens: from a challenge to the header that answers it (the Docker token specification, which the
//! field shares; `token` or `access_token`, `service` optional).

use std::sync::atomic::AtomicU64;

use reqwest::{Method, Url};
use serde::Deserialize;

use crate::net::credentials::Basic;
use crate::net::http::{Client, Request, is_loopback};
use crate::net::registry::challenge::{self, Challenge};
use crate::net::registry::error::{Breach, RegistryError};
use crate::net::{Secret, ShownUrl};

/// No token service says more.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Who asks, and for what.
pub(super) struct Asker<'a> {
    pub client: &'a Client,
    /// The registry's base URL.
    pub base: &'a Url,
    /// `repository:NAME:pull,push`.
    pub scope: String,
    pub credentials: Option<Basic>,
}

impl Asker<'_> {
    /// The `Authorization` that answers the challenges; `None` if nothing we have does.
    pub(super) fn answer(
        &self,
        headers: &[String],
        counter: &AtomicU64,
    ) -> Result<Option<Secret>, RegistryError> {
        let challenges: Vec<Challenge> = headers
            .iter()
            .flat_map(|header| challenge::parse(header))
            .collect();
        let of = |scheme: &str| {
            challenges
                .iter()
                .find(|challenge| challenge.scheme == scheme)
        };
        if let Some(bearer) = of("bearer").filter(|bearer| bearer.parameters.contains_key("realm"))
        {
            return self.token(bearer, counter).map(Some);
        }
        Ok(of("basic")
            .and(self.credentials.as_ref())
            .map(Basic::header))
    }

    fn token(&self, bearer: &Challenge, counter: &AtomicU64) -> Result<Secret, RegistryError> {
        let realm = &bearer.parameters["realm"];
        let refused = || RegistryError::Protocol {
            url: ShownUrl::parse(realm),
            what: Breach::Realm,
        };
        let mut url = Url::parse(realm).map_err(|_| refused())?;
        if !realm_is_fit(self.base, &url) {
            return Err(refused());
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = bearer.parameters.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &self.scope);
        }
        let request = Request::new(Method::GET, url);
        let authorization = self.credentials.as_ref().map(Basic::header);
        let answer = self.client.patiently(|| -> Result<_, RegistryError> {
            let reply = self
                .client
                .send_as(&request, authorization.clone(), counter)?;
            match reply.status() {
                200 => Ok(reply.into_response(MAX_TOKEN_BYTES)?),
                _ => Err(RegistryError::of(reply)),
            }
        })?;
        let token: Option<TokenAnswer> = serde_json::from_slice(&answer.body).ok();
        let token = token.and_then(|answer| answer.token.or(answer.access_token));
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Ok(Secret::new(format!("Bearer {token}"))),
            None => Err(RegistryError::Protocol {
                url: request.shown(),
                what: Breach::NoToken,
            }),
        }
    }
}

/// Whether a token service may be asked: https like the registry, or http beside a registry on this
/// machine; and under the same owner's name, by its last two labels. A hostile realm could
/// otherwise have our credentials, or have us ask something inside the network.
fn realm_is_fit(base: &Url, realm: &Url) -> bool {
    let (Some(registry), Some(host)) = (base.host_str(), realm.host_str()) else {
        return false;
    };
    if is_loopback(registry) {
        return is_loopback(host) && matches!(realm.scheme(), "http" | "https");
    }
    realm.scheme() == "https" && owner(registry) == owner(host)
}

fn owner(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<&str> = host.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_from_the_registrys_owner() {
        let cases = [
            (
                "https://registry-1.docker.io",
                "https://auth.docker.io/token",
                true,
            ),
            (
                "https://registry.gitlab.com",
                "https://gitlab.com/jwt/auth",
                true,
            ),
            ("https://ghcr.io", "https://ghcr.io/token", true),
            ("https://ghcr.io", "http://ghcr.io/token", false),
            ("https://ghcr.io", "https://evil.example/token", false),
            ("https://10.0.0.1", "https://10.0.0.1:8443/token", true),
            ("https://10.0.0.1", "https://11.0.0.1/token", false),
            ("https://r.example", "https://localhost/token", false),
            ("http://127.0.0.1:5000", "http://localhost:5001/token", true),
            (
                "http://127.0.0.1:5000",
                "http://169.254.169.254/token",
                false,
            ),
        ];
        for (base, realm, fit) in cases {
            let (base, realm) = (Url::parse(base).unwrap(), Url::parse(realm).unwrap());
            assert_eq!(realm_is_fit(&base, &realm), fit, "{base} {realm}");
        }
    }
}
