//! Ranges of versions as Poetry writes them: `^1.2`, `~1.2`, `1.*`, `>=1,<2`, `^1 || ^2`.
//!
//! Specified in <https://python-poetry.org/docs/dependency-specification/#version-constraints>.

use pep440_rs::{Version, VersionSpecifiers};

/// Most parts of a range.
const MAX_PARTS: usize = 100;

/// Reads a range: any of the results holds.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn alternatives(text: &str) -> Result<Vec<VersionSpecifiers>, String> {
    let parts: Vec<&str> = text.split('|').collect();
    if parts.len() > MAX_PARTS {
        return Err("it has too many alternatives".to_owned());
    }
    // `a || b` leaves an empty text between the bars.
    let mut kept: Vec<&str> = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect();
    if kept.is_empty() {
        kept.push("*");
    }
    kept.into_iter().map(all_of).collect()
}

/// Reads a range that has no alternatives.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    let mut all = alternatives(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(format!(
            "`{text}` names alternatives, which requirements do not have"
        )),
    }
}

fn all_of(text: &str) -> Result<VersionSpecifiers, String> {
    let mut parts: Vec<String> = Vec::new();
    let mut open = String::new();
    for word in text.split([',', ' ', '\t']).map(str::trim) {
        open.push_str(word);
        let is_operator = |c: char| "<>=!~^".contains(c);
        if open.is_empty() || open.chars().all(is_operator) {
            continue;
        }
        parts.push(std::mem::take(&mut open));
        if parts.len() > MAX_PARTS {
            return Err("it has too many parts".to_owned());
        }
    }
    if !open.is_empty() {
        return Err(format!("`{open}` stands without a version"));
    }
    let mut written = Vec::new();
    for part in &parts {
        written.extend(one(part)?);
    }
    written
        .join(",")
        .parse()
        .map_err(|_| format!("`{text}` is no range of versions"))
}

/// One part in the words of PEP 440.
fn one(part: &str) -> Result<Option<String>, String> {
    let wrong = || format!("`{part}` is no range of versions");
    if !part.is_ascii() {
        return Err(wrong());
    }
    let version = |text: &str| {
        text.trim_start_matches('v')
            .parse::<Version>()
            .map_err(|_| wrong())
    };
    let at = part
        .find(|c: char| !"<>=!~^".contains(c))
        .ok_or_else(wrong)?;
    let (operator, rest) = part.split_at(at);
    if rest == "*" && matches!(operator, "" | "=" | "==" | ">=") {
        return Ok(None);
    }
    let text = match operator {
        "^" | "~" => {
            let lower = version(rest)?;
            let upper = above(&lower, operator == "^");
            format!(">={lower},<{upper}")
        }
        "" | "=" | "==" => format!("=={}", wildcard(rest)),
        "<" | ">" | "<=" | ">=" | "!=" | "~=" | "===" => format!("{operator}{}", wildcard(rest)),
        _ => return Err(wrong()),
    };
    Ok(Some(text))
}

/// `1.2.*.*` and `1.x` are `1.2.*` and `1.*`.
fn wildcard(text: &str) -> String {
    let is_wild = |part: &str| matches!(part, "*" | "x" | "X");
    let mut parts = text.split('.');
    let fixed: Vec<&str> = parts.by_ref().take_while(|part| !is_wild(part)).collect();
    if fixed.len() == text.split('.').count() {
        text.to_owned()
    } else {
        format!("{}.*", fixed.join("."))
    }
}

/// The first version that a caret or a tilde leaves out.
fn above(lower: &Version, is_caret: bool) -> Version {
    let numbers = lower.release();
    let last = numbers.len().saturating_sub(1);
    let at = if is_caret {
        numbers
            .iter()
            .position(|number| *number > 0)
            .unwrap_or(last)
            .min(last)
    } else {
        last.min(1)
    };
    let mut upper: Vec<u64> = numbers.iter().take(at + 1).copied().collect();
    if let Some(number) = upper.last_mut() {
        *number = number.saturating_add(1);
    }
    upper.resize(numbers.len().max(2), 0);
    Version::new(upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Result<String, String> {
        let all = specifiers(text)?;
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        Ok(all.join(","))
    }

    #[test]
    fn ranges_mean_what_poetry_means() {
        for (text, expected) in [
            ("*", ""),
            ("", ""),
            ("^1.2.3", ">=1.2.3,<2.0.0"),
            ("^0.2.3", ">=0.2.3,<0.3.0"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0", ">=0,<1.0"),
            ("^0.0", ">=0.0,<0.1"),
            ("^1", ">=1,<2.0"),
            ("~1.2.3", ">=1.2.3,<1.3.0"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2.0"),
            ("~=1.2", "~=1.2"),
            ("1.2.*", "==1.2.*"),
            ("!=1.x", "!=1.*"),
            ("1.2", "==1.2"),
            (">= 1.0 , < 2", ">=1.0,<2"),
            (">=1.0 <2", ">=1.0,<2"),
        ] {
            assert_eq!(shown(text).unwrap(), expected, "{text}");
        }
        for wrong in ["^", "^x", "1 || 2", ">", "=>1", "^1.*", "ä"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
        assert_eq!(alternatives("^1 || ^2").unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([\\^~<>=!,| *x.]|[0-9]{1,20}|rc1|ä|\\PC){0,12}") {
            let _ = alternatives(&text);
        }
    }
}
