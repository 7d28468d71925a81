//! What this module asks of the network: one GET. The pipeline hands in the real client, tests a
//! fake one.

use std::io::Read;

use crate::packages::python::Url;

/// One GET request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Get<'a> {
    /// The address; its credentials, if any, go along as basic authentication.
    pub url: &'a Url,
    /// The `Accept` header, if one matters.
    pub accept: Option<&'static str>,
    /// The body is cut off with an error beyond this.
    pub max_bytes: u64,
}

/// An answer.
pub(crate) struct Got {
    /// The address after redirects, without credentials; relative links start there.
    pub final_url: String,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
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

/// Whoever can GET.
pub(crate) trait Fetch: Sync {
    /// Sends one request, repeating it where that helps.
    ///
    /// # Errors
    /// Any status but 200, and no answer at all.
    fn get(&self, request: &Get<'_>) -> Result<Got, FetchError>;
}
