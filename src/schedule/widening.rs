use std::time::Duration;

use super::Timestamp;
use crate::tier::{Limit, Margin};

/// The longest a widened margin stays as it is while all goes well.
const LONGEST_CALM: Duration = Duration::from_secs(300);

/// In how many steps a margin goes from one bound to the other, if it does not double before.
const STEPS: u64 = 8;

/// How much wider a margin is than configured.
///
/// It widens when the provider refuses all the same, or counts more than was let through: by an
/// eighth of what it may at first, then it doubles. After each window in which the provider agreed
/// it halves again.
#[derive(Debug)]
pub(super) struct Widening {
    widest: Margin,
    extra: u64,
    /// What was sent before says nothing about the margin since.
    widened: Timestamp,
    calm_since: Timestamp,
    agreed: bool,
}

impl Widening {
    pub(super) fn new(widest: Margin) -> Self {
        Self {
            widest,
            extra: 0,
            widened: Timestamp::ZERO,
            calm_since: Timestamp::ZERO,
            agreed: false,
        }
    }

    /// Units beyond the configured margin, of a limit with this amount in force.
    pub(super) fn extra_of(&self, limit: &Limit, amount: u64) -> u64 {
        self.extra.min(self.room(limit, amount))
    }

    fn room(&self, limit: &Limit, amount: u64) -> u64 {
        limit
            .effective_of(amount)
            .saturating_sub(limit.margin(self.widest).effective_of(amount))
    }

    /// The provider disagreed on a request that was sent at `sent`.
    pub(super) fn widen(&mut self, now: Timestamp, sent: Timestamp, limit: &Limit, amount: u64) {
        self.calm_since = now;
        self.agreed = false;
        let room = self.room(limit, amount);
        if self.extra > 0 && sent < self.widened {
            self.extra = self.extra.min(room);
            return;
        }
        let step = self.extra.max(room.div_ceil(STEPS));
        self.extra = self.extra.saturating_add(step).min(room);
        self.widened = now;
    }

    /// A request was answered and not refused.
    pub(super) fn agree(&mut self) {
        self.agreed = true;
    }

    /// When it narrows, if nothing happens until then.
    ///
    /// Without an answer in which the provider agreed it does not, unless it may be the margin that
    /// keeps any from coming: of a window as long as that, nothing expires meanwhile.
    pub(super) fn relaxes_at(&self, limit: &Limit) -> Option<Timestamp> {
        let is_long = limit.window() > LONGEST_CALM;
        let calm = limit.window().min(LONGEST_CALM);
        (self.extra > 0 && (self.agreed || is_long)).then(|| self.calm_since + calm)
    }

    /// Narrows again if it is time. Whether it did.
    pub(super) fn relax(&mut self, now: Timestamp, limit: &Limit) -> bool {
        if self.relaxes_at(limit).is_none_or(|at| now < at) {
            return false;
        }
        self.extra /= 2;
        self.calm_since = now;
        self.agreed = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn widens_to_its_bound_and_narrows_back() {
        let limit = Limit::requests(1_000).per_minute();
        let mut widening = Widening::new(Margin::Percent(10));
        let mut seen = Vec::new();
        for secs in 0..6 {
            widening.widen(at(secs), at(secs), &limit, 1_000);
            seen.push(widening.extra);
        }
        // 100 in all, of which 2 are the configured margin.
        assert_eq!(seen, [13, 26, 52, 98, 98, 98]);

        let mut now = at(5);
        for expected in [49, 24, 12, 6, 3, 1, 0] {
            widening.agree();
            assert!(!widening.relax(
                (now + MINUTE).saturating_sub(Duration::from_nanos(1)),
                &limit
            ));
            now = now + MINUTE;
            assert!(widening.relax(now, &limit));
            assert_eq!(widening.extra, expected);
        }
        widening.agree();
        assert!(!widening.relax(now + MINUTE, &limit));
    }

    #[test]
    fn without_an_answer_nothing_narrows() {
        let limit = Limit::requests(1_000).per_minute();
        let mut widening = Widening::new(Margin::Percent(10));
        widening.widen(at(0), at(0), &limit, 1_000);
        assert!(!widening.relax(at(3_600), &limit));
    }

    #[test]
    fn refusals_of_one_burst_widen_once() {
        let limit = Limit::requests(1_000).per_minute();
        let mut widening = Widening::new(Margin::Percent(10));
        widening.widen(at(10), at(9), &limit, 1_000);
        for sent in [5, 8, 9] {
            widening.widen(at(11), at(sent), &limit, 1_000);
        }
        assert_eq!(widening.extra, 13);
        widening.widen(at(12), at(10), &limit, 1_000);
        assert_eq!(widening.extra, 26);
    }

    #[test]
    fn a_bound_within_the_margin_widens_nothing() {
        let limit = Limit::requests(1_000)
            .per_minute()
            .margin(Margin::Percent(20));
        let mut widening = Widening::new(Margin::Percent(10));
        widening.widen(at(0), at(0), &limit, 1_000);
        assert_eq!(widening.extra, 0);
    }
}
