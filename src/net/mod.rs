//! The network: HTTP with retries, limits, redaction and an offline switch; credentials; mirrors; the
//! registry protocol.
//!
//! Decides nothing about what to fetch, and keeps nothing on disk. Nothing here reads the
//! environment: settings come in [`http::ClientSettings`]. (Proxies, `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` are read by the HTTP and TLS libraries themselves when the first connection that
//! leaves this machine is made.)

pub(crate) mod credentials;
pub(crate) mod http;
pub(crate) mod mirrors;
pub(crate) mod registry;
mod secret;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;

pub(crate) use secret::{Secret, SecretFilter};
pub(crate) use shown::ShownUrl;
