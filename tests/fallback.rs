//! Which model takes a request, when, and what becomes of it if that fails: on a paused clock with
//! exact times, and over real sockets.

mod support;

use std::future::{Future, Ready, poll_fn, ready};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proactive_rate_limit::fallback::{ContextExceeded, Fallback, FallbackStats, Model, Strategy};
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{
    BoxError, Deadline, Limit, Margin, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker,
    ResponseBody, Spacing, Tier, TokenEstimate,
};
use support::{Body, assert_at_rest, exactly, timed};
use tokio::time::{Instant, sleep, timeout};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

const WINDOW: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::ZERO;

const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, you requested 10000 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}"#;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Answers always the same, and notes when it is asked.
#[derive(Clone)]
struct Provider {
    name: &'static str,
    status: u16,
    body: &'static str,
    start: Instant,
    asked: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    /// Bodies handed out and not dropped.
    alive: Arc<AtomicUsize>,
}

impl Provider {
    fn new() -> Self {
        Self {
            name: "",
            status: 200,
            body: "{}",
            start: Instant::now(),
            asked: Arc::default(),
            alive: Arc::default(),
        }
    }

    fn named(&self, name: &'static str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    fn answering(&self, name: &'static str, status: u16, body: &'static str) -> Self {
        Self {
            status,
            body,
            ..self.named(name)
        }
    }

    fn asked(&self) -> Vec<(&'static str, Duration)> {
        self.asked.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<&'static str> {
        self.asked().into_iter().map(|(name, _)| name).collect()
    }
}

/// Counts itself while it lives.
struct Counted(Body, Arc<AtomicUsize>);

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request<Body>> for Provider {
    type Response = Response<Counted>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Counted>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.asked
            .lock()
            .unwrap()
            .push((self.name, self.start.elapsed()));
        assert_eq!(self.alive.load(Ordering::SeqCst), 0, "the last is dropped");
        if self.status == 0 {
            return ready(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()));
        }
        self.alive.fetch_add(1, Ordering::SeqCst);
        let body = Counted(Full::from(self.body), Arc::clone(&self.alive));
        let response = Response::builder().status(self.status).body(body);
        ready(response.map_err(Into::into))
    }
}

fn limited(tier: proactive_rate_limit::TierBuilder) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier.build().unwrap())
        .tracker(&RateLimitTracker::new())
        .spacing(Spacing::Off)
        .max_skew(Duration::ZERO)
}

/// So many requests per window.
fn allows(amount: u64) -> ProactiveRateLimitLayer {
    limited(Tier::builder("openai", "m").limit(exactly(amount, WINDOW)))
}

fn context(provider: &str, tokens: u64) -> ProactiveRateLimitLayer {
    let tier = Tier::builder(provider, format!("of-{tokens}"));
    limited(tier.limit(exactly(100, WINDOW)).context_window(tokens))
}

fn model(layer: &ProactiveRateLimitLayer, provider: Provider) -> Model<Provider, Body> {
    Model::new(layer.layer(provider))
}

fn request() -> Request<Body> {
    support::request()
}

type Answered = Result<Response<ResponseBody<Counted>>, BoxError>;

async fn send(fallback: &Fallback<Provider, Body>) -> Answered {
    fallback.clone().oneshot(request()).await
}

async fn status(fallback: &Fallback<Provider, Body>) -> u16 {
    send(fallback).await.unwrap().status().as_u16()
}

fn counts(stats: FallbackStats) -> [u64; 7] {
    [
        stats.total_requests,
        stats.primary,
        stats.fallback,
        stats.failed,
        stats.rate_limit_fallbacks,
        stats.quota_fallbacks,
        stats.context_fallbacks,
    ]
}

/// Two at once by the primary, then others by the alternate, then by whoever is soonest.
#[tokio::test(start_paused = true)]
async fn takes_the_primary_in_time_or_the_alternate_that_is_soonest() {
    let provider = Provider::new();
    let (first, second, third) = (allows(2), allows(1), allows(1));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")))
        .alternate(model(&third, provider.named("third")));
    for expected in ["first", "first", "second"] {
        let (elapsed, status) = timed(status(&fallback)).await;
        assert_eq!((elapsed, status), (AT_ONCE, 200));
        assert_eq!(provider.names().last(), Some(&expected));
    }
    sleep(secs(20)).await;
    assert_eq!(status(&fallback).await, 200); // The third, at 20 s.
    // All are full, and the first is free again at 60 s: the first of those that are as soon.
    let (elapsed, status) = timed(status(&fallback)).await;
    assert_eq!((elapsed, status), (secs(40), 200));
    assert_eq!(
        provider.asked()[3..],
        [("third", secs(20)), ("first", secs(60))]
    );
    assert_eq!(counts(fallback.stats()), [5, 3, 2, 0, 2, 0, 0]);
    for layer in [first, second, third] {
        assert_at_rest(&layer.stats().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_primary_as_long_as_it_has_patience() {
    for (patience, expected) in [
        (secs(60), ("first", secs(60))),
        (Duration::MAX, ("first", secs(60))),
        (secs(60) - Duration::from_millis(2), ("second", secs(0))),
        (Duration::ZERO, ("second", secs(0))),
    ] {
        let provider = Provider::new();
        let fallback = Fallback::new(model(&allows(1), provider.named("first")))
            .alternate(model(&allows(1), provider.named("second")))
            .patience(patience);
        status(&fallback).await;
        status(&fallback).await;
        assert_eq!(provider.asked()[1], expected, "{patience:?}");
    }
}

/// Those ahead in line count, and so does the time between them.
#[tokio::test(start_paused = true)]
async fn counts_those_in_line() {
    let provider = Provider::new();
    let (first, second) = (allows(2).spacing(Spacing::Fixed(secs(4))), allows(100));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")))
        .patience(secs(5));
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let fallback = fallback.clone();
        jobs.push(tokio::spawn(async move { status(&fallback).await }));
        tokio::task::yield_now().await;
    }
    for job in jobs {
        assert_eq!(job.await.unwrap(), 200);
    }
    let asked = [
        ("first", secs(0)),
        ("second", secs(0)),
        ("second", secs(0)),
        ("first", secs(4)),
    ];
    assert_eq!(provider.asked(), asked);

    // With room for two at each time: the fifth has to wait for the third window.
    let provider = Provider::new();
    let busy = allows(2);
    let waiting = busy.layer(provider.named("other"));
    for _ in 0..4 {
        let service = waiting.clone();
        tokio::spawn(async move { service.oneshot(request()).await.map(drop) });
        tokio::task::yield_now().await;
    }
    let fallback = Fallback::new(model(&busy, provider.named("first")))
        .alternate(model(&allows(1), provider.named("second")))
        .patience(secs(119));
    assert_eq!(status(&fallback).await, 200);
    assert_eq!(status(&fallback.patience(secs(121))).await, 200);
    let last = provider.asked();
    assert!(last.contains(&("second", AT_ONCE)), "{last:?}");
    assert_eq!(last.last(), Some(&("first", secs(120))));
}

/// What was expected did not happen: a pause began while it waited.
#[tokio::test(start_paused = true)]
async fn leaves_a_model_that_keeps_it_longer_than_expected() {
    let provider = Provider::new();
    let (first, second) = (allows(1), allows(1));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")))
        .patience(secs(60));
    status(&fallback).await;
    let job = tokio::spawn({
        let fallback = fallback.clone();
        async move { status(&fallback).await }
    });
    sleep(secs(10)).await;
    first.pool().unwrap().hold(secs(200));
    assert_eq!(job.await.unwrap(), 200);
    assert_eq!(provider.asked()[1], ("second", secs(10)));
    assert_at_rest(&first.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_dropped_and_the_next_one_tried() {
    let cases = [
        (429, "", [0, 0, 1, 0, 1, 0, 0]),
        (503, "", [0, 0, 1, 0, 1, 0, 0]),
        (529, "", [0, 0, 1, 0, 1, 0, 0]),
        (429, QUOTA, [0, 0, 1, 0, 0, 1, 0]),
        (400, TOO_LONG, [0, 0, 1, 0, 0, 0, 1]),
    ];
    for (code, body, expected) in cases {
        let provider = Provider::new();
        let (first, second) = (allows(9), allows(9));
        let fallback = Fallback::new(model(&first, provider.answering("first", code, body)))
            .alternate(model(&second, provider.named("second")));
        let (elapsed, status) = timed(status(&fallback)).await;
        assert_eq!((elapsed, status), (AT_ONCE, 200), "{code} {body}");
        assert_eq!(provider.names(), ["first", "second"]);
        let mut counted = counts(fallback.stats());
        counted[0] -= 1;
        assert_eq!(counted, expected, "{code} {body}");
        for layer in [first, second] {
            assert_at_rest(&layer.stats().unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everything_else_is_the_answer() {
    for (code, body) in [
        (200, "{}"),
        (400, "{}"),
        (401, ""),
        (404, ""),
        (500, ""),
        (502, ""),
    ] {
        let provider = Provider::new();
        let fallback = Fallback::new(model(&allows(9), provider.answering("first", code, body)))
            .alternate(model(&allows(9), provider.named("second")));
        let response = send(&fallback).await.unwrap();
        assert_eq!(response.status().as_u16(), code);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, body);
        assert_eq!(provider.names(), ["first"]);
        assert_eq!(counts(fallback.stats()), [1, 1, 0, 0, 0, 0, 0]);
    }
    let provider = Provider::new();
    let fallback = Fallback::new(model(&allows(9), provider.answering("first", 0, "")))
        .alternate(model(&allows(9), provider.named("second")));
    let error = send(&fallback).await.err().unwrap();
    assert!(error.is::<io::Error>(), "{error}");
    assert_eq!(provider.names(), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_the_answer_if_all_fail() {
    let provider = Provider::new();
    let fallback = Fallback::new(model(&allows(9), provider.answering("first", 429, "1")))
        .alternate(model(&allows(9), provider.answering("second", 503, "2")));
    let response = send(&fallback).await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, "2");
    assert_eq!(counts(fallback.stats()), [1, 0, 0, 1, 1, 0, 0]);

    // One that was refused here, before anything was sent.
    let tokens = Limit::tokens(100).per(WINDOW).margin(Margin::Units(0));
    let small = || limited(Tier::builder("openai", "m").limit(tokens));
    let provider = Provider::new();
    let fallback = Fallback::new(model(&small(), provider.named("first")))
        .alternate(model(&small(), provider.named("second")));
    let mut large = request();
    large.extensions_mut().insert(TokenEstimate::new(101, 0));
    let error = fallback.clone().oneshot(large).await.err().unwrap();
    let error = error.downcast_ref::<RateLimitError>();
    assert!(matches!(error, Some(RateLimitError::RequestTooLarge(_))));
    assert_eq!(provider.names(), [""; 0]);
    assert_eq!(counts(fallback.stats()), [1, 0, 0, 1, 1, 0, 0]);
}

/// The provider said that the account is exhausted: nobody asks it, and nobody waits.
#[tokio::test(start_paused = true)]
async fn an_exhausted_account_is_left_at_once() {
    let provider = Provider::new();
    let first = allows(9);
    let fallback = Fallback::new(model(&first, provider.answering("first", 429, QUOTA)))
        .alternate(model(&allows(9), provider.named("second")));
    for _ in 0..3 {
        let (elapsed, status) = timed(status(&fallback)).await;
        assert_eq!((elapsed, status), (AT_ONCE, 200));
    }
    assert_eq!(provider.names(), ["first", "second", "second", "second"]);
    assert_eq!(counts(fallback.stats()), [3, 0, 3, 0, 0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_goes_to_a_model_that_holds_it_or_fails_with_the_numbers() {
    let provider = Provider::new();
    let windows = [1_000, 64_000, 2_000, 8_000];
    let names = ["of-1000", "of-64000", "of-2000", "of-8000"];
    let layers = windows.map(|tokens| context("openai", tokens));
    let models = |strategy| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| model(&layers[i], provider.named(names[i])));
        let fallback = Fallback::new(a).alternate(b).alternate(c).alternate(d);
        fallback.strategy(strategy)
    };
    let of = |tokens: u64| {
        let mut request = request();
        request
            .extensions_mut()
            .insert(TokenEstimate::new(tokens, 0));
        request
    };
    let cases = [
        (Strategy::Sequential, 1_000, "of-1000"),
        (Strategy::Sequential, 1_001, "of-64000"),
        (Strategy::Smart, 1_000, "of-1000"),
        (Strategy::Smart, 1_001, "of-2000"),
        (Strategy::Smart, 2_001, "of-8000"),
        (Strategy::Smart, 8_001, "of-64000"),
    ];
    for (strategy, tokens, expected) in cases {
        let response = models(strategy).oneshot(of(tokens)).await.unwrap();
        drop(response);
        assert_eq!(provider.names().last(), Some(&expected), "{tokens}");
    }
    let asked = provider.names().len();
    let fallback = models(Strategy::Smart);
    let error = fallback.clone().oneshot(of(64_001)).await.err().unwrap();
    let exceeded = error.downcast_ref::<ContextExceeded>().unwrap();
    let ContextExceeded {
        model,
        window,
        needed,
        ..
    } = exceeded;
    assert_eq!(
        (model.as_str(), *window, *needed),
        ("of-64000", 64_000, 64_001)
    );
    assert_eq!(provider.names().len(), asked, "nothing was sent");
    assert_eq!(counts(fallback.stats()), [1, 0, 0, 1, 0, 0, 4]);

    // By the text and the cap of a request itself.
    let body = serde_json::json!({"max_tokens": 600, "messages": [{"content": "x".repeat(2_000)}]});
    let mut seen = request();
    *seen.body_mut() = Full::from(body.to_string());
    drop(models(Strategy::Smart).oneshot(seen).await.unwrap());
    assert_eq!(provider.names().last(), Some(&"of-2000"));
}

/// The provider knows better than the estimate.
#[tokio::test(start_paused = true)]
async fn a_refused_prompt_goes_to_a_larger_context_only() {
    let provider = Provider::new();
    let too_long = |name| provider.answering(name, 400, TOO_LONG);
    let fallback = Fallback::new(model(&context("openai", 8_000), too_long("a")))
        .alternate(model(&context("groq", 4_000), too_long("b")))
        .alternate(model(&context("gemini", 90_000), provider.named("c")))
        .alternate(model(&context("openai", 16_000), too_long("d")));
    let names = |strategy| {
        let (fallback, before) = (fallback.clone().strategy(strategy), provider.names().len());
        let provider = provider.clone();
        async move {
            assert_eq!(status(&fallback).await, 200);
            provider.names()[before..].to_vec()
        }
    };
    assert_eq!(names(Strategy::Sequential).await, ["a", "c"]);
    assert_eq!(names(Strategy::Smart).await, ["a", "d", "c"]);
}

#[tokio::test(start_paused = true)]
async fn each_strategy_has_its_order_after_a_throttle() {
    let cases = [
        (Strategy::Sequential, ["a", "b", "c", "d"]),
        (Strategy::Smart, ["a", "c", "d", "b"]),
        (Strategy::Cheapest, ["a", "d", "c", "b"]),
    ];
    for (strategy, expected) in cases {
        let provider = Provider::new();
        let throttled = |name| provider.answering(name, 429, "");
        let fallback = Fallback::new(model(&context("openai", 1_000), throttled("a")))
            .alternate(model(&context("openai", 2_000), throttled("b")).cost_per_token(f64::NAN))
            .alternate(model(&context("groq", 2_001), throttled("c")).cost_per_token(3e-6))
            .alternate(model(&context("gemini", 2_002), throttled("d")).cost_per_token(1e-6))
            .strategy(strategy);
        assert_eq!(status(&fallback).await, 429);
        assert_eq!(provider.names(), expected, "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_rewritten_for_the_alternate() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = |status: u16| {
        let seen = Arc::clone(&seen);
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let seen = Arc::clone(&seen);
            async move {
                let uri = request.uri().to_string();
                let marked = request.extensions().get::<u8>().copied();
                let body = request.into_body().collect().await?.to_bytes();
                seen.lock().unwrap().push((uri, body, marked));
                let response = Response::builder().status(status);
                Ok::<_, BoxError>(response.body(Body::default())?)
            }
        }))
    };
    let rewritten = Model::new(allows(9).layer(record(429))).rewrite(|request| {
        let (mut parts, _) = request.into_parts();
        parts.uri = http::Uri::from_static("http://other.test/");
        Request::from_parts(parts, Full::from("other"))
    });
    let failing =
        Model::new(allows(9).layer(record(200))).try_rewrite(|_| Err("no such key".into()));
    let fallback = Fallback::new(Model::new(allows(9).layer(record(429))))
        .alternate(rewritten)
        .alternate(failing);
    let mut request = request();
    request.extensions_mut().insert(7_u8);
    let error = fallback.clone().oneshot(request).await.err().unwrap();
    assert_eq!(error.to_string(), "no such key");
    let seen = seen.lock().unwrap().clone();
    let uri = "http://provider.test/v1/chat/completions".to_owned();
    let expected = [
        (uri, Bytes::new(), Some(7)),
        (
            "http://other.test/".to_owned(),
            Bytes::from("other"),
            Some(7),
        ),
    ];
    assert_eq!(seen, expected);
    assert_eq!(counts(fallback.stats()), [1, 0, 0, 1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_the_wait() {
    let provider = Provider::new();
    let fallback = Fallback::new(model(&allows(1), provider.named("first")))
        .alternate(model(&allows(1), provider.named("second")));
    status(&fallback).await;
    status(&fallback).await;
    let mut late = request();
    late.extensions_mut().insert(Deadline::within(secs(59)));
    let (elapsed, answer) = timed(fallback.clone().oneshot(late)).await;
    let error = answer.err().unwrap();
    let error = error.downcast_ref::<RateLimitError>();
    assert!(matches!(error, Some(RateLimitError::WaitTooLong(_))));
    assert_eq!(elapsed, AT_ONCE);
}

/// The contract of `poll_ready`: always ready, and nothing is held for anybody.
#[tokio::test(start_paused = true)]
async fn a_ready_clone_that_is_kept_holds_nothing() {
    let provider = Provider::new();
    let (first, second) = (allows(1), allows(1));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")));
    let mut kept: Vec<_> = (0..1_000).map(|_| fallback.clone()).collect();
    for clone in &mut kept {
        clone.ready().await.unwrap();
        drop(clone.call(request())); // Before it was polled.
    }
    for layer in [&first, &second] {
        let stats = layer.stats().unwrap();
        assert_eq!((stats.granted, stats.waiting), (0, 0));
    }
    let (elapsed, status) = timed(status(&fallback)).await;
    assert_eq!((elapsed, status), (AT_ONCE, 200));
    assert_eq!(provider.names(), ["first"]);
    assert_eq!(fallback.stats().total_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_cancelled_while_it_waits_costs_nothing() {
    let provider = Provider::new();
    let (first, second) = (allows(1), allows(1));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")));
    status(&fallback).await;
    status(&fallback).await;
    assert!(timeout(secs(5), status(&fallback)).await.is_err());
    for layer in [&first, &second] {
        assert_at_rest(&layer.stats().unwrap());
    }
    let (elapsed, _) = timed(status(&fallback)).await;
    assert_eq!(elapsed, secs(55));
    assert_eq!(counts(fallback.stats())[..4], [4, 2, 1, 0]);
}

/// A thousand that were polled once and are kept delay a live one by a few graces.
#[tokio::test(start_paused = true)]
async fn those_that_nobody_polls_hang_nobody() {
    let provider = Provider::new();
    let (first, second) = (allows(1), allows(1));
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&second, provider.named("second")));
    status(&fallback).await;
    status(&fallback).await;
    let mut dead = Vec::new();
    for _ in 0..1_000 {
        let mut future = Box::pin(fallback.clone().oneshot(request()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        dead.push(future);
    }
    let (elapsed, status) = timed(status(&fallback)).await;
    assert_eq!(status, 200);
    assert!(elapsed >= secs(60) && elapsed <= secs(62), "{elapsed:?}");
    drop(dead);
    for layer in [&first, &second] {
        assert_at_rest(&layer.stats().unwrap());
    }
}

/// A client that is not ready is waited for in the future, and its error is the answer.
#[tokio::test(start_paused = true)]
async fn an_inner_service_is_made_ready_in_the_future() {
    let client = || {
        tower::ServiceBuilder::new()
            .concurrency_limit(1)
            .service_fn(async |_: Request<Body>| {
                sleep(secs(1)).await;
                Ok::<_, BoxError>(Response::new(Body::default()))
            })
    };
    let inner = client();
    let fallback = Fallback::new(Model::new(allows(9).layer(inner)));
    let (a, b) = (fallback.clone(), fallback.clone());
    let (elapsed, _) = timed(async {
        let (a, b) = tokio::join!(a.oneshot(request()), b.oneshot(request()));
        (a.unwrap(), b.unwrap())
    })
    .await;
    assert_eq!(elapsed, secs(2));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn polling_after_completion_panics() {
    let provider = Provider::new();
    let mut fallback = Fallback::new(model(&allows(9), provider.named("first")));
    let mut future = pin!(fallback.call(request()));
    poll_fn(|cx| future.as_mut().poll(cx)).await.unwrap();
    let _ = poll_fn(|cx| future.as_mut().poll(cx)).await;
}

#[test]
fn is_what_boxed_stacks_ask_for() {
    fn is_shareable<T: Send + Sync + 'static>(_: &T) {}
    let tier = Tier::builder("openai", "m").limit(exactly(1, WINDOW));
    let service = limited(tier).layer(support::OK);
    let mut fallback = Fallback::new(Model::new(service));
    is_shareable(&fallback);
    is_shareable(&fallback.call(request()));
    let _: BoxCloneSyncService<_, _, BoxError> = BoxCloneSyncService::new(fallback);
}

#[tokio::test(start_paused = true)]
async fn statistics_are_text_and_data() {
    let provider = Provider::new();
    let fallback = Fallback::new(model(&allows(3), provider.named("first")))
        .alternate(model(&allows(1), provider.named("second")));
    for _ in 0..4 {
        status(&fallback).await;
    }
    let stats = fallback.stats();
    let text = "4 requests: 3 by the primary (75.0 %), 1 by an alternate (25.0 %), 0 failed\n  \
                left a model 1 times for a rate limit, 0 for a quota, 0 for its context window";
    assert_eq!(stats.to_string(), text);
    let data = serde_json::to_value(stats).unwrap();
    assert_eq!(data["primary"], 3);
    assert_eq!(data["rate_limit_fallbacks"], 1);
}

/// Nobody knows when a limit on requests in flight frees.
#[tokio::test(start_paused = true)]
async fn a_full_limit_on_requests_in_flight_is_left() {
    let provider = Provider::new();
    let first = limited(Tier::builder("openai", "m").limit(Limit::concurrent(1)));
    let busy = first.pool().unwrap();
    let permit = busy.try_acquire(proactive_rate_limit::Cost::request());
    let permit = permit.unwrap();
    let fallback = Fallback::new(model(&first, provider.named("first")))
        .alternate(model(&allows(1), provider.named("second")));
    status(&fallback).await;
    // The alternate is full for 60 s: what is not known is taken to be sooner, for its patience.
    let (elapsed, _) = timed(status(&fallback)).await;
    assert!(elapsed >= secs(60) && elapsed < secs(61), "{elapsed:?}");
    drop(permit);
    assert_eq!(provider.names(), ["second", "second"]);
}

/// Somebody else used the key up. Whoever is refused is served elsewhere, and while the pool pauses
/// nobody asks that provider.
#[tokio::test]
async fn a_provider_that_refuses_over_real_sockets() {
    let build = |requests| Simulator::builder().requests(requests).window(WINDOW);
    let large = build(1).seed(1).build().spawn().await.unwrap();
    let small = build(20).seed(1).build().spawn().await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let (first, second) = (allows(5), allows(20));
    let other = support::piped::chat(&large.url(), 10, 20, false);
    assert_eq!(client.request(other).await.unwrap().status(), 200);
    let url = small.url();
    let alternate = Model::new(second.layer(client.clone()));
    let alternate = alternate.rewrite(move |_| support::piped::chat(&url, 10, 20, true));
    let fallback = Fallback::new(Model::new(first.layer(client)))
        .alternate(alternate)
        .patience(Duration::ZERO);
    for _ in 0..5 {
        let request = support::piped::chat(&large.url(), 10, 20, true);
        let response = fallback.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(counts(fallback.stats()), [5, 0, 5, 0, 5, 0, 0]);
    assert_eq!(large.report().throttled, 1);
    assert_eq!((small.report().answered, small.report().throttled), (5, 0));
    for layer in [first, second] {
        assert_at_rest(&layer.stats().unwrap());
    }
}

/// Two providers on loopback, each with a limit; neither is asked for more than it allows.
#[tokio::test]
async fn two_providers_over_real_sockets() {
    let simulator = |requests| {
        Simulator::builder()
            .requests(requests)
            .window(WINDOW)
            .seed(1)
            .build()
    };
    let (large, small) = (simulator(5), simulator(20));
    let (large, small) = (large.spawn().await.unwrap(), small.spawn().await.unwrap());
    let (first, second) = (allows(5), allows(20));
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let host: http::Uri = small.url().parse().unwrap();
    let second_model = Model::new(second.layer(client.clone())).try_rewrite(move |request| {
        let (mut parts, body) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        uri.authority = host.authority().cloned();
        parts.uri = http::Uri::from_parts(uri)?;
        Ok(Request::from_parts(parts, body))
    });
    let fallback = Fallback::new(Model::new(first.layer(client))).alternate(second_model);
    let mut jobs = Vec::new();
    for index in 0..15 {
        let (fallback, url) = (fallback.clone(), large.url());
        jobs.push(tokio::spawn(async move {
            let request = support::piped::chat(&url, 10, 20, index % 2 == 0);
            let response = fallback.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
        }));
    }
    for job in jobs {
        job.await.unwrap();
    }
    assert_eq!(counts(fallback.stats()), [15, 5, 10, 0, 10, 0, 0]);
    for (server, layer, answered) in [(&large, &first, 5), (&small, &second, 10)] {
        let (report, stats) = (server.report(), layer.stats().unwrap());
        assert_eq!(
            (report.throttled, report.answered),
            (0, answered),
            "{report}"
        );
        assert_eq!(
            (stats.total_requests, stats.usage_read),
            (answered, answered)
        );
        assert_at_rest(&stats);
    }
}
