use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use http::StatusCode;

use super::account::Account;
use super::behaviour::TokenDelays;
use super::gate::{Gate, Gauge};
use super::limiter::Wait;
use super::report::{Arrival, Delivery, MeterReport};
use super::twin::Dialect;
use crate::tier::{Limit, Meter};

/// A request on its way to the limits.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The status of its answer if it is admitted.
    pub(super) status: StatusCode,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// What must fit into a limit on tokens of both kinds for it to be admitted.
    pub(super) required_tokens: u64,
    /// What is counted against a limit on tokens of both kinds.
    pub(super) charged_tokens: u64,
    /// Whether that is counted when its answer is complete, not when it arrives.
    pub(super) charged_at_end: bool,
    /// Whether text is generated for it.
    pub(super) generates: bool,
    /// From its arrival to the head of its answer.
    pub(super) head_after: Duration,
    /// The delays before the tokens that follow the head; `None` if the answer comes with it.
    pub(super) token_delays: Option<TokenDelays>,
}

impl Candidate {
    /// What must fit for it to be admitted. Nobody can tell how long its answer will be, so there
    /// must be something left for output.
    fn required(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Requests | Meter::Concurrent => 1,
            Meter::Tokens => self.required_tokens,
            Meter::InputTokens => self.input_tokens,
            Meter::OutputTokens => u64::from(self.generates),
        }
    }

    /// From its arrival until its answer is complete.
    fn complete_after(&self) -> Duration {
        let generation = self
            .token_delays
            .as_ref()
            .map_or(Duration::ZERO, |delays| delays.total(self.output_tokens));
        self.head_after.saturating_add(generation)
    }
}

/// What was decided about a request, and how things stood then.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// When it arrived.
    pub(super) at: Duration,
    pub(super) position: Position,
    pub(super) refusal: Option<Refusal>,
    /// One for each limit, in their order.
    pub(super) gauges: Vec<Gauge>,
}

/// The place of a request in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position(usize);

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By these limits, that which keeps it out for longest first. There are none if the model is
    /// not on the plan of an account without limits.
    Limits(Vec<Excess>),
    /// Whatever it is: the account has nothing left to spend.
    Exhausted,
}

/// What a request would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) meter: Meter,
    pub(super) window: Duration,
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) requested: u64,
    /// Until the same request would be admitted.
    pub(super) wait: Wait,
}

impl Refusal {
    /// What keeps the request out for longest, if a limit does.
    pub(super) fn longest(&self) -> Option<&Excess> {
        match self {
            Self::Limits(excesses) => excesses.first(),
            Self::Exhausted => None,
        }
    }

    /// How long to wait, if that is known and helps.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.longest()?.wait.known()
    }
}

/// The limits and the log of what arrived. Time is an argument.
///
/// Arrivals are events in a queue, not tasks: each is dealt with as of the very moment it is due,
/// by whoever looks at the ledger next. So neither the lateness of a timer nor a client that
/// leaves while its request is under way changes what is counted or when.
#[derive(Debug)]
pub(super) struct Ledger {
    gates: Vec<Gate>,
    dialect: &'static dyn Dialect,
    counts_refused: bool,
    account: Account,
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
    Arrive {
        index: u64,
        candidate: Box<Candidate>,
    },
    /// The tokens of an answer that are counted when it is complete.
    CountTokens {
        position: Position,
    },
    /// Tokens of an answer, with as many left to come.
    Generate {
        tokens: u64,
        left: u64,
        delays: Option<TokenDelays>,
    },
    Complete,
}

impl Ledger {
    /// `counts_refused`: whether requests that are refused count against limits on requests.
    pub(super) fn new(
        gates: Vec<Gate>,
        dialect: &'static dyn Dialect,
        counts_refused: bool,
        account: Account,
    ) -> Self {
        Self {
            gates,
            dialect,
            counts_refused,
            account,
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
        let candidate = Box::new(candidate);
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
            self.set_delivery(decision.position, Delivery::ClientGone);
        }
    }

    /// Records what became of the answer.
    pub(super) fn set_delivery(&mut self, position: Position, delivery: Delivery) {
        self.log[position.0].delivery = delivery;
    }

    /// Puts another amount in force for the limits on the same meter and window. Returns whether
    /// there are any.
    pub(super) fn set_limit(&mut self, now: Duration, limit: &Limit) -> bool {
        self.advance(now);
        let mut found = false;
        for gate in self.gates.iter_mut().filter(|gate| gate.is(limit)) {
            gate.set_amount(now, limit.amount());
            found = true;
        }
        found
    }

    pub(super) fn set_account(&mut self, now: Duration, account: Account) {
        self.advance(now);
        self.account = account;
    }

    /// Everything that has arrived, in the order in which it was counted, and what was counted
    /// against each limit.
    pub(super) fn read(&mut self, now: Duration) -> (Vec<Arrival>, Vec<MeterReport>) {
        self.advance(now);
        self.pass(now);
        let meters = self.gates.iter().map(Gate::report).collect();
        (self.log.clone(), meters)
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
                    What::Arrive { index, candidate } => self.arrive(event.at, index, *candidate),
                    What::CountTokens { position } => self.count_tokens(event.at, position),
                    What::Generate {
                        tokens,
                        left,
                        delays,
                    } => {
                        self.pass_and_count(event.at, Meter::OutputTokens, tokens);
                        self.generate(event.at, left, delays);
                    }
                    What::Complete => self.release(event.at),
                }
            }
        }
    }

    /// Lets time pass at every limit.
    fn pass(&mut self, now: Duration) {
        for gate in &mut self.gates {
            gate.advance(now);
        }
    }

    fn arrive(&mut self, now: Duration, index: u64, candidate: Candidate) {
        self.pass(now);
        let required = |gate: &Gate| candidate.required(gate.meter());
        let fits = self.gates.iter().all(|gate| gate.fits(required(gate)));
        let admitted = fits && self.account == Account::Active;
        let used_before = if admitted {
            Vec::new()
        } else {
            self.gates.iter().map(Gate::used).collect()
        };
        // A refusal that counts must do so before its wait is known: it waits for itself, too.
        let counted = admitted || self.counts_refused;
        if counted {
            self.count(now, Meter::Requests, 1);
        }
        let refusal = (!admitted).then(|| self.refusal(now, &used_before, required));

        let position = Position(self.log.len());
        self.log.push(Arrival {
            index,
            at: now,
            admitted,
            counted,
            status: match &refusal {
                None => candidate.status.as_u16(),
                Some(refusal) => self.dialect.status(refusal).as_u16(),
            },
            tokens: candidate.charged_tokens,
            tokens_at: None,
            input_tokens: candidate.input_tokens,
            output_tokens: if admitted { candidate.output_tokens } else { 0 },
            delivery: Delivery::InProgress,
        });
        if admitted {
            self.charge(now, position, candidate);
        }

        let decision = Decision {
            at: now,
            position,
            refusal,
            gauges: self.gauges(now),
        };
        match self.open.get_mut(&index) {
            Some(slot) => *slot = Some(decision),
            None => self.set_delivery(position, Delivery::ClientGone),
        }
    }

    /// Counts what an admitted request costs beside the request itself, now or when it is due.
    fn charge(&mut self, now: Duration, position: Position, candidate: Candidate) {
        self.count(now, Meter::InputTokens, candidate.input_tokens);
        let holds_a_place = self.has(Meter::Concurrent);
        let complete_at = if candidate.charged_at_end || holds_a_place {
            now.saturating_add(candidate.complete_after())
        } else {
            now
        };
        if candidate.charged_at_end && complete_at > now {
            self.schedule(complete_at, What::CountTokens { position });
        } else {
            self.count_tokens(now, position);
        }
        if holds_a_place {
            self.count(now, Meter::Concurrent, 1);
            self.schedule(complete_at, What::Complete);
        }
        if self.has(Meter::OutputTokens) {
            let head_at = now.saturating_add(candidate.head_after);
            self.generate(head_at, candidate.output_tokens, candidate.token_delays);
        }
    }

    /// Plans the tokens of an answer that are left after `at`: one event at a time, however many
    /// there are.
    fn generate(&mut self, at: Duration, left: u64, delays: Option<TokenDelays>) {
        if left == 0 {
            return;
        }
        let (at, tokens, delays) = match delays {
            Some(mut delays) if !delays.are_none() => {
                (at.saturating_add(delays.draw()), 1, Some(delays))
            }
            _ => (at, left, None),
        };
        let left = left - tokens;
        self.schedule(
            at,
            What::Generate {
                tokens,
                left,
                delays,
            },
        );
    }

    fn count_tokens(&mut self, now: Duration, position: Position) {
        let arrival = &mut self.log[position.0];
        let tokens = arrival.tokens;
        if tokens > 0 {
            arrival.tokens_at = Some(now);
            self.pass_and_count(now, Meter::Tokens, tokens);
        }
    }

    fn release(&mut self, now: Duration) {
        for gate in self.of(Meter::Concurrent) {
            gate.advance(now);
            gate.release(1);
        }
    }

    fn pass_and_count(&mut self, now: Duration, meter: Meter, amount: u64) {
        for gate in self.of(meter) {
            gate.advance(now);
            gate.count(now, amount);
        }
    }

    /// Counts at every limit on a meter, after time has passed there.
    fn count(&mut self, now: Duration, meter: Meter, amount: u64) {
        for gate in self.of(meter) {
            gate.count(now, amount);
        }
    }

    fn of(&mut self, meter: Meter) -> impl Iterator<Item = &mut Gate> {
        self.gates
            .iter_mut()
            .filter(move |gate| gate.meter() == meter)
    }

    fn has(&self, meter: Meter) -> bool {
        self.gates.iter().any(|gate| gate.meter() == meter)
    }

    fn refusal(&self, now: Duration, used: &[u64], required: impl Fn(&Gate) -> u64) -> Refusal {
        let excess = |(gate, &used): (&Gate, &u64)| {
            let gauge = gate.gauge(now)?;
            let requested = required(gate);
            Some(Excess {
                meter: gauge.meter,
                window: gauge.window,
                limit: gauge.limit,
                used,
                requested,
                wait: gate.wait_for(now, requested),
            })
        };
        let mut excesses: Vec<_> = self.gates.iter().zip(used).filter_map(excess).collect();
        match self.account {
            Account::Active => excesses.retain(|excess| excess.wait != Wait::NONE),
            Account::Exhausted => return Refusal::Exhausted,
            Account::NotOnPlan => {
                for excess in &mut excesses {
                    (excess.limit, excess.used, excess.wait) = (0, 0, Wait::Forever);
                }
            }
        }
        // The order among equals is that of the limits.
        excesses.sort_by_key(|excess| Reverse(excess.wait));
        Refusal::Limits(excesses)
    }

    fn gauges(&self, now: Duration) -> Vec<Gauge> {
        let gauges = self.gates.iter().filter_map(|gate| gate.gauge(now));
        match self.account {
            Account::NotOnPlan => gauges.map(Gauge::of_nothing).collect(),
            Account::Active | Account::Exhausted => gauges.collect(),
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
