use std::collections::VecDeque;
use std::time::Duration;

use super::Timestamp;

/// How far back growth is looked at, as a share of the window.
const GROWTH_SPAN: u32 = 8;

/// How many earlier readings are kept for that.
const SAMPLES: u32 = 8;

/// What somebody else uses on the same key, as the provider lets us see it.
///
/// A gauge: each reading replaces the one before. A provider only tells what was used in all, and
/// which of our own requests it had counted by then is known within bounds. So a reading is a range.
/// As long as everything can be ours, they are taken to use what is likely. Once it cannot, they are
/// there: they use as much as is possible, and go on growing as they did.
#[derive(Debug, Default)]
pub(super) struct Others {
    amount: u64,
    /// When that was so: when the request was sent whose answer told.
    seen: Timestamp,
    /// What was free.
    free: u64,
    /// What the provider lets them use beside us.
    bound: u64,
    /// By when all of it has expired.
    until: Timestamp,
    /// Until when somebody is taken to be there, once seen.
    present_until: Timestamp,
    is_present: bool,
    /// Earlier readings, oldest first, and the time that passed before the last of them.
    earlier: VecDeque<(Timestamp, u64)>,
}

/// What somebody else used when a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// If everything of ours was counted that may have been: so much is theirs for certain.
    pub(super) least: u64,
    /// If what is usual was counted.
    pub(super) likely: u64,
    /// If only that was counted which certainly was.
    pub(super) most: u64,
    /// What nobody used, of what we may let through.
    pub(super) free: u64,
    /// What the provider lets them use, beside what certainly was ours.
    pub(super) bound: u64,
}

impl Others {
    /// What they used when last seen.
    pub(super) fn seen(&self, now: Timestamp) -> u64 {
        match self.until > now {
            true => self.amount,
            false => 0,
        }
    }

    /// What to take them to use when something that is sent now is counted, `skew` later at most.
    pub(super) fn at(&self, now: Timestamp, skew: Duration) -> u64 {
        if self.until <= now {
            return 0;
        }
        let grown = self.of_late().saturating_add(self.growth(now, skew));
        // They see the same room, and may take it at the same time: half of it is theirs.
        let shared = self.amount.saturating_add(self.free.div_ceil(2));
        grown.max(shared).min(self.bound.max(self.amount))
    }

    /// Whether they were there when last seen, and that is too long ago to say anything.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.is_present && self.amount > 0 && self.until <= now
    }

    /// When what is known of them is too old, if they are taken to use anything.
    pub(super) fn until(&self, now: Timestamp, skew: Duration) -> Option<Timestamp> {
        (self.at(now, skew) > 0).then_some(self.until)
    }

    /// The most they used of late.
    fn of_late(&self) -> u64 {
        let earlier = self.earlier.iter().map(|(_, amount)| *amount);
        earlier.fold(self.amount, u64::max)
    }

    /// The answer to a request that was sent at `sent` is here. What was used then has expired after
    /// `reset` at the latest.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        sent: Timestamp,
        reading: Reading,
        reset: Duration,
        window: Duration,
    ) {
        if sent < self.seen {
            // Answers may overtake each other.
            return;
        }
        if reading.least > 0 {
            self.present_until = now + window;
        }
        self.is_present = self.present_until > now;
        let (amount, free) = match self.is_present {
            true => (reading.most, reading.free),
            false => (reading.likely, 0),
        };
        let span = window / GROWTH_SPAN;
        if self
            .earlier
            .back()
            .is_none_or(|(at, _)| *at + span / SAMPLES <= self.seen)
        {
            self.earlier.push_back((self.seen, self.amount));
        }
        while self
            .earlier
            .front()
            .is_some_and(|(at, _)| *at + span < sent)
        {
            self.earlier.pop_front();
        }
        self.amount = amount;
        self.free = free;
        self.bound = reading.bound;
        self.seen = sent;
        self.until = now + reset;
    }

    /// The provider does not tell any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn growth(&self, now: Timestamp, skew: Duration) -> u64 {
        let Some((at, amount)) = self.earlier.front() else {
            return 0;
        };
        let grown = u128::from(self.amount.saturating_sub(*amount));
        let within = self.seen.saturating_since(*at).as_nanos();
        let ahead = now.saturating_since(self.seen).saturating_add(skew);
        (grown * ahead.as_nanos())
            .checked_div(within)
            .and_then(|growth| u64::try_from(growth).ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WINDOW: Duration = Duration::from_secs(80);

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO + SECOND * u32::try_from(secs).unwrap()
    }

    fn observe(others: &mut Others, secs: u64, likely: u64, most: u64) {
        let reading = Reading {
            least: likely,
            likely,
            most,
            free: 0,
            bound: 35,
        };
        others.observe(at(secs), at(secs), reading, WINDOW, WINDOW);
    }

    #[test]
    fn while_everything_can_be_ours_only_what_is_likely_is_theirs() {
        let mut others = Others::default();
        observe(&mut others, 100, 0, 10);
        assert_eq!(others.at(at(100), SECOND), 0);
        let reading = Reading {
            least: 0,
            likely: 2,
            most: 10,
            free: 20,
            bound: 35,
        };
        others.observe(at(120), at(120), reading, WINDOW, WINDOW);
        assert_eq!(others.at(at(120), SECOND), 2);
        assert!(!others.is_stale(at(500)));
    }

    #[test]
    fn once_seen_they_use_what_is_possible() {
        let mut others = Others::default();
        observe(&mut others, 100, 1, 10);
        assert_eq!(others.at(at(100), Duration::ZERO), 10);
        // It could all be ours, but somebody was there just now.
        observe(&mut others, 101, 0, 9);
        assert_eq!(others.seen(at(101)), 9);
        // They may have as much again as they just had.
        assert_eq!(others.at(at(101), Duration::ZERO), 10);
        observe(&mut others, 100 + 80, 0, 9);
        assert_eq!(others.at(at(180), Duration::ZERO), 0);
    }

    #[test]
    fn they_go_on_growing_as_they_did() {
        let mut others = Others::default();
        for secs in 100..=110 {
            observe(&mut others, secs, 1, 3 * (secs - 100));
        }
        // Three a second, of which the last reading is as old as now is, and a second to go.
        assert_eq!(others.at(at(110), SECOND), 30 + 3);
        // The provider would not let them.
        assert_eq!(others.at(at(112), SECOND), 35);
        for secs in 111..=125 {
            observe(&mut others, secs, 1, 30);
        }
        assert_eq!(others.at(at(127), SECOND), 30);
    }

    #[test]
    fn half_of_what_is_free_is_theirs() {
        let mut others = Others::default();
        let reading = Reading {
            least: 5,
            likely: 5,
            most: 5,
            free: 7,
            bound: 35,
        };
        others.observe(at(100), at(100), reading, WINDOW, WINDOW);
        assert_eq!(others.seen(at(100)), 5);
        assert_eq!(others.at(at(100), SECOND), 5 + 4);
    }

    /// Or who waits for them to use less would wait for nothing.
    #[test]
    fn what_they_used_of_late_ends_as_well() {
        let mut others = Others::default();
        observe(&mut others, 100, 5, 5);
        observe(&mut others, 120, 5, 5);
        observe(&mut others, 121, 0, 0);
        assert_eq!(others.at(at(121), Duration::ZERO), 5);
        assert_eq!(others.until(at(121), Duration::ZERO), Some(at(201)));
    }

    #[test]
    fn so_does_what_is_left_to_them() {
        let mut others = Others::default();
        observe(&mut others, 100, 5, 5);
        let reading = Reading {
            least: 0,
            likely: 0,
            most: 0,
            free: 10,
            bound: 35,
        };
        others.observe(at(120), at(120), reading, WINDOW, WINDOW);
        others.observe(at(140), at(140), reading, WINDOW, WINDOW);
        assert_eq!(others.at(at(140), Duration::ZERO), 5);
        assert_eq!(others.until(at(140), Duration::ZERO), Some(at(220)));
        assert_eq!(others.at(at(220), Duration::ZERO), 0);
    }

    #[test]
    fn what_is_known_grows_old() {
        let mut others = Others::default();
        observe(&mut others, 100, 5, 5);
        assert_eq!(others.until(at(179), SECOND), Some(at(180)));
        assert!(!others.is_stale(at(179)));
        assert!(others.is_stale(at(180)));
        assert_eq!(others.at(at(180), SECOND), 0);
        others.forget();
        assert!(!others.is_stale(at(180)));
    }

    #[test]
    fn an_answer_that_was_overtaken_says_nothing_new() {
        let mut others = Others::default();
        observe(&mut others, 100, 5, 5);
        let reading = Reading {
            least: 9,
            likely: 9,
            most: 9,
            free: 0,
            bound: 35,
        };
        others.observe(at(101), at(99), reading, WINDOW, WINDOW);
        assert_eq!(others.at(at(101), Duration::ZERO), 5);
    }
}
