//! What a registry refuses, in its own words.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::net::http::{
    HttpError, RetryHint, Retryable, StreamedResponse, after_tries, printable, status_may_pass,
};
use crate::net::mirrors::MirrorsError;
use crate::net::{SecretFilter, ShownUrl};
use crate::report::{ErrorClass, Explain, Explanation};

/// Entries of an error document that are shown.
const MAX_SHOWN_ERRORS: usize = 3;

/// One entry of a registry's error document (distribution-spec, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct RegistryRefusal {
    /// For instance `MANIFEST_BLOB_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// For people; bounded and printable.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct ErrorEnvelope {
    errors: Vec<RegistryRefusal>,
}

/// A failure to talk to a registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The exchange itself failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The registry wants credentials that it has not got, or takes not those that it got.
    #[error(
        "{registry} refuses access to {repository} ({status}){}",
        words(refusals)
    )]
    Denied {
        registry: String,
        repository: String,
        /// 401 or 403.
        status: u16,
        /// Whether credentials were sent.
        had_credentials: bool,
        /// Who asked is known, and may not do this.
        lacks_rights: bool,
        refusals: Vec<RegistryRefusal>,
    },
    /// The registry says no.
    #[error("{url} answers {status}{}", words(refusals))]
    Refused {
        url: ShownUrl,
        status: u16,
        refusals: Vec<RegistryRefusal>,
        /// What it asks by `Retry-After`.
        passing: RetryHint,
        tries: u32,
    },
    /// The registry's answer is not what the protocol has.
    #[error("{url}: {what}")]
    Protocol {
        url: ShownUrl,
        /// What is wrong with it.
        what: ProtocolBreach,
    },
    /// The registry names another digest than the bytes have.
    #[error("{url} has digest {found}, not {expected}")]
    WrongDigest {
        url: ShownUrl,
        /// As the bytes have it.
        expected: String,
        /// As the registry has it.
        found: String,
    },
    /// The user's rules for registries are of no use.
    #[error(transparent)]
    Rules(#[from] Arc<MirrorsError>),
    /// The user's rules forbid it.
    #[error("{name} is blocked by {}{}", file.display(), besides(mirrors))]
    Blocked {
        name: String,
        /// Names that begin so are blocked.
        prefix: String,
        /// The file that says so.
        file: PathBuf,
        /// What the mirrors have answered, one each.
        mirrors: Vec<String>,
    },
    /// Neither the mirrors have it nor the registry itself.
    #[error("{error}{}", besides(mirrors))]
    Mirrored {
        /// The registry's own failure.
        error: Box<Self>,
        /// What the mirrors have answered, one each.
        mirrors: Vec<String>,
    },
}

/// Ways to break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolBreach {
    /// The host is no host.
    #[error("not the name of a registry")]
    Name,
    /// A token service's answer without a token.
    #[error("the token service gives no token")]
    NoToken,
    /// A token service that no credentials are sent to: not https, or of another owner.
    #[error("the token service is on another host or without TLS, and gets no credentials")]
    Realm,
}

impl RegistryError {
    /// A reply with a status that was not hoped for.
    pub(super) fn of(reply: StreamedResponse) -> Self {
        let (url, status, passing) = (reply.shown(), reply.status(), reply.passing());
        let refusals = refusals_of(reply);
        Self::Refused {
            url,
            status,
            refusals,
            passing,
            tries: 1,
        }
    }

    /// What a [`super::BlobReader`] put into an error of reading.
    pub(crate) fn of_read(error: std::io::Error, url: &ShownUrl) -> Self {
        let url = url.clone();
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => HttpError::Local { url, source }.into(),
        }
    }

    /// The HTTP status, if an answer is the failure.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Denied { status, .. } => Some(*status),
            Self::Http(error) => error.status(),
            Self::Mirrored { error, .. } => error.status(),
            Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. } => None,
        }
    }

    /// The same failure, with those of the mirrors that were asked before.
    pub(super) fn beside_mirrors(self, mirrors: Vec<String>) -> Self {
        if mirrors.is_empty() {
            return self;
        }
        Self::Mirrored {
            error: Box::new(self),
            mirrors,
        }
    }

    /// Whether somebody answered, and what came was wrong.
    pub(super) fn is_about_bytes(&self) -> bool {
        matches!(
            self,
            Self::WrongDigest { .. }
                | Self::Http(HttpError::WrongSize { .. } | HttpError::TooLarge { .. })
        )
    }

    /// Whether the registry gives a reason that the specification has a code for; proxies do not.
    pub(super) fn has_a_code(&self) -> bool {
        match self {
            Self::Refused { refusals, .. } | Self::Denied { refusals, .. } => refusals
                .iter()
                .any(|refusal| !matches!(refusal.code.as_str(), "" | "UNKNOWN" | "UNSUPPORTED")),
            Self::Mirrored { error, .. } => error.has_a_code(),
            Self::Http(_)
            | Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. } => false,
        }
    }

    /// Whether a manifest was refused because of its kind, as far as can be told: by status, by code, or
    /// by a bare 500, with which old registries answer what they do not know.
    pub(crate) fn is_about_media_types(&self) -> bool {
        if self.is_about_immutability() {
            return false;
        }
        match self {
            Self::Refused { status: 415, .. } => true,
            Self::Refused { status, .. } => {
                (400..500).contains(status)
                    && (self.says("MANIFEST_INVALID") || self.says("UNSUPPORTED"))
            }
            Self::Http(HttpError::Status {
                status: 500, body, ..
            }) => {
                let reasons = ["MANIFEST_INVALID", "UNSUPPORTED", "\"UNKNOWN\""];
                !body.contains("\"code\"") || reasons.iter().any(|reason| body.contains(reason))
            }
            Self::Mirrored { error, .. } => error.is_about_media_types(),
            Self::Http(_)
            | Self::Denied { .. }
            | Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. } => false,
        }
    }

    /// Whether a tag was refused because it must not change. There is no code for it in the
    /// specification. Seen: `TAG_INVALID` with 400 (ECR), 412 (Harbor), `UNKNOWN` with 409 (Quay),
    /// `DENIED` with 403; what they have in common is a word.
    pub(crate) fn is_about_immutability(&self) -> bool {
        let (Self::Refused {
            status, refusals, ..
        }
        | Self::Denied {
            status, refusals, ..
        }) = self
        else {
            return false;
        };
        matches!(status, 400 | 403 | 405 | 409 | 412)
            && refusals.iter().any(|refusal| {
                let words = refusal.message.to_ascii_lowercase();
                let code = refusal.code.to_ascii_uppercase();
                code.contains("IMMUTABLE")
                    || words.contains("immutable")
                    || words.contains("cannot be overwritten")
            })
    }

    /// Whether the registry gives this code as a reason.
    pub(crate) fn says(&self, code: &str) -> bool {
        match self {
            Self::Refused { refusals, .. } | Self::Denied { refusals, .. } => {
                refusals.iter().any(|refusal| refusal.code == code)
            }
            // A 500 carries its body here as text.
            Self::Http(HttpError::Status { body, .. }) => body.contains(code),
            Self::Mirrored { error, .. } => error.says(code),
            Self::Http(_)
            | Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. } => false,
        }
    }
}

impl Retryable for RegistryError {
    fn passing(&self) -> Option<RetryHint> {
        match self {
            // Some say with a 500 that they will never take it.
            Self::Http(_) if self.says("MANIFEST_INVALID") => None,
            Self::Http(error) => error.passing(),
            Self::Refused {
                status, passing, ..
            } if status_may_pass(*status) => Some(*passing),
            // The session is gone, another replica's perhaps; a new one may live.
            Self::Refused { .. } if self.says("BLOB_UPLOAD_UNKNOWN") => Some(RetryHint::Scheduled),
            // Each has been patient for itself.
            Self::Mirrored { .. }
            | Self::Refused { .. }
            | Self::Denied { .. }
            | Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. } => None,
        }
    }

    fn after(mut self, made: u32) -> Self {
        match &mut self {
            Self::Refused { tries, .. } => *tries = made,
            Self::Http(error) => {
                let placeholder = HttpError::Setup {
                    cause: String::new(),
                };
                *error = std::mem::replace(error, placeholder).after(made);
            }
            Self::Denied { .. }
            | Self::Protocol { .. }
            | Self::WrongDigest { .. }
            | Self::Rules(_)
            | Self::Blocked { .. }
            | Self::Mirrored { .. } => {}
        }
        self
    }
}

/// The entries of an error document; of another body its beginning, as one entry without a code.
/// Nothing in them was sent there in confidence.
pub(super) fn refusals_of(reply: StreamedResponse) -> Vec<RegistryRefusal> {
    let veil = reply.veil();
    refusals(&reply.into_excerpt(), &veil)
}

fn refusals(body: &[u8], veil: &SecretFilter) -> Vec<RegistryRefusal> {
    let veiled = |text: &str| printable(veil.over(text).as_bytes());
    let is_code = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let shown = |refusal: RegistryRefusal| RegistryRefusal {
        code: match refusal.code {
            code if is_code(&code) => printable(code.as_bytes()),
            other => veiled(&other),
        },
        message: veiled(&refusal.message),
    };
    if let Ok(envelope) = serde_json::from_slice::<ErrorEnvelope>(body) {
        return envelope
            .errors
            .into_iter()
            .take(MAX_SHOWN_ERRORS)
            .map(shown)
            .collect();
    }
    let message = veiled(&String::from_utf8_lossy(body));
    if message.is_empty() {
        return Vec::new();
    }
    vec![RegistryRefusal {
        code: String::new(),
        message,
    }]
}

fn words(refusals: &[RegistryRefusal]) -> String {
    let one = |refusal: &RegistryRefusal| match (refusal.code.as_str(), refusal.message.as_str()) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    let all: Vec<String> = refusals.iter().map(one).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(": {}", all.join("; "))
    }
}

fn besides(mirrors: &[String]) -> String {
    let lines = mirrors.iter().map(|answer| format!("\nmirror: {answer}"));
    lines.collect()
}

impl Explain for RegistryError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Http(error) => error.explain(),
            Self::Denied { registry, repository, status, had_credentials, lacks_rights: _, refusals } => Explanation {
                class: ErrorClass::World,
                what: "the registry refuses access".to_owned(),
                place: format!("{registry}/{repository}").trim_end_matches('/').to_owned(),
                why: if *had_credentials {
                    format!("it answers {status} to the credentials found for it{}", words(refusals))
                } else {
                    format!("it answers {status}, and there are no credentials for it{}", words(refusals))
                },
                next: format!("log in (`s2r login {registry}`), and check that the account may push to {repository}"),
            },
            Self::Refused { url, status, refusals, tries, .. } => Explanation {
                class: ErrorClass::World,
                what: format!("the registry answers {status}"),
                place: url.to_string(),
                why: match words(refusals).strip_prefix(": ") {
                    Some(words) => format!("{words}{}", after_tries(*tries)),
                    None => format!("it gives no reason{}", after_tries(*tries)),
                },
                next: match status {
                    _ if self.says("BLOB_UPLOAD_UNKNOWN") => "the registry forgets uploads from one request to the next, as several replicas without shared state behind one name do: give them one storage and one secret (REGISTRY_HTTP_SECRET), or have a client stay with one of them".to_owned(),
                    404 => "check that the repository or project exists; some registries make none by themselves".to_owned(),
                    413 => "a proxy in front of the registry limits the size of a request: raise its limit".to_owned(),
                    400 | 409 | 412 => "the tag may be immutable, or the registry may not take this kind of image: its own words above say which".to_owned(),
                    _ => "try again later; if it stays, ask who runs the registry".to_owned(),
                },
            },
            Self::Protocol { url, what } => Explanation {
                class: ErrorClass::World,
                what: "the registry does not keep to the protocol".to_owned(),
                place: url.to_string(),
                why: what.to_string(),
                next: "check that the address is a container registry's".to_owned(),
            },
            Self::WrongDigest { url, expected, found } => Explanation {
                class: ErrorClass::World,
                what: "the registry has other bytes than were sent or asked for".to_owned(),
                place: url.to_string(),
                why: format!("expected {expected}\nfound    {found}"),
                next: "run the command again; if it stays, something between here and the registry changes the bytes".to_owned(),
            },
            Self::Rules(error) => error.explain(),
            Self::Blocked { name, prefix, file, mirrors } => Explanation {
                class: ErrorClass::World,
                what: "the registry is blocked here".to_owned(),
                place: name.clone(),
                why: format!("{} has blocked = true for {prefix}{}", file.display(), besides(mirrors)),
                next: "name an image of another registry, or ask who wrote that file".to_owned(),
            },
            Self::Mirrored { error, mirrors } => {
                let mut told = error.explain();
                told.why.push_str(&besides(mirrors));
                told
            }
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum RegistryError {
        Http(HttpError::TimedOut { url: url(), tries: 4 }),
        Denied {
            registry: "registry.example.com".into(),
            repository: "team/myimg".into(),
            status: 401,
            had_credentials: false,
            lacks_rights: false,
            refusals: vec![refusal("UNAUTHORIZED", "authentication required")],
        },
        Denied {
            registry: "registry.example.com".into(),
            repository: "team/myimg".into(),
            status: 403,
            had_credentials: true,
            lacks_rights: true,
            refusals: vec![refusal("DENIED", "")],
        },
        Refused { url: url(), status: 404, refusals: vec![refusal("BLOB_UPLOAD_UNKNOWN", "")], passing: RetryHint::Scheduled, tries: 4 },
        Refused { url: url(), status: 404, refusals: vec![refusal("NAME_UNKNOWN", "")], passing: RetryHint::Scheduled, tries: 1 },
        Refused { url: url(), status: 413, refusals: vec![], passing: RetryHint::Scheduled, tries: 1 },
        Refused { url: url(), status: 400, refusals: vec![refusal("MANIFEST_INVALID", "")], passing: RetryHint::Scheduled, tries: 1 },
        Refused { url: url(), status: 500, refusals: vec![], passing: RetryHint::Scheduled, tries: 4 },
        Protocol { url: url(), what: ProtocolBreach::Name },
        Protocol { url: url(), what: ProtocolBreach::NoToken },
        Protocol { url: url(), what: ProtocolBreach::Realm },
        WrongDigest { url: url(), expected: "sha256:aa11".into(), found: "sha256:bb22".into() },
        Rules(Arc::new(MirrorsError::BaseMirror { value: "https://registry.example.com".into() })),
        Blocked {
            name: "docker.io/library/python".into(),
            prefix: "docker.io".into(),
            file: "/etc/containers/registries.conf".into(),
            mirrors: vec!["mirror.example.com/hub answers 404".into()],
        },
        Mirrored {
            error: Box::new(RegistryError::Http(HttpError::TimedOut { url: url(), tries: 4 })),
            mirrors: vec!["mirror.example.com/hub answers 404".into()],
        },
    }
}

#[cfg(test)]
fn url() -> ShownUrl {
    ShownUrl::parse("https://registry.example.com/v2/team/myimg/blobs/uploads/")
}

#[cfg(test)]
fn refusal(code: &str, message: &str) -> RegistryRefusal {
    RegistryRefusal {
        code: code.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_error_documents_within_bounds() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\n\u001b[1m way","detail":{}},{"code":"X"},{},{}]}"#;
        let found = refusals(body, &SecretFilter::default());
        assert_eq!(found.len(), MAX_SHOWN_ERRORS);
        assert_eq!(words(&found), ": DENIED: no [1m way; X; ");
        assert_eq!(
            words(&refusals(b"plain", &SecretFilter::default())),
            ": plain"
        );
        assert_eq!(words(&refusals(b"<html>", &SecretFilter::default())), "");
        assert_eq!(
            words(&refusals(b"{\"errors\": 5}", &SecretFilter::default())),
            ": {\"errors\": 5}"
        );
    }
}
