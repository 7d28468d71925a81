//! The netrc file, as curl, git and pip read it: `machine NAME login USER password WORD`, `default`,
//! `macdef NAME` up to an empty line, `account WORD` (read over), `#` comments, and words in double
//! quotes with `\` escapes.

use crate::net::Secret;
use crate::net::credentials::BasicLogin;

/// Entries taken from all files; nobody writes so many by hand.
const MAX_ENTRIES: usize = 10_000;

/// Why a netrc file cannot be used. No word of the file is in it, for one may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetrcError {
    /// A keyword without its value.
    #[error("line {line}: a value is missing")]
    Missing {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A word that is no keyword, or one outside an entry.
    #[error("line {line}: unexpected word")]
    Unexpected {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A quote that does not end.
    #[error("line {line}: a quote does not end")]
    OpenQuote {
        /// Line of the file, from 1.
        line: usize,
    },
    #[error("more than {MAX_ENTRIES} entries")]
    TooMany,
}

/// One `machine` or `default`.
#[derive(Debug, Clone)]
struct NetrcEntry {
    /// The name after `machine`; `None` for `default`.
    host: Option<String>,
    basic: BasicLogin,
}

/// All entries, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Netrc {
    entries: Vec<NetrcEntry>,
}

impl Netrc {
    /// Adds the entries of one file.
    pub(super) fn add(&mut self, text: &str) -> Result<(), NetrcError> {
        let mut reader = NetrcReader {
            entries: Vec::new(),
            due: None,
            in_macro: false,
        };
        let mut last = 0;
        for (index, line) in text.lines().enumerate() {
            last = index + 1;
            reader.line(line, last)?;
        }
        if reader.due.is_some() {
            return Err(NetrcError::Missing { line: last });
        }
        self.entries.append(&mut reader.entries);
        if self.entries.len() > MAX_ENTRIES {
            Err(NetrcError::TooMany)
        } else {
            Ok(())
        }
    }

    /// The first entry for `host`, else `default`'s; one that names neither user nor password is none.
    pub(super) fn lookup(&self, host: &str) -> Option<BasicLogin> {
        let host = host.to_ascii_lowercase();
        let named = self
            .entries
            .iter()
            .find(|entry| entry.host.as_ref() == Some(&host));
        let entry = named.or_else(|| self.entries.iter().find(|entry| entry.host.is_none()))?;
        let empty = entry.basic.user.is_empty() && entry.basic.password.expose().is_empty();
        (!empty).then(|| entry.basic.clone())
    }
}

fn nobody() -> BasicLogin {
    BasicLogin {
        user: String::new(),
        password: Secret::new(""),
    }
}

/// Keywords that take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NetrcKeyword {
    Machine,
    Login,
    Password,
    Account,
}

/// A file half read.
struct NetrcReader {
    entries: Vec<NetrcEntry>,
    /// The keyword whose value comes next, be it on the next line.
    due: Option<NetrcKeyword>,
    in_macro: bool,
}

impl NetrcReader {
    fn line(&mut self, line: &str, number: usize) -> Result<(), NetrcError> {
        if self.in_macro {
            self.in_macro = !line.trim().is_empty();
            return Ok(());
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            // A password may begin with `#`; a keyword does not.
            if self.due.is_none() && rest.starts_with('#') {
                return Ok(());
            }
            let (word, tail) = word(rest, number)?;
            rest = tail.trim_start();
            match self.due.take() {
                Some(keyword) => self.value(keyword, word, number)?,
                None if word == "macdef" => {
                    self.in_macro = true;
                    return Ok(());
                }
                None => self.keyword(&word, number)?,
            }
        }
        Ok(())
    }

    fn keyword(&mut self, word: &str, line: usize) -> Result<(), NetrcError> {
        self.due = match word {
            "machine" => Some(NetrcKeyword::Machine),
            "login" | "user" => Some(NetrcKeyword::Login),
            "password" => Some(NetrcKeyword::Password),
            "account" => Some(NetrcKeyword::Account),
            "default" => {
                self.entries.push(NetrcEntry {
                    host: None,
                    basic: nobody(),
                });
                None
            }
            _ => return Err(NetrcError::Unexpected { line }),
        };
        Ok(())
    }

    fn value(
        &mut self,
        keyword: NetrcKeyword,
        value: String,
        line: usize,
    ) -> Result<(), NetrcError> {
        if keyword == NetrcKeyword::Machine {
            let host = Some(value.to_ascii_lowercase());
            self.entries.push(NetrcEntry {
                host,
                basic: nobody(),
            });
            return Ok(());
        }
        let entry = self
            .entries
            .last_mut()
            .ok_or(NetrcError::Unexpected { line })?;
        match keyword {
            NetrcKeyword::Login => entry.basic.user = value,
            NetrcKeyword::Password => entry.basic.password = Secret::new(value),
            NetrcKeyword::Account | NetrcKeyword::Machine => {}
        }
        Ok(())
    }
}

/// The first word of text that does not begin with a space, and what follows it.
fn word(text: &str, line: usize) -> Result<(String, &str), NetrcError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut word = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => word.push('\n'),
                Some((_, 't')) => word.push('\t'),
                Some((_, 'r')) => word.push('\r'),
                Some((_, escaped)) => word.push(escaped),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(NetrcError::OpenQuote { line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<(String, String)> {
        let mut netrc = Netrc::default();
        netrc.add(text).unwrap();
        netrc
            .lookup(host)
            .map(|basic| (basic.user, basic.password.expose().to_owned()))
    }

    fn pair(user: &str, password: &str) -> (String, String) {
        (user.to_owned(), password.to_owned())
    }

    #[test]
    fn finds_entries_in_any_layout() {
        let text = "# mine\nmachine A.example login u password p#1\n\
            machine b.example\n\tlogin x # the bot\n\taccount z\n\tpassword\n#y\n\
            macdef init\ncd /pub\nmachine evil login no\n\n\
            machine c.example password \"a b\\\"c\" default login d password e";
        assert_eq!(found(text, "a.EXAMPLE"), Some(pair("u", "p#1")));
        assert_eq!(found(text, "b.example"), Some(pair("x", "#y")));
        assert_eq!(found(text, "c.example"), Some(pair("", "a b\"c")));
        assert_eq!(found(text, "evil"), Some(pair("d", "e")));
        assert_eq!(found("machine h login u password p", "other"), None);
        assert_eq!(found("machine h\ndefault login d password e", "h"), None);
        assert_eq!(found("", "h"), None);
    }

    #[test]
    fn says_where_it_is_wrong_without_the_words() {
        let error = |text: &str| Netrc::default().add(text).unwrap_err();
        assert_eq!(error("machine h\nlogin"), NetrcError::Missing { line: 2 });
        assert_eq!(
            error("machine h login u\npasswd s3cret"),
            NetrcError::Unexpected { line: 2 }
        );
        assert_eq!(error("login u"), NetrcError::Unexpected { line: 1 });
        assert_eq!(
            error("machine h password \"s3cret"),
            NetrcError::OpenQuote { line: 1 }
        );
        assert!(
            !error("machine h login u\npasswd s3cret")
                .to_string()
                .contains("s3cret")
        );
        assert_eq!(
            error(&"default\n".repeat(MAX_ENTRIES + 1)),
            NetrcError::TooMany
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(machine|default|login|password|macdef|account| |\n|\"|\\\\|#|[a-zä]{1,3}){0,30}") {
            let _ = Netrc::default().add(&text);
        }
    }
}
