//! Lines of a requirement file, written from values that were read: names, versions, addresses and
//! hashes, each in its own grammar.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pep440_rs::VersionSpecifiers;

use super::{ConvertedLock, LockFileError, LockForm, is_name, normalised, unreadable, unsupported};
use crate::packages::python::brought::brought_by;
use crate::packages::python::conditions::{IndexPin, ResolutionRules};
use crate::packages::python::hash::FileHash;
use crate::packages::python::location::is_public_index;

/// The one index that needs no naming; left out, so that `PIP_INDEX_URL` may stand in for it.
const PUBLIC: &str = crate::packages::python::PUBLIC_INDEX;

/// What is wanted of a package.
pub(super) enum PackageSource {
    /// Any of these versions.
    Versions(VersionSpecifiers),
    /// What lies at an address or path, in the form of PEP 508.
    Address(String),
    /// What lies at an address or path, whatever its name turns out to be.
    Unnamed(String),
}

pub(super) struct RequirementLines {
    path: &'static str,
    indexes: Vec<String>,
    links: Vec<String>,
    lines: Vec<(String, String)>,
    names: BTreeSet<String>,
    outside: BTreeSet<String>,
    no_index: bool,
    conditions: ResolutionRules,
}

impl RequirementLines {
    pub(super) fn new(path: &'static str) -> Self {
        Self {
            path,
            indexes: Vec::new(),
            links: Vec::new(),
            lines: Vec::new(),
            names: BTreeSet::new(),
            outside: BTreeSet::new(),
            no_index: false,
            conditions: ResolutionRules::default(),
        }
    }

    /// Has no index asked.
    pub(super) fn no_index(&mut self) {
        self.no_index = true;
    }

    /// Sets what lines cannot say.
    pub(super) fn conditions(&mut self, conditions: ResolutionRules) -> Result<(), LockFileError> {
        for index in &conditions.indexes {
            self.check_address(&format!("the index {}", index.name), &index.url)?;
        }
        self.conditions = conditions;
        Ok(())
    }

    /// Has a package come from one place alone.
    pub(super) fn tie(&mut self, name: &str, tie: IndexPin) {
        self.conditions.ties.insert(normalised(name), tie);
    }

    /// Adds an index, the first being the one that is asked first.
    pub(super) fn index(&mut self, url: &str) -> Result<(), LockFileError> {
        self.check_address("the index", url)?;
        let url = if is_public_index(url) {
            PUBLIC.to_owned()
        } else {
            url.trim_end_matches('/').to_owned()
        };
        if !self.indexes.contains(&url) {
            self.indexes.push(url);
        }
        Ok(())
    }

    /// Adds a page or folder of links to files.
    pub(super) fn links(&mut self, url: &str) -> Result<(), LockFileError> {
        self.check_address("the list of links", url)?;
        self.links.push(url.to_owned());
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        extras: &[String],
        wanted: &PackageSource,
        hashes: &[&str],
    ) -> Result<(), LockFileError> {
        if let Some(wrong) = std::iter::once(name)
            .chain(extras.iter().map(String::as_str))
            .find(|name| !is_name(name))
        {
            let reason = format!("`{wrong}` is no name of a package");
            return Err(unreadable(self.path, reason));
        }
        let name = normalised(name);
        let brought = brought_by(&name, extras.iter().map(String::as_str));
        self.names.extend(brought.map(str::to_owned));
        self.names.insert(name.clone());
        if let PackageSource::Address(address) | PackageSource::Unnamed(address) = wanted
            && address.starts_with("../")
        {
            self.outside.insert(address.clone());
        }
        if let PackageSource::Unnamed(address) = wanted {
            self.check_address(&name, address)?;
            self.put((address.clone(), address.clone()));
            return Ok(());
        }
        let mut line = name.clone();
        if !extras.is_empty() {
            let extras: BTreeSet<String> = extras.iter().map(|extra| normalised(extra)).collect();
            let extras: Vec<String> = extras.into_iter().collect();
            let _ = write!(line, "[{}]", extras.join(","));
        }
        match wanted {
            PackageSource::Versions(specifiers) => {
                let specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
                line.push_str(&specifiers.join(","));
            }
            PackageSource::Address(address) => {
                self.check_address(&name, address)?;
                let _ = write!(line, " @ {address}");
            }
            PackageSource::Unnamed(_) => {}
        }
        for hash in hashes {
            hash.parse::<FileHash>()
                .map_err(|error| unreadable(self.path, format!("{name}: {error}")))?;
            self.check_address(&name, hash)?;
            let _ = write!(line, " --hash={hash}");
        }
        self.put((name, line));
        Ok(())
    }

    /// The same line twice is one.
    fn put(&mut self, line: (String, String)) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// A line ends at a blank, a quote or a line's end; so nothing may bring one along.
    fn check_address(&self, package: &str, text: &str) -> Result<(), LockFileError> {
        let is_odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\');
        if text.is_empty() || text.starts_with('-') || text.chars().any(is_odd) {
            let what = format!("`{}` cannot be passed on", text.escape_debug());
            return Err(unsupported(self.path, package, what));
        }
        Ok(())
    }

    /// The text: options, then packages by name.
    pub(super) fn finish(mut self) -> ConvertedLock {
        let mut text = String::new();
        if self.no_index {
            text.push_str("--no-index\n");
        }
        for (at, url) in self.indexes.iter().enumerate() {
            let option = if at == 0 {
                "--index-url"
            } else {
                "--extra-index-url"
            };
            if at > 0 || url != PUBLIC {
                let _ = writeln!(text, "{option} {url}");
            }
        }
        for url in &self.links {
            let _ = writeln!(text, "--find-links {url}");
        }
        self.lines.sort();
        for (_, line) in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        ConvertedLock {
            text,
            form: LockForm::Requirements,
            names: self.names,
            outside: self.outside,
            conditions: self.conditions,
        }
    }
}

/// A repository's address in the form of requirements: `git+https://host/x@COMMIT#subdirectory=sub`.
pub(super) fn git_address(url: &str, commit: Option<&str>, subdirectory: Option<&str>) -> String {
    let url = url.strip_prefix("git+").unwrap_or(url);
    let mut address = match (url.contains("://"), url.split_once(':')) {
        // As scp has it: git@host:owner/name.
        (false, Some((host, path))) => format!("git+ssh://{host}/{path}"),
        _ => format!("git+{url}"),
    };
    if let Some(commit) = commit {
        let _ = write!(address, "@{commit}");
    }
    if let Some(subdirectory) = subdirectory.filter(|folder| !folder.is_empty()) {
        let _ = write!(address, "#subdirectory={subdirectory}");
    }
    address
}

/// A path in the form of requirements, which tell paths from names by a separator.
pub(super) fn path_address(path: &str) -> String {
    // PDM's word for the folder of its pyproject.toml.
    let path = path
        .strip_prefix("/${PROJECT_ROOT}/")
        .map_or(path, |path| path.trim_start_matches("./"));
    if path == "." || path.starts_with("./") || path.starts_with("../") || path.starts_with('/') {
        path.to_owned()
    } else {
        format!("./{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_form_of_requirements() {
        for (url, expected) in [
            ("https://h/x.git", "git+https://h/x.git@1#subdirectory=a"),
            ("git+https://h/x", "git+https://h/x@1#subdirectory=a"),
            ("git@h:o/x.git", "git+ssh://git@h/o/x.git@1#subdirectory=a"),
            ("ssh://git@h/x", "git+ssh://git@h/x@1#subdirectory=a"),
        ] {
            assert_eq!(git_address(url, Some("1"), Some("a")), expected);
        }
        assert_eq!(path_address("lib"), "./lib");
        assert_eq!(path_address("../lib"), "../lib");
        assert_eq!(path_address("."), ".");
        assert_eq!(path_address("/${PROJECT_ROOT}/../core"), "../core");
        assert_eq!(path_address("/${PROJECT_ROOT}/./lib"), "./lib");
    }

    #[test]
    fn nothing_brings_a_line_of_its_own() {
        let mut lines = RequirementLines::new("x");
        let any = || PackageSource::Versions(VersionSpecifiers::empty());
        assert!(lines.add("a\n-r b", &[], &any(), &[]).is_err());
        assert!(lines.add("a", &["b]\n".to_owned()], &any(), &[]).is_err());
        assert!(lines.add("a", &[], &any(), &["md5:1\n-e ."]).is_err());
        assert!(lines.index("https://h/\n-r x").is_err());
        let odd = PackageSource::Address("https://h/ --x".to_owned());
        assert!(lines.add("a", &[], &odd, &[]).is_err());
        lines.index(&format!("{PUBLIC}/")).unwrap();
        lines
            .index(&PUBLIC.replace("pypi.org", "pypi.python.org"))
            .unwrap();
        lines.index("https://${USER}:${KEY}@h/simple").unwrap();
        lines
            .add("B_c", &["X".to_owned()], &any(), &["sha512:1"])
            .unwrap();
        lines
            .add("b.c", &["x".to_owned()], &any(), &["sha512:1"])
            .unwrap();
        let converted = lines.finish();
        assert_eq!(
            converted.text,
            "--extra-index-url https://${USER}:${KEY}@h/simple\nb-c[x] --hash=sha512:1\n"
        );
    }
}
