//! What can go wrong on the way out.

use std::io;
use std::path::PathBuf;

use crate::net::registry::RegistryError;
use crate::oci::Digest;
use crate::report::{BUILD_AGAIN, ErrorClass, Explain, Explanation, REPORT_FAULT};

/// A part of the image that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// It is missing here, or cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What it should hold.
        digest: Digest,
        source: io::Error,
    },
    /// It has other bytes than the manifest says. A registry has not got all of them.
    #[error("{} is damaged: it does not hold {digest}", path.display())]
    Damaged {
        path: PathBuf,
        /// What it should hold.
        digest: Digest,
    },
}

impl BlobError {
    /// What the part should hold.
    pub(crate) fn digest(&self) -> &Digest {
        match self {
            Self::Unreadable { digest, .. } | Self::Damaged { digest, .. } => digest,
        }
    }
}

impl Explain for BlobError {
    fn explain(&self) -> Explanation {
        let (what, path, why) = match self {
            Self::Unreadable { path, source, .. } => (
                "a part of the image cannot be read",
                path,
                source.to_string(),
            ),
            Self::Damaged { path, digest } => (
                "a part of the image is damaged",
                path,
                format!("its bytes are not those of {digest}"),
            ),
        };
        Explanation {
            class: ErrorClass::World,
            what: what.to_owned(),
            place: path.display().to_string(),
            why,
            next: BUILD_AGAIN.to_owned(),
        }
    }
}

/// A push that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// The registry, or the way to it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A part of the image is not here as it should be.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A blob of the image is no local file, and none of the repositories that are said to have it
    /// gives it.
    #[error("{digest} is neither here nor in {}", names(origins))]
    Nowhere {
        digest: Digest,
        /// The repositories asked, and what each said.
        origins: Vec<(String, RegistryError)>,
    },
    /// The registry does not let the tag be changed, and it names another image.
    #[error("{name} cannot be changed: {source}")]
    Immutable {
        name: String,
        /// What it names, where the registry tells.
        found: Option<Digest>,
        /// What it was to name.
        expected: Digest,
        /// What the registry says.
        source: Box<RegistryError>,
    },
}

fn names(origins: &[(String, RegistryError)]) -> String {
    let names: Vec<&str> = origins.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

impl Explain for PushError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Registry(error) => error.explain(),
            Self::Blob(error) => error.explain(),
            Self::Nowhere { digest, origins } => Explanation {
                class: ErrorClass::World,
                what: "a layer of the image is neither here nor where it is said to be".to_owned(),
                place: digest.to_string(),
                why: origins
                    .iter()
                    .map(|(name, error)| format!("{name}: {error}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
                next: "check that these repositories still hold the image it came from, and that the account may read them; or build again, so that the layer is made anew".to_owned(),
            },
            Self::Immutable { name, found, expected, source } => Explanation {
                class: ErrorClass::World,
                what: "the tag is immutable, and names another image".to_owned(),
                place: name.clone(),
                why: match found {
                    Some(found) => format!("{source}\nit names {found}\nto be    {expected}"),
                    None => source.to_string(),
                },
                next: "push under a new tag, or take this one out of the registry's immutability rules (a setting of the repository or project); the blobs are there already".to_owned(),
            },
        }
    }
}

/// An export that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// A file or folder of the target.
    #[error("{}: {source}", path.display())]
    Target {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The stream that an archive is written to.
    #[error("writing the archive: {0}")]
    Stream(io::Error),
    /// A part of the image is not here as it should be.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The target is there, but is no OCI layout that could take another image.
    #[error("{} is not an OCI image layout", path.display())]
    NotALayout {
        /// The file that shows it, or the folder if it holds other things.
        path: PathBuf,
    },
    /// A document that cannot be written as JSON.
    #[error("writing {document}: {source}")]
    Json {
        document: &'static str,
        source: serde_json::Error,
    },
}

impl Explain for ExportError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Target { path, source } => Explanation {
                class: ErrorClass::World,
                what: "the image cannot be written".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check the path, the rights and the free space; no half-written file is left there".to_owned(),
            },
            Self::Stream(source) => Explanation {
                class: ErrorClass::World,
                what: "the archive cannot be written".to_owned(),
                place: "standard output".to_owned(),
                why: source.to_string(),
                next: "check the program that reads it".to_owned(),
            },
            Self::Blob(error) => error.explain(),
            Self::NotALayout { path } => Explanation {
                class: ErrorClass::World,
                what: "the folder is not an OCI image layout".to_owned(),
                place: path.display().to_string(),
                why: "an image is only added to a layout of version 1.0.0, or to an empty folder".to_owned(),
                next: "name another folder, or empty this one".to_owned(),
            },
            Self::Json { document, source } => Explanation {
                class: ErrorClass::Ours,
                what: "a document of the image cannot be written".to_owned(),
                place: (*document).to_owned(),
                why: source.to_string(),
                next: REPORT_FAULT.to_owned(),
            },
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum BlobError {
        Unreadable {
            path: "/store/blobs/sha256/aa11".into(),
            digest: Digest::of(b"a"),
            source: crate::report::samples::denied(),
        },
        Damaged { path: "/store/blobs/sha256/aa11".into(), digest: Digest::of(b"a") },
    }
    enum PushError {
        Registry(timed_out()),
        Blob(BlobError::Damaged { path: "/store/blobs/sha256/aa11".into(), digest: Digest::of(b"a") }),
        Nowhere { digest: Digest::of(b"a"), origins: vec![("registry.example.com/base".into(), timed_out())] },
        Immutable {
            name: "registry.example.com/myimg:1".into(),
            found: Some(Digest::of(b"found")),
            expected: Digest::of(b"expected"),
            source: Box::new(timed_out()),
        },
    }
    enum ExportError {
        Target { path: "image.tar".into(), source: crate::report::samples::denied() },
        Stream(crate::report::samples::denied()),
        Blob(BlobError::Damaged { path: "/store/blobs/sha256/aa11".into(), digest: Digest::of(b"a") }),
        NotALayout { path: "images".into() },
        Json { document: "index.json", source: serde_json::Error::io(crate::report::samples::denied()) },
    }
}

#[cfg(test)]
fn timed_out() -> RegistryError {
    let url = crate::net::ShownUrl::parse("https://registry.example.com/v2/");
    crate::net::http::HttpError::TimedOut { url, tries: 4 }.into()
}
