use std::time::Duration;

use super::clock::WallClock;
use super::enforcement::Enforcement;
use super::limiter::{Limiter, Wait};
use super::others::{Load, OtherTraffic};
use super::report::MeterReport;
use super::tally::Tally;
use crate::tier::{Limit, Meter};

/// One limit on the way in, or only the count of what would be limited.
#[derive(Debug)]
pub(super) struct Gate {
    /// As it is stated; its amount is that at the start.
    limit: Limit,
    enforced: Option<Enforced>,
    ours: Tally,
    others: Option<Others>,
}

#[derive(Debug)]
struct Enforced {
    by: Enforcement,
    limiter: Box<dyn Limiter>,
}

/// What somebody else does to a limit.
#[derive(Debug)]
struct Others {
    traffic: OtherTraffic,
    load: Load,
    in_flight: u64,
    counted: u64,
    refused: u64,
    /// Theirs and ours.
    together: Tally,
}

/// The state of a limit just after a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) meter: Meter,
    /// The window that is enforced.
    pub(super) window: Duration,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until the limit is wholly free again.
    pub(super) reset: Duration,
}

impl Gauge {
    /// The same limit, had it been set to zero.
    pub(super) fn of_nothing(self) -> Self {
        Self {
            limit: 0,
            remaining: 0,
            reset: Duration::ZERO,
            ..self
        }
    }
}

impl Gate {
    /// Counts what there is no limit on, over windows of this length.
    pub(super) fn unlimited(limit: Limit) -> Self {
        Self {
            ours: Tally::new(limit.window(), limit.meter() == Meter::Concurrent),
            limit,
            enforced: None,
            others: None,
        }
    }

    pub(super) fn new(limit: Limit, by: Enforcement, clock: WallClock) -> Self {
        let limiter = by.limiter(&limit, clock);
        let in_flight = limit.meter() == Meter::Concurrent;
        Self {
            ours: Tally::new(by.window(&limit), in_flight),
            limit,
            enforced: Some(Enforced { by, limiter }),
            others: None,
        }
    }

    /// Lets others in, too. `place` tells their load apart from those on other limits.
    pub(super) fn share_with(&mut self, traffic: OtherTraffic, seed: u64, place: u64) {
        let Some(enforced) = &self.enforced else {
            return;
        };
        let amount = enforced.limiter.limit();
        let window = enforced.by.window(&self.limit);
        let in_flight = self.limit.meter() == Meter::Concurrent;
        let whole_units = self.limit.meter() == Meter::Requests;
        self.others = Some(Others {
            traffic,
            // What is in flight has no window, and so no load of moments.
            load: Load::new(traffic, amount, window, whole_units, seed, place),
            in_flight: 0,
            counted: 0,
            refused: 0,
            together: Tally::new(window, in_flight),
        });
        self.hold_in_flight(Duration::ZERO);
    }

    pub(super) fn meter(&self) -> Meter {
        self.limit.meter()
    }

    /// Whether it is the limit that this one states, but for the amount.
    pub(super) fn is(&self, limit: &Limit) -> bool {
        self.enforced.is_some()
            && self.limit.meter() == limit.meter()
            && self.limit.window() == limit.window()
    }

    /// Puts another amount in force.
    pub(super) fn set_amount(&mut self, now: Duration, amount: u64) {
        self.advance(now);
        let Some(Enforced { by, limiter }) = &mut self.enforced else {
            return;
        };
        limiter.set_limit(by.amount(&self.limit, amount));
        let amount = limiter.limit();
        if let Some(others) = &mut self.others {
            others.load.set_limit(now, amount);
        }
        self.hold_in_flight(now);
    }

    /// Lets time pass until `now`, and others do what they do.
    pub(super) fn advance(&mut self, now: Duration) {
        let Some(Enforced { limiter, .. }) = &mut self.enforced else {
            return;
        };
        if let Some(others) = &mut self.others {
            while let Some(at) = others.load.next().filter(|&at| at <= now) {
                limiter.expire(at);
                let (requests, units) = others.load.take(limiter.limit());
                for _ in 0..requests {
                    if limiter.fits(units) {
                        limiter.count(at, units);
                        others.counted = others.counted.saturating_add(units);
                        others.together.count(at, units);
                    } else {
                        others.refused = others.refused.saturating_add(units);
                    }
                }
            }
        }
        limiter.expire(now);
    }

    pub(super) fn fits(&self, amount: u64) -> bool {
        self.enforced
            .as_ref()
            .is_none_or(|enforced| enforced.limiter.fits(amount))
    }

    pub(super) fn wait_for(&self, now: Duration, amount: u64) -> Wait {
        self.enforced.as_ref().map_or(Wait::NONE, |enforced| {
            enforced.limiter.wait_for(now, amount)
        })
    }

    pub(super) fn used(&self) -> u64 {
        self.enforced
            .as_ref()
            .map_or(0, |enforced| enforced.limiter.used())
    }

    /// Counts something of ours.
    pub(super) fn count(&mut self, now: Duration, amount: u64) {
        self.ours.count(now, amount);
        if let Some(enforced) = &mut self.enforced {
            enforced.limiter.count(now, amount);
        }
        if let Some(others) = &mut self.others {
            others.together.count(now, amount);
        }
    }

    /// Something of ours has ended.
    pub(super) fn release(&mut self, amount: u64) {
        self.ours.release(amount);
        if let Some(enforced) = &mut self.enforced {
            enforced.limiter.release(amount);
        }
        if let Some(others) = &mut self.others {
            others.together.release(amount);
        }
    }

    pub(super) fn gauge(&self, now: Duration) -> Option<Gauge> {
        let Enforced { by, limiter } = self.enforced.as_ref()?;
        Some(Gauge {
            meter: self.limit.meter(),
            window: by.window(&self.limit),
            limit: limiter.limit(),
            remaining: limiter.remaining(),
            reset: limiter.wait_until_empty(now),
        })
    }

    pub(super) fn report(&self) -> MeterReport {
        let limit = self.enforced.as_ref().map(|e| e.limiter.limit());
        let window = match &self.enforced {
            Some(enforced) => enforced.by.window(&self.limit),
            None => self.limit.window(),
        };
        let others = self.others.as_ref();
        MeterReport {
            meter: self.limit.meter(),
            window,
            limit,
            counted: self.ours.counted(),
            worst_window: self.ours.worst(),
            share_used: limit.and_then(|limit| self.ours.share_of(limit)),
            others_counted: others.map_or(0, |others| others.counted),
            others_refused: others.map_or(0, |others| others.refused),
            worst_window_of_all: others.map_or(self.ours.worst(), |o| o.together.worst()),
        }
    }

    /// Gives others their part of what can be in flight, as far as it is free.
    fn hold_in_flight(&mut self, now: Duration) {
        let (Meter::Concurrent, Some(others), Some(Enforced { limiter, .. })) =
            (self.limit.meter(), &mut self.others, &mut self.enforced)
        else {
            return;
        };
        limiter.release(others.in_flight);
        others.together.release(others.in_flight);
        let wanted = others.traffic.in_flight_of(limiter.limit());
        others.in_flight = wanted.min(limiter.remaining());
        limiter.count(now, others.in_flight);
        others.together.count(now, others.in_flight);
        others.counted = others.in_flight;
        others.refused = wanted - others.in_flight;
    }
}
