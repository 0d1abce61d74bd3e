//! The whole path over HTTP: hyper's client, the layer, and a provider that enforces its limits
//! exactly. On a paused clock the two are joined by in-memory pipes, so that ten minutes take no
//! time and every figure is exact; a few runs go over real loopback sockets.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proactive_rate_limit::simulator::{ChargedAt, Report, Simulator, Twin};
use proactive_rate_limit::{
    Anchor, BoxError, Charge, Limit, OutputReserve, ProactiveRateLimit, ProactiveRateLimitLayer,
    RateLimitTracker, Stats, Tier,
};
use support::piped::{chat, piped};
use support::{Body, assert_at_rest, tier_charging};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

const MINUTE: Duration = Duration::from_secs(60);

/// What each of many callers sends, over and over.
#[derive(Clone, Copy)]
struct Work {
    callers: usize,
    prompt_tokens: usize,
    max_tokens: u64,
    stream: bool,
    /// Stop sending after this long, or after this many.
    until: Duration,
    at_most: usize,
}

async fn run<S, R>(client: &ProactiveRateLimit<S>, url: &str, work: Work)
where
    S: Service<Request<Body>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    let start = Instant::now();
    let sent = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..work.callers {
        let (mut client, url, sent) = (client.clone(), url.to_owned(), Arc::clone(&sent));
        callers.push(tokio::spawn(async move {
            while sent.fetch_add(1, Ordering::Relaxed) < work.at_most {
                let ready = tokio::time::timeout_at(start + work.until, client.ready());
                let Ok(ready) = ready.await else { return };
                // Who is ready at once is never too late by the time-out.
                if start.elapsed() >= work.until {
                    return;
                }
                let request = chat(&url, work.prompt_tokens, work.max_tokens, work.stream);
                let response = ready.unwrap().call(request).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                response
                    .into_body()
                    .collect()
                    .await
                    .map_err(Into::into)
                    .unwrap();
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

fn openai(limits: impl IntoIterator<Item = Limit>) -> ProactiveRateLimitLayer {
    let tier = Tier::builder("openai", "test-model").limits(limits).build();
    ProactiveRateLimitLayer::new(tier.unwrap()).tracker(&RateLimitTracker::new())
}

fn layer(limits: impl IntoIterator<Item = Limit>, charge: Charge) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier_charging(charge, limits)).tracker(&RateLimitTracker::new())
}

/// Ten minutes on a paused clock. What the server saw, and the layer's own account.
async fn ten_minutes(
    simulator: &Simulator,
    layer: &ProactiveRateLimitLayer,
    work: Work,
) -> (Report, Stats) {
    let client = layer.layer(piped(simulator));
    run(&client, "http://provider.test", work).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    (simulator.report(), layer.stats().unwrap())
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_at_60_rpm_for_ten_minutes() {
    for seed in 0..3 {
        let simulator = Simulator::builder()
            .requests(60)
            .window(MINUTE)
            .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
            .answer_latency(Duration::ZERO..=Duration::from_millis(300))
            .seed(seed)
            .build();
        let layer = layer([Limit::requests(60).per_minute()], Charge::Reserved);
        let work = Work {
            callers: 200,
            prompt_tokens: 10,
            max_tokens: 10,
            stream: false,
            until: 10 * MINUTE,
            at_most: usize::MAX,
        };
        let (report, stats) = ten_minutes(&simulator, &layer, work).await;
        assert_eq!(report.throttled, 0, "seed {seed}\n{report}");
        assert!(report.requests.worst_window <= 58, "seed {seed}\n{report}");
        let share = report.requests.counted as f64 / (10.0 * 58.0);
        println!(
            "seed {seed}: worst {}, {share:.4} of 58 per minute",
            report.requests.worst_window
        );
        assert!(share >= 0.98, "seed {seed}: {share} of 58 per minute used");
        assert_at_rest(&stats);
        assert_eq!(stats.total_requests, report.arrived);
        assert_eq!(stats.usage_read, report.answered);
    }
}

async fn tokens_for_ten_minutes(charge: Charge, stream: bool) {
    for seed in 0..3 {
        // What is reserved by the byte is exact only where the server counts by the byte, too.
        let builder = match charge {
            Charge::Actual => Simulator::builder().charge(charge),
            Charge::Reserved => Simulator::twin(Twin::OpenAi),
        };
        let simulator = builder
            .tokens(400_000)
            .window(MINUTE)
            .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
            .answer_latency(Duration::ZERO..=Duration::from_millis(300))
            .output_tokens(50..=200)
            .seed(seed)
            .build();
        let limits = [Limit::tokens(400_000).per_minute()];
        let layer = match charge {
            Charge::Actual => layer(limits, charge),
            Charge::Reserved => openai(limits),
        };
        let work = Work {
            callers: 200,
            prompt_tokens: 1_200,
            max_tokens: 200,
            stream,
            until: 10 * MINUTE,
            at_most: usize::MAX,
        };
        let (report, stats) = ten_minutes(&simulator, &layer, work).await;
        assert_eq!(report.throttled, 0, "seed {seed}\n{report}");
        assert!(
            report.tokens.worst_window <= 399_998,
            "seed {seed}\n{report}"
        );
        let share = report.tokens.counted as f64 / (10.0 * 399_998.0);
        println!(
            "{charge:?}, seed {seed}: worst {}, {share:.4} of 399,998 per minute",
            report.tokens.worst_window
        );
        // Characters of the whole body are reserved, and the server counts those of the prompt.
        assert!(
            share >= 0.98,
            "seed {seed}: {share} of 399,998 per minute used"
        );
        assert_at_rest(&stats);
        assert_eq!(stats.usage_read, report.answered);
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_with_tokens_reserved_for_ten_minutes() {
    tokens_for_ten_minutes(Charge::Reserved, false).await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_with_tokens_as_used_for_ten_minutes() {
    tokens_for_ten_minutes(Charge::Actual, false).await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_with_streamed_tokens_for_ten_minutes() {
    tokens_for_ten_minutes(Charge::Actual, true).await;
}

/// Answers of ten seconds and some 200 of the 4,096 tokens that they may have, counted at their end.
#[tokio::test(start_paused = true)]
async fn answers_far_below_their_caps_are_reserved_together() {
    let mut answered = Vec::new();
    for reserve in [OutputReserve::Caps, OutputReserve::default()] {
        let simulator = Simulator::builder()
            .tokens(200_000)
            .window(MINUTE)
            .charge(Charge::Actual)
            .charged_at(ChargedAt::End)
            .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
            .answer_latency(Duration::from_secs(10)..=Duration::from_secs(10))
            .output_tokens(50..=350)
            .seed(1)
            .build();
        let limits = [Limit::tokens(200_000).per_minute()];
        let layer = layer(limits, Charge::Actual).output_reserve(reserve);
        let work = Work {
            callers: 300,
            prompt_tokens: 100,
            max_tokens: 4_096,
            stream: false,
            until: 10 * MINUTE,
            at_most: usize::MAX,
        };
        let (report, stats) = ten_minutes(&simulator, &layer, work).await;
        println!(
            "{reserve:?}: {} answered, worst {} of 200,000",
            report.answered, report.tokens.worst_window
        );
        assert_eq!(report.throttled, 0, "{report}");
        assert!(report.tokens.worst_window <= 199_998, "{report}");
        assert_at_rest(&stats);
        answered.push(report.answered);
    }
    let gain = answered[1] as f64 / answered[0] as f64;
    println!("{gain:.2} times as many");
    assert!(gain >= 1.8, "{gain}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_now_and_then_still_never_refuses() {
    let simulator = Simulator::builder()
        .requests(120)
        .tokens(20_000)
        .window(MINUTE)
        .refused_count(true)
        .failure_rate(0.2)
        .answer_latency(Duration::ZERO..=Duration::from_millis(900))
        .output_tokens(1..=100)
        .seed(3)
        .build();
    let limits = [
        Limit::requests(120).per_minute(),
        Limit::tokens(20_000).per_minute(),
    ];
    let layer = layer(limits, Charge::Reserved);
    let mut client = layer.layer(piped(&simulator));
    for _ in 0..400 {
        let request = chat("http://provider.test", 40, 100, false);
        let response = client.ready().await.unwrap().call(request).await.unwrap();
        assert_ne!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        response.into_body().collect().await.unwrap();
    }
    let report = simulator.report();
    assert!(report.failed > 40, "{report}");
    assert_eq!(report.throttled, 0, "{report}");
    assert!(report.tokens.worst_window <= 19_998, "{report}");
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_anywhere_leak_nothing_and_exceed_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let simulator = Simulator::builder()
        .requests(60)
        .tokens(10_000)
        .charge(Charge::Actual)
        .window(Duration::from_secs(10))
        .arrival_latency(Duration::ZERO..=Duration::from_millis(200))
        .answer_latency(Duration::ZERO..=Duration::from_millis(500))
        .stream_latency(Duration::ZERO..=Duration::from_millis(20))
        .output_tokens(1..=100)
        .seed(seed)
        .build();
    let limits = [
        Limit::requests(60).per(Duration::from_secs(10)),
        Limit::tokens(10_000).per(Duration::from_secs(10)),
    ];
    let layer = layer(limits, Charge::Actual);
    let client = layer.layer(piped(&simulator));
    let mut callers = Vec::new();
    for n in 0..50 {
        let mut rng = fastrand::Rng::with_seed(seed ^ n);
        let mut client = client.clone();
        callers.push(tokio::spawn(async move {
            for _ in 0..20 {
                let patience = Duration::from_millis(match rng.u8(0..3) {
                    0 => 60_000,
                    1 => rng.u64(0..2_000),
                    _ => rng.u64(0..20_000),
                });
                let exchange = async {
                    let request = chat("http://provider.test", 20, 100, true);
                    let response = client.ready().await.unwrap().call(request).await.unwrap();
                    let mut body = response.into_body();
                    while let Some(frame) = body.frame().await {
                        frame.unwrap();
                    }
                };
                let _ = tokio::time::timeout(patience, exchange).await;
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    drop(client);
    let (report, stats) = (simulator.report(), layer.stats().unwrap());
    assert_eq!(report.throttled, 0, "seed {seed}\n{report}\n{stats}");
    assert!(report.requests.worst_window <= 58, "seed {seed}\n{report}");
    assert!(report.tokens.worst_window <= 9_998, "seed {seed}\n{report}");
    assert!(
        stats.abandoned > 0 && stats.settled > 0,
        "seed {seed}\n{stats}"
    );
    assert_at_rest(&stats);
}

/// Over real sockets, on a real clock, against the server's own report.
async fn over_loopback(charge: Charge, stream: bool) {
    let window = Duration::from_secs(1);
    let server = Simulator::builder()
        .requests(100)
        .tokens(15_000)
        .charge(charge)
        .window(window)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(20))
        .answer_latency(Duration::ZERO..=Duration::from_millis(30))
        .output_tokens(10..=60)
        .seed(9)
        .build()
        .spawn()
        .await
        .unwrap();
    let limits = [
        Limit::requests(100).per(window),
        Limit::tokens(15_000).per(window),
    ];
    let layer = layer(limits, charge);
    let client = layer.layer(Client::builder(TokioExecutor::new()).build_http());
    let work = Work {
        callers: 32,
        prompt_tokens: 20,
        max_tokens: 60,
        stream,
        until: MINUTE,
        at_most: 300,
    };
    run(&client, &server.url(), work).await;
    let report = server.report();
    println!("{report}");
    assert_eq!(report.answered, 300, "{report}");
    assert_eq!(report.throttled, 0, "{report}");
    assert!(report.requests.worst_window <= 98, "{report}");
    assert!(report.tokens.worst_window <= 14_998, "{report}");
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test]
async fn over_loopback_with_tokens_reserved() {
    over_loopback(Charge::Reserved, false).await;
}

#[tokio::test]
async fn over_loopback_with_streamed_tokens_as_used() {
    over_loopback(Charge::Actual, true).await;
}

/// Tokens that are counted while they are generated, or when the answer is complete.
#[tokio::test(start_paused = true)]
async fn tokens_counted_at_the_end_of_the_answer() {
    for seed in 0..3 {
        let simulator = Simulator::builder()
            .tokens(100_000)
            .charge(Charge::Actual)
            .charged_at(ChargedAt::End)
            .window(MINUTE)
            .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
            .answer_latency(Duration::ZERO..=Duration::from_millis(300))
            .stream_latency(Duration::ZERO..=Duration::from_millis(40))
            .output_tokens(50..=200)
            .seed(seed)
            .build();
        let layer = layer([Limit::tokens(100_000).per_minute()], Charge::Actual);
        let work = Work {
            callers: 50,
            prompt_tokens: 300,
            max_tokens: 200,
            stream: true,
            until: 5 * MINUTE,
            at_most: usize::MAX,
        };
        let client = layer.layer(piped(&simulator));
        run(&client, "http://provider.test", work).await;
        let report = simulator.report();
        assert_eq!(report.throttled, 0, "seed {seed}\n{report}");
        assert!(
            report.tokens.worst_window <= 99_998,
            "seed {seed}\n{report}"
        );
        println!(
            "counted at the end, seed {seed}: worst {}",
            report.tokens.worst_window
        );
        assert!(report.tokens.counted > 400_000, "seed {seed}\n{report}");
    }
}

async fn slow_network(anchor: Anchor) -> Report {
    let simulator = Simulator::builder()
        .requests(60)
        .window(Duration::from_secs(10))
        .arrival_latency(Duration::ZERO..=Duration::from_secs(4))
        .seed(1)
        .build();
    let layer = layer(
        [Limit::requests(60).per(Duration::from_secs(10))],
        Charge::Reserved,
    )
    .anchor(anchor);
    let mut callers = Vec::new();
    let client = layer.layer(piped(&simulator));
    for _ in 0..400 {
        let mut client = client.clone();
        callers.push(tokio::spawn(async move {
            let request = chat("http://provider.test", 1, 1, false);
            let response = client.ready().await.unwrap().call(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    simulator.report()
}

/// The bound on the network is an assumption: where it does not hold, anchor at the answer.
#[tokio::test(start_paused = true)]
async fn a_network_slower_than_max_skew_needs_the_anchor_at_the_answer() {
    let report = slow_network(Anchor::Bounded).await;
    let worst = report.requests.worst_window;
    assert!(worst > 58, "the assumption matters\n{report}");
    let report = slow_network(Anchor::Answer).await;
    assert_eq!(report.throttled, 0, "{report}");
    assert!(report.requests.worst_window <= 58, "{report}");
}
