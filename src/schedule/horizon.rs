use std::time::Duration;

use jiff::tz::TimeZone;

use super::Timestamp;
use super::moment::Moment;
use crate::tier::Limit;

/// When what is counted stops counting.
///
/// It names that time on the clock that decides: the pool's for a sliding window, the wall's for a
/// calendar day.
#[derive(Debug)]
pub(super) enum Horizon {
    /// A window's length after it was counted.
    Sliding(Duration),
    /// With the day in which it was counted.
    Day(Day),
}

/// The days of a time zone.
#[derive(Debug)]
pub(super) struct Day {
    rules: TimeZone,
    /// How far the provider's clock and ours may be apart.
    clock_skew: Duration,
    /// The day that was last looked at: its first moment, and that of the next day.
    known: (Timestamp, Timestamp),
}

/// The length of a day of which the calendar does not know the end.
const NOMINAL: Duration = Duration::from_secs(24 * 60 * 60);

impl Horizon {
    pub(super) fn of(limit: &Limit, clock_skew: Duration) -> Self {
        match limit.reset_zone() {
            None => Self::Sliding(limit.window()),
            Some(zone) => Self::Day(Day {
                rules: zone.rules(),
                clock_skew,
                known: (Timestamp::ZERO, Timestamp::ZERO),
            }),
        }
    }

    pub(super) fn set_clock_skew(&mut self, clock_skew: Duration) {
        if let Self::Day(day) = self {
            day.clock_skew = clock_skew;
        }
    }

    /// The moment on the clock that decides.
    pub(super) fn on_clock(&self, moment: Moment) -> Timestamp {
        match self {
            Self::Sliding(_) => moment.time,
            Self::Day(_) => moment.wall,
        }
    }

    /// When it will be `clock`, on the pool's clock.
    pub(super) fn time_of(&self, now: Moment, clock: Timestamp) -> Timestamp {
        match self {
            Self::Sliding(_) => clock,
            Self::Day(_) => now.time + clock.saturating_since(now.wall),
        }
    }

    /// Until when something counts that the provider has counted by `from`.
    pub(super) fn after(&mut self, from: Moment) -> Timestamp {
        match self {
            Self::Sliding(window) => from.time + *window,
            Self::Day(day) => day.end_of(from.wall),
        }
    }
}

impl Day {
    /// The provider's clock may be behind, so that it counts in the day before, or ahead, so that
    /// it counts in the next: it counts in each that it may be counted in.
    fn end_of(&mut self, from: Timestamp) -> Timestamp {
        self.next_after(from + self.clock_skew) + self.clock_skew
    }

    fn next_after(&mut self, wall: Timestamp) -> Timestamp {
        let (begin, end) = self.known;
        if !(begin <= wall && wall < end) {
            self.known = self.look_up(wall).unwrap_or((wall, wall + NOMINAL));
        }
        self.known.1
    }

    fn look_up(&self, wall: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let instant = jiff::Timestamp::from_nanosecond(i128::from(wall.as_nanos())).ok()?;
        let today = instant.to_zoned_datetime(self.rules.clone());
        let begin = today.start_of_day().ok()?;
        let end = today.tomorrow().ok()?.start_of_day().ok()?;
        let nanos = |zoned: &jiff::ZonedDateTime| {
            let nanos = zoned.timestamp().as_nanosecond();
            u64::try_from(nanos).ok().map(Timestamp::from_nanos)
        };
        // A first day that began before 1970 began then.
        let begin = nanos(&begin).unwrap_or(Timestamp::ZERO);
        nanos(&end)
            .filter(|end| *end > wall)
            .map(|end| (begin, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Zone;

    fn wall(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(u64::try_from(instant.as_nanosecond()).unwrap())
    }

    fn day(zone: Zone, clock_skew: Duration) -> Day {
        let limit = Limit::requests(5).per_calendar_day(zone);
        match Horizon::of(&limit, clock_skew) {
            Horizon::Day(day) => day,
            Horizon::Sliding(_) => unreachable!("the limit has a zone"),
        }
    }

    #[test]
    fn a_day_ends_at_midnight_of_its_zone_whatever_its_length() {
        let mut day = day(Zone::PACIFIC, Duration::ZERO);
        let cases = [
            ("2026-11-24T10:00:00Z", "2026-11-25T08:00:00Z"),
            ("2026-11-25T07:59:59.999999999Z", "2026-11-25T08:00:00Z"),
            ("2026-11-25T08:00:00Z", "2026-11-26T08:00:00Z"),
            // 23 and 25 hours.
            ("2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
            ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T08:00:00Z"),
        ];
        for (from, end) in cases {
            assert_eq!(day.end_of(wall(from)), wall(end), "{from}");
        }
    }

    #[test]
    fn near_midnight_it_counts_in_both_days() {
        let mut day = day(Zone::UTC, Duration::from_secs(2));
        let cases = [
            ("2026-11-24T23:59:57.9Z", "2026-11-25T00:00:02Z"),
            ("2026-11-24T23:59:58Z", "2026-11-26T00:00:02Z"),
            ("2026-11-25T00:00:01Z", "2026-11-26T00:00:02Z"),
        ];
        for (from, end) in cases {
            assert_eq!(day.end_of(wall(from)), wall(end), "{from}");
        }
    }

    #[test]
    fn beyond_the_calendar_a_day_has_24_hours() {
        let mut day = day(Zone::UTC, Duration::ZERO);
        let last = Timestamp::from_nanos(u64::MAX);
        assert_eq!(day.end_of(last), last);
    }
}
