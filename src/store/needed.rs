//! Which blobs an image needs: the documents that it consists of, and all that these name by a digest.
//!
//! Other tools write into the layout too, indexes of indexes and documents of forms that s2r does not know. So
//! needs are read off the JSON alone: whatever is called `digest` in it is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Store, StoreError};
use crate::oci::{Descriptor, Digest, MediaType};

impl Store {
    /// The blobs that an image needs, its own document among them.
    ///
    /// # Errors
    /// A document is missing or has other bytes ([`StoreError::Blob`]); the disk's.
    pub(super) fn needed_blobs(&self, image: &Digest) -> Result<BTreeSet<Digest>, StoreError> {
        let mut needed = BTreeSet::new();
        let mut read = BTreeSet::new();
        let mut documents = vec![*image];
        while let Some(digest) = documents.pop() {
            needed.insert(digest);
            if !read.insert(digest) {
                continue;
            }
            let bytes = self.read_blob(&digest)?;
            // What is no JSON names nothing.
            let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
                continue;
            };
            note_digests(&document, &mut needed);
            let entries = document.get("manifests").and_then(Value::as_array);
            documents.extend(entries.into_iter().flatten().filter_map(digest_in));
        }
        Ok(needed)
    }

    /// An entry of the list of images with what its document itself says of form and length; `None` if
    /// there is nothing left that it could stand for.
    ///
    /// # Errors
    /// The disk's: what cannot be read now is not lost.
    pub(super) fn corrected(&self, entry: &Descriptor) -> Result<Option<Descriptor>, StoreError> {
        let read = self
            .needed_blobs(&entry.digest)
            .and_then(|_| self.read_blob(&entry.digest));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(StoreError::Blob { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let told = document.get("mediaType").and_then(Value::as_str);
        let mut right = entry.clone();
        right.size = bytes.len() as u64;
        if let Some(told) = told {
            right.media_type = MediaType::from(told);
        }
        Ok(Some(right))
    }
}

/// Takes up every digest that a document names. Its depth is bounded by the reader of JSON.
fn note_digests(value: &Value, needed: &mut BTreeSet<Digest>) {
    match value {
        Value::Object(members) => {
            needed.extend(digest_in(value));
            members
                .values()
                .for_each(|member| note_digests(member, needed));
        }
        Value::Array(items) => items.iter().for_each(|item| note_digests(item, needed)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn digest_in(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_other_tools_nest_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let put = |value: Value| store.put_blob(value.to_string().as_bytes()).unwrap();
        let layer = store.put_blob(b"layer").unwrap();
        let artifact = put(json!({"blobs": [{"digest": layer}]}));
        let inner = put(json!({"manifests": [{"digest": artifact}]}));
        let outer = put(json!({"manifests": [{"digest": inner}, {"digest": "md5:7"}]}));
        let all = BTreeSet::from([layer, artifact, inner, outer]);
        assert_eq!(store.needed_blobs(&outer).unwrap(), all);
        std::fs::remove_file(store.blob_path(&artifact)).unwrap();
        let error = store.needed_blobs(&outer).unwrap_err();
        assert!(
            matches!(error, StoreError::Blob { digest, .. } if digest == artifact),
            "{error}"
        );
    }
}
