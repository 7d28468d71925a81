//! Tokens: from a challenge to the header that answers it (the Docker token specification, which the
//! field shares; `token` or `access_token`, `service` optional).

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::{Method, Url};
use serde::Deserialize;

use crate::net::credentials::{BasicLogin, RegistryLogin};
use crate::net::http::{
    Client, HttpRequest, RequestBody, RequestOptions, StreamedResponse, authority, is_loopback,
};
use crate::net::registry::challenge::AuthChallenge;
use crate::net::registry::error::{ProtocolBreach, RegistryError};
use crate::net::tokens::CachedAuthorization;
use crate::net::{Secret, ShownUrl};

/// No token service says more.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// How long a token lives whose service does not say (the specification's figure).
const UNSAID_LIFE: Duration = Duration::from_mins(1);
/// Who we are to a token service.
const CLIENT_ID: &str = "s2r";

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<f64>,
}

/// Who asks, and for what.
pub(super) struct TokenRequester<'a> {
    pub client: &'a Client,
    /// The registry's base URL.
    pub base: &'a Url,
    /// `repository:NAME:pull,push`, and more of the kind.
    pub scopes: Vec<String>,
    pub login: Option<&'a RegistryLogin>,
}

impl TokenRequester<'_> {
    /// What answers the challenges, Bearer before Basic; `None` if nothing we have does.
    pub(super) fn answer(
        &self,
        challenges: &[AuthChallenge],
        counter: &AtomicU64,
    ) -> Result<Option<CachedAuthorization>, RegistryError> {
        if let Some(RegistryLogin::RegistryToken(token)) = self.login {
            return Ok(Some(CachedAuthorization::lasting(bearer(token))));
        }
        let mut unfit = None;
        for realm in challenges
            .iter()
            .filter(|challenge| challenge.scheme == "bearer")
            .filter_map(|challenge| Some((challenge, challenge.parameters.get("realm")?)))
        {
            match self.realm(realm.1) {
                Ok(url) => return self.token(realm.0, &url, counter).map(Some),
                Err(error) => unfit = Some(error),
            }
        }
        let basic = challenges
            .iter()
            .find(|challenge| challenge.scheme == "basic");
        match (basic, self.login, unfit) {
            (Some(_), Some(RegistryLogin::Basic(basic)), _) => {
                Ok(Some(CachedAuthorization::lasting(basic.header())))
            }
            (_, _, Some(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// Where a token is asked for, if we do ask there.
    fn realm(&self, realm: &str) -> Result<Url, RegistryError> {
        let refused = || RegistryError::Protocol {
            url: ShownUrl::parse(realm),
            what: ProtocolBreach::Realm,
        };
        let url = Url::parse(realm).map_err(|_| refused())?;
        let trust = self.client.trust();
        if realm_is_fit(self.base, &url) || trust.may_give_tokens(&url) {
            Ok(url)
        } else {
            Err(refused())
        }
    }

    fn token(
        &self,
        challenge: &AuthChallenge,
        realm: &Url,
        counter: &AtomicU64,
    ) -> Result<CachedAuthorization, RegistryError> {
        let service = challenge.parameters.get("service").map(String::as_str);
        let reply = match self.login {
            Some(RegistryLogin::Identity(token)) => {
                self.post(realm, service, &[("refresh_token", token)], counter)?
            }
            Some(RegistryLogin::Basic(basic)) => {
                let reply = self.get(realm, service, Some(basic), counter)?;
                if matches!(reply.status(), 404 | 405) {
                    // The few that know OAuth2 alone.
                    reply.drain();
                    let user = Secret::new(basic.user.as_str());
                    let form = [("username", &user), ("password", &basic.password)];
                    self.post(realm, service, &form, counter)?
                } else {
                    reply
                }
            }
            Some(RegistryLogin::RegistryToken(_)) | None => {
                self.get(realm, service, None, counter)?
            }
        };
        if reply.status() != 200 {
            return Err(RegistryError::of(reply));
        }
        let url = reply.shown();
        let answer = reply.into_response(MAX_TOKEN_BYTES)?;
        // The library's message may quote the token.
        let answer: Option<TokenAnswer> = serde_json::from_slice(&answer.body).ok();
        let life = answer
            .as_ref()
            .and_then(|answer| answer.expires_in)
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(UNSAID_LIFE);
        let token = answer.and_then(|answer| {
            let given = [answer.token, answer.access_token];
            given
                .into_iter()
                .flatten()
                .find(|token| !token.expose().is_empty())
        });
        match token {
            Some(token) => Ok(CachedAuthorization::living(bearer(&token), life)),
            None => Err(RegistryError::Protocol {
                url,
                what: ProtocolBreach::NoToken,
            }),
        }
    }

    /// As the Docker token specification has it: a query with a scope for each resource.
    fn get(
        &self,
        realm: &Url,
        service: Option<&str>,
        basic: Option<&BasicLogin>,
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, RegistryError> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for scope in &self.scopes {
                query.append_pair("scope", scope);
            }
        }
        self.send(
            &HttpRequest::new(Method::GET, url),
            basic.map(BasicLogin::header),
            Vec::new(),
            counter,
        )
    }

    /// As OAuth2 has it: a form with all scopes in one word.
    fn post(
        &self,
        realm: &Url,
        service: Option<&str>,
        secrets: &[(&str, &Secret)],
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, RegistryError> {
        let grant = match secrets {
            [("refresh_token", _)] => "refresh_token",
            _ => "password",
        };
        // A query and such a form are written alike; this URL goes nowhere.
        let mut form = realm.clone();
        form.set_query(None);
        {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("grant_type", grant);
            if let Some(service) = service {
                pairs.append_pair("service", service);
            }
            pairs
                .append_pair("client_id", CLIENT_ID)
                .append_pair("scope", &self.scopes.join(" "));
            for (name, secret) in secrets {
                pairs.append_pair(name, secret.expose());
            }
        }
        let form = form.query().unwrap_or_default();
        let mut request = HttpRequest::new(Method::POST, realm.clone())
            .with_body(RequestBody::Bytes(form.as_bytes()));
        request.header("content-type", "application/x-www-form-urlencoded");
        let confided = secrets
            .iter()
            .filter(|(name, _)| *name != "username")
            .map(|(_, secret)| (*secret).clone());
        self.send(&request, None, confided.collect(), counter)
    }

    /// By the registry's own rules of TLS, and never sent on to somebody else.
    fn send(
        &self,
        request: &HttpRequest<'_>,
        authorization: Option<Secret>,
        confides: Vec<Secret>,
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, RegistryError> {
        let manner = RequestOptions {
            authorization,
            rules_of: Some(&authority(self.base)),
            stays: true,
            confides,
        };
        Ok(self.client.send_in(request, &manner, counter)?)
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
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
