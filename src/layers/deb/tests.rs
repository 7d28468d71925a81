//! Hand-made packages become layers.

use std::io::Read as _;

use super::{error::DebEntryFault, *};
use crate::archive::tar::TarOptions;
use crate::packages::Sha256;

/// One entry of a hand-made package: path, mode, link target, contents.
type Made<'a> = (&'a str, u32, Option<&'a str>, &'a str);

/// A tar of entries; directories end with a slash, hard links have a target with `=` before it.
fn tar_of(entries: &[Made<'_>]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, mode, target, contents) in entries {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(99);
        header.set_size(contents.len() as u64);
        let kind = match target {
            Some(target) if target.starts_with('=') => ::tar::EntryType::Link,
            Some(_) => ::tar::EntryType::Symlink,
            None if path.ends_with('/') => ::tar::EntryType::Directory,
            None if path.ends_with('|') => ::tar::EntryType::Fifo,
            None => ::tar::EntryType::Regular,
        };
        header.set_entry_type(kind);
        if let Some(target) = target {
            header
                .set_link_name_literal(target.trim_start_matches('='))
                .unwrap();
        }
        // Written by hand, because the crate takes `./` away and refuses `..`.
        let name = path.as_bytes();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        builder.append(&header, contents.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A `.deb` of entries, compressed as its ending says.
fn deb_of(name: &str, entries: &[Made<'_>], ending: &str) -> Vec<u8> {
    scripted(name, entries, ending, "")
}

/// The same with a script that dpkg would run.
fn scripted(name: &str, entries: &[Made<'_>], ending: &str, script: &str) -> Vec<u8> {
    deb_of_tars(name, script, tar_of(entries), ending)
}

fn deb_of_tars(name: &str, script: &str, data: Vec<u8>, ending: &str) -> Vec<u8> {
    let control = format!("Package: {name}\nVersion: 1\nDescription: words\n");
    let mut members: Vec<Made<'_>> = vec![("./control", 0o644, None, &control)];
    let sums = "0123  usr/bin/tool\n4567  usr/share/man/man1/tool.1.gz\n";
    members.push(("./md5sums", 0o644, None, sums));
    if !script.is_empty() {
        members.push(("./postinst", 0o755, None, script));
    }
    let control = tar_of(&members);
    let data = match ending {
        "" => data,
        ".xz" => liblzma::encode_all(&data[..], 1).unwrap(),
        ".zst" => zstd::encode_all(&data[..], 1).unwrap(),
        ".gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&data).unwrap();
            out.finish().unwrap()
        }
        other => panic!("{other}"),
    };
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, contents) in [
        ("debian-binary".to_owned(), b"2.0\n".to_vec()),
        ("control.tar".to_owned(), control),
        (format!("data.tar{ending}"), data),
    ] {
        let length = contents.len();
        bytes.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n",
                0, 0, 0, 644
            )
            .bytes(),
        );
        bytes.extend(&contents);
        if length % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn artefact(name: &str) -> DebArtefact {
    DebArtefact {
        package: name.to_owned(),
        version: "1".to_owned(),
        architecture: "amd64".to_owned(),
        url: String::new(),
        snapshot_url: None,
        sha256: Sha256([0; 32]),
        size: 0,
    }
}

fn options() -> BaseOptions {
    BaseOptions {
        architecture: Architecture::Amd64,
        python: "3.13".to_owned(),
        locale: Some("xx_YY.UTF-8".to_owned()),
        mtime: 315_532_800,
    }
}

/// The layer of these packages.
fn layer(part: BasePart, packages: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, DebLayerError> {
    layer_beside(part, packages, &[])
}

/// The same with other packages beside it.
fn layer_beside(
    part: BasePart,
    packages: &[(&str, Vec<u8>)],
    beside: &[(&str, Vec<u8>)],
) -> Result<Vec<u8>, DebLayerError> {
    Ok(written_beside(part, packages, beside)?.0)
}

fn written_beside(
    part: BasePart,
    packages: &[(&str, Vec<u8>)],
    beside: &[(&str, Vec<u8>)],
) -> Result<(Vec<u8>, LayerNotes), DebLayerError> {
    let folder = tempfile::tempdir().unwrap();
    let files = |packages: &[(&str, Vec<u8>)]| -> Vec<_> {
        packages
            .iter()
            .map(|(name, bytes)| {
                let path = folder.path().join(name);
                std::fs::write(&path, bytes).unwrap();
                (artefact(name), path)
            })
            .collect()
    };
    let (files, beside) = (files(packages), files(beside));
    let mut out = LayerWriter::new(
        Vec::new(),
        TarOptions {
            mtime: options().mtime,
            effort: CompressionEffort::Usual,
        },
    );
    let packages = PackageFiles {
        own: &files,
        beside: &beside,
    };
    let notes = write(part, packages, &options(), folder.path(), &mut out)?;
    Ok((out.finish().unwrap().0, notes))
}

/// The entries of a layer as text: path, mode, target or contents.
fn shown(layer: &[u8]) -> Vec<String> {
    let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(layer));
    let mut shown = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mode = entry.header().mode().unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 315_532_800);
        let link = entry
            .link_name_bytes()
            .map(|target| String::from_utf8_lossy(&target).into_owned());
        let hard = if entry.header().entry_type().is_hard_link() {
            "="
        } else {
            ""
        };
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        shown.push(match link {
            Some(target) => format!("{path} -> {hard}{target}"),
            None if text.len() > 40 => format!("{path} {mode:o}"),
            None => format!("{path} {mode:o} {}", text.trim_end())
                .trim_end()
                .to_owned(),
        });
    }
    shown
}

#[expect(clippy::too_many_lines, reason = "the listing of a whole layer")]
#[test]
fn a_layer_of_hand_made_packages() {
    let tool = deb_of(
        "tool",
        &[
            ("./", 0o755, None, ""),
            ("./bin/", 0o755, None, ""),
            ("./bin/tool", 0o4755, None, "tool"),
            ("./bin/alias", 0o755, Some("=./bin/tool"), ""),
            ("./bin/link", 0o777, Some("../usr/lib/x"), ""),
            ("./usr/share/doc/tool/", 0o755, None, ""),
            ("./usr/share/doc/tool/copyright", 0o644, None, "free"),
            ("./usr/share/doc/tool/changelog.gz", 0o644, None, "long"),
            ("./usr/share/man/man1/tool.1.gz", 0o644, None, "man"),
            ("./usr/share/empty/", 0o755, None, ""),
        ],
        ".xz",
    );
    let certificates = deb_of(
        "certs",
        &[
            (
                "./usr/share/ca-certificates/mozilla/b.crt",
                0o644,
                None,
                "B\n",
            ),
            (
                "./usr/share/ca-certificates/mozilla/a.crt",
                0o644,
                None,
                "A",
            ),
        ],
        ".zst",
    );
    let packages = [("certs", certificates), ("tool", tool)];
    let bytes = layer(BasePart::System, &packages).unwrap();
    // The very bytes: another digest is another image for everybody, and wants another `LAYOUT`.
    assert_eq!(
        crate::oci::Digest::of(&bytes).hex(),
        "bca7f7b19b5aac7bffa84be782d98accdbef4e3edd396cdb373165db35c94757"
    );
    assert_eq!(
        shown(&bytes),
        [
            "bin -> usr/bin",
            "etc/ 755",
            "etc/ca-certificates.conf 644 mozilla/a.crt\nmozilla/b.crt",
            "etc/group 644",
            "etc/localtime -> /usr/share/zoneinfo/Etc/UTC",
            "etc/nsswitch.conf 644",
            "etc/passwd 644",
            "etc/ssl/ 755",
            "etc/ssl/certs/ 755",
            "etc/ssl/certs/ca-certificates.crt 644 A\nB",
            "etc/timezone 644 Etc/UTC",
            "lib -> usr/lib",
            "lib64 -> usr/lib64",
            "sbin -> usr/sbin",
            "tmp/ 1777",
            "usr/ 755",
            "usr/bin/ 755",
            "usr/bin/alias 755 tool",
            "usr/bin/link -> /usr/lib/x",
            "usr/bin/tool -> =usr/bin/alias",
            "usr/lib/ 755",
            "usr/lib/ssl/ 755",
            "usr/lib/ssl/cert.pem -> /etc/ssl/certs/ca-certificates.crt",
            "usr/lib/ssl/certs -> /etc/ssl/certs",
            "usr/lib/ssl/openssl.cnf -> /etc/ssl/openssl.cnf",
            "usr/lib64/ 755",
            "usr/sbin/ 755",
            "usr/share/ 755",
            "usr/share/ca-certificates/ 755",
            "usr/share/ca-certificates/mozilla/ 755",
            "usr/share/ca-certificates/mozilla/a.crt 644 A",
            "usr/share/ca-certificates/mozilla/b.crt 644 B",
            "usr/share/doc/ 755",
            "usr/share/doc/tool/ 755",
            "usr/share/doc/tool/copyright 644 free",
            "var/ 755",
            "var/lib/ 755",
            "var/lib/dpkg/ 755",
            "var/lib/dpkg/status.d/ 755",
            "var/lib/dpkg/status.d/certs 644",
            "var/lib/dpkg/status.d/certs.md5sums 644",
            "var/lib/dpkg/status.d/tool 644",
            "var/lib/dpkg/status.d/tool.md5sums 644 0123  usr/bin/tool",
            "var/tmp/ 1777",
        ]
    );
    assert_eq!(
        layer(BasePart::System, &packages).unwrap(),
        bytes,
        "the same bytes again"
    );
}

#[test]
fn a_locale_is_taken_with_its_links_followed() {
    let all = deb_of(
        "locales-all",
        &[
            ("./usr/lib/locale/aa/LC_CTYPE", 0o644, None, "ctype"),
            ("./usr/lib/locale/aa/LC_TIME", 0o644, None, "unused"),
            ("./usr/lib/locale/xx_YY.utf8/LC_TIME", 0o644, None, "time"),
            (
                "./usr/lib/locale/bb/LC_CTYPE",
                0o777,
                Some("../aa/LC_CTYPE"),
                "",
            ),
            (
                "./usr/lib/locale/xx_YY.utf8/LC_CTYPE",
                0o777,
                Some("../bb/LC_CTYPE"),
                "",
            ),
        ],
        ".xz",
    );
    let shown = shown(&layer(BasePart::System, &[("locales-all", all)]).unwrap());
    let locales: Vec<_> = shown
        .iter()
        .filter(|line| line.contains("/locale/"))
        .collect();
    assert_eq!(
        locales,
        [
            "usr/lib/locale/ 755",
            "usr/lib/locale/xx_YY.utf8/ 755",
            "usr/lib/locale/xx_YY.utf8/LC_CTYPE 644 ctype",
            "usr/lib/locale/xx_YY.utf8/LC_TIME 644 time",
        ]
    );
    let loops = [("./usr/lib/locale/xx_YY.utf8/A", 0o777, Some("A"), "")];
    for entries in [&loops[..], &[]] {
        let all = deb_of("locales-all", entries, "");
        assert!(matches!(
            layer(BasePart::System, &[("locales-all", all)]),
            Err(DebLayerError::NoLocale { .. })
        ));
    }
}

#[test]
fn the_same_path_twice() {
    let with =
        |name: &str, contents: &str| deb_of(name, &[("./etc/x", 0o644, None, contents)], ".gz");
    assert!(
        layer(
            BasePart::System,
            &[("a", with("a", "same")), ("b", with("b", "same"))]
        )
        .is_ok()
    );
    let error = layer(
        BasePart::System,
        &[("a", with("a", "one")), ("b", with("b", "two"))],
    );
    assert!(
        matches!(error, Err(DebLayerError::Conflict { path, first, second })
        if path == "etc/x" && first == "a" && second == "b")
    );
}

#[test]
fn the_shell_is_bash_where_there_is_one() {
    let dash = deb_of(
        "dash",
        &[
            ("./usr/bin/dash", 0o755, None, "dash"),
            ("./usr/bin/sh", 0o777, Some("dash"), ""),
        ],
        "",
    );
    let bash = deb_of("bash", &[("./bin/bash", 0o755, None, "bash")], "");
    let shell = |part, packages: &[(&str, Vec<u8>)]| {
        let all = shown(&layer(part, packages).unwrap());
        all.into_iter().find(|line| line.starts_with("usr/bin/sh "))
    };
    let both = [("bash", bash), ("dash", dash.clone())];
    let is = |target: &str| Some(format!("usr/bin/sh -> {target}"));
    assert_eq!(shell(BasePart::System, &both), is("bash"));
    assert_eq!(shell(BasePart::System, &both[1..]), is("dash"));
    // Above a base nothing changes what that has chosen.
    assert_eq!(shell(BasePart::Added, &[("dash", dash)]), None);
}

#[test]
fn python_needs_its_interpreter() {
    let with = |path: &str| deb_of("python3.13", &[(path, 0o755, None, "x")], "");
    let good = layer(
        BasePart::Interpreter,
        &[("python3.13-minimal", with("./usr/bin/python3.13"))],
    )
    .unwrap();
    assert!(shown(&good).contains(&"usr/bin/python3 -> python3.13".to_owned()));
    assert!(
        !shown(&good)
            .iter()
            .any(|line| line.starts_with("etc/passwd"))
    );
    let error = layer(
        BasePart::Interpreter,
        &[("python3.13-minimal", with("./usr/bin/python3.12"))],
    );
    assert!(matches!(error, Err(DebLayerError::NoMember { .. })));
}

#[test]
fn refuses_hostile_packages() {
    let entry = |made: Made<'_>| layer(BasePart::System, &[("a", deb_of("a", &[made], ""))]);
    for (path, expected) in [
        ("./../etc/x", DebEntryFault::Path),
        ("./etc/.wh.passwd", DebEntryFault::Path),
        ("./etc//x", DebEntryFault::Path),
        ("./etc/pipe|", DebEntryFault::Kind),
    ] {
        let error = entry((path, 0o644, None, ""));
        assert!(
            matches!(error, Err(DebLayerError::Entry { reason, .. }) if reason == expected),
            "{path}: {error:?}"
        );
    }
    let link = entry(("./etc/x", 0o644, Some("=./etc/none"), ""));
    assert!(matches!(
        link,
        Err(DebLayerError::Entry {
            reason: DebEntryFault::Link,
            ..
        })
    ));
    let below = [
        ("./etc/x", 0o644, None, "a"),
        ("./etc/x/y", 0o644, None, "b"),
    ];
    let below = layer(BasePart::System, &[("a", deb_of("a", &below, ""))]);
    assert!(matches!(below, Err(DebLayerError::Conflict { .. })));
    let good = deb_of("a", &[("./etc/x", 0o644, None, "contents")], ".xz");
    for end in [0, 7, 60, 100, good.len() - 40] {
        let error = layer(BasePart::System, &[("a", good[..end].to_vec())]);
        assert!(error.is_err(), "{end}");
    }
}

#[test]
fn keys_follow_every_input() {
    let names = ["a", "libc6", "python3.13", "python3.13-minimal"];
    let packages = names.map(artefact);
    let base = key(BasePart::System, &packages, &[], &options());
    assert_ne!(
        base,
        key(BasePart::System, &packages, &packages[1..2], &options())
    );
    assert_eq!(base, key(BasePart::System, &packages, &[], &options()));
    assert_ne!(base, key(BasePart::Python, &packages, &[], &options()));
    assert_ne!(base, key(BasePart::System, &packages[..1], &[], &options()));
    let changes: [fn(&mut BaseOptions); 4] = [
        |options| options.architecture = Architecture::Arm64,
        |options| options.python.push('0'),
        |options| options.locale = None,
        |options| options.mtime = 1,
    ];
    for change in changes {
        let mut options = options();
        change(&mut options);
        assert_ne!(base, key(BasePart::System, &packages, &[], &options));
    }
    assert_eq!(BasePart::System.of_all(&packages), [artefact("a")]);
    assert_eq!(
        BasePart::Interpreter.of_all(&packages),
        [artefact("libc6"), artefact("python3.13-minimal")]
    );
    assert_eq!(BasePart::Python.of_all(&packages), [artefact("python3.13")]);
}

mod damage {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn never_panics(
            changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6),
            length in any::<Index>(),
        ) {
            let entries: [Made<'_>; 4] = [
                ("./bin/", 0o755, None, ""),
                ("./bin/tool", 0o4755, None, "tool"),
                ("./bin/alias", 0o755, Some("=./bin/tool"), ""),
                ("./bin/link", 0o777, Some("../usr/lib/x"), ""),
            ];
            for ending in ["", ".gz", ".xz", ".zst"] {
                let mut bytes = deb_of("tool", &entries, ending);
                for (at, value) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *value;
                }
                let _ = layer(BasePart::System, &[("tool", bytes.clone())]);
                bytes.truncate(length.index(bytes.len()));
                let _ = layer(BasePart::System, &[("tool", bytes)]);
            }
        }
    }
}

mod scripts;
