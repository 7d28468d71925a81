//! In which paths two layers differ: what of a layer that somebody changed is told to people.
//!
//! Both may be hostile. Nothing is unpacked; kinds, modes, owners, links and the hashes of bodies are compared.

use std::collections::BTreeMap;
use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::hashed::LayerTar;
use super::unpack::LayerUnpackError;

/// Most entries that are looked at.
const MAX_ENTRIES: usize = 1_000_000;

/// Paths that only one of two layers has, or that are others in them, sorted.
///
/// # Errors
/// A layer that cannot be read.
pub(crate) fn difference(
    one: impl Read,
    other: impl Read,
) -> Result<Vec<String>, LayerUnpackError> {
    let (one, other) = (entries(one)?, entries(other)?);
    let paths = one.keys().chain(other.keys());
    let mut differing: Vec<String> = paths
        .filter(|path| one.get(*path) != other.get(*path))
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    differing.sort();
    differing.dedup();
    Ok(differing)
}

/// The hash of each entry, by its path.
fn entries(layer: impl Read) -> Result<BTreeMap<Vec<u8>, [u8; 32]>, LayerUnpackError> {
    let unreadable = |source| LayerUnpackError::Read { source };
    let mut archive = tar::Archive::new(LayerTar::open(layer)?);
    let mut entries = BTreeMap::new();
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        if entries.len() >= MAX_ENTRIES {
            break;
        }
        let mut hasher = Sha256::new();
        describe(&entry, &mut hasher);
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = entry.read(&mut piece).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
        }
        entries.insert(entry.path_bytes().into_owned(), hasher.finalize().into());
    }
    Ok(entries)
}

/// Adds what a header says of an entry, however it is written. A number that is none is as good as another.
fn describe<R: Read>(entry: &tar::Entry<'_, R>, hasher: &mut Sha256) {
    let header = entry.header();
    let kind = match header.entry_type() {
        tar::EntryType::Continuous => tar::EntryType::Regular,
        kind => kind,
    };
    hasher.update([kind.as_byte()]);
    let numbers = [
        header.mode().map(u64::from),
        header.uid(),
        header.gid(),
        header.mtime(),
        header.entry_size(),
    ];
    for number in numbers {
        hasher.update(number.unwrap_or(u64::MAX).to_le_bytes());
    }
    hasher.update(entry.link_name_bytes().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar::{CompressionEffort, EntryOwner, LayerWriter, TarOptions};

    fn layer(files: &[(&str, u32, &str)]) -> Vec<u8> {
        let mut tar = LayerWriter::new(
            Vec::new(),
            TarOptions {
                mtime: 0,
                effort: CompressionEffort::Least,
            },
        );
        for (path, mode, text) in files {
            let owner = EntryOwner {
                uid: 0,
                gid: 0,
                mode: *mode,
            };
            let size = text.len() as u64;
            tar.file(path.as_bytes(), &owner, size, &mut text.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap().0
    }

    #[test]
    fn paths_are_named_that_differ_in_anything() {
        let one = layer(&[("a", 0o644, "1"), ("b", 0o644, "2"), ("c", 0o644, "3")]);
        let other = layer(&[("a", 0o644, "1"), ("b", 0o755, "2"), ("d", 0o644, "3")]);
        let differing = difference(one.as_slice(), other.as_slice()).unwrap();
        assert_eq!(differing, ["b", "c", "d"]);
        assert!(
            difference(one.as_slice(), one.as_slice())
                .unwrap()
                .is_empty()
        );
        assert!(difference(one.as_slice(), [0x1f, 0x8b, 1].as_slice()).is_err());
    }
}
