//! The service as part of a stack: what it lets through unchanged, and what it can be put into.

mod support;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::{
    BoxError, Charge, Limit, Pool, ProactiveRateLimit, ProactiveRateLimitLayer, RateLimitError,
    RateLimitTracker, ResponseBody, ResponseFuture, Stats, Tier,
};
use support::{Answers, Body, OK, Script, assert_at_rest, exactly, layer, request, tier, timed};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const WINDOW: Duration = Duration::from_secs(10);

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Sends one request and returns the response of a server that answers with `respond`.
async fn respond<B>(
    layer: &ProactiveRateLimitLayer,
    respond: impl FnMut(Request<Body>) -> Response<B> + Clone,
) -> Response<ResponseBody<B>>
where
    B: HttpBody,
{
    let inner = service_fn(move |request| {
        let mut respond = respond.clone();
        async move { Ok::<_, BoxError>(respond(request)) }
    });
    layer.layer(inner).oneshot(request()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn everything_of_a_response_passes_unchanged() {
    #[derive(Clone, Debug, PartialEq)]
    struct Extension(u32);

    let layer = layer([exactly(10, WINDOW)]).spacing(proactive_rate_limit::Spacing::Off);
    let response = respond(&layer, |_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        let script = vec![
            data("{\"usa"),
            data(""),
            data("ge\":{}}"),
            Ok(Frame::trailers(trailers)),
        ];
        let mut response = Response::new(Script::new(script, false));
        *response.status_mut() = StatusCode::CREATED;
        *response.version_mut() = Version::HTTP_2;
        response
            .headers_mut()
            .append("x-a", HeaderValue::from_static("1"));
        response
            .headers_mut()
            .append("x-a", HeaderValue::from_static("2"));
        response.extensions_mut().insert(Extension(7));
        response
    })
    .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.version(), Version::HTTP_2);
    let values: Vec<_> = response.headers().get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(response.extensions().get(), Some(&Extension(7)));

    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(4242));
    let mut chunks = Vec::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => chunks.push(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert_eq!(chunks, ["{\"usa", "", "ge\":{}}"], "frame by frame");
    assert_eq!(trailers.unwrap()["x-checksum"], "abc");
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_request_passes_unchanged() {
    let layer = layer([exactly(10, WINDOW)]);
    let inner = service_fn(|request: Request<Body>| async move {
        assert_eq!(request.uri(), "http://provider.test/v1/chat/completions");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer secret");
        assert_eq!(request.extensions().get(), Some(&42_u32));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, BoxError>(Response::new(Full::new(body)))
    });
    let mut sent = request().map(|_| Full::from("not { json"));
    let secret = HeaderValue::from_static("Bearer secret");
    sent.headers_mut().insert(header::AUTHORIZATION, secret);
    sent.extensions_mut().insert(42_u32);
    let response = layer.layer(inner).oneshot(sent).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "not { json");
}

#[derive(Debug, PartialEq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

#[tokio::test(start_paused = true)]
async fn inner_errors_pass_unchanged_and_are_counted() {
    let layer = layer([exactly(1, WINDOW)]);
    let fails = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(Broken) });
    let error = layer.layer(fails).oneshot(request()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Broken));
    let stats = layer.stats().unwrap();
    assert_eq!((stats.abandoned, stats.limits[0].used), (1, 1));
    // An error is no head: it may have been counted up to `max_skew` after it was sent.
    let (elapsed, _) = timed(layer.layer(OK).oneshot(request())).await;
    assert_eq!(elapsed, WINDOW + Duration::from_millis(500));
}

/// Not ready until it fails.
#[derive(Clone)]
struct Dead;

impl Service<Request<Body>> for Dead {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = std::future::Pending<Result<Response<Body>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Err(Broken))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("it was never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_dies_is_the_only_error_of_poll_ready() {
    let layer = layer([exactly(1, WINDOW)]);
    let mut service = layer.layer(Dead);
    let error = service.ready().await.map(|_| ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Broken));
    drop(service);
    let (elapsed, _) = timed(layer.layer(OK).oneshot(request())).await;
    assert_eq!(elapsed, Duration::ZERO, "what it had won was given back");
}

#[tokio::test(start_paused = true)]
async fn back_pressure_of_the_inner_service_passes() {
    let layer = layer([exactly(100, WINDOW)]);
    let never =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Broken>>());
    let limited = ServiceBuilder::new()
        .layer(&layer)
        .concurrency_limit(1)
        .service(never);
    let mut first = limited.clone();
    let _busy = tokio::spawn(first.ready().await.unwrap().call(request()));
    tokio::task::yield_now().await;
    let mut second = limited.clone();
    let ready = tokio::time::timeout(Duration::from_secs(1), second.ready());
    assert!(ready.await.is_err(), "its only permit is taken");
}

#[tokio::test(start_paused = true)]
async fn a_body_settles_at_its_end_however_it_ends() {
    const USAGE: &str =
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}"#;
    let layer = || {
        let tier = support::tier_charging(Charge::Actual, [Limit::tokens(10_000).per_minute()]);
        ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new())
    };
    let used = |stats: &Stats| stats.limits[0].used;

    // On its last frame, without being asked for one more.
    let known_end = layer();
    let response = respond(&known_end, |_| {
        Response::new(Script::new(vec![data(USAGE)], true))
    })
    .await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    let stats = known_end.stats().unwrap();
    assert_eq!((used(&stats), stats.settled, stats.usage_read), (30, 1, 1));

    // On `None`.
    let unknown_end = layer();
    let response = respond(&unknown_end, |_| {
        Response::new(Script::new(vec![data(USAGE)], false))
    })
    .await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(unknown_end.stats().unwrap().in_flight, 1);
    assert!(body.frame().await.is_none());
    assert_eq!(used(&unknown_end.stats().unwrap()), 30);

    // At once, when there is nothing to come.
    let empty = layer();
    let response = respond(&empty, |_| Response::new(Script::new(vec![], true))).await;
    let stats = empty.stats().unwrap();
    assert_eq!((stats.settled, stats.usage_missing), (1, 1));
    assert!(used(&stats) > 0, "the estimate stands");
    drop(response);

    // On an error, and on being dropped: its end was not seen, so the reserve stays.
    let fails = layer();
    let script = || vec![data(r#"{"choices":[]"#), Err(BoxError::from(Broken))];
    let response = respond(&fails, move |_| Response::new(Script::new(script(), false))).await;
    response
        .into_body()
        .collect()
        .await
        .map(|_| ())
        .unwrap_err();
    let stats = fails.stats().unwrap();
    assert_eq!((stats.abandoned, stats.settled), (1, 0));
    assert!(used(&stats) > 1000, "{stats}");

    let dropped = layer();
    let response = respond(&dropped, |_| {
        Response::new(Script::new(vec![data("{")], false))
    })
    .await;
    drop(response);
    let stats = dropped.stats().unwrap();
    assert_eq!((stats.abandoned, stats.settled), (1, 0));
    assert!(used(&stats) > 1000, "{stats}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_settles_at_its_head() {
    // A retry may keep it alive, unread, for as long as it backs off.
    let layer = layer([Limit::concurrent(1)]);
    let response = respond(&layer, |_| {
        let mut response = Response::new(Script::new(vec![data("sorry")], false));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
    .await;
    assert_eq!(layer.stats().unwrap().in_flight, 0);
    let (elapsed, _) = timed(layer.layer(OK).oneshot(request())).await;
    assert_eq!(elapsed, Duration::from_millis(100));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "sorry");
}

#[tokio::test(start_paused = true)]
async fn conflicting_registrations_are_refused_in_call_with_both_sides() {
    let tracker = RateLimitTracker::new();
    let five = ProactiveRateLimitLayer::new(tier([exactly(5, WINDOW)])).tracker(&tracker);
    let same = ProactiveRateLimitLayer::new(tier([exactly(5, WINDOW)])).tracker(&tracker);
    let nine = ProactiveRateLimitLayer::new(tier([exactly(9, WINDOW)])).tracker(&tracker);
    five.layer(OK).oneshot(request()).await.unwrap();
    same.layer(OK).oneshot(request()).await.unwrap();
    assert_eq!(same.stats().unwrap().total_requests, 2, "one budget");

    let mut service = nine.layer(OK);
    let error = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();
    let Some(RateLimitError::ConflictingPool(conflict)) = error.downcast_ref() else {
        panic!("{error}");
    };
    assert!(
        conflict.registered.contains("5 requests per 10s"),
        "{conflict:?}"
    );
    assert!(
        conflict.requested.contains("9 requests per 10s"),
        "{conflict:?}"
    );
    assert!(nine.stats().is_err());
}

#[tokio::test(start_paused = true)]
async fn called_without_being_ready_it_still_keeps_the_limit() {
    let layer = layer([exactly(1, WINDOW)]);
    let mut service = layer.layer(OK);
    let (elapsed, ()) = timed(async {
        service.call(request()).await.unwrap();
        service.call(request()).await.unwrap();
    })
    .await;
    assert_eq!(elapsed, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_won_nothing() {
    let layer = layer([exactly(1, WINDOW)]);
    let mut original = layer.layer(OK);
    original.ready().await.unwrap();
    let mut clone = original.clone();
    let waits = tokio::time::timeout(Duration::from_millis(10), clone.ready());
    assert!(waits.await.is_err());
    assert_eq!(layer.stats().unwrap().reserved, 1);
}

#[test]
fn types_go_where_stacks_want_them() {
    fn is_send_sync<T: Send + Sync>() {}
    fn is_clone<T: Clone>() {}

    is_send_sync::<ProactiveRateLimitLayer>();
    is_clone::<ProactiveRateLimitLayer>();
    is_send_sync::<ProactiveRateLimit<Answers>>();
    is_clone::<ProactiveRateLimit<Answers>>();
    is_send_sync::<ResponseBody<Body>>();
    is_send_sync::<Pool>();
    is_send_sync::<Tier>();
    is_send_sync::<RateLimitError>();

    // A request body and an inner future that are `Send` and not `Sync`.
    type Unsync = UnsyncBoxBody<Bytes, BoxError>;
    is_send_sync::<
        ResponseFuture<
            BoxCloneSyncService<Request<Unsync>, Response<Unsync>, BoxError>,
            Unsync,
            Unsync,
        >,
    >();

    let inner = service_fn(|_: Request<Unsync>| {
        let future: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
        future
    });
    let _boxed: BoxCloneSyncService<_, _, _> = BoxCloneSyncService::new(layer([]).layer(inner));
    let _built = ServiceBuilder::new()
        .boxed_clone_sync()
        .layer(layer([]))
        .service(OK);
}
