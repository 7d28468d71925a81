//! What the reader takes, and what it refuses.

use std::io::Write as _;

use proptest::prelude::*;

use super::testing::{Spec, zip};
use super::*;

fn open(bytes: &[u8]) -> Result<ZipArchive, ZipError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    ZipArchive::open(file.path(), UnpackedBound::default())
}

fn refused(specs: &[Spec]) -> MemberFault {
    match open(&zip(specs)) {
        Err(ZipError::Member { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

fn all_kinds() -> Vec<u8> {
    let dir = Spec::new("d/", b"").stored();
    zip(&[
        Spec::new("b", b"stored").stored(),
        Spec::new("a", &b"deflated ".repeat(500)).mode(0o100_755),
        dir,
        Spec::new("d/\u{e9}", b"").stored().mode(0),
        Spec {
            descriptor: true,
            ..Spec::new("e", b"with a descriptor")
        },
        Spec {
            zip64: true,
            ..Spec::new("z", b"wide numbers")
        },
    ])
}

#[test]
fn every_kind_of_member_is_read() {
    let archive = open(&all_kinds()).unwrap();
    let names: Vec<_> = archive
        .members()
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "d", "d/é", "e", "z"]);
    let read = |name: &str| archive.read(archive.member(name).unwrap(), 10_000).unwrap();
    assert_eq!(read("a"), b"deflated ".repeat(500));
    assert_eq!(read("b"), b"stored");
    assert_eq!(read("d/é"), b"");
    assert_eq!(read("e"), b"with a descriptor");
    assert_eq!(read("z"), b"wide numbers");
    assert!(archive.member("a").unwrap().is_executable());
    assert!(!archive.member("b").unwrap().is_executable());
    assert!(archive.member("d").unwrap().directory);
    assert_eq!(archive.member("d/é").unwrap().mode, None);
    assert_eq!(archive.member("c"), None);
    let too_long = archive.read(archive.member("a").unwrap(), 4499);
    assert!(matches!(
        too_long,
        Err(ZipError::Member {
            fault: MemberFault::TooLong { .. },
            ..
        })
    ));
}

#[test]
fn an_empty_archive_is_one() {
    assert_eq!(open(&zip(&[])).unwrap().members(), []);
}

#[test]
fn bad_names_are_refused() {
    let named = |name: &str| refused(&[Spec::new(name, b"x")]);
    assert_eq!(named("/etc/passwd"), MemberFault::Path(PathFault::Empty));
    assert_eq!(named("a/../../b"), MemberFault::Path(PathFault::Dots));
    assert_eq!(named("a\\b"), MemberFault::Backslash);
    assert_eq!(named("a\0b"), MemberFault::Path(PathFault::Nul));
    assert_eq!(named("a/.wh.b"), MemberFault::Path(PathFault::Whiteout));
    assert_eq!(named("C:\\x"), MemberFault::Backslash);
    let mut latin = Spec::new("x", b"x");
    latin.name = vec![0xe9];
    latin.local_name = vec![0xe9];
    assert_eq!(refused(&[latin]), MemberFault::NotUnicode);
    let one = Spec::new("a", b"x");
    assert_eq!(refused(&[one.clone(), one.clone()]), MemberFault::Twice);
    assert_eq!(
        refused(&[one, Spec::new("a/", b"").stored()]),
        MemberFault::Twice
    );
}

#[test]
fn contradictions_are_refused() {
    let spec = Spec::new("a", b"contents");
    let other_name = Spec {
        local_name: b"b".to_vec(),
        ..spec.clone()
    };
    assert_eq!(refused(&[other_name]), MemberFault::LocalHeader);
    assert_eq!(
        refused(&[Spec {
            flags: 1,
            ..spec.clone()
        }]),
        MemberFault::Encrypted
    );
    assert_eq!(
        refused(&[Spec {
            method: 12,
            ..spec.clone()
        }]),
        MemberFault::Method(12)
    );
    assert_eq!(refused(&[Spec::new("d/", b"x")]), MemberFault::Size);
    let archive = open(&zip(&[Spec { crc32: 1, ..spec }])).unwrap();
    let outcome = archive.read(&archive.members()[0], 100);
    assert!(matches!(
        outcome,
        Err(ZipError::Member {
            fault: MemberFault::Contents,
            ..
        })
    ));
}

#[test]
fn members_do_not_overlap() {
    // The second central header points to the first member, under its name.
    let mut bytes = zip(&[Spec::new("a", b"one"), Spec::new("a", b"one")]);
    let second = bytes
        .windows(4)
        .rposition(|it| it == b"PK\x01\x02")
        .unwrap();
    bytes[second + 42..second + 46].fill(0);
    let outcome = open(&bytes);
    assert!(matches!(
        outcome,
        Err(ZipError::Member {
            fault: MemberFault::Overlap,
            ..
        })
    ));
}

#[test]
fn bytes_around_an_archive_are_refused() {
    let whole = all_kinds();
    let archive_fault = |bytes: &[u8]| match open(bytes) {
        Err(ZipError::Archive { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        archive_fault(&[whole.as_slice(), b"x"].concat()),
        ArchiveFault::NoEnd
    );
    let plain = zip(&[Spec::new("a", b"x")]);
    assert_eq!(
        archive_fault(&[b"x", plain.as_slice()].concat()),
        ArchiveFault::Gap
    );
    assert_eq!(archive_fault(b""), ArchiveFault::NoEnd);
    assert_eq!(archive_fault(b"PK\x05\x06"), ArchiveFault::NoEnd);
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn any_single_damaged_byte_is_survived() {
    let whole = all_kinds();
    for at in 0..whole.len() {
        for value in [0, 0xff, whole[at] ^ 0x01, whole[at] ^ 0x80] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(archive) = open(&bytes) {
                for member in archive.members() {
                    let _ = archive.read(member, 100_000);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_damage_is_survived(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = all_kinds();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Ok(archive) = open(&bytes) {
            for member in archive.members() {
                let _ = archive.read(member, 100_000);
            }
        }
        prop_assert!(open(&noise).is_err());
    }
}
