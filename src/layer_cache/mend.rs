//! What is done about a part of an image that turns out to be wrong in the store: it is dropped there, and
//! the work is done once more where it can be made or fetched again.
//!
//! Nothing is read to find that out. Who reads a blob anyway, to send it, to write it to a file or to unpack
//! it, hashes it on the way.

use std::collections::BTreeSet;

use super::download::{DownloadError, again};
use crate::destination::ExportError;
use crate::destination::registry::PushError;
use crate::oci::Digest;
use crate::report::{BuildError, Report};
use crate::store::{FileState, Store, StoreError};

/// Does work over blobs of the store; once more for each blob that was wrong and `can_be_had` again.
///
/// # Errors
/// The work's. What was wrong is dropped then too, so that the next build makes it.
pub(crate) fn mending<T>(
    (store, report): (&Store, &dyn Report),
    can_be_had: impl Fn(&Digest) -> bool,
    mut work: impl FnMut() -> Result<T, BuildError>,
) -> Result<T, BuildError> {
    let mut mended = BTreeSet::new();
    loop {
        let error = match work() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(digest) = damaged(&error) else {
            return Err(error);
        };
        let is_download = matches!(error.find(), Some(DownloadError::Lost { .. }));
        let state = if is_download {
            FileState::Dropped
        } else {
            // What keeps it from being dropped is not what the work failed for.
            let Ok(state) = store.drop_damaged(&digest) else {
                return Err(error);
            };
            state
        };
        if !can_be_had(&digest) || !mended.insert(digest) {
            return Err(error);
        }
        report.event(again(&digest, state));
    }
}

/// The blob or download that has turned out to be missing or wrong in the store.
fn damaged(error: &BuildError) -> Option<Digest> {
    if let Some(StoreError::Blob { digest, .. }) = error.find() {
        return Some(*digest);
    }
    let pushed = error.find().and_then(|error| match error {
        PushError::Blob(blob) => Some(blob),
        _ => None,
    });
    let exported = error.find().and_then(|error| match error {
        ExportError::Blob(blob) => Some(blob),
        _ => None,
    });
    if let Some(blob) = pushed.or(exported) {
        return Some(*blob.digest());
    }
    match error.find() {
        Some(DownloadError::Lost { digest, .. }) => Some(*digest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Event;
    use crate::report::SilentReport;

    #[test]
    fn each_blob_is_mended_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = store.put_blob(b"right").unwrap();
        let path = store.blob_path(&digest);
        let mut tries = 0;
        let mut look = |mend: bool, can: bool| {
            std::fs::write(&path, b"wrong").unwrap();
            tries = 0;
            let done = mending(
                (&store, &SilentReport),
                |_| can,
                || {
                    tries += 1;
                    if mend && tries > 1 {
                        store.put_blob(b"right")?;
                    }
                    Ok(store.read_blob(&digest)?)
                },
            );
            (done, tries)
        };
        assert_eq!(look(true, true).0.unwrap(), b"right");
        let (done, tries) = look(false, true);
        assert!(matches!(
            done.unwrap_err().find(),
            Some(StoreError::Blob {
                is_there: false,
                ..
            })
        ));
        assert_eq!(tries, 2);
        let (done, tries) = look(true, false);
        let error = done.unwrap_err();
        assert!(matches!(
            error.find(),
            Some(StoreError::Blob { is_there: true, .. })
        ));
        assert_eq!(tries, 1);
        assert!(!path.exists(), "a damaged blob stays in the store");
    }

    #[derive(Default)]
    struct Heard(std::sync::Mutex<Vec<String>>);

    impl Report for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { text, .. } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    #[test]
    fn what_is_missing_is_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = store.put_blob(b"right").unwrap();
        for (bytes, told) in [(Some(b"wrong"), "damaged"), (None, "missing")] {
            let path = store.blob_path(&digest);
            std::fs::remove_file(&path).unwrap();
            if let Some(bytes) = bytes {
                std::fs::write(&path, bytes).unwrap();
            }
            let heard = Heard::default();
            let mut is_first = true;
            let work = || {
                if !std::mem::take(&mut is_first) {
                    store.put_blob(b"right")?;
                }
                Ok(store.read_blob(&digest)?)
            };
            mending((&store, &heard), |_| true, work).unwrap();
            let heard = heard.0.into_inner().unwrap();
            assert!(heard[0].contains(&format!("was {told}")), "{heard:?}");
        }
    }

    #[test]
    fn an_error_is_told_whatever_keeps_the_blob_from_being_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"right");
        // A folder can be opened, and not be read.
        std::fs::create_dir(store.blob_path(&digest)).unwrap();
        let work = || -> Result<(), BuildError> {
            let path = store.blob_path(&digest);
            Err(StoreError::Blob {
                path,
                digest,
                is_there: true,
            }
            .into())
        };
        let error = mending((&store, &SilentReport), |_| true, work).unwrap_err();
        assert!(
            matches!(error.find(), Some(StoreError::Blob { .. })),
            "{error}"
        );
    }
}
