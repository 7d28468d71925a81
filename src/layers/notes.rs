//! What is noted of a layer when it is made, for whoever puts it into an image: its bytes need not be looked at again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::deb::Scripts;
use super::linkage::Linkage;

/// Of one layer. A layer of which nothing is noted says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerNotes {
    #[serde(flatten)]
    pub linkage: Linkage,
    /// What maintainer scripts of its packages would do.
    #[serde(default, skip_serializing_if = "Scripts::is_empty")]
    pub scripts: Scripts,
    /// Labels that what made it asks for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl From<Linkage> for LayerNotes {
    fn from(linkage: Linkage) -> Self {
        Self {
            linkage,
            ..Self::default()
        }
    }
}
