use std::time::Duration;

use super::horizon::Horizon;
use super::log::ExpiringLog;
use super::moment::Moment;
use super::others::{Others, Reading};
use super::widening::Widening;
use super::{Anchor, LimitStatus, Oversize, Phase, ReportedLimit, Settlement, Timestamp, Timing};
use crate::tier::{Charge, Limit, Margin, Meter};

/// How long a number other than the configured one is believed at most.
const LONGEST_BELIEVED: Duration = Duration::from_secs(300);

/// How long one is believed of what may be in flight, which has no window.
const BELIEVED_IN_FLIGHT: Duration = Duration::from_secs(60);

/// What one limit counts.
///
/// An amount is *held* while no time can be put on it, and *logged* with the time at which it stops
/// counting once there is one. Both count alike.
#[derive(Debug)]
pub(super) struct Window {
    limit: Limit,
    standing: Standing,
    counted: Counted,
    /// The amount in force: the configured one, or another one the provider reported.
    amount: u64,
    effective: u64,
    /// Until when a reported amount is believed. No report may stop a client for good: it would
    /// never see another.
    believed_until: Timestamp,
    /// When it was last lowered. What was sent before that may have been counted before the provider
    /// lowered it, and its answer come late.
    lowered_at: Timestamp,
    widening: Option<Widening>,
    held: u64,
    /// How much less than all that is held is really reserved.
    relief: u64,
    /// By the clock of the horizon.
    log: ExpiringLog,
    horizon: Horizon,
    others: Others,
}

/// Why a limit is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is configured.
    Configured,
    /// The provider reported it, and is believed until then. From then on it is in doubt: requests
    /// go past it one at a time, until an answer tells.
    Reported { until: Timestamp },
    /// The provider spoke of others and no more of it, or not yet: it is none. It goes on counting, for
    /// it may be one again.
    Gone,
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

/// What is known of ours when the provider counted the request whose answer reports on a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours {
    /// When the request was sent, and by when it was counted.
    pub(super) sent: Timestamp,
    pub(super) anchor: Timestamp,
    /// What was counted here then, and all that was granted since.
    pub(super) most: u64,
    /// The request itself.
    pub(super) own: u64,
    /// Requests are spaced evenly, so that half of what may have expired has.
    pub(super) is_even: bool,
}

impl Window {
    pub(super) fn new(limit: Limit, charge: Charge, timing: &Timing) -> Self {
        let counted = match (limit.meter(), charge) {
            (Meter::Concurrent, _) => Counted::End,
            (Meter::Requests | Meter::InputTokens, _) | (_, Charge::Reserved) => Counted::Head,
            (Meter::Tokens | Meter::OutputTokens, Charge::Actual) => Counted::End,
        };
        Self {
            limit,
            standing: Standing::Configured,
            counted,
            amount: limit.amount(),
            effective: limit.effective(),
            believed_until: Timestamp::ZERO,
            lowered_at: Timestamp::ZERO,
            widening: None,
            held: 0,
            relief: 0,
            log: ExpiringLog::new(limit.window()),
            horizon: Horizon::of(&limit, timing.clock_skew),
            others: Others::default(),
        }
    }

    /// It is none, and counts all the same: the provider may report it yet.
    pub(super) fn unreported(mut self) -> Self {
        self.standing = Standing::Gone;
        self
    }

    /// The provider reported it at `now`, and nobody configured it.
    pub(super) fn reported(mut self, now: Timestamp) -> Self {
        self.weigh_anew(now);
        self
    }

    /// The provider spoke of limits: of this one, too, if that is confirmed.
    pub(super) fn weigh(&mut self, now: Timestamp, is_confirmed: bool) {
        match self.standing {
            Standing::Reported { .. } if is_confirmed => self.weigh_anew(now),
            Standing::Reported { until } if until <= now => self.standing = Standing::Gone,
            Standing::Configured | Standing::Reported { .. } | Standing::Gone => {}
        }
    }

    /// The provider reported it, after it was gone. What still counts of ours does so.
    pub(super) fn revive(&mut self, now: Timestamp, limit: Limit) {
        self.limit = limit;
        self.amount = limit.amount();
        self.correct();
        self.weigh_anew(now);
    }

    fn weigh_anew(&mut self, now: Timestamp) {
        self.standing = Standing::Reported {
            until: now + LONGEST_BELIEVED,
        };
    }

    /// Whether it is no limit any more.
    pub(super) fn is_gone(&self) -> bool {
        self.standing == Standing::Gone
    }

    /// Whether it may be no limit any more.
    pub(super) fn is_doubtful(&self, now: Timestamp) -> bool {
        matches!(self.standing, Standing::Reported { until } if until <= now)
    }

    pub(super) fn set_timing(&mut self, timing: &Timing) {
        self.horizon.set_clock_skew(timing.clock_skew);
    }

    pub(super) fn adapt(&mut self, widest: Margin) {
        self.widening = (self.limit.meter() != Meter::Concurrent).then(|| Widening::new(widest));
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// The amount in force.
    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// What counts of ours, with everything under way at its full amount.
    pub(super) fn ours(&self) -> u64 {
        self.held.saturating_add(self.log.total())
    }

    /// What is reserved for ours.
    fn reserved(&self) -> u64 {
        self.ours().saturating_sub(self.relief)
    }

    /// The answers under way take so much less together than all their caps.
    pub(super) fn relieve(&mut self, relief: u64) {
        if self.counts_answers() {
            self.relief = relief.min(self.held);
        }
    }

    /// Whether it counts what answers really take.
    pub(super) fn counts_answers(&self) -> bool {
        self.counted == Counted::End && self.limit.meter() != Meter::Concurrent
    }

    fn used(&self, now: Moment, timing: &Timing) -> u64 {
        self.reserved()
            .saturating_add(self.others.at(now.time, timing.max_skew))
    }

    /// How full it is, of what is in force, in thousandths.
    pub(super) fn fullness(&self) -> u64 {
        let thousandths = u128::from(self.reserved()) * 1000 / u128::from(self.effective.max(1));
        u64::try_from(thousandths).unwrap_or(u64::MAX)
    }

    /// Whether a number other than the configured one is in force.
    pub(super) fn is_corrected(&self) -> bool {
        self.effective != self.limit.effective()
    }

    /// Whether what is known of others is too old to say anything.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.others.is_stale(now)
    }

    /// The provider answered and did not tell what is used.
    pub(super) fn forget_stale(&mut self, now: Timestamp) {
        if self.is_stale(now) {
            self.others.forget();
        }
    }

    /// The most that can be in force, were it not for [`Widening`].
    fn ceiling(&self) -> u64 {
        self.limit.effective_of(self.amount)
    }

    fn correct(&mut self) {
        let extra = self
            .widening
            .as_ref()
            .map_or(0, |widening| widening.extra_of(&self.limit, self.amount));
        let ceiling = self.ceiling();
        self.effective = ceiling.saturating_sub(extra).max(1).min(ceiling);
    }

    pub(super) fn expire(&mut self, now: Moment) {
        self.log.expire(self.horizon.on_clock(now));
        if self.amount != self.limit.amount() && self.believed_until <= now.time {
            self.amount = self.limit.amount();
            self.correct();
        }
        if let Some(widening) = &mut self.widening {
            if widening.relax(now.time, &self.limit) {
                self.correct();
            }
        }
    }

    pub(super) fn fits(&mut self, now: Moment, amount: u64, timing: &Timing) -> Fit {
        if self.is_gone() || self.is_doubtful(now.time) {
            return Fit::Yes;
        }
        match self.fits_in_force(now, amount, timing) {
            Fit::Later(until) => Fit::Later([until, self.loosens_at()].into_iter().flatten().min()),
            fit => fit,
        }
    }

    /// When it lets more through without anything expiring: what is believed of it ends, as it must,
    /// or nobody would ever learn better.
    fn loosens_at(&self) -> Option<Timestamp> {
        let doubted = match self.standing {
            Standing::Reported { until } => Some(until),
            Standing::Configured | Standing::Gone => None,
        };
        let disbelieved = (self.amount < self.limit.amount()).then_some(self.believed_until);
        let widening = self.widening.as_ref();
        let narrowed = widening.and_then(|widening| widening.relaxes_at(&self.limit));
        [doubted, disbelieved, narrowed].into_iter().flatten().min()
    }

    fn fits_in_force(&mut self, now: Moment, amount: u64, timing: &Timing) -> Fit {
        if amount > self.effective {
            self.expire(now);
        }
        let ceiling = self.ceiling();
        if amount > ceiling {
            let effective = self.limit.effective();
            return if amount > effective {
                Fit::Never(Oversize {
                    limit: self.limit,
                    effective: effective.max(ceiling),
                    requested: amount,
                })
            } else {
                Fit::Later(Some(self.believed_until))
            };
        }
        if amount > self.effective {
            return self.fits_alone(now, ceiling - amount, timing);
        }
        let room = self.effective - amount;
        if self.used(now, timing) <= room {
            return Fit::Yes;
        }
        self.expire(now);
        match self.used(now, timing).checked_sub(room) {
            None | Some(0) => Fit::Yes,
            Some(excess) => Fit::Later(self.frees(now, excess, timing)),
        }
    }

    /// What fits only within the margin as configured may go when nothing else of ours counts. What
    /// others use may fill the rest: they need not go away for it.
    fn fits_alone(&self, now: Moment, rest: u64, timing: &Timing) -> Fit {
        let ours = self.ours();
        let excess = match ours {
            0 => self.used(now, timing).saturating_sub(rest),
            ours => ours,
        };
        if excess == 0 {
            return Fit::Yes;
        }
        Fit::Later(match self.log.frees(ours) {
            Some(frees) if ours > 0 => Some(self.horizon.time_of(now, frees)),
            _ => self.frees(now, excess, timing),
        })
    }

    /// When `excess` units stop counting by themselves.
    fn frees(&self, now: Moment, excess: u64, timing: &Timing) -> Option<Timestamp> {
        let of_ours = |excess| {
            let frees = self.log.frees(excess)?;
            Some(self.horizon.time_of(now, frees))
        };
        let with_others = of_ours(excess);
        let Some(until) = self.others.until(now.time, timing.max_skew) else {
            return with_others;
        };
        let without = match excess.saturating_sub(self.others.at(now.time, timing.max_skew)) {
            0 => Some(until),
            excess => of_ours(excess).map(|frees| frees.max(until)),
        };
        [with_others, without].into_iter().flatten().min()
    }

    pub(super) fn hold(&mut self, amount: u64) {
        self.held = self.held.saturating_add(amount);
    }

    pub(super) fn unhold(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
    }

    /// It was sent, and will be counted by `provisional` at the latest.
    pub(super) fn dispatch(
        &mut self,
        now: Moment,
        provisional: Moment,
        amount: u64,
        anchor: Anchor,
    ) {
        if self.counted == Counted::Head && anchor == Anchor::Bounded {
            self.unhold(amount);
            self.log_from(now, provisional, amount);
        }
    }

    /// Its head arrived, and it was counted by `anchor`, where `provisional` was believed so far.
    pub(super) fn answer(
        &mut self,
        now: Moment,
        provisional: Moment,
        anchor: Moment,
        amount: u64,
        anchored_at: Anchor,
    ) {
        match (self.counted, anchored_at) {
            (Counted::End, _) => {}
            (Counted::Head, Anchor::Answer) => {
                self.unhold(amount);
                self.log_from(now, anchor, amount);
            }
            (Counted::Head, Anchor::Bounded) => {
                let moves = match self.horizon {
                    Horizon::Sliding(_) => anchor.time < provisional.time,
                    // Only if the wall clock leapt meanwhile: then it may have been counted after.
                    Horizon::Day(_) => anchor.wall > provisional.wall,
                };
                if moves {
                    self.unlog_from(now, provisional, amount);
                    self.log_from(now, anchor, amount);
                }
            }
        }
    }

    /// It ended in `phase`; where that is answered, it was counted by `anchor`.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        phase: Phase,
        anchor: Moment,
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
                            Meter::Concurrent => timing.max_skew,
                            _ => timing.max_generation,
                        };
                        // It may not even have arrived yet.
                        let arrived = match phase {
                            Phase::Dispatched { at } => {
                                (at + timing.max_skew).saturating_since(now.time)
                            }
                            Phase::Reserved | Phase::Answered { .. } => Duration::ZERO,
                        };
                        self.log_from(now, now + counted.max(arrived), reserved);
                    }
                }
            }
            (Counted::Head, Phase::Answered { .. }) => {
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

    /// It ended in `phase`, and was under way before this window was discovered: all of it was held
    /// until now. Where it is answered, it was counted by `anchor`.
    pub(super) fn settle_held(
        &mut self,
        now: Moment,
        phase: Phase,
        anchor: Moment,
        reserved: u64,
        settlement: &Settlement,
        timing: &Timing,
    ) {
        if self.counted == Counted::End {
            // As for any other.
            return self.settle(now, phase, anchor, reserved, settlement, timing);
        }
        self.unhold(reserved);
        match (phase, settlement) {
            (Phase::Reserved, _) => {}
            (Phase::Answered { .. }, Settlement::Charged(cost)) => {
                self.log_from(now, anchor, cost.of(self.limit.meter()));
            }
            (Phase::Answered { .. }, Settlement::Abandoned) => {
                self.log_from(now, anchor, reserved);
            }
            (Phase::Dispatched { .. }, _) => {
                let counted = match timing.anchor {
                    Anchor::Bounded => timing.max_skew,
                    Anchor::Answer => timing.max_unanswered,
                };
                self.log_from(now, now + counted, reserved);
            }
        }
    }

    /// All of ours that may have been counted for an answer to what was sent at `sent`: what counts now,
    /// and what expired meanwhile, which is taken to be as much as will in as long again.
    pub(super) fn most_since(&self, now: Moment, sent: Timestamp) -> u64 {
        let expired = match self.horizon {
            Horizon::Sliding(_) => {
                let meanwhile = now.time.saturating_since(sent);
                self.log.total_until(now.time + meanwhile)
            }
            Horizon::Day(_) => 0,
        };
        self.ours().saturating_add(expired)
    }

    fn log_from(&mut self, now: Moment, from: Moment, amount: u64) {
        let expires = self.horizon.after(from);
        let now = self.horizon.on_clock(now);
        if expires > now {
            self.log.expire(now);
            self.log.add(expires, amount);
        }
    }

    fn unlog_from(&mut self, now: Moment, from: Moment, amount: u64) {
        let expires = self.horizon.after(from);
        if expires > self.horizon.on_clock(now) {
            self.log.take_back(expires, amount);
        }
    }

    /// The provider's own number, from the answer to a request sent at `sent`: believed at once when
    /// lower, for a window's length or five minutes, and above the configured one only if `raises`. What was not configured has no other number than the last one reported.
    pub(super) fn report_amount(
        &mut self,
        now: Timestamp,
        sent: Timestamp,
        amount: u64,
        raises: bool,
    ) {
        let amount = match raises {
            true => amount,
            false => amount.min(self.limit.amount()),
        };
        if amount > self.amount && sent < self.lowered_at {
            return;
        }
        if amount < self.amount {
            self.lowered_at = now;
        }
        self.amount = amount;
        match self.standing {
            Standing::Configured => {
                self.believed_until = now
                    + match self.limit.meter() {
                        Meter::Concurrent => BELIEVED_IN_FLIGHT,
                        _ => self.limit.window().min(LONGEST_BELIEVED),
                    };
            }
            Standing::Reported { .. } | Standing::Gone => self.limit = self.limit.of(amount),
        }
        self.correct();
    }

    /// The provider's own account of what is used.
    pub(super) fn report_remaining(
        &mut self,
        now: Moment,
        report: &ReportedLimit,
        remaining: u64,
        ours: Ours,
        timing: &Timing,
    ) {
        let rounding = report.rounded_to.saturating_sub(1);
        let amount = report.limit.unwrap_or(self.amount);
        let used = amount.saturating_sub(remaining);
        let expiring = self.expiring(now, timing);
        let expired = match ours.is_even {
            true => expiring / 2,
            false => 0,
        };
        let certain = self.least_counted(expiring, &ours, timing);
        let all = self.most_counted(&ours, timing);
        let counted = used.saturating_sub(rounding);
        let reading = Reading {
            free: self.effective.saturating_sub(used),
            bound: amount.saturating_sub(certain),
            least: counted.saturating_sub(all),
            likely: counted.saturating_sub(all.saturating_sub(expired)),
            most: used
                .saturating_add(rounding)
                .min(amount)
                .saturating_sub(certain),
        };
        let window = self.limit.window();
        // For a day, too, others are believed for five minutes only: then one request asks again.
        let longest = window.min(LONGEST_BELIEVED);
        let reset = report.reset.map_or(longest, |reset| reset.min(longest));
        self.others
            .observe(now.time, ours.sent, reading, reset, window);
        if counted > self.effective {
            self.widen(now.time, ours.sent);
        }
    }

    /// All of ours that the provider may have counted when it counted the request.
    ///
    /// What was sent later than that, by more than the network can make up for, it had not.
    fn most_counted(&self, ours: &Ours, timing: &Timing) -> u64 {
        match (&self.horizon, self.counted, timing.anchor) {
            (Horizon::Sliding(window), Counted::Head, Anchor::Bounded) => {
                let later = ours.sent + timing.max_skew + timing.max_skew + *window;
                ours.most.saturating_sub(self.log.total_after(later))
            }
            _ => ours.most,
        }
        .max(ours.own)
    }

    /// All of ours that it certainly had counted, and not forgotten.
    fn least_counted(&self, expiring: u64, ours: &Ours, timing: &Timing) -> u64 {
        let Horizon::Sliding(window) = &self.horizon else {
            return self.most_counted(ours, timing);
        };
        let newer = self.log.total_after(ours.sent + *window);
        self.log
            .total()
            .saturating_sub(expiring)
            .saturating_sub(newer)
            .saturating_add(match self.counted {
                Counted::Head if ours.anchor <= ours.sent => 0,
                Counted::Head | Counted::End => ours.own,
            })
    }

    /// All of ours that it may have forgotten by now, if it counted it as early as it could have.
    fn expiring(&self, now: Moment, timing: &Timing) -> u64 {
        match self.horizon {
            Horizon::Sliding(_) => self.log.total_until(now.time + timing.max_skew),
            Horizon::Day(_) => 0,
        }
    }

    /// The provider refused a request, sent at `sent`, that was within what is in force.
    pub(super) fn widen(&mut self, now: Timestamp, sent: Timestamp) {
        if let Some(widening) = &mut self.widening {
            widening.widen(now, sent, &self.limit, self.amount);
            self.correct();
        }
    }

    /// A request was answered.
    pub(super) fn agree(&mut self) {
        if let Some(widening) = &mut self.widening {
            widening.agree();
        }
    }

    /// A time before which `amount` certainly does not fit.
    pub(super) fn earliest(
        &mut self,
        now: Moment,
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
        self.log.expire(self.horizon.on_clock(now));
        let excess = (self.log.total().saturating_add(amount)).saturating_sub(self.ceiling());
        let frees = match self.log.frees(excess) {
            Some(frees) if certain && excess > 0 => self
                .horizon
                .time_of(now, frees)
                .saturating_sub(sooner)
                .max(now.time),
            _ => now.time,
        };
        let frees = match self.amount < self.limit.amount() {
            true => frees.min(self.believed_until.max(now.time)),
            false => frees,
        };
        match self.standing {
            Standing::Configured => frees,
            Standing::Reported { until } => frees.min(until.max(now.time)),
            Standing::Gone => now.time,
        }
    }

    pub(super) fn status(&mut self, now: Moment) -> LimitStatus {
        self.expire(now);
        LimitStatus {
            limit: self.limit,
            amount: self.amount,
            used: self.reserved().saturating_add(self.others.seen(now.time)),
            others: self.others.seen(now.time),
            effective: self.effective,
            frees_at: self
                .log
                .next_expiry()
                .map(|frees| self.horizon.time_of(now, frees)),
        }
    }
}
