//! `RECORD`: the list of a distribution's files with their hashes.
//!
//! Format: "Recording installed projects" of the Python packaging specifications, a CSV in the
//! excel dialect with the columns path, hash (`sha256=` and urlsafe base64 without padding) and
//! size. Lines end with `\n` when written here; both endings are read. Hashes are kept as they
//! stand: whether they are true is the business of who has the files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What `RECORD` says of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RecordRow {
    /// `algorithm=value`; empty where none is known.
    pub hash: String,
    /// Length in bytes, as text; empty where it is not known.
    pub size: String,
}

impl RecordRow {
    /// The row for known contents.
    pub(crate) fn of(sha256: [u8; 32], size_bytes: u64) -> Self {
        Self {
            hash: format!("sha256={}", URL_SAFE_NO_PAD.encode(sha256)),
            size: size_bytes.to_string(),
        }
    }
}

/// What is wrong with a `RECORD`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotUnicode,
    /// A row has not three columns.
    #[error("line {line} has {columns} columns where 3 are due")]
    Columns {
        /// Which row, from 1.
        line: usize,
        /// How many it has.
        columns: usize,
    },
    /// A quote is not closed, or text follows the closing one.
    #[error("line {line} has a stray quote")]
    Quote {
        /// Which row, from 1.
        line: usize,
    },
}

/// Rows by path; of rows for the same path the last counts.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, RecordRow>, RecordError> {
    let mut rest = std::str::from_utf8(bytes).map_err(|_| RecordError::NotUnicode)?;
    let mut rows = BTreeMap::new();
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let mut columns = Vec::with_capacity(3);
        loop {
            let (column, end, after) = column(rest).ok_or(RecordError::Quote { line })?;
            columns.push(column);
            rest = after;
            if end != Some(',') {
                break;
            }
        }
        match <[String; 3]>::try_from(columns) {
            Ok([path, hash, size]) => {
                rows.insert(path, RecordRow { hash, size });
            }
            Err(columns) if columns == [""] => {}
            Err(columns) => {
                return Err(RecordError::Columns {
                    line,
                    columns: columns.len(),
                });
            }
        }
    }
    Ok(rows)
}

/// The text of these rows, in their order.
pub(crate) fn write<'a>(rows: impl IntoIterator<Item = (&'a str, &'a RecordRow)>) -> String {
    let mut text = String::new();
    for (path, row) in rows {
        for (column, end) in [(path, ','), (&row.hash, ','), (&row.size, '\n')] {
            if column.contains([',', '"', '\n', '\r']) {
                text.push('"');
                text.push_str(&column.replace('"', "\"\""));
                text.push('"');
            } else {
                text.push_str(column);
            }
            text.push(end);
        }
    }
    text
}

/// One column, the separator after it (`,` or the end of the line), and the rest.
fn column(text: &str) -> Option<(String, Option<char>, &str)> {
    let (value, rest) = match text.strip_prefix('"') {
        None => {
            let end = text.find([',', '\n', '\r']).unwrap_or(text.len());
            let (value, rest) = text.split_at(end);
            (value.to_owned(), rest)
        }
        Some(mut quoted) => {
            let mut value = String::new();
            loop {
                let (part, rest) = quoted.split_once('"')?;
                value.push_str(part);
                match rest.strip_prefix('"') {
                    Some(more) => {
                        value.push('"');
                        quoted = more;
                    }
                    None => break (value, rest),
                }
            }
        }
    };
    if let Some(after) = rest.strip_prefix(',') {
        return Some((value, Some(','), after));
    }
    let after = rest
        .strip_prefix("\r\n")
        .or_else(|| rest.strip_prefix(['\n', '\r']));
    match after {
        Some(after) => Some((value, Some('\n'), after)),
        None if rest.is_empty() => Some((value, None, rest)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(hash: &str, size: &str) -> RecordRow {
        RecordRow {
            hash: hash.to_owned(),
            size: size.to_owned(),
        }
    }

    #[test]
    fn rows_are_read() {
        let rows = parse(b"a/b.py,sha256=x,3\r\n\"c,\"\"d\"\"\",,\n\nlast,h,1").unwrap();
        let expected = [
            ("a/b.py".to_owned(), row("sha256=x", "3")),
            ("c,\"d\"".to_owned(), row("", "")),
            ("last".to_owned(), row("h", "1")),
        ];
        assert_eq!(rows, BTreeMap::from(expected));
        assert_eq!(parse(b"").unwrap(), BTreeMap::new());
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(
            parse(b"a,,\nb,\n"),
            Err(RecordError::Columns {
                line: 2,
                columns: 2
            })
        );
        assert_eq!(
            parse(b"a,,\nb,,,\n"),
            Err(RecordError::Columns {
                line: 2,
                columns: 4
            })
        );
        assert_eq!(parse(b"\"a,,"), Err(RecordError::Quote { line: 1 }));
        assert_eq!(parse(b"\"a\"b,,"), Err(RecordError::Quote { line: 1 }));
        assert_eq!(parse(b"\xff"), Err(RecordError::NotUnicode));
    }

    #[test]
    fn a_row_of_contents() {
        // The value of `hashlib.sha256(b"").digest()`.
        let empty = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(b""));
        let row = RecordRow::of(empty, 0);
        assert_eq!(
            row.hash,
            "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(row.size, "0");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in proptest::collection::btree_map(".{1,20}|[a,\"\n\r]{1,6}",
                ("[a-z=,\"]{0,5}", "[0-9]{0,3}"), 0..8),
        ) {
            let rows: BTreeMap<String, RecordRow> =
                rows.into_iter().map(|(path, (hash, size))| (path, row(&hash, &size))).collect();
            let text = write(rows.iter().map(|(path, row)| (path.as_str(), row)));
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), rows);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
