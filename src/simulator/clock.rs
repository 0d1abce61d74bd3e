use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Sleep};

/// Time since the simulator was built, by tokio's clock so that tests can pause it.
///
/// Everything else here works in durations since that start: they saturate where an `Instant`
/// would panic, whatever latencies a test asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A timer that fires at `at` or as soon after it as tokio's clock can tell.
    pub(super) fn sleep_until(&self, at: Duration) -> Sleep {
        tokio::time::sleep(at.saturating_sub(self.now()))
    }
}

/// The provider's own date and time, which moves with its [`Clock`].
///
/// It is not the machine's, so that two runs with one seed give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WallClock {
    starts_at: SystemTime,
}

impl WallClock {
    pub(super) const fn starting_at(starts_at: SystemTime) -> Self {
        Self { starts_at }
    }

    pub(super) fn starts_at(&self) -> SystemTime {
        self.starts_at
    }

    /// The date and time at a moment of the [`Clock`], unless it lies beyond what can be told.
    pub(super) fn at(&self, moment: Duration) -> Option<SystemTime> {
        self.starts_at.checked_add(moment)
    }

    /// Since the Unix epoch; none of it before.
    pub(super) fn since_epoch(&self, moment: Duration) -> Duration {
        self.starts_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_add(moment)
    }
}
