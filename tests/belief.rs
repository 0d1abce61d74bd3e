//! What a provider's numbers do to configured limits, and for how long at most.

mod support;

use std::time::Duration;

use proactive_rate_limit::schedule::ReportedLimit;
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Cost, Limit, Margin, Meter, Pool, RateLimitTracker, Zone};
use support::{assert_at_rest, exactly, tier, timed};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn pool(limits: impl IntoIterator<Item = Limit>) -> Pool {
    pool_with(limits, &PoolOptions::default())
}

fn pool_with(limits: impl IntoIterator<Item = Limit>, options: &PoolOptions) -> Pool {
    RateLimitTracker::new()
        .pool_with(&tier(limits), options)
        .unwrap()
}

fn of(limit: &Limit, amount: u64, remaining: Option<u64>) -> ReportedLimit {
    let mut report = ReportedLimit::of(limit.meter());
    report.window = Some(limit.window());
    report.limit = Some(amount);
    report.remaining = remaining;
    report.reset = Some(limit.window());
    report
}

/// One request, answered with these reports.
async fn answered(pool: &Pool, reports: &[ReportedLimit]) {
    let mut permit = pool.acquire(Cost::request()).await.unwrap();
    permit.answered_with(reports);
    permit.settle(Cost::request());
}

/// However long the window, one answer that names a low number stops nobody for longer than five
/// minutes.
#[tokio::test(start_paused = true)]
async fn a_lowered_limit_is_asked_again_after_five_minutes() {
    let limits = [
        Limit::requests(1_000).per(HOUR / 6),
        Limit::requests(1_000).per(HOUR),
        Limit::requests(1_000).per(DAY),
        Limit::requests(1_000).per_calendar_day(Zone::UTC),
    ];
    for limit in limits {
        let pool = pool([limit]);
        answered(&pool, &[of(&limit, 1, None)]).await;
        let (waited, permit) = timed(pool.acquire_within(2 * DAY, Cost::request())).await;
        assert_eq!(waited, FIVE_MINUTES, "{limit}");
        permit.unwrap().settle(Cost::request());
        assert_at_rest(&pool.stats());
    }
}

/// Nor does a margin that was widened: of a day nothing expires that could bring an answer.
#[tokio::test(start_paused = true)]
async fn a_widened_margin_narrows_without_answers_where_none_can_come() {
    let options = PoolOptions::default().adaptive_margin(Margin::Percent(50));
    let pool = pool_with([Limit::requests(1_000).per(DAY)], &options);
    for _ in 0..600 {
        answered(&pool, &[]).await;
    }
    for _ in 0..8 {
        if let Ok(permit) = pool.acquire_within(2 * SECOND, Cost::request()).await {
            permit.throttled(Some(SECOND));
        }
        sleep(SECOND).await;
    }
    let stats = pool.stats();
    assert!(
        stats.limits[0].used >= stats.limits[0].effective,
        "{stats:?}"
    );
    let (waited, permit) = timed(pool.acquire_within(2 * DAY, Cost::request())).await;
    assert!(waited <= FIVE_MINUTES, "{waited:?}");
    permit.unwrap().settle(Cost::request());
}

/// A lower number for what may be in flight is believed for a minute.
#[tokio::test(start_paused = true)]
async fn what_may_be_in_flight_is_lowered_for_a_minute() {
    let limit = Limit::concurrent(10);
    let pool = pool([limit]);
    answered(&pool, &[of(&limit, 2, None)]).await;
    sleep(MINUTE - SECOND).await;
    let held: Vec<_> = (0..10)
        .map_while(|_| pool.try_acquire(Cost::request()).ok())
        .collect();
    assert_eq!(held.len(), 2);
    sleep(SECOND).await;
    let more: Vec<_> = (0..10)
        .map_while(|_| pool.try_acquire(Cost::request()).ok())
        .collect();
    assert_eq!(more.len(), 8);
}

/// What is left of the day counts, though the minute is the narrowest window.
#[tokio::test(start_paused = true)]
async fn what_is_left_is_read_for_every_window() {
    let (minute, day) = (exactly(600, MINUTE), exactly(1_000, DAY));
    for names_window in [true, false] {
        let pool = pool([minute, day]);
        let mut left = 10_u64;
        let mut sent = 0;
        for _ in 0..100 {
            if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
                sent += 1;
                left = left.saturating_sub(1);
                let mut daily = of(&day, 1_000, Some(left));
                daily.reset = Some(HOUR);
                if !names_window {
                    daily.window = None;
                }
                permit.answered_with(&[daily]);
                permit.settle(Cost::request());
            }
            sleep(SECOND / 4).await;
        }
        // Somebody used the others, and may go on.
        assert!((1..=10).contains(&sent), "named: {names_window}: {sent}");
    }
}

/// Ours, counted by the provider a while ago, are nobody else's.
#[tokio::test(start_paused = true)]
async fn ours_are_not_taken_for_others_in_a_long_window() {
    let hour = exactly(3_600, HOUR);
    let pool = pool([exactly(600, MINUTE), hour]);
    let mut counted = 0;
    for _ in 0..3_000 {
        let mut permit = pool.acquire(Cost::request()).await.unwrap();
        counted += 1;
        sleep(SECOND / 10).await;
        permit.answered_with(&[of(&hour, 3_600, Some(3_600 - counted))]);
        permit.settle(Cost::request());
    }
    let stats = pool.stats();
    assert!(
        stats.limits.iter().all(|limit| limit.others == 0),
        "{stats:?}"
    );
}

/// A fixed hour that has just begun looks like a minute that refills. It raises nothing.
#[tokio::test(start_paused = true)]
async fn a_raise_is_believed_of_a_certain_window_only() {
    let limit = Limit::requests(10).per_minute();
    let options = PoolOptions::default().follow_raises();
    for (refills, in_force) in [(false, 10), (true, 600)] {
        let pool = pool_with([limit], &options);
        let mut report = ReportedLimit::of(Meter::Requests);
        report.limit = Some(600);
        report.remaining = Some(540);
        report.reset = Some(6 * SECOND);
        report.refills = refills;
        answered(&pool, &[report]).await;
        let stats = pool.stats();
        assert_eq!(stats.limits[0].in_force, in_force, "refills: {refills}");
    }
}

/// After a pause nobody comes at once with the others, however long the windows are.
#[tokio::test(start_paused = true)]
async fn there_is_no_herd_after_a_pause_of_a_long_window() {
    for window in [10 * SECOND, MINUTE, MINUTE + SECOND, HOUR, DAY] {
        let options = PoolOptions::default().spacing(proactive_rate_limit::Spacing::Off);
        let pool = pool_with([Limit::requests(1_000).per(window)], &options);
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.throttled(Some(10 * SECOND));
        let start = tokio::time::Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let pool = pool.clone();
            set.spawn(async move {
                let mut permit = pool.acquire(Cost::request()).await.unwrap();
                let at = start.elapsed();
                permit.answered();
                permit.settle(Cost::request());
                at
            });
        }
        let mut times = set.join_all().await;
        times.sort_unstable();
        let slot = window.min(MINUTE) / 1_000;
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let least = gaps.min().unwrap();
        assert!(least >= slot - SECOND / 500, "{window:?}: {least:?}");
    }
}
