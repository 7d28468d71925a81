//! `WWW-Authenticate` (RFC 9110 section 11.6.1), of which registries use `Bearer` and `Basic`.

use std::collections::BTreeMap;

/// Longest header looked at.
const MAX_CHALLENGE_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthChallenge {
    /// `bearer`, in lower case.
    pub scheme: String,
    /// Parameters, their names in lower case.
    pub parameters: BTreeMap<String, String>,
}

impl AuthChallenge {
    /// Whether it says that a token was good, but not for this (RFC 6750, section 3.1).
    pub(crate) fn is_insufficient(&self) -> bool {
        self.parameters
            .get("error")
            .is_some_and(|error| error == "insufficient_scope")
    }
}

/// All challenges of one header value, which may hold several; what cannot be read is left out.
pub(crate) fn parse(text: &str) -> Vec<AuthChallenge> {
    let mut found: Vec<AuthChallenge> = Vec::new();
    let mut rest = text
        .get(..MAX_CHALLENGE_BYTES)
        .unwrap_or(text)
        .trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=', '\t']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let after = tail.trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            // A parameter belongs to the challenge begun last.
            Some(value) if !word.is_empty() => {
                let (value, after) = value_of(value.trim_start());
                if let Some(challenge) = found.last_mut() {
                    challenge
                        .parameters
                        .entry(word.to_ascii_lowercase())
                        .or_insert(value);
                }
                rest = after;
            }
            // No name before `=`: padding of a token68, passed over.
            Some(value) => rest = value,
            None => {
                let scheme = word.to_ascii_lowercase();
                if !scheme.is_empty() {
                    found.push(AuthChallenge {
                        scheme,
                        parameters: BTreeMap::new(),
                    });
                }
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, Vec<(String, String)>) {
        let challenge = parse(text).remove(0);
        (challenge.scheme, challenge.parameters.into_iter().collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn reads_challenges() {
        let (scheme, parameters) =
            one(r#"Bearer realm="https://a/token",service="r",scope="repository:x:pull,push""#);
        assert_eq!(scheme, "bearer");
        let expected = [
            ("realm", "https://a/token"),
            ("scope", "repository:x:pull,push"),
            ("service", "r"),
        ];
        assert_eq!(parameters, pairs(&expected));
        assert_eq!(
            one("Basic realm=plain, charset = \"UTF-8\"").1,
            pairs(&[("charset", "UTF-8"), ("realm", "plain")])
        );
        assert_eq!(
            one(r#"BASIC realm="a \"b\", c""#),
            ("basic".into(), pairs(&[("realm", "a \"b\", c")]))
        );
        assert_eq!(one("Bearer").1, []);
    }

    #[test]
    fn reads_several() {
        let text = r#"Negotiate, Basic realm="x", Bearer realm="https://a", error="invalid_token""#;
        let schemes: Vec<_> = parse(text)
            .into_iter()
            .map(|challenge| challenge.scheme)
            .collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(parse(text)[2].parameters["realm"], "https://a");
    }

    #[test]
    fn nonsense_gives_nothing_and_ends() {
        for text in [
            "",
            ",,,",
            "=",
            "==\"",
            "a=\"b",
            "Bearer realm=\"open",
            "\"",
            "Bearer =,= =",
            "ä=ö ü",
        ] {
            let _ = parse(text);
        }
        assert_eq!(parse(""), []);
        assert_eq!(parse("a=b"), []);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(Bearer|Basic|realm|=|\"|\\\\|,| |[a-zä]{1,3}|\t){0,30}") {
            let _ = parse(&text);
        }
    }
}
