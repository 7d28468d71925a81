//! URLs as they may be shown: without user, password, or anything in the query that grants access.

use std::fmt;

use reqwest::Url;

use crate::report::redacted_query;

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
        if let Some(query) = url.query() {
            shown.set_query(Some(&redacted_query(query)));
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
