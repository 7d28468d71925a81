//! Numbers as people read them, and words of others without what a terminal would obey.

use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// Text with its lines and tabs, but without characters that move a cursor, change colours or turn the
/// direction of writing: names and messages come from projects, images and servers.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_command) {
        Cow::Owned(text.replace(is_command, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn is_command(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Most characters of a line that is told.
const LINE_CHARACTERS: usize = 2000;

/// Most lines of one text that is told: the last ones of a step are fewer.
const TEXT_LINES: usize = 100;

/// Text that fits into a message, however long a name or answer of others in it is: long lines lose their middle, and
/// many lines all but the first.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_CHARACTERS {
        return Cow::Borrowed(text);
    }
    let mut lines = text.lines();
    let mut shown: Vec<String> = lines.by_ref().take(TEXT_LINES).map(bounded_line).collect();
    let more = lines.count();
    if more > 0 {
        shown.push(format!("… and {more} more lines"));
    }
    Cow::Owned(shown.join("\n"))
}

fn bounded_line(line: &str) -> String {
    let half = LINE_CHARACTERS / 2;
    let head = line
        .char_indices()
        .nth(half)
        .map_or(line.len(), |(at, _)| at);
    let tail = line
        .char_indices()
        .rev()
        .nth(half - 1)
        .map_or(0, |(at, _)| at);
    if tail <= head {
        return line.to_owned();
    }
    let (head, gone, tail) = (&line[..head], &line[head..tail], &line[tail..]);
    format!("{head} … {} left out … {tail}", bytes(gone.len() as u64))
}

/// A size with a unit of thousands, three digits: `999 B`, `1.23 MB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A time: `17 ms`, `1.43 s`, `2 min 5 s`.
pub(super) fn seconds(took: Duration) -> String {
    let milliseconds = took.as_millis();
    if milliseconds < 1000 {
        format!("{milliseconds} ms")
    } else if milliseconds < 60_000 {
        format!("{:.2} s", took.as_secs_f64())
    } else {
        format!("{} min {} s", took.as_secs() / 60, took.as_secs() % 60)
    }
}

/// Lines of columns, each as wide as its widest cell; `right` says which columns hold numbers.
pub(super) fn table(rows: &[Vec<String>], right: &[bool]) -> String {
    let widths: Vec<usize> = (0..right.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .zip(right)
            // A column without any text takes no room.
            .filter(|((_, width), _)| **width > 0)
            .map(|((cell, &width), &right)| {
                if right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What a command has to say on stdout: for people and for machines.
#[derive(Debug)]
pub(super) struct CommandOutput {
    pub(super) text: String,
    pub(super) json: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_command_no_terminal() {
        assert_eq!(plain("a\tb\nc"), "a\tb\nc");
        assert_eq!(
            plain("386\u{1b}[31m\u{202e}x\r"),
            "386\u{fffd}[31m\u{fffd}x\u{fffd}"
        );
    }

    #[test]
    fn long_texts_are_cut() {
        for text in [
            "",
            "short",
            &"x".repeat(LINE_CHARACTERS),
            &"ü".repeat(LINE_CHARACTERS),
        ] {
            assert_eq!(bounded(text), text);
        }
        let cut = bounded(&format!("begin{}end", "ü".repeat(5_000_000))).into_owned();
        assert!(
            cut.starts_with("begin") && cut.ends_with("end") && cut.contains("10.0 MB left out")
        );
        assert!(cut.chars().count() < LINE_CHARACTERS + 50);
        let cut = bounded(&"line\n".repeat(1_000_000)).into_owned();
        assert!(cut.ends_with("… and 999900 more lines") && cut.len() < 1000);
    }

    #[test]
    fn sizes_have_three_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (25_430_000, "25.4 MB"),
            (999_600, "1.00 MB"),
            (354_000_000, "354 MB"),
            (1_630_000_000, "1.63 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (milliseconds, text) in [(17, "17 ms"), (1430, "1.43 s"), (125_000, "2 min 5 s")] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".into(), "10".into()],
            vec!["bcd".into(), "1".into()],
        ];
        assert_eq!(table(&rows, &[false, true]), "a    10\nbcd   1\n");
    }
}
