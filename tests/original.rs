//! What the system before this one did wrong, a test for each. It stamped requests when they were
//! sent, guessed their cost, and checked before it acted.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::{
    BoxError, Charge, Limit, Margin, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker,
    Tier,
};
use support::{Body, OK, assert_at_rest, exactly, layer, request, tier, tier_charging, timed};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// What arrived at the provider: when, and for how many tokens.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Instant, u64)>>>);

impl Log {
    fn add(&self, tokens: u64) {
        self.0.lock().unwrap().push((Instant::now(), tokens));
    }

    fn arrivals(&self) -> Vec<Instant> {
        self.0.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// The most in any minute: of requests, and of tokens.
    fn worst_minute(&self) -> (usize, u64) {
        let log = self.0.lock().unwrap();
        let worst = log.iter().map(|(from, _)| {
            let minute = log
                .iter()
                .filter(|(at, _)| *at >= *from && *at < *from + MINUTE);
            minute.fold((0, 0), |(requests, sum), (_, tokens)| {
                (requests + 1, sum + tokens)
            })
        });
        worst.fold((0, 0), |(a, b), (c, d)| (a.max(c), b.max(d)))
    }
}

/// A provider that charges `tokens` for every request and says so.
fn provider(
    log: &Log,
    tokens: u64,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ use<> {
    let log = log.clone();
    service_fn(move |_: Request<Body>| {
        log.add(tokens);
        let usage = format!(
            r#"{{"usage":{{"prompt_tokens":0,"completion_tokens":{tokens},"total_tokens":{tokens}}}}}"#
        );
        async move { Ok(Response::new(Full::new(Bytes::from(usage)))) }
    })
}

fn chat(max_tokens: u64) -> Request<Body> {
    let body = format!(
        r#"{{"model":"test-model","max_tokens":{max_tokens},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    request().map(|_| Full::new(Bytes::from(body)))
}

fn isolated(tier: Tier) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new())
}

fn rate_limit_error(error: &BoxError) -> &RateLimitError {
    error.downcast_ref().expect("refused by the limiter")
}

#[tokio::test(start_paused = true)]
async fn two_hundred_concurrent_callers_at_60_rpm() {
    let log = Log::default();
    let layer = isolated(tier([Limit::requests(60).per_minute()]));
    let service = layer.layer(provider(&log, 0));
    let mut callers = Vec::new();
    for _ in 0..200 {
        let mut service = service.clone();
        callers.push(tokio::spawn(async move {
            let response = service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
            response.into_body().collect().await.unwrap();
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(log.arrivals().len(), 200);
    assert_eq!(log.worst_minute().0, 58);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn tokens_cost_more_than_estimated_at_30_000_tpm() {
    let log = Log::default();
    let layer = isolated(tier_charging(
        Charge::Actual,
        [Limit::tokens(30_000).per_minute()],
    ));
    let service = layer.layer(provider(&log, 2_000));
    let mut callers = Vec::new();
    for _ in 0..60 {
        let mut service = service.clone();
        callers.push(tokio::spawn(async move {
            let response = service
                .ready()
                .await
                .unwrap()
                .call(chat(2_000))
                .await
                .unwrap();
            response.into_body().collect().await.unwrap();
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(log.arrivals().len(), 60);
    let (_, worst) = log.worst_minute();
    assert!(worst <= 29_998, "{worst} tokens in a minute");
    assert_eq!(worst, 28_000, "14 of them fit, and 14 are sent");
}

#[tokio::test(start_paused = true)]
async fn unlimited_is_the_absence_of_a_limit() {
    let layer = layer([]);
    let mut service = layer.layer(OK);
    let (elapsed, ()) = timed(async {
        for _ in 0..10_000 {
            service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
        }
    })
    .await;
    assert_eq!(elapsed, Duration::ZERO);
    assert_eq!(layer.stats().unwrap().total_requests, 10_000);
}

#[tokio::test(start_paused = true)]
async fn two_rpm_still_moves() {
    let layer = layer([Limit::requests(2).per_minute()]);
    let mut service = layer.layer(OK);
    let (elapsed, ()) = timed(async {
        for _ in 0..4 {
            service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
        }
    })
    .await;
    assert_eq!(elapsed, 3 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn five_rpm_loses_nothing_without_a_margin() {
    let layer = layer([Limit::requests(5).per_minute()]).safety_margin(0);
    let mut service = layer.layer(OK);
    let (elapsed, ()) = timed(async {
        for _ in 0..11 {
            service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
        }
    })
    .await;
    assert_eq!(elapsed, 2 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_token_limit_is_refused_at_once() {
    let layer = layer([Limit::tokens(1_000).per_minute()]);
    let mut service = layer.layer(OK);
    let call = service.ready().await.unwrap().call(chat(5_000));
    let (elapsed, error) = timed(call).await;
    let error = error.unwrap_err();
    let RateLimitError::RequestTooLarge(error) = rate_limit_error(&error) else {
        panic!("{error}");
    };
    assert_eq!(elapsed, Duration::ZERO);
    assert_eq!(error.effective, 998);
    assert!(error.requested >= 5_000);
    assert_eq!(error.limit, Limit::tokens(1_000).per_minute());
    // The service lives on.
    service
        .ready()
        .await
        .unwrap()
        .call(chat(100))
        .await
        .unwrap();
    assert_eq!(layer.stats().unwrap().too_large, 1);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn requests_per_day_used_up_refuses_at_once_or_waits_by_max_wait() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let tier = tier([Limit::requests(3).per_day().margin(Margin::Units(0))]);
    let tracker = RateLimitTracker::new();
    let hasty = ProactiveRateLimitLayer::new(tier.clone()).tracker(&tracker);
    let patient = hasty.clone().max_wait(2 * DAY);
    let mut service = hasty.layer(OK);
    for _ in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(request())
            .await
            .unwrap();
    }
    let (elapsed, error) = timed(service.ready().await.unwrap().call(request())).await;
    let error = error.unwrap_err();
    let RateLimitError::WaitTooLong(error) = rate_limit_error(&error) else {
        panic!("{error}");
    };
    assert_eq!(elapsed, Duration::ZERO);
    assert_eq!(error.remaining, Some(DAY));
    assert_eq!(error.max_wait, Duration::from_secs(300));
    assert_eq!(error.used, Some(3));

    let mut service = patient.layer(OK);
    let (elapsed, response) =
        timed(async { service.ready().await.unwrap().call(request()).await }).await;
    response.unwrap();
    assert_eq!(elapsed, DAY);
}

#[tokio::test(start_paused = true)]
async fn two_models_have_a_clock_each() {
    let tracker = RateLimitTracker::new();
    let service = |model: &str| {
        let tier = Tier::builder("openai", model)
            .limit(Limit::requests(60).per_minute())
            .build()
            .unwrap();
        ProactiveRateLimitLayer::new(tier)
            .tracker(&tracker)
            .layer(OK)
    };
    let (mut a, mut b) = (service("a"), service("b"));
    let (elapsed, ()) = timed(async {
        for _ in 0..5 {
            a.ready().await.unwrap().call(request()).await.unwrap();
            b.ready().await.unwrap().call(request()).await.unwrap();
        }
    })
    .await;
    assert_eq!(elapsed, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn many_small_entries_must_expire_before_a_large_one() {
    let layer = layer([Limit::tokens(1_002).per_minute()]);
    let pool = layer.pool().unwrap();
    let cost = |tokens| proactive_rate_limit::Cost::request().with_tokens(tokens);
    // 100 tokens each second, all of which have to expire, one after the other.
    for _ in 0..10 {
        let permit = pool.acquire(cost(100)).await.unwrap();
        permit.settle(cost(100));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (elapsed, permit) = timed(pool.acquire(cost(750))).await;
    // At 10 s there is no room; the eighth of them, sent at 7 s, expires at 67 s.
    assert_eq!(elapsed, Duration::from_secs(57));
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_persistent_429_is_passed_on_and_not_repeated() {
    let log = Log::default();
    let arrivals = log.clone();
    let refuses = service_fn(move |_: Request<Body>| {
        arrivals.add(0);
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        async move { Ok::<_, BoxError>(response) }
    });
    let layer = layer([exactly(1_000, MINUTE)]);
    let mut service = layer.layer(refuses);
    for n in 1..=3 {
        let (elapsed, response) =
            timed(async { service.ready().await.unwrap().call(request()).await }).await;
        assert_eq!(response.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(log.arrivals().len(), n);
        let paused = if n == 1 { 0 } else { 7 };
        assert_eq!(
            elapsed,
            Duration::from_secs(paused),
            "the pause it asked for"
        );
    }
    let stats = layer.stats().unwrap();
    assert_eq!(stats.throttled, 3);
    assert_eq!(stats.hold, Some(Duration::from_secs(7)));
    assert_at_rest(&stats);
}

#[tokio::test(start_paused = true)]
async fn max_wait_fires_before_waiting_and_while_waiting() {
    let layer = layer([exactly(1, MINUTE)]).max_wait(Duration::from_secs(10));
    let mut service = layer.layer(OK);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    // Known to be too long: a minute.
    let (elapsed, error) =
        timed(async { service.ready().await.unwrap().call(request()).await }).await;
    assert!(matches!(
        rate_limit_error(&error.unwrap_err()),
        RateLimitError::WaitTooLong(_)
    ));
    assert_eq!(elapsed, Duration::ZERO);

    // Not known: it depends on when the one under way is settled.
    let pool = {
        let tier = tier([Limit::concurrent(1)]);
        RateLimitTracker::new().pool(&tier).unwrap()
    };
    let cost = proactive_rate_limit::Cost::request();
    let _busy = pool.acquire(cost).await.unwrap();
    let (elapsed, error) = timed(pool.acquire_within(Duration::from_secs(10), cost)).await;
    let RateLimitError::WaitTooLong(error) = error.unwrap_err() else {
        panic!()
    };
    assert_eq!(elapsed, Duration::from_secs(10));
    assert_eq!(error.waited, Duration::from_secs(10));
    assert_eq!(pool.stats().wait_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn statistics_can_be_read_and_serialised() {
    let layer = layer([
        Limit::requests(60).per_minute(),
        Limit::tokens(1_000).per_minute(),
    ]);
    let mut service = layer.layer(OK);
    service.ready().await.unwrap().call(chat(50)).await.unwrap();
    let stats = layer.stats().unwrap();
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["total_requests"], 1);
    assert_eq!(json["limits"][0]["used"], 1);
    assert_eq!(json["limits"][0]["limit"], 60);
    assert_eq!(json["limits"][0]["effective"], 58);
    assert_eq!(json["limits"][0]["frees_in"], 60.0);
    let text = stats.to_string();
    assert!(
        text.contains("60 requests per minute: 1 of 58 used (1.7 %)"),
        "{text}"
    );
}
