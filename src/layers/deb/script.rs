//! The simple commands of a maintainer script, read and not run: words, quotes, variables whose value is
//! written in the script, `for` over known words. Whatever depends on more (`$(…)`, arguments, conditions) is
//! unknown, and a word with something unknown in it is none. Branches are all read, as if taken.
//! Grammar: POSIX shell command language, 2.2 to 2.10, as far as the scripts of packages use it.

use std::collections::BTreeMap;

/// Most commands of one script, loops unrolled.
const MAX_COMMANDS: usize = 20_000;
/// Longest script, in bytes.
const MAX_SCRIPT_BYTES: usize = 1 << 20;
/// Deepest nesting of loops.
const MAX_DEPTH: usize = 8;
/// Words before a command that are none of it.
const KEYWORDS: [&str; 16] = [
    "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "esac", "!", "{", "}",
    "exec", "command", "time",
];

/// A command: its words, those that are not known as none.
pub(super) type ShellCommand = Vec<Option<String>>;

/// A piece of a word as it stands in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WordPiece {
    Text(String),
    /// A variable; whether its value is split at blanks.
    Variable(String, bool),
    Unknown,
}

/// A word as it stands in the script.
type ShellWord = Vec<WordPiece>;

/// The commands of a script, in its order.
pub(super) fn commands(script: &str) -> Vec<ShellCommand> {
    let mut reader = ScriptReader {
        known: BTreeMap::new(),
        out: Vec::new(),
    };
    if script.len() <= MAX_SCRIPT_BYTES {
        reader.run(&parse(script), 0);
    }
    reader.out
}

struct ScriptReader {
    known: BTreeMap<String, String>,
    out: Vec<ShellCommand>,
}

impl ScriptReader {
    fn run(&mut self, mut lines: &[Vec<ShellWord>], depth: usize) {
        while let Some((line, rest)) = lines.split_first() {
            lines = rest;
            if self.out.len() >= MAX_COMMANDS {
                return;
            }
            if let Some((name, words)) = loop_of(line) {
                let body = body_length(rest);
                let (body, rest) = rest.split_at(body);
                lines = rest;
                let words = self.expand(words);
                for word in words.into_iter().flatten() {
                    if depth < MAX_DEPTH && self.out.len() < MAX_COMMANDS {
                        self.known.insert(name.clone(), word);
                        self.run(body, depth + 1);
                    }
                }
            } else {
                self.command(line);
            }
        }
    }

    fn command(&mut self, line: &[ShellWord]) {
        let is_keyword = |word: &ShellWord| KEYWORDS.iter().any(|keyword| is_text(word, keyword));
        let start = line.iter().position(|word| !is_keyword(word));
        let mut words = start.and_then(|at| line.get(at..)).unwrap_or_default();
        while let Some((name, value)) = words.first().and_then(assignment) {
            // Of a value that is not known the old one stays: it is one that the script has, too.
            if let [Some(value)] = self.expand(&[quoted(value)]).as_slice() {
                self.known.insert(name, value.clone());
            }
            words = words.get(1..).unwrap_or_default();
        }
        let words = self.expand(words);
        if !words.is_empty() {
            self.out.push(words);
        }
    }

    fn expand(&self, words: &[ShellWord]) -> ShellCommand {
        let mut out = Vec::new();
        for word in words {
            let mut known = Some(String::new());
            let mut fields = Vec::new();
            for piece in word {
                let (value, is_split) = match piece {
                    WordPiece::Text(text) => (Some(text), false),
                    WordPiece::Variable(name, is_split) => (self.known.get(name), *is_split),
                    WordPiece::Unknown => (None, false),
                };
                match (value, &mut known) {
                    (Some(value), Some(known)) if is_split => {
                        let mut parts = value.split_ascii_whitespace();
                        known.push_str(parts.next().unwrap_or_default());
                        for part in parts {
                            fields.push(Some(std::mem::replace(known, part.to_owned())));
                        }
                    }
                    (Some(value), Some(known)) => known.push_str(value),
                    _ => known = None,
                }
            }
            fields.push(known);
            out.extend(fields);
        }
        out
    }
}

/// The variable and the words of `for NAME in WORDS`.
fn loop_of(line: &[ShellWord]) -> Option<(String, &[ShellWord])> {
    let [first, name, second, words @ ..] = line else {
        return None;
    };
    let [WordPiece::Text(name)] = name.as_slice() else {
        return None;
    };
    (is_text(first, "for") && is_text(second, "in")).then(|| (name.clone(), words))
}

/// How many lines belong to a loop whose head has been read.
fn body_length(lines: &[Vec<ShellWord>]) -> usize {
    let mut open = 1;
    for (at, line) in lines.iter().enumerate() {
        let begins = |word: &&str| line.first().is_some_and(|first| is_text(first, word));
        if begins(&"done") {
            open -= 1;
            if open == 0 {
                return at;
            }
        } else if ["for", "while", "until"].iter().any(begins) {
            open += 1;
        }
    }
    lines.len()
}

fn is_text(word: &ShellWord, text: &str) -> bool {
    matches!(word.as_slice(), [WordPiece::Text(found)] if found == text)
}

/// The name and the value of `NAME=VALUE`.
fn assignment(word: &ShellWord) -> Option<(String, ShellWord)> {
    let (WordPiece::Text(first), rest) = word.split_first()? else {
        return None;
    };
    let (name, value) = first.split_once('=')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let value = std::iter::once(WordPiece::Text(value.to_owned())).chain(rest.iter().cloned());
    is_name.then(|| (name.to_owned(), value.collect()))
}

/// A word whose variables are not split.
fn quoted(word: ShellWord) -> ShellWord {
    word.into_iter()
        .map(|piece| match piece {
            WordPiece::Variable(name, _) => WordPiece::Variable(name, false),
            other => other,
        })
        .collect()
}

/// The lines of a script, each a list of words; a line ends where a command does.
fn parse(script: &str) -> Vec<Vec<ShellWord>> {
    let mut parser = ScriptParser {
        rest: script,
        lines: vec![Vec::new()],
        first: 0,
        depth: 0,
        word: None,
        ends: Vec::new(),
    };
    while let Some(letter) = parser.rest.chars().next() {
        parser.step(letter);
    }
    parser.end_command();
    parser.lines.retain(|line| !line.is_empty());
    parser.lines
}

struct ScriptParser<'a> {
    rest: &'a str,
    lines: Vec<Vec<ShellWord>>,
    /// Where the lines begin that stand between the last end of a line, or `;`, and here.
    first: usize,
    /// How many subshells are open.
    depth: usize,
    word: Option<ShellWord>,
    /// Words that end the texts which begin on the next line (`<<EOF`).
    ends: Vec<String>,
}

impl ScriptParser<'_> {
    fn step(&mut self, letter: char) {
        match letter {
            '\\' => {
                let mut letters = self.rest.chars();
                let next = letters.nth(1);
                self.rest = letters.as_str();
                if let Some(next) = next.filter(|next| *next != '\n') {
                    self.push(WordPiece::Text(next.to_string()));
                }
            }
            '\'' => {
                let inner = self.rest.get(1..).unwrap_or_default();
                let (text, rest) = inner.split_once('\'').unwrap_or((inner, ""));
                self.push(WordPiece::Text(text.to_owned()));
                self.rest = rest;
            }
            '"' => self.double_quoted(),
            '$' | '`' => {
                let piece = self.dollar(true);
                self.push(piece);
            }
            '#' if self.word.is_none() => self.rest = from(self.rest, |letter| letter == '\n'),
            '\n' => {
                self.advance(1);
                self.end_command();
                self.first = self.lines.len() - 1;
                self.skip_documents();
            }
            ';' | '&' | '|' | '(' | ')' => {
                self.advance(1);
                self.end_command();
                self.bracket(letter);
            }
            '<' | '>' => self.redirection(),
            letter if letter.is_whitespace() => {
                self.advance(letter.len_utf8());
                self.end_word();
            }
            letter => {
                self.advance(letter.len_utf8());
                self.push(WordPiece::Text(letter.to_string()));
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn push(&mut self, piece: WordPiece) {
        let word = self.word.get_or_insert_with(Vec::new);
        match (word.last_mut(), piece) {
            (Some(WordPiece::Text(text)), WordPiece::Text(more)) => text.push_str(&more),
            (_, piece) => word.push(piece),
        }
    }

    fn end_word(&mut self) {
        if let (Some(word), Some(line)) = (self.word.take(), self.lines.last_mut()) {
            let is_keyword = KEYWORDS.iter().any(|keyword| is_text(&word, keyword));
            line.push(word);
            // What stands behind `then` is a command of its own.
            if is_keyword && line.len() == 1 {
                self.lines.push(Vec::new());
            }
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.lines.push(Vec::new());
    }

    /// A bracket that nothing has opened ends the patterns of a branch of `case`, which are no commands.
    fn bracket(&mut self, letter: char) {
        match letter {
            '(' => self.depth += 1,
            ')' if self.depth > 0 => self.depth -= 1,
            ')' => {
                let patterns = self.lines.get_mut(self.first..).unwrap_or_default();
                let is_case =
                    |line: &Vec<ShellWord>| line.first().is_some_and(|word| is_text(word, "case"));
                for line in patterns.iter_mut().filter(|line| !is_case(line)) {
                    line.clear();
                }
            }
            ';' => self.first = self.lines.len() - 1,
            _ => {}
        }
    }

    fn double_quoted(&mut self) {
        self.advance(1);
        self.push(WordPiece::Text(String::new()));
        while let Some(letter) = self.rest.chars().next() {
            match letter {
                '"' => {
                    self.advance(1);
                    return;
                }
                '\\' => {
                    let mut letters = self.rest.chars();
                    let next = letters.nth(1).unwrap_or('\n');
                    self.rest = letters.as_str();
                    if next != '\n' {
                        self.push(WordPiece::Text(next.to_string()));
                    }
                }
                '$' | '`' => {
                    let piece = self.dollar(false);
                    self.push(piece);
                }
                letter => {
                    self.advance(letter.len_utf8());
                    self.push(WordPiece::Text(letter.to_string()));
                }
            }
        }
    }

    /// A variable, or something that only running would tell.
    fn dollar(&mut self, is_split: bool) -> WordPiece {
        if self.rest.starts_with('`') {
            let inner = self.rest.get(1..).unwrap_or_default();
            self.rest = inner.split_once('`').map_or("", |(_, rest)| rest);
            return WordPiece::Unknown;
        }
        self.advance(1);
        if self.rest.starts_with('(') {
            self.skip_substitution();
            return WordPiece::Unknown;
        }
        if let Some(inner) = self.rest.strip_prefix('{') {
            let (name, rest) = inner.split_once('}').unwrap_or((inner, ""));
            self.rest = rest;
            return variable(name, is_split);
        }
        let end = self
            .rest
            .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            // `$?`, `$@`, `$$`.
            let length = self.rest.chars().next().map_or(0, char::len_utf8);
            self.advance(length);
            return WordPiece::Unknown;
        }
        self.rest = rest;
        variable(name, is_split)
    }

    /// Steps over `(…)`, whatever is in it.
    fn skip_substitution(&mut self) {
        let mut depth = 0_usize;
        let mut quote = None;
        for (at, letter) in self.rest.char_indices() {
            match (quote, letter) {
                (Some(open), letter) if letter == open => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        return self.advance(at + 1);
                    }
                }
                _ => {}
            }
        }
        self.rest = "";
    }

    /// Steps over `>FILE`, `2>&1`, `<<EOF`: none of it is a word of the command.
    fn redirection(&mut self) {
        let is_number = |word: &ShellWord| matches!(word.as_slice(), [WordPiece::Text(text)] if text.bytes().all(|byte| byte.is_ascii_digit()));
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        }
        self.end_word();
        let is_document = self.rest.starts_with("<<");
        let target = from(self.rest, |letter| !"<>&-|".contains(letter));
        let target = target.trim_start_matches([' ', '\t']);
        let rest = from(target, |letter: char| {
            letter.is_whitespace() || ";&|()".contains(letter)
        });
        if is_document {
            let end = target.get(..target.len() - rest.len()).unwrap_or_default();
            self.ends.push(end.replace(['"', '\'', '\\'], ""));
        }
        self.rest = rest;
    }

    fn skip_documents(&mut self) {
        for end in std::mem::take(&mut self.ends) {
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                if line.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
    }
}

fn variable(name: &str, is_split: bool) -> WordPiece {
    let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        WordPiece::Variable(name.to_owned(), is_split)
    } else {
        WordPiece::Unknown
    }
}

/// The text from the first letter on that is one of these.
fn from(text: &str, is_end: impl Fn(char) -> bool) -> &str {
    let at = text.find(is_end).unwrap_or(text.len());
    text.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(script: &str) -> Vec<String> {
        let words = |command: &ShellCommand| {
            let words: Vec<&str> = (command.iter())
                .map(|word| word.as_deref().unwrap_or("?"))
                .collect();
            words.join(" ")
        };
        commands(script).iter().map(words).collect()
    }

    #[test]
    fn commands_of_scripts() {
        for (script, expected) in [
            ("a b \\\n  c # no\n", &["a b c"][..]),
            (
                "if [ \"$1\" = configure ]; then a /x 'y z'; fi",
                &["[ ? = configure ]", "a /x y z"],
            ),
            (
                "d=/usr/lib\nfor i in x y; do\n  a $d/$i ${i}.1 \"$i\"\ndone\nb",
                &["a /usr/lib/x x.1 x", "a /usr/lib/y y.1 y", "b"],
            ),
            ("t='x y'\nfor i in $t; do a $i; done", &["a x", "a y"]),
            (
                "p=1\nif x; then p=$(expr $p - 1); fi\na $p `b` $(c \")\" d) e >/dev/null 2>&1 || true",
                &["x", "a 1 ? ? e", "true"],
            ),
            ("cat <<EOF >x\nno $x 'y\nEOF\na", &["cat", "a"]),
            ("f() {\n a\n}\nf", &["f", "a", "f"]),
            (
                "case \"$1\" in\n configure|abort)\n  a\n ;;\nesac",
                &["case ? in", "a"],
            ),
            (
                "for i in a; do for j in b c; do x $i $j; done; y; done; z",
                &["x a b", "x a c", "y", "z"],
            ),
        ] {
            let found: Vec<String> = shown(script)
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect();
            assert_eq!(found, expected, "{script}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(script in "(for i in |do |done|;|\n|\\$|\\$\\(|\\(|\\)|'|\"|`|\\\\|<<|>|#|a|=|\\$\\{| |ä|\\}){0,60}") {
            let _ = commands(&script);
        }
    }
}
