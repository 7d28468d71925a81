//! What the layer writer promises, read back by other hands.

use std::io::Read as _;

use flate2::Compression;
use flate2::read::{DeflateEncoder, MultiGzDecoder};
use proptest::prelude::*;

use super::*;
use crate::archive::gzip::crc32;
use crate::report::Explain as _;

const OPTIONS: TarOptions = TarOptions {
    mtime: 315_532_800,
    effort: CompressionEffort::Usual,
};
const OWNER: EntryOwner = EntryOwner {
    uid: 1001,
    gid: 0,
    mode: 0o664,
};

type Layer = LayerWriter<Vec<u8>>;

fn layer() -> Layer {
    LayerWriter::new(Vec::new(), OPTIONS)
}

fn deflated(contents: &[u8]) -> (DeflateSummary, Vec<u8>) {
    let mut stream = Vec::new();
    DeflateEncoder::new(contents, Compression::new(9))
        .read_to_end(&mut stream)
        .unwrap();
    let announced = DeflateSummary {
        size: contents.len() as u64,
        compressed_size: stream.len() as u64,
        crc32: crc32(contents),
    };
    (announced, stream)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn untar(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ::tar::Archive::new(MultiGzDecoder::new(bytes));
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            (path, contents)
        })
        .collect()
}

/// Contents that no compressor shortens, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn sample(write: impl FnOnce(&mut Layer)) -> (Vec<u8>, TarSummary) {
    let mut layer = layer();
    write(&mut layer);
    layer.finish().unwrap()
}

#[test]
fn the_bytes_are_known() {
    let long = format!("d/{}", "x".repeat(120));
    let (bytes, written) = sample(|layer| {
        let (announced, stream) = deflated(&noise(10_000));
        layer
            .directory(
                b"d",
                &EntryOwner {
                    mode: 0o775,
                    ..OWNER
                },
            )
            .unwrap();
        layer
            .file(b"d/a", &OWNER, 5, &mut b"hello".as_slice())
            .unwrap();
        layer
            .deflated_file(b"d/b", &OWNER, announced, &mut stream.as_slice())
            .unwrap();
        layer.hardlink(b"d/c", b"d/b", &OWNER).unwrap();
        layer.symlink(b"d/l", b"../../etc", &OWNER).unwrap();
        layer
            .file(long.as_bytes(), &OWNER, 0, &mut b"".as_slice())
            .unwrap();
    });
    assert_eq!(written.size_bytes, bytes.len() as u64);
    assert_eq!(written.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    let mut tar = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(written.uncompressed_bytes, tar.len() as u64);
    assert_eq!(written.diff_sha256, <[u8; 32]>::from(Sha256::digest(&tar)));
    // The tar may change only with a new layout version; the gzip bytes with the deflate library too.
    assert_eq!(
        hex(&written.diff_sha256),
        "0abbf1d03644ec00b9c690fb9c5e78cc29c6a727e851c43d5e721a5d3bb16d0f"
    );
    assert_eq!(
        hex(&written.sha256),
        "a1ccf293bd4d4b33d47e62f4cba803ede66319406ef0d39465bb1f229023a4f8"
    );
}

#[test]
fn another_reader_finds_the_same() {
    let (announced, stream) = deflated(&noise(10_000));
    let (tiny, tiny_stream) = deflated(b"tiny");
    let (bytes, _) = sample(|layer| {
        layer.directory(b"d", &OWNER).unwrap();
        layer
            .file(b"d/a", &OWNER, 5, &mut b"hello".as_slice())
            .unwrap();
        layer
            .deflated_file(b"d/b", &OWNER, announced, &mut stream.as_slice())
            .unwrap();
        layer
            .deflated_file(b"d/c", &OWNER, tiny, &mut tiny_stream.as_slice())
            .unwrap();
    });
    let found = untar(&bytes);
    assert_eq!(found[0].0, "d/");
    assert_eq!(found[1], ("d/a".to_owned(), b"hello".to_vec()));
    assert_eq!(found[2], ("d/b".to_owned(), noise(10_000)));
    assert_eq!(found[3], ("d/c".to_owned(), b"tiny".to_vec()));
}

#[test]
fn order_and_parents_are_held() {
    let mut it = layer();
    it.directory(b"a", &OWNER).unwrap();
    it.file(b"a/b", &OWNER, 0, &mut b"".as_slice()).unwrap();
    assert!(matches!(
        it.directory(b"a/b", &OWNER),
        Err(TarError::Order { .. })
    ));
    assert!(matches!(
        it.directory(b"a", &OWNER),
        Err(TarError::Order { .. })
    ));
    assert!(matches!(
        it.directory(b"b/c", &OWNER),
        Err(TarError::Parent { .. })
    ));
    assert!(matches!(
        it.directory(b"a/b/c", &OWNER),
        Err(TarError::Parent { .. })
    ));
    assert!(matches!(
        it.hardlink(b"a/c", b"a/d", &OWNER),
        Err(TarError::Link { .. })
    ));
    assert!(matches!(
        it.hardlink(b"a/c", b"a", &OWNER),
        Err(TarError::Link { .. })
    ));
    it.hardlink(b"a/c", b"a/b", &OWNER).unwrap();
}

#[test]
fn bad_paths_are_refused() {
    let long = "x".repeat(5000);
    for (path, expected) in [
        ("", PathFault::Empty),
        ("/etc", PathFault::Empty),
        ("a/", PathFault::Empty),
        ("a//b", PathFault::Empty),
        ("a/../b", PathFault::Dots),
        ("./a", PathFault::Dots),
        ("a\0b", PathFault::Nul),
        (".wh.a", PathFault::Whiteout),
        ("a/.wh..wh..opq/b", PathFault::Whiteout),
        (&long, PathFault::Long),
        (&"a/".repeat(256), PathFault::Deep),
    ] {
        match layer().directory(path.as_bytes(), &OWNER) {
            Err(TarError::Path { fault, .. }) => assert_eq!(fault, expected, "{path:?}"),
            other => panic!("{path:?}: {other:?}"),
        }
    }
    assert!(path_fault("ünï.cødé/.w".as_bytes()).is_none());
    assert!(path_fault(["a"; 256].join("/").as_bytes()).is_none());
    assert!(layer().symlink(b"a", b"", &OWNER).is_err());
    assert!(layer().symlink(b"a", b"x\0", &OWNER).is_err());
}

#[test]
fn contents_are_as_long_as_announced() {
    for (size, contents) in [(4, b"hello".as_slice()), (6, b"hello"), (0, b"x"), (1, b"")] {
        let outcome = layer().file(b"a", &OWNER, size, &mut &contents[..]);
        assert!(matches!(outcome, Err(TarError::Contents { .. })), "{size}");
    }
}

#[test]
fn failures_name_their_side() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(matches!(
        layer().file(b"a", &OWNER, 1, &mut Broken),
        Err(TarError::Read { .. })
    ));
    let (announced, _) = deflated(&noise(10_000));
    let outcome = layer().deflated_file(b"a", &OWNER, announced, &mut Broken);
    assert!(matches!(outcome, Err(TarError::Read { .. })));
    assert!(matches!(
        LayerWriter::new(Broken, OPTIONS).finish(),
        Err(TarError::Write(_))
    ));
}

proptest! {
    #[test]
    fn any_tree_is_read_back(
        names in proptest::collection::btree_map("[a-zA-Z0-9é.-]{1,150}",
            (proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 1..12),
    ) {
        let mut it = layer();
        let mut expected = Vec::new();
        for (name, (contents, copied)) in &names {
            let path = name.trim_matches('.');
            if path.is_empty() || names.contains_key(path) && path != name {
                continue;
            }
            let written = if *copied {
                let (announced, stream) = deflated(contents);
                it.deflated_file(path.as_bytes(), &OWNER, announced, &mut stream.as_slice())
            } else {
                it.file(path.as_bytes(), &OWNER, contents.len() as u64, &mut contents.as_slice())
            };
            if written.is_ok() {
                expected.push((path.to_owned(), contents.clone()));
            }
        }
        let (bytes, _) = it.finish().unwrap();
        prop_assert_eq!(untar(&bytes), expected);
    }
}

/// Entries that a table of contents leads to: path, and contents put together from its chunks.
fn by_table(layer: &[u8], table: &serde_json::Value) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in table["entries"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap().to_owned();
        let number = |field: &str| usize::try_from(entry[field].as_u64().unwrap_or(0)).unwrap();
        if entry["type"] != "chunk" {
            all.push((name, Vec::new()));
        }
        let contents = &mut all.last_mut().unwrap().1;
        let size = table["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|other| other["name"] == entry["name"])
            .map_or(0, |file| {
                usize::try_from(file["size"].as_u64().unwrap_or(0)).unwrap()
            });
        let length = match number("chunkSize") {
            0 => size - number("chunkOffset"),
            some => some,
        };
        if length == 0 {
            continue;
        }
        assert_eq!(contents.len(), number("chunkOffset"));
        let mut chunk = vec![0; length];
        flate2::read::GzDecoder::new(&layer[number("offset")..])
            .read_exact(&mut chunk)
            .unwrap();
        let digest = format!("sha256:{}", hex(&Sha256::digest(&chunk)));
        assert_eq!(entry["chunkDigest"], digest.as_str());
        contents.extend_from_slice(&chunk);
    }
    all
}

#[test]
fn an_estargz_layer_is_read_by_its_table_and_without() {
    let long = noise(9 << 20);
    let text = noise(5000);
    let mut layer = LayerWriter::estargz(Vec::new(), OPTIONS, "1980-01-01T00:00:00Z").unwrap();
    layer.directory(b"d", &OWNER).unwrap();
    layer.removed(b"d/gone").unwrap();
    layer
        .file(b"d/long", &OWNER, long.len() as u64, &mut long.as_slice())
        .unwrap();
    let exact = &long[..8 << 20];
    layer
        .file(b"d/m", &OWNER, exact.len() as u64, &mut &exact[..])
        .unwrap();
    for (path, contents) in [
        (b"d/raw".as_slice(), text.as_slice()),
        (b"d/raw-empty", b""),
        (b"d/raw-long", &long),
        (b"d/raw-short", b"short"),
    ] {
        let (announced, stream) = deflated(contents);
        layer
            .deflated_file(path, &OWNER, announced, &mut stream.as_slice())
            .unwrap();
    }
    layer.hardlink(b"d/same", b"d/raw", &OWNER).unwrap();
    layer.symlink(b"link", b"d/raw", &OWNER).unwrap();
    let (bytes, written) = layer.finish().unwrap();

    let footer = &bytes[bytes.len() - 51..];
    let offset = usize::from_str_radix(str::from_utf8(&footer[16..32]).unwrap(), 16).unwrap();
    let mut last = ::tar::Archive::new(flate2::read::GzDecoder::new(&bytes[offset..]));
    let mut entry = last.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(&*entry.path_bytes(), b"stargz.index.json");
    let mut json = Vec::new();
    entry.read_to_end(&mut json).unwrap();
    assert_eq!(
        written.table_sha256,
        Some(<[u8; 32]>::from(Sha256::digest(&json)))
    );
    let table: serde_json::Value = serde_json::from_slice(&json).unwrap();

    let mut plain = untar(&bytes);
    assert_eq!(plain.pop().unwrap().0, "stargz.index.json");
    assert!(by_table(&bytes, &table) == plain);
    // A stream that needs no chunks is copied as it is.
    let (_, stream) = deflated(&text);
    assert!(bytes.windows(stream.len()).any(|window| window == stream));
    let kinds: Vec<(&str, &str)> = table["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let field = |name: &str| entry[name].as_str().unwrap();
            (field("name"), field("type"))
        })
        .collect();
    assert_eq!(
        kinds,
        [
            (".no.prefetch.landmark", "reg"),
            ("d/", "dir"),
            ("d/.wh.gone", "reg"),
            ("d/long", "reg"),
            ("d/long", "chunk"),
            ("d/long", "chunk"),
            ("d/m", "reg"),
            ("d/m", "chunk"),
            ("d/raw", "reg"),
            ("d/raw-empty", "reg"),
            ("d/raw-long", "reg"),
            ("d/raw-long", "chunk"),
            ("d/raw-long", "chunk"),
            ("d/raw-short", "reg"),
            ("d/same", "hardlink"),
            ("link", "symlink"),
        ]
    );
}

#[test]
fn an_estargz_layer_keeps_its_own_paths() {
    let mut layer = LayerWriter::estargz(Vec::new(), OPTIONS, "").unwrap();
    for (path, fault) in [
        (b"stargz.index.json".as_slice(), PathFault::Taken),
        (b"\xff", PathFault::Encoding),
    ] {
        let error = layer.directory(path, &OWNER).unwrap_err();
        assert!(matches!(&error, TarError::Path { fault: found, .. } if *found == fault));
        assert!(error.explain().next.contains("--estargz"));
    }
    assert!(layer.symlink(b"a", b"\xff", &OWNER).is_err());
    let mut short = b"x".as_slice();
    assert!(layer.file(b"b", &OWNER, 2, &mut short).is_err());
}

#[test]
fn a_zstd_layer_holds_the_same_tar() {
    let text = b"words and words ".repeat(500);
    let fill = |layer: &mut Layer| {
        let (announced, stream) = deflated(&text);
        layer
            .deflated_file(b"a", &OWNER, announced, &mut stream.as_slice())
            .unwrap();
        layer
            .file(b"b", &OWNER, text.len() as u64, &mut text.as_slice())
            .unwrap();
    };
    let (mut gzip, mut zstd) = (layer(), LayerWriter::zstd(Vec::new(), OPTIONS).unwrap());
    fill(&mut gzip);
    fill(&mut zstd);
    let (gzip_bytes, in_gzip) = gzip.finish().unwrap();
    let (zstd_bytes, in_zstd) = zstd.finish().unwrap();
    assert_eq!(in_gzip.diff_sha256, in_zstd.diff_sha256);
    let mut tar = Vec::new();
    MultiGzDecoder::new(gzip_bytes.as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    assert!(::zstd::stream::decode_all(zstd_bytes.as_slice()).unwrap() == tar);
    assert_eq!(in_zstd.uncompressed_bytes, tar.len() as u64);
}
