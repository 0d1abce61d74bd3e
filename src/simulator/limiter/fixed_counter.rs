use std::time::{Duration, SystemTime};

use super::{Limiter, Wait};
use crate::simulator::clock::WallClock;
use crate::simulator::enforcement::Midnight;

/// A counter that is set back to zero at the start of each period of the wall clock.
///
/// Around such a moment twice the limit can pass within an instant.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct FixedCounter {
    limit: u64,
    periods: Periods,
    used: u128,
    /// When the period that was counted in ends.
    ends: Duration,
}

/// The periods that a [`FixedCounter`] counts in.
#[derive(Clone, Debug)]
pub(in crate::simulator) enum Periods {
    /// Of this length, one of which starts with the Unix epoch: minutes are those of a clock.
    Every(Duration, WallClock),
    /// From one midnight to the next, 23 to 25 hours.
    Days(Midnight, WallClock),
}

impl FixedCounter {
    pub(in crate::simulator) fn new(limit: u64, periods: Periods) -> Self {
        Self {
            limit,
            ends: periods.end(Duration::ZERO),
            periods,
            used: 0,
        }
    }
}

impl Periods {
    /// The end of the period that `now` lies in.
    fn end(&self, now: Duration) -> Duration {
        match self {
            Self::Every(length, clock) => {
                // In periods of no length every moment is the start of one.
                let into = (clock.since_epoch(now).as_nanos())
                    .checked_rem(length.as_nanos())
                    .unwrap_or(0);
                let left = length.as_nanos() - into;
                now.saturating_add(u64::try_from(left).map_or(Duration::MAX, Duration::from_nanos))
            }
            Self::Days(midnight, clock) => clock
                .at(now)
                .and_then(|time| midnight.after(time))
                .map_or(Duration::MAX, |next| since_start(next, clock)),
        }
    }
}

fn since_start(time: SystemTime, clock: &WallClock) -> Duration {
    time.duration_since(clock.starts_at()).unwrap_or_default()
}

impl Limiter for FixedCounter {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn expire(&mut self, now: Duration) {
        if now >= self.ends {
            self.used = 0;
            self.ends = self.periods.end(now);
        }
    }

    fn fits(&self, amount: u64) -> bool {
        amount == 0 || self.used + u128::from(amount) <= u128::from(self.limit)
    }

    fn count(&mut self, _now: Duration, amount: u64) {
        self.used += u128::from(amount);
    }

    fn used(&self) -> u64 {
        u64::try_from(self.used).unwrap_or(u64::MAX)
    }

    fn wait_for(&self, now: Duration, amount: u64) -> Wait {
        if self.fits(amount) {
            Wait::NONE
        } else if amount > self.limit {
            Wait::Forever
        } else {
            Wait::For(self.ends.saturating_sub(now))
        }
    }

    fn wait_until_empty(&self, now: Duration) -> Duration {
        match self.used {
            0 => Duration::ZERO,
            _ => self.ends.saturating_sub(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn clock(unix_seconds: u64) -> WallClock {
        WallClock::starting_at(SystemTime::UNIX_EPOCH + secs(unix_seconds))
    }

    #[test]
    fn minutes_are_those_of_the_clock() {
        // Started 45 s into a minute.
        let periods = Periods::Every(MINUTE, clock(1_800_000_045));
        let mut counter = FixedCounter::new(10, periods);
        counter.count(secs(0), 10);
        assert_eq!(counter.wait_for(secs(0), 1), Wait::For(secs(15)));
        assert_eq!(counter.wait_until_empty(secs(5)), secs(10));

        counter.expire(secs(15) - Duration::from_nanos(1));
        assert!(!counter.fits(1));
        counter.expire(secs(15));
        assert!(counter.fits(10));
        assert!(!counter.fits(11));
        assert_eq!(counter.wait_for(secs(15), 11), Wait::Forever);
        counter.count(secs(15), 4);
        assert_eq!((counter.used(), counter.remaining()), (4, 6));
        assert_eq!(counter.wait_for(secs(20), 7), Wait::For(secs(55)));
    }

    /// 2026-03-07 20:00 UTC is noon in Los Angeles; the next day there has 23 hours.
    #[test]
    fn days_are_those_of_the_zone() {
        let noon = 1_772_913_600;
        let mut counter = FixedCounter::new(20, Periods::Days(Midnight::Pacific, clock(noon)));
        counter.count(secs(0), 20);
        assert_eq!(counter.wait_for(secs(0), 1), Wait::For(secs(12 * 3_600)));

        let midnight = secs(12 * 3_600);
        counter.expire(midnight);
        assert!(counter.fits(20));
        counter.count(midnight, 20);
        assert_eq!(counter.wait_for(midnight, 1), Wait::For(secs(23 * 3_600)));

        let utc = FixedCounter::new(20, Periods::Days(Midnight::Utc, clock(noon)));
        assert_eq!(utc.ends, secs(4 * 3_600));
    }

    #[test]
    fn nothing_overflows() {
        let periods = Periods::Every(Duration::MAX, clock(0));
        let mut counter = FixedCounter::new(u64::MAX, periods);
        counter.count(secs(0), u64::MAX);
        counter.count(secs(0), u64::MAX);
        counter.expire(secs(1));
        assert_eq!(counter.used(), u64::MAX);
        assert_eq!(counter.wait_until_empty(secs(1)), Duration::MAX - secs(1));

        let mut days = FixedCounter::new(1, Periods::Days(Midnight::Utc, clock(0)));
        days.expire(Duration::MAX);
        assert!(days.fits(1));

        let mut void = FixedCounter::new(1, Periods::Every(Duration::ZERO, clock(0)));
        void.count(secs(0), 5);
        void.expire(secs(0));
        assert!(void.fits(1));
    }
}
