use std::time::Duration;

use super::log::ExpiringLog;
use super::{Anchor, LimitStatus, Oversize, Phase, Settlement, Timestamp, Timing};
use crate::tier::{Charge, Limit, Meter};

/// How long a number below the configured one is believed at most.
const LONGEST_BELIEVED: Duration = Duration::from_secs(300);

/// What one limit counts.
///
/// An amount is *held* while no time can be put on it, and *logged* with the time at which it stops
/// counting once there is one. Both count alike.
#[derive(Debug)]
pub(super) struct Window {
    limit: Limit,
    counted: Counted,
    /// The amount in force: the configured one, or a lower one the provider reported.
    amount: u64,
    effective: u64,
    /// Until when a reported amount is believed. No report may stop a client for good: it would
    /// never see another.
    lowered_until: Timestamp,
    held: u64,
    log: ExpiringLog,
    others: Others,
}

/// What somebody else uses on the same key, as the provider last let us see.
#[derive(Debug)]
struct Others {
    amount: u64,
    until: Timestamp,
}

/// By when the server has certainly counted a request against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// By its response head.
    Head,
    /// By the end of its response: counted as it is generated, or afterwards.
    End,
}

/// Whether an amount fits a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    /// At this time, or after something under way has ended.
    Later(Option<Timestamp>),
    Never(Oversize),
}

impl Window {
    pub(super) fn new(limit: Limit, charge: Charge) -> Self {
        let counted = match (limit.meter(), charge) {
            (Meter::Concurrent, _) => Counted::End,
            (Meter::Requests | Meter::InputTokens, _) | (_, Charge::Reserved) => Counted::Head,
            (Meter::Tokens | Meter::OutputTokens, Charge::Actual) => Counted::End,
        };
        Self {
            limit,
            counted,
            amount: limit.amount(),
            effective: limit.effective(),
            lowered_until: Timestamp::ZERO,
            held: 0,
            log: ExpiringLog::new(limit.window()),
            others: Others {
                amount: 0,
                until: Timestamp::ZERO,
            },
        }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// The amount in force.
    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// What counts of ours.
    pub(super) fn ours(&self) -> u64 {
        self.held.saturating_add(self.log.total())
    }

    fn used(&self) -> u64 {
        self.ours().saturating_add(self.others.amount)
    }

    /// A gauge, not a sum: each report replaces the one before.
    /// It lasts until the limit is full again, as the provider said, at most a window's length.
    pub(super) fn set_others(&mut self, now: Timestamp, amount: u64, reset: Option<Duration>) {
        let window = self.limit.window();
        self.others = Others {
            amount,
            until: now + reset.map_or(window, |reset| reset.min(window)),
        };
    }

    /// Whether a number below the configured one is believed.
    pub(super) fn is_lowered(&self) -> bool {
        self.amount < self.limit.amount()
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        self.log.expire(now);
        if self.others.until <= now {
            self.others.amount = 0;
        }
        if self.is_lowered() && self.lowered_until <= now {
            self.amount = self.limit.amount();
            self.effective = self.limit.effective();
        }
    }

    pub(super) fn fits(&mut self, now: Timestamp, amount: u64) -> Fit {
        if amount > self.effective {
            self.expire(now);
        }
        if amount > self.effective {
            let effective = self.limit.effective();
            return if amount > effective {
                Fit::Never(Oversize {
                    limit: self.limit,
                    effective,
                    requested: amount,
                })
            } else {
                Fit::Later(Some(self.lowered_until))
            };
        }
        let room = self.effective - amount;
        if self.used() <= room {
            return Fit::Yes;
        }
        self.expire(now);
        match self.used().checked_sub(room) {
            None | Some(0) => Fit::Yes,
            Some(excess) => Fit::Later(self.frees(excess)),
        }
    }

    /// When `excess` units stop counting by themselves.
    fn frees(&self, excess: u64) -> Option<Timestamp> {
        let with_others = self.log.frees(excess);
        if self.others.amount == 0 {
            return with_others;
        }
        let without = match excess.saturating_sub(self.others.amount) {
            0 => Some(self.others.until),
            excess => self
                .log
                .frees(excess)
                .map(|frees| frees.max(self.others.until)),
        };
        [with_others, without].into_iter().flatten().min()
    }

    pub(super) fn hold(&mut self, amount: u64) {
        self.held = self.held.saturating_add(amount);
    }

    pub(super) fn unhold(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
    }

    pub(super) fn dispatch(&mut self, now: Timestamp, amount: u64, timing: &Timing) {
        if self.counted == Counted::Head && timing.anchor == Anchor::Bounded {
            self.unhold(amount);
            self.log_from(now, now + timing.max_skew, amount);
        }
    }

    /// The head of a request sent at `dispatched` arrived at `now`, and its window runs from
    /// `anchor`.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        dispatched: Timestamp,
        anchor: Timestamp,
        amount: u64,
        timing: &Timing,
    ) {
        match (self.counted, timing.anchor) {
            (Counted::End, _) => {}
            (Counted::Head, Anchor::Answer) => {
                self.unhold(amount);
                self.log_from(now, anchor, amount);
            }
            (Counted::Head, Anchor::Bounded) => {
                let provisional = dispatched + timing.max_skew;
                if anchor < provisional {
                    self.unlog_from(now, provisional, amount);
                    self.log_from(now, anchor, amount);
                }
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        phase: Phase,
        reserved: u64,
        settlement: &Settlement,
        timing: &Timing,
    ) {
        let charged = match settlement {
            Settlement::Charged(cost) => Some(cost.of(self.limit.meter())),
            Settlement::Abandoned => None,
        };
        match (self.counted, phase) {
            (Counted::End, _) => {
                self.unhold(reserved);
                match charged {
                    Some(charged) => self.log_from(now, now + timing.settle_skew, charged),
                    None => {
                        let counted = match self.limit.meter() {
                            Meter::Concurrent => now + timing.max_skew,
                            _ => now + timing.max_generation,
                        };
                        // It may not even have arrived yet.
                        let arrived = match phase {
                            Phase::Dispatched { at } => at + timing.max_skew,
                            Phase::Reserved | Phase::Answered { .. } => now,
                        };
                        self.log_from(now, counted.max(arrived), reserved);
                    }
                }
            }
            (Counted::Head, Phase::Answered { anchor }) => {
                let charged = charged.unwrap_or(reserved);
                if charged < reserved {
                    self.unlog_from(now, anchor, reserved - charged);
                } else {
                    self.log_from(now, anchor, charged - reserved);
                }
            }
            (Counted::Head, Phase::Dispatched { .. }) => {
                // An error is never a head: nothing tells by when the server has counted.
                if timing.anchor == Anchor::Answer {
                    self.unhold(reserved);
                    self.log_from(now, now + timing.max_unanswered, reserved);
                }
            }
            (Counted::Head, Phase::Reserved) => self.unhold(reserved),
        }
    }

    fn log_from(&mut self, now: Timestamp, from: Timestamp, amount: u64) {
        let expires = from + self.limit.window();
        if expires > now {
            self.log.expire(now);
            self.log.add(expires, amount);
        }
    }

    fn unlog_from(&mut self, now: Timestamp, from: Timestamp, amount: u64) {
        let expires = from + self.limit.window();
        if expires > now {
            self.log.take_back(expires, amount);
        }
    }

    /// The provider's own number: believed at once when lower, for a window's length or five
    /// minutes, and never above the configured one.
    pub(super) fn report_amount(&mut self, now: Timestamp, amount: u64) {
        self.amount = amount.min(self.limit.amount());
        self.effective = self.limit.effective_of(self.amount);
        self.lowered_until = now + self.limit.window().min(LONGEST_BELIEVED);
    }

    /// A time before which `amount` certainly does not fit.
    pub(super) fn earliest(
        &mut self,
        now: Timestamp,
        amount: u64,
        charge: Charge,
        timing: &Timing,
    ) -> Timestamp {
        // What is held may be released, and what was logged at the head may be given back at the
        // settlement or, on an answer, expire sooner.
        let (certain, sooner) = match self.counted {
            Counted::End => (true, Duration::ZERO),
            Counted::Head => (
                self.limit.meter() == Meter::Requests || charge == Charge::Reserved,
                timing.max_skew,
            ),
        };
        self.log.expire(now);
        let excess = (self.log.total().saturating_add(amount)).saturating_sub(self.effective);
        match self.log.frees(excess) {
            Some(frees) if certain && excess > 0 => frees.saturating_sub(sooner).max(now),
            _ => now,
        }
    }

    pub(super) fn status(&mut self, now: Timestamp) -> LimitStatus {
        self.expire(now);
        LimitStatus {
            limit: self.limit,
            used: self.used(),
            others: self.others.amount,
            effective: self.effective,
            frees_at: self.log.next_expiry(),
        }
    }
}
