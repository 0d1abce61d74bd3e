use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::primitives::Instant;
use crate::schedule::Timestamp;

/// Tells the time of day.
pub type WallClock = dyn Fn() -> SystemTime + Send + Sync;

/// The pool's time, counted from when it was made, or the first of those with which it shares a budget. It follows a paused Tokio clock.
pub(super) struct Clock {
    epoch: Instant,
    wall: Option<Arc<WallClock>>,
    follows_days: bool,
}

/// The longest a timer sleeps, in a pool with limits per calendar day: the wall clock may leap, as
/// after a machine was suspended, and no timer tells.
const LONGEST_SLEEP_IN_DAYS: Duration = Duration::from_secs(60);

impl Clock {
    /// Without a wall clock of its own it asks the system.
    pub(super) fn start(epoch: Instant, wall: Option<Arc<WallClock>>, follows_days: bool) -> Self {
        Self {
            epoch,
            wall,
            follows_days,
        }
    }

    pub(super) fn time_of_day(&self) -> SystemTime {
        self.wall
            .as_ref()
            .map_or_else(SystemTime::now, |wall| wall())
    }

    /// The time since 1970, which is when time began, if the strategy has to be told.
    pub(super) fn unix(&self) -> Option<Duration> {
        self.follows_days.then(|| {
            self.time_of_day()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + Instant::now().saturating_duration_since(self.epoch)
    }

    /// When `time` is, for a timer. Far beyond what a timer can be set to, it is a day away: whoever
    /// sleeps looks again then.
    pub(super) fn instant(&self, time: Timestamp) -> Instant {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let now = Instant::now();
        let latest = now
            + match self.follows_days {
                true => LONGEST_SLEEP_IN_DAYS,
                false => DAY,
            };
        let after_epoch = time.saturating_since(Timestamp::ZERO);
        self.epoch
            .checked_add(after_epoch)
            .map_or(latest, |instant| instant.min(latest))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
