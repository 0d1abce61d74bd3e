//! Whoever leaves, at any moment, takes nothing along and strands nobody.

use std::pin::pin;
use std::time::Duration;

use proactive_rate_limit::{Limit, Permit};
use proactive_rate_limit_model::{
    GRACE, HASTY, OFFER, ONE, PATIENT, World, check, check_outcomes, elapsed,
};

const AT_ONCE: Duration = Duration::ZERO;

/// One request may be under way, and is.
fn busy(haste: Duration, scenario: impl FnOnce(&World, Permit)) {
    World::play(Limit::concurrent(1), haste, |world| {
        let permit = world.pool.try_acquire(ONE).unwrap();
        scenario(world, permit);
    });
}

/// Before it is woken, after it was woken and before it came, or with a permit that it drops.
#[test]
fn a_waiter_that_is_dropped_delays_nobody() {
    check(2, || {
        busy(PATIENT, |world, permit| {
            let (pool, runtime) = (world.pool.clone(), world.runtime.clone());
            let leaving = world.thread(|_| async move {
                let mut waiting = pin!(pool.acquire(ONE));
                let _ = proactive_rate_limit_model::poll_once(&runtime, waiting.as_mut());
            });
            let caller = world.caller();
            permit.settle(ONE);
            leaving.join();
            caller.join();
            assert_eq!(elapsed(), AT_ONCE);
        });
    });
}

/// As above, and it takes its time, so that offers to it may expire.
#[test]
fn a_waiter_that_is_dropped_late_strands_nobody() {
    check(1, || {
        busy(HASTY, |world, permit| {
            let (pool, runtime) = (world.pool.clone(), world.runtime.clone());
            let leaving = world.thread(|_| async move {
                let mut waiting = pin!(pool.acquire(ONE));
                let _ = proactive_rate_limit_model::poll_once(&runtime, waiting.as_mut());
            });
            let caller = world.caller();
            permit.settle(ONE);
            leaving.join();
            caller.join();
            assert!(elapsed() <= 10 * HASTY, "{:?}", elapsed());
        });
    });
}

/// One that is kept and never polled again costs the next one an offer.
#[test]
fn a_waiter_that_is_kept_delays_by_one_offer() {
    check_outcomes(2, [OFFER], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let mut kept = pin!(world.pool.acquire(ONE));
            assert!(!world.poll_once(kept.as_mut()));
            let callers = [world.caller(), world.caller()];
            permit.settle(ONE);
            callers.into_iter().for_each(|caller| caller.join());
            elapsed()
        })
    });
}

/// A grant that is given back goes to the next one in the same instant.
#[test]
fn a_reservation_that_is_dropped_delays_nobody() {
    check(2, || {
        busy(PATIENT, |world, permit| {
            let leaving = world.thread(|pool| async move {
                drop(pool.reserve(ONE).await.unwrap());
            });
            let caller = world.caller();
            permit.settle(ONE);
            leaving.join();
            caller.join();
            assert_eq!(elapsed(), AT_ONCE);
        });
    });
}

/// A grant that is kept unused is taken back after a grace, and won again by whoever had it.
#[test]
fn a_reservation_that_is_kept_delays_by_a_grace() {
    check_outcomes(2, [GRACE], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let reservation = world.runtime.block_on(world.pool.reserve(ONE)).unwrap();
            let callers = [world.caller(), world.caller()];
            callers.into_iter().for_each(|caller| caller.join());
            let took = elapsed();
            let sending = reservation.dispatch();
            world.runtime.block_on(sending).unwrap().settle(ONE);
            assert_eq!(elapsed(), took);
            assert_eq!(world.pool.stats().lapsed, 1);
            took
        })
    });
}

/// Between grant and dispatch the grant may lapse, or not, but the request is sent either way.
#[test]
fn a_grant_that_lapses_while_it_is_used() {
    check_outcomes(2, [0, 1], || {
        World::play(Limit::concurrent(1), HASTY, |world| {
            let reservation = world.runtime.block_on(world.pool.reserve(ONE)).unwrap();
            let caller = world.caller();
            let sending = reservation.dispatch();
            world.runtime.block_on(sending).unwrap().settle(ONE);
            caller.join();
            world.pool.stats().lapsed.min(1)
        })
    });
}

/// A request that nobody heard the end of is under way no longer once its skew has passed: at once,
/// here.
#[test]
fn a_permit_that_is_dropped_admits_the_next() {
    check(2, || {
        busy(PATIENT, |world, permit| {
            let callers = [world.caller(), world.caller()];
            drop(permit);
            callers.into_iter().for_each(|caller| caller.join());
            assert_eq!(elapsed(), AT_ONCE);
        });
    });
}

/// Their deadlines pass, their room frees, and they are gone: whatever comes first, it adds up.
#[test]
fn an_impatient_waiter_leaves_nothing_behind() {
    const PATIENCE: Duration = Duration::from_millis(50);
    check_outcomes(2, [false, true], || {
        World::play(Limit::concurrent(1), HASTY, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let impatient = world.thread(|pool| async move {
                let acquired = pool.acquire_within(PATIENCE, ONE).await;
                acquired.map(|permit| permit.settle(ONE)).is_ok()
            });
            permit.settle(ONE);
            impatient.join()
        })
    });
}
