//! Control text: paragraphs of `Name: value` fields, read one at a time with one buffer.
//!
//! Refuses lines that are neither field, continuation nor comment, text that is not UTF-8, and
//! paragraphs above [`MAX_PARAGRAPH_BYTES`]. Format: Debian Policy 5.1.

use std::io::{self, BufRead};

/// Largest paragraph taken, in bytes. The `Release` file of a large suite has 300 KB in its one
/// paragraph; the longest of `Packages` are some 20 KB.
const MAX_PARAGRAPH_BYTES: usize = 4 << 20;

/// What is wrong with control text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The bytes could not be read.
    #[error("cannot read control text: {0}")]
    Read(#[from] io::Error),
    /// A line that is no field, no continuation and no comment.
    #[error("line {line} of the control text is no field")]
    NoField {
        /// Its number, from 1.
        line: u64,
    },
    /// Bytes that are no UTF-8.
    #[error("line {line} of the control text is not UTF-8")]
    NotUtf8 {
        /// Number of the line, from 1.
        line: u64,
    },
    /// A paragraph without end.
    #[error("the paragraph at line {line} of the control text is longer than {limit} bytes")]
    TooLong {
        /// Where the limit was met.
        line: u64,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Reads paragraphs one after the other.
#[derive(Debug)]
pub(crate) struct ParagraphReader<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
}

/// One paragraph: text whose every line has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlParagraph<'a> {
    text: &'a str,
}

impl<R: BufRead> ParagraphReader<R> {
    /// Reads from `input`, which stands at the start of a paragraph.
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            line: 0,
        }
    }

    /// The next paragraph, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<ControlParagraph<'_>>, ControlError> {
        self.buffer.clear();
        loop {
            let start = self.buffer.len();
            let read = self.read_line()?;
            if read == 0 {
                break;
            }
            self.line += 1;
            let line = self.buffer.get(start..).unwrap_or_default();
            let blank = line.iter().all(u8::is_ascii_whitespace);
            let first = line.first().copied().unwrap_or_default();
            if blank {
                self.buffer.truncate(start);
                if start == 0 {
                    continue;
                }
                break;
            }
            if first == b'#' {
                self.buffer.truncate(start);
            } else if first == b' ' || first == b'\t' {
                if start == 0 {
                    return Err(ControlError::NoField { line: self.line });
                }
            } else if !is_field(line) {
                return Err(ControlError::NoField { line: self.line });
            }
            if std::str::from_utf8(self.buffer.get(start..).unwrap_or_default()).is_err() {
                return Err(ControlError::NotUtf8 { line: self.line });
            }
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(&self.buffer)
            .map_err(|_| ControlError::NotUtf8 { line: self.line })?;
        Ok(Some(ControlParagraph { text }))
    }

    /// Appends one line to the buffer, bounded by what is left of a paragraph's limit.
    fn read_line(&mut self) -> Result<usize, ControlError> {
        let mut total = 0;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                return Ok(total);
            }
            let (part, ended) = match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => (available.get(..=end).unwrap_or_default(), true),
                None => (available, false),
            };
            if self.buffer.len() + part.len() > MAX_PARAGRAPH_BYTES {
                return Err(ControlError::TooLong {
                    line: self.line + 1,
                    limit: MAX_PARAGRAPH_BYTES,
                });
            }
            self.buffer.extend_from_slice(part);
            let length = part.len();
            self.input.consume(length);
            total += length;
            if ended {
                return Ok(total);
            }
        }
    }
}

/// Whether a line starts with a field name and a colon.
fn is_field(line: &[u8]) -> bool {
    match line.iter().position(|byte| *byte == b':') {
        Some(0) | None => false,
        Some(colon) => line
            .iter()
            .take(colon)
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#'),
    }
}

impl<'a> ControlParagraph<'a> {
    /// A field's value without the white space around it; later lines of a long value keep their
    /// line ends and their leading space. Names are compared without case; the first one counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            if line.starts_with([' ', '\t']) {
                continue;
            }
            let Some((found, first)) = line.split_once(':') else {
                continue;
            };
            if !found.eq_ignore_ascii_case(name) {
                continue;
            }
            let value_start = start + line.len() - first.len();
            let rest = self.text.get(at..).unwrap_or_default();
            let more: usize = rest
                .split_inclusive('\n')
                .take_while(|line| line.starts_with([' ', '\t']))
                .map(str::len)
                .sum();
            return self.text.get(value_start..at + more).map(str::trim);
        }
        None
    }

    /// The whole text, lines ended by a line feed.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_fields_continuations_and_comments() {
        let text = "\n\nPackage: a\n# a comment\nDescription: one\n two\n .\n three\nsize:4\n\n\nPackage: b";
        let mut reader = ParagraphReader::new(text.as_bytes());
        let first = reader.next().unwrap().unwrap();
        assert_eq!(first.get("package"), Some("a"));
        assert_eq!(first.get("Description"), Some("one\n two\n .\n three"));
        assert_eq!(first.get("Size"), Some("4"));
        assert_eq!(first.get("two"), None);
        let second = reader.next().unwrap().unwrap();
        assert_eq!(second.get("Package"), Some("b"));
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn refuses_what_is_no_control_text() {
        for bad in ["no colon\n", " continuation first\n", ": x\n", "a b: c\n"] {
            let result = ParagraphReader::new(bad.as_bytes()).next().is_err();
            assert!(result, "{bad:?}");
        }
        assert!(matches!(
            ParagraphReader::new(&b"A: \xff\n"[..]).next(),
            Err(ControlError::NotUtf8 { line: 1 })
        ));
        let endless = io::BufReader::new(io::Read::chain(&b"A: "[..], io::repeat(b'x')));
        assert!(matches!(
            ParagraphReader::new(endless).next(),
            Err(ControlError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = ParagraphReader::new(&bytes[..]);
            while let Ok(Some(paragraph)) = reader.next() {
                let _ = paragraph.get("A");
            }
        }

        #[test]
        fn control_like_text_never_panics(text in "([A-Za-z: #\t.\n]{0,12}\n){0,10}") {
            let mut reader = ParagraphReader::new(text.as_bytes());
            while let Ok(Some(paragraph)) = reader.next() {
                let _ = paragraph.get("a");
            }
        }
    }
}
