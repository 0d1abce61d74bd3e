//! The envelope theorem against an exact oracle: whatever the network, the callers and the server
//! do within the stated bounds, no window of the server holds more than a limit's effective amount.
//!
//! The same simulation with one guard removed must find a violation, or it would prove nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use proactive_rate_limit::schedule::{
    Anchor, Cost, Decision, Dispatch, Entry, Proactive, SchedulingStrategy, Settlement, Spacing,
    Timestamp, Timing,
};
use proactive_rate_limit::{Charge, Limit, Margin, Meter};
use proptest::prelude::*;

/// One assumption or step of the proof, left out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    /// Windows run from the dispatch, although the server counts later.
    SkewBound,
    /// What is granted and not yet sent does not count.
    CountingGrants,
    /// An error is taken for a response head.
    ErrorIsNoHead,
    /// A cancelled request is given back.
    KeepingTheCancelled,
    /// What the server charges at the end counts from the head.
    EndAnchor,
    /// The server charges at the end, later than said.
    SettleSkew,
    /// A dropped stream counts only until the drop.
    MaxGeneration,
    /// Less is reserved than charged.
    FullReserve,
    /// A request is topped up without asking whether it fits.
    TopUpCheck,
    /// With `Anchor::Answer`, a request without an answer is forgotten at once.
    MaxUnanswered,
}

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    limits: Vec<Limit>,
    charge: Charge,
    anchor: Anchor,
    spacing: Spacing,
    requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Completes,
    CancelledBeforeSending,
    /// The connection fails, or the caller gives up, before the head is seen.
    NoHead,
    /// The body is dropped before its end.
    Dropped,
}

/// One request, with everything chance decides about it.
#[derive(Clone, Debug)]
struct Job {
    guess: Cost,
    reserve: Cost,
    charge: Cost,
    fate: Fate,
    idle_before_sending: Duration,
    to_server: Duration,
    to_head: Duration,
    to_end: Duration,
    /// Where between its arrival and the last permitted moment the server charges, 0 to 1.
    charged_at: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Wake,
    Send(usize),
    Head(usize),
    End(usize),
    GiveUp(usize),
}

#[derive(Debug, Default)]
struct Outcome {
    /// What each limit's meter was charged with at the server, and when.
    charges: Vec<(Meter, Timestamp, u64)>,
    dispatches: Vec<Timestamp>,
    served: usize,
    cancelled: usize,
    hung: usize,
    left_over: u64,
}

fn timing(anchor: Anchor) -> Timing {
    let mut timing = Timing::default();
    timing.anchor = anchor;
    timing.max_skew = Duration::from_millis(500);
    timing.settle_skew = Duration::from_millis(200);
    timing.max_generation = Duration::from_secs(3);
    timing.max_unanswered = Duration::from_secs(2);
    timing
}

fn jobs(scenario: &Scenario, removed: Removed) -> Vec<Job> {
    let mut rng = fastrand::Rng::with_seed(scenario.seed);
    let largest = |meter: Meter| {
        let effective = scenario
            .limits
            .iter()
            .filter(|limit| limit.meter() == meter)
            .map(Limit::effective)
            .min()
            .unwrap_or(400);
        (effective / 3).max(1)
    };
    let (tokens, input, output) = (
        largest(Meter::Tokens),
        largest(Meter::InputTokens),
        largest(Meter::OutputTokens),
    );
    let millis =
        |rng: &mut fastrand::Rng, most: u64| Duration::from_micros(rng.u64(0..=most * 1000));
    (0..scenario.requests)
        .map(|_| {
            let mut up_to = |most: u64| {
                // Small requests and large ones.
                let most = if rng.bool() { most } else { (most / 10).max(1) };
                rng.u64(1..=most)
            };
            let reserve = Cost::request()
                .with_tokens(up_to(tokens))
                .with_input_tokens(up_to(input))
                .with_output_tokens(up_to(output));
            let guess = if rng.bool() {
                reserve
            } else {
                Cost::request()
                    .with_tokens(rng.u64(0..=tokens))
                    .with_input_tokens(rng.u64(0..=input))
                    .with_output_tokens(rng.u64(0..=output))
            };
            let part = |rng: &mut fastrand::Rng, of: u64| match scenario.charge {
                Charge::Reserved => of,
                Charge::Actual => rng.u64(of / 4..=of),
            };
            let mut charge = Cost::request()
                .with_tokens(part(&mut rng, reserve.tokens))
                .with_input_tokens(part(&mut rng, reserve.input_tokens))
                .with_output_tokens(part(&mut rng, reserve.output_tokens));
            if removed == Removed::FullReserve {
                charge.tokens += charge.tokens / 3 + 1;
            }
            let fate = match rng.u8(0..10) {
                0 => Fate::CancelledBeforeSending,
                1 => Fate::NoHead,
                2 => Fate::Dropped,
                _ => Fate::Completes,
            };
            Job {
                guess,
                reserve,
                charge,
                fate,
                idle_before_sending: match rng.u8(0..4) {
                    0 => millis(&mut rng, 400),
                    _ => Duration::ZERO,
                },
                to_server: match rng.u8(0..3) {
                    0 => millis(&mut rng, 20),
                    1 => millis(&mut rng, 500),
                    _ => Duration::from_millis(500) - millis(&mut rng, 5),
                },
                to_head: match rng.u8(0..3) {
                    0 => Duration::ZERO,
                    1 => millis(&mut rng, 30),
                    _ => millis(&mut rng, 2_000),
                },
                to_end: match rng.u8(0..3) {
                    0 => Duration::ZERO,
                    1 => millis(&mut rng, 500),
                    _ => millis(&mut rng, 8_000),
                },
                charged_at: match rng.u8(0..4) {
                    0 => 0.0,
                    1 => 1.0,
                    _ => rng.f64(),
                },
            }
        })
        .collect()
}

/// Plays a scenario: callers in one line, first come first served, and a server that counts.
struct Simulation {
    removed: Removed,
    strategy: Proactive,
    jobs: Vec<Job>,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
    line: BTreeSet<usize>,
    cost: Vec<Cost>,
    entries: BTreeMap<usize, Entry>,
    sent_at: BTreeMap<usize, Timestamp>,
    charge: Charge,
    timing: Timing,
    outcome: Outcome,
    rng: fastrand::Rng,
}

impl Simulation {
    fn run(scenario: &Scenario, removed: Removed) -> Outcome {
        let truth = timing(scenario.anchor);
        let mut believed = truth;
        let mut charge = scenario.charge;
        match removed {
            Removed::SkewBound => believed.max_skew = Duration::ZERO,
            Removed::SettleSkew => believed.settle_skew = Duration::ZERO,
            Removed::MaxGeneration => believed.max_generation = Duration::ZERO,
            Removed::MaxUnanswered => believed.max_unanswered = Duration::ZERO,
            Removed::EndAnchor => charge = Charge::Reserved,
            _ => {}
        }
        let strategy = Proactive::new(scenario.limits.iter().copied(), charge)
            .with_spacing(scenario.spacing)
            .with_timing(believed);
        let jobs = jobs(scenario, removed);
        let mut simulation = Self {
            removed,
            strategy,
            cost: jobs.iter().map(|job| job.guess).collect(),
            events: BinaryHeap::new(),
            sequence: 0,
            line: BTreeSet::new(),
            entries: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            charge: scenario.charge,
            timing: truth,
            outcome: Outcome::default(),
            rng: fastrand::Rng::with_seed(!scenario.seed),
            jobs,
        };
        let mut arrival = Timestamp::ZERO;
        for id in 0..scenario.requests {
            if simulation.rng.u8(0..8) == 0 {
                arrival = arrival + Duration::from_millis(simulation.rng.u64(0..4_000));
            }
            simulation.at(arrival, Event::Arrive(id));
        }
        let mut now = Timestamp::ZERO;
        while let Some(Reverse((time, _, event))) = simulation.events.pop() {
            now = time;
            simulation.step(now, event);
            simulation.admit(now);
        }
        simulation.outcome.hung = simulation.line.len() + simulation.entries.len();
        let long_after = now + Duration::from_secs(1_000_000);
        simulation.outcome.left_over = simulation
            .strategy
            .status(long_after)
            .iter()
            .map(|status| status.used)
            .sum();
        simulation.outcome
    }

    fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn admit(&mut self, now: Timestamp) {
        while let Some(id) = self.line.first().copied() {
            let cost = self.cost[id];
            match self.strategy.decide(now, &cost) {
                Decision::Admit => {
                    self.line.remove(&id);
                    let counted = match self.removed {
                        Removed::CountingGrants => Cost::ZERO,
                        _ => cost,
                    };
                    let entry = self.strategy.reserve(now, &counted);
                    self.entries.insert(id, entry);
                    self.at(now + self.jobs[id].idle_before_sending, Event::Send(id));
                }
                Decision::Wait(wait) => {
                    if let Some(until) = wait.until {
                        assert!(until > now, "a wait that ends before it begins");
                        self.at(until, Event::Wake);
                    }
                    break;
                }
                other => panic!("no cost here exceeds a limit: {other:?}"),
            }
        }
    }

    fn step(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Arrive(id) => {
                self.line.insert(id);
            }
            Event::Wake => {}
            Event::Send(id) => self.send(now, id),
            Event::Head(id) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    self.strategy.answer(now, entry);
                }
            }
            Event::End(id) => {
                let Some(entry) = self.entries.remove(&id) else {
                    return;
                };
                self.outcome.served += 1;
                self.strategy
                    .settle(now, entry, Settlement::Charged(self.jobs[id].charge));
            }
            Event::GiveUp(id) => {
                let Some(mut entry) = self.entries.remove(&id) else {
                    return;
                };
                self.outcome.cancelled += 1;
                let settlement = match self.removed {
                    Removed::KeepingTheCancelled => Settlement::Charged(Cost::ZERO),
                    Removed::ErrorIsNoHead => {
                        self.strategy.answer(now, &mut entry);
                        Settlement::Abandoned
                    }
                    _ => Settlement::Abandoned,
                };
                self.strategy.settle(now, entry, settlement);
            }
        }
    }

    fn send(&mut self, now: Timestamp, id: usize) {
        let job = self.jobs[id].clone();
        let Some(mut entry) = self.entries.remove(&id) else {
            return;
        };
        if job.fate == Fate::CancelledBeforeSending {
            self.strategy.release(now, entry);
            self.outcome.cancelled += 1;
            return;
        }
        match self.removed {
            // Sent as if it had been counted all along.
            Removed::CountingGrants | Removed::TopUpCheck => {
                self.strategy.release(now, entry);
                entry = self.strategy.reserve(now, &job.reserve);
            }
            _ => {
                if self.strategy.resize(now, &mut entry, &job.reserve) != Decision::Admit {
                    self.strategy.release(now, entry);
                    self.cost[id] = job.reserve;
                    self.line.insert(id);
                    return;
                }
            }
        }
        if self.strategy.dispatch(now, &mut entry) == Dispatch::Crowded {
            self.strategy.release(now, entry);
            self.cost[id] = job.reserve;
            self.line.insert(id);
            return;
        }
        self.outcome.dispatches.push(now);
        self.sent_at.insert(id, now);
        self.entries.insert(id, entry);

        let arrives = now + job.to_server;
        let head = arrives + job.to_head;
        let end = head + job.to_end;
        let (over, last_charge) = match job.fate {
            Fate::Completes => {
                self.at(head, Event::Head(id));
                self.at(end, Event::End(id));
                (end, end + self.timing.settle_skew)
            }
            Fate::Dropped => {
                self.at(head, Event::Head(id));
                let dropped = head + job.to_end.mul_f64(0.5);
                self.at(dropped, Event::GiveUp(id));
                (dropped, dropped + self.timing.max_generation)
            }
            Fate::NoHead => {
                let failed = now + (job.to_server + job.to_head).mul_f64(0.5);
                self.at(failed, Event::GiveUp(id));
                (failed, failed + self.timing.max_generation)
            }
            Fate::CancelledBeforeSending => unreachable!("returned above"),
        };
        // A request that ended without a head has no head to be counted by.
        let counted = match (self.timing.anchor, job.fate) {
            (Anchor::Answer, Fate::NoHead) => over + self.timing.max_unanswered,
            _ => arrives,
        };
        let between = |first: Timestamp, last: Timestamp| {
            first + last.saturating_since(first).mul_f64(job.charged_at)
        };
        let at_head = match job.fate {
            Fate::NoHead => between(now, counted),
            _ => arrives,
        };
        let generated = match self.charge {
            Charge::Reserved => at_head,
            Charge::Actual => between(at_head.min(last_charge), last_charge),
        };
        let charged = match job.fate {
            Fate::Completes => job.charge,
            // Nobody will know: the provider may charge all of it.
            _ => job.reserve,
        };
        let charges = &mut self.outcome.charges;
        charges.push((Meter::Requests, at_head, 1));
        charges.push((Meter::InputTokens, at_head, charged.input_tokens));
        charges.push((Meter::Tokens, generated, charged.tokens));
        charges.push((Meter::OutputTokens, generated, charged.output_tokens));
    }
}

/// The most the server counted in any interval (x, x + W].
fn worst_window(outcome: &Outcome, limit: &Limit) -> u64 {
    let mut charges: Vec<(Timestamp, u64)> = outcome
        .charges
        .iter()
        .filter(|(meter, ..)| *meter == limit.meter())
        .map(|(_, at, amount)| (*at, *amount))
        .collect();
    charges.sort_unstable();
    let (mut worst, mut sum, mut first) = (0, 0, 0);
    for (at, amount) in &charges {
        sum += amount;
        while charges[first].0 + limit.window() <= *at {
            sum -= charges[first].1;
            first += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

fn exceeded(scenario: &Scenario, outcome: &Outcome) -> Option<String> {
    scenario.limits.iter().find_map(|limit| {
        let worst = worst_window(outcome, limit);
        (worst > limit.effective())
            .then(|| format!("{limit}: {worst} counted, {} allowed", limit.effective()))
    })
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let requests = (3_u64..40, 1_u64..20, 0_u64..3).prop_map(|(amount, window, margin)| {
        Limit::requests(amount)
            .per(Duration::from_secs(window))
            .margin(Margin::Units(margin))
    });
    let tokens = (30_u64..3_000, 1_u64..30)
        .prop_map(|(amount, window)| (amount, Duration::from_secs(window)));
    let limits = (
        proptest::option::weighted(0.8, requests),
        proptest::option::of(
            tokens
                .clone()
                .prop_map(|(n, window)| Limit::tokens(n).per(window)),
        ),
        proptest::option::of(
            tokens
                .clone()
                .prop_map(|(n, window)| Limit::input_tokens(n).per(window)),
        ),
        proptest::option::of(tokens.prop_map(|(n, window)| Limit::output_tokens(n).per(window))),
        proptest::option::weighted(0.2, (2_u64..12).prop_map(Limit::concurrent)),
        proptest::option::weighted(
            0.3,
            (2_u64..6).prop_map(|n| Limit::requests(n).per_second()),
        ),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].into_iter().flatten().collect());
    (
        any::<u64>(),
        limits,
        prop_oneof![Just(Charge::Actual), Just(Charge::Reserved)],
        prop_oneof![3 => Just(Anchor::Bounded), 1 => Just(Anchor::Answer)],
        prop_oneof![
            Just(Spacing::Off),
            Just(Spacing::Even),
            Just(Spacing::Fixed(Duration::from_millis(50)))
        ],
        20_usize..150,
    )
        .prop_map(
            |(seed, limits, charge, anchor, spacing, requests)| Scenario {
                seed,
                limits,
                charge,
                anchor,
                spacing,
                requests,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_window_of_the_server_exceeds_the_envelope(scenario in scenarios()) {
        let outcome = Simulation::run(&scenario, Removed::Nothing);
        prop_assert_eq!(exceeded(&scenario, &outcome), None);
        prop_assert_eq!(outcome.hung, 0, "somebody waits for ever");
        prop_assert_eq!(outcome.left_over, 0, "units leaked");
        prop_assert_eq!(outcome.served + outcome.cancelled, scenario.requests);

        let interval = match scenario.spacing {
            Spacing::Fixed(interval) => interval,
            Spacing::Even => scenario
                .limits
                .iter()
                .filter(|limit| limit.meter() == Meter::Requests)
                .map(|limit| limit.window() / u32::try_from(limit.amount()).unwrap())
                .max()
                .unwrap_or_default(),
            _ => Duration::ZERO,
        };
        // From slot to slot, so only the first of any run may be early against its slot.
        let tick = Duration::from_millis(2);
        let mut earliest = Timestamp::ZERO;
        for sent in &outcome.dispatches {
            prop_assert!(*sent + tick >= earliest, "{sent:?} before {earliest:?}");
            earliest = (earliest.max(sent.saturating_sub(tick))) + interval;
        }
    }
}

/// A scenario in which each guard matters: tight limits, long answers, all fates.
fn telling(seed: u64, anchor: Anchor) -> Scenario {
    Scenario {
        seed,
        limits: vec![
            Limit::requests(12).per(Duration::from_secs(4)),
            Limit::tokens(600).per(Duration::from_secs(4)),
        ],
        charge: Charge::Actual,
        anchor,
        spacing: Spacing::Off,
        requests: 150,
    }
}

fn violations(removed: Removed, anchor: Anchor) -> usize {
    (0..200)
        .map(|seed| telling(seed, anchor))
        .filter(|scenario| exceeded(scenario, &Simulation::run(scenario, removed)).is_some())
        .count()
}

#[test]
fn with_all_guards_nothing_is_exceeded() {
    assert_eq!(violations(Removed::Nothing, Anchor::Bounded), 0);
    assert_eq!(violations(Removed::Nothing, Anchor::Answer), 0);
}

macro_rules! guard_tests {
    ($($name:ident: $removed:expr, $anchor:expr;)*) => {$(
        #[test]
        fn $name() {
            let found = violations($removed, $anchor);
            println!("{found} of 200 schedules exceed a limit");
            assert!(found > 0, "removing the guard must be noticed");
        }
    )*};
}

guard_tests! {
    without_the_skew_bound_it_is_exceeded: Removed::SkewBound, Anchor::Bounded;
    without_counting_grants_it_is_exceeded: Removed::CountingGrants, Anchor::Bounded;
    taking_an_error_for_a_head_it_is_exceeded: Removed::ErrorIsNoHead, Anchor::Bounded;
    giving_back_the_cancelled_it_is_exceeded: Removed::KeepingTheCancelled, Anchor::Bounded;
    counting_generated_tokens_from_the_head_it_is_exceeded: Removed::EndAnchor, Anchor::Bounded;
    without_the_settle_skew_it_is_exceeded: Removed::SettleSkew, Anchor::Bounded;
    without_the_generation_bound_it_is_exceeded: Removed::MaxGeneration, Anchor::Bounded;
    reserving_too_little_it_is_exceeded: Removed::FullReserve, Anchor::Bounded;
    topping_up_unasked_it_is_exceeded: Removed::TopUpCheck, Anchor::Bounded;
    forgetting_the_unanswered_it_is_exceeded: Removed::MaxUnanswered, Anchor::Answer;
}
