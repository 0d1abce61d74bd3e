use std::time::Duration;

use super::{Limiter, Wait, nanos};

/// A bucket that starts full and is refilled continuously, the whole limit once per window.
///
/// So within one window of length W up to twice the limit can pass: a full bucket and its refill.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct TokenBucket {
    limit: u64,
    /// The window in nanoseconds. In a window of none the bucket is always full.
    window: u128,
    /// What is missing, in units times the window: in these, `limit` comes back each nanosecond, so
    /// nothing is ever rounded.
    missing: u128,
    /// Until when what came back is taken into account.
    refilled: Duration,
}

impl TokenBucket {
    pub(in crate::simulator) fn new(limit: u64, window: Duration) -> Self {
        Self {
            limit,
            window: nanos(window),
            missing: 0,
            refilled: Duration::ZERO,
        }
    }

    fn scaled(&self, amount: u64) -> u128 {
        u128::from(amount) * self.window
    }

    /// How long until no more than `missing` is.
    fn wait_until_missing(&self, now: Duration, missing: u128) -> Wait {
        let to_refill = self.missing.saturating_sub(missing);
        if to_refill == 0 {
            return Wait::NONE;
        }
        if self.limit == 0 {
            return Wait::Forever;
        }
        let nanos = to_refill.div_ceil(u128::from(self.limit));
        let due = duration(nanos).saturating_add(self.refilled);
        Wait::For(due.saturating_sub(now))
    }
}

impl Limiter for TokenBucket {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn expire(&mut self, now: Duration) {
        let passed = nanos(now.saturating_sub(self.refilled));
        let back = passed * u128::from(self.limit);
        self.missing = self.missing.saturating_sub(back);
        self.refilled = self.refilled.max(now);
    }

    fn fits(&self, amount: u64) -> bool {
        amount == 0 || self.missing.saturating_add(self.scaled(amount)) <= self.scaled(self.limit)
    }

    fn count(&mut self, _now: Duration, amount: u64) {
        self.missing = self.missing.saturating_add(self.scaled(amount));
    }

    /// Units that are not wholly there.
    fn used(&self) -> u64 {
        match self.window {
            0 => 0,
            window => u64::try_from(self.missing.div_ceil(window)).unwrap_or(u64::MAX),
        }
    }

    fn wait_for(&self, now: Duration, amount: u64) -> Wait {
        if amount == 0 {
            return Wait::NONE;
        }
        if amount > self.limit && self.window > 0 {
            return Wait::Forever;
        }
        self.wait_until_missing(now, self.scaled(self.limit.saturating_sub(amount)))
    }

    fn wait_until_empty(&self, now: Duration) -> Duration {
        self.wait_until_missing(now, 0)
            .known()
            .unwrap_or(Duration::MAX)
    }
}

fn duration(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The figures of refusals that were seen: Groq's "Limit 8000, Used 2591, Requested 5863. Please
    /// try again in 3.405s" and OpenAI's "Limit 200000, Used 199000, Requested 2000 … in 300ms".
    #[test]
    fn the_waits_of_real_refusals() {
        for (limit, used, requested, wait) in
            [(8_000, 2_591, 5_863, 3_405), (200_000, 199_000, 2_000, 300)]
        {
            let mut bucket = TokenBucket::new(limit, MINUTE);
            bucket.count(Duration::ZERO, used);
            assert!(!bucket.fits(requested));
            let waited = bucket.wait_for(Duration::ZERO, requested);
            assert_eq!(waited, Wait::For(millis(wait)));

            bucket.expire(millis(wait) - Duration::from_nanos(1));
            assert!(!bucket.fits(requested));
            bucket.expire(millis(wait));
            assert!(bucket.fits(requested));
        }
    }

    /// OpenAI: 1 of 200 requests a day used, "7m12s" left; 10 of 150,000 tokens a minute, "4ms".
    #[test]
    fn the_reset_is_the_time_until_it_is_full() {
        let mut requests = TokenBucket::new(200, Duration::from_secs(86_400));
        requests.count(Duration::ZERO, 1);
        assert_eq!(
            requests.wait_until_empty(Duration::ZERO),
            Duration::from_secs(432)
        );

        let mut tokens = TokenBucket::new(150_000, MINUTE);
        tokens.count(Duration::ZERO, 10);
        assert_eq!(tokens.wait_until_empty(Duration::ZERO), millis(4));
        assert_eq!(tokens.remaining(), 149_990);
    }

    #[test]
    fn it_holds_no_more_than_its_limit() {
        let mut bucket = TokenBucket::new(60, MINUTE);
        bucket.expire(MINUTE * 10);
        assert!(bucket.fits(60));
        assert!(!bucket.fits(61));
        assert_eq!(bucket.wait_for(MINUTE * 10, 61), Wait::Forever);
    }

    #[test]
    fn it_can_be_in_debt() {
        let mut bucket = TokenBucket::new(60, MINUTE);
        bucket.count(Duration::ZERO, 90);
        assert_eq!((bucket.used(), bucket.remaining()), (90, 0));
        assert!(bucket.fits(0));

        bucket.expire(millis(30_999));
        assert!(!bucket.fits(1));
        assert_eq!(bucket.wait_for(millis(30_999), 1), Wait::For(millis(1)));
        bucket.expire(millis(31_000));
        assert!(bucket.fits(1));
    }

    #[test]
    fn another_limit_keeps_what_is_counted_and_refills_at_its_own_rate() {
        let mut bucket = TokenBucket::new(60, MINUTE);
        bucket.count(Duration::ZERO, 30);
        bucket.set_limit(20);
        assert_eq!(bucket.remaining(), 0);
        // 20 a minute: the eleven units too many take 33 s.
        assert_eq!(
            bucket.wait_for(Duration::ZERO, 1),
            Wait::For(millis(33_000))
        );
        bucket.set_limit(120);
        assert_eq!(bucket.remaining(), 90);
    }

    #[test]
    fn nothing_overflows() {
        let mut bucket = TokenBucket::new(u64::MAX, Duration::MAX);
        for _ in 0..3 {
            bucket.count(Duration::ZERO, u64::MAX);
        }
        assert_eq!(bucket.used(), u64::MAX);
        bucket.expire(Duration::MAX);
        assert!(bucket.wait_until_empty(Duration::MAX) <= Duration::MAX);

        let mut void = TokenBucket::new(1, Duration::ZERO);
        void.count(Duration::ZERO, 5);
        assert!(void.fits(5));
        assert_eq!(void.wait_for(Duration::ZERO, 5), Wait::NONE);
    }
}
