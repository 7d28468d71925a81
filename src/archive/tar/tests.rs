//! What the layer writer promises, read back by other hands.

use std::io::Read as _;

use flate2::Compression;
use flate2::read::{DeflateEncoder, MultiGzDecoder};
use proptest::prelude::*;

use super::*;
use crate::archive::gzip::crc32;

const OPTIONS: Options = Options {
    mtime: 315_532_800,
    level: 6,
};
const OWNER: Owner = Owner {
    uid: 1001,
    gid: 0,
    mode: 0o664,
};

type Layer = TarGz<Vec<u8>>;

fn layer() -> Layer {
    TarGz::new(Vec::new(), OPTIONS)
}

fn deflated(contents: &[u8]) -> (Deflated, Vec<u8>) {
    let mut stream = Vec::new();
    DeflateEncoder::new(contents, Compression::new(9))
        .read_to_end(&mut stream)
        .unwrap();
    let announced = Deflated {
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

fn sample(write: impl FnOnce(&mut Layer)) -> (Vec<u8>, Written) {
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
                &Owner {
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
        Err(Error::Order { .. })
    ));
    assert!(matches!(
        it.directory(b"a", &OWNER),
        Err(Error::Order { .. })
    ));
    assert!(matches!(
        it.directory(b"b/c", &OWNER),
        Err(Error::Parent { .. })
    ));
    assert!(matches!(
        it.directory(b"a/b/c", &OWNER),
        Err(Error::Parent { .. })
    ));
    assert!(matches!(
        it.hardlink(b"a/c", b"a/d", &OWNER),
        Err(Error::Link { .. })
    ));
    assert!(matches!(
        it.hardlink(b"a/c", b"a", &OWNER),
        Err(Error::Link { .. })
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
    ] {
        match layer().directory(path.as_bytes(), &OWNER) {
            Err(Error::Path { fault, .. }) => assert_eq!(fault, expected, "{path:?}"),
            other => panic!("{path:?}: {other:?}"),
        }
    }
    assert!(path_fault("ünï.cødé/.w".as_bytes()).is_none());
    assert!(layer().symlink(b"a", b"", &OWNER).is_err());
    assert!(layer().symlink(b"a", b"x\0", &OWNER).is_err());
}

#[test]
fn contents_are_as_long_as_announced() {
    for (size, contents) in [(4, b"hello".as_slice()), (6, b"hello"), (0, b"x"), (1, b"")] {
        let outcome = layer().file(b"a", &OWNER, size, &mut &contents[..]);
        assert!(matches!(outcome, Err(Error::Contents { .. })), "{size}");
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
        Err(Error::Read { .. })
    ));
    let (announced, _) = deflated(&noise(10_000));
    let outcome = layer().deflated_file(b"a", &OWNER, announced, &mut Broken);
    assert!(matches!(outcome, Err(Error::Read { .. })));
    assert!(matches!(
        TarGz::new(Broken, OPTIONS).finish(),
        Err(Error::Write(_))
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
