//! Archives: bounded readers for what comes from outside, and the one writer of layers.
//!
//! Readers take hostile input: every count, size and path has a named bound, and none of them
//! writes to disk. The writer's bytes depend on its input alone. Nothing here knows what a wheel,
//! a Debian package or an image is.

pub(crate) mod ar;
pub(crate) mod decompress;
pub(crate) mod elf;
pub(crate) mod gzip;
mod inflate;
mod sink;
pub(crate) mod tar;
mod unpacked;
pub(crate) mod zip;
pub(crate) mod zstd;

pub(crate) use unpacked::{UnpackedBound, too_much};
