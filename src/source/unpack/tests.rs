//! Archives of all kinds, hostile ones above all.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use super::error::{ArchiveBound, ArchiveEntryFault};
use super::*;
use crate::archive::UnpackedBound;
use crate::report::SilentReport;

/// One entry: type, path, link target, contents, mode.
type Entry<'a> = (u8, &'a str, &'a str, &'a [u8], u32);

fn raw(kind: u8, path: &[u8], link: &str, size: u64, mode: u32) -> Vec<u8> {
    let mut block = [0_u8; 512];
    let put = |block: &mut [u8; 512], at: usize, bytes: &[u8]| {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(&mut block, 0, path);
    put(&mut block, 100, format!("{mode:07o}").as_bytes());
    put(&mut block, 124, format!("{size:011o}").as_bytes());
    put(&mut block, 136, b"00000000000");
    block[156] = kind;
    put(&mut block, 157, link.as_bytes());
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, path, link, contents, mode) in entries {
        bytes.extend(raw(
            *kind,
            path.as_bytes(),
            link,
            contents.len() as u64,
            *mode,
        ));
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn file<'a>(path: &'a str, contents: &'a str) -> Entry<'a> {
    (b'0', path, "", contents.as_bytes(), 0o644)
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("into")).unwrap();
        fs::write(folder.path().join("outside"), "before").unwrap();
        Self { folder }
    }

    fn inside(&self) -> PathBuf {
        self.folder.path().join("into")
    }

    fn unpack(&self, bytes: &[u8]) -> Result<(), ArchiveSourceError> {
        let into = self.inside();
        let unpacking = UnpackRequest {
            into: &into,
            shown: "x.tar",
            unpacked: UnpackedBound::default(),
            report: &SilentReport,
            transfer: TransferId(0),
        };
        unpacking.stream(bytes)
    }

    fn unpack_file(&self, bytes: &[u8], sha256: Option<&Digest>) -> Result<(), ArchiveSourceError> {
        let path = self.folder.path().join("archive");
        fs::write(&path, bytes).unwrap();
        let into = self.inside();
        let unpacking = UnpackRequest {
            into: &into,
            shown: "https://h/x",
            unpacked: UnpackedBound::default(),
            report: &SilentReport,
            transfer: TransferId(0),
        };
        unpacking.file(&path, sha256)
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut pending = vec![self.inside()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.inside()).unwrap();
                names.push(name.to_str().unwrap().to_owned());
                if path.symlink_metadata().unwrap().is_dir() {
                    pending.push(path);
                }
            }
        }
        names.sort();
        names
    }
}

fn fault_of(bytes: &[u8]) -> ArchiveEntryFault {
    let place = Place::new();
    match place.unpack(bytes) {
        Err(ArchiveSourceError::Entry { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_formats_are_unpacked() {
    let tar = tar_of(&[
        file("./app.py", "1"),
        (b'5', "./sub/", "", b"", 0o700),
        (b'0', "sub/run.sh", "", b"#!/bin/sh\n", 0o4755),
        (b'2', "link", "sub/run.sh", b"", 0o777),
        (b'1', "hard", "app.py", b"", 0o644),
        (b'0', "deep/er/x", "", b"x", 0o600),
        (b'0', "old/", "", b"", 0o755),
        (
            b'g',
            "pax_global_header",
            "",
            b"52 comment=1a413e20000000000000000000000000000000aa\n",
            0,
        ),
    ]);
    let gzip = {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    let xz = {
        let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    let zstd = zstd::stream::encode_all(tar.as_slice(), 1).unwrap();
    for bytes in [tar, gzip, xz, zstd] {
        let place = Place::new();
        place.unpack(&bytes).unwrap();
        let expected = [
            "app.py",
            "deep",
            "deep/er",
            "deep/er/x",
            "hard",
            "link",
            "old",
            "sub",
            "sub/run.sh",
        ];
        assert_eq!(place.names(), expected);
        let mode = |name: &str| fs::metadata(place.inside().join(name)).unwrap().mode() & 0o7100;
        assert_eq!(mode("sub/run.sh"), 0o100);
        assert_eq!(mode("app.py"), 0);
        assert_eq!(fs::read(place.inside().join("hard")).unwrap(), b"1");
        let link = fs::read_link(place.inside().join("link")).unwrap();
        assert_eq!(link, Path::new("sub/run.sh"));
        for cut in [bytes.len() / 2, bytes.len() / 2 / 512 * 512, 100] {
            assert!(Place::new().unpack(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}

#[test]
fn names_may_be_long() {
    let long = format!("{}/app.py", vec!["folder"; 60].join("/"));
    let pax = format!("path={long}\n");
    let pax = format!("{} {pax}", pax.len() + 4);
    let gnu = format!("{long}\0");
    for (kind, contents) in [(b'x', pax), (b'L', gnu)] {
        let place = Place::new();
        let entries = [
            (kind, "meta", "", contents.as_bytes(), 0),
            file("short", "1"),
        ];
        place.unpack(&tar_of(&entries)).unwrap();
        assert_eq!(fs::read(place.inside().join(&long)).unwrap(), b"1");
    }
}

#[test]
fn nothing_leaves_the_folder() {
    for (entries, fault) in [
        (vec![file("../outside", "x")], ArchiveEntryFault::Climbs),
        (
            vec![file("a/../../outside", "x")],
            ArchiveEntryFault::Climbs,
        ),
        (vec![file("a/..", "x")], ArchiveEntryFault::Climbs),
        (vec![file("/tmp/outside", "x")], ArchiveEntryFault::Absolute),
        (
            vec![(b'5', "../sub", "", &b""[..], 0o755)],
            ArchiveEntryFault::Climbs,
        ),
        (
            vec![(b'2', "../link", "x", &b""[..], 0o777)],
            ArchiveEntryFault::Climbs,
        ),
        // Through a link that the archive brings along.
        (
            vec![
                (b'2', "out", "..", &b""[..], 0o777),
                file("out/outside", "x"),
            ],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![
                file("out/outside", "x"),
                (b'2', "out", "..", &b""[..], 0o777),
            ],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![(b'2', "f", "../outside", &b""[..], 0o777), file("f", "x")],
            ArchiveEntryFault::Twice,
        ),
        // Hard links to what is not the archive's.
        (
            vec![(b'1', "h", "../outside", &b""[..], 0)],
            ArchiveEntryFault::Climbs,
        ),
        (
            vec![(b'1', "h", "/etc/passwd", &b""[..], 0)],
            ArchiveEntryFault::Absolute,
        ),
        (
            vec![(b'1', "h", "missing", &b""[..], 0)],
            ArchiveEntryFault::HardLink,
        ),
        (
            vec![
                (b'2', "l", "../outside", &b""[..], 0o777),
                (b'1', "h", "l", &b""[..], 0),
            ],
            ArchiveEntryFault::HardLink,
        ),
        (
            vec![(b'1', "h", ".", &b""[..], 0)],
            ArchiveEntryFault::HardLink,
        ),
    ] {
        let place = Place::new();
        match place.unpack(&tar_of(&entries)) {
            Err(ArchiveSourceError::Entry { fault: found, .. }) => assert_eq!(found, fault),
            other => panic!("{entries:?}: {other:?}"),
        }
        let outside = fs::read(place.folder.path().join("outside")).unwrap();
        assert_eq!(outside, b"before");
        assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 2);
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (entries, fault) in [
        (
            vec![file("a", "1"), file("a", "2")],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![file("a", "1"), file("./a", "2")],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![file("a", "1"), file("a/b", "2")],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![file("a/b", "1"), file("a", "2")],
            ArchiveEntryFault::Twice,
        ),
        (
            vec![file("a", "1"), (b'5', "a", "", &b""[..], 0)],
            ArchiveEntryFault::Twice,
        ),
        (vec![file(".", "1")], ArchiveEntryFault::Twice),
        (
            vec![(b'2', "l", "", &b""[..], 0)],
            ArchiveEntryFault::NoTarget,
        ),
        (
            vec![(b'S', "sparse", "", &b""[..], 0)],
            ArchiveEntryFault::Kind,
        ),
        (
            vec![(b'M', "part", "", &b""[..], 0)],
            ArchiveEntryFault::Kind,
        ),
    ] {
        assert_eq!(fault_of(&tar_of(&entries)), fault, "{entries:?}");
    }
    let deep = vec!["d"; 201].join("/");
    let long = "x".repeat(4001);
    let name = "x".repeat(300);
    for (path, fault) in [
        (&deep, ArchiveEntryFault::Deep),
        (&long, ArchiveEntryFault::Long),
        (&name, ArchiveEntryFault::Long),
    ] {
        let entries = [(b'L', "meta", "", path.as_bytes(), 0), file("short", "1")];
        assert_eq!(fault_of(&tar_of(&entries)), fault);
    }
    let sparse = b"25 GNU.sparse.realsize=9\n";
    let entries = [(b'x', "meta", "", &sparse[..], 0), file("short", "1")];
    assert_eq!(fault_of(&tar_of(&entries)), ArchiveEntryFault::Kind);
}

#[test]
fn sizes_are_bounded() {
    // It says to be larger than is allowed, and is refused before a byte is written.
    let mut huge = raw(b'0', b"huge", "", 0, 0o644);
    huge[124..136].copy_from_slice(b"\x80\0\0\0\0\0\x7f\xff\xff\xff\xff\xff");
    let sum: u32 = huge
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            u32::from(if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            })
        })
        .sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(matches!(
        Place::new().unpack(&huge),
        Err(ArchiveSourceError::Bound {
            bound: ArchiveBound::Bytes,
            ..
        })
    ));
    // Headers that would be held in memory.
    for kind in *b"xgLK" {
        let claim = raw(kind, b"meta", "", 1 << 31, 0);
        assert!(matches!(
            Place::new().unpack(&claim),
            Err(ArchiveSourceError::Header { .. })
        ));
    }
    // 300 MiB of nothing in some kilobytes.
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    bomb.write_all(&raw(b'0', b"bomb", "", 300 << 20, 0o644))
        .unwrap();
    for _ in 0..300 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(matches!(
        Place::new().unpack(&bomb),
        Err(ArchiveSourceError::Bound {
            bound: ArchiveBound::Ratio { .. },
            ..
        })
    ));
}

#[test]
fn what_is_no_archive_is_named() {
    for (bytes, expected) in [
        (&b""[..], FoundInstead::Nothing),
        (b"PK\x03\x04", FoundInstead::ZipOnStdin),
        (b"BZh9", FoundInstead::Bzip2),
        (b" \n<!DOCTYPE html>", FoundInstead::WebPage),
        (b"hello", FoundInstead::Other),
        (&[1; 600], FoundInstead::Other),
    ] {
        match Place::new().unpack(bytes) {
            Err(ArchiveSourceError::Kind { found, .. }) => assert_eq!(found, expected),
            other => panic!("{other:?}"),
        }
    }
    let mut damaged = tar_of(&[file("a", "1"), file("b", "2")]);
    damaged[1024] ^= 1;
    assert!(matches!(
        Place::new().unpack(&damaged),
        Err(ArchiveSourceError::Header { after, .. }) if after == "a"
    ));
    let whole = tar_of(&[file("a", "1")]);
    assert!(matches!(
        Place::new().unpack(&whole[..1024]),
        Err(ArchiveSourceError::Cut { .. })
    ));
}

#[test]
fn devices_are_left_out_and_said() {
    struct Heard(Mutex<Vec<String>>);
    impl Report for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }
    let heard = Heard(Mutex::new(Vec::new()));
    let place = Place::new();
    let into = place.inside();
    let unpacking = UnpackRequest {
        into: &into,
        shown: "-",
        unpacked: UnpackedBound::default(),
        report: &heard,
        transfer: TransferId(0),
    };
    let names: Vec<String> = (0..7).map(|number| format!("dev{number}")).collect();
    let mut entries = vec![file("app.py", "")];
    for (name, kind) in names.iter().zip(*b"3463463") {
        entries.push((kind, name, "", b"", 0o666));
    }
    unpacking.stream(tar_of(&entries).as_slice()).unwrap();
    assert_eq!(place.names(), ["app.py"]);
    assert_eq!(
        *heard.0.lock().unwrap(),
        ["sockets, pipes and devices are left out: dev0, dev1, dev2, dev3, dev4 and 2 more"]
    );
}

fn zip_of(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, contents, mode) in files {
        let options = ::zip::write::SimpleFileOptions::default()
            .compression_method(::zip::CompressionMethod::Stored)
            .unix_permissions(*mode);
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*name, *contents, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(contents.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn zips_are_unpacked_and_checked() {
    let bytes = zip_of(&[
        ("top/app.py", "contents", 0o644),
        ("top/run.sh", "#!/bin/sh\n", 0o755),
        ("top/link", "app.py", 0o120_777),
    ]);
    let place = Place::new();
    place
        .unpack_file(&bytes, Some(&Digest::of(&bytes)))
        .unwrap();
    assert_eq!(
        place.names(),
        ["top", "top/app.py", "top/link", "top/run.sh"]
    );
    assert_eq!(top(&place.inside(), None), place.inside().join("top"));
    assert_eq!(
        top(&place.inside(), Some(Path::new("./top/x"))),
        place.inside()
    );
    assert!(matches!(
        Place::new().unpack_file(&bytes, Some(&Digest::of(b""))),
        Err(ArchiveSourceError::Hash { .. })
    ));
    let mut damaged = bytes.clone();
    let at = bytes
        .windows(8)
        .position(|eight| eight == b"contents")
        .unwrap();
    damaged[at] ^= 1;
    let error = Place::new().unpack_file(&damaged, None).unwrap_err();
    assert!(
        error.to_string().starts_with("https://h/x: top/app.py"),
        "{error}"
    );
    // Writing through a link, and a climb, which the reader itself refuses.
    let through = zip_of(&[("out", "..", 0o120_777), ("out/outside", "x", 0o644)]);
    let place = Place::new();
    assert!(place.unpack_file(&through, None).is_err());
    assert_eq!(
        fs::read(place.folder.path().join("outside")).unwrap(),
        b"before"
    );
    assert!(
        Place::new()
            .unpack_file(b"PK\x03\x04 and no more", None)
            .is_err()
    );
}

#[test]
fn archives_of_finder_and_windows_are_the_project_alone() {
    struct Heard(Mutex<Vec<String>>);
    impl Report for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }
    let finder = zip_of(&[
        ("site/app.py", "1", 0o644),
        ("site/.DS_Store", "x", 0o644),
        ("__MACOSX/site/._app.py", "x", 0o644),
        ("__MACOSX/._site", "x", 0o644),
    ]);
    let tar = tar_of(&[
        file("./._app.py", "x"),
        file("site/app.py", "1"),
        file("site/._b", "xx"),
    ]);
    let windows = zip_of(&[("site\\app.py", "1", 0o644), ("site\\a\\b.py", "2", 0o644)]);
    for (bytes, expected, told) in [
        (finder, vec!["site", "site/app.py"], "__MACOSX"),
        (tar, vec!["site", "site/app.py"], "__MACOSX"),
        (
            windows,
            vec!["site", "site/a", "site/a/b.py", "site/app.py"],
            "backslashes",
        ),
    ] {
        let heard = Heard(Mutex::new(Vec::new()));
        let place = Place::new();
        let archive = place.folder.path().join("archive");
        fs::write(&archive, &bytes).unwrap();
        let into = place.inside();
        let unpacking = UnpackRequest {
            into: &into,
            shown: "-",
            unpacked: UnpackedBound::default(),
            report: &heard,
            transfer: TransferId(0),
        };
        unpacking.file(&archive, None).unwrap();
        assert_eq!(place.names(), expected);
        assert_eq!(top(&into, None), into.join("site"));
        let heard = heard.0.lock().unwrap();
        assert!(heard.len() == 1 && heard[0].contains(told), "{heard:?}");
    }
    // A climb is one in either writing.
    let climbs = zip_of(&[("a\\..\\..\\outside", "x", 0o644)]);
    assert!(Place::new().unpack_file(&climbs, None).is_err());
}

#[test]
fn damaged_tars_do_not_panic() {
    let whole = tar_of(&[
        (b'x', "meta", "", b"12 path=abc\n", 0),
        file("a", "1"),
        (b'2', "l", "a", b"", 0o777),
    ]);
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        let _ = Place::new().unpack(&bytes);
    }
}
