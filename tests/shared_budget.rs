//! Models with budgets of their own that share another: admitted by both in one step, or by neither.

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use proactive_rate_limit::per_model::{Accounts, PerModelRateLimit, PerModelRateLimitLayer};
use proactive_rate_limit::{
    BoxError, Charge, Limit, Margin, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker,
    Spacing, Stats, Tier, TokenEstimate,
};
use support::{Answers, Body, OK, assert_at_rest, exactly, timed};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const WINDOW: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::ZERO;
const GRACE: Duration = Duration::from_millis(100);

fn budget(
    tracker: &RateLimitTracker,
    model: &str,
    limits: impl IntoIterator<Item = Limit>,
) -> ProactiveRateLimitLayer {
    let tier = Tier::builder("openai", model)
        .limits(limits)
        .charge(Charge::Actual)
        .build();
    ProactiveRateLimitLayer::new(tier.unwrap())
        .tracker(tracker)
        .spacing(Spacing::Off)
        .max_skew(Duration::ZERO)
}

/// Models `a`, `b` and `c` with so many requests per window each, and an organisation with so many.
fn layer(tracker: &RateLimitTracker, each: [u64; 3], whole: u64) -> PerModelRateLimitLayer {
    let layer = PerModelRateLimitLayer::new().shared(budget(
        tracker,
        "organisation",
        [exactly(whole, WINDOW)],
    ));
    ["a", "b", "c"]
        .iter()
        .zip(each)
        .fold(layer, |layer, (model, each)| {
            layer.budget(budget(tracker, model, [exactly(each, WINDOW)]))
        })
}

fn request(model: &str) -> Request<Body> {
    Request::post("http://provider.test/v1/chat/completions")
        .body(Full::from(format!(r#"{{"model":"{model}"}}"#)))
        .unwrap()
}

async fn send(service: PerModelRateLimit<Answers>, model: &'static str) -> Duration {
    let (waited, sent) = timed(service.oneshot(request(model))).await;
    sent.unwrap();
    waited
}

fn at_rest(tracker: &RateLimitTracker) -> Vec<Stats> {
    let all = tracker.stats();
    all.iter().for_each(assert_at_rest);
    all
}

#[tokio::test(start_paused = true)]
async fn all_models_together_keep_the_shared_limit() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [2, 9, 9], 4).layer(OK);
    // Two of a are its limit, four are everybody's.
    for (model, waits) in [
        ("a", AT_ONCE),
        ("a", AT_ONCE),
        ("b", AT_ONCE),
        ("c", AT_ONCE),
        ("c", WINDOW),
        ("a", AT_ONCE),
    ] {
        assert_eq!(send(service.clone(), model).await, waits, "{model}");
    }
    let all = at_rest(&tracker);
    // Each shows its own limit and the one that it shares, with what all have used of that.
    let a = &all[0];
    assert_eq!(a.pool, "openai/a@custom");
    let used: Vec<_> = a
        .limits
        .iter()
        .map(|limit| (limit.limit, limit.used))
        .collect();
    assert_eq!(used, [(2, 1), (4, 2)]);
}

/// Who waits for its own budget has taken nothing of the shared one.
#[tokio::test(start_paused = true)]
async fn nothing_of_one_is_held_while_the_other_is_waited_for() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [1, 9, 9], 4).layer(OK);
    send(service.clone(), "a").await;
    let waiting = tokio::spawn(send(service.clone(), "a"));
    tokio::task::yield_now().await;
    for _ in 0..3 {
        assert_eq!(send(service.clone(), "b").await, AT_ONCE);
    }
    assert_eq!(waiting.await.unwrap(), WINDOW);
    at_rest(&tracker);
}

#[tokio::test(start_paused = true)]
async fn models_that_wait_for_the_shared_budget_come_in_order() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [9, 9, 9], 1).layer(OK);
    send(service.clone(), "c").await;
    let mut waiting = Vec::new();
    for model in ["b", "a", "c", "a", "b"] {
        waiting.push(tokio::spawn(send(service.clone(), model)));
        tokio::task::yield_now().await;
    }
    let mut waited = Vec::new();
    for task in waiting {
        waited.push(task.await.unwrap());
    }
    // Among models by when they began to wait; each then goes behind the others.
    let windows = [1, 2, 3, 5, 4];
    let expected: Vec<_> = windows.into_iter().map(|number| WINDOW * number).collect();
    assert_eq!(waited, expected);
    at_rest(&tracker);
}

/// A caller that nobody polls any more keeps the others by a grace at most.
#[tokio::test(start_paused = true)]
async fn a_dead_waiter_of_one_model_delays_the_others_briefly() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [9, 9, 9], 1).layer(OK);
    send(service.clone(), "c").await;
    let mut dead: Vec<_> = (0..100)
        .map(|_| Box::pin(service.clone().oneshot(request("a"))))
        .collect();
    for future in &mut dead {
        assert!(futures_util::poll!(future.as_mut()).is_pending());
    }
    let waited = send(service.clone(), "b").await;
    assert!(waited <= WINDOW + 2 * GRACE, "{waited:?}");
    // And so does the next one.
    let waited = send(service.clone(), "c").await;
    assert!(waited <= WINDOW + 2 * GRACE, "{waited:?}");
    drop(dead);
    at_rest(&tracker);
}

/// What a model was granted and cannot use is not kept from another.
#[tokio::test(start_paused = true)]
async fn an_unused_grant_of_one_model_comes_back_to_the_others() {
    #[derive(Clone)]
    struct NeverReady;

    impl Service<Request<Body>> for NeverReady {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }

    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [9, 9, 9], 1).layer(OK);
    // Called without being ready, so that readiness is waited for with the grant in hand.
    let mut stuck = layer(&tracker, [9, 9, 9], 1).layer(NeverReady);
    send(service.clone(), "c").await;
    let mut granted = pin!(stuck.call(request("a")));
    let mut poll = || {
        let mut context = Context::from_waker(Waker::noop());
        assert!(granted.as_mut().poll(&mut context).is_pending());
    };
    poll();
    tokio::time::sleep(WINDOW).await;
    poll();
    let waited = send(service.clone(), "b").await;
    assert!(waited <= 3 * GRACE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_larger_than_the_shared_limit_is_refused() {
    let tracker = RateLimitTracker::new();
    let tokens = |amount| Limit::tokens(amount).per(WINDOW).margin(Margin::Units(0));
    let service = PerModelRateLimitLayer::new()
        .budget(budget(&tracker, "a", [tokens(1_000)]))
        .shared(budget(&tracker, "organisation", [tokens(100)]))
        .layer(OK);
    let mut large = request("a");
    large.extensions_mut().insert(TokenEstimate::new(101, 0));
    let error = service.clone().oneshot(large).await.unwrap_err();
    let Some(RateLimitError::RequestTooLarge(error)) = error.downcast_ref() else {
        panic!("{error}");
    };
    assert_eq!((error.effective, error.requested), (100, 101));
    let mut fits = request("a");
    fits.extensions_mut().insert(TokenEstimate::new(100, 0));
    assert!(service.oneshot(fits).await.is_ok());
    at_rest(&tracker);
}

#[tokio::test(start_paused = true)]
async fn each_account_has_a_shared_budget_of_its_own() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [9, 9, 9], 1)
        .accounts(Accounts::by_credential())
        .layer(OK);
    let with = |model, key: &str| {
        let mut request = request(model);
        let value = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let at = async |request| timed(service.clone().oneshot(request)).await.0;
    assert_eq!(at(with("a", "one")).await, AT_ONCE);
    assert_eq!(at(with("b", "two")).await, AT_ONCE);
    assert_eq!(at(with("b", "one")).await, WINDOW);
    at_rest(&tracker);
}

/// One name is one budget: the same model cannot be limited with and without the organisation.
#[tokio::test(start_paused = true)]
async fn budgets_do_not_change_what_they_are() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [9, 9, 9], 1).layer(OK);
    send(service, "a").await;
    for (model, amount) in [("a", 9), ("organisation", 1)] {
        let alone = budget(&tracker, model, [exactly(amount, WINDOW)]).layer(OK);
        let error = alone.oneshot(request(model)).await.unwrap_err();
        let error = error.downcast_ref().unwrap();
        assert!(
            matches!(error, RateLimitError::ConflictingPool(_)),
            "{error}"
        );
    }
}

/// Random models, costs, settlements and cancels: no interval of a window holds more than any limit,
/// everybody comes to an end, and little of what binds is wasted.
#[tokio::test(start_paused = true)]
async fn random_loads_keep_every_limit() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tracker = RateLimitTracker::new();
        let models = ["a", "b", "c"];
        let tokens = |amount| Limit::tokens(amount).per(WINDOW).margin(Margin::Units(0));
        let whole = [rng.u64(3..20), rng.u64(1_000..5_000)];
        let each: Vec<[u64; 2]> = models
            .iter()
            .map(|_| [rng.u64(2..15), rng.u64(1_000..4_000)])
            .collect();
        let limits = |[requests, amount]: [u64; 2]| [exactly(requests, WINDOW), tokens(amount)];
        let layer =
            PerModelRateLimitLayer::new().shared(budget(&tracker, "organisation", limits(whole)));
        let layer = models
            .iter()
            .zip(&each)
            .fold(layer, |layer, (model, each)| {
                layer.budget(budget(&tracker, model, limits(*each)))
            });
        type Log = Arc<Mutex<Vec<(Instant, String, u64)>>>;
        let log: Log = Log::default();
        let seen = Arc::clone(&log);
        let inner = service_fn(move |request: Request<Body>| {
            let tokens = request.extensions().get::<TokenEstimate>().unwrap().input;
            let model = request.headers()["x-model"].to_str().unwrap().to_owned();
            seen.lock().unwrap().push((Instant::now(), model, tokens));
            async { Ok::<_, Infallible>(Response::new(Body::default())) }
        });
        let service = layer.layer(inner);
        let mut callers = Vec::new();
        for _ in 0..150 {
            let model = models[rng.usize(..models.len())];
            let mut request = request(model);
            let tokens = rng.u64(1..800);
            request
                .extensions_mut()
                .insert(TokenEstimate::new(tokens, 0));
            request
                .headers_mut()
                .insert("x-model", model.parse().unwrap());
            let starts = Duration::from_millis(rng.u64(..20_000));
            let gives_up = match rng.u8(..5) {
                0 => Duration::from_millis(rng.u64(..30_000)),
                _ => Duration::from_secs(100_000),
            };
            let service = service.clone();
            callers.push(tokio::spawn(async move {
                tokio::time::sleep(starts).await;
                match tokio::time::timeout(gives_up, service.oneshot(request)).await {
                    Ok(sent) => sent.map(|_| ()),
                    Err(_) => Ok::<_, BoxError>(()),
                }
            }));
        }
        for caller in callers {
            // The wait is bounded by 300 s; nothing else may refuse.
            if let Err(error) = caller.await.unwrap() {
                let error: &RateLimitError = error.downcast_ref().unwrap();
                assert!(
                    matches!(error, RateLimitError::WaitTooLong(_)),
                    "seed {seed}: {error}"
                );
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        at_rest(&tracker);
        let log = log.lock().unwrap();
        assert!(log.len() > 40, "seed {seed}: {} sent", log.len());
        for (from, ..) in log.iter() {
            let mut used: HashMap<&str, [u64; 2]> = HashMap::new();
            let within = log
                .iter()
                .filter(|(at, ..)| from <= at && *at < *from + WINDOW);
            for (_, model, tokens) in within {
                for name in [model.as_str(), "organisation"] {
                    let used = used.entry(name).or_default();
                    *used = [used[0] + 1, used[1] + tokens];
                }
            }
            let all = models.iter().copied().zip(each.iter().copied());
            for (name, limit) in all.chain([("organisation", whole)]) {
                let used = used.get(name).copied().unwrap_or_default();
                let holds = used[0] <= limit[0] && used[1] <= limit[1];
                assert!(holds, "seed {seed}: {name} {used:?} of {limit:?}");
            }
        }
    }
}

/// The shared limit is used to the full, by all models alike, as long as all of them want it.
#[tokio::test(start_paused = true)]
async fn a_saturated_budget_is_used_up_and_shared() {
    let tracker = RateLimitTracker::new();
    let service = layer(&tracker, [60, 60, 60], 100).layer(OK);
    let end = Instant::now() + 10 * WINDOW;
    let mut callers = Vec::new();
    for caller in 0..90 {
        let service = service.clone();
        callers.push(tokio::spawn(async move {
            while Instant::now() < end {
                send(service.clone(), ["a", "b", "c"][caller % 3]).await;
            }
        }));
    }
    tokio::time::sleep_until(end - Duration::from_millis(1)).await;
    let sent: Vec<_> = tracker
        .stats()
        .iter()
        .map(|stats| stats.total_requests)
        .collect();
    println!("{sent:?} of 1,000");
    assert!(
        (990..=1_000).contains(&sent.iter().sum::<u64>()),
        "{sent:?}"
    );
    assert!(
        sent.iter().all(|sent| (300..=370).contains(sent)),
        "{sent:?}"
    );
    for caller in callers {
        caller.await.unwrap();
    }
    at_rest(&tracker);
}

/// Many threads at once: nothing deadlocks, nothing is lost, nothing is counted twice.
#[test]
fn threads_share_a_budget() {
    let tracker = RateLimitTracker::new();
    let window = Duration::from_millis(20);
    let layer = PerModelRateLimitLayer::new().shared(budget(
        &tracker,
        "organisation",
        [exactly(60, window)],
    ));
    let layer = ["a", "b", "c"].iter().fold(layer, |layer, model| {
        layer.budget(budget(&tracker, model, [exactly(30, window)]))
    });
    let service = layer.layer(OK);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut callers = Vec::new();
        for caller in 0..24 {
            let service = service.clone();
            callers.push(tokio::spawn(async move {
                for _ in 0..50 {
                    send(service.clone(), ["a", "b", "c"][caller % 3]).await;
                }
            }));
        }
        for caller in callers {
            caller.await.unwrap();
        }
    });
    let sent: u64 = at_rest(&tracker)
        .iter()
        .map(|stats| stats.total_requests)
        .sum();
    assert_eq!(sent, 24 * 50);
}
