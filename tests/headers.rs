//! What a provider's own headers correct: a lower limit, and somebody else on the same key.

mod support;

use std::time::Duration;

use proactive_rate_limit::schedule::ReportedLimit;
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Cost, Limit, Margin, Meter, Pool, RateLimitTracker};
use support::{exactly, tier, timed};

const WINDOW: Duration = Duration::from_secs(10);

fn pool(limits: impl IntoIterator<Item = Limit>) -> Pool {
    let options = PoolOptions::default().spacing(proactive_rate_limit::Spacing::Off);
    RateLimitTracker::new()
        .pool_with(&tier(limits), &options)
        .unwrap()
}

fn report(limit: u64, remaining: u64, reset: Duration) -> ReportedLimit {
    let mut report = ReportedLimit::of(Meter::Requests);
    report.limit = Some(limit);
    report.remaining = Some(remaining);
    report.reset = Some(reset);
    report
}

/// One request, answered with this report. How long it waited.
async fn send(pool: &Pool, report: ReportedLimit) -> Duration {
    let (waited, permit) = timed(pool.acquire(Cost::request())).await;
    let mut permit = permit.unwrap();
    permit.answered_with(&[report]);
    permit.settle(Cost::request());
    waited
}

fn effective(pool: &Pool) -> u64 {
    pool.stats().limits[0].effective
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_is_believed_at_once_and_a_higher_one_never() {
    let pool = pool([exactly(10, WINDOW)]);
    send(&pool, report(4, 3, WINDOW)).await;
    assert_eq!(effective(&pool), 4);
    send(&pool, report(6, 4, WINDOW)).await;
    assert_eq!(effective(&pool), 6);
    send(&pool, report(1_000, 997, Duration::from_secs(1))).await;
    assert_eq!(effective(&pool), 10);
}

/// Whoever was counted before the limit was lowered may be answered after.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_overtaken_does_not_raise_it_again() {
    let pool = pool([exactly(10, WINDOW)]);
    let mut slow = pool.acquire(Cost::request()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&pool, report(4, 2, WINDOW)).await;
    slow.answered_with(&[report(10, 9, WINDOW)]);
    assert_eq!(effective(&pool), 4);
    slow.settle(Cost::request());
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&pool, report(10, 7, WINDOW)).await;
    assert_eq!(effective(&pool), 10);
}

fn following_raises() -> Pool {
    let options = PoolOptions::default()
        .spacing(proactive_rate_limit::Spacing::Off)
        .follow_raises();
    RateLimitTracker::new()
        .pool_with(&tier([exactly(10, WINDOW)]), &options)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_is_taken_where_that_was_asked_for_and_its_window_is_named() {
    let mut raised = report(20, 19, Duration::from_secs(1));
    raised.window = Some(WINDOW);
    let pool = following_raises();
    send(&pool, raised).await;
    assert_eq!(effective(&pool), 20);
    assert_eq!(pool.stats().limits[0].in_force, 20);
    for _ in 0..19 {
        assert_eq!(send(&pool, raised).await, Duration::ZERO);
    }
    assert_eq!(send(&pool, raised).await, WINDOW);

    // It may be that of another window: ten times as many in a minute.
    let pool = following_raises();
    send(&pool, report(600, 599, Duration::from_secs(1))).await;
    assert_eq!(effective(&pool), 10);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_is_believed_for_a_window_only() {
    let mut raised = report(20, 19, Duration::from_secs(1));
    raised.window = Some(WINDOW);
    let pool = following_raises();
    send(&pool, raised).await;
    tokio::time::sleep(WINDOW).await;
    assert_eq!(effective(&pool), 10);
}

#[tokio::test(start_paused = true)]
async fn a_daily_number_does_not_lower_the_minute() {
    let pool = pool([exactly(10, WINDOW)]);
    send(&pool, report(5, 4, Duration::from_secs(432))).await;
    assert_eq!(effective(&pool), 10);
}

#[tokio::test(start_paused = true)]
async fn a_nonsense_limit_stops_nobody_for_longer_than_a_window() {
    let pool = pool([exactly(10, WINDOW)]);
    send(&pool, report(1, 0, Duration::ZERO)).await;
    assert_eq!(effective(&pool), 1);
    assert_eq!(send(&pool, report(10, 9, WINDOW)).await, WINDOW);
    assert_eq!(effective(&pool), 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_used_and_cannot_be_ours_is_somebody_elses() {
    let pool = pool([exactly(10, WINDOW)]);
    // Of the four the provider has counted, one is ours.
    send(&pool, report(10, 6, WINDOW)).await;
    assert_eq!(pool.stats().limits[0].others, 3);
    // A gauge: it is replaced, not added to. Two are ours by now.
    send(&pool, report(10, 5, WINDOW)).await;
    assert_eq!(pool.stats().limits[0].others, 3);
    assert_eq!(pool.stats().limits[0].used, 5);
    send(&pool, report(10, 7, WINDOW)).await;
    assert_eq!(pool.stats().limits[0].others, 0);
}

#[tokio::test(start_paused = true)]
async fn others_count_no_longer_than_until_the_limit_is_full_again() {
    let pool = pool([exactly(3, WINDOW)]);
    let reset = Duration::from_secs(4);
    send(&pool, report(3, 0, reset)).await;
    assert_eq!(send(&pool, report(3, 0, reset)).await, reset);
}

#[tokio::test(start_paused = true)]
async fn of_several_reports_on_one_meter_the_tightest_is_in_force() {
    let reports = [
        report(6, 5, WINDOW),
        report(4, 1, WINDOW),
        report(10, 9, WINDOW),
    ];
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let pool = pool([exactly(10, WINDOW)]);
        let mut permit = pool.acquire(Cost::request()).await.unwrap();
        permit.answered_with(&order.map(|index| reports[index]));
        permit.settle(Cost::request());
        let limit = &pool.stats().limits[0];
        assert_eq!((limit.effective, limit.others), (4, 2), "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn spacing_recovers_with_the_limit() {
    let pool = RateLimitTracker::new()
        .pool(&tier([exactly(600, WINDOW)]))
        .unwrap();
    send(&pool, report(2, 1, Duration::ZERO)).await;
    tokio::time::sleep(2 * WINDOW).await;
    let (elapsed, ()) = timed(async {
        for _ in 0..600 {
            pool.acquire(Cost::request())
                .await
                .unwrap()
                .settle(Cost::request());
        }
    })
    .await;
    assert!(elapsed <= WINDOW, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn zero_is_no_limit() {
    let pool = pool([exactly(10, WINDOW)]);
    send(&pool, report(0, 0, Duration::ZERO)).await;
    assert_eq!(effective(&pool), 10);
}

#[tokio::test(start_paused = true)]
async fn others_leave_room_for_us_after_a_window() {
    let pool = pool([exactly(3, WINDOW)]);
    send(&pool, report(3, 0, WINDOW)).await;
    assert_eq!(pool.stats().limits[0].others, 2);
    assert_eq!(send(&pool, report(3, 0, WINDOW)).await, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_or_newer_than_the_answer_is_ours() {
    let pool = pool([exactly(10, WINDOW)]);
    let mut first = pool.acquire(Cost::request()).await.unwrap();
    let second = pool.acquire(Cost::request()).await.unwrap();
    let third = pool.acquire(Cost::request()).await.unwrap();
    // Whether the provider had counted the later two when it answered the first is not known.
    first.answered_with(&[report(10, 7, WINDOW)]);
    assert_eq!(pool.stats().limits[0].others, 0);
    first.settle(Cost::request());
    drop((second, third));
}

/// Half of what is free is left to others while they are there, and also when they just left: whoever
/// needs more than the other half waits until that is known to be over, and no longer.
#[tokio::test(start_paused = true)]
async fn a_large_request_waits_for_others_no_longer_than_until_they_are_forgotten() {
    let tokens = Limit::tokens(100).per(WINDOW).margin(Margin::Units(0));
    let pool = pool([tokens]);
    let report = |remaining| {
        let mut report = ReportedLimit::of(Meter::Tokens);
        report.limit = Some(100);
        report.remaining = Some(remaining);
        report.reset = Some(Duration::from_secs(5));
        report
    };
    let small = Cost::request().with_tokens(1);
    for remaining in [50, 99] {
        let mut permit = pool.acquire(small).await.unwrap();
        permit.answered_with(&[report(remaining)]);
        permit.settle(small);
        tokio::time::sleep(WINDOW / 4).await;
    }
    let large = Cost::request().with_tokens(80);
    let (waited, permit) = timed(pool.acquire(large)).await;
    permit.unwrap().settle(large);
    assert_eq!(waited, WINDOW / 4);
}
