//! Where blobs are that images of the store name and that are not here: layers of an image that was
//! built upon, or reused from a registry, without a byte of them being read.
//!
//! A note is a JSON list of repositories, `registry/repository` each, the one heard of last first.
//! It is a hint and no promise: who follows it checks what he gets.

use super::records::read_sealed;
use super::{Store, StoreError};
use crate::oci::{Digest, Reference};

/// Repositories kept for one blob; the others would hardly ever be asked.
const MAX_PLACES: usize = 4;

impl Store {
    /// Remembers that a repository has a blob. The tag of `place` does not matter.
    pub(crate) fn note_elsewhere(
        &self,
        digest: &Digest,
        place: &Reference,
    ) -> Result<(), StoreError> {
        let name = format!("{}/{}", place.registry(), place.repository());
        let before = self.places(digest);
        if before.first() == Some(&name) {
            return Ok(());
        }
        let others = before.into_iter().filter(|other| *other != name);
        let places: Vec<String> = std::iter::once(name.clone())
            .chain(others)
            .take(MAX_PLACES)
            .collect();
        let folder = self.folder("elsewhere");
        std::fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        let path = folder.join(digest.hex());
        let text = serde_json::to_vec(&places).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.replace_sealed(&path, &text)
    }

    /// Repositories that are said to have a blob, best first; none where nothing is known.
    pub(crate) fn elsewhere(&self, digest: &Digest) -> Vec<Reference> {
        let places = self.places(digest);
        places.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Forgets where a blob is, because it was not there.
    pub(crate) fn forget_elsewhere(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.folder("elsewhere").join(digest.hex());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io(&path)(error))
            }
            _ => Ok(()),
        }
    }

    fn places(&self, digest: &Digest) -> Vec<String> {
        let text = read_sealed(&self.folder("elsewhere").join(digest.hex()));
        let text = text.ok().flatten().unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_the_last_heard_of_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"blob");
        assert!(store.elsewhere(&digest).is_empty());
        for name in ["r.example/a:1", "app", "r.example/a:2"] {
            store
                .note_elsewhere(&digest, &name.parse().unwrap())
                .unwrap();
        }
        let names: Vec<String> = store
            .elsewhere(&digest)
            .iter()
            .map(|place| format!("{}/{}", place.registry(), place.repository()))
            .collect();
        assert_eq!(names, ["r.example/a", "docker.io/library/app"]);
        for number in 0..9 {
            let name = format!("r.example/n{number}");
            store
                .note_elsewhere(&digest, &name.parse().unwrap())
                .unwrap();
        }
        assert_eq!(store.elsewhere(&digest).len(), MAX_PLACES);
        store.forget_elsewhere(&digest).unwrap();
        store.forget_elsewhere(&digest).unwrap();
        assert!(store.elsewhere(&digest).is_empty());
    }

    #[test]
    fn a_damaged_note_is_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"blob");
        store
            .note_elsewhere(&digest, &"app".parse().unwrap())
            .unwrap();
        let path = store.folder("elsewhere").join(digest.hex());
        std::fs::write(&path, r#"["r.example/a"]"#).unwrap();
        assert!(store.elsewhere(&digest).is_empty(), "it has no seal");
        for text in ["", "{", "[5]", r#"["UPPER case", "r.example/ok"]"#] {
            store.replace_sealed(&path, text.as_bytes()).unwrap();
            assert!(store.elsewhere(&digest).len() <= 1, "{text}");
        }
    }
}
