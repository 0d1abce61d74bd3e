use std::collections::VecDeque;
use std::time::Duration;

use super::{Timestamp, saturating_nanos};

/// The most runs a log keeps: 32 KiB, whatever the limit.
const MAX_RUNS: usize = 2048;

/// Below this many runs a log that had to round becomes exact again.
const EXACT_BELOW: usize = MAX_RUNS / 8;

/// The coarsest step a log starts to round with, as a share of its window.
const FIRST_QUANTUM_PER_WINDOW: u64 = 1024;

/// Amounts that stop counting at known times.
///
/// Exact while it holds fewer than [`MAX_RUNS`] different times. Beyond that, times are rounded
/// *up* and amounts of one time merged, so memory is bounded and the log counts an amount for
/// longer, never shorter, than it should.
#[derive(Debug)]
pub(super) struct ExpiringLog {
    /// Ascending by time, no time twice, no amount zero.
    runs: VecDeque<Run>,
    total: u64,
    /// Times are multiples of this many nanoseconds; 1 is exact.
    quantum: u64,
    first_quantum: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    expires: Timestamp,
    amount: u64,
}

impl ExpiringLog {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            runs: VecDeque::new(),
            total: 0,
            quantum: 1,
            first_quantum: (saturating_nanos(window) / FIRST_QUANTUM_PER_WINDOW).max(2),
        }
    }

    /// The sum of everything that has not been expired yet.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When the next amount stops counting.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.runs.front().map(|run| run.expires)
    }

    /// Forgets what no longer counts at `now`. An amount counts up to its time, not at it.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(run) = self.runs.front() {
            if run.expires > now {
                break;
            }
            self.total -= run.amount;
            self.runs.pop_front();
        }
    }

    /// Counts `amount` until `expires`.
    pub(super) fn add(&mut self, expires: Timestamp, amount: u64) {
        // A total that saturated would be taken apart wrongly later, so cut what is added.
        let amount = amount.min(u64::MAX - self.total);
        if amount == 0 {
            return;
        }
        if self.quantum > 1 && self.runs.len() < EXACT_BELOW {
            self.quantum = 1;
        }
        self.total += amount;
        self.merge(Run {
            expires: round_up(expires, self.quantum),
            amount,
        });
        if self.runs.len() >= MAX_RUNS {
            self.coarsen();
        }
    }

    /// Takes back `amount` of what was added to count until `expires`, which must still be ahead.
    ///
    /// After rounding, the amount may live in a later run than asked for. It is then taken from
    /// the earliest run at or after its time: the total is right at once, and too high, never too
    /// low, until the later run expires.
    pub(super) fn take_back(&mut self, expires: Timestamp, amount: u64) {
        let mut left = amount;
        let mut at = self.first_not_before(expires);
        while left > 0 {
            let Some(run) = self.runs.get_mut(at) else {
                debug_assert!(false, "took back {left} more than was added");
                break;
            };
            let taken = left.min(run.amount);
            run.amount -= taken;
            self.total -= taken;
            left -= taken;
            if run.amount == 0 {
                self.runs.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// The earliest time at which at least `amount` of the total has expired; `None` if it is more
    /// than the total.
    pub(super) fn frees(&self, amount: u64) -> Option<Timestamp> {
        let mut freed = 0_u64;
        for run in &self.runs {
            freed += run.amount;
            if freed >= amount {
                return Some(run.expires);
            }
        }
        None
    }

    /// The sum of what has expired by `expires`, of what has not been forgotten yet.
    pub(super) fn total_until(&self, expires: Timestamp) -> u64 {
        self.runs
            .iter()
            .take_while(|run| run.expires <= expires)
            .map(|run| run.amount)
            .sum()
    }

    /// The sum of what counts beyond `expires`.
    pub(super) fn total_after(&self, expires: Timestamp) -> u64 {
        self.runs
            .iter()
            .rev()
            .take_while(|run| run.expires > expires)
            .map(|run| run.amount)
            .sum()
    }

    fn merge(&mut self, new: Run) {
        // Nearly every time is the latest one so far, or close to it.
        match self.runs.back_mut() {
            Some(last) if last.expires == new.expires => last.amount += new.amount,
            Some(last) if last.expires > new.expires => {
                let at = self.first_not_before(new.expires);
                match self.runs.get_mut(at) {
                    Some(run) if run.expires == new.expires => run.amount += new.amount,
                    _ => self.runs.insert(at, new),
                }
            }
            _ => self.runs.push_back(new),
        }
    }

    fn first_not_before(&self, expires: Timestamp) -> usize {
        self.runs.partition_point(|run| run.expires < expires)
    }

    /// Doubles the quantum until half the room is free again.
    fn coarsen(&mut self) {
        while self.runs.len() > MAX_RUNS / 2 {
            self.quantum = self.quantum.saturating_mul(2).max(self.first_quantum);
            let mut kept: Option<usize> = None;
            for at in 0..self.runs.len() {
                let run = self.runs[at];
                let expires = round_up(run.expires, self.quantum);
                match kept {
                    Some(last) if self.runs[last].expires == expires => {
                        self.runs[last].amount += run.amount;
                    }
                    _ => {
                        let next = kept.map_or(0, |last| last + 1);
                        self.runs[next] = Run {
                            expires,
                            amount: run.amount,
                        };
                        kept = Some(next);
                    }
                }
            }
            self.runs.truncate(kept.map_or(0, |last| last + 1));
        }
    }
}

fn round_up(time: Timestamp, quantum: u64) -> Timestamp {
    let nanos = time.as_nanos();
    Timestamp::from_nanos(nanos.checked_next_multiple_of(quantum).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn an_amount_counts_up_to_its_time_and_not_at_it() {
        let mut log = ExpiringLog::new(WINDOW);
        log.add(at(10), 3);
        log.expire(at(9));
        assert_eq!(log.total(), 3);
        log.expire(at(10));
        assert_eq!(log.total(), 0);
    }

    #[test]
    fn frees_cumulates_over_small_amounts() {
        let mut log = ExpiringLog::new(WINDOW);
        for nanos in 1..=10 {
            log.add(at(nanos), 2);
        }
        assert_eq!(log.frees(1), Some(at(1)));
        assert_eq!(log.frees(2), Some(at(1)));
        assert_eq!(log.frees(15), Some(at(8)));
        assert_eq!(log.frees(20), Some(at(10)));
        assert_eq!(log.frees(21), None);
    }

    #[test]
    fn totals_divide_at_a_time() {
        let mut log = ExpiringLog::new(WINDOW);
        for nanos in 1..=10 {
            log.add(at(nanos), nanos);
        }
        assert_eq!((log.total_until(at(3)), log.total_after(at(3))), (6, 49));
        assert_eq!((log.total_until(at(0)), log.total_after(at(10))), (0, 0));
    }

    #[test]
    fn a_huge_amount_does_not_overflow() {
        let mut log = ExpiringLog::new(WINDOW);
        log.add(at(10), u64::MAX - 1);
        log.add(at(20), u64::MAX);
        assert_eq!(log.total(), u64::MAX);
        log.expire(at(20));
        assert_eq!(log.total(), 0);
    }

    #[test]
    fn memory_is_bounded_at_any_rate() {
        let mut log = ExpiringLog::new(WINDOW);
        // 100,000 per minute for two minutes, each at a time of its own.
        for n in 0..200_000_u64 {
            let now = at(n * 600_000);
            log.expire(now);
            log.add(now + WINDOW, 1);
            assert!(log.runs.len() <= MAX_RUNS);
        }
        assert!(log.runs.capacity() * size_of::<Run>() <= 64 * 1024);
        // Rounding keeps an entry for at most two quanta of 1/512 window longer.
        assert!(
            log.total() >= 100_000 && log.total() <= 100_400,
            "{}",
            log.total()
        );
    }

    #[test]
    fn becomes_exact_again_after_a_burst() {
        let mut log = ExpiringLog::new(WINDOW);
        for n in 0..10_000 {
            log.add(at(n * 6_000_000), 1);
        }
        assert!(log.quantum > 1);
        log.expire(at(u64::MAX / 2));
        log.add(at(u64::MAX / 2 + 12_345), 1);
        assert_eq!(log.next_expiry(), Some(at(u64::MAX / 2 + 12_345)));
    }

    proptest! {
        /// Against a list of every amount with its exact time.
        #[test]
        fn never_counts_less_than_an_exact_log(
            steps in proptest::collection::vec((0_u64..5_000, 0_u64..100_000_000, 1_u64..9, any::<bool>()), 1..6_000),
        ) {
            let mut log = ExpiringLog::new(Duration::from_millis(50));
            let mut exact: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (pause, ahead, amount, take) in steps {
                now += pause;
                log.expire(at(now));
                exact.retain(|(expires, _)| *expires > now);
                if take && !exact.is_empty() {
                    let index = usize::try_from(ahead).unwrap() % exact.len();
                    let (expires, amount) = exact.swap_remove(index);
                    log.take_back(at(expires), amount);
                } else {
                    exact.push((now + 1 + ahead, amount));
                    log.add(at(now + 1 + ahead), amount);
                }
                let counted: u64 = exact.iter().map(|(_, amount)| amount).sum();
                prop_assert!(log.total() >= counted);
                prop_assert_eq!(log.total(), log.runs.iter().map(|run| run.amount).sum::<u64>());
                if log.quantum == 1 && exact.len() < EXACT_BELOW / 2 && log.runs.len() == exact.len() {
                    prop_assert_eq!(log.total(), counted);
                }
                prop_assert!(log.runs.len() <= MAX_RUNS);
            }
        }
    }
}
