//! What is noted of a layer when it is made, for whoever puts it into an image: its bytes need not be looked at again.

use serde::{Deserialize, Serialize};

use super::linkage::Linkage;

/// Of one layer. A layer of which nothing is noted says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    #[serde(flatten)]
    pub linkage: Linkage,
}

impl From<Linkage> for Notes {
    fn from(linkage: Linkage) -> Self {
        Self { linkage }
    }
}
