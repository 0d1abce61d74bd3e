//! Mistakes planted on purpose: each invariant tells of the one that breaks it.

use std::time::Duration;

use proactive_rate_limit::schedule::{
    Cause, Cost, Decision, Dispatch, Entry, LimitStatus, Proactive, SchedulingStrategy, Settlement,
    Spacing, Timestamp, Wait,
};
use proactive_rate_limit::simulator::Enforcement;
use proactive_rate_limit::{Anchor, Charge, Limit, Margin, ProactiveRateLimitLayer};

use crate::check::{
    Verdict, check, envelope, nothing_is_left, one_request_each, one_settlement, order, progress,
    refusals,
};
use crate::log::What;
use crate::run::{Outcome, run, run_with};
use crate::scenario::{Manner, Scenario, Server};

/// A busy run of patient clients who all ask for the same, on a network that takes its time.
fn busy() -> Scenario {
    let mut scenario = Scenario::draw(0);
    let window = Duration::from_secs(5);
    scenario.limits = vec![Limit::requests(20).per(window).margin(Margin::Units(0))];
    scenario.server = Server {
        arrival: Duration::from_millis(450),
        answer: Duration::from_millis(100),
        charge: Charge::Reserved,
        charges_at_end: false,
        ..scenario.server
    };
    scenario.ours.max_skew = Duration::from_millis(450);
    scenario.ours.anchor = Anchor::Bounded;
    scenario.ours.spacing = Spacing::Off;
    let client = scenario.clients[0].clone();
    let work = client.work[0];
    scenario.clients = vec![client; 12];
    for client in &mut scenario.clients {
        client.manner = Manner::Patient;
        client.work = vec![work; 12];
        (client.start, client.pause) = (Duration::ZERO, Duration::ZERO);
    }
    scenario
}

fn assert_tells(verdict: Verdict, of: &str) {
    let told = verdict.expect_err("a planted mistake");
    assert!(told.contains(of), "{told}");
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let scenario = busy();
    check(&scenario, &run(&scenario)).unwrap();
}

/// A layer that allows for no time on the way.
#[test]
fn a_way_that_is_not_allowed_for_breaks_the_envelope() {
    let scenario = busy();
    let outcome = run_with(&scenario, |layer| {
        layer.max_skew(Duration::ZERO).safety_margin(0)
    });
    assert!(outcome.report.throttled > 0);
    assert_tells(refusals(&scenario, &outcome), "refused");

    // A provider that lets it pass counts too much.
    let mut lenient = scenario;
    lenient.server.enforcement = Enforcement::TokenBucket;
    let outcome = run_with(&lenient, |layer| layer.max_skew(Duration::ZERO));
    assert_tells(envelope(&lenient, &outcome), "of 20 within");
    assert_tells(check(&lenient, &outcome), "seed 0 (SIMULATION_SEED=0");
}

/// Keeps the account like another strategy, but for what a mistake makes of it.
#[derive(Debug)]
struct Mistaken {
    right: Proactive,
    mistake: Mistake,
    settled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// Every tenth settlement is forgotten.
    ForgetsSettlements,
    /// Nobody is admitted any more after so many.
    Stops { after: u64 },
}

impl SchedulingStrategy for Mistaken {
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        match self.mistake {
            Mistake::Stops { after } if self.settled >= after => Decision::Wait(Wait {
                until: None,
                cause: Cause::Line,
            }),
            _ => self.right.decide(now, cost),
        }
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        self.right.reserve(now, cost)
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        self.right.resize(now, entry, cost)
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        self.right.dispatch(now, entry)
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        self.right.answer(now, entry);
    }

    fn settle(&mut self, now: Timestamp, entry: Entry, settlement: Settlement) {
        self.settled += 1;
        if self.mistake != Mistake::ForgetsSettlements || self.settled % 10 != 0 {
            self.right.settle(now, entry, settlement);
        }
    }

    fn release(&mut self, now: Timestamp, entry: Entry) {
        self.right.release(now, entry);
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.right.status(now)
    }
}

fn mistaken(
    charge: Charge,
    mistake: Mistake,
) -> impl Fn(ProactiveRateLimitLayer) -> ProactiveRateLimitLayer {
    move |layer| {
        layer.strategy(move |_, limits| {
            Box::new(Mistaken {
                right: Proactive::new(limits.iter().copied(), charge).with_spacing(Spacing::Off),
                mistake,
                settled: 0,
            })
        })
    }
}

#[test]
fn a_forgotten_settlement_is_left_over() {
    let mut scenario = busy();
    (scenario.server.charge, scenario.server.charges_at_end) = (Charge::Actual, true);
    let tokens = Limit::tokens(50_000).per(Duration::from_secs(5));
    scenario.limits.push(tokens.margin(Margin::Units(0)));
    let outcome = run_with(
        &scenario,
        mistaken(Charge::Actual, Mistake::ForgetsSettlements),
    );
    assert_tells(nothing_is_left(&scenario, &outcome), "still uses");
}

#[test]
fn clients_that_are_never_served_have_not_finished() {
    let scenario = busy();
    let stops = mistaken(Charge::Reserved, Mistake::Stops { after: 30 });
    let outcome = run_with(&scenario, stops);
    assert_tells(progress(&scenario, &outcome), "has not finished in");
    // They wait still.
    assert_tells(one_settlement(&scenario, &outcome), "is not at rest");
}

/// A run in which the account was falsified afterwards.
fn falsified(falsify: impl FnOnce(&mut Outcome)) -> (Scenario, Outcome) {
    let scenario = busy();
    let mut outcome = run(&scenario);
    falsify(&mut outcome);
    (scenario, outcome)
}

#[test]
fn one_settlement_too_many_or_too_few_does_not_add_up() {
    let (scenario, outcome) = falsified(|outcome| outcome.stats[0].settled += 1);
    assert_tells(one_settlement(&scenario, &outcome), "does not add up");
    let (scenario, outcome) = falsified(|outcome| outcome.stats[0].released += 1);
    assert_tells(one_settlement(&scenario, &outcome), "does not add up");
}

#[test]
fn requests_that_are_not_counted_once_are_found() {
    let (scenario, outcome) = falsified(|outcome| outcome.stats[0].total_requests -= 1);
    assert_tells(
        one_request_each(&scenario, &outcome),
        "143 counted, 144 sent",
    );

    let entered = |outcome: &Outcome| {
        let mut events = outcome.events.iter();
        events.position(|event| matches!(event.what, What::Entered { .. }))
    };
    let (scenario, outcome) = falsified(|outcome| {
        let entered = entered(outcome).expect("somebody came to the door");
        outcome.events.insert(entered, outcome.events[entered]);
    });
    assert_tells(one_request_each(&scenario, &outcome), "entered: 2");
    let (scenario, outcome) = falsified(|outcome| {
        let entered = entered(outcome).expect("somebody came to the door");
        outcome.events.remove(entered);
    });
    assert_tells(one_request_each(&scenario, &outcome), "entered: 0");
}

/// Whoever comes late for what it was offered is passed by, and the check sees that.
#[test]
fn a_client_that_is_passed_by_breaks_the_order() {
    let mut late = busy();
    late.clients[3].manner = Manner::Late(Duration::from_secs(1));
    let outcome = run(&late);
    // Taken for one in which all clients are patient.
    assert_tells(order(&busy(), &outcome), "before Tag { client: 3");
}
