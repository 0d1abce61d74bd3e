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
mod promise;
mod run;
mod scenario;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use check::check;
use run::run;
use scenario::Scenario;

fn seeds() -> u64 {
    let seeds = std::env::var("SIMULATION_SEEDS").ok();
    seeds.map_or(1_000, |seeds| seeds.parse().expect("a number of seeds"))
}

/// Plays a share of the seeds, so that the shares run side by side.
fn play(share: u64, shares: u64) {
    let mut broken = Vec::new();
    for seed in (0..seeds()).filter(|seed| seed % shares == share) {
        let scenario = Scenario::draw(seed);
        if let Err(what) = check(&scenario, &run(&scenario)) {
            broken.push((seed, what));
        }
    }
    if let Some((_, first)) = broken.first() {
        let seeds: Vec<_> = broken.iter().map(|(seed, _)| seed).collect();
        panic!("{} seeds are broken: {seeds:?}\n{first}", seeds.len());
    }
}

#[test]
fn calm() {
    play(0, 1);
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
