//! A tier that discovers its limits: one request probes, its answer tells, and nobody hangs.

mod support;

use std::time::Duration;

use proactive_rate_limit::schedule::ReportedLimit;
use proactive_rate_limit::simulator::{Simulator, Twin};
use proactive_rate_limit::{
    BoxError, Cost, Limit, Meter, Pool, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker,
    Tier,
};
use support::{assert_at_rest, timed};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn tier(provider: &str) -> Tier {
    Tier::builder(provider, "m").discover().build().unwrap()
}

fn pool() -> Pool {
    RateLimitTracker::new().pool(&tier("openai")).unwrap()
}

fn request(path: &str) -> http::Request<support::Body> {
    let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
    http::Request::post(path).body(body.into()).unwrap()
}

/// What is discovered at this provider's twin, and that nobody is refused by it for two minutes.
async fn discovered(twin: Twin, provider: &str, path: &str) -> Vec<(Meter, u64, Duration)> {
    let simulator = Simulator::twin(twin)
        .limit(Limit::requests(60).per_minute())
        .limit(Limit::tokens(100_000).per_minute())
        .limit(Limit::input_tokens(50_000).per_minute())
        .limit(Limit::output_tokens(50_000).per_minute())
        .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
        .answer_latency(SECOND / 10..=SECOND / 5)
        .build();
    let layer = ProactiveRateLimitLayer::new(tier(provider)).tracker(&RateLimitTracker::new());
    let client = layer.layer(simulator.clone());
    let mut set = JoinSet::new();
    for _ in 0..100 {
        let (client, request) = (client.clone(), request(path));
        set.spawn(async move {
            let response = client.oneshot(request).await?;
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .map(|_| ())
                .map_err(Into::<BoxError>::into)
        });
    }
    for sent in set.join_all().await {
        sent.unwrap();
    }
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    let report = simulator.report();
    assert_eq!(report.throttled, 0, "{provider}\n{report}");
    let limits = stats.limits.iter();
    limits
        .map(|limit| (limit.meter, limit.limit, limit.window))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn limits_come_from_each_providers_headers() {
    const CHAT: &str = "/v1/chat/completions";
    let (requests, tokens) = (Meter::Requests, Meter::Tokens);
    for (twin, provider) in [(Twin::OpenAi, "openai"), (Twin::Mistral, "mistral")] {
        let limits = discovered(twin, provider, CHAT).await;
        println!("{provider}: {limits:?}");
        assert!(
            limits.contains(&(requests, 60, MINUTE)),
            "{provider}: {limits:?}"
        );
        assert!(
            limits.contains(&(tokens, 100_000, MINUTE)),
            "{provider}: {limits:?}"
        );
    }
    let limits = discovered(Twin::Anthropic, "anthropic", "/v1/messages").await;
    println!("anthropic: {limits:?}");
    assert!(limits.contains(&(requests, 60, MINUTE)), "{limits:?}");
    assert!(
        limits.contains(&(Meter::InputTokens, 50_000, MINUTE)),
        "{limits:?}"
    );
    assert!(
        limits.contains(&(Meter::OutputTokens, 50_000, MINUTE)),
        "{limits:?}"
    );
}

/// Answers without headers leave it at one at a time.
#[tokio::test(start_paused = true)]
async fn without_headers_they_go_one_at_a_time() {
    let pool = pool();
    let mut set = JoinSet::new();
    for _ in 0..5 {
        let pool = pool.clone();
        set.spawn(async move {
            let permit = pool.acquire(Cost::request()).await.unwrap();
            assert_eq!(pool.stats().in_flight, 1);
            sleep(SECOND).await;
            permit.settle(Cost::request());
        });
    }
    let (took, _) = timed(set.join_all()).await;
    assert_eq!(took, 5 * SECOND);
    assert_at_rest(&pool.stats());
}

/// A probe that fails, is cancelled, or is never sent lets the next one go at once; one of which
/// nothing is heard, after a minute.
#[tokio::test(start_paused = true)]
async fn no_probe_holds_up_the_next_for_long() {
    let pool = pool();
    drop(pool.acquire(Cost::request()).await.unwrap());
    let reserved = pool.reserve(Cost::request()).await.unwrap();
    // Kept and not sent: it lapses once somebody else waits.
    let (waited, silent) = timed(pool.acquire(Cost::request())).await;
    let silent = silent.unwrap();
    assert_eq!(waited, Duration::from_millis(100));
    drop(reserved);
    let (waited, next) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(waited, MINUTE);
    next.unwrap().settle(Cost::request());
    drop(silent);
    assert_at_rest(&pool.stats());
}

#[test]
fn it_survives_its_text_and_serialised_forms() {
    let tier = tier("openai");
    let json = serde_json::to_string(&tier).unwrap();
    let read: Tier = serde_json::from_str(&json).unwrap();
    assert_eq!(read, tier);
    assert!(read.discovers_limits());
    assert_eq!(tier.to_string(), "openai/m@discovered");
}

fn report(meter: Meter, limit: u64, remaining: u64, reset: Duration) -> ReportedLimit {
    let mut report = ReportedLimit::of(meter);
    report.limit = Some(limit);
    report.remaining = Some(remaining);
    report.reset = Some(reset);
    report
}

/// The first answer may tell of some limits only.
#[tokio::test(start_paused = true)]
async fn a_limit_told_later_is_discovered_later() {
    let pool = pool();
    let cost = Cost::request().with_tokens(1_000);
    let mut sent = 0;
    for n in 0..50 {
        if let Ok(mut permit) = pool.try_acquire(cost) {
            sent += 1_000;
            let requests = report(Meter::Requests, 600, 590, SECOND);
            let tokens = report(
                Meter::Tokens,
                10_000,
                10_000_u64.saturating_sub(sent),
                MINUTE,
            );
            match n {
                0 => permit.answered_with(&[requests]),
                _ => permit.answered_with(&[requests, tokens]),
            }
            permit.settle(cost);
        }
        sleep(SECOND).await;
    }
    assert_eq!(pool.stats().limits.len(), 2);
    assert!((5_000..=10_000).contains(&sent), "{sent} tokens in 50 s");
    assert_at_rest(&pool.stats());
}

/// What was discovered is a report like any other: the next one replaces it.
#[tokio::test(start_paused = true)]
async fn an_odd_first_answer_does_not_decide_for_ever() {
    let pool = pool();
    let mut served = 0;
    for n in 0..600 {
        if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
            served += 1;
            let limit = if n == 0 { 1 } else { 600 };
            permit.answered_with(&[report(Meter::Requests, limit, limit - 1, 30 * SECOND)]);
            permit.settle(Cost::request());
        }
        sleep(SECOND).await;
    }
    // A minute for the odd one.
    assert_eq!(served, 541);
}

/// A limit that nobody confirms is let go after five minutes, with a single request to find out; one
/// that the provider stands by comes back.
#[tokio::test(start_paused = true)]
async fn a_nonsense_limit_does_not_stop_a_pool_for_a_month() {
    let pool = pool();
    let month = Duration::from_secs(31 * 24 * 3600);
    let monthly = || {
        let mut once = report(Meter::Requests, 1, 0, month);
        once.window = Some(month);
        once
    };
    let minutely = || {
        let mut usual = report(Meter::Requests, 600, 599, SECOND / 10);
        usual.window = Some(MINUTE);
        usual
    };

    let mut odd = pool.acquire(Cost::request()).await.unwrap();
    odd.answered_with(&[monthly(), minutely()]);
    odd.settle(Cost::request());
    // Who cannot wait for the doubt to come is told so at once.
    let refused = pool.acquire_within(MINUTE, Cost::request()).await;
    assert!(matches!(refused, Err(RateLimitError::WaitTooLong { .. })));

    // The provider insists: five more minutes.
    let (waited, probe) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(waited, 300 * SECOND);
    let mut probe = probe.unwrap();
    assert!(pool.try_acquire(Cost::request()).is_err(), "one at a time");
    probe.answered_with(&[monthly(), minutely()]);
    probe.settle(Cost::request());

    // It does not.
    let (waited, probe) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(waited, 300 * SECOND);
    let mut probe = probe.unwrap();
    probe.answered_with(&[minutely()]);
    probe.settle(Cost::request());
    for _ in 0..10 {
        let (waited, next) = timed(pool.acquire(Cost::request())).await;
        assert!(waited <= SECOND / 10, "{waited:?}");
        next.unwrap().settle(Cost::request());
    }
    let stats = pool.stats();
    assert_eq!(stats.limits.len(), 1);
    assert_eq!(stats.limits[0].window, MINUTE);
    assert_at_rest(&stats);
}

/// A provider that names other limits in every answer is listened to for so long.
#[tokio::test(start_paused = true)]
async fn limits_without_end_are_not_collected() {
    let pool = pool();
    for n in 1..=50 {
        let mut permit = pool.acquire(Cost::request()).await.unwrap();
        let mut other = report(Meter::Requests, 1_000, 999, SECOND);
        other.window = Some(Duration::from_secs(60 + n));
        permit.answered_with(&[other]);
        permit.settle(Cost::request());
        sleep(Duration::from_secs(301)).await;
    }
    assert!(pool.stats().limits.len() <= 1);
    assert_at_rest(&pool.stats());
}

/// One that speaks of other limits each time it is asked has some in force all the same, after any
/// number of times.
#[tokio::test(start_paused = true)]
async fn alternating_limits_are_found_again() {
    for is_alone in [true, false] {
        let pool = pool();
        let silent = (!is_alone).then(|| pool.try_acquire(Cost::request()).unwrap());
        sleep(MINUTE).await;
        for n in 0..50_u64 {
            let mut permit = pool.acquire(Cost::request()).await.unwrap();
            let meter = [Meter::Requests, Meter::Tokens][n as usize % 2];
            permit.answered_with(&[report(meter, 1_000, 999, SECOND / 20)]);
            permit.settle(Cost::request());
            let limits = pool.stats().limits;
            assert_eq!(limits.last().map(|limit| limit.meter), Some(meter), "{n}");
            sleep(400 * SECOND).await;
        }
        drop(silent);
        assert_at_rest(&pool.stats());
    }
}

fn reported(meter: Meter, window: Option<Duration>, limit: u64, used: u64) -> ReportedLimit {
    let mut report = ReportedLimit::of(meter);
    report.window = window;
    report.limit = Some(limit);
    report.remaining = Some(limit.saturating_sub(used));
    report.reset = Some(MINUTE);
    report
}

/// A server of fixed minutes says of itself what an hour that refills would.
#[tokio::test(start_paused = true)]
async fn a_fixed_minute_is_not_taken_for_an_hour() {
    let pool = pool();
    let (mut served, mut used) = (0, 0);
    for second in 0..600_u64 {
        if second % 60 == 0 {
            used = 0;
        }
        if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
            served += 1;
            used += 1;
            let mut report = reported(Meter::Requests, None, 60, used);
            report.reset = Some(MINUTE - SECOND * u32::try_from(second % 60).unwrap());
            permit.answered_with(&[report]);
            permit.settle(Cost::request());
        }
        sleep(SECOND).await;
    }
    // One a second but for the margin of two.
    assert_eq!(served, 580);
}

/// OpenAI's headers speak of the day or of the minute, whichever is nearer to its end.
#[tokio::test(start_paused = true)]
async fn limits_that_refill_are_told_apart_by_their_numbers() {
    let refilling = |limit, used, window: Duration| {
        let mut report = reported(Meter::Requests, None, limit, used);
        report.reset = Some(window * u32::try_from(used).unwrap() / u32::try_from(limit).unwrap());
        report.refills = true;
        report
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let pool = pool();
    let mut served = 0;
    for second in 0..600 {
        if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
            served += 1;
            permit.answered_with(&[match second {
                0 => refilling(200, 1, day),
                _ => refilling(3, 1, MINUTE),
            }]);
            permit.settle(Cost::request());
        }
        sleep(SECOND).await;
    }
    let limits: Vec<_> = pool
        .stats()
        .limits
        .iter()
        .map(|l| (l.limit, l.window))
        .collect();
    assert!(
        limits.contains(&(3, MINUTE)) && limits.len() <= 2,
        "{limits:?}"
    );
    // One in each minute and now and then one more: 3 less the margin of 2.
    assert!((10..=20).contains(&served), "{served}");
}

/// Later reports replace the first one; it does not come back.
#[tokio::test(start_paused = true)]
async fn the_last_report_is_in_force() {
    let big = Cost::request().with_tokens(5_000);
    let pool = pool();
    let mut permit = pool.acquire(Cost::request()).await.unwrap();
    permit.answered_with(&[reported(Meter::Tokens, Some(MINUTE), 4_000, 10)]);
    permit.settle(Cost::request());
    let mut permit = pool.acquire(Cost::request()).await.unwrap();
    permit.answered_with(&[reported(Meter::Tokens, Some(MINUTE), 100_000, 10)]);
    permit.settle(Cost::request());
    for gap in [61, 120, 299] {
        sleep(SECOND * gap).await;
        let mut permit = pool.acquire(big).await.unwrap();
        permit.answered_with(&[reported(Meter::Tokens, Some(MINUTE), 100_000, 5_000)]);
        permit.settle(big);
    }
    let mut permit = pool.acquire(Cost::request()).await.unwrap();
    permit.answered_with(&[reported(Meter::Tokens, Some(MINUTE), 1_000, 10)]);
    permit.settle(Cost::request());
    sleep(SECOND * 299).await;
    assert!(pool.try_acquire(big).is_err());
}

/// The minute that only later answers name is kept beside the day that the first one named.
#[tokio::test(start_paused = true)]
async fn a_second_window_of_one_meter_is_discovered() {
    let day = Duration::from_secs(24 * 60 * 60);
    let pool = pool();
    let (mut sent, mut worst) = (0, 0);
    for tick in 0..1_200_u64 {
        if tick % 120 == 0 {
            sent = 0;
        }
        if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
            sent += 1;
            worst = worst.max(sent);
            let daily = reported(Meter::Requests, Some(day), 100_000, 1_000);
            let minutely = reported(Meter::Requests, Some(MINUTE), 60, sent);
            match tick {
                0 => permit.answered_with(&[daily]),
                _ => permit.answered_with(&[daily, minutely]),
            }
            permit.settle(Cost::request());
        }
        sleep(SECOND / 2).await;
    }
    assert_eq!(worst, 58);
}

/// What is in flight when a limit is discovered counts in it, and so does what had ended before.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_discovered_late_counts_what_was_sent_before() {
    let cost = Cost::request().with_tokens(1_000);
    let requests = || reported(Meter::Requests, Some(MINUTE), 60_000, 1);
    for (window, ended) in [(MINUTE, true), (MINUTE, false), (2 * MINUTE, false)] {
        let pool = pool();
        let mut open = Vec::new();
        for _ in 0..8 {
            let mut permit = pool.acquire(cost).await.unwrap();
            permit.answered_with(&[requests()]);
            match ended {
                true => permit.settle(cost),
                false => open.push(permit),
            }
        }
        let mut permit = pool.acquire(cost).await.unwrap();
        let mut tokens = reported(Meter::Tokens, Some(window), 10_000, 0);
        tokens.remaining = None;
        permit.answered_with(&[requests(), tokens]);
        permit.settle(cost);
        sleep(SECOND).await;
        // 9,000 of 9,998.
        assert!(
            pool.try_acquire(cost).is_err(),
            "{window:?}, ended: {ended}"
        );
        for mut permit in open {
            permit.answered();
            permit.settle(cost);
        }
        sleep(SECOND).await;
        assert!(
            pool.try_acquire(cost).is_err(),
            "{window:?}, ended: {ended}"
        );
        sleep(window).await;
        pool.try_acquire(cost).unwrap().settle(cost);
        assert_at_rest(&pool.stats());
    }
}

/// Random honest providers: thirty callers, heads that take up to eight seconds, pauses that put
/// limits in doubt, answers without headers.
#[tokio::test(start_paused = true)]
async fn whatever_is_discovered_is_kept() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (requests, tokens) = (rng.u64(20..320), rng.u64(5_000..55_000));
        let server = honest::Server::new(requests, tokens, rng);
        let worst = server.drive(&pool(), 20 * MINUTE).await;
        assert!(
            worst.0 <= requests - 2 && worst.1 <= tokens - 2,
            "seed {seed}: {worst:?} of {requests} requests and {tokens} tokens"
        );
    }
}

/// A provider of sliding minutes that tells all it counts.
mod honest {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use proactive_rate_limit::{Cost, Meter, Pool};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep, sleep_until};

    use super::{MINUTE, SECOND, reported};

    #[derive(Clone)]
    pub(super) struct Server {
        limits: (u64, u64),
        slowest_head: u64,
        state: Arc<Mutex<State>>,
    }

    struct State {
        rng: fastrand::Rng,
        log: VecDeque<(Instant, u64)>,
        worst: (u64, u64),
        quiet_until: Instant,
    }

    impl Server {
        pub(super) fn new(requests: u64, tokens: u64, mut rng: fastrand::Rng) -> Self {
            Self {
                limits: (requests, tokens),
                slowest_head: rng.u64(1..8_000),
                state: Arc::new(Mutex::new(State {
                    rng,
                    log: VecDeque::new(),
                    worst: (0, 0),
                    quiet_until: Instant::now(),
                })),
            }
        }

        fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
            act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// The most requests and tokens it counted in any minute.
        pub(super) async fn drive(&self, pool: &Pool, time: Duration) -> (u64, u64) {
            let end = Instant::now() + time;
            let mut callers = JoinSet::new();
            for _ in 0..30 {
                let (server, pool) = (self.clone(), pool.clone());
                callers.spawn(async move {
                    while Instant::now() < end {
                        server.call(&pool).await;
                    }
                });
            }
            callers.join_all().await;
            self.with(|state| state.worst)
        }

        async fn call(&self, pool: &Pool) {
            sleep_until(self.with(|state| state.quiet_until)).await;
            let tokens = self.with(|state| state.rng.u64(1..=1_000));
            let cost = Cost::request().with_tokens(tokens);
            let Ok(mut permit) = pool.acquire(cost).await else {
                return sleep(SECOND).await;
            };
            let arrival = self.with(|state| state.rng.u64(..450));
            sleep(Duration::from_millis(arrival)).await;
            let used = self.count(tokens);
            let head = self.with(|state| state.rng.u64(..self.slowest_head));
            sleep(Duration::from_millis(head)).await;
            let is_silent = self.with(|state| state.rng.u8(..10) == 0);
            let reports = [
                reported(Meter::Requests, Some(MINUTE), self.limits.0, used.0),
                reported(Meter::Tokens, Some(MINUTE), self.limits.1, used.1),
            ];
            match is_silent {
                true => permit.answered(),
                false => permit.answered_with(&reports),
            }
            permit.settle(cost);
            self.with(|state| {
                if state.rng.u16(..400) == 0 {
                    state.quiet_until = Instant::now() + 330 * SECOND;
                }
            });
        }

        fn count(&self, tokens: u64) -> (u64, u64) {
            let now = Instant::now();
            self.with(|state| {
                while state.log.front().is_some_and(|(at, _)| *at + MINUTE <= now) {
                    state.log.pop_front();
                }
                state.log.push_back((now, tokens));
                let tokens = state.log.iter().map(|(_, tokens)| tokens).sum();
                let used = (state.log.len() as u64, tokens);
                state.worst = (state.worst.0.max(used.0), state.worst.1.max(used.1));
                used
            })
        }
    }
}
