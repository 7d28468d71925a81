//! Reads an eStargz layer as the format's document has it (containerd/stargz-snapshotter, docs/estargz.md):
//! footer, table, chunks; and holds all of it to the digests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::harness::layout::sha256;

/// The footer's length.
const FOOTER: usize = 51;

/// A file that the table tells of.
pub(crate) struct File {
    pub(crate) kind: String,
    pub(crate) mode: u64,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) link: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) chunks: usize,
}

/// The files of a layer by their paths, each read from its own place in the blob.
pub(crate) fn files(layer: &[u8], table_digest: &str) -> BTreeMap<String, File> {
    let table = table(layer, table_digest);
    assert_eq!(table["version"], 1);
    let entries = table["entries"].as_array().unwrap();
    // "The last chunk, or a file that is not chunked" has no size of its own: it goes to the file's end.
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut expected = BTreeMap::new();
    let mut offsets = BTreeSet::new();
    for entry in entries {
        let text = |field: &str| entry[field].as_str().map(str::to_owned);
        let number = |field: &str| entry[field].as_u64();
        let (name, kind) = (text("name").unwrap(), text("type").unwrap());
        if kind != "chunk" {
            if kind == "reg" {
                let size = number("size").unwrap_or(0);
                assert_eq!(size > 0, entry["offset"].is_u64(), "{entry}");
                expected.insert(name.clone(), (size, text("digest")));
            }
            assert_eq!(text("modtime").unwrap(), "1980-01-01T00:00:00Z");
            let file = File {
                kind: kind.clone(),
                mode: number("mode").unwrap(),
                uid: number("uid").unwrap(),
                gid: number("gid").unwrap(),
                link: text("linkName"),
                body: Vec::new(),
                chunks: 0,
            };
            assert!(files.insert(name.clone(), file).is_none(), "{name} twice");
        }
        let Some(offset) = number("offset") else {
            continue;
        };
        assert!(offsets.insert(offset), "{offset} twice");
        let file = files.get_mut(&name).unwrap();
        let (size, _) = expected[&name];
        let start = number("chunkOffset").unwrap_or(0);
        assert_eq!(start, file.body.len() as u64, "{entry}");
        let length = number("chunkSize").unwrap_or(size - start);
        assert!(length <= 4 << 20, "{entry}");
        let chunk = member(layer, offset, length);
        assert_eq!(text("chunkDigest").unwrap(), sha256(&chunk), "{entry}");
        file.body.extend_from_slice(&chunk);
        file.chunks += 1;
    }
    for (name, (size, digest)) in expected {
        let body = &files[&name].body;
        assert_eq!(size, body.len() as u64, "{name}");
        if size > 0 {
            assert_eq!(digest.unwrap(), sha256(body), "{name}");
        }
    }
    let landmark = &files[".no.prefetch.landmark"];
    assert_eq!(
        (landmark.kind.as_str(), &*landmark.body),
        ("reg", &[0xf][..])
    );
    files
}

/// The table that the footer leads to, its digest checked.
fn table(layer: &[u8], digest: &str) -> Value {
    let footer = &layer[layer.len() - FOOTER..];
    assert_eq!(footer[..4], [0x1f, 0x8b, 8, 4]);
    assert_eq!(footer[10..16], [26, 0, b'S', b'G', 22, 0]);
    assert_eq!(&footer[32..38], b"STARGZ");
    assert_eq!(footer[38..], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let offset = usize::from_str_radix(str::from_utf8(&footer[16..32]).unwrap(), 16).unwrap();
    // One member, and nothing between it and the footer.
    let mut rest = &layer[offset..layer.len() - FOOTER];
    let mut tar = Vec::new();
    flate2::bufread::GzDecoder::new(&mut rest)
        .read_to_end(&mut tar)
        .unwrap();
    assert!(rest.is_empty(), "{} bytes before the footer", rest.len());
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    assert_eq!(&*entry.path_bytes(), b"stargz.index.json");
    let mut json = Vec::new();
    entry.read_to_end(&mut json).unwrap();
    assert_eq!(sha256(&json), digest);
    assert!(entries.next().is_none());
    serde_json::from_slice(&json).unwrap()
}

/// The first bytes of the gzip member at an offset.
fn member(layer: &[u8], offset: u64, length: u64) -> Vec<u8> {
    let from = usize::try_from(offset).unwrap();
    let mut chunk = vec![0; usize::try_from(length).unwrap()];
    GzDecoder::new(&layer[from..])
        .read_exact(&mut chunk)
        .unwrap();
    chunk
}
