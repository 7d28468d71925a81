//! What this module asks of the network: one GET. The pipeline hands in the real client, tests a
//! fake one.

use std::io::Read;
use std::path::PathBuf;

use crate::packages::Sha256;
use crate::packages::python::PackageUrl;

/// One GET request for a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GetRequest<'a> {
    /// The address; its credentials, if any, go along as basic authentication.
    pub url: &'a PackageUrl,
    pub accept: &'static str,
    /// The body is cut off with an error beyond this.
    pub max_bytes: u64,
}

pub(crate) struct GetResponse {
    /// The address after redirects, without credentials; relative links start there.
    pub final_url: String,
    pub body: Box<dyn Read>,
}

/// A whole file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptFile {
    pub path: PathBuf,
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexFetchError {
    /// The user forbade the network.
    #[error("the network is switched off")]
    Offline,
    /// An answer other than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// No answer: names, routes, connections, certificates.
    #[error("{0}")]
    Unreachable(String),
    /// The body could not be written here.
    #[error("{0}")]
    Local(String),
    /// The body is larger than asked for.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
}

pub(crate) trait IndexFetch: Sync {
    /// Sends one request, repeating it where that helps.
    ///
    /// # Errors
    /// Any status but 200, and no answer at all.
    fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError>;

    /// Has a whole file on this machine; where `sha256` is given, a file with that hash will do that is here.
    ///
    /// # Errors
    /// As [`IndexFetch::get`]; the file has another hash than the one that was given.
    fn file(&self, url: &PackageUrl, sha256: Option<Sha256>) -> Result<KeptFile, IndexFetchError>;
}
