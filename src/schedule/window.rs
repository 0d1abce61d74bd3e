use super::log::ExpiringLog;
use super::{Anchor, LimitStatus, Oversize, Phase, Settlement, Timestamp, Timing};
use crate::tier::{Charge, Limit, Meter};

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
    held: u64,
    log: ExpiringLog,
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
            held: 0,
            log: ExpiringLog::new(limit.window()),
        }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// The amount in force.
    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// Whether a settlement may give back what was reserved.
    fn refunds(&self, charge: Charge) -> bool {
        match self.limit.meter() {
            Meter::Requests => false,
            Meter::Concurrent => true,
            Meter::Tokens | Meter::InputTokens | Meter::OutputTokens => charge == Charge::Actual,
        }
    }

    fn used(&self) -> u64 {
        self.held.saturating_add(self.log.total())
    }

    pub(super) fn fits(&mut self, now: Timestamp, amount: u64) -> Fit {
        if amount > self.effective {
            return Fit::Never(Oversize {
                limit: self.limit,
                effective: self.effective,
                requested: amount,
            });
        }
        let room = self.effective - amount;
        if self.used() <= room {
            return Fit::Yes;
        }
        self.log.expire(now);
        match self.used().checked_sub(room) {
            None | Some(0) => Fit::Yes,
            Some(excess) => Fit::Later(self.log.frees(excess)),
        }
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
                    None if self.limit.meter() == Meter::Concurrent => {
                        self.log_from(now, now + timing.max_skew, reserved);
                    }
                    None => self.log_from(now, now + timing.max_generation, reserved),
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
            (Counted::Head, Phase::Reserved { .. }) => self.unhold(reserved),
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

    /// The provider's own number: believed at once when lower, and never above the configured one.
    pub(super) fn set_amount(&mut self, amount: u64) {
        self.amount = amount.min(self.limit.amount());
        self.effective = self.limit.effective_of(self.amount);
    }

    /// No sooner than this can `cost` be admitted after `ahead` has been.
    ///
    /// Of what passes through a window, each `effective` units take a window's length. What a
    /// settlement may give back is not certain and so not counted.
    pub(super) fn predict(
        &mut self,
        now: Timestamp,
        ahead: u64,
        cost: u64,
        charge: Charge,
    ) -> Timestamp {
        self.log.expire(now);
        let ahead = if self.refunds(charge) { 0 } else { ahead };
        let total = ahead.saturating_add(cost);
        if total == 0 || self.effective == 0 {
            return now;
        }
        let windows = (total - 1) / self.effective;
        let first = total - windows * self.effective;
        let excess = self.log.total().saturating_sub(self.effective - first);
        let start = match excess {
            0 => now,
            excess => self.log.frees(excess).unwrap_or(now),
        };
        let windows = u32::try_from(windows).unwrap_or(u32::MAX);
        start + self.limit.window().saturating_mul(windows)
    }

    pub(super) fn status(&mut self, now: Timestamp) -> LimitStatus {
        self.log.expire(now);
        LimitStatus {
            limit: self.limit,
            used: self.used(),
            effective: self.effective,
            frees_at: self.log.next_expiry(),
        }
    }
}
