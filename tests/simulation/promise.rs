//! What is promised in a scenario, decided before it is played.

use std::time::Duration;

use proactive_rate_limit::simulator::faults::FaultKind;
use proactive_rate_limit::{Anchor, Charge, Limit, Meter};

use crate::client::READ_TIMEOUT;
use crate::scenario::{Change, Manner, Scenario, Work};

/// How often the provider may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusals {
    Never,
    /// After a limit was lowered, until the first answer that tells so.
    UntilLearnt,
    /// What others do next is not known: this many of a hundred requests, and a few.
    Share(u64),
}

/// Whether the provider never counts more of ours than a limit's effective amount.
///
/// Outside of the promise, as the documentation of the layer says, are
/// - a request that takes longer than `max_skew` to arrive, unless the answer is what counts;
/// - an answer that ends for us before the provider has charged it: it was replaced on its way, or
///   an error event ended it, and the provider goes on and charges tokens at its end;
/// - requests in flight, of clients that leave before the provider is done;
/// - what is sent before the limits are discovered.
pub(crate) fn keeps(scenario: &Scenario, limit: &Limit) -> bool {
    let Scenario { server, ours, .. } = scenario;
    let arrives_in_time = ours.anchor == Anchor::Answer || scenario.way() <= ours.max_skew;
    let is_charged_late = match limit.meter() {
        Meter::Tokens | Meter::OutputTokens => server.charges_at_end,
        Meter::Concurrent => true,
        Meter::Requests | Meter::InputTokens => false,
    };
    let is_cut_short = [
        FaultKind::ServerError,
        FaultKind::Unavailable,
        FaultKind::Overloaded,
        FaultKind::Throttled,
        FaultKind::Redirect,
        FaultKind::ErrorEvent,
    ]
    .into_iter()
    .any(|kind| scenario.rate_of(kind) > 0.0);
    let in_flight_is_known = limit.meter() != Meter::Concurrent
        || (scenario.faults.is_empty() && scenario.clients.iter().all(|c| stays(c.manner)));
    arrives_in_time && !(is_charged_late && is_cut_short) && in_flight_is_known
}

/// Whether this client sees the end of each of its requests.
fn stays(manner: Manner) -> bool {
    match manner {
        Manner::Impatient(_) | Manner::Leaving(_) => false,
        Manner::Patient
        | Manner::Keeping(_)
        | Manner::Unused(_)
        | Manner::Late(_)
        | Manner::PolledOnce(_)
        | Manner::Retrying { .. } => true,
    }
}

pub(crate) fn refusals(scenario: &Scenario) -> Refusals {
    if scenario.others > 0.0 {
        Refusals::Share(20)
    } else if scenario.processes > 1 {
        // Two who begin at the same time, each with its own idea of who is there.
        Refusals::Share(40)
    } else if lowered(scenario) {
        Refusals::UntilLearnt
    } else if scenario.limits.iter().all(|limit| keeps(scenario, limit)) {
        Refusals::Never
    } else {
        Refusals::Share(30)
    }
}

/// Whether the provider lowers one of its limits meanwhile.
fn lowered(scenario: &Scenario) -> bool {
    let lowers = |change: Change| change.amount < change.limit.amount();
    scenario.change.is_some_and(lowers)
}

/// The most of ours that the provider counts in any window of this limit. What it lets pass before
/// it lowers a limit, and until that is known, was within the limit before.
pub(crate) fn most(scenario: &Scenario, limit: &Limit) -> u64 {
    let raised = scenario
        .change
        .filter(|change| scenario.ours.follows_raises && change.limit == *limit)
        .map(|change| change.amount);
    limit.effective().max(raised.unwrap_or(0))
}

/// Whether requests are sent in the order in which their clients asked. It takes clients who come
/// when they are called, one price for all, and nothing that makes one ask again.
pub(crate) fn orders(scenario: &Scenario) -> bool {
    let mut work = scenario.clients.iter().flat_map(|client| &client.work);
    let first = work.next().map(price);
    scenario.processes == 1
        && scenario.faults.is_empty()
        && !scenario.ours.discovers
        && scenario.clients.iter().all(|c| c.manner == Manner::Patient)
        && work.all(|work| Some(price(work)) == first)
}

fn price(work: &Work) -> (u64, u64, bool, bool) {
    (work.input, work.output, work.stream, work.told)
}

/// Whether every patient client gets what it asked for.
pub(crate) fn serves(scenario: &Scenario) -> bool {
    scenario.faults.is_empty()
        && scenario.server.failure_rate == 0.0
        && refusals(scenario) == Refusals::Never
}

/// By when all clients have finished, with room to spare: whoever is later does not come at all.
///
/// At half of its speed for what others use and for what does not fit into what is left of a
/// window, and at a quarter where duplicate headers may halve a limit.
pub(crate) fn bound(scenario: &Scenario) -> Duration {
    let clients = &scenario.clients;
    let attempts: u64 = clients
        .iter()
        .map(|client| tries(client.manner) * client.work.len() as u64)
        .sum();
    let tokens = |of: fn(&Work) -> u64| -> u64 {
        let client = clients
            .iter()
            .map(|client| tries(client.manner) * client.work.iter().map(of).sum::<u64>());
        client.sum()
    };
    let slowness = match scenario.rate_of(FaultKind::DuplicateHeaders) > 0.0 {
        true => 4,
        false => 2,
    };
    let windows = scenario.limits.iter().map(|limit| {
        let wanted = match limit.meter() {
            Meter::Requests => attempts,
            Meter::Tokens | Meter::InputTokens => tokens(price_bound),
            Meter::OutputTokens => tokens(|work| work.output),
            Meter::Concurrent => return Duration::ZERO,
        };
        let changed = scenario.change.filter(|change| change.limit == *limit);
        // The margin is taken off what is in force.
        let margin = limit.amount() - limit.effective();
        let least = changed.map_or(limit.amount(), |change| change.amount.min(limit.amount()));
        let least = least.saturating_sub(margin).max(1);
        let kept = 1.0 - scenario.others;
        let least = ((least as f64 * kept) as u64 / slowness).max(1);
        let mut counts_for = limit.window() + scenario.ours.max_skew;
        if scenario.ours.anchor == Anchor::Answer {
            counts_for += Duration::from_secs(60) + scenario.server.answer;
        }
        if scenario.server.charge == Charge::Actual {
            counts_for += scenario.ours.max_generation + scenario.longest_answer();
        }
        let full = u32::try_from(wanted.div_ceil(least)).unwrap_or(u32::MAX);
        counts_for * (full + 2)
    });
    let admission: Duration = windows.sum();

    // One after the other, each as slow as can be.
    let each = scenario.way() + scenario.longest_answer() + longest_delay(scenario);
    let longest = clients.iter().map(|client| {
        let count = tries(client.manner) * client.work.len() as u64;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        client.start + (each + client.pause + idle(client.manner)) * count
    });
    let dead = Duration::from_secs(2) * u32::try_from(attempts).unwrap_or(u32::MAX);
    admission + longest.max().unwrap_or_default() + dead + holds(scenario, attempts)
}

/// The body's bytes may be looked at, and it is more than its text.
fn price_bound(work: &Work) -> u64 {
    2 * work.input + 64 + work.output
}

fn tries(manner: Manner) -> u64 {
    match manner {
        Manner::Retrying { times, .. } => 1 + u64::from(times),
        _ => 1,
    }
}

/// How long a client does nothing by its own choice, for one attempt.
fn idle(manner: Manner) -> Duration {
    match manner {
        Manner::Patient | Manner::Leaving(_) => Duration::ZERO,
        Manner::Retrying { pause, .. } => pause,
        Manner::Impatient(idle) | Manner::Keeping(idle) => 2 * idle,
        Manner::Unused(idle) | Manner::Late(idle) | Manner::PolledOnce(idle) => idle,
    }
}

fn longest_delay(scenario: &Scenario) -> Duration {
    let slow = [
        (FaultKind::HeadDelay, Duration::from_secs(5)),
        (FaultKind::BodyStall, Duration::from_secs(30)),
        (FaultKind::BodyHang, READ_TIMEOUT),
    ];
    let slow = slow
        .into_iter()
        .filter(|(kind, _)| scenario.rate_of(*kind) > 0.0);
    slow.map(|(_, delay)| delay).sum()
}

/// Each refusal may hold everybody for as long as any may.
fn holds(scenario: &Scenario, attempts: u64) -> Duration {
    let refused = [
        FaultKind::Throttled,
        FaultKind::Unavailable,
        FaultKind::Overloaded,
    ];
    let rate: f64 = refused.map(|kind| scenario.rate_of(kind)).iter().sum();
    let expected = match refusals(scenario) {
        Refusals::Never => rate,
        Refusals::UntilLearnt | Refusals::Share(_) => rate + 0.2,
    };
    if expected == 0.0 {
        return Duration::ZERO;
    }
    // Twice what is to be expected, and a few.
    scenario
        .ours
        .max_hold
        .mul_f64(2.0 * expected * attempts as f64 + 5.0)
}
