use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;
use std::time::Duration;

use super::outbox::Outbox;
use crate::schedule::{Cost, Timestamp};

/// The order of arrival. Lower is earlier; a request keeps its ticket until it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(pub(super) u64);

/// Somebody who waits to be admitted.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) cost: Cost,
    pub(super) deadline: Timestamp,
    pub(super) waker: Waker,
    /// How long an offer to it stands.
    pub(super) patience: Duration,
    /// When it last came for an offer and was not served.
    pub(super) came: Option<Timestamp>,
}

/// Who is next, given that some of those who wait will never come.
///
/// A wake-up is only an *offer*: whoever waits has to come and claim. Whoever does not come in time
/// keeps its ticket but is *absent* until it is polled again, and the offers go on to those behind
/// it: first to one, then to twice as many as stayed unanswered since the line was last clean. So a
/// thousand waiters that nobody polls any more delay the one behind them by ten such times, once.
///
/// One that was absent and is polled again is *doubted*: being polled now and then is not coming
/// when called. It is woken beside the others and holds up nobody, until it comes when woken.
#[derive(Debug)]
pub(super) struct Line {
    /// Believed to come when woken, in order.
    waiting: BTreeMap<Ticket, Waiter>,
    /// Woken, has not come yet.
    offered: BTreeMap<Ticket, Offer>,
    /// Did not come once, and was polled since.
    doubted: BTreeMap<Ticket, Waiter>,
    /// Did not come.
    absent: BTreeMap<Ticket, Absent>,
    deadlines: BTreeSet<(Timestamp, Ticket)>,
    /// How many offers may be open at once.
    width: usize,
    /// Offers that expired since everybody who was asked came.
    unanswered: usize,
    head: Option<Head>,
}

#[derive(Debug)]
struct Offer {
    made: Timestamp,
    waiter: Waiter,
}

impl Offer {
    fn stands_until(&self) -> Timestamp {
        self.made + self.waiter.patience
    }
}

#[derive(Debug)]
struct Absent {
    waiter: Waiter,
    /// When it was last woken. If it comes within a grace of that, it is trusted again.
    woken: Timestamp,
}

/// The first of those waiting, which what is free does not suffice for.
#[derive(Clone, Copy, Debug)]
struct Head {
    ticket: Ticket,
    since: Timestamp,
}

/// Whoever came when it was called up is not called up again for this many graces.
const CAME_GRACES: u32 = 10;

impl Waiter {
    fn came_since(&self, now: Timestamp, grace: Duration) -> bool {
        self.came
            .is_some_and(|came| came + grace * CAME_GRACES > now)
    }
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            offered: BTreeMap::new(),
            doubted: BTreeMap::new(),
            absent: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            width: 1,
            unanswered: 0,
            head: None,
        }
    }

    /// Whether nobody waits, absent ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everybody who waits, absent ones included.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.offered.len() + self.doubted.len() + self.absent.len()
    }

    /// What everybody who waits asks for, absent ones included.
    pub(super) fn demand(&self) -> Cost {
        let offered = self.offered.values().map(|offer| &offer.waiter);
        let absent = self.absent.values().map(|absent| &absent.waiter);
        let waiting = self.waiting.values().chain(self.doubted.values());
        waiting
            .chain(offered)
            .chain(absent)
            .fold(Cost::ZERO, |sum, waiter| {
                sum.zip(waiter.cost, u64::saturating_add)
            })
    }

    /// How many came before the holder of `ticket`, of those believed to come.
    pub(super) fn before(&self, ticket: Ticket) -> usize {
        self.waiting.range(..ticket).count() + self.offered.range(..ticket).count()
    }

    /// Whether whoever holds `ticket`, and is here now, may take what is free.
    ///
    /// Nobody passes one that is known to be here and came before. An open offer protects its
    /// holder from all who have none; among open offers, whoever comes first is served.
    pub(super) fn may_claim(&self, ticket: Ticket) -> bool {
        let first_waiting = self
            .waiting
            .first_key_value()
            .is_none_or(|(first, _)| ticket <= *first);
        first_waiting
            && (self.offered.contains_key(&ticket)
                || self
                    .offered
                    .first_key_value()
                    .is_none_or(|(first, _)| ticket < *first))
    }

    /// Puts a waiter who is here now in line, or updates it.
    pub(super) fn park(
        &mut self,
        now: Timestamp,
        grace: Duration,
        ticket: Ticket,
        mut waiter: Waiter,
        out: &mut Outbox,
    ) {
        if let Some(parked) = self.waiting.get_mut(&ticket) {
            if parked.cost == waiter.cost && parked.deadline == waiter.deadline {
                out.discard(std::mem::replace(&mut parked.waker, waiter.waker));
                return;
            }
        }
        let is_doubted = match self.absent.get(&ticket) {
            Some(absent) => {
                let late = now.saturating_since(absent.woken);
                if late <= grace {
                    // It is here, only slow: the next offer has to wait for it.
                    waiter.patience = waiter.patience.max(late * 2).min(grace);
                }
                late > grace
            }
            None => self.doubted.contains_key(&ticket),
        };
        if let Some(known) = self.known(ticket) {
            waiter.patience = waiter.patience.max(known.patience);
            waiter.came = known.came;
        }
        if self.offered.contains_key(&ticket) {
            waiter.came = Some(now);
        }
        self.leave(ticket, out);
        self.deadlines.insert((waiter.deadline, ticket));
        if is_doubted {
            self.doubted.insert(ticket, waiter);
        } else {
            self.waiting.insert(ticket, waiter);
        }
    }

    /// Takes a waiter out: it was admitted, refused, or has gone.
    pub(super) fn leave(&mut self, ticket: Ticket, out: &mut Outbox) {
        let came_for_an_offer = self.offered.contains_key(&ticket);
        let Some(waiter) = self.take(ticket) else {
            return;
        };
        if came_for_an_offer && self.offered.is_empty() {
            // Everybody who was asked came: there is no sign of absent ones any more.
            self.unanswered = 0;
            self.width = 1;
        }
        self.deadlines.remove(&(waiter.deadline, ticket));
        out.discard(waiter.waker);
    }

    fn known(&self, ticket: Ticket) -> Option<&Waiter> {
        self.waiting
            .get(&ticket)
            .or_else(|| self.offered.get(&ticket).map(|offer| &offer.waiter))
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.waiting
            .remove(&ticket)
            .or_else(|| self.offered.remove(&ticket).map(|offer| offer.waiter))
            .or_else(|| self.doubted.remove(&ticket))
            .or_else(|| self.absent.remove(&ticket).map(|absent| absent.waiter))
    }

    /// What the next one to be offered what is free needs, if an offer may be made at all.
    pub(super) fn next_to_offer(&self) -> Option<&Cost> {
        let trusted = self.waiting.first_key_value();
        if trusted.is_some() && self.offered.len() >= self.width {
            return None;
        }
        let next = match trusted {
            Some(trusted) => Some(trusted),
            None if self.offered.is_empty() => self.doubted.first_key_value(),
            None => None,
        };
        next.map(|(_, waiter)| &waiter.cost)
    }

    /// Wakes the first one waiting, and beside it one that is doubted and came before it. Whether
    /// anybody was woken who can be relied on.
    pub(super) fn offer(&mut self, now: Timestamp, out: &mut Outbox) -> bool {
        let trusted = self.waiting.pop_first();
        let before = trusted.as_ref().map(|(ticket, _)| *ticket);
        // Where nobody else is left to ask, as many of them as of others.
        let most = if trusted.is_some() { 1 } else { self.width };
        for _ in 0..most {
            match self.doubted.first_entry() {
                Some(first) if before.is_none_or(|before| *first.key() < before) => {
                    let (ticket, waiter) = first.remove_entry();
                    out.wake(waiter.waker.clone());
                    self.absent.insert(ticket, Absent { waiter, woken: now });
                }
                _ => break,
            }
        }
        if trusted.is_none() {
            self.width = self.width.saturating_mul(2).min(self.len().max(1));
        }
        let Some((ticket, waiter)) = trusted else {
            return false;
        };
        out.wake(waiter.waker.clone());
        self.offered.insert(ticket, Offer { made: now, waiter });
        true
    }

    /// What is free does not suffice for the first one waiting, and would for others: calls it up
    /// if it has not been seen for a while. Otherwise says when to do so.
    ///
    /// Nobody passes a large request that is here; but one that nobody polls must not stand in the
    /// way until there is room for it.
    pub(super) fn call_up(
        &mut self,
        now: Timestamp,
        grace: Duration,
        out: &mut Outbox,
    ) -> Option<Timestamp> {
        if self.waiting.len() + self.doubted.len() < 2 || self.offered.len() >= self.width {
            return None;
        }
        let (ticket, waiter) = self.waiting.first_key_value()?;
        let head = match self.head {
            Some(head) if head.ticket == *ticket => head,
            _ => *self.head.insert(Head {
                ticket: *ticket,
                since: now,
            }),
        };
        let again = match waiter.came {
            Some(came) => came + grace * CAME_GRACES,
            // Where many did not come, the next ones are asked at once.
            None if self.unanswered > 0 => now,
            None => head.since + grace,
        };
        if again > now {
            return Some(again);
        }
        // As many as may be asked, up to the first that is known to be here: nobody passes that one.
        while self.offered.len() < self.width {
            match self.waiting.first_key_value() {
                Some((_, waiter)) if !waiter.came_since(now, grace) => {
                    self.offer(now, out);
                }
                _ => break,
            }
        }
        None
    }

    /// Whoever was offered something and has not come in time is absent from now on.
    pub(super) fn expire_offers(&mut self, now: Timestamp) {
        let expired: Vec<Ticket> = self
            .offered
            .iter()
            .filter(|(_, offer)| offer.stands_until() <= now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in expired {
            if let Some(offer) = self.offered.remove(&ticket) {
                let absent = Absent {
                    waiter: offer.waiter,
                    woken: offer.made,
                };
                self.absent.insert(ticket, absent);
                self.unanswered += 1;
            }
        }
        self.width = self.width.max(self.unanswered.saturating_mul(2));
    }

    /// Wakes everybody whose time is up, or ends by `hopeless`, so that they come and learn of it.
    /// They hold up nobody.
    pub(super) fn expire_deadlines(
        &mut self,
        now: Timestamp,
        hopeless: Timestamp,
        out: &mut Outbox,
    ) {
        while let Some(&(deadline, ticket)) = self.deadlines.first() {
            if deadline > hopeless {
                break;
            }
            self.deadlines.pop_first();
            let Some(waiter) = self.take(ticket) else {
                continue;
            };
            out.wake(waiter.waker.clone());
            self.absent.insert(ticket, Absent { waiter, woken: now });
        }
    }

    /// Wakes everybody, so that they come and learn that waiting does not help. They hold up nobody.
    pub(super) fn call_everybody(&mut self, now: Timestamp, out: &mut Outbox) {
        let offered = std::mem::take(&mut self.offered).into_iter();
        let called = std::mem::take(&mut self.waiting)
            .into_iter()
            .chain(std::mem::take(&mut self.doubted))
            .chain(offered.map(|(ticket, offer)| (ticket, offer.waiter)));
        for (ticket, waiter) in called {
            out.wake(waiter.waker.clone());
            self.absent.insert(ticket, Absent { waiter, woken: now });
        }
        for absent in self.absent.values().filter(|absent| absent.woken < now) {
            out.wake(absent.waiter.waker.clone());
        }
    }

    /// When the line needs to be looked at again, apart from what gets free.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let offer = self.offered.values().map(Offer::stands_until).min();
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        [offer, deadline].into_iter().flatten().min()
    }
}
