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
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            next_grant: Timestamp::ZERO,
            next_dispatch: Timestamp::ZERO,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Slots already given out keep their times.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// When the next request may be granted.
    pub(super) fn next(&self) -> Timestamp {
        self.next_grant.max(self.next_dispatch)
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
                let slot = self.next_dispatch.max(now.saturating_sub(TICK));
                self.next_dispatch = slot + self.interval;
                slot
            }
        }
    }

    /// Gives back a slot that was held and not used, if nobody has taken the one after it.
    pub(super) fn give_back(&mut self, slot: Timestamp) {
        if self.next_dispatch == slot + self.interval {
            self.next_dispatch = slot;
        }
    }
}
