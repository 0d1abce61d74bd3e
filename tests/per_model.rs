//! One client for many models: each waits for its own budget only.

mod support;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::per_model::{
    Accounts, OtherModels, PerModelRateLimit, PerModelRateLimitLayer, RequestModel,
};
use proactive_rate_limit::{
    BoxError, Limit, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker, ResponseFuture,
    Spacing, Stats, Tier,
};
use support::{Body, OK, assert_at_rest, exactly, timed};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

const WINDOW: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::ZERO;

/// `amount` requests per window for `model`.
fn budget(tracker: &RateLimitTracker, model: &str, amount: u64) -> ProactiveRateLimitLayer {
    budget_of(tracker, model, [exactly(amount, WINDOW)])
}

fn budget_of(
    tracker: &RateLimitTracker,
    model: &str,
    limits: impl IntoIterator<Item = Limit>,
) -> ProactiveRateLimitLayer {
    let tier = Tier::builder("openai", model).limits(limits).build();
    ProactiveRateLimitLayer::new(tier.unwrap())
        .tracker(tracker)
        .spacing(Spacing::Off)
        .max_skew(Duration::ZERO)
}

fn request(model: &str) -> Request<Body> {
    let body = serde_json::json!({"messages": [], "model": model});
    Request::post("http://provider.test/v1/chat/completions")
        .body(Full::from(body.to_string()))
        .unwrap()
}

async fn send<S, R>(service: &S, request: Request<Body>) -> Result<StatusCode, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>, Error = BoxError> + Clone,
{
    let response = service.clone().oneshot(request).await?;
    Ok(response.status())
}

/// Why it was refused, and that this took no time.
async fn refused<S, R>(service: &S, request: Request<Body>) -> RateLimitError
where
    S: Service<Request<Body>, Response = Response<R>, Error = BoxError> + Clone,
{
    let (elapsed, sent) = timed(send(service, request)).await;
    assert_eq!(elapsed, AT_ONCE);
    *sent.unwrap_err().downcast().unwrap()
}

fn stats<'a>(all: &'a [Stats], pool: &str) -> &'a Stats {
    let found = all.iter().find(|stats| stats.pool.starts_with(pool));
    found.unwrap_or_else(|| panic!("no pool {pool} in {all:?}"))
}

#[tokio::test(start_paused = true)]
async fn each_model_waits_for_its_own_budget() {
    let tracker = RateLimitTracker::new();
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "large", 2))
        .budget(budget(&tracker, "small", 3))
        .layer(OK);
    let at = async |model| timed(send(&service, request(model))).await.0;
    for (model, waits) in [
        ("large", AT_ONCE),
        ("large", AT_ONCE),
        ("small", AT_ONCE),
        ("LARGE", WINDOW),
        ("small", AT_ONCE),
    ] {
        assert_eq!(at(model).await, waits, "{model}");
    }
    let all = tracker.stats();
    assert_eq!(stats(&all, "openai/large").total_requests, 3);
    assert_eq!(stats(&all, "openai/small").total_requests, 2);
    all.iter().for_each(assert_at_rest);
}

#[tokio::test(start_paused = true)]
async fn the_model_is_found_wherever_it_is_named() {
    let tracker = RateLimitTracker::new();
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "m", 10))
        .alias("m-2026-11-24", "m")
        .layer(OK);
    let azure = Request::post("http://x.test/openai/deployments/m/chat/completions")
        .body(Body::default())
        .unwrap();
    let mut said = Request::post("http://gateway.test/v1/chat")
        .body(Body::default())
        .unwrap();
    said.extensions_mut().insert(RequestModel::new("m"));
    for request in [request("m"), request("m-2026-11-24"), azure, said] {
        assert_eq!(send(&service, request).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(tracker.stats()[0].total_requests, 4);
}

#[tokio::test(start_paused = true)]
async fn other_models_are_refused_let_through_or_limited() {
    let tracker = RateLimitTracker::new();
    let layer = PerModelRateLimitLayer::new().budget(budget(&tracker, "m", 1));
    let nameless = || {
        Request::post("http://provider.test/v1/chat/completions")
            .body(Body::default())
            .unwrap()
    };

    let strict = layer.clone().layer(OK);
    let RateLimitError::UnknownModel(error) = refused(&strict, request("x")).await else {
        panic!("x is unknown");
    };
    assert_eq!(error.model.as_deref(), Some("x"));
    assert_eq!(error.to_string(), r#"no budget is for the model "x""#);
    let error = refused(&strict, nameless()).await;
    assert!(matches!(error, RateLimitError::UnknownModel(_)), "{error}");
    // A list of models is for none of them.
    let mut listing = nameless();
    *listing.method_mut() = Method::GET;
    assert_eq!(send(&strict, listing).await.unwrap(), StatusCode::OK);

    let open = layer.clone().others(OtherModels::allow()).layer(OK);
    for _ in 0..100 {
        let (elapsed, sent) = timed(send(&open, request("x"))).await;
        assert_eq!((elapsed, sent.unwrap()), (AT_ONCE, StatusCode::OK));
    }

    let others = OtherModels::limit(budget(&tracker, "default", 1));
    let limited = layer.others(others).layer(OK);
    let at = async |request| timed(send(&limited, request)).await.0;
    assert_eq!(at(request("x")).await, AT_ONCE);
    assert_eq!(at(request("y")).await, AT_ONCE);
    assert_eq!(at(nameless()).await, AT_ONCE);
    assert_eq!(at(request("x")).await, WINDOW);
    tracker.stats().iter().for_each(assert_at_rest);
}

/// Whoever invents names gets no more memory for it, and no more quota than one budget each.
#[tokio::test(start_paused = true)]
async fn invented_models_share_a_budget_in_the_end() {
    let tracker = RateLimitTracker::new();
    let others = OtherModels::limit(budget(&tracker, "default", 1_000_000));
    let service = PerModelRateLimitLayer::new().others(others).layer(OK);
    for number in 0..3_000 {
        send(&service, request(&format!("m{number}")))
            .await
            .unwrap();
    }
    let all = tracker.stats();
    assert_eq!(all.len(), 1_024 + 1);
    assert_eq!(stats(&all, "openai/any").total_requests, 3_000 - 1_024);
}

#[tokio::test(start_paused = true)]
async fn each_account_has_budgets_of_its_own() {
    let tracker = RateLimitTracker::new();
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "m", 1))
        .accounts(Accounts::by_credential())
        .layer(OK);
    let with = |key: &str| {
        let mut request = request("m");
        let value = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let at = async |request| timed(send(&service, request)).await.0;
    assert_eq!(at(with("sk-one")).await, AT_ONCE);
    assert_eq!(at(with("sk-two")).await, AT_ONCE);
    assert_eq!(at(request("m")).await, AT_ONCE);
    assert_eq!(at(with("sk-one")).await, WINDOW);
    let all = tracker.stats();
    assert_eq!(all.len(), 3);
    assert!(
        all.iter().all(|stats| !stats.pool.contains("sk-")),
        "{all:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded() {
    let tracker = RateLimitTracker::new();
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "m", 1))
        .max_waiting(2)
        .layer(OK);
    send(&service, request("m")).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let service = service.clone();
        waiting.push(tokio::spawn(async move {
            timed(send(&service, request("m"))).await.0
        }));
    }
    tokio::task::yield_now().await;
    let RateLimitError::LineFull(error) = refused(&service, request("m")).await else {
        panic!("two wait");
    };
    assert_eq!(error.waiting, 2);
    for (task, waits) in waiting.into_iter().zip([WINDOW, 2 * WINDOW]) {
        assert_eq!(task.await.unwrap(), waits);
    }
    // There is room again.
    assert_eq!(timed(send(&service, request("m"))).await.0, WINDOW);
    assert_at_rest(&tracker.stats()[0]);
}

/// Ready for one is ready for all: nothing is held by readiness, so nothing can be kept by it.
#[tokio::test(start_paused = true)]
async fn readiness_takes_nothing() {
    let tracker = RateLimitTracker::new();
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "m", 1))
        .layer(OK);
    let mut kept: Vec<_> = (0..10).map(|_| service.clone()).collect();
    for clone in &mut kept {
        clone.ready().await.unwrap();
    }
    // Futures that are dropped before or after their first poll cost nothing, or one.
    let mut clone = service.clone();
    drop(clone.ready().await.unwrap().call(request("m")));
    assert_eq!(timed(send(&service, request("m"))).await.0, AT_ONCE);
    {
        let mut waiting = pin!(clone.ready().await.unwrap().call(request("m")));
        let poll = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Pending));
    }
    assert_eq!(timed(send(&service, request("m"))).await.0, WINDOW);
    assert_at_rest(&tracker.stats()[0]);
}

/// Who waits for a budget keeps no place of the inner service from another model.
#[tokio::test(start_paused = true)]
async fn who_waits_holds_nothing_of_the_inner_service() {
    let tracker = RateLimitTracker::new();
    let inner = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .service(OK);
    let inner = inner.map_err(BoxError::from);
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "full", 1))
        .budget(budget(&tracker, "free", 9))
        .layer(inner);
    send(&service, request("full")).await.unwrap();
    let mut waiting = pin!(send(&service, request("full")));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    assert_eq!(timed(send(&service, request("free"))).await.0, AT_ONCE);
    assert_eq!(timed(waiting).await.0, WINDOW);
}

/// What is sent without a limit passes as if the layer were not there.
#[tokio::test(start_paused = true)]
async fn without_a_limit_everything_passes_unchanged() {
    #[derive(Clone, Debug, PartialEq)]
    struct Extension(u32);

    let inner = service_fn(|request: Request<Body>| async move {
        if request.uri().path() == "/dead" {
            return Err(BoxError::from("dead"));
        }
        let body = request.into_body().collect().await?.to_bytes();
        let response = Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .header("x-a", "b")
            .extension(Extension(7));
        Ok(response.body(Full::new(body))?)
    });
    let service = PerModelRateLimitLayer::new()
        .others(OtherModels::allow())
        .layer(inner);
    let response = service.clone().oneshot(request("x")).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers()["x-a"], "b");
    assert_eq!(response.extensions().get(), Some(&Extension(7)));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"messages":[],"model":"x"}"#);
    let mut dead = request("x");
    *dead.uri_mut() = "/dead".parse().unwrap();
    assert_eq!(send(&service, dead).await.unwrap_err().to_string(), "dead");
}

/// The accounts of all models come to rest, whoever is cancelled when.
#[tokio::test(start_paused = true)]
async fn random_callers_leave_nothing_behind() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tracker = RateLimitTracker::new();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let inner = service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok::<_, Infallible>(Response::new(Body::default()))
            }
        });
        let service = PerModelRateLimitLayer::new()
            .budget(budget(&tracker, "a", 5))
            .budget(budget(&tracker, "b", 7))
            .others(OtherModels::limit(budget(&tracker, "default", 3)))
            .layer(inner);
        let mut callers = Vec::new();
        for _ in 0..100 {
            let model = ["a", "b", "c", "d"][rng.usize(..4)];
            let patience = Duration::from_millis(rng.u64(..60_000));
            let service = service.clone();
            callers.push(tokio::spawn(async move {
                let _ = tokio::time::timeout(patience, send(&service, request(model))).await;
            }));
        }
        for caller in callers {
            caller.await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        let all = tracker.stats();
        all.iter().for_each(assert_at_rest);
        let counted: u64 = all.iter().map(|stats| stats.total_requests).sum();
        assert_eq!(counted, sent.load(Ordering::Relaxed) as u64, "seed {seed}");
    }
}

#[test]
fn types_go_where_stacks_want_them() {
    fn is<T: Send + Sync + 'static>() {}
    is::<PerModelRateLimitLayer>();
    is::<PerModelRateLimit<support::Answers>>();
    is::<ResponseFuture<support::Answers, Body, Body>>();
    let service = PerModelRateLimitLayer::new().layer(OK);
    let _ = BoxCloneSyncService::new(service);
}
