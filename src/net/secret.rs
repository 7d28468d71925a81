//! Text that must not reach a log, an error or an image.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// Shorter secrets are words like any other, and no message would be left.
const MIN_VEILED_BYTES: usize = 5;

/// A password, a token, or a header made of one. Prints as `***`; [`Secret::expose`] is the one way
/// to the text, so that a search for it finds every use.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What was sent in confidence, to be taken out of what a server says: some repeat the request's headers
/// in their errors.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecretFilter(Vec<Secret>);

impl SecretFilter {
    /// Over an `Authorization`: the whole value, its token, and the password in it.
    pub(crate) fn of_authorization(header: &Secret) -> Self {
        let mut veil = Self::default();
        veil.add(header.expose());
        if let Some((_, token)) = header.expose().split_once(' ') {
            veil.add(token);
            veil.add(token.trim_end_matches('='));
            let pair = BASE64.decode(token).ok();
            let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
            if let Some((_, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                veil.add(password);
            }
        }
        veil
    }

    /// Over this secret, too.
    pub(crate) fn and(mut self, secret: &Secret) -> Self {
        self.add(secret.expose());
        self
    }

    fn add(&mut self, text: &str) {
        if text.len() < MIN_VEILED_BYTES {
            return;
        }
        self.0.push(Secret::new(text));
        // As JSON may have it.
        if text.contains(['/', '"', '\\']) {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            self.0.push(Secret::new(quoted.replace('/', "\\/")));
            self.0.push(Secret::new(quoted));
        }
        // What holds another one goes first.
        self.0
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// The text without the secrets.
    pub(crate) fn over(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose(), "***")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cannot_be_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn is_taken_out_of_what_is_said() {
        // u:hunter2
        let veil = SecretFilter::of_authorization(&Secret::new("Basic dTpodW50ZXIy"));
        for (said, left) in [
            ("bad header Basic dTpodW50ZXIy", "bad header ***"),
            ("bad token dTpodW50ZXIy!", "bad token ***!"),
            (
                "u may not come in with hunter2",
                "u may not come in with ***",
            ),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(veil.over(said), left);
        }
        let bearer = SecretFilter::of_authorization(&Secret::new("Bearer a/b+c.d=="));
        assert_eq!(bearer.over("x a\\/b+c.d y a/b+c.d== z"), "x *** y *** z");
        // \"u:abc\": a word, and no veil for it.
        let short = SecretFilter::of_authorization(&Secret::new("Basic dTphYmM="));
        assert_eq!(short.over("abc dTphYmM="), "abc ***");
        assert!(!format!("{veil:?}").contains("hunter2"));
    }
}
