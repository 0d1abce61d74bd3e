use std::time::Duration;

use super::group::{Group, MemberId};
use super::primitives::Arc;
use crate::schedule::{
    Cost, Decision, Dispatch, Entry, LimitStatus, ReportedLimit, SchedulingStrategy, Settlement,
    Timestamp,
};
use crate::tier::Meter;

/// A pool's own budget, and the one that it shares with others of its [`Group`].
///
/// Every operation takes place in the group's [turn](Group::turn), so that nobody comes between a
/// decision and what follows from it. What the provider says of limits is about the pool's own.
#[derive(Debug)]
pub(super) struct Joint {
    own: Box<dyn SchedulingStrategy>,
    group: Arc<Group>,
    member: MemberId,
}

impl Joint {
    pub(super) fn new(
        own: Box<dyn SchedulingStrategy>,
        group: Arc<Group>,
        member: MemberId,
    ) -> Self {
        Self { own, group, member }
    }
}

impl SchedulingStrategy for Joint {
    fn synchronise(&mut self, now: Timestamp, unix: Duration) {
        self.own.synchronise(now, unix);
        self.group.look(|budget| budget.synchronise(now, unix));
    }

    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        match self.own.decide(now, cost) {
            Decision::Admit => self.group.decide(now, self.member, cost),
            wait @ Decision::Wait(_) => {
                self.group.step_out(self.member);
                match self.group.look(|budget| budget.decide(now, cost)) {
                    never @ Decision::Never(_) => never,
                    Decision::Admit | Decision::Wait(_) => wait,
                }
            }
            never @ Decision::Never(_) => never,
        }
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        let mut entry = self.own.reserve(now, cost);
        let joined = self.group.reserve(now, self.member, cost);
        entry.joined = Some(Box::new(joined));
        entry
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        let before = *entry.cost();
        let Some(mut joined) = entry.joined.take() else {
            return self.own.resize(now, entry, cost);
        };
        let decision = match self.own.resize(now, entry, cost) {
            Decision::Admit => {
                let decision = self
                    .group
                    .with(|budget| budget.resize(now, &mut joined, cost));
                if decision != Decision::Admit {
                    // All or nothing. What was there before fits.
                    self.own.resize(now, entry, &before);
                }
                decision
            }
            decision => decision,
        };
        entry.joined = Some(joined);
        decision
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        let dispatch = self.own.dispatch(now, entry);
        if let (Dispatch::Now, Some(joined)) = (dispatch, &mut entry.joined) {
            // It is not spaced, so nothing is too close to another.
            self.group.with(|budget| budget.dispatch(now, joined));
        }
        dispatch
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        self.own.answer(now, entry);
        if let Some(joined) = &mut entry.joined {
            self.group.with(|budget| budget.answer(now, joined));
        }
    }

    fn settle(&mut self, now: Timestamp, mut entry: Entry, settlement: Settlement) {
        let joined = entry.joined.take();
        if let Some(joined) = joined {
            self.group
                .with(|budget| budget.settle(now, *joined, settlement));
        }
        self.own.settle(now, entry, settlement);
    }

    fn release(&mut self, now: Timestamp, mut entry: Entry) {
        if let Some(joined) = entry.joined.take() {
            self.group.with(|budget| budget.release(now, *joined));
        }
        self.own.release(now, entry);
    }

    fn reported(&mut self, now: Timestamp, entry: &mut Entry, reports: &[ReportedLimit]) {
        self.own.reported(now, entry, reports);
    }

    fn throttled(&mut self, now: Timestamp, entry: &Entry, meter: Option<Meter>) {
        self.own.throttled(now, entry, meter);
    }

    fn paused(&mut self, now: Timestamp, until: Timestamp) {
        self.own.paused(now, until);
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        let shared = self.group.look(|budget| budget.earliest(now, cost));
        self.own.earliest(now, cost).max(shared)
    }

    fn interval(&self) -> Duration {
        self.own.interval()
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        let mut status = self.own.status(now);
        status.extend(self.group.look(|budget| budget.status(now)));
        status
    }
}
