//! What can go wrong while wheels are written.

use std::path::PathBuf;

use super::WheelFile;
use crate::archive::{tar, zip};
use crate::packages::python::{entry_points, record, wheel_metadata};
use crate::report::{ErrorClass, Explain, Explanation};

/// What can go wrong while wheels are written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WheelLayerError {
    /// The wheel cannot be read as a zip archive.
    #[error(transparent)]
    Zip(#[from] zip::ZipError),
    /// The layer cannot be written.
    #[error(transparent)]
    Layer(#[from] tar::TarError),
    /// There is not exactly one `.dist-info` folder.
    #[error("{} has {} .dist-info folders", wheel.display(), found.len())]
    DistInfo { wheel: PathBuf, found: Vec<String> },
    /// The `.dist-info` folder is another project's.
    #[error("{} holds {found}, not {expected}", wheel.display())]
    Name {
        wheel: PathBuf,
        expected: String,
        found: String,
    },
    /// A file that every wheel has is missing.
    #[error("{} has no {file}", wheel.display())]
    Missing {
        wheel: PathBuf,
        /// The file's path in it.
        file: String,
    },
    /// `WHEEL` is not one that we can follow.
    #[error("{}: WHEEL", wheel.display())]
    Metadata {
        wheel: PathBuf,
        #[source]
        source: wheel_metadata::WheelMetadataError,
    },
    /// `RECORD` cannot be read.
    #[error("{}: RECORD", wheel.display())]
    Record {
        wheel: PathBuf,
        #[source]
        source: record::RecordError,
    },
    /// `entry_points.txt` asks for a script that cannot be made.
    #[error("{}: entry_points.txt", wheel.display())]
    EntryPoints {
        wheel: PathBuf,
        #[source]
        source: entry_points::EntryPointError,
    },
    /// A member of a `.data` folder has no known place.
    #[error("{}: {member} has no known place", wheel.display())]
    Scheme { wheel: PathBuf, member: String },
    /// The wheel would replace what makes the virtual environment one.
    #[error("{} brings {path}", wheel.display())]
    Reserved {
        /// The path in the image.
        path: String,
        wheel: PathBuf,
    },
    /// What is wrong with one of the wheels, which lies under a name that tells nobody anything.
    #[error("{wheel}: {source}")]
    Of {
        wheel: String,
        source: Box<WheelLayerError>,
    },
    /// One path is a file and a folder.
    #[error("{path} is a file in one wheel and a folder in another; the later is {}", wheel.display())]
    Conflict {
        /// The path in the image.
        path: String,
        /// The wheel that was added when it showed.
        wheel: PathBuf,
    },
}

impl WheelLayerError {
    /// The same with the name of the wheel.
    pub(super) fn of(self, wheel: &WheelFile) -> Self {
        Self::Of {
            wheel: format!("{} {}", wheel.name, wheel.version),
            source: Box::new(self),
        }
    }
}

impl Explain for WheelLayerError {
    fn explain(&self) -> Explanation {
        let (wheel, what, why) = match self {
            Self::Zip(error) => return error.explain(),
            Self::Layer(error) => return error.explain(),
            Self::Of { wheel, source } => {
                let mut cause = source.explain();
                // What cannot be read or written is no fault of the wheel's.
                let is_of_disk = matches!(
                    **source,
                    Self::Zip(zip::ZipError::Read { .. }) | Self::Layer(tar::TarError::Write(_))
                );
                if cause.class == ErrorClass::World && !is_of_disk {
                    cause.class = ErrorClass::Project;
                }
                cause.place = format!("{wheel} ({})", cause.place);
                return cause;
            }
            Self::Reserved { path, wheel } => (
                wheel,
                "the wheel would replace a part of the virtual environment",
                format!("it brings {path}"),
            ),
            Self::DistInfo { wheel, found } => (
                wheel,
                "the wheel does not hold one distribution",
                match found.as_slice() {
                    [] => "it has no .dist-info folder".to_owned(),
                    several => format!("its .dist-info folders: {}", several.join(", ")),
                },
            ),
            Self::Name {
                wheel,
                expected,
                found,
            } => (
                wheel,
                "the wheel holds another distribution than its name says",
                format!("it holds {found}, and its name says {expected}"),
            ),
            Self::Missing { wheel, file } => (
                wheel,
                "the wheel is not complete",
                format!("it has no {file}"),
            ),
            Self::Metadata { wheel, source } => (
                wheel,
                "the wheel's WHEEL file is refused",
                source.to_string(),
            ),
            Self::Record { wheel, source } => {
                (wheel, "the wheel's RECORD is refused", source.to_string())
            }
            Self::EntryPoints { wheel, source } => (
                wheel,
                "the wheel asks for a script that cannot be made",
                source.to_string(),
            ),
            Self::Scheme { wheel, member } => (
                wheel,
                "the wheel holds a file for an unknown place",
                format!("{member} is not below purelib, platlib, headers, scripts or data"),
            ),
            Self::Conflict { path, wheel } => (
                wheel,
                "two wheels cannot be installed together",
                format!("{path} is a file in one and a folder in the other"),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: what.to_owned(),
            place: wheel.display().to_string(),
            why,
            next: "require another version of it, or tell its authors".to_owned(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum WheelLayerError {
        Zip(zip::ZipError::Archive { path: "flask.whl".into(), fault: zip::ArchiveFault::NoEnd }),
        Layer(tar::TarError::Write(crate::report::samples::denied())),
        DistInfo { wheel: "flask.whl".into(), found: vec![] },
        DistInfo { wheel: "flask.whl".into(), found: vec!["a-1.dist-info".into(), "b-1.dist-info".into()] },
        Name { wheel: "flask.whl".into(), expected: "flask 3.1.0".into(), found: "flask 3.0.0".into() },
        Missing { wheel: "flask.whl".into(), file: "flask-3.1.0.dist-info/RECORD".into() },
        Metadata { wheel: "flask.whl".into(), source: wheel_metadata::WheelMetadataError::NoVersion },
        Record { wheel: "flask.whl".into(), source: record::RecordError::NotUnicode },
        EntryPoints { wheel: "flask.whl".into(), source: entry_points::EntryPointError::Name { name: "../x".into() } },
        Scheme { wheel: "flask.whl".into(), member: "flask-3.1.0.data/lib/x".into() },
        Reserved { path: "opt/app-root/bin/python3".into(), wheel: "flask.whl".into() },
        Of {
            wheel: "flask 3.1.0".into(),
            source: Box::new(WheelLayerError::Missing {
                wheel: "/store/downloads/aa11".into(),
                file: "flask-3.1.0.dist-info/RECORD".into(),
            }),
        },
        Conflict { path: "opt/app-root/lib/x".into(), wheel: "flask.whl".into() },
    }
}
