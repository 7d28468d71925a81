//! An OCI image layout in a folder (image-spec, image-layout.md): `-o oci:DIR[:tag]`.
//!
//! An image is added beside those already there; one under the same name is replaced in the index, its
//! blobs stay for whoever else names them. Blobs are copied, not linked: a link would let a user who
//! edits the layout edit the store. They are hashed on the way: what is damaged in the store does not
//! leave it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::destination::blob::OpenBlob;
use crate::destination::{BlobSource, ExportError, PushImage};
use crate::oci::{Descriptor, MediaType};

/// The content of the file `oci-layout`.
pub(super) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// Names an image in an index.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Temporary files begin so; one that is left over belongs to a writer that was stopped.
const TEMPORARY: &str = ".s2r-";
/// A layout's index, and the file that marks a layout, are not larger.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// Adds an image to the layout in `dir`, which is made if it is not there or empty; under `name` (a
/// tag), or without one. A folder of other things is refused, and stays as it is.
pub(crate) fn write(
    dir: &Path,
    name: Option<&str>,
    image: &PushImage,
    blobs: &dyn BlobSource,
) -> Result<(), ExportError> {
    let _lock = begin(dir)?;
    let folder = dir.join("blobs/sha256");
    fs::create_dir_all(&folder).map_err(target(&folder))?;
    for blob in image.blobs() {
        let to = folder.join(blob.digest.hex());
        if fs::metadata(&to).is_ok_and(|found| found.len() == blob.size) {
            continue;
        }
        let from = OpenBlob::open(blobs, blob)?;
        let mut file = temporary(&folder).map_err(target(&folder))?;
        from.copy_to(file.as_file_mut(), target(&to))?;
        file.persist(&to)
            .map_err(|error| target(&to)(error.error))?;
    }
    let manifest = image.descriptor();
    let to = folder.join(manifest.digest.hex());
    put(&folder, &to, |file| file.write_all(&image.manifest))?;
    let path = dir.join("index.json");
    let index = match read(&path)? {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| ExportError::NotALayout { path: path.clone() })?,
        None => {
            json!({"schemaVersion": 2, "mediaType": MediaType::Index.as_str(), "manifests": []})
        }
    };
    let merged = merge(index, &manifest, name)
        .ok_or_else(|| ExportError::NotALayout { path: path.clone() })?;
    let bytes = to_json("index.json", &merged)?;
    put(dir, &path, |file| file.write_all(&bytes))
}

/// Locks the folder against another writer, and marks it as a layout or sees that it is one.
fn begin(dir: &Path) -> Result<File, ExportError> {
    fs::create_dir_all(dir).map_err(target(dir))?;
    // The folder and not a file in it, because files in it are replaced.
    let lock = File::open(dir).map_err(target(dir))?;
    lock.lock().map_err(target(dir))?;
    let path = dir.join("oci-layout");
    match read(&path)? {
        None if !is_empty(dir)? => {
            return Err(ExportError::NotALayout {
                path: dir.to_owned(),
            });
        }
        None => put(dir, &path, |file| file.write_all(OCI_LAYOUT.as_bytes()))?,
        Some(bytes) => {
            let version: Option<Value> = serde_json::from_slice(&bytes).ok();
            if version
                .as_ref()
                .and_then(|version| version.get("imageLayoutVersion"))
                != Some(&json!("1.0.0"))
            {
                return Err(ExportError::NotALayout { path });
            }
        }
    }
    Ok(lock)
}

/// Whether nothing is in a folder, temporary files left over aside.
fn is_empty(dir: &Path) -> Result<bool, ExportError> {
    for found in fs::read_dir(dir).map_err(target(dir))? {
        let name = found.map_err(target(dir))?.file_name();
        if !name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The index with the image in it, everything else in it as it was. `None` if it is no index.
fn merge(mut index: Value, manifest: &Descriptor, name: Option<&str>) -> Option<Value> {
    let manifests = index
        .as_object_mut()?
        .entry("manifests")
        .or_insert_with(|| json!([]))
        .as_array_mut()?;
    let digest = manifest.digest.to_string();
    let named = |entry: &Value| {
        entry
            .pointer(&format!("/annotations/{REF_NAME}"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    manifests.retain(|entry| {
        let same_digest = entry.get("digest").and_then(Value::as_str) == Some(digest.as_str());
        match name {
            Some(name) => named(entry).as_deref() != Some(name),
            None => !(same_digest && named(entry).is_none()),
        }
    });
    manifests.push(entry(manifest, name));
    Some(index)
}

/// An index's entry for a manifest.
pub(super) fn entry(manifest: &Descriptor, name: Option<&str>) -> Value {
    let mut entry = Map::new();
    entry.insert("mediaType".to_owned(), json!(manifest.media_type.as_str()));
    entry.insert("digest".to_owned(), json!(manifest.digest.to_string()));
    entry.insert("size".to_owned(), json!(manifest.size));
    if let Some(name) = name {
        entry.insert("annotations".to_owned(), json!({ REF_NAME: name }));
    }
    Value::Object(entry)
}

pub(super) fn to_json(document: &'static str, value: &Value) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|source| ExportError::Json { document, source })
}

/// A small file, or `None` if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ExportError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(target(path)(error)),
        Ok(found) if found.len() > MAX_INDEX_BYTES => {
            return Err(ExportError::NotALayout {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    fs::read(path).map(Some).map_err(target(path))
}

/// Writes a file whole or not at all, with the rights that a new file has here.
pub(super) fn put(
    folder: &Path,
    to: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut file = temporary(folder).map_err(target(folder))?;
    write(file.as_file_mut()).map_err(target(to))?;
    file.persist(to).map_err(|error| target(to)(error.error))?;
    Ok(())
}

/// A temporary file in `folder`; gone when dropped.
pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

/// Puts a path to an error.
pub(super) fn target(path: &Path) -> impl Fn(io::Error) -> ExportError {
    let path: PathBuf = path.to_owned();
    move |source| ExportError::Target {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::testing::{BlobFolder, image};
    use crate::oci::{Digest, ImageIndex};

    fn names(dir: &Path) -> Vec<(Option<String>, Digest)> {
        let index = ImageIndex::from_bytes(&fs::read(dir.join("index.json")).unwrap()).unwrap();
        let name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
        index
            .manifests
            .iter()
            .map(|entry| (name(entry), entry.digest))
            .collect()
    }

    #[test]
    fn images_live_side_by_side() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let dir = dir.path().join("new/layout");
        let (first, second) = (
            image(&folder, "c1", &[b"base"]),
            image(&folder, "c2", &[b"base", b"s"]),
        );
        write(&dir, Some("a"), &first, &folder).unwrap();
        write(&dir, Some("b"), &first, &folder).unwrap();
        write(&dir, None, &first, &folder).unwrap();
        write(&dir, None, &first, &folder).unwrap();
        write(&dir, Some("a"), &second, &folder).unwrap();
        let (one, two) = (Digest::of(&first.manifest), Digest::of(&second.manifest));
        let expected = [
            (Some("b".to_owned()), one),
            (None, one),
            (Some("a".to_owned()), two),
        ];
        assert_eq!(names(&dir), expected);
        assert_eq!(
            fs::read_to_string(dir.join("oci-layout")).unwrap(),
            OCI_LAYOUT
        );
        for blob in second.blobs() {
            let bytes = fs::read(dir.join("blobs/sha256").join(blob.digest.hex())).unwrap();
            assert_eq!(Digest::of(&bytes), blob.digest);
        }
        let left_over = fs::read_dir(dir.join("blobs/sha256"))
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with('.')
            });
        assert_eq!(left_over.count(), 0);
    }

    #[test]
    fn foreign_fields_stay() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        fs::write(dir.path().join("oci-layout"), OCI_LAYOUT).unwrap();
        let foreign = r#"{"schemaVersion":2,"x":1,"manifests":[{"digest":"sha512:00","y":[2]}]}"#;
        fs::write(dir.path().join("index.json"), foreign).unwrap();
        write(
            dir.path(),
            Some("a"),
            &image(&folder, "c", &[b"l"]),
            &folder,
        )
        .unwrap();
        let index = fs::read(dir.path().join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        assert_eq!(index["x"], json!(1));
        assert_eq!(
            index["manifests"][0],
            json!({"digest": "sha512:00", "y": [2]})
        );
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_folder_of_other_things_is_refused() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let image = image(&folder, "c", &[b"l"]);
        fs::write(dir.path().join("notes"), "mine").unwrap();
        let error = write(dir.path(), None, &image, &folder).unwrap_err();
        assert!(
            matches!(&error, ExportError::NotALayout { path } if path == dir.path()),
            "{error:?}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // What a writer left that was stopped early is no hindrance, nor is an empty folder.
        fs::rename(dir.path().join("notes"), dir.path().join(".s2r-x")).unwrap();
        write(dir.path(), None, &image, &folder).unwrap();
    }

    #[test]
    fn a_damaged_blob_does_not_leave_the_store() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let image = image(&folder, "c", &[b"l"]);
        let digest = Digest::of(b"l");
        fs::write(folder.path(&digest), "L").unwrap();
        let error = write(dir.path(), None, &image, &folder).unwrap_err();
        assert!(
            matches!(&error, ExportError::Blob(crate::destination::BlobError::Damaged { digest: named, .. }) if *named == digest),
            "{error:?}"
        );
        assert!(!dir.path().join("index.json").exists());
        let blobs = fs::read_dir(dir.path().join("blobs/sha256")).unwrap();
        assert_eq!(blobs.count(), 0);
    }

    #[test]
    fn what_is_no_layout_stays_untouched() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let image = image(&folder, "c", &[b"l"]);
        fs::write(
            dir.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"2.0.0"}"#,
        )
        .unwrap();
        let error = write(dir.path(), None, &image, &folder).unwrap_err();
        assert!(matches!(error, ExportError::NotALayout { .. }), "{error:?}");
        fs::write(dir.path().join("oci-layout"), OCI_LAYOUT).unwrap();
        fs::write(dir.path().join("index.json"), "[]").unwrap();
        let error = write(dir.path(), None, &image, &folder).unwrap_err();
        assert!(matches!(error, ExportError::NotALayout { .. }), "{error:?}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file, None, &image, &folder).unwrap_err();
        assert!(matches!(error, ExportError::Target { .. }), "{error:?}");
        fs::remove_file(folder.path(&Digest::of(b"l"))).unwrap();
        let error = write(&dir.path().join("other"), None, &image, &folder).unwrap_err();
        assert!(
            matches!(
                error,
                ExportError::Blob(crate::destination::BlobError::Unreadable { .. })
            ),
            "{error:?}"
        );
    }
}
