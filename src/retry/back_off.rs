use std::time::Duration;

/// When to try again, of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    pub(super) max_retries: u32,
    pub(super) first: Duration,
    pub(super) longest: Duration,
    /// The most to add at random, as a share of the wait: from 0 to 1.
    pub(super) jitter: f64,
    pub(super) final_after: Option<Duration>,
    pub(super) patience: Duration,
}

impl BackOff {
    /// How long to wait after so many failures in a row, of which the last asked for `asked`. `None`:
    /// give up. `random` is from 0 to 1.
    pub(super) fn wait(
        &self,
        failures: u32,
        asked: Option<Duration>,
        random: impl FnOnce() -> f64,
    ) -> Option<Duration> {
        let asked = asked.unwrap_or_default();
        if asked > self.patience {
            return None;
        }
        if failures <= self.max_retries {
            let own = self.own(failures);
            // Of the own wait only: what was asked for may be long, and its end is worth being used.
            let jitter = share(share(own, self.jitter), random());
            return Some(own.max(asked).saturating_add(jitter));
        }
        let is_last = failures == self.max_retries.saturating_add(1);
        let last = self.final_after.filter(|_| is_last)?;
        Some(last.max(asked))
    }

    fn own(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        1_u32
            .checked_shl(doublings)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |own| own.min(self.longest))
    }
}

/// Less than nothing is nothing, and more than all is all.
fn share(of: Duration, share: f64) -> Duration {
    let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
    Duration::try_from_secs_f64(of.as_secs_f64() * share).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const USUAL: BackOff = BackOff {
        max_retries: 3,
        first: SECOND,
        longest: Duration::from_secs(60),
        jitter: 0.5,
        final_after: Some(Duration::from_secs(90)),
        patience: Duration::from_secs(300),
    };

    fn waits(back_off: BackOff, asked: Option<u64>, random: f64) -> Vec<Option<f64>> {
        let asked = asked.map(Duration::from_secs);
        (1..=5)
            .map(|failures| back_off.wait(failures, asked, || random))
            .map(|wait| wait.map(|wait| wait.as_secs_f64()))
            .collect()
    }

    #[test]
    fn doubles_and_then_waits_for_the_final_attempt() {
        let cases = [
            (None, 0.0, [1.0, 2.0, 4.0, 90.0]),
            (None, 0.5, [1.25, 2.5, 5.0, 90.0]),
            (None, 1.0, [1.5, 3.0, 6.0, 90.0]),
            // As asked for, or later.
            (Some(0), 0.0, [1.0, 2.0, 4.0, 90.0]),
            (Some(3), 0.0, [3.0, 3.0, 4.0, 90.0]),
            (Some(3), 1.0, [3.5, 4.0, 6.0, 90.0]),
            (Some(300), 1.0, [300.5, 301.0, 302.0, 300.0]),
        ];
        for (asked, random, expected) in cases {
            let waits = waits(USUAL, asked, random);
            let expected: Vec<_> = expected.into_iter().map(Some).chain([None]).collect();
            assert_eq!(waits, expected, "{asked:?}, {random}");
        }
        assert_eq!(waits(USUAL, Some(301), 0.0), [None; 5]);
    }

    #[test]
    fn stays_within_its_bounds_whatever_they_are() {
        let random_is_nonsense = [f64::NAN, -1.0, f64::INFINITY];
        for random in random_is_nonsense {
            let wait = USUAL.wait(1, None, || random).unwrap();
            assert!(wait >= SECOND && wait <= SECOND * 3 / 2, "{random}");
        }
        let endless = BackOff {
            max_retries: u32::MAX,
            ..USUAL
        };
        for failures in [7, 33, 34, u32::MAX] {
            let wait = endless.wait(failures, None, || 0.0);
            assert_eq!(wait, Some(USUAL.longest), "{failures}");
        }
        let huge = BackOff {
            first: Duration::MAX,
            longest: Duration::MAX,
            jitter: 1.0,
            ..USUAL
        };
        assert_eq!(huge.wait(2, None, || 1.0), Some(Duration::MAX));
        let none = BackOff {
            max_retries: 0,
            final_after: None,
            ..USUAL
        };
        assert_eq!(waits(none, None, 0.0), [None; 5]);
        let only_final = BackOff {
            max_retries: 0,
            ..USUAL
        };
        assert_eq!(
            waits(only_final, None, 0.0),
            [Some(90.0), None, None, None, None]
        );
    }
}
