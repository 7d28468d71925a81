//! Tars in targets: hostile ones are made readable, and those that s2r wrote are looked through.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::archive::tar::{CompressionEffort, LayerWriter, TarOptions, TarSummary, path_fault};

const BLOCK_BYTES: usize = 512;
/// What lies beside the folder that is unpacked to.
const BESIDE: &[u8] = b"not yours";

/// The same tar with the checksums of its headers made right: a fuzzer finds no checksum by chance,
/// and every header that it changes would be refused before it is read.
pub(super) fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK_BYTES) {
        at += BLOCK_BYTES;
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let size = digits.fold(0_usize, |size, digit| {
            size.wrapping_mul(8).wrapping_add(usize::from(digit - b'0'))
        });
        at = at.saturating_add(size.min(tar.len()).next_multiple_of(BLOCK_BYTES));
    }
    tar
}

/// A writer of layers into memory.
pub(super) fn writer() -> LayerWriter<Vec<u8>> {
    let options = TarOptions {
        mtime: 315_532_800,
        effort: CompressionEffort::Least,
    };
    LayerWriter::new(Vec::new(), options)
}

/// What has to hold of each layer: its digests are those of its bytes, paths are in order, each once,
/// none leaves the image, and none lies below what is no folder.
pub(super) fn check_layer(layer: &[u8], written: &TarSummary) {
    assert_eq!(written.sha256, <[u8; 32]>::from(Sha256::digest(layer)));
    assert_eq!(written.size_bytes, layer.len() as u64);
    let mut tar = Vec::new();
    MultiGzDecoder::new(layer).read_to_end(&mut tar).unwrap();
    assert_eq!(written.diff_sha256, <[u8; 32]>::from(Sha256::digest(&tar)));
    let mut seen = BTreeSet::new();
    let mut folders = BTreeSet::from([Vec::new()]);
    for entry in ::tar::Archive::new(&tar[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        let shown = String::from_utf8_lossy(&path).into_owned();
        assert!(path_fault(&path).is_none(), "{shown}");
        let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        assert!(
            folders.contains(&path[..parent]),
            "{shown} lies below no folder"
        );
        if entry.header().entry_type().is_dir() {
            folders.insert(path.clone());
        }
        assert!(seen.insert(path), "{shown} is there twice");
    }
}

/// Lets `unpack` write into an empty folder and gives back what is in it then, links not followed: they
/// may lead anywhere. Beside that folder there must be nothing new, and nothing changed.
pub(super) fn unpacked(unpack: impl FnOnce(&Path)) -> Vec<(PathBuf, Metadata)> {
    let outer = tempfile::tempdir().unwrap();
    let (root, beside) = (outer.path().join("root"), outer.path().join("beside"));
    fs::create_dir(&root).unwrap();
    fs::write(&beside, BESIDE).unwrap();
    unpack(&root);
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 2);
    assert_eq!(fs::read(&beside).unwrap(), BESIDE);
    let found = beside.symlink_metadata().unwrap();
    assert!(found.is_file() && found.nlink() == 1);
    let mut entries = Vec::new();
    collect(&root, &mut entries);
    for (path, metadata) in &entries {
        assert_eq!(metadata.mode() & 0o6000, 0, "{}", path.display());
    }
    entries
}

fn collect(folder: &Path, entries: &mut Vec<(PathBuf, Metadata)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            collect(&path, entries);
        }
        entries.push((path, metadata));
    }
}
