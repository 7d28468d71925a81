//! What uv's failures mean: whose fault it is, and which projects and lines they may be about. What of
//! a project is missing is never taken from the message: the index is asked.

use std::collections::BTreeSet;
use std::path::Path;

use super::request::CompileRequest;
use crate::packages::python::{DirectUrl, PackageName, Position, Requirement, Version};
use crate::resolve::wheels::error::{WheelError, is_debians_own};

/// Most of a message that is shown, in bytes: long ones list hundreds of versions.
const MAX_SHOWN_BYTES: usize = 4000;
/// uv's exit status where it worked and the requirements cannot be met.
const NO_SOLUTION: i32 = 1;

/// A failure of uv.
pub(in crate::resolve::wheels) struct UvFailure {
    /// The error, as far as uv alone can tell it.
    pub(in crate::resolve::wheels) error: WheelError,
    /// Projects that the message names, in its order, each once.
    pub(in crate::resolve::wheels) mentions: Vec<NamedProject>,
}

impl From<WheelError> for UvFailure {
    fn from(error: WheelError) -> Self {
        Self {
            error,
            mentions: Vec::new(),
        }
    }
}

/// A project that a message names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resolve::wheels) struct NamedProject {
    pub(in crate::resolve::wheels) name: PackageName,
    /// The newest version that is named with `==`.
    pub(in crate::resolve::wheels) exact: Option<Version>,
}

/// The line that uv gets for a wish: names, extras and versions as they are, wheels at paths and addresses by
/// their stub in the private folder. No marker: only wishes that
/// hold for the target are given, and uv must not name projects with theirs.
pub(super) fn line_for_uv(wish: &Requirement, folder: &Path) -> String {
    let Some(named) = wish.named() else {
        return String::new();
    };
    let mut bare = named.clone();
    bare.marker = pep508_rs::MarkerTree::TRUE;
    let Some(address) = wish.address() else {
        return bare.to_string();
    };
    bare.clear_url();
    format!(
        "{bare} @ file://{}/{}",
        folder.display(),
        stub_name(address)
    )
}

/// What the stub of the wheel at an address is called.
pub(in crate::resolve::wheels) fn stub_name(address: &DirectUrl) -> String {
    match address {
        DirectUrl::Archive(url) | DirectUrl::Repository(url) => url.file_name(),
        DirectUrl::Path(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

/// Turns uv's exit status into an error. The message is shown, and says whom to ask about; nothing is decided by
/// its words, among which are names that anybody may choose.
pub(super) fn judge(status: Option<i32>, message: &str, task: &CompileRequest<'_>) -> UvFailure {
    let text = shorten(message);
    if task.offline {
        return UvFailure::from(WheelError::NotHere { reason: text });
    }
    if status != Some(NO_SOLUTION) {
        return UvFailure::from(WheelError::Uv { text });
    }
    let words = words(message);
    let of_files: Vec<&Requirement> = task
        .wishes
        .iter()
        .chain(task.constraints)
        .copied()
        .collect();
    UvFailure {
        error: WheelError::Unsatisfiable {
            places: positions(&words, &of_files),
            reason: text,
            asks_for_debians_own: of_files.iter().any(|wish| is_debians_own(wish)),
        },
        mentions: mentions(&words, &of_files),
    }
}

/// Lines that tell a user of s2r nothing: headings, and options that s2r has set itself.
const NOISE: [&str; 3] = [
    "No solution found when",
    "hint: Wheels are required for",
    "warning:",
];

/// uv's cause and hints without its headings.
fn shorten(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches("error: ")
                .trim_start_matches("cause: ")
        })
        .filter(|line| !NOISE.iter().any(|start| line.starts_with(start)) && !line.is_empty())
        .collect();
    let mut text = lines.join("\n");
    if text.len() > MAX_SHOWN_BYTES {
        let end = (0..=MAX_SHOWN_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push_str(" …");
    }
    text
}

/// A word of a message that has the form of a name.
struct MessageWord {
    name: PackageName,
    /// The version behind `==`.
    exact: Option<Version>,
    /// Whether it is written as only names of projects are: with extras, a marker, versions or
    /// backticks.
    is_marked: bool,
}

/// The words of a message that may be names: `x`, `x[a]`, `` `x` ``, `x{os_name == 'y'}==1.0`.
fn words(message: &str) -> Vec<MessageWord> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut words = Vec::new();
    let mut rest = message;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if !is_of_name(first) {
            before = first;
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let mut behind = after;
        for (open, close) in [('[', ']'), ('{', '}')] {
            if let Some(inside) = behind.strip_prefix(open) {
                behind = inside.split_once(close).map_or("", |(_, after)| after);
            }
        }
        let exact = behind.strip_prefix("==").map(|text| {
            let is_of_version = |c: char| is_of_name(c) || matches!(c, '+' | '!' | '*');
            let end = text.find(|c| !is_of_version(c)).unwrap_or(text.len());
            (text[..end].trim_end_matches('.'), &text[end..])
        });
        let is_marked = behind.len() < after.len()
            || before == '`'
            || behind.starts_with(['=', '<', '>', '!', '~']);
        if let Some((_, after)) = exact {
            behind = after;
        }
        if let Ok(name) = word.trim_end_matches(['.', '-', '_']).parse() {
            words.push(MessageWord {
                name,
                exact: exact.and_then(|(version, _)| version.parse().ok()),
                is_marked,
            });
        }
        before = ' ';
        rest = behind;
    }
    words
}

/// The requirements that a message talks about, in the order of the files.
fn positions(words: &[MessageWord], of_files: &[&Requirement]) -> Vec<Position> {
    let named: BTreeSet<&PackageName> = words.iter().map(|word| &word.name).collect();
    let mut places: Vec<Position> = Vec::new();
    for wish in of_files {
        let is_meant = wish.name().is_some_and(|name| named.contains(name));
        if is_meant && !places.contains(&wish.position) {
            places.push(wish.position.clone());
        }
    }
    places
}

/// The projects among the words: those written as such, and those that the files name.
fn mentions(words: &[MessageWord], of_files: &[&Requirement]) -> Vec<NamedProject> {
    let mut found: Vec<NamedProject> = Vec::new();
    for word in words {
        let is_known = of_files.iter().any(|wish| wish.name() == Some(&word.name));
        if !word.is_marked && !is_known {
            continue;
        }
        match found.iter_mut().find(|mention| mention.name == word.name) {
            Some(mention) => mention.exact = mention.exact.take().max(word.exact.clone()),
            None => found.push(NamedProject {
                name: word.name.clone(),
                exact: word.exact.clone(),
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::{ReadAccess, parse};
    use crate::report::Explain as _;

    fn found(message: &str, files: &str) -> Vec<String> {
        let source = ReadAccess {
            read: &|_| None,
            variable: &|_| None,
        };
        let read = parse("r", files.as_bytes(), &source).unwrap();
        let wishes: Vec<&Requirement> = read.wishes.iter().collect();
        let mentions = mentions(&words(message), &wishes);
        let shown = mentions.iter().map(|mention| match &mention.exact {
            Some(version) => format!("{}=={version}", mention.name),
            None => mention.name.to_string(),
        });
        shown.collect()
    }

    #[test]
    fn projects_are_found_with_their_markers_and_extras() {
        for (message, expected) in [
            (
                "Because uwsgi{sys_platform == 'linux'}==2.0 has no usable wheels, we can",
                &["uwsgi==2.0"][..],
            ),
            (
                "Because psycopg-c{implementation_name != 'pypy'}==3.2 has no usable wheels and psycopg[c]==3.2 depends on psycopg-c{implementation_name != 'pypy'}==3.3.",
                &["psycopg-c==3.3", "psycopg==3.2"],
            ),
            (
                "Because all versions of uwsgi have no usable wheels and you require wanted, we can\nhint: Wheels are required for `uwsgi` because",
                &["wanted", "uwsgi"],
            ),
            ("Because there are no versions of x<2,", &["x"]),
            ("", &[]),
            ("x[", &["x"]),
            ("x{a", &["x"]),
        ] {
            assert_eq!(found(message, "wanted\n"), expected, "{message}");
        }
    }

    #[test]
    fn lines_for_uv_have_no_markers() {
        let source = ReadAccess {
            read: &|_| None,
            variable: &|_| None,
        };
        let text = b"x[a]==1 ; sys_platform == 'linux'\ny @ https://u:p@h/y-1-py3-none-any.whl ; os_name == 'posix'\n./w/z-1-py3-none-any.whl\n";
        let read = parse("r", text, &source).unwrap();
        let lines = read.wishes.iter();
        let lines: Vec<String> = lines
            .map(|wish| line_for_uv(wish, Path::new("/f")))
            .collect();
        assert_eq!(
            lines,
            [
                "x[a]==1",
                "y @ file:///f/y-1-py3-none-any.whl",
                "z @ file:///f/z-1-py3-none-any.whl"
            ]
        );
    }

    #[test]
    fn errors_are_told_by_status_and_not_by_words() {
        super::super::run::testing::with_task("", |task| {
            let words = "error: Because authentication has no 401 Unauthorized, Failed to fetch; network was disabled";
            let is_unmet = |status, task: &CompileRequest<'_>| {
                matches!(
                    judge(status, words, task).error,
                    WheelError::Unsatisfiable { .. }
                )
            };
            assert!(is_unmet(Some(1), task));
            assert!(!is_unmet(Some(2), task) && !is_unmet(None, task));
            let advised = |message: &str, files: &str| {
                let wish = Requirement::read(files, Position::whole("r")).unwrap();
                let task = CompileRequest {
                    wishes: &[&wish],
                    ..*task
                };
                let UvFailure { error, .. } = judge(Some(1), message, &task);
                error.explain().next.contains("delete the line")
            };
            assert!(advised("there is none", "pkg-resources==0.0.0"));
            assert!(!advised("no version of pkg-resources==0.0.0", "flask"));
            let offline = CompileRequest {
                offline: true,
                ..*task
            };
            let error = judge(Some(1), "error: anything", &offline).error;
            assert!(matches!(error, WheelError::NotHere { .. }));
        });
    }

    #[test]
    fn long_messages_are_cut() {
        assert!(shorten(&"ä".repeat(9000)).len() < MAX_SHOWN_BYTES + 10);
        assert_eq!(
            shorten("error: No solution found when resolving\n  cause: Because x\n\nhint: y"),
            "Because x\nhint: y"
        );
    }
}
