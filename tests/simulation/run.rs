//! Plays a scenario on a paused clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use proactive_rate_limit::simulator::faults::{FaultReport, Faults, FaultyNetwork};
use proactive_rate_limit::simulator::{ChargedAt, OtherTraffic, Report, Simulator, Twin};
use proactive_rate_limit::{Limit, ProactiveRateLimitLayer, RateLimitTracker, Stats};
use tokio::time::{Instant, sleep, timeout};
use tower::Layer;

use crate::client::{READ_TIMEOUT, counted, work};
use crate::log::{Event, Log, What};
use crate::promise;
use crate::scenario::{Change, MINUTE, Ours, Scenario};
use crate::wire::{Door, Wire};

/// No client needs to be polled nearly as often.
const MOST_POLLS: u64 = 50_000;

/// How often the statistics are looked at while the run goes on.
const AUDIT: Duration = Duration::from_millis(777);

/// All that is known of a run afterwards.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    /// Clients that were polled without end.
    pub(crate) stormed: Vec<usize>,
    /// Of each process, when everything was over and no longer counted.
    pub(crate) stats: Vec<Stats>,
    pub(crate) report: Report,
    pub(crate) faults: FaultReport,
}

pub(crate) fn run(scenario: &Scenario) -> Outcome {
    run_with(scenario, |layer| layer)
}

/// The same with the layers changed by somebody who plants a mistake.
pub(crate) fn run_with(
    scenario: &Scenario,
    plant: impl Fn(ProactiveRateLimitLayer) -> ProactiveRateLimitLayer,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play(scenario, plant))
}

async fn play(
    scenario: &Scenario,
    plant: impl Fn(ProactiveRateLimitLayer) -> ProactiveRateLimitLayer,
) -> Outcome {
    let log = Log::start();
    let provider = provider(scenario);
    let door = Door {
        provider: provider.clone(),
        log: log.clone(),
    };
    let network = FaultyNetwork::new(door, faults(scenario));
    let processes: Vec<_> = (0..scenario.processes)
        .map(|_| plant(layer(scenario)))
        .collect();

    let mut polls = Vec::new();
    let mut clients = Vec::new();
    for (id, client) in scenario.clients.iter().enumerate() {
        let wire = Wire {
            network: network.clone(),
            process: client.process,
            log: log.clone(),
        };
        let shared = &processes[client.process];
        let service = match client.own_layer {
            true => shared.clone().max_wait(PATIENCE / 2).layer(wire),
            false => shared.layer(wire),
        };
        let counter = Arc::new(AtomicU64::new(0));
        polls.push(Arc::clone(&counter));
        let work = work(id, client.clone(), scenario.server, service, log.clone());
        clients.push(tokio::spawn(counted(counter, MOST_POLLS, work)));
    }
    let change = scenario
        .change
        .map(|change| tokio::spawn(put_in_force(change, provider.clone(), log.clone())));
    let audit = tokio::spawn(audit(processes.clone(), log.clone()));

    let all = async {
        for client in clients {
            client.await.expect("a client that does not panic");
        }
    };
    // Those who have not finished by then are told by the log.
    let _ = timeout(promise::bound(scenario), all).await;
    audit.abort();
    if let Some(change) = change {
        change.abort();
    }
    sleep(rest(scenario)).await;

    let stats = processes.iter().map(|process| process.stats());
    let stormed = polls
        .iter()
        .enumerate()
        .filter(|(_, polls)| polls.load(Ordering::Relaxed) >= MOST_POLLS)
        .map(|(client, _)| client)
        .collect();
    Outcome {
        events: log.events(),
        stormed,
        stats: stats.map(|stats| stats.expect("one pool")).collect(),
        report: provider.report(),
        faults: network.report(),
    }
}

/// Longer than any run.
const PATIENCE: Duration = Duration::from_secs(10_000_000);

fn provider(scenario: &Scenario) -> Simulator {
    let server = &scenario.server;
    let mut builder = match server.twin {
        Some(twin) => Simulator::twin(twin),
        None => {
            Simulator::builder()
                .charge(server.charge)
                .charged_at(match server.charges_at_end {
                    true => ChargedAt::End,
                    false => ChargedAt::Arrival,
                })
        }
    };
    for limit in &scenario.limits {
        builder = match server.twin {
            // What is shorter than its minute is the twin's own way to enforce that.
            Some(Twin::Azure) if limit.window() < MINUTE => builder,
            Some(_) => builder.limit(*limit),
            None => builder.limit_by(*limit, server.enforcement),
        };
    }
    if scenario.others > 0.0 {
        builder = builder.others(OtherTraffic::share(scenario.others));
    }
    builder
        .arrival_latency(Duration::ZERO..=server.arrival)
        .answer_latency(Duration::ZERO..=server.answer)
        .stream_latency(Duration::ZERO..=server.token)
        .output_tokens(1..=80)
        .failure_rate(server.failure_rate)
        .seed(scenario.seed)
        .build()
}

fn faults(scenario: &Scenario) -> Faults {
    let none = Faults::new()
        .connect_delay(Duration::ZERO..=scenario.connect_delay)
        .seed(scenario.seed);
    let faults = scenario.faults.iter();
    faults.fold(none, |faults, &(kind, rate)| faults.inject(kind, rate))
}

/// The layer of one process.
fn layer(scenario: &Scenario) -> ProactiveRateLimitLayer {
    let start = Instant::now();
    let Ours {
        discovers: _,
        spacing,
        anchor,
        max_skew,
        max_generation,
        max_hold,
        grace,
        widest_margin,
        follows_raises,
    } = scenario.ours;
    let mut layer = ProactiveRateLimitLayer::new(scenario.tier())
        .tracker(&RateLimitTracker::new())
        .max_wait(PATIENCE)
        .spacing(spacing)
        .anchor(anchor)
        .max_skew(max_skew)
        .max_generation(max_generation)
        .max_hold(max_hold)
        .grace(grace)
        // As the simulator's.
        .wall_clock(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + start.elapsed()
        });
    if let Some(widest) = widest_margin {
        layer = layer.adaptive_margin(widest);
    }
    if follows_raises {
        layer = layer.follow_raises();
    }
    layer
}

async fn put_in_force(change: Change, provider: Simulator, log: Log) {
    sleep(change.at).await;
    assert!(provider.set_limit(&change.limit_then()), "a limit it has");
    log.write(What::Changed);
}

/// Sees to it that the statistics add up at any moment.
async fn audit(processes: Vec<ProactiveRateLimitLayer>, log: Log) {
    loop {
        for (process, layer) in processes.iter().enumerate() {
            let stats = layer.stats().expect("one pool");
            if !adds_up(&stats) {
                log.write(What::Unbalanced { process });
            }
        }
        sleep(AUDIT).await;
    }
}

pub(crate) fn adds_up(stats: &Stats) -> bool {
    stats.granted == stats.total_requests + stats.released + stats.lapsed + stats.reserved
        && stats.total_requests == stats.settled + stats.abandoned + stats.in_flight
}

/// How long after the last client nothing is under way any more, and nothing counts.
fn rest(scenario: &Scenario) -> Duration {
    let windows = scenario.limits.iter().map(Limit::window).max();
    windows.unwrap_or(MINUTE)
        + scenario.ours.max_skew
        + scenario.ours.max_generation
        + scenario.longest_answer()
        // An answer that nobody waited for is unanswered for a minute.
        + 2 * READ_TIMEOUT
}
