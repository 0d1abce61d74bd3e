//! Whoever waits and is polled when woken is admitted as soon as there is room.

use std::time::Duration;

use proactive_rate_limit::{Cost, Limit, Margin};
use proactive_rate_limit_model::{
    HASTY, ONE, PATIENT, World, assert_settled, check, check_outcomes, elapsed, per_second,
};

const AT_ONCE: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_callers_take_turns() {
    check_outcomes(3, [AT_ONCE], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let callers = [world.caller(), world.caller()];
            callers.into_iter().for_each(|caller| caller.join());
            elapsed()
        })
    });
}

#[test]
fn three_callers_take_turns() {
    check_outcomes(1, [AT_ONCE], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let callers = [world.caller(), world.caller(), world.caller()];
            callers.into_iter().for_each(|caller| caller.join());
            elapsed()
        })
    });
}

#[test]
fn two_settlements_admit_two() {
    check_outcomes(2, [AT_ONCE], || {
        World::play(Limit::concurrent(2), PATIENT, |world| {
            let permits = [(); 2].map(|()| world.pool.try_acquire(ONE).unwrap());
            let callers = [world.caller(), world.caller()];
            permits.into_iter().for_each(|permit| permit.settle(ONE));
            callers.into_iter().for_each(|caller| caller.join());
            elapsed()
        })
    });
}

/// What a request did not use is somebody else's at once.
#[test]
fn a_small_charge_admits_whoever_waits() {
    check_outcomes(3, [AT_ONCE], || {
        let tokens = Limit::tokens(10).per_second().margin(Margin::Units(0));
        World::play(tokens, PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE.with_tokens(10)).unwrap();
            let waiting = world.thread(|pool| async move {
                let permit = pool.acquire(ONE.with_tokens(5)).await.unwrap();
                permit.settle(ONE.with_tokens(5));
            });
            permit.settle(ONE.with_tokens(1));
            waiting.join();
            elapsed()
        })
    });
}

/// Nothing wakes them but the driver.
#[test]
fn room_that_frees_by_itself_is_noticed() {
    check_outcomes(2, [vec![AT_ONCE, SECOND, 2 * SECOND]], || {
        World::play(per_second(1), PATIENT, |world| {
            world.pool.try_acquire(ONE).unwrap().settle(ONE);
            let callers = [world.caller(), world.caller()];
            callers.into_iter().for_each(|caller| caller.join());
            world.sent()
        })
    });
}

/// A caller may take as long to come as an offer or a grant stands: it may have to come again, but
/// is served.
#[test]
fn slow_callers_are_served() {
    check(2, || {
        World::play(Limit::concurrent(1), HASTY, |world| {
            let callers = [world.caller(), world.caller()];
            callers.into_iter().for_each(|caller| caller.join());
            assert!(elapsed() <= 10 * HASTY, "{:?}", elapsed());
        });
    });
}

#[test]
fn nobody_passes_those_who_wait() {
    check_outcomes(2, [false, true], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let waiting = world.caller();
            let passing = world.thread(|pool| async move {
                match pool.try_acquire(ONE) {
                    Ok(permit) => {
                        permit.settle(ONE);
                        true
                    }
                    Err(_) => false,
                }
            });
            permit.settle(ONE);
            let has_passed = passing.join();
            waiting.join();
            assert_eq!(elapsed(), AT_ONCE);
            has_passed
        })
    });
}

/// A hold that comes in time stops whoever would have been admitted by the settlement.
#[test]
fn a_hold_and_a_settlement_at_once() {
    const PAUSE: Duration = Duration::from_secs(5);
    check_outcomes(2, [AT_ONCE, PAUSE], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let waiting = world.caller();
            let holding = world.thread(|pool| async move { pool.hold(PAUSE) });
            permit.settle(ONE);
            holding.join();
            waiting.join();
            world.sent()[1]
        })
    });
}

/// A grant from before a hold is not used after it began.
#[test]
fn a_hold_and_a_dispatch_at_once() {
    const PAUSE: Duration = Duration::from_secs(5);
    check_outcomes(3, [(1, AT_ONCE), (0, PAUSE)], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let reservation = world.runtime.block_on(world.pool.reserve(ONE)).unwrap();
            let holding = world.thread(|pool| async move {
                pool.hold(PAUSE);
                pool.stats().total_requests
            });
            let sending = reservation.dispatch();
            world.runtime.block_on(sending).unwrap().settle(ONE);
            (holding.join(), world.sent()[0])
        })
    });
}

/// What the refused request leaves does not get past the pause that it asked for.
#[test]
fn a_refusal_holds_those_who_wait() {
    const PAUSE: Duration = Duration::from_secs(5);
    check_outcomes(2, [vec![AT_ONCE, PAUSE, PAUSE]], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let callers = [world.caller(), world.caller()];
            permit.throttled(Some(PAUSE));
            callers.into_iter().for_each(|caller| caller.join());
            world.sent()
        })
    });
}

#[test]
fn the_account_adds_up_at_every_moment() {
    check(2, || {
        World::play(per_second(1), HASTY, |world| {
            let caller = world.caller();
            let leaving = world.thread(|pool| async move {
                drop(pool.reserve(ONE).await.unwrap());
            });
            assert_settled(&world.pool.stats());
            assert_settled(&world.pool.stats());
            caller.join();
            leaving.join();
            assert_eq!(world.pool.stats().settled, 1);
        });
    });
}

/// It is told at once, however many wait.
#[test]
fn a_request_that_is_too_large_is_refused_while_others_wait() {
    check(2, || {
        let tokens = Limit::tokens(10).per_second().margin(Margin::Units(0));
        World::play(tokens, PATIENT, |world| {
            let fits = Cost::request().with_tokens(10);
            let permit = world.pool.try_acquire(fits).unwrap();
            let caller = world.thread(move |pool| async move {
                pool.acquire(fits).await.unwrap().settle(fits);
            });
            let refused = world.thread(|pool| async move {
                pool.acquire(ONE.with_tokens(11)).await.unwrap_err();
                elapsed()
            });
            permit.settle(fits);
            assert_eq!(refused.join(), AT_ONCE);
            caller.join();
            assert_eq!(elapsed(), SECOND);
        });
    });
}
