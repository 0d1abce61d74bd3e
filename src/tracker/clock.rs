use std::time::Duration;

use super::primitives::Instant;
use crate::schedule::Timestamp;

/// The pool's time, counted from when it was made. It follows a paused Tokio clock.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + Instant::now().saturating_duration_since(self.epoch)
    }

    /// When `time` is, for a timer. Far beyond what a timer can be set to, it is a day away: whoever
    /// sleeps looks again then.
    pub(super) fn instant(&self, time: Timestamp) -> Instant {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let now = Instant::now();
        let after_epoch = time.saturating_since(Timestamp::ZERO);
        self.epoch
            .checked_add(after_epoch)
            .map_or(now + DAY, |instant| instant.min(now + DAY))
    }
}
