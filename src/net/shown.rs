//! URLs as they may be shown: without user, password, or anything in the query that grants access.

use std::fmt;

use reqwest::Url;

/// Parts of a query key that say its value grants access. Storage services sign their URLs with
/// `X-Amz-*`, `X-Goog-*`, `sig`, `Policy`; registries carry upload state in `_state`.
const TELLING: [&str; 12] = [
    "amz", "auth", "cred", "goog", "key", "pass", "policy", "pwd", "secret", "sig", "state",
    "token",
];

/// A URL made fit for logs and errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShownUrl(String);

impl ShownUrl {
    /// What may be shown of `url`.
    pub(crate) fn of(url: &Url) -> Self {
        let mut shown = url.clone();
        if !url.username().is_empty() || url.password().is_some() {
            // Fails only for URLs without a host, which have no user either.
            let _ = shown.set_password(None);
            let _ = shown.set_username("***");
        }
        if url.query().is_some() {
            let pairs: Vec<String> = url
                .query()
                .unwrap_or_default()
                .split('&')
                .map(pair)
                .collect();
            shown.set_query(Some(&pairs.join("&")));
        }
        shown.set_fragment(None);
        Self(shown.into())
    }

    /// What may be shown of text that ought to be a URL: of text that is none, only that.
    pub(crate) fn parse(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) => Self::of(&url),
            Err(_) if text.contains(['@', '?']) => Self("(not a URL)".to_owned()),
            Err(_) => Self(text.to_owned()),
        }
    }
}

/// One `key=value` of a query, its value hidden where the key tells of a secret.
fn pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if tells(key) => format!("{key}=***"),
        // A bare word may be a token itself.
        None if pair.len() > 16 => "***".to_owned(),
        Some(_) | None => pair.to_owned(),
    }
}

fn tells(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    TELLING.iter().any(|part| key.contains(part))
}

impl fmt::Display for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_secret() {
        let cases = [
            ("https://h/p?x=1", "https://h/p?x=1"),
            ("https://u:pw@h:8443/p", "https://***@h:8443/p"),
            ("https://tok@h/p#sha256=1", "https://***@h/p"),
            (
                "https://h/p?X-Amz-Signature=ab&X-Amz-Credential=c&part=2",
                "https://h/p?X-Amz-Signature=***&X-Amz-Credential=***&part=2",
            ),
            (
                "http://h/v2/x?_state=abc&digest=sha256:1",
                "http://h/v2/x?_state=***&digest=sha256:1",
            ),
            (
                "https://h/p?access_token=1&sv=2&sig=3",
                "https://h/p?access_token=***&sv=2&sig=***",
            ),
            ("https://h/p?abcdefghijklmnopqrst", "https://h/p?***"),
            ("//u:pw@nowhere", "(not a URL)"),
            ("plain", "plain"),
        ];
        for (url, shown) in cases {
            assert_eq!(ShownUrl::parse(url).to_string(), shown);
        }
    }
}
