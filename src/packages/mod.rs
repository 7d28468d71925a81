//! Grammar of the two kinds of packages that go into an image. Pure: no disk, no network, no OCI.

pub(crate) mod debian;
pub(crate) mod python;
mod sha256;

pub(crate) use sha256::{NotSha256, Sha256};
