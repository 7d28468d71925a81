//! Names of files and folders that an image is written to, as skopeo and podman have them
//! (containers-transports(5)): `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::destination::archive::{self, ArchiveFormat};
use crate::destination::{BlobSource, ExportError, PushImage, layout};
use crate::oci::Reference;

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExportTargetError {
    /// It begins with none of the kinds.
    #[error("it begins neither with oci: nor oci-archive: nor docker-archive:")]
    Kind,
    /// There is no path.
    #[error("it names no file or folder")]
    NoPath,
    /// A layout has many files.
    #[error("a layout is a folder, and cannot go to standard output")]
    LayoutToStdout,
}

/// A file or folder that takes an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportTarget {
    /// An OCI image layout.
    Layout {
        dir: PathBuf,
        /// The image's name in it, if one was given.
        name: Option<String>,
    },
    Archive {
        /// The file; `-` is standard output.
        file: PathBuf,
        format: ArchiveFormat,
        /// The image's name in it, if one was given.
        name: Option<String>,
    },
}

impl ExportTarget {
    /// Whether it goes to standard output, which nobody here writes to: the caller refuses it or opens a file for it.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Archive { file, .. } if file == Path::new("-"))
    }

    /// Whether it is what `docker load` reads.
    pub(crate) fn is_docker(&self) -> bool {
        matches!(
            self,
            Self::Archive {
                format: ArchiveFormat::Docker,
                ..
            }
        )
    }

    /// Writes the image there. Where the target has no name for it, it gets that of `reference`.
    pub(crate) fn write(
        &self,
        reference: Option<&Reference>,
        image: &PushImage,
        blobs: &dyn BlobSource,
    ) -> Result<(), ExportError> {
        let name = self.name(reference);
        match self {
            Self::Layout { dir, .. } => layout::write(dir, name.as_deref(), image, blobs),
            Self::Archive { file, format, .. } => {
                archive::write_file(file, *format, name.as_deref(), image, blobs)
            }
        }
    }

    /// The name in the target: in a layout a tag, for docker a name with a tag.
    fn name(&self, reference: Option<&Reference>) -> Option<String> {
        let (Self::Layout { name, .. } | Self::Archive { name, .. }) = self;
        name.clone().or_else(|| {
            let reference = reference?;
            match self {
                Self::Archive {
                    format: ArchiveFormat::Docker,
                    ..
                } => Some(format!(
                    "{}:{}",
                    reference.familiar_name(),
                    reference.tag_or_latest()
                )),
                _ => Some(reference.tag_or_latest().to_owned()),
            }
        })
    }
}

impl FromStr for ExportTarget {
    type Err = ExportTargetError;

    fn from_str(text: &str) -> Result<Self, ExportTargetError> {
        let (kind, rest) = text.split_once(':').ok_or(ExportTargetError::Kind)?;
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        let format = match kind {
            "oci" => None,
            "oci-archive" => Some(ArchiveFormat::Oci),
            "docker-archive" => Some(ArchiveFormat::Docker),
            _ => return Err(ExportTargetError::Kind),
        };
        match (format, path) {
            (_, "") => Err(ExportTargetError::NoPath),
            (None, "-") => Err(ExportTargetError::LayoutToStdout),
            (None, dir) => Ok(Self::Layout {
                dir: dir.into(),
                name,
            }),
            (Some(format), file) => Ok(Self::Archive {
                file: file.into(),
                format,
                name,
            }),
        }
    }
}

impl fmt::Display for ExportTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path, name) = match self {
            Self::Layout { dir, name } => ("oci", dir, name),
            Self::Archive {
                file,
                format: ArchiveFormat::Oci,
                name,
            } => ("oci-archive", file, name),
            Self::Archive {
                file,
                format: ArchiveFormat::Docker,
                name,
            } => ("docker-archive", file, name),
        };
        write!(f, "{kind}:{}", path.display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::testing::{BlobFolder, image};

    #[test]
    fn reads_and_shows_targets() {
        for text in [
            "oci:dir/x",
            "oci:/a/b:1.0",
            "oci-archive:x.tar",
            "oci-archive:-:t",
            "docker-archive:x.tar:h:5000/n:t",
        ] {
            assert_eq!(text.parse::<ExportTarget>().unwrap().to_string(), text);
        }
        assert!(
            "docker-archive:-"
                .parse::<ExportTarget>()
                .unwrap()
                .is_stdout()
        );
        assert!(
            !"docker-archive:./-"
                .parse::<ExportTarget>()
                .unwrap()
                .is_stdout()
        );
        let cases = [
            ("dir", ExportTargetError::Kind),
            ("docker://x", ExportTargetError::Kind),
            ("oci:", ExportTargetError::NoPath),
            ("oci::tag", ExportTargetError::NoPath),
            ("oci:-", ExportTargetError::LayoutToStdout),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<ExportTarget>(), Err(error), "{text}");
        }
    }

    #[test]
    fn names_come_from_the_target_or_the_image() {
        let reference: Reference = "registry.example/team/x:2".parse().unwrap();
        let name = |text: &str| {
            text.parse::<ExportTarget>()
                .unwrap()
                .name(Some(&reference))
                .unwrap()
        };
        assert_eq!(name("oci:d"), "2");
        assert_eq!(name("oci:d:3"), "3");
        assert_eq!(name("docker-archive:f"), "registry.example/team/x:2");
        assert_eq!("oci:d".parse::<ExportTarget>().unwrap().name(None), None);
    }

    #[test]
    fn writes_archives_and_layouts() {
        let (folder, dir) = (BlobFolder::new(), tempfile::tempdir().unwrap());
        let image = image(&folder, "c", &[b"l"]);
        let path = dir.path().join("x.tar");
        let target: ExportTarget = format!("oci-archive:{}", path.display()).parse().unwrap();
        target.write(None, &image, &folder).unwrap();
        assert!(path.exists());
        let target: ExportTarget = format!("oci:{}/d", dir.path().display()).parse().unwrap();
        target.write(None, &image, &folder).unwrap();
        assert!(dir.path().join("d/index.json").exists());
    }
}
