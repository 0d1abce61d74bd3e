use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use http::StatusCode;

use super::report::{Arrival, Delivery};
use super::sliding_log::SlidingLog;

/// The limits and how they are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) requests: Option<u64>,
    pub(super) tokens: Option<u64>,
    pub(super) window: Duration,
    pub(super) refused_count: bool,
}

/// A request on its way to the limiter.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The status of its answer if it is admitted.
    pub(super) status: StatusCode,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// What must fit into the limit on tokens for it to be admitted.
    pub(super) required_tokens: u64,
    /// What is counted against the limit on tokens.
    pub(super) charged_tokens: u64,
    /// From its arrival until its tokens are counted.
    pub(super) charged_after: Duration,
}

/// What the limiter decided about a request, and how things stood then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    /// When it arrived.
    pub(super) at: Duration,
    /// Its place in the log.
    position: usize,
    pub(super) refusal: Option<Refusal>,
    pub(super) requests: Option<Gauge>,
    pub(super) tokens: Option<Gauge>,
}

/// The state of a limit just after a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until the limit is wholly free again.
    pub(super) reset: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meter {
    Requests,
    Tokens,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) meter: Meter,
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) requested: u64,
    /// Until the same request would be admitted; `None` if it never will be.
    pub(super) wait: Option<Duration>,
}

/// The limiter and the log of what arrived. Time is an argument.
///
/// Arrivals are events in a queue, not tasks: each is dealt with as of the very moment it is due,
/// by whoever looks at the ledger next. So neither the lateness of a timer nor a client that
/// leaves while its request is under way changes what is counted or when.
#[derive(Debug)]
pub(super) struct Ledger {
    policy: Policy,
    requests: Option<SlidingLog>,
    tokens: Option<SlidingLog>,
    /// What is still to happen, earliest first.
    upcoming: BinaryHeap<Reverse<Event>>,
    scheduled: u64,
    received: u64,
    log: Vec<Arrival>,
    /// Requests whose client is there, until it has collected the decision.
    open: HashMap<u64, Option<Decision>>,
}

#[derive(Debug)]
struct Event {
    at: Duration,
    /// Keeps events of one moment in the order in which they were scheduled.
    sequence: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Arrive { index: u64, candidate: Candidate },
    CountTokens { position: usize },
}

impl Ledger {
    pub(super) fn new(policy: Policy) -> Self {
        let log_of = |limit: Option<u64>| limit.map(|limit| SlidingLog::new(limit, policy.window));
        Self {
            policy,
            requests: log_of(policy.requests),
            tokens: log_of(policy.tokens),
            upcoming: BinaryHeap::new(),
            scheduled: 0,
            received: 0,
            log: Vec::new(),
            open: HashMap::new(),
        }
    }

    /// Registers a request whose head was received, and numbers it.
    pub(super) fn receive(&mut self) -> u64 {
        let index = self.received;
        self.received += 1;
        index
    }

    /// Sends a request on its way, to arrive at `at`, which must not lie before an earlier `now`.
    pub(super) fn submit(&mut self, index: u64, at: Duration, candidate: Candidate) {
        self.open.insert(index, None);
        self.schedule(at, What::Arrive { index, candidate });
    }

    /// The decision about a request, once, as soon as it has arrived.
    pub(super) fn collect(&mut self, index: u64, now: Duration) -> Option<Decision> {
        self.advance(now);
        self.open.get(&index)?.as_ref()?;
        self.open.remove(&index)?
    }

    /// The client left before it collected the decision.
    pub(super) fn abandon(&mut self, index: u64) {
        // If there is no decision yet, the arrival will find the client gone.
        if let Some(Some(decision)) = self.open.remove(&index) {
            self.set_delivery(&decision, Delivery::ClientGone);
        }
    }

    /// Records what became of the answer.
    pub(super) fn set_delivery(&mut self, decision: &Decision, delivery: Delivery) {
        self.log[decision.position].delivery = delivery;
    }

    /// Everything that has arrived, in the order in which it was counted.
    pub(super) fn arrivals(&mut self, now: Duration) -> Vec<Arrival> {
        self.advance(now);
        self.log.clone()
    }

    fn schedule(&mut self, at: Duration, what: What) {
        self.upcoming.push(Reverse(Event {
            at,
            sequence: self.scheduled,
            what,
        }));
        self.scheduled += 1;
    }

    /// Lets everything happen that is due, each at its own moment.
    fn advance(&mut self, now: Duration) {
        while let Some(Reverse(event)) = self.upcoming.peek() {
            if event.at > now {
                break;
            }
            if let Some(Reverse(event)) = self.upcoming.pop() {
                match event.what {
                    What::Arrive { index, candidate } => self.arrive(event.at, index, candidate),
                    What::CountTokens { position } => self.count_tokens(event.at, position),
                }
            }
        }
    }

    fn arrive(&mut self, now: Duration, index: u64, candidate: Candidate) {
        for log in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            log.expire(now);
        }
        let fits = |log: &Option<SlidingLog>, amount| log.as_ref().is_none_or(|l| l.fits(amount));
        let admitted = fits(&self.requests, 1) && fits(&self.tokens, candidate.required_tokens);
        // A refusal that counts must do so before its wait is known: it waits for itself, too.
        let counted = admitted || self.policy.refused_count;
        let used_before = self.requests.as_ref().map_or(0, SlidingLog::used);
        if let Some(requests) = self.requests.as_mut().filter(|_| counted) {
            requests.count(now, 1);
        }
        let refusal = (!admitted)
            .then(|| self.refusal(now, used_before, candidate.required_tokens))
            .flatten();

        let position = self.log.len();
        self.log.push(Arrival {
            index,
            at: now,
            admitted,
            counted,
            status: if admitted {
                candidate.status.as_u16()
            } else {
                StatusCode::TOO_MANY_REQUESTS.as_u16()
            },
            tokens: candidate.charged_tokens,
            tokens_at: None,
            input_tokens: candidate.input_tokens,
            output_tokens: if admitted { candidate.output_tokens } else { 0 },
            delivery: Delivery::InProgress,
        });
        if admitted {
            if candidate.charged_after.is_zero() {
                self.count_tokens(now, position);
            } else {
                let at = now.saturating_add(candidate.charged_after);
                self.schedule(at, What::CountTokens { position });
            }
        }

        let gauge = |log: &Option<SlidingLog>| log.as_ref().map(|log| Gauge::of(log, now));
        let decision = Decision {
            at: now,
            position,
            refusal,
            requests: gauge(&self.requests),
            tokens: gauge(&self.tokens),
        };
        match self.open.get_mut(&index) {
            Some(slot) => *slot = Some(decision),
            None => self.set_delivery(&decision, Delivery::ClientGone),
        }
    }

    fn count_tokens(&mut self, now: Duration, position: usize) {
        let arrival = &mut self.log[position];
        if arrival.tokens == 0 {
            return;
        }
        arrival.tokens_at = Some(now);
        if let Some(tokens) = &mut self.tokens {
            tokens.count(now, arrival.tokens);
        }
    }

    /// The limit that keeps a request out for longest.
    fn refusal(&self, now: Duration, requests_used: u64, tokens: u64) -> Option<Refusal> {
        let of = |meter, log: &SlidingLog, used, requested| Refusal {
            meter,
            limit: log.limit(),
            used,
            requested,
            wait: log.wait_for(now, requested),
        };
        let refusals = [
            self.tokens
                .as_ref()
                .map(|log| of(Meter::Tokens, log, log.used(), tokens)),
            self.requests
                .as_ref()
                .map(|log| of(Meter::Requests, log, requests_used, 1)),
        ];
        refusals
            .into_iter()
            .flatten()
            .max_by_key(|refusal| (refusal.wait.is_none(), refusal.wait))
    }
}

impl Gauge {
    fn of(log: &SlidingLog, now: Duration) -> Self {
        Self {
            limit: log.limit(),
            remaining: log.limit().saturating_sub(log.used()),
            reset: log.wait_until_empty(now),
        }
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}
