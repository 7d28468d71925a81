//! Compressed bytes of large files, found in the layers that they were written to: a file that has moved, or is in
//! another project too, is not compressed again.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};

use serde::{Deserialize, Serialize};

use crate::archive::tar::{DeflateSummary, MemberPlace, TarOptions};
use crate::layers::source::{KnownMember, KnownMembers};
use crate::oci::{Key, KeyBuilder};
use crate::store::{FileState, Store};

/// The record kind of where files are.
const RECORD: &str = "compressed";

/// The compressed bytes that a store has, for a layer that is being written.
pub(crate) struct CompressedFiles<'a> {
    pub store: &'a Store,
    pub tar: TarOptions,
    pub key: Key,
}

/// Where the compressed bytes of a file are.
#[derive(Serialize, Deserialize)]
struct FilePlace {
    layer: Key,
    /// Of their gzip member.
    offset: u64,
    length: u64,
}

impl CompressedFiles<'_> {
    fn key_of(&self, sha256: &[u8; 32]) -> Key {
        KeyBuilder::new("compressed/1")
            .field(sha256)
            .field(&self.tar.effort.deflate_level().to_le_bytes())
            .finish()
    }

    fn open(&self, sha256: &[u8; 32], size_bytes: u64) -> Option<KnownMember> {
        let record = self.store.record(RECORD, &self.key_of(sha256)).ok()??;
        let place: FilePlace = serde_json::from_slice(&record).ok()?;
        let layer = self.store.layer(&place.layer)?;
        // Its bytes were those of the file when the layer was written: they are if the layer is what it was.
        let state = self.store.drop_damaged(&layer.digest).ok()?;
        if state != FileState::Sound {
            return None;
        }
        let path = self.store.blob_path(&layer.digest);
        let place = MemberPlace {
            offset: place.offset,
            length: place.length,
        };
        let mut file = File::open(path).ok()?;
        let mut crc32 = [0; 4];
        file.seek(SeekFrom::Start(place.trailer_offset()?)).ok()?;
        file.read_exact(&mut crc32).ok()?;
        file.seek(SeekFrom::Start(place.stream_offset())).ok()?;
        Some(KnownMember {
            deflated: DeflateSummary {
                size: size_bytes,
                compressed_size: place.stream_bytes()?,
                crc32: u32::from_le_bytes(crc32),
            },
            stream: Box::new(BufReader::new(file)),
        })
    }
}

impl KnownMembers for CompressedFiles<'_> {
    fn find(&self, sha256: &[u8; 32], size_bytes: u64) -> Option<KnownMember> {
        self.open(sha256, size_bytes)
    }

    fn note(&self, sha256: &[u8; 32], place: MemberPlace) {
        let place = FilePlace {
            layer: self.key,
            offset: place.offset,
            length: place.length,
        };
        if let Ok(record) = serde_json::to_vec(&place) {
            // That it is not kept is no reason not to build.
            let _ = self.store.put_record(RECORD, &self.key_of(sha256), &record);
        }
    }
}
