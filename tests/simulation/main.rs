//! Whole processes, simulated: one seed is one run of a provider, a network, layers and clients on
//! a paused clock, the same every time. Whatever happens in it, the invariants of [`check`] hold.
//!
//! `SIMULATION_SEEDS` says how many seeds to play in all, 1,000 unless set. To play one again:
//!
//! ```text
//! SIMULATION_SEED=123 cargo test --test simulation replay -- --nocapture
//! ```

mod check;
mod client;
mod draw;
mod log;
mod planted;
mod promise;
mod run;
mod scenario;
#[path = "../support/mod.rs"]
mod support;
mod twins;
mod wire;

use std::collections::BTreeSet;

use check::check;
use draw::Family;
use log::fingerprint;
use run::run;
use scenario::Scenario;

fn seeds() -> u64 {
    let seeds = std::env::var("SIMULATION_SEEDS").ok();
    seeds.map_or(1_000, |seeds| seeds.parse().expect("a number of seeds"))
}

/// Plays the seeds of a family: so the families run side by side. Gives how many requests arrived,
/// and how many the provider refused.
fn play(family: Family) -> (u64, u64) {
    let (mut arrived, mut refused) = (0, 0);
    let mut broken = Vec::new();
    for seed in (0..seeds()).filter(|&seed| Family::of(seed) == family) {
        let scenario = Scenario::draw(seed);
        let outcome = run(&scenario);
        arrived += outcome.report.arrived;
        refused += outcome.report.throttled;
        if let Err(what) = check(&scenario, &outcome) {
            broken.push((seed, what));
        }
    }
    if let Some((_, first)) = broken.first() {
        let seeds: Vec<_> = broken.iter().map(|(seed, _)| seed).collect();
        panic!("{} seeds are broken: {seeds:?}\n{first}", seeds.len());
    }
    println!("{family:?}: {refused} of {arrived} requests refused");
    (arrived, refused)
}

#[test]
fn calm() {
    play(Family::Calm);
}

#[test]
fn manners() {
    play(Family::Manners);
}

#[test]
fn faults() {
    play(Family::Faults);
}

#[test]
fn twins() {
    play(Family::Twins);
}

#[test]
fn shared() {
    let (arrived, refused) = play(Family::Shared);
    // What others do next cannot be known, but it is learnt: 0.2 % were seen.
    assert!(refused * 100 <= arrived, "{refused} of {arrived} refused");
}

/// One seed is one run: the same events at the same times, however often it is played.
#[test]
fn the_same_seed_is_the_same_run() {
    for seed in (0..seeds()).step_by(13) {
        let scenario = Scenario::draw(seed);
        let once = run(&scenario).events;
        let again = run(&scenario).events;
        let differs = once.iter().zip(&again).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(fingerprint(&once), fingerprint(&again), "seed {seed}");
    }
}

/// Other seeds are other runs.
#[test]
fn no_two_seeds_are_the_same_run() {
    let fingerprint = |seed| fingerprint(&run(&Scenario::draw(seed)).events);
    let runs: BTreeSet<_> = (0..50).map(fingerprint).collect();
    assert_eq!(runs.len(), 50);
}

/// Plays the seed that `SIMULATION_SEED` names, and prints everything that happens.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("SIMULATION_SEED") else {
        return;
    };
    let scenario = Scenario::draw(seed.parse().expect("a seed"));
    let outcome = run(&scenario);
    for event in &outcome.events {
        println!("{:>14.6?}  {:?}", event.at, event.what);
    }
    check(&scenario, &outcome).unwrap();
    println!("{}\n{}", outcome.report, outcome.faults);
}
