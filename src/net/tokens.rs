//! Authorizations that hold for a while: which there are, until when, and that only one thread asks for
//! each of them.
//!
//! Kept in memory for one run, by registry and by what they are good for. How one is got is
//! `registry`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::net::Secret;

/// Renewed so long before it ends: a request that takes its time on the way still arrives with it.
const EARLY: Duration = Duration::from_secs(30);
/// None is trusted to live longer, whatever a token service says.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// An authorization, and until when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct CachedAuthorization {
    /// The value of `Authorization`.
    pub header: Secret,
    /// `None`: as long as the run.
    renew_at: Option<Instant>,
}

impl CachedAuthorization {
    /// One that does not end.
    pub(crate) fn lasting(header: Secret) -> Self {
        Self {
            header,
            renew_at: None,
        }
    }

    /// One that is given now for so long. Of a short life at least half is used.
    pub(crate) fn living(header: Secret, life: Duration) -> Self {
        let life = life.min(LONGEST_LIFE);
        let used = life.saturating_sub(EARLY).max(life / 2);
        Self {
            header,
            renew_at: Some(Instant::now() + used),
        }
    }

    /// Whether it is to be sent now.
    pub(crate) fn is_good(&self) -> bool {
        self.renew_at.is_none_or(|end| Instant::now() < end)
    }
}

/// The place of one authorization: whoever holds the lock may renew it, and all others wait for that.
pub(crate) type TokenSlot = Arc<Mutex<Option<CachedAuthorization>>>;

/// All authorizations of a run.
#[derive(Default)]
pub(crate) struct TokenCache {
    slots: Mutex<BTreeMap<String, TokenSlot>>,
    challenges: Mutex<BTreeMap<String, Vec<String>>>,
}

impl TokenCache {
    /// The place of the authorization for `key`: registry and purpose.
    pub(crate) fn slot(&self, key: &str) -> TokenSlot {
        let mut slots = locked(&self.slots);
        Arc::clone(slots.entry(key.to_owned()).or_default())
    }

    /// What `host` has challenged with in this run, its `WWW-Authenticate` headers.
    pub(crate) fn challenge(&self, host: &str) -> Option<Vec<String>> {
        locked(&self.challenges).get(host).cloned()
    }

    /// Remembers what `host` challenges with.
    pub(crate) fn challenged(&self, host: &str, headers: &[String]) {
        locked(&self.challenges).insert(host.to_owned(), headers.to_vec());
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The lock, whatever a thread that panicked did with it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_they_end() {
        let held =
            |seconds| CachedAuthorization::living(Secret::new("x"), Duration::from_secs(seconds));
        let left = |held: &CachedAuthorization| {
            let end = held.renew_at.unwrap();
            (end - Instant::now()).as_secs_f64().round()
        };
        assert!((left(&held(300)) - 270.0).abs() < 1.5);
        assert!((left(&held(60)) - 30.0).abs() < 1.5);
        assert!((left(&held(10)) - 5.0).abs() < 1.5);
        assert!(!held(0).is_good() && held(60).is_good());
        assert!(left(&held(u64::MAX)) < 86_401.0);
        assert!(CachedAuthorization::lasting(Secret::new("x")).is_good());
    }

    #[test]
    fn nothing_is_printed() {
        let tokens = TokenCache::default();
        *locked(&tokens.slot("h")) = Some(CachedAuthorization::lasting(Secret::new("hunter2")));
        assert!(locked(&tokens.slot("h")).is_some());
        let shown = format!("{tokens:?} {:?}", tokens.slot("h"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
