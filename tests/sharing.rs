//! Two processes on one key: each sees of the other what the provider's headers tell.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, RateLimitTracker};
use support::{assert_at_rest, tier};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

const MINUTE: Duration = Duration::from_secs(60);

/// A process of its own: it shares nothing but the provider.
fn process(limit: u64) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier([Limit::requests(limit).per_minute()]))
        .tracker(&RateLimitTracker::new())
}

async fn work<S, R>(client: S, callers: usize, from: Duration, until: Duration) -> u64
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<R>, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    R: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    let end = Instant::now() + until;
    sleep(from).await;
    let mut set = JoinSet::new();
    for _ in 0..callers {
        let mut client = client.clone();
        set.spawn(async move {
            let mut throttled = 0;
            while let Ok(ready) = tokio::time::timeout_at(end, client.ready()).await {
                if Instant::now() >= end {
                    break;
                }
                let body =
                    r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
                let request = Request::post("/v1/chat/completions")
                    .body(Full::from(body))
                    .unwrap();
                let response = ready.unwrap().call(request).await.unwrap();
                throttled += u64::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
                response
                    .into_body()
                    .collect()
                    .await
                    .map_err(Into::into)
                    .unwrap();
            }
            throttled
        });
    }
    set.join_all().await.into_iter().sum()
}

/// What became of six minutes in which two processes on one key send all they can.
struct Together {
    throttled: u64,
    /// The share of the provider's limit that both used.
    used: f64,
}

async fn together(latency: Duration, late: Duration, seed: u64) -> Together {
    let simulator = Simulator::builder()
        .requests(600)
        .window(MINUTE)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
        .answer_latency(latency..=2 * latency)
        .seed(seed)
        .build();
    let processes = [process(600), process(600)];
    let [first, second] = processes
        .each_ref()
        .map(|process| process.layer(simulator.clone()));
    let until = 6 * MINUTE;
    let throttled = tokio::join!(
        work(first, 200, Duration::ZERO, until),
        work(second, 200, late, until),
    );
    let report = simulator.report();
    assert_eq!(report.throttled, throttled.0 + throttled.1);
    assert!(report.requests.worst_window <= 600, "seed {seed}\n{report}");
    let used = report.requests.counted as f64 / (6.0 * 600.0);
    println!(
        "answers after {latency:?}, the second {late:?} later, seed {seed}: {} throttled, worst \
         window {}, {used:.3} used",
        report.throttled, report.worst_offered_requests,
    );
    for process in &processes {
        assert_at_rest(&process.stats().unwrap());
    }
    Together {
        throttled: report.throttled,
        used,
    }
}

#[tokio::test(start_paused = true)]
async fn who_begins_together_stays_inside_together() {
    for (millis, least) in [(50, 0.98), (500, 0.98), (5_000, 0.95)] {
        for seed in 0..4 {
            let latency = Duration::from_millis(millis);
            let outcome = together(latency, Duration::ZERO, seed).await;
            assert_eq!(outcome.throttled, 0);
            assert!(outcome.used >= least, "{} used", outcome.used);
        }
    }
}

/// What is used up cannot be known before the first answer. After it, what somebody else uses shows
/// only where it is more than may be ours by the uncertainty of the network: some units.
#[tokio::test(start_paused = true)]
async fn who_comes_late_is_refused_once_or_twice_and_not_for_long() {
    for millis in [50, 500, 5_000] {
        for seed in 0..4 {
            let (latency, late) = (Duration::from_millis(millis), Duration::from_secs(90));
            let outcome = together(latency, late, seed).await;
            assert!(outcome.throttled <= 3, "{} throttled", outcome.throttled);
        }
    }
}

/// When one of two stops, the other has the whole limit again once the first one's window has passed.
#[tokio::test(start_paused = true)]
async fn who_stays_gets_what_the_other_leaves() {
    let simulator = Simulator::builder()
        .requests(600)
        .window(MINUTE)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
        .answer_latency(Duration::from_millis(100)..=Duration::from_millis(300))
        .seed(1)
        .build();
    let [first, second] = [process(600), process(600)].map(|it| it.layer(simulator.clone()));
    tokio::join!(
        work(first, 200, Duration::ZERO, 6 * MINUTE),
        work(second, 200, Duration::ZERO, 2 * MINUTE),
    );
    let report = simulator.report();
    assert_eq!(report.throttled, 0, "{report}");
    let alone = 3 * MINUTE..6 * MINUTE;
    let arrivals = report.arrivals().iter();
    let sent = arrivals
        .filter(|arrival| alone.contains(&arrival.at))
        .count();
    println!("alone again: {sent} of {} in three minutes", 3 * 600);
    assert!(sent as f64 >= 0.98 * 3.0 * 598.0, "{sent} sent");
}

#[tokio::test(start_paused = true)]
async fn three_on_one_key() {
    for seed in 0..3 {
        let simulator = Simulator::builder()
            .requests(600)
            .window(MINUTE)
            .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
            .answer_latency(Duration::from_millis(100)..=Duration::from_millis(300))
            .seed(seed)
            .build();
        let [a, b, c] = [(); 3].map(|()| process(600).layer(simulator.clone()));
        tokio::join!(
            work(a, 150, Duration::ZERO, 6 * MINUTE),
            work(b, 150, Duration::ZERO, 6 * MINUTE),
            work(c, 150, Duration::ZERO, 6 * MINUTE),
        );
        let report = simulator.report();
        println!(
            "three, seed {seed}: {} throttled, worst {}, {} sent of {}",
            report.throttled,
            report.worst_offered_requests,
            report.arrived,
            6 * 600
        );
        assert_eq!(report.throttled, 0);
        assert!(report.arrived as f64 >= 0.98 * 6.0 * 598.0, "{report}");
    }
}
