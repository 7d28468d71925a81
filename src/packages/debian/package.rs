//! One paragraph of a `Packages` index, as far as choosing and fetching a package needs it.

use std::str::FromStr;

use super::{
    control::ControlParagraph,
    relation::{AllOf, ParseRelationError, ProvidedName, is_name},
    version::{DebianVersion, ParseVersionError},
};
use crate::packages::{NotSha256, Sha256};

/// A package that a suite offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexPackage {
    pub name: String,
    pub version: DebianVersion,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// What must be there before and with it (`Pre-Depends` and `Depends`).
    pub depends: AllOf,
    /// Names that it stands for.
    pub provides: Vec<ProvidedName>,
    /// Path of the `.deb` below the archive.
    pub filename: String,
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What is wrong with a paragraph of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackageError {
    /// A field is not there.
    #[error("package `{package}` has no field {field} in the index")]
    Missing {
        /// The package's name, if it has one.
        package: String,
        field: &'static str,
    },
    /// A name, path or number that none can have.
    #[error("package `{package}` has a wrong {field} in the index: `{value}`")]
    Wrong {
        package: String,
        field: &'static str,
        value: String,
    },
    /// A version that is none.
    #[error(transparent)]
    Version(#[from] ParseVersionError),
    /// A relation that is none.
    #[error(transparent)]
    Relation(#[from] ParseRelationError),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] NotSha256),
}

impl IndexPackage {
    /// Reads what is needed from one paragraph.
    pub(crate) fn read(paragraph: &ControlParagraph<'_>) -> Result<Self, PackageError> {
        let name = paragraph.get("Package").unwrap_or_default();
        let text = |field: &'static str| {
            paragraph.get(field).ok_or_else(|| PackageError::Missing {
                package: name.to_owned(),
                field,
            })
        };
        let wrong = |field: &'static str, value: &str| PackageError::Wrong {
            package: name.to_owned(),
            field,
            value: value.chars().take(120).collect(),
        };
        if !is_name(text("Package")?) {
            return Err(wrong("Package", name));
        }
        let filename = text("Filename")?;
        let unsafe_path = filename.starts_with('/')
            || filename
                .split('/')
                .any(|part| part.is_empty() || part == "..")
            || !filename
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
        if unsafe_path {
            return Err(wrong("Filename", filename));
        }
        let architecture = text("Architecture")?;
        if !is_name(architecture) {
            return Err(wrong("Architecture", architecture));
        }
        let size = text("Size")?;
        let mut depends = AllOf::from_str(paragraph.get("Pre-Depends").unwrap_or_default())?;
        depends
            .0
            .extend(AllOf::from_str(paragraph.get("Depends").unwrap_or_default())?.0);
        Ok(Self {
            name: name.to_owned(),
            version: text("Version")?.parse()?,
            architecture: architecture.to_owned(),
            depends,
            provides: ProvidedName::parse_list(paragraph.get("Provides").unwrap_or_default())?,
            filename: filename.to_owned(),
            sha256: text("SHA256")?.parse()?,
            size: size.parse().map_err(|_| wrong("Size", size))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::debian::ParagraphReader;

    fn read(text: &str) -> Result<IndexPackage, PackageError> {
        let mut reader = ParagraphReader::new(text.as_bytes());
        IndexPackage::read(&reader.next().unwrap().unwrap())
    }

    fn text(filename: &str) -> String {
        format!(
            "Package: bash\nVersion: 5.2-1\nArchitecture: amd64\nPre-Depends: libc6\nDepends: base-files (>= 2)\nProvides: sh (= 1)\nFilename: {filename}\nSize: 12\nSHA256: {}\n",
            "ab".repeat(32)
        )
    }

    #[test]
    fn reads_a_paragraph() {
        let package = read(&text("pool/b/bash_5.2-1_amd64.deb")).unwrap();
        assert_eq!((package.name.as_str(), package.size), ("bash", 12));
        assert_eq!(package.depends.0.len(), 2);
        assert_eq!(package.provides[0].name, "sh");
    }

    #[test]
    fn refuses_wrong_fields() {
        for filename in ["/etc/x", "../x", "a//b", "a/../b", "a?b", "a b"] {
            assert!(matches!(
                read(&text(filename)),
                Err(PackageError::Wrong {
                    field: "Filename",
                    ..
                })
            ));
        }
        assert!(matches!(
            read("Package: a\nVersion: 1\n"),
            Err(PackageError::Missing {
                field: "Filename",
                ..
            })
        ));
        assert!(matches!(
            read("Package: a/b\n"),
            Err(PackageError::Wrong {
                field: "Package",
                ..
            })
        ));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(Package: |Version: |Depends: |Filename: |Size: |SHA256: |Provides: |[a-z0-9/.]{1,8}|\\(|\\)|,| |\n|ä){0,30}") {
            let mut reader = ParagraphReader::new(text.as_bytes());
            while let Ok(Some(paragraph)) = reader.next() {
                let _ = IndexPackage::read(&paragraph);
            }
        }
    }
}
