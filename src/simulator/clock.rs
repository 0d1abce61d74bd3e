use std::time::Duration;

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
