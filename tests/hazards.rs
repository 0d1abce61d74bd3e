//! The ways in which tower's contracts strand a limiter that waits in `poll_ready`. Each hangs
//! tower's own `ConcurrencyLimit`; none may delay anybody here by more than a few graces.

mod support;

use std::time::Duration;

use http::{Request, Response, StatusCode};
use proactive_rate_limit::{BoxError, ProactiveRateLimit, ProactiveRateLimitLayer};
use support::{Answers, Body, OK, assert_at_rest, assert_settled, exactly, layer, request, timed};
use tokio::time::{Instant, timeout};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::retry::{Policy, Retry};
use tower::{Layer, Service, ServiceExt};

type Limited = ProactiveRateLimit<Answers>;

const WINDOW: Duration = Duration::from_secs(60);
/// How long what was granted is kept for whoever does not use it.
const GRACE: Duration = Duration::from_millis(100);
/// How long an offer stands that nobody comes for.
const OFFER: Duration = Duration::from_millis(10);

/// How long `dead` waiters ahead may delay a live one: offers double until they reach it.
fn delay(dead: u32) -> Duration {
    OFFER * (dead + 1).next_power_of_two().trailing_zeros()
}

/// One request per window, and that one is used up.
async fn exhausted() -> (ProactiveRateLimitLayer, Limited) {
    let layer = layer([exactly(1, WINDOW)]);
    let mut service = layer.layer(OK);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    (layer, service)
}

/// The next admission must come when the window ends, plus what the dead may cost.
async fn assert_live_is_served(layer: &ProactiveRateLimitLayer, start: Instant, dead: u32) {
    let mut live = layer.layer(OK);
    let response = live.ready().await.unwrap().call(request()).await;
    response.unwrap();
    let late = start.elapsed() - WINDOW;
    assert!(late <= delay(dead), "{late:?} late behind {dead} dead");
    assert_settled(&layer.stats().unwrap());
}

/// A clone whose `ready()` was given up and that is kept.
async fn kept_clone(layer: &ProactiveRateLimitLayer) -> Limited {
    let mut kept = layer.layer(OK);
    timeout(Duration::from_millis(1), kept.ready())
        .await
        .unwrap_err();
    kept
}

/// A buffer whose only request was cancelled while its worker waited for the pool.
async fn cancelled_message(
    layer: &ProactiveRateLimitLayer,
) -> Buffer<Request<Body>, <Limited as Service<Request<Body>>>::Future> {
    let mut buffer = Buffer::new(layer.layer(OK), 4);
    let call = buffer.ready().await.unwrap().call(request());
    timeout(Duration::from_millis(1), call).await.unwrap_err();
    buffer
}

/// A shedding clone that has seen `Pending` and goes idle.
async fn idle_shed(layer: &ProactiveRateLimitLayer) -> LoadShed<Limited> {
    let mut shed = LoadShed::new(layer.layer(OK));
    let refused = shed.ready().await.unwrap().call(request()).await;
    assert!(
        refused
            .unwrap_err()
            .is::<tower::load_shed::error::Overloaded>()
    );
    shed
}

#[tokio::test(start_paused = true)]
async fn kept_clone_delays_by_one_offer() {
    let start = Instant::now();
    let (layer, service) = exhausted().await;
    let mut a = service.clone();
    timeout(Duration::from_secs(1), a.ready())
        .await
        .unwrap_err();
    let mut b = service.clone();
    b.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(start.elapsed(), WINDOW + OFFER);
    drop(a);
    drop(b);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn kept_clone_behind_a_thousand_dead() {
    let start = Instant::now();
    let (layer, _service) = exhausted().await;
    let mut kept = Vec::new();
    for _ in 0..1000 {
        kept.push(kept_clone(&layer).await);
    }
    assert_live_is_served(&layer, start, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn kept_clone_that_is_polled_again_is_served_at_its_old_place() {
    let start = Instant::now();
    let (_layer, service) = exhausted().await;
    let mut a = service.clone();
    timeout(Duration::from_secs(1), a.ready())
        .await
        .unwrap_err();
    let mut b = service.clone();
    b.ready().await.unwrap().call(request()).await.unwrap();

    // Absent when its turn came; first again now that it is back, though `c` asked before.
    let mut c = service.clone();
    let (a, c) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            a.ready().await.unwrap().call(request()).await.unwrap();
            start.elapsed()
        },
        async {
            c.ready().await.unwrap().call(request()).await.unwrap();
            start.elapsed()
        }
    );
    assert_eq!(a, 2 * WINDOW + OFFER);
    assert_eq!(c, 3 * WINDOW + OFFER);
}

#[tokio::test(start_paused = true)]
async fn cancelled_message_delays_by_one_offer() {
    let start = Instant::now();
    let (layer, _service) = exhausted().await;
    let _a = cancelled_message(&layer).await;
    let mut b = Buffer::new(layer.layer(OK), 4);
    b.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(start.elapsed(), WINDOW + OFFER);
}

#[tokio::test(start_paused = true)]
async fn cancelled_message_behind_a_thousand_dead() {
    let start = Instant::now();
    let (layer, _service) = exhausted().await;
    let mut kept = Vec::new();
    for _ in 0..1000 {
        kept.push(cancelled_message(&layer).await);
    }
    assert_live_is_served(&layer, start, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn idle_shed_delays_by_one_offer() {
    let start = Instant::now();
    let (layer, service) = exhausted().await;
    let _shed = idle_shed(&layer).await;
    let mut b = service.clone();
    b.ready().await.unwrap().call(request()).await.unwrap();
    assert_eq!(start.elapsed(), WINDOW + OFFER);
}

#[tokio::test(start_paused = true)]
async fn idle_shed_behind_a_thousand_dead() {
    let start = Instant::now();
    let (layer, _service) = exhausted().await;
    let mut kept = Vec::new();
    for _ in 0..1000 {
        kept.push(idle_shed(&layer).await);
    }
    assert_live_is_served(&layer, start, 1000).await;
}

/// Tries again as long as the answer is a server error.
#[derive(Clone)]
struct RetryServerErrors(usize);

impl<R> Policy<Request<Body>, Response<R>, BoxError> for RetryServerErrors {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<R>, BoxError>,
    ) -> Option<Self::Future> {
        let failed = result
            .as_ref()
            .is_ok_and(|response| response.status().is_server_error());
        self.0 = self.0.checked_sub(1)?;
        failed.then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

async fn retry_behind_a_ready(layer: &ProactiveRateLimitLayer, start: Instant) -> Duration {
    let failing = layer.layer(Answers(StatusCode::BAD_GATEWAY));
    let mut service = Retry::new(RetryServerErrors(3), failing);
    let first = service.ready().await.unwrap().call(request());
    // The room that `ready` wins for the second request is what the retries of the first need.
    let (first, ready) = tokio::join!(first, service.ready());
    assert_eq!(first.unwrap().status(), StatusCode::BAD_GATEWAY);
    ready.unwrap();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn retry_behind_a_ready_delays_by_one_grace() {
    let start = Instant::now();
    let layer = layer([exactly(1, WINDOW)]);
    let elapsed = retry_behind_a_ready(&layer, start).await;
    // One attempt and three retries, at 0, 1, 2 and 3 windows. The ready one holds each room for a
    // grace at most, and only once: afterwards it is served again in its future.
    assert!(
        elapsed >= 3 * WINDOW && elapsed <= 3 * WINDOW + 3 * GRACE,
        "{elapsed:?}"
    );
    assert_eq!(layer.stats().unwrap().total_requests, 4);
    assert_settled(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn retry_behind_a_ready_and_a_thousand_dead() {
    let start = Instant::now();
    let (layer, _service) = exhausted().await;
    let mut kept = Vec::new();
    for _ in 0..1000 {
        kept.push(kept_clone(&layer).await);
    }
    let elapsed = retry_behind_a_ready(&layer, start).await;
    let bound = 4 * WINDOW + delay(1000) + 4 * GRACE;
    assert!(elapsed >= 4 * WINDOW && elapsed <= bound, "{elapsed:?}");
}

fn stalled_runtime(dead: u32) {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let (layer, _service) = first.block_on(exhausted());
    // These wait on the first runtime, whose driver would wake the next one. It is kept, and from
    // here on nobody runs it.
    let _kept: Vec<Limited> = first.block_on(async {
        let mut kept = Vec::new();
        for _ in 0..dead {
            kept.push(kept_clone(&layer).await);
        }
        kept
    });
    second.block_on(async {
        let mut live = layer.layer(OK);
        let (elapsed, response) =
            timed(async { live.ready().await.unwrap().call(request()).await }).await;
        response.unwrap();
        assert!(elapsed <= WINDOW + delay(dead), "{elapsed:?}");
    });
    assert_settled(&layer.stats().unwrap());
}

#[test]
fn stalled_runtime_holds_up_no_other_runtime() {
    stalled_runtime(1);
}

#[test]
fn stalled_runtime_with_a_thousand_dead() {
    stalled_runtime(1000);
}

#[tokio::test(start_paused = true)]
async fn every_hazard_at_once() {
    let start = Instant::now();
    let layer = layer([exactly(1, WINDOW)]).max_wait(20 * WINDOW);
    let mut service = layer.layer(OK);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    let (mut clones, mut buffers, mut sheds) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..1000 {
        match n % 3 {
            0 => clones.push(kept_clone(&layer).await),
            1 => buffers.push(cancelled_message(&layer).await),
            _ => sheds.push(idle_shed(&layer).await),
        }
    }
    // Live ones among them, in every tenth place of a second line of the dead.
    let mut live = Vec::new();
    for n in 0..100 {
        if n % 10 == 0 {
            let mut service = service.clone();
            live.push(tokio::spawn(async move {
                service
                    .ready()
                    .await
                    .unwrap()
                    .call(request())
                    .await
                    .unwrap();
                Instant::now()
            }));
            tokio::task::yield_now().await;
        } else {
            clones.push(kept_clone(&layer).await);
        }
    }
    let mut served = Vec::new();
    for task in live {
        served.push(task.await.unwrap() - start);
    }
    assert!(served.is_sorted(), "first come, first served: {served:?}");
    for (n, elapsed) in served.iter().enumerate() {
        let ideal = WINDOW * (u32::try_from(n).unwrap() + 1);
        let late = *elapsed - ideal;
        assert!(late <= delay(1090) + 10 * GRACE, "{n}: {late:?} late");
    }
    assert_settled(&layer.stats().unwrap());
}

/// What is granted and never called is taken back while others wait, and won again if it is.
#[tokio::test(start_paused = true)]
async fn a_ready_that_is_never_called_delays_by_one_grace() {
    let layer = layer([exactly(1, WINDOW)]);
    let mut idle = layer.layer(OK);
    idle.ready().await.unwrap();
    let mut other = layer.layer(OK);
    let (elapsed, response) =
        timed(async { other.ready().await.unwrap().call(request()).await }).await;
    response.unwrap();
    assert_eq!(elapsed, GRACE);
    assert_eq!(layer.stats().unwrap().lapsed, 1);

    // It said it was ready, so it must stay so; its request is admitted in its future.
    assert!(idle.ready().now_or_never_ready());
    let (elapsed, response) = timed(idle.call(request())).await;
    response.unwrap();
    assert_eq!(elapsed, WINDOW);
    assert_settled(&layer.stats().unwrap());
}

/// A reservation does not age while nobody else wants it.
#[tokio::test(start_paused = true)]
async fn a_ready_is_kept_while_nobody_waits() {
    let layer = layer([exactly(1, WINDOW)]);
    let mut service = layer.layer(OK);
    service.ready().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let (elapsed, response) = timed(service.call(request())).await;
    response.unwrap();
    assert_eq!(elapsed, Duration::ZERO);
    assert_eq!(layer.stats().unwrap().lapsed, 0);
}

#[tokio::test(start_paused = true)]
async fn response_futures_polled_never_once_or_late_block_nobody() {
    let layer = layer([exactly(2, WINDOW)]);
    let mut service = layer.layer(OK);
    let never = service.ready().await.unwrap().call(request());
    let late = service.ready().await.unwrap().call(request());
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut service = service.clone();
        others.push(tokio::spawn(async move {
            service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
        }));
    }
    // Both reservations are taken back, so the others are not held up for ever.
    for other in others {
        other.await.unwrap();
    }
    late.await.unwrap();
    assert_eq!(layer.stats().unwrap().total_requests, 4);
    drop(never);
    assert_at_rest(&layer.stats().unwrap());
}

/// Somebody waiting for room in the pool gives back the inner service's own permit.
#[tokio::test(start_paused = true)]
async fn a_waiting_future_does_not_sit_on_an_inner_permit() {
    let inner = ConcurrencyLimit::new(OK, 1);
    let busy = layer([exactly(1, WINDOW)]);
    let free = layer([exactly(100, WINDOW)]);
    let mut busy_service = busy.layer(inner.clone());
    let mut free_service = free.layer(inner);
    busy_service.ready().await.unwrap();
    // It lapses, and somebody else uses it up.
    let mut thief = busy.layer(OK);
    thief.ready().await.unwrap().call(request()).await.unwrap();
    let waiting = tokio::spawn(busy_service.call(request()));
    tokio::task::yield_now().await;
    let (elapsed, response) =
        timed(async { free_service.ready().await.unwrap().call(request()).await }).await;
    response.unwrap();
    assert_eq!(elapsed, Duration::ZERO);
    waiting.await.unwrap().unwrap();
}

trait NowOrNever {
    fn now_or_never_ready(self) -> bool;
}

impl<F: Future> NowOrNever for F {
    fn now_or_never_ready(self) -> bool {
        let future = std::pin::pin!(self);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut cx).is_ready()
    }
}
