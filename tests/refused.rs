//! What waiting cannot fix fails fast, and the refusal itself passes as it came.

mod support;

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use proactive_rate_limit::provider::{Refusal, RefusalCause};
use proactive_rate_limit::{BoxError, ProactiveRateLimitLayer, RateLimitError};
use support::{Body, Script, assert_at_rest, exactly, layer, request, timed};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);
const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
const TOO_LARGE: &str = r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31756.","type":"tokens","code":"rate_limit_exceeded"}}"#;

fn thousand() -> ProactiveRateLimitLayer {
    layer([exactly(1_000, SECOND)])
}

/// A provider that refuses with this body.
fn refusing<B: http_body::Body>(
    body: impl Fn() -> B + Clone,
) -> impl Service<
    Request<Body>,
    Response = Response<B>,
    Error = BoxError,
    Future = std::future::Ready<Result<Response<B>, BoxError>>,
> + Clone {
    service_fn(move |_: Request<Body>| {
        let mut response = Response::new(body());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        std::future::ready(Ok(response))
    })
}

fn cause<B>(response: &Response<B>) -> RefusalCause {
    let refusal = response.extensions().get::<Refusal>();
    refusal.expect("a refusal in the extensions").cause
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_account_refuses_everybody_until_it_is_asked_again() {
    let layer = thousand().max_hold(30 * SECOND);
    let client = layer.layer(refusing(|| support::Body::from(QUOTA)));
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(cause(&response), RefusalCause::Exhausted);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        QUOTA
    );
    for _ in 0..3 {
        let (waited, refused) = timed(client.clone().oneshot(request())).await;
        assert_eq!(waited, Duration::ZERO);
        let error = refused.unwrap_err().downcast::<RateLimitError>().unwrap();
        assert!(matches!(*error, RateLimitError::Exhausted(_)), "{error}");
    }
    tokio::time::sleep(30 * SECOND).await;
    // Two come, one asks.
    let both = tokio::join!(
        client.clone().oneshot(request()),
        client.clone().oneshot(request())
    );
    assert!(both.0.is_ok() && both.1.is_err());
    let stats = layer.stats().unwrap();
    assert_eq!((stats.total_requests, stats.exhausted), (2, 4));
    assert_at_rest(&stats);
}

#[tokio::test(start_paused = true)]
async fn too_large_concerns_nobody_else() {
    let layer = thousand();
    let client = layer.layer(refusing(|| support::Body::from(TOO_LARGE)));
    for _ in 0..3 {
        let response = client.clone().oneshot(request()).await.unwrap();
        assert_eq!(cause(&response), RefusalCause::TooLarge);
        assert_eq!(layer.stats().unwrap().hold, None);
    }
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_handed_on_after_a_tenth_of_a_second() {
    let layer = thousand();
    let client = layer.layer(refusing(|| {
        let first = stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"{")))]);
        StreamBody::new(stream::StreamExt::chain(first, stream::pending()))
    }));
    let (waited, response) = timed(client.clone().oneshot(request())).await;
    assert_eq!(waited, LOOK);
    let mut body = response.unwrap().into_body();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "{");
    let stats = layer.stats().unwrap();
    assert_eq!((stats.throttled, stats.hold), (1, Some(SECOND)));
    assert_at_rest(&stats);
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_is_looked_at_it_counts_once() {
    let layer = thousand();
    let client = layer.layer(refusing(|| {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>())
    }));
    let response = tokio::time::timeout(LOOK / 2, client.oneshot(request())).await;
    assert!(response.is_err());
    let stats = layer.stats().unwrap();
    assert_eq!((stats.throttled, stats.hold), (1, Some(SECOND)));
    assert_at_rest(&stats);
}

#[tokio::test(start_paused = true)]
async fn frames_trailers_and_errors_pass_in_order() {
    let layer = thousand();
    let client = layer.layer(refusing(|| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().unwrap());
        Script::new(
            vec![
                Ok(Frame::data(Bytes::from_static(b"ab"))),
                Ok(Frame::data(Bytes::new())),
                Ok(Frame::trailers(trailers)),
                Err("cut".into()),
            ],
            false,
        )
    }));
    let mut body = client.oneshot(request()).await.unwrap().into_body();
    assert!(!body.is_end_stream());
    let mut next = async || body.frame().await.unwrap();
    assert_eq!(next().await.unwrap().into_data().unwrap(), "ab");
    assert_eq!(next().await.unwrap().into_data().unwrap(), "");
    assert_eq!(next().await.unwrap().into_trailers().unwrap()["x-end"], "1");
    assert_eq!(next().await.unwrap_err().to_string(), "cut");
    assert_at_rest(&layer.stats().unwrap());
}

/// Frames of this many bytes without end, always ready.
#[derive(Clone)]
struct Endless(Bytes);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(1 << 30)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_not_read_to_its_end() {
    for (len, seen) in [(0, 0), (1_000, 17_000)] {
        let layer = thousand();
        let endless = Endless(vec![b' '; len].into());
        let client = layer.layer(refusing(move || endless.clone()));
        let (waited, response) = timed(client.oneshot(request())).await;
        assert_eq!(waited, Duration::ZERO);
        // The body here does not count down, so what was seen shows beside it.
        let hint = response.unwrap().into_body().size_hint();
        assert_eq!(hint.exact(), Some((1 << 30) + seen));
        assert_at_rest(&layer.stats().unwrap());
    }
}

#[test]
fn without_a_runtime_a_stalled_refusal_is_handed_on_at_once() {
    let layer = thousand();
    let client = layer.layer(refusing(|| {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>())
    }));
    let mut response = std::pin::pin!(client.oneshot(request()));
    let polled = response
        .as_mut()
        .poll(&mut Context::from_waker(std::task::Waker::noop()));
    let Poll::Ready(Ok(response)) = polled else {
        panic!("nothing would wake it");
    };
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(layer.stats().unwrap().throttled, 1);
}

/// A refusal that is compressed is read of a decoded copy, and passes as it came.
#[tokio::test(start_paused = true)]
async fn a_compressed_refusal_is_read_as_well() {
    use std::io::Write;

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(QUOTA.as_bytes()).unwrap();
    let body = Bytes::from(gzip.finish().unwrap());
    let compressed = body.clone();
    let layer = thousand();
    let client = layer.layer(service_fn(move |_: Request<Body>| {
        let response = Response::builder()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header("content-encoding", "gzip")
            .body(Body::new(compressed.clone()));
        std::future::ready(response.map_err(BoxError::from))
    }));
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(cause(&response), RefusalCause::Exhausted);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        body
    );
    let error = client.oneshot(request()).await.unwrap_err();
    let error = error.downcast::<RateLimitError>().unwrap();
    assert!(matches!(*error, RateLimitError::Exhausted(_)), "{error}");
}

/// A stream that is refused after its head pauses everybody as any refusal does, and passes as it came.
#[tokio::test(start_paused = true)]
async fn a_stream_may_be_refused_after_its_head() {
    const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n\
        event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
        \"message\":\"Overloaded\"}}\n\n";

    let layer = thousand();
    let client = layer.layer(service_fn(|_: Request<Body>| {
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from(STREAM));
        std::future::ready(response.map_err(BoxError::from))
    }));
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, STREAM);
    let stats = layer.stats().unwrap();
    assert_eq!(stats.hold, Some(SECOND));
    assert_eq!((stats.settled, stats.in_flight), (1, 0));
    let (waited, again) = timed(client.oneshot(request())).await;
    assert_eq!((waited, again.is_ok()), (SECOND, true));
}
