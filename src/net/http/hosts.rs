//! What is learnt about hosts while a program runs: how many requests at once they bear, and notes of
//! whoever speaks to them. Nothing of it is kept for the next run.
//!
//! The pace is the one of TCP: a 429 halves the number of requests that go out at once, and answers
//! without one let it grow by one for each full round.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Requests that one host gets at once before it complains.
const MOST_AT_ONCE: u32 = 32;

/// All hosts spoken to.
#[derive(Debug, Default)]
pub(super) struct HostTable(Mutex<BTreeMap<String, Arc<HostState>>>);

impl HostTable {
    /// What is known of `name`.
    pub(super) fn host(&self, name: &str) -> Arc<HostState> {
        Arc::clone(lock(&self.0).entry(name.to_owned()).or_default())
    }
}

/// What is known of one host.
#[derive(Debug, Default)]
pub(crate) struct HostState {
    pace: Mutex<HostPace>,
    changed: Condvar,
    notes: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug)]
struct HostPace {
    at_once: u32,
    active: u32,
    /// Answers since the number last changed.
    good: u32,
    slowed: Option<Instant>,
}

impl Default for HostPace {
    fn default() -> Self {
        Self {
            at_once: MOST_AT_ONCE,
            active: 0,
            good: 0,
            slowed: None,
        }
    }
}

impl HostState {
    /// Waits until one more request may go out. Whoever has a turn must not wait for another one of
    /// the same host.
    pub(crate) fn turn(&self) -> RequestSlot<'_> {
        let mut pace = lock(&self.pace);
        while pace.active >= pace.at_once {
            pace = self
                .changed
                .wait(pace)
                .unwrap_or_else(PoisonError::into_inner);
        }
        pace.active += 1;
        RequestSlot {
            host: self,
            since: Instant::now(),
        }
    }

    /// A number noted for this host.
    pub(crate) fn note(&self, key: &'static str) -> Option<u64> {
        lock(&self.notes).get(key).copied()
    }

    /// Notes a number for the rest of the run.
    pub(crate) fn set_note(&self, key: &'static str, value: u64) {
        lock(&self.notes).insert(key, value);
    }
}

/// The right to have one request under way.
#[derive(Debug)]
pub(crate) struct RequestSlot<'a> {
    host: &'a HostState,
    since: Instant,
}

impl RequestSlot<'_> {
    /// The host wants fewer requests: there will be half as many at once. One storm halves once,
    /// however many requests it hits.
    pub(crate) fn too_many(&self) {
        let mut pace = lock(&self.host.pace);
        if pace.slowed.is_none_or(|slowed| self.since >= slowed) {
            pace.at_once = (pace.at_once.min(pace.active) / 2).max(1);
            pace.good = 0;
            pace.slowed = Some(Instant::now());
        }
    }

    /// The host took the request.
    pub(crate) fn went_well(&self) {
        let mut pace = lock(&self.host.pace);
        pace.good += 1;
        if pace.good >= pace.at_once && pace.at_once < MOST_AT_ONCE {
            pace.at_once += 1;
            pace.good = 0;
            self.host.changed.notify_one();
        }
    }
}

impl Drop for RequestSlot<'_> {
    fn drop(&mut self) {
        lock(&self.host.pace).active -= 1;
        self.host.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(host: &HostState) -> u32 {
        lock(&host.pace).at_once
    }

    #[test]
    fn a_storm_halves_once_and_calm_grows_slowly() {
        let host = HostState::default();
        let turns: Vec<_> = (0..8).map(|_| host.turn()).collect();
        turns.iter().for_each(RequestSlot::too_many);
        assert_eq!(at_once(&host), 4);
        drop(turns);
        for expected in [4, 4, 4, 5, 5, 5, 5, 5, 6] {
            host.turn().went_well();
            assert_eq!(at_once(&host), expected);
        }
        for _ in 0..3 {
            host.turn().too_many();
        }
        assert_eq!(at_once(&host), 1);
    }

    #[test]
    fn who_comes_too_many_waits() {
        let host = HostState::default();
        let first = host.turn();
        first.too_many();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| drop(host.turn()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!second.is_finished());
            drop(first);
        });
    }

    #[test]
    fn notes_are_a_hosts_own() {
        let hosts = HostTable::default();
        hosts.host("a").set_note("x", 5);
        assert_eq!(hosts.host("a").note("x"), Some(5));
        assert_eq!(hosts.host("b").note("x"), None);
    }
}
