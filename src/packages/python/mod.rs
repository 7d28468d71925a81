//! Grammar of Python packages: names and versions, wheel file names and tags, requirement text,
//! lock text. Pure: it reads no file, asks no network and looks at no environment; what it needs
//! from them is handed in.
//!
//! Versions (PEP 440), names and markers (PEP 508) are read by the crates of uv's authors, so that
//! what this program believes about a requirement is what its resolver believes.

mod brought;
pub(crate) mod conditions;
pub(crate) mod entry_points;
mod hash;
mod location;
pub(crate) mod locks;
mod marker;
mod pylock;
pub(crate) mod record;
mod requirements;
pub(crate) mod switches;
pub(crate) mod syntax;
mod tags;
mod upload;
pub(crate) mod wheel_metadata;
mod wheel_name;

pub(crate) use brought::{brought_by, extras_of};
pub(crate) use hash::{FileHash, HashError};
pub(crate) use location::{
    DirectUrl, PUBLIC_INDEX, PackageUrl, UrlError, UrlSecret, is_public_index, shown,
};
pub(crate) use pylock::{
    LockFingerprint, LockOrigin, LockedFile, LockedPackage, LockedTree, Pylock, PylockError,
};
pub(crate) use requirements::{
    FolderLink, FormatRule, FormatRules, IndexOptions, LineError, Position, ReadAccess, ReadError,
    Requirement, RequirementKind, RequirementSet, climbed, decode_requirements, expand_variables,
    line_of, parse, paths_outside, requirement_lines, requirement_paths, resolve_folder,
    resolve_path,
};
pub(crate) use tags::{AcceptedTags, LibcVersion, PythonVersion, TargetArch, WheelTarget};
pub(crate) use upload::UploadLimit;
pub(crate) use wheel_name::{WheelFileName, is_wheel};

pub(crate) use pep440_rs::{Version, VersionSpecifiers};
pub(crate) use pep508_rs::{MarkerTree, PackageName};

#[cfg(test)]
pub(crate) mod testing {
    use super::{LibcVersion, PythonVersion, TargetArch, WheelTarget};

    /// What the builder python-3.13 has on a PC.
    pub(crate) fn target() -> WheelTarget {
        WheelTarget {
            python: PythonVersion {
                major: 3,
                minor: 13,
                patch: 5,
            },
            libc: LibcVersion::Glibc(2, 41),
            arch: TargetArch::X86_64,
        }
    }
}
