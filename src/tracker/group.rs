use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use super::pool::Shared;
use super::primitives::{Arc, Instant, Mutex, MutexGuard, Weak, downgrade};
use crate::schedule::{
    Cause, Cost, Decision, Entry, Proactive, SchedulingStrategy, Timestamp, Wait,
};

/// Pools that draw on one budget beside their own, as the models of an organisation do.
///
/// What any of them decides, it decides under the lock of the group. So a request is admitted by both
/// budgets in one step, or by neither: none is held while the other is waited for, and there is no order
/// in which to take them.
pub(crate) struct Group {
    name: String,
    /// When time began, for all of its pools.
    epoch: Instant,
    follows_days: bool,
    /// How long a pool keeps others from what suffices for it.
    grace: Duration,
    state: Mutex<State>,
    members: Mutex<BTreeMap<MemberId, Weak<Shared>>>,
    turn: Mutex<()>,
}

/// One of the pools. The lowest is the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberId(usize);

struct State {
    budget: Proactive,
    /// The pools whose next request only this budget keeps waiting, in the order of their coming.
    waiting: Vec<Waiting>,
    /// Something changed that the waiting should know of.
    is_new: bool,
}

struct Waiting {
    member: MemberId,
    cost: Cost,
    /// Since when the budget suffices for it.
    fits_since: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(
        name: String,
        budget: Proactive,
        follows_days: bool,
        grace: Duration,
    ) -> Self {
        Self {
            name,
            epoch: Instant::now(),
            follows_days,
            grace,
            state: Mutex::new(State {
                budget,
                waiting: Vec::new(),
                is_new: false,
            }),
            members: Mutex::new(BTreeMap::new()),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn epoch(&self) -> Instant {
        self.epoch
    }

    pub(super) fn follows_days(&self) -> bool {
        self.follows_days
    }

    /// Nobody else of the group decides anything meanwhile.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self) -> MemberId {
        let mut members = self.members();
        let member = MemberId(members.last_key_value().map_or(0, |(last, _)| last.0 + 1));
        members.insert(member, Weak::new());
        member
    }

    pub(super) fn introduce(&self, member: MemberId, pool: &Arc<Shared>) {
        self.members().insert(member, downgrade(pool));
    }

    /// After an operation of `member`: lets the others know, in the order of their coming, if that
    /// may make a difference to them.
    pub(super) fn tell(&self, member: MemberId) {
        let waiting: Vec<MemberId> = {
            let mut state = self.state();
            match std::mem::take(&mut state.is_new) {
                true => state.waiting.iter().map(|waiting| waiting.member).collect(),
                false => return,
            }
        };
        for other in waiting.into_iter().filter(|other| *other != member) {
            if let Some(pool) = self.member(other) {
                pool.look_again();
            }
        }
    }

    /// `member` looked at its line. If only this budget keeps it waiting, the others take back what they
    /// granted and nobody uses.
    pub(super) fn reclaim_for(&self, member: MemberId) {
        if !self
            .state()
            .waiting
            .iter()
            .any(|waiting| waiting.member == member)
        {
            return;
        }
        let others: Vec<MemberId> = self.members().keys().copied().collect();
        for other in others.into_iter().filter(|other| *other != member) {
            if let Some(pool) = self.member(other) {
                pool.take_back();
            }
        }
        self.tell(member);
    }

    fn member(&self, member: MemberId) -> Option<Arc<Shared>> {
        self.members().get(&member)?.upgrade()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<MemberId, Weak<Shared>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request of `member`, which its own budget admits, is admitted by this one. If not,
    /// the pool stands in line for it.
    pub(super) fn decide(&self, now: Timestamp, member: MemberId, cost: &Cost) -> Decision {
        let grace = self.grace;
        let mut state = self.state();
        let decision = match state.budget.decide(now, cost) {
            Decision::Admit => state.behind_others(now, member, grace),
            decision => decision,
        };
        match decision {
            Decision::Wait(mut wait) => {
                state.stand(member, cost);
                // What another pool granted in vain comes back sooner than anything expires.
                let again = now + grace;
                wait.until = Some(wait.until.map_or(again, |until| until.min(again)));
                Decision::Wait(wait)
            }
            decision => decision,
        }
    }

    /// Its own budget keeps `member` waiting.
    pub(super) fn step_out(&self, member: MemberId) {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.member != member);
        state.is_new |= state.waiting.len() < before;
    }

    pub(super) fn reserve(&self, now: Timestamp, member: MemberId, cost: &Cost) -> Entry {
        self.step_out(member);
        let mut state = self.state();
        // Others waited behind it.
        state.is_new = true;
        state.budget.reserve(now, cost)
    }

    /// Any other operation on the budget. All of them may free something.
    pub(super) fn with<T>(&self, operate: impl FnOnce(&mut Proactive) -> T) -> T {
        let mut state = self.state();
        state.is_new = true;
        operate(&mut state.budget)
    }

    /// Looks at the budget and changes nothing.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Proactive) -> T) -> T {
        look(&mut self.state().budget)
    }
}

impl State {
    /// First come, first served: what suffices for a pool that came earlier is its own, for a grace. A
    /// caller that nobody polls any more keeps it no longer than that.
    fn behind_others(&mut self, now: Timestamp, member: MemberId, grace: Duration) -> Decision {
        let Self {
            budget, waiting, ..
        } = self;
        while let Some(first) = waiting.first_mut() {
            if first.member == member {
                break;
            }
            match budget.decide(now, &first.cost) {
                Decision::Admit => {
                    let since = *first.fits_since.get_or_insert(now);
                    if now < since + grace {
                        return Decision::Wait(Wait {
                            until: Some(since + grace),
                            cause: Cause::Line,
                        });
                    }
                    waiting.remove(0);
                }
                wait @ Decision::Wait(_) => {
                    first.fits_since = None;
                    return wait;
                }
                Decision::Never(_) => {
                    waiting.remove(0);
                }
            }
        }
        Decision::Admit
    }

    fn stand(&mut self, member: MemberId, cost: &Cost) {
        let mut waiting = self.waiting.iter_mut();
        match waiting.find(|waiting| waiting.member == member) {
            Some(waiting) => waiting.cost = *cost,
            None => self.waiting.push(Waiting {
                member,
                cost: *cost,
                fits_since: None,
            }),
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
