//! A tiny zip writer for tests: it can also write what the reader must refuse.

#![expect(
    clippy::unwrap_used,
    reason = "for tests, and for fuzz targets, where a panic is a find"
)]

use std::io::Read as _;

use flate2::Compression;
use flate2::read::DeflateEncoder;

use crate::archive::gzip::crc32;

/// One member to write; change what should be wrong.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: Vec<u8>,
    pub(crate) local_name: Vec<u8>,
    pub(crate) contents: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) mode: u32,
    pub(crate) crc32: u32,
    pub(crate) zip64: bool,
    pub(crate) descriptor: bool,
}

impl Spec {
    pub(crate) fn new(name: &str, contents: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            local_name: name.as_bytes().to_vec(),
            contents: contents.to_vec(),
            method: 8,
            flags: 1 << 11,
            mode: 0o100_644,
            crc32: crc32(contents),
            zip64: false,
            descriptor: false,
        }
    }

    pub(crate) fn stored(self) -> Self {
        Self { method: 0, ..self }
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }
}

/// The archive with these members.
pub(crate) fn zip(specs: &[Spec]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut central = Vec::new();
    for spec in specs {
        let offset = out.len();
        let mut data = Vec::new();
        if spec.method == 8 {
            DeflateEncoder::new(spec.contents.as_slice(), Compression::new(6))
                .read_to_end(&mut data)
                .unwrap();
        } else {
            data.clone_from(&spec.contents);
        }
        let size = u32::try_from(spec.contents.len()).unwrap();
        let compressed = u32::try_from(data.len()).unwrap();
        let flags = spec.flags | if spec.descriptor { 8 } else { 0 };
        out.extend_from_slice(b"PK\x03\x04\x14\0");
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&spec.method.to_le_bytes());
        out.extend_from_slice(&[0, 0, 0x21, 0]);
        let in_local = if spec.descriptor {
            [0; 3]
        } else {
            [spec.crc32, compressed, size]
        };
        for number in in_local {
            out.extend_from_slice(&u32::to_le_bytes(number));
        }
        out.extend_from_slice(&u16::try_from(spec.local_name.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&spec.local_name);
        out.extend_from_slice(&data);
        if spec.descriptor {
            out.extend_from_slice(b"PK\x07\x08");
            for number in [spec.crc32, compressed, size] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut extra = Vec::new();
        if spec.zip64 {
            extra.extend_from_slice(&[1, 0, 24, 0]);
            for wide in [u64::from(size), u64::from(compressed), offset as u64] {
                extra.extend_from_slice(&wide.to_le_bytes());
            }
        }
        let narrow = |number: u32| if spec.zip64 { u32::MAX } else { number };
        central.extend_from_slice(b"PK\x01\x02\x14\x03\x14\0");
        central.extend_from_slice(&flags.to_le_bytes());
        central.extend_from_slice(&spec.method.to_le_bytes());
        central.extend_from_slice(&[0, 0, 0x21, 0]);
        for number in [spec.crc32, narrow(compressed), narrow(size)] {
            central.extend_from_slice(&number.to_le_bytes());
        }
        central.extend_from_slice(&u16::try_from(spec.name.len()).unwrap().to_le_bytes());
        central.extend_from_slice(&u16::try_from(extra.len()).unwrap().to_le_bytes());
        central.extend_from_slice(&[0; 6]);
        central.extend_from_slice(&(spec.mode << 16).to_le_bytes());
        central.extend_from_slice(&narrow(u32::try_from(offset).unwrap()).to_le_bytes());
        central.extend_from_slice(&spec.name);
        central.extend_from_slice(&extra);
    }
    let zip64 = specs.iter().any(|spec| spec.zip64);
    end(out, &central, specs.len(), zip64)
}

fn end(mut out: Vec<u8>, central: &[u8], count: usize, zip64: bool) -> Vec<u8> {
    let offset = out.len();
    out.extend_from_slice(central);
    if zip64 {
        let record = out.len() as u64;
        out.extend_from_slice(b"PK\x06\x06");
        out.extend_from_slice(&44_u64.to_le_bytes());
        out.extend_from_slice(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [count, count, central.len(), offset] {
            out.extend_from_slice(&(number as u64).to_le_bytes());
        }
        out.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        out.extend_from_slice(&record.to_le_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
    }
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let count = if zip64 {
        u16::MAX
    } else {
        u16::try_from(count).unwrap()
    };
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for number in [central.len(), offset] {
        let number = if zip64 {
            u32::MAX
        } else {
            u32::try_from(number).unwrap()
        };
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&[0, 0]);
    out
}
