//! What every client that sends through reqwest's is held to, over real loopback HTTP. The judge is the
//! provider's own report.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod odd_server;
pub(crate) mod seen;

use std::time::Duration;

use http::StatusCode;
use proactive_rate_limit::simulator::{Report, Simulator, SimulatorBuilder, SimulatorServer};
use proactive_rate_limit::{
    BoxError, Charge, Limit, ProactiveRateLimitLayer, RateLimitTracker, Refusal, RefusalCause,
    Stats,
};
use reqwest::{Request, Response};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

use crate::support::{assert_at_rest, exactly, tier_charging};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A client of reqwest's, or what goes for one.
pub(crate) trait Client:
    Service<Request, Response = Response, Error: Into<BoxError> + Send, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Client for S where
    S: Service<Request, Response = Response, Error: Into<BoxError> + Send, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

pub(crate) async fn send(client: &impl Client, request: Request) -> Result<Response, BoxError> {
    let client = client.clone();
    client.oneshot(request).await.map_err(Into::into)
}

/// Sends one request and reads its answer to its end.
pub(crate) async fn ask(client: &impl Client, request: Request) -> Result<StatusCode, BoxError> {
    let response = send(client, request).await?;
    let status = response.status();
    response.bytes().await?;
    Ok(status)
}

pub(crate) fn chat(url: &str, max_tokens: u64, stream: bool) -> Request {
    let mut body = serde_json::json!({
        "model": "test-model",
        "max_tokens": max_tokens,
        "messages": [{ "role": "user", "content": "Say something kind." }],
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = serde_json::json!({ "include_usage": true });
    }
    let request = reqwest::Client::new().post(format!("{url}/v1/chat/completions"));
    request.json(&body).build().unwrap()
}

pub(crate) fn limits(limits: impl IntoIterator<Item = Limit>) -> ProactiveRateLimitLayer {
    let tier = tier_charging(Charge::Actual, limits);
    ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new())
}

/// More than is asked for here.
pub(crate) fn plenty() -> ProactiveRateLimitLayer {
    limits([
        Limit::requests(6_000).per(MINUTE),
        Limit::tokens(1_000_000).per(MINUTE),
    ])
}

/// A provider with as much.
pub(crate) fn provider() -> SimulatorBuilder {
    Simulator::builder()
        .requests(6_000)
        .tokens(1_000_000)
        .window(MINUTE)
        .charge(Charge::Actual)
        .output_tokens(10..=60)
        .seed(3)
}

pub(crate) async fn serve(simulator: SimulatorBuilder) -> SimulatorServer {
    simulator.build().spawn().await.unwrap()
}

/// The provider counted what was admitted, refused nothing, and never counted more than its limits less
/// their margins.
pub(crate) fn assert_kept(report: &Report, stats: &Stats) {
    assert_at_rest(stats);
    assert_eq!(report.arrived, stats.total_requests, "{report}\n{stats}");
    assert_eq!(report.throttled, 0, "{report}");
}

/// Waits for it.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(millis(5)).await;
    }
}

pub(crate) async fn usage_is_settled_exactly<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
    stream: bool,
) {
    let server = serve(provider()).await;
    let layer = plenty();
    let client = wrap(&layer);
    for _ in 0..5 {
        let status = ask(&client, chat(&server.url(), 60, stream)).await.unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((report.answered, stats.usage_read), (5, 5), "{stats}");
    assert_eq!(stats.limits[0].used, report.requests.counted);
    assert_eq!(stats.limits[1].used, report.tokens.counted);
    assert_eq!(
        report.tokens.counted,
        report.input_tokens + report.output_tokens
    );
    assert!(
        report.output_tokens < 5 * 60,
        "less than reserved\n{report}"
    );
}

pub(crate) async fn limits_are_kept_at_full_speed<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
) {
    let window = Duration::from_secs(1);
    let server = serve(
        Simulator::builder()
            .requests(60)
            .tokens(3_000)
            .window(window)
            .charge(Charge::Actual)
            .arrival_latency(Duration::ZERO..=millis(20))
            .answer_latency(Duration::ZERO..=millis(30))
            .output_tokens(10..=60)
            .seed(5),
    )
    .await;
    let layer = limits([
        Limit::requests(60).per(window),
        Limit::tokens(3_000).per(window),
    ]);
    let client = wrap(&layer);
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (client, url) = (client.clone(), server.url());
            tokio::spawn(async move {
                for n in 0..8 {
                    let request = chat(&url, 60, (caller + n) % 2 == 0);
                    assert_eq!(ask(&client, request).await.unwrap(), StatusCode::OK);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (report, stats) = (server.report(), layer.stats().unwrap());
    println!("{report}");
    assert_kept(&report, &stats);
    assert_eq!((report.answered, stats.usage_read), (128, 128), "{stats}");
    assert!(report.requests.worst_window <= 58, "{report}");
    assert!(report.tokens.worst_window <= 2_998, "{report}");
}

/// Two at once to a provider that allows one: the second is refused, and nobody asks again too early.
pub(crate) async fn a_refusal_holds_back_what_follows<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
) {
    let window = millis(700);
    let server = serve(
        Simulator::builder()
            .requests(1)
            .window(window)
            .answer_latency(millis(100)..=millis(100)),
    )
    .await;
    let layer = limits([exactly(100, window)]).spacing(proactive_rate_limit::Spacing::Off);
    let client = wrap(&layer);
    let start = Instant::now();
    let (first, second) = tokio::join!(
        send(&client, chat(&server.url(), 10, false)),
        send(&client, chat(&server.url(), 10, false)),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    let (good, refused) = match first.status() {
        StatusCode::OK => (first, second),
        _ => (second, first),
    };
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let refusal = refused.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.cause, RefusalCause::RateLimit);
    assert!(refusal.retry_after.unwrap() <= window);
    let body: serde_json::Value = refused.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    good.bytes().await.unwrap();

    let status = ask(&client, chat(&server.url(), 10, false)).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(start.elapsed() >= window);
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_eq!((report.arrived, report.throttled), (3, 1), "{report}");
    assert_eq!((stats.total_requests, stats.throttled), (3, 1), "{stats}");
    assert_at_rest(&stats);
}

pub(crate) async fn whoever_leaves_while_waiting_costs_nothing<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
) {
    let server = serve(provider()).await;
    let layer = limits([exactly(1, MINUTE)]);
    let client = wrap(&layer);
    ask(&client, chat(&server.url(), 10, false)).await.unwrap();
    let waiting = ask(&client, chat(&server.url(), 10, false));
    let left = timeout(millis(50), async {
        tokio::join!(waiting, async {
            until(|| layer.stats().unwrap().waiting == 1).await;
        })
    });
    assert!(left.await.is_err());
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((report.arrived, stats.limits[0].used), (1, 1));
}

pub(crate) async fn whoever_leaves_mid_stream_is_counted_in_full<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
) {
    let slow = provider()
        .output_tokens(60..=60)
        .stream_latency(millis(20)..=millis(20));
    let server = serve(slow).await;
    let layer = plenty();
    let request = chat(&server.url(), 60, true);
    let mut response = send(&wrap(&layer), request).await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let before = layer.stats().unwrap();
    assert_eq!(before.in_flight, 1);
    drop(response);

    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.abandoned, stats.usage_read), (1, 0), "{stats}");
    assert_eq!(stats.limits[1].used, before.limits[1].used);
    until(|| server.report().clients_gone == 1).await;
    let report = server.report();
    assert!(stats.limits[1].used >= report.tokens.counted, "{report}");
}

/// reqwest's own time-outs bound the time at the provider, of the head as of the body, and not the wait.
pub(crate) async fn timeouts_begin_when_the_request_is_sent<C: Client>(
    wrap: impl Fn(&ProactiveRateLimitLayer) -> C,
    is_timeout: impl Fn(&BoxError) -> bool,
) {
    let within = |mut request: Request, timeout| {
        *request.timeout_mut() = Some(timeout);
        request
    };

    let silent = provider().answer_latency(MINUTE..=MINUTE);
    let server = serve(silent).await;
    let layer = plenty();
    let request = within(chat(&server.url(), 60, false), millis(100));
    let error = send(&wrap(&layer), request).await.unwrap_err();
    assert!(is_timeout(&error), "{error:?}");
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((stats.abandoned, stats.limits[0].used), (1, 1), "{stats}");

    let slow = provider()
        .output_tokens(60..=60)
        .stream_latency(millis(100)..=millis(100));
    let server = serve(slow).await;
    let layer = plenty();
    let request = within(chat(&server.url(), 60, true), millis(500));
    let response = send(&wrap(&layer), request).await.unwrap();
    let error = response.bytes().await.unwrap_err();
    assert!(error.is_timeout() && error.is_decode(), "{error:?}");
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((stats.abandoned, stats.limits[0].used), (1, 1), "{stats}");

    let window = millis(1_500);
    let server = serve(Simulator::builder().requests(1).window(window)).await;
    let layer = limits([exactly(1, window)]);
    let client = wrap(&layer);
    let start = Instant::now();
    for _ in 0..2 {
        let request = within(chat(&server.url(), 60, false), millis(1_000));
        assert_eq!(ask(&client, request).await.unwrap(), StatusCode::OK);
    }
    assert!(start.elapsed() >= window);
    assert_kept(&server.report(), &layer.stats().unwrap());
}
