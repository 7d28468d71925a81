//! Archive files: an OCI layout in a tar (`oci-archive:`), and the format of `docker save`
//! (`docker-archive:`: `manifest.json`, the config, one file a layer; moby's image/spec v1.2).
//!
//! Same image, same bytes: fixed order, times 0, owner 0. Layers stay compressed in both, as they are; docker,
//! podman and skopeo look at the bytes and not at the name. zstd is read by docker from version 23 on.

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde_json::json;
use tar::{EntryType, Header};

use crate::destination::blob::OpenBlob;
use crate::destination::layout::{self, OCI_LAYOUT};
use crate::destination::{BlobSource, ExportError, PushImage};
use crate::oci::{Descriptor, MediaType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    /// An OCI image layout in a tar.
    Oci,
    /// What `docker load` reads.
    Docker,
}

/// Writes an archive file, whole or not at all. `name` is the tag in an OCI archive, and `name:tag`
/// in a docker archive.
pub(crate) fn write_file(
    path: &Path,
    format: ArchiveFormat,
    name: Option<&str>,
    image: &PushImage,
    blobs: &dyn BlobSource,
) -> Result<(), ExportError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = layout::temporary(folder).map_err(layout::target(folder))?;
    write(file.as_file_mut(), format, name, image, blobs).map_err(|error| match error {
        ExportError::Stream(source) => layout::target(path)(source),
        other => other,
    })?;
    file.persist(path)
        .map_err(|error| layout::target(path)(error.error))?;
    Ok(())
}

/// Writes an archive to a stream.
pub(crate) fn write(
    sink: &mut dyn Write,
    format: ArchiveFormat,
    name: Option<&str>,
    image: &PushImage,
    blobs: &dyn BlobSource,
) -> Result<(), ExportError> {
    let mut archive = ArchiveWriter {
        sink: BufWriter::with_capacity(64 << 10, sink),
    };
    match format {
        ArchiveFormat::Oci => archive.oci(name, image, blobs)?,
        ArchiveFormat::Docker => archive.docker(name, image, blobs)?,
    }
    // A tar ends in two blocks of zeros.
    archive
        .sink
        .write_all(&[0; 1024])
        .map_err(ExportError::Stream)?;
    archive.sink.flush().map_err(ExportError::Stream)
}

struct ArchiveWriter<'a> {
    sink: BufWriter<&'a mut dyn Write>,
}

impl ArchiveWriter<'_> {
    fn oci(
        &mut self,
        name: Option<&str>,
        image: &PushImage,
        blobs: &dyn BlobSource,
    ) -> Result<(), ExportError> {
        let manifest = image.descriptor();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::Index.as_str(),
            "manifests": [layout::entry(&manifest, name)],
        });
        self.bytes("oci-layout", OCI_LAYOUT.as_bytes())?;
        self.bytes("index.json", &layout::to_json("index.json", &index)?)?;
        self.folder("blobs/")?;
        self.folder("blobs/sha256/")?;
        let mut all = image.blobs();
        all.push(&manifest);
        all.sort_by_key(|blob| blob.digest);
        for blob in all {
            let path = format!("blobs/sha256/{}", blob.digest.hex());
            if blob.digest == manifest.digest {
                self.bytes(&path, &image.manifest)?;
            } else {
                self.blob(&path, blob, blobs)?;
            }
        }
        Ok(())
    }

    fn docker(
        &mut self,
        name: Option<&str>,
        image: &PushImage,
        blobs: &dyn BlobSource,
    ) -> Result<(), ExportError> {
        let layer = |blob: &Descriptor| {
            let ending = match blob.media_type {
                MediaType::LayerZstd => "zst",
                _ => "gz",
            };
            format!("{}.tar.{ending}", blob.digest.hex())
        };
        let config = format!("{}.json", image.config.digest.hex());
        let layers: Vec<String> = image.layers.iter().map(layer).collect();
        let tags: Vec<&str> = name.into_iter().collect();
        let manifest = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
        self.bytes(
            "manifest.json",
            &layout::to_json("manifest.json", &manifest)?,
        )?;
        for blob in image.blobs() {
            let path = if blob.digest == image.config.digest {
                config.clone()
            } else {
                layer(blob)
            };
            self.blob(&path, blob, blobs)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: &str) -> Result<(), ExportError> {
        self.header(path, 0, EntryType::Directory)
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.header(path, bytes.len() as u64, EntryType::Regular)?;
        self.sink.write_all(bytes).map_err(ExportError::Stream)?;
        self.pad(bytes.len() as u64)
    }

    fn blob(
        &mut self,
        path: &str,
        blob: &Descriptor,
        blobs: &dyn BlobSource,
    ) -> Result<(), ExportError> {
        let from = OpenBlob::open(blobs, blob)?;
        self.header(path, blob.size, EntryType::Regular)?;
        from.copy_to(&mut self.sink, ExportError::Stream)?;
        self.pad(blob.size)
    }

    fn header(&mut self, path: &str, size: u64, kind: EntryType) -> Result<(), ExportError> {
        let mut header = Header::new_ustar();
        header.set_path(path).map_err(ExportError::Stream)?;
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.sink
            .write_all(header.as_bytes())
            .map_err(ExportError::Stream)
    }

    fn pad(&mut self, size: u64) -> Result<(), ExportError> {
        let rest = (512 - size % 512) % 512;
        io::copy(&mut io::repeat(0).take(rest), &mut self.sink)
            .map(drop)
            .map_err(ExportError::Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::testing::{BlobFolder, image};
    use crate::oci::Digest;

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn archive(format: ArchiveFormat, image: &PushImage, folder: &BlobFolder) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, format, Some("x:1"), image, folder).unwrap();
        bytes
    }

    fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (
                entry.path().unwrap().to_string_lossy().into_owned(),
                content,
            )
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_oci_archive_is_a_layout() {
        let folder = BlobFolder::new();
        let image = image(&folder, "c", &[b"base", &[7; 512], b"base"]);
        let bytes = archive(ArchiveFormat::Oci, &image, &folder);
        assert_eq!(bytes, archive(ArchiveFormat::Oci, &image, &folder));
        assert_eq!(bytes.len() % 512, 0);
        let all = entries(&bytes);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names[..4],
            ["oci-layout", "index.json", "blobs/", "blobs/sha256/"]
        );
        assert_eq!(names.len(), 8);
        assert!(names[4..].is_sorted());
        for (name, content) in &all[4..] {
            assert_eq!(*name, format!("blobs/sha256/{}", Digest::of(content).hex()));
        }
        assert!(all[1].1.windows(5).any(|window| window == b"\"x:1\""));
    }

    #[test]
    fn a_docker_archive_names_each_layer() {
        let folder = BlobFolder::new();
        let image = image(&folder, "c", &[b"base", b"top", b"base"]);
        let all = entries(&archive(ArchiveFormat::Docker, &image, &folder));
        assert_eq!(all.len(), 4);
        let (base, top) = (Digest::of(b"base").hex(), Digest::of(b"top").hex());
        let config = format!("{}.json", Digest::of(b"c").hex());
        let layers = [&base, &top, &base].map(|hex| format!("{hex}.tar.gz"));
        let manifest: serde_json::Value = serde_json::from_slice(&all[0].1).unwrap();
        assert_eq!(all[0].0, "manifest.json");
        assert_eq!(
            manifest,
            json!([{"Config": config, "RepoTags": ["x:1"], "Layers": layers}])
        );
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let image = image(&folder, "c", &[b"base"]);
        let path = dir.path().join("x.tar");
        write_file(&path, ArchiveFormat::Oci, None, &image, &folder).unwrap();
        let before = std::fs::read(&path).unwrap();
        for damaged in ["longer than it was", "Base"] {
            std::fs::write(folder.path(&Digest::of(b"base")), damaged).unwrap();
            let error = write_file(&path, ArchiveFormat::Oci, None, &image, &folder).unwrap_err();
            assert!(
                matches!(
                    error,
                    ExportError::Blob(crate::destination::BlobError::Damaged { .. })
                ),
                "{error:?}"
            );
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("no/x.tar");
        let error = write_file(&nowhere, ArchiveFormat::Oci, None, &image, &folder).unwrap_err();
        assert!(error.to_string().contains("no"), "{error}");
        let whole = self::image(&folder, "c", &[b"base"]);
        let error = write(&mut Full, ArchiveFormat::Oci, None, &whole, &folder).unwrap_err();
        assert!(matches!(error, ExportError::Stream(_)), "{error:?}");
    }
}
