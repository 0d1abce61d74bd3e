//! What can be told of a pool's room without taking any of it.

mod support;

use std::time::Duration;

use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{
    Availability, Charge, Cost, Limit, Margin, Pool, RateLimitTracker, Spacing, Tier,
};
use support::{assert_at_rest, exactly, tier_charging};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);

fn options() -> PoolOptions {
    let timing = proactive_rate_limit::schedule::Timing::default();
    PoolOptions::default().spacing(Spacing::Off).timing(timing)
}

fn pool(limits: impl IntoIterator<Item = Limit>) -> Pool {
    let tier = tier_charging(Charge::Actual, limits);
    RateLimitTracker::new()
        .pool_with(&tier, &options())
        .unwrap()
}

async fn send(pool: &Pool, requests: usize) {
    for _ in 0..requests {
        let mut permit = pool.acquire(Cost::request()).await.unwrap();
        permit.answered();
        permit.settle(Cost::request());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_fills_up_and_empties() {
    let pool = pool([exactly(10, WINDOW)]);
    let one = Cost::request();
    let seen = |pool: &Pool| {
        let capacity = pool.capacity(&one);
        (capacity.availability, capacity.admitted_in)
    };
    let at_once = Some(Duration::ZERO);
    assert_eq!(seen(&pool), (Availability::Available, at_once));
    send(&pool, 7).await;
    assert_eq!(seen(&pool), (Availability::Available, at_once));
    send(&pool, 1).await;
    assert_eq!(seen(&pool), (Availability::NearLimit, at_once));
    send(&pool, 2).await;
    assert_eq!(seen(&pool), (Availability::Exhausted, Some(WINDOW)));
    sleep(4 * SECOND).await;
    assert_eq!(seen(&pool), (Availability::Exhausted, Some(6 * SECOND)));
    assert_eq!(
        pool.capacity(&one).to_string(),
        "openai-compatible/test-model@custom: exhausted, in 6.0s\n  \
         10 requests per 10s: 10 of 10 used (100.0 %), the next frees in 6.0s"
    );
    sleep(6 * SECOND).await;
    assert_eq!(seen(&pool), (Availability::Available, at_once));
    // Asking took nothing.
    let stats = pool.stats();
    assert_eq!((stats.granted, stats.scheduled_waits), (10, 0));
    assert_at_rest(&stats);
}

#[tokio::test(start_paused = true)]
async fn the_size_of_the_request_matters() {
    let tokens = Limit::tokens(1_000).per(WINDOW).margin(Margin::Units(0));
    let pool = pool([tokens]);
    let of = |amount| Cost::request().with_tokens(amount);
    let mut permit = pool.acquire(of(600)).await.unwrap();
    permit.answered();
    permit.settle(of(600));
    let small = pool.capacity(&of(400));
    assert_eq!(small.admitted_in, Some(Duration::ZERO));
    let large = pool.capacity(&of(401)).admitted_in.unwrap();
    assert!((WINDOW..WINDOW + SECOND).contains(&large), "{large:?}");
    let never = pool.capacity(&of(1_001));
    assert_eq!((never.admitted_in, never.is_refused), (None, true));
    assert!(
        never.to_string().ends_with("not for such a request"),
        "{never}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_exhausts_the_pool() {
    let pool = pool([exactly(10, WINDOW)]);
    pool.hold(3 * SECOND);
    let capacity = pool.capacity(&Cost::request());
    assert_eq!(capacity.availability, Availability::Exhausted);
    assert_eq!(capacity.admitted_in, Some(3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_end_nobody_knows_when() {
    let pool = pool([Limit::concurrent(1)]);
    let permit = pool.acquire(Cost::request()).await.unwrap();
    let capacity = pool.capacity(&Cost::request());
    assert_eq!((capacity.admitted_in, capacity.is_refused), (None, false));
    assert_eq!(capacity.availability, Availability::Exhausted);
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_tracker_tells_of_all_its_pools() {
    let tracker = RateLimitTracker::new();
    for (model, amount) in [("b", 1), ("a", 10)] {
        let tier = Tier::builder("openai", model)
            .limit(exactly(amount, WINDOW))
            .build()
            .unwrap();
        send(&tracker.pool_with(&tier, &options()).unwrap(), 1).await;
    }
    let all = tracker.capacity(&Cost::request());
    let found: Vec<_> = all
        .iter()
        .map(|capacity| (capacity.pool.as_str(), capacity.availability))
        .collect();
    assert_eq!(
        found,
        [
            ("openai/a@custom", Availability::Available),
            ("openai/b@custom", Availability::Exhausted),
        ]
    );
    let json = serde_json::to_value(&all).unwrap();
    assert_eq!(json[1]["availability"], "exhausted");
    assert_eq!(json[1]["admitted_in"], 10.0);
    assert_eq!(json[1]["limits"][0]["used"], 1);
}
