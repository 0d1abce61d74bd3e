use std::collections::VecDeque;
use std::time::Duration;

use super::{Limiter, Wait};

/// An exact sliding log: every entry counts for one window, from the moment it is counted.
///
/// The strictest of all: what it lets through, a bucket or a counter of the same limit and window
/// lets through, too. Its memory is proportional to what a window holds.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct SlidingLog {
    limit: u64,
    window: Duration,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// The sum of all that was ever counted, and of all that has expired since, in a type that
    /// `u64` amounts cannot overflow.
    counted: u128,
    expired: u128,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Duration,
    /// The sum of all that was counted, up to and with this entry: so a wait is found by bisection.
    sum: u128,
}

impl SlidingLog {
    pub(in crate::simulator) fn new(limit: u64, window: Duration) -> Self {
        Self {
            limit,
            window,
            entries: VecDeque::new(),
            counted: 0,
            expired: 0,
        }
    }

    fn in_window(&self) -> u128 {
        self.counted - self.expired
    }

    /// How long until this entry is gone.
    fn wait_for_entry(&self, now: Duration, entry: &Entry) -> Duration {
        entry.at.saturating_add(self.window).saturating_sub(now)
    }
}

impl Limiter for SlidingLog {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Forgets what lies outside `(now - window, now]`.
    fn expire(&mut self, now: Duration) {
        while let Some(&Entry { at, sum }) = self.entries.front() {
            if at.saturating_add(self.window) > now {
                break;
            }
            self.expired = sum;
            self.entries.pop_front();
        }
    }

    fn fits(&self, amount: u64) -> bool {
        amount == 0 || self.in_window() + u128::from(amount) <= u128::from(self.limit)
    }

    fn count(&mut self, now: Duration, amount: u64) {
        if amount == 0 {
            return;
        }
        self.counted += u128::from(amount);
        let sum = self.counted;
        match self.entries.back_mut() {
            Some(last) if last.at == now => last.sum = sum,
            _ => self.entries.push_back(Entry { at: now, sum }),
        }
    }

    fn used(&self) -> u64 {
        u64::try_from(self.in_window()).unwrap_or(u64::MAX)
    }

    fn wait_for(&self, now: Duration, amount: u64) -> Wait {
        if self.fits(amount) {
            return Wait::NONE;
        }
        let excess = (self.in_window() + u128::from(amount)).saturating_sub(self.limit.into());
        let freed_by = self
            .entries
            .partition_point(|entry| entry.sum - self.expired < excess);
        self.entries.get(freed_by).map_or(Wait::Forever, |entry| {
            Wait::For(self.wait_for_entry(now, entry))
        })
    }

    fn wait_until_empty(&self, now: Duration) -> Duration {
        self.entries
            .back()
            .map_or(Duration::ZERO, |entry| self.wait_for_entry(now, entry))
    }
}

/// The largest sum of amounts in any interval `(x, x + window]` of a log in order of time.
pub(in crate::simulator) fn worst_window(
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

        let wait = |amount| log.wait_for(secs(4), amount);
        assert_eq!(wait(0), Wait::NONE);
        assert_eq!(wait(3), Wait::For(secs(6)));
        assert_eq!(wait(4), Wait::For(secs(8)));
        assert_eq!(wait(10), Wait::For(secs(10)));
        assert_eq!(wait(11), Wait::Forever);
        assert_eq!(log.wait_until_empty(secs(5)), secs(9));
    }

    #[test]
    fn another_limit_keeps_what_is_counted() {
        let mut log = SlidingLog::new(10, WINDOW);
        log.count(secs(0), 6);
        log.set_limit(4);
        assert_eq!((log.used(), log.remaining()), (6, 0));
        assert_eq!(log.wait_for(secs(1), 1), Wait::For(secs(9)));
        log.set_limit(7);
        assert!(log.fits(1));
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
