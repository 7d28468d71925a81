//! Numbers as people read them, and words of others without what a terminal would obey.

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
