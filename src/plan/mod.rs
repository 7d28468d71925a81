//! To come.
pub(crate) mod builder;
