//! Somebody watches the line for as long as anybody waits, and looks again in time.

use std::pin::pin;
use std::time::Duration;

use proactive_rate_limit::tracker::model::runtime::Handle;
use proactive_rate_limit::{Limit, Pool, RateLimitError};
use proactive_rate_limit_model::{
    HASTY, OFFER, ONE, PATIENT, World, check, check_outcomes, elapsed, per_second, poll_once, run,
    serve,
};

const SECOND: Duration = Duration::from_secs(1);

/// When it was refused for having waited too long.
async fn refused_after(pool: Pool, patience: Duration) -> Duration {
    let refused = pool.acquire_within(patience, ONE).await.unwrap_err();
    assert!(matches!(refused, RateLimitError::WaitTooLong(_)));
    elapsed()
}

/// The alarm is set for the first of them; the second one's may be earlier.
#[test]
fn an_earlier_alarm_is_heard() {
    check_outcomes(2, [(60 * SECOND, 5 * SECOND)], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let patient = world.thread(|pool| refused_after(pool, 60 * SECOND));
            let impatient = world.thread(|pool| refused_after(pool, 5 * SECOND));
            let outcome = (patient.join(), impatient.join());
            permit.settle(ONE);
            outcome
        })
    });
}

/// It finds the line empty at the moment when somebody comes.
#[test]
fn a_driver_that_ends_while_somebody_comes() {
    check(2, || {
        World::play(per_second(1), HASTY, |world| {
            world.pool.try_acquire(ONE).unwrap().settle(ONE);
            world.caller().join();
            world.runtime.block_on(serve(world.pool.clone()));
            assert!(elapsed() <= 2 * SECOND + 4 * HASTY, "{:?}", elapsed());
        });
    });
}

/// It is spawned once, by whichever of them parks first.
#[test]
fn several_come_at_once() {
    check_outcomes(1, [2 * SECOND], || {
        World::play(per_second(1), PATIENT, |world| {
            let callers = [world.caller(), world.caller(), world.caller()];
            for caller in callers {
                caller.join();
                assert!(world.runtime.tasks() <= 1);
            }
            elapsed()
        })
    });
}

/// Nothing is left to look at but one that does not come to learn that its time is up. When it has
/// gone, so has the driver.
#[test]
fn a_driver_does_not_outlive_the_line() {
    check(2, || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            {
                let mut kept = pin!(world.pool.acquire_within(SECOND, ONE));
                assert!(!world.poll_once(kept.as_mut()));
                let other = world.thread(|pool| refused_after(pool, 2 * SECOND));
                other.join();
            }
            permit.settle(ONE);
        });
    });
}

/// The waiter of a runtime that nobody runs is passed over, as any other that does not come.
#[test]
fn a_stalled_runtime_delays_by_one_offer() {
    check_outcomes(2, [OFFER], || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let stalled = Handle::new(PATIENT);
            let permit = world.pool.try_acquire(ONE).unwrap();
            let mut kept = pin!(world.pool.acquire(ONE));
            assert!(!poll_once(&stalled, kept.as_mut()));
            let callers = [world.caller(), world.caller()];
            permit.settle(ONE);
            callers.into_iter().for_each(|caller| caller.join());
            stalled.shut_down();
            run(&stalled).join();
            elapsed()
        })
    });
}

/// Its driver is gone with it, at any moment. The other runtime has its own.
#[test]
fn a_runtime_that_ends_leaves_the_others_served() {
    check_outcomes(2, [SECOND], || {
        World::play(per_second(1), PATIENT, |world| {
            world.pool.try_acquire(ONE).unwrap().settle(ONE);
            let ending = Handle::new(PATIENT);
            let ends = run(&ending);
            {
                let mut kept = pin!(world.pool.acquire(ONE));
                assert!(!poll_once(&ending, kept.as_mut()));
            }
            let caller = world.caller();
            ending.shut_down();
            ends.join();
            assert!(ending.is_forgotten(), "a waker of its driver is kept");
            caller.join();
            elapsed()
        })
    });
}

/// Two runtimes watch one line. Each wakes whoever is next, wherever that one waits.
#[test]
fn two_runtimes_share_a_line() {
    check_outcomes(1, [2 * SECOND], || {
        World::play(per_second(1), PATIENT, |world| {
            world.pool.try_acquire(ONE).unwrap().settle(ONE);
            let other = Handle::new(PATIENT);
            let others = run(&other);
            let caller = world.caller();
            other.block_on(serve(world.pool.clone()));
            caller.join();
            let took = elapsed();
            other.finish();
            others.join();
            took
        })
    });
}
