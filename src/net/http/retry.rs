//! When to try again, and after how long.
//!
//! Waits under a [`RetryBudget`], those of pushes, are spread a little, because many builds of one morning
//! push to the same registry; all others are the same each time. `Retry-After` is RFC 9110 section 10.2.3; its date is measured against the
//! response's own `Date`, so that no clock of ours is needed.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tries in all for a failure that will hardly pass.
const UNLIKELY_TRIES: u32 = 2;
/// Waits in all where somebody else can be asked instead.
const HURRIED_BUDGET: Duration = Duration::from_secs(2);

/// How often and how patiently a request is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Tries in all, the first included; of these, [`UNLIKELY_TRIES`] for what will hardly pass.
    pub tries: u32,
    /// Wait before the second try; each later one is twice as long.
    pub first_wait: Duration,
    /// No single wait is longer, whatever the server asks.
    pub longest_wait: Duration,
    /// All waits for one request together are no longer.
    pub budget: Duration,
    /// All waits of one push together are no longer, those at the same time counted once.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_mins(1),
            budget: Duration::from_mins(3),
            total: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// The same for who has somebody else to ask.
    pub(super) fn hurried(self) -> Self {
        Self {
            tries: self.tries.min(UNLIKELY_TRIES),
            budget: self.budget.min(HURRIED_BUDGET),
            ..self
        }
    }
}

/// A failure that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryHint {
    /// Wait as the schedule has it.
    Scheduled,
    /// Nobody is there, so in all likelihood the address is wrong: one more try, after twice the
    /// first wait.
    Unlikely,
    /// Wait as long as the server asks.
    Told(Duration),
}

/// Time for waits that many requests share, several at once among them.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    total: Duration,
    spent: Mutex<SpentBudget>,
    /// Where the spread of waits comes from; another one in each run.
    spread: AtomicU64,
}

#[derive(Debug, Default)]
struct SpentBudget {
    waited: Duration,
    /// When the last of the waits granted so far ends.
    until: Option<Instant>,
}

impl RetryBudget {
    /// So much time, none of it used.
    pub(super) fn new(total: Duration) -> Self {
        Self {
            total,
            spent: Mutex::default(),
            spread: AtomicU64::new(RandomState::new().hash_one(0)),
        }
    }

    /// Takes a wait that begins now; false if so much is not left. Waits that overlap count once.
    fn take(&self, wait: Duration) -> bool {
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = spent
            .until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let more = wait.saturating_sub(covered);
        if spent.waited + more > self.total {
            return false;
        }
        spent.waited += more;
        if !more.is_zero() {
            spent.until = Some(now + wait);
        }
        true
    }

    /// Between 0.75 and 1.25 times a wait; never less than a server asked.
    fn spread(&self, wait: Duration, passing: RetryHint) -> Duration {
        let step = self
            .spread
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let part = u32::try_from((step >> 32) % 1001).unwrap_or(0);
        let least = match passing {
            RetryHint::Told(_) => 1000,
            RetryHint::Scheduled | RetryHint::Unlikely => 750,
        };
        wait.saturating_mul(least + part * (1250 - least) / 1000) / 1000
    }
}

/// Waits used up so far for one request.
#[derive(Debug)]
pub(crate) struct RetryState {
    policy: RetryPolicy,
    shared: Option<Arc<RetryBudget>>,
    /// Somebody was there before.
    known: bool,
    failures: u32,
    unlikely: u32,
    waited: Duration,
}

impl RetryState {
    /// Nothing used up yet.
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            shared: None,
            known: false,
            failures: 0,
            unlikely: 0,
            waited: Duration::ZERO,
        }
    }

    /// The same patience, under a budget that it shares with others.
    pub(crate) fn within(mut self, budget: &Arc<RetryBudget>) -> Self {
        self.shared = Some(Arc::clone(budget));
        self
    }

    /// For a host that has answered before: one that is not there now is being started again.
    pub(crate) fn with_known_host(mut self, known: bool) -> Self {
        self.known = known;
        self
    }

    /// Tries made so far that failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of one more failure; how long to wait before the next try, or `None` if there is
    /// none left.
    pub(crate) fn after(&mut self, passing: RetryHint) -> Option<Duration> {
        let passing = match passing {
            RetryHint::Unlikely if self.known => RetryHint::Scheduled,
            other => other,
        };
        self.failures += 1;
        self.unlikely += u32::from(passing == RetryHint::Unlikely);
        if self.failures >= self.policy.tries || self.unlikely >= UNLIKELY_TRIES {
            return None;
        }
        let doubled = 1u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX);
        let scheduled = self.policy.first_wait.saturating_mul(doubled);
        let wait = match passing {
            RetryHint::Scheduled => scheduled,
            RetryHint::Unlikely => self.policy.first_wait.saturating_mul(2),
            RetryHint::Told(asked) => asked,
        };
        let spread = |budget: &Arc<RetryBudget>| budget.spread(wait, passing);
        let wait = self.shared.as_ref().map_or(wait, spread);
        let wait = wait.min(self.policy.longest_wait);
        if self.waited + wait > self.policy.budget {
            return None;
        }
        if self
            .shared
            .as_ref()
            .is_some_and(|budget| !budget.take(wait))
        {
            return None;
        }
        self.waited += wait;
        Some(wait)
    }

    /// The transfer has moved on: failures from here on are counted anew, waits are not.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
        self.unlikely = 0;
    }
}

/// Statuses that mean "later", not "no".
pub(crate) fn status_may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// What a server asks by `Retry-After`, given its own `Date`. `None` if it asks nothing readable.
pub(crate) fn told(retry_after: Option<&str>, date: Option<&str>) -> RetryHint {
    let Some(text) = retry_after.map(str::trim) else {
        return RetryHint::Scheduled;
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return RetryHint::Told(Duration::from_secs(seconds));
    }
    let read = |text| httpdate::parse_http_date(text).ok();
    match (read(text), date.and_then(read)) {
        (Some(then), Some(now)) => {
            RetryHint::Told(then.duration_since(now).unwrap_or(Duration::ZERO))
        }
        _ => RetryHint::Scheduled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let mut patience = RetryState::new(RetryPolicy::default());
        let waits: Vec<_> = std::iter::from_fn(|| patience.after(RetryHint::Scheduled))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000]);
        assert_eq!(patience.failures(), 6);
    }

    #[test]
    fn nobody_there_is_tried_twice() {
        let mut patience = RetryState::new(RetryPolicy::default());
        assert!(patience.after(RetryHint::Scheduled).is_some());
        assert_eq!(
            patience.after(RetryHint::Unlikely),
            Some(Duration::from_millis(500))
        );
        assert_eq!(patience.after(RetryHint::Unlikely), None);
        assert_eq!(patience.failures(), 3);
        let mut patience = RetryState::new(RetryPolicy::default()).with_known_host(true);
        assert_eq!(
            std::iter::from_fn(|| patience.after(RetryHint::Unlikely)).count(),
            5
        );
    }

    #[test]
    fn a_server_is_obeyed_within_limits() {
        let mut patience = RetryState::new(RetryPolicy::default());
        assert_eq!(
            patience.after(RetryHint::Told(Duration::from_secs(7))),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            patience.after(RetryHint::Told(Duration::from_secs(86_399))),
            Some(Duration::from_mins(1))
        );
        assert!(
            patience
                .after(RetryHint::Told(Duration::from_secs(59)))
                .is_some()
        );
        // 126 s are used up; another minute does not fit into three.
        assert_eq!(
            patience.after(RetryHint::Told(Duration::from_mins(1))),
            None
        );
    }

    #[test]
    fn progress_gives_new_tries_but_no_new_budget() {
        let mut patience = RetryState::new(RetryPolicy {
            budget: Duration::from_secs(1),
            ..RetryPolicy::default()
        });
        assert!(patience.after(RetryHint::Scheduled).is_some());
        patience.progressed();
        assert_eq!(
            patience.after(RetryHint::Scheduled),
            Some(Duration::from_millis(250))
        );
        patience.progressed();
        assert!(patience.after(RetryHint::Scheduled).is_some());
        patience.progressed();
        assert!(patience.after(RetryHint::Scheduled).is_some());
        patience.progressed();
        assert_eq!(patience.after(RetryHint::Scheduled), None);
    }

    #[test]
    fn a_shared_budget_counts_waits_at_the_same_time_once() {
        let policy = RetryPolicy {
            total: Duration::from_secs(10),
            ..RetryPolicy::default()
        };
        let budget = Arc::new(RetryBudget::new(policy.total));
        let mut many: Vec<_> = (0..8)
            .map(|_| RetryState::new(policy).within(&budget))
            .collect();
        for patience in &mut many {
            let wait = patience
                .after(RetryHint::Told(Duration::from_secs(6)))
                .unwrap();
            assert!(
                (Duration::from_secs(6)..=Duration::from_millis(7500)).contains(&wait),
                "{wait:?}"
            );
        }
        assert_eq!(
            many[0].after(RetryHint::Told(Duration::from_secs(11))),
            None
        );
        let wait = many[1].after(RetryHint::Scheduled).unwrap();
        assert!(
            (Duration::from_millis(375)..=Duration::from_millis(625)).contains(&wait),
            "{wait:?}"
        );
    }

    #[test]
    fn reads_retry_after() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let cases = [
            (None, None, RetryHint::Scheduled),
            (Some("3"), None, RetryHint::Told(Duration::from_secs(3))),
            (Some(" 3 "), date, RetryHint::Told(Duration::from_secs(3))),
            (
                Some("Sun, 06 Nov 1994 08:50:00 GMT"),
                date,
                RetryHint::Told(Duration::from_secs(23)),
            ),
            (
                Some("Sun, 06 Nov 1994 08:49:00 GMT"),
                date,
                RetryHint::Told(Duration::ZERO),
            ),
            // The obsolete forms are read too.
            (
                Some("Sun Nov  6 08:50:00 1994"),
                date,
                RetryHint::Told(Duration::from_secs(23)),
            ),
            (
                Some("Fri, 01 Mar 2024 00:00:00 GMT"),
                Some("Thu, 29 Feb 2024 00:00:00 GMT"),
                RetryHint::Told(Duration::from_hours(24)),
            ),
            (
                Some("Sun, 06 Nov 1994 08:50:00 GMT"),
                None,
                RetryHint::Scheduled,
            ),
            (Some("soon"), date, RetryHint::Scheduled),
            (Some("-1"), date, RetryHint::Scheduled),
            (
                Some("Sun, 41 Nov 1994 08:49:00 GMT"),
                date,
                RetryHint::Scheduled,
            ),
        ];
        for (retry_after, date, expected) in cases {
            assert_eq!(told(retry_after, date), expected, "{retry_after:?}");
        }
    }
}
