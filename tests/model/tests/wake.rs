//! Whoever waits and is polled when woken is admitted as soon as there is room.
#![cfg(proactive_rate_limit_model)]

use std::time::Duration;

use proactive_rate_limit::tracker::model::thread;
use proactive_rate_limit::tracker::model::time::Instant;
use proactive_rate_limit::{Cost, Limit, Margin};
use proactive_rate_limit_model::{
    Audit, HASTY, ONE, PATIENT, assert_settled, caller, check, check_outcomes, per_second, play,
    run, serve,
};

const NO_TIME: Duration = Duration::ZERO;

#[test]
fn two_callers_take_turns() {
    check_outcomes(3, [NO_TIME], || {
        play(Limit::concurrent(1), PATIENT, |pool, runtime| {
            let other = caller(pool, runtime);
            runtime.block_on(serve(pool));
            other.join();
        })
    });
}

#[test]
fn three_callers_take_turns() {
    check_outcomes(1, [NO_TIME], || {
        play(Limit::concurrent(1), PATIENT, |pool, runtime| {
            let others = [caller(pool, runtime), caller(pool, runtime)];
            runtime.block_on(serve(pool));
            others.map(thread::JoinHandle::join);
        })
    });
}

#[test]
fn a_settlement_admits_two_who_wait() {
    check_outcomes(1, [NO_TIME], || {
        play(Limit::concurrent(2), PATIENT, |pool, runtime| {
            let permits = [(); 2].map(|()| pool.try_acquire(ONE).unwrap());
            let waiting = [caller(pool, runtime), caller(pool, runtime)];
            for permit in permits {
                permit.settle(ONE);
            }
            waiting.map(thread::JoinHandle::join);
        })
    });
}
