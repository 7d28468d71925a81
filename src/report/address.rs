//! Addresses as they may be said: without user and password, and without what in a query grants access.
//!
//! The one place that decides where the login of an address ends. RFC 3986 ends it at the first `/`, `?`
//! or `#`; people write passwords that hold these, and then most of the password stands in the path.

use std::borrow::Cow;

/// Parts of a query's key that say its value grants access. Storage services sign their URLs with
/// `X-Amz-*`, `X-Goog-*`, `sig`, `Policy`; registries carry upload state in `_state`.
const TELLING: [&str; 12] = [
    "amz", "auth", "cred", "goog", "key", "pass", "policy", "pwd", "secret", "sig", "state",
    "token",
];
/// Longest word of a query without `=` that is shown; a longer one may be a token.
const MAX_BARE_BYTES: usize = 16;

/// What follows `scheme://`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UrlParts<'a> {
    /// `user:password`, if there is an `@` behind it.
    pub login: Option<&'a str>,
    /// From the host on.
    pub rest: &'a str,
    /// Whether the login holds `/`, `?` or `#`, so that a strict reader takes its start for the host.
    pub is_cut: bool,
}

/// Takes the login off what follows `scheme://`.
pub(crate) fn split_login(text: &str) -> UrlParts<'_> {
    let cut = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (authority, after) = text.split_at(cut);
    let is_cut = !authority.contains('@') && is_start_of_login(authority, after);
    let end = if is_cut {
        text.rfind('@')
    } else {
        authority.rfind('@')
    };
    match end {
        Some(at) => UrlParts {
            login: Some(&text[..at]).filter(|login| !login.is_empty()),
            rest: &text[at + 1..],
            is_cut,
        },
        None => UrlParts {
            login: None,
            rest: text,
            is_cut: false,
        },
    }
}

/// Whether what stands where a host should is the start of a login: an `@` follows, and it has a port
/// that is none, or a name without a dot before an `@` with a host and a path behind it. `host/x.git@v1`
/// is an address with a branch.
fn is_start_of_login(authority: &str, after: &str) -> bool {
    let Some(at) = after.rfind('@') else {
        return false;
    };
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    if !port.chars().all(|c| c.is_ascii_digit()) && !authority.ends_with(']') {
        return true;
    }
    let is_host = host.contains(['.', '[']) || host == "localhost" || host.is_empty();
    let (name, path) = after[at + 1..]
        .split_once('/')
        .unwrap_or((&after[at + 1..], ""));
    !is_host && !path.is_empty() && name.contains(['.', ':'])
        || !is_host && after.starts_with(['?', '#'])
}

/// An address without user and password, with a scheme or, as proxies are often named, without.
pub(crate) fn without_login(address: &str) -> Cow<'_, str> {
    let from = address.find("://").map_or(0, |at| at + 3);
    let split = split_login(&address[from..]);
    match split.login {
        Some(_) => Cow::Owned(format!("{}{}", &address[..from], split.rest)),
        None => Cow::Borrowed(address),
    }
}

/// A text with the secrets of all addresses in it starred out.
pub(crate) fn redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c);
        let (address, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        let split = split_login(address);
        if split.login.is_some() {
            clean.push_str("****@");
        }
        push_redacted(&mut clean, split.rest);
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Adds an address from the host on, without secrets in its query and fragment.
fn push_redacted(clean: &mut String, text: &str) {
    let (text, fragment) = match text.split_once('#') {
        Some((text, fragment)) => (text, Some(fragment)),
        None => (text, None),
    };
    match text.split_once('?') {
        None => clean.push_str(text),
        Some((path, query)) => {
            clean.push_str(path);
            clean.push('?');
            clean.push_str(&redacted_query(query));
        }
    }
    if let Some(fragment) = fragment {
        clean.push('#');
        let pairs = fragment.split('&').map(|one| match one.split_once('=') {
            Some(_) => redacted_pair(one),
            None => one.to_owned(),
        });
        clean.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
}

/// A query with the values that grant access starred out.
pub(crate) fn redacted_query(query: &str) -> String {
    let pairs: Vec<String> = query.split('&').map(redacted_pair).collect();
    pairs.join("&")
}

/// Whether a query grants access.
pub(crate) fn is_secret_query(query: &str) -> bool {
    redacted_query(query) != query
}

fn redacted_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if tells(key) => format!("{key}=***"),
        None if pair.len() > MAX_BARE_BYTES => "***".to_owned(),
        Some(_) | None => pair.to_owned(),
    }
}

fn tells(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    TELLING.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_end_at_the_host() {
        for (text, login, rest, is_cut) in [
            ("h/p", None, "h/p", false),
            ("u:p@h/p@q", Some("u:p"), "h/p@q", false),
            ("u:a@b@h", Some("u:a@b"), "h", false),
            ("@h/p", None, "h/p", false),
            ("u:pa/ss@h/p", Some("u:pa/ss"), "h/p", true),
            ("u:pa?ss@h/p", Some("u:pa?ss"), "h/p", true),
            ("u:pa#ss@h:1/p", Some("u:pa#ss"), "h:1/p", true),
            (
                "to/ken@h.example/simple",
                Some("to/ken"),
                "h.example/simple",
                true,
            ),
            ("tok#en@h/simple", Some("tok#en"), "h/simple", true),
            ("h.example/x.git@v1", None, "h.example/x.git@v1", false),
            ("h:3000/x.git@v1.2", None, "h:3000/x.git@v1.2", false),
            (
                "gitea/x.git@feature/y",
                None,
                "gitea/x.git@feature/y",
                false,
            ),
            ("[::1]:80/a@b", None, "[::1]:80/a@b", false),
            ("/srv/a@b.c/d", None, "/srv/a@b.c/d", false),
        ] {
            let split = split_login(text);
            assert_eq!(
                (split.login, split.rest, split.is_cut),
                (login, rest, is_cut),
                "{text}"
            );
        }
    }

    #[test]
    fn proxies_lose_their_login() {
        for (proxy, plain) in [
            ("http://u:p@h:3128", "http://h:3128"),
            ("u:p@h:3128", "h:3128"),
            ("http://u:p/q@h:3128/", "http://h:3128/"),
            ("http://h:3128/", "http://h:3128/"),
            ("h", "h"),
        ] {
            assert_eq!(without_login(proxy), plain);
        }
    }

    #[test]
    fn secrets_are_starred_out() {
        for (text, said) in [
            (
                "no `https://u:p@h/x` or git+https://t@g/y, mail a@b",
                "no `https://****@h/x` or git+https://****@g/y, mail a@b",
            ),
            ("at https://u:pa/ss@h/x.", "at https://****@h/x."),
            ("'https://u:pa#ss@h/x'", "'https://****@h/x'"),
            (
                "https://h/x?token=abc&b=1#sha256=9",
                "https://h/x?token=***&b=1#sha256=9",
            ),
            (
                "https://h/x#access_token=abc",
                "https://h/x#access_token=***",
            ),
            ("https://h/x?0123456789abcdefg", "https://h/x?***"),
            ("plain", "plain"),
        ] {
            assert_eq!(redacted(text), said);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_says_a_password(
            text in ".{0,60}",
            before in "[a-z]{1,5}[/?#]{0,1}",
            secret in "[a-z]{12}",
            path in "(/[a-z]{1,5}){0,3}",
        ) {
            let _ = redacted(&text);
            let said = redacted(&format!("https://user:{before}{secret}@h.example{path}"));
            proptest::prop_assert!(!said.contains(&secret), "{}", said);
        }
    }
}
