//! The labels that a project's own assemble script asks for: `image_metadata.json` in `/tmp/.s2i`, as the `s2i`
//! command reads it. An object whose `labels` is an array of objects, each from names to texts; of one name the last
//! counts.
//!
//! The file is the step's: it is read without following a link, and within a bound.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::report::{ErrorClass, Explain, Explanation};

/// Where a step finds the folder that the file is to lie in.
pub(super) const FOLDER: &str = "/tmp/.s2i";
const FILE: &str = "image_metadata.json";
/// `s2i` itself refuses labels of more than 10 KiB.
const MAX_BYTES: u64 = 64 << 10;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageMetadataError {
    /// A link, a folder, a pipe.
    #[error("{FOLDER}/{FILE} is no regular file")]
    NoFile,
    #[error("{FOLDER}/{FILE} is longer than {MAX_BYTES} bytes")]
    Long,
    #[error("{FOLDER}/{FILE} does not hold labels: {reason}")]
    Content { reason: String },
    #[error("{FOLDER}/{FILE} cannot be read")]
    Read(#[source] io::Error),
}

/// The labels that a step has left in this folder; none without a file.
pub(super) fn labels(folder: &Path) -> Result<BTreeMap<String, String>, ImageMetadataError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(CWD, folder.join(FILE), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(BTreeMap::new()),
        Err(Errno::LOOP | Errno::NXIO) => return Err(ImageMetadataError::NoFile),
        Err(error) => return Err(ImageMetadataError::Read(error.into())),
    };
    if !file.metadata().map_err(ImageMetadataError::Read)?.is_file() {
        return Err(ImageMetadataError::NoFile);
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    if read.map_err(ImageMetadataError::Read)? as u64 > MAX_BYTES {
        return Err(ImageMetadataError::Long);
    }
    let wrong = |reason: String| ImageMetadataError::Content { reason };
    // A derived struct would take an array for its fields.
    let mut metadata: BTreeMap<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let labels = metadata.remove("labels").unwrap_or_else(|| json!([]));
    let labels: Vec<BTreeMap<String, String>> =
        serde_json::from_value(labels).map_err(|error| wrong(error.to_string()))?;
    let labels: BTreeMap<String, String> = labels.into_iter().flatten().collect();
    if labels.contains_key("") {
        return Err(wrong("a label has no name".to_owned()));
    }
    Ok(labels)
}

impl Explain for ImageMetadataError {
    fn explain(&self) -> Explanation {
        Explanation {
            class: match self {
                Self::Read(_) => ErrorClass::World,
                Self::NoFile | Self::Long | Self::Content { .. } => ErrorClass::Project,
            },
            what: "the labels that .s2i/bin/assemble asks for are refused".to_owned(),
            place: format!("{FOLDER}/{FILE}"),
            why: match self {
                Self::Read(source) => source.to_string(),
                Self::NoFile => "it is no regular file".to_owned(),
                Self::Long => format!("it is longer than {MAX_BYTES} bytes"),
                Self::Content { reason } => format!("it does not hold labels: {reason}"),
            },
            next: r#"have the script write {"labels": [{"NAME": "VALUE"}]}, or no such file"#
                .to_owned(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ImageMetadataError {
        NoFile,
        Long,
        Content { reason: "a label has no name".into() },
        Read(crate::report::samples::denied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_s2i_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(labels(folder.path()).unwrap().is_empty());
        for (text, expected) in [
            (r#"{"labels": [{"a": "1", "b": ""}, {"a": "2"}]}"#, "a=2 b="),
            (r#"{"labels": []}"#, ""),
            (r#"{"other": 1}"#, ""),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = labels(folder.path()).unwrap();
            let found: Vec<String> = found
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            assert_eq!(found.join(" "), expected);
        }
        for text in [
            "",
            "[]",
            r#"{"labels": {"a": "1"}}"#,
            r#"{"labels": [{"a": 1}]}"#,
            r#"{"labels": [{"": "1"}]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let error = labels(folder.path()).unwrap_err();
            assert!(
                matches!(error, ImageMetadataError::Content { .. }),
                "{text}: {error}"
            );
            assert_eq!(error.explain().class, ErrorClass::Project);
        }
    }

    #[test]
    fn what_is_no_file_or_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, vec![b' '; 65 << 10]).unwrap();
        assert!(matches!(
            labels(folder.path()),
            Err(ImageMetadataError::Long)
        ));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(
            labels(folder.path()),
            Err(ImageMetadataError::NoFile)
        ));
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(matches!(
            labels(folder.path()),
            Err(ImageMetadataError::NoFile)
        ));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(
            labels(folder.path()),
            Err(ImageMetadataError::NoFile)
        ));
    }
}
