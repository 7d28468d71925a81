//! Markers (PEP 508, "Environment Markers") in text from outside: the one guarded way to their reader.
//!
//! That reader descends into parentheses recursively, and panics on characters beyond ASCII,
//! because it counts bytes where it should count characters; so such texts are refused before.

use pep508_rs::MarkerTree;

use super::location::DirectUrl;

/// Longest marker in bytes.
const MAX_MARKER_BYTES: usize = 4096;
/// Most parentheses in a marker, or in a requirement that may hold one.
pub(super) const MAX_PARENTHESES: usize = 64;

/// What is wrong with a text before it is read; `Ok` if nothing is.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_MARKER_BYTES || text.matches('(').count() > MAX_PARENTHESES {
        return Err("it is too long".to_owned());
    }
    if !text.is_ascii() {
        return Err("it has characters that no marker has".to_owned());
    }
    check_tilde(text)
}

/// The reader takes zeros off the end of versions, and panics where `~=` is left with one number:
/// `python_version ~= '3.0'`.
pub(super) fn check_tilde(text: &str) -> Result<(), String> {
    let numbers = |quoted: &str| {
        let release = quoted.rsplit('!').next().unwrap_or_default();
        let mut numbers = release.trim().split('.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].trim_start_matches('0')
        });
        numbers.next();
        numbers.any(|number| !number.is_empty())
    };
    let mut quoted = text.split(['"', '\'']).skip(1).step_by(2);
    let is_version = |text: &&str| text.trim_start().starts_with(|c: char| c.is_ascii_digit());
    if text.contains("~=") && quoted.any(|text| is_version(&text) && !numbers(text)) {
        return Err("`~=` needs a version of two numbers, the last of which is not 0".to_owned());
    }
    Ok(())
}

pub(super) fn parse(text: &str) -> Result<MarkerTree, String> {
    check(text)?;
    MarkerTree::parse_str::<DirectUrl>(text).map_err(|error| {
        let message = error.message.to_string();
        message.lines().next().unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_markers_and_refuses_the_rest() {
        assert!(parse("python_version >= '3.8' and os_name == 'posix'").is_ok());
        let deep = format!("{}os_name == 'x'{}", "(".repeat(65), ")".repeat(65));
        for wrong in [
            "",
            "python_version ~= '3.0'",
            "python_version ~= '3'",
            "ä == 'x'",
            "os_name == 'ä'",
            "os_name ==",
            &deep,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn never_panics_on_likely_text(text in "( ?(extra|os_name|python_version|in|not in|==|~=|<|and|or|\\(|\\)|'|\"|3\\.1|\\*|ä)){0,14}") {
            let _ = parse(&text);
        }
    }
}
