use std::time::Duration;

use super::limiter::{Limiter, SlidingLog};

/// Adds up what is counted, and keeps the most there ever was at once.
///
/// It does so as things happen, so that reading it costs nothing however long the run.
#[derive(Debug)]
pub(super) struct Tally {
    window: Duration,
    current: Current,
    counted: u128,
    worst: u64,
    first: Option<Duration>,
    /// Whole windows since the first unit, up to the last one.
    windows: u128,
    /// What was counted in them; everything, in the first window.
    in_windows: u128,
}

#[derive(Debug)]
enum Current {
    Window(SlidingLog),
    InFlight(u64),
}

impl Tally {
    /// Of what counts for a window each, or else until it ends.
    pub(super) fn new(window: Duration, in_flight: bool) -> Self {
        Self {
            window,
            current: if in_flight {
                Current::InFlight(0)
            } else {
                Current::Window(SlidingLog::new(u64::MAX, window))
            },
            counted: 0,
            worst: 0,
            first: None,
            windows: 0,
            in_windows: 0,
        }
    }

    pub(super) fn count(&mut self, now: Duration, amount: u64) {
        if amount == 0 {
            return;
        }
        let first = *self.first.get_or_insert(now);
        let windows = (now - first).as_nanos().checked_div(self.window.as_nanos());
        if windows.is_some_and(|windows| windows > self.windows) {
            self.windows = windows.unwrap_or_default();
            self.in_windows = self.counted;
        }
        self.counted += u128::from(amount);
        let current = match &mut self.current {
            Current::Window(log) => {
                log.expire(now);
                log.count(now, amount);
                log.used()
            }
            Current::InFlight(in_flight) => {
                *in_flight = in_flight.saturating_add(amount);
                *in_flight
            }
        };
        self.worst = self.worst.max(current);
    }

    /// Something that was counted has ended, which matters for what is in flight only.
    pub(super) fn release(&mut self, amount: u64) {
        if let Current::InFlight(in_flight) = &mut self.current {
            *in_flight = in_flight.saturating_sub(amount);
        }
    }

    /// Everything that was ever counted.
    pub(super) fn counted(&self) -> u64 {
        u64::try_from(self.counted).unwrap_or(u64::MAX)
    }

    /// The largest sum in any interval `(x, x + window]`, or the most that was ever in flight.
    pub(super) fn worst(&self) -> u64 {
        self.worst
    }

    /// The share of `limit` that was used in the whole windows there were, and at least in one.
    pub(super) fn share_of(&self, limit: u64) -> Option<f64> {
        if self.first.is_none() || limit == 0 || self.window.is_zero() {
            return None;
        }
        let used = match self.windows {
            0 => self.counted,
            _ => self.in_windows,
        };
        Some(used as f64 / (self.windows.max(1) as f64 * limit as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn share(limit: u64, at_millis: &[u64]) -> Option<f64> {
        let mut tally = Tally::new(WINDOW, false);
        for &at in at_millis {
            tally.count(Duration::from_millis(at), 1);
        }
        tally.share_of(limit)
    }

    #[test]
    fn a_burst_per_window_uses_the_limit_once() {
        assert_eq!(share(2, &[0, 20, 10_000, 10_020]), Some(1.0));
        assert_eq!(share(2, &[0, 20, 10_000, 10_020, 20_010]), Some(1.0));
        assert_eq!(share(2, &[0, 20, 10_000, 35_000]), Some(0.5));
    }

    #[test]
    fn a_short_run_is_measured_against_one_window() {
        assert_eq!(share(4, &[500]), Some(0.25));
        assert_eq!(share(4, &[500, 1_000]), Some(0.5));
    }

    #[test]
    fn there_is_no_share_of_nothing() {
        assert_eq!(share(4, &[]), None);
        assert_eq!(share(0, &[1]), None);
    }

    #[test]
    fn the_worst_is_that_of_any_window() {
        let mut tally = Tally::new(WINDOW, false);
        for (at, amount) in [(0, 2), (9, 3), (10, 1), (18, 4), (40, 1)] {
            tally.count(Duration::from_secs(at), amount);
        }
        assert_eq!((tally.worst(), tally.counted()), (8, 11));
    }

    #[test]
    fn the_worst_in_flight_is_the_peak() {
        let mut tally = Tally::new(Duration::ZERO, true);
        tally.count(Duration::ZERO, 1);
        tally.count(WINDOW, 1);
        tally.release(1);
        tally.count(WINDOW * 2, 1);
        assert_eq!((tally.worst(), tally.counted()), (2, 3));
    }
}
