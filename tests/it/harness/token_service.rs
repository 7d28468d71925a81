//! A token service for a real registry: JSON web tokens, signed with a key that the registry trusts.
//!
//! <https://distribution.github.io/distribution/spec/auth/jwt/>

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::faulty::basic;
use crate::harness::listener::Listener;
use crate::harness::tls::{Authority, Identity, signature};

const ISSUER: &str = "s2r-it";
const SERVICE: &str = "the registry of the tests";

struct Shared {
    identity: Identity,
    user: (String, String),
    /// Request lines.
    asked: Mutex<Vec<String>>,
}

/// A running token service; ends with the value.
pub(crate) struct TokenService {
    shared: Arc<Shared>,
    authority: Authority,
    listener: Listener,
}

impl TokenService {
    pub(crate) fn start(user: &str, password: &str) -> Self {
        let authority = Authority::new();
        let shared = Arc::new(Shared {
            identity: authority.issue("tokens", "serverAuth"),
            user: (user.to_owned(), password.to_owned()),
            asked: Mutex::default(),
        });
        let for_connections = Arc::clone(&shared);
        let listener = Listener::start(move |client| for_connections.answer(client));
        Self {
            shared,
            authority,
            listener,
        }
    }

    /// The registry's `auth` section.
    pub(crate) fn setup(&self) -> String {
        format!(
            "auth: {{token: {{realm: \"http://127.0.0.1:{}/token\", service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {}}}}}",
            self.listener.port(),
            self.authority.certificate().display()
        )
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    fn answer(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(request) = lines.next() else {
            return;
        };
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let wanted = format!("authorization: {}", basic(&self.user.0, &self.user.1));
        let is_known = headers
            .iter()
            .any(|line| line.eq_ignore_ascii_case(&wanted));
        self.asked.lock().unwrap().push(request.clone());
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = if is_known {
            (200, json!({"token": self.token(target), "expires_in": 300}))
        } else {
            (401, json!({"details": "who are you?"}))
        };
        let body = body.to_string();
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    /// All that is asked for is granted.
    fn token(&self, target: &str) -> String {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let scopes = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("scope="));
        let access: Vec<Value> = scopes
            .map(|scope| {
                scope
                    .replace("%3A", ":")
                    .replace("%2C", ",")
                    .replace("%2F", "/")
            })
            .filter_map(|scope| {
                let mut parts = scope.splitn(3, ':');
                let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
                let actions: Vec<&str> = actions.split(',').collect();
                Some(json!({"type": kind, "name": name, "actions": actions}))
            })
            .collect();
        let pem = fs::read_to_string(&self.identity.certificate).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(STANDARD.decode(&base64).is_ok());
        #[expect(clippy::disallowed_methods, reason = "tokens are good for a time")]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [base64]});
        let claims = json!({
            "iss": ISSUER, "sub": self.user.0, "aud": SERVICE, "jti": "1",
            "iat": now, "nbf": now - 5, "exp": now + 300, "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = signature(&self.identity.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
