//! Clocks that leap: a machine that was suspended, a runtime that stalls, a wall clock that is set.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::simulator::{Report, Simulator};
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Cost, Limit, Pool, RateLimitTracker, Zone};
use support::{assert_at_rest, layer, tier};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Fifty callers keep a provider busy that allows 60 requests a minute, while `leap` plays with the
/// clock.
async fn busy(seed: u64, leap: impl Future<Output = ()>) -> Report {
    let simulator = Simulator::builder()
        .requests(60)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
        .answer_latency(Duration::ZERO..=Duration::from_secs(3))
        .seed(seed)
        .build();
    let layer = layer([Limit::requests(60).per_minute()]).max_wait(2 * HOUR);
    let client = layer.layer(simulator.clone());
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let mut client = client.clone();
        callers.spawn(async move {
            for _ in 0..4 {
                let body =
                    r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
                let request = Request::post("/v1/chat/completions")
                    .body(Full::<Bytes>::from(body))
                    .unwrap();
                let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut client).await;
                let response = ready.unwrap().call(request).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
        });
    }
    leap.await;
    let served = timeout(HOUR, callers.join_all()).await;
    assert!(served.is_ok(), "somebody hangs: {}", layer.stats().unwrap());
    assert_at_rest(&layer.stats().unwrap());
    let report = simulator.report();
    assert_eq!(report.answered, 200, "{report}");
    assert_eq!(report.throttled, 0, "{report}");
    assert!(report.requests.worst_window <= 58, "{report}");
    report
}

/// The most requests that arrived within `span` from `begin` on.
fn arrived(report: &Report, begin: Duration, span: Duration) -> usize {
    let within = |at: Duration| begin <= at && at < begin + span;
    let arrivals = report.arrivals().iter();
    arrivals.filter(|arrival| within(arrival.at)).count()
}

#[tokio::test(start_paused = true)]
async fn an_hour_that_passes_at_once_lets_loose_no_storm() {
    for seed in 0..10 {
        let before = Duration::from_millis(30_000 + 137 * seed);
        let report = busy(seed, async move {
            sleep(before).await;
            advance(HOUR).await;
        })
        .await;
        // What waited goes on at its pace: one a second, whatever came free meanwhile.
        let after = before + HOUR;
        let storm = arrived(&report, after, Duration::from_secs(10));
        assert!(storm <= 11, "seed {seed}: {storm} within ten seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_stalls_five_seconds_catches_up_with_nothing() {
    for seed in 0..10 {
        let stall = Duration::from_secs(5);
        let report = busy(seed, async move {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..15 {
                sleep(Duration::from_millis(rng.u64(0..9_000))).await;
                advance(stall).await;
            }
        })
        .await;
        let begins = report.arrivals().iter().map(|arrival| arrival.at);
        let most = begins.map(|at| arrived(&report, at, Duration::from_secs(5)));
        // Five slots, one that was late, and a tenth of a second of travel.
        let most = most.max().unwrap();
        assert!(most <= 7, "seed {seed}: {most} within five seconds");
    }
}

/// A wall clock beside the paused one, that can be set.
#[derive(Clone)]
struct Wall {
    start: Instant,
    seconds: Arc<AtomicU64>,
}

impl Wall {
    fn starting(text: &str) -> Self {
        let instant: jiff::Timestamp = text.parse().unwrap();
        let seconds = u64::try_from(instant.as_second()).unwrap();
        Self {
            start: Instant::now(),
            seconds: Arc::new(AtomicU64::new(seconds)),
        }
    }

    fn now(&self) -> SystemTime {
        let seconds = Duration::from_secs(self.seconds.load(Ordering::Relaxed));
        SystemTime::UNIX_EPOCH + seconds + self.start.elapsed()
    }

    fn leap(&self, by: Duration) {
        self.seconds.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    fn set_back(&self, by: Duration) {
        self.seconds.fetch_sub(by.as_secs(), Ordering::Relaxed);
    }

    fn day(&self, zone: Zone) -> String {
        let now = jiff::Timestamp::try_from(self.now()).unwrap();
        now.in_tz(zone.name()).unwrap().date().to_string()
    }
}

/// Twelve a day in Pacific time, of which ten are used.
fn daily(wall: &Wall) -> Pool {
    let clock = wall.clone();
    let options = PoolOptions::default().wall_clock(move || clock.now());
    let tier = tier([Limit::requests(12).per_calendar_day(Zone::PACIFIC)]);
    RateLimitTracker::new().pool_with(&tier, &options).unwrap()
}

async fn send(pool: &Pool) {
    let day = Duration::from_secs(100 * 60 * 60);
    let mut permit = pool.acquire_within(day, Cost::request()).await.unwrap();
    permit.answered();
    permit.settle(Cost::request());
}

#[tokio::test(start_paused = true)]
async fn a_day_ends_at_midnight_in_its_zone() {
    let wall = Wall::starting("2026-11-24T07:00:00Z");
    let pool = daily(&wall);
    for _ in 0..10 {
        send(&pool).await;
    }
    let start = Instant::now();
    send(&pool).await;
    // Midnight is an hour away; the provider's clock may be two seconds behind.
    assert_eq!(start.elapsed(), HOUR + Duration::from_secs(2));
    assert_eq!(pool.stats().limits[0].used, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_the_new_day_is_found_within_a_minute() {
    let wall = Wall::starting("2026-11-24T02:00:00Z");
    let pool = daily(&wall);
    for _ in 0..10 {
        send(&pool).await;
    }
    let start = Instant::now();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { send(&pool).await }
    });
    sleep(Duration::from_secs(1)).await;
    wall.leap(7 * HOUR);
    waiting.await.unwrap();
    assert!(
        start.elapsed() <= Duration::from_secs(62),
        "{:?}",
        start.elapsed()
    );
}

/// Requests at all hours, and a wall clock that leaps and is set back: no day has more than its ten.
#[tokio::test(start_paused = true)]
async fn no_day_has_more_than_its_share() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let wall = Wall::starting("2026-10-30T12:00:00Z");
        let pool = daily(&wall);
        let mut is_late = false;
        let mut sent: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..120 {
            match rng.u8(0..10) {
                0 => wall.leap(Duration::from_secs(rng.u64(0..30_000))),
                // A second, as when a clock is disciplined: less than the clocks may differ.
                1 if is_late => {
                    wall.leap(Duration::from_secs(1));
                    is_late = false;
                }
                1 => {
                    wall.set_back(Duration::from_secs(1));
                    is_late = true;
                }
                2..=4 => sleep(Duration::from_secs(rng.u64(0..9_000))).await,
                _ => {}
            }
            send(&pool).await;
            *sent.entry(wall.day(Zone::PACIFIC)).or_default() += 1;
        }
        let most = sent.values().max();
        assert!(most <= Some(&10), "seed {seed}: {sent:?}");
        assert!(sent.len() >= 12, "seed {seed}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_of_25_hours_is_one_day() {
    // Clocks go back at 2:00 on 2026-11-01: from midnight to midnight it is 25 hours.
    let wall = Wall::starting("2026-11-01T07:00:05Z");
    let pool = daily(&wall);
    for _ in 0..10 {
        send(&pool).await;
    }
    let start = Instant::now();
    send(&pool).await;
    assert_eq!(start.elapsed(), 25 * HOUR - Duration::from_secs(3));
}
