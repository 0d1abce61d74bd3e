use std::collections::BTreeSet;
use std::time::Duration;

use super::{Timestamp, saturating_nanos};
use crate::tier::{Limit, Meter};

/// How late a dispatch may be and still keep its slot: a timer tick of one millisecond and the
/// time it takes to be polled. Forgiven lateness is caught up with, so that it costs no quota and
/// a one-millisecond timer can serve intervals below a millisecond.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Windows up to this length are paced. Pacing a daily limit would spread it over the day.
const LONGEST_PACED_WINDOW: Duration = Duration::from_secs(60);

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
/// Counting from the last *actual* dispatch would add every timer's lateness to every request.
/// Grants keep slots of their own, so that callers are not all let through the gate at once only
/// to wait behind it; but two grants may be used together, so a dispatch takes its slot when it
/// happens.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next_grant: Timestamp,
    next_dispatch: Timestamp,
    /// Slots before `next_dispatch` that were taken and given back.
    free: BTreeSet<Timestamp>,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            next_grant: Timestamp::ZERO,
            next_dispatch: Timestamp::ZERO,
            free: BTreeSet::new(),
        }
    }

    /// Slots already given out keep their times.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        if self.interval != interval {
            self.interval = interval;
            // They lie at the old distance.
            self.free.clear();
        }
    }

    /// When the next request may be granted.
    pub(super) fn next(&mut self, now: Timestamp) -> Timestamp {
        self.next_grant.max(self.next_dispatch(now))
    }

    fn next_dispatch(&mut self, now: Timestamp) -> Timestamp {
        while self.free.first().is_some_and(|slot| *slot + TICK < now) {
            self.free.pop_first();
        }
        self.free.first().copied().unwrap_or(self.next_dispatch)
    }

    pub(super) fn grant(&mut self, now: Timestamp) {
        self.next_grant = self.next_grant.max(now.saturating_sub(TICK)) + self.interval;
    }

    /// A grant that was never used leaves its place to the next one.
    pub(super) fn ungrant(&mut self) {
        self.next_grant = self.next_grant.saturating_sub(self.interval);
    }

    /// The slot for a dispatch that wants to go at `now` and may hold one it could not use yet.
    ///
    /// A slot that lies behind by more than a tick is void: its holder was not polled in time, and
    /// dispatches that pile up must not go out together.
    pub(super) fn slot(&mut self, now: Timestamp, held: Option<Timestamp>) -> Timestamp {
        match held {
            Some(slot) if now <= slot + TICK => slot,
            _ => {
                let next = self.next_dispatch(now);
                if self.free.remove(&next) {
                    return next;
                }
                let slot = next.max(now.saturating_sub(TICK));
                self.next_dispatch = slot + self.interval;
                slot
            }
        }
    }

    /// Gives back a slot that was held and not used.
    pub(super) fn give_back(&mut self, slot: Timestamp) {
        self.free.insert(slot);
        while let Some(last) = self.free.last().copied() {
            if last + self.interval != self.next_dispatch {
                break;
            }
            self.next_dispatch = last;
            self.free.pop_last();
        }
    }
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
        assert_eq!(pace.slot(at(0), None), at(0));
        assert_eq!(
            pace.slot(at(10_000), None),
            at(9_998),
            "one tick is forgiven"
        );
        assert_eq!(pace.slot(at(10_000), None), at(10_998));
    }

    #[test]
    fn lateness_within_a_tick_does_not_add_up() {
        let mut pace = Pace::new(SECOND);
        for n in 0..100 {
            assert_eq!(pace.slot(at(n * 1000 + 1), None), at(n * 1000));
        }
    }

    #[test]
    fn a_slot_that_was_missed_is_void() {
        let mut pace = Pace::new(SECOND);
        pace.slot(at(0), None);
        let missed = pace.slot(at(0), None);
        assert_eq!(missed, at(1000));
        assert_eq!(pace.slot(at(1002), Some(missed)), missed);
        assert_eq!(pace.slot(at(5000), Some(missed)), at(4998));
    }

    #[test]
    fn slots_given_back_are_taken_again_in_order() {
        let mut pace = Pace::new(SECOND);
        let slots: Vec<Timestamp> = (0..5).map(|_| pace.slot(at(0), None)).collect();
        pace.give_back(slots[2]);
        pace.give_back(slots[1]);
        assert_eq!(pace.next(at(0)), at(1000));
        assert_eq!(pace.slot(at(0), None), at(1000));
        pace.give_back(slots[4]);
        pace.give_back(slots[3]);
        // All from the third on are free, so nothing is left of them but the end of the chain.
        assert_eq!(pace.next_dispatch, at(2000));
        assert!(pace.free.is_empty());
        assert_eq!(pace.slot(at(60_000), None), at(59_998));
    }
}
