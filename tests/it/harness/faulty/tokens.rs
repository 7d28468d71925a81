//! Who may do what: Basic, and tokens of our own service, in the Docker token specification's words.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> and its `oauth/`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::faulty::rules::Kind;
use crate::harness::faulty::shelf::Call;
use crate::harness::faulty::wire::{Answer, Asked};

#[derive(Debug, Clone)]
pub(crate) enum Auth {
    Open,
    /// User and password.
    Basic(&'static str, &'static str),
    Bearer(Bearer),
}

/// A token service and what it grants.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// Who may push and pull; anybody, if `None`.
    pub(crate) user: Option<(&'static str, &'static str)>,
    /// The identity token that a POST may bring instead.
    pub(crate) identity: Option<&'static str>,
    /// Nobody in particular may pull.
    pub(crate) pull_is_free: bool,
    /// `token` or `access_token`.
    pub(crate) field: &'static str,
    pub(crate) expires_in: Option<u64>,
    /// `WWW-Authenticate`, one each; `{realm}`, `{scope}` are put in.
    pub(crate) challenges: Vec<&'static str>,
    /// The token service is on the other host.
    pub(crate) is_elsewhere: bool,
    /// Repositories that nobody may read.
    pub(crate) private: Vec<&'static str>,
    /// A request that names one of these is refused as a whole, so; else the scope is dropped.
    pub(crate) refusal: Option<u16>,
    /// `/v2/` is answered 200 to anybody.
    pub(crate) open_ping: bool,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            user: None,
            identity: None,
            pull_is_free: false,
            field: "token",
            expires_in: Some(300),
            challenges: vec![r#"Bearer realm="{realm}",service="faulty",scope="{scope}""#],
            is_elsewhere: false,
            private: Vec::new(),
            refusal: None,
            open_ping: false,
        }
    }
}

#[derive(Default)]
pub(super) struct Tokens {
    /// Actions by repository, by token.
    given: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// What a request needs: actions by repository.
fn needed(call: &Call<'_>) -> Vec<(String, &'static str)> {
    let own = |action| (call.repository.clone(), action);
    match call.kind {
        Kind::Ping | Kind::Token | Kind::Storage => Vec::new(),
        Kind::HeadBlob
        | Kind::GetBlob
        | Kind::HeadManifest
        | Kind::GetManifest
        | Kind::Referrers
        | Kind::Tags => vec![own("pull")],
        // A mount from where one may not read is declined, not refused: registry and scripts decide.
        _ => vec![own("push")],
    }
}

impl Tokens {
    /// The refusal of a request without the rights; `None` if it has them.
    pub(super) fn refusal(&mut self, auth: &Auth, call: &Call<'_>, realm: &str) -> Option<Answer> {
        let given = call.asked.header("authorization").unwrap_or_default();
        match auth {
            Auth::Open => None,
            Auth::Basic(user, password) => {
                let right = given == basic(user, password);
                let refused = Answer::error(401, "UNAUTHORIZED")
                    .with("www-authenticate", "Basic realm=\"faulty\"");
                (!right).then_some(refused)
            }
            Auth::Bearer(bearer) => {
                if call.kind == Kind::Ping && bearer.open_ping {
                    return None;
                }
                let token = given.strip_prefix("Bearer ").unwrap_or_default();
                let may = self.given.get(token).is_some_and(|rights| {
                    let has = |(repository, action): (String, &str)| {
                        let actions = rights.get(&repository);
                        actions.is_some_and(|actions| actions.iter().any(|has| has == action))
                    };
                    needed(call).into_iter().all(has)
                });
                (!may).then(|| challenge(bearer, call, realm))
            }
        }
    }

    /// Takes all rights away; the tokens are known, so that no later one is the same.
    pub(super) fn expire(&mut self) {
        self.given.values_mut().for_each(BTreeMap::clear);
    }

    /// What a mount may read from.
    pub(super) fn may_pull(&self, auth: &Auth, call: &Call<'_>, repository: &str) -> bool {
        let Auth::Bearer(_) = auth else {
            return true;
        };
        let given = call.asked.header("authorization").unwrap_or_default();
        let token = given.strip_prefix("Bearer ").unwrap_or_default();
        self.given.get(token).is_some_and(|rights| {
            let actions = rights.get(repository);
            actions.is_some_and(|actions| actions.iter().any(|has| has == "pull"))
        })
    }

    /// The token service.
    pub(super) fn grant(&mut self, auth: &Auth, asked: &Asked) -> Answer {
        let Auth::Bearer(bearer) = auth else {
            return Answer::of(404);
        };
        let is_form = asked.method == "POST";
        let said = if is_form { asked.form() } else { asked.query() };
        let values = |name: &str| {
            let found = said.iter().filter(|(found, _)| found == name);
            found.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let is_known = if is_form {
            values("grant_type") == ["refresh_token"]
                && bearer.identity.is_some()
                && values("refresh_token").first().map(String::as_str) == bearer.identity
        } else {
            let (user, password) = bearer.user.unwrap_or_default();
            let given = asked.header("authorization");
            match given {
                Some(given) => bearer.user.is_none() || given == basic(user, password),
                None => bearer.user.is_none() || bearer.pull_is_free,
            }
        };
        if !is_known {
            return Answer::error(401, "UNAUTHORIZED");
        }
        let is_anonymous =
            !is_form && bearer.user.is_some() && asked.header("authorization").is_none();
        let mut rights: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for scope in values("scope").iter().flat_map(|scopes| scopes.split(' ')) {
            let mut parts = scope.splitn(3, ':');
            let (Some("repository"), Some(name), Some(actions)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if bearer.private.contains(&name) {
                if let Some(status) = bearer.refusal {
                    return Answer::error(status, "DENIED");
                }
                continue;
            }
            let actions = actions
                .split(',')
                .filter(|action| !is_anonymous || *action == "pull");
            let rights = rights.entry(name.to_owned()).or_default();
            rights.extend(actions.map(str::to_owned));
        }
        // Not a JWT, and of characters that a careless client would change.
        let token = format!("opaque/{}+~_.-==", self.given.len());
        self.given.insert(token.clone(), rights);
        let mut document = serde_json::json!({bearer.field: token});
        if let Some(seconds) = bearer.expires_in {
            document["expires_in"] = seconds.into();
        }
        Answer::of(200)
            .with("content-type", "application/json")
            .body(document.to_string().as_bytes())
    }
}

fn challenge(bearer: &Bearer, call: &Call<'_>, realm: &str) -> Answer {
    let scopes: Vec<String> = needed(call)
        .into_iter()
        .map(|(repository, action)| {
            let actions = if action == "push" {
                "pull,push"
            } else {
                action
            };
            format!("repository:{repository}:{actions}")
        })
        .collect();
    let mut answer = Answer::error(401, "UNAUTHORIZED");
    for challenge in &bearer.challenges {
        let text = challenge
            .replace("{realm}", realm)
            .replace("{scope}", &scopes.join(" "));
        answer = answer.and("www-authenticate", &text);
    }
    answer
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
