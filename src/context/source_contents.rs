//! What the source's files hold, found once a build: files that look as they did when they were last hashed are not
//! read again ([`KnownHashes`]).

use std::sync::{Arc, PoisonError};

use super::build_context::Context;
use crate::layers::source::SourceLayerError;
use crate::oci::{Key, KeyBuilder};
use crate::report::BuildError;
use crate::source::{KnownHashes, SourceError, TreeContents};

/// The record kind of the hashes of a source's files.
const HASHES: &str = crate::store::SOURCE_HASHES;

impl Context<'_> {
    /// What the source's files hold.
    ///
    /// # Errors
    /// A file that cannot be read, or changes meanwhile.
    pub(crate) fn contents(&self) -> Result<Arc<TreeContents>, BuildError> {
        let mut found = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(contents) = &*found {
            return Ok(Arc::clone(contents));
        }
        let contents = Arc::new(self.hashed()?);
        *found = Some(Arc::clone(&contents));
        Ok(contents)
    }

    fn hashed(&self) -> Result<TreeContents, BuildError> {
        let tree = self.tree();
        // A source that was fetched for this build has files that nobody has seen before.
        if !self.project.is_users() || !tree.is_costly() {
            return Ok(tree.contents(&KnownHashes::default())?);
        }
        let key = self.hashes_key();
        let known = match self.store.record(HASHES, &key)? {
            Some(bytes) if !self.settings.rules.refresh => KnownHashes::read(&bytes),
            _ => KnownHashes::default(),
        };
        let contents = tree.contents(&known)?;
        if let Some(known) = contents.to_keep() {
            self.store.put_record(HASHES, &key, &known.to_bytes())?;
        }
        Ok(contents)
    }

    fn hashes_key(&self) -> Key {
        let root = self.tree().root();
        KeyBuilder::new("source-hashes/1")
            .field(root.as_os_str().as_encoded_bytes())
            .finish()
    }

    /// Where a file was not what it had been hashed to, its stamp may have lied: forgets what is known of the source, so
    /// that the next build reads all of it.
    pub(crate) fn forget_hashes_after(&self, error: &BuildError) -> Result<(), BuildError> {
        let of_layer = error.find::<SourceLayerError>();
        if let Some(SourceLayerError::Source(SourceError::Changed { .. })) = of_layer {
            self.store.forget_record(HASHES, &self.hashes_key())?;
        }
        Ok(())
    }
}
