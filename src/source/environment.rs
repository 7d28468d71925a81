//! Environment files: `.s2i/environment`, the file of `-E`, and the argument of `-e`.
//!
//! As in s2i, values are literal: `$`, backslashes and `export` mean nothing. One thing differs: a
//! pair of quotes round a whole value is taken off, because projects write them and never mean them.

use crate::report::{ErrorClass, Explain, Explanation};

pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;
/// Longest line; s2i's own limit.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// One variable and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvironmentVariable {
    /// Its name, not empty.
    pub name: String,
    /// Its value; may be a secret, so it never goes into a message.
    pub value: String,
    /// Line of the file, from 1; `None` for an argument.
    pub line: Option<u32>,
}

/// What was seen beside the variables; never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvironmentNote {
    /// A pair of quotes was taken off.
    Unquoted { line: u32, name: String },
    /// A line without `=`, or with nothing before it; skipped.
    Skipped { line: u32 },
    /// The name has a blank in it, as `export X` does; kept as it is.
    BlankInName { line: u32, name: String },
}

impl EnvironmentNote {
    /// What to tell the user: text and hint.
    pub(crate) fn told(&self, file: &str) -> (String, String) {
        match self {
            Self::Unquoted { line, name } => (
                format!("{file}:{line}: the quotes round the value of {name} are taken off"),
                "write the value without quotes; s2i keeps them as a part of it".to_owned(),
            ),
            Self::Skipped { line } => (
                format!("{file}:{line}: not of the form NAME=VALUE, so it is skipped"),
                "begin comments with #".to_owned(),
            ),
            Self::BlankInName { line, name } => (
                format!("{file}:{line}: the variable is named {name:?}, blank included"),
                "this is no shell script: write NAME=VALUE without `export`".to_owned(),
            ),
        }
    }
}

/// Why an environment file or argument cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// Not UTF-8, or a NUL byte.
    #[error("{file}:{line} is not text")]
    NotText {
        /// The file as the user knows it.
        file: String,
        line: u32,
        /// Whether the file is the project's (else it was named on the command line).
        of_project: bool,
    },
    /// A line is too long.
    #[error("{file}:{line} is longer than {MAX_LINE_BYTES} bytes")]
    LongLine {
        /// The file as the user knows it.
        file: String,
        line: u32,
        /// Whether the file is the project's.
        of_project: bool,
    },
    /// An argument of `-e` without `=` or name.
    #[error("-e takes NAME=VALUE")]
    Argument {
        /// What stands before the first `=`, or all of it.
        name: String,
    },
}

impl Explain for EnvironmentError {
    fn explain(&self) -> Explanation {
        let class_of = |of_project: bool| {
            if of_project {
                ErrorClass::Project
            } else {
                ErrorClass::CommandLine
            }
        };
        let (class, place, why, next) = match self {
            Self::NotText {
                file,
                line,
                of_project,
            } => (
                class_of(*of_project),
                format!("{file}:{line}"),
                "variables of an image are text in UTF-8 without NUL",
                "save the file as UTF-8",
            ),
            Self::LongLine {
                file,
                line,
                of_project,
            } => (
                class_of(*of_project),
                format!("{file}:{line}"),
                "a variable of that length cannot be passed to a program",
                "put the value into a file of the source",
            ),
            Self::Argument { name } => (
                ErrorClass::CommandLine,
                format!("-e {name}"),
                "a name without a value says nothing; values are not taken from the environment",
                "write -e NAME=VALUE, or -e NAME= for an empty value",
            ),
        };
        Explanation {
            class,
            what: self.to_string(),
            place,
            why: why.to_owned(),
            next: next.to_owned(),
        }
    }
}

/// Which grammar a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvironmentGrammar {
    /// `.s2i/environment`: `#` begins a comment in the first column only.
    Project,
    /// The file of `-E`: `#` and `//` begin comments, leading blanks allowed.
    CommandLine,
}

/// Reads an environment file; `file` is what messages call it.
pub(crate) fn parse(
    bytes: &[u8],
    form: EnvironmentGrammar,
    file: &str,
) -> Result<(Vec<EnvironmentVariable>, Vec<EnvironmentNote>), EnvironmentError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let of_project = form == EnvironmentGrammar::Project;
    let mut variables = Vec::new();
    let mut notes = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if bytes.len() > MAX_LINE_BYTES {
            return Err(EnvironmentError::LongLine {
                file: file.to_owned(),
                line,
                of_project,
            });
        }
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or_else(|| EnvironmentError::NotText {
                file: file.to_owned(),
                line,
                of_project,
            })?;
        if is_comment(text, form) {
            continue;
        }
        match split(text) {
            Some((name, value)) => {
                let value = unquoted(name, value, line, &mut notes);
                if name.contains(char::is_whitespace) {
                    notes.push(EnvironmentNote::BlankInName {
                        line,
                        name: name.to_owned(),
                    });
                }
                variables.push(EnvironmentVariable {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    line: Some(line),
                });
            }
            None => notes.push(EnvironmentNote::Skipped { line }),
        }
    }
    Ok((variables, notes))
}

/// Reads an argument of `-e`; both sides are trimmed, quotes are the shell's business.
pub(crate) fn parse_argument(text: &str) -> Result<EnvironmentVariable, EnvironmentError> {
    match split(text) {
        Some((name, value)) if !text.contains('\0') => Ok(EnvironmentVariable {
            name: name.to_owned(),
            value: value.to_owned(),
            line: None,
        }),
        // The value may be a secret, so the name alone is quoted.
        _ => Err(EnvironmentError::Argument {
            name: text.split('=').next().unwrap_or_default().to_owned(),
        }),
    }
}

fn is_comment(text: &str, form: EnvironmentGrammar) -> bool {
    let trimmed = text.trim();
    trimmed.is_empty()
        || match form {
            EnvironmentGrammar::Project => text.starts_with('#'),
            EnvironmentGrammar::CommandLine => {
                trimmed.starts_with('#') || trimmed.starts_with("//")
            }
        }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    (!name.is_empty()).then_some((name, value.trim()))
}

fn unquoted<'a>(
    name: &str,
    value: &'a str,
    line: u32,
    notes: &mut Vec<EnvironmentNote>,
) -> &'a str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
            .filter(|inner| !inner.contains(quote));
        if let Some(inner) = inner {
            notes.push(EnvironmentNote::Unquoted {
                line,
                name: name.to_owned(),
            });
            return inner;
        }
    }
    value
}

#[cfg(test)]
crate::report::samples! {
    enum EnvironmentError {
        NotText { file: ".s2i/environment".into(), line: 3, of_project: true },
        LongLine { file: "production.env".into(), line: 3, of_project: false },
        Argument { name: "DEBUG".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(bytes: &[u8], form: EnvironmentGrammar) -> Vec<(String, String)> {
        let (variables, _) = parse(bytes, form, "f").unwrap();
        variables
            .into_iter()
            .map(|variable| (variable.name, variable.value))
            .collect()
    }

    #[test]
    fn values_are_literal() {
        for (line, name, value) in [
            ("A=b", "A", "b"),
            ("  A  =  b c  ", "A", "b c"),
            ("A=", "A", ""),
            ("A=b=c", "A", "b=c"),
            ("A=$HOME\\n", "A", "$HOME\\n"),
            ("A=b # no comment", "A", "b # no comment"),
            ("A=\"b\"", "A", "b"),
            ("A='b'", "A", "b"),
            ("A=\"b'", "A", "\"b'"),
            ("A=\"", "A", "\""),
            ("A=\"b\" \"c\"", "A", "\"b\" \"c\""),
            ("A=b\r", "A", "b"),
            ("\u{feff}A=b", "A", "b"),
            ("export A=b", "export A", "b"),
        ] {
            let expected = vec![(name.to_owned(), value.to_owned())];
            assert_eq!(
                values(line.as_bytes(), EnvironmentGrammar::Project),
                expected,
                "{line:?}"
            );
        }
    }

    #[test]
    fn comments_differ_between_the_two_files() {
        let text = b"#A=1\n #B=2\n//C=3\n\nno\n=x\n";
        let names = |form| -> Vec<String> {
            values(text, form)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names(EnvironmentGrammar::Project), ["#B", "//C"]);
        assert!(names(EnvironmentGrammar::CommandLine).is_empty());
    }

    #[test]
    fn what_was_changed_or_skipped_is_noted() {
        let (_, notes) =
            parse(b"A='x'\nno\nexport B=1\n", EnvironmentGrammar::Project, "f").unwrap();
        let told: Vec<String> = notes.iter().map(|note| note.told("f").0).collect();
        assert_eq!(
            told,
            [
                "f:1: the quotes round the value of A are taken off",
                "f:2: not of the form NAME=VALUE, so it is skipped",
                "f:3: the variable is named \"export B\", blank included",
            ]
        );
    }

    #[test]
    fn bad_files_and_arguments_are_refused_without_their_values() {
        assert!(matches!(
            parse(b"A=1\nB=\xff", EnvironmentGrammar::Project, "f"),
            Err(EnvironmentError::NotText {
                line: 2,
                of_project: true,
                ..
            })
        ));
        let long = "A".repeat(MAX_LINE_BYTES + 1);
        assert!(matches!(
            parse(long.as_bytes(), EnvironmentGrammar::CommandLine, "f"),
            Err(EnvironmentError::LongLine { line: 1, .. })
        ));
        assert_eq!(parse_argument("A= b,c=d ").unwrap().value, "b,c=d");
        let error = parse_argument("=secret").unwrap_err();
        assert!(!format!("{error:?} {:?}", error.explain()).contains("secret"));
        assert!(parse_argument("A").is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::sample::select(&b"A= \n\r\"'#/\\\xff\xef\xbb\xbf"[..]), 0..60)) {
            let _ = parse(&bytes, EnvironmentGrammar::Project, "f");
            let _ = parse(&bytes, EnvironmentGrammar::CommandLine, "f");
            let _ = parse_argument(&String::from_utf8_lossy(&bytes));
        }
    }
}
