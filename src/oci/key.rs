//! The key of a layer: a hash of everything that determines its bytes.

use sha2::{Digest as _, Sha256};

use super::digest::sha256_type;

sha256_type! {
    /// Names a thing by its inputs, so that it is known before it is made.
    Key
}

impl Key {
    /// The 32 raw bytes, as an input of another key.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hashes inputs into a [`Key`]. Every field is preceded by its length, so that no two lists of
/// fields run together into the same bytes.
#[derive(Clone)]
pub(crate) struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// Begins a key; `domain` names what is made and the version of how it is made, for instance
    /// `wheels/1`. Changing how bytes are made must change the domain.
    pub(crate) fn new(domain: &str) -> Self {
        Self(Sha256::new()).field(domain.as_bytes())
    }

    #[must_use]
    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        self.add(bytes);
        self
    }

    /// Adds one input in place, for loops.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The key of all inputs so far.
    pub(crate) fn finish(self) -> Key {
        Key::from_bytes(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        let one = KeyBuilder::new("t").field(b"ab").field(b"c").finish();
        let other = KeyBuilder::new("t").field(b"a").field(b"bc").finish();
        assert_ne!(one, other);
        assert_ne!(
            KeyBuilder::new("t/1").finish(),
            KeyBuilder::new("t/2").finish()
        );
        assert_eq!(one, KeyBuilder::new("t").field(b"ab").field(b"c").finish());
    }
}
