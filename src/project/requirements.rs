//! The names in `requirements.txt` and the files that it includes: enough to know whether gunicorn
//! or Django is asked for. Versions, markers and indexes are the resolver's business, which also
//! says what is wrong with a file; here nothing is.

use crate::packages::python::{brought_by, decode_requirements, extras_of, is_wheel};
use std::collections::BTreeSet;

use super::{NamedPackage, ProjectError, SourcePlace};
use crate::source::{SettingsFile, SourceTree};

/// As many files may include one another.
const MAX_FILES: usize = 100;

/// What `requirements.txt` asks for; `None` if there is none.
pub(super) fn asked(tree: &SourceTree) -> Result<Option<Vec<NamedPackage>>, ProjectError> {
    const ROOT: &str = "requirements.txt";
    if tree.read_small(ROOT, SettingsFile::Requirements)?.is_none() {
        return Ok(None);
    }
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    let mut pending = vec![ROOT.to_owned()];
    while let Some(path) = pending.pop() {
        if seen.len() == MAX_FILES || !seen.insert(path.clone()) {
            continue;
        }
        let Some(bytes) = tree.read_small(&path, SettingsFile::Requirements)? else {
            continue;
        };
        for (line, text) in logical_lines(&decode_requirements(&bytes)) {
            match line_of(&text) {
                RequirementLine::Name(name) => {
                    let place = || SourcePlace::line(&path, line);
                    for server in brought_by(&name, extras_of(text.trim())) {
                        let (name, place) = (server.to_owned(), place());
                        names.push(NamedPackage { name, place });
                    }
                    let place = place();
                    names.push(NamedPackage { name, place });
                }
                RequirementLine::Include(other) => pending.extend(beside(&path, other)),
                RequirementLine::Other => {}
            }
        }
    }
    Ok(Some(names))
}

/// Lines with their numbers, those that end in a backslash joined to the next, comments cut off.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut begun: Option<(u32, String)> = None;
    for (line, text) in (1..).zip(text.lines()) {
        let (start, mut joined) = begun.take().unwrap_or((line, String::new()));
        if let Some(text) = text.strip_suffix('\\') {
            joined.push_str(text);
            begun = Some((start, joined));
        } else {
            joined.push_str(text);
            lines.push((start, joined));
        }
    }
    lines.extend(begun);
    for (_, text) in &mut lines {
        let comment = text
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || text[..*at].ends_with(char::is_whitespace)));
        if let Some((at, _)) = comment {
            text.truncate(at);
        }
    }
    lines
}

enum RequirementLine<'a> {
    Name(String),
    Include(&'a str),
    Other,
}

fn line_of(text: &str) -> RequirementLine<'_> {
    let text = text.trim();
    for option in ["--requirement", "-r"] {
        if let Some(rest) = text.strip_prefix(option) {
            return RequirementLine::Include(rest.trim_start_matches(['=', ' ', '\t']).trim());
        }
    }
    let text = text
        .strip_prefix("--editable")
        .or_else(|| text.strip_prefix("-e"))
        .map_or(text, |rest| rest.trim_start_matches(['=', ' ', '\t']));
    if text.starts_with('-') {
        return RequirementLine::Other;
    }
    match name_of(text) {
        Some(name) => RequirementLine::Name(name),
        // `.`, `./lib`, an archive: something comes in, whatever it is called and needs.
        None if text.starts_with('.') || text.contains('/') => {
            RequirementLine::Name(format!("@ {text}"))
        }
        None => RequirementLine::Other,
    }
}

/// The package that a requirement names, normalised.
fn name_of(text: &str) -> Option<String> {
    if let Some((_, egg)) = text.split_once("#egg=") {
        return leading_name(egg);
    }
    let first = text.split_whitespace().next()?;
    if first.contains("://") && !text.contains('@') || first.contains('/') && !text.contains('@') {
        let file = first.rsplit('/').next()?;
        return is_wheel(file.split('#').next()?)
            .then(|| file.split('-').next().map(normalised))?;
    }
    leading_name(text)
}

fn leading_name(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(text.len());
    let rest = text[end..].trim_start();
    let ends_well = rest.is_empty()
        || rest.starts_with(['[', '=', '<', '>', '!', '~', ';', '@', '(', '&', ','])
        || rest.starts_with("--");
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    (begins_well && ends_well).then(|| normalised(&text[..end]))
}

/// A name as PEP 503 compares it.
pub(super) fn normalised(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if "-_.".contains(c) {
            if !text.ends_with('-') {
                text.push('-');
            }
        } else {
            text.push(c.to_ascii_lowercase());
        }
    }
    text
}

/// A file named in another, relative to it; `None` for urls.
fn beside(path: &str, other: &str) -> Option<String> {
    if other.contains("://") || other.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in other.split('/') {
        match part {
            "" | "." => {}
            // So that files which include each other have one name each.
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{folder, tree};

    #[test]
    fn names_are_found_in_all_forms() {
        for (line, expected) in [
            ("Flask", Some("flask")),
            ("Flask==3.0.1", Some("flask")),
            ("zope.interface >= 5", Some("zope-interface")),
            ("My__Pkg[a,b]~=1; python_version < '4'", Some("my-pkg")),
            ("gunicorn # comment", Some("gunicorn")),
            ("gunicorn#no", None),
            ("django @ https://x/y.zip", Some("django")),
            (
                "git+https://x/y@main#egg=Thing&subdirectory=z",
                Some("thing"),
            ),
            ("-e git+https://x/y#egg=Thing", Some("thing")),
            (
                "https://x/Some_Wheel-1-py3-none-any.whl",
                Some("some-wheel"),
            ),
            ("./wheels/other-1-py3-none-any.whl", Some("other")),
            ("https://x/y.tar.gz", Some("@ https://x/y.tar.gz")),
            ("./local", Some("@ ./local")),
            ("-e .", Some("@ .")),
            ("--index-url https://x", None),
            ("-c constraints.txt", None),
            ("--no-binary :all:", None),
            ("six==1 --hash=sha256:ab", Some("six")),
            ("", None),
        ] {
            let folder = folder(&[("requirements.txt", line)]);
            let names: Vec<String> = asked(&tree(&folder))
                .unwrap()
                .unwrap()
                .into_iter()
                .map(|asked| asked.name)
                .collect();
            let expected: Vec<&str> = expected.into_iter().collect();
            assert_eq!(names, expected, "{line:?}");
        }
    }

    #[test]
    fn text_of_other_editors_is_read() {
        let folder = folder(&[]);
        let text = "gunicorn==23.0.0\r\nflask\r\n";
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        std::fs::write(folder.path().join("requirements.txt"), utf16).unwrap();
        let names: Vec<String> = asked(&tree(&folder))
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|asked| asked.name)
            .collect();
        assert_eq!(names, ["gunicorn", "flask"]);
    }

    #[test]
    fn included_files_are_read_once_with_their_lines() {
        let folder = folder(&[
            (
                "requirements.txt",
                "\u{feff}A\r\n-r reqs/more.txt\r\nB==1 \\\r\n  --hash=sha256:x\r\nC\r\n",
            ),
            (
                "reqs/more.txt",
                "D\n--requirement=../requirements.txt\n-r https://x\n-rless.txt\n",
            ),
            ("reqs/less.txt", "\nE\n-r missing.txt"),
        ]);
        let mut places: Vec<String> = asked(&tree(&folder))
            .unwrap()
            .unwrap()
            .into_iter()
            .map(|asked| format!("{} {}", asked.name, asked.place))
            .collect();
        places.sort();
        assert_eq!(
            places,
            [
                "a requirements.txt:1",
                "b requirements.txt:3",
                "c requirements.txt:5",
                "d reqs/more.txt:1",
                "e reqs/less.txt:2",
            ]
        );
    }

    #[test]
    fn no_file_is_no_list() {
        assert!(asked(&tree(&folder(&[("a", "")]))).unwrap().is_none());
        let empty = folder(&[("requirements.txt", "")]);
        assert_eq!(asked(&tree(&empty)).unwrap(), Some(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(-r |-e |--hash=|git\\+|https://|#egg=|\\[|\\]|;|@|#|\\\\\n|\n|==|\\.whl|[a-zä]{1,3}| |\\.|/|-|_|=){0,30}") {
            for (_, line) in logical_lines(&text) {
                let _ = line_of(&line);
            }
        }
    }
}
