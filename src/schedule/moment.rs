use std::time::Duration;

use super::{Timestamp, saturating_nanos};

/// A point in time by both clocks: the pool's own, and the wall's, in nanoseconds since 1970.
///
/// Windows slide by the pool's clock, which never jumps; days end by the wall's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) time: Timestamp,
    pub(super) wall: Timestamp,
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self {
            time: self.time + duration,
            wall: self.wall + duration,
        }
    }
}

/// What the wall clock says, as far as it has been told.
#[derive(Debug, Default)]
pub(super) struct Wall {
    /// Nanoseconds since 1970 when the pool's time was zero.
    ahead: u64,
    latest: Timestamp,
}

impl Wall {
    /// It is `unix` since 1970 now.
    pub(super) fn set(&mut self, now: Timestamp, unix: Duration) {
        self.ahead = saturating_nanos(unix).saturating_sub(now.as_nanos());
    }

    /// Now. A wall clock that is set back stands still instead: a day that is over does not begin
    /// again.
    pub(super) fn now(&mut self, now: Timestamp) -> Moment {
        self.latest = self.latest.max(self.at(now).wall);
        Moment {
            time: now,
            wall: self.latest,
        }
    }

    /// Any time, by what the wall clock says now.
    pub(super) fn at(&self, time: Timestamp) -> Moment {
        Moment {
            time,
            wall: time + Duration::from_nanos(self.ahead),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wall_clock_may_leap_but_not_go_back() {
        let mut wall = Wall::default();
        let start = Timestamp::ZERO + 5 * SECOND;
        wall.set(start, 100 * SECOND);
        assert_eq!(wall.now(start).wall, Timestamp::ZERO + 100 * SECOND);
        // Suspended for an hour, which the pool's clock does not notice.
        wall.set(start + SECOND, 3_701 * SECOND);
        assert_eq!(
            wall.now(start + SECOND).wall,
            Timestamp::ZERO + 3_701 * SECOND
        );
        wall.set(start + 2 * SECOND, 50 * SECOND);
        assert_eq!(
            wall.now(start + 2 * SECOND).wall,
            Timestamp::ZERO + 3_701 * SECOND
        );
    }
}
