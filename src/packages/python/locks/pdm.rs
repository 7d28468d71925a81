//! Not yet.
use super::{Converted, Given, LockFileError, unsupported};
pub(super) fn convert(_given: &Given<'_>) -> Result<Converted, LockFileError> {
    Err(unsupported("pdm.lock", "the project", "it is not read yet"))
}
