//! Hand-made packages become layers.

