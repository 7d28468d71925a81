//! The last lines of a step's output, which say why it failed.

use std::collections::VecDeque;

use super::OutputStream;

/// Lines that are kept of a step.
pub(super) const STEP_LINES: usize = 40;

/// Lines that are kept of a server: several workers at once tell of the same error, and the first of them matters.
pub(super) const SERVER_LINES: usize = 400;

/// Bytes of a line that are kept.
const LINE_BYTES: usize = 1000;

/// The last lines of both streams, in the order in which they were read.
#[derive(Debug)]
pub(super) struct OutputTail {
    /// Lines that are kept.
    most: usize,
    lines: VecDeque<String>,
    output: Vec<u8>,
    error: Vec<u8>,
}

impl OutputTail {
    /// Keeps so many lines.
    pub(super) fn of(most: usize) -> Self {
        Self {
            most,
            lines: VecDeque::new(),
            output: Vec::new(),
            error: Vec::new(),
        }
    }

    /// Takes what was read of a stream.
    pub(super) fn take(&mut self, stream: OutputStream, bytes: &[u8]) {
        let from = start_of_last(bytes, self.most);
        let open = match stream {
            OutputStream::Output => &mut self.output,
            OutputStream::Error => &mut self.error,
        };
        for piece in bytes[from..].split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(open.len());
            open.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                close(open, &mut self.lines, self.most);
            }
        }
    }

    /// The lines, the last one last.
    pub(super) fn lines(mut self) -> Vec<String> {
        for mut open in [self.output, self.error] {
            if !open.is_empty() {
                close(&mut open, &mut self.lines, self.most);
            }
        }
        self.lines.into()
    }
}

/// Where the last lines of a chunk begin: those before them would be pushed out at once, and a step may
/// print gigabytes.
fn start_of_last(bytes: &[u8], most: usize) -> usize {
    bytes
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(most)
        .map_or(0, |(at, _)| at + 1)
}

fn close(open: &mut Vec<u8>, lines: &mut VecDeque<String>, most: usize) {
    let line = String::from_utf8_lossy(open);
    let line = printable(line.trim_end());
    open.clear();
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// A line without control characters and the sequences that they begin (ECMA-48, 5.4): what colours text or moves the
/// cursor has no place among quoted lines.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' && rest.next_if_eq(&'[').is_some() {
            while rest.next_if(|next| (' '..='?').contains(next)).is_some() {}
            let _ = rest.next_if(|next| ('@'..='~').contains(next));
        } else if !character.is_control() || character == '\t' {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_together_from_pieces() {
        let mut tail = OutputTail::of(STEP_LINES);
        tail.take(OutputStream::Output, b"one\ntw");
        tail.take(OutputStream::Error, b"bad\r\n");
        tail.take(OutputStream::Output, b"o\nend");
        assert_eq!(tail.lines(), ["one", "bad", "two", "end"]);
    }

    #[test]
    fn colours_are_left_out() {
        for (line, shown) in [
            ("\u{1b}[31m\u{1b}[1mred\u{1b}[0m.", "red."),
            ("a\tb\u{7}\u{1b}[2K\u{1b}]0;title", "a\tb]0;title"),
            ("cut \u{1b}[38;5;", "cut "),
            ("[31m", "[31m"),
        ] {
            assert_eq!(printable(line), shown);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut tail = OutputTail::of(STEP_LINES);
        for _ in 0..3 {
            tail.take(OutputStream::Output, &vec![b'x'; 1 << 20]);
        }
        tail.take(OutputStream::Output, b"\n");
        tail.take(
            OutputStream::Output,
            "\n1\n\u{1b}[31m2\n".repeat(1000).as_bytes(),
        );
        let lines = tail.lines();
        assert_eq!(lines.len(), STEP_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("2"));
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES));
    }
}
