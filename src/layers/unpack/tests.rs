use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;

/// An entry: path, kind, mode, link, contents.
type Row<'a> = (&'a str, EntryType, u32, &'a str, &'a [u8]);

fn layer(rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for &(path, kind, mode, link, contents) in rows {
        let mut header = tar::Header::new_ustar();
        // Written as they are: the library would refuse the paths that we want to see refused.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(315_532_800);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(rows: &[Row<'_>]) -> (tempfile::TempDir, Result<UnpackedLayer, LayerUnpackError>) {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("root");
    std::fs::create_dir(&inner).unwrap();
    let result = unpack(layer(rows).as_slice(), &inner, None);
    (folder, result)
}

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

#[test]
fn files_folders_and_links_are_there() {
    let (folder, result) = unpacked(&[
        ("usr/", DIR, 0o500, "", b""),
        ("usr/bin/", DIR, 0o755, "", b""),
        ("usr/bin/su", FILE, 0o4755, "", b"#!"),
        ("usr/bin/other", HARD, 0o755, "usr/bin/su", b""),
        ("bin", LINK, 0o777, "usr/bin", b""),
        ("etc/shadow", FILE, 0o000, "", b"secret"),
        ("dev/null", EntryType::Char, 0o666, "", b""),
    ]);
    let result = result.unwrap();
    assert_eq!((result.files, result.bytes), (6, 8));
    let root = folder.path().join("root");
    let mode = |path: &str| root.join(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("usr"), 0o700);
    assert_eq!(mode("bin/su"), 0o755);
    assert_eq!(mode("etc/shadow"), 0o400);
    let (one, other) = (root.join("usr/bin/su"), root.join("usr/bin/other"));
    assert_eq!(
        one.metadata().unwrap().ino(),
        other.metadata().unwrap().ino()
    );
    assert_eq!(one.metadata().unwrap().mtime(), 315_532_800);
    assert!(!root.join("dev/null").exists());
}

#[test]
fn nothing_escapes() {
    let rows: &[(&[Row<'_>], LayerEntryFault)] = &[
        (&[("../x", FILE, 0o644, "", b"")], LayerEntryFault::Path),
        (
            &[("a/../../x", FILE, 0o644, "", b"")],
            LayerEntryFault::Path,
        ),
        (
            &[
                ("out", LINK, 0o777, "/tmp", b""),
                ("out/x", FILE, 0o644, "", b""),
            ],
            LayerEntryFault::Parent,
        ),
        (
            &[
                ("out", LINK, 0o777, "..", b""),
                ("out/x/", DIR, 0o755, "", b""),
            ],
            LayerEntryFault::Parent,
        ),
        (
            &[("x", HARD, 0o644, "../../etc/passwd", b"")],
            LayerEntryFault::Link,
        ),
        (
            &[
                ("out", LINK, 0o777, "/etc", b""),
                ("x", HARD, 0o644, "out/passwd", b""),
            ],
            LayerEntryFault::Parent,
        ),
        (
            &[
                ("out", LINK, 0o777, "/etc/passwd", b""),
                ("x", HARD, 0o644, "out", b""),
            ],
            LayerEntryFault::Link,
        ),
        (
            &[("a/", DIR, 0o755, "", b""), ("a", FILE, 0o644, "", b"")],
            LayerEntryFault::Folder,
        ),
        (&[("a/.wh...", FILE, 0o644, "", b"")], LayerEntryFault::Path),
        (
            &[("a", EntryType::new(b'S'), 0o644, "", b"")],
            LayerEntryFault::Header,
        ),
    ];
    for (rows, expected) in rows {
        let (folder, result) = unpacked(rows);
        match result.unwrap_err() {
            LayerUnpackError::Entry { fault, .. } => assert_eq!(fault, *expected, "{rows:?}"),
            other => panic!("{rows:?}: {other:?}"),
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "{rows:?}");
    }
}

#[test]
fn absolute_paths_are_inside_and_a_link_is_replaced_not_followed() {
    let (folder, result) = unpacked(&[
        ("/etc/x", FILE, 0o644, "", b"1"),
        ("y", LINK, 0o777, "etc/x", b""),
        ("y", FILE, 0o644, "", b"22"),
    ]);
    result.unwrap();
    let read = |path: &str| std::fs::read(folder.path().join("root").join(path)).unwrap();
    assert_eq!(read("etc/x"), b"1");
    assert_eq!(read("y"), b"22");
}

#[test]
fn what_is_removed_is_marked() {
    let (folder, result) = unpacked(&[
        ("a/", DIR, 0o755, "", b""),
        ("a/.wh.gone", FILE, 0o644, "", b""),
        ("a/.wh..wh.plnk", FILE, 0o644, "", b""),
        ("b/.wh..wh..opq", FILE, 0o644, "", b""),
        ("c", FILE, 0o644, "", b""),
        (".wh.c", FILE, 0o644, "", b""),
        (".wh.d", FILE, 0o644, "", b""),
        ("d", FILE, 0o644, "", b"new"),
    ]);
    match result {
        // A file system that knows no such marks says so.
        Err(LayerUnpackError::Whiteout { .. }) => return,
        other => other.unwrap(),
    };
    let root = folder.path().join("root");
    let gone = root.join("a/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0; 4];
    let length = rustix::fs::getxattr(root.join("b"), "user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
    assert!(root.join("c").is_file());
    assert_eq!(std::fs::read(root.join("d")).unwrap(), b"new");
}

#[test]
fn any_compression_and_long_names_are_read() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(3);
    builder
        .append_data(&mut header, &long, b"abc".as_slice())
        .unwrap();
    let plain = builder.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [plain, gzip.finish().unwrap(), zstd] {
        let folder = tempfile::tempdir().unwrap();
        unpack(bytes.as_slice(), folder.path(), None).unwrap();
        assert_eq!(std::fs::read(folder.path().join(&long)).unwrap(), b"abc");
    }
}

#[test]
fn a_layer_that_ends_early_is_an_error() {
    let whole = layer(&[("a", FILE, 0o644, "", &[1; 4096])]);
    let folder = tempfile::tempdir().unwrap();
    let error = unpack(&whole[..2048], folder.path(), None).unwrap_err();
    assert!(matches!(error, LayerUnpackError::Read { .. }), "{error:?}");
}

#[test]
fn long_headers_do_not_fill_the_memory() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(MAX_EXTENSION_BYTES + 1);
    header.set_cksum();
    builder
        .append(&header, io::repeat(b'a').take(MAX_EXTENSION_BYTES + 1))
        .unwrap();
    let bytes = builder.into_inner().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = unpack(bytes.as_slice(), folder.path(), None).unwrap_err();
    assert!(matches!(
        error,
        LayerUnpackError::Entry {
            fault: LayerEntryFault::Header,
            ..
        }
    ));
}
