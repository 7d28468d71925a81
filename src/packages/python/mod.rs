//! To come.

pub(crate) mod entry_points;
pub(crate) mod record;
pub(crate) mod wheel_metadata;
