//! The table of contents of an eStargz layer, and the footer that leads to it: a layer that a
//! snapshotter can mount before it has its bytes, and that is a plain `tar+gzip` to all others.
//!
//! Format: containerd/stargz-snapshotter, docs/estargz.md: "The structure" (each file that is not empty
//! begins a gzip member of its own, and so does each chunk of a long one), "TOC and `TOCEntries`" (the
//! last entry of the tar, JSON), "Footer" (51 bytes), "Prioritized Files and Landmark Files" (nothing is
//! known of what a container reads first, so the layer says "no prefetch").
//!
//! A file up to [`CHUNK_BYTES`] stays whole, so a wheel's member is copied as it is. The document lets
//! any file stay whole; but a reader fetches whole members, and would wait for all of a library of 30 MB
//! to have its first page. 4 MiB is what other writers of the format take.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::header::EntryKind;
use super::{EntryOwner, PathFault};
use crate::archive::gzip::GzipError;

/// Longest contents of one gzip member.
pub(super) const CHUNK_BYTES: usize = 4 << 20;

/// The table's path in the layer.
pub(super) const TABLE: &str = "stargz.index.json";

/// Tells that there is nothing to prefetch.
pub(super) const LANDMARK: &str = ".no.prefetch.landmark";

/// Would tell where to end prefetching; no path of a layer may be that.
const OTHER_LANDMARK: &str = ".prefetch.landmark";

/// What a landmark holds.
pub(super) const LANDMARK_CONTENTS: [u8; 1] = [0xf];

/// Length of the footer in bytes.
const FOOTER_BYTES: usize = 51;

/// What keeps a path from being in an eStargz layer. A link's target is text, too.
pub(super) fn path_fault(path: &[u8]) -> Option<PathFault> {
    if [TABLE, LANDMARK, OTHER_LANDMARK]
        .iter()
        .any(|taken| taken.as_bytes() == path)
    {
        return Some(PathFault::Taken);
    }
    str::from_utf8(path).is_err().then_some(PathFault::Encoding)
}

/// An empty gzip member whose extra field `SG` holds the offset of the table's member.
pub(super) fn footer(table_offset: u64) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    // Magic, deflate, an extra field, no time, no extra flags, unknown operating system.
    footer[..10].copy_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]);
    footer[10..16].copy_from_slice(&[26, 0, b'S', b'G', 22, 0]);
    footer[16..38].copy_from_slice(format!("{table_offset:016x}STARGZ").as_bytes());
    // The last block, stored, of length 0 and its complement; CRC and length of nothing are 0.
    footer[38..43].copy_from_slice(&[1, 0, 0, 0xff, 0xff]);
    footer
}

/// The table as far as it is written.
pub(super) struct TableOfContents {
    json: Vec<u8>,
    time: String,
    /// The file whose contents are being written.
    file: Option<FileChunks>,
}

/// A file, and where its chunks are.
struct FileChunks {
    entry: TocEntry,
    /// Of all contents, where they are more than one chunk.
    digest: Option<Sha256>,
    chunks: Vec<FileChunk>,
}

/// A piece of a file's contents that begins a gzip member.
struct FileChunk {
    offset: u64,
    size: u64,
    digest: Sha256,
}

/// An entry; the document's field names.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct TocEntry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    modtime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    /// Zero in a file's last chunk, and in a file of one.
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    chunk_digest: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TableOfContents {
    /// An empty table; `time` is that of all entries, RFC 3339.
    pub(super) fn new(time: &str) -> Self {
        Self {
            json: br#"{"version":1,"entries":["#.to_vec(),
            time: time.to_owned(),
            file: None,
        }
    }

    /// An entry whose header is about to be written. A file's contents, if it has some, are told
    /// next, and then its end.
    pub(super) fn begin(&mut self, kind: EntryKind<'_>, path: &[u8], owner: &EntryOwner) {
        let (name, size, link) = match kind {
            EntryKind::File(size) => ("reg", size, b"".as_slice()),
            EntryKind::Directory => ("dir", 0, b"".as_slice()),
            EntryKind::Symlink(target) => ("symlink", 0, target),
            EntryKind::Hardlink(target) => ("hardlink", 0, target),
        };
        let entry = TocEntry {
            name: text(path),
            kind: name,
            size,
            modtime: self.time.clone(),
            link_name: text(link),
            mode: owner.mode & 0o7777,
            uid: owner.uid,
            gid: owner.gid,
            ..TocEntry::default()
        };
        if size == 0 {
            self.add(&entry);
        } else {
            self.file = Some(FileChunks {
                entry,
                digest: (size > CHUNK_BYTES as u64).then(Sha256::new),
                chunks: Vec::new(),
            });
        }
    }

    /// How many more bytes go into the chunk of a file's contents at `done`. `cut` ends the gzip
    /// member before a new chunk and gives its offset; behind the contents none is begun.
    pub(super) fn room(
        &mut self,
        done: u64,
        size: u64,
        cut: impl FnOnce() -> Result<u64, GzipError>,
    ) -> Result<usize, GzipError> {
        let used = usize::try_from(done % CHUNK_BYTES as u64).unwrap_or(0);
        if let Some(file) = self.file.as_mut().filter(|_| done < size && used == 0) {
            file.chunks.push(FileChunk::at(cut()?));
        }
        Ok(CHUNK_BYTES - used)
    }

    /// Contents that go on in the last chunk.
    pub(super) fn contents(&mut self, piece: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let Some(chunk) = file.chunks.last_mut() else {
            return;
        };
        if let Some(digest) = &mut file.digest {
            digest.update(piece);
        }
        chunk.digest.update(piece);
        chunk.size += piece.len() as u64;
    }

    /// Contents of the chunk that begins at `offset`.
    pub(super) fn contents_at(&mut self, offset: u64, piece: &[u8]) {
        if let Some(file) = &mut self.file
            && file.chunks.last().is_none_or(|last| last.offset != offset)
        {
            file.chunks.push(FileChunk::at(offset));
        }
        self.contents(piece);
    }

    /// All contents of the file were told.
    pub(super) fn end_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        let count = file.chunks.len();
        let mut entry = file.entry;
        entry.digest = file.digest.map(shown).unwrap_or_default();
        let name = entry.name.clone();
        let mut chunk_offset = 0;
        for (index, chunk) in file.chunks.into_iter().enumerate() {
            entry.offset = chunk.offset;
            entry.chunk_offset = chunk_offset;
            entry.chunk_size = if index + 1 == count { 0 } else { chunk.size };
            entry.chunk_digest = shown(chunk.digest);
            if count == 1 {
                entry.digest.clone_from(&entry.chunk_digest);
            }
            self.add(&entry);
            chunk_offset += chunk.size;
            entry = TocEntry {
                name: name.clone(),
                kind: "chunk",
                ..TocEntry::default()
            };
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.json.extend_from_slice(b"]}");
        self.json
    }

    fn add(&mut self, entry: &TocEntry) {
        if self.json.last() != Some(&b'[') {
            self.json.push(b',');
        }
        // Writing to memory cannot fail, and an entry has nothing that JSON cannot hold.
        let _written = serde_json::to_writer(&mut self.json, entry);
    }
}

impl FileChunk {
    fn at(offset: u64) -> Self {
        Self {
            offset,
            size: 0,
            digest: Sha256::new(),
        }
    }
}

fn shown(digest: Sha256) -> String {
    let mut text = "sha256:".to_owned();
    for byte in digest.finalize() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_is_an_empty_gzip_member() {
        use std::io::Read as _;
        let footer = footer(0x1234);
        let mut reader = flate2::read::GzDecoder::new(&footer[..]);
        let mut contents = Vec::new();
        reader.read_to_end(&mut contents).unwrap();
        assert!(contents.is_empty());
        let extra = reader.header().unwrap().extra().unwrap();
        assert_eq!(extra, b"SG\x16\x000000000000001234STARGZ");
    }

    #[test]
    fn paths_that_the_format_needs_are_refused() {
        for (path, fault) in [
            ("stargz.index.json".as_bytes(), Some(PathFault::Taken)),
            (b".prefetch.landmark", Some(PathFault::Taken)),
            (b"a/stargz.index.json", None),
            (b"a/\xff", Some(PathFault::Encoding)),
        ] {
            assert_eq!(path_fault(path), fault);
        }
    }
}
