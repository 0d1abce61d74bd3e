//! The invariants. Each is a function of its own that says what it found, or nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::time::Duration;

use proactive_rate_limit::simulator::Arrival;
use proactive_rate_limit::simulator::faults::FaultKind;
use proactive_rate_limit::{Limit, Meter};

use crate::log::{Ending, Event, Reason, Return, What};
use crate::promise::{self, Refusals};
use crate::run::{Outcome, adds_up};
use crate::scenario::{Manner, Scenario};

/// `Err` with what is wrong.
pub(crate) type Verdict = Result<(), String>;

/// A named invariant.
pub(crate) type Invariant = (&'static str, fn(&Scenario, &Outcome) -> Verdict);

pub(crate) const INVARIANTS: [Invariant; 7] = [
    ("progress", progress),
    ("one settlement", one_settlement),
    ("one request each", one_request_each),
    ("envelope", envelope),
    ("refusals", refusals),
    ("order", order),
    ("nothing is left", nothing_is_left),
];

/// Checks everything; what is broken comes with all that is needed to play it again.
pub(crate) fn check(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    let mut broken = String::new();
    for (name, invariant) in INVARIANTS {
        if let Err(what) = invariant(scenario, outcome) {
            let _ = writeln!(broken, "{name}: {what}");
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let seed = scenario.seed;
    let stats: Vec<_> = outcome.stats.iter().map(ToString::to_string).collect();
    Err(format!(
        "seed {seed} (SIMULATION_SEED={seed} plays it again)\n{broken}{}\n{}\n{}\n{scenario:#?}",
        outcome.report,
        outcome.faults,
        stats.join("\n"),
    ))
}

/// P3. Everybody finishes; patient clients are never refused here, and get their answers if nothing
/// goes wrong on the way.
pub(crate) fn progress(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    if let Some(client) = outcome.stormed.first() {
        return Err(format!("client {client} is polled without end"));
    }
    for (id, client) in scenario.clients.iter().enumerate() {
        let finished = What::Finished { client: id };
        if !outcome.events.iter().any(|event| event.what == finished) {
            let bound = promise::bound(scenario);
            let manner = client.manner;
            return Err(format!(
                "client {id} ({manner:?}) has not finished in {bound:?}"
            ));
        }
    }
    for event in &outcome.events {
        let What::Ended(tag, ending) = event.what else {
            continue;
        };
        let is_patient = scenario.clients[tag.client].manner == Manner::Patient;
        let is_served = ending == Ending::Answered(200);
        if is_patient && promise::serves(scenario) && !is_served {
            return Err(format!("{tag:?} was not served: {ending:?}"));
        }
        if matches!(
            ending,
            Ending::Refused(Reason::Size | Reason::Conflict | Reason::Wait)
        ) {
            return Err(format!("{tag:?} was refused: {ending:?} at {:?}", event.at));
        }
    }
    Ok(())
}

/// P4. The statistics add up, at any moment and at the end, and so do those of the network.
pub(crate) fn one_settlement(_: &Scenario, outcome: &Outcome) -> Verdict {
    for event in &outcome.events {
        if let What::Unbalanced { process } = event.what {
            return Err(format!(
                "process {process} did not add up at {:?}",
                event.at
            ));
        }
    }
    for (process, stats) in outcome.stats.iter().enumerate() {
        if !adds_up(stats) {
            return Err(format!("process {process} does not add up: {stats:?}"));
        }
        if (stats.in_flight, stats.reserved, stats.waiting) != (0, 0, 0) {
            return Err(format!("process {process} is not at rest: {stats:?}"));
        }
    }
    Ok(())
}

/// What a layer counts as sent was sent, and arrived once unless it got lost on the way.
pub(crate) fn one_request_each(_: &Scenario, outcome: &Outcome) -> Verdict {
    let journeys = journeys(outcome);
    let sent = journeys.len() as u64;
    let counted: u64 = outcome.stats.iter().map(|stats| stats.total_requests).sum();
    if sent != counted || sent != outcome.faults.requests {
        let network = outcome.faults.requests;
        return Err(format!(
            "{counted} counted, {sent} sent, {network} on the network"
        ));
    }
    let mut refused = 0;
    for (departure, journey) in &journeys {
        match (journey.entered, journey.end) {
            (1, Some(_)) => {}
            (0, Some(Return::Failed(ErrorKind::ConnectionRefused))) => refused += 1,
            (0, Some(Return::Dropped)) => {}
            _ => return Err(format!("departure {departure}: {journey:?}")),
        }
    }
    if refused != outcome.faults.count(FaultKind::ConnectRefused) {
        return Err(format!("{refused} connections refused: {}", outcome.faults));
    }
    let entered = journeys.values().filter(|journey| journey.entered == 1);
    let (entered, arrived) = (entered.count() as u64, outcome.report.arrived);
    if entered != arrived {
        return Err(format!("{entered} came to the door, {arrived} arrived"));
    }
    Ok(())
}

/// P1. In no window of the provider more of one process was counted than a limit's effective
/// amount.
pub(crate) fn envelope(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    let doors = doors(outcome);
    for limit in &scenario.limits {
        if !promise::keeps(scenario, limit) {
            continue;
        }
        let most = promise::most(scenario, limit);
        for process in 0..scenario.processes {
            let ours = |arrival: &&Arrival| {
                let door = doors.get(usize::try_from(arrival.index).unwrap_or(usize::MAX));
                door.is_some_and(|door| door.process == process)
            };
            let arrivals = outcome.report.arrivals().iter().filter(ours);
            let worst = match counts(limit, arrivals) {
                Some(counts) => worst_window(counts, limit.window()),
                None => reported_worst(limit, outcome),
            };
            if worst > most {
                return Err(format!(
                    "process {process} used {worst} of {most} within {limit}"
                ));
            }
        }
    }
    Ok(())
}

/// The provider refuses nothing, or no more than cannot be helped.
pub(crate) fn refusals(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    let refused = outcome.report.throttled;
    match promise::refusals(scenario) {
        Refusals::Never if refused > 0 => Err(format!("{refused} refused")),
        Refusals::Never => Ok(()),
        Refusals::UntilLearnt => refused_after_learning(scenario, outcome),
        Refusals::Share(percent) => {
            let most = outcome.report.arrived * percent / 100 + 10;
            match refused <= most {
                true => Ok(()),
                false => Err(format!("{refused} refused, which is more than {most}")),
            }
        }
    }
}

/// Once an answer told of the change, for as long as it is believed, nothing that was sent after it
/// is refused.
fn refused_after_learning(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    let changed = outcome
        .events
        .iter()
        .find(|event| event.what == What::Changed);
    let (Some(changed), Some(change)) = (changed, scenario.change) else {
        return match outcome.report.throttled {
            0 => Ok(()),
            refused => Err(format!("{refused} refused before anything changed")),
        };
    };
    let doors = doors(outcome);
    let journeys = journeys(outcome);
    let journey = |arrival: &Arrival| {
        let door = &doors[usize::try_from(arrival.index).expect("few")];
        &journeys[&door.departure]
    };
    // When answers came that were made after the change.
    let learnt: Vec<Duration> = outcome
        .report
        .arrivals()
        .iter()
        .filter(|arrival| arrival.at > changed.at)
        .filter_map(|arrival| match journey(arrival) {
            Journey {
                end: Some(Return::Head(_)),
                returned,
                ..
            } => Some(*returned),
            _ => None,
        })
        .collect();
    for arrival in outcome
        .report
        .arrivals()
        .iter()
        .filter(|arrival| !arrival.admitted)
    {
        let departed = journey(arrival).departed;
        let knew = learnt
            .iter()
            .any(|&at| at < departed && departed < at + change.limit.window());
        if arrival.at < changed.at || knew {
            return Err(format!("refused at {:?}, sent at {departed:?}", arrival.at));
        }
    }
    Ok(())
}

/// Requests depart in the order in which their clients asked.
pub(crate) fn order(scenario: &Scenario, outcome: &Outcome) -> Verdict {
    if !promise::orders(scenario) {
        return Ok(());
    }
    let asked = outcome.events.iter().filter_map(|event| match event.what {
        What::Asked(tag) => Some(tag),
        _ => None,
    });
    let departed = outcome.events.iter().filter_map(|event| match event.what {
        What::Departed { tag, .. } => Some((tag, event.at)),
        _ => None,
    });
    for (asked, (departed, at)) in asked.zip(departed) {
        if asked != departed {
            return Err(format!("{departed:?} departed at {at:?} before {asked:?}"));
        }
    }
    Ok(())
}

/// When all is over nothing counts any more: whatever was taken was given back.
pub(crate) fn nothing_is_left(_: &Scenario, outcome: &Outcome) -> Verdict {
    for (process, stats) in outcome.stats.iter().enumerate() {
        for limit in &stats.limits {
            if limit.used > limit.others {
                return Err(format!("process {process} still uses {limit}"));
            }
        }
    }
    Ok(())
}

/// What became of one departure.
#[derive(Clone, Copy, Debug)]
struct Journey {
    departed: Duration,
    entered: u32,
    returned: Duration,
    end: Option<Return>,
}

fn journeys(outcome: &Outcome) -> BTreeMap<usize, Journey> {
    let mut journeys = BTreeMap::new();
    for Event { at, what } in &outcome.events {
        match *what {
            What::Departed { departure, .. } => {
                let journey = Journey {
                    departed: *at,
                    entered: 0,
                    returned: *at,
                    end: None,
                };
                journeys.insert(departure, journey);
            }
            What::Entered { departure } => {
                if let Some(journey) = journeys.get_mut(&departure) {
                    journey.entered += 1;
                }
            }
            What::Returned { departure, end } => {
                if let Some(journey) = journeys.get_mut(&departure) {
                    (journey.returned, journey.end) = (*at, Some(end));
                }
            }
            _ => {}
        }
    }
    journeys
}

/// Who came to the provider's door, in the order of the provider's own numbers.
struct AtTheDoor {
    departure: usize,
    process: usize,
}

fn doors(outcome: &Outcome) -> Vec<AtTheDoor> {
    let mut processes: BTreeMap<usize, usize> = BTreeMap::new();
    let mut doors = Vec::new();
    for event in &outcome.events {
        match event.what {
            What::Departed {
                departure, process, ..
            } => {
                processes.insert(departure, process);
            }
            What::Entered { departure } => doors.push(AtTheDoor {
                departure,
                process: processes[&departure],
            }),
            _ => {}
        }
    }
    doors
}

/// What was counted of a limit and when; `None` if arrivals do not tell.
fn counts<'a>(
    limit: &Limit,
    arrivals: impl Iterator<Item = &'a Arrival>,
) -> Option<Vec<(Duration, u64)>> {
    let count: fn(&Arrival) -> Option<(Duration, u64)> = match limit.meter() {
        Meter::Requests => |arrival| arrival.counted.then_some((arrival.at, 1)),
        Meter::Tokens => |arrival| Some((arrival.tokens_at?, arrival.tokens)),
        Meter::InputTokens => |arrival| {
            arrival
                .admitted
                .then_some((arrival.at, arrival.input_tokens))
        },
        Meter::OutputTokens | Meter::Concurrent => return None,
    };
    Some(arrivals.filter_map(count).collect())
}

/// The most in any interval `(x, x + window]`.
fn worst_window(mut counts: Vec<(Duration, u64)>, window: Duration) -> u64 {
    counts.sort_unstable();
    let (mut oldest, mut sum, mut worst) = (0, 0, 0);
    for &(at, amount) in &counts {
        sum += amount;
        while counts[oldest].0 + window <= at {
            sum -= counts[oldest].1;
            oldest += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

fn reported_worst(limit: &Limit, outcome: &Outcome) -> u64 {
    let meters = outcome.report.meters.iter();
    meters
        .filter(|meter| meter.meter == limit.meter() && meter.window == limit.window())
        .map(|meter| meter.worst_window)
        .max()
        .unwrap_or(0)
}
