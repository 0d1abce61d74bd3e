use std::collections::VecDeque;
use std::time::Duration;

/// An exact sliding log: every entry counts for one window, from the moment it is counted.
///
/// The simplest limiter that is exact, in memory proportional to what a window holds. It shares no
/// code with the scheduler on purpose: it is what the scheduler is judged by.
#[derive(Debug)]
pub(super) struct SlidingLog {
    limit: u64,
    window: Duration,
    /// Moment and amount, oldest first.
    entries: VecDeque<(Duration, u64)>,
    /// The sum of the entries, in a type that `u64` amounts cannot overflow.
    used: u128,
}

impl SlidingLog {
    pub(super) fn new(limit: u64, window: Duration) -> Self {
        Self {
            limit,
            window,
            entries: VecDeque::new(),
            used: 0,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Forgets what lies outside `(now - window, now]`. Moments must not go back.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(&(at, amount)) = self.entries.front() {
            if at.saturating_add(self.window) > now {
                break;
            }
            self.used -= u128::from(amount);
            self.entries.pop_front();
        }
    }

    pub(super) fn count(&mut self, now: Duration, amount: u64) {
        if amount > 0 {
            self.used += u128::from(amount);
            self.entries.push_back((now, amount));
        }
    }

    /// Whether counting `amount` would stay within the limit. Nothing always fits, even into a log
    /// that is over its limit because amounts were counted after the fact.
    pub(super) fn fits(&self, amount: u64) -> bool {
        amount == 0 || self.used + u128::from(amount) <= u128::from(self.limit)
    }

    /// Units counted in the window.
    pub(super) fn used(&self) -> u64 {
        u64::try_from(self.used).unwrap_or(u64::MAX)
    }

    /// How long until `amount` fits if nothing else is counted; `None` if it never does.
    pub(super) fn wait_for(&self, now: Duration, amount: u64) -> Option<Duration> {
        if self.fits(amount) {
            return Some(Duration::ZERO);
        }
        let excess = self.used + u128::from(amount) - u128::from(self.limit);
        let mut freed = 0;
        self.entries.iter().find_map(|&(at, amount)| {
            freed += u128::from(amount);
            (freed >= excess).then(|| at.saturating_add(self.window).saturating_sub(now))
        })
    }

    /// How long until the whole limit is free.
    pub(super) fn wait_until_empty(&self, now: Duration) -> Duration {
        self.entries.back().map_or(Duration::ZERO, |&(at, _)| {
            at.saturating_add(self.window).saturating_sub(now)
        })
    }
}

/// The largest sum of amounts in any interval `(x, x + window]` of a log in order of time.
pub(super) fn worst_window(
    log: impl IntoIterator<Item = (Duration, u64)>,
    window: Duration,
) -> u64 {
    // The maximum is reached by an interval that ends at an entry, so these are all there are to
    // look at.
    let mut within = SlidingLog::new(u64::MAX, window);
    log.into_iter().fold(0, |worst, (at, amount)| {
        within.expire(at);
        within.count(at, amount);
        worst.max(within.used())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_entry_is_gone_exactly_one_window_later() {
        let mut log = SlidingLog::new(5, WINDOW);
        log.count(secs(1), 5);

        log.expire(secs(11) - Duration::from_nanos(1));
        assert!(!log.fits(1));
        log.expire(secs(11));
        assert!(log.fits(5));
    }

    #[test]
    fn the_wait_is_until_enough_entries_are_gone() {
        let mut log = SlidingLog::new(10, WINDOW);
        log.count(secs(0), 3);
        log.count(secs(2), 3);
        log.count(secs(4), 4);

        assert_eq!(log.wait_for(secs(4), 0), Some(secs(0)));
        assert_eq!(log.wait_for(secs(4), 3), Some(secs(6)));
        assert_eq!(log.wait_for(secs(4), 4), Some(secs(8)));
        assert_eq!(log.wait_for(secs(4), 10), Some(secs(10)));
        assert_eq!(log.wait_for(secs(4), 11), None);
        assert_eq!(log.wait_until_empty(secs(5)), secs(9));
    }

    #[test]
    fn huge_amounts_do_not_overflow() {
        let mut log = SlidingLog::new(u64::MAX, WINDOW);
        log.count(secs(0), u64::MAX);
        log.count(secs(0), u64::MAX);

        assert_eq!(log.used(), u64::MAX);
        log.expire(secs(10));
        assert_eq!(log.used(), 0);
    }

    #[test]
    fn the_worst_window_excludes_its_start_and_includes_its_end() {
        assert_eq!(worst_window([(secs(0), 2), (secs(10), 3)], WINDOW), 3);
        assert_eq!(worst_window([(secs(1), 2), (secs(10), 3)], WINDOW), 5);
        assert_eq!(worst_window([], WINDOW), 0);
    }
}
