//! The packages that are wanted, written in either form: as packages of a `pylock.toml`, or as lines
//! of requirements.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pep440_rs::VersionSpecifiers;
use toml::{Table, Value};

use super::{PATH, UvPackage};
use crate::packages::python::location::is_public_index;
use crate::packages::python::locks::lines::{
    PackageSource, RequirementLines, git_address, path_address,
};
use crate::packages::python::locks::{
    ConvertedLock, LockFileError, list_in, normalised, table_in, text_in, unreadable, unsupported,
};
use crate::packages::python::pylock::{line, quoted};

pub(super) fn write_package(
    text: &mut String,
    package: &UvPackage<'_>,
) -> Result<(), LockFileError> {
    text.push_str("\n[[packages]]\n");
    line(text, "name", &normalised(package.name));
    if let Some(version) = package.version()? {
        line(text, "version", &version.to_string());
    }
    let source = package.source;
    let key = |key: &str| text_in(source, key);
    if let Some(address) = key("git") {
        return write_git(text, package.name, address);
    }
    if let Some(folder) = key("directory").or_else(|| key("editable")) {
        let subdirectory =
            key("subdirectory").map(|sub| format!(", subdirectory = {}", quoted(sub)));
        let _ = writeln!(
            text,
            "directory = {{ path = {}{} }}",
            quoted(folder),
            subdirectory.unwrap_or_default()
        );
        return Ok(());
    }
    let wheels = list_in(package.table, "wheels");
    let sdist = table_in(package.table, &["sdist"]);
    if let Some((place, path)) = [("url", key("url")), ("path", key("path"))]
        .into_iter()
        .find_map(|(place, path)| Some((place, path?)))
    {
        let file = wheels.first().and_then(Value::as_table).or(sdist);
        let file = file.ok_or_else(|| unreadable(PATH, format!("{} has no file", package.name)))?;
        let mut parts = vec![format!("{place} = {}", quoted(path))];
        parts.extend(size_and_hash(file));
        if let Some(sub) = key("subdirectory") {
            parts.push(format!("subdirectory = {}", quoted(sub)));
        }
        let _ = writeln!(text, "archive = {{ {} }}", parts.join(", "));
        return Ok(());
    }
    let Some(registry) = key("registry") else {
        let what = "its source is of a kind that is not known here";
        return Err(unsupported(PATH, package.name, what));
    };
    if let Some(sdist) = sdist {
        let _ = writeln!(text, "sdist = {}", file_of(package.name, registry, sdist)?);
    }
    if !wheels.is_empty() {
        text.push_str("wheels = [\n");
        for wheel in wheels.iter().filter_map(Value::as_table) {
            let _ = writeln!(text, "    {},", file_of(package.name, registry, wheel)?);
        }
        text.push_str("]\n");
    }
    Ok(())
}

/// The same packages as lines, which may name things that have to be built.
pub(super) fn as_requirements<'a>(
    packages: impl Iterator<Item = &'a UvPackage<'a>> + Clone,
) -> Result<ConvertedLock, LockFileError> {
    let mut lines = RequirementLines::new(PATH);
    let registries: BTreeSet<&str> = packages
        .clone()
        .filter_map(|package| text_in(package.source, "registry"))
        .collect();
    let public = registries.iter().find(|url| is_public_index(url));
    for registry in public.into_iter().chain(&registries) {
        if registry.contains("://") {
            lines.index(registry)?;
        } else {
            lines.links(&path_address(registry))?;
        }
    }
    for package in packages {
        let key = |key: &str| text_in(package.source, key);
        let sdist = table_in(package.table, &["sdist"]);
        let wheels = list_in(package.table, "wheels");
        let hashes: Vec<&str> = wheels
            .iter()
            .filter_map(Value::as_table)
            .chain(sdist)
            .filter_map(|file| text_in(file, "hash"))
            .collect();
        let folder = || key("directory").or_else(|| key("editable"));
        let wanted = if let Some(address) = key("git") {
            let git = GitSource::of(package.name, address)?;
            PackageSource::Address(git_address(git.url, Some(git.commit), git.subdirectory))
        } else if let Some(path) = key("path").or_else(folder) {
            PackageSource::Address(path_address(path))
        } else if let Some(url) = key("url") {
            let fragment = key("subdirectory").map(|sub| format!("#subdirectory={sub}"));
            PackageSource::Address(format!("{url}{}", fragment.unwrap_or_default()))
        } else {
            let version = package
                .version()?
                .ok_or_else(|| unreadable(PATH, format!("{} has no version", package.name)))?;
            let exact: VersionSpecifiers = format!("=={version}").parse().map_err(|_| {
                unreadable(PATH, format!("{}: `{version}` is no version", package.name))
            })?;
            PackageSource::Versions(exact)
        };
        lines.add(package.name, &[], &wanted, &hashes)?;
    }
    Ok(lines.finish())
}

/// A file of a registry, which may be a folder.
fn file_of(package: &str, registry: &str, file: &Table) -> Result<String, LockFileError> {
    let mut parts = Vec::new();
    match (text_in(file, "url"), text_in(file, "path")) {
        (Some(url), _) => parts.push(format!("url = {}", quoted(url))),
        (None, Some(path)) => {
            let path = format!("{}/{path}", registry.trim_end_matches('/'));
            parts.push(format!("path = {}", quoted(&path)));
        }
        (None, None) => {
            let reason = format!("{package} has a file that lies nowhere");
            return Err(unreadable(PATH, reason));
        }
    }
    parts.extend(size_and_hash(file));
    Ok(format!("{{ {} }}", parts.join(", ")))
}

fn size_and_hash(file: &Table) -> Vec<String> {
    let size = file
        .get("size")
        .and_then(Value::as_integer)
        .filter(|size| *size >= 0)
        .map(|size| format!("size = {size}"));
    let hash = text_in(file, "hash")
        .and_then(|hash| hash.split_once(':'))
        .map(|(algorithm, digits)| {
            format!("hashes = {{ {} = {} }}", quoted(algorithm), quoted(digits))
        });
    size.into_iter().chain(hash).collect()
}

/// `https://host/x?subdirectory=a&rev=main#COMMIT`
struct GitSource<'a> {
    url: &'a str,
    commit: &'a str,
    subdirectory: Option<&'a str>,
    revision: Option<&'a str>,
}

impl<'a> GitSource<'a> {
    fn of(package: &str, address: &'a str) -> Result<Self, LockFileError> {
        let (address, commit) = address
            .split_once('#')
            .ok_or_else(|| unreadable(PATH, format!("{package}: its repository has no commit")))?;
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        let value = |wanted: &[&str]| {
            let mut pairs = query.split('&').filter_map(|part| part.split_once('='));
            pairs.find_map(|(key, value)| wanted.contains(&key).then_some(value))
        };
        Ok(Self {
            url,
            commit,
            subdirectory: value(&["subdirectory"]),
            revision: value(&["rev", "tag", "branch"]),
        })
    }
}

fn write_git(text: &mut String, package: &str, address: &str) -> Result<(), LockFileError> {
    let git = GitSource::of(package, address)?;
    let mut parts = vec![
        "type = \"git\"".to_owned(),
        format!("url = {}", quoted(git.url)),
        format!("commit-id = {}", quoted(git.commit)),
    ];
    for (key, value) in [
        ("subdirectory", git.subdirectory),
        ("requested-revision", git.revision),
    ] {
        parts.extend(value.map(|value| format!("{key} = {}", quoted(value))));
    }
    let _ = writeln!(text, "vcs = {{ {} }}", parts.join(", "));
    Ok(())
}
