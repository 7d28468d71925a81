//! Wheels made on the spot, so that a test knows every byte of what it installs.
//!
//! <https://packaging.python.org/en/latest/specifications/binary-distribution-format/>

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A pure Python wheel that is being put together.
pub(crate) struct Wheel {
    name: String,
    version: String,
    metadata: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Wheel {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            metadata: format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            files: Vec::new(),
        }
    }

    pub(crate) fn requires(mut self, requirement: &str) -> Self {
        writeln!(self.metadata, "Requires-Dist: {requirement}").unwrap();
        self
    }

    pub(crate) fn provides_extra(mut self, extra: &str) -> Self {
        writeln!(self.metadata, "Provides-Extra: {extra}").unwrap();
        self
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.as_bytes().to_vec()));
        self
    }

    /// Adds a file of the `.dist-info` folder.
    pub(crate) fn info(self, name: &str, text: &str) -> Self {
        let path = format!("{}/{name}", self.dist_info());
        self.file(&path, text)
    }

    /// Adds a file of the `.data` folder, such as `scripts/tool`.
    pub(crate) fn data(self, name: &str, text: &str) -> Self {
        let path = format!("{}-{}.data/{name}", self.name, self.version);
        self.file(&path, text)
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn dist_info(&self) -> String {
        format!("{}-{}.dist-info", self.name, self.version)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let info = self.dist_info();
        let mut files = self.files.clone();
        files.push((
            format!("{info}/METADATA"),
            self.metadata.clone().into_bytes(),
        ));
        files.push((
            format!("{info}/WHEEL"),
            b"Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .to_vec(),
        ));
        let mut record = String::new();
        for (path, body) in &files {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(body));
            writeln!(record, "{path},sha256={hash},{}", body.len()).unwrap();
        }
        writeln!(record, "{info}/RECORD,,").unwrap();
        files.push((format!("{info}/RECORD"), record.into_bytes()));

        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o644);
        for (path, body) in &files {
            zip.start_file(path.as_str(), options).unwrap();
            zip.write_all(body).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

/// A wheel `NAME-1.0` of some hundred kilobytes with a file of so many mebibytes of nothing in it.
pub(crate) fn swollen(name: &str, mebibytes: usize) -> Vec<u8> {
    let info = format!("{name}-1.0.dist-info");
    let record = format!("{name}/big.bin,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    let big = {
        let mut deflate =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(9));
        let mut crc = flate2::Crc::new();
        let piece = vec![0; 1 << 20];
        for _ in 0..mebibytes {
            deflate.write_all(&piece).unwrap();
            crc.update(&piece);
        }
        (deflate.finish().unwrap(), crc.sum(), mebibytes << 20, 8_u16)
    };
    let stored = |text: String| {
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        let length = text.len();
        (text.into_bytes(), crc.sum(), length, 0_u16)
    };
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let wheel =
        "Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let members = [
        (format!("{name}/big.bin"), big),
        (format!("{info}/METADATA"), stored(metadata)),
        (format!("{info}/WHEEL"), stored(wheel.to_owned())),
        (format!("{info}/RECORD"), stored(record)),
    ];
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    for (path, (bytes, crc, length, method)) in &members {
        let offset = zip.len();
        let mut header = vec![20, 0, 0, 0];
        header.extend(method.to_le_bytes());
        header.extend([0, 0, 0x21, 0]);
        header.extend(crc.to_le_bytes());
        header.extend(word(bytes.len()));
        header.extend(word(*length));
        header.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        header.extend([0, 0]);
        zip.extend(b"PK\x03\x04");
        zip.extend(&header);
        zip.extend(path.as_bytes());
        zip.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&header);
        directory.extend([0; 10]);
        directory.extend(word(offset));
        directory.extend(path.as_bytes());
    }
    let (start, length) = (zip.len(), directory.len());
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0\x04\0\x04\0");
    zip.extend(word(length));
    zip.extend(word(start));
    zip.extend([0, 0]);
    zip
}
