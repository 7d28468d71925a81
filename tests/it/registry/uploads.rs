//! Existence and upload: lines U1 to U21 of what registries do in practice.

use crate::harness::faulty::{Faulty, Quirks};
use crate::harness::stored;
use crate::registry::pushes;

#[test]
fn a_right_registry_takes_a_push() {
    let registry = Faulty::with(Quirks::default());
    pushes(&stored::home(), &registry);
    eprintln!("{}", registry.log_text());
}
