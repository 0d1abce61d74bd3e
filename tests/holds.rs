//! What a pause of the provider does to those who wait: one hold for all, bounded, and no herd after.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use proactive_rate_limit::schedule::{Cause, Spacing};
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Cost, Limit, Pool, RateLimitError, RateLimitTracker, Zone};
use support::{assert_at_rest, exactly, tier, timed};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn pool(limits: impl IntoIterator<Item = Limit>, options: PoolOptions) -> Pool {
    RateLimitTracker::new()
        .pool_with(&tier(limits), &options)
        .unwrap()
}

fn unspaced() -> PoolOptions {
    PoolOptions::default().spacing(Spacing::Off)
}

/// How much longer the pool pauses.
fn hold(pool: &Pool) -> Option<Duration> {
    pool.stats().hold
}

#[tokio::test(start_paused = true)]
async fn unsaid_pauses_double_until_a_good_answer() {
    let pool = pool([exactly(1_000, MINUTE)], unspaced());
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.throttled(None);
        assert_eq!(hold(&pool), Some(pause * SECOND));
    }
    // What failed on the way was no answer.
    drop(pool.acquire(Cost::request()).await.unwrap());
    sleep(SECOND).await;
    let permit = pool.acquire(Cost::request()).await.unwrap();
    permit.throttled(Some(Duration::ZERO));
    assert_eq!(hold(&pool), Some(MINUTE));
    let permit = pool.acquire(Cost::request()).await.unwrap();
    permit.settle(Cost::request());
    sleep(SECOND).await;
    let permit = pool.acquire(Cost::request()).await.unwrap();
    permit.throttled(None);
    assert_eq!(hold(&pool), Some(SECOND));
    assert_at_rest(&pool.stats());
}

#[tokio::test(start_paused = true)]
async fn refusals_of_one_burst_make_one_hold() {
    let pool = pool([exactly(1_000, MINUTE)], unspaced());
    let mut burst = Vec::new();
    for _ in 0..50 {
        burst.push(pool.acquire(Cost::request()).await.unwrap());
    }
    for permit in burst {
        permit.throttled(None);
    }
    assert_eq!(hold(&pool), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_longer_than_the_longest() {
    for asked in [301 * SECOND, 365 * 24 * 60 * MINUTE, Duration::MAX] {
        let pool = pool([exactly(10, MINUTE)], unspaced());
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.throttled(Some(asked));
        assert_eq!(hold(&pool), Some(5 * MINUTE), "{asked:?}");
        let (waited, permit) = timed(pool.acquire(Cost::request())).await;
        assert_eq!(waited, 5 * MINUTE);
        permit.unwrap().settle(Cost::request());
    }
}

/// Sends `count` requests at once after a hold; when each was sent, from the end of the hold. Each
/// is answered after `answer`.
async fn after_a_hold(pool: &Pool, count: usize, cost: Cost, answer: Duration) -> Vec<Duration> {
    pool.hold(10 * SECOND);
    let end = Instant::now() + 10 * SECOND;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut set = JoinSet::new();
    for _ in 0..count {
        let (pool, sent) = (pool.clone(), Arc::clone(&sent));
        set.spawn(async move {
            let permit = pool.acquire(cost).await.unwrap();
            sent.lock().unwrap().push(Instant::now() - end);
            sleep(answer).await;
            permit.settle(cost);
        });
    }
    set.join_all().await;
    let mut sent = std::mem::take(&mut *sent.lock().unwrap());
    sent.sort_unstable();
    sent
}

/// Without spacing, and where only tokens are limited: first one, then each in the time in which
/// the window gives back what it costs.
#[tokio::test(start_paused = true)]
async fn after_a_hold_there_is_no_herd() {
    let tokens = Limit::tokens(60_000).per_minute();
    let cases = [
        (exactly(60, MINUTE), Cost::request(), SECOND),
        (tokens, Cost::request().with_tokens(500), SECOND / 2),
    ];
    for (limit, cost, interval) in cases {
        let pool = pool([limit], unspaced());
        let sent = after_a_hold(&pool, 30, cost, Duration::from_millis(50)).await;
        assert_eq!(sent[0], Duration::ZERO, "{limit}");
        for pair in sent.windows(2) {
            let apart = pair[1] - pair[0];
            // Timers have a resolution of a millisecond, which is caught up with.
            assert!(
                apart.abs_diff(interval) <= Duration::from_millis(2),
                "{limit}: {apart:?}"
            );
        }
        assert_at_rest(&pool.stats());
    }
}

/// While it is not known whether the provider still refuses, one goes each second at most.
#[tokio::test(start_paused = true)]
async fn until_the_first_answer_they_go_one_by_one() {
    let pool = pool([exactly(6_000, MINUTE)], unspaced());
    let sent = after_a_hold(&pool, 10, Cost::request(), 5 * SECOND).await;
    let before_the_answer = sent.iter().filter(|at| **at < 5 * SECOND);
    assert_eq!(before_the_answer.count(), 5, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_wait_for_its_end_is_refused_at_once() {
    let pool = pool([exactly(1, MINUTE)], PoolOptions::default());
    pool.acquire(Cost::request())
        .await
        .unwrap()
        .settle(Cost::request());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { timed(pool.acquire_within(70 * SECOND, Cost::request())).await }
    });
    sleep(SECOND).await;
    pool.hold(100 * SECOND);
    let (waited, refused) = waiting.await.unwrap();
    assert_eq!(waited, SECOND, "it was in line already");
    let Err(RateLimitError::WaitTooLong(error)) = refused else {
        panic!("it cannot be served in time: {refused:?}");
    };
    assert_eq!(error.cause, Cause::Hold);
    assert_eq!(error.remaining, Some(100 * SECOND));
    let newcomer = timed(pool.acquire_within(99 * SECOND, Cost::request())).await;
    assert_eq!(newcomer.0, Duration::ZERO);
    assert!(newcomer.1.is_err());
    let patient = timed(pool.acquire_within(100 * SECOND, Cost::request())).await;
    assert_eq!(patient.0, 100 * SECOND);
    patient.1.unwrap().settle(Cost::request());
    assert_at_rest(&pool.stats());
}

/// The pool's clock leaps while requests are under way and others wait.
#[tokio::test(start_paused = true)]
async fn after_a_leap_of_an_hour_there_is_no_storm() {
    let pool = pool([exactly(60, MINUTE)], PoolOptions::default());
    let permit = pool.acquire(Cost::request()).await.unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut set = JoinSet::new();
    for _ in 0..200 {
        let (pool, sent) = (pool.clone(), Arc::clone(&sent));
        set.spawn(async move {
            let permit = pool.acquire_within(2 * 60 * MINUTE, Cost::request()).await;
            sent.lock().unwrap().push(Instant::now());
            permit.unwrap().settle(Cost::request());
        });
    }
    sleep(3 * SECOND).await;
    for leap in [5 * SECOND, 60 * MINUTE] {
        advance(leap).await;
        sleep(3 * SECOND).await;
    }
    permit.settle(Cost::request());
    set.join_all().await;
    let sent = sent.lock().unwrap();
    for pair in sent.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND - Duration::from_millis(3));
    }
    assert_at_rest(&pool.stats());
}

/// Midnight may come sooner than timers think: the machine was suspended.
#[tokio::test(start_paused = true)]
async fn a_day_that_begins_while_suspended_is_noticed_within_a_minute() {
    let start = Instant::now();
    let leap = Arc::new(Mutex::new(Duration::ZERO));
    let clock = {
        let leap = Arc::clone(&leap);
        move || {
            let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_014_400);
            noon + start.elapsed() + *leap.lock().unwrap()
        }
    };
    let limit = Limit::requests(3).per_calendar_day(Zone::UTC);
    let options = PoolOptions::default().wall_clock(clock);
    let pool = pool([limit], options);
    // 3 less the margin of 2.
    pool.acquire(Cost::request())
        .await
        .unwrap()
        .settle(Cost::request());
    let day = 24 * 60 * MINUTE;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { timed(pool.acquire_within(day, Cost::request())).await }
    });
    sleep(10 * SECOND).await;
    *leap.lock().unwrap() = day;
    let (waited, permit) = waiting.await.unwrap();
    assert!(waited <= 10 * SECOND + MINUTE, "{waited:?}");
    permit.unwrap().settle(Cost::request());
    // Set back, the day does not begin again.
    *leap.lock().unwrap() = Duration::ZERO;
    let refused = timed(pool.acquire_within(MINUTE, Cost::request())).await;
    assert_eq!(refused.0, Duration::ZERO);
    assert!(refused.1.is_err());
    assert_at_rest(&pool.stats());
}
