//! How to bound a request: its wait, its head, its body, and all of it.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use proactive_rate_limit::per_model::PerModelRateLimitLayer;
use proactive_rate_limit::{
    BoxError, Deadline, Limit, Margin, ProactiveRateLimitLayer, RateLimitError, Spacing,
};
use support::{Body, OK, assert_at_rest, exactly, layer, request, timed};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);

/// One request per window.
fn narrow() -> ProactiveRateLimitLayer {
    layer([exactly(1, WINDOW)]).max_skew(Duration::ZERO)
}

fn by(deadline: Deadline) -> Request<Body> {
    let mut request = request();
    request.extensions_mut().insert(deadline);
    request
}

fn too_long<T>(result: Result<T, BoxError>) -> Duration {
    let error = result.err().expect("it is refused");
    match error.downcast_ref() {
        Some(RateLimitError::WaitTooLong(error)) => error.max_wait,
        _ => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_met_refuses_at_once() {
    let layer = narrow();
    let service = layer.layer(OK);
    service.clone().oneshot(request()).await.unwrap();
    // Called without being ready, as whoever chooses among services does.
    let mut other = service.clone();
    let (elapsed, refused) = timed(other.call(by(Deadline::within(9 * SECOND)))).await;
    assert_eq!((elapsed, too_long(refused)), (Duration::ZERO, 9 * SECOND));
    let (elapsed, sent) = timed(other.call(by(Deadline::within(11 * SECOND)))).await;
    assert_eq!((elapsed, sent.is_ok()), (WINDOW, true));
    assert_at_rest(&layer.stats().unwrap());
    assert_eq!(layer.stats().unwrap().total_requests, 2);
}

/// By a deadline that comes while others are ahead, which nobody can be certain of.
#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_exactly_then() {
    let layer = narrow();
    let service = layer.layer(OK);
    service.clone().oneshot(request()).await.unwrap();
    let ahead = tokio::spawn(timed(service.clone().oneshot(request())));
    tokio::task::yield_now().await;
    let deadline = Deadline::at(Instant::now() + 15 * SECOND);
    let mut other = service.clone();
    let mut late = other.call(by(deadline));
    // It counts from when it was set, not from when somebody first looks.
    sleep(SECOND).await;
    let (elapsed, refused) = timed(&mut late).await;
    assert_eq!((elapsed, too_long(refused)), (14 * SECOND, 15 * SECOND));
    assert_eq!(ahead.await.unwrap().0, WINDOW);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_called_too_late_is_not_sent() {
    let layer = narrow();
    let mut service = layer.layer(OK);
    let passed = Deadline::at(Instant::now());
    sleep(SECOND).await;
    let refused = service.ready().await.unwrap().call(by(passed)).await;
    assert_eq!(too_long(refused), Duration::ZERO);
    // What was granted for it is free again.
    let (elapsed, sent) = timed(service.oneshot(request())).await;
    assert_eq!((elapsed, sent.is_ok()), (Duration::ZERO, true));
    assert_eq!(layer.stats().unwrap().total_requests, 1);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn max_wait_holds_beside_a_deadline() {
    let service = narrow().max_wait(5 * SECOND).layer(OK);
    service.clone().oneshot(request()).await.unwrap();
    let mut other = service.clone();
    let refused = other.call(by(Deadline::within(Duration::MAX))).await;
    assert_eq!(too_long(refused), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_for_each_model_as_well() {
    let service = PerModelRateLimitLayer::new().budget(narrow()).layer(OK);
    let named = |deadline| {
        let request = by(deadline);
        request.map(|_| Body::from(r#"{"model":"test-model"}"#))
    };
    let far = Deadline::within(60 * SECOND);
    service.clone().oneshot(named(far)).await.unwrap();
    let (elapsed, refused) =
        timed(service.clone().oneshot(named(Deadline::within(9 * SECOND)))).await;
    assert_eq!((elapsed, too_long(refused)), (Duration::ZERO, 9 * SECOND));
}

/// A body that takes a second for its only frame.
struct Slow(Option<Pin<Box<Sleep>>>);

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(sleep) = &mut self.0 else {
            return Poll::Ready(None);
        };
        ready!(sleep.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{}")))))
    }
}

/// A time-out around all of it ends the wait, the head or the body, whichever it comes to; what was
/// sent counts, what was not does not, and nothing is left behind.
#[tokio::test(start_paused = true)]
async fn a_timeout_around_the_whole_covers_every_part() {
    // The wait takes ten seconds, the head one, the body one.
    for (patience, sent, completes) in
        [(9, 1, false), (10, 2, false), (11, 2, false), (13, 2, true)]
    {
        let layer = narrow();
        let arrived = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&arrived);
        let service = layer.layer(service_fn(move |_: Request<Body>| {
            counter.fetch_add(1, Ordering::Relaxed);
            async {
                sleep(SECOND).await;
                let body = Slow(Some(Box::pin(sleep(SECOND))));
                Ok::<_, BoxError>(Response::new(body))
            }
        }));
        let whole = async |service| -> Result<(), BoxError> {
            let response: Response<_> = ServiceExt::oneshot(service, request()).await?;
            BodyExt::collect(response.into_body()).await?;
            Ok(())
        };
        whole(service.clone()).await.unwrap();
        // Two seconds of the window are over.
        let patience = SECOND * patience - 2 * SECOND + SECOND / 2;
        let (elapsed, result) = timed(timeout(patience, whole(service))).await;
        assert_eq!(result.is_ok(), completes, "{patience:?}");
        assert!(elapsed <= patience, "{patience:?}");
        assert_eq!(arrived.load(Ordering::Relaxed), sent, "{patience:?}");
        sleep(120 * SECOND).await;
        let stats = layer.stats().unwrap();
        assert_at_rest(&stats);
        assert_eq!(stats.total_requests, sent, "{patience:?}");
    }
}

/// A `Timeout` layer covers the head alone: neither the wait before nor the body after.
#[tokio::test(start_paused = true)]
async fn a_timeout_layer_covers_the_head_alone() {
    let limits = [Limit::requests(1).per(WINDOW).margin(Margin::Units(0))];
    let layer = layer(limits).spacing(Spacing::Off).max_skew(Duration::ZERO);
    let service = ServiceBuilder::new()
        .timeout(2 * SECOND)
        .layer(layer)
        .service(service_fn(|_: Request<Body>| async {
            let body = Slow(Some(Box::pin(sleep(60 * SECOND))));
            Ok::<_, BoxError>(Response::new(body))
        }));
    let mut service = service;
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    let (elapsed, response) = timed(async {
        let response = service.ready().await.unwrap().call(request()).await;
        response.unwrap().into_body().collect().await
    })
    .await;
    assert_eq!((elapsed, response.is_ok()), (WINDOW + 60 * SECOND, true));
}
