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
}

/// Who is next, given that some of those who wait will never come.
///
/// A wake-up is only an *offer*: whoever waits has to come and claim. Whoever does not come within
/// a grace keeps its ticket but counts as *absent* until it is polled again, and the offers go on to
/// those behind it: first to one, and then to twice as many as stayed unanswered in a row. So a
/// thousand waiters that nobody polls any more delay the one behind them by ten graces, once.
#[derive(Debug)]
pub(super) struct Line {
    /// Believed to come when woken, in order.
    waiting: BTreeMap<Ticket, Waiter>,
    /// Woken, has not come yet.
    offered: BTreeMap<Ticket, Offer>,
    /// Did not come.
    absent: BTreeMap<Ticket, Waiter>,
    deadlines: BTreeSet<(Timestamp, Ticket)>,
    /// How many offers may be open at once.
    width: usize,
    /// Offers that expired since one was last answered.
    unanswered: usize,
}

#[derive(Debug)]
struct Offer {
    made: Timestamp,
    waiter: Waiter,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            offered: BTreeMap::new(),
            absent: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            width: 1,
            unanswered: 0,
        }
    }

    /// Whether nobody waits, absent ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.offered.is_empty() && self.absent.is_empty()
    }

    /// Everybody who waits, absent ones included.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.offered.len() + self.absent.len()
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
    pub(super) fn park(&mut self, ticket: Ticket, waiter: Waiter, out: &mut Outbox) {
        if let Some(parked) = self.waiting.get_mut(&ticket) {
            if parked.cost == waiter.cost && parked.deadline == waiter.deadline {
                out.discard(std::mem::replace(&mut parked.waker, waiter.waker));
                return;
            }
        }
        self.leave(ticket, out);
        self.deadlines.insert((waiter.deadline, ticket));
        self.waiting.insert(ticket, waiter);
    }

    /// Takes a waiter out: it was admitted, refused, or has gone.
    pub(super) fn leave(&mut self, ticket: Ticket, out: &mut Outbox) {
        let came_for_an_offer = self.offered.contains_key(&ticket);
        let Some(waiter) = self.take(ticket) else {
            return;
        };
        if came_for_an_offer {
            self.unanswered = 0;
            if self.offered.is_empty() {
                // Everybody who was asked came: there is no sign of absent ones any more.
                self.width = 1;
            }
        }
        self.deadlines.remove(&(waiter.deadline, ticket));
        out.discard(waiter.waker);
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.waiting
            .remove(&ticket)
            .or_else(|| self.offered.remove(&ticket).map(|offer| offer.waiter))
            .or_else(|| self.absent.remove(&ticket))
    }

    /// The first to be offered what is free, if an offer may be made at all.
    pub(super) fn next_to_offer(&self) -> Option<&Cost> {
        if self.offered.len() >= self.width {
            return None;
        }
        self.waiting
            .first_key_value()
            .map(|(_, waiter)| &waiter.cost)
    }

    /// Wakes the first one waiting.
    pub(super) fn offer(&mut self, now: Timestamp, out: &mut Outbox) {
        if let Some((ticket, waiter)) = self.waiting.pop_first() {
            out.wake(waiter.waker.clone());
            self.offered.insert(ticket, Offer { made: now, waiter });
        }
    }

    /// Whoever was offered something `grace` ago and has not come is absent from now on.
    pub(super) fn expire_offers(&mut self, now: Timestamp, grace: Duration) {
        let expired: Vec<Ticket> = self
            .offered
            .iter()
            .filter(|(_, offer)| offer.made + grace <= now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in expired {
            if let Some(offer) = self.offered.remove(&ticket) {
                self.absent.insert(ticket, offer.waiter);
                self.unanswered += 1;
            }
        }
        self.width = self.width.max(self.unanswered.saturating_mul(2));
    }

    /// Wakes everybody whose time is up, so that they come and learn of it. They hold up nobody.
    pub(super) fn expire_deadlines(&mut self, now: Timestamp, out: &mut Outbox) {
        while let Some(&(deadline, ticket)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let Some(waiter) = self.take(ticket) else {
                continue;
            };
            out.wake(waiter.waker.clone());
            self.absent.insert(ticket, waiter);
        }
    }

    /// When the line needs to be looked at again, apart from what gets free.
    pub(super) fn next_event(&self, grace: Duration) -> Option<Timestamp> {
        let offer = self.offered.values().map(|offer| offer.made + grace).min();
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        [offer, deadline].into_iter().flatten().min()
    }
}
