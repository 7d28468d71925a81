//! From what a project asks for to exact wheels, those included that have to be built from source.

pub(crate) mod implicit_setuptools;
pub(crate) mod lock_inputs;
pub(crate) mod locked_wheels;
pub(crate) mod package_index;
pub(crate) mod resolver;
