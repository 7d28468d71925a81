//! From bytes to logical lines: encoding, continuation, comments, variables; in pip's order, on
//! which results depend (a comment is cut off after lines are joined, variables come last).

use super::LineError;

/// A line after joining, with the number of its first physical line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogicalLine {
    pub(super) number: usize,
    pub(super) text: String,
}

/// Decodes by byte order mark; else as UTF-8; else as Latin-1, which every byte is. What has
/// meaning to pip is ASCII, so a wrong guess can only garble a comment.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // No text begins so but UTF-16 without its mark.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        _ => std::str::from_utf8(bytes).map_or_else(
            |_| bytes.iter().map(|byte| char::from(*byte)).collect(),
            ToOwned::to_owned,
        ),
    }
}

/// Joins continued lines, cuts comments and drops empty lines. Variables stay as they are.
pub(super) fn logical_lines(text: &str) -> Vec<LogicalLine> {
    join(text)
        .into_iter()
        .map(|line| LogicalLine {
            number: line.number,
            text: cut_comment(&line.text).trim().to_owned(),
        })
        .filter(|line| !line.text.is_empty())
        .collect()
}

/// What a requirement file says, a line each: comments and empty lines are gone, variables stay.
pub(crate) fn requirement_lines(bytes: &[u8]) -> Vec<String> {
    let lines = logical_lines(&decode(bytes));
    lines.into_iter().map(|line| line.text).collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn join(text: &str) -> Vec<LogicalLine> {
    let mut joined = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (index, line) in text.lines().enumerate() {
        let continues = line.ends_with('\\') && !is_comment(line);
        let part = line.trim_end_matches('\\');
        let mut whole = open.take().unwrap_or(LogicalLine {
            number: index + 1,
            text: String::new(),
        });
        if continues {
            whole.text.push_str(part);
            open = Some(whole);
        } else {
            if is_comment(line) {
                // Keeps the `#` apart from what the lines before ended with.
                whole.text.push(' ');
            }
            whole.text.push_str(line);
            joined.push(whole);
        }
    }
    joined.extend(open);
    joined
}

/// A comment starts at `#` after a blank or at the start; `x#egg=y` is none.
fn cut_comment(line: &str) -> &str {
    let mut before_is_blank = true;
    for (at, c) in line.char_indices() {
        if c == '#' && before_is_blank {
            return &line[..at];
        }
        before_is_blank = c.is_whitespace();
    }
    line
}

/// Puts values in for `${NAME}`, names being of upper case letters, digits and `_`, as in pip.
///
/// # Errors
/// A variable that has no value. pip leaves its text in place; but what comes next reads the text too,
/// and may know a variable of that name.
pub(crate) fn expand_variables(
    line: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, LineError> {
    let mut expanded = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        expanded.push_str(before);
        let name_end = from[2..]
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .map_or(from.len(), |at| at + 2);
        if name_end > 2 && from[name_end..].starts_with('}') {
            let name = &from[2..name_end];
            let value = variable(name).filter(|value| !value.is_empty());
            expanded.push_str(&value.ok_or_else(|| LineError::Variable(name.to_owned()))?);
            rest = &from[name_end + 1..];
        } else {
            expanded.push_str("${");
            rest = &from[2..];
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        logical_lines(text)
            .into_iter()
            .map(|line| (line.number, line.text))
            .collect()
    }

    #[test]
    fn joins_and_cuts() {
        assert_eq!(
            lines("a==1 \\\n  --hash=sha256:1 \\\n  --hash=sha256:2\n\n# no\nb # yes\n"),
            [
                (1, "a==1   --hash=sha256:1   --hash=sha256:2".to_owned()),
                (6, "b".to_owned())
            ]
        );
        assert_eq!(
            lines("a \\\n# c \\\nb"),
            [(1, "a".to_owned()), (3, "b".to_owned())]
        );
        assert_eq!(
            lines("x @ git+https://h/x#egg=x"),
            [(1, "x @ git+https://h/x#egg=x".to_owned())]
        );
        assert_eq!(lines("a\\"), [(1, "a".to_owned())]);
        assert_eq!(
            lines("\r\na\r\nb\r\n"),
            [(2, "a".to_owned()), (3, "b".to_owned())]
        );
    }

    #[test]
    fn variables_are_known_or_an_error() {
        let expand = |line: &str| {
            expand_variables(line, &|name| match name {
                "TOKEN" => Some("s3cret".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            })
        };
        assert_eq!(
            expand("-i https://u:${TOKEN}@h/").unwrap(),
            "-i https://u:s3cret@h/"
        );
        assert_eq!(
            expand("${TOKEN} ${lower} ${} ${").unwrap(),
            "s3cret ${lower} ${} ${"
        );
        for unknown in ["NOPE", "EMPTY"] {
            let line = format!("-i https://h/${{{unknown}}}/${{TOKEN}}");
            assert_eq!(expand(&line), Err(LineError::Variable(unknown.to_owned())));
        }
    }

    #[test]
    fn decodes_what_editors_write() {
        assert_eq!(decode(b"\xEF\xBB\xBFflask"), "flask");
        assert_eq!(decode(b"\xFF\xFEf\0l\0"), "fl");
        assert_eq!(decode(b"\xFE\xFF\0f\0l"), "fl");
        assert_eq!(decode(b"f\0l\0"), "fl");
        assert_eq!(decode(b"# caf\xE9"), "# caf\u{e9}");
    }
}
