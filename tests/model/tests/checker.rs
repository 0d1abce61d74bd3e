//! The checker finds what the other models look for: each of these is one of them with its guard
//! removed.

use std::future::pending;
use std::mem;
use std::pin::pin;

use proactive_rate_limit::Limit;
use proactive_rate_limit::tracker::model::runtime::Handle;
use proactive_rate_limit_model::{Audit, ONE, PATIENT, World, check, poll_once, serve};

/// Whoever is next does not come, and their runtime does not run, so that nobody looks.
#[test]
#[should_panic(expected = "everybody waits, and for nothing")]
fn a_line_that_nobody_watches() {
    check(1, || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let stalled = Handle::new(PATIENT);
            let mut kept = pin!(world.pool.acquire(ONE));
            assert!(!poll_once(&stalled, kept.as_mut()));
            let waiting = world.thread(|pool| async move { stalled.block_on(serve(pool)) });
            permit.settle(ONE);
            waiting.join();
        });
    });
}

/// It was woken, and never comes.
#[test]
#[should_panic(expected = "everybody waits, and for nothing")]
fn a_caller_that_never_hears() {
    check(1, || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let runtime = world.runtime.clone();
            let deaf = world.thread(|pool| async move {
                let mut waiting = pin!(pool.acquire(ONE));
                if !poll_once(&runtime, waiting.as_mut()) {
                    pending::<()>().await;
                }
            });
            permit.settle(ONE);
            deaf.join();
        });
    });
}

#[test]
#[should_panic(expected = "left == right")]
fn a_permit_that_is_never_settled() {
    check(1, || {
        World::play(Limit::concurrent(2), PATIENT, |world| {
            mem::forget(world.pool.try_acquire(ONE).unwrap());
            world.caller().join();
        });
    });
}

#[test]
#[should_panic(expected = "2 counted of at most 1")]
fn a_strategy_that_admits_too_many() {
    check(1, || {
        let audit = Audit::of(Limit::concurrent(1));
        let pool = audit.pool(Limit::concurrent(2));
        let permits = [(); 2].map(|()| pool.try_acquire(ONE).unwrap());
        drop((permits, pool));
        audit.assert_closed();
    });
}
