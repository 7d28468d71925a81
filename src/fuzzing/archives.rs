//! Archives and what is made of them.

use std::io::{Cursor, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use super::tars::{check_layer, unpacked, with_checksums, writer};
use super::{file, section, sections};
use crate::archive::UnpackedBound;
use crate::archive::ar::ArReader;
use crate::archive::gzip::MemberWriter;
use crate::archive::tar::path_fault;
use crate::archive::zip::testing::{Spec, zip as zip_of};
use crate::archive::zip::{CompressionMethod, ZipArchive};
use crate::layers::{deb as deb_layer, unpack, wheel as wheel_layer};
use crate::oci::Architecture;
use crate::packages::Sha256;
use crate::packages::debian::DebArtefact;
use crate::report::{SilentReport, TransferId};
use crate::source::unpack::UnpackRequest;

/// Contents that are read of one archive.
const MAX_READ_BYTES: u64 = 4 << 20;
/// Files that are put into an archive.
const MAX_FILES: usize = 64;

/// The zip reader: what it takes is what the directory announces, and can be copied into a layer as it is.
pub fn zip(bytes: &[u8]) {
    let file = file(bytes);
    for archive in [
        ZipArchive::open(file.path(), UnpackedBound::default()),
        ZipArchive::open_of_any_system(file.path(), UnpackedBound::default()),
    ] {
        let Ok(archive) = archive else { continue };
        let mut left_bytes = MAX_READ_BYTES;
        for member in archive.members() {
            assert!(path_fault(member.name.as_bytes()).is_none());
            assert_eq!(archive.member(&member.name), Some(member));
            let Ok(contents) = archive.read(member, left_bytes) else {
                continue;
            };
            left_bytes -= contents.len() as u64;
            assert_eq!(contents.len() as u64, member.deflated.size);
            if member.method == CompressionMethod::Deflated {
                let mut members = MemberWriter::new(Vec::new(), 1);
                members
                    .copy(member.deflated, &mut archive.raw(member), |_| ())
                    .unwrap();
                let mut copied = Vec::new();
                MultiGzDecoder::new(&members.finish().unwrap().0[..])
                    .read_to_end(&mut copied)
                    .unwrap();
                assert_eq!(copied, contents);
            }
        }
    }
}

/// A wheel becomes a layer. The input is a zip, or the files of one: a name that ends in `*` is
/// executable, one that ends in `/` a folder.
pub fn wheel(bytes: &[u8]) {
    let archive = if bytes.starts_with(b"PK") {
        bytes.to_vec()
    } else {
        packed(bytes)
    };
    let file = file(&archive);
    let wheel = wheel_layer::WheelFile {
        path: file.path().to_owned(),
        name: "demo".to_owned(),
        version: "1.0".to_owned(),
        sha256: [0; 32],
        requested: true,
        unpacked: UnpackedBound::default(),
    };
    let target = wheel_layer::InstallTarget {
        prefix: "opt/app-root".to_owned(),
        python: "3.13".to_owned(),
        uid: 1001,
        gid: 0,
        mtime: 315_532_800,
        bytecode: None,
    };
    let mut out = writer();
    if wheel_layer::write(std::slice::from_ref(&wheel), &target, &[], &mut out).is_ok() {
        let (layer, written) = out.finish().unwrap();
        check_layer(&layer, &written);
    }
    if let Ok(sources) = wheel_layer::WheelSources::open(&wheel, &target) {
        for index in 0..sources.files().count().min(MAX_FILES) {
            let _ = sources.read(index);
        }
    }
}

/// A zip of the files in an input.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let files = sections(bytes).into_iter().skip(1).take(MAX_FILES);
    let specs: Vec<Spec> = files
        .map(|(name, contents)| {
            let plain = name.strip_suffix(b"*");
            let mode = if plain.is_some() {
                0o100_755
            } else {
                0o100_644
            };
            let name = plain.unwrap_or(name);
            let name = &name[..name.len().min(5000)];
            let spec = Spec {
                name: name.to_vec(),
                local_name: name.to_vec(),
                ..Spec::new("", contents)
            };
            if name.ends_with(b"/") {
                spec.stored()
            } else {
                spec.mode(mode)
            }
        })
        .collect();
    zip_of(&specs)
}

/// An archive of a source that is a tar, compressed or not, as it comes on standard input.
pub fn source_tar(bytes: &[u8]) {
    for bytes in [bytes, &with_checksums(bytes)] {
        let unpacked = unpacked(|folder| {
            let _ = unpacking(folder).stream(Cursor::new(bytes));
        });
        for (path, metadata) in unpacked {
            let kind = metadata.file_type();
            assert!(
                kind.is_file() || kind.is_dir() || kind.is_symlink(),
                "{}",
                path.display()
            );
        }
    }
}

/// An archive of a source that is a file: a zip, or a tar.
pub fn source_zip(bytes: &[u8]) {
    let file = file(bytes);
    let unpacked = unpacked(|folder| {
        let _ = unpacking(folder).file(file.path(), None);
    });
    for (path, metadata) in unpacked {
        let kind = metadata.file_type();
        assert!(
            kind.is_file() || kind.is_dir() || kind.is_symlink(),
            "{}",
            path.display()
        );
    }
}

fn unpacking(into: &std::path::Path) -> UnpackRequest<'_> {
    UnpackRequest {
        into,
        shown: "app.tar",
        unpacked: UnpackedBound::default(),
        report: &SilentReport,
        transfer: TransferId(0),
    }
}

/// A layer of a registry is unpacked for a step: all devices in it are marks of removed paths.
pub fn layer(bytes: &[u8]) {
    for bytes in [bytes, &with_checksums(bytes)] {
        let unpacked = unpacked(|folder| {
            let _ = unpack::unpack(bytes, folder, None);
        });
        for (path, metadata) in unpacked {
            let kind = metadata.file_type();
            let is_mark = kind.is_char_device() && metadata.rdev() == 0;
            let is_usual = kind.is_file() || kind.is_dir() || kind.is_symlink();
            assert!(is_usual || is_mark, "{}", path.display());
        }
    }
}

/// The outer archive of Debian packages: members lie within it.
pub fn ar(bytes: &[u8]) {
    let Ok(mut reader) = ArReader::new(bytes) else {
        return;
    };
    let mut total_bytes = 0;
    while let Ok(Some(member)) = reader.next() {
        assert!(!member.name.is_empty() && !member.name.contains('/'));
        let mut contents = Vec::new();
        if reader.read_to_end(&mut contents).is_err() {
            return;
        }
        assert_eq!(contents.len() as u64, member.size_bytes);
        total_bytes += contents.len();
        assert!(total_bytes <= bytes.len());
    }
}

/// A Debian package becomes a layer. The input is a package, or its control file and the tar of its
/// files in the sections `control` and `data`.
pub fn deb(bytes: &[u8]) {
    let package = if bytes.starts_with(b"!<arch>") {
        bytes.to_vec()
    } else {
        package(bytes)
    };
    let file = file(&package);
    let artefact = DebArtefact {
        package: "tool".to_owned(),
        version: "1".to_owned(),
        architecture: "amd64".to_owned(),
        url: String::new(),
        snapshot_url: None,
        sha256: Sha256([0; 32]),
        size: 0,
    };
    let options = deb_layer::BaseOptions {
        architecture: Architecture::Amd64,
        python: "3.13".to_owned(),
        locale: None,
        mtime: 315_532_800,
    };
    let spool = tempfile::tempdir().unwrap();
    let own: [(DebArtefact, PathBuf); 1] = [(artefact, file.path().to_owned())];
    let packages = deb_layer::PackageFiles {
        own: &own,
        beside: &[],
    };
    for part in [deb_layer::BasePart::Added, deb_layer::BasePart::System] {
        let mut out = writer();
        if deb_layer::write(part, packages, &options, spool.path(), &mut out).is_ok() {
            let (layer, written) = out.finish().unwrap();
            check_layer(&layer, &written);
        }
    }
}

/// A package of the sections of an input.
fn package(bytes: &[u8]) -> Vec<u8> {
    let control = section(bytes, "control").unwrap_or_default();
    let data = sections(bytes)
        .into_iter()
        .find(|(name, _)| *name == b"data");
    let data = with_checksums(data.map_or(&[][..], |(_, contents)| contents));
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "control", control.as_bytes())
        .unwrap();
    let control = builder.into_inner().unwrap();
    let mut package = b"!<arch>\n".to_vec();
    for (name, contents) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar", &control),
        ("data.tar", &data),
    ] {
        let length = contents.len();
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n",
            0, 0, 0, 644
        );
        package.extend(header.bytes());
        package.extend_from_slice(contents);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    package
}
