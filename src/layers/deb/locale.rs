//! One locale out of the package `locales-all`, whose 230 MB are mostly links from one locale's
//! files to another's: the links are followed and the files put in their place.
//!
//! The package is read twice: its links come last, so what is needed is known only at the end.

use std::{collections::BTreeMap, io::Read};

use super::{
    error::DebLayerError,
    gather::{DIRECTORY, FILE, GatheredFiles, LayerNode, NodeKind, show},
    package::DataMember,
    rules,
};

/// The package that has all locales.
pub(super) const PACKAGE: &str = "locales-all";
/// Longest chain of links that is followed.
const MAX_LINKS: usize = 8;

/// Adds the files of `locale` from the package at hand.
pub(super) fn add(
    locale: &str,
    open: impl Fn() -> Result<DataMember, DebLayerError>,
    gathered: &mut GatheredFiles,
) -> Result<(), DebLayerError> {
    let folder = format!("usr/lib/locale/{}", folder_of(locale));
    let sources = find_sources(&folder, open()?)?;
    if sources.is_empty() {
        return Err(DebLayerError::NoLocale {
            locale: locale.to_owned(),
        });
    }
    let mut open_sources = sources.len();
    let mut data = open()?;
    let mut found: Vec<(Vec<u8>, LayerNode)> = Vec::new();
    data.each(&mut |path, entry| {
        let Some(targets) = rules::place(path).and_then(|path| sources.get(&path)) else {
            return Ok(true);
        };
        let contents = gathered.spool(&mut entry.take(u64::MAX), PACKAGE)?;
        for target in targets {
            let node = LayerNode {
                owner: FILE,
                kind: NodeKind::File(contents),
                package: PACKAGE.to_owned(),
            };
            found.push((target.clone(), node));
        }
        open_sources -= 1;
        Ok(open_sources > 0)
    })?;
    for (path, node) in found {
        gathered.add(path, node)?;
    }
    let node = LayerNode {
        owner: DIRECTORY,
        kind: NodeKind::Directory,
        package: PACKAGE.to_owned(),
    };
    gathered.add(folder.into_bytes(), node)
}

/// `en_US.UTF-8` lies in `en_US.utf8`: codesets are written small and without dashes.
pub(super) fn folder_of(locale: &str) -> String {
    match locale.split_once('.') {
        None => locale.to_owned(),
        Some((language, codeset)) => {
            let (codeset, modifier) = match codeset.split_once('@') {
                None => (codeset, String::new()),
                Some((codeset, modifier)) => (codeset, format!("@{modifier}")),
            };
            let codeset: String = codeset
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|letter| letter.to_ascii_lowercase())
                .collect();
            format!("{language}.{codeset}{modifier}")
        }
    }
}

/// For each file that is needed, the places in the locale's folder where it is needed.
fn find_sources(
    folder: &str,
    mut data: DataMember,
) -> Result<BTreeMap<Vec<u8>, Vec<Vec<u8>>>, DebLayerError> {
    let prefix = format!("{folder}/").into_bytes();
    let mut links: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut wanted: Vec<Vec<u8>> = Vec::new();
    data.each(&mut |path, entry| {
        let Some(path) = rules::place(path) else {
            return Ok(true);
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return Ok(true);
        }
        if path.starts_with(&prefix) {
            wanted.push(path.clone());
        }
        if let Some(target) = entry.link_name_bytes() {
            let target = if kind.is_hard_link() {
                rules::place(&target).unwrap_or_default()
            } else {
                resolve(&path, &target)
            };
            links.insert(path, target);
        }
        Ok(true)
    })?;
    let mut sources: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for path in wanted {
        let mut source = &path;
        for _ in 0..MAX_LINKS {
            let Some(target) = links.get(source) else {
                break;
            };
            source = target;
        }
        if links.contains_key(source) {
            return Err(DebLayerError::NoLocale {
                locale: show(&path),
            });
        }
        sources.entry(source.clone()).or_default().push(path);
    }
    Ok(sources)
}

/// A link's target as a path from the root.
fn resolve(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        parts.extend(link.split(|byte| *byte == b'/'));
        parts.pop();
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_locales() {
        for (locale, folder) in [
            ("en_US.UTF-8", "en_US.utf8"),
            ("de_DE.ISO-8859-15@euro", "de_DE.iso885915@euro"),
            ("C", "C"),
        ] {
            assert_eq!(folder_of(locale), folder);
        }
    }

    #[test]
    fn links_resolve_from_the_root() {
        for (target, expected) in [
            ("../b/LC_TIME", "l/b/LC_TIME"),
            ("/x/y", "x/y"),
            ("./z", "l/a/z"),
        ] {
            assert_eq!(
                resolve(b"l/a/LC_TIME", target.as_bytes()),
                expected.as_bytes()
            );
        }
    }
}
