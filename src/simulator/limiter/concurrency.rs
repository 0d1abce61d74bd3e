use std::time::Duration;

use super::{Limiter, Wait};

/// Counts what is in flight: only an end frees anything, no passing of time.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Concurrency {
    limit: u64,
    in_flight: u64,
}

impl Concurrency {
    pub(in crate::simulator) fn new(limit: u64) -> Self {
        Self {
            limit,
            in_flight: 0,
        }
    }
}

impl Limiter for Concurrency {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn expire(&mut self, _now: Duration) {}

    fn fits(&self, amount: u64) -> bool {
        amount == 0 || self.in_flight.saturating_add(amount) <= self.limit
    }

    fn count(&mut self, _now: Duration, amount: u64) {
        self.in_flight = self.in_flight.saturating_add(amount);
    }

    fn release(&mut self, amount: u64) {
        self.in_flight = self.in_flight.saturating_sub(amount);
    }

    fn used(&self) -> u64 {
        self.in_flight
    }

    fn wait_for(&self, _now: Duration, amount: u64) -> Wait {
        if self.fits(amount) {
            Wait::NONE
        } else if amount > self.limit {
            Wait::Forever
        } else {
            Wait::ForAnother
        }
    }

    fn wait_until_empty(&self, _now: Duration) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_frees_a_place() {
        let mut places = Concurrency::new(2);
        places.count(Duration::ZERO, 1);
        places.count(Duration::ZERO, 1);
        places.expire(Duration::from_secs(3_600));
        assert!(!places.fits(1));
        assert_eq!(places.wait_for(Duration::ZERO, 1), Wait::ForAnother);
        assert_eq!(places.wait_for(Duration::ZERO, 3), Wait::Forever);

        places.release(1);
        assert!(places.fits(1));
        assert_eq!((places.used(), places.remaining()), (1, 1));
    }

    #[test]
    fn a_lower_limit_lets_those_in_flight_end() {
        let mut places = Concurrency::new(3);
        places.count(Duration::ZERO, 3);
        places.set_limit(2);
        assert_eq!(places.remaining(), 0);
        places.release(1);
        assert!(!places.fits(1));
        places.release(1);
        assert!(places.fits(1));
    }
}
