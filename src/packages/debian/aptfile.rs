//! `Aptfile`: Debian packages that a project needs, one name a line; `#` begins a comment.
//!
//! A file of that name is known from buildpacks, where it is handed to apt. No apt runs here, so
//! what only apt would understand is refused: options, urls of packages, further archives, versions
//! (`s2r.lock` pins those), architectures. Names: Debian Policy 5.6.7.

/// Packages that one file may name.
const MAX_PACKAGES: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AptRequest {
    pub name: String,
    /// Its line, from 1.
    pub line: u32,
}

impl AptRequest {
    /// Whether a program needs it only to be built: headers and the links that a linker wants.
    pub(crate) fn is_for_building(&self) -> bool {
        self.name.ends_with("-dev")
    }
}

/// A line that is no package's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?}: {fault:?}")]
pub(crate) struct AptfileError {
    /// The line, from 1.
    pub line: u32,
    /// What stands there, shortened.
    pub text: String,
    pub fault: AptfileFault,
}

/// What stands where a name was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AptfileFault {
    /// An option of apt.
    Option,
    /// The url or path of a package.
    Url,
    /// A further archive: `ppa:`, `:repo:`, `deb …`.
    Archive,
    /// A version or suite behind the name.
    Version,
    /// An architecture behind the name.
    Architecture,
    Several,
    Name,
    /// More than may be named.
    TooMany,
}

/// Reads the file's text; each package once, in the file's order.
pub(crate) fn parse(text: &str) -> Result<Vec<AptRequest>, AptfileError> {
    let mut wanted: Vec<AptRequest> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = match text.find('#') {
            // `#` is in no name, so a comment may stand behind one.
            Some(at) => text[..at].trim(),
            None => text.trim(),
        };
        if text.is_empty() {
            continue;
        }
        let wrong = |fault| AptfileError {
            line,
            text: text.chars().take(80).collect(),
            fault,
        };
        if let Some(fault) = fault_of(text) {
            return Err(wrong(fault));
        }
        if wanted.iter().any(|one| one.name == text) {
            continue;
        }
        if wanted.len() == MAX_PACKAGES {
            return Err(wrong(AptfileFault::TooMany));
        }
        wanted.push(AptRequest {
            name: text.to_owned(),
            line,
        });
    }
    Ok(wanted)
}

fn fault_of(text: &str) -> Option<AptfileFault> {
    let is_name = text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    if is_name && !text.ends_with(['-', '+']) {
        // A name that ends in .deb is a file's.
        return std::path::Path::new(text)
            .extension()
            .is_some_and(|ending| ending == "deb")
            .then_some(AptfileFault::Url);
    }
    // `libstdc++` is a name; `vim-` and `vim+` are apt's words for removing and installing.
    if is_name && text.ends_with("++") {
        return None;
    }
    Some(if text.starts_with('-') {
        AptfileFault::Option
    } else if text.starts_with("ppa:") || text.starts_with(":repo:") || text.starts_with("deb ") {
        AptfileFault::Archive
    } else if text.contains("://") || text.starts_with(['/', '.']) {
        AptfileFault::Url
    } else if text.contains(char::is_whitespace) {
        AptfileFault::Several
    } else if text.contains(['=', '/', '<', '>']) {
        AptfileFault::Version
    } else if text.contains(':') {
        AptfileFault::Architecture
    } else {
        AptfileFault::Name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_comments_are_read() {
        let text =
            "# for psycopg\r\nlibpq5\n\n  libpq-dev  # headers\njq\nlibpq5\n7zip\nlibstdc++\n";
        let wanted = parse(text).unwrap();
        let names: Vec<(&str, u32, bool)> = wanted
            .iter()
            .map(|one| (one.name.as_str(), one.line, one.is_for_building()))
            .collect();
        assert_eq!(
            names,
            [
                ("libpq5", 2, false),
                ("libpq-dev", 4, true),
                ("jq", 5, false),
                ("7zip", 7, false),
                ("libstdc++", 8, false)
            ]
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_only_apt_understands_is_refused() {
        for (text, fault) in [
            ("-o APT::x=y", AptfileFault::Option),
            ("--no-install-recommends", AptfileFault::Option),
            ("https://h/x.deb", AptfileFault::Url),
            ("./x.deb", AptfileFault::Url),
            ("x.deb", AptfileFault::Url),
            ("ppa:a/b", AptfileFault::Archive),
            (":repo:deb http://h x main", AptfileFault::Archive),
            ("deb http://h x main", AptfileFault::Archive),
            ("jq=1.7", AptfileFault::Version),
            ("jq/trixie", AptfileFault::Version),
            ("jq:arm64", AptfileFault::Architecture),
            ("jq curl", AptfileFault::Several),
            ("vim-", AptfileFault::Name),
            ("vim+", AptfileFault::Name),
            ("JQ", AptfileFault::Name),
            ("j", AptfileFault::Name),
            ("jq|curl", AptfileFault::Name),
            ("$(id)", AptfileFault::Name),
        ] {
            let found = parse(&format!("\n{text}\n")).unwrap_err();
            assert_eq!((found.line, found.fault), (2, fault), "{text}");
        }
        let many: String = (0..501)
            .map(|number| format!("package{number}\n"))
            .collect();
        assert_eq!(parse(&many).unwrap_err().fault, AptfileFault::TooMany);
    }
}
