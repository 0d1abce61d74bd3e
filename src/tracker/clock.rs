use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::primitives::Instant;
use crate::schedule::Timestamp;

/// Tells the time of day.
pub type WallClock = dyn Fn() -> SystemTime + Send + Sync;

/// The pool's time, counted from when it was made. It follows a paused Tokio clock.
pub(super) struct Clock {
    epoch: Instant,
    wall: Option<Arc<WallClock>>,
}

impl Clock {
    /// Without a wall clock of its own it asks the system.
    pub(super) fn start(wall: Option<Arc<WallClock>>) -> Self {
        Self {
            epoch: Instant::now(),
            wall,
        }
    }

    pub(super) fn time_of_day(&self) -> SystemTime {
        self.wall
            .as_ref()
            .map_or_else(SystemTime::now, |wall| wall())
    }

    /// Since 1970, which is when time began.
    pub(super) fn unix(&self) -> Duration {
        self.time_of_day()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + Instant::now().saturating_duration_since(self.epoch)
    }

    /// When `time` is, for a timer, but no longer than `most` from now: whoever sleeps looks again
    /// then.
    pub(super) fn instant(&self, time: Timestamp, most: Duration) -> Instant {
        let latest = Instant::now() + most;
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
