//! Writes a `pylock.toml`, and TOML's quoting for whoever writes one by other ways.

use std::fmt::Write as _;

use super::{LockedFile, LockedPackage, LockedTree, Pylock};
use crate::packages::python::location::DirectUrl;

impl Pylock {
    /// Writes the lock, packages by name and version, files by name: the same lock is the same text.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::from("lock-version = \"1.0\"\ncreated-by = \"s2r\"\n");
        if let Some(specifiers) = &self.requires_python {
            line(&mut text, "requires-python", &specifiers.to_string());
        }
        // A marker without text always holds: beside it the others say nothing.
        let environments: Option<Vec<String>> = self
            .environments
            .iter()
            .map(|environment| environment.try_to_string().map(|text| quoted(&text)))
            .collect();
        if let Some(environments) = environments.filter(|list| !list.is_empty()) {
            let _ = writeln!(text, "environments = [{}]", environments.join(", "));
        }
        let mut packages: Vec<&LockedPackage> = self.packages.iter().collect();
        packages.sort_by(|a, b| {
            (&a.name, &a.version, a.marker.try_to_string()).cmp(&(
                &b.name,
                &b.version,
                b.marker.try_to_string(),
            ))
        });
        if packages.is_empty() {
            text.push_str("packages = []\n");
        }
        for package in packages {
            package.write(&mut text);
        }
        text
    }
}

impl LockedPackage {
    fn write(&self, text: &mut String) {
        text.push_str("\n[[packages]]\n");
        line(text, "name", self.name.as_ref());
        if let Some(version) = &self.version {
            line(text, "version", &version.to_string());
        }
        if let Some(marker) = self.marker.try_to_string() {
            line(text, "marker", &marker);
        }
        if let Some(specifiers) = &self.requires_python {
            line(text, "requires-python", &specifiers.to_string());
        }
        if let Some(archive) = &self.archive {
            text.push_str("archive = ");
            archive.write(text, false);
            text.push('\n');
        }
        match &self.tree {
            Some(LockedTree::Repository {
                url,
                commit,
                subdirectory,
            }) => {
                let below = subdirectory
                    .as_deref()
                    .map(|below| format!(", subdirectory = {}", quoted(below)))
                    .unwrap_or_default();
                let (url, commit) = (quoted(url.as_str()), quoted(commit));
                let _ = writeln!(
                    text,
                    "vcs = {{ type = \"git\", url = {url}, commit-id = {commit}{below} }}"
                );
            }
            Some(LockedTree::Folder { path, is_editable }) => {
                let path = quoted(path);
                let _ = writeln!(
                    text,
                    "directory = {{ path = {path}, editable = {is_editable} }}"
                );
            }
            None => {}
        }
        if let Some(sdist) = &self.sdist {
            text.push_str("sdist = ");
            sdist.write(text, true);
            text.push('\n');
        }
        if !self.wheels.is_empty() {
            text.push_str("wheels = [\n");
            let mut wheels: Vec<&LockedFile> = self.wheels.iter().collect();
            wheels.sort_by(|a, b| a.name.cmp(&b.name));
            for wheel in wheels {
                text.push_str("    ");
                wheel.write(text, true);
                text.push_str(",\n");
            }
            text.push_str("]\n");
        }
    }
}

impl LockedFile {
    /// Writes an inline table; an archive has no `name` key.
    fn write(&self, text: &mut String, with_name: bool) {
        let mut parts = Vec::new();
        if with_name {
            parts.push(format!("name = {}", quoted(&self.name)));
        }
        let key = match self.location {
            DirectUrl::Path(_) => "path",
            DirectUrl::Archive(_) | DirectUrl::Repository(_) => "url",
        };
        parts.push(format!("{key} = {}", quoted(self.location.as_str())));
        if let Some(size) = self.size_bytes {
            parts.push(format!("size = {size}"));
        }
        if let Some(sha256) = &self.sha256 {
            parts.push(format!("hashes = {{ sha256 = \"{sha256}\" }}"));
        }
        let _ = write!(text, "{{ {} }}", parts.join(", "));
    }
}

pub(crate) fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {}", quoted(value));
}

pub(crate) fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
