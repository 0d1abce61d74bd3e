//! The adaptive margin: it widens within its bound, shows, narrows, and starves nobody.

mod support;

use std::time::Duration;

use proactive_rate_limit::schedule::{
    Decision, Dispatch, Proactive, ReportedLimit, SchedulingStrategy, Settlement, Spacing,
    Timestamp,
};
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Charge, Cost, Limit, Margin, Meter, Pool, RateLimitTracker};
use support::{assert_at_rest, tier};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn in_force(pool: &Pool) -> (u64, u64, u64) {
    let limit = &pool.stats().limits[0];
    (limit.in_force, limit.margin, limit.effective)
}

#[tokio::test(start_paused = true)]
async fn it_widens_to_its_bound_and_narrows_back_and_shows() {
    let limit = Limit::requests(100).per_minute();
    let options = PoolOptions::default().adaptive_margin(Margin::Percent(20));
    let pool = RateLimitTracker::new()
        .pool_with(&tier([limit]), &options)
        .unwrap();
    assert_eq!(in_force(&pool), (100, 2, 98));
    for effective in [95, 92, 86, 80, 80, 80] {
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.throttled(Some(SECOND));
        assert_eq!(in_force(&pool), (100, 100 - effective, effective));
    }
    for effective in [89, 94, 96, 97, 98, 98] {
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.settle(Cost::request());
        sleep(MINUTE).await;
        assert_eq!(in_force(&pool), (100, 100 - effective, effective));
    }
    assert_at_rest(&pool.stats());
}

/// A limit of 1,000 tokens whose margin has widened from nothing to half.
fn widened(now: Timestamp, others: u64) -> Proactive {
    let limit = Limit::tokens(1_000).per_minute().margin(Margin::Units(0));
    let mut strategy = Proactive::new([limit], Charge::Reserved)
        .with_spacing(Spacing::Off)
        .with_adaptive_margin(Margin::Percent(50));
    for step in 1..=4 {
        let at = now + step * SECOND;
        let mut entry = strategy.reserve(at, &Cost::request());
        assert_eq!(strategy.dispatch(at, &mut entry), Dispatch::Now);
        strategy.answer(at, &mut entry);
        let mut report = ReportedLimit::of(Meter::Tokens);
        report.limit = Some(1_000);
        report.remaining = Some(1_000 - others);
        strategy.reported(at, &mut entry, &[report]);
        strategy.throttled(at, &entry, Some(Meter::Tokens));
        strategy.settle(at, entry, Settlement::Charged(Cost::request()));
    }
    let now = now + 5 * SECOND;
    assert_eq!(strategy.status(now)[0].effective, 500);
    assert_eq!(strategy.status(now)[0].others, others);
    strategy
}

fn tokens(tokens: u64) -> Cost {
    Cost::request().with_tokens(tokens)
}

#[test]
fn a_request_larger_than_the_widened_room_goes_alone() {
    let now = Timestamp::ZERO + 5 * SECOND;
    let mut strategy = widened(Timestamp::ZERO, 0);
    assert_eq!(strategy.decide(now, &tokens(1_000)), Decision::Admit);
    let mut small = strategy.reserve(now, &tokens(10));
    strategy.dispatch(now, &mut small);
    let Decision::Wait(wait) = strategy.decide(now, &tokens(1_000)) else {
        panic!("another one is under way");
    };
    let until = wait.until.expect("that one has a time");
    assert_eq!(until, now + MINUTE + SECOND / 2);
    strategy.settle(now, small, Settlement::Abandoned);
    assert_eq!(strategy.decide(until, &tokens(1_000)), Decision::Admit);
    assert!(matches!(
        strategy.decide(until, &tokens(1_001)),
        Decision::Never(_)
    ));
}

/// Others who never go away must not keep it out for good, as long as there is room for both.
#[test]
fn what_others_use_beside_it_does_not_starve_it() {
    let now = Timestamp::ZERO + 5 * SECOND;
    let mut strategy = widened(Timestamp::ZERO, 50);
    assert_eq!(strategy.decide(now, &tokens(600)), Decision::Admit);
    assert!(matches!(
        strategy.decide(now, &tokens(990)),
        Decision::Wait(_)
    ));
}

/// The bound is a share of what is in force, also when the provider lowers that meanwhile.
#[tokio::test(start_paused = true)]
async fn a_lowered_limit_bounds_the_margin_as_well() {
    let limit = Limit::requests(1_000).per_minute();
    let options = PoolOptions::default().adaptive_margin(Margin::Percent(10));
    let pool = RateLimitTracker::new()
        .pool_with(&tier([limit]), &options)
        .unwrap();
    for _ in 0..4 {
        let permit = pool.acquire(Cost::request()).await.unwrap();
        permit.throttled(Some(SECOND));
    }
    assert_eq!(in_force(&pool), (1_000, 100, 900));
    let mut lowered = ReportedLimit::of(Meter::Requests);
    lowered.limit = Some(50);
    let mut permit = pool.acquire(Cost::request()).await.unwrap();
    permit.answered_with(&[lowered]);
    permit.settle(Cost::request());
    assert_eq!(in_force(&pool), (50, 5, 45));
}
