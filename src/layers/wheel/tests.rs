//! Hand-made wheels in, layers out; compared with what pip makes of the same.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::read::MultiGzDecoder;

use super::*;
use crate::archive::UnpackedBound;
use crate::archive::tar::{CompressionEffort, TarOptions, TarSummary};
use crate::archive::zip::testing::{Spec, zip};
use crate::packages::python::record;

const SITE: &str = "opt/app-root/lib/python3.13/site-packages";

fn target() -> InstallTarget {
    InstallTarget {
        prefix: "opt/app-root".to_owned(),
        python: "3.13".to_owned(),
        uid: 1001,
        gid: 0,
        mtime: 315_532_800,
        bytecode: None,
    }
}

/// A wheel in a file of its own, which is gone with the first value.
fn wheel(name: &str, specs: &[Spec]) -> (tempfile::NamedTempFile, WheelFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&zip(specs)).unwrap();
    let wheel = WheelFile {
        path: file.path().to_owned(),
        name: name.to_owned(),
        version: "1.0".to_owned(),
        sha256: [0; 32],
        requested: false,
        unpacked: UnpackedBound::default(),
    };
    (file, wheel)
}

/// Members that every wheel has.
fn basic(dist_info: &str, record: &str) -> Vec<Spec> {
    vec![
        Spec::new(&format!("{dist_info}/METADATA"), b"Name: x\nVersion: 1.0\n"),
        Spec::new(
            &format!("{dist_info}/WHEEL"),
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
        ),
        Spec::new(&format!("{dist_info}/RECORD"), record.as_bytes()),
    ]
}

fn rich(requested: bool) -> (tempfile::NamedTempFile, WheelFile) {
    let info = "Rich_Wheel-1.0.dist-info";
    let mut specs = basic(
        info,
        "rich/__init__.py,sha256=given,7\nrich/gone.py,sha256=x,1\n",
    );
    specs.extend([
        Spec::new("rich/__init__.py", b"x = 1\n\n"),
        Spec::new("rich/stored.py", b"y = 2\n").stored(),
        Spec::new("rich/empty.py", b"").stored(),
        Spec::new("rich/large.txt", &b"0123456789abcdef\n".repeat(60_000)),
        Spec::new("rich/tool", b"#!/bin/sh\n").mode(0o100_755),
        Spec::new("rich/no-mode", b"z").mode(0),
        Spec::new("rich/link", b"tool").mode(0o120_777),
        Spec::new("rich/folder/", b"").stored(),
        Spec::new(&format!("{info}/entry_points.txt"),
            b"[console_scripts]\nrich = rich.cli:main\n[gui_scripts]\nrich-gui = rich.gui:App.run\n"),
        Spec::new(&format!("{info}/RECORD.jws"), b"{}"),
        Spec::new(&format!("{info}/INSTALLER"), b"other\n"),
        Spec::new("Rich_Wheel-1.0.data/scripts/rich-tool", b"#!pythonw -u\nprint(1)\n"),
        Spec::new("Rich_Wheel-1.0.data/scripts/rich-sh", b"#!/bin/sh\necho\n"),
        Spec::new("Rich_Wheel-1.0.data/scripts/rich", b"#!python\nold wrapper\n"),
        Spec::new("Rich_Wheel-1.0.data/data/share/man/man1/rich.1", b".TH"),
        Spec::new("Rich_Wheel-1.0.data/data/lib64/rich.cfg", b"c"),
        Spec::new("Rich_Wheel-1.0.data/headers/rich.h", b"#pragma once\n"),
        Spec::new("Rich_Wheel-1.0.data/purelib/pure.py", b"p"),
        Spec::new("Rich_Wheel-1.0.data/platlib/plat.so", b"q"),
    ]);
    let (file, wheel) = wheel("rich-wheel", &specs);
    (file, WheelFile { requested, ..wheel })
}

fn layer(wheels: &[WheelFile]) -> Result<(Vec<u8>, TarSummary, Vec<FileOverlap>), WheelLayerError> {
    let mut out = LayerWriter::new(
        Vec::new(),
        TarOptions {
            mtime: 315_532_800,
            effort: CompressionEffort::Usual,
        },
    );
    // Which wheel it is, the tests know.
    let overlaps = write(wheels, &target(), &[], &mut out).map_err(|error| match error {
        WheelLayerError::Of { source, .. } => *source,
        other => other,
    })?;
    let (bytes, written) = out.finish()?;
    Ok((bytes, written, overlaps))
}

/// Mode and contents by path.
fn files(bytes: &[u8]) -> BTreeMap<String, (u32, String)> {
    let mut archive = ::tar::Archive::new(MultiGzDecoder::new(bytes));
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mode = entry.header().mode().unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (path, (mode, text))
        })
        .collect()
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_wheel_is_installed_as_pip_would() {
    let (_file, wheel) = rich(true);
    let (bytes, _, overlaps) = layer(&[wheel]).unwrap();
    assert_eq!(overlaps, []);
    let files = files(&bytes);
    let plain: Vec<(&str, u32)> = files
        .iter()
        .map(|(path, (mode, _))| (path.strip_prefix("opt/app-root/").unwrap_or(path), *mode))
        .collect();
    let lib = "lib/python3.13/site-packages";
    let info = format!("{lib}/Rich_Wheel-1.0.dist-info");
    let expected: Vec<(String, u32)> = [
        ("opt", 0o755),
        ("", 0o775),
        ("bin", 0o775),
        ("bin/rich", 0o775),
        ("bin/rich-gui", 0o775),
        ("bin/rich-sh", 0o775),
        ("bin/rich-tool", 0o775),
        ("include", 0o775),
        ("include/site", 0o775),
        ("include/site/python3.13", 0o775),
        ("include/site/python3.13/rich-wheel", 0o775),
        ("include/site/python3.13/rich-wheel/rich.h", 0o664),
        ("lib", 0o775),
        ("lib/python3.13", 0o775),
        (lib, 0o775),
        (&info, 0o775),
        (&format!("{info}/INSTALLER"), 0o664),
        (&format!("{info}/METADATA"), 0o664),
        (&format!("{info}/RECORD"), 0o664),
        (&format!("{info}/REQUESTED"), 0o664),
        (&format!("{info}/WHEEL"), 0o664),
        (&format!("{info}/entry_points.txt"), 0o664),
        (&format!("{lib}/plat.so"), 0o664),
        (&format!("{lib}/pure.py"), 0o664),
        (&format!("{lib}/rich"), 0o775),
        (&format!("{lib}/rich/__init__.py"), 0o664),
        (&format!("{lib}/rich/empty.py"), 0o664),
        (&format!("{lib}/rich/large.txt"), 0o664),
        (&format!("{lib}/rich/link"), 0o664),
        (&format!("{lib}/rich/no-mode"), 0o664),
        (&format!("{lib}/rich/stored.py"), 0o664),
        (&format!("{lib}/rich/tool"), 0o775),
        ("lib/rich.cfg", 0o664),
        ("share", 0o775),
        ("share/man", 0o775),
        ("share/man/man1", 0o775),
        ("share/man/man1/rich.1", 0o664),
    ]
    .map(|(path, mode)| (path.to_owned(), mode))
    .to_vec();
    let found: Vec<(String, u32)> = plain
        .iter()
        .map(|(path, mode)| (path.trim_end_matches('/').to_owned(), *mode))
        .collect();
    let mut sorted = found.clone();
    sorted.sort();
    let mut expected_sorted = expected;
    expected_sorted.sort();
    assert_eq!(sorted, expected_sorted);

    let text = |path: &str| files[&format!("opt/app-root/{path}")].1.as_str();
    assert!(text("bin/rich").starts_with("#!/opt/app-root/bin/python\nimport sys\n"));
    assert!(text("bin/rich").contains("from rich.cli import main\n"));
    assert!(text("bin/rich-gui").contains("sys.exit(App.run())"));
    assert_eq!(
        text("bin/rich-tool"),
        "#!/opt/app-root/bin/python\nprint(1)\n"
    );
    assert_eq!(text("bin/rich-sh"), "#!/bin/sh\necho\n");
    assert_eq!(text(&format!("{lib}/rich/stored.py")), "y = 2\n");
    assert_eq!(text(&format!("{info}/INSTALLER")), "s2r\n");
}

#[test]
fn the_record_is_whole_and_true() {
    let (_file, wheel) = rich(true);
    let (bytes, ..) = layer(&[wheel]).unwrap();
    let files = files(&bytes);
    let record_path = format!("{SITE}/Rich_Wheel-1.0.dist-info/RECORD");
    let rows = record::parse(files[&record_path].1.as_bytes()).unwrap();
    let mut listed = Vec::new();
    for (path, row) in &rows {
        let in_image = match path.strip_prefix("../../../") {
            Some(rest) => format!("opt/app-root/{rest}"),
            None => format!("{SITE}/{path}"),
        };
        let contents = &files[&in_image].1;
        if in_image == record_path {
            assert_eq!(*row, record::RecordRow::default());
        } else if path == "rich/__init__.py" {
            // The wheel's own word is kept, even a wrong one.
            assert_eq!(row.hash, "sha256=given");
        } else {
            let sha256 = <sha2::Sha256 as sha2::Digest>::digest(contents).into();
            assert_eq!(
                *row,
                record::RecordRow::of(sha256, contents.len() as u64),
                "{path}"
            );
        }
        listed.push(in_image);
    }
    listed.sort();
    let there: Vec<_> = files
        .keys()
        .filter(|path| !path.ends_with('/'))
        .cloned()
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn pip_comes_without_what_misleads_scanners() {
    let (info, exe) = ("pip-1.0.dist-info", "pip/_vendor/distlib/t64.exe");
    let bom = "pip/_vendor/bom.cdx.json";
    let sbom = format!("{info}/sboms/pip.cdx.json");
    let record = format!("{exe},sha256=x,1\n{bom},sha256=x,1\n{sbom},sha256=x,1\n");
    let installed = |name: &str, info: &str, record: &str, others: &[&str]| {
        let mut specs = basic(info, record);
        specs.extend(others.iter().map(|path| Spec::new(path, b"1")));
        let (_file, wheel) = wheel(name, &specs);
        files(&layer(&[wheel]).unwrap().0)
    };
    let vendored = "pip/_vendor/vendor.txt";
    let found = installed(
        "pip",
        info,
        &record,
        &[exe, bom, &sbom, vendored, "t64.exe"],
    );
    for gone in [exe, bom, &sbom] {
        assert!(!found.contains_key(&format!("{SITE}/{gone}")), "{gone}");
    }
    assert!(found.contains_key(&format!("{SITE}/{vendored}")));
    assert!(found.contains_key(&format!("{SITE}/t64.exe")));
    let (_, record) = &found[&format!("{SITE}/{info}/RECORD")];
    assert!(
        record.contains(vendored) && !record.contains("_vendor/distlib") && !record.contains("cdx"),
        "{record}"
    );
    // What another wheel says of itself is its own affair.
    let sbom = "other-1.0.dist-info/sboms/auditwheel.cdx.json";
    let found = installed("other", "other-1.0.dist-info", "", &[sbom, exe]);
    assert!(found.contains_key(&format!("{SITE}/{sbom}")));
    assert!(found.contains_key(&format!("{SITE}/{exe}")));
}

#[test]
fn the_bytes_are_known() {
    let (_file, wheel) = rich(false);
    let (_, written, _) = layer(&[wheel]).unwrap();
    // A change of the first needs another LAYOUT; the second may change with the deflate library.
    assert_eq!(
        hex(written.diff_sha256),
        "06ab59a9d10933826e59f812fb1a32b4b924d0b69213d1795dd2ed6994671fa0"
    );
    assert_eq!(
        hex(written.sha256),
        "ccbe6d0bdb92aa913acb28fbb1f6e10b8c8a2d0e5d26a7ac1841dadef3a2b98b"
    );
}

#[test]
fn of_two_files_the_later_wheel_has_its_way() {
    let with = |name: &str, contents: &[u8]| {
        let mut specs = basic(&format!("{name}-1.0.dist-info"), "");
        specs.push(Spec::new("tests/__init__.py", contents));
        specs.push(Spec::new("tests/same.py", b"same"));
        wheel(name, &specs)
    };
    let (_one, first) = with("a", b"a");
    let (_other, second) = with("b", b"b");
    let (bytes, _, overlaps) = layer(&[first, second]).unwrap();
    assert_eq!(files(&bytes)[&format!("{SITE}/tests/__init__.py")].1, "b");
    let expected = FileOverlap {
        path: format!("{SITE}/tests/__init__.py"),
        lost: "a".to_owned(),
        kept: "b".to_owned(),
    };
    assert_eq!(overlaps, [expected]);
}

#[test]
fn a_file_is_no_folder() {
    let with = |name: &str, member: &str| {
        let mut specs = basic(&format!("{name}-1.0.dist-info"), "");
        specs.push(Spec::new(member, b"x"));
        wheel(name, &specs)
    };
    let (_one, file) = with("a", "thing");
    let (_other, folder) = with("b", "thing/x.py");
    for order in [[file.clone(), folder.clone()], [folder, file]] {
        assert!(matches!(
            layer(&order),
            Err(WheelLayerError::Conflict { .. })
        ));
    }
}

#[test]
fn wheels_that_are_none_are_refused() {
    let refused = |specs: &[Spec]| {
        let (_file, wheel) = wheel("x", specs);
        layer(&[wheel]).unwrap_err()
    };
    let info = "x-1.0.dist-info";
    let with = |member: &str, contents: &[u8]| {
        let mut specs = basic(info, "");
        specs.push(Spec::new(member, contents));
        refused(&specs)
    };
    assert!(matches!(refused(&[]), WheelLayerError::DistInfo { .. }));
    assert!(matches!(
        with("y-1.0.dist-info/METADATA", b""),
        WheelLayerError::DistInfo { .. }
    ));
    assert!(matches!(
        refused(&basic("xy-1.0.dist-info", "")),
        WheelLayerError::Name { .. }
    ));
    assert!(matches!(
        refused(&basic(info, "")[..2]),
        WheelLayerError::Missing { .. }
    ));
    assert!(matches!(
        refused(&basic(info, "a,b\n")),
        WheelLayerError::Record { .. }
    ));
    assert!(matches!(
        with("x-1.0.data/other/a", b""),
        WheelLayerError::Scheme { .. }
    ));
    assert!(matches!(
        with("x-1.0.data/a", b""),
        WheelLayerError::Scheme { .. }
    ));
    assert!(matches!(with("../a", b""), WheelLayerError::Zip(_)));
    for own in ["data/pyvenv.cfg", "scripts/python", "data/bin/python3.13"] {
        let member = format!("x-1.0.data/{own}");
        assert!(
            matches!(with(&member, b""), WheelLayerError::Reserved { .. }),
            "{own}"
        );
    }
    let entry_points = with(
        &format!("{info}/entry_points.txt"),
        b"[console_scripts]\na = b\n",
    );
    assert!(matches!(entry_points, WheelLayerError::EntryPoints { .. }));
    let mut newer = basic(info, "");
    newer[1] = Spec::new(&format!("{info}/WHEEL"), b"Wheel-Version: 2.0\n");
    assert!(matches!(refused(&newer), WheelLayerError::Metadata { .. }));
}

#[test]
fn damaged_contents_are_refused() {
    for spec in [
        Spec::new("a.py", b"contents"),
        Spec::new("a.py", b"contents").stored(),
    ] {
        let mut specs = basic("x-1.0.dist-info", "a.py,,\n");
        specs.push(Spec { crc32: 1, ..spec });
        let (_file, wheel) = wheel("x", &specs);
        assert!(matches!(
            layer(&[wheel]),
            Err(WheelLayerError::Layer(_) | WheelLayerError::Zip(_))
        ));
    }
}

#[test]
fn the_key_follows_what_determines_the_bytes() {
    let base = || {
        let wheel = |name: &str| WheelFile {
            path: PathBuf::new(),
            name: name.to_owned(),
            version: "1".to_owned(),
            sha256: [1; 32],
            requested: false,
            unpacked: UnpackedBound::default(),
        };
        ([wheel("a"), wheel("b")], target())
    };
    let of = |change: fn(&mut [WheelFile; 2], &mut InstallTarget)| {
        let (mut wheels, mut target) = base();
        change(&mut wheels, &mut target);
        key(&wheels, &target)
    };
    let same = of(|_, _| ());
    assert_eq!(
        same,
        of(|wheels, _| wheels[0].path = PathBuf::from("elsewhere"))
    );
    assert_ne!(same, of(|wheels, _| wheels[0].name = "c".to_owned()));
    assert_ne!(same, of(|wheels, _| wheels[0].sha256[0] = 2));
    assert_ne!(same, of(|wheels, _| wheels[1].requested = true));
    assert_ne!(same, of(|wheels, _| wheels.swap(0, 1)));
    assert_ne!(same, of(|_, target| target.python = "3.11".to_owned()));
    assert_ne!(same, of(|_, target| target.mtime = 0));
}

#[test]
fn contents_are_told_in_short() {
    let wheel = |index: usize| WheelFile {
        path: PathBuf::new(),
        name: format!("package{index}"),
        version: "1.2".to_owned(),
        sha256: [0; 32],
        requested: false,
        unpacked: UnpackedBound::default(),
    };
    let wheels: Vec<_> = (0..60).map(wheel).collect();
    assert_eq!(contents(&wheels[..2]), "package0==1.2 package1==1.2");
    let text = contents(&wheels);
    assert!(text.ends_with(" more") && text.len() < 220, "{text}");
    assert_eq!(contents(&[]), "");
}

#[test]
fn byte_code_lies_beside_its_sources_and_is_listed() {
    use crate::layers::bytecode::{PycValidation, testing::compiled};

    let info = "app-1.0.dist-info";
    let mut specs = basic(info, "");
    specs.extend([
        Spec::new("app/a.py", b"a = 1\n"),
        Spec::new("app/b.py", b"broken("),
        Spec::new("app/tests/c.py", b""),
        Spec::new("app/__pycache__/a.cpython-313.pyc", b"the wheel's own"),
        Spec::new("app-1.0.data/scripts/run.py", b"x"),
    ]);
    let (_kept, app) = wheel("app", &specs);
    let sources = WheelSources::open(&app, &target()).unwrap();
    let listed: Vec<(&[u8], u64)> = sources.files().collect();
    let (a, b) = (format!("{SITE}/app/a.py"), format!("{SITE}/app/b.py"));
    assert_eq!(listed, [(a.as_bytes(), 6), (b.as_bytes(), 7)]);
    assert_eq!(sources.read(1).unwrap(), b"broken(");

    let code = compiled(&[(&a, b"code"), (&b, b"")], PycValidation::Unchecked);
    let mut out = LayerWriter::new(
        Vec::new(),
        TarOptions {
            mtime: 0,
            effort: CompressionEffort::Usual,
        },
    );
    let overlaps = write(&[app], &target(), &[code], &mut out).unwrap();
    assert_eq!(overlaps, []);
    let bytes = out.finish().unwrap().0;
    let mut archive = ::tar::Archive::new(MultiGzDecoder::new(bytes.as_slice()));
    let files: BTreeMap<String, Vec<u8>> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        })
        .collect();
    let pyc = &files[&format!("{SITE}/app/__pycache__/a.cpython-313.pyc")];
    assert!(pyc.ends_with(b"code"), "ours takes the wheel's place");
    assert!(!files.contains_key(&format!("{SITE}/app/__pycache__/b.cpython-313.pyc")));
    let record = String::from_utf8_lossy(&files[&format!("{SITE}/{info}/RECORD")]).into_owned();
    assert!(
        record.contains("app/__pycache__/a.cpython-313.pyc,,\n"),
        "{record}"
    );
}

#[test]
fn byte_code_of_a_replaced_source_goes() {
    use crate::layers::bytecode::{ByteCode, PycValidation, testing::compiled};

    let module = format!("{SITE}/shared.py");
    let of = |name: &str, text: &[u8]| {
        let mut specs = basic(&format!("{name}-1.0.dist-info"), "");
        specs.push(Spec::new("shared.py", text));
        wheel(name, &specs)
    };
    let ((_one_kept, one), (_two_kept, two)) = (of("one", b"1"), of("two", b"22("));
    let code = compiled(&[(&module, b"code")], PycValidation::Unchecked);
    let mut out = LayerWriter::new(
        Vec::new(),
        TarOptions {
            mtime: 0,
            effort: CompressionEffort::Usual,
        },
    );
    let none = ByteCode::default();
    let overlaps = write(&[one, two], &target(), &[code, none], &mut out).unwrap();
    assert_eq!(overlaps.len(), 1);
    let bytes = out.finish().unwrap().0;
    let mut archive = ::tar::Archive::new(MultiGzDecoder::new(bytes.as_slice()));
    let is_compiled = |entry: ::tar::Entry<'_, _>| entry.path_bytes().ends_with(b".pyc");
    assert!(
        !archive
            .entries()
            .unwrap()
            .any(|entry| is_compiled(entry.unwrap()))
    );
}
