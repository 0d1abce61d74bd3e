use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::clock::WallClock;
use super::limiter::{Concurrency, FixedCounter, Limiter, Periods, SlidingLog, TokenBucket};
use crate::tier::{Limit, Meter};

/// How a simulated provider enforces a [`Limit`]. Its margin is of no effect here.
///
/// A limit on [`Meter::Concurrent`] counts what is in flight, whichever of these it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Enforcement {
    /// An exact sliding log: what was counted in `(now - window, now]`. The strictest of all.
    #[default]
    SlidingLog,
    /// A bucket that starts full and is refilled continuously, the whole limit once per window. A
    /// full bucket and its refill let up to twice the limit pass in one window.
    TokenBucket,
    /// A counter set back to zero at each multiple of the window since the Unix epoch. Up to twice
    /// the limit passes around such a moment.
    FixedCounter,
    /// A fixed counter over a part of the window, for its share of the limit: 600 a minute every
    /// second are 10 a second, with no credit for idle seconds. The share is rounded down, and is
    /// at least one unit unless the limit is zero.
    Quantised {
        /// The length of the part, such as 1 s; at most the window.
        every: Duration,
    },
    /// A counter set back to zero at midnight. The window is of no effect, except to tell the limit
    /// apart from others.
    Daily(Midnight),
}

/// Where a day starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Midnight {
    /// In UTC.
    Utc,
    /// On the Pacific coast of the United States (`America/Los_Angeles`), where a day has 23 or 25
    /// hours when the clocks change.
    Pacific,
}

impl Midnight {
    /// The first midnight after `time`, unless it lies beyond the year 9999.
    pub(super) fn after(self, time: SystemTime) -> Option<SystemTime> {
        let zone = self.zone();
        let time = Timestamp::try_from(time).ok()?;
        let today = time.to_zoned_datetime(zone.clone()).date();
        let next = today.tomorrow().ok()?.to_zoned_datetime(zone).ok()?;
        SystemTime::try_from(next.timestamp()).ok()
    }

    pub(super) fn zone(self) -> TimeZone {
        match self {
            Self::Utc => TimeZone::UTC,
            // The copy that is compiled in: the machine's own may lack it or be out of date.
            Self::Pacific => TimeZoneDatabase::bundled()
                .get("America/Los_Angeles")
                .expect("the bundled database has every zone"),
        }
    }
}

impl Enforcement {
    /// What enforces `limit` this way.
    pub(super) fn limiter(self, limit: &Limit, clock: WallClock) -> Box<dyn Limiter> {
        let amount = self.amount(limit, limit.amount());
        let window = self.window(limit);
        if limit.meter() == Meter::Concurrent {
            return Box::new(Concurrency::new(amount));
        }
        match self {
            Self::SlidingLog => Box::new(SlidingLog::new(amount, window)),
            Self::TokenBucket => Box::new(TokenBucket::new(amount, window)),
            Self::FixedCounter | Self::Quantised { .. } => {
                Box::new(FixedCounter::new(amount, Periods::Every(window, clock)))
            }
            Self::Daily(midnight) => {
                Box::new(FixedCounter::new(amount, Periods::Days(midnight, clock)))
            }
        }
    }

    /// What is enforced where `amount` is granted per window of `limit`.
    pub(super) fn amount(self, limit: &Limit, amount: u64) -> u64 {
        match self {
            Self::Quantised { .. } if limit.meter() != Meter::Concurrent && amount > 0 => {
                let (part, whole) = (self.window(limit).as_nanos(), limit.window().as_nanos());
                let share = u128::from(amount)
                    .saturating_mul(part)
                    .checked_div(whole)
                    .unwrap_or_else(|| u128::from(amount));
                u64::try_from(share).unwrap_or(amount).max(1)
            }
            _ => amount,
        }
    }

    /// The length of the window that is enforced; zero for what is in flight.
    pub(super) fn window(self, limit: &Limit) -> Duration {
        match self {
            Self::Quantised { every } => every.min(limit.window()),
            _ => limit.window(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_part_of_the_window_has_its_share_of_the_limit() {
        let every =
            |every, limit: &Limit| Enforcement::Quantised { every }.amount(limit, limit.amount());

        assert_eq!(every(SECOND, &Limit::requests(600).per_minute()), 10);
        assert_eq!(every(SECOND * 10, &Limit::requests(600).per_minute()), 100);
        assert_eq!(every(SECOND, &Limit::requests(119).per_minute()), 1);
        assert_eq!(every(SECOND, &Limit::requests(30).per_minute()), 1);
        assert_eq!(every(SECOND, &Limit::requests(0).per_minute()), 0);
        assert_eq!(every(SECOND * 90, &Limit::requests(600).per_minute()), 600);
    }
}
