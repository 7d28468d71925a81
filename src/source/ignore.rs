//! `.s2iignore`, as s2i reads it: one pattern a line, each a Go `filepath.Glob` on the root.
//!
//! So it is not `.gitignore`: patterns do not match at any depth, `**` is `*`, `*` matches names
//! with a leading dot, leading and trailing slashes mean nothing, and a pattern with an error in
//! it is skipped, which is told. `!` takes back what earlier lines collected, by whole path: after `logs`,
//! `!logs/keep` keeps nothing, because the folder itself is gone; after `logs/*` it does.
//! Grammar of the patterns: <https://pkg.go.dev/path/filepath#Match>.

/// The patterns of a `.s2iignore`, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct IgnorePatterns {
    rules: Vec<IgnoreRule>,
    /// Lines, from 1, whose pattern has an error in it.
    pub(crate) bad_lines: Vec<usize>,
}

#[derive(Debug, Clone)]
struct IgnoreRule {
    takes_back: bool,
    components: Vec<NameGlob>,
}

impl IgnorePatterns {
    /// Reads the file's text.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut ignore = Self::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            match IgnoreRule::parse(line.strip_suffix(b"\r").unwrap_or(line)) {
                IgnoreLine::Rule(rule) => ignore.rules.push(rule),
                IgnoreLine::Nothing => {}
                IgnoreLine::Bad => ignore.bad_lines.push(number),
            }
        }
        ignore
    }

    /// The same with further lines behind.
    pub(crate) fn with(mut self, lines: &[String]) -> Self {
        for line in lines {
            let mut more = Self::parse(line.as_bytes());
            self.rules.append(&mut more.rules);
        }
        self
    }

    /// What the last rule that matches this very path says: that it is ignored, or taken back. What lies
    /// below an ignored folder goes with it, which is the caller's to do.
    pub(crate) fn verdict(&self, path: &[u8]) -> Option<IgnoreVerdict> {
        let rule = self.rules.iter().rev().find(|rule| rule.matches(path))?;
        Some(if rule.takes_back {
            IgnoreVerdict::TakenBack
        } else {
            IgnoreVerdict::Ignored
        })
    }
}

/// What the rules say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IgnoreVerdict {
    /// It is left out.
    Ignored,
    /// It is not, though an earlier rule or a default may say so.
    TakenBack,
}

/// What a line of the file is.
enum IgnoreLine {
    Rule(IgnoreRule),
    /// A comment, or a pattern for what is above the root.
    Nothing,
    Bad,
}

impl IgnoreRule {
    fn parse(line: &[u8]) -> IgnoreLine {
        let line = trim_spaces(line);
        if line.is_empty() || line.starts_with(b"#") {
            return IgnoreLine::Nothing;
        }
        let (takes_back, pattern) = match line.strip_prefix(b"!") {
            Some(pattern) => (true, pattern),
            None => (false, line),
        };
        let mut components = Vec::new();
        for component in pattern.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                // Go joins pattern and root first, which takes `x/..` away; above the root there
                // is nothing of ours.
                b".." => {
                    if components.pop().is_none() {
                        return IgnoreLine::Nothing;
                    }
                }
                _ => match NameGlob::parse(component) {
                    Some(glob) => components.push(glob),
                    None => return IgnoreLine::Bad,
                },
            }
        }
        if components.is_empty() {
            return IgnoreLine::Nothing;
        }
        IgnoreLine::Rule(Self {
            takes_back,
            components,
        })
    }

    fn matches(&self, path: &[u8]) -> bool {
        let mut names = path.split(|byte| *byte == b'/');
        self.components
            .iter()
            .all(|glob| names.next().is_some_and(|name| glob.matches(name)))
            && names.next().is_none()
    }
}

fn trim_spaces(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b" ") {
        line = rest;
    }
    while let Some(rest) = line.strip_suffix(b" ") {
        line = rest;
    }
    line
}

/// A pattern for one name.
#[derive(Debug, Clone)]
struct NameGlob(Vec<GlobPart>);

#[derive(Debug, Clone)]
enum GlobPart {
    Any,
    One,
    /// A character, or a byte that is none.
    Literal(u32),
    /// `[…]`
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

impl NameGlob {
    /// `None` where Go says `ErrBadPattern`.
    fn parse(text: &[u8]) -> Option<Self> {
        let characters = characters(text);
        let mut parts = Vec::new();
        let mut at = 0;
        while at < characters.len() {
            let character = characters[at];
            at += 1;
            match ascii(character) {
                '*' => {
                    if !matches!(parts.last(), Some(GlobPart::Any)) {
                        parts.push(GlobPart::Any);
                    }
                }
                '?' => parts.push(GlobPart::One),
                '[' => parts.push(class(&characters, &mut at)?),
                '\\' => {
                    parts.push(GlobPart::Literal(*characters.get(at)?));
                    at += 1;
                }
                _ => parts.push(GlobPart::Literal(character)),
            }
        }
        Some(Self(parts))
    }

    /// Whether the whole name matches. The last `*` alone is ever tried again, so this is linear
    /// in the product of the lengths whatever the pattern.
    fn matches(&self, name: &[u8]) -> bool {
        let name = characters(name);
        let (mut part, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.0.get(part) {
                None if at == name.len() => return true,
                Some(GlobPart::Any) => {
                    star = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(step) if at < name.len() && step.takes(name[at]) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match star {
                Some((star_part, star_at)) if star_at < name.len() => {
                    star = Some((star_part, star_at + 1));
                    part = star_part + 1;
                    at = star_at + 1;
                }
                _ => return false,
            }
        }
    }
}

impl GlobPart {
    fn takes(&self, character: u32) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Literal(literal) => *literal == character,
            Self::Class { negated, ranges } => {
                let within = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character));
                within != *negated
            }
        }
    }
}

/// Reads a class behind its `[`.
fn class(characters: &[u32], at: &mut usize) -> Option<GlobPart> {
    let negated = ascii(*characters.get(*at)?) == '^';
    if negated {
        *at += 1;
    }
    let mut ranges = Vec::new();
    loop {
        if ascii(*characters.get(*at)?) == ']' && !ranges.is_empty() {
            *at += 1;
            return Some(GlobPart::Class { negated, ranges });
        }
        let low = class_character(characters, at)?;
        let mut high = low;
        if ascii(*characters.get(*at)?) == '-' {
            *at += 1;
            high = class_character(characters, at)?;
        }
        ranges.push((low, high));
    }
}

fn class_character(characters: &[u32], at: &mut usize) -> Option<u32> {
    let mut character = *characters.get(*at)?;
    match ascii(character) {
        '-' | ']' => return None,
        '\\' => {
            *at += 1;
            character = *characters.get(*at)?;
        }
        _ => {}
    }
    *at += 1;
    Some(character)
}

/// A character as ASCII where it is, else something that no rule is about.
fn ascii(character: u32) -> char {
    char::from_u32(character)
        .filter(char::is_ascii)
        .unwrap_or('\u{fffd}')
}

/// Characters of a name; bytes that are no UTF-8 each stand for themselves, beyond Unicode.
fn characters(text: &[u8]) -> Vec<u32> {
    const BEYOND_UNICODE: u32 = 0x11_0000;
    let mut characters = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        characters.extend(chunk.valid().chars().map(u32::from));
        characters.extend(
            chunk
                .invalid()
                .iter()
                .map(|byte| BEYOND_UNICODE + u32::from(*byte)),
        );
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ignored(ignore: &IgnorePatterns, path: &[u8]) -> bool {
        ignore.verdict(path) == Some(IgnoreVerdict::Ignored)
    }

    #[test]
    fn lines_with_an_error_are_counted() {
        let ignore = IgnorePatterns::parse(b"# [\na\n[b\n../c\nd\\\n");
        assert_eq!(ignore.bad_lines, [3, 5]);
        assert!(is_ignored(&ignore, b"a"));
    }

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "b/a", false),
            ("/a/", "a", true),
            ("./a", "a", true),
            ("x/../a", "a", true),
            ("../a", "a", false),
            ("/", "a", false),
            ("*", ".hidden", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("**/b", "a/b", true),
            ("**/c", "a/b/c", false),
            ("*.py", "x.py", true),
            ("*.py", "x.pyc", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab-", false),
            ("a?c", "abc", true),
            ("a?c", "aüc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", false),
            ("[a", "[a", false),
            ("[-]", "-", false),
            ("[a-]", "a", false),
            (r"[\]]", "]", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("a\\", "a\\", false),
            ("  a  ", "a", true),
            ("\ta", "a", false),
            ("a\r", "a", true),
            ("# a", "# a", false),
            ("a b", "a b", true),
        ] {
            let ignore = IgnorePatterns::parse(pattern.as_bytes());
            assert_eq!(
                is_ignored(&ignore, path.as_bytes()),
                expected,
                "{pattern:?} on {path:?}"
            );
        }
    }

    #[test]
    fn the_last_rule_decides() {
        let ignore =
            IgnorePatterns::parse(b"*.log\n!keep.log\n\n# note\nkeep*\n!keep.txt\nlogs\n!logs/x\n");
        for (path, expected) in [
            ("a.log", true),
            ("keep.log", true),
            ("keep.txt", false),
            ("keeper", true),
            ("logs", true),
            ("logs/x", false),
            ("other", false),
        ] {
            assert_eq!(is_ignored(&ignore, path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_quick() {
        let pattern = "*a".repeat(200);
        let name = "a".repeat(199) + "b";
        assert!(!is_ignored(
            &IgnorePatterns::parse(pattern.as_bytes()),
            name.as_bytes()
        ));
    }

    #[test]
    fn bytes_that_are_no_text_match_themselves() {
        assert!(is_ignored(&IgnorePatterns::parse(b"\xff*"), b"\xffabc"));
        assert!(is_ignored(&IgnorePatterns::parse(b"?"), b"\xff"));
        assert!(!is_ignored(&IgnorePatterns::parse(b"\xfe"), b"\xff"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(
            rules in proptest::collection::vec(proptest::sample::select(&b"*?[]^-!\\/.a\n#\xff\xc3"[..]), 0..40),
            path in proptest::collection::vec(proptest::sample::select(&b"a/.[\xc3\xa4\xff"[..]), 0..12),
        ) {
            let _ = IgnorePatterns::parse(&rules).verdict(&path);
        }
    }
}
