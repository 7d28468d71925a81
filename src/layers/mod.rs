//! The bytes of layers: what each kind of layer holds and in which order it is written.
//! Where the bytes go is the caller's business: every writer here takes a `Write`.

pub(crate) mod bytecode;
pub(crate) mod changes;
pub(crate) mod deb;
pub(crate) mod difference;
pub(crate) mod group;
pub(crate) mod hashed;
pub(crate) mod linkage;
pub(crate) mod notes;
pub(crate) mod skeleton;
pub(crate) mod source;
#[cfg(test)]
mod testing;
pub(crate) mod unpack;
pub(crate) mod viewer;
pub(crate) mod wheel;
