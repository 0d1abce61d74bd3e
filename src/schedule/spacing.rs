use std::time::Duration;

use super::{Timestamp, saturating_nanos};
use crate::tier::{Limit, Meter};

/// How late a dispatch may be and still keep its slot: a timer tick of one millisecond and the
/// time it takes to be polled. Forgiven lateness is caught up with, so that it costs no quota and
/// a one-millisecond timer can serve intervals below a millisecond.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Windows up to this length are paced. Pacing a daily limit would spread it over the day.
pub(super) const LONGEST_PACED_WINDOW: Duration = Duration::from_secs(60);

/// The least time between two dispatches of one pool.
///
/// Many providers enforce a limit per minute in smaller steps (a limit of 60,000 a minute "may be
/// enforced as 1,000 requests/second": OpenAI rate-limits guide, read 2026-11-23), so bursts are
/// refused although the minute has room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Spacing {
    /// The window divided by the amount of each request limit per minute or shorter, the longest
    /// of them: 60/RPM. Time that has already passed counts.
    #[default]
    Even,
    /// This much, whatever the limits say.
    Fixed(Duration),
    /// None: as many at once as the windows allow.
    Off,
}

impl Spacing {
    /// The interval for a pool with these limits, each with the amount in force.
    pub(super) fn interval(self, limits: impl Iterator<Item = (Limit, u64)>) -> Duration {
        match self {
            Self::Off => Duration::ZERO,
            Self::Fixed(interval) => interval,
            Self::Even => limits
                .filter(|(limit, amount)| {
                    limit.meter() == Meter::Requests
                        && limit.window() <= LONGEST_PACED_WINDOW
                        && *amount > 0
                })
                .map(|(limit, amount)| {
                    Duration::from_nanos(saturating_nanos(limit.window()).div_ceil(amount))
                })
                .max()
                .unwrap_or(Duration::ZERO),
        }
    }
}

/// The slots of a pool, one interval apart, counted from slot to slot.
///
/// Counting from the last *actual* dispatch would add every timer's lateness to every request. For
/// the same reason grants have a clock of their own: what passes between a grant and its dispatch
/// must not delay the next grant. But grants can be used together, so each dispatch has to find its
/// own slot free as well.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next_grant: Timestamp,
    next_dispatch: Timestamp,
    /// When grants last ran ahead of dispatches, until when there was no slot for them.
    crowded_until: Timestamp,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            next_grant: Timestamp::ZERO,
            next_dispatch: Timestamp::ZERO,
            crowded_until: Timestamp::ZERO,
        }
    }

    /// The next slot is as far from the last one as if that had been taken with this interval: a
    /// limit that was wrong by much, and is corrected, must not keep its slot.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        for next in [
            &mut self.next_grant,
            &mut self.next_dispatch,
            &mut self.crowded_until,
        ] {
            if *next > Timestamp::ZERO {
                *next = (*next + interval).saturating_sub(self.interval);
            }
        }
        self.interval = interval;
    }

    /// When the next request may be granted.
    pub(super) fn next_grant(&self) -> Timestamp {
        self.next_grant.max(self.crowded_until)
    }

    /// The interval between two requests, if nothing asks for a longer one.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Grants a request that is to be followed by nothing for `interval`.
    pub(super) fn grant(&mut self, now: Timestamp, interval: Duration) {
        self.next_grant = slot_after(self.next_grant(), now, interval);
    }

    /// A grant that was not used leaves its place to the next one.
    pub(super) fn ungrant(&mut self, interval: Duration) {
        self.next_grant = self.next_grant.saturating_sub(interval);
    }

    /// Takes the slot for a dispatch, if one is free.
    ///
    /// If none is, grants have run ahead of dispatches: the next one waits for one that is.
    pub(super) fn dispatch(&mut self, now: Timestamp, interval: Duration) -> bool {
        let free = self.next_dispatch <= now;
        if free {
            self.next_dispatch = slot_after(self.next_dispatch, now, interval);
        } else {
            self.crowded_until = self.next_dispatch;
        }
        free
    }
}

/// The slot after the one taken at `now`, which may be up to a tick late.
fn slot_after(next: Timestamp, now: Timestamp, interval: Duration) -> Timestamp {
    next.max(now.saturating_sub(TICK)) + interval
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn even_spacing_follows_the_slowest_request_limit_up_to_a_minute() {
        let limits = [
            Limit::requests(60).per_minute(),
            Limit::requests(5).per_second(),
            Limit::requests(10).per_day(),
            Limit::tokens(10).per_minute(),
        ];
        let in_force = limits.map(|limit| (limit, limit.amount()));
        assert_eq!(Spacing::Even.interval(in_force.into_iter()), SECOND);
        assert_eq!(Spacing::Off.interval(in_force.into_iter()), Duration::ZERO);
    }

    #[test]
    fn time_that_has_passed_counts_but_does_not_pile_up() {
        let mut pace = Pace::new(SECOND);
        assert!(pace.dispatch(at(0), SECOND));
        assert!(!pace.dispatch(at(999), SECOND));
        assert!(pace.dispatch(at(10_000), SECOND));
        assert!(!pace.dispatch(at(10_997), SECOND));
        assert!(pace.dispatch(at(10_998), SECOND), "one tick is forgiven");
    }

    #[test]
    fn lateness_within_a_tick_does_not_add_up() {
        let mut pace = Pace::new(SECOND);
        for n in 0..100 {
            assert!(pace.dispatch(at(n * 1000 + 1), SECOND));
            assert!(!pace.dispatch(at(n * 1000 + 999), SECOND));
        }
    }

    #[test]
    fn what_passes_between_grant_and_dispatch_costs_no_slot() {
        let mut pace = Pace::new(SECOND);
        for n in 0..100 {
            let granted = at(n * 1000);
            assert!(pace.next_grant() <= granted);
            pace.grant(granted, SECOND);
            assert!(pace.dispatch(granted + Duration::from_millis(700), SECOND));
        }
    }

    #[test]
    fn a_slot_follows_the_interval() {
        let mut pace = Pace::new(SECOND);
        pace.grant(at(5000), SECOND);
        assert!(pace.dispatch(at(5000), SECOND));
        let next = pace.next_grant();
        pace.set_interval(10 * SECOND);
        assert_eq!(pace.next_grant(), next + 9 * SECOND);
        assert!(!pace.dispatch(at(6000), SECOND));
        pace.set_interval(SECOND);
        assert_eq!(pace.next_grant(), next);
        assert!(pace.dispatch(at(6000), SECOND));

        // None was taken yet.
        let mut fresh = Pace::new(Duration::ZERO);
        fresh.set_interval(SECOND);
        assert_eq!(fresh.next_grant(), Timestamp::ZERO);
    }

    #[test]
    fn grants_used_together_are_sent_one_by_one() {
        let mut pace = Pace::new(SECOND);
        for n in 0..3 {
            pace.grant(at(n * 1000), SECOND);
        }
        assert!(pace.dispatch(at(5000), SECOND));
        // The other two give their grants back and are granted again, each at its slot.
        for _ in 0..2 {
            assert!(!pace.dispatch(at(5000), SECOND));
            pace.ungrant(SECOND);
        }
        assert_eq!(pace.next_grant(), at(5998));
        pace.grant(at(5998), SECOND);
        assert!(pace.dispatch(at(5998), SECOND));
        assert_eq!(pace.next_grant(), at(6998));
    }
}
