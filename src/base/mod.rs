//! What an image stands on: packages of a Debian suite or an image of a registry, resolved to layers.
//!
//! Only layers that were made here, or that can be checked, are executed or stood upon (`trusted_layers`).

pub(crate) mod base_image_lookup;
pub(crate) mod base_recipes;
pub(crate) mod debian_packages;
pub(crate) mod image_base;
pub(crate) mod resolved_packages;
pub(crate) mod trusted_layers;
