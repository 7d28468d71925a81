//! Whether the machine lets us have threads. `std::thread::scope` and the libraries' own pools panic
//! where none can be had, so a command that needs some looks before it begins.

use std::io;
use std::sync::Mutex;
use std::thread;

/// What a command needs at most at its busiest: downloads, writers, connections.
pub(crate) const FEW: usize = 24;

/// The stack of a thread that does nothing, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// Sees whether so many threads can be had at once, and lets go of them.
///
/// # Errors
/// The system's, for instance where `ulimit -u` or a control group's `pids.max` allows no more.
pub(crate) fn reserve(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock();
        let outcome = (0..count).try_for_each(|_| {
            let wait = || drop(gate.lock());
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, wait)
                .map(drop)
        });
        drop(closed);
        outcome
    })
}

/// Whether a panic says that a thread could not be had: another program may have taken the last ones
/// after we looked.
pub(crate) fn is_shortage(panic: &str) -> bool {
    // The texts of std, tokio and rayon.
    [
        "failed to spawn thread",
        "can't spawn worker thread",
        "WouldBlock",
    ]
    .iter()
    .any(|text| panic.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_had() {
        reserve(FEW).unwrap();
    }

    #[test]
    fn panics_for_want_of_threads_are_known() {
        assert!(is_shortage(
            "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"x\" }"
        ));
        assert!(!is_shortage("index out of bounds"));
    }
}
