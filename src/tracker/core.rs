mod eta;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub(crate) use self::eta::Eta;
use super::line::{Line, Ticket, Waiter};
use super::outbox::Outbox;
use super::primitives::runtime;
use super::stats::Counters;
use super::typical::Typical;
use crate::provider::{Refusal, RefusalCause};
use crate::schedule::{
    Cause, Cost, Decision, Dispatch, Entry, LimitStatus, Oversize, Phase, ReportedLimit,
    SchedulingStrategy, Settlement, Timestamp, Wait,
};

/// The shortest time between two looks at the line, should a strategy name a time already past.
const SHORTEST_ALARM: Duration = Duration::from_millis(1);

/// How long to pause for a provider that refuses and does not say for how long.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// Everything a pool knows, behind its one lock.
///
/// Every operation ends in [`turn`](Self::turn), which offers what became free to whoever is next
/// and says when to look again.
#[derive(Debug)]
pub(super) struct Core {
    strategy: Box<dyn SchedulingStrategy>,
    line: Line,
    /// Granted and not yet sent.
    held: BTreeMap<Ticket, Held>,
    /// No later than the first time at which one of `held` lapses.
    next_lapse: Timestamp,
    hold_until: Timestamp,
    hesitates_until: Timestamp,
    max_hold: Duration,
    /// Refusals since the last good answer, those not counted that were under way together.
    refused_in_a_row: u32,
    closed: Option<Closed>,
    typical: Typical,
    pub(super) counters: Counters,
    drivers: Vec<DriverSlot>,
    last_driver: DriverId,
    /// When the line has to be looked at again if nothing happens before.
    alarm: Option<Timestamp>,
    grace: Duration,
    last_ticket: Ticket,
    now: Timestamp,
}

/// The provider said that waiting does not help.
#[derive(Debug)]
pub(super) struct Closed {
    /// Until when everybody is refused. Then one request goes to ask again.
    pub(super) until: Timestamp,
    pub(super) refusal: Arc<Refusal>,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    /// From when on it is taken back as soon as somebody else could use it.
    lapses: Timestamp,
}

/// Tells a driver from the one that came before it on the same runtime, and may still be ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DriverId(u64);

#[derive(Debug)]
struct DriverSlot {
    id: DriverId,
    runtime: runtime::Id,
    /// When its timer will wake it.
    armed: Option<Timestamp>,
    /// To wake it sooner.
    waker: Option<Waker>,
}

/// What a driver does after its pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drive {
    /// At this time, or when it is woken.
    LookAgain(Option<Timestamp>),
    /// Nobody waits: it is dismissed.
    Stop,
}

/// One request's wish to be admitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) ticket: Ticket,
    /// `None` while the request is not known: what one of this pool usually costs.
    pub(super) cost: Option<Cost>,
    pub(super) deadline: Timestamp,
    pub(super) turn: ClaimTurn,
    /// Whether this request has waited before.
    pub(super) has_waited: bool,
    /// A newcomer is refused where so many wait.
    pub(super) most_waiting: Option<usize>,
}

/// How often a claim has been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClaimTurn {
    /// Everybody in line is ahead of it.
    Newcomer,
    /// It was granted before and lost the grant.
    Again,
    /// It is in line.
    Queued,
}

#[derive(Debug)]
pub(super) enum Claimed {
    Granted,
    Parked,
    TooLarge(Oversize),
    TooLate(Late),
    /// So many wait that it may not.
    LineFull(usize),
    /// The provider refuses everything, for what waiting does not help, and is asked again in this
    /// time.
    Closed(Arc<Refusal>, Duration),
}

/// The numbers of a refusal for time.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) remaining: Option<Duration>,
    pub(super) cause: Cause,
    pub(super) ahead: usize,
    pub(super) used: Option<u64>,
}

impl Late {
    /// Others were quicker.
    pub(super) fn unexplained() -> Self {
        Self {
            remaining: None,
            cause: Cause::Line,
            ahead: 0,
            used: None,
        }
    }
}

/// What became of an attempt to send.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Stamped: send it now.
    Sent(Entry),
    /// The grant lapsed, does not suffice, another request was sent just now, or a hold began: it
    /// has to be won again.
    Lost,
    TooLarge(Oversize),
}

impl Core {
    pub(super) fn new(
        strategy: Box<dyn SchedulingStrategy>,
        grace: Duration,
        max_hold: Duration,
    ) -> Self {
        Self {
            strategy,
            line: Line::new(),
            held: BTreeMap::new(),
            next_lapse: Timestamp::ZERO,
            hold_until: Timestamp::ZERO,
            hesitates_until: Timestamp::ZERO,
            max_hold,
            refused_in_a_row: 0,
            closed: None,
            typical: Typical::new(),
            counters: Counters::default(),
            drivers: Vec::new(),
            last_driver: DriverId(0),
            alarm: None,
            grace,
            last_ticket: Ticket(0),
            now: Timestamp::ZERO,
        }
    }

    /// The time never goes back, whatever two runtimes' clocks say.
    pub(super) fn tick(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn synchronise(&mut self, now: Timestamp, unix: Duration) {
        self.strategy.synchronise(now, unix);
    }

    pub(super) fn issue_ticket(&mut self) -> Ticket {
        self.last_ticket.0 += 1;
        self.last_ticket
    }

    pub(super) fn claim(
        &mut self,
        now: Timestamp,
        claim: Claim,
        waker: &Waker,
        out: &mut Outbox,
    ) -> Claimed {
        if let Some(closed) = self.closed(now) {
            let refused = Claimed::Closed(
                Arc::clone(&closed.refusal),
                closed.until.saturating_since(now),
            );
            self.counters.exhausted += 1;
            self.line.leave(claim.ticket, out);
            self.turn(now, out);
            return refused;
        }
        let cost = match claim.cost {
            Some(cost) => cost,
            None => self.typical_cost(now),
        };
        let decision = if self.line.may_claim(claim.ticket) {
            self.gate(now, &cost)
        } else {
            match self.strategy.decide(now, &cost) {
                // No turn and no pause changes that, so it need not wait to be told.
                never @ Decision::Never(_) => never,
                Decision::Admit | Decision::Wait(_) => Decision::Wait(Wait {
                    until: None,
                    cause: Cause::Line,
                }),
            }
        };
        let claimed = match decision {
            Decision::Admit => {
                self.grant(now, claim.ticket, &cost);
                Claimed::Granted
            }
            Decision::Never(oversize) => {
                self.counters.too_large += 1;
                Claimed::TooLarge(oversize)
            }
            Decision::Wait(wait) => match self.late(now, &claim, wait) {
                Some(late) => {
                    self.counters.wait_timeouts += 1;
                    Claimed::TooLate(late)
                }
                None => match self.crowd(&claim) {
                    Some(waiting) => Claimed::LineFull(waiting),
                    None => Claimed::Parked,
                },
            },
        };
        if let Claimed::Parked = claimed {
            if !claim.has_waited {
                self.counters.scheduled_waits += 1;
            }
            let waiter = Waiter {
                cost,
                deadline: claim.deadline,
                waker: waker.clone(),
                patience: self.patience(),
                came: None,
            };
            self.line.park(now, self.grace, claim.ticket, waiter, out);
        } else {
            self.line.leave(claim.ticket, out);
        }
        self.turn(now, out);
        claimed
    }

    /// How many wait, if they are too many for a newcomer to join.
    fn crowd(&self, claim: &Claim) -> Option<usize> {
        let most = claim
            .most_waiting
            .filter(|_| claim.turn == ClaimTurn::Newcomer)?;
        Some(self.waiting()).filter(|waiting| *waiting >= most)
    }

    /// Whether a claim that has to wait should not even begin to, or should stop.
    ///
    /// Only what is certain refuses a newcomer. Those ahead of it are not: they may be gone, and
    /// then they must not cost others more than a few graces.
    fn late(&mut self, now: Timestamp, claim: &Claim, wait: Wait) -> Option<Late> {
        let certain = match (claim.turn, claim.cost) {
            (ClaimTurn::Newcomer, None) => self.earliest(now, &Cost::request()),
            (ClaimTurn::Newcomer | ClaimTurn::Again, Some(cost)) => self.earliest(now, &cost),
            (ClaimTurn::Queued, _) | (ClaimTurn::Again, None) => now.max(self.hold_until),
        };
        if now < claim.deadline && certain <= claim.deadline {
            return None;
        }
        let used = match wait.cause {
            Cause::Limit(limit) => self
                .strategy
                .status(now)
                .into_iter()
                .find(|status| status.limit == limit)
                .map(|status| status.used),
            Cause::Spacing | Cause::Hold | Cause::Probe | Cause::Line => None,
        };
        let until = wait.until.unwrap_or(certain);
        Some(Late {
            remaining: (until > now).then(|| until.saturating_since(now)),
            cause: wait.cause,
            ahead: self.line.before(claim.ticket),
            used,
        })
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        self.strategy.earliest(now, cost).max(self.hold_until)
    }

    /// What an unknown request is taken to cost: no more than any request can be admitted with.
    fn typical_cost(&mut self, now: Timestamp) -> Cost {
        let typical = self.typical.cost();
        match self.strategy.decide(now, &typical) {
            Decision::Never(_) => Cost::request(),
            Decision::Admit | Decision::Wait(_) => typical,
        }
    }

    fn gate(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        let mut decision = self.strategy.decide(now, cost);
        if matches!(decision, Decision::Wait(_)) && self.lapse(now) {
            decision = self.strategy.decide(now, cost);
        }
        let pause_end = self.pause_end();
        if pause_end > now && !matches!(decision, Decision::Never(_)) {
            return Decision::Wait(Wait {
                until: Some(pause_end),
                cause: Cause::Hold,
            });
        }
        decision
    }

    fn grant(&mut self, now: Timestamp, ticket: Ticket, cost: &Cost) {
        let entry = self.strategy.reserve(now, cost);
        let lapses = now + self.grace;
        self.counters.granted += 1;
        self.next_lapse = match self.held.is_empty() {
            true => lapses,
            false => self.next_lapse.min(lapses),
        };
        self.held.insert(ticket, Held { entry, lapses });
    }

    /// Takes back what was granted and not used in time. Whether there was any.
    fn lapse(&mut self, now: Timestamp) -> bool {
        if self.held.is_empty() || self.next_lapse > now {
            return false;
        }
        let stale: Vec<Ticket> = self
            .held
            .iter()
            .filter(|(_, held)| held.lapses <= now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in &stale {
            if let Some(held) = self.held.remove(ticket) {
                self.strategy.release(now, held.entry);
                self.counters.lapsed += 1;
            }
        }
        if let Some(next) = self.held.values().map(|held| held.lapses).min() {
            self.next_lapse = next;
        }
        !stale.is_empty()
    }

    /// Takes back what was granted and not used in time, for somebody else.
    pub(super) fn take_back(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.lapse(now) {
            self.turn(now, out);
        }
    }

    pub(super) fn dispatch(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        cost: &Cost,
        out: &mut Outbox,
    ) -> Attempt {
        let Some(Held { mut entry, .. }) = self.held.remove(&ticket) else {
            return Attempt::Lost;
        };
        let attempt = match self.fit(now, &mut entry, cost) {
            Decision::Admit if self.pause_end() <= now => self.stamp(now, entry),
            Decision::Admit | Decision::Wait(_) => {
                self.return_grant(now, entry);
                Attempt::Lost
            }
            Decision::Never(oversize) => {
                self.return_grant(now, entry);
                self.counters.too_large += 1;
                Attempt::TooLarge(oversize)
            }
        };
        self.turn(now, out);
        attempt
    }

    /// Makes what is reserved what the request costs.
    fn fit(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        match entry.cost() == cost {
            true => Decision::Admit,
            false => self.strategy.resize(now, entry, cost),
        }
    }

    fn stamp(&mut self, now: Timestamp, mut entry: Entry) -> Attempt {
        match self.strategy.dispatch(now, &mut entry) {
            Dispatch::Now => {
                self.typical.learn(entry.cost());
                self.counters.dispatched += 1;
                Attempt::Sent(entry)
            }
            Dispatch::Crowded => {
                self.return_grant(now, entry);
                Attempt::Lost
            }
        }
    }

    fn return_grant(&mut self, now: Timestamp, entry: Entry) {
        self.strategy.release(now, entry);
        self.counters.released += 1;
    }

    /// Whoever held this ticket will not come any more.
    pub(super) fn withdraw(&mut self, now: Timestamp, ticket: Ticket, out: &mut Outbox) {
        self.line.leave(ticket, out);
        if let Some(held) = self.held.remove(&ticket) {
            self.return_grant(now, held.entry);
        }
        self.turn(now, out);
    }

    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        entry: &mut Entry,
        reports: &[ReportedLimit],
        out: &mut Outbox,
    ) {
        self.strategy.answer(now, entry);
        self.strategy.reported(now, entry, reports);
        self.turn(now, out);
    }

    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        entry: Entry,
        settlement: Settlement,
        out: &mut Outbox,
    ) {
        match settlement {
            Settlement::Charged(_) => self.counters.settled += 1,
            Settlement::Abandoned => self.counters.abandoned += 1,
        }
        // A request that failed on the way says nothing of the provider's mood.
        let is_answered = matches!(settlement, Settlement::Charged(_))
            || matches!(entry.phase(), Phase::Answered { .. });
        if is_answered && self.was_sent_since(&entry) {
            self.refused_in_a_row = 0;
        }
        self.strategy.settle(now, entry, settlement);
        self.turn(now, out);
    }

    /// The provider refused `entry`, which is answered. It counts in full: what a refusal costs is
    /// the provider's to know.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        entry: Entry,
        refusal: Refusal,
        out: &mut Outbox,
    ) {
        self.counters.settled += 1;
        self.hesitates_until = now;
        match refusal.cause {
            RefusalCause::RateLimit => {
                self.counters.throttled += 1;
                self.strategy.throttled(now, &entry, refusal.meter);
                self.back_off(now, &entry, refusal.retry_after);
            }
            RefusalCause::Capacity => self.back_off(now, &entry, refusal.retry_after),
            RefusalCause::TooLarge | RefusalCause::ContextLength => {}
            RefusalCause::Exhausted | RefusalCause::NotAllowed => self.close(now, refusal, out),
        }
        let reserved = *entry.cost();
        self.strategy
            .settle(now, entry, Settlement::Charged(reserved));
        self.turn(now, out);
    }

    /// Whether it was sent after the last pause, and so says something about now.
    fn was_sent_since(&self, entry: &Entry) -> bool {
        entry.sent() >= self.hold_until
    }

    /// Pauses for as long as the provider asked for, or longer each time if it does not say. "At
    /// once" says nothing: it just refused.
    fn back_off(&mut self, now: Timestamp, entry: &Entry, retry_after: Option<Duration>) {
        if self.was_sent_since(entry) {
            self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
        }
        let unsaid = || {
            let doublings = self.refused_in_a_row.saturating_sub(1).min(6);
            (FIRST_BACK_OFF * (1 << doublings)).min(LONGEST_BACK_OFF)
        };
        let pause = retry_after
            .filter(|pause| !pause.is_zero())
            .unwrap_or_else(unsaid);
        self.hold(now, pause);
    }

    fn close(&mut self, now: Timestamp, refusal: Refusal, out: &mut Outbox) {
        let until = now + self.max_hold;
        self.closed = Some(Closed {
            until,
            refusal: Arc::new(refusal),
        });
        self.hold(now, self.max_hold);
        // They wait for what will not come.
        self.line.call_everybody(now, out);
    }

    pub(super) fn closed(&self, now: Timestamp) -> Option<&Closed> {
        self.closed.as_ref().filter(|closed| closed.until > now)
    }

    /// Admits nobody for this long, at most the longest there is. A later end than one known already
    /// replaces it.
    pub(super) fn hold(&mut self, now: Timestamp, pause: Duration) {
        let until = now + pause.min(self.max_hold);
        if until > self.hold_until {
            self.hold_until = until;
            self.strategy.paused(now, until);
        }
    }

    /// Admits nobody for this short while, in which it is found out whether there is to be a pause.
    pub(super) fn hesitate(&mut self, now: Timestamp, pause: Duration) {
        self.hesitates_until = self.hesitates_until.max(now + pause);
    }

    pub(super) fn hold_until(&self) -> Timestamp {
        self.hold_until
    }

    fn pause_end(&self) -> Timestamp {
        self.hold_until.max(self.hesitates_until)
    }

    pub(super) fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.strategy.status(now)
    }

    pub(super) fn reserved(&self) -> usize {
        self.held.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Offers what is free to whoever is next, and sees to it that somebody looks again in time.
    pub(super) fn turn(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.line.is_empty() {
            self.alarm = None;
            self.end_idle_drivers(out);
            return;
        }
        // Nobody is admitted before the end of a hold, so whoever may not wait for it is told now.
        let hopeless = self.hold_until.saturating_sub(Duration::from_nanos(1));
        self.line.expire_deadlines(now, hopeless.max(now), out);
        self.line.expire_offers(now);
        let mut blocked_until = None;
        while let Some(cost) = self.line.next_to_offer().copied() {
            match self.gate(now, &cost) {
                // What can never be admitted has to come and learn so.
                Decision::Admit | Decision::Never(_) => {
                    if !self.line.offer(now, out) {
                        blocked_until = Some(now + self.patience());
                        break;
                    }
                }
                Decision::Wait(wait) => {
                    // What has lapsed already makes no difference, or it would have been taken.
                    let lapse =
                        (!self.held.is_empty() && self.next_lapse > now).then_some(self.next_lapse);
                    blocked_until = earlier(wait.until, lapse);
                    // If not even the least request fits, nobody is held up by this one.
                    if self.gate(now, &Cost::request()) == Decision::Admit {
                        let call_up = self.line.call_up(now, self.grace, out);
                        blocked_until = earlier(blocked_until, call_up);
                    }
                    break;
                }
            }
        }
        self.alarm = earlier(blocked_until, self.line.next_event())
            .map(|alarm| alarm.max(now + SHORTEST_ALARM));
        for driver in &mut self.drivers {
            let too_late = match (self.alarm, driver.armed) {
                (Some(alarm), Some(armed)) => alarm < armed,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if too_late {
                // Without a waker it is about to look anyway.
                if let Some(waker) = driver.waker.take() {
                    out.wake(waker);
                }
            }
        }
    }

    /// A driver with a timer finds the line empty by itself. One without would never look again.
    fn end_idle_drivers(&mut self, out: &mut Outbox) {
        for driver in &mut self.drivers {
            if driver.armed.is_none() {
                if let Some(waker) = driver.waker.take() {
                    out.wake(waker);
                }
            }
        }
    }

    /// How long the pool waits at first for whoever it woke. Somebody who is polled at all mostly
    /// comes within a millisecond; somebody who is not should cost little.
    fn patience(&self) -> Duration {
        self.grace / 10
    }

    /// Whether a driver has to be spawned for waiters of this runtime. It counts as present from
    /// now on.
    pub(super) fn wants_driver(&mut self, runtime: runtime::Id) -> Option<DriverId> {
        if self.line.is_empty() || self.drivers.iter().any(|slot| slot.runtime == runtime) {
            return None;
        }
        self.last_driver.0 += 1;
        self.drivers.push(DriverSlot {
            id: self.last_driver,
            runtime,
            armed: None,
            waker: None,
        });
        Some(self.last_driver)
    }

    /// One pass of a driver.
    pub(super) fn drive(
        &mut self,
        now: Timestamp,
        id: DriverId,
        waker: &Waker,
        out: &mut Outbox,
    ) -> Drive {
        if self.line.is_empty() {
            self.dismiss_driver(id, out);
            return Drive::Stop;
        }
        // It is looking now, so it must not be woken for what it is about to see.
        self.arm_driver(id, None, out);
        self.turn(now, out);
        self.arm_driver(id, Some(waker.clone()), out);
        Drive::LookAgain(self.alarm)
    }

    fn arm_driver(&mut self, id: DriverId, waker: Option<Waker>, out: &mut Outbox) {
        if let Some(slot) = self.drivers.iter_mut().find(|slot| slot.id == id) {
            slot.armed = self.alarm;
            if let Some(old) = std::mem::replace(&mut slot.waker, waker) {
                out.discard(old);
            }
        }
    }

    /// Dropped before it was done: its runtime ends, or a user's strategy panicked under it. Whoever
    /// waited is called, to see to another one.
    pub(super) fn lose_driver(&mut self, now: Timestamp, id: DriverId, out: &mut Outbox) {
        if self.drivers.iter().any(|slot| slot.id == id) {
            self.dismiss_driver(id, out);
            self.line.call_everybody(now, out);
        }
    }

    fn dismiss_driver(&mut self, id: DriverId, out: &mut Outbox) {
        if let Some(at) = self.drivers.iter().position(|slot| slot.id == id) {
            if let Some(waker) = self.drivers.swap_remove(at).waker {
                out.discard(waker);
            }
        }
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}
